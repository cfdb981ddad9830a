"""Does a tail depend on where it was cut: the fit at a ladder of thresholds, and Hill's estimator beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from risk.errors import DataError
from risk.tails.extreme_value import (
    MINIMUM_EXCEEDANCES,
    Array,
    TailPrior,
    exceedance_count,
    fit_tail,
    tail_probability_floor,
    tail_quantile,
)

SHARES = (0.025, 0.05, 0.075, 0.10, 0.125, 0.15)
"""Shares of the sample taken as tail."""


@dataclass(frozen=True, slots=True)
class ThresholdFit:
    """The tail at one threshold.

    Attributes
    ----------
    n_exceedances : int
    threshold, xi, xi_error : float
    scale : float
        beta - xi * threshold, the same at every threshold where the generalised Pareto law holds (McNeil, Frey and
        Embrechts 2015, section 5.2.2).
    mean_excess : float
        Linear in the threshold where it holds.
    hill : float
        Hill's estimate of xi from the same losses; NaN where the threshold is not positive.
    quantile : float
        At the confidence asked for; NaN below the threshold.
    """

    n_exceedances: int
    threshold: float
    xi: float
    xi_error: float
    scale: float
    mean_excess: float
    hill: float
    quantile: float


@dataclass(frozen=True, slots=True)
class Stability:
    """Fits from the smallest tail to the largest, and what they say.

    Attributes
    ----------
    fits : tuple of ThresholdFit
    confidence : float
    quantile_spread : float
        Largest over smallest quantile, minus 1.
    stable : bool
        Whether every xi lies within two of its own standard errors of the usual threshold's; one without an error
        says nothing.
    """

    fits: tuple[ThresholdFit, ...]
    confidence: float
    quantile_spread: float
    stable: bool


def hill(losses: Array, k: int) -> float:
    """Hill's (1975) estimate of the tail index xi from the `k` largest losses (n,).

    Mean over these of the log of the loss over the (k + 1)-th largest.

    Raises
    ------
    DataError
        k not in 1 .. n - 1, losses that are not finite, or a (k + 1)-th largest that is not positive.
    """
    sample = np.asarray(losses, dtype=np.float64)
    if sample.ndim != 1 or not np.isfinite(sample).all() or not 1 <= k < sample.size:
        raise DataError("Hill's estimate takes the k largest of more finite losses", field="k", value=k)
    top = np.sort(np.partition(sample, -k - 1)[-k - 1 :])
    if top[0] <= 0.0:
        raise DataError("Hill's estimate needs positive losses in the tail", field="losses", value=float(top[0]))
    return float(np.mean(np.log(top[1:] / top[0])))


def threshold_stability(
    losses: Array, *, confidence: float = 0.99, shares: Sequence[float] = SHARES, prior: TailPrior | None = None
) -> Stability:
    """Fit the tail at a ladder of thresholds and at the usual one.

    Parameters
    ----------
    losses : ndarray of shape (n,)
        The whole sample; finite.
    confidence : float
        Of the quantile to compare.
    shares : sequence of float
        Shares of the sample; those of fewer than 10 losses are left out.
    prior : TailPrior, optional

    Raises
    ------
    DataError
        As `fit_tail`.
    RefusalError
        No tail at the usual threshold.
    """
    sample = np.asarray(losses, dtype=np.float64)
    usual, _ = exceedance_count(sample.size)
    counts = sorted({usual, *(k for share in shares if (k := math.ceil(share * sample.size)) >= MINIMUM_EXCEEDANCES)})
    reference = fit_tail(sample, prior=prior)
    fits = []
    for k in counts:
        threshold = float(np.partition(sample, -k - 1)[-k - 1])
        fit = fit_tail(sample, threshold=threshold, prior=prior)
        inside = confidence >= tail_probability_floor(fit)
        fits.append(
            ThresholdFit(
                n_exceedances=fit.n_exceedances,
                threshold=threshold,
                xi=fit.xi,
                xi_error=fit.xi_error,
                scale=fit.beta - fit.xi * threshold,
                mean_excess=float(np.mean(sample[sample > threshold]) - threshold),
                hill=hill(sample, k) if threshold > 0.0 else np.nan,
                quantile=tail_quantile(fit, confidence) if inside else np.nan,
            )
        )
    quantiles = np.array([fit.quantile for fit in fits])
    known = quantiles[np.isfinite(quantiles)]
    spread = float(known.max() / known.min() - 1.0) if known.size and known.min() > 0.0 else np.nan
    stable = not any(abs(fit.xi - reference.xi) > 2.0 * fit.xi_error for fit in fits)
    return Stability(tuple(fits), confidence, spread, stable)


def quantile_interval(
    losses: Array, *, threshold: float, confidence: float, level: float = 0.95
) -> tuple[float, float, float]:
    """Profile-likelihood interval of a tail quantile: lower end, estimate, upper end.

    Skewed as the likelihood is, unlike an interval from standard errors (McNeil, Frey and Embrechts 2015, section
    5.2.3). For each quantile the scale follows from xi, and xi maximises what is left.

    Raises
    ------
    DataError, RefusalError
        As `fit_tail`, or a confidence below the tail's.
    """
    from scipy.optimize import brentq, minimize_scalar
    from scipy.special import chdtri

    fit = fit_tail(losses, threshold=threshold)
    estimate = tail_quantile(fit, confidence)
    z = losses[losses > threshold] - threshold
    share = (1.0 - confidence) / (1.0 - tail_probability_floor(fit))
    drop = 0.5 * float(chdtri(1, 1.0 - level))

    def below(quantile: float) -> float:
        """Nats by which the profile lies below the maximum."""

        def cost(xi: float) -> float:
            growth = np.expm1(-xi * math.log(share)) / xi if abs(xi) > 1e-9 else -math.log(share)
            scale = (quantile - threshold) / growth
            inside = 1.0 + xi * z / scale
            if scale <= 0.0 or inside.min() <= 0.0:
                return 1e10
            spread = np.sum(np.log(inside)) * (1.0 + 1.0 / xi) if abs(xi) > 1e-9 else np.sum(z) / scale
            return float(z.size * math.log(scale) + spread)

        best = minimize_scalar(cost, bounds=(-0.5, 3.0), method="bounded", options={"xatol": 1e-9})
        return float(best.fun) + fit.log_likelihood - drop

    width = estimate - threshold
    low = threshold + 1e-3 * width
    high = estimate + width
    while below(high) < 0.0:
        high += 2.0 * (high - threshold)
    lower = brentq(below, low, estimate, xtol=1e-9) if below(low) > 0.0 else threshold
    return float(lower), estimate, float(brentq(below, estimate, high, xtol=1e-9))
