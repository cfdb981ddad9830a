"""What Aave v3 stores, decoded: against real reserves, a second packing, and words told bit by bit."""

from __future__ import annotations

import csv
import gzip
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from risk.errors import DataError
from risk.market import StepBound
from risk.protocols.aave_v3 import HUNDRED_PERCENT
from risk.protocols.aave_v3_state import (
    RATES,
    RAY,
    bonus_above_par,
    decode_configuration,
    decode_rates,
    decode_steward,
    decode_triple,
    members,
    uses,
)
from risk.units import GRIDS, Ratio, TokenAmount, Usd

LAYOUT = (
    ("ltv", 16), ("threshold", 16), ("bonus", 16), ("decimals", 8), ("active", 1), ("frozen", 1), ("borrowing", 1),
    ("stable_borrowing", 1), ("paused", 1), ("borrowable_in_isolation", 1), ("siloed_borrowing", 1),
    ("flash_loans", 1), ("reserve_factor", 16), ("borrow_cap", 36), ("supply_cap", 36), ("protocol_fee", 16),
    ("mode", 8), ("unbacked_mint_cap", 36), ("debt_ceiling", 40),
)  # fmt: skip
"""DataTypes.ReserveConfigurationMap from the lowest bit up, written down a second time: widths, not places."""


def packed(**values: int) -> int:
    """The configuration word as text of bits, each field in its width."""
    text = ""
    for name, width in LAYOUT:
        text = f"{values.get(name, 0):0{width}b}" + text
        assert len(text) == sum(w for n, w in LAYOUT[: LAYOUT.index((name, width)) + 1]), f"{name} does not fit"
    return int(text, 2)


def test_the_layout_fills_the_word() -> None:
    """252 bits, which is where version 3.1 keeps its next flag."""
    assert sum(width for _, width in LAYOUT) == 252


@st.composite
def words(draw: st.DrawFn) -> dict[str, int]:
    values = {name: draw(st.integers(0, 2**width - 1)) for name, width in LAYOUT}
    return {**values, "bonus": draw(st.one_of(st.just(0), st.integers(HUNDRED_PERCENT, 2**16 - 1)))}


@given(words())
@example({name: 2**width - 1 for name, width in LAYOUT})
@example({name: 2 ** (width - 1) for name, width in LAYOUT})
def test_any_word_comes_back(values: dict[str, int]) -> None:
    found = decode_configuration(packed(**values), "WETH")
    ratios = {
        "collateral_factor": values["ltv"],
        "liquidation_threshold": values["threshold"],
        "liquidation_bonus": values["bonus"] - HUNDRED_PERCENT if values["bonus"] else 0,
        "reserve_factor": values["reserve_factor"],
        "liquidation_protocol_fee": values["protocol_fee"],
    }
    assert found.parameters == {
        **{name: Ratio(Decimal(raw) / 10_000) for name, raw in ratios.items()},
        "supply_cap": TokenAmount(Decimal(values["supply_cap"]), "WETH"),
        "borrow_cap": TokenAmount(Decimal(values["borrow_cap"]), "WETH"),
        "debt_ceiling": Usd(Decimal(values["debt_ceiling"]) / 100),
    }
    assert found.flags == {name: bool(values[name]) for name in found.flags}
    assert set(found.flags) == {name for name, width in LAYOUT if width == 1}
    assert (found.decimals, found.efficiency_mode) == (values["decimals"], values["mode"])
    assert all(GRIDS["aave_v3"].holds(value) for value in found.parameters.values())


@pytest.mark.parametrize("stored", [1, 500, 9_999])
def test_a_bonus_below_par_is_refused(stored: int) -> None:
    with pytest.raises(DataError, match="100 %"):
        decode_configuration(packed(bonus=stored), "WETH")


def test_a_bonus_of_exactly_par_is_none() -> None:
    assert bonus_above_par(HUNDRED_PERCENT, "") == bonus_above_par(0, "") == 0


