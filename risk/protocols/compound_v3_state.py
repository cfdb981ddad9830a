"""Compound III (Comet) as its contracts store it: collateral assets, the rate curve, the pause flags.

Factors are scaled by 1e18 and stored with four decimals; a supply cap is stored in whole tokens and read in the
asset's base units, and a cap of zero stops supply: the opposite of Aave. Rates are stored a second, floored.
Sources: Comet.sol (getAssetInfo, _getPackedAssetInternal), CometCore.sol and CometMainInterface.sol of
compound-finance/comet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

from risk.errors import DataError
from risk.units import GRIDS, Quantity, Ratio, TokenAmount

FACTOR_SCALE = 10**18
"""CometCore.FACTOR_SCALE."""
SECONDS_PER_YEAR = 31_536_000
"""CometCore.SECONDS_PER_YEAR."""
ASSET_INFO = "(uint8,address,address,uint64,uint64,uint64,uint64,uint128)"
"""Type of ``AssetInfo``: offset, asset, priceFeed, scale, three factors, supplyCap."""
FACTORS = ("collateral_factor", "liquidation_threshold", "liquidation_factor")
"""Parameters of borrowCollateralFactor, liquidateCollateralFactor and liquidationFactor."""
PAUSES = ("isSupplyPaused", "isTransferPaused", "isWithdrawPaused", "isAbsorbPaused", "isBuyPaused")
"""Views of the pause flags."""
RATES: Mapping[str, str] = MappingProxyType(
    {
        "borrow_kink": "borrowKink",
        "borrow_base": "borrowPerSecondInterestRateBase",
        "borrow_slope_low": "borrowPerSecondInterestRateSlopeLow",
        "borrow_slope_high": "borrowPerSecondInterestRateSlopeHigh",
        "supply_kink": "supplyKink",
        "supply_base": "supplyPerSecondInterestRateBase",
        "supply_slope_low": "supplyPerSecondInterestRateSlopeLow",
        "supply_slope_high": "supplyPerSecondInterestRateSlopeHigh",
    }
)
"""View of each number of the rate curve."""
MARKET: Mapping[str, str] = MappingProxyType(
    {
        "store_front_price_factor": "storeFrontPriceFactor",
        "base_borrow_minimum": "baseBorrowMin",
        "target_reserves": "targetReserves",
    }
)
"""View of each further number of the market."""


@dataclass(frozen=True, slots=True)
class AssetInfo:
    """A collateral asset of a Comet.

    Attributes
    ----------
    address, price_feed
        Of the token and its feed, in lower case.
    decimals
        Of the token.
    parameters
        Quantity by parameter; no ``supply_cap`` where the market takes no more of the asset, because
        everywhere else a cap of zero means that there is none.
    closed
        Whether the cap is zero.
    """

    address: str
    price_feed: str
    decimals: int
    parameters: Mapping[str, Quantity]
    closed: bool


def decode_asset(raw: Sequence[int | str], subject: str) -> AssetInfo:
    """Read what ``getAssetInfo`` returns.

    Raises
    ------
    DataError
        When a factor or the cap is not on the grid that Comet stores: the contract is no Comet.
    """
    _, address, feed, scale, *rest = raw
    factors, cap = rest[:3], rest[3]
    decimals = len(str(scale)) - 1
    if int(scale) != 10**decimals:
        raise DataError("a scale is a power of ten", field=subject, value=scale, remedy="Check the Comet's address")
    parameters: dict[str, Quantity] = {
        name: Ratio(fraction(int(factor))) for name, factor in zip(FACTORS, factors, strict=True)
    }
    if cap:
        parameters["supply_cap"] = TokenAmount(Decimal(f"{cap}E-{decimals}"), subject)
    for name, value in parameters.items():
        if not GRIDS["compound_v3"].holds(value):
            raise DataError(
                "Comet cannot store it: factors have four decimals and caps are whole tokens",
                field=f"{subject}/{name}",
                value=str(value),
                remedy="Check the Comet's address",
            )
    return AssetInfo(str(address).lower(), str(feed).lower(), decimals, MappingProxyType(parameters), not cap)


def fraction(raw: int) -> Decimal:
    """The number that an integer scaled by 1e18 stands for, exactly."""
    return Decimal(f"{raw}E-18")


def per_year(raw: int) -> Decimal:
    """Yearly rate of a rate a second; at most 3.2e-11 below the one that was configured, which was floored."""
    return Decimal(f"{raw * SECONDS_PER_YEAR}E-18")
