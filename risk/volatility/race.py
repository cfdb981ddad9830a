"""The out-of-sample race: one-step forecasts of every model, refitted on a calendar, and who won."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from risk.errors import DataError
from risk.validation.comparison import DieboldMariano, diebold_mariano, model_confidence_set, simplest_within
from risk.validation.scores import fz0_score, quantile_loss
from risk.volatility.forecasters import Forecaster, Priors, forecaster
from risk.volatility.laws import PredictiveLaw, ScaledLaw
from risk.volatility.models import Array, FitStatus, VolatilityModel, checked_returns, read_only

BENCHMARK = VolatilityModel.EWMA_T

HURDLE = 0.002
"""Nats per bar that a less simple model must be better by, about the size of noise between such models."""

SET_LEVEL = 0.10
"""Models with a p-value of the confidence set below this are excluded: they are worse by more than noise."""


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
    tracks : mapping of name to ModelTrack
        From simple to less so; a `VolatilityModel` finds its track, too.
    """

    positions: NDArray[np.int64]
    returns: Array
    confidences: tuple[float, ...]
    window: int
    refit_every: int
    tracks: Mapping[str, ModelTrack]

    def quantile_losses(self, model: str, confidence: float) -> Array:
        """Quantile loss (n,) of falls, in log-return units."""
        column = self.confidences.index(confidence)
        return quantile_loss(-self.returns, self.tracks[model].var_long[:, column], confidence)

    def fz0_scores(self, model: str, confidence: float) -> Array:
        """Joint score (n,) of value at risk and expected shortfall of falls."""
        column, track = self.confidences.index(confidence), self.tracks[model]
        return fz0_score(-self.returns, track.var_long[:, column], track.es_long[:, column], confidence)


@dataclass(frozen=True, slots=True)
class RaceEntry:
    """How one model fared; differences and p-values are against the benchmark.

    Attributes
    ----------
    model : str
    has_density : bool
        Whether log score and CRPS are there; without them they are 0 and the model cannot win.
    log_score : float
        Mean log density in nats a bar; larger is better.
    difference, difference_error : float
        Of mean log scores, positive: better than the benchmark; with a HAC standard error.
    p_better : float
        Diebold and Mariano, against "better".
    confidence_set : float
        P-value of the model confidence set by log score.
    crps, quantile_loss, fz0 : float
        Means, smaller is better; the latter two of falls at the highest confidence walked.
    fz0_comparison : DieboldMariano
        Of the joint score of value at risk and expected shortfall.
    fz0_confidence_set : float
        P-value of the model confidence set by that score.
    """

    model: str
    has_density: bool
    log_score: float
    difference: float
    difference_error: float
    p_better: float
    confidence_set: float
    crps: float
    quantile_loss: float
    fz0: float
    fz0_comparison: DieboldMariano
    fz0_confidence_set: float

    @property
    def in_set(self) -> bool:
        """Whether the confidence set by log score holds the model."""
        return self.has_density and self.confidence_set >= SET_LEVEL


@dataclass(frozen=True, slots=True)
class Race:
    """Summary of a walk-forward: entries from simple to less so, and the winner under a hurdle."""

    entries: tuple[RaceEntry, ...]
    winner: str
    hurdle: float
    n_observations: int

    def entry(self, model: str) -> RaceEntry:
        """The entry of a model."""
        return next(entry for entry in self.entries if entry.model == model)


def walk_forward(
    returns: Array,
    models: Sequence[VolatilityModel | str | Forecaster],
    *,
    window: int,
    refit_every: int = 30,
    confidences: Sequence[float] = (0.95, 0.975, 0.99),
    priors: Priors | None = None,
    decay: float = 0.94,
    start: int | None = None,
    factors: Array | None = None,
) -> WalkForward:
    """Forecast every bar from `start` on one step ahead.

    Each model is fitted on the `window` bars before positions start, start + refit_every, ... and its state is
    filtered in between; a forecast uses nothing from its own bar on. What is forecast is one bar, so no target
    overlaps a window and nothing is left to purge. The benchmark ewma_t always runs.

    Parameters
    ----------
    returns : ndarray of shape (n,)
        Log returns per bar; finite.
    models : sequence of VolatilityModel, names or Forecaster
    window, refit_every : int
        Bars.
    confidences : sequence of float
        Each in (0.5, 1).
    priors : callable, optional
        Called with a model and the position of a refit, returns the prior known by then; not for ewma_t.
    decay : float
        Of ewma_t.
    start : int, optional
        Position of the first bar forecast, by default `window`; where it is less, windows grow up to `window`.
    factors : ndarray of shape (n,), optional
        Scale of each bar that was known before it, as of its hour of the day: models see returns over these.

    Raises
    ------
    DataError
        Returns that are not finite, no bar after the first window, a confidence out of range, or an unknown model.
    RefusalError
        A model that cannot be fitted on the first window.
    """
    sample = checked_returns(returns)
    first = window if start is None else start
    if not 0 < first <= window or first >= sample.size or refit_every < 1:
        raise DataError(f"a walk forward over {sample.size} bars needs a shorter window", field="window", value=first)
    if not all(0.5 < level < 1.0 for level in confidences):
        raise DataError("confidences lie between 0.5 and 1", field="confidences", value=tuple(confidences))
    entrants = [forecaster(model, priors=priors, decay=decay) for model in (BENCHMARK, *models)]
    distinct = {entrant.name: entrant for entrant in entrants}.values()
    refits = tuple(range(first, sample.size, refit_every))
    tracks = {}
    for entrant in sorted(distinct, key=lambda entrant: entrant.n_parameters):
        tracks[entrant.name] = _track(
            entrant, sample, refits, window=window, confidences=tuple(confidences), factors=factors
        )
    positions = np.arange(first, sample.size)
    positions.setflags(write=False)
    return WalkForward(
        positions=positions,
        returns=read_only(sample[first:].copy()),
        confidences=tuple(confidences),
        window=window,
        refit_every=refit_every,
        tracks=MappingProxyType(tracks),
    )


