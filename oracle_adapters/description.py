"""What an on-chain feed calls itself, against the pair that it is declared to price."""

from __future__ import annotations

import re

_PAIR = re.compile(r"([\w.\-]+)\s*/\s*([\w.\-]+)")
_WRAPPED = {
    f"W{coin}": coin for coin in ("ETH", "BTC", "BNB", "MATIC", "POL", "AVAX", "FTM", "SOL", "S", "XDAI", "CELO")
}
"""Wrapped coins; of other names a leading W means nothing, as in WLD or WIF."""


def same_pair(declared: str, description: str) -> bool:
    """Whether a description is that of the pair; wrapped and bridged names are those of what they stand for.

    A description that names no pair contradicts none.
    """
    pairs = [_PAIR.search(text) for text in (declared, description)]
    names = [[_plain(name) for name in pair.groups()] for pair in pairs if pair is not None]
    return len(names) < len(pairs) or names[0] == names[1]


def _plain(name: str) -> str:
    """A name without the letters of what is wrapped or bridged: WETH, WBTC and USDC.e stand for a coin."""
    bare = name.upper().partition(".")[0]
    return _WRAPPED.get(bare, bare)
