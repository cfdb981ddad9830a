"""What a seizure says of itself, and which one each protocol has."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from risk.parameters import Key, ParameterSet
from risk.recommendation import Trail
from risk.seizure.absorption import Absorption
from risk.seizure.repayment import Repayment
from risk.settings import Settings


class Seizure(Protocol):
    """How collateral of an account beyond its threshold is turned into the asset that it owes.

    `reserve` is the key of any parameter of the collateral.

    Attributes
    ----------
    penalty
        Name of the parameter that says what an account loses by it.
    reads
        Parameters of a reserve that a stress reads.
    absorbs
        Whether the protocol takes whole accounts and sells; else keepers repay and take.
    close_factor
        Share of a debt that one liquidation closes.
    least_threshold
        Smallest liquidation threshold that the contract holds.
    notes
        What a reader of a derived penalty must know.
    """

    penalty: str
    reads: frozenset[str]
    absorbs: bool
    close_factor: float
    least_threshold: float
    notes: tuple[str, ...]

    def bonus(self, parameters: ParameterSet, reserve: Key, /) -> float | None:
        """What whoever takes the collateral gains for each dollar paid, at the oracle's prices; None if not known.

        Raises
        ------
        EvidenceError
            When a value cannot be read, or another that it hangs on is missing.
        """
        ...

    def credit(self, parameters: ParameterSet, reserve: Key, /) -> float:
        """Debt that a dollar of seized collateral takes from the account; zero where it is not known."""
        ...

    def credit_at(self, bonus: float, parameters: ParameterSet, reserve: Key, /) -> float | None:
        """What an absorbed account is credited under a penalty that leaves this bonus; None where keepers repay."""
        ...

    def penalty_from(self, trail: Trail, parameters: ParameterSet, reserve: Key, /) -> None:
        """Turn a trail that has come to a bonus into one that has come to the penalty, before its grid."""
        ...

    def attainable(self, bonus: float, parameters: ParameterSet, reserve: Key, /) -> float:
        """The smallest bonus, at least this one, that a penalty on the protocol's grid leaves; infinite if none."""
        ...

    def threshold_bound(self, penalty: float, /) -> float | None:
        """Largest threshold that goes with a stored penalty; None where none but the frontier of policy."""
        ...


SEIZURES: Mapping[str, Seizure] = MappingProxyType(
    {"aave_v3": Repayment(), "compound_v3": Absorption(), "generic": Repayment()}
)
"""Seizure by protocol."""


def seizure_of(settings: Settings, asset: str) -> Seizure:
    """Seizure of an asset that is a reserve."""
    return SEIZURES[settings.markets[settings.assets[asset].reserve or ""].protocol]
