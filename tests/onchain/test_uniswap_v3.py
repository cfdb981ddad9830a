"""A Uniswap v3 pool that traded: the same amounts as its own swaps, the same average, and what moving it costs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from web3.utils.address import get_create_address

from oracle_adapters.feed import FeedSpec, Kind, collect
from oracle_adapters.manipulation import manipulation_cost
from oracle_adapters.uniswap_math import HIGHEST, LOWEST, Curve, sell, sqrt_price_at
from oracle_adapters.uniswap_v3 import (
    Pool,
    mean_tick,
    pool_twap,
    read_pool,
)
from risk.errors import DataError, EvidenceError
from tests.onchain.chains import STEP, AnvilChain, Chain, own
from tests.onchain.deploy import Uniswap
from tests.onchain.pool_curve import liquidity_curve
from tests.oracle_adapters.contract import check_feed

SPACING = 60


@pytest.fixture
def market(real_chain: AnvilChain) -> Uniswap:
    """A pool of ether at 2000 dollars with a wide and two narrow positions, that traded both ways."""
    found = Uniswap(real_chain, ("WETH", 18), ("USDC", 6), 2000.0)
    tick = found.pool.functions.slot0().call()[1]
    center = tick // SPACING * SPACING
    found.provide(1000 * 10**18, 2_000_000 * 10**6)
    found.provide(400 * 10**18, 800_000 * 10**6, center - 600, center + 600)
    found.provide(100 * 10**18, 200_000 * 10**6, center - 6000, center + 120)
    for turn in range(12):
        real_chain.warp(60)
        if turn % 3 == 2:
            found.swap(found.base, found.quote, 15 * 10**18)
        else:
            found.swap(found.quote, found.base, 20_000 * 10**6)
    return found


def view(chain: Chain, market: Uniswap) -> Pool:
    return read_pool(chain.node(), market.pool.address, market.base.address, chain.number)


@pytest.mark.chain
@pytest.mark.parametrize("of_base", [True, False])
def test_a_sale_gives_what_the_pool_gives(real_chain: AnvilChain, market: Uniswap, of_base: bool) -> None:
    """From one unit to more than the narrow positions hold: equal to the last unit, price after it included."""
    pool = view(real_chain, market)
    sold, bought = (market.base, market.quote) if of_base else (market.quote, market.base)
    down = of_base == pool.base_is_token0
    largest = 21 if of_base else 13
    for amount in sorted({int(10 ** (largest * i / 40)) + i for i in range(41)}):
        ours = sell(pool.curve, amount, zero_for_one=down)
        before = real_chain.snapshot()
        got = market.swap(sold, bought, amount)
        after = market.pool.functions.slot0().call()[0]
        real_chain.revert(before)
        assert (ours.sold, ours.bought, ours.sqrt_price) == (amount, got, after)


@pytest.mark.chain
def test_a_pool_is_read_at_past_blocks(real_chain: AnvilChain, market: Uniswap) -> None:
    node, block = real_chain.node(), real_chain.number
    before = read_pool(node, market.pool.address, market.base.address, block)
    market.swap(market.base, market.quote, 200 * 10**18)
    assert read_pool(node, market.pool.address, market.base.address, block) == before
    assert view(real_chain, market).price < 0.98 * before.price


@pytest.mark.chain
def test_both_sides_of_a_pool_see_one_price(real_chain: AnvilChain, market: Uniswap) -> None:
    """Whichever token sorts first: the price of ether is near 2000, and that of dollars its inverse."""
    ether = view(real_chain, market)
    dollars = read_pool(real_chain.node(), market.pool.address, market.quote.address, real_chain.number)
    assert 1900 < ether.price < 2300
    assert dollars.price == pytest.approx(1 / ether.price, rel=1e-12)
    assert dollars.base_is_token0 is not ether.base_is_token0
    with pytest.raises(DataError, match="does not trade the token"):
        read_pool(real_chain.node(), market.pool.address, market.pool.address, real_chain.number)


@pytest.mark.chain
def test_the_average_is_that_of_the_pools_ticks(real_chain: AnvilChain, market: Uniswap) -> None:
    """Beside the mean of the ticks that the pool stood at, second by second, from its own past blocks."""
    node, number = real_chain.node(), real_chain.number
    now, window = node.block(number).time, 600
    seconds = np.empty(window)
    for n in range(number + 1):
        block = node.block(n)
        if node.code(market.pool.address, n):
            tick = market.pool.functions.slot0().call(block_identifier=n)[1]
            seconds[max(block.time - (now - window), 0) :] = tick
    assert mean_tick(node, market.pool.address, window, number) == math.floor(seconds.mean())
    with pytest.raises(DataError, match="no observations of 1000000 s"):
        mean_tick(node, market.pool.address, 10**6, number)
    spec = FeedSpec(Kind.PRICE, "ETH", "USDC", "uniswap", 60)
    feed = pool_twap(spec, node, market.pool.address, market.base.address, window=120)
    check_feed(feed)
    assert collect(feed).counted["unanswered"] > 0


@pytest.mark.chain
def test_the_impact_curve_is_that_of_real_swaps(real_chain: AnvilChain, market: Uniswap) -> None:
    pool = view(real_chain, market)
    for sell_base, unit in ((True, pool.price), (False, 1.0)):
        curve = liquidity_curve(
            pool, "ETH", "USDC", usd_price=pool.price, largest=2_000_000.0, points=8, sell_base=sell_base
        )
        sold, bought = (market.base, market.quote) if sell_base else (market.quote, market.base)
        scales = (10**18, 10**6) if sell_base else (10**6, 10**18)
        for size, impact in zip(curve.size_usd.tolist(), curve.impact.tolist(), strict=True):
            before = real_chain.snapshot()
            got = market.swap(sold, bought, int(size / unit * scales[0])) / scales[1]
            real_chain.revert(before)
            fair = size if sell_base else size / pool.price
            # Beside floats, the amounts are cut to a unit: 1e-6 of a dollar in the smallest sale of 200.
            assert impact == pytest.approx(1 - got / fair, abs=1e-8)
        assert curve.impact[0] == pytest.approx(0.003, abs=2e-4), "the fee"


@pytest.mark.chain
def test_a_sale_beyond_the_pool_ends_the_curve(real_chain: AnvilChain) -> None:
    market = Uniswap(real_chain, ("WETH", 18), ("USDC", 6), 2000.0)
    center = market.pool.functions.slot0().call()[1] // SPACING * SPACING
    market.provide(100 * 10**18, 200_000 * 10**6, center - 600, center + 600)
    curve = liquidity_curve(view(real_chain, market), "ETH", "USDC", usd_price=2000.0, largest=10_000_000.0)
    assert 50_000 < curve.size_usd[-1] < 210_000
    assert curve.impact[-1] < 0.1


def made(chain: Chain, *, inverted: bool, symbols: tuple[str, str] = ("A", "B")) -> tuple[Any, Any, Any]:
    """Our own pool with a wide and a narrow position at a price of 2000, its base and its quote."""
    sender, nonce = chain.accounts[0], chain.web3.eth.get_transaction_count(chain.accounts[0])
    places = [int(get_create_address(sender, nonce + n), 16) for n in range(2)]
    named = symbols if (places[0] < places[1]) is not inverted else symbols[::-1]
    tokens = [chain.deploy(own("token"), name, name, 18) for name in named]
    token0, token1 = sorted(tokens, key=lambda one: int(one.address, 16))
    base, quote = (token1, token0) if inverted else (token0, token1)
    tick = -76_013 if inverted else 76_012
    pool = chain.deploy(own("pool"), token0.address, token1.address, 3000, SPACING, sqrt_price_at(tick), tick)
    center = tick // SPACING * SPACING
    chain.send(pool.functions.add(-887_220, 887_220, 10**22))
    chain.send(pool.functions.add(center - 600, center + 660, 5 * 10**22))
    return pool, base, quote


@pytest.mark.parametrize("inverted", [False, True])
def test_what_was_put_into_a_pool_is_read_back(chain: Chain, inverted: bool) -> None:
    pool, base, _ = made(chain, inverted=inverted)
    found = read_pool(chain.node(), pool.address, base.address, chain.number)
    center = found.curve.tick // SPACING * SPACING
    assert found.curve.ticks == {
        -887_220: 10**22, center - 600: 5 * 10**22, center + 660: -5 * 10**22, 887_220: -(10**22),
    }  # fmt: skip
    assert found.curve.liquidity == 6 * 10**22
    assert found.price == pytest.approx(2000.0, rel=2e-4)
    assert found.base_is_token0 is not inverted


@pytest.mark.parametrize("inverted", [False, True])
def test_the_average_rounds_down_also_below_zero(chain: Chain, inverted: bool) -> None:
    pool, base, _ = made(chain, inverted=inverted)
    tick = pool.functions.slot0().call()[1]
    for move in (7, -4):
        chain.warp(600)
        chain.send(pool.functions.move(sqrt_price_at(tick + move), tick + move))
    chain.warp(301)
    node, now = chain.node(), chain.now()
    total, at = 0, now - 700
    blocks = [n for n in range(chain.number + 1) if node.code(pool.address, n)]
    ticks = [(node.block(n).time, pool.functions.slot0().call(block_identifier=n)[1]) for n in blocks]
    for second in range(at, now):
        total += next(t for time, t in reversed(ticks) if time <= second)
    assert mean_tick(node, pool.address, 700, chain.number) == math.floor(total / 700)
    spec = FeedSpec(Kind.PRICE, "A", "B", "uniswap", 300)
    price = collect(pool_twap(spec, node, pool.address, base.address, window=300)).rows["value"]
    assert price[-1] == pytest.approx(2000.0, rel=1e-3)


def test_square_root_prices_are_the_pools_own() -> None:
    """The ends as the pool's contract has them, and at every tick tried the real number to its rounding."""
    assert (sqrt_price_at(-887_272), sqrt_price_at(887_272)) == (LOWEST, HIGHEST)
    assert sqrt_price_at(0) == 2**96
    for tick in range(-887_000, 887_001, 6171):
        assert sqrt_price_at(tick) == pytest.approx(1.0001 ** (tick / 2) * 2**96, rel=1e-9)


