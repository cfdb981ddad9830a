"""Settings of a market: its protocol, and the contracts that its calls and its state go through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import SerializerFunctionWrapHandler, model_serializer, model_validator

from risk.setting_types import Address, Model
from risk.state_settings import StateSource

_OF_SOME = ("comet", "proxy_admin")


class Market(Model):
    """A place that has parameters: a lending market, a perpetuals venue, a pool venue.

    Attributes
    ----------
    configurator
        Aave's PoolConfigurator or Compound III's Configurator, which calls go to.
    comet, proxy_admin
        Of Compound III: the Comet's proxy, by default that whose state is read, and its CometProxyAdmin.
    state
        Where its parameters in force, their dates and its positions are read on chain; None for from files.
    """

    protocol: Literal["aave_v3", "compound_v3", "generic"]
    chain_id: int | None = None
    configurator: Address | None = None
    comet: Address | None = None
    proxy_admin: Address | None = None
    state: StateSource | None = None

    @model_validator(mode="after")
    def _addressed(self) -> Market:
        if self.protocol == "aave_v3" and (self.chain_id is None or self.configurator is None):
            raise ValueError("an aave_v3 market needs chain_id and configurator (the PoolConfigurator's address)")
        if self.protocol != "compound_v3" and (self.comet is not None or self.proxy_admin is not None):
            raise ValueError("only a compound_v3 market has a comet and a proxy_admin")
        if self.protocol == "compound_v3" and (self.configurator is None) != (self.proxy_admin is None):
            raise ValueError("calls to a compound_v3 market need both its configurator and its proxy_admin")
        if self.protocol == "compound_v3" and self.configurator is not None and self.proxy() is None:
            raise ValueError("calls to a compound_v3 market need comet, the address of its proxy")
        if self.state is not None and (self.protocol == "generic" or self.chain_id is None):
            raise ValueError("a market with state needs chain_id and a protocol that can be read: aave_v3, compound_v3")
        if self.state is not None and self.state.steward is not None and self.protocol != "aave_v3":
            raise ValueError("only an aave_v3 market has a risk steward")
        return self

    def proxy(self) -> str | None:
        """Address of the Comet's proxy."""
        return self.comet or (self.state.contract if self.state is not None else None)

    def check_debts(self, name: str, debts: Sequence[tuple[str, ...]]) -> None:
        """Refuse debts of its collateral that the protocol cannot have.

        Raises
        ------
        ValueError
            When a Comet would lend more than its base asset.
        """
        if self.protocol == "compound_v3" and (len(set(debts)) > 1 or any(len(each) != 1 for each in debts)):
            raise ValueError(f"markets.{name}: a Comet lends one base asset: give its assets that one as their debt")

    @model_serializer(mode="wrap")
    def _content(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Content for hashes, in which what only some protocols have is absent, not empty, elsewhere."""
        content: dict[str, Any] = handler(self)
        return {key: value for key, value in content.items() if value is not None or key not in _OF_SOME}
