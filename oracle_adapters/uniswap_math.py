"""Swaps through a Uniswap v3 pool in the pool's own integers: the same amounts to the last unit.

Whitepaper: Adams et al., "Uniswap v3 Core" (2021), §6.1-6.3. Between two ticks the pool is a constant product of
liquidity L at the square root price s: token0 moved is L (1/a - 1/b), token1 moved is L (b - a). What goes in is
rounded up and what comes out is rounded down; prices are in units of 2^-96.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import cache, lru_cache

Q96 = 2**96
LARGEST_TICK = 887_272
FEE_UNIT = 10**6
_WORD = 256


@dataclass(frozen=True, slots=True)
class Curve:
    """The liquidity of a pool by price.

    Attributes
    ----------
    sqrt_price
        Square root of token1 a token0, in raw units times 2^96.
    tick
        Of the price.
    liquidity
        In range.
    fee
        Millionths of what goes in.
    spacing
        Ticks between two that may be initialised.
    ticks
        Net liquidity by initialised tick, in ascending order of the ticks.
    """

    sqrt_price: int
    tick: int
    liquidity: int
    fee: int
    spacing: int
    ticks: dict[int, int]


@dataclass(frozen=True, slots=True)
class Swap:
    """What a sale took and gave, in raw units.

    Attributes
    ----------
    sold
        What went in, fee included; less than was offered when the pool ran out.
    bought
        What came out.
    sqrt_price
        Price after it.
    """

    sold: int
    bought: int
    sqrt_price: int


@cache
def _factors() -> tuple[int, ...]:
    """2^128 times 1.0001^(-2^i / 2), rounded, for i from 0 to 19."""
    exact = Context(prec=80)
    root = exact.sqrt(Decimal("1.0001"))
    ratios = (exact.divide(Decimal(2**128), exact.power(root, 2**i)) for i in range(20))
    return tuple(int(ratio.to_integral_value(ROUND_HALF_UP, exact)) for ratio in ratios)


@lru_cache(maxsize=65_536)
def sqrt_price_at(tick: int) -> int:
    """Square root price of a tick, as the pool rounds it."""
    ratio = 2**128
    for i, factor in enumerate(_factors()):
        if abs(tick) >> i & 1:
            ratio = ratio * factor >> 128
    if tick > 0:
        ratio = (2**256 - 1) // ratio
    return -(-ratio // 2**32)


LOWEST, HIGHEST = 4_295_128_739, 1_461_446_703_485_210_103_287_273_052_203_988_822_378_723_970_342
"""Square root prices at the lowest and at the highest tick."""


def sell(curve: Curve, amount: int, *, zero_for_one: bool, limit: int | None = None) -> Swap:
    """Sell an exact amount of token0 (`zero_for_one`) or token1, until it is sold or the price limit is reached.

    Parameters
    ----------
    limit
        Square root price at which to stop; by default the end of the price range.
    """
    end = limit if limit is not None else (LOWEST + 1 if zero_for_one else HIGHEST - 1)
    price, tick, liquidity = curve.sqrt_price, curve.tick, curve.liquidity
    left, bought = amount, 0
    while left > 0 and price != end:
        following, initialized = _next_tick(curve, tick, zero_for_one=zero_for_one)
        boundary = sqrt_price_at(following)
        target = max(boundary, end) if zero_for_one else min(boundary, end)
        price, taken, given = _step(price, target, liquidity, left, curve.fee, zero_for_one=zero_for_one)
        left, bought = left - taken, bought + given
        if price == boundary:
            if initialized:
                liquidity += -curve.ticks[following] if zero_for_one else curve.ticks[following]
            tick = following - 1 if zero_for_one else following
    return Swap(amount - left, bought, price)


def _next_tick(curve: Curve, tick: int, *, zero_for_one: bool) -> tuple[int, bool]:
    """The next initialised tick within one word of the pool's bitmap, else the end of the word."""
    compressed = tick // curve.spacing
    if zero_for_one:
        low = compressed - compressed % _WORD
        candidates = range(compressed, low - 1, -1)
        end = low
    else:
        compressed += 1
        end = compressed - compressed % _WORD + _WORD - 1
        candidates = range(compressed, end + 1)
    found = next((one for one in candidates if one * curve.spacing in curve.ticks), None)
    bounded = (end if found is None else found) * curve.spacing
    return max(min(bounded, LARGEST_TICK), -LARGEST_TICK), found is not None


def _step(price: int, target: int, liquidity: int, left: int, fee: int, *, zero_for_one: bool) -> tuple[int, int, int]:
    """Move towards a price within one range: the price reached, what was taken with the fee, and what was given."""
    net = left * (FEE_UNIT - fee) // FEE_UNIT
    needed = _token0(target, price, liquidity, up=True) if zero_for_one else _token1(price, target, liquidity, up=True)
    if net >= needed:
        reached, taken = target, needed + -(-needed * fee // (FEE_UNIT - fee))
    else:
        if zero_for_one:
            numerator, product = liquidity << 96, net * price
            if numerator + product < 2**256:
                reached = -(-numerator * price // (numerator + product))
            else:  # the pool's way round an overflow, with its own rounding
                reached = -(-numerator // (numerator // price + net))
        else:
            reached = price + (net << 96) // liquidity
        taken = left
    if zero_for_one:
        return reached, taken, _token1(reached, price, liquidity, up=False)
    return reached, taken, _token0(price, reached, liquidity, up=False)


def _token0(low: int, high: int, liquidity: int, *, up: bool) -> int:
    numerator = (liquidity << 96) * (high - low)
    if up:
        return -((-numerator // high) // low)
    return numerator // high // low


def _token1(low: int, high: int, liquidity: int, *, up: bool) -> int:
    product = liquidity * (high - low)
    return -(-product // Q96) if up else product // Q96
