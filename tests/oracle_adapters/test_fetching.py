"""Fetching into a store: what is new, what was interrupted, what the source took back, several at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from oracle_adapters import fetching
from oracle_adapters.feed import FOREVER, Chunk, Feed, FeedSpec, Kind, MemoryFeed
from oracle_adapters.fetching import Fetched, Status, fetch_all, fetch_one
from oracle_adapters.store import Store
from risk.artifact import Table
from risk.errors import DataError, DefectError, EvidenceError, SourceError
from tests.oracle_adapters.test_store import SPEC, Row, bars, rows


class Breaking:
    """A feed that fails after some chunks, and counts what it mended."""

    def __init__(self, table: Table, after: int, error: BaseException, spec: FeedSpec = SPEC) -> None:
        self._inner, self._after, self._error = MemoryFeed(spec, table, chunk_rows=2), after, error
        self.spans: list[tuple[int, int]] = []

    @property
    def spec(self) -> FeedSpec:
        return self._inner.spec

    def facts(self) -> Mapping[str, str]:
        return {}

    def fetch(self, start: int, stop: int) -> Iterator[Chunk]:
        self.spans.append((start, stop))
        for number, chunk in enumerate(self._inner.fetch(start, stop)):
            if number == self._after:
                raise self._error
            yield Chunk(chunk.kind, chunk.rows, {"duplicates": 1})


GONE = SourceError("not reached in 3 tries", file="venue")


def named(name: str) -> FeedSpec:
    return FeedSpec(Kind.PRICE, name, "USD", "memory", 60)


def test_only_what_is_new_is_fetched_and_the_last_instant_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert fetch_one(store, Breaking(bars(1, 6), 99, GONE)).added == 5
    feed = Breaking(bars(1, 9), 99, GONE)
    assert fetch_one(store, feed) == Fetched(SPEC, Status.GOOD, 3, 480, {"duplicates": 2})
    assert feed.spans == [(300, FOREVER)]
    assert fetch_one(store, feed).added == 0


def test_a_row_that_came_late_to_the_last_instant_is_not_lost(tmp_path: Path) -> None:
    store = Store(tmp_path)
    fetch_one(store, MemoryFeed(SPEC, rows((60, "close", 60, 1.0))))
    whole = rows((60, "close", 60, 1.0), (60, "volume", 60, 7.0), (120, "close", 120, 1.0))
    assert fetch_one(store, MemoryFeed(SPEC, whole)).added == 2
    assert store.content_hash(SPEC) == whole.digest()


def test_a_span_can_be_asked_for(tmp_path: Path) -> None:
    store = Store(tmp_path)
    feed = MemoryFeed(SPEC, bars(1, 20))
    fetch_one(store, feed, start=600, stop=900)
    assert store.read(SPEC).digest() == bars(10, 15).digest()
    fetch_one(store, feed)
    assert store.read(SPEC).digest() == bars(10, 20).digest()
    assert fetch_one(store, feed, start=0).added == 9
    assert store.content_hash(SPEC) == bars(1, 20).digest()


def test_a_source_that_is_lost_on_the_way_leaves_what_came(tmp_path: Path) -> None:
    store = Store(tmp_path)
    found = fetch_one(store, Breaking(bars(1, 20), 3, GONE))
    assert found == Fetched(SPEC, Status.UNREACHED, 6, 360, {"duplicates": 3}, GONE)
    assert fetch_one(store, MemoryFeed(SPEC, bars(1, 20))).added == 13
    assert store.content_hash(SPEC) == bars(1, 20).digest()


def test_bad_data_is_refused_and_a_defect_is_not_hidden(tmp_path: Path) -> None:
    bad = DataError("not a price")
    assert fetch_one(Store(tmp_path), Breaking(bars(1, 9), 1, bad)) == Fetched(
        SPEC, Status.REFUSED, 2, 120, {"duplicates": 1}, bad
    )
    with pytest.raises(KeyError):
        fetch_one(Store(tmp_path), Breaking(bars(1, 9), 1, KeyError("bid")))


def test_a_source_that_changed_its_mind_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    fetch_one(store, MemoryFeed(SPEC, rows((60, "close", 60, 1.0), (120, "close", 120, 2.0))))
    other = rows((60, "close", 60, 1.0), (120, "close", 120, 2.5), (180, "close", 180, 3.0))
    found = fetch_one(store, MemoryFeed(SPEC, other))
    assert found.status is Status.REFUSED
    assert "two values became known at one instant, 120" in str(found.error)
    assert "['2.0', '2.5']" in str(found.error)


def test_a_source_that_took_a_price_back_is_refused(tmp_path: Path) -> None:
    """A chain that reorganised deeper than the feed's confirmations: the last round is there no more."""
    store = Store(tmp_path)
    fetch_one(store, MemoryFeed(SPEC, bars(1, 5)))
    found = fetch_one(store, MemoryFeed(SPEC, rows((60, "close", 60, 4 / 3), (300, "close", 300, 9.0))))
    assert found.status is Status.REFUSED
    assert "240 close: the source no longer gives a row that it gave before" in str(found.error)
    assert fetch_one(store, Breaking(bars(1, 9), 0, GONE)).status is Status.UNREACHED, "nothing came, nothing is amiss"


