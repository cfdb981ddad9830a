"""The generalised Pareto tail against published fits, limits, simulated truth and hostile input."""

from __future__ import annotations

import csv
import gzip
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from risk.errors import DataError, RefusalError
from risk.tails.extreme_value import (
    TailFit,
    TailPrior,
    TailStatus,
    exceedance_count,
    fit_tail,
    tail_draws,
    tail_expected_shortfall,
    tail_quantile,
    weighted_moments,
)


def column(path: Path) -> np.ndarray:
    with gzip.open(path, "rt") as handle:
        rows = list(csv.reader(handle))[1:]
    return np.array([float(row[-1]) for row in rows])


@pytest.fixture(scope="module")
def danish(shared: Path) -> np.ndarray:
    return column(shared / "reference_data" / "danish_fire.csv.gz")


def pareto(rng: np.random.Generator, n: int, xi: float, beta: float) -> np.ndarray:
    u = rng.random(n)
    return beta * np.expm1(-xi * np.log(u)) / xi if abs(xi) > 1e-12 else -beta * np.log(u)


@pytest.mark.parametrize(
    ("threshold", "n", "xi", "beta", "errors", "nll"),
    [
        (10, 109, 0.4969858, 6.9754680, (0.13628381, 1.11349051), 374.8929902),
        (20, 36, 0.6841522, 9.6351332, (0.27507382, 2.89762275), 142.1844577),
    ],
)
def test_danish_fire(
    danish: np.ndarray, threshold: float, n: int, xi: float, beta: float, errors: tuple[float, float], nll: float
) -> None:
    """McNeil (1997): tightly converged maximum likelihood, which R's evd 2.3 confirms to five digits."""
    fit = fit_tail(danish, threshold=threshold)
    assert (fit.n_exceedances, fit.n_observations) == (n, 2167)
    # Half a unit of the last printed digit is 1e-7 relative.
    assert fit.xi == pytest.approx(xi, rel=1e-6)
    assert fit.beta == pytest.approx(beta, rel=1e-6)
    assert (fit.xi_error, fit.beta_error) == pytest.approx(errors, rel=1e-6)
    assert fit.log_likelihood == pytest.approx(-nll, rel=1e-9)


def test_danish_fire_quantiles_and_shortfalls(danish: np.ndarray) -> None:
    for threshold, values in (
        (10, ((0.99, 27.2900, 58.2401), (0.995, 40.173, 83.8517), (0.999, 94.3394, 191.5353))),
        (20, ((0.99, 25.8474, 69.0188), (0.999, 102.2273, 310.8440))),
    ):
        fit = fit_tail(danish, threshold=threshold)
        for confidence, quantile, shortfall in values:
            # The printed values carry four decimals (one carries three).
            assert tail_quantile(fit, confidence) == pytest.approx(quantile, abs=5.1e-4)
            assert tail_expected_shortfall(fit, confidence) == pytest.approx(shortfall, abs=5.1e-4)


def test_danish_fire_moments(danish: np.ndarray) -> None:
    xi, beta = weighted_moments(danish[danish > 10] - 10)
    assert xi == pytest.approx(0.50980936, abs=5e-9)
    assert beta == pytest.approx(6.90275, abs=5e-6)


@pytest.mark.parametrize(
    ("name", "threshold", "n", "xi", "beta"),
    [("bmw", 0.03, 136, 0.1428153, 0.0125626), ("siemens", 0.025, 124, 0.3867479, 0.0071084)],
)
def test_share_returns(shared: Path, name: str, threshold: float, n: int, xi: float, beta: float) -> None:
    returns = column(shared / "reference_data" / f"{name}_returns.csv.gz")
    fit = fit_tail(-returns, threshold=threshold)
    assert fit.n_exceedances == n
    # Half a unit of the last printed digit of beta is 7e-6 relative.
    assert fit.xi == pytest.approx(xi, rel=1e-6)
    assert fit.beta == pytest.approx(beta, abs=5.1e-8)


@given(scale=st.floats(1e-6, 1e6), seed=st.integers(0, 1000), xi=st.floats(-0.3, 0.9))
@example(scale=1.0, seed=343, xi=-0.25)
@settings(max_examples=30, deadline=None)
def test_scale_equivariance_and_optimality(scale: float, seed: int, xi: float) -> None:
    losses = pareto(np.random.default_rng(seed), 400, xi, 1.0)
    base, scaled = fit_tail(losses), fit_tail(scale * losses)
    assert scaled.xi == pytest.approx(base.xi, abs=1e-7)
    assert scaled.beta == pytest.approx(scale * base.beta, rel=1e-7)
    z = losses[losses > base.threshold] - base.threshold
    for dx, db in ((1e-3, 0), (-1e-3, 0), (0, 1e-3), (0, -1e-3), (0.05, 0.05), (-0.05, 0.05)):
        x, b = base.xi + dx, base.beta * (1 + db)
        if x < -0.5:  # outside the range in which a maximum is sought
            continue
        with np.errstate(invalid="ignore", divide="ignore"):
            height = -z.size * math.log(b) - (1 + 1 / x) * np.log(1 + x * z / b).sum()
        assert not height > base.log_likelihood + 1e-9


