"""Invariants between numbers of one subject.

Each is a function that says by how much a set breaks it. A breach that base has and that head reduces, or does
not touch, is a warning; a new one, or one that is touched and not reduced, is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial

from risk.gate.context import GateContext, Place, Remark, Rule
from risk.outcome import Severity
from risk.parameters import SPECS, Key, ParameterSet
from risk.seizure.by_protocol import SEIZURES

Excess = Callable[[Decimal, Decimal], Decimal | None]
"""By how much two numbers break an invariant (zero or more), or None where they keep it."""


def _factor_above_threshold(factor: Decimal, threshold: Decimal) -> Decimal | None:
    return factor - threshold if factor > threshold else None


def _toxic(threshold: Decimal, bonus: Decimal) -> Decimal | None:
    """At or above one, a partial liquidation no longer raises the health factor."""
    product = threshold * (1 + bonus)
    return product - 1 if product >= 1 else None


def _absorbed_at_a_loss(threshold: Decimal, factor: Decimal) -> Decimal | None:
    """At or above its liquidation factor, an account is credited less than the debt at which it is absorbed."""
    return threshold - factor if threshold >= factor else None


def _maintenance_reaches_initial(maintenance: Decimal, initial: Decimal) -> Decimal | None:
    return maintenance - initial if maintenance >= initial else None


def _margin_falls(higher: Decimal, lower: Decimal) -> Decimal | None:
    return lower - higher if higher < lower else None


def _limit_does_not_rise(higher: Decimal, lower: Decimal) -> Decimal | None:
    return lower - higher if higher <= lower else None


def _excess(parameters: ParameterSet, place: Place, excess: Excess) -> Decimal | None:
    quantities = [parameters.get(key) for key in place]
    first, second = (
        Decimal(quantity.value) if quantity is not None and quantity.dimension is key.spec.dimension else None
        for key, quantity in zip(place, quantities, strict=True)
    )
    return None if first is None or second is None else excess(first, second)


def _graded(context: GateContext, place: Place, excess: Excess, message: str, remedy: str) -> Remark | None:
    """An error, or a warning where base has the breach and head reduces it or does not touch it."""
    before, after = _excess(context.base, place, excess), _excess(context.head, place, excess)
    if after is None:
        return None
    evidence = {str(key): str(context.head.values[key]) for key in place}
    if before is not None and after < before:
        return Remark(f"{message}; base does so too and head reduces it", remedy, evidence, Severity.WARNING)
    if before is not None and not any(context.changed(key) for key in place):
        return Remark(f"{message}; base does so too and head does not touch it", remedy, evidence, Severity.WARNING)
    return Remark(message, remedy, evidence)


def _together(context: GateContext, first: str, second: str) -> list[Place]:
    """The two parameters of every subject that has both."""
    pairs = ((key, key.sibling(second)) for key in context.head.values if key.parameter == first)
    return [pair for pair in pairs if pair[1] in context.head.values]


def _rungs(context: GateContext, *parameters: str) -> list[Place]:
    """Each tier's number with the same number of the tier below."""
    ladders: dict[tuple[str, str, str], list[Key]] = {}
    for key in context.head.values:
        if key.path and key.parameter in parameters:
            ladders.setdefault((key.market, key.subject, key.parameter), []).append(key)
    ordered = [sorted(ladder, key=lambda key: int(key.path[1])) for ladder in ladders.values()]
    return [rung for ladder in ordered for rung in zip(ladder[1:], ladder[:-1], strict=True)]


def _coupled(context: GateContext) -> list[Place]:
    """Each parameter that another of its subject in head is coupled with, and that other one."""
    found: dict[Key, Key] = {}
    for key in context.head.values:
        market = context.settings.markets.get(key.market)
        penalty = SEIZURES[market.protocol].penalty if market is not None else "liquidation_bonus"
        for name in key.spec.coupled_with:
            found.setdefault(key.sibling(penalty if name == "liquidation_bonus" else name), key)
    return sorted(found.items())


def _half(context: GateContext, place: Place) -> Remark | None:
    missing, present = place
    if missing in context.head.values:
        return None
    untouched = missing not in context.base.values and not context.changed(present)
    return Remark(
        f"{missing.spec.title.lower()} is missing while {SPECS[present.parameter].title.lower()} is set",
        f"Give {missing} as well: the two are read and moved together",
        {"missing": str(missing), "present": str(present)},
        Severity.WARNING if untouched else None,
    )


def _rule(
    code: str, title: str, places: Callable[[GateContext], list[Place]], excess: Excess, message: str, remedy: str
) -> Rule:
    return Rule(
        code, title, Severity.ERROR, places, lambda context, place: _graded(context, place, excess, message, remedy)
    )


RULES = (
    _rule(
        "I001",
        "a collateral factor is not above its threshold",
        partial(_together, first="collateral_factor", second="liquidation_threshold"),
        _factor_above_threshold,
        "the collateral factor is above the liquidation threshold: a new loan could be liquidated at once",
        "Lower the factor or raise the threshold; check that the two were not swapped",
    ),
    _rule(
        "I002",
        "threshold × (1 + bonus) stays below one",
        partial(_together, first="liquidation_threshold", second="liquidation_bonus"),
        _toxic,
        "threshold × (1 + bonus) reaches one: a liquidation no longer raises the health factor",
        "Lower the threshold or the bonus",
    ),
    _rule(
        "I003",
        "maintenance margin stays below initial margin",
        partial(_together, first="maintenance_margin", second="initial_margin"),
        _maintenance_reaches_initial,
        "the maintenance margin reaches the initial margin: a new position could be liquidated at once",
        "Lower the maintenance margin or raise the initial margin; check that the two were not swapped",
    ),
    _rule(
        "I004",
        "margins do not fall from tier to tier",
        lambda context: _rungs(context, "initial_margin", "maintenance_margin"),
        _margin_falls,
        "the margin is lower than that of the tier below",
        "A larger position needs at least the margin of a smaller one",
    ),
    _rule(
        "I004",
        "limits rise from tier to tier",
        lambda context: _rungs(context, "notional_limit"),
        _limit_does_not_rise,
        "the limit is not above that of the tier below",
        "Order the tiers by their limits",
    ),
    Rule("I005", "coupled numbers come together", Severity.ERROR, _coupled, _half),
    _rule(
        "I006",
        "a threshold stays below its liquidation factor",
        partial(_together, first="liquidation_threshold", second="liquidation_factor"),
        _absorbed_at_a_loss,
        "the threshold reaches the liquidation factor: reserves pay for every account that is absorbed",
        "Lower the threshold or raise the liquidation factor",
    ),
)
