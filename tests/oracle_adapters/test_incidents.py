"""Feed incidents that cost protocols money, each caught by name in the snapshot that a calibration would read.

Where real files hold the incident they are used; what is constructed says so, with the figures it was built after.
"""

from __future__ import annotations

import csv
import gzip
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from oracle_adapters import sample
from oracle_adapters.snapshot import build_snapshot
from risk.market import MarketSnapshot, Verdict
from risk.settings import Settings
from risk.units import DAY, parse_instant

HOUR, MINUTE = 3600, 60
ETH_USD, STETH_ETH = "0x5f4eC3Df9cbd43714FE2740f5E3616155c5b8419", "0x86392dC19c0b719886221c78AB11eb8Cf5c52812"


def settings(assets: Mapping[str, Mapping[str, Any]], feeds: Sequence[Mapping[str, Any]], **parts: Any) -> Settings:
    document = tomllib.loads(sample.settings_text())
    document["assets"] = {
        name: {"asset_class": "large_cap", "reserve": "aave-core", **asset} for name, asset in assets.items()
    }
    document["feeds"] = [{"kind": "files", "stamp": "close", "time_unit": "s", **feed} for feed in feeds]
    document["oracles"] = {}
    return Settings.model_validate({**document, **parts})


def write(folder: Path, name: str, at: Iterable[int], value: Iterable[float | int]) -> dict[str, str]:
    """A file of prices; returns what a feed's settings say of it."""
    with (folder / name).open("w", newline="") as sink:
        csv.writer(sink).writerows([("time", "close"), *zip(at, value, strict=True)])
    return {"path": name}


def said(snapshot: MarketSnapshot, check: str, verdict: Verdict) -> list[str]:
    """Details of a check with a verdict, over all series."""
    rows = snapshot.quality.where(check=check, verdict=verdict.value).rows()
    return [f"{row['series']}: {row['detail']}" for row in rows]


def walk(n: int, scale: float, seed: int = 1) -> np.ndarray:
    return np.exp(scale * np.random.default_rng(seed).standard_normal(n).cumsum())


def rounds(shared: Path, proxy: str, first: str, last: str) -> tuple[list[int], list[int]]:
    """Update times and raw answers of a real Chainlink feed, oldest first, without the phase's empty first round."""
    with gzip.open(shared / "data/chainlink_rounds" / f"{proxy}.csv.gz", "rt") as source:
        rows = sorted(
            (int(row["update"]), int(row["answer"])) for row in csv.DictReader(source) if row["answer"] != "0"
        )
    start, stop = parse_instant(first), parse_instant(last)
    kept = {at: answer for at, answer in rows if start <= at < stop}
    return list(kept), list(kept.values())


