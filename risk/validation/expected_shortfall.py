"""Backtests of expected shortfall: Acerbi-Szekely, McNeil-Frey residuals, Nolde-Ziegel calibration.

All speak of losses, see `risk.validation.basis`; `es` is positive and not below `var`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import chdtrc, ndtr, ndtri, stdtrit

from risk.errors import DataError
from risk.validation.basis import Array, StatisticalTest, checked_forecasts, checked_probability


class AcerbiSzekely(NamedTuple):
    """Statistics of Acerbi and Szekely (2014); 0 is expected, below it shortfalls were too small.

    Attributes
    ----------
    conditional : float
        Z1: of the losses beyond `var` alone; NaN without an exception.
    unconditional : float
        Z2: of frequency and size together.
    """

    conditional: float
    unconditional: float


class ResidualTest(NamedTuple):
    """Test that losses beyond `var` are in the mean not above `es`.

    Attributes
    ----------
    statistic : float
        Mean exceedance residual over its standard error; positive where shortfalls were too small.
    p_value : float
        Standard normal, as in the R package rugarch.
    bootstrap_p_value : float
        Of the same statistic over resampled centred residuals.
    n_exceptions : int
    """

    statistic: float
    p_value: float
    bootstrap_p_value: float
    n_exceptions: int


@dataclass(frozen=True, slots=True)
class CalibrationTests:
    """Conditional calibration tests of Nolde and Ziegel (2017).

    Attributes
    ----------
    simple, general : StatisticalTest
        Two-sided. The general one weights the moments by the forecast volatility.
    simple_one_sided, general_one_sided : float
        P-values, Hommel's correction for dependent tests; small where shortfalls were too small or, by the sign of
        the first moment, exceptions too few: too many of them alone do not make it small.
    """

    simple: StatisticalTest
    simple_one_sided: float
    general: StatisticalTest
    general_one_sided: float


def acerbi_szekely(losses: Array, var: Array, es: Array, confidence: float) -> AcerbiSzekely:
    """Z1 and Z2 of Acerbi and Szekely (2014), equations 6 and 9.

    Parameters
    ----------
    losses, var, es : ndarray of shape (n,)
    confidence : float

    Raises
    ------
    DataError
        Bad forecasts, or an expected shortfall that is not positive.
    """
    loss, quantile, shortfall = checked_forecasts(losses, var, es, confidence=confidence)
    if np.any(shortfall <= 0.0):
        raise DataError("the statistics need positive shortfalls", field="es", value=float(shortfall.min()))
    hits = loss > quantile
    relative = loss[hits] / shortfall[hits]
    conditional = 1.0 - float(relative.mean()) if hits.any() else float("nan")
    return AcerbiSzekely(conditional, 1.0 - float(relative.sum()) / (loss.size * (1.0 - confidence)))


def simulated_unconditional(
    n_observations: int,
    confidence: float,
    *,
    nu: float | None = None,
    n_simulations: int = 20_000,
    generator: np.random.Generator,
) -> Array:
    """Z2 under its null, (n_simulations,) ascending, where losses follow one law times their forecast scale.

    Only losses beyond `var` count, so only they are drawn: their number is binomial and their size the law's tail.

    Parameters
    ----------
    n_observations : int
    confidence : float
    nu : float, optional
        Degrees of freedom of a Student-t law, above 1; None for a normal one.
    n_simulations : int
    generator : numpy.random.Generator
        Of a seeded stream.
    """
    share = 1.0 - checked_probability(confidence, field="confidence")
    if nu is None:
        edge = float(ndtri(confidence))
        shortfall = np.exp(-0.5 * edge**2) / np.sqrt(2.0 * np.pi) / share
    else:
        from risk.validation.scores import log_score_student

        if nu <= 1.0:
            raise DataError("the shortfall is infinite", field="nu", value=nu)
        edge = float(stdtrit(nu, confidence))
        density = float(np.exp(-log_score_student(np.array([edge]), nu))[0])
        shortfall = density / share * (nu + edge**2) / (nu - 1.0)  # McNeil, Frey and Embrechts (2015), example 2.15
    counts = generator.binomial(n_observations, share, n_simulations)
    upper = share * (1.0 - generator.random(int(counts.sum())))  # in (0, share]: no loss is infinite
    sizes = -(ndtri(upper) if nu is None else stdtrit(nu, upper)) / shortfall
    totals = np.bincount(np.repeat(np.arange(n_simulations), counts), weights=sizes, minlength=n_simulations)
    return np.sort(1.0 - totals / (n_observations * share))


def unconditional_test(
    losses: Array,
    var: Array,
    es: Array,
    confidence: float,
    *,
    nu: float | None = None,
    n_simulations: int = 20_000,
    generator: np.random.Generator,
) -> StatisticalTest:
    """Z2 with the simulated probability of one as low or lower; arguments as above."""
    statistic = acerbi_szekely(losses, var, es, confidence).unconditional
    law = simulated_unconditional(len(losses), confidence, nu=nu, n_simulations=n_simulations, generator=generator)
    below = int(np.searchsorted(law, statistic, side="right"))
    return StatisticalTest(statistic, (below + 1) / (n_simulations + 1))


def residual_test(
    losses: Array,
    var: Array,
    es: Array,
    confidence: float,
    *,
    deviation: Array | None = None,
    n_resamples: int = 10_000,
    generator: np.random.Generator,
) -> ResidualTest:
    """Exceedance residuals of McNeil and Frey (2000), section 4.2: mean zero against a positive mean.

    Parameters
    ----------
    losses, var, es : ndarray of shape (n,)
    confidence : float
    deviation : ndarray of shape (n,), optional
        Forecast volatility by which residuals are divided, as the paper does; rugarch does not.
    n_resamples : int
        Of the bootstrap (Efron and Tibshirani 1993, algorithm 16.2).
    generator : numpy.random.Generator

    Raises
    ------
    DataError
        Bad forecasts, or fewer than two exceptions that differ.
    """
    loss, quantile, shortfall = checked_forecasts(losses, var, es, confidence=confidence)
    hits = loss > quantile
    residuals = (loss - shortfall)[hits]
    if deviation is not None:
        residuals = residuals / np.asarray(deviation)[hits]
    n = residuals.size
    if n < 2 or np.ptp(residuals) == 0.0:
        raise DataError("residuals need two exceptions that differ", field="losses", value=f"{n} exceptions")

    def studentised(sample: Array) -> Array:
        spread = sample.std(axis=-1, ddof=1)
        mean = sample.mean(axis=-1)
        # A resample of one value repeated has no spread: it is as extreme as its mean's sign.
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.sqrt(n) * mean / spread
        statistics: Array = np.where(spread > 0.0, ratio, np.copysign(np.inf, mean))
        return statistics

    statistic = float(studentised(residuals))
    centred = residuals - residuals.mean()
    exceed = 0
    block = max(1, 1_000_000 // n)
    for first in range(0, n_resamples, block):
        drawn = generator.integers(0, n, (min(block, n_resamples - first), n))
        exceed += int(np.sum(studentised(centred[drawn]) >= statistic))
    return ResidualTest(statistic, float(ndtr(-statistic)), (exceed + 1) / (n_resamples + 1), n)


def calibration_tests(losses: Array, var: Array, es: Array, deviation: Array, confidence: float) -> CalibrationTests:
    """Joint tests of value at risk and expected shortfall (Nolde and Ziegel 2017, section 2.2).

    The moments are V = (a - 1{L > var}, var - es + 1{L > var} (L - var) / a), a = 1 - confidence, zero in the mean
    under the null; the R package esback has the same values.

    Parameters
    ----------
    losses, var, es, deviation : ndarray of shape (n,)
        `deviation` is the forecast volatility, positive.
    confidence : float

    Raises
    ------
    DataError
        Bad forecasts, a volatility that is not positive, or moments that do not vary (no exception).
    """
    loss, quantile, shortfall, scale = checked_forecasts(losses, var, es, deviation, confidence=confidence)
    if np.any(scale <= 0.0):
        raise DataError("volatilities are positive", field="deviation", value=float(scale.min()))
    a, n = 1.0 - confidence, loss.size
    beyond = loss > quantile
    if not beyond.any():
        raise DataError("the moments do not vary: there is no exception", field="losses", value=n)
    first = a - beyond
    second = quantile - shortfall + beyond * (loss - quantile) / a
    moments = np.column_stack([first, second])
    mean, omega = moments.mean(axis=0), moments.T @ moments / n
    simple = n * float(mean @ np.linalg.solve(omega, mean))
    weighted = ((shortfall - quantile) / a * first + second) / scale
    general = n * float(weighted.mean()) ** 2 / float(np.mean(weighted**2))
    four = np.column_stack([first, np.abs(quantile) * first, second, second / scale])
    return CalibrationTests(
        simple=StatisticalTest(simple, float(chdtrc(2, simple)), 2),
        simple_one_sided=_hommel(np.sqrt(n) * mean / np.sqrt(np.diag(omega))),
        general=StatisticalTest(general, float(chdtrc(1, general)), 1),
        general_one_sided=_hommel(np.sqrt(n) * four.mean(axis=0) / np.sqrt(np.mean(four**2, axis=0))),
    )


def _hommel(statistics: Array) -> float:
    """P-value that all of several dependent statistics are standard normal against a positive mean (Hommel 1983)."""
    p = np.sort(ndtr(-statistics))
    ranks = np.arange(1, p.size + 1)
    return float(min(1.0, p.size * np.sum(1.0 / ranks) * np.min(p / ranks)))
