"""Random numbers and distribution maps for compiled simulation: xoshiro256++ in lanes, and cubics in octaves.

Generator
    64 lanes of xoshiro256++ (Blackman and Vigna 2021, ACM Transactions on Mathematical Software 47), which the
    compiler advances several at once. All lanes start from words of one numpy `SeedSequence` (see `risk.streams`), so
    that blocks with different keys are independent of each other whoever computes them.
Maps
    A smooth function on a range of octaves is kept as 32 cubics an octave (Hermite: value and slope at both ends).
    The piece and the place in it are the leading and the following bits of the argument as a float. Hermite's error
    is width^4 / 384 times the fourth derivative: for a power v^c, relative |c (c-1) (c-2) (c-3)| / (384 32^4). The
    normal and the mixing (c down to -1/2) are within 2e-8, and so are shocks while c, the copula's degrees of freedom
    over the margin's, is at most 2.5.

A draw is a side, from bit 0, and a tail probability u / 2 with u in (0, 1) from the upper 52 bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, gammaincinv, gammaln, ndtri, stdtr, stdtrit

from risk.market import FloatArray
from risk.volatility.jit import compiled

Words = NDArray[np.uint64]
ValueAndSlope = Callable[[FloatArray], tuple[FloatArray, FloatArray]]

LANES = 64
_BITS = 5  # of the fraction, that choose the piece
_PIECES = 1 << _BITS
_SHIFT = np.uint64(52 - _BITS)
_REST = np.uint64((1 << (52 - _BITS)) - 1)
_SCALE = 2.0 ** -(52 - _BITS)
_BIAS = 1023
_ONE = np.uint64(0x3FF0000000000000)  # 1.0 as bits
_HALF_STEP = 2.0**-53
TAIL = -53  # octave in which tail probabilities begin
SHOCK_OCTAVES = 16


def octave_cubics(function: ValueAndSlope, first: int, octaves: int) -> FloatArray:
    """Cubics (32 octaves, 4) of a function on [2^first, 2^(first + octaves)]; held constant once it is not finite."""
    index = np.arange(octaves * _PIECES + 1)
    v = 2.0 ** (first + index // _PIECES) * (1.0 + (index % _PIECES) / _PIECES)
    with np.errstate(over="ignore", invalid="ignore"):
        value, slope = function(v)
    known = np.isfinite(value) & np.isfinite(slope)
    if not known.all():
        end = int(np.argmin(known))
        value[end:], slope[end:] = value[end - 1], 0.0
    width = np.diff(v)
    p, q, m, n = value[:-1], value[1:], slope[:-1] * width, slope[1:] * width
    return np.column_stack([p, m, -3.0 * p + 3.0 * q - 2.0 * m - n, 2.0 * p - 2.0 * q + m + n])


def normal_map() -> FloatArray:
    """Size of a standard normal whose two tails have probability u: cubics on u in [2^-53, 1]."""

    def size(u: FloatArray) -> tuple[FloatArray, FloatArray]:
        z = -ndtri(0.5 * u)
        return z, -math.sqrt(0.5 * math.pi) * np.exp(0.5 * z**2)

    return octave_cubics(size, TAIL, -TAIL)


def mixing_map(nu: float) -> FloatArray:
    """sqrt(nu / c) of a chi-square c: cubics on u of a lower tail u / 2 (row 0) and an upper tail u / 2 (row 1)."""

    def root(c: FloatArray, sign: float) -> tuple[FloatArray, FloatArray]:
        log_density = (0.5 * nu - 1.0) * np.log(0.5 * c) - 0.5 * c - gammaln(0.5 * nu) - math.log(2.0)
        return np.sqrt(nu / c), sign * 0.25 * np.sqrt(nu / c) / c * np.exp(-log_density)

    return np.stack(
        [
            octave_cubics(lambda u: root(2.0 * gammaincinv(0.5 * nu, 0.5 * u), -1.0), TAIL, -TAIL),
            octave_cubics(lambda u: root(chdtri(nu, 0.5 * u), 1.0), TAIL, -TAIL),
        ]
    )


def shock_map(copula_nu: float, nu: float) -> FloatArray:
    """Shock of unit variance F_nu^-1(F_copula(z)) of a copula draw z >= 0: cubics on 1 + z in [1, 2^16]."""

    def log_density(z: FloatArray, freedom: float) -> FloatArray:
        constant = gammaln(0.5 * (freedom + 1.0)) - gammaln(0.5 * freedom) - 0.5 * math.log(math.pi * freedom)
        return np.asarray(constant - 0.5 * (freedom + 1.0) * np.log1p(z**2 / freedom))

    def shock(v: FloatArray) -> tuple[FloatArray, FloatArray]:
        z = v - 1.0
        t = -stdtrit(nu, stdtr(copula_nu, -z))
        t[0] = 0.0
        spread = math.sqrt((nu - 2.0) / nu)
        return t * spread, np.exp(log_density(z, copula_nu) - log_density(t, nu)) * spread

    return octave_cubics(shock, 0, SHOCK_OCTAVES)


def seeded(sequence: np.random.SeedSequence) -> Words:
    """State (4, 64) of the generator."""
    return np.asarray(sequence.generate_state(4 * LANES, np.uint64), dtype=np.uint64).reshape(4, LANES)


@compiled
def fill(state: Words, out: Words) -> None:
    """Fill `out`, of a length that is a multiple of 64, with random bits."""
    s0, s1, s2, s3 = state[0], state[1], state[2], state[3]
    left, right = np.uint64(23), np.uint64(41)
    turn, back = np.uint64(45), np.uint64(19)
    shift = np.uint64(17)
    for start in range(0, out.shape[0], LANES):
        part = out[start : start + LANES]
        for i in range(LANES):
            total = s0[i] + s3[i]
            part[i] = ((total << left) | (total >> right)) + s0[i]
            kept = s1[i] << shift
            a = s2[i] ^ s0[i]
            b = s3[i] ^ s1[i]
            s1[i] ^= a
            s0[i] ^= b
            s2[i] = a ^ kept
            s3[i] = (b << turn) | (b >> back)


@compiled
def probabilities(bits: Words, out: FloatArray) -> None:
    """Write u in (0, 1), an odd multiple of 2^-53, from the upper 52 of `bits` into `out`."""
    words = out.view(np.uint64)
    for k in range(bits.shape[0]):
        words[k] = (bits[k] >> np.uint64(12)) | _ONE
    for k in range(bits.shape[0]):
        out[k] = (out[k] - 1.0) + _HALF_STEP


@compiled
def evaluate(table: FloatArray, first: int, values: FloatArray, out: FloatArray) -> None:
    """Write the function that `table` holds from 2^first on, at `values`, into `out`."""
    words = values.view(np.uint64)
    base = np.uint64((_BIAS + first) << _BITS)
    last = np.uint64(table.shape[0] - 1)
    for k in range(values.shape[0]):
        piece = min((words[k] >> _SHIFT) - base, last)  # unsigned, or each access would test for a negative index
        f = np.float64(np.int64(words[k] & _REST)) * _SCALE
        out[k] = table[piece, 0] + f * (table[piece, 1] + f * (table[piece, 2] + f * table[piece, 3]))
