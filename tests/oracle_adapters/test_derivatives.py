"""Chains of options, funding and open interest in the snapshot: as of a date, in its files, judged, hostile, real."""

from __future__ import annotations

import csv
import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oracle_adapters.derivatives import quoted_derivatives
from oracle_adapters.exchange.options import option_rows, read_deribit
from oracle_adapters.feed import COLUMNS, Chunk, FeedSpec, Kind
from oracle_adapters.snapshot import build_snapshot
from oracle_adapters.store import Store
from risk.artifact import Artifact, Table
from risk.derivatives import FundingHistory, OptionChain, chain_of
from risk.errors import DataError
from risk.market import MarketSnapshot, Verdict
from risk.units import DAY
from tests.factories import make_snapshot
from tests.oracle_adapters.exchange.test_options import ITM, OTM, summaries
from tests.oracle_adapters.test_snapshot import AT, prices, settings

DERIBIT = {
    "kind": "exchange", "asset": "BTC", "exchange": "deribit", "symbol": "BTC/USD:BTC", "data": "options",
    "base_url": "http://127.0.0.1:9",
}  # fmt: skip
BINANCE = DERIBIT | {"exchange": "binance", "symbol": "BTC/USDT:USDT", "start": "2024-01-01", "timeframe": "8h"}
CHAIN = FeedSpec(Kind.OPTION, "BTC", "USD", "exchange:deribit:BTC/USD:BTC:options", 60)
RATE = FeedSpec(Kind.FUNDING, "BTC", "USDT", "exchange:binance:BTC/USDT:USDT:funding:8h", 28_800)
INTEREST = FeedSpec(Kind.FUNDING, "BTC", "USDT", "exchange:binance:BTC/USDT:USDT:open_interest:8h", 28_800)


def chain_rows(at: int, *changes: dict[str, Any]) -> Table:
    """Deribit's two recorded options as if quoted at `at`, each changed."""
    rows = [told | change for told, change in zip((ITM, OTM), (*changes, {}, {})[: max(2, len(changes))], strict=False)]
    _, options, unread = read_deribit(rows)
    assert not unread
    return option_rows(options, at, "test")[0]


def funding_rows(values: list[float], *, last: int = AT, field: str = "rate", step: int = 28_800) -> Table:
    at = [last - step * (len(values) - 1 - i) for i in range(len(values))]
    return Table.from_rows(COLUMNS[Kind.FUNDING], [(t, field, t, v) for t, v in zip(at, values, strict=True)])


def said(spec: FeedSpec, *rows: Table, as_of: int = AT, **counted: int) -> dict[str, tuple[Verdict, int, str]]:
    whole = Table.concatenate(COLUMNS[spec.kind], rows)
    found = quoted_derivatives([(spec, Chunk(spec.kind, whole, counted))], as_of)
    return {check.check: (check.verdict, check.count, check.detail) for _, check in found.checks}


def bad_or_suspect(found: dict[str, tuple[Verdict, int, str]]) -> dict[str, Verdict]:
    return {name: one[0] for name, one in found.items() if one[0] is not Verdict.GOOD}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, name in enumerate(("BTC", "ETH")):
        (tmp_path / f"{name}.csv").write_text(prices(seed=seed))
    store = Store(tmp_path / "kept")
    store.append(CHAIN, chain_rows(AT - DAY))
    store.append(CHAIN, chain_rows(AT - 60, {"mark_price": 0.41}))
    store.append(RATE, funding_rows([1e-4, -2e-4, 3e-4]))
    store.append(INTEREST, funding_rows([10.0, 11.0, 12.5], field="open_interest"))
    return tmp_path


def built(folder: Path, as_of: int = AT) -> MarketSnapshot:
    files = [{"kind": "files", "asset": name, "path": f"{name}.csv"} for name in ("BTC", "ETH")]
    asked = [DERIBIT, BINANCE | {"data": "funding"}, BINANCE | {"data": "open_interest"}]
    return build_snapshot(settings("BTC", "ETH", feeds=[*files, *asked], store="kept"), root=folder, as_of=as_of)


