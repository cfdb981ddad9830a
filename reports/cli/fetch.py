"""``riskcal fetch``: new rows from every source into a store, and rows into or out of it by file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reports.cli import options
from risk.errors import InputError, SourceError, UnitError

if TYPE_CHECKING:
    from oracle_adapters.feed import Feed, FeedSpec
    from oracle_adapters.fetching import Fetched, Observer
    from oracle_adapters.store import Store
    from reports.chain import Start


@click.command()
@click.argument("config", metavar="[CONFIG]", required=False, type=click.Path(path_type=Path))
@options.store_option
@click.option("--start", metavar="TIME", help="Fetch from then, whatever is held. Default: where each feed's rows end.")
@click.option("--stop", metavar="TIME", help="Fetch what became known before then. Default: all there is.")
@click.option("--as-of", "as_of", metavar="TIME", help="Fetch states of markets as of then. Default: a run's date.")
@click.option("--workers", type=click.IntRange(1, 64), default=4, show_default=True, help="Feeds at a time.")
@click.option("--import", "given", metavar="FILE", type=click.Path(path_type=Path), help="Add rows of a file instead.")
@click.option("--export", "wanted", metavar="FILE", type=click.Path(path_type=Path), help="Write all rows to a file.")
@options.json_option
def fetch(
    config: Path | None, store: Path | None, start: str | None, stop: str | None, as_of: str | None, workers: int,
    given: Path | None, wanted: Path | None, *, as_json: bool,
) -> int:  # fmt: skip
    """Fetch what is new in every feed of CONFIG into a store; runs with these settings then read it from there.

    The store is that of --store, else of the settings' `store`. What came is kept whatever happens, and the next
    fetch goes on from there. Keys come from environment variables that the settings name.

    The state of each market that declares one is fetched as of the date that a run takes: the settings' `as_of`, else
    that of the last datum. For runs as of other dates give --as-of, once for each.

    --export writes all rows of the store, with all revisions, to a .parquet or .csv file; --import adds the rows
    of such a file. Both ask no source, and need no CONFIG where --store is given.

    Exit code 3 when a source was not reached, 2 when it gave something wrong; the other feeds are fetched, and of
    several errors the largest code counts.
    """
    from oracle_adapters.store import Store
    from reports.chain import Start

    if given is not None and wanted is not None:
        raise InputError("either into the store or out of it", field="--import, --export", remedy="Give one of them")
    if config is None and (store is None or (given is None and wanted is None)):
        raise InputError("which feeds?", field="CONFIG", remedy="Name a settings file")
    began = Start.from_config(config) if config is not None else None
    kept = Store(options.store_folder(began, store))
    if given is not None or wanted is not None:
        return _move(kept, given, wanted, as_json=as_json)
    assert began is not None  # noqa: S101 - CONFIG was asked for above

    from oracle_adapters.fetching import fetch_all
    from oracle_adapters.registry import open_feeds

    span = {"start": _instant(start, "--start"), "stop": _instant(stop, "--stop")}
    unreached: list[SourceError] = []
    feeds = open_feeds(began.settings, began.root, unreached=unreached)
    with _progress() as observe:
        found = fetch_all(
            kept, feeds, workers=workers, observe=observe,
            **{name: at for name, at in span.items() if at is not None},
        )  # fmt: skip
        found += _states(began, kept, feeds, _instant(as_of, "--as-of"), observe)
    return _show(found, unreached, as_json=as_json)


def _states(began: Start, kept: Store, feeds: Sequence[Feed], as_of: int | None, observe: Observer) -> list[Fetched]:
    """States of markets into the store."""
    from oracle_adapters.fetching import fetch_one
    from oracle_adapters.protocol_state.kept import StateFeed
    from oracle_adapters.snapshot import last_known

    markets = [name for name, market in sorted(began.settings.markets.items()) if market.state is not None]
    if markets and as_of is None:
        as_of = began.as_of or _instant(began.settings.as_of, "as_of") or last_known(feeds, kept.folder)
    if not markets or as_of is None:
        return []
    states = [StateFeed(name, began.settings, as_of) for name in markets]
    return [fetch_one(kept, one, start=as_of, stop=as_of + 1, observe=observe) for one in states]


def _instant(text: str | None, field: str) -> int | None:
    from risk.units import parse_instant

    try:
        return None if text is None else parse_instant(text)
    except UnitError as error:
        raise error.at(field=field) from None


@contextmanager
def _progress() -> Iterator[Observer]:
    """A line a feed on standard error, with the rows that came."""
    from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.completed:,} rows"))
    with Progress(*columns, console=options.console(error=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def observe(spec: FeedSpec, rows: int) -> None:
            if spec.id not in tasks:
                tasks[spec.id] = bars.add_task(spec.id.replace("[", "\\["), total=None)
            bars.advance(tasks[spec.id], rows)

        yield observe


def _show(found: Sequence[Fetched], unreached: Sequence[SourceError], *, as_json: bool) -> int:
    """A row a feed, then every error in full; the worst of them is the exit code."""
    from oracle_adapters.fetching import Status
    from oracle_adapters.masking import mask
    from reports import wording
    from reports.cli import screen

    errors = [str(error) for error in unreached]
    errors += [_named(one.spec.id, str(one.error)) for one in found if one.error is not None]
    if as_json:
        options.print_json({"feeds": [_row(one) for one in found], "unopened": [mask(str(e)) for e in unreached]})
    else:
        rows = [
            (one.spec.id, one.spec.kind.value, screen.worded(one.status),
             "" if one.last_known is None else wording.instant(one.last_known),
             ", ".join(f"{n:,} {name}" for name, n in sorted(one.counted.items())), f"{one.added:,}")
            for one in found
        ]  # fmt: skip
        page = options.console()
        page.print(
            screen.grid(
                "Fetched", ("Feed", "Kind", "Status", "Last known", "Mended or left out", "Added"), rows, numbers=1
            )
        )
        missed = len(unreached) + sum(one.status is Status.UNREACHED for one in found)
        refused, failed = (sum(one.status is how for one in found) for how in (Status.REFUSED, Status.FAILED))
        page.print(
            f"{wording.plural(len(found) + len(unreached), 'source')}: "
            f"{sum(one.added for one in found):,} rows added, {missed} not reached, {refused} refused"
            f"{f', {failed} failed' if failed else ''}."
        )
        for text in map(mask, errors):
            page.print(text, markup=False, soft_wrap=True)
    met = [*unreached, *(one.error for one in found if one.error is not None)]
    return max((error.exit_code for error in met), default=0)


def _named(feed: str, text: str) -> str:
    return text if text.startswith(feed) else f"{feed}: {text}"


def _row(one: Fetched) -> dict[str, Any]:
    from oracle_adapters.masking import mask

    return {
        "feed": one.spec.id,
        "kind": one.spec.kind.value,
        "status": one.status.value,
        "added": one.added,
        "last_known": one.last_known,
        "counted": dict(one.counted),
        "error": None if one.error is None else mask(str(one.error)),
    }


def _move(store: Store, given: Path | None, wanted: Path | None, *, as_json: bool) -> int:
    from oracle_adapters.interchange import export_rows, import_rows
    from reports import wording
    from reports.cli import screen

    if given is not None:
        counts, title, file = import_rows(store, given), "Rows added", given
    else:
        assert wanted is not None  # noqa: S101 - one of the two is given
        counts, title, file = export_rows(store, wanted), "Rows written", wanted
    if as_json:
        options.print_json({"file": str(file), "feeds": [{"feed": spec.id, "rows": n} for spec, n in counts.items()]})
    else:
        page = options.console()
        page.print(screen.grid(title, ("Feed", "Rows"), [(s.id, f"{n:,}") for s, n in counts.items()], numbers=1))
        page.print(f"{wording.plural(len(counts), 'feed')}, {sum(counts.values()):,} rows.")
    return 0
