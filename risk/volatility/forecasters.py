"""What takes part in the race: forecasters, and the predictive law of every bar that they answer with.

A new model races when it has a `Forecaster` and a line in `FORECASTERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import numpy as np
from scipy.special import gammaln, stdtr, stdtrit

from risk.errors import DataError, RefusalError
from risk.validation.scores import crps_student, log_score_student
from risk.volatility.engine import refit_rolling
from risk.volatility.models import Array, FitResult, FitStatus, ParameterPrior, VolatilityModel, fit, read_only

Priors = Callable[[VolatilityModel, int], ParameterPrior | None]
"""From a model and the position of a refit to the prior known by then."""


class PredictiveLaw(Protocol):
    """Distributions of n bars, forecast one step ahead; log returns."""

    def quantile(self, probability: float) -> Array:
        """Quantiles of shape (n,)."""
        ...

    def shortfall(self, confidence: float, *, rise: bool) -> Array:
        """Mean loss (n,) beyond the quantile at `confidence`: of falls, or of rises; positive is bad."""
        ...

    def log_density(self, returns: Array) -> Array | None:
        """Log density (n,) of what came, in nats; None where the model forecasts quantiles only."""
        ...

    def crps(self, returns: Array) -> Array | None:
        """Continuous ranked probability score (n,); None as above."""
        ...

    def transform(self, returns: Array) -> Array | None:
        """Probability integral transforms (n,) of what came; None as above."""
        ...


@dataclass(frozen=True, slots=True)
class StudentLaw:
    """Student-t laws by location, deviation (of the law, not its scale) and degrees of freedom, each (n,)."""

    location: Array
    deviation: Array
    nu: Array

    def __post_init__(self) -> None:
        for name in ("location", "deviation", "nu"):
            object.__setattr__(self, name, read_only(getattr(self, name)))

    @property
    def scale(self) -> Array:
        """Scale (n,) of the standard t."""
        scale: Array = self.deviation * np.sqrt((self.nu - 2.0) / self.nu)
        return scale

    def quantile(self, probability: float) -> Array:
        """Quantiles of shape (n,)."""
        quantile: Array = self.location + self.deviation * student_quantile(self.nu, probability)
        return quantile

    def shortfall(self, confidence: float, *, rise: bool) -> Array:
        """Mean log loss (n,) beyond the quantile at `confidence`."""
        centre = self.location if rise else -self.location
        mean: Array = centre + self.deviation * student_shortfall(self.nu, confidence)
        return mean

    def log_density(self, returns: Array) -> Array:
        """Log density (n,) of what came, in nats."""
        return -log_score_student(returns, self.nu, self.location, self.scale)

    def crps(self, returns: Array) -> Array:
        """Continuous ranked probability score (n,)."""
        return crps_student(returns, self.nu, self.location, self.scale)

    def transform(self, returns: Array) -> Array:
        """Probability integral transforms (n,) of what came."""
        u: Array = stdtr(self.nu, (returns - self.location) / self.scale)
        return u


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
class RecursiveForecaster:
    """Forecaster of ewma_t, garch_t and gjr_t, which share one recursion of the variance."""

    model: VolatilityModel
    priors: Priors | None = None
    decay: float = 0.94

    @property
    def name(self) -> VolatilityModel:
        """The model."""
        return self.model

    @property
    def n_parameters(self) -> int:
        """Of ewma_t only the degrees of freedom are estimated; the mean, omega, alpha, gamma, beta, nu of gjr_t."""
        return {VolatilityModel.EWMA_T: 1, VolatilityModel.GARCH_T: 5, VolatilityModel.GJR_T: 6}[self.model]

    def forecast(self, returns: Array, refits: Sequence[int], *, window: int) -> Forecasts:
        """See `Forecaster.forecast`."""
        fits = self._fits(returns, refits, window)
        first = refits[0]
        if not fits[0].usable:
            raise RefusalError(
                f"{self.model} cannot be fitted on the first window ({fits[0].status})",
                field="window",
                value=first,
                remedy="use a longer window",
            )
        n = returns.size - first
        h, mu, nu = (np.empty(n) for _ in range(3))
        last, variance = fits[0], fits[0].last_variance
        for origin, stop, result in zip(refits, (*refits[1:], returns.size), fits, strict=True):
            if result.usable:
                last, variance = result, result.last_variance
            values = last.parameters
            block = slice(origin - first, stop - first)
            mu[block], nu[block] = values["mu"], values["nu"]
            for t in range(origin, stop):
                h[t - first] = variance
                e = returns[t] - values["mu"]
                impact = values["alpha"] + values["gamma"] * (e < 0.0)
                variance = values["omega"] + impact * e**2 + values["beta"] * variance
        return Forecasts(
            law=StudentLaw(mu, np.sqrt(h), nu),
            variances=read_only(h),
            statuses=tuple(result.status for result in fits),
            n_carried=sum(1 for result in fits if not result.usable),
        )

    def _fits(self, returns: Array, refits: Sequence[int], window: int) -> tuple[FitResult, ...]:
        if self.model is VolatilityModel.EWMA_T:
            return tuple(
                fit(self.model, returns[max(origin - window, 0) : origin], decay=self.decay) for origin in refits
            )
        prior = [None if self.priors is None else self.priors(self.model, origin) for origin in refits]
        n_growing = sum(1 for origin in refits if origin < window)
        growing = refit_rolling(self.model, returns, refits[:n_growing], prior=prior[:n_growing])
        return growing + refit_rolling(self.model, returns, refits[n_growing:], window=window, prior=prior[n_growing:])


FORECASTERS: Mapping[str, Callable[[VolatilityModel, Priors | None, float], Forecaster]] = MappingProxyType(
    dict.fromkeys((VolatilityModel.EWMA_T, VolatilityModel.GARCH_T, VolatilityModel.GJR_T), RecursiveForecaster)
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


def student_quantile(nu: Array, probability: float) -> Array:
    """Quantile of Student-t innovations scaled to unit variance, elementwise over `nu` (n,)."""
    quantile: Array = stdtrit(nu, probability) * np.sqrt((nu - 2.0) / nu)
    return quantile


def student_shortfall(nu: Array, confidence: float) -> Array:
    """Mean of Student-t innovations of unit variance beyond their quantile at `confidence`, over `nu` (n,).

    McNeil, Frey and Embrechts (2015), example 2.15.
    """
    quantile = stdtrit(nu, confidence)
    log_density = gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * np.log(np.pi * nu)
    density = np.exp(log_density - 0.5 * (nu + 1) * np.log1p(quantile**2 / nu))
    mean: Array = density / (1.0 - confidence) * (nu + quantile**2) / (nu - 1.0) * np.sqrt((nu - 2.0) / nu)
    return mean
