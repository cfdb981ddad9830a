"""Joint simulation of GJR-t margins under a t copula beside numpy and scipy: `make bench`.

Nanoseconds per path, bar and asset; terminal value and running minimum of 20 assets over 24 bars. Nothing is asserted.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy.special import stdtr, stdtrit

from risk.dependence.joint import simulate_joint

ASSETS, BARS, COPULA_NU = 20, 24, 5.0


def plain(margins: np.ndarray, first: np.ndarray, lower: np.ndarray, n: int, seed: int) -> np.ndarray:
    """The same with numpy and scipy's exact distribution functions; terminal values (ASSETS, n)."""
    rng = np.random.default_rng(seed)
    level, lowest, h = np.zeros((ASSETS, n)), np.zeros((ASSETS, n)), np.repeat(first[:, None], n, axis=1)
    _, omega, alpha, gamma, beta, nu = (margins[:, k : k + 1] for k in range(6))
    for _ in range(BARS):
        z = lower @ rng.standard_normal((ASSETS, n)) * np.sqrt(COPULA_NU / rng.chisquare(COPULA_NU, n))
        e = np.sqrt(h) * stdtrit(nu, stdtr(COPULA_NU, z)) * np.sqrt((nu - 2) / nu)
        level += e
        np.minimum(lowest, level, out=lowest)
        h = omega + (alpha + gamma * (e < 0)) * e**2 + beta * h
    return level


def test_joint_simulation() -> None:
    """Both over their own number of paths, and the deviation of terminal values beside."""
    nus = np.linspace(3.5, 9.0, ASSETS)
    margins = np.column_stack([np.tile([0.0, 3.2e-5, 0.06, 0.04, 0.90], (ASSETS, 1)), nus])
    first, matrix = np.full(ASSETS, 0.0016), np.full((ASSETS, ASSETS), 0.5) + 0.5 * np.eye(ASSETS)
    lower = np.linalg.cholesky(matrix)
    simulate_joint(margins, first, matrix, COPULA_NU, n_paths=1, n_bars=1, seed=1)
    n_slow, n_fast = 4_096, 51_200
    start = time.perf_counter()
    slow = plain(margins, first, lower, n_slow, 1)
    slow_ns = 1e9 * (time.perf_counter() - start) / (n_slow * BARS * ASSETS)
    sys.stdout.write(f"\n{'':<34}{'ns':>8}{'ratio':>8}{'mean sd':>10}\n")
    sys.stdout.write(f"{'numpy + scipy':<34}{slow_ns:>8.1f}{1:>8}{slow.std(axis=1).mean():>10.4f}\n")
    with ThreadPoolExecutor() as threads:
        for label, executor in (("ours, one thread", None), ("ours, threads", threads)):
            start = time.perf_counter()
            found = simulate_joint(
                margins, first, matrix, COPULA_NU, n_paths=n_fast, n_bars=BARS, seed=1, executor=executor
            )
            ns = 1e9 * (time.perf_counter() - start) / (n_fast * BARS * ASSETS)
            deviation = found.terminal.std(axis=1).mean()
            sys.stdout.write(f"{label:<34}{ns:>8.1f}{slow_ns / ns:>8.0f}{deviation:>10.4f}\n")
