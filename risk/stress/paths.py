"""Joint paths of all assets on the fitted models: each asset's own dynamics under one Student-t copula.

A block of paths has its own random stream and always the same size, so that results depend neither on the number
of paths asked for nor on who computes which block. Every bar: copula normals become uniforms, each uniform picks
a shock from the asset's own quantile function, and the variance follows the GJR recursion, both under posterior draw
``path % n_draws``, whose factor on the level of variance scales the path's first. Three choices make crises common, on
purpose: one chi-square mixes a bar's shocks of all assets;
one uniform picks every asset's starting variance at the same rank; and an asset pegged to another one follows that
price times its own simulated ratio, which is independent of the market (two correlated but separate price paths
would drift apart as no wrapper does). As in all slow figures, the drift is not projected.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from scipy.special import stdtr

from risk.calibration import Calibration, SubjectModel, Unavailable
from risk.errors import DataError, EvidenceError, SettingsError
from risk.market import NUMERAIRE, FloatArray, IntArray, frozen
from risk.settings import Settings
from risk.streams import stream
from risk.tails.horizon import YEAR, hour_scale, jump_size_draws, score_driven, shocks_by_draw, tails_of
from risk.tails.outer_tail import shocks_at

BLOCK_PATHS = 200
"""Paths of one block, whatever the number of paths or workers."""


@dataclass(frozen=True, slots=True)
class JointModel:
    """What joint paths are made from.

    Attributes
    ----------
    assets
        Names of the columns; an asset comes after the one it is pegged to.
    models
        Of each asset's price, or of its ratio to the asset it is pegged to.
    pegged_to
        Column of that asset, or -1.
    lower
        (n, n) Cholesky factor of the correlation; a ratio is independent of the rest.
    degrees_of_freedom
        Of the copula.
    interval
        Bar length in seconds.
    shocks, tails
        By column, the quantile functions (n_draws or 1, n_shocks) of shocks and the tails beyond them
        (`risk.tails.outer_tail`); they follow from the models.
    """

    assets: tuple[str, ...]
    models: tuple[SubjectModel, ...]
    pegged_to: tuple[int, ...]
    lower: FloatArray
    degrees_of_freedom: float
    interval: int
    shocks: tuple[FloatArray, ...] = field(init=False)
    tails: tuple[FloatArray, ...] = field(init=False)

    def __post_init__(self) -> None:
        tables = tuple(shocks_by_draw(model) for model in self.models)
        object.__setattr__(self, "shocks", tables)
        object.__setattr__(self, "tails", tuple(tails_of(table) for table in tables))


def unavailable(calibration: Calibration, settings: Settings, assets: tuple[str, ...]) -> dict[str, str]:
    """Assets that cannot be simulated, and why; empty when all can."""
    reasons = {}
    for name in assets:
        try:
            joint_model(calibration, settings, (name,))
        except EvidenceError as error:
            reasons[name] = str(error)
    return reasons


def joint_model(calibration: Calibration, settings: Settings, assets: tuple[str, ...]) -> JointModel:
    """Gather models and dependence of the assets, and of what they are pegged to.

    Raises
    ------
    EvidenceError
        An asset has no path model, or no place in the dependence.
    DataError
        Their bars differ in length.
    SettingsError
        Pegs form a circle.
    """
    names: list[str] = []
    for name in assets:
        _add_with_peg(name, settings, calibration, names, ())
    names = [name for name in names if name != NUMERAIRE]
    models, pegs = [], []
    for name in names:
        peg = _peg(name, settings, calibration)
        model = calibration.pairs[f"{name}:{peg}"] if peg else calibration.assets.get(name)
        if model is None:
            found = calibration.model(name)
            reason = found.reason if isinstance(found, Unavailable) else "calibrated only as a pair"
            raise EvidenceError(
                f"no path model: {reason}",
                field=name,
                remedy="Give it enough history, or take it out of the market's collateral and debt",
            )
        models.append(model)
        pegs.append(names.index(peg) if peg else -1)
    intervals = {model.interval for model in models}
    if len(intervals) > 1:
        raise DataError("bars of the assets differ in length", field="stress", value=sorted(intervals))
    correlation = np.eye(len(names))
    known = {name: i for i, name in enumerate(calibration.dependence.assets)}
    free = [i for i, peg in enumerate(pegs) if peg < 0]
    for i in free:
        if names[i] not in known:
            raise EvidenceError("not in the fitted dependence", field=names[i], remedy="Make the calibration again")
    rows = [known[names[i]] for i in free]
    correlation[np.ix_(free, free)] = calibration.dependence.correlation[np.ix_(rows, rows)]
    return JointModel(
        tuple(names),
        tuple(models),
        tuple(pegs),
        frozen(np.linalg.cholesky(correlation)),
        calibration.dependence.degrees_of_freedom,
        intervals.pop() if intervals else 0,
    )


def simulate_block(joint: JointModel, *, seed: int, block: int, n_steps: int) -> FloatArray:
    """Price relatives of one block, (BLOCK_PATHS, n_steps + 1, n_assets), starting at one.

    Simple relatives in the unit of account. A path whose variance explodes holds infinities or NaN: the engine
    counts it as failed.
    """
    n_assets, shape = len(joint.assets), (BLOCK_PATHS, n_steps, len(joint.assets))
    generator, nu = stream(seed, "stress", "joint", block), joint.degrees_of_freedom
    start = (generator.permutation(BLOCK_PATHS) + generator.random(BLOCK_PATHS)) / BLOCK_PATHS
    mixing = np.sqrt(nu / generator.chisquare(nu, (BLOCK_PATHS, n_steps, 1)))
    uniform = stdtr(nu, generator.standard_normal(shape) @ joint.lower.T * mixing)
    arrival = generator.random(shape)
    log_price = np.zeros((BLOCK_PATHS, n_steps + 1, n_assets))
    path = block * BLOCK_PATHS + np.arange(BLOCK_PATHS)
    # One clock for all: that of the history that ends last.
    begin = max((int(model.observed_at[-1]) for model in joint.models), default=0)
    with np.errstate(over="ignore", invalid="ignore"):
        for column, (model, peg) in enumerate(zip(joint.models, joint.pegged_to, strict=True)):
            scale = hour_scale(model, n_steps, after=begin)
            tables = joint.shocks[column]
            shock = np.empty((BLOCK_PATHS, n_steps))
            shocks_at(
                np.ascontiguousarray(uniform[:, :, column]), path % len(tables), tables, joint.tails[column], shock
            )
            sizes = jump_size_draws(model, seed)
            moves = _moves(model, path, start, shock, arrival[:, :, column], sizes, scale)
            np.cumsum(moves, axis=1, out=log_price[:, 1:, column])
            if peg >= 0:
                log_price[:, :, column] += log_price[:, :, peg]
        return np.exp(log_price)


def simulate(joint: JointModel, *, seed: int, n_paths: int, n_steps: int) -> Iterator[FloatArray]:
    """Blocks of price relatives that together have `n_paths` paths; memory holds one block."""
    for block in range(-(-n_paths // BLOCK_PATHS)):
        yield simulate_block(joint, seed=seed, block=block, n_steps=n_steps)[: n_paths - block * BLOCK_PATHS]


def _moves(
    model: SubjectModel,
    path: IntArray,
    start: FloatArray,
    shock: FloatArray,
    arrival: FloatArray,
    sizes: FloatArray,
    scale: FloatArray,
) -> FloatArray:
    """Log moves (n_paths, n_steps) of one subject from its shocks, its jumps' uniforms and sizes, and steps' scale."""
    draw = model.draws[path % len(model.draws)]
    omega, alpha, gamma, beta, nu = (draw[:, i] for i in (1, 2, 3, 4, 5))
    driven = score_driven(model.model)
    states = np.sort(model.starting_variance)
    variance = states[(start * len(states)).astype(np.int64)]
    if len(model.level_draws):
        variance = variance * model.level_draws[path % len(model.level_draws)]
    moves = np.empty_like(shock)
    for step in range(shock.shape[1]):
        squared = variance * shock[:, step] ** 2
        moves[:, step] = scale[step] * np.sqrt(variance) * shock[:, step]
        if driven:
            squared *= (nu + 1.0) / (nu - 2.0 + shock[:, step] ** 2)
        variance = omega + (alpha + gamma * (shock[:, step] < 0)) * squared + beta * variance
    if len(model.jump_sizes):
        # One uniform decides whether a bar jumps and, where it does, evenly which of the sizes.
        chance = -np.expm1(-model.jump_intensity[path % len(model.jump_intensity)] * model.interval / YEAR)
        hit_path, hit_step = np.nonzero(arrival < chance[:, None])
        share = arrival[hit_path, hit_step] / chance[hit_path]
        moves[hit_path, hit_step] += sizes[path[hit_path] % len(sizes), (share * sizes.shape[1]).astype(np.int64)]
    return moves


def _peg(name: str, settings: Settings, calibration: Calibration) -> str | None:
    """The asset a name is simulated against: its peg, where that is an asset and the pair has a model."""
    asset = settings.assets.get(name)
    peg = asset.peg if asset is not None else None
    return peg if peg not in (None, NUMERAIRE) and f"{name}:{peg}" in calibration.pairs else None


def _add_with_peg(
    name: str, settings: Settings, calibration: Calibration, names: list[str], seen: tuple[str, ...]
) -> None:
    if name in seen:
        raise SettingsError("pegs form a circle", field=f"assets.{name}.peg", value=" > ".join((*seen, name)))
    if name in names:
        return
    peg = _peg(name, settings, calibration)
    if peg is not None:
        _add_with_peg(peg, settings, calibration, names, (*seen, name))
    names.append(name)
