"""Real Chainlink feeds through the user's path: a settings file, `riskcal fetch`, `riskcal feeds`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from oracle_adapters.store import Store
from tests.onchain.chains import GENESIS_TIME, STEP, AnvilChain, staked_vault
from tests.onchain.commands import STORE, URL_ENV, Commands, chainlink
from tests.onchain.deploy import Chainlink

pytestmark = pytest.mark.chain
HOUR = 3600


@pytest.fixture
def commands(
    real_chain: AnvilChain, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Commands:
    monkeypatch.setenv(URL_ENV, real_chain.url)
    return Commands(tmp_path, capsys)


def grown(chain: AnvilChain, feed: Chainlink, answers: list[int], first: int = 1) -> dict[int, float]:
    """Submit answers, one an hour; the price at each full hour that passed since."""
    served: dict[int, float] = {}
    for number, answer in enumerate(answers, first):
        feed.submit(number, [answer * 10**8])
        start = chain.now()
        chain.warp(HOUR - STEP)
        hours = range(-(-start // HOUR) * HOUR, chain.now() + 1, HOUR)
        served.update(dict.fromkeys(hours, float(answer)))
    return served


def over_a_phase_change(chain: AnvilChain) -> tuple[Chainlink, dict[int, float]]:
    """Eight rounds, an aggregator that had written three before its phase began, and eight rounds of it."""
    feed = Chainlink(chain, "ETH / USD")
    served = grown(chain, feed, [2000 + number for number in range(8)])
    new = feed.new_aggregator()
    for number in (1, 2, 3):
        feed.submit(number, [(2990 + number) * 10**8], new)
    feed.change_phase(new)
    return feed, served | grown(chain, feed, [3100 + number for number in range(8)], 4)


@pytest.mark.parametrize("start", [None, "1970-01-01", "2020-01-01"])
def test_a_feed_past_its_first_phase_is_fetched_into_a_fresh_store(
    real_chain: AnvilChain, commands: Commands, start: str | None
) -> None:
    """From the chain's beginning, and from before there was a chain."""
    feed, served = over_a_phase_change(real_chain)
    commands.write([chainlink(real_chain, "ETH", feed.proxy.address)])
    span = () if start is None else ("--start", start)
    fetched = commands.run("fetch", "--json", *span)
    assert (fetched.code, [row["error"] for row in fetched.document["feeds"]]) == (0, [None] * 3)
    store = Store(commands.folder / STORE)
    behind, prices, rounds = (store.read(spec) for spec in sorted(store.specs(), key=lambda spec: spec.kind))
    assert dict(zip(prices["observed_at"].tolist(), prices["value"].tolist(), strict=True)) == served
    assert rounds["phase"].tolist() == [1] * 8 + [2] * 9, "of the three early rounds the last was served"

    assert behind["phase"].tolist() == [1, 2]
    assert behind["known_at"].tolist() == [rounds["known_at"][0], rounds["known_at"][8]]

    again = commands.run("fetch", *span)
    assert (again.code, "0 rows added" in again.out) == (0, True)
    shown = commands.run("feeds", "--json")
    assert shown.code == 0
    assert [row["rows"] for row in shown.document["feeds"]] == [len(served)]


def test_a_feed_past_its_first_phase_is_read_live(real_chain: AnvilChain, commands: Commands) -> None:
    feed, served = over_a_phase_change(real_chain)
    commands.write([chainlink(real_chain, "ETH", feed.proxy.address)], store=None)
    shown = commands.run("feeds", "--json")
    assert (shown.code, shown.err) == (0, "")
    assert [row["rows"] for row in shown.document["feeds"]] == [len(served)]
    early = commands.run("feeds", "--json", "--as-of", "2020-01-01")
    assert early.code == 2
    assert "nothing was known at the as-of date" in early.err


def test_the_chain_begins_where_it_says(real_chain: AnvilChain) -> None:
    """What the starts above lie before."""
    assert real_chain.node().block(0).time == GENESIS_TIME


def test_a_clamp_is_in_the_health_of_a_feed_live_and_from_the_store(real_chain: AnvilChain, commands: Commands) -> None:
    """LUNA's oracle at its floor of .10; a day before, at 18, the floor lay within the reach of a collapse only."""
    feed = Chainlink(real_chain, "LUNA / USD", lowest=10**7, highest=10**14)
    served = grown(real_chain, feed, [18, 17, 16, 15, 14])
    before = max(served)
    for number in (6, 7):
        feed.submit(number, [10**7])
        real_chain.warp(HOUR - STEP)
    declared = [chainlink(real_chain, "LUNA", feed.proxy.address)]
    said = []
    for store in (None, STORE):
        commands.write(declared, store=store)
        if store is not None:
            assert commands.run("fetch").code == 0
        for span in ((), ("--as-of", str(np.datetime64(before, "s")) + "Z")):
            shown = commands.run("feeds", "--json", *span)
            (row,) = [row for row in shown.document["quality"] if row["check"] == "clamps"]
            said.append((shown.code, row["verdict"], row["count"], row["detail"].partition(":")[0]))
    now = (1, "bad", 2, "0.1 is its floor, the market may be beyond it")
    then = (0, "suspect", 0, "its floor lies a factor of 140 from 14, where it stands")
    assert said == [now, then] * 2


