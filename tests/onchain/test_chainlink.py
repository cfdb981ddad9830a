"""A Chainlink feed on a chain: every round read back is the one put in, and what is served is what the proxy served."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from oracle_adapters.aggregators import Aggregators
from oracle_adapters.chainlink import LATEST, ROUND, ChainlinkRounds
from oracle_adapters.contract_call import Call
from oracle_adapters.feed import FOREVER, collect
from oracle_adapters.fetching import Status, fetch_all, fetch_one
from oracle_adapters.interchange import export_rows, import_rows
from oracle_adapters.rounds import RoundPrices, rounds_to_prices
from oracle_adapters.rpc import Node, NodeBehindError, ReorganizedError
from oracle_adapters.store import Store
from oracle_adapters.transport import Manners
from risk.errors import DataError, SourceError
from risk.feed_settings import ChainlinkFeed
from tests.onchain.chains import STEP, ZERO, AnvilChain, Chain, own
from tests.onchain.deploy import Chainlink
from tests.oracle_adapters.contract import check_feed

HIGHEST = 10**13


def settings(address: str, **changes: Any) -> ChainlinkFeed:
    document = {"kind": "chainlink", "asset": "ETH", "address": address, "url_env": "NODE", **changes}
    return ChainlinkFeed.model_validate(document)


def reader(chain: Chain, proxy: Any, **changes: Any) -> ChainlinkRounds:
    return ChainlinkRounds(settings(proxy.address, **changes), chain.node())


class Floor:
    """Our own aggregators behind our own proxy, with the surface of `tests.onchain.deploy.Chainlink`."""

    def __init__(self, chain: Chain, decimals: int = 8) -> None:
        self._chain = chain
        self.aggregator = self.new_aggregator(decimals)
        self.proxy = chain.deploy(own("aggregator_proxy"), self.aggregator.address)

    def new_aggregator(self, decimals: int = 8) -> Any:
        return self._chain.deploy(own("aggregator"), decimals, "ETH / USD", 1, HIGHEST)

    def submit(self, number: int, answers: Sequence[int], aggregator: Any = None) -> None:
        functions = (aggregator or self.aggregator).functions
        self._chain.send(functions.push(answers[0]))
        assert functions.latestRound().call() == number

    def change_phase(self, aggregator: Any) -> None:
        self._chain.send(self.proxy.functions.confirmAggregator(aggregator.address))
        self.aggregator = aggregator


def make(chain: Chain) -> Any:
    return Chainlink(chain, highest=HIGHEST) if isinstance(chain, AnvilChain) else Floor(chain)


def two_phases(chain: Chain) -> Any:
    """Three rounds, a new aggregator that writes before its phase begins, and an old one that goes on after."""
    feed = make(chain)
    for number, answer in enumerate((2000, 2010, 1990), 1):
        chain.warp(3600)
        feed.submit(number, [answer * 10**8])
    old, new = feed.aggregator, feed.new_aggregator()
    for number, answer in enumerate((1980, 1985), 1):
        chain.warp(60)
        feed.submit(number, [answer * 10**8], new)
    chain.warp(60)
    feed.submit(4, [1991 * 10**8], old)
    chain.warp(600)
    feed.change_phase(new)
    chain.warp(60)
    feed.submit(5, [1992 * 10**8], old)
    for number, answer in ((3, 1700), (4, 1710)):
        chain.warp(3600)
        feed.submit(number, [answer * 10**8])
    return feed


def test_every_past_block_is_answered_as_the_proxy_did(chain: Chain) -> None:
    """At each block the last row known by then is what `latestRoundData` said at that block."""
    feed = two_phases(chain)
    rows = list(collect(reader(chain, feed.proxy)).rows.rows())
    node, told = chain.node(), 0
    for number in range(chain.number + 1):
        result = node.call(Call(feed.proxy.address, LATEST), number)
        known = [row for row in rows if row["known_at"] <= node.block(number).time]
        if not result.ok:
            assert not known or not node.code(feed.proxy.address, number)
            continue
        round_id, answer, started, updated, _ = result.values
        last = known[-1]
        assert (last["phase"], last["round"]) == (round_id >> 64, round_id & (2**64 - 1))
        assert Decimal(last["answer"]) * 10**8 == answer
        assert (last["started_at"], last["observed_at"]) == (started, updated)
        told += 1
    assert told > 10
    assert [(row["phase"], row["round"]) for row in rows] == [(1, 1), (1, 2), (1, 3), (1, 4), (2, 2), (2, 3), (2, 4)]
    assert rows[4]["answer"] == "1985.00000000"
    assert rows[4]["observed_at"] < rows[3]["observed_at"] < rows[4]["known_at"]


def test_rounds_keep_the_contract_of_feeds(chain: Chain) -> None:
    check_feed(reader(chain, two_phases(chain).proxy))


def test_what_comes_later_changes_nothing(chain: Chain) -> None:
    """A span read before and after a phase change, rounds and an open round is the same."""
    feed = make(chain)
    for number in (1, 2, 3):
        chain.warp(3600)
        feed.submit(number, [2000 * 10**8 + number])
    stop = chain.now() + 1
    before = collect(reader(chain, feed.proxy), 0, stop)
    new = feed.new_aggregator()
    feed.submit(1, [10**8], new)
    feed.change_phase(new)
    chain.warp(60)
    feed.submit(2, [2 * 10**8])
    after = collect(reader(chain, feed.proxy), 0, stop)
    assert before.rows.digest() == after.rows.digest()
    assert before.counted == after.counted
    assert len(collect(reader(chain, feed.proxy)).rows) == 5


def test_facts_say_what_the_feed_is(chain: Chain) -> None:
    feed = two_phases(chain)
    facts = reader(chain, feed.proxy).facts()
    assert facts["description"] == "ETH / USD"
    assert (facts["phase"], facts["round"], facts["answer"]) == ("2", "4", "1710.00000000")
    assert (facts["clamp_low"], facts["clamp_high"]) == ("0.00000001", "100000.00000000")
    assert facts["aggregator"] == feed.aggregator.address.lower()
    assert facts["block_hash"] == chain.node().final_block().hash


def test_prices_and_rounds_of_one_proxy_ask_for_each_round_once(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two feeds of one proxy, fetched at the same time and again after two more rounds: what was read is not asked."""
    feed = two_phases(chain)
    asked: Counter[int] = Counter()
    original = ChainlinkRounds._read

    def counting(self: ChainlinkRounds, calls: Any, block: int) -> Any:
        asked.update(one.arguments[0] for one in calls if one.signature == ROUND)
        return original(self, calls, block)

    monkeypatch.setattr(ChainlinkRounds, "_read", counting)
    prices = RoundPrices(settings(feed.proxy.address, interval="1m", heartbeat="2h"), chain.node())
    alone = collect(reader(chain, feed.proxy)).rows
    asked.clear()
    store = Store(tmp_path)
    assert {one.status for one in fetch_all(store, [prices, prices.rounds], workers=2)} == {Status.GOOD}
    assert store.read(prices.rounds.spec).digest() == alone.digest()
    assert len(asked) >= len(alone)
    complete = [(row["phase"] << 64) | row["round"] for row in alone.rows()]
    assert {asked[one] for one in complete} == {1}
    for number in (5, 6):
        chain.warp(600)
        feed.submit(number, [1700 * 10**8 + number])
    fetch_all(store, [prices, prices.rounds], workers=2)
    assert {asked[one] for one in complete} == {1}
    assert len(store.read(prices.rounds.spec)) == len(alone) + 2


