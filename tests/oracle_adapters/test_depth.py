"""Measured depth by hand: which book counts when, what is left out, and the worst over a look-back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle_adapters.depth import Venue, measured_depth
from oracle_adapters.exchange.depth import book_curves, depth_rows
from oracle_adapters.feed import COLUMNS, FeedSpec, Kind
from risk.artifact import Table
from risk.liquidity import combine_curves
from risk.market import Impact, LiquidityCurve, Verdict

AT = 1_700_000_000
USD = {"USD": 1.0, "USDC": 1.0}


def book(at: int, size: float, *, bids: bool = True) -> Table:
    """Bids of a size at 99 and 98, asks at 101 and 102."""
    asks = [[101, size], [102, size]]
    return depth_rows([[99, size], [98, size]] if bids else [], asks, at, "test")[0]


def venue(name: str, *books: Table, quote: str = "USDC") -> Venue:
    spec = FeedSpec(Kind.DEPTH, "ETH", quote, f"test:{name}", 60)
    return Venue(spec, Table.concatenate(COLUMNS[Kind.DEPTH], books))


def same(one: LiquidityCurve, other: LiquidityCurve) -> bool:
    return np.array_equal(one.size_usd, other.size_usd) and np.array_equal(one.impact, other.impact)


def sold(curve: LiquidityCurve) -> float:
    return float(curve.size_usd[-1])


def test_the_last_books_of_all_venues_are_put_together() -> None:
    venues = [venue("a", book(AT - 90, 7), book(AT - 30, 1)), venue("b", book(AT - 20, 2))]
    curves, checks = measured_depth(venues, USD, AT, maximum_age=100, lookback=None)
    options = {"kind": Impact.MARGINAL, "base": "ETH", "quote": "USDC"}
    parts = [book_curves(book(AT, size), **options) for size in (1, 2)]
    for pair, side in (("ETH/USDC", 0), ("USDC/ETH", 1)):
        assert same(curves[pair], combine_curves([part[side] for part in parts]))
    assert sold(curves["ETH/USDC"]) == pytest.approx(2 * 3 * 100, rel=1e-9), "at the middle price"
    assert [(name, check.check, check.count) for name, check in checks] == [
        ("ETH/USDC@test:a", "depth", 1), ("ETH/USDC@test:b", "depth", 1),
    ]  # fmt: skip


def test_what_cannot_be_used_is_counted() -> None:
    venues = [
        venue("fresh", book(AT - 100, 1)), venue("old", book(AT - 101, 1)), venue("later", book(AT + 1, 1)),
        venue("halted", book(AT, 1, bids=False)), venue("tether", book(AT, 1), quote="USDT"),
    ]  # fmt: skip
    curves, checks = measured_depth(venues, USD, AT, maximum_age=100, lookback=None)
    assert sold(curves["ETH/USDC"]) == pytest.approx(200, rel=1e-9)
    assert set(curves) == {"ETH/USDC", "USDC/ETH"}
    found = {name.partition("@test:")[2]: (check.check, check.verdict) for name, check in checks}
    assert found == {
        "fresh": ("depth", Verdict.GOOD), "old": ("depth_old", Verdict.SUSPECT),
        "later": ("depth_absent", Verdict.SUSPECT), "halted": ("depth_one_sided", Verdict.SUSPECT),
        "tether": ("depth", Verdict.SUSPECT),
    }  # fmt: skip


def test_over_a_look_back_the_least_depth_counts() -> None:
    """Ten, then one, then five on one venue, with two on another: the least sum is three."""
    venues = [venue("a", book(AT - 300, 10), book(AT - 200, 1), book(AT - 100, 5)), venue("b", book(AT - 400, 2))]
    for lookback, least in ((None, 7), (50, 7), (150, 7), (250, 3), (500, 2)):
        curves, _ = measured_depth(venues, USD, AT, maximum_age=500, lookback=lookback)
        assert sold(curves["ETH/USDC"]) == pytest.approx(least * 200, rel=1e-9), lookback


@given(
    st.lists(st.tuples(st.integers(-500, 500), st.floats(0.1, 100)), min_size=1, max_size=8, unique_by=lambda x: x[0]),
    st.sampled_from([None, 200]),
)
def test_what_comes_later_changes_nothing(books: list[tuple[int, float]], lookback: int | None) -> None:
    ordered = [book(AT + at, size) for at, size in sorted(books)]
    known = [one for one in ordered if one["known_at"][0] <= AT]
    now, before = (
        measured_depth([venue("a", *chosen)], USD, AT, maximum_age=1000, lookback=lookback)
        for chosen in (ordered, known)
    )
    assert now[1] == before[1]
    assert now[0].keys() == before[0].keys() == ({"ETH/USDC", "USDC/ETH"} if known else set())
    assert all(same(now[0][pair], before[0][pair]) for pair in now[0])
