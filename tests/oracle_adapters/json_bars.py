"""The smallest adapter that speaks HTTP: bars as JSON, three a page."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qs, urlsplit

from oracle_adapters.feed import COLUMNS, Chunk, FeedSpec, Kind
from oracle_adapters.transport import Manners, Transport
from risk.artifact import Table
from tests.oracle_adapters.faults import Request

BARS = [(60 * i, 100 + i / 7) for i in range(1, 14)]
PAGE = 3


def answer(request: Request) -> bytes:
    """Bars from an instant on."""
    since = int(parse_qs(urlsplit(request.path).query)["since"][0])
    return json.dumps([bar for bar in BARS if bar[0] >= since][:PAGE]).encode()


class JsonBars:
    """The feed over such a server."""

    def __init__(self, url: str, transport: Transport) -> None:
        self._url, self._transport = url, transport

    @property
    def spec(self) -> FeedSpec:
        return FeedSpec(Kind.PRICE, "ETH", "USD", "json-bars", 60)

    def facts(self) -> Mapping[str, str]:
        return {}

    def fetch(self, start: int, stop: int) -> Iterator[Chunk]:
        since = start
        while bars := [bar for bar in self._page(since) if bar[0] < stop]:
            yield Chunk(Kind.PRICE, Table.from_rows(COLUMNS[Kind.PRICE], ((t, "close", t, v) for t, v in bars)))
            since = bars[-1][0] + 1

    def _page(self, since: int) -> list[tuple[int, float]]:
        def ask(timeout: float) -> list[tuple[int, float]]:
            with urllib.request.urlopen(f"{self._url}/bars?since={since}&apikey=sesame", timeout=timeout) as found:
                return json.loads(found.read())

        return self._transport.call(ask, what=f"bars since {since}")


def open_feed(url: str) -> JsonBars:
    """Opened with manners that tests can wait for."""
    return JsonBars(url, Transport("json-bars", Manners(attempts=3, backoff=0.01, timeout=0.25, budget=8)))
