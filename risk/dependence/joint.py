"""Joint simulation of GJR margins with Student-t innovations under one t copula: end and lowest point.

Every bar, correlated normals over the root of one chi-square become copula draws z with nu_c degrees of freedom, and
z becomes the shock F_i^-1(F_c(z)) of each asset. That map is tabulated: the ratio of shock to z over z / (1 + |z|),
8,193 knots a side, linear between. A block of paths has a random stream of its own, so that results depend neither on
the number of paths asked for nor on the executor that computes which block; no path is kept beyond its two numbers.
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.special import stdtr, stdtrit

from risk.errors import DataError
from risk.market import FloatArray, frozen
from risk.streams import stream
from risk.volatility.jit import compiled

BLOCK_PATHS = 512
_KNOTS = 8193
_EDGE = 0.9995  # |z| = 1,999, beyond which the ratio is held


@dataclass(frozen=True, slots=True)
class JointExtremes:
    """Of every path: log price at the end and at its lowest, relative to the start; (n_assets, n_paths), read-only."""

    terminal: FloatArray
    minimum: FloatArray


def simulate_joint(
    margins: FloatArray,
    first_variances: FloatArray,
    correlation: FloatArray,
    degrees_of_freedom: float,
    *,
    n_paths: int,
    n_bars: int,
    seed: int,
    executor: Executor | None = None,
) -> JointExtremes:
    """Simulate.

    Parameters
    ----------
    margins
        (n_assets, 6) mu, omega, alpha, gamma, beta, nu of each asset, as `FitResult.vector`.
    first_variances
        (n_assets,) variance of the first bar.
    correlation
        (n_assets, n_assets), positive definite.
    degrees_of_freedom
        Of the copula.
    n_paths, n_bars, seed
    executor
        Computes blocks; threads do, since the compiled step releases the interpreter lock.

    Raises
    ------
    DataError
        Shapes that do not fit, a matrix that is not positive definite, degrees of freedom not above 2, or no path.
    """
    parameters = np.ascontiguousarray(margins, dtype=np.float64)
    first = np.ascontiguousarray(first_variances, dtype=np.float64)
    d = len(parameters)
    shapes = parameters.shape == (d, 6) and first.shape == (d,) and np.shape(correlation) == (d, d)
    if not shapes or n_paths < 1 or n_bars < 1 or not (parameters[:, 5] > 2.0).all() or not degrees_of_freedom > 2.0:
        raise DataError("margins, variances, correlation, freedoms or counts do not fit together", field="margins")
    try:
        lower = np.linalg.cholesky(np.asarray(correlation, dtype=np.float64))
    except np.linalg.LinAlgError as error:
        raise DataError("the correlation is not positive definite", field="correlation") from error
    table = np.array([shock_table(degrees_of_freedom, nu) for nu in parameters[:, 5]])
    one = partial(_block, parameters, first, lower, degrees_of_freedom, table, n_bars, seed)
    blocks = list((map if executor is None else executor.map)(one, range(-(-n_paths // BLOCK_PATHS))))
    terminal, minimum = (np.concatenate([block[k] for block in blocks], axis=1)[:, :n_paths] for k in (0, 1))
    return JointExtremes(frozen(terminal), frozen(minimum))


def shock_table(copula_nu: float, nu: float) -> FloatArray:
    """Ratio (8193,) of the unit-variance t_nu shock to the copula draw z >= 0, at equal steps of z / (1 + z)."""
    w = np.linspace(0.0, _EDGE, _KNOTS)
    w[0] = 1e-6
    z = w / (1.0 - w)
    ratio: FloatArray = -stdtrit(nu, stdtr(copula_nu, -z)) * np.sqrt((nu - 2.0) / nu) / z
    return ratio


def _block(
    parameters: FloatArray,
    first: FloatArray,
    lower: FloatArray,
    copula_nu: float,
    table: FloatArray,
    n_bars: int,
    seed: int,
    block: int,
) -> tuple[FloatArray, FloatArray]:
    generator = stream(seed, "joint", "paths", block)
    d = len(parameters)
    level, lowest = np.zeros((d, BLOCK_PATHS)), np.zeros((d, BLOCK_PATHS))
    variance = np.repeat(first[:, None], BLOCK_PATHS, axis=1)
    for _ in range(n_bars):
        z = lower @ generator.standard_normal((d, BLOCK_PATHS))
        mixing = np.sqrt(copula_nu / generator.chisquare(copula_nu, BLOCK_PATHS))
        _advance(parameters, table, z, mixing, variance, level, lowest)
    return level, lowest


@compiled
def _advance(
    parameters: FloatArray,
    table: FloatArray,
    z: FloatArray,
    mixing: FloatArray,
    variance: FloatArray,
    level: FloatArray,
    lowest: FloatArray,
) -> None:
    """Move every path (n_assets, n_paths) by one bar, in place."""
    steps = (table.shape[1] - 1) / _EDGE
    last = table.shape[1] - 2
    for i in range(z.shape[0]):
        mu, omega, alpha, gamma, beta = (
            parameters[i, 0],
            parameters[i, 1],
            parameters[i, 2],
            parameters[i, 3],
            parameters[i, 4],
        )
        for k in range(z.shape[1]):
            draw = z[i, k] * mixing[k]
            size = abs(draw)
            place = size / (1.0 + size) * steps
            left = min(int(place), last)
            weight = min(place - left, 1.0)
            ratio = table[i, left] + weight * (table[i, left + 1] - table[i, left])
            e = np.sqrt(variance[i, k]) * draw * ratio
            level[i, k] += mu + e
            lowest[i, k] = min(lowest[i, k], level[i, k])
            variance[i, k] = omega + (alpha + (gamma if e < 0.0 else 0.0)) * e * e + beta * variance[i, k]
