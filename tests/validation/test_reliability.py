"""Calibration of probabilities against published values, identities and simulated laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri
from scipy.stats import binom

from risk.errors import DataError
from risk.validation.reliability import berkowitz_test, pit_histogram, reliability_diagram
from tests.validation.series import portable_returns


def test_berkowitz_of_the_portable_series() -> None:
    """Values of the R package rugarch, lag 1, normal transforms.

    It stops its search within 2e-5 nats of the optimum (mu .0184054203, sigma 1.416338411, rho .01255534619),
    which is closed here.
    """
    r, sigma = portable_returns()
    found = berkowitz_test(ndtr(r / sigma))
    assert found.restricted_log_likelihood == pytest.approx(-1920.31928, abs=5e-6)
    assert found.log_likelihood == pytest.approx(-1765.228168, abs=2e-5)
    assert found.log_likelihood > -1765.228168
    assert found.likelihood_ratio == pytest.approx(310.1822238, abs=5e-5)
    assert found.mean == pytest.approx(0.0184054203, abs=3e-4)
    assert found.deviation == pytest.approx(1.416338411, abs=5e-5)
    assert found.autocorrelation == pytest.approx(0.01255534619, abs=1e-6)


def test_berkowitz_sees_each_departure() -> None:
    z = np.random.default_rng(0).standard_normal(2000)
    assert berkowitz_test(ndtr(z)).p_value > 0.01
    # Each moment by six of its standard errors or more: .022 of a mean and of a correlation, .016 of a deviation.
    correlated = np.concatenate([z[:1], 0.15 * z[:-1] + np.sqrt(1 - 0.15**2) * z[1:]])
    for departure in (z + 0.15, 1.1 * z, correlated):
        assert berkowitz_test(ndtr(departure)).p_value < 0.01


def test_pit_histogram() -> None:
    u = (np.arange(1000) + 0.5) / 1000
    even = pit_histogram(u, n_bins=10)
    assert even.counts.tolist() == [100] * 10
    assert even.test.statistic == 0.0
    assert even.test.degrees_of_freedom == 9
    # The ends belong to the first and last bin; Pearson by hand: (4 - 2)^2 / 2 + (0 - 2)^2 / 2.
    ends = pit_histogram(np.array([0.0, 0.1, 0.2, 0.49]), n_bins=2)
    assert (ends.counts.tolist(), ends.test.statistic) == ([4, 0], 4.0)
    assert pit_histogram(np.ones(3), n_bins=2).counts.tolist() == [0, 3]
    # A forecast with half the deviation gives a U.
    narrow = pit_histogram(ndtr(2 * ndtri(u)))
    assert narrow.counts[0] > 2 * narrow.counts[10]
    assert narrow.test.p_value < 1e-10


@given(data=st.data(), n=st.integers(1, 60), n_bins=st.integers(1, 12))
def test_parts_of_the_brier_score_add_up(data: st.DataObject, n: int, n_bins: int) -> None:
    forecasts = np.array(data.draw(st.lists(st.floats(0, 1), min_size=n, max_size=n)))
    events = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    found = reliability_diagram(events, forecasts, n_bins=n_bins)
    parts = found.reliability - found.resolution + found.uncertainty + found.within_bins
    assert parts == pytest.approx(found.brier, abs=1e-12)
    assert found.counts.sum() == n
    assert len(found.counts) <= n_bins
    assert np.all((found.lower <= found.upper) & (found.lower >= 0) & (found.upper <= 1))
    assert found.counts @ found.frequencies == pytest.approx(events.sum())


def test_reliability_diagram() -> None:
    # Two forecasts, by hand: 0.1 came once in five, 0.5 three times in five.
    forecasts = np.repeat([0.1, 0.5], 5)
    events = np.array([1, 0, 0, 0, 0, 1, 1, 1, 0, 0], dtype=bool)
    found = reliability_diagram(events, forecasts, n_bins=2)
    assert found.forecasts == pytest.approx([0.1, 0.5])
    assert found.frequencies == pytest.approx([0.2, 0.6])
    assert found.reliability == pytest.approx(0.01)
    assert found.resolution == pytest.approx(0.04)
    assert found.uncertainty == pytest.approx(0.24)
    assert found.within_bins == pytest.approx(0.0, abs=1e-15)
    # Limits of a share are the binomial quantiles.
    for p, n, low, high in zip(found.forecasts, found.counts, found.lower, found.upper, strict=True):
        assert (low * n, high * n) == pytest.approx(tuple(binom.ppf([0.05, 0.95], n, p)))
    # The mean forecast for all: one bin, no resolution.
    climate = reliability_diagram(events, np.full(10, 0.4))
    assert (climate.resolution, climate.reliability) == pytest.approx((0.0, 0.0), abs=1e-15)
    assert climate.brier == pytest.approx(0.24)


def test_an_unreliable_forecast_is_outside_its_limits() -> None:
    rng = np.random.default_rng(2)
    truth = rng.uniform(0, 0.1, 20_000)
    events = rng.random(20_000) < truth
    assert reliability_diagram(events, truth).n_outside() <= 4  # of ten at 10 %: more has probability .0016
    assert reliability_diagram(events, 2 * truth).n_outside() >= 8


def test_hostile_input() -> None:
    for bad in (
        lambda: pit_histogram(np.array([])),
        lambda: pit_histogram(np.array([0.5, 1.1])),
        lambda: pit_histogram(np.array([0.5, np.nan])),
        lambda: pit_histogram(np.array([0.5]), n_bins=1),
        lambda: berkowitz_test(np.array([0.1, 0.2, 0.3])),
        lambda: berkowitz_test(np.array([0.1, 0.2, 0.3, 1.0])),
        lambda: reliability_diagram(np.array([True]), np.array([0.1, 0.2])),
        lambda: reliability_diagram(np.array([True]), np.array([-0.1])),
        lambda: reliability_diagram(np.array([True]), np.array([0.1]), n_bins=0),
    ):
        with pytest.raises(DataError):
            bad()
