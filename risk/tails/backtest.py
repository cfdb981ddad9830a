"""The backtest stage: what riskcal would have forecast for every asset before every bar, against what came.

On each bar the model in use is the one that the bars before it speak for; after an alarm of the hit monitor the
benchmark stands in for a while. Forecasts are of one bar, so they do not overlap. No figure of an asset depends on
another asset; pooled ones resample blocks of dates, because assets crash together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import numpy.typing as npt

from risk import track_record as tables
from risk.artifact import Table
from risk.calibration import Side
from risk.errors import DataError, RefusalError
from risk.market import FloatArray, IntArray, MarketSnapshot, Verdict
from risk.settings import Settings
from risk.streams import stream
from risk.tails.calibrate import subject_tasks
from risk.tails.evidence import MINIMUM_RACE, priors_known
from risk.tails.subject import SubjectOutcome, SubjectTask
from risk.track_record import TrackRecord
from risk.validation.comparison import date_block_bootstrap, diebold_mariano
from risk.validation.coverage import coverage_test
from risk.validation.expected_shortfall import acerbi_szekely
from risk.validation.independence import dynamic_quantile_test, independence_test
from risk.validation.scores import fz0_score, quantile_loss
from risk.validation.stability import fall_back_bars
from risk.volatility.models import VolatilityModel
from risk.volatility.prior import vintages
from risk.volatility.race import BENCHMARK, WalkForward, choices_in_time, walk_forward

SETTINGS_READ = ("seed", "assets", "models")
"""Parts of the settings that the stage reads."""
QUOTED = 0.99
"""Confidence of the bar, of the dated exceptions and of the hit monitor."""
LEVEL = 0.05
"""Of one-sided tests."""
BLOCK_DATES = 20
"""Days in a block of the bootstrap: about what a crash and its aftershocks last."""
RUN_LENGTH = 2500
"""Mean bars to a false alarm of the hit monitor, at least."""
MINIMUM_FORECASTS = 20
"""Bars out of sample below which there is no record."""
STALE = "stale"
"""Quality check of how long ago a series ended."""
_DAY = 86400

Row = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Forecasts of one side at one confidence against what came, each (n,), in log-return units, losses positive."""

    side: Side
    confidence: float
    losses: FloatArray
    var: FloatArray
    es: FloatArray
    benchmark_var: FloatArray
    benchmark_es: FloatArray

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
    outcomes
        By side and confidence.
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
    garch_t, or the benchmark where garch_t is not among the settings' models.
    """
    try:
        return _walked(task, settings)
    except (DataError, RefusalError, np.linalg.LinAlgError) as error:
        return SubjectRecord(task.subject, reason=str(error))


def assemble_track_record(
    snapshot: MarketSnapshot,
    settings: Settings,
    records: tuple[SubjectRecord, ...],
    *,
    inputs: Mapping[str, str] | None = None,
) -> TrackRecord:
    """Make the artifact: rows of every subject, pooled rows, and the bar."""
    there = [record for record in records if not record.reason]
    rows = [row for record in there for row in _record_rows(record)]
    record_table = Table.from_rows(tables.RECORD_SCHEMA, rows)
    pooled = Table.from_rows(tables.POOLED_SCHEMA, _pooled_rows(there, settings.seed))
    return TrackRecord(
        as_of=snapshot.as_of,
        record=record_table,
        pooled=pooled,
        criteria=Table.from_rows(tables.CRITERIA_SCHEMA, _criteria(record_table, pooled)),
        exceptions=Table.from_rows(tables.EXCEPTION_SCHEMA, (row for r in there for row in _exception_rows(r))),
        models=Table.from_rows(tables.MODEL_SCHEMA, (row for record in there for row in record.models)),
        unavailable=Table.from_rows(tables.UNAVAILABLE_SCHEMA, ((r.subject, r.reason) for r in records if r.reason)),
        inputs={"snapshot": snapshot.artifact().content_hash} if inputs is None else inputs,
        settings_hash=settings.hash_of(*SETTINGS_READ),
    )


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
    )  # fmt: skip
    default = VolatilityModel.GARCH_T if VolatilityModel.GARCH_T in walk.tracks else BENCHMARK
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
            outcomes.append(
                Outcome(
                    side, confidence, sign * walk.returns, ours["var"][:, index], ours["es"][:, index],
                    known["var"][:, index], known["es"][:, index],
                )
            )  # fmt: skip
    times = observed_at[walk.positions]
    dates = ", ".join(str(np.datetime64(int(times[alarm]), "s"))[:10] for alarm in alarms)
    rows = tuple(_model_row(task.subject, walk, name, used, dates) for name in walk.tracks)
    return SubjectRecord(task.subject, interval, times, used, tuple(outcomes), rows)


def _first_vintage() -> int:
    """Unix seconds of the first day with a pooled prior."""
    return int(np.datetime64(vintages()[0], "s").astype(np.int64))


def _in_use(walk: WalkForward, chosen: tuple[str, ...], name: str) -> FloatArray:
    """Forecasts (n, n_confidences) of the model in use on each bar."""
    names = np.array(chosen)
    out = np.array(getattr(walk.tracks[BENCHMARK], name))
    for model, track in walk.tracks.items():
        mask = names == str(model)
        out[mask] = getattr(track, name)[mask]
    return out


def _model_row(subject: str, walk: WalkForward, name: str, used: tuple[str, ...], alarms: str) -> Row:
    track = walk.tracks[name]
    n = sum(model == name for model in used)
    score = 0.0 if track.log_scores is None else float(track.log_scores.mean())
    status = f"{track.n_carried} of {len(track.refits)} refits failed" if track.n_carried else "ok"
    return subject, str(name), n, n / len(used), score, alarms, status


def _record_rows(record: SubjectRecord) -> Iterable[Row]:
    times = record.observed_at
    for outcome in record.outcomes:
        p = 1.0 - outcome.confidence
        hits = outcome.exceptions
        n, count = len(hits), int(hits.sum())
        test = coverage_test(count, n, p)
        (ours, theirs), (fz0, benchmark_fz0) = outcome.quantile_losses(), outcome.fz0_scores()
        yield (
            record.subject, record.interval, str(outcome.side), outcome.confidence, int(times[0]), int(times[-1]), n,
            count, n * p, test.too_many_p_value, test.two_sided_p_value, test.too_many_p_value >= LEVEL,
            independence_test(hits, p).independence_p_value,
            dynamic_quantile_test(outcome.losses, outcome.var, outcome.confidence).p_value,
            acerbi_szekely(outcome.losses, outcome.var, outcome.es, outcome.confidence).unconditional,
            float(ours.mean()), float(theirs.mean()), 1.0 - diebold_mariano(ours, theirs).p_better,
            float(fz0.mean()), float(benchmark_fz0.mean()), 1.0 - diebold_mariano(fz0, benchmark_fz0).p_better,
            int(outcome.benchmark_exceptions.sum()),
        )  # fmt: skip


def _exception_rows(record: SubjectRecord) -> Iterable[Row]:
    for outcome in record.outcomes:
        if outcome.confidence != QUOTED:
            continue
        loss, var = outcome.simple(outcome.losses), outcome.simple(outcome.var)
        for i in np.flatnonzero(outcome.exceptions).tolist():
            yield (
                record.subject, str(outcome.side), QUOTED, int(record.observed_at[i]), record.used[i],
                float(loss[i]), float(var[i]),
            )  # fmt: skip


def _pooled_rows(records: list[SubjectRecord], seed: int) -> Iterable[Row]:
    for interval, group in _by_interval(records):
        for number, first in enumerate(group[0].outcomes):
            side, confidence = first.side, first.confidence
            parts = [record.outcomes[number] for record in group]
            days = np.concatenate([record.days for record in group])
            hits, benchmark_hits = (
                np.concatenate([getattr(part, name) for part in parts]).astype(np.float64)
                for name in ("exceptions", "benchmark_exceptions")
            )
            losses = np.concatenate([np.column_stack(part.quantile_losses()) for part in parts])
            scores = np.concatenate([np.column_stack(part.fz0_scores()) for part in parts])
            rate, quantile, joint = (
                date_block_bootstrap(
                    days, values, block=BLOCK_DATES,
                    generator=stream(seed, "backtest", f"{interval}/{side}/{confidence}/{name}"),
                )
                for name, values in (
                    ("rate", hits), ("quantile", losses[:, 0] - losses[:, 1]), ("fz0", scores[:, 0] - scores[:, 1])
                )
            )  # fmt: skip
            yield (
                interval, str(side), confidence, len(group), rate.n_dates, len(hits), int(hits.sum()), rate.estimate,
                rate.lower, rate.upper, float(benchmark_hits.mean()),
                float(losses[:, 0].mean() / losses[:, 1].mean()), quantile.p_negative, joint.estimate,
                joint.p_negative,
            )  # fmt: skip


def _by_interval(records: list[SubjectRecord]) -> list[tuple[int, list[SubjectRecord]]]:
    ordered = sorted(records, key=lambda record: (-record.interval, record.subject))
    return [(interval, list(group)) for interval, group in groupby(ordered, key=lambda record: record.interval)]


def _criteria(record: Table, pooled: Table) -> list[Row]:
    """The bar, by length of bars, on falls at the quoted confidence."""
    rows: list[Row] = []
    for row in pooled.where(side=str(Side.DOWN), confidence=QUOTED).rows():
        interval = row["interval"]
        own = record.where(side=str(Side.DOWN), confidence=QUOTED, interval=interval)
        n = len(own)
        passing = int(own["passes"].sum())
        failing = ", ".join(own.take(~own["passes"])["subject"].tolist()) or "none"
        share = passing / n
        rows += [
            (interval, "pooled exceedance", row["rate"], "0.7 % to 1.3 %", 0.007 <= row["rate"] <= 0.013,
             f"{row['exceptions']} of {row['n']}, 90 % of resampled dates {row['lower']:.3%} to {row['upper']:.3%}"),
            (interval, "assets that pass the one-sided test", share, "95 % or more", share >= 0.95,
             f"{passing} of {n}; too many exceptions: {failing}"),
            (interval, "pooled quantile loss better, p", row["quantile_loss_better_p_value"], "below 5 %",
             row["quantile_loss_better_p_value"] < LEVEL and row["quantile_loss_ratio"] < 1.0,
             f"{row['quantile_loss_ratio']:.4f} of the benchmark's"),
            (interval, "pooled FZ0 better, p", row["fz0_better_p_value"], "below 5 %",
             row["fz0_better_p_value"] < LEVEL and row["fz0_difference"] < 0.0,
             f"{row['fz0_difference']:+.4f} against the benchmark"),
        ]  # fmt: skip
        for name, title in (("quantile_loss", "quantile loss"), ("fz0", "FZ0")):
            better = int((own[name] < own[f"benchmark_{name}"]).sum())
            worse = ", ".join(own.take(own[f"{name}_worse_p_value"] < LEVEL)["subject"].tolist()) or "none"
            rows.append(
                (interval, f"assets with better {title}", better / n, "two thirds or more", better / n >= 2.0 / 3.0,
                 f"{better} of {n}; worse beyond their own noise: {worse}")
            )  # fmt: skip
    return rows