class TestSnapshot:
    def test_it_holds_what_was_quoted(self, folder: Path) -> None:
        found = built(folder)
        chain = found.options[CHAIN.id]
        assert isinstance(chain, OptionChain)
        assert (chain.observed_at, chain.known_at, chain.settlement, chain.coin_settled) == (
            AT - 60,
            AT - 60,
            "BTC",
            True,
        )
        assert chain.instrument.tolist() == ["BTC-27DEC24-240000-C", "BTC-28JUN24-42000-C"]
        assert np.isnan(chain.bid[0])
        assert chain.two_sided.tolist() == [False, True]
        assert chain.mark.tolist() == [OTM["mark_price"], 0.41]
        # 2024-06-28 08:00 UTC is 1719561600.
        assert chain.years[1] == pytest.approx((1_719_561_600 - (AT - 60)) / 31_536_000, rel=1e-15)
        assert found.rates[RATE.id].rate.value.tolist() == [1e-4, -2e-4, 3e-4]
        assert found.rates[RATE.id].open_interest is None
        assert found.rates[INTEREST.id].open_interest.value.tolist() == [10.0, 11.0, 12.5]

    def test_it_survives_its_files(self, folder: Path) -> None:
        artifact = built(folder).artifact()
        again = MarketSnapshot.from_artifact(Artifact.from_files(artifact.to_files(), schema=artifact.schema))
        assert again.artifact().content_hash == artifact.content_hash
        assert again.options[CHAIN.id].underlying.tolist() == ["SYN.BTC-27DEC24", "BTC-28JUN24"]
        assert again.options[CHAIN.id].synthetic.tolist() == [True, False]

    def test_what_became_known_later_changes_nothing(self, folder: Path) -> None:
        before = built(folder).artifact().content_hash
        store = Store(folder / "kept")
        store.append(CHAIN, chain_rows(AT + 60, {"mark_price": 0.5}))
        store.append(RATE, funding_rows([9e-4], last=AT + 28_800))
        assert built(folder).artifact().content_hash == before
        assert built(folder, AT + 60).options[CHAIN.id].mark[1] == 0.5
        earlier = built(folder, AT - 61)
        assert earlier.options[CHAIN.id].observed_at == AT - DAY
        assert len(earlier.rates[RATE.id].rate) == 2
        none = built(folder, AT - 2 * DAY)
        assert not none.options
        assert not none.rates
        told = {row["series"]: row["check"] for row in none.quality.rows() if row["verdict"] == "suspect"}
        assert told[CHAIN.id] == told[RATE.id] == told[INTEREST.id] == "absent"

    def test_a_snapshot_without_them_says_nothing_of_them(self) -> None:
        """So that its hash is what it was before there were such feeds."""
        artifact = make_snapshot().artifact()
        assert not {"options", "rates"} & (set(artifact.tables) | set(artifact.document))

    def test_each_of_them_counts_in_the_hash(self, folder: Path) -> None:
        before = built(folder).artifact().content_hash
        Store(folder / "kept").append(CHAIN, chain_rows(AT - 30, {"mark_price": 0.42}))
        after = built(folder).artifact().content_hash
        assert after != before
        Store(folder / "kept").append(RATE, funding_rows([2e-4], last=AT - 10))
        assert built(folder).artifact().content_hash != after


class TestChains:
    def test_a_healthy_one(self) -> None:
        found = said(CHAIN, chain_rows(AT - 3600))
        assert bad_or_suspect(found) == {}
        assert found["one_sided"] == (Verdict.GOOD, 1, "1 without a bid, 0 without an ask")
        assert found["coverage"] == (Verdict.GOOD, 2, "2 expiries, settled in the coin")

    def test_crossed(self) -> None:
        verdict, count, detail = said(CHAIN, chain_rows(AT, {"bid_price": 0.5}))["crossed"]
        assert (verdict, count) == (Verdict.BAD, 1)
        assert "BTC-28JUN24-42000-C" in detail

    def test_no_side_at_all(self) -> None:
        found = said(CHAIN, chain_rows(AT, {"bid_price": None}, {"ask_price": 0.0}))
        assert found["one_sided"][:2] == (Verdict.BAD, 2)

    def test_expired(self) -> None:
        june, december = 1_719_561_600, 1_735_286_400
        found = said(CHAIN, chain_rows(june - 60), as_of=june)
        assert found["expired"] == (Verdict.GOOD, 1, "by the as-of date")
        assert said(CHAIN, chain_rows(june), as_of=june)["expired"][:2] == (Verdict.SUSPECT, 1)
        assert said(CHAIN, chain_rows(june), as_of=december)["expired"][:2] == (Verdict.BAD, 2)

    def test_old_against_their_own_spacing(self) -> None:
        hours = [chain_rows(AT - 3600 * n, {"mark_price": 0.4 + n / 1000}) for n in (4, 3, 2)]
        assert said(CHAIN, *hours, as_of=AT)["stale"][0] is Verdict.GOOD
        assert said(CHAIN, *hours, as_of=AT + 1)["stale"][:2] == (Verdict.SUSPECT, 2)
        assert said(CHAIN, *hours, as_of=AT + 7 * DAY)["stale"][0] is Verdict.BAD
        assert said(CHAIN, hours[0], as_of=AT + DAY)["stale"][0] is Verdict.GOOD, "one a day is expected"

    def test_a_venue_that_repeats_itself(self) -> None:
        same = [chain_rows(AT - 60 * n) for n in range(5, 0, -1)]
        assert said(CHAIN, *same[:1])["frozen"][:2] == (Verdict.GOOD, 0)
        assert said(CHAIN, *same[:2])["frozen"][:2] == (Verdict.SUSPECT, 2)
        assert said(CHAIN, *same)["frozen"][:2] == (Verdict.BAD, 5)

    def test_what_the_adapter_left_out_is_shown(self) -> None:
        assert said(CHAIN, chain_rows(AT), unread=3)["read_unread"][:2] == (Verdict.SUSPECT, 3)

    @pytest.mark.parametrize(
        ("column", "value", "message"),
        [
            ("bid", -0.1, "negative or infinite"),
            ("strike", 0.0, "strike must be above zero"),
            ("option_type", "straddle", "call or a put"),
            ("instrument", "BTC-27DEC24-240000-C", "two options of one name"),
            ("settlement", "USDC", "one settlement"),
            ("known_at", AT + 5, "one known_at"),
        ],
    )
    def test_hostile_rows(self, column: str, value: Any, message: str) -> None:
        rows = dict(chain_rows(AT).columns)
        changed = rows[column].astype("U32") if rows[column].dtype.kind == "U" else rows[column].copy()
        changed[1] = value
        with pytest.raises(DataError, match=message):
            chain_of("feed", "BTC", "USD", "test", Table({**rows, column: changed}))


