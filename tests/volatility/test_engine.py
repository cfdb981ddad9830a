"""The compiled engine against a plain form, published values, arch, its own symmetries and simulated truth."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from risk.errors import DataError
from risk.volatility import kernel, plain, search
from risk.volatility.coordinates import UNCONSTRAINED_NAMES, problem
from risk.volatility.engine import filter_variances, fit_garch, refit_rolling
from risk.volatility.models import (
    PARAMETER_NAMES,
    FitStatus,
    ParameterPrior,
    Presample,
    VolatilityModel,
    fit,
)

Simulate = Callable[..., tuple[np.ndarray, float]]

MODELS = (VolatilityModel.GARCH_T, VolatilityModel.GJR_T)


@pytest.fixture(scope="module")
def series(simulate: Simulate) -> np.ndarray:
    return simulate(700, np.random.default_rng(11))[0]


def test_the_portable_series_is_the_published_one(garch_twin: np.ndarray) -> None:
    y = garch_twin
    # Sums of 1,500 terms: each rounds at 1e-16 of its size.
    assert y.sum() == pytest.approx(45.9978471174771, abs=1e-11)
    assert (y**2).sum() == pytest.approx(1503.38231453131, abs=1e-10)


def test_garch_t_reaches_the_published_optimum(garch_twin: np.ndarray) -> None:
    """fGarch 4022.89 on R 4.2.2: log-likelihood to the printed digits, coefficients to its own tolerance."""
    result = fit("garch_t", garch_twin, presample="mean")
    assert result.log_likelihood == pytest.approx(-2051.22144542, abs=1e-7)
    published = (0.0185667394, 0.0369984804, 0.0496026042, 0.0, 0.9135339669, 5.8999858392)
    # An optimum known to 1e-8 nats leaves a coefficient free by sqrt(2e-8) standard errors.
    errors = (0.02263317, 0.01706608, 0.01523502, 1.0, 0.02739127, 0.82899281)
    for got, value, error in zip(result.vector, published, errors, strict=True):
        assert abs(got - value) < 2e-4 * error
    assert result.status is FitStatus.CONVERGED
    assert result.n_starts == result.n_best_starts == 4


def test_bollerslev_ghysels_exchange_rate(shared: Path) -> None:
    """DM/GBP, n = 1974, `mean` presample, where the likelihood rises up to a persistence of 1 and beyond.

    An independent code held just under 1 finds -989.78775, fGarch, which lets alpha + beta reach 1.0091, -989.408349:
    ours at 1 lies between them, and at bounds of .9998 and .9999 on both sides of the former. The `ewma75`
    convention of arch gives another likelihood, which arch itself confirms.
    """
    from risk.volatility.reference import arch_log_likelihood, fit_with_arch

    with gzip.open(shared / "reference_data" / "dmbp.csv.gz", "rt") as handle:
        y = np.array([float(row[0]) for row in list(csv.reader(handle))[1:]])
    assert y.size == 1974
    result = fit("garch_t", y, presample="mean")
    assert -989.78775 < result.log_likelihood < -989.408349
    names, none = UNCONSTRAINED_NAMES[VolatilityModel.GARCH_T], np.zeros((4, 4))
    below, above = (
        fit("garch_t", y, presample="mean", prior=ParameterPrior(names, np.zeros(4), none, bound)).log_likelihood
        for bound in (0.9998, 0.9999)
    )
    assert below < -989.78775 < above
    assert result.boundary == ("persistence",)
    early = fit("garch_t", y)
    theirs = fit_with_arch("garch_t", y)
    assert arch_log_likelihood("garch_t", early.vector, y) == pytest.approx(early.log_likelihood, rel=1e-10)
    assert early.log_likelihood >= theirs.log_likelihood - 1e-6 * abs(theirs.log_likelihood)
    assert abs(early.log_likelihood - result.log_likelihood) > 0.1


@given(
    mu=st.floats(-0.3, 0.3),
    log_omega=st.floats(-6.0, 0.0),
    logits=st.tuples(*[st.floats(-3.0, 4.0)] * 3),
    log_nu=st.floats(-2.0, 5.0),
    leverage=st.booleans(),
    mean=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_kernel_agrees_with_the_plain_form(
    garch_twin: np.ndarray,
    mu: float,
    log_omega: float,
    logits: tuple[float, ...],
    log_nu: float,
    leverage: bool,
    mean: bool,
) -> None:
    """Likelihood, score and variances: two implementations and central differences."""
    y = garch_twin[:203]
    model = VolatilityModel.GJR_T if leverage else VolatilityModel.GARCH_T
    convention = Presample.MEAN if mean else Presample.EWMA75
    stated = problem(model, y, prior=None, presample=convention)
    assert stated.scale == pytest.approx(y.std(), rel=1e-12)
    x = np.array([mu, log_omega, *logits, log_nu])
    theta = np.empty(6)
    kernel.natural(x, leverage, 0.999, theta)
    parameters = np.array([theta[0], theta[1], theta[2], theta[3] - theta[2], theta[4], theta[5]])
    before = plain.presample_variance(stated.y, theta[0], convention)
    expected = plain.log_likelihood(parameters, stated.y, presample=before)
    assert kernel.log_likelihood(stated.y, theta, stated.presample) == pytest.approx(expected, rel=1e-10)
    h = np.empty(204)
    kernel.variances(stated.y, theta, stated.presample, h)
    np.testing.assert_allclose(h, plain.conditional_variances(parameters, stated.y, presample=before), rtol=1e-11)

    def height(point: np.ndarray) -> float:
        kernel.natural(point, leverage, 0.999, theta)
        return float(kernel.log_likelihood(stated.y, theta, stated.presample))

    gradient, work = np.empty(6), np.empty((2, 203))
    none = np.zeros((6, 6))
    search.objective(stated.y, x, stated.presample, leverage, 0.999, np.zeros(6), none, work, gradient)
    for i in range(6):
        step = np.zeros(6)
        step[i] = 1e-5
        slope = (height(x + step) - height(x - step)) / 2e-5
        # Rounding of a likelihood of ~1e3 over the step of 2e-5, and the third derivative.
        assert -gradient[i] == pytest.approx(slope, rel=1e-5, abs=1e-5 * (1 + abs(expected) / 100))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("presample", list(Presample))
@pytest.mark.parametrize("scale", [1e-6, 0.37, 1e4])
def test_scale_equivariance(series: np.ndarray, model: VolatilityModel, presample: Presample, scale: float) -> None:
    base = fit(model, series, presample=presample)
    scaled = fit(model, scale * series, presample=presample)
    factors = np.array([scale, scale**2, 1, 1, 1, 1])
    # Rounding of the division moves the stopping point within a Newton decrement of 1e-10.
    np.testing.assert_allclose(scaled.vector / factors, base.vector, rtol=1e-5, atol=1e-8)
    gain = scaled.log_likelihood + series.size * np.log(scale) - base.log_likelihood
    assert abs(gain) < 1e-10 * abs(base.log_likelihood)


@pytest.mark.parametrize("model", MODELS)
def test_arch_finds_no_better_optimum(simulate: Simulate, model: VolatilityModel) -> None:
    from risk.volatility.reference import arch_log_likelihood, fit_with_arch

    for seed in range(3):
        y, _ = simulate(500, np.random.default_rng(seed))
        for presample in Presample:
            ours = fit(model, y, presample=presample)
            theirs = fit_with_arch(model, y, presample=presample)
            seen = arch_log_likelihood(model, ours.vector, y, presample=presample)
            assert seen == pytest.approx(ours.log_likelihood, rel=1e-10)
            # arch optimises with the presample frozen at the sample mean: score both by one convention.
            best = arch_log_likelihood(model, theirs.vector, y, presample=presample)
            assert seen >= best - 1e-6 * abs(best)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_arch_finds_no_better_optimum_on_forty_series(model: VolatilityModel, simulate: Simulate) -> None:
    """Against arch's own start always; against the best of five arch starts on all but one short series at most."""
    from risk.volatility.reference import arch_log_likelihood, fit_with_arch

    short = []
    for seed in range(40):
        rng = np.random.default_rng(500 + seed)
        n = int(rng.choice([250, 500, 1000]))
        y, _ = simulate(n, rng, omega=10 ** rng.uniform(-6, -3), alpha=rng.uniform(0.02, 0.2), beta=0.78)
        seen = arch_log_likelihood(model, fit(model, y).vector, y)
        single, best = (fit_with_arch(model, y, n_starts=starts).log_likelihood for starts in (0, 4))
        assert seen >= single - 1e-6 * abs(single), seed
        if seen < best - 1e-6 * abs(best):
            short.append((seed, n, seen - best))
    print(f"{model}: short of the best of five arch starts: {short}")
    assert len(short) <= 1
    assert all(n == 250 and gap > -0.1 for _, n, gap in short)


