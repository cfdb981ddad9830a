"""The two tokens of a pool: which is priced, their decimals, and whether they are the ones the settings mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from oracle_adapters.contract_call import Call
from oracle_adapters.rpc import Node
from risk.errors import DataError
from risk.market import NUMERAIRE


@dataclass(frozen=True, slots=True)
class Tokens:
    """How a pool's tokens stand to the pair that is priced.

    Attributes
    ----------
    base_is_token0
        Whether the priced token is token0; tokens are sorted by address.
    base_decimals, quote_decimals
        Of the two tokens.
    other
        Address of the token that is the quote, in lower case.
    """

    base_is_token0: bool
    base_decimals: int
    quote_decimals: int
    other: str


@dataclass(frozen=True, slots=True)
class Meant:
    """What the settings say of a pair: the names of its sides, and the tokens declared for them.

    Attributes
    ----------
    asset, quote
        Names of the sides.
    symbols
        Further symbols by side, such as ``WETH`` of ETH's reserve.
    declared
        Token contract by asset, in lower case, where the settings name one on the pool's chain.
    """

    asset: str
    quote: str
    symbols: Mapping[str, str] = field(default_factory=dict)
    declared: Mapping[str, str] = field(default_factory=dict)

    def refuse_others(self, node: Node, address: str, base: str, tokens: Tokens, block: int) -> None:
        """Refuse a pool whose tokens contradict the settings, as far as declared addresses and symbols tell.

        A token whose symbol is neither side's may be anything, and is let through.

        Raises
        ------
        DataError
            When a declared token is not the pool's on its side, and when the symbols say that the sides are swapped.
        """
        for side, token in ((self.asset, base.lower()), (self.quote, tokens.other)):
            if self.declared.get(side, token) != token:
                raise DataError(
                    f"the pool's token for {side} is not the one that the settings declare",
                    file=f"contract {address}",
                    field=f"assets.{side}.token",
                    value=token,
                    remedy=f"Declared is {self.declared[side]}: mend it, or the feed's address and token",
                )
        asked = [Call(token, "symbol()(string)") for token in (base, tokens.other)]
        own, other = (str(one.value) if one.ok else "" for one in node.calls(asked, block))
        swapped = self._is(other, self.asset) or self._is(own, self.quote)
        if swapped and not self._is(own, self.asset):
            raise DataError(
                f"the feed prices {self.asset} in {self.quote}, and its token is the pool's {own or 'other one'}; "
                f"the pool's second token is {other}",
                file=f"contract {address}",
                field="token",
                value=base,
                remedy=f"Give the contract of {self.asset}, e.g. {tokens.other}",
            )

    def _is(self, symbol: str, side: str) -> bool:
        """Whether a token's symbol is a name of a side, wrapped or not; every dollar token is US dollars."""
        found = symbol.upper()
        names = {side.upper(), self.symbols.get(side, side).upper()}
        if found in names or found in {"W" + name for name in names}:
            return True
        return side == NUMERAIRE and (found.startswith("USD") or found.endswith("USD") or found == "DAI")


def read_tokens(node: Node, address: str, base: str, block: int) -> Tokens:
    """The pool's tokens, seen from the one that is priced.

    Raises
    ------
    DataError
        When the contract is no pool, or not one of the base token.
    """
    calls = [Call(address, name) for name in ("token0()(address)", "token1()(address)")]
    found = [str(one.value).lower() for one in node.calls(calls, block)]
    if base.lower() not in found:
        raise DataError(
            f"the pool does not trade the token: token0 is {found[0]}, token1 {found[1]}",
            file=f"contract {address}", field="token", value=base, remedy="Check the addresses of pool and token",
        )  # fmt: skip
    first = base.lower() == found[0]
    ordered = found if first else found[::-1]
    decimals = [int(one.value) for one in node.calls([Call(token, "decimals()(uint8)") for token in ordered], block)]
    return Tokens(first, decimals[0], decimals[1], ordered[1])
