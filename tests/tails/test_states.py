"""Draws, the bound on persistence, and through-the-cycle states."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import stdtrit

from risk.streams import stream
from risk.tails.states import (
    bound_persistence,
    exponential_draws,
    level_draws,
    parameter_prior,
    persistence_bound,
    posterior_draws,
    residuals_by_draw,
    starting_variances,
)
from risk.volatility.models import VolatilityModel, fit
from risk.volatility.posterior import interval
from risk.volatility.prior import load_prior
from tests.tails.models import constant_variance, student_shocks

AS_OF = 1_767_139_200
DAY = 86_400


def returns_of(n: int, seed: int, nu: float = 5.0) -> np.ndarray:
    return 0.03 * np.random.default_rng(seed).standard_t(nu, n) * np.sqrt((nu - 2) / nu)


def test_draws_of_the_benchmark_vary_in_nu_only() -> None:
    result = fit("ewma_t", returns_of(1000, 1))
    draws = posterior_draws(result, returns_of(1000, 1), prior=None, generator=stream(1, "p", "X"), n_draws=400)
    for column, value in enumerate([*result.vector[:5]]):
        assert np.all(draws[:, column] == value)
    assert np.all(draws[:, 6] == result.last_variance)
    low, high = np.quantile(draws[:, 5], [0.01, 0.99])
    assert low < result.parameters["nu"] < high
    # At n = 1000 a nu of about 5 is known to about 15 %.
    assert 0.05 < draws[:, 5].std() / draws[:, 5].mean() < 0.4


def test_residuals_under_the_fit_itself_are_the_fits() -> None:
    returns = returns_of(600, 2)
    result = fit("garch_t", returns)
    rows = np.tile([*result.vector, result.last_variance], (3, 1))
    np.testing.assert_allclose(residuals_by_draw(result, returns, rows), np.tile(result.residuals, (3, 1)), rtol=1e-9)


@settings(max_examples=100, deadline=None)
@given(
    st.floats(0.0, 0.5),
    st.floats(0.0, 0.3),
    st.floats(0.0, 1.0),
    st.floats(0.5, 1.0),
    st.floats(0.5, 2.0),
)
def test_bound_holds_and_keeps_the_level(alpha: float, gamma: float, beta: float, bound: float, scale: float) -> None:
    """Persistence ends at or below the bound, and the variance expected next from the level does not change."""
    shocks = scale * student_shocks(5.0)
    level = 4e-4
    row = np.array([[0.0, 1e-6, alpha, gamma, beta, 5.0, 3e-4]])
    out, share = bound_persistence(row, shocks, level, bound)
    second, falls = np.mean(shocks**2), np.mean(shocks**2 * (shocks < 0))

    def persistence(d: np.ndarray) -> float:
        return float(d[0, 2] * second + d[0, 3] * falls + d[0, 4])

    assert persistence(out) <= bound + 1e-9
    assert np.all(out[:, 1:5] >= 0)
    assert out[0, 1] + persistence(out) * level == pytest.approx(row[0, 1] + persistence(row) * level)
    assert (share == 1.0) == (persistence(row) > bound)
    assert out[0, 6] == row[0, 6]
    if share == 0.0:
        np.testing.assert_array_equal(out, row)


def test_half_life_bound_holds_in_time_not_in_bars() -> None:
    prior = load_prior(AS_OF)
    assert persistence_bound(prior, DAY) == pytest.approx(prior.persistence_bound, rel=1e-6)
    assert persistence_bound(prior, DAY // 24) ** 24 == pytest.approx(persistence_bound(prior, DAY))


def test_prior_is_for_bars_of_its_own_length() -> None:
    prior = load_prior(AS_OF)
    assert parameter_prior(prior, VolatilityModel.GARCH_T, DAY) is not None
    assert parameter_prior(prior, VolatilityModel.GARCH_T, 3600) is None
    assert parameter_prior(prior, VolatilityModel.EWMA_T, DAY) is None


def test_starting_states_are_half_own_half_pooled() -> None:
    prior = load_prior(AS_OF)
    variances = np.full(1000, 9e-4)
    states = starting_variances(variances, prior)
    assert states.shape == (200,)
    assert np.sum(states == 9e-4) == 100
    pooled = states[states != 9e-4] / 9e-4
    relative = np.exp(prior.log_relative_variances)
    assert relative[0] < pooled.min()
    assert pooled.max() < relative[-1]
    assert np.median(pooled) == pytest.approx(relative[50], rel=0.1)
    # Scale goes through.
    np.testing.assert_allclose(starting_variances(4 * variances, prior), 4 * states)


def test_a_long_history_knows_its_level_and_a_short_one_with_a_long_memory_does_not() -> None:
    """The error of the mean variance falls with the root of the length, and is nil where variance stands still."""
    shocks = np.tile(student_shocks(5.0), (1000, 1))
    draws = np.tile([0.0, 0.02 * 0.0016, 0.08, 0.0, 0.90, 5.0, 0.0016], (1000, 1))
    short, long, longer = (
        np.log(level_draws(draws, shocks, n, np.random.default_rng(5))).std() for n in (500, 2000, 8000)
    )
    # 1000 factors know their spread to a fortieth; with tails this heavy a mean gets better slowly.
    assert 1.1 < short / long < 2.5
    assert long == pytest.approx(2.0 * longer, rel=1e-12)
    still = constant_variance(0.02, 200)
    assert level_draws(still, shocks, 500, np.random.default_rng(5)) == pytest.approx(np.ones(200), rel=1e-12)


@pytest.mark.slow
def test_the_interval_of_an_exponential_forecast_holds_the_truth() -> None:
    """True 99 % quantiles of GARCH-t4: with nu alone uncertain 3 % lay inside; 90 % intervals now hold most."""
    rng, held, n = np.random.default_rng(5), 0, 60
    omega, alpha, beta, nu = 4e-5, 0.08, 0.90, 4.0
    scale = np.sqrt((nu - 2.0) / nu)
    for index in range(n):
        h, returns = omega / (1.0 - alpha - beta), np.empty(1000)
        for bar in range(1000):
            returns[bar] = np.sqrt(h) * rng.standard_t(nu) * scale
            h = omega + alpha * returns[bar] ** 2 + beta * h
        found = fit(VolatilityModel.EWMA_T, returns)
        plain = posterior_draws(found, returns, prior=None, generator=np.random.default_rng(index), n_draws=50)
        draws = exponential_draws(found, returns, plain, np.random.default_rng(index))
        free = draws[:, 5]
        low, high = interval(-np.sqrt(draws[:, 6] * (free - 2.0) / free) * stdtrit(free, 0.01))
        held += bool(low <= -np.sqrt(h) * scale * stdtrit(nu, 0.01) <= high)
    assert held / n >= 0.85
