from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize

from risk.tails.extreme_value import TailPrior, fit_tail, weighted_moments
from risk.tails.penalised import penalised_mode


def _log_posterior(z: np.ndarray, xi: float, log_scale: float, mean: float, sd: float) -> float:
    u = 1.0 + xi * z / math.exp(log_scale)
    if u.min() <= 0.0:
        return -1e10
    return float(-z.size * log_scale - (1.0 + 1.0 / xi) * np.log(u).sum() - 0.5 * ((xi - mean) / sd) ** 2)


@pytest.mark.parametrize("xi", [-0.2, 1e-3, 0.15, 0.6])
@pytest.mark.parametrize(("mean", "sd"), [(0.2, 0.05), (0.1, 0.4), (-0.1, 0.2)])
@pytest.mark.parametrize("n", [12, 60, 250])
def test_the_mode_is_the_one_that_a_simplex_finds(xi: float, mean: float, sd: float, n: int) -> None:
    z = np.expm1(-xi * np.log(np.random.default_rng(n).random(n))) / xi
    start = weighted_moments(z)
    start = (max(start[0], 0.01), math.log(start[1]))
    *mode, converged = penalised_mode(z, *start, mean, sd)
    assert converged
    simplex = minimize(
        lambda point: -_log_posterior(z, *point, mean, sd), start, method="Nelder-Mead",
        options={"xatol": 1e-10, "fatol": 1e-13, "maxiter": 4000},
    ).x  # fmt: skip
    # A simplex tells heights apart to rounding only, eps * n, so places to its root; Newton's slope is exact.
    assert mode == pytest.approx(simplex, abs=20 * math.sqrt(np.finfo(float).eps * n))
    height = _log_posterior(z, *mode, mean, sd)
    assert height >= _log_posterior(z, *simplex, mean, sd) - 1e-13 * max(1.0, abs(height))


def test_slopes_go_smoothly_through_a_tail_index_of_zero() -> None:
    # The exponential limit: a prior nailed to either side of zero gives the same scale.
    z = np.random.default_rng(0).exponential(size=400)
    scales = [penalised_mode(z, 0.0, 0.0, at, 1e-9)[1] for at in (-1.1e-4, -0.9e-4, 0.0, 0.9e-4, 1.1e-4)]
    assert np.ptp(scales) < 3e-4
    assert scales[2] == pytest.approx(math.log(z.mean()), abs=1e-9)


def test_a_likelihood_without_a_mode_says_so() -> None:
    # Below an index of -1 the likelihood grows without bound towards the end of the support.
    z = np.linspace(0.9, 1.0, 12)
    xi, scale = weighted_moments(z)
    assert xi < -1.0
    assert not penalised_mode(z, xi, math.log(scale), 0.1, 1.0)[2]


def test_a_tail_without_a_mode_is_held_at_the_lowest_index() -> None:
    losses = np.concatenate([np.zeros(40), 1.0 + np.linspace(0.9, 1.0, 12)])
    fit = fit_tail(losses, threshold=1.0, prior=TailPrior(0.1, 1.0))
    assert fit.xi == -0.5
