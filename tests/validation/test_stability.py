"""Sequential tests and parameter stability against their laws, published tables and direct computation."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import binom

from risk.errors import DataError
from risk.validation.stability import (
    RATE_MULTIPLES,
    decay_monitor,
    fall_back_bars,
    hit_e_process,
    nyblom_test,
    score_cusum_test,
    sensitivities,
    standing_alarm,
)
from risk.validation.stability import _cramer_von_mises_tail as tail


def test_wealth_is_the_mixture_of_likelihood_ratios() -> None:
    hits = np.array([False, True, True, False])
    p = 0.01
    expected = [
        np.mean([np.prod([(k if h else (1 - k * p) / (1 - p)) for h in hits[: t + 1]]) for k in RATE_MULTIPLES])
        for t in range(4)
    ]
    np.testing.assert_allclose(np.exp(hit_e_process(hits, p).log_evidence), expected, rtol=1e-12)
    # The detector: a bet opened at every bar, summed.
    by_start = [
        np.mean(
            [
                sum(np.prod([(k if h else (1 - k * p) / (1 - p)) for h in hits[s : t + 1]]) for s in range(t + 1))
                for k in RATE_MULTIPLES
            ]
        )
        for t in range(4)
    ]
    np.testing.assert_allclose(np.exp(decay_monitor(hits, p).log_evidence), by_start, rtol=1e-12)


def test_the_expected_wealth_of_one_bar_is_one() -> None:
    for p in (0.01, 0.05, 0.25):
        hit, miss = (np.exp(hit_e_process(np.array([h]), p).log_evidence[0]) for h in (True, False))
        assert p * hit + (1 - p) * miss == pytest.approx(1.0, rel=1e-12)


def test_alarm_and_fall_back() -> None:
    """Six good years, then five times the promised rate: the detector speaks within a year or so.

    The likeliest bet gains .041 nats a bar then, and log(25,000) is 10.1: 250 bars in the mean.
    """
    rng = np.random.default_rng(0)
    good, bad = rng.random(2000) < 0.01, rng.random(1000) < 0.05
    hits = np.concatenate([good, bad])
    monitor, bet = decay_monitor(hits, 0.01, run_length=25_000), hit_e_process(hits, 0.01, level=1 / 25_000)
    assert monitor.alarm is not None
    assert 2000 < monitor.alarm < 2400
    assert bet.alarm is None or bet.alarm >= monitor.alarm
    mask, alarms = fall_back_bars(hits, 0.01, run_length=25_000, probation=300)
    # The bar of the alarm was forecast before the alarm was known; after the probation the monitor begins anew.
    assert alarms[0] == monitor.alarm
    assert np.flatnonzero(mask[:2500]).tolist()[0] == monitor.alarm + 1
    assert all(later > first + 300 for first, later in pairwise(alarms))
    assert mask.sum() == sum(min(300, 2999 - alarm) for alarm in alarms)
    again = decay_monitor(hits[alarms[0] + 301 :], 0.01, run_length=25_000).alarm
    assert (again is None) == (len(alarms) == 1)
    assert again is None or alarms[1] == alarms[0] + 301 + again
    # Standing from the alarm itself to the last bar of the probation.
    for length, stands in ((0, False), (1, True), (300, True), (301, False)):
        part = hits[: alarms[0] + length]
        found = standing_alarm(part, 0.01, run_length=25_000, probation=300)
        assert (found == alarms[0]) is stands, length
        assert found is None or mask[alarms[0] + length]
    assert not fall_back_bars(good, 0.01, run_length=25_000)[0].any()
    assert decay_monitor(good, 0.01, run_length=25_000).alarm is None


def test_an_alarm_does_not_see_its_future() -> None:
    rng = np.random.default_rng(1)
    hits = rng.random(500) < 0.05
    other = hits.copy()
    other[250:] = ~other[250:]
    for test in (hit_e_process, decay_monitor):
        np.testing.assert_array_equal(test(hits, 0.01).log_evidence[:250], test(other, 0.01).log_evidence[:250])


@pytest.mark.parametrize(
    ("k", "values"),
    [
        (1, (0.353, 0.470, 0.593, 0.748)),
        (2, (0.610, 0.749, 0.898, 1.07)),
        (3, (0.846, 1.01, 1.16, 1.35)),
        (5, (1.28, 1.47, 1.63, 1.88)),
    ],
)
def test_nyblom_tail(k: int, values: tuple[float, ...]) -> None:
    """Hansen (1992), "Testing for parameter instability in linear models", table 1: 10, 5, 2.5 and 1 %.

    Recalled values of a simulated table; three digits and its own noise leave a tenth of the level.
    """
    for value, level in zip(values, (0.10, 0.05, 0.025, 0.01), strict=True):
        assert tail(value, k) == pytest.approx(level, rel=0.1)


def test_nyblom_tail_of_one_parameter() -> None:
    """Anderson and Darling (1952), table 1, the limit of the Cramer-von Mises statistic.

    Five digits: half a unit of the last times a slope of .7 at most.
    """
    for value, level in ((0.34730, 0.10), (0.46136, 0.05), (0.74346, 0.01)):
        assert tail(value, 1) == pytest.approx(level, abs=4e-6)
    assert tail(1e-3, 1) == pytest.approx(1.0, abs=1e-6)
    assert 0.0 <= tail(50.0, 2) < 1e-6


def test_stability_statistics_by_hand() -> None:
    """One parameter: Nyblom's is the Cramer-von Mises of the path, the other its largest distance."""
    scores = np.random.default_rng(2).standard_normal((300, 1))
    centred = scores[:, 0] - scores.mean()
    path = np.cumsum(centred) / np.sqrt(300 * np.mean(centred**2))
    assert nyblom_test(scores).statistic == pytest.approx(np.mean(path**2), rel=1e-12)
    assert score_cusum_test(scores).statistic == pytest.approx(np.abs(path).max(), rel=1e-12)
    # Joint statistic in matrix form: sum of S' V^-1 S / n^2, whatever the units of the parameters.
    scores = np.random.default_rng(3).standard_normal((300, 3)) @ np.array([[1.0, 0.5, 0], [0, 1, 0.2], [0, 0, 1e4]])
    centred = scores - scores.mean(axis=0)
    sums, inverse = np.cumsum(centred, axis=0), np.linalg.inv(centred.T @ centred)
    assert nyblom_test(scores).statistic == pytest.approx(np.einsum("ti,ij,tj", sums, inverse, sums) / 300, rel=1e-9)


