"""Measures of simulated losses, each with its standard error. Failed paths are NaN and take no part."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from risk.market import FloatArray


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure from simulation, its standard error, and the paths behind it."""

    value: float
    standard_error: float
    n_paths: int
    n_failed: int


def mean(losses: FloatArray, scale: float = 1.0) -> Estimate:
    """Mean of the losses (n_paths,), times `scale`."""
    good, failed = _good(losses)
    if not len(good):
        return Estimate(0.0, 0.0, len(losses), failed)
    error = float(good.std(ddof=1)) / math.sqrt(len(good)) if len(good) > 1 else 0.0
    return Estimate(scale * float(good.mean()), scale * error, len(losses), failed)


def expected_shortfall(losses: FloatArray, confidence: float) -> Estimate:
    """Mean of the worst share 1 - `confidence` of the losses (n_paths,).

    The estimator of Acerbi and Tasche (2002, definition 2.6), a boundary path counting in part; the standard error
    of Manistre and Hancock (2005, Variance of the CTE estimator): sqrt((s² + p (ES - VaR)²) / (n (1 - p))), s the
    standard deviation of losses beyond VaR.
    """
    good, failed = _good(losses)
    if not len(good):
        return Estimate(0.0, 0.0, len(losses), failed)
    tail = len(good) * (1.0 - confidence)
    whole = min(int(tail + 1e-9), len(good))
    ordered = np.sort(good)[::-1]
    boundary = float(ordered[min(whole, len(good) - 1)])
    value = (float(ordered[:whole].sum()) + max(tail - whole, 0.0) * boundary) / tail
    spread = float(ordered[:whole].var(ddof=1)) if whole > 1 else 0.0
    error = math.sqrt((spread + confidence * (value - boundary) ** 2) / tail)
    return Estimate(value, error, len(losses), failed)


def share_above(losses: FloatArray, tolerance: float) -> Estimate:
    """Share of the losses (n_paths,) above `tolerance`; its error is not zero where no path is (k + ½ of n + 1)."""
    good, failed = _good(losses)
    if not len(good):
        return Estimate(0.0, 0.0, len(losses), failed)
    hits = int((good > tolerance).sum())
    smoothed = (hits + 0.5) / (len(good) + 1)
    error = math.sqrt(smoothed * (1 - smoothed) / len(good))
    return Estimate(hits / len(good), error, len(losses), failed)


def _good(losses: FloatArray) -> tuple[FloatArray, int]:
    finite = np.isfinite(losses)
    return losses[finite], int((~finite).sum())
