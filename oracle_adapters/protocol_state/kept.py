"""A market's state as rows of a store, so that a run asks no node: fetched as of an instant, read where it covers.

A state is that of the last block at or before the instant that it was asked for, and so of every instant from that
block to this one. Rows are never taken back: a block that says something else later is refused by the store.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from oracle_adapters.feed import COLUMNS, Chunk, FeedSpec, Kind
from oracle_adapters.protocol_state.read import read_state
from oracle_adapters.protocol_state.state import Fact, MarketState, counted
from oracle_adapters.quality import Check
from oracle_adapters.rpc import Block
from oracle_adapters.store import Store
from risk.artifact import Table, json_hash
from risk.errors import DataError, EvidenceError
from risk.market import Book, Origin, StepBound, Verdict
from risk.parameters import Key, ParameterSet
from risk.settings import Settings

_READ_WITH = ("token", "decimals", "symbol", "reserve")
"""Settings of an asset that a reader looks at."""


def state_spec(market: str, settings: Settings) -> FeedSpec:
    """What the store calls a market's state; read with other settings it is another one."""
    declared = settings.markets[market]
    assert declared.state is not None  # noqa: S101 - of markets with a state only
    content = {
        "market": declared.model_dump(mode="json", exclude={"state": {"url_env", "confirmations"}}),
        "assets": {
            name: {part: getattr(one, part) for part in _READ_WITH} for name, one in sorted(settings.assets.items())
        },
    }
    source = f"{declared.protocol}:{declared.chain_id}:{declared.state.contract.lower()}:{json_hash(content)[:16]}"
    return FeedSpec(Kind.STATE, market, declared.protocol, source, 1)


class StateFeed:
    """The feed of one market's state, as of one instant.

    Parameters
    ----------
    market, settings
        Name of the market, and all settings.
    as_of
        Unix seconds.
    """

    def __init__(self, market: str, settings: Settings, as_of: int) -> None:
        self._market, self._settings, self._as_of = market, settings, as_of
        self._spec = state_spec(market, settings)

    @property
    def spec(self) -> FeedSpec:
        """What the feed is about."""
        return self._spec

    def facts(self) -> Mapping[str, str]:
        """The instant that is asked for."""
        return {"as_of": str(self._as_of)}

    def fetch(self, start: int, stop: int) -> Iterator[Chunk]:
        """The rows of the state, where its instant lies within the span.

        Raises
        ------
        DataError
            When the chain had no block yet.
        """
        if not start <= self._as_of < stop:
            return
        try:
            state, head = read_state(self._market, self._settings, self._as_of, sorted(self._settings.assets))
        except EvidenceError as error:
            raise DataError(error.message, file=self._spec.id, field=error.field, value=error.value) from error
        yield Chunk(Kind.STATE, state_rows(state, self._as_of, head.time))


def state_rows(state: MarketState, as_of: int, head: int) -> Table:
    """Rows of a state that was asked for as of an instant, when the chain's last final block had the time `head`.

    A state is ``final`` when the chain had gone on to the instant: no block can come between any more.
    """
    number = "{:06d}".format
    cells: list[tuple[str, str, object]] = [
        ("block", "number", state.block.number),
        ("block", "hash", state.block.hash),
    ]
    cells += [("block", "final", "")] if head >= as_of else []
    cells += [("parameter", str(key), str(value)) for key, value in state.parameters.items()]
    cells += [("changed_at", str(key), at) for key, at in state.changed_at.items()]
    cells += [("bound", name, asdict(bound)) for name, bound in state.bounds.items()]
    cells += [("fact", number(i), asdict(fact)) for i, fact in enumerate(state.structure)]
    cells += [("check", number(i), asdict(check)) for i, check in enumerate(state.checks)]
    if (book := state.book) is not None:
        cells += [("asset", name, "") for name in book.assets]
        cells += [("mode", name, mode) for name, mode in zip(book.accounts, book.modes, strict=False)]
        for side in ("collateral", "debt"):
            amounts = getattr(book, side)
            cells += [
                (side, f"{book.accounts[i]} {book.assets[j]}", float(amounts[i, j]))
                for i, j in np.argwhere(amounts > 0).tolist()
            ]
    rows = sorted((state.block.time, part, subject, as_of, json.dumps(value)) for part, subject, value in cells)
    return Table.from_rows(COLUMNS[Kind.STATE], rows)


