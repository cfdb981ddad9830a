"""The walk forward against a direct computation, its blindness to the future, and the rule that names a winner."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import stdtrit
from scipy.stats import t as student

from risk.errors import DataError, RefusalError
from risk.tails.extreme_value import fit_tail, tail_quantile
from risk.validation.comparison import diebold_mariano
from risk.validation.coverage import coverage_test
from risk.validation.scores import crps_student, fz0_score, quantile_loss
from risk.volatility.engine import filter_variances, refit_rolling
from risk.volatility.forecast import following_variances, innovations_of, next_forecast
from risk.volatility.forecasters import FORECASTERS, Forecasts
from risk.volatility.har import fit_har, har_density
from risk.volatility.har_forecaster import HarForecaster
from risk.volatility.laws import PredictiveLaw, StudentLaw, student_quantile, student_shortfall
from risk.volatility.models import FitStatus, ParameterPrior, VolatilityModel, fit
from risk.volatility.race import SET_LEVEL, WalkForward, choices_in_time, choose, race, walk_forward
from tools.panel import read_closes

Simulate = Callable[..., tuple[np.ndarray, float]]
ALL = (VolatilityModel.EWMA_T, VolatilityModel.GARCH_T, VolatilityModel.GJR_T)


@pytest.fixture(scope="module")
def walk(simulate: Simulate) -> WalkForward:
    y, _ = simulate(700, np.random.default_rng(21))
    return walk_forward(y, ALL, window=400, refit_every=30)


def test_forecasts_are_the_direct_ones(walk: WalkForward, simulate: Simulate) -> None:
    y, _ = simulate(700, np.random.default_rng(21))
    assert walk.positions.tolist() == list(range(400, 700))
    for model, track in walk.tracks.items():
        assert track.refits == tuple(range(400, 700, 30))
        for t in (400, 417, 430, 699):
            origin = 400 + (t - 400) // 30 * 30
            result = fit(model, y[origin - 400 : origin])
            h = filter_variances(result.vector, y[origin - 400 : t])[-1]
            if model is VolatilityModel.EWMA_T:  # its presample is about zero, not the mean
                h = 0.94 ** (t - origin) * result.last_variance
                h += sum(0.06 * 0.94 ** (t - 1 - s) * y[s] ** 2 for s in range(origin, t))
            # Warm and cold starts agree to a Newton decrement of 1e-10.
            assert track.variances[t - 400] == pytest.approx(h, rel=1e-4)
            nu, mu = track.law.nu[t - 400], track.law.location[t - 400]
            scale = np.sqrt(track.variances[t - 400] * (nu - 2) / nu)
            assert track.log_scores[t - 400] == pytest.approx(student.logpdf(y[t], nu, mu, scale), rel=1e-9)
            var = -student.ppf(0.01, nu, mu, scale)
            assert track.var_long[t - 400, 2] == pytest.approx(var, rel=1e-9)
            assert track.exceptions_long[t - 400, 2] == (-y[t] > var)
            es = -student.expect(lambda r: r, (nu,), mu, scale, ub=-var, conditional=True)
            assert track.es_long[t - 400, 2] == pytest.approx(es, rel=1e-6)
            assert track.var_short[t - 400, 0] == pytest.approx(student.ppf(0.95, nu, mu, scale), rel=1e-9)


@pytest.mark.parametrize("model", sorted(set(FORECASTERS) - set(ALL)))
def test_any_model_forecasts_what_its_fit_says(simulate: Simulate, model: str) -> None:
    """At a refit the fit's own next forecast, later its filter; laws against their scores; nothing from later bars."""
    y, _ = simulate(460, np.random.default_rng(5))
    spoilt = y.copy()
    spoilt[430:] *= -4.0
    walked = walk_forward(y, [model], window=400, refit_every=40)
    track, blind = walked.tracks[model], walk_forward(spoilt, [model], window=400, refit_every=40).tracks[model]
    np.testing.assert_array_equal(track.var_long[:31], blind.var_long[:31])
    np.testing.assert_array_equal(track.variances[:31], blind.variances[:31])
    assert not np.array_equal(track.variances[40:], blind.variances[40:])
    for origin in (400, 440):
        result = fit(model, y[origin - 400 : origin])
        ahead = next_forecast(result)
        t = origin - 400
        # Warm and cold starts of the kernel agree to a Newton decrement of 1e-10.
        assert track.variances[t] == pytest.approx(ahead.variance, rel=1e-4)
        assert track.var_long[t, 2] == pytest.approx(ahead.value_at_risk(0.99), rel=1e-4)
        assert track.es_long[t, 2] == pytest.approx(ahead.expected_shortfall(0.99), rel=1e-4)
        assert track.var_short[t, 2] == pytest.approx(ahead.mirrored().value_at_risk(0.99), rel=1e-4)
        assert track.es_short[t, 2] == pytest.approx(ahead.mirrored().expected_shortfall(0.99), rel=1e-4)
        assert track.log_scores[t] == pytest.approx(ahead.log_density(y[origin]), abs=1e-4)
        np.testing.assert_allclose(
            track.variances[t : t + 20], following_variances(result, y[origin : origin + 19]), rtol=1e-3
        )
        law = innovations_of(result)
        came = np.array([y[origin]])
        z = (came - ahead.mean) / np.sqrt(ahead.variance)
        assert track.crps[t] == pytest.approx(np.sqrt(ahead.variance) * law.crps(z)[0], rel=1e-3)
        assert track.law.transform(walked.returns)[t] == pytest.approx(ahead.distribution(y[origin]), abs=1e-4)


