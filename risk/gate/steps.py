"""Steps: how far and how often stewards may move a number, with the meaning that their contract gives it.

An absolute bound is in points, a relative one is a share of the value before (Aave's risk steward:
|new - old| <= maxPercentChange, or maxPercentChange × old / 100 %). Governance is not bound by steps.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from risk.gate.context import GateContext, Place, Remark, Rule, each_changed, each_moved
from risk.gate.units import grid_of
from risk.outcome import Severity
from risk.parameters import Key
from risk.units import Dimension, Rounding, Seconds


def steps_bind(context: GateContext) -> bool:
    """Whether the route is bound by steps."""
    return context.settings.policy.route == "steward"


def is_legal_step(context: GateContext, key: Key) -> bool:
    """Whether stewards may move a number as head does; False where no bound is known."""
    declared = key.parameter in context.bounds
    return steps_bind(context) and declared and _step(context, (key,)) is None


def _bound_by_steps(context: GateContext) -> list[Place]:
    return each_moved(context) if steps_bind(context) else []


def _bound_by_delay(context: GateContext) -> list[Place]:
    return [place for place in _bound_by_steps(context) if place[0].parameter in context.bounds]


def _step(context: GateContext, place: Place) -> Remark | None:
    [key] = place
    moved, bound = context.moved(key), context.bounds.get(key.parameter)
    if moved is None:
        return None
    if bound is None:
        message = f"no step bound is declared for {key.spec.title.lower()}, so its step was not checked"
        return Remark(message, f"Declare bounds.{key.parameter} in the settings", severity=Severity.NOTE)
    before, after = (Decimal(quantity.value) for quantity in moved)
    declared = Decimal(repr(bound.step))
    allowed, step = (declared * before if bound.relative else declared), abs(after - before)
    if step <= allowed:
        return None
    return Remark(
        f"moves by {_amount(step, before, key, relative=bound.relative)}, "
        f"and stewards may move it by {_amount(allowed, before, key, relative=bound.relative)}",
        _next_step(context, key, before, after, allowed),
        {"step": step, "allowed": allowed, "relative": bound.relative},
    )


def _amount(step: Decimal, before: Decimal, key: Key, *, relative: bool) -> str:
    if relative:
        return f"{step / before * 100:.2f} % of its value" if before else "any amount from zero"
    return f"{step * 100:.2f} points" if key.spec.dimension is Dimension.RATIO else f"{step:,f}"


def _next_step(context: GateContext, key: Key, before: Decimal, after: Decimal, allowed: Decimal) -> str:
    """The largest legal step in the same direction."""
    grid, quantity, bound = grid_of(context, key), context.base.get(key), context.bounds[key.parameter]
    if grid is None or quantity is None or isinstance(quantity, Seconds) or allowed == 0:
        return "Take it to governance"
    up = after > before
    legal = grid.round(before + allowed * (1 if up else -1), key.spec.dimension, Rounding.DOWN if up else Rounding.UP)
    delay = Seconds(bound.minimum_delay)
    return f"Move to {replace(quantity, value=legal)} now and on after {delay}, or take it to governance"


def _delay(context: GateContext, place: Place) -> Remark | None:
    [key] = place
    if context.changed_at is None or context.as_of is None:
        return None
    delay = context.bounds[key.parameter].minimum_delay
    if (last := context.changed_at.get(key)) is None:
        return Remark("no earlier change of it is on record, so none bounds it", severity=Severity.NOTE)
    if context.as_of - last >= delay:
        return None
    earliest = datetime.fromtimestamp(last + delay, UTC)
    return Remark(
        f"changed {_days(context.as_of - last)} before the evidence, and stewards wait {Seconds(delay)}",
        f"Wait until {earliest:%Y-%m-%d %H:%M} UTC, or take it to governance",
        {"changed_at": last, "as_of": context.as_of, "minimum_delay": delay},
    )


def _days(seconds: int) -> str:
    return f"{seconds / 86400:.1f} days"


def _caps(context: GateContext) -> list[Place]:
    return [place for place in each_changed(context) if place[0].spec.zero_is_unlimited]


def _unlimited(context: GateContext, place: Place) -> Remark | None:
    quantity = context.head.get(place[0])
    if quantity is None or quantity.value != 0:
        return None
    return Remark("a cap of zero means no cap at all", "To stop new supply, set the smallest cap instead")


RULES = (
    Rule("S001", "a step stays within the stewards' bound", Severity.ERROR, _bound_by_steps, _step),
    Rule("S002", "a step waits for its delay", Severity.ERROR, _bound_by_delay, _delay, ("changed_at", "as_of")),
    Rule("S003", "no cap is lifted by writing zero", Severity.ERROR, _caps, _unlimited),
)
