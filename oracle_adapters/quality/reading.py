"""What reading a feed's rows met: bars that are missing, doubled, out of order, impossible or inconsistent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from types import MappingProxyType

import numpy as np

from oracle_adapters.quality.check import Check, day
from risk.market import PriceSeries, Verdict

MISSING_BAD = 0.10
"""Share of missing bars from which a series is bad."""

COUNTS: Mapping[str, tuple[Verdict, str]] = MappingProxyType(
    {
        "late": (Verdict.SUSPECT, "rows left out that the source gave only after the page in which they belong"),
        "history_cut": (Verdict.SUSPECT, "the source keeps only its newest rows: those before are not there"),
        "without_volume": (Verdict.GOOD, "bars without a volume"),
        "volume_in_contracts": (Verdict.GOOD, "volumes left out that count contracts and not the asset"),
        "stale": (Verdict.SUSPECT, "samples left out at which the price was older than the feed's rule allows"),
        "sequencer": (Verdict.SUSPECT, "samples left out while the rollup's sequencer was down or had just come back"),
        "withdrawn": (Verdict.SUSPECT, "prices withdrawn: that the sequencer was down was reported only after them"),
        "nonpositive": (Verdict.SUSPECT, "answers left out that are not above zero"),
        "uncertain": (Verdict.SUSPECT, "samples left out whose confidence was too wide"),
        "unanswered": (Verdict.SUSPECT, "samples at which the contract did not answer, or was not there yet"),
        "incomplete": (Verdict.GOOD, "rounds left out that were never answered"),
        "backfilled": (Verdict.GOOD, "rounds left out that were closed with the answer of an earlier one"),
        "disordered": (Verdict.SUSPECT, "rounds left out that were updated before the round ahead of them"),
        "replaced": (Verdict.GOOD, "rounds of one second of which only the last counts"),
    }
)
"""Verdict and words of what adapters count."""
_OWN_ROWS = ("duplicates", "unsorted", "cut")


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
    yield from check_counts(counted)


def check_counts(counted: Mapping[str, int]) -> Iterator[Check]:
    """A row for everything else that an adapter counted, so that nothing it left out is unseen.

    What a source always has, such as rounds that were never answered, is good; what takes prices away is suspect,
    and so is a count that has no words here.
    """
    for name, count in sorted(counted.items()):
        if count and name not in _OWN_ROWS:
            verdict, detail = COUNTS.get(name, (Verdict.SUSPECT, "mended or left out in reading"))
            yield Check(f"read_{name}", verdict, count, detail)


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
