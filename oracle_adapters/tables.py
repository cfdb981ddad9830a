"""Positions, depth and dates of changes from CSV files, with errors that name file, row and column.

A file may carry a column ``known_at``; then the last vintage known at the as-of date counts, of positions the
whole book and of depth the curve of each pair and venue. Without it the rows are declared, whatever the date.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from oracle_adapters.files import read_header, read_rows
from risk.errors import DataError, InputError
from risk.liquidity import combine_curves, to_marginal, worst_curve
from risk.market import Book, Impact, LiquidityCurve, Origin
from risk.parameters import Key
from risk.units import parse_instant

KNOWN_AT = "known_at"
VENUE = "venue"


@dataclass(frozen=True, slots=True)
class _Line:
    """One row: its line of the file and its cells by column."""

    number: int
    cells: Mapping[str, str]
    known_at: int | None


def read_book(path: Path, file: str, assets: Sequence[str], as_of: int | None) -> tuple[Book | None, dict[str, int]]:
    """Positions in whole tokens from ``account,asset,collateral,debt``; a row an account and asset.

    Parameters
    ----------
    path, file
        Where the file is, and the name to give it in messages.
    assets
        Assets that have a price; accounts that hold another one are left out whole and counted.
    as_of
        Instant whose vintage counts; None for the last.

    Returns
    -------
    Book or None
        None when no vintage was known yet.
    counted
        Accounts left out for an asset without a price, by asset.

    Raises
    ------
    DataError
        For a negative or unreadable amount, and an account that lists an asset twice.
    """
    lines = list(_lines(path, file, ("account", "asset", "collateral", "debt")))
    vintage = _vintage(lines, as_of)
    rows: dict[tuple[str, str], tuple[float, float]] = {}
    first: dict[tuple[str, str], int] = {}
    for line in vintage:
        at = line.cells["account"], line.cells["asset"]
        if at in rows:
            raise DataError(
                f"rows {first[at]} and {line.number} give one account's {at[1]} twice",
                file=file,
                field=f"row {line.number}, column asset",
                value=at[0],
            )
        first[at] = line.number
        rows[at] = _amount(line, "collateral", file), _amount(line, "debt", file)
    place = {name: j for j, name in enumerate(sorted(assets))}
    unpriced: dict[str, int] = {}
    refused = set()
    for account, asset in rows:
        if asset not in place:
            unpriced[asset] = unpriced.get(asset, 0) + 1
            refused.add(account)
    accounts = sorted({account for account, _ in rows} - refused)
    if not accounts:
        return None, unpriced
    row_of = {account: i for i, account in enumerate(accounts)}
    collateral, debt = np.zeros((len(accounts), len(place))), np.zeros((len(accounts), len(place)))
    for (account, asset), (held, owed) in rows.items():
        if account in row_of:
            collateral[row_of[account], place[asset]], debt[row_of[account], place[asset]] = held, owed
    return Book(tuple(accounts), tuple(place), collateral, debt, Origin.DECLARED), unpriced


def read_depth(path: Path, file: str, as_of: int | None, lookback: int | None = None) -> dict[str, LiquidityCurve]:
    """Liquidity curves by pair from ``pair,kind,origin,size_usd,impact``, a row a point, impact as a fraction.

    With a column ``venue`` the curves of a pair's venues, each in its last vintage, are combined. With a
    look-back the least depth of every moment at which one of them changed within it counts.

    Parameters
    ----------
    path, file
        Where the file is, and the name to give it in messages.
    as_of
        Instant whose vintage counts; None for the last.
    lookback
        Seconds before `as_of` (before the last vintage, where there is none) to take the worst of; None for now.

    Raises
    ------
    DataError
        For a pair that is not written base/quote, an unknown kind or origin, a curve that is not monotone, and
        average curves that cannot be combined.
    """
    optional = [name for name in (VENUE,) if name in read_header(path, file)]
    lines = list(_lines(path, file, ("pair", "kind", "origin", "size_usd", "impact", *optional)))
    curves = {}
    for pair in sorted({line.cells["pair"] for line in lines}):
        of_pair = [line for line in lines if line.cells["pair"] == pair]
        moments = [
            _combined(_venues(of_pair, pair, instant, file), file) for instant in _moments(of_pair, as_of, lookback)
        ]
        found = [curve for curve in moments if curve is not None]
        if found:
            curves[pair] = found[0] if len(found) == 1 else worst_curve(found)
    return curves


def _moments(lines: Sequence[_Line], as_of: int | None, lookback: int | None) -> list[int | None]:
    """The instant itself, and with a look-back those at which a vintage appeared within it."""
    dates = sorted({line.known_at for line in lines if line.known_at is not None})
    last = as_of if as_of is not None else dates[-1] if dates else None
    if lookback is None or last is None:
        return [as_of]
    return [last - lookback, *(date for date in dates if last - lookback < date <= last)]


def _venues(lines: Sequence[_Line], pair: str, as_of: int | None, file: str) -> list[tuple[int, LiquidityCurve]]:
    """The curve of each venue that had one then, with the line where it begins."""
    found = []
    for venue in sorted({line.cells.get(VENUE, "") for line in lines}):
        points = _vintage([line for line in lines if line.cells.get(VENUE, "") == venue], as_of)
        if points:
            found.append((points[0].number, _curve(points, pair, file)))
    return found


def _combined(venues: Sequence[tuple[int, LiquidityCurve]], file: str) -> LiquidityCurve | None:
    if len(venues) < 2:
        return venues[0][1] if venues else None
    for number, curve in venues:
        try:
            to_marginal(curve)
        except DataError as error:
            error.field = None
            raise error.at(file=file, field=f"row {number}") from None
    return combine_curves([curve for _, curve in venues])


def _curve(points: Sequence[_Line], pair: str, file: str) -> LiquidityCurve:
    base, slash, quote = pair.partition("/")
    head = points[0]
    if not (base and slash and quote):
        raise _wrong("a pair is written base/quote", head, "pair", file)
    for line in points:
        if (line.cells["kind"], line.cells["origin"]) != (head.cells["kind"], head.cells["origin"]):
            raise _wrong(f"the points of {pair} differ in kind or origin", line, "kind", file)
    if head.cells["kind"] not in [kind.value for kind in Impact]:
        raise _wrong(f"unknown kind; known are {', '.join(Impact)}", head, "kind", file)
    if head.cells["origin"] not in [origin.value for origin in Origin]:
        raise _wrong(f"unknown origin; known are {', '.join(Origin)}", head, "origin", file)
    sizes, impacts = ([_amount(line, name, file) for line in points] for name in ("size_usd", "impact"))
    kind, origin = Impact(head.cells["kind"]), Origin(head.cells["origin"])
    try:
        return LiquidityCurve(base, quote, np.array(sizes), np.array(impacts), kind, origin)
    except DataError as error:
        raise error.at(file=file, field=f"row {head.number}") from None


def read_changed_at(path: Path, file: str) -> dict[Key, int]:
    """When each parameter last changed, from ``key,changed_at``; unix seconds.

    Raises
    ------
    DataError
        For an unknown key, a repeated one, or a date that cannot be read.
    """
    found: dict[Key, int] = {}
    for line in _lines(path, file, ("key", "changed_at")):
        try:
            key = Key.parse(line.cells["key"])
        except InputError as error:
            raise _wrong(error.message, line, "key", file) from error
        if key in found:
            raise _wrong("the key stands twice", line, "key", file)
        found[key] = _instant(line.cells["changed_at"], line.number, "changed_at", file)
    return found


def _lines(path: Path, file: str, columns: Sequence[str]) -> Iterator[_Line]:
    dated = KNOWN_AT in read_header(path, file)
    names = (*columns, KNOWN_AT) if dated else tuple(columns)
    for number, cells in read_rows(path, file, names):
        named = dict(zip(names, (cell.strip() for cell in cells), strict=True))
        known_at = _instant(named[KNOWN_AT], number, KNOWN_AT, file) if dated else None
        yield _Line(number, named, known_at)


def _vintage(lines: Sequence[_Line], as_of: int | None) -> list[_Line]:
    """Lines of the last vintage known at `as_of`; all where lines carry no date."""
    dates = {line.known_at for line in lines if line.known_at is not None}
    if not dates:
        return list(lines)
    known = [date for date in dates if as_of is None or date <= as_of]
    return [line for line in lines if line.known_at == max(known)] if known else []


def _instant(text: str, number: int, column: str, file: str) -> int:
    try:
        return parse_instant(text)
    except InputError as error:
        raise DataError(error.message, file=file, field=f"row {number}, column {column}", value=text) from error


def _amount(line: _Line, column: str, file: str) -> float:
    try:
        value = float(line.cells[column] or "0")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _wrong("not a number", line, column, file)
    if value < 0:
        raise _wrong("a negative amount", line, column, file)
    return value


def _wrong(message: str, line: _Line, column: str, file: str) -> DataError:
    return DataError(message, file=file, field=f"row {line.number}, column {column}", value=line.cells[column])
