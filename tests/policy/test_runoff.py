from __future__ import annotations

import csv
import gzip
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.errors import DataError
from risk.policy.runoff import find_crossings, slice_loss, slice_weights
from risk.policy.twin import historical_twin, largest_within


def test_slice_loss_is_what_the_formula_gives() -> None:
    # 1 - .85/(.83*1.05) = .024670...; at v = .1285 exactly the debt is covered: .83*1.05 = .8715.
    assert slice_loss(0.15, 0.83, 0.05) == pytest.approx(0.0246701, abs=5e-8)
    assert slice_loss(0.1285, 0.83, 0.05) == pytest.approx(0.0, abs=1e-15)


@pytest.mark.parametrize(
    ("delay", "runoff", "expected"),
    [
        (0, 3600, [1.0]),
        (0, 6 * 3600, [1 / 6] * 6),
        (3600, 0, [1.0]),
        (7200, 0, [0.0, 1.0]),
        (1800, 3600, [0.5, 0.5]),
        (3600, 2 * 3600, [0.0, 0.5, 0.5]),
    ],
)
def test_weights_spread_the_sale_over_bars(delay: int, runoff: int, expected: list[float]) -> None:
    np.testing.assert_allclose(slice_weights(delay, runoff, 3600), expected, atol=1e-12)


@given(st.integers(0, 10**6), st.floats(0, 1e6), st.sampled_from([900, 3600, 86400]))
def test_weights_are_a_distribution(delay: int, runoff: float, interval: int) -> None:
    weights = slice_weights(delay, runoff, interval)
    assert weights.min() >= -1e-12
    assert weights.sum() == pytest.approx(1.0, abs=1e-9)


def test_overshoot_is_a_loss_and_the_level_is_the_start() -> None:
    # Down 20 % in one bar: an account 3 % away crosses at level .97 and is sold at .80/.97 of it.
    log_price = np.log(np.array([[1.0, 0.8, 0.8]]))
    crossings = find_crossings(log_price, np.array([0.03]), slice_weights(0, 3600, 3600), life=2)
    assert crossings.move[0, 0] == pytest.approx(1 - 0.8 / 0.97, abs=1e-12)
    assert crossings.bar[0] == 1


def test_deviation_compounds_into_the_move() -> None:
    log_price = np.log(np.array([[1.0, 0.9]]))
    level = find_crossings(log_price, np.array([1e-12]), slice_weights(0, 3600, 3600), life=1, deviation=0.005)
    assert level.move[0, 0] == pytest.approx(0.1045, abs=1e-9)


def test_paths_that_end_too_early_are_refused() -> None:
    with pytest.raises(DataError, match="last slice"):
        find_crossings(np.zeros((1, 3)), np.array([0.1]), slice_weights(0, 2 * 3600, 3600), life=2)


@given(st.integers(0, 2**32 - 1))
def test_crossings_agree_with_a_plain_loop(seed: int) -> None:
    generator = np.random.default_rng(seed)
    log_price = np.concatenate([np.zeros((20, 1)), generator.normal(0, 0.05, (20, 12)).cumsum(1)], axis=1)
    distance, weights = np.array([0.02, 0.1]), slice_weights(0, 2 * 3600, 3600)
    found = find_crossings(log_price, distance, weights, life=11)
    rows = {
        (int(p), int(a)): (int(b), m)
        for p, a, b, m in zip(found.path, found.account, found.bar, found.move, strict=True)
    }
    expected = {}
    for path in range(20):
        for account, gap in enumerate(distance):
            for bar in range(1, 12):
                if log_price[path, bar] <= np.log1p(-gap):
                    expected[path, account] = (bar, 1 - np.exp(log_price[path, bar : bar + 2]) / (1 - gap))
                    break
    assert rows.keys() == expected.keys()
    for key, (bar, move) in expected.items():
        assert rows[key][0] == bar
        np.testing.assert_allclose(rows[key][1], move, atol=1e-12)


@given(st.floats(0.3, 0.9), st.floats(0.0, 0.1), st.floats(-0.5, 0.9))
def test_loss_grows_with_threshold_and_move(threshold: float, bonus: float, move: float) -> None:
    loss = slice_loss(move, threshold, bonus)
    assert 0.0 <= loss <= 1.0
    assert slice_loss(move, threshold * 1.01, bonus) >= loss
    assert slice_loss(min(move + 0.05, 1.0), threshold, bonus) >= loss


def _closes(path: Path, time: str, close: str) -> tuple[np.ndarray, np.ndarray]:
    with gzip.open(path, "rt") as file:
        rows = [(datetime.fromisoformat(row[time]), float(row[close])) for row in csv.DictReader(file)]
    stamps = [t.replace(tzinfo=UTC) if t.tzinfo is None else t for t, _ in rows]
    return np.array([int(t.timestamp()) for t in stamps]), np.array([c for _, c in rows])


@pytest.mark.data
@pytest.mark.parametrize(("hours", "lifetime", "worst"), [(1, 0.805, 0.90), (6, 0.775, 0.86), (24, 0.64, 0.755)])
def test_ether_orientation_on_real_hours(shared: Path, hours: int, lifetime: float, worst: float) -> None:
    """Real ETH hours 2020-2025: an account every 3 hours, 3 % above its threshold, for 90 days; LB 5 %."""
    first = _closes(shared / "data/hourly_binance_2020_2024/ETHUSDT_1h.csv.gz", "Date", "Close")
    second = _closes(shared / "data/hourly_btc_eth_2022_2025/ETHUSDT_1h.csv.gz", "timestamp", "close")
    cut = int(datetime(2022, 1, 1, tzinfo=UTC).timestamp())
    close = np.concatenate([first[1][first[0] < cut], second[1][second[0] >= cut]])
    weights = slice_weights(0, hours * 3600, 3600)
    twin = historical_twin(close, weights, distance=1 - 1 / 1.03, life=90 * 24, every=3)
    by_mean = largest_within(lambda threshold: twin.mean_loss(threshold, 0.05) <= 1e-4)
    by_worst = largest_within(lambda threshold: twin.worst_life_loss(threshold, 0.05) <= 1e-2)
    assert by_mean == pytest.approx(lifetime, abs=0.02)
    assert by_worst == pytest.approx(worst, abs=0.02)
    assert twin.n_lives == 24
