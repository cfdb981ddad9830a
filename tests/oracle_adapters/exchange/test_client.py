"""Faults of venues, their limits and their keys, through ccxt against a server on loopback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ccxt
import pytest

from oracle_adapters.exchange import FEEDS, open_exchange
from oracle_adapters.exchange.bars import Bars
from oracle_adapters.exchange.client import Venue, open_venue, quote_of, seconds_of
from oracle_adapters.feed import Feed, collect
from oracle_adapters.fetching import Status, fetch_one
from oracle_adapters.masking import mask
from oracle_adapters.registry import OPENERS
from oracle_adapters.store import Store
from oracle_adapters.transport import Manners
from risk.errors import DataError, SettingsError, SourceError
from risk.feed_settings import ExchangeFeed
from tests.factories import make_settings
from tests.oracle_adapters.exchange.server import Answer, Server
from tests.oracle_adapters.exchange.venues import (
    HOUR,
    NOW,
    bars,
    binance,
    coinbase,
    deribit,
    feed,
    kraken,
    settings,
)

OPEN = NOW - 30
ROWS = bars(OPEN - 400 * HOUR, OPEN)
RATES = {(OPEN - 8 * HOUR * n) * 1000: f"0.000{n}" for n in range(1, 9)}
BOOK = {"lastUpdateId": 1, "bids": [["99", "2"], ["98", "1"]], "asks": [["101", "3"]]}
SUMMARY = {
    "instrument_name": "BTC-28JUN24-42000-C", "underlying_index": "BTC-28JUN24", "underlying_price": 68827.27,
    "mark_price": 0.40752052, "mark_iv": 71.5, "bid_price": 0.404, "ask_price": 0.411, "open_interest": 364.1,
    "creation_timestamp": NOW * 1000 - 500,
}  # fmt: skip

ADAPTERS: dict[str, tuple[Callable[[], Any], ExchangeFeed, str]] = {
    "binance bars": (
        lambda: binance(ROWS, cap=150),
        settings("binance", "ETH", "ETH/USDT", start="2024-02-20"),
        "/api/v3/klines",
    ),
    "coinbase bars": (
        lambda: coinbase(ROWS),
        settings("coinbase", "ETH", "ETH/USD", start="2024-02-20"),
        "/api/v3/brokerage/market/products/ETH-USD/candles",
    ),
    "kraken bars": (
        lambda: kraken(ROWS),
        settings("kraken", "ETH", "ETH/USD", start="2024-02-20"),
        "/0/public/OHLC",
    ),
    "binance book": (
        lambda: binance(ROWS, book=BOOK),
        settings("binance", "ETH", "ETH/USDT", "order_book"),
        "/api/v3/depth",
    ),
    "binance funding": (
        lambda: binance({}, funding=RATES),
        settings("binance", "BTC", "BTC/USDT:USDT", "funding", start="2024-03-09", timeframe="8h"),
        "/fapi/v1/fundingRate",
    ),
    "deribit options": (
        lambda: deribit(summaries=[SUMMARY]),
        settings("deribit", "BTC", "BTC/USD:BTC", "options"),
        "/api/v2/public/get_book_summary_by_currency",
    ),
}
PASSING = {
    "reset": (Answer(manner="reset"), [1.0]),
    "timeout": (Answer(manner="hang"), [1.0]),
    "cut short": (Answer(body=b'{"a": [1, 2, 3]}', manner="short"), [1.0]),
    "truncated JSON": (Answer(body=b'{"a": [1, 2'), [1.0]),
    "429 with Retry-After": (Answer(429, b'{"code":-1003,"msg":"Too many"}', {"Retry-After": "7"}), [7.0]),
    "429": (Answer(429, b"{}"), [1.0]),
    "500": (Answer(500, b"oops", {"Content-Type": "text/plain"}), [1.0]),
    "503 of HTML": (Answer(503, b"<html>busy</html>", {"Content-Type": "text/html"}), [1.0]),
}
LASTING = {
    "HTML for JSON": (
        Answer(body=b"<html>hello</html>", headers={"Content-Type": "text/html"}),
        "HTML where JSON was due",
    ),
    "404": (Answer(404, b"{}"), "HTTP 404|refused it"),
    "403": (Answer(403, b"<html>not from here</html>"), "HTTP 403|refused it"),
    "401": (Answer(401, b"{}"), "HTTP 401|refused it"),
    "no such parameter": (Answer(400, b'{"code":-1102,"msg":"Mandatory parameter"}'), "HTTP 400|refused it"),
}


def clean(adapter: str) -> str:
    made, declared, _ = ADAPTERS[adapter]
    with Server(made()) as server:
        return collect(feed(server, declared)).rows.digest()


@pytest.mark.parametrize("fault", PASSING)
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_passing_fault_is_waited_out(adapter: str, fault: str) -> None:
    made, declared, path = ADAPTERS[adapter]
    answer, waited = PASSING[fault]
    waits: list[float] = []
    with Server(made()) as server:
        server.faults[path] = [answer]
        found = collect(feed(server, declared, waits=waits, timeout=0.3 if fault == "timeout" else 5.0))
    assert found.rows.digest() == clean(adapter), "as if nothing had happened"
    assert waits == waited


@pytest.mark.parametrize("fault", LASTING)
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_lasting_fault_is_an_error_at_once(adapter: str, fault: str) -> None:
    made, declared, path = ADAPTERS[adapter]
    answer, message = LASTING[fault]
    waits: list[float] = []
    with Server(made()) as server:
        server.faults[path] = [answer] * 9
        with pytest.raises(SourceError, match=message) as error:
            collect(feed(server, declared, waits=waits))
        assert server.count(path) == 1
    assert not waits
    assert error.value.file == f"exchange:{declared.exchange}"
    assert declared.symbol in str(error.value.field), "says what was asked for"


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_venue_that_stays_away_ends_the_tries(adapter: str) -> None:
    made, declared, path = ADAPTERS[adapter]
    waits: list[float] = []
    with Server(made()) as server:
        server.faults[path] = [Answer(502, b"bad gateway")] * 9
        with pytest.raises(SourceError, match="not reached in 4 tries; the last one: HTTP 502") as error:
            collect(feed(server, declared, waits=waits))
        assert server.count(path) == 4
    assert waits == [1.0, 2.0, 4.0]
    assert error.value.exit_code == 3


@pytest.mark.parametrize("exchange", ["binance", "coinbase", "kraken", "deribit"])
def test_a_venue_whose_clock_is_ahead_is_refused_by_name(exchange: str) -> None:
    made = {
        "binance": lambda: binance(ROWS, now=NOW + 3600),
        "coinbase": lambda: coinbase(ROWS, now=NOW + 3600),
        "kraken": lambda: kraken(ROWS, now=NOW + 3600),
        "deribit": lambda: deribit(summaries=[SUMMARY], now=NOW + 3600),
    }[exchange]
    declared = {
        "binance": ADAPTERS["binance bars"][1], "coinbase": ADAPTERS["coinbase bars"][1],
        "kraken": ADAPTERS["kraken bars"][1], "deribit": ADAPTERS["deribit options"][1],
    }[exchange]  # fmt: skip
    with Server(made()) as server, pytest.raises(DataError, match="clock is 3600 s ahead") as error:
        collect(feed(server, declared))
    assert error.value.file == f"exchange:{exchange}"


def test_a_limit_told_in_a_good_answer_is_heeded() -> None:
    """Kraken answers 200 with an error inside."""
    made, declared, path = ADAPTERS["kraken bars"]
    waits: list[float] = []
    with Server(made()) as server:
        server.faults[path] = [Answer(body=b'{"error":["EAPI:Rate limit exceeded"]}')]
        found = collect(feed(server, declared, waits=waits))
    assert found.rows.digest() == clean("kraken bars")
    assert waits == [1.0]


@pytest.mark.parametrize(("header", "tries"), [({}, 1), ({"Retry-After": "30"}, 2)])
def test_a_ban_is_waited_out_only_when_its_end_is_told(header: dict[str, str], tries: int) -> None:
    made, declared, path = ADAPTERS["binance bars"]
    waits: list[float] = []
    with Server(made()) as server:
        server.faults[path] = [Answer(418, b'{"code":-1003,"msg":"banned"}', header)]
        source = feed(server, declared, waits=waits)
        if tries == 1:
            with pytest.raises(SourceError, match="asked too often"):
                collect(source)
        else:
            collect(source)
        assert waits == ([30.0] if header else [])


def test_a_wait_beyond_the_budget_is_said_at_once() -> None:
    made, declared, path = ADAPTERS["binance bars"]
    waits: list[float] = []
    with Server(made()) as server:
        server.faults[path] = [Answer(429, b"{}", {"Retry-After": "3600"})]
        with pytest.raises(SourceError, match=r"asking to wait 3600 s; the next one would be beyond the budget"):
            collect(feed(server, declared, waits=waits))
    assert not waits


NONSENSE = [
    b"7", b'"hello"', b"{}", b'{"hello": {"there": 1}}', b"[7]", b"[{}]", b"[[]]", b"[null]", b'{"result": [7]}',
    b'{"error": [], "result": {"XETHZUSD": [7], "last": 1}}', b'{"candles": [null]}',
]  # fmt: skip


@pytest.mark.parametrize("body", NONSENSE)
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_json_of_another_shape_is_an_error_and_no_empty_page(adapter: str, body: bytes) -> None:
    made, declared, path = ADAPTERS[adapter]
    with Server(made()) as server:
        server.faults[path] = [Answer(body=body)] * 9
        with pytest.raises((SourceError, DataError)) as error:
            collect(feed(server, declared))
    assert declared.exchange in str(error.value)


@pytest.mark.parametrize("body", NONSENSE)
@pytest.mark.parametrize("adapter", ["binance bars", "coinbase bars", "kraken bars", "binance funding"])
def test_such_a_page_is_a_source_that_was_not_reached(adapter: str, body: bytes, tmp_path: Path) -> None:
    made, declared, path = ADAPTERS[adapter]
    with Server(made()) as server:
        server.faults[path] = [Answer(body=body)] * 9
        found = fetch_one(Store(tmp_path), feed(server, declared))
    assert found.status is Status.UNREACHED
    assert found.error is not None
    assert found.error.exit_code == 3
    assert server.count(path) == 1, "it is not asked again"


def test_one_entry_of_nonsense_among_bars_is_no_bar_that_may_be_passed_over(tmp_path: Path) -> None:
    _, declared, path = ADAPTERS["binance bars"]
    with Server(binance(dict(ROWS), cap=150)) as server:
        good = server.routes[path]
        server.routes[path] = lambda query: [*good(query), 7]
        assert fetch_one(Store(tmp_path), feed(server, declared)).status is Status.UNREACHED


def test_a_venue_that_tells_no_time() -> None:
    made, declared, _ = ADAPTERS["binance bars"]
    with (
        Server({**made(), "/api/v3/time": lambda _: {"serverTime": []}}) as server,
        pytest.raises(DataError, match="the venue tells no time"),
    ):
        collect(feed(server, declared))


def test_a_market_that_is_not_listed_names_near_ones() -> None:
    with Server(binance({}, symbols=("ETH", "BTC", "AVAX"))) as server:
        source = feed(server, settings("binance", "AVA", "AVA/USDT", start="2024-01-01"))
        with pytest.raises(SettingsError, match="lists no such market, or no longer") as error:
            collect(source)
    assert error.value.value == "AVA/USDT"
    assert "AVAX/USDT" in str(error.value.remedy)
    assert error.value.exit_code == 2


def test_an_exchange_that_ccxt_does_not_know_names_near_ones() -> None:
    with pytest.raises(SettingsError, match="ccxt knows no such exchange") as error:
        Venue("binanc")
    assert "binance" in str(error.value.remedy)
    with pytest.raises(SettingsError, match=r"ccxt.exchanges"):
        Venue("zzzzzzzzzzzz")
    with pytest.raises(SettingsError, match="no such exchange"):
        Venue("Exchange")  # a name within ccxt, and no exchange


@pytest.mark.parametrize("name", ccxt.exchanges)
def test_any_exchange_of_ccxt_opens_or_says_what_it_lacks(name: str) -> None:
    """Nothing is asked; each kind of data either opens or is refused by its name."""
    known = Venue(name, base_url="http://127.0.0.1:9")
    opened: list[str] = []
    refused: list[str] = []
    for data in FEEDS:
        symbol = "BTC/USDT" if data in ("ohlcv", "order_book") else "BTC/USDT:USDT"
        declared = settings(name, "BTC", symbol, data, start="2024-01-01", timeframe="1d")
        try:
            source: Feed = open_exchange(declared, known)
        except SettingsError as error:
            refused.append(str(error))
        else:
            timed = "" if data in ("order_book", "options") else ":1d"
            assert source.spec.source == f"exchange:{name}:{symbol}:{data}{timed}"
            opened.append(data)
    assert len(opened) + len(refused) == len(FEEDS)
    assert all(name in said for said in refused)
    assert all(url.startswith("http://127.0.0.1:9") for url in _addresses(known.exchange.urls["api"])), (
        "no address is left that leads elsewhere"
    )


def _addresses(address: Any) -> list[str]:
    return [url for part in address.values() for url in _addresses(part)] if isinstance(address, dict) else [address]


def test_a_lacking_capability_is_refused_by_name_before_anything_is_asked() -> None:
    with Server(kraken(ROWS)) as server:
        declared = settings("kraken", "BTC", "BTC/USD:USD", "open_interest", start="2024-01-01")
        with pytest.raises(SettingsError, match=r"has no history of the open interest of kraken") as error:
            feed(server, declared)
        assert error.value.value == "fetchOpenInterestHistory"
        assert error.value.exit_code == 2
        assert not server.asked


def test_the_venues_own_pace_is_kept() -> None:
    """ccxt waits between requests by the venue's limit; so two requests of one client are apart by it."""
    known = Venue("kraken", base_url="http://127.0.0.1:9")
    assert known.exchange.enableRateLimit is True
    assert known.exchange.rateLimit == ccxt.kraken().rateLimit == 1000


