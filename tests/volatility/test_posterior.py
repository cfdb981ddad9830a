"""Posterior draws: coverage on simulated truth, reproducibility, and agreement with a direct integral."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import stdtrit

from risk.errors import DataError, RefusalError
from risk.streams import stream
from risk.volatility.coordinates import UNCONSTRAINED_NAMES, natural_parameters, problem, unconstrained
from risk.volatility.models import ParameterPrior, VolatilityModel, fit
from risk.volatility.posterior import draw_posterior, effective_sample_size, interval

Simulate = Callable[..., tuple[np.ndarray, float]]


def test_same_stream_same_draws(simulate: Simulate) -> None:
    y, _ = simulate(400, np.random.default_rng(2))
    for model in ("garch_t", "gjr_t"):
        result = fit(model, y)
        first, second = (draw_posterior(result, y, generator=stream(7, "posterior", "ETH:USD")) for _ in range(2))
        np.testing.assert_array_equal(first.parameters, second.parameters)
        assert first.parameters.shape == (50, 6)
        assert 0.1 < first.acceptance_rate < 0.5
        assert first.effective_sample_size > 50
        persistence = first.parameters[:, 2] + first.parameters[:, 3] / 2 + first.parameters[:, 4]
        assert np.all(persistence < 1)


def test_unconstrained_inverts_natural(simulate: Simulate) -> None:
    y, _ = simulate(400, np.random.default_rng(4))
    for model in ("garch_t", "gjr_t"):
        result = fit(model, y)
        stated = problem(result.model, y, prior=None, presample=result.presample)
        np.testing.assert_allclose(
            natural_parameters(unconstrained(result.vector, stated), stated)[:6], result.vector, rtol=1e-9
        )


def test_a_sharp_prior_is_drawn_from_exactly(simulate: Simulate) -> None:
    """With a prior that the data cannot move, the draws have its mean and spread."""
    y, _ = simulate(100, np.random.default_rng(6))
    mean, sd = np.array([-3.0, 1.5, 3.5, 0.7]), 0.02
    names = UNCONSTRAINED_NAMES[VolatilityModel.GARCH_T]
    prior = ParameterPrior(names, mean, np.eye(4) / sd**2)
    draws = draw_posterior(
        fit("garch_t", y, prior=prior),
        y,
        prior=prior,
        generator=np.random.default_rng(1),
        n_draws=4000,
        n_iterations=40_000,
    )
    log_nu = np.log(draws.parameters[:, 5] - 2.05)
    # The likelihood of 100 returns moves the mean by about (score ~ 10) sd^2 = .004.
    assert log_nu.mean() == pytest.approx(0.7, abs=0.01)
    # Spread from at least 1,000 effective draws: 3 sd of a standard deviation is 7 %.
    assert log_nu.std() == pytest.approx(sd, rel=0.1)


def test_effective_sample_size_of_an_autoregression() -> None:
    """AR(1) with coefficient r: n (1 - r) / (1 + r)."""
    rng = np.random.default_rng(0)
    chain = np.empty(200_000)
    value = 0.0
    for i, shock in enumerate(rng.standard_normal(chain.size)):
        value = 0.9 * value + shock
        chain[i] = value
    assert effective_sample_size(chain) == pytest.approx(chain.size * 0.1 / 1.9, rel=0.1)
    assert effective_sample_size(np.ones(10)) == 1.0


def test_interval_positions() -> None:
    """Weibull positions: of 19 ordered draws the 90 % interval is the first and the last."""
    assert interval(np.arange(19.0)) == (0.0, 18.0)


def test_refusals(simulate: Simulate) -> None:
    y, _ = simulate(300, np.random.default_rng(2))
    rng = np.random.default_rng(0)
    with pytest.raises(RefusalError, match="ewma_t"):
        draw_posterior(fit("ewma_t", y), y, generator=rng)
    with pytest.raises(RefusalError, match="too_short"):
        draw_posterior(fit("garch_t", y[:10]), y[:10], generator=rng)
    with pytest.raises(DataError, match="300"):
        draw_posterior(fit("garch_t", y), y[1:], generator=rng)
    with pytest.raises(DataError, match="n_draws"):
        draw_posterior(fit("garch_t", y), y, generator=rng, n_draws=0)


@pytest.mark.slow
@pytest.mark.parametrize("n", [500, 2000])
def test_interval_coverage_without_information(simulate: Simulate, n: int) -> None:
    """The 90 % interval of one-step VaR99 and of volatility covers 85-95 % of 300 series (neutral prior).

    The band is a promise of the product; a true coverage of 90 % leaves it with probability .004.
    """
    hits = np.zeros((300, 2))
    for k in range(300):
        rng = np.random.default_rng([n, k])
        y, h = simulate(n, rng)
        draws = draw_posterior(fit("garch_t", y), y, generator=rng)
        mu, nu = draws.parameters[:, 0], draws.parameters[:, 5]
        quantile = stdtrit(nu, 0.01) * np.sqrt((nu - 2) / nu)
        true = -np.sqrt(h) * stdtrit(5, 0.01) * np.sqrt(3 / 5)
        low, high = interval(-(mu + np.sqrt(draws.next_variances) * quantile))
        hits[k, 0] = low <= true <= high
        low, high = interval(np.sqrt(draws.next_variances))
        hits[k, 1] = low <= np.sqrt(h) <= high
    coverage = hits.mean(axis=0)
    print(f"coverage at n={n}: VaR99 {coverage[0]:.3f}, volatility {coverage[1]:.3f}")
    assert np.all((coverage >= 0.85) & (coverage <= 0.95))
