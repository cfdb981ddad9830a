"""From the settings of feeds to feeds: one opener a kind of source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from oracle_adapters import sample
from oracle_adapters.feed import Feed
from oracle_adapters.files import PriceFile
from risk.errors import SettingsError
from risk.feed_settings import FileFeed, SampleFeed
from risk.market import NUMERAIRE
from risk.settings import Settings

Opener = Callable[[Any, Settings, Path], list[Feed]]
"""From one feed's settings, all settings and the folder that paths are relative to."""


def _open_file(feed: FileFeed, _: Settings, root: Path) -> list[Feed]:
    return [PriceFile(feed, root)]


def _open_sample(_: SampleFeed, settings: Settings, __: Path) -> list[Feed]:
    return [sample.SampleMarket(name, settings.seed) for name in sample.assets() if name in settings.assets]


OPENERS: Mapping[type, Opener] = MappingProxyType({FileFeed: _open_file, SampleFeed: _open_sample})
"""Opener by the model of a feed's settings. Heavy imports belong inside an opener."""


def open_feeds(settings: Settings, root: Path) -> list[Feed]:
    """Feeds by asset name, and in the settings' order where an asset has several.

    Raises
    ------
    SettingsError
        For an asset without a feed, a feed of an unknown asset, or one that is not in US dollars.
    """
    feeds: list[Feed] = []
    for number, declared in enumerate(settings.feeds):
        opened = OPENERS[type(declared)](declared, settings, root)
        for feed in opened:
            if feed.spec.base not in settings.assets:
                raise SettingsError("no such asset", field=f"feeds.{number}.asset", value=feed.spec.base)
            if feed.spec.quote != NUMERAIRE:
                raise SettingsError(
                    f"only prices in {NUMERAIRE} are read", field=f"feeds.{number}.quote", value=feed.spec.quote
                )
        feeds += opened
    if without := sorted(set(settings.assets) - {feed.spec.base for feed in feeds}):
        raise SettingsError("the asset has no feed", field=f"assets.{without[0]}", remedy="Add it under [[feeds]]")
    if len({feed.spec.id for feed in feeds}) < len(feeds):
        raise SettingsError("two feeds of one asset have one name", field="feeds", remedy="Rename one of the files")
    return sorted(feeds, key=lambda feed: feed.spec.base)
