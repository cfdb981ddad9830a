from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oracle_adapters import registry, sample
from oracle_adapters.exchange.depth import depth_rows
from oracle_adapters.feed import Feed, FeedSpec, Kind, MemoryFeed, collect
from oracle_adapters.fetching import fetch_one
from oracle_adapters.files import PriceFile
from oracle_adapters.snapshot import build_snapshot
from oracle_adapters.store import Store
from risk.artifact import Artifact, Table
from risk.errors import DataError, InputError, SettingsError, UnitError
from risk.feed_settings import FileFeed
from risk.market import Impact, MarketSnapshot, Origin, Verdict
from risk.settings import Settings, read_settings
from risk.units import DAY, parse_instant

PARAMETERS = '[aave-core.reserve.ETH]\nliquidation_threshold = "83.00%"\n'
AT = parse_instant("2024-01-20")


def prices(*, seed: int, n: int = 40, first: str = "2024-01-01") -> str:
    values = 100 * np.exp(np.cumsum(0.03 * np.random.default_rng(seed).standard_normal(n)))
    return "time,close\n" + "".join(f"{np.datetime64(first) + i},{v:.6f}\n" for i, v in enumerate(values))


def settings(*names: str, **parts: Any) -> Settings:
    """Assets by name, each from the CSV file of its name."""
    document = tomllib.loads(sample.settings_text())
    document["assets"] = {name: {"asset_class": "large_cap", "reserve": "aave-core"} for name in names}
    document["feeds"] = [{"kind": "files", "asset": name, "path": f"{name}.csv"} for name in names]
    document["oracles"] = {}
    return Settings.model_validate({**document, **parts})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, name in enumerate(("BTC", "ETH")):
        (tmp_path / f"{name}.csv").write_text(prices(seed=seed))
    return tmp_path


@pytest.fixture(scope="module")
def snapshot() -> MarketSnapshot:
    return build_snapshot(read_settings(sample.settings_text()), root=Path())


def bad(snapshot: MarketSnapshot) -> set[tuple[str, str]]:
    return {(row["series"], row["check"]) for row in snapshot.quality.rows() if row["verdict"] == "bad"}


class TestSample:
    def test_it_is_complete_and_in_order(self, snapshot: MarketSnapshot) -> None:
        assert snapshot.as_of == parse_instant("2026-01-01")
        assert snapshot.assets == sample.assets()
        assert {one.field for one in snapshot.series} == {"open", "high", "low", "close", "volume"}
        assert {curve.origin for curve in snapshot.depth.values()} == {Origin.DECLARED}
        assert len(snapshot.book.accounts) > 250
        assert set(snapshot.changed_at) == set(snapshot.in_force.values)
        assert set(snapshot.oracle) == set(snapshot.assets)
        assert snapshot.bounds["supply_cap"].relative
        assert not bad(snapshot)

    def test_it_survives_its_files(self, snapshot: MarketSnapshot) -> None:
        artifact = snapshot.artifact()
        again = Artifact.from_files(artifact.to_files(), schema=artifact.schema)
        assert MarketSnapshot.from_artifact(again).artifact().content_hash == artifact.content_hash

    def test_an_earlier_date_sees_the_same_past_and_nothing_later(self, snapshot: MarketSnapshot) -> None:
        at = parse_instant("2024-06-01")
        earlier = build_snapshot(read_settings(sample.settings_text()), root=Path(), as_of=at)
        assert earlier.as_of == at
        for mine, whole in zip(earlier.series, snapshot.series, strict=True):
            assert mine.known_at[-1] == at
            assert mine.value.tolist() == whole.as_of(at).value.tolist()
        assert earlier.changed_at == {}
        assert "parameters" in set(earlier.quality["series"].tolist()), "what was in force then is not known"
        assert earlier.book.accounts == snapshot.book.accounts

    def test_removing_an_asset_leaves_the_others_as_they_are(self, snapshot: MarketSnapshot) -> None:
        document = tomllib.loads(sample.settings_text())
        for part in ("assets", "oracles"):
            del document[part]["CRV"]
        fewer = build_snapshot(Settings.model_validate(document), root=Path())
        assert fewer.assets == tuple(name for name in snapshot.assets if name != "CRV")
        for one in fewer.series:
            assert one.value.tolist() == snapshot.field_of(one.base, one.field).value.tolist()
        assert "CRV/USD" not in fewer.depth
        assert set(fewer.book.accounts) < set(snapshot.book.accounts)


