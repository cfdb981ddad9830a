"""The backtest stage: what riskcal would have forecast for every asset before every bar, against what came.

On each bar the model in use is the one that the bars before it speak for; after an alarm of the hit monitor the
benchmark stands in for a while. Forecasts are of one bar, so they do not overlap. No figure of an asset depends on
another asset; pooled ones resample blocks of dates, because assets crash together.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from risk.calibration import Side
from risk.errors import DataError, DefectError, RefusalError
from risk.market import FloatArray, IntArray, MarketSnapshot, Verdict
from risk.settings import Settings
from risk.tails.calibrate import subject_tasks
from risk.tails.challengers import challenger_rows
from risk.tails.evidence import MINIMUM_RACE, RUN_LENGTH, hour_factors, left_out_status, priors_known
from risk.tails.peg import depeg_law
from risk.tails.spacing import spacing_remedy
from risk.tails.subject import SubjectOutcome, SubjectTask
from risk.tails.week import WeekRecord, week_record
from risk.units import DAY
from risk.validation.recalibration import recalibration_factors
from risk.validation.scores import fz0_score, quantile_loss
from risk.validation.stability import fall_back_bars
from risk.volatility.models import VolatilityModel
from risk.volatility.prior import vintages
from risk.volatility.race import BENCHMARK, WalkForward, choices_in_time, walk_forward
from risk.volatility.track import LeftOut, ModelTrack

QUOTED = 0.99
"""Confidence of the bar, of the dated exceptions and of the hit monitor."""
LEVEL = 0.05
"""Of one-sided tests."""
EXCEEDED = (0.02, 0.05, 0.10, 0.20)
"""Falls within a bar whose probability is forecast, for reliability diagrams and Brier scores."""
NO_RISK = 1e-8
"""Expected shortfall of a bar below which a forecast says that there is no risk: a rounded price that stands still."""
MINIMUM_FORECASTS = 20
"""Bars out of sample below which there is no record."""
STALE = "stale"
"""Quality check of how long ago a series ended."""

Row = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Forecasts of one side at one confidence against what came, each (n,), in log-return units, losses positive.

    `var` and `es` are those of the laws in use times `factors` (`risk.validation.recalibration`).
    """

    side: Side
    confidence: float
    losses: FloatArray
    var: FloatArray
    es: FloatArray
    benchmark_var: FloatArray
    benchmark_es: FloatArray
    factors: FloatArray

    @property
    def exceptions(self) -> npt.NDArray[np.bool_]:
        """Losses strictly beyond the forecast."""
        return np.asarray(self.losses > self.var)

    @property
    def benchmark_exceptions(self) -> npt.NDArray[np.bool_]:
        """The same of the benchmark."""
        return np.asarray(self.losses > self.benchmark_var)

    def simple(self, log_losses: FloatArray) -> FloatArray:
        """Simple losses: 1 - e^-x of who holds, e^x - 1 of who is short."""
        sign = -1.0 if self.side is Side.DOWN else 1.0
        loss: FloatArray = sign * np.expm1(sign * log_losses)
        return loss

    def quantile_losses(self) -> tuple[FloatArray, FloatArray]:
        """Of the model in use, and of the benchmark, in simple moves: a quantile moves with its scale."""
        loss, ours, theirs = (self.simple(x) for x in (self.losses, self.var, self.benchmark_var))
        return quantile_loss(loss, ours, self.confidence), quantile_loss(loss, theirs, self.confidence)

    def fz0_scores(self) -> tuple[FloatArray, FloatArray]:
        """Of the model in use, and of the benchmark, in log moves: a mean beyond a quantile does not move so."""
        ours = fz0_score(self.losses, self.var, self.es, self.confidence)
        return ours, fz0_score(self.losses, self.benchmark_var, self.benchmark_es, self.confidence)


@dataclass(frozen=True, slots=True)
class Variant:
    """Falls at `QUOTED` as another rule would have forecast them: value at risk (n,) in log-return units."""

    name: str
    var: FloatArray


@dataclass(frozen=True, slots=True)
class Exceedance:
    """Probabilities of a fall beyond a threshold, and whether it came; each (n,)."""

    threshold: float
    events: npt.NDArray[np.bool_]
    probabilities: FloatArray
    benchmark: FloatArray


