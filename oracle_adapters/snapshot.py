"""Everything that was known of a market at one instant, gathered from the feeds that the settings name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from oracle_adapters import sample
from oracle_adapters.depth import Venue, measured_depth
from oracle_adapters.derivatives import DERIVATIVES, quoted_derivatives
from oracle_adapters.feed import FOREVER, Chunk, Feed, Kind, collect
from oracle_adapters.files import PriceFile, read_bytes
from oracle_adapters.masking import mask
from oracle_adapters.oracle_facts import oracle_facts
from oracle_adapters.prices import Prices, price_assets
from oracle_adapters.quality import Check
from oracle_adapters.quality.clamps import check_clamps
from oracle_adapters.registry import composite_paths, open_feeds
from oracle_adapters.safety import Lending, safety_checks
from oracle_adapters.tables import read_book, read_changed_at, read_depth
from risk.artifact import Table
from risk.errors import DataError, RiskcalError, SourceError
from risk.feed_settings import SampleFeed
from risk.market import (
    NUMERAIRE,
    QUALITY_SCHEMA,
    Book,
    LiquidityCurve,
    MarketSnapshot,
    PriceSeries,
    StepBound,
    Verdict,
)
from risk.parameters import Key, Malformed, ParameterSet
from risk.settings import Settings
from risk.structure import STEWARD, STRUCTURE_SCHEMA, no_structure
from risk.units import parse_instant

READS = (
    *("seed", "assets", "feeds", "composites", "aggregation", "markets", "bounds", "oracles"),
    *("parameters", "changed_at", "positions", "depth", "depth_lookback"),
)
"""Settings that the snapshot depends on."""
_NEAR = PriceFile | sample.SampleMarket
"""Feeds that are no farther away than a store."""


def build_snapshot(
    settings: Settings,
    *,
    root: Path,
    as_of: int | None = None,
    store: Path | None = None,
    unread: dict[str, RiskcalError] | None = None,
) -> MarketSnapshot:
    """Read what the settings name, as it was known at an instant.

    Nothing that became known later changes the result. An asset without a row by then is left out of the
    universe and counted in the quality table; one whose series has ended stays, with a verdict of stale.

    Parameters
    ----------
    settings
        The run's settings.
    root
        Folder that paths in the settings are relative to.
    as_of
        Unix seconds; by default the settings' `as_of`, else the last known datum over all series.
    store
        Folder of fetched rows; by default that of the settings. With one, no source is asked: only files and the
        sample are read in their place.
    unread
        Where given, a feed that cannot be opened or read is added here by its name, with a bad row of quality in
        place of its data; nobody may decide by such a snapshot. Where left out, the first such error is raised.

    Raises
    ------
    SettingsError
        For an asset without a price in US dollars, and a feed that no price needs.
    DataError
        For a file that cannot be read, a feed that was never fetched or whose part of the store is damaged, and
        when nothing was known at the instant.
    """
    if as_of is None and settings.as_of is not None:
        as_of = parse_instant(settings.as_of)
    if store is None and settings.store is not None:
        store = root / settings.store
    lost: dict[str, RiskcalError] = {}

    def read(feed: Feed, stop: int) -> Chunk | None:
        try:
            return _collected(feed, store, stop)
        except RiskcalError as error:
            if unread is None:
                raise
            lost.setdefault(feed.spec.id, error)
            return None

    def read_all(kinds: Collection[Kind], stop: int) -> list[tuple[Feed, Chunk]]:
        wanted = [feed for feed in opened if feed.spec.kind in kinds]
        return [(feed, chunk) for feed in wanted if (chunk := read(feed, stop)) is not None]

    unopened: list[SourceError] | None = None if unread is None else []
    opened = open_feeds(settings, root, unreached=unopened)
    lost |= {error.file or error.message: error for error in unopened or ()}
    stop = FOREVER if as_of is None else as_of + 1
    priced = read_all({Kind.PRICE}, stop)
    quotes = [(feed.spec, chunk) for feed, chunk in read_all(DERIVATIVES, stop)]
    venues = [Venue(feed.spec, chunk.rows) for feed, chunk in read_all({Kind.DEPTH}, stop)]
    all_rows = [chunk.rows for _, chunk in priced] + [one.rows for one in venues] + [chunk.rows for _, chunk in quotes]
    known = [int(rows["known_at"].max()) for rows in all_rows if len(rows)]
    if not known and lost:
        raise max(lost.values(), key=lambda error: error.exit_code)
    if not known:
        raise DataError(
            "nothing was known at the as-of date",
            field="as_of",
            value=None if as_of is None else datetime.fromtimestamp(as_of, UTC).strftime("%Y-%m-%d %H:%M UTC"),
            remedy="Give a later one, or more data" + _left_out(chunk for _, chunk in priced),
        )
    instant = max(known) if as_of is None else as_of

    paths = composite_paths(settings, [feed for feed in opened if feed.spec.kind is Kind.PRICE])
    told = [(feed.spec, chunk.rows) for feed, chunk in read_all({Kind.ROUND}, instant + 1)]
    prices = price_assets(settings, paths, priced, instant, {spec.id: rows for spec, rows in told})
    assets = tuple(sorted({one.base for one in prices.series}))
    declared = _declared(settings, root, instant, assets, prices.series, store)
    depth, seen = _depth(settings, venues, prices, instant, declared.depth)
    oracle, rules = oracle_facts(settings.oracles, told)
    behind = {feed.spec.id: chunk.rows for feed, chunk in read_all({Kind.AGGREGATOR}, instant + 1)}
    rules += [(spec.id, check_clamps(behind[spec.id], rows)) for spec, rows in told if spec.id in behind]
    derivatives = quoted_derivatives(quotes, instant)
    moved = [(feed.spec, chunk.rows) for feed, chunk in read_all({Kind.SAFETY}, instant + 1)]
    lending = Lending(settings, declared.in_force, declared.book, _in_usd(prices))
    safety = safety_checks(moved, lending, paths) if moved else ()
    rows = [*prices.checks, *declared.checks, *seen, *rules, *derivatives.checks, *safety]
    if unread is not None:
        unread |= lost
        rows += [(name, Check("read", Verdict.BAD, 0, mask(str(error)))) for name, error in lost.items()]
    return MarketSnapshot(
        as_of=instant,
        assets=assets,
        series=prices.series,
        sources=prices.sources,
        depth=depth,
        book=declared.book,
        in_force=declared.in_force,
        changed_at=declared.changed_at,
        bounds=declared.bounds,
        oracle=oracle,
        quality=Table.from_rows(
            QUALITY_SCHEMA, ((name, c.check, c.verdict.value, c.count, c.detail) for name, c in rows)
        ),
        settings_hash=settings.hash_of(*READS),
        structure=declared.structure,
        options=derivatives.options,
        rates=derivatives.rates,
    )


def last_known(feeds: Iterable[Feed], store: Path) -> int | None:
    """The instant that a run on a store takes for its as-of date, where nothing gives another; None for no datum."""
    from oracle_adapters.store import Store

    found = [
        max(collect(feed).rows["known_at"].tolist(), default=None)
        if isinstance(feed, _NEAR)
        else Store(store).last_known(feed.spec)
        for feed in feeds
        if feed.spec.kind in (Kind.PRICE, Kind.DEPTH, *DERIVATIVES)
    ]
    return max((one for one in found if one is not None), default=None)


def _left_out(chunks: Iterable[Chunk]) -> str:
    """What reading left out, for a reader who wonders why nothing is there."""
    counted = sum((Counter(chunk.counted) for chunk in chunks), Counter())
    said = ", ".join(f"{count:,} {name}" for name, count in sorted(counted.items()) if count)
    return f". Left out in reading were {said}" if said else ""


def _depth(
    settings: Settings, venues: Sequence[Venue], prices: Prices, as_of: int, declared: Mapping[str, LiquidityCurve]
) -> tuple[Mapping[str, LiquidityCurve], Sequence[tuple[str, Check]]]:
    """Measured curves of assets in place of declared ones of the same pairs, and what is to be said of them."""
    if not venues:
        return declared, ()
    measured, checks = measured_depth(
        venues, _in_usd(prices), as_of,
        maximum_age=settings.aggregation.maximum_depth_age,
        lookback=settings.depth_lookback,
        tolerance=settings.aggregation.depth_tolerance,
        closes={one.base: one for one in _closes(prices)},
    )  # fmt: skip
    measured = {pair: curve for pair, curve in measured.items() if curve.base in {one.base for one in prices.series}}
    if both := sorted(measured.keys() & declared.keys()):
        detail = f"curves are measured, which counts, and declared too, e.g. {both[0]}"
        checks.append(("depth", Check("declared", Verdict.GOOD, len(both), detail)))
    return dict(sorted((dict(declared) | measured).items())), checks


def _closes(prices: Prices) -> list[PriceSeries]:
    """Closes in US dollars; of an asset its own come last."""
    every = (*prices.sources, *prices.series)
    return [one for one in every if (one.quote, one.field) == (NUMERAIRE, "close") and len(one)]


def _in_usd(prices: Prices) -> dict[str, float]:
    """US dollars of one unit by name."""
    return {one.base: float(one.value[-1]) for one in _closes(prices) if one.value[-1] > 0} | {NUMERAIRE: 1.0}


def _collected(feed: Feed, store: Path | None, stop: int) -> Chunk:
    """Rows that were known before `stop`; of an oracle's safety a chain is asked for the last ones only."""
    if store is not None:
        return collect(_kept(feed, store), 0, stop)
    if feed.spec.kind is Kind.SAFETY:
        from oracle_adapters.sampled import SampledFigures

        assert isinstance(feed, SampledFigures)  # noqa: S101 - the only feeds of their kind
        return feed.last(stop - 1)
    return collect(feed, 0, stop)


