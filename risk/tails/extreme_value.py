"""Peaks over a threshold: the generalised Pareto distribution of the largest losses.

Losses are positive numbers to be feared (minus a return, or a standardised residual with its sign turned). The
excess z over the threshold u has P(Z > z) = (1 + xi z / beta)^(-1 / xi). Source of the formulas: McNeil, Frey
and Embrechts (2015), Quantitative Risk Management, section 5.2; Grimshaw (1993) for the profile likelihood.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from risk.errors import DataError, RefusalError
from risk.tails.penalised import penalised_mode

Array = NDArray[np.float64]

MINIMUM_EXCEEDANCES = 10
MOMENTS_BELOW = 30
"""With fewer exceedances the likelihood is unreliable and probability-weighted moments are used."""

_XI_LOWEST = -0.5  # below it the likelihood has no regular maximum (Smith 1985)
_XI_ZERO = 1e-6  # nearer to zero the exponential limit stands in


class TailStatus(StrEnum):
    """How a tail was fitted: by likelihood on the usual share, on fewer losses than usual, or by moments."""

    LIKELIHOOD = "likelihood"
    SMALL_SAMPLE = "small_sample"
    MOMENTS = "moments"


@dataclass(frozen=True, slots=True)
class TailPrior:
    """Pooled Gaussian prior of the tail index xi."""

    mean: float
    sd: float


@dataclass(frozen=True, slots=True)
class TailFit:
    """A fitted tail.

    Attributes
    ----------
    threshold : float
        Loss u beyond which the distribution holds; unit of the losses.
    xi, beta : float
        Tail index and scale (unit of the losses); with a prior, the posterior mode.
    xi_error, beta_error : float
        Standard errors from the observed information (with a prior, its precision added); NaN where that is
        not positive.
    n_exceedances, n_observations : int
    log_likelihood : float
        Of the excesses, in nats, without the prior.
    status : TailStatus
    prior : TailPrior, optional
    """

    threshold: float
    xi: float
    beta: float
    xi_error: float
    beta_error: float
    n_exceedances: int
    n_observations: int
    log_likelihood: float
    status: TailStatus
    prior: TailPrior | None


def exceedance_count(n_observations: int) -> tuple[int, bool]:
    """Losses to take as the tail: max(50, 10 %), at most a quarter; and whether the quarter was what bound."""
    usual = max(50, math.ceil(0.1 * n_observations))
    return min(usual, n_observations // 4), usual > n_observations // 4


def fit_tail(losses: Array, *, threshold: float | None = None, prior: TailPrior | None = None) -> TailFit:
    """Fit the generalised Pareto distribution to the losses beyond a threshold.

    Parameters
    ----------
    losses : ndarray of shape (n_observations,)
        Finite; the whole sample, not only the tail.
    threshold : float, optional
        By default the (k + 1)-th largest loss, k from `exceedance_count`.
    prior : TailPrior, optional
        Shrinks xi towards the pool: the result is the posterior mode, with a flat prior on log beta.

    Raises
    ------
    DataError
        NaN or infinity, or not one series.
    RefusalError
        Fewer than 10 losses beyond the threshold, or beyond it losses that do not vary.
    """
    sample = np.asarray(losses, dtype=np.float64)
    if sample.ndim != 1 or not np.all(np.isfinite(sample)):
        raise DataError("losses must be one finite series", field="losses", value=f"shape {sample.shape}")
    small = False
    if threshold is None:
        k, small = exceedance_count(sample.size)
        threshold = float(np.partition(sample, -k - 1)[-k - 1]) if k else math.inf
    excesses = sample[sample > threshold] - threshold
    n = excesses.size
    if n < MINIMUM_EXCEEDANCES or np.ptp(excesses) <= 1e-12 * excesses.max():
        raise RefusalError(
            f"a tail needs {MINIMUM_EXCEEDANCES} different losses beyond its threshold and has {n}",
            field="losses",
            remedy="use a longer window or the pooled tail",
        )
    # Unit mean: the search is then the same for every asset.
    unit = float(excesses.mean())
    z = excesses / unit
    if n < MOMENTS_BELOW:
        xi, scale = weighted_moments(z)
        status = TailStatus.MOMENTS
    else:
        xi, scale = _maximum_likelihood(z)
        status = TailStatus.SMALL_SAMPLE if small else TailStatus.LIKELIHOOD
    if prior is not None:
        xi, scale = _posterior_mode(z, xi, scale, prior)
    information = _information(z, xi, scale)
    if prior is not None:
        information[0, 0] += prior.sd**-2
    errors = _standard_errors(information)
    return TailFit(
        threshold=threshold,
        xi=xi,
        beta=scale * unit,
        xi_error=errors[0],
        beta_error=errors[1] * unit,
        n_exceedances=n,
        n_observations=sample.size,
        log_likelihood=_height(z, xi, scale) - n * math.log(unit),
        status=status,
        prior=prior,
    )


def tail_probability_floor(fit: TailFit) -> float:
    """Smallest confidence at which the tail speaks: the share of losses at or below its threshold."""
    return 1.0 - fit.n_exceedances / fit.n_observations


def tail_quantile(fit: TailFit, confidence: float) -> float:
    """Loss that is exceeded with probability 1 - confidence (McNeil et al. 2015, equation 5.18).

    Raises
    ------
    RefusalError
        A confidence below the threshold's, where the tail does not speak, or not below 1.
    """
    ratio = _tail_share(fit, confidence)
    if abs(fit.xi) < _XI_ZERO:
        return fit.threshold - fit.beta * math.log(ratio)
    return fit.threshold + fit.beta * math.expm1(-fit.xi * math.log(ratio)) / fit.xi


def tail_expected_shortfall(fit: TailFit, confidence: float) -> float:
    """Mean loss beyond the quantile (McNeil et al. 2015, equation 5.20).

    Raises
    ------
    RefusalError
        xi >= 1, where the mean is infinite, or a confidence outside the tail.
    """
    if fit.xi >= 1.0:
        raise RefusalError(
            "the expected shortfall of this tail is infinite",
            field="xi",
            value=fit.xi,
            remedy="shrink the tail index to the pooled prior, or truncate at a declared bound",
        )
    quantile = tail_quantile(fit, confidence)
    return (quantile + fit.beta - fit.xi * fit.threshold) / (1.0 - fit.xi)


def tail_draws(fit: TailFit, generator: np.random.Generator, n_draws: int) -> Array:
    """Draws of (xi, beta) by parametric bootstrap: excesses are drawn from the fit and fitted again.

    The number of exceedances is drawn too (binomial), so that intervals hold its noise.

    Returns
    -------
    ndarray of shape (n_draws, 3)
        xi, beta and the number of exceedances of each draw; read-only.
    """
    draws = np.empty((n_draws, 3))
    share = fit.n_exceedances / fit.n_observations
    for i in range(n_draws):
        n = max(int(generator.binomial(fit.n_observations, share)), MINIMUM_EXCEEDANCES)
        uniform = 1.0 - generator.random(n)
        near_zero = abs(fit.xi) < _XI_ZERO
        z = -np.log(uniform) if near_zero else np.expm1(-fit.xi * np.log(uniform)) / fit.xi
        xi, scale = weighted_moments(z) if n < MOMENTS_BELOW else _maximum_likelihood(z)
        if fit.prior is not None:
            xi, scale = _posterior_mode(z, xi, scale, fit.prior)
        draws[i] = xi, scale * fit.beta, n
    draws.setflags(write=False)
    return draws


def weighted_moments(z: Array) -> tuple[float, float]:
    """Probability-weighted moments of positive excesses `z` (n,) (Hosking and Wallis 1987): xi and beta."""
    ordered = np.sort(z)
    n = ordered.size
    weights = 1.0 - (np.arange(1, n + 1) - 0.35) / n
    first, second = float(ordered.mean()), float(np.mean(weights * ordered))
    spread = first - 2.0 * second
    return 2.0 - first / spread, 2.0 * first * second / spread


def _tail_share(fit: TailFit, confidence: float) -> float:
    floor = tail_probability_floor(fit)
    if not floor <= confidence < 1.0:
        raise RefusalError(
            f"the tail speaks from confidence {floor:.4f} on",
            field="confidence",
            value=confidence,
            remedy="use the whole distribution for this confidence",
        )
    return (1.0 - confidence) / (1.0 - floor)


def _height(z: Array, xi: float, scale: float) -> float:
    """Log-likelihood of excesses; minus infinity outside the support."""
    if scale <= 0.0:
        return -math.inf
    w = z / scale
    if abs(xi) < _XI_ZERO:
        return float(-z.size * math.log(scale) - w.sum())
    u = 1.0 + xi * w
    if u.min() <= 0.0:
        return -math.inf
    return float(-z.size * math.log(scale) - (1.0 + 1.0 / xi) * np.log(u).sum())


def _maximum_likelihood(z: Array) -> tuple[float, float]:
    """Grimshaw's profile likelihood in theta = xi / beta: best grid point, then the root of the slope."""
    from scipy.optimize import brentq

    largest, mean = float(z.max()), float(z.mean())
    # Dense near -1 / largest, where the support ends, and over four decades above zero.
    low = -(1.0 - np.geomspace(1e-4, 0.999, 60)) / largest
    thetas = np.concatenate((low, np.geomspace(1e-4 / mean, 1e3 / mean, 100)))
    xis = np.log1p(np.outer(thetas, z)).mean(axis=1)
    heights = np.where(xis > _XI_LOWEST, -np.log(xis / thetas) - xis, -np.inf)
    best = int(np.argmax(heights))

    def slope(theta: float) -> float:
        xi = float(np.log1p(theta * z).mean())
        change = float(np.mean(z / (1.0 + theta * z)))
        return 1.0 / theta - change / xi - change

    a, b = float(thetas[max(best - 1, 0)]), float(thetas[min(best + 1, thetas.size - 1)])
    if a < 0.0 < b:  # the slope has a removable gap at zero: step to the side on which the root is
        a, b = (a, -1e-9) if slope(1e-9) < 0.0 else (1e-9, b)
    if slope(a) > 0.0 > slope(b):
        theta = float(brentq(slope, a, b, xtol=1e-15, rtol=1e-13))
        xi = float(np.log1p(theta * z).mean())
        if xi > _XI_LOWEST:
            return xi, xi / theta

    return _at_lowest_index(z)