VALUES = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 30)), unique_by=lambda pair: pair[0], min_size=1).map(
    lambda listed: sorted((60 * at, "close", 60 * at + 20 * late, at / 7) for at, late in listed)
)
"""Bars, of which some became known long after later ones."""


@settings(max_examples=12, deadline=None)
@example([(60, "close", 660, 1.0), (120, "close", 120, 2.0), (180, "close", 180, 3.0), (240, "close", 240, 4.0)], [1])
@given(VALUES, st.lists(st.integers(0, 4), max_size=3))
def test_interruptions_never_change_what_is_held_in_the_end(
    tmp_path_factory: pytest.TempPathFactory, history: list[Row], stops: list[int]
) -> None:
    store, table = Store(tmp_path_factory.mktemp("store")), rows(*history)
    for after in stops:
        fetch_one(store, Breaking(table, after, GONE))
    assert fetch_one(store, MemoryFeed(SPEC, table)).status is Status.GOOD
    assert store.content_hash(SPEC) == table.digest()


def test_rows_are_kept_step_by_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "STEP", 4)
    seen: list[tuple[int, int]] = []
    store = Store(tmp_path)
    fetch_one(store, Breaking(bars(1, 11), 99, GONE), observe=lambda spec, n: seen.append((n, store.count(SPEC))))
    assert seen == [(4, 4), (4, 8), (2, 10)]


def test_one_lost_source_does_not_stop_the_others(tmp_path: Path) -> None:
    feeds: list[Feed] = [
        MemoryFeed(named("AAA"), bars(1, 9)),
        Breaking(bars(1, 9), 1, GONE, named("BBB")),
        Breaking(bars(1, 9), 0, DataError("not a price"), named("CCC")),
        Breaking(bars(1, 9), 0, EvidenceError("no such block"), named("DDD")),
        Breaking(bars(1, 9), 2, DefectError("out of order"), named("EEE")),
        MemoryFeed(named("FFF"), bars(1, 5)),
    ]
    found = fetch_all(Store(tmp_path), feeds, workers=3)
    assert [(one.spec.base, one.status, one.added) for one in found] == [
        ("AAA", Status.GOOD, 8), ("BBB", Status.UNREACHED, 2), ("CCC", Status.REFUSED, 0), ("DDD", Status.FAILED, 0),
        ("EEE", Status.FAILED, 4), ("FFF", Status.GOOD, 4),
    ]  # fmt: skip
    assert fetch_all(Store(tmp_path), []) == []


def test_feeds_are_fetched_at_the_same_time_and_give_the_same(tmp_path: Path) -> None:
    """Both feeds wait for the other to have begun: one after the other they would wait in vain."""
    barrier = threading.Barrier(2, timeout=20)

    class Waiting(Breaking):
        def fetch(self, start: int, stop: int) -> Iterator[Chunk]:
            barrier.wait()
            yield from super().fetch(start, stop)

    feeds = [Waiting(bars(1, 9), 99, GONE, named(name)) for name in ("AAA", "BBB")]
    assert [one.status for one in fetch_all(Store(tmp_path), feeds, workers=2)] == [Status.GOOD] * 2


def test_a_defect_in_one_feed_ends_the_fetch(tmp_path: Path) -> None:
    feeds = [Breaking(bars(1, 9), 0, KeyError("bid"), named("AAA")), MemoryFeed(named("BBB"), bars(1, 9))]
    with pytest.raises(KeyError):
        fetch_all(Store(tmp_path), feeds, workers=1)
