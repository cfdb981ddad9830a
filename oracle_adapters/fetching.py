"""From sources into a store: what is new, in steps that are kept as they come, several feeds at a time.

A fetch goes on from the last instant that the store holds, this instant included, so that rows that came late to it
are not lost, and the source has to repeat what it said. It may not have changed its mind: another value for a row
that is held is refused, and so is a price that it no longer gives, unless the source says since when it counts no more:
a row says so then, and what was known before reads as it did. Nothing in a store is ever removed. A chain that
reorganises is no exception: its feed gives rows only from blocks that are as deep as its confirmations, which no
reorganisation of usual depth reaches. The last block read is kept beside the rows, and a deeper reorganisation is met
here by its hash before anything else is asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from oracle_adapters.anchor import Anchored, Withdrawing
from oracle_adapters.feed import COLUMNS, FOREVER, Chunk, Feed, FeedSpec, Kind, key_columns
from oracle_adapters.store import Store
from risk.artifact import Table
from risk.errors import DataError, InputError, RiskcalError, SourceError

STEP = 20_000
"""Rows that are gathered before they are kept: what a kill may cost, against the number of parts."""


REPEATING = frozenset({Kind.PRICE})
"""Kinds whose sources can be asked for the past again; the others may be samples of a moment."""


class Status(StrEnum):
    """How the fetch of a feed ended."""

    GOOD = "good"
    UNREACHED = "not reached"
    REFUSED = "refused"
    FAILED = "failed"

    @classmethod
    def of(cls, error: RiskcalError | None) -> Status:
        """How a fetch that met an error ended."""
        match error:
            case None:
                return cls.GOOD
            case SourceError():
                return cls.UNREACHED
            case InputError():
                return cls.REFUSED
            case _:
                return cls.FAILED


@dataclass(frozen=True, slots=True)
class Fetched:
    """How the fetch of one feed went.

    Attributes
    ----------
    spec
        Which feed.
    status
        ``good``; ``not reached``: the source; ``refused``: what it gave; ``failed`` for what is neither. Rows that
        came before are kept.
    added
        Rows that the store did not hold before.
    last_known
        When the last row that the store holds became known; None when it holds none.
    counted
        What reading the rows had to mend or leave out.
    error
        What ended it, where it is not good.
    """

    spec: FeedSpec
    status: Status
    added: int
    last_known: int | None
    counted: Mapping[str, int] = field(default_factory=dict)
    error: RiskcalError | None = None


Observer = Callable[[FeedSpec, int], None]
"""Told how many rows of a feed came, each time that some were kept; from several threads."""


def silent(spec: FeedSpec, rows: int) -> None:
    """Tell nobody."""


def fetch_all(
    store: Store,
    feeds: Sequence[Feed],
    *,
    start: int | None = None,
    stop: int = FOREVER,
    workers: int = 1,
    observe: Observer = silent,
) -> list[Fetched]:
    """Fetch several feeds into a store, each in a thread of its own; in the order of the feeds.

    No error of one feed keeps the others from being fetched.

    Parameters
    ----------
    store
        Where the rows go.
    feeds
        Independent series.
    start, stop
        Rows that became known from `start` on and before `stop`; by default from where each feed's rows end.
    workers
        Threads.
    observe
        Told of progress.
    """
    pool = ThreadPoolExecutor(max_workers=max(min(workers, len(feeds)), 1))
    try:
        return list(pool.map(lambda feed: fetch_one(store, feed, start=start, stop=stop, observe=observe), feeds))
    finally:
        # After an interrupt nobody waits for the other threads: a store stands their being killed.
        pool.shutdown(wait=False, cancel_futures=True)


def fetch_one(
    store: Store, feed: Feed, *, start: int | None = None, stop: int = FOREVER, observe: Observer = silent
) -> Fetched:
    """Fetch one feed into a store; see `fetch_all`."""
    spec, added, counted, failure = feed.spec, 0, Counter[str](), None
    try:
        resumed = start is None
        if isinstance(feed, Anchored) and (anchor := store.anchor(spec)) is not None:
            _hold(feed, spec, anchor)
        start = store.resume_at(spec) if start is None else start
        reached = start
        expected = _Expected(spec, store.read(spec, start=start, stop=stop)) if resumed else None
        for step in _steps(feed, start, stop):
            if step.error is not None:
                failure = step.error
            added += store.append(spec, step.rows, since=reached, counted=step.counted)
            reached = int(step.rows["known_at"].max()) if len(step.rows) else reached
            counted.update(step.counted)
            observe(spec, len(step.rows))
            if expected is not None:
                expected.see(step.rows)
        if failure is None and isinstance(feed, Withdrawing):
            counted.update(_withdrawn(store, spec, feed, expected))
        if expected is not None and failure is None:
            expected.refuse_missing()
        if failure is None and isinstance(feed, Anchored) and (anchor := feed.anchor()) is not None:
            store.keep_anchor(spec, anchor)
    except RiskcalError as error:
        failure = error
    return Fetched(spec, Status.of(failure), added, store.last_known(spec), dict(counted), failure)


def _withdrawn(store: Store, spec: FeedSpec, feed: Withdrawing, expected: _Expected | None) -> dict[str, int]:
    """Have what the store holds and the feed takes back count no more; counted by bars."""
    count = 0
    for one in feed.withdrawals():
        count += store.withdraw(spec, one.first, one.stop, one.known_at)
        if expected is not None:
            expected.forgive(one.first, one.stop)
    return {"withdrawn": count} if count else {}


def _hold(feed: Anchored, spec: FeedSpec, anchor: Mapping[str, Any]) -> None:
    try:
        feed.hold(anchor)
    except InputError as error:
        raise error.at(file=spec.id) from None


@dataclass(frozen=True, slots=True)
class _Step:
    """Rows to keep at once, and the error after which no more came."""

    rows: Table
    counted: Mapping[str, int]
    error: RiskcalError | None = None


def _steps(feed: Feed, start: int, stop: int) -> Iterator[_Step]:
    """Chunks gathered into steps; what came before an error is a step, too."""
    schema = COLUMNS[feed.spec.kind]
    gathered: list[Chunk] = []

    def step(error: RiskcalError | None = None) -> _Step:
        counted: Counter[str] = Counter()
        for chunk in gathered:
            counted.update(chunk.counted)
        return _Step(Table.concatenate(schema, (chunk.rows for chunk in gathered)), counted, error)

    try:
        for chunk in feed.fetch(start, stop):
            gathered.append(chunk)
            if sum(len(one.rows) for one in gathered) >= STEP:
                yield step()
                gathered = []
    except RiskcalError as error:
        yield step(error)
        return
    yield step()


class _Expected:
    """Rows of a repeating kind that the source has given before and has to give again."""

    def __init__(self, spec: FeedSpec, held: Table) -> None:
        self._spec, self._names = spec, key_columns(spec.kind)
        self._missing: set[tuple[object, ...]] = set(self._keys(held)) if spec.kind in REPEATING else set()
        about = held["observed_at"]
        self._first, self._last = (int(about.min()), int(about.max())) if len(held) else (0, -1)

    def see(self, rows: Table) -> None:
        """Strike out what came."""
        about = rows["observed_at"]
        self._missing.difference_update(self._keys(rows.take((about >= self._first) & (about <= self._last))))

    def forgive(self, first: int, stop: int) -> None:
        """Strike out what is about ``first <= observed_at < stop``: the source says why it does not give it again."""
        self._missing = {key for key in self._missing if not first <= int(str(key[0])) < stop}

    def refuse_missing(self) -> None:
        """Raise when something did not come again."""
        if self._missing:
            raise DataError(
                "the source no longer gives a row that it gave before, e.g. after a deep reorganisation",
                file=self._spec.id,
                field=min(" ".join(map(str, key)) for key in self._missing),
                remedy="Remove the feed's folder from the store and fetch it again, with more confirmations",
            )

    def _keys(self, rows: Table) -> Iterable[tuple[object, ...]]:
        return zip(*(rows[name].tolist() for name in self._names), strict=True)
