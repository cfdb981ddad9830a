"""What must hold of every recommendation: directions, limits, order and constraints after rounding.

Volatility is scaled on the path models themselves, on common random numbers, so that a direction is compared
path by path and not through a new fit.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from decimal import Decimal
from functools import cache

import numpy as np
import pytest

from risk.calibration import Calibration, SubjectModel
from risk.market import MarketSnapshot
from risk.parameters import Key
from risk.policy.recommend import recommend
from risk.policy.reserve import as_it_was
from risk.recommendation import Recommendation
from risk.settings import Settings
from risk.tails.horizon import simulate
from tests.factories import make_calibration, make_settings, make_snapshot

RESERVES = ("LINK", "USDC", "WBTC", "WETH", "wstETH")
SETTINGS = make_settings()


@cache
def market() -> tuple[MarketSnapshot, Calibration]:
    snapshot = make_snapshot()
    return snapshot, make_calibration(snapshot, SETTINGS)


def scaled(model: SubjectModel, factor: float) -> SubjectModel:
    """The model with every log move times `factor`: the returns, the variances and the draws' level."""
    draws = model.draws.copy()
    draws[:, 1] *= factor**2
    draws[:, 6] *= factor**2
    return dataclasses.replace(
        model, draws=draws, returns=model.returns * factor, variances=model.variances * factor**2,
        starting_variance=model.starting_variance * factor**2, jump_sizes=model.jump_sizes * factor,
    )  # fmt: skip


def recommended(
    *,
    volatility: float = 1.0,
    settings: Settings = SETTINGS,
    change: Callable[[MarketSnapshot], MarketSnapshot] | None = None,
) -> Recommendation:
    snapshot, calibration = market()
    if volatility != 1.0:
        calibration = dataclasses.replace(
            calibration,
            assets={name: scaled(model, volatility) for name, model in calibration.assets.items()},
            pairs={name: scaled(model, volatility) for name, model in calibration.pairs.items()},
        )
    return recommend(snapshot if change is None else change(snapshot), calibration, settings)


def ratios(result: Recommendation, parameter: str) -> dict[str, float]:
    return {
        symbol: float(result.target.ratio(Key("lending", "reserve", symbol, (), parameter)) or 0.0)
        for symbol in RESERVES
    }


@pytest.mark.parametrize("parameter", ["liquidation_threshold", "collateral_factor"])
def test_more_volatility_never_raises(parameter: str) -> None:
    levels = [ratios(recommended(volatility=v), parameter) for v in (0.25, 0.5, 1.0, 1.5, 2.0)]
    for calm, wild in itertools.pairwise(levels):
        assert all(wild[symbol] <= calm[symbol] for symbol in RESERVES), (parameter, calm, wild)
    assert levels[-1]["WETH"] < levels[0]["WETH"]


def test_margins_never_fall_with_volatility() -> None:
    for name in ("maintenance_margin", "initial_margin"):
        key = Key("perps", "market", "ETH-USD", ("tiers", "1"), name)
        calm, wild = (recommended(volatility=v).target.ratio(key) for v in (0.5, 1.5))
        assert calm is not None
        assert wild is not None
        assert calm < wild


@pytest.mark.parametrize(
    ("part", "looser", "tighter"),
    [
        ("appetite", {"expected_bad_debt_usd_per_year": "1000000 USD"}, {"expected_bad_debt_usd_per_year": "1000 USD"}),
        ("appetite", {"es99_usd": "50000000 USD"}, {"es99_usd": "1000 USD"}),
        ("appetite", {"breach_probability": "20%"}, {"breach_probability": "0%"}),
        ("execution", {"reaction_confidence": "50%"}, {"reaction_confidence": "99%"}),
        ("execution", {"keeper_delay": "1h"}, {"keeper_delay": "47h"}),
        ("execution", {"recovery_half_life": "1h"}, {"recovery_half_life": "90d"}),
    ],
)
def test_a_tighter_appetite_or_a_slower_reaction_never_loosens(
    part: str, looser: dict[str, str], tighter: dict[str, str]
) -> None:
    loose, tight = (recommended(settings=make_settings(**{part: values})) for values in (looser, tighter))
    for parameter in ("liquidation_threshold", "collateral_factor"):
        before, after = ratios(loose, parameter), ratios(tight, parameter)
        assert all(after[symbol] <= before[symbol] for symbol in RESERVES), (parameter, before, after)
    assert ratios(loose, "collateral_factor") != ratios(tight, "collateral_factor")


def test_a_history_scaled_to_zero_reaches_the_structural_ceiling_or_the_toxic_frontier() -> None:
    assets = {"ETH": {**SETTINGS.assets["ETH"].model_dump(exclude_none=True), "threshold_ceiling": "80%"}}
    ceiling = {name: asset.model_dump(exclude_none=True) for name, asset in SETTINGS.assets.items()} | assets
    result = recommended(volatility=1e-6, settings=make_settings(assets=ceiling))
    thresholds, bonuses = ratios(result, "liquidation_threshold"), ratios(result, "liquidation_bonus")
    assert thresholds["WETH"] == 0.80
    for symbol in ("LINK", "WBTC"):
        frontier = 1 / (1 + bonuses[symbol])
        assert frontier - 1e-4 <= thresholds[symbol] < frontier


