"""Make a run again and say how far the two agree: the same bytes, the same parameters, or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from reports import chain, run_folder
from reports.manifest import program
from risk.artifact import Artifact, Table
from risk.errors import ArtifactError

TOLERANCE = 1e-6
"""Largest relative difference of floats that still counts as the same run on another kind of processor."""
_FLOOR = 1e-9
"""Floats smaller than this are compared as if they were this large."""


class Agreement(StrEnum):
    """How far two runs agree."""

    SAME_BYTES = "same bytes"
    WITHIN_TOLERANCE = "same parameters, floats within tolerance"
    DIFFERS = "differs"


@dataclass(frozen=True, slots=True)
class StageAgreement:
    """How far one stage agrees.

    Attributes
    ----------
    stage, agreement
        Which, and how far.
    largest
        Largest relative difference of two floats.
    where
        The first place that differs, or that of the largest difference; empty where all bytes are the same.
    """

    stage: str
    agreement: Agreement
    largest: float = 0.0
    where: str = ""


@dataclass(frozen=True, slots=True)
class Reproduction:
    """How far a run agrees with itself made again.

    Attributes
    ----------
    stages
        In the order in which they are made.
    same_program
        Whether the program that made the run is the one that made it again.
    """

    stages: tuple[StageAgreement, ...]
    same_program: bool

    @property
    def agreement(self) -> Agreement:
        """The weakest agreement of all stages."""
        order = list(Agreement)
        return max((stage.agreement for stage in self.stages), key=order.index)


def reproduce(run: Path, *, workers: int = 1, observer: chain.Observer = chain.silent) -> Reproduction:
    """Make a finished run again from its settings and snapshot, with no earlier result used, and compare.

    Raises
    ------
    ArtifactError
        When the run is foreign, unfinished or edited.
    """
    manifest = run_folder.read_manifest(run)
    stages = [stage for stage in run_folder.ALL_STAGES if stage in manifest.stages]
    before = {stage: run_folder.load_files(run, stage, manifest) for stage in stages}
    start = chain.Start.from_run(run)
    line = [stage for stage in stages if stage not in run_folder.BRANCHES]
    again = chain.recompute(
        start, until=line[-1], branches=[s for s in stages if s not in line], workers=workers, observer=observer
    )
    compared: list[StageAgreement] = []
    for stage in stages:
        compare = _compare_proposals if stage == "proposal" else compare_stages
        compared.append(compare(stage, before[stage], again.files[stage]))
    others = [agreed for agreed in compared if agreed.stage != "proposal"]
    if all(agreed.agreement is Agreement.SAME_BYTES for agreed in others):
        compared = [agreed if agreed in others else _strictly(agreed) for agreed in compared]
    return Reproduction(tuple(compared), manifest.program == program())


def compare_stages(stage: str, before: Mapping[str, bytes], after: Mapping[str, bytes]) -> StageAgreement:
    """Compare two versions of a stage that is an artifact: texts and counts exactly, floats with the tolerance."""
    if dict(before) == dict(after):
        return StageAgreement(stage, Agreement.SAME_BYTES)
    try:
        first, second = _content(stage, before), _content(stage, after)
    except ArtifactError as error:
        return StageAgreement(stage, Agreement.DIFFERS, where=str(error))
    largest = _Largest()
    where = _difference(first, second, stage, largest)
    if where is None and largest.value > TOLERANCE:
        where = largest.where
    if where is not None:
        return StageAgreement(stage, Agreement.DIFFERS, largest.value, where)
    return StageAgreement(stage, Agreement.WITHIN_TOLERANCE, largest.value, largest.where)


def _compare_proposals(stage: str, before: Mapping[str, bytes], after: Mapping[str, bytes]) -> StageAgreement:
    """A proposal says its floats in words, so only what executes must be the same when they moved."""
    changed = [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
    if not changed:
        return StageAgreement(stage, Agreement.SAME_BYTES)
    agreement = Agreement.DIFFERS if "calldata.json" in changed else Agreement.WITHIN_TOLERANCE
    return StageAgreement(stage, agreement, where=f"{stage}/{changed[0]}")


def _strictly(stage: StageAgreement) -> StageAgreement:
    """From stages with the same bytes, nothing but the same bytes may follow."""
    if stage.agreement is Agreement.WITHIN_TOLERANCE:
        return StageAgreement(stage.stage, Agreement.DIFFERS, where=stage.where)
    return stage


class _Largest:
    """The largest relative difference so far, and where it is."""

    def __init__(self) -> None:
        self.value, self.where = 0.0, ""

    def take(self, value: float, where: str) -> None:
        if value > self.value:
            self.value, self.where = value, where


def _content(stage: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    """Document and tables of a stage, without the hashes in its header; other files follow from these."""
    schema = f"riskcal/{stage}/1"
    artifact = Artifact.from_files(files, schema=schema, folder=stage)
    return {"document": artifact.document, "tables": dict(artifact.tables)}


def _difference(first: Any, second: Any, where: str, largest: _Largest) -> str | None:
    """The first place where two contents differ in more than a float, or None; floats are noted in `largest`."""
    if isinstance(first, Table) and isinstance(second, Table):
        return _table_difference(first, second, where, largest)
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        if set(first) != set(second):
            return f"{where}/{min(set(first) ^ set(second))}"
        parts = [(first[name], second[name], f"{where}/{name}") for name in sorted(first)]
    elif _is_list(first) and _is_list(second):
        if len(first) != len(second):
            return where
        parts = [(a, b, f"{where}/{index}") for index, (a, b) in enumerate(zip(first, second, strict=True))]
    elif isinstance(first, float) and isinstance(second, (int, float)):
        largest.take(_relative(first, float(second)), where)
        return None
    else:
        return None if type(first) is type(second) and first == second else where
    return next((found for part in parts if (found := _difference(*part, largest)) is not None), None)


def _table_difference(first: Table, second: Table, where: str, largest: _Largest) -> str | None:
    if first.schema != second.schema or len(first) != len(second):
        return where
    for name, kind in first.schema.items():
        a, b = first[name], second[name]
        if kind == "f8" and len(a):
            gaps = np.abs(a - b) / np.maximum(np.maximum(np.abs(a), np.abs(b)), _FLOOR)
            row = int(np.argmax(gaps))
            largest.take(float(gaps[row]), f"{where}/{name}, row {row + 1}")
        elif (unequal := np.flatnonzero(a != b)).size:
            return f"{where}/{name}, row {int(unequal[0]) + 1}"
    return None


def _relative(first: float, second: float) -> float:
    return abs(first - second) / max(abs(first), abs(second), _FLOOR)


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
