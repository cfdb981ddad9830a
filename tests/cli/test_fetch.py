"""`riskcal fetch` and `riskcal feeds --store`: a market of which one asset comes from a server that can fail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from oracle_adapters import registry
from oracle_adapters.feed import Feed, FeedSpec, Kind
from oracle_adapters.files import PriceFile
from oracle_adapters.store import Store
from reports.cli import main as command
from risk.errors import DataError, DefectError, EvidenceError, RefusalError, RiskcalError, SourceError
from risk.feed_settings import FileFeed
from risk.settings import Settings
from tests.cli.market import BARS, write_market
from tests.oracle_adapters import json_bars
from tests.oracle_adapters import test_derivatives as derivatives
from tests.oracle_adapters.faults import FaultyServer, Spoil
from tests.oracle_adapters.json_bars import JsonBars

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer(json_bars.answer) as running:
        yield running


@pytest.fixture
def market(tmp_path: Path, server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of a small market whose settings name a store; ETH has a second feed, from the server."""

    class Served(JsonBars):
        @property
        def spec(self) -> FeedSpec:
            return FeedSpec(Kind.PRICE, "ETH", "USD", "served", 60)

    def opener(feed: FileFeed, _: Settings, root: Path) -> list[Feed]:
        if feed.path != "served":
            return [PriceFile(feed, root)]
        plain = json_bars.open_feed(server.url)
        return [Served(server.url, plain._transport)]

    monkeypatch.setattr(registry, "OPENERS", {FileFeed: opener})
    write_market(tmp_path / "market")
    path = tmp_path / "market" / "riskcal.toml"
    served = '\n[[feeds]]\nkind = "files"\nasset = "ETH"\npath = "served"\n'
    path.write_text('store = "kept"\n' + path.read_text() + served)
    return tmp_path / "market"


def run(capsys: Capture, *arguments: object) -> tuple[int, str, str]:
    code = command.main([str(one) for one in arguments])
    return code, *capsys.readouterr()


def document(capsys: Capture, *arguments: object) -> tuple[int, dict]:
    code, out, _ = run(capsys, *arguments, "--json")
    return code, json.loads(out)


def test_what_is_new_is_counted_and_shown(market: Path, capsys: Capture) -> None:
    code, found = document(capsys, "fetch", market / "riskcal.toml")
    assert code == 0
    rows = {row["feed"]: row for row in found["feeds"]}
    assert rows["ETH/USD@served"] == {
        "feed": "ETH/USD@served", "kind": "price", "status": "good", "added": 13, "last_known": 780, "counted": {},
        "error": None,
    }  # fmt: skip
    assert len(rows) == 5
    assert len(Store(market / "kept").specs()) == 5
    code, out, _ = run(capsys, "fetch", market / "riskcal.toml", "--workers", 1)
    assert code == 0
    assert "5 sources: 0 rows added, 0 not reached, 0 refused." in out


@pytest.mark.parametrize("how", [Spoil.ERROR, Spoil.RESET])
def test_a_lost_source_is_3_and_the_others_are_kept(
    market: Path, server: FaultyServer, how: Spoil, capsys: Capture
) -> None:
    server.spoil(how, first=2, times=None)
    code, out, err = run(capsys, "fetch", market / "riskcal.toml")
    assert code == 3
    assert "5 sources: " in out
    assert "1 not reached, 0 refused." in out
    assert "ETH/USD@served: json-bars: bars since 361: not reached in 3 tries" in out
    assert "sesame" not in out + err
    held = {spec.id: Store(market / "kept").count(spec) for spec in Store(market / "kept").specs()}
    assert held.pop("ETH/USD@served") == 6
    assert all(count >= BARS for count in held.values())
    server.heal()
    assert document(capsys, "fetch", market / "riskcal.toml")[0] == 0


