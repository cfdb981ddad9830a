"""Funding rates and open interest of a perpetual contract."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from oracle_adapters.exchange.client import Venue, seconds_of
from oracle_adapters.exchange.history import Record, figure, instant, seconds, walk, written
from oracle_adapters.exchange.market import MarketFeed
from oracle_adapters.feed import COLUMNS, Chunk, Kind
from risk.artifact import Table
from risk.errors import DataError
from risk.feed_settings import ExchangeFeed

_PAGE = 100
"""Records asked for at once: what every venue grants."""
_HOUR = 3600
_OKX = ("okx", "okxus", "myokx")
"""OKX gives the newest of what follows ``before``; ccxt leaves out its other bound, ``after``."""
_INTEREST = {"open_interest": "openInterestAmount", "open_interest_value": "openInterestValue"}


class FundingRates(MarketFeed):
    """The feed of the funding rates that a perpetual has settled.

    Rates are fractions for one funding interval, paid by longs to shorts where positive. The feed's interval is
    what the settings declare; venues shorten it in a storm, so a page spans no more than a hundred hours.

    Raises
    ------
    SettingsError
        When the venue has no history of them.
    """

    def __init__(self, settings: ExchangeFeed, venue: Venue) -> None:
        interval = seconds_of(settings.timeframe)
        needs = ("fetchFundingRateHistory", "history of funding rates")
        super().__init__(settings, venue, Kind.FUNDING, interval, *needs)
        self._first = instant(settings.start or "", "feeds.start")

    def fetch(self, start: int, stop: int) -> Iterator[Chunk]:
        """Rates that were settled from `start` on and before `stop`, a chunk a page.

        Raises
        ------
        SourceError, SettingsError, DataError
            As of bars.
        """
        first = max(self._first, start - 1)
        if first >= stop:
            return
        now = self._venue.now()
        symbol, source = self._settings.symbol, self._spec.id
        self._venue.market(symbol)

        def read(since: int, until: int) -> list[Record]:
            what = f"funding rates of {symbol} from {written(since)}"
            bounds = {"until": until * 1000}
            if self._venue.name in _OKX:
                bounds["after"] = until * 1000
            page = self._venue.call("fetch_funding_rate_history", symbol, since * 1000, _PAGE, bounds, what=what)
            return [_rate(entry, source) for entry in page]

        pages = walk(
            read,
            first=first,
            start=start,
            stop=min(stop, now + 1),
            now=now,
            apart=1,
            step=_PAGE * _HOUR,
            full=_PAGE,
            source=source,
        )
        for records, counted in pages:
            rows = [(at, "rate", known, values[0]) for at, known, values in records]
            yield Chunk(Kind.FUNDING, Table.from_rows(COLUMNS[Kind.FUNDING], rows), counted)


class OpenInterest(MarketFeed):
    """The feed of a contract's open interest: its history from a start, or, without one, the present figure.

    ``open_interest`` is in the venue's own count, units of the base or contracts (the feed's facts name a
    contract's size); ``open_interest_value`` is in the quote, where the venue gives it. Venues do not say whether
    a figure of their history is stamped with its interval's open or close, so it counts as known at the interval's
    end: it is never known too early.

    Raises
    ------
    SettingsError
        When the venue has no history of it, or no present figure.
    """

    def __init__(self, settings: ExchangeFeed, venue: Venue) -> None:
        interval, needs = seconds_of(settings.timeframe), ("fetchOpenInterest", "open interest")
        if settings.start is not None:
            needs = ("fetchOpenInterestHistory", "history of the open interest")
        super().__init__(settings, venue, Kind.FUNDING, interval, *needs)
        self._first = None if settings.start is None else instant(settings.start, "feeds.start")

    def fetch(self, start: int, stop: int) -> Iterator[Chunk]:
        """Figures that became known from `start` on and before `stop`, a chunk a page.

        Raises
        ------
        SourceError, SettingsError, DataError
            As of bars.
        """
        if self._first is not None:
            yield from self._history(max(self._first, start - self._spec.interval), start, stop)
            return
        now = self._venue.now()
        if now >= stop:
            return
        symbol, source = self._settings.symbol, self._spec.id
        self._venue.market(symbol)
        told = self._venue.call("fetch_open_interest", symbol, what=f"the open interest of {symbol}")
        at, known = seconds(told.get("timestamp") or now * 1000, source)
        self._venue.refuse_future(at, source)
        if start <= known < stop:
            yield _interest_chunk([Record(at, known, _interest(told, source, at))], {})

    def _history(self, first: int, start: int, stop: int) -> Iterator[Chunk]:
        interval = self._spec.interval
        if first + interval >= stop:
            return
        now = self._venue.now()
        symbol, source, timeframe = self._settings.symbol, self._spec.id, self._settings.timeframe
        self._venue.market(symbol)

        def read(since: int, until: int) -> list[Record]:
            what = f"the open interest of {symbol} from {written(since)}"
            bounds = {"until": until * 1000}
            method = "fetch_open_interest_history"
            page = self._venue.call(method, symbol, timeframe, since * 1000, _PAGE, bounds, what=what)
            found = []
            for told in page:
                at, _ = seconds(told.get("timestamp"), source)
                found.append(Record(at, at + interval, _interest(told, source, at)))
            return found

        pages = walk(
            read, first=first, start=start, stop=min(stop, now + 1), now=now,
            apart=interval, step=_PAGE * interval, full=_PAGE, lag=interval, source=source,
        )  # fmt: skip
        for records, counted in pages:
            yield _interest_chunk(records, counted)


def _rate(entry: Mapping[str, Any], source: str) -> Record:
    at, known = seconds(entry.get("timestamp"), source)
    # Deribit tells each hour the rate of the last eight, which would count every hour eight times; and that of one.
    rate = (entry.get("info") or {}).get("interest_1h", entry.get("fundingRate"))
    return Record(at, known, (figure(rate, source, f"rate of {written(at)}", above=None),))


def _interest(told: Mapping[str, Any], source: str, at: int) -> tuple[float | None, ...]:
    """Amount and value; None for what the venue does not give."""
    values = [
        None if told.get(key) is None else figure(told[key], source, f"{name} of {written(at)}", zero=True)
        for name, key in _INTEREST.items()
    ]
    if not any(value is not None for value in values):
        raise DataError("neither an amount nor a value", file=source, field=f"open interest of {written(at)}")
    return tuple(values)


def _interest_chunk(records: Sequence[Record], counted: Mapping[str, int]) -> Chunk:
    rows = [
        (at, name, known, value)
        for at, known, values in records
        for name, value in zip(_INTEREST, values, strict=True)
        if value is not None
    ]
    return Chunk(Kind.FUNDING, Table.from_rows(COLUMNS[Kind.FUNDING], rows), counted)
