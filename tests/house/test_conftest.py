"""The shared fixtures keep their word: no network beyond loopback, and an absent tier is skipped or fails as asked."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import NoReturn

import pytest

Require = Callable[[str, str], NoReturn]


@pytest.mark.parametrize("address", ["192.0.2.1", "10.0.0.1", "0.0.0.0", "example.test"])  # documentation addresses
def test_nothing_leaves_this_computer(address: str) -> None:
    with socket.socket() as client, pytest.raises(RuntimeError, match="loopback only"):
        client.connect((address, 9))
    with socket.socket() as client, pytest.raises(RuntimeError, match="loopback only"):
        client.connect_ex((address, 9))
    with pytest.raises(RuntimeError, match="loopback only"):
        socket.getaddrinfo(address, 9)


def test_ipv6_does_not_leave_either() -> None:
    with socket.socket(socket.AF_INET6) as client, pytest.raises(RuntimeError, match="loopback only"):
        client.connect(("2001:db8::1", 9))


def test_loopback_works() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            server.accept()[0].close()

        answering = threading.Thread(target=answer)
        answering.start()
        with socket.create_connection(("localhost", server.getsockname()[1]), timeout=5):
            pass
        answering.join()


def test_absent_tier_is_skipped(require: Require, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RISKCAL_REQUIRE", raising=False)
    with pytest.raises(pytest.skip.Exception, match="chain: no node"):
        require("chain", "no node")


def test_required_tier_fails(require: Require, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISKCAL_REQUIRE", "data, chain")
    with pytest.raises(pytest.fail.Exception, match="required and absent: no node"):
        require("chain", "no node")
    with pytest.raises(pytest.skip.Exception):
        require("browser", "no driver")


def test_a_misspelt_tier_is_refused(require: Require, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="unknown tier"):
        require("chian", "")
    monkeypatch.setenv("RISKCAL_REQUIRE", "chian")
    with pytest.raises(pytest.UsageError, match="unknown"):
        require("chain", "")
