"""Unconditional coverage against published values and an exact binomial law."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from risk.errors import DataError
from risk.validation.coverage import (
    TrafficLight,
    coverage_test,
    first_failure_test,
    kupiec_acceptance,
    plus_factor,
    traffic_light,
)


def test_matlab_documentation() -> None:
    """N = 1043, x = 57 at 5 %, printed to five decimals."""
    test = coverage_test(57, 1043, 0.05)
    assert test.likelihood_ratio == pytest.approx(0.46147, abs=5e-6)
    assert test.likelihood_ratio_p_value == pytest.approx(0.49694, abs=5e-6)
    first = first_failure_test(58, 0.05)
    assert first.statistic == pytest.approx(1.7354, abs=5e-5)
    assert first.p_value == pytest.approx(0.18773, abs=5e-6)


def test_acceptance_regions() -> None:
    """Two-sided at n = 250, 1 %: zero exceptions are rejected (LR 5.03); at n = 1826 it accepts 11 to 27."""
    assert coverage_test(0, 250, 0.01).likelihood_ratio == pytest.approx(5.03, abs=5e-3)
    assert kupiec_acceptance(250, 0.01) == (1, 6)
    assert kupiec_acceptance(1826, 0.01) == (11, 27)
    assert coverage_test(0, 250, 0.01).too_many_p_value == 1.0


@pytest.mark.parametrize(
    ("p", "regions"),
    [
        (0.01, ((1, 6), (2, 10), (5, 16))),
        (0.025, ((3, 11), (7, 20), (16, 35))),
        (0.05, ((7, 20), (17, 35), (38, 64))),
        (0.075, ((12, 27), (28, 50), (60, 91))),
        (0.10, ((17, 35), (39, 64), (82, 119))),
    ],
)
def test_non_rejection_regions(p: float, regions: tuple[tuple[int, int], ...]) -> None:
    """Kupiec (1995), table 3, at 5 %: 255, 510 and 1,000 bars.

    Its "N < 7" at 255 bars and 1 % names no lower end: by the formula zero exceptions have a ratio of 5.13.
    """
    for n, region in zip((255, 510, 1000), regions, strict=True):
        assert kupiec_acceptance(n, p) == region


def test_one_sided_ratio() -> None:
    """The signed root halves the two-sided p-value on its own side, and goes the other way on the other."""
    many, few = coverage_test(9, 250, 0.01), coverage_test(0, 250, 0.01)
    assert many.signed_root**2 == pytest.approx(many.likelihood_ratio)
    assert 2 * many.signed_root_p_value == pytest.approx(many.likelihood_ratio_p_value, rel=1e-9)
    assert few.signed_root_p_value == pytest.approx(1 - few.likelihood_ratio_p_value / 2, rel=1e-9)


@given(m=st.integers(1, 5000), p=st.floats(0.001, 0.5))
def test_first_failure(m: int, p: float) -> None:
    """A first exception at the expected bar is no surprise; the ratio is of geometric laws."""
    from scipy.stats import geom

    expected = 2 * (geom.logpmf(m, 1 / m) - geom.logpmf(m, p)) if m > 1 else -2 * np.log(p)
    assert first_failure_test(m, p).statistic == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert first_failure_test(round(1 / p), p).statistic < 0.1


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
    plus = (0.40, 0.50, 0.65, 0.75, 0.85, 1.00, 1.00)
    assert tuple(plus_factor(x) for x in range(5, 12)) == plus
    assert {plus_factor(x) for x in range(5)} == {0.0}
    assert [plus_factor(x) > 0 for x in range(12)] == [traffic_light(x) is not TrafficLight.GREEN for x in range(12)]


def test_hostile_input() -> None:
    for x, n, p in ((-1, 10, 0.01), (11, 10, 0.01), (0, 0, 0.01), (1, 10, 0.0), (1, 10, 1.0)):
        with pytest.raises(DataError):
            coverage_test(x, n, p)
    with pytest.raises(DataError, match="counted"):
        plus_factor(-1)
    with pytest.raises(DataError, match="counted"):
        first_failure_test(0, 0.01)
