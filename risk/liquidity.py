"""Depth curves of one pair put together: order books and pools, average and marginal impact, the worst of many days.

Selling Q over venues with costs C_i(q_i), q_i of it on each, costs least where the marginal costs C_i'(q_i) are
equal (Lagrange, the C_i being convex): whoever splits otherwise moves the last dollar to where it loses less. So
the sizes at one *marginal* impact add up, Q(m) = Σ q_i(m). At one *average* impact they do not: the venue with
the flatter curve would be left while its next dollar is still the cheapest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from risk.errors import DataError
from risk.market import FloatArray, Impact, LiquidityCurve, Origin

STEP = 1e-9
"""Relative width of a step of an order book: a curve is a function of the size and cannot jump."""
SAME = 1e-12
"""Sizes that differ relatively by less are one size: sums of a few curves round by less."""
_WORST = (Origin.MEASURED, Origin.DECLARED, Origin.ASSUMED)


def to_average(curve: LiquidityCurve) -> LiquidityCurve:
    """The average impact of each size, from the marginal one: a(Q) = (1/Q) ∫₀^Q m dq.

    Exact at the curve's points, where m is linear between them; between them the average is not linear, and a
    reader that draws it so is off by no more than the curve bends there.
    """
    if curve.kind is Impact.AVERAGE:
        return curve
    sizes, impacts = _with_origin(curve)
    lost = np.cumsum(np.diff(sizes) * (impacts[1:] + impacts[:-1]) / 2)
    return LiquidityCurve(
        curve.base, curve.quote, curve.size_usd, np.maximum.accumulate(lost / curve.size_usd), Impact.AVERAGE,
        curve.origin,
    )  # fmt: skip


def to_marginal(curve: LiquidityCurve) -> LiquidityCurve:
    """The marginal impact of each size, from the average one: the only m, linear between points, with its averages.

    The exact inverse of `to_average`: at each point the same sale loses the same.

    Raises
    ------
    DataError
        When that m would fall or leave [0, 1): an average curve of such a form comes from no market in which
        the cheapest price is taken first, or has too few points to say.
    """
    if curve.kind is Impact.MARGINAL:
        return curve
    sizes = np.concatenate(([0.0], curve.size_usd))
    cost = np.concatenate(([0.0], curve.size_usd * curve.impact))
    slopes = np.diff(cost) / np.diff(sizes)
    # slope_i = (m_{i-1} + m_i) / 2 with m_0 = 0: an alternating sum.
    signs = (-1.0) ** np.arange(len(slopes))
    marginal = 2 * signs * np.cumsum(signs * slopes)
    # Each term of the sum carries the rounding of two costs, over the smallest step.
    noise = 16 * len(slopes) * np.finfo(float).eps * float(cost[-1] / np.diff(sizes).min())
    falls = np.diff(np.concatenate(([0.0], marginal)))
    if (falls < -noise).any() or marginal[-1] >= 1:
        at = int(np.argmin(falls))
        raise DataError(
            "the average impact of the curve comes from no rising marginal impact",
            field=f"{curve.base}/{curve.quote}",
            value=f"at {curve.size_usd[at]:,.0f} USD",
            remedy="Give marginal impacts, or points that lie on one smooth curve",
        )
    return LiquidityCurve(
        curve.base, curve.quote, curve.size_usd, np.maximum.accumulate(np.maximum(marginal, 0.0)), Impact.MARGINAL,
        curve.origin,
    )  # fmt: skip


def order_book_curve(base: str, quote: str, price: FloatArray, size_usd: FloatArray, mid: float) -> LiquidityCurve:
    """Marginal impact of selling into bids: a step a level.

    Parameters
    ----------
    price
        (n,) bids, best first.
    size_usd
        (n,) US dollars at the mid price that each takes, above zero.
    mid
        Price before the sale.

    Raises
    ------
    DataError
        When the bids rise, lie above the mid, or a size is not above zero.
    """
    price, size_usd = np.asarray(price, dtype=float), np.asarray(size_usd, dtype=float)
    if not len(price) or (np.diff(price) > 0).any() or price[0] > mid or price[-1] <= 0 or (size_usd <= 0).any():
        raise DataError("the bids are not those of a book", field=f"{base}/{quote}", remedy="Give bids, best first")
    ends = np.cumsum(size_usd)
    starts = np.concatenate(([0.0], ends[:-1]))
    sizes = np.column_stack((starts + STEP * size_usd, ends)).ravel()
    impact = np.repeat(1 - price / mid, 2)
    return LiquidityCurve(base, quote, sizes, impact, Impact.MARGINAL, Origin.MEASURED)


def combine_curves(curves: Sequence[LiquidityCurve | None]) -> LiquidityCurve:
    """Depth of several venues together: at each marginal impact the sum of their sizes.

    Parameters
    ----------
    curves
        Of one pair, against one price before the sale; None for a venue without depth. Average curves are
        converted.

    Returns
    -------
    LiquidityCurve
        Marginal, and exact between its points too. A venue gives nothing beyond its last point, so the result
        reaches as far as the venue that was seen furthest. Its origin is the least certain one.

    Raises
    ------
    DataError
        When no venue has depth, the pairs differ, or an average curve cannot be converted.
    """
    found = _marginal(curves)
    return found[0] if len(found) == 1 else _merged(found, np.sum)


def worst_curve(curves: Sequence[LiquidityCurve]) -> LiquidityCurve:
    """The least depth over a look-back: at each marginal impact the smallest size of any moment.

    Not the mean: what counts is what is left when everybody sells. Between points the smaller of two lines is
    drawn as a chord, which lies below it.

    Raises
    ------
    DataError
        As `combine_curves`.
    """
    found = _marginal(curves)
    return found[0] if len(found) == 1 else _merged(found, np.min)


def _marginal(curves: Sequence[LiquidityCurve | None]) -> list[LiquidityCurve]:
    found = [to_marginal(curve) for curve in curves if curve is not None]
    if not found:
        raise DataError("no venue has any depth", field="depth", remedy="Give a curve of at least one")
    pairs = sorted({f"{one.base}/{one.quote}" for one in found})
    if len(pairs) > 1:
        raise DataError("curves of different pairs are not put together", field="depth", value=pairs)
    return found


def _merged(curves: Sequence[LiquidityCurve], over: Callable[..., FloatArray]) -> LiquidityCurve:
    """One curve from the sizes of several just below, and at, each impact that one of them has a point at."""
    levels = np.unique(np.concatenate([[0.0], *(one.impact for one in curves)]))
    ends = [over([_size_at(one, levels, side) for one in curves], axis=0) for side in ("left", "right")]
    sizes, impacts = np.column_stack(ends).ravel(), np.repeat(levels, 2)
    # Points of one size: the least impact is the last dollar's, the greatest the next one's, so there is a jump.
    first = np.flatnonzero(np.concatenate(([True], np.diff(sizes) > SAME * sizes[1:])))
    last = np.concatenate((first[1:], [len(sizes)])) - 1
    size, ahead = sizes[first], np.diff(sizes[first], append=sizes[first[-1]])
    points = np.column_stack((size, impacts[first], size + STEP * ahead, impacts[last])).reshape(-1, 2)
    grows = np.diff(points[:, 0], prepend=0.0) > 0
    jump = np.column_stack((np.ones(len(first), dtype=bool), impacts[last] > impacts[first])).ravel()
    points = points[grows & jump]
    origin = max((one.origin for one in curves), key=_WORST.index)
    return LiquidityCurve(curves[0].base, curves[0].quote, points[:, 0], points[:, 1], Impact.MARGINAL, origin)


def _size_at(curve: LiquidityCurve, levels: FloatArray, side: Literal["left", "right"]) -> FloatArray:
    """Dollars (n,) that sell below ("left") or at most at ("right") each marginal impact."""
    sizes, impacts = _with_origin(curve)
    index = np.searchsorted(impacts, levels, side=side)
    inside = (index > 0) & (index < len(impacts))
    at = np.where(inside, index, 1)
    low, high = impacts[at - 1], impacts[at]
    share = np.divide(levels - low, high - low, out=np.zeros_like(levels), where=high > low)
    found = sizes[at - 1] + (sizes[at] - sizes[at - 1]) * share
    return np.where(inside, found, np.where(index == 0, 0.0, sizes[-1]))


def _with_origin(curve: LiquidityCurve) -> tuple[FloatArray, FloatArray]:
    return np.concatenate(([0.0], curve.size_usd)), np.concatenate(([0.0], curve.impact))
