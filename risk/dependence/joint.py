"""Joint simulation of GJR margins with Student-t innovations under one t copula: end and lowest point.

Every bar, correlated normals over the root of one chi-square become copula draws z with nu_c degrees of freedom, and
z becomes the shock F_i^-1(F_c(z)) of each asset; normals, root and shocks come from the maps of
`risk.dependence.draws`. A block of paths has a random stream of its own, so that results depend neither on
the number of paths asked for nor on the executor that computes which block; no path is kept beyond its two numbers.
"""

from __future__ import annotations

import math
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import numpy as np

from risk.dependence.draws import (
    TAIL,
    Words,
    evaluate,
    fill,
    mixing_map,
    normal_map,
    probabilities,
    seeded,
    shock_map,
)
from risk.errors import DataError
from risk.market import FloatArray, frozen
from risk.streams import words
from risk.volatility.jit import compiled

BLOCK_PATHS = 512


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
    shocks = np.array([shock_map(degrees_of_freedom, nu) for nu in parameters[:, 5]])
    maps = normal_map(), mixing_map(degrees_of_freedom), shocks
    one = partial(_block, parameters, first, lower, *maps, n_bars, seed)
    blocks = list((map if executor is None else executor.map)(one, range(-(-n_paths // BLOCK_PATHS))))
    terminal, minimum = (np.concatenate([block[k] for block in blocks], axis=1)[:, :n_paths] for k in (0, 1))
    return JointExtremes(frozen(terminal), frozen(minimum))


def _block(
    parameters: FloatArray,
    first: FloatArray,
    lower: FloatArray,
    normal: FloatArray,
    mixing: FloatArray,
    shocks: FloatArray,
    n_bars: int,
    seed: int,
    block: int,
) -> tuple[FloatArray, FloatArray]:
    state = seeded(np.random.SeedSequence(seed, spawn_key=words("joint", "paths", block)))
    level, lowest = np.zeros((len(parameters), BLOCK_PATHS)), np.zeros((len(parameters), BLOCK_PATHS))
    _simulate(state, parameters, first, lower, normal, mixing, shocks, n_bars, level, lowest)
    return level, lowest


@compiled
def correlated(weights: FloatArray, rows: FloatArray, out: FloatArray) -> None:
    """Write the weighted sum of the first m `rows` (d, n) into `out` (n,), weights (m,): four rows a pass.

    Not the product of a library, whose last bits would depend on its version and threads.
    """
    m, n = weights.shape[0], out.shape[0]
    out[:] = 0.0
    for j in range(0, m - 3, 4):
        a, b, c, d = weights[j], weights[j + 1], weights[j + 2], weights[j + 3]
        for k in range(n):
            out[k] += (a * rows[j, k] + b * rows[j + 1, k]) + (c * rows[j + 2, k] + d * rows[j + 3, k])
    for j in range(m // 4 * 4, m):
        for k in range(n):
            out[k] += weights[j] * rows[j, k]


@compiled
def _simulate(
    state: Words,
    parameters: FloatArray,
    first: FloatArray,
    lower: FloatArray,
    normal: FloatArray,
    mixing: FloatArray,
    shocks: FloatArray,
    n_bars: int,
    level: FloatArray,
    lowest: FloatArray,
) -> None:
    """Move `level` and `lowest` (n_assets, n_paths) by `n_bars`; every loop goes over the paths of one asset."""
    d, n = level.shape
    bits = np.empty(n, np.uint64)
    tail, draw, root, shock = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    normals, variance = np.empty((d, n)), np.empty((d, n))
    for i in range(d):
        variance[i] = first[i]
    for _ in range(n_bars):
        for i in range(d):
            fill(state, bits)
            probabilities(bits, tail)
            evaluate(normal, TAIL, tail, draw)
            for k in range(n):
                normals[i, k] = -draw[k] if bits[k] & np.uint64(1) else draw[k]
        fill(state, bits)
        probabilities(bits, tail)
        evaluate(mixing[0], TAIL, tail, root)
        evaluate(mixing[1], TAIL, tail, draw)
        for k in range(n):
            root[k] = root[k] if bits[k] & np.uint64(1) else draw[k]
        for i in range(d):
            correlated(lower[i, : i + 1], normals, draw)
            for k in range(n):
                draw[k] *= root[k]
                tail[k] = 1.0 + abs(draw[k])
            evaluate(shocks[i], 0, tail, shock)
            mu, omega, alpha = parameters[i, 0], parameters[i, 1], parameters[i, 2]
            gamma, beta = parameters[i, 3], parameters[i, 4]
            for k in range(n):
                e = math.sqrt(variance[i, k]) * math.copysign(shock[k], draw[k])
                level[i, k] += mu + e
                lowest[i, k] = min(lowest[i, k], level[i, k])
                variance[i, k] = omega + (alpha + (gamma if e < 0.0 else 0.0)) * (e * e) + beta * variance[i, k]
