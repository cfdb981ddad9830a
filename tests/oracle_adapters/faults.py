"""An HTTP server on loopback whose answers can be spoiled, for every adapter that speaks HTTP.

::

    with FaultyServer(answer) as server:
        feed = open_feed(server.url)
        server.spoil(Spoil.RESET, first=1)        # the second request from now on, once
        server.spoil(Spoil.BUSY, times=None)      # the next one and all that follow, until `heal`
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class Spoil(StrEnum):
    """Ways in which an answer goes wrong."""

    TIMEOUT = "timeout"
    RESET = "reset"
    BUSY = "429 with Retry-After"
    ERROR = "500"
    TRUNCATED = "truncated body"
    CUT = "cut JSON"
    HTML = "HTML for JSON"
    FORBIDDEN = "403"


RETRY_AFTER = 1
"""Seconds that a busy answer asks to wait."""
PAGE = b"<html><body>Please log in</body></html>"


@dataclass(frozen=True)
class Request:
    """What was asked."""

    method: str
    path: str
    body: bytes


Answer = Callable[[Request], bytes]
"""The JSON of a good answer."""


class FaultyServer:
    """Serves `answer`, except where it is told to spoil it. `requests` holds what was asked, spoiled or not."""

    def __init__(self, answer: Answer) -> None:
        self.requests: list[Request] = []
        self._answer = answer
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._plan: tuple[Spoil, int, int] | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # clients that hang up are meant to
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def spoil(self, how: Spoil, *, first: int = 0, times: int | None = 1) -> None:
        """Spoil `times` requests, all where it is None, after the next `first` ones."""
        with self._lock:
            begin = len(self.requests) + first
            self._plan = how, begin, begin + (2**31 if times is None else times)

    def heal(self) -> None:
        """Answer well again."""
        with self._lock:
            self._plan = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _turn(self, request: Request) -> Spoil | None:
        with self._lock:
            number = len(self.requests)
            self.requests.append(request)
            return self._plan[0] if self._plan and self._plan[1] <= number < self._plan[2] else None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._serve("GET")

            def do_POST(self) -> None:
                self._serve("POST")

            def log_message(self, *_: Any) -> None:
                """Stay quiet."""

            def _serve(self, method: str) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                request = Request(method, self.path, body)
                how = owner._turn(request)
                if how is Spoil.TIMEOUT:
                    owner._closing.wait(30)
                elif how is Spoil.RESET:
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.connection.shutdown(socket.SHUT_RD)
                    self.connection.close()
                elif how is Spoil.BUSY:
                    self._send(429, b'{"error": "slow down"}', retry_after=RETRY_AFTER)
                elif how is Spoil.ERROR:
                    self._send(500, b'{"error": "broken"}')
                elif how is Spoil.FORBIDDEN:
                    self._send(403, b'{"error": "no"}')
                elif how is Spoil.HTML:
                    self._send(200, PAGE, kind="text/html")
                else:
                    good = owner._answer(request)
                    if how is Spoil.CUT:
                        good = good[: len(good) // 2]
                    self._send(200, good, sent=len(good) // 2 if how is Spoil.TRUNCATED else None)

            def _send(
                self, status: int, body: bytes, *, kind: str = "application/json", sent: int | None = None,
                retry_after: int | None = None,
            ) -> None:  # fmt: skip
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                if retry_after is not None:
                    self.send_header("Retry-After", str(retry_after))
                self.end_headers()
                self.wfile.write(body[:sent])

        return Handler
