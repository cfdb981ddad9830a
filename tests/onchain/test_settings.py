"""Feeds on chain that the settings name: opened by the registry, sampled into prices, multiplied along a path."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oracle_adapters import onchain
from oracle_adapters.feed import collect, price_series
from oracle_adapters.fetching import Status, fetch_all
from oracle_adapters.onchain import open_onchain
from oracle_adapters.registry import OPENERS, open_feeds
from oracle_adapters.rpc import ChainMismatchError
from oracle_adapters.sampled import SampledPrices
from oracle_adapters.snapshot import build_snapshot
from oracle_adapters.store import Store
from oracle_adapters.transport import Manners
from risk.errors import DataError, SettingsError
from risk.feed_settings import ChainlinkFeed, UniswapFeed
from risk.market import MarketSnapshot, Verdict
from risk.settings import Fetch, Settings, read_settings
from tests.factories import _SETTINGS
from tests.onchain.chains import AnvilChain, Chain, own, staked_vault
from tests.onchain.commands import URL_ENV, Commands
from tests.onchain.deploy import Chainlink
from tests.onchain.test_chainlink import Floor
from tests.onchain.test_pyth_wrappers import ETH
from tests.onchain.test_uniswap_v3 import made

HOUR = 3600


@pytest.fixture
def url_env(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> str:
    """The chain as the settings name it: an in-process one has no URL, so its provider takes the URL's place."""
    if isinstance(chain, AnvilChain):
        monkeypatch.setenv("RISKCAL_TEST_NODE", chain.url)
    else:
        monkeypatch.setattr(onchain, "secret", lambda _: chain.web3.provider)
    return "RISKCAL_TEST_NODE"


def declared(
    chain: Chain, url_env: str, kind: str, asset: str, quote: str, address: str, **more: Any
) -> dict[str, Any]:
    return {
        "kind": kind, "asset": asset, "quote": quote, "address": address, "url_env": url_env, "interval": "1h",
        "chain_id": chain.web3.eth.chain_id, "confirmations": 0, **more,
    }  # fmt: skip


def settings_of(feeds: list[dict[str, Any]], **more: Any) -> Settings:
    bases = sorted({feed["asset"] for feed in feeds})
    assets = {name: {"asset_class": "large_cap"} for name in bases}
    parts = {"assets": assets, "markets": {"perps": {"protocol": "generic"}}, "feeds": feeds, "oracles": {}, **more}
    return Settings.model_validate(_SETTINGS | parts)


def closes(snapshot: MarketSnapshot, asset: str) -> dict[int, float]:
    close = snapshot.close(asset)
    return dict(zip(close.observed_at.tolist(), close.value.tolist(), strict=True))


