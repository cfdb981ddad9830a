"""How pairs of assets move together, as a table: copula, stress, factors, and joint extremes."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from risk.artifact import Table
from risk.calibration import Dependence
from risk.dependence.shrinkage import fit_factors, stressed, tail_dependence
from risk.errors import DataError
from risk.market import FloatArray, IntArray

PAIR_SCHEMA = {
    "asset": "str", "other": "str", "correlation": "f8", "factor_correlation": "f8", "stressed_correlation": "f8",
    "tail_dependence": "f8", "stressed_tail_dependence": "f8", "n_observations": "i8", "status": "str",
}  # fmt: skip
"""Of standardised residuals. `tail_dependence`: chance that one asset falls beyond an extreme quantile given that the
other does, under the fitted t copula."""
NO_FACTORS = "no factors"
MARKET = ("BTC", "ETH")
"""Market factors, where they are among the assets."""
STRESS_WEIGHT = 0.5
"""Of the correlation one, in the stressed matrix."""


def dependence_pairs(
    dependence: Dependence, residuals: Mapping[str, tuple[IntArray, FloatArray]], sectors: Mapping[str, str]
) -> Table:
    """Every pair of the fitted dependence.

    Parameters
    ----------
    dependence
    residuals
        End times and standardised residuals by asset.
    sectors
        Sector of an asset; members share a factor beyond the market.
    """
    names = dependence.assets
    if len(names) < 2:
        return Table.from_rows(PAIR_SCHEMA, [])
    crash = stressed(dependence.correlation, STRESS_WEIGHT)
    nu = dependence.degrees_of_freedom
    tails, crash_tails = tail_dependence(dependence.correlation, nu), tail_dependence(crash, nu)
    factors, reason, n = _factor_correlation(names, residuals, sectors)
    status = ", ".join(note for note in (dependence.status, reason) if note not in ("", "ok")) or "ok"
    rows = [
        (
            names[i], names[j], float(dependence.correlation[i, j]), float(factors[i, j]), float(crash[i, j]),
            float(tails[i, j]), float(crash_tails[i, j]), n, status,
        )
        for i, j in combinations(range(len(names)), 2)
    ]  # fmt: skip
    return Table.from_rows(PAIR_SCHEMA, rows)


def _factor_correlation(
    names: tuple[str, ...], residuals: Mapping[str, tuple[IntArray, FloatArray]], sectors: Mapping[str, str]
) -> tuple[FloatArray, str, int]:
    """Correlation that the factors imply, why there is none (then it is zero), and common bars."""
    times = residuals[names[0]][0]
    for name in names[1:]:
        times = np.intersect1d(times, residuals[name][0], assume_unique=True)
    common = {name: residuals[name][1][np.searchsorted(residuals[name][0], times)] for name in names}
    market = [name for name in MARKET if name in common]
    try:
        return fit_factors(common, market=market, sectors=sectors).correlation(), "ok", len(times)
    except DataError as error:
        return np.zeros((len(names), len(names))), f"{NO_FACTORS}: {error.message}", len(times)
