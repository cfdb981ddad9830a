"""A law with jumps: its limits, its moments against quadrature, and its quantiles against simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from risk.errors import DataError
from risk.volatility.innovations import Innovations
from risk.volatility.jump_law import JumpLaw
from risk.volatility.laws import BlockLaw, PredictiveLaw, ScaledLaw, StudentLaw

SIZES, WEIGHTS = np.array([0.0, -0.05, -0.12]), np.array([0.97, 0.02, 0.01])


def student() -> StudentLaw:
    return StudentLaw(np.array([0.001, -0.002]), np.array([0.01, 0.02]), np.array([4.0, 9.0]))


def block() -> BlockLaw:
    return BlockLaw(np.array([0.001, -0.002]), np.array([0.01, 0.02]), (0, 1), (Innovations(4.0), Innovations(9.0)))


def jumping(calm: PredictiveLaw, weights: np.ndarray = WEIGHTS) -> JumpLaw:
    return JumpLaw(calm, np.tile(SIZES, (2, 1)), np.tile(weights, (2, 1)))


@pytest.mark.parametrize("calm", [student(), block(), ScaledLaw(student(), np.array([2.0, 0.5]))])
@pytest.mark.parametrize("cut", [-0.1, -0.01, 0.03])
def test_moments_are_those_of_the_density(calm: PredictiveLaw, cut: float) -> None:
    law = jumping(calm)
    found = law.moment_below(np.full(2, cut))
    for i in range(2):

        def height(x: float, i: int = i) -> float:
            return float(np.exp(law.log_density(np.full(2, x))[i]))

        points = [cut + size for size in (-1e-3, *SIZES) if -0.5 < cut + size < cut]
        inside = quad(lambda x: x * height(x), -0.5, cut, points=points, limit=400, epsabs=1e-12)[0]
        beyond = quad(lambda x: x * height(x), -np.inf, -0.5, epsabs=1e-12)[0]
        assert found[i] == pytest.approx(inside + beyond, abs=1e-8)


@pytest.mark.parametrize("calm", [student(), block()])
@pytest.mark.parametrize("level", [0.9, 0.99, 0.995])
def test_quantiles_and_shortfalls(calm: PredictiveLaw, level: float) -> None:
    """The transform of a quantile is its probability; a shortfall is the mean of the quantiles beyond."""
    law = jumping(calm)
    for probability in (1.0 - level, level):
        np.testing.assert_allclose(law.transform(law.quantile(probability)), probability, rtol=1e-9)
    nodes = (1.0 - level) * ((np.arange(20_000) + 0.5) / 20_000) ** 3
    weights = 3.0 * ((np.arange(20_000) + 0.5) / 20_000) ** 2 / 20_000
    coarse = slice(None, None, 40)
    for rise in (False, True):
        each = np.array([law.quantile(1.0 - p if rise else p) for p in nodes[coarse]])
        mean = np.average(each, axis=0, weights=weights[coarse]) * (1.0 if rise else -1.0)
        np.testing.assert_allclose(law.shortfall(level, rise=rise), mean, rtol=0.02)
        assert np.all(law.shortfall(level, rise=rise) > (law.quantile(level) if rise else -law.quantile(1.0 - level)))


def test_without_jumps_it_is_the_calm_law() -> None:
    law, calm = jumping(student(), np.array([1.0, 0.0, 0.0])), student()
    np.testing.assert_allclose(law.quantile(0.01), calm.quantile(0.01), rtol=1e-12)
    for rise in (False, True):
        np.testing.assert_allclose(law.shortfall(0.99, rise=rise), calm.shortfall(0.99, rise=rise), rtol=1e-9)
    np.testing.assert_allclose(law.log_density(np.zeros(2)), calm.log_density(np.zeros(2)), rtol=1e-12)


def test_a_price_that_hardly_moves_falls_by_the_jump() -> None:
    """Volatility to zero: beyond the chance of a jump there is no loss, within it the smallest jump stands."""
    still = StudentLaw(np.zeros(2), np.full(2, 1e-9), np.full(2, 5.0))
    law = jumping(still)
    np.testing.assert_allclose(law.quantile(0.02), -0.05, atol=1e-6)
    np.testing.assert_allclose(law.quantile(0.05), 0.0, atol=1e-6)
    # Of the worst 2 % half fell by 12 % and half by 5 %.
    np.testing.assert_allclose(law.shortfall(0.98, rise=False), 0.085, atol=1e-6)


def test_probabilities_sum_to_one() -> None:
    with pytest.raises(DataError, match="sum to one"):
        jumping(student(), np.array([0.9, 0.0, 0.0]))
