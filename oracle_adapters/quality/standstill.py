"""Prices that stand still: a frozen series, one that is overdue, and an oracle held at its floor or ceiling."""

from __future__ import annotations

import numpy as np

from oracle_adapters.pace import Pace, changes
from oracle_adapters.quality.check import Check, day
from risk.market import BoolArray, FloatArray, IntArray, PriceSeries, Verdict
from risk.units import DAY

STALE_SUSPECT_BARS, STALE_BAD = 2, 7 * DAY
"""A series is suspect when its last bar is older than two bars, bad when older than a week."""
HEARTBEAT_GRACE = 1.1
"""An update is late beyond so many heartbeats: a block and a round of oracles take their time."""
HEARTBEATS_BAD = 3
"""An on-chain feed is bad when its last update is older than so many heartbeats."""
FROZEN_RUN = 5
"""Bars of one value from which a run is suspect."""
FROZEN_SHARE_BAD, FROZEN_SHARE_USUAL = 0.5, 0.05
"""Repeated closes: above the first share the series is bad; below the second a run at its end is a stuck feed."""
COARSE_LEVELS = 0.5
"""With fewer different values than this share of its changes a series is coarse and returns to them, not frozen."""


def check_frozen(close: PriceSeries, pace: Pace | None = None) -> Check:
    """Runs of one value; a run at the end of a series that otherwise moves is a stuck feed.

    Samples of a feed that speaks seldom repeat between its updates: those are held against its pace. What it said
    of itself is then what may not repeat. Bars that repeat at such a pace are suspect: each should have its own price.
    """
    if pace is None or not (pace.updates is not None or (pace.heartbeat or 0) >= FROZEN_RUN * close.interval):
        return _repeated(close)
    own = Check("frozen", Verdict.GOOD, 0) if pace.updates is None else _repeated(pace.updates)
    slow = _silent(close, pace)
    return max(slow, own, key=lambda check: list(Verdict).index(check.verdict))


def _repeated(close: PriceSeries) -> Check:
    """Runs of one value on consecutive bars."""
    repeats = np.diff(close.value) == 0
    edges = np.flatnonzero(np.diff(np.concatenate(([False], repeats, [False])).astype(np.int8)))
    starts, lengths = edges[::2], edges[1::2] - edges[::2] + 1
    longest = int(lengths.max()) if len(lengths) else 1
    if longest < FROZEN_RUN:
        return Check("frozen", Verdict.GOOD, 0)
    at_end = int(lengths[-1]) if repeats[-1] else 1
    usual = (int(repeats.sum()) - (at_end - 1)) / len(repeats)
    stuck = at_end >= FROZEN_RUN and usual < FROZEN_SHARE_USUAL
    coarse = len(np.unique(close.value)) < COARSE_LEVELS * int((~repeats).sum())
    bad = stuck or (repeats.mean() > FROZEN_SHARE_BAD and not coarse)
    count = int(lengths[lengths >= FROZEN_RUN].sum())
    detail = f"longest {longest} bars of {close.value[starts[np.argmax(lengths)]]:g}" + (
        ", at the end" if stuck else ""
    )
    return Check("frozen", Verdict.BAD if bad else Verdict.SUSPECT, count, detail)


def _silent(close: PriceSeries, pace: Pace) -> Check:
    """Waits between updates, and since the last one, that the pace does not explain."""
    end = int(close.observed_at[-1])
    at = changes(close) if pace.updates is None else pace.updates.observed_at
    waits = np.diff(np.append(at[at <= end], end))
    longest = int(waits.max(initial=0))
    if pace.heartbeat is None:
        return Check("frozen", Verdict.SUSPECT, 0, f"longest wait {longest} s, {pace}")
    late = waits > HEARTBEAT_GRACE * pace.heartbeat + close.interval
    if not late.any():
        repeats = int((np.diff(close.value) == 0).sum())
        verdict, count = (Verdict.SUSPECT, repeats) if pace.bars else (Verdict.GOOD, 0)
        return Check("frozen", verdict, count, f"{pace}: prices repeat between updates")
    bad = waits[-1] > HEARTBEATS_BAD * pace.heartbeat
    return Check(
        "frozen", Verdict.BAD if bad else Verdict.SUSPECT, int(late.sum()),
        f"longest wait {longest} s{', at the end' if bad else ''}, {pace}",
    )  # fmt: skip


