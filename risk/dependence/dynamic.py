"""Dynamic conditional correlation, the challenger of the constant copula.

Engle (2002, JBES 20): Q[t + 1] = (1 - a - b) S + a z[t] z[t]' + b Q[t], R = Q with a unit diagonal, of standardised
residuals z under a joint normal or Student-t law of unit variance. The asymmetric form (Cappiello, Engle and Sheppard
2006) adds g (n[t] n[t]' - N) with n = z where z < 0. S and N are moments of the sample, not parameters. What N is
makes two different models: the raw moment of the paper, or the centred covariance of n in some packages, whose
published optima it reproduces; `centred` chooses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from risk.dependence.copula import positive_definite
from risk.errors import DataError
from risk.market import FloatArray, frozen
from risk.volatility.jit import compiled
from risk.volatility.models import FitStatus
from risk.volatility.numeric import minimise

MINIMUM_ROWS = 500
"""Fewer common bars do not identify the dynamics."""
_NU_FLOOR = 2.1


@dataclass(frozen=True, slots=True)
class DynamicFit:
    """Fitted dynamics of correlation.

    Attributes
    ----------
    a, g, b
        Weights of news, of joint falls (0 in the symmetric form) and of the past.
    degrees_of_freedom
        Of the joint law; inf when normal.
    log_likelihood
        Of the standardised residuals, in nats; add minus the sum of log standard deviations for that of returns.
    n_observations
    status
        `CONVERGED`, `BOUNDARY`, `NOT_CONVERGED`, `TOO_SHORT` or `DEGENERATE`.
    gradient_norm, n_starts, n_best_starts
    next_correlation
        (d, d) forecast for the next bar, positive definite; the identity when nothing was fitted.
    """

    a: float
    g: float
    b: float
    degrees_of_freedom: float
    log_likelihood: float
    n_observations: int
    status: FitStatus
    gradient_norm: float
    n_starts: int
    n_best_starts: int
    next_correlation: FloatArray


def fit_dynamic(
    residuals: FloatArray, *, heavy_tails: bool = True, asymmetric: bool = False, centred: bool = False
) -> DynamicFit:
    """Fit by maximum likelihood of the second step.

    Parameters
    ----------
    residuals
        (n, d) standardised residuals over common bars; finite.
    heavy_tails
        Student-t instead of normal.
    asymmetric
        Let joint falls count more.
    centred
        Use the centred covariances (divisor n - 1) of z and n as S and N, instead of raw moments.

    Raises
    ------
    DataError
        Not a finite table of at least two columns.
    """
    z = np.ascontiguousarray(residuals, dtype=np.float64)
    if z.ndim != 2 or z.shape[1] < 2 or not np.isfinite(z).all():
        raise DataError("residuals are a finite table of two assets or more", field="residuals", value=z.shape)
    n, d = z.shape
    long_run, falls = _moments(z, centred) if n > 1 else (np.eye(d), np.eye(d))
    short = n < MINIMUM_ROWS
    if short or float(np.linalg.eigvalsh(long_run)[0]) <= 1e-10:
        status = FitStatus.TOO_SHORT if short else FitStatus.DEGENERATE
        nothing = math.nan
        return DynamicFit(nothing, nothing, nothing, nothing, nothing, n, status, nothing, 0, 0, frozen(np.eye(d)))
    # a + b + g delta < 1 keeps Q positive: delta is the largest eigenvalue of S^-1/2 N S^-1/2.
    root = np.linalg.inv(np.linalg.cholesky(long_run))
    delta = float(np.linalg.eigvalsh(root @ falls @ root.T)[-1])
    last = np.empty((d, d))

    def theta(x: FloatArray) -> tuple[float, float, float, float]:
        news, fall, past = np.exp(np.minimum(x[:3], 30.0))
        total = 1.0 + news + past + (fall if asymmetric else 0.0)
        nu = _NU_FLOOR + math.exp(min(float(x[3]), 6.0)) if heavy_tails else math.inf
        return float(news / total), float(fall / total / delta) if asymmetric else 0.0, float(past / total), nu

    def cost(x: FloatArray) -> float:
        height = correlation_filter(z, long_run, falls, *theta(x), last)
        return -height if math.isfinite(height) else math.inf

    def start(a: float, g: float, b: float) -> list[float]:
        slack = 1.0 - a - g - b
        return [math.log(a / slack), math.log(g / slack), math.log(b / slack), 2.0]

    points = np.array([start(*p) for p in ((0.02, 0.005, 0.95), (0.05, 0.02, 0.85), (0.01, 0.01, 0.975))])
    best = minimise(cost, points, n_polished=2)
    a, g, b, nu = theta(best.x)
    height = correlation_filter(z, long_run, falls, a, g, b, nu, last)
    edge = a < 1e-5 or a + b + g * delta > 1.0 - 1e-6
    status = FitStatus.BOUNDARY if edge else FitStatus.CONVERGED
    scale = 1.0 / np.sqrt(np.diag(last))
    correlation = last * np.outer(scale, scale)
    np.fill_diagonal(correlation, 1.0)
    return DynamicFit(
        a=a,
        g=g,
        b=b,
        degrees_of_freedom=nu,
        log_likelihood=float(height),
        n_observations=n,
        status=status if best.converged else FitStatus.NOT_CONVERGED,
        gradient_norm=best.gradient_norm,
        n_starts=best.tried,
        n_best_starts=best.agreed,
        next_correlation=frozen(positive_definite(correlation)),
    )


def log_likelihood(
    residuals: FloatArray, a: float, b: float, *, g: float = 0.0, degrees_of_freedom: float = math.inf,
    centred: bool = False,
) -> float:  # fmt: skip
    """Log-likelihood in nats of standardised residuals (n, d) under given dynamics."""
    z = np.ascontiguousarray(residuals, dtype=np.float64)
    long_run, falls = _moments(z, centred)
    last = np.empty_like(long_run)
    return float(correlation_filter(z, long_run, falls, a, g, b, degrees_of_freedom, last))


@compiled
def correlation_filter(  # noqa: PLR0912 - a compiled kernel is one loop
    z: FloatArray,
    long_run: FloatArray,
    falls: FloatArray,
    a: float,
    g: float,
    b: float,
    nu: float,
    q: FloatArray,
) -> float:
    """Log-likelihood of `z` (n, d); leaves Q of the bar after the sample in `q` (d, d). NaN where Q is not positive.

    The Cholesky factor is written out: a compiled kernel calls nothing that raises.
    """
    n, d = z.shape
    lower = np.zeros((d, d))
    solved = np.empty(d)
    q[:, :] = long_run
    total = 0.0
    heavy = not math.isinf(nu)
    for t in range(n):
        log_determinant = 0.0
        distance = 0.0
        for i in range(d):
            scale_i = 1.0 / math.sqrt(q[i, i])
            for j in range(i + 1):
                value = q[i, j] * scale_i / math.sqrt(q[j, j])
                for k in range(j):
                    value -= lower[i, k] * lower[j, k]
                if i == j:
                    if not value > 0.0:
                        return math.nan
                    lower[i, i] = math.sqrt(value)
                else:
                    lower[i, j] = value / lower[j, j]
            rest = z[t, i]
            for k in range(i):
                rest -= lower[i, k] * solved[k]
            solved[i] = rest / lower[i, i]
            distance += solved[i] * solved[i]
            log_determinant += 2.0 * math.log(lower[i, i])
        spread = (nu + d) * math.log1p(distance / (nu - 2.0)) if heavy else distance
        total -= 0.5 * (log_determinant + spread)
        for i in range(d):
            for j in range(d):
                news = a * z[t, i] * z[t, j]
                if z[t, i] < 0.0 and z[t, j] < 0.0:
                    news += g * z[t, i] * z[t, j]
                q[i, j] = (1.0 - a - b) * long_run[i, j] - g * falls[i, j] + news + b * q[i, j]
    if heavy:
        constant = math.lgamma(0.5 * (nu + d)) - math.lgamma(0.5 * nu) - 0.5 * d * math.log(math.pi * (nu - 2.0))
    else:
        constant = -0.5 * d * math.log(2.0 * math.pi)
    return float(total + n * constant)


def _moments(z: FloatArray, centred: bool) -> tuple[FloatArray, FloatArray]:
    below = np.where(z < 0.0, z, 0.0)
    if centred:
        return np.cov(z.T), np.cov(below.T)
    return z.T @ z / len(z), below.T @ below / len(z)