def test_a_span_before_the_chain_has_no_rounds_and_prices_begin_with_the_first(chain: Chain) -> None:
    """The first fetch asks for all there was before its start, which is nothing."""
    feed = two_phases(chain)
    opened = reader(chain, feed.proxy)
    for stop in (0, 1, chain.node().block(0).time):
        assert len(collect(opened, 0, stop).rows) == 0
    chain.warp(60)
    chain.mine()
    prices = RoundPrices(settings(feed.proxy.address, interval="1m", heartbeat="2h"), chain.node())
    assert set(collect(prices).rows["value"].tolist()) == {2000.0, 2010.0, 1990.0, 1991.0, 1985.0, 1700.0, 1710.0}


def test_rounds_of_a_way_that_the_chain_left_are_asked_for_again(chain: Chain) -> None:
    feed = make(chain)
    chain.warp(3600)
    feed.submit(1, [2000 * 10**8])
    fork = chain.snapshot()
    opened = reader(chain, feed.proxy)
    for answer in (1900, 1950):
        chain.warp(3600)
        feed.submit(2, [answer * 10**8])
        assert collect(opened).rows["answer"].tolist() == ["2000.00000000", f"{answer}.00000000"]
        chain.revert(fork)
        fork = chain.snapshot()
        chain.mine(3)


