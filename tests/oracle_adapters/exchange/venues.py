"""What venues serve, in their shapes: paths, names and types as ccxt 4.5.90 documents them beside its parsers.

Values named as recorded are from ccxt's repository (MIT): its response tests in ``ts/src/test/static/response`` or
the answers quoted in the source of a venue's module. Everything else here is constructed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from oracle_adapters.exchange import Venue, open_exchange
from oracle_adapters.feed import Feed
from oracle_adapters.transport import Manners, Transport
from risk.feed_settings import ExchangeFeed
from tests.oracle_adapters.exchange.server import Answer, Route, Server

NOW = 1_710_331_230
"""2024-03-13 12:00:30 UTC, the time of all servers and of our clock."""
HOUR = 3600
MANNERS = Manners(attempts=4, backoff=1.0, timeout=5.0, budget=120.0)
Rows = Mapping[int, tuple[str, str, str, str, str]]


def bars(first: int, last: int, interval: int = HOUR, without: Callable[[int], bool] = lambda _: False) -> Rows:
    """Constructed bars by their open, from `first` to `last` (included): open, high, low, close, volume."""
    found = {}
    for at in range(first, last + 1, interval):
        if not without(at):
            step = at // interval
            middle = 100 + step % 977 / 8
            found[at] = (f"{middle}", f"{middle + 1.5}", f"{middle - 1.25}", f"{middle + 0.5}", f"{step % 13 + 0.25}")
    return found


def binance(
    rows: Rows, *, interval: int = HOUR, cap: int = 1000, now: int = NOW, symbols: tuple[str, ...] = ("ETH", "BTC"),
    funding: Mapping[int, str] | None = None, interest: Mapping[int, tuple[str, str]] | None = None,
    book: Mapping[str, Any] | None = None, status: str = "TRADING",
) -> dict[str, Route]:  # fmt: skip
    """Binance: bars oldest first, at most `cap` from ``startTime``, the open bar among them; futures beside spot."""

    def spot(base: str) -> dict[str, Any]:
        return {"symbol": f"{base}USDT", "status": status, "baseAsset": base, "quoteAsset": "USDT", "filters": []}

    def swap(base: str) -> dict[str, Any]:
        return {
            **spot(base), "pair": f"{base}USDT", "contractType": "PERPETUAL", "marginAsset": "USDT",
            "deliveryDate": 4133404800000,
        }  # fmt: skip

    def klines(query: Mapping[str, str]) -> Any:
        since, limit = int(query["startTime"]) // 1000, min(int(query["limit"]), cap)
        until = int(query.get("endTime", 2**62)) // 1000
        chosen = [at for at in sorted(rows) if since <= at <= until][:limit]
        return [[at * 1000, *rows[at], (at + interval) * 1000 - 1, "0", 1, "0", "0", "0"] for at in chosen]

    def rates(query: Mapping[str, str]) -> Any:
        chosen = _between(funding or {}, query, int(query["limit"]))
        return [{"symbol": query["symbol"], "fundingRate": (funding or {})[at], "fundingTime": at} for at in chosen]

    def interests(query: Mapping[str, str]) -> Any:
        known = interest or {}
        return [
            {
                "symbol": "BTCUSDT",
                "sumOpenInterest": known[at][0],
                "sumOpenInterestValue": known[at][1],
                "timestamp": at,
            }
            for at in _between(known, query, int(query["limit"]))
        ]

    return {
        "/api/v3/exchangeInfo": lambda _: {"symbols": [spot(base) for base in symbols]},
        "/fapi/v1/exchangeInfo": lambda _: {"symbols": [swap(base) for base in symbols]},
        "/dapi/v1/exchangeInfo": lambda _: {"symbols": []},
        "/api/v3/time": lambda _: {"serverTime": now * 1000},
        "/api/v3/klines": klines,
        "/fapi/v1/klines": klines,
        "/api/v3/depth": lambda _: book,
        "/fapi/v1/fundingRate": rates,
        "/futures/data/openInterestHist": interests,
        # recorded: quoted in ccxt/binance.py, fetch_open_interest (there of ETHUSDT_230331)
        "/fapi/v1/openInterest": lambda _: {"symbol": "BTCUSDT", "openInterest": "23581.677", "time": 1677356872265},
    }


def _between(known: Mapping[int, Any], query: Mapping[str, str], limit: int) -> list[int]:
    """Stamps in milliseconds within the query's bounds, both included, oldest first."""
    start, end = int(query["startTime"]), int(query.get("endTime", 2**62))
    return [at for at in sorted(known) if start <= at <= end][:limit]


def coinbase(rows: Rows, *, cap: int = 300, now: int = NOW) -> dict[str, Route]:
    """Coinbase: bars newest first, both bounds included; a span of more than `cap` is refused."""
    product = {
        "product_id": "ETH-USD", "status": "online", "product_type": "SPOT", "quote_currency_id": "USD",
        "base_currency_id": "ETH", "trading_disabled": False, "base_increment": "0.00000001",
        "quote_increment": "0.01", "alias_to": [],
    }  # fmt: skip

    def candles(query: Mapping[str, str]) -> Any:
        start, end = int(query["start"]), int(query["end"])
        if (end - start) / HOUR > cap:
            return Answer(400, b'{"error":"INVALID_ARGUMENT","message":"number of candles requested exceeds limit"}')
        chosen = [at for at in sorted(rows, reverse=True) if start <= at <= end]
        names = ("open", "high", "low", "close", "volume")
        return {"candles": [{"start": str(at), **dict(zip(names, rows[at], strict=True))} for at in chosen]}

    return {
        "/api/v3/brokerage/market/products": lambda query: {"products": [] if "product_type" in query else [product]},
        "/api/v3/brokerage/market/products/ETH-USD/candles": candles,
        "/v2/time": lambda _: {"data": {"iso": "", "epoch": now}},
    }


