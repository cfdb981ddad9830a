"""The track record in words: the bar, the pooled rates and every asset, as Markdown and for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from reports import wording
from risk.artifact import Table
from risk.calibration import Side
from risk.tails.backtest import LEVEL, QUOTED
from risk.tails.week import CONFIDENCES, METHODS
from risk.track_record import TrackRecord

POOLED_COLUMNS = ("Bars", "Side", "Confidence", "Assets", "Forecasts", "Exceptions", "Rate", "90 % interval",
                  "EWMA-t", "Quantile loss", "p", "FZ0", "p")  # fmt: skip
ASSET_COLUMNS = ("Asset", "Bars", "From", "To", "Forecasts", "Exceptions", "Expected", "p", "Passes", "EWMA-t",
                 "Quantile loss", "FZ0", "Weak")  # fmt: skip
VARIANT_COLUMNS = ("Bars", "Assets", "Part", "Forecasts", "Number", "Exceptions", "Rate", "Assets that pass",
                   "Quantile loss")  # fmt: skip
WEEK_COLUMNS = ("Method", "Confidence", "Assets that pass", "Weeks", "Exceptions", "Rate", "90 % interval",
                "Quantile loss", "p")  # fmt: skip
ASSET_WEEK_COLUMNS = ("Asset", "Weeks", "Left out", "At 95 %", "Expected", "p", "At 99 %", "Expected", "p", "Passes")
BRIER_COLUMNS = ("Bars", "A fall beyond", "Forecasts", "Came", "Brier", "EWMA-t", "p", "Reliability", "Resolution",
                 "Uncertainty", "Outside their limits")  # fmt: skip
CRITERIA_COLUMNS = ("Bars", "Criterion", "Required", "Found", "Met", "Detail")
TEST_COLUMNS = ("Bars", "Side", "Test", "Tested", "Rejected at 5 %", "By chance", "Median p", "Rejected for")
CHALLENGER_COLUMNS = ("Bars", "Forecaster", "Assets", "Forecasts", "Exceptions", "Expected", "Quantile loss", "CRPS",
                      "Better", "Worse", "Not compared")  # fmt: skip
TRANSFORM_COLUMNS = ("Bars", "Assets", "Forecasts", *(f"to {upper:.0%}" for upper in np.arange(1, 11) / 10))
MODEL_COLUMNS = ("Asset", "In use", "Alarms, then the benchmark for a while", "Status")

_NOTES = """Forecasts are of one bar, made before it from the bars known then. The model in use is the one that the
past speaks for (GARCH-t until 250 bars do), its parameters come from windows that end before the refit, its prior
from the vintage known then; returns of bars shorter than a day are over hour-of-day factors known at the refit. After
an alarm of the sequential hit monitor EWMA-t stands in for 250 bars. At each refit forecasts in use are scaled by
the quantile of earlier losses over what had been forecast for them, as far as those are enough to tell; EWMA-t, to
compare with, and probabilities of a fall are not. Forecasts in use of pegged assets hold the pooled depeg jump known
then. An exception is a loss beyond value at risk.
*Passes*: so many exceptions or more have a binomial probability of 5 % or more. Intervals and pooled p-values
resample blocks of 20 days with all assets of a day, because assets crash together; p of a score is for "not better
than EWMA-t". Quantile loss (of simple moves) is relative to EWMA-t's, FZ0 (of log moves) the difference to it: below
1 and below 0 are better."""

_TESTS_SAID = """How many assets each test rejects, against how many it would if every forecast were sound. *both* tests
the whole law. Statistic, p-value, n, detail and status of each asset stand in `tests.csv`."""
_TRANSFORMS_SAID = """Of the model in use: share of outcomes in each tenth of their forecast law, over a tenth; 1 is
sound. Bins of each asset: `transforms.csv`."""
_CHALLENGERS_SAID = """Quantile regressions (CAViaR) and plain history. Quantile loss and CRPS, of log moves, are
relative to the model in use over the same bars: below 1 is better than it. *Better* and *Worse* name the assets where
Diebold and Mariano's p of the quantile loss is below 5 %. Each asset: `challengers.csv`."""

_VARIANTS = """Rules were settled on bars before 2023; those since judge them. *Not scaled*: without the factor from
earlier losses. *No depeg jump*: without the pooled jump in forecasts of pegged assets. *Always GARCH-t*: neither choice
nor fall-back, scaled as what is in use; what it differs by is what choosing costs or gives. An asset is judged alone
in a part with 100 bars or more; quantile loss is relative to EWMA-t's."""

