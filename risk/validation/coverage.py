"""Backtests of value at risk and expected shortfall: coverage, independence and scores.

Everything speaks of losses: positive is bad, `var` and `es` are positive losses forecast for the same bar, and an
exception is a loss strictly beyond `var`. Pass returns with their sign turned for the long side. Forecasts must
not overlap in time: overlapping windows make exceptions cluster by construction.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, bdtrc, chdtrc, chdtri, gammaln, xlog1py, xlogy

from risk.errors import DataError

Array = NDArray[np.float64]
Hits = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class CoverageTest:
    """Unconditional coverage of `n_observations` forecasts at one exception probability.

    Attributes
    ----------
    n_exceptions, n_observations : int
    probability : float
        Promised probability of an exception, 1 - confidence.
    too_many_p_value : float
        Exact binomial probability of so many exceptions or more: the one-sided test that matters for a margin.
    too_few_p_value : float
        Exact binomial probability of so many exceptions or fewer.
    two_sided_p_value : float
        Exact: total probability of the counts that are no likelier than the one seen.
    likelihood_ratio, likelihood_ratio_p_value : float
        Kupiec (1995), chi-squared with one degree of freedom; two-sided, it can reject *zero* exceptions.
    """

    n_exceptions: int
    n_observations: int
    probability: float
    too_many_p_value: float
    too_few_p_value: float
    two_sided_p_value: float
    likelihood_ratio: float
    likelihood_ratio_p_value: float


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


class TrafficLight(StrEnum):
    """Zone of the Basel backtest."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"


def coverage_test(n_exceptions: int, n_observations: int, probability: float) -> CoverageTest:
    """Test a count of exceptions against its promised probability.

    Raises
    ------
    DataError
        No observations, a count outside them, or a probability outside (0, 1).
    """
    x, n, p = n_exceptions, n_observations, probability
    if n < 1 or not 0 <= x <= n:
        raise DataError("exceptions are counted among observations", field="n_exceptions", value=f"{x} of {n}")
    if not 0.0 < p < 1.0:
        raise DataError("a probability lies between 0 and 1", field="probability", value=p)
    counts = np.arange(n + 1)
    log_mass = gammaln(n + 1) - gammaln(counts + 1) - gammaln(n - counts + 1) + xlogy(counts, p)
    log_mass += xlog1py(n - counts, -p)
    no_likelier = log_mass <= log_mass[x] + 1e-9  # ties differ by rounding only
    ratio = kupiec_ratio(x, n, p)
    return CoverageTest(
        n_exceptions=x,
        n_observations=n,
        probability=p,
        too_many_p_value=float(bdtrc(x - 1, n, p)) if x else 1.0,
        too_few_p_value=float(bdtr(x, n, p)),
        two_sided_p_value=min(1.0, float(np.exp(log_mass[no_likelier]).sum())),
        likelihood_ratio=ratio,
        likelihood_ratio_p_value=float(chdtrc(1, ratio)),
    )


def kupiec_ratio(n_exceptions: int, n_observations: int, probability: float) -> float:
    """Proportion-of-failures likelihood ratio (Kupiec 1995, equation 6)."""
    x, n = n_exceptions, n_observations
    share = x / n
    at_promise = xlogy(x, probability) + xlog1py(n - x, -probability)
    at_share = xlogy(x, share) + xlogy(n - x, 1.0 - share)
    return max(0.0, float(2.0 * (at_share - at_promise)))


def kupiec_acceptance(n_observations: int, probability: float, *, level: float = 0.05) -> tuple[int, int]:
    """Smallest and largest count of exceptions that the two-sided likelihood ratio does not reject at `level`."""
    critical = float(chdtri(1, level))
    accepted = [x for x in range(n_observations + 1) if kupiec_ratio(x, n_observations, probability) < critical]
    return accepted[0], accepted[-1]


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


def quantile_loss(losses: Array, var: Array, confidence: float) -> Array:
    """Pinball loss of each forecast quantile (Koenker and Bassett 1978).

    Parameters
    ----------
    losses, var : ndarray of shape (n,)
        In one unit; the score has it too.
    confidence : float

    Returns
    -------
    ndarray of shape (n,)
        Smaller is better; its mean is least for the true quantile.

    Raises
    ------
    DataError
        NaN, infinity, different shapes, or a confidence outside (0, 1).
    """
    loss, quantile = _checked(losses, var, confidence=confidence)
    beyond = (loss > quantile).astype(np.float64)
    score: Array = (beyond - (1.0 - confidence)) * (loss - quantile)
    return score


def fz0_score(losses: Array, var: Array, es: Array, confidence: float) -> Array:
    """Joint score of value at risk and expected shortfall (Patton, Ziegel and Chen 2019, equation 6).

    Parameters
    ----------
    losses, var, es : ndarray of shape (n,)
        In one unit; es positive.
    confidence : float

    Returns
    -------
    ndarray of shape (n,)
        Smaller is better; differences between models do not depend on the unit.

    Raises
    ------
    DataError
        As in `quantile_loss`, or an expected shortfall that is not positive.
    """
    loss, quantile, shortfall = _checked(losses, var, es, confidence=confidence)
    if np.any(shortfall <= 0.0):
        raise DataError("the score needs positive shortfalls", field="es", value=float(shortfall.min()))
    beyond = np.maximum(loss - quantile, 0.0)
    score: Array = (beyond / (1.0 - confidence) + quantile) / shortfall + np.log(shortfall) - 1.0
    return score


def traffic_light(n_exceptions: int, n_observations: int = 250, probability: float = 0.01) -> TrafficLight:
    """Zone by the probability of fewer or as many exceptions: yellow from 95 %, red from 99.99 % (Basel 1996)."""
    test = coverage_test(n_exceptions, n_observations, probability)
    if test.too_few_p_value < 0.95:
        return TrafficLight.GREEN
    return TrafficLight.YELLOW if test.too_few_p_value < 0.9999 else TrafficLight.RED


def _checked(*arrays: Array, confidence: float) -> tuple[Array, ...]:
    if not 0.0 < confidence < 1.0:
        raise DataError("a confidence lies between 0 and 1", field="confidence", value=confidence)
    found = tuple(np.asarray(array, dtype=np.float64) for array in arrays)
    if any(array.shape != found[0].shape or array.ndim != 1 for array in found):
        shapes = ", ".join(str(array.shape) for array in found)
        raise DataError("losses and forecasts are series of one length", field="var", value=shapes)
    if not all(np.all(np.isfinite(array)) for array in found):
        raise DataError(
            "losses and forecasts are finite", field="losses", remedy="count failed forecasts apart, do not score them"
        )
    return found
