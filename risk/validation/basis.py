"""What the statistical tests share: their result, and the check of what they are given.

Everything in `risk.validation` speaks of losses: positive is bad, `var` and `es` are positive losses forecast for the
same bar, an exception is a loss strictly beyond `var`. Pass returns with their sign turned for the long side.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from risk.errors import DataError

Array = NDArray[np.float64]
Hits = NDArray[np.bool_]


class StatisticalTest(NamedTuple):
    """A statistic with the probability of one as extreme or more under the null.

    Attributes
    ----------
    statistic, p_value : float
    degrees_of_freedom : int
        Of the chi-squared law; 0 where the law is another one.
    """

    statistic: float
    p_value: float
    degrees_of_freedom: int = 0


def checked_forecasts(*arrays: Array, confidence: float) -> tuple[Array, ...]:
    """Losses and forecasts as float64 series of one length.

    Raises
    ------
    DataError
        NaN, infinity, different shapes, or a confidence outside (0, 1).
    """
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


def checked_series(values: Array, *, field: str, minimum: int = 1) -> Array:
    """One finite float64 series of at least `minimum` entries.

    Raises
    ------
    DataError
        Another shape, too few entries, NaN or infinity; names the field.
    """
    series = np.asarray(values, dtype=np.float64)
    if series.ndim != 1 or series.size < minimum or not np.isfinite(series).all():
        raise DataError(f"a finite series of at least {minimum} is needed", field=field, value=f"shape {series.shape}")
    return series


def checked_probability(value: float, *, field: str = "probability") -> float:
    """A probability strictly between 0 and 1, or DataError."""
    if not 0.0 < value < 1.0:
        raise DataError("a probability lies between 0 and 1", field=field, value=value)
    return value
