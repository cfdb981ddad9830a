"""What sales through a pool lose, sale by sale: the plain twin of a pool's depth as a book."""

from __future__ import annotations

import numpy as np

from oracle_adapters.uniswap_v3 import Pool
from risk.errors import EvidenceError
from risk.market import Impact, LiquidityCurve, Origin


def liquidity_curve(
    pool: Pool, base: str, quote: str, *, usd_price: float, largest: float, points: int = 24, sell_base: bool = True
) -> LiquidityCurve:
    """Average impact, fee included, against size: exact sales through the pool at geometric sizes.

    The curve ends where the pool runs out.

    Parameters
    ----------
    base, quote
        Names of the pool's base and quote.
    usd_price
        US dollars a base token.
    largest
        US dollars of the largest sale; the smallest is a ten-thousandth of it.
    sell_base
        Sell the base, or else buy it: then the curve is that of selling the quote for the base.

    Raises
    ------
    EvidenceError
        When the pool takes nothing in this direction.
    """
    unit = usd_price if sell_base else usd_price / pool.price
    fair = pool.price if sell_base else 1 / pool.price
    sizes: list[float] = []
    impacts: list[float] = []
    for size in np.geomspace(largest / 1e4, largest, points).tolist():
        sold, got = (pool.sell_base if sell_base else pool.sell_quote)(size / unit)
        whole = sold >= size / unit * (1 - 1e-9)
        if not whole or not got:
            break
        sizes.append(size)
        impacts.append(max(1 - got / (sold * fair), impacts[-1] if impacts else 0.0))
    if not sizes:
        raise EvidenceError("the pool takes nothing in this direction", field=f"{base}/{quote}", value=pool.address)
    names = (base, quote) if sell_base else (quote, base)
    return LiquidityCurve(*names, np.array(sizes), np.array(impacts), Impact.AVERAGE, Origin.MEASURED)
