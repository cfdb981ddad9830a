"""The simplest model, constant_t: independent Student-t returns of one variance."""

from __future__ import annotations

import math
from types import MappingProxyType

import numpy as np

from risk.volatility.models import (
    MINIMUM_OBSERVATIONS,
    PARAMETER_NAMES,
    Array,
    FitResult,
    FitStatus,
    Presample,
    VolatilityModel,
    read_only,
    unfitted,
)
from risk.volatility.numeric import minimise
from risk.volatility.plain import student_log_density

_NU_FLOOR, _NU_CAP = 2.05, 500.0
CANDIDATES = 2000
"""Points from which posterior draws are resampled."""


def fit_constant(returns: Array, *, presample: Presample) -> FitResult:
    """Fit mu, the variance (omega) and nu by maximum likelihood; `returns` (n,) are finite.

    The presample convention has nothing to stand for here and is kept for the record only.
    """
    model = VolatilityModel.CONSTANT_T
    blank = unfitted(model, returns, presample=presample, minimum=MINIMUM_OBSERVATIONS // 2)
    if blank is not None:
        return blank
    scale = float(np.std(returns))
    y = returns / scale
    starts = np.array([(m, 0.0, tail) for m in (float(y.mean()), float(np.median(y))) for tail in (-1.0, 1.0, 3.0)])
    best = minimise(lambda x: -float(_heights(y, x[None])[0]), starts, n_polished=2)
    mu, deviation, nu = (float(v[0]) for v in _natural(best.x[None]))
    n, variance = y.size, (deviation * scale) ** 2
    values = (mu * scale, variance, 0.0, 0.0, 0.0, nu)
    at_edge = nu < _NU_FLOOR + 1e-3 or nu > _NU_CAP - 1.0
    status = FitStatus.BOUNDARY if at_edge else FitStatus.CONVERGED
    return FitResult(
        model=model,
        presample=presample,
        parameters=MappingProxyType(dict(zip(PARAMETER_NAMES, values, strict=True))),
        log_likelihood=-best.value - n * math.log(scale),
        n_observations=n,
        status=status if best.converged else FitStatus.NOT_CONVERGED,
        boundary=("nu",) if at_edge else (),
        gradient_norm=best.gradient_norm,
        newton_decrement=best.decrement,
        n_starts=best.tried,
        n_best_starts=best.agreed,
        persistence=0.0,
        half_life_bars=0.0,
        last_variance=variance,
        variances=read_only(np.full(n, variance)),
        residuals=read_only((y - mu) / deviation),
    )


def draw_constant(fit: FitResult, returns: Array, *, generator: np.random.Generator, n_draws: int) -> Array:
    """Posterior draws (n_draws, 7) of a usable fit: the natural parameters and the next bar's variance.

    Sampling-importance resampling (Rubin 1988) from a Student-t with 4 degrees of freedom around the mode. The prior
    is flat in mu and the log deviation, uniform in 1 / nu.
    """
    scale = float(np.std(returns))
    y = returns / scale
    p = fit.parameters
    # A mode at the edge of nu has no slope there: the candidates are centred just inside.
    tail = min(max(p["nu"] - _NU_FLOOR, 1e-2), 0.9 * _NU_CAP)
    centre = np.array([p["mu"] / scale, 0.5 * math.log(p["omega"]) - math.log(scale), math.log(tail)])
    information = _information(y, centre)
    values, vectors = np.linalg.eigh(information)
    # A flat direction (nu of almost normal returns) is cut at a variance of 5.
    factor = vectors / np.sqrt(np.maximum(values, 0.2))
    z = generator.standard_normal((CANDIDATES, 3)) / np.sqrt(generator.chisquare(4.0, (CANDIDATES, 1)) / 4.0)
    x = centre + z @ factor.T
    proposal = -3.5 * np.log1p(np.sum(z**2, axis=1) / 4.0)
    _, deviation, nu = _natural(x)
    inside = x[:, 2] < math.log(_NU_CAP)
    target = np.where(inside, _heights(y, x) + x[:, 2] - 2.0 * np.log(nu), -np.inf)
    weight = np.cumsum(np.exp(target - proposal - np.max(target - proposal)))
    chosen = np.searchsorted(weight / weight[-1], (generator.permutation(n_draws) + generator.random()) / n_draws)
    variance = (deviation[chosen] * scale) ** 2
    zero = np.zeros(n_draws)
    return np.column_stack([x[chosen, 0] * scale, variance, zero, zero, zero, nu[chosen], variance])


def _natural(x: Array) -> tuple[Array, Array, Array]:
    """Location, deviation and nu, each (m,), of points (m, 3)."""
    return x[:, 0], np.exp(np.clip(x[:, 1], -30.0, 30.0)), _NU_FLOOR + np.exp(np.minimum(x[:, 2], math.log(_NU_CAP)))


def _heights(y: Array, x: Array) -> Array:
    """Log-likelihood (m,) of `y` (n,) at points (m, 3)."""
    location, deviation, nu = _natural(x)
    return np.array(
        [
            float(np.sum(student_log_density((y - m) / s, float(v)))) - y.size * math.log(s)
            for m, s, v in zip(location, deviation, nu, strict=True)
        ]
    )


def _information(y: Array, centre: Array) -> Array:
    """Minus the second differences of the log-likelihood."""
    step = 1e-3 * np.eye(3)
    out = np.empty((3, 3))
    for i in range(3):
        for j in range(3):
            corners = centre + np.array([step[i] + step[j], step[i] - step[j], step[j] - step[i], -step[i] - step[j]])
            up, right, left, down = _heights(y, corners)
            out[i, j] = -(up - right - left + down) / 4e-6
    symmetric: Array = 0.5 * (out + out.T)
    return symmetric
