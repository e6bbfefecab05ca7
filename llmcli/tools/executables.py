"""
Tools of the configuration: `[tools.NAME]`, a program and the pattern of its arguments. Layer 2.

No shell ever sees what the model says: each value becomes one argument, or part of one, as it is. The program gets
none of the variables that may hold a secret, unless its table names them.
"""

import codecs
import json
import os
import re
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from llmcli import validation
from llmcli.config import TOOL_KEYS, Config, check_table
from llmcli.errors import ConfigurationError
from llmcli.output import json_text
from llmcli.tools.offered import MOST, SECONDS, Arguments, Offered, ToolFailed, cut, is_name
from llmcli.types import Tool

_PLACE = re.compile(r"\{\{|\}\}|\{([A-Za-z_]\w*)\}", re.ASCII)
# What a program gets of our environment. A model could have it print anything, and a name does not tell what is secret.
_PASSED_ON = re.compile(r"(PATH|HOME|LANG|LANGUAGE|TERM|COLUMNS|TMPDIR|TZ|USER|LOGNAME|SHELL|PWD)|(LC|XDG)_\w+")
_READ_SIZE = 64 * 1024
_KEPT = 4 * 1024 * 1024  # characters of a program's output that are kept; the others are only counted
_ERRORS = 2000  # characters of stderr that a failure tells


class Program(NamedTuple):
    """
    What a table says is run. `command` and `stdin` are patterns; `most`: the characters of a result that the model is
    given.
    """

    command: tuple[str, ...]
    stdin: str | None
    env: Mapping[str, str]
    most: int


def tool_of_table(name: str, config: Config, env: Mapping[str, str]) -> Offered:
    """A tool of the configuration. Raises `ConfigurationError` that names the key which is wrong."""
    table: Mapping[str, Any] = config.tools[name]
    path, prefix = config.tool_sources.get(name, ""), f"tools.{name}"
    place = f"{path}: {prefix}"
    if not is_name(name):
        raise ConfigurationError(f"{place} is no name for a tool", hint="letters, digits, _ and -, at most 64 of them")
    check_table(table, TOOL_KEYS, path, prefix)
    command = tuple(table.get("command", ()))
    if not command:
        raise ConfigurationError(f'{place} has no command: command = ["program", "argument", "{{parameter}}"]')
    stdin = table.get("stdin")
    used = list(dict.fromkeys(_names([*command, *([stdin] if stdin is not None else [])])))
    if _PLACE.search(command[0]):
        raise ConfigurationError(f"{place}.command: the program itself is never chosen by the model")
    parameters = _parameters(table.get("parameters"), used, f"{place}.parameters")
    for each in used:
        if each not in parameters.get("properties", {}):
            raise ConfigurationError(
                f"{place}: {{{each}}} is none of its parameters", hint="braces that mean themselves are written {{ }}"
            )
    program = Program(command, stdin, _environment(env, table.get("env", [])), table.get("max_output", MOST))
    return Offered(
        Tool(name, table.get("description", ""), parameters),
        f"[{prefix}]",
        lambda arguments, seconds: _run(program, _with_defaults(arguments, parameters), seconds),
        lambda arguments: _shown(name, program, _with_defaults(arguments, parameters)),
        seconds=float(table.get("timeout", SECONDS)) or float("inf"),
    )


def _shown(name: str, program: Program, arguments: Arguments) -> str:
    """What is run, as it is shown to a person: the words, and what stands on stdin."""
    given = _given(program.stdin, arguments)
    return f"{name}: {json_text(argv(program.command, arguments))}" + (f" < {json_text(given)}" if given else "")


def _parameters(table: Mapping[str, Any] | None, used: Sequence[str], place: str) -> dict[str, Any]:
    """
    The schema of the arguments. A table of parameters is short for one: what has no default is required; without any
    table, whatever the command uses is a text.
    """
    if table is None:
        table = {name: {"type": "string"} for name in used}
    if table.get("type") == "object" and isinstance(table.get("properties"), dict):
        schema = dict(table)
    else:
        for name, each in table.items():
            if not isinstance(each, dict):
                raise ConfigurationError(f'{place}.{name} should be a table: {{ type = "string" }}')
        required = [name for name, each in table.items() if "default" not in each]
        schema = {"type": "object", "properties": dict(table), "required": required, "additionalProperties": False}
    problem = validation.schema_problem(schema)
    if problem is not None:
        raise ConfigurationError(f"{place} is no JSON schema: {problem}")
    return schema


def _with_defaults(arguments: Arguments, parameters: Mapping[str, Any]) -> Arguments:
    defaults = {
        name: each["default"]
        for name, each in parameters.get("properties", {}).items()
        if isinstance(each, dict) and "default" in each
    }
    return {**defaults, **arguments}


