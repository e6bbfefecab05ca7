"""The program on a terminal: what it would write on a person's screen, byte for byte."""

import fcntl
import os
import pty
import subprocess
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.program import PATIENCE, Done, Program, shell_status
from tests.shell import watched


def on_terminal(program: Program, *args: str, stderr_too: bool = False, **popen: Any) -> Done:
    """
    Run to the end with stdout on a terminal of 80 columns, or with stderr on the same one (`out` then has both). The
    terminal changes nothing: what is read is what was written.
    """
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    env = {"COLUMNS": "80", "TERM": "xterm-256color", **popen.pop("env", {})}
    stderr = theirs if stderr_too else subprocess.PIPE
    with watched(program.start(*args, env=env, stdout=theirs, stderr=stderr, **popen)) as process:
        os.close(theirs)
        screen = _read_all(ours)
        err = process.stderr.read() if process.stderr else b""
        process.wait()
    os.close(ours)
    return Done(shell_status(process.returncode), screen, err.decode(errors="replace"))


def _read_all(terminal: int) -> bytes:
    screen = bytearray()
    while data := _read(terminal):
        screen += data
    return bytes(screen)


def _read(terminal: int) -> bytes:
    """What was written, or nothing when the last writer has gone, which Linux reports as an error."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


class Session:
    """A program that a person talks to: stdin, stdout and stderr are one terminal, which is its controlling one."""

    def __init__(self, ours: int, process: "subprocess.Popen[bytes]") -> None:
        self._ours = ours
        self._process = process
        self.screen = b""

    def until(self, expected: str, after: int = 0) -> str:
        """
        Read until this comes, behind so many bytes, and return all that came. The end of the program fails the test.
        """
        while self.screen.find(expected.encode(), after) < 0:
            data = _read(self._ours)
            assert data, f"it ended with {self.screen.decode(errors='replace')!r}, without {expected!r}"
            self.screen += data
        return self.screen.decode(errors="replace")

    def type(self, text: str) -> None:
        """Type this; `\\r` is Enter, `\\x03` Ctrl-C, `\\x04` Ctrl-D."""
        os.write(self._ours, text.encode())

    def ended(self) -> Done:
        """Read to the end; `out` is all that was on the screen."""
        self.screen += _read_all(self._ours)
        self._process.wait(PATIENCE)
        return Done(shell_status(self._process.returncode), self.screen, "")

    def resize(self, columns: int, lines: int = 24) -> None:
        """Make the terminal another size, which the program is told by SIGWINCH."""
        termios.tcsetwinsize(self._ours, (lines, columns))

    def show_typing(self) -> None:
        """Have the terminal show what is typed."""
        mode = termios.tcgetattr(self._ours)
        mode[3] |= termios.ECHO
        termios.tcsetattr(self._ours, termios.TCSANOW, mode)

    def send(self, number: int) -> None:
        """Send the program a signal."""
        self._process.send_signal(number)

    def hang_up(self) -> int:
        """The terminal goes away; the status that the program ends with."""
        os.close(self._ours)
        self._ours = os.open(os.devnull, os.O_RDWR)
        return shell_status(self._process.wait(PATIENCE))

    @property
    def echoes(self) -> bool:
        """Whether what is typed is shown."""
        return bool(termios.tcgetattr(self._ours)[3] & termios.ECHO)


@contextmanager
def talking_to(
    program: Program, *args: str, size: tuple[int, int] | None = None, **popen: Any
) -> Iterator[Session]:  # fmt: skip
    """
    Start the program on a terminal, to be talked to. With a `size`, columns and lines, the terminal has it and says so
    itself, as a real one; without, COLUMNS says 80.
    """
    ours, theirs = pty.openpty()
    if size is not None:
        termios.tcsetwinsize(theirs, size[::-1])
    env = {"COLUMNS": "80" if size is None else "", "TERM": "xterm-256color", **popen.pop("env", {})}
    process = program.start(
        *args, env=env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0), **popen,
    )  # fmt: skip
    with watched(process):
        os.close(theirs)
        yield Session(ours, process)
    os.close(ours)
