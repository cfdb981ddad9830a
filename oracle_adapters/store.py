"""An append-only store of feed rows in Parquet, read as it was known at an instant.

A folder a feed, holding ``feed.json`` and immutable Parquet parts. A part is named after when its rows became
known and after its bytes; it is written aside, flushed and renamed under the folder's lock, so that a crash leaves
no half part and two writers never disagree. Nothing is changed or taken back: a value that was revised is a second
row with a later `known_at`, and reads take the last one known. Sources that can take rows back, such as a chain
that reorganises, give them only once that is over; see `oracle_adapters.fetching`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from oracle_adapters import parts
from oracle_adapters.anchor import REMEDY
from oracle_adapters.feed import COLUMNS, FOREVER, Chunk, FeedSpec, Kind, increasing, key_columns
from risk.artifact import Column, Table, canonical_json, json_hash
from risk.errors import DataError, DefectError
from risk.market import IntArray

ANCHOR, COUNTED = "anchor.json", "counted"


WITHDRAWN = "withdrawn"
"""Field of a row of prices that says that those of its bar count no more; what it holds as a value means nothing."""


class Store:
    """Rows of many feeds in one folder.

    Parameters
    ----------
    folder
        Where it lives; made by the first append.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def folder(self) -> Path:
        """Where it lives."""
        return self._folder

    def append(
        self, spec: FeedSpec, rows: Table, *, since: int = 0, counted: Mapping[str, int] = MappingProxyType({})
    ) -> int:
        """Add the rows that the store does not hold yet, and return how many these are.

        Parameters
        ----------
        spec, rows
            Which feed, and its rows.
        since, counted
            What reading them had to mend or leave out, from that instant to the last of the rows. It is written
            first: after a kill between the two the same window is fetched, and written, again.

        Raises
        ------
        DataError
            When a row disagrees with another, or with one of the store, that became known at the same instant:
            names both values. When the part cannot be written, e.g. on a full disk; the store is then as it was.
        """
        if not len(rows):
            if counted and (place := self._place(spec)).exists():
                with parts.exclusive(place):
                    _keep_counted(place, since, since, counted)
            return 0
        first, last = int(rows["known_at"].min()), int(rows["known_at"].max())
        if first < 0:
            raise DefectError("a row became known before 1970", field=spec.id, value=first)
        place = self._place(spec)
        with parts.exclusive(place):
            held = self._rows(spec, first, last)
            both = Table.concatenate(COLUMNS[spec.kind], [held, rows]) if len(held) else rows
            kept = _distinct(spec, both)
            new = both.take(kept[kept >= len(held)])
            _keep_counted(place, since, last, counted)
            if len(new):
                parts.write_whole(place / "feed.json", canonical_json(asdict(spec)).encode())
                parts.write(place, new)
        return len(new)

    def counted(self, spec: FeedSpec, *, known_at: int = FOREVER) -> dict[str, int]:
        """What reading the rows of a feed had to mend or leave out, over the windows that were fetched.

        A window that lies within another was fetched twice and counts once; one that begins after `known_at` does
        not count. Neighbouring windows share an instant, whose rows a resumed fetch reads again: what is counted
        there may count twice. It depends on how the feed was fetched, so it is outside every content hash.

        Raises
        ------
        DataError
            When a count is damaged.
        """
        windows = []
        for path in self._place(spec).glob(f"{COUNTED}-*.json"):
            try:
                _, first, last = path.stem.split("-")
                found = {str(name): int(n) for name, n in json.loads(path.read_bytes()).items()}
                windows.append((int(first), -int(last), found))
            except (ValueError, TypeError, AttributeError) as error:
                remedy = "Remove it: what was left out is then not known"
                raise DataError("a count of the store is damaged", file=str(path), remedy=remedy) from error
        total: Counter[str] = Counter()
        reached = -1
        for start, negative_stop, found in sorted(windows, key=lambda one: one[:2]):
            if -negative_stop > reached and start <= known_at:
                total.update(found)
                reached = -negative_stop
        if spec.kind is Kind.PRICE and (gone := len(self._rows(spec, 0, known_at, {"field": WITHDRAWN}))):
            total["withdrawn"] = gone
        return dict(sorted(total.items()))

    def anchor(self, spec: FeedSpec) -> Mapping[str, Any] | None:
        """What the last fetch of a feed relied on, see `oracle_adapters.anchor`; None where nothing is kept.

        Raises
        ------
        DataError
            When it is damaged.
        """
        path = self._place(spec) / ANCHOR
        try:
            content = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise DataError("the anchor of a feed is damaged", file=str(path), remedy=REMEDY)
        return content

    def keep_anchor(self, spec: FeedSpec, anchor: Mapping[str, Any]) -> None:
        """Keep what a fetch relied on in place of what an earlier one did; outside every content hash.

        Raises
        ------
        DataError
            When it cannot be written.
        """
        place = self._place(spec)
        if place.exists():  # nothing held relies on nothing
            with parts.exclusive(place):
                parts.replace_whole(place / ANCHOR, canonical_json(dict(anchor)).encode())

    def specs(self) -> tuple[FeedSpec, ...]:
        """Feeds that the store holds, by name.

        Raises
        ------
        DataError
            When a description is damaged.
        """
        found = []
        for path in self._folder.glob("*/feed.json"):
            try:
                content = json.loads(path.read_bytes())
                found.append(FeedSpec(**{**content, "kind": Kind(content["kind"])}))
            except (ValueError, TypeError, KeyError) as error:
                raise DataError(
                    "the description of a feed is damaged", file=str(path), remedy="Remove its folder and fetch again"
                ) from error
        return tuple(sorted(found, key=lambda spec: spec.id))

    def read(
        self, spec: FeedSpec, *, known_at: int = FOREVER, start: int = 0, stop: int = FOREVER, **equal: str
    ) -> Table:
        """Rows of a feed as they were known at an instant: of a revised value the last one known then.

        Parameters
        ----------
        spec
            Which feed.
        known_at
            Nothing that became known later is read.
        start, stop
            Only rows that became known from `start` on and before `stop`, as `Feed.fetch` has it.
        equal
            Only rows whose text column has a value, e.g. ``field="close"``.

        Raises
        ------
        DataError
            When two rows that became known at the same instant disagree, or a part is damaged.
        """
        last = min(known_at, stop - 1)
        rows = self._rows(spec, start, last, equal)
        keys = key_columns(spec.kind)
        if not increasing([rows[name] for name in keys]):
            rows = rows.take(_distinct(spec, rows))
            later = np.ones(len(rows), dtype=bool)
            later[:-1] = np.any([rows[name][:-1] != rows[name][1:] for name in keys], axis=0)
            rows = rows.take(later)
        if spec.kind is Kind.PRICE and len(gone := self._rows(spec, start, last, {"field": WITHDRAWN})):
            rows = rows.take(~np.isin(rows["observed_at"], gone["observed_at"]))
        return rows

    def withdraw(self, spec: FeedSpec, first: int, stop: int, known_at: int) -> int:
        """Have prices about ``first <= observed_at < stop`` count no more from `known_at` on; returns how many bars.

        Nothing is removed: a row of its own says so, and what was known before it reads as it did.
        """
        held = self.read(spec, start=first, known_at=known_at)["observed_at"]
        times = np.unique(held[(held >= first) & (held < stop)])
        n = len(times)
        columns = (times, np.full(n, WITHDRAWN), np.full(n, known_at, dtype=np.int64), np.ones(n))
        if n:
            self.append(spec, Table(dict(zip(COLUMNS[Kind.PRICE], columns, strict=True))))
        return n

    def content_hash(self, spec: FeedSpec, *, known_at: int = FOREVER) -> str:
        """Hash of what `read` returns; how it is laid out in parts does not matter."""
        return self.read(spec, known_at=known_at).digest()

    def last_known(self, spec: FeedSpec) -> int | None:
        """The latest `known_at` of a feed; None when nothing is held."""
        return max((span[1] for span in map(parts.span, self.part_files(spec))), default=None)

    def resume_at(self, spec: FeedSpec) -> int:
        """The instant from which a fetch goes on, itself included; 0 when nothing is held.

        Rows come in the order of what they are about and never become known before it. So whatever an interrupted
        fetch had not given yet became known at or after the last `observed_at` that it gave. Rounds come in the
        order in which they were served, which is when they became known.
        """
        column = "known_at" if spec.kind is Kind.ROUND else "observed_at"
        return parts.largest(self.part_files(spec), column)

    def count(self, spec: FeedSpec, start: int = 0, stop: int = FOREVER) -> int:
        """Rows, revisions included, that became known from `start` on and before `stop`."""
        return parts.count(self.part_files(spec), start, stop - 1)

    def verify(self, spec: FeedSpec) -> None:
        """Hold every part of a feed against its name.

        Raises
        ------
        DataError
            Names the first part whose bytes are not those that were written.
        """
        with _about(spec):
            for part in self.part_files(spec):
                parts.verify(part)

    def part_files(self, spec: FeedSpec) -> list[Path]:
        """Files of a feed, in the order in which their rows became known."""
        return sorted(self._place(spec).glob("*.parquet"))

    def _place(self, spec: FeedSpec) -> Path:
        return self._folder / json_hash(asdict(spec))[:32]

    def _rows(self, spec: FeedSpec, first: int, last: int, equal: Mapping[str, str] | None = None) -> Table:
        """Rows known from `first` to `last`, both included, in the order of the parts."""
        with _about(spec):
            return parts.read(self.part_files(spec), COLUMNS[spec.kind], first, last, equal or {})


