"""Prices of a Pyth contract: price, confidence and exponent as integers, published at a time of its own.

Pyth is pulled: a contract holds what somebody last brought there, which may be hours old. How old is too old is
therefore part of a read.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from oracle_adapters.contract_call import Call
from oracle_adapters.feed import FeedSpec
from oracle_adapters.rpc import Block, Node
from oracle_adapters.sampled import SampledPrices
from risk.errors import DataError

UNSAFE = "getPriceUnsafe(bytes32)((int64,uint64,int32,uint256))"
NOT_FOUND = "0x14aebe68"
"""Selector of ``PriceFeedNotFound()``."""


@dataclass(frozen=True, slots=True)
class PythPrice:
    """What a Pyth contract held at a block.

    Attributes
    ----------
    price, confidence
        Exact; the true price lies within the confidence with the probability of one standard deviation.
    exponent
        Power of ten that the contract's integers were scaled by.
    published_at, read_at
        Unix seconds of the price, and of the block.
    """

    price: Decimal
    confidence: Decimal
    exponent: int
    published_at: int
    read_at: int

    @property
    def age(self) -> int:
        """Seconds between the price and the block; publishers' clocks may run ahead, and then it is zero."""
        return max(self.read_at - self.published_at, 0)


def read_pyth(node: Node, address: str, price_id: str, block: Block) -> PythPrice:
    """What the contract holds of a feed, however old.

    Parameters
    ----------
    price_id
        ``0x`` and 64 hexadecimal digits.

    Raises
    ------
    DataError
        When the contract knows no such feed, or is none of Pyth's.
    """
    result = node.call(Call(address, UNSAFE, (bytes.fromhex(price_id.removeprefix("0x")),)), block.number)
    if result.reason == NOT_FOUND:
        raise DataError(
            "the Pyth contract knows no such feed", file=f"contract {address}", field="price_id", value=price_id,
            remedy="Check the price id and the chain; a feed that nobody has brought there yet is unknown too",
        )  # fmt: skip
    price, confidence, exponent, published = result.value
    return PythPrice(_scaled(price, exponent), _scaled(confidence, exponent), exponent, published, block.time)


def pyth_prices(
    spec: FeedSpec, node: Node, address: str, price_id: str, *, max_age: int, max_confidence: float, since: int = 0
) -> SampledPrices:
    """Samples of a Pyth price.

    Left out and counted are prices ``stale``, older than `max_age` seconds at their block, as a contract that calls
    ``getPriceNoOlderThan`` would have been refused them; ``uncertain``, of a confidence above `max_confidence` as a
    fraction of the price.
    """

    def read(block: Block) -> float | str:
        found = read_pyth(node, address, price_id, block)
        if found.age > max_age:
            return "stale"
        if found.price > 0 and found.confidence > Decimal(max_confidence) * found.price:
            return "uncertain"
        return float(found.price)

    return SampledPrices(spec, node, read, since=since)


def _scaled(value: int, exponent: int) -> Decimal:
    digits = tuple(int(digit) for digit in str(abs(value)))
    return Decimal((int(value < 0), digits, exponent))