def test_no_forecast_sees_its_future(walk: WalkForward, simulate: Simulate) -> None:
    y = simulate(700, np.random.default_rng(21))[0].copy()
    y[550:] = 5.0 * y[550:][::-1] + 0.1
    corrupted = walk_forward(y, ALL, window=400, refit_every=30)
    for model, track in walk.tracks.items():
        for name in ("variances", "var_long", "es_long", "var_short", "es_short"):
            # The forecast of bar 550 itself is made before it.
            np.testing.assert_array_equal(getattr(track, name)[:151], getattr(corrupted.tracks[model], name)[:151])
        assert not np.array_equal(track.variances[151:], corrupted.tracks[model].variances[151:])


def test_the_benchmark_always_runs(simulate: Simulate) -> None:
    y, _ = simulate(300, np.random.default_rng(1))
    assert tuple(walk_forward(y, ["gjr_t"], window=250).tracks) == ("ewma_t", "gjr_t")


def test_priors_are_asked_as_of_each_refit(simulate: Simulate) -> None:
    y, _ = simulate(300, np.random.default_rng(1))
    asked: list[tuple[str, int]] = []

    def priors(model: VolatilityModel, origin: int) -> ParameterPrior | None:
        asked.append((str(model), origin))
        return None

    walk_forward(y, ["garch_t"], window=200, refit_every=40, priors=priors)
    assert asked == [("garch_t", 200), ("garch_t", 240), ("garch_t", 280)]


def test_refusals(simulate: Simulate) -> None:
    y, _ = simulate(300, np.random.default_rng(1))
    with pytest.raises(DataError, match="shorter window"):
        walk_forward(y, ALL, window=300)
    with pytest.raises(DataError, match="confidences"):
        walk_forward(y, ALL, window=200, confidences=[0.01])
    with pytest.raises(RefusalError, match="too_short"):
        walk_forward(y, ALL, window=20)
    gap = y.copy()
    gap[100:230] = 0.0
    carried = walk_forward(gap, ["garch_t"], window=100, refit_every=20).tracks[VolatilityModel.GARCH_T]
    assert carried.n_carried == sum(status == "degenerate" for status in carried.statuses) > 0
    assert np.all(np.isfinite(carried.var_long))


def test_the_simplest_within_the_hurdle_wins(walk: WalkForward) -> None:
    summary = race(walk)
    scores = {entry.model: entry.log_score for entry in summary.entries}
    assert summary.n_observations == 300
    assert summary.entries[0].difference == 0.0
    assert race(walk, hurdle=10.0).winner is VolatilityModel.GARCH_T
    assert race(walk, hurdle=0.0).winner == max(scores, key=lambda model: scores[model])