class TestStore:
    """Prices that come from afar: here those of the files, behind an opener of another kind of feed."""

    @pytest.fixture
    def far(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
        def opener(feed: FileFeed, _: Settings, root: Path) -> list[Feed]:
            near = PriceFile(feed, root)
            return [MemoryFeed(near.spec, collect(near).rows)]

        monkeypatch.setattr(registry, "OPENERS", {FileFeed: opener})
        return settings("BTC", "ETH", store="kept")

    def fetch(self, chosen: Settings, folder: Path) -> None:
        for feed in registry.open_feeds(chosen, folder):
            assert fetch_one(Store(folder / "kept"), feed).status == "good"

    def test_it_gives_what_the_sources_gave(self, far: Settings, folder: Path) -> None:
        direct = build_snapshot(far.model_copy(update={"store": None}), root=folder)
        self.fetch(far, folder)
        assert build_snapshot(far, root=folder).artifact().content_hash == direct.artifact().content_hash
        other = build_snapshot(far.model_copy(update={"store": None}), root=folder, store=folder / "kept")
        assert other.artifact().content_hash == direct.artifact().content_hash

    def test_a_later_fetch_changes_no_earlier_snapshot(self, far: Settings, folder: Path) -> None:
        (folder / "ETH.csv").write_text(prices(seed=1, n=30))
        self.fetch(far, folder)
        before = build_snapshot(far, root=folder, as_of=AT).artifact().content_hash
        (folder / "ETH.csv").write_text(prices(seed=1))
        self.fetch(far, folder)
        assert build_snapshot(far, root=folder, as_of=AT).artifact().content_hash == before

    def test_no_source_is_asked(self, far: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fetch(far, folder)
        monkeypatch.setattr(MemoryFeed, "fetch", lambda *_: pytest.fail("a source was asked"))
        assert len(build_snapshot(far, root=folder).close("ETH")) == 40

    def test_what_was_never_fetched_is_said(self, far: Settings, folder: Path) -> None:
        with pytest.raises(DataError, match=r"BTC/USD@files:BTC\.csv: the store does not hold the feed.*riskcal fetch"):
            build_snapshot(far, root=folder)

    def test_a_damaged_store_is_refused(self, far: Settings, folder: Path) -> None:
        self.fetch(far, folder)
        part = next((folder / "kept").rglob("*.parquet"))
        data = bytearray(part.read_bytes())
        data[len(data) // 3] ^= 1
        part.write_bytes(data)
        with pytest.raises(DataError, match="a part of the store is damaged"):
            build_snapshot(far, root=folder)

    def test_files_are_read_in_their_place(self, folder: Path) -> None:
        direct = build_snapshot(settings("BTC", "ETH"), root=folder)
        kept = build_snapshot(settings("BTC", "ETH", store="kept"), root=folder)
        assert kept.artifact().content_hash == direct.artifact().content_hash
        assert not (folder / "kept").exists()


class TestAsOf:
    def test_it_defaults_to_the_last_known_datum_of_all_series(self, folder: Path) -> None:
        (folder / "ETH.csv").write_text(prices(seed=1, n=30))
        assert build_snapshot(settings("BTC", "ETH"), root=folder).as_of == parse_instant("2024-02-10")

    def test_the_settings_may_name_it_and_the_caller_overrides(self, folder: Path) -> None:
        chosen = settings("BTC", "ETH", as_of="2024-01-15")
        assert build_snapshot(chosen, root=folder).as_of == parse_instant("2024-01-15")
        assert build_snapshot(chosen, root=folder, as_of=AT).as_of == AT

    def test_a_bar_is_known_at_its_end(self, folder: Path) -> None:
        last = [
            build_snapshot(settings("BTC"), root=folder, as_of=AT + s).close("BTC").observed_at[-1] for s in (-1, 0)
        ]
        assert last == [AT - DAY, AT]

    @pytest.mark.parametrize("garbage", ["-1", "text", "", "1e9"])
    def test_corrupting_every_later_row_changes_nothing(self, folder: Path, garbage: str) -> None:
        before = build_snapshot(settings("BTC", "ETH"), root=folder, as_of=AT).artifact().content_hash
        for name in ("BTC", "ETH"):
            lines = (folder / f"{name}.csv").read_text().splitlines()
            kept = [
                line if line < "2024-01-20" or line.startswith("time") else f"{line[:10]},{garbage}" for line in lines
            ]
            assert kept != lines
            (folder / f"{name}.csv").write_text("\n".join(kept) + "\n2024-01-21,5\n2024-01-21,6\n")
        assert build_snapshot(settings("BTC", "ETH"), root=folder, as_of=AT).artifact().content_hash == before

    def test_an_asset_that_is_not_born_yet_is_left_out_and_counted(self, folder: Path) -> None:
        (folder / "ETH.csv").write_text(prices(seed=1, first="2024-02-01"))
        snapshot = build_snapshot(settings("BTC", "ETH"), root=folder, as_of=AT)
        assert snapshot.assets == ("BTC",)
        assert bad(snapshot) == {("ETH/USD@files:ETH.csv", "coverage")}

    def test_a_dead_asset_stays_and_is_stale(self, folder: Path) -> None:
        (folder / "ETH.csv").write_text(prices(seed=1, n=10))
        snapshot = build_snapshot(settings("BTC", "ETH"), root=folder)
        assert snapshot.assets == ("BTC", "ETH")
        verdict, why = snapshot.verdict("ETH")
        assert verdict == Verdict.BAD
        assert why == "stale: the last bar ended 2024-01-11"
        assert snapshot.verdict("BTC") == (Verdict.GOOD, "")

    def test_before_everything_there_is_nothing(self, folder: Path) -> None:
        with pytest.raises(DataError, match="nothing was known"):
            build_snapshot(settings("BTC"), root=folder, as_of=parse_instant("2023-01-01"))

    @pytest.mark.parametrize("text", ["yesterday", "2024-02-30", "1706000000000"])
    def test_a_date_that_is_none_is_refused(self, folder: Path, text: str) -> None:
        with pytest.raises(UnitError, match="not an instant"):
            build_snapshot(settings("BTC", as_of=text), root=folder)


class TestFiles:
    def test_what_the_settings_name_is_read(self, folder: Path) -> None:
        (folder / "p.toml").write_text(PARAMETERS)
        (folder / "c.csv").write_text("key,changed_at\naave-core/reserve/ETH/liquidation_threshold,2024-01-05\n")
        (folder / "d.csv").write_text("pair,kind,origin,size_usd,impact\nETH/USD,average,measured,1e6,0.05\n")
        (folder / "b.csv").write_text("account,asset,collateral,debt\na,ETH,10,0\na,BTC,0,1\nb,DOGE,5,0\n")
        chosen = settings("BTC", "ETH", parameters="p.toml", changed_at="c.csv", depth="d.csv", positions="b.csv")
        snapshot = build_snapshot(chosen, root=folder)
        key = next(iter(snapshot.in_force.values))
        assert str(snapshot.in_force.values[key]) == "83.00%"
        assert snapshot.changed_at == {key: parse_instant("2024-01-05")}
        assert snapshot.depth["ETH/USD"].origin == Origin.MEASURED
        assert snapshot.book.accounts == ("a",)
        found = [row for row in snapshot.quality.rows() if row["series"] == "positions"]
        assert [(row["verdict"], row["count"]) for row in found] == [("suspect", 1)]

    def test_without_them_there_is_no_book_no_depth_and_nothing_in_force(self, folder: Path) -> None:
        snapshot = build_snapshot(settings("BTC", "ETH"), root=folder)
        assert (snapshot.book, dict(snapshot.depth), len(snapshot.in_force)) == (None, {}, 0)

    @pytest.mark.parametrize("part", ["parameters", "changed_at", "depth", "positions"])
    def test_a_file_that_is_not_there_is_named(self, folder: Path, part: str) -> None:
        with pytest.raises(DataError, match=r"nowhere\.csv: there is no such file"):
            build_snapshot(settings("BTC", **{part: "nowhere.csv"}), root=folder)

    def test_parameters_that_are_no_toml_are_named(self, folder: Path) -> None:
        (folder / "p.toml").write_bytes(b"\xff = 1")
        with pytest.raises(InputError, match=r"p\.toml: not TOML"):
            build_snapshot(settings("BTC", parameters="p.toml"), root=folder)

    def test_depth_of_an_unknown_asset_is_counted(self, folder: Path) -> None:
        (folder / "d.csv").write_text("pair,kind,origin,size_usd,impact\nWETH/USD,average,measured,1e6,0.05\n")
        snapshot = build_snapshot(settings("BTC", depth="d.csv"), root=folder)
        assert dict(snapshot.depth) == {}
        assert "WETH/USD" in snapshot.quality.where(series="depth")["detail"][0]


class TestSettings:
    def test_an_asset_without_a_feed(self, folder: Path) -> None:
        feeds = [{"kind": "files", "asset": "BTC", "path": "BTC.csv"}]
        with pytest.raises(SettingsError, match=r"assets\.ETH: the asset has no feed"):
            build_snapshot(settings("BTC", "ETH", feeds=feeds), root=folder)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"asset": "DOGE"}, r"feeds\.0\.asset: no such asset"),
            ({"quote": "EUR"}, r"no path gives BTC/USD; the feeds are BTC/EUR"),
        ],
    )
    def test_a_feed_that_fits_nothing(self, folder: Path, change: dict[str, str], said: str) -> None:
        feeds = [{"kind": "files", "asset": "BTC", "path": "BTC.csv", **change}]
        with pytest.raises(ValueError, match=said):
            build_snapshot(settings("BTC", feeds=feeds), root=folder)

    def test_the_order_of_feeds_does_not_matter(self, folder: Path) -> None:
        feeds = [{"kind": "files", "asset": name, "path": f"{name}.csv"} for name in ("BTC", "ETH")]
        hashes = {
            build_snapshot(settings("BTC", "ETH", feeds=chosen), root=folder).artifact().content_hash
            for chosen in (feeds, feeds[::-1])
        }
        assert len(hashes) == 1


