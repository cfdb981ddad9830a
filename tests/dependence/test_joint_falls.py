"""Joint falls: the simulated chance is the copula's, history is counted, and what cannot be simulated says so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from risk.calibration import Dependence
from risk.dependence.joint_falls import JOINT_SCHEMA, N_PATHS, joint_falls
from tests.factories import DAY, make_calibration


@pytest.fixture(scope="module")
def models() -> dict:
    found = make_calibration().assets
    return {name: found[name] for name in ("BTC", "ETH")}


def pair(models: dict, rho: float, horizon: int = DAY) -> dict[str, object]:
    dependence = Dependence(("BTC", "ETH"), np.array([[1.0, rho], [rho, 1.0]]), 5.0, 500, "ok")
    (row,) = joint_falls(models, dependence, horizon=horizon, seed=3)
    return dict(zip(JOINT_SCHEMA, row, strict=True))


def test_the_chance_of_a_joint_fall_is_that_of_the_copula(models: dict) -> None:
    """One bar: margins do not matter. Draws of the t copula by hand are within five standard errors."""
    rng = np.random.default_rng(1)
    z = rng.standard_normal((400_000, 2)) @ np.linalg.cholesky([[1, 0.7], [0.7, 1]]).T
    z /= np.sqrt(rng.chisquare(5, (400_000, 1)) / 5)
    below = z < np.quantile(z, 0.05, axis=0)
    by_hand = below.all(axis=1).mean()
    found = pair(models, 0.7)
    assert found["joint"] == pytest.approx(by_hand, abs=5 * np.sqrt(by_hand / N_PATHS))
    assert found["lower"] < found["conditional"] < found["upper"]
    assert pair(models, 0.0)["conditional"] < found["conditional"] < pair(models, 0.95)["conditional"]


def test_history_is_counted_in_windows_that_do_not_overlap(models: dict) -> None:
    found = pair(models, 0.7, horizon=7 * DAY)
    assert (models["BTC"].observed_at == models["ETH"].observed_at).all()
    windows = len(models["BTC"].returns) // 7
    assert found["n_windows"] == windows
    sums = np.column_stack([models[n].returns[-7 * windows :].reshape(windows, 7).sum(axis=1) for n in ("BTC", "ETH")])
    below = sums < np.quantile(sums, 0.05, axis=0)
    assert found["falls"] == below[:, 0].sum()
    assert found["seen"] == pytest.approx(below.all(axis=1).sum() / below[:, 0].sum())


def test_bars_of_different_lengths_are_not_simulated(models: dict) -> None:
    found = pair({**models, "ETH": replace(models["ETH"], interval=3600)}, 0.7)
    assert "different lengths" in str(found["status"])
    assert found["n_paths"] == 0
