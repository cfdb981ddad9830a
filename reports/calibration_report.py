"""The calibration in words, as Markdown: race, fit, tail, term structure, assumptions, inventory and track record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from reports import diagnostics_report, wording
from reports.track_record import grid
from risk.artifact import Table
from risk.calibration import Calibration, Measure, Side, SubjectModel
from risk.dependence.summary import NO_FACTORS
from risk.tails.comparison import NO_FACTOR
from risk.tails.wrapper import NEVER_CLOSES
from risk.units import DAY
from risk.validation.inventory import CARDS, register

RACE_COLUMNS = ("Asset", "Model", "Log score", "Against EWMA-t", "p better", "p of the set", "Wins", "Status")
FIT_COLUMNS = ("Subject", "Model", "Returns", "Persistence", "90 % interval", "nu", "90 % interval", "Prior", "Status")
TAIL_COLUMNS = ("Subject", "Side", "Measure", "Method", "Value", "90 % interval", "Status")
TERM_COLUMNS = ("Subject", "Horizon", "Confidence", "Basis", "Value at risk", "90 % interval", "Shortfall",
                "Its interval", "Simulated", "Scaled history", "Worst point", "Status")  # fmt: skip
METHOD_COLUMNS = ("Asset", "Method", "Confidence", "Exceedances", "Expected", "Must be multiplied by", "Status")
PAIR_COLUMNS = ("Assets", "Correlation", "By factors", "Stressed", "Tail dependence", "Stressed", "Status")
PEG_COLUMNS = ("Asset", "Peg", "Mean gap", "Tracking error a bar", "Worst gap", "Half-life", "Status")
TEST_COLUMNS = ("Model", "Version", "Assumption", "Test", "Tested", "Rejected", "Where")
CARD_COLUMNS = ("Model", "Version", "For", "Source", "Limits")
RECORD_COLUMNS = ("Asset", "Model", "Forecasts", "Exceptions", "Expected", "p", "Passes")
EXCEPTION_COLUMNS = ("Asset", "Date", "Fall", "Value at risk")
QUOTED = 0.99
LEVEL = 0.05


def race_rows(found: Calibration) -> list[tuple[str, ...]]:
    """A row an asset and entrant."""
    return [
        (
            row["subject"], row["model"], f"{row['score']:.4f}", _signed(row, "difference"),
            _p(row, "better_p_value"), _p(row, "set_p_value"), "yes" if row["winner"] else "", row["status"],
        )
        for row in _of_assets(found.race).rows()
    ]  # fmt: skip


def fit_rows(found: Calibration) -> list[tuple[str, ...]]:
    """A row a subject: the posterior of the model that paths are made with."""
    return [_fit_row(model) for _, model in sorted({**found.assets, **found.pairs}.items())]


def _fit_row(model: SubjectModel) -> tuple[str, ...]:
    persistence = model.draws[:, 2] + 0.5 * model.draws[:, 3] + model.draws[:, 4]
    cells = []
    for values in (persistence, model.draws[:, 5]):
        low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
        cells += [wording.significant(float(middle)),
                  f"{wording.significant(float(low))} to {wording.significant(float(high))}"]  # fmt: skip
    return (model.subject, model.model, f"{len(model.returns):,}", *cells, model.prior, model.status)


def tail_rows(found: Calibration) -> list[tuple[str, ...]]:
    """A row an asset, side and method: the shortest horizon at 99 %, each way of computing it."""
    table = _of_assets(found.figures.where(confidence=QUOTED))
    shortest: dict[str, int] = {}
    for row in table.rows():
        shortest[row["subject"]] = min(shortest.get(row["subject"], row["horizon"]), row["horizon"])
    return [
        (
            row["subject"], row["side"], wording.title(row["measure"]), row["method"], wording.percent(row["value"]),
            _band(row), row["status"],
        )
        for row in table.rows()
        if row["horizon"] == shortest[row["subject"]] and row["measure"] != Measure.DRAWDOWN
    ]  # fmt: skip


def term_rows(found: Calibration) -> list[tuple[str, ...]]:
    """A row an asset, horizon and confidence, of falls; the worst point of paths at the declared confidences."""
    worst = {
        (row["subject"], row["horizon"], row["confidence"]): row["value"]
        for row in found.figures.where(
            measure=str(Measure.DRAWDOWN), side=str(Side.DOWN), method="conditional"
        ).rows()
    }  # fmt: skip
    rows: list[tuple[str, ...]] = []
    for row in _of_assets(found.term_structure.where(side=str(Side.DOWN))).rows():
        lowest = worst.get((row["subject"], row["horizon"], row["confidence"]))
        rows.append(
            (
                row["subject"], wording.duration(row["horizon"]), f"{row['confidence']:.4%}", row["basis"],
                wording.percent(row["value_at_risk"]), _band(row), wording.percent(row["expected_shortfall"]),
                _band({"lower": row["shortfall_lower"], "upper": row["shortfall_upper"]}),
                wording.percent(row["conditional"]), wording.percent(row["scaled_history"]),
                wording.ABSENT if lowest is None else wording.percent(lowest), row["status"],
            )
        )  # fmt: skip
    return rows


def method_rows(found: Calibration) -> list[tuple[str, ...]]:
    """A row an asset, method and confidence."""
    return [
        (
            row["subject"], row["method"], wording.confidence(row["confidence"]), str(row["exceedances"]),
            f"{row['expected']:.1f}", wording.ABSENT if NO_FACTOR in row["status"]
            else f"{row['factor']:.2f} ({row['factor_lower']:.2f} to {row['factor_upper']:.2f})",
            row["status"],
        )
        for row in found.methods.rows()
    ]  # fmt: skip


def pair_rows(found: Calibration) -> list[tuple[str, ...]]:
    """A row a pair of assets."""
    rows = []
    for row in found.dependence_pairs.rows():
        factors = wording.ABSENT if NO_FACTORS in row["status"] else f"{row['factor_correlation']:.2f}"
        others = ("stressed_correlation", "tail_dependence", "stressed_tail_dependence")
        cells = [f"{row['correlation']:.2f}", factors, *(f"{row[name]:.2f}" for name in others)]
        rows.append((f"{row['asset']}, {row['other']}", *cells, row["status"]))
    return rows


def peg_rows(found: Calibration) -> list[tuple[str, ...]]:
    """A row an asset with a peg."""
    return [
        (
            row["asset"], row["peg"], wording.percent(row["mean_gap"]),
            " ± ".join(wording.percent(row[name], 3) for name in ("tracking_error", "tracking_error_error")),
            wording.percent(row["worst_gap"]),
            "not seen to close" if row["status"] == NEVER_CLOSES else f"{row['half_life'] / DAY:.1f} days",
            row["status"],
        )
        for row in found.pegs.rows()
    ]  # fmt: skip


def assumption_rows(found: Calibration) -> list[tuple[str, ...]]:
    """A row a model in use and assumption: on how many subjects it was tested and rejected."""
    used = set(found.race["model"].tolist()) | {"shocks", "t_copula"}
    if len(found.pegs):
        used.add("depeg")
    return [
        (
            row["model"], row["version"], row["assumption"], row["test"], str(row["n_tested"]),
            str(row["n_rejected"]), row["rejected"],
        )
        for row in register(found.assumptions, [name for name in CARDS if name in used]).rows()
    ]  # fmt: skip


def card_rows() -> list[tuple[str, ...]]:
    """A row a model of the inventory."""
    return [(c.model, c.version, c.purpose, c.source, " ".join(c.limits)) for c in CARDS.values()]


def record_rows(found: Calibration) -> list[tuple[str, ...]]:
    """A row an asset and model: falls at 99 %, one bar ahead."""
    return [
        (
            row["subject"], row["model"], f"{row['n']:,}", str(row["exceptions"]), f"{row['expected']:.1f}",
            wording.p_value(row["p_one_sided"]), "yes" if row["p_one_sided"] >= LEVEL else "NO",
        )
        for row in _of_assets(found.track_record.where(confidence=QUOTED, side=str(Side.DOWN))).rows()
    ]  # fmt: skip


def exception_rows(found: Calibration) -> list[tuple[str, ...]]:
    """A row an exception of an asset's winner at 99 %, dated."""
    return [
        (
            row["subject"], wording.instant(row["observed_at"]), wording.percent(-row["value"]),
            wording.percent(row["value_at_risk"]),
        )
        for row in _of_assets(found.exceptions.where(exception=True)).rows()
    ]  # fmt: skip


