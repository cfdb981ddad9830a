"""Aave v3 as its contracts store it: the configuration word of a reserve, efficiency modes, rates, risk stewards.

Raw integers become exact quantities; nothing is rounded. Sources: ReserveConfiguration.sol (the layout of the
word), DataTypes.sol and DefaultReserveInterestRateStrategy.sol of aave-v3-core 1.19.3; for later versions
aave-v3-origin 3.6 (IDefaultInterestRateStrategyV2) and IRiskSteward.sol of aave-v3-risk-stewards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

from risk.errors import DataError
from risk.market import StepBound
from risk.protocols.aave_v3 import HUNDRED_PERCENT, TRIPLE, quantity
from risk.units import Quantity, Ratio

RAY = 10**27
"""Scale of a rate up to version 3.0."""
RATES = ("optimal_utilisation", "base_borrow_rate", "borrow_rate_slope_below", "borrow_rate_slope_above")
"""Parameters of a rate strategy, in the order in which its contracts list them."""
_NUMBERS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "collateral_factor": (0, 16),
        "liquidation_threshold": (16, 16),
        "liquidation_bonus": (32, 16),
        "reserve_factor": (64, 16),
        "borrow_cap": (80, 36),
        "supply_cap": (116, 36),
        "liquidation_protocol_fee": (152, 16),
        "debt_ceiling": (212, 40),
    }
)
"""First bit and width of each parameter in the configuration word."""
_FLAGS: Mapping[str, int] = MappingProxyType(
    {
        "active": 56,
        "frozen": 57,
        "borrowing": 58,
        "stable_borrowing": 59,
        "paused": 60,
        "borrowable_in_isolation": 61,
        "siloed_borrowing": 62,
        "flash_loans": 63,
    }
)
"""Bit of each flag in the configuration word."""
_DECIMALS, _MODE = (48, 8), (168, 8)


@dataclass(frozen=True, slots=True)
class ReserveConfiguration:
    """What the configuration word of a reserve holds.

    Attributes
    ----------
    parameters
        Quantity by parameter.
    flags
        ``active``, ``frozen``, ``borrowing``, ``paused`` and so on.
    decimals
        Of the reserve's token.
    efficiency_mode
        Its category up to version 3.1, 0 for none; later a category names its reserves instead.
    """

    parameters: Mapping[str, Quantity]
    flags: Mapping[str, bool]
    decimals: int
    efficiency_mode: int


def decode_configuration(word: int, subject: str) -> ReserveConfiguration:
    """Read the word that ``Pool.getConfiguration`` returns.

    Raises
    ------
    DataError
        When the stored bonus is neither zero nor above 100 %: no Aave v3 reserve holds such a word.
    """
    raw = {name: _bits(word, place) for name, place in _NUMBERS.items()}
    raw["liquidation_bonus"] = bonus_above_par(raw["liquidation_bonus"], subject)
    return ReserveConfiguration(
        MappingProxyType({name: quantity(name, value, subject) for name, value in raw.items()}),
        MappingProxyType({name: bool(word >> bit & 1) for name, bit in _FLAGS.items()}),
        _bits(word, _DECIMALS),
        _bits(word, _MODE),
    )


def bonus_above_par(stored: int, subject: str) -> int:
    """Basis points of a bonus without the 100 % that the contract adds; zero where nothing is stored.

    Raises
    ------
    DataError
        When less than 100 % is stored.
    """
    if 0 < stored < HUNDRED_PERCENT:
        raise DataError(
            "a stored bonus is 100 % plus the bonus, or zero",
            field=subject,
            value=stored,
            remedy="Check that the address is that of an Aave v3 pool",
        )
    return stored - HUNDRED_PERCENT if stored else 0


def decode_triple(raw: Sequence[int], subject: str) -> dict[str, Quantity]:
    """Factor, threshold and bonus from ltv, liquidationThreshold and liquidationBonus as stored."""
    factor, threshold, stored = raw
    numbers = (factor, threshold, bonus_above_par(stored, subject))
    return {name: quantity(name, value, subject) for name, value in zip(TRIPLE, numbers, strict=True)}


def decode_rates(raw: Sequence[int], scale: int) -> dict[str, Quantity]:
    """Rate parameters, from basis points (`HUNDRED_PERCENT`, version 3.1 and later) or `RAY`."""
    return {name: Ratio(_exact(value, scale)) for name, value in zip(RATES, raw, strict=True)}


def members(bitmap: int) -> list[int]:
    """Numbers of the reserves in a bitmap, ascending."""
    return [bit for bit in range(bitmap.bit_length()) if bitmap >> bit & 1]


def uses(configuration: int, reserve: int) -> tuple[bool, bool]:
    """Whether an account borrows a reserve, and whether it uses it as collateral (UserConfiguration.sol)."""
    return bool(configuration >> 2 * reserve & 1), bool(configuration >> 2 * reserve + 1 & 1)


_STEWARD = {
    "collateral_factor": False,
    "liquidation_threshold": False,
    "liquidation_bonus": False,
    "supply_cap": True,
    "borrow_cap": True,
    "debt_ceiling": True,
    "base_borrow_rate": False,
    "borrow_rate_slope_below": False,
    "borrow_rate_slope_above": False,
    "optimal_utilisation": False,
}
"""Whether a steward's bound is relative to the value before (caps) or in points, by parameter."""
_RATE_BOUNDS = ("base_borrow_rate", "borrow_rate_slope_below", "borrow_rate_slope_above", "optimal_utilisation")
_MODE_BOUNDS = tuple(f"efficiency_mode.{name}" for name in TRIPLE)
_PRICE_BOUNDS = ("price_cap.lst", "price_cap.stable")
_LAYOUTS: Mapping[int, tuple[str, ...]] = MappingProxyType(
    {
        12: (*TRIPLE, "supply_cap", "borrow_cap", "debt_ceiling", *_RATE_BOUNDS, *_PRICE_BOUNDS),
        15: (
            *TRIPLE,
            *_MODE_BOUNDS,
            *_RATE_BOUNDS,
            "supply_cap",
            "borrow_cap",
            *_PRICE_BOUNDS,
            "discount_rate.pendle",
        ),
    }
)
"""What ``getRiskConfig`` lists, by its number of (minDelay, maxPercentChange) pairs: one for each generation."""


