"""GARCH(1,1), GJR(1,1) and the score-driven t: fit, rolling refits and filtering on the compiled kernel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Executor
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from risk.errors import DataError
from risk.volatility import kernel, search
from risk.volatility.coordinates import FORMS, kernel_parameters, natural_parameters, problem
from risk.volatility.density import NORMAL
from risk.volatility.kernel import Form, Problem
from risk.volatility.models import (
    MINIMUM_OBSERVATIONS,
    MINIMUM_UNPOOLED,
    PARAMETER_NAMES,
    SKEW,
    Array,
    FitResult,
    FitStatus,
    ParameterPrior,
    Presample,
    VolatilityModel,
    checked_returns,
    half_life,
    read_only,
    unfitted,
)
from risk.volatility.plain import presample_variance

_SMALL = 1e-4
_RENEWED = 0.01  # share of a window that is new when rolling refits search from cold starts again


class Optimum(NamedTuple):
    """Where a search ended, in the kernel's terms; the start of the next window."""

    x: Array
    metric: Array
    scale: float


def fit_garch(
    model: VolatilityModel,
    returns: Array,
    *,
    prior: ParameterPrior | None = None,
    presample: Presample = Presample.EWMA75,
    n_starts: int = 4,
) -> FitResult:
    """Fit a model of the kernel from `n_starts` cold starts (at most 4); see `risk.volatility.models.fit`."""
    return fit_from(model, returns, prior=prior, presample=presample, n_starts=n_starts, warm=None)[0]


def fit_batch(
    model: VolatilityModel,
    samples: Sequence[Array],
    *,
    prior: ParameterPrior | None = None,
    presample: Presample = Presample.EWMA75,
    n_starts: int = 4,
    executor: Executor | None = None,
) -> tuple[FitResult, ...]:
    """Fit a model of the kernel to each of `samples`; the results do not depend on the executor.

    The compiled search releases the interpreter lock, so that threads share the work.

    Raises
    ------
    DataError
        Returns that are not finite, of any sample: nothing is left out in silence.
    """
    checked = [checked_returns(sample) for sample in samples]
    one = partial(fit_garch, model, prior=prior, presample=presample, n_starts=n_starts)
    run = map if executor is None else executor.map
    return tuple(run(one, checked))


def refit_rolling(
    model: VolatilityModel,
    returns: Array,
    origins: Sequence[int],
    *,
    window: int | None = None,
    prior: ParameterPrior | Sequence[ParameterPrior | None] | None = None,
    presample: Presample = Presample.EWMA75,
    n_starts: int = 4,
) -> tuple[FitResult, ...]:
    """Fit a model of the kernel on the window that ends just before each origin.

    Each search starts where the last window ended, with its metric; and beside it from `n_starts` cold starts
    whenever a hundredth of the window is new since the last time, or the last fit is no interior optimum (at an edge
    the likelihood is flat and holds a search), so that windows do not stay in an old optimum that has become the worse
    one. With `n_starts=0` only the first window is searched in full, blind to such a change.

    Parameters
    ----------
    model : VolatilityModel
    returns : ndarray of shape (n,)
        Log returns per bar; finite.
    origins : sequence of int
        Ascending positions in 0..n; the window of origin o is returns[o - window : o].
    window : int, optional
        Bars in a window; None takes everything before the origin.
    prior : ParameterPrior, or a sequence with one per origin, optional
        A sequence where what is known changes over time.
    presample, n_starts
        As in `fit_garch`.

    Returns
    -------
    tuple of FitResult
        One per origin.

    Raises
    ------
    DataError
        Returns that are not finite, or an origin outside the series or with less than `window` bars before it.
    """
    sample = checked_returns(returns)
    shortest = 0 if window is None else window
    results: list[FitResult] = []
    warm: Optimum | None = None
    searched, interior = -math.inf, False  # origin of the last window with cold starts, and how the last fit ended
    known = prior if isinstance(prior, Sequence) else [prior] * len(origins)
    for origin, prior_now in zip(origins, known, strict=True):
        if not shortest <= origin <= sample.size:
            raise DataError(
                f"an origin needs {shortest} bars before it and lies within {sample.size} bars",
                field="origins",
                value=str(origin),
            )
        piece = sample[0 if window is None else origin - window : origin]
        anew = not interior or origin - searched >= _RENEWED * piece.size
        starts = max(n_starts, 4) if warm is None else n_starts if anew else 0
        searched = origin if starts else searched
        result, warm = fit_from(model, piece, prior=prior_now, presample=presample, n_starts=starts, warm=warm)
        interior = result.status is FitStatus.CONVERGED
        results.append(result)
    return tuple(results)


def filter_variances(
    parameters: Array,
    returns: Array,
    *,
    presample: Presample = Presample.EWMA75,
    model: VolatilityModel = VolatilityModel.GARCH_T,
) -> Array:
    """Conditional variances of a series under given parameters.

    Parameters
    ----------
    parameters : ndarray of shape (6,)
        (mu, omega, alpha, gamma, beta, nu), as in `FitResult.vector`.
    returns : ndarray of shape (n,)
        Log returns per bar; finite.
    presample : Presample
    model : VolatilityModel
        Only whether its recursion is score-driven matters.

    Returns
    -------
    ndarray of shape (n + 1,)
        h[1..n] and the forecast h[n + 1], read-only.

    Raises
    ------
    DataError
        Returns that are not finite.
    """
    sample = checked_returns(returns)
    out = np.empty(sample.size + 1)
    before = presample_variance(sample, float(parameters[0]), presample)
    form = Form(*FORMS[model], 1.0)
    kernel.variances(sample, kernel_parameters(parameters), np.array([before, 0.0, 0.0]), form, out)
    return read_only(out)


