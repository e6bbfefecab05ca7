"""
The process that Python tools run in: it loads them, says what they are, and calls them when it is told to. Layer 2.

It speaks with `python_tools` by lines of JSON over a socket. First comes
`{"file": PATH, "names": [NAME or null, ...]}` or
`{"plugin": [fields of a Plugin]}`, which is answered by `{"tools": [[NAME, DESCRIPTION, PARAMETERS, SECONDS], ...]}` or
`{"error": [CLASS, MESSAGE, HINT]}`; then any number of `{"call": NAME, "arguments": {...}}`, each answered by
`{"content": TEXT}` or `{"failed": WHY}`. At the end of the socket the process ends.

Here nobody keeps the time: what takes too long is ended from outside, with the process.
"""

import json
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from llmcli import guests, plugin_import
from llmcli.errors import BrokenPlugin, LlmError
from llmcli.plugins import Plugin
from llmcli.tools import functions, python_files
from llmcli.tools.offered import ToolFailed

_LAST = 1.0  # seconds that tools have to close what they opened, once llmcli is gone

Functions = dict[str, Callable[..., Any]]


def main(fd: int) -> None:
    """Serve llmcli at the other end of a socket, until it is gone."""
    os.set_inheritable(fd, False)  # who is started by a tool has nothing to say here
    sys.stdout = sys.stderr  # where descriptor 1 leads too
    with suppress(OSError), socket.socket(fileno=fd) as other, other.makefile("rb") as lines:
        threading.Thread(target=_leave_after, args=(fd,), daemon=True).start()
        found: Functions = {}
        for line in lines:
            asked = json.loads(line)
            said = _called(found, asked) if "call" in asked else _loaded(found, asked)
            sys.stdout.flush()
            other.sendall(json.dumps(said).encode() + b"\n")


def _leave_after(fd: int) -> None:
    """End with llmcli, also in the midst of a call, but let it be known that the end comes."""
    poll = select.poll()
    poll.register(fd, 0)  # that the other end is closed is told unasked
    poll.poll()
    time.sleep(_LAST)
    os._exit(1)


def _loaded(found: Functions, asked: dict[str, Any]) -> dict[str, Any]:
    try:
        if "file" in asked:
            origin = asked["file"]
            found |= python_files.functions_of_file(origin, asked["names"])
        else:
            plugin = Plugin(*asked["plugin"])
            origin = plugin.whose
            found[plugin.id] = function = plugin_import.function(plugin, os.environ)
            if isinstance(function, type):
                raise BrokenPlugin(f"the plugin {origin} is no function, but the class {function.__name__}")
        described = [python_files.described(function, origin, name) for name, function in found.items()]
    except LlmError as exc:
        return {"error": [type(exc).__name__, exc.message, exc.hint]}
    except Exception as exc:  # an object that can be called may have any surprise in its attributes
        return {"error": ["ConfigurationError", f"{origin} cannot be loaded: {guests.told(exc)}", None]}
    return {"tools": [[*each.tool[:3], each.seconds] for each in described]}


def _called(found: Functions, asked: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"content": functions.call(found[asked["call"]], asked["arguments"])}
    except ToolFailed as exc:
        return {"failed": str(exc)}
    except BaseException as exc:  # whatever a stranger's code raises
        return {"failed": guests.told(exc)}
