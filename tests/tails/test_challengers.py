"""Forecasters of another kind: blind to the future, compared over bars they forecast, honest where they cannot."""

from __future__ import annotations

import numpy as np
import pytest

from risk.tails.challengers import HISTORY, challenger_rows, history_forecasts, quantile_forecasts
from risk.track_record import CHALLENGER_SCHEMA
from risk.volatility.caviar import QuantileModel, extend_quantile, fit_caviar

START = 600


@pytest.fixture(scope="module")
def returns() -> np.ndarray:
    rng = np.random.default_rng(3)
    h, out = 1e-3, np.empty(1100)
    for t in range(len(out)):
        out[t] = np.sqrt(h) * rng.standard_t(5) * np.sqrt(0.6)
        h = 3e-5 + 0.1 * out[t] ** 2 + 0.87 * h
    return out


def test_a_quantile_regression_is_fitted_on_the_past_and_extended(returns: np.ndarray) -> None:
    var, status = quantile_forecasts(returns, START, QuantileModel.SYMMETRIC, 0.99, window=1000)
    assert status == "ok" or "of 2 refits" in status
    first = fit_caviar(returns[:START], confidence=0.99)
    np.testing.assert_allclose(var[:250], extend_quantile(first, returns[START : START + 249]))
    changed = returns.copy()
    changed[900:] *= 5.0
    other, _ = quantile_forecasts(changed, START, QuantileModel.SYMMETRIC, 0.99, window=1000)
    np.testing.assert_array_equal(var[: 900 - START + 1], other[: 900 - START + 1])
    assert not np.allclose(var[900 - START + 1 :], other[900 - START + 1 :])


def test_plain_history_is_its_own_quantile(returns: np.ndarray) -> None:
    var, crps = history_forecasts(returns, 100, 0.99)
    assert np.isnan(var[: HISTORY - 100]).all()
    assert np.isfinite(var[HISTORY - 100 :]).all()
    members = returns[:HISTORY]
    assert var[HISTORY - 100] == pytest.approx(np.quantile(-members, 0.99, method="hazen"))
    came = returns[HISTORY]
    by_hand = np.abs(members - came).mean() - 0.5 * np.abs(members[:, None] - members).mean()
    assert crps[HISTORY - 100] == pytest.approx(by_hand)


def test_rows_compare_over_the_bars_of_both(returns: np.ndarray) -> None:
    in_use, crps = np.full(len(returns) - START, 0.1), np.full(len(returns) - START, 0.02)
    rows = challenger_rows(("ABC", 86400), returns, START, None, in_use, crps, 0.99, window=1000)
    named = [dict(zip(CHALLENGER_SCHEMA, row, strict=True)) for row in rows]
    assert [row["model"] for row in named] == ["caviar_symmetric", "caviar_asymmetric", "historical_250"]
    for row in named:
        assert row["n"] == len(returns) - START
        hits = -returns[START:] > 0.1
        assert row["quantile_loss_in_use"] == pytest.approx(np.mean((hits - 0.01) * (-returns[START:] - 0.1)))
        assert row["better_p_value"] + row["worse_p_value"] == pytest.approx(1.0)
    assert named[2]["crps_in_use"] == pytest.approx(0.02)
    assert named[0]["crps"] == 0.0


def test_factors_scale_forecasts_with_their_bars(returns: np.ndarray) -> None:
    """Returns twice as large on every other bar, by a factor known before: the same exceptions."""
    factors = np.where(np.arange(len(returns)) % 2, 2.0, 1.0)
    in_use, crps = np.full(len(returns) - START, 0.1), np.full(len(returns) - START, 0.02)
    flat = challenger_rows(("ABC", 3600), returns, START, None, in_use, crps, 0.99, window=1000)
    tall = challenger_rows(("ABC", 3600), returns * factors, START, factors, in_use, crps, 0.99, window=1000)
    assert [row[6] for row in flat] == [row[6] for row in tall]


def test_a_short_history_is_not_compared(returns: np.ndarray) -> None:
    rows = challenger_rows(
        ("ABC", 86400), returns[:200], 120, None, np.full(80, 0.1), np.full(80, 0.02), 0.99, window=120
    )
    named = [dict(zip(CHALLENGER_SCHEMA, row, strict=True)) for row in rows]
    assert {row["verdict"] for row in named} == {"not compared"}
    assert all("too short" in row["status"] for row in named)
