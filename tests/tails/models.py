"""Path models with known truth."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from risk.calibration import SubjectModel
from risk.tails.shocks import shock_probabilities

Array = NDArray[np.float64]
DAY = 86_400


def student_shocks(nu: float, count: int = 5000) -> Array:
    """Quantiles of unit-variance Student-t shocks; normal when nu is infinite."""
    from scipy.special import ndtri

    if np.isinf(nu):
        return np.asarray(ndtri(shock_probabilities(count)))
    return np.asarray(stdtrit(nu, shock_probabilities(count)) * np.sqrt((nu - 2) / nu))


def known_model(**changes: Any) -> SubjectModel:
    """Five equal draws of GARCH(1,1)-t5 with a daily volatility of 4 %, whatever is not given in `changes`."""
    variance = 0.04**2
    n = 400
    parts: dict[str, Any] = {
        "subject": "ETH", "collateral": "ETH", "debt": "USD", "interval": DAY, "model": "garch_t",
        "observed_at": DAY * np.arange(1, n + 1),
        "returns": 0.04 * student_shocks(5.0, n), "variances": np.full(n, variance),
        "residuals": student_shocks(5.0, n),
        "draws": np.tile([0.0, 0.02 * variance, 0.08, 0.0, 0.90, 5.0, variance], (5, 1)),
        "starting_variance": np.full(10, variance), "shocks": student_shocks(5.0),
        "jump_intensity": np.empty(0), "jump_sizes": np.empty(0), "prior": "none", "status": "ok",
    }  # fmt: skip
    return SubjectModel(**{**parts, **changes})


def constant_variance(volatility: float, n_draws: int = 5) -> Array:
    """Draws (n_draws, 7) whose variance does not move."""
    return np.tile([0.0, volatility**2, 0.0, 0.0, 0.0, 5.0, volatility**2], (n_draws, 1))
