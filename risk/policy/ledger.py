"""What is decided, number by number: its target on the grid, the legal step, how it was derived, or why not."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from risk.market import MarketSnapshot, StepBound
from risk.parameters import Key, Value
from risk.policy.steward import Step, coupled_steps, next_step, on_grid, with_value
from risk.recommendation import Derivation, Operation, Trail
from risk.settings import Settings
from risk.units import DAY, GRIDS, Grid, Quantity, Rounding

_ROUNDINGS = {
    Rounding.DOWN: Operation.ROUND_DOWN,
    Rounding.UP: Operation.ROUND_UP,
    Rounding.NEAREST: Operation.ROUND_NEAREST,
}


def _no_facts() -> dict[str, dict[str, Any]]:
    chances: dict[str, Any] = {"target": {}, "in_force": {}}
    return {"any_shortfall_probability": chances, "binding": {}, "sensitivity": {}, "twin": {}, "refused": {}}


def _take_in(known: dict[str, Any], other: dict[str, Any]) -> None:
    for name, value in other.items():
        if isinstance(value, dict) and name in known:
            _take_in(known[name], value)
        else:
            known[name] = value


@dataclass(slots=True)
class Numbers:
    """What was decided so far.

    Attributes
    ----------
    target, step
        Value by key.
    derivations
        One for each key of `target`, and for each that was refused.
    facts
        What else a reader wants to know, by name and by asset or reserve.
    """

    target: dict[Key, Value] = field(default_factory=dict)
    step: dict[Key, Value] = field(default_factory=dict)
    derivations: list[Derivation] = field(default_factory=list)
    facts: dict[str, dict[str, Any]] = field(default_factory=_no_facts)

    def add(self, other: Numbers) -> None:
        """Take in what was decided of other keys."""
        self.target |= other.target
        self.step |= other.step
        self.derivations += other.derivations
        _take_in(self.facts, other.facts)


class Ledger:
    """Decides numbers of a market and keeps their derivations."""

    def __init__(self, snapshot: MarketSnapshot, settings: Settings) -> None:
        self.snapshot, self.settings = snapshot, settings
        self.numbers = Numbers()

    def grid(self, market: str | None) -> Grid:
        """Grid of the protocol of a market."""
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
        self.numbers.target[key] = target
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
        self.numbers.step[key] = step_value
        low, high = interval if interval is not None else (None, None)
        if low is not None and high is not None:  # the grid may round the value out of a narrow band
            low, high = min(low, float(target.value)), max(high, float(target.value))
        self.numbers.derivations.append(
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
            self.numbers.target[key] = self.numbers.step[key] = current
        text = None if current is None else str(current)
        self.numbers.derivations.append(
            Derivation(key, (), "refused", text, None, text, emergency=emergency, refusal=reason)
        )

    def couple(self) -> None:
        """Let what may not be set before its partner wait, and say so in its derivation."""
        held = coupled_steps(self.numbers.step, self.snapshot.in_force, self.grid)
        self.numbers.step |= held
        self.numbers.derivations = [
            d
            if d.key not in held
            else dataclasses.replace(
                d,
                next_step=str(held[d.key]),
                undercoverage=f"waits for the parameter it is coupled with at {held[d.key]}; then on to {d.target}",
            )
            for d in self.numbers.derivations
        ]
