"""Units: a number that cannot be read, is of another token, or lies between the protocol's steps."""

from __future__ import annotations

from risk.gate.context import GateContext, Place, Remark, Rule, each_of_head
from risk.outcome import Severity
from risk.parameters import Key, Malformed
from risk.units import GRIDS, Dimension, Grid, TokenAmount

_EXAMPLES = {
    Dimension.RATIO: 'Write it as "82.50%"',
    Dimension.TOKEN: 'Write it as "1500000 WETH"',
    Dimension.USD: 'Write it as "250000 USD"',
    Dimension.SECONDS: 'Write it as "28d"',
}


def _unit(context: GateContext, place: Place) -> Remark | None:
    [key] = place
    value = context.head.values[key]
    if isinstance(value, Malformed):
        return Remark(value.reason, _EXAMPLES[key.spec.dimension])
    if value.dimension is not key.spec.dimension:
        return Remark(f"a {value.dimension} where a {key.spec.dimension} is expected", _EXAMPLES[key.spec.dimension])
    if isinstance(value, TokenAmount) and value.symbol != key.subject:
        message = f"an amount of {value.symbol} where one of {key.subject} is expected"
        return Remark(message, f"Write the amount in {key.subject}; check that no two were swapped")
    return None


def grid_of(context: GateContext, key: Key) -> Grid | None:
    """The grid of the protocol that a number belongs to, or None where the settings do not know its market."""
    market = context.settings.markets.get(key.market)
    return None if market is None else GRIDS[market.protocol]


def _on_grid(context: GateContext, place: Place) -> Remark | None:
    [key] = place
    quantity, grid = context.head.get(key), grid_of(context, key)
    if quantity is None or grid is None or grid.holds(quantity):
        return None
    step = grid.step(quantity.dimension)
    text = f"{(step * 100).normalize():f} %" if quantity.dimension is Dimension.RATIO else f"{step:f}"
    return Remark(
        "the protocol cannot store it exactly",
        f"Choose a multiple of {text}; nothing is rounded on the way to the contract",
        {"step": step},
    )


RULES = (
    Rule("U001", "a number has its unit, and the right one", Severity.ERROR, each_of_head, _unit),
    Rule("U002", "a number lies on the protocol's grid", Severity.ERROR, each_of_head, _on_grid),
)
