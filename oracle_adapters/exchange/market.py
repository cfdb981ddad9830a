"""What the feeds of one market of a venue have in common: what they are about, and what the venue says of it."""

from __future__ import annotations

from collections.abc import Mapping

from oracle_adapters.exchange.client import Venue, quote_of, source_of
from oracle_adapters.feed import FeedSpec, Kind
from risk.feed_settings import ExchangeFeed

SAMPLED = 60
"""Interval of what is sampled when it is fetched, in seconds."""


class MarketFeed:
    """One kind of datum of one market.

    Parameters
    ----------
    settings, venue
        What to read, and where.
    kind, interval
        Of the chunks, and of their rows in seconds.
    capability, purpose
        What ccxt must have of the venue, by its name and in words.

    Raises
    ------
    SettingsError
        When ccxt has it not.
    """

    def __init__(
        self, settings: ExchangeFeed, venue: Venue, kind: Kind, interval: int, capability: str, purpose: str
    ) -> None:
        venue.require(capability, purpose)
        self._settings, self._venue = settings, venue
        self._spec = FeedSpec(kind, settings.asset, quote_of(settings.symbol), source_of(settings), interval)

    @property
    def spec(self) -> FeedSpec:
        """What the feed is about."""
        return self._spec

    @property
    def venue(self) -> Venue:
        """Where it is fetched."""
        return self._venue

    def facts(self) -> Mapping[str, str]:
        """The market as the venue describes it: its own name, its type, whether it trades, the size of a contract."""
        market = self._venue.market(self._settings.symbol)
        told = {name: market.get(name) for name in ("id", "type", "active", "linear", "contractSize")}
        return self._asked() | {k: str(v) for k, v in told.items() if v is not None}

    def _asked(self) -> dict[str, str]:
        return {"exchange": self._venue.name, "ccxt": self._venue.version}
