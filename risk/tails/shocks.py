"""The shock distribution of a subject: its own standardised residuals with generalised Pareto tails.

Between its two thresholds the distribution is that of the sample; beyond them the tails of McNeil and Frey
(2000, section 2.2) stand. It is kept as a quantile function of fixed length at equally spaced probabilities,
so that a shock is drawn by one look-up.

Shocks are *not* rescaled to unit variance: a forecast whose variance is a little wrong is put right by the
quantiles of its own residuals. The second moment is therefore part of the persistence that paths really have;
`risk.tails.subject` counts it when it bounds persistence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from risk.market import FloatArray, IntArray, frozen
from risk.tails.extreme_value import TailFit, TailPrior, TailStatus, fit_tail, tail_draws
from risk.volatility.prior import PooledPrior

SHOCK_COUNT = 5000
"""Length of the quantile function: its outermost probabilities are 0.01 % and 99.99 %."""
XI_BOUND = 0.9
"""Largest tail index used; from 1 on a shock would have no mean."""
POOL_OBSERVATIONS = 100.0
"""The pooled residual quantiles weigh as much as so many own residuals."""


def shock_probabilities(count: int = SHOCK_COUNT) -> FloatArray:
    """Probabilities (count,) of the quantiles in `SubjectModel.shocks`: (i + 1/2) / count."""
    return (np.arange(count) + 0.5) / count


def draw_nodes() -> IntArray:
    """Positions in a quantile function of `SHOCK_COUNT` at which draws of it are kept: all of both tails' 2 %."""
    tail = SHOCK_COUNT // 50
    return np.concatenate(
        [np.arange(tail), np.arange(tail, SHOCK_COUNT - tail, 25), np.arange(SHOCK_COUNT - tail, SHOCK_COUNT)]
    )


@dataclass(frozen=True, slots=True)
class ShockDistribution:
    """Fitted shocks of one subject.

    Attributes
    ----------
    residuals
        (n,) standardised residuals, ascending.
    lower, upper
        Tails of minus the residuals and of the residuals.
    pooled
        (SHOCK_COUNT,) quantiles of the pooled residuals, or None for own residuals alone.
    pool_weight
        Weight of the pooled quantiles, in [0, 1).
    status
        ``ok`` or, separated by commas, what weakens it: ``short_tail`` (fewer tail residuals than usual),
        ``tail_index_truncated``.
    """

    residuals: FloatArray
    lower: TailFit
    upper: TailFit
    pooled: FloatArray | None
    pool_weight: float
    status: str

    def quantiles(self) -> FloatArray:
        """The quantile function (SHOCK_COUNT,), non-decreasing.

        Its first and last entry are the means of their outermost cells instead of quantiles, so that the
        expected shortfall is not cut with the tail.
        """
        own = _quantile_function(self.residuals, self.lower, self.upper)
        return frozen(self._with_pool(own))

    def draws(self, generator: np.random.Generator, residuals: FloatArray) -> FloatArray:
        """Quantile functions (n_draws, SHOCK_COUNT) under parameter uncertainty.

        The body is a bootstrap of each draw's own residuals (they are close to independent): a draw that forecasts
        less variance has larger residuals, so that the two errors offset each other as they do in the data. Each
        tail is a parametric bootstrap in the scale of the draw's residuals, in which the pooled mean of the tail
        index is drawn anew, for a bootstrap under a fixed prior would hold the noise of the sample only.

        Parameters
        ----------
        residuals
            (n_draws, n) standardised residuals of the same bars under the parameters of each draw.
        """
        n_draws, n = residuals.shape
        scale = residuals.std(axis=1) / self.residuals.std()
        lower, upper = (_tails_redrawn(tail, generator, scale) for tail in (self.lower, self.upper))
        out = np.empty((n_draws, SHOCK_COUNT))
        for index in range(n_draws):
            sample = np.sort(residuals[index, generator.integers(n, size=n)])
            out[index] = self._with_pool(_quantile_function(sample, lower[index], upper[index]))
        return frozen(out)

    def _with_pool(self, own: FloatArray) -> FloatArray:
        if self.pooled is None:
            return own
        return (1.0 - self.pool_weight) * own + self.pool_weight * self.pooled


