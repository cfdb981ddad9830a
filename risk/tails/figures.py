"""Risk figures of one subject: value at risk, expected shortfall and path drawdown as simple moves, with bands.

Down is the loss of who holds the subject, 1 - e^x; up the loss of who is short of it, e^x - 1. With heavy-tailed
log moves the mean of e^x is infinite: moves up are cut at `LOG_MOVE_CAP`, and every expected shortfall on that side
says so in its status.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from risk.calibration import Measure, RiskFigure, Side, SubjectModel
from risk.market import FloatArray
from risk.tails.horizon import Start, simulate
from risk.volatility.posterior import interval

LOG_MOVE_CAP = math.log(10.0)
"""Largest move up that is counted: the price times ten over the horizon."""
CAPPED = "up_move_cut_at_tenfold"
MONTE_CARLO_LIMIT = 0.05
"""Relative Monte-Carlo standard error from which a figure says so."""
NOISY = "monte_carlo_error"
MISSED = "interval_misses_value"
"""In the status of a figure whose band lies beside it: the draws do not agree with their mixture."""
PATHS_BEYOND = 10.0
"""Paths beyond a quantile from which its Monte-Carlo error is trusted; with fewer a figure says that it is noisy."""
PATHS_FACTOR = 5
"""Figures use this multiple of the paths per draw: the tail beyond 99.5 % needs them."""


@dataclass(frozen=True, slots=True)
class FigureRequest:
    """Which figures are asked for.

    Attributes
    ----------
    confidences
        Each in (0, 1).
    horizons
        Bars, ascending.
    n_paths_per_draw
        Of the settings.
    seed
        Of the run.
    life
        A further confidence of each horizon, in the order of `horizons`, for falls and rises over a parameter's life
        (`risk.tails.combination.life_confidence`); empty for none.
    """

    confidences: tuple[float, ...]
    horizons: tuple[int, ...]
    n_paths_per_draw: int
    seed: int
    life: tuple[float, ...] = ()

    def confidences_over(self, bars: int) -> tuple[float, ...]:
        """Confidences asked for over one of the horizons, ascending."""
        own = () if not self.life else (self.life[self.horizons.index(bars)],)
        return tuple(sorted({*self.confidences, *own}))


class Estimate(NamedTuple):
    """A value with the ends of its 90 % band, what weakens it, its value under each draw, and its Monte-Carlo error."""

    value: float
    lower: float
    upper: float
    notes: tuple[str, ...] = ()
    draws: FloatArray = np.empty(0)
    error: float = 0.0


def simple_loss(log_move: FloatArray, side: Side) -> FloatArray:
    """Loss of a holder (down) or of a short (up) by a log move, the latter cut at `LOG_MOVE_CAP`; any shape."""
    loss: FloatArray = -np.expm1(log_move) if side is Side.DOWN else np.expm1(np.minimum(log_move, LOG_MOVE_CAP))
    return loss


def running_extreme(log_price: FloatArray, side: Side) -> FloatArray:
    """Worst point so far of each path relative to its start, as a log move; the shape of `log_price` (n, n_bars + 1).

    As a simple loss it is the path drawdown: for a pair, 1 - min (C_u / D_u) / (C_0 / D_0).
    """
    relative = log_price - log_price[:, :1]
    worst: FloatArray = (np.minimum if side is Side.DOWN else np.maximum).accumulate(relative, axis=1)
    return worst


def tail_statistics(losses: FloatArray, confidences: Sequence[float]) -> tuple[FloatArray, FloatArray]:
    """Quantiles and mean losses beyond them.

    Parameters
    ----------
    losses
        (n_rows, n) one sample a row; NaN makes its row NaN.
    confidences
        (n_confidences,)

    Returns
    -------
    Two arrays (n_rows, n_confidences): Hazen quantiles, and the mean of exactly the share 1 - confidence of the
    largest losses (a fraction of one of them where the share is not whole), so never below the quantile.
    """
    n = losses.shape[1]
    k = min(n, math.ceil(n * (1.0 - min(confidences))) + 2)
    top = np.sort(np.partition(losses, n - k, axis=1)[:, n - k :], axis=1)
    quantile, shortfall = (np.empty((len(losses), len(confidences))) for _ in range(2))
    for column, confidence in enumerate(confidences):
        position = min(max(n * confidence - 0.5 - (n - k), 0.0), k - 1.0)
        left = min(int(position), k - 2)
        weight = position - left
        quantile[:, column] = (1.0 - weight) * top[:, left] + weight * top[:, left + 1]
        share = n * (1.0 - confidence)
        whole = math.floor(share + 1e-9)
        rest = max(share - whole, 0.0)
        beyond = top[:, k - whole :].sum(axis=1) + rest * top[:, k - whole - 1]
        shortfall[:, column] = beyond / share
    return quantile, shortfall


def simulated_figures(
    model: SubjectModel, shocks: FloatArray, request: FigureRequest, *, start: Start
) -> list[RiskFigure]:
    """Figures of `figures_and_draws` alone."""
    return [found for found, _ in figures_and_draws(model, shocks, request, start=start)]


def figures_and_draws(
    model: SubjectModel, shocks: FloatArray, request: FigureRequest, *, start: Start
) -> list[tuple[RiskFigure, FloatArray]]:
    """Figures from paths at every horizon, each with its value under every draw (n_draws,); the start is their method.

    The value is that of the predictive mixture: paths of their own under every draw. The 90 % band comes from the
    draws on common paths: each draw's figure over the mixture's, times the value.

    Parameters
    ----------
    shocks
        (n_draws, n_shocks) the quantile function of shocks under each draw, so that bands hold its uncertainty.
    """
    n_bars = max(request.horizons)
    n_paths = PATHS_FACTOR * request.n_paths_per_draw
    runs = [
        simulate(
            model, n_bars=n_bars, n_paths_per_draw=n_paths, seed=request.seed, start=start, common=common, shocks=shocks
        ).log_price
        for common in (False, True)
    ]
    extremes = [{side: running_extreme(run, side) for side in Side} for run in runs]
    n_draws = len(model.draws)
    figures = []
    for bars in request.horizons:
        levels = request.confidences_over(bars)
        for side in Side:
            ends = [simple_loss(run[:, bars], side) for run in runs]
            worst = [simple_loss(found[side][:, bars], side) for found in extremes]
            quantile, shortfall = values_and_bands(ends, n_draws, levels)
            drawdown, _ = values_and_bands(worst, n_draws, levels)
            for measure, table in (
                (Measure.VALUE_AT_RISK, quantile),
                (Measure.EXPECTED_SHORTFALL, shortfall),
                (Measure.DRAWDOWN, drawdown),
            ):
                figures += [
                    (figure(model, measure, confidence, bars, side, start, estimate), estimate.draws)
                    for confidence, estimate in zip(levels, table, strict=True)
                ]
    return figures


def values_and_bands(
    losses: Sequence[FloatArray], n_draws: int, confidences: Sequence[float]
) -> tuple[list[Estimate], list[Estimate]]:
    """Estimates of the quantile and of the shortfall at each confidence.

    `losses` are those of the mixture and those on common paths, draw after draw.
    """
    mixture, common = losses
    n = len(mixture)
    values = tail_statistics(mixture[None], confidences)
    centres = tail_statistics(common[None], confidences)
    draws = tail_statistics(common.reshape(n_draws, -1), confidences)
    out: list[list[Estimate]] = [[], []]
    for i, confidence in enumerate(confidences):
        # Standard error of an order statistic: its neighbours at one standard error of the probability.
        # A quantile beyond the outermost path has no neighbour above it, and is noisy.
        width = max(0.0, min(math.sqrt(confidence * (1.0 - confidence) / n), 1.0 - 0.5 / n - confidence))
        beside = tail_statistics(mixture[None], (confidence - width, confidence + width))
        for kind in (0, 1):
            value, centre = float(values[kind][0, i]), float(centres[kind][0, i])
            low, high = interval(draws[kind][:, i])
            scale = value / centre if centre > 0.0 else 0.0
            error = 0.5 * float(beside[kind][0, 1] - beside[kind][0, 0])
            noisy = n * (1.0 - confidence) < PATHS_BEYOND or error > MONTE_CARLO_LIMIT * abs(value)
            notes = (NOISY,) if noisy else ()
            out[kind].append(Estimate(value, low * scale, high * scale, notes, draws[kind][:, i] * scale, error))
    return out[0], out[1]


def misses(value: float, lower: float, upper: float) -> bool:
    """Whether a band does not hold its value, beyond rounding."""
    slack = 1e-9 * abs(value)
    return not lower - slack <= value <= upper + slack


def figure(
    model: SubjectModel, measure: Measure, confidence: float, bars: int, side: Side, method: str, estimate: Estimate
) -> RiskFigure:
    """A row of the figures' table.

    Values are floored at zero: a quantile on the other side of the start is no risk. A band that does not hold its
    value says so in the status: `MISSED`.
    """
    notes = [] if model.status == "ok" else [model.status]
    reached = estimate.value >= math.expm1(LOG_MOVE_CAP) * (1.0 - 1e-9)
    if side is Side.UP and (reached or (measure is Measure.EXPECTED_SHORTFALL and method != "historical")):
        notes.append(CAPPED)
    limit = 1.0 if side is Side.DOWN and measure is not Measure.VOLATILITY else math.inf
    value, lower, upper = (float(np.clip(each, 0.0, limit)) for each in estimate[:3])
    missed = (MISSED,) if misses(value, lower, upper) else ()
    return RiskFigure(
        subject=model.subject,
        measure=measure,
        confidence=confidence,
        horizon=bars * model.interval,
        side=side,
        method=method,
        window=len(model.returns),
        value=value,
        lower=lower,
        upper=upper,
        n_observations=len(model.returns),
        monte_carlo_error=estimate.error,
        status=", ".join([*notes, *estimate.notes, *missed]) or "ok",
    )
