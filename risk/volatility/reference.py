"""The reference path: the same models fitted by the package arch, for checks and for comparison.

arch is always called with `rescale=True` and its results are turned back: on raw returns it ends nats short of
the optimum without a flag. It is imported here only when called.
"""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from risk.errors import DataError
from risk.volatility.models import (
    MINIMUM_OBSERVATIONS,
    PARAMETER_NAMES,
    SKEW,
    Array,
    FitResult,
    FitStatus,
    Presample,
    VolatilityModel,
    checked_returns,
    half_life,
    read_only,
    unfitted,
)
from risk.volatility.plain import presample_variance

_STARTS = ((0.08, 0.90), (0.03, 0.96), (0.20, 0.75), (0.08, 0.60))
_SMALL = 1e-4
_OFFERED: dict[VolatilityModel, tuple[int, Literal["normal", "t", "skewt"]]] = {
    VolatilityModel.GARCH_NORMAL: (0, "normal"),
    VolatilityModel.GARCH_T: (0, "t"),
    VolatilityModel.GJR_T: (1, "t"),
    VolatilityModel.GARCH_SKEWT: (0, "skewt"),
    VolatilityModel.GJR_SKEWT: (1, "skewt"),
}
"""Lags of leverage and innovations, as arch names them; its `skewt` is Hansen's too."""


def fit_with_arch(
    model: VolatilityModel | str,
    returns: Array,
    *,
    presample: Presample | str = Presample.EWMA75,
    n_starts: int = 4,
) -> FitResult:
    """Fit GARCH or GJR by maximum likelihood with arch, from its own and further starting values.

    Parameters
    ----------
    model : VolatilityModel or its name
    returns : ndarray of shape (n_observations,)
        Log returns per bar; finite.
    presample : Presample or its name
        With `MEAN` the presample variance stands at the sample variance: arch cannot move it with mu.
    n_starts : int
        Starts besides arch's own, at most 4.

    Returns
    -------
    FitResult
        `gradient_norm` and `newton_decrement` are NaN: arch does not report them.

    Raises
    ------
    DataError
        Returns that are not finite, or a model that arch does not offer (ewma_t, score_t).
    """
    kind = VolatilityModel(model)
    convention = Presample(presample)
    sample = checked_returns(returns)
    if kind not in _OFFERED:
        raise DataError("arch does not fit this model", field="model", value=str(kind))
    blank = unfitted(kind, sample, presample=convention, minimum=MINIMUM_OBSERVATIONS)
    if blank is not None:
        return blank
    before = presample_variance(sample, float(sample.mean()), convention)
    # arch rescales by powers of ten only; unit variance first makes its choice the same for every series.
    unit = float(np.std(sample))
    starts: list[Array | None] = [None]
    for alpha, beta in _STARTS[:n_starts]:
        mean = float(sample.mean()) / unit
        starts.append(_to_arch(kind, np.array([mean, 1.0 - alpha - beta, alpha, 0.0, beta, 6.0, 0.0])))
    outcomes = [_run(kind, sample / unit, before / unit**2, start) for start in starts]
    best = max(outcomes, key=lambda outcome: float(outcome.loglikelihood))
    height = float(best.loglikelihood)
    agreed = sum(1 for outcome in outcomes if height - float(outcome.loglikelihood) < 1e-4)
    scale = float(best.scale) / unit
    values = best.params.to_numpy()
    leverage, law = _OFFERED[kind]
    gamma = float(values[3]) if leverage else 0.0
    tail = [*values[4 + leverage :], *([math.inf] if law == "normal" else [])]
    natural = (values[0] / scale, values[1] / scale**2, values[2], gamma, values[3 + leverage], *tail)
    names = (*PARAMETER_NAMES, SKEW)[: len(natural)]
    parameters = dict(zip(names, map(float, natural), strict=True))
    persistence = parameters["alpha"] + 0.5 * gamma + parameters["beta"]
    edges = {
        "alpha": parameters["alpha"] < _SMALL,
        "alpha+gamma": leverage == 1 and parameters["alpha"] + gamma < _SMALL,
        "beta": parameters["beta"] < _SMALL,
        "persistence": persistence > 1.0 - _SMALL,
        "nu": law != "normal" and (parameters["nu"] < 2.051 or parameters["nu"] > 200.0),
    }
    boundary = tuple(name for name, touched in edges.items() if touched)
    status = FitStatus.BOUNDARY if boundary else FitStatus.CONVERGED
    if best.convergence_flag != 0:
        status = FitStatus.NOT_CONVERGED
    variances = best.conditional_volatility**2 / scale**2
    residual = float(sample[-1]) - parameters["mu"]
    impact = parameters["alpha"] + gamma * (residual < 0.0)
    following = parameters["omega"] + impact * residual**2 + parameters["beta"] * float(variances[-1])
    return FitResult(
        model=kind,
        presample=convention,
        parameters=MappingProxyType(parameters),
        log_likelihood=height + sample.size * math.log(scale),
        n_observations=sample.size,
        status=status,
        boundary=boundary,
        gradient_norm=math.nan,
        newton_decrement=math.nan,
        n_starts=len(outcomes),
        n_best_starts=agreed,
        persistence=persistence,
        half_life_bars=half_life(persistence),
        last_variance=following,
        variances=read_only(variances),
        residuals=read_only((sample - parameters["mu"]) / np.sqrt(variances)),
    )


