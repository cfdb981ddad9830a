"""Bars of a market: open, high, low, close and volume, from a date until the last bar that has closed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from oracle_adapters.exchange.client import Venue, seconds_of
from oracle_adapters.exchange.history import Record, figure, instant, seconds, total, walk, written
from oracle_adapters.exchange.market import MarketFeed
from oracle_adapters.feed import COLUMNS, Chunk, Kind
from risk.artifact import Table
from risk.errors import SettingsError
from risk.feed_settings import ExchangeFeed

_FIELDS = ("open", "high", "low", "close", "volume")
_ORDER = sorted(range(len(_FIELDS)), key=_FIELDS.__getitem__)
_PAGE = 500
"""Bars a page where ccxt does not say what the venue gives."""


class Bars(MarketFeed):
    """The feed of one market's bars.

    A venue stamps a bar with its open; we with its end, which is when it is known. Only bars are given that have
    closed on both clocks, the venue's and ours. Each page is a chunk, so that a fetch that broke off is taken up
    after the last row that was kept.

    Parameters
    ----------
    settings, venue
        What to read, and where.

    Raises
    ------
    SettingsError
        When the venue has no bars, or none of this length.
    """

    def __init__(self, settings: ExchangeFeed, venue: Venue) -> None:
        self._interval = seconds_of(settings.timeframe)
        super().__init__(settings, venue, Kind.PRICE, self._interval, "fetchOHLCV", "bars")
        lengths = list(venue.exchange.timeframes or ())
        if settings.timeframe not in lengths:
            raise SettingsError(
                f"{venue.name} has no bars of this length",
                field="feeds.timeframe",
                value=settings.timeframe,
                remedy=f"It has {', '.join(lengths)}",
            )
        self._first = instant(settings.start or "", "feeds.start")

    def fetch(self, start: int, stop: int) -> Iterator[Chunk]:
        """Bars that closed from `start` on and before `stop`, a chunk a page.

        Volume in contracts rather than in units of the base is left out, and counted as ``volume_in_contracts``.

        Raises
        ------
        SourceError
            When the venue was not reached, or refuses.
        SettingsError
            When it lists no such market.
        DataError
            For a price that is none, two versions of one bar, bars of another length, or a clock that is ahead.
        """
        first = max(self._first, start - self._interval)
        if first + self._interval >= stop:
            return
        now = self._venue.now()
        symbol, timeframe = self._settings.symbol, self._settings.timeframe
        market = self._venue.market(symbol)
        in_base = bool(market["spot"]) or (bool(market.get("linear")) and market.get("contractSize") == 1)
        limit = int(self._venue.exchange.feature_value(symbol, "fetchOHLCV", "limit") or _PAGE)

        def read(since: int, _: int) -> list[Record]:
            what = f"bars of {symbol} from {written(since)}"
            page = self._venue.call("fetch_ohlcv", symbol, timeframe, since * 1000, limit, what=what)
            return [self._record(bar) for bar in page]

        pages = walk(
            read, first=first, start=start, stop=min(stop, now + 1), now=now,
            apart=self._interval, step=limit * self._interval, full=limit, lag=self._interval, source=self._spec.id,
        )  # fmt: skip
        for records, counted in pages:
            table, left_out = _rows(records, in_base=in_base)
            yield Chunk(Kind.PRICE, table, total(counted, left_out))

    def _record(self, bar: Sequence[Any]) -> Record:
        source = self._spec.id
        opened, _ = seconds(bar[0], source)
        values: list[float | None] = []
        for name, value in zip(_FIELDS, bar[1:6], strict=True):
            if name == "volume" and value is None:
                values.append(None)
                continue
            values.append(figure(value, source, f"bar of {written(opened)}, {name}", zero=name == "volume"))
        return Record(opened, opened + self._interval, tuple(values))


def _rows(records: Sequence[Record], *, in_base: bool) -> tuple[Table, Mapping[str, int]]:
    rows = []
    counted = {"volume_in_contracts": 0, "without_volume": 0}
    for _, end, values in records:
        for i in _ORDER:
            value = values[i]
            if value is None:
                counted["without_volume"] += 1
            elif _FIELDS[i] == "volume" and not in_base:
                counted["volume_in_contracts"] += 1
            else:
                rows.append((end, _FIELDS[i], end, value))
    return Table.from_rows(COLUMNS[Kind.PRICE], rows), counted
