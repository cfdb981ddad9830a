"""Every adapter that speaks HTTP against every way in which an answer goes wrong.

An adapter is one line in `ADAPTERS`. Its clean fetch takes at least three requests.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from oracle_adapters.feed import Feed
from oracle_adapters.fetching import Status, fetch_one
from oracle_adapters.store import Store
from risk.errors import SourceError
from tests.oracle_adapters import json_bars
from tests.oracle_adapters.contract import check_feed
from tests.oracle_adapters.faults import Answer, FaultyServer, Spoil


@dataclass(frozen=True)
class Adapter:
    """How to open a feed on a server, and what that server answers. Manners are short: a time limit below 1 s."""

    name: str
    open: Callable[[str], Feed]
    answer: Answer


ADAPTERS = [Adapter("json-bars", json_bars.open_feed, json_bars.answer)]

SAID = {
    Spoil.TIMEOUT: "timed out",
    Spoil.RESET: "the connection was reset",
    Spoil.BUSY: "HTTP 429.*asking to wait 1 s",
    Spoil.ERROR: "HTTP 500",
    Spoil.TRUNCATED: "the answer was cut short",
    Spoil.CUT: "the answer was cut short",
    Spoil.HTML: "answered with HTML where JSON was due",
    Spoil.FORBIDDEN: "HTTP 403",
}
FINAL = (Spoil.HTML, Spoil.FORBIDDEN)
"""What is not asked for again."""


@pytest.fixture(params=ADAPTERS, ids=lambda adapter: adapter.name)
def adapter(request: pytest.FixtureRequest) -> Adapter:
    return request.param


def clean_hash(adapter: Adapter, folder: Path) -> str:
    with FaultyServer(adapter.answer) as server:
        feed, store = adapter.open(server.url), Store(folder / "clean")
        found = fetch_one(store, feed)
        assert found.status is Status.GOOD
        assert found.added > 0
        assert len(server.requests) >= 3
        return store.content_hash(feed.spec)


def test_the_adapter_is_a_feed(adapter: Adapter) -> None:
    with FaultyServer(adapter.answer) as server:
        check_feed(adapter.open(server.url))


@pytest.mark.parametrize("how", Spoil)
def test_a_fault_that_passes(adapter: Adapter, how: Spoil, tmp_path: Path) -> None:
    expected, store = clean_hash(adapter, tmp_path), Store(tmp_path / "store")
    with FaultyServer(adapter.answer) as server:
        feed = adapter.open(server.url)
        server.spoil(how, first=1)
        found = fetch_one(store, feed)
        if how in FINAL:
            assert found.status is Status.UNREACHED
            found = fetch_one(store, feed)
        assert found.status is Status.GOOD, found.error
    assert store.content_hash(feed.spec) == expected


@pytest.mark.parametrize("how", Spoil)
def test_a_fault_that_stays(adapter: Adapter, how: Spoil, tmp_path: Path) -> None:
    expected, store = clean_hash(adapter, tmp_path), Store(tmp_path / "store")
    with FaultyServer(adapter.answer) as server:
        feed = adapter.open(server.url)
        server.spoil(how, first=2, times=None)
        found = fetch_one(store, feed)
        assert found.status is Status.UNREACHED
        assert isinstance(found.error, SourceError)
        said = str(found.error)
        assert re.search(SAID[how], said), said
        assert ("tries" in said) is (how not in FINAL), said
        assert "sesame" not in said
        assert found.error.exit_code == 3
        server.heal()
        found = fetch_one(store, feed)
        assert found.status is Status.GOOD, found.error
    assert store.content_hash(feed.spec) == expected


def test_what_came_before_a_fault_is_kept_and_not_asked_for_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with FaultyServer(json_bars.answer) as server:
        feed = json_bars.open_feed(server.url)
        server.spoil(Spoil.FORBIDDEN, first=2, times=None)
        assert fetch_one(store, feed).added == 2 * json_bars.PAGE
        server.heal()
        asked = len(server.requests)
        fetch_one(store, feed)
        assert "since=360" in server.requests[asked].path, "from the last instant held, itself included"