_WEEKS = """Weeks of seven days do not overlap and are the same for all assets. GARCH-t is fitted again every four weeks
on what ended before; paths start from the variance at each week's begin. *Combination*: value at risk of the
conditional simulation averaged with that of one-bar history times the square root of seven, as in a calibration but
without the uncertainty of parameters. *Square root of time*: the same simulation's value at risk of one bar times the
square root of seven, which was expected to be exceeded too often (7.6 % at 95 % in another measurement). Quantile loss
is relative to the latter's; p is for "not better", by blocks of three weeks."""


def criteria_rows(found: TrackRecord) -> list[tuple[str, ...]]:
    """A row a criterion of the bar."""
    return [
        (
            wording.duration(row["interval"]), row["criterion"], row["required"],
            wording.p_value(row["value"]) if row["criterion"].endswith(", p") else wording.percent(row["value"]),
            "yes" if row["met"] else "NO", row["detail"],
        )
        for row in found.criteria.rows()
    ]  # fmt: skip


def pooled_rows(found: TrackRecord) -> list[tuple[str, ...]]:
    """A row a side and confidence, all assets together."""
    return [
        (
            wording.duration(row["interval"]), row["side"], wording.confidence(row["confidence"]),
            str(row["n_subjects"]), f"{row['n']:,}", f"{row['exceptions']:,}", wording.percent(row["rate"]),
            f"{wording.percent(row['lower'])} to {wording.percent(row['upper'])}",
            wording.percent(row["benchmark_rate"]), f"{row['quantile_loss_ratio']:.4f}",
            wording.p_value(row["quantile_loss_better_p_value"]), f"{row['fz0_difference']:+.4f}",
            wording.p_value(row["fz0_better_p_value"]),
        )
        for row in found.pooled.rows()
    ]  # fmt: skip


def variant_rows(found: TrackRecord) -> list[tuple[str, ...]]:
    """A row a part of the record and rule of forecasting: falls at 99 %."""
    return [
        (
            wording.duration(row["interval"]), row["assets"], f"{row['bars']}", row["forecast"], f"{row['n']:,}",
            f"{row['exceptions']:,}", wording.percent(row["rate"]), f"{row['passing']} of {row['n_subjects']}",
            f"{row['quantile_loss_ratio']:.4f}",
        )
        for row in found.variants.rows()
    ]  # fmt: skip


def week_rows(found: TrackRecord) -> list[tuple[str, ...]]:
    """A row a method and confidence: falls over a week, all assets together."""
    return [
        (
            row["method"], wording.confidence(row["confidence"]), f"{row['passing']} of {row['n_subjects']}",
            f"{row['n']:,}", str(row["exceptions"]), wording.percent(row["rate"]),
            f"{wording.percent(row['lower'])} to {wording.percent(row['upper'])}",
            f"{row['quantile_loss_ratio']:.4f}", wording.p_value(row["quantile_loss_better_p_value"]),
        )
        for row in found.pooled_weeks.rows()
    ]  # fmt: skip


def asset_week_rows(found: TrackRecord) -> list[tuple[str, ...]]:
    """A row an asset: falls over a week beyond the combination."""
    own = found.weeks.where(method=METHODS[0])
    rows = zip(*(own.where(confidence=confidence).rows() for confidence in CONFIDENCES), strict=True)
    return [
        (
            low["subject"], f"{low['n']:,}", str(low["broken"]),
            *(
                cell
                for row in (low, high)
                for cell in (str(row["exceptions"]), f"{row['expected']:.1f}", wording.p_value(row["p_one_sided"]))
            ),
            "yes" if low["passes"] and high["passes"] else "NO",
        )
        for low, high in rows
    ]  # fmt: skip


def brier_rows(found: TrackRecord) -> list[tuple[str, ...]]:
    """A row a threshold: Brier score of its probability, its parts, and bins of the diagram outside their limits."""
    rows = []
    for row in found.brier.rows():
        bins = found.reliability.where(interval=row["interval"], threshold=row["threshold"])
        outside = int(np.sum((bins["frequency"] < bins["lower"]) | (bins["frequency"] > bins["upper"])))
        parts = (f"{row[name]:.2e}" for name in ("reliability", "resolution", "uncertainty"))
        rows.append(
            (
                wording.duration(row["interval"]), wording.percent(row["threshold"], 0), f"{row['n']:,}",
                f"{row['events']:,}", f"{row['brier']:.3e}", f"{row['benchmark_brier']:.3e}",
                wording.p_value(row["better_p_value"]), *parts, f"{outside} of {len(bins)} bins",
            )
        )  # fmt: skip
    return rows


