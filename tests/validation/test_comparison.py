"""Comparisons of models against direct formulas, their coverage in simulation, and determinism."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.fft import dct
from scipy.stats import binom, t

from risk.errors import DataError
from risk.validation.comparison import (
    date_block_bootstrap,
    diebold_mariano,
    model_confidence_set,
    robust_error,
    simplest_within,
)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_robust_error() -> None:
    rng = generator()
    white = rng.standard_normal(2000)
    # 63 cosine terms of white noise: the error has a relative deviation of 1 / sqrt(2 * 63) = 9 %.
    assert robust_error(white)[0] == pytest.approx(1 / np.sqrt(2000), rel=0.25)
    # AR(1) with 0.5: long-run variance is 1 / (1 - 0.5)^2 = 4.
    path = np.zeros(20_000)
    for i, shock in enumerate(rng.standard_normal(path.size - 1)):
        path[i + 1] = 0.5 * path[i] + shock
    assert robust_error(path)[0] == pytest.approx(2 / np.sqrt(path.size), rel=0.15)


def test_robust_error_against_the_discrete_cosine_transform() -> None:
    """Scipy's orthonormal DCT-II holds the same transforms; its first term is the mean, which is centred away."""
    x = generator(1).standard_normal(60)
    error, freedom = robust_error(x)
    assert freedom == int(0.4 * 60 ** (2 / 3)) == 6
    assert error == pytest.approx(np.sqrt(np.mean(dct(x, norm="ortho")[1:7] ** 2) / 60), rel=1e-12)


def test_diebold_mariano() -> None:
    rng = generator(2)
    one, two = rng.standard_normal(80) - 0.3, rng.standard_normal(80)
    found = diebold_mariano(one, two)
    error, freedom = robust_error(one - two)
    assert found.difference == pytest.approx((one - two).mean())
    assert found.statistic == pytest.approx(found.difference / error, rel=1e-12)
    assert found.p_better == pytest.approx(t.cdf(found.statistic, freedom), rel=1e-9)
    assert found.p_two_sided == pytest.approx(2 * t.sf(abs(found.statistic), freedom), rel=1e-9)
    back = diebold_mariano(two, one)
    assert back.p_better == pytest.approx(1 - found.p_better, rel=1e-9)


@pytest.mark.slow
def test_size_under_autocorrelation() -> None:
    """Differences MA(1) with .5 and n = 400: Bartlett lags under the normal law reject 8 to 11 % at 5 %."""
    shocks = generator(6).standard_normal((4000, 401))
    rejected = [
        diebold_mariano(row[1:] + 0.5 * row[:-1], np.zeros(400)).p_two_sided < 0.05 for row in shocks
    ]  # fmt: skip
    # Four standard errors of 4,000 draws are 1.4 points.
    assert np.mean(rejected) == pytest.approx(0.05, abs=0.014)
    powerful = [diebold_mariano(row[1:] + 0.5 * row[:-1] - 0.3, np.zeros(400)).p_better < 0.05 for row in shocks[:500]]
    assert np.mean(powerful) > 0.9  # the t of known variance has 99 %


def test_the_same_scores_differ_in_nothing() -> None:
    scores = generator(3).standard_normal(50)
    same = diebold_mariano(scores, scores.copy())
    assert (same.difference, same.statistic, same.p_better, same.p_two_sided) == (0.0, 0.0, 0.5, 1.0)
    found = model_confidence_set({"b": scores, "a": scores.copy()}, generator=generator())
    assert found == {"b": 1.0, "a": 1.0}


def test_confidence_set_by_name_and_seed() -> None:
    """The far worse one leaves; p-values depend on the names' scores and the seed, not on the order given."""
    rng = generator(4)
    common = rng.standard_normal(400)
    scores = {"worse": common + 1 + 0.3 * rng.standard_normal(400), "good": common + 0.3 * rng.standard_normal(400)}
    scores["near"] = common + 0.3 * rng.standard_normal(400)
    scores["twin"] = scores["near"].copy()
    found = model_confidence_set(scores, generator=generator(11))
    assert tuple(found) == ("worse", "good", "near", "twin")
    assert found["worse"] == 0.0
    assert found["near"] == found["twin"] > 0.05
    assert max(found.values()) == 1.0
    assert model_confidence_set(dict(reversed(scores.items())), generator=generator(11)) == found
    assert any(model_confidence_set(scores, generator=generator(seed)) != found for seed in range(3))


