"""Settings of feeds: one model a kind of source, told apart by `kind`. A new adapter adds its model to `Feed`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from risk.market import NUMERAIRE
from risk.setting_types import Duration, Model, Name


class FileFeed(Model):
    """Prices from CSV, CSV.gz or Parquet.

    Attributes
    ----------
    path
        Relative to the settings file.
    columns
        Our field name to the file's column: ``time`` and ``close``, and any of open, high, low, volume.
    interval
        Bar length.
    stamp
        Whether the time column marks a bar's open or close.
    time_unit
        How times are written; ``auto`` tells dates, ISO times and seconds or milliseconds apart by value.
    timezone
        Zone of times that carry none.
    start, stop
        Rows stamped before `start`, or at or after `stop` (ISO dates), are another asset's: dropped and counted.
    decimals
        Decimals of prices that are written as an oracle's raw integers; None for prices as they are.
    heartbeat
        Longest time between two updates of an on-chain feed; None for bars, which are due every interval.
    """

    kind: Literal["files"]
    asset: Name
    quote: Name = NUMERAIRE
    path: str
    columns: Mapping[str, str] = Field(default_factory=lambda: {"time": "time", "close": "close"})
    interval: Duration = 86400
    stamp: Literal["open", "close"] = "open"
    time_unit: Literal["auto", "s", "ms", "iso", "date"] = "auto"
    timezone: str = "UTC"
    start: str | None = None
    stop: str | None = None
    decimals: int | None = Field(default=None, ge=0, le=36)
    heartbeat: Duration | None = None


class SampleFeed(Model):
    """The embedded sample market: all its assets, positions, depth and parameters in force."""

    kind: Literal["sample"]


Feed = Annotated[FileFeed | SampleFeed, Field(discriminator="kind")]
