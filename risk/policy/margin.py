"""Initial and maintenance margin of a perpetual, per tier: a fast parameter, so the conditional forecast.

The move is the largest of the conditional quantile, its blend with the stressed window, and the same
quantile over the whole history: a maximum of cautions, never their sum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from risk.calibration import SHORT_HISTORY_NOTE, SubjectModel
from risk.market import FloatArray
from risk.recommendation import Operation, Trail
from risk.settings import Settings
from risk.tails.figures import PATHS_FACTOR, values_and_bands
from risk.tails.horizon import bars_of, simulate
from risk.units import DAY


def _empirical(returns: FloatArray, bars: int, sign: float, confidence: float) -> float:
    total = np.concatenate(([0.0], np.cumsum(returns)))
    moves = sign * np.expm1(total[bars:] - total[:-bars])
    return max(float(np.quantile(moves, confidence)), 0.0)


def stressed_window(returns: FloatArray, length: int) -> FloatArray:
    """The `length` returns in a row with the largest mean square."""
    if len(returns) <= length:
        return returns
    sums = np.convolve(returns**2, np.ones(length), mode="valid")
    start = int(np.argmax(sums))
    return returns[start : start + length]


@dataclass(frozen=True, slots=True)
class Move:
    """An adverse move with its 90 % band over parameter draws, simple, and what a reader must know of it."""

    value: float
    lower: float
    upper: float
    notes: tuple[str, ...]


def move(model: SubjectModel, settings: Settings, horizon: int, sign: float, trail: Trail) -> Move:
    """Adverse move over a horizon in seconds; `sign` -1 for a long position, +1 for a short one.

    The quantile is that of the predictive mixture; its band is over draws of parameters and shocks on common paths.
    Appends its terms to `trail`, whose value it becomes. Simple moves; beyond the data the up side is bounded
    by the shocks' truncation. A horizon within a bar is taken as the whole bar, and a note says so.
    """
    policy, bars = settings.policy, bars_of(horizon, model.interval)
    confidence = policy.margin_confidence
    mixture, common = (
        simulate(
            model, n_bars=bars, n_paths_per_draw=settings.models.paths_per_draw * PATHS_FACTOR, seed=settings.seed,
            start="conditional", common=common,
        ).log_price[:, 1:]
        for common in (False, True)
    )  # fmt: skip
    worst = [np.expm1(sign * (sign * prices).max(axis=1)) * sign for prices in (mixture, common)]
    (found,), _ = values_and_bands([moves.clip(min=0.0) for moves in worst], len(model.draws), (confidence,))
    value, low, high = found.value, min(found.lower, found.value), max(found.upper, found.value)
    stress = _empirical(stressed_window(model.returns, policy.stress_window), bars, sign, confidence)
    side, span = ("fall" if sign < 0 else "rise"), _span(bars * model.interval)
    trail.apply(
        f"Conditional {side}, {confidence:.2%} over {span}", Operation.START, value, "calibration: conditional paths",
        (low, high),
    )  # fmt: skip
    if SHORT_HISTORY_NOTE in model.status:
        # The band holds what a short sample, the pooled prior included, leaves open; it closes as bars come.
        value = high
        trail.apply(
            "Data-length haircut: the upper end of the 90 % band, for a short history", Operation.MAXIMUM, value,
            "calibration: posterior draws",
        )  # fmt: skip
    weight = policy.stress_weight
    long_run = _empirical(model.returns, bars, sign, confidence)

    def with_cautions(quantile: float) -> float:
        return max(quantile, (1.0 - weight) * quantile + weight * stress, long_run)

    blend = (1.0 - weight) * value + weight * stress
    trail.apply(f"Blend with the stressed window ({weight:.0%})", Operation.MAXIMUM, blend, "history: stressed window")
    trail.apply("Same quantile over the whole history", Operation.MAXIMUM, long_run, "history: all bars")
    notes: tuple[str, ...] = ()
    if bars * model.interval != horizon:
        notes = (f"the horizon of {_span(horizon)} is rounded up to whole bars, {span}",)
    return Move(with_cautions(value), with_cautions(low), with_cautions(high), notes)


def _span(seconds: int) -> str:
    """A duration in days where it is whole ones, else in hours."""
    return f"{seconds // DAY} d" if seconds % DAY == 0 else f"{seconds / 3600:g} h"


def initial_margin(move_of_user: float, maintenance: float, sign: float) -> float:
    """Initial margin: long v + MM (1 - v), short v + MM (1 + v)."""
    return move_of_user + maintenance * (1.0 + sign * move_of_user)
