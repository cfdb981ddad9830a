"""What a feed is: typed chunks of one kind of datum, fetched over a span of time; and its in-memory twin.

A kind is a column schema. Prices are kept long, one row a field and bar, so that a close-only source and a
full bar look alike. A further kind is one entry in `COLUMNS`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import takewhile
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from risk.artifact import Table
from risk.derivatives import OPTION_COLUMNS
from risk.errors import DefectError
from risk.market import PriceSeries

FOREVER = 2**62
"""An instant after every datum."""


class Kind(StrEnum):
    """What a chunk holds."""

    PRICE = "price"
    ROUND = "round"
    DEPTH = "depth"
    FUNDING = "funding"
    OPTION = "option"
    AGGREGATOR = "aggregator"
    SAFETY = "safety"
    STATE = "state"


_LONG = {"observed_at": "i8", "field": "str", "known_at": "i8", "value": "f8"}
_ROUND = {"phase": "i8", "round": "i8", "known_at": "i8", "observed_at": "i8", "started_at": "i8", "answer": "str"}
_DEPTH = {"observed_at": "i8", "side": "str", "level": "i8", "known_at": "i8", "price": "f8", "size": "f8"}
_OPTION = {"observed_at": "i8", "instrument": "str", "known_at": "i8", **OPTION_COLUMNS}
_AGGREGATOR = {
    "observed_at": "i8", "phase": "i8", "known_at": "i8", "aggregator": "str", "description": "str",
    "clamp_low": "str", "clamp_high": "str",
}  # fmt: skip
_STATE = {"observed_at": "i8", "part": "str", "subject": "str", "known_at": "i8", "value": "str"}

COLUMNS: Mapping[Kind, Mapping[str, str]] = MappingProxyType(
    {
        Kind.PRICE: MappingProxyType(_LONG),
        Kind.ROUND: MappingProxyType(_ROUND),
        Kind.DEPTH: MappingProxyType(_DEPTH),
        Kind.FUNDING: MappingProxyType(_LONG),
        Kind.OPTION: MappingProxyType(_OPTION),
        Kind.AGGREGATOR: MappingProxyType(_AGGREGATOR),
        Kind.SAFETY: MappingProxyType(_LONG),
        Kind.STATE: MappingProxyType(_STATE),
    }
)
"""Column name to type, by kind. The columns before `known_at` identify a row, and rows are sorted by them.

- price: `field` is open, high, low, close, volume or rate.
- round: known from when its feed serves it, which is its update or the change to its phase; `answer` is an exact
  decimal number, as text.
