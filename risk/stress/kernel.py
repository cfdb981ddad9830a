"""The compiled liquidation engine: one loop over paths, steps, rounds and accounts.

It does what `risk.stress.reference` does account by account, over sparse positions and with two short cuts that
change no result: an account is looked at only when the worst price relative of any collateral over the best of any
debt could bring it below a health factor of one, and a round in which nothing moved is passed over.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from risk.market import FloatArray, IntArray
from risk.volatility.jit import compiled

CALLS = 8
"""Most liquidations of one account in one round: two debts, then each collateral that is left."""
CLOSE_FACTOR = 0.5
"""Share of a debt that one liquidation may repay (Aave v3)."""
FULL_CLOSE_HEALTH = 0.95
"""Below this health factor all of a debt may be repaid (Aave v3)."""
DUST = 1e-6
"""Dollars below which a repayment is not made."""
LATENT, REALISED, UNLIQUIDATED, LIQUIDATED, SEIZED, FEES = range(6)
"""Columns of the outcome, all in US dollars; the last three count at the oracle's price."""


class Positions(NamedTuple):
    """Positions in tokens: those of account a are at ``start[a]:start[a + 1]``.

    Keepers come to accounts in this order; `collaterals` and `debts` list the assets that are held and owed at all.
    `threshold` and `bonus` are those of the account for that collateral: in an efficiency mode others than the asset's.
    """

    collateral_start: IntArray
    collateral_asset: IntArray
    collateral: FloatArray
    threshold: FloatArray
    bonus: FloatArray
    debt_start: IntArray
    debt_asset: IntArray
    debt: FloatArray
    collaterals: IntArray
    debts: IntArray


class Terms(NamedTuple):
    """What a liquidation is made under; arrays by asset, times in rounds.

    Attributes
    ----------
    price
        US dollars at the start.
    bonus, depth
        A bonus, as a fraction, and the US dollars that sell within it.
    deviation
        Move of the market that makes the oracle follow.
    oracle_lag, keeper_wait
        Rounds by which the oracle is behind, and from a crossing to the first liquidation.
    recovery
        Share of the used depth that is still missing after one round.
    gas, execution_move, protocol_share
        As declared; gas times the scenario's multiplier.
    rounds
        Rounds a step; the whole move of a step happens before its first.
    """

    price: FloatArray
    bonus: FloatArray
    depth: FloatArray
    deviation: FloatArray
    oracle_lag: int
    keeper_wait: int
    recovery: float
    gas: float
    execution_move: float
    protocol_share: float
    rounds: int


@compiled
def run(relative: FloatArray, positions: Positions, terms: Terms, marks: IntArray, outcome: FloatArray) -> None:
    """Fill ``outcome[path, mark]`` with the six columns after the steps in `marks`; NaN for a failed path."""
    n_paths, n_points, n_assets = relative.shape
    n_accounts = len(positions.debt_start) - 1
    collateral, debt = np.empty_like(positions.collateral), np.empty_like(positions.debt)
    oracle, used, market = np.empty(n_assets), np.empty(n_assets), np.empty(n_assets)
    waited, health = np.empty(n_accounts, np.int64), np.empty(n_accounts)
    flows = np.empty(6)
    for path in range(n_paths):
        outcome[path] = np.nan
        if not _valid(relative[path]):
            continue
        collateral[:], debt[:] = positions.collateral, positions.debt
        oracle[:], used[:], waited[:], flows[:] = terms.price, 0.0, 0, 0.0
        for account in range(n_accounts):
            health[account] = _health(account, collateral, debt, positions, terms.price)
        active = 0
        for step in range(n_points):
            market[:] = terms.price * relative[path, step]
            for turn in range(terms.rounds):
                seen = max(step * terms.rounds + turn - terms.oracle_lag, 0) // terms.rounds
                moved = _update(oracle, relative[path, seen], terms)
                used *= terms.recovery
                if moved or active > 0 or turn + step == 0:
                    active = _round(collateral, debt, oracle, market, used, waited, health, flows, positions, terms)
            for k in range(len(marks)):
                if marks[k] == step:
                    outcome[path, k] = flows
                    _measure(outcome[path, k], collateral, debt, market, positions)


@compiled
def _valid(relative: FloatArray) -> bool:
    return bool(np.isfinite(relative).all() and (relative > 0.0).all())


@compiled
def _health(
    account: int,
    collateral: FloatArray,
    debt: FloatArray,
    positions: Positions,
    price: FloatArray,
) -> float:
    """Health factor of an account at `price`; infinite without debt."""
    power, owed = 0.0, 0.0
    for i in range(positions.collateral_start[account], positions.collateral_start[account + 1]):
        asset = positions.collateral_asset[i]
        power += collateral[i] * price[asset] * positions.threshold[i]
    for i in range(positions.debt_start[account], positions.debt_start[account + 1]):
        owed += debt[i] * price[positions.debt_asset[i]]
    return power / owed if owed > 0.0 else np.inf


@compiled
def _update(oracle: FloatArray, relative: FloatArray, terms: Terms) -> bool:
    """Let the oracle follow where the market it sees has moved by its deviation; whether any did."""
    moved = False
    for asset in range(len(oracle)):
        seen = terms.price[asset] * relative[asset]
        if seen != oracle[asset] and abs(seen / oracle[asset] - 1.0) >= terms.deviation[asset]:
            oracle[asset] = seen
            moved = True
    return moved


