"""The calibration report holds each table of the calibration, and says where there is nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from reports import wording
from reports.calibration_report import markdown, pair_rows, peg_rows, race_rows
from risk.artifact import Table
from risk.dependence.summary import PAIR_SCHEMA
from risk.tails.comparison import METHOD_SCHEMA, NO_FACTOR
from risk.tails.term_structure import TERM_SCHEMA
from risk.tails.wrapper import NEVER_CLOSES, PEG_SCHEMA
from risk.validation.inventory import CARDS
from tests.factories import DAY, make_calibration

SECTIONS = (
    "How far the fits can be trusted", "The race", "The fit", "The tail", "The term structure",
    "Methods side by side", "Pairs of assets", "Pegs and wrappers", "Assumptions", "Model inventory", "Track record",
    "Exceptions", "Standard errors", "Thresholds of the tail", "Parameters moved", "Realised variance",
    "Models of dependence", "Falls together", "Unavailable",
)  # fmt: skip


def test_every_section_is_there_and_every_subject_in_it() -> None:
    found = make_calibration()
    page = markdown(found)
    assert [line[3:] for line in page.splitlines() if line.startswith("## ")] == list(SECTIONS)
    for name in (*found.assets, *found.pairs):
        assert f"| {name} |" in page
    for card in CARDS.values():
        assert f"| {card.model} |" in page.replace("\\_", "_")
    assert len(race_rows(found)) == sum(":" not in name for name in found.race["subject"].tolist())
    assert int(np.sum(found.exceptions["exception"])) > 0


def test_tables_become_rows() -> None:
    found = replace(
        make_calibration(),
        term_structure=Table.from_rows(
            TERM_SCHEMA,
            [("ETH", "down", 7 * DAY, 0.9975, "life", 0.3, 0.4, 0.35, 0.3, 0.4, 0.45, 900, "ok", 0.4, 0.5)],
        ),
        methods=Table.from_rows(
            METHOD_SCHEMA, [("ETH", "historical", 0.99, 90, 2, 0.9, 0.0, 1.0, NO_FACTOR, 0.0, 0.0)]
        ),
        pegs=Table.from_rows(
            PEG_SCHEMA, [("DAI", "USD", 700, 0.0, 0.001, -0.02, 0.99, 0.01, 0.0, NEVER_CLOSES, 0.0, 0.0, 0.0)]
        ),
        dependence_pairs=Table.from_rows(
            PAIR_SCHEMA, [("BTC", "ETH", 0.8, 0.0, 0.9, 0.4, 0.6, 50, "no factors: too few")]
        ),
    )
    page = markdown(found)
    figures = "35.00 % | 30.00 % to 40.00 % | 45.00 % | 40.00 % to 50.00 % | 30.00 % | 40.00 % |"
    assert f"| ETH | 7 days | 99.7500% | life | {figures}" in page
    assert peg_rows(found)[0][5] == "not seen to close"
    assert pair_rows(found)[0][1:4] == ("0.80", wording.ABSENT, "0.90")
    assert NO_FACTOR in page
