"""How often a feed speaks: its heartbeat as declared, else as its updates show it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from risk.market import IntArray, PriceSeries

LATE = 0.9
"""A gap from this share of the heartbeat on was ended by the heartbeat, a shorter one by a move."""
FEWEST = 10
"""Updates of a sort, below which nothing is measured; of gaps that are all alike `FEWEST_ALIKE` are enough."""
FEWEST_ALIKE = 3
SHARE = 0.05
"""Share of the gaps that must lie at the heartbeat: gaps without one spread far wider than a tenth."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a feed speaks that is sampled into bars.

    Attributes
    ----------
    heartbeat
        Longest time between two updates, in seconds; None where it is neither declared nor to be measured.
    declared
        Whether it is declared; else it is measured.
    updates
        What the feed said, at the instants at which it did; None where only the samples are known.
    bars
        Whether it is no feed of samples but one of bars, which should have a price of their own each.
    """

    heartbeat: int | None
    declared: bool
    updates: PriceSeries | None = None
    bars: bool = False

    def __str__(self) -> str:
        if self.heartbeat is None:
            return "heartbeat neither declared nor to be measured"
        return f"heartbeat {self.heartbeat} s, {'declared' if self.declared else 'measured'}"


def beats(gaps: IntArray) -> tuple[int | None, int]:
    """Heartbeat of gaps (n,) in seconds between updates, and how many of them it ended.

    None where too few lie together: the heartbeat ends the longest gaps, and these are alike.
    """
    if not len(gaps):
        return None, 0
    top = float(np.quantile(gaps, 0.99))
    late = gaps >= LATE * top
    count = int((late & (gaps <= top / LATE)).sum())
    enough = count >= max(FEWEST, SHARE * len(gaps))
    return (round(float(np.median(gaps[late]))) if enough else None), count


def pace_of(
    close: PriceSeries, *, declared: int | None = None, updates: PriceSeries | None = None, bars: bool = False
) -> Pace:
    """The pace of sampled closes: as declared, else of its updates, else of the instants at which they change."""
    if declared is not None:
        return Pace(declared, True, updates)
    at = changes(close) if updates is None else updates.observed_at
    gaps = np.diff(at)
    heartbeat, alike = beats(gaps)
    if heartbeat is None and alike == len(gaps) >= FEWEST_ALIKE:
        heartbeat = round(float(np.median(gaps)))
    return Pace(heartbeat, False, updates, bars)


def changes(close: PriceSeries) -> IntArray:
    """Instants (k,) at which the closes changed."""
    at: IntArray = close.observed_at[1:][np.diff(close.value) != 0]
    return at
