"""The book of a parameter set: it follows the set, the reference book, and who a change would liquidate."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from risk.errors import EvidenceError
from risk.exposure import REFERENCE_DISTANCES
from risk.market import Book, MarketSnapshot, Origin
from risk.parameters import Key, Malformed, ParameterSet
from risk.stress.book import StressBook, book_of, newly_liquidatable
from risk.units import Ratio, TokenAmount
from tests.factories import ASSETS, PRICES, make_parameters, make_settings, make_snapshot

IN_FORCE = make_parameters()
THRESHOLD = Key.parse("lending/reserve/WETH/liquidation_threshold")
CAP = Key.parse("lending/reserve/WETH/supply_cap")


def changed(key: Key, text: str) -> ParameterSet:
    value = TokenAmount(Decimal(text), "WETH") if key == CAP else Ratio(Decimal(text))
    return IN_FORCE.replace({key: value})


def health(book: StressBook) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.asarray((book.collateral @ (book.price * book.threshold)) / (book.debt @ book.price))


@pytest.fixture(scope="module")
def snapshot() -> MarketSnapshot:
    return make_snapshot()


def test_the_set_in_force_carries_the_book_as_it_is(snapshot: MarketSnapshot) -> None:
    assert snapshot.book is not None
    found = book_of(snapshot, make_settings(), snapshot.in_force)
    columns = [ASSETS.index(name) for name in found.assets]
    assert found.collateral == pytest.approx(snapshot.book.collateral[:, columns])
    assert found.debt == pytest.approx(snapshot.book.debt[:, columns])
    assert found.origin is Origin.MEASURED
    assert found.note.startswith("long run")


def test_debt_follows_the_threshold_and_collateral_the_cap_at_the_same_health(snapshot: MarketSnapshot) -> None:
    settings = make_settings()
    before = book_of(snapshot, settings, IN_FORCE)
    for parameters, factor in ((changed(THRESHOLD, "0.90"), 1.0), (changed(CAP, "120000"), 2.0)):
        after = book_of(snapshot, settings, parameters)
        eth = before.assets.index("ETH")
        assert after.collateral[:, eth] == pytest.approx(factor * before.collateral[:, eth])
        assert health(after) == pytest.approx(health(before))
        only = (before.collateral[:, eth] > 0) & ((before.collateral > 0).sum(axis=1) == 1)
        assert only.any()
        expected = 0.90 / 0.83 if factor == 1 else 2.0
        assert after.debt[only] == pytest.approx(expected * before.debt[only])
        without = before.collateral[:, eth] == 0
        assert after.debt[without] == pytest.approx(before.debt[without])


def test_a_lower_cap_removes_nobody(snapshot: MarketSnapshot) -> None:
    """It stops new supply: what is held and owed stays, so a cut cannot pay for a threshold."""
    settings = make_settings()
    before = book_of(snapshot, settings, IN_FORCE)
    for cap in ("59999", "1"):
        after = book_of(snapshot, settings, changed(CAP, cap))
        assert (after.collateral == before.collateral).all()
        assert (after.debt == before.debt).all()


def test_a_higher_cap_lets_grow_only_where_it_has_room() -> None:
    """20 WETH held under a cap of 8 fill any cap up to 20; beyond it they fill the new one."""
    settings, in_force = make_settings(), changed(CAP, "8")
    snapshot = make_snapshot(book=one_account(1.5).book, in_force=in_force)
    for cap, held in (("4", 20.0), ("16", 20.0), ("20", 20.0), ("40", 40.0)):
        found = book_of(snapshot, settings, in_force.replace(changed(CAP, cap).values))
        assert found.collateral.sum() == pytest.approx(held)
    assert "a lower cap stops new supply" in found.note


def test_the_reference_book_says_that_a_cut_cap_is_positions_gone() -> None:
    found = book_of(make_snapshot(book=False), make_settings(), changed(CAP, "30000"))
    assert "a cut of a cap is taken as positions that have left" in found.note


def test_a_threshold_that_was_not_in_force_liquidates_nobody_anew() -> None:
    less = ParameterSet({key: value for key, value in IN_FORCE.values.items() if key != THRESHOLD})
    assert len(newly_liquidatable(one_account(1.02), make_settings(), less, changed(THRESHOLD, "0.5"))) == 0


def test_zero_threshold_carries_no_debt_and_an_unlimited_cap_changes_nothing(snapshot: MarketSnapshot) -> None:
    settings = make_settings()
    gone = book_of(snapshot, settings, changed(THRESHOLD, "0"))
    eth = gone.assets.index("ETH")
    only = (gone.collateral[:, eth] > 0) & ((gone.collateral > 0).sum(axis=1) == 1)
    assert (gone.debt[only] == 0).all()
    free = book_of(snapshot, settings, changed(CAP, "0"))
    assert free.collateral == pytest.approx(book_of(snapshot, settings, IN_FORCE).collateral)


def test_reference_book_uses_each_cap_at_all_distances() -> None:
    settings, snapshot = make_settings(), make_snapshot(book=False)
    found = book_of(snapshot, settings, IN_FORCE)
    assert found.origin is Origin.ASSUMED
    assert len(found.accounts) == 5 * len(REFERENCE_DISTANCES)
    eth = found.assets.index("ETH")
    usd = found.collateral @ found.price
    rows = [i for i, name in enumerate(found.accounts) if name.startswith("ETH at")]
    assert found.collateral[rows, eth].sum() == pytest.approx(60_000)
    assert (found.debt[rows] @ found.price) / usd[rows] == pytest.approx(0.83 * (1 - REFERENCE_DISTANCES))
    assert (found.debt[rows] > 0).sum(axis=0).tolist() == [
        len(rows) if name == "USDC" else 0 for name in found.assets
    ]  # fmt: skip
    assert 1 / health(found) == pytest.approx(np.tile(1 - REFERENCE_DISTANCES, 5))
    wider = book_of(snapshot, settings, changed(CAP, "120000"))
    assert wider.collateral[rows, eth].sum() == pytest.approx(120_000)


def test_evidence_that_is_missing_is_named(snapshot: MarketSnapshot) -> None:
    settings = make_settings()
    wrong = IN_FORCE.replace({THRESHOLD: Malformed("6400", "a ratio needs a percent sign")})
    with pytest.raises(EvidenceError, match="WETH/liquidation_threshold: the value cannot be read"):
        book_of(snapshot, settings, wrong)
    less = ParameterSet({key: value for key, value in IN_FORCE.values.items() if key != THRESHOLD})
    with pytest.raises(EvidenceError, match="ETH: collateral in the book has no liquidation_threshold"):
        book_of(snapshot, settings, less)
    assets = settings.model_dump(mode="json")["assets"]
    unlisted = make_settings(assets={"ETH": {**assets["ETH"], "reserve": None}})
    with pytest.raises(EvidenceError, match="ETH: collateral in the book is no reserve"):
        book_of(snapshot, unlisted, IN_FORCE)
    without_cap = ParameterSet({key: value for key, value in IN_FORCE.values.items() if key != CAP})
    with pytest.raises(EvidenceError, match="no exposure is known"):
        book_of(make_snapshot(book=False), settings, without_cap)


def one_account(health_factor: float, owed: str = "USDC") -> MarketSnapshot:
    collateral, debt = np.zeros((2, len(ASSETS))), np.zeros((2, len(ASSETS)))
    collateral[:, ASSETS.index("ETH")] = 10.0
    debt[0, ASSETS.index(owed)] = 10 * PRICES["ETH"] * 0.83 / health_factor / PRICES[owed]
    return make_snapshot(book=Book(("near", "free"), ASSETS, collateral, debt, Origin.MEASURED))


def test_who_a_change_liquidates_on_the_book_as_it_is() -> None:
    settings, snapshot = make_settings(), one_account(1.02)
    tighter = changed(THRESHOLD, "0.81")
    found = newly_liquidatable(snapshot, settings, IN_FORCE, tighter)
    assert found["account"].tolist() == ["near"]
    assert found["health_before"] == pytest.approx([1.02])
    assert found["health_after"] == pytest.approx([1.02 * 0.81 / 0.83])
    assert found["debt_usd"] == pytest.approx([24_900 / 1.02])
    assert len(newly_liquidatable(snapshot, settings, IN_FORCE, changed(THRESHOLD, "0.82"))) == 0
    assert len(newly_liquidatable(snapshot, settings, tighter, tighter)) == 0  # it was below before
    assert len(newly_liquidatable(snapshot, settings, tighter, IN_FORCE)) == 0
    with pytest.raises(EvidenceError, match="no positions are known"):
        newly_liquidatable(make_snapshot(book=False), settings, IN_FORCE, tighter)


def test_without_drops_accounts_and_columns(snapshot: MarketSnapshot) -> None:
    whole = book_of(snapshot, make_settings(), IN_FORCE)
    found = whole.without(frozenset({"LINK"}))
    assert "LINK" not in found.assets
    link = whole.assets.index("LINK")
    assert len(found.accounts) == int((whole.collateral[:, link] == 0).sum())
    assert (found.debt @ found.price).sum() < (whole.debt @ whole.price).sum()
    assert whole.without(frozenset()).accounts == whole.accounts