@compiled
def _round(
    collateral: FloatArray, debt: FloatArray, oracle: FloatArray, market: FloatArray, used: FloatArray,
    waited: IntArray, health: FloatArray, flows: FloatArray, positions: Positions, terms: Terms,
) -> int:  # fmt: skip
    """Let keepers act once on every account; how many stay below a health factor of one."""
    worst, best = np.inf, 0.0
    for asset in positions.collaterals:
        worst = min(worst, oracle[asset] / terms.price[asset])
    for asset in positions.debts:
        best = max(best, oracle[asset] / terms.price[asset])
    active = 0
    for account in range(len(waited)):
        if health[account] * worst > best * (1.0 + 1e-9):
            waited[account] = 0
            continue
        now = _health(account, collateral, debt, positions, oracle)
        if now >= 1.0:
            waited[account] = 0
            continue
        if waited[account] < terms.keeper_wait:
            waited[account] += 1
            active += 1
            continue
        for _ in range(CALLS):
            if not _call(account, now, collateral, debt, oracle, market, used, flows, positions, terms):
                break
            now = _health(account, collateral, debt, positions, oracle)
            if now >= 1.0:
                break
        health[account] = _health(account, collateral, debt, positions, terms.price)
        if now < 1.0:
            active += 1
        else:
            waited[account] = 0
    return active


@compiled
def _room(
    bonus: float, asset: int, lent: int, oracle: FloatArray, market: FloatArray, used: FloatArray, terms: Terms,
    protocol_share: float,
) -> float:  # fmt: skip
    """US dollars that are paid for an asset before the bonus no longer pays for its sale."""
    # Paying a dollar yields `gain` at the market; slippage, execution and gas must fit into it.
    gain = (1.0 + (1.0 - protocol_share) * bonus) * market[asset] / oracle[asset]
    slippage = 1.0 - terms.execution_move - (1.0 + terms.gas) * market[lent] / oracle[lent] / gain
    share = min(max(slippage, 0.0) / terms.bonus[asset], 1.0)
    free: float = (terms.depth[asset] * share - used[asset]) / gain
    return free


@compiled
def _call(
    account: int, health: float, collateral: FloatArray, debt: FloatArray, oracle: FloatArray, market: FloatArray,
    used: FloatArray, flows: FloatArray, positions: Positions, terms: Terms,
) -> bool:  # fmt: skip
    """One liquidation: the largest debt against the largest collateral that still sells; whether any was made."""
    owed, largest = -1, 0.0
    for i in range(positions.debt_start[account], positions.debt_start[account + 1]):
        value = debt[i] * oracle[positions.debt_asset[i]]
        if value > largest:
            owed, largest = i, value
    if owed < 0:
        return False
    lent = positions.debt_asset[owed]
    held, held_value, room = -1, 0.0, 0.0
    for i in range(positions.collateral_start[account], positions.collateral_start[account + 1]):
        asset = positions.collateral_asset[i]
        value = collateral[i] * oracle[asset]
        if value > held_value and positions.threshold[i] > 0.0 and positions.bonus[i] > 0.0:
            free = _room(positions.bonus[i], asset, lent, oracle, market, used, terms, terms.protocol_share)
            if free > DUST:
                held, held_value, room = i, value, free
    if held < 0:
        return False
    asset = positions.collateral_asset[held]
    bonus = positions.bonus[held]
    allowed = largest * (1.0 if health < FULL_CLOSE_HEALTH else CLOSE_FACTOR)
    backed = held_value / (1.0 + bonus)
    repaid = min(allowed, backed, room)
    if repaid <= DUST:
        return False
    debt[owed] = 0.0 if repaid >= largest else debt[owed] - repaid / oracle[lent]
    collateral[held] = 0.0 if repaid >= backed else collateral[held] - repaid * (1.0 + bonus) / oracle[asset]
    fee = terms.protocol_share * bonus * repaid
    used[asset] += (repaid * (1.0 + bonus) - fee) * market[asset] / oracle[asset]
    flows[LIQUIDATED] += repaid
    flows[SEIZED] += repaid * (1.0 + bonus)
    flows[FEES] += fee
    left = 0.0
    for i in range(positions.collateral_start[account], positions.collateral_start[account + 1]):
        left += collateral[i]
    if left <= 0.0:
        for i in range(positions.debt_start[account], positions.debt_start[account + 1]):
            flows[REALISED] += debt[i] * market[positions.debt_asset[i]]
            debt[i] = 0.0
    return True


@compiled
def _measure(
    outcome: FloatArray, collateral: FloatArray, debt: FloatArray, market: FloatArray, positions: Positions,
) -> None:  # fmt: skip
    """Add latent and unliquidated debt at the market's prices."""
    for account in range(len(positions.debt_start) - 1):
        value, power, owed = 0.0, 0.0, 0.0
        for i in range(positions.collateral_start[account], positions.collateral_start[account + 1]):
            asset = positions.collateral_asset[i]
            value += collateral[i] * market[asset]
            power += collateral[i] * market[asset] * positions.threshold[i]
        for i in range(positions.debt_start[account], positions.debt_start[account + 1]):
            owed += debt[i] * market[positions.debt_asset[i]]
        outcome[LATENT] += max(0.0, owed - value)
        if power < owed:
            outcome[UNLIQUIDATED] += owed
