"""A Compound III market read back, on our own contract with Comet's read interface and events (constructed)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from oracle_adapters.protocol_state.compound_v3 import read_compound_v3
from oracle_adapters.protocol_state.state import MarketState
from risk.errors import DataError
from risk.parameters import Key
from risk.settings import Settings
from risk.units import Ratio, TokenAmount
from tests.factories import make_settings
from tests.onchain.chains import Chain, own

WETH, WBTC, COMP, ODD = ("0x" + digit * 40 for digit in "1234")
USDC = "0x" + "9" * 40
FEED = "0x" + "8" * 40
ASSETS = ("BTC", "COMP", "ETH", "USDC")
RATES = (8 * 10**17, 15 * 10**15, 35 * 10**15, 25 * 10**16, 85 * 10**16, 0, 325 * 10**14, 4 * 10**17)
FACTOR = 10**14
FRONT = Key("comet", "base", "USDC", (), "store_front_price_factor")


def configs(**changes: Any) -> list[tuple[Any, ...]]:
    """cUSDCv3's WETH as it was deployed, a token of 8 decimals, and one that is closed."""
    table = {
        "WETH": [WETH, FEED, 18, 8250 * FACTOR, 8950 * FACTOR, 9500 * FACTOR, 350_000 * 10**18],
        "WBTC": [WBTC, FEED, 8, 7000 * FACTOR, 7700 * FACTOR, 9500 * FACTOR, 12_000 * 10**8],
        "COMP": [COMP, FEED, 18, 5000 * FACTOR, 7000 * FACTOR, 7500 * FACTOR, 0],
        "ODD": [ODD, FEED, 18, 100 * FACTOR, 200 * FACTOR, 9000 * FACTOR, 10**18],
    }
    for name, (place, value) in changes.items():
        table[name][place] = value
    return [tuple(row) for row in table.values()]


@dataclass
class Market:
    """A Comet, its settings and the chain it lives on."""

    chain: Chain
    comet: Any
    settings: Settings

    def read(self, block: int | None = None, assets: tuple[str, ...] = ASSETS, **state: Any) -> MarketState:
        node = self.chain.node()
        source = self.settings.markets["comet"].state
        assert source is not None
        chosen = source.model_copy(update=state)
        at = node.block(self.chain.number if block is None else block)
        return read_compound_v3("comet", self.settings, chosen, node, at, assets)

    def govern(self, **changes: Any) -> int:
        self.chain.send(self.comet.functions.upgrade(configs(**changes), RATES, 5 * 10**17))
        return self.chain.now()

    def time(self, block: int) -> int:
        return int(self.chain.web3.eth.get_block(block)["timestamp"])


@pytest.fixture
def market(chain: Chain) -> Market:
    comet = chain.deploy(own("comet"), USDC, 6)

    def asset(token: str, symbol: str, **more: Any) -> dict[str, Any]:
        return {
            "asset_class": "large_cap", "reserve": "comet", "symbol": symbol, "token": token, "debts": ["USD"], **more
        }  # fmt: skip

    settings = make_settings(
        markets={
            "comet": {
                "protocol": "compound_v3",
                "chain_id": 1,
                "state": {"url_env": "NODE", "contract": comet.address, "confirmations": 0},
            }
        },
        assets={
            "ETH": asset(WETH, "WETH"),
            "BTC": asset(WBTC, "WBTC", decimals=8),
            "COMP": asset(COMP, "COMP"),
            "USDC": {"asset_class": "stable", "token": USDC, "decimals": 6},
        },
    )
    found = Market(chain, comet, settings)
    found.govern()
    return found


def key(parameter: str, subject: str = "WETH") -> Key:
    return Key("comet", "reserve", subject, (), parameter)


def bps(value: int) -> Ratio:
    return Ratio(Decimal(value) / 10_000)


def checks(state: MarketState) -> dict[str, tuple[int, str]]:
    return {check.check: (check.count, check.detail) for check in state.checks}


def facts(state: MarketState, subject: str = "comet") -> dict[str, str]:
    return {fact.fact: fact.value for fact in state.structure if fact.subject == subject}


def test_every_number_equals_what_was_put_in(market: Market) -> None:
    state = market.read()
    assert state.parameters == {
        key("collateral_factor"): bps(8250),
        key("liquidation_threshold"): bps(8950),
        key("liquidation_factor"): bps(9500),
        key("supply_cap"): TokenAmount(Decimal(350_000), "WETH"),
        key("collateral_factor", "WBTC"): bps(7000),
        key("liquidation_threshold", "WBTC"): bps(7700),
        key("liquidation_factor", "WBTC"): bps(9500),
        key("supply_cap", "WBTC"): TokenAmount(Decimal(12_000), "WBTC"),
        key("collateral_factor", "COMP"): bps(5000),
        key("liquidation_threshold", "COMP"): bps(7000),
        key("liquidation_factor", "COMP"): bps(7500),
        FRONT: bps(5000),
    }
    said = facts(state)
    assert said["base_token"] == USDC
    assert (said["borrow_kink"], said["supply_kink"]) == ("0.8", "0.85")
    assert said["store_front_price_factor"] == "0.5"
    assert said["target_reserves"] == "5000000000000 base units"
    for name, put in zip(("borrow_base", "borrow_slope_low", "borrow_slope_high"), RATES[1:4], strict=True):
        lost = Decimal(put) / 10**18 - Decimal(said[name])
        assert 0 <= lost < Decimal(31_536_000) / 10**18, "a rate is stored a second, floored"


def test_a_cap_of_zero_closes_and_is_no_missing_cap(market: Market) -> None:
    state = market.read()
    assert key("supply_cap", "COMP") not in state.parameters
    assert facts(state, "COMP")["closed"] == "true"
    assert facts(state, "WETH")["closed"] == "false"
    assert checks(state)["closed"][0] == 1


