"""The verdict on a recommendation: one sentence, the facts that carry it, and a row for each number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Literal

import numpy as np

from reports import wording
from risk.artifact import Table
from risk.outcome import Measure, StressResult
from risk.parameters import SPECS, Key, ParameterSet, Value
from risk.recommendation import Derivation, Recommendation
from risk.units import Ratio

Status = Literal["pass", "fail", "warning", "note"]

SETS = {"in_force": "In force", "next_step": "Next step", "target": "Target"}
"""Parameter sets that a proposal stresses, in the order in which they are shown."""

MEASURES = {
    Measure.EXPECTED_PER_YEAR: "Expected bad debt a year",
    Measure.ES99: "Expected shortfall of bad debt",
    Measure.BREACH_PROBABILITY: "Chance that bad debt exceeds the tolerance",
    Measure.BAD_DEBT: "Bad debt, realised and latent",
    Measure.LATENT: "Latent bad debt",
    Measure.REALISED: "Realised bad debt",
    Measure.UNLIQUIDATED: "Unliquidated debt",
    Measure.LIQUIDATED: "Liquidated debt",
}


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that the verdict rests on.

    Attributes
    ----------
    name, status, text
        What it is about, how it was judged, and the figures behind it.
    set_id
        Parameter set whose budget it is about, or None where it is about the whole.
    """

    name: str
    status: Status
    text: str
    set_id: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a proposal says first.

    Attributes
    ----------
    passed
        Whether the target keeps every budget and the next step, which is what is executed, breaks none that it
        does not improve on, with no failed path; without a budget there is no pass.
    sentence
        The verdict in words; what cannot wait leads it.
    facts
        What it rests on, the failures among them.
    """

    passed: bool
    sentence: str
    facts: tuple[Fact, ...]

    @property
    def urgent(self) -> tuple[Fact, ...]:
        """Warnings and failures that are not a line of the table of budgets."""
        return tuple(fact for fact in self.facts if fact.set_id is None and fact.status in ("warning", "fail"))


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One number of the recommendation, for a table.

    Attributes
    ----------
    key, subject, parameter
        Its address, and the two parts of it that people read.
    in_force, next_step, target, interval
        Texts; ``none`` where there is no value, ``refused`` for a target that was refused.
    binding
        The constraint that decided it, or the reason of the refusal.
    status
        ``changes``, ``stays`` or ``refused``.
    """

    key: Key
    subject: str
    parameter: str
    in_force: str
    next_step: str
    target: str
    interval: str
    binding: str
    status: Literal["changes", "stays", "refused"]


def verdict(recommendation: Recommendation, stress: StressResult) -> Verdict:
    """Judge a recommendation by its stress.

    The target must keep every budget. The next step is what the calls execute: a budget that it breaks is a warning
    where it improves on a budget that is broken in force or leaves it as it is, and a failure elsewhere. A missing
    budget, a failed path or a missing stress of either is a failure, never a pass.
    """
    budgets = stress.rows.where(has_budget=True)
    sets = [name for name in SETS if name in set(stress.rows["set_id"].tolist())]
    rows = {name: list(budgets.where(set_id=name).rows()) for name in SETS}
    rows["next_step"] = _against_in_force(rows["next_step"], rows["in_force"])
    emergencies = _emergencies(recommendation)
    facts = [*emergencies.values()]
    facts += [
        Fact("Evidence", "fail", f"No budget was tested {_WHERE[name]}")
        for name in ("target", "next_step")
        if not rows[name]
    ]
    facts += _steps(rows["next_step"])
    facts += [fact for name in sets for fact in _budget_facts(name, rows[name])]
    failed_paths = int(stress.rows["n_failed"].sum())
    if failed_paths:
        text = f"{wording.plural(failed_paths, 'path result')} failed and cannot count as passed"
        facts.append(Fact("Simulation", "fail", text))
    facts += [*_liquidatable(stress), *_uncertain(budgets.where(set_id="target")), *_stated_facts(sets, stress)]
    numbers = summary_table(recommendation)
    counts = {status: sum(row.status == status for row in numbers) for status in ("changes", "stays", "refused")}
    refused = f"{wording.plural(counts['refused'], 'number')} refused of {len(numbers):,}"
    facts.append(Fact("Refusals", "note" if counts["refused"] else "pass", refused))
    tested = all(rows[name] for name in ("target", "next_step"))
    kept = all(row["status"] != "fail" for name in ("target", "next_step") for row in rows[name])
    lead = f"Emergency: {'; '.join(emergencies)}. " if emergencies else ""
    sentence = lead + _sentence(sets, rows, counts, failed_paths)
    return Verdict(tested and kept and not failed_paths, sentence, tuple(facts))


