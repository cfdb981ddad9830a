"""What moving a pool's average costs: by formula in both orientations, on the real pool, and against what it backs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from oracle_adapters.fetching import Status, fetch_all
from oracle_adapters.manipulation import manipulation_cost
from oracle_adapters.registry import open_feeds
from oracle_adapters.snapshot import build_snapshot
from oracle_adapters.store import Store
from oracle_adapters.uniswap_math import Curve, sqrt_price_at
from oracle_adapters.uniswap_v3 import Pool, mean_tick, read_pool
from reports.cli import feeds as feeds_module
from risk.market import MarketSnapshot
from risk.settings import Settings
from tests.onchain.chains import STEP, AnvilChain, Chain, staked_vault
from tests.onchain.deploy import Uniswap
from tests.onchain.test_settings import HOUR, declared, settings_of, url_env
from tests.onchain.test_uniswap_v3 import SPACING, made

__all__ = ["url_env"]

CENTER = -200_340
"""Tick near 2000 of a token with 6 decimals for one with 18."""
WIDE, NARROW = 10**16, 9 * 10**16


def profile(*, inverted: bool, above: bool) -> Pool:
    """Ether (18 decimals) in dollars (6): full range, and ten times that either above the price of ether or below."""
    up = above is not inverted
    edge = CENTER + 12_000 if up else CENTER - 12_000
    low, high = sorted((CENTER if not inverted else -CENTER, edge if not inverted else -CENTER + (edge - CENTER)))
    tick = low if up else high - 1
    ticks = {-887_220: WIDE, 887_220: -WIDE, low: NARROW, high: -NARROW}
    start = CENTER if not inverted else -CENTER
    inside = start in range(low, high)
    curve = Curve(sqrt_price_at(start), start, WIDE + NARROW * inside, 0, SPACING, dict(sorted(ticks.items())))
    assert abs(tick - start) <= 1
    return Pool("0x", not inverted, 18, 6, curve)


def expected(move: float, window: int, reserve: float) -> float:
    """Of a constant product with that much quote, least over holding times: R (sqrt p - 1)^2 / sqrt p a block."""
    costs = []
    for blocks in range(1, window // 12 + 1):
        root = math.sqrt((1 + move) ** (window / (12 * blocks)))
        costs.append(blocks * reserve * (root - 1) ** 2 / root)
    return min(costs)


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("above", [False, True])
def test_liquidity_on_one_side_guards_that_side(inverted: bool, above: bool) -> None:
    """Quote reserve of liquidity L at price p is L sqrt(p): tenfold where the price would be pushed through."""
    pool = profile(inverted=inverted, above=above)
    assert pool.price == pytest.approx(2000, rel=5e-3)
    reserve = WIDE / 1e12 * math.sqrt(pool.price)
    for move in (0.2, -0.2):
        guarded = (move > 0) is above
        cost = manipulation_cost(pool, move, 600).cost
        # A tick is rounded away from the price, and of a move of the price by log(1.2) 1 in 1800 ticks is 1.1e-3.
        assert cost == pytest.approx(expected(move, 600, reserve * (10 if guarded else 1)), rel=5e-3)


@pytest.mark.chain
@pytest.mark.parametrize("up", [True, False])
def test_an_attack_on_the_real_pool_costs_what_is_said(real_chain: AnvilChain, up: bool) -> None:
    """The capital is sold, the average of the window moves as said, and what the sale lost is the cost."""
    market = Uniswap(real_chain, ("WETH", 18), ("USDC", 6), 2000.0)
    center = market.pool.functions.slot0().call()[1] // SPACING * SPACING
    market.provide(1000 * 10**18, 2_000_000 * 10**6)
    market.provide(400 * 10**18, 800_000 * 10**6, center - 600, center + 600)
    for _ in range(5):
        real_chain.warp(60)
    node, address = real_chain.node(), market.pool.address
    pool = read_pool(node, address, market.base.address, real_chain.number)
    move = 0.1 if up else -0.1
    found = manipulation_cost(pool, move, STEP, block_time=STEP)
    assert found.blocks == 1
    before = mean_tick(node, address, STEP, real_chain.number)
    if up:
        sold = found.capital
        got = market.swap(market.quote, market.base, round(sold * 10**6)) / 10**18 * pool.price
    else:
        sold = found.capital
        got = market.swap(market.base, market.quote, round(sold / pool.price * 10**18)) / 10**6
    real_chain.warp(STEP)
    after = mean_tick(node, address, STEP, real_chain.number)
    moved = pool.price_at(after) / pool.price_at(before) - 1
    assert moved == pytest.approx(move, abs=3e-4), "a tick up or down, and one more"
    assert sold - got == pytest.approx(found.cost, rel=1e-6)
    assert found.cost > 0


CAP = {"small": 10, "large": 10_000_000}


def lending(chain: Chain, url_env: str, tmp_path: Path, cap: str | None, **more: Any) -> Settings:
    """A pool of the floor prices the ether of a market whose parameters come from a file."""
    pool, base, _ = made(chain, inverted=False)
    for _ in range(6):
        chain.warp(HOUR // 2)
    since = str(np.datetime64(chain.now() - 2 * HOUR, "s"))
    feed = declared(chain, url_env, "uniswap_v3", "ETH", "USD", pool.address, token=base.address, start=since, **more)
    lines = '[comet.reserve.WETH]\ncollateral_factor = "80.00%"\nliquidation_threshold = "85.00%"\n'
    if cap is not None:
        lines += f'supply_cap = "{CAP[cap]} WETH"\n'
    (tmp_path / "p.toml").write_text(lines)
    return settings_of(
        [feed],
        assets={"ETH": {"asset_class": "large_cap", "reserve": "comet", "symbol": "WETH"}},
        markets={"comet": {"protocol": "compound_v3", "chain_id": 1}},
        parameters="p.toml",
    )


def row_of(snapshot: MarketSnapshot, check: str = "manipulation") -> dict[str, Any]:
    (row,) = [row for row in snapshot.quality.rows() if row["check"] == check]
    return row


def test_a_pool_is_held_against_what_could_be_borrowed(chain: Chain, url_env: str, tmp_path: Path) -> None:
    """Good below the cost, bad above it and then no asset's price to calibrate on; from the store it is the same."""
    for cap, verdict, amount in (("small", "good", 10 * 2000 * 0.85), ("large", "bad", 1e7 * 2000 * 0.85)):
        settings = lending(chain, url_env, tmp_path, cap)
        snapshot = build_snapshot(settings, root=tmp_path)
        row = row_of(snapshot)
        assert row["verdict"] == verdict, row
        assert f"supply cap {CAP[cap]:,.6g} at" in row["detail"]
        said = float(row["detail"].partition("blocks); ")[2].partition(" USD could")[0].replace(",", ""))
        assert said == pytest.approx(amount, rel=2e-4)
        assert ("more than it costs" in row["detail"]) is (verdict == "bad")
        assert snapshot.verdict("ETH")[0].value in (verdict, "suspect")
        kept = tmp_path / cap
        assert {one.status for one in fetch_all(Store(kept), open_feeds(settings, tmp_path))} == {Status.GOOD}
        assert row_of(build_snapshot(settings, root=tmp_path, store=kept)) == row


