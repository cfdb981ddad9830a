"""Bounds: a number that cannot be right at all, or moved by so much that a digit or a unit slipped."""

from __future__ import annotations

from decimal import Decimal

from risk.gate.context import GateContext, Place, Remark, Rule, each_moved, each_of_head
from risk.gate.steps import is_legal_step
from risk.outcome import Severity
from risk.parameters import Key, ParameterSet
from risk.units import Dimension

POWER_OF_TEN = Decimal(10)
"""A number that moves by this factor or more is taken for a slipped digit or unit."""


def is_possible(parameters: ParameterSet, key: Key) -> bool:
    """Whether a number can be read and lies within the bounds in which it can be right at all."""
    quantity, spec = parameters.get(key), key.spec
    return quantity is not None and quantity.dimension is spec.dimension and spec.lower <= quantity.value <= spec.upper


def _within(context: GateContext, place: Place) -> Remark | None:
    [key] = place
    quantity, spec = context.head.get(key), key.spec
    if quantity is None or quantity.dimension is not spec.dimension or is_possible(context.head, key):
        return None
    lower, upper = _text(spec.lower, spec.dimension), _text(spec.upper, spec.dimension)
    message = f"{spec.title.lower()} cannot be right: it lies outside {lower} to {upper}"
    return Remark(message, "Check the unit, the digits and the field", {"lower": spec.lower, "upper": spec.upper})


def _text(value: Decimal, dimension: Dimension) -> str:
    return f"{(value * 100).normalize():f} %" if dimension is Dimension.RATIO else f"{value:,f}"


def _digits(context: GateContext, place: Place) -> Remark | None:
    [key] = place
    moved = context.moved(key)
    if moved is None or not is_possible(context.base, key):  # mending an impossible number is no slip
        return None
    before, after = (Decimal(quantity.value) for quantity in moved)
    if before * after <= 0:
        return None
    factor = max(before / after, after / before)
    if factor < POWER_OF_TEN:
        return None
    direction = "grows" if after > before else "shrinks"
    times = f"{factor:,.1f}".removesuffix(".0")
    message = f"{key.spec.title.lower()} {direction} by a factor of {times}: a digit or a unit may have slipped"
    severity = Severity.WARNING if is_legal_step(context, key) else None  # e.g. a cap cut within its relative bound
    return Remark(
        message, "Check the digits; if it is meant, move in smaller steps", {"factor": float(factor)}, severity
    )


RULES = (
    Rule("B001", "a number lies where it can be right at all", Severity.ERROR, each_of_head, _within),
    Rule("B002", "a number does not move by a power of ten", Severity.ERROR, each_moved, _digits),
)
