"""The out-of-sample race: one-step forecasts of every model, refitted on a calendar, and who won."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from risk.errors import DataError, RefusalError
from risk.validation.comparison import DieboldMariano, diebold_mariano, model_confidence_set, simplest_within
from risk.validation.scores import fz0_score, quantile_loss
from risk.volatility.forecasters import Forecaster, Priors, forecaster
from risk.volatility.models import Array, VolatilityModel, checked_returns, read_only
from risk.volatility.track import LeftOut, ModelTrack, entered

BENCHMARK = VolatilityModel.EWMA_T

HURDLE = 0.002
"""Nats per bar that a less simple model must be better by, about the size of noise between such models."""

SET_LEVEL = 0.10
"""Models with a p-value of the confidence set below this are excluded: they are worse by more than noise."""


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
    left_out : tuple of LeftOut
        Entrants that did not reach the last bar; they are not compared.
    """

    positions: NDArray[np.int64]
    returns: Array
    confidences: tuple[float, ...]
    window: int
    refit_every: int
    tracks: Mapping[str, ModelTrack]
    left_out: tuple[LeftOut, ...] = ()

    @property
    def known_tracks(self) -> Mapping[str, ModelTrack]:
        """Tracks with those of entrants left out, which are shorter; from simple to less so."""
        every = [*self.tracks.values(), *(one.track for one in self.left_out if one.track is not None)]
        return {track.model: track for track in sorted(every, key=lambda track: track.n_parameters)}

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
    overlaps a window and nothing is left to purge. The benchmark ewma_t always runs. Another entrant that cannot be
    fitted, or whose forecast of a bar cannot be scored (a variance, quantile or shortfall that is not finite, a
    variance or shortfall that is not positive), is left out by name and the rest race on.

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
        The benchmark cannot be fitted on the first window, or scored.
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
    tracks, left_out = {}, []
    for entrant in sorted(distinct, key=lambda entrant: entrant.n_parameters):
        found = entered(entrant, sample, refits, window=window, confidences=tuple(confidences), factors=factors)
        if isinstance(found, ModelTrack):
            tracks[found.model] = found
        elif found.model == BENCHMARK:
            raise RefusalError(found.reason, field="window", value=found.position, remedy="use a longer window")
        else:
            left_out.append(found)
    positions = np.arange(first, sample.size)
    positions.setflags(write=False)
    return WalkForward(
        positions=positions,
        returns=read_only(sample[first:].copy()),
        confidences=tuple(confidences),
        window=window,
        refit_every=refit_every,
        tracks=MappingProxyType(tracks),
        left_out=tuple(left_out),
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
    `minimum` of those. The benchmark stands in from the bar on that the model in use has no forecast of.

    Returns
    -------
    tuple of str
        One name a bar of the walk.
    """
    scores = {name: track.log_scores for name, track in walk.known_tracks.items() if track.log_scores is not None}
    chosen: list[str] = []
    for begin in range(0, walk.returns.size, walk.refit_every):
        there = {name: score for name, score in scores.items() if score.size > begin}
        name = default if default in there else BENCHMARK
        if begin >= minimum:
            means = {model: -float(score[:begin].mean()) for model, score in there.items()}
            name = choose(means, list(there), hurdle=hurdle)
        n = min(walk.refit_every, walk.returns.size - begin)
        kept = min(n, there[name].size - begin)
        chosen += [name] * kept + [BENCHMARK] * (n - kept)
    return tuple(chosen)
