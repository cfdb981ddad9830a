"""``riskcal reproduce``: make a run again and compare."""

from __future__ import annotations

from pathlib import Path

import click

from reports.cli import options


@click.command()
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@options.workers_option
@options.json_option
def reproduce(run: Path, workers: int, *, as_json: bool) -> int:
    """Make a run again from its settings and snapshot, with no earlier result used, and compare.

    Says "same bytes", or "same parameters, floats within tolerance" with the largest relative difference, or the
    first stage that differs: then the exit code is 1.
    """
    from reports.cli import screen
    from reports.reproduction import TOLERANCE, Agreement
    from reports.reproduction import reproduce as make_again

    with options.progress() as observer:
        found = make_again(run, workers=workers, observer=observer)
    failed = found.agreement is Agreement.DIFFERS
    if as_json:
        stages = [
            {"stage": s.stage, "agreement": s.agreement, "largest": s.largest, "where": s.where} for s in found.stages
        ]
        options.print_json({"agreement": found.agreement, "same_program": found.same_program, "stages": stages})
        return int(failed)
    page = options.console()
    lines = [(s.stage, s.agreement.value, f"{s.largest:.1e}" if s.largest else "", s.where) for s in found.stages]
    page.print(screen.grid("", ("Stage", "Agreement", "Largest difference", "Where"), lines))
    largest = max(stage.largest for stage in found.stages)
    if failed:
        first = next(s for s in found.stages if s.agreement is Agreement.DIFFERS)
        page.print(f"The {first.stage} differs, first at {first.where}.")
    elif found.agreement is Agreement.WITHIN_TOLERANCE:
        page.print(f"Same parameters, floats within tolerance: at most {largest:.1e} of {TOLERANCE:.0e}, relative.")
    else:
        page.print("Same bytes.")
    if not found.same_program:
        page.print("The run was made by another version of the program.")
    return int(failed)
