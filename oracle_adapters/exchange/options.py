"""Chains of options: strikes, expiries, bid, ask, mark and its volatility, and the forward they are written on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from oracle_adapters.exchange.client import Venue
from oracle_adapters.exchange.history import figure, seconds, written
from oracle_adapters.exchange.market import SAMPLED, MarketFeed
from oracle_adapters.feed import COLUMNS, Chunk, Kind
from risk.artifact import Table
from risk.errors import DataError
from risk.feed_settings import ExchangeFeed

_FIGURES = ("underlying_price", "mark", "mark_iv", "bid", "ask", "open_interest")
_DERIBIT = re.compile(r"([A-Z0-9]+)(?:_([A-Z]+))?-(\d{1,2})([A-Z]{3})(\d{2})-(\d+(?:d\d+)?)-([CP])", re.ASCII)
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DERIBIT_HOUR = 8  # Deribit's options expire at 08:00 UTC


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a chain, as a venue quotes it; None for what it does not give.

    Attributes
    ----------
    instrument
        The venue's name of it.
    base, quote, settlement
        Underlying asset, currency of the strike, currency of its prices.
    option_type
        ``call`` or ``put``.
    strike, expiry
        In the quote, and in unix seconds.
    underlying
        Name of the forward that it is valued on; empty where the venue names none.
    figures
        Underlying price in the quote; mark, bid and ask in the settlement currency; the mark's volatility as a
        yearly fraction; open interest.
    """

    instrument: str
    base: str
    quote: str
    settlement: str
    option_type: str
    strike: float
    expiry: int
    underlying: str
    figures: Mapping[str, object]


class OptionChain(MarketFeed):
    """The feed of a chain as it stands when it is fetched; the past of a chain is in a store only.

    A symbol ``BTC/USD:BTC`` is the chain whose strikes are in USD and whose prices are in BTC.

    Raises
    ------
    SettingsError
        When the venue has no chains.
    """

    def __init__(self, settings: ExchangeFeed, venue: Venue) -> None:
        super().__init__(settings, venue, Kind.OPTION, SAMPLED, "fetchOptionChain", "chains of options")
        self._settlement = settings.symbol.partition(":")[2]

    def facts(self) -> Mapping[str, str]:
        """The venue, and what the chain is settled in."""
        return self._asked() | {"settlement": self._settlement}

    def fetch(self, start: int, stop: int) -> Iterator[Chunk]:
        """The present chain, if the present lies within the span; nothing is asked for a span that is past.

        Raises
        ------
        SourceError
            When the venue was not reached, or refuses.
        DataError
            For a figure that is none, or a chain without an option.
        """
        now = self._venue.now()
        if now >= stop:
            return
        what = f"the options of {self._settings.symbol}"
        if self._venue.name == "deribit":
            asked = {"currency": self._settlement, "kind": "option"}
            told = self._venue.call("public_get_get_book_summary_by_currency", asked, what=what)
            summaries = told.get("result") if isinstance(told, dict) else None
            if not isinstance(summaries, list) or not all(isinstance(row, dict) for row in summaries):
                raise DataError("the venue's answer has another shape", file=self._spec.id, field="result")
            stamps, options, unread = read_deribit(summaries)
        else:
            self._venue.load_markets()
            told = self._venue.call("fetch_option_chain", self._settings.asset, what=what)
            stamps, options, unread = read_unified(told.values(), self._venue)
        source = self._spec.id
        _, at = seconds(max(stamps, default=now * 1000), source)
        self._venue.refuse_future(at, source)
        if start <= at < stop:
            ours = [o for o in options if (o.base, o.quote, o.settlement) == self._family]
            rows, counted = option_rows(ours, at, source)
            counted |= {"unread": unread, "of_another_family": len(options) - len(ours)}
            yield Chunk(Kind.OPTION, rows, {name: n for name, n in counted.items() if n})

    @property
    def _family(self) -> tuple[str, str, str]:
        return self._spec.base, self._spec.quote, self._settlement


Read = tuple[list[float], list[Option], int]
"""Stamps in milliseconds, options, and the number of rows whose name could not be read."""


