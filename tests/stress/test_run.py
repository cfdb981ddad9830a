"""The loss model: budgets, common paths, what fails and what is said."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from risk.artifact import Table
from risk.calibration import Calibration
from risk.market import frozen
from risk.outcome import STRESS_SCHEMA, LossModel, Measure, StressResult
from risk.parameters import ParameterSet
from risk.settings import Settings
from risk.stress.book import newly_liquidatable
from risk.stress.run import MONTE_CARLO, BookLossModel
from risk.units import Ratio
from tests.factories import make_book, make_calibration, make_parameters, make_settings, make_snapshot

IN_FORCE = make_parameters()
SETTINGS = make_settings()
SNAPSHOT = make_snapshot(book=make_book(60))
CALIBRATION = make_calibration(SNAPSHOT, SETTINGS)
SIMULATED = (Measure.EXPECTED_PER_YEAR, Measure.ES99, Measure.BREACH_PROBABILITY)


def with_thresholds(points: str) -> ParameterSet:
    """The set in force with all thresholds moved by `points`."""
    values = {
        key: Ratio(value.value + Decimal(points))
        for key, value in IN_FORCE.values.items()
        if key.parameter == "liquidation_threshold" and isinstance(value, Ratio)
    }
    return IN_FORCE.replace(values)


def model(settings: Settings = SETTINGS, calibration: Calibration = CALIBRATION) -> LossModel:
    return BookLossModel(SNAPSHOT, calibration, settings, inputs={"snapshot": "x"})


@pytest.fixture(scope="module")
def result() -> StressResult:
    return model().loss({"target": with_thresholds("-0.1"), "in_force": IN_FORCE})


def test_rows_are_complete_and_the_artifact_returns(result: StressResult) -> None:
    assert result.rows.schema == STRESS_SCHEMA
    assert len(result.rows) == 2 * (6 * 5 + 3)
    assert set(result.rows["scenario"].tolist()) == {*result.scenarios, MONTE_CARLO}
    again = StressResult.from_artifact(
        type(result.artifact()).from_files(result.artifact().to_files(), schema=StressResult.SCHEMA)
    )
    assert again.artifact().content_hash == result.artifact().content_hash
    assert again.inputs == {"snapshot": "x"}


def test_budgets_and_what_has_none(result: StressResult) -> None:
    appetite = SETTINGS.appetite
    budgets = {
        Measure.EXPECTED_PER_YEAR: appetite.expected_bad_debt_usd_per_year,
        Measure.ES99: appetite.es99_usd,
        Measure.BREACH_PROBABILITY: appetite.breach_probability,
        Measure.BAD_DEBT: appetite.backstop_usd,
        Measure.UNLIQUIDATED: appetite.backstop_usd,
    }
    for row in result.rows.rows():
        budget = budgets.get(Measure(row["measure"]))
        assert row["has_budget"] == (budget is not None)
        if budget is None:
            assert row["status"] == "info"
        else:
            assert row["budget"] == budget
            assert row["status"] == ("pass" if row["value"] <= budget else "fail")
        assert row["n_paths"] == (400 if row["scenario"] == MONTE_CARLO else 1)
        assert row["n_failed"] == 0


def test_bad_debt_of_a_replay_is_realised_plus_latent(result: StressResult) -> None:
    for scenario in result.scenarios:
        parts = [result.value(scenario, "in_force", m) for m in (Measure.REALISED, Measure.LATENT)]
        assert result.value(scenario, "in_force", Measure.BAD_DEBT) == sum(parts)  # type: ignore[arg-type]


def test_a_collapse_in_which_nothing_can_be_sold_is_not_good() -> None:
    """Nothing is realised where nobody can sell: latent and unliquidated debt must be held against the backstop."""
    dry = replace(SNAPSHOT, depth={}, series=tuple(s for s in SNAPSHOT.series if s.field != "volume"))
    settings = make_settings(appetite={"backstop_usd": "1000 USD"}, stress={"scenarios": ["black-thursday-2020"]})
    found = BookLossModel(dry, CALIBRATION, settings).loss({"in_force": IN_FORCE})
    rows = {row["measure"]: row for row in found.rows.where(scenario="black-thursday-2020").rows()}
    assert rows["realised_bad_debt"]["value"] == rows["liquidated_debt"]["value"] == 0
    for measure in ("bad_debt", "unliquidated_debt"):
        assert rows[measure]["value"] > 1000
        assert (rows[measure]["status"], rows[measure]["budget"]) == ("fail", 1000)


def test_an_asset_without_depth_is_said_and_the_rest_goes_on() -> None:
    dry = replace(
        SNAPSHOT,
        depth={name: curve for name, curve in SNAPSHOT.depth.items() if name != "LINK/USD"},
        series=tuple(s for s in SNAPSHOT.series if (s.base, s.field) != ("LINK", "volume")),
    )
    found = BookLossModel(dry, CALIBRATION, SETTINGS).loss({"in_force": IN_FORCE})
    assert found.facts["depth"]["LINK"]["usd"] == {"in_force": 0.0}
    assert "nothing of it can be sold" in found.facts["depth"]["LINK"]["note"]
    assert found.facts["without_depth"].keys() == {"LINK"}
    assert "neither depth nor a traded volume is known" in found.facts["without_depth"]["LINK"]
    before = BookLossModel(SNAPSHOT, CALIBRATION, SETTINGS).loss({"in_force": IN_FORCE})
    assert before.facts["without_depth"] == {}
    for measure, more in ((Measure.UNLIQUIDATED, True), (Measure.LIQUIDATED, False)):
        values = [r.value("black-thursday-2020", "in_force", measure) for r in (before, found)]
        assert (values[1] > values[0]) is more  # type: ignore[operator]
        assert values[1] > 0  # type: ignore[operator]


def test_a_set_without_a_position_is_a_result() -> None:
    """A market that is not open yet has no parameters in force: nothing is lent, so nothing is lost."""
    empty = ParameterSet({key: value for key, value in IN_FORCE.values.items() if key.kind != "reserve"})
    sets = {"in_force": empty, "target": IN_FORCE}
    found = BookLossModel(make_snapshot(book=False, in_force=empty), CALIBRATION, SETTINGS).loss(sets)
    assert found.facts["nothing_lent"] == ["in_force"]
    rows = found.rows.where(set_id="in_force")
    assert len(rows) == len(found.rows.where(set_id="target"))
    assert set(rows["value"].tolist()) == {0.0}
    assert set(rows["status"].tolist()) == {"pass", "info"}
    assert len(found.curve.where(set_id="in_force")) == 15
    alone = BookLossModel(make_snapshot(book=False), CALIBRATION, SETTINGS).loss({"in_force": empty})
    assert alone.facts["nothing_lent"] == ["in_force"]


def test_who_a_set_makes_liquidatable_is_in_the_facts(result: StressResult) -> None:
    found = result.facts["newly_liquidatable"]
    assert SNAPSHOT.book is not None
    debt = SNAPSHOT.book.debt @ np.array([SNAPSHOT.last_price(name) for name in SNAPSHOT.book.assets])
    table = newly_liquidatable(SNAPSHOT, SETTINGS, IN_FORCE, with_thresholds("-0.1"))
    assert 0 < len(table) < 60
    whole = {"of_accounts": 60, "of_debt_usd": pytest.approx(debt.sum())}
    assert found == {
        "in_force": {"accounts": 0, "debt_usd": 0.0, **whole},
        "target": {"accounts": len(table), "debt_usd": pytest.approx(table["debt_usd"].sum()), **whole},
    }
    unknown = BookLossModel(make_snapshot(book=False), CALIBRATION, SETTINGS).loss({"in_force": IN_FORCE})
    assert unknown.facts["newly_liquidatable"] == {}


def test_figures_follow_from_the_losses(result: StressResult) -> None:
    losses = result.losses.where(set_id="in_force")["loss"]
    assert len(losses) == 400
    es99 = result.value(MONTE_CARLO, "in_force", Measure.ES99)
    assert es99 == pytest.approx(np.sort(losses)[-4:].mean())
    row = next(result.rows.where(scenario=MONTE_CARLO, set_id="in_force", measure=str(Measure.ES99)).rows())
    assert row["standard_error"] > 0
    assert row["horizon"] == SETTINGS.appetite.es_horizon == result.facts["simulation"]["losses_horizon"]


def test_a_tighter_set_loses_less_on_the_same_paths(result: StressResult) -> None:
    loss = {name: result.losses.where(set_id=name)["loss"] for name in ("in_force", "target")}
    assert loss["in_force"].sum() > 0
    assert (loss["target"] <= loss["in_force"] + 1e-6).mean() > 0.99
    for measure in SIMULATED:
        values = [result.value(MONTE_CARLO, name, measure) for name in ("target", "in_force")]
        assert values[0] <= values[1]  # type: ignore[operator]


def test_sets_do_not_see_each_other(result: StressResult) -> None:
    alone = model().loss({"head": IN_FORCE})
    assert (alone.losses["loss"] == result.losses.where(set_id="in_force")["loss"]).all()
    for row in alone.rows.rows():
        assert row["value"] == result.value(row["scenario"], "in_force", Measure(row["measure"]))
    twice = model().loss({"in_force": IN_FORCE, "target": with_thresholds("-0.1")})
    assert twice.artifact().content_hash == result.artifact().content_hash


def test_the_curve_rises_with_the_shock(result: StressResult) -> None:
    curve = result.curve.where(set_id="in_force")
    assert curve["shock"] == pytest.approx(np.arange(15) / 20)
    assert curve["latent"][0] == curve["realised"][0] == curve["unliquidated"][0] == 0
    bad = curve["latent"] + curve["realised"]
    assert (np.diff(bad) >= 0).all()
    assert bad[-1] > 0


def test_facts_say_what_a_reader_must_know(result: StressResult) -> None:
    facts = result.facts
    assert facts["positions"]["origin"] == "measured"
    assert facts["books"]["target"]["debt_usd"] < facts["books"]["in_force"]["debt_usd"]
    assert facts["depth"]["ETH"]["origin"] == "declared"
    assert facts["binding"]["in_force"]["measure"] in {str(m) for m in SIMULATED}
    assert facts["any_shortfall_probability"]["target"] <= facts["any_shortfall_probability"]["in_force"]
    assert facts["not_simulated"] == {}
    assert any("liquidations do not move" in line for line in facts["assumptions"])
    assert result.scenarios["ftx-2022"]["verified"] is False


def test_an_asset_without_a_model_is_named_and_never_passes() -> None:
    gone = replace(
        CALIBRATION,
        assets={name: m for name, m in CALIBRATION.assets.items() if name != "LINK"},
        unavailable=Table.from_rows({"subject": "str", "reason": "str"}, [("LINK", "only 20 bars")]),
    )
    found = model(calibration=gone).loss({"in_force": IN_FORCE})
    assert "only 20 bars" in found.facts["not_simulated"]["LINK"]
    assert found.facts["books"]["in_force"]["accounts_not_simulated"] > 0
    rows = found.rows.where(scenario=MONTE_CARLO)
    assert rows["status"].tolist() == ["fail"] * 3
    assert rows["n_failed"].tolist() == [400] * 3
    assert set(found.rows.where(scenario="ftx-2022")["n_failed"].tolist()) == {0}


def test_no_model_at_all_still_replays() -> None:
    found = model(calibration=replace(CALIBRATION, assets={}, pairs={})).loss({"in_force": IN_FORCE})
    assert set(found.facts["not_simulated"]) == {"BTC", "ETH", "LINK", "USDC", "WSTETH"}
    assert found.rows.where(scenario=MONTE_CARLO)["status"].tolist() == ["fail"] * 3
    assert found.value("black-thursday-2020", "in_force", Measure.LIQUIDATED) > 0  # type: ignore[operator]


def test_failed_paths_are_counted_and_fail_every_budget() -> None:
    wild = np.array(CALIBRATION.assets["ETH"].draws)
    wild[0, 4] = 1e300
    exploding = replace(CALIBRATION.assets["ETH"], draws=frozen(wild))
    found = model(calibration=replace(CALIBRATION, assets={**CALIBRATION.assets, "ETH": exploding})).loss(
        {"in_force": IN_FORCE}
    )
    rows = found.rows.where(scenario=MONTE_CARLO)
    assert rows["n_failed"].tolist() == [20] * 3  # draw 0 of 20 under 400 paths
    assert rows["status"].tolist() == ["fail"] * 3
    assert len(found.losses) == 380


def test_scenarios_and_the_reference_book() -> None:
    settings = make_settings(stress={"scenarios": ["luna-2022"]})
    found = BookLossModel(make_snapshot(book=False), CALIBRATION, settings).loss({"in_force": IN_FORCE})
    assert list(found.scenarios) == ["luna-2022"]
    assert found.facts["positions"]["origin"] == "assumed"
    assert found.facts["positions"]["note"].startswith("reference book")
    assert found.value("luna-2022", "in_force", Measure.LIQUIDATED) > 0  # type: ignore[operator]


def test_expected_loss_is_a_rate() -> None:
    # A longer horizon of the same losses must not scale the rate: both are dollars a year.
    short = make_settings(models={"monte_carlo_horizon": "7d"})
    rate = model(short).loss({"in_force": IN_FORCE})
    row = next(rate.rows.where(scenario=MONTE_CARLO, measure=str(Measure.EXPECTED_PER_YEAR)).rows())
    losses = rate.losses["loss"]  # over the same seven days
    assert row["value"] == pytest.approx(losses.mean() * 365.25 / 7)
    assert row["standard_error"] == pytest.approx(losses.std(ddof=1) / math.sqrt(400) * 365.25 / 7)
