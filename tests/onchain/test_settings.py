"""A Chainlink feed that the settings name: opened by the registry, sampled into prices, and its secrets kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from oracle_adapters.feed import collect, price_series
from oracle_adapters.registry import OPENERS
from oracle_adapters.rpc import ChainMismatchError
from risk.errors import SettingsError
from risk.feed_settings import ChainlinkFeed
from risk.settings import read_settings
from tests.onchain.chains import AnvilChain
from tests.onchain.deploy import Chainlink

pytestmark = pytest.mark.chain


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
    declared = ChainlinkFeed.model_validate(document)
    opener = OPENERS[ChainlinkFeed]
    monkeypatch.delenv("RISKCAL_TEST_NODE", raising=False)
    with pytest.raises(SettingsError, match="RISKCAL_TEST_NODE: the environment variable is not set"):
        opener(declared, settings, repository)

    monkeypatch.setenv("RISKCAL_TEST_NODE", real_chain.url)
    (opened,) = opener(declared, settings, repository)
    (series,) = price_series(opened.spec, collect(opened).rows)
    assert (series.base, series.quote, series.field, series.interval) == ("ETH", "USD", "close", 3600)
    assert 2 <= len(series) <= 4
    assert set(series.value.tolist()) <= {2001.0, 2002.0, 2003.0, 2004.0, 2005.0, 2006.0}
    assert real_chain.url not in str(opened.facts())

    wrong = declared.model_copy(update={"chain_id": 1})
    with pytest.raises(ChainMismatchError, match="Expected 1"):
        collect(opener(wrong, settings, repository)[0])
