"""One exchange, asked through ccxt: by name, at its pace, with the faults of its answers told apart.

ccxt keeps the venue's rate limit; `oracle_adapters.transport` repeats what may be repeated. What ccxt does not
tell is read from the HTTP answers themselves: the status (it calls 404 and 503 by one name), ``Retry-After``, and
whether the body was JSON, with a list in it (of a page of HTML, or of ``7``, it would make an empty page of bars).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import cache
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from oracle_adapters.faults import Fault, classify, retry_after, status_fault
from oracle_adapters.masking import secret
from oracle_adapters.transport import Manners, Transport, shared_transport
from risk.errors import DataError, SettingsError
from risk.feed_settings import ExchangeFeed

SKEW = 60
"""Seconds that a venue's clock may be ahead of ours."""
CLOCK_REMEDY = "Set this computer's clock, or leave the venue out until its own is mended"
_SAID = 200
"""Characters of a venue's error that are passed on."""
_PAGES = frozenset({"fetch_ohlcv", "fetch_funding_rate_history", "fetch_open_interest_history"})
"""Methods whose answers list records: of one that is none, ccxt would make a page with nothing in it."""
_ALIEN = (TypeError, ValueError, LookupError, AttributeError)
"""What ccxt runs into when an answer lacks what it counts on."""


