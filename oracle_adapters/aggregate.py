"""Several sources of one price made into one: the median of those that are alive on a bar.

A source votes on a bar with its last known value, never a later one, while that is fresh; one that stood still
while two others moved does not vote. Where a majority agrees its median is the price and who is further off is
outvoted. Where none does, as with two sources that differ, the bar is contested: the value nearest to the last
price that was agreed on is taken, and the bar is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from oracle_adapters.bars import bar_ends, last_known, positive
from oracle_adapters.quality.standstill import standing
from risk.market import BoolArray, FloatArray, IntArray, PriceSeries, frozen


@dataclass(frozen=True, slots=True)
class Source:
    """One feed of a price, as far as voting goes.

    Attributes
    ----------
    fields
        Its series; the close is among them.
    heartbeat
        Seconds for which an on-chain feed's last update counts; None for bars.
    """

    fields: tuple[PriceSeries, ...]
    heartbeat: int | None = None

    @property
    def close(self) -> PriceSeries:
        """Its closes."""
        return next(one for one in self.fields if one.field == "close")

    def voting(self) -> Source:
        """The source without prices of zero or less, which are no votes."""
        return replace(self, fields=tuple(one if one.field == "volume" else positive(one) for one in self.fields))


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One price made of several, and who said what.

    Attributes
    ----------
    series
        Fields of the price in the order of their names: the close, sums of volumes, and medians of the open,
        high and low of sources that carry the bar.
    sources
        Names of the sources, in order.
    value
        (n_bars, n_sources) last known close; NaN where it was not fresh.
    votes
        (n_bars, n_sources) whether the source voted.
    still
        (n_bars, n_sources) whether it stood still while the others moved.
    deviation
        (n_bars, n_sources) log deviation from the price; NaN where the source has no value.
    outvoted
        (n_bars, n_sources) whether a vote lies beyond the tolerance.
    contested
        (n_bars,) whether no majority agreed.
    """

    series: tuple[PriceSeries, ...]
    sources: tuple[str, ...]
    value: FloatArray
    votes: BoolArray
    still: BoolArray
    deviation: FloatArray
    outvoted: BoolArray
    contested: BoolArray

    @property
    def close(self) -> PriceSeries:
        """The aggregate's closes."""
        return next(one for one in self.series if one.field == "close")

    @property
    def confirmed(self) -> BoolArray:
        """Bars (n_bars,) on which two sources agree."""
        return np.asarray(((self.votes & ~self.outvoted).sum(axis=1) >= 2) & ~self.contested)

    def others(self, source: int) -> FloatArray:
        """Median (n_bars,) of the closes of all sources but one; NaN where there is none."""
        return _row_median(np.delete(self.value, source, axis=1))


def aggregate(sources: Sequence[Source], tolerance: float) -> Aggregate:
    """One price from the sources of one pair.

    The bars are those of the finest sources, as far as their ends fit the first one's; a coarser source votes
    on the bars that it reaches. Sources that update by heartbeat get bars of their interval where there is no
    other.

    Parameters
    ----------
    sources
        Feeds of one base and quote, in order; prices above zero.
    tolerance
        Relative deviation from the median up to which sources agree; two sources must agree with each other.

    Returns
    -------
    Aggregate
        Its close has the bars on which at least one source was alive.
    """
    grid, interval = _grid(sources)
    value, known = _last_known(sources, grid, interval)
    alive = np.isfinite(value).any(axis=1)
    grid, value, known = grid[alive], value[alive], known[alive]
    present = np.isfinite(value)
    still = np.zeros_like(present)
    for j in range(len(sources)):
        still[:, j] = standing(value[:, j], np.delete(value, j, axis=1), tolerance) & present[:, j]
    # Of two sources nobody can say which of them stands still wrongly.
    votes = present & ~(still & (present.sum(axis=1) > 2)[:, None])
    votes[~votes.any(axis=1)] = present[~votes.any(axis=1)]
    ballots = np.where(votes, value, np.nan)
    price, contested = _settled(ballots, np.log1p(tolerance))
    deviation = np.log(value / price[:, None])
    outvoted = votes & (np.abs(deviation) > np.log1p(tolerance)) & (votes.sum(axis=1) > 1)[:, None]
    first = sources[0].close
    names = tuple(one.close.source for one in sources)
    made = f"median({', '.join(names)})" if len(names) > 1 else f"bars({names[0]})"
    close = PriceSeries(
        f"{first.base}/{first.quote}@{made}", first.base, first.quote, made, "close", interval,
        grid, np.where(votes, known, 0).max(axis=1), price,
    )  # fmt: skip
    carrying = votes & ~outvoted
    fields = [close, *_ranges(sources, close, carrying), *_volume(sources, close)]
    return Aggregate(
        tuple(sorted(fields, key=lambda one: one.field)), names, frozen(value), frozen(votes, np.bool_),
        frozen(still, np.bool_), frozen(deviation), frozen(outvoted, np.bool_), frozen(contested, np.bool_),
    )  # fmt: skip


