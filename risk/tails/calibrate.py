"""The calibration stage over all subjects: who is calibrated, in which process, and how the rows become one artifact.

Subjects are every asset with closes and every pair of a reserve asset with each of its debts. A pair against the
unit of account has the asset's own series: it is not fitted twice, it shares the asset's model under its own name.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import replace

from risk.artifact import Table
from risk.calibration import FIGURE_SCHEMA, Calibration, Dependence
from risk.errors import DataError
from risk.market import NUMERAIRE, FloatArray, IntArray, MarketSnapshot, Verdict
from risk.settings import Settings
from risk.tails.comparison import METHOD_SCHEMA
from risk.tails.diagnostics import PARAMETER_SCHEMA, SENSITIVITY_SCHEMA, THRESHOLD_SCHEMA
from risk.tails.evidence import ASSUMPTION_SCHEMA, EXCEPTION_SCHEMA, RACE_SCHEMA, TRACK_SCHEMA
from risk.tails.realised import REALISED_SCHEMA, realised_rows
from risk.tails.subject import SubjectOutcome, SubjectTask, calibrate_subject
from risk.tails.term_structure import TERM_SCHEMA
from risk.tails.wrapper import PEG_SCHEMA, peg_rows

SETTINGS_READ = ("seed", "assets", "appetite", "execution", "models", "policy")
"""Parts of the settings that the stage reads."""
_UNAVAILABLE_SCHEMA = {"subject": "str", "reason": "str"}


def subject_tasks(snapshot: MarketSnapshot, settings: Settings) -> tuple[SubjectTask | SubjectOutcome, ...]:
    """What there is to calibrate, assets first, then pairs, each in name order.

    A subject whose series cannot even be formed (no closes, bars that do not align) is an outcome with its reason
    already.
    """
    pairs = [(name, debt) for name, _, asset in settings.reserves() for debt in asset.debts]
    subjects = [(name, NUMERAIRE, name) for name in sorted(settings.assets)]
    subjects += [(name, debt, f"{name}:{debt}") for name, debt in sorted(pairs)]
    return tuple(_task(snapshot, settings, *parts) for parts in subjects)


def calibrate_subjects(
    snapshot: MarketSnapshot, settings: Settings, executor: Executor | None = None
) -> tuple[SubjectOutcome, ...]:
    """Calibrate every subject; the outcomes do not depend on the executor, nor one subject on another.

    Returns
    -------
    Outcomes in the order of `subject_tasks`; evidence of a pair against the unit of account is the asset's and
    stands under its name only.
    """
    tasks = subject_tasks(snapshot, settings)
    distinct = [t for t in tasks if isinstance(t, SubjectTask) and t.subject == t.stream_name]
    run = map if executor is None else executor.map
    found = {o.subject: o for o in run(calibrate_subject, distinct, [settings] * len(distinct))}
    outcomes: list[SubjectOutcome] = []
    for task in tasks:
        if isinstance(task, SubjectOutcome):
            outcomes.append(task)
        elif task.subject == task.stream_name:
            outcomes.append(found[task.subject])
        else:
            outcomes.append(_renamed(found[task.stream_name], task.subject))
    return tuple(outcomes)


def residuals_by_asset(outcomes: tuple[SubjectOutcome, ...]) -> dict[str, tuple[IntArray, FloatArray]]:
    """End times and standardised residuals of every calibrated asset, for the dependence between them."""
    models = [o.model for o in outcomes if o.model is not None and ":" not in o.subject]
    return {model.subject: (model.observed_at, model.residuals) for model in models}


def assemble(
    snapshot: MarketSnapshot,
    settings: Settings,
    outcomes: tuple[SubjectOutcome, ...],
    dependence: Dependence,
    dependence_pairs: Table,
    *,
    diagnostics: Mapping[str, Table] | None = None,
    inputs: Mapping[str, str] | None = None,
) -> Calibration:
    """Make the artifact from outcomes and dependence.

    Parameters
    ----------
    dependence_pairs
        Table of `risk.dependence.summary`.
    diagnostics
        Tables of `risk.dependence.challenger` by name.
    inputs
        Stage name to content hash; by default that of the snapshot.
    """
    models = {o.subject: o.model for o in outcomes if o.model is not None}
    columns = tuple(FIGURE_SCHEMA)
    return Calibration(
        as_of=snapshot.as_of,
        figures=Table.from_rows(FIGURE_SCHEMA, ([getattr(f, c) for c in columns] for o in outcomes for f in o.figures)),
        unavailable=Table.from_rows(_UNAVAILABLE_SCHEMA, ((o.subject, o.reason) for o in outcomes if o.model is None)),
        race=Table.from_rows(RACE_SCHEMA, (row for o in outcomes for row in o.evidence.race)),
        track_record=Table.from_rows(TRACK_SCHEMA, (row for o in outcomes for row in o.evidence.track_record)),
        exceptions=Table.from_rows(EXCEPTION_SCHEMA, (row for o in outcomes for row in o.evidence.exceptions)),
        assumptions=Table.from_rows(ASSUMPTION_SCHEMA, (row for o in outcomes for row in o.evidence.assumptions)),
        term_structure=Table.from_rows(TERM_SCHEMA, (row for o in outcomes for row in o.evidence.term_structure)),
        methods=Table.from_rows(METHOD_SCHEMA, (row for o in outcomes for row in o.evidence.methods)),
        pegs=Table.from_rows(PEG_SCHEMA, peg_rows(snapshot, settings)),
        dependence_pairs=dependence_pairs,
        assets={name: model for name, model in models.items() if ":" not in name},
        pairs={name: model for name, model in models.items() if ":" in name},
        dependence=dependence,
        diagnostics={**_diagnostics(snapshot, settings, outcomes), **(diagnostics or {})},
        inputs={"snapshot": snapshot.artifact().content_hash} if inputs is None else inputs,
        settings_hash=settings.hash_of(*SETTINGS_READ),
    )


def _diagnostics(
    snapshot: MarketSnapshot, settings: Settings, outcomes: tuple[SubjectOutcome, ...]
) -> dict[str, Table]:
    """Tables of how far the fits of assets can be trusted."""
    rows = [o.evidence.diagnostics for o in outcomes]
    assets = {o.subject: o.model for o in outcomes if o.model is not None and ":" not in o.subject}
    return {
        "parameters": Table.from_rows(PARAMETER_SCHEMA, (row for r in rows for row in r.parameters)),
        "thresholds": Table.from_rows(THRESHOLD_SCHEMA, (row for r in rows for row in r.thresholds)),
        "sensitivities": Table.from_rows(SENSITIVITY_SCHEMA, (row for r in rows for row in r.sensitivities)),
        "realised": Table.from_rows(REALISED_SCHEMA, realised_rows(snapshot, assets, seed=settings.seed)),
    }


def _task(
    snapshot: MarketSnapshot, settings: Settings, collateral: str, debt: str, subject: str
) -> SubjectTask | SubjectOutcome:
    sides = [collateral] if debt == NUMERAIRE else [collateral, debt]
    outside = [name for name in sides if name not in snapshot.assets]
    if outside:
        return SubjectOutcome(subject, reason=f"{outside[0]} has no closes by the as-of date")
    try:
        series = snapshot.pair(collateral, debt)
        verdicts = [(name, *snapshot.verdict(name)) for name in sides]
    except DataError as error:
        return SubjectOutcome(subject, reason=str(error))
    bad = [f"{name}: {detail}" for name, verdict, detail in verdicts if verdict is Verdict.BAD]
    asset = settings.assets[collateral]
    latencies = [snapshot.oracle[name].latency for name in sides if name in snapshot.oracle]
    return SubjectTask(
        subject=subject,
        collateral=collateral,
        debt=debt,
        series=series,
        as_of=snapshot.as_of,
        pegged=asset.peg is not None,
        backing=asset.backing,
        latency=max(latencies, default=0),
        refusal=f"the quality of the series is bad: {'; '.join(bad)}" if bad else "",
    )


def _renamed(outcome: SubjectOutcome, subject: str) -> SubjectOutcome:
    return SubjectOutcome(
        subject,
        None if outcome.model is None else replace(outcome.model, subject=subject),
        tuple(replace(figure, subject=subject) for figure in outcome.figures),
        reason=outcome.reason,
    )
