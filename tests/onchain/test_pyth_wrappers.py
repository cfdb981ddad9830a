"""Pyth prices and wrapper rates on a chain: exact as put in, at past blocks too."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle_adapters.contract_call import Call
from oracle_adapters.feed import FeedSpec, Kind, collect
from oracle_adapters.pyth import pyth_prices, read_pyth
from oracle_adapters.wrappers import (
    YEAR,
    GrowthCap,
    erc4626,
    rate_function,
    read_rate,
    steth_shares,
    wrapper_rates,
    wsteth,
)
from risk.errors import DataError
from tests.onchain.chains import Chain, own
from tests.oracle_adapters.contract import check_feed

ETH = "0x" + "ff" * 31 + "01"
SPEC = FeedSpec(Kind.PRICE, "ETH", "USD", "test", 600)


def pyth_of(chain: Chain) -> Any:
    return chain.deploy(own("pyth"))


def put(chain: Chain, pyth: Any, price: int, confidence: int, exponent: int = -8, age: int = 0) -> int:
    """Bring a price that is that old, and return when it was published."""
    published = chain.now() - age
    chain.send(pyth.functions.set_price(bytes.fromhex(ETH[2:]), price, confidence, exponent, published))
    return published


def test_a_pyth_price_is_exact(chain: Chain) -> None:
    pyth, node = pyth_of(chain), chain.node()
    for price, confidence, exponent in ((2**63 - 1, 2**64 - 1, -18), (-5, 1, -5), (123, 4, 2), (0, 0, -8)):
        published = put(chain, pyth, price, confidence, exponent, age=30)
        found = read_pyth(node, pyth.address, ETH, node.final_block())
        assert found.price == Decimal(price).scaleb(exponent)
        assert found.confidence * 10**20 == int(confidence) * Decimal(10) ** (exponent + 20)
        assert (found.exponent, found.published_at) == (exponent, published)
        assert found.age == node.final_block().time - published


def test_what_is_stale_here_is_stale_there(chain: Chain) -> None:
    """Our age beside the contract's own refusal, at the second of the limit."""
    pyth, node = pyth_of(chain), chain.node()
    put(chain, pyth, 10**8, 10**5)
    chain.warp(600)
    block = node.final_block()
    age = read_pyth(node, pyth.address, ETH, block).age
    for limit in (age - 1, age):
        signature = "getPriceNoOlderThan(bytes32,uint256)((int64,uint64,int32,uint256))"
        result = node.call(Call(pyth.address, signature, (bytes.fromhex(ETH[2:]), limit)), block.number)
        assert result.ok is (age <= limit)
        assert result.ok or result.reason == "0x19abf40e", "StalePrice()"


def test_an_unknown_feed_is_named(chain: Chain) -> None:
    node = chain.node()
    with pytest.raises(DataError, match="knows no such feed"):
        read_pyth(node, pyth_of(chain).address, ETH, node.final_block())
    with pytest.raises(DataError, match="getPriceUnsafe"):
        read_pyth(node, chain.deploy(own("token"), "T", "T", 18).address, ETH, node.final_block())


def test_samples_leave_out_what_a_contract_would_not_take(chain: Chain) -> None:
    pyth = pyth_of(chain)
    chain.warp(600 - chain.now() % 600 + 10)
    for price, confidence in ((100, 1), (101, 1), (102, 50), (-3, 1), (103, 1), (104, 1)):
        put(chain, pyth, price * 10**8, confidence * 10**8)
        chain.warp(588)
    for _ in range(12):
        chain.warp(100)
    feed = pyth_prices(SPEC, chain.node(), pyth.address, ETH, max_age=900, max_confidence=0.05)
    chunk = collect(feed)
    assert chunk.rows["value"].tolist() == [100.0, 101.0, 103.0, 104.0]
    counted = dict(chunk.counted)
    assert counted.pop("unanswered") >= 1
    assert counted == {"uncertain": 1, "nonpositive": 1, "stale": 2}
    check_feed(feed)


def vault_of(chain: Chain, decimals: int = 6, offset: int = 0) -> tuple[Any, Any]:
    token = chain.deploy(own("token"), "USDC", "USDC", decimals)
    vault = chain.deploy(own("vault"), token.address)
    chain.send(vault.functions.setOffset(offset))
    chain.send(token.functions.mint(chain.accounts[0], 10**30))
    chain.send(token.functions.approve(vault.address, 10**30))
    chain.send(vault.functions.deposit(10 ** (decimals + 3), chain.accounts[0]))
    return vault, token


