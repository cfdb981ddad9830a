"""The tables of a track record: rows of every subject, all of them pooled by blocks of dates, and the bar."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

import numpy as np

from risk import track_record as tables
from risk.artifact import Table
from risk.calibration import Side
from risk.market import MarketSnapshot
from risk.settings import Settings
from risk.streams import stream
from risk.tails.backtest import LEVEL, QUOTED, Row, SubjectRecord
from risk.tails.week_tables import pooled_week_rows, week_rows
from risk.track_record import TrackRecord
from risk.validation.comparison import date_block_bootstrap, diebold_mariano
from risk.validation.coverage import coverage_test
from risk.validation.expected_shortfall import acerbi_szekely
from risk.validation.independence import dynamic_quantile_test, independence_test
from risk.validation.record_tests import density_tests, forecast_tests
from risk.validation.reliability import pit_histogram, reliability_diagram
from risk.validation.scores import brier_score, quantile_loss

SETTINGS_READ = ("seed", "assets", "models")
"""Parts of the settings that the stage reads."""
BLOCK_DATES = 20
"""Days in a block of the bootstrap: about what a crash and its aftershocks last."""
RELIABILITY_BINS = 10
TRANSFORM_BINS = 20
JUDGED_FROM = 1_672_531_200
"""2023-01-01: rules of the record were settled on bars that ended by then, later ones judge them."""
MINIMUM_BARS = 100
"""Bars below which an asset is not judged alone in one part of the record."""


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
    briers = list(_reliability_rows(there, settings.seed))
    record_table = Table.from_rows(tables.RECORD_SCHEMA, rows)
    pooled = Table.from_rows(tables.POOLED_SCHEMA, _pooled_rows(there, settings.seed))
    return TrackRecord(
        as_of=snapshot.as_of,
        record=record_table,
        pooled=pooled,
        criteria=Table.from_rows(tables.CRITERIA_SCHEMA, _criteria(record_table, pooled)),
        variants=Table.from_rows(tables.VARIANT_SCHEMA, _variant_rows(there)),
        weeks=Table.from_rows(tables.WEEK_SCHEMA, (row for record in there for row in week_rows(record))),
        pooled_weeks=Table.from_rows(tables.POOLED_WEEK_SCHEMA, pooled_week_rows(there, settings.seed)),
        brier=Table.from_rows(tables.BRIER_SCHEMA, (summary for summary, _ in briers)),
        reliability=Table.from_rows(tables.RELIABILITY_SCHEMA, (row for _, bins in briers for row in bins)),
        exceptions=Table.from_rows(tables.EXCEPTION_SCHEMA, (row for r in there for row in _exception_rows(r))),
        models=Table.from_rows(tables.MODEL_SCHEMA, (row for record in there for row in record.models)),
        tests=Table.from_rows(tables.TEST_SCHEMA, (row for r in there for row in _test_rows(r, settings.seed))),
        transforms=Table.from_rows(tables.TRANSFORM_SCHEMA, (row for r in there for row in _transform_rows(r))),
        challengers=Table.from_rows(tables.CHALLENGER_SCHEMA, (row for r in there for row in r.challengers)),
        unavailable=Table.from_rows(tables.UNAVAILABLE_SCHEMA, ((r.subject, r.reason) for r in records if r.reason)),
        inputs={"snapshot": snapshot.artifact().content_hash} if inputs is None else inputs,
        settings_hash=settings.hash_of(*SETTINGS_READ),
    )


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


def _test_rows(record: SubjectRecord, seed: int) -> Iterable[Row]:
    for outcome in record.outcomes:
        if outcome.confidence != QUOTED:
            continue
        head = (record.subject, record.interval, str(outcome.side), QUOTED)
        found = forecast_tests(
            outcome.losses, outcome.var, outcome.es, record.deviations, record.observed_at, QUOTED,
            generator=stream(seed, "backtest", f"tests/{record.subject}/{outcome.side}"),
        )  # fmt: skip
        yield from ((*head, *test) for test in found)
    for test in density_tests(record.transforms, n_bins=TRANSFORM_BINS):
        yield (record.subject, record.interval, "both", 0.0, *test)


def _transform_rows(record: SubjectRecord) -> Iterable[Row]:
    counts = pit_histogram(record.transforms, n_bins=TRANSFORM_BINS).counts.tolist()
    for number, count in enumerate(counts):
        edges = (number / TRANSFORM_BINS, (number + 1) / TRANSFORM_BINS)
        yield record.subject, record.interval, *edges, count, len(record.transforms) / TRANSFORM_BINS


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


def _variant_rows(records: list[SubjectRecord]) -> Iterator[Row]:
    """What is in use and what else could have been; a variant stands where all the assets have it."""
    for interval, everyone in _by_interval(records):
        for assets, group in (("all", everyone), ("pegged", [record for record in everyone if record.pegged])):
            names = [v.name for v in group[0].variants] if group else []
            for name in (n for n in names if all(n in {v.name for v in record.variants} for record in group)):
                for bars, first, last in (
                    ("all", 0, np.inf), ("before 2023", 0, JUDGED_FROM), ("since 2023", JUDGED_FROM, np.inf)
                ):  # fmt: skip
                    parts = [_variant_part(record, name, first, last) for record in group]
                    n, exceptions, ours, theirs = (sum(column) for column in zip(*parts, strict=True))
                    judged = [part for part in parts if part[0] >= MINIMUM_BARS]
                    passing = [p for p in judged if _passes(p[1], p[0])]
                    if n:
                        yield (
                            interval, assets, bars, name, n, exceptions, exceptions / n, len(judged), len(passing),
                            ours / theirs,
                        )  # fmt: skip


def _variant_part(record: SubjectRecord, name: str, first: float, last: float) -> tuple[int, int, float, float]:
    """Of one asset's bars that ended after `first` and by `last`: number, exceptions, quantile losses, the benchmark's.

    Losses are sums.
    """
    outcome = next(o for o in record.outcomes if o.side is Side.DOWN and o.confidence == QUOTED)
    var = next(v.var for v in record.variants if v.name == name)
    within = (record.observed_at > first) & (record.observed_at <= last)
    ours = quantile_loss(outcome.simple(outcome.losses), outcome.simple(var), QUOTED)
    theirs = outcome.quantile_losses()[1]
    return (
        int(within.sum()), int((outcome.losses > var)[within].sum()), float(ours[within].sum()),
        float(theirs[within].sum()),
    )  # fmt: skip


def _passes(exceptions: int, n: int) -> bool:
    return coverage_test(exceptions, n, 1.0 - QUOTED).too_many_p_value >= LEVEL


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


def _reliability_rows(records: list[SubjectRecord], seed: int) -> Iterator[tuple[Row, list[Row]]]:
    """For each interval and threshold the Brier scores, and the bins of the reliability diagram."""
    for interval, group in _by_interval(records):
        days = np.concatenate([record.days for record in group])
        for number, first in enumerate(group[0].exceedances):
            parts = [record.exceedances[number] for record in group]
            events = np.concatenate([part.events for part in parts])
            ours, theirs = (
                np.concatenate([getattr(part, name) for part in parts]) for name in ("probabilities", "benchmark")
            )
            diagram = reliability_diagram(events, ours, n_bins=RELIABILITY_BINS)
            benchmark = brier_score(events, theirs)
            compared = date_block_bootstrap(
                days, brier_score(events, ours) - benchmark, block=BLOCK_DATES,
                generator=stream(seed, "backtest", f"{interval}/brier/{first.threshold}"),
            )  # fmt: skip
            head = (interval, first.threshold)
            summary = (
                *head, len(events), int(events.sum()), diagram.brier, float(benchmark.mean()), compared.p_negative,
                diagram.reliability, diagram.resolution, diagram.uncertainty, diagram.within_bins,
            )  # fmt: skip
            arrays = (diagram.forecasts, diagram.frequencies, diagram.lower, diagram.upper, diagram.counts)
            yield summary, [(*head, *values) for values in zip(*(array.tolist() for array in arrays), strict=True)]
