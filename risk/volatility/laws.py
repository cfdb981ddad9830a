"""Predictive laws of bars that a race scores: Student-t bar by bar, and any law of innovations block by block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import gammaln, stdtr, stdtrit

from risk.validation.scores import crps_student, log_score_student
from risk.volatility.innovations import Innovations
from risk.volatility.models import Array, read_only


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

    def moment_below(self, returns: Array) -> Array | None:
        """Integral (n,) of x f(x) up to `returns`; None as above."""
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

    def moment_below(self, returns: Array) -> Array:
        """Integral (n,) of x f(x) up to `returns`: of the standard t it is -(nu + t^2) f(t) / (nu - 1)."""
        t = (returns - self.location) / self.scale
        density = np.exp(self.log_density(returns)) * self.scale
        standard = (self.nu + t**2) / (self.nu - 1.0) * density
        moment: Array = self.location * self.transform(returns) - self.scale * standard
        return moment


@dataclass(frozen=True, slots=True)
class BlockLaw:
    """Laws that keep one law of innovations from a refit to the next.

    Attributes
    ----------
    location, deviation : ndarray of shape (n,)
    starts : tuple of int
        First bar of each block, ascending from 0.
    innovations : tuple of Innovations
        One a block.
    """

    location: Array
    deviation: Array
    starts: tuple[int, ...]
    innovations: tuple[Innovations, ...]

    def __post_init__(self) -> None:
        for name in ("location", "deviation"):
            object.__setattr__(self, name, read_only(getattr(self, name)))

    def quantile(self, probability: float) -> Array:
        """Quantiles of shape (n,)."""
        z = self._repeated([float(law.quantile(probability)) for law in self.innovations])
        quantile: Array = self.location + self.deviation * z
        return quantile

    def shortfall(self, confidence: float, *, rise: bool) -> Array:
        """Mean log loss (n,) beyond the quantile at `confidence`."""
        laws = [law.mirrored() if rise else law for law in self.innovations]
        centre = self.location if rise else -self.location
        mean: Array = centre + self.deviation * self._repeated([law.shortfall(1.0 - confidence) for law in laws])
        return mean

    def log_density(self, returns: Array) -> Array:
        """Log density (n,) of what came, in nats."""
        height: Array = self._each(returns, lambda law, z: law.log_density(z)) - np.log(self.deviation)
        return height

    def crps(self, returns: Array) -> Array:
        """Continuous ranked probability score (n,)."""
        score: Array = self.deviation * self._each(returns, lambda law, z: law.crps(z))
        return score

    def transform(self, returns: Array) -> Array:
        """Probability integral transforms (n,) of what came."""
        return self._each(returns, lambda law, z: law.distribution(z))

    def moment_below(self, returns: Array) -> Array:
        """Integral (n,) of x f(x) up to `returns`."""
        standard = self._each(returns, lambda law, z: law.moment_below(z))
        moment: Array = self.location * self.transform(returns) + self.deviation * standard
        return moment

    def _repeated(self, values: list[float]) -> Array:
        repeated: Array = np.repeat(values, np.diff((*self.starts, self.location.size)))
        return repeated

    def _each(self, returns: Array, function: Callable[[Innovations, Array], Array]) -> Array:
        z = (returns - self.location) / self.deviation
        blocks = np.split(z, self.starts[1:])
        return np.concatenate([function(law, block) for law, block in zip(self.innovations, blocks, strict=True)])


@dataclass(frozen=True, slots=True)
class ScaledLaw:
    """A law of returns over known factors (n,), positive, multiplied back."""

    flat: PredictiveLaw
    factors: Array

    def quantile(self, probability: float) -> Array:
        """Quantiles of shape (n,)."""
        quantile: Array = self.factors * self.flat.quantile(probability)
        return quantile

    def shortfall(self, confidence: float, *, rise: bool) -> Array:
        """Mean log loss (n,) beyond the quantile at `confidence`."""
        mean: Array = self.factors * self.flat.shortfall(confidence, rise=rise)
        return mean

    def log_density(self, returns: Array) -> Array | None:
        """Log density (n,) of what came, in nats."""
        height = self.flat.log_density(returns / self.factors)
        return None if height is None else height - np.log(self.factors)

    def crps(self, returns: Array) -> Array | None:
        """Continuous ranked probability score (n,)."""
        score = self.flat.crps(returns / self.factors)
        return None if score is None else score * self.factors

    def transform(self, returns: Array) -> Array | None:
        """Probability integral transforms (n,) of what came."""
        return self.flat.transform(returns / self.factors)

    def moment_below(self, returns: Array) -> Array | None:
        """Integral (n,) of x f(x) up to `returns`."""
        moment = self.flat.moment_below(returns / self.factors)
        return None if moment is None else self.factors * moment


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
