"""How each protocol seizes: the units of one in the terms of the other, and back on the protocol's grid."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.errors import EvidenceError
from risk.parameters import Key, Malformed, ParameterSet
from risk.policy.steward import coupled_steps
from risk.recommendation import Operation, Trail
from risk.seizure.absorption import Absorption
from risk.seizure.by_protocol import SEIZURES
from risk.seizure.repayment import Repayment
from risk.units import GRIDS, Dimension, Ratio, Rounding

RESERVE = Key.parse("m/reserve/WETH/liquidation_threshold")
FRONT = Key.parse("m/base/USDC/store_front_price_factor")


def comet(factor: str, front: str, **more: str) -> ParameterSet:
    values = {FRONT: Ratio(Decimal(front)), RESERVE.sibling("liquidation_factor"): Ratio(Decimal(factor))}
    return ParameterSet(values | {RESERVE.sibling(name): Ratio(Decimal(text)) for name, text in more.items()})


def test_every_protocol_has_one() -> None:
    assert SEIZURES.keys() == GRIDS.keys()


def test_the_discount_as_a_bonus() -> None:
    # cUSDCv3's WETH: liquidation factor 95 %, store front 60 %, so 3 % off: 97 dollars buy 100.
    found = Absorption().bonus(comet("0.95", "0.6"), RESERVE)
    assert found == pytest.approx(100 / 97 - 1)
    assert Absorption().credit(comet("0.95", "0.6"), RESERVE) == 0.95
    assert Absorption().bonus(comet("1", "0.6"), RESERVE) == 0
    assert Absorption().bonus(ParameterSet({}), RESERVE) is None


@given(st.sampled_from((0.02, 0.03, 0.05, 0.075, 0.15)), st.integers(3000, 10_000))
def test_a_bonus_comes_back_from_the_liquidation_factor_that_makes_it(bonus: float, front: int) -> None:
    share, grid = Decimal(front) / 10_000, GRIDS["compound_v3"]
    parameters, trail = comet("0.9", str(share)), Trail()
    attained = Absorption().attainable(bonus, parameters, RESERVE)
    trail.apply("bonus", Operation.START, attained, "")
    Absorption().penalty_from(trail, parameters, RESERVE)
    factor = grid.round(trail.value, Dimension.RATIO, Rounding.DOWN)
    found = Absorption().bonus(comet(str(factor), str(share)), RESERVE)
    assert found == pytest.approx(attained, rel=1e-12)
    assert bonus <= attained * (1 + 1e-12)
    step_up = Absorption().bonus(comet(str(factor + grid.ratio), str(share)), RESERVE)
    assert step_up is not None
    assert step_up < bonus, "a step more would not pay the buyer"


def test_a_store_front_that_cannot_make_the_discount() -> None:
    assert Absorption().attainable(0.15, comet("0.9", "0.1"), RESERVE) == float("inf")
    assert Absorption().attainable(0.05, comet("0.9", "0"), RESERVE) == float("inf")


def test_what_is_missing_is_named() -> None:
    without = ParameterSet({RESERVE.sibling("liquidation_factor"): Ratio(Decimal("0.95"))})
    with pytest.raises(EvidenceError, match="m/base/…/store_front_price_factor"):
        Absorption().bonus(without, RESERVE)
    other = Key.parse("m/base/WETH/store_front_price_factor")
    with pytest.raises(EvidenceError, match="a Comet has one base asset"):
        Absorption().bonus(comet("0.95", "0.6").replace({other: Ratio(Decimal("0.5"))}), RESERVE)
    wrong = comet("0.95", "0.6").replace({FRONT: Malformed("60", "a ratio needs a percent sign")})
    with pytest.raises(EvidenceError, match="cannot be read"):
        Absorption().bonus(wrong, RESERVE)


def test_repayment_is_its_own_bonus() -> None:
    parameters, trail = ParameterSet({RESERVE.sibling("liquidation_bonus"): Ratio(Decimal("0.05"))}), Trail()
    trail.apply("bonus", Operation.START, 0.05, "")
    Repayment().penalty_from(trail, parameters, RESERVE)
    assert Repayment().bonus(parameters, RESERVE) == trail.value == Repayment().attainable(0.05, parameters, RESERVE)
    assert Repayment().credit(parameters, RESERVE) == pytest.approx(1 / 1.05)
    assert len(trail.terms) == 1


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        # A threshold that would pass the factor in force waits, and so does a factor that would fall below it.
        (("0.80", "0.96", "0.95"), {"liquidation_threshold": "0.90"}),
        (("0.80", "0.90", "0.88"), {"liquidation_factor": "0.95"}),
        (("0.80", "0.85", "0.90"), {}),
    ],
)
def test_steps_keep_the_threshold_below_the_liquidation_factor(
    step: tuple[str, str, str], expected: dict[str, str]
) -> None:
    names = ("collateral_factor", "liquidation_threshold", "liquidation_factor")
    in_force = ParameterSet(
        {
            RESERVE.sibling(n): Ratio(Decimal(t))
            for n, t in zip(names, ("0.80", "0.90", "0.95"), strict=True)
        }
    )  # fmt: skip
    steps = {RESERVE.sibling(n): Ratio(Decimal(t)) for n, t in zip(names, step, strict=True)}
    found = coupled_steps(steps, in_force, lambda _: GRIDS["compound_v3"])
    assert found == {RESERVE.sibling(n): Ratio(Decimal(t)) for n, t in expected.items()}