def test_rolling_refits_equal_cold_fits(series: np.ndarray) -> None:
    for model in MODELS:
        origins = range(400, 701, 60)
        for origin, warm in zip(origins, refit_rolling(model, series, origins, window=400), strict=True):
            cold = fit_garch(model, series[origin - 400 : origin])
            assert warm.log_likelihood == pytest.approx(cold.log_likelihood, abs=1e-7)
            assert warm.last_variance == pytest.approx(cold.last_variance, rel=1e-4)
            assert warm.n_starts == (4 if origin == 400 else 5)


def test_filter_repeats_the_fit(series: np.ndarray) -> None:
    for presample in Presample:
        result = fit("gjr_t", series, presample=presample)
        h = filter_variances(result.vector, series, presample=presample)
        np.testing.assert_allclose(h[:-1], result.variances, rtol=1e-11)
        assert h[-1] == pytest.approx(result.last_variance, rel=1e-11)


def test_a_sharp_prior_decides_and_a_flat_one_does_not(series: np.ndarray) -> None:
    mean = np.array([-3.0, 1.5, 3.5, 0.7])
    names = UNCONSTRAINED_NAMES[VolatilityModel.GARCH_T]
    sharp = fit("garch_t", series, prior=ParameterPrior(names, mean, 1e8 * np.eye(4)))
    slack = 1 / (1 + np.exp(1.5) + np.exp(3.5))
    expected = (series.var() * np.exp(-3.0), np.exp(1.5) * slack, 0, np.exp(3.5) * slack, 2.05 + np.exp(0.7))
    # The likelihood pulls with some tens of nats per unit against a precision of 1e8.
    np.testing.assert_allclose(sharp.vector[1:], expected, rtol=1e-5)
    flat = fit("garch_t", series, prior=ParameterPrior(names, mean, 1e-12 * np.eye(4)))
    assert flat.log_likelihood == pytest.approx(fit("garch_t", series).log_likelihood, abs=1e-6)


