"""The walk forward against a direct computation, its blindness to the future, and the rule that names a winner."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import stdtrit
from scipy.stats import t as student

from risk.errors import DataError, RefusalError
from risk.tails.extreme_value import fit_tail, tail_quantile
from risk.validation.coverage import coverage_test
from risk.volatility.engine import filter_variances, refit_rolling
from risk.volatility.forecasters import student_quantile, student_shortfall
from risk.volatility.models import ParameterPrior, VolatilityModel, fit
from risk.volatility.race import WalkForward, race, walk_forward
from tools.panel import read_closes

Simulate = Callable[..., tuple[np.ndarray, float]]
ALL = tuple(VolatilityModel)


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
    gap[100:230] = 0.01
    carried = walk_forward(gap, ["garch_t"], window=100, refit_every=20).tracks[VolatilityModel.GARCH_T]
    assert carried.n_carried == sum(status == "degenerate" for status in carried.statuses) > 0
    assert np.all(np.isfinite(carried.var_long))


def test_the_simplest_within_the_hurdle_wins(walk: WalkForward) -> None:
    summary = race(walk)
    scores = {entry.model: entry.log_score for entry in summary.entries}
    assert summary.n_observations == 300
    assert summary.entries[0].difference == 0.0
    assert race(walk, hurdle=10.0).winner is VolatilityModel.EWMA_T
    assert race(walk, hurdle=0.0).winner == max(scores, key=lambda model: scores[model])


def test_student_quantile_and_shortfall() -> None:
    for nu in (2.1, 4.0, 60.0):
        q = student_quantile(np.array([nu]), 0.99)[0]
        scale = np.sqrt((nu - 2) / nu)
        assert q == pytest.approx(student.ppf(0.99, nu) * scale, rel=1e-10)
        mean, _ = quad(lambda r, nu=nu, scale=scale: r * student.pdf(r, nu, 0, scale), q, np.inf)
        assert student_shortfall(np.array([nu]), 0.99)[0] == pytest.approx(mean / 0.01, rel=1e-5)


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