@pytest.mark.parametrize("kind", [EvidenceError, RefusalError, DataError, SourceError, DefectError])
def test_an_error_of_one_feed_is_its_row_and_the_exit_code(
    market: Path, kind: type[RiskcalError], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """In a fetch and where feeds are read live; the others are there whatever one of them met."""

    def fail(self: JsonBars, start: int, stop: int) -> NoReturn:
        raise kind("of no use", value="http://node/v2/0123456789abcdef")

    monkeypatch.setattr(JsonBars, "fetch", fail)
    code, found = document(capsys, "fetch", market / "riskcal.toml")
    assert code == kind.exit_code
    assert {row["feed"]: row["error"] is None for row in found["feeds"]} == {
        "BTC/USD@files:BTC.csv": True, "ETH/USD@files:ETH.csv": True, "ETH/USD@served": False,
        "LINK/USD@files:LINK.csv": True, "USDC/USD@files:USDC.csv": True,
    }  # fmt: skip
    code, out, _ = run(capsys, "fetch", market / "riskcal.toml")
    assert code == kind.exit_code
    assert "ETH/USD@served: of no use (found 'http://node/***')" in out
    assert (", 1 failed." in out) is (kind in (EvidenceError, RefusalError, DefectError))

    path = market / "riskcal.toml"
    path.write_text(path.read_text().replace('store = "kept"', ""))
    code, found = document(capsys, "feeds", path)
    assert code == kind.exit_code
    rows = {row["feed"]: row for row in found["feeds"]}
    assert rows["ETH/USD@served"]["verdict"] == "bad"
    assert rows["ETH/USD@served"]["checks"] == ["read: of no use (found 'http://node/***')"]
    assert {row["rows"] > 0 for name, row in rows.items() if name != "ETH/USD@served"} == {True}
    code, _, err = run(capsys, "calibrate", path, "--out", market / "run")
    assert (code, "of no use" in err) == (kind.exit_code, True), "a calibration is not made without it"


def test_a_source_that_changed_its_mind_is_2(market: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    run(capsys, "fetch", market / "riskcal.toml")
    monkeypatch.setattr(json_bars, "BARS", [*json_bars.BARS[:-1], (780, 1.0)])
    code, found = document(capsys, "fetch", market / "riskcal.toml")
    assert code == 2
    refused = [row for row in found["feeds"] if row["status"] == "refused"]
    assert [row["feed"] for row in refused] == ["ETH/USD@served"]
    assert "780 close: two values became known at one instant" in refused[0]["error"]


def test_a_span_and_another_store(market: Path, tmp_path: Path, capsys: Capture) -> None:
    span = ["--start", "1970-01-01T00:05:00Z", "--stop", "1970-01-01T00:10:00Z"]
    code, found = document(capsys, "fetch", market / "riskcal.toml", "--store", tmp_path / "other", *span)
    assert code == 0
    assert {row["feed"]: row["added"] for row in found["feeds"]}["ETH/USD@served"] == 5
    assert not (market / "kept").exists()


def test_rows_move_out_and_in(market: Path, tmp_path: Path, capsys: Capture) -> None:
    run(capsys, "fetch", market / "riskcal.toml")
    file = tmp_path / "rows.parquet"
    code, written = document(capsys, "fetch", market / "riskcal.toml", "--export", file)
    assert (code, len(written["feeds"])) == (0, 5)
    code, out, _ = run(capsys, "fetch", "--store", tmp_path / "other", "--import", file)
    assert code == 0
    assert f"5 feeds, {sum(row['rows'] for row in written['feeds']):,} rows." in out
    stores = [Store(market / "kept"), Store(tmp_path / "other")]
    hashes = [{spec: kept.content_hash(spec) for spec in kept.specs()} for kept in stores]
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fetch"], "CONFIG: which feeds?"),
        (["fetch", "--store", "x"], "CONFIG: which feeds?"),
        (["fetch", "--export", "x.csv"], "CONFIG: which feeds?"),
        (["fetch", "--store", "x", "--export", "a.csv", "--import", "b.csv"], "either into the store or out of it"),
        (["fetch", "absent.toml"], "cannot be read"),
        (["fetch", "{config}", "--start", "soon"], "--start: not an instant"),
        (["fetch", "{config}", "--import", "absent.csv"], "absent.csv: there is no such file"),
    ],
)
def test_wrong_usage_is_2_and_one_line(market: Path, arguments: list[str], said: str, capsys: Capture) -> None:
    code, out, err = run(capsys, *(one.format(config=market / "riskcal.toml") for one in arguments))
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_without_a_store_one_is_asked_for(market: Path, capsys: Capture) -> None:
    path = market / "riskcal.toml"
    path.write_text(path.read_text().removeprefix('store = "kept"\n'))
    code, _, err = run(capsys, "fetch", path)
    assert code == 2
    assert "--store: where are the fetched rows?" in err


def test_health_comes_from_the_store_and_asks_nobody(market: Path, server: FaultyServer, capsys: Capture) -> None:
    assert run(capsys, "feeds", market / "riskcal.toml")[0] == 2, "it was never fetched"
    run(capsys, "fetch", market / "riskcal.toml")
    asked = len(server.requests)
    code, found = document(capsys, "feeds", market / "riskcal.toml")
    assert code == 1, "the served bars end in 1970"
    rows = {row["feed"]: row for row in found["feeds"]}
    assert rows["ETH/USD@served"]["rows"] == 13
    assert (rows["ETH/USD@served"]["gaps"], rows["ETH/USD@served"]["verdict"]) == (0, "bad")
    assert rows["ETH/USD@served"]["age"] == found["as_of"] - 780
    assert rows["BTC/USD@files:BTC.csv"]["age"] == 0
    assert len(server.requests) == asked
    code, _, err = run(capsys, "feeds", market / "riskcal.toml", "--store", market / "nowhere")
    assert code == 2
    assert "the store does not hold the feed" in err


