"""Numbers that are read from chain and that no policy derives: the gate, the set and the steps treat them alike."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from risk.artifact import Table
from risk.gate.context import GateContext
from risk.gate.evidence import read_bounds
from risk.gate.rules import run_gate
from risk.market import StepBound
from risk.parameters import Key, ParameterSet
from risk.structure import STEWARD, STRUCTURE_SCHEMA
from tests.factories import AS_OF, PARAMETERS, make_parameters, make_settings, make_snapshot
from tests.gate.strategies import errors, gate

READ = """
[lending.reserve.GNO]
collateral_factor = "31.00%"
liquidation_threshold = "36.00%"
liquidation_bonus = "10.00%"
supply_cap = "100000 GNO"
borrow_cap = "5000 GNO"
debt_ceiling = "1234567.89 USD"
reserve_factor = "20.00%"
liquidation_protocol_fee = "10.00%"
optimal_utilisation = "45.00%"
base_borrow_rate = "0.00%"
borrow_rate_slope_below = "7.00%"
borrow_rate_slope_above = "300.00%"

[lending.efficiency_mode.1]
collateral_factor = "93.00%"
liquidation_threshold = "95.00%"
liquidation_bonus = "1.00%"
"""
BASE = make_parameters(PARAMETERS + READ)
GNO, MODE = "lending/reserve/GNO/", "lending/efficiency_mode/1/"
SETTINGS = make_settings(
    policy={"route": "governance"},
    assets={"GNO": {"asset_class": "mid_cap", "reserve": "lending"}},
)


def after(old: str, new: str) -> set[tuple[str, str]]:
    """Errors of the gate on a set with one line replaced."""
    assert READ.count(old) == 1, old
    return errors(gate(BASE, make_parameters(PARAMETERS + READ.replace(old, new)), settings=SETTINGS))


def test_they_pass_as_they_are_and_survive_their_file() -> None:
    assert gate(BASE, BASE, settings=SETTINGS).findings == ()
    assert ParameterSet.from_toml(BASE.to_toml()) == BASE
    assert BASE.content_hash == ParameterSet.from_texts({str(k): str(v) for k, v in BASE.values.items()}).content_hash


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('borrow_cap = "5000 GNO"', 'borrow_cap = "0 GNO"', ("S003", GNO + "borrow_cap")),
        ('borrow_cap = "5000 GNO"', 'borrow_cap = "5000 WETH"', ("U001", GNO + "borrow_cap")),
        ('"1234567.89 USD"', '"1234567.891 USD"', ("U002", GNO + "debt_ceiling")),
        ('reserve_factor = "20.00%"', 'reserve_factor = "2000%"', ("B001", GNO + "reserve_factor")),
        ('"45.00%"', '"4.50%"', ("B002", GNO + "optimal_utilisation")),
        ('"1.00%"', '"6.00%"', ("I002", MODE + "liquidation_bonus")),
        ('"93.00%"', '"95.01%"', ("I001", MODE + "collateral_factor")),
        ('borrow_rate_slope_below = "7.00%"\n', "", ("C001", GNO + "borrow_rate_slope_below")),
    ],
)
def test_a_mistake_in_one_is_caught(old: str, new: str, expected: tuple[str, str]) -> None:
    assert expected in after(old, new)


def test_a_cap_that_is_lifted_may_take_more_risk() -> None:
    key = Key.parse(GNO + "borrow_cap")
    [change] = BASE.diff(make_parameters(PARAMETERS + READ.replace('"5000 GNO"', '"0 GNO"')))
    assert (change.key, change.tightening) == (key, -1)


@pytest.mark.parametrize(
    ("market", "said"),
    [
        ({"protocol": "generic", "chain_id": 1}, "can be read"),
        ({"protocol": "compound_v3"}, "needs chain_id"),
        ({"protocol": "compound_v3", "chain_id": 1, "steward": "0x" + "22" * 20}, "risk steward"),
    ],
)
def test_a_state_that_cannot_be_read_is_refused_with_the_settings(market: dict[str, Any], said: str) -> None:
    state = {"url_env": "NODE", "contract": "0x" + "11" * 20}
    if "steward" in market:
        state["steward"] = market["steward"]
    with pytest.raises(ValueError, match=said):
        make_settings(markets={"m": {**{k: v for k, v in market.items() if k != "steward"}, "state": state}})


def test_two_sources_of_one_thing_are_refused_with_the_settings() -> None:
    state = {"url_env": "NODE", "contract": "0x" + "11" * 20, "steward": "0x" + "22" * 20}
    aave = {"protocol": "aave_v3", "chain_id": 1, "configurator": "0x" + "33" * 20, "state": state}
    with pytest.raises(ValueError, match="one market at most names a steward"):
        make_settings(markets={"a": aave, "b": aave})
    with pytest.raises(ValueError, match=r"markets\.a\.state\.positions to false"):
        make_settings(markets={"a": aave}, positions="book.csv")
    quiet = {**aave, "state": {**state, "positions": False}}
    assert make_settings(markets={"a": quiet}, positions="book.csv").markets["a"].state is not None
    with pytest.raises(ValueError, match="pattern"):
        make_settings(markets={"a": {**aave, "state": {**state, "url_env": "https://node.example/key"}}})


STEWARDS = {"mine": "0x" + "aB" * 20, "another": "0x" + "cd" * 20}


@pytest.mark.parametrize(
    ("named", "read", "step", "failed"),
    [("mine", "mine", 0.01, False), ("mine", "mine", 0.001, True), ("mine", "another", 0.01, True)],
)
def test_the_bound_that_the_named_steward_has_counts(named: str, read: str, step: float, failed: bool) -> None:
    """0.8 points, where the settings allow half a point: the contract of the steward that they name decides."""
    state = {"url_env": "NODE", "contract": "0x" + "11" * 20, "steward": STEWARDS[named], "positions": False}
    lending = {"protocol": "aave_v3", "chain_id": 1, "configurator": "0x" + "22" * 20, "state": state}
    settings = make_settings(markets={"lending": lending})
    parameter = "collateral_factor"
    fact = ("lending", "bound", parameter, STEWARD, STEWARDS[read].lower(), 0)
    snapshot = replace(
        make_snapshot(),
        bounds={parameter: StepBound(step, relative=False, minimum_delay=3600)},
        structure=Table.from_rows(STRUCTURE_SCHEMA, [fact]),
    )
    base, head = make_parameters(), make_parameters(PARAMETERS.replace('"80.50%"', '"79.70%"'))
    [change] = base.diff(head)
    context = GateContext(
        base, head, settings, {change.key: AS_OF - 7200}, AS_OF, read_bounds=read_bounds(snapshot, settings)
    )
    found = {finding.code for finding in run_gate(context).findings if finding.code in ("S001", "S002")}
    # A delay of an hour on chain, and of three days in the settings.
    expected = {"S001"} if failed else set()
    assert found == (expected | {"S002"} if read != named else expected)
