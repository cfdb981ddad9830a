"""Liquidation of a book along price paths: what keepers can and want to repay, and the bad debt that stays.

A step of the path moves all prices at once; then keepers get their rounds. The oracle follows the market late and
only beyond its deviation. An account below a health factor of one is liquidated once the keepers' delay has passed:
half of a debt, all of it below .95, against the collateral of largest value, largest debts first. A keeper pays gas,
execution and slippage out of the bonus, so the depth it uses is that within the bonus times the share of the bonus
that is left for slippage; what was used comes back with a half-life and is shared by all accounts. Liquidations do
not move the path itself: feedback on prices is not modelled.

Accounts of a market that absorbs are taken whole instead (`risk.stress.absorption`).

Bad debt is *realised* where all collateral was seized and debt is left, *latent* where an open account owes more
than it has. It is not monotone in depth or in the keepers' speed: an account that cannot be saved costs the pool the
bonus as well, and half a debt repaid early can leave open what a later, full liquidation would have closed. What does
hold, for one collateral and one debt while the price falls: a dollar repaid at p lowers the final shortfall at
liquidation value, debt less collateral / (1 + bonus), by 1 - p_end / p; so keepers are never worse than none.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from risk.depth import Depth, stressed_depth
from risk.errors import EvidenceError
from risk.market import NUMERAIRE, FloatArray, MarketSnapshot, Origin, frozen
from risk.settings import Settings
from risk.stress.absorption import absorb
from risk.stress.book import StressBook
from risk.stress.kernel import Positions, Terms, run


def depths_of(snapshot: MarketSnapshot, settings: Settings, book: StressBook) -> dict[str, Depth]:
    """Stressed depth within the bonus, against the first asset that is lent, for each collateral of the book.

    Of a collateral with neither a depth curve nor a traded volume nothing can be sold: its depth is zero and says
    why. A dead asset then leaves its debt unliquidated instead of ending the run.
    """
    depths = {}
    thresholds = book.threshold if book.modes is None else book.modes.threshold.max(axis=0)
    bonus = book.largest_bonus()
    usable = (thresholds > 0) & (bonus > 0)
    for i, name in enumerate(book.assets):
        if usable[i]:
            debt = settings.assets[name].debts[0] if settings.assets[name].debts else NUMERAIRE
            try:
                depths[name] = stressed_depth(snapshot, settings, name, debt, float(bonus[i]))
            except EvidenceError as error:
                depths[name] = Depth(0.0, Origin.ASSUMED, f"nothing of it can be sold: {error.message}")
    return depths


def terms_of(
    snapshot: MarketSnapshot,
    settings: Settings,
    book: StressBook,
    depths: Mapping[str, Depth],
    *,
    round_seconds: int,
    rounds: int = 1,
    oracle_delay: int = 0,
    depth_multiplier: Mapping[str, float] | None = None,
    gas_multiplier: float = 1.0,
) -> Terms:
    """What liquidations of a book are made under.

    Parameters
    ----------
    depths
        Of `depths_of`; an asset that is missing has none, so nobody liquidates it.
    round_seconds, rounds
        Length of a round, and rounds a step. Times are rounded to whole rounds, to the nearest.
    oracle_delay
        Seconds on top of each feed's own latency.
    depth_multiplier
        Share of the stressed depth that is left, by asset; one where missing.
    gas_multiplier
        Factor on the declared share of gas.
    """
    execution, factors = settings.execution, depth_multiplier or {}
    oracle = [snapshot.oracle.get(name) for name in book.assets]
    latency = max((facts.latency for facts in oracle if facts is not None), default=0)
    usd = [depths[name].usd * factors.get(name, 1.0) if name in depths else 0.0 for name in book.assets]
    return Terms(
        price=book.price,
        bonus=book.largest_bonus(),
        depth=frozen(usd),
        deviation=frozen([0.0 if facts is None else facts.deviation for facts in oracle]),
        oracle_lag=_whole((latency + oracle_delay) / round_seconds),
        keeper_wait=_whole(execution.keeper_delay / round_seconds),
        recovery=0.5 ** (round_seconds / execution.recovery_half_life),
        gas=execution.gas_share * gas_multiplier,
        execution_move=execution.execution_move,
        protocol_share=execution.protocol_share,
        rounds=rounds,
    )


def positions_of(book: StressBook) -> Positions:
    """The book's positions, sparse; keepers take the largest debt first, by name where debts are equal."""
    owed = book.debt @ book.price
    order = sorted(range(len(book.accounts)), key=lambda i: (-owed[i], book.accounts[i]))
    collateral, debt = book.collateral[order], book.debt[order]
    (holder, held), (debtor, lent) = np.nonzero(collateral), np.nonzero(debt)
    accounts = np.arange(len(book.accounts) + 1)
    return Positions(
        collateral_start=np.searchsorted(holder, accounts),
        collateral_asset=held,
        collateral=collateral[holder, held],
        threshold=book.thresholds()[order][holder, held],
        bonus=book.bonuses()[order][holder, held],
        debt_start=np.searchsorted(debtor, accounts),
        debt_asset=lent,
        debt=debt[debtor, lent],
        collaterals=np.unique(held),
        debts=np.unique(lent),
    )


def liquidate(book: StressBook, relative: FloatArray, terms: Terms, marks: tuple[int, ...]) -> FloatArray:
    """Outcome of the book along paths.

    Parameters
    ----------
    relative
        (n_paths, n_steps + 1, n_assets) price relatives in the order of `book.assets`, starting at one.
    marks
        Steps after which the outcome is taken, at most n_steps.

    Returns
    -------
    (n_paths, n_marks, 6) US dollars: latent, realised, unliquidated, liquidated, seized, fees (the columns of
    `risk.stress.kernel`). A path with a price that is not finite and positive has failed and is NaN throughout.
    """
    found = np.zeros((len(relative), len(marks), 6))
    paths, steps = np.ascontiguousarray(relative), np.array(marks, dtype=np.int64)
    for market, part in book.parts():
        outcome = np.empty_like(found)
        if market and part.absorption is not None:
            absorb(paths, positions_of(part), terms, part.absorption.credit, steps, outcome)
        else:
            run(paths, positions_of(part), terms, steps, outcome)
        found += outcome
    return found


def _whole(value: float) -> int:
    return int(value + 0.5)
