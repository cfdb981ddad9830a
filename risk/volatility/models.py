"""Volatility models: their names, the result of a fit, and the one door through which a fit is made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from risk.errors import DataError

Array = NDArray[np.float64]

PARAMETER_NAMES = ("mu", "omega", "alpha", "gamma", "beta", "nu")
"""Order of the natural parameters wherever they stand in an array."""

SKEW = "lambda"
"""Further parameter of the skewed models; where an array holds it, it comes last."""

MINIMUM_OBSERVATIONS = 60
"""Shortest window that is fitted without a prior; with one, half as much will do."""

MINIMUM_UNPOOLED = 250
"""Shortest window of score_t, egarch_t and component_t: the pool holds no prior of theirs, and without one shorter fits
end at the edge of the parameters too often."""


class VolatilityModel(StrEnum):
    """Conditional variance models.

    `CONSTANT_T` has one variance. Innovations are Student-t, or Hansen's skewed t in the `..._skewt` models. `SCORE_T`
    moves its variance by the score of the t density (Creal, Koopman and Lucas 2013), so that single outliers move it
    less;
    `EGARCH_T` moves the logarithm of the variance, `COMPONENT_T` sums a long-run and a short-run part.
    `GARCH_NORMAL` is the Gaussian quasi-likelihood of published benchmarks and filters; its density is never a
    forecast of risk.
    """

    EWMA_T = "ewma_t"
    CONSTANT_T = "constant_t"
    GARCH_T = "garch_t"
    GJR_T = "gjr_t"
    GARCH_SKEWT = "garch_skewt"
    GJR_SKEWT = "gjr_skewt"
    SCORE_T = "score_t"
    EGARCH_T = "egarch_t"
    COMPONENT_T = "component_t"
    GARCH_NORMAL = "garch_normal"


class Presample(StrEnum):
    """What stands for the variance before the first observation.

    `EWMA75`: exponentially weighted (0.94) square of the first 75 demeaned returns, as in the package arch.
    `MEAN`: mean squared residual of the whole window, which moves with mu (Fiorentini, Calzolari and
    Panattoni 1996).
    """

    EWMA75 = "ewma75"
    MEAN = "mean"


class FitStatus(StrEnum):
    """How a fit ended.

    `CONVERGED`: an interior optimum. `BOUNDARY`: an optimum at the edge of the parameter space, named in
    `FitResult.boundary`. `NOT_CONVERGED`: the search stopped elsewhere. `TOO_SHORT` and `DEGENERATE` (no
    variation): nothing was fitted, and the result holds no parameters.
    """

    CONVERGED = "converged"
    BOUNDARY = "boundary"
    NOT_CONVERGED = "not_converged"
    TOO_SHORT = "too_short"
    DEGENERATE = "degenerate"


@dataclass(frozen=True, slots=True)
class ParameterPrior:
    """Gaussian prior on the unconstrained parameters of one model, and a bound on its persistence.

    Attributes
    ----------
    names : tuple of str
        Unconstrained parameters: log(omega / sample variance), the logits of the shares of persistence against
        the empty share (alpha and beta; for GJR half of alpha, half of alpha + gamma, and beta), log(nu - 2.05).
    mean : ndarray of shape (k,)
    precision : ndarray of shape (k, k)
        Inverse covariance.
    persistence_bound : float
        Upper bound of alpha + gamma / 2 + beta, at most 1.
    """

    names: tuple[str, ...]
    mean: Array
    precision: Array
    persistence_bound: float = 1.0


@dataclass(frozen=True, slots=True)
class FitResult:
    """A fitted volatility model with the evidence for it.

    Attributes
    ----------
    model, presample : VolatilityModel, Presample
    parameters : mapping of str to float
        mu (log return per bar), omega (its square), alpha, gamma, beta, nu; empty when nothing was fitted.
        gamma is the extra weight of a squared negative residual; 0 for models without it. Normal innovations have
        nu = inf; the skewed models add lambda, the
        two-component model rho and phi (see `risk.volatility.further`, also for what these names mean in EGARCH).
    log_likelihood : float
        Log-likelihood of the window in nats, without the prior; NaN when nothing was fitted.
    n_observations : int
    status : FitStatus
    boundary : tuple of str
        Parameters (or "persistence") that ended at the edge of their range.
    gradient_norm, newton_decrement : float
        Largest entry of the gradient in the unconstrained parameters, and nats one more step could gain.
    n_starts, n_best_starts : int
        Starts tried, and how many of them ended at the best optimum.
    persistence, half_life_bars : float
        alpha + gamma / 2 + beta, and the bars in which a variance shock halves (inf from persistence 1 on).
    last_variance : float
        Forecast of the variance of the next bar, h[T + 1].
    variances, residuals : ndarray of shape (n_observations,)
        Conditional variances and residuals over their square root; read-only.
    """

    model: VolatilityModel
    presample: Presample
    parameters: Mapping[str, float]
    log_likelihood: float
    n_observations: int
    status: FitStatus
    boundary: tuple[str, ...]
    gradient_norm: float
    newton_decrement: float
    n_starts: int
    n_best_starts: int
    persistence: float
    half_life_bars: float
    last_variance: float
    variances: Array
    residuals: Array

    @property
    def usable(self) -> bool:
        """Whether there are parameters to forecast with."""
        return bool(self.parameters)

    @property
    def vector(self) -> Array:
        """Natural parameters of shape (6,) in the order of `PARAMETER_NAMES`."""
        return np.array([self.parameters[name] for name in PARAMETER_NAMES])

    @property
    def skew(self) -> float:
        """Hansen's lambda; 0 without skew, negative for a heavier lower tail."""
        return self.parameters.get(SKEW, 0.0)


