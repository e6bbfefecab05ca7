"""
The JSON documents that stand in a text, as in a model's answer with an explanation around them. Layer 0: knows nobody.

JSON here is strict: no `NaN`, no number that is infinite. Nothing is looked for inside of what does not parse: a
bracket that opens and is never closed, as in an answer that was cut, hides all that follows it, because a part of a
document is another document than the one that was meant.
"""

import json
import re
from collections.abc import Iterator
from math import isfinite
from typing import Any, TypeAlias

from llmcli.types import Json

Found: TypeAlias = list[tuple[int, Json]]

# Where a document may begin: at a bracket, or in a fence of code, where it may be a text or a number too.
_START = re.compile(r"(?P<bracket>[{\[])|^ {0,3}(?P<fence>`{3,}|~{3,})[^\n]*\n", re.MULTILINE)
_BRACKETS = re.compile(r'[{\[}\]]|"(?:[^"\\]|\\.)*"?', re.DOTALL)


def value_of(text: str) -> Json:
    """A text that is one JSON document, with blank space around it at most. Raises `ValueError` or `RecursionError`."""
    text = text.strip().removeprefix("\ufeff")
    value, end = _DECODER.raw_decode(text)
    if end != len(text):
        raise ValueError(f"more follows behind it (character {end + 1})")
    return value  # type: ignore[no-any-return]


def documents(text: str) -> Iterator[tuple[int, Json]]:
    """The documents in a text, each with its length: the whole, or else objects, lists, and all that fences hold."""
    try:
        yield len(text), value_of(text)
        return
    except (ValueError, RecursionError):
        pass
    for found, _ in _steps(text):
        yield from found


def ends_open(text: str) -> bool:
    """Whether a bracket is open at the end of a text: it ends in the midst of a document."""
    return any(end is None for _, end in _steps(text))


def _steps(text: str) -> Iterator[tuple[Found, int | None]]:
    """What is found at each place where a document may begin, and where it ends; nowhere when it was never closed."""
    at: int | None = 0
    while at is not None and (start := _START.search(text, at)):
        found, at = _fenced(text, start) if start["fence"] else _bracketed(text, start.start())
        yield found, at


def _fenced(text: str, start: re.Match[str]) -> tuple[Found, int]:
    """What a fence holds, if that is one document, and where to go on: else with what stands in it."""
    fence = start["fence"]
    end = re.compile(rf"^ {{0,3}}{fence[0]}{{{len(fence)},}}[ \t]*$", re.MULTILINE).search(text, start.end())
    if end is None:
        return [], start.end()
    try:
        return [(end.start() - start.end(), value_of(text[start.end() : end.start()]))], end.end()
    except (ValueError, RecursionError):
        return [], start.end()


def _bracketed(text: str, start: int) -> tuple[Found, int | None]:
    """The document that begins at a bracket, if it is one, and where to go on: behind the bracket that closes it."""
    try:
        value, end = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return [], _behind(text, start)
    return [(end - start, value)], end


def _behind(text: str, start: int) -> int | None:
    depth = 0
    for found in _BRACKETS.finditer(text, start):
        if found[0] in "{[":
            depth += 1
        elif found[0] in "}]":
            depth -= 1
            if not depth:
                return found.end()
    return None


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"no number is as large as {text[:20]}")
    return number


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_constant)
