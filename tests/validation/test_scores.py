"""Scores against published values, numerical integrals, and the property that makes them scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import stdtrit
from scipy.stats import norm
from scipy.stats import t as student

from risk.errors import DataError
from risk.validation.scores import (
    brier_score,
    crps_ensemble,
    crps_normal,
    crps_student,
    energy_score,
    fz0_score,
    log_score_normal,
    log_score_student,
    qlike,
    quantile_loss,
)
from tests.validation.series import portable


def one(value: float) -> np.ndarray:
    return np.array([value])


def test_published_values() -> None:
    """scoringrules 0.10.0, properscoring 0.1 and quadrature agree on these to the last digit or two."""
    assert crps_normal(one(0), 0, 1)[0] == pytest.approx((np.sqrt(2) - 1) / np.sqrt(np.pi), rel=1e-14)
    assert crps_normal(one(0), 0, 1)[0] == pytest.approx(0.23369497725510913, rel=1e-14)
    assert crps_normal(one(0.3), 0.1, 0.4)[0] == pytest.approx(0.1325614125019423, rel=1e-14)
    assert crps_student(one(0.5), 5.0)[0] == pytest.approx(0.34964534724615626, rel=1e-13)
    assert crps_student(one(-2), 3.0)[0] == pytest.approx(1.366922344396876, rel=1e-13)
    assert log_score_student(one(0.5), 5.0)[0] == pytest.approx(1.1149900815630203, rel=1e-14)
    members = np.array([[-1.2, -0.3, 0, 0.4, 0.5, 1.1, 2.0]])
    assert crps_ensemble(one(0.25), members)[0] == pytest.approx(0.22346938775510206, rel=1e-14)
    fair = crps_ensemble(one(0.25), members, estimator="fair")[0]
    assert fair == pytest.approx(0.1357142857142858, rel=1e-14)
    assert brier_score(np.array([False]), one(0.271))[0] == pytest.approx(0.073441, rel=1e-14)
    ensemble = np.array([[0, 0], [1, 1], [2, 0.5]])
    assert energy_score(np.array([[0.0, 1.0]]), ensemble)[0] == pytest.approx(0.8434286749438523, rel=1e-14)


@pytest.mark.parametrize(
    ("a", "value"), [(0.01, 0.00137125357166), (0.025, 0.00223120969188), (0.05, 0.00334549527742)]
)
def test_quantile_loss_of_the_portable_series(a: float, value: float) -> None:
    """Values of the R package GAS, to 12 digits."""
    losses, var, _, _ = portable(a)
    assert quantile_loss(losses, var, 1 - a).mean() == pytest.approx(value, rel=1e-11)


@given(y=st.floats(-5, 5), location=st.floats(-2, 2), scale=st.floats(0.1, 3), nu=st.floats(1.2, 60))
def test_crps_is_the_integral(y: float, location: float, scale: float, nu: float) -> None:
    """The definition, the integral of (F(x) - 1{x >= y})^2, which quadrature does to about 1e-8."""
    for found, law in (
        (crps_student(one(y), nu, location, scale)[0], student(nu, location, scale)),
        (crps_normal(one(y), location, scale)[0], norm(location, scale)),
    ):
        below, _ = quad(lambda x, law=law: law.cdf(x) ** 2, -np.inf, y)
        above, _ = quad(lambda x, law=law: law.sf(x) ** 2, y, np.inf)
        assert found == pytest.approx(below + above, rel=1e-5, abs=1e-7)


@given(
    members=st.lists(st.floats(-100, 100), min_size=2, max_size=12),
    y=st.floats(-100, 100),
)
def test_crps_of_an_ensemble(members: list[float], y: float) -> None:
    """The sum over all pairs; the fair one is the plain one with the pairs' weight m / (m - 1)."""
    x = np.array(members)
    m = len(x)
    error, pairs = np.abs(x - y).mean(), np.abs(x[:, None] - x).sum()
    assert crps_ensemble(one(y), x[None])[0] == pytest.approx(error - pairs / 2 / m**2, abs=1e-10)
    fair = crps_ensemble(one(y), x[None], estimator="fair")[0]
    assert fair == pytest.approx(error - pairs / 2 / (m * (m - 1)), abs=1e-10)
    # One member: the absolute error.
    assert crps_ensemble(one(y), x[None, :1])[0] == abs(x[0] - y)
    # The energy score in one dimension is the same thing.
    assert energy_score(one(y)[None], x[:, None])[0] == pytest.approx(error - pairs / 2 / m**2, abs=1e-10)


