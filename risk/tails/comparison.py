"""One-step loss quantiles of six methods side by side, and how far each understates.

McNeil and Frey (2000, Journal of Empirical Finance 7): the variance is filtered by a GARCH quasi-likelihood, the tail
of its standardised residuals is generalised Pareto. Beside it stand the same filter with the empirical quantile of
the residuals (filtered historical simulation, Barone-Adesi, Giannopoulos and Vosper 1999) and with the fitted law of
innovations, and without a filter the plain historical quantile, its generalised Pareto tail, and a Student-t law.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

import numpy as np

from risk.calibration import Side
from risk.errors import DataError, RefusalError
from risk.market import FloatArray, IntArray, frozen
from risk.tails.extreme_value import exceedance_count, fit_tail, tail_probability_floor, tail_quantile
from risk.volatility.engine import Optimum, extend_variances, filter_variances, fit_from
from risk.volatility.innovations import Innovations
from risk.volatility.models import FitResult, Presample, VolatilityModel, checked_returns


class Method(StrEnum):
    """From the most careful to the simplest."""

    MCNEIL_FREY = "mcneil_frey"
    FILTERED_HISTORICAL = "filtered_historical"
    PARAMETRIC = "parametric"
    UNCONDITIONAL_TAIL = "unconditional_tail"
    HISTORICAL = "historical"
    UNCONDITIONAL_NORMAL = "unconditional_normal"


@dataclass(frozen=True, slots=True)
class MethodTracks:
    """Forecasts of every method over the same bars.

    Attributes
    ----------
    positions : ndarray of int, shape (n,)
        Bars forecast.
    losses : ndarray of shape (n,)
        What came, as log moves; losses are positive.
    confidences : tuple of float
    quantiles : mapping of Method to ndarray of shape (n, n_confidences)
        One-step quantiles of the loss, as log moves.
    n_carried : int
        Refits that gave no parameters; the last usable ones stayed in force.
    """

    positions: IntArray
    losses: FloatArray
    confidences: tuple[float, ...]
    quantiles: Mapping[Method, FloatArray]
    n_carried: int


@dataclass(frozen=True, slots=True)
class Understatement:
    """How one method fared at one confidence.

    Attributes
    ----------
    method, confidence
    n, exceedances : int
    expected : float
    factor : float
        By which its quantiles must be multiplied to be exceeded exactly as often as they say, with hindsight; above
        1 the method understates. NaN where a forecast is not positive, or less than one exceedance is expected.
    relative_to_careful : float
        Mean of its quantile over that of McNeil and Frey.
    factor_interval : tuple of float
        Its 90 % interval from order statistics (the binomial number of losses beyond the true quantile); NaN as it.
    """

    method: Method
    confidence: float
    n: int
    exceedances: int
    expected: float
    factor: float
    relative_to_careful: float
    factor_interval: tuple[float, float]


def compare_methods(
    returns: FloatArray,
    *,
    window: int,
    confidences: Sequence[float] = (0.95, 0.99, 0.995, 0.999),
    refit_every: int = 1,
    exceedances: int | None = None,
    model: VolatilityModel = VolatilityModel.GARCH_T,
    side: Side = Side.DOWN,
    autoregressive: bool = False,
) -> MethodTracks:
    """Forecast every bar after the first window with every method; a forecast uses nothing from its own bar on.

    Parameters
    ----------
    returns : ndarray of shape (n,)
        Log returns per bar; finite.
    window, refit_every : int
        Bars.
    exceedances : int, optional
        Losses in each tail; by default `risk.tails.extreme_value.exceedance_count` of the window.
    model : VolatilityModel
        Of the filter, from the kernel.
    side : Side
    autoregressive : bool
        Filter an AR(1) mean (least squares) out of each window first, as McNeil and Frey do.

    Raises
    ------
    DataError
        Returns that are not finite, no bar after the window, or a confidence outside [0.5, 1).
    RefusalError
        A first window that cannot be fitted.
    """
    sample = checked_returns(returns)
    if not 0 < window < sample.size or refit_every < 1:
        raise DataError(f"a comparison over {sample.size} bars needs a shorter window", field="window", value=window)
    levels = tuple(confidences)
    if not all(0.5 <= level < 1.0 for level in levels):
        raise DataError("confidences lie from 0.5 to below 1", field="confidences", value=levels)
    k = exceedance_count(window)[0] if exceedances is None else exceedances
    sign = -1.0 if side is Side.DOWN else 1.0
    origins = range(window, sample.size, refit_every)
    out = {method: np.empty((sample.size - window, len(levels))) for method in Method}
    warm: Optimum | None = None
    last: FitResult | None = None
    n_carried = 0
    for origin in origins:
        stop = min(origin + refit_every, sample.size)
        past = sample[origin - window : origin]
        slope, intercept = _mean_equation(past) if autoregressive else (0.0, 0.0)
        lag = int(autoregressive)
        seen = sample[origin - window : stop]
        cleaned = np.ascontiguousarray(seen[lag:] - intercept - slope * seen[: seen.size - lag] * lag)
        fit, warm = fit_from(
            model, cleaned[: window - lag].copy(), prior=None, presample=Presample.EWMA75, n_starts=4, warm=warm
        )
        if not fit.usable:
            n_carried += 1
        if last is None and not fit.usable:
            raise RefusalError(f"{model} cannot be fitted on the first window ({fit.status})", field="window")
        last = fit if fit.usable or last is None else last
        mu = last.parameters["mu"]
        known, ahead = cleaned[: window - lag], cleaned[window - lag :]
        h = filter_variances(last.vector, known, presample=last.presample, model=model)
        inside = sign * (known - mu) / np.sqrt(h[:-1])
        following = extend_variances(last.vector, float(h[-1]), ahead[:-1], model=model)
        mean = sign * (mu + intercept + slope * seen[window - 1 : seen.size - 1] * lag)
        deviation = np.sqrt(following)
        law = Innovations(last.parameters["nu"], sign * last.skew)
        losses = sign * past
        block = slice(origin - window, stop - window)
        careful, plain = _Tail(inside, k), _Tail(losses, k)
        for column, level in enumerate(levels):
            out[Method.MCNEIL_FREY][block, column] = mean + deviation * careful.quantile(level)
            out[Method.FILTERED_HISTORICAL][block, column] = mean + deviation * _hazen(inside, level)
            out[Method.PARAMETRIC][block, column] = mean + deviation * float(law.quantile(level))
            out[Method.UNCONDITIONAL_TAIL][block, column] = plain.quantile(level)
            out[Method.HISTORICAL][block, column] = _hazen(losses, level)
            normal = float(Innovations(math.inf).quantile(level))
            out[Method.UNCONDITIONAL_NORMAL][block, column] = losses.mean() + losses.std() * normal
    return MethodTracks(
        positions=frozen(np.arange(window, sample.size), np.int64),
        losses=frozen(sign * sample[window:]),
        confidences=levels,
        quantiles=MappingProxyType({method: frozen(values) for method, values in out.items()}),
        n_carried=n_carried,
    )


def understatement(tracks: MethodTracks) -> tuple[Understatement, ...]:
    """How far each method understated each quantile, methods in order, confidences in order."""
    rows = []
    n = len(tracks.losses)
    for method, forecast in tracks.quantiles.items():
        for column, level in enumerate(tracks.confidences):
            quantile = forecast[:, column]
            careful = tracks.quantiles[Method.MCNEIL_FREY][:, column]
            reach = 1.645 * math.sqrt(level * (1.0 - level) / n)
            known = bool(np.all(quantile > 0.0)) and n * (1.0 - level) >= 1.0
            rows.append(
                Understatement(
                    method=method,
                    confidence=level,
                    n=n,
                    exceedances=int(np.sum(tracks.losses > quantile)),
                    expected=n * (1.0 - level),
                    factor=_hazen(tracks.losses / quantile, level) if known else math.nan,
                    relative_to_careful=float(quantile.mean() / careful.mean()),
                    factor_interval=(
                        _hazen(tracks.losses / quantile, max(level - reach, 0.0)) if known else math.nan,
                        _hazen(tracks.losses / quantile, min(level + reach, 1.0)) if known else math.nan,
                    ),
                )
            )
    return tuple(rows)


METHOD_SCHEMA = {
    "subject": "str", "method": "str", "confidence": "f8", "n": "i8", "exceedances": "i8", "expected": "f8",
    "factor": "f8", "relative_to_careful": "f8", "status": "str",
    "factor_lower": "f8", "factor_upper": "f8",
}  # fmt: skip
"""One-step quantiles of falls; see `Understatement`. A `factor` above 1 says by how much a method understated; it is 0,
and the status says so, where there is none."""
NO_FACTOR = "too few bars for a factor"


def method_rows(subject: str, returns: FloatArray, *, window: int, refit_every: int) -> tuple[tuple[object, ...], ...]:
    """Rows of `METHOD_SCHEMA`; none where history does not reach a quarter of the window beyond it."""
    if len(returns) < window + window // 4:
        return ()
    try:
        tracks = compare_methods(returns, window=window, refit_every=refit_every)
    except RefusalError:
        return ()
    rows = []
    for row in understatement(tracks):
        known = math.isfinite(row.factor)
        notes = [f"{tracks.n_carried} refits failed"] * (tracks.n_carried > 0) + [NO_FACTOR] * (not known)
        rows.append(
            (
                subject, str(row.method), row.confidence, row.n, row.exceedances, row.expected,
                row.factor if known else 0.0, row.relative_to_careful, ", ".join(notes) or "ok",
                *(row.factor_interval if known else (0.0, 0.0)),
            )
        )  # fmt: skip
    return tuple(rows)


def _mean_equation(sample: FloatArray) -> tuple[float, float]:
    """Slope and intercept of a least-squares AR(1)."""
    before, after = sample[:-1], sample[1:]
    centred = before - before.mean()
    variation = float(centred @ centred)
    slope = float(centred @ (after - after.mean())) / variation if variation > 0.0 else 0.0
    return slope, float(after.mean() - slope * before.mean())


def _hazen(sample: FloatArray, confidence: float) -> float:
    return float(np.quantile(sample, confidence, method="hazen"))


class _Tail:
    """Quantiles of a sample: its own below the threshold of its `k` largest losses, generalised Pareto beyond."""

    def __init__(self, losses: FloatArray, k: int) -> None:
        self.losses, self.k = losses, k
        self.fit = fit_tail(losses, threshold=float(np.partition(losses, -k - 1)[-k - 1]))

    def quantile(self, confidence: float) -> float:
        if confidence < tail_probability_floor(self.fit):
            return _hazen(self.losses, confidence)
        return tail_quantile(self.fit, confidence)
