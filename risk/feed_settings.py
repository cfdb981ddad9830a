"""Settings of feeds: one model a kind of source, told apart by `kind`. A new adapter adds its model to `Feed`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from risk.errors import UnitError
from risk.market import NUMERAIRE
from risk.setting_types import Address, Dollars, Duration, Fraction, Model, Name
from risk.units import parse_instant

Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)]
"""Name of an environment variable that holds a key; the key itself is never a setting."""

PRICED = frozenset({"ohlcv", "price"})
"""Values of a feed's `data` that are prices; a feed without one gives prices."""


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


class OnChainFeed(Model):
    """Prices that a contract tells.

    Attributes
    ----------
    address
        Of the contract.
    url_env
        Environment variable that holds the node's URL; it may carry a key and is never shown.
    chain_id
        What the node must serve.
    confirmations
        Blocks on top of one before what it holds is read.
    interval
        Prices are sampled at multiples of it.
    """

    asset: Name
    quote: Name = NUMERAIRE
    address: Address
    url_env: Variable
    chain_id: int = Field(default=1, gt=0)
    confirmations: int = Field(default=12, ge=0)
    interval: Duration = 86400


class SampledFeed(OnChainFeed):
    """Prices that a contract tells of the present only, so that each sample is read at a block of its own.

    Attributes
    ----------
    start
        ISO date from which samples are taken; left out, from the chain's beginning. What lies before the contract
        is counted as unanswered.
    """

    start: str | None = None

    @model_validator(mode="after")
    def _dated(self) -> Self:
        if self.start is not None:
            try:
                parse_instant(self.start)
            except UnitError as error:
                raise ValueError(f"start: {error}") from error
        return self

    @property
    def since(self) -> int:
        """Unix seconds from which samples are taken."""
        return 0 if self.start is None else parse_instant(self.start)


class ChainlinkFeed(OnChainFeed):
    """Prices that a Chainlink proxy served, read from its rounds; the address is that of the proxy.

    It may be that of one aggregator without phases, too.

    Attributes
    ----------
    decimals
        What the feed must have in every phase; left out, any.
    heartbeat
        Longest time between two rounds, as the operator states it: an older price is left out and counted. Left
        out, nothing is, and the prices are judged by the heartbeat that the rounds show.
    description
        What the feed calls itself in every phase; left out, a description that names another pair is refused.
    sequencer
        Uptime feed of a rollup's sequencer; while it is down, and for `grace` after, no price is taken.
    """

    kind: Literal["chainlink"]
    decimals: int | None = Field(default=None, ge=0, le=36)
    heartbeat: Duration | None = None
    description: str | None = Field(default=None, max_length=128)
    sequencer: Address | None = None
    grace: Duration = 3600


class PythFeed(SampledFeed):
    """A price that somebody brought to a Pyth contract.

    Attributes
    ----------
    price_id
        Pyth's name of the feed: ``0x`` and 64 hexadecimal digits.
    maximum_age
        An older price is left out and counted, as a contract would have been refused it.
    maximum_confidence
        So is one of a wider confidence, as a share of the price.
    """

    kind: Literal["pyth"]
    price_id: str = Field(pattern=r"^0x[0-9a-fA-F]{64}$")
    maximum_age: Duration = 3600
    maximum_confidence: Fraction = 0.02


class RateCap(Model):
    """The largest rate of a wrapper that an oracle believes: growth from a rate that was taken at an instant.

    Attributes
    ----------
    ratio
        The rate then, as a decimal number in a text.
    taken_at
        ISO date or time.
    growth
        A year.
    """

    ratio: str = Field(pattern=r"^\d+(\.\d+)?$")
    taken_at: str
    growth: Fraction

    @model_validator(mode="after")
    def _readable(self) -> Self:
        if not float(self.ratio) > 0:
            raise ValueError("ratio: a rate is above zero")
        try:
            parse_instant(self.taken_at)
        except UnitError as error:
            raise ValueError(f"taken_at: {error}") from error
        return self


class WrapperFeed(SampledFeed):
    """The rate of a token that wraps another: the price of the asset in units of the quote, which it wraps.

    Attributes
    ----------
    rate
        How the contract tells it: ``erc4626`` of a vault, ``wsteth`` of Lido's wstETH, ``steth_shares`` of stETH
        itself, or a ``function`` without arguments.
    function
        Its name, e.g. ``getRate``.
    decimals
        Of what the function returns; 18 where left out.
    cap
        Cap on the rate that the oracle applies.
    """

    kind: Literal["wrapper"]
    quote: Name
    rate: Literal["erc4626", "wsteth", "steth_shares", "function"]
    function: Variable | None = None
    decimals: int | None = Field(default=None, ge=0, le=36)
    cap: RateCap | None = None

    @model_validator(mode="after")
    def _told(self) -> Self:
        if (self.rate == "function") is (self.function is None):
            raise ValueError('function: the name of the function is needed with rate = "function", and only there')
        if self.decimals is not None and self.function is None:
            raise ValueError('decimals: they are declared with rate = "function" only; the others tell their own')
        return self


class UniswapFeed(SampledFeed):
    """A Uniswap v3 pool; the address is that of the pool.

    Attributes
    ----------
    token
        Contract of the asset, one of the pool's two tokens.
    data
        The time-weighted ``price``, or the ``depth`` of its liquidity; without a `start` the depth is that of the
        last sampling time only.
    window
        Time over which the price is averaged.
    move
        By this fraction the average is moved, up and down, where it is said what that costs.
    borrowable
        What could be borrowed on the price, in US dollars; counts where supply cap and positions do not tell.
    block_time
        Between two blocks of the chain: arbitrage brings a price back in the next one.
    """

    kind: Literal["uniswap_v3"]
    quote: Name
    token: Address
    data: Literal["price", "depth"] = "price"
    window: Duration = 1800
    move: Annotated[Fraction, Field(gt=0)] = 0.2
    borrowable: Dollars | None = None
    block_time: Duration = 12


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


Feed = Annotated[
    FileFeed | SampleFeed | ChainlinkFeed | PythFeed | WrapperFeed | UniswapFeed | ExchangeFeed,
    Field(discriminator="kind"),
]
