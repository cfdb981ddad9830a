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

from risk.calibration import SubjectModel, Unavailable
from risk.depth import Depth, stressed_depth
from risk.errors import RefusalError
from risk.exposure import REFERENCE_DISTANCES, reserve_key
from risk.market import FloatArray, IntArray, MarketSnapshot
from risk.policy.liquidation import liquidation_size, required_bonus, runoff_seconds, slippage_of
from risk.policy.runoff import Crossings, find_crossings, slice_weights
from risk.policy.threshold import Budget, limits
from risk.policy.twin import HistoricalTwin, historical_twin, largest_within
from risk.seizure.by_protocol import seizure_of
from risk.settings import Settings
from risk.tails.horizon import bars_of, discrete_minimum_correction, simulate
from risk.tails.shocks import fit_shocks, shock_probabilities

MAXIMUM_RUNOFF_BARS = 30
PATHS_FACTOR = 5
"""Paths of a block as a multiple of those behind a risk figure: what a threshold hangs on is rarer."""
_ROUNDS = 12
_BATCHES = 8
_NORMAL_95 = 1.6449


@dataclass(frozen=True, slots=True)
class PairThreshold:
    """What one debt asset allows as the threshold of a collateral.

    Attributes
    ----------
    limits
        Largest threshold by constraint; the pair's threshold is the smallest.
    lower, upper
        90 % band: the spread of the threshold over parameter draws, and the Monte-Carlo error.
    error
        Monte-Carlo standard error of the threshold.
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
    error: float
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


def known_model(found: SubjectModel | Unavailable) -> SubjectModel:
    """The path model of a pair.

    Raises
    ------
    RefusalError
        When the pair was refused by the calibration: a threshold is not guessed.
    """
    if isinstance(found, Unavailable):
        raise RefusalError(found.reason, field=found.subject)
    return found


@dataclass(frozen=True, slots=True)
class Liquidation:
    """Terms under which a collateral is liquidated.

    Attributes
    ----------
    bonus
        Smallest on the grid that pays a keeper, else the largest on the grid; where the protocol stores another
        penalty, what its own grid leaves of it.
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
        When no depth is left to sell into, or the protocol can make none of the bonuses.
    EvidenceError
        When neither depth nor a traded volume is known, or what a penalty hangs on is not.
    """
    declared, seizure = settings.assets[asset], seizure_of(settings, asset)
    debt, key = declared.debts[0], reserve_key(asset, declared, seizure.penalty)
    bonuses = [seizure.attainable(bonus, snapshot.in_force, key) for bonus in settings.policy.bonus_grid]
    if not (bonuses := [bonus for bonus in bonuses if math.isfinite(bonus)]):
        raise RefusalError(
            "no penalty leaves a buyer a bonus on the grid",
            field=asset,
            remedy="Raise the store front price factor, or put smaller bonuses on policy.bonus_grid",
        )
    execution = settings.execution
    if seizure.absorbs:  # whoever buys keeps the whole discount
        execution = execution.model_copy(update={"protocol_share": 0.0})
    for bonus in bonuses:
        depth = stressed_depth(snapshot, settings, asset, debt, bonus)
        cap_usd = settings.policy.cap_to_depth * depth.usd
        size = liquidation_size(cap_usd, threshold, seizure.close_factor)
        slippage = slippage_of(size, snapshot, settings, asset, debt)
        needed = required_bonus(slippage, execution) if math.isfinite(slippage) else math.inf
        if needed <= bonus:
            break
    if cap_usd <= 0:
        raise RefusalError("no depth is left in a crash", field=asset, remedy="Declare or measure depth")
    return Liquidation(bonus, needed, size, slippage, depth, cap_usd)


class _Lives:
    """Simulated lives of the accounts of one pair, in independent blocks of equal size."""

    def __init__(
        self, snapshot: MarketSnapshot, settings: Settings, model: SubjectModel, life: int, credit: float | None
    ) -> None:
        self._settings, self._model, self._life, self._credit = settings, model, life, credit
        self._facts = snapshot.oracle.get(model.collateral)
        self._per_draw = PATHS_FACTOR * settings.models.paths_per_draw
        self._blocks: list[FloatArray] = []
        self.add()

    @property
    def n_blocks(self) -> int:
        return len(self._blocks)

    @property
    def block_paths(self) -> int:
        return self._per_draw * len(self._model.draws)

    def add(self, model: SubjectModel | None = None) -> FloatArray:
        """One more block of log prices; of another model it is returned and not kept."""
        settings, block = self._settings, 0 if model is not None else len(self._blocks)
        prices = simulate(
            model or self._model, n_bars=self._life + MAXIMUM_RUNOFF_BARS, n_paths_per_draw=self._per_draw,
            seed=settings.seed, start="through_the_cycle", common=False, block=block,
        ).log_price  # fmt: skip
        if model is None:
            self._blocks.append(prices)
        return prices

    def common(self, model: SubjectModel) -> FloatArray:
        """A block of a model of its own with the same random numbers under every draw."""
        return simulate(
            model, n_bars=self._life + MAXIMUM_RUNOFF_BARS, n_paths_per_draw=self._per_draw,
            seed=self._settings.seed, start="through_the_cycle", common=True,
        ).log_price  # fmt: skip

    def first_falls(self, bars: int) -> FloatArray:
        """Largest fall of every path within its first bars, a fraction, (n_paths,)."""
        return np.concatenate([_first_falls(prices, bars) for prices in self._blocks])

    def crossings(self, runoff: float) -> Crossings:
        """Crossings on all blocks under a run-off of so many seconds."""
        return Crossings.joined([self.crossings_of(prices, runoff) for prices in self._blocks])

    def crossings_of(self, prices: FloatArray, runoff: float) -> Crossings:
        """Crossings on one block."""
        model, facts = self._model, self._facts
        delay = self._settings.execution.keeper_delay + (facts.latency if facts else 0)
        longest = MAXIMUM_RUNOFF_BARS * model.interval - delay
        weights = slice_weights(delay, min(runoff, longest), model.interval)
        sigma = float(np.sqrt(np.median(model.starting_variance)))
        short = delay + runoff < model.interval
        return find_crossings(
            prices, REFERENCE_DISTANCES, weights, life=self._life, deviation=facts.deviation if facts else 0.0,
            correction=discrete_minimum_correction(sigma, 1.0) if short else 0.0, credit=self._credit,
        )  # fmt: skip


def pair_threshold(
    snapshot: MarketSnapshot, settings: Settings, model: SubjectModel, budget: Budget, bonus: float, start: float
) -> PairThreshold:
    """Solve one pair by the damped fixed point of threshold and run-off, from a first threshold.

    Paths are doubled until the Monte-Carlo standard error of the threshold is within `policy.threshold_error`, or
    there are `policy.threshold_paths` of them. The error is the spread over batches of the paths. The threshold is that
    of the mixture over parameters with shocks and level as fitted: a mean loss over draws of these too is made by the
    few worst, and hung on which were drawn. They are in the band: that of the thresholds under single draws on common
    paths, against the threshold on the same random numbers, and the error.

    Raises
    ------
    RefusalError
        When no depth is left to sell into.
    """
    depth = stressed_depth(snapshot, settings, model.collateral, model.debt, bonus)
    if depth.usd <= 0:
        raise RefusalError("no depth is left in a crash", field=model.subject, remedy="Declare or measure depth")
    execution, policy = settings.execution, settings.policy
    life = budget.appetite.parameter_life // model.interval
    if settings.assets[model.collateral].peg == model.debt and len(model.jump_sizes):
        model = as_it_was(model)
    key = reserve_key(model.collateral, settings.assets[model.collateral], "liquidation_threshold")
    credit = seizure_of(settings, model.collateral).credit_at(bonus, snapshot.in_force, key)
    drawn = model
    model = dataclasses.replace(model, shock_draws=np.empty((0, 0)), level_draws=np.empty(0))
    lives = _Lives(snapshot, settings, model, life, credit)

    def runoff_at(threshold: float) -> float:
        sold = execution.liquidatable_share * budget.supply_usd * threshold * (1.0 + bonus)
        return runoff_seconds(sold, depth.usd, execution.recovery_half_life)

    def solve(value: float) -> tuple[Crossings, dict[str, float], float, bool]:
        crossed, solved = None, {}
        for _ in range(_ROUNDS):
            runoff = runoff_at(value)
            found = lives.crossings(runoff)
            if crossed is None or not np.array_equal(found.weights, crossed.weights):
                crossed, solved = found, limits(found, budget, bonus)
            allowed = min(solved.values())
            if abs(allowed - value) < 5e-5:
                return crossed, solved, runoff, True
            value = 0.5 * (value + allowed) if abs(allowed - value) > 1e-3 else allowed
        return found, solved, runoff, False

    def by_part(crossed: Crossings, part: IntArray) -> FloatArray:
        """The threshold on each part of the paths alone."""
        numbers = range(int(part.max()) + 1)
        return np.array([min(limits(crossed.of_paths(part == n), budget, bonus).values()) for n in numbers])

    while True:
        crossed, solved, runoff, settled = solve(start)
        start = point = min(solved.values())
        batches = by_part(crossed, np.arange(crossed.n_paths) % _BATCHES)
        error = float(batches.std(ddof=1)) / math.sqrt(_BATCHES)
        if error <= policy.threshold_error or 2 * lives.n_blocks * lives.block_paths > policy.threshold_paths:
            break
        for _ in range(lives.n_blocks):
            lives.add()
    # The same random numbers under every draw: what few paths do to a threshold, it has in common with the base.
    paths = lives.common(drawn)
    common = lives.crossings_of(paths, runoff)
    draws = by_part(common, np.arange(common.n_paths) // (common.n_paths // len(model.draws)))
    base = min(limits(lives.crossings_of(lives.common(model), runoff), budget, bonus).values())
    low, high = (float(q) - base for q in np.quantile(draws, (0.05, 0.95)))
    first = lives.crossings_of(lives.add(model), runoff)
    persistence = {}
    for label, power in (("half-life halved", 2.0), ("half-life doubled", 0.5)):
        other = lives.crossings_of(lives.add(_with_persistence(model, power)), runoff)
        moved = min(limits(other, budget, bonus).values()) - min(limits(first, budget, bonus).values())
        persistence[label] = point + moved
    bars, confidence = bars_of(execution.reaction_time, model.interval), execution.reaction_confidence
    move = float(np.quantile(lives.first_falls(bars), confidence))
    by_draw = _first_falls(paths, bars).reshape(len(model.draws), -1)
    band = np.quantile(np.quantile(by_draw, confidence, axis=1), (0.05, 0.95))
    twin = historical_twin(
        np.exp(np.cumsum(np.append(0.0, model.returns))), crossed.weights, distance=1 - 1 / 1.03, life=life
    )
    return PairThreshold(
        model, solved, max(point - math.hypot(min(low, 0.0), _NORMAL_95 * error), 0.0),
        min(point + math.hypot(max(high, 0.0), _NORMAL_95 * error), solved["toxic frontier"]), error, runoff, crossed,
        (max(move, 0.0), max(float(min(band[0], move)), 0.0), float(max(band[1], move))), twin, persistence,
        settled,
    )  # fmt: skip


def _first_falls(prices: FloatArray, bars: int) -> FloatArray:
    falls: FloatArray = -np.expm1(prices[:, 1 : bars + 1].min(axis=1))
    return falls


def as_it_was(model: SubjectModel) -> SubjectModel:
    """The model of a peg against what it is pegged to: its own bars redrawn as they were, and the pooled jump.

    A filter reads the rare stray of a peg as volatility that feeds itself, and makes falls of which neither the peg
    nor the pool has seen the like: what lies beyond its own history is for the jump to say.
    """
    variance = float(np.mean(model.returns**2))
    shocks = np.quantile(model.returns / math.sqrt(variance), shock_probabilities()) if variance > 0 else model.shocks
    draws = model.draws.copy()
    draws[:, 1:5] = variance, 0.0, 0.0, 0.0
    draws[:, 6] = variance
    return dataclasses.replace(
        model, draws=draws, starting_variance=np.array([variance]), shocks=shocks, shock_draws=np.empty((0, 0)),
        level_draws=np.empty(0), hour_factors=np.empty(0),
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
        shock_draws=np.empty((0, 0)),
        level_draws=np.empty(0),
    )
    life = budget.appetite.parameter_life // model.interval
    prices = simulate(
        before, n_bars=life + len(weights), n_paths_per_draw=PATHS_FACTOR * settings.models.paths_per_draw,
        seed=settings.seed, start="through_the_cycle", common=False,
    ).log_price  # fmt: skip
    crossed = find_crossings(prices, REFERENCE_DISTANCES, weights, life=life)
    allowed = budget.appetite.mean_loss_given_crossing
    threshold = largest_within(lambda t: crossed.mean_loss(t, bonus) <= allowed, upper=1.0 / (1.0 + bonus))
    built_for = 1.0 - threshold * (1.0 + bonus)
    path = np.concatenate(([0.0], np.cumsum(model.returns[-bars:])))
    horizon = len(weights)
    worst = max(-math.expm1(min(path[i + 1 : i + 1 + horizon]) - path[i]) for i in range(len(path) - 1))
    return (worst, built_for) if worst > max(built_for, 0.0) else None
