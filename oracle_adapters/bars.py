"""Common bars of several series, and the last value known on each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from risk.market import IntArray, PriceSeries


def bar_ends(series: Sequence[PriceSeries]) -> tuple[IntArray, int]:
    """Ends (n,) and length of the common bars: those of the finest series, as far as they fit the first of them."""
    interval = min(one.interval for one in series)
    finest = [one for one in series if one.interval == interval]
    phase = int(finest[0].observed_at[0]) % interval
    fitting = [one for one in finest[1:] if (one.observed_at % interval == phase).all()]
    # Sorting is many times faster than np.unique, which hashes.
    ends = np.sort(np.concatenate([finest[0].observed_at, *(one.observed_at for one in fitting)]))
    return ends[np.concatenate(([True], np.diff(ends) > 0))], interval


def last_known(series: PriceSeries, grid: IntArray) -> IntArray:
    """Number (n,) of the last value observed at or before each instant; -1 where there is none."""
    found: IntArray = np.searchsorted(series.observed_at, grid, side="right") - 1
    return found


def values_at(series: Mapping[str, PriceSeries], instant: int) -> dict[str, float]:
    """Last value of each at an instant, by name; without those that have none yet."""
    at = np.array([instant])
    found = {name: (one, int(last_known(one, at)[0])) for name, one in series.items()}
    return {name: float(one.value[i]) for name, (one, i) in found.items() if i >= 0}


def positive(series: PriceSeries) -> PriceSeries:
    """The bars with a price above zero: one of zero or less is no price, and has its own row in the quality table."""
    good = series.value > 0
    return (
        series
        if good.all()
        else replace(
            series, observed_at=series.observed_at[good], known_at=series.known_at[good], value=series.value[good]
        )
    )
