"""``riskcal calibrate``: fit the models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from reports.cli import options

if TYPE_CHECKING:
    from rich.table import Table as Grid

    from risk.calibration import Calibration


@click.command()
@options.chain_options
def calibrate(
    source: Path, out: Path | None, as_of: str | None, seed: int | None, workers: int, *, as_json: bool
) -> int:
    """Fit the models and write their risk figures, intervals and track record.

    Exit code 1 when no subject at all has a model.
    """
    from reports.chain import run_chain
    from reports.cli import screen

    start = options.start_from(source, as_of=as_of, seed=seed)
    folder = options.run_folder_for(source, out)
    with options.progress() as observer:
        chain = run_chain(start, folder, until="calibration", workers=workers, observer=observer)
    found = chain.calibration
    if as_json:
        figures, missing = list(found.figures.rows()), list(found.unavailable.rows())
        tables = ("race", "assumptions", "term_structure", "methods", "pegs", "dependence_pairs", "track_record")
        rows = {name: list(getattr(found, name).rows()) for name in tables}
        rows |= {name: list(table.rows()) for name, table in found.diagnostics.items()}
        options.print_json(
            {**options.identity_document(chain, folder), "figures": figures, "unavailable": missing, **rows}
        )
    else:
        page = options.console()
        page.print(_one_bar_figures(found))
        if len(found.unavailable):
            page.print(screen.unavailable(found.unavailable))
        page.print(f"{len(found.figures):,} figures in {folder / 'calibration' / 'figures.csv'}", soft_wrap=True)
        page.print(f"Race, fit, tail and evidence: read {folder / 'calibration' / 'calibration.md'}", soft_wrap=True)
    return 0 if found.assets or found.pairs else 1


def _one_bar_figures(found: Calibration) -> Grid:
    """A line a subject: the shortest conditional value at risk at the middle confidence, with its interval."""
    from reports import wording
    from reports.cli import screen
    from risk.calibration import Measure, Side

    table = found.figures.where(measure=str(Measure.VALUE_AT_RISK), side=str(Side.DOWN), method="conditional")
    rows = sorted(table.rows(), key=lambda row: (row["subject"], row["horizon"], row["confidence"]))
    lines = []
    for subject in dict.fromkeys(row["subject"] for row in rows):
        own = [row for row in rows if row["subject"] == subject]
        nearest = [row for row in own if row["horizon"] == own[0]["horizon"]]
        row = nearest[len(nearest) // 2]
        model = found.assets.get(subject) or found.pairs[subject]
        kind = f"{wording.confidence(row['confidence'])} over {wording.duration(row['horizon'])}"
        interval = f"{wording.percent(row['lower'])} to {wording.percent(row['upper'])}"
        lines.append((subject, model.model, row["status"], kind, wording.percent(row["value"]), interval))
    columns = ("Subject", "Model", "Status", "Quantile", "Value at risk", "90 % interval")
    return screen.grid("Conditional value at risk, down side", columns, lines, numbers=2)
