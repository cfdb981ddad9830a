"""Read the panel of daily closes behind the priors: which assets, which days, and what is left out and why."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

NOT_VOLATILE = {
    "PAXGUSDT": "gold",
    "WBTCUSDT": "wrapped BTC",
    "WBETHUSDT": "wrapped ETH",
    "BNSOLUSDT": "wrapped SOL",
}
DAILY_MULTI = ("COMP", "CRV", "CVX", "FTT", "LDO", "MATIC", "MKR", "SNX")
DAILY_LUNA = ("LUNAUSDT", "SRMUSDT", "CELOUSDT")
LUNA_END = "2022-05-14"  # the halt; the name belongs to another asset afterwards
MULTI_START = "2017-01-01"
STABLECOINS = ("USDC", "DAI", "USDT", "TUSD", "USDD")
DAI_START = "2020-04-06"  # rows before are SAI, and a hole of 805 days lies between
CONFIRMED_WITHIN = 0.02
MINIMUM_RETURNS = 364
LARGEST_GAP_DAYS = 3

Closes = dict[str, float]


def read_closes(path: Path, column: str = "close") -> Closes:
    """Closes by UTC day (ISO); the last row of a repeated day counts, empty and non-positive closes do not."""
    with gzip.open(path, "rt", newline="") as handle:
        reader = csv.reader(handle)
        header = next(reader)
        time = header.index("date") if "date" in header else header.index("open_time")
        close = header.index(column)
        rows = [(_day(row[time]), row[close]) for row in reader if row]
    return {day: float(value) for day, value in sorted(rows) if value and float(value) > 0.0}


def _day(stamp: str) -> str:
    if not stamp.isdigit():
        return stamp[:10]
    seconds = int(stamp) / (1000 if len(stamp) > 11 else 1)
    return datetime.fromtimestamp(seconds, tz=UTC).date().isoformat()


def volatile_closes(data: Path) -> dict[str, Closes]:
    """Closes of every asset of the volatile pool by name, dead assets in."""
    panel = {
        path.name.removesuffix("USDT.csv.gz"): read_closes(path)
        for path in sorted((data / "daily_binance_spot").glob("*.csv.gz"))
        if path.name.removesuffix(".csv.gz") not in NOT_VOLATILE
    }
    for name in DAILY_MULTI:
        closes = read_closes(data / "daily_multi_129" / f"{name}.csv.gz")
        panel[name] = {day: close for day, close in closes.items() if day >= MULTI_START}
    for name in DAILY_LUNA:
        closes = read_closes(data / "daily_luna_2022" / f"{name}.csv.gz")
        end = LUNA_END if name == "LUNAUSDT" else "9999"
        panel[name.removesuffix("USDT")] = {day: close for day, close in closes.items() if day < end}
    return panel


def stablecoin_closes(data: Path) -> dict[str, Closes]:
    """Closes of the stablecoins by name."""
    return _stablecoins(data, "close")


def confirmed_lows(data: Path) -> dict[str, Closes]:
    """Lows of the stablecoins that another of them printed on the same day too, within 2 %.

    On a thin venue one print makes a low; two coins that fell as deep on one day did fall.
    """
    lows = _stablecoins(data, "low")
    found: dict[str, Closes] = {name: {} for name in lows}
    for name, own in lows.items():
        for day, low in own.items():
            others = [other[day] for coin, other in lows.items() if coin != name and day in other]
            if any(abs(other / low - 1.0) <= CONFIRMED_WITHIN for other in others):
                found[name][day] = low
    return found


def _stablecoins(data: Path, column: str) -> dict[str, Closes]:
    found = {name: read_closes(data / "daily_multi_129" / f"{name}.csv.gz", column) for name in STABLECOINS}
    found["DAI"] = {day: value for day, value in found["DAI"].items() if day >= DAI_START}
    return found


def returns_before(closes: Closes, date: str) -> Array:
    """Log returns of the longest stretch of days strictly before `date` without a hole of over three days.

    The bar of a day ends on the next one, so the day before `date` is the last that was known on it.
    """
    days = [day for day in closes if day < date]
    longest: list[str] = []
    stretch: list[str] = []
    for day in days:
        hole = timedelta(days=LARGEST_GAP_DAYS)
        if stretch and datetime.fromisoformat(day) - datetime.fromisoformat(stretch[-1]) > hole:
            stretch = []
        stretch.append(day)
        if len(stretch) > len(longest):
            longest = list(stretch)
    values = np.log([closes[day] for day in longest])
    return np.diff(values) if values.size > 1 else np.empty(0)


def volatile_returns(panel: Mapping[str, Closes], date: str) -> dict[str, Array]:
    """Returns before `date` of every asset with at least a year of them."""
    found = {name: returns_before(closes, date) for name, closes in sorted(panel.items())}
    return {name: returns for name, returns in found.items() if returns.size >= MINIMUM_RETURNS}