class Venue:
    """One exchange. One object serves all threads, one request at a time, as its rate limit is one.

    Parameters
    ----------
    name
        The exchange as ccxt calls it.
    base_url
        Scheme, host and leading path that replace the venue's own.
    keys
        Names of environment variables by ccxt's name of the key: ``apiKey``, ``secret``, ``password``.
    transport
        The way to it; by default one a process and exchange.
    clock
        Unix seconds; another only in tests.

    Raises
    ------
    SettingsError
        For an exchange that ccxt does not know, or a key that is not in the environment.
    """

    def __init__(
        self,
        name: str,
        *,
        base_url: str | None = None,
        keys: Mapping[str, str] = MappingProxyType({}),
        transport: Transport | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        import ccxt

        self.name = name
        if self.name not in ccxt.exchanges:
            near = get_close_matches(self.name, ccxt.exchanges, n=3)
            remedy = f"Near it are {', '.join(near)}" if near else "The names are those of ccxt.exchanges"
            raise SettingsError("ccxt knows no such exchange", field="feeds.exchange", value=self.name, remedy=remedy)
        config = {key: secret(variable) for key, variable in keys.items()}
        self.exchange: Any = getattr(ccxt, name)({**config, "enableRateLimit": True})
        self.exchange.has["fetchCurrencies"] = False  # chains and withdrawal fees: requests for nothing we read
        if base_url is not None:
            self.exchange.urls["api"] = _moved(self.exchange.urls["api"], base_url.rstrip("/"))
        self.exchange.session.hooks["response"].append(self._heard)
        self.version: str = ccxt.__version__
        self._transport = transport or shared_transport(f"exchange:{name}", Manners())
        self._clock = clock
        self._lock = threading.Lock()
        self._answer: tuple[int, Mapping[str, str]] | None = None
        self._told: Any = None

    def call(self, method: str, *arguments: Any, what: str) -> Any:
        """Ask the exchange by a method of ccxt, and repeat it while that may help.

        Raises
        ------
        SourceError
            When it was not reached, or refuses; names the exchange, what was asked and what it said.
        """
        with self._lock:
            return self._transport.call(
                lambda timeout: self._once(timeout, method, arguments), what=what, classify=self._classify
            )

    @property
    def manners(self) -> Manners:
        """What a request to it may cost."""
        return self._transport.manners

    def require(self, capability: str, purpose: str) -> None:
        """Refuse what ccxt does not have of this exchange, before anything is asked of it.

        Raises
        ------
        SettingsError
            Names the exchange and what it lacks.
        """
        if not self.has(capability):
            raise SettingsError(
                f"ccxt {self.version} has no {purpose} of {self.name}",
                field="feeds.data",
                value=capability,
                remedy="Take it from another exchange, or from files",
            )

    def has(self, capability: str) -> bool:
        """Whether ccxt has a capability of this exchange natively, e.g. ``fetchOHLCV``."""
        return self.exchange.has.get(capability) is True

    def load_markets(self) -> None:
        """Read the list of all markets, once."""
        if not self.exchange.markets:
            self.call("load_markets", what="the list of markets")

    def market(self, symbol: str) -> Mapping[str, Any]:
        """The market of a symbol as ccxt describes it; all markets are read once.

        Raises
        ------
        SettingsError
            When the exchange has no such market, naming near ones: never listed, or taken off its list.
        """
        self.load_markets()
        markets: Mapping[str, Mapping[str, Any]] = self.exchange.markets
        if symbol not in markets:
            near = get_close_matches(symbol, list(markets), n=3)
            raise SettingsError(
                f"{self.name} lists no such market, or no longer",
                field="feeds.symbol",
                value=symbol,
                remedy=f"Near it are {', '.join(near)}" if near else "Write it as ccxt does, e.g. ETH/USDT",
            )
        return markets[symbol]

    def is_past(self, instant: int) -> bool:
        """Whether an instant lies before the present by our own clock and by any that we would accept of the venue."""
        return self._clock() >= instant + SKEW

    def now(self) -> int:
        """Unix seconds by the slower of two clocks, ours and the venue's: what ended by then has ended on both.

        Raises
        ------
        DataError
            When the venue's clock is over a minute ahead of ours: its bars would be dated in the future.
        """
        if not self.has("fetchTime"):
            return int(self._clock())
        told = self.call("fetch_time", what="the time")
        if not isinstance(told, int):
            raise DataError("the venue tells no time", file=f"exchange:{self.name}", value=told)
        self.refuse_future(told // 1000, f"exchange:{self.name}")
        return min(told // 1000, int(self._clock()))

    def refuse_future(self, at: int, source: str) -> None:
        """Refuse a time of the venue's that is over a minute ahead of our clock.

        Raises
        ------
        DataError
            Names the source and by how much it is ahead.
        """
        if (ahead := at - self._clock()) > SKEW:
            raise DataError(
                f"the venue's clock is {ahead:.0f} s ahead of this computer's", file=source, remedy=CLOCK_REMEDY
            )

    def _once(self, timeout: float, method: str, arguments: tuple[Any, ...]) -> Any:
        self._answer, self._told = None, None
        self.exchange.timeout = int(timeout * 1000)
        found = getattr(self.exchange, method)(*arguments)
        if not found and not _lists(self._told):
            raise LookupError("ccxt made nothing of an answer that lists nothing")
        if method in _PAGES and _lists_nonsense(self._told):
            raise LookupError("ccxt passes over what is no record")
        return found

    def _heard(self, response: Any, *_: Any, **__: Any) -> None:
        """Note what an answer was, and refuse one that should be JSON and is not."""
        self._answer = (response.status_code, dict(response.headers))
        if response.ok and not response.is_redirect:
            self._told = json.loads(response.text)

    def _classify(self, error: BaseException) -> Fault | None:
        """Read the exceptions of ccxt by the HTTP status behind them, where there was one, then by their class."""
        import ccxt

        if not isinstance(error, ccxt.BaseError):
            alien = isinstance(error, (TypeError, ValueError, LookupError, AttributeError))
            return classify(error) or (
                Fault("answered in a shape that ccxt does not know", again=False) if alien else None
            )
        status, headers = self._answer or (None, {})
        said = " ".join(str(error).split())[:_SAID]
        if status is not None and (status == 429 or status >= 500):
            return status_fault(status, headers)
        if isinstance(error, (ccxt.RateLimitExceeded, ccxt.DDoSProtection)):
            # Said in the body of a good answer it may be repeated. A ban (418) is not, unless its end is told.
            after = retry_after(headers)
            return Fault(f"asked too often: {said}", again=status == 200 or after is not None, after=after)
        if isinstance(error, ccxt.NetworkError) and not isinstance(error, ccxt.InvalidNonce):
            if status is None:
                return classify(error.__cause__ or error) or Fault("the connection failed", again=True)
            return Fault(f"HTTP {status}: {said}", again=status == 200)  # a venue that says it is down
        return Fault(f"refused it: {type(error).__name__}: {said}", again=False)


@cache
def _shared(name: str, base_url: str | None, keys: tuple[tuple[str, str], ...], manners: Manners) -> Venue:
    return Venue(name, base_url=base_url, keys=dict(keys), transport=shared_transport(f"exchange:{name}", manners))


def open_venue(settings: ExchangeFeed, manners: Manners | None = None) -> Venue:
    """The one client of an exchange in this process, so that its feeds share its pace and its list of markets."""
    named = {"apiKey": settings.api_key_env, "secret": settings.secret_env, "password": settings.password_env}
    keys = tuple((key, name) for key, name in named.items() if name is not None)
    return _shared(settings.exchange, settings.base_url, keys, manners or Manners())


def source_of(settings: ExchangeFeed) -> str:
    """Source of a feed, e.g. ``exchange:binance:ETH/USDT:ohlcv:1d``."""
    timed = settings.data not in ("order_book", "options")
    return ":".join(["exchange", settings.exchange, settings.symbol, settings.data, *([settings.timeframe] * timed)])


def quote_of(symbol: str) -> str:
    """The quote of a symbol as ccxt writes it: ``USDT`` of ``ETH/USDT:USDT``."""
    return symbol.partition("/")[2].partition(":")[0]


def seconds_of(timeframe: str) -> int:
    """Seconds of e.g. ``15m``, ``1h``, ``1d`` or ``1w``."""
    return int(timeframe[:-1]) * {"m": 60, "h": 3600, "d": 86400, "w": 604_800}[timeframe[-1]]


def _lists(told: Any) -> bool:
    """Whether an answer has a list in it, or says that it has none: so a venue tells that there is no datum."""
    if isinstance(told, dict):
        return any(_lists(part) for part in told.values())
    return told is None or isinstance(told, list)


def _lists_nonsense(told: Any) -> bool:
    """Whether an answer lists what can be no record: a number, nothing, or an empty one, e.g. ``[7]``.

    Lists of numbers side by side are columns, as of Deribit's bars; inside a record anything may be.
    """
    if isinstance(told, list):
        return any(part in (None, {}, []) or isinstance(part, (int, float)) for part in told)
    if not isinstance(told, dict):
        return False
    lengths = [len(part) for part in told.values() if isinstance(part, list) and part]
    columns = len(lengths) > 1 and len(set(lengths)) == 1
    return any(_lists_nonsense(part) for part in told.values() if not (columns and isinstance(part, list)))


def _moved(address: Any, base_url: str) -> Any:
    """All addresses of a venue with scheme and host replaced; paths are kept."""
    if isinstance(address, dict):
        return {name: _moved(part, base_url) for name, part in address.items()}
    return base_url + urlsplit(address).path
