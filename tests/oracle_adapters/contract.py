"""The one contract that every feed passes."""

from __future__ import annotations

from itertools import pairwise

from oracle_adapters.feed import COLUMNS, FOREVER, Feed, collect, key_columns


def check_feed(feed: Feed) -> None:
    """Hold a feed with at least four distinct times to what `oracle_adapters.feed.Feed` promises."""
    spec = feed.spec
    assert spec == feed.spec
    assert spec.id.startswith(f"{spec.base}/{spec.quote}@")
    assert spec.interval > 0
    facts = feed.facts()
    assert all(isinstance(key, str) and isinstance(value, str) for key, value in facts.items())

    whole = collect(feed)
    assert whole.rows.schema == dict(COLUMNS[spec.kind])
    assert collect(feed).rows.digest() == whole.rows.digest(), "fetching twice gives the same"
    if "observed_at" in whole.rows.columns:
        assert (whole.rows["known_at"] >= whole.rows["observed_at"]).all(), "nothing is known before it happened"

    times = sorted(set(whole.rows["known_at"].tolist()))
    assert len(times) >= 4
    start, middle, stop = times[0], times[len(times) // 2], times[-1]
    part = collect(feed, start, stop).rows
    assert part["known_at"].min() == start, "the start is included"
    assert part["known_at"].max() == times[-2], "the stop is not"
    assert part.digest() == whole.rows.take(whole.rows["known_at"] < stop).digest()
    two = [collect(feed, 0, middle).rows, collect(feed, middle, FOREVER).rows]
    assert type(part).concatenate(COLUMNS[spec.kind], two).digest() == whole.rows.digest(), "spans join"
    assert len(collect(feed, times[-1] + 1, FOREVER).rows) == 0
    assert len(collect(feed, start, start).rows) == 0
    for early in (0, 1, start // 2):
        assert len(collect(feed, 0, early).rows) == 0, "nothing was known before the first row, which is no error"
        assert collect(feed, early, FOREVER).rows.digest() == whole.rows.digest()

    last: tuple[object, ...] = ()
    for chunk in feed.fetch(0, FOREVER):
        assert chunk.kind == spec.kind
        keys = list(zip(*(chunk.rows[name].tolist() for name in key_columns(spec.kind)), strict=True))
        assert all(a < b for a, b in pairwise([key for key in (last, *keys) if key])), "in order over all chunks"
        last = keys[-1] if keys else last
