"""Order books: into rows of depth, and into what a sale of a size would lose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from oracle_adapters.exchange.client import Venue
from oracle_adapters.exchange.history import figure, seconds, total
from oracle_adapters.exchange.market import SAMPLED, MarketFeed
from oracle_adapters.feed import COLUMNS, Chunk, Kind
from risk.artifact import Table
from risk.errors import DataError
from risk.feed_settings import ExchangeFeed
from risk.market import FloatArray, Impact, LiquidityCurve, Origin

Side = Literal["bid", "ask"]
EDGE = 1e-12
"""Width of a step's edge on a curve, as a share of the size where it begins: a curve is linear between points."""


class OrderBook(MarketFeed):
    """The feed of a spot market's book, as it stands when it is fetched; the past of a book is in a store only.

    Raises
    ------
    SettingsError
        When the venue has no books.
    """

    def __init__(self, settings: ExchangeFeed, venue: Venue) -> None:
        super().__init__(settings, venue, Kind.DEPTH, SAMPLED, "fetchOrderBook", "order books")

    def fetch(self, start: int, stop: int) -> Iterator[Chunk]:
        """The present book, if the present lies within the span; nothing is asked for a span that is past.

        Raises
        ------
        SourceError, SettingsError
            As of bars.
        DataError
            For a price or size that is none, and for a crossed book.
        """
        if self._venue.is_past(stop) or self._venue.now() >= stop:
            return
        symbol, source = self._settings.symbol, self._spec.id
        self._venue.market(symbol)
        book = self._venue.call("fetch_order_book", symbol, self._settings.levels, what=f"the book of {symbol}")
        _, at = seconds(book.get("timestamp") or self._venue.now() * 1000, source)
        self._venue.refuse_future(at, source)
        if start <= at < stop:
            rows, counted = depth_rows(book["bids"], book["asks"], at, source)
            yield Chunk(Kind.DEPTH, rows, counted)


def depth_rows(
    bids: Sequence[Sequence[Any]], asks: Sequence[Sequence[Any]], at: int, source: str
) -> tuple[Table, dict[str, int]]:
    """Rows of depth, from the best price on each side; what was mended is counted.

    Orders at one price are one level (``merged``), and levels of no size are none (``empty``).

    Parameters
    ----------
    bids, asks
        Prices and sizes, in any order; further cells are ignored.
    at
        Unix seconds of the book.
    source
        Name of the feed, for messages.

    Raises
    ------
    DataError
        For a price that is not above zero, a negative size, a best bid that is not below the best ask, and a
        book without an order.
    """
    rows: list[tuple[object, ...]] = []
    best: dict[str, float] = {}
    counted = {"empty": 0, "merged": 0}
    for side, levels in (("ask", asks), ("bid", bids)):
        sizes: dict[float, float] = {}
        for number, level in enumerate(levels):
            price = figure(level[0], source, f"{side} {number}, price")
            size = figure(level[1], source, f"{side} {number}, size", zero=True)
            counted["empty"] += size == 0
            if size > 0:
                counted["merged"] += price in sizes
                sizes[price] = sizes.get(price, 0.0) + size
        ordered = sorted(sizes, reverse=side == "bid")
        if ordered:
            best[side] = ordered[0]
        rows += [(at, side, number, at, price, sizes[price]) for number, price in enumerate(ordered)]
    if not rows:
        raise DataError("the book is empty", file=source, field="bid, ask", remedy="Is the market halted?")
    if len(best) == 2 and best["bid"] >= best["ask"]:
        raise DataError("the book is crossed", file=source, field="bid, ask", value=[best["bid"], best["ask"]])
    return Table.from_rows(COLUMNS[Kind.DEPTH], rows), total(counted)


