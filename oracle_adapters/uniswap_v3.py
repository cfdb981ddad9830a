"""A Uniswap v3 pool: its time-weighted price, and its liquidity by price."""

from __future__ import annotations

from dataclasses import dataclass

from oracle_adapters.contract_call import Call
from oracle_adapters.feed import FeedSpec
from oracle_adapters.pool_tokens import Meant, Tokens, read_tokens
from oracle_adapters.rpc import Block, Node
from oracle_adapters.sampled import SampledPrices
from oracle_adapters.uniswap_math import LARGEST_TICK, Curve, sell
from risk.errors import DataError

SLOT0 = "slot0()(uint160,int24,uint16,uint16,uint16,uint8,bool)"
TICK = "ticks(int24)(uint128,int128,uint256,uint256,int56,uint160,uint32,bool)"
OBSERVE = "observe(uint32[])(int56[],uint160[])"
_WORD = 256


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool as it stood at a block, seen from the token that is priced.

    Attributes
    ----------
    address
        Of the pool.
    base_is_token0
        Whether the priced token is token0; tokens are sorted by address, so a price may be upside down.
    base_decimals, quote_decimals
        Of the two tokens.
    curve
        Its liquidity by price.
    """

    address: str
    base_is_token0: bool
    base_decimals: int
    quote_decimals: int
    curve: Curve

    @property
    def price(self) -> float:
        """Quote tokens a base token at the margin, without the fee."""
        return self._price((self.curve.sqrt_price / 2**96) ** 2)

    def price_at(self, tick: float) -> float:
        """Quote tokens a base token at a tick."""
        return self._price(1.0001**tick)

    def sell_base(self, amount: float) -> tuple[float, float]:
        """Sell whole base tokens: what was sold (less than offered if the pool runs out) and quote tokens got."""
        return self._trade(amount, base=True)

    def sell_quote(self, amount: float) -> tuple[float, float]:
        """Sell whole quote tokens: what was sold, and base tokens got."""
        return self._trade(amount, base=False)

    def _trade(self, amount: float, *, base: bool) -> tuple[float, float]:
        given, got = self.base_decimals, self.quote_decimals
        if not base:
            given, got = got, given
        swap = sell(self.curve, int(amount * 10**given), zero_for_one=base == self.base_is_token0)
        return swap.sold / 10**given, swap.bought / 10**got

    def _price(self, raw: float) -> float:
        scale = 10.0 ** (self.base_decimals - self.quote_decimals)
        return raw * scale if self.base_is_token0 else scale / raw


def read_pool(node: Node, address: str, base: str, block: int) -> Pool:
    """A pool with all its liquidity, read at one block.

    Parameters
    ----------
    base
        Address of the token that is priced.

    Raises
    ------
    DataError
        When the contract is no pool, or not one of the base token.
    """
    tokens = read_tokens(node, address, base, block)
    names = ("fee()(uint24)", "tickSpacing()(int24)", "liquidity()(uint128)")
    results = node.calls([Call(address, name) for name in (*names, SLOT0)], block)
    fee, spacing, liquidity = (int(result.value) for result in results[:3])
    sqrt_price, tick = results[3].values[:2]
    if not sqrt_price:
        raise DataError("the pool has no price yet", file=f"contract {address}")
    ticks = _ticks(node, address, spacing, block)
    curve = Curve(sqrt_price, tick, liquidity, fee, spacing, ticks)
    return Pool(address, tokens.base_is_token0, tokens.base_decimals, tokens.quote_decimals, curve)


def _ticks(node: Node, address: str, spacing: int, block: int) -> dict[int, int]:
    """Net liquidity by initialised tick, found through the bitmap of all ticks that a pool may have."""
    lowest, highest = -(LARGEST_TICK // spacing), LARGEST_TICK // spacing
    words = range(lowest // _WORD, highest // _WORD + 1)
    bitmaps = node.calls([Call(address, "tickBitmap(int16)(uint256)", (word,)) for word in words], block)
    found = [
        (word * _WORD + bit) * spacing
        for word, bitmap in zip(words, (one.value for one in bitmaps), strict=True)
        for bit in range(_WORD)
        if bitmap >> bit & 1
    ]
    nets = node.calls([Call(address, TICK, (tick,)) for tick in found], block)
    return {tick: int(one.values[1]) for tick, one in zip(found, nets, strict=True)}


def mean_tick(node: Node, address: str, window: int, block: int) -> int:
    """Time-weighted mean tick over the window before a block, rounded down as the pool's own library does.

    Parameters
    ----------
    window
        Seconds.

    Raises
    ------
    DataError
        When the contract is no pool, or keeps no observation that old: its cardinality was not raised, or it is
        younger.
    """
    result = node.call(Call(address, OBSERVE, ([window, 0],)), block)
    if result.reason == "OLD":
        raise DataError(
            f"{result.call} failed: the pool keeps no observations of {window} s",
            file=f"contract {address}",
            field="window",
            value=window,
            remedy="Raise its cardinality with increaseObservationCardinalityNext, or take a shorter window",
        )
    (then, now), _ = result.values
    return int((now - then) // window)


def pool_twap(
    spec: FeedSpec, node: Node, address: str, base: str, *, window: int, since: int = 0, meant: Meant | None = None
) -> SampledPrices:
    """Samples of a pool's time-weighted price; ``unanswered`` where the pool keeps no observations that old.

    Parameters
    ----------
    meant
        What the pool's tokens are held against, once.
    """
    known: list[Tokens] = []

    def read(block: Block) -> float:
        tick = mean_tick(node, address, window, block.number)
        if not known:
            tokens = read_tokens(node, address, base, block.number)
            if meant is not None:
                meant.refuse_others(node, address, base, tokens, block.number)
            known.append(tokens)
        tokens = known[0]
        empty = Curve(0, 0, 0, 0, 1, {})
        return Pool(address, tokens.base_is_token0, tokens.base_decimals, tokens.quote_decimals, empty).price_at(tick)

    return SampledPrices(spec, node, read, since=since)