class StoredFeed:
    """A feed over what a store knew at an instant; of a value revised within the span it gives the last one.

    Parameters
    ----------
    store, spec
        Where the rows are, and which feed.
    known_at
        Nothing that became known later is read.
    """

    def __init__(self, store: Store, spec: FeedSpec, *, known_at: int = FOREVER) -> None:
        self._store, self._spec, self._known_at = store, spec, known_at

    @property
    def spec(self) -> FeedSpec:
        """What the feed is about."""
        return self._spec

    def facts(self) -> Mapping[str, str]:
        """Content hash of what is read."""
        return {"content_hash": self._store.content_hash(self._spec, known_at=self._known_at)}

    def fetch(self, start: int, stop: int) -> Iterator[Chunk]:
        """Rows that became known from `start` on and before `stop`."""
        yield Chunk(self._spec.kind, self._store.read(self._spec, known_at=self._known_at, start=start, stop=stop))


def _keep_counted(place: Path, start: int, stop: int, counted: Mapping[str, int]) -> None:
    """Keep what was counted in a window, once; the caller holds the lock."""
    if found := {name: n for name, n in counted.items() if n}:
        parts.write_whole(place / f"{COUNTED}-{min(start, stop):019d}-{stop:019d}.json", canonical_json(found).encode())


