"""The track of one entrant over a walk-forward, or the bar and the reason for which it has none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from risk.errors import RefusalError
from risk.volatility.forecasters import Forecaster
from risk.volatility.laws import PredictiveLaw, ScaledLaw
from risk.volatility.models import Array, FitStatus, read_only


@dataclass(frozen=True, slots=True)
class ModelTrack:
    """One-step forecasts of one model and how they fared.

    Attributes
    ----------
    model : str
        Its `VolatilityModel` where it has one.
    n_parameters : int
        Estimated from each window.
    law : PredictiveLaw
        Of the n bars.
    variances : ndarray of shape (n,)
        Forecast variance of each bar.
    log_scores : ndarray of shape (n,), or None
        Log density of what came, in nats; larger is better. None for a model of quantiles only.
    crps : ndarray of shape (n,), or None
        Continuous ranked probability score of log returns; smaller is better.
    var_long, es_long, var_short, es_short : ndarray of shape (n, n_confidences)
        Value at risk and expected shortfall in log-return units, positive numbers: of a fall for the long side,
        of a rise for the short side. Turn them into simple returns before money is at stake; the shortfall of a
        simple rise is infinite under Student-t innovations.
    exceptions_long, exceptions_short : ndarray of bool, shape (n, n_confidences)
    refits : tuple of int
        Positions of the bars before which the model was fitted again.
    statuses : tuple of FitStatus
        How each refit ended.
    n_carried : int
        Refits that gave no parameters; the last usable ones stayed in force.
    """

    model: str
    n_parameters: int
    law: PredictiveLaw
    variances: Array
    log_scores: Array | None
    crps: Array | None
    var_long: Array
    es_long: Array
    var_short: Array
    es_short: Array
    exceptions_long: NDArray[np.bool_]
    exceptions_short: NDArray[np.bool_]
    refits: tuple[int, ...]
    statuses: tuple[FitStatus, ...]
    n_carried: int


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An entrant that could not be fitted or scored, and what it had forecast before.

    Attributes
    ----------
    model : str
    position : int
        In the series, of the first bar that it has no forecast of that can be scored.
    reason : str
    track : ModelTrack or None
        Of the bars before; None where there are none.
    """

    model: str
    position: int
    reason: str
    track: ModelTrack | None = None


class _UnscorableError(Exception):
    """A forecast that no score is defined for, and the position of its bar."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(reason)
        self.position = position


def entered(
    entrant: Forecaster,
    returns: Array,
    refits: tuple[int, ...],
    *,
    window: int,
    confidences: tuple[float, ...],
    factors: Array | None,
) -> ModelTrack | LeftOut:
    """The track of an entrant over all bars, or why there is none, with its track up to there.

    Parameters
    ----------
    entrant : Forecaster
    returns : ndarray of shape (n,)
        Finite.
    refits : tuple of int
        Ascending positions; the first bar is forecast from the first.
    window, confidences, factors
        As in `risk.volatility.race.walk_forward`.
    """
    first, stop, reason = refits[0], returns.size, ""
    while stop > first:
        known, past = tuple(origin for origin in refits if origin < stop), None if factors is None else factors[:stop]
        try:
            track = _track(entrant, returns[:stop], known, window=window, confidences=confidences, factors=past)
        except _UnscorableError as error:
            stop, reason = error.position, str(error)
        except RefusalError as error:
            return LeftOut(entrant.name, first, error.message)
        except np.linalg.LinAlgError as error:
            return LeftOut(entrant.name, first, f"{entrant.name} cannot be fitted ({error})")
        else:
            return track if stop == returns.size else LeftOut(entrant.name, stop, reason, track)
    return LeftOut(entrant.name, first, reason)


def _scorable(name: str, values: Array, first: int, *, positive: bool = False) -> Array:
    """Values (n,) or (n, n_confidences), read-only; raises where one is not finite, or not positive but ought to."""
    good = np.isfinite(values) & (values > 0.0) if positive else np.isfinite(values)
    if not good.all():
        bar = int(np.argmin(good.reshape(len(values), -1).all(axis=1)))
        worst = float(values[bar].min())
        raise _UnscorableError(first + bar, f"its {name} of {worst:.3g} cannot be scored")
    return read_only(values)


def _track(
    entrant: Forecaster,
    returns: Array,
    refits: tuple[int, ...],
    *,
    window: int,
    confidences: tuple[float, ...],
    factors: Array | None,
) -> ModelTrack:
    forecasts = entrant.forecast(returns if factors is None else returns / factors, refits, window=window)
    first, came = refits[0], returns[refits[0] :]
    law, variances = forecasts.law, _scorable("variance", forecasts.variances, first, positive=True)
    if factors is not None:
        ahead = factors[first:]
        law, variances = ScaledLaw(law, ahead), read_only(variances * ahead**2)
    var_long = _scorable("value at risk", np.column_stack([-law.quantile(1.0 - c) for c in confidences]), first)
    var_short = _scorable("value at risk", np.column_stack([law.quantile(c) for c in confidences]), first)
    es_long, es_short = (
        _scorable(
            "shortfall", np.column_stack([law.shortfall(c, rise=rise) for c in confidences]), first, positive=True
        )
        for rise in (False, True)
    )
    exceptions_long, exceptions_short = -came[:, None] > var_long, came[:, None] > var_short
    for exceptions in (exceptions_long, exceptions_short):
        exceptions.setflags(write=False)
    log_scores, crps = law.log_density(came), law.crps(came)
    return ModelTrack(
        model=entrant.name,
        n_parameters=entrant.n_parameters,
        law=law,
        variances=variances,
        log_scores=None if log_scores is None else _scorable("log score", log_scores, first),
        crps=None if crps is None else _scorable("CRPS", crps, first),
        var_long=var_long,
        es_long=es_long,
        var_short=var_short,
        es_short=es_short,
        exceptions_long=exceptions_long,
        exceptions_short=exceptions_short,
        refits=refits,
        statuses=forecasts.statuses,
        n_carried=forecasts.n_carried,
    )
