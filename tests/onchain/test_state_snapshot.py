"""A market's state through the settings into a snapshot: the chain in place of files, as of any date."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from oracle_adapters.fetching import Fetched, Status, fetch_one
from oracle_adapters.interchange import export_rows, import_rows
from oracle_adapters.protocol_state import read
from oracle_adapters.protocol_state.kept import StateFeed
from oracle_adapters.snapshot import build_snapshot
from oracle_adapters.store import Store
from reports.chain import Start
from reports.cli import fetch as fetch_module
from risk.artifact import Artifact
from risk.errors import DataError, EvidenceError, SettingsError
from risk.market import MarketSnapshot, Origin, StepBound, Verdict
from risk.parameters import Key
from risk.settings import Settings
from risk.units import Ratio
from tests.factories import make_settings
from tests.onchain.chains import GENESIS_TIME, AnvilChain, Chain, own

DAY = 86_400
WETH, USDC = "0x" + "1" * 40, "0x" + "9" * 40
FEED = "0x" + "8" * 40
RATES = (8 * 10**17, 15 * 10**15, 35 * 10**15, 25 * 10**16, 85 * 10**16, 0, 325 * 10**14, 4 * 10**17)
FACTOR = Key("comet", "reserve", "WETH", (), "collateral_factor")


@dataclass
class Setting:
    """A Comet on a node, files of prices beside it, and what the settings say of both."""

    chain: Chain
    comet: Any
    folder: Path

    def settings(self, chain_id: int = 31337, **parts: Any) -> Settings:
        state = {"url_env": "TEST_NODE_URL", "contract": self.comet.address, "confirmations": 0}
        state |= parts.pop("state", {})
        bars = [
            {"kind": "files", "asset": name, "path": "prices.csv"} for name in ("ETH", "USDC", "BTC", "LINK", "WSTETH")
        ]
        return make_settings(
            markets={"comet": {"protocol": "compound_v3", "chain_id": chain_id, "state": state}},
            assets={
                "ETH": {"asset_class": "large_cap", "reserve": "comet", "symbol": "WETH", "token": WETH},
                "USDC": {"asset_class": "stable", "token": USDC, "decimals": 6, "peg": "USD", "backing": "fiat"},
                **{name: {"asset_class": "large_cap"} for name in ("BTC", "LINK", "WSTETH")},
            },
            feeds=parts.pop("feeds", bars),
            **parts,
        )

    def build(self, as_of: int | None = None, **parts: Any) -> MarketSnapshot:
        return build_snapshot(self.settings(**parts), root=self.folder, as_of=as_of)

    def govern(self, factor: int) -> int:
        config = (WETH, FEED, 18, factor * 10**14, 8950 * 10**14, 9500 * 10**14, 350_000 * 10**18)
        self.chain.send(self.comet.functions.upgrade([config], RATES, 5 * 10**17))
        return self.chain.now()


@pytest.fixture
def setting(anvil_chain: AnvilChain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setting]:
    start = anvil_chain.snapshot()
    monkeypatch.setenv("TEST_NODE_URL", anvil_chain.url)
    days = [np.datetime64("2023-11-01") + i for i in range(40)]
    values = 100 * np.exp(np.cumsum(0.03 * np.random.default_rng(1).standard_normal(40)))
    lines = "".join(f"{day},{value:.6f}\n" for day, value in zip(days, values, strict=True))
    (tmp_path / "prices.csv").write_text("time,close\n" + lines)
    yield Setting(anvil_chain, anvil_chain.deploy(own("comet"), USDC, 6), tmp_path)
    anvil_chain.revert(start)


pytestmark = pytest.mark.chain


def bps(value: int) -> Ratio:
    return Ratio(Decimal(value) / 10_000)


def said(snapshot: MarketSnapshot, check: str) -> list[dict[str, Any]]:
    return [row for row in snapshot.quality.rows() if (row["series"], row["check"]) == ("comet", check)]


def test_each_date_has_what_was_in_force_then(setting: Setting) -> None:
    chain = setting.chain
    first = setting.govern(8250)
    chain.send(setting.comet.functions.supplyTo(chain.accounts[1], WETH, 3 * 10**18))
    chain.warp(3 * DAY)
    second = setting.govern(8000)
    chain.warp(3 * DAY)
    before, after, between = setting.build(second - 1), setting.build(second), setting.build(second + 5)
    assert before.in_force.get(FACTOR) == bps(8250)
    assert after.in_force.get(FACTOR) == between.in_force.get(FACTOR) == bps(8000)
    assert (before.changed_at[FACTOR], after.changed_at[FACTOR]) == (first, second)
    assert before.book is not None
    assert before.book.origin is Origin.MEASURED
    assert before.book.accounts == (f"comet/{chain.accounts[1].lower()}",)
    assert float(before.book.collateral.sum()) == 3.0
    assert len(said(after, "block")) == 1


def test_nothing_later_changes_the_snapshot(setting: Setting) -> None:
    setting.govern(8250)
    setting.chain.warp(2 * DAY)
    at = setting.chain.now() - DAY
    first = setting.build(at).artifact().content_hash
    setting.govern(7000)
    setting.chain.send(setting.comet.functions.supplyTo(setting.chain.accounts[2], WETH, 10**18))
    setting.chain.send(setting.comet.functions.pause([True] * 5))
    assert setting.build(at).artifact().content_hash == first


def test_it_survives_its_files_with_its_structure(setting: Setting) -> None:
    setting.govern(8250)
    snapshot = setting.build(setting.chain.now())
    facts = {row["fact"]: row["value"] for row in snapshot.structure.rows() if row["kind"] == "market"}
    assert facts["block"].startswith(f"{setting.chain.number} 0x")
    assert facts["base_token"] == USDC
    artifact = snapshot.artifact()
    again = MarketSnapshot.from_artifact(Artifact.from_files(artifact.to_files(), schema=artifact.schema))
    assert again.artifact().content_hash == artifact.content_hash
    assert again.structure.digest() == snapshot.structure.digest()


def test_the_chain_counts_and_a_file_that_differs_is_shown(setting: Setting) -> None:
    setting.govern(8250)
    (setting.folder / "p.toml").write_text(
        '[comet.reserve.WETH]\ncollateral_factor = "80.00%"\nliquidation_threshold = "89.50%"\n'
        '[perps.market.ETH.tiers.1]\ninitial_margin = "10.00%"\n'
    )
    snapshot = setting.build(setting.chain.now(), parameters="p.toml")
    assert snapshot.in_force.get(FACTOR) == bps(8250)
    assert snapshot.in_force.get(Key.parse("perps/market/ETH/tiers/1/initial_margin")) == bps(1000)
    [row] = said(snapshot, "declared")
    assert (row["verdict"], row["count"]) == ("suspect", 1)
    assert "comet/reserve/WETH/collateral_factor" in row["detail"]


def test_bounds_of_the_chain_replace_the_declared_ones(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    setting.govern(8250)
    reader = read.READERS["compound_v3"]

    def stewarded(*arguments: Any) -> Any:
        return replace(reader(*arguments), bounds={"supply_cap": StepBound(0.3, True, DAY)})

    monkeypatch.setattr(read, "READERS", {"compound_v3": stewarded})
    snapshot = setting.build(setting.chain.now())
    assert snapshot.bounds["supply_cap"] == StepBound(0.3, True, DAY)
    assert snapshot.bounds["collateral_factor"] == StepBound(0.005, False, 3 * DAY)
    [row] = said(snapshot, "bounds")
    assert "supply_cap" in row["detail"]


def test_a_node_that_lags_is_suspect(setting: Setting) -> None:
    setting.govern(8250)
    [row] = said(setting.build(setting.chain.now() + 2 * DAY), "block")
    assert row["verdict"] == Verdict.SUSPECT
    assert "lags" in row["detail"]
    [row] = said(setting.build(setting.chain.now() + 60), "block")
    assert row["verdict"] == Verdict.GOOD


def test_a_block_that_is_not_final_is_not_read(setting: Setting) -> None:
    setting.govern(8250)
    setting.chain.mine(2)
    setting.govern(8000)
    now = setting.chain.now()
    assert setting.build(now, state={"confirmations": 2}).in_force.get(FACTOR) == bps(8250)


def test_a_date_before_the_chain_is_refused(setting: Setting) -> None:
    setting.govern(8250)
    with pytest.raises(EvidenceError, match="no block at that time"):
        setting.build(GENESIS_TIME - DAY)


def test_a_missing_url_names_the_variable(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_NODE_URL")
    with pytest.raises(SettingsError, match="TEST_NODE_URL"):
        setting.build(setting.chain.now())


def test_another_chain_is_refused(setting: Setting) -> None:
    with pytest.raises(SettingsError, match="another chain"):
        setting.build(setting.chain.now(), chain_id=1)


DEAD = "http://127.0.0.1:9"


def keep(setting: Setting, as_of: int, store: str = "kept", **parts: Any) -> Fetched:
    feed = StateFeed("comet", setting.settings(**parts), as_of)
    return fetch_one(Store(setting.folder / store), feed, start=as_of, stop=as_of + 1)


def from_store(setting: Setting, as_of: int, store: str = "kept", **parts: Any) -> MarketSnapshot:
    return build_snapshot(setting.settings(**parts), root=setting.folder, as_of=as_of, store=setting.folder / store)


def test_a_store_needs_no_node(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """At any instant from the block to the date asked for it is what the chain says; beyond, it says how to get it."""
    chain = setting.chain
    setting.govern(8250)
    chain.send(setting.comet.functions.supplyTo(chain.accounts[1], WETH, 3 * 10**18))
    chain.send(setting.comet.functions.supplyTo(chain.accounts[2], WETH, 7 * 10**18 + 1))
    block = chain.now()
    chain.warp(3 * DAY)
    setting.govern(8000)
    instants = (block, block + DAY, block + 2 * DAY)
    live = {at: setting.build(at).artifact().content_hash for at in instants}
    assert keep(setting, block + 2 * DAY).status is Status.GOOD
    assert keep(setting, block + 2 * DAY).added == 0, "the same again is nothing new"
    monkeypatch.setenv("TEST_NODE_URL", DEAD)
    assert {at: from_store(setting, at).artifact().content_hash for at in instants} == live
    for at in (block - 1, block + 2 * DAY + 1):
        with pytest.raises(DataError, match=r"does not hold the state.*riskcal fetch with --as-of 20\d\d-") as caught:
            from_store(setting, at)
        assert caught.value.exit_code == 2
    other = Setting(chain, chain.at(own("comet"), chain.accounts[5]), setting.folder)
    with pytest.raises(DataError, match=r"does not hold the state"):
        from_store(other, block)


def test_a_file_carries_a_state(setting: Setting) -> None:
    chain = setting.chain
    setting.govern(8250)
    chain.send(setting.comet.functions.supplyTo(chain.accounts[1], WETH, 3 * 10**18))
    at = chain.now()
    keep(setting, at)
    expected = from_store(setting, at).artifact().content_hash
    for suffix in ("parquet", "csv"):
        export_rows(Store(setting.folder / "kept"), setting.folder / f"rows.{suffix}")
        import_rows(Store(setting.folder / suffix), setting.folder / f"rows.{suffix}")
        assert from_store(setting, at, suffix).artifact().content_hash == expected


def test_a_state_of_the_last_block_covers_its_own_date_only(setting: Setting) -> None:
    """A date beyond the chain's end may get blocks yet; a state asked for again then is another."""
    setting.govern(8250)
    now = setting.chain.now()
    keep(setting, now + DAY)
    assert from_store(setting, now + DAY).in_force.get(FACTOR) == bps(8250)
    with pytest.raises(DataError, match="does not hold"):
        from_store(setting, now + DAY // 2)
    setting.govern(8000)
    keep(setting, now + DAY)
    assert from_store(setting, now + DAY).in_force.get(FACTOR) == bps(8000)
    with pytest.raises(DataError, match="does not hold"):
        from_store(setting, now + DAY // 2)


def test_a_block_that_says_something_else_is_refused(setting: Setting) -> None:
    before = setting.chain.snapshot()
    setting.govern(8250)
    at = setting.chain.now()
    assert keep(setting, at).status is Status.GOOD
    setting.chain.revert(before)
    setting.govern(7000)
    assert setting.chain.now() == at
    found = keep(setting, at)
    assert found.status is Status.REFUSED
    assert "two values became known at one instant" in str(found.error)


def test_accounts_without_a_price_are_left_out_of_a_kept_state(setting: Setting) -> None:
    """ETH has no bar by then, on chain and in the store alike."""
    chain = setting.chain
    setting.govern(8250)
    chain.send(setting.comet.functions.supplyTo(chain.accounts[1], WETH, 3 * 10**18))
    at = chain.now()
    (setting.folder / "late.csv").write_text("time,close\n2033-01-01,1\n2033-01-02,1\n")
    feeds = [
        {"kind": "files", "asset": name, "path": "late.csv" if name == "ETH" else "prices.csv"}
        for name in ("ETH", "USDC", "BTC", "LINK", "WSTETH")
    ]
    settings = setting.settings(feeds=feeds)
    store = Store(setting.folder / "kept")
    assert fetch_one(store, StateFeed("comet", settings, at), start=at, stop=at + 1).status is Status.GOOD
    live = build_snapshot(settings, root=setting.folder, as_of=at)
    kept = build_snapshot(settings, root=setting.folder, as_of=at, store=setting.folder / "kept")
    assert live.book is kept.book is None
    assert said(live, "unpriced") == said(kept, "unpriced") != []
    assert said(live, "positions") == said(kept, "positions")


def test_the_command_fetches_a_state_and_runs_on_it(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """`riskcal fetch` takes the date that a run takes, and then the run needs no node."""
    setting.govern(8250)
    setting.chain.warp(40 * DAY)
    began = Start(b"", setting.settings(store="kept"), setting.folder)
    monkeypatch.setattr(Start, "from_config", lambda *_, **__: began)
    ran = CliRunner().invoke(fetch_module.fetch, ["x.toml", "--json"], standalone_mode=False)
    assert ran.return_value == 0, ran
    (row,) = [row for row in json.loads(ran.output)["feeds"] if row["kind"] == "state"]
    assert (row["status"], row["feed"].partition("@")[0]) == ("good", "comet/compound_v3")
    expected = setting.build()
    monkeypatch.setenv("TEST_NODE_URL", DEAD)
    kept = build_snapshot(began.settings, root=setting.folder)
    assert kept.in_force.get(FACTOR) == bps(8250)
    assert kept.as_of == expected.as_of
    assert kept.artifact().content_hash == expected.artifact().content_hash
