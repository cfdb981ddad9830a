"""A set of changes as contract calls: each market through its own codec, decoded back and compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from risk.errors import DefectError
from risk.outcome import Finding
from risk.parameters import Change, Key, ParameterSet
from risk.protocols.aave_v3 import AaveV3
from risk.protocols.codec import Call, Codec
from risk.protocols.compound_v3 import CompoundV3
from risk.settings import Settings


@dataclass(frozen=True, slots=True)
class Unencoded:
    """A change that has no call, and why."""

    key: Key
    reason: str


@dataclass(frozen=True, slots=True)
class EncodedProposal:
    """What contracts would execute.

    Attributes
    ----------
    calls
        In the order in which they should run: by market, tightening before loosening.
    unencoded
        Changes without a call; a reader must see them, because executing the calls does not make them.
    warnings
        What the chain accepts but a reader must know, e.g. that a cap of zero means no cap.
    """

    calls: tuple[Call, ...]
    unencoded: tuple[Unencoded, ...]
    warnings: tuple[Finding, ...] = ()

    def document(self) -> dict[str, Any]:
        """JSON-like content."""
        return {
            "calls": [call.document() for call in self.calls],
            "unencoded": [{"key": str(item.key), "reason": item.reason} for item in self.unencoded],
            "warnings": [finding.document() for finding in self.warnings],
        }


def _aave_v3(market: str, settings: Settings) -> Codec:
    tokens = {symbol: a.token for _, symbol, a in settings.reserves() if a.reserve == market and a.token is not None}
    return AaveV3(market, settings.markets[market].configurator or "", MappingProxyType(tokens))


def _compound_v3(market: str, settings: Settings) -> Codec | None:
    declared = settings.markets[market]
    comet, configurator, admin = declared.proxy(), declared.configurator, declared.proxy_admin
    if comet is None or configurator is None or admin is None:
        return None
    own = {symbol: asset for _, symbol, asset in settings.reserves() if asset.reserve == market}
    lent = {debt for asset in own.values() for debt in asset.debts}
    base = next(((settings.assets[n].symbol or n) if n in settings.assets else n for n in sorted(lent)), "")
    return CompoundV3(
        market, comet, configurator, admin, base,
        MappingProxyType({symbol: asset.token for symbol, asset in own.items() if asset.token is not None}),
        MappingProxyType({symbol: asset.decimals for symbol, asset in own.items()}),
    )  # fmt: skip


CODECS: Mapping[str, Callable[[str, Settings], Codec | None]] = MappingProxyType(
    {"aave_v3": _aave_v3, "compound_v3": _compound_v3}
)
"""Codec by protocol, None where the settings lack an address; what has none has its changes listed as unencoded."""


def codec_of(market: str, settings: Settings) -> Codec | None:
    """The codec of a market, or None where its protocol has none."""
    configured = settings.markets.get(market)
    maker = CODECS.get(configured.protocol) if configured is not None else None
    return maker(market, settings) if maker is not None else None


def encode_proposal(changes: Sequence[Change], base: ParameterSet, settings: Settings) -> EncodedProposal:
    """Encode changes against the parameters in force, and check the calldata by decoding it.

    Parameters
    ----------
    changes
        From ``base.diff(head)``.
    base
        The parameters in force; what a call must restate is read from it.
    settings
        Markets, with the addresses of their contracts, and the assets' tokens.

    Raises
    ------
    RefusalError
        When a contract could not hold a value exactly or would revert, or a token's address is not known.
    DefectError
        When the calldata does not decode to the quantities that were asked for.
    """
    calls: list[Call] = []
    unencoded: list[Unencoded] = []
    warnings: list[Finding] = []
    for market in sorted({change.key.market for change in changes}):
        own = [change for change in changes if change.key.market == market]
        codec = codec_of(market, settings)
        if codec is None:
            unencoded += [Unencoded(change.key, _reason(market, settings)) for change in own]
            continue
        encoded = codec.encode(own, base)
        wanted = {**base.values, **{change.key: change.after for change in own}}
        decoded = codec.decode(encoded)
        wrong = [key for key in sorted({*decoded, *(c.key for c in own)}) if decoded.get(key) != wanted.get(key)]
        if wrong:
            raise DefectError("calldata does not decode to what was encoded", field=str(wrong[0]))
        calls += encoded
        warnings += codec.rules(ParameterSet(decoded))
    return EncodedProposal(tuple(calls), tuple(unencoded), tuple(warnings))


def _reason(market: str, settings: Settings) -> str:
    if market not in settings.markets:
        return f"no market is called {market} in the settings"
    if settings.markets[market].protocol in CODECS:
        return f"markets.{market} has no configurator and proxy_admin that calls could go to"
    return f"the protocol of {market} ({settings.markets[market].protocol}) has no codec"