def extend_variances(
    parameters: Array, variance: float, returns: Array, *, model: VolatilityModel = VolatilityModel.GARCH_T
) -> Array:
    """Variances of the bars that follow a window, one step ahead each.

    Parameters
    ----------
    parameters : ndarray of shape (6,)
        (mu, omega, alpha, gamma, beta, nu).
    variance : float
        Forecast for the first bar after the window, as `FitResult.last_variance`.
    returns : ndarray of shape (m,)
        What came in these bars.
    model : VolatilityModel
        Only whether its recursion is score-driven matters.

    Returns
    -------
    ndarray of shape (m + 1,)
        `variance`, and the forecast after each of the returns.
    """
    mu, omega, alpha, gamma, beta, nu = parameters
    driven = FORMS[model][1]
    out = np.empty(returns.size + 1)
    out[0] = variance
    for t, e in enumerate(returns - mu):
        weight = (nu + 1.0) / (nu - 2.0 + e * e / out[t]) if driven else 1.0
        out[t + 1] = omega + (alpha + gamma * (e < 0.0)) * weight * e**2 + beta * out[t]
    return out


def fit_from(
    model: VolatilityModel,
    returns: Array,
    *,
    prior: ParameterPrior | None,
    presample: Presample,
    n_starts: int,
    warm: Optimum | None,
) -> tuple[FitResult, Optimum | None]:
    """Fit finite `returns` from where the search of another window ended, and from `n_starts` cold starts beside.

    Returns
    -------
    The fit, and where its search ended: the `warm` of the next window. A window that cannot be fitted passes on the
    one it was given.
    """
    minimum = MINIMUM_OBSERVATIONS if prior is None else MINIMUM_OBSERVATIONS // 2
    if model is VolatilityModel.SCORE_T and prior is None:
        minimum = MINIMUM_UNPOOLED
    blank = unfitted(model, returns, presample=presample, minimum=minimum)
    if blank is not None:
        return blank, warm
    stated = problem(model, returns, prior=prior, presample=presample)
    start = np.zeros(kernel.SIZE)
    start_metric = np.eye(kernel.SIZE)
    if warm is not None:
        # The coordinates are relative to the window's own scale, which has moved.
        start = warm.x.copy()
        start[0] *= warm.scale / stated.scale
        start[1] += 2.0 * math.log(warm.scale / stated.scale)
        start_metric = warm.metric
    x, metric, value, decrement, norm, flag, tried, agreed = search.search(
        stated, start, start_metric, warm is not None, n_starts
    )
    parameters = natural_parameters(x, stated)
    mu, _, alpha, gamma, beta = parameters[:5]
    names = PARAMETER_NAMES if x[6] == 0.0 else (*PARAMETER_NAMES, SKEW)
    theta = np.empty(kernel.SIZE)
    kernel.natural(x, stated.form, theta)
    h = np.empty(returns.size + 1)
    kernel.variances(stated.y, theta, stated.presample, stated.form, h)
    h *= stated.scale**2
    persistence = float(alpha + 0.5 * gamma + beta)
    boundary = _at_boundary(theta, persistence, stated)
    status = FitStatus.BOUNDARY if boundary else FitStatus.CONVERGED
    if flag != search.CONVERGED or not math.isfinite(value):
        status = FitStatus.NOT_CONVERGED
    height = kernel.log_likelihood(stated.y, theta, stated.presample, stated.form)
    result = FitResult(
        model=model,
        presample=presample,
        parameters=MappingProxyType(dict(zip(names, parameters.tolist()[: len(names)], strict=True))),
        log_likelihood=float(height - returns.size * math.log(stated.scale)),
        n_observations=returns.size,
        status=status,
        boundary=boundary,
        gradient_norm=float(norm),
        newton_decrement=float(decrement),
        n_starts=int(tried),
        n_best_starts=int(agreed),
        persistence=persistence,
        half_life_bars=half_life(persistence),
        last_variance=float(h[-1]),
        variances=read_only(h[:-1].copy()),
        residuals=read_only((returns - mu) / np.sqrt(h[:-1])),
    )
    return result, Optimum(x, metric, stated.scale)


def _at_boundary(theta: Array, persistence: float, stated: Problem) -> tuple[str, ...]:
    """Names of what ended at the edge of its range; `theta` in the kernel's terms."""
    _, _, up, down, beta, nu, skew = theta
    form = stated.form
    edges = {
        "alpha": up < _SMALL,
        "alpha+gamma": form.leverage and down < _SMALL,
        "beta": beta < _SMALL,
        "persistence": persistence > form.bound - _SMALL,
        "nu": form.innovations != NORMAL and (nu < kernel.NU_FLOOR + 1e-3 or nu > 200.0),
        SKEW: abs(skew) > 0.95,
    }
    return tuple(name for name, touched in edges.items() if touched)
