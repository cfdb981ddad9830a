"""The book that a parameter set carries: its positions, thresholds and bonuses.

Positions known from chain or a file are those under the parameters in force. In the long run a book follows its
parameters, so another set scales it: collateral into a higher supply cap, debt so that every account keeps the
health factor it has in force. A looser set therefore carries more debt; it does not merely look safer. Where no
positions are known the declared reference book stands in: each cap fully used, accounts at all distances.

A supply cap bounds what may come, never what is there: known positions grow into a cap that is raised, and stay
under one that is cut. Only the reference book, whose definition is the cap fully used, shrinks with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from risk.artifact import Table
from risk.errors import EvidenceError
from risk.exposure import REFERENCE_DISTANCES, REFERENCE_WEIGHTS, reserve_key, supply_usd
from risk.market import Book, FloatArray, MarketSnapshot, Origin, frozen
from risk.parameters import Malformed, ParameterSet
from risk.settings import Settings

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
        (n_assets,) fractions; zero where the asset is no collateral.
    origin, note
        Where the positions come from, and how they follow the set.
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

    def without(self, assets: frozenset[str]) -> StressBook:
        """The book without the accounts that hold or owe any of these assets, and without these columns."""
        gone = np.array([name in assets for name in self.assets], dtype=bool)
        rows = ~np.any((self.collateral[:, gone] > 0) | (self.debt[:, gone] > 0), axis=1)
        return StressBook(
            tuple(name for name, kept in zip(self.accounts, rows, strict=True) if kept),
            tuple(name for name in self.assets if name not in assets),
            frozen(self.price[~gone]),
            frozen(self.collateral[rows][:, ~gone]),
            frozen(self.debt[rows][:, ~gone]),
            frozen(self.threshold[~gone]),
            frozen(self.bonus[~gone]),
            self.origin,
            self.note,
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
    threshold = _ratios(settings, parameters, book.assets, held, "liquidation_threshold")
    bonus = _ratios(settings, parameters, book.assets, held, "liquidation_bonus")
    in_force = _thresholds(settings, snapshot.in_force, book.assets, held, threshold)
    collateral = book.collateral * _growth(snapshot, settings, parameters, book)
    before, after = book.collateral @ (price * in_force), collateral @ (price * threshold)
    # Collateral that supports no debt in force says nothing of the debt under another set: it stays.
    scale = np.divide(after, before, out=np.ones_like(after), where=before > 0)
    return StressBook(
        book.accounts, book.assets, price, frozen(collateral), frozen(book.debt * scale[:, None]), threshold, bonus,
        book.origin, FOLLOWS,
    )  # fmt: skip


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
    new = _ratios(settings, after, book.assets, held, "liquidation_threshold")
    old = _thresholds(settings, before, book.assets, held, new)
    health = [
        np.divide(book.collateral @ (price * threshold), debt, out=np.full(len(debt), np.inf), where=debt > 0)
        for threshold in (old, new)
    ]
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
    return Book(book.accounts, names, book.collateral[:, used], book.debt[:, used], book.origin)


def _prices(snapshot: MarketSnapshot, assets: tuple[str, ...]) -> FloatArray:
    return frozen([snapshot.last_price(name) for name in assets])


def _ratio(settings: Settings, parameters: ParameterSet, asset: str, parameter: str) -> float | None:
    """A reserve's ratio, None where the set has no such key.

    Raises
    ------
    EvidenceError
        The asset is no reserve, or the value cannot be read.
    """
    declared = settings.assets.get(asset)
    if declared is None or declared.reserve is None:
        raise EvidenceError("collateral in the book is no reserve", field=asset, remedy="Give it a reserve market")
    key = reserve_key(asset, declared, parameter)
    if isinstance(parameters.values.get(key), Malformed):
        raise EvidenceError("the value cannot be read", field=str(key), value=str(parameters.values[key]))
    return parameters.ratio(key)


def _ratios(
    settings: Settings, parameters: ParameterSet, assets: tuple[str, ...], held: npt.NDArray[np.bool_], parameter: str
) -> FloatArray:
    """Ratios (n_assets,) of what is held as collateral; zero elsewhere."""
    ratios = np.zeros(len(assets))
    for i in np.flatnonzero(held).tolist():
        found = _ratio(settings, parameters, assets[i], parameter)
        if found is None:
            raise EvidenceError(
                f"collateral in the book has no {parameter}", field=assets[i], remedy="Add it to the parameter file"
            )
        ratios[i] = found
    return frozen(ratios)


def _thresholds(
    settings: Settings,
    parameters: ParameterSet,
    assets: tuple[str, ...],
    held: npt.NDArray[np.bool_],
    other: FloatArray,
) -> FloatArray:
    """Thresholds (n_assets,) of what is held, and the other ones where the set has none."""
    found = [
        _ratio(settings, parameters, name, "liquidation_threshold") if here else None
        for name, here in zip(assets, held.tolist(), strict=True)
    ]
    return frozen([other[i] if ratio is None else ratio for i, ratio in enumerate(found)])


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
        threshold = _ratio(settings, parameters, asset, "liquidation_threshold")
        bonus = _ratio(settings, parameters, asset, "liquidation_bonus")
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
    return StressBook(
        tuple(accounts), assets, price, frozen(collateral), frozen(debts), frozen(thresholds), frozen(bonuses),
        Origin.ASSUMED, REFERENCE,
    )  # fmt: skip
