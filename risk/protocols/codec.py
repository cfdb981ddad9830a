"""What a protocol's codec is: parameters to contract calls and back, and the rules of its chain.

A codec never rounds. A value that its contract cannot hold exactly, or would reject, is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from risk.errors import InputError
from risk.outcome import Finding
from risk.parameters import Change, Key, ParameterSet
from risk.units import Quantity


@dataclass(frozen=True, slots=True)
class Call:
    """One contract call.

    Attributes
    ----------
    to, value
        Address of the contract, and wei sent with the call.
    function, signature
        ``setSupplyCap`` and ``setSupplyCap(address,uint256)``.
    arguments
        Raw value by argument name, in the order of the signature.
    data
        Calldata with its selector, as ``0x`` and hex.
    keys
        Parameters that the call sets, also those that it restates unchanged.
    """

    to: str
    value: int
    function: str
    signature: str
    arguments: Mapping[str, int | str]
    data: str
    keys: tuple[Key, ...]

    def document(self) -> dict[str, Any]:
        """JSON-like content."""
        return {
            "to": self.to,
            "value": self.value,
            "function": self.function,
            "signature": self.signature,
            "arguments": dict(self.arguments),
            "data": self.data,
            "keys": [str(key) for key in self.keys],
        }


def refuse_shared_tokens(market: str, tokens: Mapping[str, str]) -> None:
    """Refuse two reserves of a market, by symbol, with one token address: a call names a reserve by its token.

    Raises
    ------
    InputError
        Names both.
    """
    owner: dict[str, str] = {}
    for subject, token in sorted(tokens.items()):
        if (other := owner.setdefault(token.lower(), subject)) != subject:
            raise InputError(
                f"{other} and {subject} have the same token",
                field=f"markets.{market}",
                value=token,
                remedy="Mend the token of one of them in the settings",
            )


class Codec(Protocol):
    """Translates the parameters of one market."""

    def encode(self, changes: Sequence[Change], base: ParameterSet) -> tuple[Call, ...]:
        """Calls that make the changes; what they must restate is read from `base`.

        Calls that tighten come before those that loosen.

        Raises
        ------
        RefusalError
            When the contract cannot hold a value exactly, or would reject it.
        """
        ...

    def decode(self, calls: Sequence[Call]) -> Mapping[Key, Quantity]:
        """The quantities that the calls' data set, by key.

        Raises
        ------
        InputError
            When a call is not one of this market's.
        """
        ...

    def rules(self, parameters: ParameterSet) -> list[Finding]:
        """What the market's contract would say of the set: an error where it reverts, else a warning."""
        ...
