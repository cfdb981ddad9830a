"""A small market in files: four assets on 400 daily bars, positions, depth, parameters in force and settings."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

LAST = datetime(2025, 6, 30, tzinfo=UTC)
BARS = 400
ASSETS = {"BTC": (90_000.0, 2e9), "ETH": (3_000.0, 1e9), "LINK": (13.0, 1e8), "USDC": (1.0, 5e9)}
"""Last price, and US dollars traded a day."""

_SETTINGS = """\
seed = 11
parameters = "parameters.toml"
changed_at = "changed_at.csv"
positions = "positions.csv"
depth = "depth.csv"

[markets.lending]
protocol = "aave_v3"
chain_id = 1
configurator = "0x1111111111111111111111111111111111111111"

[assets.BTC]
asset_class = "large_cap"
reserve = "lending"
symbol = "WBTC"
token = "0xb1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1"
decimals = 8

[assets.ETH]
asset_class = "large_cap"
reserve = "lending"
symbol = "WETH"
token = "0xe1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1"
debts = ["USD", "BTC"]

[assets.LINK]
asset_class = "mid_cap"
reserve = "lending"
token = "0xa1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1"

[assets.USDC]
asset_class = "stable"
reserve = "lending"
token = "0xc1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1"
decimals = 6
peg = "USD"
backing = "fiat"
{feeds}
[appetite]
expected_bad_debt_usd_per_year = "250000 USD"
es99_usd = "5000000 USD"
es_horizon = "7d"
backstop_usd = "20000000 USD"
parameter_life = "28d"
shortfall_tolerance_usd = "1000000 USD"
breach_probability = "5%"
mean_loss_given_crossing = "0.1%"

[execution]
reaction_time = "1d"
reaction_confidence = "95%"
borrow_rate = "5%"
keeper_delay = "1d"
recovery_half_life = "6h"
stressed_depth = "50%"
volume_share_as_depth = "1%"
liquidatable_share = "30%"
gas_share = "0.1%"
execution_move = "1%"
protocol_share = "10%"
user_margin_horizon = "1d"

[models]
posterior_draws = 20
paths_per_draw = 50
monte_carlo_paths = 200
walk_forward_window = 250
refit_interval = 60
minimum_observations = 120

[bounds]
collateral_factor = {{ step = "0.5%", minimum_delay = "3d" }}
liquidation_threshold = {{ step = "0.5%", minimum_delay = "3d" }}
liquidation_bonus = {{ step = "0.5%", minimum_delay = "3d" }}
supply_cap = {{ step = "100%", relative = true, minimum_delay = "3d" }}

[oracles]
BTC = {{ deviation = "0.5%", heartbeat = "1h", latency = "1m" }}
ETH = {{ deviation = "0.5%", heartbeat = "1h", latency = "1m" }}
LINK = {{ deviation = "0.5%", heartbeat = "1h", latency = "1m" }}
"""

_FEED = """
[[feeds]]
kind = "files"
asset = "{asset}"
path = "prices/{asset}.csv"
columns = {{ time = "time", close = "close", volume = "volume" }}
"""

_PARAMETERS = """\
[lending.reserve.LINK]
collateral_factor = "66.00%"
liquidation_threshold = "71.00%"
liquidation_bonus = "7.00%"
supply_cap = "800000 LINK"

[lending.reserve.USDC]
collateral_factor = "75.00%"
liquidation_threshold = "78.00%"
liquidation_bonus = "4.50%"
supply_cap = "40000000 USDC"

[lending.reserve.WBTC]
collateral_factor = "73.00%"
liquidation_threshold = "78.00%"
liquidation_bonus = "5.00%"
supply_cap = "200 WBTC"

[lending.reserve.WETH]
collateral_factor = "80.50%"
liquidation_threshold = "83.00%"
liquidation_bonus = "5.00%"
supply_cap = "6000 WETH"
"""


def write_market(folder: Path, *, bars: int = BARS) -> Path:
    """Write the market's files; returns the settings file."""
    (folder / "prices").mkdir(parents=True)
    rng = np.random.default_rng(3)
    common = rng.standard_t(5, bars)
    for index, (asset, (price, daily)) in enumerate(ASSETS.items()):
        own = np.random.default_rng([3, index])
        scale = {"USDC": 2e-4, "LINK": 0.035}.get(asset, 0.025)
        moves = scale * (0.6 * common + 0.8 * own.standard_t(5, bars)) * np.sqrt(3 / 5)
        if asset == "USDC":
            moves = np.diff(np.concatenate(([0.0], moves)))  # around the peg, not away from it
        close = price * np.exp(np.cumsum(moves) - np.sum(moves))
        volume = daily / close * np.exp(0.3 * own.standard_normal(bars))
        days = [LAST - timedelta(days=bars - 1 - i) for i in range(bars)]
        rows = zip(days, close.tolist(), volume.tolist(), strict=True)
        lines = [f"{day:%Y-%m-%d},{value!r},{size!r}" for day, value, size in rows]
        (folder / "prices" / f"{asset}.csv").write_text("time,close,volume\n" + "\n".join(lines) + "\n")
    (folder / "parameters.toml").write_text(_PARAMETERS)
    keys = [
        f"lending/reserve/{reserve}/{name}"
        for reserve in ("LINK", "USDC", "WBTC", "WETH")
        for name in ("collateral_factor", "liquidation_threshold", "liquidation_bonus", "supply_cap")
    ]
    (folder / "changed_at.csv").write_text("key,changed_at\n" + "".join(f"{key},2025-05-01\n" for key in keys))
    (folder / "positions.csv").write_text(
        "account,asset,collateral,debt\n"
        "a,ETH,1000,0\na,USDC,0,1900000\nb,BTC,50,0\nb,USDC,0,2500000\nc,LINK,100000,0\nc,USDC,0,700000\n"
        "d,USDC,1000000,0\nd,ETH,0,200\n"
    )
    depth = ["pair,kind,origin,size_usd,impact"]
    for asset, usd in {"BTC": 3e7, "ETH": 3e7, "LINK": 2e6, "USDC": 1e8}.items():
        depth += [
            f"{asset}/USD,average,declared,{usd * share},{impact}"
            for share, impact in ((0.2, 0.01), (1, 0.05), (3, 0.15))
        ]
    (folder / "depth.csv").write_text("\n".join(depth) + "\n")
    feeds = "".join(_FEED.format(asset=asset) for asset in ASSETS)
    (folder / "riskcal.toml").write_text(_SETTINGS.format(feeds=feeds))
    return folder / "riskcal.toml"


def riskcal(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    command = [sys.executable, "-m", "reports.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=cwd)
