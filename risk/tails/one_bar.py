"""Figures of the next bar that need no paths: Student-t forecasts in closed form, and the sample itself."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from risk.calibration import Measure, RiskFigure, Side, SubjectModel
from risk.market import FloatArray, IntArray
from risk.streams import stream
from risk.tails.figures import LOG_MOVE_CAP, Estimate, FigureRequest, figure, simple_loss, tail_statistics
from risk.tails.horizon import hour_scale, stream_subject
from risk.volatility.posterior import interval

BOOTSTRAP_SAMPLES = 200
FEW_BEYOND = 20.0
UNCOVERED = "interval_covers_too_little"
"""In the status of a sample's own figure with fewer than `FEW_BEYOND` bars beyond it: no bootstrap sees the tail that
was not drawn. With five of them 90 % intervals held 63 % of true quantiles and 33 % of true expected shortfalls."""
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(48)
_TAIL_NODES = (0.5 * (_NODES + 1.0)) ** 4  # a power spaces the nodes towards the far tail, where quantiles are steep
_TAIL_WEIGHTS = 2.0 * _WEIGHTS * (0.5 * (_NODES + 1.0)) ** 3


def parametric_figures(
    model: SubjectModel, draws: FloatArray, *, method: str, confidences: Sequence[float]
) -> list[RiskFigure]:
    """Figures of a Student-t forecast of the next bar, mixed over posterior draws.

    The value is that of the mixture, the band the 90 % interval of the single draws'.

    Parameters
    ----------
    model
        Whose subject and history the figures are labelled with, and whose factor the hour of the next bar has.
    draws
        (n_draws, 7) in the order of `risk.calibration.DRAW_COLUMNS`, of the volatility model `method`.
    """
    from scipy.optimize import brentq
    from scipy.special import stdtr, stdtrit

    ahead = hour_scale(model, 1)[0]
    mu, nu, variance = ahead * draws[:, 0], draws[:, 5], ahead**2 * draws[:, 6]
    scale = np.sqrt(variance * (nu - 2.0) / nu)
    figures = []
    for side in Side:
        sign = -1.0 if side is Side.DOWN else 1.0

        def exceedance(cut: float, sign: float = sign) -> FloatArray:
            """Probability under each draw of a log move beyond `cut`."""
            return np.asarray(stdtr(nu, -sign * (cut - mu) / scale))

        for confidence in confidences:
            outside = 1.0 - confidence
            each = mu - sign * scale * stdtrit(nu, outside)
            low, high = float(each.min()), float(each.max())
            cut = low
            if high - low > 1e-12:
                cut = float(brentq(lambda x, outside=outside: exceedance(x).mean() - outside, low, high, xtol=1e-12))
            beyond = _mean_beyond(exceedance(cut), mu, scale, nu, side)
            shortfalls = _mean_beyond(np.full(len(nu), outside), mu, scale, nu, side) / outside
            quantile = Estimate(float(simple_loss(np.array(cut), side)), *interval(simple_loss(each, side)))
            shortfall = Estimate(float(beyond.mean()) / outside, *interval(shortfalls))
            figures += [
                figure(model, Measure.VALUE_AT_RISK, confidence, 1, side, method, quantile),
                figure(model, Measure.EXPECTED_SHORTFALL, confidence, 1, side, method, shortfall),
            ]
    return [*figures, volatility_figure(model, draws[:, 6], method=method)]


def volatility_figure(model: SubjectModel, variance: FloatArray, *, method: str) -> RiskFigure:
    """Volatility of the next bar's log move: root of the mean variance over draws (n_draws,), in the bar's hour.

    Of ewma_t, whose weights are declared and not estimated, the band has no width; the status says so.
    """
    notes = () if np.ptp(variance) > 0.0 else ("no_parameter_uncertainty",)
    variance = hour_scale(model, 1)[0] ** 2 * variance
    estimate = Estimate(math.sqrt(float(np.mean(variance))), *interval(np.sqrt(variance)), notes)
    return figure(model, Measure.VOLATILITY, 0.0, 1, Side.DOWN, method, estimate)


def historical_figures(model: SubjectModel, request: FigureRequest) -> list[RiskFigure]:
    """Figures of the sample's own bars, with bands from a circular block bootstrap (Politis and Romano 1992).

    See `block_samples`.
    """
    returns = model.returns
    generator = stream(request.seed, "bootstrap", stream_subject(model.collateral, model.debt))
    index = block_samples(len(returns), generator)
    figures = []
    for side in Side:
        losses = simple_loss(returns, side)
        values = tail_statistics(losses[None], request.confidences)
        samples = tail_statistics(losses[index], request.confidences)
        for kind, measure in enumerate((Measure.VALUE_AT_RISK, Measure.EXPECTED_SHORTFALL)):
            for i, confidence in enumerate(request.confidences):
                few = len(returns) * (1.0 - confidence) < FEW_BEYOND
                estimate = Estimate(
                    float(values[kind][0, i]), *interval(samples[kind][:, i]), (UNCOVERED,) if few else ()
                )
                figures.append(figure(model, measure, confidence, 1, side, "historical", estimate))
    estimate = Estimate(float(returns.std()), *interval(returns[index].std(axis=1)))
    return [*figures, figure(model, Measure.VOLATILITY, 0.0, 1, Side.DOWN, "historical", estimate)]


def block_samples(n: int, generator: np.random.Generator, count: int = BOOTSTRAP_SAMPLES) -> IntArray:
    """Positions (count, n) of a circular block bootstrap.

    Blocks are 2 n^(1/3) bars long: the rate of Hall, Horowitz and Jing (1995), doubled to keep most of the
    clustering.
    """
    length = max(1, round(2.0 * n ** (1.0 / 3.0)))
    first = generator.integers(n, size=(count, -(-n // length), 1))
    index: IntArray = ((first + np.arange(length)) % n).reshape(count, -1)[:, :n]
    return index


def _mean_beyond(probability: FloatArray, mu: FloatArray, scale: FloatArray, nu: FloatArray, side: Side) -> FloatArray:
    """Integral of each draw's simple loss over its outermost `probability` (n_draws,), by Gauss-Legendre nodes.

    Beyond the cap of moves up the loss is constant, and that part of the integral is exact.
    """
    from scipy.special import stdtr, stdtrit

    sign = -1.0 if side is Side.DOWN else 1.0
    capped = np.zeros_like(probability)
    if side is Side.UP:
        capped = np.minimum(stdtr(nu, -(LOG_MOVE_CAP - mu) / scale), probability)
    width = probability - capped
    share = capped[:, None] + width[:, None] * _TAIL_NODES
    move = mu[:, None] - sign * scale[:, None] * stdtrit(nu[:, None], share)
    loss = simple_loss(move, side)
    result: FloatArray = width * (loss @ _TAIL_WEIGHTS) + capped * math.expm1(LOG_MOVE_CAP)
    return result
