"""Order books into rows of depth and into curves of what a sale loses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle_adapters.exchange.depth import EDGE, Side, book_curves, depth_rows, order_book_curve
from oracle_adapters.feed import COLUMNS, FOREVER, Kind, MemoryFeed, collect
from oracle_adapters.store import Store, StoredFeed
from risk.artifact import Table
from risk.depth import size_within_average
from risk.errors import DataError
from risk.market import Impact, Origin
from tests.oracle_adapters.contract import check_feed
from tests.oracle_adapters.exchange.server import Server
from tests.oracle_adapters.exchange.venues import NOW, binance, deribit, feed, settings

BIDS = [[99.0, 2.0], [98.0, 1.0], [90.0, 10.0]]
ASKS = [[101.0, 1.0], [102.0, 4.0]]
MID = 100.0


def test_the_average_of_a_sale_into_bids() -> None:
    """By hand: 2 at 99, then 1 at 98, then 10 at 90, of a middle of 100."""
    curve = order_book_curve(BIDS, MID, "bid", base="ETH", quote="USD")
    assert (curve.base, curve.quote, curve.kind, curve.origin) == ("ETH", "USD", Impact.AVERAGE, Origin.MEASURED)
    np.testing.assert_allclose(curve.size_usd[1:], [200, 300, 1300], rtol=1e-15)
    np.testing.assert_allclose(curve.impact[1:], [0.01, 1 - 296 / 300, 1 - 1196 / 1300], rtol=1e-13)
    assert curve.impact_of(100) == pytest.approx(0.01, rel=1e-12), "half of the spread is lost by the smallest sale"
    assert curve.size_within(0.009) < 1e-9
    assert curve.size_within(0.01) == pytest.approx(200)


def test_the_margin_of_a_sale_into_bids_is_a_staircase() -> None:
    curve = order_book_curve(BIDS, MID, "bid", kind=Impact.MARGINAL)
    for within, size in [
        (0.0, 0),
        (0.0099, 0),
        (0.01, 200),
        (0.015, 200),
        (0.02, 300),
        (0.09, 300),
        (0.1, 1300),
        (0.5, 1300),
    ]:
        assert curve.size_within(within) == pytest.approx(size, abs=1e-8), within
    for size, impact in [(1.0, 0.01), (199.9, 0.01), (200.1, 0.02), (299.9, 0.02), (300.1, 0.1), (1300, 0.1)]:
        assert curve.impact_of(size) == pytest.approx(impact, rel=1e-9), size


def test_a_purchase_is_a_sale_of_the_quote() -> None:
    """By hand: 101 buys one, worth 100; a further 408 buys four, worth 400."""
    curve = order_book_curve(ASKS, MID, "ask", base="ETH", quote="USD")
    assert (curve.base, curve.quote) == ("USD", "ETH")
    np.testing.assert_allclose(curve.size_usd[1:], [101, 509], rtol=1e-15)
    np.testing.assert_allclose(curve.impact[1:], [1 - 100 / 101, 1 - 500 / 509], rtol=1e-12)
    margin = order_book_curve(ASKS, MID, "ask", kind=Impact.MARGINAL)
    assert margin.size_within(1 - 100 / 101 + 1e-12) == pytest.approx(101)
    assert margin.impact_of(300) == pytest.approx(1 - 100 / 102)


def test_sizes_are_in_dollars() -> None:
    in_usd = order_book_curve(BIDS, MID, "bid")
    in_tether = order_book_curve(BIDS, MID, "bid", quote_usd=0.97)
    np.testing.assert_allclose(in_tether.size_usd, 0.97 * in_usd.size_usd, rtol=1e-15)
    np.testing.assert_array_equal(in_tether.impact, in_usd.impact)


def test_a_book_as_fine_as_a_pool_has_the_pools_depth() -> None:
    """Constant product of reserve R = 1 (in the unit of account) as 20,000 bids; FIELD's .05263 R and .02598 R.

    A pool sells dx more at price (1/(1+x))², so levels of width dx are priced at their middle.
    """
    edges = np.linspace(0, 0.2, 20_001)
    middles = (edges[1:] + edges[:-1]) / 2
    levels = np.column_stack([1 / (1 + middles) ** 2, np.diff(edges)])
    average = order_book_curve(levels, 1.0, "bid")
    margin = order_book_curve(levels, 1.0, "bid", kind=Impact.MARGINAL)
    width = edges[1]
    assert average.size_within(0.05) == pytest.approx(0.0526316, abs=width)
    assert margin.size_within(0.05) == pytest.approx(0.0259783, abs=width)
    assert size_within_average(margin, 0.05) == pytest.approx(0.0526316, abs=width)


prices = st.integers(1, 400)
sizes = st.floats(1e-6, 1e6)
sides = st.sampled_from(["bid", "ask"])
books = st.dictionaries(prices, sizes, min_size=1, max_size=30)


def levels_of(book: dict[int, float], side: Side) -> np.ndarray[Any, Any]:
    """Bids below and asks above a middle of 100, as far as prices stay above zero."""
    return np.array([[100 - p / 5 if side == "bid" else 100 + p / 5, size] for p, size in book.items()])


@given(books, sides, st.sampled_from(Impact), st.randoms(use_true_random=False))
def test_splitting_or_shuffling_levels_changes_nothing(
    book: dict[int, float], side: Side, kind: Impact, random: Any
) -> None:
    levels = levels_of(book, side)
    parts = [[price, size * share] for price, size in levels.tolist() for share in (0.25, 0.5, 0.25)]
    random.shuffle(parts)
    one, other = (order_book_curve(rows, 100.0, side, kind=kind) for rows in (levels, parts))
    np.testing.assert_allclose(other.size_usd, one.size_usd, rtol=1e-12)
    np.testing.assert_allclose(other.impact, one.impact, rtol=0, atol=1e-12)


@given(books, sides, st.lists(st.floats(0, 0.9), min_size=2, max_size=8))
def test_more_impact_never_takes_less_and_the_margin_lies_above_the_average(
    book: dict[int, float], side: Side, impacts: list[float]
) -> None:
    levels = levels_of(book, side)
    average, margin = (order_book_curve(levels, 100.0, side, kind=kind) for kind in Impact)
    within = [[curve.size_within(x) for x in sorted(impacts)] for curve in (average, margin)]
    assert all((np.diff(sizes) >= 0).all() for sizes in within)
    total = average.size_usd[-1]
    assert (np.array(within[1]) <= np.array(within[0]) * (1 + 1e-9) + total * 10 * EDGE).all()
    for size in np.linspace(0.01, 1, 7) * total:
        assert average.impact_of(size) <= margin.impact_of(size) + 1e-9


@given(books, sides)
def test_two_ways_to_the_average_agree_at_the_ends_of_levels(book: dict[int, float], side: Side) -> None:
    """Walking the levels one by one, without arrays."""
    levels = levels_of(book, side)
    curve = order_book_curve(levels, 100.0, side)
    given_up = kept = 0.0
    for price, size in sorted(levels.tolist(), reverse=side == "bid"):
        given_up += (100.0 if side == "bid" else price) * size
        kept += (price if side == "bid" else 100.0) * size
        if size > 1e-3:  # dust may lie within an edge
            assert curve.impact_of(given_up) == pytest.approx(1 - kept / given_up, abs=1e-9)


@pytest.mark.parametrize(
    ("levels", "mid", "message"),
    [
        ([], MID, "needs rows of price and size"),
        ([[99.0, 1.0, 2.0]], MID, "needs rows of price and size"),
        ([[99.0, -1.0]], MID, "above zero"),
        ([[0.0, 1.0]], MID, "above zero"),
        ([[float("nan"), 1.0]], MID, "above zero"),
        ([[99.0, 1.0]], float("nan"), "above zero"),
        ([[100.5, 1.0]], MID, "beyond the middle"),
    ],
)
def test_what_is_no_side_of_a_book(levels: Any, mid: float, message: str) -> None:
    with pytest.raises(DataError, match=message):
        order_book_curve(levels, mid, "bid")


def test_rows_are_mended_and_counted() -> None:
    bids = [[98, 1], [99, 2, "an id"], [99, 3], [97, 0]]
    rows, counted = depth_rows(bids, [[101, 1]], NOW, "x")
    assert rows.schema == dict(COLUMNS[Kind.DEPTH])
    assert [tuple(row.values()) for row in rows.rows()] == [
        (NOW, "ask", 0, NOW, 101.0, 1.0),
        (NOW, "bid", 0, NOW, 99.0, 5.0),
        (NOW, "bid", 1, NOW, 98.0, 1.0),
    ]
    assert counted == {"merged": 1, "empty": 1}
    sell, buy = book_curves(rows, base="ETH", quote="USD")
    assert sell.impact_of(99.0) == pytest.approx(0.01)
    assert (buy.base, buy.quote) == ("USD", "ETH")


@pytest.mark.parametrize(
    ("bids", "asks", "message"),
    [
        ([[99, 1]], [[99, 1]], "the book is crossed"),
        ([], [[99, 0]], "the book is empty"),
        ([[0, 1]], [[99, 1]], "a price must be above zero"),
        ([[-3, 1]], [[99, 1]], "a price must be above zero"),
        ([[98, -1]], [[99, 1]], "a negative amount"),
        ([[98, None]], [[99, 1]], "not a number"),
    ],
)
def test_what_is_no_book(bids: Any, asks: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        depth_rows(bids, asks, NOW, "x")


def test_a_book_without_a_side_has_no_middle() -> None:
    rows, _ = depth_rows([], [[99, 1]], NOW, "x")
    with pytest.raises(DataError, match="no middle price"):
        book_curves(rows)
    two = Table.concatenate(COLUMNS[Kind.DEPTH], [rows, depth_rows([[98, 1]], [], NOW + 1, "x")[0]])
    with pytest.raises(DataError, match="more than one book"):
        book_curves(two)


SPOT = settings("binance", "ETH", "ETH/USDT", "order_book")
# recorded: levels quoted in ccxt/binance.py, fetch_order_book (there of a future); served as spot, which has no time
RECORDED = {
    "lastUpdateId": 333598053905,
    "bids": [["2493.56", "20.189"], ["2493.54", "1.000"], ["2493.51", "0.005"]],
    "asks": [["2493.57", "0.877"], ["2493.62", "0.063"], ["2493.71", "12.054"]],
}


def test_a_book_of_binance() -> None:
    with Server(binance({}, book=RECORDED)) as server:
        source = feed(server, SPOT)
        found = collect(source).rows
        assert server.asked[-2] == ("/api/v3/depth", {"symbol": "ETHUSDT", "limit": "100"})
        assert collect(source, 0, NOW).rows.digest() == Table.from_rows(COLUMNS[Kind.DEPTH], ()).digest()
        assert collect(source, NOW, NOW + 1).rows.digest() == found.digest()
        assert len(collect(source, NOW + 1, FOREVER).rows) == 0
    assert set(found["observed_at"].tolist()) == {NOW}
    bids, asks = found.where(side="bid"), found.where(side="ask")
    assert bids["price"].tolist() == [2493.56, 2493.54, 2493.51]
    assert bids["size"].tolist() == [20.189, 1.0, 0.005]
    assert asks["price"].tolist() == [2493.57, 2493.62, 2493.71]


def test_a_book_has_the_venues_time() -> None:
    book = {
        "timestamp": NOW * 1000 - 2300, "instrument_name": "BTC_USDT", "bids": [[7814.0, 351.5]],
        "asks": [[7814.5, 11.25]],
    }  # fmt: skip
    with Server(deribit(book=book)) as server:
        found = collect(feed(server, settings("deribit", "BTC", "BTC/USDT", "order_book"))).rows
    assert set(found["known_at"].tolist()) == {NOW - 2}, "rounded up: never known too early"
    with (
        Server(deribit(book=book | {"timestamp": (NOW + 600) * 1000})) as server,
        pytest.raises(DataError, match="clock is 600 s ahead"),
    ):
        collect(feed(server, settings("deribit", "BTC", "BTC/USDT", "order_book")))


def test_a_span_that_is_past_asks_for_no_book() -> None:
    with Server(binance({}, book=RECORDED)) as server:
        assert len(collect(feed(server, SPOT), 0, NOW - 100).rows) == 0
        assert server.count("/api/v3/depth") == 0


def test_books_kept_over_time_pass_the_contract(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with Server(binance({}, book=RECORDED)) as server:
        for minute in range(5):
            later = feed(server, SPOT, now=NOW + 60 * minute)
            server.routes = binance({}, book=RECORDED, now=NOW + 60 * minute)
            assert store.append(later.spec, collect(later).rows) == 6
    check_feed(StoredFeed(store, later.spec))
    check_feed(MemoryFeed(later.spec, store.read(later.spec)))
    last = store.read(later.spec)
    sell, _ = book_curves(last.where(observed_at=NOW + 120), base="ETH", quote="USDT")
    assert sell.size_usd[-1] == pytest.approx(2493.565 * (20.189 + 1.0 + 0.005))
