"""Measured depth by hand: which book counts when, what is left out, and the worst over a look-back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle_adapters.depth import Venue, measured_depth
from oracle_adapters.exchange.depth import book_curves, depth_rows
from oracle_adapters.feed import COLUMNS, FeedSpec, Kind
from risk.artifact import Table
from risk.liquidity import combine_curves
from risk.market import Impact, LiquidityCurve, PriceSeries, Verdict

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
    curves, checks = measured_depth(venues, USD, AT, maximum_age=100, lookback=None, tolerance=0.1)
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
    curves, checks = measured_depth(venues, USD, AT, maximum_age=100, lookback=None, tolerance=0.1)
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
        curves, _ = measured_depth(venues, USD, AT, maximum_age=500, lookback=lookback, tolerance=0.1)
        assert sold(curves["ETH/USDC"]) == pytest.approx(least * 200, rel=1e-9), lookback


@given(
    st.lists(st.tuples(st.integers(-500, 500), st.floats(0.1, 100)), min_size=1, max_size=8, unique_by=lambda x: x[0]),
    st.sampled_from([None, 200]),
)
def test_what_comes_later_changes_nothing(books: list[tuple[int, float]], lookback: int | None) -> None:
    ordered = [book(AT + at, size) for at, size in sorted(books)]
    known = [one for one in ordered if one["known_at"][0] <= AT]
    now, before = (
        measured_depth([venue("a", *chosen)], USD, AT, maximum_age=1000, lookback=lookback, tolerance=0.1)
        for chosen in (ordered, known)
    )
    assert now[1] == before[1]
    assert now[0].keys() == before[0].keys() == ({"ETH/USDC", "USDC/ETH"} if known else set())
    assert all(same(now[0][pair], before[0][pair]) for pair in now[0])


def around(name: str, *middles: float, at: int = AT) -> Venue:
    """Books with ten levels a side around a middle, a minute apart; each level takes 10."""
    steps = np.arange(1, 11) * 5e-4
    books = [
        depth_rows(
            [[middle * (1 - step), 10] for step in steps], [[middle * (1 + step), 10] for step in steps],
            at + 60 * number, name,
        )[0]
        for number, middle in enumerate(middles)
    ]  # fmt: skip
    return venue(name, *books)


def used(venues: list[Venue], closes: dict[str, PriceSeries] | None = None, **more: Any) -> dict[str, set[str]]:
    """Checks by venue, and the curve is that of the venues that are used alone."""
    options = {"maximum_age": 1000, "lookback": None, "tolerance": 0.1} | more
    curves, checks = measured_depth(venues, USD, AT + 600, **options, closes=closes or {})
    found: dict[str, set[str]] = {}
    for name, check in checks:
        found.setdefault(name.partition("@test:")[2], set()).add(check.check)
        assert (check.verdict is Verdict.GOOD) is (check.check == "depth")
    good = [one for one in venues if "depth" in found[one.spec.source.removeprefix("test:")]]
    alone, _ = measured_depth(good, USD, AT + 600, **options, closes=closes or {})
    assert curves.keys() == alone.keys()
    assert all(same(curves[pair], alone[pair]) for pair in curves)
    return found


def close_of(value: float, name: str = "ETH", known_at: int = AT - 50) -> PriceSeries:
    at = np.array([AT - 100])
    return PriceSeries(name, name, "USD", "test", "close", 60, at, np.array([known_at]), np.array([value]))


@pytest.mark.parametrize("off", [1200.0, 0.001, 2300.0, 1e9])
def test_a_venue_off_the_price_is_left_out(off: float) -> None:
    """By the median of three; of two, or of one, by the price that was known; a book at the price is kept."""
    out = {"off": {"depth_off_price"}}
    near = {"a": {"depth"}, "b": {"depth"}}
    two = [around("a", 2000.0), around("b", 2010.0)]
    assert used([*two, around("off", off)]) == near | out
    prices = {"ETH": close_of(1990.0)}
    assert used([around("a", 2000.0), around("off", off)], prices) == {"a": {"depth"}} | out
    assert used([around("off", off)], prices) == out


def test_without_a_majority_and_a_price_nobody_is_believed() -> None:
    contested = {"depth_contested"}
    assert used([around("a", 2000.0), around("b", 1200.0)]) == {"a": contested, "b": contested}
    later = {"ETH": close_of(2000.0, known_at=AT + 10_000)}
    assert used([around("a", 2000.0), around("b", 1200.0)], later) == {"a": contested, "b": contested}
    assert used([around("a", 2000.0)]) == {"a": {"depth"}}, "a pair of one venue and no price has nothing to hold it to"


def test_a_crash_that_the_venues_saw_is_believed_before_an_older_price() -> None:
    assert used([around("a", 1200.0), around("b", 1210.0)], {"ETH": close_of(2000.0)}) == {
        "a": {"depth"}, "b": {"depth"},
    }  # fmt: skip


def test_the_price_of_a_pair_is_that_of_both_sides() -> None:
    """USDC at .5 dollars: ether of 2000 dollars is 4000 of it."""
    prices = {"ETH": close_of(2000.0), "USDC": close_of(0.5, "USDC")}
    assert used([around("a", 2000.0)], prices) == {"a": {"depth_off_price"}}
    assert used([around("a", 4000.0)], prices) == {"a": {"depth"}}


def test_each_moment_of_a_look_back_has_its_own_price() -> None:
    """A venue that once was off is left out then, and used after."""
    venues = [around("a", 2000.0, 2000.0), around("b", 2000.0, 2000.0), around("c", 1200.0, 2000.0)]
    assert used(venues, lookback=10_000)["c"] == {"depth", "depth_off_price"}
