"""The depth of a Uniswap v3 pool as a book: what it gives between one price and the next, by exact sales."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from oracle_adapters.anchor import BlockAnchor
from oracle_adapters.feed import COLUMNS, Chunk, FeedSpec, Kind
from oracle_adapters.pool_tokens import Meant, read_tokens
from oracle_adapters.rpc import Block, Node
from oracle_adapters.sampled import require_answer
from oracle_adapters.uniswap_math import HIGHEST, LOWEST, sell
from oracle_adapters.uniswap_v3 import Pool, read_pool
from risk.artifact import Table
from risk.errors import DataError

MOVES = np.geomspace(0.0005, 0.6, 32)
"""Falls of the price between which levels lie."""
_EVERYTHING = 2**128


def pool_levels(pool: Pool, at: int) -> list[tuple[object, ...]]:
    """Rows of depth: a level is all that is traded between two falls of the price, at its mean price, fee included.

    What a sale gets is exact at the end of each level.

    Parameters
    ----------
    at
        Unix seconds of the rows.
    """
    rows: list[tuple[object, ...]] = []
    base, quote = 10**pool.base_decimals, 10**pool.quote_decimals
    for side in ("ask", "bid"):
        down = (side == "bid") == pool.base_is_token0
        sold_before = got_before = level = 0
        for move in MOVES.tolist():
            root = (1 - move) ** (0.5 if down else -0.5)
            limit = min(max(int(pool.curve.sqrt_price * root), LOWEST + 1), HIGHEST - 1)
            swap = sell(pool.curve, _EVERYTHING, zero_for_one=down, limit=limit)
            sold, got = swap.sold - sold_before, swap.bought - got_before
            if sold <= 0 or got <= 0:
                continue
            size, paid = (sold / base, got / quote) if side == "bid" else (got / base, sold / quote)
            rows.append((at, side, level, at, paid / size, size))
            sold_before, got_before, level = swap.sold, swap.bought, level + 1
    return rows


class PoolDepth(BlockAnchor):
    """The feed of a pool's depth, at multiples of an interval.

    ``unanswered`` counts samples before the pool was there, or had a price.

    Parameters
    ----------
    spec
        What the feed is about; its interval is that of the samples.
    node
        Where the pool is read. For the past it must be an archive node.
    address, base
        Of the pool, and of the token that is priced.
    since
        Unix seconds before which nothing is sampled; None for the last sampling time only.
    meant
        What the pool's tokens are held against.
    """

    def __init__(
        self, spec: FeedSpec, node: Node, address: str, base: str, *, since: int | None, meant: Meant | None = None
    ) -> None:
        self._spec, self._node, self._address, self._base, self._since = spec, node, address, base, since
        self._meant = meant

    @property
    def spec(self) -> FeedSpec:
        """What the feed is about."""
        return self._spec

    def facts(self) -> Mapping[str, str]:
        """The last final block, and the pool's fee and price there."""
        block = self._node.final_block()
        pool = self._read(block)
        return {"block": str(block.number), "fee": str(pool.curve.fee), "price": str(pool.price)}

    def fetch(self, start: int, stop: int) -> Iterator[Chunk]:
        """Samples from `start` on and before `stop`, as far as blocks are final, a chunk each.

        Raises
        ------
        DataError
            When the contract is no such pool.
        ReorganizedError
            When the chain was reorganised meanwhile.
        """
        top, block, interval = self._node.final_block(), self._node.block(0), self._spec.interval
        require_answer(self._checked, self._node, self._spec, stop, top)
        since = top.time // interval * interval if self._since is None else self._since
        first = -(-max(start, since, block.time) // interval) * interval
        for time in range(first, min(stop, top.time + 1), interval):
            block = self._node.block_at(time, low=block.number, high=top)
            yield self._sample(block, time)
        self._node.verify(top)
        self._read_to = top

    def _sample(self, block: Block, time: int) -> Chunk:
        try:
            rows = pool_levels(self._read(block), time)
        except DataError:
            return Chunk(Kind.DEPTH, Table.from_rows(COLUMNS[Kind.DEPTH], ()), {"unanswered": 1})
        return Chunk(Kind.DEPTH, Table.from_rows(COLUMNS[Kind.DEPTH], rows))

    def _read(self, block: Block) -> Pool:
        return read_pool(self._node, self._address, self._base, block.number)

    def _checked(self, block: Block) -> None:
        tokens = read_tokens(self._node, self._address, self._base, block.number)
        if self._meant is not None:
            self._meant.refuse_others(self._node, self._address, self._base, tokens, block.number)
        self._read(block)
