"""EGARCH and the two-component variance, both with Student-t innovations, fitted without an analytic score.

Exponential GARCH (Nelson 1991, Econometrica 59), in arch's convention, z = e / sqrt(h):
    log h[t + 1] = omega + alpha (|z| - sqrt(2 / pi)) + gamma z + beta log h[t].
Two components (Engle and Lee 1999), h = q + s, a long-run q that forgets slowly and a short-run s:
    q[t + 1] = omega + rho q[t] + phi (e^2 - h),   s[t + 1] = (alpha + beta) s[t] + alpha (e^2 - h),
with 0 < alpha + beta < rho < 1 and phi < beta, which keep h positive.
"""

from __future__ import annotations

import math
from types import MappingProxyType

import numpy as np

from risk.volatility.density import LOG_PI
from risk.volatility.jit import compiled
from risk.volatility.models import (
    MINIMUM_UNPOOLED,
    PARAMETER_NAMES,
    Array,
    FitResult,
    FitStatus,
    Presample,
    VolatilityModel,
    half_life,
    read_only,
    unfitted,
)
from risk.volatility.numeric import minimise
from risk.volatility.plain import presample_variance

MEAN_ABSOLUTE = math.sqrt(2.0 / math.pi)
COMPONENT_NAMES = ("rho", "phi")
"""Further parameters of the two-component model; omega, alpha and beta stand under their usual names."""
_NU_FLOOR = 2.05
_EDGE = 1e-4


def fit_further(model: VolatilityModel, returns: Array, *, presample: Presample) -> FitResult:
    """Fit egarch_t or component_t; `returns` (n,) are finite. See `risk.volatility.models.fit`.

    The persistence of egarch_t is that of log h, beta; that of component_t is rho, of its long-run part.
    """
    blank = unfitted(model, returns, presample=presample, minimum=MINIMUM_UNPOOLED)
    if blank is not None:
        return blank
    scale = float(np.std(returns))
    y = returns / scale
    before = presample_variance(y, float(y.mean()), presample)
    egarch = model is VolatilityModel.EGARCH_T
    h = np.empty(y.size + 1)
    theta_of, run = (_egarch_theta, egarch_filter) if egarch else (_component_theta, component_filter)

    def objective(x: Array) -> float:
        theta = theta_of(x)
        height = run(y, theta, before, h)
        return -height if math.isfinite(height) else math.inf

    best = minimise(objective, _egarch_starts(y) if egarch else _component_starts(y))
    theta = theta_of(best.x)
    height = float(run(y, theta, before, h))
    if egarch:
        mu, omega, alpha, gamma, beta, nu = theta.tolist()
        # A change of scale moves log h by a constant.
        values: tuple[float, ...] = (mu * scale, omega + (1.0 - beta) * 2.0 * math.log(scale), alpha, gamma, beta, nu)
        names: tuple[str, ...] = PARAMETER_NAMES
        persistence, edges = beta, {"persistence": beta > 1.0 - _EDGE}
    else:
        mu, omega, alpha, beta, nu, rho, phi = theta.tolist()
        values = (mu * scale, omega * scale**2, alpha, 0.0, beta, nu, rho, phi)
        names, persistence = (*PARAMETER_NAMES, *COMPONENT_NAMES), rho
        edges = {
            "persistence": rho > 1.0 - _EDGE,
            "alpha": alpha < _EDGE,
            "beta": beta < _EDGE,
            "phi": phi < _EDGE,
        }
    edges["nu"] = nu < _NU_FLOOR + 1e-3 or nu > 200.0
    boundary = tuple(name for name, touched in edges.items() if touched)
    status = FitStatus.BOUNDARY if boundary else FitStatus.CONVERGED
    variances = h * scale**2
    return FitResult(
        model=model,
        presample=presample,
        parameters=MappingProxyType(dict(zip(names, values, strict=True))),
        log_likelihood=height - y.size * math.log(scale),
        n_observations=y.size,
        status=status if best.converged else FitStatus.NOT_CONVERGED,
        boundary=boundary,
        gradient_norm=best.gradient_norm,
        newton_decrement=best.decrement,
        n_starts=best.tried,
        n_best_starts=best.agreed,
        persistence=persistence,
        half_life_bars=half_life(persistence),
        last_variance=float(variances[-1]),
        variances=read_only(variances[:-1].copy()),
        residuals=read_only((y - mu) / np.sqrt(h[:-1])),
    )


def extend_further(fit: FitResult, returns: Array) -> Array:
    """Variances of the bars after the window of an egarch_t or component_t fit; see `following_variances`."""
    p = fit.parameters
    out = np.empty(returns.size + 1)
    if fit.model is VolatilityModel.EGARCH_T:
        out[0] = fit.last_variance
        # A shock moves log h in proportion, so that one jump can end in a variance of zero or infinity: variances stay
        # within a factor of 10^4 of those of the window.
        low, high = math.log(fit.variances.min() / 1e4), math.log(fit.variances.max() * 1e4)
        for t, e in enumerate(returns - p["mu"]):
            z = e / math.sqrt(out[t])
            news = p["alpha"] * (abs(z) - MEAN_ABSOLUTE) + p["gamma"] * z
            out[t + 1] = math.exp(min(max(p["omega"] + news + p["beta"] * math.log(out[t]), low), high))
        return read_only(out)
    q, s = component_state(fit)
    out[0] = q + s
    for t, e in enumerate(returns - p["mu"]):
        q, s = _step(fit, q, s, float(e))
        out[t + 1] = q + s
    return read_only(out)


