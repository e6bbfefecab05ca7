"""
Ctrl-C and its kin. Layer 0: knows nobody.

Until there is output or a temporary file to care for, a signal ends the process by its default action. From `care`
on it raises `Interrupted`, which unwinds (and so closes the connection), and the process ends by the same signal.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

SIGPIPE, SIGINT = signal.SIGPIPE, signal.SIGINT
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """A signal came. A BaseException, so that nothing takes it for an error of its own."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def default() -> None:
    """Let Ctrl-C end the process at once. A signal that the parent ignores (`cmd &` in a script) stays ignored."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def care() -> None:
    """From now on raise `Interrupted`. A second signal of the same kind ends the process at once."""
    for number in _SIGNALS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _interrupt)


@contextmanager
def held() -> Iterator[None]:
    """What must not be done by half: `Interrupted` is raised behind it."""
    _held.append(0)
    try:
        yield
    finally:
        number = _held.pop()
    if number:
        raise Interrupted(number)


_held: list[int] = []  # while something must not be done by half, the signal that came meanwhile


def _interrupt(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
    if not _held:
        raise Interrupted(number)
    _held[-1] = number


def die(number: int) -> NoReturn:
    """End by a signal, so that a shell sees what really happened (130, 141, 143...)."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # only where the signal is blocked
