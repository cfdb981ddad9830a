"""An Aave v3 market on a real node, read back: parameters, dates, modes and positions equal what was put in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from eth_typing import HexStr
from web3 import Web3

from oracle_adapters.protocol_state.aave_v3 import read_aave_v3
from oracle_adapters.protocol_state.state import Fact, MarketState
from risk.artifact import Table
from risk.errors import DataError, SettingsError
from risk.market import StepBound
from risk.parameters import Key, ParameterSet
from risk.protocols.aave_v3 import HUNDRED_PERCENT
from risk.protocols.proposal import encode_proposal
from risk.settings import Settings
from risk.stress.asset_terms import bonuses_of, modes_of, thresholds_of
from risk.structure import STRUCTURE_SCHEMA
from risk.units import Ratio, TokenAmount, Usd
from tests.factories import make_settings, make_snapshot
from tests.onchain.chains import ZERO, AnvilChain, own
from tests.onchain.deploy import LARGEST, Aave, Reserve, aave

pytestmark = pytest.mark.chain

RESERVES = (
    Reserve("WETH", 18, 2000 * 10**8, 8000, 8250, 10500, 1500),
    Reserve("USDC", 6, 10**8, 7500, 7800, 10450),
    Reserve("DAI", 18, 10**8, 7000, 7500, 10400),
    Reserve("GNO", 18, 100 * 10**8, 3100, 3600, 11000, borrowable=False),
    Reserve("ODD", 18, 10**8, 5000, 6000, 11000),
)
"""The settings do not declare the last one."""
ASSETS = ("DAI", "ETH", "GNO", "USDC")
PRICES = np.array([1.0, 2000.0, 100.0, 1.0])
MODE = 1


@dataclass
class Story:
    """A market with a history: what was done, and the block after each part of it."""

    chain: AnvilChain
    market: Aave
    settings: Settings
    people: dict[str, str]
    blocks: dict[str, int]

    def time(self, name: str) -> int:
        return int(self.chain.web3.eth.get_block(self.blocks[name])["timestamp"])

    def read(self, at: str, assets: tuple[str, ...] = ASSETS, settings: Settings | None = None) -> MarketState:
        node = self.chain.node()
        chosen = settings or self.settings
        source = chosen.markets["lending"].state
        assert source is not None
        return read_aave_v3("lending", chosen, source, node, node.block(self.blocks[at]), assets)

    def account(self, name: str) -> str:
        return f"lending/{self.people[name].lower()}"

    def position(self, state: MarketState, name: str) -> dict[str, tuple[float, float]]:
        """(collateral, debt) by asset, of what is not zero."""
        assert state.book is not None
        row = state.book.accounts.index(self.account(name))
        pairs = zip(state.book.assets, state.book.collateral[row], state.book.debt[row], strict=True)
        return {asset: (float(c), float(d)) for asset, c, d in pairs if c or d}


def declared(market: Aave, **state: Any) -> Settings:
    """Settings that declare all reserves but the last, and one that the pool does not have."""

    def asset(symbol: str, **more: Any) -> dict[str, Any]:
        token = market.tokens[symbol].address if symbol in market.tokens else "0x" + "d1" * 20
        return {"asset_class": "large_cap", "reserve": "lending", "symbol": symbol, "token": token, **more}

    source = {"url_env": "TEST_NODE", "contract": market.pool.address, "confirmations": 0, **state}
    return make_settings(
        markets={
            "lending": {
                "protocol": "aave_v3",
                "chain_id": 31337,
                "configurator": market.configurator.address,
                "state": source,
            }
        },
        assets={
            "ETH": asset("WETH"),
            "USDC": asset("USDC", decimals=6),
            "DAI": asset("DAI"),
            "GNO": asset("GNO"),
            "BTC": {"asset_class": "large_cap"},
            "LINK": {"asset_class": "mid_cap"},
            "WSTETH": asset("wstETH"),
        },
    )


@pytest.fixture(scope="module")
def story(anvil_chain: AnvilChain) -> Iterator[Story]:
    chain = anvil_chain
    start = chain.snapshot()
    market = Aave(chain, RESERVES)
    names = ("alice", "bob", "carol", "dave", "erin", "frank", "grace")
    people = dict(zip(names, chain.accounts[3:], strict=False))
    blocks = {"listed": chain.number}
    do, pool = market.configurator.functions, market.pool.functions
    weth, usdc, dai, gno = (market.tokens[s].address for s in ("WETH", "USDC", "DAI", "GNO"))

    def governs(*functions: Any) -> None:
        for function in functions:
            chain.send(function)

    def supply(name: str, symbol: str, amount: int) -> None:
        token = market.tokens[symbol]
        chain.send(token.functions.mint(people[name], amount), sender=people[name])
        chain.send(token.functions.approve(market.pool.address, LARGEST), sender=people[name])
        chain.send(pool.supply(token.address, amount, people[name], 0), sender=people[name])

    def borrow(name: str, symbol: str, amount: int) -> None:
        asset = market.tokens[symbol].address
        chain.send(pool.borrow(asset, amount, 2, 0, people[name]), sender=people[name])

    chain.warp(86_400)
    governs(
        do.setSupplyCap(weth, 120_000),
        do.setBorrowCap(weth, 90_000),
        do.setLiquidationProtocolFee(weth, 1000),
        do.setDebtCeiling(gno, 123_456_789),
        do.setEModeCategory(MODE, 9300, 9500, 10100, ZERO, "Dollars"),
        do.setAssetEModeCategory(usdc, MODE),
        do.setAssetEModeCategory(dai, MODE),
    )
    blocks["governed"] = chain.number
    supply("bob", "USDC", 1_000_000 * 10**6)
    supply("bob", "DAI", 500_000 * 10**18)
    supply("alice", "WETH", 10 * 10**18)
    borrow("alice", "USDC", 5_000 * 10**6)
    receipt = chain.at(aave("protocol/tokenization/AToken"), pool.getReserveData(weth).call()[8])
    chain.send(receipt.functions.transfer(people["carol"], 2 * 10**18), sender=people["alice"])
    supply("dave", "WETH", 3 * 10**18)
    borrow("dave", "USDC", 1_000 * 10**6)
    supply("erin", "USDC", 7_000 * 10**6)
    chain.send(pool.setUserUseReserveAsCollateral(usdc, False), sender=people["erin"])
    supply("frank", "USDC", 10_000 * 10**6)
    chain.send(pool.setUserEMode(MODE), sender=people["frank"])
    borrow("frank", "DAI", 9_000 * 10**18)
    supply("grace", "ODD", 50 * 10**18)
    supply("grace", "WETH", 10**18)
    blocks["lent"] = chain.number

    chain.warp(30 * 86_400)
    usdc_token = market.tokens["USDC"].functions
    chain.send(usdc_token.mint(people["dave"], 10**10), sender=people["dave"])
    chain.send(usdc_token.approve(market.pool.address, LARGEST), sender=people["dave"])
    chain.send(pool.repay(usdc, LARGEST, 2, people["dave"]), sender=people["dave"])
    blocks["repaid"] = chain.number
    governs(do.configureReserveAsCollateral(weth, 7750, 8250, 10600))
    blocks["configured"] = chain.number
    governs(do.setReserveInterestRateStrategyAddress(weth, market.rate_strategy(90, 1, 3, 80).address))
    blocks["rates"] = chain.number
    governs(do.setReserveFreeze(gno, True))
    blocks["frozen"] = chain.number
    governs(do.setEModeCategory(MODE, 9300, 9550, 10100, ZERO, "US dollars"), do.setSupplyCap(weth, 150_000))
    chain.mine(3)
    blocks["end"] = chain.number
    yield Story(chain, market, declared(market), people, blocks)
    chain.revert(start)


def key(parameter: str, subject: str = "WETH", kind: str = "reserve") -> Key:
    return Key("lending", kind, subject, (), parameter)


def bps(value: int) -> Ratio:
    return Ratio(Decimal(value) / HUNDRED_PERCENT)


def checks(state: MarketState) -> dict[str, tuple[int, str]]:
    return {check.check: (check.count, check.detail) for check in state.checks}


def test_every_number_equals_what_was_put_in(story: Story) -> None:
    found = story.read("governed").parameters
    assert {k.parameter: v for k, v in found.items() if k.subject == "WETH"} == {
        "collateral_factor": bps(8000),
        "liquidation_threshold": bps(8250),
        "liquidation_bonus": bps(500),
        "supply_cap": TokenAmount(Decimal(120_000), "WETH"),
        "borrow_cap": TokenAmount(Decimal(90_000), "WETH"),
        "debt_ceiling": Usd(Decimal(0)),
        "reserve_factor": bps(1500),
        "liquidation_protocol_fee": bps(1000),
        "optimal_utilisation": bps(8000),
        "base_borrow_rate": bps(0),
        "borrow_rate_slope_below": bps(400),
        "borrow_rate_slope_above": bps(7500),
    }
    assert found[key("debt_ceiling", "GNO")] == Usd(Decimal("1234567.89"))
    modes = {k.parameter: v for k, v in found.items() if k.kind == "efficiency_mode" and k.subject == "1"}
    triple = ("collateral_factor", "liquidation_threshold", "liquidation_bonus")
    assert modes == dict(zip(triple, (bps(9300), bps(9500), bps(100)), strict=True))
    assert {k.subject for k in found if k.kind == "reserve"} == {"WETH", "USDC", "DAI", "GNO"}


@pytest.mark.parametrize("at", ["governed", "end"])
def test_aaves_own_reader_agrees(story: Story, at: str) -> None:
    """AaveProtocolDataProvider unpacks the same words in Solidity."""
    state, block = story.read(at), story.blocks[at]
    provider = story.market.data.functions
    for symbol in ("WETH", "USDC", "DAI", "GNO"):
        token = story.market.tokens[symbol].address

        def told(view: Callable[[str], Any], token: str = token) -> Any:
            return view(token).call(block_identifier=block)

        raw = {name: state.parameters[key(name, symbol)].value for name in _RAW}
        decimals, ltv, threshold, bonus, factor, _, borrowing, stable, active, frozen = told(
            provider.getReserveConfigurationData
        )
        assert [raw[name] * HUNDRED_PERCENT for name in _RAW[:4]] == [ltv, threshold, bonus - HUNDRED_PERCENT, factor]
        assert [raw["borrow_cap"], raw["supply_cap"]] == told(provider.getReserveCaps)
        assert raw["debt_ceiling"] * 100 == told(provider.getDebtCeiling)
        assert raw["liquidation_protocol_fee"] * HUNDRED_PERCENT == told(provider.getLiquidationProtocolFee)
        facts = {fact.fact: fact.value for fact in state.structure if fact.subject == symbol}
        for name, flag in (("borrowing", borrowing), ("stable_borrowing", stable), ("active", active)):
            assert facts[name] == str(flag).lower()
        assert (facts["frozen"], facts["paused"]) == (str(frozen).lower(), str(told(provider.getPaused)).lower())
        assert facts["siloed_borrowing"] == str(told(provider.getSiloedBorrowing)).lower()
        assert facts["flash_loans"] == str(told(provider.getFlashLoanEnabled)).lower()
        assert facts["efficiency_mode"] == str(told(provider.getReserveEModeCategory))
        assert facts["rate_strategy"] == told(provider.getInterestRateStrategyAddress).lower()
        assert decimals == story.market.tokens[symbol].functions.decimals().call()


_RAW = (
    "collateral_factor", "liquidation_threshold", "liquidation_bonus", "reserve_factor", "borrow_cap", "supply_cap",
    "debt_ceiling", "liquidation_protocol_fee",
)  # fmt: skip


def test_a_past_block_shows_the_past(story: Story) -> None:
    before, after = story.read("repaid"), story.read("configured")
    changed = {str(k) for k in after.parameters if after.parameters[k] != before.parameters[k]}
    assert changed == {"lending/reserve/WETH/collateral_factor", "lending/reserve/WETH/liquidation_bonus"}
    assert after.parameters[key("collateral_factor")] == bps(7750)
    assert before.parameters[key("collateral_factor")] == bps(8000)


def test_what_happens_later_changes_nothing(story: Story) -> None:
    first = story.read("lent")
    start = story.chain.snapshot()
    do = story.market.configurator.functions
    story.chain.send(do.setSupplyCap(story.market.tokens["WETH"].address, 7))
    story.chain.send(do.setReservePause(story.market.tokens["WETH"].address, True))
    again = story.read("lent")
    story.chain.revert(start)
    assert (again.parameters, again.changed_at, again.structure) == (
        first.parameters,
        first.changed_at,
        first.structure,
    )
    assert again.book is not None
    assert first.book is not None
    assert np.array_equal(again.book.debt, first.book.debt)


def test_changed_at_is_the_time_of_the_block(story: Story) -> None:
    state = story.read("end")
    at = state.changed_at
    assert at[key("collateral_factor")] == at[key("liquidation_bonus")] == story.time("configured")
    assert at[key("liquidation_threshold")] < story.time("listed"), "restated, not changed"
    assert {at[key(name)] for name in _RATES} == {story.time("rates")}
    mode = {name: at[key(name, "1", "efficiency_mode")] for name in ("collateral_factor", "liquidation_threshold")}
    assert mode["collateral_factor"] < story.time("lent") < story.time("frozen") < mode["liquidation_threshold"]
    assert set(at) == set(state.parameters)
    frozen = next(f for f in state.structure if (f.subject, f.fact) == ("GNO", "frozen"))
    assert frozen == Fact("reserve", "GNO", "frozen", "true", story.time("frozen"))


_RATES = ("optimal_utilisation", "base_borrow_rate", "borrow_rate_slope_below", "borrow_rate_slope_above")


def test_a_date_is_the_same_from_any_later_block(story: Story) -> None:
    early, late = story.read("lent").changed_at, story.read("configured").changed_at
    assert {k: t for k, t in late.items() if t <= story.time("lent")} == {
        k: t for k, t in early.items() if late[k] == t
    }
    assert len([k for k in early if late[k] != early[k]]) == 2


def test_values_without_their_events_have_no_date(story: Story) -> None:
    """Events are read from after the listing: what was set before is in force, and has no date."""
    settings = declared(story.market, first_block=story.blocks["listed"] + 1)
    state = story.read("end", settings=settings)
    assert state.parameters[key("reserve_factor")] == bps(1500)
    assert key("reserve_factor") not in state.changed_at
    assert state.changed_at[key("supply_cap")] > story.time("frozen")
    count, detail = checks(state)["history"]
    assert count == len(state.parameters) - len(state.changed_at) > 0
    assert "without a date" in detail


def test_modes_name_their_members(story: Story) -> None:
    facts = {f.fact: f.value for f in story.read("end").structure if (f.kind, f.subject) == ("efficiency_mode", "1")}
    assert facts == {"label": "US dollars", "collateral": "DAI USDC", "borrowable": "DAI USDC"}


class TestPositions:
    def test_accounts_are_found_from_events(self, story: Story) -> None:
        state = story.read("lent")
        assert state.book is not None
        expected = {story.account(name) for name in ("alice", "bob", "carol", "dave", "frank")}
        assert set(state.book.accounts) == expected
        assert story.position(state, "carol") == {"ETH": (2.0, 0.0)}, "only ever received a transfer"
        assert story.position(state, "alice")["ETH"] == (8.0, 0.0)
        assert checks(state)["positions"] == (5, "7 accounts found from events, 6 of them with collateral or debt")

    def test_one_that_repaid_owes_nothing(self, story: Story) -> None:
        before, after = story.read("lent"), story.read("repaid")
        assert story.position(before, "dave")["USDC"][1] == pytest.approx(1000, rel=1e-6)
        assert story.position(after, "dave") == {"ETH": (3.0, 0.0)}

    def test_what_is_not_collateral_does_not_count(self, story: Story) -> None:
        state = story.read("end")
        assert state.book is not None
        assert story.account("erin") not in state.book.accounts

    def test_who_holds_what_has_no_price_is_left_out_and_counted(self, story: Story) -> None:
        state = story.read("end")
        assert state.book is not None
        assert story.account("grace") not in state.book.accounts
        odd = story.market.tokens["ODD"].address.lower()
        count, detail = checks(state)["unpriced"]
        assert count == 1
        assert odd in detail
        without = story.read("end", assets=("ETH", "USDC"))
        assert {check.detail.split()[2].strip(",") for check in without.checks if check.check == "unpriced"} == {
            odd,
            "DAI",
        }

    @pytest.mark.parametrize("at", ["lent", "end"])
    def test_balances_are_the_tokens_at_that_block(self, story: Story, at: str) -> None:
        """To the last unit, against the data provider: a float holds the nearest to what the contract holds."""
        state, block = story.read(at), story.blocks[at]
        names = {"ETH": "WETH", "USDC": "USDC", "DAI": "DAI"}
        for person in ("alice", "bob", "carol", "dave", "frank"):
            for asset, symbol in names.items():
                token = story.market.tokens[symbol]
                unit = 10 ** token.functions.decimals().call()
                told = story.market.data.functions.getUserReserveData(token.address, story.people[person])
                receipt, stable, variable, *_, collateral = told.call(block_identifier=block)
                held, owed = story.position(state, person).get(asset, (0.0, 0.0))
                assert held == (receipt / unit if collateral else 0.0)
                assert owed == (stable + variable) / unit

    @pytest.mark.parametrize("at", ["lent", "end"])
    def test_book_and_parameters_give_the_health_factor_of_the_pool(self, story: Story, at: str) -> None:
        """The pool rounds prices to 8 decimals and the average threshold down to a basis point."""
        state = story.read(at)
        book = state.book
        assert book is not None
        assert book.assets == ASSETS
        thresholds = np.array(
            [float(state.parameters[key("liquidation_threshold", s)].value) for s in ("DAI", "WETH", "GNO", "USDC")]
        )
        for name in ("alice", "dave"):
            row = book.accounts.index(story.account(name))
            told = story.market.pool.functions.getUserAccountData(story.people[name])
            collateral, debt, _, _, _, health = told.call(block_identifier=story.blocks[at])
            assert book.collateral[row] @ PRICES == pytest.approx(collateral / 1e8, abs=2e-8)
            assert book.debt[row] @ PRICES == pytest.approx(debt / 1e8, abs=2e-8)
            if debt:
                ours = (book.collateral[row] * thresholds) @ PRICES / (book.debt[row] @ PRICES)
                assert ours == pytest.approx(health / 1e18, rel=1e-8)

    @pytest.mark.parametrize("at", ["lent", "end"])
    def test_an_account_in_a_mode_has_the_health_factor_of_the_pool(self, story: Story, at: str) -> None:
        """Frank owes 90 % of what he holds: safe under the mode's 95 %, and not under the reserve's own threshold."""
        state = story.read(at)
        book = state.book
        assert book is not None
        row = book.accounts.index(story.account("frank"))
        assert [book.modes[i] for i in (row, book.accounts.index(story.account("alice")))] == ["lending/1", ""]
        facts = [(state.market, f.kind, f.subject, f.fact, f.value, f.since) for f in state.structure]
        snapshot = replace(make_snapshot(), book=book, structure=Table.from_rows(STRUCTURE_SCHEMA, facts))
        parameters = ParameterSet(dict(state.parameters))
        held = (book.collateral > 0).any(axis=0)
        own = thresholds_of(story.settings, parameters, book.assets, held, None)
        bonus = bonuses_of(story.settings, parameters, book.assets, held)
        modes = modes_of(snapshot, story.settings, parameters, book.assets, (own, bonus))
        assert modes is not None
        told = story.market.pool.functions.getUserAccountData(story.people["frank"])
        *_, health = told.call(block_identifier=story.blocks[at])
        threshold = modes.threshold[modes.account[row]]
        ours, debt = book.collateral[row] * PRICES, book.debt[row] @ PRICES
        assert ours @ threshold / debt == pytest.approx(health / 1e18, rel=1e-8)
        assert ours @ own / debt < 1 < health / 1e18
        assert modes.bonus[modes.account[row]][book.assets.index("USDC")] == 0.01

    def test_accounts_in_a_mode_are_counted(self, story: Story) -> None:
        assert checks(story.read("end"))["efficiency_mode"][0] == 1
        assert "efficiency_mode" not in checks(story.read("governed"))

    def test_none_are_read_where_none_are_wanted(self, story: Story) -> None:
        state = story.read("end", settings=declared(story.market, positions=False))
        assert state.book is None
        assert "positions" not in checks(state)


def test_what_the_codec_writes_the_chain_holds_and_the_reader_reads(story: Story) -> None:
    """Each parameter that has a call, through calldata, the real configurator and back."""
    start, chain = story.chain.snapshot(), story.chain
    base = ParameterSet(dict(story.read("end").parameters))
    head = base.replace(
        {
            key("collateral_factor"): bps(7700),
            key("liquidation_threshold"): bps(8200),
            key("liquidation_bonus"): bps(650),
            key("supply_cap"): TokenAmount(Decimal(160_000), "WETH"),
            key("borrow_cap"): TokenAmount(Decimal(100_000), "WETH"),
            key("debt_ceiling", "GNO"): Usd(Decimal("7654321.09")),
            key("reserve_factor", "DAI"): bps(2500),
            key("liquidation_protocol_fee", "USDC"): bps(2000),
        }
    )
    proposal = encode_proposal(base.diff(head), base, story.settings)
    assert len(proposal.calls) == 6
    for call in proposal.calls:
        sent = chain.web3.eth.send_transaction(
            {"from": chain.accounts[0], "to": Web3.to_checksum_address(call.to), "data": HexStr(call.data)}
        )
        assert chain.web3.eth.wait_for_transaction_receipt(sent, poll_latency=0.002)["status"] == 1
    story.blocks["written"] = chain.number
    state = story.read("written")
    chain.revert(start)
    assert state.parameters == head.values
    assert {k for k, t in state.changed_at.items() if t > story.time("end")} == {c.key for c in base.diff(head)}


def test_what_the_settings_do_not_know_is_counted(story: Story) -> None:
    said = checks(story.read("end"))
    assert said["undeclared"][0] == 1
    assert story.market.tokens["ODD"].address.lower() in said["undeclared"][1]
    assert said["absent"] == (1, "declared reserves that the pool lacks: wstETH")
    assert said["halted"] == (1, "reserves that are frozen, paused or not active: GNO")
    assert "history" not in said


class TestSteward:
    """The steward is our own contract with the read interface of Aave's: no package ships that one."""

    def settings(self, story: Story, words: list[int]) -> Settings:
        steward = story.chain.deploy(own("risk_steward"))
        story.chain.send(steward.functions.configure(b"".join(word.to_bytes(32, "big") for word in words)))
        story.blocks["steward"] = story.chain.number
        return declared(story.market, steward=steward.address)

    def test_bounds_are_read(self, story: Story) -> None:
        """Values of Aave's deployment script: three days, half a point, caps by a doubling."""
        day = 86_400
        pairs = [
            (3 * day, 50), (3 * day, 50), (3 * day, 50), (3 * day, 50), (3 * day, 10), (3 * day, 50),
            (3 * day, 100), (3 * day, 100), (3 * day, 2000), (3 * day, 300), (3 * day, 10_000), (2 * day, 3000),
            (3 * day, 500), (3 * day, 50), (2 * day, 25 * 10**15),
        ]  # fmt: skip
        settings = self.settings(story, [word for pair in pairs for word in pair])
        state = story.read("steward", settings=settings)
        assert state.bounds["collateral_factor"] == StepBound(0.005, False, 3 * day)
        assert state.bounds["supply_cap"] == StepBound(1.0, True, 3 * day)
        assert state.bounds["borrow_cap"] == StepBound(0.3, True, 2 * day)
        assert state.bounds["borrow_rate_slope_above"] == StepBound(0.2, False, 3 * day)
        assert state.bounds["optimal_utilisation"] == StepBound(0.03, False, 3 * day)
        facts = {f.fact: f.value for f in state.structure if f.fact.startswith("steward.")}
        assert facts["steward.efficiency_mode.liquidation_threshold"] == "10 in 259200 s"

    def test_another_layout_is_refused(self, story: Story) -> None:
        settings = self.settings(story, [1, 2, 3])
        with pytest.raises(DataError, match="unknown layout"):
            story.read("steward", settings=settings)

    def test_a_contract_that_is_no_steward_is_refused(self, story: Story) -> None:
        settings = declared(story.market, steward=story.market.pool.address)
        with pytest.raises(DataError, match="risk steward"):
            story.read("end", settings=settings)


class TestWrongAddresses:
    def test_another_configurator(self, story: Story) -> None:
        wrong = story.settings.markets["lending"].model_copy(update={"configurator": "0x" + "ab" * 20})
        settings = story.settings.model_copy(update={"markets": {**story.settings.markets, "lending": wrong}})
        with pytest.raises(SettingsError, match="another configurator"):
            story.read("end", settings=settings)

    @pytest.mark.parametrize("name", ["token", "nobody"])
    def test_a_contract_that_is_no_pool(self, story: Story, name: str) -> None:
        address = story.market.tokens["WETH"].address if name == "token" else "0x" + "ab" * 20
        with pytest.raises(DataError, match="ADDRESSES_PROVIDER"):
            story.read("end", settings=declared(story.market, contract=address))
