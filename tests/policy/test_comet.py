"""Targets of a Comet: every number replays, fits the contract, and bears what is credited before it is sold."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from risk.artifact import Table
from risk.market import MarketSnapshot
from risk.parameters import Key, ParameterSet
from risk.policy.recommend import recommend
from risk.policy.steward import coupled_steps
from risk.recommendation import Recommendation, replay
from risk.settings import Settings
from risk.structure import STRUCTURE_SCHEMA
from risk.units import GRIDS, Ratio
from tests.factories import make_calibration, make_parameters, make_settings, make_snapshot

GRID = GRIDS["compound_v3"]
RESERVES = {"BTC": "WBTC", "ETH": "WETH", "LINK": "LINK", "WSTETH": "wstETH"}
IN_FORCE = """\
[lending.base.USDC]
store_front_price_factor = "60.00%"
""" + "".join(
    f"""
[lending.reserve.{symbol}]
collateral_factor = "70.00%"
liquidation_threshold = "77.00%"
liquidation_factor = "93.00%"
supply_cap = "2000 {symbol}"
"""
    for symbol in RESERVES.values()
)


def comet_settings(**parts: Any) -> Settings:
    assets = make_settings().model_dump(mode="json", exclude_defaults=True)["assets"]
    listed = {name: {**asset, "debts": ["USDC"], "perpetual": None} for name, asset in assets.items()}
    listed["USDC"] = {"asset_class": "stable", "peg": "USD", "backing": "fiat"}
    parts = {"policy": {"route": "governance"}, **parts}
    return make_settings(markets={"lending": {"protocol": "compound_v3"}}, assets=listed, **parts)


def recommended(settings: Settings, **changes: Any) -> tuple[MarketSnapshot, Recommendation]:
    snapshot = replace(make_snapshot(book=False, in_force=make_parameters(IN_FORCE)), **changes)
    return snapshot, recommend(snapshot, make_calibration(snapshot, settings), settings)


@pytest.fixture(scope="module")
def found() -> Recommendation:
    return recommended(comet_settings())[1]


def test_every_derivation_replays_to_a_target_that_the_contract_holds(found: Recommendation) -> None:
    assert len(found.derivations) == 4 * len(RESERVES)
    assert {d.key.parameter for d in found.derivations} == {
        "collateral_factor", "liquidation_threshold", "liquidation_factor", "supply_cap",
    }  # fmt: skip
    assert any(d.target is not None for d in found.derivations if d.key.parameter == "liquidation_factor")
    for derivation in found.derivations:
        if derivation.target is None:
            assert derivation.refusal
            continue
        target = ParameterSet.from_texts({str(derivation.key): derivation.target}).get(derivation.key)
        assert target is not None
        assert replay(derivation.terms) == float(target.value)
        assert GRID.holds(target)
    for values in (found.target, found.next_step):
        for key, threshold in values.values.items():
            if key.parameter == "liquidation_threshold":
                factor, penalty = (values.get(key.sibling(n)) for n in ("collateral_factor", "liquidation_factor"))
                assert factor is not None
                assert penalty is not None
                assert factor.value < threshold.value < penalty.value  # type: ignore[union-attr,operator]


def test_the_bonus_grid_decides_the_liquidation_factor(found: Recommendation) -> None:
    """With only the largest bonus on the grid the liquidation factor is what its discount makes of it, and lower."""
    key = Key("lending", "reserve", "WETH", (), "liquidation_factor")
    _, dear = recommended(comet_settings(policy={"route": "governance", "bonus_grid": ["15%"]}))
    assert dear.target.ratio(key) == pytest.approx(1 - 0.15 / 1.15 / 0.6, abs=1e-4)
    assert (dear.target.ratio(key) or 0) < (found.target.ratio(key) or 0)


def test_a_store_front_that_leaves_buyers_nothing_refuses_all() -> None:
    parameters = make_parameters(IN_FORCE.replace('"60.00%"', '"0.00%"'))
    _, refused = recommended(comet_settings(), in_force=parameters)
    for derivation in refused.derivations:
        if derivation.key.parameter == "liquidation_factor":
            assert derivation.target is None
            assert "no penalty leaves a buyer a bonus on the grid" in (derivation.refusal or "")


def test_what_is_closed_stays_closed() -> None:
    closed = [("lending", "reserve", "WETH", "closed", "true", 0)]
    key = Key("lending", "reserve", "WETH", (), "supply_cap")
    in_force = ParameterSet({k: v for k, v in make_parameters(IN_FORCE).values.items() if k != key})
    _, kept = recommended(
        comet_settings(), in_force=in_force, structure=Table.from_rows(STRUCTURE_SCHEMA, closed)
    )  # fmt: skip
    assert key not in kept.target.values
    derivation = kept.derivation(key)
    assert derivation is not None
    assert "closed to new supply" in (derivation.refusal or "")
    assert Key("lending", "reserve", "WBTC", (), "supply_cap") in kept.target.values


@given(*[st.integers(1, 9900) for _ in range(5)], st.integers(1, 1500))
def test_coupled_steps_are_in_order_whenever_what_is_in_force_is(
    factor: int, gap: int, next_factor: int, next_threshold: int, next_penalty: int, more: int
) -> None:
    """Whatever the single steps are, what is set next keeps factor < threshold < liquidation factor."""
    threshold = factor + gap
    penalty = threshold + more
    assume(penalty <= 10_000)
    assume(next_factor < 9899)
    names = ("collateral_factor", "liquidation_threshold", "liquidation_factor")
    keys = [Key("m", "reserve", "X", (), name) for name in names]
    force = dict(zip(keys, (Ratio(Decimal(v) / 10000) for v in (factor, threshold, penalty)), strict=True))
    step = dict(
        zip(keys, (Ratio(Decimal(v) / 10000) for v in (next_factor, next_threshold, next_penalty)), strict=True)
    )
    taken = {**step, **coupled_steps(step, ParameterSet(force), lambda _: GRID)}
    f, t, p = (taken[key].value for key in keys)  # type: ignore[union-attr]
    assert f < t < p
