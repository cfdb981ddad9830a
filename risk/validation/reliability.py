"""Whether forecast probabilities are what they say: PIT, Berkowitz' test, reliability with the parts of Brier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtrik, chdtrc, ndtri

from risk.errors import DataError
from risk.validation.basis import Array, Hits, StatisticalTest, checked_series
from risk.validation.scores import brier_score

Counts = NDArray[np.int64]


class PitHistogram(NamedTuple):
    """Histogram of probability integral transforms.

    Attributes
    ----------
    counts : ndarray of int, shape (n_bins,)
        In equal bins over [0, 1].
    test : StatisticalTest
        Pearson's chi-squared against equal counts; too kind where the model was fitted to the same data.
    """

    counts: Counts
    test: StatisticalTest


@dataclass(frozen=True, slots=True)
class BerkowitzTest:
    """Likelihood ratio of normal transforms against an autoregression (Berkowitz 2001, equation 11).

    Attributes
    ----------
    mean, deviation, autocorrelation : float
        Of the fitted first-order autoregression: its mean, the deviation of its errors and its slope.
    log_likelihood, restricted_log_likelihood : float
        Conditional on the first observation, fitted and under (0, 1, 0).
    likelihood_ratio, p_value : float
        Chi-squared with three degrees of freedom.
    """

    mean: float
    deviation: float
    autocorrelation: float
    log_likelihood: float
    restricted_log_likelihood: float
    likelihood_ratio: float
    p_value: float


@dataclass(frozen=True, slots=True)
class ReliabilityDiagram:
    """Forecast probabilities of an event against how often it came.

    Attributes
    ----------
    forecasts, frequencies : ndarray of shape (n_bins,)
        Mean forecast and observed share in each bin; bins hold about as many forecasts each.
    counts : ndarray of int, shape (n_bins,)
    lower, upper : ndarray of shape (n_bins,)
        Shares within which 90 % of the bins of a reliable forecast lie (Broecker and Smith 2007), binomial.
    brier : float
        Mean Brier score, which is reliability - resolution + uncertainty + within_bins.
    reliability, resolution, uncertainty : float
        Murphy's (1973) parts; the first should be small and the second large.
    within_bins : float
        What binning hides: variance of forecasts in a bin less twice their covariance with the event (Stephenson,
        Coelho and Jolliffe 2008, doi:10.1175/2007WAF2006116.1).
    """

    forecasts: Array
    frequencies: Array
    counts: Counts
    lower: Array
    upper: Array
    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    within_bins: float

    def n_outside(self) -> int:
        """Bins whose share lies outside its 90 % limits."""
        return int(np.sum((self.frequencies < self.lower) | (self.frequencies > self.upper)))


def pit_histogram(transforms: Array, *, n_bins: int = 20) -> PitHistogram:
    """Count probability integral transforms (n,) in equal bins.

    Raises
    ------
    DataError
        Empty, not finite or outside [0, 1], or fewer than two bins.
    """
    u = _probabilities(transforms)
    if n_bins < 2:
        raise DataError("a histogram has two bins or more", field="n_bins", value=n_bins)
    counts = np.bincount(np.minimum((u * n_bins).astype(np.int64), n_bins - 1), minlength=n_bins)
    expected = u.size / n_bins
    statistic = float(np.sum((counts - expected) ** 2) / expected)
    return PitHistogram(counts, StatisticalTest(statistic, float(chdtrc(n_bins - 1, statistic)), n_bins - 1))


def berkowitz_test(transforms: Array) -> BerkowitzTest:
    """Test that normal transforms of PIT values are independent and standard normal.

    Parameters
    ----------
    transforms : ndarray of shape (n,)
        Probability integral transforms in time order, strictly inside (0, 1); n at least 4.

    Raises
    ------
    DataError
        Too few, or a transform of 0 or 1: its model held what came for impossible.
    """
    u = _probabilities(transforms)
    if u.size < 4 or u.min() <= 0.0 or u.max() >= 1.0:
        raise DataError("the test needs four or more transforms inside (0, 1)", field="transforms", value=u.size)
    z = ndtri(u)
    before, now = z[:-1], z[1:]
    n = now.size
    design = np.column_stack([np.ones(n), before])
    (intercept, slope), *_ = np.linalg.lstsq(design, now, rcond=None)
    variance = float(np.mean((now - intercept - slope * before) ** 2))
    fitted = -0.5 * n * (np.log(2.0 * np.pi * variance) + 1.0)
    restricted = -0.5 * float(n * np.log(2.0 * np.pi) + now @ now)
    ratio = max(0.0, 2.0 * (fitted - restricted))
    return BerkowitzTest(
        mean=float(intercept / (1.0 - slope)),
        deviation=float(np.sqrt(variance)),
        autocorrelation=float(slope),
        log_likelihood=float(fitted),
        restricted_log_likelihood=restricted,
        likelihood_ratio=ratio,
        p_value=float(chdtrc(3, ratio)),
    )


def reliability_diagram(events: Hits, probabilities: Array, *, n_bins: int = 10) -> ReliabilityDiagram:
    """Reliability of forecast probabilities of an event, such as a move beyond a threshold.

    Parameters
    ----------
    events : ndarray of bool, shape (n,)
    probabilities : ndarray of shape (n,)
    n_bins : int
        At most; equal forecasts stay together, so there may be fewer.

    Raises
    ------
    DataError
        Shapes that differ, nothing to bin, or probabilities outside [0, 1].
    """
    forecast, came = _probabilities(probabilities), np.asarray(events, dtype=np.float64)
    if came.shape != forecast.shape or n_bins < 1:
        raise DataError("events and probabilities are series of one length", field="events", value=came.shape)
    edges = np.quantile(forecast, np.arange(1, n_bins) / n_bins)
    _, bins = np.unique(np.searchsorted(edges, forecast, side="left"), return_inverse=True)
    counts = np.bincount(bins)
    mean, share = np.bincount(bins, forecast) / counts, np.bincount(bins, came) / counts
    base, weight = float(came.mean()), counts / came.size
    spread = forecast - mean[bins]
    return ReliabilityDiagram(
        forecasts=mean,
        frequencies=share,
        counts=counts,
        lower=_binomial_quantile(0.05, counts, mean),
        upper=_binomial_quantile(0.95, counts, mean),
        brier=float(brier_score(events, forecast).mean()),
        reliability=float(weight @ (mean - share) ** 2),
        resolution=float(weight @ (share - base) ** 2),
        uncertainty=base * (1.0 - base),
        within_bins=float(np.mean(spread**2) - 2.0 * np.mean(spread * (came - share[bins]))),
    )


def _binomial_quantile(level: float, counts: Counts, probability: Array) -> Array:
    """Smallest share of `counts` whose binomial probability of no more reaches the level."""
    inside = np.clip(probability, 1e-300, 1.0 - 1e-15)
    # NaN: the level lies below the probability of no event at all.
    found = np.ceil(np.nan_to_num(bdtrik(level, counts, inside), nan=0.0))
    share: Array = np.clip(found, 0.0, counts) / counts
    return share


def _probabilities(values: Array) -> Array:
    u = checked_series(values, field="probabilities")
    if u.min() < 0.0 or u.max() > 1.0:
        raise DataError("probabilities lie between 0 and 1", field="probabilities", value=float(u.min()))
    return u