@contextmanager
def _about(spec: FeedSpec) -> Iterator[None]:
    """Have an error about a part say which feed it is of."""
    try:
        yield
    except DataError as error:
        raise error.at(field=spec.id) from None


def _distinct(spec: FeedSpec, rows: Table) -> IntArray:
    """Numbers of the rows in order of key and `known_at`, of equal rows only the first.

    Raises
    ------
    DataError
        When rows agree on what they are about and when it was known, and on nothing else.
    """
    names = (*key_columns(spec.kind), "known_at")
    columns = [rows[name] for name in names]
    if increasing(columns):
        return np.arange(len(rows))
    order = np.lexsort([_ranks(column) for column in reversed(columns)])
    before, after = order[:-1], order[1:]
    again = np.all([column[before] == column[after] for column in columns], axis=0)
    for name in (name for name in rows.columns if name not in names):
        if (differ := again & (rows[name][before] != rows[name][after])).any():
            at = int(np.argmax(differ))
            raise _conflict(spec, rows, name, (int(before[at]), int(after[at])))
    return order[np.concatenate(([True], ~again))]


def _ranks(column: Column) -> Column:
    """Numbers that sort like the values: texts are slow to compare."""
    return parts.numbered(column)[1] if column.dtype.kind == "U" else column


def _conflict(spec: FeedSpec, rows: Table, name: str, pair: Sequence[int]) -> DataError:
    keys = " ".join(str(rows[key][pair[0]]) for key in key_columns(spec.kind))
    return DataError(
        f"two values became known at one instant, {int(rows['known_at'][pair[0]])}",
        file=spec.id,
        field=f"{keys} {name}" if name != "value" else keys,
        value=sorted(str(rows[name][i]) for i in pair),
        remedy="A revision needs its own known_at",
    )
