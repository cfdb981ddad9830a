"""The content of a proposal: one JSON document from which every form of it is rendered.

A number is a `wording.Shown`, its exact value and its text together; a table is a list of columns and a list of
rows. The Markdown and the page read this document and nothing else, so they cannot say anything different.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from reports import tables, wording
from reports.stress_content import stress_content
from reports.verdict import SETS, SummaryRow, Verdict, interval_text, parsed, summary_table, verdict
from reports.wording import Shown
from risk.artifact import Table
from risk.calibration import Calibration
from risk.market import MarketSnapshot
from risk.market import Verdict as Quality
from risk.outcome import StressResult
from risk.parameters import Key, Malformed, Value
from risk.protocols.codec import Call
from risk.protocols.compound_v3_state import FACTOR_SCALE
from risk.protocols.proposal import CODECS, EncodedProposal
from risk.recommendation import Derivation, Operation, Recommendation, Term
from risk.settings import Settings
from risk.units import GRIDS, Dimension, Ratio
from risk.validation.inventory import register

SCHEMA = "riskcal/proposal/1"

KINDS = {"reserve": "Reserve", "market": "Perpetual", "pool": "Pool"}

OPERATIONS = {
    Operation.START: "start with",
    Operation.ADD: "add",
    Operation.SUBTRACT: "subtract",
    Operation.MULTIPLY: "multiply by",
    Operation.DIVIDE: "divide by",
    Operation.MINIMUM: "at most",
    Operation.MAXIMUM: "at least",
    Operation.ROUND_DOWN: "round down to steps of",
    Operation.ROUND_UP: "round up to steps of",
    Operation.ROUND_NEAREST: "round to steps of",
}

LIMITATIONS = (
    "The future may be worse than every history and every path behind these numbers.",
    "The 90 % intervals hold the uncertainty of fitted parameters, not that of the choice of model or of depth.",
    "How fast borrowers and keepers act is declared, not measured.",
    "Oracle prices are taken as given: sales of liquidated collateral use up depth but do not move the oracle.",
    "Contract risk, governance risk and the quality of an asset's backing are outside the models.",
    "A number that was refused keeps its value in force; that is no judgement that the value is safe.",
)


def build_content(
    snapshot: MarketSnapshot,
    calibration: Calibration,
    recommendation: Recommendation,
    stress: StressResult,
    encoded: EncodedProposal,
    settings: Settings,
    identity: Mapping[str, str],
) -> dict[str, Any]:
    """Gather everything that a proposal says.

    Parameters
    ----------
    identity
        What the run is: seed, as-of and the hash of each stage, as texts.

    Returns
    -------
    dict
        JSON-like, of plain Python values without NaN.
    """
    judged = verdict(recommendation, stress)
    rows = summary_table(recommendation)
    record = tables.won_track_record(calibration)
    by_key = {derivation.key: derivation for derivation in recommendation.derivations}
    return {
        "schema": SCHEMA,
        "title": f"Risk parameter update for {_markets(rows)}, {wording.date(recommendation.as_of)}",
        "markets": _markets(rows),
        "as_of": Shown(value=recommendation.as_of, text=wording.instant(recommendation.as_of)),
        "route": settings.policy.route,
        "identity": [{"name": name, "value": str(value)} for name, value in sorted(identity.items())],
        "verdict": _verdict(judged),
        "counts": {status: sum(row.status == status for row in rows) for status in ("changes", "stays", "refused")},
        "appetite": _appetite(settings),
        "subjects": _subjects(rows, by_key, settings, recommendation.as_of),
        "facts": tables.reserve_facts(recommendation.facts),
        "twin": tables.twin_facts(recommendation.facts, settings.appetite.mean_loss_given_crossing),
        "other_facts": tables.other_facts(recommendation.facts),
        "stress": stress_content(stress),
        "models": {
            "figures": tables.quoted_figures(calibration),
            "n_figures": len(calibration.figures),
            "race": tables.race_of_assets(calibration),
            "all_races": tables.from_table(calibration.race),
            "track_record": tables.from_table(record),
            "pooled_exceptions": tables.pooled_exceptions(record),
            "all_track_records": tables.from_table(calibration.track_record),
            "assumptions": tables.from_table(calibration.assumptions),
            "inventory": tables.from_table(register(calibration.assumptions)),
            "unavailable": tables.from_table(calibration.unavailable),
            "subjects": _models(calibration),
            "dependence": _dependence(calibration),
        },
        "data": {
            "doubts": tables.from_table(_doubts(snapshot.quality)),
            "quality": tables.from_table(snapshot.quality),
            "sources": _sources(snapshot),
        },
        "calls": [_call(call) for call in encoded.calls],
        "unencoded": [{"key": str(item.key), "reason": item.reason} for item in encoded.unencoded],
        "warnings": [{"key": finding.key, "message": finding.message} for finding in encoded.warnings],
        "assumptions": _assumptions(recommendation, stress),
        "limitations": list(LIMITATIONS),
    }


def _markets(rows: Iterable[SummaryRow]) -> str:
    markets = sorted({row.key.market for row in rows}) or ["no market"]
    return " and ".join(filter(None, (", ".join(markets[:-1]), markets[-1])))


def _verdict(judged: Verdict) -> dict[str, Any]:
    return {"passed": judged.passed, "sentence": judged.sentence, "facts": [asdict(fact) for fact in judged.facts]}


def _appetite(settings: Settings) -> list[dict[str, Any]]:
    appetite = settings.appetite
    shown = {
        "Expected bad debt a year": (appetite.expected_bad_debt_usd_per_year, wording.dollars),
        f"Expected shortfall at 99 % over {wording.duration(appetite.es_horizon)}": (
            appetite.es99_usd,
            wording.dollars,
        ),
        "Backstop": (appetite.backstop_usd, wording.dollars),
        "Life of a slow parameter": (appetite.parameter_life, wording.duration),
        "Tolerated shortfall": (appetite.shortfall_tolerance_usd, wording.dollars),
        f"Chance of more than that within {wording.duration(appetite.parameter_life)}": (
            appetite.breach_probability,
            wording.percent,
        ),
        "Mean loss per unit of debt that crosses its threshold": (
            appetite.mean_loss_given_crossing,
            lambda value: wording.percent(value, 3),
        ),
    }
    return [{"name": name, "number": Shown(value=v, text=words(v))} for name, (v, words) in shown.items()]


def _subjects(
    rows: Iterable[SummaryRow], by_key: Mapping[Key, Derivation], settings: Settings, as_of: int
) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        parameter = _parameter(row, by_key[row.key], settings, as_of)
        groups.setdefault((row.key.market, row.key.kind, row.key.subject), []).append(parameter)
    return [
        {"id": "/".join(group), "market": group[0], "kind": KINDS[group[1]], "name": group[2], "parameters": parameters}
        for group, parameters in groups.items()
    ]


def _parameter(row: SummaryRow, derivation: Derivation, settings: Settings, as_of: int) -> dict[str, Any]:
    protocol = settings.markets[row.key.market].protocol if row.key.market in settings.markets else ""
    texts = {"in_force": derivation.current, "next_step": derivation.next_step, "target": derivation.target}
    values = {name: parsed(derivation, texts[name]) for name in SETS}
    places = {(asset.reserve, symbol): asset.decimals for _, symbol, asset in settings.reserves()}
    decimals = places.get((row.key.market, row.key.subject), 0)
    shown: dict[str, Any] = {
        name: None if value is None else _value(row.key, value, protocol, decimals) for name, value in values.items()
    }
    earliest = derivation.earliest
    return {
        "key": str(row.key),
        "name": row.parameter,
        "tier": row.key.path[1] if row.key.path else None,
        "status": row.status,
        **shown,
        **_direction(row.key, values["in_force"], values["target"]),
        "interval": _interval(derivation),
        "binding": derivation.binding,
        "terms": [_term(term, row.key) for term in derivation.terms],
        "earliest": None if earliest is None else Shown(value=earliest, text=_earliest(earliest, as_of)),
        "emergency": derivation.emergency,
        "undercoverage": derivation.undercoverage,
        "notes": list(derivation.notes),
        "refusal": derivation.refusal,
    }


def _value(key: Key, value: Value, protocol: str, decimals: int) -> dict[str, Any]:
    stored = stored_integer(key, value, protocol, decimals)
    exact = value.text if isinstance(value, Malformed) else str(value.value)
    return {"value": exact, "text": wording.quantity(value), "stored": None if stored is None else str(stored)}


def stored_integer(key: Key, value: Value, protocol: str, decimals: int = 0) -> int | None:
    """The integer that the contract takes and shows; None where the protocol has no codec.

    Aave v3 stores ratios in basis points, a bonus as 100 % plus the bonus, and caps in whole tokens; Compound III takes
    factors times 1e18 and caps in base units, of which a token of `decimals` has 10 to that power.
    """
    if protocol not in CODECS or isinstance(value, Malformed) or not GRIDS[protocol].holds(value):
        return None
    if protocol == "compound_v3":
        return int(value.value * (FACTOR_SCALE if isinstance(value, Ratio) else 10**decimals))
    if not isinstance(value, Ratio):
        return int(value.value)
    points = int(value.value * 10_000)
    return points + 10_000 if key.parameter == "liquidation_bonus" and points else points


def _direction(key: Key, before: Value | None, after: Value | None) -> dict[str, str | None]:
    """Whether the number rises or falls, and whether that is tighter or looser for the protocol."""
    if before is None or after is None or isinstance(before, Malformed) or isinstance(after, Malformed):
        return {"direction": "set", "sense": None}
    if after.value == before.value:
        return {"direction": "keep", "sense": None}
    rises = after.value > before.value
    sense = {1: "tighter", -1: "looser"}.get(key.spec.tightening * (1 if rises else -1))
    return {"direction": "raise" if rises else "lower", "sense": sense}


def _earliest(earliest: int, as_of: int) -> str:
    return "now" if earliest <= as_of else wording.instant(earliest)


def _interval(derivation: Derivation) -> dict[str, Any] | None:
    if derivation.lower is None or derivation.upper is None or derivation.refusal is not None:
        return None
    return {"lower": derivation.lower, "upper": derivation.upper, "text": interval_text(derivation)}


def _term(term: Term, key: Key) -> dict[str, Any]:
    dimension = key.spec.dimension
    factor = term.operation in (Operation.MULTIPLY, Operation.DIVIDE)

    def shown(value: float, *, running: bool = False) -> Shown:
        if dimension is Dimension.RATIO and (running or not factor):
            return Shown(value=value, text=wording.percent(value, 3 if running else 2))
        return Shown(value=value, text=wording.number(value))

    interval = None
    if term.lower is not None and term.upper is not None:
        interval = f"{shown(term.lower)['text']} to {shown(term.upper)['text']}"
    return {
        "name": term.name,
        "operation": OPERATIONS[term.operation],
        "number": shown(term.value),
        "interval": interval,
        "after": shown(term.after, running=True),
        "source": term.source,
    }


def _models(calibration: Calibration) -> list[dict[str, Any]]:
    return [
        {
            "subject": subject,
            "model": model.model,
            "interval": wording.duration(model.interval),
            "n_observations": len(model.returns),
            "prior": model.prior,
            "status": model.status,
        }
        for subject, model in sorted(calibration.assets.items())
    ]


def _dependence(calibration: Calibration) -> dict[str, Any]:
    dependence = calibration.dependence
    return {
        "n_assets": len(dependence.assets),
        "degrees_of_freedom": Shown(
            value=dependence.degrees_of_freedom, text=wording.number(dependence.degrees_of_freedom)
        ),
        "n_observations": dependence.n_observations,
        "status": dependence.status,
    }


def _doubts(quality: Table) -> Table:
    """The checks that are not good."""
    mask = quality["verdict"] != Quality.GOOD
    return Table({name: column[mask] for name, column in quality.columns.items()})


def _sources(snapshot: MarketSnapshot) -> dict[str, Any]:
    columns = ["Series", "Pair", "Field", "Source", "Bar", "First", "Last", "Bars"]
    rows = [
        [
            series.id,
            f"{series.base}/{series.quote}",
            series.field,
            series.source,
            wording.duration(series.interval),
            wording.date(int(series.observed_at[0])) if len(series) else wording.ABSENT,
            wording.date(int(series.observed_at[-1])) if len(series) else wording.ABSENT,
            Shown(value=len(series), text=f"{len(series):,}"),
        ]
        for series in snapshot.series
    ]
    return {"columns": columns, "rows": rows}


def _call(call: Call) -> dict[str, Any]:
    return {
        "to": call.to,
        "function": call.signature,
        "arguments": [{"name": name, "value": str(value)} for name, value in call.arguments.items()],
        "data": call.data,
        "keys": [str(key) for key in call.keys],
    }


def _assumptions(recommendation: Recommendation, stress: StressResult) -> list[dict[str, Any]]:
    """Notes of the derivations by the subject that they are about, then what is assumed of all."""
    subjects: dict[str, list[str]] = {}
    for derivation in recommendation.derivations:
        for note in derivation.notes:
            subjects.setdefault(note, []).append(derivation.key.subject)
    groups: dict[str, list[str]] = {}
    for note, about in subjects.items():
        groups.setdefault(" and ".join(dict.fromkeys(about)) if len(set(about)) < 3 else _EVERY, []).append(note)
    stated = [str(note) for note in stress.facts.get("assumptions", ())]
    groups[_EVERY] = [*groups.pop(_EVERY, []), *(note for note in stated if note not in groups.get(_EVERY, ()))]
    return [{"subject": subject, "notes": notes} for subject, notes in groups.items() if notes]


_EVERY = "All"
