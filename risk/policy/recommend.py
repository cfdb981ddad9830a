"""The policy stage: a target for every number, its derivation, and the next legal step."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from risk.calibration import Calibration, Unavailable
from risk.errors import EvidenceError, RefusalError, SettingsError
from risk.exposure import held_usd, reserve_key
from risk.market import MarketSnapshot, StepBound, Verdict
from risk.parameters import Key, Value
from risk.policy.liquidation import slippage_of
from risk.policy.margin import initial_margin, move
from risk.policy.reserve import Liquidation, PairThreshold, broken_by, liquidation_terms, model_of, pair_threshold
from risk.policy.steward import Step, coupled_steps, next_step, on_grid, with_value
from risk.policy.threshold import Budget, any_shortfall
from risk.recommendation import Derivation, Operation, Recommendation, Trail
from risk.seizure.by_protocol import seizure_of
from risk.settings import Asset, Settings
from risk.structure import closed
from risk.units import DAY, GRIDS, Grid, Quantity, Ratio, Rounding, TokenAmount, Usd

_ROUNDINGS = {
    Rounding.DOWN: Operation.ROUND_DOWN,
    Rounding.UP: Operation.ROUND_UP,
    Rounding.NEAREST: Operation.ROUND_NEAREST,
}
_EMERGENCY = "set the collateral factor to zero by governance or guardian; the threshold stays for open positions"

FIRST_THRESHOLD = 0.75
"""Where the search starts; what is found does not hang on it."""
_ROUNDS = 4


class _Policy:
    """Collects derivations while the parameters are gone through."""

    def __init__(self, snapshot: MarketSnapshot, calibration: Calibration, settings: Settings) -> None:
        self.snapshot, self.calibration, self.settings = snapshot, calibration, settings
        self.target: dict[Key, Value] = {}
        self.step: dict[Key, Value] = {}
        self.derivations: list[Derivation] = []
        self.facts: dict[str, Any] = {
            "any_shortfall_probability": {"target": {}, "in_force": {}},
            "binding": {},
            "sensitivity": {},
            "twin": {},
            "refused": {},
        }
        self.exposure: dict[str, float] = {}
        for asset, _, _ in settings.reserves():
            try:
                self.exposure[asset] = self.exposed(
                    asset, liquidation_terms(snapshot, settings, asset, FIRST_THRESHOLD)
                )
            except (EvidenceError, RefusalError) as error:
                self.facts["refused"][asset] = str(error)
        self.total = sum(self.exposure.values())

    def exposed(self, asset: str, terms: Liquidation) -> float:
        """US dollars of collateral that may have to be sold.

        A cap below what is held stops new supply only: the held collateral must be sold all the same.
        """
        return max(terms.cap_usd, held_usd(asset, self.snapshot))

    def grid(self, market: str | None) -> Grid:
        return GRIDS[self.settings.markets[market].protocol] if market else GRIDS["generic"]

    def decide(
        self,
        key: Key,
        trail: Trail,
        binding: str,
        *,
        like: Quantity,
        interval: tuple[float, float] | None = None,
        notes: tuple[str, ...] = (),
    ) -> Quantity:
        """Round the trail's value to the grid, take the legal step and record the derivation."""
        spec, grid, snapshot = key.spec, self.grid(key.market), self.snapshot
        trail.apply("Protocol's grid", _ROUNDINGS[spec.rounding], float(grid.step(spec.dimension)), "protocol")
        value = on_grid(trail.value, spec, grid)
        if float(value) != trail.value:
            trail.apply("Smallest cap: zero means unlimited", Operation.MAXIMUM, float(value), "protocol")
        target = with_value(like, value)
        current = snapshot.in_force.get(key)
        self.target[key] = target
        if current is None:
            step_value, earliest, undercoverage, emergency = target, None, None, None
        else:
            bound = snapshot.bounds.get(key.parameter) if self.settings.policy.route == "steward" else None
            step = next_step(current, target, bound, grid, snapshot.changed_at.get(key), snapshot.as_of)
            step_value, earliest = step.value, step.earliest
            undercoverage = emergency = None
            if bound is not None and key not in snapshot.changed_at:
                notes = (*notes, "when it last changed is not known: that the step is not too soon is not checked")
            if step_value != target:
                undercoverage, emergency = self._on_the_way(step, bound, target, current)
        self.step[key] = step_value
        low, high = interval if interval is not None else (None, None)
        if low is not None and high is not None:  # the grid may round the value out of a narrow band
            low, high = min(low, float(target.value)), max(high, float(target.value))
        self.derivations.append(
            Derivation(
                key,
                tuple(trail.terms),
                binding,
                None if current is None else str(current),
                str(target),
                str(step_value),
                low,
                high,
                earliest,
                emergency,
                undercoverage,
                notes,
            )
        )
        return target

    def _on_the_way(
        self, step: Step, bound: StepBound | None, target: Quantity, current: Quantity
    ) -> tuple[str, str | None]:
        """What stands until the target is reached, and the route where the legal steps are too slow."""
        if step.count == 0:
            return f"no legal step leads from {current} to {target}", "no steward may make this change: use governance"
        said = f"{step.count} steps to the target; after the next one {step.moved} against {target}"
        if step.value == current:
            said = f"held until the delay since the last change is over; {said}"
        days = (bound.minimum_delay * step.count if bound else 0) // DAY
        if days * DAY <= self.settings.appetite.parameter_life:
            return said, None
        return said, f"the legal steps take {days} days, longer than the parameter's life: use governance"

    def refuse(self, key: Key, reason: str, emergency: str | None = None) -> None:
        """No target: what is in force stays, and says so."""
        current = self.snapshot.in_force.get(key)
        if current is not None:
            self.target[key] = self.step[key] = current
        text = None if current is None else str(current)
        self.derivations.append(Derivation(key, (), "refused", text, None, text, emergency=emergency, refusal=reason))

    def refuse_reserve(self, asset: str, declared: Asset, reason: str) -> None:
        """Refuse a reserve: no new borrowing, by the emergency route; the other numbers stay."""
        self.facts["refused"][asset] = reason
        for parameter in ("liquidation_threshold", seizure_of(self.settings, asset).penalty, "supply_cap"):
            self.refuse(reserve_key(asset, declared, parameter), reason, _EMERGENCY)
        key = reserve_key(asset, declared, "collateral_factor")
        trail = Trail()
        trail.apply("Refused: no new borrowing against it", Operation.START, 0.0, reason)
        self.decide(
            key, trail, "refusal", like=Ratio(on_grid(0.0, key.spec, self.grid(key.market))), notes=(_EMERGENCY,)
        )

    def reserve(self, asset: str, symbol: str, declared: Asset) -> None:
        """Derive the four numbers of a reserve, or refuse it."""
        snapshot, settings = self.snapshot, self.settings
        verdict, why = snapshot.verdict(asset)
        try:
            if verdict is Verdict.BAD:
                raise RefusalError(f"the price series is bad: {why}", field=asset)
            if asset not in self.exposure:
                raise RefusalError(self.facts["refused"][asset], field=asset)
            models = [model_of(self.calibration, asset, debt) for debt in declared.debts]
            threshold = FIRST_THRESHOLD
            for _ in range(_ROUNDS):
                terms = liquidation_terms(snapshot, settings, asset, threshold)
                bonus = terms.bonus
                budget = Budget(
                    settings.appetite, self.exposure[asset] / self.total, self.exposed(asset, terms),
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
        chances = self.facts["any_shortfall_probability"]
        chances["target"][symbol] = any_shortfall(worst.crossings, max(threshold, 1e-4), bonus)
        if before and bonus_before is not None:
            credit = seizure_of(settings, asset).credit_at(bonus_before, snapshot.in_force, key)
            chances["in_force"][symbol] = any_shortfall(worst.crossings.at_credit(credit), before, bonus_before)
        self.facts["sensitivity"][symbol] = dict(worst.persistence)
        twin = worst.twin
        self.facts["twin"][symbol] = {
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
        self.facts["binding"][declared.symbol or asset] = binding
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
        trail.apply(
            "Interest meanwhile", Operation.MULTIPLY, 2.718281828459045 ** (-execution.borrow_rate * years), "rate"
        )
        step = float(self.grid(key.market).ratio)
        trail.apply("At least a step below the threshold", Operation.MINIMUM, max(threshold - step, 0.0), "protocol")
        self.decide(
            key, trail, "borrower's reaction", like=Ratio(on_grid(trail.value, key.spec, self.grid(key.market))),
            interval=(min(worst.lower, threshold) * (1.0 - high), max(worst.upper, threshold) * (1.0 - low)),
        )  # fmt: skip

    def perpetual(self, asset: str, declared: Asset) -> None:
        """Derive the margins of each tier."""
        settings, market = self.settings, declared.perpetual or ""
        model = self.calibration.model(asset)
        floor = {"initial_margin": 0.0, "maintenance_margin": 0.0}
        for number, limit in enumerate(settings.policy.tiers, start=1):
            keys = {
                name: Key(market, "market", f"{asset}-USD", ("tiers", str(number)), name)
                for name in ("maintenance_margin", "initial_margin", "notional_limit")
            }
            try:
                if isinstance(model, Unavailable):
                    raise RefusalError(model.reason, field=asset)
                slippage = slippage_of(limit, self.snapshot, settings, asset, "USD")
                if slippage >= 1.0:
                    raise RefusalError(f"stressed depth does not take {limit:,.0f} USD", field=asset)
            except (RefusalError, EvidenceError) as error:
                self.facts["refused"][str(keys["maintenance_margin"])] = str(error)
                for key in keys.values():
                    self.refuse(key, str(error))
                continue
            horizon = settings.execution.keeper_delay
            sides, bands = {}, {}
            for sign in (-1.0, 1.0):
                trail = Trail()
                bands[sign] = move(model, settings, horizon, sign, trail)
                trail.apply("Slippage at the tier's limit", Operation.ADD, slippage, "stressed depth")
                trail.apply("Liquidation fee", Operation.ADD, settings.policy.liquidation_fee, "policy")
                trail.apply("Not below the tier before", Operation.MAXIMUM, floor["maintenance_margin"], "tier order")
                trail.apply("Margin of one", Operation.MINIMUM, 1.0, "bound")
                sides[sign] = trail
            trail = max(sides.values(), key=lambda t: t.value)
            like = Ratio(on_grid(trail.value, keys["maintenance_margin"].spec, self.grid(market)))
            side = "long" if trail is sides[-1.0] else "short"
            band = bands[-1.0 if side == "long" else 1.0]
            added = trail.value - band.value
            maintenance = float(
                self.decide(
                    keys["maintenance_margin"], trail, f"{side} side", like=like,
                    interval=(band.lower + added, band.upper + added), notes=band.notes,
                ).value
            )  # fmt: skip
            chosen, best, label = Trail(), -1.0, ""
            for sign in (-1.0, 1.0):
                trail = Trail()
                user = move(model, settings, settings.execution.user_margin_horizon, sign, trail)
                kept = initial_margin(user.value, maintenance, sign) - user.value
                trail.apply("Maintenance on what is left", Operation.ADD, kept, "MM")
                trail.apply("Not below the tier before", Operation.MAXIMUM, floor["initial_margin"], "tier order")
                trail.apply("Margin of one", Operation.MINIMUM, 1.0, "bound")
                if trail.value > best:
                    chosen, best, label, band = trail, trail.value, "long side" if sign < 0 else "short side", user
            like = Ratio(on_grid(chosen.value, keys["initial_margin"].spec, self.grid(market)))
            added = chosen.value - band.value
            initial = float(
                self.decide(
                    keys["initial_margin"], chosen, label, like=like,
                    interval=(band.lower + added, band.upper + added), notes=band.notes,
                ).value
            )  # fmt: skip
            floor = {"initial_margin": initial, "maintenance_margin": maintenance}
            trail = Trail()
            trail.apply("Declared tier", Operation.START, limit, "policy.tiers")
            self.decide(
                keys["notional_limit"],
                trail,
                "declared",
                like=Usd(on_grid(limit, keys["notional_limit"].spec, self.grid(market))),
            )

    def pool(self, asset: str, declared: Asset) -> None:
        """The swap fee: one threshold on the volatility forecast, and it says so."""
        policy = self.settings.policy
        key = Key(declared.pool or "", "pool", f"{asset}-USDC", (), "swap_fee")
        model = self.calibration.model(asset)
        if isinstance(model, Unavailable):
            self.refuse(key, model.reason)
            return
        sigma = float((model.draws[:, 6].mean() * DAY / model.interval) ** 0.5)
        trail = Trail()
        trail.apply("Fee in calm markets", Operation.START, policy.calm_fee, "policy.calm_fee")
        volatile = sigma > policy.fee_volatility_threshold
        if volatile:
            trail.apply(
                "Fee above the volatility threshold", Operation.MAXIMUM, policy.volatile_fee, "policy.volatile_fee"
            )
        limit = policy.fee_volatility_threshold
        note = f"daily volatility forecast {sigma:.2%} against {limit:.2%}; one threshold, not fitted to pool data"
        like = Ratio(on_grid(trail.value, key.spec, self.grid(key.market)))
        self.decide(key, trail, "volatile market" if volatile else "calm market", like=like, notes=(note,))

    def couple(self) -> None:
        """Let what may not be set before its partner wait, and say so in its derivation."""
        held = coupled_steps(self.step, self.snapshot.in_force, self.grid)
        self.step |= held
        self.derivations = [
            d
            if d.key not in held
            else dataclasses.replace(
                d,
                next_step=str(held[d.key]),
                undercoverage=f"waits for the parameter it is coupled with at {held[d.key]}; then on to {d.target}",
            )
            for d in self.derivations
        ]


def recommend(
    snapshot: MarketSnapshot, calibration: Calibration, settings: Settings, inputs: Mapping[str, str] | None = None
) -> Recommendation:
    """Derive every number of every configured market.

    A number that cannot be derived is refused by name and keeps its value in force; the rest goes on.

    Raises
    ------
    SettingsError
        When the declared life of a parameter is shorter than a bar.
    """
    _refuse_short_lives(calibration, settings)
    policy = _Policy(snapshot, calibration, settings)
    for asset, symbol, declared in settings.reserves():
        policy.reserve(asset, symbol, declared)
    for asset, declared in sorted(settings.assets.items()):
        if declared.perpetual is not None:
            policy.perpetual(asset, declared)
        if declared.pool is not None:
            policy.pool(asset, declared)
    policy.couple()
    in_force = snapshot.in_force
    return Recommendation(
        snapshot.as_of, in_force.replace(policy.target), in_force.replace(policy.step),
        tuple(sorted(policy.derivations, key=lambda d: d.key)), policy.facts, dict(inputs or {}),
        settings.hash_of("seed", "assets", "markets", "appetite", "execution", "models", "policy", "bounds"),
    )  # fmt: skip


def _refuse_short_lives(calibration: Calibration, settings: Settings) -> None:
    longest = max((model.interval for model in calibration.pairs.values()), default=0)
    life = settings.appetite.parameter_life
    if life < longest:
        raise SettingsError(
            f"shorter than a bar of {longest} s",
            field="appetite.parameter_life",
            value=f"{life} s",
            remedy="Declare a life of at least one bar, or give the assets shorter bars",
        )