def test_a_break_is_seen() -> None:
    scores = np.random.default_rng(4).standard_normal((600, 3))
    assert nyblom_test(scores).p_value > 0.01
    assert score_cusum_test(scores).p_value > 0.01
    scores[300:, 1] += 0.5
    assert nyblom_test(scores).p_value < 1e-3
    assert score_cusum_test(scores).p_value < 1e-3


def test_sensitivities() -> None:
    """A power law has its exponents as elasticities, up to the square of the share."""
    found = sensitivities(lambda q: q["a"] ** 2 / q["b"], {"a": 3.0, "b": 2.0}, share=0.01)
    assert [s.parameter for s in found] == ["a", "b"]
    assert found[0].base == found[1].base == 4.5
    assert found[0].low == pytest.approx((2.97**2) / 2)
    assert found[0].elasticity == pytest.approx(2.0, abs=1e-3)
    assert found[1].elasticity == pytest.approx(-1.0, abs=1e-3)
    assert math.isnan(sensitivities(lambda q: 0.0 * q["a"], {"a": 1.0})[0].elasticity)


def test_hostile_input() -> None:
    hits = np.zeros(10, dtype=bool)
    flat = np.column_stack([np.ones(100), np.arange(100.0)])
    twin = np.random.default_rng(5).standard_normal((100, 1)) @ np.ones((1, 2))
    for bad in (
        lambda: hit_e_process(hits[:0], 0.01),
        lambda: hit_e_process(hits, 0.0),
        lambda: hit_e_process(hits, 0.01, level=1.0),
        lambda: decay_monitor(hits, 0.01, run_length=1),
        lambda: fall_back_bars(hits, 0.01, probation=0),
        lambda: nyblom_test(np.ones((10, 1))),
        lambda: nyblom_test(flat),
        lambda: score_cusum_test(twin),
        lambda: score_cusum_test(np.full((100, 1), np.nan)),
        lambda: sensitivities(lambda q: 1.0, {"a": 1.0}, share=1.0),
    ):
        with pytest.raises(DataError):
            bad()


@pytest.mark.slow
def test_size() -> None:
    """False alarms over 2,500 bars at the promised rate: the e-process at 5 % in at most 5 % of 1,000 series, the
    monitor's mean time to alarm at least its run length; Nyblom and CUSUM at 5 % reject 2 to 8 % of 1,000.
    """
    rng, n = np.random.default_rng(6), 1000
    false_alarms, runs, rejected = 0, [], np.zeros(2)
    for _ in range(n):
        hits = rng.random(2500) < 0.01
        false_alarms += hit_e_process(hits, 0.01).alarm is not None
        alarm = decay_monitor(hits[:1000], 0.01, run_length=100).alarm
        runs.append(1000 if alarm is None else alarm + 1)  # cut short: the mean is understated
        scores = rng.standard_t(6, (500, 2))
        rejected += [nyblom_test(scores).p_value < 0.05, score_cusum_test(scores).p_value < 0.05]
    print("false alarms", false_alarms / n, "mean run", np.mean(runs), "rejected", rejected / n)
    assert false_alarms <= binom.ppf(0.999, n, 0.05)
    assert np.mean(runs) > 100
    low, high = binom.ppf([0.001, 0.999], n, [0.02, 0.08])
    assert np.all((rejected >= low) & (rejected <= high))
