"""What a gate rule sees, and the one shape that every rule has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from risk.market import StepBound
from risk.outcome import Finding, Severity, StressResult
from risk.parameters import Change, Key, ParameterSet, Value
from risk.settings import Settings
from risk.units import Quantity

Place = tuple[Key, ...]
"""Numbers that a rule looks at together; empty for the whole set."""
_LONGEST = 80
Need = Literal["changed_at", "as_of", "stress"]


@dataclass(frozen=True, slots=True)
class GateContext:
    """A change, and the evidence on it. Only `head` comes from the side that is not trusted.

    Attributes
    ----------
    base, head
        Parameters in force and proposed.
    settings
        The trusted side's settings: bounds, route, budgets.
    changed_at
        When each number last changed (unix seconds); None where there is no record at all.
    as_of
        The instant of the evidence (unix seconds), or None without any.
    stress
        Stress of the sets ``base`` and ``head`` on the same paths, or None.
    absent
        Why evidence is missing, by need, for the message.
    bad_prices
        What the snapshot says against an asset's prices, by asset; only those that are bad or not there.
    read_bounds
        Step bounds that were read from the risk steward on chain; they count instead of those of the settings.
    """

    base: ParameterSet
    head: ParameterSet
    settings: Settings
    changed_at: Mapping[Key, int] | None = None
    as_of: int | None = None
    stress: StressResult | None = None
    absent: Mapping[str, str] = field(default_factory=dict)
    bad_prices: Mapping[str, str] = field(default_factory=dict)
    read_bounds: Mapping[str, StepBound] = field(default_factory=dict)

    @property
    def bounds(self) -> Mapping[str, StepBound]:
        """Step bound by parameter name: what the steward's contract says, else what the settings declare."""
        declared = {n: StepBound(b.step, b.relative, b.minimum_delay) for n, b in self.settings.bounds.items()}
        return declared | dict(self.read_bounds)

    @property
    def changes(self) -> tuple[Change, ...]:
        """Changes from base to head, in key order."""
        return self.base.diff(self.head)

    def changed(self, key: Key) -> bool:
        """Whether a number differs between base and head."""
        return self.base.values.get(key) != self.head.values.get(key)

    def moved(self, key: Key) -> tuple[Quantity, Quantity] | None:
        """Both quantities of a number that changed, or None unless both can be read and are of one kind."""
        before, after = self.base.get(key), self.head.get(key)
        if before is None or after is None or type(before) is not type(after) or before == after:
            return None
        return before, after


@dataclass(frozen=True, slots=True)
class Remark:
    """What a rule says of one place.

    Attributes
    ----------
    message, remedy
        What is wrong, and what to do.
    evidence
        The figures behind it.
    severity
        Where it is not the rule's own.
    """

    message: str
    remedy: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    severity: Severity | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes
    ----------
    code, title
        Its code, and what it forbids.
    severity
        Of its findings, unless a remark says otherwise.
    places
        What it looks at; needs no evidence, so that missing evidence has a denominator.
    examine
        What it says of one place, or None. A finding is reported on the first number of the place that
        changed, or on its first number where none did.
    needs
        Evidence without which it cannot look.
    """

    code: str
    title: str
    severity: Severity
    places: Callable[[GateContext], Sequence[Place]]
    examine: Callable[[GateContext, Place], Remark | None]
    needs: tuple[Need, ...] = ()

    def check(self, context: GateContext) -> list[Finding]:
        """Findings on every place that the rule looks at; its needs must be there."""
        remarks = ((place, self.examine(context, place)) for place in self.places(context))
        return [self._finding(context, place, remark) for place, remark in remarks if remark is not None]

    def _finding(self, context: GateContext, place: Place, remark: Remark) -> Finding:
        """A finding from a remark, with both values and the head file's line."""
        key = next((key for key in place if context.changed(key)), place[0] if place else None)
        before = after = line = None
        if key is not None:
            before, after = context.base.values.get(key), context.head.values.get(key)
            line = context.head.lines.get(key)
        return Finding(
            code=self.code,
            key="*" if key is None else str(key),
            severity=remark.severity or self.severity,
            message=remark.message,
            base=_shown(before),
            head=_shown(after),
            evidence=remark.evidence,
            remedy=remark.remedy,
            line=line,
        )


def _shown(value: Value | None) -> str | None:
    """Text of a value; what could not be read comes from outside, so it is cut and holds no control character."""
    if value is None:
        return None
    text = str(value)
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def each_of_head(context: GateContext) -> list[Place]:
    """Every number of head."""
    return [(key,) for key in context.head.values]


def each_changed(context: GateContext) -> list[Place]:
    """Every number that differs, is new or is gone."""
    return [(change.key,) for change in context.changes]


def each_moved(context: GateContext) -> list[Place]:
    """Every number that can be read on both sides and differs."""
    return [(change.key,) for change in context.changes if context.moved(change.key) is not None]
