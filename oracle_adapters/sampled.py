"""What a contract tells at any block, sampled at multiples of an interval.

A contract that does not answer was not there yet, which is counted; one that does not answer at the end of what is
read either is the wrong one, and refused by name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from oracle_adapters.anchor import BlockAnchor
from oracle_adapters.feed import COLUMNS, Chunk, FeedSpec, Kind
from oracle_adapters.rpc import Block, Node
from risk.artifact import Table
from risk.errors import DataError

Read = Callable[[Block], float | str]
"""A price at a block, or the name of what is wrong with it, under which it is left out and counted.

Raises a `DataError` where the contract does not answer, or not as the settings say.
"""


def require_answer(read: Callable[[Block], object], node: Node, spec: FeedSpec, stop: int, top: Block) -> None:
    """Refuse a contract that answers neither at the last final block nor at the last one before `stop`.

    One that answers at either may have come, or gone, in between.

    Raises
    ------
    DataError
        Names contract, feed, function and reason.
    """
    try:
        read(top)
    except DataError as error:
        try:
            if stop > top.time:
                raise
            read(node.block_at(max(stop - 1, node.block(0).time), high=top))
        except DataError:
            error.file = f"{spec.id}: {error.file}"
            raise error from None


class SampledPrices(BlockAnchor):
    """A feed of prices read at the last block at or before each sampling time; what is wrong is left out and counted.

    ``unanswered`` counts samples at which the contract was not there yet.

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
        DataError
            When the contract is another one than the settings say.
        ReorganizedError
            When the chain was reorganised meanwhile.
        """
        top, block = self._node.final_block(), self._node.block(0)
        require_answer(self._read, self._node, self._spec, stop, top)
        counted: Counter[str] = Counter()
        rows: list[tuple[object, ...]] = []
        interval = self._spec.interval
        first = -(-max(start, self._since, block.time) // interval) * interval
        for time in range(first, min(stop, top.time + 1), interval):
            block = self._node.block_at(time, low=block.number, high=top)
            value = self._sample(block)
            if isinstance(value, str):
                counted[value] += 1
            elif not (np.isfinite(value) and value > 0):
                counted["nonpositive"] += 1
            else:
                rows.append((time, "close", time, value))
        self._node.verify(top)
        self._read_to = top
        yield Chunk(Kind.PRICE, Table.from_rows(COLUMNS[Kind.PRICE], rows), dict(counted))

    def _sample(self, block: Block) -> float | str:
        try:
            return self._read(block)
        except DataError:
            return "unanswered"


Figures = Callable[[Block], Mapping[str, float]]
"""Figures at a block by name; raises a `DataError` where the contract does not answer."""


class SampledFigures(BlockAnchor):
    """The feed of what a contract's state says of an oracle's safety, at the last sampling time.

    Parameters
    ----------
    spec
        What the feed is about; sampling times are multiples of its interval.
    node
        Where the contract is read.
    read
        Reads the contract.
    """

    def __init__(self, spec: FeedSpec, node: Node, read: Figures) -> None:
        self._spec, self._node, self._read = spec, node, read

    @property
    def spec(self) -> FeedSpec:
        """What the feed is about."""
        return self._spec

    def facts(self) -> Mapping[str, str]:
        """The last final block, and what is read there."""
        block = self._node.final_block()
        return {"block": str(block.number)} | {name: str(value) for name, value in self._read(block).items()}

    def fetch(self, start: int, stop: int) -> Iterator[Chunk]:
        """The figures of the last sampling time that is final, where it lies within the span.

        Raises
        ------
        DataError
            When the contract does not answer.
        ReorganizedError
            When the chain was reorganised meanwhile.
        """
        top = self._node.final_block()
        require_answer(self._read, self._node, self._spec, stop, top)
        time = top.time // self._spec.interval * self._spec.interval
        if start <= time < stop:
            yield self._sample(time, top)
        self._node.verify(top)
        self._read_to = top

    def last(self, instant: int) -> Chunk:
        """The figures of the last sampling time at or before an instant; raises like `fetch`."""
        top = self._node.final_block()
        require_answer(self._read, self._node, self._spec, instant + 1, top)
        interval = self._spec.interval
        chunk = self._sample(min(instant, top.time) // interval * interval, top)
        self._node.verify(top)
        return chunk

    def _sample(self, time: int, top: Block) -> Chunk:
        schema = COLUMNS[Kind.SAFETY]
        if time < self._node.block(0).time:
            return Chunk(Kind.SAFETY, Table.from_rows(schema, ()), {"unanswered": 1})
        try:
            found = self._read(self._node.block_at(time, high=top))
        except DataError:
            return Chunk(Kind.SAFETY, Table.from_rows(schema, ()), {"unanswered": 1})
        return Chunk(Kind.SAFETY, Table.from_rows(schema, [(time, name, time, found[name]) for name in sorted(found)]))