class TestMissingFactor:
    """Moonwell, 2026-02-15: cbETH priced at its ratio, 1.12 dollars, without the factor ETH/USD. Constructed."""

    @pytest.fixture
    def files(self, tmp_path: Path) -> Path:
        at = parse_instant("2025-12-01") + HOUR * np.arange(24 * 60)
        ether = 2000 * walk(len(at), 0.005)
        ratio = 1.12 * walk(len(at), 1e-5, 2)
        write(tmp_path, "eth.csv", at, ether)
        write(tmp_path, "ratio.csv", at, ratio)
        write(tmp_path, "venue_a.csv", at, ether * ratio * walk(len(at), 1e-6, 3))
        write(tmp_path, "venue_b.csv", at, ether * ratio * walk(len(at), 1e-6, 4))
        return tmp_path

    def feeds(self, *cbeth: tuple[str, str]) -> list[dict[str, Any]]:
        listed = [{"asset": "ETH", "path": "eth.csv"}]
        listed += [{"asset": "cbETH", "quote": quote, "path": path} for path, quote in cbeth]
        return [{**feed, "interval": "1h"} for feed in listed]

    assets: ClassVar[dict[str, Any]] = {"ETH": {}, "cbETH": {"peg": "ETH", "asset_class": "wrapped"}}

    def test_a_path_without_it_does_not_load(self, files: Path) -> None:
        with pytest.raises(ValueError, match=r"cbETH/USD = cbETH/ETH; it ends in ETH, not in USD: the factor ETH/USD"):
            settings(self.assets, self.feeds(("ratio.csv", "ETH")), composites={"cbETH/USD": {"path": ["cbETH/ETH"]}})

    def test_a_feed_that_prints_the_ratio_is_outvoted_and_the_factor_named(self, files: Path) -> None:
        feeds = self.feeds(("ratio.csv", "USD"), ("venue_a.csv", "USD"), ("venue_b.csv", "USD"))
        snapshot = build_snapshot(settings(self.assets, feeds), root=files)
        [found] = said(snapshot, "outvoted", Verdict.BAD)
        assert found.startswith("cbETH/USD@files:ratio.csv: files:ratio.csv has 1.1")
        assert "as if the factor ETH/USD" in found
        assert snapshot.verdict("cbETH")[0] == Verdict.GOOD
        assert snapshot.last_price("cbETH") / snapshot.last_price("ETH") == pytest.approx(1.12, rel=0.01)

    def test_alone_it_is_bad_against_its_peg(self, files: Path) -> None:
        snapshot = build_snapshot(settings(self.assets, self.feeds(("ratio.csv", "USD"))), root=files)
        verdict, why = snapshot.verdict("cbETH")
        assert verdict == Verdict.BAD
        assert "as if the factor ETH/USD" in why
        assert "were missing" in why

    def test_a_declared_path_that_prices_it_wrongly_is_bad_by_the_market(self, files: Path) -> None:
        """The ratio's file holds dollars, so the path multiplies by ETH twice."""
        feeds = self.feeds(("venue_b.csv", "ETH"), ("venue_a.csv", "USD"))
        chosen = settings(self.assets, feeds, composites={"cbETH/USD": {"path": ["cbETH/ETH", "ETH/USD"]}})
        verdict, why = build_snapshot(chosen, root=files).verdict("cbETH")
        assert verdict == Verdict.BAD
        assert why.startswith("composite: cbETH/USD = cbETH/ETH × ETH/USD gives")
        assert "applied twice" in why

    @pytest.mark.parametrize("declared", [True, False])
    def test_the_right_path_is_the_price_and_agrees_with_the_market(self, files: Path, declared: bool) -> None:
        composites = {"cbETH/USD": {"path": ["cbETH/ETH", "ETH/USD"]}} if declared else {}
        alone = settings(self.assets, self.feeds(("ratio.csv", "ETH")), composites=composites)
        snapshot = build_snapshot(alone, root=files)
        assert snapshot.close("cbETH").id == "cbETH/USD@composite(cbETH/ETH × ETH/USD)"
        assert {one.id for one in snapshot.sources} == {"cbETH/ETH@files:ratio.csv"}
        assert snapshot.verdict("cbETH")[0] == Verdict.SUSPECT, "nothing independent checks it"
        if declared:
            feeds = self.feeds(("ratio.csv", "ETH"), ("venue_a.csv", "USD"))
            both = build_snapshot(settings(self.assets, feeds, composites=composites), root=files)
            assert both.verdict("cbETH") == (Verdict.GOOD, "")
            assert both.close("cbETH").id == "cbETH/USD@files:venue_a.csv"


