"""Completeness: numbers that are gone, are new, or that the settings know nothing about."""

from __future__ import annotations

from risk.gate.context import GateContext, Place, Remark, Rule, each_changed, each_of_head
from risk.outcome import Severity


def _of_base(context: GateContext) -> list[Place]:
    return [(key,) for key in context.base.values]


def _gone(context: GateContext, place: Place) -> Remark | None:
    if place[0] in context.head.values:
        return None
    return Remark("base has it and head does not", "Give it: a number in force does not go away by being left out")


def _new(context: GateContext, place: Place) -> Remark | None:
    if place[0] in context.base.values:
        return None
    return Remark("head has it and base does not, so no step was checked", "Check that the number is meant to be new")


def _declared(context: GateContext, place: Place) -> Remark | None:
    [key] = place
    settings = context.settings
    if key.market not in settings.markets:
        return Remark(f"the settings know no market {key.market}", f"Declare markets.{key.market}, or mend the name")
    reserves = {(asset.reserve, symbol) for _, symbol, asset in settings.reserves()}
    if key.kind == "reserve" and (key.market, key.subject) not in reserves:
        message = f"the settings know no reserve {key.subject} in {key.market}, so nothing can be said of its risk"
        return Remark(message, "Declare the asset, or mend the name")
    return None


RULES = (
    Rule("C001", "no number is left out", Severity.ERROR, _of_base, _gone),
    Rule("C002", "no number is new", Severity.WARNING, each_of_head, _new),
    Rule("C003", "what changes is known to the settings", Severity.ERROR, each_changed, _declared),
)
