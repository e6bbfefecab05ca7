"""
Python functions as tools: their type hints and docstrings become JSON schemas, and JSON becomes their arguments.
Layer 2, pure: knows errors and types.
"""

import dataclasses
import functools
import inspect
import json
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, Literal, Union, get_args, get_origin
from uuid import UUID

from llmcli.errors import ConfigurationError
from llmcli.tools.offered import Arguments, ToolFailed, is_name
from llmcli.types import Json, Tool

Schema = dict[str, Any]

_SCALARS: dict[object, str] = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
_ARRAYS: dict[object, Callable[[list[Any]], Any]] = {
    list: list, Sequence: list, tuple: tuple, set: set, frozenset: frozenset,
}  # fmt: skip
_WRAPPERS = (typing.Annotated, typing.Required, typing.NotRequired)
_UNIONS = (Union, types.UnionType)
_AS_TEXT = (date, time, PurePath, UUID, Decimal)  # what a function returns and everybody writes in one way
_KNOWN = (
    "str, int, float, bool, list, dict, tuple[X, ...], set, Literal, Optional, Enum, TypedDict, a dataclass, "
    "a NamedTuple, Annotated or Any"
)
_SECTION = re.compile(
    r"^(?:Args|Arguments|Parameters|Returns?|Raises|Yields|Examples?|Notes?):?\s*$|^\w[\w ]*\n-{3,}[ \t]*$",
    re.MULTILINE,
)
_UNDERLINED = re.compile(r"^(\S[^:\n]*)(?::.*)?((?:\n(?:[ \t]*\n)*[ \t]+\S.*)*)", re.MULTILINE)
_ARGS = re.compile(r"^(?:Args|Arguments|Parameters):?[ \t]*$(?:\n(?P<underlined>-{3,})[ \t]*$)?", re.MULTILINE)


class _NoSchema(Exception):
    """A type that no JSON schema can be made of."""


def tool_of(function: Callable[..., Any], where: str, name: str | None = None) -> Tool:
    """
    A function, or another object that can be called, as a tool: its own name if it is given no other, what its
    docstring says, and the schema of its parameters. `where` is where it stands, for the messages.

    Raises `ConfigurationError` for what cannot be said in a schema, or called with JSON.
    """
    inner = _inner(function)
    name = name or inner.__name__
    place = f"{where}: {name}"
    if not is_name(name):
        raise ConfigurationError(f"{place} is no name for a tool", hint="letters, digits, _ and -, at most 64 of them")
    if inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner):
        raise ConfigurationError(f"{place} is asynchronous", hint="a tool is an ordinary function")
    described, told = _documented(_docstring(inner))
    hints = _hints(function, place)
    properties: dict[str, Schema] = {}
    required = []
    for parameter in _parameters(function, place):
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


