"""The walk through pages by itself: whatever the venue's page size, order, overlaps and gaps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle_adapters.exchange.history import Record, instant, seconds, walk
from risk.errors import DataError, SettingsError

NOW = 1_000_000


def record(at: int, value: float = 1.0) -> Record:
    return Record(at, at + 10, (value,))


def run(read: Callable[[int, int], Sequence[Record]], **more: int) -> tuple[list[Record], Counter[str]]:
    """All pages together; at most a thousand of them."""
    given = {"first": 0, "start": 0, "stop": NOW + 1, "now": NOW, "apart": 10, "step": 1000, "full": 100, "lag": 10}
    found: list[Record] = []
    counted: Counter[str] = Counter()
    for number, (page, counts) in enumerate(walk(read, **{**given, **more}, source="x")):
        assert number < 1010
        found += page
        counted.update(counts)
    return found, counted


@given(
    st.sets(st.integers(0, 3000)),
    st.integers(1, 120),
    st.booleans(),
    st.integers(0, 30),
    st.randoms(use_true_random=False),
)
def test_any_pages_give_each_record_once(
    places: set[int], cap: int, window: bool, overlap: int, random: object
) -> None:
    """Venues that give the first `cap` from a time on, or those of a window; shuffled; going back by `overlap`."""
    history = [record(10 * place) for place in sorted(places)]

    def read(since: int, until: int) -> list[Record]:
        page = [one for one in history if one.time >= since - 10 * overlap]
        page = [one for one in page if one.time < until] if window else page[: cap + overlap]
        random.shuffle(page)  # type: ignore[attr-defined]
        return page

    found, counted = run(read, stop=35_000, step=1000)
    assert found == history
    assert set(counted) <= {"duplicates"}


@given(st.sets(st.integers(0, 3000), min_size=1), st.integers(0, 31_000), st.integers(0, 31_000))
def test_spans_join(places: set[int], one: int, other: int) -> None:
    history = [record(10 * place) for place in sorted(places)]

    def read(since: int, until: int) -> list[Record]:
        return [item for item in history if since <= item.time < until]

    low, high = sorted((one, other))
    parts = [run(read, first=max(0, a - 10), start=a, stop=b)[0] for a, b in ((0, low), (low, high), (high, 35_000))]
    assert sum(parts, []) == history  # noqa: RUF017 - three lists
    assert parts[1] == [item for item in history if low <= item.known < high]


def test_what_comes_only_after_its_page_is_counted() -> None:
    pages = iter([[record(0), record(20)], [record(10), record(30)]])
    found, counted = run(lambda _, __: next(pages, []))
    assert [one.time for one in found] == [0, 20, 30]
    assert counted == {"late": 1}


def test_a_venue_that_keeps_only_its_newest_is_told() -> None:
    newest = [record(NOW - 10 * n) for n in range(1, 101)][::-1]
    found, counted = run(lambda since, _: [one for one in newest if one.time >= since])
    assert found == newest
    assert counted == {"history_cut": 1}
    assert run(lambda since, _: [one for one in newest if one.time >= since], first=NOW - 1000)[1] == {}
    young = newest[-50:]
    assert run(lambda since, _: [one for one in young if one.time >= since])[1] == {}, "a market that is young"


@pytest.mark.parametrize("slip", [0, 1, 4])
def test_a_page_that_is_empty_once_costs_nothing(slip: int) -> None:
    history = [record(10 * place) for place in range(500)]
    asked: list[int] = []

    def read(since: int, until: int) -> list[Record]:
        asked.append(since)
        return [] if len(asked) - 1 == slip else [item for item in history if since <= item.time < until][:70]

    assert run(read)[0] == history


def test_pages_that_cannot_be() -> None:
    pages = iter([[record(0), record(20)], [record(20, 2.0)]])
    with pytest.raises(DataError, match="two versions of one datum"):
        run(lambda _, __: next(pages))
    with pytest.raises(DataError, match="two stamps are 5 s apart"):
        run(lambda _, __: [record(0), record(5)])
    with pytest.raises(DataError, match="stamped in the future"):
        run(lambda _, __: [record(NOW + 61)])
    for stamp in (None, "1", float("nan"), 0, -5):
        with pytest.raises(DataError, match="a datum without a time"):
            seconds(stamp, "x")
    assert seconds(1500, "x") == (1, 2)
    assert seconds(2000, "x") == (2, 2)


def test_dates() -> None:
    assert instant("2024-03-13", "f") == 1_710_288_000
    assert instant("2024-03-13T01:00+01:00", "f") == 1_710_288_000
    with pytest.raises(SettingsError, match="not a date"):
        instant("yesterday", "f")
