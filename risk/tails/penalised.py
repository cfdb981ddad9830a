"""Mode of the generalised Pareto likelihood under a Gaussian prior on the tail index, flat in log beta.

Levenberg's damped Newton steps on exact derivatives: a few sweeps over the excesses, so that every draw of a tail
is fitted again without a thought.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from risk.volatility.jit import compiled

_XI_SERIES = 1e-4  # nearer to zero the closed forms cancel, and their series stand in
_DECREMENT = 1e-14  # squared Newton step in standard errors: 1e-7 of one
_STEPS = 200


@compiled
def penalised_mode(
    z: NDArray[np.float64], xi: float, log_scale: float, prior_mean: float, prior_sd: float
) -> tuple[float, float, bool]:
    """Climb from a starting point to the mode.

    Parameters
    ----------
    z : ndarray of shape (n,)
        Positive excesses.
    xi, log_scale : float
        Starting point, inside the support: 1 + xi z / exp(log_scale) > 0.
    prior_mean, prior_sd : float

    Returns
    -------
    xi, log_scale : float
        The mode.
    converged : bool
        Whether the last step was shorter than 1e-7 standard errors; False where the likelihood has no regular mode.
    """
    damping = 1e-3
    height = _height(z, xi, log_scale, prior_mean, prior_sd)
    for _ in range(_STEPS):
        in_xi, in_scale, a, b, c = _slopes(z, xi, log_scale)
        in_xi -= (xi - prior_mean) / prior_sd**2
        a += prior_sd**-2
        taken = False
        while damping < 1e12:
            # Damping in proportion to the diagonal keeps the step free of the units of either axis.
            p, q = a + damping * (abs(a) + 1.0), c + damping * (abs(c) + 1.0)
            determinant = p * q - b * b
            if p > 0.0 and determinant > 0.0:
                step_xi = (q * in_xi - b * in_scale) / determinant
                step_scale = (p * in_scale - b * in_xi) / determinant
                if step_xi * in_xi + step_scale * in_scale < _DECREMENT:
                    return xi, log_scale, True
                new = _height(z, xi + step_xi, log_scale + step_scale, prior_mean, prior_sd)
                if new > height:
                    xi, log_scale, height = xi + step_xi, log_scale + step_scale, new
                    damping = max(damping * 0.1, 1e-12)
                    taken = True
                    break
            damping *= 10.0
        if not taken:
            return xi, log_scale, False
    return xi, log_scale, False


@compiled
def _height(z: NDArray[np.float64], xi: float, log_scale: float, prior_mean: float, prior_sd: float) -> float:
    """Log posterior up to a constant; minus infinity outside the support."""
    scale = math.exp(log_scale)
    total: float = -z.shape[0] * log_scale - 0.5 * ((xi - prior_mean) / prior_sd) ** 2
    for excess in z:
        w = excess / scale
        u = 1.0 + xi * w
        if u <= 0.0:
            return -math.inf
        total -= w * (1.0 + xi - 0.5 * xi * w) if abs(xi) < 1e-8 else (1.0 + 1.0 / xi) * math.log1p(xi * w)
    return total


@compiled
def _slopes(z: NDArray[np.float64], xi: float, log_scale: float) -> tuple[float, float, float, float, float]:
    """Slopes of the log-likelihood in xi and log beta, and minus its second derivatives: xi, mixed, log beta."""
    scale = math.exp(log_scale)
    in_xi, in_scale, second, mixed, third = 0.0, -float(z.shape[0]), 0.0, 0.0, 0.0
    for excess in z:
        w = excess / scale
        ratio = w / (1.0 + xi * w)
        if abs(xi) < _XI_SERIES:
            in_xi += w * w / 2.0 - w + xi * (w * w - 2.0 * w**3 / 3.0)
            second -= w * w - 2.0 * w**3 / 3.0 + xi * (1.5 * w**4 - 2.0 * w**3)
        else:
            log_u = math.log1p(xi * w)
            in_xi += log_u / xi**2 - (1.0 + 1.0 / xi) * ratio
            second -= -2.0 * log_u / xi**3 + 2.0 * ratio / xi**2 + (1.0 + 1.0 / xi) * ratio**2
        in_scale += (1.0 + xi) * ratio
        mixed -= ratio - (1.0 + xi) * ratio**2
        third += (1.0 + xi) * ratio * (1.0 - xi * ratio)
    return in_xi, in_scale, second, mixed, third
