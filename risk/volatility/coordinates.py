"""Coordinates of a GARCH likelihood: from returns and a prior to the kernel's terms, and back."""

from __future__ import annotations

import math

import numpy as np

from risk.errors import DataError
from risk.volatility import kernel, search
from risk.volatility.density import NORMAL, SKEWED, STUDENT
from risk.volatility.kernel import Form, Problem
from risk.volatility.models import Array, ParameterPrior, Presample, VolatilityModel

UNCONSTRAINED_NAMES = {
    VolatilityModel.GARCH_T: ("log_omega", "logit_alpha", "logit_beta", "log_nu"),
    VolatilityModel.GJR_T: ("log_omega", "logit_alpha_up", "logit_alpha_down", "logit_beta", "log_nu"),
    VolatilityModel.GARCH_NORMAL: ("log_omega", "logit_alpha", "logit_beta"),
    VolatilityModel.GARCH_SKEWT: ("log_omega", "logit_alpha", "logit_beta", "log_nu", "atanh_skew"),
    VolatilityModel.GJR_SKEWT: (
        "log_omega",
        "logit_alpha_up",
        "logit_alpha_down",
        "logit_beta",
        "log_nu",
        "atanh_skew",
    ),
    VolatilityModel.SCORE_T: ("log_omega", "logit_alpha", "logit_beta", "log_nu"),
}
"""Unconstrained parameters that a prior speaks about, in order; mu is left to the data."""

SLOTS = {
    VolatilityModel.GARCH_T: (1, 2, 4, 5),
    VolatilityModel.GJR_T: (1, 2, 3, 4, 5),
    VolatilityModel.GARCH_NORMAL: (1, 2, 4),
    VolatilityModel.GARCH_SKEWT: (1, 2, 4, 5, 6),
    VolatilityModel.GJR_SKEWT: (1, 2, 3, 4, 5, 6),
    VolatilityModel.SCORE_T: (1, 2, 4, 5),
}
"""Their places in the kernel's vector x."""


FORMS = {
    VolatilityModel.GARCH_NORMAL: (False, False, NORMAL),
    VolatilityModel.GARCH_T: (False, False, STUDENT),
    VolatilityModel.GJR_T: (True, False, STUDENT),
    VolatilityModel.GARCH_SKEWT: (False, False, SKEWED),
    VolatilityModel.GJR_SKEWT: (True, False, SKEWED),
    VolatilityModel.SCORE_T: (False, True, STUDENT),
}
"""Leverage, score-driven and innovations of every model that the kernel knows."""


def problem(model: VolatilityModel, returns: Array, *, prior: ParameterPrior | None, presample: Presample) -> Problem:
    """State the likelihood of `returns` (n,), finite and varying, in the kernel's terms.

    Raises
    ------
    DataError
        A prior for other parameters than those of `model`, or a persistence bound outside (0, 1].
    """
    mean, scale, early = kernel.moments(returns)
    before = (1.0, 1.0, mean / scale) if presample is Presample.MEAN else (early / scale**2, 0.0, 0.0)
    centre = np.zeros(kernel.SIZE)
    precision = np.zeros((kernel.SIZE, kernel.SIZE))
    bound = 1.0
    if prior is not None:
        if prior.names != UNCONSTRAINED_NAMES[model]:
            raise DataError(
                f"the prior speaks about other parameters than those of {model}",
                field="prior",
                value=", ".join(prior.names),
                remedy=f"give one for {', '.join(UNCONSTRAINED_NAMES[model])}",
            )
        if not 0.0 < prior.persistence_bound <= 1.0:
            raise DataError(
                "a persistence bound lies above 0 and at most at 1",
                field="prior.persistence_bound",
                value=str(prior.persistence_bound),
            )
        slots = list(SLOTS[model])
        centre[slots] = prior.mean
        precision[np.ix_(slots, slots)] = prior.precision
        bound = prior.persistence_bound
    y = returns / scale
    return Problem(y, scale, np.array(before), Form(*FORMS[model], bound), centre, precision)


def natural_parameters(x: Array, stated: Problem) -> Array:
    """Natural parameters (7,) in the units of the returns that the kernel's `x` (7,) stands for; lambda last."""
    theta = np.empty(kernel.SIZE)
    kernel.natural(x, stated.form, theta)
    mu, omega, up, down, beta, nu, skew = theta
    tail = math.inf if stated.form.innovations == NORMAL else nu
    return np.array([mu * stated.scale, omega * stated.scale**2, up, down - up, beta, tail, skew])


def kernel_parameters(parameters: Array, scale: float = 1.0) -> Array:
    """The kernel's theta (7,) of natural parameters (6,) or (7,), of returns divided by `scale`."""
    mu, omega, alpha, gamma, beta, nu = parameters[:6]
    skew = parameters[6] if len(parameters) > 6 else 0.0
    return np.array([mu / scale, omega / scale**2, alpha, alpha + gamma, beta, nu, skew])


def unconstrained(parameters: Array, stated: Problem) -> Array:
    """Kernel coordinates x (7,) of natural parameters (6,) or (7,); shares at zero become exp(-12) of the bound."""
    mu, omega, alpha, gamma, beta, nu = parameters[:6]
    skew = float(parameters[6]) if len(parameters) > 6 else 0.0
    form = stated.form
    floor = math.exp(-12.0)
    if form.leverage:
        shares = np.array([0.5 * alpha, 0.5 * (alpha + gamma), beta]) / form.bound
    else:
        shares = np.array([alpha, 0.0, beta]) / form.bound
    slack = max(1.0 - float(shares.sum()), floor)
    logits = np.log(np.maximum(shares, floor) / slack)
    if not form.leverage:
        logits[1] = 0.0
    variance = stated.scale**2
    log_nu = min(math.log(max(nu - kernel.NU_FLOOR, floor)), kernel.NU_LOG_CAP)
    return np.array(
        [mu / stated.scale, math.log(omega / variance), *logits, log_nu, math.atanh(skew / kernel.SKEW_CAP)]
    )


def hessian(x: Array, stated: Problem) -> Array:
    """Hessian (7, 7) of the negative penalised log-likelihood at `x` (7,), by differences of the score."""
    step = 1e-4
    work = np.empty((2, stated.y.size))
    ends = np.empty((2, kernel.SIZE))
    matrix = np.empty((kernel.SIZE, kernel.SIZE))
    for i in range(kernel.SIZE):
        for row, sign in enumerate((1.0, -1.0)):
            moved = x.copy()
            moved[i] += sign * step
            search.objective(stated, moved, work, ends[row])
        matrix[i] = (ends[0] - ends[1]) / (2.0 * step)
    symmetric: Array = 0.5 * (matrix + matrix.T)
    return symmetric
