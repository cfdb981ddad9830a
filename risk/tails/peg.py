"""The depeg jump of pegged assets: how often the pool lost its peg, and how far.

A quiet history does not make a stablecoin riskless: the pooled jump is a component of every pegged asset's
paths. Sizes are worst closes, or lows that a second coin confirms. Known limits: a jump stays (that most pegs
came back is not counted on); an asset whose own history holds a depeg has it in its residuals as well. For a
pair only the collateral's jump counts: a fall of the debt asset helps the borrower, and a rise of one (DAI to
1.30 in March 2020) is not in the pool and is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from risk.market import FloatArray, IntArray, frozen
from risk.settings import Backing
from risk.tails.horizon import YEAR
from risk.volatility.jump_law import JumpLaw
from risk.volatility.laws import PredictiveLaw
from risk.volatility.prior import DepegPrior, load_prior, vintages

POOL_BACKING: MappingProxyType[str, Backing] = MappingProxyType(
    {
        "USDC": "fiat",
        "USDT": "fiat",
        "TUSD": "fiat",
        "DAI": "crypto",
        "USDD": "algorithmic",
        "UST": "algorithmic",
    }
)
"""What backs the stablecoins of the pool."""

MINIMUM_EVENTS = 2
"""With fewer events of its own backing an asset takes the sizes of a wider pool."""

COLLATERALISED = ("fiat", "crypto")
"""Backings that hold something to redeem: the death of an algorithmic coin is no precedent for them."""


@dataclass(frozen=True, slots=True)
class DepegComponent:
    """Jumps of one pegged asset.

    Attributes
    ----------
    intensity
        (n_draws,) jumps a year, a posterior draw each.
    sizes
        (n_sizes,) equally likely log moves, all negative.
    basis
        Whose sizes they are: ``fiat``, ``crypto``, ``algorithmic``, ``collateralised``, ``pool`` or, where no
        event is known, ``threshold``.
    """

    intensity: FloatArray
    sizes: FloatArray
    basis: str


def depeg_component(
    prior: DepegPrior, backing: Backing | None, *, generator: np.random.Generator, n_draws: int
) -> DepegComponent:
    """Jumps of an asset with the given backing.

    The intensity is that of the whole pool, whose exposure is not known by backing. Sizes are those of the same
    backing; of all collateralised coins where a collateralised backing has fewer than `MINIMUM_EVENTS`; of the
    whole pool where the backing is unknown, or these are too few as well. Where the pool
    knows no event at all, the smallest move that counts as one stands in: no peg is riskless.
    """
    sizes, basis = depeg_sizes(prior, backing)
    intensity = generator.gamma(prior.intensity_shape, 1.0 / prior.intensity_rate, n_draws)
    return DepegComponent(frozen(intensity), sizes, basis)


def depeg_sizes(prior: DepegPrior, backing: Backing | None) -> tuple[FloatArray, str]:
    """Sizes (n_sizes,) and their basis, as in `DepegComponent`."""
    own = [event.depth for event in prior.events if POOL_BACKING.get(event.asset) == backing and backing is not None]
    basis: str = backing or "pool"
    depths = own
    if len(depths) < MINIMUM_EVENTS and backing in COLLATERALISED:
        wider = [event.depth for event in prior.events if POOL_BACKING.get(event.asset) in COLLATERALISED]
        basis, depths = "collateralised", wider
    if len(depths) < MINIMUM_EVENTS:
        basis, depths = "pool", [event.depth for event in prior.events]
    if not depths:
        basis, depths = "threshold", [prior.threshold]
    return frozen(np.log1p(-np.sort(depths))), basis


def depeg_law(law: PredictiveLaw, known_at: IntArray, interval: int, backing: Backing | None) -> JumpLaw:
    """One-step forecasts of a pegged asset with the jump that the pool knew of before each bar.

    Parameters
    ----------
    law
        Of n bars, from the asset's own history.
    known_at
        (n,) unix seconds of the end of the bar before each, none before the first vintage.
    interval
        Bar length in seconds. With an intensity of Gamma law the chance of a jump in a bar of t years is
        1 - (rate / (rate + t))^shape, the mean over the draws that paths are made with.
    """
    dates = np.array(vintages(), dtype="datetime64[s]").astype(np.int64)
    vintage = np.searchsorted(dates, known_at, side="right") - 1
    known = {index: load_prior(int(dates[index])).depeg for index in np.unique(vintage).tolist()}
    found = {index: depeg_sizes(depeg, backing)[0] for index, depeg in known.items()}
    width = 1 + max(len(sizes) for sizes in found.values())
    sizes, weights = np.zeros((len(known_at), width)), np.zeros((len(known_at), width))
    for index, depeg in known.items():
        rows, own = vintage == index, found[index]
        chance = -np.expm1(-depeg.intensity_shape * np.log1p(interval / YEAR / depeg.intensity_rate))
        sizes[rows, 1 : 1 + len(own)] = own
        weights[rows, 0] = 1.0 - chance
        weights[rows, 1 : 1 + len(own)] = chance / len(own)
    return JumpLaw(law, sizes, weights)
