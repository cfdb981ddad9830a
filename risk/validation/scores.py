"""Scores of forecasts. All are losses: smaller is better, and in the mean least at the truth (they are proper).

Gneiting and Raftery (2007), doi:10.1198/016214506000001437, is the background. Differences of scores between models
are compared in `risk.validation.comparison`.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, gammaln, ndtr, stdtr

from risk.errors import DataError
from risk.validation.basis import Array, checked_forecasts

_LOG_TWO_PI = float(np.log(2.0 * np.pi))


# ---- densities and distributions -----------------------------------------------------------------------------


def log_score_normal(outcomes: Array, mean: Array | float, deviation: Array | float) -> Array:
    """Minus the log density of N(mean, deviation^2) at the outcomes (n,), in nats (Good 1952)."""
    z = _standardised(outcomes, mean, deviation)
    score: Array = 0.5 * z**2 + np.log(deviation) + 0.5 * _LOG_TWO_PI
    return score


def log_score_student(
    outcomes: Array, nu: Array | float, location: Array | float = 0.0, scale: Array | float = 1.0
) -> Array:
    """Minus the log density of location + scale t(nu) at the outcomes (n,), in nats; scale is no deviation here."""
    z = _standardised(outcomes, location, scale)
    constant = gammaln((nu + 1.0) / 2.0) - gammaln(nu / 2.0) - 0.5 * np.log(np.pi * nu)
    score: Array = 0.5 * (nu + 1.0) * np.log1p(z**2 / nu) + np.log(scale) - constant
    return score


def crps_normal(outcomes: Array, mean: Array | float, deviation: Array | float) -> Array:
    """Continuous ranked probability score of a normal forecast, in the unit of the outcomes (n,).

    Gneiting et al. (2005), equation 5, doi:10.1175/MWR2904.1.
    """
    z = _standardised(outcomes, mean, deviation)
    density = np.exp(-0.5 * z**2 - 0.5 * _LOG_TWO_PI)
    score: Array = deviation * (z * (2.0 * ndtr(z) - 1.0) + 2.0 * density - 1.0 / np.sqrt(np.pi))
    return score


def crps_student(
    outcomes: Array, nu: Array | float, location: Array | float = 0.0, scale: Array | float = 1.0
) -> Array:
    """Continuous ranked probability score of location + scale t(nu), in the unit of the outcomes (n,).

    Jordan, Krueger and Lerch (2019), appendix A, doi:10.18637/jss.v090.i12; needs a mean, so nu above 1.

    Raises
    ------
    DataError
        nu of 1 or less, or a scale that is not positive.
    """
    if np.any(np.asarray(nu) <= 1.0):
        raise DataError("the score needs a forecast with a mean", field="nu", value=float(np.min(nu)))
    z = _standardised(outcomes, location, scale)
    density = np.exp(-log_score_student(z, nu))
    spread = 2.0 * np.sqrt(nu) / (nu - 1.0) * np.exp(betaln(0.5, nu - 0.5) - 2.0 * betaln(0.5, nu / 2.0))
    score: Array = scale * (z * (2.0 * stdtr(nu, z) - 1.0) + 2.0 * density * (nu + z**2) / (nu - 1.0) - spread)
    return score


def crps_ensemble(outcomes: Array, members: Array, *, estimator: Literal["nrg", "fair"] = "nrg") -> Array:
    """Continuous ranked probability score of an ensemble.

    Parameters
    ----------
    outcomes : ndarray of shape (n,)
    members : ndarray of shape (n, m)
    estimator
        ``nrg``: of the empirical distribution of the members (Gneiting and Raftery 2007, equation 20). ``fair``:
        unbiased for the distribution that they are a sample of (Ferro 2014, doi:10.1002/qj.2270), m at least 2.

    Raises
    ------
    DataError
        Shapes that do not match, or too few members.
    """
    outcome, ensemble = np.asarray(outcomes, dtype=np.float64), np.asarray(members, dtype=np.float64)
    least = 2 if estimator == "fair" else 1
    if ensemble.ndim != 2 or outcome.shape != ensemble.shape[:1] or ensemble.shape[1] < least:
        raise DataError(
            f"an ensemble needs a row an outcome and {least} members", field="members", value=f"{ensemble.shape}"
        )
    m = ensemble.shape[1]
    # Sum of |x_i - x_j| over ordered pairs, from the order statistics.
    weights = 2.0 * (2.0 * np.arange(1, m + 1) - m - 1.0)
    pairs = np.sort(ensemble, axis=1) @ weights
    divisor = m * m if estimator == "nrg" else m * (m - 1)
    score: Array = np.abs(ensemble - outcome[:, None]).mean(axis=1) - 0.5 * pairs / divisor
    return score


def energy_score(outcomes: Array, members: Array) -> Array:
    """Energy score of one multivariate ensemble at several outcomes (Gneiting and Raftery 2007, equation 22).

    Parameters
    ----------
    outcomes : ndarray of shape (n, d)
    members : ndarray of shape (m, d)
        Memory grows with the square of m, and with m n.

    Returns
    -------
    ndarray of shape (n,)
    """
    error = np.linalg.norm(members - outcomes[:, None], axis=2).mean(axis=1)
    score: Array = error - 0.5 * np.linalg.norm(members[:, None] - members[None], axis=2).mean()
    return score


# ---- functionals ---------------------------------------------------------------------------------------------


def quantile_loss(losses: Array, var: Array, confidence: float) -> Array:
    """Pinball loss of each forecast quantile (Koenker and Bassett 1978).

    Parameters
    ----------
    losses, var : ndarray of shape (n,)
        In one unit; the score has it too.
    confidence : float

    Returns
    -------
    ndarray of shape (n,)
        Smaller is better; its mean is least for the true quantile.

    Raises
    ------
    DataError
        NaN, infinity, different shapes, or a confidence outside (0, 1).
    """
    loss, quantile = checked_forecasts(losses, var, confidence=confidence)
    beyond = (loss > quantile).astype(np.float64)
    score: Array = (beyond - (1.0 - confidence)) * (loss - quantile)
    return score


def fz0_score(losses: Array, var: Array, es: Array, confidence: float) -> Array:
    """Joint score of value at risk and expected shortfall (Patton, Ziegel and Chen 2019, equation 6).

    Parameters
    ----------
    losses, var, es : ndarray of shape (n,)
        In one unit; es positive.
    confidence : float

    Returns
    -------
    ndarray of shape (n,)
        Smaller is better; differences between models do not depend on the unit.

    Raises
    ------
    DataError
        As in `quantile_loss`, or an expected shortfall that is not positive.
    """
    loss, quantile, shortfall = checked_forecasts(losses, var, es, confidence=confidence)
    if np.any(shortfall <= 0.0):
        raise DataError("the score needs positive shortfalls", field="es", value=float(shortfall.min()))
    beyond = np.maximum(loss - quantile, 0.0)
    score: Array = (beyond / (1.0 - confidence) + quantile) / shortfall + np.log(shortfall) - 1.0
    return score


def qlike(proxies: Array, variances: Array) -> Array:
    """Quasi-likelihood loss of variance forecasts (Patton 2011, equation 24, doi:10.1016/j.jeconom.2010.03.034).

    Parameters
    ----------
    proxies : ndarray of shape (n,)
        Unbiased for the variance: squared returns or realised variances; not negative.
    variances : ndarray of shape (n,)
        Forecasts, positive. The ranking of models is the same as with the true variance.

    Raises
    ------
    DataError
        A forecast that is not positive or a negative proxy.
    """
    proxy, variance = np.asarray(proxies, dtype=np.float64), np.asarray(variances, dtype=np.float64)
    if not (np.all(variance > 0.0) and np.all(proxy >= 0.0)):
        raise DataError("variances are positive and proxies not negative", field="variances")
    score: Array = np.log(variance) + proxy / variance
    return score


def brier_score(events: NDArray[np.bool_], probabilities: Array) -> Array:
    """Squared distance of forecast probabilities (n,) from what came (n,), (Brier 1950).

    Raises
    ------
    DataError
        A probability outside [0, 1] or NaN.
    """
    forecast = np.asarray(probabilities, dtype=np.float64)
    if not np.all((forecast >= 0.0) & (forecast <= 1.0)):
        raise DataError("probabilities lie between 0 and 1", field="probabilities")
    score: Array = (forecast - np.asarray(events, dtype=np.float64)) ** 2
    return score


def _standardised(outcomes: Array, location: Array | float, scale: Array | float) -> Array:
    if not np.all(np.asarray(scale) > 0.0):
        raise DataError("a scale is positive", field="scale", value=float(np.min(scale)))
    z: Array = (np.asarray(outcomes, dtype=np.float64) - location) / scale
    return z