def _grid(sources: Sequence[Source]) -> tuple[IntArray, int]:
    """Ends of the aggregate's bars, and their length."""
    barred = [one.close for one in sources if one.heartbeat is None]
    if not barred:
        interval = min(one.close.interval for one in sources)
        first = min(int(one.close.observed_at[0]) for one in sources)
        last = max(int(one.close.observed_at[-1]) for one in sources)
        return np.arange(-(-first // interval), last // interval + 1, dtype=np.int64) * interval, interval
    return bar_ends(barred)


def _last_known(sources: Sequence[Source], grid: IntArray, interval: int) -> tuple[FloatArray, IntArray]:
    """Last close (n, m) observed at or before each bar's end while it is fresh, else NaN, and when it was known."""
    value = np.full((len(grid), len(sources)), np.nan)
    known = np.zeros((len(grid), len(sources)), dtype=np.int64)
    for j, source in enumerate(sources):
        close = source.close
        at = last_known(close, grid)
        # A bar is fresh until the next one is due, an on-chain update for a heartbeat and its delay.
        lifetime = interval if source.heartbeat is None else max(interval, 2 * source.heartbeat)
        fresh = (at >= 0) & (grid - close.observed_at[at] < lifetime)
        value[fresh, j] = close.value[at[fresh]]
        known[fresh, j] = close.known_at[at[fresh]]
    return value, known


def _settled(ballots: FloatArray, tolerance: float) -> tuple[FloatArray, BoolArray]:
    """The price (n,) that a majority agrees on within a log tolerance, and the bars (n,) without one.

    Of two votes each is compared with the other: both are half as far from their median.
    """
    voters = np.isfinite(ballots).sum(axis=1)
    median = _row_median(ballots)
    distance = np.abs(np.log(ballots / median[:, None])) * np.where(voters == 2, 2.0, 1.0)[:, None]
    with np.errstate(invalid="ignore"):
        agreeing = (distance <= tolerance).sum(axis=1)
    contested: BoolArray = (voters > 1) & (2 * agreeing <= voters)
    price = median.copy()
    agreed = np.maximum.accumulate(np.where(contested, -1, np.arange(len(price))))
    disputed = np.flatnonzero(contested & (agreed >= 0))
    if len(disputed):
        reference = median[agreed[disputed]]
        away = np.abs(np.log(ballots[disputed] / reference[:, None]))
        price[disputed] = ballots[disputed, np.nanargmin(away, axis=1)]
    return price, contested


def _ranges(sources: Sequence[Source], close: PriceSeries, carrying: BoolArray) -> list[PriceSeries]:
    """Open, high and low: medians over the sources that carry a bar; each range holds its close and open."""
    found: dict[str, FloatArray] = {}
    for name in ("open", "high", "low"):
        values = np.full(carrying.shape, np.nan)
        for j, source in enumerate(sources):
            for one in source.fields:
                if one.field == name and one.interval == close.interval:
                    _, here, there = np.intersect1d(close.observed_at, one.observed_at, return_indices=True)
                    values[here, j] = one.value[there]
        found[name] = _row_median(np.where(carrying, values, np.nan))
    inside = np.where(np.isfinite(found["open"]), found["open"], close.value)
    found["high"] = np.maximum(found["high"], np.maximum(close.value, inside))
    found["low"] = np.minimum(found["low"], np.minimum(close.value, inside))
    return [_field(close, name, value) for name, value in found.items() if np.isfinite(value).any()]


def _volume(sources: Sequence[Source], close: PriceSeries) -> list[PriceSeries]:
    """Sum of the volumes that end with each bar; whoever is outvoted traded all the same."""
    total = np.full(len(close), np.nan)
    for one in (one for source in sources for one in source.fields):
        if one.field == "volume" and one.interval == close.interval:
            _, here, there = np.intersect1d(close.observed_at, one.observed_at, return_indices=True)
            total[here] = np.nan_to_num(total[here]) + one.value[there]
    return [_field(close, "volume", total)] if np.isfinite(total).any() else []


def _field(close: PriceSeries, name: str, value: FloatArray) -> PriceSeries:
    there = np.isfinite(value)
    return PriceSeries(
        close.id, close.base, close.quote, close.source, name, close.interval,
        close.observed_at[there], close.known_at[there], value[there],
    )  # fmt: skip


def _row_median(values: FloatArray) -> FloatArray:
    """Median (n,) of each row's finite values; NaN where a row has none."""
    if not values.shape[1]:
        return np.full(len(values), np.nan)
    ordered, count = np.sort(values, axis=1), np.isfinite(values).sum(axis=1)  # NaN comes last
    row = np.arange(len(values))
    median: FloatArray = (ordered[row, np.maximum(count - 1, 0) // 2] + ordered[row, count // 2]) / 2
    return median
