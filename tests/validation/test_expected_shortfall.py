"""Backtests of expected shortfall against published values and their own simulated laws."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from scipy.special import stdtrit
from scipy.stats import binom, norm

from risk.errors import DataError
from risk.validation.expected_shortfall import (
    acerbi_szekely,
    calibration_tests,
    residual_test,
    simulated_unconditional,
    unconditional_test,
)
from tests.validation.series import portable


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("a", "residual_p", "calibration_p", "z1", "z2"),
    [
        (0.01, 0.000866273546709, (3.1826343498e-06, 0.0010257241855, 0.0057245338738, 0.001657085749),
         -0.302416657896, -4.47014996316),
        (0.025, 0.000109650471243, (3.7227799959e-05, 0.00023090689499, 0.00094760012282, 0.0003280256347),
         -0.33666291937, -1.99412493939),
        (0.05, 3.74559886595e-05, (7.7078129989e-05, 7.8598598614e-05, 0.00025270946368, 0.0001091647203),
         -0.312178626072, -1.15197294676),
    ],
)  # fmt: skip
def test_portable_series(a: float, residual_p: float, calibration_p: tuple[float, ...], z1: float, z2: float) -> None:
    """Values of rugarch (ESTest), esback (cc_backtest) and an independent code, to the digits printed."""
    losses, var, es, sigma = portable(a)
    residual = residual_test(losses, var, es, 1 - a, generator=generator())
    assert residual.p_value == pytest.approx(residual_p, rel=1e-11)
    found = calibration_tests(losses, var, es, sigma, 1 - a)
    p_values = (found.simple.p_value, found.simple_one_sided, found.general.p_value, found.general_one_sided)
    assert p_values == pytest.approx(calibration_p, rel=1e-9)
    statistics = acerbi_szekely(losses, var, es, 1 - a)
    assert statistics.conditional == pytest.approx(z1, abs=1e-12)
    assert statistics.unconditional == pytest.approx(z2, rel=1e-11)


@pytest.mark.data
def test_real_forecasts(shared: Path) -> None:
    """Forecasts shipped with the R package esback at 2.5 %; values of rugarch and esback."""
    with gzip.open(shared / "reference_data" / "esback_risk_forecasts.csv.gz", "rt") as handle:
        r, q, e, s = np.loadtxt(handle, delimiter=",", skiprows=1).T
    residual = residual_test(-r, -q, -e, 0.975, generator=generator())
    assert residual.p_value == pytest.approx(0.1319320741, abs=5e-11)
    found = calibration_tests(-r, -q, -e, s, 0.975)
    p_values = (found.simple.p_value, found.simple_one_sided, found.general.p_value, found.general_one_sided)
    assert p_values == pytest.approx((0.0008980777, 0.0013455485, 0.1811276903, 0.0006226331), abs=5e-11)
    # The bootstrap's law is near the normal one at 155 exceptions.
    assert residual.bootstrap_p_value == pytest.approx(residual.p_value, abs=0.03)


@pytest.mark.parametrize(
    ("n", "nu", "level", "published", "last_digit"),
    [
        (250, None, 0.05, -0.70, 0.005),
        (250, 3.0, 0.05, -0.82, 0.005),
        (1966, None, 0.01, -0.34639, 5e-6),
        (1966, 3.0, 0.01, -0.42986, 5e-6),
    ],
)
def test_critical_values(n: int, nu: float | None, level: float, published: float, last_digit: float) -> None:
    """Acerbi and Szekely (2014), table 3 (250 days), and MathWorks' esbacktest (1,966), both at 97.5 %.

    The error of a quantile of 40,000 is taken from its neighbours at four standard errors of the level; MathWorks'
    own simulation has an error of the same kind, for 10,000 paths at least.
    """
    law = simulated_unconditional(n, 0.975, nu=nu, n_simulations=40_000, generator=generator(1))
    width = 4 * np.sqrt(level * (1 - level) / 10_000)
    low, high = np.quantile(law, [max(level - width, 0), level + width])
    assert low - last_digit <= published <= high + last_digit


def test_critical_values_far_out() -> None:
    """At 0.01 % the paper prints -1.8 for the normal law: one path in ten thousand, so within its own noise."""
    law = simulated_unconditional(250, 0.975, n_simulations=400_000, generator=generator(2))
    low, high = np.quantile(law, [0.00002, 0.0004])
    assert low <= -1.8 <= high
    # MathWorks: p-value .0054 of -.38265 at 1,966 days; 10,000 paths have an error of .0007.
    law = simulated_unconditional(1966, 0.975, n_simulations=100_000, generator=generator(3))
    assert np.mean(law <= -0.38265) == pytest.approx(0.0054, abs=3 * 0.0008)


def test_the_shortcut_simulates_the_statistic() -> None:
    """Only the tail is drawn: the law is that of whole series, judged by two-sample Kolmogorov-Smirnov."""
    from scipy.stats import ks_2samp

    n, confidence, nu = 100, 0.95, 4.0
    var = stdtrit(nu, confidence)
    losses = generator(4).standard_t(nu, (4000, n))
    density = 0.375 * (1 + var**2 / 4) ** -2.5
    shortfall = density / 0.05 * (4 + var**2) / 3
    whole = 1 - np.where(losses > var, losses, 0).sum(axis=1) / shortfall / (n * 0.05)
    short = simulated_unconditional(n, confidence, nu=nu, n_simulations=4000, generator=generator(6))
    assert ks_2samp(whole, short).pvalue > 1e-3
    # Under the null its mean is zero: the error of 4,000 means is their deviation over 63.
    assert abs(short.mean()) < 4 * short.std() / np.sqrt(4000)


def test_an_understated_shortfall_is_rejected() -> None:
    losses = generator(7).standard_t(4, 2000)
    var = np.full(2000, stdtrit(4, 0.975))
    true_es = 1.4 * var  # the closed form gives 1.435
    for factor, rejected in ((1.025, False), (0.55, True)):
        es = factor * true_es
        test = unconditional_test(losses, var, es, 0.975, nu=4.0, n_simulations=5000, generator=generator(8))
        assert (test.p_value < 0.05) is rejected
        residual = residual_test(losses, var, es, 0.975, generator=generator(9), deviation=np.ones(2000))
        assert (residual.bootstrap_p_value < 0.05) is rejected


def test_each_of_the_four_moments_counts() -> None:
    """The general one-sided test against its moments written out, on series where another of them speaks each time."""
    rng = generator(12)
    for case in range(6):
        scale = rng.uniform(0.5, 4.0, 600)
        losses = scale * rng.standard_t(5, 600)
        var = 2.0 * scale * (1.5 if case % 2 else 1.0) + (scale > 2) * (case // 2)
        es = var * rng.uniform(1.05, 1.6, 600)
        hit = losses > var
        first = 0.05 - hit
        second = var - es + hit * (losses - var) / 0.05
        z = [np.sqrt(600) * m.mean() / np.sqrt(np.mean(m**2)) for m in (first, var * first, second, second / scale)]
        p = np.sort(norm.sf(z))
        expected = min(1.0, 4 * (1 + 1 / 2 + 1 / 3 + 1 / 4) * min(p[k] / (k + 1) for k in range(4)))
        assert calibration_tests(losses, var, es, scale, 0.95).general_one_sided == pytest.approx(expected, rel=1e-9)


def test_the_same_seed_gives_the_same_answer() -> None:
    series = portable(0.025)
    one, two, other = (
        residual_test(*series[:3], 0.975, generator=generator(seed), n_resamples=500) for seed in (1, 1, 2)
    )
    assert one == two
    assert one.p_value == other.p_value
    first, second = (simulated_unconditional(250, 0.975, generator=generator(1), n_simulations=100) for _ in "ab")
    np.testing.assert_array_equal(first, second)


def test_hostile_input() -> None:
    one = np.ones(10)
    assert np.isnan(acerbi_szekely(0 * one, one, one, 0.99).conditional)
    assert acerbi_szekely(0 * one, one, one, 0.99).unconditional == 1.0
    with pytest.raises(DataError, match="positive shortfalls"):
        acerbi_szekely(one, one, 0 * one, 0.99)
    with pytest.raises(DataError, match="two exceptions"):
        residual_test(2 * one, one, one, 0.99, generator=generator())
    with pytest.raises(DataError, match="no exception"):
        calibration_tests(0 * one, one, one, one, 0.99)
    with pytest.raises(DataError, match="positive"):
        calibration_tests(2 * one, one, one, 0 * one, 0.99)
    with pytest.raises(DataError, match="infinite"):
        simulated_unconditional(250, 0.99, nu=1.0, generator=generator())


@pytest.mark.slow
def test_size_and_power() -> None:
    """True forecasts of 1,000 t5 losses at 97.5 %: each test at 5 % rejects at most 10 % of 1,000 series.

    With the shortfall three tenths too small each rejects more than half. The bounds are those rates, plus or minus the
    binomial 0.1 % quantiles.
    """
    n, edge = 1000, stdtrit(5, 0.975)
    law = simulated_unconditional(1000, 0.975, nu=5.0, generator=generator(10))
    density = 0.3796066898224944 * (1 + edge**2 / 5) ** -3
    es = density / 0.025 * (5 + edge**2) / 4
    rng, ones = generator(11), np.ones(1000)
    counts = np.zeros((2, 3))
    for _ in range(n):
        losses = rng.standard_t(5, 1000)
        for row, factor in enumerate((1.0, 0.7)):
            forecasts = (losses, edge * ones, factor * es * ones)
            z2 = acerbi_szekely(*forecasts, 0.975).unconditional
            residual = residual_test(*forecasts, 0.975, generator=rng, n_resamples=200)
            calibration = calibration_tests(*forecasts, ones, 0.975)
            counts[row] += [
                np.searchsorted(law, z2) / law.size < 0.05,
                residual.bootstrap_p_value < 0.05,
                calibration.general_one_sided < 0.05,
            ]
    print("rejected, true and understated:", counts / n)
    assert np.all(counts[0] <= binom.ppf(0.999, n, 0.10))
    assert np.all(counts[1] >= binom.ppf(0.001, n, 0.50))
