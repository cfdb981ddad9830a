"""One row of the quality table, and how its details are written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from risk.market import BoolArray, IntArray, Verdict

NAMED = 3
"""Instants that a detail names before it breaks off."""


@dataclass(frozen=True, slots=True)
class Check:
    """One row of the quality table without the series' name."""

    check: str
    verdict: Verdict
    count: int
    detail: str = ""


def day(instant: int) -> str:
    """A UTC date, with the time where it is not midnight."""
    text = datetime.fromtimestamp(instant, tz=UTC).strftime("%Y-%m-%d %H:%M")
    return text.removesuffix(" 00:00")


def days(observed_at: IntArray, mask: BoolArray) -> str:
    """The first instants (n,) at which the mask (n,) holds."""
    where = np.flatnonzero(mask)
    return ", ".join(day(int(observed_at[i])) for i in where[:NAMED]) + (" …" if len(where) > NAMED else "")
