"""The out-of-sample race: one-step forecasts of every model, refitted on a calendar, and who won."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from risk.errors import DataError, RefusalError
from risk.volatility.engine import refit_rolling
from risk.volatility.models import (
    Array,
    FitResult,
    FitStatus,
    ParameterPrior,
    VolatilityModel,
    checked_returns,
    fit,
    read_only,
)
from risk.volatility.plain import student_log_density

BENCHMARK = VolatilityModel.EWMA_T

SIMPLICITY = (VolatilityModel.EWMA_T, VolatilityModel.GARCH_T, VolatilityModel.GJR_T)
"""From simple to less so."""

HURDLE = 0.002
"""Nats per bar that a less simple model must be better by, about the size of noise between such models."""

Priors = Callable[[VolatilityModel, int], ParameterPrior | None]


@dataclass(frozen=True, slots=True)
class ModelTrack:
    """One-step forecasts of one model and how they fared.

    Attributes
    ----------
    model : VolatilityModel
    variances, nu, mu : ndarray of shape (n,)
        Forecast variance, degrees of freedom and mean of each bar.
    log_scores : ndarray of shape (n,)
        Log density of what came, in nats; larger is better.
    var_long, es_long, var_short, es_short : ndarray of shape (n, n_confidences)
        Value at risk and expected shortfall in log-return units, positive numbers: of a fall for the long side,
        of a rise for the short side. Turn them into simple returns before money is at stake; the shortfall of a
        simple rise is infinite under these innovations.
    exceptions_long, exceptions_short : ndarray of bool, shape (n, n_confidences)
    refits : tuple of int
        Positions of the bars before which the model was fitted again.
    statuses : tuple of FitStatus
        How each refit ended.
    n_carried : int
        Refits that gave no parameters; the last usable ones stayed in force.
    """

    model: VolatilityModel
    variances: Array
    nu: Array
    mu: Array
    log_scores: Array
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
class WalkForward:
    """Tracks of all models over the same bars.

    Attributes
    ----------
    positions : ndarray of int, shape (n,)
        Positions in the series of the bars forecast.
    returns : ndarray of shape (n,)
        What came.
    confidences : tuple of float
    window, refit_every : int
    tracks : mapping of VolatilityModel to ModelTrack
    """

    positions: NDArray[np.int64]
    returns: Array
    confidences: tuple[float, ...]
    window: int
    refit_every: int
    tracks: Mapping[VolatilityModel, ModelTrack]


@dataclass(frozen=True, slots=True)
class RaceEntry:
    """Mean log score of a model, and its difference to the benchmark with a HAC standard error (nats per bar)."""

    model: VolatilityModel
    log_score: float
    difference: float
    difference_error: float


@dataclass(frozen=True, slots=True)
class Race:
    """Summary of a walk-forward: entries from simple to less so, and the winner under a hurdle."""

    entries: tuple[RaceEntry, ...]
    winner: VolatilityModel
    hurdle: float
    n_observations: int


def walk_forward(
    returns: Array,
    models: Sequence[VolatilityModel | str],
    *,
    window: int,
    refit_every: int = 30,
    confidences: Sequence[float] = (0.95, 0.975, 0.99),
    priors: Priors | None = None,
    decay: float = 0.94,
) -> WalkForward:
    """Forecast every bar after the first window one step ahead.

    Each model is fitted on the `window` bars before positions window, window + refit_every, ... and its variance
    is filtered in between; a forecast uses nothing from its own bar on. The benchmark ewma_t always runs.

    Parameters
    ----------
    returns : ndarray of shape (n,)
        Log returns per bar; finite.
    models : sequence of VolatilityModel or names
    window, refit_every : int
        Bars.
    confidences : sequence of float
        Each in (0.5, 1).
    priors : callable, optional
        Called with a model and the position of a refit, returns the prior known by then; not for ewma_t.
    decay : float
        Of ewma_t.

    Raises
    ------
    DataError
        Returns that are not finite, no bar after the first window, or a confidence out of range.
    RefusalError
        A model that cannot be fitted on the first window.
    """
    sample = checked_returns(returns)
    if not 0 < window < sample.size or refit_every < 1:
        raise DataError(f"a walk forward over {sample.size} bars needs a shorter window", field="window", value=window)
    if not all(0.5 < level < 1.0 for level in confidences):
        raise DataError("confidences lie between 0.5 and 1", field="confidences", value=tuple(confidences))
    kinds = {BENCHMARK, *map(VolatilityModel, models)}
    refits = tuple(range(window, sample.size, refit_every))
    tracks = {}
    for model in SIMPLICITY:
        if model in kinds:
            fits = _fits(model, sample, refits, window=window, priors=priors, decay=decay)
            tracks[model] = _track(model, sample, refits, fits, tuple(confidences))
    positions = np.arange(window, sample.size)
    positions.setflags(write=False)
    return WalkForward(
        positions=positions,
        returns=read_only(sample[window:].copy()),
        confidences=tuple(confidences),
        window=window,
        refit_every=refit_every,
        tracks=MappingProxyType(tracks),
    )


def race(walk: WalkForward, *, hurdle: float = HURDLE) -> Race:
    """Name the winner: the simplest model whose mean log score is within `hurdle` of the best.

    Parameters
    ----------
    walk : WalkForward
    hurdle : float
        Nats per bar.
    """
    reference = walk.tracks[BENCHMARK].log_scores
    entries = []
    for model, track in walk.tracks.items():
        difference = track.log_scores - reference
        entries.append(
            RaceEntry(
                model=model,
                log_score=float(track.log_scores.mean()),
                difference=float(difference.mean()),
                difference_error=hac_error(difference),
            )
        )
    best = max(entry.log_score for entry in entries)
    winner = next(entry.model for entry in entries if entry.log_score >= best - hurdle)
    return Race(tuple(entries), winner, hurdle, reference.size)


def hac_error(series: Array, *, n_lags: int | None = None) -> float:
    """Standard error of a mean that allows for autocorrelation and changing variance.

    Newey and West (1987) with Bartlett weights and, by default, floor(4 (n / 100)^(2/9)) lags (1994).

    Parameters
    ----------
    series : ndarray of shape (n,)
        NaN makes the error NaN.
    n_lags : int, optional
    """
    n = series.size
    lags = min(int(4 * (n / 100) ** (2 / 9)), n - 1) if n_lags is None else n_lags
    centred = series - series.mean()
    total = float(centred @ centred)
    for lag in range(1, lags + 1):
        total += 2.0 * (1.0 - lag / (lags + 1)) * float(centred[lag:] @ centred[:-lag])
    return math.sqrt(total) / n


def student_quantile(nu: Array, probability: float) -> Array:
    """Quantile of Student-t innovations scaled to unit variance, elementwise over `nu` (n,)."""
    from scipy.special import stdtrit

    quantile: Array = stdtrit(nu, probability) * np.sqrt((nu - 2.0) / nu)
    return quantile


def student_shortfall(nu: Array, confidence: float) -> Array:
    """Mean of Student-t innovations of unit variance beyond their quantile at `confidence`, over `nu` (n,).

    McNeil, Frey and Embrechts (2015), example 2.15.
    """
    from scipy.special import gammaln, stdtrit

    quantile = stdtrit(nu, confidence)
    log_density = gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * np.log(np.pi * nu)
    density = np.exp(log_density - 0.5 * (nu + 1) * np.log1p(quantile**2 / nu))
    mean: Array = density / (1.0 - confidence) * (nu + quantile**2) / (nu - 1.0) * np.sqrt((nu - 2.0) / nu)
    return mean


def _fits(
    model: VolatilityModel,
    returns: Array,
    refits: Sequence[int],
    *,
    window: int,
    priors: Priors | None,
    decay: float,
) -> tuple[FitResult, ...]:
    if model is VolatilityModel.EWMA_T:
        return tuple(fit(model, returns[origin - window : origin], decay=decay) for origin in refits)
    prior = None if priors is None else [priors(model, origin) for origin in refits]
    return refit_rolling(model, returns, refits, window=window, prior=prior)


def _track(
    model: VolatilityModel,
    returns: Array,
    refits: tuple[int, ...],
    fits: tuple[FitResult, ...],
    confidences: tuple[float, ...],
) -> ModelTrack:
    first = refits[0]
    if not fits[0].usable:
        raise RefusalError(
            f"{model} cannot be fitted on the first window ({fits[0].status})",
            field="window",
            value=first,
            remedy="use a longer window",
        )
    n = returns.size - first
    h, mu, nu, scores = (np.empty(n) for _ in range(4))
    last = fits[0]
    variance = last.last_variance
    for origin, stop, result in zip(refits, (*refits[1:], returns.size), fits, strict=True):
        if result.usable:
            last, variance = result, result.last_variance
        values = last.parameters
        block = slice(origin - first, stop - first)
        mu[block], nu[block] = values["mu"], values["nu"]
        for t in range(origin, stop):
            h[t - first] = variance
            e = returns[t] - values["mu"]
            impact = values["alpha"] + values["gamma"] * (e < 0.0)
            variance = values["omega"] + impact * e**2 + values["beta"] * variance
        z = (returns[origin:stop] - values["mu"]) / np.sqrt(h[block])
        scores[block] = student_log_density(z, values["nu"]) - 0.5 * np.log(h[block])
    deviation = np.sqrt(h)[:, None]
    quantile = np.column_stack([student_quantile(nu, level) for level in confidences])
    shortfall = np.column_stack([student_shortfall(nu, level) for level in confidences])
    centre = mu[:, None]
    var_long, var_short = deviation * quantile - centre, deviation * quantile + centre
    came = returns[first:, None]
    exceptions_long, exceptions_short = -came > var_long, came > var_short
    for exceptions in (exceptions_long, exceptions_short):
        exceptions.setflags(write=False)
    return ModelTrack(
        model=model,
        variances=read_only(h),
        nu=read_only(nu),
        mu=read_only(mu),
        log_scores=read_only(scores),
        var_long=read_only(var_long),
        es_long=read_only(deviation * shortfall - centre),
        var_short=read_only(var_short),
        es_short=read_only(deviation * shortfall + centre),
        exceptions_long=exceptions_long,
        exceptions_short=exceptions_short,
        refits=refits,
        statuses=tuple(result.status for result in fits),
        n_carried=sum(1 for result in fits if not result.usable),
    )
