"""Any corruption on any asset of any valid set is caught with its code and key; no legal step is."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from risk.outcome import Severity
from risk.parameters import Key, Malformed, ParameterSet, Value
from risk.units import Ratio, TokenAmount, Usd
from tests.gate.strategies import (
    STEP,
    TIERS,
    bps,
    errors,
    gate,
    highest_threshold,
    legal_steps,
    make_stress,
    only,
    raw,
    reserve,
    tier,
    toy_loss,
    valid_sets,
)

FACTOR, THRESHOLD, BONUS, CAP = "collateral_factor", "liquidation_threshold", "liquidation_bonus", "supply_cap"
RATIOS = (FACTOR, THRESHOLD, BONUS)
Corrupted = tuple[dict[Key, Value], set[tuple[str, Key]]] | None
"""Values that are replaced, and the codes and keys that must be reported; None where it does not apply."""
Corruption = Callable[[ParameterSet, str, st.DataObject], Corrupted]


def factor_above_threshold(base: ParameterSet, subject: str, data: st.DataObject) -> Corrupted:
    key, threshold = reserve(subject, FACTOR), raw(base, reserve(subject, THRESHOLD))
    return {key: bps(data.draw(st.integers(threshold + 1, 20_000)))}, {("I001", key)}


def threshold_below_factor(base: ParameterSet, subject: str, data: st.DataObject) -> Corrupted:
    key, factor = reserve(subject, THRESHOLD), raw(base, reserve(subject, FACTOR))
    return {key: bps(data.draw(st.integers(0, factor - 1)))}, {("I001", key)}


def toxic_threshold(base: ParameterSet, subject: str, data: st.DataObject) -> Corrupted:
    key, bonus = reserve(subject, THRESHOLD), raw(base, reserve(subject, BONUS))
    return {key: bps(data.draw(st.integers(highest_threshold(bonus) + 1, 11_000)))}, {("I002", key)}


def toxic_bonus(base: ParameterSet, subject: str, data: st.DataObject) -> Corrupted:
    key, threshold = reserve(subject, BONUS), raw(base, reserve(subject, THRESHOLD))
    least = -(-10_000 * 10_000 // threshold) - 10_000
    return {key: bps(data.draw(st.integers(least, least + 500)))}, {("I002", key)}


def step_too_large(base: ParameterSet, subject: str, data: st.DataObject) -> Corrupted:
    key = reserve(subject, data.draw(st.sampled_from(RATIOS)))
    size = data.draw(st.integers(STEP + 1, 5_000)) * data.draw(st.sampled_from((-1, 1)))
    return {key: bps(raw(base, key) + size)}, {("S001", key)}


def cap_step_too_large(base: ParameterSet, subject: str, data: st.DataObject) -> Corrupted:
    key = reserve(subject, CAP)
    cap = raw(base, key)
    return {key: TokenAmount(Decimal(data.draw(st.integers(2 * cap + 1, 3 * cap))), subject)}, {("S001", key)}


def hundredfold(base: ParameterSet, subject: str, data: st.DataObject) -> Corrupted:
    """``6400%`` for 64 %."""
    key = reserve(subject, data.draw(st.sampled_from(RATIOS)))
    return {key: bps(raw(base, key) * 100)}, {("B001", key), ("B002", key)}


def tenfold(base: ParameterSet, subject: str, data: st.DataObject) -> Corrupted:
    key = reserve(subject, data.draw(st.sampled_from(RATIOS)))
    value = raw(base, key)
    return {key: bps(data.draw(st.sampled_from((value * 10, value // 10))))}, {("B002", key)}


def tenfold_cap(base: ParameterSet, subject: str, data: st.DataObject) -> Corrupted:
    key = reserve(subject, CAP)
    value = raw(base, key) * data.draw(st.sampled_from((10, 1000, 10**8)))
    return {key: TokenAmount(Decimal(value), subject)}, {("B002", key), ("S001", key)}


def no_unit(base: ParameterSet, subject: str, data: st.DataObject) -> Corrupted:
    """``6400`` for 64 %: as a file would hold it."""
    key = reserve(subject, data.draw(st.sampled_from(RATIOS)))
    text = data.draw(st.sampled_from(("{} %%", "{}", "{} bps", "0,{}%", "-", "NaN%"))).format(raw(base, key))
    return {key: _reread(key, text)}, {("U001", key)}


def negative(base: ParameterSet, subject: str, data: st.DataObject) -> Corrupted:
    key = reserve(subject, data.draw(st.sampled_from((*RATIOS, CAP))))
    value = -raw(base, key)
    return {key: TokenAmount(Decimal(value), subject) if key.parameter == CAP else bps(value)}, {("B001", key)}


def off_grid(base: ParameterSet, subject: str, data: st.DataObject) -> Corrupted:
    key = reserve(subject, data.draw(st.sampled_from((*RATIOS, CAP))))
    part = Decimal(data.draw(st.integers(1, 999))) / 1000
    if key.parameter == CAP:
        return {key: TokenAmount(raw(base, key) - part, subject)}, {("U002", key)}
    return {key: Ratio((raw(base, key) - part) / 10_000)}, {("U002", key)}


def factor_and_threshold_swapped(base: ParameterSet, subject: str, data: st.DataObject) -> Corrupted:
    factor, threshold = reserve(subject, FACTOR), reserve(subject, THRESHOLD)
    if base.values[factor] == base.values[threshold]:
        return None
    return {factor: base.values[threshold], threshold: base.values[factor]}, {("I001", factor)}


def threshold_and_bonus_swapped(base: ParameterSet, subject: str, data: st.DataObject) -> Corrupted:
    threshold, bonus = reserve(subject, THRESHOLD), reserve(subject, BONUS)
    return {bonus: base.values[threshold], threshold: base.values[bonus]}, {("B001", bonus)}


def caps_swapped(base: ParameterSet, subject: str, data: st.DataObject) -> Corrupted:
    others = sorted({k.subject for k in base.values if k.kind == "reserve"} - {subject})
    first, second = reserve(subject, CAP), reserve(data.draw(st.sampled_from(others)), CAP)
    return {first: base.values[second], second: base.values[first]}, {("U001", first), ("U001", second)}


def cap_of_zero(base: ParameterSet, subject: str, data: st.DataObject) -> Corrupted:
    key = reserve(subject, CAP)
    return {key: TokenAmount(Decimal(0), subject)}, {("S003", key)}


RESERVE_CORRUPTIONS: tuple[Corruption, ...] = (
    factor_above_threshold, threshold_below_factor, toxic_threshold, toxic_bonus, step_too_large, cap_step_too_large,
    hundredfold, tenfold, tenfold_cap, no_unit, negative, off_grid, factor_and_threshold_swapped,
    threshold_and_bonus_swapped, caps_swapped, cap_of_zero,
)  # fmt: skip


def margins_swapped(base: ParameterSet, subject: str, data: st.DataObject) -> Corrupted:
    number = data.draw(st.sampled_from(TIERS))
    initial, maintenance = tier(subject, number, "initial_margin"), tier(subject, number, "maintenance_margin")
    return {initial: base.values[maintenance], maintenance: base.values[initial]}, {("I003", maintenance)}


def maintenance_above_initial(base: ParameterSet, subject: str, data: st.DataObject) -> Corrupted:
    number = data.draw(st.sampled_from(TIERS))
    key, initial = tier(subject, number, "maintenance_margin"), raw(base, tier(subject, number, "initial_margin"))
    return {key: bps(data.draw(st.integers(initial, 10_000)))}, {("I003", key)}


def tiers_swapped(base: ParameterSet, subject: str, data: st.DataObject) -> Corrupted:
    name = data.draw(st.sampled_from(("initial_margin", "maintenance_margin", "notional_limit")))
    lower = data.draw(st.integers(0, len(TIERS) - 2))
    first, second = tier(subject, TIERS[lower], name), tier(subject, TIERS[lower + 1], name)
    return {first: base.values[second], second: base.values[first]}, {("I004", second)}


def limits_equal(base: ParameterSet, subject: str, data: st.DataObject) -> Corrupted:
    lower = data.draw(st.integers(0, len(TIERS) - 2))
    first, second = (tier(subject, TIERS[i], "notional_limit") for i in (lower, lower + 1))
    return {second: base.values[first]}, {("I004", second)}


def margin_in_dollars(base: ParameterSet, subject: str, data: st.DataObject) -> Corrupted:
    key = tier(subject, data.draw(st.sampled_from(TIERS)), "initial_margin")
    return {key: Usd(Decimal(10))}, {("U001", key)}


TIER_CORRUPTIONS: tuple[Corruption, ...] = (
    margins_swapped, maintenance_above_initial, tiers_swapped, limits_equal, margin_in_dollars,
)  # fmt: skip


def _reread(key: Key, text: str) -> Value:
    """The value as a file would give it."""
    table = f"{key.market}.{key.kind}.{key.subject}"
    [value] = ParameterSet.from_toml(f'[{table}]\n{key.parameter} = "{text}"\n').values.values()
    assert isinstance(value, Malformed)
    return value


def _is_caught(base: ParameterSet, corrupted: Corrupted) -> None:
    if corrupted is None:
        return
    values, expected = corrupted
    result = gate(base, base.replace(values))
    assert result.failed
    assert {(code, str(key)) for code, key in expected} <= errors(result)
    touched = {str(key) for key in values}
    assert {key for _, key in errors(result)} <= touched, "an error is reported on a number that is not part of it"


@pytest.mark.parametrize("corruption", RESERVE_CORRUPTIONS)
@given(base=valid_sets(), data=st.data())
@settings(max_examples=40)
def test_a_corrupted_reserve_is_caught(corruption: Corruption, base: ParameterSet, data: st.DataObject) -> None:
    subject = data.draw(st.sampled_from(sorted({k.subject for k in base.values if k.kind == "reserve"})))
    _is_caught(base, corruption(base, subject, data))


@pytest.mark.parametrize("corruption", TIER_CORRUPTIONS)
@given(base=valid_sets().filter(lambda s: any(k.kind == "market" for k in s.values)), data=st.data())
@settings(max_examples=40)
def test_corrupted_tiers_are_caught(corruption: Corruption, base: ParameterSet, data: st.DataObject) -> None:
    subject = data.draw(st.sampled_from(sorted({k.subject for k in base.values if k.kind == "market"})))
    _is_caught(base, corruption(base, subject, data))


@given(valid_sets(), st.data())
def test_a_number_that_is_left_out_is_missed(base: ParameterSet, data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(list(base.values)))
    result = gate(base, ParameterSet({k: v for k, v in base.values.items() if k != key}))
    assert ("C001", str(key)) in errors(result)
    coupled = any(key.parameter in k.spec.coupled_with for k in base.values if k.subject == key.subject)
    assert (("I005", str(key)) in errors(result)) is coupled


@given(legal_steps(), st.data())
def test_a_change_that_breaks_a_budget_is_caught(step: tuple[ParameterSet, ParameterSet], data: st.DataObject) -> None:
    """One loosening step on any asset, with a budget that base only just keeps."""
    base, head = step
    risky = [c for c in base.diff(head) if toy_loss(base.replace({c.key: c.after})) > toy_loss(base)]  # type: ignore[dict-item]
    if not risky:
        return
    change = data.draw(st.sampled_from(risky))
    assert change.after is not None
    head = base.replace({change.key: change.after})
    stress = make_stress({"expected_bad_debt_per_year": (toy_loss(base), toy_loss(head), toy_loss(base))})
    found = errors(gate(base, head, stress=stress))
    assert {key for code, key in found if code == "E001"} == {str(change.key)}
    assert {code for code, _ in found} <= {"E001", "I001", "I002"}, "a lone step may leave its coupled half behind"


@given(legal_steps())
@settings(max_examples=300)
def test_a_legal_step_gives_no_failure(step: tuple[ParameterSet, ParameterSet]) -> None:
    base, head = step
    result = gate(base, head)
    assert not result.failed, result.findings
    assert result.checked["S001"] == len(base.diff(head))
    assert result.checked["U001"] == len(head)


@given(valid_sets())
def test_a_set_against_itself_passes_without_evidence(base: ParameterSet) -> None:
    result = gate(base, base, stress=None, changed_at=None, as_of=None)
    assert result.findings == ()


@given(base=valid_sets(), data=st.data())
def test_a_breach_that_is_reduced_is_a_warning(base: ParameterSet, data: st.DataObject) -> None:
    """A factor above its threshold and a toxic threshold, both moved a legal step towards where they belong."""
    subject = data.draw(st.sampled_from(sorted({k.subject for k in base.values if k.kind == "reserve"})))
    factor, threshold, bonus = (reserve(subject, name) for name in RATIOS)
    frontier = highest_threshold(raw(base, bonus)) + 1
    over = data.draw(st.integers(2, 60))
    step = data.draw(st.integers(1, min(over - 1, STEP)))
    toxic = base.replace({threshold: bps(frontier + over)})
    better = base.replace({threshold: bps(frontier + over - step)})
    result = gate(toxic, better)
    if frontier + over <= 9_900:  # beyond that the threshold cannot be right at all
        assert not result.failed, result.findings
    assert [f.severity for f in only(result, "I002")] == [Severity.WARNING]
    above = base.replace({factor: bps(raw(base, threshold) + over)})
    result = gate(above, base.replace({factor: bps(raw(base, threshold) + over - step)}))
    assert [(f.severity, f.key) for f in only(result, "I001")] == [(Severity.WARNING, str(factor))]
    worse = base.replace({factor: bps(raw(base, threshold) + over + 1)})
    assert ("I001", str(factor)) in errors(gate(above, worse))
    other = data.draw(st.sampled_from([k for k in base.values if k.kind == "reserve" and k.subject != subject]))
    moved = above.replace(
        {other: bps(1)} if other.parameter != CAP else {other: TokenAmount(Decimal(1), other.subject)}
    )
    assert all(f.severity is Severity.WARNING for f in only(gate(above, moved), "I001") if subject in f.key.split("/"))
