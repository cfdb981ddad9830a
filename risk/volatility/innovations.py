"""The law of standardised innovations for forecasts: density, distribution, quantile and expected shortfall.

Hansen's (1994, International Economic Review 35) skewed t of mean 0 and variance 1, of which lambda = 0 is the
Student-t of unit variance and nu = inf the normal law.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, ndtr, ndtri, stdtr, stdtrit

from risk.errors import DataError
from risk.volatility.models import Array

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)
_NODES, _WEIGHTS = 0.5 * (_NODES + 1.0), 0.5 * _WEIGHTS


@dataclass(frozen=True, slots=True)
class Innovations:
    """A law of innovations.

    Attributes
    ----------
    nu : float
        Degrees of freedom above 2; inf for the normal law, which has no skew here.
    skew : float
        Hansen's lambda in (-1, 1), negative for a heavier lower tail.
    """

    nu: float
    skew: float = 0.0

    def __post_init__(self) -> None:
        if not self.nu > 2.0 or not -1.0 < self.skew < 1.0 or (math.isinf(self.nu) and self.skew != 0.0):
            raise DataError(
                "innovations need nu above 2 and lambda inside (-1, 1), the normal law no lambda",
                field="innovations",
                value=(self.nu, self.skew),
            )

    def log_density(self, z: Array) -> Array:
        """Log density at `z`, any shape; NaN passes through."""
        if math.isinf(self.nu):
            normal: Array = -0.5 * (math.log(2.0 * math.pi) + z**2)
            return normal
        _, b = self._moments
        q, _ = self._sided(z)
        density: Array = self._log_constant + math.log(b) - 0.5 * (self.nu + 1.0) * np.log1p(q**2 / (self.nu - 2.0))
        return density

    def log_density_slope(self, z: Array) -> Array:
        """Derivative of `log_density` in `z`; at the kink of a skewed law that of the right side."""
        if math.isinf(self.nu):
            return -z
        _, b = self._moments
        q, side = self._sided(z)
        slope: Array = -(self.nu + 1.0) * q / (self.nu - 2.0 + q**2) * b / side
        return slope

    def distribution(self, z: Array) -> Array:
        """P(Z <= z), any shape."""
        if math.isinf(self.nu):
            normal: Array = ndtr(z)
            return normal
        q, side = self._sided(np.asarray(z, dtype=np.float64))
        mass = stdtr(self.nu, q * math.sqrt(self.nu / (self.nu - 2.0)))
        probability: Array = 0.5 * (1.0 - self.skew) + side * (mass - 0.5)
        return probability

    def quantile(self, probability: Array | float) -> Array:
        """Inverse of `distribution`, any shape."""
        p = np.asarray(probability, dtype=np.float64)
        if math.isinf(self.nu):
            normal: Array = ndtri(p)
            return normal
        a, b = self._moments
        half = 0.5 * (1.0 - self.skew)
        below = p < half
        side = np.where(below, 1.0 - self.skew, 1.0 + self.skew)
        mass = np.where(below, p / (1.0 - self.skew), 0.5 + (p - half) / (1.0 + self.skew))
        quantile: Array = (side * math.sqrt((self.nu - 2.0) / self.nu) * stdtrit(self.nu, mass) - a) / b
        return quantile

    def shortfall(self, probability: float) -> float:
        """Mean of -Z below the quantile at `probability`, in (0, 1); of the upper tail, mirror the law.

        From the integral of x f(x) of the t density, which is -(nu + x^2) f(x) / (nu - 1).
        """
        return -float(self.moment_below(self.quantile(probability))) / probability

    def crps(self, z: Array) -> Array:
        """Continuous ranked probability score of this law for outcomes `z` (n,), in units of the deviation.

        E|Z - z| - E|Z - Z'| / 2 (Gneiting and Raftery 2007, equation 21), the second term by quadrature of
        quantiles, whose nodes crowd at both ends.
        """
        outside = 0.5 * _NODES**4
        both = self.quantile(outside) + self.mirrored().quantile(outside)
        spread = -float(np.sum(_WEIGHTS * 2.0 * _NODES**3 * (1.0 - 2.0 * outside) * both))
        score: Array = z * (2.0 * self.distribution(z) - 1.0) - 2.0 * self.moment_below(z) - spread
        return score

    def mirrored(self) -> Innovations:
        """The law of -Z."""
        return Innovations(self.nu, -self.skew)

    def moment_below(self, z: Array) -> Array:
        """Integral of x f(x) up to `z`, any shape."""
        if math.isinf(self.nu):
            normal: Array = -np.exp(-0.5 * z**2) / math.sqrt(2.0 * math.pi)
            return normal
        a, b = self._moments
        q, side = self._sided(z)

        def partial(level: Array) -> Array:
            """Integral of q f(q) up to a level, f the t density of unit variance."""
            density = np.exp(self._log_constant - 0.5 * (self.nu + 1.0) * np.log1p(level**2 / (self.nu - 2.0)))
            integral: Array = -density * (self.nu - 2.0 + level**2) / (self.nu - 1.0)
            return integral

        # In q = (b z + a) / side the law has density side * f(q) on each side of zero.
        at_zero = partial(np.zeros(()))
        above = (1.0 - self.skew) ** 2 * at_zero + side**2 * (partial(q) - at_zero)
        moment = np.where(q < 0.0, side**2 * partial(q), above)
        below: Array = (moment - a * self.distribution(z)) / b
        return below

    @property
    def _log_constant(self) -> float:
        nu = self.nu
        return float(gammaln(0.5 * (nu + 1.0)) - gammaln(0.5 * nu) - 0.5 * math.log(math.pi * (nu - 2.0)))

    @property
    def _moments(self) -> tuple[float, float]:
        """Hansen's a and b."""
        a = 4.0 * self.skew * math.exp(self._log_constant) * (self.nu - 2.0) / (self.nu - 1.0)
        return a, math.sqrt(1.0 + 3.0 * self.skew**2 - a * a)

    def _sided(self, z: Array) -> tuple[Array, Array]:
        """(b z + a) over 1 - lambda below its zero and 1 + lambda above, and that divisor."""
        a, b = self._moments
        moved = b * z + a
        side = np.where(moved < 0.0, 1.0 - self.skew, 1.0 + self.skew)
        return moved / side, side
