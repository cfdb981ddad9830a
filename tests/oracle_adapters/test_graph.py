"""Composite prices: as-of products, the age of the oldest factor, and mistakes of magnitude caught by name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle_adapters.bars import last_known
from oracle_adapters.graph import compare, compose
from oracle_adapters.magnitude import explain
from risk.market import PriceSeries, Verdict
from risk.price_graph import Factor, Pair, Path
from risk.units import DAY

HOUR = 3600
START = 1_700_006_400
CBETH, ETH = Pair("cbETH", "ETH"), Pair("ETH", "USD")
PATH = Path(Pair("cbETH", "USD"), (Factor(CBETH), Factor(ETH)))


def series(pair: Pair, at: object, value: object, interval: int = DAY, source: str = "test") -> PriceSeries:
    at = np.asarray(at, dtype=np.int64)
    return PriceSeries(
        f"{pair}@{source}", pair.base, pair.quote, source, "close", interval, at, at, np.asarray(value, dtype=float)
    )


def days(n: int, interval: int = DAY) -> np.ndarray:
    return START + interval * np.arange(n)


class TestCompose:
    def test_bars_are_those_of_the_finest_factor_and_each_takes_the_last_known_value(self) -> None:
        rate = series(CBETH, [START, START + 3 * HOUR], [1.10, 1.20], 4 * HOUR)
        ether = series(ETH, days(6, HOUR), [2000, 2100, 2200, 2300, 2400, 2500], HOUR)
        made = compose(PATH, {CBETH: rate, ETH: ether})
        assert made.series.id == "cbETH/USD@composite(cbETH/ETH × ETH/USD)"
        assert made.series.interval == HOUR
        np.testing.assert_array_equal(
            made.series.value, np.array([1.1] * 3 + [1.2] * 3) * np.array([2000.0, 2100, 2200, 2300, 2400, 2500])
        )
        assert made.age.tolist() == [0, HOUR, 2 * HOUR, 0, HOUR, 2 * HOUR]
        assert made.oldest.tolist() == [0] * 6

    def test_an_inverted_factor_divides(self) -> None:
        path = Path(Pair("ETH", "cbETH"), (Factor(CBETH, inverted=True),))
        made = compose(path, {CBETH: series(CBETH, days(2), [1.25, 1.6])})
        assert made.series.value.tolist() == [0.8, 0.625]

    def test_a_factor_that_is_too_old_leaves_the_bar_out_and_is_counted(self) -> None:
        rate = series(CBETH, days(2), [1.1, 1.1])
        made = compose(PATH, {CBETH: rate, ETH: series(ETH, days(9), np.full(9, 2000.0))})
        assert made.series.observed_at.tolist() == days(4).tolist(), "two bars of one day after the last"
        assert made.left_out == {"cbETH/ETH": 5, "ETH/USD": 0}
        stale = next(check for check in made.checks([("a", Verdict.GOOD, "")]) if check.check == "stale_factor")
        assert (stale.verdict, stale.count) == (Verdict.SUSPECT, 5)
        longer = Path(PATH.pair, PATH.factors, maximum_age=30 * DAY)
        assert len(compose(longer, {CBETH: rate, ETH: series(ETH, days(9), np.full(9, 2000.0))}).series) == 9

    def test_a_product_is_known_when_the_last_of_its_factors_was(self) -> None:
        """The rate is published two hours after its bar, the price at once; then the other way round."""
        for late in (CBETH, ETH):
            prices = {CBETH: series(CBETH, days(3), [1.1, 1.2, 1.3]), ETH: series(ETH, days(3), [2000, 2100, 2200])}
            prices[late] = replace(prices[late], known_at=days(3) + 2 * HOUR)
            made = compose(PATH, prices).series
            assert made.observed_at.tolist() == days(3).tolist()
            assert made.known_at.tolist() == (days(3) + 2 * HOUR).tolist()
            assert len(made.as_of(int(days(3)[1]) + HOUR)) == 1

    def test_nothing_before_the_first_value_of_each_factor(self) -> None:
        made = compose(PATH, {CBETH: series(CBETH, days(5)[3:], [1, 1]), ETH: series(ETH, days(5), np.ones(5))})
        assert made.series.observed_at.tolist() == days(5)[3:].tolist()

    @given(st.integers(1, 39), st.integers(0, 1000))
    def test_what_comes_later_changes_nothing(self, cut: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        at = np.unique(START + rng.integers(0, 40 * DAY, 30))
        rate = series(CBETH, at, 1 + rng.random(len(at)), 5 * DAY)
        ether = series(ETH, days(40), 2000 * (1 + rng.random(40)))
        instant = START + cut * DAY
        whole = compose(PATH, {CBETH: rate, ETH: ether}).series.as_of(instant)
        if not len(rate.as_of(instant)):
            assert not len(whole)
            return
        early = compose(PATH, {CBETH: rate.as_of(instant), ETH: ether.as_of(instant)}).series
        assert early.observed_at.tolist() == whole.observed_at.tolist()
        assert early.value.tolist() == whole.value.tolist()

    def test_a_bad_factor_makes_a_bad_composite(self) -> None:
        made = compose(PATH, {CBETH: series(CBETH, days(3), np.ones(3)), ETH: series(ETH, days(3), np.ones(3))})
        found = made.checks([("cbETH/ETH", Verdict.GOOD, ""), ("ETH/USD", Verdict.BAD, "stale: long")])[0]
        assert (found.check, found.verdict, found.detail) == ("factors", Verdict.BAD, "ETH/USD: stale: long")


def test_last_known_is_never_later() -> None:
    one = series(ETH, [10, 20, 30], [1, 2, 3])
    assert last_known(one, np.array([9, 10, 19, 20, 99])).tolist() == [-1, 0, 0, 1, 2]


class TestExplain:
    @pytest.mark.parametrize(
        ("observed", "expected", "said"),
        [
            (1.12, 2240.0, "as if the factor ETH/USD (2,000) were missing"),
            (4_480_000.0, 2240.0, "as if the factor ETH/USD (2,000) were applied twice"),
            (1.12 / 2000, 2240.0, "as if the factor ETH/USD (2,000) were inverted"),
            (1 / 2240.0, 2240.0, "as if the price were inverted"),
            (2240e10, 2240.0, "as if decimals were off by 10^10"),
            (2240e-12, 2240.0, "as if decimals were off by 10^-12"),
            (2300.0, 2240.0, ""),
            (1400.0, 2240.0, ""),
        ],
    )
    def test_it_names_the_mistake(self, observed: float, expected: float, said: str) -> None:
        assert explain(observed, expected, {"ETH/USD": 2000.0, "cbETH/ETH": 1.12}, 0.05) == said

    def test_two_that_fit_are_both_named(self) -> None:
        assert explain(1.0, 1000.0, {"X/USD": 1000.0}, 0.05).count("as if") == 2  # missing, or decimals

    @given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6), st.floats(1e-3, 1e5))
    def test_a_right_price_needs_no_explanation(self, price: float, factor: float, size: float) -> None:
        assert explain(price, price, {"F": factor}, 0.02) == ""
        if abs(np.log(factor)) > 0.05:
            assert "F" in explain(price / factor, price, {"F": factor}, 0.02)
        assert isinstance(explain(price, price * size, {"F": factor}, 0.02), str)


class TestCompare:
    def made(self, n: int = 40, rate: float = 1.12):
        return compose(
            PATH, {CBETH: series(CBETH, days(n), np.full(n, rate)), ETH: series(ETH, days(n), np.full(n, 2000.0))}
        )

    def test_agreement_is_good_and_says_how_close(self) -> None:
        found = compare(self.made(), series(PATH.pair, days(40), np.full(40, 2250.0)), {}, 0.05)
        assert found.verdict == Verdict.GOOD
        assert "within 0.45%" in found.detail

    def test_a_wrong_factor_is_bad_and_named(self) -> None:
        """Constructed: the ratio's feed prints ETH's own dollars, as where a factor is applied twice."""
        made = compose(
            PATH, {CBETH: series(CBETH, days(40), np.full(40, 2240.0)), ETH: series(ETH, days(40), np.full(40, 2000.0))}
        )
        found = compare(
            made,
            series(PATH.pair, days(40), np.full(40, 2240.0)),
            {"ETH/USD": series(ETH, days(40), np.full(40, 2000.0))},
            0.05,
        )
        assert found.verdict == Verdict.BAD
        assert "ETH/USD (2,000) were applied twice" in found.detail

    def test_a_passing_difference_is_suspect(self) -> None:
        market = np.full(40, 2240.0)
        market[10:13] = 2000
        found = compare(self.made(), series(PATH.pair, days(40), market), {}, 0.05)
        assert (found.verdict, found.count) == (Verdict.SUSPECT, 3)

    def test_no_common_bar_is_suspect(self) -> None:
        found = compare(self.made(), series(PATH.pair, days(100)[60:], np.full(40, 2240.0)), {}, 0.05)
        assert found.verdict == Verdict.SUSPECT
        assert "no bar to compare with" in found.detail
