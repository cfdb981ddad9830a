"""A real HTTP server on loopback, and the faults that servers have."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, Self
from urllib.parse import parse_qsl, urlsplit

Route = Callable[[Mapping[str, str]], Any]
"""From the query to what is sent as JSON, or an `Answer`."""


@dataclass(frozen=True)
class Answer:
    """A whole answer; `manner` is how the connection ends."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    manner: str = "good"  # or "reset" (before the answer), "hang" (never answers), "short" (half of the body)


class Server:
    """Serves routes by path. `faults` holds, by path, answers that come before the good ones."""

    def __init__(self, routes: Mapping[str, Route]) -> None:
        self.routes = routes
        self.faults: dict[str, list[Answer]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.closing = threading.Event()
        handler = type("Handler", (_Handler,), {"owner": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = False
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def count(self, path: str) -> int:
        """Requests for a path."""
        return sum(asked == path for asked, _ in self.asked)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    owner: ClassVar[Server]
    protocol_version = "HTTP/1.0"  # a connection an answer: nothing is left open

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        self.owner.asked.append((parts.path, query))
        waiting = self.owner.faults.get(parts.path)
        if waiting:
            self._send(waiting.pop(0))
        elif parts.path in self.owner.routes:
            told = self.owner.routes[parts.path](query)
            self._send(told if isinstance(told, Answer) else Answer(body=json.dumps(told).encode()))
        else:
            self._send(Answer(404, b'{"error":"no such path"}'))

    def _send(self, answer: Answer) -> None:
        if answer.manner == "hang":
            self.owner.closing.wait(10)
            return
        if answer.manner == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            return
        self.send_response(answer.status)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(answer.body)), **answer.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body[: len(answer.body) // 2] if answer.manner == "short" else answer.body)

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""

    def finish(self) -> None:
        """A connection that was reset has nothing to flush."""
        try:
            super().finish()
        except (OSError, ValueError):
            return
