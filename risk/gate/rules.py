"""All rules in one list, and their run."""

from __future__ import annotations

from risk.gate import bounds, completeness, evidence, invariants, steps, stress, targets, units
from risk.gate.context import GateContext, Need, Place, Remark, Rule
from risk.outcome import Finding, GateResult, Severity

RULES: tuple[Rule, ...] = (
    *units.RULES,
    *bounds.RULES,
    *invariants.RULES,
    *steps.RULES,
    *stress.RULES,
    *targets.RULES,
    *evidence.RULES,
    *completeness.RULES,
)
"""Every rule. A new rule is a line in its family's module; a new family is a module and a line here."""

_ABOUT: dict[Need, str] = {
    "stress": "the stress of base and head",
    "changed_at": "the record of earlier changes",
    "as_of": "the instant of the evidence",
    "recommendation": "the recommendation of a run",
}


def run_gate(context: GateContext) -> GateResult:
    """Check a change from base to head.

    A rule that has something to look at and lacks its evidence does not look: that is a failure (E003), which
    says for each such rule how many numbers it left unseen.

    Returns
    -------
    GateResult
        Findings, errors first, and how many places each rule looked at.
    """
    findings: list[Finding] = []
    checked: dict[str, int] = {}
    unseen: dict[Need, dict[str, list[Place]]] = {}
    for rule in RULES:
        places = list(rule.places(context))
        lacking = [need for need in rule.needs if getattr(context, need) is None]
        if places and lacking:
            unseen.setdefault(lacking[0], {})[rule.code] = places
            places = []
        else:
            findings += rule.check(context)
        checked[rule.code] = checked.get(rule.code, 0) + len(places)
    findings += [_missing(context, need, rules) for need, rules in unseen.items()]
    order = list(Severity)
    return GateResult(tuple(sorted(findings, key=lambda f: (order.index(f.severity), f.code, f.key))), checked)


def _missing(context: GateContext, need: Need, rules: dict[str, list[Place]]) -> Finding:
    """A finding on the first number that was left unseen."""
    why = context.absent.get(need, "it was not given")
    counts = {code: len(places) for code, places in rules.items()}
    unseen = ", ".join(f"{code} saw 0 of {count}" for code, count in counts.items())
    remark = Remark(
        f"{_ABOUT[need]} is missing ({why}): {unseen}",
        "Give the evidence: what was not checked is not passed",
        {"need": need, "unseen": counts},
    )
    first = next(iter(rules.values()))[0]
    return stress.EVIDENCE.finding(context, first, remark)
