"""Settings of prices that are put together: composites of several feeds, and several sources of one asset."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from risk.setting_types import Duration, Fraction, Model


class Composite(Model):
    """A price that is a product of others: ``[composites."cbETH/USD"] path = ["cbETH/ETH", "ETH/USD"]``.

    Attributes
    ----------
    path
        Factors from the base to the quote; an inverted one is written ``1/(USDC/USDT)``.
    decimals
        Decimals of a factor's raw integers, by factor as ``base/quote``: what the contract that multiplies them
        expects. They must be those that the factor's feed declares.
    maximum_age
        Bars for which a factor is older than this are left out and counted; by default two bars of that factor.
    """

    path: tuple[str, ...] = Field(min_length=1)
    decimals: Mapping[str, int] = Field(default_factory=dict)
    maximum_age: Duration | None = None


class Aggregation(Model):
    """How several sources of one asset are made into one price.

    Attributes
    ----------
    tolerance
        Sources agree when they lie within this of their median.
    depeg
        A pegged asset has left its peg when it is further from it than this.
    minimum_sources
        Fewer sources than this make an asset suspect: nothing confirms its prices.
    maximum_depth_age
        A book, or a pool's depth, that was seen longer than this before an instant is left out of the depth then.
    depth_tolerance
        So is one whose middle price is further from the price than this.
    """

    tolerance: Fraction = 0.05
    depeg: Fraction = 0.02
    minimum_sources: int = Field(default=1, ge=1)
    maximum_depth_age: Duration = 2 * 86400
    depth_tolerance: Fraction = 0.10
