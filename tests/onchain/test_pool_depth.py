"""A pool's depth as a book: what its levels give is what a sale through the pool gives, and a snapshot takes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from oracle_adapters.exchange.depth import book_curves
from oracle_adapters.feed import COLUMNS, FeedSpec, Kind, collect
from oracle_adapters.pool_depth import MOVES, PoolDepth, pool_levels
from oracle_adapters.snapshot import build_snapshot
from oracle_adapters.uniswap_v3 import read_pool
from risk.artifact import Table
from risk.depth import size_within_average
from risk.market import Impact, Origin
from tests.onchain.chains import Chain, own
from tests.onchain.pool_curve import liquidity_curve
from tests.onchain.test_pyth_wrappers import ETH
from tests.onchain.test_settings import HOUR, declared, settings_of, url_env
from tests.onchain.test_uniswap_v3 import made
from tests.oracle_adapters.contract import check_feed

__all__ = ["url_env"]


@pytest.mark.parametrize("inverted", [False, True])
def test_levels_are_exact_sales(chain: Chain, inverted: bool) -> None:
    """At the end of each level, sold in one: the integers round once a sale of 18 decimals, and floats a few times."""
    pool_contract, base, _ = made(chain, inverted=inverted)
    pool = read_pool(chain.node(), pool_contract.address, base.address, chain.number)
    rows = Table.from_rows(COLUMNS[Kind.DEPTH], pool_levels(pool, 0))
    bids, asks = rows.where(side="bid"), rows.where(side="ask")
    assert len(bids) == len(asks) == len(MOVES)
    sold, got = np.cumsum(bids["size"]), np.cumsum(bids["size"] * bids["price"])
    for size, paid in zip(sold, got, strict=True):
        assert pool.sell_base(float(size)) == pytest.approx((size, paid), rel=1e-9)
    bought, paid = np.cumsum(asks["size"]), np.cumsum(asks["size"] * asks["price"])
    for size, price in zip(bought, paid, strict=True):
        assert pool.sell_quote(float(price)) == pytest.approx((price, size), rel=1e-9)
    assert (np.diff(bids["price"]) < 0).all()
    assert (np.diff(asks["price"]) > 0).all()
    assert bids["price"][0] < pool.price < asks["price"][0]


def test_the_curve_is_that_of_sales_through_the_pool(chain: Chain) -> None:
    """Two ways to one curve: levels as a book, and exact sales, to a chord between levels."""
    contract, base, _ = made(chain, inverted=False)
    pool = read_pool(chain.node(), contract.address, base.address, chain.number)
    rows = Table.from_rows(COLUMNS[Kind.DEPTH], pool_levels(pool, 0))
    sell, _ = book_curves(rows, kind=Impact.MARGINAL, base="ETH", quote="USD")
    exact = liquidity_curve(pool, "ETH", "USD", usd_price=pool.price, largest=sell.size_usd[-1] * 0.9, points=200)
    for impact in (0.01, 0.02, 0.05, 0.1, 0.2):
        assert size_within_average(sell, impact) == pytest.approx(size_within_average(exact, impact), rel=0.05)


def test_a_pools_depth_is_a_feed(chain: Chain) -> None:
    for _ in range(2):
        chain.warp(HOUR)
    start = chain.now()
    contract, base, _ = made(chain, inverted=False)
    for _ in range(6):
        chain.warp(HOUR)
    spec = FeedSpec(Kind.DEPTH, "ETH", "USD", "pool", HOUR)
    feed = PoolDepth(spec, chain.node(), contract.address, base.address, since=start - HOUR)
    check_feed(feed)
    assert collect(feed).counted["unanswered"] >= 1
    last = collect(PoolDepth(spec, chain.node(), contract.address, base.address, since=None)).rows
    assert set(last["observed_at"].tolist()) == {chain.now() // HOUR * HOUR}


def test_a_snapshot_takes_the_depth_of_a_pool(chain: Chain, url_env: str, tmp_path: Path) -> None:
    contract, base, _ = made(chain, inverted=False)
    pyth = chain.deploy(own("pyth"))
    start = str(np.datetime64(chain.now(), "s"))
    for _ in range(3):
        chain.send(pyth.functions.set_price(bytes.fromhex(ETH[2:]), 2000 * 10**8, 10**6, -8, chain.now()))
        chain.warp(HOUR)
    feeds = [
        declared(chain, url_env, "pyth", "ETH", "USD", pyth.address, price_id=ETH, start=start, maximum_age="2h"),
        declared(
            chain, url_env, "uniswap_v3", "ETH", "USD", contract.address, token=base.address, data="depth", start=start
        ),
    ]
    snapshot = build_snapshot(settings_of(feeds), root=tmp_path)
    curve = snapshot.depth["ETH/USD"]
    assert (curve.origin, curve.kind) == (Origin.MEASURED, Impact.MARGINAL)
    assert "USD/ETH" not in snapshot.depth
    (row,) = [row for row in snapshot.quality.rows() if row["check"] == "depth"]
    assert (row["verdict"], row["count"]) == ("good", 1)
