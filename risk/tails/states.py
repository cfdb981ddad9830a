"""From a fit to what paths start from: posterior draws, a bound on persistence, and through-the-cycle variances."""

from __future__ import annotations

import numpy as np

from risk.market import FloatArray
from risk.volatility.constant import draw_constant
from risk.volatility.coordinates import FORMS
from risk.volatility.engine import filter_variances
from risk.volatility.exponential import fit_exponential
from risk.volatility.models import FitResult, ParameterPrior, VolatilityModel
from risk.volatility.plain import student_log_density
from risk.volatility.posterior import draw_posterior
from risk.volatility.prior import PooledPrior

LEVEL_BARS = 2000
"""Longest history that is simulated for the error of its level; a longer one has less by the root of its length."""
_REPLICAS, _BURN_IN = 20, 500
OWN_STATES = 100
"""Own variances and pooled ones in the starting states, as many of each."""
_NU_GRID = 2.05 + np.geomspace(0.02, 450.0, 400)


def posterior_draws(
    fit: FitResult,
    returns: FloatArray,
    *,
    prior: ParameterPrior | None,
    generator: np.random.Generator,
    n_draws: int,
) -> FloatArray:
    """Draws (n_draws, 7) of mu, omega, alpha, gamma, beta, nu and the next bar's variance.

    Of ewma_t only nu is uncertain: its draws come from the posterior on a grid, under a prior uniform in 1 / nu.
    """
    if fit.model is VolatilityModel.CONSTANT_T:
        return draw_constant(fit, returns, generator=generator, n_draws=n_draws)
    if fit.model is not VolatilityModel.EWMA_T:
        draws = draw_posterior(fit, returns, generator=generator, prior=prior, n_draws=n_draws)
        return np.column_stack([draws.parameters, draws.next_variances])
    height = np.array([float(np.sum(student_log_density(fit.residuals, nu))) for nu in _NU_GRID])
    # Grid points are equally spaced in log(nu - 2.05): the Jacobian turns that into uniform in 1 / nu.
    height += np.log(_NU_GRID - 2.05) - 2.0 * np.log(_NU_GRID)
    mass = np.cumsum(np.exp(height - height.max()))
    chosen = np.searchsorted(mass / mass[-1], generator.random(n_draws))
    out = np.tile([*fit.vector, fit.last_variance], (n_draws, 1))
    out[:, 5] = _NU_GRID[np.minimum(chosen, len(_NU_GRID) - 1)]
    return out


def exponential_draws(
    fit: FitResult, returns: FloatArray, draws: FloatArray, generator: np.random.Generator
) -> FloatArray:
    """Draws (n_draws, 7) of an ewma_t fit as `posterior_draws` gives them, with the variance uncertain as well.

    The decay, declared for paths, is drawn from its likelihood on a grid of half-lives from 3 to 150 bars. The variance
    is then a mean of squares with so few of them in effect, (1 + decay) / (1 - decay), that chance decides much of it:
    each draw has the error of a bootstrap of the fit's squared residuals under the same weights. Of true quantiles of
    GARCH-t4 90 % intervals then hold 98 %, wide as they are: with nu alone they held 3 %, with the decay 22 %.
    """
    decays = 0.5 ** (1.0 / np.geomspace(3.0, 150.0, 30))
    nu = fit.parameters["nu"]
    fits = [fit_exponential(returns, decay=float(decay), presample=fit.presample) for decay in decays]
    height = np.array([np.sum(student_log_density(each.residuals, nu) - 0.5 * np.log(each.variances)) for each in fits])
    mass = np.cumsum(np.exp(height - height.max()))
    chosen = np.minimum(np.searchsorted(mass / mass[-1], generator.random(len(draws))), len(decays) - 1)
    variances = np.array([each.last_variance for each in fits])
    out = draws.copy()
    out[:, 2], out[:, 4] = 1.0 - decays[chosen], decays[chosen]
    bars = min(len(returns), 600)
    weights = out[:, 2:3] * out[:, 4:5] ** np.arange(bars)
    squares = fit.residuals**2
    estimated = np.sum(weights * generator.choice(squares, size=weights.shape), axis=1)
    estimated /= weights.sum(axis=1) * squares.mean()
    out[:, 6] = variances[chosen] / estimated
    return out


def residuals_by_draw(fit: FitResult, returns: FloatArray, draws: FloatArray) -> FloatArray:
    """Standardised residuals (n_draws, n) of the same returns (n,) under the parameters of each draw (n_draws, 7).

    The draws of ewma_t share their weights, and so the fit's residuals.
    """
    if fit.model is VolatilityModel.EWMA_T:
        return np.tile(fit.residuals, (len(draws), 1))
    kind = fit.model if fit.model in FORMS else VolatilityModel.GARCH_T
    variances = np.array(
        [filter_variances(row[:6], returns, presample=fit.presample, model=kind)[:-1] for row in draws]
    )
    return np.asarray((returns - draws[:, :1]) / np.sqrt(variances))


