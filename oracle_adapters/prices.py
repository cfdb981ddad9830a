"""From feeds to one price of each asset in US dollars, with the sources and paths behind it and their verdicts.

An asset with one feed has that feed's series. Several feeds of one pair are aggregated. A price in US dollars
that no feed gives is composed along its path; where feeds do give it, a declared path is what a contract
multiplies, and is checked against them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from oracle_adapters.aggregate import Source, aggregate
from oracle_adapters.bars import positive
from oracle_adapters.feed import Chunk, Feed, heartbeat_of, price_series
from oracle_adapters.graph import compare, compose
from oracle_adapters.pace import Pace, pace_of
from oracle_adapters.quality import Check, assess
from oracle_adapters.quality.pegs import check_depeg
from oracle_adapters.quality.reading import check_counts
from oracle_adapters.quality.sources import check_aggregate, check_source
from oracle_adapters.rounds import rounds_to_prices
from risk.artifact import Table
from risk.market import NUMERAIRE, PriceSeries, Verdict
from risk.price_graph import Pair, Path
from risk.settings import Settings

Row = tuple[str, Check]
"""Name of a series, and one check on it."""
ABSENT = "no bar ended by the as-of date: left out of the universe"
PRICELESS = "no close is above zero: left out of the universe"


@dataclass(frozen=True, slots=True)
class Prices:
    """The price of each asset, and everything it comes from.

    Attributes
    ----------
    series
        Fields of each asset's price in US dollars, by asset.
    sources
        Fields of feeds and composites that are no asset's price themselves.
    checks
        Rows of the quality table, in the order of the series.
    """

    series: tuple[PriceSeries, ...]
    sources: tuple[PriceSeries, ...]
    checks: tuple[Row, ...]


@dataclass(slots=True)
class _Priced:
    """The price of one pair while it is put together."""

    fields: tuple[PriceSeries, ...]
    checks: list[Check]
    sources: list[tuple[tuple[PriceSeries, ...], list[Check]]] = field(default_factory=list)

    @property
    def close(self) -> PriceSeries:
        return next(one for one in self.fields if one.field == "close")

    def verdict(self) -> tuple[Verdict, str]:
        for verdict in (Verdict.BAD, Verdict.SUSPECT):
            if said := [f"{one.check}: {one.detail}" for one in self.checks if one.verdict is verdict]:
                return verdict, "; ".join(said)
        return Verdict.GOOD, ""


def price_assets(
    settings: Settings,
    paths: Mapping[Pair, Path],
    read: Sequence[tuple[Feed, Chunk]],
    as_of: int,
    rounds: Mapping[str, Table] = MappingProxyType({}),
) -> Prices:
    """Put the prices of all assets together.

    Parameters
    ----------
    settings
        Pegs of the assets, tolerance and minimum of sources.
    paths
        Declared and derived composites.
    read
        Each feed with the rows that were known at the instant, by asset.
    as_of
        The instant, in unix seconds.
    rounds
        What feeds of rounds said, by name, as far as it was known at the instant: samples repeat between them.
    """
    tolerance = settings.aggregation.tolerance
    by_pair: dict[Pair, list[tuple[Feed, Chunk]]] = {}
    absent: list[Row] = []
    for feed, chunk in read:
        if _has_price(chunk):
            by_pair.setdefault(Pair(feed.spec.base, feed.spec.quote), []).append((feed, chunk))
        else:
            absent.append(
                (
                    feed.spec.id,
                    Check("coverage", Verdict.BAD, len(chunk.rows), PRICELESS if len(chunk.rows) else ABSENT),
                )
            )
            absent += [(feed.spec.id, check) for check in check_counts(chunk.counted)]
    # To explain wrong magnitudes with.
    closes = {str(pair): positive(_first_close(feeds)) for pair, feeds in by_pair.items()}
    priced = {
        pair: _of_feeds(
            feeds, settings, as_of, {name: one for name, one in closes.items() if name != str(pair)}, rounds
        )
        for pair, feeds in by_pair.items()
    }
    for path in paths.values():
        missing = [str(factor) for factor in path.factors if factor.pair not in priced]
        if missing:
            detail = f"{path}; {', '.join(missing)} has no value by the as-of date"
            absent.append((f"{path.pair}@composite({path.product})", Check("coverage", Verdict.BAD, 0, detail)))
            continue
        composed = compose(path, {factor.pair: positive(priced[factor.pair].close) for factor in path.factors})
        if not len(composed.series):
            detail = f"{path}; its factors have no time in common"
            absent.append((composed.series.id, Check("coverage", Verdict.BAD, 0, detail)))
            continue
        verdicts = [(str(factor), *priced[factor.pair].verdict()) for factor in path.factors]
        rows = [*assess([composed.series], {}, as_of), *composed.checks(verdicts)]
        market = priced.get(path.pair)
        if market is None:
            alone = "no independent price of it is there to check the path against"
            rows.append(Check("composite", Verdict.SUSPECT, 0, f"{path}; {alone}"))
            priced[path.pair] = _Priced((composed.series,), rows)
        else:
            market.checks.append(compare(composed, market.close, closes, tolerance))
            market.sources.append(((composed.series,), rows))
    return _arranged(settings, priced, absent)


def _has_price(chunk: Chunk) -> bool:
    return bool((chunk.rows.where(field="close")["value"] > 0).any())


def _first_close(feeds: Sequence[tuple[Feed, Chunk]]) -> PriceSeries:
    feed, chunk = feeds[0]
    return next(one for one in price_series(feed.spec, chunk.rows) if one.field == "close")


def _of_feeds(
    feeds: Sequence[tuple[Feed, Chunk]],
    settings: Settings,
    as_of: int,
    others: Mapping[str, PriceSeries],
    rounds: Mapping[str, Table],
) -> _Priced:
    """The only feed's series, or the aggregate of several."""
    sources, checked = [], []
    for feed, chunk in feeds:
        heartbeat = heartbeat_of(feed)
        fields = price_series(feed.spec, chunk.rows)
        sources.append(Source(fields, heartbeat))
        pace = _pace(feed, fields, rounds.get(feed.spec.id)) if heartbeat is None else None
        checked.append(assess(fields, chunk.counted, as_of, heartbeat=heartbeat, pace=pace))
    minimum, tolerance = settings.aggregation.minimum_sources, settings.aggregation.tolerance
    if len(sources) == 1 and sources[0].heartbeat is None:
        if minimum > 1:
            detail = f"only {sources[0].close.source}: nothing confirms its prices"
            checked[0].append(Check("sources", Verdict.SUSPECT, 1, detail))
        return _Priced(sources[0].fields, checked[0])
    made = aggregate([one.voting() for one in sources], tolerance)
    for number, found in enumerate(checked):
        found.extend(check_source(made, number, others, tolerance))
    rows = [*assess(made.series, {}, as_of, confirmed=made.confirmed), *check_aggregate(made, minimum)]
    return _Priced(made.series, rows, [(one.fields, checks) for one, checks in zip(sources, checked, strict=True)])


