"""Every backtest of a record in one table: sound forecasts pass as often as they should, bad ones are caught."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, t

from risk.validation.record_tests import RecordTest, basel_zones, density_tests, forecast_tests

NU, CONFIDENCE = 4.0, 0.99
VAR = float(t.ppf(CONFIDENCE, NU))
ES = float(t.pdf(VAR, NU) / (1 - CONFIDENCE) * (NU + VAR**2) / (NU - 1))
DAYS = 86400 * np.arange(2000)


def outcome_of(losses: np.ndarray, scale: float = 1.0) -> dict[str, RecordTest]:
    n = len(losses)
    made = forecast_tests(
        losses, np.full(n, VAR * scale), np.full(n, ES * scale), np.full(n, np.sqrt(2.0) * scale), DAYS[:n], CONFIDENCE,
        generator=np.random.default_rng(1),
    )  # fmt: skip
    return {test.test: test for test in made}


def test_forecasts_half_as_large_are_caught_by_every_test_of_size() -> None:
    found = outcome_of(np.random.default_rng(2).standard_t(NU, 1500), scale=0.5)
    caught = {name for name, test in found.items() if test.p_value < 0.05}
    assert caught >= {
        "Kupiec, two-sided", "Acerbi-Szekely Z2", "Nolde-Ziegel, general", "e-process of hits", "Basel zones",
    }  # fmt: skip
    assert found["e-process of hits"].detail.startswith("alarm on 197")
    assert all(test.n == 1500 and test.status == "ok" for test in found.values())


@pytest.mark.slow
def test_sound_forecasts_are_rejected_about_as_often_as_promised() -> None:
    """Two hundred records of 1,000 bars."""
    rng = np.random.default_rng(4)
    rejected: dict[str, int] = {}
    for _ in range(200):
        for name, test in outcome_of(rng.standard_t(NU, 1000)).items():
            rejected[name] = rejected.get(name, 0) + (test.p_value < 0.05)
    # Binomial: 24 or more of 200 at 5 % has a probability of 1e-4. Few exceptions make some tests coarse.
    assert {name: n for name, n in rejected.items() if n > 24} == {}


def test_no_exception_leaves_what_cannot_be_tested_untested() -> None:
    found = outcome_of(np.zeros(300))
    untested = {name for name, test in found.items() if test.status != "ok"}
    assert untested == {
        "Kupiec, first failure", "durations, Weibull", "McNeil-Frey residuals", "Nolde-Ziegel, simple",
        "Nolde-Ziegel, general",
    }  # fmt: skip
    assert all(found[name].p_value == 1.0 and "not testable" in found[name].status for name in untested)


def test_zones_by_hand() -> None:
    """600 bars: two windows from the end; 3 exceptions are green, 7 yellow (+.65); the first 100 bars do not count."""
    hits = np.zeros(600, dtype=bool)
    hits[:50] = True
    hits[100:103] = True
    hits[350:357] = True
    found = basel_zones(hits)
    assert found.statistic == 7.0
    assert found.p_value == pytest.approx(2 * binom.sf(6, 250, 0.01))
    assert found.detail == "1 green, 1 yellow, 0 red of 2 windows; the last has 7, multiplier 3 + 0.65"


def test_laws_that_are_too_narrow_are_caught() -> None:
    outcomes = np.random.default_rng(5).standard_t(NU, 1000)
    sound, narrow = (density_tests(t.cdf(outcomes / scale, NU), n_bins=20) for scale in (1.0, 0.6))
    assert min(test.p_value for test in sound) > 0.01
    assert max(test.p_value for test in narrow) < 1e-6
    (untested,) = (test for test in density_tests(np.array([0.0, 0.2, 0.4, 1.0]), n_bins=2) if test.test == "Berkowitz")
    assert "not testable" in untested.status
