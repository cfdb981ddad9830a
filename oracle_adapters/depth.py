"""Depth of each pair from the books that feeds gave: the last one of every venue, put together, as of an instant.

A book whose middle lies off the price is no depth at that price: what sells there sells at another. The price is the
median of the venues where a majority of two or more agrees on it, else the last one of the pair that was known. A
crash that all venues saw is so no reason to leave them out, and one venue that stands still is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from oracle_adapters.exchange.depth import book_curves
from oracle_adapters.feed import FeedSpec
from oracle_adapters.quality import Check
from risk.artifact import Table
from risk.liquidity import combine_curves, worst_curve
from risk.market import Impact, LiquidityCurve, PriceSeries, Verdict

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
    venues: Sequence[Venue],
    usd: Mapping[str, float],
    as_of: int,
    *,
    maximum_age: int,
    lookback: int | None,
    tolerance: float,
    closes: Mapping[str, PriceSeries] = MappingProxyType({}),
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
    tolerance
        Relative distance of a venue's middle from the price beyond which it is left out and counted.
    closes
        Closes in US dollars by name, which a pair's price comes from where no majority of venues agrees.

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
            books = [(one, _book(one, moment, maximum_age, counted[one.spec.id])) for one in own]
            seen = [(one, book, _middle(book)) for one, book in books if book is not None]
            price = _price(
                [middle for _, _, middle in seen], _known(closes, base, quote, moment, usd[quote]), tolerance
            )
            there: list[Curves] = []
            for one, book, middle in seen:
                if price is None or _apart(middle, price) > np.log1p(tolerance):
                    counted[one.spec.id]["contested" if price is None else "off_price"] += 1
                    continue
                counted[one.spec.id]["used"] += 1
                there.append(book_curves(book, kind=Impact.MARGINAL, base=base, quote=quote, quote_usd=usd[quote]))
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


def _book(venue: Venue, moment: int, maximum_age: int, counted: Counter[str]) -> Table | None:
    """The last book; None, and counted why, where there is none that has a middle price."""
    book = venue.last(moment)
    if book is None:
        counted["absent"] += 1
    elif moment - int(book["observed_at"][0]) > maximum_age:
        counted["old"] += 1
    elif set(book["side"].tolist()) != {"bid", "ask"}:
        counted["one_sided"] += 1
    else:
        return book
    return None


def _middle(book: Table) -> float:
    """Between the best bid and the best ask, in quote units a base unit."""
    bids, asks = (book.where(side=side)["price"] for side in ("bid", "ask"))
    return float(bids.max() + asks.min()) / 2


def _known(closes: Mapping[str, PriceSeries], base: str, quote: str, moment: int, quote_usd: float) -> float | None:
    """The last price of a pair that was known at a moment, from the closes of both sides in US dollars."""
    in_usd = _last(closes.get(base), moment)
    return in_usd / (_last(closes.get(quote), moment) or quote_usd) if in_usd else None


def _last(close: PriceSeries | None, moment: int) -> float:
    """The last close above zero that was known at a moment; 0 for none."""
    if close is None:
        return 0.0
    there = np.flatnonzero((close.known_at <= moment) & (close.value > 0))
    return float(close.value[there[-1]]) if len(there) else 0.0


def _price(middles: Sequence[float], known: float | None, tolerance: float) -> float | None:
    """What the middles (n,) are held against; None where venues differ, none has a majority, and no price is known."""
    if not middles:
        return known
    median = float(np.median(middles))
    reach = np.log1p(tolerance) / (2 if len(middles) == 2 else 1)  # both of two are half as far from their median
    agreeing = sum(_apart(middle, median) <= reach for middle in middles)
    if agreeing >= 2 and 2 * agreeing > len(middles):
        return median
    return median if known is None and len(middles) == 1 else known


def _apart(one: float, other: float) -> float:
    return abs(float(np.log(one / other)))


_WORDS = {
    "used": (Verdict.GOOD, "books used"),
    "absent": (Verdict.SUSPECT, "no book was known by then: left out"),
    "old": (Verdict.SUSPECT, "the last book was older than aggregation.maximum_depth_age: left out"),
    "one_sided": (Verdict.SUSPECT, "a side of the book is empty, so it has no middle price: left out"),
    "off_price": (Verdict.SUSPECT, "the middle of the book lies off the price by more than the tolerance: left out"),
    "contested": (Verdict.SUSPECT, "the venues differ, no majority agrees and no price is known: left out"),
}


def _checks(counts: Mapping[str, int]) -> list[Check]:
    return [
        Check("depth" if name == "used" else f"depth_{name}", verdict, counts[name], detail)
        for name, (verdict, detail) in _WORDS.items()
        if counts[name]
    ]