def _kept(feed: Feed, folder: Path) -> Feed:
    """The feed as the store holds it; files and the sample are no farther away than the store."""
    if isinstance(feed, _NEAR):
        return feed
    from oracle_adapters.store import Store, StoredFeed

    store = Store(folder)
    if store.last_known(feed.spec) is None:
        raise DataError(
            "the store does not hold the feed",
            file=str(folder),
            field=feed.spec.id,
            remedy="Run riskcal fetch; where it ran, it says what became of the feed's rows",
        )
    store.verify(feed.spec)
    return StoredFeed(store, feed.spec)


@dataclass(frozen=True, slots=True)
class _Declared:
    """What comes from files, or from the chain, beside the prices."""

    in_force: ParameterSet
    changed_at: Mapping[Key, int]
    bounds: Mapping[str, StepBound]
    depth: Mapping[str, LiquidityCurve]
    book: Book | None
    structure: Table
    checks: Sequence[tuple[str, Check]]


def _declared(
    settings: Settings,
    root: Path,
    as_of: int,
    assets: Sequence[str],
    series: Iterable[PriceSeries],
    store: Path | None,
) -> _Declared:
    """Parameters, dates, depth and positions from the files named, else from the sample where it is a feed."""
    sampled = any(isinstance(feed, SampleFeed) for feed in settings.feeds)
    checks: list[tuple[str, Check]] = []

    if settings.parameters is not None:
        text = read_bytes(root / settings.parameters, settings.parameters).decode("utf-8-sig", errors="replace")
        in_force = ParameterSet.from_toml(text, file=settings.parameters)
        _check_in_force(in_force, settings.parameters)
    else:
        in_force = sample.parameters() if sampled else ParameterSet({})

    if settings.changed_at is not None:
        changed = read_changed_at(root / settings.changed_at, settings.changed_at)
    else:
        changed = sample.changed_at() if sampled and settings.parameters is None else {}
    late = sorted(str(key) for key, at in changed.items() if at > as_of)
    if late:
        detail = f"changed after the as-of date, so what was in force then is not known, e.g. {late[0]}"
        checks.append(("parameters", Check("in_force", Verdict.SUSPECT, len(late), detail)))

    if settings.depth is not None:
        depth = read_depth(root / settings.depth, settings.depth, as_of, settings.depth_lookback)
    else:
        depth = sample.depth() if sampled else {}

    if stray := sorted(pair for pair, curve in depth.items() if curve.base not in assets):
        detail = f"curves of assets that are not in the universe are left out, e.g. {stray[0]}"
        checks.append(("depth", Check("unpriced", Verdict.SUSPECT, len(stray), detail)))
        depth = {pair: curve for pair, curve in depth.items() if pair not in stray}

    book = None
    if settings.positions is not None:
        book, unpriced = read_book(root / settings.positions, settings.positions, assets, as_of)
        for name, count in sorted(unpriced.items()):
            detail = f"accounts with {name}, which has no price, are left out"
            checks.append(("positions", Check("unpriced", Verdict.SUSPECT, count, detail)))
    elif sampled and not any(m.state is not None and m.state.positions for m in settings.markets.values()):
        book = sample.positions(settings.seed, {s.base: float(s.value[-1]) for s in series if s.field == "close"})
    bounds = {name: StepBound(b.step, b.relative, b.minimum_delay) for name, b in sorted(settings.bounds.items())}
    changed = {key: at for key, at in changed.items() if at <= as_of}
    said = _Declared(in_force, changed, bounds, depth, book, no_structure(), checks)
    if all(market.state is None for market in settings.markets.values()):
        return said
    return _on_chain(said, settings, as_of, assets, store)


