"""Feeds and checks on real files: the traps they hold, and how often a check is right."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oracle_adapters.aggregate import Source, aggregate
from oracle_adapters.feed import Chunk, collect, price_series
from oracle_adapters.files import PriceFile
from oracle_adapters.quality import assess, spikes
from oracle_adapters.snapshot import build_snapshot
from risk.feed_settings import FileFeed
from risk.market import MarketSnapshot, PriceSeries, Verdict
from risk.settings import Settings, read_settings
from risk.units import DAY, parse_instant
from tests.oracle_adapters.contract import check_feed

pytestmark = pytest.mark.data

KLINES = {"time": "open_time", **{name: name for name in ("open", "high", "low", "close", "volume")}}
CLOSES = {"time": "date", "close": "close"}
STABLECOINS = {"USDC", "USDCUSDT", "USDT", "USDD", "DAI", "TUSD"}


def feed(shared: Path, path: str, columns: dict[str, str], **settings: Any) -> PriceFile:
    document = {"kind": "files", "asset": "X", "path": path, "columns": columns, **settings}
    return PriceFile(FileFeed.model_validate(document), shared / "data")


def close_of(source: PriceFile) -> tuple[PriceSeries, Chunk]:
    chunk = collect(source)
    return next(one for one in price_series(source.spec, chunk.rows) if one.field == "close"), chunk


@pytest.fixture(scope="module")
def daily(shared: Path) -> dict[str, PriceSeries]:
    """Closes of every daily file by folder and name."""
    found = {}
    for folder, columns, zone in (
        ("daily_binance_spot", KLINES, "UTC"),
        ("daily_luna_2022", KLINES, "UTC"),
        ("daily_multi_129", CLOSES, "Europe/Berlin"),
    ):  # fmt: skip
        for path in sorted((shared / "data" / folder).glob("*.csv.gz")):
            source = feed(shared, f"{folder}/{path.name}", columns, timezone=zone)
            found[f"{folder}/{path.name.removesuffix('.csv.gz')}"] = close_of(source)[0]
    return found


@pytest.fixture(scope="module")
def hourly(shared: Path) -> dict[str, PriceSeries]:
    """Closes of every hourly file by folder and name."""
    found = {}
    for folder, time, close in (
        ("hourly_binance_2020_2024", "Date", "Close"),
        ("hourly_btc_eth_2022_2025", "timestamp", "close"),
        ("binance_um_1h_2026", "timestamp", "close"),
    ):
        for path in sorted((shared / "data" / folder).glob("*.csv.gz")):
            source = feed(shared, f"{folder}/{path.name}", {"time": time, "close": close}, interval="1h")
            found[f"{folder}/{path.name.removesuffix('.csv.gz')}"] = close_of(source)[0]
    return found


def on(series: PriceSeries, end: str) -> int:
    """Number of the bar that ends on a UTC date."""
    return int(np.flatnonzero(series.observed_at // DAY == parse_instant(end) // DAY)[0])


@pytest.mark.parametrize(
    ("path", "columns", "settings"),
    [
        ("daily_binance_spot/AAVEUSDT.csv.gz", KLINES, {}),
        ("daily_luna_2022/LUNAUSDT.csv.gz", KLINES, {"time_unit": "ms", "stop": "2022-05-14"}),
        ("daily_multi_129/FTT.csv.gz", CLOSES, {"timezone": "Europe/Berlin"}),
        ("usde_oct2025/usde_minute_binance.parquet", None, {"interval": "1m"}),
    ],
)
def test_real_files_keep_the_contract(shared: Path, path: str, columns: Any, settings: dict[str, Any]) -> None:
    if columns is None:
        import duckdb

        described = duckdb.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(shared / "data" / path)]).fetchall()
        time = next(name for name, kind, *_ in described if "TIMESTAMP" in kind)
        columns = {"time": time, "close": "close"}
        source = feed(shared, path, columns, **settings)
        chunk = collect(source, 0, parse_instant("2025-09-10"))
        assert len(chunk.rows) == 719, "minutes from noon on, but the last, which ends at midnight"
        return
    check_feed(feed(shared, path, columns, **settings))


def test_every_daily_file_is_read_whole(daily: dict[str, PriceSeries]) -> None:
    counts = {"daily_binance_spot": 75_084, "daily_luna_2022": 7_631, "daily_multi_129": 20_714}
    for folder, rows in counts.items():
        assert sum(len(one) for name, one in daily.items() if name.startswith(folder)) == rows


def test_known_days_have_their_known_closes(daily: dict[str, PriceSeries]) -> None:
    for name, end, value in (
        ("daily_binance_spot/BTCUSDT", "2020-03-13", 4800.0),
        ("daily_luna_2022/LUNAUSDT", "2022-05-10", 30.29),
        ("daily_multi_129/USDC", "2023-03-11", 0.9562),
    ):
        assert daily[name].value[on(daily[name], end)] == pytest.approx(value, rel=1e-3), name


def test_two_sources_agree_when_the_day_ends_where_the_zone_says(shared: Path) -> None:
    """Closes of the aggregator match the hourly ones of an exchange at midnight in central Europe, not in UTC."""
    columns = {"time": "Date", "close": "Close"}
    hourly, _ = close_of(feed(shared, "hourly_binance_2020_2024/MATICUSDT_1h.csv.gz", columns, interval="1h"))
    exchange = dict(zip(hourly.observed_at.tolist(), hourly.value.tolist(), strict=True))
    error = {}
    for zone in ("UTC", "Europe/London", "Europe/Berlin", "Europe/Athens"):
        one, _ = close_of(feed(shared, "daily_multi_129/MATIC.csv.gz", CLOSES, timezone=zone))
        pairs = zip(one.observed_at.tolist(), one.value.tolist(), strict=True)
        error[zone] = np.median([abs(np.log(value / exchange[at])) for at, value in pairs if at in exchange])
    assert error["Europe/Berlin"] < 0.001
    assert min(value for zone, value in error.items() if zone != "Europe/Berlin") > 0.003


def test_a_repeated_day_and_a_hole_are_seen(shared: Path, tmp_path: Path) -> None:
    dai, chunk = close_of(feed(shared, "daily_multi_129/DAI.csv.gz", CLOSES, timezone="Europe/Berlin"))
    found = {check.check: check for check in assess([dai], chunk.counted, int(dai.observed_at[-1]))}
    assert found["gaps"].verdict == Verdict.BAD
    assert found["gaps"].detail == "longest 805 bars before 2020-04-07 22:00"


def test_real_crashes_are_kept(daily: dict[str, PriceSeries]) -> None:
    for name, ends in {
        "daily_binance_spot/BTCUSDT": ["2020-03-13", "2021-05-20", "2025-10-11"],
        "daily_binance_spot/ETHUSDT": ["2020-03-13", "2021-05-20"],
        "daily_binance_spot/AAVEUSDT": ["2021-05-20", "2025-10-11"],
        "daily_luna_2022/LUNAUSDT": ["2022-05-10", "2022-05-11", "2022-05-12", "2022-05-13", "2022-05-14"],
        "daily_multi_129/FTT": ["2022-11-08", "2022-11-09"],
    }.items():
        marked = spikes(daily[name])
        assert not any(marked[on(daily[name], end)] for end in ends), name


def test_a_depeg_that_heals_in_two_days_reads_like_a_wrong_print(daily: dict[str, PriceSeries]) -> None:
    """Closes of one source cannot tell the two apart: it makes the series suspect, and the bar stays."""
    usdc = daily["daily_multi_129/USDC"]
    bar = on(usdc, "2023-03-11")
    assert spikes(usdc)[bar]
    found = {check.check: check for check in assess([usdc], {}, int(usdc.observed_at[-1]))}
    assert found["spikes"].verdict == Verdict.SUSPECT
    assert usdc.value[bar] == pytest.approx(0.9562, abs=1e-4)


def test_few_real_bars_are_called_spikes(daily: dict[str, PriceSeries], hourly: dict[str, PriceSeries]) -> None:
    """Fewer than one volatile bar in 10,000, daily and hourly; of the fifty worst daily falls two: MKR's is a wrong
    print indeed, LUNA's was made up for on the next day and needs a second source to be told from one.

    The measured rates are .32 and .34 in 10,000: three of 93,671 daily closes and 13 of 387,113 hourly ones.
    """
    volatile = {name: one for name, one in daily.items() if name.split("/")[1] not in STABLECOINS}
    marked = {name: spikes(one) for name, one in volatile.items()}
    assert sum(int(one.sum()) for one in marked.values()) < 1e-4 * sum(len(one) for one in volatile.values())
    assert sum(int(spikes(one).sum()) for one in hourly.values()) < 1e-4 * sum(len(one) for one in hourly.values())
    falls = [(move, name, i + 1) for name, one in volatile.items() for i, move in enumerate(np.diff(np.log(one.value)))]
    called = [(name, bar) for _, name, bar in sorted(falls)[:50] if marked[name][bar]]
    assert called == [
        ("daily_multi_129/MKR", on(daily["daily_multi_129/MKR"], "2018-04-07")),
        ("daily_luna_2022/LUNAUSDT", on(daily["daily_luna_2022/LUNAUSDT"], "2021-05-24")),
    ]


def rate(series: dict[str, PriceSeries], draws: int, size: Callable[[PriceSeries, int], float]) -> tuple[float, int]:
    """Share of one-bar prints, wrong by a log move, that are found; and how many were injected."""
    rng = np.random.default_rng(5)
    hits = []
    for one in (one for name, one in series.items() if len(one) >= 300 and name.split("/")[1] not in STABLECOINS):
        for bar in rng.integers(35, len(one) - 35, draws).tolist():
            near = PriceSeries(
                one.id, one.base, one.quote, one.source, one.field, one.interval,
                one.observed_at[bar - 35 : bar + 36], one.known_at[bar - 35 : bar + 36], one.value[bar - 35 : bar + 36],
            )  # fmt: skip
            value = one.value.copy()
            value[bar] *= np.exp(size(near, 35) * rng.choice([-1, 1]))
            wrong = PriceSeries(
                one.id, one.base, one.quote, one.source, one.field, one.interval, one.observed_at, one.known_at, value
            )
            hits.append(spikes(wrong)[bar])
    return float(np.mean(hits)), len(hits)


def twelve_scales(near: PriceSeries, bar: int) -> float:
    """Twelve robust scales (1.4826 times the median absolute return) of thirty bars either side."""
    moves = np.abs(np.diff(np.log(near.value)))
    return 12 * 1.4826 * float(np.median(np.concatenate((moves[bar - 31 : bar - 1], moves[bar + 1 : bar + 31]))))


@pytest.mark.slow
def test_injected_spikes_of_twelve_local_scales_are_found(
    daily: dict[str, PriceSeries], hourly: dict[str, PriceSeries]
) -> None:
    """A log move of .48 on daily bars and .079 on hourly ones at the median. Measured: 96.7 % and 96.1 %."""
    for series in (daily, hourly):
        found, n = rate(series, 2000 // len(series), twelve_scales)
        assert n > 1000
        assert found >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize(
    ("which", "size", "least"),
    [("hourly", 0.1, 0.85), ("hourly", 0.2, 0.95), ("daily", 0.3, 0.4), ("daily", np.log(2), 0.95),
     ("daily", np.log(10), 0.99)],
)  # fmt: skip
def test_injected_spikes_of_one_size_are_found(
    daily: dict[str, PriceSeries], hourly: dict[str, PriceSeries], which: str, size: float, least: float
) -> None:
    """.3 hides in the daily moves of small coins; a factor of two does not, nor a fifth on an hourly bar."""
    found, _ = rate(daily if which == "daily" else hourly, 10, lambda near, bar: size)
    assert found >= least


VENUES = [
    ("hourly_binance_2020_2024/BTCUSDT_1h", "hourly_btc_eth_2022_2025/BTCUSDT_1h"),
    ("hourly_binance_2020_2024/ETHUSDT_1h", "hourly_btc_eth_2022_2025/ETHUSDT_1h"),
    ("hourly_btc_eth_2022_2025/BTCUSDT_1h", "binance_um_1h_2026/BTCUSDT"),
    ("hourly_btc_eth_2022_2025/ETHUSDT_1h", "binance_um_1h_2026/ETHUSDT"),
]
"""Perpetual and spot of one exchange, which share years."""


@pytest.mark.parametrize("pair", VENUES)
def test_what_a_second_source_confirms_is_no_wrong_print(hourly: dict[str, PriceSeries], pair: tuple[str, str]) -> None:
    """Moves that read like spikes in one source and happened in both, the crash of 2025-10-10 among the bars."""
    made = aggregate([Source((hourly[name],)) for name in pair], 0.05)
    assert not made.contested.any()
    marked = spikes(made.close, made.confirmed)
    assert not (marked & made.confirmed).any()
    assert marked.sum() <= spikes(made.close).sum()
    crash = parse_instant("2025-10-10T22:00")
    if pair[1].startswith("binance_um"):
        bar = int(np.flatnonzero(made.close.observed_at == crash)[0])
        assert made.confirmed[bar]
        assert not marked[bar]


def test_a_move_that_reads_like_a_spike_and_that_both_sources_saw_is_kept(hourly: dict[str, PriceSeries]) -> None:
    made = aggregate([Source((hourly[name],)) for name in VENUES[0]], 0.05)
    bar = int(np.flatnonzero(made.close.observed_at == parse_instant("2023-01-25T22:00"))[0])
    assert spikes(made.close)[bar]
    assert not spikes(made.close, made.confirmed)[bar]


@pytest.mark.parametrize("size", [0.08, 0.2])
@pytest.mark.parametrize("pair", VENUES)
def test_a_wrong_print_on_one_of_two_venues_is_outvoted(
    hourly: dict[str, PriceSeries], pair: tuple[str, str], size: float
) -> None:
    """All are that are wrong by a fifth, with the venue's name, and the price stays within half a per cent.

    Of those wrong by 8 % one in 240 is nearer to the last agreed price than the market's own move of that hour.
    """
    first, second = (hourly[name] for name in pair)
    rng = np.random.default_rng(1)
    where = rng.choice(np.intersect1d(first.observed_at, second.observed_at)[10:-10], 60, replace=False)
    value = first.value.copy()
    value[np.searchsorted(first.observed_at, where)] *= np.exp(size * rng.choice([-1, 1], 60))
    made = aggregate([Source((replace(first, value=value),)), Source((second,))], 0.05)
    right = aggregate([Source((first,)), Source((second,))], 0.05)
    bars = np.searchsorted(made.close.observed_at, where)
    assert made.contested[bars].all(), "of two sources that differ neither has a majority"
    off = np.abs(np.log(made.close.value[bars] / right.close.value[bars])) > 0.005
    assert not off.any() if size >= 0.2 else off.mean() <= 0.05
    assert (made.outvoted[bars, 0] == ~off).all()
    assert (made.outvoted[bars, 1] == off).all()


@pytest.fixture(scope="module")
def settings(repository: Path) -> Settings:
    return read_settings((repository / "tests/real/riskcal.toml").read_text())


@pytest.fixture(scope="module")
def root(repository: Path, shared: Path) -> Path:
    return repository / "tests/real"


class TestRealSettings:
    def snapshot(self, settings: Settings, root: Path, date: str) -> MarketSnapshot:
        return build_snapshot(settings, root=root, as_of=parse_instant(date))

    def test_before_the_fall_all_six_assets_are_alive(self, settings: Settings, root: Path) -> None:
        snapshot = self.snapshot(settings, root, "2022-05-07")
        assert snapshot.assets == ("BTC", "ETH", "FTT", "LINK", "LUNA", "USDC")
        assert all(snapshot.verdict(asset)[0] != Verdict.BAD for asset in snapshot.assets)
        assert snapshot.last_price("LUNA") == pytest.approx(77.3, rel=0.01)

    def test_a_name_that_means_another_asset_later_is_cut(self, settings: Settings, root: Path) -> None:
        snapshot = self.snapshot(settings, root, "2022-09-30")
        assert snapshot.close("LUNA").observed_at[-1] == parse_instant("2022-05-14")
        cut = snapshot.quality.where(series="LUNA/USD@files:LUNAUSDT.csv.gz", check="cut")
        assert cut["count"][0] > 100
        assert snapshot.verdict("LUNA")[0] == Verdict.BAD

    def test_civil_days_cost_no_return(self, settings: Settings, root: Path) -> None:
        close = self.snapshot(settings, root, "2023-03-09").close("USDC")
        assert len(close.log_returns()[1]) == len(close) - 1
        assert set(np.diff(close.observed_at).tolist()) == {23 * 3600, 24 * 3600, 25 * 3600}

    def test_corrupting_every_later_row_changes_nothing(self, settings: Settings, root: Path, tmp_path: Path) -> None:
        at = "2022-05-11"
        before = self.snapshot(settings, root, at).artifact().content_hash
        folder = tmp_path / "a" / "b" / "c"
        folder.mkdir(parents=True)
        for name in ("parameters.toml", "depth.csv"):
            (folder / name).write_bytes((root / name).read_bytes())
        for one in settings.feeds:
            target = (folder / one.path).resolve()
            target.parent.mkdir(parents=True, exist_ok=True)
            with gzip.open(root / one.path, "rt") as source, gzip.open(target, "wt", newline="") as sink:
                csv.writer(sink).writerows(corrupted(csv.reader(source), one, parse_instant(at)))
        assert self.snapshot(settings, folder, at).artifact().content_hash == before


def corrupted(rows: Iterator[list[str]], settings: FileFeed, at: int) -> Iterator[list[str]]:
    """Rows whose bar ends after `at` get nonsense in every column but the time."""
    header = next(rows)
    yield header
    time = header.index(settings.columns["time"])
    for row in rows:
        text = row[time]
        start = int(text) // 1000 if text.isdigit() else parse_instant(text)
        late = start + DAY - 2 * 3600 > at  # days of a civil zone end up to two hours before those of UTC
        yield [cell if i == time or not late else "nonsense" for i, cell in enumerate(row)]
