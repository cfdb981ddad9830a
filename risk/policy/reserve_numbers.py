"""The four numbers of a reserve: its penalty, cap, threshold and collateral factor, each with its derivation."""

from __future__ import annotations

import math
from dataclasses import dataclass

from risk.calibration import SubjectModel, Unavailable
from risk.errors import EvidenceError, RefusalError
from risk.exposure import held_usd, reserve_key
from risk.market import MarketSnapshot, Verdict
from risk.policy.ledger import Ledger, Numbers
from risk.policy.reserve import Liquidation, PairThreshold, broken_by, known_model, liquidation_terms, pair_threshold
from risk.policy.steward import on_grid
from risk.policy.threshold import Budget, any_shortfall
from risk.recommendation import Operation, Trail
from risk.seizure.by_protocol import seizure_of
from risk.settings import Asset, Settings
from risk.structure import closed
from risk.units import DAY, Ratio, TokenAmount

FIRST_THRESHOLD = 0.75
"""Where the search starts; what is found does not hang on it."""
_EMERGENCY = "set the collateral factor to zero by governance or guardian; the threshold stays for open positions"
_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class ReserveTask:
    """What one reserve needs from the rest of the market.

    Attributes
    ----------
    models
        Path model of the pair with each of its debts.
    exposed_usd
        US dollars of it that may have to be sold, or why that is not known.
    total_usd
        The same over all reserves.
    """

    asset: str
    models: tuple[SubjectModel | Unavailable, ...]
    exposed_usd: float | str
    total_usd: float


def reserve_numbers(task: ReserveTask, snapshot: MarketSnapshot, settings: Settings) -> Numbers:
    """Derive one reserve; it hangs on the others by its share of the budgets only."""
    found = _Reserve(snapshot, settings)
    found.reserve(task)
    return found.numbers


def first_exposed(snapshot: MarketSnapshot, settings: Settings, asset: str) -> float | str:
    """US dollars of a reserve that may have to be sold at the first threshold, or why that is not known."""
    try:
        return exposed_usd(snapshot, asset, liquidation_terms(snapshot, settings, asset, FIRST_THRESHOLD))
    except (EvidenceError, RefusalError) as error:
        return str(error)


def exposed_usd(snapshot: MarketSnapshot, asset: str, terms: Liquidation) -> float:
    """US dollars of collateral that may have to be sold.

    A cap below what is held stops new supply only: the held collateral must be sold all the same.
    """
    return max(terms.cap_usd, held_usd(asset, snapshot))


