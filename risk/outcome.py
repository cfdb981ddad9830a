"""What checks and simulations report: findings, stress results, and the gate's verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from risk.artifact import Artifact, Table
from risk.parameters import ParameterSet


class Severity(StrEnum):
    """How much a finding weighs: an error fails the gate, a warning and a note do not."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a rule says about one number.

    Attributes
    ----------
    code
        The rule's code, e.g. ``I001``.
    key
        Address of the number, or of the subject where a finding is about the whole set (``"*"``).
    severity, message
        What is wrong, in one sentence.
    base, head
        Texts of the two values, where there are two.
    evidence
        The figures behind it.
    remedy
        What to do.
    line
        Line of the key in the head file, where it is known.
    """

    code: str
    key: str
    severity: Severity
    message: str
    base: str | None = None
    head: str | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    remedy: str = ""
    line: int | None = None

    def document(self) -> dict[str, Any]:
        """JSON-like content."""
        return {**asdict(self), "evidence": dict(self.evidence)}


class Measure(StrEnum):
    """Measures of a stress run, in US dollars unless they say otherwise."""

    BAD_DEBT = "bad_debt"
    LATENT = "latent_bad_debt"
    REALISED = "realised_bad_debt"
    UNLIQUIDATED = "unliquidated_debt"
    LIQUIDATED = "liquidated_debt"
    EXPECTED_PER_YEAR = "expected_bad_debt_per_year"
    ES99 = "bad_debt_es99"
    BREACH_PROBABILITY = "breach_probability"


STRESS_SCHEMA = {
    "scenario": "str", "set_id": "str", "measure": "str", "horizon": "i8", "confidence": "f8", "value": "f8",
    "standard_error": "f8", "n_paths": "i8", "n_failed": "i8", "budget": "f8", "has_budget": "bool", "status": "str",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class StressResult:
    """The artifact of the stress stage.

    Attributes
    ----------
    rows
        Table of `STRESS_SCHEMA`; ``status`` is ``pass``, ``fail`` or ``info`` (no budget applies). A row with
        ``n_failed`` above zero never passes. Replays have one path and a standard error of zero.
    curve
        Table ``set_id, shock, latent, realised, unliquidated``: bad debt against a uniform price shock.
    losses
        Table ``set_id, path, loss``: simulated bad debt by path, for the distribution chart.
    scenarios
        Title, date, source and severity of each scenario, by name.
    facts
        What a reader must know: positions used and their origin, depth assumptions.
    """

    rows: Table
    curve: Table
    losses: Table
    scenarios: Mapping[str, Any]
    facts: Mapping[str, Any]
    inputs: Mapping[str, str] = field(default_factory=dict)
    settings_hash: str = ""

    SCHEMA = "riskcal/stress/1"

    @property
    def failed(self) -> Table:
        """Rows that break a budget or have failed paths."""
        return self.rows.where(status="fail")

    def value(self, scenario: str, set_id: str, measure: Measure) -> float | None:
        """One value, or None."""
        rows = self.rows.where(scenario=scenario, set_id=set_id, measure=str(measure))
        return float(rows["value"][0]) if len(rows) else None

    def artifact(self) -> Artifact:
        """Logical content, for hashing and for the run folder."""
        tables = {"rows": self.rows, "curve": self.curve, "losses": self.losses}
        document = {"scenarios": dict(self.scenarios), "facts": dict(self.facts)}
        return Artifact(self.SCHEMA, document, tables, self.inputs, self.settings_hash)

    @classmethod
    def from_artifact(cls, artifact: Artifact) -> StressResult:
        """Rebuild from logical content."""
        return cls(
            **artifact.tables,
            scenarios=artifact.document["scenarios"],
            facts=artifact.document["facts"],
            inputs=artifact.inputs,
            settings_hash=artifact.settings_hash,
        )


class LossModel(Protocol):
    """Bad debt of parameter sets on common paths; policy and gate receive it, so that they need no stress."""

    def loss(self, sets: Mapping[str, ParameterSet]) -> StressResult:
        """Stress the named sets on the same paths."""
        ...


@dataclass(frozen=True, slots=True)
class GateResult:
    """The verdict on a change from base to head."""

    findings: tuple[Finding, ...]
    checked: Mapping[str, int]

    @property
    def failed(self) -> bool:
        """Whether any finding is an error."""
        return any(f.severity is Severity.ERROR for f in self.findings)

    def document(self) -> dict[str, Any]:
        """JSON-like content: verdict, findings, and how many keys each rule looked at."""
        return {
            "verdict": "fail" if self.failed else "pass",
            "findings": [f.document() for f in self.findings],
            "checked": dict(self.checked),
        }
