"""Rows out of a store and back, to the last bit; and files that are wrong, by row and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from oracle_adapters.feed import COLUMNS, FeedSpec, Kind
from oracle_adapters.interchange import export_rows, import_rows
from oracle_adapters.store import Store
from risk.artifact import Table
from risk.errors import DataError, InputError

FEEDS = [FeedSpec(Kind.PRICE, base, "USD", f"files:o'{base}.csv", 60) for base in ("BTC", "ETH")]
HEADER = "kind,base,quote,source,interval,observed_at,field,known_at,value"


def rows(*listed: tuple[int, str, int, float]) -> Table:
    return Table.from_rows(COLUMNS[Kind.PRICE], listed)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    kept = Store(tmp_path / "store")
    kept.append(FEEDS[0], rows((60, "close", 60, 0.1), (120, "close", 120, 1 / 3), (120, "volume", 120, 5e-324)))
    kept.append(FEEDS[0], rows((60, "close", 600, 1.7976931348623157e308)))
    kept.append(FEEDS[1], rows((60, "close", 60, 68123.45)))
    return kept


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet", "o'clock.csv"])
def test_everything_comes_back_revisions_too(store: Store, tmp_path: Path, name: str) -> None:
    assert export_rows(store, tmp_path / name) == {FEEDS[0]: 4, FEEDS[1]: 1}
    other = Store(tmp_path / "other")
    assert import_rows(other, tmp_path / name) == {FEEDS[0]: 4, FEEDS[1]: 1}
    for spec in FEEDS:
        for at in (59, 60, 119, 120, 599, 600):
            assert other.content_hash(spec, known_at=at) == store.content_hash(spec, known_at=at)
    assert import_rows(other, tmp_path / name) == {FEEDS[0]: 0, FEEDS[1]: 0}
    assert not list(tmp_path.glob(".*")), "nothing is left aside"


def test_the_same_rows_make_the_same_file(store: Store, tmp_path: Path) -> None:
    export_rows(store, tmp_path / "a.csv")
    other = Store(tmp_path / "other")
    import_rows(other, tmp_path / "a.csv")
    export_rows(other, tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert (tmp_path / "a.csv").read_text().splitlines()[:2] == [
        HEADER,
        "price,BTC,USD,files:o'BTC.csv,60,60,close,60,0.1",
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("price,ETH,USD,x,60,60,close,60,soon", r"row 2, column value: not a finite number \(found 'soon'\)"),
        ("price,ETH,USD,x,60,60,close,60,inf", "row 2, column value: not a finite number"),
        ("price,ETH,USD,x,60,60,close,60,", "row 2, column value: not a finite number"),
        ("price,ETH,USD,x,60,-60,close,60,1", "row 2, column observed_at: not a whole number from zero on"),
        ("price,ETH,USD,x,60,60,close,then,1", "row 2, column known_at: not a whole number"),
        ("price,ETH,USD,x,60,60,close,59,1", "row 2, column known_at: known before it was observed"),
        ("price,ETH,USD,x,often,60,close,60,1", "row 2, column interval: not a whole number"),
        ("price,ETH,USD,x,0,60,close,60,1", "not a feed"),
        ("price,,USD,x,60,60,close,60,1", "not a feed"),
        ("nonsense,ETH,USD,x,60,60,close,60,1", "not a feed; known kinds are price"),
        (
            "price,ETH,USD,x,60,60,close,60,1\nprice,ETH,USD,x,60,60,close,60,2",
            "two values became known at one instant",
        ),
    ],
)
def test_a_wrong_row_is_named_and_nothing_is_added(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "rows.csv").write_text(f"{HEADER}\nprice,AAA,USD,x,60,60,close,60,1\n{line}\n")
    with pytest.raises(DataError, match=said):
        import_rows(Store(tmp_path / "store"), tmp_path / "rows.csv")
    if "two values" not in said:  # a conflict shows only where the rows meet, after the feeds before it
        assert not (tmp_path / "store").exists()


def test_a_column_that_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("kind,base,quote,source,interval\nprice,ETH,USD,x,60\n")
    with pytest.raises(DataError, match="column observed_at: a column is missing"):
        import_rows(Store(tmp_path / "store"), tmp_path / "rows.csv")
    (tmp_path / "rows.csv").write_text("time,close\n1,2\n")
    with pytest.raises(DataError, match="column kind: a column is missing"):
        import_rows(Store(tmp_path / "store"), tmp_path / "rows.csv")


def test_files_that_are_none(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ends in \.parquet or \.csv"):
        export_rows(store, tmp_path / "rows.xlsx")
    with pytest.raises(InputError, match="holds no feed"):
        export_rows(Store(tmp_path / "empty"), tmp_path / "rows.csv")
    with pytest.raises(DataError, match="no such file"):
        import_rows(store, tmp_path / "absent.csv")
    (tmp_path / "bad.parquet").write_bytes(b"nonsense")
    with pytest.raises(DataError, match="cannot be read"):
        import_rows(store, tmp_path / "bad.parquet")
    with pytest.raises(DataError, match="cannot be written"):
        export_rows(store, tmp_path / "nowhere" / "rows.csv")
    store.part_files(FEEDS[0])[0].write_bytes(b"nonsense")
    with pytest.raises(DataError, match="a part of the store is damaged"):
        export_rows(store, tmp_path / "rows.csv")
    assert not (tmp_path / "rows.csv").exists()
