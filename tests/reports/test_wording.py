"""Every kind of quantity has one text, and no text can become markup."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import wording
from risk.parameters import Malformed
from risk.units import Dimension, Ratio, Seconds, TokenAmount, Usd, parse_quantity


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.825, "82.50 %"),
        (0.0, "0.00 %"),
        (1e-6, "< 0.01 %"),
        (-1e-6, "> -0.01 %"),
        (0.00005, "0.01 %"),
        (1.5, "150.00 %"),
    ],
)
def test_percent_never_shows_something_as_nothing(value: float, text: str) -> None:
    assert wording.percent(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0 USD"), (0.4, "0.40 USD"), (99.996, "100 USD"), (1234567.8, "1,234,568 USD"), (-0.001, "0.00 USD")],
)
def test_dollars(value: float, text: str) -> None:
    assert wording.dollars(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (90, "90 seconds"),
        (3600, "1 hour"),
        (129600, "36 hours"),
        (28 * 86400, "28 days"),
    ],
)
def test_durations_are_words(seconds: int, text: str) -> None:
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Ratio(Decimal("0.825")), "82.50 %"),
        (Ratio(Decimal("0.08255")), "8.255 %"),
        (Ratio(Decimal("-0.0005")), "-0.05 %"),
        (TokenAmount(Decimal("1500000"), "WETH"), "1,500,000 WETH"),
        (Usd(Decimal("0.5")), "0.5 USD"),
        (Seconds(86400), "1 day"),
        (Malformed("6400", "no unit"), "unreadable: 6400"),
    ],
)
def test_quantities(value: Ratio, text: str) -> None:
    assert wording.quantity(value) == text


@given(st.decimals(min_value=-2, max_value=2, places=6))
def test_a_ratio_is_shown_exactly(value: Decimal) -> None:
    assert parse_quantity(wording.quantity(Ratio(value)), Dimension.RATIO) == Ratio(value)


def test_numbers_and_small_words() -> None:
    assert [wording.number(v) for v in (3.0, 1234.567, 0.25, 1.5e-7)] == ["3", "1,235", "0.2500", "1.500e-07"]
    assert (wording.confidence(0.995), wording.p_value(0.0001), wording.p_value(0.04)) == ("99.5 %", "< 0.001", "0.040")
    assert wording.plural(1, "number") == "1 number"
    assert wording.title("expected_bad_debt") == "Expected bad debt"


def test_clean_folds_lines_and_shows_control_characters() -> None:
    assert wording.clean("a\n b\t\x00c\u202ed") == "a b \N{REPLACEMENT CHARACTER}c\N{REPLACEMENT CHARACTER}d"


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("82.50 %", "82.50 %"),
        ("garch_t", "garch_t"),
        ("_x_", r"\_x\_"),
        ("a|b", r"a\|b"),
        ("[x](y)", r"\[x\](y)"),
        ("<img>", r"\<img\>"),
        ("https://x.y", r"https\://x.y"),
        ("&lt;", "&amp;lt;"),
        ("1. one", r"1\. one"),
        ("- one", r"\- one"),
        ("-0.05 %", "-0.05 %"),
        ("# one\n\nrule", r"\# one rule"),
    ],
)
def test_markdown_renders_as_the_text(text: str, escaped: str) -> None:
    assert wording.markdown(text) == escaped