@pytest.mark.data
class TestChainlinkRounds:
    """Real rounds of ETH/USD (heartbeat 1 h, 8 decimals) and stETH/ETH (24 h, 18 decimals)."""

    def settings(self, shared: Path, folder: Path, *, cut: str = "2024-01-20", **steth: Any) -> Settings:
        write(folder, "eth.csv", *rounds(shared, ETH_USD, "2023-11-01", cut))
        write(folder, "steth.csv", *rounds(shared, STETH_ETH, "2023-11-01", "2024-01-20"))
        feeds = [
            {"asset": "ETH", "path": "eth.csv", "decimals": 8, "interval": "1h", "heartbeat": "1h"},
            {"asset": "stETH", "quote": "ETH", "path": "steth.csv", "decimals": 18, "interval": "1d",
             "heartbeat": "1d", **steth},
        ]  # fmt: skip
        return settings({"ETH": {}, "stETH": {"peg": "ETH", "asset_class": "wrapped"}}, feeds)

    def test_the_composite_is_the_product_as_of_each_hour(self, shared: Path, tmp_path: Path) -> None:
        snapshot = build_snapshot(self.settings(shared, tmp_path), root=tmp_path)
        steth, ether = snapshot.close("stETH"), snapshot.close("ETH")
        assert steth.source == "composite(stETH/ETH × ETH/USD)"
        assert steth.interval == HOUR
        assert snapshot.verdict("ETH")[0] != Verdict.BAD
        at, answers = rounds(shared, STETH_ETH, "2023-11-01", "2024-01-20")
        hour = int(steth.observed_at[700])
        bar = int(np.searchsorted(ether.observed_at, hour))
        end_of_day = hour // DAY * DAY  # bars of the ratio end with its days
        ratio = answers[int(np.searchsorted(at, end_of_day, side="right")) - 1] / 10**18
        assert steth.value[700] == pytest.approx(ratio * ether.value[bar], rel=1e-15)

    def test_raw_integers_read_with_other_decimals_are_caught_by_their_power(
        self, shared: Path, tmp_path: Path
    ) -> None:
        snapshot = build_snapshot(self.settings(shared, tmp_path, decimals=8), root=tmp_path)
        verdict, why = snapshot.verdict("stETH")
        assert verdict == Verdict.BAD
        assert "as if decimals were off by 10^10" in why

    def test_a_ratio_read_as_dollars_lacks_its_factor(self, shared: Path, tmp_path: Path) -> None:
        snapshot = build_snapshot(self.settings(shared, tmp_path, quote="USD"), root=tmp_path)
        verdict, why = snapshot.verdict("stETH")
        assert verdict == Verdict.BAD
        assert "as if the factor ETH/USD" in why
        assert "were missing" in why

    def test_frozen_rounds_are_bad_by_the_heartbeat(self, shared: Path, tmp_path: Path) -> None:
        """The feed's last update is real; nothing after it is what a frozen aggregator gives."""
        frozen = self.settings(shared, tmp_path, cut="2024-01-19")
        snapshot = build_snapshot(frozen, root=tmp_path, as_of=parse_instant("2024-01-19T05:00"))
        [found] = said(snapshot, "stale", Verdict.BAD)
        assert found.startswith("ETH/USD@files:eth.csv: the last update was 2024-01-18 23")
        assert "the heartbeat is 3600 s" in found
        live = build_snapshot(self.settings(shared, tmp_path), root=tmp_path, as_of=parse_instant("2024-01-19T05:00"))
        assert not said(live, "stale", Verdict.BAD)

    def test_rounds_that_repeat_an_answer_through_a_move_are_named(self, shared: Path, tmp_path: Path) -> None:
        """Constructed: from one day on the real feed repeats its answer, while two copies of it live on."""
        at, answers = rounds(shared, ETH_USD, "2023-11-01", "2024-01-20")
        stuck = parse_instant("2024-01-10")
        held = next(answer for when, answer in zip(at, answers, strict=True) if when >= stuck)
        write(tmp_path, "stuck.csv", at, [held if when >= stuck else a for when, a in zip(at, answers, strict=True)])
        for name, shift in (("a.csv", 1.0002), ("b.csv", 0.9998)):
            write(tmp_path, name, at, [round(answer * shift) for answer in answers])
        feed = {"asset": "ETH", "decimals": 8, "interval": "1h", "heartbeat": "1h"}
        feeds = [{**feed, "path": name} for name in ("stuck.csv", "a.csv", "b.csv")]
        snapshot = build_snapshot(settings({"ETH": {}}, feeds), root=tmp_path)
        found = said(snapshot, "clamped", Verdict.SUSPECT) + said(snapshot, "clamped", Verdict.BAD)
        assert any("files:stuck.csv stands still" in one or "files:stuck.csv is held" in one for one in found)
        last = int(np.searchsorted(at, snapshot.close("ETH").observed_at[-1], side="right")) - 1
        assert snapshot.last_price("ETH") == pytest.approx(answers[last] / 10**8, rel=3e-4)


