"""The backtest stage: what riskcal would have forecast for every asset before every bar, against what came.

On each bar the model in use is the one that the bars before it speak for; after an alarm of the hit monitor the
benchmark stands in for a while. Forecasts are of one bar, so they do not overlap. No figure of an asset depends on
another asset; pooled ones resample blocks of dates, because assets crash together.
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from risk.calibration import Side
from risk.errors import DataError, DefectError, RefusalError
from risk.market import FloatArray, IntArray, MarketSnapshot, Verdict
from risk.settings import Settings
from risk.tails.calibrate import subject_tasks
from risk.tails.evidence import MINIMUM_RACE, RUN_LENGTH, hour_factors, left_out_status, priors_known
from risk.tails.subject import SubjectOutcome, SubjectTask
from risk.validation.recalibration import recalibration_factors
from risk.validation.scores import fz0_score, quantile_loss
from risk.validation.stability import fall_back_bars
from risk.volatility.models import VolatilityModel
from risk.volatility.prior import vintages
from risk.volatility.race import BENCHMARK, WalkForward, choices_in_time, walk_forward
from risk.volatility.track import LeftOut

QUOTED = 0.99
"""Confidence of the bar, of the dated exceptions and of the hit monitor."""
EXCEEDED = (0.02, 0.05, 0.10, 0.20)
"""Falls within a bar whose probability is forecast, for reliability diagrams and Brier scores."""
NO_RISK = 1e-8
"""Expected shortfall of a bar below which a forecast says that there is no risk: a rounded price that stands still."""
MINIMUM_FORECASTS = 20
"""Bars out of sample below which there is no record."""
STALE = "stale"
"""Quality check of how long ago a series ended."""
_DAY = 86400

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
    outcomes, exceedances
        By side and confidence, and by threshold.
    models
        Rows of the table of models.
    reason
        Why there is no record; empty when there is.
    """

    subject: str
    interval: int = 0
    observed_at: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    used: tuple[str, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    exceedances: tuple[Exceedance, ...] = ()
    models: tuple[Row, ...] = ()
    reason: str = ""

    @property
    def days(self) -> IntArray:
        """Day number (n,) of each bar's middle, so that days which end at different hours of one night match."""
        days: IntArray = (self.observed_at - self.interval // 2) // _DAY
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
    put right by what became of those before (`risk.validation.recalibration`); the benchmark stays as it is.
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
            "to forecast are the least"
        )
    interval = task.series.interval
    walk = walk_forward(
        returns, models.volatility, window=max(models.walk_forward_window, start), refit_every=models.refit_interval,
        confidences=sorted({c for c in models.confidence if c > 0.5} | {QUOTED}),
        priors=priors_known(observed_at, interval), start=start,
        factors=hour_factors(observed_at, returns, interval, settings, start=start),
    )  # fmt: skip
    default = VolatilityModel.GARCH_T if VolatilityModel.GARCH_T in walk.known_tracks else BENCHMARK
    chosen = choices_in_time(walk, default=default, minimum=MINIMUM_RACE)
    column = walk.confidences.index(QUOTED)
    hits = -walk.returns > _in_use(walk, chosen, "var_long")[:, column]
    fallen, alarms = fall_back_bars(hits, 1.0 - QUOTED, run_length=RUN_LENGTH, probation=MINIMUM_RACE)
    used = tuple(BENCHMARK if away else name for name, away in zip(chosen, fallen, strict=True))
    outcomes = []
    for side, sign, word in ((Side.DOWN, -1.0, "long"), (Side.UP, 1.0, "short")):
        known = {kind: getattr(walk.tracks[BENCHMARK], f"{kind}_{word}") for kind in ("var", "es")}
        ours = {kind: _in_use(walk, used, f"{kind}_{word}") for kind in known}
        for index, confidence in enumerate(walk.confidences):
            losses = sign * walk.returns
            factors = recalibration_factors(
                losses, ours["var"][:, index], confidence=confidence, every=models.refit_interval
            )
            outcomes.append(
                Outcome(
                    side, confidence, losses, factors * ours["var"][:, index], factors * ours["es"][:, index],
                    known["var"][:, index], known["es"][:, index], factors,
                )
            )  # fmt: skip
    still = sum(int(np.sum(np.minimum(o.es, o.benchmark_es) < NO_RISK)) for o in outcomes[:1])
    if still:
        raise RefusalError(f"the price stands still: forecasts see no risk on {still} of {len(used)} bars")
    times = observed_at[walk.positions]
    dates = ", ".join(str(np.datetime64(int(times[alarm]), "s"))[:10] for alarm in alarms)
    rows = (
        *(_model_row(task.subject, walk, name, used, dates) for name in walk.tracks),
        *(_left_out_row(task.subject, one, used, observed_at) for one in walk.left_out),
    )
    exceedances = tuple(_exceedance(walk, used, threshold) for threshold in EXCEEDED)
    return SubjectRecord(task.subject, interval, times, used, tuple(outcomes), exceedances, rows)


def _exceedance(walk: WalkForward, used: tuple[str, ...], threshold: float) -> Exceedance:
    move = np.full(walk.returns.size, np.log1p(-threshold))
    names = np.array(used)
    benchmark = walk.tracks[BENCHMARK].law.transform(move)
    if benchmark is None:
        raise DefectError("the benchmark forecasts whole laws")
    ours = benchmark.copy()
    for model, track in walk.known_tracks.items():
        mask = (names == str(model))[: len(track.variances)]
        if mask.any() and (found := track.law.transform(move[: len(mask)])) is not None:
            ours[: len(mask)][mask] = found[mask]
    return Exceedance(threshold, walk.returns < move, ours, benchmark)


def _first_vintage() -> int:
    """Unix seconds of the first day with a pooled prior."""
    return int(np.datetime64(vintages()[0], "s").astype(np.int64))


def _in_use(walk: WalkForward, chosen: tuple[str, ...], name: str) -> FloatArray:
    """Forecasts (n, n_confidences) of the model in use on each bar."""
    names = np.array(chosen)
    out = np.array(getattr(walk.tracks[BENCHMARK], name))
    for model, track in walk.known_tracks.items():
        mask = (names == str(model))[: len(track.variances)]
        out[: len(mask)][mask] = getattr(track, name)[mask]
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
