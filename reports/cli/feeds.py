"""``riskcal feeds``: every price series, chain of options and funding history with its quality verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reports.cli import options

if TYPE_CHECKING:
    from rich.text import Text

    from reports.chain import Start
    from risk.errors import RiskcalError
    from risk.market import MarketSnapshot, PriceSeries

_FIELDS = ("open", "high", "low", "close", "volume", "rate", "open_interest", "open_interest_value")
_ORDER = ("good", "suspect", "bad")


@click.command()
@options.source_argument
@options.store_option
@options.as_of_option
@options.json_option
def feeds(source: Path, store: Path | None, as_of: str | None, *, as_json: bool) -> int:
    """Read every feed and show its health: rows, gaps, age, and the verdict with the checks behind it.

    With a store no source is asked, and what it holds beside the feeds of CONFIG is listed, too.

    Exit code 1 when a feed is bad; 2 or 3 when one cannot be read, which leaves the others to be seen.
    """
    from oracle_adapters.masking import mask
    from oracle_adapters.snapshot import build_snapshot
    from reports import wording
    from reports.cli import screen

    start = options.start_from(source, as_of=as_of, seed=None)
    if store is not None:
        start = replace(start, settings=start.settings.model_copy(update={"store": str(store.resolve())}))
    unread: dict[str, RiskcalError] = {}
    snapshot = start.snapshot
    if snapshot is None:
        snapshot = build_snapshot(start.settings, root=start.root, as_of=start.as_of, unread=unread)
    rows = _rows(snapshot)
    chains, rates = _chains(snapshot), _rates(snapshot)
    every = [*rows, *chains, *rates]
    _add_counted(start, every, snapshot.as_of)
    _add_later(start, every, snapshot.as_of)
    safety = _safety(snapshot)
    others = _others(start, {row["feed"] for row in every})
    if as_json:
        options.print_json(
            {
                "as_of": snapshot.as_of, "feeds": rows, "options": chains, "rates": rates, "safety": safety,
                "oracles": _oracles(snapshot), "others": others, "quality": list(snapshot.quality.rows()),
            }
        )  # fmt: skip
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
        if chains:
            page.print(screen.grid("Chains of options", _CHAIN_COLUMNS, map(_chain_line, chains)))
        if rates:
            page.print(screen.grid("Funding and open interest", _RATE_COLUMNS, map(_rate_line, rates)))
        if snapshot.oracle:
            page.print(screen.grid("Update rules of oracles", _ORACLE_COLUMNS, map(_oracle_line, _oracles(snapshot))))
        if safety:
            told = [(row["feed"], screen.worded(row["verdict"]), row["detail"]) for row in safety]
            page.print(screen.grid("What it takes to move an oracle", ("Feed", "Verdict", "Detail"), told))
        if others:
            held = [
                (one["feed"], one["kind"], wording.instant(one["last_known"]), f"{one['rows']:,}") for one in others
            ]
            page.print(screen.grid("Also in the store", ("Feed", "Kind", "Last known", "Rows"), held, numbers=1))
        counts = ", ".join(f"{sum(row['verdict'] == v for row in every)} {v}" for v in _ORDER)
        page.print(f"{wording.plural(len(every), 'feed')}: {counts}.")
    for name, error in unread.items():
        text = str(error)
        click.echo(mask(f"riskcal: {text if text.startswith(name) else f'{name}: {text}'}"), err=True)
    bad = any(row["verdict"] == "bad" for row in every)
    return max((error.exit_code for error in unread.values()), default=int(bad))


def _said(word: Callable[[int], str], value: int | None) -> str:
    return "" if value is None else word(value)


def _add_counted(start: Start, rows: Sequence[dict[str, Any]], as_of: int) -> None:
    """Add what the fetches of a feed into the store had to mend or leave out; it is in no run's hash."""
    if start.snapshot is not None or start.settings.store is None:
        return
    from oracle_adapters.quality.reading import check_reading
    from oracle_adapters.store import Store

    store = Store(start.root / start.settings.store)
    counted: dict[str, Counter[str]] = {}
    for spec in store.specs():
        counted.setdefault(spec.id, Counter()).update(store.counted(spec, known_at=as_of))
    for row in rows:
        row["fetched"] = dict(sorted(counted.get(row["feed"], Counter()).items()))
        for check in check_reading(row["fetched"], row.get("rows", 0)):
            if not check.count:
                continue
            row["checks"].append(f"{check.check}: {check.count:,} {check.detail}")
            row["verdict"] = max(row["verdict"], check.verdict.value, key=_ORDER.index)


def _add_later(start: Start, rows: Sequence[dict[str, Any]], as_of: int) -> None:
    """Add what files hold beyond the as-of date: no run may read it, and a date that cannot be would go unseen."""
    if start.snapshot is not None:
        return
    from oracle_adapters.feed import FOREVER, collect
    from oracle_adapters.files import PriceFile
    from reports import wording
    from risk.errors import InputError
    from risk.feed_settings import FileFeed

    named = {row["feed"]: row for row in rows}
    for declared in start.settings.feeds:
        if not isinstance(declared, FileFeed):
            continue
        try:
            feed = PriceFile(declared, start.root)
            known = set(collect(feed, as_of + 1, FOREVER).rows["known_at"].tolist())
        except InputError:
            continue  # a file that cannot be read at all has a row that says so; of the rest nothing may be told
        row = named.get(feed.spec.id, {})
        row["later"] = len(known)
        if known and "checks" in row:
            row["checks"].append(
                f"later: {wording.plural(len(known), 'bar')} after the as-of date, to {wording.date(max(known))}"
            )


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
    names = dict.fromkeys([*(series.id for series in every), *snapshot.quality["series"].tolist()])
    quoted = snapshot.options.keys() | snapshot.rates.keys()
    return [_row(snapshot, name, [s for s in every if s.id == name]) for name in names if name not in quoted]