def _check_in_force(values: ParameterSet, file: str) -> None:
    """Refuse a declared value that cannot be in force: without its unit, or beyond what the parameter can be."""
    for key, value in values.values.items():
        if isinstance(value, Malformed):
            why, remedy = value.reason, "Write the value in force with its unit"
        elif not key.spec.lower <= value.value <= key.spec.upper:
            why, remedy = "the value in force cannot be right", "Write what the contract holds"
        else:
            continue
        line = f"line {values.lines[key]}, " if key in values.lines else ""
        raise DataError(why, file=file, field=f"{line}{key}", value=str(value), remedy=remedy)


def _on_chain(
    declared: _Declared, settings: Settings, as_of: int, assets: Sequence[str], store: Path | None
) -> _Declared:
    """What the chain, or the store, says in place of what was declared of the same markets; and where they differ."""
    from oracle_adapters.protocol_state.kept import kept_states
    from oracle_adapters.protocol_state.read import age, joined, read_states
    from oracle_adapters.store import Store

    if store is None:
        states = read_states(settings, as_of, assets)
    else:
        states = kept_states(Store(store), settings, as_of, assets)
    markets = {state.market for state in states}
    values = {key: value for key, value in declared.in_force.values.items() if key.market not in markets}
    changed = {key: at for key, at in declared.changed_at.items() if key.market not in markets}
    bounds, checks = dict(declared.bounds), list(declared.checks)
    facts: list[tuple[object, ...]] = []
    for state in states:
        mine = [(k, v) for k, v in declared.in_force.values.items() if k.market == state.market]
        differ = [str(key) for key, value in mine if state.parameters.get(key) != value]
        loose = [name for name, bound in state.bounds.items() if declared.bounds.get(name, bound) != bound]
        checks.append((state.market, age(state, as_of)))
        for name, found in (("declared", differ), ("bounds", loose)):
            if found:
                detail = f"declared otherwise than the chain says, which counts, e.g. {found[0]}"
                checks.append((state.market, Check(name, Verdict.SUSPECT, len(found), detail)))
        checks += [(state.market, check) for check in state.checks]
        values |= state.parameters
        changed |= state.changed_at
        bounds |= state.bounds
        facts += [(state.market, "market", state.market, "block", f"{state.block.number} {state.block.hash}", 0)]
        if (source := settings.markets[state.market].state) is not None and source.steward is not None:
            facts += [
                (state.market, "bound", name, STEWARD, source.steward.lower(), 0) for name in sorted(state.bounds)
            ]
        facts += [(state.market, f.kind, f.subject, f.fact, f.value, f.since) for f in state.structure]
    read = any(market.state is not None and market.state.positions for market in settings.markets.values())
    return _Declared(
        ParameterSet(values, declared.in_force.lines),
        changed,
        dict(sorted(bounds.items())),
        declared.depth,
        joined(states) if read else declared.book,
        Table.from_rows(STRUCTURE_SCHEMA, facts),
        checks,
    )
