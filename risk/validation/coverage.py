"""Unconditional coverage: the count of exceptions of value at risk against the promised one.

Forecasts must not overlap in time: overlapping windows make exceptions cluster by construction. How exceptions are
spread over time is the matter of `risk.validation.independence`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.special import bdtr, bdtrc, chdtrc, chdtri, gammaln, ndtr, xlog1py, xlogy

from risk.errors import DataError
from risk.validation.basis import StatisticalTest, checked_probability

PLUS_FACTORS = (0.0, 0.0, 0.0, 0.0, 0.0, 0.40, 0.50, 0.65, 0.75, 0.85, 1.00)
"""Addition to the multiplier of 3 by count of exceptions in 250 days at 99 %, ten standing for more (Basel 1996)."""


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
    signed_root, signed_root_p_value : float
        Its one-sided form: the root of the ratio with the sign of the excess, standard normal; the p-value is for
        too many. The exact `too_many_p_value` is to be preferred at few expected exceptions.
    """

    n_exceptions: int
    n_observations: int
    probability: float
    too_many_p_value: float
    too_few_p_value: float
    two_sided_p_value: float
    likelihood_ratio: float
    likelihood_ratio_p_value: float
    signed_root: float
    signed_root_p_value: float


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
    checked_probability(p)
    counts = np.arange(n + 1)
    log_mass = gammaln(n + 1) - gammaln(counts + 1) - gammaln(n - counts + 1) + xlogy(counts, p)
    log_mass += xlog1py(n - counts, -p)
    no_likelier = log_mass <= log_mass[x] + 1e-9  # ties differ by rounding only
    ratio = kupiec_ratio(x, n, p)
    root = float(np.copysign(np.sqrt(ratio), x - n * p))
    return CoverageTest(
        n_exceptions=x,
        n_observations=n,
        probability=p,
        too_many_p_value=float(bdtrc(x - 1, n, p)) if x else 1.0,
        too_few_p_value=float(bdtr(x, n, p)),
        two_sided_p_value=min(1.0, float(np.exp(log_mass[no_likelier]).sum())),
        likelihood_ratio=ratio,
        likelihood_ratio_p_value=float(chdtrc(1, ratio)),
        signed_root=root,
        signed_root_p_value=float(ndtr(-root)),
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


def traffic_light(n_exceptions: int, n_observations: int = 250, probability: float = 0.01) -> TrafficLight:
    """Zone by the probability of fewer or as many exceptions: yellow from 95 %, red from 99.99 % (Basel 1996)."""
    test = coverage_test(n_exceptions, n_observations, probability)
    if test.too_few_p_value < 0.95:
        return TrafficLight.GREEN
    return TrafficLight.YELLOW if test.too_few_p_value < 0.9999 else TrafficLight.RED


def plus_factor(n_exceptions: int) -> float:
    """Addition to the Basel multiplier of 3 for a count of exceptions in 250 days at 99 %.

    Raises
    ------
    DataError
        A negative count.
    """
    if n_exceptions < 0:
        raise DataError("exceptions are counted", field="n_exceptions", value=n_exceptions)
    return PLUS_FACTORS[min(n_exceptions, len(PLUS_FACTORS) - 1)]


def first_failure_test(bars_to_first: int, probability: float) -> StatisticalTest:
    """Time until first failure (Kupiec 1995, equation 4): likelihood ratio, one degree of freedom.

    Parameters
    ----------
    bars_to_first : int
        Number of the bar of the first exception, counted from 1.
    probability : float
        Promised probability of an exception.

    Raises
    ------
    DataError
        A number below 1, or a probability outside (0, 1).
    """
    n, p = bars_to_first, checked_probability(probability)
    if n < 1:
        raise DataError("bars are counted from 1", field="bars_to_first", value=n)
    at_promise = np.log(p) + xlog1py(n - 1, -p)
    at_seen = -np.log(n) + xlog1py(n - 1, -1.0 / n)
    ratio = max(0.0, float(2.0 * (at_seen - at_promise)))
    return StatisticalTest(ratio, float(chdtrc(1, ratio)), 1)
