"""
Python functions as tools: their type hints and docstrings become JSON schemas, and JSON becomes their arguments.
Layer 2, pure: knows errors and types.
"""

import inspect
import json
import re
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin

from llmcli.errors import ConfigurationError
from llmcli.tools.offered import Arguments, ToolFailed, is_name
from llmcli.types import Json, Tool

Schema = dict[str, Any]

_SCALARS: dict[object, str] = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
_KNOWN = "str, int, float, bool, list, dict, Literal, Optional, Enum, TypedDict, Annotated or Any"
_SECTION = re.compile(r"^(?:Args|Arguments|Parameters|Returns?|Raises|Yields|Examples?|Notes?):?\s*$", re.MULTILINE)
_ARGS = re.compile(r"^(?:Args|Arguments|Parameters):?\s*$", re.MULTILINE)


class _NoSchema(Exception):
    """A type that no JSON schema can be made of."""


def tool_of(function: Callable[..., Any], where: str) -> Tool:
    """
    A function as a tool: its name, what its docstring says, and the schema of its parameters. `where` is where it
    stands, for the messages.

    Raises `ConfigurationError` for what cannot be said in a schema, or called with JSON.
    """
    name = function.__name__
    place = f"{where}: {name}"
    if not is_name(name):
        raise ConfigurationError(f"{place} is no name for a tool", hint="letters, digits, _ and -, at most 64 of them")
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigurationError(f"{place} is asynchronous", hint="a tool is an ordinary function")
    described, told = _documented(inspect.getdoc(function) or "")
    hints = _hints(function, place)
    properties: dict[str, Schema] = {}
    required = []
    for parameter in inspect.signature(function).parameters.values():
        schema = _parameter(parameter, hints, place)
        if parameter.name in told:
            schema = {"description": told[parameter.name], **schema}
        if parameter.default is parameter.empty:
            required.append(parameter.name)
        elif (default := _plain(parameter.default)) is not None:
            schema = {**schema, "default": default}
        properties[parameter.name] = schema
    parameters: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        parameters["required"] = required
    return Tool(name, described, parameters)


def call(function: Callable[..., Any], arguments: Arguments) -> str:
    """Call a function with arguments that satisfy its schema; what it returns as text, as JSON if it is no text."""
    hints = typing.get_type_hints(function, include_extras=True)
    value = function(**{name: _converted(value, hints.get(name, Any)) for name, value in arguments.items()})
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    try:
        return json.dumps(value, ensure_ascii=False, default=_plain_or_text)
    except (TypeError, ValueError, RecursionError) as exc:
        raise ToolFailed(f"it returned what JSON cannot say: {exc}") from exc


def _hints(function: Callable[..., Any], place: str) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception as exc:  # a hint may be any expression
        raise ConfigurationError(f"{place}: its type hints cannot be read: {type(exc).__name__}: {exc}") from exc


def _parameter(parameter: inspect.Parameter, hints: Mapping[str, Any], place: str) -> Schema:
    """The schema of one parameter, which can be given by its name and has a type."""
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    if parameter.kind not in named:
        raise ConfigurationError(f"{place}: {parameter} cannot be given by its name, as the arguments of a tool are")
    if parameter.name not in hints:
        hint = "name the function with a _ in front if it is no tool"
        raise ConfigurationError(f"{place}: the parameter {parameter.name} has no type hint", hint=hint)
    try:
        return schema_of(hints[parameter.name])
    except _NoSchema as exc:
        told = f"{place}: the parameter {parameter.name} has the type {exc}, of which no schema can be made"
        raise ConfigurationError(told, hint=f"it may be {_KNOWN}") from exc


def schema_of(hint: Any) -> Schema:
    """The JSON schema of a type hint."""
    if hint is Any:
        return {}
    if hint in _SCALARS:
        return {"type": _SCALARS[hint]}
    origin, args = get_origin(hint), get_args(hint)
    if origin is typing.Annotated:
        text = next((each for each in args[1:] if isinstance(each, str)), None)
        return {**({"description": text} if text else {}), **schema_of(args[0])}
    if origin in (typing.Required, typing.NotRequired):
        return schema_of(args[0])
    if origin is Literal:
        return _choice(args, hint)
    if origin in (Union, types.UnionType):
        return {"anyOf": [schema_of(each) for each in args]}
    if hint is list or origin is list:
        return {"type": "array", **({"items": schema_of(args[0])} if args else {})}
    if hint is dict or origin is dict:
        if args and args[0] is not str:
            raise _NoSchema(f"{_name(hint)}, whose keys are no texts")
        return {"type": "object", **({"additionalProperties": schema_of(args[1])} if args else {})}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _choice([each.value for each in hint], hint)
    if typing.is_typeddict(hint):
        return _table(hint)
    raise _NoSchema(_name(hint))


