"""What moving a pool's time-weighted price costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from oracle_adapters.rpc import Block, Node
from oracle_adapters.uniswap_math import HIGHEST, LARGEST_TICK, LOWEST, sell, sqrt_price_at
from oracle_adapters.uniswap_v3 import Pool, read_pool
from risk.errors import DataError, EvidenceError

BLOCK_TIME = 12
"""Seconds between blocks of Ethereum."""


@dataclass(frozen=True, slots=True)
class Manipulation:
    """The cheapest way to move a pool's time-weighted price that was found.

    Attributes
    ----------
    move
        Of the average, as a fraction.
    blocks
        For which the price is held away; the fewer, the further away it must be.
    capital
        Quote tokens that are brought to the pool at once.
    cost
        Quote tokens lost: each block, arbitrage takes what was paid above, or below, the price.
    """

    move: float
    blocks: int
    capital: float
    cost: float


def manipulation_cost(pool: Pool, move: float, window: int, *, block_time: int = BLOCK_TIME) -> Manipulation:
    """What it costs to move the average over a window by a fraction, up or down.

    The average is of ticks: to move it by ``log(1 + move)`` over the window while the price is away for h seconds,
    the price must be away by ``window / h`` times that. Each block it is held, arbitrage brings it back, and what
    the sale lost against the price before is gone; nothing else is counted, so the cost is a lower bound for
    somebody who must pay it, and none where nobody arbitrages. All holding times up to the window are tried.

    Parameters
    ----------
    move
        Above -1, not zero.
    window
        Seconds of the average.

    Raises
    ------
    DataError
        For a move that cannot be.
    EvidenceError
        When the pool cannot be moved so far at all: the end of its prices is reached in every holding time.
    """
    if not move > -1 or move == 0:
        raise DataError("an average cannot move so", field="move", value=move)
    ticks = math.log1p(move) / math.log(1.0001)
    best: Manipulation | None = None
    longest = max(window // block_time, 1)
    # Of a window of days not each: the cost is smooth in the holding time.
    tried = range(1, longest + 1) if longest <= 600 else sorted({round(longest ** (i / 599)) for i in range(600)})
    for blocks in tried:
        away = ticks * window / min(blocks * block_time, window)
        found = _push(pool, away if pool.base_is_token0 else -away)
        if found is None:
            continue
        capital, lost = found
        if best is None or blocks * lost < best.cost:
            best = Manipulation(move, blocks, capital, blocks * lost)
    if best is None:
        raise EvidenceError("the pool has no price so far away", field="move", value=move)
    return best


def _push(pool: Pool, ticks: float) -> tuple[float, float] | None:
    """Quote tokens' worth brought, and lost at the price before, to move the pool by so many ticks in one sale."""
    curve = pool.curve
    away = math.ceil(abs(ticks))
    target = curve.tick + away if ticks > 0 else curve.tick - away
    if abs(target) > LARGEST_TICK:
        return None
    limit = min(max(sqrt_price_at(target), LOWEST + 1), HIGHEST - 1)
    down = ticks < 0
    swap = sell(curve, 2**128, zero_for_one=down, limit=limit)
    if swap.sqrt_price != limit:
        return None
    base_sold = down == pool.base_is_token0
    base, quote = 10**pool.base_decimals, 10**pool.quote_decimals
    if base_sold:
        brought, got = swap.sold / base * pool.price, swap.bought / quote
    else:
        brought, got = swap.sold / quote, swap.bought / base * pool.price
    return brought, brought - got


def moving_costs(
    node: Node, address: str, base: str, move: float, window: int, block_time: int, block: Block
) -> Mapping[str, float]:
    """What moving the average up and down by a fraction costs at a block, as rows of `Kind.SAFETY` name it.

    A direction in which the pool has no price so far away has no rows.
    """
    pool = read_pool(node, address, base, block.number)
    found: dict[str, float] = {}
    for name, signed in (("up", move), ("down", -move)):
        try:
            cheapest = manipulation_cost(pool, signed, window, block_time=block_time)
        except EvidenceError:
            continue
        found |= {f"cost_{name}": cheapest.cost, f"capital_{name}": cheapest.capital, f"blocks_{name}": cheapest.blocks}
    return found
