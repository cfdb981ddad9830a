"""Figures: definitions, closed forms, bands and bounds."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.integrate import quad
from scipy.special import ndtri, stdtr, stdtrit

from risk.calibration import Measure, RiskFigure, Side
from risk.tails.figures import (
    CAPPED,
    LOG_MOVE_CAP,
    NOISY,
    FigureRequest,
    running_extreme,
    simple_loss,
    simulated_figures,
    tail_statistics,
    values_and_bands,
)
from risk.tails.one_bar import historical_figures, parametric_figures
from tests.factories import make_snapshot
from tests.tails.models import DAY, constant_variance, known_model, student_shocks

REQUEST = FigureRequest((0.95, 0.99, 0.995), (1, 7), 200, 11)


def by_key(figures: list[RiskFigure]) -> dict[tuple[str, float, int, str], RiskFigure]:
    found = {(str(f.measure), f.confidence, f.horizon // DAY, str(f.side)): f for f in figures}
    assert len(found) == len(figures)
    return found


def test_fifth_worst_of_a_hundred() -> None:
    """(1 - .95) * 100 is 5.000000000000004 in floats: the shortfall is still the mean of the five worst."""
    losses = np.random.default_rng(1).permutation(np.arange(1.0, 101.0))[None]
    quantile, shortfall = tail_statistics(losses, (0.95, 0.99))
    assert quantile[0].tolist() == [95.5, 99.5]
    assert shortfall[0] == pytest.approx([98.0, 100.0], rel=1e-12)


@settings(max_examples=100, deadline=None)
@given(arrays(np.float64, st.integers(3, 60), elements=st.floats(-1, 1)), st.floats(0.5, 0.999))
def test_tail_statistics_against_sorting_everything(losses: np.ndarray, confidence: float) -> None:
    quantile, shortfall = tail_statistics(losses[None], (confidence,))
    ordered = np.sort(losses)
    assert quantile[0, 0] == pytest.approx(np.quantile(ordered, confidence, method="hazen"), abs=1e-12)
    # The mean of the top share as an integral of the step quantile function.
    n = len(ordered)
    weight = np.clip(np.arange(1, n + 1) - n * confidence, 0, 1)
    assert shortfall[0, 0] == pytest.approx(weight @ ordered / weight.sum(), abs=1e-9)
    assert shortfall[0, 0] >= quantile[0, 0] - 1e-12


def test_pair_moves() -> None:
    """Debt up 30 % with flat collateral is a fall of 23.08 %; with collateral down 8 % of 29.23 %."""
    snapshot = make_snapshot(n_bars=3)
    eth, usdc = snapshot.close("ETH"), snapshot.close("USDC")
    for collateral, debt, expected in ((1.0, 1.3, 0.2308), (0.92, 1.3, 0.2923), (1.0, 1.0, 0.0)):
        moved = replace(
            snapshot,
            series=(
                replace(eth, value=3000 * np.array([1.0, collateral, 1.05])),
                replace(usdc, value=np.array([1.0, debt, 1.0])),
            ),
        )
        path = np.log(moved.pair("ETH", "USDC").value)[None]
        fall = simple_loss(running_extreme(path, Side.DOWN), Side.DOWN)[0, -1]
        assert fall == pytest.approx(expected, abs=5e-5)


def test_log_moves_become_simple_ones() -> None:
    """A log move of .25 is a long loss of 22.12 % and a short loss of 28.40 %."""
    assert simple_loss(np.array(-0.25), Side.DOWN) == pytest.approx(0.2212, abs=5e-5)
    assert simple_loss(np.array(0.25), Side.UP) == pytest.approx(0.2840, abs=5e-5)
    assert simple_loss(np.array(9.0), Side.UP) == pytest.approx(9.0)


@pytest.mark.parametrize("nu", [5.0, np.inf])
def test_constant_volatility_has_the_closed_form(nu: float) -> None:
    """One bar without dynamics: exactly the quantile of t or normal shocks, up to their grid of 5,000."""
    model = known_model(draws=constant_variance(0.04), shocks=student_shocks(nu))
    shocks = np.tile(model.shocks, (5, 1))
    found = by_key(simulated_figures(model, shocks, REQUEST, start="conditional"))
    for confidence in REQUEST.confidences:
        scale = 1.0 if np.isinf(nu) else np.sqrt((nu - 2) / nu)
        q = 0.04 * scale * (ndtri(confidence) if np.isinf(nu) else stdtrit(nu, confidence))
        for side, value in (("down", 1 - math.exp(-q)), ("up", math.exp(q) - 1)):
            figure = found["value_at_risk", confidence, 1, side]
            # Stratified over 5,000 paths: the error is that of the grid where it is coarsest.
            assert figure.value == pytest.approx(value, rel=0.01)
            # Equal draws and shocks: a band without width.
            assert figure.lower == pytest.approx(figure.upper)
            assert found["drawdown", confidence, 1, side].value == figure.value
    # Seven bars of normal shocks: sigma sqrt(7), within four errors of an order statistic.
    if np.isinf(nu):
        q = 0.04 * math.sqrt(7) * ndtri(0.99)
        density = math.exp(-(ndtri(0.99) ** 2) / 2) / math.sqrt(2 * math.pi) / (0.04 * math.sqrt(7))
        error = math.sqrt(0.99 * 0.01 / 5000) / density
        assert -math.log(1 - found["value_at_risk", 0.99, 7, "down"].value) == pytest.approx(q, abs=4 * error)


def test_recovers_the_figures_of_a_known_garch() -> None:
    """Seven bars of GARCH-t5 against an independent simulation in plain numpy; both have Monte-Carlo error."""
    model = known_model()
    request = FigureRequest((0.95, 0.99), (1, 7), 2000, 5)
    found = by_key(simulated_figures(model, np.tile(model.shocks, (5, 1)), request, start="conditional"))
    rng = np.random.default_rng(0)
    n = 400_000
    h, level, worst = np.full(n, 0.04**2), np.zeros(n), np.zeros(n)
    for _ in range(7):
        e = np.sqrt(h) * rng.standard_t(5, n) * np.sqrt(3 / 5)
        level += e
        worst = np.minimum(worst, level)
        h = 0.02 * 0.04**2 + 0.08 * e**2 + 0.90 * h
    for measure, sample in (("value_at_risk", level), ("drawdown", worst)):
        loss = np.sort(-np.expm1(sample))
        for confidence in (0.95, 0.99):
            value = found[measure, confidence, 7, "down"].value
            width = math.sqrt(confidence * (1 - confidence) * (1 / n + 1 / 50_000))
            low, high = (np.quantile(loss, confidence + s * 4 * width) for s in (-1, 1))
            assert low < value < high
    loss = np.sort(-np.expm1(level))[int(0.99 * n) :]
    error = loss.std() / math.sqrt(500) * 1.5  # 500 paths beyond; the quantile's own error adds to the mean's
    assert found["expected_shortfall", 0.99, 7, "down"].value == pytest.approx(loss.mean(), abs=4 * error)


def test_figures_are_ordered_and_banded() -> None:
    rng = np.random.default_rng(2)
    draws = known_model().draws.repeat(10, axis=0)
    draws[:, 6] *= np.exp(0.3 * rng.standard_normal(50))
    model = known_model(draws=draws)
    found = by_key(simulated_figures(model, np.tile(model.shocks, (50, 1)), REQUEST, start="conditional"))
    for (measure, confidence, bars, side), figure in found.items():
        assert 0 < figure.lower < figure.value < figure.upper
        if measure == "value_at_risk":
            assert found["expected_shortfall", confidence, bars, side].value >= figure.value
            assert found["drawdown", confidence, bars, side].value >= figure.value
        if bars == 7:
            assert figure.value > found[measure, confidence, 1, side].value
        if confidence == 0.99:
            assert figure.value > found[measure, 0.95, bars, side].value
        assert (CAPPED in figure.status) == (measure == "expected_shortfall" and side == "up")
    # The spread of the draws, lognormal with .3 / 2 in volatility, is what the band of one bar shows.
    one = found["value_at_risk", 0.95, 1, "down"]
    spread = np.quantile(np.sqrt(draws[:, 6]), [0.05, 0.95], method="weibull") / np.sqrt(draws[:, 6].mean())
    np.testing.assert_allclose([one.lower / one.value, one.upper / one.value], spread, rtol=0.06)


def test_a_fall_is_at_most_everything_and_a_rise_at_most_tenfold() -> None:
    wild = known_model(draws=constant_variance(3.0))
    found = by_key(simulated_figures(wild, np.tile(wild.shocks, (5, 1)), REQUEST, start="conditional"))
    for figure in found.values():
        assert figure.upper <= (1.0 if figure.side is Side.DOWN else 9.0 + 1e-9)
    assert found["expected_shortfall", 0.99, 7, "up"].value == pytest.approx(math.expm1(LOG_MOVE_CAP))


def test_depeg_reaches_the_figures_of_a_quiet_coin() -> None:
    """.3 jumps a year in 28 days: probability 2.3 %, so the 99 % fall is the jump and the 95 % fall is not."""
    model = known_model(
        draws=constant_variance(1e-4), jump_intensity=np.full(5, 0.3), jump_sizes=np.log([0.93]), status="ok"
    )
    request = replace(REQUEST, horizons=(28,))
    found = by_key(simulated_figures(model, np.tile(model.shocks, (5, 1)), request, start="conditional"))
    assert found["drawdown", 0.99, 28, "down"].value == pytest.approx(0.07, abs=0.005)
    assert found["drawdown", 0.95, 28, "down"].value < 0.005
    gone = replace(model, jump_intensity=np.full(5, 1e-9))
    found = by_key(simulated_figures(gone, np.tile(model.shocks, (5, 1)), request, start="conditional"))
    assert found["drawdown", 0.995, 28, "down"].value < 0.005


def test_monte_carlo_noise_is_said() -> None:
    """One jump in fifty thousand paths decides nothing: around its probability a quantile is noise."""
    model = known_model(draws=constant_variance(1e-4), jump_intensity=np.full(5, 1.83), jump_sizes=np.log([0.5]))
    request = FigureRequest((0.995,), (1,), 50, 3)  # chance of a jump in a bar .00499
    figures = simulated_figures(model, np.tile(model.shocks, (5, 1)), request, start="conditional")
    assert NOISY in by_key(figures)["value_at_risk", 0.995, 1, "down"].status


def test_parametric_figures_against_quadrature() -> None:
    """Two different draws: quantile of the mixture, shortfall as an integral over its density."""
    rows = np.array([[0.001, 0, 0, 0, 0, 4.0, 0.03**2], [-0.002, 0, 0, 0, 0, 8.0, 0.06**2]] * 10)
    found = by_key(parametric_figures(known_model(), rows, method="garch_t", confidences=(0.95, 0.99)))
    scale = np.sqrt(rows[:2, 6] * (rows[:2, 5] - 2) / rows[:2, 5])

    def cdf(x: float) -> float:
        return float(np.mean(stdtr(rows[:2, 5], (x - rows[:2, 0]) / scale)))

    for confidence in (0.95, 0.99):
        down = found["value_at_risk", confidence, 1, "down"].value
        assert cdf(math.log1p(-down)) == pytest.approx(1 - confidence, rel=1e-8)
        up = found["value_at_risk", confidence, 1, "up"].value
        assert cdf(math.log1p(up)) == pytest.approx(confidence, rel=1e-10)
        # E[L; L > q] = q P(L > q) + integral of P(L > l) over l above q.
        tail, _ = quad(lambda loss: cdf(math.log1p(-loss)), down, 1 - 1e-12, epsabs=1e-12)
        assert found["expected_shortfall", confidence, 1, "down"].value == pytest.approx(
            down + tail / (1 - confidence), rel=1e-5
        )
        tail, _ = quad(lambda loss: 1 - cdf(math.log1p(loss)), up, 9.0, epsabs=1e-12, limit=200)
        figure = found["expected_shortfall", confidence, 1, "up"]
        assert figure.value == pytest.approx(up + tail / (1 - confidence), rel=1e-4)
        assert CAPPED in figure.status
    volatility = found["volatility", 0.0, 1, "down"]
    assert volatility.value == pytest.approx(math.sqrt((0.03**2 + 0.06**2) / 2))
    assert (volatility.lower, volatility.upper) == pytest.approx((0.03, 0.06))


def test_the_cap_is_what_bounds_the_short_side() -> None:
    """Under nu = 2.5 and a volatility of 40 % the cap is reached: the figure is finite and says why."""
    rows = np.tile([0.0, 0.0, 0.0, 0.0, 0.0, 2.5, 0.4**2], (20, 1))
    found = by_key(parametric_figures(known_model(), rows, method="garch_t", confidences=(0.99,)))
    figure = found["expected_shortfall", 0.99, 1, "up"]
    up, scale = found["value_at_risk", 0.99, 1, "up"].value, 0.4 * math.sqrt(0.5 / 2.5)
    tail, _ = quad(lambda loss: stdtr(2.5, -math.log1p(loss) / scale), up, 9.0, epsabs=1e-12, limit=200)
    assert figure.value == pytest.approx(up + tail / 0.01, rel=1e-5)
    assert CAPPED in figure.status


def test_historical_figures_are_the_samples_own() -> None:
    returns = np.log(np.random.default_rng(3).permutation(np.linspace(0.9, 1.1, 401)))[:400]
    model = known_model(returns=returns)
    found = by_key(historical_figures(model, REQUEST))
    figure = found["value_at_risk", 0.95, 1, "down"]
    assert figure.value == pytest.approx(np.quantile(-np.expm1(returns), 0.95, method="hazen"))
    assert figure.lower < figure.value < figure.upper
    # Independent sample: the band is about 1.645 errors of an order statistic of a uniform law on .2.
    error = 0.2 * math.sqrt(0.95 * 0.05 / 400)
    assert figure.upper - figure.lower == pytest.approx(2 * 1.645 * error, rel=0.4)
    assert found["volatility", 0.0, 1, "down"].value == pytest.approx(returns.std())
    assert historical_figures(model, REQUEST) == historical_figures(model, REQUEST)
    assert figure.method == "historical"
    assert figure.measure is Measure.VALUE_AT_RISK


@pytest.mark.parametrize(("xi", "noisy"), [(0.45, True), (0.15, False)])
def test_a_tenth_of_monte_carlo_error_is_said(xi: float, noisy: bool) -> None:
    # Quantiles of a Pareto law: the error of the 99 % one on 2,000 paths is 10.3 % of it at xi .45, 3.4 % at .15.
    n = 2000
    losses = (1.0 - (np.arange(n) + 0.5) / n) ** -xi
    (quantile,), _ = values_and_bands([losses, losses], 1, (0.99,))
    width = math.sqrt(0.99 * 0.01 / n)
    exact = 0.5 * ((0.01 - width) ** -xi - (0.01 + width) ** -xi)
    # Order statistics stand at whole paths: their distance is right to one of the 2 * n * width = 9 between them.
    assert quantile.error == pytest.approx(exact, rel=1.0 / (2.0 * n * width))
    assert (NOISY in quantile.notes) == noisy
