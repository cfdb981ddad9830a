"""Comparison of a run with itself made again: the bytes, the tolerance, and the first place that differs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reports.reproduction import TOLERANCE, Agreement, Reproduction, StageAgreement, compare_stages
from risk.artifact import Artifact, Table

SCHEMA = "riskcal/calibration/1"
BASE = Artifact(
    SCHEMA,
    {"as_of": 5, "name": "x", "deep": [{"share": 0.25, "zero": 0.0}], "none": None},
    {"figures": Table({"subject": ["ETH", "BTC"], "value": [0.1, -3.0], "n": [1, 2], "good": [True, False]})},
)


def compare(other: Artifact) -> StageAgreement:
    return compare_stages("calibration", BASE.to_files(), other.to_files())


def with_column(name: str, values: list[object]) -> Artifact:
    table = BASE.tables["figures"]
    return replace(BASE, tables={"figures": Table({**table.columns, name: values})})


def test_the_same_is_the_same_bytes() -> None:
    found = compare(BASE)
    assert found == StageAgreement("calibration", Agreement.SAME_BYTES)


def test_hashes_of_inputs_do_not_count_but_bytes_do() -> None:
    found = compare(replace(BASE, inputs={"snapshot": "0" * 64}))
    assert found.agreement is Agreement.WITHIN_TOLERANCE
    assert found.largest == 0.0


@pytest.mark.parametrize(
    ("factor", "agreement"),
    [(1 + 0.9 * TOLERANCE, Agreement.WITHIN_TOLERANCE), (1 + 1.2 * TOLERANCE, Agreement.DIFFERS)],
)
def test_floats_of_tables_and_documents_have_the_tolerance(factor: float, agreement: Agreement) -> None:
    found = compare(with_column("value", [0.1, -3.0 * factor]))
    assert (found.agreement, found.where) == (agreement, "calibration/tables/figures/value, row 2")
    assert found.largest == pytest.approx(factor - 1, rel=1e-3)
    deep = replace(BASE, document={**BASE.document, "deep": [{"share": 0.25 * factor, "zero": 0.0}]})
    found = compare(deep)
    assert (found.agreement, found.where) == (agreement, "calibration/document/deep/0/share")


def test_a_float_next_to_zero_is_compared_with_a_floor() -> None:
    tiny = replace(BASE, document={**BASE.document, "deep": [{"share": 0.25, "zero": 1e-18}]})
    assert compare(tiny).agreement is Agreement.WITHIN_TOLERANCE


@pytest.mark.parametrize(
    ("other", "where"),
    [
        (with_column("subject", ["ETH", "LINK"]), "tables/figures/subject, row 2"),
        (with_column("n", [3, 2]), "tables/figures/n, row 1"),
        (with_column("good", [True, True]), "tables/figures/good, row 2"),
        (replace(BASE, tables={"figures": Table({"subject": ["ETH"]})}), "tables/figures"),
        (replace(BASE, tables={}), "tables/figures"),
        (replace(BASE, document={**BASE.document, "as_of": 6}), "document/as_of"),
        (replace(BASE, document={**BASE.document, "name": "y"}), "document/name"),
        (replace(BASE, document={**BASE.document, "none": 1}), "document/none"),
        (replace(BASE, document={**BASE.document, "new": 1}), "document/new"),
        (replace(BASE, document={**BASE.document, "deep": []}), "document/deep"),
    ],
)
def test_anything_but_a_float_must_be_the_same(other: Artifact, where: str) -> None:
    found = compare(other)
    assert (found.agreement, found.where) == (Agreement.DIFFERS, f"calibration/{where}")


def test_the_weakest_stage_decides() -> None:
    stages = [StageAgreement("a", agreement) for agreement in Agreement]
    assert Reproduction(tuple(stages), same_program=True).agreement is Agreement.DIFFERS
    assert Reproduction(tuple(stages[:2]), same_program=True).agreement is Agreement.WITHIN_TOLERANCE
    assert Reproduction(tuple(stages[:1]), same_program=True).agreement is Agreement.SAME_BYTES
