"""Forecasts that are off by a factor are put right, good ones stay, and nothing is known too early."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import stdtrit

from risk.errors import DataError
from risk.validation.recalibration import PRIOR_BARS, recalibration_factors


def _losses(n: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).standard_t(5, n)


@pytest.mark.parametrize("wrong", [0.7, 1.0, 1.4])
def test_a_constant_error_goes(wrong: float) -> None:
    """After 100,000 bars w is .985, so that .7 is .7^.015 = .995 of right; the quantile's own error is 2 / 316."""
    losses = _losses(100_000)
    var = np.full(100_000, wrong * stdtrit(5, 0.99))
    factors = recalibration_factors(losses, var, confidence=0.99, every=100)
    assert factors[-1] == pytest.approx(1.0 / wrong, rel=0.005 + 3 * 2 / np.sqrt(100_000))
    if wrong == 0.7:
        assert np.mean(losses > var) > 0.02
        # Of the second half, .01 with a binomial standard error of .00045 and what is left of the factor.
        assert np.mean(losses[50_000:] > (factors * var)[50_000:]) == pytest.approx(0.01, abs=0.0015)


def test_two_ways_to_the_same_factor() -> None:
    losses, var = _losses(500), 0.5 + np.random.default_rng(4).random(500)
    factors = recalibration_factors(losses, var, confidence=0.95, every=100)
    ratios = np.sort((losses / var)[:400])
    position = 400 * 0.95 - 0.5
    left = int(position)
    quantile = ratios[left] + (position - left) * (ratios[left + 1] - ratios[left])
    assert factors[400:].tolist() == pytest.approx([quantile ** (400 / (400 + PRIOR_BARS))] * 100, rel=1e-12)
    assert (factors[:100] == 1.0).all()


def test_no_look_ahead() -> None:
    losses, var = _losses(1000), np.full(1000, 2.0)
    factors = recalibration_factors(losses, var, confidence=0.99, every=50)
    spoilt = losses.copy()
    spoilt[600:] = 1e6
    later = recalibration_factors(spoilt, var, confidence=0.99, every=50)
    assert (factors[:601] == later[:601]).all()
    assert (factors[650:] != later[650:]).all()


def test_a_forecast_of_no_risk_says_nothing() -> None:
    losses, var = _losses(300), np.full(300, 2.0)
    var[::2] = 0.0
    with np.errstate(all="raise"):
        factors = recalibration_factors(losses, var, confidence=0.99, every=10)
        none = recalibration_factors(losses, np.zeros(300), confidence=0.99, every=10)
    alone = recalibration_factors(losses[1::2], var[1::2], confidence=0.99, every=5)
    assert factors[::10].tolist() == alone[::5].tolist()
    assert (none == 1.0).all()


def test_refusals() -> None:
    with pytest.raises(DataError, match="same bars"):
        recalibration_factors(np.ones(3), np.ones(4), confidence=0.99, every=1)
    with pytest.raises(DataError, match="confidence"):
        recalibration_factors(np.ones(3), np.ones(3), confidence=0.5, every=1)