def check_stale(close: PriceSeries, as_of: int, heartbeat: int | None = None, pace: Pace | None = None) -> Check:
    """How old the last value is: against the heartbeat of an on-chain feed, else against the bars' interval."""
    age = as_of - int(close.observed_at[-1])
    last = day(int(close.observed_at[-1]))
    if heartbeat is not None:
        if age <= HEARTBEAT_GRACE * heartbeat:
            return Check("stale", Verdict.GOOD, 0)
        verdict = Verdict.BAD if age > HEARTBEATS_BAD * heartbeat else Verdict.SUSPECT
        return Check("stale", verdict, age // heartbeat, f"the last update was {last}, the heartbeat is {heartbeat} s")
    beat = 0 if pace is None or pace.heartbeat is None else pace.heartbeat
    fresh = max(STALE_SUSPECT_BARS * close.interval, round(HEARTBEAT_GRACE * beat))
    if age <= fresh:
        return Check("stale", Verdict.GOOD, 0)
    verdict = Verdict.BAD if age > max(STALE_BAD, fresh, HEARTBEATS_BAD * beat) else Verdict.SUSPECT
    return Check("stale", verdict, age // close.interval, f"the last bar ended {last}")


def check_late(close: PriceSeries, heartbeat: int) -> Check:
    """Updates of an on-chain feed that came later than its heartbeat."""
    waits = np.diff(close.observed_at)
    late = waits > HEARTBEAT_GRACE * heartbeat
    if not late.any():
        return Check("late", Verdict.GOOD, 0)
    longest = int(np.argmax(waits))
    detail = f"longest {int(waits[longest])} s before {day(int(close.observed_at[longest + 1]))}, the heartbeat is "
    return Check("late", Verdict.SUSPECT, int(late.sum()), f"{detail}{heartbeat} s")


def standing(value: FloatArray, others: FloatArray, tolerance: float) -> BoolArray:
    """Bars (n,) at which a source has stood still for five bars while every other moved one way beyond the tolerance.

    Parameters
    ----------
    value
        (n,) the source's price on the bars; NaN where it has none.
    others
        (n, m) the others' prices; NaN where they have none.
    """
    n = len(value)
    changed = np.concatenate(([True], ~(value[1:] == value[:-1])))
    start = np.maximum.accumulate(np.where(changed, np.arange(n), 0))
    moves = np.log(others / others[start])
    known = np.isfinite(moves)
    with np.errstate(invalid="ignore"):
        up, down = moves > np.log1p(tolerance), moves < -np.log1p(tolerance)
    moved = known.any(axis=1) & ((up | ~known).all(axis=1) | (down | ~known).all(axis=1))
    still: BoolArray = (np.arange(n) - start >= FROZEN_RUN - 1) & moved
    return still


def check_clamped(name: str, value: FloatArray, others: FloatArray, observed_at: IntArray, still: BoolArray) -> Check:
    """A source that stood still while the others moved: at the lowest value it ever had it is held by a floor.

    Bad where it is held at its own floor or ceiling and the others are beyond it.

    Parameters
    ----------
    name
        The source.
    value, others, observed_at
        (n,) the source's price, the others' median and the bars' ends.
    still
        (n,) as `standing` says.
    """
    if not still.any():
        return Check("clamped", Verdict.GOOD, 0)
    bar = int(np.flatnonzero(still)[-1])
    held, beyond = float(value[bar]), float(others[bar])
    bound = ""
    if held <= np.nanmin(value) and beyond < held:
        bound = "its floor"
    elif held >= np.nanmax(value) and beyond > held:
        bound = "its ceiling"
    said = f"{name} is held at {bound} of" if bound else f"{name} stands still at"
    detail = f"{said} {held:,.6g} while the others moved to {beyond:,.6g} by {day(int(observed_at[bar]))}"
    return Check("clamped", Verdict.BAD if bound else Verdict.SUSPECT, int(still.sum()), detail)
