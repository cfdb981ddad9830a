"""Thresholds, bonuses and credits that a parameter set gives to what a book holds, efficiency modes included."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from risk.errors import EvidenceError
from risk.exposure import reserve_key
from risk.market import BoolArray, FloatArray, IntArray, MarketSnapshot, frozen
from risk.parameters import Key, ParameterSet
from risk.seizure.by_protocol import seizure_of
from risk.seizure.reading import ratio_of
from risk.settings import Settings

MODE = "efficiency_mode"


@dataclass(frozen=True, slots=True)
class Modes:
    """Efficiency modes of a book's accounts.

    Attributes
    ----------
    account
        (n_accounts,) row of each account; row 0 is that of no mode.
    threshold, bonus
        (n_modes + 1, n_assets) those of a mode where it takes the asset as collateral, else the reserve's own.
    """

    account: IntArray
    threshold: FloatArray
    bonus: FloatArray


@dataclass(frozen=True, slots=True)
class Absorption:
    """Assets whose accounts the protocol absorbs.

    Attributes
    ----------
    market
        (n_assets) market that absorbs accounts with the asset; "" where keepers repay.
    credit
        (n_assets,) debt that a dollar of it is credited with.
    """

    market: tuple[str, ...]
    credit: FloatArray


def thresholds_of(
    settings: Settings, parameters: ParameterSet, assets: tuple[str, ...], held: BoolArray, other: FloatArray | None
) -> FloatArray:
    """Thresholds (n_assets,) of what is held, zero elsewhere; the `other` ones where the set has none.

    Raises
    ------
    EvidenceError
        Collateral that is no reserve, or without a threshold that can be read.
    """
    return _by_asset(assets, held, "liquidation_threshold", other, lambda _, key: ratio_of(parameters, key), settings)


def bonuses_of(settings: Settings, parameters: ParameterSet, assets: tuple[str, ...], held: BoolArray) -> FloatArray:
    """Bonuses (n_assets,) that whoever takes the collateral gains; zero where the asset is not held.

    Raises
    ------
    EvidenceError
        Collateral that is no reserve, or without a penalty that can be read.
    """

    def bonus(name: str, key: Key) -> float | None:
        return seizure_of(settings, name).bonus(parameters, key)

    return _by_asset(assets, held, "", None, bonus, settings)


def absorption_of(
    settings: Settings, parameters: ParameterSet, assets: tuple[str, ...], held: BoolArray
) -> Absorption | None:
    """Who absorbs what is held, and at which credit; None where keepers repay everywhere."""
    market, credit = [""] * len(assets), np.zeros(len(assets))
    for i in np.flatnonzero(held).tolist():
        declared = settings.assets[assets[i]]
        if (seizure := seizure_of(settings, assets[i])).absorbs:
            market[i] = declared.reserve or ""
            credit[i] = seizure.credit(parameters, reserve_key(assets[i], declared, seizure.penalty))
    return Absorption(tuple(market), frozen(credit)) if any(market) else None


def modes_of(
    snapshot: MarketSnapshot,
    settings: Settings,
    parameters: ParameterSet,
    assets: tuple[str, ...],
    own: tuple[FloatArray, FloatArray],
    fallback: ParameterSet | None = None,
) -> Modes | None:
    """Terms of the accounts' efficiency modes, None where no account is in one.

    Parameters
    ----------
    own
        Thresholds and bonuses of the reserves themselves, (n_assets,) each.
    fallback
        Set whose numbers stand in where `parameters` has none of a mode.

    Raises
    ------
    EvidenceError
        A mode whose members or numbers are not known.
    """
    book = snapshot.book
    if book is None or not any(book.modes):
        return None
    names = sorted(set(book.modes) - {""})
    rows = [np.tile(one, (len(names) + 1, 1)) for one in own]
    for number, name in enumerate(names, start=1):
        market, _, category = name.rpartition("/")
        members = _members(snapshot, market, category)
        inside = [
            i
            for i, asset in enumerate(assets)
            if (declared := settings.assets.get(asset)) is not None
            and declared.reserve == market
            and (declared.symbol or asset) in members
        ]
        for row, parameter in zip(rows, ("liquidation_threshold", "liquidation_bonus"), strict=True):
            key = Key(market, MODE, category, (), parameter)
            found = ratio_of(parameters, key)
            if found is None and fallback is not None:
                found = ratio_of(fallback, key)
            if found is None:
                raise EvidenceError(
                    "accounts are in an efficiency mode that the set says nothing of",
                    field=str(key),
                    remedy="Add it to the parameter file, or read the market's state",
                )
            row[number, inside] = found
    place = {name: number for number, name in enumerate(names, start=1)} | {"": 0}
    return Modes(frozen([place[name] for name in book.modes], np.int64), frozen(rows[0]), frozen(rows[1]))


def _members(snapshot: MarketSnapshot, market: str, category: str) -> frozenset[str]:
    """Reserves that a mode takes as collateral."""
    facts = snapshot.structure.where(market=market, kind=MODE, subject=category, fact="collateral")
    if not len(facts):
        raise EvidenceError(
            "accounts are in an efficiency mode whose collateral is not known",
            field=f"{market}/{MODE}/{category}",
            remedy="Read the market's state, which says what the mode takes",
        )
    return frozenset(str(facts["value"][0]).split())


def _by_asset(
    assets: tuple[str, ...],
    held: BoolArray,
    parameter: str,
    other: FloatArray | None,
    read: Callable[[str, Key], float | None],
    settings: Settings,
) -> FloatArray:
    values = np.zeros(len(assets))
    for i in np.flatnonzero(held).tolist():
        declared = settings.assets.get(assets[i])
        if declared is None or declared.reserve is None:
            raise EvidenceError(
                "collateral in the book is no reserve", field=assets[i], remedy="Give it a reserve market"
            )
        name = parameter or seizure_of(settings, assets[i]).penalty
        found = read(assets[i], reserve_key(assets[i], declared, name))
        if found is None and other is None:
            raise EvidenceError(
                f"collateral in the book has no {name}", field=assets[i], remedy="Add it to the parameter file"
            )
        values[i] = other[i] if found is None and other is not None else found
    return frozen(values)
