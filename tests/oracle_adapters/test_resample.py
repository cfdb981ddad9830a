"""Longer bars: against pandas, and where bars are missing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracle_adapters.feed import COLUMNS, Kind
from oracle_adapters.resample import resample
from risk.artifact import Table
from risk.errors import DataError

FIELDS = ("close", "high", "low", "open", "volume")
RULES = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}


def market(ends: list[int], seed: int, *, late: int = 0) -> Table:
    """Bars of all fields that end then."""
    rng = np.random.default_rng(seed)
    cells = ((end, name) for end in ends for name in FIELDS)
    return Table.from_rows(COLUMNS[Kind.PRICE], ((end, name, end + late, rng.uniform(1, 9)) for end, name in cells))


def with_pandas(rows: Table, interval: int, longer: int) -> Table:
    """The same by another program: bars closed and labelled at their right end, whole ones only."""
    frame = pd.DataFrame({name: rows[name] for name in ("observed_at", "field", "value")})
    wide = frame.pivot(index="observed_at", columns="field", values="value")
    wide.index = pd.to_datetime(wide.index, unit="s")
    bars = wide.resample(pd.Timedelta(seconds=longer), closed="right", label="right", origin="epoch")
    made = bars.agg(RULES)[bars["close"].count() == longer // interval]
    ends = (made.index - pd.Timestamp(0)) // pd.Timedelta(seconds=1)
    return Table.from_rows(
        COLUMNS[Kind.PRICE],
        ((int(end), name, int(end), float(made[name].iloc[i])) for i, end in enumerate(ends) for name in FIELDS),
    )


@settings(max_examples=25, deadline=None)
@given(st.sets(st.integers(1, 60), min_size=1), st.sampled_from([60, 120, 300, 900]), st.integers(0, 99))
def test_it_agrees_with_pandas_and_leaves_out_what_is_incomplete(minutes: set[int], longer: int, seed: int) -> None:
    rows = market([60 * minute for minute in sorted(minutes)], seed)
    found, expected = resample(rows, 60, longer), with_pandas(rows, 60, longer)
    for name in ("observed_at", "field", "known_at"):
        assert found.rows[name].tolist() == expected[name].tolist()
    np.testing.assert_allclose(found.rows["value"], expected["value"], rtol=15 * 2.0**-52)  # sums of 15 terms
    touched = {-(-minute * 60 // longer) for minute in minutes}
    assert found.counted.get("incomplete", 0) == 5 * len(touched) - len(expected)


def test_a_bar_by_hand() -> None:
    values = {"open": [3.0, 9.0], "high": [5.0, 9.5], "low": [2.0, 8.0], "close": [4.0, 9.2], "volume": [1.0, 2.5]}
    rows = Table.from_rows(
        COLUMNS[Kind.PRICE], ((60 * (i + 1), name, 60 * (i + 1), values[name][i]) for i in range(2) for name in FIELDS)
    )
    made = resample(rows, 60, 120).rows
    assert dict(zip(made["field"].tolist(), made["value"].tolist(), strict=True)) == {
        "open": 3.0, "high": 9.5, "low": 2.0, "close": 9.2, "volume": 3.5,
    }  # fmt: skip
    assert set(made["observed_at"].tolist()) == {120}


def test_a_bar_is_known_when_its_last_part_is() -> None:
    assert set(resample(market([60, 120], 1, late=7), 60, 120).rows["known_at"].tolist()) == {127}


def test_the_same_length_changes_nothing() -> None:
    rows = market([60, 120, 300], 2)
    assert resample(rows, 60, 60).rows.digest() == rows.digest()
    assert len(resample(market([], 1), 60, 300).rows) == 0


@pytest.mark.parametrize(
    ("rows", "interval", "longer", "said"),
    [
        (market([60], 1), 60, 90, "a multiple"),
        (market([60], 1), 60, 0, "a multiple"),
        (market([61], 1), 60, 120, "does not end on its interval"),
        (Table.from_rows(COLUMNS[Kind.PRICE], [(60, "rate", 60, 1.0)]), 60, 120, "no bars are made of this field"),
    ],
)
def test_what_cannot_be_done_is_refused(rows: Table, interval: int, longer: int, said: str) -> None:
    with pytest.raises(DataError, match=said):
        resample(rows, interval, longer)
