"""The program on a terminal: what it would write on a person's screen, byte for byte."""

import os
import pty
import subprocess
import tty
from typing import Any

from tests.program import Done, Program, shell_status
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
