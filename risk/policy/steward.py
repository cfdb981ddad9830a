"""The next legal step towards a target, when it may be made, and what it leaves uncovered."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

from risk.market import StepBound
from risk.parameters import ParameterSpec
from risk.units import Dimension, Grid, Quantity, Ratio, Rounding, TokenAmount, Usd


@dataclass(frozen=True, slots=True)
class Step:
    """A step: its value, how many it takes to the target, and when it may be made (unix seconds)."""

    value: Quantity
    count: int
    earliest: int | None


def with_value(quantity: Quantity, value: Decimal) -> Quantity:
    """A quantity of the same dimension and token with another value."""
    if isinstance(quantity, TokenAmount):
        return TokenAmount(value, quantity.symbol)
    return Usd(value) if isinstance(quantity, Usd) else Ratio(value)


def next_step(
    current: Quantity, target: Quantity, bound: StepBound | None, grid: Grid, changed_at: int | None, as_of: int
) -> Step:
    """The largest legal move from `current` towards `target`.

    Parameters
    ----------
    bound
        None where the route is not bound: the step is the target.
    """
    now, goal = Decimal(current.value), Decimal(target.value)
    if bound is None or now == goal:
        return Step(target, 0 if now == goal else 1, None)
    earliest = as_of if changed_at is None else max(as_of, changed_at + bound.minimum_delay)
    size = Decimal(repr(bound.step)) * (now if bound.relative else 1)
    dimension = current.dimension
    size = grid.round(size, dimension, Rounding.DOWN)
    gap = abs(goal - now)
    if size <= 0:
        return Step(current, 0, earliest)
    moved = goal if gap <= size else now + (size if goal > now else -size)
    return Step(with_value(current, moved), math.ceil(gap / size), earliest)


def on_grid(value: float, spec: ParameterSpec, grid: Grid) -> Decimal:
    """Round once, in the parameter's direction; a cap that reads zero as unlimited becomes its smallest step."""
    rounded = grid.round(value, spec.dimension, spec.rounding)
    smallest = grid.step(Dimension.TOKEN)
    return max(rounded, smallest) if spec.zero_is_unlimited else rounded
