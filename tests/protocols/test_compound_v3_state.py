"""What Comet stores, decoded: its grid, its caps, its rates a second, and the real deployments."""

from __future__ import annotations

import csv
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.errors import DataError
from risk.protocols.compound_v3_state import SECONDS_PER_YEAR, decode_asset, fraction, per_year
from risk.units import Ratio, TokenAmount

TOKEN, FEED = "0x" + "Ab" * 20, "0x" + "Cd" * 20


def info(borrow: int, liquidate: int, factor: int, cap: int, scale: int = 10**18) -> tuple[Any, ...]:
    return 0, TOKEN, FEED, scale, borrow, liquidate, factor, cap


@given(st.tuples(*[st.integers(0, 10_000)] * 3), st.integers(1, 10**15), st.integers(0, 19))
def test_any_asset_comes_back(factors: tuple[int, int, int], cap: int, decimals: int) -> None:
    raw = info(*(one * 10**14 for one in factors), cap * 10**decimals, 10**decimals)
    found = decode_asset(raw, "WETH")
    names = ("collateral_factor", "liquidation_threshold", "liquidation_factor")
    expected = {name: Ratio(Decimal(one) / 10_000) for name, one in zip(names, factors, strict=True)}
    assert found.parameters == {**expected, "supply_cap": TokenAmount(Decimal(cap), "WETH")}
    assert (found.decimals, found.closed, found.address) == (decimals, False, TOKEN.lower())


@pytest.mark.parametrize(
    "raw",
    [
        info(10**13, 2 * 10**14, 10**18, 10**18),
        info(10**14, 2 * 10**14, 10**18, 10**18 + 1),
        info(10**14, 2 * 10**14, 10**18, 10**18, 10**18 - 1),
    ],
)
def test_what_comet_could_not_hold_is_refused(raw: tuple[Any, ...]) -> None:
    with pytest.raises(DataError, match="Comet"):
        decode_asset(raw, "WETH")


@given(st.integers(0, 10**20))
def test_a_yearly_rate_loses_less_than_a_unit_a_second(year: int) -> None:
    lost = fraction(year) - per_year(year // SECONDS_PER_YEAR)
    assert 0 <= lost < fraction(SECONDS_PER_YEAR)


@pytest.mark.data
def test_real_deployments(shared: Path) -> None:
    """Every asset of every deployment file comes back as it was written, its cap floored as the contract does it.

    So a cap of a tenth of a bitcoin, which one file holds, is stored as zero: the asset is closed.
    """
    path = shared / "data" / "compound_v3_params" / "comet_configuration_versions.csv"
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert len(rows) == 107
    closed = 0
    for row in rows:
        number, _, exponent = row["supply_cap"].partition("e")
        decimals = int(exponent)
        cap = int(Decimal(number)) * 10**decimals
        factors = [Decimal(row[name]) for name in ("borrow_cf", "liquidate_cf", "liquidation_factor")]
        raw = info(*(int(one * 10**18) for one in factors), cap, 10**decimals)
        found = decode_asset(raw, row["asset"])
        assert [found.parameters[name].value for name in found.parameters if name != "supply_cap"] == factors
        closed += found.closed
        if not found.closed:
            assert str(found.parameters["supply_cap"]) == f"{Decimal(number):f} {row['asset']}"
    assert closed == sum(row["supply_cap"].startswith(("0e", "0.1e")) for row in rows) > 1
