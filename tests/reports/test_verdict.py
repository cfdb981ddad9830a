"""The verdict passes only on evidence, and says what it rests on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reports.verdict import summary_table, verdict
from risk.artifact import Table
from risk.outcome import STRESS_SCHEMA, Measure, StressResult
from risk.parameters import SPECS, Key
from tests.factories import make_parameters
from tests.reports.artifacts import make_recommendation, make_stress


def _without(stress: StressResult, **equal: object) -> StressResult:
    """The result without the rows that have these values."""
    rows = [row for row in stress.rows.rows() if any(row[name] != value for name, value in equal.items())]
    return replace(stress, rows=Table.from_rows(STRESS_SCHEMA, (tuple(row.values()) for row in rows)))


def test_a_target_within_every_budget_passes() -> None:
    judged = verdict(make_recommendation(), make_stress())
    assert judged.passed
    assert judged.sentence == (
        "Emergency: set LINK's collateral factor to 0 by governance or guardian. The target keeps all 5 budget tests; "
        "the next step breaks 1 of 5 budget tests (still breaks but improves 1); "
        "the parameters in force break 1 of 5 budget tests. 9 numbers to change, 16 to stay, 1 refused."
    )
    facts = {fact.name: fact for fact in judged.facts}
    breach = facts["Chance that bad debt exceeds the tolerance over 28 days, target"]
    assert (breach.status, breach.text) == ("pass", "0.48 % (standard error 0.10 %) against a budget of 2.00 %")
    assert facts["Expected bad debt a year, from paths of 14 days, in force"].status == "fail"
    assert facts["Expected bad debt a year, from paths of 14 days, next step"].status == "warning"
    warned = facts["The next step still breaks but improves expected bad debt a year, from paths of 14 days"]
    assert (warned.status, warned.text) == (
        "warning", "270,000 USD after 300,000 USD in force, against a budget of 250,000 USD",
    )  # fmt: skip
    assert judged.urgent[1] == warned
    assert facts["Refusals"].text == "1 number refused of 26"


@pytest.mark.parametrize(
    ("stress", "word"),
    [
        (make_stress(target_fails=True), "The target breaks 1 of 5"),
        (make_stress(n_failed=1), "3 path results failed"),
        (_without(make_stress(), set_id="target"), "The next step breaks"),
        (_without(make_stress(), set_id="next_step"), "The target keeps all 5"),
        (_without(make_stress(), set_id="in_force"), "newly breaks 1"),
        (_without(make_stress(), has_budget=True), "The target was not tested"),
    ],
)
def test_a_broken_budget_a_failed_path_or_missing_evidence_fails(stress: StressResult, word: str) -> None:
    judged = verdict(make_recommendation(), stress)
    assert not judged.passed
    assert word in judged.sentence


def _with(stress: StressResult, set_id: str, measure: Measure, **columns: object) -> StressResult:
    """The result with some columns of one set's measure replaced."""
    rows = [
        {**row, **columns} if (row["set_id"], row["measure"]) == (set_id, measure) else row
        for row in stress.rows.rows()
    ]
    return replace(stress, rows=Table.from_rows(STRESS_SCHEMA, (tuple(row.values()) for row in rows)))


@pytest.mark.parametrize(
    ("measure", "value", "passed", "how"),
    [
        (Measure.EXPECTED_PER_YEAR, 299_999.0, True, "still breaks but improves"),
        (Measure.EXPECTED_PER_YEAR, 300_000.0, True, "still breaks and leaves as it is"),
        (Measure.EXPECTED_PER_YEAR, 300_001.0, False, "breaks further"),
        (Measure.ES99, 5_000_001.0, False, "newly breaks"),
        (Measure.REALISED, 2e7 + 1, False, "newly breaks"),
    ],
)
def test_what_is_executed_is_judged_against_what_is_in_force(
    measure: Measure, value: float, *, passed: bool, how: str
) -> None:
    judged = verdict(make_recommendation(), _with(make_stress(), "next_step", measure, value=value, status="fail"))
    assert judged.passed is passed
    assert how in judged.sentence
    assert next(fact.status for fact in judged.facts if how in fact.name) == ("warning" if passed else "fail")


def test_a_failed_path_of_the_next_step_is_no_improvement() -> None:
    stress = _with(make_stress(), "next_step", Measure.EXPECTED_PER_YEAR, n_failed=1)
    assert not verdict(make_recommendation(), stress).passed


