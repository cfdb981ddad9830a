"""A node read at blocks: results for reverts, batches, logs, times, finality and blocks that went away."""

from __future__ import annotations

from typing import Any

import pytest

from oracle_adapters.contract_call import NO_CONTRACT, Call, event_topic
from oracle_adapters.rpc import ChainMismatchError, NodeBehindError, ReorganizedError
from risk.errors import DataError, EvidenceError
from tests.onchain.chains import STEP, ZERO, Chain, own

ROUND = "getRoundData(uint80)(uint80,int256,uint256,uint256,uint80)"
UPDATED = event_topic("AnswerUpdated(int256,uint256,uint256)")


@pytest.fixture
def aggregator(chain: Chain) -> Any:
    """Five rounds, answers 100 to 104, an hour apart."""
    found = chain.deploy(own("aggregator"), 8, "ETH / USD", 1, 10**13)
    for answer in range(100, 105):
        chain.warp(3600)
        chain.send(found.functions.push(answer))
    return found


def test_batches_and_single_calls_give_the_same(chain: Chain, aggregator: Any) -> None:
    node = chain.node()
    calls = [Call(aggregator.address, ROUND, (number,)) for number in range(8)]
    calls += [
        Call(aggregator.address, "description()(string)"),
        Call(aggregator.address, "noSuchFunction()(uint256)"),
        Call(chain.accounts[1], "decimals()(uint8)"),
    ]
    batched = node.calls(calls, chain.number)
    assert node.requests == 2, "the code of Multicall3, and one batch"
    single = node.calls(calls, chain.number, direct=True)
    assert [(one.returned, one.reason, one.data) for one in batched] == [
        (one.returned, one.reason, one.data) for one in single
    ]
    assert [one.values[1] for one in batched[1:6]] == [100, 101, 102, 103, 104]
    assert [batched[number].reason for number in (0, 6, 7)] == 3 * ["No data present"]
    assert batched[8].value == "ETH / USD"
    assert (batched[9].ok, batched[9].reason) == (False, "")
    assert batched[10].reason == NO_CONTRACT
    with pytest.raises(DataError, match=r"getRoundData\(6\) failed: No data present"):
        _ = batched[6].values


def test_past_blocks_are_read_as_they_were(chain: Chain, aggregator: Any) -> None:
    node, last = chain.node(), chain.number
    seen = [node.call(Call(aggregator.address, "latestRound()(uint256)"), last - back).value for back in (0, 2, 4)]
    assert seen == [5, 4, 3]


def test_a_batch_that_is_too_large_is_halved(chain: Chain, aggregator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oracle_adapters.rpc.BATCH", 1000)  # the test's Multicall3 takes 256 calls
    results = chain.node().calls([Call(aggregator.address, "latestRound()(uint256)")] * 600, chain.number)
    assert {one.value for one in results} == {5}
    assert len(results) == 600


def test_logs_come_in_order_over_chunks(chain: Chain, aggregator: Any) -> None:
    node, stop = chain.node(), chain.number + 1
    for span in (1, 3, 10_000):
        logs = list(node.logs(aggregator.address, [UPDATED], 0, stop, span=span))
        assert [int.from_bytes(log.topics[1], "big") for log in logs] == [100, 101, 102, 103, 104]
        assert [log.block for log in logs] == sorted(log.block for log in logs)
    only = list(node.logs(aggregator.address, [UPDATED, (102).to_bytes(32, "big")], 0, stop))
    assert [int.from_bytes(log.topics[2], "big") for log in only] == [3]
    assert not list(node.logs(ZERO, [], 0, stop))


def test_a_block_is_found_by_its_time(chain: Chain, aggregator: Any) -> None:
    node = chain.node()
    blocks = [node.block(number) for number in range(chain.number + 1)]
    for block in blocks:
        assert node.block_at(block.time) == block
        after = blocks[min(block.number + 1, len(blocks) - 1)].time
        assert node.block_at(max(after - 1, block.time)) == block
    assert node.block_at(blocks[-1].time + 10**6) == blocks[-1]
    with pytest.raises(EvidenceError, match="no block at that time"):
        node.block_at(blocks[0].time - 1)


def test_blocks_without_confirmations_are_not_final(chain: Chain, aggregator: Any) -> None:
    assert chain.node(confirmations=3).final_block().number == chain.number - 3
    assert chain.node(confirmations=10**6).final_block().number == 0


def test_a_replaced_block_and_a_node_behind_are_named(chain: Chain, aggregator: Any) -> None:
    node, start = chain.node(), chain.snapshot()
    chain.mine(2)
    seen = node.final_block()
    node.verify(seen)
    chain.revert(start)
    with pytest.raises(NodeBehindError, match=f"has no block {seen.number}"):
        node.verify(seen)
    chain.warp(STEP + 1)
    chain.mine()
    with pytest.raises(ReorganizedError, match=f"block {seen.number} of node was replaced"):
        node.verify(seen)


def test_another_chain_is_refused(chain: Chain) -> None:
    served = chain.node().chain_id
    assert chain.node(chain_id=served).chain_id == served
    with pytest.raises(ChainMismatchError, match=f"Expected {served + 1}"):
        chain.node(chain_id=served + 1).final_block()