def parameter_prior(prior: PooledPrior, kind: VolatilityModel, interval: int) -> ParameterPrior | None:
    """The vintage's prior for a model; None where the pool has none, and for bars of another length than the pool's."""
    if kind not in prior.means or interval != prior.bar_seconds:
        return None
    return prior.parameters(kind)


def persistence_bound(prior: PooledPrior, interval: int) -> float:
    """Largest persistence admitted a bar: the pool's longest half-life, in bars of `interval` seconds."""
    return float(0.5 ** (interval / (prior.half_life_bound_bars * prior.bar_seconds)))


def bound_persistence(
    draws: FloatArray, shocks: FloatArray, level: float, bound: float, *, driven: bool = False
) -> tuple[FloatArray, float]:
    """Shorten the memory of draws whose persistence exceeds a bound.

    Persistence is counted with the second moments of the shocks that paths are made of: alpha E[z^2] +
    gamma E[z^2; z < 0] + beta. What exceeds the bound is taken from beta (and, where beta has less, from alpha and
    gamma in proportion) and given to omega as its share of the long-run `level`, so that a shorter memory does not
    also mean a lower variance. Without that, ewma_t, which has no omega, would die out.

    Parameters
    ----------
    draws
        (n_draws, 7)
    shocks
        (n_shocks,) equally likely.
    level
        Variance to which what was taken reverts: the mean of the subject's filtered variances.
    bound
        In (0, 1].
    driven
        Whether squared shocks weigh as in the score-driven t (`risk.tails.horizon.score_driven`).

    Returns
    -------
    The bounded draws (n_draws, 7), and the share of draws that were changed.
    """
    out = draws.copy()
    squares, nu = shocks**2, out[:, 5:6]
    if driven:
        squares = squares * (nu + 1.0) / (nu - 2.0 + squares)
    second = np.mean(squares, axis=-1)
    falls = np.mean(np.where(shocks < 0.0, squares, 0.0), axis=-1)
    impact = out[:, 2] * second + out[:, 3] * falls
    excess = np.maximum(impact + out[:, 4] - bound, 0.0)
    from_beta = np.minimum(excess, out[:, 4])
    kept = 1.0 - np.divide(excess - from_beta, impact, out=np.zeros_like(impact), where=impact > 0.0)
    out[:, 4] -= from_beta
    out[:, 2] *= kept
    out[:, 3] *= kept
    out[:, 1] += excess * level
    return out, float(np.mean(excess > 0.0))


def starting_variances(variances: FloatArray, prior: PooledPrior) -> FloatArray:
    """Through-the-cycle variances (2 OWN_STATES,), ascending: half the subject's own, half the pool's.

    Own states are quantiles of the filtered variances, pooled ones quantiles of the pool's relative variances times
    the subject's mean variance. They stand in for the stationary law, which near a unit root says more about the
    estimate of persistence than about the market.
    """
    probability = (np.arange(OWN_STATES) + 0.5) / OWN_STATES
    own = np.quantile(variances, probability)
    relative = prior.log_relative_variances
    pooled = np.exp(np.interp(probability, np.linspace(0.0, 1.0, len(relative)), relative)) * variances.mean()
    return np.sort(np.concatenate([own, pooled]))


def level_draws(
    draws: FloatArray, shocks: FloatArray, n: int, generator: np.random.Generator, *, driven: bool = False
) -> FloatArray:
    """Factors (n_draws,) by which the true level of variance may differ from the one that a history of n bars shows.

    A parametric bootstrap under each draw: in a short history with a long memory and heavy tails the mean variance, the
    scale of the starting states, is far from that of another history as long. Without this the states from which slow
    paths start would be known for certain.

    Parameters
    ----------
    draws, shocks
        (n_draws, 7) and (n_draws, n_shocks) parameters and equally likely shocks of each draw.
    n
        Bars of the history.
    driven
        Of `bound_persistence`.
    """
    bars = min(n, LEVEL_BARS)
    omega, alpha, gamma, beta, nu = (draws[:, i, None] for i in (1, 2, 3, 4, 5))
    rows = np.arange(len(draws))[:, None]
    variance = np.tile(draws[:, 6, None], (1, _REPLICAS))
    total = np.zeros_like(variance)
    for bar in range(_BURN_IN + bars):
        z = shocks[rows, generator.integers(shocks.shape[1], size=variance.shape)]
        squares = z**2 * (nu + 1.0) / (nu - 2.0 + z**2) if driven else z**2
        variance = omega + ((alpha + gamma * (z < 0.0)) * squares + beta) * variance
        if bar >= _BURN_IN:
            total += variance
    mean = np.log(total / bars)
    error: FloatArray = (mean.mean(axis=1) - mean[:, 0]) * np.sqrt(bars / n * _REPLICAS / (_REPLICAS - 1.0))
    return np.exp(error)
