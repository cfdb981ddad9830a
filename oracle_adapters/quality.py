"""A verdict per series: what is missing, mended, impossible, frozen, stale, or spiked.

Every check leaves a row also when it finds nothing, so that a reader sees what was looked at. Nothing is
repaired here: a bad series stays in the snapshot and is refused by name where it would be used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from risk.market import FloatArray, PriceSeries, Verdict
from risk.units import DAY

MISSING_BAD = 0.10
"""Share of missing bars from which a series is bad."""
STALE_SUSPECT_BARS, STALE_BAD = 2, 7 * DAY
"""A series is suspect when its last bar is older than two bars, bad when older than a week."""
FROZEN_RUN = 5
"""Bars of one value from which a run is suspect."""
FROZEN_SHARE_BAD, FROZEN_SHARE_USUAL = 0.5, 0.05
"""Repeated closes: above the first share the series is bad; below the second a run at its end is a stuck feed."""
SPIKE_SCALES = 6.0
"""A move is large beyond so many robust scales: 1.4826 times the median absolute return of 30 bars either side."""
SPIKE_WINDOW = 30
SPIKE_REMAINDER = 0.25
"""A spike has reverted when, a bar or two later, no more than this share of the move is left."""


@dataclass(frozen=True, slots=True)
class Check:
    """One row of the quality table without the series' name."""

    check: str
    verdict: Verdict
    count: int
    detail: str = ""


def assess(series: Sequence[PriceSeries], counted: Mapping[str, int], as_of: int) -> list[Check]:
    """All checks of one feed.

    Parameters
    ----------
    series
        The fields of the feed, none of them empty; the close is among them.
    counted
        What reading the rows had to mend or leave out.
    as_of
        Unix seconds against which the last bar is stale.
    """
    fields = {one.field: one for one in series}
    close = fields["close"]
    return [
        Check("coverage", Verdict.GOOD if len(close) > 1 else Verdict.BAD, len(close), _span(close)),
        _gaps(close),
        *_reading(counted, len(close)),
        _non_positive(fields),
        _inconsistent(fields),
        _spikes(close),
        _frozen(close),
        _stale(close, as_of),
    ]


def spikes(series: PriceSeries) -> npt.NDArray[np.bool_]:
    """Bars (n,) of a wrong print: a move beyond six robust scales that is gone again a bar or two later.

    A crash that stays is none, however large. The first bar, and the last one, which nothing has confirmed or
    denied yet, are never spikes, nor are bars next to a gap.
    """
    n = len(series)
    found = np.zeros(n, dtype=bool)
    if n < 4 or (series.value <= 0).any():
        return found
    moves = np.diff(np.log(series.value))
    whole = np.abs(np.diff(series.observed_at) - series.interval) * 24 <= series.interval
    size = np.abs(moves)
    # Coarsely rounded stablecoins have a median move of zero: what is usual for the series is no spike.
    usual = max(1.4826 * float(np.median(size)), float(np.quantile(size, 0.95)) / 2)
    for t in np.flatnonzero(size > SPIKE_SCALES * usual).tolist():
        left = moves[t]
        for width in (1, 2):
            if t + width >= n - 1 or not whole[t : t + width + 1].all():
                break
            left += moves[t + width]
            if abs(left) <= SPIKE_REMAINDER * size[t]:
                found[t + 1 : t + 1 + width] |= size[t] > SPIKE_SCALES * _local_scale(size, t, width)
                break
    return found


def _local_scale(size: FloatArray, t: int, width: int) -> float:
    around = np.concatenate((size[max(t - SPIKE_WINDOW, 0) : t], size[t + width + 1 : t + width + 1 + SPIKE_WINDOW]))
    return 1.4826 * float(np.median(around)) if len(around) else 0.0


def _spikes(close: PriceSeries) -> Check:
    where = np.flatnonzero(spikes(close))
    detail = ", ".join(_day(int(close.observed_at[i])) for i in where[:3]) + (" …" if len(where) > 3 else "")
    return Check("spikes", Verdict.SUSPECT if len(where) else Verdict.GOOD, len(where), detail)


