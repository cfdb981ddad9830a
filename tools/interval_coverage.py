"""How often the 90 % intervals hold the truth: whole calibrations and policies of markets that are simulated.

A history is drawn from a declared volatility model; riskcal sees the history only. Each interval that it prints is
held against the same figure, or the same policy's answer, under the model that made the history: at its parameters,
its next variance, its shocks, and the variances of its stationary law. ``docs/interval-coverage.md`` is made from it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.special import betaincinv, stdtrit

from risk.artifact import Table
from risk.calibration import Measure, Side, SubjectModel
from risk.market import FloatArray, Impact, LiquidityCurve, MarketSnapshot, Origin, PriceSeries
from risk.parameters import ParameterSet
from risk.policy.margin import move
from risk.policy.reserve import pair_threshold
from risk.policy.threshold import Budget
from risk.recommendation import Trail
from risk.settings import Settings
from risk.tails.figures import running_extreme, simple_loss, tail_statistics
from risk.tails.horizon import simulate
from risk.tails.shocks import shock_probabilities
from risk.tails.subject import SubjectTask, calibrate_subject
from risk.units import DAY

AS_OF = 1_767_139_200  # 2025-12-31 00:00 UTC
CONFIDENCE = 0.99
REQUIRED = (0.85, 0.95)
"""Coverage that the method asks of the policy's output."""
N_STATES = 400
BONUS = 0.05
FIRST_THRESHOLD = 0.75


@dataclass(frozen=True, slots=True)
class Law:
    """A GARCH-t, or with leverage a GJR-t, of daily log returns without drift."""

    name: str
    omega: float
    alpha: float
    gamma: float
    beta: float
    nu: float

    @property
    def level(self) -> float:
        """Variance of its stationary law."""
        return self.omega / (1.0 - self.alpha - self.gamma / 2.0 - self.beta)


LAWS = (
    Law("GARCH-t", 3.2e-5, 0.08, 0.0, 0.90, 5.0),
    Law("GJR-t", 3.2e-5, 0.05, 0.06, 0.90, 5.0),
)


class Count(NamedTuple):
    """How many intervals of one kind held the truth, were below it and above it."""

    held: int
    below: int
    above: int

    @property
    def n(self) -> int:
        """Intervals."""
        return sum(self)

    @property
    def coverage(self) -> float:
        """Share that held the truth."""
        return self.held / self.n


def binomial_interval(held: int, n: int, level: float = 0.9) -> tuple[float, float]:
    """Probabilities that a count does not contradict (Clopper and Pearson 1934)."""
    outside = (1.0 - level) / 2.0
    low = float(betaincinv(held, n - held + 1, outside)) if held else 0.0
    high = float(betaincinv(held + 1, n - held, 1.0 - outside)) if held < n else 1.0
    return low, high


def settings_of(seed: int, *, draws: int = 50, paths: int = 100) -> Settings:
    """Settings of one simulated market: one asset, against the unit of account."""
    return Settings.model_validate(
        {
            "seed": seed,
            "markets": {"lending": {"protocol": "generic"}},
            "assets": {"X": {"asset_class": "large_cap", "reserve": "lending", "debts": ["USD"]}},
            "feeds": [{"kind": "sample"}],
            "appetite": {
                "expected_bad_debt_usd_per_year": "250000 USD", "es99_usd": "2000000 USD", "es_horizon": "7d",
                "backstop_usd": "20000000 USD", "parameter_life": "28d", "shortfall_tolerance_usd": "100000 USD",
                "breach_probability": "2%", "mean_loss_given_crossing": "0.1%",
            },
            "execution": {
                "reaction_time": "1d", "reaction_confidence": "95%", "borrow_rate": "5%", "keeper_delay": "1h",
                "recovery_half_life": "6h", "stressed_depth": "50%", "volume_share_as_depth": "1%",
                "liquidatable_share": "30%", "gas_share": "0.1%", "execution_move": "1%", "protocol_share": "10%",
                "user_margin_horizon": "1d",
            },
            "models": {
                "posterior_draws": draws, "paths_per_draw": paths, "volatility": ["ewma_t", "garch_t"],
                "walk_forward_window": 100_000,
            },
            "policy": {"threshold_paths": 5 * draws * paths},
        }
    )  # fmt: skip


def history(law: Law, n: int, rng: np.random.Generator) -> tuple[PriceSeries, float]:
    """Closes of n returns after a burn-in of 500, and the true variance of the next bar."""
    z = rng.standard_t(law.nu, n + 500) * np.sqrt((law.nu - 2.0) / law.nu)
    e, h = np.empty(n + 500), law.level
    for t, shock in enumerate(z):
        e[t] = np.sqrt(h) * shock
        h = law.omega + (law.alpha + law.gamma * (shock < 0.0)) * e[t] ** 2 + law.beta * h
    times = AS_OF - DAY * np.arange(n, -1, -1)
    value = np.exp(np.concatenate(([0.0], np.cumsum(e[500:]))))
    return PriceSeries("X/close", "X", "USD", "simulated", "close", DAY, times, times, value), float(h)


@cache
def stationary_variances(law: Law) -> FloatArray:
    """Quantiles (N_STATES,) of the variance of the stationary law, from 400 chains of 2,500 bars after 500."""
    rng = np.random.default_rng(20220507)
    h = np.full(400, law.level)
    kept = []
    for bar in range(3000):
        z = rng.standard_t(law.nu, len(h)) * np.sqrt((law.nu - 2.0) / law.nu)
        h = law.omega + ((law.alpha + law.gamma * (z < 0.0)) * z**2 + law.beta) * h
        if bar >= 500:
            kept.append(h)
    return np.quantile(np.concatenate(kept), (np.arange(N_STATES) + 0.5) / N_STATES)