def test_a_date_that_cannot_be_is_seen_though_nothing_reads_it(market: Path, capsys: Capture) -> None:
    """A row of 2055 beyond the as-of date: it changes no figure, and is counted where people look."""
    path, file = market / "riskcal.toml", market / "prices" / "BTC.csv"
    path.write_text(path.read_text().replace('store = "kept"', "").rpartition("\n[[feeds]]")[0])
    as_of = ("--as-of", "2025-06-30T00:00:00Z")
    _, clean = document(capsys, "feeds", path, *as_of)
    lines = file.read_text().splitlines()
    last = lines[-1].split(",")
    file.write_text("\n".join([*lines, ",".join(["2055-01-01", *last[1:]])]) + "\n")
    _, found = document(capsys, "feeds", path, *as_of)
    assert found["quality"] == clean["quality"]
    before, after = ({row["feed"]: row for row in one["feeds"]}["BTC/USD@files:BTC.csv"] for one in (clean, found))
    assert after["later"] == before["later"] + 1
    assert after["checks"][-1].endswith("after the as-of date, to 2055-01-02")
    assert after["verdict"] == before["verdict"]


def test_settings_may_begin_with_a_mark_of_their_encoding(market: Path, capsys: Capture) -> None:
    """An editor's byte order mark before the settings, and before the parameters in force."""
    for name in ("riskcal.toml", "parameters.toml"):
        (market / name).write_bytes(b"\xef\xbb\xbf" + (market / name).read_bytes())
    path = market / "riskcal.toml"
    assert run(capsys, "fetch", path)[0] == 0
    assert run(capsys, "feeds", path)[0] == 1, "the served bars end in 1970"


def test_what_the_settings_do_not_name_is_shown_too(market: Path, capsys: Capture) -> None:
    run(capsys, "fetch", market / "riskcal.toml")
    path = market / "riskcal.toml"
    path.write_text(path.read_text().rpartition("\n[[feeds]]")[0])
    code, found = document(capsys, "feeds", path)
    assert code == 0
    assert found["others"] == [{"feed": "ETH/USD@served", "kind": "price", "rows": 13, "last_known": 780}]
    assert "Also in the store" in run(capsys, "feeds", path)[1]


def test_chains_and_funding_are_shown_with_their_health(tmp_path: Path, capsys: Capture) -> None:
    write_market(tmp_path / "market")
    path, store = tmp_path / "market" / "riskcal.toml", Store(tmp_path / "market" / "kept")
    head = '\n[[feeds]]\nkind = "exchange"\nasset = "BTC"\nbase_url = "http://127.0.0.1:9"\n'
    path.write_text(
        'store = "kept"\n' + path.read_text()
        + head + 'exchange = "deribit"\nsymbol = "BTC/USD:BTC"\ndata = "options"\n'
        + head + 'exchange = "binance"\nsymbol = "BTC/USDT:USDT"\ndata = "funding"\ntimeframe = "8h"\n'
        + 'start = "2020-01-01"\n'
    )  # fmt: skip
    assert run(capsys, "feeds", path)[0] == 2, "neither was ever fetched"
    at = int(np.datetime64("2025-06-30", "s").astype(int))
    store.append(derivatives.CHAIN, derivatives.chain_rows(at, {"bid_price": 0.5}))
    store.append(
        derivatives.RATE, derivatives.funding_rows([1e-4, -2e-4], last=at), counted={"duplicates": 3, "late": 2}
    )
    code, found = document(capsys, "feeds", path, "--as-of", "2025-06-30")
    assert code == 1, "its options have expired, and the one quote with both sides is crossed"
    assert [row["feed"] for row in found["options"]] == [derivatives.CHAIN.id]
    chain, rate = found["options"][0], found["rates"][0]
    told = {name: chain[name] for name in ("options", "two_sided", "crossed", "expired", "age", "verdict")}
    assert told == {"options": 2, "two_sided": 1, "crossed": 1, "expired": 2, "age": 0, "verdict": "bad"}
    assert chain["coin_settled"] is True
    assert (rate["rows"], rate["gaps"], rate["last_values"], rate["verdict"]) == (2, 0, {"rate": -2e-4}, "suspect")
    assert rate["fetched"] == {"duplicates": 3, "late": 2}, "what the fetch left out is not forgotten by the store"
    assert any("read_late: 2 rows left out" in one for one in rate["checks"])
    assert "duplicates: 3 repeated rows dropped" in rate["checks"]
    assert not {derivatives.CHAIN.id, derivatives.RATE.id} & {row["feed"] for row in found["feeds"]}
    assert found["others"] == []
    assert {row["asset"]: (row["origin"], row["rounds"]) for row in found["oracles"]}["ETH"] == ("declared", 0)
    out = run(capsys, "feeds", path, "--as-of", "2025-06-30")[1]
    assert "Chains of options" in out
    assert "Funding and open interest" in out
    assert "Update rules of oracles" in out


def test_help_says_how_it_is_used(capsys: Capture) -> None:
    code, out, _ = run(capsys, "fetch", "--help")
    assert code == 0
    assert all(
        word in out for word in ("--import", "--export", "--store", "--start", "--stop", "--workers", "Exit code 3")
    )
