"""Depth of each pair from the books that feeds gave: the last one of every venue, put together, as of an instant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from oracle_adapters.exchange.depth import book_curves
from oracle_adapters.feed import FeedSpec
from oracle_adapters.quality import Check
from risk.artifact import Table
from risk.errors import DataError
from risk.liquidity import combine_curves, worst_curve
from risk.market import Impact, LiquidityCurve, Verdict

Curves = tuple[LiquidityCurve, LiquidityCurve]


@dataclass(frozen=True, slots=True)
class Venue:
    """Books of one venue: what they are of, and rows of depth in order of time."""

    spec: FeedSpec
    rows: Table

    def last(self, instant: int) -> Table | None:
        """The last book that was known at an instant."""
        known = self.rows["observed_at"][self.rows["known_at"] <= instant]
        return self.rows.take(self.rows["observed_at"] == known.max()) if len(known) else None


def measured_depth(
    venues: Sequence[Venue], usd: Mapping[str, float], as_of: int, *, maximum_age: int, lookback: int | None
) -> tuple[dict[str, LiquidityCurve], list[tuple[str, Check]]]:
    """Curves by pair, of selling the base and of selling the quote, and what was left out of them.

    Parameters
    ----------
    venues
        Feeds of books and pools. Each book's loss is against its own middle price.
    usd
        US dollars of one unit of a quote, by name.
    as_of
        Unix seconds; nothing that became known later is used.
    maximum_age
        Seconds beyond which a venue's last book is left out and counted.
    lookback
        Seconds before `as_of` over whose moments the least depth counts; None for the depth at `as_of`.

    Returns
    -------
    curves, checks
        Marginal curves of measured origin; a row or more for every venue.
    """
    curves: dict[str, LiquidityCurve] = {}
    checks: list[tuple[str, Check]] = []
    for base, quote in sorted({(one.spec.base, one.spec.quote) for one in venues}):
        own = [one for one in venues if (one.spec.base, one.spec.quote) == (base, quote)]
        if quote not in usd:
            detail = f"{quote} has no price in US dollars, so the book has no size in them: left out"
            checks += [(one.spec.id, Check("depth", Verdict.SUSPECT, 0, detail)) for one in own]
            continue
        counted = {one.spec.id: Counter[str]() for one in own}
        found: list[Curves] = []
        for moment in _moments(own, as_of, lookback):
            now = [_curves(one, moment, usd[quote], maximum_age, counted[one.spec.id]) for one in own]
            there = [one for one in now if one is not None]
            if there:
                found.append((combine_curves([one for one, _ in there]), combine_curves([one for _, one in there])))
        if found:
            sides = (worst_curve([one for one, _ in found]), worst_curve([one for _, one in found]))
            curves |= {f"{side.base}/{side.quote}": side for side in sides}
        checks += [(name, check) for name, counts in counted.items() for check in _checks(counts)]
    return curves, checks


def _moments(venues: Sequence[Venue], as_of: int, lookback: int | None) -> list[int]:
    """Instants at which a venue's book changed within the look-back, and the as-of date."""
    if lookback is None:
        return [as_of]
    known = np.concatenate([one.rows["known_at"] for one in venues])
    return sorted({*known[(known > as_of - lookback) & (known <= as_of)].tolist(), as_of})


def _curves(venue: Venue, moment: int, usd: float, maximum_age: int, counted: Counter[str]) -> Curves | None:
    """The last book's two curves; None, and counted why, where there is none that can be used."""
    book = venue.last(moment)
    if book is None:
        counted["absent"] += 1
        return None
    if moment - int(book["observed_at"][0]) > maximum_age:
        counted["old"] += 1
        return None
    try:
        found = book_curves(book, kind=Impact.MARGINAL, base=venue.spec.base, quote=venue.spec.quote, quote_usd=usd)
    except DataError:
        counted["one_sided"] += 1
        return None
    counted["used"] += 1
    return found


_WORDS = {
    "used": (Verdict.GOOD, "books used"),
    "absent": (Verdict.SUSPECT, "no book was known by then: left out"),
    "old": (Verdict.SUSPECT, "the last book was older than aggregation.maximum_depth_age: left out"),
    "one_sided": (Verdict.SUSPECT, "a side of the book is empty, so it has no middle price: left out"),
}


def _checks(counts: Mapping[str, int]) -> list[Check]:
    return [
        Check("depth" if name == "used" else f"depth_{name}", verdict, counts[name], detail)
        for name, (verdict, detail) in _WORDS.items()
        if counts[name]
    ]