def test_the_simplest_within_the_hurdle() -> None:
    means = {"a": 1.0, "b": 0.9, "c": 0.88}
    assert simplest_within(means, "abc", hurdle=0.2) == "a"
    assert simplest_within(means, "abc", hurdle=0.03) == "b"
    assert simplest_within(means, "abc", hurdle=0.0) == "c"
    assert simplest_within(means, "ab", hurdle=0.0) == "b"
    assert simplest_within({"a": 1.0, "b": 1.0}, "ab", hurdle=0.0) == "a"
    with pytest.raises(DataError, match="no model"):
        simplest_within(means, "", hurdle=0.0)


def test_bootstrap_by_date() -> None:
    """Forty assets with the same value on a date are one observation: the error is that of the dates' mean."""
    rng = generator(5)
    by_date = rng.standard_normal(400)
    dates, values = np.repeat(np.arange(400), 40), np.repeat(by_date, 40)
    order = rng.permutation(16_000)
    found = date_block_bootstrap(dates[order], values[order], block=1, n_resamples=4000, generator=generator(6))
    assert (found.n_rows, found.n_dates) == (16_000, 400)
    assert found.estimate == pytest.approx(by_date.mean())
    # The error of an error from 4,000 resamples is 1.1 %; naive independence of rows would give a sixth of it.
    assert found.standard_error == pytest.approx(by_date.std() / 20, rel=0.05)
    below = date_block_bootstrap(dates, values - 0.5, block=1, generator=generator(6))
    above = date_block_bootstrap(dates, values + 0.5, block=1, generator=generator(6))
    assert below.p_negative < 0.001  # ten standard errors below zero
    assert above.p_negative > 0.999
    assert found.lower == pytest.approx(found.estimate - 1.645 * found.standard_error, abs=0.005)


def test_blocks_hold_what_hangs_together() -> None:
    """Runs of ten equal dates: blocks of one date see a third of the error that blocks of a hundred see."""
    values = np.repeat(generator(7).standard_normal(400), 10)
    dates = np.arange(4000)
    short, long = (
        date_block_bootstrap(dates, values, block=block, n_resamples=2000, generator=generator(8)).standard_error
        for block in (1, 100)
    )
    assert long / short == pytest.approx(np.sqrt(10), rel=0.25)


def test_dates_with_more_rows_weigh_more() -> None:
    dates, values = np.array([1, 1, 1, 2]), np.array([0.0, 0.0, 0.0, 1.0])
    found = date_block_bootstrap(dates, values, block=1, n_resamples=1000, generator=generator(9))
    assert found.estimate == 0.25
    # Two dates drawn: 0, 1/4 or 1, with probabilities 1/4, 1/2, 1/4.
    assert (found.lower, found.upper) == (0.0, 1.0)
    assert found.block == 1
    same = date_block_bootstrap(dates, values, block=1, n_resamples=1000, generator=generator(9))
    assert same == found


def test_hostile_input() -> None:
    ten = np.zeros(10)
    for bad in (
        lambda: diebold_mariano(ten[:9], ten[:9]),
        lambda: diebold_mariano(ten, np.zeros(11)),
        lambda: diebold_mariano(ten, np.full(10, np.nan)),
        lambda: model_confidence_set({}, generator=generator()),
        lambda: model_confidence_set({"a": ten, "b": np.zeros(11)}, generator=generator()),
        lambda: date_block_bootstrap(np.array([]), np.array([]), generator=generator()),
        lambda: date_block_bootstrap(np.array([1]), ten, generator=generator()),
        lambda: date_block_bootstrap(np.arange(10), ten, block=0, generator=generator()),
    ):
        with pytest.raises(DataError):
            bad()


@pytest.mark.slow
def test_size_and_coverage() -> None:
    """Over 200 pairs of equal models with autocorrelated differences: Diebold-Mariano at 5 % rejects under 10 %, the
    confidence set at 10 % holds the best (all are) in 85 % or more, the bootstrap's 90 % interval covers in 82 % or
    more. Bounds as stated less the binomial 0.1 % quantiles.
    """
    rng, n = generator(12), 200
    rejected, kept, covered = 0, 0, 0
    for _ in range(n):
        noise = rng.standard_normal((4, 301))
        scores = noise[:, 1:] + 0.3 * noise[:, :-1]
        rejected += diebold_mariano(scores[0], scores[1]).p_two_sided < 0.05
        named = {str(i): scores[i] for i in range(3)}
        kept += model_confidence_set(named, n_resamples=200, generator=rng)["0"] > 0.10
        interval = date_block_bootstrap(np.arange(300), scores[3], block=10, n_resamples=300, generator=rng)
        covered += interval.lower <= 0.0 <= interval.upper
    print("rejected", rejected / n, "kept", kept / n, "covered", covered / n)
    assert rejected <= binom.ppf(0.999, n, 0.10)
    assert kept >= binom.ppf(0.001, n, 0.85)
    assert covered >= binom.ppf(0.001, n, 0.82)
