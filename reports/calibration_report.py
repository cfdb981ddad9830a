"""The calibration in words, as Markdown: race, fit, tail, term structure, assumptions, inventory and track record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from reports import wording
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
                "Simulated", "Scaled history", "Worst point", "Status")  # fmt: skip
METHOD_COLUMNS = ("Asset", "Method", "Confidence", "Exceedances", "Expected", "Must be multiplied by", "Status")
PAIR_COLUMNS = ("Assets", "Correlation", "By factors", "Stressed", "Tail dependence", "Stressed", "Status")
PEG_COLUMNS = ("Asset", "Peg", "Mean gap", "Tracking error a bar", "Worst gap", "Half-life", "Status")
TEST_COLUMNS = ("Model", "Version", "Assumption", "Test", "Tested", "Rejected", "Where")
PARAMETER_COLUMNS = ("Asset", "Model", "Parameter", "In use", "Estimate", "Robust error", "90 % interval",
                     "Hessian's", "Returns", "Status")  # fmt: skip
THRESHOLD_COLUMNS = ("Asset", "Side", "Tail", "xi", "Error", "xi over thresholds", "Hill", "99 % quantile",
                     "90 % interval", "Spread", "Stable", "Status")  # fmt: skip
SENSITIVITY_COLUMNS = ("Asset", "Model", "Parameter", "Value", "1 % lower", "Value at risk", "1 % higher",
                       "Elasticity", "Status")  # fmt: skip
REALISED_COLUMNS = ("Asset", "Estimator", "Bars", "Left out", "Volatility", "Model's", "Ratio", "90 % interval",
                    "QLIKE", "Constant's", "p better", "Status")  # fmt: skip
DEPENDENCE_COLUMNS = ("Model", "Assets", "Fitted on", "Forecasts", "Log score", "Against t copula", "Error", "p better",
                      "Energy score", "p better", "nu", "Verdict", "Status")  # fmt: skip
JOINT_COLUMNS = ("Assets", "Horizon", "Both fall", "The other too", "90 % interval", "Seen", "Of falls", "p",
                 "Status")  # fmt: skip
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
    rows = []
    for row in _of_assets(found.term_structure.where(side=str(Side.DOWN))).rows():
        lowest = worst.get((row["subject"], row["horizon"], row["confidence"]))
        rows.append(
            (
                row["subject"], wording.duration(row["horizon"]), f"{row['confidence']:.4%}", row["basis"],
                wording.percent(row["value_at_risk"]), _band(row), wording.percent(row["expected_shortfall"]),
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
            f"{row['expected']:.1f}", wording.ABSENT if NO_FACTOR in row["status"] else f"{row['factor']:.2f}",
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
            row["asset"], row["peg"], wording.percent(row["mean_gap"]), wording.percent(row["tracking_error"], 3),
            wording.percent(row["worst_gap"]),
            "not seen to close" if row["status"] == NEVER_CLOSES else f"{row['half_life'] / DAY:.1f} days",
            row["status"],
        )
        for row in found.pegs.rows()
    ]  # fmt: skip


def parameter_rows(found: Calibration) -> list[tuple[str, ...]]:
    """A row an asset and parameter, of the model that its paths are made with."""
    rows = []
    used = {(name, model.model) for name, model in found.assets.items()}
    for row in _diagnostic(found, "parameters"):
        if (row["subject"], row["model"]) not in used:
            continue
        ok = row["status"] == "ok"
        interval = f"{wording.significant(row['lower'])} to {wording.significant(row['upper'])}"
        errors = [
            wording.significant(row[name]) if ok else wording.ABSENT for name in ("standard_error", "hessian_error")
        ]
        rows.append(
            (
                row["subject"], row["model"], row["parameter"], wording.significant(row["in_use"]),
                wording.significant(row["estimate"]), errors[0], interval if ok else wording.ABSENT, errors[1],
                f"{row['n_observations']:,}", row["status"],
            )
        )  # fmt: skip
    return rows


def threshold_rows(found: Calibration) -> list[tuple[str, ...]]:
    """A row an asset and side: the tail at the usual threshold, and what the ladder of thresholds makes of it."""
    table = list(_diagnostic(found, "thresholds"))
    rows = []
    for subject, side in dict.fromkeys((row["subject"], row["side"]) for row in table):
        own = [row for row in table if (row["subject"], row["side"]) == (subject, side)]
        at = next((row for row in own if row["usual"]), own[0])
        xis = [row["xi"] for row in own]
        rows.append(
            (
                subject, side, f"{at['n_exceedances']} of {at['n_observations']:,}", f"{at['xi']:+.3f}",
                f"{at['xi_error']:.3f}", f"{min(xis):+.3f} to {max(xis):+.3f}", f"{at['hill']:.3f}",
                f"{at['quantile']:.3f}", f"{at['lower']:.3f} to {at['upper']:.3f}", wording.percent(at["spread"], 1),
                "yes" if at["stable"] else "NO", at["status"],
            )
        )  # fmt: skip
    return rows


def sensitivity_rows(found: Calibration) -> list[tuple[str, ...]]:
    """A row an asset and parameter of the model that paths are made with."""
    return [
        (
            row["subject"], row["model"], row["parameter"], wording.significant(row["value"]),
            wording.percent(row["low"]), wording.percent(row["base"]), wording.percent(row["high"]),
            f"{row['elasticity']:+.2f}", row["status"],
        )
        for row in _diagnostic(found, "sensitivities")
    ]  # fmt: skip


def realised_rows(found: Calibration) -> list[tuple[str, ...]]:
    """A row an asset and estimator."""
    return [
        (
            row["subject"], row["estimator"], f"{row['n']:,}", str(row["left_out"]), wording.percent(row["volatility"]),
            wording.percent(row["model_volatility"]), f"{row['ratio']:.3f}",
            f"{row['lower']:.3f} to {row['upper']:.3f}", f"{row['qlike']:.4f}", f"{row['constant_qlike']:.4f}",
            wording.p_value(row["better_p_value"]), row["status"],
        )
        for row in _diagnostic(found, "realised")
    ]  # fmt: skip


def dependence_rows(found: Calibration) -> list[tuple[str, ...]]:
    """A row a model of how assets move together."""
    return [
        (
            row["model"], str(row["n_assets"]), f"{row['n_fitted']:,}", f"{row['n']:,}", f"{row['log_score']:.4f}",
            f"{row['difference']:+.4f}", f"{row['standard_error']:.4f}", wording.p_value(row["better_p_value"]),
            f"{row['energy']:.4f}", wording.p_value(row["energy_better_p_value"]), f"{row['degrees_of_freedom']:.1f}",
            row["verdict"], row["status"],
        )
        for row in _diagnostic(found, "dependence_race")
    ]  # fmt: skip


def joint_rows(found: Calibration) -> list[tuple[str, ...]]:
    """A row a pair of assets."""
    return [
        (
            f"{row['asset']}, {row['other']}", wording.duration(row["horizon"]), wording.percent(row["joint"]),
            wording.percent(row["conditional"], 0), f"{row['lower']:.0%} to {row['upper']:.0%}",
            wording.percent(row["seen"], 0), f"{row['falls']} in {row['n_windows']}", wording.p_value(row["p_value"]),
            row["status"],
        )
        for row in _diagnostic(found, "joint_falls")
    ]  # fmt: skip


def diagnostic_sentences(found: Calibration) -> list[str]:
    """What the diagnostics say on the whole, before their tables."""
    said = []
    if parameters := list(_diagnostic(found, "parameters")):
        bad = sorted({f"{row['subject']} {row['model']}" for row in parameters if row["status"] != "ok"})
        said.append(f"Robust standard errors: of every fit{' but ' if bad else ''}{', '.join(bad)}.")
    if thresholds := list(_diagnostic(found, "thresholds")):
        tails = {(row["subject"], row["side"]): row["stable"] for row in thresholds}
        unstable = [f"{subject} {side}" for (subject, side), stable in tails.items() if not stable]
        said.append(
            f"Tails: {len(tails) - len(unstable)} of {len(tails)} keep their xi wherever the threshold is"
            + (f"; not {', '.join(unstable)}." if unstable else ".")
        )
    if sensitivities := list(_diagnostic(found, "sensitivities")):
        most = max(sensitivities, key=lambda row: abs(row["elasticity"]))
        said.append(
            f"Perturbation: the most that 1 % of a parameter moves a one-bar value at risk is "
            f"{abs(most['elasticity']):.1f} % ({most['parameter']} of {most['subject']}, {most['status']})."
        )
    if realised := [row for row in _diagnostic(found, "realised") if row["status"] == "ok"]:
        low = sorted({row["subject"] for row in realised if row["lower"] > 1.0})
        high = sorted({row["subject"] for row in realised if row["upper"] < 1.0})
        said.append(
            f"Realised volatility above the model's beyond noise by some estimator: {', '.join(low) or 'no asset'}; "
            f"below: {', '.join(high) or 'no asset'}."
        )
    for row in _diagnostic(found, "dependence_race"):
        if row["model"] == "dcc":
            why = "" if row["n_fitted"] else f" ({row['status']})"
            said.append(f"Dependence: DCC is {row['verdict']}, p {wording.p_value(row['better_p_value'])}{why}.")
    if pairs := list(_diagnostic(found, "joint_falls")):
        more = [f"{row['asset']}, {row['other']}" for row in pairs if row["p_value"] < LEVEL]
        said.append(
            f"Joint falls: {len(more)} of {len(pairs)} pairs fell together more often than simulated at 5 %, "
            f"{LEVEL * len(pairs):.1f} are expected by chance{': ' if more else ''}{'; '.join(more)}."
        )
    return said


def _diagnostic(found: Calibration, name: str) -> Iterator[dict[str, Any]]:
    """Rows of a table of diagnostics; none where a calibration has none."""
    table = found.diagnostics.get(name)
    return iter(()) if table is None else table.rows()


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
        ("Standard errors", ("Of the likelihood's own estimate, robust to a wrong density; *in use* is shrunk to a "
         "prior. Models that race beside the one in use are in `parameters.csv`."),
         PARAMETER_COLUMNS, parameter_rows(found)),
        ("Thresholds of the tail", ("Of standardised residuals; every threshold is in `thresholds.csv`. *Spread* is "
         "the largest 99 % quantile over thresholds against the smallest."), THRESHOLD_COLUMNS, threshold_rows(found)),
        ("Parameters moved", "One-bar value at risk at 99 % with one parameter moved.",
         SENSITIVITY_COLUMNS, sensitivity_rows(found)),
        ("Realised variance", ("Volatility a bar from ranges, or a day from intraday returns, against the model's over "
         "the same bars; *p better* is of QLIKE against a constant variance."),
         REALISED_COLUMNS, realised_rows(found)),
        ("Models of dependence", ("Out of sample, log score of the copula in nats a bar, larger is better; energy "
         "score of residuals, smaller is better."), DEPENDENCE_COLUMNS, dependence_rows(found)),
        ("Falls together", ("Losses at the horizon beyond each asset's own 95 % quantile, simulated by margins and "
         "copula, and *seen* in windows of history that do not overlap; *p*: so many joint falls or more."),
         JOINT_COLUMNS, joint_rows(found)),
        ("Unavailable", "Subjects without a model.", ("Subject", "Reason"),
         [(row["subject"], row["reason"]) for row in found.unavailable.rows()]),
    )  # fmt: skip
    said_first = "\n".join(f"- {wording.markdown(sentence)}" for sentence in diagnostic_sentences(found))
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
