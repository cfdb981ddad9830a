"""Paths: known limits, common random numbers, jumps, streams."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from risk.calibration import Calibration
from risk.errors import DataError
from risk.tails.horizon import bars_of, discrete_minimum_correction, shocks_by_draw, simulate
from risk.tails.shocks import draw_nodes
from risk.tails.states import bound_persistence
from risk.volatility.engine import extend_variances
from risk.volatility.models import VolatilityModel
from tests.factories import make_calibration
from tests.tails.models import constant_variance, known_model, student_shocks


def test_discrete_minimum_of_hourly_bars() -> None:
    """4 % a day seen hourly: .5826 * .04 * sqrt(1/24) = .476 %."""
    assert discrete_minimum_correction(0.04, 1 / 24) == pytest.approx(0.00476, abs=5e-6)


@pytest.mark.parametrize(("seconds", "bars"), [(1, 1), (86400, 1), (86401, 2), (7 * 86400, 7), (0, 1)])
def test_horizons_round_up_to_bars(seconds: int, bars: int) -> None:
    assert bars_of(seconds, 86400) == bars


def test_constant_variance_is_a_random_walk() -> None:
    """Normal shocks, no dynamics: the end is normal with variance n sigma^2; mean and variance within 4 errors."""
    model = known_model(draws=constant_variance(0.02), shocks=student_shocks(np.inf))
    paths = simulate(model, n_bars=9, n_paths_per_draw=4000, seed=3, start="conditional", common=False)
    ends = paths.log_price[:, -1] / (0.02 * 3)
    n = len(ends)
    assert abs(ends.mean()) < 4 / np.sqrt(n)
    assert abs(ends.var() - 1) < 4 * np.sqrt(2 / n)
    assert np.all(paths.log_price[:, 0] == 0)


def test_first_bar_is_stratified() -> None:
    """One shock in each stratum: the quantiles of the first bar are the shocks' own, to a stratum."""
    model = known_model()
    one = simulate(model, n_bars=1, n_paths_per_draw=1000, seed=3, start="conditional", common=False)
    moves = np.sort(one.log_price[:, 1]) / 0.04
    coarse = student_shocks(5.0, 5000)
    assert np.all(moves[1:-1] >= coarse[:-2])
    assert np.all(moves[1:-1] <= coarse[2:])


def test_the_score_driven_recursion_is_that_of_its_filter() -> None:
    """Variances filtered along simulated moves by the estimator's own plain loop give back the shocks drawn.

    The bound on memory counts the weighted squares.
    """
    draws = known_model().draws.copy()
    draws[:, 5] = 4.0
    shocks = np.repeat([-6.0, -0.7, 0.5, 3.0], 25_000)
    model = known_model(draws=draws, shocks=shocks, model="score_t")
    moves = np.diff(simulate(model, n_bars=30, n_paths_per_draw=40, seed=5, start="conditional").log_price, axis=1)
    plain = np.diff(
        simulate(
            replace(model, model="garch_t"), n_bars=30, n_paths_per_draw=40, seed=5, start="conditional"
        ).log_price,
        axis=1,
    )
    assert not np.allclose(moves[:, -1], plain[:, -1])
    for path in moves[:40]:
        h = extend_variances(draws[0, :6], 0.04**2, path, model=VolatilityModel.SCORE_T)[:-1]
        z = path / np.sqrt(h)
        # Draws between two values of a shock are interpolated: the few of them are left out by their distance.
        assert np.mean(np.min(np.abs(z[:, None] - np.unique(shocks)), axis=1) < 1e-9) > 0.9
    bounded, share = bound_persistence(draws, student_shocks(4.0), 4e-4, 0.97, driven=True)
    weighted = np.mean(student_shocks(4.0) ** 2 * 5.0 / (2.0 + student_shocks(4.0) ** 2))
    assert share == 1.0
    np.testing.assert_allclose(bounded[:, 2] * weighted + bounded[:, 4], 0.97, rtol=1e-12)


def test_variance_follows_the_recursion() -> None:
    """Shocks of plus or minus one show the variance in every move; the plain recursion must give the same."""
    draws = known_model().draws.copy()
    draws[:, 3] = 0.05
    model = known_model(draws=draws, shocks=np.repeat([-1.0, 1.0], 50_000))
    moves = np.diff(simulate(model, n_bars=8, n_paths_per_draw=60, seed=5, start="conditional").log_price, axis=1)
    h = np.full(len(moves), 0.04**2)
    _, omega, alpha, gamma, beta, _, _ = draws[0]
    for bar in range(8):
        np.testing.assert_allclose(np.abs(moves[:, bar]), np.sqrt(h), rtol=1e-9)
        h = omega + (alpha + gamma * (moves[:, bar] < 0)) * moves[:, bar] ** 2 + beta * h


def test_common_numbers_are_common_and_own_numbers_are_not() -> None:
    model = known_model()
    common = simulate(model, n_bars=4, n_paths_per_draw=60, seed=1, start="conditional").log_price.reshape(5, 60, 5)
    for draw in common[1:]:
        np.testing.assert_array_equal(draw, common[0])
    own = simulate(model, n_bars=4, n_paths_per_draw=60, seed=1, start="conditional", common=False).log_price
    assert len(np.unique(own[:, 1])) == 300


