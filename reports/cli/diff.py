"""``riskcal diff``: what changed between two runs or two parameter files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reports.cli import options
from risk.errors import InputError

if TYPE_CHECKING:
    from reports.difference import Section

_SHOWN = 25


@click.command()
@click.argument("before", metavar="A", type=click.Path(path_type=Path))
@click.argument("after", metavar="B", type=click.Path(path_type=Path))
@options.json_option
def diff(before: Path, after: Path, *, as_json: bool) -> int:
    """Say what changed from A to B: two runs, or two parameter files.

    Between runs: settings, data, models, figures, parameters with the constraint that binds, stress.
    """
    from reports.difference import parameter_difference, run_difference
    from reports.parameter_file import read_parameters

    if before.is_dir() != after.is_dir():
        raise InputError("a run and a file cannot be compared", field=f"{before}, {after}", remedy="Give two of a kind")
    if before.is_dir():
        sections = run_difference(before, after)
    else:
        sections = (parameter_difference(read_parameters(before), read_parameters(after)),)
    if as_json:
        options.print_json({section.title.lower(): section.document() for section in sections})
    else:
        for section in sections:
            _show(section)
    return 0


def _show(section: Section) -> None:
    from reports.cli import screen

    page = options.console()
    if not section.rows:
        page.print(f"{section.title}: {section.note or f'no change in {section.compared:,}'}", soft_wrap=True)
        return
    names = list(section.rows[0])
    lines = [[_text(name, row[name]) for name in names] for row in section.rows[:_SHOWN]]
    heads = [name.replace("_", " ").capitalize() for name in names]
    title = f"{section.title}: {len(section.rows):,} of {section.compared:,} changed"
    page.print(screen.grid(title, heads, lines))
    if (more := len(section.rows) - _SHOWN) > 0:
        page.print(f"and {more:,} more; --json has them all")
    page.print()


def _text(name: str, value: Any) -> str:
    from reports import wording

    if value is None:
        return wording.ABSENT
    if name == "relative":
        return f"{value:+.2%}"
    if name == "horizon":
        return wording.duration(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    return f"{text[:16]}…" if len(text) == 64 and " " not in text else text
