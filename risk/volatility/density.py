"""Compiled log densities of innovations of unit variance, and what their derivatives add to a score.

`NORMAL`; `STUDENT`, with nu degrees of freedom, scaled to unit variance (Bollerslev 1987); `SKEWED`, Hansen's
(1994, International Economic Review 35, equation 10) skewed t: lambda in (-1, 1), negative for a heavier lower tail.
Nothing here checks its input or raises; `risk.volatility.innovations` and `risk.volatility.engine` do.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from risk.volatility.jit import compiled

Array = NDArray[np.float64]

NORMAL, STUDENT, SKEWED = 0, 1, 2
UNROLL = 8  # logarithms are taken of products of this many terms
LOG_PI = math.log(math.pi)


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
def log_constant(nu: float) -> float:
    """Logarithm of the Student-t density of unit variance at zero."""
    return math.lgamma(0.5 * (nu + 1.0)) - math.lgamma(0.5 * nu) - 0.5 * (math.log(nu - 2.0) + LOG_PI)


@compiled
def log_constant_slope(nu: float) -> float:
    """Derivative of `log_constant`."""
    return 0.5 * (digamma(0.5 * (nu + 1.0)) - digamma(0.5 * nu) - 1.0 / (nu - 2.0))


@compiled
def hansen(nu: float, skew: float) -> tuple[float, float]:
    """Hansen's a and b, the location and scale that give the skewed t mean 0 and variance 1."""
    a = 4.0 * skew * math.exp(log_constant(nu)) * (nu - 2.0) / (nu - 1.0)
    return a, math.sqrt(1.0 + 3.0 * skew * skew - a * a)


@compiled
def log_sum(values: Array) -> float:
    """Sum of the logarithms of positive `values` (n,): logarithms of products of 16, taken lane by lane."""
    n = values.shape[0]
    lanes = n // 16
    products = np.ones(lanes)
    for k in range(16):
        part = values[k * lanes : (k + 1) * lanes]
        for i in range(lanes):
            products[i] *= part[i]
    total = 0.0
    for i in range(lanes):
        total += math.log(products[i])
    for t in range(16 * lanes, n):
        total += math.log(values[t])
    return total


@compiled
def student_terms(y: Array, theta: Array, h: Array, slope: Array, gradient: Array) -> float:
    """Log-likelihood of `y` (n,) under variances `h` (n,).

    Writes the derivative of each term in its own variance into `slope` (n,), and those in mu, nu and lambda at
    given variances into `gradient` (7,). With g = h + e^2 / (nu - 2) a term is, up to the constant,
    nu / 2 log h - (nu + 1) / 2 log g. The first loop has no sums, so that the compiler can do several t at once.
    """
    mu, nu = theta[0], theta[5]
    n = y.shape[0]
    inverse = 1.0 / (nu - 2.0)
    g = np.empty(n)
    pull = np.empty(n)
    for t in range(n):
        e = y[t] - mu
        g[t] = h[t] + e * e * inverse
        both = 1.0 / (h[t] * g[t])  # one division for two
        pull[t] = e * inverse * (h[t] * both)
        slope[t] = 0.5 * ((nu + 1.0) * pull[t] * e - 1.0) * (g[t] * both)
    d_mu = 0.0
    tail = 0.0
    for t in range(n):
        d_mu += pull[t]
        tail += pull[t] * (y[t] - mu)
    log_h = log_sum(h)
    log_g = log_sum(g)
    gradient[0] = (nu + 1.0) * d_mu
    gradient[5] = n * log_constant_slope(nu) - 0.5 * (log_g - log_h) + 0.5 * (nu + 1.0) * inverse * tail
    gradient[6] = 0.0
    return float(n * log_constant(nu) + 0.5 * nu * log_h - 0.5 * (nu + 1.0) * log_g)


@compiled
def normal_terms(y: Array, theta: Array, h: Array, slope: Array, gradient: Array) -> float:
    """As `student_terms`, of normal innovations."""
    mu = theta[0]
    n = y.shape[0]
    log_h = 0.0
    squares = 0.0
    d_mu = 0.0
    for t in range(n):
        e = y[t] - mu
        precision = 1.0 / h[t]
        log_h += math.log(h[t])
        squares += e * e * precision
        d_mu += e * precision
        slope[t] = 0.5 * precision * (e * e * precision - 1.0)
    gradient[0] = d_mu
    gradient[5] = 0.0
    gradient[6] = 0.0
    return float(-0.5 * (n * (math.log(2.0) + LOG_PI) + log_h + squares))


@compiled
def skewed_terms(y: Array, theta: Array, h: Array, slope: Array, gradient: Array) -> float:
    """As `student_terms`, of Hansen's skewed t."""
    mu, nu, skew = theta[0], theta[5], theta[6]
    n = y.shape[0]
    a, b = hansen(nu, skew)
    # Derivatives of a and b: b^2 = 1 + 3 lambda^2 - a^2.
    a_skew = 4.0 * math.exp(log_constant(nu)) * (nu - 2.0) / (nu - 1.0)
    a_nu = a * (log_constant_slope(nu) + 1.0 / (nu - 2.0) - 1.0 / (nu - 1.0))
    b_skew = (3.0 * skew - a * a_skew) / b
    b_nu = -a * a_nu / b
    inverse = 1.0 / (nu - 2.0)
    log_h = 0.0
    log_u = 0.0
    d_mu = 0.0
    d_nu = 0.0
    d_skew = 0.0
    for start in range(0, n, UNROLL):
        product_h = 1.0
        product_u = 1.0
        for t in range(start, min(start + UNROLL, n)):
            precision = 1.0 / h[t]
            root = math.sqrt(precision)
            z = (y[t] - mu) * root
            sign = -1.0 if b * z + a < 0.0 else 1.0
            side = 1.0 / (1.0 + sign * skew)
            q = (b * z + a) * side
            u = 1.0 + q * q * inverse
            product_h *= h[t]
            product_u *= u
            pull = -(nu + 1.0) * q * inverse / u  # derivative of the term in q
            d_mu -= pull * b * side * root
            slope[t] = -0.5 * precision * (1.0 + pull * b * side * z)
            d_skew += pull * side * (b_skew * z + a_skew - sign * q)
            d_nu += 0.5 * (nu + 1.0) * q * q * inverse * inverse / u + pull * side * (b_nu * z + a_nu)
        log_h += math.log(product_h)
        log_u += math.log(product_u)
    gradient[0] = d_mu
    gradient[5] = n * (log_constant_slope(nu) + b_nu / b) - 0.5 * log_u + d_nu
    gradient[6] = d_skew + n * b_skew / b
    return float(n * (log_constant(nu) + math.log(b)) - 0.5 * log_h - 0.5 * (nu + 1.0) * log_u)
