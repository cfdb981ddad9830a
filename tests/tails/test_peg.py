"""The depeg jump: pooled intensity, sizes of the same backing, and never riskless."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from risk.settings import Backing
from risk.streams import stream
from risk.tails.horizon import YEAR
from risk.tails.peg import depeg_component, depeg_law
from risk.units import DAY
from risk.volatility.laws import StudentLaw
from risk.volatility.prior import DepegEvent, DepegPrior, load_prior


def instant(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())


def prior_of(*events: tuple[str, float]) -> DepegPrior:
    listed = tuple(DepegEvent(asset, "2022-05-13", depth, 5, False) for asset, depth in events)
    return DepegPrior(0.03, 20.0, listed, len(listed) + 0.5, 20.0)


def test_intensity_is_the_gamma_posterior() -> None:
    prior = prior_of(("USDC", 0.05), ("USDT", 0.1))
    found = depeg_component(prior, "fiat", generator=stream(1, "depeg", "USDC"), n_draws=20_000).intensity
    # Mean 2.5 / 20 with standard error sqrt(2.5) / 20 / sqrt(n); four of them.
    assert found.mean() == pytest.approx(2.5 / 20, abs=4 * np.sqrt(2.5) / 20 / np.sqrt(20_000))
    assert found.min() > 0


@pytest.mark.parametrize(
    ("backing", "basis", "depths"),
    [
        ("fiat", "fiat", [0.05, 0.1]),
        ("algorithmic", "algorithmic", [0.2, 0.9]),
        ("crypto", "collateralised", [0.04, 0.05, 0.1]),
        (None, "pool", [0.04, 0.05, 0.1, 0.2, 0.9]),
    ],
)
def test_sizes_follow_the_backing(backing: Backing | None, basis: str, depths: list[float]) -> None:
    prior = prior_of(("USDC", 0.05), ("USDT", 0.1), ("DAI", 0.04), ("UST", 0.9), ("USDD", 0.2))
    found = depeg_component(prior, backing, generator=stream(1, "depeg", "X"), n_draws=3)
    assert found.basis == basis
    np.testing.assert_allclose(-np.expm1(found.sizes), depths)


def test_without_events_the_threshold_stands_in() -> None:
    found = depeg_component(prior_of(), "fiat", generator=stream(1, "depeg", "X"), n_draws=3)
    assert found.basis == "threshold"
    np.testing.assert_allclose(-np.expm1(found.sizes), [0.03])


def test_no_vintage_makes_a_fiat_coin_riskless() -> None:
    """Before March 2023 the pool had seen USDT only: that is enough."""
    for day in ("2020-06-01", "2023-03-09"):
        found = depeg_component(
            load_prior(instant(day)).depeg, "fiat", generator=stream(1, "depeg", "USDC"), n_draws=200
        )
        assert found.intensity.mean() > 0.05
        assert found.sizes.max() < np.log(0.97)
        assert found.sizes.min() < np.log(0.95)


def test_forecasts_hold_the_jump_of_their_vintage() -> None:
    """The chance of a jump is the mean over the intensities of paths; sizes are those known before each bar."""
    known_at = np.array([instant("2020-06-01"), instant("2024-06-01")])
    calm = StudentLaw(np.zeros(2), np.full(2, 0.002), np.full(2, 4.0))
    law = depeg_law(calm, known_at, DAY, "fiat")
    for i, day in enumerate(("2020-06-01", "2024-06-01")):
        prior = load_prior(instant(day)).depeg
        found = depeg_component(prior, "fiat", generator=stream(1, "depeg", "USDC"), n_draws=200_000)
        chance = -np.expm1(-found.intensity * DAY / YEAR)
        error = chance.std() / np.sqrt(len(chance))
        assert 1.0 - law.weights[i, 0] == pytest.approx(chance.mean(), abs=4 * error)
        assert set(law.sizes[i][law.weights[i] > 0.0]) == {0.0, *found.sizes}
    assert np.all(law.quantile(0.01) < calm.quantile(0.01))
    assert np.all(law.shortfall(0.99, rise=False) > 1.5 * calm.shortfall(0.99, rise=False))