def decode_steward(words: Sequence[int]) -> tuple[dict[str, StepBound], dict[str, tuple[int, int]]]:
    """Step bounds from the words that ``RiskSteward.getRiskConfig`` returns.

    Returns
    -------
    bounds
        By parameter; ratios in points, caps relative to the value before.
    others
        (minDelay in seconds, maxPercentChange as stored) of what no parameter of a reserve is: efficiency
        modes, price caps, discount rates.

    Raises
    ------
    DataError
        When the contract lists another number of pairs than a known generation does.
    """
    if len(words) % 2 or len(words) // 2 not in _LAYOUTS:
        raise DataError(
            "the risk steward's configuration has an unknown layout",
            field="getRiskConfig",
            value=f"{len(words)} words",
            remedy=f"Known are {' and '.join(str(2 * n) for n in _LAYOUTS)}; declare [bounds] in the settings instead",
        )
    names = _LAYOUTS[len(words) // 2]
    pairs = dict(zip(names, zip(words[::2], words[1::2], strict=True), strict=True))
    bounds = {
        name: StepBound(float(Decimal(pairs[name][1]) / HUNDRED_PERCENT), relative, pairs[name][0])
        for name, relative in _STEWARD.items()
        if name in pairs
    }
    return bounds, {name: pair for name, pair in pairs.items() if name not in bounds}


def _bits(word: int, place: tuple[int, int]) -> int:
    first, width = place
    return word >> first & ((1 << width) - 1)


def _exact(value: int, scale: int) -> Decimal:
    """The quotient by a power of ten, built from its digits so that no context rounds it."""
    return Decimal(f"{value}E-{len(str(scale)) - 1}")
