"""The race behind a model: no look-ahead, and a default where there is nothing to race on."""

from __future__ import annotations

import numpy as np

from risk.tails.evidence import DECAYED, MINIMUM_RACE, evidence_rows, run_race, stability_rows
from risk.volatility.models import VolatilityModel, fit
from tests.factories import DAY, make_settings

KINDS = (VolatilityModel.EWMA_T, VolatilityModel.GARCH_T)
FEBRUARY_2025 = 1_738_368_000


def test_a_refit_uses_the_vintage_of_its_own_date() -> None:
    """Bars and vintages of 2025 leave every forecast of 2024 as it was."""
    settings = make_settings(models={"walk_forward_window": 250})
    returns = 0.03 * np.random.default_rng(1).standard_t(5, 600)
    times = FEBRUARY_2025 - DAY * np.arange(599, -1, -1)
    whole = run_race(times, returns, KINDS, DAY, settings).walk
    until_december = run_race(times[:-60], returns[:-60], KINDS, DAY, settings).walk
    assert whole is not None
    assert until_december is not None
    for kind in KINDS:
        known = until_december.tracks[kind].variances
        np.testing.assert_array_equal(whole.tracks[kind].variances[: len(known)], known)


def test_too_little_to_race_on() -> None:
    settings = make_settings(models={"walk_forward_window": 250})
    returns = 0.03 * np.random.default_rng(1).standard_t(5, 250 + MINIMUM_RACE - 1)
    times = FEBRUARY_2025 - DAY * np.arange(len(returns) - 1, -1, -1)
    result = run_race(times, returns, KINDS, DAY, settings)
    assert result.walk is None
    assert result.winner is VolatilityModel.GARCH_T
    assert run_race(times, returns, KINDS[:1], DAY, settings).winner is VolatilityModel.EWMA_T


def test_a_first_window_that_does_not_move_is_no_race() -> None:
    settings = make_settings(models={"walk_forward_window": 250})
    returns = np.concatenate([np.zeros(250), 0.03 * np.random.default_rng(1).standard_t(5, 400)])
    times = FEBRUARY_2025 - DAY * np.arange(len(returns) - 1, -1, -1)
    assert run_race(times, returns, KINDS, DAY, settings).walk is None


def test_a_decayed_winner_makes_room_for_the_benchmark() -> None:
    """Falls by half near the end that no model foresees: an alarm, and the benchmark is in use until 250 bars later."""
    settings = make_settings(models={"walk_forward_window": 250})
    returns = 0.03 * np.random.default_rng(1).standard_t(5, 900)
    returns[800:860:6] = -0.6
    times = FEBRUARY_2025 - DAY * np.arange(899, -1, -1)
    result = run_race(times, returns, KINDS, DAY, settings)
    assert result.summary is not None
    assert result.summary.winner == "garch_t"
    assert result.winner is VolatilityModel.EWMA_T
    assert result.alarm is not None
    assert 550 <= result.alarm < 610
    fits = {kind: fit(kind, returns) for kind in KINDS}
    rows = {row[1]: row for row in evidence_rows("X", times, result, fits, np.zeros(10) + 1.0, returns).race}
    assert DECAYED in str(rows["garch_t"][7])
    assert rows["ewma_t"][6] is True
    quiet = run_race(times[:800], returns[:800], KINDS, DAY, settings)
    assert quiet.alarm is None


def test_a_break_of_the_parameters_is_seen() -> None:
    """Mean and tail change half way, which no variance absorbs: rejected; a series without a break holds."""
    rng = np.random.default_rng(4)
    broken = 0.03 * np.concatenate([rng.standard_t(3, 800) / np.sqrt(3) - 0.2, rng.standard_normal(800) + 0.2])
    steady = 0.03 * np.random.default_rng(6).standard_t(6, 1600)
    verdicts = {}
    for name, returns in (("broken", broken), ("steady", steady)):
        rows = stability_rows("X", "garch_t", fit("garch_t", returns), returns)
        verdicts[name] = [row[5] for row in rows]
        assert [row[2] for row in rows] == ["Nyblom, all parameters", "score CUSUM, all parameters"]
    assert verdicts == {"broken": ["rejected", "rejected"], "steady": ["holds", "holds"]}
    assert stability_rows("X", "ewma_t", fit("ewma_t", steady), steady) == ()
