"""Depth within an average impact: closed forms of a constant-product pool, and what is assumed."""

from __future__ import annotations

import numpy as np
import pytest

from risk.depth import size_within_average
from risk.market import Impact, LiquidityCurve, Origin


def constant_product(kind: Impact, points: int = 20_000) -> LiquidityCurve:
    """A pool with a reserve of one dollar: average impact q/(1+q), marginal 1 − 1/(1+q)²."""
    size = np.linspace(0.1 / points, 0.1, points)
    impact = size / (1 + size) if kind is Impact.AVERAGE else 1 - 1 / (1 + size) ** 2
    return LiquidityCurve("X", "USD", size, impact, kind, Origin.MEASURED)


def test_average_and_marginal_of_a_constant_product_pool() -> None:
    expected = 0.05 / 0.95  # q/(1+q) = 5 %
    # The curve is linear between 20,000 points: the error is of the order of (0.1/20,000)².
    assert size_within_average(constant_product(Impact.AVERAGE), 0.05) == pytest.approx(expected, abs=1e-9)
    assert size_within_average(constant_product(Impact.MARGINAL), 0.05) == pytest.approx(expected, abs=1e-9)
    assert expected == pytest.approx(0.05263, abs=5e-6)
    assert constant_product(Impact.MARGINAL).size_within(0.05) == pytest.approx(0.02598, abs=5e-6)


@pytest.mark.parametrize(
    ("sizes", "impacts", "impact", "expected"),
    [
        ([1.0, 2.0], [0.1, 0.1], 0.05, 1.0),  # ∫ = .05 at 1: average exactly 5 %
        ([1.0, 2.0], [0.1, 0.1], 0.0, 0.0),
        ([1.0, 2.0], [0.0, 0.2], 0.0, 1.0),
        ([1.0, 2.0], [0.0, 0.2], 0.04, 1.0 + (0.04 + np.sqrt(0.04**2 + 0.2 * 0.08)) / 0.2),
        ([1.0], [0.02], 0.5, 1.0),  # never beyond the last point
        ([1.0, 3.0], [0.1, 0.1], 0.08, 2.5),  # .05 + .1 (q − 1) = .08 q
    ],
)
def test_marginal_curves_solved_by_hand(
    sizes: list[float], impacts: list[float], impact: float, expected: float
) -> None:
    curve = LiquidityCurve("X", "USD", sizes, impacts, Impact.MARGINAL, Origin.DECLARED)
    assert size_within_average(curve, impact) == pytest.approx(expected, abs=1e-12)
