"""The term structure beyond a day: jumps in both views, bands that hold what the views disagree about."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from risk.calibration import Measure, Side, SubjectModel
from risk.tails.figures import CAPPED, MISSED, Estimate, FigureRequest, figure, figures_and_draws
from risk.tails.horizon import jump_size_draws
from risk.tails.one_bar import UNCOVERED, historical_figures
from risk.tails.term_structure import TERM_SCHEMA, term_rows
from tests.tails.models import constant_variance, known_model, student_shocks

DAY = 86_400


def rows_of(model: SubjectModel, request: FigureRequest) -> list[dict[str, Any]]:
    shocks = np.tile(model.shocks, (len(model.draws), 1))
    conditional = figures_and_draws(model, shocks, request, start="conditional")
    return [dict(zip(TERM_SCHEMA, row, strict=True)) for row in term_rows(model, conditional, request)]


def quiet_peg(**changes: Any) -> SubjectModel:
    """A stablecoin that hardly moves: jumps of 4 % and 12 %, .3 a year, none of them in its own history."""
    noise = 0.0005 * student_shocks(5.0, 400)
    parts: dict[str, Any] = {
        "returns": noise, "draws": constant_variance(0.0005), "jump_intensity": np.full(5, 0.3),
        "jump_sizes": np.log([0.88, 0.96]),
    }  # fmt: skip
    return known_model(**{**parts, **changes})


def test_a_quiet_history_does_not_halve_the_jump() -> None:
    """A jump comes within 28 days with 2.3 %: at 99 % both views, and so the mean, are of jumps (METHOD 2)."""
    request = FigureRequest((0.95, 0.99), (1, 7, 28), n_paths_per_draw=400, seed=1)
    rows = {
        (row["horizon"] // DAY, row["confidence"]): row
        for row in rows_of(quiet_peg(), request)
        if row["side"] == "down"
    }
    month = rows[28, 0.99]
    assert month["conditional"] > 0.11
    assert month["scaled_history"] > 0.11
    assert month["value_at_risk"] > 0.11
    # Jumps of .6 % in a week take the 95 % quantile to 95.6 % of the history alone: a twentieth further out.
    plain = [row for row in rows_of(quiet_peg(jump_sizes=np.empty(0)), request) if row["side"] == "down"]
    week = next(row for row in plain if row["horizon"] == 7 * DAY and row["confidence"] == 0.95)
    assert rows[7, 0.95]["scaled_history"] == pytest.approx(week["scaled_history"], rel=0.1)


def test_figures_do_not_fall_with_the_horizon() -> None:
    request = FigureRequest((0.95, 0.99, 0.995), (1, 3, 7, 14, 28), n_paths_per_draw=400, seed=1)
    for model in (known_model(), quiet_peg(), quiet_peg(jump_intensity=np.full(5, 1.5))):
        rows = rows_of(model, request)
        for side in ("down", "up"):
            for level in request.confidences:
                found = [row for row in rows if row["side"] == side and row["confidence"] == level]
                for name in ("value_at_risk", "expected_shortfall"):
                    assert (np.diff([row[name] for row in found]) >= 0.0).all(), (model.subject, side, level, name)


def test_few_depegs_do_not_fix_the_size_of_the_next() -> None:
    """The band of a month's quantile holds what four sizes leave open; the mixture has the pool's sizes alike."""
    sizes = np.log([0.88, 0.91, 0.94, 0.96])
    model = quiet_peg(jump_sizes=sizes, jump_intensity=np.full(50, 2.0), draws=constant_variance(0.0005, n_draws=50))
    by_draw = jump_size_draws(model, 1)
    np.testing.assert_allclose(np.unique(by_draw, return_counts=True)[1], 50)
    rows = rows_of(model, FigureRequest((0.99,), (1, 28), n_paths_per_draw=400, seed=1))
    month = next(row for row in rows if row["side"] == "down" and row["horizon"] == 28 * DAY)
    assert month["upper"] - month["lower"] > 0.02


def test_a_band_beside_its_value_says_so() -> None:
    model = known_model()
    for band, note in (((0.1, 0.3), "ok"), ((0.25, 0.3), MISSED), ((0.1, 0.15), MISSED)):
        found = figure(model, Measure.VALUE_AT_RISK, 0.99, 1, Side.DOWN, "conditional", Estimate(0.2, *band))
        assert (found.status, found.lower, found.upper) == (note, *band)


def test_what_is_cut_at_tenfold_says_so() -> None:
    """A rise beyond tenfold is cut: the quantile that reaches the bound is named, not printed as known for certain."""
    model = known_model(draws=constant_variance(3.0))
    shocks = np.tile(model.shocks, (5, 1))
    found = figures_and_draws(model, shocks, FigureRequest((0.99,), (1,), 400, 1), start="conditional")
    rise = next(f for f, _ in found if f.measure is Measure.VALUE_AT_RISK and f.side is Side.UP)
    assert rise.value == pytest.approx(9.0)
    assert CAPPED in rise.status


def test_monte_carlo_errors_stand_beside_the_figures() -> None:
    """The error of a normal 99 % quantile of n paths: sqrt(c (1 - c) / n) / density, up to the noise of spacings."""
    model = known_model(draws=constant_variance(0.01), shocks=student_shocks(np.inf))
    shocks = np.tile(model.shocks, (5, 1))
    found = figures_and_draws(model, shocks, FigureRequest((0.99,), (4,), 2000, 1), start="conditional")
    fall = next(f for f, _ in found if f.measure is Measure.VALUE_AT_RISK and f.side is Side.DOWN)
    density = np.exp(-0.5 * 2.3263**2) / np.sqrt(2 * np.pi) / 0.02
    assert fall.monte_carlo_error == pytest.approx(np.sqrt(0.99 * 0.01 / 50_000) / density, rel=0.3)
    for row in rows_of(model, FigureRequest((0.99,), (1, 4), 400, 1)):
        if row["horizon"] == 4 * DAY:
            assert row["shortfall_lower"] < row["expected_shortfall"] < row["shortfall_upper"], row["side"]


def test_a_sample_with_few_bars_beyond_says_what_its_interval_is_worth() -> None:
    model = known_model(returns=0.04 * student_shocks(5.0, 1000), observed_at=DAY * np.arange(1, 1001))
    for found in historical_figures(model, FigureRequest((0.95, 0.99), (1,), 400, 1)):
        assert (UNCOVERED in found.status) == (found.confidence == 0.99)