def test_longer_paths_continue_shorter_ones() -> None:
    model = known_model(jump_intensity=np.full(5, 20.0), jump_sizes=np.log([0.9, 0.5]))
    for start in ("conditional", "through_the_cycle"):
        short = simulate(model, n_bars=3, n_paths_per_draw=40, seed=1, start=start).log_price
        longer = simulate(model, n_bars=8, n_paths_per_draw=40, seed=1, start=start).log_price
        np.testing.assert_array_equal(longer[:, :4], short)


def test_a_pair_against_the_unit_of_account_is_the_asset() -> None:
    model = known_model()
    pair = replace(model, subject="ETH:USD")
    other = replace(model, subject="ETH:USDC", debt="USDC")
    first, second, third = (
        simulate(m, n_bars=2, n_paths_per_draw=40, seed=1, start="through_the_cycle").log_price
        for m in (model, pair, other)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, third)


def test_cycle_starts_use_every_state_equally_often() -> None:
    """Without dynamics or randomness in the shock, the first move shows its state."""
    states = np.array([1e-4, 4e-4, 9e-4, 16e-4])
    model = known_model(
        starting_variance=states[::-1].copy(), shocks=np.ones(10), draws=constant_variance(0.01, n_draws=2)
    )
    moves = simulate(model, n_bars=1, n_paths_per_draw=80, seed=2, start="through_the_cycle").log_price[:80, 1]
    found, counts = np.unique(np.round(moves, 9), return_counts=True)
    np.testing.assert_allclose(found, np.sqrt(states))
    assert counts.tolist() == [20, 20, 20, 20]


def test_jumps_vanish_with_their_intensity() -> None:
    quiet = known_model()
    base = simulate(quiet, n_bars=20, n_paths_per_draw=100, seed=1, start="conditional").log_price
    for intensity, moved in ((0.0, False), (1e-12, False), (50.0, True)):
        model = replace(quiet, jump_intensity=np.full(5, intensity), jump_sizes=np.log([0.5]))
        found = simulate(model, n_bars=20, n_paths_per_draw=100, seed=1, start="conditional").log_price
        assert np.array_equal(found, base) is not moved


def test_jumps_come_as_often_as_they_should() -> None:
    """Chance of a jump in a bar 1 - exp(-intensity / 365.25): the count is binomial, within 4 standard deviations."""
    intensity = 12.0
    model = known_model(
        draws=constant_variance(1e-9), jump_intensity=np.full(5, intensity), jump_sizes=np.log([0.8, 0.6])
    )
    moves = np.diff(
        simulate(model, n_bars=50, n_paths_per_draw=400, seed=4, start="conditional", common=False).log_price, axis=1
    )
    chance = -np.expm1(-intensity / 365.25)
    jumped = moves < -0.1
    n = moves.size
    assert abs(jumped.sum() - n * chance) < 4 * np.sqrt(n * chance)
    deep = np.mean(moves[jumped] < -0.4)
    assert abs(deep - 0.5) < 4 * 0.5 / np.sqrt(jumped.sum())


@settings(max_examples=25, deadline=None)
@given(st.floats(0.001, 0.2), st.floats(1.01, 3.0), st.integers(1, 10), st.integers(0, 2**32))
def test_more_volatility_moves_every_path_further(volatility: float, factor: float, n_bars: int, seed: int) -> None:
    """Without dynamics log moves scale with the volatility, on the same random numbers."""
    low, high = (
        simulate(
            known_model(draws=constant_variance(v, n_draws=1)), n_bars=n_bars, n_paths_per_draw=50, seed=seed,
            start="conditional",
        ).log_price
        for v in (volatility, factor * volatility)
    )  # fmt: skip
    np.testing.assert_allclose(high, factor * low, rtol=1e-9, atol=1e-12)


def test_refuses_nothing_to_simulate() -> None:
    with pytest.raises(DataError, match="at least one bar"):
        simulate(known_model(), n_bars=0, n_paths_per_draw=10, seed=1, start="conditional")


def test_shocks_and_levels_of_a_draw_move_its_paths_and_survive_the_artifact() -> None:
    model = known_model()
    quantiles = np.stack([model.shocks * factor for factor in (0.5, 1.0, 1.0, 1.0, 2.0)])
    level = np.array([1.0, 1.0, 4.0, 1.0, 1.0])
    wider = replace(model, shock_draws=quantiles[:, draw_nodes()], level_draws=level)
    np.testing.assert_allclose(shocks_by_draw(wider)[:, draw_nodes()], quantiles[:, draw_nodes()])
    paths = simulate(wider, n_bars=1, n_paths_per_draw=100, seed=1, start="through_the_cycle").log_price[:, 1]
    ends = paths.reshape(5, 100)
    # Linear between the kept nodes, whose middle ones lie 25 of 5000 apart: a thousandth of a move and less.
    np.testing.assert_allclose(ends[0], 0.5 * ends[1], atol=1e-4)
    np.testing.assert_allclose(ends[4], 2.0 * ends[1], atol=1e-4)
    np.testing.assert_allclose(ends[2], 2.0 * ends[1], atol=1e-12)
    calibration = make_calibration()
    pairs = {**calibration.pairs, "ETH:USDC": replace(wider, subject="ETH:USDC", debt="USDC")}
    again = Calibration.from_artifact(replace(calibration, pairs=pairs).artifact())
    np.testing.assert_array_equal(again.pairs["ETH:USDC"].shock_draws, wider.shock_draws)
    np.testing.assert_array_equal(again.pairs["ETH:USDC"].level_draws, level)
    assert again.assets["BTC"].shock_draws.shape == (0, 0)
