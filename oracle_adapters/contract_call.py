"""One read of a contract, written as people write it: ``balanceOf(address)(uint256)`` and its arguments.

What comes back is a result, never an exception: a contract that reverts has answered, and its answer counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils.crypto import keccak

from risk.errors import DataError, DefectError

MULTICALL3 = "0xcA11bde05977b3631167028862bE2a173976CA11"
"""Address of Multicall3, the same on every chain that has it."""
NO_CONTRACT = "no contract answers there"
"""Reason of a call that came back empty though it should return something."""

_AGGREGATE3 = "aggregate3((address,bool,bytes)[])((bool,bytes)[])"
_ERROR, _PANIC = bytes.fromhex("08c379a0"), bytes.fromhex("4e487b71")


@dataclass(frozen=True, slots=True)
class Call:
    """A function of a contract with its arguments.

    Attributes
    ----------
    address
        Of the contract, ``0x`` and 40 hexadecimal digits.
    signature
        Name, types of the arguments, types of what is returned: ``getRoundData(uint80)(uint80,int256)``.
    arguments
        In the types of the signature: int, bool, bytes, str for an address, tuples.
    """

    address: str
    signature: str
    arguments: tuple[Any, ...] = ()

    @property
    def data(self) -> bytes:
        """Selector and encoded arguments."""
        selector, inputs, _ = parse_signature(self.signature)
        return selector + encode(inputs, self.arguments)

    def __str__(self) -> str:
        name = self.signature.partition("(")[0]
        shown = ("0x" + one.hex() if isinstance(one, bytes) else str(one) for one in self.arguments)
        return f"{name}({', '.join(shown)})"

    def read(self, data: bytes) -> Result:
        """The result in what the contract returned."""
        outputs = parse_signature(self.signature)[2]
        if not data and outputs:
            return Result(self, None, NO_CONTRACT, data)
        try:
            return Result(self, tuple(decode(outputs, data)), "", data)
        except DecodingError:
            return Result(self, None, "the answer is not of the expected type", data)

    def reverted(self, data: bytes) -> Result:
        """The result of a revert."""
        return Result(self, None, revert_reason(data), data)


@dataclass(frozen=True, slots=True)
class Result:
    """What a contract answered.

    Attributes
    ----------
    call
        What was asked.
    returned
        Values in the order of the signature; None when the call reverted or the answer could not be read.
    reason
        Why there are no values: the text of the revert, the selector of a custom error, or empty.
    data
        The raw answer, or the data of the revert.
    """

    call: Call
    returned: tuple[Any, ...] | None
    reason: str
    data: bytes

    @property
    def ok(self) -> bool:
        """Whether there are values."""
        return self.returned is not None

    @property
    def values(self) -> tuple[Any, ...]:
        """The values.

        Raises
        ------
        DataError
            When there are none: names contract, function and reason.
        """
        if self.returned is None:
            raise DataError(
                f"{self.call} failed: {self.reason or 'reverted without a reason'}",
                file=f"contract {self.call.address}",
                remedy="Check the address, the chain and what kind of contract it is",
            )
        return self.returned

    @property
    def value(self) -> Any:
        """The only value; raises like `values`."""
        (value,) = self.values
        return value


@lru_cache(maxsize=512)
def parse_signature(signature: str) -> tuple[bytes, tuple[str, ...], tuple[str, ...]]:
    """Selector, types of the arguments and types of what is returned."""
    name, brace, rest = signature.replace(" ", "").partition("(")
    inputs, after = _types(brace + rest)
    outputs, end = _types(after) if after else ((), "")
    if not name.isidentifier() or end:
        raise DefectError("not a signature", field="signature", value=signature)
    return keccak(text=f"{name}({','.join(inputs)})")[:4], inputs, outputs


def event_topic(signature: str) -> bytes:
    """First topic of an event, from ``AnswerUpdated(int256,uint256,uint256)``."""
    return bytes(keccak(text=signature))


def revert_reason(data: bytes) -> str:
    """Text of a revert; of a custom error its selector, of none an empty text."""
    try:
        if data[:4] == _ERROR:
            return str(decode(("string",), data[4:])[0])
        if data[:4] == _PANIC:
            return f"panic {decode(('uint256',), data[4:])[0]:#x}"
    except DecodingError:
        pass
    return "0x" + data[:4].hex() if data else ""


def aggregate(calls: Sequence[Call]) -> Call:
    """All calls in one call to Multicall3; each may revert by itself."""
    return Call(MULTICALL3, _AGGREGATE3, ([(call.address, True, call.data) for call in calls],))


def aggregated(calls: Sequence[Call], parts: Iterable[tuple[bool, bytes]]) -> list[Result]:
    """The results in what Multicall3 returned."""
    return [call.read(data) if ok else call.reverted(data) for call, (ok, data) in zip(calls, parts, strict=True)]


def _types(text: str) -> tuple[tuple[str, ...], str]:
    """Types of the leading parenthesis, split at its own commas, and what follows it."""
    depth, start, found = 0, 1, []
    for at, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if (depth == 1 and character == ",") or depth == 0:
            if at > start:
                found.append(text[start:at])
            start = at + 1
        if depth == 0:
            return tuple(found), text[at + 1 :]
    raise DefectError("not a signature", field="signature", value=text)
