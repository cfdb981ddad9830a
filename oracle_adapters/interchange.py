"""A store's rows as one file for others, and back: Parquet or CSV, with all revisions.

Columns ``kind, base, quote, source, interval`` say which feed a row is of; the others are those of its kind, and are
empty where a kind has no such column.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from oracle_adapters.feed import COLUMNS, FeedSpec, Kind
from oracle_adapters.parts import connected, quoted
from oracle_adapters.store import Store
from risk.artifact import Table
from risk.errors import DataError, InputError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

LABELS = tuple(field.name for field in fields(FeedSpec))
_TYPES = {"i8": "BIGINT", "f8": "DOUBLE", "str": "VARCHAR", "bool": "BOOLEAN"}
_FORMATS = {".parquet": "FORMAT parquet, COMPRESSION zstd", ".csv": "FORMAT csv, HEADER"}
_READERS = {".parquet": "read_parquet({0})", ".csv": "read_csv({0}, header = true, all_varchar = true)"}


def export_rows(store: Store, path: Path) -> dict[FeedSpec, int]:
    """Write all rows of a store to a file, by feed and then in order; returns how many each feed has.

    Raises
    ------
    InputError
        When the file's name ends in neither ``.parquet`` nor ``.csv``, or the store is empty.
    DataError
        When a part is damaged, or the file cannot be written.
    """
    import duckdb

    form = _of_suffix(_FORMATS, path)
    specs = store.specs()
    if not specs:
        raise InputError("the store holds no feed", field="--export", remedy="Fetch into it first")
    for spec in specs:
        store.verify(spec)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with connected() as connection:
            query = " UNION ALL BY NAME ".join(_rows_of(store, spec) for spec in specs)
            connection.execute(f"COPY ({query}) TO {quoted(aside)} ({form})")
        aside.replace(path)
    except (OSError, duckdb.Error) as error:
        aside.unlink(missing_ok=True)
        raise DataError(f"cannot be written: {_first_line(error)}", file=str(path), remedy="Make room") from error
    return {spec: store.count(spec) for spec in specs}


def import_rows(store: Store, path: Path) -> dict[FeedSpec, int]:
    """Add the rows of a file that `export_rows` wrote, or one like it; returns how many are new in each feed.

    Everything is read and held against its kind before the first row is added.

    Raises
    ------
    InputError
        When the file's name ends in neither ``.parquet`` nor ``.csv``.
    DataError
        When a column is missing or a cell cannot be read: names row and column. When rows disagree with others
        that became known at the same instant.
    """
    import duckdb

    reader = _of_suffix(_READERS, path)
    if not path.is_file():
        raise DataError("there is no such file", file=str(path), remedy="Check the path")
    try:
        with connected() as connection:
            numbered = f"SELECT row_number() OVER () AS row_, * FROM {reader.format(quoted(path))}"  # noqa: S608 - quoted
            connection.execute(f"CREATE TEMP TABLE given AS {numbered}")
            found = _read(connection, path)
    except duckdb.Error as error:
        raise DataError(f"cannot be read: {_first_line(error)}", file=str(path), remedy="Write it again") from error
    return {spec: store.append(spec, rows) for spec, rows in found}


def _of_suffix(choices: dict[str, str], path: Path) -> str:
    if path.suffix not in choices:
        raise InputError("a file for rows ends in .parquet or .csv", value=path.name, remedy="Name it so")
    return choices[path.suffix]


def _rows_of(store: Store, spec: FeedSpec) -> str:
    labels = [f"{_text(value)} AS {name}" if isinstance(value, str) else f"{value}::BIGINT AS {name}"
              for name, value in asdict(spec).items()]  # fmt: skip
    files = ", ".join(quoted(part) for part in store.part_files(spec))
    names = ", ".join(f'"{name}"' for name in COLUMNS[spec.kind])
    rows = f"SELECT DISTINCT {names} FROM read_parquet([{files}]) ORDER BY {names}"  # noqa: S608 - quoted
    return f"(SELECT {', '.join(labels)}, {names} FROM ({rows}))"  # noqa: S608 - quoted


def _read(connection: DuckDBPyConnection, path: Path) -> list[tuple[FeedSpec, Table]]:
    columns = [str(row[0]) for row in connection.execute("DESCRIBE given").fetchall()]
    _refuse_absent(columns, LABELS, path)
    _refuse_unreadable(connection, path, {"interval": "BIGINT"}, "true", [])
    specs = connection.execute(
        "SELECT DISTINCT kind, base, quote, source, CAST(interval AS BIGINT) FROM given ORDER BY ALL"
    ).fetchall()
    found = []
    for kind, base, quote, source, interval in specs:
        if kind not in list(Kind) or not (base and quote and source) or interval <= 0:
            raise DataError(
                f"not a feed; known kinds are {', '.join(Kind)}",
                file=str(path),
                value=[kind, base, quote, source, interval],
            )
        spec = FeedSpec(Kind(kind), base, quote, source, interval)
        found.append((spec, _rows(connection, path, spec, columns)))
    return found


def _rows(connection: DuckDBPyConnection, path: Path, spec: FeedSpec, columns: Sequence[str]) -> Table:
    schema = COLUMNS[spec.kind]
    _refuse_absent(columns, tuple(schema), path)
    where = "kind = ? AND base = ? AND quote = ? AND source = ? AND CAST(interval AS BIGINT) = ?"
    values = list(asdict(spec).values())
    _refuse_unreadable(connection, path, {name: _TYPES[kind] for name, kind in schema.items()}, where, values)
    cells = ", ".join(
        f'coalesce("{name}", \'\') AS "{name}"' if kind == "str" else f'CAST("{name}" AS {_TYPES[kind]}) AS "{name}"'
        for name, kind in schema.items()
    )
    query = f"SELECT {cells} FROM given WHERE {where} ORDER BY row_"  # noqa: S608 - names of a constant
    read: dict[str, Any] = connection.execute(query, values).fetchnumpy()
    return Table({name: np.asarray(read[name], dtype="U" if schema[name] == "str" else None) for name in schema})


def _refuse_absent(columns: Sequence[str], needed: Sequence[str], path: Path) -> None:
    for name in needed:
        if name not in columns:
            raise DataError("a column is missing", file=str(path), field=f"column {name}")


def _refuse_unreadable(
    connection: DuckDBPyConnection, path: Path, types: dict[str, str], where: str, values: Sequence[object]
) -> None:
    """Name the first cell that is not of its column's type; times are not negative, numbers are finite."""
    for name, kind in types.items():
        cell = f'TRY_CAST("{name}" AS {kind})'
        wrong = {
            "VARCHAR": "false",
            "BOOLEAN": f"{cell} IS NULL",
            "DOUBLE": f"{cell} IS NULL OR NOT isfinite({cell})",
            "BIGINT": f"{cell} IS NULL" + (f" OR {cell} < 0" if name in ("observed_at", "known_at") else ""),
        }[kind]
        query = f'SELECT row_, "{name}" FROM given WHERE {where} AND ({wrong}) ORDER BY row_ LIMIT 1'  # noqa: S608 - constants
        if (bad := connection.execute(query, values).fetchone()) is not None:
            raise DataError(f"not a {_WORDS[kind]}", file=str(path), field=f"row {bad[0]}, column {name}", value=bad[1])
    if {"observed_at", "known_at"} <= types.keys():
        query = (
            f"SELECT row_, known_at FROM given WHERE {where} "  # noqa: S608 - constants
            "AND CAST(known_at AS BIGINT) < CAST(observed_at AS BIGINT) ORDER BY row_ LIMIT 1"
        )
        if (bad := connection.execute(query, values).fetchone()) is not None:
            raise DataError(
                "known before it was observed", file=str(path), field=f"row {bad[0]}, column known_at", value=bad[1]
            )


_WORDS = {"VARCHAR": "text", "BOOLEAN": "truth value", "DOUBLE": "finite number", "BIGINT": "whole number from zero on"}


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _first_line(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).splitlines()[0]
