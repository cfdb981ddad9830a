"""The liquidation threshold: the largest one under which loss over the parameter's life stays in the budgets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from risk.exposure import REFERENCE_DISTANCES, REFERENCE_WEIGHTS
from risk.market import FloatArray, IntArray
from risk.policy.runoff import Crossings
from risk.policy.twin import BASIS_POINT, largest_within
from risk.settings import Appetite
from risk.units import DAY

ES_CONFIDENCE = 0.99


@dataclass(frozen=True, slots=True)
class Budget:
    """One reserve's share of the appetite, and the collateral behind it, in US dollars.

    Attributes
    ----------
    appetite
        The declared appetite of the whole pool.
    share
        The reserve's part of the dollar budgets: its share of all collateral that may have to be sold.
    supply_usd
        Collateral that may have to be sold: the fully used cap, or what is held where that is more.
    interval
        Bar length in seconds.
    reference_book
        Whether no book is known, so that the loss per unit of crossing debt binds as well.
    """

    appetite: Appetite
    share: float
    supply_usd: float
    interval: int
    reference_book: bool


def mean_of_worst(losses: FloatArray, confidence: float) -> float:
    """Expected shortfall: the mean of the worst (1 - confidence) share of losses >= 0, at least one path."""
    count = max(1, round((1.0 - confidence) * len(losses)))
    lost = losses[losses > 0.0]  # few: most paths lose nothing
    worst = np.partition(lost, -count)[-count:] if len(lost) > count else lost
    return float(worst.sum()) / count


def constraints(crossings: Crossings, budget: Budget, bonus: float) -> dict[str, Callable[[float], bool]]:
    """Conditions on the threshold, by name; each fails for good once it fails as the threshold grows."""
    appetite = budget.appetite
    life = appetite.parameter_life // budget.interval
    horizon = max(1, appetite.es_horizon // budget.interval)
    years = appetite.parameter_life / (365 * DAY)
    debt_share = (1.0 - REFERENCE_DISTANCES) * REFERENCE_WEIGHTS

    @cache
    def losing(threshold: float) -> tuple[IntArray, FloatArray]:
        return crossings.losing(threshold, bonus)

    @cache
    def dollars(threshold: float, until: int) -> FloatArray:
        """US dollars that the accounts lose on each path by crossing within `until` bars, (n_paths,)."""
        rows, loss = losing(threshold)
        paid = threshold if crossings.credit is None else crossings.paid(threshold)[rows]
        debt = budget.supply_usd * paid * debt_share[crossings.account[rows]]
        lost = loss * debt * (crossings.bar[rows] <= until)
        return np.bincount(crossings.path[rows], weights=lost, minlength=crossings.n_paths).astype(np.float64)

    def expected(threshold: float) -> bool:
        mean = float(dollars(threshold, life).mean()) / years
        return mean <= budget.share * appetite.expected_bad_debt_usd_per_year

    def shortfall(threshold: float) -> bool:
        return mean_of_worst(dollars(threshold, horizon), ES_CONFIDENCE) <= budget.share * appetite.es99_usd

    def breach(threshold: float) -> bool:
        above = dollars(threshold, life) > budget.share * appetite.shortfall_tolerance_usd
        return float(above.mean()) <= appetite.breach_probability

    def crossing(threshold: float) -> bool:
        lost = float(losing(threshold)[1].sum())
        return lost <= appetite.mean_loss_given_crossing * len(crossings)

    found: dict[str, Callable[[float], bool]] = {
        "expected bad debt a year": expected,
        "expected shortfall at 99 %": shortfall,
        "probability of a breach": breach,
    }
    if budget.reference_book:
        found["mean loss of debt that crosses"] = crossing
    return found


def limits(crossings: Crossings, budget: Budget, bonus: float) -> dict[str, float]:
    """Largest threshold that each constraint allows, below the toxic frontier threshold * (1 + bonus) = 1."""
    frontier = 1.0 / (1.0 + bonus)
    found = {"toxic frontier": largest_within(lambda threshold: threshold < frontier)}
    for name, holds in constraints(crossings, budget, bonus).items():
        found[name] = largest_within(holds, upper=found["toxic frontier"] + BASIS_POINT)
    return found


def any_shortfall(crossings: Crossings, threshold: float, bonus: float) -> float:
    """Share of paths on which at least one position falls short."""
    rows, loss = crossings.losing(threshold, bonus)
    return len(np.unique(crossings.path[rows[loss > BASIS_POINT * 1e-3]])) / crossings.n_paths