def kraken(rows: Rows, *, keeps: int = 720, now: int = NOW) -> dict[str, Route]:
    """Kraken: of all bars after ``since`` only the last 720, the open one always among them."""
    pair = {
        "altname": "ETHUSD", "wsname": "ETH/USD", "aclass_base": "currency", "base": "XETH",
        "aclass_quote": "currency", "quote": "ZUSD", "lot": "unit", "pair_decimals": 2, "lot_decimals": 8,
        "fees": [[0, 0.26]], "fees_maker": [[0, 0.16]], "leverage_buy": [], "ordermin": "0.01", "status": "online",
    }  # fmt: skip

    def ohlc(query: Mapping[str, str]) -> Any:
        kept = sorted(rows)[-keeps:]
        chosen = [at for at in kept if at > int(query["since"]) or at == kept[-1]]
        listed = [[at, *rows[at][:4], rows[at][3], rows[at][4], 1] for at in chosen]
        return {"error": [], "result": {"XETHZUSD": listed, "last": chosen[-2] if len(chosen) > 1 else 0}}

    return {
        "/0/public/AssetPairs": lambda _: {"error": [], "result": {"XETHZUSD": pair}},
        "/0/public/Time": lambda _: {"error": [], "result": {"unixtime": now}},
        "/0/public/OHLC": ohlc,
    }


def deribit(
    *, summaries: list[dict[str, Any]] | None = None, ticks: Rows | None = None, book: Mapping[str, Any] | None = None,
    rates: Mapping[int, float] | None = None, now: int = NOW,
) -> dict[str, Route]:  # fmt: skip
    """Deribit: JSON-RPC over GET, chains in one answer, bars as columns."""
    spot = {
        "kind": "spot", "instrument_name": "BTC_USDT", "base_currency": "BTC", "counter_currency": "USDT",
        "settlement_currency": None, "quote_currency": "USDT", "settlement_period": None, "is_active": True,
        "contract_size": 0.0001, "min_trade_amount": 0.0001, "tick_size": 0.01,
        "expiration_timestamp": 32503708800000, "creation_timestamp": 1,
    }  # fmt: skip
    perpetual = spot | {
        "kind": "future", "instrument_name": "BTC-PERPETUAL", "counter_currency": "USD", "quote_currency": "USD",
        "settlement_currency": "BTC", "settlement_period": "perpetual", "contract_size": 10,
    }  # fmt: skip

    def rpc(result: Any) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "result": result, "usIn": 1, "usOut": 2, "usDiff": 1, "testnet": False}

    def chart(query: Mapping[str, str]) -> Any:
        start, end = (int(query[name]) / 1000 for name in ("start_timestamp", "end_timestamp"))
        chosen = [at for at in sorted(ticks or {}) if start <= at <= end]
        columns = {
            name: [float((ticks or {})[at][i]) for at in chosen]
            for i, name in enumerate(("open", "high", "low", "close", "volume"))
        }
        return rpc({**columns, "ticks": [at * 1000 for at in chosen], "cost": [0.0] * len(chosen), "status": "ok"})

    def funding(query: Mapping[str, str]) -> Any:
        start, end = int(query["start_timestamp"]), int(query["end_timestamp"])
        chosen = [at for at in sorted(rates or {}) if start <= at <= end][-744:]  # the newest, where there are more
        return rpc([
            {"timestamp": at, "interest_8h": 0.0, "interest_1h": (rates or {})[at], "index_price": 1.0,
             "prev_index_price": 1.0}
            for at in chosen
        ])  # fmt: skip

    return {
        "/api/v2/public/get_instruments": lambda _: rpc([spot, perpetual]),
        "/api/v2/public/get_time": lambda _: rpc(now * 1000),
        "/api/v2/public/get_book_summary_by_currency": lambda _: rpc(summaries),
        "/api/v2/public/get_tradingview_chart_data": chart,
        "/api/v2/public/get_order_book": lambda _: rpc(book),
        "/api/v2/public/get_funding_rate_history": funding,
    }


def settings(exchange: str, asset: str, symbol: str, data: str = "ohlcv", **more: Any) -> ExchangeFeed:
    """Settings of a feed; hourly unless said otherwise."""
    given = {"timeframe": "1h", **more}
    return ExchangeFeed.model_validate(
        {"kind": "exchange", "exchange": exchange, "asset": asset, "symbol": symbol, "data": data, **given}
    )


def venue(
    server: Server, exchange: str, *, waits: list[float] | None = None, now: float = NOW, **manners: Any
) -> Venue:
    """A client of the server: waits are noted and not waited, and the venue's own pace is not kept on loopback."""
    taken = waits if waits is not None else []
    chosen = Manners(**{name: getattr(MANNERS, name) for name in Manners.__slots__} | manners)
    way = Transport(f"exchange:{exchange}", chosen, sleep=taken.append)
    found = Venue(exchange, base_url=server.url, transport=way, clock=lambda: now)
    found.exchange.rateLimit = 0
    return found


def feed(server: Server, declared: ExchangeFeed, **more: Any) -> Feed:
    """The feed of the settings against a server."""
    return open_exchange(declared, venue(server, declared.exchange, **more))
