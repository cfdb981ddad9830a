"""Immutable artifacts: logical content, its hash, and bytes to keep it in.

An artifact is a document (canonical JSON) and named tables. Its content hash is over the logical content:
schema, column names, types and little-endian values; never over the bytes of a file. Tables are kept as CSV
with shortest round-trip floats, so that people can open them and nothing is lost.
"""

from __future__ import annotations

import copyreg
import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from risk.errors import ArtifactError, DefectError

Column = npt.NDArray[Any]
_KINDS = {"i": "i8", "f": "f8", "U": "str", "b": "bool"}


def _read_only(values: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(values)


# Artifacts go to worker processes, and read-only mappings do not pickle by themselves.
copyreg.pickle(MappingProxyType, lambda proxy: (_read_only, (dict(proxy),)))


def canonical_json(value: object) -> str:
    """Serialise to JSON with sorted keys, no spaces, no NaN, decimals as strings.

    Raises
    ------
    DefectError
        For NaN, infinity or a type that has no canonical form: absence is a status, not a NaN.
    """
    try:
        return json.dumps(
            value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False, default=_plain
        )
    except ValueError as error:
        raise DefectError("a value has no canonical form (NaN, infinity or an unknown type)") from error


def readable_json(value: object) -> str:
    """Serialise the same content for people: sorted keys, two spaces, a newline at the end."""
    return json.dumps(value, sort_keys=True, indent=2, allow_nan=False, ensure_ascii=False, default=_plain) + "\n"


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (tuple, frozenset, set)):
        return sorted(value) if isinstance(value, (set, frozenset)) else list(value)
    raise ValueError(f"no canonical form for {type(value).__name__}")


def sha256(*parts: bytes) -> str:
    """Hex SHA-256 of the parts, each prefixed with its length so that no two lists collide."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def json_hash(value: object) -> str:
    """Content hash of a JSON-like value."""
    return sha256(canonical_json(value).encode())


@dataclass(frozen=True, slots=True)
class Table:
    """Named columns of equal length: int64, float64 (finite), str or bool; read-only.

    Raises
    ------
    DefectError
        When lengths differ, a type is not one of the four, or a float is not finite.
    """

    columns: Mapping[str, Column]

    def __post_init__(self) -> None:
        fixed: dict[str, Column] = {}
        for name, values in self.columns.items():
            array = np.asarray(values)
            if array.size == 0 and array.dtype.kind not in _KINDS:
                array = array.astype("U1")
            if array.dtype.kind == "i":
                array = array.astype("<i8")
            elif array.dtype.kind == "f":
                array = array.astype("<f8")
                if not np.isfinite(array).all():
                    raise DefectError("a table holds a value that is not finite", field=name)
            elif array.dtype.kind not in ("U", "b"):
                raise DefectError("a table column has an unknown type", field=name, value=str(array.dtype))
            array = array.copy()
            array.setflags(write=False)
            fixed[name] = array
        if len({len(array) for array in fixed.values()}) > 1:
            raise DefectError("columns of a table differ in length", field=", ".join(fixed))
        object.__setattr__(self, "columns", MappingProxyType(fixed))

    @classmethod
    def from_rows(cls, schema: Mapping[str, str], rows: Iterable[Sequence[object]]) -> Table:
        """Build from rows; `schema` maps each column to ``i8``, ``f8``, ``str`` or ``bool``."""
        listed = [tuple(row) for row in rows]
        transposed: list[Sequence[object]] = list(zip(*listed, strict=True)) if listed else [()] * len(schema)
        return cls(
            {name: _typed(values, kind) for (name, kind), values in zip(schema.items(), transposed, strict=True)}
        )

    @property
    def schema(self) -> dict[str, str]:
        """Column name to type name."""
        return {name: _KINDS[array.dtype.kind] for name, array in self.columns.items()}

    def __len__(self) -> int:
        return next((len(array) for array in self.columns.values()), 0)

    def __getitem__(self, name: str) -> Column:
        return self.columns[name]

    def rows(self) -> Iterator[dict[str, Any]]:
        """Iterate over rows as dictionaries of plain Python values."""
        names = list(self.columns)
        for values in zip(*(array.tolist() for array in self.columns.values()), strict=True):
            yield dict(zip(names, values, strict=True))

    def where(self, **equal: object) -> Table:
        """Rows whose named columns equal the given values."""
        mask = np.ones(len(self), dtype=bool)
        for name, value in equal.items():
            mask &= self.columns[name] == value
        return self.take(mask)

    def take(self, rows: npt.NDArray[Any]) -> Table:
        """Rows by a mask or by their numbers, in that order."""
        return Table({name: array[rows] for name, array in self.columns.items()})

    @classmethod
    def concatenate(cls, schema: Mapping[str, str], tables: Iterable[Table]) -> Table:
        """Rows of all tables, one after the other; a table without rows when there is none."""
        listed = [cls.from_rows(schema, ()), *tables]
        return cls({name: np.concatenate([table[name] for table in listed]) for name in schema})

    def digest(self) -> str:
        """Content hash over names, types and values."""
        parts: list[bytes] = []
        for name, array in self.columns.items():
            parts += [name.encode(), _KINDS[array.dtype.kind].encode()]
            parts.append("\x1f".join(array.tolist()).encode() if array.dtype.kind == "U" else array.tobytes())
        return sha256(*parts)

    def to_csv(self) -> bytes:
        """Text form: a header of ``name:type``, then rows; floats in shortest round-trip form."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([f"{name}:{kind}" for name, kind in self.schema.items()])
        text = [[str(v) for v in array.tolist()] for array in self.columns.values()]
        writer.writerows(zip(*text, strict=True))
        return out.getvalue().encode()

    @classmethod
    def from_csv(cls, data: bytes, *, file: str = "table") -> Table:
        """Read what `to_csv` wrote.

        Raises
        ------
        ArtifactError
            When the header or a value cannot be read; names the file.
        """
        try:
            reader = csv.reader(io.StringIO(data.decode()))
            header = [cell.rsplit(":", 1) for cell in next(reader)]
            rows = list(reader)
            transposed: list[Sequence[str]] = list(zip(*rows, strict=True)) if rows else [()] * len(header)
            columns: dict[str, Column] = {}
            for (name, kind), values in zip(header, transposed, strict=True):
                if kind == "bool":
                    columns[name] = np.array([{"True": True, "False": False}[v] for v in values], dtype=bool)
                else:
                    columns[name] = np.array(values, dtype={"i8": "<i8", "f8": "<f8", "str": "U"}[kind])
            return cls(columns)
        except (ValueError, KeyError, StopIteration, UnicodeDecodeError) as error:
            raise ArtifactError("the table cannot be read", file=file, remedy="Make the run again") from error


