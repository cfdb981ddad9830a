"""Exchanges through ccxt: bars, order books, funding, open interest and option chains of any venue that it knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from oracle_adapters.exchange.bars import Bars
from oracle_adapters.exchange.client import Venue, open_venue
from oracle_adapters.exchange.depth import OrderBook
from oracle_adapters.exchange.funding import FundingRates, OpenInterest
from oracle_adapters.exchange.options import OptionChain
from oracle_adapters.feed import Feed
from risk.feed_settings import ExchangeFeed

FEEDS: Mapping[str, Callable[[ExchangeFeed, Venue], Feed]] = MappingProxyType(
    {
        "ohlcv": Bars,
        "order_book": OrderBook,
        "funding": FundingRates,
        "open_interest": OpenInterest,
        "options": OptionChain,
    }
)
"""Feed by what is asked of an exchange."""


def open_exchange(settings: ExchangeFeed, venue: Venue | None = None) -> Feed:
    """The feed that the settings describe; nothing is asked of the exchange yet.

    Raises
    ------
    SettingsError
        For an exchange that ccxt does not know, or data that it does not have of it.
    """
    return FEEDS[settings.data](settings, venue or open_venue(settings))
