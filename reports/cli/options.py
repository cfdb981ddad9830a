"""What verbs share: arguments, where a chain starts, progress, and output for people or machines."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from risk.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from reports.chain import Chain, Observer, Start

_F = TypeVar("_F", bound=Callable[..., Any])

source_argument = click.argument("source", metavar="CONFIG|RUN", type=click.Path(path_type=Path))
as_of_option = click.option(
    "--as-of", metavar="TIME", help="Use only what was known then (a date means 00:00 UTC). Default: the last datum."
)
seed_option = click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Instead of the settings' seed.")
workers_option = click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes; the bytes stay the same."
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
out_option = click.option(
    "--out", metavar="RUN", type=click.Path(path_type=Path), help="Run folder to write. Default: RUN itself."
)

store_option = click.option(
    "--store", metavar="DIR", type=click.Path(path_type=Path), help="Folder of fetched rows. Default: the settings'."
)


def chain_options(command: _F) -> _F:
    """The arguments of every verb that runs the chain."""
    for decorate in (json_option, workers_option, seed_option, as_of_option, out_option, source_argument):
        command = decorate(command)
    return command


def start_from(source: Path, *, as_of: str | None, seed: int | None) -> Start:
    """Where a chain starts: a folder is a run, anything else a settings file.

    Raises
    ------
    InputError
        When an as-of is given for a run: its snapshot is fixed.
    """
    from reports.chain import Start

    if not source.is_dir():
        return Start.from_config(source, as_of=as_of, seed=seed)
    if as_of is not None:
        raise InputError(
            "a run's snapshot is fixed", field="--as-of", value=as_of, remedy="Give the settings file instead"
        )
    return Start.from_run(source, seed=seed)


def store_folder(start: Start | None, store: Path | None) -> Path:
    """The folder of fetched rows: `store`, or the one that the settings name.

    Raises
    ------
    InputError
        When neither names one.
    """
    if store is not None:
        return store
    if start is not None and start.settings.store is not None:
        return start.root / start.settings.store
    raise InputError(
        "where are the fetched rows?", field="--store", remedy="Name a folder, or set store in the settings"
    )


def run_folder_for(source: Path, out: Path | None) -> Path:
    """The folder to write: `out`, or the run that was given.

    Raises
    ------
    InputError
        When a settings file is given without ``--out``.
    """
    if out is not None:
        return out
    if source.is_dir():
        return source
    raise InputError("where should the run go?", field="--out", remedy="Name a folder: --out RUN")


def console(*, error: bool = False) -> Console:
    """A console that leaves a broken pipe to `reports.cli.main`; without a terminal it is 110 columns wide."""
    from rich.console import Console

    class Piped(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError(32, "the reader has gone")

    plain = Piped(stderr=error, highlight=False)
    if not plain.is_terminal and "COLUMNS" not in os.environ:
        plain.width = 110
    return plain


@contextmanager
def progress() -> Iterator[Observer]:
    """Progress on standard error: the stage under way, and a line for each that ended."""
    screen = console(error=True)
    with screen.status("") as status:

        def observe(stage: str, seconds: float | None) -> None:
            if seconds is None:
                status.update(f"{stage} …")
            else:
                spent = f"{seconds:6.1f} s" if seconds else "as before"
                screen.print(f"  {stage:<16}{spent:>9}", style="dim")

        yield observe


def identity_document(chain: Chain, out: Path) -> dict[str, Any]:
    """What the JSON of every verb that writes a run says first."""
    return {
        "run": str(out),
        "seed": chain.settings.seed,
        "as_of": chain.snapshot.as_of,
        "stages": {stage: identity.content_hash for stage, identity in chain.identities.items()},
    }


def print_json(document: Mapping[str, Any]) -> None:
    """One JSON document on standard output."""
    from risk.artifact import readable_json

    click.echo(readable_json(document), nl=False)
