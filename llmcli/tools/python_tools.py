"""
Tools out of Python, from here: they run in a process of their own (`python_host`), one for each file and each package.
So a call that takes too long can be ended whatever it does, what a tool prints or breaks is not ours (a terminal is
shown what is printed, and does not obey it), and llmcli imports nothing of it. What a file keeps in its variables stays
from one call to the next, unless a call had to be ended. Layer 2.
"""

import codecs
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from llmcli import errors, signals
from llmcli.errors import ConfigurationError, LlmError, TimedOut, UsageError
from llmcli.output import Escaper, json_text
from llmcli.plugins import Plugin
from llmcli.tools.offered import MOST, Arguments, Offered, ToolFailed, cut
from llmcli.types import Json, Tool
from llmcli.world import World

_LOADING = 20.0  # seconds; a package has its own limit, and a moment more to say so
_READ_SIZE = 256 * 1024
_MOST_AT_ONCE = 64  # pieces that are handed on behind an answer; a pipe holds no more, unless somebody goes on printing
_LONGEST_WAIT = 3600.0  # seconds; a selector takes no more than some weeks


def tools_of_file(path: str, names: Sequence[str | None], world: World, left: float | None = None) -> list[Offered]:
    """
    The functions of a file that have these names; `None` means all that are tools. `left`: the seconds until all time
    is over. Raises `UsageError` for a file that cannot be read, `ConfigurationError` for one that is no good, and
    `TimedOut` where the time was over.
    """
    if not os.path.isfile(path):
        raise UsageError(f"--tool {path}: there is no such file")
    return _Host(path, {"file": path, "names": list(names)}, _LOADING, world).tools(left)


def tool_of_plugin(plugin: Plugin, seconds: float, world: World, left: float | None = None) -> list[Offered]:
    """The function of an installed package; its import has so many seconds. Raises `BrokenPlugin`, and as above."""
    return _Host(plugin.whose, {"plugin": list(plugin)}, seconds + 1, world).tools(left)


class _Ended(Exception):
    """The process has ended by itself; how."""


class _Host:
    """The functions of one origin, and the process that they run in. It is started anew when one had to be ended."""

    def __init__(self, origin: str, what: Json, seconds: float, world: World) -> None:
        self._origin = origin
        self._what = what
        self._seconds = seconds
        self._world = world
        self._process = _Process(world)

    def tools(self, left: float | None) -> list[Offered]:
        """What the process has, once it has loaded it, for which there are so many seconds at most."""
        return [self._offered(*each) for each in self._load(left)]

    def _offered(self, name: str, description: str, parameters: dict[str, Any], seconds: float) -> Offered:
        return Offered(
            Tool(name, description, parameters),
            self._origin,
            lambda arguments, seconds: self._call(name, arguments, seconds),
            lambda arguments: f"{name}({json_text(arguments)})",
            seconds=seconds,
        )

    def _load(self, left: float | None) -> list[Any]:
        try:
            said = self._process.ask(self._what, self._seconds if left is None else min(self._seconds, left))
        except TimeoutError:
            if left is not None and left < self._seconds:
                raise TimedOut(f"the time was over while {self._origin} was loaded", hint="see --timeout") from None
            raise ConfigurationError(
                f"{self._origin} cannot be loaded: it took longer than {self._seconds:g} s"
            ) from None
        except _Ended as exc:
            raise ConfigurationError(f"{self._origin} cannot be loaded: {exc}") from None
        if "error" in said:
            kind, message, hint = said["error"]
            raise getattr(errors, kind)(message, hint=hint)
        tools: list[Any] = said["tools"]
        return tools

    def _call(self, name: str, arguments: Arguments, seconds: float) -> str:
        ends = time.monotonic() + seconds
        try:
            if self._process.ended:
                self._process = _Process(self._world)
                self._load(seconds)
            said = self._process.ask({"call": name, "arguments": arguments}, max(0.0, ends - time.monotonic()))
        except TimeoutError:
            raise ToolFailed(f"it took longer than {seconds:.3g} s") from None
        except (_Ended, LlmError) as exc:
            raise ToolFailed(str(exc)) from None
        if "failed" in said:
            raise ToolFailed(said["failed"])
        return cut(said["content"], MOST)


class _Process:
    """One process and the socket to it."""

    def __init__(self, world: World) -> None:
        signals.care()  # for the process, which has a session of its own
        self._socket, theirs = socket.socketpair()
        self._printed = _Printed(world) if world.is_tty(world.stderr) else None
        out = world.stderr if self._printed is None else self._printed.end_to_write
        path, fd = sys.path, theirs.fileno()
        code = f"import sys; sys.path[:] = {path!r}; from llmcli.tools import python_host as host; host.main({fd})"
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code], stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=dict(world.env),
                pass_fds=[fd], start_new_session=True,
            )  # fmt: skip
        if self._printed is not None:
            os.close(self._printed.end_to_write)

    @property
    def ended(self) -> bool:
        """Whether nothing can be asked any more."""
        return self._process.poll() is not None

    def ask(self, what: Json, seconds: float) -> Any:
        """
        Say a line and hear one. Raises `TimeoutError` or `_Ended`; the process is gone then, with its group, as it is
        whenever something else interrupts us.
        """
        try:
            self._socket.settimeout(seconds)
            self._socket.sendall(json.dumps(what).encode() + b"\n")
            return json.loads(self._line(time.monotonic() + seconds))
        except ConnectionError:
            raise _Ended(self._how()) from None
        except BaseException:
            self._kill()
            raise

    def _line(self, deadline: float) -> bytes:
        heard = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            if self._printed is not None:
                selector.register(self._printed, selectors.EVENT_READ)
            while not heard.endswith(b"\n"):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                for key, _ in selector.select(min(left, _LONGEST_WAIT)):
                    if isinstance(key.fileobj, _Printed):
                        if key.fileobj.hand_on() == 0:
                            selector.unregister(key.fileobj)
                        continue
                    data = self._socket.recv(_READ_SIZE)
                    if not data:
                        raise ConnectionResetError
                    heard += data
        self._hand_on_the_rest()
        return bytes(heard)

    def _hand_on_the_rest(self) -> None:
        """What was printed before the answer, or the end, comes before it."""
        for _ in range(_MOST_AT_ONCE):
            if self._printed is None or not self._printed.hand_on():
                break

    def _how(self) -> str:
        self._kill()  # if it only closed its socket; who is ending already has a status that stays
        status = self._process.returncode
        return f"it ended its process with status {status}" if status >= 0 else f"its process died of signal {-status}"

    def _kill(self) -> None:
        self._socket.close()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._hand_on_the_rest()
        if self._printed is not None:
            self._printed.end()
            self._printed = None


class _Printed:
    """What a process prints, on its way to a terminal, which is shown control characters and obeys none."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._escaper = Escaper()
        self._end_to_read, self.end_to_write = os.pipe()
        os.set_blocking(self._end_to_read, False)

    def fileno(self) -> int:
        """What a selector waits for."""
        return self._end_to_read

    def hand_on(self) -> int | None:
        """Hand on what there is: how many bytes, 0 at the end, `None` where there is nothing yet."""
        try:
            data = os.read(self._end_to_read, _READ_SIZE)
        except BlockingIOError:
            return None
        self._world.write_stderr(self._escaper.feed(self._decoder.decode(data)))
        return len(data)

    def end(self) -> None:
        """Nothing more is handed on."""
        self._world.write_stderr(self._escaper.feed(self._decoder.decode(b"", final=True)) + self._escaper.end())
        os.close(self._end_to_read)