BOOK = {
    "kind": "exchange", "asset": "BTC", "exchange": "binance", "symbol": "BTC/USDT", "data": "order_book",
    "base_url": "http://127.0.0.1:9",
}  # fmt: skip
TWO_DAYS = {"maximum_depth_age": "2d"}


def book_rows(at: int, bid: float) -> Table:
    """A bid of three and an ask of one, around a middle of 100."""
    return depth_rows([[bid, 3]], [[200 - bid, 1]], at, "test")[0]


class TestBooks:
    """Books of venues beside prices; of their past only the store knows."""

    def test_depth_is_what_the_store_holds_of_all_venues(self, folder: Path) -> None:
        """Two venues' books become one measured curve, in place of the declared one; nothing later counts."""
        bars = [{"kind": "files", "asset": name, "path": f"{name}.csv"} for name in ("BTC", "USDT", "ETH")]
        (folder / "USDT.csv").write_text("time,close\n" + "".join(f"2024-01-{d:02d},0.5\n" for d in range(1, 31)))
        (folder / "depth.csv").write_text(
            "pair,kind,origin,size_usd,impact\nBTC/USDT,average,declared,1000,0.01\nETH/USDT,average,declared,1000,0.01\n"
        )
        feeds = [*bars, BOOK, BOOK | {"exchange": "kraken"}]
        chosen = settings("BTC", "USDT", "ETH", feeds=feeds, depth="depth.csv", store="kept", aggregation=TWO_DAYS)
        store, old = Store(folder / "kept"), AT - 3 * DAY
        first, second = (FeedSpec(Kind.DEPTH, "BTC", "USDT", f"exchange:{name}:BTC/USDT:order_book", 60)
                         for name in ("binance", "kraken"))  # fmt: skip
        store.append(first, book_rows(old, 90.0))
        store.append(first, book_rows(AT - 60, 99.0))
        store.append(second, book_rows(AT - 60, 99.0))
        found = build_snapshot(chosen, root=folder, as_of=AT)
        curve = found.depth["BTC/USDT"]
        assert (curve.origin, curve.kind) == (Origin.MEASURED, Impact.MARGINAL)
        # Two bids of 3 BTC each at a middle of 100 in tether of half a dollar.
        assert curve.size_usd[-1] == pytest.approx(2 * 3 * 100 * 0.5, rel=1e-9)
        assert curve.impact[-1] == pytest.approx(0.01, rel=1e-9)
        assert found.depth["ETH/USDT"].origin is Origin.DECLARED
        assert set(found.depth) == {"BTC/USDT", "USDT/BTC", "ETH/USDT"}
        said = {(row["series"], row["check"]): row["count"] for row in found.quality.rows()}
        assert said["depth", "declared"] == said[first.id, "depth"] == 1

        store.append(first, book_rows(AT + 60, 99.5))
        assert build_snapshot(chosen, root=folder, as_of=AT).artifact().content_hash == found.artifact().content_hash
        earlier = build_snapshot(chosen, root=folder, as_of=AT - 61)
        assert earlier.depth["BTC/USDT"].origin is Origin.DECLARED
        told = {(row["series"], row["check"]): row["count"] for row in earlier.quality.rows()}
        assert told[first.id, "depth_old"] == told[second.id, "depth_absent"] == 1

    def test_a_book_is_no_price_of_its_asset(self, folder: Path) -> None:
        with pytest.raises(SettingsError, match="the asset has no feed"):
            build_snapshot(settings("BTC", feeds=[BOOK]), root=folder, as_of=AT)

    def test_a_price_in_tether_is_not_in_dollars(self, folder: Path) -> None:
        bars = BOOK | {"data": "ohlcv", "start": "2024-01-01"}
        with pytest.raises(ValueError, match="no feed and no path gives BTC/USD; the feeds are BTC/USDT"):
            settings("BTC", feeds=[bars])


