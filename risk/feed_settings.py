"""Settings of feeds: one model a kind of source, told apart by `kind`. A new adapter adds its model to `Feed`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from risk.market import NUMERAIRE
from risk.setting_types import Address, Duration, Model, Name


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


class SampleFeed(Model):
    """The embedded sample market: all its assets, positions, depth and parameters in force."""

    kind: Literal["sample"]


class ChainlinkFeed(Model):
    """Prices that a Chainlink proxy served, read from its rounds.

    Attributes
    ----------
    address
        Of the proxy (or of one aggregator without phases).
    url_env
        Environment variable that holds the node's URL; it may carry a key and is never shown.
    chain_id
        What the node must serve.
    confirmations
        Blocks on top of one before what it holds is read.
    decimals
        What the feed must have in every phase; left out, any.
    heartbeat
        Longest time between two rounds, as the operator states it. An older price is left out and counted.
    interval
        The rounds are sampled at multiples of it.
    sequencer
        Uptime feed of a rollup's sequencer; while it is down, and for `grace` after, no price is taken.
    """

    kind: Literal["chainlink"]
    asset: Name
    quote: Name = NUMERAIRE
    address: Address
    url_env: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    chain_id: int = Field(default=1, gt=0)
    confirmations: int = Field(default=12, ge=0)
    decimals: int | None = Field(default=None, ge=0, le=36)
    heartbeat: Duration = 3600
    interval: Duration = 86400
    sequencer: Address | None = None
    grace: Duration = 3600


Feed = Annotated[FileFeed | SampleFeed | ChainlinkFeed, Field(discriminator="kind")]
