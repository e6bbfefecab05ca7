"""
What is read beside the configuration: stdin, and the files that are named. Layer 3.

Whatever may keep us waiting (stdin, a named pipe, what a shell puts into the place of `<(...)`) is waited for as `cat`
waits, but not silently, not longer than the total timeout, and what is too long is an error and never cut.
"""

import os
import select
import time

from llmcli.errors import UsageError
from llmcli.world import World

LIMIT = 100 * 1024 * 1024  # bytes; no model reads more, and a forgotten /dev/zero must end
_NOTICE_AFTER = 3.0  # seconds of silence before a line says what is waited for
_READ_SIZE = 1024 * 1024
_LONGEST_POLL = 3600.0  # seconds; poll takes no more than some weeks


def contents(path: str, world: World, timeout: float | None) -> bytearray:
    """
    All of a file, or of stdin for `-`. `timeout` counts from the start of the process. Raises `UsageError` where it
    cannot be read.
    """
    if path == "-":
        if world.stdin is None:
            raise UsageError("stdin is closed")
        return _all(world.stdin, "stdin", "stdin (-n leaves it alone)", world, timeout)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a named pipe would be waited for here
    except (OSError, ValueError) as exc:
        raise UsageError(f"cannot read {path}: {getattr(exc, 'strerror', None) or exc}") from exc
    try:
        return _all(fd, path, path, world, timeout)
    finally:
        os.close(fd)


def _all(fd: int, name: str, awaited: str, world: World, timeout: float | None) -> bytearray:
    data = bytearray()
    deadline = None if timeout is None else world.started + timeout
    noticed = False
    while True:
        if not _readable(fd, None if noticed else _NOTICE_AFTER, deadline):
            if deadline is not None and time.monotonic() >= deadline:
                raise UsageError(f"nothing more came from {name} within the total timeout of {timeout:g} s")
            if not noticed:
                world.note(f"waiting for {awaited}")
            noticed = True
            continue
        try:
            chunk = os.read(fd, _READ_SIZE)
        except BlockingIOError:
            continue
        except OSError as exc:
            raise UsageError(f"cannot read {name}: {exc.strerror}") from exc
        if not chunk:
            return data
        data += chunk
        if len(data) > LIMIT:
            raise UsageError(f"{name} is longer than the limit of {LIMIT // 2**20} MB")


def _readable(fd: int, notice: float | None, deadline: float | None) -> bool:
    """Wait until a descriptor can be read, at most until the notice or the deadline."""
    waits = [notice] if notice is not None else []
    if deadline is not None:
        waits.append(max(0.0, deadline - time.monotonic()))
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(min([*waits, _LONGEST_POLL]) * 1000))
