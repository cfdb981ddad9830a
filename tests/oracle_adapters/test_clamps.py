"""Floors and ceilings of an oracle's answers against what it answered."""

from __future__ import annotations

import pytest

from oracle_adapters.description import same_pair
from oracle_adapters.feed import COLUMNS, Kind
from oracle_adapters.quality.clamps import check_clamps
from risk.artifact import Table
from risk.market import Verdict
from tests.oracle_adapters.test_rounds import table


def behind(*rows: tuple[int, str, str]) -> Table:
    """Aggregators from (phase, floor, ceiling)."""
    return Table.from_rows(
        COLUMNS[Kind.AGGREGATOR], ((100 * p, p, 100 * p, f"0xa{p}", "LUNA / USD", low, high) for p, low, high in rows)
    )


@pytest.mark.parametrize(
    ("answer", "low", "high", "verdict", "said"),
    [
        ("80", "0.1", "100000", Verdict.SUSPECT, "its floor lies a factor of 800 from 80"),
        ("99.9", "0.1", "100000", Verdict.SUSPECT, "a factor of 999"),
        ("101", "0.1", "100000", Verdict.GOOD, "floor 0.1 and ceiling 100,000 of aggregator 0xa1"),
        ("1", "0.1", "100", Verdict.SUSPECT, "a factor of 10"),
        ("0.99", "0.1", "100", Verdict.BAD, "its floor lies a factor of 9.9 from 0.99"),
        ("0.1", "0.1", "100", Verdict.BAD, "0.1 is its floor, the market may be beyond it"),
        ("0.05", "0.1", "100", Verdict.BAD, "0.05 is its floor"),
        ("51", "0.00000001", "100", Verdict.BAD, "its ceiling lies a factor of 1.96 from 51"),
        ("11", "0.00000001", "100", Verdict.SUSPECT, "its ceiling lies a factor of 9.09"),
        ("100", "0.00000001", "100", Verdict.BAD, "100 is its ceiling"),
        ("5", "", "", Verdict.GOOD, "no floor or ceiling of aggregator 0xa1, which calls itself 'LUNA / USD'"),
        ("5", "0.00000000", "", Verdict.GOOD, "floor 0 of"),
    ],
)
def test_a_bound_that_a_stress_reaches_is_named(answer: str, low: str, high: str, verdict: Verdict, said: str) -> None:
    check = check_clamps(behind((1, low, high)), table([(1, 1, 100, "50"), (1, 2, 200, answer)]))
    assert (check.check, check.verdict) == ("clamps", verdict)
    assert said in check.detail


def test_each_round_has_the_bounds_of_its_own_phase() -> None:
    """On its old floor it stood; the new aggregator has another one, by which the feed is judged."""
    rows = table([(1, 1, 100, "10"), (1, 2, 150, "10"), (2, 1, 200, "12")])
    check = check_clamps(behind((1, "10", "1000000"), (2, "0.001", "1000000")), rows)
    assert (check.verdict, check.count) == (Verdict.SUSPECT, 2)
    assert "2 answers were a bound, the last on 1970-01-01 00:02" in check.detail
    lost = check_clamps(behind((1, "10", "1000000")), rows)
    assert (lost.verdict, "nothing is known of its aggregator" in lost.detail) == (Verdict.SUSPECT, True)


@pytest.mark.parametrize(
    ("aggregators", "rounds"), [(behind(), table([(1, 1, 100, "1")])), (behind((1, "", "")), table([]))]
)
def test_without_rounds_or_aggregators_nothing_is_known(aggregators: Table, rounds: Table) -> None:
    assert check_clamps(aggregators, rounds).verdict is Verdict.SUSPECT


@pytest.mark.parametrize(
    ("declared", "description", "same"),
    [
        ("ETH / USD", "ETH / USD", True),
        ("ETH / USD", "ETH/USD", True),
        ("WETH / USD", "ETH / USD", True),
        ("WBTC / USD", "BTC / USD", True),
        ("USDC / USD", "USDC.e / USD", True),
        ("wstETH / ETH", "WSTETH / ETH", True),
        ("STETH / USD", "Calculated stETH / USD", True),
        ("ETH / USD", "L2 Sequencer Uptime Status Feed", True),
        ("ETH / USD", "", True),
        ("ETH / USD", "BTC / USD", False),
        ("ETH / USD", "ETH / BTC", False),
        ("ETH / USD", "USD / ETH", False),
        ("STETH / USD", "ETH / USD", False),
        ("LD / USD", "WLD / USD", False),
        ("WSTETH / USD", "STETH / USD", False),
    ],
)
def test_wrapped_names_stand_for_the_coin_and_no_others(declared: str, description: str, same: bool) -> None:
    assert same_pair(declared, description) is same
