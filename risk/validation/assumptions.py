"""Tests of what a volatility model assumes of its standardised residuals.

A test that rejects does not stop a calibration; it is printed beside the figures it weakens.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc, kolmogorov

from risk.errors import DataError
from risk.market import FloatArray
from risk.validation.stability import nyblom_test
from risk.volatility.innovations import Innovations


@dataclass(frozen=True, slots=True)
class AssumptionTest:
    """One test.

    Attributes
    ----------
    assumption
        What should hold, in words.
    test
        Name of the statistic.
    statistic, p_value
        The p-value is for the assumption: small speaks against it.
    """

    assumption: str
    test: str
    statistic: float
    p_value: float

    def verdict(self, level: float = 0.01) -> str:
        """``holds`` or ``rejected`` at the level."""
        return "rejected" if self.p_value < level else "holds"


def ljung_box(values: FloatArray, *, lags: int = 10, n_fitted: int = 0) -> tuple[float, float]:
    """Ljung and Box (1978), equation 3: statistic and p-value for no autocorrelation up to `lags`.

    Parameters
    ----------
    values
        (n,) finite, n above `lags`.
    lags, n_fitted
        Chi-squared with lags - n_fitted degrees of freedom.

    Raises
    ------
    DataError
        A series too short, not finite, or without variation.
    """
    centred = _centred(values, lags + 1)
    n = len(centred)
    power = float(centred @ centred)
    correlation = np.array([float(centred[k:] @ centred[:-k]) for k in range(1, lags + 1)]) / power
    statistic = float(n * (n + 2) * np.sum(correlation**2 / (n - np.arange(1, lags + 1))))
    return statistic, float(chdtrc(lags - n_fitted, statistic))


def arch_lm(residuals: FloatArray, *, lags: int = 5) -> tuple[float, float]:
    """Engle (1982): n R^2 of the squared residuals on `lags` of their own, and its chi-squared p-value.

    Raises
    ------
    DataError
        A series too short, not finite, or without variation in its squares.
    """
    squares = _centred(np.asarray(residuals, dtype=np.float64) ** 2, 3 * lags)
    target = squares[lags:]
    n = len(target)
    design = np.column_stack([np.ones(n)] + [squares[lags - k : len(squares) - k] for k in range(1, lags + 1)])
    solution, *_ = np.linalg.lstsq(design, target, rcond=None)
    error = target - design @ solution
    explained = 1.0 - float(error @ error) / float(np.sum((target - target.mean()) ** 2))
    statistic = n * max(explained, 0.0)
    return statistic, float(chdtrc(lags, statistic))


def uniformity(probabilities: FloatArray) -> tuple[float, float]:
    """Kolmogorov and Smirnov: largest distance from the uniform law, and its p-value.

    The p-value is of the limit law with Stephens' (1970) correction for n. Where the model was fitted to the same
    data it is too kind: a rejection counts, a pass says little.

    Raises
    ------
    DataError
        A series that is empty, not finite or outside [0, 1].
    """
    u = np.sort(np.asarray(probabilities, dtype=np.float64))
    n = len(u)
    if n == 0 or not np.isfinite(u).all() or u[0] < 0.0 or u[-1] > 1.0:
        raise DataError("uniformity is tested on probabilities", field="probabilities", value=n)
    distance = float(max(np.max(np.arange(1, n + 1) / n - u), np.max(u - np.arange(n) / n)))
    root = np.sqrt(n)
    return distance, float(kolmogorov((root + 0.12 + 0.11 / root) * distance))


def residual_tests(residuals: FloatArray, law: Innovations) -> tuple[AssumptionTest, ...]:
    """The tests of one model's standardised residuals (n,), which have this law by assumption."""
    z = np.asarray(residuals, dtype=np.float64)
    # The derivative (n, 1) of each residual's log density in the log of its variance.
    score = -0.5 * (1.0 + z * law.log_density_slope(z))[:, None]
    name = "skewed Student-t" if law.skew != 0.0 else "Student-t"
    return (
        AssumptionTest("residuals are not autocorrelated", "Ljung-Box, 10 lags", *ljung_box(z)),
        AssumptionTest("no volatility clustering is left", "Ljung-Box of squares, 10 lags", *ljung_box(z**2)),
        AssumptionTest("no ARCH effect is left", "ARCH-LM, 5 lags", *arch_lm(z)),
        AssumptionTest(f"residuals are {name}", "Kolmogorov-Smirnov of the PIT", *uniformity(law.distribution(z))),
        AssumptionTest("the level of variance does not drift", "Nyblom, scale score", *nyblom_test(score)[:2]),
    )


def _centred(values: FloatArray, minimum: int) -> FloatArray:
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or len(sample) <= minimum or not np.isfinite(sample).all():
        raise DataError(f"the test needs one finite series of more than {minimum}", value=f"shape {sample.shape}")
    centred: FloatArray = sample - sample.mean()
    if float(centred @ centred) <= 1e-24 * float(sample @ sample):
        raise DataError("the series does not vary", field="values")
    return centred
