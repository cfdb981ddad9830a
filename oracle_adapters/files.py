"""Prices from files: CSV, gzipped CSV and Parquet, with columns, time zone, unit and bar stamp from the settings.

Bad data is an error that names file, row and column, where a row is the line of the file (of a Parquet file,
the number of the row). Nothing is filled. Rows that say the same twice and rows out of order are mended and
counted; two rows that disagree about one bar are an error.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import math
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from oracle_adapters.feed import COLUMNS, Chunk, FeedSpec, Kind
from risk.artifact import Table
from risk.errors import DataError, SettingsError
from risk.feed_settings import FileFeed
from risk.units import DAY

FIELDS = ("open", "high", "low", "close", "volume")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_EARLIEST, _LATEST = 1_230_768_000, 4_102_444_800  # 2009 to 2100: outside, the unit of the time is another one
_LEAST, _MOST = 1e-15, 1e15  # outside, a price is no price of one token: a wrong column, or raw integers
_MOST_VOLUME = 1e24
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000}

Row = tuple[int, Sequence[str]]
"""Line of the file, and the cells of the mapped columns."""


class PriceFile:
    """The feed over one file.

    Parameters
    ----------
    settings
        Path, columns, interval, stamp, time unit and zone, and the span that belongs to the asset.
    root
        Folder that the path is relative to.

    Raises
    ------
    SettingsError
        For a column mapping without time or close, an unknown field or time zone.
    """

    def __init__(self, settings: FileFeed, root: Path) -> None:
        unknown = set(settings.columns) - {"time", *FIELDS}
        missing = {"time", "close"} - set(settings.columns)
        if unknown or missing:
            raise SettingsError(
                f"the columns of {settings.path} are not mapped rightly",
                field="feeds.columns",
                value=sorted(unknown or missing)[0],
                remedy="Map time and close, and any of open, high, low, volume",
            )
        self._settings = settings
        self._path = root / settings.path
        self._fields = [name for name in FIELDS if name in settings.columns]
        self._clock = _Clock(settings)
        source = f"files:{Path(settings.path).name}"
        self._spec = FeedSpec(Kind.PRICE, settings.asset, settings.quote, source, settings.interval)

    @property
    def spec(self) -> FeedSpec:
        """What the feed is about."""
        return self._spec

    @property
    def heartbeat(self) -> int | None:
        """Seconds within which the on-chain feed of the file updates; None for bars."""
        return self._settings.heartbeat

    def facts(self) -> Mapping[str, str]:
        """Path and SHA-256 of the file."""
        data = read_bytes(self._path, self._settings.path)
        return {"path": self._settings.path, "sha256": hashlib.sha256(data).hexdigest()}

    def fetch(self, start: int, stop: int) -> Iterator[Chunk]:
        """Bars that ended from `start` on and before `stop`, in one chunk.

        Raises
        ------
        DataError
            For a file that cannot be read, a time that cannot be read, and, within the span, a value that is
            no price or two rows that disagree.
        """
        file = self._settings.path
        header = [self._settings.columns[name] for name in ("time", *self._fields)]
        counted = {"cut": 0, "duplicates": 0, "unsorted": 0}
        decimals = self._settings.decimals
        bars: dict[int, tuple[int, tuple[float, ...]]] = {}
        latest, any_row = -1, False
        for line, cells in read_rows(self._path, file, header):
            any_row = True
            opened, end = self._clock.bar(cells[0], file, f"row {line}, column {header[0]}")
            if not start <= end < stop:
                continue
            if not self._clock.belongs(opened):
                counted["cut"] += 1
                continue
            values = tuple(
                _amount(cell, file, f"row {line}, column {column}", None if name == "volume" else decimals, name)
                for name, column, cell in zip(self._fields, header[1:], cells[1:], strict=True)
            )
            if end in bars:
                earlier, known = bars[end]
                if known != values:
                    raise DataError(
                        f"rows {earlier} and {line} disagree about one bar",
                        file=file,
                        field=f"row {line}, column {header[1 + _first_difference(known, values)]}",
                        value=cells[0],
                        remedy="Keep the right one",
                    )
                counted["duplicates"] += 1
                continue
            bars[end] = (line, values)
            counted["unsorted"] += end < latest
            latest = max(latest, end)
        if not any_row:
            raise DataError(
                "the file has a header and no rows", file=file, remedy="Fetch it again, or name another file"
            )
        yield Chunk(Kind.PRICE, _price_rows(bars, self._fields), {name: n for name, n in counted.items() if n})


def _price_rows(bars: Mapping[int, tuple[int, tuple[float, ...]]], fields: Sequence[str]) -> Table:
    order = sorted(range(len(fields)), key=fields.__getitem__)
    return Table.from_rows(
        COLUMNS[Kind.PRICE], ((end, fields[i], end, bars[end][1][i]) for end in sorted(bars) for i in order)
    )


def _first_difference(first: Sequence[float], second: Sequence[float]) -> int:
    return next(i for i, (a, b) in enumerate(zip(first, second, strict=True)) if a != b)


class _Clock:
    """Turns the text of a time column into unix seconds."""

    def __init__(self, settings: FileFeed) -> None:
        self._unit, self._stamp, self._interval = settings.time_unit, settings.stamp, settings.interval
        try:
            self._zone: tzinfo = UTC if settings.timezone == "UTC" else ZoneInfo(settings.timezone)
        except (KeyError, ValueError, OSError) as error:
            raise SettingsError(
                "unknown time zone",
                field="feeds.timezone",
                value=settings.timezone,
                remedy='Write e.g. "Europe/Berlin"',
            ) from error
        self._start = self._cut(settings.start, "feeds.start", -1)
        self._stop = self._cut(settings.stop, "feeds.stop", _LATEST)

    def _cut(self, text: str | None, field: str, absent: int) -> int:
        if text is None:
            return absent
        try:
            return self._seconds(datetime.fromisoformat(text))
        except ValueError as error:
            raise SettingsError("not a date", field=field, value=text, remedy='Write e.g. "2022-05-14"') from error

    def belongs(self, stamp: int) -> bool:
        """Whether a row stamped then is the asset's."""
        return self._start <= stamp < self._stop

    def bar(self, text: str, file: str, field: str) -> tuple[int, int]:
        """The stamp of a bar and its end; a day of a civil zone ends at the next local midnight."""
        try:
            local, stamp = self._read(text.strip())
        except (ValueError, OverflowError) as error:
            raise DataError("not a time", file=file, field=field, value=text, remedy=self._remedy()) from error
        if not _EARLIEST <= stamp < _LATEST:
            raise DataError(
                "the time lies outside 2009 to 2100", file=file, field=field, value=text, remedy=self._remedy()
            )
        if self._stamp == "close":
            return stamp, stamp
        if local is not None and self._interval % DAY == 0:
            return stamp, self._seconds(local + timedelta(seconds=self._interval))
        return stamp, stamp + self._interval

    def _remedy(self) -> str:
        return f"The feed's time_unit is {self._unit!r}"

    def _read(self, text: str) -> tuple[datetime | None, int]:
        """Civil time, where the text carries no zone, and unix seconds; fractions go to the next second."""
        if self._unit in ("s", "ms") or (self._unit == "auto" and _NUMBER.fullmatch(text)):
            value = int(text) if text.isdecimal() else _whole(text)
            unit = self._unit if self._unit != "auto" else "s" if value < 10**11 else "ms" if value < 10**14 else "us"
            return None, -(-value // _PER_SECOND[unit])
        instant = datetime.fromisoformat(text)
        if self._unit == "date":
            instant = datetime(instant.year, instant.month, instant.day)  # noqa: DTZ001 - a civil day
        return (instant if instant.tzinfo is None else None), self._seconds(instant)

    def _seconds(self, instant: datetime) -> int:
        return math.ceil((instant if instant.tzinfo else instant.replace(tzinfo=self._zone)).timestamp())


def _whole(text: str) -> int:
    value = float(text)
    if not value.is_integer():
        raise ValueError(text)
    return int(value)


def _amount(text: str, file: str, field: str, decimals: int | None, name: str) -> float:
    """A price or volume; a raw integer is divided by its power of ten, rounded once."""
    value = _number(text, file, field, zero=name == "volume")
    if decimals is None:
        return _plausible(value, text, file, field, name)
    if not text.strip().isdecimal():
        raise DataError(
            f"not a raw integer with {decimals} decimals",
            file=file,
            field=field,
            value=text,
            remedy="Leave out the feed's decimals where prices are written as they are",
        )
    try:
        scaled = int(text) / 10**decimals
    except OverflowError:
        scaled = math.inf
    return _plausible(scaled, text, file, field, name)


def _plausible(value: float, text: str, file: str, field: str, name: str) -> float:
    least, most = (0.0, _MOST_VOLUME) if name == "volume" else (_LEAST, _MOST)
    if not least <= value <= most:
        raise DataError(
            f"not a plausible {'volume' if name == 'volume' else 'price'}: outside {least:g} to {most:g}",
            file=file,
            field=field,
            value=text,
            remedy="Mend or remove the row; the feed's columns and decimals must be those of the file",
        )
    return value


def _number(text: str, file: str, field: str, *, zero: bool) -> float:
    text = text.strip()
    if not _NUMBER.fullmatch(text) or not math.isfinite(value := float(text)):
        message = "the cell is empty" if not text else "not a number"
        raise DataError(message, file=file, field=field, value=text, remedy="Mend or remove the row")
    if value < 0 or (value == 0 and not zero):
        message = "a negative amount" if zero else "a price must be above zero"
        raise DataError(message, file=file, field=field, value=text, remedy="Mend or remove the row")
    return value


def read_bytes(path: Path, file: str) -> bytes:
    """Bytes of a file, unpacked where they are gzipped.

    Raises
    ------
    DataError
        When the file is missing, empty, unreadable or a damaged gzip; `file` is the name to give.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(
            "there is no such file", file=file, remedy="Mend the path; it is relative to the settings file"
        ) from error
    except OSError as error:
        remedy = "Name a file, not a folder" if path.is_dir() else "Check that you may read it"
        raise DataError(f"the file cannot be read: {error.strerror}", file=file, remedy=remedy) from error
    if path.suffix == ".gz" or data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data) if data else data
        except (OSError, EOFError, zlib.error) as error:
            raise DataError("the gzip file is damaged", file=file, remedy="Fetch it again") from error
    if not data.strip():
        raise DataError("the file is empty", file=file, remedy="Fetch it again, or name another file")
    return data


def read_header(path: Path, file: str) -> list[str]:
    """Names of the columns of a CSV file.

    Raises
    ------
    DataError
        When the file cannot be read.
    """
    text = _decode(read_bytes(path, file), file)
    return [cell.strip() for cell in next(csv.reader(io.StringIO(text, newline="")))]


def read_rows(path: Path, file: str, columns: Sequence[str]) -> Iterator[Row]:
    """Line and cells of the named columns, in file order; blank lines are no rows.

    Where a header names a column twice the first one counts, and cells beyond the header must be empty.

    Raises
    ------
    DataError
        When the file cannot be read, a column is missing, or a row ends before one of them.
    """
    data = read_bytes(path, file)
    if data[:4] == b"PAR1":
        yield from _parquet_rows(path, file, columns)
        return
    reader = csv.reader(io.StringIO(_decode(data, file), newline=""), strict=True)
    try:
        header = [cell.strip() for cell in next(reader)]
        places = _places(header, columns, file)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) <= max(places) or any(cell.strip() for cell in cells[len(header) :]):
                raise DataError(
                    f"the row has {len(cells)} cells and the header {len(header)}",
                    file=file,
                    field=f"row {reader.line_num}",
                    remedy="Mend or remove the row",
                )
            yield reader.line_num, [cells[place] for place in places]
    except csv.Error as error:
        raise DataError(f"not CSV: {error}", file=file, field=f"row {reader.line_num}") from error


def _decode(data: bytes, file: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            "the file is not text in UTF-8", file=file, remedy="Save it as UTF-8, as CSV, gzipped CSV or Parquet"
        ) from error


def _places(header: Sequence[str], columns: Iterable[str], file: str) -> list[int]:
    for column in columns:
        if column not in header:
            found = ", ".join(name for name in header if name)
            raise DataError(
                "a column is missing",
                file=file,
                field=f"column {column}",
                remedy=f"Map another one, or leave out what is optional, such as volume. The file has: {found}",
            )
    return [header.index(column) for column in columns]


def _parquet_rows(path: Path, file: str, columns: Sequence[str]) -> Iterator[Row]:
    import duckdb

    with duckdb.connect(config={"threads": 1}) as connection:
        try:
            connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
            table = connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
            _places([str(row[0]) for row in table], columns, file)
            cells = ", ".join('CAST("{}" AS VARCHAR)'.format(column.replace('"', '""')) for column in columns)
            rows = connection.execute(f"SELECT {cells} FROM read_parquet(?)", [str(path)]).fetchall()  # noqa: S608 - quoted
        except duckdb.Error as error:
            raise DataError("the Parquet file is damaged", file=file, remedy="Fetch it again") from error
    for number, row in enumerate(rows, start=1):
        yield number, ["" if cell is None else cell for cell in row]