def state_of(market: str, rows: Table) -> MarketState:
    """The state in the rows of one block; the inverse of `state_rows`."""
    parts: dict[str, dict[str, Any]] = {}
    for row in rows.rows():
        parts.setdefault(row["part"], {})[row["subject"]] = json.loads(row["value"])
    block = Block(int(parts["block"]["number"]), parts["block"]["hash"], int(rows["observed_at"][0]))
    values = ParameterSet.from_texts(parts.get("parameter", {}))
    return MarketState(
        market,
        block,
        {key: value for key in values.values if (value := values.get(key)) is not None},
        {Key.parse(key): int(at) for key, at in parts.get("changed_at", {}).items()},
        {name: StepBound(**bound) for name, bound in parts.get("bound", {}).items()},
        tuple(Fact(**fact) for fact in parts.get("fact", {}).values()),
        _book(parts),
        tuple(Check(**one | {"verdict": Verdict(one["verdict"])}) for one in parts.get("check", {}).values()),
    )


def _book(parts: Mapping[str, Mapping[str, Any]]) -> Book | None:
    assets = sorted(parts.get("asset", {}))
    if not assets:
        return None
    sides = {side: parts.get(side, {}) for side in ("collateral", "debt")}
    accounts = sorted({place.rpartition(" ")[0] for side in sides.values() for place in side})
    row, column = ({name: i for i, name in enumerate(names)} for names in (accounts, assets))
    amounts = {side: np.zeros((len(accounts), len(assets))) for side in sides}
    for side, places in sides.items():
        for place, amount in places.items():
            account, _, asset = place.rpartition(" ")
            amounts[side][row[account], column[asset]] = amount
    modes = parts.get("mode", {})
    return Book(
        tuple(accounts), tuple(assets), amounts["collateral"], amounts["debt"], Origin.MEASURED,
        tuple(modes[name] for name in accounts) if modes else (),
    )  # fmt: skip


def kept_states(store: Store, settings: Settings, as_of: int, assets: Sequence[str]) -> list[MarketState]:
    """State of each market with a source as the store holds it, at the last block at or before an instant.

    Parameters
    ----------
    assets
        Assets that have a price; accounts that hold or owe something else are left out whole, and counted.

    Raises
    ------
    DataError
        When a state was not fetched as of the instant: says how to get it; when a part of the store is damaged.
    """
    found = []
    for market, declared in sorted(settings.markets.items()):
        if declared.state is not None:
            spec = state_spec(market, settings)
            store.verify(spec)
            found.append(_priced(_covering(store, spec, as_of), assets))
    return found


def _covering(store: Store, spec: FeedSpec, as_of: int) -> MarketState:
    rows = store.read(spec)
    rows = rows.take(rows["observed_at"] <= as_of)
    if len(rows):
        rows = rows.take(rows["observed_at"] == rows["observed_at"].max())
        until = rows.where(part="block", subject="final")["known_at"].max(initial=0)
        asked = store.read(spec, start=as_of, stop=as_of + 1)["observed_at"]
        if as_of <= until or (asked == rows["observed_at"][0]).any():
            return state_of(spec.base, rows)
    then = datetime.fromtimestamp(as_of, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    raise DataError(
        "the store does not hold the state of the market as of the date",
        file=spec.id,
        field=f"markets.{spec.base}.state",
        value=then,
        remedy=f"Run riskcal fetch with --as-of {then}",
    )


def _priced(state: MarketState, assets: Sequence[str]) -> MarketState:
    """The state with the accounts alone whose every position has a price."""
    book = state.book
    if book is None or set(book.assets) <= set(assets):
        return state
    sides = book.collateral + book.debt
    without = [j for j, name in enumerate(book.assets) if name not in assets]
    kept = np.asarray((sides[:, without] == 0).all(axis=1))
    columns = [j for j, name in enumerate(book.assets) if name in assets]
    checks: list[Check] = []
    for check in state.checks:
        checks.append(replace(check, count=int(kept.sum())) if check.check == "positions" else check)
        if check.check == "positions":
            for j in without:
                group = [book.accounts[i].partition("/")[2] for i in np.flatnonzero(sides[:, j] > 0)]
                name = book.assets[j]
                checks += counted("unpriced", group, f"accounts with {name}, which has no price, are left out")
    accounts = tuple(name for name, keep in zip(book.accounts, kept.tolist(), strict=True) if keep)
    modes = tuple(mode for mode, keep in zip(book.modes, kept.tolist(), strict=False) if keep)
    names = tuple(book.assets[j] for j in columns)
    rest = Book(accounts, names, book.collateral[kept][:, columns], book.debt[kept][:, columns], book.origin, modes)
    return replace(state, book=rest if accounts else None, checks=tuple(checks))
