"""The later forms of an Aave v3 market, on our own contract that answers as versions from 3.2 on do (constructed).

They run on the in-process chain, too, so that the reader is covered where no node was fetched.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from oracle_adapters.protocol_state.aave_v3 import read_aave_v3
from oracle_adapters.protocol_state.state import MarketState
from risk.parameters import Key
from risk.settings import Settings
from risk.units import Ratio
from tests.factories import make_settings
from tests.onchain.chains import Chain, own

ASSETS = ("ETH", "USDC")


@dataclass
class Market:
    """A market of three reserves, the last of which the settings do not declare."""

    chain: Chain
    pool: Any
    receipts: list[Any]
    debts: list[Any]
    settings: Settings

    def read(self, block: int | None = None) -> MarketState:
        node, source = self.chain.node(), self.settings.markets["lending"].state
        assert source is not None
        at = node.block(self.chain.number if block is None else block)
        return read_aave_v3("lending", self.settings, source, node, at, ASSETS)

    def send(self, function: Any) -> int:
        self.chain.send(function)
        return self.chain.now()


@pytest.fixture
def market(chain: Chain, request: pytest.FixtureRequest) -> Market:
    pool = chain.deploy(own("aave_later"), getattr(request, "param", 10))
    symbols, decimals = ("WETH", "USDC", "ODD"), (18, 6, 18)
    tokens = [chain.deploy(own("token"), s, s, d) for s, d in zip(symbols, decimals, strict=True)]
    receipts = [chain.deploy(own("token"), f"a{s}", f"a{s}", d) for s, d in zip(symbols, decimals, strict=True)]
    debts = [chain.deploy(own("token"), f"v{s}", f"v{s}", d) for s, d in zip(symbols, decimals, strict=True)]
    for token, receipt, debt, places in zip(tokens, receipts, debts, decimals, strict=True):
        chain.send(pool.functions.initReserve(token.address, receipt.address, debt.address, places))
    weth, usdc, _ = (token.address for token in tokens)
    chain.send(pool.functions.configure(weth, 8050, 8300, 10_500))
    chain.send(pool.functions.configure(usdc, 7500, 7800, 10_450))
    chain.send(pool.functions.setRates(weth, (9200, 0, 270, 8000)))
    chain.send(pool.functions.setRates(usdc, (9200, 50, 550, 6000)))
    chain.send(pool.functions.setMode(3, (9000, 9300, 10_100), "ETH correlated", 0b101, 0b001))
    settings = make_settings(
        markets={
            "lending": {
                "protocol": "aave_v3",
                "chain_id": 1,
                "configurator": pool.address,
                "state": {"url_env": "NODE", "contract": pool.address},
            }
        },
        assets={
            "ETH": {"asset_class": "large_cap", "reserve": "lending", "symbol": "WETH", "token": weth},
            "USDC": {"asset_class": "stable", "reserve": "lending", "token": usdc, "decimals": 6},
            **{name: {"asset_class": "large_cap"} for name in ("BTC", "LINK", "WSTETH")},
        },
    )
    return Market(chain, pool, receipts, debts, settings)


def key(parameter: str, subject: str = "WETH", kind: str = "reserve") -> Key:
    return Key("lending", kind, subject, (), parameter)


def bps(value: int) -> Ratio:
    return Ratio(Decimal(value) / 10_000)


def test_rates_of_a_shared_strategy_are_dated_each(market: Market) -> None:
    state = market.read()
    names = ("optimal_utilisation", "base_borrow_rate", "borrow_rate_slope_below", "borrow_rate_slope_above")
    assert [state.parameters[key(name)] for name in names] == [bps(9200), bps(0), bps(270), bps(8000)]
    assert [state.parameters[key(name, "USDC")] for name in names] == [bps(9200), bps(50), bps(550), bps(6000)]
    market.chain.mine(3)
    weth = next(address for address, token in _tokens(market).items() if token == "WETH")
    at = market.send(market.pool.functions.setRates(market.chain.web3.to_checksum_address(weth), (9200, 0, 300, 8000)))
    late = market.read()
    moved = {name for name in names if late.changed_at[key(name)] != state.changed_at[key(name)]}
    assert moved == {"borrow_rate_slope_below"}
    assert late.changed_at[key("borrow_rate_slope_below")] == at
    assert "history" not in {check.check for check in late.checks}


def _tokens(market: Market) -> dict[str, str]:
    return {(asset.token or "").lower(): asset.symbol or name for name, asset in market.settings.assets.items()}


def test_modes_name_reserves_in_bitmaps(market: Market) -> None:
    state = market.read()
    triple = {name: state.parameters[key(name, "3", "efficiency_mode")] for name in _TRIPLE}
    assert list(triple.values()) == [bps(9000), bps(9300), bps(100)]
    facts = {fact.fact: fact.value for fact in state.structure if (fact.kind, fact.subject) == ("efficiency_mode", "3")}
    odd = market.pool.functions.getReservesList().call()[2].lower()
    assert facts == {"label": "ETH correlated", "collateral": f"{odd} WETH", "borrowable": "WETH"}
    revision = next(fact.value for fact in state.structure if fact.fact == "pool_revision")
    assert revision == "10"


_TRIPLE = ("collateral_factor", "liquidation_threshold", "liquidation_bonus")


def test_a_date_is_that_of_the_value_not_of_the_event(market: Market) -> None:
    early = market.read()
    before = market.chain.number
    market.chain.mine(2)
    weth = market.pool.functions.getReservesList().call()[0]
    at = market.send(market.pool.functions.configure(weth, 8050, 8300, 10_600))
    late = market.read()
    assert late.changed_at[key("liquidation_bonus")] == at
    assert late.changed_at[key("liquidation_threshold")] == early.changed_at[key("liquidation_threshold")]
    assert market.read(before).changed_at == early.changed_at


def test_positions_at_past_blocks(market: Market) -> None:
    """Bits of a user's word: two a reserve, borrowing and then collateral."""
    chain, users = market.chain, market.chain.accounts[1:4]
    chain.send(market.receipts[0].functions.mint(users[0], 5 * 10**18))
    chain.send(market.debts[1].functions.mint(users[0], 1_234_567_891))
    chain.send(market.pool.functions.setUser(users[0], 0b0110, 3))
    chain.send(market.receipts[0].functions.mint(users[1], 10**18))
    chain.send(market.pool.functions.setUser(users[1], 0, 0))
    before = chain.number
    chain.send(market.receipts[0].functions.transfer(users[2], 0), sender=users[1])
    chain.send(market.receipts[0].functions.transfer(users[2], 10**17), sender=users[1])
    chain.send(market.pool.functions.setUser(users[2], 0b0010, 0))
    state = market.read()
    assert state.book is not None
    assert state.book.accounts == tuple(sorted(f"lending/{users[i].lower()}" for i in (0, 2)))
    row = state.book.accounts.index(f"lending/{users[0].lower()}")
    assert (state.book.collateral[row].tolist(), state.book.debt[row].tolist()) == ([5.0, 0.0], [0.0, 1234.567891])
    assert sorted(state.book.collateral[:, 0].tolist()) == [0.1, 5.0]
    past = market.read(before).book
    assert past is not None
    assert past.accounts == (f"lending/{users[0].lower()}",)
    assert {check.check: check.count for check in state.checks}["efficiency_mode"] == 1


@pytest.mark.parametrize(("market", "said"), [(10, False), (11, True)], indirect=["market"])
def test_a_revision_that_is_not_known_is_shown(market: Market, said: bool) -> None:
    assert ("revision" in {check.check for check in market.read().checks}) is said