def _choice(values: Any, hint: Any) -> Schema:
    kinds = {type(value) for value in values}
    if not kinds <= set(_SCALARS):
        raise _NoSchema(f"{_name(hint)}, whose values are no JSON")
    kind = {"type": _SCALARS[next(iter(kinds))]} if len(kinds) == 1 else {}
    return {**kind, "enum": list(values)}


def _table(hint: Any) -> Schema:
    """The schema of a TypedDict."""
    hints = typing.get_type_hints(hint, include_extras=True)
    return {
        "type": "object",
        "properties": {name: schema_of(each) for name, each in hints.items()},
        "required": [name for name in hints if name in hint.__required_keys__],
        "additionalProperties": False,
    }


def _name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint).replace("typing.", "")


# --- values ---------------------------------------------------------------------------------------


def _converted(value: Any, hint: Any) -> Any:
    """A value of JSON as the type hint wants it."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (typing.Annotated, typing.Required, typing.NotRequired):
        return _converted(value, args[0])
    if hint in (int, float) and isinstance(value, int | float) and not isinstance(value, bool):
        return hint(value)  # 1.0 is an integer of JSON
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(value)
    if origin in (Union, types.UnionType):
        return _converted(value, _alternative(value, args))
    if origin is list and isinstance(value, list):
        return [_converted(each, args[0]) for each in value]
    if origin is dict and isinstance(value, dict):
        return {name: _converted(each, args[1]) for name, each in value.items()}
    if typing.is_typeddict(hint) and isinstance(value, dict):
        hints = typing.get_type_hints(hint, include_extras=True)
        return {name: _converted(each, hints.get(name, Any)) for name, each in value.items()}
    return value


def _alternative(value: Any, hints: tuple[Any, ...]) -> Any:
    """The type of a union that a value belongs to. 1 is an int where there is a choice."""
    fitting = (hint for hint in hints if _is_of(value, hint))
    return type(value) if type(value) in hints else next(fitting, Any)


def _is_of(value: Any, hint: Any) -> bool:
    hint = get_args(hint)[0] if get_origin(hint) is typing.Annotated else hint
    if isinstance(hint, type) and issubclass(hint, Enum):
        return value in [each.value for each in hint]
    if typing.is_typeddict(hint):
        return isinstance(value, dict) and hint.__required_keys__ <= value.keys()
    kind = get_origin(hint) or hint
    return isinstance(value, (int, float) if kind is float else kind) if kind in (list, dict, float) else False


def _plain(value: Any) -> Json:
    """A default value as JSON; `None` where it is none, or nothing that JSON says."""
    if isinstance(value, Enum):
        return _plain(value.value)
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return None
    return value  # type: ignore[no-any-return]


def _plain_or_text(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else str(value)


# --- docstrings -----------------------------------------------------------------------------------


def _documented(text: str) -> tuple[str, dict[str, str]]:
    """What a docstring says of the function, and of each parameter: under `Args:`, or after `:param name:`."""
    told = {name: _joined(said) for name, said in re.findall(r"(?m)^:param (?:[\w\[\], ]+ )?(\w+):[ \t]*(.*)$", text)}
    arguments = _ARGS.search(text)
    if arguments:
        told |= dict(_entries(text[arguments.end() :]))
    ends = [found.start() for found in (_SECTION.search(text), re.search(r"(?m)^:\w+", text)) if found]
    return text[: min(ends, default=len(text))].strip(), told


def _entries(section: str) -> list[tuple[str, str]]:
    """`name: what it is`, or `name (type): what it is`, each with the lines that are indented more."""
    entries: list[tuple[str, str]] = []
    indent = ""
    for line in section.lstrip("\n").split("\n"):
        if line.strip() and not line[0].isspace():
            break
        found = re.match(r"(\s+)\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.*)", line)
        if found and (not indent or found[1] == indent):
            indent = found[1]
            entries.append((found[2], found[3].strip()))
        elif entries and line.strip():
            name, said = entries[-1]
            entries[-1] = (name, _joined(f"{said} {line}"))
    return entries


def _joined(text: str) -> str:
    return " ".join(text.split())
