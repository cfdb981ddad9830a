"""Closing tables: one line a subject at any width, texts that are not markup, verdicts without colour."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console
from rich.table import Table as Grid

from reports.cli import screen
from reports.verdict import summary_table
from risk.artifact import Table
from tests.factories import make_snapshot
from tests.reports.artifacts import make_recommendation, make_stress

ROWS = summary_table(make_recommendation(make_snapshot().in_force))


def shown(table: Grid, width: int) -> list[str]:
    out = StringIO()
    Console(file=out, width=width).print(table)
    return [line.rstrip() for line in out.getvalue().splitlines()]


@pytest.mark.parametrize("width", [60, 80, 110, 200])
def test_every_subject_has_one_line_that_starts_with_its_step(width: int) -> None:
    reserves, perpetuals = screen.parameters_by_subject(ROWS, width=width)
    lines = shown(reserves, width)
    body = lines[next(i for i, line in enumerate(lines) if line.startswith("LINK")) :]
    assert [line.split()[0] for line in body] == ["LINK", "USDC", "WBTC", "WETH", "wstETH"]
    assert max(map(len, lines)) <= width
    assert body[3].split()[:4] == ["WETH", "83.00", "82.50", "74.70"]
    assert "refused" in body[0]
    assert [line[:14] for line in shown(perpetuals, width)[-2:]] == ["ETH-USD tier 1", "ETH-USD tier 2"]


def test_a_wide_terminal_shows_the_other_parameters_and_what_binds() -> None:
    text = "\n".join(shown(screen.parameters_by_subject(ROWS, width=200)[0], 200))
    assert "80.50 → 72.45" in text
    assert "400,000,000" in text
    assert "mean loss over the life" in text


def test_texts_are_not_markup() -> None:
    row = replace(ROWS[0], binding="[bold red]x[/] [link=file]", status="changes")
    text = "\n".join(shown(screen.parameters_in_full([row], width=200)[0], 200))
    assert "[bold red]x[/] [link=file]" in text


def test_a_budget_says_pass_or_fail_without_colour() -> None:
    lines = shown(screen.budgets(make_stress()), 200)
    expected = next(line for line in lines if line.startswith("Expected bad debt"))
    assert expected.count("✗") == 2
    assert expected.count("✓") == 1
    assert expected.endswith("250,000 USD")
    worst = next(line for line in lines if "worst of 2" in line)
    assert "black_thursday_2020" in worst
    assert "1,800,000 USD ✓" in worst


def test_failed_paths_and_a_set_without_a_row_are_shown() -> None:
    stress = make_stress(target_fails=True, n_failed=3)
    assert "3 paths failed ✗" in "\n".join(shown(screen.budgets(stress), 200))
    keep = ~((stress.rows["set_id"] == "target") & (stress.rows["measure"] == "bad_debt_es99"))
    rows = Table({name: values[keep] for name, values in stress.rows.columns.items()})
    assert "not tested" in "\n".join(shown(screen.budgets(replace(stress, rows=rows)), 200))
