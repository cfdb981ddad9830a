"""The verdict passes only on evidence, and says what it rests on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reports.verdict import summary_table, verdict
from risk.artifact import Table
from risk.outcome import STRESS_SCHEMA, StressResult
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
        "The target keeps all 5 budget tests; the next step breaks 1 of 5 budget tests; "
        "the parameters in force break 1 of 5 budget tests. 9 numbers to change, 16 to stay, 1 refused."
    )
    facts = {fact.name: fact for fact in judged.facts}
    breach = facts["Chance that bad debt exceeds the tolerance over 28 days, target"]
    assert (breach.status, breach.text) == ("pass", "0.48 % (standard error 0.10 %) against a budget of 2.00 %")
    assert facts["Expected bad debt a year, from paths of 14 days, in force"].status == "fail"
    assert facts["Refusals"].text == "1 number refused of 26"


@pytest.mark.parametrize(
    ("stress", "word"),
    [
        (make_stress(target_fails=True), "The target breaks 1 of 5"),
        (make_stress(n_failed=1), "3 path results failed"),
        (_without(make_stress(), set_id="target"), "The next step breaks"),
        (_without(make_stress(), has_budget=True), "The target was not tested"),
    ],
)
def test_a_broken_budget_a_failed_path_or_missing_evidence_fails(stress: StressResult, word: str) -> None:
    judged = verdict(make_recommendation(), stress)
    assert not judged.passed
    assert word in judged.sentence


def test_close_calls_chances_and_what_binds_are_said() -> None:
    facts = {fact.name: fact.text for fact in verdict(make_recommendation(), make_stress()).facts}
    assert "Close calls" not in facts
    chance = facts["Chance that any position falls short within the parameter life"]
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
