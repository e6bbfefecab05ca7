"""
Sees what an adapter does that it must not do. Layer 2, but knows nobody.
"""

import io
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, NamedTuple

_ACTS = ("open", "os.listdir", "os.scandir", "socket.connect", "socket.getaddrinfo", "socket.gethostbyname",
         "subprocess.Popen", "os.system")  # fmt: skip


class Seen(NamedTuple):
    """What was printed, which environment variables were read, and what else was done to the world."""

    printed: list[str]
    environment: list[str]
    acts: list[str]


class _Watch(threading.local):
    """What this thread is being watched for, if it is."""

    seen: Seen | None = None


_watch = _Watch()


def _audited(event: str, args: tuple[object, ...]) -> None:
    if _watch.seen is not None and event in _ACTS:
        _watch.seen.acts.append(f"{event}({', '.join(map(repr, args[:1]))})")


class _Environment(type(os.environ)):  # type: ignore[misc]  # the class of os.environ has no public name
    """The environment, which remembers who read it."""

    def __getitem__(self, name: str) -> Any:
        if _watch.seen is not None:
            _watch.seen.environment.append(name)
        return super().__getitem__(name)


_hooked: list[Callable[..., None]] = []  # an audit hook can never be taken away, so there is one at most


@contextmanager
def watched() -> Iterator[Seen]:
    """
    Watch this thread. The class of `os.environ` is exchanged, because its readers hold the object and not its name;
    of sleeping no audit hook is told before Python 3.13.
    """
    if not _hooked:
        sys.addaudithook(_audited)
        _hooked.append(_audited)
    out, seen = io.StringIO(), Seen([], [], [])
    environment, sleep = os.environ.__class__, time.sleep

    def noted(seconds: Any) -> None:
        if _watch.seen is not None:
            _watch.seen.acts.append(f"time.sleep({seconds})")
        sleep(seconds)

    os.environ.__class__, time.sleep = _Environment, noted
    _watch.seen = seen
    try:
        with redirect_stdout(out), redirect_stderr(out):
            yield seen
    finally:
        _watch.seen = None
        os.environ.__class__, time.sleep = environment, sleep
        if out.getvalue():
            seen.printed.append(out.getvalue())