def fit(
    model: VolatilityModel | str,
    returns: Array,
    *,
    prior: ParameterPrior | None = None,
    presample: Presample | str = Presample.EWMA75,
    decay: float = 0.94,
) -> FitResult:
    """Fit a volatility model by (penalised) maximum likelihood.

    Parameters
    ----------
    model : VolatilityModel or its name
    returns : ndarray of shape (n_observations,)
        Log returns per bar as decimal fractions, oldest first.
    prior : ParameterPrior, optional
        Makes the estimate the posterior mode. ewma_t and constant_t take none and ignore it.
    presample : Presample or its name
    decay : float
        Weight of the past in ewma_t; of no effect on the other models.

    Returns
    -------
    FitResult
        Never silent: a window that is too short or does not vary has a status and no parameters.

    Raises
    ------
    DataError
        Returns that are not one-dimensional or hold NaN or infinity.
    """
    kind = VolatilityModel(model)
    convention = Presample(presample)
    sample = checked_returns(returns)
    if kind is VolatilityModel.EWMA_T:
        from risk.volatility.exponential import fit_exponential

        return fit_exponential(sample, decay=decay, presample=convention)
    if kind is VolatilityModel.CONSTANT_T:
        from risk.volatility.constant import fit_constant

        return fit_constant(sample, presample=convention)
    if kind in (VolatilityModel.EGARCH_T, VolatilityModel.COMPONENT_T):
        if prior is not None:
            raise DataError(f"a fit of {kind} takes no prior", field="prior")
        from risk.volatility.further import fit_further

        return fit_further(kind, sample, presample=convention)
    from risk.volatility.engine import fit_garch

    return fit_garch(kind, sample, prior=prior, presample=convention)


def checked_returns(returns: Array) -> Array:
    """Return `returns` as a contiguous float64 vector, or raise DataError when it is not a finite series."""
    sample = np.ascontiguousarray(returns, dtype=np.float64)
    if sample.ndim != 1:
        raise DataError(
            "returns must be one series",
            field="returns",
            value=f"shape {sample.shape}",
            remedy="fit one asset at a time",
        )
    bad = np.flatnonzero(~np.isfinite(sample))
    if bad.size:
        raise DataError(
            f"{bad.size} of {sample.size} returns are not finite, the first at position {bad[0]}",
            field="returns",
            value=str(sample[bad[0]]),
            remedy="leave out missing bars and non-positive prices before taking returns",
        )
    return sample


def unfitted(model: VolatilityModel, returns: Array, *, presample: Presample, minimum: int) -> FitResult | None:
    """Return the result of a window that cannot be fitted, or None when it can.

    A window is too short below `minimum` returns, and degenerate when the returns do not vary beyond rounding.
    """
    if returns.size < minimum:
        status = FitStatus.TOO_SHORT
    else:
        low, high = float(returns.min()), float(returns.max())
        if high - low > 1e-12 * max(abs(low), abs(high)):
            return None
        status = FitStatus.DEGENERATE
    return FitResult(
        model=model,
        presample=presample,
        parameters=MappingProxyType({}),
        log_likelihood=math.nan,
        n_observations=returns.size,
        status=status,
        boundary=(),
        gradient_norm=math.nan,
        newton_decrement=math.nan,
        n_starts=0,
        n_best_starts=0,
        persistence=math.nan,
        half_life_bars=math.nan,
        last_variance=math.nan,
        variances=read_only(np.empty(0)),
        residuals=read_only(np.empty(0)),
    )


def read_only(array: NDArray[np.floating[Any]]) -> Array:
    """Return `array` as float64 with writing switched off."""
    frozen: Array = np.asarray(array, dtype=np.float64)
    frozen.setflags(write=False)
    return frozen


def half_life(persistence: float) -> float:
    """Bars in which a variance shock halves: log(1/2) / log(persistence); 0 without persistence."""
    if persistence >= 1.0:
        return math.inf
    return math.log(0.5) / math.log(persistence) if persistence > 0.0 else 0.0
