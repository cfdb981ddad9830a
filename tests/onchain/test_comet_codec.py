"""The Compound III codec's calldata executed: what was encoded is what the market then has in force.

No package ships Comet's contracts, so the Configurator, the proxy's admin and the Comet are our own (constructed); the
selectors are held to the deployed ones in tests/protocols.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pytest
from web3.exceptions import ContractLogicError

from oracle_adapters.protocol_state.compound_v3 import read_compound_v3
from risk.errors import RefusalError
from risk.parameters import Key, ParameterSet, Value
from risk.protocols.codec import Call
from risk.protocols.compound_v3 import SETTERS, CompoundV3
from risk.units import TokenAmount
from tests.factories import make_settings
from tests.onchain.chains import GAS, Chain, own
from tests.onchain.test_comet_state import ASSETS, FRONT, RATES, USDC, WBTC, WETH, bps, configs, key


@dataclass
class Governed:
    """A Comet that a Configurator governs, and the codec for the two."""

    chain: Chain
    comet: Any
    codec: CompoundV3

    def in_force(self) -> ParameterSet:
        """What the state adapter reads of the codec's assets."""
        state = {"url_env": "NODE", "contract": self.comet.address, "confirmations": 0}
        listed = {
            name: {"asset_class": "large_cap", "reserve": "comet", "symbol": symbol, "token": token, "debts": ["USDC"]}
            for name, symbol, token in (("ETH", "WETH", WETH), ("BTC", "WBTC", WBTC))
        }
        usdc = {"asset_class": "stable", "token": USDC, "decimals": 6, "peg": "USD", "backing": "fiat"}
        settings = make_settings(
            markets={"comet": {"protocol": "compound_v3", "chain_id": 1, "state": state}},
            assets={**listed, "USDC": usdc},
        )
        source, node = settings.markets["comet"].state, self.chain.node()
        assert source is not None
        found = read_compound_v3("comet", settings, source, node, node.block(self.chain.number), ASSETS)
        return ParameterSet(found.parameters)

    def execute(self, calls: Sequence[Call]) -> None:
        """Send each call as a governor would."""
        for call in calls:
            sent = {"from": self.chain.accounts[0], "to": call.to, "data": call.data, "gas": GAS, "gasPrice": 10**10}
            self.chain.web3.eth.call(sent)  # raises where the transaction would revert
            receipt = self.chain.web3.eth.wait_for_transaction_receipt(self.chain.web3.eth.send_transaction(sent))
            assert receipt["status"] == 1


@pytest.fixture
def governed(chain: Chain) -> Governed:
    comet, configurator = chain.deploy(own("comet"), USDC, 6), chain.deploy(own("configurator"))
    listed = [row for row in configs() if row[0] in (WETH, WBTC)]
    chain.send(configurator.functions.setConfiguration(comet.address, listed, RATES, 5 * 10**17))
    chain.send(configurator.functions.deployAndUpgradeTo(configurator.address, comet.address))
    codec = CompoundV3(
        "comet", comet.address, configurator.address, configurator.address, "USDC",
        {"WETH": WETH, "WBTC": WBTC}, {"WETH": 18, "WBTC": 8},
    )  # fmt: skip
    return Governed(chain, comet, codec)


def changed(base: ParameterSet) -> ParameterSet:
    return base.replace(
        {
            key("collateral_factor"): bps(8000),
            key("liquidation_threshold"): bps(8600),
            key("liquidation_factor"): bps(9600),
            key("supply_cap"): TokenAmount(Decimal(123_456), "WETH"),
            key("collateral_factor", "WBTC"): bps(7700),
            key("liquidation_threshold", "WBTC"): bps(8111),
            key("supply_cap", "WBTC"): TokenAmount(Decimal(7), "WBTC"),
            FRONT: bps(6000),
        }
    )


def test_what_is_encoded_is_then_in_force(governed: Governed) -> None:
    base = governed.in_force()
    assert str(base.values[key("supply_cap", "WBTC")]) == "12000 WBTC"
    head = changed(base)
    calls = governed.codec.encode(base.diff(head), base)
    governed.execute(calls[:-1])
    assert governed.in_force() == base, "nothing is in force before the upgrade"
    governed.execute(calls[-1:])
    assert governed.in_force() == head


@pytest.mark.parametrize(
    "wrong",
    [
        {key("collateral_factor"): bps(8950)},
        {key("liquidation_threshold"): bps(8250)},
        {key("liquidation_threshold"): bps(10_001)},
        {FRONT: bps(10_001)},
    ],
)
def test_what_the_codec_refuses_the_chain_reverts(governed: Governed, wrong: dict[Key, Value]) -> None:
    base = governed.in_force()
    head = base.replace(wrong)
    with pytest.raises(RefusalError):
        governed.codec.encode(base.diff(head), base)
    # The same calldata, made by hand past the codec's rules.
    [(name, value)] = list(wrong.items())
    _, upgrade = governed.codec.encode(base.diff(base.replace({key("liquidation_factor"): bps(9600)})), base)
    asset = () if name == FRONT else (WETH,)
    number = int(value.value * 10**18)  # type: ignore[union-attr]
    data = SETTERS[name.parameter].encode((governed.comet.address, *asset, number))
    setter = replace(upgrade, to=governed.codec.configurator, data=data)
    governed.execute([setter])
    with pytest.raises(ContractLogicError):
        governed.execute([upgrade])
    assert governed.in_force() == base
