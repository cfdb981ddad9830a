"""Exceptions in time against published values, direct likelihoods and simulated laws."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import binom, weibull_min

from risk.errors import DataError
from risk.validation.coverage import coverage_test
from risk.validation.independence import duration_test, dynamic_quantile_test, independence_test, markov_ratio
from tests.validation.series import portable, portable_returns


@pytest.mark.parametrize(
    ("a", "hits", "transitions", "pof", "pof_p", "cci", "cc", "dq1", "dq4", "shape", "shape_p"),
    [
        (0.01, 42, (916, 41, 41, 1), 57.592771682, 3.2240823621e-14, 0.4239684088, 58.0167400908,
         110.362609715, 109.49681869, 1.0041221, 0.9716334761),
        (0.025, 56, (889, 54, 54, 2), 29.3215534159, 6.1309950426e-08, 0.5252784456, 29.8468318614,
         41.017979104, 39.698053148, 1.046996765, 0.645051713),
        (0.05, 82, (838, 79, 79, 3), 18.2203891247, 1.9676115654e-05, 2.99345792, 21.2138470447,
         25.868588895, 25.102924842, 1.0644232, 0.4503616965),
    ],
)  # fmt: skip
def test_portable_series(
    a: float,
    hits: int,
    transitions: tuple[int, ...],
    pof: float,
    pof_p: float,
    cci: float,
    cc: float,
    dq1: float,
    dq4: float,
    shape: float,
    shape_p: float,
) -> None:
    """Values of the R packages rugarch (durations) and GAS (the rest), printed to 10 digits.

    The Weibull shape is printed where rugarch's optimiser stopped, within 3e-7 of the optimum.
    """
    assert portable_returns()[0].sum() == pytest.approx(0.809113915200692, abs=1e-12)
    losses, var, _, _ = portable(a)
    exceptions = losses > var
    test = coverage_test(int(exceptions.sum()), 1000, a)
    assert test.n_exceptions == hits
    assert test.likelihood_ratio == pytest.approx(pof, rel=1e-9)
    assert test.likelihood_ratio_p_value == pytest.approx(pof_p, rel=1e-9)
    order = independence_test(exceptions, a)
    assert order.transitions == transitions
    assert order.independence == pytest.approx(cci, rel=1e-9)
    assert order.conditional_coverage == pytest.approx(cc, rel=1e-9)
    for lags, value in ((1, dq1), (4, dq4)):
        regression = dynamic_quantile_test(losses, var, 1 - a, n_lags=lags)
        assert regression.degrees_of_freedom == lags + 3
        assert regression.statistic == pytest.approx(value, rel=1e-9)
    durations = duration_test(exceptions)
    assert durations.shape == pytest.approx(shape, abs=3e-7)
    assert durations.p_value == pytest.approx(shape_p, abs=1e-9)


def test_matlab_documentation() -> None:
    """MathWorks' page of varbacktest.cci and .cc: 932, 53, 53, 4 of 1043, printed to five decimals."""
    ratio = markov_ratio(932, 53, 53, 4)
    assert ratio == pytest.approx(0.25866, abs=5e-6)
    assert ratio + coverage_test(57, 1043, 0.05).likelihood_ratio == pytest.approx(0.72013, abs=5e-6)


@pytest.mark.data
def test_real_forecasts(shared: Path) -> None:
    """Forecasts shipped with the R package esback, 4,527 days at 2.5 %; its and GAS' values."""
    with gzip.open(shared / "reference_data" / "esback_risk_forecasts.csv.gz", "rt") as handle:
        r, q, _, _ = np.loadtxt(handle, delimiter=",", skiprows=1).T
    exceptions = r < q
    test = coverage_test(int(exceptions.sum()), len(r), 0.025)
    assert (len(r), test.n_exceptions) == (4527, 155)
    assert test.likelihood_ratio == pytest.approx(14.239433, abs=5e-7)
    assert independence_test(exceptions, 0.025).conditional_coverage == pytest.approx(29.75461058, abs=5e-9)
    assert dynamic_quantile_test(-r, -q, 0.975).statistic == pytest.approx(173.3258651, abs=5e-8)


