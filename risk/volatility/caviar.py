"""Conditional autoregressive value at risk: a quantile with its own recursion (Engle and Manganelli 2004, JBES 22).

With v the value at risk, a positive log move:
symmetric absolute value    v[t + 1] = b0 + b1 v[t] + b2 |r[t]|
asymmetric slope            v[t + 1] = b0 + b1 v[t] + b2 max(r[t], 0) + b3 max(-r[t], 0)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from itertools import product

import numpy as np

from risk.errors import DataError
from risk.volatility.jit import compiled
from risk.volatility.models import Array, FitStatus, checked_returns, read_only
from risk.volatility.numeric import minimise

MINIMUM_EXCEPTIONS = 5
"""Expected exceptions below which a quantile is not fitted."""
_FIRST = 300


class QuantileModel(StrEnum):
    """Which recursion."""

    SYMMETRIC = "caviar_symmetric"
    ASYMMETRIC = "caviar_asymmetric"


@dataclass(frozen=True, slots=True)
class QuantileFit:
    """A fitted quantile recursion.

    Attributes
    ----------
    model : QuantileModel
    confidence : float
    coefficients : ndarray of shape (4,)
        b0 (log return per bar), b1, b2 and b3 (equal to b2 in the symmetric form); NaN when nothing was fitted.
    loss : float
        Mean quantile loss of the window, log return per bar.
    n_observations, n_exceptions : int
    status : FitStatus
        `CONVERGED` where the count of exceptions fits the first-order condition of a quantile regression: within the
        number of parameters of what is expected. The loss has kinks, so there is no gradient to report.
    decrement : float
        What the last restart of the search gained of the summed loss over the typical loss of a bar.
    n_starts, n_best_starts : int
    values : ndarray of shape (n_observations,)
        Value at risk of each bar of the window, one step ahead.
    next_value : float
        Of the bar after it.
    """

    model: QuantileModel
    confidence: float
    coefficients: Array
    loss: float
    n_observations: int
    n_exceptions: int
    status: FitStatus
    decrement: float
    n_starts: int
    n_best_starts: int
    values: Array
    next_value: float

    @property
    def usable(self) -> bool:
        """Whether there is a quantile to forecast with."""
        return self.values.size > 0


def fit_caviar(
    returns: Array, *, confidence: float, model: QuantileModel | str = QuantileModel.SYMMETRIC
) -> QuantileFit:
    """Fit the value at risk of a fall by quantile regression; for rises turn the sign of the returns.

    Parameters
    ----------
    returns : ndarray of shape (n,)
        Log returns per bar; finite.
    confidence : float
        In [0.5, 1).
    model : QuantileModel or its name

    Raises
    ------
    DataError
        Returns that are not finite, or a confidence out of range.
    """
    sample = checked_returns(returns)
    kind = QuantileModel(model)
    if not 0.5 <= confidence < 1.0:
        raise DataError("a confidence lies from 0.5 to below 1", field="confidence", value=confidence)
    outside = 1.0 - confidence
    n = sample.size
    low, high = (float(sample.min()), float(sample.max())) if n else (0.0, 0.0)
    short = n * outside < MINIMUM_EXCEPTIONS
    if short or high - low <= 1e-12 * max(abs(low), abs(high)):
        blank = read_only(np.empty(0))
        status = FitStatus.TOO_SHORT if short else FitStatus.DEGENERATE
        nothing = read_only(np.full(4, np.nan))
        return QuantileFit(kind, confidence, nothing, np.nan, n, 0, status, np.nan, 0, 0, blank, np.nan)
    unit = float(np.std(sample))
    y = sample / unit
    start = -float(np.quantile(y[:_FIRST], outside))
    values = np.empty(n + 1)
    symmetric = kind is QuantileModel.SYMMETRIC

    def full(x: Array) -> Array:
        return np.array([x[0], np.tanh(x[1]), x[2], x[2] if symmetric else x[3]])

    # Losses are per bar: the sum over the window is what converges to a fixed number of digits.
    typical = max(quantile_recursion(y, full(_points(y, outside, symmetric)[0]), start, outside, values), 1e-12)

    def objective(x: Array) -> float:
        return n * quantile_recursion(y, full(x), start, outside, values) / typical

    best = minimise(objective, _points(y, outside, symmetric), n_polished=4, tolerance=1e-6 * n)
    coefficients = full(best.x)
    loss = quantile_recursion(y, coefficients, start, outside, values)
    hits = int(np.sum(y < -values[:-1]))
    free = 3 if symmetric else 4
    settled = best.converged and abs(hits - n * outside) <= free + 1
    return QuantileFit(
        model=kind,
        confidence=confidence,
        coefficients=read_only(coefficients * np.array([unit, 1.0, 1.0, 1.0])),
        loss=loss * unit,
        n_observations=n,
        n_exceptions=hits,
        status=FitStatus.CONVERGED if settled else FitStatus.NOT_CONVERGED,
        decrement=best.decrement,
        n_starts=best.tried,
        n_best_starts=best.agreed,
        values=read_only(unit * values[:-1]),
        next_value=float(unit * values[-1]),
    )


def extend_quantile(fit: QuantileFit, returns: Array) -> Array:
    """One-step values at risk of the bars after the window, shape (m + 1,) for `returns` (m,) that came in them."""
    values = np.empty(returns.size + 1)
    quantile_recursion(returns, fit.coefficients, fit.next_value, 1.0 - fit.confidence, values)
    return read_only(values)


@compiled
def quantile_recursion(y: Array, coefficients: Array, start: float, outside: float, values: Array) -> float:
    """Mean quantile loss of `y` (n,); writes the value at risk of each bar and of the next into `values` (n + 1,)."""
    b0, b1, up, down = coefficients
    total = 0.0
    values[0] = start
    for t in range(y.shape[0]):
        gap = y[t] + values[t]
        total += (outside - (1.0 if gap < 0.0 else 0.0)) * gap
        values[t + 1] = b0 + b1 * values[t] + (up * y[t] if y[t] > 0.0 else -down * y[t])
    return float(total / y.shape[0])


def _points(y: Array, outside: float, symmetric: bool) -> Array:
    """A grid of starts whose mean level is the sample's quantile."""
    level, size = -float(np.quantile(y, outside)), float(np.mean(np.abs(y)))
    points: list[tuple[float, ...]] = []
    for b1, weight, tilt in product((0.5, 0.8, 0.9, 0.95, 0.98), (0.05, 0.15, 0.3, 0.6), (0.0, 0.5, -0.5)):
        slope = weight * (1.0 - b1) * level / size * 3.0
        b0 = level * (1.0 - b1) - slope * size
        if symmetric and tilt == 0.0:
            points.append((b0, math.atanh(b1), slope))
        elif not symmetric:
            points.append((b0, math.atanh(b1), slope * (1.0 - tilt), slope * (1.0 + tilt)))
    return np.array(points)
