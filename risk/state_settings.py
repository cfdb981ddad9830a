"""Settings of a market's state on chain: which contracts say what is in force, and through which node."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from risk.setting_types import Address, Model


class StateSource(Model):
    """Where a market's parameters in force, their last changes, step bounds and positions are read.

    Reading what was in force at an earlier date needs an archive node.

    Attributes
    ----------
    url_env
        Environment variable that holds the node's URL; the URL itself stands in no file.
    contract
        The Pool of Aave v3, the Comet of Compound III (its proxy).
    steward
        Aave's RiskSteward, whose bounds then count instead of the declared ones.
    first_block
        Where events are read from: the block of the contract's deployment, or one before it.
    confirmations
        Blocks on top of one before it counts as final.
    positions
        Whether accounts are read, too.
    """

    url_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    contract: Address
    steward: Address | None = None
    first_block: int = Field(default=0, ge=0)
    confirmations: int = Field(default=64, ge=0)
    positions: bool = True