def test_quantile_and_shortfall_agree_with_each_other() -> None:
    """ES is the mean of the quantiles beyond it; the exponential limit is continuous."""
    for xi in (-0.2, 0.0, 1e-7, 0.3, 0.7):
        fit = TailFit(2.0, xi, 0.5, 0.1, 0.1, 100, 1000, 0.0, TailStatus.LIKELIHOOD, None)
        # Midpoints in p = 1 - (1 - c) v^3 tame the singularity at v = 0.
        v = (np.arange(5000) + 0.5) / 5000
        quantiles = np.array([tail_quantile(fit, 1 - 0.01 * x**3) for x in v])
        assert np.mean(quantiles * 3 * v**2) == pytest.approx(tail_expected_shortfall(fit, 0.99), rel=1e-4)
    near, limit = (TailFit(2.0, xi, 0.5, 0.1, 0.1, 100, 1000, 0.0, TailStatus.LIKELIHOOD, None) for xi in (2e-6, 0.0))
    assert tail_quantile(near, 0.999) == pytest.approx(tail_quantile(limit, 0.999), rel=1e-5)


def test_prior_shrinks_and_its_limits() -> None:
    losses = pareto(np.random.default_rng(3), 500, 0.6, 1.0)
    free = fit_tail(losses)
    assert fit_tail(losses, prior=TailPrior(0.1, 1e4)).xi == pytest.approx(free.xi, abs=1e-5)
    assert fit_tail(losses, prior=TailPrior(0.1, 1e-5)).xi == pytest.approx(0.1, abs=1e-5)
    shrunk = fit_tail(losses, prior=TailPrior(0.1, 0.1))
    assert 0.1 < shrunk.xi < free.xi
    assert shrunk.xi_error < min(free.xi_error, 0.1)


def test_how_many_losses_make_a_tail() -> None:
    assert [exceedance_count(n) for n in (5000, 500, 250, 120)] == [
        (500, False),
        (50, False),
        (50, False),
        (30, True),
    ]
    rng = np.random.default_rng(0)
    assert fit_tail(rng.standard_exponential(120)).status is TailStatus.SMALL_SAMPLE
    assert fit_tail(rng.standard_exponential(80)).status is TailStatus.MOMENTS
    assert fit_tail(rng.standard_exponential(400)).status is TailStatus.LIKELIHOOD


def test_refusals() -> None:
    losses = pareto(np.random.default_rng(1), 400, 0.2, 1.0)
    with pytest.raises(DataError, match="finite"):
        fit_tail(np.append(losses, np.nan))
    with pytest.raises(RefusalError, match="has 5"):
        fit_tail(losses[:20])
    with pytest.raises(RefusalError, match="has 0"):
        fit_tail(np.zeros(400))
    with pytest.raises(RefusalError, match="has 0"):
        fit_tail(np.empty(0))
    heavy = TailFit(1.0, 1.0, 1.0, 0.1, 0.1, 50, 500, 0.0, TailStatus.LIKELIHOOD, None)
    with pytest.raises(RefusalError, match="infinite"):
        tail_expected_shortfall(heavy, 0.99)
    assert math.isfinite(tail_quantile(heavy, 0.99))
    for confidence in (0.5, 1.0):
        with pytest.raises(RefusalError, match="speaks from"):
            tail_quantile(heavy, confidence)


def test_draws_have_the_spread_of_the_observed_information() -> None:
    fit = fit_tail(pareto(np.random.default_rng(8), 3000, 0.25, 2.0))
    draws = tail_draws(fit, np.random.default_rng(5), 400)
    np.testing.assert_array_equal(draws, tail_draws(fit, np.random.default_rng(5), 400))
    # Four standard errors of a mean and of a standard deviation over 400 draws, plus 10 % of curvature.
    assert draws[:, 0].mean() == pytest.approx(fit.xi, abs=4 * fit.xi_error / 20 + 0.1 * fit.xi_error)
    assert draws[:, 0].std() == pytest.approx(fit.xi_error, rel=4 / np.sqrt(800) + 0.1)


@pytest.mark.slow
def test_simulate_and_recover() -> None:
    """Over 300 samples the true xi lies within two standard errors in 95 %, give or take four of its own."""
    for xi in (0.0, 0.3, 0.6):
        rng = np.random.default_rng(int(10 * xi))
        fits = [fit_tail(pareto(rng, 2000, xi, 1.0)) for _ in range(300)]
        inside = np.mean([abs(f.xi - xi) < 1.96 * f.xi_error for f in fits])
        # Observed-information intervals of 200 exceedances run two points short at most.
        assert 0.95 - 0.02 - 4 * np.sqrt(0.05 * 0.95 / 300) < inside
