from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracle_adapters.feed import COLUMNS, FOREVER, Chunk, FeedSpec, Kind
from oracle_adapters.fetching import Status, fetch_one
from oracle_adapters.store import Store, StoredFeed
from risk.artifact import Table
from risk.errors import DataError, DefectError, SourceError
from tests.oracle_adapters.contract import check_feed

SPEC = FeedSpec(Kind.PRICE, "ETH", "USD", "files:o'clock.csv", 60)
Row = tuple[int, str, int, float]


def rows(*listed: Row) -> Table:
    return Table.from_rows(COLUMNS[Kind.PRICE], sorted(listed))


def bars(first: int, last: int) -> Table:
    return rows(*((60 * i, "close", 60 * i, 1.0 + i / 3) for i in range(first, last)))


HISTORY = st.lists(
    st.tuples(st.integers(1, 6), st.sampled_from(["close", "volume"]), st.integers(0, 4)), unique=True, max_size=20
).map(lambda keys: [(at, field, at + late, at + late / 7) for at, field, late in keys])
"""Values of a few bars, with revisions that became known up to four seconds later."""


def test_stored_rows_are_a_feed(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.append(SPEC, bars(1, 9))
    check_feed(StoredFeed(store, SPEC))
    assert store.read(SPEC).digest() == bars(1, 9).digest()
    assert store.specs() == (SPEC,)


def test_a_store_that_is_not_there_is_empty(tmp_path: Path) -> None:
    store = Store(tmp_path / "nowhere")
    assert len(store.read(SPEC)) == 0
    assert store.specs() == ()
    assert not (tmp_path / "nowhere").exists()


def test_appending_again_adds_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.append(SPEC, bars(1, 5)) == 4
    listed = sorted(tmp_path.rglob("*"))
    assert store.append(SPEC, bars(1, 5)) == 0
    assert store.append(SPEC, bars(3, 4)) == 0
    assert sorted(tmp_path.rglob("*")) == listed
    assert store.append(SPEC, bars(3, 7)) == 2


def test_feeds_do_not_mix(tmp_path: Path) -> None:
    store, other = Store(tmp_path), FeedSpec(Kind.PRICE, "BTC", "USD", SPEC.source, 60)
    store.append(SPEC, bars(1, 5))
    store.append(other, bars(1, 3))
    assert (len(store.read(SPEC)), len(store.read(other))) == (4, 2)
    assert store.specs() == (other, SPEC)


def test_a_revision_is_seen_from_when_it_was_known(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append(SPEC, rows((60, "close", 60, 1.0)))
    store.append(SPEC, rows((60, "close", 90, 1.5)))
    read = [store.read(SPEC, known_at=at)["value"].tolist() for at in (59, 60, 89, 90, FOREVER)]
    assert read == [[], [1.0], [1.0], [1.5], [1.5]]


def test_two_values_known_at_one_instant_are_refused_by_name(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append(SPEC, rows((60, "close", 60, 1.0), (120, "close", 120, 1.5)))
    with pytest.raises(DataError, match=r"60 close: two values became known at one instant, 60") as caught:
        store.append(SPEC, rows((60, "close", 60, 2.0), (180, "close", 180, 3.0)))
    assert (caught.value.file, caught.value.value) == (SPEC.id, ["1.0", "2.0"])
    assert store.read(SPEC)["value"].tolist() == [1.0, 1.5], "nothing of what came with it is kept"
    with pytest.raises(DataError, match="two values became known"):
        Store(tmp_path / "new").append(SPEC, rows((60, "close", 60, 1.0), (60, "close", 60, 2.0)))


def test_stores_that_were_copied_into_one_and_disagree_are_refused(tmp_path: Path) -> None:
    for name, value in (("a", 1.0), ("b", 2.0)):
        Store(tmp_path / name).append(SPEC, rows((60, "close", 60, value)))
    part = Store(tmp_path / "b").part_files(SPEC)[0]
    shutil.copy(part, Store(tmp_path / "a").part_files(SPEC)[0].parent / part.name)
    with pytest.raises(DataError, match="two values became known at one instant"):
        Store(tmp_path / "a").read(SPEC)


def test_a_row_known_before_1970_is_a_defect(tmp_path: Path) -> None:
    with pytest.raises(DefectError, match="before 1970"):
        Store(tmp_path).append(SPEC, rows((-60, "close", -60, 1.0)))


def test_a_slice_is_what_became_known_in_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for first in (1, 4, 8):
        store.append(SPEC, bars(first, first + 5))
    assert store.read(SPEC, start=180, stop=600).digest() == bars(3, 10).digest()
    assert store.read(SPEC, start=180, stop=600, known_at=300).digest() == bars(3, 6).digest()
    assert len(store.read(SPEC, start=600, stop=180)) == 0
    assert (store.count(SPEC), store.count(SPEC, 180, 600)) == (12, 7)


def test_one_field_can_be_read_alone(tmp_path: Path) -> None:
    both = rows(*((60 * i, name, 60 * i, float(i)) for i in range(1, 5) for name in ("close", "volume")))
    Store(tmp_path).append(SPEC, both)
    assert Store(tmp_path).read(SPEC, field="volume").digest() == both.where(field="volume").digest()
    assert len(Store(tmp_path).read(SPEC, field="o'pen")) == 0


@pytest.mark.parametrize("names", [["o'clock", "", "ä", 'q"'], [f"account {i}" for i in range(300)]])
def test_texts_come_back_few_or_many(tmp_path: Path, names: list[str]) -> None:
    """Few distinct texts are read as small numbers, many as they are."""
    table = rows(*((60, name, 60, float(i)) for i, name in enumerate(names)))
    Store(tmp_path).append(SPEC, table)
    assert Store(tmp_path).read(SPEC).digest() == table.digest()


def test_where_a_fetch_goes_on(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert (store.last_known(SPEC), store.resume_at(SPEC)) == (None, 0)
    store.append(SPEC, rows((60, "close", 60, 1.0), (120, "close", 120, 1.0)))
    store.append(SPEC, rows((60, "close", 500, 1.5)))
    assert store.last_known(SPEC) == 500
    assert store.resume_at(SPEC) == 120, "a revision that was known late says nothing of bars between"


@settings(max_examples=15, deadline=None)
@given(HISTORY, st.randoms(use_true_random=False), st.integers(0, 12))
def test_reads_depend_on_what_was_known_and_not_on_how_it_came(tmp_path_factory, history, random, known_at) -> None:
    store = Store(tmp_path_factory.mktemp("store"))
    shuffled = list(history)
    random.shuffle(shuffled)
    for first in range(0, len(shuffled), 3):
        store.append(SPEC, rows(*shuffled[first : first + 4]))  # overlapping parts
    last: dict[tuple[int, str], Row] = {}
    for row in sorted(history, key=lambda row: row[2]):
        if row[2] <= known_at:
            last[row[:2]] = row
    expected = rows(*last.values())
    assert store.read(SPEC, known_at=known_at).digest() == expected.digest()
    assert store.content_hash(SPEC, known_at=known_at) == expected.digest()


@settings(max_examples=15, deadline=None)
@given(HISTORY, HISTORY, st.integers(0, 12))
def test_later_knowledge_never_changes_an_earlier_read(tmp_path_factory, history, later, known_at) -> None:
    store = Store(tmp_path_factory.mktemp("store"))
    store.append(SPEC, rows(*history))
    before = store.content_hash(SPEC, known_at=known_at)
    store.append(SPEC, rows(*((at, field, known + 13, value + 1) for at, field, known, value in later)))
    assert store.content_hash(SPEC, known_at=known_at) == before


def test_writers_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    spans = [(1, 20), (10, 30), (1, 30), (25, 40), (1, 20), (5, 45)]
    with ThreadPoolExecutor(len(spans)) as pool:
        list(pool.map(lambda span: Store(tmp_path).append(SPEC, bars(*span)), spans))
    assert Store(tmp_path).read(SPEC).digest() == bars(1, 45).digest()
    assert not list(tmp_path.rglob("*.tmp"))


def test_values_come_back_to_the_last_bit(tmp_path: Path) -> None:
    values = [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, 68123.45]
    table = rows(*((i, "close", i, value) for i, value in enumerate(values)))
    Store(tmp_path).append(SPEC, table)
    assert Store(tmp_path).read(SPEC)["value"].tolist() == values


class _Counting:
    """Bars of minutes in pages of five, every fifth of which came late; the source may break off."""

    def __init__(self, stop: int, *, breaks_after: int | None = None) -> None:
        self._stop, self._breaks_after = stop, breaks_after

    spec = SPEC

    def facts(self) -> dict[str, str]:
        return {}

    def fetch(self, start: int, stop: int) -> Iterator[Chunk]:
        first = max(1, -(-start // 60))
        for page, n in enumerate(range(first, self._stop, 5)):
            if page == self._breaks_after:
                raise SourceError("broke off")
            numbers = range(n, min(n + 5, self._stop))
            yield Chunk(Kind.PRICE, bars(n, numbers.stop), {"late": sum(one % 5 == 2 for one in numbers)})


def test_counts_survive_the_store_whatever_the_fetch_went_through(tmp_path: Path) -> None:
    """Every fifth bar has one, and none of them ends a fetch, so that no instant is counted twice."""
    clean, resumed = Store(tmp_path / "clean"), Store(tmp_path / "resumed")
    assert fetch_one(clean, _Counting(22)).status is Status.GOOD
    assert clean.counted(SPEC) == {"late": 4}
    assert fetch_one(resumed, _Counting(9, breaks_after=1)).added == 5
    assert resumed.counted(SPEC) == {"late": 1}
    assert fetch_one(resumed, _Counting(15)).status is Status.GOOD
    fetch_one(resumed, _Counting(22))
    assert resumed.content_hash(SPEC) == clean.content_hash(SPEC)
    fetch_one(resumed, _Counting(22))
    fetch_one(resumed, _Counting(22), start=0)
    assert resumed.counted(SPEC) == clean.counted(SPEC)
    assert resumed.counted(SPEC, known_at=0) == {"late": 4}, "one window from the beginning covers the others"
    assert resumed.content_hash(SPEC) == clean.content_hash(SPEC), "counts are outside it"


def test_a_damaged_count_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append(SPEC, bars(1, 5), counted={"late": 2})
    path = next(tmp_path.rglob("counted-*.json"))
    for content in (b"{", b"[7]", b'{"late": "many"}'):
        path.write_bytes(content)
        with pytest.raises(DataError, match="a count of the store is damaged") as caught:
            store.counted(SPEC)
        assert caught.value.file == str(path)
