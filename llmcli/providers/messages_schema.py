"""
A JSON schema in Anthropic's Messages API. Layer 2, pure: values in, values out.

`constrained` is a schema in the form of `output_config.format`, with which the service answers with nothing but what
the schema allows. Where it does not know that format, or the schema says more than the format can, the answer is asked
for as the arguments of a tool (`AnswerTool`), whose schema may say anything. Whoever asked holds the answer against the
schema itself, so a form that allows more than the schema does no harm, and one that allows less must allow enough.

Source: the documentation of structured outputs (platform.claude.com/docs), and the service's own error messages.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from llmcli.framing import parse_object
from llmcli.types import Json, Schema, Tool

_KEPT = frozenset(("type", "title", "description", "default", "enum", "const", "pattern", "required", "$ref"))
_TABLES = frozenset(("properties", "$defs", "definitions"))
_LISTS = frozenset(("anyOf", "oneOf", "allOf"))
_NOTES = frozenset(("$schema", "$id", "$comment", "examples", "deprecated", "readOnly", "writeOnly"))
# What the format has no place for and only narrows what is allowed: told in words instead.
_IN_WORDS = frozenset(
    ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "minItems",
     "maxItems", "uniqueItems", "format")
)  # fmt: skip
_KNOWN = _KEPT | _TABLES | _LISTS | _NOTES | _IN_WORDS | {"items", "additionalProperties"}
_FORMATS = frozenset(("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"))
_SAYS_WHAT_IT_IS = _LISTS | {"type", "enum", "const", "$ref"}


def constrained(schema: object) -> dict[str, Json] | None:
    """The schema in the form of `output_config.format`; `None` where that form cannot say it."""
    if not isinstance(schema, Mapping) or not schema.keys() <= _KNOWN or not schema.keys() & _SAYS_WHAT_IT_IS:
        return None
    if (
        any(isinstance(value, Mapping | list) for value in schema.get("enum", ()))
        or {"anyOf", "oneOf"} <= schema.keys()
    ):
        return None
    form: dict[str, Json] = {name: value for name, value in schema.items() if name in _KEPT}
    if "object" in _types(schema):
        if not _names_its_properties(schema):
            return None
        form["additionalProperties"] = False
    nested = _nested(schema)
    if nested is None:
        return None
    return _with_words(schema, form | nested)


def _types(schema: Mapping[str, Any]) -> list[str]:
    said: Any = schema.get("type", [])
    return said if isinstance(said, list) else [said]


def _names_its_properties(schema: Mapping[str, Any]) -> bool:
    """The format allows no others, so that an object of any names could only be empty."""
    others = schema.get("additionalProperties")
    return others is False or (others is None and bool(schema.get("properties")))


def _nested(schema: Mapping[str, Any]) -> dict[str, Json] | None:
    """The schemas inside the schema."""
    form: dict[str, Any] = {}
    for name, inner in schema.items():
        if name in _TABLES and isinstance(inner, Mapping):
            form[name] = {key: constrained(value) for key, value in inner.items()}
            made = [*form[name].values()]
        elif name in _LISTS and isinstance(inner, list):
            made = form["anyOf" if name == "oneOf" else name] = [constrained(value) for value in inner]
        elif name == "items":
            form[name] = constrained(inner)
            made = [form[name]]
        else:
            continue
        if None in made:
            return None
    return form


def _with_words(schema: Mapping[str, Any], form: dict[str, Json]) -> dict[str, Json]:
    """The form, with what it has no place for in the description."""
    words: list[str] = []
    for name in sorted(_IN_WORDS & schema.keys()):
        value = schema[name]
        if (name == "format" and value in _FORMATS) or (name == "minItems" and value in (0, 1)):
            form[name] = value
        else:
            words.append(f"{name}: {json.dumps(value, ensure_ascii=False)}")
    if words:
        said = form.get("description")
        form["description"] = " ".join([*([str(said)] if said else []), f"({', '.join(words)})"])
    return form


# --- the answer as the arguments of a tool --------------------------------------------------------


class AnswerTool(NamedTuple):
    """A tool whose arguments are the answer. `wrapped`: the answer is one of them, because it may be no object."""

    tool: Tool
    wrapped: bool

    def text_of(self, arguments: str) -> str:
        """The answer in the arguments of a call, as JSON; what is no JSON is left as the model wrote it."""
        document = parse_object(arguments) if self.wrapped else None
        if document is None or "answer" not in document:
            return arguments
        return json.dumps(document["answer"], ensure_ascii=False)


def answer_tool(schema: Schema, tools: tuple[Tool, ...]) -> AnswerTool:
    """The tool that takes the answer, beside the tools that there are, whose names it does not take."""
    document = dict(schema.document) or {"type": "object"}
    wrapped = document.get("type") != "object" or bool(_LISTS & document.keys())  # as a tool's arguments may not be
    if wrapped:
        definitions: dict[str, Any] = {
            name: document.pop(name) for name in ("$defs", "definitions") if name in document
        }
        document = {"type": "object", "properties": {"answer": document}, "required": ["answer"], **definitions}
    name = schema.name
    while any(name == tool.name for tool in tools):
        name += "_"
    description = "Takes the answer. Call it once, when you have the answer, and write nothing else."
    return AnswerTool(Tool(name, description, document), wrapped)