class TestFunding:
    def calm(self, n: int = 100) -> list[float]:
        return (1e-4 * np.random.default_rng(1).standard_normal(n)).tolist()

    def test_healthy(self) -> None:
        assert bad_or_suspect(said(RATE, funding_rows(self.calm()))) == {}

    def test_gaps(self) -> None:
        rows = funding_rows(self.calm())
        keep = np.ones(len(rows), dtype=bool)
        keep[50:53] = False
        found = said(RATE, rows.take(keep))
        assert found["gaps"][:2] == (Verdict.SUSPECT, 3)
        assert said(RATE, funding_rows(self.calm(), step=14_400))["gaps"][1] == 0, (
            "a storm's shorter interval is no gap"
        )

    def test_percent(self) -> None:
        assert said(RATE, funding_rows([100 * one for one in self.calm()]))["magnitude"][0] is Verdict.BAD

    def test_one_outlier_and_a_storm(self) -> None:
        values = self.calm()
        values[40] = 0.02
        assert said(RATE, funding_rows(values))["outliers"][:2] == (Verdict.SUSPECT, 1)
        values[38:43] = [0.004, 0.0075, 0.0075, 0.0075, 0.005]
        assert said(RATE, funding_rows(values))["outliers"][1] == 0

    def test_frozen(self) -> None:
        calm = self.calm()
        assert said(RATE, funding_rows([*calm, *[3e-4] * 5]))["frozen"][:2] == (Verdict.SUSPECT, 5)
        assert said(RATE, funding_rows([*calm, *[3e-4] * 21]))["frozen"][:2] == (Verdict.BAD, 21)
        usual = [*calm[:20], *[1e-4] * 30, *calm[20:25], *[1e-4] * 25]
        assert said(RATE, funding_rows(usual))["frozen"][0] is Verdict.GOOD, "the venue's own base rate"
        assert said(RATE, funding_rows([*usual, *[1e-4] * 10]))["frozen"][0] is Verdict.SUSPECT

    def test_old(self) -> None:
        rows = funding_rows(self.calm())
        assert said(RATE, rows, as_of=AT + 57_601)["stale"][0] is Verdict.SUSPECT
        assert said(RATE, rows, as_of=AT + 8 * DAY)["stale"][0] is Verdict.BAD

    def test_open_interest(self) -> None:
        values = (100 + np.arange(30.0)).tolist()
        assert bad_or_suspect(said(INTEREST, funding_rows(values, field="open_interest"))) == {}
        values[7] = 0.0
        assert said(INTEREST, funding_rows(values, field="open_interest"))["empty"][:2] == (Verdict.SUSPECT, 1)
        stuck = funding_rows([*values, *[129.0] * 9], field="open_interest")
        assert said(INTEREST, stuck)["frozen"][0] is Verdict.BAD
        assert bad_or_suspect(said(INTEREST, funding_rows([5.0], field="open_interest_value"))) == {}

    def test_hostile_fields(self) -> None:
        with pytest.raises(DataError, match="not a field of funding"):
            said(RATE, funding_rows([1e-4], field="basis"))
        with pytest.raises(DataError, match="neither funding rates nor open interest"):
            FundingHistory.of([])


