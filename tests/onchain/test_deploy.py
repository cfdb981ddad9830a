"""The real contracts that other tests lean on are there and do what they are for."""

from __future__ import annotations

import pytest

from tests.onchain.chains import AnvilChain
from tests.onchain.deploy import Aave, Chainlink, Reserve, Uniswap

pytestmark = pytest.mark.chain


def test_chainlink_answers_with_the_median(real_chain: AnvilChain) -> None:
    feed = Chainlink(real_chain, oracles=3)
    feed.submit(1, [2000, 2010, 1990])
    assert feed.proxy.functions.latestRoundData().call()[:2] == [(1 << 64) + 1, 2000]


def test_a_uniswap_pool_trades(real_chain: AnvilChain) -> None:
    market = Uniswap(real_chain, ("WETH", 18), ("USDC", 6), 2000.0)
    market.provide(1000 * 10**18, 2_000_000 * 10**6)
    bought = market.swap(market.base, market.quote, 10**18)
    assert 1990e6 < bought < 1994.1e6


def test_an_aave_market_lends(real_chain: AnvilChain) -> None:
    market = Aave(
        real_chain, [Reserve("WETH", 18, 2000 * 10**8, 8000, 8250, 10500), Reserve("USDC", 6, 10**8, 7500, 7800, 10450)]
    )
    supplier, user = real_chain.accounts[5], real_chain.accounts[6]
    for account, symbol, amount in ((supplier, "USDC", 10**11), (user, "WETH", 10 * 10**18)):
        asset = market.tokens[symbol]
        real_chain.send(asset.functions.mint(account, amount), sender=account)
        real_chain.send(asset.functions.approve(market.pool.address, amount), sender=account)
        real_chain.send(market.pool.functions.supply(asset.address, amount, account, 0), sender=account)
    real_chain.send(market.pool.functions.borrow(market.tokens["USDC"].address, 10**10, 2, 0, user), sender=user)
    collateral, debt, *_, health = market.pool.functions.getUserAccountData(user).call()
    assert (collateral, debt) == (20_000 * 10**8, 10_000 * 10**8)
    assert health == 165 * 10**16
