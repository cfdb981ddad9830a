"""Variance of a bar from its open, high, low and close, or from the returns within it.

All estimators are per bar, in squared log-return units. Those from ranges assume that prices move continuously within
a bar: seen at discrete times the range is a little too small (Garman and Klass 1980, table 1).
"""

from __future__ import annotations

import math
from enum import StrEnum

import numpy as np

from risk.errors import DataError
from risk.volatility.models import Array, read_only


class RangeEstimator(StrEnum):
    """From what a bar's variance is estimated.

    `PARKINSON` (1980) and `GARMAN_KLASS` (1980, equation 12 without the opening jump) assume no drift;
    `ROGERS_SATCHELL` (1991) allows one.
    """

    PARKINSON = "parkinson"
    GARMAN_KLASS = "garman_klass"
    ROGERS_SATCHELL = "rogers_satchell"


def range_variances(bars: Array, estimator: RangeEstimator | str) -> Array:
    """Variance of each bar from its range, without what happens between bars.

    Parameters
    ----------
    bars : ndarray of shape (n, 4)
        Open, high, low and close of each bar; positive, low <= open, close <= high.
    estimator : RangeEstimator or its name

    Returns
    -------
    ndarray of shape (n,)
        Read-only. The estimate of Garman and Klass can be negative by rounding only where the bar does not move.

    Raises
    ------
    DataError
        Not such bars.
    """
    opened, high, low, close = _logs(bars)
    kind = RangeEstimator(estimator)
    if kind is RangeEstimator.PARKINSON:
        return read_only((high - low) ** 2 / (4.0 * math.log(2.0)))
    if kind is RangeEstimator.GARMAN_KLASS:
        return read_only(0.5 * (high - low) ** 2 - (2.0 * math.log(2.0) - 1.0) * (close - opened) ** 2)
    return read_only((high - close) * (high - opened) + (low - close) * (low - opened))


def yang_zhang(bars: Array, *, window: int | None = None) -> Array:
    """Variance per bar, with the jumps between bars, from the last `window` bars (Yang and Zhang 2000, equation 8).

    Sample variance of the opening jumps, plus k times that of open-to-close moves, plus 1 - k times the mean of Rogers
    and Satchell, with k = .34 / (1.34 + (m + 1) / (m - 1)).

    Parameters
    ----------
    bars : ndarray of shape (n, 4)
        As in `range_variances`.
    window : int, optional
        Opening jumps m in a window, at least 2; None takes all n - 1.

    Returns
    -------
    ndarray of shape (n - window,)
        One for each bar with `window` bars before it; read-only.

    Raises
    ------
    DataError
        Not such bars, or too few for the window.
    """
    opened, _, _, close = _logs(bars)
    n = len(opened)
    m = n - 1 if window is None else window
    if not 2 <= m <= n - 1:
        raise DataError(f"{n} bars have no window of {m} opening jumps", field="window", value=m)
    view = np.lib.stride_tricks.sliding_window_view
    jumps = view(opened[1:] - close[:-1], m)
    inside = view((close - opened)[1:], m)
    steady = view(range_variances(bars, RangeEstimator.ROGERS_SATCHELL)[1:], m).mean(axis=1)
    k = 0.34 / (1.34 + (m + 1) / (m - 1))
    return read_only(jumps.var(axis=1, ddof=1) + k * inside.var(axis=1, ddof=1) + (1.0 - k) * steady)


def realized_variances(returns: Array, bars_per_period: int) -> Array:
    """Sum of squared returns in each period (Andersen and Bollerslev 1998).

    Parameters
    ----------
    returns : ndarray of shape (n_periods * bars_per_period,)
        Log returns per intraday bar, whole periods only; finite.
    bars_per_period : int

    Returns
    -------
    ndarray of shape (n_periods,)
        Read-only.

    Raises
    ------
    DataError
        Returns that are not finite, or no whole number of periods.
    """
    sample = np.asarray(returns, dtype=np.float64)
    if bars_per_period < 1 or sample.ndim != 1 or sample.size % bars_per_period or not np.isfinite(sample).all():
        raise DataError(
            f"{sample.size} returns are not finite returns of whole periods of {bars_per_period} bars",
            field="returns",
            remedy="cut the series at the ends of periods and fill or leave out what is missing",
        )
    return read_only((sample.reshape(-1, bars_per_period) ** 2).sum(axis=1))


def _logs(bars: Array) -> tuple[Array, Array, Array, Array]:
    sample = np.asarray(bars, dtype=np.float64)
    if sample.ndim != 2 or sample.shape[1] != 4:
        raise DataError("bars have open, high, low and close", field="bars", value=f"shape {sample.shape}")
    good = np.isfinite(sample).all(axis=1) & (sample > 0.0).all(axis=1)
    good &= (sample[:, 1] >= sample.max(axis=1)) & (sample[:, 2] <= sample.min(axis=1))
    if not good.all():
        first = int(np.flatnonzero(~good)[0])
        raise DataError(
            f"{int((~good).sum())} of {len(sample)} bars are not finite, not positive or outside their own range",
            field="bars",
            value=f"position {first}: {sample[first].tolist()}",
            remedy="leave such bars out",
        )
    logs = np.log(sample)
    return logs[:, 0], logs[:, 1], logs[:, 2], logs[:, 3]
