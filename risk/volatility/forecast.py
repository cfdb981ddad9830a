"""One-step forecasts of any fitted model: the protocol that a race, a back-test or a report needs to know.

Every fit says how it ended (`status`, `n_starts`, `n_best_starts`) and whether it is `usable`. A density model
(`FitResult`, all of `VolatilityModel`) gives a `Forecast`; a quantile model (`QuantileFit`) one value at risk.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from risk.errors import RefusalError
from risk.volatility.coordinates import FORMS
from risk.volatility.engine import extend_variances
from risk.volatility.innovations import Innovations
from risk.volatility.models import Array, FitResult, FitStatus, VolatilityModel, read_only


class Fitted(Protocol):
    """What every fit says of itself."""

    @property
    def status(self) -> FitStatus:
        """How it ended."""

    @property
    def n_starts(self) -> int:
        """Starts tried."""

    @property
    def n_best_starts(self) -> int:
        """Starts that ended at the best optimum."""

    @property
    def usable(self) -> bool:
        """Whether there is something to forecast with."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Density of one log return: mean, variance and the law of the standardised innovation."""

    mean: float
    variance: float
    innovations: Innovations

    def log_density(self, value: float) -> float:
        """Log density of what came, in nats."""
        z = (value - self.mean) / math.sqrt(self.variance)
        return float(self.innovations.log_density(np.array(z))) - 0.5 * math.log(self.variance)

    def distribution(self, value: float) -> float:
        """Probability of a return up to `value`."""
        return float(self.innovations.distribution(np.array((value - self.mean) / math.sqrt(self.variance))))

    def value_at_risk(self, confidence: float) -> float:
        """Log loss of a holder exceeded with probability 1 - confidence; turn the sign of returns for a short."""
        return -self.mean - math.sqrt(self.variance) * float(self.innovations.quantile(1.0 - confidence))

    def expected_shortfall(self, confidence: float) -> float:
        """Mean log loss of a holder beyond `value_at_risk`."""
        return -self.mean + math.sqrt(self.variance) * self.innovations.shortfall(1.0 - confidence)

    def mirrored(self) -> Forecast:
        """Of minus the return: the short side's."""
        return Forecast(-self.mean, self.variance, self.innovations.mirrored())


def next_forecast(fit: FitResult) -> Forecast:
    """Forecast of the bar after the window.

    Raises
    ------
    RefusalError
        A fit without parameters.
    """
    if not fit.usable:
        raise RefusalError(f"a fit of {fit.model} with status {fit.status} forecasts nothing", field="fit")
    return Forecast(fit.parameters["mu"], fit.last_variance, innovations_of(fit))


def innovations_of(fit: FitResult) -> Innovations:
    """Law of the innovations of a usable fit."""
    return Innovations(fit.parameters["nu"], fit.skew)


def following_variances(fit: FitResult, returns: Array) -> Array:
    """One-step variances of the bars that follow the window of a usable fit, its parameters held.

    Parameters
    ----------
    fit : FitResult
        Of any model.
    returns : ndarray of shape (m,)
        Log returns that came in these bars; finite.

    Returns
    -------
    ndarray of shape (m + 1,)
        Read-only; the first is `fit.last_variance`, the last the forecast after all of `returns`.
    """
    plain = fit.model in (VolatilityModel.EWMA_T, VolatilityModel.CONSTANT_T)
    if fit.model in FORMS or plain:
        model = VolatilityModel.GARCH_T if plain else fit.model
        return read_only(extend_variances(fit.vector, fit.last_variance, returns, model=model))
    from risk.volatility.further import extend_further

    return extend_further(fit, returns)