def true_model(model: SubjectModel, law: Law, variance: float) -> SubjectModel:
    """The path model that made the history: as `model`, with nothing estimated."""
    row = [0.0, law.omega, law.alpha, law.gamma, law.beta, law.nu, variance]
    shocks = stdtrit(law.nu, shock_probabilities(200_000)) * np.sqrt((law.nu - 2.0) / law.nu)
    return SubjectModel(
        model.subject, model.collateral, model.debt, model.interval, "truth", model.observed_at, model.returns,
        model.variances, model.residuals, np.tile(row, (len(model.draws), 1)), stationary_variances(law), shocks,
        model.jump_intensity, model.jump_sizes, "none", "ok",
    )  # fmt: skip


def _snapshot(series: PriceSeries) -> MarketSnapshot:
    sizes = 3e7 * np.array([0.2, 1.0, 3.0])
    curve = LiquidityCurve("X", "USD", sizes, np.array([0.01, 0.05, 0.15]), Impact.AVERAGE, Origin.DECLARED)
    quality = {"series": "str", "check": "str", "verdict": "str", "count": "i8", "detail": "str"}
    return MarketSnapshot(
        as_of=AS_OF, assets=("X",), series=(series,), depth={"X/USD": curve}, book=None,
        in_force=ParameterSet.from_toml(""), changed_at={}, bounds={}, oracle={},
        quality=Table.from_rows(quality, [(series.id, "all", "good", len(series.value), "")]),
    )  # fmt: skip


def intervals(law: Law, n: int, seed: int) -> Iterator[tuple[str, float, float, float]]:
    """One simulated market: what is printed, the ends of its interval, and the truth."""
    settings, rng = settings_of(seed), np.random.default_rng([n, seed, int(law.gamma > 0.0)])
    series, variance = history(law, n, rng)
    task = SubjectTask("X", "X", "USD", series, AS_OF, pegged=False, backing=None, latency=0)
    outcome = calibrate_subject(task, settings)
    model = outcome.model
    if model is None:
        raise AssertionError(outcome.reason)
    truth = true_model(model, law, variance)
    wanted = {}
    for start, bars in (("conditional", 1), ("conditional", 7), ("through_the_cycle", 7)):
        paths = simulate(truth, n_bars=bars, n_paths_per_draw=4000, seed=seed, start=start, common=False).log_price
        for measure, moves in (("", paths[:, bars]), (Measure.DRAWDOWN, running_extreme(paths, Side.DOWN)[:, bars])):
            found = tail_statistics(simple_loss(moves, Side.DOWN)[None], (CONFIDENCE,))
            if measure:
                wanted[start, bars, measure] = float(found[0][0, 0])
            else:
                wanted[start, bars, Measure.VALUE_AT_RISK] = float(found[0][0, 0])
                wanted[start, bars, Measure.EXPECTED_SHORTFALL] = float(found[1][0, 0])
    for measure in (Measure.VALUE_AT_RISK, Measure.EXPECTED_SHORTFALL):
        wanted["garch_t", 1, measure] = wanted["conditional", 1, measure]
        wanted["historical", 1, measure] = _unconditional(law)[int(measure is Measure.EXPECTED_SHORTFALL)]
    for figure in outcome.figures:
        key = (figure.method, figure.horizon // DAY, figure.measure)
        if figure.confidence == CONFIDENCE and figure.side is Side.DOWN and key in wanted:
            name = f"calibration: {figure.measure} at 99 % over {key[1]} d, {figure.method}".replace("_", " ")
            yield name, figure.lower, figure.upper, wanted[key]
    for sign, side in ((-1.0, "long"), (1.0, "short")):
        for days in (1, 7):
            trails = Trail(), Trail()
            printed = move(model, settings, days * DAY, sign, trails[0])
            right = move(truth, settings, days * DAY, sign, trails[1])
            yield f"policy: margin move over {days} d, {side}", printed.lower, printed.upper, right.value
            first = trails[0].terms[0]
            if first.lower is None or first.upper is None:
                raise AssertionError("the conditional move has no interval")
            wished = trails[1].terms[0].value
            yield f"policy: its conditional part over {days} d, {side}", first.lower, first.upper, wished
    snapshot = _snapshot(series)
    budget = Budget(settings.appetite, 1.0, 5e7, DAY, reference_book=True)
    printed, right = (pair_threshold(snapshot, settings, one, budget, BONUS, FIRST_THRESHOLD) for one in (model, truth))
    yield "policy: liquidation threshold", printed.lower, printed.upper, right.threshold
    yield "policy: borrower's move behind the collateral factor", *printed.user_move[1:], right.user_move[0]


@cache
def _unconditional(law: Law) -> tuple[float, float]:
    """True quantile and shortfall of one bar under the stationary law."""
    states = np.repeat(stationary_variances(law), 10_000)
    rng = np.random.default_rng(3)
    moves = np.sqrt(states * (law.nu - 2.0) / law.nu) * rng.standard_t(law.nu, len(states))
    quantile, shortfall = tail_statistics(simple_loss(moves, Side.DOWN)[None], (CONFIDENCE,))
    return float(quantile[0, 0]), float(shortfall[0, 0])


def measure(law: Law, n: int, n_series: int, first_seed: int = 0) -> Mapping[str, Count]:
    """Count over simulated markets how often each interval held the truth."""
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for seed in range(first_seed, first_seed + n_series):
        for name, lower, upper, truth in intervals(law, n, seed):
            found[name][0 if lower <= truth <= upper else (1 if upper < truth else 2)] += 1
    return {name: Count(*counts) for name, counts in found.items()}
