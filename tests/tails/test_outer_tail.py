"""Shocks beyond the outermost cell of a quantile function."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.random import default_rng
from scipy.stats import genpareto, t

from risk.calibration import Measure, Side
from risk.tails.figures import NOISY, FigureRequest, simulated_figures
from risk.tails.horizon import simulate
from risk.tails.outer_tail import outer_tails, shock_at
from risk.tails.shocks import fit_shocks, shock_probabilities
from tests.tails.models import constant_variance, known_model, student_shocks


def pareto_table(xi: float, count: int = 5000) -> np.ndarray:
    """Both outer tenths generalised Pareto, in between a line; outermost entries are means of their cells."""
    probability = shock_probabilities(count)
    law = genpareto(xi, loc=1.0, scale=0.5)
    upper = law.ppf(np.clip(1.0 - (1.0 - probability) / 0.1, 0.0, 1.0))
    upper[-1] = law.ppf(1.0 - 1.0 / count / 0.1) + (0.5 + xi * (law.ppf(1.0 - 1.0 / count / 0.1) - 1.0)) / (1.0 - xi)
    body = np.interp(probability, [0.1, 0.9], [-1.0, 1.0])
    return np.where(probability > 0.9, upper, np.where(probability < 0.1, -upper[::-1], body))


@pytest.mark.parametrize("xi", [-0.2, 0.1, 0.3, 0.6])
def test_a_pareto_tail_goes_on_as_it_is(xi: float) -> None:
    table = pareto_table(xi)
    tails = outer_tails(table[None])
    np.testing.assert_allclose(tails[0, :, 0], xi, rtol=1e-6)
    law = genpareto(xi, loc=1.0, scale=0.5)
    for outside in (2e-4, 1e-5, 1e-7):
        wanted = law.ppf(1.0 - outside / 0.1)
        assert shock_at(1.0 - outside, table, tails[0]) == pytest.approx(wanted, rel=1e-5)
        assert shock_at(outside, table, tails[0]) == pytest.approx(-wanted, rel=1e-5)
    assert np.isfinite(shock_at(0.0, table, tails[0]))
    assert np.isfinite(shock_at(1.0, table, tails[0]))


def test_tables_without_a_tail_end() -> None:
    for table in (np.zeros(5000), np.linspace(-1.0, 1.0, 20)):
        tails = outer_tails(table[None])
        assert (tails[..., 1] == 0.0).all()
        assert shock_at(1e-9, table, tails[0]) == table[0]


def test_a_quantile_beyond_the_table_is_the_law_s() -> None:
    """At 99.99 % and 99.999 % of one bar paths follow the fitted tail, where the table alone ends at 99.98 %."""
    shocks = fit_shocks(t.rvs(4, size=4000, random_state=default_rng(5))).quantiles()
    model = known_model(draws=constant_variance(0.001, 50))
    tables = np.tile(shocks, (50, 1))
    moves = simulate(
        model, n_bars=1, n_paths_per_draw=40_000, seed=1, start="conditional", common=False, shocks=tables
    ).log_price[:, 1]
    tail = outer_tails(shocks[None])[0]
    for outside in (1e-4, 1e-5):
        wanted = 0.001 * shock_at(outside, shocks, tail)
        assert np.quantile(moves, outside) == pytest.approx(wanted, rel=0.05)
    assert shock_at(1e-5, shocks, tail) < 1.2 * shocks[0]


def test_few_paths_beyond_the_quantile_are_said() -> None:
    request = FigureRequest((0.99, 0.9996, 0.99999), (1,), n_paths_per_draw=400, seed=1)
    model = known_model(shocks=student_shocks(4.0))
    figures = simulated_figures(model, np.tile(model.shocks, (5, 1)), request, start="conditional")
    noisy = {
        f.confidence: NOISY in f.status for f in figures if f.measure is Measure.VALUE_AT_RISK and f.side is Side.DOWN
    }
    assert noisy == {0.99: False, 0.9996: True, 0.99999: True}
