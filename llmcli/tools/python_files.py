"""
Tools out of Python: the functions of a file that the user named, or a function of an installed package. Layer 2.

They run in this process, each call in a thread that nobody has to wait for. What they print goes to stderr, what they
would read from stdin is not there, and whatever they raise is a result that failed.
"""

import importlib.util
import inspect
import os
import sys
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

from llmcli import guests
from llmcli.config import nearest
from llmcli.errors import ConfigurationError, UsageError
from llmcli.output import json_text
from llmcli.signals import Interrupted
from llmcli.tools import functions
from llmcli.tools.offered import SECONDS, Arguments, Offered, ToolFailed
from llmcli.world import World

_LOADING = 20.0  # seconds
_LONGEST = 10.0**7  # seconds

_T = TypeVar("_T")


def tools_of_file(path: str, name: str | None, world: World) -> list[Offered]:
    """
    The functions of a file, or the one of this name. Without a name it is those that the file defines itself and whose
    names do not begin with `_`, or those of its `__all__`.

    Raises `UsageError` for a file that cannot be read, and `ConfigurationError` for one that is no good.
    """
    if not os.path.isfile(path):
        raise UsageError(f"--tool {path}: there is no such file")
    module = _loaded(path, world)
    if name is None:
        chosen = _public(module)
        if not chosen:
            raise ConfigurationError(f"{path} defines no function that could be a tool")
    else:
        chosen = [_named(module, name, path)]
    return [offered(each, path) for each in chosen]


def offered(function: Callable[..., Any], origin: str, name: str | None = None) -> Offered:
    """A function as a tool that can be run, under its own name or another. An attribute `timeout` says its seconds."""
    tool = functions.tool_of(function, origin)
    tool = tool._replace(name=name or tool.name)
    seconds = getattr(function, "timeout", SECONDS)
    if not isinstance(seconds, int | float) or not 0 < seconds < _LONGEST:
        raise ConfigurationError(f"{origin}: {tool.name}.timeout should be a number of seconds above 0")

    def run(arguments: Arguments, seconds: float) -> str:
        return _in_time(lambda: functions.call(function, arguments), seconds)

    return Offered(tool, origin, run, lambda arguments: f"{tool.name}({json_text(arguments)})", seconds=seconds)


def _public(module: ModuleType) -> list[Callable[..., Any]]:
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return [function for name in listed if callable(function := getattr(module, name, None))]
    return [
        value
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    ]


def _named(module: ModuleType, name: str, path: str) -> Callable[..., Any]:
    function = getattr(module, name, None)
    if not inspect.isfunction(function):
        near = nearest(name, [each.__name__ for each in _public(module)])
        raise UsageError(f"--tool {path}:{name}: no such function", hint=f"did you mean {near}?" if near else None)
    return function


def _loaded(path: str, world: World) -> ModuleType:
    """The module that a file is. It finds the modules beside it, unless they are called as something else."""
    world.fence_stdout()
    sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - lives as long as we do; `input()` finds its end
    folder, file = os.path.split(os.path.abspath(path))
    if folder not in sys.path:
        sys.path.append(folder)
    name = f"llmcli_tools_{file.removesuffix('.py')}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"--tool {path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        _in_time(lambda: spec.loader.exec_module(module), _LOADING)  # type: ignore[union-attr]
    except ToolFailed as exc:
        cause = exc.__cause__
        hint = None if cause is None or isinstance(cause, SyntaxError) else f"in {guests.place(cause)}"
        raise ConfigurationError(f"{path} cannot be loaded: {exc}", hint=hint) from cause
    return module


class _Overdue(Exception):
    """It takes too long. Nobody else can raise it."""


def _in_time(work: Callable[[], _T], seconds: float) -> _T:
    """What comes of a stranger's code. Raises `ToolFailed` for whatever it raises, and when it takes too long."""
    ends = time.monotonic() + seconds

    def left() -> float:
        remaining = ends - time.monotonic()
        if remaining <= 0:
            raise _Overdue
        return remaining

    worker = guests.Worker()
    try:
        with guests.unchanged():
            return worker.do(work, left)
    except _Overdue:
        raise ToolFailed(f"it took longer than {seconds:g} s") from None
    except (ToolFailed, Interrupted):
        raise
    except BaseException as exc:
        raise ToolFailed(guests.told(exc)) from exc
    finally:
        worker.leave()
