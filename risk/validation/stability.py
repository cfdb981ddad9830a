"""Whether a model still holds: sequential tests of its exceptions, its parameters' stability and weight.

The sequential tests may be looked at after every bar: their error probabilities hold whenever one stops.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.special import kolmogorov

from risk.errors import DataError
from risk.validation.basis import Array, Hits, StatisticalTest, checked_probability

RATE_MULTIPLES = (1.25, 1.5, 2.0, 3.0, 5.0)
"""Alternatives that the sequential tests bet on: the promised rate of exceptions times these, evenly mixed."""
_BRIDGE_WEIGHTS = 1.0 / (np.pi * np.arange(1, 301)) ** 2


class SequentialTest(NamedTuple):
    """Evidence against a promised exception rate, bar by bar.

    Attributes
    ----------
    log_evidence : ndarray of shape (n,)
        Log of the wealth of a bet against the promise, or of the detector, after each bar.
    alarm : int or None
        Position of the first bar at which the evidence reached its bound.
    """

    log_evidence: Array
    alarm: int | None


class Sensitivity(NamedTuple):
    """What a figure becomes where one parameter is moved.

    Attributes
    ----------
    parameter : str
    low, base, high : float
        The figure with the parameter at (1 - share), 1 and (1 + share) times its value.
    elasticity : float
        Relative change of the figure over that of the parameter, both ways together; NaN where the base is 0.
    """

    parameter: str
    low: float
    base: float
    high: float
    elasticity: float


def hit_e_process(exceptions: Hits, probability: float, *, level: float = 0.05) -> SequentialTest:
    """Bet against "an exception has at most its promised probability, whatever happened before".

    The wealth is a mixture of likelihood ratios of Bernoulli rates above the promise, a supermartingale under it:
    it ever reaches 1 / level with probability of at most `level` (Ville 1939; Ramdas et al. 2023,
    doi:10.1214/23-STS894; Wang, Wang and Ziegel 2022, arXiv:2209.00991, of value at risk and expected shortfall).

    Parameters
    ----------
    exceptions : ndarray of bool, shape (n,)
        In time order.
    probability : float
        Promised.
    level : float
        Probability of a false alarm over all time.
    """
    gains = _log_gains(exceptions, probability)
    checked_probability(level, field="level")
    wealth = np.logaddexp.reduce(np.cumsum(gains, axis=0), axis=1) - math.log(gains.shape[1])
    return _with_alarm(wealth, math.log(1.0 / level))


def decay_monitor(exceptions: Hits, probability: float, *, run_length: int = 2500) -> SequentialTest:
    """Watch for a rate of exceptions that rises at an unknown time (Shin, Ramdas and Rinaldo 2023, arXiv:2203.03532).

    The detector of Shiryaev and Roberts: a new bet is opened at every bar, and evidence is the sum of all of them,
    R[t] = (R[t-1] + 1) g[t]. A long good past does not delay the alarm as it does in `hit_e_process`. While the
    promise holds the mean number of bars to a false alarm is at least `run_length`.

    Parameters
    ----------
    exceptions : ndarray of bool, shape (n,)
    probability : float
    run_length : int
        Bars; 2,500 days are ten years of trading days.
    """
    gains = _log_gains(exceptions, probability)
    if run_length < 2:
        raise DataError("a run length is two bars or more", field="run_length", value=run_length)
    evidence = np.empty_like(gains)
    open_bets = np.full(gains.shape[1], -np.inf)
    for t, gain in enumerate(gains):
        open_bets = np.logaddexp(open_bets, 0.0) + gain
        evidence[t] = open_bets
    mixed = np.logaddexp.reduce(evidence, axis=1) - math.log(gains.shape[1])
    return _with_alarm(mixed, math.log(run_length))


def fall_back_bars(
    exceptions: Hits, probability: float, *, run_length: int = 2500, probation: int = 250
) -> tuple[Hits, tuple[int, ...]]:
    """On which bars the benchmark stands in for a model whose exceptions have raised an alarm.

    The benchmark takes over on the bar after an alarm and stays for `probation` bars; then the model has another
    chance, and the monitor begins anew.

    Parameters
    ----------
    exceptions : ndarray of bool, shape (n,)
        Of the model, also while the benchmark stands in.
    probability, run_length
        As in `decay_monitor`.
    probation : int
        Bars, at least 1.

    Returns
    -------
    Mask of shape (n,), and the positions of the alarms.
    """
    if probation < 1:
        raise DataError("a probation is one bar or more", field="probation", value=probation)
    hits = np.asarray(exceptions, dtype=np.bool_)
    mask, alarms, begin = np.zeros(hits.shape, dtype=np.bool_), [], 0
    while begin < hits.size:
        found = decay_monitor(hits[begin:], probability, run_length=run_length).alarm
        if found is None:
            break
        alarms.append(begin + found)
        mask[alarms[-1] + 1 : alarms[-1] + 1 + probation] = True
        begin = alarms[-1] + 1 + probation
    return mask, tuple(alarms)


def standing_alarm(exceptions: Hits, probability: float, *, run_length: int, probation: int) -> int | None:
    """Position of the alarm after which the benchmark is to forecast the next bar; None when it is not.

    Arguments as in `fall_back_bars`.
    """
    _, alarms = fall_back_bars(exceptions, probability, run_length=run_length, probation=probation)
    standing = bool(alarms) and len(exceptions) <= alarms[-1] + probation
    return alarms[-1] if standing else None


def nyblom_test(scores: Array) -> StatisticalTest:
    """Parameters constant against a random walk (Nyblom 1989; Hansen 1992, statistic L_c for all jointly).

    Parameters
    ----------
    scores : ndarray of shape (n, k)
        Gradient of each bar's log-likelihood at the optimum of all; n above 10 k. Their sum is zero at an interior
        optimum, and is centred here where it is not.

    Returns
    -------
    StatisticalTest
        The p-value is of the limit: k independent integrated squares of Brownian bridges.
    """
    path = _whitened_sums(scores)
    statistic = float(np.mean(np.sum(path**2, axis=1)))
    return StatisticalTest(statistic, _cramer_von_mises_tail(statistic, path.shape[1]))


def score_cusum_test(scores: Array) -> StatisticalTest:
    """Largest distance of the cumulated scores, decorrelated, from their bridge.

    Hjort and Koning (2002); Zeileis and Hornik (2007), the double maximum. A single lasting break at any time shows
    here first. `scores` as in `nyblom_test`; the p-value is of the limit, the largest of k independent bridges.
    """
    path = _whitened_sums(scores)
    statistic = float(np.max(np.abs(path)))
    return StatisticalTest(statistic, 1.0 - (1.0 - float(kolmogorov(statistic))) ** path.shape[1])


def sensitivities(
    figure: Callable[[Mapping[str, float]], float], parameters: Mapping[str, float], *, share: float = 0.1
) -> tuple[Sensitivity, ...]:
    """Move each parameter alone by a share of itself both ways and see what a figure becomes.

    Parameters
    ----------
    figure : callable
        From parameters to one number; seeded where it simulates, so that only the parameter differs.
    parameters : mapping of str to float
    share : float
        In (0, 1).
    """
    checked_probability(share, field="share")
    base = figure(parameters)
    found = []
    for name, value in parameters.items():
        low, high = (figure({**parameters, name: value * factor}) for factor in (1.0 - share, 1.0 + share))
        elasticity = (high - low) / (2.0 * share * base) if base else math.nan
        found.append(Sensitivity(name, low, base, high, elasticity))
    return tuple(found)


def _log_gains(exceptions: Hits, probability: float) -> Array:
    """Log likelihood ratios (n, n_rates) of each bar, of alternative rates against the promise."""
    p = checked_probability(probability)
    rates = np.minimum(p * np.array(RATE_MULTIPLES), 0.5 * (1.0 + p))
    hits = np.asarray(exceptions, dtype=np.bool_)
    if hits.ndim != 1 or hits.size == 0:
        raise DataError("exceptions are one series", field="exceptions", value=hits.shape)
    gains: Array = np.where(hits[:, None], np.log(rates / p), np.log1p(-rates) - np.log1p(-p))
    return gains


def _with_alarm(log_evidence: Array, bound: float) -> SequentialTest:
    above = np.flatnonzero(log_evidence >= bound)
    return SequentialTest(log_evidence, int(above[0]) if above.size else None)


def _whitened_sums(scores: Array) -> Array:
    """Cumulated scores (n, k) over root n, times the inverse root of their covariance."""
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] <= 10 * values.shape[1] or not np.isfinite(values).all():
        raise DataError("stability needs finite scores, over ten a parameter", field="scores", value=values.shape)
    centred = values - values.mean(axis=0)
    scale = np.sqrt(np.mean(centred**2, axis=0))
    if np.any(scale == 0.0):
        raise DataError("a score does not vary", field="scores", value=int(np.argmin(scale)))
    covariance = (centred / scale).T @ (centred / scale) / len(values)
    size, direction = np.linalg.eigh(covariance)
    if size[0] < 1e-10 * size[-1]:
        raise DataError("scores of two parameters are the same", field="scores", remedy="drop one of them")
    path: Array = np.cumsum(centred / scale, axis=0) @ direction / np.sqrt(size * len(values))
    return path


def _cramer_von_mises_tail(statistic: float, k: int) -> float:
    """P(sum of k independent integrated squared Brownian bridges > statistic), by Imhof's (1961) inversion.

    The sum is that of k chi-squared variables with weights 1 / (pi j)^2; those beyond the 300th are replaced by
    their mean: their standard deviation is 1.6e-5 times the root of k.
    """
    x = statistic - k * (1.0 / 6.0 - float(_BRIDGE_WEIGHTS.sum()))
    if x <= 0.0:
        return 1.0
    u, turned, shrunk = _imhof_grid()
    angle = 0.5 * k * turned - 0.5 * x * u
    tail = 0.5 + 0.05 / np.pi * float(np.sum(np.sin(angle) * np.exp(-0.25 * k * shrunk) / u))
    return min(max(tail, 0.0), 1.0)


@cache
def _imhof_grid() -> tuple[Array, Array, Array]:
    """Points (20 000,) of Imhof's integral, and the sums over weights that hang on neither k nor the statistic."""
    u = 0.05 * np.arange(0.5, 20_000.0)  # the integrand has fallen below 1e-9 at the end
    turn = np.outer(u, _BRIDGE_WEIGHTS)
    turned: Array = np.arctan(turn).sum(axis=1)
    shrunk: Array = np.log1p(turn**2).sum(axis=1)
    return np.asarray(u, dtype=np.float64), turned, shrunk
