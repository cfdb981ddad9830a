"""Joint paths: against a plain form on the same bits and on other ones, threads, hostile input."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.special import chdtri, gammaincinv, ndtri, stdtr, stdtrit

from risk.dependence.copula import kendall_tau
from risk.dependence.draws import fill, seeded
from risk.dependence.joint import BLOCK_PATHS, correlated, simulate_joint
from risk.errors import DataError
from risk.streams import words

MARGINS = np.array([[0.0, 3.2e-5, 0.05, 0.06, 0.90, 4.0], [0.0, 3.2e-5, 0.08, 0.0, 0.90, 8.0]])
FIRST = np.array([0.0016, 0.0016])
R = np.array([[1.0, 0.6], [0.6, 1.0]])


def test_paths_are_those_of_a_plain_form_on_the_same_random_bits() -> None:
    """Recursion and copula with numpy, quantiles by scipy; the maps' relative errors of 2e-8 are all that differs."""
    n, bars, margins = 3, 4, np.vstack([MARGINS, MARGINS[0] + [0.001, 0, 0, 0, 0, 2], MARGINS[1], MARGINS[0]])
    d = len(margins)
    r = 0.3 + 0.7 * np.eye(d)
    found = simulate_joint(margins, np.full(d, 0.0016), r, 6.0, n_paths=n, n_bars=bars, seed=9)
    state = seeded(np.random.SeedSequence(9, spawn_key=words("joint", "paths", 0)))
    bits = np.empty(bars * (d + 1) * BLOCK_PATHS, np.uint64)
    fill(state, bits)
    side = (bits & np.uint64(1)).astype(bool).reshape(bars, d + 1, BLOCK_PATHS)[:, :, :n]
    u = (((bits >> np.uint64(12)) + 0.5) * 2.0**-52).reshape(bars, d + 1, BLOCK_PATHS)[:, :, :n]
    level, lowest, h = np.zeros((d, n)), np.zeros((d, n)), np.full((d, n), 0.0016)
    mu, omega, alpha, gamma, beta, nu = (margins[:, k : k + 1] for k in range(6))
    for t in range(bars):
        normals = np.where(side[t, :d], ndtri(u[t, :d] / 2), -ndtri(u[t, :d] / 2))
        chi_square = np.where(side[t, d], 2 * gammaincinv(3.0, u[t, d] / 2), chdtri(6.0, u[t, d] / 2))
        z = np.linalg.cholesky(r) @ normals * np.sqrt(6.0 / chi_square)
        e = np.sqrt(h) * stdtrit(nu, stdtr(6.0, z)) * np.sqrt((nu - 2) / nu)
        level += mu + e
        lowest = np.minimum(lowest, level)
        h = omega + (alpha + gamma * (e < 0)) * e**2 + beta * h
    np.testing.assert_allclose(found.terminal, level, rtol=0, atol=1e-6 * np.abs(level).max())
    np.testing.assert_allclose(found.minimum, lowest, rtol=0, atol=1e-6 * np.abs(level).max())


def test_correlated_is_the_product() -> None:
    rng = np.random.default_rng(1)
    for m in range(1, 11):
        weights, rows, out = rng.standard_normal(m), rng.standard_normal((12, 37)), np.empty(37)
        correlated(weights, rows, out)
        np.testing.assert_allclose(out, weights @ rows[:m], rtol=0, atol=1e-14)


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
