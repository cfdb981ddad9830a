"""Beyond a day: the conditional simulation averaged with scaled unconditional history, and confidences of a life.

Over days a conditional model alone trusts its own persistence too much, and the square root of time on a one-step
quantile fails within a week; the mean of the two was best or safe at every horizon tried.
"""

from __future__ import annotations

import math

import numpy as np

from risk.errors import DataError
from risk.market import FloatArray


def scaled_history(returns: FloatArray, n_bars: int) -> FloatArray:
    """Log moves (n,) over `n_bars` from moves of one bar: deviations from the mean times the square root of time.

    The mean is left out, as in all slow figures: that of past returns is noise over weeks.

    Raises
    ------
    DataError
        No finite returns, or no bar.
    """
    sample = np.asarray(returns, dtype=np.float64)
    if sample.ndim != 1 or not sample.size or not np.isfinite(sample).all() or n_bars < 1:
        raise DataError("history is scaled from finite returns to one bar or more", field="returns", value=n_bars)
    moves: FloatArray = (sample - sample.mean()) * math.sqrt(n_bars)
    return moves


def life_confidence(breach_probability: float, *, life: int, horizon: int) -> float:
    """Confidence of one horizon at which a parameter that stands for `life` is breached with the given probability.

    (1 - p)^(h / life) for breaches of horizons that do not overlap and are independent; losses cluster, so that the
    true chance of *any* breach is lower and this confidence is on the safe side.

    Parameters
    ----------
    breach_probability
        Over the life, in (0, 1).
    life, horizon
        Seconds, horizon at most the life.

    Raises
    ------
    DataError
        Outside these ranges.
    """
    if not (0.0 < breach_probability < 1.0 and 0 < horizon <= life):
        raise DataError(
            "a breach probability lies in (0, 1) and a horizon in its life",
            field="breach_probability",
            value=(breach_probability, horizon, life),
        )
    return float((1.0 - breach_probability) ** (horizon / life))
