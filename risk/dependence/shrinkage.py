"""Shrunk covariance of Ledoit and Wolf, a market and sector factor structure, and stressed correlation.

Every correlation that leaves here is positive definite with a unit diagonal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from risk.dependence.copula import positive_definite
from risk.errors import DataError
from risk.market import FloatArray, frozen

MINIMUM_ROWS = 30
_LARGEST_SHARE = 0.98
"""Of an asset's variance that factors may explain: perfectly correlated assets keep some noise of their own."""


def ledoit_wolf(sample: FloatArray) -> tuple[FloatArray, float]:
    """Covariance shrunk towards the identity times the mean variance, and the intensity.

    Ledoit and Wolf (2004), A well-conditioned estimator for large-dimensional covariance matrices, Journal of
    Multivariate Analysis 88, equations 14 to 16; divisor n.

    Parameters
    ----------
    sample
        (n, d) rows of observations; finite. Columns are centred.

    Returns
    -------
    Covariance (d, d), read-only, and the weight of the target in [0, 1].

    Raises
    ------
    DataError
        Not a finite table of at least two rows.
    """
    x = _table(sample, 2)
    n, d = x.shape
    x = x - x.mean(axis=0)
    covariance = x.T @ x / n
    level = float(np.trace(covariance)) / d
    distance = float(np.sum((covariance - level * np.eye(d)) ** 2))
    # Sum over rows of |x x' - S|^2 = |x|^4 - 2 x'Sx + |S|^2, in aggregate.
    noise = (float(np.sum(np.sum(x**2, axis=1) ** 2)) / n - float(np.sum(covariance**2))) / n
    intensity = 1.0 if distance <= 0.0 else float(min(max(noise, 0.0) / distance, 1.0))
    return frozen((1.0 - intensity) * covariance + intensity * level * np.eye(d)), intensity


@dataclass(frozen=True, slots=True)
class FactorModel:
    """Market and sector factors of a panel.

    Attributes
    ----------
    assets, factors
        Names; factors are the market assets, then the sectors.
    loadings
        (n_assets, n_factors) of standardised returns on standardised factors.
    factor_correlation
        (n_factors, n_factors)
    own_variance
        (n_assets,) share of variance that no factor explains, at least .02 save for a market asset, which is its
        own factor.
    """

    assets: tuple[str, ...]
    factors: tuple[str, ...]
    loadings: FloatArray
    factor_correlation: FloatArray
    own_variance: FloatArray

    def correlation(self) -> FloatArray:
        """Correlation (n_assets, n_assets) that the factors imply."""
        common = self.loadings @ self.factor_correlation @ self.loadings.T
        whole = common + np.diag(self.own_variance)
        scale = 1.0 / np.sqrt(np.diag(whole))
        correlation = whole * np.outer(scale, scale)
        np.fill_diagonal(correlation, 1.0)
        return frozen(positive_definite(correlation))


def fit_factors(
    residuals: Mapping[str, FloatArray], *, market: Sequence[str], sectors: Mapping[str, str] | None = None
) -> FactorModel:
    """Regress standardised residuals on market assets, and find one further factor for each sector.

    Parameters
    ----------
    residuals
        By asset, (n,) over the same bars; finite.
    market
        Assets that are factors themselves, such as BTC and ETH.
    sectors
        Sector of an asset. A sector's factor explains what its members share after the market; factors of different
        sectors are taken as independent, and a sector of one member has none.

    Raises
    ------
    DataError
        Fewer than 30 common bars, lengths that differ, a market asset that is not there, or a series that does not
        move.
    """
    assets = tuple(sorted(residuals))
    lengths = {len(values) for values in residuals.values()}
    if len(lengths) != 1:
        raise DataError("residuals of a factor model share their bars", field="residuals", value=sorted(lengths))
    missing = sorted(set(market) - set(assets))
    if missing or not market:
        raise DataError("a market factor is one of the assets", field="market", value=missing or None)
    x = _table(np.column_stack([residuals[name] for name in assets]), MINIMUM_ROWS)
    spread = x.std(axis=0)
    if not (spread > 0.0).all():
        raise DataError("an asset does not move", field=assets[int(np.argmin(spread))])
    x = (x - x.mean(axis=0)) / spread
    columns = {name: x[:, assets.index(name)] for name in market}
    design = np.column_stack(list(columns.values()))
    after = _left_over(x, design)
    loadings = np.linalg.lstsq(design, x, rcond=None)[0].T
    factor_correlation = np.atleast_2d(np.corrcoef(design.T))
    names = list(columns)
    for sector in sorted(set((sectors or {}).values())):
        members = [i for i, a in enumerate(assets) if (sectors or {}).get(a) == sector and a not in market]
        if len(members) < 2:
            continue
        names.append(sector)
        loading = np.zeros((len(assets), 1))
        loading[members, 0] = _one_factor(after[:, members].T @ after[:, members] / len(x))
        loadings = np.hstack([loadings, loading])
        factor_correlation = np.block(
            [[factor_correlation, np.zeros((len(names) - 1, 1))], [np.zeros((1, len(names) - 1)), np.eye(1)]]
        )
    factor_correlation = positive_definite(factor_correlation)
    explained = np.einsum("ij,jk,ik->i", loadings, factor_correlation, loadings)
    is_factor = np.array([name in market for name in assets])
    # What exceeds the largest share is taken from the loadings, so that the total stays one.
    too_much = ~is_factor & (explained > _LARGEST_SHARE)
    loadings[too_much] *= np.sqrt(_LARGEST_SHARE / explained[too_much])[:, None]
    own = np.where(is_factor, 0.0, 1.0 - np.minimum(explained, _LARGEST_SHARE))
    return FactorModel(assets, tuple(names), frozen(loadings), frozen(factor_correlation), frozen(own))


