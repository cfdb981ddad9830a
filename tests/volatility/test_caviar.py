"""Quantile recursions: a plain form, first-order condition, simulated truth, forecasts, hostile input."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import t as student

from risk.errors import DataError
from risk.volatility.caviar import QuantileModel, extend_quantile, fit_caviar, quantile_recursion
from risk.volatility.models import FitStatus


def simulated(n: int, seed: int, b: tuple[float, float, float, float]) -> np.ndarray:
    """Returns whose 95 % value at risk follows the recursion exactly: r = v z / |q|, q the 5 % quantile of a t6."""
    z = np.random.default_rng(seed).standard_t(6, n) / -student.ppf(0.05, 6)
    y, v = np.empty(n), b[0] / (1 - b[1] - 0.5 * (b[2] + b[3]) * float(np.abs(z).mean()))
    for t in range(n):
        y[t] = v * z[t]
        v = b[0] + b[1] * v + (b[2] if y[t] > 0 else b[3]) * abs(y[t])
    return y


SERIES = simulated(2500, 1, (0.002, 0.85, 0.12, 0.12))


@pytest.mark.parametrize("model", list(QuantileModel))
def test_the_recursion_is_its_plain_form(model: QuantileModel) -> None:
    found = fit_caviar(SERIES[:800], confidence=0.95, model=model)
    b0, b1, up, down = found.coefficients
    values = np.empty(801)
    loss = quantile_recursion(SERIES[:800], found.coefficients, found.values[0], 0.05, values)
    plain = [found.values[0]]
    for r in SERIES[:800]:
        plain.append(b0 + b1 * plain[-1] + up * max(r, 0.0) + down * max(-r, 0.0))
    np.testing.assert_allclose(values, plain, rtol=1e-10)
    gap = SERIES[:800] + np.array(plain[:-1])
    assert loss == pytest.approx(float(np.mean((0.05 - (gap < 0)) * gap)), rel=1e-10)
    np.testing.assert_allclose(found.values, plain[:-1], rtol=1e-6)
    assert found.loss == pytest.approx(loss, rel=1e-6)
    # First-order condition of a quantile regression: exceptions within the number of parameters of n (1 - c).
    assert abs(found.n_exceptions - 40) <= 5
    assert found.status is FitStatus.CONVERGED
    assert (up == down) == (model is QuantileModel.SYMMETRIC)


def test_a_forecast_continues_the_fit_and_scale_does_not_matter() -> None:
    found = fit_caviar(SERIES[:1000], confidence=0.99)
    ahead = extend_quantile(found, SERIES[1000:1010])
    assert ahead[0] == found.next_value
    b0, b1, up, _ = found.coefficients
    assert ahead[1] == pytest.approx(b0 + b1 * found.next_value + up * abs(SERIES[1000]), rel=1e-12)
    wide = fit_caviar(100.0 * SERIES[:1000], confidence=0.99)
    assert wide.loss == pytest.approx(100.0 * found.loss, rel=1e-6)


def test_no_worse_than_the_truth_or_a_constant() -> None:
    """In sample the optimum's loss is at most that of the parameters that made the data, and of a constant."""
    values = np.empty(SERIES.size + 1)
    for model in QuantileModel:
        found = fit_caviar(SERIES, confidence=0.95, model=model)
        truth = quantile_recursion(SERIES, np.array([0.002, 0.85, 0.12, 0.12]), found.values[0], 0.05, values)
        flat = -float(np.quantile(SERIES, 0.05))
        constant = quantile_recursion(SERIES, np.array([flat, 0.0, 0.0, 0.0]), flat, 0.05, values)
        assert found.loss <= min(truth, constant) * (1 + 1e-9)


@pytest.mark.slow
def test_simulate_and_recover() -> None:
    """Twenty series of 5,000: mean coefficients within four standard errors and a tenth of the truth."""
    for model, truth in (
        (QuantileModel.SYMMETRIC, (0.002, 0.85, 0.12, 0.12)),
        (QuantileModel.ASYMMETRIC, (0.002, 0.85, 0.05, 0.19)),
    ):
        fits = [fit_caviar(simulated(5000, seed, truth), confidence=0.95, model=model) for seed in range(20)]
        assert sum(f.status is FitStatus.CONVERGED for f in fits) >= 19
        found = np.array([f.coefficients for f in fits])
        error = found.std(axis=0, ddof=1) / math.sqrt(len(found))
        assert np.all(np.abs(found.mean(axis=0) - truth) <= 4 * error + 0.1 * np.array(truth))


def test_hostile_input() -> None:
    assert fit_caviar(SERIES[:200], confidence=0.99).status is FitStatus.TOO_SHORT
    assert not fit_caviar(SERIES[:2], confidence=0.95).usable
    assert fit_caviar(np.full(500, 0.01), confidence=0.95).status is FitStatus.DEGENERATE
    assert fit_caviar(np.empty(0), confidence=0.95).status is FitStatus.TOO_SHORT
    for bad in (np.nan, np.inf):
        with pytest.raises(DataError, match="not finite"):
            fit_caviar(np.append(SERIES, bad), confidence=0.95)
    with pytest.raises(DataError, match="confidence"):
        fit_caviar(SERIES, confidence=1.0)
    jump = SERIES[:600].copy()
    jump[300] = -5.0
    found = fit_caviar(jump, confidence=0.95)
    assert np.isfinite(found.values).all()
    assert np.isfinite(found.next_value)