def test_entries_hold_every_score(walk: WalkForward) -> None:
    """Each number against the function that makes it, from the track alone."""
    summary = race(walk)
    benchmark = walk.tracks[VolatilityModel.EWMA_T]
    for entry in summary.entries:
        track = walk.tracks[entry.model]
        fared = diebold_mariano(-track.log_scores, -benchmark.log_scores)
        assert entry.difference == pytest.approx(track.log_scores.mean() - benchmark.log_scores.mean(), abs=1e-12)
        assert (entry.p_better, entry.difference_error) == (fared.p_better, fared.standard_error)
        assert entry.crps == pytest.approx(
            np.mean(crps_student(walk.returns, track.law.nu, track.law.location, track.law.scale))
        )
        loss = quantile_loss(-walk.returns, track.var_long[:, 2], 0.99)
        joint = fz0_score(-walk.returns, track.var_long[:, 2], track.es_long[:, 2], 0.99)
        assert (entry.quantile_loss, entry.fz0) == (loss.mean(), joint.mean())
        assert entry.has_density
        assert entry.in_set == (entry.confidence_set >= SET_LEVEL)
    assert max(entry.confidence_set for entry in summary.entries) == 1.0
    assert race(walk) == summary


def test_the_benchmark_is_no_contestant() -> None:
    """It wins alone, or ahead of every other by more than the hurdle; what is not inside never wins."""
    means = {"ewma_t": 1.0, "garch_t": 1.01, "gjr_t": 1.0}
    everyone = ("ewma_t", "garch_t", "gjr_t")
    assert choose(means, everyone, hurdle=0.002) == "gjr_t"
    assert choose(means, everyone, hurdle=0.02) == "garch_t"
    assert choose(means, ("ewma_t", "garch_t"), hurdle=0.002) == "ewma_t"
    assert choose(means, ("garch_t",), hurdle=0.002) == "garch_t"
    assert choose(means, ("ewma_t",), hurdle=0.002) == "ewma_t"


def test_a_choice_in_time_is_that_of_the_bars_before(walk: WalkForward) -> None:
    chosen = choices_in_time(walk, default="garch_t", minimum=100)
    assert len(chosen) == 300
    assert set(chosen[:120]) == {"garch_t"}  # the first refit with a hundred bars before it is at 120
    for begin in range(120, 300, 30):
        means = {name: -float(track.log_scores[:begin].mean()) for name, track in walk.tracks.items()}
        assert set(chosen[begin : begin + 30]) == {choose(means, list(walk.tracks))}


def test_a_choice_in_time_turns_after_the_score_does(walk: WalkForward) -> None:
    """gjr_t is better by a nat on bars 0 to 149 and worse by three from 150 on: it is in use from 120 to 209."""
    scores = {
        "ewma_t": np.full(300, -9.0),
        "garch_t": np.zeros(300),
        "gjr_t": np.where(np.arange(300) < 150, 1.0, -3.0),
    }
    tracks = {name: replace(walk.tracks[name], log_scores=values) for name, values in scores.items()}
    chosen = choices_in_time(replace(walk, tracks=tracks), default="garch_t", minimum=100)
    # At 180 gjr_t has a mean of (150 - 90) / 180 = 1/3; at 210 of (150 - 180) / 210 < 0.
    assert [i for i, name in enumerate(chosen) if name == "gjr_t"] == list(range(120, 210))


@dataclass(frozen=True)
class Constant:
    """Student-t with the window's own moments and 5 degrees of freedom; as a model of quantiles only, on demand."""

    name: str = "constant_5"
    n_parameters: int = 2
    quantiles_only: bool = False

    def forecast(self, returns: np.ndarray, refits: Sequence[int], *, window: int) -> Forecasts:
        counts = np.diff([*refits, returns.size])
        past = [returns[max(origin - window, 0) : origin] for origin in refits]
        location, deviation = (np.repeat([f(x) for x in past], counts) for f in (np.mean, np.std))
        law: PredictiveLaw = StudentLaw(location, deviation, np.full(location.size, 5.0))
        if self.quantiles_only:
            law = Quantiles(law)
        return Forecasts(law, deviation**2, (FitStatus.CONVERGED,) * len(refits), 0)


@dataclass(frozen=True)
class Quantiles:
    """A law that knows its quantiles and shortfalls only."""

    inner: PredictiveLaw

    def quantile(self, probability: float) -> np.ndarray:
        return self.inner.quantile(probability)

    def shortfall(self, confidence: float, *, rise: bool) -> np.ndarray:
        return self.inner.shortfall(confidence, rise=rise)

    def log_density(self, returns: np.ndarray) -> None:
        return None

    crps = transform = log_density


