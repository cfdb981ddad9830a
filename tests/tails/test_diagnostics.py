"""Diagnostics of a fit: robust errors, the ladder of thresholds, parameters moved, and realised variance beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from risk.calibration import Side
from risk.market import PriceSeries
from risk.tails.diagnostics import (
    PARAMETER_SCHEMA,
    SENSITIVITY_SCHEMA,
    THRESHOLD_SCHEMA,
    diagnose,
    sensitivity_rows,
    threshold_rows,
)
from risk.tails.extreme_value import fit_tail
from risk.tails.realised import REALISED_SCHEMA, realised_rows
from risk.volatility.forecasters import DRIVES_PATHS
from risk.volatility.models import VolatilityModel, fit
from risk.volatility.standard_errors import parameter_covariance
from tests.factories import DAY, make_calibration, make_snapshot


@pytest.fixture(scope="module")
def returns() -> np.ndarray:
    rng = np.random.default_rng(1)
    h, out = 1e-3, np.empty(1500)
    for t in range(len(out)):
        out[t] = np.sqrt(h) * rng.standard_t(5) * np.sqrt(0.6)
        h = 3e-5 + 0.1 * out[t] ** 2 + 0.87 * h
    return out


def named(schema: dict[str, str], rows: tuple) -> list[dict]:
    return [dict(zip(schema, row, strict=True)) for row in rows]


def test_rows_of_a_subject(returns: np.ndarray) -> None:
    kinds = (VolatilityModel.EWMA_T, VolatilityModel.GARCH_T)
    fits = {kind: fit(kind, returns) for kind in kinds}
    found = diagnose("ABC", fits, VolatilityModel.GARCH_T, returns)
    parameters = named(PARAMETER_SCHEMA, found.parameters)
    assert {row["model"] for row in parameters} == {"garch_t"}
    errors = parameter_covariance(fits[VolatilityModel.GARCH_T], returns).standard_errors
    np.testing.assert_allclose([row["standard_error"] for row in parameters], errors, rtol=1e-6)
    # A simulated truth lies in nine of ten intervals; all five together in most samples.
    truth = {"mu": 0.0, "omega": 3e-5, "alpha": 0.1, "beta": 0.87, "nu": 5.0}
    assert sum(row["lower"] <= truth[row["parameter"]] <= row["upper"] for row in parameters) >= 4
    assert {row["side"] for row in named(THRESHOLD_SCHEMA, found.thresholds)} == {"down", "up"}


def test_an_edge_has_no_standard_errors_and_says_so() -> None:
    flat = np.random.default_rng(2).standard_t(5, 400) * 0.01
    fits = {VolatilityModel.GARCH_T: fit("garch_t", flat)}
    if not fits[VolatilityModel.GARCH_T].boundary:
        pytest.fail("the sample was chosen for a fit at an edge")
    rows = named(PARAMETER_SCHEMA, diagnose("ABC", fits, VolatilityModel.GARCH_T, flat).parameters)
    assert rows
    assert all("no standard errors" in row["status"] and row["standard_error"] == 0.0 for row in rows)


def test_the_ladder_has_one_usual_threshold_and_one_interval(returns: np.ndarray) -> None:
    residuals = fit("garch_t", returns).residuals
    rows = named(THRESHOLD_SCHEMA, threshold_rows("ABC", Side.DOWN, residuals))
    (usual,) = (row for row in rows if row["usual"])
    assert usual["n_exceedances"] == 150
    assert usual["lower"] < usual["quantile"] < usual["upper"]
    assert usual["threshold"] == pytest.approx(np.sort(-residuals)[-151])
    assert len({(row["lower"], row["upper"], row["spread"], row["stable"]) for row in rows}) == 1
    (none,) = named(THRESHOLD_SCHEMA, threshold_rows("ABC", Side.UP, residuals[:20]))
    assert "no tail" in none["status"]


def test_parameters_moved_by_hand(returns: np.ndarray) -> None:
    best = fit("garch_t", returns)
    rows = {row["parameter"]: row for row in named(SENSITIVITY_SCHEMA, sensitivity_rows("ABC", best, returns))}
    p = best.parameters
    variance = best.variances[0]
    raised = variance
    for e in (returns - p["mu"]) ** 2:
        raised = 1.01 * p["omega"] + p["alpha"] * e + p["beta"] * raised
    from scipy.stats import t

    quantile = t.ppf(0.01, p["nu"]) * np.sqrt((p["nu"] - 2) / p["nu"])
    # The first bar's variance is the presample's under either omega but for what has died out after 1,500 bars.
    assert rows["omega"]["high"] == pytest.approx(1 - np.exp(p["mu"] + np.sqrt(raised) * quantile), rel=1e-9)
    assert rows["omega"]["low"] < rows["omega"]["base"] < rows["omega"]["high"]
    assert rows["nu"]["status"] == rows["omega"]["status"] == "ok"
    assert "gamma" not in rows


def test_realised_variance_sees_twice_the_range() -> None:
    """Bars of a random walk of 50 steps: Rogers and Satchell's ratio to the true variance is near one, and doubles."""
    model = make_calibration().assets["BTC"]
    n = len(model.returns)
    rng = np.random.default_rng(3)
    steps = rng.standard_normal((n, 2000)) * 0.03 / np.sqrt(2000)
    path = np.cumsum(steps, axis=1)
    parts = {"open": np.zeros(n), "high": np.maximum(path.max(axis=1), 0), "low": np.minimum(path.min(axis=1), 0),
             "close": path[:, -1]}  # fmt: skip
    snapshot = make_snapshot()
    others = tuple(s for s in snapshot.series if s.base != "BTC")
    model = replace(model, variances=np.full(n, 0.03**2))

    def rows(scale: float, *, spoilt: int = 0) -> dict[str, dict]:
        series = []
        for field, value in parts.items():
            price = 100 * np.exp(scale * value)
            if field == "high":
                price[:spoilt] = 1.0  # below its own low: no bar
            series.append(
                PriceSeries("b", "BTC", "USD", "files", field, DAY, model.observed_at, model.observed_at, price)
            )
        found = realised_rows(replace(snapshot, series=(*others, *series)), {"BTC": model}, seed=1)
        return {row["estimator"]: row for row in named(REALISED_SCHEMA, found)}

    one, two = rows(1.0), rows(2.0, spoilt=5)
    for kind in ("parkinson", "garman_klass", "rogers_satchell"):
        # 2,000 steps a bar take about 2 % off the range (Garman and Klass 1980); 799 bars leave 1 % of noise.
        assert one[kind]["ratio"] == pytest.approx(0.98, abs=0.04)
        assert two[kind]["ratio"] == pytest.approx(2.0 * one[kind]["ratio"], rel=0.01)
        assert one[kind]["lower"] < one[kind]["ratio"] < one[kind]["upper"]
        assert (one[kind]["left_out"], two[kind]["left_out"], two[kind]["n"]) == (0, 5, n - 5)
    assert "yang_zhang" in one
    # Without a range there is nothing to show.
    assert realised_rows(replace(snapshot, series=others), {"BTC": model}, seed=1) == ()


@pytest.mark.parametrize("kind", sorted(DRIVES_PATHS))
def test_every_model_of_paths_can_be_moved(kind: VolatilityModel, returns: np.ndarray) -> None:
    best = fit(kind, returns)
    rows = named(SENSITIVITY_SCHEMA, sensitivity_rows("ABC", best, returns))
    (base,) = {row["base"] for row in rows}
    assert 0.0 < base < 1.0
    assert {row["parameter"] for row in rows} == {name for name, value in best.parameters.items() if value != 0.0}


def test_moments_whose_support_ends_inside_the_sample_have_no_errors() -> None:
    """Sixteen excesses whose weighted moments give xi -.53 and an end below the largest: no warning, no errors."""
    excesses = np.array(
        [1.35, 0.77, 0.92, 3.04, 1.93, 0.27, 0.60, 1.73, 0.23, 0.87, 1.37, 0.85, 0.64, 0.77, 0.12, 0.55]
    )
    found = fit_tail(np.concatenate([np.zeros(100), excesses]), threshold=0.0)
    assert found.xi == pytest.approx(-0.53, abs=0.02)
    assert -found.beta / found.xi < excesses.max()
    assert np.isnan([found.xi_error, found.beta_error]).all()