def test_feeds_of_one_exchange_share_one_client() -> None:
    one = settings("binance", "ETH", "ETH/USDT", start="2024-01-01", base_url="http://127.0.0.1:9")
    two = settings("binance", "BTC", "BTC/USDT:USDT", "funding", start="2024-01-01", base_url="http://127.0.0.1:9")
    assert open_venue(one) is open_venue(two)
    assert open_venue(one) is not open_venue(one.model_copy(update={"base_url": "http://127.0.0.1:8"}))


def test_the_registry_opens_an_exchange() -> None:
    declared = settings("binance", "ETH", "ETH/USDT", start="2024-01-01", base_url="http://127.0.0.1:9")
    fetch = {"attempts": 2, "timeout": "3s", "budget": "9s"}
    (source,) = OPENERS[ExchangeFeed](declared, make_settings(fetch=fetch), Path())
    assert source.spec.id == "ETH/USDT@exchange:binance:ETH/USDT:ohlcv:1h"
    assert isinstance(source, Bars)
    assert source.venue.manners == Manners(attempts=2, timeout=3, budget=9)


def test_keys_come_from_the_environment_and_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    declared = settings(
        "binance", "ETH", "ETH/USDT", start="2024-01-01", api_key_env="VENUE_KEY", secret_env="VENUE_SECRET"
    )
    with pytest.raises(SettingsError, match="environment variable is not set") as error:
        open_venue(declared)
    assert error.value.field in ("VENUE_KEY", "VENUE_SECRET")
    monkeypatch.setenv("VENUE_KEY", "k3yk3yk3yk3y")
    monkeypatch.setenv("VENUE_SECRET", "s3cr3ts3cr3t")
    made, declared_bars, path = ADAPTERS["binance bars"]
    with Server(made()) as server:
        known = Venue(
            "binance", base_url=server.url, keys={"apiKey": "VENUE_KEY", "secret": "VENUE_SECRET"}, clock=lambda: NOW
        )
        known.exchange.rateLimit = 0
        assert known.exchange.apiKey == "k3yk3yk3yk3y"
        server.faults[path] = [Answer(400, b'{"code":-2014,"msg":"k3yk3yk3yk3y is no key, nor s3cr3ts3cr3t"}')]
        with pytest.raises(SourceError) as refused:
            collect(open_exchange(declared_bars, known))
    assert "***" in str(refused.value)
    for text in (str(refused.value), repr(declared), mask("k3yk3yk3yk3y")):
        assert "k3yk3y" not in text
        assert "s3cr3t" not in text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"symbol": "BTC/USDT"}, "the symbol's base is BTC and the asset ETH"),
        ({"symbol": "USDT/ETH"}, "the symbol's base is USDT and the asset ETH"),
        ({"symbol": "ETHUSDT"}, "String should match pattern"),
        ({"timeframe": "1M"}, "String should match pattern"),
        ({"data": "order_book", "symbol": "ETH/USDT:USDT"}, "depth is of a spot market"),
        ({"data": "funding"}, "funding is of a contract"),
        ({"data": "options"}, "options is of a contract"),
        ({"start": None}, "ohlcv needs a start"),
        ({"base_url": "ftp://x"}, "String should match pattern"),
        ({"api_key_env": "a key, no name"}, "String should match pattern"),
        ({"exchange": "../etc"}, "String should match pattern"),
        ({"key": "abc"}, "Extra inputs are not permitted"),
    ],
)
def test_settings_that_cannot_be(given: dict[str, Any], message: str) -> None:
    good = {"kind": "exchange", "asset": "ETH", "exchange": "binance", "symbol": "ETH/USDT", "start": "2024-01-01"}
    ExchangeFeed.model_validate(good)
    with pytest.raises(ValueError, match=message):
        ExchangeFeed.model_validate(good | given)


def test_a_start_that_is_no_date() -> None:
    with Server(binance({})) as server, pytest.raises(SettingsError, match="not a date"):
        feed(server, settings("binance", "ETH", "ETH/USDT", start="soon"))


def test_parts_of_names() -> None:
    assert [quote_of(s) for s in ("ETH/USDT", "ETH/USDT:USDT", "BTC/USD:BTC-240628")] == ["USDT", "USDT", "USD"]
    assert [seconds_of(t) for t in ("15m", "1h", "8h", "1d", "1w")] == [900, 3600, 28800, 86400, 604800]
