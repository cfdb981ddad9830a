"""Efficiency modes: an account is liquidated at its mode's threshold and bonus, for the assets that the mode takes."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from risk.artifact import Table
from risk.errors import DataError, EvidenceError
from risk.market import Book, MarketSnapshot, Origin, frozen
from risk.parameters import Key, ParameterSet
from risk.stress.asset_terms import Modes
from risk.stress.book import book_of, newly_liquidatable
from risk.stress.kernel import LIQUIDATED, SEIZED, UNLIQUIDATED
from risk.stress.liquidation import depths_of, liquidate, terms_of
from risk.stress.reference import accounts_of, outcome, play
from risk.structure import STRUCTURE_SCHEMA
from risk.units import Ratio
from tests.factories import ASSETS, PRICES, make_parameters, make_settings, make_snapshot
from tests.stress.books import random_case

SETTINGS = make_settings()
OWN = 0.83
"""Threshold of the WETH reserve."""


def mode(threshold: str, bonus: str = "0.01") -> dict[Key, Ratio]:
    texts = {"collateral_factor": "0.80", "liquidation_threshold": threshold, "liquidation_bonus": bonus}
    return {Key("lending", "efficiency_mode", "1", (), name): Ratio(Decimal(text)) for name, text in texts.items()}


IN_FORCE = make_parameters().replace(mode("0.95"))


def market(loan_to_value: float, *, members: str = "WETH WSTETH", also: float = 0.0) -> MarketSnapshot:
    """Two accounts with 10 ETH (and LINK worth `also`) and a debt in USDC, of which the first is in the mode."""
    collateral, debt = np.zeros((2, len(ASSETS))), np.zeros((2, len(ASSETS)))
    collateral[:, ASSETS.index("ETH")] = 10.0
    collateral[:, ASSETS.index("LINK")] = also / PRICES["LINK"]
    debt[:, ASSETS.index("USDC")] = 10 * PRICES["ETH"] * loan_to_value / PRICES["USDC"]
    book = Book(("inside", "outside"), ASSETS, collateral, debt, Origin.MEASURED, ("lending/1", ""))
    facts = [("lending", "efficiency_mode", "1", "collateral", members, 0)] if members else []
    return replace(make_snapshot(book=book, in_force=IN_FORCE), structure=Table.from_rows(STRUCTURE_SCHEMA, facts))


def unliquidated(snapshot: MarketSnapshot, parameters: ParameterSet) -> dict[str, float]:
    """Debt of each account that could be liquidated at today's prices, where nothing can be sold."""
    found = {}
    for number, name in enumerate(("inside", "outside")):
        assert snapshot.book is not None
        alone = Book(
            (name,), ASSETS, snapshot.book.collateral[[number]], snapshot.book.debt[[number]], Origin.MEASURED,
            (snapshot.book.modes[number],),
        )  # fmt: skip
        of = book_of(replace(snapshot, book=alone), SETTINGS, parameters)
        terms = terms_of(snapshot, SETTINGS, of, {}, round_seconds=3600)
        found[name] = float(liquidate(of, np.ones((1, 1, len(of.assets))), terms, (0,))[0, 0, UNLIQUIDATED])
    return found


def test_safe_in_its_mode_and_liquidatable_outside_of_it() -> None:
    snapshot = market(0.9)
    debt = 10 * PRICES["ETH"] * 0.9
    assert unliquidated(snapshot, IN_FORCE) == pytest.approx({"inside": 0.0, "outside": debt})


def test_a_cut_of_the_mode_liquidates_who_is_in_it_and_nobody_else() -> None:
    snapshot = market(0.8)
    assert newly_liquidatable(snapshot, SETTINGS, IN_FORCE, IN_FORCE.replace(mode("0.81")))["account"].tolist() == []
    found = newly_liquidatable(snapshot, SETTINGS, IN_FORCE, IN_FORCE.replace(mode("0.79")))
    assert found["account"].tolist() == ["inside"]
    assert found["health_before"] == pytest.approx([0.95 / 0.8])
    assert found["health_after"] == pytest.approx([0.79 / 0.8])


def test_a_cut_of_the_reserve_spares_who_is_in_the_mode() -> None:
    cut = IN_FORCE.replace({Key.parse("lending/reserve/WETH/liquidation_threshold"): Ratio(Decimal("0.79"))})
    found = newly_liquidatable(market(0.8), SETTINGS, IN_FORCE, cut)
    assert found["account"].tolist() == ["outside"]


def test_only_what_the_mode_takes_counts_at_its_threshold() -> None:
    """LINK beside ETH keeps its own 71 %, also for the account that is in the mode."""
    of = book_of(market(0.5, also=10_000.0), SETTINGS, IN_FORCE)
    eth, link = of.assets.index("ETH"), of.assets.index("LINK")
    assert of.thresholds()[:, eth].tolist() == [0.95, OWN]
    assert of.bonuses()[:, eth].tolist() == [0.01, 0.05]
    assert len(set(of.thresholds()[:, link])) == len(set(of.bonuses()[:, link])) == 1
    none = book_of(market(0.5, members="WSTETH"), SETTINGS, IN_FORCE)
    assert none.thresholds()[:, none.assets.index("ETH")].tolist() == [OWN, OWN]


