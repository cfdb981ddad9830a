"""The gate on the real simulation: what breaks a budget is caught, whatever else is cut to pay for it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from risk.outcome import GateResult, Measure
from risk.parameters import Key, ParameterSet
from risk.settings import Settings
from risk.stress.run import MONTE_CARLO, BookLossModel
from risk.units import Ratio, TokenAmount
from tests.factories import make_book, make_calibration, make_parameters, make_settings, make_snapshot
from tests.gate.strategies import errors, gate, raw, reserve

BASE = make_parameters()
SNAPSHOT = make_snapshot(book=make_book(60))
FAR = {
    "es99_usd": "1000000000000000 USD",
    "backstop_usd": "1000000000000000 USD",
    "shortfall_tolerance_usd": "1000000000000000 USD",
}
HELD = ("LINK", "WBTC", "WETH", "wstETH")
"""Reserves that the accounts of the book hold."""


def given_settings(budget: float = 1e15) -> Settings:
    """Governance, one replay, and no budget in reach but that of the expected loss."""
    return make_settings(
        policy={"route": "governance"},
        stress={"scenarios": ["ftx-2022"]},
        appetite={**FAR, "expected_bad_debt_usd_per_year": f"{budget:.2f} USD"},
    )


CALIBRATION = make_calibration(SNAPSHOT, given_settings())


def expected_loss(parameters: ParameterSet) -> float:
    found = BookLossModel(SNAPSHOT, CALIBRATION, given_settings()).loss({"x": parameters})
    value = found.value(MONTE_CARLO, "x", Measure.EXPECTED_PER_YEAR)
    assert value is not None
    return value


def judged(head: ParameterSet, budget: float) -> GateResult:
    declared = given_settings(budget)
    stress = BookLossModel(SNAPSHOT, CALIBRATION, declared).loss({"base": BASE, "head": head})
    return gate(BASE, head, settings=declared, stress=stress)


def threshold(subject: str, points: int) -> tuple[Key, Ratio]:
    """A reserve's threshold, raised by basis points."""
    key = reserve(subject, "liquidation_threshold")
    return key, Ratio(Decimal(raw(BASE, key) + points) / 10_000)


def cap(subject: str, share: Decimal) -> tuple[Key, TokenAmount]:
    """A reserve's supply cap, cut to a share of it."""
    key = reserve(subject, "supply_cap")
    return key, TokenAmount((raw(BASE, key) * share).to_integral_value(), subject)


@pytest.fixture(scope="module")
def kept() -> float:
    """A budget that base only just keeps."""
    loss = expected_loss(BASE)
    assert loss > 0
    return loss + 0.01


def test_a_cut_of_a_cap_does_not_pay_for_a_threshold(kept: float) -> None:
    loosened = dict([threshold("WETH", 500)])
    key = str(reserve("WETH", "liquidation_threshold"))
    assert errors(judged(BASE.replace(loosened), kept)) == {("E001", key)}
    cuts = dict(cap(subject, Decimal("0.2")) for subject in HELD)
    result = judged(BASE.replace({**loosened, **cuts}), kept)
    assert errors(result) == {("E001", key)}
    assert not judged(BASE.replace(cuts), kept).failed


@pytest.mark.slow
@given(
    subject=st.sampled_from(HELD),
    points=st.integers(50, 700),
    cuts=st.dictionaries(st.sampled_from(HELD), st.decimals("0.11", "1", places=2)),
)
@settings(max_examples=25)
def test_a_threshold_that_breaks_a_budget_is_caught_with_its_key_whatever_is_cut(
    kept: float, subject: str, points: int, cuts: dict[str, Decimal]
) -> None:
    key, value = threshold(subject, points)
    head = BASE.replace({key: value, **dict(cap(name, share) for name, share in cuts.items())})
    loss = expected_loss(BASE.replace({key: value}))
    broken = ("E001", str(key)) in errors(judged(head, kept))
    assert broken is (loss > kept), "no cut of a cap changes the verdict"
    assert ("E001", str(key)) not in errors(judged(head, loss + 0.01))
    assert ("E002" if loss > kept else "E004") in {f.code for f in judged(head, kept / 2).findings}
