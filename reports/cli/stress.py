"""``riskcal stress``: bad debt of the parameter sets in crashes."""

from __future__ import annotations

from pathlib import Path

import click

from reports.cli import options


@click.command()
@options.chain_options
def stress(source: Path, out: Path | None, as_of: str | None, seed: int | None, workers: int, *, as_json: bool) -> int:
    """Run the crashes on the parameters in force, the next step and the target.

    Exit code 1 when the target breaks a budget, the next step breaks one that it does not improve on, or a path
    failed.
    """
    from reports.chain import run_chain
    from reports.cli import screen
    from reports.verdict import verdict

    start = options.start_from(source, as_of=as_of, seed=seed)
    folder = options.run_folder_for(source, out)
    with options.progress() as observer:
        chain = run_chain(start, folder, until="stress", workers=workers, observer=observer)
    judged = verdict(chain.recommendation, chain.stress)
    if as_json:
        document = {
            "passed": judged.passed,
            "sentence": judged.sentence,
            "rows": list(chain.stress.rows.rows()),
            "facts": chain.stress.facts,
        }
        options.print_json({**options.identity_document(chain, folder), **document})
    else:
        page = options.console()
        page.print(screen.stress_rows(chain.stress))
        page.print(screen.budgets(chain.stress))
        page.print(judged.sentence)
    return 0 if judged.passed else 1
