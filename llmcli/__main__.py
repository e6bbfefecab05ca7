"""
The process: descriptors, signals and the way out. Layer 4.
"""

import gc
import os
import sys
import time
from typing import NoReturn

from llmcli import signals

STARTED = time.monotonic()


def main() -> NoReturn:
    """Run the command line and leave with its status."""
    gc.disable()  # most runs end before a collection would pay; `chat` turns it on when it begins to read
    signals.default()
    if not _is_open(1):
        os.write(2, b"llmcli: stdout is closed\n") if _is_open(2) else None
        os._exit(11)
    # A closed descriptor would be given to the next file or socket that is opened; stdin and stderr must stay theirs.
    stdin_open = _is_open(0)
    for fd in (0, 2):
        if not _is_open(fd):
            os.dup2(os.open(os.devnull, os.O_RDWR), fd)
    if sys.argv[1:] == ["--version"]:  # needs no parser
        from llmcli import __version__

        _leave(_printed(f"llmcli {__version__}\n"))
    from llmcli.cli import run

    _leave(run(sys.argv[1:], started=STARTED, stdin=0 if stdin_open else None))


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _printed(line: str) -> int:
    """Print a line without what `output` would load, and return the exit status."""
    try:
        os.write(1, line.encode())
    except BrokenPipeError:
        signals.die(signals.SIGPIPE)
    except OSError as exc:
        os.write(2, f"llmcli: cannot write to stdout: {exc.strerror}\n".encode())
        return 11
    return 0


def _leave(status: int) -> NoReturn:
    """
    Leave without tearing the interpreter down, which takes a tenth of a short run. By now every answer is written,
    nothing is buffered, and every connection is closed.
    """
    os._exit(status)


if __name__ == "__main__":
    main()
