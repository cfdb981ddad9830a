"""DCC against the constant copula: it wins where correlation moves, and not where it does not."""

from __future__ import annotations

import numpy as np
import pytest

from risk.calibration import Dependence
from risk.dependence.challenger import RACE_SCHEMA, correlation_path, dependence_race, path_log_density
from risk.dependence.copula import fit_dependence, log_density
from risk.dependence.dynamic import fit_dynamic


def race(values: np.ndarray) -> dict[str, dict[str, object]]:
    residuals = {f"A{i}": (np.arange(len(values)), values[:, i]) for i in range(values.shape[1])}
    rows = dependence_race(residuals, fit_dependence(residuals), seed=7)
    return {str(row[0]): dict(zip(RACE_SCHEMA, row, strict=True)) for row in rows}


def moving(n: int, seed: int) -> np.ndarray:
    """Normal pairs whose correlation swings between -.2 and .95 over 200 bars."""
    rng = np.random.default_rng(seed)
    rho = 0.375 + 0.575 * np.sin(np.arange(n) * 2 * np.pi / 200)
    x, y = rng.standard_normal((2, n))
    return np.column_stack([x, rho * x + np.sqrt(1 - rho**2) * y])


def test_moving_correlation_is_found() -> None:
    found = race(moving(1000, seed=1))
    assert str(found["dcc"]["verdict"]).startswith("better than the constant copula")
    assert (found["dcc"]["n_fitted"], found["dcc"]["n"]) == (666, 334)


def test_constant_correlation_stays() -> None:
    rng = np.random.default_rng(2)
    z = rng.standard_normal((1000, 3)) @ np.linalg.cholesky(0.4 * np.eye(3) + 0.6).T
    found = race(z / np.sqrt(rng.chisquare(5, (1000, 1)) / 5))
    assert not str(found["dcc"]["verdict"]).startswith("better")
    assert found["t_copula"]["verdict"] == "in force"
    assert found["independent"]["verdict"] == "worse than the constant copula"
    # The energy score sees that independence is wrong, too: same random numbers, fewer bars.
    assert float(found["t_copula"]["energy"]) < float(found["independent"]["energy"])


def test_no_forecast_sees_its_bar() -> None:
    values = moving(700, seed=3)
    fit = fit_dynamic(values[:500])
    path = correlation_path(values, fit, 500)
    changed = values.copy()
    changed[600:] *= 3.0
    np.testing.assert_array_equal(path[:601], correlation_path(changed, fit, 500)[:601])
    assert np.linalg.eigvalsh(path).min() > 0.0
    # The plain path ends where the compiled filter does.
    np.testing.assert_allclose(correlation_path(np.vstack([values[:500], [[0, 0]]]), fit, 500)[-1],
                               fit.next_correlation, atol=1e-10)  # fmt: skip


def test_density_along_a_path_is_that_of_the_copula() -> None:
    u = np.random.default_rng(4).random((50, 2))
    r = np.array([[1.0, 0.3], [0.3, 1.0]])
    np.testing.assert_allclose(path_log_density(u, np.tile(r, (50, 1, 1)), 5.0), log_density(u, r, 5.0), rtol=1e-12)


@pytest.mark.parametrize("n", [1, 400])
def test_too_little_is_said(n: int) -> None:
    values = np.random.default_rng(5).standard_normal((n, 2))
    residuals = {name: (np.arange(n), values[:, i]) for i, name in enumerate("ab")}
    rows = dependence_race(residuals, Dependence(("a", "b"), np.eye(2), 5.0, n, "ok"), seed=1)
    named = [dict(zip(RACE_SCHEMA, row, strict=True)) for row in rows]
    assert {row["verdict"] for row in named} == {"not compared"}
    assert f"{n} common bars" in named[0]["status"]
