"""Targets: a number that the stress does not cover needs the run's own derivation of it.

The book of the stress holds reserves. Margins, limits and fees are judged by the recommendation instead: a value is
legitimate when it lies between base and the target and moves towards it, or when it tightens. For reserves the
same comparison is for information only, since the budgets decide.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from risk.gate.context import GateContext, Place, Remark, Rule
from risk.outcome import Severity
from risk.parameters import Change, Key, ParameterSet
from risk.seizure.by_protocol import SEIZURES

STRESSED = frozenset({"reserve", "base"})
"""Kinds of subject whose changes the stress simulates."""
READ = frozenset({"store_front_price_factor"}).union(*(seizure.reads for seizure in SEIZURES.values()))
"""Parameters of them that the stress reads."""


def _loosened(context: GateContext, *, stressed: bool) -> list[Place]:
    """Changed numbers, with a stress or without, that can be read and do not make the protocol safer."""
    return [
        (change.key,)
        for change in context.changes
        if (change.key.kind in STRESSED) is stressed
        and context.head.get(change.key) is not None
        and change.tightening <= 0
    ]


def is_supported(base: ParameterSet, head: ParameterSet, target: ParameterSet, key: Key) -> bool:
    """Whether head tightens a number, or leaves it no looser than the target.

    A number without a safe direction must lie between base and the target; one that is new must be at the target.
    """
    before, after, aim = (parameters.values.get(key) for parameters in (base, head, target))
    if key.spec.tightening:
        return Change(key, before, after).tightening > 0 or Change(key, aim, after).tightening >= 0
    start, value, end = (parameters.get(key) for parameters in (base, head, target))
    if value is None or end is None:
        return False
    ends = [end.value] if start is None else [start.value, end.value]
    return min(ends) <= value.value <= max(ends)


def _judged(context: GateContext, place: Place) -> Remark | None:
    """What the recommendation says against a number, or None where it supports it."""
    [key], found = place, context.recommendation
    derivation = None if found is None else found.derivation(key)
    title = key.spec.title.lower()
    if found is None or derivation is None or derivation.refusal is not None:
        why = f"refuses it: {derivation.refusal}" if derivation else "derives no value for it"
        remedy = "Keep what is in force or tighten it; to loosen it, give the run the evidence that it lacks"
        return Remark(f"nothing supports {title}: the run {why}", remedy)
    if is_supported(context.base, context.head, found.target, key):
        return None
    target = found.target.values[key]
    where = "is looser than base and than" if key.spec.tightening else "does not lie between base and"
    return Remark(
        f"{title} {where} the run's target of {target}",
        f"Stay between base and {target}" if key in context.base.values else f"Set {target}",
        {"target": str(target), "binding": derivation.binding},
    )


def _known(context: GateContext) -> list[Place]:
    """Loosened numbers of reserves, where there is a recommendation."""
    return [] if context.recommendation is None else _loosened(context, stressed=True)


def _informed(context: GateContext, place: Place) -> Remark | None:
    """A warning where the stress does not read the number, else a note."""
    remark = _judged(context, place)
    if remark is None or place[0].parameter in READ:
        return remark
    return replace(remark, severity=Severity.WARNING)


RULES = (
    Rule(
        "T001",
        "a number that no stress covers lies between base and the target, or tightens",
        Severity.ERROR,
        partial(_loosened, stressed=False),
        _judged,
        ("recommendation",),
    ),
    Rule("T002", "a reserve's number lies between base and the target, or tightens", Severity.NOTE, _known, _informed),
)
