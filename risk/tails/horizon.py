"""Paths of one subject over a horizon: filtered historical simulation with posterior draws and peg jumps.

Each bar moves the log price by sqrt(h) z, z from the subject's shocks, and the variance by
h' = omega + (alpha + gamma 1[z < 0]) h z^2 + beta h (Barone-Adesi, Giannopoulos and Vosper 1999; Glosten,
Jagannathan and Runkle 1993); in the score-driven t, z^2 there weighs (nu + 1) / (nu - 2 + z^2) (Creal, Koopman and
Lucas 2013). The drift mu is *not* projected: the mean of past returns is noise over weeks. A peg
jump adds to the price and not to the variance. Within a day each bar's move is multiplied by the factor of its hour.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from risk.calibration import SubjectModel
from risk.errors import DataError
from risk.market import NUMERAIRE, FloatArray, IntArray, frozen
from risk.streams import stream
from risk.tails.outer_tail import outer_tails, shock_at
from risk.tails.shocks import SHOCK_COUNT, draw_nodes
from risk.units import DAY
from risk.volatility.jit import compiled
from risk.volatility.models import VolatilityModel
from risk.volatility.seasonality import hour_of_day

Start = Literal["conditional", "through_the_cycle"]

DISCRETE_MINIMUM = 0.5826
"""-zeta(1/2) / sqrt(2 pi): Broadie, Glasserman and Kou (1997), A continuity correction for discrete barriers."""
YEAR = 365.25 * DAY


@dataclass(frozen=True, slots=True)
class Paths:
    """Simulated paths.

    Attributes
    ----------
    log_price
        (n_draws * n_paths_per_draw, n_bars + 1) log price relative to the start, whose column is zero.
    draw_index
        (n_draws * n_paths_per_draw,) the posterior draw that each path was made with.
    """

    log_price: FloatArray
    draw_index: IntArray


def bars_of(seconds: int, interval: int) -> int:
    """Bars of `interval` seconds that cover a horizon: rounded up, at least one."""
    return max(1, -(-seconds // interval))


def discrete_minimum_correction(sigma: float, fraction: float) -> float:
    """Expected gap between the minimum seen at discrete times and the true one, as a log move.

    Parameters
    ----------
    sigma
        Volatility of log moves over one unit of time, e.g. a day.
    fraction
        Time between observations in that unit, e.g. 1/24.
    """
    return DISCRETE_MINIMUM * sigma * math.sqrt(fraction)


def stream_subject(collateral: str, debt: str) -> str:
    """Name of the random streams of a subject: a pair against the unit of account is the asset itself."""
    return collateral if debt == NUMERAIRE else f"{collateral}:{debt}"


def hour_scale(model: SubjectModel, n_bars: int, *, after: int | None = None) -> FloatArray:
    """What the moves of the bars after the history are multiplied by (n_bars,): the factor of each bar's hour.

    Ones for a model without factors.

    Parameters
    ----------
    after
        Unix second at which the first bar begins; by default the end of the model's history.
    """
    if not model.hour_factors.size:
        return np.ones(n_bars)
    begin = int(model.observed_at[-1]) if after is None else after
    scale: FloatArray = model.hour_factors[hour_of_day(begin + model.interval * np.arange(1, n_bars + 1))]
    return scale


def score_driven(model: str) -> bool:
    """Whether the square of a shock z weighs (nu + 1) / (nu - 2 + z^2) in a model's next variance, and not one."""
    return model == VolatilityModel.SCORE_T


def simulate(
    model: SubjectModel,
    *,
    n_bars: int,
    n_paths_per_draw: int,
    seed: int,
    start: Start,
    common: bool = True,
    shocks: FloatArray | None = None,
    block: int = 0,
) -> Paths:
    """Simulate the log price of a subject.

    Parameters
    ----------
    model
        Its draws, shocks, starting variances and jumps.
    n_bars, n_paths_per_draw
        Length, and number under each posterior draw.
    seed
        Seed of the run. A longer simulation continues the shorter one of the same number of paths.
    start
        ``conditional``: from the next bar's variance under each draw. ``through_the_cycle``: from the subject's
        starting variances, each stratum of them equally often.
    common
        Whether path j has the same random numbers under every draw (to compare draws), or numbers of its own
        (to estimate the mixture over draws). Each bar's shocks are stratified over the paths, so that tails
        are hit as often as they should be (Latin hypercube, McKay, Beckman and Conover 1979).
    shocks
        (n_draws, n_shocks) a quantile function for each draw, instead of the model's own.
    block
        Which of any number of independent simulations of the same size.

    Raises
    ------
    DataError
        No bars or no paths.
    """
    if n_bars < 1 or n_paths_per_draw < 1:
        raise DataError("a simulation has at least one bar and one path", value=(n_bars, n_paths_per_draw))
    n_draws = len(model.draws)
    n_random = n_paths_per_draw if common else n_draws * n_paths_per_draw
    subject = stream_subject(model.collateral, model.debt)
    draw_index = np.repeat(np.arange(n_draws), n_paths_per_draw)
    column = np.tile(np.arange(n_random), n_draws) if common else np.arange(n_random)
    if start == "conditional":
        first = model.draws[draw_index, 6]
    else:
        states = np.sort(model.starting_variance)
        uniform = _stratified(stream(seed, "starts", subject, block), 1, n_random)[0]
        first = states[(uniform * len(states)).astype(np.int64)][column]
        if len(model.level_draws):
            first = first * model.level_draws[draw_index]
    arrival, rank, probability = _jumps(model, seed, n_bars, n_random, block)
    tables = np.ascontiguousarray(shocks_by_draw(model) if shocks is None else shocks)
    log_price = np.empty((len(column), n_bars + 1))
    tails = tails_of(tables)
    _walk(
        np.ascontiguousarray(_stratified(stream(seed, "paths", subject, block), n_bars, n_random).T),
        column,
        draw_index,
        first,
        np.ascontiguousarray(model.draws),
        tables,
        tails,
        arrival,
        rank,
        jump_size_draws(model, seed),
        probability,
        hour_scale(model, n_bars),
        score_driven(model.model),
        log_price,
    )
    return Paths(frozen(log_price), frozen(draw_index, np.int64))


