"""A predictive law with jumps: with small probabilities a bar moves by one of a few sizes more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from risk.errors import DataError, DefectError
from risk.volatility.laws import PredictiveLaw
from risk.volatility.models import Array, read_only

_HALVINGS = 60
"""Of the bracket around a quantile, a few log units at most: to rounding."""


@dataclass(frozen=True, slots=True)
class JumpLaw:
    """The law of Y + J: Y of the law without jumps, J independent of it.

    Attributes
    ----------
    calm : PredictiveLaw
        Of Y, for n bars; it forecasts whole laws.
    sizes, weights : ndarray of shape (n, k)
        Values of J for each bar, and their probabilities, which sum to one; no jump is a size of zero.
    """

    calm: PredictiveLaw
    sizes: Array
    weights: Array

    def __post_init__(self) -> None:
        if self.sizes.shape != self.weights.shape or not np.allclose(self.weights.sum(axis=1), 1.0):
            raise DataError("the probabilities of a jump's sizes sum to one", field="weights", value=self.sizes.shape)
        for name in ("sizes", "weights"):
            object.__setattr__(self, name, read_only(getattr(self, name)))

    def quantile(self, probability: float) -> Array:
        """Quantiles (n,), by bisection between those of the calm law moved by the outermost jumps."""
        calm = self.calm.quantile(probability)
        low: Array = calm + self.sizes.min(axis=1)
        high: Array = calm + self.sizes.max(axis=1)
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            below = self.transform(middle) < probability
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return high

    def shortfall(self, confidence: float, *, rise: bool) -> Array:
        """Mean log loss (n,) beyond the quantile at `confidence`."""
        if rise:
            halves = [self.calm.shortfall(0.5, rise=side) for side in (True, False)]
            whole = 0.5 * (halves[0] - halves[1]) + np.sum(self.weights * self.sizes, axis=1)
            mean: Array = whole - self.moment_below(self.quantile(confidence))
        else:
            mean = -self.moment_below(self.quantile(1.0 - confidence))
        beyond: Array = mean / (1.0 - confidence)
        return beyond

    def log_density(self, returns: Array) -> Array:
        """Log density (n,) of what came, in nats."""
        height: Array = np.log(self._mixed(returns, lambda y, _: np.exp(_whole(self.calm.log_density(y)))))
        return height

    def crps(self, returns: Array) -> None:
        """It is not scored."""

    def transform(self, returns: Array) -> Array:
        """Probability integral transforms (n,) of what came."""
        return self._mixed(returns, lambda y, _: _whole(self.calm.transform(y)))

    def moment_below(self, returns: Array) -> Array:
        """Integral (n,) of x f(x) up to `returns`."""
        return self._mixed(
            returns, lambda y, size: _whole(self.calm.moment_below(y)) + size * _whole(self.calm.transform(y))
        )

    def _mixed(self, returns: Array, part: Callable[[Array, Array], Array]) -> Array:
        """Sum over jumps of their weights times a part of Y, at the returns without the jump."""
        total = np.zeros(returns.shape)
        for size, weight in zip(self.sizes.T, self.weights.T, strict=True):
            total += weight * part(returns - size, size)
        return total


def _whole(values: Array | None) -> Array:
    if values is None:
        raise DefectError("jumps are added to forecasts of whole laws only")
    return values
