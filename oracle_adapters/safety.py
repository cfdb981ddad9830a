"""Whether an oracle can be moved for less than what could be borrowed on it, and how far a cap is from binding.

An average of a pool is moved by who pays for it. Collateral that is priced by it can be borrowed against up to its
liquidation threshold, as much of it as the supply cap lets in; where there is no cap, as much as there is. Where that
is more than moving the price costs, the price is bad, whatever its history looks like.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from oracle_adapters.feed import FeedSpec
from oracle_adapters.quality import Check
from risk.artifact import Table
from risk.feed_settings import UniswapFeed
from risk.market import NUMERAIRE, Book, Verdict
from risk.parameters import Key, ParameterSet
from risk.price_graph import Pair, Path
from risk.settings import Settings
from risk.units import TokenAmount

Row = tuple[str, Check]


@dataclass(frozen=True, slots=True)
class Lending:
    """What can be borrowed on prices: parameters in force, positions, and US dollars of one unit by name."""

    settings: Settings
    in_force: ParameterSet
    book: Book | None
    usd: Mapping[str, float]

    def borrowable(self, asset: str) -> tuple[float, str] | None:
        """US dollars that could be borrowed on an asset and what they come from; None where nothing tells.

        An asset that is no reserve can back no debt: zero.
        """
        declared = self.settings.assets.get(asset)
        if declared is None or declared.reserve is None:
            return 0.0, f"{asset} is no reserve"
        market, subject = declared.reserve, declared.symbol or asset
        threshold = self._threshold(market, subject)
        if threshold == 0:
            return 0.0, f"{subject} is no collateral of {market}"
        if threshold is None or asset not in self.usd:
            return None
        cap = self.in_force.get(Key(market, "reserve", subject, (), "supply_cap"))
        if isinstance(cap, TokenAmount) and cap.value > 0:
            amount, source = float(cap.value), "supply cap"
        elif self.book is not None and asset in self.book.assets:
            mine = [name.startswith(f"{market}/") for name in self.book.accounts]
            amount, source = float(self.book.collateral[mine, self.book.assets.index(asset)].sum()), "held"
        else:
            return None
        said = f"{market}/{subject}: {source} {amount:,.6g} at {self.usd[asset]:,.6g} USD x {threshold:.2%}"
        return amount * self.usd[asset] * threshold, said

    def _threshold(self, market: str, subject: str) -> float | None:
        names = ("liquidation_threshold", "collateral_factor")
        found = (self.in_force.ratio(Key(market, "reserve", subject, (), name)) for name in names)
        return next((one for one in found if one is not None), None)


def safety_checks(
    read: Sequence[tuple[FeedSpec, Table]], lending: Lending, paths: Mapping[Pair, Path]
) -> Iterator[Row]:
    """A row for every feed of an oracle's safety.

    Parameters
    ----------
    read
        Rows that were known at the instant, by feed; the last of each counts.
    lending
        What could be borrowed.
    paths
        Composites: an asset whose path has the feed's pair is priced by it, too.
    """
    pools = {
        f"uniswap_v3:{feed.chain_id}:{feed.address.lower()}:{feed.window}s": feed
        for feed in lending.settings.feeds
        if isinstance(feed, UniswapFeed)
    }
    for spec, rows in read:
        last = rows.take(rows["observed_at"] == rows["observed_at"].max()) if len(rows) else rows
        found = dict(zip(last["field"].tolist(), last["value"].tolist(), strict=True))
        if spec.source in pools:
            yield spec.id, _manipulation(spec, pools[spec.source], found, lending, paths, known=bool(len(rows)))
        else:
            yield spec.id, _headroom(found)


def _headroom(found: Mapping[str, float]) -> Check:
    if "headroom" not in found:
        return Check("cap_headroom", Verdict.SUSPECT, 0, "not known by then")
    share = found["headroom"]
    if share < 0:
        detail = f"the cap on the rate binds: the oracle uses {-share:.4%} less than the rate"
        return Check("cap_headroom", Verdict.SUSPECT, round(share * 10_000), detail)
    return Check("cap_headroom", Verdict.GOOD, round(share * 10_000), f"the cap lies {share:.4%} above the rate")


def _manipulation(
    spec: FeedSpec, feed: UniswapFeed, found: Mapping[str, float], lending: Lending, paths: Mapping[Pair, Path],
    *, known: bool,
) -> Check:  # fmt: skip
    if not known:
        return Check("manipulation", Verdict.SUSPECT, 0, "what moving the average costs is not known by then")
    pair = Pair(spec.base, spec.quote)
    priced = sorted(
        {spec.base}
        | {one.base for one, path in paths.items() if one.quote == NUMERAIRE and pair in {f.pair for f in path.factors}}
    )
    unit = lending.usd.get(spec.quote)
    if unit is None:
        detail = f"{spec.quote} has no price in US dollars, so what moving the average costs has none either"
        return Check("manipulation", Verdict.SUSPECT, 0, detail)
    costs = {name: found[f"cost_{name}"] * unit for name in ("up", "down") if f"cost_{name}" in found}
    said = f"moving the average of {feed.window} s by {feed.move:.0%} costs " + ", ".join(
        f"{costs[name]:,.0f} USD {name} ({found[f'capital_{name}'] * unit:,.0f} at once, {found[f'blocks_{name}']:.0f} "
        f"blocks)" if name in costs else f"more than the pool has {name}"
        for name in ("up", "down")
    )  # fmt: skip
    cost = min(costs.values(), default=float("inf"))
    told = [lending.borrowable(asset) for asset in priced]
    sums = [one for one in told if one is not None]
    if len(sums) == len(told):
        amount, source = sum(one for one, _ in sums), "; ".join(why for _, why in sums)
    elif feed.borrowable is not None:
        amount, source = feed.borrowable, "declared"
    else:
        detail = f"{said}; supply cap and positions do not tell what could be borrowed on it: declare feeds.borrowable"
        return Check("manipulation", Verdict.SUSPECT, _count(cost), detail)
    detail = f"{said}; {amount:,.0f} USD could be borrowed on it ({source})"
    if amount > cost:
        return Check("manipulation", Verdict.BAD, _count(cost), f"{detail}: more than it costs")
    return Check("manipulation", Verdict.GOOD, _count(cost), detail)


def _count(cost: float) -> int:
    """Whole dollars, as far as a table holds them."""
    return int(min(cost, 2.0**62))
