"""Chains of options: Deribit's as it is and as it was recorded, and any other by ccxt's unified form."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from oracle_adapters.exchange.options import option_rows, read_deribit
from oracle_adapters.feed import COLUMNS, Kind, MemoryFeed, collect
from oracle_adapters.store import Store, StoredFeed
from risk.errors import DataError
from tests.oracle_adapters.contract import check_feed
from tests.oracle_adapters.exchange.server import Server
from tests.oracle_adapters.exchange.venues import deribit, feed, settings

CHAIN = settings("deribit", "BTC", "BTC/USD:BTC", "options")
# recorded: quoted in ccxt/deribit.py, fetch_option_chain and parse_option; the volatility, which they lack, is made up
ITM = {
    "mid_price": 0.4075, "volume_usd": 2836.83, "quote_currency": "BTC", "estimated_delivery_price": 65479.26,
    "creation_timestamp": 1711101594477, "base_currency": "BTC", "underlying_index": "BTC-28JUN24",
    "underlying_price": 68827.27, "volume": 0.1, "interest_rate": 0.0, "price_change": 0.0, "open_interest": 364.1,
    "ask_price": 0.411, "bid_price": 0.404, "instrument_name": "BTC-28JUN24-42000-C", "mark_price": 0.40752052,
    "last": 0.423, "low": 0.423, "high": 0.423, "mark_iv": 74.25,
}  # fmt: skip
OTM = ITM | {
    "creation_timestamp": 1711100949273, "underlying_index": "SYN.BTC-27DEC24", "underlying_price": 73742.14,
    "open_interest": 274.2, "ask_price": 0.042, "bid_price": None, "instrument_name": "BTC-27DEC24-240000-C",
    "mark_price": 0.04007735, "mark_iv": 83.5,
}  # fmt: skip
AT = 1_711_101_595  # the later of the two stamps, rounded up


def test_a_chain_of_deribit() -> None:
    foreign = OTM | {"instrument_name": "XRP_USDC-27DEC24-0d5-P", "underlying_index": "XRP_USDC-27DEC24"}
    odd = OTM | {"instrument_name": "BTC-27DEC24"}
    with Server(deribit(summaries=[OTM, ITM, foreign, odd], now=AT + 1)) as server:
        whole = collect(feed(server, CHAIN, now=AT + 1))
        assert server.asked[-1] == (
            "/api/v2/public/get_book_summary_by_currency",
            {"currency": "BTC", "kind": "option"},
        )
    assert whole.rows.schema == dict(COLUMNS[Kind.OPTION])
    assert whole.counted == {"without_bid": 1, "unread": 1, "of_another_family": 1}
    assert list(whole.rows.rows()) == [
        {
            "observed_at": AT, "instrument": "BTC-27DEC24-240000-C", "known_at": AT, "option_type": "call",
            "strike": 240_000.0, "expiry": 1_735_286_400, "settlement": "BTC", "underlying": "SYN.BTC-27DEC24",
            "synthetic": True, "underlying_price": 73742.14, "mark": 0.04007735, "mark_iv": 0.835, "bid": 0.0,
            "ask": 0.042, "open_interest": 274.2, "absent": "bid",
        },
        {
            "observed_at": AT, "instrument": "BTC-28JUN24-42000-C", "known_at": AT, "option_type": "call",
            "strike": 42_000.0, "expiry": 1_719_561_600, "settlement": "BTC", "underlying": "BTC-28JUN24",
            "synthetic": False, "underlying_price": 68827.27, "mark": 0.40752052, "mark_iv": 0.7425, "bid": 0.404,
            "ask": 0.411, "open_interest": 364.1, "absent": "",
        },
    ]  # fmt: skip


def test_a_linear_chain_has_its_own_family() -> None:
    linear = OTM | {
        "instrument_name": "XRP_USDC-27DEC24-0d5-P",
        "underlying_index": "XRP_USDC-27DEC24",
        "bid_price": 0.01,
    }
    with Server(deribit(summaries=[linear, OTM], now=AT + 1)) as server:
        declared = settings("deribit", "XRP", "XRP/USDC:USDC", "options")
        whole = collect(feed(server, declared, now=AT + 1))
        assert server.asked[-1][1]["currency"] == "USDC"
    (row,) = whole.rows.rows()
    assert (row["strike"], row["option_type"], row["settlement"]) == (0.5, "put", "USDC")
    assert whole.counted == {"of_another_family": 1}


def test_what_is_absent_is_named_and_never_a_nan() -> None:
    bare = {name: ITM[name] for name in ("instrument_name", "underlying_index", "creation_timestamp")}
    _, options, _ = read_deribit([bare, ITM | {"instrument_name": "BTC-28JUN24-50000-P", "bid_price": 0.0}])
    rows, counted = option_rows(options, AT, "x")
    assert rows["absent"].tolist() == ["underlying_price mark mark_iv bid ask open_interest", "bid"]
    assert counted["without_bid"] == 2
    assert counted["without_mark"] == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bid_price": -0.1}, "a negative amount"),
        ({"underlying_price": "many"}, "not a number"),
        ({"instrument_name": "BTC-28JUN24-0-C"}, "a price must be above zero"),
        ({"instrument_name": "BTC-31FEB24-100-C"}, "no such day"),
    ],
)
def test_figures_that_cannot_be(given: dict[str, Any], message: str) -> None:
    with Server(deribit(summaries=[ITM | given], now=AT)) as server, pytest.raises(DataError, match=message):
        collect(feed(server, CHAIN, now=AT))


def test_a_chain_that_cannot_be() -> None:
    with (
        Server(deribit(summaries=[ITM, ITM], now=AT)) as server,
        pytest.raises(DataError, match="two options of one name"),
    ):
        collect(feed(server, CHAIN, now=AT))
    with Server(deribit(summaries=[], now=AT)) as server, pytest.raises(DataError, match="a chain without an option"):
        collect(feed(server, CHAIN, now=AT))
    with (
        Server(deribit(summaries=[ITM], now=AT - 600)) as server,
        pytest.raises(DataError, match="clock is 600 s ahead"),
    ):
        collect(feed(server, CHAIN, now=AT - 600))


def test_chains_kept_over_time_pass_the_contract(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with Server(deribit()) as server:
        for minute in range(5):
            now = AT + 60 * minute
            made = [row | {"creation_timestamp": now * 1000} for row in (ITM, OTM)]
            server.routes = deribit(summaries=made, now=now)
            source = feed(server, CHAIN, now=now)
            assert store.append(source.spec, collect(source).rows) == 2
    check_feed(StoredFeed(store, source.spec))
    check_feed(MemoryFeed(source.spec, store.read(source.spec)))
    assert store.read(source.spec)["synthetic"].tolist() == [True, False] * 5


def bybit() -> dict[str, Any]:
    """Bybit: an option by its unified form; the shape of v5 market tickers, constructed."""
    option = {
        "symbol": "BTC-28JUN24-42000-C", "status": "Trading", "baseCoin": "BTC", "quoteCoin": "USDC",
        "settleCoin": "USDC", "optionsType": "Call", "launchTime": "1700000000000",
        "deliveryTime": "1719561600000", "deliveryFeeRate": "0.00015", "priceFilter": {"tickSize": "5"},
        "lotSizeFilter": {"qtyStep": "0.01", "minOrderQty": "0.01", "maxOrderQty": "500"},
    }  # fmt: skip
    ticker = {
        "symbol": "BTC-28JUN24-42000-C", "bid1Price": "0", "bid1Size": "0", "ask1Price": "27310", "ask1Iv": "0.8",
        "lastPrice": "27000", "markPrice": "27012.5", "markIv": "0.7612", "underlyingPrice": "68827.27",
        "openInterest": "12.5", "change24h": "0", "totalVolume": "1",
    }  # fmt: skip

    def instruments(query: Any) -> Any:
        listed = [option] if query["category"] == "option" and query.get("baseCoin", "BTC") == "BTC" else []
        return {
            "retCode": 0,
            "retMsg": "OK",
            "result": {"category": query["category"], "list": listed, "nextPageCursor": ""},
        }

    return {
        "/v5/market/instruments-info": instruments,
        "/v5/market/time": lambda _: {
            "retCode": 0,
            "result": {"timeSecond": str(AT), "timeNano": f"{AT}000000000"},
            "time": AT * 1000,
        },
        "/v5/market/tickers": lambda _: {
            "retCode": 0,
            "result": {"category": "option", "list": [ticker]},
            "time": AT * 1000,
        },
    }


def test_a_chain_of_any_other_venue() -> None:
    with Server(bybit()) as server:
        whole = collect(feed(server, settings("bybit", "BTC", "BTC/USDC:USDC", "options"), now=AT))
    assert list(whole.rows.rows()) == [
        {
            "observed_at": AT, "instrument": "BTC-28JUN24-42000-C", "known_at": AT, "option_type": "call",
            "strike": 42_000.0, "expiry": 1_719_561_600, "settlement": "USDC", "underlying": "", "synthetic": False,
            "underlying_price": 68827.27, "mark": 27012.5, "mark_iv": 0.7612, "bid": 0.0, "ask": 27310.0,
            "open_interest": 12.5, "absent": "bid",
        }
    ]  # fmt: skip


def summaries(path: Path) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    """Rows of a real snapshot, and the same in the shape of Deribit's answer."""
    with gzip.open(path, "rt", newline="") as file:
        for row in csv.DictReader(file):
            stamp = datetime.fromisoformat(row["timestamp"]).timestamp() * 1000
            yield row, {
                "instrument_name": row["instrument_name"], "underlying_index": row["underlying_name"],
                "underlying_price": float(row["underlying"]), "mark_price": float(row["mark_price"]),
                "mark_iv": 100 * float(row["implied_volatility"]), "open_interest": float(row["open_interest"]),
                "bid_price": float(row["bid_price"]) if row["bid_price"] else None,
                "ask_price": float(row["ask_price"]) if row["ask_price"] else None, "creation_timestamp": stamp,
            }  # fmt: skip


