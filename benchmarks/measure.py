"""
Measuring processes: what one run costs, and two commands side by side.

This process must stay small. On Linux a child's peak memory is never less than that of the process that started it,
because the peak of what was replaced by `exec` counts too.
"""

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

_READ_SIZE = 64 * 1024  # what a pipe holds


class Command(NamedTuple):
    """What is run: its arguments, its whole environment, the file on its stdin."""

    argv: Sequence[str]
    env: Mapping[str, str]
    stdin: str = os.devnull
    output: int | None = None  # bytes that stdout should bring; a run that does less work is no measurement
    terminal: bool = False  # whether stdout is a terminal, of 80 columns


class Cost(NamedTuple):
    """What one run took. `wall` runs from before the start to the end; `cpu` is user and system time; `peak` is RSS."""

    wall: float  # seconds
    cpu: float  # seconds
    peak: int  # bytes


def run(command: Command) -> Cost:
    """Run a command with its stdout in a pipe, or on a terminal, that is read as fast as it is written."""
    ours, theirs = _terminal() if command.terminal else os.pipe()
    started = time.perf_counter()
    with open(command.stdin, "rb") as stdin:
        process = subprocess.Popen(command.argv, env=command.env, stdin=stdin, stdout=theirs)
    os.close(theirs)
    size = _drain(ours)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"exit status {process.returncode}: {' '.join(command.argv)}")
    if command.output not in (None, size):
        raise SystemExit(f"{size} bytes of output instead of {command.output}: {' '.join(command.argv)}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def _terminal() -> tuple[int, int]:
    """A terminal: what is read from it, and what a program writes to."""
    import pty
    import termios

    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    return ours, theirs


def _drain(fd: int) -> int:
    """Read all that is written. Returns how many bytes there were."""
    total = 0
    buffer = bytearray(_READ_SIZE)
    try:
        while size := os.readv(fd, [buffer]):
            total += size
    except OSError:  # which Linux says of a terminal whose last writer has gone
        pass
    finally:
        os.close(fd)
    return total


class Comparison(NamedTuple):
    """Two things measured in turn: their medians, and the median ratio of neighbours, which noise moves least."""

    ours: float
    plain: float
    ratio: float


def compare(ours: Callable[[], float], plain: Callable[[], float], runs: int) -> Comparison:
    """Measure two things A B A B ... after one run of each that does not count."""
    ours()
    plain()
    pairs = [(ours(), plain()) for _ in range(runs)]
    return Comparison(
        statistics.median(pair[0] for pair in pairs),
        statistics.median(pair[1] for pair in pairs),
        statistics.median(pair[0] / pair[1] for pair in pairs),
    )
