"""From the settings of feeds to feeds: one opener a kind of source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from oracle_adapters import sample
from oracle_adapters.feed import Feed, Kind
from oracle_adapters.files import PriceFile
from oracle_adapters.masking import secret
from risk.errors import SettingsError, SourceError
from risk.feed_settings import ChainlinkFeed, ExchangeFeed, FileFeed, SampleFeed
from risk.market import NUMERAIRE
from risk.settings import Settings

if TYPE_CHECKING:
    from oracle_adapters.rpc import Node

Opener = Callable[[Any, Settings, Path], list[Feed]]
"""From one feed's settings, all settings and the folder that paths are relative to."""


def _open_file(feed: FileFeed, _: Settings, root: Path) -> list[Feed]:
    return [PriceFile(feed, root)]


def _open_sample(_: SampleFeed, settings: Settings, __: Path) -> list[Feed]:
    return [sample.SampleMarket(name, settings.seed) for name in sample.assets() if name in settings.assets]


def _open_chainlink(feed: ChainlinkFeed, _: Settings, __: Path) -> list[Feed]:
    from oracle_adapters.rounds import RoundPrices

    return [RoundPrices(feed, _node(feed))]


def _node(feed: ChainlinkFeed) -> Node:
    from oracle_adapters.rpc import Node

    return Node(
        secret(feed.url_env), name=f"node:{feed.url_env}", chain_id=feed.chain_id, confirmations=feed.confirmations
    )


def _open_exchange(feed: ExchangeFeed, _: Settings, __: Path) -> list[Feed]:
    from oracle_adapters.exchange import open_exchange

    return [open_exchange(feed)]


OPENERS: Mapping[type, Opener] = MappingProxyType(
    {FileFeed: _open_file, SampleFeed: _open_sample, ChainlinkFeed: _open_chainlink, ExchangeFeed: _open_exchange}
)
"""Opener by the model of a feed's settings. Heavy imports belong inside an opener."""


def open_feeds(settings: Settings, root: Path, *, unreached: list[SourceError] | None = None) -> list[Feed]:
    """Feeds by asset name, and in the settings' order where an asset has several.

    Parameters
    ----------
    settings, root
        All settings, and the folder that paths are relative to.
    unreached
        Where given, a source that is not reached while it is opened is added here, and the other feeds are opened.

    Raises
    ------
    SettingsError
        For an asset without a feed of prices, a feed of an unknown asset, or prices that are not in US dollars.
    SourceError
        For a source that is not reached while it is opened.
    """
    feeds: list[Feed] = []
    served: set[str] = set()
    for number, declared in enumerate(settings.feeds):
        try:
            opened = OPENERS[type(declared)](declared, settings, root)
        except SourceError as error:
            if unreached is None:
                raise
            unreached.append(error)
            served.add(getattr(declared, "asset", ""))
            continue
        for feed in opened:
            if feed.spec.base not in settings.assets:
                raise SettingsError("no such asset", field=f"feeds.{number}.asset", value=feed.spec.base)
            if feed.spec.kind is Kind.PRICE and feed.spec.quote != NUMERAIRE:
                raise SettingsError(
                    f"only prices in {NUMERAIRE} are read", field=f"feeds.{number}.quote", value=feed.spec.quote
                )
        feeds += opened
    served |= {feed.spec.base for feed in feeds if feed.spec.kind is Kind.PRICE}
    if without := sorted(set(settings.assets) - served):
        raise SettingsError("the asset has no feed", field=f"assets.{without[0]}", remedy="Add it under [[feeds]]")
    if len({feed.spec.id for feed in feeds}) < len(feeds):
        raise SettingsError("two feeds of one asset have one name", field="feeds", remedy="Rename one of the files")
    return sorted(feeds, key=lambda feed: feed.spec.base)
