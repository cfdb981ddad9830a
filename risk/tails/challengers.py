"""Forecasters of another kind beside the models that race: quantile regressions, and plain history.

CAViaR has a quantile and no law, so it cannot win a race of log scores; as the non-linear tail predictor it is held
against the model in use by quantile loss. Plain history is the sample itself, an ensemble, scored by its CRPS too.
Both see what the model in use sees: returns before each bar, over hour-of-day factors known by then.
"""

from __future__ import annotations

import numpy as np

from risk.calibration import Side
from risk.market import FloatArray
from risk.tails.figures import tail_statistics
from risk.validation.comparison import diebold_mariano
from risk.validation.coverage import coverage_test
from risk.validation.scores import crps_ensemble, quantile_loss
from risk.volatility.caviar import QuantileModel, extend_quantile, fit_caviar

Row = tuple[object, ...]

HISTORY = 250
"""Bars of plain history."""
REFIT_BARS, MOST_REFITS = 250, 10
"""Bars between the refits of a quantile regression, and the most of them in a record: longer ones are refitted less."""
LEVEL = 0.05
_FEWEST_SCORES = 20


def challenger_rows(
    head: tuple[str, int],
    returns: FloatArray,
    start: int,
    factors: FloatArray | None,
    in_use: FloatArray,
    crps_in_use: FloatArray,
    confidence: float,
    *,
    window: int,
) -> tuple[Row, ...]:
    """Rows of falls at one confidence; columns as `risk.track_record.CHALLENGER_SCHEMA`.

    Parameters
    ----------
    head
        Subject and bar length.
    returns
        (n,) log returns; forecasts are of those from `start` on.
    factors
        (n,) scale of each bar known before it, or None.
    in_use, crps_in_use
        (n - start,) value at risk as a positive log move, and CRPS, of the model in use.
    confidence
    window
        Longest window of a quantile regression.
    """
    scale = np.ones(len(returns)) if factors is None else factors
    flat = returns / scale
    rows = []
    for model in QuantileModel:
        var, status = quantile_forecasts(flat, start, model, confidence, window=window)
        rows.append(_row(head, str(model), -returns[start:], scale[start:] * var, in_use, confidence, status))
    var, crps = history_forecasts(flat, start, confidence)
    own, theirs = scale[start:] * crps, crps_in_use
    there = np.isfinite(own)
    means = (float(own[there].mean()), float(theirs[there].mean())) if there.any() else (0.0, 0.0)
    name = f"historical_{HISTORY}"
    rows.append(_row(head, name, -returns[start:], scale[start:] * var, in_use, confidence, "ok", means))
    return tuple(rows)


def quantile_forecasts(
    returns: FloatArray, start: int, model: QuantileModel, confidence: float, *, window: int
) -> tuple[FloatArray, str]:
    """Value at risk (n - start,) of falls by a quantile regression that is fitted again on a calendar.

    Each fit sees at most `window` bars before it; a refit that gives nothing leaves the last one in force. NaN until
    the first one that does.

    Returns
    -------
    The forecasts, and ``ok`` or how many refits have not converged or gave nothing.
    """
    n = len(returns)
    step = max(REFIT_BARS, -(-(n - start) // MOST_REFITS))
    refits = range(start, n, step)
    out = np.full(n - start, np.nan)
    weak = 0
    fit, began = None, start
    for origin in refits:
        found = fit_caviar(returns[max(0, origin - window) : origin], confidence=confidence, model=model)
        weak += found.status != "converged"
        if found.usable:
            fit, began = found, origin
        stop = min(origin + step, n)
        if fit is not None:
            out[origin - start : stop - start] = extend_quantile(fit, returns[began : stop - 1])[origin - began :]
    return out, "ok" if not weak else f"{weak} of {len(refits)} refits not converged or too short"


def history_forecasts(returns: FloatArray, start: int, confidence: float) -> tuple[FloatArray, FloatArray]:
    """Value at risk (n - start,) of falls and CRPS of the last `HISTORY` returns before each bar; NaN without them."""
    var, crps = (np.full(len(returns) - start, np.nan) for _ in range(2))
    first = max(start, HISTORY)
    if first < len(returns):
        members = np.lib.stride_tricks.sliding_window_view(returns, HISTORY)[first - HISTORY : -1]
        var[first - start :] = tail_statistics(-members, (confidence,))[0][:, 0]
        crps[first - start :] = crps_ensemble(returns[first:], members)
    return var, crps


def _row(
    head: tuple[str, int],
    model: str,
    losses: FloatArray,
    var: FloatArray,
    in_use: FloatArray,
    confidence: float,
    status: str,
    crps: tuple[float, float] = (0.0, 0.0),
) -> Row:
    there = np.isfinite(var)
    n = int(there.sum())
    key = (*head, model, str(Side.DOWN), confidence)
    if n < _FEWEST_SCORES:
        return (*key, n, 0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, "not compared", f"history too short; {status}")
    losses, var, in_use = losses[there], var[there], in_use[there]
    ours, theirs = quantile_loss(losses, var, confidence), quantile_loss(losses, in_use, confidence)
    fared = diebold_mariano(ours, theirs)
    hits = int(np.sum(losses > var))
    test = coverage_test(hits, n, 1.0 - confidence)
    verdict = "as good"
    if fared.p_better < LEVEL:
        verdict = "better than the model in use"
    elif 1.0 - fared.p_better < LEVEL:
        verdict = "worse than the model in use"
    return (
        *key, n, hits, n * (1.0 - confidence), test.too_many_p_value, float(ours.mean()), float(theirs.mean()),
        fared.p_better, 1.0 - fared.p_better, *crps, verdict, status,
    )  # fmt: skip