def _row(snapshot: MarketSnapshot, name: str, series: Sequence[PriceSeries]) -> dict[str, Any]:
    """A feed's series and its verdict. Gaps are missing bars; the age is that of the last bar, in seconds."""
    last = max((int(one.observed_at[-1]) for one in series), default=None)
    return {
        "feed": name,
        "source": series[0].source if series else None,
        "fields": sorted((one.field for one in series), key=_FIELDS.index),
        "interval": series[0].interval if series else None,
        "rows": max((len(one) for one in series), default=0),
        "first": min((int(one.observed_at[0]) for one in series), default=None),
        "last": last,
        "gaps": _count(snapshot, name, "gaps"),
        "age": None if last is None else snapshot.as_of - last,
        **_verdict(snapshot, name),
    }


def _chains(snapshot: MarketSnapshot) -> list[dict[str, Any]]:
    """A row a chain of options; the age is in seconds."""
    return [
        {
            "feed": name,
            "source": chain.source,
            "settlement": chain.settlement,
            "coin_settled": chain.coin_settled,
            "observed_at": chain.observed_at,
            "age": snapshot.as_of - chain.observed_at,
            "options": len(chain),
            "expiries": len(set(chain.expiry.tolist())),
            "two_sided": int(chain.two_sided.sum()),
            "crossed": _count(snapshot, name, "crossed"),
            "expired": _count(snapshot, name, "expired"),
            **_verdict(snapshot, name),
        }
        for name, chain in snapshot.options.items()
    ]


def _rates(snapshot: MarketSnapshot) -> list[dict[str, Any]]:
    """A row a feed of funding rates or open interest, with the last figure of each of its fields."""
    found = []
    for name, history in snapshot.rates.items():
        row = _row(snapshot, name, history.series)
        found.append(row | {"last_values": {one.field: float(one.value[-1]) for one in history.series}})
    return found


def _oracles(snapshot: MarketSnapshot) -> list[dict[str, Any]]:
    """A row an asset with a rule by which its oracle updates: declared, or measured and from what."""
    return [{"asset": name, **asdict(facts)} for name, facts in snapshot.oracle.items()]


_ORACLE_COLUMNS = ("Asset", "Deviation", "Heartbeat", "Latency", "Rule", "Rounds", "First", "Last")
_CHAIN_COLUMNS = ("Feed", "Settled in", "As of", "Age", "Options", "Expiries", "Two-sided", "Verdict", "Checks")
_RATE_COLUMNS = ("Feed", "Last figures", "Rows", "Every", "First", "Last", "Gaps", "Age", "Verdict", "Checks")


def _oracle_line(row: dict[str, Any]) -> tuple[str, ...]:
    from reports import wording

    measured = (f"{row['rounds']:,}", wording.date(row["first"]), wording.date(row["last"]))
    return (
        row["asset"], f"{row['deviation']:.2%}", wording.duration(row["heartbeat"]), wording.duration(row["latency"]),
        row["origin"], *(measured if row["rounds"] else ("", "", "")),
    )  # fmt: skip


def _chain_line(row: dict[str, Any]) -> tuple[str | Text, ...]:
    from reports import wording
    from reports.cli import screen

    return (
        row["feed"], row["settlement"], wording.instant(row["observed_at"]), wording.duration(row["age"]),
        f"{row['options']:,}", str(row["expiries"]), f"{row['two_sided']:,}",
        screen.worded(row["verdict"]), "; ".join(row["checks"]),
    )  # fmt: skip


def _rate_line(row: dict[str, Any]) -> tuple[str | Text, ...]:
    from reports import wording
    from reports.cli import screen

    figures = (f"{name.replace('_', ' ')} {value:.6g}" for name, value in row["last_values"].items())
    return (
        row["feed"], ", ".join(figures), f"{row['rows']:,}", wording.duration(row["interval"]),
        wording.date(row["first"]), wording.date(row["last"]), _said(str, row["gaps"]),
        wording.duration(row["age"]), screen.worded(row["verdict"]), "; ".join(row["checks"]),
    )  # fmt: skip


def _safety(snapshot: MarketSnapshot) -> list[dict[str, Any]]:
    """What moving an average costs against what could be borrowed on it, and how far a cap is from binding."""
    rows = (row for row in snapshot.quality.rows() if row["check"] in ("manipulation", "cap_headroom"))
    return [{"feed": row["series"], **{name: row[name] for name in ("check", "verdict", "detail")}} for row in rows]


def _count(snapshot: MarketSnapshot, name: str, check: str) -> int | None:
    """What a check of a feed counted; None where it was not made."""
    rows = snapshot.quality.where(series=name, check=check)
    return int(rows["count"][0]) if len(rows) else None


def _verdict(snapshot: MarketSnapshot, name: str) -> dict[str, Any]:
    """The worst verdict of a feed's checks, and the checks that are not good."""
    checks = list(snapshot.quality.where(series=name).rows())
    return {
        "verdict": max((row["verdict"] for row in checks), key=_ORDER.index, default="good"),
        "checks": [f"{row['check']}: {row['detail']}" for row in checks if row["verdict"] != "good"],
    }
