"""Chain adapters in a store: a node behind, a reorganisation below the last block read, decimals that change.

The store is fetched into, the chain goes back and takes another way, and the next fetch says so; after the remedy
that it names the store is that of a clean fetch.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from oracle_adapters.anchor import Anchored
from oracle_adapters.feed import Feed, FeedSpec, Kind
from oracle_adapters.fetching import Status, fetch_one
from oracle_adapters.pool_depth import PoolDepth
from oracle_adapters.pyth import pyth_prices
from oracle_adapters.rounds import RoundPrices
from oracle_adapters.store import ANCHOR, Store
from oracle_adapters.uniswap_math import sqrt_price_at
from oracle_adapters.uniswap_v3 import pool_twap
from oracle_adapters.wrappers import GrowthCap, erc4626, wrapper_rates
from tests.onchain.chains import Chain, own
from tests.onchain.test_chainlink import Floor, settings
from tests.onchain.test_pyth_wrappers import ETH, vault_of
from tests.onchain.test_uniswap_v3 import made

HOUR = 3600
Adapter = tuple[Callable[[], Feed], Callable[[int], None]]
"""Opens the feed anew, and has its contract say something that depends on a number."""


def chainlink(chain: Chain, *, rounds: bool, confirmations: int) -> Adapter:
    feed = Floor(chain)
    chosen = settings(feed.proxy.address, interval="1h", heartbeat="2h", confirmations=confirmations)

    def opened() -> Feed:
        prices = RoundPrices(chosen, chain.node(confirmations=confirmations))
        return prices.rounds if rounds else prices

    def say(number: int) -> None:
        chain.send(feed.aggregator.functions.push((2000 + number) * 10**8))

    return opened, say


def pyth(chain: Chain, confirmations: int) -> Adapter:
    contract = chain.deploy(own("pyth"))
    spec = FeedSpec(Kind.PRICE, "ETH", "USD", "pyth", HOUR)

    def opened() -> Feed:
        node = chain.node(confirmations=confirmations)
        return pyth_prices(spec, node, contract.address, ETH, max_age=2 * HOUR, max_confidence=0.1)

    def say(number: int) -> None:
        price = (2000 + number) * 10**8
        chain.send(contract.functions.set_price(bytes.fromhex(ETH[2:]), price, 10**6, -8, chain.now()))

    return opened, say


def pool(chain: Chain, confirmations: int) -> Adapter:
    start = chain.now()
    contract, base, _ = made(chain, inverted=False)
    spec = FeedSpec(Kind.DEPTH, "ETH", "USD", "pool", HOUR)

    def opened() -> Feed:
        return PoolDepth(spec, chain.node(confirmations=confirmations), contract.address, base.address, since=start)

    def say(number: int) -> None:
        chain.send(contract.functions.add(-887_220, 887_220, (100 + number) * 10**18))

    return opened, say


def twap(chain: Chain, confirmations: int, *, inverted: bool) -> Adapter:
    start = chain.now()
    contract, base, _ = made(chain, inverted=inverted)
    tick = contract.functions.slot0().call()[1]
    spec = FeedSpec(Kind.PRICE, "ETH", "USD", "twap", HOUR)

    def opened() -> Feed:
        node = chain.node(confirmations=confirmations)
        return pool_twap(spec, node, contract.address, base.address, window=HOUR // 2, since=start)

    def say(number: int) -> None:
        moved = tick + 7 * (number + 1)
        chain.send(contract.functions.move(sqrt_price_at(moved), moved))

    return opened, say


def wrapper(chain: Chain, confirmations: int) -> Adapter:
    """An ERC-4626 vault under a growth cap."""
    start = chain.now()
    vault, token = vault_of(chain, 18)
    spec = FeedSpec(Kind.PRICE, "LST", "ETH", "wrapper", HOUR)
    cap = GrowthCap(Fraction(1), start, Fraction(100))

    def opened() -> Feed:
        node = chain.node(confirmations=confirmations)
        return wrapper_rates(spec, node, lambda block: erc4626(node, vault.address, block), cap=cap, since=start)

    def say(number: int) -> None:
        chain.send(token.functions.mint(vault.address, (10 + number) * 10**18))

    return opened, say


ADAPTERS: dict[str, Callable[[Chain, int], Adapter]] = {
    "chainlink-prices": lambda chain, n: chainlink(chain, rounds=False, confirmations=n),
    "chainlink-rounds": lambda chain, n: chainlink(chain, rounds=True, confirmations=n),
    "pyth": pyth,
    "uniswap-v3-depth": pool,
    "uniswap-v3-twap": lambda chain, n: twap(chain, n, inverted=False),
    "uniswap-v3-twap-inverted": lambda chain, n: twap(chain, n, inverted=True),
    "wrapper": wrapper,
}


@pytest.fixture(params=ADAPTERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def grow(chain: Chain, say: Callable[[int], None], numbers: range) -> None:
    for number in numbers:
        say(number)
        chain.warp(HOUR)


def clean(feed: Feed, folder: Path) -> str:
    store = Store(folder)
    assert fetch_one(store, feed).status is Status.GOOD
    return store.content_hash(feed.spec)


def test_a_fetch_goes_on_to_what_a_clean_one_gives(chain: Chain, name: str, tmp_path: Path) -> None:
    opened, say = ADAPTERS[name](chain, 0)
    store = Store(tmp_path / "kept")
    for first in (0, 3, 6):
        grow(chain, say, range(first, first + 3))
        found = fetch_one(store, opened())
        assert (found.status, found.error) == (Status.GOOD, None)
        assert found.added > 0
    assert store.content_hash(opened().spec) == clean(opened(), tmp_path / "clean")


def test_a_reorganisation_below_the_last_block_is_named_and_mended(chain: Chain, name: str, tmp_path: Path) -> None:
    opened, say = ADAPTERS[name](chain, 0)
    store = Store(tmp_path / "kept")
    grow(chain, say, range(3))
    fork = chain.snapshot()
    grow(chain, say, range(3, 6))
    assert fetch_one(store, opened()).status is Status.GOOD
    held = store.content_hash(opened().spec)

    chain.revert(fork)
    behind = fetch_one(store, opened())
    assert behind.status is Status.UNREACHED
    assert "has no block" in str(behind.error)

    grow(chain, say, range(10, 16))
    gone = fetch_one(store, opened())
    assert gone.status is Status.REFUSED
    said = str(gone.error)
    assert said.startswith(opened().spec.id)
    assert "a reorganisation deeper than the 0 confirmations" in said
    assert "Remove the feed's folder" in said
    assert store.content_hash(opened().spec) == held, "nothing of the other way is added"

    expected = clean(opened(), tmp_path / "clean")
    assert expected != held
    (folder,) = (path.parent for path in (tmp_path / "kept").glob(f"*/{ANCHOR}"))
    shutil.rmtree(folder)
    assert fetch_one(store, opened()).status is Status.GOOD
    assert store.content_hash(opened().spec) == expected


def test_a_reorganisation_above_the_confirmations_is_not_noticed(chain: Chain, name: str, tmp_path: Path) -> None:
    opened, say = ADAPTERS[name](chain, 12)
    store = Store(tmp_path / "kept")
    grow(chain, say, range(3))
    chain.mine(12)
    fork = chain.snapshot()
    grow(chain, say, range(3, 5))
    assert fetch_one(store, opened()).status is Status.GOOD
    chain.revert(fork)
    grow(chain, say, range(10, 15))
    chain.mine(12)
    found = fetch_one(store, opened())
    assert (found.status, found.error) == (Status.GOOD, None)
    assert store.content_hash(opened().spec) == clean(opened(), tmp_path / "clean")


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"number":"x","hash":"","time":0}'])
def test_a_damaged_anchor_is_named(chain: Chain, tmp_path: Path, content: bytes) -> None:
    opened, say = ADAPTERS["pyth"](chain, 0)
    grow(chain, say, range(3))
    store = Store(tmp_path)
    fetch_one(store, opened())
    (file,) = tmp_path.glob(f"*/{ANCHOR}")
    file.write_bytes(content)
    found = fetch_one(store, opened())
    assert found.status is Status.REFUSED
    assert "the anchor of a feed is damaged" in str(found.error)


def test_decimals_that_change_with_the_phase_are_refused_and_what_came_is_kept(chain: Chain, tmp_path: Path) -> None:
    feed = Floor(chain)
    chosen = settings(feed.proxy.address, interval="1h", heartbeat="2h", confirmations=0, decimals=8)

    def push(answer: int) -> None:
        chain.warp(HOUR)
        chain.send(feed.aggregator.functions.push(answer))

    for number in range(3):
        push((2000 + number) * 10**8)
    store, opened = Store(tmp_path), RoundPrices(chosen, chain.node())
    kept = fetch_one(store, opened)
    assert kept.status is Status.GOOD
    feed.change_phase(feed.new_aggregator(6))
    push(2005 * 10**6)
    chain.warp(HOUR)
    found = fetch_one(store, opened)
    assert found.status is Status.REFUSED
    assert "other decimals than the settings say, in phase 2" in str(found.error)
    assert store.last_known(opened.spec) == kept.last_known


@pytest.mark.parametrize("answer", [0, -5 * 10**8])
def test_an_answer_that_is_no_price_is_counted_on_resume_too(chain: Chain, tmp_path: Path, answer: int) -> None:
    feed = Floor(chain)
    chosen = settings(feed.proxy.address, interval="1h", heartbeat="2h", confirmations=0)
    chain.warp(HOUR)
    chain.send(feed.aggregator.functions.push(2000 * 10**8))
    chain.warp(HOUR)
    store, opened = Store(tmp_path / "kept"), RoundPrices(chosen, chain.node())
    fetch_one(store, opened)
    for number, one in enumerate((answer, 2001 * 10**8), 2):
        chain.send(feed.aggregator.functions.store(number, one, chain.now(), chain.now(), number))
        chain.warp(HOUR)
    found = fetch_one(store, opened)
    assert (found.status, dict(found.counted)) == (Status.GOOD, {"nonpositive": 1})
    assert store.content_hash(opened.spec) == clean(opened, tmp_path / "clean")


def test_a_chains_clock_that_is_ahead_dates_rows_by_its_own_blocks(chain: Chain, tmp_path: Path) -> None:
    """Publishers ahead of the chain: the price counts from the block that holds it, and no age is negative."""
    contract: Any = chain.deploy(own("pyth"))
    spec = FeedSpec(Kind.PRICE, "ETH", "USD", "pyth", HOUR)
    feed = pyth_prices(spec, chain.node(), contract.address, ETH, max_age=HOUR, max_confidence=0.1)
    price_id, ahead = bytes.fromhex(ETH[2:]), 120
    chain.send(contract.functions.set_price(price_id, 2000 * 10**8, 10**6, -8, chain.now() + ahead))
    at = chain.now()
    for _ in range(2):
        chain.warp(HOUR // 2)
    store = Store(tmp_path)
    assert fetch_one(store, feed).status is Status.GOOD
    rows = store.read(spec)
    assert (rows["observed_at"] >= at).all()
    assert (rows["observed_at"] <= chain.now()).all()
    assert len(rows) == 1


def test_all_feeds_over_a_node_are_anchored(chain: Chain, name: str) -> None:
    feed = ADAPTERS[name](chain, 0)[0]()
    assert isinstance(feed, Anchored)
    assert feed.anchor() is None