def _gaps(close: PriceSeries) -> Check:
    steps = np.rint(np.diff(close.observed_at) / close.interval).astype(np.int64) - 1
    missing = int(steps.clip(min=0).sum())
    if not missing:
        return Check("gaps", Verdict.GOOD, 0)
    longest = int(np.argmax(steps))
    verdict = Verdict.BAD if missing > MISSING_BAD * (missing + len(close)) else Verdict.SUSPECT
    return Check(
        "gaps", verdict, missing, f"longest {steps[longest]} bars before {_day(int(close.observed_at[longest + 1]))}"
    )


def _reading(counted: Mapping[str, int], bars: int) -> Iterator[Check]:
    duplicates, unsorted = counted.get("duplicates", 0), counted.get("unsorted", 0)
    detail = "repeated rows dropped" if duplicates else ""
    yield Check("duplicates", Verdict.SUSPECT if duplicates else Verdict.GOOD, duplicates, detail)
    newest_first = 0 < unsorted == bars - 1
    detail = "newest first" if newest_first else "rows put in order" if unsorted else ""
    yield Check("unsorted", Verdict.SUSPECT if unsorted and not newest_first else Verdict.GOOD, unsorted, detail)
    cut = counted.get("cut", 0)
    yield Check("cut", Verdict.GOOD, cut, "outside the feed's start and stop" if cut else "")


def _non_positive(fields: Mapping[str, PriceSeries]) -> Check:
    bad = {name: int((one.value <= 0).sum()) for name, one in sorted(fields.items()) if name != "volume"}
    named = ", ".join(name for name, count in bad.items() if count)
    return Check("non_positive", Verdict.BAD if named else Verdict.GOOD, sum(bad.values()), named)


def _inconsistent(fields: Mapping[str, PriceSeries]) -> Check:
    """Bars whose high lies below their open or close, or whose low lies above."""
    inside = [fields[name].value for name in ("open", "close") if name in fields]
    wrong = np.zeros(len(fields["close"]), dtype=bool)
    if "high" in fields:
        wrong |= fields["high"].value < np.max(inside, axis=0)
    if "low" in fields:
        wrong |= fields["low"].value > np.min(inside, axis=0)
    count = int(wrong.sum())
    detail = f"first {_day(int(fields['close'].observed_at[np.argmax(wrong)]))}" if count else ""
    return Check("inconsistent", Verdict.SUSPECT if count else Verdict.GOOD, count, detail)


def _frozen(close: PriceSeries) -> Check:
    repeats = np.diff(close.value) == 0
    edges = np.flatnonzero(np.diff(np.concatenate(([False], repeats, [False])).astype(np.int8)))
    starts, lengths = edges[::2], edges[1::2] - edges[::2] + 1
    longest = int(lengths.max()) if len(lengths) else 1
    if longest < FROZEN_RUN:
        return Check("frozen", Verdict.GOOD, 0)
    at_end = int(lengths[-1]) if repeats[-1] else 1
    usual = (int(repeats.sum()) - (at_end - 1)) / len(repeats)
    stuck = at_end >= FROZEN_RUN and usual < FROZEN_SHARE_USUAL
    bad = stuck or repeats.mean() > FROZEN_SHARE_BAD
    count = int(lengths[lengths >= FROZEN_RUN].sum())
    detail = f"longest {longest} bars of {close.value[starts[np.argmax(lengths)]]:g}" + (
        ", at the end" if stuck else ""
    )
    return Check("frozen", Verdict.BAD if bad else Verdict.SUSPECT, count, detail)


def _stale(close: PriceSeries, as_of: int) -> Check:
    age = as_of - int(close.observed_at[-1])
    if age <= STALE_SUSPECT_BARS * close.interval:
        return Check("stale", Verdict.GOOD, 0)
    verdict = Verdict.BAD if age > max(STALE_BAD, STALE_SUSPECT_BARS * close.interval) else Verdict.SUSPECT
    return Check("stale", verdict, age // close.interval, f"the last bar ended {_day(int(close.observed_at[-1]))}")


def _span(close: PriceSeries) -> str:
    return f"{_day(int(close.observed_at[0]))} to {_day(int(close.observed_at[-1]))}"


def _day(instant: int) -> str:
    text = datetime.fromtimestamp(instant, tz=UTC).strftime("%Y-%m-%d %H:%M")
    return text.removesuffix(" 00:00")
