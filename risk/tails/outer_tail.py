"""Shocks from a tabulated quantile function, whose outermost cells are generalised Pareto and not a largest value.

A table of n quantiles ends at the probability 1 / 2n. Without a tail beyond, every quantile further out (over hours,
at a confidence that a parameter's life asks for) would be the table's last entry. Beyond the quantile q of the last
but one, at the probability p = 3 / 2n, a shock is q + b ((u / p)^-xi - 1) / xi: xi is that of the table's quantiles at
p, 3 p and 9 p (Pickands 1975, exact for a generalised Pareto tail), b keeps the mean of the outermost cell, which is
the table's last entry.
"""

from __future__ import annotations

import numpy as np

from risk.market import FloatArray, IntArray
from risk.volatility.jit import compiled

SHORTEST_TABLE = 100
"""A table of fewer quantiles has no outer tail to read."""
_XI_RANGE = (-0.5, 0.9)
_SMALLEST = 1e-15  # a uniform of zero has no quantile


def outer_tails(shocks: FloatArray) -> FloatArray:
    """Tail index and scale (n_rows, 2, 2) below and above each quantile function (n_rows, n_shocks).

    A scale of zero, of tables that are shorter than `SHORTEST_TABLE` or flat at their end, has no tail.
    """
    tails = np.zeros((len(shocks), 2, 2))
    if shocks.shape[1] < SHORTEST_TABLE:
        return tails
    for side, ends in enumerate((-shocks, shocks[:, ::-1])):
        mean, first, second, third = (ends[:, i] for i in (0, 1, 4, 13))
        near, far = second - third, first - second
        usable = (near > 0.0) & (far > 0.0)
        ratio = np.divide(far, near, out=np.ones_like(far), where=usable)
        xi = np.clip(np.log(ratio) / np.log(3.0), *_XI_RANGE)
        xi = np.where(np.abs(xi) > 1e-6, xi, 1e-6)
        tails[:, side, 0] = xi
        excess = np.maximum(mean - first, 0.0)
        tails[:, side, 1] = np.where(usable, excess * xi / (1.5**xi / (1.0 - xi) - 1.0), 0.0)
    return tails


@compiled
def shock_at(uniform: float, table: FloatArray, tail: FloatArray) -> float:
    """Shock of one uniform: interpolated in a quantile function (n_shocks,), beyond its ends by its tails (2, 2)."""
    n = table.shape[0]
    position = min(max(uniform * n - 0.5, 0.0), n - 1.0)
    if position < 1.0 and tail[0, 1] > 0.0:
        share = max(uniform, _SMALLEST) * n / 1.5
        return float(table[1] - tail[0, 1] * (share ** -tail[0, 0] - 1.0) / tail[0, 0])
    if position > n - 2.0 and tail[1, 1] > 0.0:
        share = max(1.0 - uniform, _SMALLEST) * n / 1.5
        return float(table[n - 2] + tail[1, 1] * (share ** -tail[1, 0] - 1.0) / tail[1, 0])
    left = min(int(position), n - 2)
    weight = position - left
    return float((1.0 - weight) * table[left] + weight * table[left + 1])


@compiled
def shocks_at(uniform: FloatArray, row: IntArray, shocks: FloatArray, tails: FloatArray, out: FloatArray) -> None:
    """Write into `out` the shocks of uniforms (n_paths, n_bars), those of path i from the table `row[i]`."""
    for path in range(uniform.shape[0]):
        for bar in range(uniform.shape[1]):
            out[path, bar] = shock_at(uniform[path, bar], shocks[row[path]], tails[row[path]])