def test_durations_against_the_direct_likelihood() -> None:
    """scipy's Weibull law with survival for the censored ends, maximised over both parameters."""
    exceptions = np.zeros(400, dtype=bool)
    exceptions[[10, 13, 14, 90, 95, 200, 390]] = True
    whole, ends = np.diff(np.flatnonzero(exceptions)), np.array([11, 9])

    def height(shape: float) -> float:
        scale = (np.sum(np.concatenate([whole, ends]) ** shape) / len(whole)) ** (1 / shape)
        return weibull_min.logpdf(whole, shape, scale=scale).sum() + weibull_min.logsf(ends, shape, scale=scale).sum()

    best = minimize_scalar(lambda shape: -height(shape), bounds=(0.1, 3), method="bounded", options={"xatol": 1e-10})
    found = duration_test(exceptions)
    assert found.n_durations == 8
    assert found.shape == pytest.approx(best.x, rel=1e-6)
    assert found.likelihood_ratio == pytest.approx(2 * (height(best.x) - height(1.0)), rel=1e-9)
    # At both ends of the series an exception leaves nothing censored.
    exceptions[[0, -1]] = True
    assert duration_test(exceptions).n_durations == 8


def test_clusters_are_seen() -> None:
    clustered = np.zeros(1000, dtype=bool)
    clustered[100:110] = True
    clustered[700:705] = True
    spread = np.zeros(1000, dtype=bool)
    spread[::100] = True
    assert independence_test(clustered, 0.01).independence_p_value < 1e-10
    assert independence_test(spread, 0.01).independence_p_value > 0.5
    assert independence_test(np.zeros(100, dtype=bool), 0.01).independence == 0.0
    assert duration_test(clustered).shape < 0.6
    assert duration_test(clustered).p_value < 1e-3
    assert duration_test(spread).shape > 5
    losses = np.where(clustered, 2.0, 0.0)
    assert dynamic_quantile_test(losses, np.ones(1000), 0.985).p_value < 1e-10


def test_no_exception_has_a_smaller_rank() -> None:
    """Without exceptions all hits are one constant, and so is the forecast here: one regressor is left."""
    test = dynamic_quantile_test(np.zeros(250), np.ones(250), 0.99)
    assert test.degrees_of_freedom == 1
    # The fitted constant is -0.01 over 246 bars: 246 x 0.0001 / 0.0099.
    assert test.statistic == pytest.approx(246 * 1e-4 / 0.0099)


def test_hostile_input() -> None:
    with pytest.raises(DataError, match="two bars"):
        independence_test(np.array([True]), 0.01)
    with pytest.raises(DataError, match="two exceptions"):
        duration_test(np.array([False, True, False]))
    with pytest.raises(DataError, match="more bars"):
        dynamic_quantile_test(np.ones(11), np.ones(11), 0.99)
    with pytest.raises(DataError, match="finite"):
        dynamic_quantile_test(np.full(50, np.nan), np.ones(50), 0.99)


@pytest.mark.slow
def test_size() -> None:
    """Over 2,000 series of 1,000 independent hits at 5 % each test at 5 % rejects 2 to 10 % of them.

    The laws are asymptotic, hence the wide bounds; a binomial count of 2,000 at 5 % lies within 73 to 129 by itself.
    """
    rng = np.random.default_rng(5)
    n, rejected = 2000, np.zeros(3)
    for _ in range(n):
        losses = rng.random(1000)
        hits = losses > 0.95
        # A forecast that varies, though not with the losses: the regressors have full rank.
        scale = 1.0 + 0.2 * np.sin(np.arange(1000) / 50)
        rejected += [
            independence_test(hits, 0.05).independence_p_value < 0.05,
            duration_test(hits).p_value < 0.05,
            dynamic_quantile_test(losses * scale, 0.95 * scale, 0.95).p_value < 0.05,
        ]
    print("rejected at 5 %:", rejected / n)
    low, high = binom.ppf([0.001, 0.999], n, [0.02, 0.10])
    assert np.all((rejected >= low) & (rejected <= high))
