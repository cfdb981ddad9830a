"""Daily bars of the sample market, generated from a table of estimated numbers and a seed.

Free assets follow a GJR-t recursion whose shocks share one factor through a Student-t copula, so that they are
correlated, clustered, heavy tailed and fall together; one market-wide crash is added on a stated day. A pegged
asset is an autoregression around one, with one stated de-peg; a wrapped asset follows its underlying times a
slowly growing rate, with a small basis. The factor and each asset have streams of their own: adding or removing
an asset changes no other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from risk.artifact import Table
from risk.market import FloatArray, IntArray
from risk.streams import stream
from risk.units import DAY, parse_instant

STAGE = "sample"
_BASIS_HALVES = 0.5  # share of a wrapped asset's crash discount that is left a day later
_LARGEST_SHOCK = 8.0  # in standard deviations; t shocks of three degrees of freedom alone may pass 50
_SHOCK_DOF = 5.0  # tails of the innovations around a peg and a basis
_VOLUME_SPREAD = 0.3  # log spread of the daily volume, and how it rises with volatility and with the move
_VOLUME_TO_VOLATILITY = 0.8
_VOLUME_TO_MOVE = 3.0


@dataclass(frozen=True, slots=True)
class _Path:
    """Log closes (n,) and the volatility of each bar (n,)."""

    log_close: FloatArray
    volatility: FloatArray


@cache
def table() -> Mapping[str, Any]:
    """The estimated numbers; ``tools/build_sample.py`` says how they were obtained."""
    text = resources.files("oracle_adapters.sample").joinpath("market.json").read_text(encoding="utf-8")
    found: Mapping[str, Any] = json.loads(text)
    return found


def assets() -> tuple[str, ...]:
    """Assets of the sample market, by name."""
    return tuple(sorted(name for part in ("free", "wrapped", "pegged") for name in table()[part]))


def bar_ends() -> IntArray:
    """(n,) ends of the bars in unix seconds: midnight UTC after each day."""
    first, last = (parse_instant(table()[name]) for name in ("first_day", "last_day"))
    return np.arange(first + DAY, last + DAY + 1, DAY, dtype=np.int64)


def rows(asset: str, seed: int) -> Table:
    """Price rows of an asset: open, high, low, close in US dollars, volume in units of the asset.

    Parameters
    ----------
    asset
        One of `assets`.
    seed
        The run's seed.
    """
    ends = bar_ends()
    rng = stream(seed, STAGE, asset)
    path = _path(asset, seed, rng)
    close = np.exp(path.log_close)
    move = np.diff(path.log_close, prepend=path.log_close[0])
    # The extremes of a Brownian bridge between the logs of open and close have this law exactly.
    uniforms = 1.0 - rng.random((2, len(ends)))
    reach = np.sqrt(move**2 - 2 * path.volatility**2 * np.log(uniforms))
    opened = np.exp(path.log_close - move)
    high, low = opened * np.exp((move + reach[0]) / 2), opened * np.exp((move - reach[1]) / 2)
    activity = _VOLUME_TO_VOLATILITY * np.log(path.volatility / np.median(path.volatility))
    noise = _VOLUME_SPREAD * rng.standard_normal(len(ends))
    volume = _entry(asset)["volume_usd"] / close * np.exp(activity + _VOLUME_TO_MOVE * np.abs(move) + noise)
    columns = {"close": close, "high": high, "low": low, "open": opened, "volume": volume}
    return Table(
        {
            "observed_at": np.repeat(ends, len(columns)),
            "field": np.tile(list(columns), len(ends)),
            "known_at": np.repeat(ends, len(columns)),
            "value": _significant(np.column_stack(list(columns.values())).ravel()),
        }
    )


def _entry(asset: str) -> Mapping[str, Any]:
    entry: Mapping[str, Any] = next(table()[p][asset] for p in ("free", "wrapped", "pegged") if asset in table()[p])
    return entry


def _path(asset: str, seed: int, rng: np.random.Generator) -> _Path:
    if asset in table()["free"]:
        return _free(asset, seed, rng)
    if asset in table()["wrapped"]:
        return _wrapped(asset, seed, rng)
    return _pegged(asset, rng)


def _free(asset: str, seed: int, rng: np.random.Generator) -> _Path:
    from scipy.special import stdtr, stdtrit

    entry, ends = table()["free"][asset], bar_ends()
    dof, nu, loading = table()["copula_dof"], entry["nu"], entry["loading"]
    common = stream(seed, STAGE, "market")
    factor = common.standard_normal(len(ends))
    mixing = np.sqrt(common.chisquare(dof, len(ends)) / dof)
    joint = (loading * factor + np.sqrt(1 - loading**2) * rng.standard_normal(len(ends))) / mixing
    # The lower tail keeps its precision, so the quantile is taken there and mirrored.
    shocks = -np.sign(joint) * stdtrit(nu, stdtr(dof, -np.abs(joint))) * np.sqrt((nu - 2) / nu)
    shocks = np.clip(shocks, -_LARGEST_SHOCK, _LARGEST_SHOCK)
    extra = np.zeros(len(ends))
    moves = table()["crash"]["log_moves"]
    first = _bar(table()["crash"]["day"])
    extra[first : first + len(moves)] = entry["crash_beta"] * np.array(moves)

    alpha, gamma, beta = entry["alpha"], entry["gamma"], entry["beta"]
    long_run = entry["daily_volatility"] ** 2
    variance, residual = np.empty(len(ends)), np.empty(len(ends))
    h = long_run
    for t in range(len(ends)):
        variance[t] = h
        residual[t] = e = np.sqrt(h) * shocks[t] + extra[t]
        h = long_run * (1 - alpha - gamma / 2 - beta) + (alpha + gamma * (e < 0)) * e**2 + beta * h
    # A constant drift leads the path from the first to the last observed level.
    path = np.concatenate(([0.0], np.cumsum(residual[1:])))
    start, stop = np.log(entry["first_price"]), np.log(entry["last_price"])
    drift = (stop - start - path[-1]) / (len(ends) - 1)
    return _Path(start + path + drift * np.arange(len(ends)), np.sqrt(variance))


def _pegged(asset: str, rng: np.random.Generator) -> _Path:
    entry = table()["pegged"][asset]
    deviation = _autoregression(entry, rng)
    depeg = table()["depeg"]
    if depeg["asset"] == asset:
        first = _bar(depeg["day"])
        deviation[first : first + len(depeg["log_deviations"])] += depeg["log_deviations"]
    return _Path(deviation, np.full(len(deviation), entry["innovation"]))


def _wrapped(asset: str, seed: int, rng: np.random.Generator) -> _Path:
    entry = table()["wrapped"][asset]
    underlying = _path(entry["underlying"], seed, stream(seed, STAGE, entry["underlying"]))
    n = len(underlying.log_close)
    years = (np.arange(n) - _bar(entry["rate_day"])) / 365
    since_crash = np.arange(n) - _bar(table()["crash"]["day"])
    discount = np.where(since_crash >= 0, entry["crash_discount"] * _BASIS_HALVES ** np.maximum(since_crash, 0), 0.0)
    rate = np.log(entry["rate"]) + entry["growth_per_year"] * years
    return _Path(underlying.log_close + rate + _autoregression(entry, rng) - discount, underlying.volatility)


def _autoregression(entry: Mapping[str, float], rng: np.random.Generator) -> FloatArray:
    """First-order autoregression from zero, with Student-t innovations of the stated standard deviation."""
    shocks = rng.standard_t(_SHOCK_DOF, len(bar_ends())) * np.sqrt((_SHOCK_DOF - 2) / _SHOCK_DOF)
    shocks = entry["innovation"] * np.clip(shocks, -_LARGEST_SHOCK, _LARGEST_SHOCK)
    path = np.zeros(len(shocks))
    for t in range(1, len(path)):
        path[t] = entry["persistence"] * path[t - 1] + shocks[t]
    return path


def _bar(day: str) -> int:
    """Number of the bar of a day."""
    return (parse_instant(day) - parse_instant(table()["first_day"])) // DAY


def _significant(values: FloatArray) -> FloatArray:
    """Eight significant digits: a last bit that differs between processors leaves the market the same."""
    return np.array([float(f"{value:.8g}") for value in values.tolist()])
