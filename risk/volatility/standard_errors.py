"""Standard errors of a likelihood fit: from the Hessian, from the outer product of scores, and the sandwich of both.

The Hessian is taken by central differences of the analytic score, the scores of single observations by forward
recursion of dh/dtheta in plain numpy. With H the information and S the sum of outer products, the covariances are
H^-1, S^-1 and H^-1 S H^-1 (White 1982; Bollerslev and Wooldridge 1992 for the quasi-likelihood). They describe the
likelihood near an interior optimum; bands of risk figures come from posterior draws instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from risk.errors import DataError, RefusalError
from risk.volatility import kernel
from risk.volatility.coordinates import FORMS, kernel_parameters, problem
from risk.volatility.density import NORMAL, SKEWED
from risk.volatility.kernel import Problem
from risk.volatility.models import SKEW, Array, FitResult, FitStatus, checked_returns, read_only

_STEP = 1e-5
_DENSITY_STEP = 1e-5


class CovarianceKind(StrEnum):
    """Which covariance.

    `HESSIAN`: inverse observed information. `OPG`: inverse outer product of scores. `SANDWICH`: robust to a wrong
    density, as long as mean and variance are right.
    """

    HESSIAN = "hessian"
    OPG = "opg"
    SANDWICH = "sandwich"


@dataclass(frozen=True, slots=True)
class ParameterCovariance:
    """Covariance of the estimated natural parameters.

    Attributes
    ----------
    names : tuple of str
        Free parameters, in order.
    matrix : ndarray of shape (k, k)
        In the units of the parameters; read-only.
    kind : CovarianceKind
    condition : float
        Condition number of the information in units of its own diagonal.
    """

    names: tuple[str, ...]
    matrix: Array
    kind: CovarianceKind
    condition: float

    @property
    def standard_errors(self) -> Array:
        """Square roots of the diagonal (k,)."""
        errors: Array = np.sqrt(np.diag(self.matrix))
        return errors


def parameter_covariance(
    fit: FitResult, returns: Array, *, kind: CovarianceKind | str = CovarianceKind.SANDWICH
) -> ParameterCovariance:
    """Covariance of the parameters of a fit without a prior.

    Parameters
    ----------
    fit : FitResult
        Converged inside the parameter space.
    returns : ndarray of shape (n_observations,)
        Those it was fitted to.
    kind : CovarianceKind or its name

    Raises
    ------
    DataError
        Returns that are not finite or of another length than the fit's.
    RefusalError
        A fit at a boundary or not converged, of a model outside the kernel, or an information matrix that is not
        positive definite: there the quadratic approximation says nothing.
    """
    sample = checked_returns(returns)
    chosen = CovarianceKind(kind)
    if fit.model not in FORMS or fit.status is not FitStatus.CONVERGED:
        raise RefusalError(
            f"a fit of {fit.model} with status {fit.status} has no standard errors",
            field="fit",
            value=", ".join(fit.boundary) or None,
            remedy="use posterior draws, or a longer window",
        )
    if sample.size != fit.n_observations:
        raise DataError(f"the fit is of {fit.n_observations} returns", field="returns", value=sample.size)
    stated = problem(fit.model, sample, prior=None, presample=fit.presample)
    names, basis = _free(stated)
    theta = kernel_parameters(np.append(fit.vector, fit.skew), stated.scale)
    if stated.form.innovations == NORMAL:
        theta[5] = math.exp(kernel.NU_LOG_CAP)
    information = -basis.T @ _hessian(theta, stated, basis)
    scores = observation_scores(theta, stated) @ basis
    unit = np.sqrt(np.abs(np.diag(information)))
    values = np.linalg.eigvalsh(information / np.outer(unit, unit))
    if not np.all(np.isfinite(values)) or values[0] <= 0.0:
        raise RefusalError("the information is not positive definite", field="fit", remedy="use posterior draws")
    inverse = np.linalg.inv(information)
    outer = scores.T @ scores
    matrix = {
        CovarianceKind.HESSIAN: inverse,
        CovarianceKind.OPG: np.linalg.inv(outer) if chosen is CovarianceKind.OPG else inverse,
        CovarianceKind.SANDWICH: inverse @ outer @ inverse,
    }[chosen]
    scale = np.array([{"mu": stated.scale, "omega": stated.scale**2}.get(name, 1.0) for name in names])
    matrix = 0.5 * (matrix + matrix.T) * np.outer(scale, scale)
    return ParameterCovariance(names, read_only(matrix), chosen, float(values[-1] / values[0]))


def parameter_scores(fit: FitResult, returns: Array) -> tuple[tuple[str, ...], Array]:
    """Score of every observation in the free parameters that are not at an edge, for tests of their stability.

    Parameters
    ----------
    fit : FitResult
        A usable fit of a model of the kernel, with or without a prior.
    returns : ndarray of shape (n_observations,)
        Those it was fitted to.

    Returns
    -------
    Names, and scores (n, k) in units of the standardised returns. At an edge a score need not sum to zero, so those
    parameters are left out.

    Raises
    ------
    RefusalError
        A fit without parameters, of another model, or with every parameter at an edge.
    """
    if fit.model not in FORMS or not fit.usable:
        raise RefusalError(f"a fit of {fit.model} with status {fit.status} has no scores", field="fit")
    stated = problem(fit.model, checked_returns(returns), prior=None, presample=fit.presample)
    names, basis = _free(stated)
    theta = kernel_parameters(np.append(fit.vector, fit.skew), stated.scale)
    held = set(fit.boundary)
    if "persistence" in held:  # the edge ties these together
        held |= {"alpha", "gamma", "beta"}
    kept = [place for place, name in enumerate(names) if name not in held]
    if not kept:
        raise RefusalError("every parameter is at an edge", field="fit", value=", ".join(fit.boundary))
    return tuple(names[place] for place in kept), (observation_scores(theta, stated) @ basis)[:, kept]


def observation_scores(theta: Array, stated: Problem) -> Array:
    """Score of every observation in the kernel's `theta`, of shape (n, 7); the columns sum to the kernel's score."""
    mu, _, up, down, beta, nu, skew = theta
    y = stated.y
    h = np.empty(y.size)
    kernel.variances(y, theta, stated.presample, stated.form, h)
    e = y - mu
    offset = mu - stated.presample[2]
    before = stated.presample[0] + stated.presample[1] * offset**2
    falls = e < 0.0
    a = np.where(falls, down, up)
    squares = e**2
    surprise = squares / h
    share = 1.0 / (nu - 2.0 + surprise)
    driven = stated.form.score_driven
    weight = (nu + 1.0) * share if driven else np.ones_like(e)
    inner = (nu - 2.0) * share if driven else np.ones_like(e)
    memory = beta + (a * (nu + 1.0) * (surprise * share) ** 2 if driven else 0.0 * e)
    # Derivatives of each h[t + 1] in theta at given h[t], then the recursion through h.
    direct = np.zeros((y.size, kernel.SIZE))
    direct[:, 0] = -2.0 * a * e * weight * inner
    direct[:, 1] = 1.0
    direct[:, 2] = np.where(falls, 0.0, squares * weight)
    direct[:, 3] = np.where(falls, squares * weight, 0.0)
    direct[:, 4] = h
    if driven:
        direct[:, 5] = a * squares * (surprise - 3.0) * share**2
    slope = np.empty_like(direct)
    slope[0] = 0.0
    slope[0, :5] = (0.5 * (up + down) + beta) * 2.0 * stated.presample[1] * offset, 1.0, before / 2, before / 2, before
    for t in range(1, y.size):
        slope[t] = direct[t - 1] + memory[t - 1] * slope[t - 1]
    density = _density_slopes(e / np.sqrt(h), nu, skew, stated.form.innovations)
    root = np.sqrt(h)
    scores: Array = (-0.5 / h * (1.0 + density[0] * e / root))[:, None] * slope
    scores[:, 0] -= density[0] / root
    scores[:, 5] += density[1]
    scores[:, 6] += density[2]
    return scores


def _density_slopes(z: Array, nu: float, skew: float, innovations: int) -> tuple[Array, Array, Array]:
    """Derivatives (n,) of the log density of innovations z (n,) in z, nu and lambda."""
    from risk.volatility.innovations import Innovations

    if innovations == NORMAL:
        return -z, np.zeros_like(z), np.zeros_like(z)
    law = Innovations(nu, skew)
    step = _DENSITY_STEP

    def central(high: Innovations, low: Innovations, width: float) -> Array:
        slope: Array = (high.log_density(z) - low.log_density(z)) / (2.0 * width)
        return slope

    width = step * nu
    in_nu = central(Innovations(nu + width, skew), Innovations(nu - width, skew), width)
    in_skew = np.zeros_like(z)
    if innovations == SKEWED:
        in_skew = central(Innovations(nu, skew + step), Innovations(nu, skew - step), step)
    return law.log_density_slope(z), in_nu, in_skew


def _free(stated: Problem) -> tuple[tuple[str, ...], Array]:
    """Names of the free natural parameters, and their directions (7, k) in the kernel's theta."""
    columns: dict[str, tuple[int, ...]] = {"mu": (0,), "omega": (1,), "alpha": (2, 3)}
    if stated.form.leverage:
        columns["gamma"] = (3,)
    columns["beta"] = (4,)
    if stated.form.innovations != NORMAL:
        columns["nu"] = (5,)
    if stated.form.innovations == SKEWED:
        columns[SKEW] = (6,)
    basis = np.zeros((kernel.SIZE, len(columns)))
    for place, slots in enumerate(columns.values()):
        basis[list(slots), place] = 1.0
    return tuple(columns), basis


def _hessian(theta: Array, stated: Problem, basis: Array) -> Array:
    """Derivatives (7, k) of the score in the free directions; each step is relative to its parameter."""
    columns = []
    work = np.empty((2, stated.y.size))
    for direction in basis.T:
        step = _STEP * max(float(np.max(np.abs(theta * direction))), 1e-2)
        if direction[1]:
            step = _STEP * theta[1]
        ends = np.empty((2, kernel.SIZE))
        for row, sign in enumerate((1.0, -1.0)):
            moved = theta + sign * step * direction
            kernel.score(stated.y, moved, stated.presample, stated.form, work[0], work[1], ends[row])
        columns.append((ends[0] - ends[1]) / (2.0 * step))
    return np.column_stack(columns)
