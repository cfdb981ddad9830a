"""The licence-free series behind the golden values of the backtests."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import ndtri, stdtrit


class Portable(NamedTuple):
    """Losses with normal forecasts that are too small, at one share `a` of exceptions."""

    losses: np.ndarray
    var: np.ndarray
    es: np.ndarray
    sigma: np.ndarray


def portable_returns() -> tuple[np.ndarray, np.ndarray]:
    """Park-Miller uniforms from seed 20240101 through a t4 quantile, with volatility that goes in circles."""
    u = np.empty(1000)
    x = 20240101
    for i in range(1000):
        x = (16807 * x) % 2147483647
        u[i] = x / 2147483647
    sigma = 0.02 * (1 + 0.5 * np.sin(2 * np.pi * np.arange(1, 1001) / 250))
    return sigma * stdtrit(4, u), sigma


def portable(a: float) -> Portable:
    """The series with normal value at risk and expected shortfall."""
    r, sigma = portable_returns()
    edge = ndtri(a)
    return Portable(-r, -sigma * edge, sigma * np.exp(-0.5 * edge**2) / np.sqrt(2 * np.pi) / a, sigma)
