"""Hour-of-day factors of intraday returns: divide by them before a variance model, multiply a forecast back.

After Andersen and Bollerslev (1997, Journal of Empirical Finance 4). A factor is the root mean squared return of its
hour over that of all hours, shrunk towards one by its own sampling error: a few days of hours are mostly noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from risk.errors import DataError
from risk.volatility.models import Array, read_only

HOUR = 3600
HOURS = 24
MINIMUM_DAYS = 30


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
        Ends of the bars in unix seconds, bars of an hour or less.
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
    if counts.min() < MINIMUM_DAYS or not (sums > 0.0).all():
        hour = int(np.argmin(np.where(sums > 0.0, counts, -1)))
        raise DataError(
            f"hour {hour} has {counts[hour]} bars that must be {MINIMUM_DAYS} and move",
            field="returns",
            remedy="use a longer history, or daily bars",
        )
    means = sums / counts
    logs = np.log(means)
    centre = float(np.average(logs, weights=counts))
    spread = np.bincount(hours, weights=(squares / means[hours] - 1.0) ** 2, minlength=HOURS) / counts
    noise = float(np.sum(spread / counts))
    distance = float(np.sum((logs - centre) ** 2))
    shrinkage = 1.0 if distance <= 0.0 else min(1.0, noise / distance)
    squared = np.exp((1.0 - shrinkage) * (logs - centre))
    squared /= float(np.average(squared, weights=counts))
    return HourFactors(read_only(np.sqrt(squared)), shrinkage, sample.size)
