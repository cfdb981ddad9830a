"""The state of one market at one block, in the types that a snapshot is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from oracle_adapters.quality import Check
from oracle_adapters.rpc import Block, Node
from risk.market import Book, StepBound, Verdict
from risk.parameters import Key
from risk.settings import Settings
from risk.units import Quantity

SILENCE = 3600
"""Seconds between the block and the as-of date beyond which the state is suspect: the node lags, or stands."""


@dataclass(frozen=True, slots=True, order=True)
class Fact:
    """Something of a market that is no number to be chosen: a flag, an address, a membership.

    Attributes
    ----------
    kind, subject
        As in keys; of the market itself they are ``market`` and its name.
    fact, value
        E.g. ``frozen`` and ``true``.
    since
        Unix seconds of the last change; 0 where it is not known.
    """

    kind: str
    subject: str
    fact: str
    value: str
    since: int = 0


@dataclass(frozen=True, slots=True)
class MarketState:
    """What a market's contracts say at one block.

    Attributes
    ----------
    market
        Name of the market in keys.
    block
        Where all of it was read.
    parameters, changed_at
        Parameters in force, and unix seconds of their last change, where it is known.
    bounds
        Step bound by parameter, from the risk steward.
    structure
        Flags, addresses and modes, sorted.
    book
        Positions, or None where they are not read or nobody holds any.
    checks
        What a reader must know: what was left out, and why.
    """

    market: str
    block: Block
    parameters: Mapping[Key, Quantity]
    changed_at: Mapping[Key, int]
    bounds: Mapping[str, StepBound]
    structure: tuple[Fact, ...]
    book: Book | None
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class Token:
    """A token that the settings declare.

    Attributes
    ----------
    asset
        Name of the asset.
    reserve
        Name of its reserve in this market; None where the asset is no reserve of it.
    elsewhere
        Whether the asset is a reserve of another market, whose numbers are not those of this one.
    """

    asset: str
    reserve: str | None
    elsewhere: bool = False


def tokens_of(market: str, settings: Settings) -> dict[str, Token]:
    """Declared tokens by address in lower case; of two assets with one token the market's own reserve counts."""
    found: dict[str, Token] = {}
    for name, asset in sorted(settings.assets.items()):
        if asset.token is not None:
            own = asset.reserve == market
            if own or asset.token.lower() not in found:
                symbol = (asset.symbol or name) if own else None
                found[asset.token.lower()] = Token(name, symbol, asset.reserve not in (None, market))
    return found


def times_of(node: Node, blocks: Iterable[int]) -> dict[int, int]:
    """Unix seconds by block number."""
    return {number: node.block(number).time for number in sorted(set(blocks))}


def counted(name: str, things: Sequence[str], message: str) -> list[Check]:
    """A check that counts things and names the first of them; none where there are none."""
    if not things:
        return []
    listed = ", ".join(sorted(things)[:5]) + (", …" if len(things) > 5 else "")
    return [Check(name, Verdict.SUSPECT, len(things), f"{message}: {listed}")]
