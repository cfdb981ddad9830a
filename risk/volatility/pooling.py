"""Pool a panel of assets into a Gaussian prior on the parameters of a volatility model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from risk.errors import RefusalError
from risk.volatility.coordinates import SLOTS, UNCONSTRAINED_NAMES, hessian, problem, unconstrained
from risk.volatility.engine import fit_garch
from risk.volatility.models import (
    Array,
    FitResult,
    ParameterPrior,
    Presample,
    VolatilityModel,
    checked_returns,
    read_only,
)

MINIMUM_ASSETS = 8
_START = {"log_omega": -3.1, "logit_beta": 3.6, "log_nu": 0.5}  # other logits: alpha near .15
_TOLERANCE = 1e-3
_MAX_ROUNDS = 200
_PSEUDO_ASSETS = 2.0  # of unit spread: a small panel does not prove that assets are alike
_CURVATURE_FLOOR = 1e-3


@dataclass(frozen=True, slots=True)
class PooledParameters:
    """A cross-sectional prior and what it rests on.

    Attributes
    ----------
    prior : ParameterPrior
    covariance : ndarray of shape (k, k)
        Inverse of the prior's precision; read-only.
    fits : mapping of str to FitResult
        Fit of each asset under the pooled prior.
    n_rounds : int
        Rounds of the expectation-maximisation; at the limit of 200 it has not settled.
    """

    prior: ParameterPrior
    covariance: Array
    fits: Mapping[str, FitResult]
    n_rounds: int


def pool_parameters(
    model: VolatilityModel, panel: Mapping[str, Array], *, persistence_bound: float = 1.0
) -> PooledParameters:
    """Estimate mean and covariance of the unconstrained parameters over assets.

    Expectation-maximisation of the hierarchical model x_i ~ N(m, C) with each asset's likelihood taken as
    Gaussian around its penalised mode (Laplace): m is the mean of the modes, C the mean of their posterior
    covariances plus the covariance of the modes, with two pseudo-assets of unit spread. So the noise of short
    histories is not counted as a difference between assets, and an asset whose own optimum lies at a boundary
    does no harm.

    Parameters
    ----------
    model : VolatilityModel
        garch_t or gjr_t.
    panel : mapping of str to ndarray of shape (n_i,)
        Log returns per bar by asset; finite. The order does not matter.
    persistence_bound : float
        Upper bound of persistence in every fit.

    Raises
    ------
    RefusalError
        Fewer than 8 assets.
    """
    if len(panel) < MINIMUM_ASSETS:
        raise RefusalError(f"a pool needs {MINIMUM_ASSETS} assets", field="panel", value=len(panel))
    names = UNCONSTRAINED_NAMES[model]
    slots = np.array(SLOTS[model])
    own = list(range(1, slots.size + 1))  # places of the slots once mu stands in front
    mean = np.array([_START.get(name, 1.9 if model is VolatilityModel.GARCH_T else 1.2) for name in names])
    covariance = np.eye(slots.size)
    samples = {name: checked_returns(panel[name]) for name in sorted(panel)}
    fits: dict[str, FitResult] = {}
    n_rounds = 0
    change = np.inf
    while change > _TOLERANCE and n_rounds < _MAX_ROUNDS:
        n_rounds += 1
        prior = ParameterPrior(names, mean, read_only(np.linalg.inv(covariance)), persistence_bound)
        modes, spreads = [], []
        for name, sample in samples.items():
            fits[name] = fit_garch(model, sample, prior=prior)
            stated = problem(model, sample, prior=prior, presample=Presample.EWMA75)
            x = unconstrained(fits[name].vector, stated)
            active = np.concatenate(([0], slots))
            curvature = hessian(x, stated)[np.ix_(active, active)]
            modes.append(x[slots])
            spreads.append(np.linalg.inv(_positive(curvature))[np.ix_(own, own)])
        points = np.array(modes)
        new_mean = points.mean(axis=0)
        deviations = points - new_mean
        scatter = np.sum(spreads, axis=0) + deviations.T @ deviations + _PSEUDO_ASSETS * np.eye(slots.size)
        new_covariance = scatter / (len(points) + _PSEUDO_ASSETS)
        change = max(float(np.max(np.abs(new_mean - mean))), float(np.max(np.abs(new_covariance - covariance))))
        mean, covariance = new_mean, new_covariance
    prior = ParameterPrior(names, read_only(mean), read_only(np.linalg.inv(covariance)), persistence_bound)
    return PooledParameters(prior, read_only(covariance), fits, n_rounds)


def half_life_bound(pooled: PooledParameters, probability: float = 0.9) -> float:
    """Half-life of a variance shock, in bars, that only the most persistent assets of a pool exceed.

    The given quantile of the pooled fits, but at most half the median history: a longer half-life is a trend
    of the sample, not something it can show.
    """
    half_lives = [fit.half_life_bars for fit in pooled.fits.values()]
    histories = [fit.n_observations for fit in pooled.fits.values()]
    return float(min(np.quantile(half_lives, probability), 0.5 * np.median(histories)))


def _positive(matrix: Array) -> Array:
    """Symmetric matrix with its eigenvalues lifted above zero."""
    values, vectors = np.linalg.eigh(0.5 * (matrix + matrix.T))
    lifted: Array = (vectors * np.maximum(values, _CURVATURE_FLOOR)) @ vectors.T
    return lifted
