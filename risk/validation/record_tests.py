"""Every backtest of one record's forecasts side by side, each with its count, p-value and what it could not say.

A p-value is small where the forecasts are at fault. Tests are many: at 5 % one in twenty rejects a sound model, so a
table of them is read by how many reject against how many would by chance.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from risk.errors import DataError
from risk.market import IntArray
from risk.validation.basis import Array, Hits
from risk.validation.coverage import (
    coverage_test,
    first_failure_test,
    kupiec_acceptance,
    plus_factor,
    traffic_light,
)
from risk.validation.expected_shortfall import calibration_tests, residual_test, unconditional_test
from risk.validation.independence import duration_test
from risk.validation.reliability import berkowitz_test, pit_histogram
from risk.validation.stability import hit_e_process

BASEL_BARS, BASEL_CONFIDENCE = 250, 0.99
"""Window and confidence that the zones of the Basel backtest are defined for."""
NULL_NU = 4.0
"""Degrees of freedom of the law under which Z2 is simulated: about what crypto's shocks have."""
SIMULATIONS = 2_000
"""Of Z2 under its null: a p-value of 5 % has a standard error of half a point."""

PERMUTATIONS = 199
"""Of the order of exceptions, for the law of the durations between them."""


class RecordTest(NamedTuple):
    """One test of one record.

    Attributes
    ----------
    test : str
    statistic, p_value : float
        0 and 1 where it could not be made.
    n : int
        Observations behind it.
    detail : str
        What the statistic alone does not say.
    status : str
        ``ok``, or why there is no test.
    """

    test: str
    statistic: float
    p_value: float
    n: int
    detail: str
    status: str = "ok"


class Found(NamedTuple):
    """Statistic, p-value and detail of a test that could be made."""

    statistic: float
    p_value: float
    detail: str


def forecast_tests(
    losses: Array,
    var: Array,
    es: Array,
    deviation: Array,
    observed_at: IntArray,
    confidence: float,
    *,
    generator: np.random.Generator,
) -> list[RecordTest]:
    """Tests of value at risk and expected shortfall of one side at one confidence.

    Parameters
    ----------
    losses, var, es, deviation : ndarray of shape (n,)
        In one unit, losses positive; `deviation` is the forecast volatility.
    observed_at : ndarray of int, shape (n,)
        Unix seconds, ascending.
    confidence : float
    generator : numpy.random.Generator
        Of the simulated and resampled nulls.
    """
    hits, n, p = np.asarray(losses > var), len(losses), 1.0 - confidence

    def kupiec() -> Found:
        low, high = kupiec_acceptance(n, p)
        test = coverage_test(int(hits.sum()), n, p)
        came = f"accepts {low} to {high} exceptions, {test.n_exceptions} came"
        return Found(test.likelihood_ratio, test.likelihood_ratio_p_value, came)

    def first_failure() -> Found:
        if not hits.any():
            raise DataError("there is no exception", field="exceptions")
        at = int(np.argmax(hits)) + 1
        test = first_failure_test(at, p)
        return Found(test.statistic, test.p_value, f"the first exception is on bar {at}, {1.0 / p:.0f} expected")

    def durations() -> Found:
        test = duration_test(hits)
        # With ten durations the chi-squared law rejects one sound record in eight: so many hits, in random order.
        random = [duration_test(generator.permutation(hits)).likelihood_ratio for _ in range(PERMUTATIONS)]
        p_value = (1 + sum(ratio >= test.likelihood_ratio for ratio in random)) / (PERMUTATIONS + 1)
        said = f"Weibull shape {test.shape:.2f} of {test.n_durations} durations, below 1 they cluster; permutations"
        return Found(test.likelihood_ratio, p_value, said)

    def shortfall() -> Found:
        test = unconditional_test(
            losses, var, es, confidence, nu=NULL_NU, n_simulations=SIMULATIONS, generator=generator
        )
        return Found(test.statistic, test.p_value, f"below 0 shortfalls are too small; null: Student-t {NULL_NU:.0f}")

    def residuals() -> Found:
        test = residual_test(losses, var, es, confidence, deviation=deviation, generator=generator)
        return Found(test.statistic, test.bootstrap_p_value, f"of {test.n_exceptions} exceptions, bootstrap")

    def nolde_ziegel(kind: str) -> Callable[[], Found]:
        def made() -> Found:
            tests = calibration_tests(losses, var, es, deviation, confidence)
            test, one_sided = getattr(tests, kind), getattr(tests, f"{kind}_one_sided")
            # Two-sided the chi-squared law rejects a quarter of sound records of ten exceptions.
            return Found(test.statistic, one_sided, f"one-sided; two-sided p {test.p_value:.3f}, too small if few hits")

        return made

    def evidence() -> Found:
        bets = hit_e_process(hits, p)
        height = float(bets.log_evidence.max())
        said = "no alarm at 5 %"
        if bets.alarm is not None:
            said = f"alarm on {np.datetime64(int(observed_at[bets.alarm]), 's').astype('datetime64[D]')}"
        return Found(height, min(1.0, math.exp(-height)), f"{said}, whenever one looks")

    tests: dict[str, Callable[[], Found]] = {
        "Kupiec, two-sided": kupiec,
        "Kupiec, first failure": first_failure,
        "durations, Weibull": durations,
        "Acerbi-Szekely Z2": shortfall,
        "McNeil-Frey residuals": residuals,
        "Nolde-Ziegel, simple": nolde_ziegel("simple"),
        "Nolde-Ziegel, general": nolde_ziegel("general"),
        "e-process of hits": evidence,
    }
    if math.isclose(confidence, BASEL_CONFIDENCE):
        tests["Basel zones"] = lambda: basel_zones(hits)
    return [_made(name, n, made) for name, made in tests.items()]


