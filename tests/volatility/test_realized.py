"""Realised variance: formulas on known paths, the published HAR, hour-of-day factors and hostile bars."""

from __future__ import annotations

import csv
import gzip
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.errors import DataError
from risk.volatility.har import fit_har, har_density
from risk.volatility.models import FitStatus
from risk.volatility.realized import RangeEstimator, range_variances, realized_variances, yang_zhang
from risk.volatility.seasonality import fit_hour_factors, hour_of_day


def walk(n_bars: int, steps: int, sigma: float, seed: int, *, drift: float = 0.0, jump: float = 0.0) -> np.ndarray:
    """Open, high, low, close of Brownian bars with variance sigma^2 a bar and opening jumps of variance jump^2."""
    rng = np.random.default_rng(seed)
    moves = rng.standard_normal((n_bars, steps)) * sigma / math.sqrt(steps) + drift / steps
    inside = np.concatenate([np.zeros((n_bars, 1)), np.cumsum(moves, axis=1)], axis=1)
    opens = np.cumsum(jump * rng.standard_normal(n_bars) + np.concatenate([[0.0], inside[:-1, -1]]))
    logs = opens[:, None] + inside
    return np.exp(np.column_stack([logs[:, 0], logs.max(axis=1), logs.min(axis=1), logs[:, -1]]))


@pytest.mark.data
def test_the_published_har(shared: Path) -> None:
    """SPY realised kernel, 1,662 rows, x = 100 SPY_RK (a variance in percent squared): levels and logarithms, which
    arch's HARX gives too. Eight decimals are printed."""
    with gzip.open(shared / "reference_data" / "spy_realized.csv.gz", "rt") as handle:
        x = 100.0 * np.array([float(row[2]) for row in list(csv.reader(handle))[1:]])
    assert x.size == 1662
    level, logs = fit_har(x), fit_har(x, logarithmic=True)
    np.testing.assert_allclose(level.coefficients, (0.05387248, 0.66021244, 0.15648744, 0.11543099), atol=6e-9)
    assert level.r_squared == pytest.approx(0.7401820365, abs=1e-10)
    np.testing.assert_allclose(logs.coefficients, (-0.02958257, 0.41450682, 0.42399771, 0.11814003), atol=6e-9)
    assert logs.r_squared == pytest.approx(0.78160016, abs=6e-9)
    assert level.status is logs.status is FitStatus.CONVERGED


def test_a_bar_by_hand() -> None:
    """Open 100, high 110, low 95, close 105: the formulas in their logarithms, computed apart."""
    bar = np.array([[100.0, 110.0, 95.0, 105.0]])
    high, low, close = math.log(1.1), math.log(0.95), math.log(1.05)
    expected = {
        "parkinson": (high - low) ** 2 / (4 * math.log(2)),
        "garman_klass": 0.5 * (high - low) ** 2 - (2 * math.log(2) - 1) * close**2,
        "rogers_satchell": high * (high - close) + low * (low - close),
    }
    for name, value in expected.items():
        assert range_variances(bar, name)[0] == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("estimator", list(RangeEstimator))
def test_ranges_recover_the_variance(estimator: RangeEstimator) -> None:
    """Without drift all are unbiased but for the discrete range; with a drift only Rogers and Satchell is."""
    found = range_variances(walk(4000, 400, 0.04, 1), estimator)
    error = found.std() / math.sqrt(found.size) / 0.0016
    # Beckers (1983): 400 steps shrink the range by about .9 / sqrt(400) on each side, the square by twice that.
    assert found.mean() / 0.0016 == pytest.approx(1.0, abs=4 * error + 0.1)
    trending = range_variances(walk(4000, 400, 0.04, 2, drift=0.06), estimator).mean() / 0.0016
    assert (trending < 1.1) == (estimator is RangeEstimator.ROGERS_SATCHELL)


def test_yang_zhang_counts_the_opening_jumps_and_no_drift() -> None:
    bars = walk(4000, 400, 0.04, 3, drift=0.06, jump=0.02)
    total = 0.04**2 + 0.02**2
    assert yang_zhang(bars)[0] == pytest.approx(total, rel=0.1)
    rolling = yang_zhang(bars[:200], window=30)
    assert rolling.shape == (170,)
    assert rolling[-1] == pytest.approx(yang_zhang(bars[169:200])[0], rel=1e-10)
    with pytest.raises(DataError, match="no window"):
        yang_zhang(bars[:2])


@given(st.floats(0.01, 100.0))
def test_prices_have_no_unit(factor: float) -> None:
    bars = walk(50, 20, 0.05, 4)
    for estimator in RangeEstimator:
        # Rounding of the logarithm of a price of any size, 1e-15, against moves of 1e-2 squared.
        np.testing.assert_allclose(
            range_variances(factor * bars, estimator), range_variances(bars, estimator), rtol=1e-9, atol=1e-14
        )