def _at_lowest_index(z: Array) -> tuple[float, float]:
    """Where there is no regular maximum: xi held at its lower bound, and the best scale under it."""
    from scipy.optimize import brentq

    def slope(scale: float) -> float:
        return (1.0 + _XI_LOWEST) * float(np.mean(z / (scale + _XI_LOWEST * z))) - 1.0

    end = -_XI_LOWEST * float(z.max())
    top = end + float(z.mean())
    return _XI_LOWEST, float(brentq(slope, end * (1.0 + 1e-12), top, xtol=1e-15, rtol=1e-13))


def _information(z: Array, xi: float, scale: float) -> Array:
    """Observed information (2, 2) in (xi, beta); NaN where moments put the end of the support inside the sample."""
    if abs(xi) < 1e-4:
        xi = 1e-4 if xi >= 0.0 else -1e-4  # the closed form cancels nearer to zero
    n = z.size
    w = z / scale
    u = 1.0 + xi * w
    if u.min() <= 0.0:
        return np.full((2, 2), math.nan)
    ratio = w / u
    log_u = np.log(u)
    both = float(np.sum(ratio - (1.0 + xi) * ratio**2)) / scale
    second = np.sum(-2.0 * log_u / xi**3 + 2.0 * ratio / xi**2 + (1.0 + 1.0 / xi) * ratio**2)
    in_scale = (n - (1.0 + xi) * np.sum(ratio * (1.0 + u) / u)) / scale**2
    return -np.array([[float(second), both], [both, float(in_scale)]])


def _standard_errors(information: Array) -> tuple[float, float]:
    if not information[0, 0] > 0.0 or np.linalg.det(information) <= 0.0:  # NaN, too
        return math.nan, math.nan
    covariance = np.linalg.inv(information)
    return math.sqrt(covariance[0, 0]), math.sqrt(covariance[1, 1])


def _posterior_mode(z: Array, xi: float, scale: float, prior: TailPrior) -> tuple[float, float]:
    """Mode of likelihood times Gaussian prior on xi, flat in log beta."""
    safe = min(max(xi, 0.0), 1.0)
    starts = ((xi, math.log(max(scale, 1e-6))), (safe, math.log(1.0 - 0.5 * safe)))
    first = max(
        starts, key=lambda at: _height(z, at[0], math.exp(at[1])) - 0.5 * ((at[0] - prior.mean) / prior.sd) ** 2
    )
    xi, log_scale, converged = penalised_mode(z, *first, prior.mean, prior.sd)
    return (xi, math.exp(log_scale)) if converged and xi >= _XI_LOWEST else _at_lowest_index(z)
