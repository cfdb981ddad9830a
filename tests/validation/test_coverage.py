"""Coverage tests and scores against published values, their own limits and simulated laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri, stdtrit
from scipy.stats import binomtest

from risk.errors import DataError
from risk.validation.coverage import (
    TrafficLight,
    coverage_test,
    fz0_score,
    independence_test,
    kupiec_acceptance,
    markov_ratio,
    quantile_loss,
    traffic_light,
)


def portable_series() -> tuple[np.ndarray, np.ndarray]:
    """Park-Miller uniforms from seed 20240101 through a t4 quantile, with volatility that goes in circles."""
    u = np.empty(1000)
    x = 20240101
    for i in range(1000):
        x = (16807 * x) % 2147483647
        u[i] = x / 2147483647
    sigma = 0.02 * (1 + 0.5 * np.sin(2 * np.pi * np.arange(1, 1001) / 250))
    return sigma * stdtrit(4, u), sigma


@pytest.mark.parametrize(
    ("a", "hits", "transitions", "pof", "cc", "cci"),
    [
        (0.01, 42, (916, 41, 41, 1), 57.5927716821, 58.0167400908, 0.4239684088),
        (0.025, 56, (889, 54, 54, 2), 29.3215534159, 29.8468318614, 0.5252784456),
        (0.05, 82, (838, 79, 79, 3), 18.2203891247, 21.2138470447, None),
    ],
)
def test_portable_series(
    a: float, hits: int, transitions: tuple[int, ...], pof: float, cc: float, cci: float | None
) -> None:
    """Values of the R packages rugarch, GAS and esback; the quantile inside R is good to 1e-9."""
    r, sigma = portable_series()
    assert r.sum() == pytest.approx(0.809113915200692, abs=1e-12)
    exceptions = -r > -sigma * ndtri(a)
    test = coverage_test(int(exceptions.sum()), 1000, a)
    assert test.n_exceptions == hits
    assert test.likelihood_ratio == pytest.approx(pof, rel=1e-9)
    order = independence_test(exceptions, a)
    assert order.transitions == transitions
    assert order.conditional_coverage == pytest.approx(cc, rel=1e-9)
    if cci is not None:
        assert order.independence == pytest.approx(cci, rel=1e-8)


def test_quantile_loss_of_the_portable_series() -> None:
    r, sigma = portable_series()
    score = quantile_loss(-r, -sigma * ndtri(0.01), 0.99)
    assert score.mean() == pytest.approx(0.00137125357166, rel=1e-9)


def test_matlab_documentation() -> None:
    """N = 1043, x = 57 at 5 %, printed to five decimals."""
    test = coverage_test(57, 1043, 0.05)
    assert test.likelihood_ratio == pytest.approx(0.46147, abs=5e-6)
    assert test.likelihood_ratio_p_value == pytest.approx(0.49694, abs=5e-6)
    ratio = markov_ratio(932, 53, 53, 4)
    assert ratio == pytest.approx(0.25866, abs=5e-6)
    assert ratio + test.likelihood_ratio == pytest.approx(0.72013, abs=5e-6)


def test_acceptance_regions() -> None:
    """Two-sided at n = 250, 1 %: zero exceptions are rejected (LR 5.03); at n = 1826 it accepts 11 to 27."""
    assert coverage_test(0, 250, 0.01).likelihood_ratio == pytest.approx(5.03, abs=5e-3)
    assert kupiec_acceptance(250, 0.01) == (1, 6)
    assert kupiec_acceptance(1826, 0.01) == (11, 27)
    # Kupiec (1995), table of non-rejection regions at 5 %.
    assert kupiec_acceptance(255, 0.05) == (7, 20)
    assert kupiec_acceptance(1000, 0.05) == (38, 64)
    assert kupiec_acceptance(510, 0.01) == (2, 10)
    assert coverage_test(0, 250, 0.01).too_many_p_value == 1.0


@given(n=st.integers(1, 400), share=st.floats(0, 1), p=st.floats(0.001, 0.5))
def test_exact_p_values_agree_with_scipy(n: int, share: float, p: float) -> None:
    x = round(share * n)
    test = coverage_test(x, n, p)
    assert test.too_many_p_value == pytest.approx(binomtest(x, n, p, "greater").pvalue, rel=1e-9, abs=1e-12)
    assert test.too_few_p_value == pytest.approx(binomtest(x, n, p, "less").pvalue, rel=1e-9, abs=1e-12)
    assert test.two_sided_p_value == pytest.approx(binomtest(x, n, p).pvalue, rel=1e-6, abs=1e-12)


def test_traffic_light() -> None:
    """Basel table for 250 days at 1 %: cumulative probabilities and zones."""
    table = (8.11, 28.58, 54.32, 75.81, 89.22, 95.88, 98.63, 99.60, 99.89, 99.97, 99.99)
    for x, percent in enumerate(table):
        assert 100 * coverage_test(x, 250, 0.01).too_few_p_value == pytest.approx(percent, abs=5.1e-3)
        zone = TrafficLight.GREEN if x <= 4 else TrafficLight.YELLOW if x <= 9 else TrafficLight.RED
        assert traffic_light(x) is zone


def test_scores_are_least_at_the_truth() -> None:
    """Strict consistency: over 200,000 t5 losses every move of VaR or ES by a tenth costs on average."""
    losses = np.random.default_rng(0).standard_t(5, 200_000)
    a = 0.025
    var = -stdtrit(5, a)
    # Closed form of the Student-t shortfall (McNeil et al. 2015, example 2.15).
    density = 0.3796066898224944 * (1 + var**2 / 5) ** -3
    es = density / a * (5 + var**2) / 4

    def mean(v: float, e: float) -> tuple[float, float]:
        full = np.full(losses.size, 1.0)
        return quantile_loss(losses, v * full, 1 - a).mean(), fz0_score(losses, v * full, e * full, 1 - a).mean()

    best = mean(var, es)
    for factor in (0.9, 1.1):
        assert mean(factor * var, es)[0] > best[0]
        assert mean(var, factor * es)[1] > best[1]


def test_scores_and_units() -> None:
    rng = np.random.default_rng(1)
    losses, var = rng.standard_normal(50), rng.uniform(0.5, 2, 50)
    one, two = (fz0_score(100 * losses, 100 * k * var, 130 * k * var, 0.99) for k in (1.0, 1.2))
    raw_one, raw_two = (fz0_score(losses, k * var, 1.3 * k * var, 0.99) for k in (1.0, 1.2))
    np.testing.assert_allclose(one - two, raw_one - raw_two, atol=1e-12)


def test_independence_sees_clusters() -> None:
    clustered = np.zeros(1000, dtype=bool)
    clustered[100:110] = True
    spread = np.zeros(1000, dtype=bool)
    spread[::100] = True
    assert independence_test(clustered, 0.01).independence_p_value < 1e-10
    assert independence_test(spread, 0.01).independence_p_value > 0.5
    assert independence_test(np.zeros(100, dtype=bool), 0.01).independence == 0.0


def test_hostile_input() -> None:
    for x, n, p in ((-1, 10, 0.01), (11, 10, 0.01), (0, 0, 0.01), (1, 10, 0.0), (1, 10, 1.0)):
        with pytest.raises(DataError):
            coverage_test(x, n, p)
    one = np.ones(3)
    with pytest.raises(DataError, match="finite"):
        quantile_loss(np.array([1.0, np.nan, 1.0]), one, 0.99)
    with pytest.raises(DataError, match="one length"):
        quantile_loss(one, np.ones(2), 0.99)
    with pytest.raises(DataError, match="positive"):
        fz0_score(one, one, -one, 0.99)
    with pytest.raises(DataError, match="confidence"):
        quantile_loss(one, one, 1.0)
    with pytest.raises(DataError, match="two bars"):
        independence_test(np.array([True]), 0.01)