def order_book_curve(
    levels: npt.ArrayLike,
    mid: float,
    side: Side,
    *,
    kind: Impact = Impact.AVERAGE,
    base: str = "base",
    quote: str = "quote",
    quote_usd: float = 1.0,
) -> LiquidityCurve:
    """What a market order into one side of a book loses against the middle price.

    On the bid side the base is sold; on the ask side it is bought, which is a sale of the quote, so that the
    curve's base and quote change places. Of a size q at level prices p the loss is ``1 - Σpq/(mid Σq)`` into bids,
    and ``1 - mid Σq/Σpq`` into asks. The marginal curve is the exact staircase, with edges of `EDGE`, over which
    `risk.depth.size_within_average` integrates. The average curve is exact within the first level and at the end
    of each; between two ends it is their chord, which lies below by less than their difference.

    Parameters
    ----------
    levels
        (n, 2) prices and sizes in units of the base, above zero, in any order; levels of one price are one.
    mid
        Middle price, above every bid and below every ask.
    side
        ``bid`` or ``ask``.
    kind
        Average or marginal.
    base, quote
        Of the market, for the curve's name.
    quote_usd
        Dollars of one unit of the quote.

    Raises
    ------
    DataError
        For a side without levels, a value that is not above zero, or a price beyond the middle.
    """
    where = f"{base}/{quote}, {side}"
    table: FloatArray = np.asarray(levels, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != 2 or len(table) == 0:
        raise DataError("a side of a book needs rows of price and size", field=where, value=table.shape)
    if not (np.isfinite(table).all() and (table > 0).all() and np.isfinite([mid, quote_usd]).all() and quote_usd > 0):
        raise DataError("prices and sizes of a book must be finite and above zero", field=where)
    price, place = np.unique(table[:, 0], return_inverse=True)
    size: FloatArray = np.bincount(place, weights=table[:, 1]).astype(np.float64)
    if side == "bid":
        price, size = price[::-1], size[::-1]
    if (price[0] > mid) if side == "bid" else (price[0] < mid):
        raise DataError("the book's best price lies beyond the middle", field=where, value=[float(price[0]), mid])
    # In units of the quote: what is given, at the middle price, and what of it the level's price takes.
    given, lost = (mid if side == "bid" else price) * size, abs(price - mid) * size
    ends = np.cumsum(given)
    if kind is Impact.AVERAGE:
        impact = np.cumsum(lost) / ends
        sizes, impact = np.insert(ends, 0, ends[0] * EDGE), np.insert(impact, 0, impact[0])
    else:
        begins = np.concatenate(([ends[0] * EDGE], ends[:-1] * (1 + EDGE)))
        sizes, impact = np.column_stack([begins, ends]).ravel(), np.repeat(lost / given, 2)
    sizes, impact = np.maximum.accumulate(sizes), np.maximum.accumulate(impact)
    wider = np.diff(sizes, prepend=0.0) > 0  # a level of less than an edge is dust
    names = (base, quote) if side == "bid" else (quote, base)
    return LiquidityCurve(*names, sizes[wider] * quote_usd, impact[wider], kind, Origin.MEASURED)


def book_curves(
    rows: Table, *, kind: Impact = Impact.AVERAGE, base: str = "base", quote: str = "quote", quote_usd: float = 1.0
) -> tuple[LiquidityCurve, LiquidityCurve]:
    """The two curves of one book's rows, of selling the base and of buying it, against the book's own middle.

    Raises
    ------
    DataError
        When the rows are of several books, or a side is empty: there is no middle.
    """
    where = f"{base}/{quote}"
    if len(set(rows["observed_at"].tolist())) > 1:
        raise DataError("rows of more than one book", field=where, remedy="Take those of one instant")
    sides = {side: rows.where(side=side) for side in ("bid", "ask")}
    if not all(len(part) for part in sides.values()):
        raise DataError("a side of the book is empty, so it has no middle price", field=where)
    mid = float(sides["bid"]["price"].max() + sides["ask"]["price"].min()) / 2
    sell, buy = (
        order_book_curve(
            np.column_stack([sides[side]["price"], sides[side]["size"]]), mid, side,
            kind=kind, base=base, quote=quote, quote_usd=quote_usd,
        )
        for side in ("bid", "ask")
    )  # fmt: skip
    return sell, buy
