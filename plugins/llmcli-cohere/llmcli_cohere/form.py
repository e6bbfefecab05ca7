"""
The form of an answer, in Cohere's `response_format`: as much of a JSON schema as it has a place for.

What is left out of a schema only narrows what fits, and whoever asked holds the answer against the whole of it. What
cannot be said at all (alternatives, an answer that is no object, objects without a required field, a form beside tools)
is asked for in words.

What a model refuses all the same is asked for in words too.

Source: the page on structured outputs in cohere-ai/cohere-developer-experience (2026-08-20).
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from llmcli.types import ChatRequest, Json

_KEPT = frozenset(("type", "title", "description", "enum", "const", "required", "$ref"))
_TABLES = frozenset(("properties", "$defs", "definitions"))
_LEFT_OUT = frozenset((
    "$schema", "$id", "$comment", "default", "examples", "deprecated", "readOnly", "writeOnly",
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength",
    "minItems", "maxItems", "uniqueItems", "additionalProperties", "minProperties", "maxProperties",
))  # fmt: skip
_KNOWN = _KEPT | _TABLES | _LEFT_OUT | {"items", "pattern", "format"}
_FORMATS = ("date-time", "uuid", "date", "time")
FORM = "response_format"  # in `ChatRequest.without`: a model has refused it
_REFUSED = re.compile(r"(?i)response.?format|json.?schema|json.?object|\bschema\b")
_BEYOND = re.compile(r"[$^]|\(\?[=!]")  # of regular expressions


def response_format(request: ChatRequest, key: str) -> dict[str, Json]:
    """The field of a request; `key` is what the schema is called in it."""
    if not _wants_object(request):
        return {}
    schema = _constraint(request)
    return {"response_format": {"type": "json_object"} | ({key: schema} if schema else {})}


def in_words(request: ChatRequest) -> str:
    """What the field cannot say. Without words a model that must write JSON may never come to an end."""
    if request.schema is None or (_wants_object(request) and _constraint(request)):
        return ""
    if not request.schema.document:
        return "Answer with nothing but one JSON object."
    wanted = json.dumps(dict(request.schema.document), ensure_ascii=False)
    return f"Answer with nothing but one JSON document that this JSON schema allows:\n{wanted}"


def refused(request: ChatRequest, complaint: str) -> bool:
    """Whether it is the form that a model refuses, and there is one."""
    if request.schema is None or request.schema.firm:
        return False
    return bool(response_format(request, "schema")) and bool(_REFUSED.search(complaint))


def _wants_object(request: ChatRequest) -> bool:
    """Whether the answer is to be an object, and there are no tools, which the field cannot stand beside."""
    if request.schema is None or request.tools or FORM in request.without:
        return False
    return not request.schema.document or bool(request.schema.document.get("type") == "object")


def _constraint(request: ChatRequest) -> dict[str, Json] | None:
    return accepted(request.schema.document) if request.schema is not None and request.schema.document else None


def accepted(schema: object) -> dict[str, Json] | None:
    """The schema as far as Cohere has a place for it; `None` where that would not be the same any more."""
    if not isinstance(schema, Mapping) or not schema.keys() <= _KNOWN:
        return None
    if schema.get("type") == "object" and not schema.get("required"):
        return None
    form: dict[str, Json] = {name: value for name, value in schema.items() if name in _KEPT}
    if schema.get("format") in _FORMATS:
        form["format"] = schema["format"]
    if "pattern" in schema and not _BEYOND.search(str(schema["pattern"])):
        form["pattern"] = schema["pattern"]
    for name in _TABLES & schema.keys():
        inner = _all(schema[name])
        if inner is None:
            return None
        form[name] = inner
    if "items" in schema:
        items = accepted(schema["items"])
        if items is None:
            return None
        form["items"] = items
    return form


def _all(table: Any) -> dict[str, Json] | None:
    """The schemas of a table, if every one of them has its place."""
    form: dict[str, Json] = {}
    for name, schema in table.items():
        inner = accepted(schema)
        if inner is None:
            return None
        form[name] = inner
    return form
