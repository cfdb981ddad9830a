"""The historical twin: accounts opened through the real history, and what they lost.

It needs no model, so it stands beside every simulated threshold; but one asset has few independent lives,
so it says what it can reach.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from risk.market import FloatArray, IntArray, frozen
from risk.policy.runoff import Crossings

BASIS_POINT = 1e-4


@dataclass(frozen=True, slots=True)
class HistoricalTwin:
    """What accounts on the real path lost.

    Attributes
    ----------
    crossings
        Account j opened at bar ``opened[j]``; `path` is the index of the opening.
    opened
        (n_crossings,) bar at which each crossing account opened.
    n_opened
        Accounts opened.
    n_lives
        Lives that do not overlap: the most independent windows there are.
    n_episodes
        Crossings declustered by date: episodes more than a life apart.
    life
        Life of an account in bars.
    """

    crossings: Crossings
    opened: IntArray
    n_opened: int
    n_lives: int
    n_episodes: int
    life: int

    def mean_loss(self, threshold: float, bonus: float) -> float:
        """Mean loss over the accounts that crossed; zero where none did."""
        return self.crossings.mean_loss(threshold, bonus)

    def worst_life_loss(self, threshold: float, bonus: float) -> float:
        """Largest mean loss over accounts that opened within one life."""
        if not len(self.crossings):
            return 0.0
        loss, window = self.crossings.loss(threshold, bonus), self.opened // self.life
        sums = np.bincount(window, weights=loss)
        counts = np.bincount(window)
        return float((sums[counts > 0] / counts[counts > 0]).max())

    def largest_threshold(self, measure: Callable[[float], float], limit: float) -> float:
        """Largest threshold on the basis-point grid whose `measure` stays within `limit`; zero if none does."""
        return largest_within(lambda threshold: measure(threshold) <= limit)


def largest_within(holds: Callable[[float], bool], *, step: float = BASIS_POINT, upper: float = 1.0) -> float:
    """Largest grid point in (0, upper) where a condition that fails for good once it fails still holds."""
    low, high = 0, round(upper / step)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle * step) else (low, middle)
    return low * step


def historical_twin(
    close: FloatArray, weights: FloatArray, *, distance: float, life: int, every: int = 1, deviation: float = 0.0
) -> HistoricalTwin:
    """Open an account every `every` bars at `distance` from its threshold and follow it for `life` bars.

    Parameters
    ----------
    close
        (n,) closing prices of the pair.
    weights
        (n_slices,) of `risk.policy.runoff.slice_weights`; accounts whose slices run past the last bar are left out.
    distance
        Fall of the pair to the threshold, a fraction.
    """
    log_price, n_slices = np.log(close), len(weights)
    level_gap = np.log1p(-distance)
    opened, bars, moves = [], [], []
    starts = range(0, len(close) - 1, every)
    for start in starts:
        path = log_price[start + 1 : start + 1 + life] - log_price[start]
        below = path <= level_gap
        if not below.any():
            continue
        first = start + 1 + int(np.argmax(below))
        if first + n_slices > len(close):
            continue
        opened.append(start)
        bars.append(first - start)
        gap = log_price[first : first + n_slices] - log_price[start] - level_gap + np.log1p(-deviation)
        moves.append(-np.expm1(gap))
    crossed_at = np.array(opened, dtype=np.int64) + np.array(bars, dtype=np.int64)
    episodes, last = 0, -life - 1
    for instant in np.sort(crossed_at):
        if instant - last > life:
            episodes, last = episodes + 1, int(instant)
    crossings = Crossings.ranked(
        np.arange(len(opened)), np.zeros(len(opened), dtype=np.int64), np.array(bars, dtype=np.int64),
        np.array(moves).reshape(len(moves), n_slices), weights, frozen([distance]), max(len(starts), 1), "closes",
    )  # fmt: skip
    by_row = np.array(opened, dtype=np.int64)[crossings.path]
    return HistoricalTwin(crossings, frozen(by_row, np.int64), len(starts), max(len(close) // life, 1), episodes, life)
