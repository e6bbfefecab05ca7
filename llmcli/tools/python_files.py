"""
Tools out of Python, where they run: the functions of a file that the user named, or a function of an installed
package. Layer 2. It is a process of its own that loads and calls them (`python_host`); nothing here is of llmcli's own.
"""

import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from llmcli import guests
from llmcli.config import nearest
from llmcli.errors import ConfigurationError, UsageError
from llmcli.tools import functions
from llmcli.tools.offered import SECONDS
from llmcli.types import Tool

Function = Callable[..., Any]
_LONGEST = 10.0**7  # seconds


class Described(NamedTuple):
    """A function as a tool: what the model is told, and the seconds that a call has."""

    tool: Tool
    seconds: float


def functions_of_file(path: str, names: Sequence[str | None]) -> dict[str, Function]:
    """
    The functions of a file that have these names, by name. `None` means those that the file defines itself and whose
    names do not begin with `_`, or those of its `__all__`.

    Raises `UsageError` for a file that cannot be read, and `ConfigurationError` for one that is no good.
    """
    module = _loaded(path)
    chosen: dict[str, Function] = {}
    for name in names:
        chosen |= {name: _named(module, name, path)} if name is not None else _public(module, path)
    if not chosen:
        raise ConfigurationError(f"{path} defines no function that could be a tool")
    return chosen


def described(function: Function, origin: str, name: str) -> Described:
    """A function as a tool of a name. Its attribute `timeout` says its seconds."""
    tool = functions.tool_of(function, origin, name)
    seconds = getattr(function, "timeout", SECONDS)
    if not isinstance(seconds, int | float) or not 0 < seconds < _LONGEST:
        raise ConfigurationError(f"{origin}: {tool.name}.timeout should be a number of seconds above 0")
    return Described(tool, float(seconds))


def _public(module: ModuleType, path: str) -> dict[str, Function]:
    listed = getattr(module, "__all__", None)
    if listed is None:
        own = {id(value): name for name, value in reversed(vars(module).items()) if _is_own(value, name, module)}
        return {name: value for name, value in vars(module).items() if own.get(id(value)) == name}
    if not isinstance(listed, list | tuple) or not all(isinstance(name, str) for name in listed):
        raise ConfigurationError(f"{path}: its __all__ should be a list of names")
    for name in listed:
        if not hasattr(module, name):
            raise ConfigurationError(f"{path}: its __all__ names {name}, which it does not define")
    return {name: value for name in listed if _can_be_called(value := getattr(module, name))}


def _is_own(value: object, name: str, module: ModuleType) -> bool:
    """Whether it is a function of the module itself, be it one with a cache around it."""
    function = value if inspect.isfunction(value) else inspect.getattr_static(value, "__wrapped__", None)
    return inspect.isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_")


def _can_be_called(value: object) -> bool:
    """Whether it does something when it is called; a class only makes what it is."""
    return callable(value) and not isinstance(value, type)


def _named(module: ModuleType, name: str, path: str) -> Function:
    function: Function | None = getattr(module, name, None)
    if function is None or not _can_be_called(function):
        known = _public(module, path)
        near = nearest(name, known)
        hint = f"did you mean {near}?" if near else f"it has: {', '.join(known) or 'none that could be a tool'}"
        raise UsageError(f"--tool {path}:{name}: no such function", hint=hint)
    return function


def _loaded(path: str) -> ModuleType:
    """The module that a file is. It finds the modules beside it, unless they are called as something else."""
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
        spec.loader.exec_module(module)
    except BaseException as exc:  # whatever a stranger's code raises
        hint = None if isinstance(exc, SyntaxError) else f"in {guests.place(exc)}"
        raise ConfigurationError(f"{path} cannot be loaded: {guests.told(exc)}", hint=hint) from exc
    return module
