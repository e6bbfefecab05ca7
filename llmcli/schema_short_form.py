"""
A schema as a person writes it on a command line: `name: str, tags: [str], age: int?: in years`. Layer 1: knows errors.
"""

import re
from difflib import get_close_matches
from typing import Any

from llmcli.errors import UsageError

_BEGINNING = re.compile(r"\s*[A-Za-z_]\w*\??\s*[:,]", re.ASCII)
_TYPES = {
    "str": "string", "string": "string", "int": "integer", "integer": "integer", "float": "number", "number": "number",
    "bool": "boolean", "boolean": "boolean",
}  # fmt: skip
_TO_COMMA, _TO_LINE_END = r"[^,}]*", r"[^\n}]*"
_KNOWN = "str, int, float, bool, [type], {name: type}, or texts to choose from (red|green)"


def is_short(said: str) -> bool:
    """Whether a text is the short form, and neither JSON nor the name of a file."""
    return _BEGINNING.match(said) is not None


def read(text: str) -> dict[str, Any]:
    """
    The JSON schema of fields as a person writes them: `name: str, tags: [str], age: int?: in years`. Raises
    `UsageError` that names the place.
    """
    try:
        return _ShortForm(text.strip()).whole()
    except RecursionError:
        raise UsageError("--schema is nested too deeply") from None


class _ShortForm:
    """
    Reads the short form from left to right. Where fields have lines of their own a comma is part of a description, else
    it ends one.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._description = _TO_LINE_END if "\n" in text else _TO_COMMA

    def whole(self) -> dict[str, Any]:
        """All of it."""
        schema = self._fields()
        if self._at < len(self._text):
            raise self._wrong("this closes nothing")
        return schema

    def _fields(self) -> dict[str, Any]:
        """`name: type: description` again and again, up to a closing brace or the end."""
        properties: dict[str, dict[str, Any]] = {}
        required = []
        self._take(r"[\s,]*")
        while not self._ends():
            start = self._at
            name, schema, needed = self._field()
            if name in properties:
                raise self._wrong(f"there are two fields {name}", start)
            properties[name] = schema
            required += [name] if needed else []
            self._take(r"[ \t]*")
            if not (self._take(r"[,\n][\s,]*") or self._ends()):
                raise self._wrong("a comma belongs between fields")
        if not properties:
            raise self._wrong("there are no fields")
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}

    def _ends(self) -> bool:
        return self._text[self._at : self._at + 1] in ("", "}")

    def _field(self) -> tuple[str, dict[str, Any], bool]:
        name = self._take(r"[A-Za-z_]\w*")
        if not name:
            raise self._wrong("the name of a field belongs here")
        optional = bool(self._take(r"[ \t]*\?"))
        schema: dict[str, Any] = {"type": "string"}
        if self._take(r"[ \t]*:[ \t]*"):
            schema = self._type(name)
            optional = bool(self._take(r"[ \t]*\?")) or optional
            if self._take(r"[ \t]*:"):
                described = self._take(self._description).strip().rstrip(",").rstrip()
                schema = {**schema, "description": described} if described else schema
        return name, _or_null(schema) if optional else schema, not optional

    def _type(self, name: str) -> dict[str, Any]:
        if self._take(r"\[\s*"):
            schema = {"type": "array", "items": self._type(name)}
            self._close("]")
            return schema
        if self._take(r"\{"):
            around = self._description
            if re.compile(r"[^\n]*\}").match(self._text, self._at):  # all on this line
                self._description = _TO_COMMA
            schema = self._fields()
            self._close("}")
            self._description = around
            return schema
        start = self._at
        words = self._take(r"[\w-]+(?:[ \t]*\|[ \t]*[\w-]+)*")
        choices = [word.strip() for word in words.split("|")]
        if len(choices) > 1:
            if known := [word for word in choices if word in _TYPES]:
                raise self._wrong(f"{name} is one of several texts, and {known[0]} is a type", start)
            return {"type": "string", "enum": list(dict.fromkeys(choices))}
        if words not in _TYPES:
            near = get_close_matches(words, _TYPES, n=1)
            found = f"{words!r} is no type" if words else "a type belongs here"
            raise self._wrong(f"{name}: {found}", start, hint=f"did you mean {near[0]}?" if near else None)
        return {"type": _TYPES[words]}

    def _close(self, bracket: str) -> None:
        if not self._take(rf"\s*{re.escape(bracket)}"):
            raise self._wrong(f"a {bracket} is missing")

    def _take(self, pattern: str) -> str:
        """What a pattern finds here, which is then behind us; empty when it finds nothing."""
        found = re.compile(pattern).match(self._text, self._at)
        self._at = found.end() if found else self._at
        return found[0] if found else ""

    def _wrong(self, what: str, at: int | None = None, hint: str | None = None) -> UsageError:
        place = (self._at if at is None else at) + 1
        return UsageError(f"--schema: {what} (character {place})", hint=hint or f"types: {_KNOWN}")


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    """What may be left out may be null: services that require every field can then say that it is not there."""
    if "enum" in schema:
        schema = {**schema, "enum": [*schema["enum"], None]}
    return {**schema, "type": [schema["type"], "null"]}
