"""Hour-of-day factors from the race to the paths: a known profile is found, used and put back."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy.stats import chi2

from risk.artifact import Table
from risk.calibration import Calibration, Dependence, Measure, Side, SubjectModel
from risk.errors import DataError
from risk.market import PriceSeries
from risk.stress.paths import JointModel, simulate_block
from risk.tails.evidence import hour_factors, hour_factors_as_of
from risk.tails.figures import FigureRequest, figures_and_draws
from risk.tails.horizon import hour_scale, simulate
from risk.tails.one_bar import parametric_figures, volatility_figure
from risk.tails.subject import SubjectOutcome, SubjectTask, calibrate_subject
from risk.tails.term_structure import term_rows
from risk.volatility.race import walk_forward
from risk.volatility.seasonality import HOUR, hour_of_day
from tests.factories import make_settings
from tests.tails.models import Array, constant_variance, known_model, student_shocks

BEGIN = 1_700_006_400 // 86400 * 86400
N = 3000
MODELS = {"posterior_draws": 20, "paths_per_draw": 50, "volatility": ["garch_t"], "walk_forward_window": 1000,
          "refit_interval": 500}  # fmt: skip


def profile() -> Array:
    """Busy in the afternoon (UTC), quiet at night, from .5 to 1.5 of the average; mean square one."""
    wave = 1.0 + 0.5 * np.sin(2 * np.pi * (np.arange(24) - 8) / 24)
    return np.asarray(wave / np.sqrt(np.mean(wave**2)))


@cache
def hourly(n: int = N, seed: int = 20240607) -> tuple[np.ndarray, Array]:
    """GARCH(1,1)-t6 at .8 % an hour, times the profile."""
    z = np.random.default_rng(seed).standard_t(6, n) * np.sqrt(4 / 6)
    h, returns = 0.008**2, np.empty(n)
    for t in range(n):
        returns[t] = np.sqrt(h) * z[t]
        h = 0.03 * 0.008**2 + 0.06 * returns[t] ** 2 + 0.91 * h
    observed_at = BEGIN + HOUR * np.arange(1, n + 1)
    return observed_at, returns * profile()[hour_of_day(observed_at)]


def model_with_hours(**changes: object) -> SubjectModel:
    """Constant volatility of 1 % an hour times the profile; the history ends at 05:00."""
    n = 400
    ends = BEGIN + 5 * HOUR - HOUR * np.arange(n)[::-1]
    parts = {
        "interval": HOUR, "observed_at": ends, "draws": constant_variance(0.01), "hour_factors": profile(),
        "starting_variance": np.full(10, 0.01**2), "shocks": student_shocks(np.inf),
        "returns": 0.01 * student_shocks(np.inf, n) * profile()[hour_of_day(ends)],
    }  # fmt: skip
    return known_model(**{**parts, **changes})


def by_hour(pit: Array, hours: np.ndarray) -> float:
    """P-value that (2u - 1)^2 has its mean 1/3 (variance 4/45, of a uniform u) in each of the 24 hours."""
    squares = (2.0 * pit - 1.0) ** 2
    counts = np.bincount(hours, minlength=24)
    means = np.bincount(hours, weights=squares, minlength=24) / counts
    return float(chi2.sf(np.sum(counts * (means - 1 / 3) ** 2 / (4 / 45)), 24))


def test_pit_is_uniform_in_every_hour_with_factors_and_not_without() -> None:
    """Over 2000 bars, with factors from 8760 before each refit: their own error adds a quarter to the statistic."""
    observed_at, returns = hourly(12_000)
    settings = make_settings(models=MODELS)
    factors = hour_factors(observed_at, returns, HOUR, settings, start=10_000)
    hours = hour_of_day(observed_at)[10_000:]
    p = {}
    for name, scale in (("with", factors), ("without", None)):
        walk = walk_forward(returns, ["garch_t"], window=10_000, refit_every=500, factors=scale)
        transformed = walk.tracks["garch_t"].law.transform(walk.returns)
        assert transformed is not None
        p[name] = by_hour(transformed, hours)
    assert p["with"] > 0.01
    assert p["without"] < 1e-12


def test_factors_of_the_walk_know_nothing_from_the_refit_on() -> None:
    observed_at, returns = hourly()
    settings = make_settings(models=MODELS)
    changed = returns.copy()
    changed[2100:] *= np.where(hour_of_day(observed_at)[2100:] == 3, 9.0, 1.0)
    first, second = (hour_factors(observed_at, r, HOUR, settings, start=1000) for r in (returns, changed))
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first[:2500], second[:2500])
    assert not np.array_equal(first[2500:], second[2500:])


@cache
def outcome() -> SubjectOutcome:
    observed_at, returns = hourly()
    close = 100.0 * np.exp(np.concatenate(([0.0], np.cumsum(returns))))
    times = np.concatenate(([BEGIN], observed_at))
    series = PriceSeries("eth", "ETH", "USD", "files:eth", "close", HOUR, times, times, close)
    task = SubjectTask("ETH", "ETH", "USD", series, int(times[-1]), pegged=False, backing=None, latency=0)
    return calibrate_subject(task, make_settings(models=MODELS))


def test_a_calibration_finds_the_profile_and_fits_without_it() -> None:
    found = outcome().model
    assert found is not None, outcome().reason
    assert "hour_factors" not in found.status
    # A factor from 125 bars of t6 (kurtosis 6) has a standard error of sqrt(5 / 125) / 2 = 10 %.
    np.testing.assert_allclose(found.hour_factors, profile(), rtol=4 * 0.1)
    hours = hour_of_day(found.observed_at)
    spread = np.array([np.std(found.residuals[hours == hour]) for hour in range(24)])
    raw = np.array([np.std(found.returns[hours == hour]) for hour in range(24)])
    assert spread.max() / spread.min() < 1.4
    assert raw.max() / raw.min() > 2.5
    flat = found.returns / found.hour_factors[hours]
    np.testing.assert_allclose(flat[1:5] / np.sqrt(found.variances[1:5]), found.residuals[1:5], atol=0.1)


def test_hours_survive_the_artifact_and_days_have_none() -> None:
    found = outcome().model
    assert found is not None
    blank = Table({"subject": np.empty(0, dtype=np.str_)})

    def calibration(model: SubjectModel) -> Calibration:
        return Calibration(
            0, *([blank] * 10), {"ETH": model}, {}, Dependence((), np.empty((0, 0)), 5.0, 0, "none")
        )  # fmt: skip

    again = Calibration.from_artifact(calibration(found).artifact())
    np.testing.assert_array_equal(again.assets["ETH"].hour_factors, found.hour_factors)
    assert not any("hours" in name for name in calibration(known_model()).artifact().tables)


def test_paths_move_by_the_hour_of_their_clock() -> None:
    """The history ends at 05:00, so the first bar is that of hour 5; both simulations know it."""
    model = model_with_hours()
    expected = 0.01 * profile()[(5 + np.arange(48)) % 24]
    moves = np.diff(simulate(model, n_bars=48, n_paths_per_draw=2000, seed=1, start="conditional").log_price, axis=1)
    np.testing.assert_allclose(moves[:2000].std(axis=0), expected, rtol=0.01)  # stratified: far below 1/sqrt(2n)
    joint = JointModel(("ETH",), (model,), (-1,), np.eye(1), 1e6, HOUR)
    blocks = [simulate_block(joint, seed=1, block=i, n_steps=48) for i in range(20)]
    both = np.diff(np.log(np.concatenate(blocks))[:, :, 0], axis=1)
    np.testing.assert_allclose(both.std(axis=0), expected, rtol=5 / np.sqrt(2 * 4000))


def test_the_next_bar_and_a_horizon_have_their_hours_volatility() -> None:
    model = model_with_hours()
    ahead = hour_scale(model, 1)[0]
    assert ahead == profile()[5]
    sigma = volatility_figure(model, model.draws[:, 6], method="garch_t").value
    assert sigma == pytest.approx(0.01 * ahead, rel=1e-12)
    figures = parametric_figures(model, model.draws, method="garch_t", confidences=(0.99,))
    plain = parametric_figures(
        model_with_hours(hour_factors=np.empty(0)), model.draws, method="garch_t", confidences=(0.99,)
    )
    for one, other in zip(figures, plain, strict=True):
        if one.measure is Measure.VALUE_AT_RISK:
            side = 1 if one.side is Side.DOWN else -1
            logs = [np.log1p(-side * figure.value) for figure in (one, other)]
            assert logs[0] == pytest.approx(ahead * logs[1], rel=1e-9)
    # The scaled view over six hours grows as the factors of these hours, over a day as all.
    request = FigureRequest((0.95,), (1, 6, 24), n_paths_per_draw=200, seed=1)
    shocks = np.tile(model.shocks, (len(model.draws), 1))
    rows = term_rows(model, figures_and_draws(model, shocks, request, start="conditional"), request)
    slow = {row[2]: -np.log1p(-row[6]) for row in rows if row[1] == "down"}
    share = np.sqrt(np.sum(profile()[5:11] ** 2) / 24)
    assert slow[6 * HOUR] / slow[24 * HOUR] == pytest.approx(
        share, rel=1e-4
    )  # quantiles of simple losses are interpolated


def test_too_few_days_give_no_factors() -> None:
    observed_at, returns = hourly()
    with pytest.raises(DataError):
        hour_factors_as_of(observed_at[:600], returns[:600], HOUR)
    assert not hour_factors_as_of(observed_at, returns, 86400).size
