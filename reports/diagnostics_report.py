"""How far the fits of a calibration can be trusted, in words and as rows: the diagnostics behind its report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from reports import wording
from risk.calibration import Calibration

Section = tuple[str, str, Sequence[str], list[tuple[str, ...]]]
"""Title, what it says, columns and rows."""
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
LEVEL = 0.05


def sections(found: Calibration) -> tuple[Section, ...]:
    """The tables of diagnostics."""
    return (
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
    )  # fmt: skip


def parameter_rows(found: Calibration) -> list[tuple[str, ...]]:
    """A row an asset and parameter, of the model that its paths are made with."""
    rows: list[tuple[str, ...]] = []
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
    rows: list[tuple[str, ...]] = []
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


def sentences(found: Calibration) -> list[str]:
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