def _typed(values: Sequence[object], kind: str) -> Column:
    if kind == "str":
        return np.array([str(v) for v in values], dtype="U") if values else np.empty(0, dtype="U1")
    return np.array(values, dtype={"i8": "<i8", "f8": "<f8", "bool": "?"}[kind])


@dataclass(frozen=True, slots=True)
class Artifact:
    """The hashed content of one stage.

    Attributes
    ----------
    schema
        Name and version, e.g. ``riskcal/calibration/1``.
    document
        JSON-like content without NaN.
    tables
        Named tables.
    inputs
        Stage name to the content hash of the artifact it was made from; outside the content hash.
    settings_hash
        Hash of the settings that the stage read; outside the content hash.
    """

    schema: str
    document: Mapping[str, Any]
    tables: Mapping[str, Table] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    settings_hash: str = ""

    @property
    def content_hash(self) -> str:
        """Hash over schema, document and tables."""
        parts = [self.schema.encode(), canonical_json(self.document).encode()]
        for name in sorted(self.tables):
            parts += [name.encode(), self.tables[name].digest().encode()]
        return sha256(*parts)

    def to_files(self) -> dict[str, bytes]:
        """Bytes by file name: ``artifact.json`` and one CSV a table."""
        header = {
            "schema": self.schema,
            "content_hash": self.content_hash,
            "inputs": dict(self.inputs),
            "settings_hash": self.settings_hash,
            "tables": sorted(self.tables),
            "document": self.document,
        }
        files = {"artifact.json": readable_json(header).encode()}
        for name, table in self.tables.items():
            files[f"{name}.csv"] = table.to_csv()
        return files

    @classmethod
    def from_files(cls, files: Mapping[str, bytes], *, schema: str, folder: str = "") -> Artifact:
        """Read and verify what `to_files` wrote.

        Raises
        ------
        ArtifactError
            When a file is missing, the schema is another one or the content does not match its hash.
        """
        name = f"{folder}/artifact.json" if folder else "artifact.json"
        if "artifact.json" not in files:
            raise ArtifactError("the stage is missing", file=name, remedy="Run the stage that makes it")
        try:
            header = json.loads(files["artifact.json"])
            listed, found, stated = header["tables"], header["schema"], header["content_hash"]
            document, inputs, settings_hash = header["document"], header["inputs"], header["settings_hash"]
        except (ValueError, KeyError, TypeError) as error:
            raise ArtifactError("not an artifact of riskcal", file=name, remedy="Make the run again") from error
        if found != schema:
            raise ArtifactError("another schema", file=name, field="schema", value=found, remedy=f"Expected {schema}")
        missing = [f"{table}.csv" for table in listed if f"{table}.csv" not in files]
        if missing:
            raise ArtifactError(
                "a table of the stage is missing", file=f"{folder}/{missing[0]}", remedy="Make the run again"
            )
        tables = {table: Table.from_csv(files[f"{table}.csv"], file=f"{folder}/{table}.csv") for table in listed}
        artifact = cls(found, document, tables, inputs, settings_hash)
        if artifact.content_hash != stated:
            raise ArtifactError(
                "the content does not match its hash, so it was edited or damaged",
                file=name,
                field="content_hash",
                value=stated[:16],
                remedy="Make the run again",
            )
        return artifact