@pytest.mark.parametrize("volatility", [0.25, 1.0, 3.0])
def test_constraints_hold_after_rounding(volatility: float) -> None:
    result = recommended(volatility=volatility)
    for symbol in RESERVES:
        values = {
            name: result.target.get(Key("lending", "reserve", symbol, (), name))
            for name in ("collateral_factor", "liquidation_threshold", "liquidation_bonus")
        }
        factor, threshold, bonus = (Decimal(value.value) for value in values.values() if value is not None)
        assert factor < threshold or threshold == 0
        assert threshold * (1 + bonus) < 1


def test_permuting_the_assets_changes_nothing() -> None:
    turned = make_settings(
        assets=dict(reversed([(n, a.model_dump(exclude_none=True)) for n, a in SETTINGS.assets.items()]))
    )
    assert recommended(settings=turned).target == recommended().target


def test_twice_the_market_is_twice_the_cap() -> None:
    """Depth, positions and budgets times two: the same ratios, and caps that double to the grid of a whole token."""

    def doubled(snapshot: MarketSnapshot) -> MarketSnapshot:
        depth = {
            pair: dataclasses.replace(curve, size_usd=curve.size_usd * 2) for pair, curve in snapshot.depth.items()
        }
        assert snapshot.book is not None
        book = dataclasses.replace(snapshot.book, collateral=2 * snapshot.book.collateral, debt=2 * snapshot.book.debt)
        return dataclasses.replace(snapshot, depth=depth, book=book)

    twice = {
        "expected_bad_debt_usd_per_year": "500000 USD",
        "es99_usd": "10000000 USD",
        "shortfall_tolerance_usd": "20000 USD",
    }
    one, two = recommended(), recommended(settings=make_settings(appetite=twice), change=doubled)
    for parameter in ("liquidation_threshold", "collateral_factor", "liquidation_bonus"):
        assert ratios(one, parameter) == ratios(two, parameter)
    for symbol in RESERVES:
        cap_one, cap_two = (r.target.get(Key("lending", "reserve", symbol, (), "supply_cap")) for r in (one, two))
        assert cap_one is not None
        assert cap_two is not None
        assert 0 <= float(cap_two.value) - 2 * float(cap_one.value) <= 1


def test_bands_hold_their_value() -> None:
    for derivation in recommended().derivations:
        if derivation.lower is not None and derivation.upper is not None and derivation.refusal is None:
            value = derivation.terms[-1].after
            assert derivation.lower - 1e-4 <= value <= derivation.upper + 1e-4, derivation.key


def test_all_is_deterministic() -> None:
    assert recommended().artifact().content_hash == recommended().artifact().content_hash


def test_a_market_without_depth_tightens_that_reserve_alone() -> None:
    def thin(snapshot: MarketSnapshot) -> MarketSnapshot:
        curve = snapshot.depth["LINK/USD"]
        return dataclasses.replace(
            snapshot, depth={**snapshot.depth, "LINK/USD": dataclasses.replace(curve, size_usd=curve.size_usd * 1e-12)}
        )

    thinned, whole = recommended(change=thin), recommended()
    assert ratios(thinned, "collateral_factor")["LINK"] <= ratios(whole, "collateral_factor")["LINK"]
    assert np.isfinite(list(ratios(thinned, "collateral_factor").values())).all()
    others = [symbol for symbol in RESERVES if symbol != "LINK"]
    for parameter in ("liquidation_threshold", "collateral_factor"):
        assert [ratios(thinned, parameter)[s] for s in others] == [ratios(whole, parameter)[s] for s in others]


def test_of_a_peg_the_pooled_jump_decides_and_not_a_filter_that_feeds_itself() -> None:
    model = market()[1].pairs["WSTETH:ETH"]
    wild = dataclasses.replace(
        model, draws=np.column_stack([model.draws[:, :2], np.full((len(model.draws), 1), 0.9), model.draws[:, 3:]]),
        jump_sizes=np.log([0.9]), jump_intensity=np.full(len(model.draws), 0.5),
    )  # fmt: skip
    plain = as_it_was(wild)
    start = "through_the_cycle"
    paths = simulate(plain, n_bars=20, n_paths_per_draw=200, seed=3, start=start, common=False).log_price
    steps = np.diff(paths, axis=1)
    own = steps[np.abs(steps - np.log(0.9)) > 0.05]
    assert own.min() >= model.returns.min() - 1e-12
    assert own.max() <= model.returns.max() + 1e-12
    # 0.5 jumps a year in 20 days of 4,000 paths: a Poisson count of about 110.
    expected = 0.5 * 20 / 365.25 * len(paths)
    assert abs((len(steps.ravel()) - len(own)) - expected) < 4 * expected**0.5
