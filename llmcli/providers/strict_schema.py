"""
A JSON schema as OpenAI's formats want it. Layer 2, pure: values in, values out.

In strict mode the service answers with nothing but what the schema allows, and takes only schemas in which every object
names its properties, requires all of them and allows no others. `named` brings a schema to that form where an answer
that fits the new one means the same under the old one; elsewhere it is sent as it is, and not as a strict one.
"""

from collections.abc import Mapping
from typing import Any

from llmcli.types import Json, Schema

# What says nothing about which values fit, or nothing once every property is there.
_NOTES = frozenset(("$schema", "$id", "$comment", "default", "examples", "deprecated", "readOnly", "writeOnly"))
_KEYWORDS = frozenset((
    "type", "title", "description", "enum", "const", "anyOf", "$ref", "$defs", "definitions", "properties", "required",
    "additionalProperties", "items", "minItems", "maxItems", "pattern", "format", "minimum", "maximum",
    "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
))  # fmt: skip
_FORMATS = frozenset(("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"))
_TABLES = ("properties", "$defs", "definitions")


def named(schema: Schema, *, strictly: bool = True) -> dict[str, Json]:
    """The name, the document and whether it is a strict one, which it is where it can be and `strictly` says so."""
    document = dict(schema.document)
    strict = strictly and document.get("type") == "object" and "anyOf" not in document and _fits(document)
    return {"name": schema.name, "schema": _closed(document) if strict else document, "strict": strict}


def _fits(schema: object) -> bool:
    """Whether a schema can be brought to the form of strict mode without changing what it means."""
    if not isinstance(schema, Mapping) or not schema.keys() <= _KEYWORDS | _NOTES:
        return False
    if not schema.keys() & {"type", "enum", "const", "anyOf", "$ref"} or schema.get("format", "date") not in _FORMATS:
        return False
    if not all(_fits(inner) for table in _TABLES for inner in _mapping(schema.get(table)).values()):
        return False
    if not all(_fits(each) for each in _listed(schema.get("anyOf"))):
        return False
    if ("array" in _types(schema) or "items" in schema) and not _fits(schema.get("items")):
        return False
    return "object" not in _types(schema) or _may_be_closed(schema)


def _may_be_closed(schema: Mapping[str, Any]) -> bool:
    """
    Whether an object may lose what it does not name, and must have all that it does: it is no map of any names, and
    what it need not have may be null.
    """
    if schema.get("additionalProperties", False) is not False:
        return False
    properties, required = _mapping(schema.get("properties")), _listed(schema.get("required"))
    if not properties and "additionalProperties" not in schema:
        return False  # any object at all
    if not set(required) <= properties.keys():
        return False
    return all(name in required or _may_be_null(inner) for name, inner in properties.items())


def _may_be_null(schema: Mapping[str, Any]) -> bool:
    return (
        "null" in _types(schema)
        or None in _listed(schema.get("enum"))
        or any(_may_be_null(each) for each in _listed(schema.get("anyOf")))
    )


def _closed(schema: Mapping[str, Any]) -> dict[str, Json]:
    """The schema in the form of strict mode."""
    closed: dict[str, Json] = {name: value for name, value in schema.items() if name not in _NOTES}
    for table in _TABLES:
        if table in schema:
            closed[table] = {name: _closed(inner) for name, inner in _mapping(schema[table]).items()}
    if "anyOf" in schema:
        closed["anyOf"] = [_closed(each) for each in _listed(schema["anyOf"])]
    if "items" in schema:
        closed["items"] = _closed(schema["items"])
    if "object" in _types(schema):
        properties = _mapping(schema.get("properties"))
        closed.update(properties=closed.get("properties", {}), required=[*properties], additionalProperties=False)
    return closed


def _types(schema: Mapping[str, Any]) -> list[str]:
    """The types that a schema names, as a list of them."""
    said: Any = schema.get("type", [])
    return said if isinstance(said, list) else [said]


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
