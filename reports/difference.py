"""What changed between two runs, or between two parameter sets, and why."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from reports import run_folder, wording
from reports.manifest import Manifest
from risk.calibration import Calibration
from risk.market import MarketSnapshot, PriceSeries
from risk.outcome import StressResult
from risk.parameters import ParameterSet
from risk.recommendation import Recommendation

Row = dict[str, Any]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Section:
    """One kind of change.

    Attributes
    ----------
    title
        What is compared.
    rows
        A row a change, all with the same fields; ``before`` and ``after`` are None where a side has none.
    compared
        How many things were compared.
    note
        Why nothing was compared, or empty.
    """

    title: str
    rows: tuple[Row, ...]
    compared: int
    note: str = ""

    def document(self) -> dict[str, Any]:
        """JSON-like content."""
        return {"compared": self.compared, "changed": len(self.rows), "note": self.note, "rows": list(self.rows)}


def parameter_difference(before: ParameterSet, after: ParameterSet) -> Section:
    """Changes between two parameter sets, in key order."""
    rows = tuple(
        {
            "key": str(change.key),
            "before": None if change.before is None else str(change.before),
            "after": None if change.after is None else str(change.after),
        }
        for change in before.diff(after)
    )
    return Section("Parameters", rows, len({*before.values, *after.values}))


def run_difference(before: Path, after: Path) -> tuple[Section, ...]:
    """What changed between two finished runs: identity, settings, data, models, figures, parameters, stress.

    Raises
    ------
    ArtifactError
        When a run is foreign, unfinished or edited.
    """
    manifests = (run_folder.read_manifest(before), run_folder.read_manifest(after))
    texts = [run_folder.read_file(run, m, run_folder.CONFIG) for run, m in zip((before, after), manifests, strict=True)]

    def section(stage: str, title: str, load: Callable[[Path], _T], compare: Callable[[_T, _T], Section]) -> Section:
        for run, manifest in zip((before, after), manifests, strict=True):
            if stage not in manifest.stages:
                return Section(title, (), 0, f"{run} holds no {stage}")
        return compare(load(before), load(after))

    return (
        _mapped("Identity", _identity(manifests[0]), _identity(manifests[1])),
        _mapped("Settings", *(_flat(tomllib.loads(text.decode("utf-8-sig"))) for text in texts)),
        section("snapshot", "Data", run_folder.load_snapshot, _data),
        section("calibration", "Models", run_folder.load_calibration, _models),
        section("calibration", "Figures", run_folder.load_calibration, _figures),
        section("recommendation", "Parameters", run_folder.load_recommendation, _parameters),
        section("stress", "Stress", run_folder.load_stress, _stress),
    )


def _identity(manifest: Manifest) -> dict[Hashable, str]:
    return {
        "version": manifest.program.version,
        "source": manifest.program.source,
        "seed": str(manifest.seed),
        "as_of": wording.instant(manifest.as_of),
        "settings": manifest.settings_hash,
        **{stage: identity.content_hash for stage, identity in manifest.stages.items()},
    }


def _flat(node: object, path: str = "") -> dict[Hashable, str]:
    """Leaves of a settings document by dotted path."""
    if isinstance(node, Mapping):
        parts = ((child, f"{path}.{name}" if path else name) for name, child in node.items())
    elif isinstance(node, list) and any(isinstance(item, Mapping) for item in node):
        parts = ((child, f"{path}[{index}]") for index, child in enumerate(node))
    else:
        return {path: str(node)}
    return {name: value for child, at in parts for name, value in _flat(child, at).items()}


def _mapped(title: str, before: Mapping[Hashable, str], after: Mapping[Hashable, str]) -> Section:
    names = list(dict.fromkeys((*before, *after)))
    rows = [
        {"name": str(name), "before": before.get(name), "after": after.get(name)}
        for name in names
        if before.get(name) != after.get(name)
    ]
    return Section(title, tuple(rows), len(names))


def _data(before: MarketSnapshot, after: MarketSnapshot) -> Section:
    """Series that came, went, grew or were revised."""
    old, new = ({f"{one.id} {one.field}": one for one in snapshot.series} for snapshot in (before, after))
    rows = []
    for name in sorted({*old, *new}):
        a, b = old.get(name), new.get(name)
        change = _series_change(a, b)
        if change:
            sizes = (None if series is None else len(series) for series in (a, b))
            rows.append({"series": name, **dict(zip(("before", "after"), sizes, strict=True)), "change": change})
    return Section("Data", tuple(rows), len({*old, *new}))


def _series_change(before: PriceSeries | None, after: PriceSeries | None) -> str:
    if before is None:
        return "added"
    if after is None:
        return "removed"
    common, left, right = np.intersect1d(before.observed_at, after.observed_at, return_indices=True)
    revised = int((before.value[left] != after.value[right]).sum())
    counts = {
        "rows added": len(after) - len(common),
        "rows removed": len(before) - len(common),
        "rows revised": revised,
    }
    return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)


def _models(before: Calibration, after: Calibration) -> Section:
    """Subjects whose winning model, status or availability changed."""

    def states(found: Calibration) -> dict[Hashable, str]:
        models = {**found.assets, **found.pairs}
        missing = {row["subject"]: f"none: {row['reason']}" for row in found.unavailable.rows()}
        return {**missing, **{name: f"{model.model}, {model.status}" for name, model in sorted(models.items())}}

    return _mapped("Models", states(before), states(after))


_FIGURE = ("subject", "measure", "confidence", "horizon", "side", "method")


def _figures(before: Calibration, after: Calibration) -> Section:
    """Figures that changed, the largest relative change first."""
    rows, compared = _values(before.figures.rows(), after.figures.rows(), _FIGURE)
    rows.sort(key=lambda row: (-abs(row["relative"]), *(str(row[name]) for name in _FIGURE)))
    return Section("Figures", tuple(rows), compared)


def _parameters(before: Recommendation, after: Recommendation) -> Section:
    """Targets and next steps that changed, with the constraint that bound before and after."""
    old, new = ({d.key: d for d in found.derivations} for found in (before, after))
    rows = []
    for key in sorted({*old, *new}):
        a, b = old.get(key), new.get(key)
        row = {
            "key": str(key),
            "before": None if a is None else a.target,
            "after": None if b is None else b.target,
            "next_step_before": None if a is None else a.next_step,
            "next_step_after": None if b is None else b.next_step,
            "binding_before": None if a is None else a.refusal or a.binding,
            "binding_after": None if b is None else b.refusal or b.binding,
        }
        if any(row[f"{name}before"] != row[f"{name}after"] for name in ("", "next_step_", "binding_")):
            rows.append(row)
    return Section("Parameters", tuple(rows), len({*old, *new}))


_STRESS = ("scenario", "set_id", "measure", "horizon", "confidence")


def _stress(before: StressResult, after: StressResult) -> Section:
    """Stress values and verdicts that changed."""
    rows, compared = _values(before.rows.rows(), after.rows.rows(), _STRESS, also=("status",))
    return Section("Stress", tuple(rows), compared)


def _values(
    before: Iterable[Row], after: Iterable[Row], names: tuple[str, ...], also: tuple[str, ...] = ()
) -> tuple[list[Row], int]:
    """Rows whose ``value``, or another column, changed; with the relative change, one where a side is absent."""
    old, new = ({tuple(row[name] for name in names): row for row in rows} for rows in (before, after))
    changed = []
    keys = list(dict.fromkeys((*old, *new)))
    for key in keys:
        a, b = old.get(key), new.get(key)
        columns = ("value", *also)
        if a is not None and b is not None and all(a[column] == b[column] for column in columns):
            continue
        row: Row = dict(zip(names, key, strict=True))
        row |= {"before": None if a is None else a["value"], "after": None if b is None else b["value"]}
        for column in also:
            row |= {f"{column}_before": a and a[column], f"{column}_after": b and b[column]}
        row["relative"] = _relative(row["before"], row["after"])
        changed.append(row)
    return changed, len(keys)


def _relative(before: float | None, after: float | None) -> float:
    if before is None or after is None or before == 0:
        return 0.0 if before == after else 1.0
    return after / before - 1.0
