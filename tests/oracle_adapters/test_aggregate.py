"""Several sources of one price: who carries it, who is outvoted, and what no majority decides."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracle_adapters.aggregate import Aggregate, Source, aggregate
from oracle_adapters.quality import assess
from oracle_adapters.quality.check import Check
from oracle_adapters.quality.sources import check_aggregate, check_source
from risk.market import PriceSeries, Verdict
from risk.units import DAY

HOUR = 3600
START = 1_700_006_400
TOLERANCE = 0.05


def source(
    name: str, value: object, *, interval: int = HOUR, first: int = 0, heartbeat: int | None = None, at: object = None,
    **fields: object,
) -> Source:  # fmt: skip
    values = {"close": value, **fields}
    ends = START + interval * (first + np.arange(len(np.asarray(value)))) if at is None else np.asarray(at)
    return Source(
        tuple(
            PriceSeries(f"X/USD@{name}", "X", "USD", name, field, interval, ends, ends, np.asarray(v, dtype=float))
            for field, v in sorted(values.items())
        ),
        heartbeat,
    )


def rows(made: Aggregate, minimum: int = 1) -> dict[str, Check]:
    return {check.check: check for check in check_aggregate(made, minimum)}


def of(made: Aggregate, number: int, **factors: PriceSeries) -> dict[str, Check]:
    return {check.check: check for check in check_source(made, number, factors, TOLERANCE)}


class TestMajority:
    def test_the_median_is_the_price_and_its_name_says_so(self) -> None:
        made = aggregate([source("a", [1.0, 2.0]), source("b", [1.01, 2.02]), source("c", [1.02, 2.04])], TOLERANCE)
        assert made.close.value.tolist() == [1.01, 2.02]
        assert made.close.id == "X/USD@median(a, b, c)"
        assert made.confirmed.all()
        assert not made.contested.any()

    def test_one_of_three_that_prints_something_else_is_outvoted_by_name(self) -> None:
        """Constructed after DAI on Coinbase, 2020-11-26: 1.30 on one venue while the others have 1.00."""
        dai = np.ones(50)
        dai[30:34] = [1.1, 1.3, 1.28, 1.07]
        made = aggregate(
            [source("coinbase", dai), source("kraken", np.full(50, 1.002)), source("pool", np.full(50, 0.999))],
            TOLERANCE,
        )
        assert np.abs(made.close.value - 1).max() < 0.003
        found = of(made, 0)["outvoted"]
        assert (found.verdict, found.count) == (Verdict.SUSPECT, 4)
        assert "coinbase has 1.3 where the price is 1.002" in found.detail
        assert of(made, 1)["outvoted"].verdict == Verdict.GOOD

    def test_a_crash_that_all_see_is_kept(self) -> None:
        crash = np.concatenate((np.full(20, 100.0), np.full(20, 40.0)))
        made = aggregate([source(name, crash * k) for name, k in (("a", 1), ("b", 1.01), ("c", 0.99))], TOLERANCE)
        assert made.close.value[20] == 40
        assert not made.outvoted.any()

    def test_half_is_no_majority(self) -> None:
        made = aggregate([source(name, [1.0, v]) for name, v in zip("abcd", (1.0, 1.09, 1.11, 1.5), strict=True)], 0.05)
        assert made.contested.tolist() == [False, True]
        assert made.close.value.tolist() == [1.0, 1.0]

    def test_a_source_that_is_outvoted_to_the_end_is_bad(self) -> None:
        wrong = np.full(60, 1.12)
        right = [source(name, np.full(60, 2240.0)) for name in ("b", "c")]
        found = of(
            aggregate([source("oracle", wrong), *right], TOLERANCE), 0, **{"ETH/USD": source("eth", [2000.0]).close}
        )["outvoted"]
        assert found.verdict == Verdict.BAD
        assert "as if the factor ETH/USD (2,000) were missing" in found.detail

    def test_one_that_stood_still_while_two_moved_has_no_vote(self) -> None:
        moving = 100 * np.exp(-0.03 * np.arange(40))
        frozen = np.where(np.arange(40) < 10, moving, moving[10])
        made = aggregate([source("stuck", frozen), source("b", moving), source("c", moving)], TOLERANCE)
        assert made.close.value.tolist() == moving.tolist()
        assert not made.votes[-1, 0]
        assert "stuck is held at its floor of" in of(made, 0)["clamped"].detail


class TestTwo:
    def test_two_that_agree_give_their_mean(self) -> None:
        assert aggregate([source("a", [1.0]), source("b", [1.02])], TOLERANCE).close.value.tolist() == [1.01]

    def test_two_that_differ_by_more_than_the_tolerance_from_each_other_are_contested(self) -> None:
        made = aggregate([source("a", [1.0, 1.0]), source("b", [1.0, 1.07])], TOLERANCE)
        assert made.contested.tolist() == [False, True]

    def test_the_nearer_to_the_last_agreed_price_is_taken_and_counted(self) -> None:
        usde = np.ones(100)
        usde[60:64] = [0.9, 0.65, 0.7, 0.94]
        made = aggregate([source("binance", usde), source("pool", np.full(100, 0.9995))], TOLERANCE)
        assert made.close.value[60:64].tolist() == [0.9995] * 4
        assert made.contested.sum() == 4
        found = rows(made)["contested"]
        assert (found.verdict, found.count) == (Verdict.SUSPECT, 4)
        assert "binance 0.65, pool 0.9995; 0.9995 was taken" in found.detail
        assert "binance has 0.65" in of(made, 0)["outvoted"].detail

    def test_a_dispute_that_does_not_end_is_bad(self) -> None:
        luna = np.concatenate((np.linspace(1, 0.107, 20), np.full(30, 0.107)))
        market = np.concatenate((np.linspace(1, 0.107, 20), np.geomspace(0.1, 0.0001, 30)))
        made = aggregate([source("oracle", luna), source("market", market)], TOLERANCE)
        assert rows(made)["contested"].verdict == Verdict.BAD
        found = of(made, 0)["clamped"]
        assert found.verdict == Verdict.BAD
        assert "oracle is held at its floor of 0.107 while the others moved to 0.0001" in found.detail


def test_a_price_of_zero_is_no_vote() -> None:
    made = aggregate([source("a", [1.0, 0.0, 1.0]).voting(), source("b", [1.0, 1.0, 1.0])], TOLERANCE)
    assert made.close.value.tolist() == [1.0, 1.0, 1.0]
    assert made.votes.tolist() == [[True, True], [False, True], [True, True]]


def test_ranges_of_a_source_that_is_not_always_there_are_assessed() -> None:
    made = aggregate([source("a", np.ones(9), low=np.ones(9), high=np.ones(9)), source("b", np.ones(20))], TOLERANCE)
    found = {check.check: check for check in assess(made.series, {}, int(made.close.observed_at[-1]))}
    assert found["inconsistent"].verdict == Verdict.GOOD


class TestDependence:
    def test_one_source_alone_says_so(self) -> None:
        made = aggregate([source("a", np.ones(40))], TOLERANCE)
        assert made.close.source == "bars(a)"
        assert rows(made)["sources"].verdict == Verdict.GOOD
        assert rows(made, minimum=2)["sources"].verdict == Verdict.SUSPECT

    def test_the_others_fell_silent(self) -> None:
        made = aggregate([source("a", np.ones(100)), source("b", np.ones(20))], TOLERANCE)
        found = rows(made)["sources"]
        assert found.verdict == Verdict.SUSPECT
        assert "a alone carries the price since 2023-11-15 19:00" in found.detail


class TestBars:
    def test_bars_of_two_spans_join(self) -> None:
        made = aggregate([source("a", np.ones(5)), source("b", np.full(5, 1.01), first=3)], TOLERANCE)
        assert len(made.close) == 8
        assert made.votes.sum(axis=1).tolist() == [1, 1, 1, 2, 2, 1, 1, 1]

    def test_a_coarser_source_votes_where_it_reaches(self) -> None:
        made = aggregate([source("hourly", np.ones(49)), source("daily", [1.0, 1.0], interval=DAY, first=1)], TOLERANCE)
        assert made.close.interval == HOUR
        assert np.flatnonzero(made.votes[:, 1]).tolist() == [24, 48]

    def test_updates_of_a_chain_become_bars_and_a_stale_one_stops_counting(self) -> None:
        at = START + np.array([10, 4000, 7000, 90_000])
        made = aggregate([source("oracle", [1.0, 2.0, 3.0, 4.0], interval=HOUR, heartbeat=HOUR, at=at)], TOLERANCE)
        assert (made.close.observed_at % HOUR == 0).all()
        value = dict(zip(((made.close.observed_at - START) // HOUR).tolist(), made.close.value.tolist(), strict=True))
        assert value == {1: 1.0, 2: 3.0, 3: 3.0, 25: 4.0}

    def test_ranges_come_from_who_carries_the_bar_and_hold_the_close(self) -> None:
        made = aggregate(
            [
                source("a", [1.0, 1.0], low=[0.4, 0.99], high=[1.1, 1.0], volume=[5.0, 5.0]),
                source("b", [1.0, 1.0], low=[0.9, 0.99], high=[1.1, 1.0], volume=[7.0, 7.0]),
                source("c", [1.0, 3.0], low=[0.92, 2.0], high=[1.1, 3.5], volume=[1.0, 1.0]),
            ],
            TOLERANCE,
        )
        fields = {one.field: one.value.tolist() for one in made.series}
        assert fields == {"close": [1.0, 1.0], "high": [1.1, 1.0], "low": [0.9, 0.99], "volume": [13.0, 13.0]}


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(5, 59))
def test_properties(seed: int, count: int, cut: int) -> None:
    """The price lies within its votes, the order of sources does not matter, and later bars change no earlier one."""
    rng = np.random.default_rng(seed)
    truth = 100 * np.exp(0.03 * rng.standard_t(3, 60).cumsum())
    values = [truth * np.exp(0.01 * rng.standard_normal(60)) for _ in range(count)]
    values[0][rng.integers(60)] *= 3
    made = aggregate([source(f"s{i}", v) for i, v in enumerate(values)], TOLERANCE)
    ballots = np.where(made.votes, made.value, np.nan)
    assert (made.close.value >= np.nanmin(ballots, axis=1)).all()
    assert (made.close.value <= np.nanmax(ballots, axis=1)).all()
    turned = aggregate([source(f"s{i}", v) for i, v in reversed(list(enumerate(values)))], TOLERANCE)
    np.testing.assert_allclose(turned.close.value, made.close.value, rtol=1e-15)
    early = aggregate([source(f"s{i}", v[:cut]) for i, v in enumerate(values)], TOLERANCE)
    assert early.close.value.tolist() == made.close.value[:cut].tolist()


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_one_wrong_source_of_three_never_moves_the_price_beyond_the_other_two(bad: int) -> None:
    rng = np.random.default_rng(bad)
    truth = 100 * np.exp(0.02 * rng.standard_normal(200).cumsum())
    values = [truth.copy(), truth * 1.001, truth * 0.999]
    values[bad] = truth * np.exp(3 * rng.standard_normal(200))
    made = aggregate([source(f"s{i}", v) for i, v in enumerate(values)], TOLERANCE)
    assert np.abs(made.close.value / truth - 1).max() <= 0.0011
