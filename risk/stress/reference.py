"""The liquidation engine once more, account by account in plain Python, to hold the compiled one to it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from risk.market import FloatArray
from risk.stress.book import StressBook
from risk.stress.kernel import CALLS, CLOSE_FACTOR, DUST, FULL_CLOSE_HEALTH, Terms

Prices = dict[int, float]


@dataclass(slots=True)
class Account:
    """One account: tokens by asset, its thresholds and bonuses, and rounds waited below a health factor of one."""

    name: str
    collateral: dict[int, float]
    debt: dict[int, float]
    threshold: dict[int, float]
    bonus: dict[int, float]
    waited: int = 0

    def owed(self, prices: Prices) -> float:
        """Debt in US dollars."""
        return sum(amount * prices[asset] for asset, amount in self.debt.items())

    def held(self, prices: Prices) -> float:
        """Collateral in US dollars."""
        return sum(amount * prices[asset] for asset, amount in self.collateral.items())

    def health(self, prices: Prices) -> float:
        """Health factor; infinite without debt."""
        power = sum(amount * prices[asset] * self.threshold[asset] for asset, amount in self.collateral.items())
        owed = self.owed(prices)
        return power / owed if owed > 0 else math.inf


@dataclass(slots=True)
class Ledger:
    """Where value went, in US dollars at the oracle's price; written-off debt at the market's."""

    realised: float = 0.0
    liquidated: float = 0.0
    seized: float = 0.0
    fees: float = 0.0
    used: dict[int, float] = field(default_factory=dict)


def accounts_of(book: StressBook) -> list[Account]:
    """Accounts in the order in which keepers come to them."""
    prices = dict(enumerate(book.price.tolist()))
    accounts = [
        Account(name, _sparse(collateral), _sparse(debt), dict(enumerate(threshold)), dict(enumerate(bonus)))
        for name, collateral, debt, threshold, bonus in zip(
            book.accounts, book.collateral, book.debt, book.thresholds().tolist(), book.bonuses().tolist(), strict=True
        )
    ]
    return sorted(accounts, key=lambda account: (-account.owed(prices), account.name))


def play(accounts: list[Account], relative: FloatArray, terms: Terms) -> tuple[Ledger, Prices]:
    """Run one path (n_steps + 1, n_assets) over the accounts, which change; the ledger and the last prices."""
    start = dict(enumerate(terms.price.tolist()))
    oracle, ledger = dict(start), Ledger(used=dict.fromkeys(start, 0.0))
    history = [{asset: price * float(row[asset]) for asset, price in start.items()} for row in relative]
    for now in range(len(history) * terms.rounds):
        market = history[now // terms.rounds]
        seen = history[max(now - terms.oracle_lag, 0) // terms.rounds]
        for asset, price in seen.items():
            if abs(price / oracle[asset] - 1) >= terms.deviation[asset]:
                oracle[asset] = price
        for asset in ledger.used:
            ledger.used[asset] *= terms.recovery
        for account in accounts:
            _visit(account, oracle, market, ledger, terms)
    return ledger, history[-1]


def outcome(accounts: list[Account], ledger: Ledger, prices: Prices) -> tuple[float, ...]:
    """Latent, realised, unliquidated, liquidated, seized, fees."""
    latent = sum(max(0.0, account.owed(prices) - account.held(prices)) for account in accounts)
    unliquidated = sum(account.owed(prices) for account in accounts if account.health(prices) < 1)
    return latent, ledger.realised, unliquidated, ledger.liquidated, ledger.seized, ledger.fees


def _sparse(row: FloatArray) -> dict[int, float]:
    return {asset: float(row[asset]) for asset in row.nonzero()[0].tolist()}


def _visit(account: Account, oracle: Prices, market: Prices, ledger: Ledger, terms: Terms) -> None:
    if account.health(oracle) >= 1:
        account.waited = 0
        return
    if account.waited < terms.keeper_wait:
        account.waited += 1
        return
    for _ in range(CALLS):
        if not _liquidate(account, oracle, market, ledger, terms):
            return
        if account.health(oracle) >= 1:
            account.waited = 0
            return


def _liquidate(account: Account, oracle: Prices, market: Prices, ledger: Ledger, terms: Terms) -> bool:
    """Repay once; whether anything was repaid."""
    lent = max(account.debt, key=lambda asset: account.debt[asset] * oracle[asset])
    rooms = {asset: _room(account, asset, lent, oracle, market, ledger, terms) for asset in account.collateral}
    candidates = [asset for asset, room in rooms.items() if room > DUST and account.collateral[asset] > 0]
    if not candidates:
        return False
    held = max(candidates, key=lambda asset: account.collateral[asset] * oracle[asset])
    owed, bonus = account.debt[lent] * oracle[lent], account.bonus[held]
    close = 1.0 if account.health(oracle) < FULL_CLOSE_HEALTH else CLOSE_FACTOR
    backed = account.collateral[held] * oracle[held] / (1 + bonus)
    repaid = min(close * owed, backed, rooms[held])
    if repaid <= DUST:
        return False
    account.debt[lent] = 0.0 if repaid >= owed else account.debt[lent] - repaid / oracle[lent]
    seized = account.collateral[held] if repaid >= backed else repaid * (1 + bonus) / oracle[held]
    account.collateral[held] -= seized
    fee = terms.protocol_share * bonus * repaid
    ledger.liquidated += repaid
    ledger.seized += repaid * (1 + bonus)
    ledger.fees += fee
    ledger.used[held] += (repaid * (1 + bonus) - fee) * market[held] / oracle[held]
    if not any(account.collateral.values()):
        ledger.realised += account.owed(market)
        account.debt = dict.fromkeys(account.debt, 0.0)
    return True


def _room(
    account: Account, asset: int, lent: int, oracle: Prices, market: Prices, ledger: Ledger, terms: Terms
) -> float:
    """US dollars of debt that keepers repay against an asset before its bonus no longer pays for the sale."""
    bonus = account.bonus[asset]
    if account.threshold[asset] <= 0 or bonus <= 0:
        return 0.0
    gain = (1 + (1 - terms.protocol_share) * bonus) * market[asset] / oracle[asset]
    cost = (1 + terms.gas) * market[lent] / oracle[lent]
    slippage = 1 - terms.execution_move - cost / gain
    share = min(max(slippage / float(terms.bonus[asset]), 0.0), 1.0)
    return (float(terms.depth[asset]) * share - ledger.used[asset]) / gain
