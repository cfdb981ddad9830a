"""``riskcal propose``: the whole chain, from prices to a proposal."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reports.cli import options

if TYPE_CHECKING:
    from reports.chain import Start


@click.command()
@options.chain_options
def propose(source: Path, out: Path | None, as_of: str | None, seed: int | None, workers: int, *, as_json: bool) -> int:
    """Run the whole chain and write the proposal with its evidence.

    Exit code 0 when the target keeps every budget and the next step breaks none that it does not improve on; else 1.
    """
    start = options.start_from(source, as_of=as_of, seed=seed)
    return run_proposal(start, options.run_folder_for(source, out), workers=workers, as_json=as_json)


def run_proposal(start: Start, out: Path, *, workers: int, as_json: bool) -> int:
    """Run the chain and show its verdict; returns the exit code."""
    from reports.chain import run_chain
    from reports.cli import screen
    from reports.verdict import summary_table, verdict

    with options.progress() as observer:
        chain = run_chain(start, out, workers=workers, observer=observer)
    if not as_json:
        return 0 if screen.close_proposal(options.console(), chain, out) else 1
    judged = verdict(chain.recommendation, chain.stress)
    rows = [{**asdict(row), "key": str(row.key)} for row in summary_table(chain.recommendation)]
    options.print_json({**options.identity_document(chain, out), "verdict": asdict(judged), "parameters": rows})
    return 0 if judged.passed else 1
