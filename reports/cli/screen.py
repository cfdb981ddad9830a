"""What verbs show at their end: tables for a terminal, built from the artifacts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table as Grid
from rich.text import Text

from reports import wording
from reports.verdict import SETS, SummaryRow, measure_name, stress_amount, stress_value
from risk.artifact import Table
from risk.outcome import Measure, StressResult

if TYPE_CHECKING:
    from rich.console import Console

    from reports.chain import Chain

_LEADS = {"reserve": "Liquidation threshold", "market": "Maintenance margin", "pool": "Swap fee"}
"""The parameter of each kind of subject that is shown with its step, interval and binding constraint."""
_STYLES = {"pass": "green", "good": "green", "note": "", "info": "dim", "suspect": "yellow", "fail": "bold red",
           "bad": "bold red", "refused": "bold red", "stays": "dim", "changes": ""}  # fmt: skip


def grid(title: str, columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, numbers: int = 0) -> Grid:
    """A table without frame; the last `numbers` columns are set to the right. Texts are not markup."""
    table = Grid(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim")
    for index, name in enumerate(columns):
        table.add_column(name, justify="right" if index >= len(columns) - numbers else "left")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else escape(cell) for cell in row))
    return table


def worded(status: str) -> Text:
    """A status in its colour; the word itself says it, too."""
    return Text(status, style=_STYLES.get(status, ""))


def parameters_by_subject(rows: Iterable[SummaryRow]) -> list[Grid]:
    """One line a subject: the leading parameter with its step, interval and constraint, then the others."""
    kinds: dict[str, dict[str, dict[str, SummaryRow]]] = {}
    for row in rows:
        subject = f"{row.key.market} {row.subject}"
        kinds.setdefault(row.key.kind, {}).setdefault(subject, {})[row.parameter] = row
    tables = []
    for kind, subjects in kinds.items():
        lead = _LEADS[kind]
        others = [name for name in dict.fromkeys(n for s in subjects.values() for n in s) if name != lead]
        columns = [kind.capitalize(), f"{lead}: in force → next → target", "90 % interval", *others, "Binds"]
        tables.append(grid("", columns, [_subject_line(n, s, lead, others) for n, s in subjects.items()]))
    return tables


def _subject_line(name: str, cells: dict[str, SummaryRow], lead: str, others: Sequence[str]) -> list[str | Text]:
    main = cells.get(lead)
    if main is None:
        head: list[str | Text] = ["", ""]
    elif main.status == "refused":
        head = [Text(f"{_bare(main.in_force)}, refused", style=_STYLES["refused"]), ""]
    else:
        steps = (main.in_force, main.next_step, main.target)
        head = [
            Text(" → ".join(_bare(text) for text in steps), style=_STYLES[main.status]),
            "" if main.interval == wording.ABSENT else " to ".join(map(_bare, main.interval.split(" to "))),
        ]
    return [name, *head, *(_short(cells.get(other)) for other in others), main.binding if main else ""]


def _short(row: SummaryRow | None) -> Text:
    if row is None:
        return Text("")
    if row.status == "refused":
        return Text("refused", style=_STYLES["refused"])
    ends = dict.fromkeys((_bare(row.in_force), _bare(row.target)))
    return Text(" → ".join(ends), style=_STYLES[row.status])


def _bare(text: str) -> str:
    """A value without its unit, which the column or the subject says."""
    number, _, unit = text.partition(" ")
    return number if unit else text


def parameters_in_full(rows: Iterable[SummaryRow]) -> Grid:
    """One line a number, with everything."""
    columns = ("Parameter", "In force", "Next step", "Target", "90 % interval", "Binds")
    return grid(
        "Parameters",
        columns,
        [
            (
                str(row.key),
                row.in_force,
                row.next_step,
                Text(row.target, _STYLES[row.status]),
                row.interval,
                row.binding,
            )
            for row in rows
        ],
    )


def budgets(stress: StressResult) -> Grid:
    """A line a budget, with the value at each parameter set."""
    rows: dict[str, dict[str, dict[str, Any]]] = {}
    for row in stress.rows.where(has_budget=True).rows():
        label = f"{row['scenario']}: {measure_name(row)}"
        rows.setdefault(label, {})[row["set_id"]] = row
    sets = [name for name in SETS if any(name in cells for cells in rows.values())]
    return grid(
        "Bad debt against the budgets",
        ("", *(SETS[name] for name in sets), "Budget"),
        [(label, *(_tested(cells.get(name)) for name in sets), _budget(cells)) for label, cells in rows.items()],
        numbers=len(sets) + 1,
    )


def _tested(row: dict[str, Any] | None) -> Text:
    if row is None:
        return Text("not tested", style=_STYLES["fail"])
    failed = f", {row['n_failed']} paths failed" if row["n_failed"] else ""
    text = stress_amount(Measure(row["measure"]), row["value"]) + failed
    return Text(f"{text} {'✗' if row['status'] == 'fail' else '✓'}", style=_STYLES[row["status"]])


def _budget(cells: dict[str, dict[str, Any]]) -> str:
    row = next(iter(cells.values()))
    return stress_amount(Measure(row["measure"]), row["budget"])


def stress_rows(stress: StressResult) -> Grid:
    """A line a scenario, set and measure."""
    return grid(
        "Stress",
        ("Scenario", "Set", "Measure", "Status", "Value"),
        [
            (row["scenario"], SETS.get(row["set_id"], row["set_id"]), measure_name(row), worded(row["status"]),
             stress_value(row))
            for row in stress.rows.rows()
        ],
        numbers=1,
    )  # fmt: skip


def unavailable(table: Table) -> Grid:
    """Subjects without a model, and why."""
    return grid("No model", ("Subject", "Reason"), [(row["subject"], row["reason"]) for row in table.rows()])


def close_proposal(screen: Console, chain: Chain, out: Path) -> bool:
    """The verdict of a whole chain on one screen; returns whether the target keeps every budget."""
    from reports.manifest import peak_memory_mib
    from reports.verdict import summary_table, verdict

    judged = verdict(chain.recommendation, chain.stress)
    rows = summary_table(chain.recommendation)
    for table in parameters_by_subject(rows):
        screen.print(table)
    screen.print()
    screen.print(budgets(chain.stress))
    screen.print()
    style = _STYLES["pass" if judged.passed else "fail"]
    screen.print(Text("PASS  " if judged.passed else "FAIL  ", style=style) + Text(judged.sentence))
    refused = sum(row.status == "refused" for row in rows)
    missing = len(chain.calibration.unavailable)
    calibrated = len(chain.calibration.assets) + len(chain.calibration.pairs)
    counted = (
        f"{refused} of {wording.plural(len(rows), 'number')} refused, {missing} of {calibrated + missing} subjects"
    )
    screen.print(f"As of {wording.instant(chain.snapshot.as_of)}, {counted} without a model.")
    memory = max(peak_memory_mib().values())
    screen.print(f"{sum(chain.seconds.values()):.1f} s, {memory:,.0f} MiB in the largest process.")
    screen.print(f"Read {out / 'proposal' / 'index.html'}", soft_wrap=True)
    return judged.passed
