"""The liquidation threshold: the largest one under which loss over the parameter's life stays in the budgets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from risk.exposure import REFERENCE_DISTANCES, REFERENCE_WEIGHTS
from risk.market import FloatArray
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
        The reserve's part of the dollar budgets: its share of all collateral at full caps.
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


def dollar_losses(crossings: Crossings, budget: Budget, threshold: float, bonus: float, until: int) -> FloatArray:
    """US dollars that the accounts lose on each path by crossing within `until` bars, (n_paths,)."""
    debt = budget.supply_usd * threshold * (1.0 - REFERENCE_DISTANCES) * REFERENCE_WEIGHTS
    loss = crossings.loss(threshold, bonus) * debt[crossings.account] * (crossings.bar <= until)
    totals: FloatArray = np.bincount(crossings.path, weights=loss, minlength=crossings.n_paths).astype(np.float64)
    return totals


def mean_of_worst(losses: FloatArray, confidence: float) -> float:
    """Expected shortfall: the mean of the worst (1 - confidence) share, at least one path."""
    count = max(1, round((1.0 - confidence) * len(losses)))
    return float(np.sort(losses)[-count:].mean())


def constraints(crossings: Crossings, budget: Budget, bonus: float) -> dict[str, Callable[[float], bool]]:
    """Conditions on the threshold, by name; each fails for good once it fails as the threshold grows."""
    appetite = budget.appetite
    life = appetite.parameter_life // budget.interval
    horizon = max(1, appetite.es_horizon // budget.interval)
    years = appetite.parameter_life / (365 * DAY)

    def expected(threshold: float) -> bool:
        mean = float(dollar_losses(crossings, budget, threshold, bonus, life).mean()) / years
        return mean <= budget.share * appetite.expected_bad_debt_usd_per_year

    def shortfall(threshold: float) -> bool:
        losses = dollar_losses(crossings, budget, threshold, bonus, horizon)
        return mean_of_worst(losses, ES_CONFIDENCE) <= budget.share * appetite.es99_usd

    def breach(threshold: float) -> bool:
        losses = dollar_losses(crossings, budget, threshold, bonus, life)
        above = losses > budget.share * appetite.shortfall_tolerance_usd
        return float(above.mean()) <= appetite.breach_probability

    def crossing(threshold: float) -> bool:
        loss = crossings.loss(threshold, bonus)
        return not len(loss) or float(loss.mean()) <= appetite.mean_loss_given_crossing

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
    short = crossings.path[crossings.loss(threshold, bonus) > BASIS_POINT * 1e-3]
    return len(np.unique(short)) / crossings.n_paths