def test_what_the_settings_do_not_know_is_counted(market: Market) -> None:
    said = checks(market.read())
    assert said["undeclared"] == (
        1,
        f"collateral that no asset declares, so it is left out: {ODD}",
    )
    assert "absent" not in said


def test_a_base_token_that_no_asset_declares_is_counted(market: Market) -> None:
    assets = {name: asset for name, asset in market.settings.assets.items() if name != "USDC"}
    bare = Market(market.chain, market.comet, market.settings.model_copy(update={"assets": assets}))
    state = bare.read()
    assert FRONT not in state.parameters
    assert checks(state)["base"] == (1, f"a base token that no asset declares: no store front price factor: {USDC}")
    assert FRONT in market.read().changed_at


def test_a_change_is_in_force_and_dated_from_its_upgrade(market: Market) -> None:
    chain = market.chain
    first, before = market.time(chain.number), chain.number
    chain.mine(2)
    at = market.govern(WETH=(3, 8000 * FACTOR), WBTC=(6, 9_000 * 10**8))
    chain.mine(2)
    again = market.govern(WETH=(3, 8000 * FACTOR), WBTC=(6, 9_500 * 10**8))
    state = market.read()
    assert state.parameters[key("collateral_factor")] == bps(8000)
    assert state.changed_at[key("collateral_factor")] == at, "restated by the second upgrade, not changed"
    assert state.changed_at[key("supply_cap", "WBTC")] == again
    assert state.changed_at[key("liquidation_threshold")] == first
    past = market.read(before)
    assert past.parameters[key("collateral_factor")] == bps(8250)
    assert set(past.changed_at.values()) == {first}


def test_upgrades_before_the_first_block_give_no_date(market: Market) -> None:
    market.chain.mine()
    state = market.read(first_block=market.chain.number)
    assert state.changed_at == {}
    assert checks(state)["history"][0] == len(state.parameters)


def test_a_change_without_an_upgrade_has_no_date(market: Market) -> None:
    changed = configs(WETH=(3, 8000 * FACTOR))
    market.chain.send(market.comet.functions.upgrade(changed, RATES, 5 * 10**17, False))
    state = market.read()
    assert state.parameters[key("collateral_factor")] == bps(8000)
    assert set(state.parameters) - set(state.changed_at) == {key("collateral_factor")}
    assert checks(state)["history"][0] == 1


def test_pauses_are_read_with_their_date(market: Market) -> None:
    market.chain.send(market.comet.functions.pause([True, False, False, True, False]))
    at = market.chain.now()
    market.chain.send(market.comet.functions.pause([True, False, False, False, False]))
    state = market.read()
    dated = {fact.fact: (fact.value, fact.since) for fact in state.structure if fact.fact.endswith("_paused")}
    assert dated["supply_paused"] == ("true", at)
    assert dated["absorb_paused"] == ("false", market.chain.now())
    assert dated["withdraw_paused"] == ("false", at)
    assert checks(state)["halted"] == (1, "actions that are paused: supply_paused")


def test_positions_at_a_block(market: Market) -> None:
    chain, do = market.chain, market.comet.functions
    alice, bob, carol, dave = chain.accounts[1:5]
    chain.send(do.supplyTo(alice, WETH, 10 * 10**18), sender=alice)
    chain.send(do.supplyTo(alice, WBTC, 12_345_678), sender=alice)
    chain.send(do.borrow(15_000_123_456), sender=alice)
    chain.send(do.transferAsset(bob, WETH, 4 * 10**18), sender=alice)
    chain.send(do.supplyTo(carol, WETH, 10**18), sender=carol)
    chain.send(do.borrow(700 * 10**6), sender=carol)
    before = chain.number
    chain.send(do.repay(700 * 10**6), sender=carol)
    chain.send(do.supplyTo(dave, WETH, 10**18), sender=alice)
    chain.send(do.withdrawCollateral(WETH, 10**18), sender=dave)

    def held(state: MarketState) -> dict[str, dict[str, tuple[float, float]]]:
        assert state.book is not None
        found = {}
        for row, account in enumerate(state.book.accounts):
            pairs = zip(state.book.assets, state.book.collateral[row], state.book.debt[row], strict=True)
            found[account] = {name: (float(c), float(d)) for name, c, d in pairs if c or d}
        return found

    names = [f"comet/{account.lower()}" for account in (alice, bob, carol, dave)]
    now = held(market.read())
    assert now == {
        names[0]: {"ETH": (6.0, 0.0), "BTC": (0.12345678, 0.0), "USDC": (0.0, 15_000.123456)},
        names[1]: {"ETH": (4.0, 0.0)},
        names[2]: {"ETH": (1.0, 0.0)},
    }
    assert held(market.read(before))[names[2]] == {"ETH": (1.0, 0.0), "USDC": (0.0, 700.0)}
    assert checks(market.read())["positions"] == (3, "4 accounts found from events, 3 of them with collateral or debt")


def test_who_owes_what_has_no_price_is_left_out_and_counted(market: Market) -> None:
    chain, do = market.chain, market.comet.functions
    alice, bob = chain.accounts[1:3]
    for account, token in ((alice, WETH), (bob, ODD)):
        chain.send(do.supplyTo(account, token, 10**17), sender=account)
    state = market.read()
    assert state.book is not None
    assert state.book.accounts == (f"comet/{alice.lower()}",)
    assert ODD in checks(state)["unpriced"][1]
    assert market.read(assets=("BTC", "USDC")).book is None


def test_a_contract_that_is_no_comet_is_refused(market: Market) -> None:
    with pytest.raises(DataError, match="numAssets"):
        market.read(contract="0x" + "ab" * 20)