def component_state(fit: FitResult) -> tuple[float, float]:
    """Long-run and short-run variance of the bar after the window of a component_t fit."""
    # The window's own returns are in the fit: all variance is long-run before its first bar.
    q, s = float(fit.variances[0]), 0.0
    for e in fit.residuals * np.sqrt(fit.variances):
        q, s = _step(fit, q, s, float(e))
    return q, s


def expected_variances(fit: FitResult, n_bars: int) -> Array:
    """Expected variance of each of the next `n_bars` bars under component_t, shape (n_bars,).

    Each component goes back to its mean, the long-run level and zero, at its own rate.
    """
    p = fit.parameters
    q, s = component_state(fit)
    steps = np.arange(n_bars)
    level = p["omega"] / (1.0 - p["rho"])
    expected: Array = level + p["rho"] ** steps * (q - level) + (p["alpha"] + p["beta"]) ** steps * s
    return read_only(expected)


def _step(fit: FitResult, q: float, s: float, residual: float) -> tuple[float, float]:
    p = fit.parameters
    surprise = residual * residual - (q + s)
    return p["omega"] + p["rho"] * q + p["phi"] * surprise, (p["alpha"] + p["beta"]) * s + p["alpha"] * surprise


@compiled
def _student_constant(nu: float) -> float:
    return math.lgamma(0.5 * (nu + 1.0)) - math.lgamma(0.5 * nu) - 0.5 * (math.log(nu - 2.0) + LOG_PI)


@compiled
def egarch_filter(y: Array, theta: Array, before: float, h: Array) -> float:
    """Log-likelihood of `y` (n,); writes h[1 .. n + 1] into `h`. nu = inf gives normal innovations.

    Before the sample stand z-terms of zero and the variance `before`.
    """
    mu, omega, alpha, gamma, beta, nu = theta
    normal = math.isinf(nu)
    log_h = omega + beta * math.log(before)
    total = 0.0
    h[0] = math.exp(log_h)
    for t in range(y.shape[0]):
        z = (y[t] - mu) / math.sqrt(h[t])
        total -= 0.5 * (log_h + (z * z if normal else (nu + 1.0) * math.log1p(z * z / (nu - 2.0))))
        log_h = omega + alpha * (abs(z) - MEAN_ABSOLUTE) + gamma * z + beta * log_h
        h[t + 1] = math.exp(log_h)
    constant = -0.5 * (math.log(2.0) + LOG_PI) if normal else _student_constant(nu)
    return float(total + y.shape[0] * constant)


@compiled
def component_filter(y: Array, theta: Array, before: float, h: Array) -> float:
    """Log-likelihood of `y` (n,); writes h[1 .. n + 1] into `h`. Before the sample all variance is long-run."""
    mu, omega, alpha, beta, nu, rho, phi = theta
    q = omega + rho * before
    s = 0.0
    total = 0.0
    h[0] = q
    for t in range(y.shape[0]):
        e = y[t] - mu
        total -= 0.5 * (math.log(h[t]) + (nu + 1.0) * math.log1p(e * e / h[t] / (nu - 2.0)))
        surprise = e * e - h[t]
        q = omega + rho * q + phi * surprise
        s = (alpha + beta) * s + alpha * surprise
        h[t + 1] = q + s
    return float(total + y.shape[0] * _student_constant(nu))


def _tail(x: float) -> float:
    return _NU_FLOOR + math.exp(min(x, math.log(500.0)))


def _share(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(min(x, 40.0), -40.0)))


def _egarch_theta(x: Array) -> Array:
    """(mu, level of log h, alpha, gamma, atanh beta, log(nu - 2.05)) to natural parameters."""
    beta = math.tanh(x[4])
    return np.array([x[0], x[1] * (1.0 - beta), x[2], x[3], beta, _tail(x[5])])


def _component_theta(x: Array) -> Array:
    """(mu, log level, logits of rho, of (alpha + beta) / rho, of alpha's part, of phi / beta, log(nu - 2.05))."""
    rho = _share(x[2])
    total = rho * _share(x[3])
    alpha = total * _share(x[4])
    beta = total - alpha
    return np.array([x[0], math.exp(min(x[1], 20.0)) * (1.0 - rho), alpha, beta, _tail(x[6]), rho, beta * _share(x[5])])


def _egarch_starts(y: Array) -> Array:
    mean = float(y.mean())
    return np.array(
        [
            (mean, -0.2, alpha, gamma, math.atanh(beta), 1.0)
            for alpha in (0.08, 0.2)
            for gamma in (0.0, -0.08)
            for beta in (0.8, 0.95, 0.985)
        ]
    )


def _component_starts(y: Array) -> Array:
    mean = float(y.mean())

    def logit(p: float) -> float:
        return math.log(p / (1.0 - p))

    return np.array(
        [
            (mean, 0.0, logit(rho), logit(total), logit(alpha), logit(phi), 1.0)
            for rho in (0.97, 0.995)
            for total in (0.6, 0.9)
            for alpha in (0.06, 0.15)
            for phi in (0.03, 0.15)
        ]
    )
