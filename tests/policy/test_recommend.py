from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle_adapters import sample
from risk.market import StepBound
from risk.policy.liquidation import required_bonus
from risk.policy.margin import initial_margin
from risk.policy.steward import next_step
from risk.recommendation import replay
from risk.settings import Execution, read_settings
from risk.units import GRIDS, Ratio

GRID = GRIDS["aave_v3"]
EXECUTION = read_settings(sample.settings_text()).execution


def _execution(**values: float) -> Execution:
    return EXECUTION.model_copy(update={"gas_share": 0.001, "execution_move": 0.01, **values})


@pytest.mark.parametrize(("share", "expected"), [(0.1, 0.04745), (0.0, 0.04271)])
def test_required_bonus_pays_the_keeper(share: float, expected: float) -> None:
    assert required_bonus(0.03, _execution(protocol_share=share)) == pytest.approx(expected, abs=5e-6)


def test_initial_margin_per_side() -> None:
    assert initial_margin(0.10, 0.05, -1.0) == pytest.approx(0.145)
    assert initial_margin(0.10, 0.05, 1.0) == pytest.approx(0.155)


@given(st.integers(0, 9900), st.integers(0, 9900), st.integers(1, 500))
def test_a_step_is_legal_and_moves_towards_the_target(now: int, goal: int, step: int) -> None:
    current, target = Ratio(Decimal(now) / 10000), Ratio(Decimal(goal) / 10000)
    taken = next_step(current, target, StepBound(step / 10000, False, 86400), GRID, 100, 200)
    moved = abs(Decimal(taken.value.value) - current.value)
    assert moved <= Decimal(step) / 10000
    assert abs(target.value - Decimal(taken.value.value)) + moved == abs(target.value - current.value)
    assert now == goal or moved > 0
    assert now == goal or taken.earliest == 86500


def test_every_derivation_of_the_sample_replays_to_its_target() -> None:
    from pathlib import Path

    from oracle_adapters.snapshot import build_snapshot
    from risk.parameters import ParameterSet
    from risk.pipeline import calibrate, encode, recommend

    settings = read_settings(sample.settings_text())
    snapshot = build_snapshot(settings, root=Path())
    found = recommend(snapshot, calibrate(snapshot, settings), settings)
    assert len(found.derivations) == len(snapshot.in_force)
    for derivation in found.derivations:
        if derivation.target is None:
            assert derivation.refusal
            continue
        target = ParameterSet.from_texts({str(derivation.key): derivation.target}).get(derivation.key)
        assert target is not None
        assert replay(derivation.terms) == float(target.value)
        assert GRID.holds(target)
    for key, value in found.target.values.items():
        if key.parameter == "liquidation_threshold":
            bonus = found.target.ratio(key.sibling("liquidation_bonus"))
            factor = found.target.ratio(key.sibling("collateral_factor"))
            assert bonus is not None
            assert factor is not None
            assert float(value.value) * (1 + bonus) < 1
            assert factor < float(value.value)
    assert encode(snapshot, found, settings).calls