def read_deribit(summaries: Iterable[Mapping[str, Any]]) -> Read:
    """Read rows of Deribit's ``public/get_book_summary_by_currency``.

    An instrument is named ``BTC-16JAN26-82000-C`` where it is settled in the coin, ``XRP_USDC-30JUN26-0d5-C``
    where it is linear; ``d`` is the decimal point. ``mark_iv`` is in percent. Expiries for which no future is
    listed are valued on a forward that Deribit names ``SYN.BTC-16JAN26``.
    """
    stamps, options, unread = [], [], 0
    for row in summaries:
        match = _DERIBIT.fullmatch(str(row.get("instrument_name")))
        if match is None or match[4] not in _MONTHS:
            unread += 1
            continue
        base, linear, day, month, year, strike, side = match.groups()
        try:
            expiry = datetime(2000 + int(year), _MONTHS.index(month) + 1, int(day), _DERIBIT_HOUR, tzinfo=UTC)
        except ValueError as error:
            raise DataError("no such day", file="deribit", field=match[0]) from error
        if isinstance(stamp := row.get("creation_timestamp"), (int, float)):
            stamps.append(stamp)
        volatility = row.get("mark_iv")
        options.append(
            Option(
                match[0], base, linear or "USD", linear or base, "call" if side == "C" else "put",
                float(strike.replace("d", ".")), int(expiry.timestamp()), str(row.get("underlying_index") or ""),
                {
                    "underlying_price": row.get("underlying_price"),
                    "mark": row.get("mark_price"),
                    "mark_iv": volatility / 100 if isinstance(volatility, (int, float)) else volatility,
                    "bid": row.get("bid_price"),
                    "ask": row.get("ask_price"),
                    "open_interest": row.get("open_interest"),
                },
            )
        )  # fmt: skip
    return stamps, options, unread


def read_unified(chain: Iterable[Mapping[str, Any]], venue: Venue) -> Read:
    """Read options as ccxt unifies them; strike, expiry and currencies come from the venue's list of markets."""
    stamps, options, unread = [], [], 0
    for told in chain:
        market = venue.exchange.markets.get(told.get("symbol")) or {}
        if market.get("strike") is None or market.get("expiry") is None or market.get("optionType") is None:
            unread += 1
            continue
        if isinstance(stamp := told.get("timestamp"), (int, float)):
            stamps.append(stamp)
        options.append(
            Option(
                market["id"], market["base"], market["quote"], market["settle"], market["optionType"],
                float(market["strike"]), int(market["expiry"]) // 1000, "",
                {
                    "underlying_price": told.get("underlyingPrice"),
                    "mark": told.get("markPrice"),
                    "mark_iv": told.get("impliedVolatility"),
                    "bid": told.get("bidPrice"),
                    "ask": told.get("askPrice"),
                    "open_interest": told.get("openInterest"),
                },
            )
        )  # fmt: skip
    return stamps, options, unread


def option_rows(options: Iterable[Option], at: int, source: str) -> tuple[Table, Counter[str]]:
    """Rows of the option kind, one an option, in the order of their names.

    A figure that is None, and a bid, ask or underlying price of zero, is absent: the row's ``absent`` names it,
    its cell holds zero, and it is counted as ``without_bid`` and so on. No row is left out.

    Raises
    ------
    DataError
        For a figure that is negative or no number, a strike that is not above zero, and two options of one name.
    """
    counted: Counter[str] = Counter()
    rows: dict[str, tuple[object, ...]] = {}
    for option in options:
        if option.instrument in rows:
            raise DataError("two options of one name", file=source, field=option.instrument)
        figures, absent = {}, []
        for name in _FIGURES:
            value = option.figures.get(name)
            figures[name] = 0.0 if value is None else figure(value, source, f"{option.instrument}, {name}", zero=True)
            if value is None or (figures[name] == 0 and name in ("bid", "ask", "underlying_price")):
                absent.append(name)
                counted[f"without_{name}"] += 1
        rows[option.instrument] = (
            at, option.instrument, at, option.option_type,
            figure(option.strike, source, f"{option.instrument}, strike"), option.expiry, option.settlement,
            option.underlying, option.underlying.startswith("SYN."), *figures.values(), " ".join(absent),
        )  # fmt: skip
    if not rows:
        raise DataError("a chain without an option", file=source, field=written(at), remedy="Check the symbol's parts")
    return Table.from_rows(COLUMNS[Kind.OPTION], [rows[name] for name in sorted(rows)]), counted
