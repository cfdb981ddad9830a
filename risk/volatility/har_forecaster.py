"""The HAR regression as an entrant of a race, for series with realised variances beside their returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from risk.errors import DataError, RefusalError
from risk.volatility.forecasters import Forecasts
from risk.volatility.har import LAGS, HarDensity, fit_har, har_density
from risk.volatility.laws import BlockLaw
from risk.volatility.models import Array, FitStatus, read_only


@dataclass(frozen=True, slots=True)
class HarForecaster:
    """Forecaster har of log realised variance with Student-t innovations.

    Attributes
    ----------
    variances : ndarray of shape (n,)
        Realised variance of every bar of the series that is raced, from its range or from shorter bars; positive.
    name : str
    """

    variances: Array
    name: str = "har"

    @property
    def n_parameters(self) -> int:
        """A constant, three weights, the scale of returns and nu."""
        return 6

    def forecast(self, returns: Array, refits: Sequence[int], *, window: int) -> Forecasts:
        """See `Forecaster.forecast`.

        Raises
        ------
        DataError
            Another number of variances than returns.
        RefusalError
            The first window cannot be fitted.
        """
        if self.variances.shape != returns.shape:
            raise DataError("a bar has one realised variance", field="variances", value=self.variances.shape)
        first = refits[0]
        sums = np.concatenate(([0.0], np.cumsum(np.log(self.variances))))
        h = np.empty(returns.size - first)
        laws, statuses = [], []
        last: HarDensity | None = None
        for origin, stop in zip(refits, (*refits[1:], returns.size), strict=True):
            past = slice(max(origin - window, 0), origin)
            found = fit_har(self.variances[past], logarithmic=True)
            statuses.append(found.status)
            if found.status is FitStatus.CONVERGED:
                last = har_density(found, returns[past])
            if last is None:
                raise RefusalError(f"har cannot be fitted on the first window ({found.status})", field="window")
            ends = np.arange(origin, stop)
            means = np.column_stack([np.ones(ends.size), *((sums[ends] - sums[ends - lag]) / lag for lag in LAGS)])
            level = np.exp(means @ last.har.coefficients + 0.5 * last.har.residual_variance)
            h[origin - first : stop - first] = last.scale * level
            laws.append(last.innovations)
        return Forecasts(
            law=BlockLaw(np.zeros_like(h), np.sqrt(h), tuple(origin - first for origin in refits), tuple(laws)),
            variances=read_only(h),
            statuses=tuple(statuses),
            n_carried=sum(1 for status in statuses if status is not FitStatus.CONVERGED),
        )
