"""Loss under run-off: what an account loses between crossing its threshold and the last slice sold.

At the crossing level the debt is D and the collateral D / LT: the start is the threshold level, not the
first price beyond it, so overshoot is a loss. A slice sold with the pair down by v from that level loses

    max(0, 1 - (1 - v) / (LT * (1 + LB)))

of its debt; the loss of an account is the mean over its slices. Since v does not depend on the threshold,
the slices of a set of paths are found once and priced for every candidate.

Where the protocol absorbs, it takes the account when the delay is over, down by v0, and pays for a dollar of collateral
at the crossing level max(LT, (1 - v0) * credit): the debt, or what the account is credited with where that is more.
That stands in the place of LT then, and the loss is per dollar that it pays.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from risk.errors import DataError
from risk.market import FloatArray, IntArray, frozen
from risk.volatility.jit import compiled


def slice_loss(move: npt.ArrayLike, threshold: float | FloatArray, bonus: float) -> FloatArray:
    """Loss of a slice per unit of its debt.

    Parameters
    ----------
    move
        Fall v of the pair from the threshold level, as a fraction; negative where it has risen.
    threshold, bonus
        Fractions; the product ``threshold * (1 + bonus)`` must be positive. The threshold may be an array that
        broadcasts with `move`: what is paid for a dollar of each crossing's collateral.

    Returns
    -------
    Array of the shape of `move`, in [0, 1]; NaN where `move` is NaN.
    """
    return np.maximum(0.0, 1.0 - (1.0 - np.asarray(move, dtype=np.float64)) / (threshold * (1.0 + bonus)))


def slice_weights(delay: int, runoff: float, interval: int) -> FloatArray:
    """Share of the debt that is sold at each bar's close, the first being the bar of the crossing.

    Slices are sold evenly from `delay` to ``delay + runoff`` seconds after the crossing. One sold in
    (k, k + 1] bars is priced at the close of the k-th bar: its price is not seen before.
    """
    if delay < 0 or runoff < 0 or interval <= 0:
        raise DataError("delay and run-off must not be negative", field="run-off", value=(delay, runoff))
    start, stop = delay / interval, (delay + runoff) / interval
    last = max(math.ceil(stop - 1e-12) - 1, 0)
    if stop - start < 1e-9:  # sold at one instant, to rounding of the bar
        return frozen([0.0] * last + [1.0])
    edges = np.clip(np.arange(last + 2, dtype=np.float64), start, stop)
    return frozen(np.diff(edges) / (stop - start))


@dataclass(frozen=True, slots=True)
class Crossings:
    """Every account that crossed its threshold on a set of paths, in the order of its worst slice, worst first.

    Made by `ranked`, which puts the rows in that order: the few that lose at a threshold are then the first.

    Attributes
    ----------
    path, account, bar
        (n,) path, account (index of its distance) and bar (first is 1) of each crossing.
    move
        (n, n_slices) fall of the pair from the threshold level at the close of each slice's bar.
    worst
        (n,) largest fall at which anything is sold, descending.
    weights
        (n_slices,) share of the debt sold in each.
    distance
        (n_accounts,) distance of each account.
    n_paths
        Paths simulated, with or without a crossing.
    basis
        What prices the slices: ``closes``, or ``closes + discrete minimum`` below a bar.
    credit
        Debt that a dollar of collateral is credited with when the protocol absorbs; None where keepers repay.
    """

    path: IntArray
    account: IntArray
    bar: IntArray
    move: FloatArray
    worst: FloatArray
    weights: FloatArray
    distance: FloatArray
    n_paths: int
    basis: str
    credit: float | None = None

    @classmethod
    def ranked(
        cls, path: IntArray, account: IntArray, bar: IntArray, move: FloatArray, weights: FloatArray,
        distance: FloatArray, n_paths: int, basis: str, credit: float | None = None,
    ) -> Crossings:  # fmt: skip
        """Crossings given in any order."""
        sold = move[:, weights > 0]
        worst = sold.max(axis=1) if sold.size else np.empty(len(move))
        order = np.argsort(-worst, kind="stable")
        return cls(
            frozen(path[order], np.int64), frozen(account[order], np.int64), frozen(bar[order], np.int64),
            frozen(move[order]), frozen(worst[order]), weights, frozen(distance), n_paths, basis, credit,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.path)

    def loss(self, threshold: float, bonus: float) -> FloatArray:
        """Loss per unit of debt, or per dollar paid, of each crossing: the mean over slices, (n,)."""
        return slice_loss(self.move, self.paid(threshold)[:, None], bonus) @ self.weights

    def paid(self, threshold: float) -> FloatArray:
        """What the pool pays, or has lent, for a dollar of collateral at the crossing level, (n,)."""
        if self.credit is None:
            return np.full(len(self), threshold)
        absorbed = self.move[:, int(np.argmax(self.weights > 0))]
        return np.maximum(threshold, (1.0 - absorbed) * self.credit)

    def at_credit(self, credit: float | None) -> Crossings:
        """The same crossings under another credit."""
        return self if credit == self.credit else dataclasses.replace(self, credit=credit)

    def losing(self, threshold: float, bonus: float) -> tuple[IntArray, FloatArray]:
        """Rows of the crossings that lose, and their losses: `loss` without its zeros.

        Where keepers repay these are the first rows, so that the few that lose are found at once.
        """
        if self.credit is not None:
            loss = self.loss(threshold, bonus)
            rows = np.flatnonzero(loss > 0)
            return rows, loss[rows]
        edge = 1.0 - threshold * (1.0 + bonus)
        count = int(np.searchsorted(-self.worst, -edge, side="left"))
        return np.arange(count), slice_loss(self.move[:count], threshold, bonus) @ self.weights

    def mean_loss(self, threshold: float, bonus: float) -> float:
        """Mean of `loss` over all crossings; zero where nothing crossed."""
        return float(self.losing(threshold, bonus)[1].sum()) / len(self) if len(self) else 0.0

    @classmethod
    def joined(cls, blocks: Sequence[Crossings]) -> Crossings:
        """Crossings of independent sets of paths as those of one set, the paths numbered on."""
        first = blocks[0]
        if len(blocks) == 1:
            return first
        offsets = np.cumsum([0, *(block.n_paths for block in blocks)])
        return cls.ranked(
            np.concatenate([block.path + offset for block, offset in zip(blocks, offsets, strict=False)]),
            np.concatenate([block.account for block in blocks]),
            np.concatenate([block.bar for block in blocks]),
            np.concatenate([block.move for block in blocks]),
            first.weights, first.distance, int(offsets[-1]), first.basis, first.credit,
        )  # fmt: skip

    def of_paths(self, mask: npt.NDArray[np.bool_]) -> Crossings:
        """Crossings on the paths that `mask` (n_paths,) selects, renumbered; their order stays."""
        renumbered = np.cumsum(mask) - 1
        kept = mask[self.path]
        return Crossings(
            frozen(renumbered[self.path[kept]], np.int64), frozen(self.account[kept], np.int64),
            frozen(self.bar[kept], np.int64), frozen(self.move[kept]), frozen(self.worst[kept]),
            self.weights, self.distance, int(mask.sum()), self.basis, self.credit,
        )  # fmt: skip


def find_crossings(
    log_price: FloatArray,
    distance: FloatArray,
    weights: FloatArray,
    *,
    life: int,
    deviation: float = 0.0,
    correction: float = 0.0,
    credit: float | None = None,
) -> Crossings:
    """Find where accounts cross their threshold, and how the pair moves while they are sold.

    Parameters
    ----------
    log_price
        (n_paths, n_bars + 1) log price of the pair; accounts open at the first column.
    distance
        (n_accounts,) fall of the pair that brings each account to its threshold, in (0, 1).
    weights
        (n_slices,) of `slice_weights`.
    life
        Bars in which a crossing counts; paths must go on for the slices: n_bars >= life + n_slices - 1.
    deviation
        Deviation threshold of the oracle: it compounds into the move, 1 - (1 - deviation)(1 - v).
    correction
        Log move added where the run-off is shorter than a bar (`risk.tails.horizon.discrete_minimum_correction`).
    credit
        Of `Crossings`.
    """
    n_slices = len(weights)
    if log_price.shape[1] < life + n_slices:
        raise DataError("paths end before the last slice is sold", field="run-off", value=log_price.shape[1])
    level = np.log1p(-np.asarray(distance, dtype=np.float64))
    bars = _first_crossings(log_price, level, life)
    path, account = np.nonzero(bars <= life)
    bar = bars[path, account]
    fallen = log_price[path[:, None], bar[:, None] + np.arange(n_slices)] - log_price[path, :1]
    gap = fallen - level[account, None] - correction + math.log1p(-deviation)
    basis = "closes + discrete minimum" if correction else "closes"
    return Crossings.ranked(path, account, bar, -np.expm1(gap), weights, distance, len(log_price), basis, credit)


@compiled
def _first_crossings(log_price: FloatArray, level: FloatArray, life: int) -> IntArray:
    """First bar at which each path (rows) stands at or below each level (columns); life + 1 where it never does."""
    n_paths, n_levels = log_price.shape[0], level.shape[0]
    bars = np.full((n_paths, n_levels), life + 1, dtype=np.int64)
    highest = level.max()
    for path in range(n_paths):
        lowest = math.inf
        for bar in range(1, life + 1):
            fallen = log_price[path, bar] - log_price[path, 0]
            if fallen >= lowest or fallen > highest:
                continue
            lowest = fallen
            for index in range(n_levels):
                if bars[path, index] > life and fallen <= level[index]:
                    bars[path, index] = bar
    return bars