def test_scores_are_least_at_the_truth() -> None:
    """Propriety: over 200,000 t5 losses every move of a forecast by a tenth costs, by over three standard errors."""
    losses = np.random.default_rng(0).standard_t(5, 200_000)
    a = 0.025
    var = -stdtrit(5, a)
    # Closed form of the Student-t shortfall (McNeil et al. 2015, example 2.15).
    density = 0.3796066898224944 * (1 + var**2 / 5) ** -3
    es = density / a * (5 + var**2) / 4
    full = np.ones(losses.size)
    scores = {
        "log, scale": lambda k: log_score_student(losses, 5.0, 0.0, k),
        "log, location": lambda k: log_score_student(losses, 5.0, k - 1.0),
        "crps, scale": lambda k: crps_student(losses, 5.0, 0.0, k),
        "crps, location": lambda k: crps_student(losses, 5.0, k - 1.0),
        "quantile": lambda k: quantile_loss(losses, k * var * full, 1 - a),
        "fz0, es": lambda k: fz0_score(losses, var * full, k * es * full, 1 - a),
        "fz0, both": lambda k: fz0_score(losses, k * var * full, k * es * full, 1 - a),
        "qlike": lambda k: qlike(losses**2, k * full * 5 / 3),
        "brier": lambda k: brier_score(losses > 1.0, k * full * student.sf(1.0, 5)),
    }
    for name, score in scores.items():
        best = score(1.0)
        for factor in (0.9, 1.1):
            cost = score(factor) - best
            # t5 has heavy tails: the squares that qlike averages have no fourth moment, so one error will do there.
            errors = 1 if name == "qlike" else 3
            assert cost.mean() > errors * cost.std() / np.sqrt(cost.size), (name, factor)


def test_scores_and_units() -> None:
    rng = np.random.default_rng(1)
    losses, var = rng.standard_normal(50), rng.uniform(0.5, 2, 50)
    one_, two = (fz0_score(100 * losses, 100 * k * var, 130 * k * var, 0.99) for k in (1.0, 1.2))
    raw_one, raw_two = (fz0_score(losses, k * var, 1.3 * k * var, 0.99) for k in (1.0, 1.2))
    np.testing.assert_allclose(one_ - two, raw_one - raw_two, atol=1e-12)
    np.testing.assert_allclose(crps_normal(100 * losses, 0, 100 * var), 100 * crps_normal(losses, 0, var))
    np.testing.assert_allclose(
        log_score_normal(100 * losses, 0, 100 * var), log_score_normal(losses, 0, var) + np.log(100)
    )
    # Many degrees of freedom: the normal scores, to the order of 1 / nu.
    np.testing.assert_allclose(crps_student(losses, 1e7, 0, var), crps_normal(losses, 0, var), rtol=1e-5)
    np.testing.assert_allclose(log_score_student(losses, 1e7, 0, var), log_score_normal(losses, 0, var), rtol=1e-5)


def test_hostile_input() -> None:
    ones = np.ones(3)
    for bad, message in (
        (lambda: quantile_loss(np.array([1.0, np.nan, 1.0]), ones, 0.99), "finite"),
        (lambda: quantile_loss(ones, np.ones(2), 0.99), "one length"),
        (lambda: quantile_loss(ones, ones, 1.0), "confidence"),
        (lambda: fz0_score(ones, ones, -ones, 0.99), "positive"),
        (lambda: crps_student(ones, 1.0), "with a mean"),
        (lambda: crps_normal(ones, 0.0, 0.0), "scale is positive"),
        (lambda: log_score_normal(ones, 0.0, -ones), "scale is positive"),
        (lambda: crps_ensemble(ones, np.ones((3, 1)), estimator="fair"), "2 members"),
        (lambda: crps_ensemble(ones, np.ones((2, 4))), "row an outcome"),
        (lambda: qlike(ones, 0 * ones), "positive"),
        (lambda: qlike(-ones, ones), "positive"),
        (lambda: brier_score(ones > 0, 1.1 * ones), "between 0 and 1"),
        (lambda: brier_score(ones > 0, np.nan * ones), "between 0 and 1"),
    ):
        with pytest.raises(DataError, match=message):
            bad()
