"""The law of innovations against arch, its own integrals, its limits and its mirror."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import ndtr

from risk.errors import DataError
from risk.volatility.innovations import Innovations

LAWS = [(3.0, -0.4), (5.0, 0.0), (6.0, 0.3), (30.0, -0.1)]
POINTS = np.linspace(-6, 6, 41)


@pytest.mark.parametrize(("nu", "skew"), LAWS)
def test_arch_gives_the_same_skewed_t(nu: float, skew: float) -> None:
    """arch 8.0.0 `SkewStudent` is Hansen's (1994) law too."""
    from arch.univariate import SkewStudent

    law, theirs = Innovations(nu, skew), SkewStudent()
    parameters = np.array([nu, skew])
    density = [theirs.loglikelihood(parameters, np.array([z]), np.array([1.0]), individual=True)[0] for z in POINTS]
    np.testing.assert_allclose(law.log_density(POINTS), density, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(law.distribution(POINTS), theirs.cdf(POINTS, parameters), rtol=1e-10)
    levels = np.array([0.001, 0.01, 0.3, 0.5, 0.9, 0.999])
    np.testing.assert_allclose(law.quantile(levels), theirs.ppf(levels, parameters), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("nu", "skew"), [*LAWS, (math.inf, 0.0)])
def test_moments_and_shortfall_are_the_integrals(nu: float, skew: float) -> None:
    law = Innovations(nu, skew)

    def integral(power: int, low: float, high: float) -> float:
        # In z = sinh(s) the heavy tail becomes exponential; 1e-9 is what the far cut leaves at nu = 3.
        return quad(
            lambda s: np.sinh(s) ** power * np.exp(law.log_density(np.sinh(s))) * np.cosh(s),
            np.arcsinh(low), np.arcsinh(high), epsabs=1e-12, limit=400,
        )[0]  # fmt: skip

    kink = float(law.quantile(0.5 * (1 - skew)))
    for power, expected in ((0, 1.0), (1, 0.0), (2, 1.0)):
        total = integral(power, -1e12, kink) + integral(power, kink, 1e12)
        assert total == pytest.approx(expected, abs=1e-7)
    for probability in (0.01, 0.3, 0.7):
        cut = float(law.quantile(probability))
        assert law.shortfall(probability) == pytest.approx(-integral(1, -1e12, cut) / probability, rel=1e-7)


@given(nu=st.floats(2.1, 200), skew=st.floats(-0.95, 0.95), p=st.floats(0.001, 0.999))
@settings(max_examples=100)
def test_quantile_inverts_the_distribution_and_the_mirror_holds(nu: float, skew: float, p: float) -> None:
    law = Innovations(nu, skew)
    z = law.quantile(p)
    assert float(law.distribution(z)) == pytest.approx(p, rel=1e-9)
    assert float(law.mirrored().quantile(1 - p)) == pytest.approx(-float(z), rel=1e-7, abs=1e-9)
    step = 1e-6
    if abs(float(law.distribution(z)) - 0.5 * (1 - skew)) > 1e-4:
        slope = (law.log_density(z + step) - law.log_density(z - step)) / (2 * step)
        assert float(law.log_density_slope(z)) == pytest.approx(float(slope), rel=1e-5, abs=1e-8)


def test_limits_and_refusals() -> None:
    normal = Innovations(math.inf)
    np.testing.assert_allclose(normal.distribution(POINTS), ndtr(POINTS))
    np.testing.assert_allclose(Innovations(1e7).log_density(POINTS), normal.log_density(POINTS), atol=1e-4)
    # McNeil, Frey and Embrechts (2015), example 2.15: ES of the normal at 99 % is 2.665.
    assert normal.shortfall(0.01) == pytest.approx(2.665, abs=5e-4)
    for nu, skew in ((2.0, 0.0), (5.0, 1.0), (math.inf, 0.1), (math.nan, 0.0)):
        with pytest.raises(DataError, match="nu above 2"):
            Innovations(nu, skew)


@pytest.mark.parametrize(("nu", "skew"), [*LAWS, (2.1, 0.2), (math.inf, 0.0)])
def test_crps_is_the_integral_of_squared_distance(nu: float, skew: float) -> None:
    """Gneiting and Raftery (2007), equation 20: the integral of (F(x) - 1[x >= z])^2."""
    law = Innovations(nu, skew)

    def distance(x: float, outcome: float) -> float:
        return float((law.distribution(np.array(x)) - (x >= outcome)) ** 2)

    for outcome in (-4.0, -0.3, 0.0, 1.7):
        parts = [quad(distance, low, high, (outcome,), limit=400)[0] for low, high in
                 ((-np.inf, outcome), (outcome, np.inf))]  # fmt: skip
        assert law.crps(np.array([outcome]))[0] == pytest.approx(sum(parts), rel=1e-6)
