"""Dependence: published densities, a brute-force tau, simulate and recover, short and hostile input."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from risk.dependence.copula import GRID, fit_dependence, kendall_tau, log_density, positive_definite
from risk.errors import DataError, EvidenceError

Array = NDArray[np.float64]
R3 = np.array([[1.0, 0.7, 0.2], [0.7, 1.0, 0.4], [0.2, 0.4, 1.0]])


def t_sample(n: int, correlation: Array, nu: float, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n, len(correlation))) @ np.linalg.cholesky(correlation).T
    return np.asarray(z / np.sqrt(rng.chisquare(nu, (n, 1)) / nu))


@pytest.mark.parametrize(
    ("u", "rho", "nu", "expected"),
    [
        # pyvinecopulib 1.0.1, agreeing with an independent implementation.
        ((0.3, 0.7), 0.5, 4.0, -0.184208762990),
        ((0.01, 0.02), 0.5, 4.0, 2.191126840815),
        ((0.99, 0.9), -0.3, 6.0, -0.643368529186),
    ],
)
def test_published_densities(u: tuple[float, float], rho: float, nu: float, expected: float) -> None:
    found = log_density(np.array([u]), np.array([[1.0, rho], [rho, 1.0]]), nu)
    assert found[0] == pytest.approx(expected, abs=1e-11)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=2, max_size=40))
def test_tau_equals_the_count_over_all_pairs(points: list[tuple[int, int]]) -> None:
    x, y = np.array(points, dtype=float).T
    signs = [(np.sign(x[i] - x[j]), np.sign(y[i] - y[j])) for i, j in combinations(range(len(x)), 2)]
    surplus = sum(a * b for a, b in signs)
    loose = np.prod([np.sqrt(sum(s[k] != 0 for s in signs)) for k in (0, 1)])
    assert kendall_tau(x, y) == pytest.approx(surplus / loose if loose else 0.0, abs=1e-12)


def test_recovers_correlation_and_freedom() -> None:
    n, nu = 4000, 4.0
    sample = t_sample(n, R3, nu, seed=11)
    times = 86_400 * np.arange(n)
    fit = fit_dependence({name: (times, sample[:, i]) for i, name in enumerate("abc")})
    # sd of sin(pi tau/2) is below (pi/2) * 2/3 / sqrt(n) = .0166, a little more for a t: four of 1.2 times that.
    assert np.abs(fit.correlation - R3).max() < 4 * 1.2 * np.pi / 3 / np.sqrt(n)
    # Over 40 seeds the estimate has mean 3.92 and standard deviation .21: ranks and the grid bias it a little.
    assert fit.degrees_of_freedom == pytest.approx(nu, abs=0.8)
    assert (fit.status, fit.n_observations, fit.assets) == ("ok", n, ("a", "b", "c"))


def test_order_of_the_mapping_does_not_matter() -> None:
    sample, times = t_sample(300, R3, 5.0, 3), 60 * np.arange(300)
    parts = {name: (times, sample[:, i]) for i, name in enumerate("abc")}
    first, second = fit_dependence(parts), fit_dependence(dict(reversed(parts.items())))
    assert first.assets == second.assets
    assert (first.correlation == second.correlation).all()
    assert first.degrees_of_freedom == second.degrees_of_freedom


def test_a_gaussian_copula_ends_the_grid_and_says_so() -> None:
    rng = np.random.default_rng(5)
    z = rng.standard_normal((3000, 3)) @ np.linalg.cholesky(R3).T
    fit = fit_dependence({name: (np.arange(3000), z[:, i]) for i, name in enumerate("abc")})
    assert fit.degrees_of_freedom > 30
    assert ("end of the grid" in fit.status) == (fit.degrees_of_freedom == GRID[-1])


def test_short_pairs_fall_back_and_say_so() -> None:
    sample, times = t_sample(1000, R3, 4.0, 9), np.arange(1000)
    fit = fit_dependence(
        {"a": (times, sample[:, 0]), "b": (times, sample[:, 1]), "c": (times[:50], sample[:50, 2])}
    )  # fmt: skip
    assert "a:c has under 100 common bars" in fit.status
    assert "b:c" in fit.status
    assert "pairwise likelihood" in fit.status
    assert fit.correlation[0, 2] == pytest.approx(fit.correlation[0, 1])  # the only neighbour known
    assert np.linalg.eigvalsh(fit.correlation)[0] > 0
    assert fit.degrees_of_freedom == pytest.approx(4.0, abs=2.0)


def test_disjoint_assets_take_the_assumed_correlation() -> None:
    rng = np.random.default_rng(1)
    parts = {name: (200 * k + np.arange(150), rng.standard_normal(150)) for k, name in enumerate("ab")}
    fit = fit_dependence(parts)
    assert fit.correlation[0, 1] == pytest.approx(0.6)
    assert fit.n_observations == 0


def test_comonotone_assets_stay_positive_definite() -> None:
    x = np.random.default_rng(2).standard_normal(500)
    fit = fit_dependence({"a": (np.arange(500), x), "b": (np.arange(500), x), "c": (np.arange(500), -x)})
    assert np.linalg.eigvalsh(fit.correlation)[0] > 5e-5
    assert np.diag(fit.correlation) == pytest.approx(1.0)
    np.linalg.cholesky(fit.correlation)


@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_clipped_matrix_is_a_correlation(seed: int, d: int) -> None:
    noise = np.random.default_rng(seed).uniform(-1, 1, (d, d))
    matrix = np.tril(noise, -1) + np.tril(noise, -1).T + np.eye(d)
    found = positive_definite(matrix)
    assert np.linalg.eigvalsh(found)[0] > 0
    assert np.abs(found).max() <= 1 + 1e-12
    assert (found == found.T).all()


def test_one_asset_none_and_hostile_values() -> None:
    one = fit_dependence({"a": (np.arange(200), np.random.default_rng(1).standard_normal(200))})
    assert one.correlation.tolist() == [[1.0]]
    with pytest.raises(EvidenceError, match="no asset"):
        fit_dependence({})
    with pytest.raises(DataError, match="a: residuals are not finite"):
        fit_dependence({"a": (np.arange(2), np.array([0.0, np.nan]))})
    with pytest.raises(DataError, match="do not ascend"):
        fit_dependence({"a": (np.array([2, 1]), np.array([0.0, 1.0]))})


def test_tau_of_a_known_order() -> None:
    x = np.arange(5.0)
    assert kendall_tau(x, x) == 1.0
    assert kendall_tau(x, -x) == -1.0
    assert kendall_tau(x, np.zeros(5)) == 0.0
    assert all(a < b for a, b in pairwise(kendall_tau(x, np.roll(x, k)) for k in (2, 1)))


def test_a_perfectly_correlated_pair_does_not_drag_the_degrees_of_freedom() -> None:
    """Beside a wrapped twin two independent assets keep the copula that they have without it."""
    rng = np.random.default_rng(8)
    x, y = rng.standard_normal((2, 1500))
    times = np.arange(1500)
    alone = fit_dependence({"a": (times, x), "c": (times, y)})
    beside = fit_dependence({"a": (times, x), "b": (times, 2.0 * x), "c": (times, y)})
    assert beside.degrees_of_freedom == pytest.approx(alone.degrees_of_freedom, rel=0.25)
    assert beside.degrees_of_freedom > 20.0
    assert "b moves as a, left out of the degrees of freedom" in beside.status
    assert beside.correlation[0, 1] > 0.9
    assert np.linalg.eigvalsh(beside.correlation).min() > 0.0