def test_a_feed_of_another_pair_is_refused_by_its_name(real_chain: AnvilChain, commands: Commands) -> None:
    feed = Chainlink(real_chain, "BTC / USD")
    grown(real_chain, feed, [60_000, 60_010])
    document = chainlink(real_chain, "ETH", feed.proxy.address)
    commands.write([document])
    found = commands.run("fetch", "--json")
    assert found.code == 2
    for row in found.document["feeds"]:
        assert row["status"] == "refused"
        assert "description: the feed says of itself that it is another one's" in row["error"]
        assert "(found 'BTC / USD'). Expected ETH / USD" in row["error"]
    for asset, more in (("WBTC", {}), ("ETH", {"description": "BTC / USD"})):
        commands.write([document | {"asset": asset} | more])
        assert commands.run("fetch").code == 0


def test_a_price_feed_is_no_uptime_feed(real_chain: AnvilChain, commands: Commands) -> None:
    feed = Chainlink(real_chain, "ETH / USD")
    nameless = Chainlink(real_chain, "")
    for one in (feed, nameless):
        grown(real_chain, one, [2000, 2010])
    for sequencer, said in ((feed, "(found 'ETH / USD')"), (nameless, "(found '2000.00000000')")):
        address = sequencer.proxy.address
        commands.write([chainlink(real_chain, "ETH", feed.proxy.address, sequencer=address)])
        found = commands.run("fetch")
        assert found.code == 2
        assert "sequencer: this is a price feed and no uptime feed of a sequencer, whose answers are 0" in found.out
        assert said in found.out
    uptime = Chainlink(real_chain, "L2 Sequencer Uptime Status Feed", decimals=0, lowest=0, highest=1)
    uptime.submit(1, [0])
    named = {"description": "ETH / USD", "sequencer": uptime.proxy.address}
    commands.write([chainlink(real_chain, "ETH", feed.proxy.address, **named)])
    assert commands.run("fetch").code == 0, "the description is that of the price feed"


@pytest.mark.parametrize("told", [None, "24h"])
def test_a_slow_feed_is_judged_by_its_heartbeat(real_chain: AnvilChain, commands: Commands, told: str | None) -> None:
    """USDC/USD beats once a day: sampled every hour it is healthy, left without a round for four days it is bad."""
    feed = Chainlink(real_chain, "USDC / USD")
    rng = np.random.default_rng(1)
    for number in range(1, 21):
        feed.submit(number, [10**8 + int(rng.integers(-30_000, 30_000))])
        real_chain.warp(24 * HOUR - STEP)
    document = chainlink(real_chain, "USDC", feed.proxy.address)
    document = {name: value for name, value in document.items() if name != "heartbeat"}
    commands.write([document if told is None else document | {"heartbeat": told}])
    assert commands.run("fetch").code == 0
    shown = commands.run("feeds", "--json")
    (row,) = shown.document["feeds"]
    assert (shown.code, row["gaps"], row["rows"]) == (0, 0, 20 * 24)
    assert {name for one in row["checks"] for name in [one.partition(":")[0]]} == {"update_rule"}
    (frozen,) = [one for one in shown.document["quality"] if one["check"] == "frozen"]
    said = "declared" if told else "measured"
    assert frozen["detail"] == f"heartbeat 86400 s, {said}: prices repeat between updates"

    real_chain.warp(96 * HOUR)
    commands.run("fetch")
    dead = commands.run("feeds", "--json")
    assert dead.code == (1 if told is None else 0), "with a declared heartbeat the old price is left out"
    (frozen,) = [one for one in dead.document["quality"] if one["check"] == "frozen"]
    if told is None:
        assert (frozen["verdict"], frozen["count"]) == ("bad", 1)
        assert "at the end, heartbeat 86400 s, measured" in frozen["detail"]


def test_where_nothing_answers_yet_it_says_what_was_left_out(real_chain: AnvilChain, commands: Commands) -> None:
    since = real_chain.now()
    real_chain.warp(3 * HOUR)
    before = real_chain.now()
    real_chain.warp(3 * HOUR)
    address = staked_vault(real_chain)[0].address
    document = {
        "kind": "wrapper", "asset": "WSTETH", "quote": "USD", "rate": "erc4626", "address": address,
        "url_env": URL_ENV, "chain_id": 31337, "confirmations": 0, "interval": "1h",
        "start": str(np.datetime64(since, "s")),
    }  # fmt: skip
    commands.write([document], store=None)
    found = commands.run("feeds", "--as-of", f"{np.datetime64(before, 's')}Z")
    assert found.code == 2
    assert "nothing was known at the as-of date" in found.err
    assert "Left out in reading were " in found.err
    assert " unanswered" in found.err


def test_a_rate_that_moves_every_five_hours_is_healthy(real_chain: AnvilChain, commands: Commands) -> None:
    vault, token = staked_vault(real_chain)
    since = real_chain.now()
    for _ in range(6):
        real_chain.send(token.functions.mint(vault.address, 10**18))
        real_chain.warp(5 * HOUR - STEP)
    document = {
        "kind": "wrapper", "asset": "WSTETH", "quote": "USD", "rate": "erc4626", "address": vault.address,
        "url_env": URL_ENV, "chain_id": 31337, "confirmations": 0, "interval": "1h",
        "start": str(np.datetime64(since, "s")),
    }  # fmt: skip
    commands.write([document], store=None)
    shown = commands.run("feeds", "--json")
    assert (shown.code, shown.document["feeds"][0]["checks"]) == (0, [])
    real_chain.warp(20 * HOUR)
    assert "frozen: longest wait" in commands.run("feeds", "--json").document["feeds"][0]["checks"][0]
