"""Quantities: the text of a number, hostile spellings included, and the tightening of a change."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.errors import UnitError
from risk.parameters import Change, Key, Malformed
from risk.units import Dimension, Quantity, Ratio, TokenAmount, Usd, parse_quantity

decimals = st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**20), max_value=10**20)


@given(decimals, st.sampled_from(list(Dimension)))
def test_text_is_the_inverse_of_parsing(number: Decimal, dimension: Dimension) -> None:
    quantity: Quantity
    match dimension:
        case Dimension.RATIO:
            quantity = Ratio(number)
        case Dimension.TOKEN:
            quantity = TokenAmount(number, "WETH")
        case Dimension.USD:
            quantity = Usd(number)
        case Dimension.SECONDS:
            quantity = parse_quantity(f"{abs(int(number))}s", Dimension.SECONDS)
    assert parse_quantity(str(quantity), dimension) == quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [("82.50%", "0.825"), ("1,500%", "15"), ("+5 %", "0.05"), ("-0.01%", "-0.0001"), ("007%", "0.07")],
)
def test_ratios_that_can_be_read(text: str, value: str) -> None:
    assert parse_quantity(text, Dimension.RATIO) == Ratio(Decimal(value))


@pytest.mark.parametrize(
    "text",
    ["6400", "0,5%", "82,50%", "1e3%", "nan%", "inf%", "%", "", "--5%", "1.%", ".5%", "١%", "9" * 41 + "%", "1 %%"],
)
def test_ratios_that_cannot(text: str) -> None:
    with pytest.raises(UnitError):
        parse_quantity(text, Dimension.RATIO)


@pytest.mark.parametrize("text", ["9" * 2_000_000 + "%", "0." + "1" * 2_000_000 + "%"])
def test_a_number_of_a_million_digits_is_refused_at_once(text: str) -> None:
    with pytest.raises(UnitError, match="too many digits") as caught:
        parse_quantity(text, Dimension.RATIO)
    assert len(str(caught.value)) < 200


def _change(parameter: str, before: object, after: object) -> Change:
    kind = "market" if "margin" in parameter else "reserve"
    path = ("tiers", "1") if kind == "market" else ()
    return Change(Key("m", kind, "X", path, parameter), before, after)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("parameter", "before", "after", "tightening"),
    [
        ("liquidation_threshold", Ratio(Decimal("0.8")), Ratio(Decimal("0.7")), 1),
        ("liquidation_threshold", Ratio(Decimal("0.8")), Ratio(Decimal("0.9")), -1),
        ("initial_margin", Ratio(Decimal("0.1")), Ratio(Decimal("0.2")), 1),
        ("liquidation_bonus", Ratio(Decimal("0.1")), Ratio(Decimal("0.2")), 0),
        ("supply_cap", TokenAmount(Decimal(5), "X"), TokenAmount(Decimal(9), "X"), -1),
        ("supply_cap", TokenAmount(Decimal(5), "X"), TokenAmount(Decimal(0), "X"), -1),
        ("supply_cap", TokenAmount(Decimal(0), "X"), TokenAmount(Decimal(9), "X"), 1),
        ("supply_cap", None, TokenAmount(Decimal(9), "X"), -1),
        ("supply_cap", TokenAmount(Decimal(9), "X"), Malformed("nine", "not a number"), -1),
        ("liquidation_bonus", None, Ratio(Decimal("0.2")), 0),
    ],
)
def test_what_a_change_does_to_safety(parameter: str, before: object, after: object, tightening: int) -> None:
    assert _change(parameter, before, after).tightening == tightening
