"""Shared fixtures: optional tiers that say why they did not run, and a network that stops at loopback."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import settings

settings.register_profile("riskcal", deadline=None)  # no test asserts a time: a busy machine is no defect
settings.load_profile("riskcal")

REPOSITORY = Path(__file__).resolve().parents[1]
TIERS = ("chain", "data", "browser")
ABSENT = "tier absent: "


def required_tiers() -> frozenset[str]:
    """Tiers that must run, from the comma-separated RISKCAL_REQUIRE."""
    words = (word.strip() for word in os.environ.get("RISKCAL_REQUIRE", "").split(","))
    tiers = frozenset(word for word in words if word)
    if unknown := tiers - frozenset(TIERS):
        raise pytest.UsageError(f"RISKCAL_REQUIRE: unknown {sorted(unknown)}; tiers are {', '.join(TIERS)}")
    return tiers


def _require(tier: str, reason: str) -> NoReturn:
    if tier not in TIERS:
        raise ValueError(f"unknown tier {tier!r}; tiers are {', '.join(TIERS)}")
    if tier in required_tiers():
        pytest.fail(f"tier {tier!r} is required and absent: {reason}", pytrace=False)
    pytest.skip(f"{ABSENT}{tier}: {reason}")


@pytest.fixture(autouse=True)
def _plain_recursion(request: pytest.FixtureRequest) -> None:
    """Python's own limit, which the in-process EVM raises for the whole process: deep JSON would end it."""
    if "onchain" not in request.path.parts:
        sys.setrecursionlimit(1000)


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the source tree."""
    return REPOSITORY


@pytest.fixture(scope="session")
def require() -> Callable[[str, str], NoReturn]:
    """Call as `require(tier, reason)` where a tier is absent: it skips, or fails if the tier is required."""
    return _require


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real data and reference values beside the repository."""
    folder = REPOSITORY.parent / "shared"
    if not (folder / "data").is_dir():
        _require("data", "there is no folder shared/data beside the repository")
    return folder


def _is_loopback(host: Any) -> bool:
    if host in (None, "", b"", "localhost", b"localhost"):
        return True
    try:
        text = host.decode() if isinstance(host, bytes) else host
        return ipaddress.ip_address(text.split("%")[0]).is_loopback
    except ValueError:
        return False


@pytest.fixture(scope="session", autouse=True)
def _loopback_only() -> Iterator[None]:
    """Refuse every name look-up and connection that would leave this computer."""

    def refuse(target: object) -> NoReturn:
        raise RuntimeError(f"a test tried to reach {target!r}: tests reach loopback only")

    def guard_connection(name: str) -> None:
        original = getattr(socket.socket, name)

        def guarded(self: socket.socket, address: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
                refuse(address)
            return original(self, address)

        patch.setattr(socket.socket, name, guarded)

    resolve = socket.getaddrinfo

    def guarded_resolve(host: Any, *args: Any, **kwargs: Any) -> Any:
        return resolve(host, *args, **kwargs) if _is_loopback(host) else refuse(host)

    with pytest.MonkeyPatch.context() as patch:
        guard_connection("connect")
        guard_connection("connect_ex")
        patch.setattr(socket, "getaddrinfo", guarded_resolve)
        yield


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which tiers did not run, and why."""
    absent: Counter[str] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        if isinstance(report.longrepr, tuple) and ABSENT in report.longrepr[2]:
            absent[report.longrepr[2].split(ABSENT, 1)[1]] += 1
    if absent:
        terminalreporter.section("tiers that did not run")
        for reason, count in sorted(absent.items()):
            terminalreporter.write_line(f"{reason} ({count} skipped)")
