"""Six methods side by side: the counts of McNeil and Frey, look-ahead, and what hindsight says."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from risk.calibration import Side
from risk.errors import DataError, RefusalError
from risk.tails.comparison import Method, compare_methods, understatement
from risk.volatility.models import VolatilityModel


def garch(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    z = rng.standard_t(4, n) * np.sqrt(0.5)
    y, h = np.empty(n), 1e-3
    for t in range(n):
        y[t] = np.sqrt(h) * z[t]
        h = 2e-5 + 0.1 * y[t] ** 2 + 0.88 * h
    return y


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("model", ["garch_normal", "garch_t"])
def test_the_counts_of_mcneil_and_frey(shared: Path, model: str) -> None:
    """BMW, 5146 tests after 1000 days, 100 tail losses, at 95, 99 and 99.5 %: 257, 51 and 26 expected.

    An independent code that refits every day (AR(1) by least squares, then the quasi-likelihood) counts 271/53/31 for
    the conditional tail, 215/85/60 conditional normal, 248/53/19 conditional t, and 252/55/31 for the unconditional
    tail; McNeil and Frey (2000), with mean and variance fitted jointly, 261/48/29 and 210/86/57. The unconditional
    counts need no optimum and are exact; the conditional ones lie within 3 % or three counts of one of the two.
    """
    with gzip.open(shared / "reference_data" / "bmw_returns.csv.gz", "rt") as handle:
        returns = np.array([float(row[0]) for row in list(csv.reader(handle))[1:]])
    tracks = compare_methods(
        returns, window=1000, confidences=(0.95, 0.99, 0.995), exceedances=100,
        model=VolatilityModel(model), autoregressive=True,
    )  # fmt: skip
    rows = understatement(tracks)
    counts = {method: [row.exceedances for row in rows if row.method is method] for method in Method}
    assert len(tracks.losses) == 5146
    assert tracks.n_carried == 0
    assert counts[Method.UNCONDITIONAL_TAIL] == [252, 55, 31]
    conditional = [(271, 261), (53, 48), (31, 29)]
    law = [(215, 210), (85, 86), (60, 57)] if model == "garch_normal" else [(248, 248), (53, 53), (19, 19)]
    if model == "garch_normal":
        for found, published in zip(counts[Method.MCNEIL_FREY], conditional, strict=True):
            assert min(abs(found - count) / max(3, 0.03 * count) for count in published) <= 1.0
    for found, published in zip(counts[Method.PARAMETRIC], law, strict=True):
        assert min(abs(found - count) / max(3, 0.03 * count) for count in published) <= 1.0
    for found, level in zip(counts[Method.MCNEIL_FREY], tracks.confidences, strict=True):
        assert binomtest(found, 5146, 1 - level).pvalue > 0.2


def test_no_forecast_knows_its_own_bar() -> None:
    y = garch(420, 1)
    whole = compare_methods(y, window=400, confidences=(0.95, 0.99), refit_every=7)
    changed = y.copy()
    changed[410:] *= 5.0
    other = compare_methods(changed, window=400, confidences=(0.95, 0.99), refit_every=7)
    for method in Method:
        np.testing.assert_array_equal(whole.quantiles[method][:11], other.quantiles[method][:11])
        assert (whole.quantiles[method][11:] != other.quantiles[method][11:]).any() or method not in (
            Method.MCNEIL_FREY,
            Method.PARAMETRIC,
        )


def test_the_other_side_is_the_mirror() -> None:
    y = garch(460, 2)
    down = compare_methods(y, window=440, refit_every=20, autoregressive=True)
    up = compare_methods(-y, window=440, refit_every=20, autoregressive=True, side=Side.UP)
    for method in Method:
        # Two searches of the mirrored likelihood end within a Newton decrement of 1e-10 nats of each other.
        np.testing.assert_allclose(up.quantiles[method], down.quantiles[method], rtol=1e-4)


def test_hindsight_repairs_the_quantile() -> None:
    """Multiplied by its factor a method is exceeded as often as it says, and the careful method is its own measure."""
    tracks = compare_methods(garch(1400, 3), window=400, confidences=(0.95, 0.99, 0.9995), refit_every=50)
    rows = understatement(tracks)
    assert len(rows) == len(Method) * 3
    for row in rows:
        if row.confidence == 0.9995:
            assert np.isnan(
                [row.factor, *row.factor_interval]
            ).all()  # half an exceedance is expected: nothing can be said
            continue
        quantile = tracks.quantiles[row.method][:, tracks.confidences.index(row.confidence)]
        assert row.factor_interval[0] < row.factor < row.factor_interval[1]
        # Its ends leave 1.645 sqrt(n c (1 - c)) exceedances more and fewer; a Hazen quantile counts to one half.
        reach = 1.645 * np.sqrt(row.expected * row.confidence)
        for end, sign in zip(row.factor_interval, (1.0, -1.0), strict=True):
            beyond = np.sum(tracks.losses > end * quantile)
            assert beyond == pytest.approx(row.expected + sign * reach, abs=1.0)
        # A Hazen quantile of 1,000 ratios leaves 50 or 10 above it.
        assert np.sum(tracks.losses > row.factor * quantile) == pytest.approx(row.expected, abs=0.5)
        assert (row.exceedances > row.expected) == (row.factor > 1.0) or row.exceedances == row.expected
    careful = [row.relative_to_careful for row in rows if row.method is Method.MCNEIL_FREY]
    assert careful == [1.0, 1.0, 1.0]
    normal = next(r for r in rows if r.method is Method.UNCONDITIONAL_NORMAL and r.confidence == 0.99)
    assert normal.relative_to_careful < 1.0


def test_hostile_input() -> None:
    y = garch(300, 4)
    with pytest.raises(DataError, match="shorter window"):
        compare_methods(y, window=300)
    with pytest.raises(DataError, match="confidences"):
        compare_methods(y, window=200, confidences=(0.3,))
    with pytest.raises(RefusalError, match="first window"):
        compare_methods(np.concatenate([np.zeros(200), y]), window=150)


@pytest.mark.slow
@pytest.mark.data
def test_who_understates_on_real_prices(shared: Path) -> None:
    """Eight daily assets, window 500, pooled: the filter and its tail are right at 99 %, a normal law is not.

    Prints the table: how often each quantile was exceeded, and the factor by which it would have had to be larger.
    """
    names = ("BTC", "ETH", "ADA", "BNB", "LINK", "XRP", "SOL", "AAVE")
    levels = (0.95, 0.99, 0.995, 0.999)
    ratios: dict[Method, list[np.ndarray]] = {method: [] for method in Method}
    for name in names:
        with gzip.open(shared / "data" / "daily_binance_spot" / f"{name}USDT.csv.gz", "rt") as handle:
            closes = np.array([float(row["close"]) for row in csv.DictReader(handle)])
        tracks = compare_methods(np.diff(np.log(closes)), window=500, refit_every=10, confidences=levels)
        for method, forecast in tracks.quantiles.items():
            ratios[method].append(tracks.losses[:, None] / forecast)
    factor = {}
    for method, parts in ratios.items():
        pooled = np.concatenate(parts)
        hits = (pooled > 1.0).mean(axis=0)
        factor[method] = [float(np.quantile(pooled[:, i], level)) for i, level in enumerate(levels)]
        cells = (f"{100 * hit:.2f}% x{need:.3f}" for hit, need in zip(hits, factor[method], strict=True))
        print(f"{method:<22}", *cells)
    # Eight assets that crash together are worth some 4,000 bars: the 99 % quantile's relative error is near 4 %.
    assert factor[Method.MCNEIL_FREY][1] == pytest.approx(1.0, abs=0.1)
    assert factor[Method.PARAMETRIC][1] == pytest.approx(1.0, abs=0.1)
    assert factor[Method.UNCONDITIONAL_NORMAL][1] > 1.1
    assert factor[Method.UNCONDITIONAL_NORMAL][3] > 1.4
