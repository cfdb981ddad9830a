"""A node that throttles, fails, answers with half a text or a page, or bears no large request: on loopback."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any

import pytest
from eth_abi.abi import decode, encode

from oracle_adapters.contract_call import Call
from oracle_adapters.rpc import Node, StateUnavailableError
from oracle_adapters.transport import Manners
from risk.errors import SourceError
from tests.onchain.chains import ZERO

Answer = tuple[int, dict[str, str], bytes]
QUICK = Manners(attempts=3, backoff=0.01, timeout=0.5, budget=5.0)


def result(value: Any) -> Answer:
    return 200, {}, json.dumps({"jsonrpc": "2.0", "id": 0, "result": value}).encode()


def failure(code: int, message: str) -> Answer:
    error = {"code": code, "message": message}
    return 200, {}, json.dumps({"jsonrpc": "2.0", "id": 0, "error": error}).encode()


class Server:
    """Answers each request by a function of its method and parameters; one that is given None goes silent."""

    def __init__(self) -> None:
        self.answer: Callable[[str, Any], Answer | None] = lambda method, _: result("0x1")
        self.asked: list[tuple[str, Any]] = []
        self._closing = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.asked.append((request["method"], request["params"]))
                answer = outer.answer(request["method"], request["params"])
                if answer is None:
                    outer._closing.wait(10)
                    return
                status, headers, body = answer
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v2/0123456789abcdef"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.close()


def node(server: Server, request: pytest.FixtureRequest, **settings: Any) -> Node:
    return Node(server.url, name=f"node:{request.node.name}", manners=QUICK, **settings)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ((429, {"Retry-After": "0"}, b"slow down"), "HTTP 429"),
        ((500, {}, b"oops"), "HTTP 500"),
        ((200, {"Content-Length": "900"}, b'{"jsonrpc": "2.0", "id": 0, "res'), "cut short|timed out"),
        (failure(-32005, "daily request count exceeded, request rate limited"), "rate limit"),
        (None, "timed out"),
    ],
    ids=["throttled", "failing", "cut", "rate", "silent"],
)
def test_what_passes_is_asked_again(
    server: Server, request: pytest.FixtureRequest, fault: Answer | None, said: str
) -> None:
    """Once and it is mended, always and the message says what was met, and never the key in the URL."""
    server.answer = lambda *_: fault if len(server.asked) == 1 else result("0x2a")
    assert node(server, request).chain_id == 42
    assert len(server.asked) == 2

    server.answer = lambda *_: fault
    with pytest.raises(SourceError, match=f"not reached in 3 tries; the last one: .*({said})") as caught:
        _ = node(server, request).chain_id
    assert "0123456789abcdef" not in str(caught.value)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    "fault",
    [(200, {}, b"<html><body>Sign in</body></html>"), (401, {}, b"no"), (404, {}, b"no")],
    ids=["page", "key", "path"],
)
def test_what_does_not_pass_is_said_at_once(server: Server, request: pytest.FixtureRequest, fault: Answer) -> None:
    server.answer = lambda *_: fault
    with pytest.raises(SourceError) as caught:
        _ = node(server, request).chain_id
    assert len(server.asked) == 1
    assert "0123456789abcdef" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (-32005, "query returned more than 10000 results"),
        (-32602, "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range"),
        (-32614, "eth_getLogs is limited to a 10,000 range"),
        (-32600, "block range is too wide"),
        (-32000, "query timeout exceeded"),
    ],
)
def test_logs_are_asked_in_chunks_that_the_node_bears(
    server: Server, request: pytest.FixtureRequest, code: int, message: str
) -> None:
    """A node that bears 150 blocks: every block is asked once with success, in order, and none beyond."""
    spans: list[tuple[int, int]] = []

    def answer(_: str, parameters: Any) -> Answer:
        first, last = (int(parameters[0][name], 16) for name in ("fromBlock", "toBlock"))
        if last - first + 1 > 150:
            return failure(code, message)
        spans.append((first, last))
        return result([])

    server.answer = answer
    assert not list(node(server, request).logs(ZERO, [], 7, 1007, span=1000))
    assert spans[0][0] == 7
    assert spans[-1][1] == 1006
    assert all(a[1] + 1 == b[0] for a, b in pairwise(spans))
    assert len(server.asked) < 30

    server.answer = lambda *_: failure(code, message)
    with pytest.raises(SourceError, match="refuses the logs of block 7 alone"):
        list(node(server, request).logs(ZERO, [], 7, 1007))


def test_a_batch_that_the_proxy_before_the_node_finds_too_large_is_halved(
    server: Server, request: pytest.FixtureRequest
) -> None:
    """HTTP 413 for more than 3,000 bytes of a call; every call is answered with its place among them."""
    calls = [Call(f"0x{number:040x}", "decimals()(uint8)") for number in range(1, 41)]
    sizes: list[int] = []

    def answer(method: str, parameters: Any) -> Answer:
        if method != "eth_call":
            return result("0x01")
        data = bytes.fromhex(parameters[0]["data"][2:])
        if len(data) > 3000:
            return 413, {"Content-Type": "text/html"}, b"<html>Request Entity Too Large</html>"
        (asked,) = decode(["(address,bool,bytes)[]"], data[4:])
        sizes.append(len(asked))
        told = [(True, encode(["uint256"], [int(target, 16)])) for target, _, _ in asked]
        return result("0x" + encode(["(bool,bytes)[]"], [told]).hex())

    server.answer = answer
    results = node(server, request).calls(calls, 5)
    assert [one.value for one in results] == list(range(1, 41))
    assert len(sizes) > 1
    assert sum(sizes) == 40, "each is answered once"

    server.answer = lambda method, _: result("0x01") if method != "eth_call" else (413, {}, b"too large")
    with pytest.raises(SourceError, match="HTTP 413: the request is too large") as caught:
        node(server, request).calls(calls, 5)
    assert caught.value.exit_code == 3


def test_logs_that_are_too_large_for_the_proxy_are_halved(server: Server, request: pytest.FixtureRequest) -> None:
    def answer(_: str, parameters: Any) -> Answer:
        first, last = (int(parameters[0][name], 16) for name in ("fromBlock", "toBlock"))
        return (413, {}, b"") if last - first + 1 > 150 else result([])

    server.answer = answer
    assert not list(node(server, request).logs(ZERO, [], 7, 1007, span=1000))


def test_a_node_without_the_state_of_a_block_is_named(server: Server, request: pytest.FixtureRequest) -> None:
    for message in ("missing trie node 0xabc (path )", "historical state 0x1 is not available", "BlockOutOfRangeError"):
        server.answer = lambda method, _, message=message: failure(-32000, message)
        with pytest.raises(StateUnavailableError, match=r"keeps no state of block 5\. Use the URL of an archive node"):
            node(server, request).code(ZERO, 5)


def test_other_refusals_say_what_the_node_said(server: Server, request: pytest.FixtureRequest) -> None:
    server.answer = lambda *_: failure(-32601, "the method is not supported")
    with pytest.raises(SourceError, match=re.escape("the method is not supported")):
        _ = node(server, request).chain_id
