"""What reading a feed's rows met: bars that are missing, doubled, out of order, impossible or inconsistent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce

import numpy as np

from oracle_adapters.quality.check import Check, day
from risk.market import PriceSeries, Verdict

MISSING_BAD = 0.10
"""Share of missing bars from which a series is bad."""


def check_coverage(close: PriceSeries) -> Check:
    """From when to when, and whether that is a series at all."""
    span = f"{day(int(close.observed_at[0]))} to {day(int(close.observed_at[-1]))}"
    return Check("coverage", Verdict.GOOD if len(close) > 1 else Verdict.BAD, len(close), span)


def check_gaps(close: PriceSeries) -> Check:
    """Bars that are not there."""
    steps = np.rint(np.diff(close.observed_at) / close.interval).astype(np.int64) - 1
    missing = int(steps.clip(min=0).sum())
    if not missing:
        return Check("gaps", Verdict.GOOD, 0)
    longest = int(np.argmax(steps))
    verdict = Verdict.BAD if missing > MISSING_BAD * (missing + len(close)) else Verdict.SUSPECT
    return Check(
        "gaps", verdict, missing, f"longest {steps[longest]} bars before {day(int(close.observed_at[longest + 1]))}"
    )


def check_reading(counted: Mapping[str, int], bars: int) -> Iterator[Check]:
    """What the reader had to mend or leave out."""
    duplicates, unsorted = counted.get("duplicates", 0), counted.get("unsorted", 0)
    detail = "repeated rows dropped" if duplicates else ""
    yield Check("duplicates", Verdict.SUSPECT if duplicates else Verdict.GOOD, duplicates, detail)
    newest_first = 0 < unsorted == bars - 1
    detail = "newest first" if newest_first else "rows put in order" if unsorted else ""
    yield Check("unsorted", Verdict.SUSPECT if unsorted and not newest_first else Verdict.GOOD, unsorted, detail)
    cut = counted.get("cut", 0)
    yield Check("cut", Verdict.GOOD, cut, "outside the feed's start and stop" if cut else "")


def check_non_positive(fields: Mapping[str, PriceSeries]) -> Check:
    """Prices of zero or less."""
    bad = {name: int((one.value <= 0).sum()) for name, one in sorted(fields.items()) if name != "volume"}
    named = ", ".join(name for name, count in bad.items() if count)
    return Check("non_positive", Verdict.BAD if named else Verdict.GOOD, sum(bad.values()), named)


def check_inconsistent(fields: Mapping[str, PriceSeries]) -> Check:
    """Bars whose high lies below their open or close, or whose low lies above; of the bars that have all fields."""
    ranged = {name: one for name, one in fields.items() if name in ("open", "high", "low", "close")}
    ends = reduce(np.intersect1d, [one.observed_at for one in ranged.values()])
    value = {name: one.value[np.searchsorted(one.observed_at, ends)] for name, one in ranged.items()}
    inside = [value[name] for name in ("open", "close") if name in value]
    wrong = np.zeros(len(ends), dtype=bool)
    if "high" in value:
        wrong |= value["high"] < np.max(inside, axis=0)
    if "low" in value:
        wrong |= value["low"] > np.min(inside, axis=0)
    count = int(wrong.sum())
    detail = f"first {day(int(ends[np.argmax(wrong)]))}" if count else ""
    return Check("inconsistent", Verdict.SUSPECT if count else Verdict.GOOD, count, detail)
