"""``riskcal demo``: the whole chain on the embedded sample market."""

from __future__ import annotations

from pathlib import Path

import click

from reports.cli import options


@click.command()
@click.option(
    "--out", metavar="RUN", type=click.Path(path_type=Path), default=Path("riskcal-demo"), show_default=True,
    help="Run folder to write.",
)  # fmt: skip
@options.as_of_option
@options.seed_option
@options.workers_option
@options.json_option
def demo(out: Path, as_of: str | None, seed: int | None, workers: int, *, as_json: bool) -> int:
    """Run the whole chain on the embedded sample market.

    Ends with a verdict: exit code 0 when the target keeps every budget, 1 when it breaks one.
    """
    from oracle_adapters.sample import settings_text
    from reports.chain import Start
    from reports.cli.propose import run_proposal

    start = Start.from_text(settings_text().encode(), Path(), file="sample market", as_of=as_of, seed=seed)
    return run_proposal(start, out, workers=workers, as_json=as_json)
