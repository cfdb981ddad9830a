"""Parameter uncertainty of a GARCH fit by posterior draws (random-walk Metropolis, no delta method)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from risk.errors import DataError, RefusalError
from risk.volatility import kernel, search
from risk.volatility.coordinates import (
    SLOTS,
    hessian,
    natural_parameters,
    problem,
    unconstrained,
)
from risk.volatility.jit import compiled
from risk.volatility.kernel import Problem
from risk.volatility.models import (
    Array,
    FitResult,
    ParameterPrior,
    VolatilityModel,
    checked_returns,
    read_only,
)

_OMEGA_SD = 2.0
_STEP = 2.38  # over sqrt(dimension): Roberts, Gelman and Gilks (1997)


@dataclass(frozen=True, slots=True)
class PosteriorDraws:
    """Thinned draws of the parameters of one fit, and how well the chain mixed.

    Attributes
    ----------
    parameters : ndarray of shape (n_draws, 6)
        Natural parameters in the order of `risk.volatility.models.PARAMETER_NAMES`; read-only.
    next_variances : ndarray of shape (n_draws,)
        Forecast variance of the next bar, h[T + 1], under each draw; read-only.
    acceptance_rate : float
        Share of accepted steps after burn-in; .15 to .5 is healthy.
    effective_sample_size : float
        Smallest over the unconstrained parameters, of the whole chain after burn-in.
    n_iterations : int
        Steps after burn-in.
    """

    parameters: Array
    next_variances: Array
    acceptance_rate: float
    effective_sample_size: float
    n_iterations: int


def draw_posterior(
    fit: FitResult,
    returns: Array,
    *,
    generator: np.random.Generator,
    prior: ParameterPrior | None = None,
    n_draws: int = 50,
    n_iterations: int = 8000,
    burn_in: int = 2000,
) -> PosteriorDraws:
    """Draw from the posterior of the parameters of a garch_t or gjr_t fit.

    The chain starts at the fit. Its proposal is the inverse Hessian there, replaced three times during the
    burn-in by the covariance of the last stretch, because a mode at a boundary has no useful Hessian.

    Without a prior the draws use a neutral one, since a flat one would not integrate: uniform over the shares
    of persistence, uniform in 1 / nu, and log of the unconditional variance over the sample's ~ N(0, 2^2).

    Parameters
    ----------
    fit : FitResult
        A usable result of `returns`, fitted with the same `prior` and with its own presample convention.
    returns : ndarray of shape (n_observations,)
        Log returns per bar; finite.
    generator : numpy.random.Generator
    prior : ParameterPrior, optional
    n_draws : int
        Draws to keep, equally spaced.
    n_iterations, burn_in : int
        Chain steps kept for thinning, and before them.

    Raises
    ------
    DataError
        More draws asked for than steps, returns that are not finite or of another length than the fit's.
    RefusalError
        A fit without parameters, or of ewma_t, which has no posterior here.
    """
    sample = checked_returns(returns)
    if not fit.usable or fit.model is VolatilityModel.EWMA_T:
        raise RefusalError(
            f"there is no posterior for a fit of {fit.model} with status {fit.status}",
            remedy="use a longer window, or a model with free variance parameters",
        )
    if sample.size != fit.n_observations:
        raise DataError(f"the fit is of {fit.n_observations} returns", field="returns", value=str(sample.size))
    if not 1 <= n_draws <= n_iterations:
        raise DataError("draws are taken from the steps of the chain", field="n_draws", value=str(n_draws))
    stated = problem(fit.model, sample, prior=prior, presample=fit.presample)
    slots = np.array(SLOTS[fit.model])
    active = np.concatenate(([0], slots))
    start = unconstrained(np.append(fit.vector, fit.skew), stated)
    n_steps = burn_in + n_iterations
    normals = generator.standard_normal((n_steps, active.size))
    log_uniforms = np.log1p(-generator.random(n_steps))
    factor = _factor(_proposal_covariance(start, stated, active))
    scale = _STEP / math.sqrt(active.size)

    def run(x: Array, first: int, last: int, factor: Array) -> tuple[Array, float]:
        chain, accepted = _chain(
            stated, x, active, scale * factor, normals[first:last], log_uniforms[first:last], prior is None
        )
        return chain, accepted / max(last - first, 1)

    for first, last in pairwise((0, burn_in // 4, burn_in // 2, burn_in)):
        if last == first:
            continue
        seen, rate = run(start, first, last, factor)
        start = seen[-1]
        if rate < 0.1:
            # A chain that hardly moved has no covariance to learn from: take shorter steps.
            factor = 0.5 * factor
        elif last - first > 20 * active.size:
            factor = _factor(np.cov(seen[:, active].T) + 1e-8 * np.eye(active.size))
    chain, acceptance = run(start, burn_in, n_steps, factor)
    kept = chain[np.linspace(0, n_iterations, n_draws, endpoint=False, dtype=np.int64) + n_iterations // n_draws - 1]
    parameters = np.array([natural_parameters(x, stated)[:6] for x in kept])
    return PosteriorDraws(
        parameters=read_only(parameters),
        next_variances=read_only(np.array([_next_variance(x, stated) for x in kept])),
        acceptance_rate=acceptance,
        effective_sample_size=min(effective_sample_size(chain[:, i]) for i in active),
        n_iterations=n_iterations,
    )


def interval(draws: Array, level: float = 0.90) -> tuple[float, float]:
    """Equal-tailed interval from posterior draws.

    Uses the order statistics at (n + 1) p (Weibull positions), so that a further draw falls inside with
    probability `level` also when n is as small as 50.

    Parameters
    ----------
    draws : ndarray of shape (n_draws,)
        NaN makes both ends NaN.
    level : float
        Between 0 and 1.
    """
    low, high = np.quantile(draws, [(1.0 - level) / 2.0, (1.0 + level) / 2.0], method="weibull")
    return float(low), float(high)


def effective_sample_size(chain: Array) -> float:
    """Effective sample size of a chain (n,) by Geyer's (1992) initial positive sequence."""
    n = chain.size
    centred = chain - chain.mean()
    spectrum = np.fft.rfft(centred, 2 * n)
    covariance = np.fft.irfft(spectrum * np.conj(spectrum), 2 * n)[:n]
    if covariance[0] <= 0.0:
        return 1.0
    correlation = covariance / covariance[0]
    pairs = correlation[0 : n - 1 : 2] + correlation[1:n:2]
    negative = np.flatnonzero(pairs < 0.0)
    stop = negative[0] if negative.size else pairs.size
    return float(n / max(2.0 * pairs[:stop].sum() - 1.0, 1.0))