class _Reserve(Ledger):
    """Decides the numbers of one reserve."""

    def refuse_reserve(self, asset: str, declared: Asset, reason: str) -> None:
        """Refuse a reserve: no new borrowing, by the emergency route; the other numbers stay."""
        self.numbers.facts["refused"][asset] = reason
        for parameter in ("liquidation_threshold", seizure_of(self.settings, asset).penalty, "supply_cap"):
            self.refuse(reserve_key(asset, declared, parameter), reason, _EMERGENCY)
        key = reserve_key(asset, declared, "collateral_factor")
        trail = Trail()
        trail.apply("Refused: no new borrowing against it", Operation.START, 0.0, reason)
        self.decide(
            key, trail, "refusal", like=Ratio(on_grid(0.0, key.spec, self.grid(key.market))), notes=(_EMERGENCY,)
        )

    def reserve(self, task: ReserveTask) -> None:
        """Derive the four numbers of a reserve, or refuse it."""
        snapshot, settings, asset = self.snapshot, self.settings, task.asset
        declared = settings.assets[asset]
        symbol = declared.symbol or asset
        verdict, why = snapshot.verdict(asset)
        try:
            if verdict is Verdict.BAD:
                raise RefusalError(f"the price series is bad: {why}", field=asset)
            if isinstance(task.exposed_usd, str):
                raise RefusalError(task.exposed_usd, field=asset)
            models = [known_model(model) for model in task.models]
            threshold = FIRST_THRESHOLD
            for _ in range(_ROUNDS):
                terms = liquidation_terms(snapshot, settings, asset, threshold)
                bonus = terms.bonus
                budget = Budget(
                    settings.appetite, task.exposed_usd / task.total_usd, exposed_usd(snapshot, asset, terms),
                    models[0].interval, snapshot.book is None,
                )  # fmt: skip
                solved = [pair_threshold(snapshot, settings, model, budget, bonus, threshold) for model in models]
                worst = min(solved, key=lambda pair: pair.threshold)
                threshold = worst.threshold
                if liquidation_terms(snapshot, settings, asset, threshold).bonus == bonus:
                    break
            else:
                raise RefusalError("bonus and threshold do not settle", field=asset, remedy="Widen policy.bonus_grid")
            if threshold < seizure_of(settings, asset).least_threshold:
                remedy = "A larger penalty leaves reserves more of a fall: put only larger bonuses on policy.bonus_grid"
                raise RefusalError("no threshold that the contract holds keeps the budgets", field=asset, remedy=remedy)
            broken = broken_by(settings, worst.model, budget, bonus, worst.crossings.weights)
            if broken is not None:
                raise RefusalError(
                    f"a realised move of {broken[0]:.1%} exceeds the {broken[1]:.1%} that the target was built for",
                    field=asset,
                )
        except (RefusalError, EvidenceError) as error:
            self.refuse_reserve(asset, declared, str(error))
            return
        penalty = self._penalty_and_cap(asset, declared, terms)
        threshold = self._threshold(asset, declared, solved, worst, budget, penalty)
        self._collateral_factor(asset, declared, threshold, worst)
        key = reserve_key(asset, declared, "liquidation_threshold")
        before, bonus_before = snapshot.in_force.ratio(key), seizure_of(settings, asset).bonus(snapshot.in_force, key)
        chances = self.numbers.facts["any_shortfall_probability"]
        chances["target"][symbol] = any_shortfall(worst.crossings, max(threshold, 1e-4), bonus)
        if before and bonus_before is not None:
            credit = seizure_of(settings, asset).credit_at(bonus_before, snapshot.in_force, key)
            chances["in_force"][symbol] = any_shortfall(worst.crossings.at_credit(credit), before, bonus_before)
        self.numbers.facts["sensitivity"][symbol] = dict(worst.persistence)
        twin = worst.twin
        self.numbers.facts["twin"][symbol] = {
            "crossings": len(twin.crossings), "independent lives": twin.n_lives, "episodes": twin.n_episodes,
            "mean loss at the target": twin.mean_loss(max(threshold, 1e-4), bonus),
        }  # fmt: skip

    def _penalty_and_cap(self, asset: str, declared: Asset, terms: Liquidation) -> float:
        """Derive what an account loses when it is liquidated, which is returned, and the supply cap."""
        settings, bonus, needed, note = self.settings, terms.bonus, terms.needed, terms.depth.note
        seizure = seizure_of(settings, asset)
        key = reserve_key(asset, declared, seizure.penalty)
        slips = f"slips {terms.slippage:.2%} on average" if terms.slippage < 1.0 else "is more than the depth takes"
        trail, notes = Trail(), (f"one liquidation of {terms.size_usd:,.0f} USD {slips}", note)
        if needed <= bonus:
            trail.apply("Bonus that pays a keeper", Operation.START, needed, "keeper economics")
            trail.apply("Next on the bonus grid", Operation.MAXIMUM, bonus, "policy.bonus_grid")
            binding = "keeper economics"
        else:
            trail.apply("Largest on the bonus grid", Operation.START, bonus, "policy.bonus_grid")
            binding = "bonus grid: no bonus on it pays a keeper at this size"
        seizure.penalty_from(trail, self.snapshot.in_force, key)
        like = Ratio(on_grid(trail.value, key.spec, self.grid(key.market)))
        penalty = self.decide(key, trail, binding, like=like, notes=(*notes, *seizure.notes))
        key, cap = reserve_key(asset, declared, "supply_cap"), Trail()
        if closed(self.snapshot.structure, key.market, key.subject):
            self.refuse(key, "the market is closed to new supply of it; to open it again is a decision of its own")
            return float(penalty.value)
        price = self.snapshot.last_price(asset)
        cap.apply("Stressed depth within the bonus, USD", Operation.START, terms.depth.usd, note)
        cap.apply("Cap as a multiple of depth", Operation.MULTIPLY, settings.policy.cap_to_depth, "policy.cap_to_depth")
        cap.apply("Price, USD", Operation.DIVIDE, price, "last close")
        symbol = declared.symbol or asset
        self.decide(
            key, cap, "depth", like=TokenAmount(on_grid(cap.value, key.spec, self.grid(key.market)), symbol),
            notes=(note,),
        )  # fmt: skip
        return float(penalty.value)

    def _threshold(
        self, asset: str, declared: Asset, solved: list[PairThreshold], worst: PairThreshold, budget: Budget,
        penalty: float,
    ) -> float:  # fmt: skip
        key, trail = reserve_key(asset, declared, "liquidation_threshold"), Trail()
        ceiling = declared.threshold_ceiling if declared.threshold_ceiling is not None else float(key.spec.upper)
        binding = "structural ceiling"
        trail.apply("Structural ceiling", Operation.START, ceiling, "settings or the parameter's bound")
        for pair in solved:
            for name, limit in pair.limits.items():
                before = trail.value
                band = (pair.lower, pair.upper) if limit == pair.threshold else None
                if (
                    trail.apply(f"{pair.model.subject}: {name}", Operation.MINIMUM, limit, "loss under run-off", band)
                    < before
                ):
                    binding = f"{name} ({pair.model.subject})"
        bound = seizure_of(self.settings, asset).threshold_bound(penalty)
        if bound is not None and trail.value > bound:
            binding = "liquidation factor"
            trail.apply("At least a step below the liquidation factor", Operation.MINIMUM, bound, "protocol")
        self.numbers.facts["binding"][declared.symbol or asset] = binding
        notes = (
            f"run-off of {worst.runoff / 3600:.1f} hours, priced at {worst.crossings.basis}",
            f"{budget.supply_usd:,.0f} USD of collateral may have to be sold; {budget.share:.1%} of the dollar budgets",
            f"Monte-Carlo standard error {worst.error:.2%} on {worst.crossings.n_paths:,} paths"
            + (", above policy.threshold_error" if worst.error > self.settings.policy.threshold_error else ""),
            f"historical twin: {worst.twin.n_episodes} episodes in {worst.twin.n_lives} independent lives",
            "accounts of the reference book stand at ten distances from 1 % to 47 %, debt spread evenly",
            *(
                f"{pair.model.subject}: threshold and run-off did not settle within a basis point"
                for pair in solved
                if not pair.settled
            ),
        )
        quantity = self.decide(
            key, trail, binding, like=Ratio(on_grid(trail.value, key.spec, self.grid(key.market))),
            interval=(min(worst.lower, trail.value), max(min(worst.upper, ceiling), trail.value)), notes=notes,
        )  # fmt: skip
        return float(quantity.value)

    def _collateral_factor(self, asset: str, declared: Asset, threshold: float, worst: PairThreshold) -> None:
        key, trail, execution = reserve_key(asset, declared, "collateral_factor"), Trail(), self.settings.execution
        fall, low, high = worst.user_move
        years = execution.reaction_time / (365 * DAY)
        trail.apply("Liquidation threshold", Operation.START, threshold, "target of this proposal")
        label = f"Fall while a borrower reacts ({execution.reaction_confidence:.0%})"
        trail.apply(label, Operation.MULTIPLY, 1.0 - fall, "through-the-cycle paths", (1.0 - high, 1.0 - low))
        trail.apply("Interest meanwhile", Operation.MULTIPLY, math.exp(-execution.borrow_rate * years), "rate")
        step = float(self.grid(key.market).ratio)
        trail.apply("At least a step below the threshold", Operation.MINIMUM, max(threshold - step, 0.0), "protocol")
        self.decide(
            key, trail, "borrower's reaction", like=Ratio(on_grid(trail.value, key.spec, self.grid(key.market))),
            interval=(min(worst.lower, threshold) * (1.0 - high), max(worst.upper, threshold) * (1.0 - low)),
        )  # fmt: skip