def basel_zones(exceptions: Hits) -> Found:
    """Zones of the windows of 250 bars that do not overlap, counted back from the last bar, at 99 %.

    Returns
    -------
    Found
        The most exceptions in a window, with the binomial probability of so many in any of the windows (Bonferroni).

    Raises
    ------
    DataError
        Fewer bars than one window.
    """
    windows = len(exceptions) // BASEL_BARS
    if not windows:
        raise DataError(f"a zone needs {BASEL_BARS} bars", field="exceptions", value=len(exceptions))
    counts = np.asarray(exceptions[len(exceptions) - windows * BASEL_BARS :]).reshape(windows, BASEL_BARS).sum(axis=1)
    zones = Counter(traffic_light(int(count)).value for count in counts)
    last, worst = int(counts[-1]), int(counts.max())
    too_many = coverage_test(worst, BASEL_BARS, 1.0 - BASEL_CONFIDENCE).too_many_p_value
    said = ", ".join(f"{zones[zone]} {zone}" for zone in ("green", "yellow", "red"))
    detail = f"{said} of {windows} windows; the last has {last}, multiplier 3 + {plus_factor(last):.2f}"
    return Found(float(worst), min(1.0, windows * too_many), detail)


def density_tests(transforms: Array, *, n_bins: int) -> list[RecordTest]:
    """Tests of the whole forecast law by probability integral transforms (n,) in time order."""

    def uniform() -> Found:
        test = pit_histogram(transforms, n_bins=n_bins).test
        return Found(test.statistic, test.p_value, f"chi-squared over {n_bins} bins")

    def normal() -> Found:
        test = berkowitz_test(transforms)
        said = f"mean {test.mean:+.2f}, deviation {test.deviation:.2f}, autocorrelation {test.autocorrelation:+.2f}"
        return Found(test.likelihood_ratio, test.p_value, f"{said}; 0, 1 and 0 are sound")

    return [_made(name, len(transforms), made) for name, made in (("PIT", uniform), ("Berkowitz", normal))]


def _made(name: str, n: int, test: Callable[[], Found]) -> RecordTest:
    """The test, or why it could not be made."""
    try:
        found = test()
    except (DataError, np.linalg.LinAlgError) as error:
        return RecordTest(name, 0.0, 1.0, n, "", f"not testable: {getattr(error, 'message', error)}")
    return RecordTest(name, float(found.statistic), float(found.p_value), n, found.detail)