def _environment(env: Mapping[str, str], wanted: Sequence[str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name in wanted or _PASSED_ON.fullmatch(name)}


# --- from arguments to words ----------------------------------------------------------------------


def argv(command: Sequence[str], arguments: Arguments) -> list[str]:
    """
    The words of a command. A pattern whose value was not given is left out; a list that is alone in its pattern
    becomes a word for each item.

    Raises `ToolFailed` for a value that the program would take for an option.
    """
    words: list[str] = []
    for pattern in command:
        names = list(_names([pattern]))
        if any(name not in arguments for name in names):
            continue
        value = arguments[names[0]] if names else None
        alone = len(names) == 1 and pattern == f"{{{names[0]}}}"
        filled = [_text(each) for each in value] if alone and isinstance(value, list) else [_filled(pattern, arguments)]
        if names and "--" not in words and any(_is_option(word, pattern, value) for word in filled):
            raise ToolFailed(f"{names[0]} may not begin with a hyphen")
        words += filled
    if any("\0" in word for word in words):
        raise ToolFailed("no argument may hold a NUL character")
    return words


def _is_option(word: str, pattern: str, value: object) -> bool:
    """Whether the model's value makes an option of a word. A negative number is a number."""
    return word.startswith("-") and not pattern.startswith("-") and not isinstance(value, int | float)


def _names(patterns: Sequence[str]) -> Iterator[str]:
    for pattern in patterns:
        yield from (found[1] for found in _PLACE.finditer(pattern) if found[1])


def _filled(pattern: str, arguments: Arguments) -> str:
    return _PLACE.sub(lambda found: _text(arguments[found[1]]) if found[1] else found[0][0], pattern)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# --- the program ----------------------------------------------------------------------------------


def _run(program: Program, arguments: Arguments, seconds: float) -> str:
    """
    What the program writes to stdout. Raises `ToolFailed` when it cannot be started, takes too long, or exits with
    another status than 0.
    """
    words = argv(program.command, arguments)
    given = _given(program.stdin, arguments)
    with tempfile.TemporaryFile() as stdin:
        stdin.write(given.encode("utf-8", "replace"))
        stdin.seek(0)
        try:
            process = subprocess.Popen(
                words, stdin=stdin if given else subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env=dict(program.env), start_new_session=True,
            )  # fmt: skip
        except (OSError, ValueError) as exc:
            raise ToolFailed(f"{words[0]} cannot be run: {getattr(exc, 'strerror', None) or exc}") from exc
        with process:
            try:
                deadline = time.monotonic() + seconds
                out, err = _collected(process, deadline)
                status = process.wait(_left(deadline))
            except subprocess.TimeoutExpired:
                _kill(process)
                raise ToolFailed(f"it took longer than {seconds:.3g} s") from None
            except BaseException:
                _kill(process)
                raise
    text, errors = out.text(), err.text().strip()[-_ERRORS:]
    if status != 0:
        ended = f"it exited with {status}" if status > 0 else f"it was ended by signal {-status}"
        told = "\n".join(part for part in (ended, errors, text) if part)
        raise ToolFailed(cut(told, program.most, out.dropped))
    return cut(text, program.most, out.dropped)


def _given(pattern: str | None, arguments: Arguments) -> str:
    if pattern is None or any(name not in arguments for name in _names([pattern])):
        return ""
    return _filled(pattern, arguments)


class _Written:
    """The beginning of what a program writes, and how many characters came behind it."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pieces: list[str] = []
        self._kept = 0
        self.dropped = 0

    def take(self, data: bytes) -> None:
        """Take what it has written; nothing is the end."""
        text = self._decoder.decode(data, final=not data)
        if self._kept >= _KEPT:
            self.dropped += len(text)
            return
        self._pieces.append(text)
        self._kept += len(text)

    def text(self) -> str:
        """What was kept."""
        return "".join(self._pieces)


def _collected(process: "subprocess.Popen[bytes]", deadline: float) -> tuple[_Written, _Written]:
    """
    What comes on stdout and on stderr: all of it is read, so that the program can end. Raises `TimeoutExpired` when
    the time is over.
    """
    written: dict[Any, _Written] = {process.stdout: _Written(), process.stderr: _Written()}
    with selectors.DefaultSelector() as selector:
        for stream in written:
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select(_left(deadline)):
                data = os.read(key.fd, _READ_SIZE)
                written[key.fileobj].take(data)
                if not data:
                    selector.unregister(key.fileobj)
            if time.monotonic() >= deadline:
                raise subprocess.TimeoutExpired(process.args, 0)
    return written[process.stdout], written[process.stderr]


def _left(deadline: float) -> float | None:
    return None if deadline == float("inf") else max(0.0, deadline - time.monotonic())


def _kill(process: "subprocess.Popen[bytes]") -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        process.kill()
