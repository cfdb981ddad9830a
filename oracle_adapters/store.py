"""An append-only store of feed rows in Parquet, read as it was known at an instant.

A folder a feed, holding ``feed.json`` and immutable Parquet parts named after their content. A part is written
aside, flushed and renamed, so that a crash leaves no half part, and two writers never touch one file. A value
that was revised is a second row with a later `known_at`: reads take the last one known.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

from oracle_adapters.feed import COLUMNS, FOREVER, Chunk, FeedSpec, Kind, key_columns
from risk.artifact import Table, canonical_json, json_hash
from risk.errors import DataError

Cells = tuple[Any, ...]
"""One row, in the order of its kind's columns."""


class Store:
    """Rows of many feeds in one folder.

    Parameters
    ----------
    folder
        Where it lives; made by the first append.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def append(self, spec: FeedSpec, rows: Table) -> int:
        """Add the rows that the store does not hold yet, and return how many these are.

        Raises
        ------
        DataError
            When a row disagrees with one of the store that became known at the same instant.
        """
        held = set(_cells(self._raw(spec)))
        new = [row for row in _cells(rows) if row not in held]
        if not new:
            return 0
        table = Table.from_rows(COLUMNS[spec.kind], new)
        _refuse_conflicts([*held, *new], spec)
        place = self._place(spec)
        place.mkdir(parents=True, exist_ok=True)
        _write_whole(place / "feed.json", canonical_json(asdict(spec)).encode())
        _write_parquet(place / f"{table.digest()}.parquet", table)
        return len(table)

    def specs(self) -> tuple[FeedSpec, ...]:
        """Feeds that the store holds, by name."""
        found = []
        for path in self._folder.glob("*/feed.json"):
            content = json.loads(path.read_bytes())
            found.append(FeedSpec(**{**content, "kind": Kind(content["kind"])}))
        return tuple(sorted(found, key=lambda spec: spec.id))

    def read(self, spec: FeedSpec, *, known_at: int = FOREVER) -> Table:
        """Rows of a feed as they were known at an instant: of a revised value the last one known then.

        Raises
        ------
        DataError
            When two rows that became known at the same instant disagree, or a part is damaged.
        """
        rows = self._raw(spec)
        known = _cells(rows.take(rows["known_at"] <= known_at))
        _refuse_conflicts(known, spec)
        at = len(key_columns(spec.kind))
        latest = {row[:at]: row for row in sorted(known, key=lambda row: row[at])}
        return Table.from_rows(COLUMNS[spec.kind], (latest[key] for key in sorted(latest)))

    def content_hash(self, spec: FeedSpec, *, known_at: int = FOREVER) -> str:
        """Hash of what `read` returns; how it is laid out in parts does not matter."""
        return self.read(spec, known_at=known_at).digest()

    def _place(self, spec: FeedSpec) -> Path:
        return self._folder / json_hash(asdict(spec))[:32]

    def _raw(self, spec: FeedSpec) -> Table:
        """All rows of all parts, in the order of the parts' names."""
        parts = [str(path) for path in sorted(self._place(spec).glob("*.parquet"))]
        schema = COLUMNS[spec.kind]
        if not parts:
            return Table.from_rows(schema, ())
        import duckdb

        with duckdb.connect(config={"threads": 1}) as connection:
            try:
                query = f"SELECT {', '.join(schema)} FROM read_parquet(?)"  # noqa: S608 - names of a constant
                found = connection.execute(query, [parts]).fetchall()
            except duckdb.Error as error:
                raise DataError(
                    "a part of the store is damaged",
                    file=str(self._folder.name),
                    field=spec.id,
                    remedy="Fetch it again",
                ) from error
        return Table.from_rows(schema, found)


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
        rows = self._store.read(self._spec, known_at=min(self._known_at, stop - 1))
        yield Chunk(self._spec.kind, rows.take(rows["known_at"] >= start))


def _cells(table: Table) -> list[Cells]:
    return list(zip(*(column.tolist() for column in table.columns.values()), strict=True))


def _refuse_conflicts(rows: Iterable[Cells], spec: FeedSpec) -> None:
    """Rows that agree on what they are about and when it was known must agree on all."""
    at = len(key_columns(spec.kind))
    seen: dict[Cells, Cells] = {}
    for row in rows:
        if seen.setdefault(row[: at + 1], row) != row:
            raise DataError(
                "two values became known at one instant",
                file=spec.id,
                field=" ".join(str(cell) for cell in row[:at]),
                value=sorted([str(seen[row[: at + 1]][-1]), str(row[-1])]),
                remedy="A revision needs its own known_at",
            )


def _write_parquet(path: Path, table: Table) -> None:
    import duckdb

    aside = path.with_name(f".{uuid4().hex}.tmp")
    columns = {
        name: array.astype(object) if array.dtype.kind == "U" else array for name, array in table.columns.items()
    }
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.register("part", columns)
        connection.execute(f"COPY part TO '{str(aside).replace(chr(39), chr(39) * 2)}' (FORMAT parquet)")
    _settle(aside, path)


def _write_whole(path: Path, content: bytes) -> None:
    aside = path.with_name(f".{uuid4().hex}.tmp")
    aside.write_bytes(content)
    _settle(aside, path)


def _settle(aside: Path, path: Path) -> None:
    """Flush to the disk, then rename."""
    with aside.open("rb+") as handle:
        os.fsync(handle.fileno())
    aside.replace(path)
