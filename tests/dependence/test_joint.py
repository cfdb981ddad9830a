"""Joint paths: the table against the exact map, moments and copula against a plain form, threads, hostile input."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.special import stdtr, stdtrit

from risk.dependence.copula import kendall_tau
from risk.dependence.joint import shock_table, simulate_joint
from risk.errors import DataError

MARGINS = np.array([[0.0, 3.2e-5, 0.05, 0.06, 0.90, 4.0], [0.0, 3.2e-5, 0.08, 0.0, 0.90, 8.0]])
FIRST = np.array([0.0016, 0.0016])
R = np.array([[1.0, 0.6], [0.6, 1.0]])


def test_the_table_is_the_exact_map() -> None:
    z = np.concatenate([np.geomspace(1e-4, 500, 4000)])
    for copula_nu, nu in ((5.0, 3.0), (5.0, 5.0), (4.0, 30.0)):
        table = shock_table(copula_nu, nu)
        place = z / (1 + z) * (len(table) - 1) / 0.9995
        left = np.minimum(place.astype(int), len(table) - 2)
        ratio = table[left] + (place - left) * (table[left + 1] - table[left])
        exact = -stdtrit(nu, stdtr(copula_nu, -z)) * np.sqrt((nu - 2) / nu) / z
        body = z < 30  # six standard deviations of the copula: one draw in 1e6 or fewer lies beyond
        np.testing.assert_allclose(ratio[body], exact[body], rtol=2e-5)
        np.testing.assert_allclose(ratio, exact, rtol=2e-2)


def test_moments_quantiles_and_copula_are_those_of_a_plain_simulation() -> None:
    n, bars = 40_000, 5
    fast = simulate_joint(MARGINS, FIRST, R, 5.0, n_paths=n, n_bars=bars, seed=1)
    rng = np.random.default_rng(2)
    level, lowest, h = np.zeros((2, n)), np.zeros((2, n)), np.repeat(FIRST[:, None], n, axis=1)
    nu = MARGINS[:, 5:]
    for _ in range(bars):
        z = np.linalg.cholesky(R) @ rng.standard_normal((2, n)) * np.sqrt(5 / rng.chisquare(5, n))
        e = np.sqrt(h) * stdtrit(nu, stdtr(5.0, z)) * np.sqrt((nu - 2) / nu)
        level += e
        lowest = np.minimum(lowest, level)
        h = MARGINS[:, 1:2] + (MARGINS[:, 2:3] + MARGINS[:, 3:4] * (e < 0)) * e**2 + MARGINS[:, 4:5] * h
    # Standard errors of 40,000 draws: below 1.5 % of a deviation, 3 % of a 1 % quantile, .006 of a tau.
    np.testing.assert_allclose(fast.terminal.std(axis=1), level.std(axis=1), rtol=0.06)
    for found, plain in ((fast.terminal, level), (fast.minimum, lowest)):
        np.testing.assert_allclose(
            np.quantile(found, [0.01, 0.1], axis=1), np.quantile(plain, [0.01, 0.1], axis=1), rtol=0.08
        )
    assert kendall_tau(*fast.terminal) == pytest.approx(kendall_tau(*level), abs=0.02)
    assert (fast.minimum <= np.minimum(fast.terminal, 0.0)).all()


def test_one_bar_has_the_kendall_tau_of_the_copula() -> None:
    found = simulate_joint(MARGINS, FIRST, R, 5.0, n_paths=20_000, n_bars=1, seed=3)
    # tau = 2 asin(rho) / pi; its standard error at n = 20,000 is below .005.
    assert kendall_tau(*found.terminal) == pytest.approx(2 / np.pi * np.arcsin(0.6), abs=0.02)
    assert found.terminal.std(axis=1) == pytest.approx([0.04, 0.04], rel=0.06)


def test_threads_and_more_paths_change_nothing() -> None:
    def run(n_paths: int, executor: ThreadPoolExecutor | None = None) -> np.ndarray:
        return simulate_joint(
            MARGINS, FIRST, R, 5.0, n_paths=n_paths, n_bars=3, seed=4, executor=executor
        ).terminal  # fmt: skip

    with ThreadPoolExecutor(3) as threads:
        np.testing.assert_array_equal(run(3000, threads), run(3000))
    np.testing.assert_array_equal(run(3000)[:, :700], run(700))


def test_hostile_input() -> None:
    for margins, first, matrix, nu, count in (
        (MARGINS[:, :5], FIRST, R, 5.0, 10),
        (MARGINS, FIRST[:1], R, 5.0, 10),
        (MARGINS, FIRST, np.eye(3), 5.0, 10),
        (MARGINS, FIRST, R, 2.0, 10),
        (MARGINS, FIRST, R, 5.0, 0),
    ):
        with pytest.raises(DataError, match="fit together"):
            simulate_joint(margins, first, matrix, nu, n_paths=count, n_bars=1, seed=1)
    with pytest.raises(DataError, match="positive definite"):
        simulate_joint(MARGINS, FIRST, np.ones((2, 2)) * [[1, 2], [2, 1]], 5.0, n_paths=10, n_bars=1, seed=1)
