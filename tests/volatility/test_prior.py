"""The pooled priors: their vintages, hashes and refusals, the pooling method, and the script that builds them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from risk.errors import ArtifactError, RefusalError
from risk.volatility.models import VolatilityModel, fit
from risk.volatility.pooling import half_life_bound, pool_parameters
from risk.volatility.prior import load_prior, parse_prior, vintages
from tools.build_priors import build, depeg_events, differences, main
from tools.panel import confirmed_lows, returns_before, stablecoin_closes, volatile_closes

Simulate = Callable[..., tuple[np.ndarray, float]]


def unix(date: str) -> int:
    return int(datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize("date", [f"{year}-01-01" for year in range(2020, 2027)])
def test_vintage_is_sound(date: str) -> None:
    prior = load_prior(unix(date))
    assert prior.as_of == date
    assert min(prior.assets.values()) >= 364
    assert 0.9 < prior.persistence_bound < 1.0
    assert prior.persistence_bound == pytest.approx(0.5 ** (1 / prior.half_life_bound_bars), rel=1e-8)
    for model in (VolatilityModel.GARCH_T, VolatilityModel.GJR_T):
        assert np.linalg.eigvalsh(prior.covariances[model]).min() > 0
        covariance, precision = prior.covariances[model], prior.parameters(model).precision
        size = len(prior.names[model])
        assert np.abs(covariance - np.diag(np.diag(covariance))).max() > 0
        # A prior of the diagonal alone would forget that parameters of assets move together.
        rounding = size * np.finfo(float).eps * np.linalg.cond(covariance)
        np.testing.assert_allclose(precision @ covariance, np.eye(size), atol=rounding)
    for quantiles in (prior.log_relative_variances, prior.residual_quantiles, prior.residual_probabilities):
        assert np.all(np.diff(quantiles) >= 0)
    assert prior.residual_probabilities[[0, -1]] == pytest.approx([0.0005, 0.9995])
    # A filtered variance averages to its mean; the top half per cent, collapses, is beyond the states.
    assert 0.75 < np.exp(prior.log_relative_variances).mean() < 1.02
    assert 0 < prior.lower_tail_index.mean < 0.4
    assert prior.depeg.intensity == pytest.approx(
        (len(prior.depeg.events) + 0.5) / prior.depeg.stablecoin_years, rel=1e-8
    )
    assert all(event.date < date and event.depth > 0.03 for event in prior.depeg.events)


def test_what_was_known_when() -> None:
    assert vintages()[0] == "2020-01-01"
    before, after = load_prior(unix("2022-05-31")), load_prior(unix("2023-01-01"))
    assert before.as_of == "2022-01-01"
    assert load_prior(unix("2022-01-01") - 1).as_of == "2021-01-01"
    assert load_prior(unix("2040-01-01")).as_of == vintages()[-1]
    assert "LUNA" in before.assets
    assert "FTT" in after.assets
    assert not any(event.asset == "UST" for event in before.depeg.events)
    assert max(event.depth for event in after.depeg.events) == 0.9
    assert after.depeg.depths[-1] == 0.9
    with pytest.raises(RefusalError, match="2020-01-01"):
        load_prior(unix("2019-12-31"))
    with pytest.raises(RefusalError, match="ewma_t"):
        after.parameters("ewma_t")


def test_an_edited_vintage_is_refused() -> None:
    text = resources.files("risk.volatility").joinpath("priors", "2024-01-01.json").read_text()
    document = json.loads(text)
    assert parse_prior(document, file="x.json").as_of == "2024-01-01"
    document["depeg"]["stablecoin_years"] += 1
    with pytest.raises(ArtifactError, match="hash"):
        parse_prior(document, file="x.json")
    with pytest.raises(ArtifactError, match="pooled-prior"):
        parse_prior({**document, "schema": "other"}, file="x.json")


def test_the_prior_helps_a_short_history(simulate: Simulate) -> None:
    """Log variance of the next bar from 100 bars of a typical asset: less error with the prior than without."""
    prior = load_prior(unix("2026-01-01")).parameters("garch_t")
    errors = []
    for seed in range(60):
        y, h = simulate(100, np.random.default_rng([7, seed]), nu=4.0)
        pair = [fit("garch_t", y, prior=p).last_variance for p in (prior, None)]
        errors.append(np.log(np.array(pair) / h) ** 2)
    with_prior, without = np.mean(errors, axis=0)
    assert with_prior < without


def test_pooling_recovers_the_hierarchy(simulate: Simulate) -> None:
    """Assets that differ in alpha and nu by known laws; the order of the panel does not matter."""
    rng = np.random.default_rng(1)
    panel = {}
    for i in range(24):
        nu = 2.05 + np.exp(0.8 + 0.3 * rng.standard_normal())
        alpha = 0.08 * np.exp(0.4 * rng.standard_normal())
        panel[f"A{i:02d}"] = simulate(1500, rng, alpha=alpha, beta=0.97 - alpha, nu=nu)[0]
    pool = pool_parameters(VolatilityModel.GARCH_T, panel)
    turned = pool_parameters(VolatilityModel.GARCH_T, dict(reversed(panel.items())))
    np.testing.assert_array_equal(pool.prior.mean, turned.prior.mean)
    # Standard error of a mean over 24 assets: .3 / sqrt(24) plus estimation noise of .15 / sqrt(24).
    assert pool.prior.mean[3] == pytest.approx(0.8, abs=3 * 0.34 / np.sqrt(24))
    # The pseudo-assets of unit spread lift a variance of .09 to about (24 * .09 + 2) / 26 = .16.
    assert np.sqrt(pool.covariance[3, 3]) == pytest.approx(0.4, abs=0.15)
    true_half_life = np.log(0.5) / np.log(0.97)
    assert 0.7 * true_half_life < half_life_bound(pool) < 3 * true_half_life
    with pytest.raises(RefusalError, match="8 assets"):
        pool_parameters(VolatilityModel.GARCH_T, {"A": panel["A00"]})


def test_depeg_events_are_spells() -> None:
    closes = {f"2021-03-{day:02d}": 1.0 for day in range(1, 32)}
    closes |= {"2021-03-05": 0.979, "2021-03-06": 0.96, "2021-03-20": 0.965, "2021-03-25": 0.975}
    (event,) = depeg_events("X", closes, {})
    assert (event["date"], event["days_below"]) == ("2021-03-06", 4)
    assert event["depth"] == pytest.approx(0.04)
    (event,) = depeg_events("X", closes, {"2021-03-10": 0.5, "2021-03-20": 0.9})
    assert event["depth"] == pytest.approx(0.1), "a low counts on a day of the spell"
    assert depeg_events("X", {"2021-03-05": 0.9701}, {}) == []


def test_returns_stop_before_the_date_and_at_holes() -> None:
    closes = {"2021-01-01": 1.0, "2021-01-02": 2.0, "2021-01-09": 9.0, "2021-01-10": 8.0, "2021-01-13": 4.0}
    np.testing.assert_allclose(returns_before(closes, "2021-01-14"), np.log([8 / 9, 4 / 8]))
    np.testing.assert_allclose(returns_before(closes, "2021-01-09"), np.log([2.0]))
    assert returns_before({}, "2021-01-09").size == 0


def test_differences_are_found() -> None:
    document = {"a": [1.0, 2.0], "b": "x", "content_hash": "1"}
    assert differences(document, {**document, "content_hash": "2"}) == []
    assert differences(document, {"a": [1.0, 2.001], "b": "x"}) == ["/a/1: built 2.0, committed 2.001"]
    assert differences(document, None)


def test_a_vintage_knows_nothing_of_its_future(shared: Path) -> None:
    """Corrupting every close from the date on changes nothing, and the committed file is what is built."""
    date = "2021-01-01"
    panel, stablecoins = volatile_closes(shared / "data"), stablecoin_closes(shared / "data")
    lows = confirmed_lows(shared / "data")
    built = build(date, panel, stablecoins, lows)
    corrupted = [
        {name: {day: 1e9 if day >= date else close for day, close in closes.items()} for name, closes in group.items()}
        for group in (panel, stablecoins, lows)
    ]
    assert build(date, *corrupted) == built
    committed = json.loads(
        resources.files("risk.volatility").joinpath("priors", f"{date}.json").read_text(encoding="utf-8")
    )
    assert differences(built, committed) == []


def test_a_low_counts_where_a_second_coin_printed_it(shared: Path) -> None:
    """March 2023: USDC and DAI confirm each other. The low of TUSD at 0.87 in 2019 is one thin print."""
    lows = confirmed_lows(shared / "data")
    assert lows["USDC"]["2023-03-11"] == 0.876416
    assert lows["DAI"]["2023-03-11"] == 0.87118
    alone = [(coin, day) for coin, days in lows.items() for day, low in days.items() if low < 0.85]
    assert alone == [], "no coin of the pool fell this deep together with another"


@pytest.mark.slow
def test_committed_vintages_are_what_is_built(shared: Path) -> None:
    assert main(["--data", str(shared / "data"), "--check"]) == 0
