"""The state of every market that declares one, at the last block of the as-of date."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from oracle_adapters.onchain import open_node
from oracle_adapters.protocol_state.aave_v3 import read_aave_v3
from oracle_adapters.protocol_state.compound_v3 import read_compound_v3
from oracle_adapters.protocol_state.state import SILENCE, MarketState
from oracle_adapters.quality import Check
from oracle_adapters.rpc import Block, Node
from risk.market import Book, Origin, Verdict
from risk.settings import Settings
from risk.state_settings import StateSource

Reader = Callable[[str, Settings, StateSource, Node, Block, Sequence[str]], MarketState]
READERS: Mapping[str, Reader] = MappingProxyType({"aave_v3": read_aave_v3, "compound_v3": read_compound_v3})
"""Reader by protocol."""


def read_states(settings: Settings, as_of: int, assets: Sequence[str]) -> list[MarketState]:
    """State of each market with a source, at the last final block at or before an instant.

    Nothing that happens on chain later changes the result.

    Parameters
    ----------
    settings
        The run's settings.
    as_of
        Unix seconds.
    assets
        Assets that have a price.

    Raises
    ------
    SettingsError
        When the environment lacks a node's URL, or an address is not what it should be.
    EvidenceError
        When the chain had no block yet.
    SourceError
        When a node cannot be asked, or keeps no state of the block.
    """
    return [
        read_state(market, settings, as_of, assets)[0]
        for market, declared in sorted(settings.markets.items())
        if declared.state is not None
    ]


def read_state(market: str, settings: Settings, as_of: int, assets: Sequence[str]) -> tuple[MarketState, Block]:
    """State of one market, and the last final block of its chain; see `read_states`."""
    declared = settings.markets[market]
    source = declared.state
    assert source is not None  # noqa: S101 - of markets with a state only
    node = open_node(source.url_env, settings.fetch, chain_id=declared.chain_id, confirmations=source.confirmations)
    head = node.final_block()
    block = node.block_at(as_of, low=source.first_block, high=head)
    state = READERS[declared.protocol](market, settings, source, node, block, assets)
    node.verify(block)
    return state, head


def age(state: MarketState, as_of: int) -> Check:
    """How far the state's block lies before the as-of date."""
    seconds = as_of - state.block.time
    detail = f"read at block {state.block.number}, {seconds} s before the as-of date"
    if seconds <= SILENCE:
        return Check("block", Verdict.GOOD, state.block.number, detail)
    return Check("block", Verdict.SUSPECT, state.block.number, f"{detail}: the node lags behind, or the chain stands")


def joined(states: Sequence[MarketState]) -> Book | None:
    """One book of all markets; an address that is in two markets is two accounts."""
    books = [state.book for state in states if state.book is not None]
    if not books:
        return None
    return Book(
        tuple(account for book in books for account in book.accounts),
        books[0].assets,
        np.vstack([book.collateral for book in books]),
        np.vstack([book.debt for book in books]),
        Origin.MEASURED,
        tuple(mode for book in books for mode in book.modes or ("",) * len(book.accounts))
        if any(book.modes for book in books)
        else (),
    )
