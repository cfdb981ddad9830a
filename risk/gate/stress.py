"""Stress: what head does to the budgets, against base on the same paths.

A simulation of many changes at once cannot say which of them breaks a budget, so a breach is reported on every
changed number that does not make the protocol safer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from risk.gate.bounds import is_possible
from risk.gate.context import GateContext, Place, Remark, Rule, each_changed
from risk.outcome import Measure, Severity
from risk.parameters import ParameterSet

BASE, HEAD = "base", "head"
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Budgeted:
    """One budget, with the row of each set; None where a set has none."""

    name: str
    measure: str
    base: Row | None
    head: Row | None

    @property
    def complete(self) -> bool:
        """Whether both sets were simulated and no path failed."""
        return all(row is not None and row["n_failed"] == 0 for row in (self.base, self.head))

    def text(self) -> str:
        """The budget and both values, in words."""
        base, head = self.base or {}, self.head or {}
        amounts = (_amount(self.measure, value) for value in (head["value"], head["budget"], base["value"]))
        return "{} is {} where {} is accepted, and {} in base".format(self.name, *amounts)

    def evidence(self) -> dict[str, Any]:
        """The figures of both sets."""
        names = ("value", "standard_error", "budget", "n_paths", "n_failed")
        rows = ((BASE, self.base), (HEAD, self.head))
        return {side: None if row is None else {name: row[name] for name in names} for side, row in rows}


def budgets(context: GateContext) -> list[Budgeted]:
    """Every row that has a budget in either set, by scenario, measure, horizon and confidence."""
    rows: dict[tuple[Any, ...], dict[str, Row]] = {}
    if context.stress is not None:
        for row in context.stress.rows.where(has_budget=True).rows():
            identity = (row["scenario"], row["measure"], row["horizon"], row["confidence"])
            rows.setdefault(identity, {})[row["set_id"]] = row
    return [
        Budgeted(f"{identity[1].replace('_', ' ')} in {identity[0]}", identity[1], sides.get(BASE), sides.get(HEAD))
        for identity, sides in sorted(rows.items())
        if sides.keys() & {BASE, HEAD}
    ]


def why_not_stressed(base: ParameterSet, head: ParameterSet) -> str | None:
    """Why the two sets cannot be simulated, or None: a number that cannot be right has no losses."""
    for name, parameters in ((BASE, base), (HEAD, head)):
        wrong = [key for key in parameters.values if not is_possible(parameters, key)]
        if wrong:
            return f"{name} cannot be simulated: {wrong[0]} cannot be right ({len(wrong)} in all)"
    gone = [key for key in base.values if key not in head.values]
    return f"head cannot be simulated: it has no {gone[0]} ({len(gone)} missing in all)" if gone else None


def _suspects(context: GateContext) -> list[Place]:
    """Changed numbers that do not make the protocol safer; every changed number where all do."""
    loosened: list[Place] = [(change.key,) for change in context.changes if change.tightening <= 0]
    return loosened or each_changed(context)


def _whole(context: GateContext) -> list[Place]:
    """The whole change, those numbers first that do not make the protocol safer."""
    ordered = dict.fromkeys((*_suspects(context), *each_changed(context)))
    return [tuple(key for place in ordered for key in place)] if ordered else []


def _evidence_there(context: GateContext) -> list[Place]:
    return _whole(context) if context.stress is not None else []


def _broken(context: GateContext, *, by_base: bool) -> list[Budgeted]:
    """Complete budgets that head breaks, and that base breaks or does not."""
    return [
        budget
        for budget in budgets(context)
        if budget.complete
        and budget.head is not None
        and budget.base is not None
        and budget.head["status"] == "fail"
        and (budget.base["status"] == "fail") is by_base
    ]


def _worse(budget: Budgeted) -> bool:
    return budget.base is not None and budget.head is not None and budget.head["value"] > budget.base["value"]


def _remark(found: Sequence[Budgeted], message: str, remedy: str) -> Remark | None:
    if not found:
        return None
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    evidence = {budget.name: budget.evidence() for budget in found}
    return Remark(f"{message}: {found[0].text()}{more}", remedy, evidence)


def _breaks(context: GateContext, _: Place) -> Remark | None:
    found = _broken(context, by_base=False)
    return _remark(found, "a budget that base keeps is broken", "Loosen less, or tighten something else with it")


def _worsens(context: GateContext, _: Place) -> Remark | None:
    found = [budget for budget in _broken(context, by_base=True) if _worse(budget)]
    return _remark(found, "a budget that base breaks is broken further", "Tighten before anything is loosened")


def _still_broken(context: GateContext, _: Place) -> Remark | None:
    found = [budget for budget in _broken(context, by_base=True) if not _worse(budget)]
    return _remark(found, "a budget that base breaks is still broken, though no worse", "Tighten further")


def _incomplete(context: GateContext, _: Place) -> Remark | None:
    listed = budgets(context)
    if not listed:
        return Remark("no budget was simulated, so none was kept", "Simulate base and head with the appetite declared")
    found = [budget for budget in listed if not budget.complete]
    if not found:
        return None
    return Remark(
        f"{len(found)} of {len(listed)} budgets have failed paths or lack a set: {found[0].name}",
        "Mend what failed: a path that failed is no path without loss",
        {budget.name: budget.evidence() for budget in found},
    )


def _amount(measure: str, value: float) -> str:
    return f"{value:.2%}" if measure == Measure.BREACH_PROBABILITY else f"{value:,.0f} USD"


EVIDENCE = Rule("E003", "evidence is there and complete", Severity.ERROR, _evidence_there, _incomplete)
RULES = (
    Rule("E001", "no budget that base keeps is broken", Severity.ERROR, _suspects, _breaks, ("stress",)),
    Rule("E002", "no broken budget gets worse", Severity.ERROR, _suspects, _worsens, ("stress",)),
    EVIDENCE,
    Rule("E004", "no budget stays broken", Severity.WARNING, _whole, _still_broken, ("stress",)),
)