def shocks_by_draw(model: SubjectModel) -> FloatArray:
    """Quantile functions (n_draws, n_shocks) of the model's shocks; one row where they hold under every draw."""
    if not len(model.shock_draws):
        return np.atleast_2d(model.shocks)
    position = np.arange(SHOCK_COUNT)
    return np.array([np.interp(position, draw_nodes(), row) for row in model.shock_draws])


def tails_of(tables: FloatArray) -> FloatArray:
    """What lies beyond quantile functions (n_rows, n_shocks), as `risk.tails.outer_tail.outer_tails`.

    A table that stands alone may be a sample's own and ends there; tables of draws go on as their laws do.
    """
    return outer_tails(tables) if len(tables) > 1 else np.zeros((len(tables), 2, 2))


def _stratified(generator: np.random.Generator, n_bars: int, count: int) -> FloatArray:
    """Uniforms (n_bars, count), one in each of `count` strata a bar, in random order."""
    out = np.empty((n_bars, count))
    for bar in range(n_bars):
        out[bar] = (generator.permutation(count) + generator.random(count)) / count
    return out


def _jumps(
    model: SubjectModel, seed: int, n_bars: int, count: int, block: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Uniforms of arrival and of size (n_bars, count), and each draw's probability of a jump in a bar.

    A path jumps where the uniform lies below the probability, so that more intensity means more of the same jumps.
    Without a peg there is one column that never jumps.
    """
    if not len(model.jump_sizes):
        return np.ones((n_bars, 1)), np.zeros((n_bars, 1)), np.zeros(len(model.draws))
    generator = stream(seed, "jumps", stream_subject(model.collateral, model.debt), block)
    uniform = generator.random((n_bars, 2, count))
    probability: FloatArray = -np.expm1(-model.jump_intensity * model.interval / YEAR)
    return np.ascontiguousarray(uniform[:, 0]), np.ascontiguousarray(uniform[:, 1]), probability


def jump_size_draws(model: SubjectModel, seed: int) -> FloatArray:
    """Equally likely log sizes of jumps under each draw (n_draws, n_sizes), ascending; one zero where there are none.

    A few depegs do not tell how far the next one goes: each draw has a bootstrap of the pool's. The bootstrap is
    balanced (Davison, Hinkley and Schechtman 1986), so that the mixture over draws has the pool's sizes alike.
    """
    n_draws, count = len(model.draws), len(model.jump_sizes)
    if not count:
        return np.zeros((n_draws, 1))
    generator = stream(seed, "jump_sizes", stream_subject(model.collateral, model.debt))
    chosen = generator.permutation(np.tile(np.arange(count), n_draws)).reshape(n_draws, count)
    sizes: FloatArray = np.sort(model.jump_sizes[chosen], axis=1)
    return sizes


def jump_moves(model: SubjectModel, *, n_bars: int, n_paths_per_draw: int, seed: int, common: bool) -> FloatArray:
    """What jumps alone add to the paths of `simulate` with the same arguments: log moves (n_paths, n_bars) so far."""
    n_draws = len(model.draws)
    n_random = n_paths_per_draw if common else n_draws * n_paths_per_draw
    arrival, rank, probability = _jumps(model, seed, n_bars, n_random, 0)
    sizes = jump_size_draws(model, seed)
    column = np.tile(np.arange(n_random), n_draws) if common else np.arange(n_random)
    column %= arrival.shape[1]
    bar, path = np.nonzero(arrival[:, column] < np.repeat(probability, n_paths_per_draw))
    moves = np.zeros((len(column), n_bars))
    moves[path, bar] = sizes[path // n_paths_per_draw, (rank[bar, column[path]] * sizes.shape[1]).astype(np.int64)]
    return np.asarray(np.cumsum(moves, axis=1))


@compiled
def _walk(
    uniform: FloatArray,
    column: IntArray,
    draw_index: IntArray,
    first: FloatArray,
    draws: FloatArray,
    shocks: FloatArray,
    tails: FloatArray,
    arrival: FloatArray,
    rank: FloatArray,
    sizes: FloatArray,
    probability: FloatArray,
    scale: FloatArray,
    driven: bool,
    log_price: FloatArray,
) -> None:
    """Write each path into `log_price`; the arguments are those that `simulate` prepares."""
    n_bars = uniform.shape[1]
    for path in range(column.shape[0]):
        draw = draw_index[path]
        row = draw if shocks.shape[0] > 1 else 0
        omega, alpha, gamma, beta = draws[draw, 1], draws[draw, 2], draws[draw, 3], draws[draw, 4]
        nu = draws[draw, 5]
        h = first[path]
        level = 0.0
        log_price[path, 0] = 0.0
        for bar in range(n_bars):
            z = shock_at(uniform[column[path], bar], shocks[row], tails[row])
            level += scale[bar] * math.sqrt(h) * z
            other = column[path] % arrival.shape[1]
            if arrival[bar, other] < probability[draw]:
                level += sizes[draw, int(rank[bar, other] * sizes.shape[1])]
            log_price[path, bar + 1] = level
            impact = alpha + (gamma if z < 0.0 else 0.0)
            if driven:
                impact *= (nu + 1.0) / (nu - 2.0 + z * z)
            h = omega + impact * h * z * z + beta * h
