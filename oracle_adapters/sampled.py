"""Prices that a contract tells at any block, sampled at multiples of an interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from oracle_adapters.anchor import BlockAnchor
from oracle_adapters.feed import COLUMNS, Chunk, FeedSpec, Kind
from oracle_adapters.rpc import Block, Node
from risk.artifact import Table

Read = Callable[[Block], float | str]
"""A price at a block, or the name of what is wrong with it, under which it is left out and counted."""


class SampledPrices(BlockAnchor):
    """A feed of prices read at the last block at or before each sampling time; what is wrong is left out and counted.

    Parameters
    ----------
    spec
        What the feed is about; its interval is that of the samples.
    node
        Where the contract is read. For the past it must be an archive node.
    read
        Reads the contract.
    since
        Unix seconds before which nothing is sampled.
    """

    def __init__(self, spec: FeedSpec, node: Node, read: Read, *, since: int = 0) -> None:
        self._spec, self._node, self._read, self._since = spec, node, read, since

    @property
    def spec(self) -> FeedSpec:
        """What the feed is about."""
        return self._spec

    @property
    def declared_heartbeat(self) -> int | None:
        """None: what a contract holds need not change."""
        return None

    @property
    def node(self) -> Node:
        """Where it is read."""
        return self._node

    def facts(self) -> Mapping[str, str]:
        """The last final block, and what is read there."""
        block = self._node.final_block()
        return {"block": str(block.number), "block_hash": block.hash, "value": str(self._read(block))}

    def fetch(self, start: int, stop: int) -> Iterator[Chunk]:
        """Samples from `start` on and before `stop`, as far as blocks are final, in one chunk.

        Raises
        ------
        ReorganizedError
            When the chain was reorganised meanwhile.
        """
        top, block = self._node.final_block(), self._node.block(0)
        counted: Counter[str] = Counter()
        rows: list[tuple[object, ...]] = []
        interval = self._spec.interval
        first = -(-max(start, self._since, block.time) // interval) * interval
        for time in range(first, min(stop, top.time + 1), interval):
            block = self._node.block_at(time, low=block.number, high=top)
            value = self._read(block)
            if isinstance(value, str):
                counted[value] += 1
            elif not (np.isfinite(value) and value > 0):
                counted["nonpositive"] += 1
            else:
                rows.append((time, "close", time, value))
        self._node.verify(top)
        self._read_to = top
        yield Chunk(Kind.PRICE, Table.from_rows(COLUMNS[Kind.PRICE], rows), dict(counted))