def test_the_persistence_bound_holds() -> None:
    trend = np.exp(np.linspace(0, 3, 500)) * np.random.default_rng(3).standard_normal(500)
    for model in MODELS:
        k = len(UNCONSTRAINED_NAMES[model])
        prior = ParameterPrior(UNCONSTRAINED_NAMES[model], np.zeros(k), np.zeros((k, k)), 0.95)
        free, bound = fit(model, trend), fit(model, trend, prior=prior)
        assert free.persistence > 0.95 >= bound.persistence
        assert "persistence" in bound.boundary
        assert bound.status is FitStatus.BOUNDARY


def test_hostile_input(series: np.ndarray) -> None:
    for model in VolatilityModel:
        for bad in (np.nan, np.inf):
            broken = series.copy()
            broken[5] = bad
            with pytest.raises(DataError, match="position 5"):
                fit(model, broken)
        with pytest.raises(DataError, match="one series"):
            fit(model, series.reshape(2, -1))
        short = fit(model, series[:20])
        assert short.status is FitStatus.TOO_SHORT
        assert not short.usable
        assert fit(model, np.full(100, 0.01)).status is FitStatus.DEGENERATE
        assert fit(model, np.zeros(100)).status is FitStatus.DEGENERATE
    with pytest.raises(DataError, match="origin"):
        refit_rolling(VolatilityModel.GARCH_T, series, [100], window=200)
    with pytest.raises(DataError, match="other parameters"):
        fit("gjr_t", series, prior=ParameterPrior(("a",), np.zeros(1), np.eye(1)))
    with pytest.raises(ValueError, match="garch_n"):
        fit("garch_n", series)


def test_a_collapse_is_fitted_and_finite(simulate: Simulate) -> None:
    """Fourteen nats down in a week, as LUNA in May 2022, after a quiet year."""
    y = np.concatenate([simulate(365, np.random.default_rng(5))[0], [-0.8, -0.05, -3.3, -8.1, -1.9]])
    for model in VolatilityModel:
        result = fit(model, y)
        assert result.usable
        assert np.isfinite(result.log_likelihood)
        assert result.last_variance > 0.1
    flat = np.concatenate([y, np.zeros(400)])
    assert np.isfinite(fit("ewma_t", flat).log_likelihood)


def test_results_are_read_only(series: np.ndarray) -> None:
    result = fit("garch_t", series)
    with pytest.raises(ValueError, match="read-only"):
        result.variances[0] = 1.0
    with pytest.raises(TypeError):
        result.parameters["mu"] = 1.0  # type: ignore[index]
    assert tuple(result.parameters) == PARAMETER_NAMES


def test_ewma_recursion_and_nu(series: np.ndarray) -> None:
    result = fit("ewma_t", series, decay=0.97)
    h = result.variances
    np.testing.assert_allclose(h[1:], 0.97 * h[:-1] + 0.03 * series[:-1] ** 2, rtol=1e-12)
    best = plain.student_log_density(result.residuals, result.parameters["nu"]).sum()
    for nu in np.geomspace(2.06, 400, 300):
        assert plain.student_log_density(result.residuals, nu).sum() <= best + 1e-8
    with pytest.raises(DataError, match="decay"):
        fit("ewma_t", series, decay=1.0)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_simulate_and_recover(simulate: Simulate, model: VolatilityModel) -> None:
    """Mean estimate over 60 series of 4,000: within four standard errors of the truth plus 3 % of bias."""
    gamma = 0.06 if model is VolatilityModel.GJR_T else 0.0
    truth = np.array([0.0005, 3.2e-5, 0.06, gamma, 0.88, 5.0])
    found = np.array(
        [
            fit(
                model,
                simulate(4000, np.random.default_rng(k), mu=5e-4, alpha=0.06, gamma=gamma, beta=0.88)[0],
            ).vector
            for k in range(60)
        ]
    )
    error = found.std(axis=0, ddof=1) / np.sqrt(60)
    assert np.all(np.abs(found.mean(axis=0) - truth) <= 4 * error + 0.03 * np.abs(truth))
