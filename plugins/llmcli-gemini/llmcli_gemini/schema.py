"""
JSON schemas as Gemini takes them: without what it refuses (vercel/ai#14369, brightwave-inc/tidebreak#1537).

What is left out here only narrows what fits, and whoever asked holds the answer and the arguments against the whole
schema: a form that allows more does no harm. References are resolved, because they may not stand beside other keywords;
one that leads into itself ends where it does so for the first time.

Source: `response_json_schema` in the SDK google-genai 3.4.0 (`types.py`), which names the keywords.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from llmcli.types import Json

_KEPT = ("type", "title", "description", "required", "minItems", "maxItems", "minimum", "maximum", "propertyOrdering")
_FORMATS = ("date-time", "date", "time")

Schema = Mapping[str, Any]


def accepted(document: Schema) -> dict[str, Json]:
    """The schema with nothing in it that Gemini refuses."""
    return _accepted(document, document, ())


def _accepted(schema: object, root: Schema, within: tuple[str, ...]) -> dict[str, Json]:
    """One schema in the document `root`; `within` are the references that led to it."""
    if not isinstance(schema, Mapping):
        return {}  # true and false are schemas too
    reference = schema.get("$ref")
    if isinstance(reference, str):
        target = _pointed(reference, root)
        if reference in within:
            return {name: target[name] for name in ("type", "description") if name in target}
        beside = {name: value for name, value in schema.items() if name != "$ref"}
        return _accepted({**target, **beside}, root, (*within, reference))
    kept: dict[str, Json] = {name: schema[name] for name in _KEPT if name in schema}
    if schema.get("format") in _FORMATS:
        kept["format"] = schema["format"]
    kept |= _values(schema) | _nested(schema, root, within)
    choices = kept.get("anyOf")
    if isinstance(choices, list) and all(isinstance(choice, dict) and "type" in choice for choice in choices):
        kept.pop("type", None)  # each of the alternatives says it for itself
    for part in _schemas(schema.get("allOf")):
        kept = _both(kept, _accepted(part, root, within))
    return kept


def _values(schema: Schema) -> dict[str, Json]:
    """The values that a schema names: texts and numbers can be, and null beside them as an alternative."""
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if not isinstance(values, Sequence):
        return {}
    named = [value for value in values if value is not None]
    if not named or not all(type(value) in (str, int, float) for value in named):
        return {}
    if len(named) == len(values):
        return {"enum": named}
    kind = "string" if isinstance(named[0], str) else "number"
    return {"anyOf": [{"type": kind, "enum": named}, {"type": "null"}]}


def _nested(schema: Schema, root: Schema, within: tuple[str, ...]) -> dict[str, Json]:
    """The schemas inside a schema."""
    kept: dict[str, Json] = {}
    properties, others = schema.get("properties"), schema.get("additionalProperties")
    if isinstance(properties, Mapping):
        kept["properties"] = {name: _accepted(inner, root, within) for name, inner in properties.items()}
    if others is not None:
        kept["additionalProperties"] = others if isinstance(others, bool) else _accepted(others, root, within)
    if isinstance(schema.get("items"), Mapping):
        kept["items"] = _accepted(schema["items"], root, within)
    if tuple_items := _schemas(schema.get("prefixItems")):
        kept["prefixItems"] = [_accepted(inner, root, within) for inner in tuple_items]
    if choices := _schemas(schema.get("anyOf")) or _schemas(schema.get("oneOf")):  # both mean the same to Gemini
        kept["anyOf"] = [_accepted(inner, root, within) for inner in choices]
    return kept


def _schemas(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _both(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Json]:
    """A schema of what fits both, as far as their properties go."""
    merged = {**one, **other}
    if "properties" in one and "properties" in other:
        merged["properties"] = one["properties"] | other["properties"]
    if "required" in one and "required" in other:
        merged["required"] = list(dict.fromkeys([*one["required"], *other["required"]]))
    return merged


def _pointed(reference: str, root: Schema) -> Schema:
    """What a reference inside the document points to; nothing for one that leads elsewhere."""
    found: Any = root if reference.startswith("#") else {}
    for step in reference.removeprefix("#").split("/")[1:]:
        name = unquote(step).replace("~1", "/").replace("~0", "~")
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}
