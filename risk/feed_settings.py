"""Settings of feeds: one model a kind of source, told apart by `kind`. A new adapter adds its model to `Feed`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from risk.market import NUMERAIRE
from risk.setting_types import Address, Duration, Model, Name

Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)]
"""Name of an environment variable that holds a key; the key itself is never a setting."""


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
    url_env: Variable
    chain_id: int = Field(default=1, gt=0)
    confirmations: int = Field(default=12, ge=0)
    decimals: int | None = Field(default=None, ge=0, le=36)
    heartbeat: Duration = 3600
    interval: Duration = 86400
    sequencer: Address | None = None
    grace: Duration = 3600


class ExchangeFeed(Model):
    """Data of an exchange that ccxt knows.

    Attributes
    ----------
    exchange
        Its name in ccxt, e.g. ``binance``.
    symbol
        The market as ccxt writes it, ``BASE/QUOTE`` for spot and ``BASE/QUOTE:SETTLEMENT`` for contracts; for a
        chain of options ``BTC/USD:BTC`` (settled in the coin). Its base is the asset.
    data
        ``ohlcv`` bars, the ``order_book`` of a spot market, ``funding`` rates, ``open_interest``, or the chain of
        ``options``. Books and chains, and open interest without a `start`, are sampled when they are fetched.
    timeframe
        Bar length, spacing of the open interest, or time between fundings: minutes, hours, days or weeks.
    start
        ISO date from which history is fetched.
    levels
        Prices a side that are asked of an order book.
    base_url
        Another address for the venue, e.g. of a proxy before it; the paths stay the venue's.
    api_key_env, secret_env, password_env
        Names of environment variables with keys, for venues that want them for public data.
    """

    kind: Literal["exchange"]
    asset: Name
    exchange: str = Field(pattern=r"^[a-z0-9_]+$", max_length=64)
    symbol: str = Field(pattern=r"^[^\s/:\-]+/[^\s/:\-]+(:[^\s/:\-]+(-\d{6})?)?$", max_length=64)
    data: Literal["ohlcv", "order_book", "funding", "open_interest", "options"] = "ohlcv"
    timeframe: str = Field(default="1d", pattern=r"^[1-9]\d{0,3}[mhdw]$")
    start: str | None = None
    levels: int = Field(default=100, ge=1, le=5000)
    base_url: str | None = Field(default=None, pattern=r"^https?://[^\s?#]+$")
    api_key_env: Variable | None = None
    secret_env: Variable | None = None
    password_env: Variable | None = None

    @property
    def quote(self) -> str:
        """Currency of the prices: that of the symbol, as the market quotes it."""
        return self.symbol.partition("/")[2].partition(":")[0]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        base, _, rest = self.symbol.partition("/")
        contract = ":" in rest
        if base != self.asset:
            raise ValueError(f"the symbol's base is {base} and the asset {self.asset}; write the pair as BASE/QUOTE")
        if self.data == "order_book" and contract:
            raise ValueError("depth is of a spot market, BASE/QUOTE: a book of contracts does not take the asset")
        if self.data in ("funding", "open_interest", "options") and not contract:
            raise ValueError(f"{self.data} is of a contract; write its symbol as BASE/QUOTE:SETTLEMENT")
        if self.data in ("ohlcv", "funding") and self.start is None:
            raise ValueError(f"{self.data} needs a start, the date from which history is fetched")
        return self


Feed = Annotated[FileFeed | SampleFeed | ChainlinkFeed | ExchangeFeed, Field(discriminator="kind")]
