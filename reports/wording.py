"""Numbers and names in words: one form for each kind of quantity, in every document.

A number that is shown is a `Shown`: its exact value and its text together, so that the page, the Markdown and
the JSON of a proposal cannot differ.
"""

from __future__ import annotations

import math
import re
import unicodedata
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypedDict

from risk.parameters import Malformed, Value
from risk.units import DAY, Dimension, Ratio, Seconds, TokenAmount, Usd


class Shown(TypedDict):
    """A number and its text.

    Attributes
    ----------
    value
        The exact value: an integer, a float fraction or amount, or a decimal as a string.
    text
        How every document writes it.
    """

    value: float | int | str
    text: str


ABSENT = "none"
"""Text of a value that is not there."""


def percent(value: float, decimals: int = 2) -> str:
    """A fraction as percent, ``0.825`` → ``82.50 %``; what is not zero is never shown as zero."""
    smallest = 10.0**-decimals
    if 0 < abs(value) * 100 < smallest / 2:
        return f"{'<' if value > 0 else '>'} {math.copysign(smallest, value):.{decimals}f} %"
    return f"{_unsigned_zero(value * 100, decimals)} %"


def confidence(value: float) -> str:
    """A confidence with no more decimals than it needs, ``0.995`` → ``99.5 %``."""
    return f"{round(value * 100, 6):g} %"


def dollars(value: float) -> str:
    """An amount of US dollars with thousands separators; cents below a hundred dollars only."""
    decimals = 0 if abs(value) >= 99.995 or value == 0 else 2
    return f"{_unsigned_zero(value, decimals)} USD"


def number(value: float) -> str:
    """A pure number: whole numbers in full, others with four significant digits."""
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return significant(value)


def significant(value: float) -> str:
    """A pure number with four significant digits, also where it happens to be whole."""
    if abs(value) >= 1e15 or 0 < abs(value) < 1e-4:
        return f"{value:.3e}"
    if value == 0:
        return "0"
    decimals = max(0, 3 - math.floor(math.log10(abs(value))))
    return _unsigned_zero(value, decimals)


def _unsigned_zero(value: float, decimals: int) -> str:
    text = f"{value:,.{decimals}f}"
    return text.removeprefix("-") if not any(digit in text for digit in "123456789") else text


def p_value(value: float) -> str:
    """A p-value with three decimals."""
    return "< 0.001" if value < 0.0005 else f"{value:.3f}"


_UNITS = ((DAY, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def duration(seconds: int) -> str:
    """A duration in words, in the largest unit that divides it: ``28 days``, ``36 hours``."""
    size, name = next(((size, name) for size, name in _UNITS if seconds % size == 0 and seconds), (1, "second"))
    count = seconds // size
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def instant(seconds: int) -> str:
    """A point in time, ``2024-05-01 00:00 UTC``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def date(seconds: int) -> str:
    """The day of a point in time, ``2024-05-01``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


def plural(count: int, noun: str, several: str = "") -> str:
    """A count with its noun: ``1 number``, ``3 numbers``."""
    return f"{count:,} {noun if count == 1 else several or noun + 's'}"


def quantity(value: Value) -> str:
    """A parameter's value: ``82.50 %``, ``1,500,000 WETH``, ``250,000 USD``, ``28 days``."""
    match value:
        case Ratio(value=ratio):
            return f"{_decimal(ratio * 100, 2)} %"
        case TokenAmount(value=amount, symbol=symbol):
            return f"{_decimal(amount, 0)} {symbol}"
        case Usd(value=amount):
            return f"{_decimal(amount, 0)} USD"
        case Seconds(value=seconds):
            return duration(seconds)
        case Malformed():
            return f"unreadable: {value.text}"


def _decimal(value: Decimal, places: int) -> str:
    """All digits of a decimal, at least `places` after the point, with thousands separators."""
    whole, _, fraction = f"{value:f}".partition(".")
    fraction = fraction.rstrip("0").ljust(places, "0")
    return f"{int(whole):,}{'.' + fraction if fraction else ''}" if whole != "-0" else f"-0.{fraction}"


def amount(value: float, dimension: Dimension, decimals: int = 2) -> str:
    """A modelled value of a parameter's dimension, such as the end of an interval."""
    match dimension:
        case Dimension.RATIO:
            return percent(value, decimals)
        case Dimension.USD:
            return dollars(value)
        case Dimension.SECONDS:
            return duration(round(value))
        case Dimension.TOKEN:
            return f"{value:,.0f}" if abs(value) >= 100 else number(value)


def title(name: str) -> str:
    """An identifier as a title: ``expected_bad_debt_per_year`` → ``Expected bad debt per year``."""
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def clean(text: str) -> str:
    """One printable line: white space is folded, control and direction characters are made visible."""
    folded = " ".join(text.split())
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in _UNPRINTABLE else c for c in folded)


_UNPRINTABLE = ("Cc", "Cf", "Cs", "Co", "Cn")
_SPECIAL = re.compile(r"([\\`*\[\]<>|~#$])|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|:(?=//)|(?<=\bwww)\.")
_LEADING = re.compile(r"^(?:(?=[-+](?:[-+\s]|$))|(\d+)(?=[.)](?:\s|$)))")


def markdown(text: str) -> str:
    """Plain text as Markdown that renders as itself: no emphasis, link, table cell, list or HTML in it."""
    escaped = _SPECIAL.sub(lambda match: "\\" + match[0], clean(text).replace("&", "&amp;"))
    return _LEADING.sub(lambda match: f"{match[1] or ''}\\", escaped)
