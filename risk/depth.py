"""How many dollars of an asset the market takes in a crash within a given average impact.

Policy sizes caps and bonuses with it and stress limits liquidations by it, so it lies below both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from risk.errors import EvidenceError
from risk.market import NUMERAIRE, FloatArray, Impact, LiquidityCurve, MarketSnapshot, Origin
from risk.settings import Settings
from risk.units import DAY

ASSUMED_IMPACT = 0.05
"""Average impact at which the declared share of the daily volume stands in for depth."""
VOLUME_DAYS = 30
"""Days before the as-of date over which the daily volume is averaged."""


@dataclass(frozen=True, slots=True)
class Depth:
    """What can be sold within an impact, in US dollars, and where the figure comes from.

    Attributes
    ----------
    usd
        Value at the price before the sale; zero or more.
    origin
        Measured, declared, or assumed (a share of the daily volume).
    note
        One sentence for the reader.
    """

    usd: float
    origin: Origin
    note: str


def stressed_depth(snapshot: MarketSnapshot, settings: Settings, asset: str, debt: str, impact: float) -> Depth:
    """Dollars of `asset` that sell for `debt` within `impact`, times the share of depth left in a crash.

    The curve of the pair is used, else that of the asset against the unit of account, else the declared share
    of the mean daily volume, linear in the impact. No figure reaches beyond what was observed: neither beyond
    the last point of a curve, nor beyond the 5 % for which the volume share is declared.

    Parameters
    ----------
    asset, debt
        What is sold, and for what.
    impact
        Average impact, a fraction of the price in [0, 1); the keeper's whole sale loses this much on average.

    Raises
    ------
    EvidenceError
        When the snapshot has neither a curve nor a volume series with a traded day.
    """
    share = settings.execution.stressed_depth
    for quote in dict.fromkeys((debt, NUMERAIRE)):
        curve = snapshot.depth.get(f"{asset}/{quote}")
        if curve is not None:
            note = f"{curve.origin} depth of {curve.base}/{curve.quote}, {share:.0%} of it left in a crash"
            return Depth(share * size_within_average(curve, impact), curve.origin, note)
    volume_share = settings.execution.volume_share_as_depth
    usd = volume_share * daily_volume_usd(snapshot, asset) * min(impact, ASSUMED_IMPACT) / ASSUMED_IMPACT
    note = f"assumed: {volume_share:.2%} of the daily volume sells within 5 %, {share:.0%} of it left in a crash"
    return Depth(share * usd, Origin.ASSUMED, note)


def daily_volume_usd(snapshot: MarketSnapshot, asset: str) -> float:
    """Mean daily volume over the last 30 days in US dollars; volume series are in units of the asset.

    Raises
    ------
    EvidenceError
        When there is no volume series, or nothing was traded in these days.
    """
    volume = snapshot.field_of(asset, "volume")
    total = 0.0
    if volume is not None:
        recent = volume.since(snapshot.as_of - VOLUME_DAYS * DAY + 1)
        close = snapshot.close(asset)
        _, left, right = np.intersect1d(recent.observed_at, close.observed_at, return_indices=True)
        if len(left):
            total = float(np.mean(recent.value[left] * close.value[right])) * DAY / volume.interval
    if total <= 0:
        raise EvidenceError(
            "neither depth nor a traded volume is known",
            field=f"depth.{asset}/{NUMERAIRE}",
            remedy="Declare a depth curve, or give the asset's feed a volume column",
        )
    return total


def size_within_average(curve: LiquidityCurve, impact: float) -> float:
    """Dollars that sell within an *average* impact; zero to the last point of the curve.

    A marginal curve m(q), linear between its points, has the average (1/Q) ∫ m dq over a sale of Q, so the
    answer solves ∫ (m(q) − impact) dq = 0 on the piece where the integral changes sign. A constant-product
    pool of reserve R takes .05263 R within 5 % on average, and .02598 R within 5 % at the margin.
    """
    if curve.kind is Impact.AVERAGE:
        return curve.size_within(impact)
    sizes: FloatArray = np.concatenate(([0.0], curve.size_usd))
    excess: FloatArray = np.concatenate(([0.0], curve.impact)) - impact
    lost = np.concatenate(([0.0], np.cumsum(np.diff(sizes) * (excess[1:] + excess[:-1]) / 2)))
    if lost[-1] <= 0:
        return float(sizes[-1])
    index = int(np.argmax(lost > 0))
    # On the piece, lost(x) = lost_0 + excess_0 x + slope x²/2 with lost_0 <= 0: its one non-negative root.
    start, slope = excess[index - 1], (excess[index] - excess[index - 1]) / (sizes[index] - sizes[index - 1])
    root = np.sqrt(start * start - 2 * slope * lost[index - 1])
    step = -2 * lost[index - 1] / (start + root) if start > 0 else (root - start) / slope
    return float(sizes[index - 1] + step)
