"""Joint simulation of GJR-t margins under a t copula beside numpy and scipy: `make bench`.

Nanoseconds per path, bar and asset; terminal value and running minimum of 20 assets over 24 bars. Each is the least of
some runs that take turns, since other work on the machine only ever adds. Nothing is asserted.
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
    n_slow, n_fast = 2_048, 51_200

    def ours(executor: ThreadPoolExecutor | None) -> np.ndarray:
        return simulate_joint(
            margins, first, matrix, COPULA_NU, n_paths=n_fast, n_bars=BARS, seed=1, executor=executor
        ).terminal

    with ThreadPoolExecutor() as threads:
        cases = {
            "numpy + scipy": (n_slow, lambda: plain(margins, first, lower, n_slow, 1)),
            "ours, one thread": (n_fast, lambda: ours(None)),
            "ours, threads": (n_fast, lambda: ours(threads)),
        }
        least = dict.fromkeys(cases, np.inf)
        deviation = {}
        for _ in range(7):
            for label, (n, action) in cases.items():
                start = time.perf_counter()
                found = action()
                least[label] = min(least[label], 1e9 * (time.perf_counter() - start) / (n * BARS * ASSETS))
                deviation[label] = found.std(axis=1).mean()
    sys.stdout.write(f"\n{'':<34}{'ns':>8}{'ratio':>8}{'mean sd':>10}\n")
    for label, ns in least.items():
        sys.stdout.write(f"{label:<34}{ns:>8.1f}{least['numpy + scipy'] / ns:>8.0f}{deviation[label]:>10.4f}\n")
