"""Rounds of a Chainlink feed: what its proxy served, and from when on.

A proxy stands before aggregators, one a phase; a round id is the phase in the bits from 64 on, and the
aggregator's own round below. An aggregator may write rounds before its phase begins and go on after it has
ended. The feed is what the proxy served: the rounds of a phase while it lasted, and at its start the last round
that the new aggregator had by then, known from the change on.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from oracle_adapters.anchor import BlockAnchor
from oracle_adapters.contract_call import Call, Result
from oracle_adapters.description import same_pair
from oracle_adapters.feed import COLUMNS, FOREVER, Chunk, FeedSpec, Kind
from oracle_adapters.rpc import BATCH, Block, Node, NodeBehindError, ReorganizedError
from risk.artifact import Table
from risk.errors import DataError
from risk.feed_settings import ChainlinkFeed

ROUND = "getRoundData(uint80)(uint80,int256,uint256,uint256,uint80)"
LATEST = "latestRoundData()(uint80,int256,uint256,uint256,uint80)"
HOUR = 3600
_INNER = 2**64 - 1
_DENIED = "No access"
_CLAMPS = (("minAnswer", "maxAnswer", "int192"), ("minSubmissionValue", "maxSubmissionValue", "int256"))


@dataclass(frozen=True, slots=True)
class Round:
    """A complete round of one aggregator.

    Attributes
    ----------
    number
        Within the phase.
    answer
        Raw integer.
    started_at, updated_at
        Unix seconds.
    """

    number: int
    answer: int
    started_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class Phase:
    """A span for which the proxy served one aggregator.

    Attributes
    ----------
    number
        Zero for an aggregator without a proxy.
    aggregator
        Its address.
    decimals, description
        Of its answers, and what it calls itself; "" where it does not say.
    since, until
        Unix seconds; `since` is None for the phase that was served at the start of the span that is read. The
        first phase has no start: what its aggregator wrote before there was a proxy was public too.
    """

    number: int
    aggregator: str
    decimals: int
    description: str
    since: int | None
    until: int


class ChainlinkRounds(BlockAnchor):
    """The feed of one proxy's rounds.

    Dropped and counted are rounds ``incomplete`` (never answered), ``backfilled`` (timed out, and closed with the
    answer of an earlier round) and ``disordered`` (updated before the round ahead of them). Zero and negative
    answers are answers: a reader of prices decides.

    Parameters
    ----------
    settings
        Which proxy, and what it must be.
    node
        Where it is read.
    resume
        Last block that an earlier fetch read: if it is no longer part of the chain, that is an error.
    """

    def __init__(self, settings: ChainlinkFeed, node: Node, *, resume: Block | None = None) -> None:
        self._settings, self._node, self._resume = settings, node, resume
        source = f"chainlink:{settings.chain_id}:{settings.address.lower()}"
        self._spec = FeedSpec(Kind.ROUND, settings.asset, settings.quote, source, settings.heartbeat or HOUR)
        self._complete: dict[tuple[int, int], tuple[int, int, Round | None]] = {}
        self._complete_at: Block | None = None
        self._reading = threading.Lock()

    @property
    def spec(self) -> FeedSpec:
        """What the feed is about; its interval is the declared heartbeat, else an hour."""
        return self._spec

    def facts(self) -> Mapping[str, str]:
        """Description, decimals, phase, aggregator, clamps and last round, and the block they were read at.

        ``clamp_low`` and ``clamp_high`` are there when the aggregator refuses answers beyond them: a price that
        falls through the lower one stays where it was.
        """
        block = self._node.final_block()
        latest, described = self._read([self._call(LATEST), self._call("description()(string)")], block.number)
        number = latest.values[0]
        phase = self._current_phase(block)
        aggregator, decimals, _ = self._aggregators([phase], block)[phase]
        found = {
            "description": str(described.value),
            "decimals": str(decimals),
            "phase": str(phase),
            "aggregator": aggregator,
            "round": str(number & _INNER),
            "answer": _exact(latest.values[1], decimals),
            "updated_at": str(latest.values[3]),
            "block": str(block.number),
            "block_hash": block.hash,
        }
        clamps = zip(("clamp_low", "clamp_high"), self._clamps(aggregator, decimals, block), strict=True)
        return found | {name: value for name, value in clamps if value}

    def aggregators(self, start: int, stop: int) -> Iterator[tuple[object, ...]]:
        """Rows of `Kind.AGGREGATOR`: who stood behind the feed from when on; raises like `fetch`.

        The first aggregator is known from its first complete round on; one that never had a round is none.
        """
        if stop <= start:
            return
        block = self._node.final_block()
        for phase in self._phases(block, start, stop):
            since = phase.since
            if since is None:
                batches = self._rounds(phase, block, 0, phase.until) if phase.number <= 1 else iter(())
                since = next((found.updated_at for batch in batches for _, found in batch if found is not None), -1)
            if start <= since < phase.until:
                clamps = self._clamps(phase.aggregator, phase.decimals, block)
                yield since, phase.number, since, phase.aggregator.lower(), phase.description, *clamps
        self._node.verify(block)

    def fetch(self, start: int, stop: int) -> Iterator[Chunk]:
        """Rounds that the proxy came to serve from `start` on and before `stop`, as far as blocks are final.

        Raises
        ------
        DataError
            When the contract is no feed, keeps us out, or has other decimals than the settings say.
        StateUnavailableError
            When the feed changed its phase and the node no longer knows when.
        ReorganizedError
            When the chain was reorganised below the last block of this fetch or of the one before.
        """
        if stop <= start:
            return
        if self._resume is not None:
            self._node.verify(self._resume)
        block = self._node.final_block()
        self._forget_replaced(block)
        counted: Counter[str] = Counter()
        for phase in self._phases(block, start, stop):
            for rows in self._phase_rows(phase, block, start, counted):
                yield Chunk(Kind.ROUND, Table.from_rows(COLUMNS[Kind.ROUND], rows), dict(counted))
                counted.clear()
        yield Chunk(Kind.ROUND, Table.from_rows(COLUMNS[Kind.ROUND], ()), dict(counted))
        self._node.verify(block)
        self._read_to = block

    def _phase_rows(
        self, phase: Phase, block: Block, start: int, counted: Counter[str]
    ) -> Iterator[list[tuple[object, ...]]]:
        """Rows of one phase, a batch at a time.

        A hole counts with the complete round after it: until there is one, it may still be filled.
        """
        low = start if phase.since is None else phase.since
        earlier: Round | None = None
        holes = latest = 0
        for batch in self._rounds(phase, block, low, phase.until):
            rows: list[tuple[object, ...]] = []
            for answered, found in batch:
                if found is None:
                    holes += 1
                    continue
                inside = low <= found.updated_at < phase.until
                if inside and holes:
                    counted["incomplete"] += holes
                holes = 0
                fault = "backfilled" if answered < found.number else "disordered" if found.updated_at < latest else ""
                if fault:
                    counted.update([fault] if inside else [])
                    continue
                latest = found.updated_at
                if found.updated_at < low:
                    earlier = found if phase.since is not None else None
                elif inside:
                    rows += [_row(phase, one, phase.since or 0) for one in (earlier,) if one]
                    rows.append(_row(phase, found, found.updated_at))
                    earlier = None
            if rows:
                yield rows
        if earlier is not None:
            yield [_row(phase, earlier, phase.since or 0)]

    def _rounds(self, phase: Phase, block: Block, low: int, high: int) -> Iterator[list[tuple[int, Round | None]]]:
        """Batches of (answered in, round) that cover the rounds updated in [low, high) and the one before."""
        last = int(self._read([Call(phase.aggregator, "latestRound()(uint256)")], block.number)[0].value) & _INNER
        first, _ = self._bracket(phase, block, low, last)
        _, after = self._bracket(phase, block, high, last, low=first)
        end = min(after, last) + 1
        for number in range(max(first, 1), end, BATCH):
            batch = self._batch(phase, block, range(number, min(number + BATCH, end)))
            yield [(answered, found) for _, answered, found in batch]

    def _bracket(self, phase: Phase, block: Block, time: int, last: int, low: int = 0) -> tuple[int, int]:
        """Round numbers around a time: a complete one updated before it (or `low`), and one at or after it.

        Each batch of evenly spaced rounds divides what is left by its size.
        """
        high = last + 1
        while high - low > BATCH:
            step = (high - low) / BATCH
            probes = sorted({low + max(1, round(step * i)) for i in range(1, BATCH)} | {last})
            known = [(n, one.updated_at) for n, _, one in self._batch(phase, block, probes) if one]
            before = max((n for n, at in known if at < time), default=low)
            after = min((n for n, at in known if at >= time and n > before), default=high)
            if (before, after) == (low, high):
                break  # nothing complete between: the caller reads it all
            low, high = before, after
        return low, high

    def _batch(self, phase: Phase, block: Block, numbers: Sequence[int]) -> list[tuple[int, int, Round | None]]:
        """Rounds by their numbers; a complete one never changes, and is asked for once however many feeds need it."""
        with self._reading:  # another thread may be asking for the same ones
            wanted = [n for n in numbers if (phase.number, n) not in self._complete]
            results = self._read([self._call(ROUND, (phase.number << 64) | n) for n in wanted], block.number)
            told = {n: _round(n, result) for n, result in zip(wanted, results, strict=True)}
            self._complete |= {(phase.number, n): one for n, one in told.items() if one[2] is not None}
            return [told[n] if n in told else self._complete[phase.number, n] for n in numbers]

    def _forget_replaced(self, block: Block) -> None:
        """Forget the rounds that were read up to a block that a reorganisation replaced."""
        with self._reading:
            if self._complete_at is not None and self._complete_at != block:
                try:
                    self._node.verify(self._complete_at)
                except (ReorganizedError, NodeBehindError):
                    self._complete.clear()
            if self._complete_at is None or block.number >= self._complete_at.number or not self._complete:
                self._complete_at = block

    def _phases(self, block: Block, start: int, stop: int) -> list[Phase]:
        """Phases that the proxy served in [start, stop), and when each began."""
        current = self._current_phase(block)
        begun: list[tuple[int, int | None]] = [(current, None)]
        if current > 1:
            high = self._last_before(stop, block)
            low = self._last_before(start, high)
            first, final = (max(self._phase_at(one), 1) for one in (low, high))
            begun = [(first, None)]
            for phase, number in self._changes(low.number, first, high.number, final):
                begun.append((phase, self._node.block(number).time))
        facts = self._aggregators([phase for phase, _ in begun], block)
        ends = [since if since is not None else FOREVER for _, since in begun[1:]] + [FOREVER]
        return [
            Phase(phase, *facts[phase], since, min(until, stop, block.time + 1))
            for (phase, since), until in zip(begun, ends, strict=True)
        ]

    def _last_before(self, time: int, high: Block) -> Block:
        """The last block before a time, of those up to `high`; the first one for a time before the chain."""
        if time > high.time:
            return high
        genesis = self._node.block(0)
        return genesis if time <= genesis.time else self._node.block_at(time - 1, high=high)

    def _changes(self, low: int, before: int, high: int, after: int) -> Iterator[tuple[int, int]]:
        """Phases that were begun in the blocks (low, high], and in which block, by halving."""
        if before == after:
            return
        if high - low == 1:
            yield after, high
            return
        middle = (low + high) // 2
        phase = max(self._phase_at(self._node.block(middle)), 1)
        yield from self._changes(low, before, middle, phase)
        yield from self._changes(middle, phase, high, after)

    def _phase_at(self, block: Block) -> int:
        """The phase that was served at a block; zero before the proxy was there."""
        result = self._node.call(self._call("phaseId()(uint16)"), block.number)
        return int(result.value) if result.ok else 0

    def _current_phase(self, block: Block) -> int:
        """The phase at the last block; zero when the address is an aggregator, which has no phases."""
        phase = self._phase_at(block)
        if not phase:
            _ = self._read([self._call(LATEST)], block.number)[0].values  # names what is wrong with the address
        return phase

    def _aggregators(self, phases: Sequence[int], block: Block) -> dict[int, tuple[str, int, str]]:
        """Address, decimals and description of each phase's aggregator."""
        calls = [self._call("phaseAggregators(uint16)(address)", phase) for phase in phases if phase]
        addresses = [str(one.value) for one in self._read(calls, block.number)]
        if not all(phases):
            addresses = [self._settings.address.lower()]
        asked = ("decimals()(uint8)", "description()(string)")
        results = self._read([Call(address, what) for what in asked for address in addresses], block.number)
        found = {}
        for i, (phase, address) in enumerate(zip(phases, addresses, strict=True)):
            decimals, said = int(results[i].value), results[len(phases) + i]
            description = str(said.value) if said.ok else ""
            self._hold_to_settings(phase, decimals, description)
            found[phase] = (address, decimals, description)
        return found

    def _hold_to_settings(self, phase: int, decimals: int, description: str) -> None:
        """Refuse an aggregator that is another feed's than the settings say."""
        expected = self._settings.decimals
        if expected not in (None, decimals):
            raise DataError(
                f"the feed has other decimals than the settings say, in phase {phase}",
                file=self._spec.id,
                field="decimals",
                value=decimals,
                remedy=f"Expected {expected}: check the address, or set feeds.decimals",
            )
        pair = f"{self._settings.asset} / {self._settings.quote}"
        told = self._settings.description
        if not (same_pair(pair, description) if told is None else told == description):
            raise DataError(
                f"the feed says of itself that it is another one's than the settings say, in phase {phase}",
                file=self._spec.id,
                field="description",
                value=description,
                remedy=f"Expected {told or pair}: check the address, or set feeds.description "
                "to what the feed rightly calls itself",
            )

    def _clamps(self, aggregator: str, decimals: int, block: Block) -> tuple[str, str]:
        """Smallest and largest answer that the aggregator takes, exact; "" where it has no such bounds."""
        for low, high, kind in _CLAMPS:
            results = self._read([Call(aggregator, f"{name}()({kind})") for name in (low, high)], block.number)
            if all(one.ok for one in results):
                return _exact(int(results[0].value), decimals), _exact(int(results[1].value), decimals)
        return "", ""

    def _call(self, signature: str, *arguments: object) -> Call:
        return Call(self._settings.address, signature, arguments)

    def _read(self, calls: Sequence[Call], block: int) -> list[Result]:
        """Results of the calls; what answers accounts but no contract, as Multicall3 is one, is asked directly."""
        results = self._node.calls(calls, block)
        denied = [i for i, one in enumerate(results) if one.reason == _DENIED]
        for i, again in zip(denied, self._node.calls([calls[i] for i in denied], block, direct=True), strict=True):
            if again.reason == _DENIED:
                raise DataError(
                    "the feed keeps its readers out (No access)",
                    file=self._spec.id,
                    field="address",
                    value=calls[i].address,
                    remedy="Use the address of the public proxy",
                )
            results[i] = again
        return results


def _round(number: int, result: Result) -> tuple[int, int, Round | None]:
    """A round as far as it has data: aggregators revert for one that has none, some answer with zeros."""
    if not result.ok or not result.values[3]:
        return number, 0, None
    _, answer, started, updated, answered = result.values
    return number, answered & _INNER, Round(number, answer, started, updated)


def _row(phase: Phase, found: Round, known_at: int) -> tuple[object, ...]:
    answer = _exact(found.answer, phase.decimals)
    return phase.number, found.number, known_at, found.updated_at, found.started_at, answer


def _exact(answer: int, decimals: int) -> str:
    digits = tuple(int(digit) for digit in str(abs(answer)))
    return format(Decimal((int(answer < 0), digits, -decimals)), "f")