@dataclass(frozen=True, slots=True)
class SubjectRecord:
    """What the walk-forward of one subject left, or why there is none.

    Attributes
    ----------
    subject, interval
        Name, and bar length in seconds.
    observed_at
        (n,) end times of the bars forecast.
    used
        Model in use on each bar.
    outcomes, exceedances, variants
        By side and confidence, by threshold, and by what else could have been in use.
    pegged
        Whether the asset should keep a price: forecasts in use hold the pooled depeg jump.
    week
        Falls over weeks; None without daily bars or with too few.
    deviations, transforms, crps
        (n,) of the model in use: forecast volatility of log returns, probability integral transforms of what came,
        and continuous ranked probability scores.
    models, challengers
        Rows of the tables of models, and of further forecasters beside them.
    reason
        Why there is no record; empty when there is.
    """

    subject: str
    interval: int = 0
    observed_at: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    used: tuple[str, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    exceedances: tuple[Exceedance, ...] = ()
    deviations: FloatArray = field(default_factory=lambda: np.empty(0))
    transforms: FloatArray = field(default_factory=lambda: np.empty(0))
    crps: FloatArray = field(default_factory=lambda: np.empty(0))
    variants: tuple[Variant, ...] = ()
    pegged: bool = False
    week: WeekRecord | None = None
    models: tuple[Row, ...] = ()
    challengers: tuple[Row, ...] = ()
    reason: str = ""

    @property
    def days(self) -> IntArray:
        """Day number (n,) of each bar's middle, so that days which end at different hours of one night match."""
        days: IntArray = (self.observed_at - self.interval // 2) // DAY
        return days


def backtest_subjects(
    snapshot: MarketSnapshot, settings: Settings, executor: Executor | None = None
) -> tuple[SubjectRecord, ...]:
    """Walk every asset forward; the records do not depend on the executor, nor one asset on another."""
    tasks = [task for task in subject_tasks(snapshot, settings) if ":" not in task.subject]
    refused = {
        task.subject: task.reason if isinstance(task, SubjectOutcome) else _bad(snapshot, task.subject)
        for task in tasks
    }
    walked = [task for task in tasks if isinstance(task, SubjectTask) and not refused[task.subject]]
    run = map if executor is None else executor.map
    found = {record.subject: record for record in run(backtest_subject, walked, [settings] * len(walked))}
    return tuple(found.get(name) or SubjectRecord(name, reason=reason) for name, reason in refused.items())


def _bad(snapshot: MarketSnapshot, asset: str) -> str:
    """Why the quality of an asset's closes forbids a record; empty where it does not.

    That a series has ended does not: assets that died belong to the record.
    """
    rows = snapshot.quality.where(series=snapshot.close(asset).id, verdict=Verdict.BAD.value).rows()
    said = "; ".join(f"{row['check']}: {row['detail']}" for row in rows if row["check"] != STALE)
    return f"the quality of the series is bad: {said}" if said else ""


def backtest_subject(task: SubjectTask, settings: Settings) -> SubjectRecord:
    """Walk one asset forward as it would have been calibrated.

    The first forecast is made from `models.minimum_observations` returns, and not before the first vintage of the
    pooled prior, until which calibration refuses.
    Windows grow up to `models.walk_forward_window`. Until `MINIMUM_RACE` bars speak for a choice the model is
    garch_t, or the benchmark where garch_t is not among the settings' models. At each refit the forecasts in use are
    put right by what became of those before (`risk.validation.recalibration`). Those of a pegged asset hold the pooled
    depeg jump, as its paths do. The benchmark, to compare with, stays as it is.
    """
    try:
        return _walked(task, settings)
    except (DataError, RefusalError, np.linalg.LinAlgError) as error:
        return SubjectRecord(task.subject, reason=str(error))


def _walked(task: SubjectTask, settings: Settings) -> SubjectRecord:
    models = settings.models
    observed_at, returns = task.series.as_of(task.as_of).log_returns()
    start = max(models.minimum_observations, int(np.searchsorted(observed_at, _first_vintage())) + 1)
    if len(returns) < start + MINIMUM_FORECASTS:
        raise RefusalError(
            f"{len(returns)} returns between neighbouring bars are known; {start} before the first fit "
            f"(models.minimum_observations, and none before the first pooled prior) and {MINIMUM_FORECASTS} "
            f"to forecast are the least{spacing_remedy(task.series)}"
        )
    interval = task.series.interval
    window = max(models.walk_forward_window, start)
    factors = hour_factors(observed_at, returns, interval, settings, start=start)
    walk = walk_forward(
        returns, models.volatility, window=window, refit_every=models.refit_interval,
        confidences=sorted({c for c in models.confidence if c > 0.5} | {QUOTED}),
        priors=priors_known(observed_at, interval), start=start, factors=factors,
    )  # fmt: skip
    default = VolatilityModel.GARCH_T if VolatilityModel.GARCH_T in walk.known_tracks else BENCHMARK
    chosen = choices_in_time(walk, default=default, minimum=MINIMUM_RACE)
    column = walk.confidences.index(QUOTED)
    times = observed_at[walk.positions]
    forecasts = _with_jumps(walk, observed_at[walk.positions - 1], task) if task.pegged else walk
    hits = -walk.returns > _in_use(forecasts, chosen, "var_long")[:, column]
    fallen, alarms = fall_back_bars(hits, 1.0 - QUOTED, run_length=RUN_LENGTH, probation=MINIMUM_RACE)
    used = tuple(BENCHMARK if away else name for name, away in zip(chosen, fallen, strict=True))
    outcomes = []
    for side, sign, word in ((Side.DOWN, -1.0, "long"), (Side.UP, 1.0, "short")):
        known = {kind: getattr(walk.tracks[BENCHMARK], f"{kind}_{word}") for kind in ("var", "es")}
        ours = {kind: _in_use(forecasts, used, f"{kind}_{word}") for kind in known}
        for index, confidence in enumerate(walk.confidences):
            losses = sign * walk.returns
            scaling = recalibration_factors(
                losses, ours["var"][:, index], confidence=confidence, every=models.refit_interval
            )
            outcomes.append(
                Outcome(
                    side, confidence, losses, scaling * ours["var"][:, index], scaling * ours["es"][:, index],
                    known["var"][:, index], known["es"][:, index], scaling,
                )
            )  # fmt: skip
    still = sum(int(np.sum(np.minimum(o.es, o.benchmark_es) < NO_RISK)) for o in outcomes[:1])
    if still:
        raise RefusalError(f"the price stands still: forecasts see no risk on {still} of {len(used)} bars")
    dates = ", ".join(str(np.datetime64(int(times[alarm]), "s"))[:10] for alarm in alarms)
    rows = (
        *(_model_row(task.subject, walk, name, used, dates) for name in walk.tracks),
        *(_left_out_row(task.subject, one, used, observed_at) for one in walk.left_out),
    )
    exceedances = tuple(_exceedance(walk, forecasts, used, threshold) for threshold in EXCEEDED)
    variants = _variants(walk, forecasts, used, models.refit_interval)
    deviations = np.sqrt(_of_used(walk, used, lambda track, _: track.variances))
    transforms = _of_used(forecasts, used, lambda track, bars: track.law.transform(walk.returns[bars]))
    crps = _of_used(walk, used, lambda track, _: track.crps)
    falls = next(o for o in outcomes if o.side is Side.DOWN and o.confidence == QUOTED)
    challengers = challenger_rows(
        (task.subject, interval), returns, start, factors, falls.var, crps, QUOTED, window=window
    )
    week = week_record(task, settings, observed_at, returns, start=start) if interval == DAY else None
    return SubjectRecord(
        task.subject, interval, times, used, tuple(outcomes), exceedances, deviations, transforms, crps, variants,
        task.pegged, week, rows, challengers,
    )  # fmt: skip


def _with_jumps(walk: WalkForward, known_at: IntArray, task: SubjectTask) -> WalkForward:
    """Tracks with the pooled depeg jump in their forecasts of value at risk, shortfall and probabilities."""

    def moved(track: ModelTrack) -> ModelTrack:
        law = depeg_law(track.law, known_at[: len(track.variances)], task.series.interval, task.backing)
        return replace(
            track,
            law=law,
            var_long=np.column_stack([-law.quantile(1.0 - level) for level in walk.confidences]),
            es_long=np.column_stack([law.shortfall(level, rise=False) for level in walk.confidences]),
            var_short=np.column_stack([law.quantile(level) for level in walk.confidences]),
            es_short=np.column_stack([law.shortfall(level, rise=True) for level in walk.confidences]),
        )

    tracks = {name: moved(track) for name, track in walk.tracks.items()}
    ended = (one if one.track is None else replace(one, track=moved(one.track)) for one in walk.left_out)
    return replace(walk, tracks=MappingProxyType(tracks), left_out=tuple(ended))


def _variants(walk: WalkForward, forecasts: WalkForward, used: tuple[str, ...], every: int) -> tuple[Variant, ...]:
    """What else could have been in use: see the names."""
    column = walk.confidences.index(QUOTED)

    def scaled(var: FloatArray) -> FloatArray:
        return var * recalibration_factors(-walk.returns, var, confidence=QUOTED, every=every)

    plain = _in_use(forecasts, used, "var_long")[:, column]
    found = {"in use": scaled(plain), "in use, not scaled": plain}
    if forecasts is not walk:
        found["in use, no depeg jump"] = scaled(_in_use(walk, used, "var_long")[:, column])
    if VolatilityModel.GARCH_T in walk.tracks:
        found["always GARCH-t"] = scaled(forecasts.tracks[VolatilityModel.GARCH_T].var_long[:, column])
    found["always EWMA-t, as it is"] = walk.tracks[BENCHMARK].var_long[:, column]
    return tuple(Variant(name, var) for name, var in found.items())


def _exceedance(walk: WalkForward, forecasts: WalkForward, used: tuple[str, ...], threshold: float) -> Exceedance:
    move = np.full(walk.returns.size, np.log1p(-threshold))
    ours = _of_used(forecasts, used, lambda track, bars: track.law.transform(move[bars]))
    benchmark = _of_used(walk, (BENCHMARK,) * len(used), lambda track, bars: track.law.transform(move[bars]))
    return Exceedance(threshold, walk.returns < move, ours, benchmark)


def _first_vintage() -> int:
    """Unix seconds of the first day with a pooled prior."""
    return int(np.datetime64(vintages()[0], "s").astype(np.int64))


def _in_use(walk: WalkForward, chosen: tuple[str, ...], name: str) -> FloatArray:
    """Forecasts (n, n_confidences) of the model in use on each bar."""
    return _of_used(walk, chosen, lambda track, _: getattr(track, name))


def _of_used(
    walk: WalkForward, chosen: tuple[str, ...], part: Callable[[ModelTrack, slice], FloatArray | None]
) -> FloatArray:
    """A part (n, ...) of the tracks, on each bar that of the model in use; the benchmark's where that has none.

    `part` gets a track and its bars: that of an entrant which was left out ends early.
    """
    benchmark = part(walk.tracks[BENCHMARK], slice(walk.returns.size))
    if benchmark is None:
        raise DefectError("the benchmark forecasts whole laws")
    names, out = np.array(chosen), np.array(benchmark)
    for model, track in walk.known_tracks.items():
        bars = slice(len(track.variances))
        mask = names[bars] == str(model)
        if mask.any() and (found := part(track, bars)) is not None:
            out[bars][mask] = found[mask]
    return out


def _model_row(subject: str, walk: WalkForward, name: str, used: tuple[str, ...], alarms: str) -> Row:
    track = walk.tracks[name]
    n = sum(model == name for model in used)
    score = 0.0 if track.log_scores is None else float(track.log_scores.mean())
    status = f"{track.n_carried} of {len(track.refits)} refits failed" if track.n_carried else "ok"
    return subject, str(name), n, n / len(used), score, alarms, status


def _left_out_row(subject: str, one: LeftOut, used: tuple[str, ...], observed_at: IntArray) -> Row:
    n = sum(model == one.model for model in used)
    scores = None if one.track is None else one.track.log_scores
    score = 0.0 if scores is None else float(scores.mean())
    return subject, str(one.model), n, n / len(used), score, "", left_out_status(one, observed_at)
