"""Numbers that no stress covers: between base and the run's target, or tightened; else a failure with their key."""

from __future__ import annotations

import pytest

from risk.outcome import Severity
from risk.parameters import ParameterSet
from tests.factories import PARAMETERS, make_parameters, make_settings
from tests.gate.strategies import errors, gate, only, recommended

PERP = "perps/market/ETH-USD/tiers/1/"
POOL = "perps/pool/ETH-USDC/swap_fee"
BASE_TEXT = PARAMETERS + '\n[perps.pool.ETH-USDC]\nswap_fee = "0.30%"\n'
BASE = make_parameters(BASE_TEXT)
GOVERNANCE = make_settings(policy={"route": "governance"})
INITIAL, MAINTENANCE, LIMIT, FEE = (
    '"10.00%"', 'maintenance_margin = "5.00%"', '"1000000 USD"', '"0.30%"'
)  # fmt: skip


def edited(*edits: tuple[str, str]) -> ParameterSet:
    text = BASE_TEXT
    for old, new in edits:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return make_parameters(text)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        (INITIAL, '"6.00%"', PERP + "initial_margin"),
        (MAINTENANCE, 'maintenance_margin = "1.00%"', PERP + "maintenance_margin"),
        (LIMIT, '"1100000 USD"', PERP + "notional_limit"),
        (FEE, '"0.31%"', POOL),
        (FEE, '"0.29%"', POOL),
    ],
)
def test_a_loosening_without_evidence_is_a_failure_with_its_key(old: str, new: str, key: str) -> None:
    head = edited((old, new))
    [finding] = [f for f in gate(BASE, head, settings=GOVERNANCE).findings if f.severity is Severity.ERROR]
    assert (finding.code, finding.key) == ("E003", key)
    assert finding.line == head.lines[next(k for k in head.values if str(k) == key)]
    assert "T001 saw 0 of 1" in finding.message
    other = recommended(make_parameters())
    unknown = ParameterSet({k: v for k, v in other.target.values.items() if str(k) != key})
    for evidence, why in (
        (recommended(unknown), "derives no value for it"),
        (recommended(BASE, refused=(key,)), "refuses it: too little data"),
    ):
        result = gate(BASE, head, settings=GOVERNANCE, recommendation=evidence)
        assert errors(result) == {("T001", key)}
        assert why in result.findings[0].message


@pytest.mark.parametrize(
    ("old", "target", "head", "passes"),
    [
        (INITIAL, "8.00%", "9.00%", True),
        (INITIAL, "8.00%", "8.00%", True),
        (INITIAL, "8.00%", "7.99%", False),
        (INITIAL, "12.00%", "9.99%", False),
        (INITIAL, "12.00%", "11.00%", True),
        (INITIAL, "12.00%", "13.00%", True),
        (INITIAL, "8.00%", "11.00%", True),
        (FEE, "0.20%", "0.25%", True),
        (FEE, "0.20%", "0.20%", True),
        (FEE, "0.20%", "0.19%", False),
        (FEE, "0.20%", "0.31%", False),
        (FEE, "0.40%", "0.35%", True),
        (FEE, "0.40%", "0.41%", False),
        (LIMIT, "2000000 USD", "1500000 USD", True),
        (LIMIT, "2000000 USD", "2000001 USD", False),
        (LIMIT, "500000 USD", "400000 USD", True),
        (LIMIT, "500000 USD", "1000001 USD", False),
    ],
)
def test_between_base_and_the_target_or_tighter(old: str, target: str, head: str, passes: bool) -> None:
    evidence = recommended(edited((old, f'"{target}"')))
    result = gate(BASE, edited((old, f'"{head}"')), settings=GOVERNANCE, recommendation=evidence)
    assert result.failed is not passes
    if not passes:
        [finding] = result.findings
        assert (finding.code, finding.evidence["target"]) == ("T001", finding.evidence["target"])
        assert finding.evidence["target"].replace(" ", "") == target.replace(" ", "")


def test_a_new_market_needs_a_derivation_and_its_target() -> None:
    table = "\n[perps.market.DOGE-USD.tiers.1]\n"
    numbers = 'notional_limit = "1000000 USD"\ninitial_margin = "{}%"\nmaintenance_margin = "5%"\n'
    wanted, looser, tighter = (make_parameters(BASE_TEXT + table + numbers.format(n)) for n in (20, 19, 21))
    key = "perps/market/DOGE-USD/tiers/1/initial_margin"
    assert ("E003", key) in errors(gate(BASE, looser))
    nothing = gate(BASE, looser, recommendation=recommended(BASE))
    assert {code for code, _ in errors(nothing)} == {"T001"}
    assert len(errors(nothing)) == 3
    assert errors(gate(BASE, looser, recommendation=recommended(wanted))) == {("T001", key)}
    for head in (wanted, tighter):
        assert not gate(BASE, head, recommendation=recommended(wanted)).failed


def test_a_tightening_needs_no_evidence() -> None:
    head = edited((INITIAL, '"11.00%"'), (MAINTENANCE, 'maintenance_margin = "6.00%"'), (LIMIT, '"900000 USD"'))
    assert not gate(BASE, head).failed


def test_for_reserves_it_is_information_and_a_warning_where_no_stress_reads_the_number() -> None:
    head = edited(('"80.50%"', '"80.60%"'), ('"71.00%"', '"71.10%"'))
    assert only(gate(BASE, head), "T002") == []
    result = gate(BASE, head, recommendation=recommended(edited(('"80.50%"', '"79.00%"'))))
    assert [(f.key, f.severity) for f in only(result, "T002")] == [
        ("lending/reserve/WETH/collateral_factor", Severity.WARNING),
        ("lending/reserve/LINK/liquidation_threshold", Severity.NOTE),
    ]
    assert not result.failed
    towards = recommended(edited(('"80.50%"', '"82.00%"'), ('"71.00%"', '"72.00%"')))
    assert gate(BASE, head, recommendation=towards).findings == ()
