"""Who stood behind a feed of rounds from when on, what it calls itself, and the answers that it cannot give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from oracle_adapters.chainlink import ChainlinkRounds
from oracle_adapters.feed import COLUMNS, Chunk, FeedSpec, Kind
from risk.artifact import Table


class Aggregators:
    """The feed of one proxy's aggregators: a row a phase, known from when the phase began.

    Parameters
    ----------
    rounds
        The rounds of the proxy.
    """

    def __init__(self, rounds: ChainlinkRounds) -> None:
        self._rounds = rounds
        spec = rounds.spec
        self._spec = FeedSpec(Kind.AGGREGATOR, spec.base, spec.quote, spec.source, spec.interval)

    @property
    def spec(self) -> FeedSpec:
        """What the feed is about."""
        return self._spec

    def facts(self) -> Mapping[str, str]:
        """The facts of the rounds."""
        return self._rounds.facts()

    def fetch(self, start: int, stop: int) -> Iterator[Chunk]:
        """Aggregators that came to be served from `start` on and before `stop`; raises like the rounds."""
        yield Chunk(
            Kind.AGGREGATOR, Table.from_rows(COLUMNS[Kind.AGGREGATOR], self._rounds.aggregators(start, stop)), {}
        )
