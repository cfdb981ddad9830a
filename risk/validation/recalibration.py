"""Forecast quantiles put right by what became of earlier ones.

Every loss over the value at risk that was forecast for it is known once its bar is over. The quantile of these ratios
at the same confidence is the factor by which the forecasts should have been larger; the next ones are, as far as
there are enough ratios to tell. Dawid (1984), "Present position and potential developments: some personal views,
statistical theory, the prequential approach"; Kuleshov, Fenner and Ermon (2018) recalibrate regressions so.
"""

from __future__ import annotations

import numpy as np

from risk.errors import DataError
from risk.validation.basis import Array

PRIOR_BARS = 1500.0
"""Ratios that weigh as much as the belief that forecasts are right.

The quantile that one loss in a hundred exceeds is known from n ratios to a relative error of about 2 / sqrt(n) for
Student-t losses of five degrees of freedom; forecasts of one asset are off by about 5 %: (2 / 0.05)^2.
"""


def recalibration_factors(losses: Array, var: Array, *, confidence: float, every: int) -> Array:
    """Factors on forecasts of value at risk, each from the bars before.

    Parameters
    ----------
    losses, var : ndarray of shape (n,)
        What came and what had been forecast, in the same unit. Bars without a positive forecast say nothing.
    confidence : float
        Of the forecasts, in (0.5, 1).
    every : int
        Bars between two factors, at least 1.

    Returns
    -------
    ndarray of shape (n,)
        The quantile q of the earlier ratios as q^w with w = m / (m + `PRIOR_BARS`) for m of them; one where there
        is none.

    Raises
    ------
    DataError
        Arrays of different shape, or a confidence or step out of range.
    """
    if losses.shape != var.shape or losses.ndim != 1:
        raise DataError("losses and forecasts are of the same bars", field="var", value=var.shape)
    if not 0.5 < confidence < 1.0 or every < 1:
        raise DataError("a confidence lies between 0.5 and 1, a step is one bar or more", value=(confidence, every))
    usable = var > 0.0
    ratio = np.divide(losses, var, out=np.zeros_like(losses), where=usable)
    factors = np.ones_like(losses)
    for begin in range(every, losses.size, every):
        known = ratio[:begin][usable[:begin]]
        if known.size and (quantile := float(np.quantile(known, confidence, method="hazen"))) > 0.0:
            factors[begin : begin + every] = quantile ** (known.size / (known.size + PRIOR_BARS))
    return factors
