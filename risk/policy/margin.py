"""Initial and maintenance margin of a perpetual, per tier: a fast parameter, so the conditional forecast.

The move is the largest of the conditional quantile, its blend with the stressed window, and the same
quantile over the whole history: a maximum of cautions, never their sum.
"""

from __future__ import annotations

import numpy as np

from risk.calibration import SubjectModel
from risk.market import FloatArray
from risk.recommendation import Operation, Trail
from risk.settings import Settings
from risk.tails.horizon import bars_of, simulate


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


def move(model: SubjectModel, settings: Settings, horizon: int, sign: float, trail: Trail) -> float:
    """Adverse move over a horizon in seconds; `sign` -1 for a long position, +1 for a short one.

    Appends its terms to `trail`, whose value it becomes. Simple moves; beyond the data the up side is bounded
    by the shocks' truncation.
    """
    policy, bars = settings.policy, bars_of(horizon, model.interval)
    confidence = policy.margin_confidence
    prices = simulate(
        model, n_bars=bars, n_paths_per_draw=settings.models.paths_per_draw * 5, seed=settings.seed,
        start="conditional",
    ).log_price  # fmt: skip
    worst = (sign * np.expm1(sign * (sign * prices[:, 1:]).max(axis=1))).clip(min=0.0)
    by_draw = np.quantile(worst.reshape(len(model.draws), -1), confidence, axis=1)
    value = float(np.quantile(worst, confidence))
    band = np.quantile(by_draw, (0.05, 0.95))
    stress = _empirical(stressed_window(model.returns, policy.stress_window), bars, sign, confidence)
    side, label = ("fall" if sign < 0 else "rise"), f"{confidence:.2%} over {bars} bars"
    trail.apply(
        f"Conditional {side}, {label}", Operation.START, value, "calibration: conditional paths",
        (min(float(band[0]), value), max(float(band[1]), value)),
    )  # fmt: skip
    weight = policy.stress_weight
    blend = (1.0 - weight) * value + weight * stress
    trail.apply(f"Blend with the stressed window ({weight:.0%})", Operation.MAXIMUM, blend, "history: stressed window")
    long_run = _empirical(model.returns, bars, sign, confidence)
    return trail.apply("Same quantile over the whole history", Operation.MAXIMUM, long_run, "history: all bars")


def initial_margin(move_of_user: float, maintenance: float, sign: float) -> float:
    """Initial margin: long v + MM (1 - v), short v + MM (1 + v)."""
    return move_of_user + maintenance * (1.0 + sign * move_of_user)
