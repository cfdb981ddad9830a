"""Immutable Parquet files of rows in one folder: written in whole or not at all, read in columns.

The name of a part says when its first and last row became known, and the SHA-256 of its bytes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from risk.artifact import Column, Table
from risk.errors import DataError, DefectError
from risk.market import IntArray

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_ASIDE = ".tmp"
_FEW = 256
"""Distinct texts up to which a text column is read as small numbers."""


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Be the only writer of a folder, over all processes; what a killed writer left aside is removed.

    The lock is the kernel's and ends with its process, so that nobody has to break a stale one.
    """
    with _written(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        for stale in folder.glob(f"*{_ASIDE}"):
            stale.unlink()
        yield
    finally:
        os.close(handle)


def write(folder: Path, rows: Table) -> Path:
    """Write rows as one part. The caller holds the folder's lock.

    Raises
    ------
    DataError
        When it cannot be written, e.g. on a full disk; then nothing of it is left.
    """
    columns: dict[str, Any] = {}
    selected = []
    texts: list[list[str]] = []
    for name, column in rows.columns.items():
        if column.dtype.kind == "U":
            few, columns[name] = numbered(column)
            texts.append(few.tolist())
            selected.append(f'list_extract(?, "{name}" + 1) AS "{name}"')
        else:
            columns[name] = column
            selected.append(f'"{name}"')
    first, last = int(rows["known_at"].min()), int(rows["known_at"].max())
    aside = folder / f"part{_ASIDE}"
    with _written(folder, aside), connected() as connection:
        connection.register("part", columns)
        query = f"COPY (SELECT {', '.join(selected)} FROM part) TO {quoted(aside)} (FORMAT parquet, COMPRESSION zstd)"  # noqa: S608 - quoted
        connection.execute(query, texts)
        with aside.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        path = folder / f"{first:019d}-{last:019d}-{digest[:32]}.parquet"
        _settle(aside, path)
    return path


def write_whole(path: Path, content: bytes) -> None:
    """Write a small file once, in whole; nothing happens where it already is."""
    if not path.exists():
        replace_whole(path, content)


def replace_whole(path: Path, content: bytes) -> None:
    """Write a small file in whole, over what is there."""
    aside = path.with_name(path.name + _ASIDE)
    with _written(path.parent, aside):
        aside.write_bytes(content)
        _settle(aside, path)
        _flush(path.parent.parent)  # the folder may be new, too


def span(part: Path) -> tuple[int, int]:
    """When the first and the last row of a part became known.

    Raises
    ------
    DataError
        When the file is none of ours.
    """
    try:
        first, last, _ = part.stem.split("-")
        return int(first), int(last)
    except ValueError as error:
        raise DataError("not a part of a store", file=str(part), remedy="Move it out of the store") from error


def read(parts: Sequence[Path], schema: Mapping[str, str], first: int, last: int, equal: Mapping[str, str]) -> Table:
    """Rows known from `first` to `last`, both included, whose text columns have the given values; in given order.

    Raises
    ------
    DataError
        Names the part that is damaged.
    """
    chosen = _within(parts, first, last)
    if not chosen:
        return Table.from_rows(schema, ())
    conditions = [f'"{name}" = ?' for name in equal]
    values: list[object] = list(equal.values())
    if any(earliest < first or latest > last for earliest, latest in map(span, chosen)):
        conditions, values = [*conditions, "known_at BETWEEN ? AND ?"], [*values, first, last]
    with connected() as connection, _readable(chosen):
        texts = {
            name: [equal[name]] if name in equal else _few(connection, chosen, name)
            for name, kind in schema.items()
            if kind == "str"
        }
        selected = ", ".join(_selected(name, texts.get(name)) for name in schema if name not in equal)
        query = f"SELECT {selected} FROM read_parquet(?) WHERE {' AND '.join(conditions) or 'true'}"  # noqa: S608 - names of a constant
        found: dict[str, Any] = connection.execute(query, [[str(part) for part in chosen], *values]).fetchnumpy()
    rows = len(found["known_at"])
    columns: dict[str, Any] = {}
    for name, kind in schema.items():
        if name in equal:
            columns[name] = np.full(rows, equal[name])
        elif kind == "str" and texts[name]:
            columns[name] = np.array(texts[name], dtype="U")[found.pop(name)]
        else:
            columns[name] = found.pop(name).astype("U") if kind == "str" else found.pop(name)
    return Table(columns)


def count(parts: Sequence[Path], first: int, last: int) -> int:
    """Rows known from `first` to `last`, both included."""
    return _scalar(_within(parts, first, last), "count(*)", first, last)


def largest(parts: Sequence[Path], column: str) -> int:
    """The largest value of a column; 0 of nothing."""
    return _scalar(parts, f'max("{column}")', 0, 2**63 - 1)


def verify(part: Path) -> None:
    """Hold a part against the digest in its name.

    Raises
    ------
    DataError
        When it has other bytes than those that were written, or cannot be read.
    """
    span(part)
    try:
        with part.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise _damaged(part) from error
    if digest[:32] != part.stem.rpartition("-")[2]:
        raise _damaged(part)


def numbered(column: Column) -> tuple[Column, IntArray]:
    """Distinct texts in order, and for each text (n,) of a column its number among them; quick where they are few."""
    few = np.unique(column[:_FEW])  # sorting all texts takes long
    if len(few) <= _FEW // 8:
        numbers = np.full(len(column), -1)
        for number, text in enumerate(few):
            numbers[column == text] = number
        if (numbers >= 0).all():
            return few, numbers
    few, numbers = np.unique(column, return_inverse=True)
    return few, numbers.astype(np.int64)


@contextmanager
def connected() -> Iterator[DuckDBPyConnection]:
    """DuckDB on one thread, and quiet: by itself it would draw a bar on standard output when a query takes long."""
    import duckdb

    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("SET enable_progress_bar = false")
        yield connection


def quoted(path: Path) -> str:
    """A path as a text of SQL."""
    return "'" + str(path).replace("'", "''") + "'"


def _within(parts: Sequence[Path], first: int, last: int) -> list[Path]:
    spans = ((part, *span(part)) for part in parts)
    return [part for part, earliest, latest in spans if earliest <= last and latest >= first]


def _scalar(parts: Sequence[Path], expression: str, first: int, last: int) -> int:
    if not parts:
        return 0
    with connected() as connection, _readable(parts):
        query = f"SELECT {expression} FROM read_parquet(?) WHERE known_at BETWEEN ? AND ?"  # noqa: S608 - constants
        row = connection.execute(query, [[str(part) for part in parts], first, last]).fetchone()
    return int(row[0] or 0) if row else 0


def _few(connection: DuckDBPyConnection, parts: Sequence[Path], name: str) -> list[str]:
    """The distinct texts of a column in order; none where there are many."""
    query = f'SELECT DISTINCT "{name}" FROM read_parquet(?) LIMIT {_FEW + 1}'  # noqa: S608 - a name of a constant
    found = [str(row[0]) for row in connection.execute(query, [[str(part) for part in parts]]).fetchall()]
    return sorted(found) if len(found) <= _FEW else []


def _selected(name: str, few: Sequence[str] | None) -> str:
    if not few:
        return f'"{name}"'
    members = ", ".join("'" + text.replace("'", "''") + "'" for text in few)
    return f'enum_code("{name}"::ENUM({members})) AS "{name}"'


@contextmanager
def _readable(parts: Sequence[Path]) -> Iterator[None]:
    """Name the part that is damaged when reading them all fails."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        for part in parts:
            verify(part)
        raise DefectError("parts of the store are whole and cannot be read", file=str(parts[0].parent)) from error


def _damaged(part: Path) -> DataError:
    return DataError("a part of the store is damaged", file=str(part), remedy="Remove it and fetch its span again")


@contextmanager
def _written(folder: Path, aside: Path | None = None) -> Iterator[None]:
    """Turn what the system refuses into an error that names the folder, and leave nothing aside."""
    import duckdb

    try:
        yield
    except (OSError, duckdb.Error) as error:
        if aside is not None:
            with suppress(OSError):
                aside.unlink(missing_ok=True)
        said = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0]
        raise DataError(
            f"the store cannot be written: {said}", file=str(folder), remedy="Make room; what it held is still whole"
        ) from error


def _settle(aside: Path, path: Path) -> None:
    """Flush to the disk, then rename, then flush the name."""
    with aside.open("rb+") as handle:
        os.fsync(handle.fileno())
    aside.replace(path)
    _flush(path.parent)


def _flush(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