- depth: one row a price, `side` ``bid`` or ``ask``, `level` from zero at the best; `size` in units of the base.
- funding: `field` is ``rate`` (of one funding interval, paid by longs where positive), ``open_interest`` (in the
  venue's own count, base units or contracts) or ``open_interest_value`` (in the quote).
- option: `option_type` ``call`` or ``put``; `strike` and `underlying_price` in the quote, `mark`, `bid` and `ask`
  in the `settlement` currency, which is the coin for an inverse option; `mark_iv` a yearly fraction;
  `underlying` names the forward, `synthetic` where no such future is listed. `absent` names, with blanks
  between, the figures that the venue does not give: these hold zero, for absence is a status and not a NaN.
- aggregator: what stands behind a feed of rounds from a phase on: its address, what it calls itself, and the
  smallest and largest answer that it takes, exact as text and empty where there is no such bound.
- safety: how far an oracle can be moved. `field` is ``cost_up`` or ``cost_down`` (quote tokens lost in moving an
  average by the declared fraction), with the ``capital`` that it takes at once and the ``blocks`` that it is held;
  or ``headroom`` (of a cap above the rate, as a fraction of the rate).
- state: of a market, all that was read at one block (`observed_at`) for an instant (`known_at`): `part` is
  ``parameter``, ``changed_at``, ``bound``, ``fact``, ``check``, ``collateral``, ``debt`` and the like; `value` is JSON.
"""


def key_columns(kind: Kind) -> tuple[str, ...]:
    """Columns that identify a row of a kind: those before `known_at`."""
    return tuple(takewhile(lambda name: name != "known_at", COLUMNS[kind]))


def increasing(columns: Sequence[npt.NDArray[Any]]) -> bool:
    """Whether rows (n,) of these columns strictly increase, the first column leading."""
    least = len(columns[0]) - 1
    if least < 1:
        return True
    less, equal = np.zeros(least, dtype=bool), np.ones(least, dtype=bool)
    for column in columns:
        less |= equal & (column[:-1] < column[1:])
        equal &= column[:-1] == column[1:]
    return bool(less.all())


@dataclass(frozen=True, slots=True)
class FeedSpec:
    """What a feed is about.

    Attributes
    ----------
    kind
        Kind of its chunks.
    base, quote, source
        E.g. ``ETH``, ``USD``, ``files:eth.csv.gz``.
    interval
        Bar length in seconds.
    """

    kind: Kind
    base: str
    quote: str
    source: str
    interval: int

    @property
    def id(self) -> str:
        """Name of the feed, e.g. ``ETH/USD@files:eth.csv.gz``."""
        return f"{self.base}/{self.quote}@{self.source}"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows of one kind, and what reading them had to mend or leave out.

    Attributes
    ----------
    kind
        Names the schema of `rows`.
    rows
        Columns of `COLUMNS`, sorted by those before `known_at`, which identify a row.
    counted
        Rows by what was done to them in reading: ``duplicates`` dropped, ``unsorted`` put in order, ``cut`` as
        another asset's. Absent means none.

    Raises
    ------
    DefectError
        When the columns are not those of the kind, or the rows are not in order: an adapter's defect.
    """

    kind: Kind
    rows: Table
    counted: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.rows.schema != dict(COLUMNS[self.kind]):
            raise DefectError(
                "the columns of a chunk are not those of its kind", field=self.kind, value=self.rows.schema
            )
        if not increasing([self.rows[name] for name in key_columns(self.kind)]):
            raise DefectError("the rows of a chunk are not in order", field=self.kind)


class Feed(Protocol):
    """A source of data. Every adapter passes the one contract test.

    The rows of ``fetch(start, stop)`` have ``start <= known_at < stop`` and come in order over all chunks;
    fetching two neighbouring spans gives the rows of the whole span. What lies at or after `stop` changes
    neither the rows nor the counts.
    """

    @property
    def spec(self) -> FeedSpec:
        """What the feed is about."""
        ...

    def facts(self) -> Mapping[str, str]:
        """What the source says of itself, for people; outside every hash."""
        ...

    def fetch(self, start: int, stop: int) -> Iterator[Chunk]:
        """Rows that became known from `start` on and before `stop`, in unix seconds."""
        ...


class MemoryFeed:
    """A feed over rows that are already in memory.

    Parameters
    ----------
    spec
        What the rows are about.
    rows
        Columns of the spec's kind, in order.
    chunk_rows
        Rows a chunk.
    """

    def __init__(self, spec: FeedSpec, rows: Table, *, chunk_rows: int = 65_536) -> None:
        self._spec = spec
        self._chunk = Chunk(spec.kind, rows)
        self._chunk_rows = chunk_rows

    @property
    def spec(self) -> FeedSpec:
        """What the feed is about."""
        return self._spec

    def facts(self) -> Mapping[str, str]:
        """The number of rows."""
        return {"rows": str(len(self._chunk.rows))}

    def fetch(self, start: int, stop: int) -> Iterator[Chunk]:
        """Rows that became known from `start` on and before `stop`."""
        rows = self._chunk.rows
        known = rows["known_at"]
        rows = rows.take((known >= start) & (known < stop))
        for first in range(0, len(rows), self._chunk_rows):
            yield Chunk(self._spec.kind, rows.take(np.arange(first, min(first + self._chunk_rows, len(rows)))))


def heartbeat_of(feed: Feed) -> int | None:
    """Seconds within which a feed of updates, not bars, says something: its attribute `heartbeat`, where it has one."""
    found: int | None = getattr(feed, "heartbeat", None)
    return found


def collect(feed: Feed, start: int = 0, stop: int = FOREVER) -> Chunk:
    """One chunk with all rows of the span and the sum of its counts."""
    chunks = list(feed.fetch(start, stop))
    counted: Counter[str] = Counter()
    for chunk in chunks:
        counted.update(chunk.counted)
    return Chunk(feed.spec.kind, Table.concatenate(COLUMNS[feed.spec.kind], (c.rows for c in chunks)), dict(counted))


def price_series(spec: FeedSpec, rows: Table) -> tuple[PriceSeries, ...]:
    """One series a field of the price rows, in the order of their names."""
    found = []
    for name in np.unique(rows["field"]).tolist():
        part = rows.where(field=name)
        found.append(
            PriceSeries(
                spec.id, spec.base, spec.quote, spec.source, name, spec.interval,
                part["observed_at"], part["known_at"], part["value"],
            )
        )  # fmt: skip
    return tuple(found)
