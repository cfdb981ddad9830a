"""Build the vintages of the pooled priors from daily closes, or check the committed ones.

Usage::

    python -m tools.build_priors --data FOLDER            write risk/volatility/priors/<date>.json
    python -m tools.build_priors --data FOLDER --check    rebuild in memory and compare

FOLDER holds `daily_binance_spot`, `daily_luna_2022` and `daily_multi_129`. A vintage uses the bars that ended
before its date. Only derived statistics leave this script, never prices. The result does not depend on the
order of files; between machines it agrees to the tolerance of `--check`.

Choices, with their reasons:

* Assets with a year of daily returns or more, dead ones in (LUNA to its halt, FTT): a pool of survivors would
  be too calm. Gold and wrapped duplicates are left out, they would count an asset twice.
* A depeg is a close under 0.97. On thin venues closes of a healthy stablecoin stray by one or two per cent,
  lows by far more on a single print, so depths under 3 % are taken as noise. The depth of a spell is its worst
  close, or its worst low that another coin printed on the same day: keepers sell at the low, not at midnight.
* UST is declared: no series of it is bundled, its collapse in May 2022 to about a tenth of par is public, and
  a pool without it would forget the worst case. Its exposure runs from its launch in September 2020.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping
from datetime import date as day_of
from pathlib import Path
from typing import Any

import numpy as np

from risk.artifact import json_hash, readable_json
from risk.tails.extreme_value import fit_tail
from risk.volatility.models import Array, VolatilityModel
from risk.volatility.pooling import half_life_bound, pool_parameters
from risk.volatility.prior import SCHEMA
from tools.panel import Closes, confirmed_lows, stablecoin_closes, volatile_closes, volatile_returns

VINTAGES = tuple(f"{year}-01-01" for year in range(2020, 2027))
FOLDER = Path(__file__).resolve().parents[1] / "risk" / "volatility" / "priors"
SOURCE = (
    "Daily closes of Binance spot (from 2018), of Binance spot around the collapse of LUNA (2021-2022) and of an "
    "aggregator in USD (from 2017); bars that ended before the date of the vintage"
)
DIGITS = 9
TOLERANCE = 1e-4  # relative; the pooling stops on a change of 1e-3, and its path is good to a tenth of that

DEPEG_CLOSE = 0.97
UNDER_PAR = 0.98
QUIET_DAYS = 30
DAYS_PER_YEAR = 365.25
UST: dict[str, Any] = {"asset": "UST", "date": "2022-05-13", "depth": 0.9, "days_below": 0, "declared": True}
UST_LAUNCH, UST_END = "2020-09-21", "2022-05-09"
TAIL_SD_FLOOR = 0.05


def build(
    date: str, panel: Mapping[str, Closes], stablecoins: Mapping[str, Closes], lows: Mapping[str, Closes]
) -> dict[str, Any]:
    """Return the JSON document of one vintage."""
    returns = volatile_returns(panel, date)
    unbounded = pool_parameters(VolatilityModel.GARCH_T, returns)
    half_life = half_life_bound(unbounded)
    bound = math.exp(math.log(0.5) / half_life)
    pools = {
        model: pool_parameters(model, returns, persistence_bound=bound)
        for model in (VolatilityModel.GARCH_T, VolatilityModel.GJR_T)
    }
    fits = pools[VolatilityModel.GARCH_T].fits
    relative = np.concatenate([np.log(fit.variances / fit.variances.mean()) for fit in fits.values()])
    residuals = {name: fit.residuals for name, fit in fits.items()}
    edge = math.log(0.0005 / 0.9995)
    probabilities = 1.0 / (1.0 + np.exp(-np.linspace(edge, -edge, 401)))
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "as_of": date,
        "source": SOURCE,
        "bar_seconds": 86_400,
        "assets": {name: int(sample.size) for name, sample in returns.items()},
        "half_life_bound_bars": half_life,
        "persistence_bound": bound,
        "models": {
            str(model): {"names": pool.prior.names, "mean": pool.prior.mean, "covariance": pool.covariance}
            for model, pool in pools.items()
        },
        "log_relative_variances": np.quantile(relative, (np.arange(101) + 0.5) / 101),
        "residual_probabilities": probabilities,
        "residual_quantiles": np.quantile(np.concatenate(list(residuals.values())), probabilities),
        "lower_tail_index": tail_index({name: -z for name, z in residuals.items()}),
        "upper_tail_index": tail_index(residuals),
        "depeg": depeg(date, stablecoins, lows),
    }
    rounded = _rounded(content)
    return {**rounded, "content_hash": json_hash(rounded)}


def tail_index(samples: Mapping[str, Array]) -> dict[str, float]:
    """Random-effects mean and spread of xi over assets (DerSimonian and Laird 1986), spread at least 0.05."""
    fits = [fit_tail(sample) for sample in samples.values()]
    xi = np.array([fit.xi for fit in fits])
    weights = np.array([fit.xi_error for fit in fits]) ** -2
    fixed = np.average(xi, weights=weights)
    excess = np.sum(weights * (xi - fixed) ** 2) - (xi.size - 1)
    between = max(0.0, float(excess / (weights.sum() - np.sum(weights**2) / weights.sum())))
    mean = float(np.average(xi, weights=1.0 / (between + 1.0 / weights)))
    return {"mean": mean, "sd": max(math.sqrt(between), TAIL_SD_FLOOR)}


def depeg(date: str, stablecoins: Mapping[str, Closes], lows: Mapping[str, Closes]) -> dict[str, Any]:
    """Depeg events before a date, exposure, and the Gamma posterior of the intensity."""
    events: list[dict[str, Any]] = []
    days = 0
    for asset, closes in sorted(stablecoins.items()):
        known = {day: close for day, close in closes.items() if day < date}
        days += len(known)
        events.extend(depeg_events(asset, known, lows.get(asset, {})))
    years = days / DAYS_PER_YEAR
    if date > UST["date"]:
        events.append(UST)
        years += (day_of.fromisoformat(UST_END) - day_of.fromisoformat(UST_LAUNCH)).days / DAYS_PER_YEAR
    return {
        "threshold": 1.0 - DEPEG_CLOSE,
        "stablecoin_years": years,
        "events": sorted(events, key=lambda event: (event["date"], event["asset"])),
        "intensity_shape": len(events) + 0.5,
        "intensity_rate": years,
    }


def depeg_events(asset: str, closes: Closes, lows: Closes) -> list[dict[str, Any]]:
    """Spells of closes under 0.98, joined over quiet stretches of up to 30 days, that fall under 0.97.

    The depth is that of the worst close or confirmed low of the spell.
    """
    under = [day for day, close in closes.items() if close < UNDER_PAR]
    spells: list[list[str]] = []
    for day in under:
        if spells and (day_of.fromisoformat(day) - day_of.fromisoformat(spells[-1][-1])).days <= QUIET_DAYS:
            spells[-1].append(day)
        else:
            spells.append([day])
    events = []
    for spell in spells:
        worst = min(spell, key=lambda day: closes[day])
        if closes[worst] < DEPEG_CLOSE:
            depth = 1.0 - min([closes[worst], *(lows[day] for day in spell if day in lows)])
            events.append({"asset": asset, "date": worst, "depth": depth, "days_below": len(spell), "declared": False})
    return events


def _rounded(value: Any) -> Any:
    """Plain JSON types, floats to nine significant digits."""
    if isinstance(value, Mapping):
        return {key: _rounded(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_rounded(entry) for entry in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    return value


def differences(built: Any, committed: Any, place: str = "") -> list[str]:
    """Places at which two documents differ beyond the tolerance."""
    if isinstance(built, dict) and isinstance(committed, dict):
        keys = sorted(built.keys() | committed.keys())
        return [
            line
            for key in keys
            if key != "content_hash"
            for line in differences(built.get(key), committed.get(key), f"{place}/{key}")
        ]
    if isinstance(built, list) and isinstance(committed, list) and len(built) == len(committed):
        pairs = enumerate(zip(built, committed, strict=True))
        return [line for i, (a, b) in pairs for line in differences(a, b, f"{place}/{i}")]
    numbers = isinstance(built, float) and isinstance(committed, float)
    if numbers and math.isclose(built, committed, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
        return []
    return [] if built == committed else [f"{place}: built {built!r}, committed {committed!r}"]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Build or check the vintages of the pooled priors.")
    parser.add_argument("--data", type=Path, required=True, help="folder of the daily data sets")
    parser.add_argument("--check", action="store_true", help="compare with the committed files, write nothing")
    options = parser.parse_args(arguments)
    panel, stablecoins = volatile_closes(options.data), stablecoin_closes(options.data)
    lows = confirmed_lows(options.data)
    found: list[str] = []
    for date in VINTAGES:
        path = FOLDER / f"{date}.json"
        document = build(date, panel, stablecoins, lows)
        if options.check:
            committed = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
            found += [f"{date}{line}" for line in differences(document, committed)]
        else:
            path.write_text(readable_json(document), encoding="utf-8")
    sys.stdout.write("\n".join([*found, f"{len(VINTAGES)} vintages, {len(found)} differences", ""]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
