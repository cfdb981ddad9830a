"""Plain numpy forms of the formulas that `kernel` compiles: slow, short, and the reference it is held to."""

from __future__ import annotations

import math

import numpy as np

from risk.volatility.models import Array, Presample

_EWMA_DECAY = 0.94
_EWMA_BARS = 75


def presample_variance(returns: Array, mu: float, presample: Presample) -> float:
    """Variance that stands before the sample.

    Parameters
    ----------
    returns : ndarray of shape (n,)
        Log returns per bar; finite.
    mu : float
        Mean log return; used by `Presample.MEAN` only, `EWMA75` uses the sample mean.
    presample : Presample

    Returns
    -------
    float
        Variance per bar.
    """
    if presample is Presample.MEAN:
        return float(np.mean((returns - mu) ** 2))
    n = min(_EWMA_BARS, returns.size)
    weights = _EWMA_DECAY ** np.arange(n)
    return float(np.average((returns[:n] - returns.mean()) ** 2, weights=weights))


def conditional_variances(parameters: Array, returns: Array, *, presample: float, score_driven: bool = False) -> Array:
    """Variances h[1..n+1] of GJR(1,1) (Glosten, Jagannathan and Runkle 1993).

    Parameters
    ----------
    parameters : ndarray of shape (6,) or (7,)
        (mu, omega, alpha, gamma, beta, nu) and, of no effect here, lambda.
    returns : ndarray of shape (n,)
    presample : float
        Variance and squared residual before the sample; the indicator of a fall counts one half there.
    score_driven : bool
        Weigh each squared residual by (nu + 1) / (nu - 2 + e^2 / h) (Creal, Koopman and Lucas 2013).

    Returns
    -------
    ndarray of shape (n + 1,)
        The last entry is the forecast for the bar after the sample.
    """
    mu, omega, alpha, gamma, beta, nu = parameters[:6]
    residuals = returns - mu
    h = np.empty(returns.size + 1)
    h[0] = omega + (alpha + 0.5 * gamma + beta) * presample
    for t, e in enumerate(residuals):
        weight = (nu + 1) / (nu - 2 + e**2 / h[t]) if score_driven else 1.0
        h[t + 1] = omega + (alpha + gamma * (e < 0)) * weight * e**2 + beta * h[t]
    return h


def student_log_density(z: Array, nu: float) -> Array:
    """Log density of Student-t innovations with nu degrees of freedom scaled to unit variance.

    Bollerslev (1987), equation 1, with h = 1. `z` has any shape; NaN passes through.
    """
    constant = math.lgamma((nu + 1) / 2) - math.lgamma(nu / 2) - 0.5 * math.log(math.pi * (nu - 2))
    density: Array = constant - 0.5 * (nu + 1) * np.log1p(z**2 / (nu - 2))
    return density


def log_likelihood(parameters: Array, returns: Array, *, presample: float, score_driven: bool = False) -> float:
    """Log-likelihood in nats of `returns` (n,) under `parameters` (6,) or, with lambda, (7,); arguments as above."""
    from risk.volatility.innovations import Innovations

    h = conditional_variances(parameters, returns, presample=presample, score_driven=score_driven)[:-1]
    z = (returns - parameters[0]) / np.sqrt(h)
    law = Innovations(float(parameters[5]), float(parameters[6]) if len(parameters) > 6 else 0.0)
    return float(np.sum(law.log_density(z) - 0.5 * np.log(h)))