def test_what_nothing_tells_is_asked_for(chain: Chain, url_env: str, tmp_path: Path) -> None:
    row = row_of(build_snapshot(lending(chain, url_env, tmp_path, None), root=tmp_path))
    assert (row["verdict"], "declare feeds.borrowable" in row["detail"]) == ("suspect", True)
    told = lending(chain, url_env, tmp_path, None, borrowable="1000000000000 USD")
    row = row_of(build_snapshot(told, root=tmp_path))
    assert (row["verdict"], "(declared)" in row["detail"]) == ("bad", True)


def test_feeds_shows_it(chain: Chain, url_env: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = lending(chain, url_env, tmp_path, "large")
    from reports import chain as chain_module

    start = chain_module.Start(b"", settings, tmp_path)
    monkeypatch.setattr(feeds_module.options, "start_from", lambda *_, **__: start)
    shown = CliRunner().invoke(feeds_module.feeds, ["x.toml", "--json"], standalone_mode=False)
    assert shown.return_value == 1
    (row,) = json.loads(shown.output)["safety"]
    assert (row["check"], row["verdict"]) == ("manipulation", "bad")
    table = CliRunner().invoke(feeds_module.feeds, ["x.toml"], standalone_mode=False).output
    assert "What it takes to move an oracle" in table


def test_a_caps_headroom_is_a_row(chain: Chain, url_env: str, tmp_path: Path) -> None:
    """Half a per cent above the rate; after a gift of a tenth it binds, and the loss is a share of the rate."""
    vault, token = staked_vault(chain)
    taken = chain.now()
    for _ in range(3):
        chain.warp(HOUR)
    cap = {"ratio": "1.005", "taken_at": str(np.datetime64(taken, "s")), "growth": "0%"}
    since = str(np.datetime64(taken, "s"))
    feed = declared(chain, url_env, "wrapper", "WSTETH", "USD", vault.address, rate="erc4626", cap=cap, start=since)
    row = row_of(build_snapshot(settings_of([feed]), root=tmp_path), "cap_headroom")
    assert (row["verdict"], row["count"]) == ("good", 50)
    before = chain.now()
    chain.send(token.functions.mint(vault.address, 10**20))
    chain.warp(2 * HOUR)
    row = row_of(build_snapshot(settings_of([feed]), root=tmp_path), "cap_headroom")
    assert (row["verdict"], row["count"]) == ("suspect", round((1.005 / 1.1 - 1) * 10_000))
    assert "binds" in row["detail"]
    row = row_of(build_snapshot(settings_of([feed]), root=tmp_path, as_of=before), "cap_headroom")
    assert (row["verdict"], row["count"]) == ("good", 50), "as it was known then"
