"""How fast a fit is beside arch, in one run and with the optima beside each other: `make bench`.

Times are the least of some repeats that take turns, after compilation: other work on the machine only ever adds.
Ratios within one run are what counts; nothing is asserted.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from risk.volatility.engine import fit_batch, fit_garch, refit_rolling
from risk.volatility.models import FitResult, VolatilityModel
from risk.volatility.reference import fit_with_arch


def series(n: int, seed: int) -> np.ndarray:
    """Simulate GARCH(1,1)-t5 log returns with a daily standard deviation of 4 %."""
    rng = np.random.default_rng(seed)
    z = rng.standard_t(5, n + 500) * np.sqrt(3 / 5)
    y = np.empty(z.size)
    h = 0.0016
    for t, shock in enumerate(z):
        y[t] = np.sqrt(h) * shock
        h = 3.2e-5 + 0.08 * y[t] ** 2 + 0.9 * h
    return y[500:]


def timed(*actions: Callable[[], object], repeats: int = 5) -> list[float]:
    """Least milliseconds of each action."""
    least = [np.inf] * len(actions)
    for _ in range(repeats):
        for k, action in enumerate(actions):
            start = time.perf_counter()
            action()
            least[k] = min(least[k], 1e3 * (time.perf_counter() - start))
    return least


def compare(label: str, ours: Callable[[], Sequence[FitResult]], theirs: Callable[[], Sequence[FitResult]]) -> None:
    """Write one line: milliseconds of both, their ratio, and the worst of our log-likelihoods minus theirs.

    Where `theirs` are every tenth of ours, their time counts tenfold.
    """
    mine, others = ours(), theirs()
    every = len(mine) // len(others)
    gain = min(a.log_likelihood - b.log_likelihood for a, b in zip(mine[::every], others, strict=True))
    fast, slow = timed(ours, theirs)
    slow *= every
    sys.stdout.write(f"{label:<44}{fast:>10.2f}{slow:>10.0f}{slow / fast:>9.0f}{gain:>14.1e}\n")


@pytest.mark.parametrize("model", [VolatilityModel.GARCH_T, VolatilityModel.GJR_T, VolatilityModel.GJR_SKEWT])
def test_fit_beside_arch(model: VolatilityModel) -> None:
    """Ten fits of 1,000 returns and 100 rolling refits; arch from its own single start."""
    samples = [series(1000, seed) for seed in range(10)]
    path = series(1100, 1)
    origins = range(1000, 1100)

    def arch_fits() -> list[FitResult]:
        return [fit_with_arch(model, sample, n_starts=0) for sample in samples]

    def arch_rolling() -> list[FitResult]:
        return [fit_with_arch(model, path[origin - 1000 : origin], n_starts=0) for origin in origins]

    sys.stdout.write(f"\n{'':<44}{'ours ms':>10}{'arch ms':>10}{'ratio':>9}{'worst nats':>14}\n")
    for starts in (4, 1):

        def fits(starts: int = starts) -> list[FitResult]:
            return [fit_garch(model, sample, n_starts=starts) for sample in samples]

        compare(f"{model} 10 fits, T=1000, from {starts}", fits, arch_fits)
    for starts in (4, 0):

        def rolling(starts: int = starts) -> tuple[FitResult, ...]:
            return refit_rolling(model, path, origins, window=1000, n_starts=starts)

        compare(f"{model} 100 refits, warm and from {starts}", rolling, arch_rolling)


def test_rolling_and_batch_beside_arch() -> None:
    """500 rolling refits of GARCH-t and a batch of 200 assets of GJR-t; arch on every tenth, times ten."""
    path = series(1500, 1)
    origins = range(1000, 1500)
    assets = [series(1000, 100 + seed) for seed in range(200)]

    sys.stdout.write(f"\n{'arch on every tenth, its time times ten':<44}{'ours ms':>10}{'arch ms':>10}{'ratio':>9}\n")
    for starts in (4, 0):

        def rolling(starts: int = starts) -> tuple[FitResult, ...]:
            return refit_rolling(VolatilityModel.GARCH_T, path, origins, window=1000, n_starts=starts)

        compare(
            f"garch_t 500 refits, warm and from {starts}",
            rolling,
            lambda: [
                fit_with_arch(VolatilityModel.GARCH_T, path[o - 1000 : o], n_starts=0) for o in list(origins)[::10]
            ],
        )
    with ThreadPoolExecutor() as threads:
        for label, executor in (("one by one", None), ("on threads", threads)):
            for starts in (4, 1):

                def batch(starts: int = starts, executor: ThreadPoolExecutor | None = executor) -> Sequence[FitResult]:
                    return fit_batch(VolatilityModel.GJR_T, assets, n_starts=starts, executor=executor)

                compare(
                    f"gjr_t 200 assets, from {starts}, {label}",
                    batch,
                    lambda: [fit_with_arch(VolatilityModel.GJR_T, y, n_starts=0) for y in assets[::10]],
                )