def _factor(covariance: NDArray[Any]) -> Array:
    factor: Array = np.linalg.cholesky(covariance.astype(np.float64))
    return factor


def _next_variance(x: Array, stated: Problem) -> float:
    theta = np.empty(kernel.SIZE)
    kernel.natural(x, stated.form, theta)
    h = np.empty(stated.y.size + 1)
    kernel.variances(stated.y, theta, stated.presample, stated.form, h)
    return float(h[-1] * stated.scale**2)


def _proposal_covariance(x: Array, stated: Problem, active: NDArray[np.int64]) -> Array:
    """Inverse Hessian at `x`; a flat direction is cut at variance 5, else every proposal would miss."""
    values, vectors = np.linalg.eigh(hessian(x, stated)[np.ix_(active, active)])
    covariance: Array = (vectors / np.maximum(values, 0.2)) @ vectors.T
    return covariance


@compiled
def _log_target(stated: Problem, x: Array, neutral: bool) -> float:
    theta = np.empty(kernel.SIZE)
    idle = np.zeros(kernel.SIZE)
    form = stated.form
    kernel.natural(x, form, theta)
    height = kernel.log_likelihood(stated.y, theta, stated.presample, form)
    value = height - search.penalty(x, stated.centre, stated.precision, idle)
    if neutral:
        persistence = 0.5 * (theta[2] + theta[3]) + theta[4]
        slack = 1.0 - persistence / form.bound
        # Jacobian of the softmax: the product of all shares.
        value += math.log(max(slack, 1e-300)) + math.log(max(theta[2], 1e-300)) + math.log(max(theta[4], 1e-300))
        if form.leverage:
            value += math.log(max(theta[3], 1e-300))
        value += math.log(theta[5] - kernel.NU_FLOOR) - 2.0 * math.log(theta[5])
        offset = x[1] - math.log(max(slack, 1e-300))
        value -= 0.5 * (offset / _OMEGA_SD) ** 2
    return value


@compiled
def _chain(
    stated: Problem,
    start: Array,
    active: Array,
    factor: Array,
    normals: Array,
    log_uniforms: Array,
    neutral: bool,
) -> tuple[Array, int]:
    n_steps = normals.shape[0]
    chain = np.empty((n_steps, kernel.SIZE))
    x = start.copy()
    trial = start.copy()
    value = _log_target(stated, x, neutral)
    accepted = 0
    for step in range(n_steps):
        for i in range(active.shape[0]):
            move = 0.0
            for j in range(i + 1):
                move += factor[i, j] * normals[step, j]
            trial[active[i]] = x[active[i]] + move
        # Beyond the cap nu no longer moves: the target ends there.
        if trial[5] < kernel.NU_LOG_CAP:
            trial_value = _log_target(stated, trial, neutral)
            if math.isfinite(trial_value) and log_uniforms[step] < trial_value - value:
                x[:] = trial
                value = trial_value
                accepted += 1
        chain[step] = x
    return chain, accepted
