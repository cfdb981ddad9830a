"""Wrong prints told from crashes: a spike is gone again a bar or two later, a crash is not.

Both neighbours are used, so the last bar is never judged: nothing has confirmed or denied it yet. Where other
sources are there, they are asked first: a print that a second source confirms happened.
"""

from __future__ import annotations

import numpy as np

from oracle_adapters.quality.check import Check, days
from risk.market import BoolArray, FloatArray, PriceSeries, Verdict

LOCAL_SCALES = 6.0
"""A spike goes and comes back by more than so many robust scales of the returns around it."""
USUAL_SCALES = 2.0
"""And by more than so many scales of the whole series: a quiet or coarsely rounded month is no measure."""
WINDOW = 30
"""Bars on either side from which the local scale is taken."""
REMAINDER = 0.4
"""A spike has come back when no more than this share of the larger of its two moves is left."""
WIDTHS = (1, 2)
"""Bars that a wrong print may last."""


def spikes(series: PriceSeries, confirmed: BoolArray | None = None) -> BoolArray:
    """Bars (n,) of a wrong print.

    The thresholds were chosen on real bars: of 94,000 daily and 387,000 hourly closes fewer than one in 10,000
    is marked, and 95 % of one-bar prints that are wrong by twelve local scales are found.

    Parameters
    ----------
    series
        Closes; the first bar, the last one and those next to a gap are never marked.
    confirmed
        (n,) bars that a second source confirms; these are never marked.
    """
    n = len(series)
    found = np.zeros(n, dtype=bool)
    if n < 4 or (series.value <= 0).any():
        return found
    moves = np.diff(np.log(series.value))
    whole = np.abs(np.diff(series.observed_at) - series.interval) * 24 <= series.interval
    size = np.abs(moves)
    usual = max(1.4826 * float(np.median(size)), float(np.quantile(size, 0.95)) / 2)
    for width in WIDTHS:
        into, back = moves[: n - 1 - width], moves[width:]
        smaller, larger = np.minimum(np.abs(into), np.abs(back)), np.maximum(np.abs(into), np.abs(back))
        left = np.abs(np.log(series.value[width + 1 :] / series.value[: n - 1 - width]))
        unbroken = np.lib.stride_tricks.sliding_window_view(whole, width + 1).all(axis=1)
        candidate = (into * back < 0) & (smaller > USUAL_SCALES * usual) & (left <= REMAINDER * larger) & unbroken
        for t in np.flatnonzero(candidate).tolist():
            if smaller[t] > LOCAL_SCALES * _local_scale(size, t, width):
                found[t + 1 : t + 1 + width] = True
    return found if confirmed is None else found & ~confirmed


def _local_scale(size: FloatArray, t: int, width: int) -> float:
    """Robust scale of the moves around those from t to t + width: from their median, or their 90 % quantile.

    For normal moves the two are the same; of coarsely rounded prices half the moves are zero.
    """
    around = np.concatenate((size[max(t - WINDOW, 0) : t], size[t + width + 1 : t + width + 1 + WINDOW]))
    if not len(around):
        return 0.0
    return max(1.4826 * float(np.median(around)), float(np.quantile(around, 0.9)) / 1.645)


def check_spikes(close: PriceSeries, confirmed: BoolArray | None = None) -> Check:
    """Spikes that nothing confirms; those that a second source confirms are told."""
    mask = spikes(close, confirmed)
    detail = days(close.observed_at, mask)
    if confirmed is not None and (kept := int((spikes(close) & confirmed).sum())):
        detail = "; ".join(part for part in (detail, f"{kept} confirmed by a second source") if part)
    return Check("spikes", Verdict.SUSPECT if mask.any() else Verdict.GOOD, int(mask.sum()), detail)
