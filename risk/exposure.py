"""How much stands behind each collateral, and at which distances from liquidation.

Policy sizes budgets with it and stress builds its reference book from it, so it lies below both. Where no
book is known the declared reference book stands in: the cap fully used, accounts spread over all distances.
"""

from __future__ import annotations

from risk.errors import EvidenceError
from risk.market import FloatArray, MarketSnapshot, frozen
from risk.parameters import Key, ParameterSet
from risk.settings import Asset, Settings
from risk.units import TokenAmount

REFERENCE_DISTANCES: FloatArray = frozen([0.01, 0.03, 0.05, 0.08, 0.12, 0.17, 0.23, 0.30, 0.38, 0.47])
"""Distances of the reference accounts: the fall of the pair's price that brings each to its threshold."""
REFERENCE_WEIGHTS: FloatArray = frozen([1.0 / len(REFERENCE_DISTANCES)] * len(REFERENCE_DISTANCES))
"""Share of the debt at each distance."""


def reserve_key(asset: str, settings: Asset, parameter: str) -> Key:
    """Address of a reserve's parameter."""
    return Key(settings.reserve or "", "reserve", settings.symbol or asset, (), parameter)


def supply_usd(asset: str, snapshot: MarketSnapshot, settings: Settings, parameters: ParameterSet) -> float:
    """US dollars of collateral when the reserve's cap is fully used.

    The supply cap of `parameters`, else the declared ``supply_usd``.

    Raises
    ------
    EvidenceError
        When neither is known: an exposure is never assumed.
    """
    declared = settings.assets[asset]
    cap = parameters.get(reserve_key(asset, declared, "supply_cap"))
    if isinstance(cap, TokenAmount) and cap.value > 0:
        return float(cap.value) * snapshot.last_price(asset)
    if declared.supply_usd is not None:
        return declared.supply_usd
    raise EvidenceError(
        "no exposure is known",
        field=f"assets.{asset}.supply_usd",
        remedy="Give a supply cap in the parameter file or declare supply_usd",
    )


def held_usd(asset: str, snapshot: MarketSnapshot) -> float:
    """US dollars of an asset that the known accounts hold as collateral; zero where no book is known."""
    book = snapshot.book
    if book is None or asset not in book.assets:
        return 0.0
    return float(book.collateral[:, book.assets.index(asset)].sum()) * snapshot.last_price(asset)
