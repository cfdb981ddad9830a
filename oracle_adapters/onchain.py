"""Feeds that are read from a node, opened from their settings. Nothing is asked of a node by opening one."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from oracle_adapters.aggregators import Aggregators
from oracle_adapters.feed import Feed, FeedSpec, Kind
from oracle_adapters.manipulation import moving_costs
from oracle_adapters.masking import secret
from oracle_adapters.pool_depth import PoolDepth
from oracle_adapters.pool_tokens import Meant
from oracle_adapters.pyth import pyth_prices
from oracle_adapters.rounds import RoundPrices
from oracle_adapters.rpc import Node
from oracle_adapters.sampled import SampledFigures
from oracle_adapters.transport import Manners
from oracle_adapters.uniswap_v3 import pool_twap
from oracle_adapters.wrappers import (
    GrowthCap,
    Tell,
    erc4626,
    headroom,
    rate_function,
    steth_shares,
    wrapper_rates,
    wsteth,
)
from risk.errors import SettingsError
from risk.feed_settings import ChainlinkFeed, OnChainFeed, PythFeed, RateCap, UniswapFeed, WrapperFeed
from risk.settings import Fetch, Settings
from risk.units import parse_instant

_HOST = re.compile(r"[^\W_]([\w.\-]*[^\W_])?|[0-9a-f:.]+(%\w+)?", re.IGNORECASE)
"""A name in any script, or an address of either version."""


def open_node(url_env: str, fetch: Fetch, *, chain_id: int | None, confirmations: int) -> Node:
    """The node whose URL is in the environment, asked with the manners of the settings.

    Raises
    ------
    SettingsError
        When the environment has no such variable, or its value is no URL that can be asked.
    """
    return Node(
        _asked_by_http(secret(url_env), url_env),
        name=f"node:{url_env}",
        chain_id=chain_id,
        confirmations=confirmations,
        manners=Manners.of(fetch),
    )


def _asked_by_http(url: Any, name: str) -> Any:
    """The URL, if requests can be sent to it; of one that cannot be nothing is shown, for it may hold a key."""
    if not isinstance(url, str):
        return url
    scheme, found, _ = url.partition("://")
    if not found:
        why = "the node's URL has no scheme"
    elif scheme.lower() not in ("http", "https"):
        why = f"a node is asked by http or https, and its URL is one of {scheme.lower()[:12]!r}"
    else:
        try:
            parts = urlsplit(url)
            readable = _HOST.fullmatch(parts.hostname or "") is not None and parts.port != 0
        except ValueError:
            readable = False
        why = "" if readable else "the node's URL has no host, or no host and port that can be asked"
    if why:
        raise SettingsError(
            why, field=name, remedy=f"Give the provider's address that begins with https: export {name}=..."
        )
    return url


def open_onchain(feed: OnChainFeed, fetch: Fetch, settings: Settings | None = None) -> list[Feed]:
    """The feeds that the settings of one describe.

    Parameters
    ----------
    settings
        What a pool's tokens are held against: assets with their symbols and tokens; None holds them to nothing.

    Raises
    ------
    SettingsError
        When the environment lacks the node's URL.
    """
    node = open_node(feed.url_env, fetch, chain_id=feed.chain_id, confirmations=feed.confirmations)
    match feed:
        case ChainlinkFeed():
            prices = RoundPrices(feed, node)
            return [prices, prices.rounds, Aggregators(prices.rounds)]
        case PythFeed():
            spec = _spec(feed, f"pyth:{feed.chain_id}:{feed.price_id.lower()}")
            age, width = feed.maximum_age, feed.maximum_confidence
            return [
                pyth_prices(
                    spec, node, feed.address, feed.price_id, max_age=age, max_confidence=width, since=feed.since
                )
            ]
        case WrapperFeed():
            spec = _spec(feed, f"wrapper:{feed.chain_id}:{feed.address.lower()}:{feed.function or feed.rate}")
            tell, cap = _told(feed, node), _cap(feed.cap)
            rates = wrapper_rates(spec, node, tell, cap=cap, since=feed.since)
            if cap is None:
                return [rates]
            return [rates, SampledFigures(replace(spec, kind=Kind.SAFETY), node, partial(headroom, node, tell, cap))]
        case UniswapFeed(data="depth"):
            source = f"uniswap_v3:{feed.chain_id}:{feed.address.lower()}:depth"
            spec = FeedSpec(Kind.DEPTH, feed.asset, feed.quote, source, feed.interval)
            since = None if feed.start is None else feed.since
            return [PoolDepth(spec, node, feed.address, feed.token, since=since, meant=_meant(feed, settings))]
        case UniswapFeed():
            spec = _spec(feed, f"uniswap_v3:{feed.chain_id}:{feed.address.lower()}:{feed.window}s")
            meant = _meant(feed, settings)
            twap = pool_twap(spec, node, feed.address, feed.token, window=feed.window, since=feed.since, meant=meant)
            terms = feed.address, feed.token, feed.move, feed.window, feed.block_time
            safety = SampledFigures(replace(spec, kind=Kind.SAFETY), node, partial(moving_costs, node, *terms))
            return [twap, safety]
        case _:
            raise AssertionError(type(feed))


def _spec(feed: OnChainFeed, source: str) -> FeedSpec:
    return FeedSpec(Kind.PRICE, feed.asset, feed.quote, source, feed.interval)


def _meant(feed: UniswapFeed, settings: Settings | None) -> Meant:
    """What the settings say of the pair; a token counts where its market is on the pool's chain."""
    if settings is None:
        return Meant(feed.asset, feed.quote)
    sides = {name: settings.assets[name] for name in (feed.asset, feed.quote) if name in settings.assets}
    declared = {
        name: asset.token.lower()
        for name, asset in sides.items()
        if asset.token is not None
        and asset.reserve is not None
        and settings.markets[asset.reserve].chain_id == feed.chain_id
    }
    symbols = {name: asset.symbol for name, asset in sides.items() if asset.symbol is not None}
    return Meant(feed.asset, feed.quote, symbols, declared)


def _told(feed: WrapperFeed, node: Node) -> Tell:
    """How the wrapper tells its rate, at a block."""
    match feed.rate:
        case "erc4626":
            return lambda block: erc4626(node, feed.address, block)
        case "wsteth":
            return lambda _: wsteth(feed.address)
        case "steth_shares":
            return lambda _: steth_shares(feed.address)
        case "function":
            decimals = 18 if feed.decimals is None else feed.decimals
            return lambda _: rate_function(feed.address, str(feed.function), decimals)


def _cap(cap: RateCap | None) -> GrowthCap | None:
    # A share is read as a float; its shortest text is what was written, and the cap is exact from there.
    if cap is None:
        return None
    return GrowthCap(Fraction(cap.ratio), parse_instant(cap.taken_at), Fraction(repr(cap.growth)))
