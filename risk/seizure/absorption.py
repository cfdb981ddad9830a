"""Seizure by absorption (Compound III): the protocol takes a whole account and sells its collateral at a discount.

An account is credited liquidationFactor of its collateral's value, at the oracle's price, and what is more than its
debt is paid to it; a debt beyond that is the reserves'. The collateral is the protocol's until someone buys it at

    discount = storeFrontPriceFactor * (1 - liquidationFactor)

below the oracle's price, so the reserves bear every fall in between. In terms of a bonus, paying 1 - discount for a
dollar gains a buyer discount / (1 - discount). The account pays 1 - liquidationFactor; what the buyer does not get
stays with the reserves. Source: Comet.sol (absorbInternal, quoteCollateral) of compound-finance/comet.
"""

from __future__ import annotations

from decimal import Decimal

from risk.errors import EvidenceError
from risk.parameters import Key, ParameterSet
from risk.recommendation import Operation, Trail
from risk.seizure.reading import ratio_of
from risk.units import GRIDS, Dimension, Rounding

STORE_FRONT = "store_front_price_factor"
BASE = "base"
"""Kind of the key of a market's base asset, which has what holds for the whole market."""


def store_front_key(parameters: ParameterSet, market: str) -> Key | None:
    """Key of a market's store front price factor, or None where the set has none.

    Raises
    ------
    EvidenceError
        When the set gives the market two base assets: a Comet lends one.
    """
    keys = [k for k in parameters.values if (k.market, k.kind, k.parameter) == (market, BASE, STORE_FRONT)]
    if len(keys) > 1:
        raise EvidenceError("a Comet has one base asset", field=str(keys[1]), remedy=f"Leave it, or {keys[0]}, out")
    return keys[0] if keys else None


class Absorption:
    """The protocol absorbs, and sells at a discount; implements `risk.seizure.by_protocol.Seizure`."""

    penalty = "liquidation_factor"
    reads = frozenset({"liquidation_threshold", "liquidation_factor", "supply_cap"})
    absorbs = True
    close_factor = 1.0
    notes: tuple[str, ...] = (
        "the store front price factor stays: what the penalty leaves beyond the discount is the reserves'",
        "what an absorbed account is credited beyond its debt is at the reserves' risk until it is sold",
    )
    least_threshold = 2e-4  # a factor of a grid step above zero lies a grid step below it

    def bonus(self, parameters: ParameterSet, reserve: Key) -> float | None:
        """What a buyer gains for each dollar paid; None where the liquidation factor is not known."""
        factor = ratio_of(parameters, reserve.sibling(self.penalty))
        if factor is None:
            return None
        discount = self._store_front(parameters, reserve) * max(1.0 - factor, 0.0)
        return discount / (1.0 - discount) if discount < 1.0 else 0.0

    def credit(self, parameters: ParameterSet, reserve: Key) -> float:
        """Debt that a dollar of absorbed collateral is credited with; zero where it is not known."""
        return ratio_of(parameters, reserve.sibling(self.penalty)) or 0.0

    def credit_at(self, bonus: float, parameters: ParameterSet, reserve: Key) -> float:
        """The liquidation factor that leaves a buyer a bonus, which is the credit."""
        return 1.0 - bonus / (1.0 + bonus) / self._store_front(parameters, reserve)

    def penalty_from(self, trail: Trail, parameters: ParameterSet, reserve: Key) -> None:
        """From a buyer's bonus to the discount, bonus / (1 + bonus), the penalty, and the liquidation factor."""
        source = "Comet's store front"
        trail.apply("Discount that leaves a buyer this", Operation.DIVIDE, 1.0 + trail.value, source)
        front = self._store_front(parameters, reserve)
        trail.apply("Penalty, of which the buyer gets the store front's share", Operation.DIVIDE, front, STORE_FRONT)
        trail.apply("Taken away", Operation.MULTIPLY, -1.0, source)
        trail.apply("From the whole collateral", Operation.ADD, 1.0, source)

    def attainable(self, bonus: float, parameters: ParameterSet, reserve: Key) -> float:
        """The bonus that the largest liquidation factor on the grid leaves, which is at least the one asked for.

        Infinite where the store front's share of the penalty cannot make the discount.
        """
        front = self._store_front(parameters, reserve)
        discount = bonus / (1.0 + bonus)
        if discount >= front:
            return float("inf")
        factor = GRIDS["compound_v3"].round(1.0 - discount / front, Dimension.RATIO, Rounding.DOWN)
        found = front * float(1 - Decimal(factor))
        return found / (1.0 - found)

    def threshold_bound(self, penalty: float) -> float | None:
        """A grid step below the liquidation factor: from there on reserves pay for every absorption."""
        return float(Decimal(repr(penalty)) - GRIDS["compound_v3"].ratio)

    def _store_front(self, parameters: ParameterSet, reserve: Key) -> float:
        key = store_front_key(parameters, reserve.market)
        value = None if key is None else ratio_of(parameters, key)
        if value is None:
            raise EvidenceError(
                "the store front's share of the penalty is not known, so neither is a buyer's discount",
                field=f"{reserve.market}/{BASE}/…/{STORE_FRONT}",
                remedy="Give it in the parameter file under the market's base asset, or read the market's state",
            )
        return value
