"""The next legal step towards a target, when it may be made, and what it leaves uncovered."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from risk.market import StepBound
from risk.parameters import Key, ParameterSet, ParameterSpec, Value
from risk.units import Dimension, Grid, Quantity, Ratio, Rounding, TokenAmount, Usd


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a plan.

    Attributes
    ----------
    value
        What may be set now: the current value where no step is legal yet, or at all.
    count
        Steps to the target; zero where none leads there.
    earliest
        When the next step may be made (unix seconds); None where nothing bounds it.
    moved
        The value that it will set then.
    """

    value: Quantity
    count: int
    earliest: int | None
    moved: Quantity


def with_value(quantity: Quantity, value: Decimal) -> Quantity:
    """A quantity of the same dimension and token with another value."""
    if isinstance(quantity, TokenAmount):
        return TokenAmount(value, quantity.symbol)
    return Usd(value) if isinstance(quantity, Usd) else Ratio(value)


def next_step(
    current: Quantity, target: Quantity, bound: StepBound | None, grid: Grid, changed_at: int | None, as_of: int
) -> Step:
    """The largest legal move from `current` towards `target`; none before the delay since the last change is over.

    Parameters
    ----------
    bound
        None where the route is not bound: the step is the target.
    changed_at
        When the parameter last changed; None where that is not known, and taken as long ago.
    """
    now, goal = Decimal(current.value), Decimal(target.value)
    if bound is None or now == goal:
        return Step(target, 0 if now == goal else 1, None, target)
    earliest = as_of if changed_at is None else max(as_of, changed_at + bound.minimum_delay)
    size = Decimal(repr(bound.step)) * (now if bound.relative else 1)
    size = grid.round(size, current.dimension, Rounding.DOWN)
    gap = abs(goal - now)
    if size <= 0:
        return Step(current, 0, None, current)
    moved = with_value(current, goal if gap <= size else now + (size if goal > now else -size))
    return Step(moved if earliest <= as_of else current, math.ceil(gap / size), earliest, moved)


def coupled_steps(step: Mapping[Key, Value], in_force: ParameterSet, grids: Callable[[str], Grid]) -> dict[Key, Value]:
    """What of a set of next steps must wait for its partner, with the value to set instead.

    A threshold that falls faster than its collateral factor stops a grid step above it, and a factor that rises
    faster than its threshold a grid step below; a threshold or a penalty stays while both together would leave nothing
    of a liquidated collateral: threshold * (1 + bonus) >= 1, or a threshold that reaches its liquidation factor.
    """
    found: dict[Key, Value] = {}
    for key in sorted(k for k in step if k.parameter == "liquidation_threshold"):
        absorbs = key.sibling("liquidation_factor") in step
        penalty_key = key.sibling("liquidation_factor" if absorbs else "liquidation_bonus")
        keys = (key, key.sibling("collateral_factor"), penalty_key)
        threshold, factor, penalty = (_ratio(step.get(k)) for k in keys)
        before, _, penalty_before = (_ratio(in_force.get(k)) for k in keys)
        if threshold is None:
            continue
        milder = max if absorbs else min
        if penalty is not None and _nothing_left(threshold, penalty, absorbs):
            threshold = threshold if before is None else min(threshold, before)
            penalty = penalty if penalty_before is None else milder(penalty, penalty_before)
        if factor is not None and 0 < threshold <= factor:
            unit = Decimal(grids(key.market).ratio)
            if before is not None and threshold < before:
                threshold = min(before, factor + unit)
            if threshold <= factor:
                factor = max(threshold - unit, Decimal(0))
        if penalty is not None and penalty_before is not None and _nothing_left(threshold, penalty, absorbs):
            penalty = milder(penalty, penalty_before)
        for k, value in zip(keys, (threshold, factor, penalty), strict=True):
            if value is not None and value != _ratio(step.get(k)):
                found[k] = Ratio(value)
    return found


def _nothing_left(threshold: Decimal, penalty: Decimal, absorbs: bool) -> bool:
    """Whether a collateral at its threshold has nothing left after the penalty: a bonus, or a liquidation factor."""
    return threshold >= penalty if absorbs else threshold * (1 + penalty) >= 1


def _ratio(value: Value | None) -> Decimal | None:
    return Decimal(value.value) if isinstance(value, Ratio) else None


def on_grid(value: float, spec: ParameterSpec, grid: Grid) -> Decimal:
    """Round once, in the parameter's direction; a cap that reads zero as unlimited becomes its smallest step."""
    rounded = grid.round(value, spec.dimension, spec.rounding)
    smallest = grid.step(Dimension.TOKEN)
    return max(rounded, smallest) if spec.zero_is_unlimited else rounded
