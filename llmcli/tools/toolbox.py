"""
The tools of one call: where they come from, and one call of one of them. Layer 2.

Nothing runs whose arguments do not satisfy the tool's schema; whatever goes wrong is a result that failed, which the
model is told of.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence

from llmcli import plugin_import, plugins, signals, validation
from llmcli.config import Config, nearest
from llmcli.errors import ConfigurationError, UsageError
from llmcli.framing import json_decoder
from llmcli.tools import executables, python_tools
from llmcli.tools.offered import Arguments, Offered, ToolFailed, cut
from llmcli.types import ToolCall, ToolResult
from llmcli.world import World

Toolbox = Mapping[str, Offered]
_JSON = json_decoder()


def collect(words: Sequence[str], config: Config, world: World, ends: float | None = None) -> Toolbox:
    """
    The tools that the words of `--tool` name: `FILE.py`, `FILE.py:NAME`, or the name of one of the configuration, else
    of an installed package. `ends` is the monotonic time at which all time is over. Raises `UsageError`,
    `ConfigurationError` or `TimedOut`.
    """
    found: dict[str, Offered] = {}
    for offered in _all(words, config, world, ends):
        name = offered.tool.name
        if name in found and found[name].origin != offered.origin:
            raise UsageError(f"two tools are called {name}: one of {found[name].origin}, one of {offered.origin}")
        found[name] = offered
    return found


def _all(words: Sequence[str], config: Config, world: World, ends: float | None) -> Iterator[Offered]:
    """The tools of all words. A file runs once, however often and in whatever way it is named."""
    names: dict[str, list[str | None]] = {}
    for word in words:
        if in_file := _in_file(word):
            names.setdefault(os.path.realpath(in_file[0]), []).append(in_file[1])
    for word in dict.fromkeys(words):
        left = None if ends is None else max(0.0, ends - time.monotonic())
        if in_file := _in_file(word):
            if wanted := names.pop(os.path.realpath(in_file[0]), None):
                yield from python_tools.tools_of_file(in_file[0], wanted, world, left)
        else:
            yield from _tools(word, config, world, left)


def _in_file(word: str) -> tuple[str, str | None] | None:
    """The path of `FILE.py` or `FILE.py:NAME`, and the name."""
    path, colon, name = word.rpartition(":")
    if colon and path.endswith(".py"):
        if not name:
            raise UsageError(f"--tool {word}: behind the colon belongs the name of a function")
        return path, name
    return (word, None) if word.endswith(".py") else None


def _tools(word: str, config: Config, world: World, left: float | None) -> list[Offered]:
    if word in config.tools:
        return [executables.tool_of_table(word, config, world.env)]
    if claims := plugins.named(plugins.TOOLS, word):
        return python_tools.tool_of_plugin(plugins.the_one(claims), plugin_import.limit(world.env), world, left)
    near = nearest(word, [*config.tools, *(plugin.id for plugin in plugins.installed(plugins.TOOLS))])
    raise ConfigurationError(
        f"no tool is called {word!r}",
        hint=f"did you mean {near}?" if near else "a file is FILE.py, a program stands under [tools.NAME]",
    )


# --- one call -------------------------------------------------------------------------------------


def arguments_of(call: ToolCall, toolbox: Toolbox, seconds: float | None = None) -> Arguments:
    """
    The arguments of a call, which satisfy the schema of its tool. Raises `ToolFailed` that tells the model what is
    wrong with it, also when that cannot be told in the seconds that the tool has, or in `seconds`.
    """
    if call.name not in toolbox:
        raise ToolFailed(f"there is no tool {call.name!r}; there are: {', '.join(toolbox)}")
    try:
        arguments = _JSON.decode(call.arguments)
    except (ValueError, RecursionError) as exc:
        raise ToolFailed(f"the arguments are no valid JSON: {exc}") from None
    if not call.valid or not isinstance(arguments, dict):
        raise ToolFailed("the arguments are no JSON object")
    offered = toolbox[call.name]
    try:
        with signals.within(_least(offered, seconds)):
            found = validation.problems(arguments, offered.tool.parameters)
    except signals.TimeIsOver:
        raise ToolFailed("whether the arguments are as the schema says takes too long to tell") from None
    if found:
        raise ToolFailed(f"the arguments are not as the schema says: {'; '.join(found)}")
    return arguments


def result_of(call: ToolCall, arguments: Arguments, toolbox: Toolbox, seconds: float | None = None) -> ToolResult:
    """
    Run a call with its arguments. `seconds` is how long it may take at most, if that is less than what its tool may.
    Never raises for what the tool does.
    """
    offered = toolbox[call.name]
    try:
        content = offered.run(arguments, _least(offered, seconds))
    except ToolFailed as exc:
        return failure(call, str(exc))
    return ToolResult(call.id, call.name, content)


def _least(offered: Offered, seconds: float | None) -> float:
    return offered.seconds if seconds is None else min(offered.seconds, seconds)


def failure(call: ToolCall, why: str) -> ToolResult:
    """The result of a call that was not run, or did not do what it should."""
    return ToolResult(call.id, call.name, cut(why, len(why)), failed=True)
