"""From the settings of feeds to feeds: one opener a kind of source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from oracle_adapters import sample
from oracle_adapters.feed import Feed, Kind
from oracle_adapters.files import PriceFile
from oracle_adapters.transport import Manners
from risk.errors import SettingsError, SourceError
from risk.feed_settings import (
    ChainlinkFeed,
    ExchangeFeed,
    FileFeed,
    OnChainFeed,
    PythFeed,
    SampleFeed,
    UniswapFeed,
    WrapperFeed,
)
from risk.market import NUMERAIRE
from risk.price_graph import Edge, Pair, price_paths
from risk.price_graph import Path as PricePath
from risk.settings import Settings

Opener = Callable[[Any, Settings, Path], list[Feed]]
"""From one feed's settings, all settings and the folder that paths are relative to."""


def _open_file(feed: FileFeed, _: Settings, root: Path) -> list[Feed]:
    return [PriceFile(feed, root)]


def _open_sample(_: SampleFeed, settings: Settings, __: Path) -> list[Feed]:
    return [sample.SampleMarket(name, settings.seed) for name in sample.assets() if name in settings.assets]


def _open_onchain(feed: OnChainFeed, settings: Settings, _: Path) -> list[Feed]:
    from oracle_adapters.onchain import open_onchain

    return open_onchain(feed, settings.fetch, settings)


def _open_exchange(feed: ExchangeFeed, settings: Settings, _: Path) -> list[Feed]:
    from oracle_adapters.exchange import open_exchange
    from oracle_adapters.exchange.client import open_venue

    return [open_exchange(feed, open_venue(feed, Manners.of(settings.fetch)))]


OPENERS: Mapping[type, Opener] = MappingProxyType(
    {
        FileFeed: _open_file,
        SampleFeed: _open_sample,
        ChainlinkFeed: _open_onchain,
        PythFeed: _open_onchain,
        WrapperFeed: _open_onchain,
        UniswapFeed: _open_onchain,
        ExchangeFeed: _open_exchange,
    }
)
"""Opener by the model of a feed's settings. Heavy imports belong inside an opener."""


PRICES = frozenset({Kind.PRICE})
"""Kinds of feeds that are edges of the graph of prices."""
_OF_PRICES = PRICES | {Kind.SAFETY}
"""Kinds of feeds that may be of a factor of a price, which is no asset."""


def open_feeds(settings: Settings, root: Path, *, unreached: list[SourceError] | None = None) -> list[Feed]:
    """Feeds by what they are about, and in the settings' order where that has several.

    Parameters
    ----------
    settings, root
        All settings, and the folder that paths are relative to.
    unreached
        Where given, a source that is not reached while it is opened is added here, and the other feeds are opened.

    Raises
    ------
    SettingsError
        For an asset without a price in US dollars, a price that none needs, and a path that does not hold.
    SourceError
        For a source that is not reached while it is opened.
    """
    feeds: list[Feed] = []
    edges: list[Edge] = []
    for number, declared in enumerate(settings.feeds):
        try:
            opened = OPENERS[type(declared)](declared, settings, root)
        except SourceError as error:
            if unreached is None:
                raise
            unreached.append(error)
            edges += settings.edges(number)
            continue
        feeds += opened
        for feed in opened:
            if feed.spec.kind not in _OF_PRICES and feed.spec.base not in settings.assets:
                raise SettingsError("no such asset", field=f"feeds.{number}.asset", value=feed.spec.base)
        decimals = getattr(declared, "decimals", None)
        edges += [Edge(_pair(feed), f"feeds.{number}", decimals) for feed in opened if feed.spec.kind in PRICES]
    paths = price_paths(edges, settings.composites, settings.assets)
    needed = {Pair(asset, NUMERAIRE) for asset in settings.assets} | set(paths)
    needed |= {factor.pair for path in paths.values() for factor in path.factors}
    for edge in edges:
        if edge.pair in needed:
            continue
        if edge.pair.base not in settings.assets:
            raise SettingsError("no such asset", field=f"{edge.name}.asset", value=edge.pair.base)
        raise SettingsError(
            f"no price in {NUMERAIRE} needs {edge.pair}",
            field=f"{edge.name}.quote",
            value=edge.pair.quote,
            remedy="Declare the path that uses it under [composites], or remove the feed",
        )
    priced = {edge.pair for edge in edges} | set(paths)
    if without := sorted(name for name in settings.assets if Pair(name, NUMERAIRE) not in priced):
        raise SettingsError("the asset has no feed", field=f"assets.{without[0]}", remedy="Add it under [[feeds]]")
    if len({(feed.spec.kind, feed.spec.id) for feed in feeds}) < len(feeds):
        raise SettingsError("two feeds of one asset have one name", field="feeds", remedy="Rename one of the files")
    return sorted(feeds, key=_pair)


def composite_paths(settings: Settings, feeds: Sequence[Feed]) -> dict[Pair, PricePath]:
    """Declared and derived composites over open feeds; what they declare of decimals was held when they opened.

    Raises
    ------
    SettingsError
        For a path that does not hold.
    """
    edges = [Edge(_pair(feed), feed.spec.id) for feed in feeds if feed.spec.kind in PRICES]
    bare = {name: one.model_copy(update={"decimals": {}}) for name, one in settings.composites.items()}
    return price_paths(edges, bare, settings.assets)


def _pair(feed: Feed) -> Pair:
    return Pair(feed.spec.base, feed.spec.quote)
