"""How a source is asked: at its pace, with time limits and few repeats, and without ever telling its secrets.

Repeated are transport errors (not reached, reset, timed out, an answer cut short), status 429 and status 5xx;
nothing else. An answer that came whole and is not what was asked for, such as a page of HTML where JSON was due,
is an error at once: asking again would get it again.

::

    line = Transport("example", Manners(timeout=10))
    answer = line.call(lambda timeout: client.get(url, timeout=timeout), what="the book of ETH-USD")
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

from oracle_adapters.faults import Classify, classify
from oracle_adapters.masking import mask
from risk.errors import DefectError, SourceError
from risk.settings import Fetch

T = TypeVar("T")

LONGEST_WAIT = 60.0
"""Seconds that doubling stops at."""


@dataclass(frozen=True, slots=True)
class Manners:
    """What one request may cost.

    Attributes
    ----------
    attempts
        Tries a request, the first included.
    backoff
        Seconds before the second try; they double with each further one. There is no jitter: the pace already
        keeps our own requests apart, and a run can be repeated.
    timeout
        Seconds that one try may take.
    budget
        Seconds that a request may take with all its repeats and waits, from the start of its first try.
    requests_per_second
        Pace of all requests to a source, repeats included; None for no limit.
    """

    attempts: int = 5
    backoff: float = 1.0
    timeout: float = 20.0
    budget: float = 120.0
    requests_per_second: float | None = None

    @classmethod
    def of(cls, settings: Fetch) -> Manners:
        """Manners that the settings ask for."""
        return cls(**settings.model_dump())


class Pace:
    """Keeps requests apart, over all threads.

    Parameters
    ----------
    requests_per_second
        None for no limit.
    """

    def __init__(self, requests_per_second: float | None) -> None:
        self._apart = 1 / requests_per_second if requests_per_second else 0.0
        self._lock = threading.Lock()
        self._free = -float("inf")

    def turn(self, now: float) -> float:
        """Take the next turn, and return the seconds until it comes."""
        with self._lock:
            start = max(now, self._free)
            self._free = start + self._apart
        return start - now


class Transport:
    """The way to one source. One object serves all threads that ask the source.

    Parameters
    ----------
    source
        Name for messages, without secrets, e.g. ``exchange:kraken``.
    manners
        What a request may cost.
    clock, sleep
        Seconds of a clock that never goes back, and a wait; others only in tests.
    """

    def __init__(
        self,
        source: str,
        manners: Manners = Manners(),
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.source, self.manners = source, manners
        self._clock, self._sleep, self._pace = clock, sleep, Pace(manners.requests_per_second)

    def call(self, operation: Callable[[float], T], *, what: str = "", classify: Classify = classify) -> T:
        """Do one request, and repeat it while that may help.

        Parameters
        ----------
        operation
            The request; it is given the seconds it may take.
        what
            What is asked for, for messages.
        classify
            Reads the exceptions of `operation`.

        Raises
        ------
        SourceError
            When the source was not reached: names it, what the last try met, and how many tries there were. When
            the source asks to wait for longer than the budget lasts, that is said at once.
        """
        manners = self.manners
        self._sleep_for(self._pace.turn(self._clock()))
        deadline = self._clock() + manners.budget
        for tried in range(1, manners.attempts + 1):
            try:
                return operation(max(min(manners.timeout, deadline - self._clock()), 0.001))
            except SourceError as error:
                raise self._error(error.message, what, error.remedy) from None
            except Exception as error:
                fault = classify(error)
                if fault is None:
                    raise
            if not fault.again:
                raise self._error(fault.said, what, "Mend the address, what is asked for, or the key")
            met = f"not reached in {tried} {'try' if tried == 1 else 'tries'}; the last one: {fault.said}"
            pause = max(min(manners.backoff * 2 ** (tried - 1), LONGEST_WAIT), fault.after or 0.0)
            if tried < manners.attempts and self._clock() + pause >= deadline:
                met += f"; the next one would be beyond the budget of {manners.budget:g} s"
            elif tried < manners.attempts:
                self._sleep_for(pause)
                self._sleep_for(self._pace.turn(self._clock()))
                continue
            raise self._error(met, what, "Try again later; what was fetched is kept")
        raise DefectError("a request needs at least one attempt", field=self.source, value=manners.attempts)

    def _error(self, message: str, what: str, remedy: str | None) -> SourceError:
        return SourceError(mask(message), file=mask(self.source), field=mask(what) or None, remedy=remedy)

    def _sleep_for(self, seconds: float) -> None:
        if seconds > 0:
            self._sleep(seconds)


@cache
def shared_transport(source: str, manners: Manners) -> Transport:
    """The one way to a source in this process, so that all feeds of a source share its pace."""
    return Transport(source, manners)