_TEST = ("scenario", "measure", "horizon", "confidence", "budget")
"""Columns that make two rows of the stress the same test."""


def _against_in_force(rows: list[dict[str, Any]], in_force: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the next step, with the value in force; a broken one that is no worse than a break in force warns."""
    before = {tuple(row[name] for name in _TEST): row for row in in_force}
    judged = []
    for row in rows:
        old = before.get(tuple(row[name] for name in _TEST))
        was_broken = old is not None and old["status"] == "fail"
        no_worse = was_broken and old is not None and row["value"] <= old["value"] and not row["n_failed"]
        status = "warning" if row["status"] == "fail" and no_worse else row["status"]
        judged.append(
            {**row, "status": status, "was_broken": was_broken, "before": None if old is None else old["value"]}
        )
    return judged


def _steps(rows: list[dict[str, Any]]) -> Iterator[Fact]:
    """A fact for each budget that the next step breaks: by how much, and against what is in force."""
    for row in rows:
        if row["status"] not in ("fail", "warning"):
            continue
        measure = Measure(row["measure"])
        name = uncapitalised(measure_name(row))
        if row["n_paths"] == 1:
            name += f" in {row['scenario']}"
        before = "unknown" if row["before"] is None else stress_amount(measure, row["before"])
        text = (
            f"{stress_amount(measure, row['value'])} after {before} in force, "
            f"against a budget of {stress_amount(measure, row['budget'])}"
        )
        yield Fact(f"The next step {_comparison(row)} {name}", row["status"], text)


def _comparison(row: dict[str, Any]) -> str:
    if row["status"] == "warning":
        return "still breaks but improves" if row["value"] < row["before"] else "still breaks and leaves as it is"
    return "breaks further" if row["was_broken"] else "newly breaks"


def _emergencies(recommendation: Recommendation) -> dict[str, Fact]:
    """By what to do at once: the reason, for each refused subject that cannot wait for legal steps."""
    found: dict[str, Fact] = {}
    for derivation in recommendation.derivations:
        if derivation.refusal is None or derivation.emergency is None:
            continue
        action, key = derivation.emergency, derivation.key
        if key.kind == "reserve":
            factor = recommendation.derivation(replace(key, parameter="collateral_factor"))
            if factor is not None and parsed(factor, factor.current) == Ratio(Decimal(0)):
                continue
            action = f"set {key.subject}'s collateral factor to 0 by governance or guardian"
        found.setdefault(action, Fact(f"Emergency: {action}", "warning", derivation.refusal))
    return dict(sorted(found.items()))


def _liquidatable(stress: StressResult) -> list[Fact]:
    """Whom the change itself makes liquidatable at today's prices; nothing where the stress does not say."""
    found = stress.facts.get("newly_liquidatable")
    if not isinstance(found, Mapping):
        return []
    told = [
        f"{_WHERE[name]} {found[name]['accounts']:,} of {wording.plural(found[name]['of_accounts'], 'account')} "
        f"with {wording.dollars(found[name]['debt_usd'])} of {wording.dollars(found[name]['of_debt_usd'])} of debt"
        for name in ("next_step", "target")
        if name in found
    ]
    if not told:
        return []
    now = found.get("next_step", {}).get("accounts", 0)
    return [Fact("Liquidated by the change itself, at today's prices", "warning" if now else "note", "; ".join(told))]


def _budget_facts(set_id: str, rows: list[dict[str, Any]]) -> list[Fact]:
    """A fact a Monte-Carlo budget; replays are gathered into one."""
    facts = []
    replays: dict[Status, list[str]] = {"pass": [], "warning": [], "fail": []}
    for row in rows:
        measure = Measure(row["measure"])
        status: Status = row["status"] if row["status"] in ("fail", "warning") else "pass"
        if measure in (Measure.EXPECTED_PER_YEAR, Measure.ES99, Measure.BREACH_PROBABILITY):
            name = f"{measure_name(row)}, {SETS[set_id].lower()}"
            text = f"{stress_value(row)} against a budget of {stress_amount(measure, row['budget'])}"
            facts.append(Fact(name, status, text, set_id))
        else:
            replays[status].append(row["scenario"])
    if tested := sum(map(len, replays.values())):
        text = f"{len(replays['pass'])} of {wording.plural(tested, 'result')} of the replays within their budget"
        outside = [*replays["fail"], *replays["warning"]]
        if outside:
            text += f"; not within: {', '.join(dict.fromkeys(outside))}"
        worst: Status = "fail" if replays["fail"] else "warning" if replays["warning"] else "pass"
        facts.append(Fact(f"Replays, {SETS[set_id].lower()}", worst, text, set_id))
    return facts


def _uncertain(target: Table) -> list[Fact]:
    """Says how many tests of the target the simulation's own error could turn."""
    near = np.abs(target["value"] - target["budget"]) < 2.0 * target["standard_error"]
    if not near.any():
        return []
    text = f"{int(near.sum())} of {len(target)} tests of the target lie within two standard errors of their budget"
    return [Fact("Close calls", "note", text, None)]


def _stated_facts(sets: list[str], stress: StressResult) -> list[Fact]:
    """What the stress says of each set beyond its budgets: the chance of any shortfall, and what binds."""
    facts = []
    chances = stress.facts.get("any_shortfall_probability", {})
    shown = [f"{wording.percent(chances[name])} {_WHERE[name]}" for name in sets if name in chances]
    if shown:
        facts.append(
            Fact("Chance that any account of the book falls short within the parameter life", "note", ", ".join(shown))
        )
    bound = stress.facts.get("binding", {})
    used = [
        f"{uncapitalised(MEASURES[Measure(bound[name]['measure'])])} {_WHERE[name]} "
        f"({wording.percent(bound[name]['used'], 0)} of its budget used)"
        for name in sets
        if name in bound
    ]
    if used:
        facts.append(Fact("Budget that binds", "note", ", ".join(used)))
    return facts


_WHERE = {"in_force": "in force", "next_step": "at the next step", "target": "at the target"}


def uncapitalised(text: str) -> str:
    """A text within a sentence."""
    return text[:1].lower() + text[1:]


def _sentence(
    sets: list[str], tested: Mapping[str, list[dict[str, Any]]], counts: dict[str, int], failed_paths: int
) -> str:
    parts = []
    for name in sorted(sets, key=["target", "next_step", "in_force"].index):
        rows = tested[name]
        broken = [row for row in rows if row["status"] in ("fail", "warning")]
        subject = {
            "target": "the target",
            "next_step": "the next step",
            "in_force": "the parameters in force",
        }[name]
        plural = name == "in_force"
        if not rows:
            parts.append(f"{subject} {'were' if plural else 'was'} not tested against a budget")
        elif broken:
            breaks = f"{subject} {'break' if plural else 'breaks'} {len(broken)} of {len(rows)} budget tests"
            parts.append(breaks + (_how(broken) if name == "next_step" else ""))
        else:
            parts.append(f"{subject} {'keep' if plural else 'keeps'} all {len(rows)} budget tests")
    judged = "; ".join(parts) if parts else "Nothing was stressed"
    changes = f"{wording.plural(counts['changes'], 'number')} to change, {counts['stays']} to stay"
    refused = f", {counts['refused']} refused" if counts["refused"] else ""
    failed = f" {wording.plural(failed_paths, 'path result')} failed." if failed_paths else ""
    return f"{judged[:1].upper()}{judged[1:]}. {changes}{refused}.{failed}"


def _how(broken: list[dict[str, Any]]) -> str:
    """What the next step does to the budgets that it breaks, ``(still breaks but improves 1, newly breaks 2)``."""
    found = Counter(_comparison(row) for row in broken)
    return f" ({', '.join(f'{how} {count}' for how, count in sorted(found.items()))})"


def summary_table(recommendation: Recommendation) -> tuple[SummaryRow, ...]:
    """A row a number, by subject and then as parameters are listed, for the command line and the documents."""
    order = {name: index for index, name in enumerate(SPECS)}

    def place(derivation: Derivation) -> tuple[object, ...]:
        key = derivation.key
        return key.market, key.kind, key.subject, key.path, order[key.parameter]

    return tuple(_summary_row(derivation) for derivation in sorted(recommendation.derivations, key=place))


def _summary_row(derivation: Derivation) -> SummaryRow:
    key = derivation.key
    tier = f" tier {key.path[1]}" if key.path else ""
    status: Literal["changes", "stays", "refused"]
    if derivation.refusal is not None:
        target, binding, status = "refused", derivation.refusal, "refused"
    else:
        target, binding = shown_text(derivation, derivation.target), derivation.binding
        status = "stays" if derivation.target == derivation.current else "changes"
    return SummaryRow(
        key=key,
        subject=key.subject + tier,
        parameter=key.spec.title,
        in_force=shown_text(derivation, derivation.current),
        next_step=shown_text(derivation, derivation.next_step),
        target=target,
        interval=interval_text(derivation),
        binding=binding,
        status=status,
    )


def parsed(derivation: Derivation, text: str | None) -> Value | None:
    """The value that a derivation's text stands for; what is in force may be malformed."""
    key = derivation.key
    return None if text is None else ParameterSet.from_texts({str(key): text}).values[key]


def shown_text(derivation: Derivation, text: str | None) -> str:
    """The text of one of a derivation's values as documents write it."""
    value = parsed(derivation, text)
    return wording.ABSENT if value is None else wording.quantity(value)


def interval_text(derivation: Derivation) -> str:
    """The 90 % interval of a policy output, ``80.10 % to 82.90 %``; none for a target that was refused."""
    if derivation.lower is None or derivation.upper is None or derivation.refusal is not None:
        return wording.ABSENT
    ends = (wording.amount(end, derivation.key.spec.dimension) for end in (derivation.lower, derivation.upper))
    return " to ".join(ends)


def measure_name(row: dict[str, Any]) -> str:
    """A stress measure with its confidence and horizon, which it is never shown without."""
    name = MEASURES[Measure(row["measure"])]
    if row["measure"] == Measure.EXPECTED_PER_YEAR and row["horizon"]:
        return f"{name}, from paths of {wording.duration(row['horizon'])}"
    if row["confidence"]:
        name += f" at {wording.confidence(row['confidence'])}"
    return f"{name} over {wording.duration(row['horizon'])}" if row["horizon"] else name


def stress_amount(measure: Measure, value: float) -> str:
    """A stress value in its unit: percent for a probability, else US dollars."""
    return wording.percent(value) if measure is Measure.BREACH_PROBABILITY else wording.dollars(value)


def stress_value(row: dict[str, Any]) -> str:
    """A stress value with its standard error, where it has one."""
    measure = Measure(row["measure"])
    value = stress_amount(measure, row["value"])
    error = row["standard_error"]
    return f"{value} (standard error {stress_amount(measure, error)})" if error else value
