"""The shared fixtures keep their word: no network beyond loopback, and an absent tier is skipped or fails as asked."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import NoReturn

import pytest

Require = Callable[[str, str], NoReturn]


# Documentation addresses on a closed socket, and names that may not be resolved: nothing is sent, guard or no guard.


@pytest.mark.parametrize(
    ("family", "address"),
    [
        (socket.AF_INET, "192.0.2.1"),
        (socket.AF_INET, "198.51.100.7"),
        (socket.AF_INET, "0.0.0.0"),
        (socket.AF_INET6, "2001:db8::1"),
    ],
)
@pytest.mark.parametrize("method", ["connect", "connect_ex"])
def test_no_connection_leaves_this_computer(family: int, address: str, method: str) -> None:
    client = socket.socket(family)
    client.close()
    with pytest.raises(RuntimeError, match="loopback only"):
        getattr(client, method)((address, 9))


@pytest.mark.parametrize("name", ["192.0.2.1", "name.invalid", b"name.invalid"])
def test_no_name_is_looked_up(name: str | bytes) -> None:
    with pytest.raises(RuntimeError, match="loopback only"):
        socket.getaddrinfo(name, 9, flags=socket.AI_NUMERICHOST)


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