def arch_log_likelihood(
    model: VolatilityModel | str,
    parameters: Array,
    returns: Array,
    *,
    presample: Presample | str = Presample.EWMA75,
) -> float:
    """Log-likelihood in nats that arch itself gives to natural `parameters` (6,) or (7,) on `returns` (n,).

    With `Presample.MEAN` the presample variance is taken at the mean in `parameters`.
    """
    kind = VolatilityModel(model)
    sample = checked_returns(returns)
    scale = 1.0 / float(np.std(sample))
    before = presample_variance(sample, float(parameters[0]), Presample(presample)) * scale**2
    scaled = np.append(parameters, 0.0)[:7] * np.array([scale, scale**2, 1.0, 1.0, 1.0, 1.0, 1.0])
    values = _to_arch(kind, scaled)
    shape = {"normal": 0, "t": 1, "skewt": 2}[_OFFERED[kind][1]]
    outcome = _specification(kind, sample * scale)
    volatility = outcome.volatility
    residuals = sample * scale - values[0]
    bounds = volatility.variance_bounds(residuals)
    variances = np.empty(sample.size)
    volatility.compute_variance(values[1 : values.size - shape], residuals, variances, before, bounds)
    height = float(outcome.distribution.loglikelihood(values[values.size - shape :], residuals, variances))
    return height + sample.size * math.log(scale)


def _to_arch(model: VolatilityModel, parameters: Array) -> Array:
    """Natural parameters (7,) in arch's order, without those that the model does not have."""
    leverage, law = _OFFERED[model]
    tail = {"normal": parameters[5:5], "t": parameters[5:6], "skewt": parameters[5:7]}[law]
    middle = parameters[1:4] if leverage else parameters[1:3]
    return np.concatenate([parameters[:1], middle, parameters[4:5], tail])


def _specification(model: VolatilityModel, returns: Array) -> Any:
    from arch import arch_model

    leverage, law = _OFFERED[model]
    return arch_model(returns, vol="GARCH", p=1, o=leverage, q=1, dist=law, rescale=True)


def _run(model: VolatilityModel, returns: Array, before: float, start: Array | None) -> Any:
    specification = _specification(model, returns)
    # Of unit variance, the series keeps its scale (arch rescales outside 1 to 1000): `before` stays valid.
    return specification.fit(
        disp="off", show_warning=False, backcast=before, starting_values=start, options={"ftol": 1e-10}
    )