def test_any_forecaster_can_race(simulate: Simulate) -> None:
    """A model that the package does not know stands in the race by its own size and under its own name."""
    y, _ = simulate(700, np.random.default_rng(21))
    walk = walk_forward(y, ["garch_t", Constant(), Constant("quantiles", 9, quantiles_only=True)], window=400)
    assert tuple(walk.tracks) == ("ewma_t", "constant_5", "garch_t", "quantiles")
    np.testing.assert_array_equal(walk.tracks["quantiles"].var_long, walk.tracks["constant_5"].var_long)
    summary = race(walk)
    constant, quantiles = summary.entry("constant_5"), summary.entry("quantiles")
    assert constant.has_density
    assert not quantiles.has_density
    assert not quantiles.in_set
    assert quantiles.fz0 == constant.fz0
    assert quantiles.fz0_confidence_set == constant.fz0_confidence_set
    with pytest.raises(DataError, match="no such model"):
        walk_forward(y, ["arch_t"], window=400)


@dataclass(frozen=True)
class Breaking(Constant):
    """A constant with a variance that cannot be scored on one bar."""

    bad: int = 550
    variance: float = np.nan

    def forecast(self, returns: np.ndarray, refits: Sequence[int], *, window: int) -> Forecasts:
        found = super().forecast(returns, refits, window=window)
        variances = found.variances.copy()
        if returns.size > self.bad:
            variances[self.bad - refits[0]] = self.variance
        return replace(found, variances=variances)


class Refusing(Constant):
    """Has nothing to be fitted on."""

    def forecast(self, returns: np.ndarray, refits: Sequence[int], *, window: int) -> Forecasts:
        raise RefusalError("there are only closes", field="bars")


class Singular(Constant):
    """Breaks down in linear algebra."""

    def forecast(self, returns: np.ndarray, refits: Sequence[int], *, window: int) -> Forecasts:
        raise np.linalg.LinAlgError("Singular matrix")


@pytest.mark.parametrize("variance", [np.nan, np.inf, 0.0, -1.0])
def test_an_entrant_that_cannot_be_scored_is_left_out_and_the_rest_race_on(simulate: Simulate, variance: float) -> None:
    y, _ = simulate(700, np.random.default_rng(21))
    alone = walk_forward(y, ["garch_t"], window=400)
    entrants = [Breaking("breaking", variance=variance), Refusing("refusing"), Singular("singular"), "garch_t"]
    walk = walk_forward(y, entrants, window=400)
    assert tuple(walk.tracks) == ("ewma_t", "garch_t")
    np.testing.assert_array_equal(walk.tracks["garch_t"].log_scores, alone.tracks["garch_t"].log_scores)
    assert race(walk) == race(alone)
    left = {one.model: one for one in walk.left_out}
    assert {name: one.position for name, one in left.items()} == {"breaking": 550, "refusing": 400, "singular": 400}
    assert left["refusing"].reason == "there are only closes"
    assert "Singular matrix" in left["singular"].reason
    assert "variance" in left["breaking"].reason
    before = walk_forward(y, [Constant("breaking")], window=400).tracks["breaking"]
    assert left["breaking"].track is not None
    np.testing.assert_array_equal(left["breaking"].track.log_scores, before.log_scores[:150])
    with pytest.raises(RefusalError, match="variance"):
        walk_forward(y, [Breaking("ewma_t", variance=variance)], window=400)


def test_who_is_left_out_later_is_in_use_before(simulate: Simulate) -> None:
    """Bar by bar the choice is that of the race with the entrant until it breaks, of the race without it afterwards."""
    y, _ = simulate(700, np.random.default_rng(21))
    whole = walk_forward(y, [Constant("simple", 0)], window=400)
    broken = walk_forward(y, [Breaking("simple", 0)], window=400)
    # So large a hurdle makes the simplest win.
    chosen = choices_in_time(broken, default="simple", minimum=60, hurdle=100.0)
    assert choices_in_time(whole, default="simple", minimum=60, hurdle=100.0) == ("simple",) * 300
    assert chosen == ("simple",) * 150 + ("ewma_t",) * 150
    assert choices_in_time(broken, default="simple", minimum=1000) == ("simple",) * 150 + ("ewma_t",) * 150


def test_a_model_that_a_jump_throws_off_is_left_out() -> None:
    """Jumps drag the mean of egarch_t up and its variance down until a shortfall says that there is only gain."""
    rng = np.random.default_rng(1)
    y = 0.003 + 0.004 * rng.standard_t(4, 560)
    y[330::45] = -0.5
    walk = walk_forward(y, ["egarch_t"], window=300, refit_every=30)
    (left,) = walk.left_out
    assert (left.model, left.position) == ("egarch_t", 331)
    assert left.reason.startswith("its shortfall of -0.00")
    assert race(walk).winner == "ewma_t"


