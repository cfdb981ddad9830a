"""What takes part in the race: forecasters, and the predictive law of every bar that they answer with.

A new model races when it has a `Forecaster` and a line in `FORECASTERS`. Laws are in `risk.volatility.laws`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import numpy as np

from risk.errors import DataError, RefusalError
from risk.volatility.coordinates import FORMS
from risk.volatility.engine import refit_rolling
from risk.volatility.forecast import following_variances, innovations_of
from risk.volatility.laws import BlockLaw, PredictiveLaw, StudentLaw
from risk.volatility.models import (
    Array,
    FitResult,
    FitStatus,
    ParameterPrior,
    VolatilityModel,
    fit,
    read_only,
)

Priors = Callable[[VolatilityModel, int], ParameterPrior | None]
"""From a model and the position of a refit to the prior known by then."""


@dataclass(frozen=True, slots=True)
class Forecasts:
    """One-step forecasts of every bar from the first refit on.

    Attributes
    ----------
    law : PredictiveLaw
        Of the n bars.
    variances : ndarray of shape (n,)
        Of log returns.
    statuses : tuple of FitStatus
        How each refit ended.
    n_carried : int
        Refits that gave no parameters; the last usable ones stayed in force.
    """

    law: PredictiveLaw
    variances: Array
    statuses: tuple[FitStatus, ...]
    n_carried: int


class Forecaster(Protocol):
    """A model that can race.

    Attributes
    ----------
    name : str
        Unique in a race; that of its `VolatilityModel` where it has one.
    n_parameters : int
        Estimated from each window: the order from simple to less so, which decides ties.
    """

    @property
    def name(self) -> str:
        """Unique in a race."""
        ...

    @property
    def n_parameters(self) -> int:
        """Number of parameters estimated from a window."""
        ...

    def forecast(self, returns: Array, refits: Sequence[int], *, window: int) -> Forecasts:
        """Forecast the bars from refits[0] on one step ahead.

        Parameters are those of the `window` bars before each refit, or of all where there are fewer; the state may
        use every bar before the one that is forecast, and nothing from it on.

        Raises
        ------
        RefusalError
            The first window cannot be fitted.
        """
        ...


@dataclass(frozen=True, slots=True)
class FittedForecaster:
    """Forecaster of a model that `fit` knows: the variances that follow its last usable fit."""

    model: VolatilityModel
    priors: Priors | None = None
    decay: float = 0.94

    @property
    def name(self) -> VolatilityModel:
        """The model."""
        return self.model

    @property
    def n_parameters(self) -> int:
        """Number of parameters estimated from a window."""
        return N_PARAMETERS[self.model]

    def forecast(self, returns: Array, refits: Sequence[int], *, window: int) -> Forecasts:
        """See `Forecaster.forecast`."""
        fits = window_fits(self.model, returns, refits, window, priors=self.priors, decay=self.decay)
        first = refits[0]
        h, mu, nu = (np.empty(returns.size - first) for _ in range(3))
        laws = []
        last, began = fits[0], first
        for origin, stop, result in zip(refits, (*refits[1:], returns.size), fits, strict=True):
            if result.usable:
                last, began = result, origin
            block = slice(origin - first, stop - first)
            h[block] = following_variances(last, returns[began : stop - 1])[origin - began :]
            mu[block], nu[block] = last.parameters["mu"], last.parameters["nu"]
            laws.append(innovations_of(last))
        starts, scale = tuple(origin - first for origin in refits), np.sqrt(h)
        skewed = any(law.skew != 0.0 for law in laws)
        return Forecasts(
            law=BlockLaw(mu, scale, starts, tuple(laws)) if skewed else StudentLaw(mu, scale, nu),
            variances=read_only(h),
            statuses=tuple(result.status for result in fits),
            n_carried=sum(1 for result in fits if not result.usable),
        )


def window_fits(
    model: VolatilityModel,
    returns: Array,
    refits: Sequence[int],
    window: int,
    *,
    priors: Priors | None,
    decay: float,
) -> tuple[FitResult, ...]:
    """Fits of the windows before each refit; the first one is usable."""
    if model not in FORMS:
        fits = tuple(fit(model, returns[max(origin - window, 0) : origin], decay=decay) for origin in refits)
    else:
        prior = [None if priors is None else priors(model, origin) for origin in refits]
        n_growing = sum(1 for origin in refits if origin < window)
        growing = refit_rolling(model, returns, refits[:n_growing], prior=prior[:n_growing])
        fits = growing + refit_rolling(model, returns, refits[n_growing:], window=window, prior=prior[n_growing:])
    if not fits[0].usable:
        raise RefusalError(
            f"{model} cannot be fitted on the first window ({fits[0].status})",
            field="window",
            value=refits[0],
            remedy="use a longer window",
        )
    return fits


N_PARAMETERS: Mapping[VolatilityModel, int] = MappingProxyType(
    {
        VolatilityModel.EWMA_T: 1,
        VolatilityModel.CONSTANT_T: 3,
        VolatilityModel.GARCH_T: 5,
        VolatilityModel.SCORE_T: 5,
        VolatilityModel.GJR_T: 6,
        VolatilityModel.GARCH_SKEWT: 6,
        VolatilityModel.EGARCH_T: 6,
        VolatilityModel.GJR_SKEWT: 7,
        VolatilityModel.COMPONENT_T: 7,
    }
)
"""Parameters estimated from a window, mu and nu among them; of ewma_t only nu is."""

DRIVES_PATHS = frozenset(
    {
        VolatilityModel.EWMA_T,
        VolatilityModel.CONSTANT_T,
        VolatilityModel.GARCH_T,
        VolatilityModel.GJR_T,
        VolatilityModel.GARCH_SKEWT,
        VolatilityModel.GJR_SKEWT,
        VolatilityModel.SCORE_T,
    }
)
"""Models that paths are made with. The others race and are shown: there are no posterior draws of egarch_t and
component_t, and paths without parameter uncertainty would have bands that are too narrow."""

FORECASTERS: Mapping[str, Callable[[VolatilityModel, Priors | None, float], Forecaster]] = MappingProxyType(
    dict.fromkeys(N_PARAMETERS, FittedForecaster)
)
"""How the forecaster of a model is made, from the model, the priors and the decay of ewma_t."""


def forecaster(
    model: VolatilityModel | str | Forecaster, *, priors: Priors | None = None, decay: float = 0.94
) -> Forecaster:
    """The forecaster of a model; one that is a forecaster already is returned as it is.

    Raises
    ------
    DataError
        A model that has none.
    """
    if not isinstance(model, str):
        return model
    if model not in FORECASTERS:
        raise DataError("no such model can race", field="models", value=model, remedy=f"Of {', '.join(FORECASTERS)}")
    return FORECASTERS[model](VolatilityModel(model), priors, decay)