def test_rates_are_exact_in_either_scale() -> None:
    bps, ray = (9000, 100, 350, 8000), (9 * RAY // 10, RAY // 100, 35 * RAY // 1000, 8 * RAY // 10)
    assert decode_rates(bps, HUNDRED_PERCENT) == decode_rates(ray, RAY)
    third = decode_rates((RAY, 1, 10**28 + 1, 0), RAY)
    assert str(third["base_borrow_rate"].value) == "1E-27"
    assert str(third["borrow_rate_slope_below"].value) == f"10.{1:027d}", "29 digits, more than the default context"


def test_a_mode_is_read_like_a_reserve() -> None:
    found = decode_triple((9300, 9500, 10_100), "1")
    assert {name: str(value) for name, value in found.items()} == {
        "collateral_factor": "93.00%",
        "liquidation_threshold": "95.00%",
        "liquidation_bonus": "1.00%",
    }


def test_bitmaps() -> None:
    assert members(0) == []
    assert members(0b1001_0000_0001) == [0, 8, 11]
    borrowing_0, collateral_2 = 1, 1 << 5
    assert uses(borrowing_0 | collateral_2, 0) == (True, False)
    assert uses(borrowing_0 | collateral_2, 2) == (False, True)
    assert uses(borrowing_0 | collateral_2, 1) == (False, False)


def test_both_generations_of_the_steward() -> None:
    """Ltv first and price caps last in both; caps are relative, ratios are points."""
    day = 86_400
    first = [word for n in range(12) for word in (n * day, 100 * n)]
    later = [word for n in range(15) for word in (n * day, 100 * n)]
    old, others = decode_steward(first)
    assert old["collateral_factor"] == StepBound(0.0, False, 0)
    assert old["supply_cap"] == StepBound(0.03, True, 3 * day)
    assert old["debt_ceiling"] == StepBound(0.05, True, 5 * day)
    assert old["optimal_utilisation"] == StepBound(0.09, False, 9 * day)
    assert others == {"price_cap.lst": (10 * day, 1000), "price_cap.stable": (11 * day, 1100)}
    new, others = decode_steward(later)
    assert new["liquidation_bonus"] == StepBound(0.02, False, 2 * day)
    assert others["efficiency_mode.liquidation_threshold"] == (4 * day, 400)
    assert new["base_borrow_rate"] == StepBound(0.06, False, 6 * day)
    assert new["supply_cap"] == StepBound(0.1, True, 10 * day)
    assert new["borrow_cap"] == StepBound(0.11, True, 11 * day)
    assert "debt_ceiling" not in new
    assert others["discount_rate.pendle"] == (14 * day, 1400)


@pytest.mark.parametrize("count", [0, 1, 22, 23, 25, 28, 29, 31, 32])
def test_an_unknown_generation_is_refused(count: int) -> None:
    with pytest.raises(DataError, match="unknown layout"):
        decode_steward([1] * count)


@pytest.mark.data
def test_real_reserves(shared: Path) -> None:
    """203 reserves of governance's pool snapshots, packed a second way, decode to what the snapshots say.

    Those with caps are Aave v3. Of 2023 they hold the rates in ray; all lie on the basis points of later versions.
    """
    path = shared / "data" / "aave_governance_params" / "aave_pool_snapshots.csv.gz"
    with gzip.open(path, "rt") as file:
        rows = [row for row in csv.DictReader(file) if row["supplyCap"]]
    assert len(rows) > 100
    for row in rows:
        raw = {name: int(float(row[name] or 0)) for name in _SNAPSHOT.values()}
        word = packed(
            **{ours: raw[theirs] for ours, theirs in _SNAPSHOT.items()},
            active=row["isActive"] == "True",
            frozen=row["isFrozen"] == "True",
            borrowing=row["borrowingEnabled"] == "True",
        )
        found = decode_configuration(word, row["symbol"])
        texts = {name: str(value) for name, value in found.parameters.items()}
        assert texts["liquidation_threshold"] == f"{raw['liquidationThreshold'] / 100:.2f}%"
        bonus = max(raw["liquidationBonus"] - 10_000, 0)
        assert texts["liquidation_bonus"] == f"{bonus / 100:.2f}%"
        assert texts["supply_cap"] == f"{raw['supplyCap']} {row['symbol']}"
        assert found.flags["frozen"] is (row["isFrozen"] == "True")
        assert found.decimals == int(row["decimals"])
        if row["optimalUsageRatio"]:
            rates = decode_rates([int(row[name]) for name in _RATES], RAY)
            assert all(GRIDS["aave_v3"].holds(rate) for rate in rates.values())
            slope = Decimal(row["variableRateSlope1"]) / 10**25
            assert str(rates[RATES[2]]) == f"{slope:.2f}%"


_SNAPSHOT = {
    "ltv": "ltv", "threshold": "liquidationThreshold", "bonus": "liquidationBonus", "decimals": "decimals",
    "reserve_factor": "reserveFactor", "borrow_cap": "borrowCap", "supply_cap": "supplyCap",
    "protocol_fee": "liquidationProtocolFee", "mode": "eModeCategory", "debt_ceiling": "debtCeiling",
}  # fmt: skip
_RATES = ("optimalUsageRatio", "baseVariableBorrowRate", "variableRateSlope1", "variableRateSlope2")


@pytest.mark.data
def test_another_decoder_of_the_same_contracts_agrees(shared: Path) -> None:
    """Ethereum's WETH and USDC as governance reports state them raw, against the fractions of the daily states."""
    import duckdb

    path = shared / "data" / "aave_v3_daily_state" / "aave_v3_daily_state.parquet"
    query = """SELECT DISTINCT loan_to_value, liquidation_threshold, liquidation_bonus, reserve_factor
               FROM read_parquet(?) WHERE network = 'ethereum' AND symbol = ? AND date = '2026-02-14'"""
    raw = {"WETH": (8050, 8300, 10_500, 1500), "USDC": (7500, 7800, 10_450, 1000)}
    names = ("collateral_factor", "liquidation_threshold", "liquidation_bonus", "reserve_factor")
    for symbol, (ltv, threshold, bonus, factor) in raw.items():
        [told] = duckdb.execute(query, [str(path), symbol]).fetchall()
        found = decode_configuration(packed(ltv=ltv, threshold=threshold, bonus=bonus, reserve_factor=factor), symbol)
        assert tuple(float(found.parameters[name].value) for name in names) == told
