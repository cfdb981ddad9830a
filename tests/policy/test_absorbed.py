"""Loss under run-off where the protocol absorbs: what it pays at the end of the delay, and what its slices bring."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.market import frozen
from risk.policy.runoff import Crossings, find_crossings
from risk.policy.threshold import Budget, constraints, limits
from tests.factories import make_settings

FACTOR, BONUS = 0.95, 0.025 / 0.975
"""Liquidation factor, and the bonus of the 2.5 % discount that a store front of 50 % makes of it."""


def crossings(moves: list[list[float]], weights: list[float], credit: float | None = FACTOR) -> Crossings:
    n = len(moves)
    zeros = np.zeros(n, dtype=np.int64)
    return Crossings.ranked(
        np.arange(n), zeros, zeros + 1, np.array(moves), frozen(weights), frozen([0.03]), n, "closes", credit
    )


def test_by_hand() -> None:
    # Absorbed at the crossing for 95, sold half at once for 97.5 and half 8 % lower for 89.7.
    found = crossings([[0.0, 0.08]], [0.5, 0.5]).loss(0.83, BONUS)
    assert found == pytest.approx([0.5 * (1 - 0.92 * 0.975 / 0.95)])
    # Nothing is sold in the bar of the crossing: it is absorbed in the next one, 2 % lower, for 93.1.
    later = crossings([[0.0, 0.02, 0.10]], [0.0, 0.5, 0.5])
    assert later.paid(0.83) == pytest.approx([0.98 * 0.95])
    assert later.loss(0.83, BONUS) == pytest.approx([0.5 * (1 - 0.90 * 0.975 / (0.98 * 0.95))])
    # Fallen so far that its debt is more than it is credited with: the reserves pay the debt.
    deep = crossings([[0.2, 0.25]], [0.5, 0.5])
    assert deep.paid(0.83) == pytest.approx([0.83])
    assert deep.loss(0.83, BONUS) == pytest.approx([1 - 0.775 * 0.975 / 0.83])


def test_sold_when_absorbed_it_is_a_repayment_at_the_discount() -> None:
    """No time between the two leaves the reserves nothing to bear but debt: METHOD's slice with the buyer's bonus."""
    moves = [[v] for v in np.linspace(-0.05, 0.6, 40).tolist()]
    absorbed, repaid = crossings(moves, [1.0]), crossings(moves, [1.0], credit=None)
    dollars = absorbed.loss(0.83, BONUS) * absorbed.paid(0.83)
    assert dollars == pytest.approx(repaid.loss(0.83, BONUS) * 0.83, abs=1e-15)


@given(st.integers(0, 2**32 - 1))
def test_every_constraint_fails_for_good(seed: int) -> None:
    rng = np.random.default_rng(seed)
    price = np.cumsum(np.concatenate((np.zeros((200, 1)), rng.normal(0, 0.05, (200, 40))), axis=1), axis=1)
    weights = frozen([0.0, 0.3, 0.4, 0.3])
    found = find_crossings(price, frozen([0.03, 0.2]), weights, life=30, credit=FACTOR)
    budget = Budget(make_settings().appetite, 1.0, 1e8, 86_400, reference_book=True)
    for name, holds in constraints(found, budget, BONUS).items():
        held = [holds(t) for t in np.linspace(0.02, 0.97, 20)]
        assert held == sorted(held, reverse=True), name
    less = limits(found, budget, BONUS)
    more = limits(found.at_credit(None), budget, BONUS)
    dollars = set(less) - {"mean loss of debt that crosses"}
    assert all(less[name] <= more[name] for name in dollars), "what waits for a buyer costs no less"


def test_parts_and_joins_keep_the_credit() -> None:
    one = crossings([[0.0, 0.08], [0.1, 0.1]], [0.5, 0.5])
    assert Crossings.joined([one, one]).credit == FACTOR
    assert one.of_paths(np.array([True, False])).credit == FACTOR
    assert one.at_credit(None).losing(0.83, BONUS)[0].size < one.losing(0.83, BONUS)[0].size
