"""The book that a parameter set carries: its positions, thresholds and bonuses.

Positions known from chain or a file are those under the parameters in force. In the long run a book follows its
parameters, so another set scales it: collateral into a higher supply cap, debt so that every account keeps the
health factor it has in force. A looser set therefore carries more debt; it does not merely look safer. Where no
positions are known the declared reference book stands in: each cap fully used, accounts at all distances.

A supply cap bounds what may come, never what is there: known positions grow into a cap that is raised, and stay
under one that is cut. Only the reference book, whose definition is the cap fully used, shrinks with it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from risk.artifact import Table
from risk.errors import EvidenceError
from risk.exposure import REFERENCE_DISTANCES, REFERENCE_WEIGHTS, reserve_key, supply_usd
from risk.market import Book, BoolArray, FloatArray, MarketSnapshot, Origin, frozen
from risk.parameters import ParameterSet
from risk.seizure.by_protocol import seizure_of
from risk.seizure.reading import ratio_of
from risk.settings import Settings
from risk.stress.asset_terms import Absorption, Modes, absorption_of, bonuses_of, modes_of, thresholds_of

FOLLOWS = (
    "long run: where a supply cap is raised, collateral grows so that the cap is as full as the one in force is; "
    "a lower cap stops new supply and removes no position; debt follows, so that every account keeps the health "
    "factor it has in force"
)
REFERENCE = (
    "reference book: no positions are known, so each supply cap is fully used by accounts at all distances, which "
    "borrow the first asset that is lent against the collateral; a cut of a cap is taken as positions that have left"
)


@dataclass(frozen=True, slots=True)
class StressBook:
    """Positions under one parameter set.

    Attributes
    ----------
    accounts, assets
        Names of rows and columns; only assets that are held or owed.
    price
        (n_assets,) US dollars at the snapshot.
    collateral, debt
        (n_accounts, n_assets) whole tokens.
    threshold, bonus
        (n_assets,) fractions; zero where the asset is no collateral. The bonus is what whoever takes the collateral
        gains, also where the protocol's own parameter is another.
    origin, note
        Where the positions come from, and how they follow the set.
    modes
        Efficiency modes of the accounts, whose terms then count instead; None where nobody is in one.
    absorption
        Which accounts the protocol absorbs; None where keepers repay everywhere.
    """

    accounts: tuple[str, ...]
    assets: tuple[str, ...]
    price: FloatArray
    collateral: FloatArray
    debt: FloatArray
    threshold: FloatArray
    bonus: FloatArray
    origin: Origin
    note: str
    modes: Modes | None = None
    absorption: Absorption | None = None

    def thresholds(self) -> FloatArray:
        """Threshold of each account for each asset, (n_accounts, n_assets)."""
        rows = None if self.modes is None else self.modes.threshold[self.modes.account]
        return np.broadcast_to(self.threshold, self.collateral.shape) if rows is None else rows

    def bonuses(self) -> FloatArray:
        """Bonus on each account's collateral, (n_accounts, n_assets)."""
        rows = None if self.modes is None else self.modes.bonus[self.modes.account]
        return np.broadcast_to(self.bonus, self.collateral.shape) if rows is None else rows

    def largest_bonus(self) -> FloatArray:
        """Largest bonus under which each asset is taken, (n_assets,)."""
        return self.bonus if self.modes is None else frozen(self.modes.bonus.max(axis=0))

    def without(self, assets: frozenset[str]) -> StressBook:
        """The book without the accounts that hold or owe any of these assets, and without these columns."""
        gone = np.array([name in assets for name in self.assets], dtype=bool)
        touched = (self.collateral[:, gone] > 0) | (self.debt[:, gone] > 0)
        return self._part(~np.asarray(touched.any(axis=1)), ~gone)

    def parts(self) -> Iterator[tuple[str, StressBook]]:
        """The book by who absorbs its accounts: "" first, for those that keepers repay, then each market.

        Raises
        ------
        EvidenceError
            An account that only one market could absorb in part, or that owes it two assets.
        """
        if self.absorption is None:
            yield "", self
            return
        markets = np.array(self.absorption.market, dtype=object)
        held, everything = self.collateral > 0, np.ones(len(self.assets), dtype=bool)
        taken = np.zeros(len(self.accounts), dtype=bool)
        found = []
        for market in sorted(set(markets.tolist()) - {""}):
            rows = np.asarray(held[:, markets == market].any(axis=1))
            mixed = rows & held[:, markets != market].any(axis=1)
            debts = (self.debt[rows] > 0).any(axis=0)
            if mixed.any() or debts.sum() > 1:
                wrong = (
                    "an account's collateral lies in it and in another market" if mixed.any() else "two are owed to it"
                )
                raise EvidenceError(
                    f"a Comet holds whole accounts and lends one asset, but {wrong}",
                    field=market,
                    value=self.accounts[int(np.argmax(mixed if mixed.any() else rows))],
                    remedy="Give an account of each market a name of its own, and its debt in the base asset",
                )
            taken |= rows
            found.append((market, self._part(rows, everything)))
        if not taken.all():
            yield "", self._part(~taken, everything)
        yield from found

    def _part(self, rows: BoolArray, columns: BoolArray) -> StressBook:
        """Some accounts and some assets."""
        modes, absorption = self.modes, self.absorption
        if modes is not None:
            kept = frozen(modes.account[rows], np.int64)
            modes = Modes(kept, frozen(modes.threshold[:, columns]), frozen(modes.bonus[:, columns]))
        if absorption is not None:
            market = tuple(name for name, here in zip(absorption.market, columns, strict=True) if here)
            absorption = Absorption(market, frozen(absorption.credit[columns])) if any(market) else None
        return dataclasses.replace(
            self,
            accounts=tuple(name for name, kept in zip(self.accounts, rows, strict=True) if kept),
            assets=tuple(name for name, kept in zip(self.assets, columns, strict=True) if kept),
            price=frozen(self.price[columns]),
            collateral=frozen(self.collateral[rows][:, columns]),
            debt=frozen(self.debt[rows][:, columns]),
            threshold=frozen(self.threshold[columns]),
            bonus=frozen(self.bonus[columns]),
            modes=modes,
            absorption=absorption,
        )


