"""``riskcal backtest``: the track record."""

from __future__ import annotations

from pathlib import Path

import click

from reports.cli import options


@click.command()
@options.chain_options
def backtest(
    source: Path, out: Path | None, as_of: str | None, seed: int | None, workers: int, *, as_json: bool
) -> int:
    """Forecast every bar before it was seen and compare: exceptions, scores, and the bar met or missed.

    Exit code 1 when a criterion of the bar is missed, or no asset has a record.
    """
    from reports import track_record as words
    from reports.chain import run_chain
    from reports.cli import screen

    start = options.start_from(source, as_of=as_of, seed=seed)
    folder = options.run_folder_for(source, out)
    with options.progress() as observer:
        chain = run_chain(start, folder, until="backtest", workers=workers, observer=observer)
    found = chain.track_record
    if as_json:
        tables = (
            "criteria", "pooled", "record", "variants", "pooled_weeks", "weeks", "models", "brier", "reliability",
            "exceptions", "tests", "transforms", "challengers", "unavailable",
        )  # fmt: skip
        rows = {name: list(getattr(found, name).rows()) for name in tables}
        options.print_json({**options.identity_document(chain, folder), "met": found.met, **rows})
        return 0 if found.met else 1
    page = options.console()
    page.print(
        screen.lines("Falls at 99 %, one bar ahead", words.ASSET_COLUMNS, words.asset_rows(found), width=page.width)
    )
    page.print(screen.lines("All assets together", words.POOLED_COLUMNS, words.pooled_rows(found), width=page.width))
    page.print(screen.grid("The bar", words.CRITERIA_COLUMNS, words.criteria_rows(found)))
    if len(found.unavailable):
        page.print(screen.unavailable(found.unavailable))
    page.print(f"The bar is {'met' if found.met else 'missed'}. Read {folder / 'backtest' / 'track-record.md'}",
               soft_wrap=True)  # fmt: skip
    return 0 if found.met else 1
