"""Everything that was known of a market at one instant, gathered from the feeds that the settings name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from oracle_adapters import sample
from oracle_adapters.feed import FOREVER, Chunk, Feed, collect
from oracle_adapters.files import read_bytes
from oracle_adapters.prices import price_assets
from oracle_adapters.quality import Check
from oracle_adapters.registry import composite_paths, open_feeds
from oracle_adapters.tables import read_book, read_changed_at, read_depth
from risk.artifact import Table
from risk.errors import DataError
from risk.feed_settings import SampleFeed
from risk.market import (
    QUALITY_SCHEMA,
    Book,
    LiquidityCurve,
    MarketSnapshot,
    OracleFacts,
    PriceSeries,
    StepBound,
    Verdict,
)
from risk.parameters import Key, ParameterSet
from risk.settings import Settings
from risk.units import parse_instant

READS = (
    *("seed", "assets", "feeds", "composites", "aggregation", "bounds", "oracles"),
    *("parameters", "changed_at", "positions", "depth", "depth_lookback"),
)
"""Settings that the snapshot depends on."""


def build_snapshot(
    settings: Settings, *, root: Path, as_of: int | None = None, store: Path | None = None
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
        Folder of a store to which prices are added, and from which they are read.

    Raises
    ------
    SettingsError
        For an asset without a price in US dollars, and a feed that no price needs.
    DataError
        For a file that cannot be read, and when nothing was known at the instant.
    """
    if as_of is None and settings.as_of is not None:
        as_of = parse_instant(settings.as_of)
    feeds = open_feeds(settings, root)
    stop = FOREVER if as_of is None else as_of + 1
    chunks = [collect(feed, 0, stop) for feed in feeds]
    if store is not None:
        chunks = [_through_store(store, feed, chunk, stop) for feed, chunk in zip(feeds, chunks, strict=True)]
    known = [int(chunk.rows["known_at"].max()) for chunk in chunks if len(chunk.rows)]
    if not known:
        raise DataError(
            "nothing was known at the as-of date", field="as_of", value=as_of, remedy="Give a later one, or more data"
        )
    instant = max(known) if as_of is None else as_of

    paths = composite_paths(settings, feeds)
    prices = price_assets(settings, paths, list(zip(feeds, chunks, strict=True)), instant)
    assets = tuple(sorted({one.base for one in prices.series}))
    declared = _declared(settings, root, instant, assets, prices.series)
    rows = [*prices.checks, *declared.checks]
    return MarketSnapshot(
        as_of=instant,
        assets=assets,
        series=prices.series,
        sources=prices.sources,
        depth=declared.depth,
        book=declared.book,
        in_force=declared.in_force,
        changed_at=declared.changed_at,
        bounds={name: StepBound(b.step, b.relative, b.minimum_delay) for name, b in sorted(settings.bounds.items())},
        oracle={
            name: OracleFacts(facts.deviation, facts.heartbeat, facts.latency)
            for name, facts in sorted(settings.oracles.items())
        },
        quality=Table.from_rows(
            QUALITY_SCHEMA, ((name, c.check, c.verdict.value, c.count, c.detail) for name, c in rows)
        ),
        settings_hash=settings.hash_of(*READS),
    )


def _through_store(store: Path, feed: Feed, chunk: Chunk, stop: int) -> Chunk:
    from oracle_adapters.store import Store

    kept = Store(store)
    kept.append(feed.spec, chunk.rows)
    return Chunk(chunk.kind, kept.read(feed.spec, known_at=stop - 1), chunk.counted)


@dataclass(frozen=True, slots=True)
class _Declared:
    """What comes from files beside the prices."""

    in_force: ParameterSet
    changed_at: Mapping[Key, int]
    depth: Mapping[str, LiquidityCurve]
    book: Book | None
    checks: Sequence[tuple[str, Check]]


def _declared(
    settings: Settings, root: Path, as_of: int, assets: Sequence[str], series: Iterable[PriceSeries]
) -> _Declared:
    """Parameters, dates, depth and positions from the files named, else from the sample where it is a feed."""
    sampled = any(isinstance(feed, SampleFeed) for feed in settings.feeds)
    checks: list[tuple[str, Check]] = []

    if settings.parameters is not None:
        text = read_bytes(root / settings.parameters, settings.parameters).decode(errors="replace")
        in_force = ParameterSet.from_toml(text, file=settings.parameters)
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
    elif sampled:
        book = sample.positions(settings.seed, {s.base: float(s.value[-1]) for s in series if s.field == "close"})
    return _Declared(in_force, {k: at for k, at in changed.items() if at <= as_of}, depth, book, checks)
