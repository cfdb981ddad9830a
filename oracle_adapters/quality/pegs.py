"""Whether a pegged asset is where its peg says."""

from __future__ import annotations

import numpy as np

from oracle_adapters.magnitude import explain
from oracle_adapters.quality.check import Check, day
from risk.market import PriceSeries, Verdict

MEMORY = 30
"""Bars over which the level of a wrapper, which grows, is remembered."""
MAGNITUDE = 4.0
"""Off by this factor or more, a price is not off its peg but of the wrong size."""


def check_depeg(close: PriceSeries, peg: PriceSeries | None, name: str, tolerance: float, *, grows: bool) -> Check:
    """Bars on which an asset is off its peg; bad only where its price cannot be that of a pegged asset at all.

    Parameters
    ----------
    close, peg
        Closes of the asset and of its peg in one unit; no peg stands for the unit of account itself.
    name
        The peg, for messages.
    tolerance
        Deviation from which the peg is broken.
    grows
        A wrapper earns its yield, so it is compared with its own level over the last bars and not with one.
    """
    if peg is None:
        ratio, observed_at = close.value, close.observed_at
    else:
        at = np.searchsorted(peg.observed_at, close.observed_at, side="right") - 1
        fresh = (at >= 0) & (close.observed_at - peg.observed_at[at] < max(close.interval, peg.interval))
        ratio, observed_at = (close.value / peg.value[at])[fresh], close.observed_at[fresh]
    if not len(ratio):
        return Check("depeg", Verdict.SUSPECT, 0, f"no bar of {name} is there to compare with")
    last = float(ratio[-1])
    if abs(np.log(last)) >= np.log(MAGNITUDE):
        unit = 1.0 if peg is None else float(peg.value[-1])
        why = explain(float(close.value[-1]), unit, {} if peg is None else {f"{name}/{close.quote}": unit}, 0.5)
        detail = f"{close.value[-1]:,.6g} where {name} is {unit:,.6g}"
        return Check("depeg", Verdict.BAD, len(ratio), f"{detail}, {why}" if why else detail)
    level = _remembered(ratio) if grows else np.ones_like(ratio)
    off = np.abs(ratio / level - 1) > tolerance
    if not off.any():
        return Check("depeg", Verdict.GOOD, 0)
    worst = int(np.argmax(np.abs(np.log(ratio / level))))
    held = ", now too" if off[-1] else ""
    detail = f"{ratio[worst]:.4f} {name} on {day(int(observed_at[worst]))}, where {level[worst]:.4f} is its level{held}"
    return Check("depeg", Verdict.SUSPECT, int(off.sum()), detail)


def _remembered(ratio: np.ndarray) -> np.ndarray:
    """Median (n,) of the bars before; of the first bar its own value."""
    padded = np.concatenate((np.full(MEMORY, np.nan), ratio[:-1]))
    padded[MEMORY - 1] = ratio[0]
    windows = np.lib.stride_tricks.sliding_window_view(padded, MEMORY)
    level: np.ndarray = np.nanmedian(windows, axis=1)
    return level
