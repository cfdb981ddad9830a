"""Hour-of-day factors of intraday returns: divide by them before a variance model, multiply a forecast back.

After Andersen and Bollerslev (1997, Journal of Empirical Finance 4). A factor is the root mean squared return of its
hour over that of all hours, shrunk towards one by its own sampling error: a few days of hours are mostly noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from risk.errors import DataError
from risk.volatility.models import Array, read_only

HOUR = 3600
HOURS = 24
MINIMUM_DAYS = 30
FACTOR_DAYS = 365
"""Days of history that factors are estimated from: 30 of each hour are the least, and more than a year grows old."""


@dataclass(frozen=True, slots=True)
class HourFactors:
    """Factors by hour of the day (UTC) in which a bar ends.

    Attributes
    ----------
    factors : ndarray of shape (24,)
        Of the standard deviation; their mean square over the sample's bars is 1.
    shrinkage : float
        Weight of the flat profile, in [0, 1].
    n_observations : int
    """

    factors: Array
    shrinkage: float
    n_observations: int

    def at(self, observed_at: NDArray[np.int64]) -> Array:
        """Factor of the hour in which each bar lies, by the bar's end (n,) in unix seconds."""
        at: Array = self.factors[hour_of_day(observed_at)]
        return at

    def remove(self, observed_at: NDArray[np.int64], returns: Array) -> Array:
        """Returns (n,) without their hour's factor."""
        flat: Array = returns / self.at(observed_at)
        return flat

    def restore(self, observed_at: NDArray[np.int64], variances: Array) -> Array:
        """Variances (n,) of bars that end at `observed_at`, from those of the flat series."""
        full: Array = variances * self.at(observed_at) ** 2
        return full


def hour_of_day(observed_at: NDArray[np.int64]) -> NDArray[np.int64]:
    """Hour 0 .. 23 (UTC) that a bar covers, from the unix second at its end: a bar that ends at 01:00 is hour 0."""
    return (np.asarray(observed_at, dtype=np.int64) - 1) // HOUR % HOURS


def fit_hour_factors(observed_at: NDArray[np.int64], returns: Array) -> HourFactors:
    """Estimate the factors.

    The logarithms of the 24 mean squares are shrunk towards their mean by summed sampling variance over summed
    squared distance (as James and Stein 1961), the sampling variance from the kurtosis of the returns.

    Parameters
    ----------
    observed_at : ndarray of int, shape (n,)
        Ends of the bars in unix seconds; an hour in which none lies has the factor one.
    returns : ndarray of shape (n,)
        Log returns per bar; finite.

    Raises
    ------
    DataError
        Not finite, of different lengths, or an hour with fewer than 30 bars or no movement.
    """
    sample = np.asarray(returns, dtype=np.float64)
    hours = hour_of_day(observed_at)
    if sample.shape != hours.shape or not np.isfinite(sample).all():
        raise DataError("returns must be one finite series with a time for each", field="returns")
    counts = np.bincount(hours, minlength=HOURS)
    # Winsorised at the 99.5 % quantile: one crash must not become an hour's habit for years.
    squares = np.minimum(sample**2, np.quantile(sample**2, 0.995)) if sample.size else sample
    sums = np.bincount(hours, weights=squares, minlength=HOURS)
    there = counts > 0
    if not there.any() or counts[there].min() < MINIMUM_DAYS or not (sums[there] > 0.0).all():
        hour = int(np.argmin(np.where(~there, sample.size + 1, np.where(sums > 0.0, counts, -1))))
        raise DataError(
            f"hour {hour} has {counts[hour]} bars that must be {MINIMUM_DAYS} and move",
            field="returns",
            remedy="use a longer history, or daily bars",
        )
    # Bars longer than an hour end in some hours only; the others weigh nothing and stay at one.
    weight = np.maximum(counts, 1)
    means = np.where(there, sums / weight, 1.0)
    logs = np.where(there, np.log(means), 0.0)
    centre = float(np.average(logs, weights=counts))
    logs[~there] = centre
    spread = np.bincount(hours, weights=(squares / means[hours] - 1.0) ** 2, minlength=HOURS) / weight
    noise = float(np.sum(spread / weight))
    distance = float(np.sum((logs - centre) ** 2))
    shrinkage = 1.0 if distance <= 0.0 else min(1.0, noise / distance)
    squared = np.exp((1.0 - shrinkage) * (logs - centre))
    squared /= float(np.average(squared, weights=counts))
    squared[~there] = 1.0
    return HourFactors(read_only(np.sqrt(squared)), shrinkage, sample.size)


def factors_in_time(observed_at: NDArray[np.int64], returns: Array, refits: Sequence[int], *, window: int) -> Array:
    """Factor of each bar that was known at the refit before it, shape (n,).

    At each refit the factors are those of the `window` bars before it, or of all where there are fewer; bars before
    the first refit have the factors of that one, which still lies before every forecast. Where a window cannot tell
    (an hour with too few bars, or a price that stands still in one) all factors are one.

    Parameters
    ----------
    observed_at : ndarray of int, shape (n,)
    returns : ndarray of shape (n,)
    refits : sequence of int
        Ascending positions.
    window : int
        Bars.
    """
    out = np.ones(returns.size)
    for origin, stop in zip(refits, (*refits[1:], returns.size), strict=True):
        past = slice(max(origin - window, 0), origin)
        block = slice(0 if origin == refits[0] else origin, stop)
        with suppress(DataError):
            out[block] = fit_hour_factors(observed_at[past], returns[past]).at(observed_at[block])
    return read_only(out)
