"""Chains for tests: each starts once a run, and every test finds it as it was at the start."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NoReturn

import pytest

from tests.onchain.chains import EVM, AnvilChain, Chain, InProcessChain


@pytest.fixture(scope="session")
def in_process_chain() -> Iterator[InProcessChain]:
    """The floor: nothing but pip is needed."""
    chain = InProcessChain()
    yield chain
    chain.close()


@pytest.fixture(scope="session")
def anvil_chain(require: Callable[[str, str], NoReturn]) -> Iterator[AnvilChain]:
    """A real node, where its packages were fetched."""
    if not list(EVM.glob("@foundry-rs__anvil-*/bin/anvil")):
        require("chain", "there is no local node; fetch it with `python tools/fetch_evm.py`")
    chain = AnvilChain()
    yield chain
    chain.close()


@pytest.fixture(params=["in-process", pytest.param("anvil", marks=pytest.mark.chain)])
def chain(request: pytest.FixtureRequest) -> Iterator[Chain]:
    """Either chain, put back after the test."""
    found: Chain = request.getfixturevalue("in_process_chain" if request.param == "in-process" else "anvil_chain")
    start = found.snapshot()
    yield found
    found.revert(start)


@pytest.fixture
def real_chain(anvil_chain: AnvilChain) -> Iterator[AnvilChain]:
    """The real node, put back after the test."""
    start = anvil_chain.snapshot()
    yield anvil_chain
    anvil_chain.revert(start)
