"""``riskcal feeds``: every price series with its quality verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reports.cli import options

if TYPE_CHECKING:
    from reports.chain import Start
    from risk.market import MarketSnapshot, PriceSeries

_FIELDS = ("open", "high", "low", "close", "volume", "rate")
_ORDER = ("good", "suspect", "bad")


@click.command()
@options.source_argument
@options.store_option
@options.as_of_option
@options.json_option
def feeds(source: Path, store: Path | None, as_of: str | None, *, as_json: bool) -> int:
    """Read every price series and show its health: rows, gaps, age, and the verdict with the checks behind it.

    With a store no source is asked, and what it holds beside the feeds of CONFIG is listed, too.

    Exit code 1 when a series is bad.
    """
    from reports import wording
    from reports.chain import recompute
    from reports.cli import screen

    start = options.start_from(source, as_of=as_of, seed=None)
    if store is not None:
        start = replace(start, settings=start.settings.model_copy(update={"store": str(store.resolve())}))
    snapshot = recompute(start, until="snapshot").snapshot
    rows = _rows(snapshot)
    others = _others(start, {row["feed"] for row in rows})
    if as_json:
        options.print_json(
            {"as_of": snapshot.as_of, "feeds": rows, "others": others, "quality": list(snapshot.quality.rows())}
        )
    else:
        lines = [
            (row["feed"], "".join(name[0].upper() for name in row["fields"]), f"{row['rows']:,}",
             _said(wording.duration, row["interval"]), _said(wording.date, row["first"]),
             _said(wording.date, row["last"]), _said(str, row["gaps"]), _said(wording.duration, row["age"]),
             screen.worded(row["verdict"]), "; ".join(row["checks"]))
            for row in rows
        ]  # fmt: skip
        columns = ("Feed", "OHLCV", "Rows", "Bar", "First", "Last", "Gaps", "Age", "Verdict", "Checks")
        page = options.console()
        page.print(screen.grid(f"Feeds known at {wording.instant(snapshot.as_of)}", columns, lines))
        if others:
            held = [
                (one["feed"], one["kind"], wording.instant(one["last_known"]), f"{one['rows']:,}") for one in others
            ]
            page.print(screen.grid("Also in the store", ("Feed", "Kind", "Last known", "Rows"), held, numbers=1))
        counts = ", ".join(f"{sum(row['verdict'] == v for row in rows)} {v}" for v in _ORDER)
        page.print(f"{wording.plural(len(rows), 'feed')}: {counts}.")
    return 1 if any(row["verdict"] == "bad" for row in rows) else 0


def _said(word: Callable[[int], str], value: int | None) -> str:
    return "" if value is None else word(value)


def _others(start: Start, shown: set[str]) -> list[dict[str, Any]]:
    """Feeds of the store that are not shown: other kinds, and feeds that the settings do not name."""
    if start.snapshot is not None or start.settings.store is None:
        return []
    from oracle_adapters.store import Store

    store = Store(start.root / start.settings.store)
    return [
        {"feed": spec.id, "kind": spec.kind.value, "rows": store.count(spec), "last_known": store.last_known(spec)}
        for spec in store.specs()
        if spec.id not in shown
    ]


def _rows(snapshot: MarketSnapshot) -> list[dict[str, Any]]:
    """A row a price or source of one, and one a thing that was checked and is no feed, such as the positions."""
    every = (*snapshot.series, *snapshot.sources)
    checks: dict[str, list[dict[str, Any]]] = {series.id: [] for series in every}
    for row in snapshot.quality.rows():
        checks.setdefault(row["series"], []).append(row)
    return [_row(name, [s for s in every if s.id == name], found, snapshot.as_of) for name, found in checks.items()]


def _row(name: str, series: Sequence[PriceSeries], checks: Sequence[dict[str, Any]], as_of: int) -> dict[str, Any]:
    """The feed's series, the worst verdict of its checks, and the checks that are not good.

    Gaps are missing bars; the age is that of the last bar, in seconds.
    """
    last = max((int(one.observed_at[-1]) for one in series), default=None)
    return {
        "feed": name,
        "source": series[0].source if series else None,
        "fields": sorted((one.field for one in series), key=_FIELDS.index),
        "interval": series[0].interval if series else None,
        "rows": max((len(one) for one in series), default=0),
        "first": min((int(one.observed_at[0]) for one in series), default=None),
        "last": last,
        "gaps": next((row["count"] for row in checks if row["check"] == "gaps"), None),
        "age": None if last is None else as_of - last,
        "verdict": max((row["verdict"] for row in checks), key=_ORDER.index, default="good"),
        "checks": [f"{row['check']}: {row['detail']}" for row in checks if row["verdict"] != "good"],
    }
