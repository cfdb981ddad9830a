from __future__ import annotations

import pytest

from oracle_adapters.feed import COLUMNS, Chunk, FeedSpec, Kind, MemoryFeed, collect, price_series
from risk.artifact import Table
from risk.errors import DefectError
from tests.oracle_adapters.contract import check_feed

SPEC = FeedSpec(Kind.PRICE, "ETH", "USD", "memory", 60)


def rows(n: int = 7) -> Table:
    return Table.from_rows(
        COLUMNS[Kind.PRICE],
        (
            (60 * i, name, 60 * i + delay, value)
            for i in range(1, n + 1)
            for name, delay, value in (("close", 0, 1.0 + i), ("volume", 0, 5.0))
        ),
    )


@pytest.mark.parametrize("chunk_rows", [1, 3, 100])
def test_the_memory_feed_keeps_the_contract_for_any_chunk_size(chunk_rows: int) -> None:
    check_feed(MemoryFeed(SPEC, rows(), chunk_rows=chunk_rows))


def test_counts_of_chunks_add_up() -> None:
    class Twice:
        spec = SPEC

        def facts(self) -> dict[str, str]:
            return {}

        def fetch(self, start: int, stop: int):
            first = rows().take(rows()["observed_at"] < 200)
            rest = rows().take(rows()["observed_at"] >= 200)
            yield Chunk(Kind.PRICE, first, {"duplicates": 1})
            yield Chunk(Kind.PRICE, rest, {"duplicates": 2, "cut": 3})

    assert collect(Twice()).counted == {"duplicates": 3, "cut": 3}


def test_rows_become_one_series_a_field() -> None:
    close, volume = price_series(SPEC, rows())
    assert (close.field, volume.field) == ("close", "volume")
    assert close.value.tolist() == [2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    assert close.id == volume.id == "ETH/USD@memory"


def test_an_adapter_that_yields_rows_out_of_order_is_defective() -> None:
    with pytest.raises(DefectError, match="not in order"):
        Chunk(Kind.PRICE, rows().take(slice(None, None, -1)))


def test_an_adapter_that_yields_other_columns_is_defective() -> None:
    with pytest.raises(DefectError, match="not those of its kind"):
        Chunk(Kind.PRICE, Table.from_rows({"observed_at": "i8"}, [(1,)]))
