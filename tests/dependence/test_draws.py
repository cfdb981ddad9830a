"""Generator and maps of the compiled simulation: a plain twin, scipy, and statistics of what is drawn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import chdtri, gammaincinv, ndtr, ndtri, stdtr, stdtrit

from risk.dependence.draws import (
    LANES,
    SHOCK_OCTAVES,
    TAIL,
    evaluate,
    fill,
    mixing_map,
    normal_map,
    probabilities,
    seeded,
    shock_map,
)

MASK = (1 << 64) - 1


def bits(count: int, *key: int) -> np.ndarray:
    out = np.empty(count, np.uint64)
    fill(seeded(np.random.SeedSequence(5, spawn_key=key)), out)
    return out


def tails(words: np.ndarray) -> np.ndarray:
    out = np.empty(words.size)
    probabilities(words, out)
    return out


def mapped(table: np.ndarray, first: int, values: np.ndarray) -> np.ndarray:
    out = np.empty(values.size)
    evaluate(table, first, values, out)
    return out


def normals(count: int, *key: int) -> np.ndarray:
    drawn = bits(count, *key)
    return np.where(drawn & np.uint64(1), -1.0, 1.0) * mapped(normal_map(), TAIL, tails(drawn))


def test_the_bits_are_those_of_xoshiro256_plus_plus() -> None:
    """Against the published recursion in Python's own integers, and its first output from the state (1, 2, 3, 4).

    rotl(1 + 4, 23) + 1 = 41943041, the first value of the reference vector of several public ports.
    """

    def turned(x: int, k: int) -> int:
        return ((x << k) | (x >> (64 - k))) & MASK

    state = seeded(np.random.SeedSequence(5))
    state[:, 0] = (1, 2, 3, 4)
    plain = [[int(word) for word in state[:, lane]] for lane in range(LANES)]
    found = np.empty(5 * LANES, np.uint64)
    fill(state, found)
    assert found[0] == 41943041
    for step in range(5):
        for lane, s in enumerate(plain):
            assert int(found[step * LANES + lane]) == (turned((s[0] + s[3]) & MASK, 23) + s[0]) & MASK
            shifted = (s[1] << 17) & MASK
            s[2] ^= s[0]
            s[3] ^= s[1]
            s[1] ^= s[2]
            s[0] ^= s[3]
            s[2] ^= shifted
            s[3] = turned(s[3], 45)
    assert [[int(word) for word in state[:, lane]] for lane in range(LANES)] == plain, "the state moves on"


def test_probabilities_are_exact_and_open() -> None:
    words = np.array([0, MASK, 1 << 63, 1 << 12, (1 << 12) - 1], dtype=np.uint64)
    expected = [2.0**-53, 1.0 - 2.0**-53, 0.5 + 2.0**-53, 1.5 * 2.0**-52, 2.0**-53]
    assert tails(words).tolist() == expected


def error(c: float) -> float:
    """Hermite's relative error of a power v^c with 32 pieces an octave, and a half more for what is no pure power."""
    return 1.5 * abs(c * (c - 1) * (c - 2) * (c - 3)) / (384 * 32**4) + 2e-8


def test_maps_are_the_exact_functions() -> None:
    """At 20,000 arguments, even in their logarithm: as many in a far tail as in the body."""
    rng = np.random.default_rng(1)
    u = np.append(2.0 ** -rng.uniform(0.0, 53.0, 20_000), [2.0**-53, 1.0 - 2.0**-53, 0.5])
    np.testing.assert_allclose(mapped(normal_map(), TAIL, u), -ndtri(u / 2), rtol=2e-8, atol=1e-15)
    for nu in (2.1, 3.0, 5.0, 30.0, 200.0):
        lower, upper = (mapped(table, TAIL, u) for table in mixing_map(nu))
        np.testing.assert_allclose(lower, np.sqrt(nu / (2 * gammaincinv(nu / 2, u / 2))), rtol=2e-8)
        np.testing.assert_allclose(upper, np.sqrt(nu / chdtri(nu, u / 2)), rtol=2e-8)
    v = 2.0 ** rng.uniform(0.0, SHOCK_OCTAVES, 20_000)
    for copula_nu, nu in ((5.0, 3.0), (5.0, 5.0), (4.0, 30.0), (2.1, 30.0), (5.0, 200.0), (30.0, 3.0), (200.0, 30.0)):
        tail = stdtr(copula_nu, 1.0 - v)
        drawn = tail > 2.0**-54  # no draw lies beyond, and scipy's own precision ends
        exact = -stdtrit(nu, tail[drawn]) * np.sqrt((nu - 2) / nu)
        found = mapped(shock_map(copula_nu, nu), 0, v)
        np.testing.assert_allclose(found[drawn], exact, rtol=error(copula_nu / nu), atol=1e-12)
        assert np.isfinite(found).all()


def test_a_map_is_held_where_it_overflows() -> None:
    """At z = 65,535 a copula of 200 degrees of freedom leaves less probability than a float can hold."""
    far = mapped(shock_map(200.0, 5.0), 0, np.array([2.0**10, 2.0**15, 2.0**16, 2.0**40]))
    assert np.isfinite(far).all()
    assert (far[1:] == far[1]).all()


def test_streams_differ_by_key_and_repeat() -> None:
    np.testing.assert_array_equal(bits(640, 1), bits(640, 1))
    assert np.intersect1d(bits(640_000, 1), bits(640_000, 2)).size == 0


@pytest.mark.slow
def test_draws_have_the_distribution() -> None:
    """8 million normals: moments, tail counts, Kolmogorov-Smirnov, each bit, neighbours, lanes and blocks.

    Each bound is 5 standard errors: a sound generator breaks one of these some 200 with probability 1e-4.
    """
    n = 4_000_000
    first, second = normals(n, 0), normals(n, 1)
    z = np.concatenate([first, second])
    for power, mean, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96), (6, 15, 10170)):
        assert abs((z**power).mean() - mean) < 5 * np.sqrt(variance / z.size)
    for bound in (1.0, 2.0, 3.0, 4.0, 4.5):
        for count in ((z > bound).sum(), (z < -bound).sum()):
            expected = z.size * ndtr(-bound)
            assert abs(count - expected) < 5 * np.sqrt(expected)
    ordered = ndtr(np.sort(z))
    grid = np.arange(z.size + 1) / z.size
    distance = max((grid[1:] - ordered).max(), (ordered - grid[:-1]).max())
    assert distance < 2.6 / np.sqrt(z.size)  # P = 2 exp(-2 2.6^2) = 3e-6
    assert abs(np.mean(first * second)) < 5 / np.sqrt(n), "blocks are independent"
    assert abs(np.mean(first**2 * second**2) - 1) < 5 * np.sqrt(8 / n)
    for lag in (1, 2, LANES, 2 * LANES):
        assert abs(np.mean(z[lag:] * z[:-lag])) < 5 / np.sqrt(z.size)
        assert abs(np.mean((z[lag:] ** 2 - 1) * (z[:-lag] ** 2 - 1)) / 2) < 5 / np.sqrt(z.size)
    words = bits(n, 2)
    for k in range(64):
        assert abs(((words >> np.uint64(k)) & np.uint64(1)).mean() - 0.5) < 5 * 0.5 / np.sqrt(n), k
