"""Realised variance beside the model's: ranges of bars that have open, high, low and close, and intraday returns.

An independent look at the level of variance: the models see closes only. Each estimator is held against the model's
variance of the same bars by their ratio and by QLIKE.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from risk.calibration import SubjectModel
from risk.errors import DataError
from risk.market import FloatArray, IntArray, MarketSnapshot
from risk.streams import stream
from risk.tails.one_bar import block_samples
from risk.units import DAY
from risk.validation.comparison import diebold_mariano
from risk.validation.scores import qlike
from risk.volatility.posterior import interval as ends_of
from risk.volatility.realized import RangeEstimator, range_variances, realized_variances, yang_zhang

Row = tuple[object, ...]

REALISED_SCHEMA = {
    "subject": "str", "estimator": "str", "model": "str", "n": "i8", "left_out": "i8", "volatility": "f8",
    "model_volatility": "f8", "ratio": "f8", "lower": "f8", "upper": "f8", "qlike": "f8", "constant_qlike": "f8",
    "better_p_value": "f8", "status": "str",
}  # fmt: skip
"""Volatilities are roots of mean variances, of log moves a bar (a day for intraday returns). `ratio` is the realised
volatility over the model's with its 90 % block-bootstrap interval; `qlike` scores the model's variances by the
realised ones, `constant_qlike` their mean, and the p-value is Diebold and Mariano's for "the model is better"."""
WINDOW = 20
"""Opening jumps behind each variance of Yang and Zhang."""
FEWEST = 50
FIELDS = ("open", "high", "low", "close")


def realised_rows(snapshot: MarketSnapshot, models: Mapping[str, SubjectModel], *, seed: int) -> tuple[Row, ...]:
    """Rows of every asset with a model whose bars have a range."""
    rows: list[Row] = []
    for name, model in sorted(models.items()):
        bars, left_out = _bars(snapshot, name, model.observed_at)
        kept = np.asarray(np.isfinite(bars).all(axis=1))
        for estimator, realised, expected in _pairs(bars[kept], model, kept):
            generator = stream(seed, "realised", f"{name}/{estimator}")
            rows.append(_row((name, estimator, model.model), realised, expected, left_out, generator))
    return tuple(rows)


def _bars(snapshot: MarketSnapshot, asset: str, observed_at: IntArray) -> tuple[FloatArray, int]:
    """Open, high, low and close (n, 4) of the model's bars, NaN where there is no sound bar, and how many are not."""
    out = np.full((len(observed_at), 4), np.nan)
    for column, field in enumerate(FIELDS):
        series = snapshot.field_of(asset, field)
        if series is None or not len(series):
            return np.full_like(out, np.nan), 0
        place = np.minimum(np.searchsorted(series.observed_at, observed_at), len(series) - 1)
        there = series.observed_at[place] == observed_at
        out[there, column] = series.value[place[there]]
    with np.errstate(invalid="ignore"):
        sound = (out > 0.0).all(axis=1) & (out[:, 1] >= out.max(axis=1)) & (out[:, 2] <= out.min(axis=1))
    out[~sound] = np.nan
    return out, int(np.sum(~sound))


def _pairs(
    bars: FloatArray, model: SubjectModel, kept: npt.NDArray[np.bool_]
) -> list[tuple[str, FloatArray, FloatArray]]:
    """Estimator, its variances, and the model's over the same bars."""
    own = model.variances[kept]
    pairs = [(str(kind), np.maximum(range_variances(bars, kind), 0.0), own) for kind in RangeEstimator if len(bars)]
    if len(bars) > WINDOW:
        means = np.lib.stride_tricks.sliding_window_view(own[1:], WINDOW).mean(axis=1)
        pairs.append(("yang_zhang", yang_zhang(bars, window=WINDOW), means))
    if model.interval < DAY:
        per_day = DAY // model.interval
        day = (model.observed_at - model.interval) // DAY
        _, first, count = np.unique(day, return_index=True, return_counts=True)
        inside = np.concatenate([np.arange(f, f + per_day) for f in first[count == per_day]] or [np.empty(0)]).astype(
            int
        )
        expected = model.variances[inside].reshape(-1, per_day).sum(axis=1)
        pairs.append(("intraday returns, a day", realized_variances(model.returns[inside], per_day), expected))
    return pairs


def _row(
    head: tuple[str, str, str],
    realised: FloatArray,
    expected: FloatArray,
    left_out: int,
    generator: np.random.Generator,
) -> Row:
    n = len(realised)
    if n < FEWEST or not realised.max() > 0.0:
        reason = f"needs {FEWEST} bars that move" if n < FEWEST else "bars do not move"
        return (*head, n, left_out, *[0.0] * 7, 1.0, reason)
    index = block_samples(n, generator)
    ratio = np.sqrt(realised[index].mean(axis=1) / expected[index].mean(axis=1))
    scores = qlike(realised, expected), qlike(realised, np.full(n, realised.mean()))
    try:
        better, status = diebold_mariano(*scores).p_better, "ok"
    except DataError as error:
        better, status = 1.0, f"not compared: {error.message}"
    return (
        *head, n, left_out, float(np.sqrt(realised.mean())), float(np.sqrt(expected.mean())),
        float(np.sqrt(realised.mean() / expected.mean())), *ends_of(ratio), float(scores[0].mean()),
        float(scores[1].mean()), better, status,
    )  # fmt: skip
