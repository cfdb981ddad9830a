"""Exact quantities of parameters, their text form, and each protocol's grid.

Models work in float64 decimal fractions; a parameter is exact. Policy rounds once to the protocol's grid,
encoders assert exactness and never round.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from enum import StrEnum
from types import MappingProxyType

from risk.errors import UnitError

_EXACT = Context(prec=60)
_MOST_DIGITS = 40  # more than any chain's integer needs here, and few enough that all arithmetic stays exact
_NUMBER = re.compile(r"[+-]?(?:\d+|[1-9]\d{0,2}(?:[,_]\d{3})+)(?:\.\d+)?", re.ASCII)
_SYMBOL = re.compile(r"[A-Za-z0-9_:.\-]+")
_DURATION = re.compile(r"(\d+)\s*(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
DAY = 86400


class Dimension(StrEnum):
    """What a quantity measures."""

    RATIO = "ratio"
    TOKEN = "token"  # noqa: S105 - a dimension, not a secret
    USD = "usd"
    SECONDS = "seconds"


class Rounding(StrEnum):
    """Direction in which policy rounds a target to the grid."""

    DOWN = "down"
    UP = "up"
    NEAREST = "nearest"


@dataclass(frozen=True, slots=True, order=True)
class Ratio:
    """A pure number; ``Ratio(Decimal("0.825"))`` is written ``82.50%``."""

    value: Decimal

    @property
    def dimension(self) -> Dimension:
        """The dimension of the quantity."""
        return Dimension.RATIO

    def __str__(self) -> str:
        percent = _EXACT.multiply(self.value, Decimal(100)).normalize(_EXACT)
        return f"{_fixed(percent, 2)}%"


@dataclass(frozen=True, slots=True, order=True)
class TokenAmount:
    """An amount of a token in whole tokens; ``1500000 WETH``."""

    value: Decimal
    symbol: str

    @property
    def dimension(self) -> Dimension:
        """The dimension of the quantity."""
        return Dimension.TOKEN

    def __str__(self) -> str:
        return f"{_fixed(self.value, 0)} {self.symbol}"


@dataclass(frozen=True, slots=True, order=True)
class Usd:
    """An amount in US dollars; ``250000 USD``."""

    value: Decimal

    @property
    def dimension(self) -> Dimension:
        """The dimension of the quantity."""
        return Dimension.USD

    def __str__(self) -> str:
        return f"{_fixed(self.value, 0)} USD"


@dataclass(frozen=True, slots=True, order=True)
class Seconds:
    """A duration in whole seconds; ``28d``, ``1h``, ``90s``."""

    value: int

    @property
    def dimension(self) -> Dimension:
        """The dimension of the quantity."""
        return Dimension.SECONDS

    def __str__(self) -> str:
        for unit in ("d", "h", "m"):
            if self.value and self.value % _SECONDS[unit] == 0:
                return f"{self.value // _SECONDS[unit]}{unit}"
        return f"{self.value}s"


Quantity = Ratio | TokenAmount | Usd | Seconds


def parse_quantity(text: str, dimension: Dimension) -> Quantity:
    """Read a quantity written with its unit; the inverse of ``str``.

    Raises
    ------
    UnitError
        When the unit is missing or another one, or the number cannot be read. ``"6400"`` is no ratio.
    """
    text = text.strip()
    if dimension is Dimension.SECONDS:
        match = _DURATION.fullmatch(text)
        if not match:
            raise UnitError("a duration needs a unit", value=text, remedy='Write it as "90s", "15m", "1h" or "28d"')
        return Seconds(int(match[1]) * _SECONDS[match[2]])
    if dimension is Dimension.RATIO:
        if not text.endswith("%"):
            raise UnitError("a ratio needs a percent sign", value=text, remedy='Write it as "82.50%"')
        return Ratio(_EXACT.divide(_decimal(text[:-1].strip(), text), Decimal(100)))
    number, _, symbol = text.partition(" ")
    symbol = symbol.strip()
    if dimension is Dimension.USD:
        if symbol != "USD":
            raise UnitError("an amount of money needs its unit", value=text, remedy='Write it as "250000 USD"')
        return Usd(_decimal(number, text))
    if not _SYMBOL.fullmatch(symbol):
        raise UnitError("an amount needs its token", value=text, remedy='Write it as "1500000 WETH"')
    return TokenAmount(_decimal(number, text), symbol)


def parse_instant(text: str) -> int:
    """Unix seconds of an ISO date or time; a date means 00:00 UTC, a time without a zone is UTC.

    Raises
    ------
    UnitError
        When the text is neither, or falls between two seconds.
    """
    try:
        instant = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise UnitError(
            "not an instant", value=text, remedy='Write a date as "2025-12-31" or a time as "2025-12-31T14:00:00Z"'
        ) from error
    if instant.microsecond:
        raise UnitError("an instant is a whole second", value=text)
    return int((instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp())


def _decimal(number: str, text: str) -> Decimal:
    # A comma only groups thousands: "0,5" must not be read as 5.
    if not _NUMBER.fullmatch(number):
        raise UnitError("not a number", value=text, remedy="Write digits with a decimal point and no exponent")
    number = number.replace("_", "").replace(",", "")
    if len(number) > _MOST_DIGITS:
        raise UnitError("a number with too many digits", value=f"{text[:20]}…", remedy=f"At most {_MOST_DIGITS}")
    return Decimal(number)


def _fixed(value: Decimal, places: int) -> str:
    """Plain decimal notation with at least `places` decimals and no exponent, exact."""
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and -exponent < places:
        value = value.quantize(Decimal(1).scaleb(-places), context=_EXACT)
    text = f"{value:f}"
    if places == 0 and "." in text:
        text = text.rstrip("0").rstrip(".")
    return text


@dataclass(frozen=True, slots=True)
class Grid:
    """The steps in which a protocol stores its quantities.

    Attributes
    ----------
    ratio, token, usd
        Smallest step of a ratio, of an amount in whole tokens, and of an amount in dollars.
    """

    ratio: Decimal
    token: Decimal
    usd: Decimal = Decimal(1)

    def step(self, dimension: Dimension) -> Decimal:
        """Smallest step of a dimension; seconds are whole."""
        steps = {Dimension.RATIO: self.ratio, Dimension.TOKEN: self.token, Dimension.USD: self.usd}
        return steps.get(dimension, Decimal(1))

    def round(self, value: float | Decimal, dimension: Dimension, rounding: Rounding) -> Decimal:
        """Round once to the grid in the stated direction.

        A float within 1e-9 steps of a grid point is that point: policy arithmetic in float64 must not lose
        a whole step to the last bit of a product (relative error of a dozen operations is below 1e-14).
        """
        step = self.step(dimension)
        steps = _EXACT.divide(Decimal(value) if isinstance(value, Decimal) else Decimal(repr(float(value))), step)
        nearest = steps.to_integral_value(ROUND_HALF_EVEN, _EXACT)
        if rounding is Rounding.NEAREST or abs(steps - nearest) <= Decimal("1e-9"):
            whole = nearest
        else:
            direction = ROUND_FLOOR if rounding is Rounding.DOWN else ROUND_CEILING
            whole = steps.to_integral_value(direction, _EXACT)
        return _EXACT.multiply(whole, step)

    def holds(self, quantity: Quantity) -> bool:
        """Whether the quantity lies on the grid exactly."""
        steps = _EXACT.divide(Decimal(quantity.value), self.step(quantity.dimension))
        return steps == steps.to_integral_value(context=_EXACT)


GRIDS: Mapping[str, Grid] = MappingProxyType(
    {
        # Aave v3 stores ratios in basis points, caps in whole tokens and debt ceilings in cents
        # (ReserveConfiguration.sol).
        "aave_v3": Grid(ratio=Decimal("0.0001"), token=Decimal(1), usd=Decimal("0.01")),
        # Compound III stores factors with four decimals and caps in whole tokens (Comet.sol, AssetInfo packing).
        "compound_v3": Grid(ratio=Decimal("0.0001"), token=Decimal(1)),
        "generic": Grid(ratio=Decimal("0.0001"), token=Decimal(1)),
    }
)
