"""The stage: who is calibrated, what is refused, and that nothing depends on anything else."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from risk.artifact import Table
from risk.calibration import FIGURE_SCHEMA, Calibration, Dependence, Measure, RiskFigure, Side
from risk.dependence.copula import fit_dependence
from risk.dependence.summary import PAIR_SCHEMA, dependence_pairs
from risk.market import MarketSnapshot, PriceSeries
from risk.settings import Settings
from risk.tails.calibrate import assemble, calibrate_subjects, residuals_by_asset, subject_tasks
from risk.tails.comparison import Method
from risk.tails.evidence import RaceResult, run_race
from risk.tails.figures import MISSED, simple_loss
from risk.tails.subject import GIANT_MOVE, SubjectOutcome, SubjectTask, calibrate_subject
from risk.tails.term_structure import TERM_SCHEMA
from risk.volatility.forecasters import DRIVES_PATHS, FORECASTERS
from tests.factories import AS_OF, DAY, make_settings, make_snapshot

MODELS = {"posterior_draws": 20, "paths_per_draw": 50, "volatility": ["ewma_t", "garch_t"]}
NOTHING = Dependence((), np.empty((0, 0)), 5.0, 0, "none")

NO_PAIRS = Table.from_rows(PAIR_SCHEMA, [])


def settings_of(**parts: Any) -> Settings:
    return make_settings(**{"models": MODELS, **parts})


@cache
def calibrated() -> tuple[MarketSnapshot, Settings, dict[str, SubjectOutcome]]:
    """Six hundred bars: too short for a race at the usual window, so the window is shortened."""
    snapshot, settings = make_snapshot(n_bars=620), settings_of(models={**MODELS, "walk_forward_window": 300})
    return snapshot, settings, {o.subject: o for o in calibrate_subjects(snapshot, settings)}


def the_task(snapshot: MarketSnapshot, settings: Settings, subject: str) -> SubjectTask:
    found = next(t for t in subject_tasks(snapshot, settings) if t.subject == subject)
    assert isinstance(found, SubjectTask)
    return found


def with_close(snapshot: MarketSnapshot, asset: str, change: Callable[[PriceSeries], PriceSeries]) -> MarketSnapshot:
    return replace(snapshot, series=tuple(change(s) if s == snapshot.close(asset) else s for s in snapshot.series))


def same(first: SubjectOutcome, second: SubjectOutcome) -> bool:
    """Equal to the last bit."""
    if first.model is None or second.model is None:
        return first == second
    arrays = ("returns", "variances", "residuals", "draws", "starting_variance", "shocks", "jump_intensity")
    return (
        first.figures == second.figures
        and first.evidence == second.evidence
        and all(np.array_equal(getattr(first.model, a), getattr(second.model, a)) for a in arrays)
    )


def test_subjects_are_assets_and_pairs() -> None:
    _, settings, outcomes = calibrated()
    pairs = {f"{name}:{debt}" for name, asset in settings.assets.items() for debt in asset.debts}
    assert set(outcomes) == set(settings.assets) | pairs
    assert all(o.model is not None and not o.reason for o in outcomes.values())
    model = outcomes["ETH:BTC"].model
    assert model is not None
    assert (model.collateral, model.debt, model.interval) == ("ETH", "BTC", DAY)
    assert len(model.returns) == 619
    assert model.draws.shape == (20, 7)
    assert "short_history" not in model.status


def test_figures_cover_every_declared_horizon_and_confidence() -> None:
    snapshot, settings, outcomes = calibrated()
    keys = {(f.method, str(f.measure), f.confidence, f.horizon // DAY, str(f.side)) for f in outcomes["ETH"].figures}
    assert len(keys) == len(outcomes["ETH"].figures)
    for method in ("conditional", "through_the_cycle"):
        for measure in ("value_at_risk", "expected_shortfall", "drawdown"):
            for confidence in (0.95, 0.99, 0.995):
                for bars in (1, 7, 28):
                    assert (method, measure, confidence, bars, "down") in keys
                    assert (method, measure, confidence, bars, "up") in keys
    for method in ("ewma_t", "garch_t", "historical"):
        assert (method, "expected_shortfall", 0.99, 1, "down") in keys
        assert (method, "volatility", 0.0, 1, "down") in keys
    hour = replace(snapshot, oracle={"ETH": replace(snapshot.oracle["ETH"], latency=3 * DAY)})
    assert 4 * DAY in {f.horizon for f in calibrate_subject(the_task(hour, settings, "ETH"), settings).figures}


def test_conditional_figure_agrees_with_the_closed_form() -> None:
    """The simulated one-bar VaR rests on residuals, the closed form on Student-t: near each other on t data."""
    _, _, outcomes = calibrated()
    found = {(f.method, f.measure, f.confidence, f.side, f.horizon): f for f in outcomes["ETH"].figures}
    model = outcomes["ETH"].model
    assert model is not None
    key = (Measure.VALUE_AT_RISK, 0.95, Side.DOWN, DAY)
    assert found["conditional", *key].value == pytest.approx(found[model.model, *key].value, rel=0.12)


def test_a_pegged_coin_is_not_riskless() -> None:
    """USDC moves 2 basis points a day; over a life of 28 days its 99 % fall is a depeg."""
    _, _, outcomes = calibrated()
    found = {(f.method, f.measure, f.confidence, f.side, f.horizon): f for f in outcomes["USDC"].figures}
    figure = found["through_the_cycle", Measure.DRAWDOWN, 0.99, Side.DOWN, 28 * DAY]
    assert 0.03 < figure.value < 0.2
    assert found["historical", Measure.VALUE_AT_RISK, 0.99, Side.DOWN, DAY].value < 0.002
    model = outcomes["ETH:USDC"].model
    assert model is not None
    assert not len(model.jump_sizes)  # only the collateral's peg counts


def test_executor_changes_nothing() -> None:
    snapshot, settings, outcomes = calibrated()
    with ThreadPoolExecutor(2) as executor:
        again = calibrate_subjects(snapshot, settings, executor)
    assert [o.subject for o in again] == list(outcomes)
    assert all(same(o, outcomes[o.subject]) for o in again)


def test_other_assets_change_nothing() -> None:
    """Fewer assets, in another order, and series in another order: identical marginals."""
    snapshot, settings, outcomes = calibrated()
    fewer = {name: settings.assets[name] for name in ("USDC", "ETH", "BTC")}
    other = settings.model_copy(update={"assets": fewer})
    market = replace(snapshot, assets=("USDC", "ETH", "BTC"), series=snapshot.series[::-1])
    for outcome in calibrate_subjects(market, other):
        assert same(outcome, outcomes[outcome.subject])


def test_later_rows_change_nothing() -> None:
    snapshot, settings, outcomes = calibrated()

    def corrupted(series: PriceSeries) -> PriceSeries:
        later = AS_OF + DAY * np.arange(1, 6)
        return replace(
            series,
            observed_at=np.concatenate([series.observed_at, later]),
            known_at=np.concatenate([series.known_at, later]),
            value=np.concatenate([series.value, series.value[-1] * np.array([0.1, 9.0, 1e-3, 7.0, 1.0])]),
        )

    moved = with_close(snapshot, "ETH", corrupted)
    assert same(calibrate_subject(the_task(moved, settings, "ETH"), settings), outcomes["ETH"])


def test_the_seed_is_used() -> None:
    snapshot, settings, outcomes = calibrated()
    other = settings.model_copy(update={"seed": settings.seed + 1})
    found = calibrate_subject(the_task(snapshot, other, "ETH"), other)
    assert found.model is not None
    assert not np.array_equal(found.model.draws, outcomes["ETH"].model.draws)


def test_a_pair_against_the_unit_of_account_shares_the_model() -> None:
    snapshot = make_snapshot(n_bars=200)
    settings = settings_of(assets={"ETH": {"asset_class": "large_cap", "reserve": "lending", "debts": ["USD"]}})
    outcomes = {o.subject: o for o in calibrate_subjects(snapshot, settings)}
    asset, pair = outcomes["ETH"], outcomes["ETH:USD"]
    assert asset.model is not None
    assert pair.model is not None
    assert pair.model.subject == "ETH:USD"
    np.testing.assert_array_equal(asset.model.draws, pair.model.draws)
    assert pair.figures == tuple(replace(f, subject="ETH:USD") for f in asset.figures)
    assert not pair.evidence.race


def flat(series: PriceSeries) -> PriceSeries:
    return replace(series, value=np.ones(len(series)))


def shifted(series: PriceSeries) -> PriceSeries:
    return replace(series, observed_at=series.observed_at - 7200, known_at=series.known_at - 7200)


def last(count: int) -> Callable[[PriceSeries], PriceSeries]:
    def cut(series: PriceSeries) -> PriceSeries:
        return replace(
            series,
            observed_at=series.observed_at[-count:],
            known_at=series.known_at[-count:],
            value=series.value[-count:],
        )

    return cut


@pytest.mark.parametrize(
    ("change", "subject", "reason"),
    [
        (flat, "ETH", "does not move"),
        (last(20), "ETH", "only 19 returns"),
        (last(1), "ETH", "only 0 returns"),
        (shifted, "ETH:BTC", "end at the same instant"),
    ],
)
def test_refusals_of_a_series(change: Callable[[PriceSeries], PriceSeries], subject: str, reason: str) -> None:
    snapshot, settings, outcomes = calibrated()
    moved = with_close(snapshot, "ETH", change)
    found = {o.subject: o for o in calibrate_subjects(moved, settings)}
    assert found[subject].model is None
    assert reason in found[subject].reason
    assert not found[subject].figures
    assert same(found["BTC"], outcomes["BTC"])


def test_refusals_of_a_market() -> None:
    snapshot, settings, _ = calibrated()
    bad = replace(
        snapshot,
        quality=Table.from_rows(
            {"series": "str", "check": "str", "verdict": "str", "count": "i8", "detail": "str"},
            [("ETH/close", "frozen", "bad", 400, "400 equal closes")],
        ),
    )
    found = {o.subject: o for o in calibrate_subjects(bad, settings)}
    assert found["ETH"].reason == "the quality of the series is bad: ETH: frozen: 400 equal closes"
    assert "frozen" in found["WSTETH:ETH"].reason
    assert found["BTC"].model is not None
    gone = replace(snapshot, assets=tuple(a for a in snapshot.assets if a != "ETH"))
    found = {o.subject: o for o in calibrate_subjects(gone, settings)}
    assert found["ETH"].reason == "ETH has no closes by the as-of date"
    early = replace(the_task(snapshot, settings, "BTC"), as_of=1_500_000_000)
    assert "first pooled prior" in calibrate_subject(early, settings).reason


def test_short_and_stale_histories_say_so() -> None:
    settings = settings_of()
    short = calibrate_subject(the_task(make_snapshot(n_bars=200), settings, "ETH"), settings)
    assert short.model is not None
    assert "short_history" in short.model.status
    assert "not_raced" in short.model.status
    assert short.model.model == "garch_t"
    assert all("short_history" in f.status for f in short.figures)
    later = replace(the_task(make_snapshot(n_bars=200), settings, "ETH"), as_of=AS_OF + 10 * DAY)
    found = calibrate_subject(later, settings).model
    assert found is not None
    assert "stale" in found.status


def test_the_track_record_counts_what_it_shows() -> None:
    _, _, outcomes = calibrated()
    evidence = outcomes["ETH"].evidence
    winner = next(row[1] for row in evidence.race if row[6])
    model = outcomes["ETH"].model
    assert model is not None
    assert model.model == winner
    shown = sum(bool(row[5]) for row in evidence.exceptions)
    counted = next(r for r in evidence.track_record if r[1] == winner and r[2] == 0.99 and r[3] == "down")
    assert len(evidence.exceptions) == counted[4] == 319
    assert shown == counted[5]
    for _, _, value, value_at_risk, _, exception in evidence.exceptions:
        assert (value < -value_at_risk) is exception  # type: ignore[operator]


def test_the_artifact_keeps_everything() -> None:
    snapshot, settings, outcomes = calibrated()
    stage = assemble(snapshot, settings, tuple(outcomes.values()), NOTHING, NO_PAIRS)
    again = Calibration.from_artifact(stage.artifact())
    assert again.artifact().content_hash == stage.artifact().content_hash
    assert stage.figures.schema == FIGURE_SCHEMA
    figure = stage.figure(
        "ETH:USDC", measure=Measure.DRAWDOWN, confidence=0.99, horizon=7 * DAY, side=Side.DOWN, method="conditional"
    )
    assert isinstance(figure, RiskFigure)
    assert figure in outcomes["ETH:USDC"].figures
    assert set(residuals_by_asset(tuple(outcomes.values()))) == set(settings.assets)
    none = assemble(snapshot, settings, (SubjectOutcome("ETH", reason="no closes"),), NOTHING, NO_PAIRS)
    assert none.reason("ETH") == "no closes"
    assert Calibration.from_artifact(none.artifact()).artifact().content_hash == none.artifact().content_hash


def test_every_entrant_is_raced_and_shown() -> None:
    """All optional models: a row each, figures in closed form of those that are Student-t and drive paths."""
    everyone = [str(name) for name in FORECASTERS]
    snapshot, _, _ = calibrated()
    settings = settings_of(models={**MODELS, "walk_forward_window": 300, "refit_interval": 150, "volatility": everyone})
    found = calibrate_subject(the_task(snapshot, settings, "ETH"), settings)
    assert found.model is not None
    assert {row[1] for row in found.evidence.race} == set(everyone)
    assert {row[6] for row in found.evidence.assumptions} == {*everyone, "shocks"}
    closed = {f.method for f in found.figures} - {"conditional", "through_the_cycle", "historical"}
    assert closed == {"ewma_t", "constant_t", "garch_t", "gjr_t", "score_t"}
    assert found.model.model in DRIVES_PATHS


def test_a_winner_without_paths_lends_them_from_the_best_that_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot, _, _ = calibrated()
    settings = settings_of(
        models={**MODELS, "walk_forward_window": 300, "refit_interval": 150, "volatility": ["garch_t", "component_t"]}
    )
    task = the_task(snapshot, settings, "ETH")

    def won(*arguments: Any) -> RaceResult:
        result = run_race(*arguments)
        assert result.summary is not None
        return replace(result, winner="component_t", summary=replace(result.summary, winner="component_t"))

    monkeypatch.setattr("risk.tails.subject.run_race", won)
    found = calibrate_subject(task, settings)
    assert found.model is not None
    assert found.model.model in ("ewma_t", "garch_t")
    assert "component_t_drives_no_paths" in found.model.status
    row = next(row for row in found.evidence.race if row[6])
    assert row[1] == "component_t"
    assert f"paths are of {found.model.model}" in str(row[7])


def test_the_term_structure_is_the_mean_of_both_views() -> None:
    """Rows agree with the combination computed directly, its bands hold the value, the life is the strictest."""
    _, settings, outcomes = calibrated()
    rows = [dict(zip(TERM_SCHEMA, row, strict=True)) for row in outcomes["ETH"].evidence.term_structure]
    model = outcomes["ETH"].model
    assert model is not None
    declared = [row for row in rows if row["basis"] == "declared"]
    figures = {(f.method, str(f.measure), f.confidence, f.horizon, str(f.side)): f for f in outcomes["ETH"].figures}
    for row in declared:
        own = figures["conditional", "value_at_risk", row["confidence"], row["horizon"], row["side"]]
        assert row["conditional"] == own.value
        bars = row["horizon"] // DAY
        side = Side(row["side"])
        slow = simple_loss((model.returns - model.returns.mean()) * np.sqrt(bars), side)
        direct = float(np.quantile(slow, row["confidence"], method="hazen"))
        assert row["scaled_history"] == pytest.approx(direct, rel=1e-9)
        expected = own.value if bars == 1 else 0.5 * (own.value + direct)
        assert row["value_at_risk"] == pytest.approx(expected, rel=1e-12)
    assert all(row["lower"] <= row["value_at_risk"] <= row["upper"] or MISSED in row["status"] for row in rows)
    assert all(row["value_at_risk"] <= row["expected_shortfall"] for row in rows)
    appetite = settings.appetite
    for row in rows:
        if row["basis"] == "life":
            share = min(row["horizon"] / appetite.parameter_life, 1.0)
            assert row["confidence"] == pytest.approx((1.0 - appetite.breach_probability) ** share, rel=1e-12)
    assert {row["horizon"] for row in rows if row["basis"] == "life"} == {row["horizon"] for row in rows}
    assert not any(f.confidence not in {c["confidence"] for c in declared} | {0.0} for f in outcomes["ETH"].figures)
    methods = outcomes["ETH"].evidence.methods
    assert {row[1] for row in methods} == {str(m) for m in Method}
    assert not outcomes["ETH:BTC"].evidence.methods


def test_pegs_and_pairs_are_measured() -> None:
    snapshot, settings, outcomes = calibrated()
    residuals = residuals_by_asset(tuple(outcomes.values()))
    dependence = fit_dependence(residuals)
    pairs = dependence_pairs(dependence, residuals, {name: a.asset_class for name, a in settings.assets.items()})
    n = len(dependence.assets)
    assert len(pairs) == n * (n - 1) // 2
    assert np.all(pairs["stressed_correlation"] >= pairs["correlation"])
    assert np.all(pairs["stressed_tail_dependence"] >= pairs["tail_dependence"])
    assert np.all(np.abs(pairs["factor_correlation"]) <= 1.0)
    stage = assemble(snapshot, settings, tuple(outcomes.values()), dependence, pairs)
    again = Calibration.from_artifact(stage.artifact())
    assert again.artifact().content_hash == stage.artifact().content_hash
    pegs = {row["asset"]: row for row in stage.pegs.rows()}
    assert set(pegs) == {name for name, a in settings.assets.items() if a.peg is not None}
    close = np.log(snapshot.close("USDC").as_of(snapshot.as_of).value)
    assert pegs["USDC"]["tracking_error"] == pytest.approx(float(np.diff(close).std()), rel=1e-6)


@pytest.mark.parametrize("factor", [50.0, 1e-6])
def test_a_tenfold_move_in_the_history_is_named(factor: float) -> None:
    """A price times fifty on the last bar, and a fall of 99.9999 % inside the series, are not called ok."""
    snapshot, _, _ = calibrated()
    task, settings = the_task(snapshot, settings_of(), "ETH"), settings_of()
    value = task.series.value.copy()
    value[-1 if factor > 1.0 else 300 :] *= factor
    found = calibrate_subject(replace(task, series=replace(task.series, value=value)), settings)
    assert found.model is not None, found.reason
    assert all(GIANT_MOVE in figure.status for figure in found.figures)
