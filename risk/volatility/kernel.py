"""Compiled likelihood of GARCH(1,1), GJR(1,1) and the score-driven t, its score and its parameter map.

All functions work on *standardised* returns (divided by their standard deviation, divisor n), which makes every
result equivariant to scale, and on two vectors of length 7:

`theta`
    (mu, omega, alpha_up, alpha_down, beta, nu, lambda): h[t] = omega + a w e[t-1]^2 + beta h[t-1] with e = y - mu
    and a = alpha_up after e >= 0, alpha_down = alpha + gamma after e < 0 (Glosten, Jagannathan and Runkle 1993).
    w is 1, or in the score-driven form (Creal, Koopman and Lucas 2013, Journal of Applied Econometrics 28)
    (nu + 1) / (nu - 2 + e^2 / h), so that an outlier moves the variance less the less it surprises; the mean of
    w e^2 is h in both. Innovations have unit variance, their densities are in `risk.volatility.density`.
`x`
    (mu, log omega, three multinomial logits of the persistence, log(nu - 2.05), atanh(lambda / .98)). The shares
    alpha_up / 2, alpha_down / 2 and beta of the persistence bound are a softmax against a fourth, empty share, so
    that stationarity holds by construction. Without leverage, slot 2 is the logit of alpha and slot 3 is idle; so
    are the slots of innovations without a tail or a skew.

`presample` is (c0, c1, c2): the variance before the sample is c0 + c1 (mu - c2)^2.
Nothing here checks its input or raises; `risk.volatility.engine` does.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from risk.volatility.density import (
    NORMAL,
    STUDENT,
    normal_terms,
    skewed_terms,
    student_terms,
)
from risk.volatility.jit import compiled

Array = NDArray[np.float64]

SIZE = 7
NU_FLOOR = 2.05
NU_LOG_CAP = math.log(500.0 - NU_FLOOR)
SKEW_CAP = 0.98


class Form(NamedTuple):
    """Which model a likelihood is of, and the upper bound of its persistence."""

    leverage: bool
    score_driven: bool
    innovations: int
    bound: float


class Problem(NamedTuple):
    """One penalised likelihood: standardised returns (n,), conventions, and a Gaussian penalty on x (7,)."""

    y: Array
    scale: float
    presample: Array
    form: Form
    centre: Array
    precision: Array


@compiled
def moments(returns: Array) -> tuple[float, float, float]:
    """Mean, standard deviation (divisor n) and exponentially weighted (0.94) square of the first 75 deviations."""
    n = returns.shape[0]
    mean = 0.0
    for t in range(n):
        mean += returns[t]
    mean /= n
    square = 0.0
    for t in range(n):
        square += (returns[t] - mean) ** 2
    early = 0.0
    total = 0.0
    weight = 1.0
    for t in range(min(75, n)):
        early += weight * (returns[t] - mean) ** 2
        total += weight
        weight *= 0.94
    return mean, math.sqrt(square / n), early / total


@compiled
def natural(x: Array, form: Form, theta: Array) -> None:
    """Write into `theta` the parameters that `x` stands for; persistence stays below its bound."""
    leverage = form.leverage
    largest = max(0.0, x[2], x[4])
    if leverage:
        largest = max(largest, x[3])
    slack = math.exp(-largest)
    up = math.exp(x[2] - largest)
    beta = math.exp(x[4] - largest)
    down = math.exp(x[3] - largest) if leverage else 0.0
    scale = form.bound / (slack + up + down + beta)
    theta[0] = x[0]
    theta[1] = math.exp(x[1])
    theta[2] = 2.0 * up * scale if leverage else up * scale
    theta[3] = 2.0 * down * scale if leverage else theta[2]
    theta[4] = beta * scale
    theta[5] = NU_FLOOR + math.exp(min(x[5], NU_LOG_CAP))
    theta[6] = SKEW_CAP * math.tanh(x[6])


@compiled
def first_variance(theta: Array, presample: Array) -> float:
    """First conditional variance: both residual and variance before the sample are the presample value."""
    before = presample[0] + presample[1] * (theta[0] - presample[2]) ** 2
    return float(theta[1] + (0.5 * (theta[2] + theta[3]) + theta[4]) * before)


@compiled
def accumulate(values: Array, decay: float) -> None:
    """Add to each of `values` (n,) `decay` times the (finished) value before it, in place.

    Four at a time: values[t + 4] needs decay^4 values[t] and terms known before, so that the processor waits for one
    multiplication and one addition in four.
    """
    n = values.shape[0]
    second = decay * decay
    third = second * decay
    fourth = second * second
    whole = max(n - 1, 0) // 4 * 4
    for t in range(0, whole, 4):
        before, a, b, c, d = values[t], values[t + 1], values[t + 2], values[t + 3], values[t + 4]
        pair = b + decay * a
        values[t + 1] = a + decay * before
        values[t + 2] = pair + second * before
        values[t + 3] = (c + decay * pair) + third * before
        values[t + 4] = ((d + decay * c) + second * pair) + fourth * before
    for t in range(whole + 1, n):
        values[t] += decay * values[t - 1]


@compiled
def variances(y: Array, theta: Array, presample: Array, form: Form, out: Array) -> None:
    """Write the conditional variances h[1..m] into `out` (m,), m at most n + 1; h[n + 1] is the forecast."""
    mu, omega, up, down, beta, nu = theta[0], theta[1], theta[2], theta[3], theta[4], theta[5]
    out[0] = first_variance(theta, presample)
    if form.score_driven:
        for t in range(out.shape[0] - 1):
            e = y[t] - mu
            weight = (nu + 1.0) / (nu - 2.0 + e * e / out[t])
            out[t + 1] = omega + (down if e < 0.0 else up) * e * e * weight + beta * out[t]
    else:
        news = out[1:]
        for t in range(news.shape[0]):
            e = y[t] - mu
            news[t] = omega + (down if e < 0.0 else up) * (e * e)
        accumulate(out, beta)


@compiled
def log_likelihood(y: Array, theta: Array, presample: Array, form: Form) -> float:
    """Log-likelihood of standardised returns `y` (n,), in nats."""
    n = y.shape[0]
    h, slope, gradient = np.empty(n), np.empty(n), np.empty(SIZE)
    variances(y, theta, presample, form, h)
    return density_terms(y, theta, form, h, slope, gradient)


@compiled
def density_terms(y: Array, theta: Array, form: Form, h: Array, slope: Array, gradient: Array) -> float:
    """Log-likelihood under variances `h` (n,), with derivatives as `risk.volatility.density.student_terms` has them."""
    if form.innovations == STUDENT:
        return student_terms(y, theta, h, slope, gradient)
    if form.innovations == NORMAL:
        return normal_terms(y, theta, h, slope, gradient)
    return skewed_terms(y, theta, h, slope, gradient)


@compiled
def score(y: Array, theta: Array, presample: Array, form: Form, h: Array, slope: Array, gradient: Array) -> float:
    """Log-likelihood and, written into `gradient` (7,), its derivative in `theta`.

    One forward pass for the variances `h` (n,), one over the densities for the derivative `slope` (n,) of each term
    in its own variance, one backward pass that accumulates the adjoint of h (reverse-mode differentiation).
    """
    mu, up, down, beta, nu = theta[0], theta[2], theta[3], theta[4], theta[5]
    n = y.shape[0]
    variances(y, theta, presample, form, h)
    value = density_terms(y, theta, form, h, slope, gradient)
    d_mu = gradient[0]
    d_omega = 0.0
    d_up = 0.0
    d_down = 0.0
    d_beta = 0.0
    d_nu = 0.0
    adjoint = 0.0
    memory = beta  # derivative of h[t + 1] in h[t]
    if form.score_driven:
        for t in range(n - 1, 0, -1):
            adjoint = slope[t] + memory * adjoint
            e = y[t - 1] - mu
            a = down if e < 0.0 else up
            surprise = e * e / h[t - 1]
            share = 1.0 / (nu - 2.0 + surprise)
            news = adjoint * e * e * (nu + 1.0) * share
            d_omega += adjoint
            d_beta += adjoint * h[t - 1]
            d_nu += adjoint * a * e * e * (surprise - 3.0) * share * share
            d_mu -= 2.0 * a * e * adjoint * (nu + 1.0) * (nu - 2.0) * share * share
            memory = beta + a * (nu + 1.0) * (surprise * share) ** 2
            if e < 0.0:
                d_down += news
            else:
                d_up += news
        adjoint = slope[0] + memory * adjoint
    else:
        accumulate(slope[::-1], beta)  # slope becomes the adjoint
        adjoints = slope[1:]
        for t in range(n - 1):
            e = y[t] - mu
            pull = adjoints[t] * e
            d_omega += adjoints[t]
            d_beta += adjoints[t] * h[t]
            d_down += pull * e if e < 0.0 else 0.0
            d_up += 0.0 if e < 0.0 else pull * e
            d_mu -= 2.0 * (down if e < 0.0 else up) * pull
        adjoint = slope[0]
    offset = mu - presample[2]
    before = presample[0] + presample[1] * offset * offset
    gradient[0] = d_mu + adjoint * (0.5 * (up + down) + beta) * 2.0 * presample[1] * offset
    gradient[1] = d_omega + adjoint
    gradient[2] = d_up + 0.5 * before * adjoint
    gradient[3] = d_down + 0.5 * before * adjoint
    gradient[4] = d_beta + before * adjoint
    gradient[5] += d_nu
    return value


@compiled
def chain_rule(x: Array, theta: Array, gradient: Array, form: Form, out: Array) -> None:
    """Turn the derivative in `theta` into the derivative in `x`, written into `out` (7,)."""
    bound = form.bound
    out[0] = gradient[0]
    out[1] = gradient[1] * theta[1]
    beta = theta[4]
    if form.leverage:
        up = 0.5 * theta[2]
        down = 0.5 * theta[3]
        mean = (2.0 * up * gradient[2] + 2.0 * down * gradient[3] + beta * gradient[4]) / bound
        out[2] = up * (2.0 * gradient[2] - mean)
        out[3] = down * (2.0 * gradient[3] - mean)
    else:
        alpha = theta[2]
        slope = gradient[2] + gradient[3]
        mean = (alpha * slope + beta * gradient[4]) / bound
        out[2] = alpha * (slope - mean)
        out[3] = 0.0
    out[4] = beta * (gradient[4] - mean)
    out[5] = gradient[5] * (theta[5] - NU_FLOOR) if x[5] < NU_LOG_CAP else 0.0
    out[6] = gradient[6] * SKEW_CAP * (1.0 - math.tanh(x[6]) ** 2)


@compiled
def expected_information(y: Array, theta: Array, presample: Array, form: Form, out: Array) -> None:
    """Expected information in `x`, written into `out` (7, 7): the first metric of the search.

    Sum over t of E[d2 l / d h2] (dh/dtheta)(dh/dtheta)' plus the direct term of mu, through the parameter map;
    the Student-t weights are nu / (2 (nu + 3)) and nu (nu + 1) / ((nu - 2)(nu + 3)),
    which also serve the other innovations. A metric need not be exact: every fourth observation stands for four.
    """
    mu, omega, up, down, beta, nu = theta[0], theta[1], theta[2], theta[3], theta[4], theta[5]
    leverage, bound = form.leverage, form.bound
    n = y.shape[0]
    before = presample[0] + presample[1] * (mu - presample[2]) ** 2
    d = np.zeros(5)
    d[1] = 1.0
    d[2] = 0.5 * before
    d[3] = 0.5 * before
    d[4] = before
    information = np.zeros((5, 5))
    h = first_variance(theta, presample)
    weight_h = 0.5 * nu / (nu + 3.0)
    weight_mu = (nu + 1.0) * nu / ((nu + 3.0) * (nu - 2.0))
    for t in range(n):
        if t % 4 == 0:
            precision = 1.0 / h
            weight = 4.0 * weight_h * precision * precision
            for i in range(5):
                for j in range(i + 1):
                    information[i, j] += weight * d[i] * d[j]
            information[0, 0] += 4.0 * weight_mu * precision
        e = y[t] - mu
        square = e * e
        a = down if e < 0.0 else up
        d[0] = beta * d[0] - 2.0 * a * e
        d[1] = beta * d[1] + 1.0
        d[2] = beta * d[2] + (0.0 if e < 0.0 else square)
        d[3] = beta * d[3] + (square if e < 0.0 else 0.0)
        d[4] = beta * d[4] + h
        h = omega + a * square + beta * h
    for i in range(5):
        for j in range(i):
            information[j, i] = information[i, j]
    jacobian = np.zeros((5, 5))
    jacobian[0, 0] = 1.0
    jacobian[1, 1] = omega
    if leverage:
        shares = np.array([0.5 * up, 0.5 * down, beta])
        scales = np.array([2.0, 2.0, 1.0])
        for i in range(3):
            for j in range(3):
                jacobian[2 + i, 2 + j] = scales[i] * shares[i] * ((i == j) - shares[j] / bound)
    else:
        jacobian[2, 2] = up * (1.0 - up / bound)
        jacobian[3, 2] = jacobian[2, 2]
        jacobian[2, 4] = -up * beta / bound
        jacobian[3, 4] = jacobian[2, 4]
        jacobian[4, 2] = jacobian[2, 4]
        jacobian[4, 4] = beta * (1.0 - beta / bound)
    out[:, :] = 0.0
    for i in range(5):
        for j in range(5):
            total = 0.0
            for k in range(5):
                for m in range(5):
                    total += jacobian[k, i] * information[k, m] * jacobian[m, j]
            out[i, j] = total
    if not leverage:
        out[3, 3] = 1.0
    out[5, 5] = n * max(0.05 * min(1.0, 16.0 / (nu * nu)), 1e-3)
    out[6, 6] = 0.6 * n
