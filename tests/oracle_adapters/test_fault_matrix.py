"""Every adapter that speaks HTTP against every way in which an answer goes wrong: one table.

An adapter is one column of `MATRIX` and an entry among the products, or the smallest adapter of the tests.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from oracle_adapters.fetching import Status, fetch_one
from oracle_adapters.store import Store
from risk.errors import SourceError
from tests.onchain.chains import InProcessChain
from tests.oracle_adapters import json_bars
from tests.oracle_adapters.contract import check_feed
from tests.oracle_adapters.faults import FaultyServer, Spoil
from tests.oracle_adapters.products import Product, of_exchanges, on_chain

MATRIX = """
                      json-bars chainlink rounds pyth  wrapper uniswap pool-depth bars  funding options
timeout               again     again     again  again again   again   again      again again   again
reset                 again     again     again  again again   again   again      again again   again
429 with Retry-After  again     again     again  again again   again   again      again again   again
500                   again     again     again  again again   again   again      again again   again
truncated body        again     again     again  again again   again   again      again again   again
cut JSON              again     again     again  again again   again   again      again again   again
HTML for JSON         said      said      said   said  said    said    said       said  said    said
403                   said      said      said   said  said    said    said       said  said    said
node behind head      no-head   behind    behind behind behind behind  behind     no-head no-head no-head
"""
"""Fault by adapter: asked ``again`` within the budget; ``said`` at once; the node is ``behind``; ``no-head``: the
source has no head that it could be behind of."""
BEHIND = "node behind head"
Clean = Callable[[str], tuple[str, int]]

SAID = {
    Spoil.TIMEOUT: "timed out",
    Spoil.RESET: "the connection was reset",
    Spoil.BUSY: "HTTP 429.*asking to wait 1 s",
    Spoil.ERROR: "HTTP 500",
    Spoil.TRUNCATED: "the answer was cut short",
    Spoil.CUT: "the answer was cut short",
    Spoil.HTML: "answered with HTML where JSON was due",
    Spoil.FORBIDDEN: "HTTP 403",
}
CCXT = ("bars", "funding", "options")
SAID_BY_CCXT = {Spoil.TRUNCATED: "HTTP 200: .* GET"}
"""What ccxt makes of a body that ends early, and no more is known then: that it is asked again is due all the same."""


def cells() -> dict[tuple[str, str], str]:
    """What is due, by fault and adapter."""
    head, *lines = MATRIX.strip("\n").splitlines()
    columns = head.split()
    found = {}
    for line in lines:
        fault, dues = line[:22].strip(), line[22:].split()
        found |= {(fault, column): due for column, due in zip(columns, dues, strict=True)}
    return found


CELLS = cells()
COLUMNS = list(dict.fromkeys(column for _, column in CELLS))


@pytest.fixture(scope="module")
def products() -> Iterator[Mapping[str, Product]]:
    patch, chain = pytest.MonkeyPatch(), InProcessChain()
    found = {"json-bars": Product(json_bars.open_feed, json_bars.answer), **of_exchanges()}
    yield found | on_chain(chain, patch.setenv)
    patch.undo()
    chain.close()


@pytest.fixture(scope="module")
def clean(products: Mapping[str, Product], tmp_path_factory: pytest.TempPathFactory) -> Clean:
    """Content hash of a fetch without faults, and its requests, by adapter."""

    @cache
    def fetched(name: str) -> tuple[str, int]:
        product, store = products[name], Store(tmp_path_factory.mktemp(name))
        with FaultyServer(product.answer) as server:
            feed = product.open(server.url)
            found = fetch_one(store, feed)
            assert found.status is Status.GOOD, found.error
            assert found.added > 0
            return store.content_hash(feed.spec), len(server.requests)

    return fetched


def test_no_cell_is_absent(products: Mapping[str, Product]) -> None:
    assert set(CELLS) == {(fault, name) for fault in (*map(str, Spoil), BEHIND) for name in products}
    for (fault, name), due in CELLS.items():
        if fault == BEHIND:
            assert due == ("no-head" if products[name].node is None else "behind")
        else:
            assert due in ("again", "said")


@pytest.mark.parametrize("name", [one for one in COLUMNS if one not in ("funding", "options", "pool-depth")])
def test_the_adapter_is_a_feed(products: Mapping[str, Product], name: str) -> None:
    with FaultyServer(products[name].answer) as server:
        check_feed(products[name].open(server.url))


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("how", Spoil)
def test_a_fault_that_passes(
    products: Mapping[str, Product], clean: Clean, name: str, how: Spoil, tmp_path: Path
) -> None:
    product, (expected, requests) = products[name], clean(name)
    due, store = CELLS[how, name], Store(tmp_path)
    with FaultyServer(product.answer) as server:
        feed = product.open(server.url)
        server.spoil(how, first=min(1, requests - 1))
        found = fetch_one(store, feed)
        if due == "said":
            assert found.status is Status.UNREACHED
            found = fetch_one(store, feed)
        assert found.status is Status.GOOD, found.error
    assert store.content_hash(feed.spec) == expected


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("how", Spoil)
def test_a_fault_that_stays(
    products: Mapping[str, Product], clean: Clean, name: str, how: Spoil, tmp_path: Path
) -> None:
    product, (expected, requests) = products[name], clean(name)
    due, store = CELLS[how, name], Store(tmp_path)
    with FaultyServer(product.answer) as server:
        feed = product.open(server.url)
        server.spoil(how, first=min(2, requests - 1), times=None)
        found = fetch_one(store, feed)
        assert found.status is Status.UNREACHED, found.error
        assert isinstance(found.error, SourceError)
        said = str(found.error)
        assert re.search(SAID_BY_CCXT.get(how, SAID[how]) if name in CCXT else SAID[how], said), said
        assert ("tries" in said) is (due == "again"), said
        assert "sesame" not in said
        assert found.error.exit_code == 3
        server.heal()
        found = fetch_one(store, feed)
        assert found.status is Status.GOOD, found.error
    assert store.content_hash(feed.spec) == expected


@pytest.mark.parametrize("name", [one for one in COLUMNS if CELLS[BEHIND, one] == "behind"])
def test_a_node_that_fell_behind(products: Mapping[str, Product], clean: Clean, name: str, tmp_path: Path) -> None:
    """After a whole fetch, and before one: what it lacks it says, and when it has caught up the hash is the same."""
    product, (expected, _) = products[name], clean(name)
    node = product.node
    assert node is not None
    store, early = Store(tmp_path / "whole"), Store(tmp_path / "early")
    with FaultyServer(product.answer) as server:
        try:
            assert fetch_one(store, product.open(server.url)).status is Status.GOOD
            node.head = node.chain.number - 6
            feed = product.open(server.url)
            found = fetch_one(store, feed)
            assert found.status is Status.UNREACHED
            assert re.search(r"has no block \d+\. Wait until the node is in sync", str(found.error)), found.error
            assert "sesame" not in str(found.error)
            assert store.content_hash(feed.spec) == expected, "nothing is lost"
            assert fetch_one(early, feed).status is Status.GOOD
            assert early.content_hash(feed.spec) != expected, "it had less to give"
        finally:
            node.head = None
        for one in (store, early):
            found = fetch_one(one, product.open(server.url))
            assert found.status is Status.GOOD, found.error
            assert one.content_hash(feed.spec) == expected


def test_what_came_before_a_fault_is_kept_and_not_asked_for_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with FaultyServer(json_bars.answer) as server:
        feed = json_bars.open_feed(server.url)
        server.spoil(Spoil.FORBIDDEN, first=2, times=None)
        assert fetch_one(store, feed).added == 2 * json_bars.PAGE
        server.heal()
        asked = len(server.requests)
        fetch_one(store, feed)
        assert "since=360" in server.requests[asked].path, "from the last instant held, itself included"
