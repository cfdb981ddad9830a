"""The benchmark ewma_t: exponentially weighted variance with Student-t innovations."""

from __future__ import annotations

import math
from types import MappingProxyType

import numpy as np

from risk.errors import DataError
from risk.volatility.models import (
    MINIMUM_OBSERVATIONS,
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
from risk.volatility.plain import presample_variance, student_log_density

_NU_RANGE = (2.05, 500.0)


def fit_exponential(returns: Array, *, decay: float, presample: Presample) -> FitResult:
    """Fit ewma_t: h[t+1] = decay h[t] + (1 - decay) r[t]^2 with zero mean (RiskMetrics 1996, table 5.1).

    Only nu is estimated, by maximum likelihood on the standardised residuals (golden section on log(nu - 2)
    over [2.05, 500]); these are taken to have unit variance, as the forecast does.

    Parameters
    ----------
    returns : ndarray of shape (n,)
        Finite log returns per bar.
    decay : float
        Between 0 and 1, both excluded; 0.94 is the RiskMetrics value for days.
    presample : Presample

    Raises
    ------
    DataError
        A decay outside its range.
    """
    if not 0.0 < decay < 1.0:
        raise DataError("the decay of ewma_t lies between 0 and 1", field="decay", value=str(decay))
    model = VolatilityModel.EWMA_T
    blank = unfitted(model, returns, presample=presample, minimum=MINIMUM_OBSERVATIONS // 2)
    if blank is not None:
        return blank
    from scipy.signal import lfilter

    first = presample_variance(returns, 0.0, presample)
    squares = returns**2
    filtered, _ = lfilter([1.0 - decay], [1.0, -decay], squares, zi=[decay * first])
    h = np.concatenate(([first], filtered))
    # Long runs of equal prices push the variance to zero: hold it above a rounding floor of the sample's.
    h = np.maximum(h, 1e-12 * float(np.mean(squares)))
    residuals = returns / np.sqrt(h[:-1])
    nu, decrement = fit_nu(residuals)
    log_likelihood = float(np.sum(student_log_density(residuals, nu)) - 0.5 * np.sum(np.log(h[:-1])))
    at_edge = nu < _NU_RANGE[0] + 1e-3 or nu > _NU_RANGE[1] - 1.0
    values = (0.0, 0.0, 1.0 - decay, 0.0, decay, nu)
    return FitResult(
        model=model,
        presample=presample,
        parameters=MappingProxyType(dict(zip(PARAMETER_NAMES, values, strict=True))),
        log_likelihood=log_likelihood,
        n_observations=returns.size,
        status=FitStatus.BOUNDARY if at_edge else FitStatus.CONVERGED,
        boundary=("nu",) if at_edge else (),
        gradient_norm=decrement,
        newton_decrement=decrement,
        n_starts=1,
        n_best_starts=1,
        persistence=1.0,
        half_life_bars=half_life(1.0),
        last_variance=float(h[-1]),
        variances=read_only(h[:-1].copy()),
        residuals=read_only(residuals),
    )


def fit_nu(residuals: Array) -> tuple[float, float]:
    """Best nu in its range, and the nats lost by half the final bracket."""
    low, high = math.log(_NU_RANGE[0] - 2.0), math.log(_NU_RANGE[1] - 2.0)
    # The likelihood in nu can be flat and even have two humps: bracket on a grid first.
    grid = np.linspace(low, high, 41)
    heights = [_height(residuals, point) for point in grid]
    best = int(np.argmax(heights))
    a, b = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, grid.size - 1)])
    ratio = (math.sqrt(5.0) - 1.0) / 2.0
    while b - a > 1e-7:
        c, d = b - ratio * (b - a), a + ratio * (b - a)
        a, b = (a, d) if _height(residuals, c) > _height(residuals, d) else (c, b)
    middle = 0.5 * (a + b)
    loss = abs(_height(residuals, middle) - _height(residuals, b))
    return 2.0 + math.exp(middle), loss


def _height(residuals: Array, log_excess: float) -> float:
    return float(np.sum(student_log_density(residuals, 2.0 + math.exp(log_excess))))
