"""Composite prices: at each instant the product of the last known price of each factor, never of a later one.

The graph itself, and what can be wrong with a path, is `risk.price_graph`; here its numbers are put together and
compared with prices that do not come from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from oracle_adapters.bars import bar_ends, last_known, values_at
from oracle_adapters.magnitude import explain
from oracle_adapters.quality import Check, day
from risk.market import FloatArray, IntArray, PriceSeries, Verdict, frozen
from risk.price_graph import Pair, Path

RECENT = 30
"""Bars at the end over which a composite must agree with the market."""


@dataclass(frozen=True, slots=True)
class Composed:
    """A composite price and how old what it is made of was.

    Attributes
    ----------
    path
        What was multiplied.
    series
        Closes on the bars of the finest factor at which no factor was too old.
    age
        (n,) seconds since the oldest factor was observed.
    oldest
        (n,) number of that factor in the path.
    left_out
        Bars left out because a factor was too old, by factor.
    """

    path: Path
    series: PriceSeries
    age: IntArray
    oldest: IntArray
    left_out: Mapping[str, int]

    def checks(self, verdicts: Sequence[tuple[str, Verdict, str]]) -> list[Check]:
        """Rows on the composite itself: its factors' verdicts, and bars that lacked a fresh factor.

        Parameters
        ----------
        verdicts
            Name, verdict and reason of each factor's price.
        """
        worst = max((verdict for _, verdict, _ in verdicts), key=list(Verdict).index)
        doubts = "; ".join(f"{name}: {why}" for name, verdict, why in verdicts if verdict is not Verdict.GOOD)
        missing = sum(self.left_out.values())
        detail = ", ".join(f"{name} too old for {count} bars" for name, count in self.left_out.items() if count)
        stale = len(self.age) > 0 and missing > 0
        return [
            Check("factors", worst, len(verdicts), doubts or str(self.path)),
            Check("stale_factor", Verdict.SUSPECT if stale else Verdict.GOOD, missing, detail),
        ]


def compose(path: Path, prices: Mapping[Pair, PriceSeries]) -> Composed:
    """The product of a path's factors on the bars of the finest.

    Parameters
    ----------
    path
        Factors from base to quote.
    prices
        Closes of each factor's pair, all above zero.

    Returns
    -------
    Composed
        A bar's value is known when the last of its factors was; the series may be empty where the factors
        have no time in common.
    """
    series = [prices[factor.pair] for factor in path.factors]
    grid, interval = bar_ends(series)
    value: FloatArray = np.ones(len(grid))
    known: IntArray = np.zeros(len(grid), dtype=np.int64)
    ages = np.empty((len(series), len(grid)), dtype=np.int64)
    usable = np.ones(len(grid), dtype=bool)
    left_out: dict[str, int] = {}
    for row, (factor, one) in enumerate(zip(path.factors, series, strict=True)):
        at = last_known(one, grid)
        there = at >= 0
        limit = 2 * one.interval if path.maximum_age is None else path.maximum_age
        ages[row] = np.where(there, grid - one.observed_at[at], np.iinfo(np.int64).max)
        left_out[str(factor)] = int((there & (ages[row] > limit)).sum())
        usable &= ages[row] <= limit
        value = value / one.value[at] if factor.inverted else value * one.value[at]
        known = np.maximum(known, one.known_at[at])
    source = f"composite({path.product})"
    composed = PriceSeries(
        f"{path.pair}@{source}", path.pair.base, path.pair.quote, source, "close", interval,
        grid[usable], known[usable], value[usable],
    )  # fmt: skip
    oldest = np.argmax(ages, axis=0) if series else np.zeros(len(grid), dtype=np.int64)
    return Composed(
        path, composed, frozen(ages.max(axis=0)[usable], np.int64), frozen(oldest[usable], np.int64), left_out
    )


def compare(composed: Composed, market: PriceSeries, factors: Mapping[str, PriceSeries], tolerance: float) -> Check:
    """Whether a composite agrees with a price of the same pair that does not come from its feeds.

    Bad when it is off by more than the tolerance at the median of the last bars that both have, suspect when
    it was off on any bar; the row then says which mistake it looks like.

    Parameters
    ----------
    factors
        Closes by name of everything that may be missing from the path.
    """
    at = last_known(market, composed.series.observed_at)
    age = composed.series.observed_at - market.observed_at[at]
    both = (at >= 0) & (age < max(market.interval, composed.series.interval))
    if not both.any():
        return Check("composite", Verdict.SUSPECT, 0, f"{composed.path}: {market.id} has no bar to compare with")
    mine, theirs = composed.series.value[both], market.value[at[both]]
    deviation = np.abs(np.log(mine / theirs))
    off = deviation > np.log1p(tolerance)
    if not off.any():
        return Check("composite", Verdict.GOOD, 0, f"{composed.path}, within {deviation.max():.2%} of {market.source}")
    recent = slice(-RECENT, None)
    bad = float(np.median(deviation[recent])) > np.log1p(tolerance)
    bar = len(mine) - 1 if bad else int(np.argmax(off))
    instant = int(composed.series.observed_at[both][bar])
    why = explain(float(mine[bar]), float(theirs[bar]), values_at(factors, instant), tolerance)
    detail = f"{composed.path} gives {mine[bar]:,.6g} where {market.source} has {theirs[bar]:,.6g} on {day(instant)}"
    return Check(
        "composite", Verdict.BAD if bad else Verdict.SUSPECT, int(off.sum()), f"{detail}, {why}" if why else detail
    )
