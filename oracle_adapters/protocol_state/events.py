"""Events of contracts, written as in their source, and the last change of each value that they tell of."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from oracle_adapters.contract_call import event_topic
from oracle_adapters.rpc import Log
from risk.errors import DataError


@dataclass(frozen=True)
class Event:
    """An event, e.g. ``SupplyCapChanged(address indexed asset,uint256,uint256 supply_cap)``.

    Arguments are written type, ``indexed`` where they are, and name; one without a name is not read.
    """

    text: str

    @cached_property
    def _arguments(self) -> list[tuple[str, bool, str]]:
        parts = [part.split() for part in self.text[self.text.index("(") + 1 : -1].split(",")]
        return [
            (words[0], "indexed" in words, words[-1] if len(words) > 1 and words[-1] != "indexed" else "")
            for words in parts
        ]

    @cached_property
    def topic(self) -> bytes:
        """First topic of its logs."""
        types = ",".join(kind for kind, _, _ in self._arguments)
        return event_topic(f"{self.text.partition('(')[0]}({types})")

    def read(self, log: Log) -> dict[str, Any]:
        """Values by name; addresses in lower case.

        Raises
        ------
        DataError
            When the log's data are not those of the event.
        """
        from eth_abi.abi import decode
        from eth_abi.exceptions import DecodingError

        inside = [kind for kind, indexed, _ in self._arguments if not indexed]
        topics = iter(log.topics[1:])
        try:
            data = iter(decode(inside, log.data))
            values = [
                decode([kind], next(topics))[0] if indexed else next(data) for kind, indexed, _ in self._arguments
            ]
        except (DecodingError, StopIteration) as error:
            raise DataError(
                f"a log is not of the event {self.text.partition('(')[0]}",
                file=f"contract {log.address}",
                field=f"block {log.block}, log {log.index}",
                remedy="Check the contract's address",
            ) from error
        return {name: value for (_, _, name), value in zip(self._arguments, values, strict=True) if name}


@dataclass(frozen=True, slots=True)
class LastChange:
    """The value that a thing has had since a block."""

    value: Any
    block: int


def last_changes(entries: Iterable[tuple[int, Hashable, Any]]) -> Mapping[Hashable, LastChange]:
    """Fold (block, thing, value) in the order of the chain; a value that is stated again is no change."""
    last: dict[Hashable, LastChange] = {}
    for block, thing, value in entries:
        if thing not in last or last[thing].value != value:
            last[thing] = LastChange(value, block)
    return last
