"""The search over several starts: its ranking of starts, how often it misses the best optimum, rolling refits."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from risk.volatility import kernel, search
from risk.volatility.coordinates import problem, unconstrained
from risk.volatility.engine import fit_garch, refit_rolling
from risk.volatility.models import FitStatus, Presample, VolatilityModel

Simulate = Callable[..., tuple[np.ndarray, float]]
MODELS = (VolatilityModel.GARCH_T, VolatilityModel.GJR_T)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("n", [61, 160, 700])
def test_heights_are_log_likelihoods_up_to_a_constant(model: VolatilityModel, n: int, simulate: Simulate) -> None:
    stated = problem(model, simulate(n, np.random.default_rng(3))[0], prior=None, presample=Presample.MEAN)
    rng = np.random.default_rng(4)
    thetas = np.column_stack([np.full(9, 0.02), rng.uniform(0.01, 1, 9), *rng.uniform(0, 0.3, (2, 9)), np.full(9, 0.6)])
    thetas = np.column_stack([thetas, np.full(9, 4.5), np.zeros(9)])
    out = np.empty(9)
    search.heights(stated.y, thetas, stated.presample, out)
    exact = np.array([kernel.log_likelihood(stated.y, theta, stated.presample, stated.form) for theta in thetas])
    # Sums of n terms of some nats each, rounded at 1e-16 of the sum.
    np.testing.assert_allclose(out - out[0], exact - exact[0], rtol=0, atol=1e-12 * n)


def test_accumulate_is_the_recursion() -> None:
    rng = np.random.default_rng(5)
    for n in range(1, 14):
        values = rng.standard_normal(n)
        expected = values.copy()
        for t in range(1, n):
            expected[t] += 0.9 * expected[t - 1]
        kernel.accumulate(values, 0.9)
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-14)


def market(seed: int, n: int) -> np.ndarray:
    """GJR-t returns with parameters drawn over what markets show; every other series has no leverage."""
    rng = np.random.default_rng([seed, n])
    nu, up, extra, persistence = rng.uniform((3, 0.02, -0.02, 0.7), (8, 0.2, 0.15, 0.995))
    extra = extra if seed % 2 else 0.0
    z = rng.standard_t(nu, n + 500) * np.sqrt((nu - 2) / nu)
    y, h = np.empty(z.size), 0.0016
    for t, shock in enumerate(z):
        y[t] = np.sqrt(h) * shock
        h = 0.0016 * (1 - persistence) + (up + extra * (shock < 0)) * y[t] ** 2 + (persistence - up - extra / 2) * h
    return y[500:]


@pytest.mark.slow
@pytest.mark.parametrize("n", [250, 500])
@pytest.mark.parametrize("model", MODELS)
def test_four_starts_seldom_miss_the_best_of_thirty(model: VolatilityModel, n: int) -> None:
    """More than .01 nats short on at most .7 % of 200 short series: one."""
    rng = np.random.default_rng(6)
    short = []
    for seed in range(200):
        y = market(seed, n)
        stated = problem(model, y, prior=None, presample=Presample.EWMA75)
        metric = np.empty((kernel.SIZE, kernel.SIZE))
        best = found = fit_garch(model, y).log_likelihood
        for _ in range(24):
            persistence = rng.uniform(0.2, 0.999)
            alpha = persistence * rng.uniform(0.005, 0.4)
            up = alpha * (2 * rng.uniform() if model is VolatilityModel.GJR_T else 1)
            start = [
                y.mean(),
                y.var() * (1 - persistence),
                up,
                2 * (alpha - up),
                persistence - alpha,
                rng.uniform(3, 9),
            ]
            x = unconstrained(np.array(start), stated)
            search.metric_at(stated, x, metric)
            _, _, value, *_, flag, _, _ = search.search(stated, x, metric, True, 0)
            if flag == search.CONVERGED:
                best = max(best, -value - n * np.log(stated.scale))
        if best - found > 0.01:
            short.append((seed, round(best - found, 3)))
    print(f"{model}, {n} returns: short on {short}")
    assert len(short) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_rolling_refits_keep_up_with_cold_ones(model: VolatilityModel) -> None:
    """Every seventh of 250 windows of 12 series, where most windows are refitted from the last optimum alone."""
    gaps = []
    for seed in range(12):
        y = market(seed, 750)
        origins = range(500, 750)
        rolled = refit_rolling(model, y, origins, window=500)
        assert sum(result.n_starts == 1 for result in rolled) > 30
        gaps += [
            fit_garch(model, y[o - 500 : o]).log_likelihood - r.log_likelihood
            for o, r in zip(origins, rolled, strict=True)
        ][::7]
    assert np.mean(np.array(gaps) > 0.01) <= 0.02
    assert np.mean(np.array(gaps) < -0.01) <= 0.02


def test_rolling_refits_search_anew_where_the_window_is_new_or_the_optimum_at_an_edge(simulate: Simulate) -> None:
    y = simulate(1100, np.random.default_rng(7))[0]
    rolled = refit_rolling(VolatilityModel.GARCH_T, y, range(1000, 1041), window=1000)
    assert all(result.status is FitStatus.CONVERGED for result in rolled)
    assert [k for k, result in enumerate(rolled) if result.n_starts > 1] == [0, 10, 20, 30, 40]
    flat = np.random.default_rng(8).standard_normal(120) * 0.01
    rolled = refit_rolling(VolatilityModel.GJR_T, flat, range(100, 120), window=100)
    for before, after in pairwise(rolled):
        assert after.n_starts == 5 or before.status is FitStatus.CONVERGED
