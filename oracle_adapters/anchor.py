"""What a source said must still hold when a fetch goes on: for a chain, the last block that was read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from oracle_adapters.rpc import Block, Node, ReorganizedError
from risk.errors import DataError


@runtime_checkable
class Anchored(Protocol):
    """A feed whose source can take back what it gave, and that can tell when it did."""

    def anchor(self) -> Mapping[str, Any] | None:
        """What must still hold later of what was fetched; None before a fetch."""
        ...

    def hold(self, anchor: Mapping[str, Any]) -> None:
        """Raise where what an earlier fetch relied on does not hold any more."""
        ...


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Prices that a source gave and that count no more: those about ``first <= observed_at < stop``, from when on."""

    first: int
    stop: int
    known_at: int


@runtime_checkable
class Withdrawing(Protocol):
    """A feed that may learn later that prices it gave were not to be used."""

    def withdrawals(self) -> Sequence[Withdrawal]:
        """Of the time before the end of the last fetch."""
        ...


class BlockAnchor:
    """The part of a feed over a node that remembers the last block read, and checks an earlier one by its hash."""

    _node: Node
    _read_to: Block | None = None

    def anchor(self) -> Mapping[str, Any] | None:
        """Number, hash and time of the last block of the last fetch that ended well."""
        seen = self._read_to
        return None if seen is None else {"number": seen.number, "hash": seen.hash, "time": seen.time}

    def hold(self, anchor: Mapping[str, Any]) -> None:
        """Check that the block that an earlier fetch read last is still part of the chain.

        Raises
        ------
        DataError
            When another block took its place: the reorganisation went deeper than the confirmations. When the
            anchor cannot be read.
        NodeBehindError
            When the node has not reached it.
        """
        try:
            block = Block(int(anchor["number"]), str(anchor["hash"]), int(anchor["time"]))
        except (KeyError, TypeError, ValueError):
            raise DataError("the anchor of a feed is damaged", value=dict(anchor), remedy=REMEDY) from None
        try:
            self._node.verify(block)
        except ReorganizedError as error:
            raise DataError(
                f"a reorganisation deeper than the {self._node.confirmations} confirmations: {error.message}",
                value=error.value,
                remedy=REMEDY,
            ) from None


REMEDY = "Remove the feed's folder from the store and fetch it again, with more confirmations"