def book_of(snapshot: MarketSnapshot, settings: Settings, parameters: ParameterSet) -> StressBook:
    """The book that `parameters` carries in the long run.

    Raises
    ------
    EvidenceError
        Collateral without a threshold or bonus that can be read; a book's asset that is no reserve; no exposure
        for the reference book.
    DataError
        An asset without a price.
    """
    if snapshot.book is None:
        return _reference(snapshot, settings, parameters)
    book = _used(snapshot.book)
    price = _prices(snapshot, book.assets)
    held = np.any(book.collateral > 0, axis=0)
    threshold = thresholds_of(settings, parameters, book.assets, held, None)
    bonus = bonuses_of(settings, parameters, book.assets, held)
    in_force = thresholds_of(settings, snapshot.in_force, book.assets, held, threshold)
    modes = modes_of(snapshot, settings, parameters, book.assets, (threshold, bonus))
    modes_before = modes_of(snapshot, settings, snapshot.in_force, book.assets, (in_force, bonus), parameters)
    collateral = book.collateral * _growth(snapshot, settings, parameters, book)
    before = _power(book.collateral, price, in_force, modes_before)
    after = _power(collateral, price, threshold, modes)
    # Collateral that supports no debt in force says nothing of the debt under another set: it stays.
    scale = np.divide(after, before, out=np.ones_like(after), where=before > 0)
    return StressBook(
        book.accounts, book.assets, price, frozen(collateral), frozen(book.debt * scale[:, None]), threshold, bonus,
        book.origin, FOLLOWS, modes, absorption_of(settings, parameters, book.assets, held),
    )  # fmt: skip


def _power(collateral: FloatArray, price: FloatArray, threshold: FloatArray, modes: Modes | None) -> FloatArray:
    """Debt at which each account becomes liquidatable, US dollars (n_accounts,)."""
    if modes is None:
        return collateral @ (price * threshold)
    return (collateral * modes.threshold[modes.account]) @ price


