"""Tests of residuals: size under the null, power against what they are for, and hand-checked values."""

from __future__ import annotations

import numpy as np
import pytest

from risk.errors import DataError
from risk.validation.assumptions import AssumptionTest, arch_lm, ljung_box, residual_tests, uniformity
from risk.volatility.innovations import Innovations


def test_ljung_box_by_hand() -> None:
    """(1, 2, 3, 4): centred -1.5 -.5 .5 1.5, power 5, lag 1 product 1.25; 4 * 6 * (.25^2 / 3) = .5."""
    statistic, p_value = ljung_box(np.array([1.0, 2.0, 3.0, 4.0]), lags=1)
    assert statistic == pytest.approx(0.5)
    assert p_value == pytest.approx(0.4795, abs=1e-4)  # chi-squared with one degree of freedom


def test_uniformity_by_hand() -> None:
    """Distance of (.1, .2, .9) from the uniform steps 1/3, 2/3, 1: largest 2/3 - .2."""
    assert uniformity(np.array([0.9, 0.1, 0.2]))[0] == pytest.approx(2 / 3 - 0.2)
    # Kolmogorov's limit: P(sqrt(n) D > 1.3581) = .05, reached at the corrected argument.
    n = 10_000
    grid = (np.arange(n) + 0.5) / n
    shifted = np.clip(grid + 1.3581 / (np.sqrt(n) + 0.12 + 0.11 / np.sqrt(n)) - 0.5 / n, 0, 1)
    assert uniformity(shifted)[1] == pytest.approx(0.05, abs=5e-4)


def test_size_and_power() -> None:
    """At 5 % of 400 normal samples between 1 % and 10 % are rejected; clustered or skewed ones nearly always."""
    rng = np.random.default_rng(1)
    rejected = np.zeros(3)
    for _ in range(400):
        z = rng.standard_normal(500)
        rejected += [ljung_box(z)[1] < 0.05, arch_lm(z)[1] < 0.05, uniformity(rng.random(500))[1] < 0.05]
    assert np.all((rejected / 400 > 0.01) & (rejected / 400 < 0.10))
    clustered = rng.standard_normal(1000) * np.repeat(np.exp(rng.standard_normal(50)), 20)
    assert arch_lm(clustered)[1] < 1e-6
    assert ljung_box(clustered**2)[1] < 1e-6
    assert ljung_box(np.convolve(rng.standard_normal(1000), [1, 0.5]))[1] < 1e-6
    assert uniformity(rng.random(500) ** 2)[1] < 1e-6


def test_tests_of_a_students_residuals_hold() -> None:
    z = np.random.default_rng(5).standard_t(6, 2000) * np.sqrt(4 / 6)
    found = residual_tests(z, Innovations(6.0))
    assert len(found) == 5
    assert {test.verdict() for test in found} == {"holds"}
    assert residual_tests(z, Innovations(40.0))[3].verdict() == "rejected"
    assert AssumptionTest("a", "b", 1.0, 0.009).verdict() == "rejected"


@pytest.mark.parametrize("values", [np.ones(100), np.array([1.0, np.nan] * 50), np.arange(5.0)])
def test_refuses_what_it_cannot_test(values: np.ndarray) -> None:
    with pytest.raises(DataError):
        ljung_box(values)
    with pytest.raises(DataError):
        arch_lm(values)


def test_uniformity_refuses_what_is_no_probability() -> None:
    for values in (np.array([]), np.array([0.5, 1.5]), np.array([0.5, np.nan])):
        with pytest.raises(DataError, match="probabilities"):
            uniformity(values)