FLAT = Pool("0x", True, 18, 18, Curve(sqrt_price_at(0), 0, 10**24, 0, SPACING, {-887_220: 10**24, 887_220: -(10**24)}))


@given(st.floats(1e-6, 1e6), st.booleans())
def test_without_a_fee_a_full_range_is_a_constant_product(amount: float, base: bool) -> None:
    """Reserves of a million each: out = amount * R / (R + amount)."""
    sold, got = FLAT.sell_base(amount) if base else FLAT.sell_quote(amount)
    assert sold == pytest.approx(amount, abs=1e-17, rel=1e-12)
    assert got == pytest.approx(amount * 1e6 / (1e6 + amount), rel=1e-10, abs=1e-17)


@given(st.integers(1, 10**30), st.integers(1, 10**30))
def test_a_larger_sale_gets_more_at_a_worse_price(one: int, other: int) -> None:
    small, large = sorted((one, other))
    first, second = (sell(FLAT.curve, amount, zero_for_one=True) for amount in (small, large))
    assert first.bought <= second.bought
    assert first.sqrt_price >= second.sqrt_price
    assert first.bought * second.sold >= second.bought * (first.sold - 1) - second.sold


@pytest.mark.parametrize("move", [0.1, -0.1, 0.5])
def test_moving_an_average_costs_what_the_formula_says(move: float) -> None:
    """A constant product with reserve R in quote: the price at p times its own loses R (sqrt p - 1)^2 / sqrt p."""
    window = 1800
    expected = []
    for blocks in range(1, window // 12 + 1):
        away = (1 + move) ** (window / (12 * blocks))
        if abs(math.log(away)) < 87:
            root = math.sqrt(away)
            expected.append((blocks * 1e6 * (root - 1) ** 2 / root, blocks))
    cost, blocks = min(expected)
    found = manipulation_cost(FLAT, move, window)
    assert found.blocks == blocks
    assert found.cost == pytest.approx(cost, rel=2e-3), "a tick is rounded away from the price"


def test_a_longer_average_costs_more_and_an_impossible_move_is_refused() -> None:
    costs = [manipulation_cost(FLAT, 0.2, window).cost for window in (12, 300, 1800)]
    assert costs == sorted(costs)
    for move in (0.0, -1.0, -2.0, float("nan")):
        with pytest.raises(DataError):
            manipulation_cost(FLAT, move, 300)
    with pytest.raises(EvidenceError):
        manipulation_cost(FLAT, 1e300, STEP)
