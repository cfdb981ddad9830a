"""Calldata of one function: selector, encoding and decoding, on eth-abi and eth-utils."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from risk.errors import InputError


@dataclass(frozen=True, slots=True)
class Function:
    """A contract function.

    Attributes
    ----------
    name
        E.g. ``setSupplyCap``.
    arguments
        Name and ABI type of each argument.
    """

    name: str
    arguments: tuple[tuple[str, str], ...]

    @property
    def types(self) -> list[str]:
        """ABI types in order."""
        return [kind for _, kind in self.arguments]

    @property
    def signature(self) -> str:
        """``setSupplyCap(address,uint256)``."""
        return f"{self.name}({','.join(self.types)})"

    @property
    def selector(self) -> str:
        """First four bytes of the signature's Keccak hash, as ``0x`` and hex."""
        from eth_utils.crypto import keccak

        return "0x" + keccak(text=self.signature)[:4].hex()

    def encode(self, values: Sequence[int | str]) -> str:
        """Calldata of a call with these values, as ``0x`` and hex."""
        from eth_abi.abi import encode

        return self.selector + encode(self.types, values).hex()

    def decode(self, data: str) -> tuple[Any, ...]:
        """Values of a call, addresses in lower case; the inverse of `encode`.

        Raises
        ------
        InputError
            When the data are another function's, cannot be read, or hold bytes that the values do not need.
        """
        from eth_abi.abi import decode
        from eth_abi.exceptions import DecodingError

        try:
            values = decode(self.types, bytes.fromhex(data[10:]))
        except (DecodingError, ValueError) as error:
            raise InputError("the calldata cannot be read", field=self.signature, value=data) from error
        if self.encode(values) != data.lower():
            raise InputError("the calldata holds more than the arguments", field=self.signature, value=data)
        return tuple(values)


def checksummed(address: str, field: str) -> str:
    """An address in its checksummed form (EIP-55).

    Raises
    ------
    InputError
        When mixed case does not match the checksum: the address was mistyped.
    """
    from eth_utils.address import is_checksum_address, is_checksum_formatted_address, to_checksum_address

    if is_checksum_formatted_address(address) and not is_checksum_address(address):
        raise InputError("the address does not match its checksum", field=field, value=address, remedy="Copy it again")
    return to_checksum_address(address)
