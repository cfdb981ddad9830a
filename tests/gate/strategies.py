"""Valid parameter sets, legal steps from them, and the evidence that a gate run needs."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from risk.artifact import Table
from risk.gate.context import GateContext
from risk.gate.rules import run_gate
from risk.outcome import STRESS_SCHEMA, Finding, GateResult, Severity, StressResult
from risk.parameters import Key, ParameterSet, Value
from risk.recommendation import Derivation, Recommendation
from risk.units import Ratio, TokenAmount, Usd
from tests.factories import AS_OF, DAY, make_settings

SETTINGS = make_settings()
RESERVES = ("LINK", "USDC", "WBTC", "WETH", "wstETH")
PERPS = ("BTC-USD", "ETH-USD")
TIERS = ("1", "2", "10")
STEP = 50  # basis points that stewards may move a ratio by


def reserve(subject: str, parameter: str) -> Key:
    return Key("lending", "reserve", subject, (), parameter)


def tier(subject: str, number: str, parameter: str) -> Key:
    return Key("perps", "market", subject, ("tiers", number), parameter)


def bps(value: int) -> Ratio:
    return Ratio(Decimal(value) / 10_000)


def raw(parameters: ParameterSet, key: Key) -> int:
    """Basis points of a ratio, or whole units of an amount."""
    quantity = parameters.get(key)
    assert quantity is not None
    return int(quantity.value * 10_000) if isinstance(quantity, Ratio) else int(quantity.value)


def highest_threshold(bonus: int) -> int:
    """Largest threshold in basis points with threshold × (1 + bonus) below one, found by trying."""
    return next(t for t in range(9_900, 0, -1) if t * (10_000 + bonus) < 10_000 * 10_000)


@st.composite
def valid_sets(draw: st.DrawFn) -> ParameterSet:
    """One to five reserves and up to two perpetuals with three tiers, all legal."""
    values: dict[Key, Value] = {}
    for subject in draw(st.lists(st.sampled_from(RESERVES), min_size=2, max_size=5, unique=True)):
        bonus = draw(st.integers(100, 1_500))
        threshold = draw(st.integers(3_500, highest_threshold(bonus)))
        values[reserve(subject, "liquidation_bonus")] = bps(bonus)
        values[reserve(subject, "liquidation_threshold")] = bps(threshold)
        values[reserve(subject, "collateral_factor")] = bps(draw(st.integers(200, threshold)))
        values[reserve(subject, "supply_cap")] = TokenAmount(Decimal(draw(st.integers(10, 10**9))), subject)
    for subject in draw(st.lists(st.sampled_from(PERPS), max_size=2, unique=True)):
        maintenance, gap, limit = 0, 0, 0
        for number in TIERS:
            maintenance += draw(st.integers(100, 1_000))
            gap += draw(st.integers(1, 500))
            limit += draw(st.integers(1, 10**8))
            values[tier(subject, number, "maintenance_margin")] = bps(maintenance)
            values[tier(subject, number, "initial_margin")] = bps(maintenance + gap)
            values[tier(subject, number, "notional_limit")] = Usd(Decimal(limit))
    return ParameterSet(values)


@st.composite
def legal_steps(draw: st.DrawFn) -> tuple[ParameterSet, ParameterSet]:
    """A valid set and a head that stewards may move it to: every number may move at once."""
    base = draw(valid_sets())
    values: dict[Key, Value] = {}
    for subject in sorted({key.subject for key in base.values if key.kind == "reserve"}):
        factor, threshold, bonus, cap = (
            raw(base, reserve(subject, name))
            for name in ("collateral_factor", "liquidation_threshold", "liquidation_bonus", "supply_cap")
        )
        bonus = draw(st.integers(max(bonus - STEP, 1), bonus + STEP))
        threshold = draw(st.integers(threshold - STEP, min(threshold + STEP, highest_threshold(bonus))))
        factor = draw(st.integers(factor - STEP, min(factor + STEP, threshold)))
        values[reserve(subject, "collateral_factor")] = bps(factor)
        values[reserve(subject, "liquidation_threshold")] = bps(threshold)
        values[reserve(subject, "liquidation_bonus")] = bps(bonus)
        values[reserve(subject, "supply_cap")] = TokenAmount(Decimal(draw(st.integers(1, 2 * cap))), subject)
    return base, base.replace(values)


def make_stress(
    rows: Mapping[str, tuple[float, float, float]], n_failed: Mapping[str, int] | None = None
) -> StressResult:
    """Budgets by measure: (base, head, budget); a value above its budget fails."""
    listed: list[tuple[Any, ...]] = []
    for measure, (base, head, budget) in rows.items():
        for name, value in (("base", base), ("head", head)):
            failed = (n_failed or {}).get(name, 0)
            status = "fail" if value > budget or failed else "pass"
            listed.append(("monte_carlo", name, measure, 14 * DAY, 0.0, value, 0.0, 1000, failed, budget, True, status))
            listed.append(("replay", name, "liquidated_debt", DAY, 0.0, value, 0.0, 1, 0, 0.0, False, "info"))
    empty = Table({})
    return StressResult(Table.from_rows(STRESS_SCHEMA, listed), empty, empty, {}, {})


def recommended(target: ParameterSet, *, refused: tuple[str, ...] = ()) -> Recommendation:
    """A recommendation of a target; the numbers whose keys are named are refused."""
    derivations = tuple(
        Derivation(key, (), "test", None, str(value), None, refusal="too little data" if str(key) in refused else None)
        for key, value in target.values.items()
    )
    return Recommendation(AS_OF, target, target, derivations, {})


def toy_loss(parameters: ParameterSet) -> float:
    """A loss that rises with every threshold, factor and cap, and with every bonus."""
    total = 0.0
    for key in parameters.values:
        if key.kind == "reserve":
            total += raw(parameters, key) * {"supply_cap": 1e-6}.get(key.parameter, 1.0)
        elif key.parameter == "notional_limit":
            total += 1e-6 * raw(parameters, key)
        else:
            total -= raw(parameters, key)
    return total


def gate(base: ParameterSet, head: ParameterSet, **parts: Any) -> GateResult:
    """A gate run with all evidence: changes long ago, budgets far away."""
    given = {
        "settings": SETTINGS,
        "changed_at": dict.fromkeys(base.values, AS_OF - 30 * DAY),
        "as_of": AS_OF,
        "stress": make_stress({"expected_bad_debt_per_year": (1.0, 1.0, 1e9)}),
        **parts,
    }
    return run_gate(GateContext(base, head, **given))


def errors(result: GateResult) -> set[tuple[str, str]]:
    """Code and key of every error."""
    return {(f.code, f.key) for f in result.findings if f.severity is Severity.ERROR}


def only(result: GateResult, code: str) -> list[Finding]:
    """Findings of one code."""
    return [f for f in result.findings if f.code == code]
