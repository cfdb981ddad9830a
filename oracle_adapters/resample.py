"""Longer bars from shorter ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from oracle_adapters.feed import COLUMNS, Chunk, Kind
from risk.artifact import Table
from risk.errors import DataError
from risk.market import FloatArray, IntArray

_RULES: Mapping[str, Callable[[FloatArray, IntArray], FloatArray]] = MappingProxyType(
    {
        "open": lambda values, starts: values[starts],
        "high": np.maximum.reduceat,
        "low": np.minimum.reduceat,
        "close": lambda values, starts: values[np.append(starts[1:], len(values)) - 1],
        "volume": np.add.reduceat,
    }
)
"""How bars of a field become one, from the values (n,) in order and the number of each longer bar's first (m,)."""


def resample(rows: Table, interval: int, longer: int) -> Chunk:
    """Longer bars, aligned to multiples of their length since 1970.

    The open is the first, the high the largest, the low the smallest, the close the last, and volumes add up, in the
    order of time. A longer bar is there only where all its bars are; those that are incomplete are counted, a field
    at a time, as ``incomplete``. It became known when the last of its bars did.

    Parameters
    ----------
    rows
        Price rows in order, without revisions, as a store or a feed gives them; `observed_at` is the end of a bar.
    interval, longer
        Length of the bars and of those that are wanted, in seconds; the second is a multiple of the first.

    Raises
    ------
    DataError
        When the lengths do not fit, a bar does not end on its interval, or a field is none of the five of bars.
    """
    if interval <= 0 or longer <= 0 or longer % interval:
        raise DataError("longer bars last a multiple of the shorter ones", field="interval", value=[interval, longer])
    found, incomplete, used = [], 0, 0
    for name in sorted(_RULES):
        mine = rows["field"] == name
        if not mine.any():
            continue
        bars, missed = _field(name, rows if mine.all() else rows.take(mine), interval, longer)
        found.append(bars)
        incomplete, used = incomplete + missed, used + int(mine.sum())
    if used < len(rows):
        stray = min(set(np.unique(rows["field"]).tolist()) - _RULES.keys())
        raise DataError("no bars are made of this field", field="field", value=stray)
    table = Table.concatenate(COLUMNS[Kind.PRICE], found)
    if len(found) > 1:
        table = table.take(np.lexsort((table["field"], table["observed_at"])))
    return Chunk(Kind.PRICE, table, {"incomplete": incomplete} if incomplete else {})


def _field(name: str, rows: Table, interval: int, longer: int) -> tuple[Table, int]:
    """Whole longer bars of one field, and how many are incomplete."""
    end = rows["observed_at"]
    if (off := end % interval != 0).any():
        raise DataError("a bar does not end on its interval", field="observed_at", value=int(end[np.argmax(off)]))
    bucket = -(-end // longer)
    starts = np.flatnonzero(np.diff(bucket, prepend=bucket[0] - 1))
    whole = np.diff(starts, append=len(end)) == longer // interval
    bars = {
        "observed_at": bucket[starts][whole] * longer,
        "field": np.full(int(whole.sum()), name),
        "known_at": np.maximum.reduceat(rows["known_at"], starts)[whole],
        "value": _RULES[name](rows["value"], starts)[whole],
    }
    return Table(bars), int((~whole).sum())
