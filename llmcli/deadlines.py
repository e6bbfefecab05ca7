"""
The one absolute deadline that every network operation is clipped to. Layer 0: knows only types and errors.

An HTTP library's own timeouts start anew with every byte, so a server that sends one byte in ten seconds is never too
late. Here time is bounded by what matters: being connected, the first event, the next complete event, the whole.
"""

import time
from collections.abc import Callable

from llmcli.errors import NetworkFailed, TimedOut
from llmcli.types import Timeouts

KEEP_ALIVE_FACTOR = 5  # keep-alives may stretch the wait for an event up to this many times
LINGER = 5.0  # seconds that a server has after its end marker to send usage and close
PARTING = 0.5  # seconds in which a server may take leave of us


class Deadlines:
    """
    Which deadline holds now, and why. The driver moves it on (`connecting`, `waiting`, `progressed`...); the network
    stream asks `remaining()` before every operation. A phase begins when its first operation does, so that a consumer
    who takes long over what he was given (a pager that stands still) is not taken for a stalled server.

    `started` is the monotonic time from which the total timeout counts.
    """

    def __init__(self, timeouts: Timeouts, *, started: float, now: Callable[[], float] = time.monotonic) -> None:
        self._timeouts = timeouts
        self._now = now
        self._total_at = None if timeouts.total is None else started + timeouts.total
        self._phase = "connect"
        self._limit = timeouts.connect
        self._at: float | None = None
        self._began = 0.0
        self._begun = False
        self._graced = False
        self._abandoned = False

    def connecting(self) -> None:
        """A connection is being made: DNS, every address, proxy and TLS share one deadline."""
        self._set("connect", self._timeouts.connect)

    def waiting(self) -> None:
        """The request goes out and the first content is waited for."""
        self._set("first", self._timeouts.first)

    def progressed(self) -> None:
        """A complete event arrived; the next one may take the idle timeout."""
        self._set("idle", self._timeouts.idle)

    def kept_alive(self) -> None:
        """The server showed that it lives without saying anything; this extends the wait, but not for ever."""
        if self._phase in ("first", "idle") and self._begun and self._limit is not None:
            self._at = min(self._now() + self._limit, self._began + KEEP_ALIVE_FACTOR * self._limit)

    def finishing(self) -> None:
        """The end marker was seen; whatever else the server has to say may take a moment, not more."""
        self._set("linger", LINGER)

    def abandon(self) -> None:
        """Nobody waits for the answer any more; whoever still does, in another thread, is to stop."""
        self._abandoned = True

    def parting(self) -> None:
        """Only the last word is left to say, for which there is a moment even when all other time is over."""
        self._abandoned = False
        self._total_at = None
        self._set("linger", PARTING)

    def remaining(self) -> float | None:
        """
        Seconds until the deadline, `None` for ever. Raises `TimedOut` when it has passed, `NetworkFailed` when the
        answer was abandoned.
        """
        if self._abandoned:
            raise NetworkFailed("the answer was abandoned", retryable=False)
        if not self._begun:
            self._begun, self._began = True, self._now()
            self._at = None if self._limit is None else self._began + self._limit
        ends = [at for at in (self._at, self._total_at) if at is not None]
        if not ends:
            return None
        left = min(ends) - self._now()
        if left <= 0:
            raise self.expired()
        return left

    def grace(self) -> bool:
        """
        Whether what already lies in the socket may still be read although the deadline has passed: once for each
        deadline, so that a laptop that slept (or a stopped job that goes on) is not taken for a stalled server. Never
        after the total timeout, which a server that always has more to say would outrun.
        """
        graced, self._graced = self._graced, True
        return not graced and not self._all_over()

    def expired(self) -> TimedOut:
        """The error that says which timeout passed, and how to change it."""
        if self._all_over():
            return TimedOut(f"the total timeout of {self._timeouts.total:g} s passed", hint="see --timeout")
        message, option = {
            "connect": ("no connection in {:g} s", "--connect-timeout"),
            "first": ("no answer began in {:g} s", "--first-timeout"),
            "idle": ("the stream stalled: no event in {:g} s", "--idle-timeout"),
            "linger": ("the stream stayed open for {:g} s after its end marker", "--idle-timeout"),
        }[self._phase]
        error = TimedOut(message.format(self._limit or 0), hint=f"see {option}")
        error.sent = self._phase != "connect"
        return error

    def _all_over(self) -> bool:
        return self._total_at is not None and self._now() >= self._total_at

    def _set(self, phase: str, seconds: float | None) -> None:
        self._phase = phase
        self._limit = seconds
        self._graced = False
        self._begun = False
