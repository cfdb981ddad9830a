"""A Student-t copula over assets: correlation by Kendall's tau, degrees of freedom by profile likelihood.

Demarta and McNeil (2005), The t copula and related copulas: tau of any elliptical copula is (2/π) asin ρ, so
ρ = sin(π tau / 2) needs no marginal and does not feel single outliers. The matrix is shrunk and made positive
definite; the degrees of freedom then maximise the likelihood of the ranks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, stdtrit

from risk.calibration import Dependence
from risk.errors import DataError, EvidenceError
from risk.market import FloatArray, IntArray, frozen

MINIMUM_COMMON = 100
"""Fewer common bars than this say nothing of a pair; it takes the mean of its neighbours."""
UNKNOWN_CORRELATION = 0.6
"""Assumed where no pair at all is known: crypto assets fall together."""
SMALLEST_EIGENVALUE = 1e-4
"""Floor that makes the matrix positive definite."""
PERFECT = 0.999
"""Correlation from which two assets are one: they say nothing of the degrees of freedom."""
GRID: FloatArray = frozen(np.geomspace(2.1, 60.0, 28))
"""Degrees of freedom tried; at the upper end the copula is close to Gaussian."""

Residuals = Mapping[str, tuple[IntArray, FloatArray]]


def fit_dependence(residuals: Residuals) -> Dependence:
    """Fit the copula to standardised residuals.

    Parameters
    ----------
    residuals
        By asset: end times (n,) in unix seconds, strictly increasing, and standardised residuals (n,). The
        order of the mapping does not matter; assets come out in name order.

    Returns
    -------
    Correlation (n_assets, n_assets), positive definite with a unit diagonal. `status` is ``ok`` or says which
    pairs have fewer than 100 common bars, that the likelihood sits at the end of its grid, and which assets are
    perfectly correlated with another: of these only the first counts for the degrees of freedom, for which the others
    would stand as a joint extreme on every bar. One asset alone has the largest degrees of freedom of the grid: with
    nothing beside it they have no meaning.

    Raises
    ------
    EvidenceError
        No asset.
    DataError
        A residual that is not finite, or times that do not ascend.
    """
    assets = tuple(sorted(residuals))
    if not assets:
        raise EvidenceError("no asset has residuals", field="dependence", remedy="Give at least one asset a feed")
    for name in assets:
        times, values = residuals[name]
        if len(times) != len(values) or not np.isfinite(values).all() or (np.diff(times) <= 0).any():
            raise DataError("residuals are not finite, or their times do not ascend", field=name)
    raw, variance, thin = _pairwise(assets, residuals)
    same = _twins(assets, raw, thin)
    distinct = [i for i, name in enumerate(assets) if name not in same]
    correlation = positive_definite(shrunk(raw, variance))
    common = common_bars([assets[i] for i in distinct], residuals)
    groups: list[Sequence[int]] = [distinct]
    notes = [f"{name} moves as {other}, left out of the degrees of freedom" for name, other in same.items()]
    notes += [f"{a}:{b} has under {MINIMUM_COMMON} common bars, mean of its neighbours" for a, b in thin]
    if len(common[0]) < MINIMUM_COMMON and len(distinct) > 1:
        # No span is common to all: a composite likelihood over the pairs that have one.
        known = {pair for pair in combinations([assets[i] for i in distinct], 2) if pair not in set(thin)}
        groups = [(assets.index(a), assets.index(b)) for a, b in sorted(known)]
        notes.append("degrees of freedom by pairwise likelihood")
    samples = [common_bars([assets[i] for i in group], residuals) for group in groups]
    freedom = GRID[-1]
    if len(distinct) > 1 and samples:
        freedom, at_end = _profile(groups, samples, correlation)
        if at_end:
            notes.append("degrees of freedom at the end of the grid")
    n_observations = min((len(sample[0]) for sample in samples), default=0)
    return Dependence(assets, frozen(correlation), float(freedom), n_observations, "; ".join(notes) or "ok")


def twins(residuals: Residuals) -> dict[str, str]:
    """Assets that are perfectly correlated, either way, with one before them in name order, and that one."""
    assets = tuple(sorted(residuals))
    raw, _, thin = _pairwise(assets, residuals)
    return _twins(assets, raw, thin)


def _twins(assets: tuple[str, ...], raw: FloatArray, thin: tuple[tuple[str, str], ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for i, j in combinations(range(len(assets)), 2):
        pair = (assets[i], assets[j])
        if abs(raw[i, j]) >= PERFECT and pair not in thin and assets[i] not in found:
            found.setdefault(assets[j], assets[i])
    return found


def kendall_tau(x: FloatArray, y: FloatArray) -> float:
    """Kendall's tau-b of two samples (n,), in O(n log² n) by counting inversions (Knight 1966).

    A constant sample has no order and gives zero.
    """
    n = len(x)
    order = np.lexsort((y, x))
    x, y = x[order], y[order]
    pairs = n * (n - 1) // 2
    same_x = _tied_pairs(x)
    same_y = _tied_pairs(np.sort(y))
    same_both = _tied_pairs(x + 1j * y)
    if pairs in (same_x, same_y):
        return 0.0
    rank = np.unique(y, return_inverse=True)[1].astype(np.int64)
    surplus = pairs - same_x - same_y + same_both - 2 * _inversions(rank)
    return float(surplus / np.sqrt(float(pairs - same_x) * float(pairs - same_y)))


def log_density(u: FloatArray, correlation: FloatArray, degrees_of_freedom: float) -> FloatArray:
    """Log density of the t copula at u (n, d) in the open unit cube; (n,)."""
    d, nu = u.shape[1], degrees_of_freedom
    x = stdtrit(nu, u)
    lower = np.linalg.cholesky(correlation)
    z = np.linalg.solve(lower, x.T)
    constant = gammaln((nu + d) / 2) + (d - 1) * gammaln(nu / 2) - d * gammaln((nu + 1) / 2)
    joint = constant - np.log(np.diag(lower)).sum() - (nu + d) / 2 * np.log1p((z * z).sum(axis=0) / nu)
    density: FloatArray = joint + (nu + 1) / 2 * np.log1p(x * x / nu).sum(axis=1)
    return density


def shrunk(correlation: FloatArray, variance: FloatArray) -> FloatArray:
    """Shrink (d, d) towards its mean correlation.

    The intensity is that of Ledoit and Wolf (2004, Honey, I shrunk the sample covariance matrix) in the form of
    Schäfer and Strimmer (2005, eq. 8): summed sampling variance over summed squared distance to the target.
    """
    upper = np.triu_indices(len(correlation), 1)
    values = correlation[upper]
    if not len(values):
        return correlation
    target = values.mean()
    distance = float(((values - target) ** 2).sum())
    intensity = 1.0 if distance == 0.0 else min(1.0, float(variance[upper].sum()) / distance)
    result: FloatArray = (1 - intensity) * correlation + intensity * target
    np.fill_diagonal(result, 1.0)
    return result


def positive_definite(correlation: FloatArray) -> FloatArray:
    """Nearest by clipping eigenvalues at 1e-4 and rescaling to a unit diagonal; unchanged where none is lower."""
    values, vectors = np.linalg.eigh(correlation)
    if float(values[0]) >= SMALLEST_EIGENVALUE:
        return correlation
    # Rescaling divides by diagonals of at most 1 + d * floor, so clip a little above the floor.
    clipped = (vectors * np.maximum(values, SMALLEST_EIGENVALUE * 2)) @ vectors.T
    scale = 1.0 / np.sqrt(np.diag(clipped))
    result: FloatArray = clipped * np.outer(scale, scale)
    result = (result + result.T) / 2
    np.fill_diagonal(result, 1.0)
    return result


def _pairwise(
    assets: tuple[str, ...], residuals: Residuals
) -> tuple[FloatArray, FloatArray, tuple[tuple[str, str], ...]]:
    """Correlations and their sampling variances (d, d), and the pairs too short to know."""
    d = len(assets)
    correlation, variance = np.full((d, d), np.nan), np.zeros((d, d))
    np.fill_diagonal(correlation, 1.0)
    for i, j in combinations(range(d), 2):
        times, values = common_bars([assets[i], assets[j]], residuals)
        n = len(times)
        if n < MINIMUM_COMMON:
            continue
        tau = kendall_tau(values[:, 0], values[:, 1])
        rho = np.sin(np.pi / 2 * tau)
        # Esscher (1924): n var(tau) -> 4 (1/9 - (2 asin(rho/2) / pi)²) for normal margins; delta method for rho.
        spread = 4.0 / n * (1.0 / 9.0 - (2.0 / np.pi * np.arcsin(rho / 2)) ** 2)
        correlation[i, j] = correlation[j, i] = rho
        variance[i, j] = variance[j, i] = (np.pi / 2) ** 2 * (1 - rho * rho) * spread
    thin = []
    known = correlation.copy()
    np.fill_diagonal(known, np.nan)
    for i, j in combinations(range(d), 2):
        if np.isnan(correlation[i, j]):
            thin.append((assets[i], assets[j]))
            near = np.concatenate((known[i], known[j]))
            for candidates in (near, known.ravel(), np.array([UNKNOWN_CORRELATION])):
                if not np.isnan(candidates).all():
                    correlation[i, j] = correlation[j, i] = np.nanmean(candidates)
                    break
    return correlation, variance, tuple(thin)


def common_bars(names: Sequence[str], residuals: Residuals) -> tuple[IntArray, FloatArray]:
    """Times (n,) that all of some assets have, and residuals (n, d) at them."""
    times = residuals[names[0]][0]
    for name in names[1:]:
        times = np.intersect1d(times, residuals[name][0], assume_unique=True)
    return times, np.column_stack([residuals[n][1][np.searchsorted(residuals[n][0], times)] for n in names])


def _profile(
    groups: list[Sequence[int]], samples: list[tuple[IntArray, FloatArray]], correlation: FloatArray
) -> tuple[float, bool]:
    """Degrees of freedom that maximise the summed likelihood of ranks, and whether they end the grid."""
    heights = np.zeros(len(GRID))
    for group, (_, values) in zip(groups, samples, strict=True):
        ranks = np.argsort(np.argsort(values, axis=0), axis=0) + 1
        uniforms: FloatArray = ranks.astype(np.float64) / (len(values) + 1)
        part = correlation[np.ix_(group, group)]
        heights += [log_density(uniforms, part, nu).sum() for nu in GRID]
    best = int(np.argmax(heights))
    if best in (0, len(GRID) - 1):
        return float(GRID[best]), True
    # A parabola through the best three points in log nu, whose steps are equal.
    left, middle, right = heights[best - 1 : best + 2]
    shift = 0.5 * (left - right) / (left - 2 * middle + right)
    return float(GRID[best] * (GRID[1] / GRID[0]) ** shift), False


def _tied_pairs(ordered: npt.NDArray[np.generic]) -> int:
    """Pairs of equal values in a sorted array."""
    counts = np.diff(np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1], [True]))))
    return int((counts * (counts - 1) // 2).sum())


def _inversions(rank: IntArray) -> int:
    """Pairs out of order, by merging blocks bottom-up: all merges of one width are one stable sort."""
    n = len(rank)
    position, total, width = np.arange(n), 0, 1
    values = rank
    while width < n:
        order = np.lexsort((position, values, position // (2 * width)))
        # A value of a left half that lands `k` places further right was overtaken by k smaller ones.
        moved = position - order
        total += int(moved[moved > 0].sum())
        values = values[order]
        width *= 2
    return total
