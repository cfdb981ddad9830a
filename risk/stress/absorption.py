"""The compiled engine for markets that absorb: one loop over paths, steps, rounds, accounts and collateral for sale.

An account below a health factor of one is absorbed whole once the keepers' delay has passed: the reserves pay its debt,
or what its collateral is credited with where that is more, and hold the collateral, at that cost, until it is sold.
Buyers pay the oracle's price less the discount, as much as its market takes: the depth within the bonus that the
discount leaves them, times the share of it that is left for slippage. An asset for sale is one stock at its mean cost.

A sale below cost is bad debt *realised*; stock that would fetch less than its cost at the market is *latent*, and its
whole cost is *unliquidated*: debt that nobody has paid yet. A sale above cost is the reserves' gain (a fee).
"""

from __future__ import annotations

import numpy as np

from risk.market import FloatArray, IntArray
from risk.stress.kernel import (
    DUST,
    FEES,
    LATENT,
    LIQUIDATED,
    REALISED,
    SEIZED,
    UNLIQUIDATED,
    Positions,
    Terms,
    _health,
    _measure,
    _room,
    _update,
    _valid,
)
from risk.volatility.jit import compiled


@compiled
def absorb(
    relative: FloatArray, positions: Positions, terms: Terms, credit: FloatArray, marks: IntArray, outcome: FloatArray
) -> None:
    """Fill ``outcome[path, mark]`` as `risk.stress.kernel.run` does.

    All accounts owe one asset; `credit` (n_assets,) is the debt that a dollar of absorbed collateral is credited with.
    """
    n_paths, n_points, n_assets = relative.shape
    n_accounts = len(positions.debt_start) - 1
    base = positions.debts[0] if len(positions.debts) else 0
    collateral, debt = np.empty_like(positions.collateral), np.empty_like(positions.debt)
    oracle, used, market = np.empty(n_assets), np.empty(n_assets), np.empty(n_assets)
    stock, cost = np.empty(n_assets), np.empty(n_assets)
    waited, flows = np.empty(n_accounts, np.int64), np.empty(6)
    start, health = np.empty(n_accounts), np.empty(n_accounts)
    for account in range(n_accounts):
        start[account] = _health(account, positions.collateral, positions.debt, positions, terms.price)
    for path in range(n_paths):
        outcome[path] = np.nan
        if not _valid(relative[path]):
            continue
        collateral[:], debt[:] = positions.collateral, positions.debt
        oracle[:], used[:], waited[:], flows[:] = terms.price, 0.0, 0, 0.0
        stock[:], cost[:], health[:] = 0.0, 0.0, start
        active = 1
        for step in range(n_points):
            market[:] = terms.price * relative[path, step]
            for turn in range(terms.rounds):
                seen = max(step * terms.rounds + turn - terms.oracle_lag, 0) // terms.rounds
                moved = _update(oracle, relative[path, seen], terms)
                used *= terms.recovery
                if moved or active > 0:
                    active = _round(
                        collateral, debt, oracle, waited, health, stock, cost, flows, positions, terms, credit
                    )
                _sell(stock, cost, base, oracle, market, used, flows, terms)
            for k in range(len(marks)):
                if marks[k] == step:
                    outcome[path, k] = flows
                    _measure(outcome[path, k], collateral, debt, market, positions)
                    _value(outcome[path, k], stock, cost, base, market, terms)


@compiled
def _round(
    collateral: FloatArray, debt: FloatArray, oracle: FloatArray, waited: IntArray, health: FloatArray,
    stock: FloatArray, cost: FloatArray, flows: FloatArray, positions: Positions, terms: Terms, credit: FloatArray,
) -> int:  # fmt: skip
    """Look once at every account that the worst fall could bring below a health factor of one; how many wait."""
    active, worst, best = 0, np.inf, 0.0
    for asset in positions.collaterals:
        worst = min(worst, oracle[asset] / terms.price[asset])
    for asset in positions.debts:
        best = max(best, oracle[asset] / terms.price[asset])
    for account in range(len(waited)):
        if health[account] * worst > best * (1.0 + 1e-9):
            waited[account] = 0
        elif _take(account, collateral, debt, oracle, waited, stock, cost, flows, positions, terms, credit):
            active += 1
        elif debt[positions.debt_start[account]] <= 0.0:
            health[account] = np.inf
    return active


@compiled
def _value(
    outcome: FloatArray, stock: FloatArray, cost: FloatArray, base: int, market: FloatArray, terms: Terms
) -> None:
    """Add what is still for sale: what it would fall short of its cost, and the cost itself."""
    for asset in range(len(stock)):
        owed = cost[asset] * market[base]
        fetched = stock[asset] * market[asset] / (1.0 + terms.bonus[asset])
        outcome[LATENT] += max(0.0, owed - fetched)
        outcome[UNLIQUIDATED] += owed


@compiled
def _take(
    account: int, collateral: FloatArray, debt: FloatArray, oracle: FloatArray, waited: IntArray, stock: FloatArray,
    cost: FloatArray, flows: FloatArray, positions: Positions, terms: Terms, credit: FloatArray,
) -> int:  # fmt: skip
    """Absorb an account once it has waited; whether it still waits."""
    first, last = positions.collateral_start[account], positions.collateral_start[account + 1]
    if _health(account, collateral, debt, positions, oracle) >= 1.0:
        waited[account] = 0
        return 0
    if waited[account] < terms.keeper_wait:
        waited[account] += 1
        return 1
    owed, value, credited = 0.0, 0.0, 0.0
    for i in range(positions.debt_start[account], positions.debt_start[account + 1]):
        owed += debt[i] * oracle[positions.debt_asset[i]]
    for i in range(first, last):
        asset = positions.collateral_asset[i]
        value += collateral[i] * oracle[asset]
        credited += collateral[i] * oracle[asset] * credit[asset]
    if value <= 0.0:
        return 0
    base = positions.debt_asset[positions.debt_start[account]]
    paid = max(owed, credited) / oracle[base]
    for i in range(first, last):
        asset = positions.collateral_asset[i]
        worth = collateral[i] * oracle[asset]
        cost[asset] += paid * (worth * credit[asset] / credited if credited > 0.0 else worth / value)
        stock[asset] += collateral[i]
        collateral[i] = 0.0
    for i in range(positions.debt_start[account], positions.debt_start[account + 1]):
        debt[i] = 0.0
    flows[LIQUIDATED] += owed
    flows[SEIZED] += value
    return 0


@compiled
def _sell(
    stock: FloatArray, cost: FloatArray, base: int, oracle: FloatArray, market: FloatArray, used: FloatArray,
    flows: FloatArray, terms: Terms,
) -> None:  # fmt: skip
    """Let buyers take what pays them, asset by asset."""
    for asset in range(len(stock)):
        bonus = terms.bonus[asset]
        if stock[asset] <= 0.0 or bonus <= 0.0:
            continue
        asked = stock[asset] * oracle[asset] / (1.0 + bonus)
        paid = min(asked, _room(bonus, asset, base, oracle, market, used, terms, 0.0))
        if paid <= DUST:
            continue
        share = 1.0 if paid >= asked else paid / asked
        gain = (paid / oracle[base] - cost[asset] * share) * market[base]
        used[asset] += paid * (1.0 + bonus) * market[asset] / oracle[asset]
        flows[REALISED] += max(0.0, -gain)
        flows[FEES] += max(0.0, gain)
        stock[asset] -= stock[asset] * share
        cost[asset] -= cost[asset] * share