def _pace(feed: Feed, fields: Sequence[PriceSeries], rounds: Table | None) -> Pace | None:
    """How often a sampled feed speaks: as it declares, else as its rounds show, else as its samples do."""
    if not hasattr(feed, "declared_heartbeat"):
        return None  # its rows are bars
    close = next(one for one in fields if one.field == "close")
    said = () if rounds is None else price_series(feed.spec, rounds_to_prices(rounds).rows)
    declared: int | None = feed.declared_heartbeat
    return pace_of(close, declared=declared, updates=said[0] if said else None)


def _arranged(settings: Settings, priced: Mapping[Pair, _Priced], absent: Sequence[Row]) -> Prices:
    """Assets' own prices apart from what they come from, each with its rows."""
    series: list[PriceSeries] = []
    sources: list[PriceSeries] = []
    rows: list[Row] = []
    for pair in sorted(priced):
        one = priced[pair]
        own = pair.quote == NUMERAIRE and pair.base in settings.assets
        if own:
            one.checks += _peg(settings, pair.base, priced)
        (series if own else sources).extend(one.fields)
        rows += [(one.close.id, check) for check in one.checks]
        for fields, checks in one.sources:
            sources.extend(fields)
            rows += [(fields[0].id, check) for check in checks]
    return Prices(tuple(series), tuple(sources), (*rows, *absent))


def _peg(settings: Settings, asset: str, priced: Mapping[Pair, _Priced]) -> Iterator[Check]:
    declared = settings.assets[asset]
    if declared.peg is None:
        return
    close = priced[Pair(asset, NUMERAIRE)].close
    peg = None if declared.peg == NUMERAIRE else priced.get(Pair(declared.peg, NUMERAIRE))
    if declared.peg != NUMERAIRE and peg is None:
        yield Check("depeg", Verdict.SUSPECT, 0, f"{declared.peg} has no price to compare with")
        return
    yield check_depeg(
        positive(close), None if peg is None else positive(peg.close), declared.peg, settings.aggregation.depeg,
        grows=declared.asset_class == "wrapped",
    )  # fmt: skip
