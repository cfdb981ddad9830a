"""``riskcal feeds``: every price series with its quality verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reports.cli import options

if TYPE_CHECKING:
    from risk.market import MarketSnapshot

_ORDER = ("good", "suspect", "bad")


@click.command()
@options.source_argument
@options.as_of_option
@options.json_option
def feeds(source: Path, as_of: str | None, *, as_json: bool) -> int:
    """Read every price series and show its quality verdict.

    Exit code 1 when a series is bad.
    """
    from reports import wording
    from reports.chain import recompute
    from reports.cli import screen

    start = options.start_from(source, as_of=as_of, seed=None)
    snapshot = recompute(start, until="snapshot").snapshot
    rows = _rows(snapshot)
    if as_json:
        options.print_json({"as_of": snapshot.as_of, "series": rows, "quality": list(snapshot.quality.rows())})
    else:
        lines = [
            (row["series"], f"{row['base']}/{row['quote']}", row["field"], wording.duration(row["interval"]),
             f"{row['rows']:,}", wording.instant(row["first"]), wording.instant(row["last"]),
             screen.worded(row["verdict"]), "; ".join(row["checks"]))
            for row in rows
        ]  # fmt: skip
        columns = ("Series", "Pair", "Field", "Bar", "Rows", "First", "Last", "Verdict", "Checks")
        page = options.console()
        page.print(screen.grid(f"Series known at {wording.instant(snapshot.as_of)}", columns, lines))
        counts = ", ".join(f"{sum(row['verdict'] == v for row in rows)} {v}" for v in _ORDER)
        page.print(f"{wording.plural(len(rows), 'series', 'series')}: {counts}.")
    return 1 if any(row["verdict"] == "bad" for row in rows) else 0


def _rows(snapshot: MarketSnapshot) -> list[dict[str, Any]]:
    """A row a series, with the worst verdict of its checks and the checks that are not good."""
    rows = []
    for series in snapshot.series:
        checks = [row for row in snapshot.quality.rows() if row["series"] == series.id]
        verdicts = [row["verdict"] for row in checks]
        rows.append(
            {
                "series": series.id,
                "base": series.base,
                "quote": series.quote,
                "field": series.field,
                "interval": series.interval,
                "source": series.source,
                "rows": len(series),
                "first": int(series.observed_at[0]),
                "last": int(series.observed_at[-1]),
                "verdict": max(verdicts, key=_ORDER.index, default="good"),
                "checks": [f"{row['check']}: {row['detail']}" for row in checks if row["verdict"] != "good"],
            }
        )
    return rows
