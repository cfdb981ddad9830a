"""Accounts of the sample market: borrowers of several kinds, leveraged staking loops and one whale.

Health is drawn relative to the prices at the as-of date, so that a book as of an earlier date knows nothing of
later prices. Each account has a stream of its own, and one that needs an asset that is not there is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from oracle_adapters.sample.prices import STAGE
from risk.market import Book, Origin
from risk.streams import stream

ACCOUNTS = 300


@dataclass(frozen=True, slots=True)
class _Kind:
    """What an account of a kind does.

    Attributes
    ----------
    weight
        Share of the accounts.
    collateral, debt
        Assets; the collateral is split between several in random parts.
    log_size
        Mean of the log of the collateral's value in US dollars.
    margin
        Median of the health factor above its least value of 1.02.
    """

    weight: float
    collateral: tuple[str, ...]
    debt: str
    log_size: float = 12.0
    margin: float = 0.5


_KINDS = (
    _Kind(0.24, ("ETH",), "USDC"),
    _Kind(0.08, ("ETH",), "DAI"),
    _Kind(0.14, ("BTC",), "USDC"),
    _Kind(0.06, ("BTC",), "DAI"),
    _Kind(0.08, ("BTC", "ETH"), "USDC"),
    _Kind(0.13, ("wstETH",), "ETH", 13.0, 0.03),
    _Kind(0.07, ("wstETH",), "USDC"),
    _Kind(0.05, ("LINK",), "USDC", 10.5),
    _Kind(0.04, ("AAVE", "ETH"), "USDC", 12.5),
    _Kind(0.02, ("CRV",), "USDC", 10.0),
    _Kind(0.04, ("BNB",), "USDC", 11.5),
    _Kind(0.05, ("USDC",), "ETH", 11.5, 0.3),
)
_WHALE = ("account-whale", "CRV", "USDC", 4.5e6, 1.18)
_LEAST_HEALTH = 1.02
_LOG_SIZE_SPREAD = 1.4
_MARGIN_SPREAD = 0.8


def book(seed: int, prices: Mapping[str, float], thresholds: Mapping[str, float]) -> Book:
    """Positions in whole tokens.

    Parameters
    ----------
    seed
        The run's seed.
    prices
        US dollars by asset, at the as-of date; assets without one have no positions.
    thresholds
        Liquidation threshold in force by asset, as a fraction.
    """
    names = tuple(sorted(prices))
    place = {name: j for j, name in enumerate(names)}
    usable = {name for name in names if name in thresholds}
    accounts: list[str] = []
    held: list[tuple[dict[str, float], str, float]] = []
    for number in range(ACCOUNTS):
        rng = stream(seed, f"{STAGE}-book", str(number))
        kind = _KINDS[int(np.searchsorted(np.cumsum([k.weight for k in _KINDS]), rng.random()))]
        value = float(np.exp(kind.log_size + _LOG_SIZE_SPREAD * rng.standard_normal()))
        health = _LEAST_HEALTH + kind.margin * float(np.exp(_MARGIN_SPREAD * rng.standard_normal()))
        share = float(rng.uniform(0.3, 0.7)) if len(kind.collateral) > 1 else 1.0
        values = dict(zip(kind.collateral, (value * share, value * (1 - share)), strict=False))
        if usable.issuperset(kind.collateral) and kind.debt in place:
            accounts.append(f"account-{number:04d}")
            held.append((values, kind.debt, sum(v * thresholds[name] for name, v in values.items()) / health))
    account, asset, debt, value, health = _WHALE
    if asset in usable and debt in place:
        accounts.append(account)
        held.append(({asset: value}, debt, value * thresholds[asset] / health))

    collateral, owed = np.zeros((len(accounts), len(names))), np.zeros((len(accounts), len(names)))
    for i, (values, debt, usd) in enumerate(held):
        for name, value in values.items():
            collateral[i, place[name]] = _significant(value / prices[name])
        owed[i, place[debt]] = _significant(usd / prices[debt])
    return Book(tuple(accounts), names, collateral, owed, Origin.DECLARED)


def _significant(value: float) -> float:
    return float(f"{value:.8g}")