def race(walk: WalkForward, *, hurdle: float = HURDLE, generator: np.random.Generator | None = None) -> Race:
    """Name the winner among the models that the confidence set holds; see `choose`.

    Parameters
    ----------
    walk : WalkForward
    hurdle : float
        Nats per bar of the mean log score.
    generator : numpy.random.Generator, optional
        Of the confidence set's bootstrap; by default one of seed 0.
    """
    generator = np.random.default_rng(0) if generator is None else generator
    level = max(walk.confidences)
    densities = {name: -track.log_scores for name, track in walk.tracks.items() if track.log_scores is not None}
    tails = {name: walk.fz0_scores(name, level) for name in walk.tracks}
    by_density = model_confidence_set(densities, generator=generator)
    by_tail = model_confidence_set(tails, generator=generator)
    entries = []
    for name, track in walk.tracks.items():
        fared = None if name not in densities else diebold_mariano(densities[name], densities[BENCHMARK])
        entries.append(
            RaceEntry(
                model=track.model,
                has_density=fared is not None,
                log_score=0.0 if track.log_scores is None else float(track.log_scores.mean()),
                difference=0.0 if fared is None else 0.0 - fared.difference,
                difference_error=0.0 if fared is None else fared.standard_error,
                p_better=1.0 if fared is None else fared.p_better,
                confidence_set=by_density.get(name, 0.0),
                crps=0.0 if track.crps is None else float(track.crps.mean()),
                quantile_loss=float(walk.quantile_losses(name, level).mean()),
                fz0=float(tails[name].mean()),
                fz0_comparison=diebold_mariano(tails[name], tails[BENCHMARK]),
                fz0_confidence_set=by_tail[name],
            )
        )
    inside = [entry.model for entry in entries if entry.in_set]
    winner = choose({name: float(scores.mean()) for name, scores in densities.items()}, inside, hurdle=hurdle)
    return Race(tuple(entries), winner, hurdle, walk.returns.size)


def choose(means: Mapping[str, float], inside: Sequence[str], *, hurdle: float = HURDLE) -> str:
    """The model that wins: the simplest within `hurdle` of the best, so that ties go to the simpler.

    The benchmark is the yardstick and the fall-back, no contestant: it wins where it is alone, or ahead of every
    other by more than the hurdle. Its quantiles are too narrow where its mean score still ties.

    Parameters
    ----------
    means : mapping of name to float
        Mean losses (minus the log score), smaller is better.
    inside : sequence of str
        Models that may win, from simple to less so; at least one.
    hurdle : float
        Nats a bar.
    """
    others = [name for name in inside if name != BENCHMARK]
    if not others:
        return BENCHMARK
    ahead = BENCHMARK in inside and means[BENCHMARK] < min(means[name] for name in others) - hurdle
    return BENCHMARK if ahead else simplest_within(means, others, hurdle=hurdle)


def choices_in_time(walk: WalkForward, *, default: str, minimum: int, hurdle: float = HURDLE) -> tuple[str, ...]:
    """The model in use on every bar, chosen by what was known then.

    At each refit that of `choose` by the mean log scores of the bars before it; `default` while there are fewer than
    `minimum` of those.

    Returns
    -------
    tuple of str
        One name a bar of the walk.
    """
    scores = {name: track.log_scores for name, track in walk.tracks.items() if track.log_scores is not None}
    chosen: list[str] = []
    for begin in range(0, walk.returns.size, walk.refit_every):
        name = default
        if begin >= minimum:
            means = {model: -float(score[:begin].mean()) for model, score in scores.items()}
            name = choose(means, list(scores), hurdle=hurdle)
        chosen += [name] * min(walk.refit_every, walk.returns.size - begin)
    return tuple(chosen)


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
    law, variances, came = forecasts.law, forecasts.variances, returns[refits[0] :]
    if factors is not None:
        ahead = factors[refits[0] :]
        law, variances = ScaledLaw(law, ahead), read_only(variances * ahead**2)
    var_long = np.column_stack([-law.quantile(1.0 - level) for level in confidences])
    var_short = np.column_stack([law.quantile(level) for level in confidences])
    exceptions_long, exceptions_short = -came[:, None] > var_long, came[:, None] > var_short
    for exceptions in (exceptions_long, exceptions_short):
        exceptions.setflags(write=False)
    log_scores, crps = law.log_density(came), law.crps(came)
    return ModelTrack(
        model=entrant.name,
        n_parameters=entrant.n_parameters,
        law=law,
        variances=variances,
        log_scores=None if log_scores is None else read_only(log_scores),
        crps=None if crps is None else read_only(crps),
        var_long=read_only(var_long),
        es_long=read_only(np.column_stack([law.shortfall(level, rise=False) for level in confidences])),
        var_short=read_only(var_short),
        es_short=read_only(np.column_stack([law.shortfall(level, rise=True) for level in confidences])),
        exceptions_long=exceptions_long,
        exceptions_short=exceptions_short,
        refits=refits,
        statuses=forecasts.statuses,
        n_carried=forecasts.n_carried,
    )