def test_what_the_set_excludes_cannot_win(simulate: Simulate) -> None:
    """A constant far off is simpler and would be within a hurdle of ten nats; it is not in the set."""

    @dataclass(frozen=True)
    class Wild(Constant):
        def forecast(self, returns: np.ndarray, refits: Sequence[int], *, window: int) -> Forecasts:
            return super().forecast(8.0 * returns, refits, window=window)

    y, _ = simulate(700, np.random.default_rng(21))
    summary = race(walk_forward(y, ["garch_t", Wild()], window=400), hurdle=10.0)
    assert not summary.entry("constant_5").in_set
    assert summary.winner == "garch_t"


def test_growing_windows(simulate: Simulate) -> None:
    """From a start before the window on, each fit takes all bars there are, and the last `window` of them later."""
    y, _ = simulate(700, np.random.default_rng(21))
    walk = walk_forward(y, ["garch_t"], window=400, start=200, refit_every=100)
    assert walk.positions[[0, -1]].tolist() == [200, 699]
    track = walk.tracks["garch_t"]
    for origin in (200, 300, 400, 500):
        result = fit("garch_t", y[max(origin - 400, 0) : origin])
        assert track.variances[origin - 200] == pytest.approx(result.last_variance, rel=1e-4)
    later = walk_forward(y, ["garch_t"], window=400, refit_every=100).tracks["garch_t"]
    np.testing.assert_allclose(track.variances[200:], later.variances, rtol=1e-4)
    with pytest.raises(DataError, match="shorter window"):
        walk_forward(y, ["garch_t"], window=400, start=401)


def test_student_quantile_and_shortfall() -> None:
    for nu in (2.1, 4.0, 60.0):
        q = student_quantile(np.array([nu]), 0.99)[0]
        scale = np.sqrt((nu - 2) / nu)
        assert q == pytest.approx(student.ppf(0.99, nu) * scale, rel=1e-10)
        mean, _ = quad(lambda r, nu=nu, scale=scale: r * student.pdf(r, nu, 0, scale), q, np.inf)
        assert student_shortfall(np.array([nu]), 0.99)[0] == pytest.approx(mean / 0.01, rel=1e-5)


@pytest.mark.slow
def test_the_truth_wins_its_races(simulate: Simulate) -> None:
    """200 races each. GJR truth: gjr_t wins 80 % or more. Independent t returns: constant or ewma_t wins 80 % or more.

    Seeds are fixed, so counts are: 198 and 199 of 200 when this was written.
    """
    n = 200
    gjr = independent = 0
    for seed in range(n):
        rng = np.random.default_rng(seed)
        y, _ = simulate(2500, rng, alpha=0.02, gamma=0.2, beta=0.84)
        gjr += race(walk_forward(y, ["garch_t", "gjr_t"], window=1000, refit_every=250)).winner == "gjr_t"
        y = 0.04 * rng.standard_t(5, 2500)
        walk = walk_forward(y, ["constant_t", "garch_t", "gjr_t"], window=1000, refit_every=250)
        independent += race(walk).winner in ("constant_t", "ewma_t")
    print("gjr_t wins", gjr / n, "constant or ewma_t", independent / n)
    assert gjr >= 0.8 * n
    assert independent >= 0.8 * n