def markdown(found: Calibration) -> str:
    """The whole calibration as one document."""
    parts = ["# Calibration", f"As of {wording.instant(found.as_of)}."]
    sections: tuple[tuple[str, str, Sequence[str], list[tuple[str, ...]]], ...] = (
        ("The race", "Out of sample, log score in nats a bar; the set holds a model from a p-value of 10 % on.",
         RACE_COLUMNS, race_rows(found)),
        ("The fit", "Of the model that paths are made with, over posterior draws.", FIT_COLUMNS, fit_rows(found)),
        ("The tail", "At 99 % over the shortest horizon, simple moves.", TAIL_COLUMNS, tail_rows(found)),
        ("The term structure", ("Falls. Beyond one bar the mean of simulation and scaled history, with its band; "
         "*life* is the confidence that is breached over the parameter life with the appetite's probability. *Worst "
         "point* is the same quantile of the lowest point of simulated paths, not of their end."),
         TERM_COLUMNS, term_rows(found)),
        ("Methods side by side", "One bar ahead, falls. Above 1 a method understates its quantile.",
         METHOD_COLUMNS, method_rows(found)),
        ("Pairs of assets", "Of standardised residuals.", PAIR_COLUMNS, pair_rows(found)),
        ("Pegs and wrappers", "Gaps to what an asset stands for.", PEG_COLUMNS, peg_rows(found)),
        ("Assumptions", "At 1 %; a rejection does not stop a calibration.", TEST_COLUMNS, assumption_rows(found)),
        ("Model inventory", "Where a model must not be used, or is known to be weak.", CARD_COLUMNS, card_rows()),
        ("Track record", ("Falls at 99 %, one bar ahead. *Passes*: so many exceptions or more have a probability of "
         "5 % or more."), RECORD_COLUMNS, record_rows(found)),
        ("Exceptions", "Of the model in use, dated.", EXCEPTION_COLUMNS, exception_rows(found)),
        *diagnostics_report.sections(found),
        ("Unavailable", "Subjects without a model.", ("Subject", "Reason"),
         [(row["subject"], row["reason"]) for row in found.unavailable.rows()]),
    )  # fmt: skip
    said_first = "\n".join(f"- {wording.markdown(sentence)}" for sentence in diagnostics_report.sentences(found))
    parts += ["## How far the fits can be trusted", said_first or "None."]
    for title, said, columns, rows in sections:
        parts += [f"## {title}", said, grid(columns, rows) if rows else "None."]
    return "\n\n".join(parts) + "\n"


def _of_assets(table: Table) -> Table:
    """Rows about assets, not pairs."""
    if not len(table):
        return table
    return table.take(np.array([":" not in name for name in table["subject"].tolist()]))


def _band(row: dict[str, Any]) -> str:
    return f"{wording.percent(row['lower'])} to {wording.percent(row['upper'])}"


def _p(row: dict[str, Any], name: str) -> str:
    return wording.p_value(row[name]) if name in row else wording.ABSENT


def _signed(row: dict[str, Any], name: str) -> str:
    return f"{row[name]:+.4f}" if name in row else wording.ABSENT
