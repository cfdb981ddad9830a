"""What an exception of a network client means: whether a repeat may help, and what to tell people."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from itertools import islice
from json import JSONDecodeError, loads


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong with one try.

    Attributes
    ----------
    said
        For people, e.g. ``HTTP 503``.
    again
        Whether a repeat may help.
    after
        Seconds that the source asks to wait; None when it asks for nothing.
    """

    said: str
    again: bool
    after: float | None = None


class StatusError(Exception):
    """An HTTP status other than success, for operations that see it themselves.

    Parameters
    ----------
    status
        E.g. 429.
    headers
        Of the answer; ``Retry-After`` and ``Date`` are read, in any case of letters.
    detail
        What the answer says of itself.
    """

    def __init__(self, status: int, headers: Mapping[str, str] | None = None, detail: str = "") -> None:
        self.status, self.headers, self.detail = status, headers or {}, detail
        super().__init__(f"HTTP {status}" + (f": {detail}" if detail else ""))


Classify = Callable[[BaseException], Fault | None]
"""What an exception of an operation means; None when it has nothing to do with the source."""


def classify(error: BaseException) -> Fault | None:
    """Read the exceptions of the standard library, requests, urllib3 and httpx, and `StatusError`.

    A JSON text that ends early was cut short on its way; one that is no JSON at all was meant so, and asking
    again would get it again. A client with exceptions of its own brings its own reader, which asks this one for
    the rest.
    """
    if (status := _status(error)) is not None:
        return status_fault(*status)
    if isinstance(error, JSONDecodeError):
        return _json_fault(error)
    if _said(error) is None:
        return None
    chain = list(islice(_chain(error), 8))
    return Fault(next((said for one in reversed(chain) if (said := _said(one)) not in (None, _FAILED)), _FAILED), True)


def status_fault(status: int, headers: Mapping[str, str] | None = None, detail: str = "") -> Fault:
    """What an HTTP status means: 429 and 5xx may be repeated, and ``Retry-After`` is heeded."""
    after = retry_after(headers or {})
    said = f"HTTP {status}" + (f" ({detail})" if detail else "")
    if after is not None:
        said += f", asking to wait {after:g} s"
    return Fault(said, status == 429 or status >= 500, after)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a ``Retry-After`` header; a date counts from the answer's own ``Date``, not from our clock."""
    named = {name.lower(): value for name, value in headers.items()}
    text = named.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", text, re.ASCII):
        return float(text)
    try:
        then, now = parsedate_to_datetime(text), parsedate_to_datetime(named.get("date", ""))
        return max((then - now).total_seconds(), 0.0)
    except (TypeError, ValueError):
        return None


_FAILED = "the connection failed"
_MEANINGS = {
    "TimeoutError": "timed out",
    "Timeout": "timed out",
    "TimeoutException": "timed out",
    "ConnectionRefusedError": "the connection was refused",
    "ConnectionResetError": "the connection was reset",
    "BrokenPipeError": "the connection was reset",
    "ConnectionAbortedError": "the connection was reset",
    "gaierror": "its name was not found",
    "SSLError": "its certificate or encryption was refused",
    "IncompleteRead": "the answer was cut short",
    "ChunkedEncodingError": "the answer was cut short",
    "RemoteProtocolError": "the answer was cut short",
    "HTTPException": "the answer was not HTTP",
    "ProtocolError": _FAILED,
    "NetworkError": _FAILED,
    "ConnectionError": _FAILED,
    "MaxRetryError": _FAILED,
    "NewConnectionError": _FAILED,
    "URLError": _FAILED,
}
"""What transport errors mean, by the names of their classes: the clients are not imported here."""
_CLIENTS = frozenset({"builtins", "socket", "ssl", "http", "urllib", "requests", "urllib3", "httpx", "httpcore"})


def _said(error: BaseException) -> str | None:
    """The meaning of the first class in the error's order of resolution that has one."""
    kinds = (kind for kind in type(error).__mro__ if kind.__module__.partition(".")[0] in _CLIENTS)
    return next((_MEANINGS[kind.__name__] for kind in kinds if kind.__name__ in _MEANINGS), None)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what lies behind it, outermost first."""
    while error is not None:
        yield error
        inside = [getattr(error, "reason", None), *error.args]
        error = (
            error.__cause__
            or error.__context__
            or next((one for one in inside if isinstance(one, BaseException)), None)
        )


def _status(error: BaseException) -> tuple[int, Mapping[str, str], str] | None:
    if isinstance(error, StatusError):
        return error.status, error.headers, error.detail
    response = getattr(error, "response", None)  # requests and httpx
    if isinstance(status := getattr(response, "status_code", None), int):
        return status, getattr(response, "headers", {}), ""
    if type(error).__name__ == "HTTPError" and isinstance(code := getattr(error, "code", None), int):  # urllib
        return code, getattr(error, "headers", {}), ""
    return None


def _json_fault(error: JSONDecodeError) -> Fault:
    text = error.doc.strip()
    if error.pos >= len(error.doc.rstrip()) or _unterminated(error.doc):
        return Fault(f"the answer was cut short after {len(error.doc)} characters", again=True)
    return Fault(
        f"answered with {'HTML' if text.startswith('<') else 'something else'} where JSON was due", again=False
    )


def _unterminated(text: str) -> bool:
    """Whether a text ends within a string; a client's own words for it, such as web3's, may not say so."""
    try:
        loads(text)
    except JSONDecodeError as error:
        return error.msg.startswith("Unterminated string")
    return False
