"""What is known beside prices: where a figure comes from, how an oracle updates, how far a steward may go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Origin(StrEnum):
    """Where a figure that is not calibrated comes from."""

    MEASURED = "measured"
    DECLARED = "declared"
    ASSUMED = "assumed"


@dataclass(frozen=True, slots=True)
class OracleFacts:
    """How an asset's on-chain feed updates.

    Attributes
    ----------
    deviation
        Move that triggers an update, as a fraction; it compounds into the move that a threshold must stand.
    heartbeat, latency
        Seconds; latency goes into the liquidation delay.
    origin
        Declared in the settings, or measured from the feed's rounds.
    rounds, first, last
        Rounds that it was measured from, and when the first and the last of them were answered; zero where declared.
    """

    deviation: float
    heartbeat: int
    latency: int
    origin: Origin = Origin.DECLARED
    rounds: int = 0
    first: int = 0
    last: int = 0

    def document(self) -> dict[str, object]:
        """JSON-like; what is declared says no more than the rule."""
        found = asdict(self)
        measured = ("origin", "rounds", "first", "last")
        return found if self.origin is Origin.MEASURED else {k: v for k, v in found.items() if k not in measured}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> OracleFacts:
        """What `document` gave."""
        return cls(**{**document, "origin": Origin(document.get("origin", Origin.DECLARED))})


@dataclass(frozen=True, slots=True)
class StepBound:
    """How far and how often a steward may move a parameter.

    Attributes
    ----------
    step
        Largest change, in absolute points or relative to the current value.
    relative
        Which of the two.
    minimum_delay
        Seconds between two changes.
    """

    step: float
    relative: bool
    minimum_delay: int