def _inner(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function that knows type hints and docstring: that of a `partial`, or of an object that can be called."""
    while isinstance(function, functools.partial):
        function = function.func
    return function if hasattr(function, "__name__") else function.__call__  # type: ignore[operator]


def _docstring(inner: Callable[..., Any]) -> str:
    """The docstring of a function; of a `__call__` that has none, that of its class."""
    text = inner.__doc__
    if not text and inspect.ismethod(inner):
        text = type(inner.__self__).__doc__
    return inspect.cleandoc(text or "")


def call(function: Callable[..., Any], arguments: Arguments) -> str:
    """Call a function with arguments that satisfy its schema; what it returns as text, as JSON if it is no text."""
    hints = typing.get_type_hints(_inner(function), include_extras=True)
    value = function(**{name: _converted(value, hints.get(name, Any)) for name, value in arguments.items()})
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    try:
        return json.dumps(value, ensure_ascii=False, default=_as_json, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as exc:
        raise ToolFailed(f"it returned what JSON cannot say: {exc}") from exc


def _parameters(function: Callable[..., Any], place: str) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError) as exc:  # what is written in C need not tell
        raise ConfigurationError(f"{place}: its parameters cannot be read: {exc}") from exc


def _hints(function: Callable[..., Any], place: str) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(_inner(function), include_extras=True)
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
    except RecursionError:
        told = f"{place}: the type of the parameter {parameter.name} holds itself, so that no schema can be made of it"
        raise ConfigurationError(told) from None
    except _NoSchema as exc:
        told = f"{place}: the parameter {parameter.name} has the type {exc}, of which no schema can be made"
        raise ConfigurationError(told, hint=f"it may be {_KNOWN}") from exc


def schema_of(hint: Any) -> Schema:
    """The JSON schema of a type hint."""
    if hint is Any:
        return {}
    if isinstance(hint, type) and hint in _SCALARS:
        return {"type": _SCALARS[hint]}
    origin, args = get_origin(hint), get_args(hint)
    if origin is typing.Annotated:
        text = next((each for each in args[1:] if isinstance(each, str)), None)
        return {**({"description": text} if text else {}), **schema_of(args[0])}
    if origin in (typing.Required, typing.NotRequired):
        return schema_of(args[0])
    if origin is Literal:
        return _choice(args, hint)
    if origin in _UNIONS:
        return {"anyOf": [schema_of(each) for each in args]}
    if kind := _array(hint):
        unique = {"uniqueItems": True} if kind in (set, frozenset) else {}
        if unique and args and (get_origin(args[0]) or args[0]).__hash__ is None:
            raise _NoSchema(f"{_name(hint)}, whose items no set can hold")
        return {"type": "array", **({"items": schema_of(args[0])} if args else {}), **unique}
    if hint is dict or origin is dict:
        if args and args[0] is not str:
            raise _NoSchema(f"{_name(hint)}, whose keys are no texts")
        return {"type": "object", **({"additionalProperties": schema_of(args[1])} if args else {})}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _choice([each.value for each in hint], hint)
    if record := _record(hint):
        return {
            "type": "object",
            "properties": {name: schema_of(each) for name, each in record.fields.items()},
            "required": [name for name in record.fields if name in record.required],
            "additionalProperties": False,
        }
    raise _NoSchema(_name(hint))


def _array(hint: Any) -> Any:
    """Which of `_ARRAYS` a type is, if it is one: all their items are of one type."""
    kind, args = get_origin(hint) or hint, get_args(hint)
    if kind is tuple and args and args[1:] != (...,):
        return None
    return next((known for known in _ARRAYS if known is kind), None)


class _Record(typing.NamedTuple):
    """A type with named fields: the type of each, and which must be given."""

    fields: Mapping[str, Any]
    required: frozenset[str]


def _record(hint: Any) -> _Record | None:
    """A TypedDict, a dataclass or a named tuple, taken apart; `None` for any other type."""
    try:
        if typing.is_typeddict(hint):
            hints = typing.get_type_hints(hint, include_extras=True)
            return _Record(hints, hint.__required_keys__)
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            hints = typing.get_type_hints(hint, include_extras=True)
            given = [each for each in dataclasses.fields(hint) if each.init]
            needed = [each.name for each in given if each.default is each.default_factory is dataclasses.MISSING]
            return _Record({each.name: hints[each.name] for each in given}, frozenset(needed))
        if isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields"):
            hints = typing.get_type_hints(hint, include_extras=True)
            fields = {name: hints.get(name, Any) for name in hint._fields}
            return _Record(fields, frozenset(fields.keys() - hint._field_defaults.keys()))  # type: ignore[attr-defined]
    except (NameError, TypeError, AttributeError, SyntaxError) as exc:  # a hint may be any expression
        raise _NoSchema(f"{_name(hint)} ({type(exc).__name__}: {exc})") from exc
    return None


def _choice(values: Any, hint: Any) -> Schema:
    kinds = {type(value) for value in values}
    if not kinds <= set(_SCALARS):
        raise _NoSchema(f"{_name(hint)}, whose values are no JSON")
    kind = {"type": _SCALARS[next(iter(kinds))]} if len(kinds) == 1 else {}
    return {**kind, "enum": list(values)}


def _name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint).replace("typing.", "")


# --- values ---------------------------------------------------------------------------------------


def _converted(value: Any, hint: Any) -> Any:
    """A value of JSON as the type hint wants it."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in _WRAPPERS:
        return _converted(value, args[0])
    if hint in (int, float) and isinstance(value, int | float) and not isinstance(value, bool):
        return hint(value)  # 1.0 is an integer of JSON
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(value)
    if origin in _UNIONS:
        return _converted(value, _alternative(value, args))
    if (kind := _array(hint)) and isinstance(value, list):
        return _ARRAYS[kind]([_converted(each, args[0]) for each in value] if args else value)
    if origin is dict and isinstance(value, dict):
        return {name: _converted(each, args[1]) for name, each in value.items()}
    if isinstance(value, dict) and (record := _record(hint)):
        fields = {name: _converted(each, record.fields.get(name, Any)) for name, each in value.items()}
        return fields if typing.is_typeddict(hint) else hint(**fields)
    return value


def _alternative(value: Any, hints: tuple[Any, ...]) -> Any:
    """The type of a union that a value belongs to: its own if it is there, so that 1 is an int where there is one."""
    return type(value) if type(value) in hints else next((hint for hint in hints if _fits(value, hint)), Any)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value of JSON is one of a type, with all that is in it."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in _WRAPPERS:
        return _fits(value, args[0])
    if origin in _UNIONS:
        return any(_fits(value, each) for each in args)
    if origin is Literal:
        return any(value == each and type(value) is type(each) for each in args)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return value in [each.value for each in hint]
    if hint in (int, float):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and (hint is float or value == int(value))
    if _array(hint):
        return isinstance(value, list) and (not args or all(_fits(each, args[0]) for each in value))
    if hint is dict or origin is dict:
        return isinstance(value, dict) and (not args or all(_fits(each, args[1]) for each in value.values()))
    if record := _record(hint):
        return (
            isinstance(value, dict)
            and record.required <= value.keys() <= record.fields.keys()
            and all(_fits(each, record.fields[name]) for name, each in value.items())
        )
    return hint is Any or type(value) is hint


def _plain(value: Any) -> Json:
    """A default value as JSON; `None` where it is none, or nothing that JSON says."""
    if isinstance(value, Enum):
        return _plain(value.value)
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return None
    return value  # type: ignore[no-any-return]


def _as_json(value: Any) -> Any:
    """What JSON has no word of its own for, as something that it has. Raises `TypeError` where there is nothing."""
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    if isinstance(value, set | frozenset):
        return _in_order(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, _AS_TEXT):
        return str(value)
    if inspect.iscoroutine(value):
        value.close()  # nobody waits for it, and that needs no warning
    raise TypeError(f"a value of the type {type(value).__name__}")


def _in_order(values: set[Any] | frozenset[Any]) -> list[Any]:
    try:
        return sorted(values)
    except TypeError:
        return list(values)


# --- docstrings -----------------------------------------------------------------------------------


def _documented(text: str) -> tuple[str, dict[str, str]]:
    """
    What a docstring says of the function, and of each parameter: under `Args:` (Google), after `:param name:` (Sphinx),
    or under an underlined `Parameters` (NumPy).
    """
    sphinx = re.findall(r"(?m)^:param (?:[\w\[\], |.]+ )?\*{0,2}(\w+):[ \t]*(.*(?:\n[ \t]+\S.*)*)", text)
    told = {name: _joined(said) for name, said in sphinx}
    if arguments := _ARGS.search(text):
        read = _underlined_entries if arguments["underlined"] else _entries
        told |= dict(read(text[arguments.end() :]))
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


def _underlined_entries(section: str) -> list[tuple[str, str]]:
    """`name : type`, perhaps of several names, and below it what it is; up to the next underlined word."""
    ends = _SECTION.search(section)
    entries: list[tuple[str, str]] = []
    for found in _UNDERLINED.finditer(section[: ends.start() if ends else len(section)]):
        entries += [(name, _joined(found[2])) for name in re.findall(r"\w+", found[1])]
    return entries


def _joined(text: str) -> str:
    return " ".join(text.split())
