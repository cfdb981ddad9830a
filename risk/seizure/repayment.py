"""Seizure by repayment (Aave v3): a keeper repays a part of a debt and takes collateral worth the bonus more.

What the keeper pays goes to the pool at once, so the pool bears only debt that no collateral is left for.
"""

from __future__ import annotations

from risk.parameters import Key, ParameterSet
from risk.recommendation import Trail
from risk.seizure.reading import ratio_of


class Repayment:
    """A keeper repays, and the bonus is the penalty; implements `risk.seizure.by_protocol.Seizure`."""

    penalty = "liquidation_bonus"
    reads = frozenset({"liquidation_threshold", "liquidation_bonus", "supply_cap"})
    absorbs = False
    close_factor = 0.5  # of a debt, where the health factor is above .95
    least_threshold = 0.0
    notes: tuple[str, ...] = ()

    def bonus(self, parameters: ParameterSet, reserve: Key) -> float | None:
        """The liquidation bonus itself."""
        return ratio_of(parameters, reserve.sibling(self.penalty))

    def credit(self, parameters: ParameterSet, reserve: Key) -> float:
        """Debt that a dollar of seized collateral repays; zero where there is no bonus to read."""
        bonus = self.bonus(parameters, reserve)
        return 0.0 if bonus is None else 1.0 / (1.0 + bonus)

    def credit_at(self, _bonus: float, _parameters: ParameterSet, _reserve: Key) -> None:
        """None: a keeper pays for what it takes."""

    def penalty_from(self, _trail: Trail, _parameters: ParameterSet, _reserve: Key) -> None:
        """The bonus is stored as it is."""

    def attainable(self, bonus: float, _parameters: ParameterSet, _reserve: Key) -> float:
        """Every bonus of a grid can be set."""
        return bonus

    def threshold_bound(self, _penalty: float) -> float | None:
        """None: what is beyond threshold * (1 + bonus) = 1 is a matter of policy."""
        return None
