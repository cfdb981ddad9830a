"""Estimate the table of numbers that the sample market is generated from.

::

    python -m tools.build_sample --data FOLDER            write oracle_adapters/sample/market.json and depth.csv
    python -m tools.build_sample --data FOLDER --check    estimate again and compare

FOLDER holds real daily prices and one day of aggregator quotes, which are not part of the project: only the
estimated numbers are. What no source gives is declared below.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oracle_adapters.files import read_rows

Array = NDArray[np.float64]
Daily = dict[str, float]

SAMPLE = Path(__file__).resolve().parents[1] / "oracle_adapters" / "sample"
FIRST_DAY, LAST_DAY = "2021-11-22", "2025-12-31"
SPOT = ("BTC", "ETH", "SOL", "LINK", "AAVE", "BNB")
LONGEST_PERSISTENCE = 0.985  # a half-life of 46 days; single fits run up to one, where no long-run level exists
CRASH_BETA = {"BTC": 0.80, "ETH": 1.00, "SOL": 1.25, "LINK": 1.15, "AAVE": 1.25, "CRV": 1.35, "BNB": 0.85}
COPULA_DOF = 5.0
IMPACTS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.20)
TOKENS = {
    "ETH": ("0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2", 18),
    "BTC": ("0x2260fac5e5542a773aa44fbcfedf7c193bc2c599", 8),
    "wstETH": ("0x7f39c581f595b53c5cb19bd0b3f8da6c935e2ca0", 18),
    "USDC": ("0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48", 6),
    "USDT": ("0xdac17f958d2ee523a2206206994597c13d831ec7", 6),
}


def column(path: Path, time: str, name: str) -> Daily:
    """One column of a file by day, from the first day of the sample on."""
    rows = (cells for _, cells in read_rows(path, path.name, [time, name]))
    daily = {_day(cells[0]): float(cells[1]) for cells in rows if cells[1]}
    return {day: value for day, value in sorted(daily.items()) if FIRST_DAY <= day <= LAST_DAY}


def _day(text: str) -> str:
    return str(np.datetime64(int(text), "ms").astype("datetime64[D]")) if text.isdigit() else text[:10]


def values(daily: Daily) -> Array:
    """Values in the order of days."""
    return np.array(list(daily.values()), dtype=np.float64)


def dynamics(closes: Daily) -> dict[str, float]:
    """GJR-t estimates on daily log returns; persistence above the bound is taken off beta."""
    from arch import arch_model

    returns = np.diff(np.log(values(closes)))
    fit = arch_model(returns, mean="Constant", vol="GARCH", p=1, o=1, q=1, dist="t", rescale=True).fit(disp="off")
    alpha, gamma, beta = (float(fit.params[name]) for name in ("alpha[1]", "gamma[1]", "beta[1]"))
    beta -= max(0.0, alpha + gamma / 2 + beta - LONGEST_PERSISTENCE)
    return {
        "daily_volatility": float(np.sqrt(np.mean(returns**2))),
        "alpha": alpha, "gamma": gamma, "beta": beta, "nu": float(fit.params["nu"]),
    }  # fmt: skip


def loadings(closes: dict[str, Daily]) -> dict[str, float]:
    """Loadings of one common factor on sin(π τ / 2), by principal-axis factoring; τ on common days."""
    from scipy.stats import kendalltau

    names = sorted(closes)
    correlation = np.eye(len(names))
    for i, j in combinations(range(len(names)), 2):
        days = sorted(set(closes[names[i]]) & set(closes[names[j]]))
        returns = [np.diff(np.log([closes[names[k]][day] for day in days])) for k in (i, j)]
        correlation[i, j] = correlation[j, i] = np.sin(np.pi / 2 * kendalltau(*returns).statistic)
    loading = np.full(len(names), 0.8)
    for _ in range(200):
        np.fill_diagonal(correlation, loading**2)
        level, vector = np.linalg.eigh(correlation)
        loading = np.abs(vector[:, -1]) * np.sqrt(level[-1])
    return dict(zip(names, loading.tolist(), strict=True))


def calm_deviation(ratio: Array) -> dict[str, float]:
    """Autocorrelation and innovation scale of a log deviation, from the days within half a per cent of its level."""
    x = ratio - np.median(ratio)
    calm = np.abs(x) < 0.005
    both = calm[1:] & calm[:-1]
    persistence = float(np.sum(x[1:][both] * x[:-1][both]) / np.sum(x[:-1][both] ** 2))
    return {"persistence": persistence, "innovation": float(np.std((x[1:] - persistence * x[:-1])[both]))}


def impact_curve(quotes: list[tuple[str, ...]], sold: str, bought: str, price: float) -> tuple[float, float]:
    """Size in dollars at 5 % average impact, and exponent: least squares on the logs of quotes of .5 % to 30 %.

    Smaller impacts are noise of the quotes' timing.
    """
    (source, decimals), (target, _) = TOKENS[sold], TOKENS[bought]
    points = [(float(q[2]) / 10**decimals * price, float(q[3])) for q in quotes if q[0] == source and q[1] == target]
    size, impact = np.array([p for p in points if 5e-3 < p[1] < 0.3]).T
    exponent, level = np.polyfit(np.log(size), np.log(impact), 1)
    return float(np.exp((np.log(0.05) - level) / exponent)), float(exponent)


def estimate(data: Path) -> tuple[dict[str, Any], str]:
    """The market's table and the depth curves as CSV."""
    spot, multi, luna = (data / name for name in ("daily_binance_spot", "daily_multi_129", "daily_luna_2022"))
    closes = {name: column(spot / f"{name}USDT.csv.gz", "open_time", "close") for name in SPOT}
    closes["CRV"] = column(multi / "CRV.csv.gz", "date", "close")
    traded = {name: column(spot / f"{name}USDT.csv.gz", "open_time", "quote_asset_volume") for name in (*SPOT, "WBETH")}
    traded |= {n: column(luna / f"{n}USDT.csv.gz", "open_time", "quote_asset_volume") for n in ("CRV", "USDC")}
    volume = {name: float(np.mean(values(daily)[-365:])) for name, daily in traded.items()}
    loading = loadings(closes)
    free = {
        name: {
            "first_price": values(daily)[0], "last_price": values(daily)[-1], **dynamics(daily),
            "loading": loading[name], "crash_beta": CRASH_BETA[name], "volume_usd": volume[name],
        }
        for name, daily in closes.items()
    }  # fmt: skip

    wrapped = column(spot / "WBETHUSDT.csv.gz", "open_time", "close")
    days = [day for day in sorted(wrapped) if day >= "2023-08-01"]  # its first weeks trade thinly
    ratio = np.log([wrapped[day] / closes["ETH"][day] for day in days])
    slope, level = np.polyfit(np.arange(len(days)), ratio, 1)
    basis = ratio - level - slope * np.arange(len(days))
    wrapper = {
        "underlying": "ETH", "growth_per_year": slope * 365, **calm_deviation(basis),
        "crash_discount": 0.02, "volume_usd": volume["WBETH"],
    }  # fmt: skip
    pegged = {
        name: {**calm_deviation(np.log(values(column(multi / f"{name}.csv.gz", "date", "close")))), "volume_usd": usd}
        for name, usd in (("USDC", volume["USDC"]), ("DAI", 2.0e7))
    }

    needed = ["src", "dst", "in_amount", "price_impact", "out_amount"]
    quotes = [tuple(cells) for _, cells in read_rows(data / "slippage_1inch" / "quotes.csv.gz", "quotes", needed)]
    day = "2023-11-20"
    prices = {"ETH": closes["ETH"][day], "BTC": closes["BTC"][day], "USDC": 1.0}
    ratios = [
        float(q[4]) / float(q[2])
        for q in quotes
        if q[0] == TOKENS["wstETH"][0] and q[1] == TOKENS["ETH"][0] and float(q[3]) < 1e-4
    ]
    wrapper |= {"rate_day": day, "rate": float(np.median(ratios))}
    prices["wstETH"] = prices["ETH"] * wrapper["rate"]
    curves = {
        n: impact_curve(quotes, n, "USDT" if n == "USDC" else "USDC", prices[n])
        for n in ("BTC", "ETH", "wstETH", "USDC")
    }
    share = curves["ETH"][0] / volume["ETH"]
    curves |= {name: (share * volume[name], curves["ETH"][1]) for name in (*SPOT, "CRV") if name not in curves}
    curves["DAI"] = curves["USDC"][0] / 4, curves["USDC"][1]

    market = {
        "first_day": FIRST_DAY, "last_day": LAST_DAY, "copula_dof": COPULA_DOF,
        "crash": {"day": "2024-06-18", "log_moves": [-0.30, -0.12]},
        "depeg": {"asset": "USDC", "day": "2025-02-08", "log_deviations": [-0.028, -0.075, -0.031, -0.006]},
        "free": free, "wrapped": {"wstETH": wrapper}, "pegged": pegged,
    }  # fmt: skip
    return _rounded(market), depth_csv(curves)


def depth_csv(curves: dict[str, tuple[float, float]]) -> str:
    """Ten points of average impact a curve: impact = 5 % · (size / size_5)^exponent."""
    lines = ["pair,kind,origin,size_usd,impact"]
    for name, (size, exponent) in sorted(curves.items()):
        lines += [f"{name}/USD,average,declared,{size * (i / 0.05) ** (1 / exponent):.3g},{i}" for i in IMPACTS]
    return "\n".join(lines) + "\n"


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


def main() -> int:
    """Write the two files, or compare them with a new estimate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    market, depth = estimate(arguments.data)
    files = {"market.json": json.dumps(market, indent=2, sort_keys=True) + "\n", "depth.csv": depth}
    if arguments.check:
        changed = [name for name, text in files.items() if (SAMPLE / name).read_text() != text]
        sys.stdout.write(f"changed: {', '.join(changed)}\n" if changed else "the same\n")
        return 1 if changed else 0
    for name, text in files.items():
        (SAMPLE / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
