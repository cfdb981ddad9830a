"""Numbers of one reserve: bonus, cap, threshold and collateral factor, by a damped fixed point.

The threshold depends on the value that must be liquidated, which depends on the threshold; the rate at which
it is sold depends on the bonus. The joint optimum over all of them is not sought here.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from risk.calibration import Calibration, SubjectModel, Unavailable
from risk.depth import Depth, stressed_depth
from risk.errors import RefusalError
from risk.exposure import REFERENCE_DISTANCES
from risk.market import MarketSnapshot
from risk.policy.liquidation import liquidation_size, required_bonus, runoff_seconds, slippage_of
from risk.policy.runoff import Crossings, find_crossings, slice_weights
from risk.policy.threshold import Budget, limits
from risk.policy.twin import HistoricalTwin, historical_twin, largest_within
from risk.settings import Settings
from risk.tails.horizon import bars_of, discrete_minimum_correction, simulate
from risk.tails.shocks import fit_shocks

MAXIMUM_RUNOFF_BARS = 30
_ROUNDS = 12


@dataclass(frozen=True, slots=True)
class PairThreshold:
    """What one debt asset allows as the threshold of a collateral.

    Attributes
    ----------
    limits
        Largest threshold by constraint; the pair's threshold is the smallest.
    lower, upper
        90 % band: the threshold under single parameter draws, with their Monte-Carlo error.
    runoff
        Seconds of the run-off.
    settled
        Whether threshold and run-off came to rest within a basis point.
    crossings
        What the simulation gave, for the chance of any shortfall.
    user_move
        Fall within the reaction time at the reaction confidence, and its band.
    """

    model: SubjectModel
    limits: Mapping[str, float]
    lower: float
    upper: float
    runoff: float
    crossings: Crossings
    user_move: tuple[float, float, float]
    twin: HistoricalTwin
    persistence: Mapping[str, float]
    settled: bool

    @property
    def threshold(self) -> float:
        """The smallest limit."""
        return min(self.limits.values())


def model_of(calibration: Calibration, collateral: str, debt: str) -> SubjectModel:
    """The path model of a pair.

    Raises
    ------
    RefusalError
        When the pair was refused by the calibration: a threshold is not guessed.
    """
    found = calibration.model(f"{collateral}:{debt}")
    if isinstance(found, Unavailable):
        raise RefusalError(found.reason, field=found.subject)
    return found


@dataclass(frozen=True, slots=True)
class Liquidation:
    """Terms under which a collateral is liquidated.

    Attributes
    ----------
    bonus
        Smallest on the grid that pays a keeper, else the largest on the grid.
    needed
        What pays a keeper: `bonus` before the grid; infinite where no depth takes the size.
    size_usd, slippage
        What one liquidation of the largest reference account repays, and its average impact.
    depth, cap_usd
        Stressed depth within the bonus, and the supply cap that it carries.
    """

    bonus: float
    needed: float
    size_usd: float
    slippage: float
    depth: Depth
    cap_usd: float


def liquidation_terms(snapshot: MarketSnapshot, settings: Settings, asset: str, threshold: float) -> Liquidation:
    """Bonus on its grid and cap from the depth within it, at a threshold.

    A larger bonus carries a larger cap, whose liquidations need a larger bonus: the smallest on the grid that pays
    for its own cap is taken.

    Raises
    ------
    RefusalError
        When no depth is left to sell into.
    EvidenceError
        When neither depth nor a traded volume is known.
    """
    debt = settings.assets[asset].debts[0]
    for bonus in settings.policy.bonus_grid:
        depth = stressed_depth(snapshot, settings, asset, debt, bonus)
        cap_usd = settings.policy.cap_to_depth * depth.usd
        size = liquidation_size(cap_usd, threshold)
        slippage = slippage_of(size, snapshot, settings, asset, debt)
        needed = required_bonus(slippage, settings.execution) if math.isfinite(slippage) else math.inf
        if needed <= bonus:
            break
    if cap_usd <= 0:
        raise RefusalError("no depth is left in a crash", field=asset, remedy="Declare or measure depth")
    return Liquidation(bonus, needed, size, slippage, depth, cap_usd)


def pair_threshold(
    snapshot: MarketSnapshot, settings: Settings, model: SubjectModel, budget: Budget, bonus: float, start: float
) -> PairThreshold:
    """Solve one pair by the damped fixed point of threshold and run-off, from a first threshold.

    Raises
    ------
    RefusalError
        When no depth is left to sell into.
    """
    depth = stressed_depth(snapshot, settings, model.collateral, model.debt, bonus)
    if depth.usd <= 0:
        raise RefusalError("no depth is left in a crash", field=model.subject, remedy="Declare or measure depth")
    paths_per_draw = settings.models.paths_per_draw
    life = budget.appetite.parameter_life // model.interval

    def simulated(subject: SubjectModel) -> np.ndarray:
        return simulate(
            subject, n_bars=life + MAXIMUM_RUNOFF_BARS, n_paths_per_draw=paths_per_draw, seed=settings.seed,
            start="through_the_cycle", common=False,
        ).log_price  # fmt: skip

    prices = simulated(model)
    value, crossed, runoff, settled = start, None, 0.0, False
    solved: dict[str, float] = {}
    weights_before: tuple[float, ...] = ()
    for _ in range(_ROUNDS):
        sold = settings.execution.liquidatable_share * budget.supply_usd * value * (1.0 + bonus)
        runoff = runoff_seconds(sold, depth.usd, settings.execution.recovery_half_life)
        crossed = _crossings(snapshot, settings, model, prices, runoff, life)
        weights = tuple(crossed.weights)
        if weights != weights_before:
            solved = limits(crossed, budget, bonus)
            weights_before = weights
        allowed = min(solved.values())
        if settled := abs(allowed - value) < 5e-5:
            break
        value = 0.5 * (value + allowed) if abs(allowed - value) > 1e-3 else allowed
    if crossed is None:  # pragma: no cover - there is at least one round
        raise RefusalError("the fixed point was not tried", field=model.subject)
    point = min(solved.values())
    per_draw = [
        min(limits(crossed.of_paths(np.arange(len(prices)) // paths_per_draw == draw), budget, bonus).values())
        for draw in range(len(model.draws))
    ]
    low, high = (float(q) for q in np.quantile(per_draw, (0.05, 0.95)))
    persistence = {}
    for label, power in (("half-life halved", 2.0), ("half-life doubled", 0.5)):
        other = _crossings(snapshot, settings, model, simulated(_with_persistence(model, power)), runoff, life)
        persistence[label] = min(limits(other, budget, bonus).values())
    reaction = bars_of(settings.execution.reaction_time, model.interval)
    falls = -np.expm1(prices[:, 1 : reaction + 1].min(axis=1))
    by_draw = np.quantile(falls.reshape(-1, paths_per_draw), settings.execution.reaction_confidence, axis=1)
    move = float(np.quantile(falls, settings.execution.reaction_confidence))
    band = np.quantile(by_draw, (0.05, 0.95))
    close = np.exp(np.concatenate(([0.0], np.cumsum(model.returns))))
    twin = historical_twin(close, crossed.weights, distance=1 - 1 / 1.03, life=life)
    return PairThreshold(
        model, solved, min(low, point), max(high, point), runoff, crossed,
        (max(move, 0.0), max(float(min(band[0], move)), 0.0), float(max(band[1], move))), twin, persistence,
        settled,
    )  # fmt: skip


def _crossings(
    snapshot: MarketSnapshot, settings: Settings, model: SubjectModel, prices: np.ndarray, runoff: float, life: int
) -> Crossings:
    facts = snapshot.oracle.get(model.collateral)
    delay = settings.execution.keeper_delay + (facts.latency if facts else 0)
    longest = MAXIMUM_RUNOFF_BARS * model.interval - delay
    weights = slice_weights(delay, min(runoff, longest), model.interval)
    short = delay + runoff < model.interval
    sigma = float(np.sqrt(np.median(model.starting_variance)))
    correction = discrete_minimum_correction(sigma, 1.0) if short else 0.0
    return find_crossings(
        prices, REFERENCE_DISTANCES, weights, life=life, deviation=facts.deviation if facts else 0.0,
        correction=correction,
    )  # fmt: skip


def _with_persistence(model: SubjectModel, power: float) -> SubjectModel:
    """The model with each draw's persistence raised to a power, its mean variance kept."""
    draws = model.draws.copy()
    persistence = draws[:, 2] + draws[:, 3] / 2 + draws[:, 4]
    changed = np.clip(persistence, 1e-6, 1.0) ** power
    beta = np.maximum(draws[:, 4] + changed - persistence, 0.0)
    changed = persistence - draws[:, 4] + beta
    slack = np.maximum(1.0 - persistence, 1e-9)
    draws[:, 1] *= np.maximum(1.0 - changed, 0.0) / slack
    draws[:, 4] = beta
    return dataclasses.replace(model, draws=draws)