@pytest.mark.parametrize(("decimals", "offset"), [(6, 0), (18, 0), (6, 12), (8, 10)])
def test_a_vaults_rate_is_what_was_given_to_it(chain: Chain, decimals: int, offset: int) -> None:
    """A thousand shares, and after a gift of 25 tokens a rate of 1.025; before it, one: shares of 18 digits, too."""
    vault, token = vault_of(chain, decimals, offset)
    node, before = chain.node(), chain.number
    assert vault.functions.decimals().call() == decimals + offset
    chain.send(token.functions.mint(vault.address, 25 * 10**decimals))
    wrapper = erc4626(node, vault.address, chain.number)
    assert read_rate(node, wrapper, chain.number) == Fraction(1025, 1000)
    assert read_rate(node, wrapper, before) == 1
    with pytest.raises(DataError, match=r"asset\(\) failed"):
        erc4626(node, token.address, chain.number)


def test_other_wrappers_tell_the_same_rate(chain: Chain) -> None:
    vault, token = vault_of(chain, 18)
    chain.send(token.functions.mint(vault.address, 150 * 10**18))
    node, address = chain.node(), vault.address
    for wrapper in (wsteth(address), steth_shares(address), rate_function(address, "getRate")):
        assert read_rate(node, wrapper, chain.number) == Fraction(115, 100)
    with pytest.raises(DataError, match="exchangeRate"):
        read_rate(node, rate_function(address, "exchangeRate"), chain.number)


def test_samples_of_a_rate_are_capped(chain: Chain) -> None:
    vault, token = vault_of(chain, 18)
    node = chain.node()
    wrapper, taken_at = erc4626(node, vault.address, chain.number), chain.now()
    chain.warp(1800)
    chain.send(token.functions.mint(vault.address, 100 * 10**18))
    chain.warp(1800)
    cap = GrowthCap(Fraction(1), taken_at, Fraction(5, 100))
    free = collect(wrapper_rates(SPEC, node, lambda _: wrapper)).rows
    capped = collect(wrapper_rates(SPEC, node, lambda _: wrapper, cap=cap)).rows
    assert free["value"][-1] == 1.1
    last = node.block_at(int(free["observed_at"][-1]))
    assert capped["value"][-1] == float(cap.at(last.time)) < 1.00001
    assert capped["value"][0] == free["value"][0] == 1.0
    check_feed(wrapper_rates(SPEC, node, lambda _: wrapper, cap=cap))


def test_a_cap_grows_linearly_from_its_ratio() -> None:
    """FIELD: cap = ratio + ratio g dt / year; 9.68 % a year on 1.15 is .11132 in one."""
    cap = GrowthCap(Fraction("1.15"), 1_700_000_000, Fraction("0.0968"))
    assert cap.at(cap.taken_at) == Fraction("1.15")
    assert cap.at(cap.taken_at + YEAR) == Fraction("1.26132")
    assert cap.at(cap.taken_at + YEAR // 2) == Fraction("1.20566")
    assert cap.used(Fraction(2), cap.taken_at) == Fraction("1.15")
    with pytest.raises(DataError, match="begins after the time"):
        cap.at(cap.taken_at - 1)


def test_a_ratio_that_lags_its_instant_prices_too_low() -> None:
    """The incident of March 2026: the instant moved and the ratio did not, and the cap lay 2.85 % below the rate."""
    now, rate = 1_773_000_000, Fraction("1.2285")
    stale = GrowthCap(rate / Fraction("1.0293"), now, Fraction("0.0968"))
    assert stale.headroom(rate, now) == pytest.approx(-0.0285, abs=5e-5)
    assert GrowthCap(rate, now, Fraction("0.0968")).headroom(rate, now) == 0


@given(st.fractions(min_value="0.5", max_value=3), st.fractions(min_value=0, max_value=1), st.integers(0, 10 * YEAR))
def test_the_used_rate_is_never_above_cap_or_rate(rate: Fraction, growth: Fraction, later: int) -> None:
    cap = GrowthCap(Fraction(1), 0, growth)
    used = cap.used(rate, later)
    assert used in (rate, cap.at(later))
    assert (cap.headroom(rate, later) < 0) == (used < rate)
