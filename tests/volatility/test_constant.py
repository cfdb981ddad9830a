"""The constant model against scipy's own fit, and its posterior against the truth it is drawn around."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student

from risk.volatility.constant import draw_constant
from risk.volatility.models import FitStatus, fit


def test_scipy_finds_no_better_optimum() -> None:
    y = 0.001 + 0.03 * np.random.default_rng(3).standard_t(5, 900)
    result = fit("constant_t", y)
    nu, mu, scale = student.fit(y, 5.0, loc=0.0, scale=0.03)
    theirs = float(np.sum(student.logpdf(y, nu, mu, scale)))
    assert result.status is FitStatus.CONVERGED
    assert result.log_likelihood >= theirs - 1e-6 * abs(theirs)
    assert result.log_likelihood == pytest.approx(theirs, abs=0.01)
    assert result.last_variance == pytest.approx(scale**2 * nu / (nu - 2), rel=1e-3)


def test_posterior_covers_the_truth() -> None:
    """90 % intervals of the deviation over 60 samples: 54 expected, and at least the binomial 0.1 % quantile, 46."""
    inside = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        y = 0.02 * rng.standard_t(6, 300)
        draws = draw_constant(fit("constant_t", y), y, generator=rng, n_draws=200)
        low, high = np.quantile(draws[:, 6], [0.05, 0.95])
        inside += low <= 0.02**2 * 1.5 <= high
        assert np.all(draws[:, 2:5] == 0.0)
        assert np.all(draws[:, 1] == draws[:, 6])
    assert inside >= 46


def test_normal_returns_leave_nu_at_its_edge_and_still_have_draws() -> None:
    rng = np.random.default_rng(0)
    y = rng.uniform(-1.0, 1.0, 500)
    result = fit("constant_t", y)
    assert result.boundary == ("nu",)
    draws = draw_constant(result, y, generator=rng, n_draws=50)
    assert np.isfinite(draws).all()
    assert np.all(draws[:, 5] > 2.0)
    assert len(np.unique(draws[:, 6])) > 25