def stressed(correlation: FloatArray, weight: float, *, level: float = 1.0) -> FloatArray:
    """Correlation moved towards one common level: in a crash assets fall together.

    The convex combination of two correlation matrices is one, so the result is positive definite for level >= 0.

    Parameters
    ----------
    correlation
        (d, d)
    weight
        Of the common level, in [0, 1].
    level
        In [0, 1].

    Raises
    ------
    DataError
        A weight or level outside [0, 1], or no correlation matrix.
    """
    if not (0.0 <= weight <= 1.0 and 0.0 <= level <= 1.0):
        raise DataError("weight and level of a stress lie in [0, 1]", field="weight", value=(weight, level))
    matrix = np.asarray(correlation, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not np.allclose(np.diag(matrix), 1.0):
        raise DataError("a correlation is square with a unit diagonal", field="correlation", value=matrix.shape)
    target = np.full_like(matrix, level)
    np.fill_diagonal(target, 1.0)
    return frozen(positive_definite((1.0 - weight) * matrix + weight * target))


def tail_dependence(correlation: FloatArray, degrees_of_freedom: float) -> FloatArray:
    """Coefficient of lower (and upper) tail dependence of a t copula; the shape of `correlation`.

    2 t_{nu+1}(-sqrt((nu + 1)(1 - rho) / (1 + rho))) (Embrechts, McNeil and Straumann 2002, section 4.4).
    """
    from scipy.special import stdtr

    rho = np.clip(np.asarray(correlation, dtype=np.float64), -1.0, 1.0)
    nu = degrees_of_freedom
    with np.errstate(divide="ignore"):
        cut = np.sqrt((nu + 1.0) * (1.0 - rho) / (1.0 + rho))
    return frozen(2.0 * stdtr(nu + 1.0, -cut))


def _one_factor(covariance: FloatArray) -> FloatArray:
    """Loadings (m,) of one factor that explains the off-diagonal of `covariance` (m, m).

    The centroid method (Thurstone 1947) with the communalities iterated: a member's own noise does not count. Members
    that on the whole do not move together have none.
    """
    off = covariance - np.diag(np.diag(covariance))
    shared = np.abs(off).max(axis=1)
    loading = np.zeros(len(covariance))
    for _ in range(200):
        total = float(off.sum() + shared.sum())
        if total <= 0.0 or float(off.sum()) <= 0.0:
            return np.zeros(len(covariance))
        new = (off.sum(axis=1) + shared) / np.sqrt(total)
        shared = np.minimum(new**2, np.diag(covariance))
        if float(np.abs(new - loading).max()) < 1e-12:
            break
        loading = new
    return loading


def _left_over(x: FloatArray, design: FloatArray) -> FloatArray:
    rest: FloatArray = x - design @ np.linalg.lstsq(design, x, rcond=None)[0]
    return rest


def _table(sample: FloatArray, minimum: int) -> FloatArray:
    x = np.asarray(sample, dtype=np.float64)
    if x.ndim != 2 or len(x) < minimum or not x.shape[1] or not np.isfinite(x).all():
        raise DataError(
            f"observations are a finite table of at least {minimum} rows", field="sample", value=f"shape {x.shape}"
        )
    return x
