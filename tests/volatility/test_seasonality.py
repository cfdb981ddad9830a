"""Hour-of-day factors in a walk: known before each bar, divided out and multiplied back."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from risk.errors import DataError
from risk.volatility.laws import ScaledLaw, StudentLaw
from risk.volatility.race import walk_forward
from risk.volatility.seasonality import HOUR, factors_in_time, fit_hour_factors, hour_of_day

TRUTH = 1.0 + 0.6 * np.sin(2.0 * np.pi * np.arange(24) / 24.0)
START = 1_700_000_000 // 86400 * 86400


def hourly(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    times = START + HOUR * np.arange(1, n + 1)
    return times, 0.01 * np.random.default_rng(seed).standard_normal(n) * TRUTH[hour_of_day(times)]


def test_factors_come_from_before_each_refit() -> None:
    times, returns = hourly(3000)
    refits = range(1000, 3000, 500)
    found = factors_in_time(times, returns, refits, window=1000)
    for origin in refits:
        direct = fit_hour_factors(times[origin - 1000 : origin], returns[origin - 1000 : origin])
        np.testing.assert_array_equal(found[origin : origin + 500], direct.at(times[origin : origin + 500]))
    spoilt = returns.copy()
    spoilt[2000:] *= np.where(hour_of_day(times[2000:]) == 3, 9.0, 1.0)
    again = factors_in_time(times, spoilt, refits, window=1000)
    np.testing.assert_array_equal(found[:2500], again[:2500])
    assert not np.array_equal(found[2500:], again[2500:])


def test_too_few_hours_leave_factors_at_one() -> None:
    times, returns = hourly(1600)
    found = factors_in_time(times, returns, [500, 1000], window=2000)
    assert np.all(found[:1000] == 1.0)
    assert not np.all(found[1000:] == 1.0)


def test_bars_of_four_hours_have_factors_of_their_own_hours() -> None:
    times, returns = hourly(4 * 1200)
    found = fit_hour_factors(times[3::4], returns[3::4])
    there = np.unique(hour_of_day(times[3::4]))
    assert len(there) == 6
    absent = np.setdiff1d(np.arange(24), there)
    assert np.all(found.factors[absent] == 1.0)
    np.testing.assert_allclose(found.factors[there] / found.factors[there[0]], TRUTH[there] / TRUTH[there[0]], rtol=0.2)
    with pytest.raises(DataError, match="must be 30"):
        fit_hour_factors(times[3:60:4], returns[3:60:4])


def test_a_walk_multiplies_back() -> None:
    """Forecast deviations follow the truth by hour; without factors they do not; later bars change nothing."""
    times, returns = hourly(2400)
    refits = range(1200, 2400, 400)
    factors = factors_in_time(times, returns, refits, window=1200)
    walked = walk_forward(returns, ["constant_t"], window=1200, refit_every=400, factors=factors)
    track = walked.tracks["constant_t"]
    expected = 0.01 * TRUTH[hour_of_day(times[1200:])]
    # A factor of fifty bars has an error of 10 %.
    assert np.median(np.abs(np.sqrt(track.variances) / expected - 1.0)) < 0.1
    plain = walk_forward(returns, ["constant_t"], window=1200, refit_every=400).tracks["constant_t"]
    assert track.log_scores.mean() > plain.log_scores.mean() + 0.05
    assert track.crps.mean() < plain.crps.mean()


def test_a_scaled_law_is_the_law_of_the_scaled_variable() -> None:
    flat = StudentLaw(np.array([0.1, 0.0]), np.array([1.0, 2.0]), np.array([5.0, 4.0]))
    factors = np.array([3.0, 0.5])
    law = ScaledLaw(flat, factors)
    whole = StudentLaw(flat.location * factors, flat.deviation * factors, flat.nu)
    came = np.array([-1.3, 0.4])
    for name in ("log_density", "crps", "transform"):
        np.testing.assert_allclose(getattr(law, name)(came), getattr(whole, name)(came), rtol=1e-12)
    np.testing.assert_allclose(law.quantile(0.01), whole.quantile(0.01), rtol=1e-12)
    for rise in (True, False):
        np.testing.assert_allclose(law.shortfall(0.99, rise=rise), whole.shortfall(0.99, rise=rise), rtol=1e-12)
    mass, _ = quad(lambda x: np.exp(law.log_density(np.array([x, x]))[0]), -np.inf, np.inf)
    assert mass == pytest.approx(1.0, abs=1e-8)
