"""Absorption: hand-made cases, a plain twin against the compiled engine, and books of more than one market."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from risk.errors import EvidenceError
from risk.market import frozen
from risk.stress.asset_terms import Absorption
from risk.stress.book import StressBook
from risk.stress.kernel import DUST, FEES, LATENT, LIQUIDATED, REALISED, SEIZED, UNLIQUIDATED, Terms
from risk.stress.liquidation import liquidate
from tests.stress.books import Array, book, random_case, terms

FACTOR, DISCOUNT = 0.95, 0.5 * (1 - 0.95)
"""Liquidation factor, and the discount that a store front price factor of 50 % makes of it."""
BONUS = DISCOUNT / (1 - DISCOUNT)
SEEDS = st.integers(0, 2**32 - 1)


def comet(debt: float, threshold: float = 0.83, **changes: object) -> tuple[StressBook, Terms]:
    """100 dollars of the first asset against a debt in the second."""
    of = book([[100.0, 0.0]], [[0.0, debt]], threshold=[threshold, 0.0], bonus=[BONUS, 0.0])
    of = replace(of, absorption=Absorption(("comet", ""), frozen([FACTOR, 0.0])))
    return of, terms(of, **changes)


def fall(*levels: float) -> Array:
    path = np.ones((1, len(levels), 2))
    path[0, :, 0] = levels
    return path


@pytest.mark.parametrize(
    ("debt", "realised", "gained"),
    [
        (80.0, 0.0, 0.0),  # healthy
        (90.0, 0.0, 97.5 - 95),  # credited 95, so the account keeps 5 and the reserves the rest of the penalty
        (96.0, 0.0, 97.5 - 96),  # credited less than the debt: the reserves pay 96
        (98.0, 98 - 97.5, 0.0),  # and a debt beyond what the sale brings is their loss
    ],
)
def test_what_an_account_costs_and_what_its_sale_brings(debt: float, realised: float, gained: float) -> None:
    of, frictionless = comet(debt)
    found = liquidate(of, fall(1.0), frictionless, (0,))[0, 0]
    absorbed = debt > 83
    assert found[REALISED] == pytest.approx(realised, abs=1e-9)
    assert found[FEES] == pytest.approx(gained, abs=1e-9)
    assert found[LIQUIDATED] == (debt if absorbed else 0)
    assert found[SEIZED] == (100 if absorbed else 0)
    assert found[LATENT] == pytest.approx(0, abs=1e-9)
    assert found[UNLIQUIDATED] == pytest.approx(0, abs=1e-9)


def test_reserves_bear_the_fall_until_it_is_sold() -> None:
    of, nobody_buys = comet(90.0, depth=0.0)
    found = liquidate(of, fall(1.0, 0.9), nobody_buys, (0, 1))[0]
    # Paid 95 at the oracle's 1.0; at 0.9 the store front would bring 87.75.
    assert found[:, LATENT] == pytest.approx([0.0, 95 - 0.9 * 97.5])
    assert found[:, UNLIQUIDATED] == pytest.approx([95, 95])
    assert found[:, REALISED].tolist() == [0, 0]
    # Keepers that take a repayment instead would have left an open account that is still worth its debt.
    repaid = liquidate(replace(of, absorption=None), fall(1.0, 0.9), nobody_buys, (0, 1))[0]
    assert repaid[:, LATENT].tolist() == [0, 0]


def test_sales_go_with_the_depth_at_mean_cost() -> None:
    # The discount pays for a slippage of 1 - 1/(1+b), so a depth within it of D sells D / (1+b) of value each round.
    of, thin = comet(90.0, depth=20.0 * (1 + BONUS), recovery=0.0)
    found = liquidate(of, fall(1.0, 1.0, 0.95), thin, (0, 1, 2))[0]
    sold = 20.0  # dollars of collateral each round, at the market
    assert found[0, FEES] == pytest.approx(sold / 100 * (97.5 - 95))
    assert found[1, FEES] == pytest.approx(2 * sold / 100 * (97.5 - 95))
    assert found[2, REALISED] == pytest.approx(sold / 95 * (95 - 0.95 * 97.5))
    assert found[2, UNLIQUIDATED] == pytest.approx(95 * (1 - 0.4 - sold / 95))


def test_the_whole_account_waits_and_a_recovery_saves_it() -> None:
    of, slow = comet(82.0, keeper_wait=1)
    # Below its threshold for one round only: the wait starts anew.
    assert liquidate(of, fall(1.0, 0.98, 1.0, 0.98), slow, (3,))[0, 0, LIQUIDATED] == 0
    assert liquidate(of, fall(1.0, 0.98, 0.98), slow, (2,))[0, 0, LIQUIDATED] == 82


def test_gas_and_execution_stop_a_buyer() -> None:
    of, dear = comet(90.0, gas=BONUS + 0.001)
    assert liquidate(of, fall(1.0), dear, (0,))[0, 0, UNLIQUIDATED] == pytest.approx(95)
    shared = comet(90.0, protocol_share=1.0)[1]
    assert liquidate(of, fall(1.0), shared, (0,))[0, 0, UNLIQUIDATED] == 0, "a buyer shares its discount with nobody"


def play(of: StressBook, path: Array, how: Terms, credit: Array) -> Array:
    """The engine once more, account by account in plain Python: the six columns at the end of one path."""
    n, price, base = len(of.assets), how.price, len(of.assets) - 1
    owed = of.debt[:, base].copy()
    held, oracle, used = of.collateral.copy(), price.copy(), np.zeros(n)
    waited, stock, cost = [0] * len(owed), np.zeros(n), np.zeros(n)
    realised = fees = liquidated = seized = 0.0
    order = sorted(range(len(owed)), key=lambda i: (-(of.debt[i] @ price), of.accounts[i]))
    for now in range(len(path) * how.rounds):
        market = price * path[now // how.rounds]
        seen = price * path[max(now - how.oracle_lag, 0) // how.rounds]
        oracle = np.where(np.abs(seen / oracle - 1) >= how.deviation, seen, oracle)
        used = used * how.recovery
        for i in order:
            power = math.fsum(held[i] * oracle * of.threshold)
            if owed[i] <= 0 or power >= owed[i] * oracle[base]:
                waited[i] = 0
                continue
            if waited[i] < how.keeper_wait:
                waited[i] += 1
                continue
            value = held[i] * oracle
            if value.sum() <= 0:
                continue
            credited = value * credit
            paid = max(owed[i] * oracle[base], credited.sum()) / oracle[base]
            cost += paid * (credited / credited.sum() if credited.sum() > 0 else value / value.sum())
            stock += held[i]
            liquidated, seized = liquidated + owed[i] * oracle[base], seized + value.sum()
            held[i], owed[i] = 0.0, 0.0
        for j in range(n):
            bonus = of.bonus[j]
            if stock[j] <= 0 or bonus <= 0:
                continue
            gain = (1 + bonus) * market[j] / oracle[j]
            slippage = 1 - how.execution_move - (1 + how.gas) * market[base] / oracle[base] / gain
            asked = stock[j] * oracle[j] / (1 + bonus)
            paid = min(asked, (how.depth[j] * min(max(slippage / bonus, 0), 1) - used[j]) / gain)
            if paid <= DUST:
                continue
            profit = (paid / oracle[base] - cost[j] * paid / asked) * market[base]
            used[j] += paid * gain
            realised, fees = realised + max(-profit, 0), fees + max(profit, 0)
            stock[j], cost[j] = stock[j] * (1 - paid / asked), cost[j] * (1 - paid / asked)
    due = owed * market[base]
    latent = np.maximum(due - held @ market, 0).sum()
    latent += np.maximum(cost * market[base] - stock * market / (1 + of.bonus), 0).sum()
    open_debt = due[held @ (market * of.threshold) < due].sum() + (cost * market[base]).sum()
    return np.array([latent, realised, open_debt, liquidated, seized, fees])


def absorbing_case(seed: int) -> tuple[StressBook, Terms, Array, Array]:
    """A random book whose debts are all in the last asset, which is no collateral."""
    of, how, paths = random_case(seed)
    rng, n = np.random.default_rng(seed), len(of.assets)
    collateral = of.collateral.copy()
    collateral[:, -1] = 0.0
    collateral[:, 0] += 1e-3  # everybody holds something that is absorbed
    threshold = np.where(np.arange(n) == n - 1, 0.0, of.threshold)
    debt = np.zeros_like(of.debt)
    power = collateral @ (of.price * threshold)
    debt[:, -1] = power / of.price[-1] / rng.uniform(0.9, 2.0, len(power)) * (rng.random(len(power)) < 0.8)
    credit = np.where(np.arange(n) == n - 1, 0.0, rng.uniform(0.8, 1.0, n))
    front = rng.uniform(0.3, 1.0)
    discount = front * (1 - credit) * (credit > 0)
    bonus = frozen(discount / (1 - discount))
    market = tuple("" if j == n - 1 else "comet" for j in range(n))
    of = replace(
        of, collateral=frozen(collateral), debt=frozen(debt), threshold=frozen(threshold), bonus=bonus,
        absorption=Absorption(market, frozen(credit)),
    )  # fmt: skip
    return of, how._replace(bonus=bonus), paths, credit


@settings(deadline=None, max_examples=60)
@given(SEEDS)
def test_the_compiled_engine_agrees_with_the_plain_one(seed: int) -> None:
    of, how, paths, credit = absorbing_case(seed)
    fast = liquidate(of, paths, how, (paths.shape[1] - 1,))[:, 0]
    for found, path in zip(fast, paths, strict=True):
        assert found == pytest.approx(play(of, path, how, credit), rel=1e-9, abs=1e-3)


@settings(deadline=None, max_examples=40)
@given(SEEDS)
def test_reserves_never_lose_more_than_they_paid(seed: int) -> None:
    of, how, paths, _ = absorbing_case(seed)
    found = liquidate(of, paths, how, (paths.shape[1] - 1,))[:, 0]
    owed = (of.debt @ (of.price[:, None] * paths[:, :, :].max(axis=1).T)).sum(axis=0)
    value = (of.collateral @ (of.price[:, None] * paths.max(axis=1).T)).sum(axis=0)
    assert (found[:, REALISED] + found[:, LATENT] <= owed + value + 1e-6).all()
    assert (found >= 0).all()


def test_two_markets_and_keepers_add_up() -> None:
    collateral = np.diag([100.0, 100.0, 100.0, 0.0])[:3]
    debt = np.zeros((3, 4))
    debt[:, 3] = 98.0
    of = book(collateral, debt, threshold=[0.83] * 3 + [0.0], bonus=[BONUS] * 3 + [0.0])
    both = replace(of, absorption=Absorption(("one", "", "two", ""), frozen([FACTOR, 0.0, FACTOR, 0.0])))
    assert [market for market, _ in both.parts()] == ["", "one", "two"]
    path = np.ones((1, 1, 4))
    total = liquidate(both, path, terms(both), (0,))[0, 0]
    repaid = liquidate(
        of.without(frozenset({"X0", "X2"})), path[:, :, [1, 3]], terms(of.without(frozenset({"X0", "X2"}))), (0,)
    )
    assert total[REALISED] == pytest.approx(2 * (98 - 97.5) + repaid[0, 0, REALISED])
    assert total[LIQUIDATED] == pytest.approx(2 * 98 + repaid[0, 0, LIQUIDATED])


def test_an_account_in_two_markets_or_with_two_debts_is_refused() -> None:
    of = book([[100.0, 50.0, 0.0, 0.0]], [[0.0, 0.0, 50.0, 0.0]], bonus=BONUS)
    for markets, wrong in ((("one", "two", "", ""), "another market"), (("one", "", "", ""), "another market")):
        with pytest.raises(EvidenceError, match=wrong):
            list(replace(of, absorption=Absorption(markets, frozen([FACTOR] * 4))).parts())
    two = book([[100.0, 0.0, 0.0]], [[0.0, 40.0, 10.0]], bonus=BONUS)
    with pytest.raises(EvidenceError, match="two are owed"):
        list(replace(two, absorption=Absorption(("one", "", ""), frozen([FACTOR, 0, 0]))).parts())
