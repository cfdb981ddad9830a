"""``riskcal recommend``: derive the parameters."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from reports.cli import options


@click.command()
@options.chain_options
def recommend(
    source: Path, out: Path | None, as_of: str | None, seed: int | None, workers: int, *, as_json: bool
) -> int:
    """Derive the target parameters and the next legal step towards them.

    Exit code 1 when every number is refused.
    """
    from reports.chain import run_chain
    from reports.cli import screen
    from reports.verdict import summary_table

    start = options.start_from(source, as_of=as_of, seed=seed)
    folder = options.run_folder_for(source, out)
    with options.progress() as observer:
        chain = run_chain(start, folder, until="recommendation", workers=workers, observer=observer)
    rows = summary_table(chain.recommendation)
    if as_json:
        listed = [{**asdict(row), "key": str(row.key)} for row in rows]
        options.print_json({**options.identity_document(chain, folder), "parameters": listed})
    else:
        page = options.console()
        for table in screen.parameters_in_full(rows, width=page.width):
            page.print(table)
        refused = sum(row.status == "refused" for row in rows)
        page.print(
            f"{refused} of {len(rows)} refused. Target and next step: {folder / 'recommendation'}", soft_wrap=True
        )
    return 1 if all(row.status == "refused" for row in rows) else 0
