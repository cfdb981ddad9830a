"""Measures of losses: closed forms, standard errors against repetition, and failed paths."""

from __future__ import annotations

import numpy as np
import pytest

from risk.stress.measures import expected_shortfall, mean, share_above


def test_closed_forms() -> None:
    losses = np.arange(1000.0)
    assert expected_shortfall(losses, 0.99).value == pytest.approx(np.arange(990, 1000).mean())
    # 205 paths: 2.05 of them are the tail, the third worst counts for .05.
    assert expected_shortfall(np.arange(205.0), 0.99).value == pytest.approx((204 + 203 + 0.05 * 202) / 2.05)
    assert expected_shortfall(np.array([3.0]), 0.99).value == pytest.approx(3.0)
    assert mean(losses, 2.0).value == pytest.approx(999.0)
    assert share_above(losses, 989.5).value == pytest.approx(0.01)
    assert share_above(np.zeros(99), 0.0).value == 0.0
    assert share_above(np.zeros(99), 0.0).standard_error > 0


def test_standard_errors_are_those_of_repetition() -> None:
    rng = np.random.default_rng(4)
    samples = rng.exponential(size=(400, 2000))
    for measure in (mean, lambda x: expected_shortfall(x, 0.95), lambda x: share_above(x, 2.0)):
        found = [measure(sample) for sample in samples]
        spread = np.std([f.value for f in found], ddof=1)
        # A standard deviation from 400 repetitions has a relative error of 1/sqrt(800) = 3.5 %.
        assert np.mean([f.standard_error for f in found]) == pytest.approx(spread, rel=4 * 0.035)


def test_failed_paths_are_counted_and_left_out() -> None:
    losses = np.array([1.0, np.nan, 3.0, np.nan])
    found = mean(losses)
    assert (found.value, found.n_paths, found.n_failed) == (2.0, 4, 2)
    for measure in (mean, lambda x: expected_shortfall(x, 0.99), lambda x: share_above(x, 0.0)):
        nothing = measure(np.full(5, np.nan))
        assert (nothing.value, nothing.n_paths, nothing.n_failed) == (0.0, 5, 5)
