"""Prices and other values over time: when each is about, and when the public could know it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from risk.errors import DataError

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


def frozen(values: npt.ArrayLike, dtype: type = np.float64) -> npt.NDArray[Any]:
    """A read-only contiguous copy."""
    array: npt.NDArray[Any] = np.array(values, dtype=dtype, order="C")
    array.setflags(write=False)
    return array


@dataclass(frozen=True, slots=True)
class PriceSeries:
    """One field of one source's price of `base` in `quote`.

    Attributes
    ----------
    id
        Name of the feed.
    base, quote, source
        E.g. ``ETH``, ``USD``, ``files:eth.csv.gz``.
    field
        ``open``, ``high``, ``low``, ``close``, ``volume`` or ``rate``.
    interval
        Bar length in seconds.
    observed_at, known_at
        (n,) unix seconds, strictly increasing; for a bar both are its end.
    value
        (n,) price or amount; finite and, for prices, positive.
    """

    id: str
    base: str
    quote: str
    source: str
    field: str
    interval: int
    observed_at: IntArray
    known_at: IntArray
    value: FloatArray

    def __post_init__(self) -> None:
        for name, dtype in (("observed_at", np.int64), ("known_at", np.int64), ("value", np.float64)):
            object.__setattr__(self, name, frozen(getattr(self, name), dtype))
        if not len(self.observed_at) == len(self.known_at) == len(self.value):
            raise DataError("times and values differ in length", field=self.id)
        if not np.isfinite(self.value).all():
            raise DataError("a value is not finite", field=self.id)
        if len(self.observed_at) > 1 and (np.diff(self.observed_at) <= 0).any():
            raise DataError("times are not strictly increasing", field=self.id)

    def __len__(self) -> int:
        return len(self.value)

    def as_of(self, instant: int) -> PriceSeries:
        """The part that was known at `instant`."""
        return self._take(self.known_at <= instant)

    def since(self, instant: int) -> PriceSeries:
        """The part observed at or after `instant`."""
        return self._take(self.observed_at >= instant)

    def _take(self, mask: npt.NDArray[np.bool_]) -> PriceSeries:
        return PriceSeries(
            self.id, self.base, self.quote, self.source, self.field, self.interval,
            self.observed_at[mask], self.known_at[mask], self.value[mask],
        )  # fmt: skip

    def log_returns(self) -> tuple[IntArray, FloatArray]:
        """End times (n-1,) and log returns (n-1,) between neighbouring bars.

        A return across a gap belongs to the whole gap, not to one bar, and is left out: the number left out
        is in the series' quality verdict. A civil day of 23 or 25 hours is one bar.
        """
        whole = np.abs(np.diff(self.observed_at) - self.interval) * 24 <= self.interval
        return frozen(self.observed_at[1:][whole], np.int64), frozen(np.diff(np.log(self.value))[whole])
