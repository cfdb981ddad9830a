"""Bars through ccxt against venues of different shape on loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from oracle_adapters.exchange.bars import Bars
from oracle_adapters.feed import FOREVER, Feed, MemoryFeed, collect
from oracle_adapters.store import Store, StoredFeed
from risk.artifact import Table
from risk.errors import DataError, SettingsError, SourceError
from tests.oracle_adapters.contract import check_feed
from tests.oracle_adapters.exchange.server import Answer, Route, Server
from tests.oracle_adapters.exchange.venues import (
    HOUR,
    NOW,
    Rows,
    bars,
    binance,
    coinbase,
    deribit,
    feed,
    kraken,
    settings,
    venue,
)

OPEN = NOW - 30
"""Open of the bar that has not closed."""
KLINES = "/api/v3/klines"


def declared(exchange: str, **more: Any) -> Any:
    asset, symbol = {
        "binance": ("ETH", "ETH/USDT"), "coinbase": ("ETH", "ETH/USD"), "kraken": ("ETH", "ETH/USD"),
        "deribit": ("BTC", "BTC/USDT"),
    }[exchange]  # fmt: skip
    return settings(exchange, asset, symbol, **{"start": "2023-11-01", **more})


def routes(exchange: str, rows: Rows) -> dict[str, Route]:
    if exchange == "deribit":
        return deribit(ticks=rows)
    return {"binance": binance, "coinbase": coinbase, "kraken": kraken}[exchange](rows)


def expected(rows: Rows) -> dict[tuple[int, str], float]:
    """Closed bars by end and field, from the text that the venue serves."""
    names = ("open", "high", "low", "close", "volume")
    return {
        (at + HOUR, name): float(text)
        for at, texts in rows.items()
        if at < OPEN
        for name, text in zip(names, texts, strict=True)
    }


def got(table: Table) -> dict[tuple[int, str], float]:
    assert (table["observed_at"] == table["known_at"]).all()
    return {(row["observed_at"], row["field"]): row["value"] for row in table.rows()}


def append(store: Store, source: Feed) -> None:
    """Take up a fetch after the last row that the store has."""
    known = store.read(source.spec)["known_at"]
    for chunk in source.fetch(int(known.max()) + 1 if len(known) else 0, FOREVER):
        store.append(source.spec, chunk.rows)


@pytest.mark.parametrize("exchange", ["binance", "coinbase", "kraken", "deribit"])
def test_every_venue_gives_its_closed_bars_and_passes_the_contract(exchange: str) -> None:
    rows = bars(OPEN - 700 * HOUR, OPEN)
    with Server(routes(exchange, rows)) as server:
        source = feed(server, declared(exchange))
        whole = collect(source)
        assert got(whole.rows) == expected(rows)
        assert not whole.counted
        check_feed(source)
        check_feed(MemoryFeed(source.spec, whole.rows))


@pytest.mark.parametrize(("exchange", "cap"), [("binance", 1000), ("binance", 70), ("coinbase", 300)])
def test_pages_join_whatever_the_venue_gives_at_once(exchange: str, cap: int) -> None:
    rows = bars(OPEN - 2500 * HOUR, OPEN)
    made = binance(rows, cap=cap) if exchange == "binance" else coinbase(rows, cap=cap)
    with Server(made) as server:
        assert got(collect(feed(server, declared(exchange))).rows) == expected(rows)
        path = KLINES if exchange == "binance" else "/api/v3/brokerage/market/products/ETH-USD/candles"
        # From 2023-11-01, 133.5 days before: a page of what there is, or a window of 300 hours, and the empty one
        # before the first bar once more.
        assert server.count(path) == (
            -(-2500 // cap) if exchange == "binance" else -(-(OPEN - 1_698_796_800) // (300 * HOUR)) + 1
        )


def test_the_venue_that_keeps_720_bars_gives_those() -> None:
    rows = bars(OPEN - 2500 * HOUR, OPEN)
    with Server(kraken(rows)) as server:
        whole = collect(feed(server, declared("kraken")))
    assert got(whole.rows) == expected({at: row for at, row in rows.items() if at > OPEN - 720 * HOUR})
    assert whole.counted == {"history_cut": 1}


@pytest.mark.parametrize("exchange", ["binance", "coinbase"])
def test_months_without_trade_do_not_end_the_walk(exchange: str) -> None:
    rows = bars(OPEN - 2500 * HOUR, OPEN, without=lambda at: OPEN - 2200 * HOUR < at < OPEN - 400 * HOUR)
    with Server(routes(exchange, rows)) as server:
        assert got(collect(feed(server, declared(exchange))).rows) == expected(rows)


def test_a_market_that_ended_gives_what_it_was() -> None:
    rows = bars(OPEN - 900 * HOUR, OPEN - 500 * HOUR)
    with Server(binance(rows, status="BREAK")) as server:
        source = feed(server, declared("binance"))
        assert got(collect(source).rows) == expected(rows)
        assert source.facts()["active"] == "False"


def test_duplicates_at_the_edges_of_pages_are_counted() -> None:
    rows = bars(OPEN - 100 * HOUR, OPEN)
    made = binance(rows, cap=40)
    honest = made[KLINES]

    def overlapping(query: Mapping[str, str]) -> Any:
        # ccxt drops what is stamped before its `since`; so the edge shows within a page.
        page = honest(query)
        return [*page[:1], *page]

    with Server({**made, KLINES: overlapping}) as server:
        whole = collect(feed(server, declared("binance")))
        assert got(whole.rows) == expected(rows)
        # Each page of 100 closed bars in pages of 40 begins with one twice.
        assert whole.counted == {"duplicates": 3}


def test_two_versions_of_a_bar_are_refused() -> None:
    rows = bars(OPEN - 10 * HOUR, OPEN)
    made = binance(rows)
    honest = made[KLINES]

    def two(query: Mapping[str, str]) -> Any:
        page = honest(query)
        return [*page, [page[0][0], "1", *page[0][2:]]]

    with Server({**made, KLINES: two}) as server, pytest.raises(DataError, match="two versions of one datum") as error:
        collect(feed(server, declared("binance")))
    assert error.value.field == "2024-03-13T02:00:00+00:00"


def test_bars_of_another_length_are_refused() -> None:
    rows = bars(OPEN - 10 * HOUR, OPEN, interval=1800)
    with Server(binance(rows)) as server, pytest.raises(DataError, match="two stamps are 1800 s apart"):
        collect(feed(server, declared("binance")))


@pytest.mark.parametrize(
    ("place", "text", "message"),
    [
        (4, "0", "a price must be above zero"),
        (2, "-1.5", "a price must be above zero"),
        (3, "nan", "not a number"),
        (1, "", "not a number"),
        (5, "-3", "a negative amount"),
    ],
)
def test_a_value_that_is_no_price_names_bar_and_field(place: int, text: str, message: str) -> None:
    made = binance(bars(OPEN - 10 * HOUR, OPEN))
    honest = made[KLINES]

    def broken(query: Mapping[str, str]) -> Any:
        page = honest(query)
        page[3][place] = text
        return page

    with Server({**made, KLINES: broken}) as server, pytest.raises(DataError, match=message) as error:
        collect(feed(server, declared("binance")))
    name = ("open", "high", "low", "close", "volume")[place - 1]
    assert error.value.field == f"bar of 2024-03-13T05:00:00+00:00, {name}"
    assert error.value.file == "ETH/USDT@exchange:binance:ETH/USDT:ohlcv:1h"


def test_a_bar_from_the_future_is_refused() -> None:
    with (
        Server(binance(bars(OPEN - 5 * HOUR, OPEN + HOUR))) as server,
        pytest.raises(DataError, match="stamped in the future"),
    ):
        collect(feed(server, declared("binance")))


def test_a_bar_is_closed_only_on_both_clocks() -> None:
    """The venue is ten minutes behind: by its clock the bar of 11:00 is still open."""
    rows = bars(OPEN - 5 * HOUR, OPEN - HOUR)
    with Server(binance(rows, now=NOW - 600)) as server:
        found = collect(feed(server, declared("binance"))).rows
    assert found["known_at"].max() == OPEN - HOUR
    with Server(binance(rows)) as server:
        assert collect(feed(server, declared("binance"))).rows["known_at"].max() == OPEN


def test_the_quote_is_the_markets_own() -> None:
    with Server(binance(bars(OPEN - 5 * HOUR, OPEN))) as server:
        assert feed(server, declared("binance")).spec.id == "ETH/USDT@exchange:binance:ETH/USDT:ohlcv:1h"
        swap = settings("binance", "ETH", "ETH/USDT:USDT", start="2023-11-01")
        source = feed(server, swap)
        assert source.spec.quote == "USDT"
        # A linear contract of one unit counts its volume in units of the base, as spot does.
        assert set(collect(source).rows["field"].tolist()) == {"open", "high", "low", "close", "volume"}


def test_volume_in_contracts_is_left_out_and_counted() -> None:
    rows = bars(OPEN - 5 * HOUR, OPEN)
    made = deribit(ticks=rows)
    with Server(made) as server:
        whole = collect(feed(server, settings("deribit", "BTC", "BTC/USD:BTC", start="2024-01-01")))
    assert set(whole.rows["field"].tolist()) == {"open", "high", "low", "close"}
    assert whole.counted == {"volume_in_contracts": 5}


def test_a_bar_as_ccxt_recorded_it() -> None:
    """ccxt: ts/src/test/static/response/deribit.json, fetchOHLCV, BTC/USDT 1h at 2024-03-13T11:00Z."""
    recorded = {
        "usOut": "1710328421483471", "usIn": "1710328421482111", "usDiff": "1360", "testnet": False,
        "result": {
            "volume": [0.008], "ticks": [1710327600000], "status": "ok", "open": [73427.75], "low": [73427.75],
            "high": [73448.39], "cost": [587.580928], "close": [73448.39],
        },
        "jsonrpc": "2.0",
    }  # fmt: skip
    made = {**deribit(), "/api/v2/public/get_tradingview_chart_data": lambda _: recorded}
    with Server(made) as server:
        found = got(collect(feed(server, declared("deribit", start="2024-03-13T11:00"))).rows)
    end = 1_710_327_600 + HOUR
    assert found == {
        (end, "open"): 73427.75,
        (end, "high"): 73448.39,
        (end, "low"): 73427.75,
        (end, "close"): 73448.39,
        (end, "volume"): 0.008,
    }


@pytest.mark.parametrize(("exchange", "page"), [("binance", 1), ("binance", 4), ("coinbase", 2)])
def test_a_fetch_that_broke_off_is_taken_up(exchange: str, page: int, tmp_path: Path) -> None:
    """The venue is lost at a page, for good; what was fetched is kept, and the next fetch ends as a clean one."""
    rows = bars(OPEN - 700 * HOUR, OPEN)
    made = binance(rows, cap=150) if exchange == "binance" else coinbase(rows)
    path = KLINES if exchange == "binance" else "/api/v3/brokerage/market/products/ETH-USD/candles"
    start = {"start": "2024-02-13"}
    broken, clean = Store(tmp_path / "broken"), Store(tmp_path / "clean")
    with Server(made) as server:
        append(clean, feed(server, declared(exchange, **start)))
        source = feed(server, declared(exchange, **start), attempts=1)
        honest = made[path]
        served = iter(range(100))
        server.routes = {**made, path: lambda query: honest(query) if next(served) < page else Answer(503)}
        with pytest.raises(SourceError, match=r"not reached in 1 try; the last one: HTTP 503"):
            append(broken, source)
        kept = len(broken.read(source.spec))
        assert 0 < kept < len(clean.read(source.spec))
        server.routes = made
        append(broken, source)
        assert broken.content_hash(source.spec) == clean.content_hash(source.spec)
        asked = len(server.asked)
        append(broken, source)
        assert server.count(path) > 0
        assert len(server.asked) - asked <= 2, "nothing new: the time is asked, and no page"
    check_feed(StoredFeed(broken, source.spec))


KILLED = """
import os, signal, sys
from pathlib import Path
from oracle_adapters.exchange import open_exchange
from oracle_adapters.exchange.client import Venue
from oracle_adapters.store import Store
from tests.oracle_adapters.exchange.venues import NOW, settings
declared = settings("binance", "ETH", "ETH/USDT", start="2023-11-01")
venue = Venue("binance", base_url=sys.argv[1], clock=lambda: NOW)
venue.exchange.rateLimit = 0
source = open_exchange(declared, venue)
for number, chunk in enumerate(source.fetch(0, 2**62)):
    Store(Path(sys.argv[2])).append(source.spec, chunk.rows)
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_fetch_is_taken_up(tmp_path: Path) -> None:
    rows = bars(OPEN - 450 * HOUR, OPEN)
    with Server(binance(rows, cap=100)) as server:
        root = Path(__file__).parents[3]
        run = subprocess.run(
            [sys.executable, "-c", KILLED, server.url, str(tmp_path / "killed")],
            check=False, capture_output=True, text=True, cwd=root, env={**os.environ, "PYTHONPATH": str(root)},
        )  # fmt: skip
        assert run.returncode == -signal.SIGKILL, run.stderr
        killed, clean = Store(tmp_path / "killed"), Store(tmp_path / "clean")
        source = feed(server, declared("binance"))
        assert len(killed.read(source.spec)) == 200 * 5
        append(killed, source)
        append(clean, source)
    assert killed.content_hash(source.spec) == clean.content_hash(source.spec)


def test_a_span_that_is_past_asks_for_that_span_only() -> None:
    rows = bars(OPEN - 2500 * HOUR, OPEN)
    with Server(binance(rows)) as server:
        source = feed(server, declared("binance"))
        assert len(collect(source, 0, 1_600_000_000).rows) == 0
        assert not server.asked, "before the start nothing is asked"
        found = collect(source, OPEN - 9 * HOUR, OPEN - 4 * HOUR).rows
        assert sorted(set(found["known_at"].tolist())) == [OPEN - n * HOUR for n in (9, 8, 7, 6, 5)]
        assert server.count(KLINES) == 1


def test_a_length_that_the_venue_does_not_have() -> None:
    with (
        Server(binance({})) as server,
        pytest.raises(SettingsError, match="binance has no bars of this length") as error,
    ):
        Bars(declared("binance", timeframe="7m"), venue(server, "binance"))
    assert "1m, 3m, 5m" in str(error.value)
