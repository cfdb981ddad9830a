"""Walking through a venue's history page by page: whatever its page size, its order, its overlaps and its gaps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from math import isfinite
from typing import NamedTuple

from oracle_adapters.exchange.client import CLOCK_REMEDY, SKEW
from risk.errors import DataError, SettingsError

_DAY = 86400


class Record(NamedTuple):
    """One datum of a venue: the second it is stamped, the second it became known, and its figures."""

    time: int
    known: int
    values: tuple[float | None, ...]


Page = tuple[list[Record], dict[str, int]]
"""New records in order of time, and what reading them had to leave out."""


def walk(
    read: Callable[[int, int], Sequence[Record]],
    *,
    first: int,
    start: int,
    stop: int,
    now: int,
    apart: int,
    step: int,
    full: int,
    lag: int = 0,
    source: str,
) -> Iterator[Page]:
    """Records with ``start <= known < stop`` that are stamped from `first` on, each once and in order.

    A page that brings nothing new does not end the walk, for a market that was halted for months has such pages:
    the walk goes on by `step` until `stop`. A full page of the newest records, far from what was asked for, is a
    venue that keeps no more (Kraken keeps 720 bars): this is counted as ``history_cut``. The empty page before one that
    is not is asked for again, and the walk goes back where it holds something now: a venue's slip must not cost what no
    later fetch would ask for.

    Parameters
    ----------
    read
        One page: what is stamped from its first argument on, and, where the venue can, before its second.
    now
        Unix seconds; a record stamped over a minute later is refused.
    apart
        Least seconds between two stamps.
    step, full
        Seconds that a page can span at most, and records that it can hold.
    lag
        Least seconds from stamp to known.
    source
        Name of the feed, for messages.

    Raises
    ------
    DataError
        When two pages disagree about one stamp, two stamps are too near, or one lies in the future.
    """
    cursor = first
    last: dict[int, Record] = {}
    empty, doubted = None, set[int]()
    while cursor + lag < stop:
        counted: Counter[str] = Counter()
        page: dict[int, Record] = {}
        records = read(cursor, cursor + step)
        if records and empty is not None and empty not in doubted:
            doubted.add(empty)
            if read(empty, empty + step):
                cursor, empty = empty, None
                continue
        empty = None if records else cursor
        for record in records:
            at = record.time
            if at > now + SKEW:
                raise DataError("stamped in the future", file=source, field=written(at), remedy=CLOCK_REMEDY)
            inside = start <= record.known < stop
            if (known := page.get(at) or last.get(at)) is not None:
                if known != record:
                    raise DataError(
                        "the venue gives two versions of one datum",
                        file=source,
                        field=written(at),
                        value=[known.values, record.values],
                        remedy="Fetch again; if they stay, leave the venue out",
                    )
                counted["duplicates"] += inside
            elif at >= cursor:
                page[at] = record
            elif last and at > min(last):
                counted["late"] += inside  # given only after the page in which it belongs
        fresh = [page[at] for at in sorted(page)]
        stamps = ([max(last)] if last else []) + [record.time for record in fresh]
        for before, at in pairwise(stamps):
            if at - before < apart:
                remedy = "The venue's bars are not of the feed's timeframe"
                raise DataError(f"two stamps are {at - before} s apart", file=source, field=written(at), remedy=remedy)
        if fresh and fresh[0].time >= cursor + step and len(fresh) + 1 >= full:
            counted["history_cut"] += fresh[-1].time >= now - max(2 * apart, _DAY) and fresh[0].known < stop
        yield [r for r in fresh if start <= r.known < stop], {name: n for name, n in counted.items() if n}
        last = page or last
        cursor = fresh[-1].time + apart if fresh else cursor + step


def instant(date: str, field: str) -> int:
    """Unix seconds of an ISO date or time, in UTC where it names no zone.

    Raises
    ------
    SettingsError
        When it is none.
    """
    try:
        read = datetime.fromisoformat(date)
    except ValueError as error:
        raise SettingsError("not a date", field=field, value=date, remedy='Write e.g. "2022-05-14"') from error
    return int((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp())


def written(at: int) -> str:
    """A time for people, e.g. ``2024-03-13T11:00:00+00:00``."""
    return datetime.fromtimestamp(at, UTC).isoformat() if abs(at) < 2**36 else str(at)


def seconds(stamp: object, source: str) -> tuple[int, int]:
    """Whole seconds of a stamp in milliseconds, rounded down (what it is about) and up (when it is known).

    Raises
    ------
    DataError
        When it is no time after 1970.
    """
    if not isinstance(stamp, (int, float)) or not isfinite(stamp) or stamp <= 0:
        raise DataError("a datum without a time", file=source, value=stamp)
    return int(stamp // 1000), -int(-stamp // 1000)


def figure(value: object, source: str, field: str, *, above: float | None = 0.0, zero: bool = False) -> float:
    """A finite number; above zero, or also zero, unless `above` is None.

    Raises
    ------
    DataError
        Names the source and the field.
    """
    remedy = "Leave the venue out, or start after it"
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
        raise DataError("not a number", file=source, field=field, value=value, remedy=remedy)
    if above is not None and (value < above or (value == above and not zero)):
        message = "a negative amount" if zero else "a price must be above zero"
        raise DataError(message, file=source, field=field, value=value, remedy=remedy)
    return float(value)


def total(*counts: Mapping[str, int]) -> dict[str, int]:
    """Sum of counts; what was not met is absent."""
    summed: Counter[str] = Counter()
    for one in counts:
        summed.update(one)
    return {name: n for name, n in summed.items() if n}