def test_the_mode_s_bonus_is_what_a_keeper_takes() -> None:
    snapshot = market(0.96)
    of = book_of(snapshot, SETTINGS, IN_FORCE)
    terms = terms_of(snapshot, SETTINGS, of, depths_of(snapshot, SETTINGS, of), round_seconds=3600)
    free = terms._replace(gas=0.0, execution_move=0.0, keeper_wait=0, depth=frozen(np.full(len(of.assets), 1e12)))
    found = liquidate(of, np.ones((1, 1, len(of.assets))), free, (0,))[0, 0]
    debt = 10 * PRICES["ETH"] * 0.96
    value = 10 * PRICES["ETH"]
    # Inside, at a health factor of .99, half of the debt goes at one per cent and is enough; outside, at .86, five per
    # cent use up the collateral.
    assert found[LIQUIDATED] == pytest.approx(debt / 2 + value / 1.05)
    assert found[SEIZED] == pytest.approx(1.01 * debt / 2 + value)


def test_debt_follows_the_threshold_of_the_account_s_mode() -> None:
    snapshot = market(0.8)
    before = book_of(snapshot, SETTINGS, IN_FORCE)
    after = book_of(snapshot, SETTINGS, IN_FORCE.replace(mode("0.90")))
    assert after.debt.sum(axis=1) / before.debt.sum(axis=1) == pytest.approx([0.90 / 0.95, 1.0])


def test_depth_is_looked_for_where_only_a_mode_makes_an_asset_collateral() -> None:
    keys = {name: Key.parse(f"lending/reserve/WETH/{name}") for name in ("liquidation_threshold", "liquidation_bonus")}
    alone = IN_FORCE.replace(dict.fromkeys(keys.values(), Ratio(Decimal(0))))
    snapshot = replace(market(0.8), in_force=alone)
    of = book_of(snapshot, SETTINGS, alone)
    assert depths_of(snapshot, SETTINGS, of)["ETH"].usd > 0


def test_what_is_not_known_of_a_mode_is_named() -> None:
    with pytest.raises(EvidenceError, match=r"lending/efficiency_mode/1: .*whose collateral is not known"):
        book_of(market(0.8, members=""), SETTINGS, IN_FORCE)
    with pytest.raises(EvidenceError, match="lending/efficiency_mode/1/liquidation_threshold"):
        book_of(market(0.8), SETTINGS, make_parameters())


def test_a_set_without_the_mode_is_compared_at_the_other_s() -> None:
    found = newly_liquidatable(market(0.9), SETTINGS, make_parameters(), IN_FORCE)
    assert len(found) == 0


def test_modes_are_in_the_artifact_only_where_somebody_is_in_one() -> None:
    snapshot = market(0.8)
    assert snapshot.book is not None
    again = MarketSnapshot.from_artifact(snapshot.artifact())
    assert again.book is not None
    assert again.book.modes == ("lending/1", "")
    assert again.artifact().content_hash == snapshot.artifact().content_hash
    nobody = replace(snapshot, book=replace(snapshot.book, modes=("", "")))
    assert "modes" not in nobody.artifact().document["book"]
    assert (
        nobody.artifact().content_hash
        == replace(snapshot, book=replace(snapshot.book, modes=())).artifact().content_hash
    )
    with pytest.raises(DataError, match="do not match accounts"):
        replace(snapshot.book, modes=("lending/1",))


def test_parts_of_a_book_keep_their_modes() -> None:
    of = book_of(market(0.5, also=10_000.0), SETTINGS, IN_FORCE)
    less = of.without(frozenset({"BTC"}))
    assert (less.thresholds() == of.thresholds()).all()
    assert of.without(frozenset({"LINK"})).accounts == ()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_the_compiled_engine_agrees_with_the_plain_one(seed: int) -> None:
    of, terms, paths = random_case(seed)
    rng = np.random.default_rng(seed)
    n, m = of.collateral.shape
    threshold = np.vstack((of.threshold, rng.uniform(0.8, 0.97, (2, m)) * (rng.random((2, m)) < 0.9)))
    bonus = np.vstack((of.bonus, rng.uniform(0.005, 0.03, (2, m))))
    of = replace(of, modes=Modes(frozen(rng.integers(0, 3, n), np.int64), frozen(threshold), frozen(bonus)))
    terms = terms._replace(bonus=of.largest_bonus())
    fast = liquidate(of, paths, terms, (paths.shape[1] - 1,))[:, 0]
    for found, path in zip(fast, paths, strict=True):
        accounts = accounts_of(of)
        ledger, last = play(accounts, path, terms)
        assert found == pytest.approx(outcome(accounts, ledger, last), rel=1e-9, abs=1e-3)
