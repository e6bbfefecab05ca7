"""
The outside world as one object: environment, descriptors, clock, stderr. Layer 1: knows redact and output.

It is passed in, so that a command called by a test touches nothing else.
"""

import os
import sys
from collections.abc import Mapping

from llmcli.output import Stdout, one_line, visible
from llmcli.redact import Redactor


def _is_tty(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False


class World:
    """
    What a command may touch. `stdin` is a file descriptor, `None` when it is closed; `started` the monotonic time at
    which the process began; `directory` the user's configuration directory; `json_errors` whether errors are JSON;
    `spinning` whether a spinner stands on the current line of stderr.
    """

    stdout = 1
    stderr = 2

    def __init__(self, env: Mapping[str, str], directory: str | None, *, stdin: int | None, started: float) -> None:
        self.env = env
        self.directory = directory
        self.stdin = stdin
        self.started = started
        self.redactor = Redactor()
        self.quiet = False
        self.json_errors = False
        self.debug = False
        self.spinning = False

    @property
    def cache_directory(self) -> str | None:
        """Where lists of models are kept; `None` where there is no home to have a cache in."""
        cache, home = self.env.get("XDG_CACHE_HOME", ""), self.env.get("HOME", "")
        if os.path.isabs(cache):  # the XDG specification has a relative one ignored
            return f"{cache}/llmcli"
        return f"{home}/.cache/llmcli" if os.path.isabs(home) else None

    def fence_stdout(self) -> None:
        """
        A plugin comes in: from now on descriptor 1 and `sys.stdout` lead to stderr, whoever writes there. Only where
        our own `stdout` is another descriptor.
        """
        if self.stdout != 1:
            os.dup2(self.stderr, 1)
            sys.stdout = sys.stderr

    def is_tty(self, fd: int | None) -> bool:
        """Whether a descriptor is a terminal."""
        return fd is not None and _is_tty(fd)

    def table_width(self) -> int | None:
        """The columns of the terminal that stdout is; `None` when it is none."""
        return self.columns() if self.is_tty(self.stdout) else None

    def columns(self, fd: int | None = None) -> int:
        """How wide what is read from stdout, or another descriptor, may be: COLUMNS, else its terminal's, else 80."""
        said = self.env.get("COLUMNS", "")
        if said.isdecimal() and int(said) > 0:
            return int(said)
        try:
            return os.get_terminal_size(self.stdout if fd is None else fd).columns or 80
        except OSError:
            return 80

    def print(self, text: str) -> None:
        """What a command that is no chat has to say, on stdout and redacted. Raises `OutputFailed` or `ReaderGone`."""
        sink = Stdout(self.stdout)
        sink.write(self.redactor.clean(text).encode("utf-8", "replace"))
        sink.commit()

    def note(self, line: str) -> None:
        """A line for a person, unless --quiet."""
        if not self.quiet:
            self.say(f"llmcli: {one_line(line)}")

    def say(self, line: str) -> None:
        """A line on stderr: redacted, and with control characters shown."""
        erase = "\r\x1b[K" if self.spinning else ""
        self.write_stderr(erase + visible(self.redactor.clean(line)) + "\n")

    def write_stderr(self, text: str) -> None:
        """Text on stderr as it is. That stderr cannot be written must not change what the program does."""
        data = text.encode("utf-8", "replace")
        try:
            while data:
                data = data[os.write(self.stderr, data) :]
        except OSError:
            pass

    def color(self, wanted: str, fd: int) -> bool:
        """Whether escape sequences of ours may go to a descriptor: `--color`, then NO_COLOR, TERM and the terminal."""
        if wanted != "auto":
            return wanted == "always"
        return self.is_tty(fd) and not self.env.get("NO_COLOR") and self.env.get("TERM") != "dumb"