def quoted(found: TrackRecord) -> Table:
    """Falls at the quoted confidence, by length of bars and name."""
    return found.record.where(side=str(Side.DOWN), confidence=QUOTED)


def asset_rows(found: TrackRecord) -> list[tuple[str, ...]]:
    """A row an asset: falls at 99 %."""
    return [
        (
            row["subject"], wording.duration(row["interval"]), wording.date(row["start"]), wording.date(row["stop"]),
            f"{row['n']:,}", str(row["exceptions"]), f"{row['expected']:.1f}", wording.p_value(row["p_one_sided"]),
            "yes" if row["passes"] else "NO", str(row["benchmark_exceptions"]),
            f"{row['quantile_loss'] / row['benchmark_quantile_loss']:.3f}",
            f"{row['fz0'] - row['benchmark_fz0']:+.3f}", _weak(row),
        )
        for row in quoted(found).rows()
    ]  # fmt: skip


def model_rows(found: TrackRecord) -> list[tuple[str, ...]]:
    """A row an asset: the share of bars that each model was in use, and the alarms."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in found.models.rows():
        rows.setdefault(row["subject"], []).append(row)
    return [
        (
            subject,
            ", ".join(f"{row['model']} {row['share']:.0%}" for row in own if row["n"]),
            own[0]["alarms"] or wording.ABSENT,
            "; ".join(f"{row['model']}: {row['status']}" for row in own if row["status"] != "ok") or "ok",
        )
        for subject, own in rows.items()
    ]


def test_rows(found: TrackRecord) -> list[tuple[str, ...]]:
    """A row a test, side and length of bars: on how many assets it was made and rejected."""
    rows: list[tuple[str, ...]] = []
    keys = dict.fromkeys((row["interval"], row["side"], row["test"]) for row in found.tests.rows())
    for interval, side, test in keys:
        own = found.tests.where(interval=interval, side=side, test=test)
        made = own.where(status="ok")
        rejected = made.take(made["p_value"] < LEVEL)["subject"].tolist()
        rows.append(
            (
                wording.duration(interval), side, test, f"{len(made)} of {len(own)}", str(len(rejected)),
                f"{LEVEL * len(made):.1f}",
                wording.p_value(float(np.median(made["p_value"]))) if len(made) else wording.ABSENT,
                ", ".join(rejected) or "none",
            )
        )  # fmt: skip
    return rows


def challenger_rows(found: TrackRecord) -> list[tuple[str, ...]]:
    """A row a forecaster of another kind and length of bars: against the model in use, over the bars of both."""
    rows: list[tuple[str, ...]] = []
    for interval, model in dict.fromkeys((row["interval"], row["model"]) for row in found.challengers.rows()):
        own = found.challengers.where(interval=interval, model=model)
        made = own.take(own["verdict"] != "not compared")
        n = made["n"]
        ratios = [
            f"{float(n @ made[name]) / float(n @ made[f'{name}_in_use']):.4f}" if made[name].any() else wording.ABSENT
            for name in ("quantile_loss", "crps")
        ]
        better, worse = (
            ", ".join(made.take(made[f"{name}_p_value"] < LEVEL)["subject"].tolist()) or "none"
            for name in ("better", "worse")
        )
        rows.append(
            (
                wording.duration(interval), model, f"{len(made)}", f"{int(n.sum()):,}",
                f"{int(made['exceptions'].sum()):,}", f"{float(made['expected'].sum()):,.1f}", *ratios, better, worse,
                ", ".join(own.where(verdict="not compared")["subject"].tolist()) or "none",
            )
        )  # fmt: skip
    return rows


def transform_rows(found: TrackRecord) -> list[tuple[str, ...]]:
    """A row a length of bars: share of probability integral transforms in each tenth, over its expected share."""
    rows = []
    for interval in dict.fromkeys(found.transforms["interval"].tolist()):
        own = found.transforms.where(interval=interval)
        tenth = np.minimum((own["lower"] * 10.0 + 1e-9).astype(np.int64), 9)
        share = np.bincount(tenth, own["n"]) / np.bincount(tenth, own["expected"])
        assets = len(set(own["subject"].tolist()))
        cells = (f"{value:.2f}" for value in share)
        rows.append((wording.duration(interval), str(assets), f"{int(own['n'].sum()):,}", *cells))
    return rows


def losses(found: TrackRecord) -> list[str]:
    """Where the record is weak, in sentences: criteria missed, assets that fail or are worse than the benchmark."""
    sentences = [
        f"{wording.duration(row['interval'])} bars: {row['criterion']} missed ({row['detail']})."
        for row in found.criteria.rows()
        if not row["met"]
    ]
    for interval in dict.fromkeys(found.record["interval"].tolist()):
        own = quoted(found).where(interval=interval)
        bars = wording.duration(interval)
        n = len(own)
        for name, title in (
            ("independence_p_value", "exceptions cluster (Christoffersen)"),
            ("dynamic_quantile_p_value", "exceptions can be foreseen (dynamic quantile)"),
        ):
            if rejected := own.take(own[name] < LEVEL)["subject"].tolist():
                sentences.append(
                    f"{bars} bars: {title} at 5 % for {len(rejected)} of {n}, where {n * LEVEL:.1f} are expected by "
                    f"chance: {', '.join(rejected)}."
                )
    sentences += [
        f"Weeks: at {wording.confidence(row['confidence'])} the combination is not shown to be better than the square "
        f"root of time (quantile loss {row['quantile_loss_ratio']:.4f} of its, p {wording.p_value(p)})."
        for row in found.pooled_weeks.where(method=METHODS[0]).rows()
        if (p := row["quantile_loss_better_p_value"]) >= LEVEL
    ]
    sentences += [f"{row['subject']} has no record: {row['reason']}." for row in found.unavailable.rows()]
    return sentences


def markdown(found: TrackRecord) -> str:
    """The whole record as one document."""
    bar = "met" if found.met else "missed"
    parts = [
        "# Track record",
        f"As of {wording.instant(found.as_of)}. The bar that riskcal sets itself is {bar}.",
        _NOTES,
        "## The bar, for falls at 99 %",
        grid(CRITERIA_COLUMNS, criteria_rows(found)),
        "## Where it loses",
        "\n".join(f"- {wording.markdown(sentence)}" for sentence in losses(found)) or "Nowhere.",
        "## All assets together",
        grid(POOLED_COLUMNS, pooled_rows(found)),
        "## What else could have been in use, falls at 99 %",
        _VARIANTS,
        grid(VARIANT_COLUMNS, variant_rows(found)),
        *_weeks(found),
        "## Asset by asset, falls at 99 %",
        "*Expected* is the binomial expectation, p of so many exceptions or more. *EWMA-t* counts the benchmark's.",
        grid(ASSET_COLUMNS, asset_rows(found)),
        "## Probability of a fall beyond a threshold",
        "Reliability should be small, resolution large. Limits hold 90 % of bins if assets are independent: not here.",
        grid(BRIER_COLUMNS, brier_rows(found)),
        "## Further tests, at 99 %",
        _TESTS_SAID,
        grid(TEST_COLUMNS, test_rows(found)),
        "## Probability integral transforms",
        _TRANSFORMS_SAID,
        grid(TRANSFORM_COLUMNS, transform_rows(found)),
        "## Challengers of another kind, falls at 99 %",
        _CHALLENGERS_SAID,
        grid(CHALLENGER_COLUMNS, challenger_rows(found)),
        "## Models in use",
        grid(MODEL_COLUMNS, model_rows(found)),
    ]
    return "\n\n".join(parts) + "\n"


def _weeks(found: TrackRecord) -> list[str]:
    """The part on falls over a week; none without daily bars."""
    if not len(found.pooled_weeks):
        return []
    return [
        "## Falls over a week",
        _WEEKS,
        grid(WEEK_COLUMNS, week_rows(found)),
        "Asset by asset, falls over a week beyond the combination:",
        grid(ASSET_WEEK_COLUMNS, asset_week_rows(found)),
    ]


def _weak(row: dict[str, Any]) -> str:
    """What speaks against an asset's forecasts at 5 %, beside the count."""
    said = {
        "clusters": row["independence_p_value"] < LEVEL,
        "foreseeable": row["dynamic_quantile_p_value"] < LEVEL,
        "quantile loss worse": row["quantile_loss_worse_p_value"] < LEVEL,
        "FZ0 worse": row["fz0_worse_p_value"] < LEVEL,
    }
    return ", ".join(word for word, weak in said.items() if weak)


def grid(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *([wording.markdown(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
