"""An Ethereum node as the adapters see it: pinned reads in few requests, logs in chunks, blocks by time, finality.

Every read names its block, so that what was read together belongs together and can be read again. A contract's
revert is a result; only a node that cannot be asked, or that cannot be trusted, is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

from oracle_adapters.contract_call import MULTICALL3, Call, Result, aggregate, aggregated
from oracle_adapters.faults import Fault, classify
from oracle_adapters.masking import hide, mask
from oracle_adapters.transport import Manners, shared_transport
from risk.errors import EvidenceError, SettingsError, SourceError

T = TypeVar("T")

MANNERS = Manners(attempts=4, backoff=0.5)
BATCH = 250
"""Calls in one request through Multicall3."""
LOG_SPAN = 10_000
"""Blocks in one request for logs, before the node says what it bears."""

_TOO_MANY = re.compile(
    r"too many|more than \d+ (results|logs)|limit exceeded|exceeds? (the )?(max|limit|range)|range (is )?too|"
    r"(block|range) limit|limited to|response size|query timeout|too large|reduce",
    re.IGNORECASE,
)
_BUSY = re.compile(r"rate limit|requests per second|compute units|too many requests|'code': 429|busy", re.IGNORECASE)
_NO_STATE = re.compile(
    r"missing trie node|state .*(not available|unavailable|pruned)|pruned|out of range|BlockOutOfRange|"
    r"archive|distance to target block|historical state",
    re.IGNORECASE,
)


class NodeBehindError(SourceError):
    """The node has not reached a block that is known to exist."""


class ReorganizedError(SourceError):
    """A block that was read is no longer part of the chain."""


class StateUnavailableError(SourceError):
    """The node no longer keeps the state of the block: an archive node does."""


class ChainMismatchError(SettingsError):
    """The node serves another chain than the settings name."""


@dataclass(frozen=True, slots=True)
class Block:
    """Number, hash and unix seconds of a block."""

    number: int
    hash: str
    time: int


@dataclass(frozen=True, slots=True)
class Log:
    """An event as it lies in its block."""

    block: int
    index: int
    address: str
    topics: tuple[bytes, ...]
    data: bytes


class Node:
    """A node behind a web3 provider.

    Parameters
    ----------
    provider
        A URL, or a web3 provider such as that of an in-process chain.
    name
        For messages: the URL may hold a key and is never shown.
    chain_id
        What the node must serve; None accepts any chain.
    confirmations
        Blocks on top of one before it counts as final.
    manners
        What a request may cost; all nodes of one name share the pace.
    """

    def __init__(
        self,
        provider: Any,
        *,
        name: str = "node",
        chain_id: int | None = None,
        confirmations: int = 0,
        manners: Manners = MANNERS,
    ) -> None:
        from web3 import HTTPProvider, Web3

        if isinstance(provider, str):
            hide(provider)
            limits = {"timeout": manners.timeout}
            provider = HTTPProvider(provider, limits, exception_retry_configuration=None)
        self._web3 = Web3(provider)
        self._transport = shared_transport(name, manners)
        self._expected, self._chain_id = chain_id, -1
        self._multicall_since: int | None = None
        self.name, self.confirmations = name, confirmations
        self.manners = manners
        self.requests = 0
        """Requests made so far."""

    @property
    def chain_id(self) -> int:
        """Chain that the node serves.

        Raises
        ------
        ChainMismatchError
            When it is not the expected one.
        """
        if self._chain_id < 0:
            found = int(self._told(lambda: self._web3.eth.chain_id, "the chain id"))
            if self._expected not in (None, found):
                raise ChainMismatchError(
                    f"{self.name} serves another chain than the settings name",
                    field="chain_id",
                    value=found,
                    remedy=f"Expected {self._expected}: mend chain_id, or the URL in the environment",
                )
            self._chain_id = found
        return self._chain_id

    def block(self, number: int) -> Block:
        """A block by its number.

        Raises
        ------
        NodeBehindError
            When the node has no such block.
        """
        return self._block(number)

    def final_block(self) -> Block:
        """The last block with enough confirmations, on the expected chain."""
        _ = self.chain_id
        latest = self._block("latest")
        return latest if not self.confirmations else self._block(max(latest.number - self.confirmations, 0))

    def verify(self, block: Block) -> None:
        """Check that a block read earlier still belongs to the chain.

        Raises
        ------
        NodeBehindError
            When the node has not reached it.
        ReorganizedError
            When another block took its place.
        """
        now = self.block(block.number)
        if now.hash != block.hash:
            raise ReorganizedError(
                f"block {block.number} of {self.name} was replaced since it was read",
                value=f"{block.hash} then, {now.hash} now",
                remedy="Fetch again from before it, with more confirmations",
            )

    def block_at(self, time: int, *, low: int = 0, high: Block | None = None) -> Block:
        """The last block at or before a time; between two blocks the next guess is linear, every third halves.

        Parameters
        ----------
        time
            Unix seconds.
        low
            Number of a block at or before the time.
        high
            Where to stop looking; by default the last final block, which is returned for any later time.

        Raises
        ------
        EvidenceError
            When the chain is younger.
        """
        top, bottom = high or self.final_block(), self.block(low)
        if time >= top.time:
            return top
        if time < bottom.time:
            raise EvidenceError("the chain has no block at that time", field=self.name, value=time)
        turn = 0
        while top.number - bottom.number > 1:
            turn += 1
            share = (time - bottom.time) / (top.time - bottom.time) if turn % 3 else 0.5
            guess = bottom.number + round(share * (top.number - bottom.number))
            middle = self.block(min(max(guess, bottom.number + 1), top.number - 1))
            bottom, top = (middle, top) if middle.time <= time else (bottom, middle)
        return bottom

    def calls(self, calls: Sequence[Call], block: int, *, direct: bool = False) -> list[Result]:
        """Read many functions at one block; results in the order of the calls.

        They go through Multicall3 where it is deployed at the block, else one by one. A batch that fails as a
        whole, for its gas or size, is halved.

        Parameters
        ----------
        direct
            One by one in any case: some contracts answer an account but no contract.

        Raises
        ------
        StateUnavailableError
            When the node no longer keeps the state of the block.
        """
        if direct or len(calls) < 2 or not self._has_multicall(block):
            return [self._call(call, block) for call in calls]
        batches = (calls[first : first + BATCH] for first in range(0, len(calls), BATCH))
        return [result for batch in batches for result in self._batch(batch, block)]

    def call(self, call: Call, block: int) -> Result:
        """Read one function at a block."""
        return self._call(call, block)

    def code(self, address: str, block: int) -> bytes:
        """Code at an address; empty where there is no contract."""
        checksum = self._web3.to_checksum_address(address)
        return bytes(self._told(lambda: self._web3.eth.get_code(checksum, block), f"the code of {address}", block))

    def logs(
        self, address: str | Sequence[str], topics: Sequence[Any], start: int, stop: int, *, span: int = LOG_SPAN
    ) -> Iterator[Log]:
        """Events in blocks ``start <= number < stop``, in order.

        A chunk that the node finds too large is halved, and grows again after it.

        Parameters
        ----------
        topics
            One filter a position: a topic, a list of alternatives, or None.
        span
            Blocks a request, at most.

        Raises
        ------
        SourceError
            When even one block is too large for the node.
        """
        from web3.exceptions import Web3RPCError

        many = [address] if isinstance(address, str) else list(address)
        where = {
            "address": [self._web3.to_checksum_address(one) for one in many],
            "topics": [_hex(topic) for topic in topics],
        }
        first, width = start, span
        while first < stop:
            last = min(first + width, stop) - 1
            try:
                found = self._logs({**where, "fromBlock": hex(first), "toBlock": hex(last)})
            except (Web3RPCError, ValueError) as error:
                if not _TOO_MANY.search(str(error)):
                    raise self._refused(error) from None
                if last == first:
                    text = mask(str(error))[:200]
                    raise SourceError(f"{self.name} refuses the logs of block {first} alone", value=text) from None
                width = (last - first + 1) // 2
                continue
            yield from found
            first, width = last + 1, min(2 * width, span)

    def _logs(self, query: Any) -> list[Log]:
        found = self._ask(lambda: self._web3.eth.get_logs(query), f"logs of {', '.join(query['address'])}")
        return [
            Log(
                int(entry["blockNumber"]),
                int(entry["logIndex"]),
                str(entry["address"]).lower(),
                tuple(bytes(topic) for topic in entry["topics"]),
                bytes(entry["data"]),
            )
            for entry in found
        ]

    def _batch(self, calls: Sequence[Call], block: int) -> list[Result]:
        if len(calls) == 1:
            return [self._call(calls[0], block)]
        whole = self._call(aggregate(calls), block)
        if whole.ok:
            return aggregated(calls, whole.value)
        half = len(calls) // 2
        return self._batch(calls[:half], block) + self._batch(calls[half:], block)

    def _call(self, call: Call, block: int) -> Result:
        from web3.exceptions import ContractLogicError, Web3RPCError

        query: Any = {"to": self._web3.to_checksum_address(call.address), "data": "0x" + call.data.hex()}
        try:
            return call.read(bytes(self._ask(lambda: self._web3.eth.call(query, block), str(call))))
        except ContractLogicError as error:
            data = error.data if isinstance(error.data, str) else ""
            return call.reverted(bytes.fromhex(data[2:]) if data.startswith("0x") else b"")
        except Web3RPCError as error:
            if call.address == MULTICALL3 and not _NO_STATE.search(str(error)):
                return call.reverted(b"")  # out of gas or too large: the batch is halved
            raise self._refused(error, block) from None

    def _refused(self, error: Exception, block: int | None = None) -> SourceError:
        text = str(error)
        if _NO_STATE.search(text):
            return StateUnavailableError(
                f"{self.name} keeps no state of block {block}", remedy="Use the URL of an archive node"
            )
        return SourceError(f"{self.name} refused a request", value=mask(text)[:200])

    def _has_multicall(self, block: int) -> bool:
        """Whether Multicall3 is deployed at a block; once there, it stays."""
        if self._multicall_since is None or block < self._multicall_since:
            if not self.code(MULTICALL3, block):
                return False
            self._multicall_since = block
        return True

    def _block(self, number: Any) -> Block:
        from web3.exceptions import BlockNotFound

        try:
            found = self._told(lambda: self._web3.eth.get_block(number), f"block {number}")
        except BlockNotFound:
            raise NodeBehindError(
                f"{self.name} has no block {number}", remedy="Wait until the node is in sync, or ask another one"
            ) from None
        return Block(int(found["number"]), "0x" + bytes(found["hash"]).hex(), int(found["timestamp"]))

    def _told(self, operation: Callable[[], T], what: str, block: int | None = None) -> T:
        """Ask, and say what the node refuses."""
        from web3.exceptions import BlockNotFound, Web3RPCError

        try:
            return self._ask(operation, what)
        except BlockNotFound:
            raise
        except Web3RPCError as error:
            raise self._refused(error, block) from None

    def _ask(self, operation: Callable[[], T], what: str) -> T:
        from web3.exceptions import Web3RPCError

        def counted(_: float) -> T:
            self.requests += 1
            try:
                return operation()
            except OSError as error:  # as all errors of requests are
                response = getattr(error, "response", None)
                if getattr(response, "status_code", None) != HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                    raise
                # Said by a proxy before the node, and as good as a word of its own: what was asked is halved.
                raise Web3RPCError("HTTP 413: the request is too large") from None

        return self._transport.call(counted, what=what, classify=_classify)


def _classify(error: BaseException) -> Fault | None:
    """Read the errors of JSON-RPC that a node sends with status 200: asked too often, too slow, or failing inside."""
    from web3.exceptions import RequestTimedOut, TooManyRequests, Web3RPCError

    if isinstance(error, TooManyRequests):
        return Fault("asked too often", again=True)
    if isinstance(error, RequestTimedOut):
        return Fault("timed out", again=True)
    if isinstance(error, Web3RPCError):
        return Fault(mask(str(error))[:200], again=True) if _BUSY.search(str(error)) else None
    return classify(error)


def _hex(topic: Any) -> Any:
    if isinstance(topic, bytes):
        return "0x" + topic.hex()
    return [_hex(one) for one in topic] if isinstance(topic, (list, tuple)) else topic


def address_topic(address: str) -> bytes:
    """Topic of an indexed address."""
    return bytes.fromhex(address[2:]).rjust(32, b"\0")