def broken_by(
    settings: Settings, model: SubjectModel, budget: Budget, bonus: float, weights: np.ndarray
) -> tuple[float, float] | None:
    """The realised move that exceeded what the target was built for a lookback ago, and that move; else None.

    The threshold a lookback ago is solved on the same draws with the shocks and starting states of the history
    before it, under the loss per crossing unit of debt.
    """
    bars = bars_of(settings.policy.break_lookback, model.interval)
    if len(model.returns) <= bars + 60:
        return None
    before = dataclasses.replace(
        model,
        shocks=fit_shocks(model.residuals[:-bars]).quantiles(),
        starting_variance=model.variances[:-bars],
        jump_intensity=np.zeros(len(model.draws)),
        jump_sizes=np.empty(0),
    )
    life = budget.appetite.parameter_life // model.interval
    prices = simulate(
        before, n_bars=life + len(weights), n_paths_per_draw=settings.models.paths_per_draw, seed=settings.seed,
        start="through_the_cycle", common=False,
    ).log_price  # fmt: skip
    crossed = find_crossings(prices, REFERENCE_DISTANCES, weights, life=life)
    allowed = budget.appetite.mean_loss_given_crossing
    threshold = largest_within(
        lambda t: not len(crossed) or float(crossed.loss(t, bonus).mean()) <= allowed, upper=1.0 / (1.0 + bonus)
    )
    built_for = 1.0 - threshold * (1.0 + bonus)
    path = np.concatenate(([0.0], np.cumsum(model.returns[-bars:])))
    horizon = len(weights)
    worst = max(-math.expm1(min(path[i + 1 : i + 1 + horizon]) - path[i]) for i in range(len(path) - 1))
    return (worst, built_for) if worst > max(built_for, 0.0) else None
