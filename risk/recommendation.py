"""What policy decides: a target, how each number was derived, and the next legal step towards it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from risk.artifact import Artifact
from risk.errors import DefectError
from risk.parameters import Key, ParameterSet
from risk.units import Dimension, Grid, Rounding


class Operation(StrEnum):
    """What a term does to the running value."""

    START = "start"
    ADD = "add"
    SUBTRACT = "subtract"
    MULTIPLY = "multiply"
    DIVIDE = "divide"
    MINIMUM = "minimum"
    MAXIMUM = "maximum"
    ROUND_DOWN = "round_down"
    ROUND_UP = "round_up"
    ROUND_NEAREST = "round_nearest"


@dataclass(frozen=True, slots=True)
class Term:
    """One step of a derivation.

    Attributes
    ----------
    name
        What it is, in words a delegate understands.
    operation, value
        What is done with which number; for a rounding, `value` is the grid's step.
    after
        The running value afterwards.
    source
        Where the number comes from: a setting, a figure, a rule.
    lower, upper
        90 % interval of `value` where it is estimated, else None.
    """

    name: str
    operation: Operation
    value: float
    after: float
    source: str
    lower: float | None = None
    upper: float | None = None


_ARITHMETIC: Mapping[Operation, Callable[[float, float], float]] = {
    Operation.START: lambda _, value: value,
    Operation.ADD: operator.add,
    Operation.SUBTRACT: operator.sub,
    Operation.MULTIPLY: operator.mul,
    Operation.DIVIDE: operator.truediv,
    Operation.MINIMUM: min,
    Operation.MAXIMUM: max,
}


def apply(operation: Operation, before: float, value: float) -> float:
    """The running value after one operation; for a rounding, `value` is the grid's step."""
    if operation in _ARITHMETIC:
        return _ARITHMETIC[operation](before, value)
    step = Decimal(repr(value))
    rounding = Rounding(operation.removeprefix("round_"))
    return float(Grid(ratio=step, token=step).round(before, Dimension.RATIO, rounding))


def replay(terms: Sequence[Term]) -> float:
    """Apply the terms in order; the result is the target's value.

    Raises
    ------
    DefectError
        When a term's recorded running value is not what its operation gives.
    """
    value = 0.0
    for term in terms:
        value = apply(term.operation, value, term.value)
        if value != term.after:
            raise DefectError("a derivation does not replay", field=term.name, value=value)
    return value


@dataclass(frozen=True, slots=True)
class Derivation:
    """How one number came to be.

    Attributes
    ----------
    key
        The number's address.
    terms
        Replaying them gives the target.
    binding
        The constraint that decided it.
    current, target, next_step
        Texts with units, as in a parameter file; None for an unknown current value or a refused target.
    lower, upper
        90 % interval of the policy output (draws pushed through policy) as fractions or amounts, or None.
    earliest
        When the next step may be made (unix seconds), or None where nothing bounds it.
    emergency
        The route when the legal step is too slow, or None.
    undercoverage
        What the next step leaves uncovered against the target, in words, or None.
    notes
        Assumptions that a reader must know.
    refusal
        Why there is no target, or None.
    """

    key: Key
    terms: tuple[Term, ...]
    binding: str
    current: str | None
    target: str | None
    next_step: str | None
    lower: float | None = None
    upper: float | None = None
    earliest: int | None = None
    emergency: str | None = None
    undercoverage: str | None = None
    notes: tuple[str, ...] = ()
    refusal: str | None = None

    def document(self) -> dict[str, Any]:
        """JSON-like content."""
        return {**asdict(self), "key": str(self.key)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Derivation:
        """Rebuild from JSON-like content."""
        terms = tuple(Term(**{**t, "operation": Operation(t["operation"])}) for t in document["terms"])
        return cls(**{**document, "key": Key.parse(document["key"]), "terms": terms, "notes": tuple(document["notes"])})


class Trail:
    """Builds the terms of a derivation while the number is computed, so that the two cannot differ."""

    def __init__(self) -> None:
        self.terms: list[Term] = []

    @property
    def value(self) -> float:
        """The running value."""
        return self.terms[-1].after if self.terms else 0.0

    def apply(
        self,
        name: str,
        operation: Operation,
        value: float,
        source: str,
        interval: tuple[float, float] | None = None,
    ) -> float:
        """Add a term and return the running value after it."""
        lower, upper = interval if interval is not None else (None, None)
        after = apply(operation, self.value, float(value))
        self.terms.append(Term(name, operation, float(value), after, source, lower, upper))
        return after


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The artifact of the policy stage.

    Attributes
    ----------
    target
        Where the parameters should be. A refused number keeps its value in force, and its derivation says so.
    next_step
        The next legal step towards it.
    derivations
        One for each number, also for those that stay.
    facts
        Figures about the whole set: the constraint that binds the pool, the chance that any position falls
        short at the target and at what is in force, sensitivity to persistence, refusals counted.
    """

    as_of: int
    target: ParameterSet
    next_step: ParameterSet
    derivations: tuple[Derivation, ...]
    facts: Mapping[str, Any]
    inputs: Mapping[str, str] = field(default_factory=dict)
    settings_hash: str = ""

    SCHEMA = "riskcal/recommendation/1"

    def derivation(self, key: Key) -> Derivation | None:
        """The derivation of a number."""
        return next((d for d in self.derivations if d.key == key), None)

    def artifact(self) -> Artifact:
        """Logical content, for hashing and for the run folder."""
        document = {
            "as_of": self.as_of,
            "target": {str(key): str(value) for key, value in self.target.values.items()},
            "next_step": {str(key): str(value) for key, value in self.next_step.values.items()},
            "derivations": [d.document() for d in self.derivations],
            "facts": dict(self.facts),
        }
        return Artifact(self.SCHEMA, document, {}, self.inputs, self.settings_hash)

    @classmethod
    def from_artifact(cls, artifact: Artifact) -> Recommendation:
        """Rebuild from logical content."""
        document = artifact.document
        return cls(
            as_of=int(document["as_of"]),
            target=ParameterSet.from_texts(document["target"]),
            next_step=ParameterSet.from_texts(document["next_step"]),
            derivations=tuple(Derivation.from_document(d) for d in document["derivations"]),
            facts=document["facts"],
            inputs=artifact.inputs,
            settings_hash=artifact.settings_hash,
        )
