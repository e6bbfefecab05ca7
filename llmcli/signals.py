"""
Ctrl-C and its kin. Layer 0: knows nobody.

Until there is output or a temporary file to care for, a signal ends the process by its default action. From `care`
on it raises `Interrupted`, which unwinds (and so closes the connection), and the process ends by the same signal.
"""

import os
import signal
import sys
from _thread import get_ident
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

SIGPIPE, SIGINT = signal.SIGPIPE, signal.SIGINT
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_MAIN = get_ident()  # the thread that hears signals
_SOONEST, _LATEST = 0.001, 10.0**7  # seconds: 0 would be no timer at all, and infinity is none that the system has
_stops: list[int] = []  # the signals by which a shell has let us go on
_acts: list[Callable[[], object]] = []
_held: list[int] = []  # while something must not be done by half, the signal that came meanwhile


class Interrupted(BaseException):
    """A signal came. A BaseException, so that nothing takes it for an error of its own."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def default() -> None:
    """Let Ctrl-C end the process at once. A signal that the parent ignores (`cmd &` in a script) stays ignored."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def care(*, patiently: bool = False) -> None:
    """
    From now on raise `Interrupted`. A second signal of the same kind ends the process at once; but when we care
    `patiently`, more of Ctrl-C does nothing until we care again, so that an impatient one stops no more than the first.
    """
    for number in _SIGNALS:
        handler = signal.getsignal(number)
        if patiently and number == SIGINT and handler in (*_OURS, signal.SIG_DFL):
            signal.signal(number, _interrupt_once)
        elif handler is signal.SIG_DFL:
            signal.signal(number, _interrupt)
    _hear_stops()
    sys.unraisablehook = _unraisable


def calm() -> None:
    """Ctrl-C does nothing, until we care again."""
    if signal.getsignal(SIGINT) in (*_OURS, signal.SIG_DFL):
        signal.signal(SIGINT, _nothing)


@contextmanager
def held() -> Iterator[None]:
    """What must not be done by half, or could not raise: `Interrupted` is raised behind it."""
    if get_ident() != _MAIN:  # no other thread hears signals
        yield
        return
    _held.append(0)
    try:
        yield
    finally:
        number = _held.pop()
        if number and _held:
            _held[-1] = number
        elif number:
            raise Interrupted(number)


class TimeIsOver(BaseException):
    """What was done `within` some seconds is not done. A BaseException, as the other."""


@contextmanager
def within(seconds: float | None) -> Iterator[None]:
    """
    Raise `TimeIsOver` in the midst of what takes longer, even of a regular expression that backtracks. `None` is for
    ever. Only in the main thread, which is the one that hears signals.
    """

    def over(number: int, frame: FrameType | None) -> None:
        raise TimeIsOver

    if seconds is None:
        yield
        return
    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, min(max(seconds, _SOONEST), _LATEST))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def stops() -> int:
    """How often we have been stopped (Ctrl-Z) and gone on since `care`: others have written to the terminal then."""
    return len(_stops)


@contextmanager
def again_after_stops(act: Callable[[], object]) -> Iterator[None]:
    """Act again whenever we have been stopped and go on: a shell has changed the settings of the terminal meanwhile."""
    _hear_stops()
    _acts.append(act)
    try:
        yield
    finally:
        _acts.remove(act)


def _hear_stops() -> None:
    if signal.getsignal(signal.SIGCONT) is signal.SIG_DFL:
        signal.signal(signal.SIGCONT, _go_on)


def _go_on(number: int, frame: FrameType | None) -> None:
    _stops.append(number)
    for act in _acts:
        act()


def _interrupt(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
    _raise(number)


def _interrupt_once(number: int, frame: FrameType | None) -> None:
    signal.signal(number, _nothing)
    _raise(number)


def _nothing(number: int, frame: FrameType | None) -> None:
    pass


_OURS = (_interrupt, _interrupt_once, _nothing)


def _raise(number: int) -> None:
    if not _held:
        raise Interrupted(number)
    _held[-1] = number


def _unraisable(lost: "sys.UnraisableHookArgs") -> None:
    """Where something is torn down nothing can be raised, and a signal would be lost: it ends the process at once."""
    if isinstance(lost.exc_value, Interrupted):
        die(lost.exc_value.number)
    sys.__unraisablehook__(lost)


def die(number: int) -> NoReturn:
    """End by a signal, so that a shell sees what really happened (130, 141, 143...)."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # only where the signal is blocked