def test_aggregators_keep_the_contract_of_feeds(chain: Chain) -> None:
    """Four phases, the first from its first round on; each later one from the block that changed to it."""
    feed = make(chain)
    chain.warp(3600)
    feed.submit(1, [2000 * 10**8])
    since = [chain.now()]
    for _ in range(3):
        chain.warp(3600)
        new = feed.new_aggregator()
        feed.submit(1, [2010 * 10**8], new)
        feed.change_phase(new)
        since.append(chain.now())
    chain.warp(3600)
    source = Aggregators(reader(chain, feed.proxy))
    check_feed(source)
    rows = collect(source).rows
    assert rows["known_at"].tolist() == since
    assert rows["phase"].tolist() == [1, 2, 3, 4]
    assert rows["aggregator"][-1] == feed.aggregator.address.lower()
    assert set(rows["description"].tolist()) == {"ETH / USD"}
    assert set(rows["clamp_high"].tolist()) == {"100000.00000000"}


def test_history_in_few_requests(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three hundred rounds in batches of twenty: a span of fifty takes few of them beside the fixed reads."""
    monkeypatch.setattr("oracle_adapters.chainlink.BATCH", 20)
    feed = Floor(chain)
    start = chain.now() - 300 * 60
    for first in range(0, 300, 150):
        times = [start + 60 * (first + i) for i in range(150)]
        chain.send(feed.aggregator.functions.store_many(first + 1, [10**8 + first + i for i in range(150)], times))
    node = chain.node()
    source = ChainlinkRounds(settings(feed.proxy.address), node)
    whole = collect(source).rows
    assert whole["answer"].tolist() == [f"{1 + i / 10**8:.8f}" for i in range(300)]
    fixed = 12
    assert node.requests <= 300 / 20 + fixed
    node.requests = 0
    part = collect(source, start + 60 * 150, start + 60 * 200).rows
    assert part["round"].tolist() == list(range(151, 201))
    assert node.requests <= 2 * 2 + 5 + fixed, "two batches a bracket, and those that cover the span"


def test_holes_backfills_and_zeros(chain: Chain) -> None:
    """A round that never completed, one closed with an earlier answer, zero and negative answers, and a reset clock."""
    feed = Floor(chain)
    put, now = feed.aggregator.functions.store, chain.now()
    stored = [(1, 10**8, 1), (2, 2 * 10**8, 2), (4, 2 * 10**8, 2), (5, 0, 5), (6, -3, 6), (9, 4 * 10**8, 9)]
    for number, answer, answered in stored:
        at = now - 1000 + 10 * number
        chain.send(put(number, answer, at, at, answered))
    chain.send(put(10, 5 * 10**8, now - 990, now - 990, 10))
    chain.send(put(11, 6 * 10**8, 0, 0, 11))
    chunk = collect(reader(chain, feed.proxy))
    assert chunk.rows["round"].tolist() == [1, 2, 5, 6, 9]
    assert chunk.rows["answer"].tolist() == ["1.00000000", "2.00000000", "0.00000000", "-0.00000003", "4.00000000"]
    assert dict(chunk.counted) == {"incomplete": 3, "backfilled": 1, "disordered": 1}
    prices = rounds_to_prices(chunk.rows)
    assert prices.rows["value"].tolist() == [1.0, 2.0, 4.0]
    assert dict(prices.counted) == {"nonpositive": 2}


def test_large_answers_are_exact(chain: Chain) -> None:
    aggregator = chain.deploy(own("aggregator"), 18, "ETH / USD", -(2**191), 2**191)
    largest = 2**191 - 1
    for answer in (largest, -largest, 1):
        chain.warp(STEP)
        chain.send(aggregator.functions.push(answer))
    proxy = chain.deploy(own("aggregator_proxy"), aggregator.address)
    texts = collect(reader(chain, proxy)).rows["answer"].tolist()
    assert [int(text.replace(".", "")) for text in texts] == [largest, -largest, 1]
    assert texts[2] == "0.000000000000000001"


def test_an_aggregator_without_a_proxy_is_phase_zero(chain: Chain) -> None:
    feed = make(chain)
    for number in (1, 2, 3, 4):
        chain.warp(60)
        feed.submit(number, [number * 10**8])
    source = reader(chain, feed.aggregator)
    assert set(collect(source).rows["phase"].tolist()) == {0}
    check_feed(source)


def test_other_decimals_are_refused_and_each_phase_has_its_own(chain: Chain) -> None:
    feed = Floor(chain)
    chain.warp(60)
    feed.submit(1, [2000 * 10**8])
    feed.change_phase(feed.new_aggregator(18))
    chain.send(feed.aggregator.functions.push(HIGHEST))
    answers = collect(reader(chain, feed.proxy)).rows["answer"].tolist()
    assert answers == ["2000.00000000", "0.000010000000000000"]
    with pytest.raises(DataError, match=r"other decimals than the settings say, in phase 2 \(found 18\)\. Expected 8"):
        collect(reader(chain, feed.proxy, decimals=8))


def test_a_feed_that_keeps_contracts_out_is_read_directly(chain: Chain) -> None:
    """An access-controlled aggregator answers an account, and no contract such as Multicall3."""
    feed = Floor(chain)
    for answer in (1, 2, 3):
        chain.warp(60)
        chain.send(feed.aggregator.functions.push(answer * 10**8))
    chain.send(feed.aggregator.functions.close())
    assert collect(reader(chain, feed.aggregator)).rows["round"].tolist() == [1, 2, 3]
    with pytest.raises(DataError, match="keeps its readers out"):
        collect(reader(chain, feed.proxy))
    chain.send(feed.aggregator.functions.admit(feed.proxy.address))
    assert collect(reader(chain, feed.proxy)).rows["round"].tolist() == [1, 2, 3]


def test_what_is_no_feed_is_named(chain: Chain) -> None:
    token = chain.deploy(own("token"), "T", "T", 18)
    for address in (ZERO, token.address, chain.accounts[1]):
        with pytest.raises(DataError, match=f"contract {address}: latestRoundData.* failed"):
            collect(ChainlinkRounds(settings(address), chain.node()))


def test_blocks_without_confirmations_are_not_read(chain: Chain) -> None:
    feed = make(chain)
    for number in (1, 2, 3):
        chain.warp(60)
        feed.submit(number, [number * 10**8])
    source = ChainlinkRounds(settings(feed.proxy.address), chain.node(confirmations=2))
    assert collect(source).rows["round"].tolist() == [1, 2], "the third has one block on top of it, itself"
    chain.mine(2)
    assert collect(source).rows["round"].tolist() == [1, 2, 3]


def test_a_reorganisation_across_the_last_block_is_named(chain: Chain) -> None:
    """A round is read, replaced by another one, and the fetch that resumes from it says so."""
    feed = make(chain)
    chain.warp(60)
    feed.submit(1, [10**8])
    fork = chain.snapshot()
    chain.warp(60)
    feed.submit(2, [2 * 10**8])
    node = chain.node()
    first = ChainlinkRounds(settings(feed.proxy.address), node)
    assert collect(first).rows["answer"].tolist()[-1] == "2.00000000"
    seen = node.final_block()
    assert len(collect(ChainlinkRounds(settings(feed.proxy.address), node, resume=seen)).rows) == 2
    chain.revert(fork)
    with pytest.raises(NodeBehindError):
        collect(ChainlinkRounds(settings(feed.proxy.address), node, resume=seen))
    chain.warp(61)
    feed.submit(2, [3 * 10**8])
    chain.mine(2)
    with pytest.raises(ReorganizedError, match="more confirmations"):
        collect(ChainlinkRounds(settings(feed.proxy.address), node, resume=seen))
    assert collect(first).rows["answer"].tolist()[-1] == "3.00000000"


def test_samples_are_what_was_served_then(chain: Chain) -> None:
    """Hourly samples; an answer of zero and a round that is too old leave a hole and are counted."""
    feed = Floor(chain)
    base = -(-chain.now() // 3600) * 3600
    put = feed.aggregator.functions.store
    for number, (at, answer) in enumerate([(0, 10), (4000, 11), (8000, 0), (11000, 12), (30000, 13)], 1):
        chain.send(put(number, answer * 10**8, base + at, base + at, number))
    chain.warp(base + 36000 - chain.now())
    source = RoundPrices(settings(feed.proxy.address, interval="1h", heartbeat="1h"), chain.node())
    chunk = collect(source)
    hours = ((chunk.rows["observed_at"] - base) // 3600).tolist()
    assert hours == [0, 1, 2, 4, 9]
    assert chunk.rows["value"].tolist() == [10.0, 10.0, 11.0, 12.0, 13.0]
    assert dict(chunk.counted) == {"stale": 5, "nonpositive": 1}
    check_feed(source)
    assert len(collect(source, base, FOREVER).rows) == 5


def test_no_price_while_the_sequencer_is_down_or_just_back(chain: Chain) -> None:
    feed, uptime = Floor(chain), chain.deploy(own("aggregator"), 0, "L2 Sequencer Uptime Status Feed", 0, 1)
    base = -(-chain.now() // 3600) * 3600
    for number in range(12):
        at = base + 3600 * number
        chain.send(feed.aggregator.functions.store(number + 1, 10**8, at, at, number + 1))
    for number, (at, down) in enumerate([(0, 0), (3600 * 3, 1), (3600 * 5, 0), (3600 * 9 + 60, 1)], 1):
        chain.send(uptime.functions.store(number, down, base + at, base + at, number))
    chain.warp(base + 12 * 3600 - chain.now())
    changes = {"interval": "1h", "sequencer": uptime.address, "grace": "90m"}
    chunk = collect(RoundPrices(settings(feed.proxy.address, **changes), chain.node()))
    assert ((chunk.rows["observed_at"] - base) // 3600).tolist() == [0, 1, 2, 7, 8, 9]
    assert dict(chunk.counted) == {"sequencer": 7}


def test_an_outage_that_is_reported_late_withdraws_what_was_served(chain: Chain, tmp_path: Path) -> None:
    """Six hours are stored; then a report dates an outage two and a half hours back.

    From the report on the prices since then count no more, as if fetched afresh; as of before it they were known.
    """
    feed, uptime = Floor(chain), chain.deploy(own("aggregator"), 0, "L2 Sequencer Uptime Status Feed", 0, 1)
    base = -(-chain.now() // 3600) * 3600
    for number in range(12):
        at = base + 3600 * number
        chain.send(feed.aggregator.functions.store(number + 1, 10**8, at, at, number + 1))
    chain.send(uptime.functions.store(1, 0, base, base, 1))
    chain.warp(base + 6 * 3600 + 600 - chain.now())
    chosen = settings(feed.proxy.address, interval="1h", heartbeat="2h", sequencer=uptime.address, grace="30m")
    store, opened = Store(tmp_path / "kept"), RoundPrices(chosen, chain.node())
    assert fetch_one(store, opened).added == 7
    early = store.read(opened.spec)

    chain.send(uptime.functions.store(2, 1, base + 3 * 3600 + 1800, chain.now(), 2))
    chain.send(uptime.functions.store(3, 0, base + 8 * 3600, base + 8 * 3600, 3))
    chain.warp(base + 11 * 3600 - chain.now())
    found = fetch_one(store, opened)
    assert (found.status, found.error, found.counted["withdrawn"]) == (Status.GOOD, None, 3)
    hours = ((store.read(opened.spec)["observed_at"] - base) // 3600).tolist()
    assert hours == [0, 1, 2, 3, 9, 10, 11]
    clean = Store(tmp_path / "clean")
    fetch_one(clean, opened)
    assert store.content_hash(opened.spec) == clean.content_hash(opened.spec)
    before = store.read(opened.spec, known_at=base + 6 * 3600)
    assert before.digest() == early.digest(), "as of before the report nothing has changed"
    assert store.counted(opened.spec)["withdrawn"] == 3
    again = fetch_one(store, opened)
    assert (again.status, again.added, "withdrawn" in again.counted) == (Status.GOOD, 0, False)

    rows = tmp_path / "rows.csv"
    export_rows(store, rows)
    moved = Store(tmp_path / "moved")
    import_rows(moved, rows)
    assert moved.content_hash(opened.spec) == store.content_hash(opened.spec)


@pytest.mark.chain
def test_a_timed_out_round_is_dropped_as_the_contract_makes_it(real_chain: AnvilChain) -> None:
    """FluxAggregator closes a round that too few oracles answered with the answer before, once it has timed out."""
    chain = real_chain
    feed = Chainlink(chain, oracles=3)
    chain.warp(60)
    feed.submit(1, [100, 101, 102])
    chain.warp(60)
    feed.submit(2, [90])
    opened = collect(ChainlinkRounds(settings(feed.proxy.address), chain.node()))
    assert opened.rows["round"].tolist() == [1]
    chain.warp(1801)
    feed.submit(3, [80, 81, 82])
    chunk = collect(ChainlinkRounds(settings(feed.proxy.address), chain.node()))
    assert chunk.rows["round"].tolist() == [1, 3]
    assert chunk.rows["answer"].tolist() == ["0.00000101", "0.00000081"]
    assert dict(chunk.counted) == {"backfilled": 1}


@pytest.mark.chain
def test_a_clamped_feed_stays_where_it_was(real_chain: AnvilChain) -> None:
    """Below its smallest answer the aggregator refuses, so the last price stays: the clamp is a fact of the feed."""
    feed = Chainlink(real_chain, lowest=10**7)
    real_chain.warp(60)
    feed.submit(1, [10**7])
    with pytest.raises(Exception, match="value below minSubmissionValue"):
        feed.aggregator.functions.submit(2, 10**7 - 1).call({"from": feed.oracles[0]})
    source = ChainlinkRounds(settings(feed.proxy.address), real_chain.node())
    assert source.facts()["clamp_low"] == source.facts()["answer"] == "0.10000000"


def test_a_replaced_node_is_noticed_within_a_fetch(chain: Chain) -> None:
    """The block that a fetch pinned is checked again at its end."""
    feed = make(chain)
    chain.warp(60)
    fork = chain.snapshot()
    feed.submit(1, [10**8])
    chunks = ChainlinkRounds(settings(feed.proxy.address), chain.node()).fetch(0, FOREVER)
    assert len(next(chunks).rows) == 1
    chain.revert(fork)
    chain.warp(7)
    chain.mine(2)
    with pytest.raises(ReorganizedError):
        list(chunks)


def test_the_node_stays_out_of_messages() -> None:
    url = "http://127.0.0.1:9/v2/0123456789abcdef"
    with pytest.raises(SourceError, match="the connection was refused") as caught:
        Node(url, name="node:NODE", manners=Manners(attempts=1)).final_block()
    assert "0123456789abcdef" not in str(caught.value)
