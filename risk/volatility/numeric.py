"""A search for likelihoods without an analytic score: screen many points, polish the best distinct ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from risk.volatility.models import Array
from risk.volatility.search import SAME_OPTIMUM

_STEP = 1e-5


class NumericOptimum(NamedTuple):
    """Where a search ended.

    `gradient_norm` is the largest entry of the gradient by central differences; `decrement` the value that the last
    restart of the simplex still gained. `agreed` of the `tried` polished starts ended within 1e-4 of the best.
    """

    x: Array
    value: float
    gradient_norm: float
    decrement: float
    converged: bool
    tried: int
    agreed: int


def minimise(
    objective: Callable[[Array], float], points: Array, *, n_polished: int = 3, tolerance: float = 1e-7
) -> NumericOptimum:
    """Minimise a function that is finite somewhere among `points` and may be infinite elsewhere.

    Each of the `n_polished` lowest points is polished by the simplex of Nelder and Mead (1965), started anew from
    where it ended until that gains less than `tolerance`, the usual cure for a simplex that has collapsed early.

    Parameters
    ----------
    objective : callable
        Of an array (k,).
    points : ndarray of shape (m, k)
    """
    from scipy.optimize import minimize

    heights = np.array([objective(point) for point in points])
    order = np.argsort(heights, kind="stable")[: min(n_polished, int(np.isfinite(heights).sum()))]
    options = {"xatol": 1e-8, "fatol": 1e-10, "maxiter": 4000, "maxfev": 4000, "adaptive": points.shape[1] > 4}
    ends: list[tuple[float, float, Array]] = []
    for index in order:
        x, value, gain = points[index], heights[index], np.inf
        for _ in range(12):
            if gain < tolerance:
                break
            found = minimize(lambda point: min(objective(point), 1e300), x, method="Nelder-Mead", options=options)
            x, value, gain = found.x, float(found.fun), float(value - found.fun)
        ends.append((value, gain, x))
    value, gain, x = min(ends, key=lambda end: end[0])
    gradient = np.empty(x.size)
    for i in range(x.size):
        step = np.zeros(x.size)
        step[i] = _STEP * max(abs(x[i]), 1.0)
        gradient[i] = (objective(x + step) - objective(x - step)) / (2.0 * step[i])
    return NumericOptimum(
        x=x,
        value=value,
        gradient_norm=float(np.max(np.abs(gradient))),
        decrement=gain,
        converged=bool(np.isfinite(value) and gain < tolerance),
        tried=len(ends),
        agreed=sum(1 for end in ends if end[0] - value < SAME_OPTIMUM),
    )
