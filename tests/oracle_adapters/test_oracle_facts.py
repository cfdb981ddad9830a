"""Update rules from simulated rounds with a known rule, beside what is declared of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from oracle_adapters.feed import FeedSpec, Kind
from oracle_adapters.oracle_facts import oracle_facts
from risk.artifact import Artifact, Table
from risk.market import MarketSnapshot, OracleFacts, Origin, Verdict
from risk.settings import OracleSettings
from tests.factories import make_snapshot
from tests.oracle_adapters.test_rounds import simulated, table

ROUNDS = simulated(3600, 0.005, 0.006, clock=False, seed=7, n=1500)


def feed(rows: Table, base: str = "ETH", quote: str = "USD", name: str = "a") -> tuple[FeedSpec, Table]:
    return FeedSpec(Kind.ROUND, base, quote, name, 3600), rows


def declared(**values: Any) -> OracleSettings:
    return OracleSettings.model_validate({"deviation": "0.5%", "heartbeat": "1h", "latency": "12s", **values})


@pytest.mark.parametrize(
    ("values", "differ"),
    [
        ({}, ""),
        ({"deviation": "0.55%"}, ""),
        ({"deviation": "0.25%"}, "deviation"),
        ({"deviation": "2%"}, "deviation"),
        ({"heartbeat": "1d"}, "heartbeat"),
        ({"heartbeat": "20m", "deviation": "1%"}, "deviation and heartbeat"),
    ],
)
def test_what_is_declared_counts_and_is_held_against_the_rounds(values: dict[str, str], differ: str) -> None:
    told = declared(**values)
    facts, [(name, check)] = oracle_facts({"ETH": told}, [feed(ROUNDS)])
    assert facts == {"ETH": OracleFacts(told.deviation, told.heartbeat, 12)}
    assert (name, check.check, check.count) == ("ETH/USD@a", "update_rule", 1500)
    assert check.verdict is (Verdict.SUSPECT if differ else Verdict.GOOD)
    assert check.detail.partition(" differ in ")[2] == differ


def test_where_nothing_is_declared_the_measured_rule_counts_and_says_so() -> None:
    facts, [(_, check)] = oracle_facts({"BTC": declared()}, [feed(ROUNDS)])
    assert set(facts) == {"BTC", "ETH"}
    assert facts["ETH"].deviation == pytest.approx(0.005, rel=0.25)
    assert facts["ETH"].heartbeat == pytest.approx(3600, rel=0.02)
    assert facts["ETH"].latency == 0
    assert (facts["ETH"].origin, facts["BTC"].origin) == (Origin.MEASURED, Origin.DECLARED)
    assert facts["ETH"].rounds == 1500
    assert (facts["ETH"].first, facts["ETH"].last) == (ROUNDS["observed_at"][0], ROUNDS["observed_at"][-1])
    assert facts["BTC"].rounds == 0
    assert check.verdict is Verdict.GOOD
    assert check.detail.startswith("measured from 1500 rounds")
    assert check.detail.endswith("nothing is declared, so this counts")


def test_of_two_feeds_the_wider_deviation_counts() -> None:
    wide = simulated(3600, 0.01, 0.006, clock=False, seed=8, n=1500)
    for order in ((ROUNDS, wide), (wide, ROUNDS)):
        facts, checks = oracle_facts({}, [feed(rows, name=str(n)) for n, rows in enumerate(order)])
        assert facts["ETH"].deviation == pytest.approx(0.01, rel=0.25)
        assert len(checks) == 2


@pytest.mark.parametrize(
    "rows", [table([]), table([(1, 1, 100, "2.0")]), table([(1, n, 100 * n, "2.0") for n in range(1, 6)])]
)
def test_too_few_rounds_tell_no_rule(rows: Table) -> None:
    facts, [(_, check)] = oracle_facts({}, [feed(rows)])
    assert facts == {}
    assert check.verdict is Verdict.SUSPECT
    assert "too few updates lie together to tell" in check.detail
    facts, [(_, check)] = oracle_facts({"ETH": declared()}, [feed(rows)])
    assert (len(facts), check.verdict) == (1, Verdict.GOOD)


def test_a_feed_in_another_unit_is_no_rule_of_the_price_in_dollars() -> None:
    assert oracle_facts({}, [feed(ROUNDS, "WSTETH", "ETH")]) == ({}, [])


def test_a_snapshot_keeps_where_a_rule_comes_from_and_a_declared_one_is_written_as_before() -> None:
    facts, _ = oracle_facts({"BTC": declared()}, [feed(ROUNDS)])
    found = replace(make_snapshot(), oracle=facts)
    artifact = Artifact.from_files(found.artifact().to_files(), schema=MarketSnapshot.SCHEMA)
    assert MarketSnapshot.from_artifact(artifact).oracle == facts
    assert artifact.document["oracle"]["BTC"] == {"deviation": 0.005, "heartbeat": 3600, "latency": 12}
    assert artifact.document["oracle"]["ETH"]["origin"] == "measured"
