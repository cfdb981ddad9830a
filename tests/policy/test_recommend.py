from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from oracle_adapters import sample
from risk.market import StepBound
from risk.parameters import Key, ParameterSet
from risk.policy.liquidation import required_bonus
from risk.policy.margin import initial_margin
from risk.policy.steward import coupled_steps, next_step
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
    taken = next_step(current, target, StepBound(step / 10000, False, 86400), GRID, 100, 100 + 86400)
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


def test_a_step_waits_until_its_delay_is_over() -> None:
    now, goal, bound = Ratio(Decimal("0.80")), Ratio(Decimal("0.70")), StepBound(0.005, False, 86400)
    taken = next_step(now, goal, bound, GRID, 100, 200)
    assert (taken.value, taken.moved, taken.earliest) == (now, Ratio(Decimal("0.795")), 100 + 86400)
    assert next_step(now, goal, bound, GRID, 100, 100 + 86400).value == taken.moved


def test_no_relative_step_leads_from_zero() -> None:
    taken = next_step(Ratio(Decimal(0)), Ratio(Decimal("0.1")), StepBound(1.0, True, 86400), GRID, None, 200)
    assert (taken.value, taken.count) == (Ratio(Decimal(0)), 0)


@given(*[st.integers(1, 9900) for _ in range(5)], st.integers(0, 1500))
def test_coupled_steps_are_in_order_whenever_what_is_in_force_is(
    factor: int, gap: int, next_factor: int, next_threshold: int, next_bonus: int, bonus: int
) -> None:
    """Whatever the single steps are, what is set next keeps factor < threshold and threshold (1 + bonus) < 1."""
    threshold = factor + gap
    assume(threshold * (10000 + bonus) < 10**8)
    assume(next_factor < 9899)
    names = ("collateral_factor", "liquidation_threshold", "liquidation_bonus")
    keys = [Key("m", "reserve", "X", (), name) for name in names]
    force = dict(zip(keys, (Ratio(Decimal(v) / 10000) for v in (factor, threshold, bonus)), strict=True))
    step = dict(zip(keys, (Ratio(Decimal(v) / 10000) for v in (next_factor, next_threshold, next_bonus)), strict=True))
    taken = {**step, **coupled_steps(step, ParameterSet(force), lambda _: GRID)}
    f, t, b = (taken[key].value for key in keys)
    assert t * (1 + b) < 1
    assert f < t
