"""What rounds say: the prices they served, and the rule by which the feed updates, measured from its history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from oracle_adapters.anchor import BlockAnchor, Withdrawal
from oracle_adapters.chainlink import ChainlinkRounds
from oracle_adapters.feed import COLUMNS, FOREVER, Chunk, Feed, FeedSpec, Kind, collect
from oracle_adapters.pace import FEWEST, LATE, beats
from oracle_adapters.rpc import Node
from risk.artifact import Table
from risk.errors import DataError
from risk.feed_settings import ChainlinkFeed
from risk.market import FloatArray, IntArray
from risk.units import DAY

BAND = 1.1
"""Moves that a threshold ends lie densest from it up to this multiple."""
TOLERANCE = 1.25
"""Heartbeats after which a price is stale: blocks fill, and updates wait for one."""
LOOK_BACK = 2 * DAY
"""Seconds before a span in which its first price is looked for, before it is looked for further back."""


@dataclass(frozen=True, slots=True)
class UpdateRule:
    """When a feed updates, as its rounds show it.

    Attributes
    ----------
    heartbeat
        Seconds after which it updates without a move: the median of the gaps that a heartbeat ended. None when too
        few gaps lie there together.
    deviation
        Move that ends a gap early, as a fraction: the lowest decile of the densest band of such moves, because the
        price moves on, and back, before the update is in a block. None when too few lie there.
    longest_gap
        Seconds.
    n_late, n_early
        Gaps that the heartbeat ended, and moves in the densest band.
    """

    heartbeat: int | None
    deviation: float | None
    longest_gap: int
    n_late: int
    n_early: int


def measure_update_rule(rows: Table) -> UpdateRule:
    """Heartbeat and deviation threshold from rounds.

    Gaps and moves across a change of phase are left out. Some feeds beat by the clock, whatever moves came between:
    their gaps are shorter too, and only the densest band tells the threshold.

    Parameters
    ----------
    rows
        Rounds of `Kind.ROUND`, in order.

    Raises
    ------
    DataError
        When there are no two rounds of one phase.
    """
    answer = answers(rows)
    same = (np.diff(rows["phase"]) == 0) & (answer[1:] > 0) & (answer[:-1] > 0)
    if not same.any():
        raise DataError("no two rounds of one phase", field="rounds", value=len(rows))
    gap = np.diff(rows["observed_at"])[same]
    move = np.abs(answer[1:][same] / answer[:-1][same] - 1)
    heartbeat, n_late = beats(gap)
    if heartbeat is None:
        return UpdateRule(None, None, int(gap.max()), n_late, 0)
    early = np.sort(move[(gap < LATE * heartbeat) & (move > 0)])
    inside = np.searchsorted(early, BAND * early, side="right") - np.arange(len(early))
    n_early = int(inside.max(initial=0))
    deviation = float(early[int(np.argmax(inside)) + n_early // 10]) if n_early >= FEWEST else None
    return UpdateRule(heartbeat, deviation, int(gap.max()), n_late, n_early)


def answers(rows: Table) -> FloatArray:
    """Answers (n,) as floats; as the feed gave them, zero and negative ones included."""
    return rows["answer"].astype(np.float64) if len(rows) else np.empty(0)


def rounds_to_prices(rows: Table) -> Chunk:
    """Every price that was served, at the instant from which it was; of several in one second the last.

    An answer that is not positive is no price: it is left out and counted as ``nonpositive``.
    """
    value = answers(rows)
    known = rows["known_at"]
    last = np.append(known[1:] > known[:-1], True)[: len(known)]
    kept = last & (value > 0)
    counted = {"nonpositive": int((value <= 0).sum()), "replaced": int((~last & (value > 0)).sum())}
    return Chunk(Kind.PRICE, _price_rows(known[kept], value[kept]), {name: n for name, n in counted.items() if n})


@dataclass(frozen=True, slots=True)
class Outage:
    """A span in which prices are not to be used, because a rollup's sequencer was down or had just come back.

    Attributes
    ----------
    start, stop
        When it went down, as its feed says afterwards, and when prices may be used again.
    known_at
        When the feed said that it is down.
    """

    start: int
    stop: int
    known_at: int


def outages(rows: Table, grace: int) -> list[Outage]:
    """Spans without use, from the rounds of an uptime feed: its answer is 0 for up and 1 for down.

    Parameters
    ----------
    rows
        Rounds of the uptime feed; a status holds from its `started_at`.
    grace
        Seconds after the sequencer came back, in which borrowers first get their turn.

    Raises
    ------
    DataError
        When an answer is neither: it is another feed.
    """
    found: list[Outage] = []
    down: tuple[int, int] | None = None
    told = answers(rows)
    if (other := ~np.isin(told, (0.0, 1.0))).any():
        raise DataError(
            "this is no uptime feed of a sequencer, whose answers are 0 for up and 1 for down",
            field="sequencer",
            value=rows["answer"][int(np.argmax(other))],
            remedy="Give the address of the uptime feed that the rollup's documentation names",
        )
    instants = (rows[name].tolist() for name in ("started_at", "known_at"))
    for status, at, known_at in zip(told.tolist(), *instants, strict=True):
        if status and down is None:
            down = at, known_at
        elif not status and down is not None:
            found.append(Outage(down[0], at + grace, down[1]))
            down = None
    return found + ([Outage(down[0], FOREVER, down[1])] if down is not None else [])


class RoundPrices(BlockAnchor):
    """The prices of a feed of rounds, sampled at multiples of an interval: at each the one that is served then.

    Left out and counted, by samples: ``stale`` when the round is older than a declared heartbeat allows (without one
    the proxy's word counts, however old, and the series is judged by the measured one), ``nonpositive`` answers,
    and ``sequencer`` when the rollup was down or had just come back. Nothing is filled.

    Parameters
    ----------
    settings
        Which proxy, how often to sample, and what is too old.
    node
        Where it is read.
    """

    def __init__(self, settings: ChainlinkFeed, node: Node) -> None:
        self._settings, self._node = settings, node
        self._rounds = ChainlinkRounds(settings, node)
        self._outages: list[Outage] = []
        source = self._rounds.spec.source
        self._spec = FeedSpec(Kind.PRICE, settings.asset, settings.quote, source, settings.interval)

    @property
    def spec(self) -> FeedSpec:
        """What the feed is about."""
        return self._spec

    @property
    def declared_heartbeat(self) -> int | None:
        """Longest time between two rounds as the settings say it; None where they do not."""
        return self._settings.heartbeat

    @property
    def rounds(self) -> ChainlinkRounds:
        """The rounds that it samples."""
        return self._rounds

    def facts(self) -> Mapping[str, str]:
        """The facts of the rounds."""
        return self._rounds.facts()

    def fetch(self, start: int, stop: int) -> Iterator[Chunk]:
        """Samples from `start` on and before `stop`, none beyond the last final block; raises like the rounds."""
        top = self._node.final_block()
        stop = min(stop, top.time + 1)
        interval, heartbeat = self._settings.interval, self._settings.heartbeat
        oldest = FOREVER if heartbeat is None else int(TOLERANCE * heartbeat)
        before = self._before(start, oldest)
        within = collect(self._rounds, start, stop)
        rows = Table.concatenate(COLUMNS[Kind.ROUND], (before.rows, within.rows))
        self._node.verify(top)
        self._read_to = top
        if not len(rows):
            yield Chunk(Kind.PRICE, _price_rows(np.empty(0, np.int64), np.empty(0)), within.counted)
            return
        first = max(start, int(rows["known_at"][0]))
        times = np.arange(-(-first // interval) * interval, stop, interval, dtype=np.int64)
        at = np.searchsorted(rows["known_at"], times, side="right") - 1
        value = answers(rows)[at]
        faults = {
            "sequencer": self._closed(times, stop),
            "stale": times - rows["observed_at"][at] > oldest,
            "nonpositive": value <= 0,
        }
        kept = np.ones(len(times), dtype=bool)
        counted = Counter(within.counted)
        for name, fault in faults.items():
            counted.update({name: int((kept & fault).sum())})
            kept &= ~fault
        counts = {name: n for name, n in counted.items() if n}
        yield Chunk(Kind.PRICE, _price_rows(times[kept], value[kept]), counts)

    def withdrawals(self) -> Sequence[Withdrawal]:
        """Samples between the start of an outage and its report: they were served, and were not to be used."""
        ended = ((one, min(one.stop, one.known_at)) for one in self._outages)
        return [Withdrawal(one.start, stop, one.known_at) for one, stop in ended if one.start < stop]

    def _before(self, start: int, oldest: int) -> Chunk:
        """Rounds before an instant, the one that is served then among them where it is young enough."""
        span = min(LOOK_BACK, oldest)
        while not len((found := collect(self._rounds, max(start - span, 0), start)).rows):
            if span >= min(start, oldest):
                break
            span = min(8 * span, oldest)
        return found

    def _closed(self, times: IntArray, stop: int) -> npt.NDArray[np.bool_]:
        """Which instants (n,) lie in an outage of the sequencer."""
        closed = np.zeros(len(times), dtype=bool)
        self._outages = []
        if self._settings.sequencer is None:
            return closed
        self._outages = outages(collect(self._uptime(), 0, stop).rows, self._settings.grace)
        for outage in self._outages:
            closed |= (times >= outage.start) & (times < outage.stop)
        return closed

    def _uptime(self) -> Feed:
        """The uptime feed of the sequencer, which is no price of any pair."""
        changes = {"address": self._settings.sequencer, "decimals": None, "asset": "sequencer", "quote": "uptime"}
        return ChainlinkRounds(self._settings.model_copy(update=changes), self._node)


def _price_rows(times: IntArray, values: FloatArray) -> Table:
    field = np.full(len(times), "close")
    return Table({"observed_at": times, "field": field, "known_at": times, "value": values})
