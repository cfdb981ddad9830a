"""``riskcal gate``: check a parameter change, base against head."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reports.cli import options
from risk.outcome import Finding, GateResult, Severity

if TYPE_CHECKING:
    from rich.table import Table

    from risk.gate.context import GateContext
    from risk.parameters import ParameterSet
    from risk.settings import Settings

_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "dim"}


@click.command()
@click.argument("base", metavar="BASE.toml", type=click.Path(path_type=Path))
@click.argument("head", metavar="HEAD.toml", type=click.Path(path_type=Path))
@click.option(
    "--config",
    metavar="CONFIG",
    required=True,
    type=click.Path(path_type=Path),
    help="Settings of the trusted side: bounds, route, budgets.",
)
@click.option(
    "--run", metavar="RUN", type=click.Path(path_type=Path), help="Run whose snapshot and calibration are the evidence."
)
@options.json_option
def gate(base: Path, head: Path, *, config: Path, run: Path | None, as_json: bool) -> int:
    """Check a change of parameters from BASE to HEAD.

    Only HEAD is not trusted. Units, bounds, invariants and steps are read from the two files; the stress budgets
    need the calibration of a run, on which base and head are simulated on the same paths. Evidence that is
    missing is a failure. Exit code 0: nothing stands against the change; 1: something does.
    """
    from reports.chain import Start
    from reports.parameter_file import read_parameters
    from risk.gate.rules import run_gate

    settings = Start.from_config(config).settings
    context = gather(read_parameters(base), read_parameters(head), settings, run)
    result = run_gate(context)
    if as_json:
        options.print_json(result.document())
    else:
        _show(result, context, head)
    return int(result.failed)


def gather(base: ParameterSet, head: ParameterSet, settings: Settings, run: Path | None) -> GateContext:
    """The change with the evidence that a run gives; what is missing says why.

    Raises
    ------
    ArtifactError
        When the run is foreign, unfinished or edited.
    """
    from risk.gate.context import GateContext
    from risk.gate.stress import BASE, HEAD, why_not_stressed

    if run is None:
        return GateContext(base, head, settings, absent=dict.fromkeys(("stress", "changed_at", "as_of"), "no --run"))
    from reports.run_folder import load_calibration, load_snapshot
    from risk.errors import EvidenceError, RefusalError
    from risk.gate.evidence import bad_prices, read_bounds

    snapshot = load_snapshot(run)
    stress, absent = None, {}
    if not snapshot.changed_at:
        absent["changed_at"] = "the run's snapshot has none"
    if (reason := why_not_stressed(base, head)) is not None:
        absent["stress"] = reason
    elif base.diff(head):
        from risk.stress.run import BookLossModel

        try:
            stress = BookLossModel(snapshot, load_calibration(run), settings).loss({BASE: base, HEAD: head})
        except (EvidenceError, RefusalError) as error:
            absent["stress"] = str(error)
    bad, bounds = bad_prices(snapshot, settings.assets), read_bounds(snapshot, settings)
    return GateContext(base, head, settings, snapshot.changed_at or None, snapshot.as_of, stress, absent, bad, bounds)


def _show(result: GateResult, context: GateContext, head: Path) -> None:
    from rich.text import Text

    screen = options.console()
    if result.findings:
        screen.print(_table(result.findings, head))
        screen.print()
    counts = [(severity, sum(f.severity is severity for f in result.findings)) for severity in Severity]
    said = ", ".join(f"{count} {severity}{'s' * (count > 1)}" for severity, count in counts if count) or "no finding"
    looked = sum(result.checked.values())
    summary = f"{said}; {len(context.changes)} of {len(context.head)} numbers changed, {looked} checks made"
    verdict = Text("FAIL  ", style="bold red") if result.failed else Text("PASS  ", style="green")
    screen.print(verdict + Text(summary), soft_wrap=True)


def _table(findings: Iterable[Finding], head: Path) -> Table:
    """A finding a row: its code, then where, what and the remedy."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 1, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        cell = Text(finding.key, style="bold")
        if finding.base is not None or finding.head is not None:
            cell.append(f"  {finding.base or 'absent'} → {finding.head or 'absent'}", style="not bold")
        if finding.line is not None:
            cell.append(f"  {head}:{finding.line}", style="not bold dim")
        cell.append(f"\n{finding.message}", style="not bold")
        if finding.remedy:
            cell.append(f"\n{finding.remedy}", style="not bold dim")
        table.add_row(Text(f"{finding.severity} {finding.code}", style=_STYLES[finding.severity]), cell)
    return table