class TestSlowFeed:
    """Real rounds of stETH/ETH, which beats once a day, as bars of an hour: not bad, and bad once it is cut off."""

    @pytest.mark.data
    def test_it_is_not_frozen_between_its_beats(self, shared: Path, tmp_path: Path) -> None:
        at, answers = rounds(shared, "0x86392dC19c0b719886221c78AB11eb8Cf5c52812", "2020-01-01", "2030-01-01")
        hours = np.arange(-(-at[0] // HOUR) * HOUR, at[-1], HOUR)
        value = np.array(answers)[np.searchsorted(at, hours, side="right") - 1] / 1e18
        asset = {"STETH": {}}
        for days, verdict in ((0, Verdict.SUSPECT), (4, Verdict.BAD)):
            longer = np.append(hours, hours[-1] + HOUR * np.arange(1, 24 * days + 1))
            write(tmp_path, "s.csv", longer, np.append(value, np.full(24 * days, value[-1])))
            snapshot = build_snapshot(
                settings(asset, [{"asset": "STETH", "path": "s.csv", "interval": "1h"}]), root=tmp_path
            )
            [found] = said(snapshot, "frozen", verdict)
            beat = int(found.partition("heartbeat ")[2].partition(" ")[0])
            assert 86_400 <= beat <= 86_400 + HOUR


class TestClampedOracle:
    """Venus and Blizz, 2022-05-12: the LUNA oracle stood at its floor of .107 while the market went to .01."""

    @pytest.mark.data
    def test_real_closes_against_an_oracle_with_the_floor(self, shared: Path, tmp_path: Path) -> None:
        """The market's closes are real, the oracle is built from them and the floor of .107."""
        with gzip.open(shared / "data/daily_luna_2022/LUNAUSDT.csv.gz", "rt") as source:
            rows = [(int(r["open_time"]) // 1000 + DAY, float(r["close"])) for r in csv.DictReader(source)]
        rows = [(at, close) for at, close in rows if at <= parse_instant("2022-05-14")]
        write(tmp_path, "market.csv", *zip(*rows, strict=True))
        write(tmp_path, "oracle.csv", *zip(*[(at, max(close, 0.107)) for at, close in rows], strict=True))
        feeds = [{"asset": "LUNA", "path": name} for name in ("market.csv", "oracle.csv")]
        snapshot = build_snapshot(settings({"LUNA": {}}, feeds), root=tmp_path)
        verdict, why = snapshot.verdict("LUNA")
        assert verdict == Verdict.BAD
        assert "files:market.csv 5e-05, files:oracle.csv 0.107" in why
        before = build_snapshot(settings({"LUNA": {}}, feeds), root=tmp_path, as_of=parse_instant("2022-05-12"))
        assert before.verdict("LUNA")[0] != Verdict.BAD
        assert before.last_price("LUNA") == pytest.approx(1.0769)

    def test_hour_by_hour_the_floor_is_named(self, tmp_path: Path) -> None:
        """Constructed: a fall from 30 to .0001 in three days, as reported."""
        at = parse_instant("2022-05-01") + HOUR * np.arange(24 * 13)
        calm = 75 * walk(24 * 9, 0.01)
        market = np.concatenate((calm, np.geomspace(calm[-1], 1e-4, 24 * 4)))
        write(tmp_path, "market.csv", at, market)
        write(tmp_path, "pool.csv", at, market * walk(len(at), 1e-4, 5))
        write(tmp_path, "oracle.csv", at, np.maximum(market, 0.107))
        feeds = [{"asset": "LUNA", "path": f"{n}.csv", "interval": "1h"} for n in ("market", "pool", "oracle")]
        snapshot = build_snapshot(settings({"LUNA": {}}, feeds), root=tmp_path)
        [found] = said(snapshot, "clamped", Verdict.BAD)
        assert "files:oracle.csv is held at its floor of 0.107 while the others moved to 9.99" in found
        assert snapshot.last_price("LUNA") == pytest.approx(1e-4, rel=0.01), "the aggregate follows the market"


class TestOneVenue:
    def test_dai_at_130_on_one_venue(self, tmp_path: Path) -> None:
        """Constructed after 2020-11-26: DAI at 1.30 for about an hour on the one venue that an oracle read."""
        at = parse_instant("2020-11-20") + MINUTE * np.arange(7 * 24 * 60)
        close = np.round(walk(len(at), 1e-5), 6)
        spike = close.copy()
        start = 6 * 24 * 60 + 480
        spike[start : start + 60] = 1 + 0.3 * np.sin(np.linspace(0.2, np.pi - 0.2, 60))
        write(tmp_path, "coinbase.csv", at, spike)
        write(tmp_path, "kraken.csv", at, close * 1.001)
        write(tmp_path, "pool.csv", at, close * 0.999)
        feeds = [{"asset": "DAI", "path": f"{n}.csv", "interval": "1m"} for n in ("coinbase", "kraken", "pool")]
        dai = {"DAI": {"asset_class": "stable", "peg": "USD", "backing": "crypto"}}
        snapshot = build_snapshot(settings(dai, feeds), root=tmp_path)
        assert np.abs(snapshot.close("DAI").value - 1).max() < 0.01
        [found] = said(snapshot, "outvoted", Verdict.SUSPECT)
        assert "files:coinbase.csv has 1.2" in found
        assert "2020-11-26 08" in found
        assert snapshot.verdict("DAI") == (Verdict.GOOD, "")

    @pytest.mark.data
    def test_usde_at_065_on_one_venue(self, shared: Path, tmp_path: Path) -> None:
        """Real: Binance's minutes and the Uniswap pool's blocks through 2025-10-10."""
        import duckdb

        folder = shared / "data/usde_oct2025"
        minutes = duckdb.sql(
            f"SELECT epoch(__index_level_0__)::BIGINT + 60, close FROM '{folder}/usde_minute_binance.parquet' "
            "WHERE __index_level_0__ > '2025-10-06' AND __index_level_0__ < '2025-10-11 01:59' ORDER BY 1"
        ).fetchall()
        blocks = duckdb.sql(
            f"SELECT timestamp, token1Price::DOUBLE FROM '{folder}/uniswap_usde.parquet' ORDER BY 1"
        ).fetchall()
        write(tmp_path, "binance.csv", *zip(*minutes, strict=True))
        write(tmp_path, "pool.csv", *zip(*blocks, strict=True))
        usde = {"USDe": {"asset_class": "stable", "peg": "USD", "backing": "crypto"}}
        feed = {"asset": "USDe", "interval": "1m"}
        feeds = [{**feed, "path": "binance.csv"}, {**feed, "path": "pool.csv", "heartbeat": "1h"}]
        snapshot = build_snapshot(settings(usde, feeds), root=tmp_path)
        close = snapshot.close("USDe")
        assert close.value.min() > 0.97, "the aggregate stays near one"
        assert min(value for _, value in minutes) < 0.7
        [found] = said(snapshot, "outvoted", Verdict.SUSPECT)
        assert found.startswith("USDe/USD@files:binance.csv: files:binance.csv has 0.6")
        assert "2025-10-10 21:" in found
        verdict, why = snapshot.verdict("USDe")
        assert verdict == Verdict.SUSPECT, why
        assert "no majority" in why
        during = parse_instant(datetime.fromtimestamp(parse_instant("2025-10-10") + 78_900, tz=UTC).isoformat())
        assert build_snapshot(settings(usde, feeds), root=tmp_path, as_of=during).verdict("USDe")[0] == Verdict.BAD