def test_realised_variance_and_hostile_bars() -> None:
    returns = np.random.default_rng(5).standard_normal(48) * 0.01
    np.testing.assert_allclose(realized_variances(returns, 24), [(returns[:24] ** 2).sum(), (returns[24:] ** 2).sum()])
    for bad, count in ((returns[:30], 24), (np.append(returns[:47], np.nan), 24), (returns, 0)):
        with pytest.raises(DataError, match="whole periods"):
            realized_variances(bad, count)
    good = walk(10, 5, 0.02, 6)
    for change in (np.nan, 0.0, -1.0, np.inf):
        bars = good.copy()
        bars[3, 2] = change
        with pytest.raises(DataError, match="1 of 10 bars"):
            range_variances(bars, "parkinson")
    with pytest.raises(DataError, match="position 0"):
        range_variances(good[:, [0, 2, 1, 3]], "parkinson")
    assert (range_variances(np.full((3, 4), 7.0), "garman_klass") == 0.0).all()


def test_har_recovers_itself_and_gives_a_density() -> None:
    rng = np.random.default_rng(7)
    truth = np.array([-0.6, 0.35, 0.35, 0.2])
    x = np.full(6000, -6.0)
    for t in range(22, x.size):
        x[t] = truth @ [1, x[t - 1], x[t - 5 : t].mean(), x[t - 22 : t].mean()] + 0.5 * rng.standard_normal()
    variances = np.exp(x[500:])
    found = fit_har(variances, logarithmic=True)
    np.testing.assert_allclose(found.coefficients[1:], truth[1:], atol=0.08)
    forecast = math.exp(found.coefficients @ [1, x[-1], x[-5:].mean(), x[-22:].mean()] + found.residual_variance / 2)
    assert found.next_variance == pytest.approx(forecast, rel=1e-10)
    returns = np.sqrt(1.5 * variances) * rng.standard_t(6, variances.size) * math.sqrt(4 / 6)
    density = har_density(found, returns)
    assert density.scale == pytest.approx(1.5, rel=0.1)
    assert density.next_variance == pytest.approx(density.scale * found.next_variance)
    assert 3.0 < density.innovations.nu < 8.0  # the noise of the forecast fattens the tail
    with pytest.raises(DataError, match="regression is of"):
        har_density(found, returns[1:])


def test_har_says_what_it_cannot_fit() -> None:
    assert fit_har(np.ones(50)).status is FitStatus.TOO_SHORT
    assert fit_har(np.full(200, 0.3)).status is FitStatus.DEGENERATE
    with pytest.raises(DataError, match="positive for logarithms"):
        fit_har(np.append(np.ones(100), 0.0), logarithmic=True)
    with pytest.raises(DataError, match="not negative"):
        fit_har(np.append(np.ones(100), np.inf))


def hourly(days: int, seed: int, profile: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    times = 3600 * np.arange(1, 24 * days + 1)
    shocks = np.random.default_rng(seed).standard_t(5, times.size) * math.sqrt(3 / 5)
    return times, 0.01 * profile[hour_of_day(times)] * shocks


def test_hour_factors_recover_the_profile_and_undo_themselves() -> None:
    profile = 1 + 0.5 * np.sin(2 * np.pi * np.arange(24) / 24)
    profile /= math.sqrt(float(np.mean(profile**2)))
    times, returns = hourly(700, 8, profile)
    found = fit_hour_factors(times, returns)
    # Root mean square of 700 winsorised t5 squares: relative error near sqrt(kurtosis / 700) / 2 = .03.
    np.testing.assert_allclose(found.factors, profile, rtol=0.12)
    assert float(np.mean(found.factors**2)) == pytest.approx(1.0)
    flat = found.remove(times, returns)
    np.testing.assert_allclose(found.restore(times, flat**2), returns**2)
    assert found.shrinkage < 0.05
    again = fit_hour_factors(times, flat)
    assert again.shrinkage > 0.5
    np.testing.assert_allclose(again.factors, 1.0, atol=0.03)
    assert hour_of_day(np.array([3600, 3601, 86_400]))[:].tolist() == [0, 1, 23]


def test_hour_factors_need_every_hour() -> None:
    times, returns = hourly(40, 9, np.ones(24))
    with pytest.raises(DataError, match="hour"):
        fit_hour_factors(times[:300], returns[:300])
    dead = returns.copy()
    dead[hour_of_day(times) == 5] = 0.0
    with pytest.raises(DataError, match="hour 5"):
        fit_hour_factors(times, dead)
    with pytest.raises(DataError, match="finite"):
        fit_hour_factors(times, np.where(times == 3600, np.nan, returns))
    # One crash does not become an hour's habit.
    crash = returns.copy()
    crash[100] = -0.9
    assert abs(fit_hour_factors(times, crash).factors - fit_hour_factors(times, returns).factors).max() < 0.1
