"""Shrinkage, factors, stress and tail dependence: published values, limits, and always a correlation matrix."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri

from risk.dependence.shrinkage import fit_factors, ledoit_wolf, stressed, tail_dependence
from risk.errors import DataError


def portable_sample() -> np.ndarray:
    """Park-Miller from seed 7: 60 x 8 normals by rows, column 1 += .8 column 0, column 2 -= .5 column 0."""
    seed, u = 7, np.empty(480)
    for i in range(480):
        seed = 16807 * seed % 2147483647
        u[i] = seed / 2147483647
    x = ndtri(u).reshape(60, 8)
    x[:, 1] += 0.8 * x[:, 0]
    x[:, 2] -= 0.5 * x[:, 0]
    return np.asarray(x)


def test_ledoit_wolf_equals_the_published_intensity() -> None:
    """scikit-learn 1.9.1 on the portable series: .24574369570496163."""
    covariance, intensity = ledoit_wolf(portable_sample())
    assert intensity == pytest.approx(0.24574369570496163, rel=1e-12)
    raw = np.cov(portable_sample().T, ddof=0)
    assert np.trace(covariance) == pytest.approx(np.trace(raw), rel=1e-12)
    assert covariance[0, 1] == pytest.approx((1 - intensity) * raw[0, 1], rel=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.integers(2, 40))
@settings(max_examples=50)
def test_a_shrunk_covariance_is_never_worse_conditioned(seed: int, d: int, n: int) -> None:
    x = np.random.default_rng(seed).standard_normal((n, d)) @ np.random.default_rng(seed + 1).standard_normal((d, d))
    covariance, intensity = ledoit_wolf(x)
    assert 0.0 <= intensity <= 1.0
    own, raw = np.linalg.eigvalsh(covariance), np.linalg.eigvalsh(np.cov(x.T, ddof=0))
    assert own[0] >= raw[0] - 1e-9 * abs(raw[-1])
    assert own[-1] <= raw[-1] * (1 + 1e-9)


@pytest.mark.parametrize(("nu", "rho", "expected"), [(4, 0.5, 0.2532), (10, 0.9, 0.4627), (2, 0.0, 0.1817)])
def test_published_tail_dependence(nu: float, rho: float, expected: float) -> None:
    """McNeil, Frey and Embrechts (2015), table 7.1, to four decimals."""
    assert float(tail_dependence(np.array(rho), nu)) == pytest.approx(expected, abs=5e-5)


def test_limits_of_tail_dependence() -> None:
    edge = tail_dependence(np.array([1.0, -1.0]), 5.0)
    assert edge.tolist() == [1.0, 0.0]
    assert float(tail_dependence(np.array(0.5), 500.0)) < 1e-6


def panel(n: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    market, lending, own = rng.standard_normal(n), rng.standard_normal(n), rng.standard_normal((6, n))
    return {
        "BTC": market,
        "AAVE": 0.7 * market + 0.5 * lending + 0.5 * own[0],
        "COMP": 0.6 * market + 0.5 * lending + 0.6 * own[1],
        "DOGE": 0.5 * market + 0.9 * own[2],
    }


def test_factors_recover_the_structure() -> None:
    data = panel(20_000, 1)
    model = fit_factors(data, market=["BTC"], sectors={"AAVE": "lending", "COMP": "lending", "DOGE": "meme"})
    assert model.factors == ("BTC", "lending")  # a sector of one member has no factor
    sample = np.corrcoef([data[name] for name in model.assets])
    np.testing.assert_allclose(model.correlation(), sample, atol=0.03)
    bare = fit_factors(data, market=["BTC"])
    i, j = bare.assets.index("AAVE"), bare.assets.index("COMP")
    assert bare.correlation()[i, j] < sample[i, j] - 0.1  # what the sector adds is missing without it


@given(st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=30, deadline=None)
def test_factor_correlation_is_always_a_correlation(seed: int, copies: bool) -> None:
    data = panel(60, seed)
    if copies:
        data |= {"WBTC": data["BTC"].copy(), "ANTI": -data["BTC"], "AAVE2": 3.0 * data["AAVE"]}
    sectors = dict.fromkeys(data, "s")
    found = fit_factors(data, market=["BTC", "DOGE"], sectors=sectors).correlation()
    assert np.linalg.eigvalsh(found)[0] > 0.0
    assert (np.diag(found) == 1.0).all()
    assert np.abs(found).max() <= 1.0
    if copies:
        names = sorted(data)
        assert found[names.index("BTC"), names.index("WBTC")] > 0.9
        assert found[names.index("BTC"), names.index("ANTI")] < -0.9


@given(st.integers(0, 2**32 - 1), st.integers(2, 8), st.floats(0, 1), st.floats(0, 1))
def test_a_stressed_correlation_is_one_and_moves_to_the_level(seed: int, d: int, weight: float, level: float) -> None:
    x = np.random.default_rng(seed).standard_normal((d + 5, d))
    base = np.corrcoef(x.T)
    found = stressed(base, weight, level=level)
    assert np.linalg.eigvalsh(found)[0] > 0.0
    np.testing.assert_allclose(np.diag(found), 1.0)
    off = ~np.eye(d, dtype=bool)
    # Clipping eigenvalues at 1e-4 moves an entry by no more than some multiples of that.
    np.testing.assert_allclose(found[off], ((1 - weight) * base + weight * level)[off], atol=2e-3)


def test_hostile_input() -> None:
    data = panel(60, 3)
    with pytest.raises(DataError, match="market factor"):
        fit_factors(data, market=["ETH"])
    with pytest.raises(DataError, match="DOGE: an asset does not move"):
        fit_factors({**data, "DOGE": np.zeros(60)}, market=["BTC"])
    with pytest.raises(DataError, match="share their bars"):
        fit_factors({**data, "DOGE": data["DOGE"][:50]}, market=["BTC"])
    with pytest.raises(DataError, match="at least 30 rows"):
        fit_factors({k: v[:2] for k, v in data.items()}, market=["BTC"])
    with pytest.raises(DataError, match="finite table"):
        ledoit_wolf(np.full((5, 2), np.nan))
    assert ledoit_wolf(np.ones((5, 2)))[1] == 1.0
    with pytest.raises(DataError, match="lie in"):
        stressed(np.eye(2), 1.5)
    with pytest.raises(DataError, match="unit diagonal"):
        stressed(2 * np.eye(2), 0.5)
