"""Every adapter of the product that speaks HTTP, against one server each that answers well: for the matrix of faults.

Behind the feeds on chain stands a JSON-RPC server before the in-process chain; they are opened from settings. Behind
those of an exchange stands a server of its shape.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np

from oracle_adapters.feed import Feed
from oracle_adapters.files import PriceFile
from oracle_adapters.registry import open_feeds
from tests.onchain.chains import InProcessChain, own, staked_vault
from tests.onchain.test_chainlink import Floor
from tests.onchain.test_pyth_wrappers import ETH
from tests.onchain.test_settings import HOUR, settings_of
from tests.onchain.test_uniswap_v3 import made
from tests.oracle_adapters.exchange.server import Route
from tests.oracle_adapters.exchange.venues import NOW, bars, binance, deribit, feed, settings
from tests.oracle_adapters.faults import Request

NODE = "RISKCAL_FAULTY_NODE"
_NOWHERE = Path()
QUICK = {"attempts": 2, "timeout": "1s", "budget": "30s"}
MANNERS = {"attempts": 2, "timeout": 0.5, "budget": 20.0, "backoff": 0.01}


@dataclass
class JsonRpc:
    """The methods of a node that adapters ask for, from a chain that stands still; answers are kept.

    With a `head` the node has not got beyond that block.
    """

    chain: InProcessChain
    head: int | None = None
    kept: dict[str, Any] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, request: Request) -> bytes:
        asked = json.loads(request.body)
        method, parameters = asked["method"], asked["params"]
        if method == "eth_getBlockByNumber" and self.head is not None:
            if parameters[0] == "latest":
                parameters[0] = hex(self.head)
            elif int(parameters[0], 16) > self.head:
                return json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": None}).encode()
        name = json.dumps([method, parameters])
        with self.lock:  # the in-process chain knows one caller
            if name not in self.kept:
                self.kept[name] = self._answer(method, parameters)
            return json.dumps({"jsonrpc": "2.0", "id": asked["id"], **self.kept[name]}).encode()

    def _answer(self, method: str, parameters: list[Any]) -> dict[str, Any]:
        from web3.exceptions import ContractLogicError

        eth = self.chain.web3.eth
        if method == "eth_chainId":
            return {"result": hex(eth.chain_id)}
        if method == "eth_getBlockByNumber":
            block = eth.get_block(_block(parameters[0]))
            found = {name: hex(block[name]) for name in ("number", "timestamp")}
            return {"result": found | {"hash": "0x" + bytes(block["hash"]).hex()}}
        if method == "eth_getCode":
            return {"result": "0x" + bytes(eth.get_code(parameters[0], _block(parameters[1]))).hex()}
        assert method == "eth_call", method
        try:
            query = {"to": parameters[0]["to"], "data": parameters[0]["data"]}
            return {"result": "0x" + bytes(eth.call(query, _block(parameters[1]))).hex()}
        except ContractLogicError as error:
            return {"error": {"code": 3, "message": str(error), "data": error.data}}


def _block(text: str) -> Any:
    return text if text == "latest" else int(text, 16)


@dataclass(frozen=True)
class Product:
    """How to open a feed on a server, and what that server answers; `node` is set where that is a node."""

    open: Callable[[str], Feed]
    answer: Callable[[Request], bytes]
    node: JsonRpc | None = None


def on_chain(chain: InProcessChain, setenv: Callable[[str, str], None]) -> Mapping[str, Product]:
    """Chainlink, Pyth, a wrapper and a pool, with eight hours of history."""
    rounds, pyth = Floor(chain), chain.deploy(own("pyth"))
    vault, token = staked_vault(chain)
    pool, base, _ = made(chain, inverted=False)
    chain.warp(HOUR)
    start = chain.now()
    for hour in range(8):
        price = (2000 + hour) * 10**8
        chain.send(rounds.aggregator.functions.store_many(hour + 1, [price], [chain.now()]))
        chain.send(pyth.functions.set_price(bytes.fromhex(ETH[2:]), price, 10**8, -8, chain.now()))
        chain.send(token.functions.mint(vault.address, 10**18))
        chain.warp(HOUR - 48)
    node = JsonRpc(chain)

    def product(kind: str, address: str, number: int = 0, **more: Any) -> Product:
        def opened(url: str) -> Feed:
            setenv(NODE, f"{url}/v2/sesame")
            document = {
                "kind": kind, "asset": "ETH", "quote": "USD", "address": address, "url_env": NODE, "interval": "1h",
                "chain_id": chain.web3.eth.chain_id, "confirmations": 0, **more,
            }  # fmt: skip
            # Depth is of an asset with a price; that file is never read.
            priced = {"kind": "files", "asset": "ETH", "path": "prices.csv"}
            found = open_feeds(settings_of([document, priced], fetch=QUICK), _NOWHERE)
            return [one for one in found if not isinstance(one, PriceFile)][number]

        return Product(opened, node, node)

    since = {"start": str(np.datetime64(start, "s"))}
    pool_of = {"token": base.address, **since}
    return {
        "chainlink": product("chainlink", rounds.proxy.address, heartbeat="2h"),
        "rounds": product("chainlink", rounds.proxy.address, 1, heartbeat="2h"),
        "pyth": product("pyth", pyth.address, price_id=ETH, maximum_age="2h", **since),
        "wrapper": product("wrapper", vault.address, rate="erc4626", **since),
        "uniswap": product("uniswap_v3", pool.address, **pool_of),
        "pool-depth": product("uniswap_v3", pool.address, data="depth", **pool_of),
    }


def of_exchanges() -> Mapping[str, Product]:
    """Bars and funding rates of several pages, and a chain of options, which is one."""
    last = NOW - 30
    hourly = bars(last - 50 * HOUR, last)
    paid = {(last - 8 * HOUR * n) * 1000: f"{n / 1e4:.8f}" for n in range(1, 40)}
    day = {"start": "2024-03-11"}
    summaries = [_option(strike) for strike in (40_000, 50_000, 60_000)]
    return {
        "bars": _served(binance(hourly, cap=20), settings("binance", "ETH", "ETH/USDT", **day)),
        "funding": _served(
            binance({}, funding=paid),
            settings("binance", "BTC", "BTC/USDT:USDT", "funding", start="2024-03-01", timeframe="8h"),
        ),
        "options": _served(deribit(summaries=summaries), settings("deribit", "BTC", "BTC/USD:BTC", "options")),
    }


def _option(strike: int) -> dict[str, Any]:
    """Constructed, in the shape of the recorded ones of the options' tests."""
    return {
        "mid_price": 0.4, "quote_currency": "BTC", "creation_timestamp": (NOW - 10) * 1000, "base_currency": "BTC",
        "underlying_index": "BTC-28JUN24", "underlying_price": 68827.27, "open_interest": 364.1, "ask_price": 0.411,
        "bid_price": 0.404, "instrument_name": f"BTC-28JUN24-{strike}-C", "mark_price": 0.4, "mark_iv": 74.25,
    }  # fmt: skip


def _served(routes: Mapping[str, Route], declared: Any) -> Product:
    def answer(request: Request) -> bytes:
        parts = urlsplit(request.path)
        return json.dumps(routes[parts.path](dict(parse_qsl(parts.query)))).encode()

    return Product(lambda url: feed(_At(url), declared, **MANNERS), answer)


@dataclass(frozen=True)
class _At:
    """A server as the helpers of exchanges want it: its address."""

    url: str