def test_an_emergency_leads_unless_it_is_done() -> None:
    recommendation = make_recommendation()
    judged = verdict(recommendation, make_stress())
    first = judged.facts[0]
    assert first.name == "Emergency: set LINK's collateral factor to 0 by governance or guardian"
    assert (first.status, first.text[:15]) == ("warning", "a realised move")
    done = tuple(
        replace(d, current="0.00%") if str(d.key).endswith("LINK/collateral_factor") else d
        for d in recommendation.derivations
    )
    assert verdict(replace(recommendation, derivations=done), make_stress()).sentence.startswith("The target keeps")


def test_whom_the_change_liquidates_is_said_where_it_is_known() -> None:
    name = "Liquidated by the change itself, at today's prices"
    assert name not in {fact.name for fact in verdict(make_recommendation(), make_stress()).facts}
    whole = {"of_accounts": 40, "of_debt_usd": 1.5e6}
    found = {
        "in_force": {"accounts": 0, "debt_usd": 0.0, **whole},
        "next_step": {"accounts": 1, "debt_usd": 2e4, **whole},
        "target": {"accounts": 3, "debt_usd": 9e4, **whole},
    }
    stress = replace(make_stress(), facts={"newly_liquidatable": found})
    fact = next(fact for fact in verdict(make_recommendation(), stress).facts if fact.name == name)
    assert fact.status == "warning"
    assert fact.text == (
        "at the next step 1 of 40 accounts with 20,000 USD of 1,500,000 USD of debt; "
        "at the target 3 of 40 accounts with 90,000 USD of 1,500,000 USD of debt"
    )


def test_close_calls_chances_and_what_binds_are_said() -> None:
    facts = {fact.name: fact.text for fact in verdict(make_recommendation(), make_stress()).facts}
    assert "Close calls" not in facts
    chance = facts["Chance that any account of the book falls short within the parameter life"]
    assert chance == "12.00 % in force, 10.00 % at the next step, 3.10 % at the target"
    assert facts["Budget that binds"].startswith("expected bad debt a year in force (36 % of its budget used)")
    stress = make_stress()
    error = np.where(stress.rows["measure"] == "breach_probability", 0.01, stress.rows["standard_error"])
    unsure = replace(stress, rows=Table({**stress.rows.columns, "standard_error": error}))
    facts = {fact.name: fact.text for fact in verdict(make_recommendation(), unsure).facts}
    assert facts["Close calls"] == "1 of 5 tests of the target lie within two standard errors of their budget"


def test_a_row_a_number_in_the_order_of_the_registry() -> None:
    rows = summary_table(make_recommendation())
    assert {row.key for row in rows} == set(make_parameters().values)
    assert len(rows) == len(make_parameters())
    subjects = list(dict.fromkeys((row.key.market, row.key.subject, row.key.path) for row in rows))
    for subject in subjects:
        names = [row.key.parameter for row in rows if (row.key.market, row.key.subject, row.key.path) == subject]
        assert names == [name for name in SPECS if name in names]


def test_statuses_and_texts_of_the_rows() -> None:
    rows = {str(row.key): row for row in summary_table(make_recommendation())}
    weth = rows["lending/reserve/WETH/liquidation_threshold"]
    assert (weth.in_force, weth.next_step, weth.target) == ("83.00 %", "82.50 %", "74.70 %")
    assert (weth.interval, weth.status) == ("70.55 % to 78.85 %", "changes")
    link = rows["lending/reserve/LINK/liquidation_threshold"]
    assert (link.target, link.interval, link.status) == ("refused", "none", "refused")
    assert link.binding.startswith("a realised move")
    assert rows["lending/reserve/WETH/supply_cap"].status == "stays"
    assert rows["perps/market/ETH-USD/tiers/2/initial_margin"].subject == "ETH-USD tier 2"


def test_a_malformed_value_in_force_is_shown_and_not_an_error() -> None:
    key = Key.parse("lending/reserve/WETH/collateral_factor")
    recommendation = make_recommendation()
    derivation = recommendation.derivation(key)
    assert derivation is not None
    wrong = replace(derivation, current="6400")
    rows = summary_table(replace(recommendation, derivations=(wrong,)))
    assert rows[0].in_force == "unreadable: 6400"
