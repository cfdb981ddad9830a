"""Small synthetic settings, market snapshots and calibrations with known truth, for tests of every layer.

``from tests.factories import make_settings, make_snapshot, make_calibration``. Five assets: ETH and BTC (large
caps, BTC lent as WBTC), LINK (mid cap), WSTETH (pegged to ETH) and USDC (fiat stablecoin, pegged to USD), on
daily bars that end at `AS_OF`. Everything follows from `seed`; nothing is read from disk.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from risk.artifact import Table
from risk.calibration import FIGURE_SCHEMA, Calibration, Dependence, SubjectModel
from risk.dependence.summary import PAIR_SCHEMA
from risk.market import (
    Book,
    Impact,
    LiquidityCurve,
    MarketSnapshot,
    OracleFacts,
    Origin,
    PriceSeries,
    StepBound,
)
from risk.parameters import ParameterSet
from risk.settings import Settings
from risk.tails.comparison import METHOD_SCHEMA
from risk.tails.term_structure import TERM_SCHEMA
from risk.tails.wrapper import PEG_SCHEMA

Array = NDArray[np.float64]

AS_OF = 1_767_139_200  # 2025-12-31 00:00 UTC
DAY = 86_400
ASSETS = ("BTC", "ETH", "LINK", "USDC", "WSTETH")
PRICES = {"BTC": 90_000.0, "ETH": 3_000.0, "LINK": 13.0, "USDC": 1.0, "WSTETH": 3_600.0}
MU, OMEGA, ALPHA, GAMMA, BETA, NU = 0.0, 3e-5, 0.07, 0.02, 0.90, 5.0
"""True parameters of the three free assets, in daily log returns."""

PARAMETERS = """
[lending.reserve.LINK]
collateral_factor = "66.00%"
liquidation_threshold = "71.00%"
liquidation_bonus = "7.00%"
supply_cap = "8000000 LINK"

[lending.reserve.USDC]
collateral_factor = "75.00%"
liquidation_threshold = "78.00%"
liquidation_bonus = "4.50%"
supply_cap = "400000000 USDC"

[lending.reserve.WBTC]
collateral_factor = "73.00%"
liquidation_threshold = "78.00%"
liquidation_bonus = "5.00%"
supply_cap = "2000 WBTC"

[lending.reserve.WETH]
collateral_factor = "80.50%"
liquidation_threshold = "83.00%"
liquidation_bonus = "5.00%"
supply_cap = "60000 WETH"

[lending.reserve.wstETH]
collateral_factor = "78.50%"
liquidation_threshold = "81.00%"
liquidation_bonus = "6.00%"
supply_cap = "40000 wstETH"

[perps.market.ETH-USD.tiers.1]
notional_limit = "1000000 USD"
initial_margin = "10.00%"
maintenance_margin = "5.00%"