@pytest.mark.data
def test_the_real_chains(shared: Path) -> None:
    """Eleven snapshots of Deribit, as one feed a coin: round trip, and what the checks say of them."""
    files = sorted((shared / "data" / "deribit_option_chains").glob("deribit_options_snapshot_*.csv.gz"))
    total = 0
    for coin in ("BTC", "ETH"):
        spec = FeedSpec(Kind.OPTION, coin, "USD", f"exchange:deribit:{coin}/USD:{coin}:options", 60)
        parts = []
        for path in files:
            stamps, options, _ = read_deribit([told for row, told in summaries(path) if row["currency"] == coin])
            parts.append(option_rows(options, -int(-max(stamps) // 1000), path.name)[0])
        whole = Table.concatenate(COLUMNS[Kind.OPTION], parts)
        for rows in parts:
            at = int(rows["known_at"][0])
            found = quoted_derivatives([(spec, Chunk(Kind.OPTION, whole))], at)
            chain = found.options[spec.id]
            assert chain.observed_at == at
            assert chain.coin_settled
            assert len(chain) == len(rows)
            total += len(chain)
            verdicts = {check.check: check.verdict for _, check in found.checks}
            assert verdicts.pop("one_sided") in (Verdict.GOOD, Verdict.SUSPECT)
            assert set(verdicts.values()) == {Verdict.GOOD}, f"{coin} {at} {found.checks}"
            crossed = chain.two_sided & (chain.bid > chain.ask)
            assert not crossed.any()
    assert total == 17_694, "the sum of the rows that the files' provenance names"


def funding_file(path: Path) -> tuple[FeedSpec, Table]:
    """Rates of one venue in UTC: all but two of these write times three hours ahead."""
    pair, venue, *_ = path.name.split("_")
    ahead = timedelta(hours=0 if venue in ("gate", "dydx") else 3)
    with gzip.open(path, "rt", newline="") as file:
        told = {
            int((datetime.fromisoformat(row["Date"]).replace(tzinfo=UTC) - ahead).timestamp()): float(
                row["Funding Rate"]
            )
            for row in csv.DictReader(file)
        }
    rows = [(at, "rate", at, rate) for at, rate in sorted(told.items())]
    spec = FeedSpec(Kind.FUNDING, pair[:3], "USDT", f"files:{venue}", 3600 if venue == "dydx" else 28_800)
    return spec, Table.from_rows(COLUMNS[Kind.FUNDING], rows)


@pytest.mark.data
def test_the_real_funding(shared: Path) -> None:
    """Seven venues: nothing of what they paid is called broken, and the gaps that the README names are found."""
    files = sorted((shared / "data" / "funding_btc_eth_7venues").glob("*_funding_history.csv.gz"))
    assert len(files) == 14
    for path in files:
        spec, rows = funding_file(path)
        found = said(spec, rows, as_of=int(rows["known_at"][-1]))
        # Gate lacks 752 hours, which is 93 fundings, and HTX a day, which is two.
        missing = 93 if "gate" in path.name else 2 if "htx" in path.name else 0
        assert found["gaps"][1] == missing, path.name
        assert set(bad_or_suspect(found)) == ({"gaps"} if missing else set()), path.name


@pytest.mark.data
def test_a_real_rate_is_seldom_called_frozen(shared: Path) -> None:
    """At every month's end of seven years of Bybit, whose rate rests at 0.01 % for weeks on end."""
    path = shared / "data" / "funding_bybit_btc_2018_2025" / "Bybit_BTC_8h_all_data_final.csv.gz"
    with gzip.open(path, "rt", newline="") as file:
        told = [
            (int(datetime.fromisoformat(row["Timestamp"]).replace(tzinfo=UTC).timestamp()), float(row["Funding Rate"]))
            for row in csv.DictReader(file)
        ]
    rows = Table.from_rows(COLUMNS[Kind.FUNDING], [(at, "rate", at, rate) for at, rate in sorted(told)])
    verdicts = [said(RATE, rows, as_of=int(rows["known_at"][n]))["frozen"][0] for n in range(90, len(rows), 90)]
    assert len(verdicts) == 78
    assert Verdict.BAD not in verdicts
    assert verdicts.count(Verdict.SUSPECT) <= 4