@pytest.mark.data
def test_real_chains_go_through_the_same_decoding(shared: Path) -> None:
    """All eleven snapshots of Deribit: every row is there, with the strike, expiry and forward that the file states."""
    files = sorted((shared / "data" / "deribit_option_chains").glob("deribit_options_snapshot_*.csv.gz"))
    assert len(files) == 11
    total: Counter[str] = Counter()
    for path in files:
        pairs = list(summaries(path))
        stamps, options, unread = read_deribit([summary for _, summary in pairs])
        assert unread == 0
        at = -int(-max(stamps) // 1000)
        rows, counted = option_rows(options, at, path.name)
        assert len(rows) == len(pairs), "the count of rows is conserved"
        decoded = {row["instrument"]: row for row in rows.rows()}
        for source, summary in pairs:
            row = decoded[source["instrument_name"]]
            assert row["option_type"] == source["option_type"]
            assert row["strike"] == float(source["strike"])
            assert row["expiry"] == datetime.fromisoformat(source["expiry_datetime"]).timestamp()
            assert row["settlement"] == source["currency"]
            assert row["underlying"] == source["underlying_name"]
            assert row["synthetic"] is source["underlying_name"].startswith("SYN.")
            assert row["mark_iv"] == pytest.approx(float(source["implied_volatility"]), rel=1e-15)
            for name in ("bid", "ask"):
                given = summary[f"{name}_price"]
                assert (name in row["absent"].split()) is (not given)
                assert row[name] == (given or 0.0)
        assert row["known_at"] == at
        assert datetime.fromtimestamp(at, UTC).strftime("%Y%m%dT%H%M") in path.name
        blank = {name: sum(not source[f"{name}_price"] for source, _ in pairs) for name in ("bid", "ask")}
        assert {name: counted[f"without_{name}"] for name in blank} == blank
        assert rows["synthetic"].sum() == sum(source["underlying_name"].startswith("SYN.") for source, _ in pairs) > 0
        total += counted
        total["rows"] += len(rows)
        if "20260205T2129" in path.name:
            assert counted["without_bid"] == 605, "a third of the 1,840 rows, in the fall of that evening"
    assert total["rows"] == 17_694, "the sum of the rows that the files' provenance names"
    assert total["without_mark"] == total["without_underlying_price"] == total["without_mark_iv"] == 0
