"""The liquidation bonus from keeper economics, the supply cap from depth, and the run-off that they give."""

from __future__ import annotations

import math

from risk.depth import stressed_depth
from risk.exposure import REFERENCE_WEIGHTS
from risk.market import MarketSnapshot
from risk.settings import Execution, Settings

_IMPACTS = tuple(i / 1000 for i in range(1, 500))


def required_bonus(slippage: float, execution: Execution) -> float:
    """Smallest bonus that pays a keeper: ((1 + g) / (1 - s - v) - 1) / (1 - phi).

    Parameters
    ----------
    slippage
        Average slippage at the liquidated size, a fraction.
    """
    kept = 1.0 - slippage - execution.execution_move
    return ((1.0 + execution.gas_share) / kept - 1.0) / (1.0 - execution.protocol_share) if kept > 0 else math.inf


def slippage_of(size_usd: float, snapshot: MarketSnapshot, settings: Settings, asset: str, debt: str) -> float:
    """Smallest average impact within which stressed depth takes a size; infinite where none does."""
    low, high = 0, len(_IMPACTS)
    while low < high:
        middle = (low + high) // 2
        enough = stressed_depth(snapshot, settings, asset, debt, _IMPACTS[middle]).usd >= size_usd
        low, high = (low, middle) if enough else (middle + 1, high)
    return _IMPACTS[low] if low < len(_IMPACTS) else math.inf


def liquidation_size(supply_usd: float, threshold: float, close_factor: float) -> float:
    """US dollars that one liquidation of the largest reference account repays, closing a share of its debt."""
    return close_factor * float(REFERENCE_WEIGHTS.max()) * supply_usd * threshold


def runoff_seconds(sold_usd: float, depth_usd: float, half_life: int) -> float:
    """Seconds to sell a value when depth that was used comes back with a half-life.

    The market takes ``depth * ln 2 / half-life`` a second: the rate at which a used-up depth refills.
    """
    return sold_usd / (depth_usd * math.log(2.0) / half_life) if depth_usd > 0 else math.inf
