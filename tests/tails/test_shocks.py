"""Shocks: the sample inside, Pareto tails outside, the pool where history is short."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import stdtr, stdtrit

from risk.errors import DataError, RefusalError
from risk.streams import stream
from risk.tails.extreme_value import fit_tail, tail_draws, tail_expected_shortfall, tail_quantile
from risk.tails.shocks import (
    SHOCK_COUNT,
    _tails_redrawn,
    fit_shocks,
    pooled_quantiles,
    shock_probabilities,
)
from risk.volatility.prior import load_prior

AS_OF = 1_767_139_200


def student(n: int, seed: int, nu: float = 5.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_t(nu, n) * np.sqrt((nu - 2) / nu)


def test_recovers_the_quantiles_of_a_large_sample() -> None:
    """An order statistic's error is sqrt(p (1 - p) / n) / density; four of them is the bound, tails included."""
    n = 100_000
    found = fit_shocks(student(n, 1)).quantiles()
    scale = np.sqrt(3 / 5)
    for p in (0.0005, 0.005, 0.05, 0.3, 0.7, 0.95, 0.995, 0.9995):
        true = stdtrit(5, p)
        density = (stdtr(5, true + 1e-5) - stdtr(5, true - 1e-5)) / 2e-5
        error = scale * np.sqrt(p * (1 - p) / n) / density
        index = round(p * SHOCK_COUNT - 0.5)
        exact = scale * stdtrit(5, (index + 0.5) / SHOCK_COUNT)
        # The GPD only stands for the tail from a tenth on: a bias of 2 % is admitted beside the noise.
        assert abs(found[index] - exact) < 4 * error + 0.02 * abs(exact)


def test_is_sorted_of_fixed_length_and_read_only() -> None:
    for n in (80, 300, 1500):
        found = fit_shocks(student(n, n), prior=load_prior(AS_OF)).quantiles()
        assert found.shape == (SHOCK_COUNT,)
        assert np.all(np.diff(found) >= 0)
        assert not found.flags.writeable
    assert shock_probabilities()[0] == pytest.approx(1e-4)


def test_tail_is_that_of_the_fit_and_keeps_its_shortfall() -> None:
    residuals = student(2000, 3)
    found = fit_shocks(residuals)
    tail = fit_tail(-residuals)
    quantiles = found.quantiles()
    index = 9  # probability .0019
    assert -quantiles[index] == pytest.approx(tail_quantile(tail, 1 - (index + 0.5) / SHOCK_COUNT), rel=1e-9)
    assert -quantiles[0] == pytest.approx(tail_expected_shortfall(tail, 1 - 1 / SHOCK_COUNT), rel=1e-9)
    # Mean of the 1 % lowest cells against the formula; midpoints of 50 cells miss a little of the curvature.
    assert -quantiles[:50].mean() == pytest.approx(tail_expected_shortfall(tail, 0.99), rel=0.005)


def test_is_not_rescaled() -> None:
    """Shocks of doubled residuals are doubled: no silent standardisation."""
    residuals = student(800, 4)
    np.testing.assert_allclose(fit_shocks(2 * residuals).quantiles(), 2 * fit_shocks(residuals).quantiles(), rtol=1e-6)


def test_a_short_history_leans_on_the_pool() -> None:
    prior = load_prior(AS_OF)
    pooled = pooled_quantiles(prior)
    for n, weight in ((300, 0.25), (900, 0.1)):  # as much as a hundred own residuals
        residuals = student(n, 5)
        found = fit_shocks(residuals, prior=prior)
        assert found.pool_weight == pytest.approx(weight)
        middle = SHOCK_COUNT // 2
        own = np.interp(shock_probabilities()[middle], (np.arange(n) + 0.5) / n, np.sort(residuals))
        assert found.quantiles()[middle] == pytest.approx((1 - weight) * own + weight * pooled[middle])


def test_pooled_quantiles_go_on_beyond_the_vintage() -> None:
    prior = load_prior(AS_OF)
    pooled = pooled_quantiles(prior)
    assert np.all(np.diff(pooled) >= 0)
    assert pooled[0] < prior.residual_quantiles[0]
    assert pooled[-1] > prior.residual_quantiles[-1]
    inside = np.interp(0.0105, prior.residual_probabilities, prior.residual_quantiles)
    assert pooled[52] == pytest.approx(inside)


def test_an_infinite_mean_is_cut_and_said() -> None:
    rng = np.random.default_rng(6)
    residuals = rng.choice([-1.0, 1.0], 4000) * rng.pareto(0.6, 4000)
    found = fit_shocks(residuals)
    assert "tail_index_truncated" in found.status
    assert (found.lower.xi, found.upper.xi) == (0.9, 0.9)
    assert np.isfinite(found.quantiles()).all()


def test_redrawn_tails_hold_what_the_pool_leaves_open() -> None:
    # A short tail under a strong prior: its index is the pool's, of which the mean is drawn anew in each draw.
    prior = load_prior(AS_OF)
    found = fit_shocks(student(120, 3), prior=prior)
    residuals = np.tile(found.residuals, (400, 1))
    free = _tails_redrawn(found.lower, stream(1, "shocks", "x"), residuals.std(axis=1))
    fixed = np.array([tail_draws(found.lower, stream(n, "shocks", "x"), 1)[0, 0] for n in range(400)])
    spread = np.std([tail.xi for tail in free])
    # Independent parts: what a fixed prior leaves of the sample's noise, and the pool's own. 5 standard errors of a
    # standard deviation of 400 draws are 5 / sqrt(800) = 18 %.
    pull = found.lower.xi_error / prior.lower_tail_index.sd  # root of the share of the mode that the prior has
    expected = math.hypot(float(fixed.std()), pull**2 * prior.lower_tail_index.sd)
    assert spread == pytest.approx(expected, rel=0.18)
    assert spread > 1.18 * fixed.std()


def test_draws_surround_the_fit_and_follow_the_stream() -> None:
    found = fit_shocks(student(600, 7), prior=load_prior(AS_OF))
    residuals = np.tile(found.residuals, (40, 1))
    first, again = (found.draws(stream(1, "shocks", "ETH"), residuals) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (40, SHOCK_COUNT)
    assert np.all(np.diff(first, axis=1) >= 0)
    point = found.quantiles()
    for index in (5, 50, 250, 4750, 4990):
        assert first[:, index].min() < point[index] < first[:, index].max()
    # Residuals twice as large give shocks twice as large, but for the pool's share.
    doubled = found.draws(stream(1, "shocks", "ETH"), 2 * residuals)
    own = (first - found.pool_weight * found.pooled) / (1 - found.pool_weight)
    np.testing.assert_allclose(
        (doubled - found.pool_weight * found.pooled) / (1 - found.pool_weight), 2 * own, rtol=1e-9, atol=1e-9
    )
    # The spread of the 99 % quantile is of the order of its sampling error, about 8 % at n = 600.
    assert 0.02 < first[:, 49].std() / -point[49] < 0.2


def test_refusals() -> None:
    with pytest.raises(RefusalError, match="tail"):
        fit_shocks(student(20, 8))
    with pytest.raises(RefusalError, match="tail"):
        fit_shocks(np.concatenate([np.zeros(300), np.full(100, 1.0)]))
    with pytest.raises(DataError):
        fit_shocks(np.array([1.0, np.nan] * 100))