def newly_liquidatable(
    snapshot: MarketSnapshot, settings: Settings, before: ParameterSet, after: ParameterSet
) -> Table:
    """Accounts that a change makes liquidatable the moment it is executed, on the book as it is.

    Where `before` has no threshold for an asset, that of `after` stands in: it changes nobody's health.

    Returns
    -------
    Table ``account, health_before, health_after, debt_usd``, the largest debt first; empty when none crosses.

    Raises
    ------
    EvidenceError
        No positions are known, or collateral has no threshold that can be read.
    """
    if snapshot.book is None:
        raise EvidenceError(
            "no positions are known",
            field="positions",
            remedy="Give the settings a file of positions; a reference book cannot tell who would be liquidated",
        )
    book = _used(snapshot.book)
    price, held = _prices(snapshot, book.assets), np.any(book.collateral > 0, axis=0)
    debt = book.debt @ price
    new = thresholds_of(settings, after, book.assets, held, None)
    old = thresholds_of(settings, before, book.assets, held, new)
    health = []
    for parameters, threshold, other in ((before, old, after), (after, new, None)):
        modes = modes_of(snapshot, settings, parameters, book.assets, (threshold, threshold), other)
        power = _power(book.collateral, price, threshold, modes)
        health.append(np.divide(power, debt, out=np.full(len(debt), np.inf), where=debt > 0))
    crossing = np.flatnonzero((health[0] >= 1) & (health[1] < 1))
    rows = sorted(
        ((book.accounts[i], float(health[0][i]), float(health[1][i]), float(debt[i])) for i in crossing.tolist()),
        key=lambda row: (-row[3], row[0]),
    )
    return Table.from_rows({"account": "str", "health_before": "f8", "health_after": "f8", "debt_usd": "f8"}, rows)


def _used(book: Book) -> Book:
    """The book without columns that nobody holds or owes."""
    used = np.any((book.collateral > 0) | (book.debt > 0), axis=0)
    names = tuple(name for name, kept in zip(book.assets, used, strict=True) if kept)
    return dataclasses.replace(book, assets=names, collateral=book.collateral[:, used], debt=book.debt[:, used])


def _prices(snapshot: MarketSnapshot, assets: tuple[str, ...]) -> FloatArray:
    return frozen([snapshot.last_price(name) for name in assets])


def _growth(snapshot: MarketSnapshot, settings: Settings, parameters: ParameterSet, book: Book) -> FloatArray:
    """Factors (n_assets,) by which collateral grows into a higher cap; never below one.

    The new cap is as full as the one in force is, at most full. One where either cap is absent or unlimited.
    """
    factors = np.ones(len(book.assets))
    for i, name in enumerate(book.assets):
        declared = settings.assets.get(name)
        if declared is None or declared.reserve is None:
            continue
        key = reserve_key(name, declared, "supply_cap")
        old, new = snapshot.in_force.get(key), parameters.get(key)
        if old is not None and new is not None and old.value > 0 and new.value > 0:
            full = max(float(old.value), float(book.collateral[:, i].sum()))
            factors[i] = max(1.0, float(new.value) / full)
    return frozen(factors)


def _reference(snapshot: MarketSnapshot, settings: Settings, parameters: ParameterSet) -> StressBook:
    listed = []
    for asset, _, declared in settings.reserves():
        key = reserve_key(asset, declared, "liquidation_threshold")
        threshold = ratio_of(parameters, key)
        bonus = seizure_of(settings, asset).bonus(parameters, key)
        if threshold:
            listed.append((asset, declared.debts[0], threshold, bonus or 0.0))
    assets = tuple(sorted({name for asset, debt, *_ in listed for name in (asset, debt)}))
    column = {name: i for i, name in enumerate(assets)}
    price = _prices(snapshot, assets)
    shape = (len(listed) * len(REFERENCE_DISTANCES), len(assets))
    collateral, debts, thresholds, bonuses = np.zeros(shape), np.zeros(shape), np.zeros(shape[1]), np.zeros(shape[1])
    accounts = []
    for k, (asset, debt, threshold, bonus) in enumerate(listed):
        i, j, rows = (
            column[asset],
            column[debt],
            slice(k * len(REFERENCE_DISTANCES), (k + 1) * len(REFERENCE_DISTANCES)),
        )
        usd = supply_usd(asset, snapshot, settings, parameters) * REFERENCE_WEIGHTS
        collateral[rows, i] = usd / price[i]
        debts[rows, j] = usd * threshold * (1 - REFERENCE_DISTANCES) / price[j]
        thresholds[i], bonuses[i] = threshold, bonus
        accounts += [f"{asset} at {distance:.0%}" for distance in REFERENCE_DISTANCES]
    held = np.isin(assets, [asset for asset, *_ in listed])
    return StressBook(
        tuple(accounts), assets, price, frozen(collateral), frozen(debts), frozen(thresholds), frozen(bonuses),
        Origin.ASSUMED, REFERENCE, None, absorption_of(settings, parameters, assets, held),
    )  # fmt: skip
