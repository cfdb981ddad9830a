"""The stress part of a proposal's document: budgets, replays, and where each scenario comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reports import tables, wording
from reports.verdict import SETS, measure_name, stress_amount, uncapitalised
from reports.wording import Shown
from risk.outcome import Measure, StressResult


def stress_content(stress: StressResult) -> dict[str, Any]:
    """Results by scenario, a line for each measure, with a value for each parameter set."""
    return {
        "sets": [{"id": name, "title": SETS[name]} for name in _sets(stress)],
        "budgets": _groups(stress, has_budget=True),
        "others": _groups(stress, has_budget=False),
        "books": tables.of_sets("Positions", stress.facts.get("books")),
        "depth": tables.depth_facts(stress.facts.get("depth")),
        "facts": tables.other_facts(stress.facts),
        "scenarios": [
            {"name": name, "title": scenario_title(stress, name), "facts": tables.lines(facts)}
            for name, facts in sorted(stress.scenarios.items())
        ],
    }


def _sets(stress: StressResult) -> list[str]:
    present = set(stress.rows["set_id"].tolist())
    return [name for name in SETS if name in present]


def _groups(stress: StressResult, *, has_budget: bool) -> list[dict[str, Any]]:
    lines: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in stress.rows.where(has_budget=has_budget).rows():
        measure = Measure(row["measure"])
        budget = row["budget"] if has_budget else None
        line = lines.setdefault(
            (row["scenario"], row["measure"], row["horizon"], row["confidence"], budget),
            {
                "measure": measure_name(row),
                "budget": None if budget is None else Shown(value=budget, text=stress_amount(measure, budget)),
                "values": {},
            },
        )
        error = row["standard_error"]
        line["values"][row["set_id"]] = {
            "number": Shown(value=row["value"], text=stress_amount(measure, row["value"])),
            "standard_error": Shown(value=error, text=stress_amount(measure, error)) if row["n_paths"] > 1 else None,
            "n_paths": row["n_paths"],
            "n_failed": row["n_failed"],
            "status": row["status"],
        }
    groups: dict[str, list[dict[str, Any]]] = {}
    for (scenario, *_), line in lines.items():
        groups.setdefault(scenario, []).append(line)
    replays = {scenario: found for scenario, found in groups.items() if has_budget and all(map(_one_path, found))}
    gathered = [
        {**line, "measure": f"{scenario_title(stress, scenario)}: {uncapitalised(line['measure'])}"}
        for scenario, found in replays.items()
        for line in found
    ]
    others = [
        {"scenario": scenario_title(stress, scenario), "lines": found}
        for scenario, found in groups.items()
        if scenario not in replays
    ]
    return others + ([{"scenario": "Replays", "lines": gathered}] if gathered else [])


def _one_path(line: Mapping[str, Any]) -> bool:
    return all(value["n_paths"] == 1 for value in line["values"].values())


def scenario_title(stress: StressResult, name: str) -> str:
    """Title of a scenario, or its name where it has none."""
    if name == "monte_carlo":
        return "Simulation on the fitted models"
    facts = stress.scenarios.get(name)
    return str(facts["title"]) if isinstance(facts, Mapping) and "title" in facts else wording.title(name)
