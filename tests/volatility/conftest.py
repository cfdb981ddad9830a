"""Simulated series with known truth, and the portable series behind the golden values."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import stdtrit

Array = NDArray[np.float64]


def _simulate(
    n: int,
    rng: np.random.Generator,
    *,
    mu: float = 0.0,
    omega: float = 3.2e-5,
    alpha: float = 0.08,
    gamma: float = 0.0,
    beta: float = 0.90,
    nu: float = 5.0,
) -> tuple[Array, float]:
    """GJR(1,1)-t log returns after a burn-in of 500 bars, and the true variance of the next bar."""
    burn = 500
    z = rng.standard_t(nu, n + burn) * np.sqrt((nu - 2) / nu)
    h = omega / (1 - alpha - gamma / 2 - beta)
    e = np.empty(n + burn)
    for t in range(n + burn):
        e[t] = np.sqrt(h) * z[t]
        h = omega + (alpha + gamma * (e[t] < 0)) * e[t] ** 2 + beta * h
    return mu + e[burn:], float(h)


def _uniforms(seed: int, n: int) -> Array:
    """Park-Miller generator x <- 16807 x mod (2^31 - 1), u = x / (2^31 - 1)."""
    u = np.empty(n)
    for i in range(n):
        seed = (16807 * seed) % 2147483647
        u[i] = seed / 2147483647
    return u


@pytest.fixture(scope="session")
def garch_twin() -> Array:
    """Series of 1,500 with GARCH(1,1)-t6 whose maximum likelihood fit is published by fGarch 4022.89."""
    z = stdtrit(6, _uniforms(4242, 1500)) * np.sqrt(4 / 6)
    y = np.empty(1500)
    h, e = 1.0, 0.0
    for t in range(1500):
        if t:
            h = 0.05 + 0.08 * e**2 + 0.87 * h
        e = np.sqrt(h) * z[t]
        y[t] = 0.03 + e
    return y


@pytest.fixture(scope="session")
def simulate() -> Callable[..., tuple[Array, float]]:
    """Call as `simulate(n, generator, **parameters)`."""
    return _simulate
