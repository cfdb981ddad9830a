"""The term structure beyond a day: two views combined, with a band.

Each row is the equal-weight mean of the conditional simulation and of scaled unconditional history (see
`risk.tails.combination`). Its band adds half of each view's own 90 % band, as if both erred together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from risk.calibration import Measure, RiskFigure, Side, SubjectModel
from risk.settings import Settings
from risk.streams import stream
from risk.tails.combination import life_confidence, scaled_history
from risk.tails.figures import FigureRequest, simple_loss, tail_statistics
from risk.tails.horizon import hour_scale, stream_subject
from risk.tails.one_bar import block_samples
from risk.volatility.posterior import interval
from risk.volatility.seasonality import hour_of_day

Row = tuple[object, ...]

TERM_SCHEMA = {
    "subject": "str", "side": "str", "horizon": "i8", "confidence": "f8", "basis": "str", "conditional": "f8",
    "scaled_history": "f8", "value_at_risk": "f8", "lower": "f8", "upper": "f8", "expected_shortfall": "f8",
    "n_observations": "i8", "status": "str",
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


def term_rows(model: SubjectModel, conditional: Sequence[RiskFigure], request: FigureRequest) -> tuple[Row, ...]:
    """Rows of `TERM_SCHEMA` from figures of the conditional simulation at every confidence of `request`."""
    found = {(f.measure, f.side, f.horizon, f.confidence): f for f in conditional}
    generator = stream(request.seed, "term_structure", stream_subject(model.collateral, model.debt))
    # History without its hours' factors, scaled by those of the horizon's own hours: over whole days they even out.
    flat = model.returns
    if model.hour_factors.size:
        flat = model.returns / model.hour_factors[hour_of_day(model.observed_at)]
    samples = flat[block_samples(len(flat), generator)]
    rows: list[Row] = []
    for bars in request.horizons:
        levels = request.confidences_over(bars)
        hours = math.sqrt(float(np.mean(hour_scale(model, bars) ** 2)))
        for side in Side:
            slow, slow_mean = tail_statistics(simple_loss(hours * scaled_history(flat, bars), side)[None], levels)
            moves = (samples - samples.mean(axis=1, keepdims=True)) * (hours * math.sqrt(bars))
            redrawn, _ = tail_statistics(simple_loss(moves, side), levels)
            for column, level in enumerate(levels):
                key = (side, bars * model.interval, level)
                own, mean = found[Measure.VALUE_AT_RISK, *key], found[Measure.EXPECTED_SHORTFALL, *key]
                low, high = interval(redrawn[:, column])
                views = [(own.value, own.lower, own.upper), (float(slow[0, column]), low, high)]
                # Over one bar the conditional simulation stands alone.
                weights = (1.0, 0.0) if bars == 1 else (0.5, 0.5)
                value, lower, upper = (sum(w * v[i] for w, v in zip(weights, views, strict=True)) for i in range(3))
                shortfall = weights[0] * mean.value + weights[1] * float(slow_mean[0, column])
                notes = [] if own.status == "ok" else [own.status]
                if bars > 1 and (1.0 - level) * len(model.returns) < NEEDED:
                    notes.append("history_thin_beyond_quantile")
                rows.append(
                    (
                        model.subject, str(side), bars * model.interval, level,
                        "declared" if level in request.confidences else "life", own.value, views[1][0],
                        max(value, 0.0), max(min(lower, value), 0.0), max(upper, value), max(shortfall, 0.0),
                        len(model.returns), ", ".join(notes) or "ok",
                    )
                )  # fmt: skip
    return tuple(rows)
