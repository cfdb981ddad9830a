"""Manners on a clock of the test's own: what is repeated, when, how often, and what is said in the end."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import urllib.error
from collections.abc import Callable
from email.message import Message
from typing import NoReturn

import pytest
import requests

from oracle_adapters import masking
from oracle_adapters.faults import Fault, StatusError, classify, retry_after
from oracle_adapters.masking import mask, secret
from oracle_adapters.transport import Manners, Transport, shared_transport
from risk.errors import DefectError, SettingsError, SourceError


class Clock:
    """Time that passes only while one sleeps."""

    def __init__(self) -> None:
        self.now, self.slept = 100.0, []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)


def line(clock: Clock, **manners: float) -> Transport:
    return Transport("venue", Manners(**manners), clock=clock, sleep=clock.sleep)


def failing(*errors: BaseException | None) -> tuple[Callable[[float], str], list[float]]:
    """An operation that fails in these ways, then answers; and the time limits that it was given."""
    left, limits = list(errors), []

    def operation(timeout: float) -> str:
        limits.append(timeout)
        error = left.pop(0) if left else None
        if error is not None:
            raise error
        return "good"

    return operation, limits


TRUNCATED = json.JSONDecodeError("Expecting ',' delimiter", '{"a": 1', 7)
REPEATED = [
    (TimeoutError(), "timed out"),
    (ConnectionResetError(104, "reset"), "the connection was reset"),
    (ConnectionRefusedError(111, "refused"), "the connection was refused"),
    (http.client.RemoteDisconnected("closed"), "the connection was reset"),
    (http.client.IncompleteRead(b"{", 9), "the answer was cut short"),
    (socket.gaierror(-2, "Name or service not known"), "its name was not found"),
    (urllib.error.URLError(ConnectionRefusedError(111, "refused")), "the connection was refused"),
    (urllib.error.HTTPError("http://x", 503, "no", Message(), None), "HTTP 503"),
    (requests.exceptions.ReadTimeout(), "timed out"),
    (requests.exceptions.ConnectionError(), "the connection failed"),
    (StatusError(500), "HTTP 500"),
    (StatusError(429), "HTTP 429"),
    (TRUNCATED, "the answer was cut short after 7 characters"),
]


@pytest.mark.parametrize(("error", "said"), REPEATED, ids=[said for _, said in REPEATED])
def test_what_may_pass_is_repeated_and_named_when_it_does_not(error: BaseException, said: str) -> None:
    operation, _ = failing(error, error)
    assert line(Clock()).call(operation) == "good"
    operation, limits = failing(*[error] * 9)
    with pytest.raises(SourceError, match=f"venue: bars: not reached in 3 tries; the last one: {said}") as caught:
        line(Clock(), attempts=3).call(operation, what="bars")
    assert (len(limits), caught.value.exit_code) == (3, 3)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        *((StatusError(status), f"HTTP {status}") for status in (400, 401, 403, 404, 418, 451)),
        (json.JSONDecodeError("Expecting value", "<html>no", 0), "answered with HTML where JSON was due"),
        (json.JSONDecodeError("Expecting value", "nope", 0), "answered with something else where JSON was due"),
    ],
)
def test_what_stays_is_not_repeated(error: BaseException, said: str) -> None:
    operation, limits = failing(error)
    with pytest.raises(SourceError, match=said):
        line(Clock()).call(operation)
    assert len(limits) == 1


@pytest.mark.parametrize("error", [KeyError("bid"), FileNotFoundError(2, "none"), OSError(28, "disk full")])
def test_what_is_not_the_sources_doing_passes_as_it_is(error: Exception) -> None:
    operation, limits = failing(error)
    with pytest.raises(type(error)):
        line(Clock()).call(operation)
    assert len(limits) == 1


def test_a_defect_on_top_of_a_transport_error_that_was_handled_is_a_defect() -> None:
    def operation(timeout: float) -> NoReturn:
        try:
            raise TimeoutError
        except TimeoutError:
            raise KeyError("bid")  # noqa: B904

    with pytest.raises(KeyError):
        line(Clock()).call(operation)


def test_what_lies_behind_a_clients_own_exception_is_said() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{held.getsockname()[1]}/key"
        with pytest.raises(requests.exceptions.ConnectionError) as caught:
            requests.get(address, timeout=1)
    assert classify(caught.value) == Fault("the connection was refused", again=True)


def test_pauses_double_and_stop_at_a_minute() -> None:
    clock = Clock()
    with pytest.raises(SourceError, match="in 9 tries"):
        line(clock, attempts=9, backoff=2, budget=1000).call(failing(*[TimeoutError()] * 9)[0])
    assert clock.slept == [2, 4, 8, 16, 32, 60, 60, 60]


def test_the_budget_ends_it_before_the_wait_that_would_be_in_vain() -> None:
    clock = Clock()
    operation, limits = failing(*[TimeoutError()] * 9)
    with pytest.raises(SourceError, match=r"in 3 tries; .*beyond the budget of 10 s"):
        line(clock, backoff=3, budget=10, timeout=8).call(operation)
    assert clock.slept == [3, 6]
    assert limits == [8, 7, 1], "a try gets no more time than the budget has left"


def test_retry_after_is_heeded_within_the_budget() -> None:
    clock = Clock()
    operation, _ = failing(StatusError(429, {"retry-after": "7"}), StatusError(503, {"Retry-After": "0.5"}))
    assert line(clock).call(operation) == "good"
    assert clock.slept == [7, 2], "never sooner than the back-off"
    with pytest.raises(SourceError, match=r"in 1 try; .*HTTP 429, asking to wait 3600 s; .*budget of 120 s"):
        line(clock).call(failing(StatusError(429, {"Retry-After": "3600"}))[0])
    assert clock.slept == [7, 2]


def test_a_date_to_retry_at_counts_from_the_answers_own_date() -> None:
    later = {"Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT", "Date": "Wed, 21 Oct 2015 07:28:00 GMT"}
    assert retry_after(later) == 30
    assert retry_after({"Retry-After": later["Retry-After"]}) is None
    assert retry_after({"Retry-After": "soon"}) is None
    assert retry_after({"Retry-After": "-3"}) is None


def test_requests_keep_the_pace_repeats_included() -> None:
    clock = Clock()
    quiet = line(clock, requests_per_second=0.5, backoff=0.25)
    starts = []

    def operation(timeout: float) -> None:
        starts.append(clock.now)
        if len(starts) == 2:
            raise TimeoutError

    for _ in range(3):
        quiet.call(operation)
    assert starts == [100, 102, 104, 106]


def test_threads_share_one_pace() -> None:
    lock, waits = threading.Lock(), []

    def sleep(seconds: float) -> None:
        with lock:
            waits.append(round(seconds, 9))

    shared = Transport("venue", Manners(requests_per_second=4), clock=lambda: 0.0, sleep=sleep)
    threads = [threading.Thread(target=shared.call, args=(lambda _: None,)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(waits) == [0.25, 0.5, 0.75, 1.0]
    assert shared_transport("a", Manners()) is shared_transport("a", Manners())
    assert shared_transport("a", Manners()) is not shared_transport("b", Manners())


def test_no_attempt_at_all_is_a_defect() -> None:
    with pytest.raises(DefectError, match="at least one attempt"):
        line(Clock(), attempts=0).call(failing()[0])


@pytest.fixture
def hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "_HIDDEN", set())


@pytest.mark.usefixtures("hidden")
class TestSecrets:
    URL = "https://user:hunter2@eth.example.org:8443/v2/0123456789abcdef?apikey=s3cr3t-key"

    def test_a_key_is_hidden_wherever_it_stands(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("VENUE_KEY", " a+b/c= ")
        assert secret("VENUE_KEY") == "a+b/c="
        assert mask("key a+b/c=, quoted a%2Bb%2Fc%3D.") == "key ***, quoted ***."

    def test_a_url_keeps_only_its_host(self) -> None:
        assert mask(f"cannot reach {self.URL}, sorry") == "cannot reach https://eth.example.org:8443/***, sorry"
        assert mask("wss://node.example?key=1 and http://127.0.0.1:8545") == (
            "wss://node.example/*** and http://127.0.0.1:8545"
        )

    @pytest.mark.parametrize("piece", ["/v2/0123456789abcdef", "0123456789abcdef", "s3cr3t-key", "hunter2"])
    def test_pieces_of_a_secret_url_are_hidden_by_themselves(self, monkeypatch: pytest.MonkeyPatch, piece: str) -> None:
        monkeypatch.setenv("MAINNET_RPC", self.URL)
        secret("MAINNET_RPC")
        assert piece not in mask(f"HTTPSConnectionPool(host='eth.example.org'): url: {piece} failed on v2 mainnet")
        assert mask("v2 on mainnet") == "v2 on mainnet"

    def test_errors_never_show_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MAINNET_RPC", self.URL)
        url = secret("MAINNET_RPC")
        for error in (StatusError(401, detail=f"bad key {url}"), StatusError(500, detail="/v2/0123456789abcdef")):
            with pytest.raises(SourceError) as caught:
                line(Clock(), attempts=1).call(failing(error)[0], what=f"GET {url}")
            assert not any(piece in str(caught.value) for piece in ("0123456789abcdef", "s3cr3t", "hunter2"))
            assert caught.value.__cause__ is None

    def test_a_variable_that_is_not_set_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("MAINNET_RPC", raising=False)
        with pytest.raises(SettingsError, match="MAINNET_RPC: the environment variable is not set"):
            secret("MAINNET_RPC")
