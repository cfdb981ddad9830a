"""How exceptions of value at risk are spread over time, against independent ones.

Three views: a first-order Markov chain, a regression of the hits on what was known (dynamic quantile), and the
durations between exceptions. All speak of losses, see `risk.validation.basis`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc, xlogy

from risk.errors import DataError
from risk.validation.basis import Array, Hits, StatisticalTest, checked_forecasts
from risk.validation.coverage import kupiec_ratio


@dataclass(frozen=True, slots=True)
class IndependenceTest:
    """Christoffersen (1998) test of exceptions against a first-order Markov chain.

    Attributes
    ----------
    transitions : tuple of four int
        n00, n01, n10, n11: bars by (exception before, exception now).
    independence, independence_p_value : float
        Likelihood ratio, chi-squared with one degree of freedom.
    conditional_coverage, conditional_coverage_p_value : float
        The same plus Kupiec's ratio, two degrees of freedom.
    """

    transitions: tuple[int, int, int, int]
    independence: float
    independence_p_value: float
    conditional_coverage: float
    conditional_coverage_p_value: float


@dataclass(frozen=True, slots=True)
class DurationTest:
    """Christoffersen and Pelletier (2004) test of durations between exceptions.

    Attributes
    ----------
    shape : float
        Of the Weibull law; below 1 exceptions come in clusters.
    likelihood_ratio, p_value : float
        Against shape 1 (no memory), chi-squared with one degree of freedom.
    n_durations : int
        With the censored ones before the first exception and after the last.
    """

    shape: float
    likelihood_ratio: float
    p_value: float
    n_durations: int


def independence_test(exceptions: Hits, probability: float) -> IndependenceTest:
    """Test the order of exceptions.

    Parameters
    ----------
    exceptions : ndarray of bool, shape (n,)
        In time order, n at least 2.
    probability : float
        Promised probability of an exception.

    Raises
    ------
    DataError
        Fewer than two observations.
    """
    hits = np.asarray(exceptions, dtype=np.bool_)
    if hits.ndim != 1 or hits.size < 2:
        raise DataError("independence needs two bars in order", field="exceptions", value=f"shape {hits.shape}")
    before, now = hits[:-1], hits[1:]
    n00, n01 = int(np.sum(~before & ~now)), int(np.sum(~before & now))
    n10, n11 = int(np.sum(before & ~now)), int(np.sum(before & now))
    ratio = markov_ratio(n00, n01, n10, n11)
    joint = ratio + kupiec_ratio(int(hits.sum()), hits.size, probability)
    return IndependenceTest(
        transitions=(n00, n01, n10, n11),
        independence=ratio,
        independence_p_value=float(chdtrc(1, ratio)),
        conditional_coverage=joint,
        conditional_coverage_p_value=float(chdtrc(2, joint)),
    )


def markov_ratio(n00: int, n01: int, n10: int, n11: int) -> float:
    """Likelihood ratio of a Markov chain against independence (Christoffersen 1998, equation 11).

    Where no exception has a successor the chain has one row, and the ratio is 0.
    """

    def height(zeros: int, ones: int) -> float:
        total = zeros + ones
        return float(xlogy(zeros, zeros / total) + xlogy(ones, ones / total)) if total else 0.0

    return max(0.0, 2.0 * (height(n00, n01) + height(n10, n11) - height(n00 + n10, n01 + n11)))


def dynamic_quantile_test(losses: Array, var: Array, confidence: float, *, n_lags: int = 4) -> StatisticalTest:
    """Dynamic quantile test of Engle and Manganelli (2004), section 5, out of sample.

    Centred hits (confidence on an exception, else confidence - 1) are regressed on a constant, the current
    forecast, `n_lags` lagged hits and the last squared loss, as in the R package GAS. Chi-squared with as many
    degrees of freedom as there are linearly independent regressors, `n_lags` + 3 as a rule.

    Parameters
    ----------
    losses, var : ndarray of shape (n,)
    confidence : float
    n_lags : int
        At least 1.

    Raises
    ------
    DataError
        Bad forecasts, see `checked_forecasts`, or too few for the regressors.
    """
    loss, quantile = checked_forecasts(losses, var, confidence=confidence)
    n, share = loss.size, 1.0 - confidence
    if n_lags < 1 or n <= 2 * n_lags + 3:
        raise DataError("the regression needs more bars", field="losses", value=f"{n} bars, {n_lags} lags")
    hits = (loss > quantile) - share
    lagged = [hits[n_lags - lag : n - lag] for lag in range(1, n_lags + 1)]
    design = np.column_stack([np.ones(n - n_lags), quantile[n_lags:], *lagged, loss[n_lags - 1 : n - 1] ** 2])
    length = np.linalg.norm(design, axis=0)
    design = design / np.where(length > 0.0, length, 1.0)
    fitted, _, rank, _ = np.linalg.lstsq(design, hits[n_lags:], rcond=1e-10)
    explained = design @ fitted
    statistic = float(explained @ explained) / (share * confidence)
    return StatisticalTest(statistic, float(chdtrc(rank, statistic)), int(rank))


def duration_test(exceptions: Hits) -> DurationTest:
    """Test that the wait for the next exception does not depend on how long one has waited.

    Durations follow a Weibull law; the one before the first exception and the one after the last are censored
    unless the series begins or ends with an exception (Christoffersen and Pelletier 2004, section 3).

    Parameters
    ----------
    exceptions : ndarray of bool, shape (n,)
        In time order.

    Raises
    ------
    DataError
        Fewer than two exceptions: there is no duration.
    """
    hits = np.asarray(exceptions, dtype=np.bool_)
    (at,) = np.nonzero(hits)
    if hits.ndim != 1 or at.size < 2:
        raise DataError("durations need two exceptions", field="exceptions", value=f"{at.size} of {hits.size}")
    whole = np.diff(at).astype(np.float64)
    ends = [float(at[0] + 1)] if at[0] > 0 else []
    ends += [float(hits.size - 1 - at[-1])] if at[-1] < hits.size - 1 else []
    durations = np.concatenate([whole, ends])
    # The likelihood does not depend on the unit of time but for a constant: a mean of one keeps powers in range.
    unit = durations.mean()
    shape = _weibull_shape(whole / unit, durations / unit)
    height = _weibull_profile(shape, whole / unit, durations / unit)
    ratio = max(0.0, 2.0 * (height - _weibull_profile(1.0, whole / unit, durations / unit)))
    return DurationTest(shape, ratio, float(chdtrc(1, ratio)), durations.size)


def _weibull_profile(shape: float, whole: Array, durations: Array) -> float:
    """Log-likelihood at a shape, maximised over the scale; censored durations count by their survival."""
    k = whole.size
    total = float(np.sum(durations**shape))
    return float(k * np.log(k / total) + k * np.log(shape) + (shape - 1.0) * np.sum(np.log(whole)) - k)


def _weibull_shape(whole: Array, durations: Array) -> float:
    """Root of the profile score in [0.01, 20], which falls in the shape; an edge where there is none."""
    logs, log_sum = np.log(durations), float(np.sum(np.log(whole)))
    low, high = 0.01, 20.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        weights = np.exp(middle * (logs - logs.max()))
        score = whole.size / middle + log_sum - whole.size * float(weights @ logs) / float(weights.sum())
        low, high = (middle, high) if score > 0.0 else (low, middle)
    return 0.5 * (low + high)