def fit_shocks(residuals: FloatArray, *, prior: PooledPrior | None = None) -> ShockDistribution:
    """Fit the shock distribution of a series of standardised residuals.

    Parameters
    ----------
    residuals
        (n,) finite.
    prior
        Shrinks both tail indices to the pool's, and blends the pool's quantiles in with the weight of
        `POOL_OBSERVATIONS` against n: a short history leans on the pool, a long one hardly.

    Raises
    ------
    DataError
        Residuals that are not one finite series.
    RefusalError
        Tails of fewer than ten different residuals.
    """
    tails = []
    notes: list[str] = []
    for losses, pool in (
        (-np.asarray(residuals), None if prior is None else prior.lower_tail_index),
        (np.asarray(residuals), None if prior is None else prior.upper_tail_index),
    ):
        tail = fit_tail(losses, prior=None if pool is None else TailPrior(pool.mean, pool.sd))
        if tail.xi > XI_BOUND:
            notes.append("tail_index_truncated")
        if tail.status is not TailStatus.LIKELIHOOD:
            notes.append("short_tail")
        tails.append(replace(tail, xi=min(tail.xi, XI_BOUND)))
    return ShockDistribution(
        residuals=frozen(np.sort(residuals)),
        lower=tails[0],
        upper=tails[1],
        pooled=None if prior is None else frozen(pooled_quantiles(prior)),
        pool_weight=0.0 if prior is None else POOL_OBSERVATIONS / (POOL_OBSERVATIONS + len(residuals)),
        status=", ".join(dict.fromkeys(notes)) or "ok",
    )


def pooled_quantiles(prior: PooledPrior) -> FloatArray:
    """Quantiles (SHOCK_COUNT,) of the pooled residuals; beyond the vintage's own the pooled tails go on.

    The continuation is generalised Pareto with the pooled tail index, through the vintage's outermost quantile
    and the one at ten times its probability.
    """
    known, values = prior.residual_probabilities, prior.residual_quantiles
    probability = shock_probabilities()
    out = np.interp(probability, known, values)
    for sign, index in ((-1.0, prior.lower_tail_index.mean), (1.0, prior.upper_tail_index.mean)):
        edge = known[0] if sign < 0 else 1.0 - known[-1]
        outer, inner = sign * np.interp([edge, 10.0 * edge] if sign < 0 else [1 - edge, 1 - 10 * edge], known, values)
        shape = _usable(index)
        scale = (outer - inner) * shape / np.expm1(shape * np.log(10.0))
        tail = probability if sign < 0 else 1.0 - probability
        beyond = tail < edge
        out[beyond] = sign * _excess_quantile(tail[beyond] / (10.0 * edge), inner, shape, scale)
    return out


def _quantile_function(ordered: FloatArray, lower: TailFit, upper: TailFit) -> FloatArray:
    """Quantiles of an ascending sample with each tail's index and scale beyond its own order statistic."""
    n = len(ordered)
    probability = shock_probabilities()
    out = np.interp(probability, (np.arange(n) + 0.5) / n, ordered)
    for sign, tail in ((-1.0, lower), (1.0, upper)):
        k = tail.n_exceedances
        threshold = float(sign * (ordered[k] if sign < 0 else ordered[n - 1 - k]))
        beyond = (probability if sign < 0 else 1.0 - probability) * n / k
        inside = beyond < 1.0
        out[inside] = sign * _excess_quantile(beyond[inside], threshold, _usable(tail.xi), tail.beta)
    # The sample's own quantile beside a threshold may lie a hair beyond the tail's first.
    return np.maximum.accumulate(out)


def _excess_quantile(share: FloatArray, threshold: float, xi: float, beta: float) -> FloatArray:
    """Losses exceeded by `share` of those beyond the threshold; the smallest share gets the mean of its cell."""
    quantile: FloatArray = threshold + beta * np.expm1(-xi * np.log(share)) / xi
    outermost = int(np.argmin(share))
    cell = 2.0 * share[outermost]
    edge = threshold + beta * np.expm1(-xi * np.log(cell)) / xi
    quantile[outermost] = (edge + beta - xi * threshold) / (1.0 - xi)
    return quantile


def _usable(xi: float) -> float:
    """A tail index at most `XI_BOUND`, and off zero, where the formulas are only defined as a limit."""
    bounded = min(xi, XI_BOUND)
    return bounded if abs(bounded) > 1e-6 else 1e-6


def _tails_redrawn(tail: TailFit, generator: np.random.Generator, scale: FloatArray) -> list[TailFit]:
    redrawn = []
    for factor in scale:
        prior = tail.prior
        if prior is not None:
            prior = TailPrior(prior.mean + prior.sd * float(generator.standard_normal()), prior.sd)
        xi, beta, _ = tail_draws(replace(tail, prior=prior), generator, 1)[0]
        redrawn.append(replace(tail, xi=float(xi), beta=float(beta * factor)))
    return redrawn
