"""Compiled GARCH(1,1) and GJR(1,1) likelihood with Student-t innovations, its score and its parameter map.

All functions work on *standardised* returns (divided by their standard deviation, divisor n), which makes every
result equivariant to scale, and on two vectors of length 6:

`theta`
    (mu, omega, alpha_up, alpha_down, beta, nu): h[t] = omega + a e[t-1]^2 + beta h[t-1] with e = y - mu and
    a = alpha_up after e >= 0, alpha_down = alpha + gamma after e < 0 (Glosten, Jagannathan and Runkle 1993).
    Innovations are Student-t with nu degrees of freedom, scaled to unit variance (Bollerslev 1987).
`x`
    (mu, log omega, three multinomial logits of the persistence, log(nu - 2.05)). The shares alpha_up / 2,
    alpha_down / 2 and beta of the persistence bound are a softmax against a fourth, empty share, so that
    stationarity holds by construction. Without leverage, slot 2 is the logit of alpha and slot 3 is idle.

`presample` is (c0, c1, c2): the variance before the sample is c0 + c1 (mu - c2)^2.
Nothing here checks its input or raises; `risk.volatility.engine` does.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from risk.volatility.jit import compiled

Array = NDArray[np.float64]

SIZE = 6
NU_FLOOR = 2.05
NU_LOG_CAP = math.log(500.0 - NU_FLOOR)
_LOG_PI = math.log(math.pi)
_UNROLL = 8  # logarithms are taken of products of this many terms


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
def digamma(value: float) -> float:
    """Digamma function for value > 0: upward recurrence to 8, then the asymptotic series."""
    total = 0.0
    while value < 8.0:
        total -= 1.0 / value
        value += 1.0
    inverse = 1.0 / (value * value)
    series = 1 / 12 - inverse * (1 / 120 - inverse * (1 / 252 - inverse * (1 / 240 - inverse / 132)))
    return total + math.log(value) - 0.5 / value - inverse * series


@compiled
def natural(x: Array, leverage: bool, bound: float, theta: Array) -> None:
    """Write into `theta` the parameters that `x` stands for; persistence stays below `bound`."""
    largest = max(0.0, x[2], x[4])
    if leverage:
        largest = max(largest, x[3])
    slack = math.exp(-largest)
    up = math.exp(x[2] - largest)
    beta = math.exp(x[4] - largest)
    down = math.exp(x[3] - largest) if leverage else 0.0
    scale = bound / (slack + up + down + beta)
    theta[0] = x[0]
    theta[1] = math.exp(x[1])
    theta[2] = 2.0 * up * scale if leverage else up * scale
    theta[3] = 2.0 * down * scale if leverage else theta[2]
    theta[4] = beta * scale
    theta[5] = NU_FLOOR + math.exp(min(x[5], NU_LOG_CAP))


@compiled
def first_variance(theta: Array, presample: Array) -> float:
    """First conditional variance: both residual and variance before the sample are the presample value."""
    before = presample[0] + presample[1] * (theta[0] - presample[2]) ** 2
    return float(theta[1] + (0.5 * (theta[2] + theta[3]) + theta[4]) * before)


@compiled
def log_likelihood(y: Array, theta: Array, presample: Array) -> float:
    """Log-likelihood of standardised returns `y` (n,), in nats."""
    mu, omega, up, down, beta, nu = theta
    n = y.shape[0]
    inverse = 1.0 / (nu - 2.0)
    h = first_variance(theta, presample)
    log_h = 0.0
    log_u = 0.0
    product_h = 1.0
    product_u = 1.0
    count = 0
    for t in range(n):
        e = y[t] - mu
        square = e * e
        product_h *= h
        product_u *= 1.0 + square * inverse / h
        count += 1
        if count == _UNROLL:
            log_h += math.log(product_h)
            log_u += math.log(product_u)
            product_h = 1.0
            product_u = 1.0
            count = 0
        h = omega + (down if e < 0.0 else up) * square + beta * h
    log_h += math.log(product_h)
    log_u += math.log(product_u)
    constant = math.lgamma(0.5 * (nu + 1.0)) - math.lgamma(0.5 * nu) - 0.5 * (math.log(nu - 2.0) + _LOG_PI)
    return float(n * constant - 0.5 * log_h - 0.5 * (nu + 1.0) * log_u)


@compiled
def score(y: Array, theta: Array, presample: Array, h: Array, slope: Array, gradient: Array) -> float:
    """Log-likelihood and, written into `gradient` (6,), its derivative in `theta`.

    One forward pass for the variances `h` (n,) and the derivative `slope` (n,) of each term in its own
    variance, one backward pass that accumulates the adjoint of h (reverse-mode differentiation).
    """
    mu, omega, up, down, beta, nu = theta
    n = y.shape[0]
    inverse = 1.0 / (nu - 2.0)
    h[0] = first_variance(theta, presample)
    for t in range(1, n):
        e = y[t - 1] - mu
        h[t] = omega + (down if e < 0.0 else up) * e * e + beta * h[t - 1]
    log_h = 0.0
    log_u = 0.0
    d_mu = 0.0
    tail = 0.0
    for start in range(0, n, _UNROLL):
        product_h = 1.0
        product_u = 1.0
        for t in range(start, min(start + _UNROLL, n)):
            e = y[t] - mu
            precision = 1.0 / h[t]
            ratio = e * e * precision * inverse
            u = 1.0 + ratio
            product_h *= h[t]
            product_u *= u
            weight = (nu + 1.0) * inverse / u
            d_mu += weight * e * precision
            tail += ratio / u
            slope[t] = 0.5 * precision * (weight * e * e * precision - 1.0)
        log_h += math.log(product_h)
        log_u += math.log(product_u)
    d_omega = 0.0
    d_up = 0.0
    d_down = 0.0
    d_beta = 0.0
    adjoint = 0.0
    for t in range(n - 1, 0, -1):
        adjoint = slope[t] + beta * adjoint
        e = y[t - 1] - mu
        d_omega += adjoint
        d_beta += adjoint * h[t - 1]
        if e < 0.0:
            d_down += adjoint * e * e
            d_mu -= 2.0 * down * e * adjoint
        else:
            d_up += adjoint * e * e
            d_mu -= 2.0 * up * e * adjoint
    adjoint = slope[0] + beta * adjoint
    offset = mu - presample[2]
    before = presample[0] + presample[1] * offset * offset
    gradient[0] = d_mu + adjoint * (0.5 * (up + down) + beta) * 2.0 * presample[1] * offset
    gradient[1] = d_omega + adjoint
    gradient[2] = d_up + 0.5 * before * adjoint
    gradient[3] = d_down + 0.5 * before * adjoint
    gradient[4] = d_beta + before * adjoint
    slope_constant = 0.5 * (digamma(0.5 * (nu + 1.0)) - digamma(0.5 * nu) - inverse)
    gradient[5] = n * slope_constant - 0.5 * log_u + 0.5 * (nu + 1.0) * inverse * tail
    constant = math.lgamma(0.5 * (nu + 1.0)) - math.lgamma(0.5 * nu) - 0.5 * (math.log(nu - 2.0) + _LOG_PI)
    return float(n * constant - 0.5 * log_h - 0.5 * (nu + 1.0) * log_u)


@compiled
def chain_rule(x: Array, theta: Array, gradient: Array, leverage: bool, bound: float, out: Array) -> None:
    """Turn the derivative in `theta` into the derivative in `x`, written into `out` (6,)."""
    out[0] = gradient[0]
    out[1] = gradient[1] * theta[1]
    beta = theta[4]
    if leverage:
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


@compiled
def expected_information(y: Array, theta: Array, presample: Array, leverage: bool, bound: float, out: Array) -> None:
    """Expected information in `x`, written into `out` (6, 6): the first metric of the search.

    Sum over t of E[d2 l / d h2] (dh/dtheta)(dh/dtheta)' plus the direct term of mu, through the parameter map;
    the Student-t weights are nu / (2 (nu + 3)) and nu (nu + 1) / ((nu - 2)(nu + 3)).
    """
    mu, omega, up, down, beta, nu = theta
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
        precision = 1.0 / h
        weight = weight_h * precision * precision
        for i in range(5):
            for j in range(i + 1):
                information[i, j] += weight * d[i] * d[j]
        information[0, 0] += weight_mu * precision
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


@compiled
def variances(y: Array, theta: Array, presample: Array, out: Array) -> None:
    """Write the conditional variances h[1..n] and the forecast h[n+1] into `out` (n + 1,)."""
    mu, omega, up, down, beta, _ = theta
    out[0] = first_variance(theta, presample)
    for t in range(y.shape[0]):
        e = y[t] - mu
        out[t + 1] = omega + (down if e < 0.0 else up) * e * e + beta * out[t]
