"""The term structure beyond a day: two views combined, with a band.

Each row is the equal-weight mean of the conditional simulation and of scaled unconditional history (see
`risk.tails.combination`). Its band is that of the draws of both views together: either may be the right one, so that
what they disagree about widens it. Both views hold the depeg jumps: a quiet history does not make a peg riskless.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from risk.calibration import Measure, RiskFigure, Side, SubjectModel
from risk.market import FloatArray
from risk.settings import Settings
from risk.streams import stream
from risk.tails.combination import life_confidence, scaled_history
from risk.tails.figures import (
    MISSED,
    PATHS_FACTOR,
    Estimate,
    FigureRequest,
    misses,
    simple_loss,
    values_and_bands,
)
from risk.tails.horizon import hour_scale, jump_moves, stream_subject
from risk.tails.one_bar import block_samples
from risk.volatility.posterior import interval
from risk.volatility.seasonality import hour_of_day

Row = tuple[object, ...]

TERM_SCHEMA = {
    "subject": "str", "side": "str", "horizon": "i8", "confidence": "f8", "basis": "str", "conditional": "f8",
    "scaled_history": "f8", "value_at_risk": "f8", "lower": "f8", "upper": "f8", "expected_shortfall": "f8",
    "n_observations": "i8", "status": "str", "shortfall_lower": "f8", "shortfall_upper": "f8",
}  # fmt: skip
"""Simple losses over a horizon. `basis`: ``declared`` confidence, or ``life``: breached over the parameter life with
the appetite's probability."""
NEEDED = 10.0
"""Expected bars of history beyond a quantile below which the scaled view is called thin."""


def life_confidences(settings: Settings, horizons: Sequence[int], interval_seconds: int) -> tuple[float, ...]:
    """The life-based confidence of each horizon in bars; a horizon beyond the life has that of the whole life.

    Empty where the appetite's breach probability is zero: no confidence keeps that.
    """
    appetite = settings.appetite
    life = appetite.parameter_life
    if not 0.0 < appetite.breach_probability < 1.0:
        return ()
    return tuple(
        life_confidence(appetite.breach_probability, life=life, horizon=min(bars * interval_seconds, life))
        for bars in horizons
    )


def term_rows(
    model: SubjectModel, conditional: Sequence[tuple[RiskFigure, FloatArray]], request: FigureRequest
) -> tuple[Row, ...]:
    """Rows of `TERM_SCHEMA`.

    Parameters
    ----------
    conditional
        Of `risk.tails.figures.figures_and_draws`, at every confidence of `request`.
    """
    found = {(f.measure, f.side, f.horizon, f.confidence): (f, draws) for f, draws in conditional}
    rows: list[Row] = []
    for bars, side, history in _history_views(model, request):
        for level, slow, slow_mean in zip(request.confidences_over(bars), *history, strict=True):
            key = (side, bars * model.interval, level)
            own, own_draws = found[Measure.VALUE_AT_RISK, *key]
            mean, mean_draws = found[Measure.EXPECTED_SHORTFALL, *key]
            value, lower, upper, shortfall = own.value, own.lower, own.upper, mean.value
            ends = mean.lower, mean.upper
            notes = [] if own.status == "ok" else [own.status]
            # Over one bar the conditional simulation stands alone.
            if bars > 1:
                value, shortfall = 0.5 * (own.value + slow.value), 0.5 * (mean.value + slow_mean.value)
                lower, upper = interval(np.concatenate([own_draws, slow.draws]))
                ends = interval(np.concatenate([mean_draws, slow_mean.draws]))
                if (1.0 - level) * len(model.returns) < NEEDED:
                    notes.append("history_thin_beyond_quantile")
            value, lower, upper = (max(each, 0.0) for each in (value, lower, upper))
            if misses(value, lower, upper) and MISSED not in own.status:
                notes.append(MISSED)
            rows.append(
                (
                    model.subject, str(side), bars * model.interval, level,
                    "declared" if level in request.confidences else "life", own.value, slow.value,
                    value, lower, upper, max(shortfall, 0.0),
                    len(model.returns), ", ".join(notes) or "ok", *(max(each, 0.0) for each in ends),
                )
            )  # fmt: skip
    return tuple(rows)


def _history_views(
    model: SubjectModel, request: FigureRequest
) -> Iterator[tuple[int, Side, tuple[list[Estimate], list[Estimate]]]]:
    """Scaled history at every horizon and side: value at risk and expected shortfall at each confidence.

    Its draws are block bootstraps of the history. Each move is spread over the jumps of the conditional simulation's
    paths, so that both views hold the same depegs.
    """
    generator = stream(request.seed, "term_structure", stream_subject(model.collateral, model.debt))
    # History without its hours' factors, scaled by those of the horizon's own hours: over whole days they even out.
    flat = model.returns
    if model.hour_factors.size:
        flat = model.returns / model.hour_factors[hour_of_day(model.observed_at)]
    n_draws, n_paths = len(model.draws), PATHS_FACTOR * request.n_paths_per_draw
    samples = flat[block_samples(len(flat), generator, n_draws)]
    samples -= samples.mean(axis=1, keepdims=True)
    jumps = [
        jump_moves(
            model, n_bars=max(request.horizons), n_paths_per_draw=n_paths, seed=request.seed, common=common
        ).reshape(n_draws, n_paths, -1)
        for common in (False, True)
        if len(model.jump_sizes)
    ]
    for bars in request.horizons:
        hours = math.sqrt(float(np.mean(hour_scale(model, bars) ** 2)))
        moves = hours * scaled_history(flat, bars)
        redrawn = hours * math.sqrt(bars) * samples
        if jumps:
            # Every draw has each n_draws-th of all quantiles of the history, and its bootstrap the same number.
            moves = _quantiles(moves, n_draws * n_paths).reshape(n_paths, n_draws).T + jumps[0][:, :, bars - 1]
            redrawn = _quantiles(redrawn, n_paths).T + jumps[1][:, :, bars - 1]
        for side in Side:
            losses = [simple_loss(view.ravel(), side) for view in (moves, redrawn)]
            yield bars, side, values_and_bands(losses, n_draws, request.confidences_over(bars))


def _quantiles(sample: FloatArray, count: int) -> FloatArray:
    """Equally likely quantiles (count, ...) along the last axis of a sample."""
    return np.asarray(np.quantile(sample, (np.arange(count) + 0.5) / count, axis=-1, method="hazen"))
