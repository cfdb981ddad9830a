"""Funding rates and open interest of contracts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oracle_adapters.feed import COLUMNS, FOREVER, Kind, MemoryFeed, collect
from oracle_adapters.store import Store, StoredFeed
from risk.errors import DataError, SettingsError, SourceError
from tests.oracle_adapters.contract import check_feed
from tests.oracle_adapters.exchange.server import Answer, Server
from tests.oracle_adapters.exchange.venues import HOUR, NOW, binance, deribit, feed, settings

LAST = NOW - 30
"""The last full hour, 12:00."""
RATES = settings("binance", "BTC", "BTC/USDT:USDT", "funding", start="2023-09-01", timeframe="8h")
INTEREST = settings("binance", "BTC", "BTC/USDT:USDT", "open_interest", start="2024-02-15")
RATE, HISTORY = "/fapi/v1/fundingRate", "/futures/data/openInterestHist"


def rates(count: int, every: int = 8 * HOUR) -> dict[int, str]:
    """Stamps in milliseconds, with the few by which Binance is late."""
    return {(LAST - every * n) * 1000 + (n % 3): f"{(n % 7 - 2) / 1e4:.8f}" for n in range(1, count + 1)}


def test_rates_of_many_pages() -> None:
    known = rates(500)
    with Server(binance({}, funding=known)) as server:
        source = feed(server, RATES)
        whole = collect(source)
        check_feed(source)
        assert server.count("/fapi/v1/fundingRate") > 40, "a page spans a hundred hours"
    assert whole.rows.schema == dict(COLUMNS[Kind.FUNDING])
    assert set(whole.rows["field"].tolist()) == {"rate"}
    assert {(row["observed_at"], row["known_at"]): row["value"] for row in whole.rows.rows()} == {
        (at // 1000, -(-at // 1000)): float(text) for at, text in known.items()
    }
    assert source.spec.interval == 8 * HOUR
    check_feed(MemoryFeed(source.spec, whole.rows))


def test_rates_that_are_settled_each_hour_in_a_storm_are_all_there() -> None:
    known = rates(60) | {(LAST - HOUR * n) * 1000: "0.02" for n in range(100, 350) if n % 8}
    with Server(binance({}, funding=known)) as server:
        whole = collect(feed(server, RATES))
    assert len(whole.rows) == len({at // 1000 for at in known})


def test_rates_of_deribit_are_hourly_and_come_newest_of_a_window() -> None:
    known = {(LAST - HOUR * n) * 1000: n / 1e6 for n in range(1, 2000)}
    declared = settings("deribit", "BTC", "BTC/USD:BTC", "funding", start="2023-12-01")
    with Server(deribit(rates=known)) as server:
        source = feed(server, declared)
        whole = collect(source)
        check_feed(source)
    assert source.spec.id == "BTC/USD@exchange:deribit:BTC/USD:BTC:funding:1h"
    assert dict(zip((whole.rows["observed_at"] * 1000).tolist(), whole.rows["value"].tolist(), strict=True)) == known


def test_rates_of_okx_come_newest_first_of_two_bounds() -> None:
    """OKX, constructed: of what lies between ``before`` and ``after`` the newest 100, newest first."""
    swap = {
        "instType": "SWAP", "instId": "BTC-USDT-SWAP", "uly": "BTC-USDT", "instFamily": "BTC-USDT", "ctVal": "0.01",
        "ctMult": "1", "ctType": "linear", "settleCcy": "USDT", "state": "live", "tickSz": "0.1", "lotSz": "1",
        "minSz": "1", "baseCcy": "", "quoteCcy": "", "lever": "100", "listTime": "1", "expTime": "",
    }  # fmt: skip
    known = {(LAST - 8 * HOUR * n) * 1000: n / 1e6 for n in range(1, 400)}

    def history(query: Any) -> Any:
        inside = [at for at in known if int(query["before"]) < at < int(query.get("after", 2**62))]
        chosen = sorted(inside, reverse=True)[: int(query["limit"])]
        rows = [{"instId": "BTC-USDT-SWAP", "realizedRate": str(known[at]), "fundingTime": str(at)} for at in chosen]
        return {"code": "0", "msg": "", "data": rows}

    made: dict[str, Any] = {
        "/api/v5/public/time": lambda _: {"code": "0", "data": [{"ts": str(NOW * 1000)}], "msg": ""},
        "/api/v5/public/instruments": lambda query: {
            "code": "0", "msg": "", "data": [swap] if query["instType"] == "SWAP" else [],
        },
        "/api/v5/public/funding-rate-history": history,
    }  # fmt: skip
    declared = settings("okx", "BTC", "BTC/USDT:USDT", "funding", start="2023-09-01", timeframe="8h")
    with Server(made) as server:
        whole = collect(feed(server, declared))
    assert dict(zip((whole.rows["observed_at"] * 1000).tolist(), whole.rows["value"].tolist(), strict=True)) == known
    assert not whole.counted


def test_a_rate_as_ccxt_recorded_it() -> None:
    """Quoted in ccxt/binance.py, fetch_funding_rate_history: 0.00063521 of BTCUSDT at 1621267200000."""
    recorded = [{"symbol": "BTCUSDT", "fundingRate": "0.00063521", "fundingTime": "1621267200000"}]
    served = iter([recorded])
    made = {**binance({}), "/fapi/v1/fundingRate": lambda _: next(served, [])}
    with Server(made) as server:
        start = settings("binance", "BTC", "BTC/USDT:USDT", "funding", start="2021-05-17T12:00", timeframe="8h")
        found = collect(feed(server, start), 0, 1_621_300_000).rows
    assert list(found.rows()) == [
        {"observed_at": 1_621_267_200, "field": "rate", "known_at": 1_621_267_200, "value": 0.00063521}
    ]


def test_a_fetch_of_rates_that_broke_off_is_taken_up(tmp_path: Path) -> None:
    broken, clean = Store(tmp_path / "broken"), Store(tmp_path / "clean")
    made = binance({}, funding=rates(300))
    honest = made["/fapi/v1/fundingRate"]
    served = iter(range(1000))
    with Server(made) as server:
        source = feed(server, RATES, attempts=1)
        clean.append(source.spec, collect(source).rows)
        server.routes = {
            **made,
            "/fapi/v1/fundingRate": lambda query: honest(query) if next(served) < 40 else Answer(manner="reset"),
        }

        def append() -> None:
            known = broken.read(source.spec)["known_at"]
            for chunk in source.fetch(int(known.max()) + 1 if len(known) else 0, FOREVER):
                broken.append(source.spec, chunk.rows)

        with pytest.raises(SourceError, match="the connection was reset"):
            append()
        assert 0 < len(broken.read(source.spec)) < 300
        server.routes = made
        append()
    assert broken.content_hash(source.spec) == clean.content_hash(source.spec)


def interest(count: int) -> dict[int, tuple[str, str]]:
    return {(LAST - HOUR * n) * 1000: (f"{70_000 + n}.5", f"{(70_000 + n) * 60_000}.25") for n in range(count)}


def test_the_history_of_open_interest() -> None:
    known = interest(600)
    with Server(binance({}, interest=known)) as server:
        source = feed(server, INTEREST)
        whole = collect(source)
        check_feed(source)
    closed = {at // 1000: told for at, told in known.items() if at // 1000 + HOUR <= NOW}
    assert len(closed) == 599, "the hour that began at 12:00 has not ended"
    assert {(row["observed_at"], row["field"]): row["value"] for row in whole.rows.rows()} == {
        (at, name): float(text)
        for at, told in closed.items()
        for name, text in zip(("open_interest", "open_interest_value"), told, strict=True)
    }
    assert (whole.rows["known_at"] - whole.rows["observed_at"] == HOUR).all(), "known at the interval's end"
    check_feed(MemoryFeed(source.spec, whole.rows))


def test_open_interest_as_ccxt_recorded_it() -> None:
    """Quoted in ccxt/binance.py, fetch_open_interest_history, at 1642179900000."""
    known = {1_642_179_900_000: ("75375.61700000", "3248828883.71251440")}
    declared = settings("binance", "BTC", "BTC/USDT:USDT", "open_interest", start="2022-01-14T17:00", timeframe="5m")
    with Server(binance({}, interest=known)) as server:
        found = collect(feed(server, declared), 0, 1_642_190_000).rows
    assert found["value"].tolist() == [75375.617, 3248828883.7125144]


def test_without_a_start_the_present_figure_is_sampled(tmp_path: Path) -> None:
    """Recorded: 23581.677 at 1677356872265, quoted in ccxt/binance.py, fetch_open_interest."""
    store = Store(tmp_path)
    declared = settings("binance", "BTC", "BTC/USDT:USDT", "open_interest")
    with Server(binance({})) as server:
        source = feed(server, declared)
        found = collect(source).rows
        assert len(collect(source, 0, NOW).rows) == 0
        for hour in range(1, 5):
            at = NOW + HOUR * hour
            figure = {"symbol": "BTCUSDT", "openInterest": str(hour), "time": at * 1000 - 1}
            server.routes = {**binance({}, now=at), "/fapi/v1/openInterest": lambda _, told=figure: told}  # type: ignore[misc]
            store.append(source.spec, collect(feed(server, declared, now=at)).rows)
    assert list(found.rows()) == [
        {"observed_at": 1_677_356_872, "field": "open_interest", "known_at": 1_677_356_873, "value": 23581.677}
    ]
    check_feed(StoredFeed(store, source.spec))
    assert store.read(source.spec)["value"].tolist() == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize(
    ("declared", "path", "answer", "message"),
    [
        (RATES, RATE, {"fundingRate": "x", "fundingTime": 1_693_540_800_000}, "not a number"),
        (INTEREST, HISTORY, {"sumOpenInterest": "-1", "timestamp": 1_707_955_200_000}, "negative amount"),
        (INTEREST, HISTORY, {"timestamp": 1_707_955_200_000}, "neither an amount nor a value"),
        (INTEREST, HISTORY, {"sumOpenInterest": "1", "timestamp": (NOW + 3600) * 1000}, "stamped in the future"),
    ],
)
def test_figures_that_cannot_be(declared: Any, path: str, answer: Any, message: str) -> None:
    told = [{"symbol": "BTCUSDT", **answer}]
    with Server({**binance({}), path: lambda _: told}) as server, pytest.raises(DataError, match=message):
        collect(feed(server, declared))


def test_venues_without_histories_are_refused_by_name() -> None:
    with Server(deribit()) as server:
        declared = settings("deribit", "BTC", "BTC/USD:BTC", "open_interest", start="2024-01-01")
        with pytest.raises(SettingsError, match="no history of the open interest of deribit"):
            feed(server, declared)
        feed(server, declared.model_copy(update={"start": None}))
        with pytest.raises(SettingsError, match="no history of funding rates of kraken"):
            feed(server, settings("kraken", "BTC", "BTC/USD:USD", "funding", start="2024-01-01"))
        assert not server.asked
