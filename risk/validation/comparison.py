"""Which forecasts are better by more than noise: Diebold-Mariano, confidence set, block bootstrap by date.

Losses throughout: a smaller score is better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from risk.errors import DataError
from risk.market import IntArray
from risk.validation.basis import Array, checked_series


@dataclass(frozen=True, slots=True)
class DieboldMariano:
    """Test that two models' expected scores are equal.

    Attributes
    ----------
    difference : float
        Mean score less that of the reference; negative: better than it.
    standard_error : float
        With autocorrelation allowed for.
    statistic : float
        Their ratio; 0 where the scores are the same throughout.
    p_better, p_two_sided : float
        Against "better than the reference", and against "different"; Student's t, see `robust_error`.
    """

    difference: float
    standard_error: float
    statistic: float
    p_better: float
    p_two_sided: float


@dataclass(frozen=True, slots=True)
class BlockBootstrap:
    """A pooled mean with what resampling whole blocks of dates makes of it.

    Attributes
    ----------
    estimate : float
        Mean over all rows.
    standard_error, lower, upper : float
        Of the resampled means; the ends hold 90 % of them.
    p_negative : float
        Against "the mean is negative": share of resamples that, centred at zero, lie as low as the estimate.
    n_rows, n_dates : int
    block : int
        Dates in a block.
    """

    estimate: float
    standard_error: float
    lower: float
    upper: float
    p_negative: float
    n_rows: int
    n_dates: int
    block: int


def robust_error(series: Array) -> tuple[float, int]:
    """Standard error of a mean that allows for autocorrelation and changing variance, and its degrees of freedom.

    The long-run variance is the mean square of the first B = .4 n^(2/3) cosine transforms, and the mean over its error
    is Student's t with B degrees of freedom: fixed-b asymptotics, which keep the size where a few Bartlett lags under
    the normal law reject twice too often (Lazarus, Lewis, Stock and Watson 2018, JBES 36, equations 3 and 4).

    Parameters
    ----------
    series : ndarray of shape (n,)
        NaN makes the error NaN.
    """
    n = series.size
    terms = max(1, int(0.4 * n ** (2.0 / 3.0)))
    phase = np.outer(np.arange(1, terms + 1), np.arange(n) + 0.5) * (math.pi / n)
    transforms = math.sqrt(2.0 / n) * (np.cos(phase) @ (series - series.mean()))
    return math.sqrt(float(transforms @ transforms) / terms / n), terms


def diebold_mariano(scores: Array, reference: Array) -> DieboldMariano:
    """Diebold and Mariano (1995) with the error and the law of `robust_error`.

    Parameters
    ----------
    scores, reference : ndarray of shape (n,)
        Of the same bars, smaller is better; n at least 10.

    Raises
    ------
    DataError
        Series that are short, not finite or of different lengths.
    """
    one, two = (checked_series(s, field="scores", minimum=10) for s in (scores, reference))
    if one.size != two.size:
        raise DataError("scores are of the same bars", field="scores", value=f"{one.size} and {two.size}")
    difference = one - two
    mean = float(difference.mean())
    if np.ptp(difference) == 0.0:
        same = 0.5 if mean == 0.0 else float(mean > 0.0)
        return DieboldMariano(mean, 0.0, 0.0, same, float(mean == 0.0))
    error, freedom = robust_error(difference)
    statistic = mean / error
    below = float(stdtr(freedom, statistic))
    return DieboldMariano(mean, error, statistic, below, 2.0 * min(below, 1.0 - below))


def model_confidence_set(
    scores: Mapping[str, Array], *, n_resamples: int = 1000, block: int | None = None, generator: np.random.Generator
) -> dict[str, float]:
    """P-values of the model confidence set (Hansen, Lunde and Nason 2011), by the package arch.

    The range statistic over a stationary bootstrap. The set at a level holds the models with a p-value above it:
    it contains the best with at least that probability.

    Parameters
    ----------
    scores : mapping of name to ndarray of shape (n,)
        Of the same bars, smaller is better.
    n_resamples, block : int
        Mean block of the bootstrap; by default the root of n, rounded up.
    generator : numpy.random.Generator
        In the same state it gives the same p-values, whatever the order of the models.

    Returns
    -------
    dict of name to float
        In the order given. Models with scores equal throughout share the p-value of the first by name: the
        difference between them has no variance to divide by.

    Raises
    ------
    DataError
        No model, or series that are short, not finite or of different lengths.
    """
    columns = {name: checked_series(values, field=name, minimum=10) for name, values in sorted(scores.items())}
    if len({values.size for values in columns.values()}) != 1:
        raise DataError("scores are of the same bars", field="scores", value=[v.size for v in columns.values()])
    stands_for: dict[str, str] = {}
    for name, values in columns.items():
        stands_for[name] = next((other for other in stands_for if np.array_equal(columns[other], values)), name)
    distinct = [name for name in columns if stands_for[name] == name]
    p_values = {distinct[0]: 1.0}
    if len(distinct) > 1:
        import pandas as pd
        from arch.bootstrap import MCS

        n = columns[distinct[0]].size
        frame = pd.DataFrame({name: columns[name] for name in distinct})
        size = math.ceil(math.sqrt(n)) if block is None else block
        found = MCS(frame, size=0.1, reps=n_resamples, block_size=size, method="R", seed=generator)
        found.compute()
        p_values = {str(name): float(p) for name, p in found.pvalues["Pvalue"].items()}
    return {name: p_values[stands_for[name]] for name in scores}


def simplest_within(means: Mapping[str, float], candidates: Sequence[str], *, hurdle: float) -> str:
    """The first of `candidates` (simple to less so) whose mean score is within `hurdle` of the best of them.

    A tie, and everything the hurdle calls one, goes to the simpler model.

    Raises
    ------
    DataError
        No candidate.
    """
    if not candidates:
        raise DataError("there is no model to choose from", field="candidates")
    best = min(means[name] for name in candidates)
    return next(name for name in candidates if means[name] <= best + hurdle)


def date_block_bootstrap(
    dates: IntArray, values: Array, *, block: int = 20, n_resamples: int = 2000, generator: np.random.Generator
) -> BlockBootstrap:
    """Resample blocks of neighbouring dates with all rows of each date: assets crash together.

    Circular blocks (Politis and Romano 1992). The mean of a resample is its sum over its number of rows, so dates
    with many assets weigh more, as they do in the estimate.

    Parameters
    ----------
    dates : ndarray of int, shape (n,)
        Of each row, in any order; one date may have many rows.
    values : ndarray of shape (n,)
        Hits for a pooled rate, score differences for a pooled comparison.
    block : int
        Dates in a block; cut to the number of dates.
    n_resamples : int
    generator : numpy.random.Generator

    Raises
    ------
    DataError
        No row, NaN or infinity, or another shape of dates.
    """
    rows = checked_series(values, field="values")
    days, inverse = np.unique(dates, return_inverse=True)
    if inverse.shape != rows.shape or block < 1:
        raise DataError("every row has a date", field="dates", value=np.shape(dates))
    n, length = days.size, min(block, days.size)
    n_blocks = math.ceil(n / length)

    def block_sums(per_date: Array) -> Array:
        """Sums (n,) of the blocks that start at each date, around the end."""
        running = np.concatenate(([0.0], np.cumsum(np.concatenate((per_date, per_date[: length - 1])))))
        sums: Array = running[length:] - running[:-length]
        return sums

    # Values centred first: sums of small differences would else carry the rounding of their level.
    estimate = float(rows.mean())
    totals = block_sums(np.bincount(inverse, rows - estimate).astype(np.float64))
    sizes = block_sums(np.bincount(inverse).astype(np.float64))
    starts = generator.integers(0, n, (n_resamples, n_blocks))
    centred = totals[starts].sum(axis=1) / sizes[starts].sum(axis=1)
    lower, upper = np.quantile(centred, [0.05, 0.95]) + estimate
    return BlockBootstrap(
        estimate=estimate,
        standard_error=float(centred.std(ddof=1)) if n_resamples > 1 else 0.0,
        lower=float(lower),
        upper=float(upper),
        p_negative=float((np.sum(centred <= estimate) + 1) / (n_resamples + 1)),
        n_rows=rows.size,
        n_dates=n,
        block=length,
    )
