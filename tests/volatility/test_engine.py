"""The compiled engine against a plain form, published values, arch, its own symmetries and simulated truth."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from risk.errors import DataError, RefusalError
from risk.volatility import density, kernel, plain, search
from risk.volatility.coordinates import FORMS, UNCONSTRAINED_NAMES, problem
from risk.volatility.engine import filter_variances, fit_batch, fit_garch, refit_rolling
from risk.volatility.innovations import Innovations
from risk.volatility.models import (
    PARAMETER_NAMES,
    FitStatus,
    ParameterPrior,
    Presample,
    VolatilityModel,
    fit,
)
from risk.volatility.standard_errors import CovarianceKind, observation_scores, parameter_covariance

Simulate = Callable[..., tuple[np.ndarray, float]]

MODELS = (VolatilityModel.GARCH_T, VolatilityModel.GJR_T)
KERNEL_MODELS = tuple(FORMS)


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


@pytest.fixture(scope="module")
def exchange_rate(shared: Path) -> np.ndarray:
    """Daily DM/GBP returns of Bollerslev and Ghysels in percent, n = 1974."""
    with gzip.open(shared / "reference_data" / "dmbp.csv.gz", "rt") as handle:
        return np.array([float(row[0]) for row in list(csv.reader(handle))[1:]])


@pytest.mark.data
def test_the_benchmark_of_fiorentini_calzolari_and_panattoni(exchange_rate: np.ndarray) -> None:
    """Journal of Applied Econometrics 11 (1996): coefficients and three kinds of standard errors, `mean` presample.

    Six digits are printed: half a unit of the last one is up to 5e-6 of an entry, twice that with the benchmark's own
    rounding. An independent code finds the log-likelihood -1106.6078810413, fGarch 4022.89 -1106.607881.
    """
    result = fit("garch_normal", exchange_rate, presample="mean")
    assert result.log_likelihood == pytest.approx(-1106.6078810413, abs=1e-8)
    np.testing.assert_allclose(result.vector[[0, 1, 2, 4]], (-0.00619041, 0.0107613, 0.153134, 0.805974), rtol=1.1e-5)
    published = {
        CovarianceKind.HESSIAN: (0.00846212, 0.00285271, 0.0265228, 0.0335527),
        CovarianceKind.OPG: (0.00843359, 0.00132298, 0.0139737, 0.0165604),
        CovarianceKind.SANDWICH: (0.00918935, 0.00649319, 0.0535317, 0.0724614),
    }
    for kind, errors in published.items():
        found = parameter_covariance(result, exchange_rate, kind=kind)
        assert found.names == ("mu", "omega", "alpha", "beta")
        np.testing.assert_allclose(found.standard_errors, errors, rtol=1.1e-5)


@pytest.mark.data
def test_the_presample_of_arch_is_another_benchmark(exchange_rate: np.ndarray) -> None:
    """arch 8.0.0 by default on the same series: mu -.00608, omega .00992, alpha .1455, beta .8168, -1104.5214."""
    result = fit("garch_normal", exchange_rate, presample="ewma75")
    assert result.log_likelihood == pytest.approx(-1104.5214, abs=1e-4)
    np.testing.assert_allclose(result.vector[[0, 1, 2, 4]], (-0.00608, 0.00992, 0.1455, 0.8168), atol=6e-5)


def test_the_portable_series_with_normal_innovations(garch_twin: np.ndarray) -> None:
    """fGarch 4022.89, normal quasi-likelihood: value, coefficients and errors from the Hessian."""
    result = fit("garch_normal", garch_twin, presample="mean")
    assert result.log_likelihood == pytest.approx(-2106.71747754, abs=1e-7)
    published = np.array([0.0152936959, 0.0357773233, 0.0394237452, 0.9247444760])
    errors = np.array([0.02479503, 0.01810162, 0.01277498, 0.02783638])
    assert np.all(np.abs(result.vector[[0, 1, 2, 4]] - published) < 2e-4 * errors)
    found = parameter_covariance(result, garch_twin, kind="hessian").standard_errors
    np.testing.assert_allclose(found, errors, rtol=FGARCH_ERRORS)


FGARCH_ERRORS = 0.075
"""fGarch differences the likelihood twice with steps of some thousandths of a parameter. The likelihood bends so much
that steps of .001 and .003 give errors of omega 2 and 12 % low; ours agree with the limit (test below)."""


def test_standard_errors_of_the_portable_series(garch_twin: np.ndarray) -> None:
    """fGarch 4022.89, Student-t; and second differences of the plain likelihood at a step that has settled."""
    result = fit("garch_t", garch_twin, presample="mean")
    found = parameter_covariance(result, garch_twin, kind="hessian")
    assert found.names == ("mu", "omega", "alpha", "beta", "nu")
    published = (0.02263317, 0.01706608, 0.01523502, 0.02739127, 0.82899281)
    np.testing.assert_allclose(found.standard_errors, published, rtol=FGARCH_ERRORS)
    np.testing.assert_allclose(found.standard_errors[[0, 4]], (published[0], published[4]), rtol=1e-3)
    assert found.condition > 1.0
    free = [0, 1, 2, 4, 5]

    def height(values: np.ndarray) -> float:
        parameters = result.vector
        parameters[free] = values
        before = plain.presample_variance(garch_twin, parameters[0], Presample.MEAN)
        return plain.log_likelihood(parameters, garch_twin, presample=before)

    at = result.vector[free]
    steps = 2e-4 * np.diag(np.abs(at))
    curvature = np.empty((5, 5))
    for i, j in product(range(5), repeat=2):
        corners = [a * b * height(at + a * steps[i] + b * steps[j]) for a, b in product((1, -1), repeat=2)]
        curvature[i, j] = sum(corners) / (4 * steps[i, i] * steps[j, j])
    # Errors of second differences: some 1e-3 from the step (it shrinks with its square), as much from rounding.
    np.testing.assert_allclose(found.standard_errors, np.sqrt(np.diag(np.linalg.inv(-curvature))), rtol=3e-3)


@pytest.mark.parametrize("model", [m for m in KERNEL_MODELS if m is not VolatilityModel.GARCH_NORMAL])
def test_standard_errors_scale_with_the_returns(series: np.ndarray, model: VolatilityModel) -> None:
    result = fit(model, series)
    if result.status is not FitStatus.CONVERGED:
        with pytest.raises(RefusalError, match="no standard errors"):
            parameter_covariance(result, series)
        return
    wide = fit(model, 100.0 * series)
    for kind in CovarianceKind:
        small, large = (parameter_covariance(f, y, kind=kind) for f, y in ((result, series), (wide, 100.0 * series)))
        units = np.array([{"mu": 100.0, "omega": 1e4}.get(name, 1.0) for name in small.names])
        np.testing.assert_allclose(large.standard_errors, units * small.standard_errors, rtol=1e-4)


def test_no_standard_errors_where_there_is_no_interior_optimum(series: np.ndarray) -> None:
    with pytest.raises(RefusalError, match="too_short"):
        parameter_covariance(fit("garch_t", series[:20]), series[:20])
    with pytest.raises(RefusalError, match="ewma_t"):
        parameter_covariance(fit("ewma_t", series), series)
    result = fit("gjr_t", series)
    if result.status is FitStatus.CONVERGED:
        with pytest.raises(DataError, match="700 returns"):
            parameter_covariance(result, series[1:])


@pytest.mark.data
def test_bollerslev_ghysels_exchange_rate(exchange_rate: np.ndarray) -> None:
    """DM/GBP, n = 1974, `mean` presample, where the likelihood rises up to a persistence of 1 and beyond.

    An independent code held just under 1 finds -989.78775, fGarch, which lets alpha + beta reach 1.0091, -989.408349:
    ours at 1 lies between them, and at bounds of .9998 and .9999 on both sides of the former. The `ewma75`
    convention of arch gives another likelihood, which arch itself confirms.
    """
    from risk.volatility.reference import arch_log_likelihood, fit_with_arch

    y = exchange_rate
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
    skew=st.floats(-0.9, 0.9),
    model=st.sampled_from(KERNEL_MODELS),
    mean=st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_kernel_agrees_with_the_plain_form(
    garch_twin: np.ndarray,
    mu: float,
    log_omega: float,
    logits: tuple[float, ...],
    log_nu: float,
    skew: float,
    model: VolatilityModel,
    mean: bool,
) -> None:
    """Likelihood, score and variances: two implementations and central differences."""
    y = garch_twin[:203]
    convention = Presample.MEAN if mean else Presample.EWMA75
    stated = problem(model, y, prior=None, presample=convention)
    form = stated.form._replace(bound=0.999)
    stated = stated._replace(form=form)
    assert stated.scale == pytest.approx(y.std(), rel=1e-12)
    if form.innovations != density.SKEWED:
        skew = 0.0
    if form.innovations == density.NORMAL:
        log_nu = kernel.NU_LOG_CAP
    x = np.array([mu, log_omega, *logits, log_nu, skew])
    theta = np.empty(7)
    kernel.natural(x, form, theta)
    nu = np.inf if form.innovations == density.NORMAL else theta[5]
    parameters = np.array([theta[0], theta[1], theta[2], theta[3] - theta[2], theta[4], nu, theta[6]])
    before = plain.presample_variance(stated.y, theta[0], convention)
    expected = plain.log_likelihood(parameters, stated.y, presample=before, score_driven=form.score_driven)
    assert kernel.log_likelihood(stated.y, theta, stated.presample, form) == pytest.approx(expected, rel=1e-10)
    h = np.empty(204)
    kernel.variances(stated.y, theta, stated.presample, form, h)
    slow = plain.conditional_variances(parameters, stated.y, presample=before, score_driven=form.score_driven)
    np.testing.assert_allclose(h, slow, rtol=1e-11)

    def height(point: np.ndarray) -> float:
        kernel.natural(point, form, theta)
        return float(kernel.log_likelihood(stated.y, theta, stated.presample, form))

    gradient, work = np.empty(7), np.empty((2, 203))
    search.objective(stated, x, work, gradient)
    rates = observation_scores(theta.copy(), stated)
    raw = np.empty(7)
    kernel.score(stated.y, theta, stated.presample, form, work[0], work[1], raw)
    free = [0, 1, 2, 3, 4] + [5] * (form.innovations != density.NORMAL) + [6] * (form.innovations == density.SKEWED)
    # Slopes of the log density in nu and lambda are differences with steps of 1e-5: their error is of second order.
    np.testing.assert_allclose(rates.sum(axis=0)[free], raw[free], rtol=1e-5, atol=1e-5 * np.abs(raw).max())
    # At a skewed density's kink the slope jumps: a bar that crosses it within the step moves the difference.
    loose = 20.0 if form.innovations == density.SKEWED else 1.0
    for i in range(7):
        step = np.zeros(7)
        step[i] = 1e-5
        slope = (height(x + step) - height(x - step)) / 2e-5
        # Rounding of a likelihood of ~1e3 over the step of 2e-5, and the third derivative.
        if i < 6 or form.innovations == density.SKEWED:
            assert -gradient[i] == pytest.approx(slope, rel=1e-5 * loose, abs=1e-5 * loose * (1 + abs(expected) / 100))


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


ARCH_MODELS = [m for m in KERNEL_MODELS if m is not VolatilityModel.SCORE_T]


@pytest.mark.parametrize("model", ARCH_MODELS)
def test_arch_finds_no_better_optimum(simulate: Simulate, model: VolatilityModel) -> None:
    from risk.volatility.reference import arch_log_likelihood, fit_with_arch

    for seed in range(3):
        y, _ = simulate(500, np.random.default_rng(seed))
        for presample in Presample:
            ours = fit(model, y, presample=presample)
            theirs = fit_with_arch(model, y, presample=presample)
            seen = arch_log_likelihood(model, np.append(ours.vector, ours.skew), y, presample=presample)
            assert seen == pytest.approx(ours.log_likelihood, rel=1e-10)
            # arch optimises with the presample frozen at the sample mean: score both by one convention.
            best = arch_log_likelihood(model, np.append(theirs.vector, theirs.skew), y, presample=presample)
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
        assert fit(model, np.full(250, 0.01)).status is FitStatus.DEGENERATE
        assert fit(model, np.zeros(250)).status is FitStatus.DEGENERATE
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
        # A constant variance averages the collapse over the quiet year.
        assert result.last_variance > (0.01 if model is VolatilityModel.CONSTANT_T else 0.1)
    flat = np.concatenate([y, np.zeros(400)])
    assert np.isfinite(fit("ewma_t", flat).log_likelihood)


@pytest.mark.parametrize("model", list(VolatilityModel))
def test_an_asset_that_stops_trading_has_a_typed_end(series: np.ndarray, model: VolatilityModel) -> None:
    """A year of zeros after two of trade: whatever is fitted is finite and positive, or the status says it is not."""
    result = fit(model, np.concatenate([series, np.zeros(365)]))
    assert result.status in (FitStatus.CONVERGED, FitStatus.BOUNDARY, FitStatus.NOT_CONVERGED)
    if result.status is not FitStatus.NOT_CONVERGED:
        assert np.isfinite(result.log_likelihood)
        assert np.isfinite(result.variances).all()
        # One variance for trade and standstill has a tail so heavy (nu at its edge) that it exceeds the sample's.
        assert 0.0 < result.last_variance < series.var() * (10.0 if model is VolatilityModel.CONSTANT_T else 1.0)
    # Two observations, and one giant jump in an otherwise quiet year.
    assert fit(model, series[:2]).status is FitStatus.TOO_SHORT
    jump = 1e-3 * series[:365]
    jump[200] = 12.0
    wild = fit(model, jump)
    assert wild.usable
    assert np.isfinite(wild.last_variance) or wild.status is FitStatus.NOT_CONVERGED


@pytest.mark.parametrize("model", [VolatilityModel.GJR_T, VolatilityModel.GJR_SKEWT])
def test_a_batch_on_threads_equals_one_by_one(simulate: Simulate, model: VolatilityModel) -> None:
    samples = [simulate(int(n), np.random.default_rng(n))[0] for n in (20, 120, 250, 251, 400, 500)]
    serial = fit_batch(model, samples)
    with ThreadPoolExecutor(3) as threads:
        parallel = fit_batch(model, samples, executor=threads)
    assert len(serial) == len(parallel) == len(samples)
    for one, other, sample in zip(serial, parallel, samples, strict=True):
        assert one.status is other.status
        assert dict(one.parameters) == dict(other.parameters) == dict(fit(model, sample).parameters)
        assert (one.variances == other.variances).all()
    assert serial[0].status is FitStatus.TOO_SHORT
    with pytest.raises(DataError, match="not finite"):
        fit_batch(model, [*samples, np.full(100, np.nan)])


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
@pytest.mark.parametrize("model", [VolatilityModel.GJR_SKEWT, VolatilityModel.SCORE_T])
def test_simulate_and_recover_the_other_forms(model: VolatilityModel) -> None:
    """As above, for skewed innovations and for the score-driven variance, simulated by their definitions."""
    driven = model is VolatilityModel.SCORE_T
    truth = np.array([0.0005, 3.2e-5, 0.06, 0.0 if driven else 0.06, 0.88, 6.0, 0.0 if driven else -0.2])
    mu, omega, alpha, gamma, beta, nu, skew = truth
    law = Innovations(nu, skew)

    def path(seed: int) -> np.ndarray:
        z = law.quantile(np.random.default_rng(seed).random(4500))
        e, h = np.empty(4500), omega / (1 - alpha - gamma / 2 - beta)
        for t in range(4500):
            e[t] = np.sqrt(h) * z[t]
            weight = (nu + 1) / (nu - 2 + z[t] ** 2) if driven else 1.0
            h = omega + (alpha + gamma * (e[t] < 0)) * weight * e[t] ** 2 + beta * h
        return mu + e[500:]

    fits = [fit(model, path(k)) for k in range(40)]
    assert all(f.usable and f.status is not FitStatus.NOT_CONVERGED for f in fits)
    found = np.array([np.append(f.vector, f.skew) for f in fits])
    error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    assert np.all(np.abs(found.mean(axis=0) - truth) <= 4 * error + 0.03 * np.abs(truth))


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