class TestSources:
    """Several feeds of one asset, and a composite, through the whole snapshot."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for seed, name in enumerate(("BTC", "ETH")):
            text = prices(seed=seed)
            (tmp_path / f"{name}.csv").write_text(text)
            (tmp_path / f"{name}2.csv").write_text(text)
        (tmp_path / "rate.csv").write_text(
            "time,close\n" + "".join(f"{np.datetime64('2024-01-01') + i},{1 + i / 1000}\n" for i in range(40))
        )
        return tmp_path

    def settings(self, **parts: Any) -> Settings:
        feeds = [
            {"kind": "files", "asset": name, "path": f"{name}{number}.csv"}
            for name in ("BTC", "ETH")
            for number in ("", "2")
        ]
        feeds.append({"kind": "files", "asset": "rETH", "quote": "ETH", "path": "rate.csv"})
        return settings("BTC", "ETH", "rETH", feeds=feeds, **parts)

    def test_the_aggregate_is_the_price_and_its_sources_are_listed(self, folder: Path) -> None:
        snapshot = build_snapshot(self.settings(), root=folder)
        assert snapshot.assets == ("BTC", "ETH", "rETH")
        assert [one.id for one in snapshot.series] == [
            "BTC/USD@median(files:BTC.csv, files:BTC2.csv)",
            "ETH/USD@median(files:ETH.csv, files:ETH2.csv)",
            "rETH/USD@composite(rETH/ETH × ETH/USD)",
        ]
        assert {one.id for one in snapshot.sources} == {
            "BTC/USD@files:BTC.csv", "BTC/USD@files:BTC2.csv", "ETH/USD@files:ETH.csv", "ETH/USD@files:ETH2.csv",
            "rETH/ETH@files:rate.csv",
        }  # fmt: skip
        ether = snapshot.close("ETH")
        np.testing.assert_allclose(snapshot.close("rETH").value / ether.value, 1 + np.arange(40) / 1000, rtol=1e-15)
        named = set(snapshot.quality["series"].tolist())
        assert named == {one.id for one in (*snapshot.series, *snapshot.sources)}

    def test_it_survives_its_files(self, folder: Path) -> None:
        artifact = build_snapshot(self.settings(), root=folder).artifact()
        again = MarketSnapshot.from_artifact(Artifact.from_files(artifact.to_files(), schema=artifact.schema))
        assert again.artifact().content_hash == artifact.content_hash
        assert len(again.sources) == 5

    @pytest.mark.parametrize("garbage", ["-1", "text", "1e9"])
    def test_corrupting_every_later_row_changes_nothing(self, folder: Path, garbage: str) -> None:
        before = build_snapshot(self.settings(), root=folder, as_of=AT).artifact().content_hash
        for path in folder.glob("*.csv"):
            lines = path.read_text().splitlines()
            kept = [one if one < "2024-01-20" or one.startswith("time") else f"{one[:10]},{garbage}" for one in lines]
            assert kept != lines
            path.write_text("\n".join(kept) + "\n")
        assert build_snapshot(self.settings(), root=folder, as_of=AT).artifact().content_hash == before

    def test_a_store_changes_nothing(self, folder: Path) -> None:
        plain = build_snapshot(self.settings(), root=folder).artifact().content_hash
        stored = build_snapshot(self.settings(), root=folder, store=folder / "store").artifact().content_hash
        assert stored == plain

    def test_a_factor_that_is_not_born_yet_leaves_its_composite_out(self, folder: Path) -> None:
        (folder / "rate.csv").write_text("time,close\n2024-02-01,1.1\n2024-02-02,1.1\n")
        snapshot = build_snapshot(self.settings(), root=folder, as_of=AT)
        assert snapshot.assets == ("BTC", "ETH")
        assert bad(snapshot) == {
            ("rETH/ETH@files:rate.csv", "coverage"), ("rETH/USD@composite(rETH/ETH × ETH/USD)", "coverage")
        }  # fmt: skip

    def test_a_source_that_fell_silent_is_told_and_its_asset_lives_on(self, folder: Path) -> None:
        (folder / "ETH2.csv").write_text(prices(seed=1, n=5))
        verdict, why = build_snapshot(self.settings(), root=folder).verdict("ETH")
        assert verdict == Verdict.SUSPECT
        assert why == "sources: files:ETH.csv alone carries the price since 2024-01-06"

    def test_a_feed_that_no_price_needs(self, folder: Path) -> None:
        feeds = [{"kind": "files", "asset": "BTC", "path": "BTC.csv"}]
        feeds.append({"kind": "files", "asset": "BTC", "quote": "ETH", "path": "ETH.csv"})
        with pytest.raises(SettingsError, match=r"feeds\.1\.quote: no price in USD needs BTC/ETH"):
            build_snapshot(settings("BTC", feeds=feeds), root=folder)

    def test_more_sources_may_be_asked_for(self, folder: Path) -> None:
        chosen = settings("BTC", aggregation={"minimum_sources": 2})
        assert build_snapshot(chosen, root=folder).verdict("BTC") == (
            Verdict.SUSPECT, "sources: only files:BTC.csv: nothing confirms its prices"
        )  # fmt: skip