def test_a_wrappers_rate_times_a_price_is_a_price_in_dollars(chain: Chain, url_env: str, tmp_path: Path) -> None:
    """wstETH/USD = wstETH/stETH x stETH/USD: a vault in the place of wstETH, and Pyth's price of stETH."""
    pyth = chain.deploy(own("pyth"))
    vault, token = staked_vault(chain)
    start, expected, state = chain.now(), {}, (1000, 0)
    for number in range(6):
        chain.send(token.functions.mint(vault.address, 10**18))  # a thousandth more for each share
        price = (3000 + number) * 10**8
        chain.send(pyth.functions.set_price(bytes.fromhex(ETH[2:]), price, 10**8, -8, chain.now()))
        state = (1001 + number, 3000 + number)
        chain.warp(HOUR)
        # What holds at the full hour that lies before this block was put there before it.
        expected[chain.now() // HOUR * HOUR] = state[0] / 1000 * state[1]
    since = str(np.datetime64(start, "s"))
    feeds = [
        declared(chain, url_env, "wrapper", "WSTETH", "STETH", vault.address, rate=rate, start=since)
        for rate in ("erc4626",)
    ]
    feeds.append(
        declared(chain, url_env, "pyth", "STETH", "USD", pyth.address, price_id=ETH, start=since, maximum_age="2h")
    )
    settings = settings_of(feeds, composites={"WSTETH/USD": {"path": ["WSTETH/STETH", "STETH/USD"]}})
    snapshot = build_snapshot(settings, root=tmp_path)
    found = closes(snapshot, "WSTETH")
    assert set(found) <= set(expected)
    assert len(found) >= 5
    assert found == pytest.approx({time: expected[time] for time in found}, rel=1e-12)

    store = Store(tmp_path / "kept")
    assert [one.status for one in fetch_all(store, open_feeds(settings, tmp_path))] == [Status.GOOD] * 2
    kept = build_snapshot(settings, root=tmp_path, store=tmp_path / "kept")
    assert kept.artifact().content_hash == snapshot.artifact().content_hash


@pytest.mark.parametrize("rate", ["wsteth", "steth_shares", "function"])
def test_wrappers_tell_their_rate_as_declared(chain: Chain, url_env: str, rate: str, tmp_path: Path) -> None:
    """The vault has all these functions; a cap of 5 % a year keeps a gift of a tenth out, to the integer's digit."""
    vault, token = staked_vault(chain)
    chain.warp(2 * HOUR)
    taken_at = chain.now()
    chain.send(token.functions.mint(vault.address, 10**20))
    chain.warp(2 * HOUR)
    more: dict[str, Any] = {"rate": rate, "start": str(np.datetime64(taken_at - HOUR, "s"))}
    if rate == "function":
        more |= {"function": "getRate", "decimals": 18}
    cap = {"ratio": "1", "taken_at": str(np.datetime64(taken_at, "s")), "growth": "5%"}
    for capped in (False, True):
        feed = declared(chain, url_env, "wrapper", "WSTETH", "USD", vault.address, **more)
        opened = open_feeds(settings_of([feed | ({"cap": cap} if capped else {})]), tmp_path)
        assert len(opened) == 1 + capped
        rows = collect(opened[0]).rows
        assert rows["value"][0] == 1.0
        block = chain.node().block_at(int(rows["observed_at"][-1]))
        limit = float(1 + Fraction(5, 100) * (block.time - taken_at) / (365 * 86_400))
        assert rows["value"][-1] == (limit if capped else 1.1)


def test_the_rule_of_a_feed_is_measured_as_of_the_date(chain: Chain, url_env: str, tmp_path: Path) -> None:
    """An hourly heartbeat and moves of one percent between, from the chain and from the store; none before there were.

    The moves come a quarter of an hour after a beat, every fourth hour.
    """
    feed = Floor(chain)
    base, rounds, answer = -(-chain.now() // HOUR) * HOUR, [], 2000.0
    for hour in range(120):
        rounds.append((base + HOUR * hour, answer))
        if hour % 4 == 3:
            answer *= 1.01 if hour % 8 == 3 else 1 / 1.01
            rounds.append((base + HOUR * hour + 900, answer))
    for first in range(0, len(rounds), 50):
        part = rounds[first : first + 50]
        stored = [round(value * 10**8) for _, value in part], [at for at, _ in part]
        chain.send(feed.aggregator.functions.store_many(first + 1, *stored))
    chain.warp(base + HOUR * 121 - chain.now())
    document = declared(chain, url_env, "chainlink", "ETH", "USD", feed.proxy.address, heartbeat="1h")
    settings = settings_of([document])
    snapshot = build_snapshot(settings, root=tmp_path)
    facts = snapshot.oracle["ETH"]
    assert (facts.heartbeat, facts.latency) == (HOUR, 0)
    assert facts.deviation == pytest.approx(1 - 1 / 1.01, rel=1e-6)
    (row,) = [row for row in snapshot.quality.rows() if row["check"] == "update_rule"]
    assert (row["verdict"], row["count"]) == ("good", len(rounds))

    told = {"ETH": {"deviation": "0.5%", "heartbeat": "1h", "latency": "12s"}}
    doubted = build_snapshot(settings_of([document], oracles=told), root=tmp_path)
    assert doubted.oracle["ETH"].deviation == 0.005
    verdict, why = doubted.verdict("ETH")
    assert verdict is Verdict.SUSPECT
    assert "update_rule" in why

    assert {one.status for one in fetch_all(Store(tmp_path / "kept"), open_feeds(settings, tmp_path))} == {Status.GOOD}
    kept = build_snapshot(settings, root=tmp_path, store=tmp_path / "kept")
    assert kept.oracle == snapshot.oracle
    early = build_snapshot(settings, root=tmp_path, store=tmp_path / "kept", as_of=base + 5 * HOUR)
    assert early.oracle == {}


@pytest.mark.parametrize("inverted", [False, True])
def test_a_pool_of_the_settings_becomes_prices(chain: Chain, url_env: str, tmp_path: Path, inverted: bool) -> None:
    pool, base, _ = made(chain, inverted=inverted)
    for _ in range(6):
        chain.warp(HOUR // 2)
    since = str(np.datetime64(chain.now() - 2 * HOUR, "s"))
    feed = declared(
        chain, url_env, "uniswap_v3", "ETH", "USD", pool.address, token=base.address, window="30m", start=since
    )
    snapshot = build_snapshot(settings_of([feed]), root=tmp_path)
    found = list(closes(snapshot, "ETH").values())
    assert found == pytest.approx([2000.0] * 2, rel=2e-4)


@pytest.mark.parametrize(
    ("kind", "more", "said"),
    [
        ("pyth", {"price_id": "0x12"}, "price_id"),
        ("pyth", {"price_id": ETH, "start": "yesterday"}, "start"),
        ("wrapper", {"rate": "function"}, "the name of the function is needed"),
        ("wrapper", {"rate": "wsteth", "function": "getRate"}, "only there"),
        ("wrapper", {"rate": "wsteth", "decimals": 18}, "decimals"),
        ("wrapper", {"rate": "wsteth", "cap": {"ratio": "0", "taken_at": "2024-01-01", "growth": "5%"}}, "above zero"),
        ("wrapper", {"rate": "wsteth", "cap": {"ratio": "1", "taken_at": "then", "growth": "5%"}}, "taken_at"),
        ("uniswap_v3", {}, "token"),
    ],
)
def test_settings_that_cannot_be_are_refused(kind: str, more: dict[str, Any], said: str) -> None:
    document = {"kind": kind, "asset": "A", "quote": "USD", "address": "0x" + "1" * 40, "url_env": "N", **more}
    with pytest.raises(ValueError, match=said):
        settings_of([document])


def test_nodes_are_asked_with_the_manners_of_the_settings(chain: Chain, url_env: str, tmp_path: Path) -> None:
    """A pace of a thousand a second is that of the node's transport, which all feeds of one node share."""
    fetch = {"attempts": 2, "timeout": "3s", "budget": "9s", "requests_per_second": 1000}
    feed = declared(chain, url_env, "pyth", "ETH", "USD", "0x" + "1" * 40, price_id=ETH)
    (opened,) = open_feeds(settings_of([feed], fetch=fetch), tmp_path)
    assert isinstance(opened, SampledPrices)
    assert opened.node.manners == Manners(attempts=2, timeout=3, budget=9, requests_per_second=1000)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("wss://node.example/v2/{key}", "its URL is one of 'wss'"),
        ("ftp://node.example/v2/{key}", "its URL is one of 'ftp'"),
        ("node.example/v2/{key}", "has no scheme"),
        ("{key}", "has no scheme"),
        ("https:/node.example/{key}", "has no scheme"),
        ("https://", "host and port"),
        ("https:///v2/{key}", "host and port"),
        ("https://no de.example/v2/{key}", "host and port"),
        ("https://node.example:port/v2/{key}", "host and port"),
        ("https://node.example:99999/v2/{key}", "host and port"),
        ("https://*.example/v2/{key}", "host and port"),
        ("https://[::1/v2/{key}", "host and port"),
    ],
)
@pytest.mark.parametrize("verb", ["fetch", "feeds"])
def test_a_url_of_a_node_that_cannot_be_asked_is_2_and_not_shown(
    verb: str, url: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "0123456789abcdefSECRET"
    monkeypatch.setenv(URL_ENV, url.format(key=key))
    commands = Commands(tmp_path, capsys)
    feed = {"kind": "chainlink", "asset": "ETH", "address": "0x" + "1" * 40, "url_env": URL_ENV}
    commands.write([feed], store="kept" if verb == "fetch" else None)
    found = commands.run(verb)
    assert (found.code, found.err.startswith(f"riskcal: {URL_ENV}: ")) == (2, True)
    assert said in found.err
    assert "Give the provider's address that begins with https" in found.err
    assert key not in found.out + found.err


@pytest.mark.chain
def test_a_feed_of_the_settings_becomes_prices(
    real_chain: AnvilChain, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = Chainlink(real_chain)
    for number in range(1, 7):
        real_chain.warp(1800)
        feed.submit(number, [(2000 + number) * 10**8])
    settings = read_settings((repository / "tests/real/riskcal.toml").read_text())
    document = {
        "kind": "chainlink", "asset": "ETH", "address": feed.proxy.address, "url_env": "RISKCAL_TEST_NODE",
        "chain_id": 31337, "confirmations": 0, "decimals": 8, "interval": "1h",
    }  # fmt: skip
    chainlink = ChainlinkFeed.model_validate(document)
    opener = OPENERS[ChainlinkFeed]
    monkeypatch.delenv("RISKCAL_TEST_NODE", raising=False)
    with pytest.raises(SettingsError, match="RISKCAL_TEST_NODE: the environment variable is not set"):
        opener(chainlink, settings, repository)

    monkeypatch.setenv("RISKCAL_TEST_NODE", real_chain.url)
    opened, rounds, _ = opener(chainlink, settings, repository)
    (series,) = price_series(opened.spec, collect(opened).rows)
    assert (series.base, series.quote, series.field, series.interval) == ("ETH", "USD", "close", 3600)
    assert 2 <= len(series) <= 4
    assert set(series.value.tolist()) <= {2001.0, 2002.0, 2003.0, 2004.0, 2005.0, 2006.0}
    assert real_chain.url not in str(opened.facts())
    assert collect(rounds).rows["answer"].tolist() == [f"{2000 + n}.00000000" for n in range(1, 7)]

    wrong = chainlink.model_copy(update={"chain_id": 1})
    with pytest.raises(ChainMismatchError, match="Expected 1"):
        collect(opener(wrong, settings, repository)[0])


def refused(feed: dict[str, Any], tmp_path: Path, **more: Any) -> str:
    """What the fetch of a wrong feed says: refused, nothing kept; and a run without a store says the same."""
    feeds = [feed]
    if feed.get("data") == "depth":  # no price by itself
        tmp_path.mkdir(exist_ok=True)
        (tmp_path / "p.csv").write_text("time,close\n2023-11-01,2000\n2023-11-02,2001\n")
        feeds.append({"kind": "files", "asset": "ETH", "path": "p.csv"})
    settings = settings_of(feeds, **more)
    opened = [one for one in open_feeds(settings, tmp_path) if not one.spec.source.startswith("files:")]
    found = fetch_all(Store(tmp_path / "kept"), opened)[0]
    assert (found.status, found.added) == (Status.REFUSED, 0)
    assert isinstance(found.error, DataError)
    with pytest.raises(DataError) as caught:
        build_snapshot(settings, root=tmp_path)
    assert caught.value.exit_code == 2
    assert str(caught.value) == str(found.error)
    assert found.spec.id in str(found.error)
    return str(found.error)


WRONG: list[tuple[str, str, dict[str, Any], str, str]] = [
    ("pyth", "account", {"price_id": ETH}, r"getPriceUnsafe\(0xff.*01\) failed: no contract answers", "address"),
    ("pyth", "token", {"price_id": ETH}, r"getPriceUnsafe\(", "address"),
    ("pyth", "pyth", {"price_id": "0x" + "cd" * 32}, "price_id: .*no such feed|no such feed.*cdcd", "price id"),
    ("wrapper", "account", {"rate": "erc4626"}, r"decimals\(\) failed: no contract answers", "address"),
    ("wrapper", "token", {"rate": "erc4626"}, r"asset\(\) failed", "address"),
    ("wrapper", "account", {"rate": "wsteth"}, r"stEthPerToken\(\) failed: no contract answers", "address"),
    ("wrapper", "token", {"rate": "function", "function": "getRate"}, r"getRate\(\) failed", "address"),
    ("uniswap_v3", "account", {}, r"observe\(.*failed: no contract answers", "address"),
    ("uniswap_v3", "token", {}, r"observe\(.*failed", "address"),
    ("uniswap_v3", "pool", {"window": "300d"}, r"observe\(.*no observations of 25920000 s", "shorter window"),
    ("uniswap_v3", "pool", {"token": "0x" + "1" * 40}, "does not trade the token", "Check the addresses"),
    ("uniswap_v3", "account", {"data": "depth"}, r"token0\(\) failed: no contract answers", "address"),
]


@pytest.mark.parametrize(("kind", "place", "more", "said", "remedy"), WRONG)
def test_a_wrong_contract_is_refused_by_name(
    chain: Chain, url_env: str, tmp_path: Path, kind: str, place: str, more: dict[str, Any], said: str, remedy: str
) -> None:
    """Contract, function, reason and remedy; in the fetch already, not as a feed that the store does not hold."""
    pool, base, _ = made(chain, inverted=False)
    places = {"account": chain.accounts[4], "token": base.address, "pool": pool.address}
    places["pyth"] = chain.deploy(own("pyth")).address
    for _ in range(4):
        chain.warp(HOUR)
    if kind == "uniswap_v3":
        more = {"token": base.address} | more
    feed = declared(chain, url_env, kind, "ETH", "USD", places[place], **more)
    message = refused(feed, tmp_path)
    assert re.search(said, message), message
    assert remedy.lower() in message.lower()
    assert f"contract {places[place]}" in message


def test_a_contract_that_came_later_is_no_wrong_one(chain: Chain, url_env: str, tmp_path: Path) -> None:
    """As of a date before it was there it is counted; one that is gone by now keeps its past."""
    pyth, start = chain.deploy(own("pyth")), chain.now()
    feed = declared(
        chain, url_env, "pyth", "ETH", "USD", pyth.address, price_id=ETH, start=str(np.datetime64(start, "s"))
    )
    for _ in range(3):
        chain.warp(HOUR)
    chain.send(pyth.functions.set_price(bytes.fromhex(ETH[2:]), 2000 * 10**8, 10**6, -8, chain.now()))
    chain.warp(HOUR)
    (opened,) = open_feeds(settings_of([feed]), tmp_path)
    early = collect(opened, 0, start + 2 * HOUR)
    assert (len(early.rows), early.counted["unanswered"] >= 1) == (0, True)
    assert len(collect(opened).rows) == 1


@pytest.mark.parametrize("data", ["price", "depth"])
def test_a_pool_whose_tokens_are_others_is_refused(chain: Chain, url_env: str, tmp_path: Path, data: str) -> None:
    """By symbols, and by the declared token; of tokens whose symbols tell nothing it is let through."""
    for symbols, swap, said in (
        (("WETH", "USDC"), True, "prices ETH in USD, and its token is the pool's USDC"),
        (("WETH", "USDC"), False, ""),
        (("ETH", "X"), True, "the pool's second token is ETH"),
        (("X", "DAI"), True, "its token is the pool's DAI"),
        (("X", "Y"), True, ""),
    ):
        pool, base, quote = made(chain, inverted=False, symbols=symbols)
        for _ in range(4):
            chain.warp(HOUR)
        token = (quote if swap else base).address
        feed = declared(chain, url_env, "uniswap_v3", "ETH", "USD", pool.address, token=token, data=data)
        if said:
            assert said in refused(feed, tmp_path / symbols[0])
        else:
            assert len(collect(open_onchain(UniswapFeed.model_validate(feed), Fetch())[0]).rows)
    told = {"ETH": {"asset_class": "large_cap", "reserve": "comet", "token": "0x" + "2" * 40}}
    where = {"comet": {"protocol": "compound_v3", "chain_id": chain.web3.eth.chain_id}}
    message = refused(feed, tmp_path / "declared", assets=told, markets=where)
    assert "assets.ETH.token" in message
    assert "not the one that the settings declare" in message
