"""How often assets fall together over a horizon: the joint simulation of margins and copula against what happened."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy.special import bdtrc, betaincinv

from risk.calibration import Dependence, SubjectModel
from risk.dependence.copula import common_bars
from risk.dependence.joint import simulate_joint
from risk.errors import DataError
from risk.market import FloatArray

Row = tuple[object, ...]
Hits = npt.NDArray[np.bool_]

JOINT_SCHEMA = {
    "asset": "str", "other": "str", "horizon": "i8", "confidence": "f8", "n_paths": "i8", "joint": "f8",
    "conditional": "f8", "lower": "f8", "upper": "f8", "n_windows": "i8", "falls": "i8", "seen": "f8",
    "p_value": "f8", "status": "str",
}  # fmt: skip
"""A fall is a loss at the horizon beyond the asset's own quantile. `joint` is the simulated chance that both fall,
`conditional` that the other does where one does, with its 90 % Monte-Carlo interval; 1 less the confidence if assets
were independent. `seen` is the conditional share among non-overlapping windows of history, of `falls` falls of one, and
`p_value` that of so many joint falls or more under the simulated chance."""
N_PATHS = 4096
CONFIDENCE = 0.95
FEWEST_WINDOWS = 100


def joint_falls(
    models: Mapping[str, SubjectModel], dependence: Dependence, *, horizon: int, seed: int
) -> tuple[Row, ...]:
    """A row a pair; margins are posterior means.

    Parameters
    ----------
    models
        By asset, of those in `dependence` at least.
    horizon
        Seconds; at least one bar is simulated.
    """
    names = dependence.assets
    intervals = {models[name].interval for name in names}
    if len(names) < 2:
        return ()
    bars = max(1, -(-horizon // max(intervals)))
    try:
        if len(intervals) != 1:
            raise DataError("assets have bars of different lengths", field="interval", value=sorted(intervals))
        means = np.array([models[name].draws.mean(axis=0) for name in names])
        found = simulate_joint(
            means[:, :6], means[:, 6], dependence.correlation, max(dependence.degrees_of_freedom, 2.01),
            n_paths=N_PATHS, n_bars=bars, seed=seed,
        )  # fmt: skip
    except DataError as error:
        nothing = (0, CONFIDENCE, 0, 0.0, 0.0, 0.0, 0.0, 0, 0, 0.0, 1.0, f"not simulated: {error.message}")
        return tuple((one, two, *nothing) for one, two in combinations(names, 2))
    simulated = _falls(found.terminal.T)
    _, returns = common_bars(list(names), {n: (models[n].observed_at, models[n].returns) for n in names})
    windows = len(returns) // bars
    sums = returns[len(returns) - windows * bars :].reshape(windows, bars, len(names)).sum(axis=1)
    seen = _falls(sums) if windows else np.zeros((0, len(names)), dtype=bool)
    return tuple(
        (names[i], names[j], bars * max(intervals), *_pair(simulated[:, [i, j]], seen[:, [i, j]]))
        for i, j in combinations(range(len(names)), 2)
    )


def _falls(moves: FloatArray) -> Hits:
    """Where moves (n, d) lie below their own quantile; ties of prices that stand still do not."""
    below: Hits = moves < np.quantile(moves, 1.0 - CONFIDENCE, axis=0)
    return below


def _pair(simulated: Hits, seen: Hits) -> tuple[object, ...]:
    """What one pair of columns says."""
    one, both = int(simulated[:, 0].sum()), int(simulated.all(axis=1).sum())
    # Jeffreys' interval of a share.
    lower, upper = (float(betaincinv(both + 0.5, one - both + 0.5, q)) for q in (0.05, 0.95))
    chance = both / one if one else 0.0
    falls, together = int(seen[:, 0].sum()), int(seen.all(axis=1).sum())
    status = "ok" if len(seen) >= FEWEST_WINDOWS else f"under {FEWEST_WINDOWS} windows of history"
    p_value = float(bdtrc(together - 1, falls, (both + 0.5) / (one + 1.0))) if together else 1.0
    return (
        CONFIDENCE, N_PATHS, both / len(simulated), chance, lower, upper, len(seen), falls,
        together / falls if falls else 0.0, p_value, status,
    )  # fmt: skip
