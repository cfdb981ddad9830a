"""Requests and time of reading 10,000 rounds of history, beside a loop over `getRoundData`, on one local node.

Run with `make bench`, after `python tools/fetch_evm.py`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

import pytest

from oracle_adapters.chainlink import ROUND, ChainlinkRounds
from oracle_adapters.contract_call import Call
from oracle_adapters.feed import collect
from risk.feed_settings import ChainlinkFeed
from tests.onchain.chains import EVM, STEP, AnvilChain, own

ROUNDS, PART, STORED = 10_000, 250, 140
PHASE = 1 << 64


@pytest.fixture
def chain(require: Callable[[str, str], NoReturn]) -> Iterator[AnvilChain]:
    """A fresh node."""
    if not list(EVM.glob("@foundry-rs__anvil-*/bin/anvil")):
        require("chain", "there is no local node; fetch it with `python tools/fetch_evm.py`")
    found = AnvilChain()
    yield found
    found.close()


def test_rounds_beside_a_naive_loop(chain: AnvilChain) -> None:
    """The whole history, and a span of 250 rounds in its middle."""
    aggregator = chain.deploy(own("aggregator"), 8, "ETH / USD", 1, 10**13)
    proxy = chain.deploy(own("aggregator_proxy"), aggregator.address)
    start = chain.now() - 3600 * ROUNDS
    for first in range(0, ROUNDS, STORED):
        numbers = range(first, min(first + STORED, ROUNDS))
        times = [start + 3600 * n for n in numbers]
        chain.send(aggregator.functions.store_many(first + 1, [10**8 + n for n in numbers], times))
    document = {"kind": "chainlink", "asset": "ETH", "address": proxy.address, "url_env": "NODE"}
    settings = ChainlinkFeed.model_validate(document)

    sys.stdout.write(f"\n{'':<36}{'requests':>10}{'seconds':>10}{'rounds':>10}\n")
    answers = {}
    for label, low, high in (
        ("all", 0, 2**40),
        ("a span", start + 3600 * 5000, start + 3600 * (5000 + PART)),
    ):
        node = chain.node()
        begun = time.perf_counter()
        rows = collect(ChainlinkRounds(settings, node), low, high).rows
        taken = time.perf_counter() - begun
        answers[label] = [text.replace(".", "") for text in rows["answer"].tolist()]
        sys.stdout.write(f"{'riskcal, ' + label:<36}{node.requests:>10}{taken:>10.2f}{len(rows):>10}\n")

    node, block = chain.node(), chain.number
    begun = time.perf_counter()
    naive = [node.call(Call(proxy.address, ROUND, (PHASE + n,)), block).values for n in range(1, ROUNDS + 1)]
    taken = time.perf_counter() - begun
    sys.stdout.write(f"{'a loop over getRoundData, all':<36}{node.requests:>10}{taken:>10.2f}{len(naive):>10}\n")
    assert answers["all"] == [str(answer).rjust(9, "0") for _, answer, *_ in naive]
    assert answers["a span"] == answers["all"][5000 : 5000 + PART]


def test_rounds_of_several_phases(chain: AnvilChain) -> None:
    """Four phases of 2,500 rounds each, written before their phase began or while it lasted: the loop knows the ids."""
    phases, each = 4, ROUNDS // 4
    first = chain.deploy(own("aggregator"), 8, "ETH / USD", 1, 10**13)
    proxy = chain.deploy(own("aggregator_proxy"), first.address)
    aggregator, begins = first, []
    for phase in range(phases):
        if phase:
            aggregator = chain.deploy(own("aggregator"), 8, "ETH / USD", 1, 10**13)
            chain.send(proxy.functions.confirmAggregator(aggregator.address))
        begins.append(chain.now())
        for done in range(0, each, STORED):
            numbers = range(done, min(done + STORED, each))
            times = [begins[-1] + 3600 * n for n in numbers]
            chain.warp(max(times[-1] - chain.now(), STEP))
            chain.send(aggregator.functions.store_many(done + 1, [10**8 + phase * each + n for n in numbers], times))
        chain.warp(3600)
    document = {"kind": "chainlink", "asset": "ETH", "address": proxy.address, "url_env": "NODE"}
    settings = ChainlinkFeed.model_validate(document)

    node = chain.node()
    begun = time.perf_counter()
    rows = collect(ChainlinkRounds(settings, node)).rows
    taken = time.perf_counter() - begun
    sys.stdout.write(f"\n{'':<36}{'requests':>10}{'seconds':>10}{'rounds':>10}\n")
    sys.stdout.write(f"{'riskcal, four phases':<36}{node.requests:>10}{taken:>10.2f}{len(rows):>10}\n")

    node, block = chain.node(), chain.number
    begun = time.perf_counter()
    ids = [((phase + 1) << 64) + n for phase in range(phases) for n in range(1, each + 1)]
    naive = [node.call(Call(proxy.address, ROUND, (one,)), block).values for one in ids]
    taken = time.perf_counter() - begun
    sys.stdout.write(f"{'a loop over getRoundData':<36}{node.requests:>10}{taken:>10.2f}{len(naive):>10}\n")
    assert set(rows["phase"].tolist()) == set(range(1, phases + 1))
    assert [text.replace(".", "") for text in rows["answer"].tolist()] == [
        str(found[1]).rjust(9, "0") for found in naive
    ]
