"""What verbs show at their end: tables for a terminal, built from the artifacts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from textwrap import shorten, wrap
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table as Grid
from rich.text import Text

from reports import wording
from reports.verdict import MEASURES, SETS, SummaryRow, measure_name, stress_amount, stress_value
from risk.artifact import Table
from risk.outcome import Measure, StressResult
from risk.parameters import SPECS

if TYPE_CHECKING:
    from rich.console import Console

    from reports.chain import Chain

_LEADS = {"reserve": "liquidation_threshold", "market": "maintenance_margin", "pool": "swap_fee"}
"""The parameter of each kind of subject that is shown with its step, interval and binding constraint."""
_LEAST = 12  # columns of a terminal that are left for the last column of a table
_HEADS = {"reserve": "Reserve", "market": "Perpetual", "pool": "Pool"}
_STYLES = {"pass": "green", "good": "green", "note": "", "info": "dim", "suspect": "yellow", "warning": "yellow",
           "fail": "bold red", "bad": "bold red", "refused": "bold red", "stays": "dim", "changes": ""}  # fmt: skip


def grid(title: str, columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, numbers: int = 0) -> Grid:
    """A table without frame; the last `numbers` columns are set to the right. Texts are not markup."""
    table = _empty(title)
    for index, name in enumerate(columns):
        table.add_column(escape(name), justify="right" if index >= len(columns) - numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*_cells(row))
    return table


def lines(title: str, columns: Sequence[str], rows: Sequence[Sequence[str | Text]], *, width: int) -> Grid:
    """A table with one line a row within a width: the last column gives way first, then those before it go."""
    table = _empty(title)
    widths = [max(map(len, [*(row[i] for row in rows), *name.split()])) for i, name in enumerate(columns)]
    kept = list(range(len(columns)))
    while (room := width - sum(widths[i] + 2 for i in kept[:-1])) < _LEAST and len(kept) > 2:
        del kept[-2]
    for index in kept:
        table.add_column(escape("\n".join(wrap(columns[index], widths[index]))), no_wrap=True)
    for row in rows:
        table.add_row(*_cells([*(row[index] for index in kept[:-1]), shorten(str(row[-1]), room, placeholder=" …")]))
    return table


def _empty(title: str) -> Grid:
    return Grid(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim")


def _cells(row: Sequence[str | Text]) -> list[str | Text]:
    return [cell if isinstance(cell, Text) else escape(cell) for cell in row]


def worded(status: str) -> Text:
    """A status in its colour; the word itself says it, too."""
    return Text(status, style=_STYLES.get(status, ""))


def parameters_by_subject(rows: Iterable[SummaryRow], *, width: int) -> list[Grid]:
    """A table a market, a line a subject: the leading parameter with its step and constraint, then the others."""
    markets: dict[tuple[str, str], dict[str, dict[str, SummaryRow]]] = {}
    for row in rows:
        subjects = markets.setdefault((row.key.market, row.key.kind), {})
        subjects.setdefault(row.subject, {})[row.key.parameter] = row
    tables = []
    for (market, kind), subjects in markets.items():
        lead = _LEADS[kind]
        others = [name for name in SPECS if name != lead and any(name in cells for cells in subjects.values())]
        columns = [
            _HEADS[kind],
            "In force",
            "Next",
            "Target",
            "90 % interval",
            *(SPECS[n].title for n in others),
            "Binds",
        ]
        shown = [_subject_line(name, cells, lead, others) for name, cells in subjects.items()]
        tables.append(lines(f"{market}: {SPECS[lead].title.lower()}", columns, shown, width=width))
    return tables


def _subject_line(name: str, cells: dict[str, SummaryRow], lead: str, others: Sequence[str]) -> list[str | Text]:
    main = cells.get(lead)
    rest = [_short(cells.get(other)) for other in others]
    if main is None:
        return [name, "", "", "", "", *rest, ""]
    style = _STYLES[main.status]
    interval = "" if main.interval == wording.ABSENT else " to ".join(map(_bare, main.interval.split(" to ")))
    steps = [Text(_bare(text), style=style) for text in (main.in_force, main.next_step, main.target)]
    return [name, *steps, interval, *rest, main.binding]


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


def parameters_in_full(rows: Iterable[SummaryRow], *, width: int) -> list[Grid]:
    """A table a market, a line a number."""
    markets: dict[str, list[SummaryRow]] = {}
    for row in rows:
        markets.setdefault(row.key.market, []).append(row)
    columns = ("Subject", "Parameter", "In force", "Next step", "Target", "90 % interval", "Binds")
    return [lines(market, columns, [_number_line(row) for row in own], width=width) for market, own in markets.items()]


def _number_line(row: SummaryRow) -> list[str | Text]:
    target = Text(row.target, style=_STYLES[row.status])
    return [row.subject, row.parameter, row.in_force, row.next_step, target, row.interval, row.binding]


def budgets(stress: StressResult) -> Grid:
    """A line a budget, with the value at each parameter set; of several replays the worst one stands."""
    budgeted: dict[str, dict[str, dict[str, dict[str, Any]]]] = {}
    for row in stress.rows.where(has_budget=True).rows():
        budgeted.setdefault(row["measure"], {}).setdefault(row["scenario"], {})[row["set_id"]] = row
    present = {set_id for scenarios in budgeted.values() for cells in scenarios.values() for set_id in cells}
    sets = [name for name in SETS if name in present]
    shown: list[list[str | Text]] = []
    for measure, scenarios in budgeted.items():
        scenario, cells = max(scenarios.items(), key=lambda item: _severity(item[1]))
        several = f"{MEASURES[Measure(measure)]}, worst of {len(scenarios)}: {scenario}"
        label = several if len(scenarios) > 1 else measure_name(next(iter(cells.values())))
        shown.append([label, *(_tested(cells.get(set_id)) for set_id in sets), _budget(cells)])
    columns = ("", *(SETS[name] for name in sets), "Budget")
    return grid("Bad debt against the budgets", columns, shown, numbers=len(sets) + 1)


def _severity(cells: dict[str, dict[str, Any]]) -> tuple[bool, bool, float]:
    """What makes one scenario worse than another: failed at the target, then at the next step, then the value."""
    target, step = cells.get("target"), cells.get("next_step")
    failed = [row is None or row["status"] == "fail" for row in (target, step)]
    return failed[0], failed[1], float("inf") if target is None else target["value"]


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
    """The verdict of a whole chain on one screen; returns whether it passed."""
    from reports.manifest import peak_memory_mib
    from reports.verdict import summary_table, verdict

    judged = verdict(chain.recommendation, chain.stress)
    rows = summary_table(chain.recommendation)
    for table in parameters_by_subject(rows, width=screen.width):
        screen.print(table)
    screen.print()
    screen.print(budgets(chain.stress))
    screen.print()
    style = _STYLES["pass" if judged.passed else "fail"]
    screen.print(Text("PASS  " if judged.passed else "FAIL  ", style=style) + Text(judged.sentence))
    for fact in judged.urgent:
        screen.print(worded(fact.status) + Text(f"  {fact.name}: {fact.text}"))
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
