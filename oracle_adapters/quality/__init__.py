"""A verdict per series: what is missing, mended, impossible, frozen, late, held, spiked, off its peg or alone.

Every check leaves a row also when it finds nothing, so that a reader sees what was looked at. Nothing is
repaired here: a bad series stays in the snapshot and is refused by name where it would be used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from oracle_adapters.pace import Pace, pace_of
from oracle_adapters.quality.check import Check, day
from oracle_adapters.quality.outliers import check_spikes, spikes
from oracle_adapters.quality.reading import (
    check_coverage,
    check_gaps,
    check_inconsistent,
    check_non_positive,
    check_reading,
)
from oracle_adapters.quality.standstill import check_frozen, check_late, check_stale
from risk.market import BoolArray, PriceSeries

__all__ = ["Check", "assess", "day", "spikes"]


def assess(
    series: Sequence[PriceSeries],
    counted: Mapping[str, int],
    as_of: int,
    *,
    heartbeat: int | None = None,
    pace: Pace | None = None,
    confirmed: BoolArray | None = None,
) -> list[Check]:
    """All checks of one feed that need nothing but itself.

    Parameters
    ----------
    series
        The fields of the feed, none of them empty; the close is among them.
    counted
        What reading the rows had to mend or leave out.
    as_of
        Unix seconds against which the last bar is stale.
    heartbeat
        Seconds within which an on-chain feed updates; None for bars. Updates have no bars that could be missing
        or repeat, so lateness takes the place of gaps.
    pace
        Of a feed that is sampled; by default that of bars, as their changes show it.
    confirmed
        (n,) bars of the close that a second source confirms.
    """
    fields = {one.field: one for one in series}
    close = fields["close"]
    if pace is None and heartbeat is None:
        pace = pace_of(close, bars=True)
    return [
        check_coverage(close),
        check_gaps(close) if heartbeat is None else check_late(close, heartbeat),
        *check_reading(counted, len(close)),
        check_non_positive(fields),
        check_inconsistent(fields),
        check_spikes(close, confirmed),
        check_frozen(close, pace),
        check_stale(close, as_of, heartbeat, pace),
    ]
