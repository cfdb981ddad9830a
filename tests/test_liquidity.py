"""Depth curves put together: closed forms of pools and books, and what combining may never do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from risk.depth import size_within_average
from risk.errors import DataError
from risk.liquidity import combine_curves, order_book_curve, to_average, to_marginal, worst_curve
from risk.market import Impact, LiquidityCurve, Origin


def pool(reserve: float, kind: Impact = Impact.MARGINAL, points: int = 4000, upto: float = 0.2) -> LiquidityCurve:
    """A constant-product pool: average impact q/(1+q), marginal 1 − 1/(1+q)², q in reserves."""
    size = np.linspace(upto / points, upto, points)
    impact = size / (1 + size) if kind is Impact.AVERAGE else 1 - 1 / (1 + size) ** 2
    return LiquidityCurve("X", "USD", reserve * size, impact, kind, Origin.MEASURED)


def curve(sizes: list[float], impacts: list[float], kind: Impact = Impact.MARGINAL) -> LiquidityCurve:
    return LiquidityCurve("X", "USD", np.array(sizes), np.array(impacts), kind, Origin.MEASURED)


@st.composite
def curves(draw: st.DrawFn) -> LiquidityCurve:
    n = draw(st.integers(1, 6))
    steps = draw(st.lists(st.floats(0.1, 1e6), min_size=n, max_size=n))
    rises = draw(st.lists(st.sampled_from([0.0, 0.001, 0.01, 0.05, 0.13]), min_size=n, max_size=n))
    return curve(np.cumsum(steps).tolist(), np.cumsum(rises).tolist())


LEVELS = np.array([0.0, 1e-6, 0.0005, 0.001, 0.004, 0.01, 0.03, 0.05, 0.1, 0.2, 0.5, 0.9])


def within(one: LiquidityCurve) -> np.ndarray:
    return np.array([one.size_within(level) for level in LEVELS])


class TestConversion:
    @pytest.mark.parametrize(("kind", "impact"), [(Impact.AVERAGE, 0.05 / 0.95), (Impact.MARGINAL, 0.025978)])
    def test_five_percent_of_a_pool_on_average_and_at_the_margin(self, kind: Impact, impact: float) -> None:
        """.05263 and .02598 of the reserve, from either form of the curve."""
        for given_as in Impact:
            made = to_average(pool(1.0, given_as)) if kind is Impact.AVERAGE else to_marginal(pool(1.0, given_as))
            # Linear between 4,000 points on .2 reserves: the error is of the order of the square of the step.
            assert made.size_within(0.05) == pytest.approx(impact, abs=1e-6)

    @given(curves())
    def test_there_and_back_is_the_same_curve(self, one: LiquidityCurve) -> None:
        back = to_marginal(to_average(one))
        np.testing.assert_array_equal(back.size_usd, one.size_usd)
        # The alternating sum carries rounding of the costs, relative to the size of a step, from point to point.
        steps = np.diff(one.size_usd, prepend=0.0)
        noise = 64 * np.finfo(float).eps * len(steps) * one.size_usd[-1] / steps.min()
        np.testing.assert_allclose(back.impact, one.impact, atol=noise)

    @given(curves())
    def test_the_same_sale_loses_the_same_at_every_point(self, one: LiquidityCurve) -> None:
        sizes, impacts = np.append(0.0, one.size_usd), np.append(0.0, one.impact)
        lost = [np.trapezoid(impacts[: i + 2], sizes[: i + 2]) for i in range(len(one.size_usd))]
        made = to_average(one)
        np.testing.assert_allclose(made.impact * made.size_usd, lost, rtol=1e-12, atol=1e-12)

    def test_an_average_that_rises_too_slowly_for_its_margin_is_refused(self) -> None:
        """Cost 0.1 at one, .11 at two: the second dollar costs less than the first."""
        with pytest.raises(DataError, match="comes from no rising marginal impact"):
            to_marginal(curve([1.0, 2.0], [0.1, 0.11], Impact.AVERAGE))

    def test_one_of_the_same_kind_is_itself(self) -> None:
        for kind, convert in ((Impact.AVERAGE, to_average), (Impact.MARGINAL, to_marginal)):
            one = pool(1.0, kind)
            assert convert(one) is one


class TestOrderBook:
    def test_the_average_price_of_a_sale_is_that_of_its_levels(self) -> None:
        book = order_book_curve("X", "USD", np.array([99.0, 98.0, 90.0]), np.array([100.0, 50.0, 25.0]), 100.0)
        made = to_average(book)
        # 100 at 1 %, 50 at 2 %, 25 at 10 %: losses 1, 2, 4.5; steps have a width of 1e-9 of a level.
        for size, average in ((100.0, 0.01), (150.0, 2 / 150), (175.0, 4.5 / 175)):
            assert made.impact_of(size) == pytest.approx(average, rel=1e-8)
        assert book.size_within(0.015) == pytest.approx(100, rel=1e-8)
        assert book.size_within(0.0201) == pytest.approx(150, rel=1e-8)

    @pytest.mark.parametrize("price", [[], [98.0, 99.0], [101.0], [0.0]])
    def test_what_is_no_book(self, price: list[float]) -> None:
        with pytest.raises(DataError, match="not those of a book"):
            order_book_curve("X", "USD", np.array(price), np.ones(len(price)), 100.0)


class TestCombine:
    def test_two_pools_are_one_pool_of_both_reserves(self) -> None:
        both = combine_curves([pool(1e6), pool(3e6)])
        assert both.size_within(0.05) == pytest.approx(4e6 * (0.95**-0.5 - 1), rel=1e-6)
        assert size_within_average(both, 0.05) == pytest.approx(4e6 * 0.05 / 0.95, rel=1e-6)

    def test_two_books_are_one_book(self) -> None:
        """Levels of both, best first: an implementation of its own."""
        rng = np.random.default_rng(4)
        price = [np.sort(100 - rng.gamma(2, 1, 20))[::-1] for _ in range(2)]
        size = [rng.gamma(1, 1000, 20) for _ in range(2)]
        made = combine_curves([order_book_curve("X", "USD", p, s, 100.0) for p, s in zip(price, size, strict=True)])
        order = np.argsort(-np.concatenate(price), kind="stable")
        whole = order_book_curve("X", "USD", np.concatenate(price)[order], np.concatenate(size)[order], 100.0)
        for impact in (0.005, 0.01, 0.02, 0.05):
            assert made.size_within(impact) == pytest.approx(whole.size_within(impact), rel=1e-6)
            assert size_within_average(made, impact) == pytest.approx(size_within_average(whole, impact), rel=1e-6)

    def test_equal_margins_lose_less_than_any_other_split(self) -> None:
        a, b = pool(1e6), combine_curves([pool(2e5), pool(5e4)])
        both, total = combine_curves([a, b]), 8e4
        lost = to_average(both).impact_of(total) * total
        for part in np.linspace(0, 1, 21):
            split = sum(to_average(c).impact_of(q) * q for c, q in ((a, part * total), (b, (1 - part) * total)) if q)
            assert split >= lost * (1 - 1e-4)

    def test_sizes_at_one_average_do_not_add_up(self) -> None:
        flat, steep = curve([1.0, 2.0], [0.0, 0.2]), curve([1.0], [0.2])
        apart = sum(size_within_average(one, 0.02) for one in (flat, steep))
        assert size_within_average(combine_curves([flat, steep]), 0.02) > 1.02 * apart

    @given(curves(), curves())
    def test_it_is_the_sum_of_sizes_at_each_margin_and_lowers_none(self, a: LiquidityCurve, b: LiquidityCurve) -> None:
        both = within(combine_curves([a, b]))
        np.testing.assert_allclose(both, within(a) + within(b), rtol=1e-7, atol=1e-6)
        assert (both >= np.maximum(within(a), within(b)) * (1 - 1e-7)).all()

    @given(st.permutations(range(4)), st.lists(curves(), min_size=4, max_size=4))
    def test_the_order_does_not_matter(self, order: list[int], four: list[LiquidityCurve]) -> None:
        first, second = combine_curves(four), combine_curves([four[i] for i in order])
        np.testing.assert_allclose(within(first), within(second), rtol=1e-7)
        pairs = combine_curves([combine_curves(four[:2]), combine_curves(four[2:])])
        np.testing.assert_allclose(within(first), within(pairs), rtol=1e-6)

    @given(curves())
    def test_an_empty_venue_changes_nothing(self, one: LiquidityCurve) -> None:
        assert combine_curves([one, None]) is one
        assert combine_curves([None, one]) is one

    def test_the_least_certain_origin_stays(self) -> None:
        declared = LiquidityCurve("X", "USD", [1.0], [0.1], Impact.MARGINAL, Origin.DECLARED)
        assert combine_curves([pool(1.0), declared]).origin is Origin.DECLARED

    def test_no_depth_and_another_pair_are_refused(self) -> None:
        with pytest.raises(DataError, match="no venue has any depth"):
            combine_curves([None])
        other = LiquidityCurve("Y", "USD", [1.0], [0.1], Impact.MARGINAL, Origin.MEASURED)
        with pytest.raises(DataError, match="different pairs"):
            combine_curves([pool(1.0), other])


class TestWorst:
    @given(st.lists(curves(), min_size=2, max_size=4))
    def test_it_lies_below_every_moment_and_is_reached(self, moments: list[LiquidityCurve]) -> None:
        made = worst_curve(moments)
        least = np.min([within(one) for one in moments], axis=0)
        assert (within(made) <= least * (1 + 1e-7) + 1e-6).all()
        for level in made.impact:
            there = min(one.size_within(float(level)) for one in moments)
            assume(there > 0)
            assert made.size_within(float(level)) == pytest.approx(there, rel=1e-6)

    def test_the_day_of_the_crash_counts_and_not_the_mean(self) -> None:
        calm, crash = pool(219e6), pool(1.5e6)
        assert worst_curve([calm, crash, calm]).size_within(0.04) == pytest.approx(crash.size_within(0.04), rel=1e-9)
