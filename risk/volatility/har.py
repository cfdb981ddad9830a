"""The heterogeneous autoregression of realised variance (Corsi 2009, Journal of Financial Econometrics 7).

Tomorrow's realised variance is regressed on today's, on the mean of the last five bars and on that of the last
twenty-two, in levels or in logarithms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from risk.errors import DataError
from risk.volatility.innovations import Innovations
from risk.volatility.models import Array, FitStatus, read_only

LAGS = (1, 5, 22)
MINIMUM_HAR = 60
"""Fewest usable rows of the regression."""


@dataclass(frozen=True, slots=True)
class HarFit:
    """A fitted regression and its forecast.

    Attributes
    ----------
    coefficients : ndarray of shape (4,)
        Constant and the weights of the three means; NaN when nothing was fitted.
    r_squared : float
    logarithmic : bool
    residual_variance : float
        Of the regression; in logarithms it enters the forecast as half of it (a lognormal mean).
    fitted : ndarray of shape (n - 22,)
        Forecast variances of the bars 22 .. n - 1, in levels.
    next_variance : float
        Forecast of the bar after the sample, in levels, floored at the smallest variance seen.
    n_observations : int
    status : FitStatus
        `CONVERGED`, `TOO_SHORT` or `DEGENERATE`.
    """

    coefficients: Array
    r_squared: float
    logarithmic: bool
    residual_variance: float
    fitted: Array
    next_variance: float
    n_observations: int
    status: FitStatus


def fit_har(variances: Array, *, logarithmic: bool = False) -> HarFit:
    """Fit by least squares.

    Parameters
    ----------
    variances : ndarray of shape (n,)
        Realised variance of each bar, not negative; positive for logarithms.
    logarithmic : bool

    Raises
    ------
    DataError
        Variances that are not finite or not in their range.
    """
    sample = np.asarray(variances, dtype=np.float64)
    floor_ok = sample > 0.0 if logarithmic else sample >= 0.0
    if sample.ndim != 1 or not (np.isfinite(sample) & floor_ok).all():
        raise DataError(
            "realised variances must be one finite series, not negative, and positive for logarithms",
            field="variances",
            remedy="leave out bars that did not trade, or fit in levels",
        )
    x = np.log(sample) if logarithmic else sample
    longest = LAGS[-1]
    n = x.size
    rows = n - longest
    if rows < MINIMUM_HAR or np.ptp(x) <= 1e-12 * float(np.abs(x).max()):
        status = FitStatus.TOO_SHORT if rows < MINIMUM_HAR else FitStatus.DEGENERATE
        blank = read_only(np.empty(0))
        return HarFit(read_only(np.full(4, math.nan)), math.nan, logarithmic, math.nan, blank, math.nan, n, status)
    sums = np.concatenate(([0.0], np.cumsum(x)))
    ends = np.arange(longest, n + 1)
    design = np.column_stack([np.ones(rows + 1), *((sums[ends] - sums[ends - lag]) / lag for lag in LAGS)])
    coefficients, _, rank, _ = np.linalg.lstsq(design[:-1], x[longest:], rcond=None)
    fitted = design @ coefficients
    errors = x[longest:] - fitted[:-1]
    spread = float(errors @ errors) / (rows - 4)
    around = x[longest:] - x[longest:].mean()
    level = np.exp(fitted + 0.5 * spread) if logarithmic else np.maximum(fitted, sample[sample > 0.0].min())
    return HarFit(
        coefficients=read_only(coefficients),
        r_squared=1.0 - float(errors @ errors) / float(around @ around),
        logarithmic=logarithmic,
        residual_variance=spread,
        fitted=read_only(level[:-1]),
        next_variance=float(level[-1]),
        n_observations=n,
        status=FitStatus.CONVERGED if rank == 4 else FitStatus.DEGENERATE,
    )


@dataclass(frozen=True, slots=True)
class HarDensity:
    """A density of the next return from a HAR forecast.

    Attributes
    ----------
    har : HarFit
    scale : float
        Mean of squared returns over forecasts: a realised variance misses what happens between its bars.
    innovations : Innovations
        Student-t fitted to the scaled returns; mean zero.
    log_likelihood : float
        Of the returns beside the fitted bars, in nats.
    """

    har: HarFit
    scale: float
    innovations: Innovations
    log_likelihood: float

    @property
    def next_variance(self) -> float:
        """Forecast variance of the next return."""
        return self.scale * self.har.next_variance


def har_density(har: HarFit, returns: Array) -> HarDensity:
    """Fit scale and tail of returns (n,) beside the realised variances of the same n bars.

    Raises
    ------
    DataError
        Another number of returns, or a regression without a forecast.
    """
    from risk.volatility.exponential import fit_nu

    sample = np.asarray(returns, dtype=np.float64)
    if sample.size != har.n_observations or not har.fitted.size or not np.isfinite(sample).all():
        raise DataError(
            f"the regression is of {har.n_observations} bars and ended as {har.status}",
            field="returns",
            value=sample.size,
        )
    beside = sample[LAGS[-1] :]
    scale = float(np.mean(beside**2 / har.fitted))
    z = beside / np.sqrt(scale * har.fitted)
    law = Innovations(fit_nu(z)[0])
    height = float(np.sum(law.log_density(z) - 0.5 * np.log(scale * har.fitted)))
    return HarDensity(har, scale, law, height)