[perps.market.ETH-USD.tiers.2]
notional_limit = "5000000 USD"
initial_margin = "15.00%"
maintenance_margin = "7.50%"
"""

_SETTINGS: dict[str, Any] = {
    "seed": 7,
    "markets": {
        "lending": {"protocol": "aave_v3", "chain_id": 1, "configurator": "0x" + "11" * 20},
        "perps": {"protocol": "generic"},
    },
    "assets": {
        "BTC": {
            "asset_class": "large_cap", "reserve": "lending", "symbol": "WBTC", "token": "0x" + "b1" * 20,
            "decimals": 8, "debts": ["USDC"],
        },
        "ETH": {
            "asset_class": "large_cap", "reserve": "lending", "perpetual": "perps", "symbol": "WETH",
            "token": "0x" + "e1" * 20, "debts": ["USDC", "BTC"],
        },
        "LINK": {
            "asset_class": "mid_cap", "reserve": "lending", "token": "0x" + "a1" * 20, "debts": ["USDC"],
        },
        "USDC": {
            "asset_class": "stable", "reserve": "lending", "token": "0x" + "c1" * 20, "decimals": 6,
            "debts": ["ETH"], "peg": "USD", "backing": "fiat",
        },
        "WSTETH": {
            "asset_class": "wrapped", "reserve": "lending", "symbol": "wstETH", "token": "0x" + "d1" * 20,
            "debts": ["ETH", "USDC"], "peg": "ETH", "backing": "crypto",
        },
    },
    "feeds": [{"kind": "sample"}],
    "appetite": {
        "expected_bad_debt_usd_per_year": "250000 USD", "es99_usd": "5000000 USD", "es_horizon": "7d",
        "backstop_usd": "20000000 USD", "parameter_life": "28d", "shortfall_tolerance_usd": "10000 USD",
        "breach_probability": "2%", "mean_loss_given_crossing": "0.01%",
    },
    "execution": {
        "reaction_time": "1d", "reaction_confidence": "95%", "borrow_rate": "5%", "keeper_delay": "1h",
        "recovery_half_life": "6h", "stressed_depth": "50%", "volume_share_as_depth": "1%",
        "liquidatable_share": "30%", "gas_share": "0.1%", "execution_move": "1%", "protocol_share": "10%",
        "user_margin_horizon": "1d",
    },
    "models": {"posterior_draws": 20, "paths_per_draw": 50, "monte_carlo_paths": 400},
    "policy": {"threshold_paths": 5000},
    "bounds": {
        "collateral_factor": {"step": "0.5%", "minimum_delay": "3d"},
        "liquidation_threshold": {"step": "0.5%", "minimum_delay": "3d"},
        "liquidation_bonus": {"step": "0.5%", "minimum_delay": "3d"},
        "supply_cap": {"step": "100%", "relative": True, "minimum_delay": "3d"},
    },
    "oracles": {
        name: {"deviation": "0.5%", "heartbeat": "1h", "latency": "1m"} for name in ("BTC", "ETH", "LINK", "WSTETH")
    },
}  # fmt: skip


def make_settings(**parts: Any) -> Settings:
    """Valid settings; each keyword replaces a top-level part, a mapping given for a part is merged into it."""
    document = dict(_SETTINGS)
    for name, value in parts.items():
        old = document.get(name)
        document[name] = {**old, **value} if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return Settings.model_validate(document)


def make_parameters(text: str = PARAMETERS) -> ParameterSet:
    """The parameters in force."""
    return ParameterSet.from_toml(text)


def _garch(n: int, rng: np.random.Generator, shocks: Array) -> tuple[Array, Array]:
    """Returns (n,) and variances (n + 1,) of the true model, started at its long-run variance."""
    h = np.empty(n + 1)
    h[0] = OMEGA / (1 - ALPHA - GAMMA / 2 - BETA)
    e = np.empty(n)
    for t in range(n):
        e[t] = np.sqrt(h[t]) * shocks[t]
        h[t + 1] = OMEGA + (ALPHA + GAMMA * (e[t] < 0)) * e[t] ** 2 + BETA * h[t]
    return MU + e, h


def make_prices(n_bars: int = 800, seed: int = 7) -> dict[str, Array]:
    """Closes (n_bars,) by asset, ending at `PRICES`: three GARCH-t assets with correlation .6, two pegged."""
    rng = np.random.default_rng(seed)
    mixing = np.sqrt((NU - 2) / rng.chisquare(NU, (n_bars - 1, 1)))
    common, own = rng.standard_normal((n_bars - 1, 1)), rng.standard_normal((n_bars - 1, 3))
    shocks = mixing * (np.sqrt(0.6) * common + np.sqrt(0.4) * own)
    logs = {name: np.cumsum(_garch(n_bars - 1, rng, shocks[:, i])[0]) for i, name in enumerate(("BTC", "ETH", "LINK"))}
    logs["USDC"] = 2e-4 * rng.standard_normal(n_bars - 1)
    logs["WSTETH"] = logs["ETH"] + 8e-5 * np.arange(1, n_bars) + 1e-3 * rng.standard_normal(n_bars - 1)
    return {
        name: PRICES[name] * np.exp(np.concatenate(([0.0], logs[name])) - (logs[name][-1] if n_bars > 1 else 0.0))
        for name in ASSETS
    }


def make_book(n_accounts: int = 40, seed: int = 7, prices: Mapping[str, float] = PRICES) -> Book:
    """Accounts with one or two collaterals and a debt, with health factors from 1.02 to 2.5."""
    rng = np.random.default_rng(seed)
    threshold = {"BTC": 0.78, "ETH": 0.83, "LINK": 0.71, "USDC": 0.78, "WSTETH": 0.81}
    collateral, debt = np.zeros((n_accounts, len(ASSETS))), np.zeros((n_accounts, len(ASSETS)))
    volatile = ["BTC", "ETH", "LINK", "WSTETH"]
    for i in range(n_accounts):
        total = float(np.exp(rng.normal(13.0, 1.5)))
        held = rng.choice(volatile, size=1 + int(rng.random() < 0.3), replace=False)
        for name in held:
            collateral[i, ASSETS.index(name)] = total / len(held) / prices[name]
        power = sum(total / len(held) * threshold[name] for name in held)
        owed = "USDC" if rng.random() < 0.8 else next(n for n in ("ETH", "BTC") if n not in held or len(held) > 1)
        if owed in held:
            owed = "USDC"
        debt[i, ASSETS.index(owed)] = power / (1.02 + 1.48 * rng.random() ** 2) / prices[owed]
    return Book(tuple(f"account-{i:04d}" for i in range(n_accounts)), ASSETS, collateral, debt, Origin.MEASURED)


def make_snapshot(
    *,
    n_bars: int = 800,
    seed: int = 7,
    book: Book | bool | None = True,
    depth: bool = True,
    in_force: ParameterSet | None = None,
) -> MarketSnapshot:
    """A market at `AS_OF`; `book` is a book, True for `make_book`, or False for none."""
    prices = make_prices(n_bars, seed)
    rng = np.random.default_rng(seed + 1)
    end = AS_OF - DAY * np.arange(n_bars - 1, -1, -1)
    daily = {"BTC": 2e9, "ETH": 1e9, "LINK": 1e8, "USDC": 5e9, "WSTETH": 5e7}
    series = []
    for name in ASSETS:
        volume = daily[name] / prices[name] * np.exp(0.3 * rng.standard_normal(n_bars))
        for kind, value in (("close", prices[name]), ("volume", volume)):
            series.append(
                PriceSeries(f"{name}/{kind}", name, "USD", "factory", kind, DAY, end, end, value)
            )  # fmt: skip
    within = {"BTC": 3e7, "ETH": 3e7, "LINK": 2e6, "USDC": 1e8, "WSTETH": 1e7}  # sold within 5 % on average
    curves = {
        f"{name}/USD": LiquidityCurve(
            name, "USD", usd * np.array([0.2, 1.0, 3.0]), np.array([0.01, 0.05, 0.15]), Impact.AVERAGE, Origin.DECLARED
        )
        for name, usd in within.items()
    }
    if isinstance(book, bool):
        book = make_book(seed=seed) if book else None
    parameters = make_parameters() if in_force is None else in_force
    step = {"collateral_factor": 0.005, "liquidation_threshold": 0.005, "liquidation_bonus": 0.005}
    bounds = {name: StepBound(size, False, 3 * DAY) for name, size in step.items()}
    return MarketSnapshot(
        as_of=AS_OF,
        assets=ASSETS,
        series=tuple(series),
        depth=curves if depth else {},
        book=book,
        in_force=parameters,
        changed_at=dict.fromkeys(parameters.values, AS_OF - 30 * DAY),
        bounds={**bounds, "supply_cap": StepBound(1.0, True, 3 * DAY)},
        oracle={name: OracleFacts(0.005, 3600, 60) for name in ASSETS if name != "USDC"},
        quality=Table.from_rows(
            {"series": "str", "check": "str", "verdict": "str", "count": "i8", "detail": "str"},
            ((s.id, "all", "good", len(s), "") for s in series),
        ),
    )


def make_model(subject: str, series: PriceSeries, *, n_draws: int = 20, seed: int = 7) -> SubjectModel:
    """A path model with the true GJR parameters, slightly jittered draws, and the quantiles of a Student-t.

    A quiet series (a peg) gets the same dynamics scaled to its own variance, and a rare jump of -5 %.
    """
    observed_at, returns = series.log_returns()
    variance = float(np.var(returns))
    scale = variance / (OMEGA / (1 - ALPHA - GAMMA / 2 - BETA))
    h = np.empty(len(returns) + 1)
    h[0] = variance
    for t, value in enumerate(returns - MU):
        h[t + 1] = OMEGA * scale + (ALPHA + GAMMA * (value < 0)) * value**2 + BETA * h[t]
    jitter = np.exp(0.05 * np.random.default_rng(seed).standard_normal((n_draws, 2)))
    draws = np.tile([MU, OMEGA * scale, ALPHA, GAMMA, BETA, NU, h[-1]], (n_draws, 1))
    draws[:, 1] *= jitter[:, 0]
    draws[:, 2] *= jitter[:, 1]
    quiet = variance < 1e-4
    probability = (np.arange(1001) + 0.5) / 1001
    collateral, _, debt = subject.partition(":")
    return SubjectModel(
        subject=subject,
        collateral=collateral,
        debt=debt or "USD",
        interval=series.interval,
        model="gjr_t",
        observed_at=observed_at,
        returns=returns,
        variances=h[:-1],
        residuals=(returns - MU) / np.sqrt(h[:-1]),
        draws=draws,
        starting_variance=h[:-1][-500:],
        shocks=stdtrit(NU, probability) * np.sqrt((NU - 2) / NU),
        jump_intensity=np.full(n_draws, 0.1 if quiet else 0.0),
        jump_sizes=np.log([0.95, 0.9]) if quiet else np.empty(0),
        prior="factory",
        status="ok",
    )


def make_calibration(snapshot: MarketSnapshot | None = None, settings: Settings | None = None) -> Calibration:
    """Path models of every asset and pair, historical one-day figures, and small tables of each kind."""
    snapshot = make_snapshot() if snapshot is None else snapshot
    settings = make_settings() if settings is None else settings
    assets = {name: make_model(name, snapshot.close(name)) for name in snapshot.assets}
    pairs = {
        f"{name}:{debt}": make_model(f"{name}:{debt}", snapshot.pair(name, debt))
        for name in snapshot.assets
        for debt in settings.assets[name].debts
    }
    figures, race, track, exceptions, assumptions = [], [], [], [], []
    for name, model in sorted({**assets, **pairs}.items()):
        loss = -np.expm1(model.returns)
        for confidence in settings.models.confidence:
            cut = float(np.quantile(loss, confidence))
            worst = float(loss[loss >= cut].mean())
            rows = itertools.product(
                (("value_at_risk", cut), ("expected_shortfall", worst), ("drawdown", cut)),
                ("historical", "conditional", "through_the_cycle"),
            )
            figures += [
                (name, measure, confidence, DAY, "down", method, len(loss), value, 0.9 * value, 1.1 * value,
                 len(loss), "ok", 0.0)
                for (measure, value), method in rows
            ]  # fmt: skip
        volatility = float(np.sqrt(model.variances[-1]))
        figures.append(
            (name, "volatility", 0.0, DAY, "down", "gjr_t", len(loss), volatility, 0.9 * volatility,
             1.1 * volatility, len(loss), "ok", 0.0)
        )  # fmt: skip
        for candidate, score in (("ewma_t", 1.01), ("garch_t", 1.0), ("gjr_t", 0.99)):
            race.append((name, candidate, score, candidate == "gjr_t", "ok"))
        forecast = 2.4 * np.sqrt(model.variances)
        hit = -model.returns > forecast
        track.append((name, "gjr_t", 0.99, "down", len(hit), int(hit.sum()), 0.01 * len(hit), 0.5, 0.5, 0.001))
        exceptions += [
            (name, int(t), float(r), float(v), float(np.sqrt(s)), bool(x))
            for t, r, v, s, x in zip(
                model.observed_at[-250:], model.returns[-250:], forecast[-250:], model.variances[-250:], hit[-250:],
                strict=True,
            )
        ]  # fmt: skip
        assumptions.append((name, "independent shocks", "ljung_box", 10.0, 0.4, "holds", "gjr_t"))
    free = np.array([name in {"BTC", "ETH", "LINK", "WSTETH"} for name in snapshot.assets], dtype=float)
    correlation = np.eye(len(snapshot.assets)) * 0.4 + 0.6 * np.outer(free, free) + np.diag(0.6 * (1 - free))
    schema = {"subject": "str", "model": "str"}
    return Calibration(
        as_of=snapshot.as_of,
        figures=Table.from_rows(FIGURE_SCHEMA, figures),
        unavailable=Table.from_rows({"subject": "str", "reason": "str"}, []),
        race=Table.from_rows({**schema, "score": "f8", "winner": "bool", "status": "str"}, race),
        track_record=Table.from_rows(
            {
                **schema, "confidence": "f8", "side": "str", "n": "i8", "exceptions": "i8", "expected": "f8",
                "p_one_sided": "f8", "p_two_sided": "f8", "quantile_loss": "f8",
            },
            track,
        ),
        exceptions=Table.from_rows(
            {"subject": "str", "observed_at": "i8", "value": "f8", "value_at_risk": "f8", "volatility": "f8",
             "exception": "bool"},
            exceptions,
        ),
        assumptions=Table.from_rows(
            {"subject": "str", "assumption": "str", "test": "str", "statistic": "f8", "p_value": "f8",
             "verdict": "str", "model": "str"},
            assumptions,
        ),
        term_structure=Table.from_rows(TERM_SCHEMA, []),
        methods=Table.from_rows(METHOD_SCHEMA, []),
        pegs=Table.from_rows(PEG_SCHEMA, []),
        dependence_pairs=Table.from_rows(PAIR_SCHEMA, []),
        assets=assets,
        pairs=pairs,
        dependence=Dependence(tuple(snapshot.assets), correlation, 5.0, 799, "ok"),
        inputs={"snapshot": snapshot.artifact().content_hash},
    )  # fmt: skip