@pytest.mark.slow
def test_mcneil_frey_violations_of_bmw(shared: Path) -> None:
    """McNeil and Frey (2000), table 1, BMW: 6,146 returns, window 1,000, daily refits of AR(1) and GARCH.

    With t innovations an independent code counts 248, 53 and 19 exceptions of the conditional t at 95, 99 and
    99.5 %; the tail fitted to the residuals is not rejected at any level (the paper's own counts are 261, 48, 29).
    """
    import gzip

    with gzip.open(shared / "reference_data" / "bmw_returns.csv.gz", "rt") as handle:
        losses = -np.array([float(line) for line in list(handle)[1:]])
    levels = np.array([0.95, 0.99, 0.995])
    window, k = 1000, 100
    counts = np.zeros((2, 3))
    for origin in range(window, losses.size):
        x = losses[origin - window : origin]
        before, now = x[:-1], x[1:]
        phi = np.cov(before, now, ddof=0)[0, 1] / before.var()
        intercept = now.mean() - phi * before.mean()
        residuals = now - intercept - phi * before
        (result,) = refit_rolling(VolatilityModel.GARCH_T, residuals, [residuals.size])
        values = result.parameters
        centre = intercept + phi * x[-1] + values["mu"]
        deviation = np.sqrt(result.last_variance)
        z = result.residuals
        tail = fit_tail(z, threshold=float(np.sort(z)[-k - 1]))
        nu = values["nu"]
        for j, level in enumerate(levels):
            counts[0, j] += losses[origin] > centre + deviation * tail_quantile(tail, float(level))
            t_quantile = stdtrit(nu, level) * np.sqrt((nu - 2) / nu)
            counts[1, j] += losses[origin] > centre + deviation * t_quantile
    print("McNeil-Frey BMW violations: conditional EVT", counts[0], "conditional t", counts[1])
    n = losses.size - window
    for j, level in enumerate(levels):
        assert coverage_test(int(counts[0, j]), n, 1 - float(level)).two_sided_p_value > 0.05
    # Two sound implementations differ by single days: the independent code and the paper by 10, 5 and 2 of
    # their conditional tail counts (271, 53, 31 against 261, 48, 29).
    assert np.all(np.abs(counts[1] - [248, 53, 19]) <= [10, 5, 2])
    assert np.all(np.abs(counts[0] - [271, 53, 31]) <= [10, 5, 3])


@pytest.mark.slow
def test_garch_beats_the_benchmark_on_real_days(shared: Path) -> None:
    """Assets with 2,000 days or more, window 1,000, monthly refits: pooled score and pooled exceedance.

    The pool's exceedance at 99 % within 0.7 to 1.3 % is the bar the product sets itself. On one asset the difference
    of the scores is noise (BTC +.002 and ETH -.001 nats with errors of .004), hence the pool.
    """
    differences, exceptions, winners = [], [], []
    for path in sorted((shared / "data" / "daily_binance_spot").glob("*.csv.gz")):
        y = np.diff(np.log(list(read_closes(path).values())))
        if y.size < 2000:
            continue
        walk = walk_forward(y, ["garch_t"], window=1000)
        summary = race(walk)
        differences.append(summary.entries[1].difference)
        winners.append(summary.winner)
        exceptions.append(walk.tracks[VolatilityModel.GARCH_T].exceptions_long[:, 2])
    rate = np.concatenate(exceptions).mean()
    wins = sum(winner is VolatilityModel.GARCH_T for winner in winners)
    print(f"{len(differences)} assets: {np.mean(differences):+.4f} nats, garch_t wins {wins}, exceedance {rate:.4%}")
    assert len(differences) >= 15
    assert np.mean(differences) > 0
    assert 0.007 <= rate <= 0.013


def test_har_races_on_realised_variances() -> None:
    """At a refit its forecast is that of its own fit; later bars and their variances change nothing before them."""
    rng = np.random.default_rng(7)
    log_variance = np.empty(900)
    level = 0.0
    for t in range(900):
        level = 0.97 * level + 0.25 * rng.standard_normal()
        log_variance[t] = level - 7.0
    y = np.exp(0.5 * log_variance) * rng.standard_t(6, 900) * np.sqrt(4 / 6)
    realised = np.exp(log_variance + 0.2 * rng.standard_normal(900))
    walked = walk_forward(y, ["garch_t", HarForecaster(realised)], window=500, refit_every=100)
    track = walked.tracks["har"]
    for origin in (500, 700):
        past = slice(origin - 500, origin)
        direct = har_density(fit_har(realised[past], logarithmic=True), y[past])
        assert track.variances[origin - 500] == pytest.approx(direct.next_variance, rel=1e-9)
    late, spoilt = realised.copy(), y.copy()
    late[650:] *= 9.0
    spoilt[650:] *= -3.0
    again = walk_forward(spoilt, [HarForecaster(late)], window=500, refit_every=100).tracks["har"]
    np.testing.assert_array_equal(track.variances[:151], again.variances[:151])
    assert not np.array_equal(track.variances[151:], again.variances[151:])
    assert track.log_scores.mean() > walked.tracks["garch_t"].log_scores.mean()
    with pytest.raises(DataError, match="one realised variance"):
        walk_forward(y, [HarForecaster(realised[1:])], window=500)
