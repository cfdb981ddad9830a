"""The embedded sample market: ten assets with prices, positions, depth and parameters in force.

It is made up, from numbers estimated on real markets, so that riskcal can be tried and tested without any data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import resources

from oracle_adapters.feed import Chunk, FeedSpec, Kind, MemoryFeed
from oracle_adapters.sample.positions import book
from oracle_adapters.sample.prices import assets, rows, table
from oracle_adapters.tables import read_changed_at, read_depth
from risk.market import Book, LiquidityCurve
from risk.parameters import Key, ParameterSet
from risk.units import DAY

__all__ = ["SampleMarket", "assets", "changed_at", "depth", "parameters", "positions", "settings_text", "text"]

SOURCE = "sample"
_FOLDER = resources.files("oracle_adapters.sample")
_MARKET = "aave-core"
_SYMBOLS = {"BTC": "WBTC", "ETH": "WETH"}


def text(name: str) -> str:
    """A file of the sample: ``riskcal.toml``, ``parameters.toml``, ``changed_at.csv`` or ``depth.csv``."""
    return _FOLDER.joinpath(name).read_text(encoding="utf-8")


def settings_text() -> str:
    """Settings of the demo; they name no file beside them."""
    return text("riskcal.toml")


def parameters() -> ParameterSet:
    """Parameters in force."""
    return ParameterSet.from_toml(text("parameters.toml"), file="sample/parameters.toml")


def changed_at() -> dict[Key, int]:
    """When each parameter last changed."""
    with resources.as_file(_FOLDER.joinpath("changed_at.csv")) as path:
        return read_changed_at(path, "sample/changed_at.csv")


def depth() -> dict[str, LiquidityCurve]:
    """Depth of each asset against the US dollar, declared."""
    with resources.as_file(_FOLDER.joinpath("depth.csv")) as path:
        return read_depth(path, "sample/depth.csv", None)


def positions(seed: int, prices: Mapping[str, float]) -> Book:
    """Accounts at the prices of the as-of date; those that need an asset without a price are left out."""
    in_force = parameters()
    keys = {name: Key(_MARKET, "reserve", _SYMBOLS.get(name, name), (), "liquidation_threshold") for name in assets()}
    thresholds = {name: value for name, key in keys.items() if (value := in_force.ratio(key)) is not None}
    return book(seed, prices, thresholds)


class SampleMarket:
    """The price feed of one asset of the sample market.

    Parameters
    ----------
    asset
        One of `assets`.
    seed
        The run's seed; another seed is another market.
    """

    def __init__(self, asset: str, seed: int) -> None:
        spec = FeedSpec(Kind.PRICE, asset, "USD", SOURCE, DAY)
        self._feed = MemoryFeed(spec, rows(asset, seed))

    @property
    def spec(self) -> FeedSpec:
        """What the feed is about."""
        return self._feed.spec

    def facts(self) -> Mapping[str, str]:
        """That the market is made up, and when its crash and its de-peg happen."""
        return {
            "origin": "made up from estimated numbers",
            "crash": table()["crash"]["day"],
            "depeg": f"{table()['depeg']['asset']} {table()['depeg']['day']}",
        }

    def fetch(self, start: int, stop: int) -> Iterator[Chunk]:
        """Bars that ended from `start` on and before `stop`."""
        return self._feed.fetch(start, stop)
