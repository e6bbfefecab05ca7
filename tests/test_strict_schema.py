"""Schemas by the rules of strict mode: brought there where that changes nothing of what they mean, else left alone."""

import copy
from typing import Any

import pytest

from llmcli.providers.strict_schema import named
from llmcli.types import Schema

TEXT = {"type": "string"}


def strict(document: dict[str, Any]) -> Any:
    """The strict form of a schema, or `None` where it is sent as it is."""
    before = copy.deepcopy(document)
    sent = named(Schema("s", document))
    assert document == before
    assert sent["strict"] or sent["schema"] == document
    return sent["schema"] if sent["strict"] else None


def thing(required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*properties] if required is None else required}


def closed(**properties: Any) -> dict[str, Any]:
    return {**thing(**properties), "additionalProperties": False}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (thing(a=TEXT), closed(a=TEXT)),
        (closed(a=TEXT), closed(a=TEXT)),
        (thing(a=thing(b=TEXT)), closed(a=closed(b=TEXT))),
        (thing(a={"type": "array", "items": thing(b=TEXT)}), closed(a={"type": "array", "items": closed(b=TEXT)})),
        (
            {**thing(a={"$ref": "#/$defs/x"}), "$defs": {"x": thing(b=TEXT)}},
            {**closed(a={"$ref": "#/$defs/x"}), "$defs": {"x": closed(b=TEXT)}},
        ),
        (thing(a={"anyOf": [thing(b=TEXT), TEXT]}), closed(a={"anyOf": [closed(b=TEXT), TEXT]})),
        ({**thing(a={**TEXT, "default": "x"}), "$schema": "https://json-schema.org/x"}, closed(a=TEXT)),
        ({"type": "object", "properties": {}, "additionalProperties": False}, closed()),
        (thing(a={"enum": [1, 2]}, b={"const": 3}), closed(a={"enum": [1, 2]}, b={"const": 3})),
        (thing(a={"type": "string", "format": "date"}), closed(a={"type": "string", "format": "date"})),
    ],
)
def test_a_schema_is_closed_and_requires_all_it_names(document: dict[str, Any], expected: dict[str, Any]) -> None:
    assert strict(document) == expected


@pytest.mark.parametrize(
    "maybe",
    [
        {"type": ["string", "null"]},
        {"anyOf": [TEXT, {"type": "null"}]},
        {"enum": ["x", None]},
    ],
)
def test_what_may_be_null_may_be_required(maybe: dict[str, Any]) -> None:
    """`null` says the same as nothing, and the schema that the user wrote allows it."""
    assert strict(thing([], a=maybe)) == closed(a=maybe)


@pytest.mark.parametrize(
    "document",
    [
        thing([], a=TEXT),  # an optional text would have to be made up
        {**thing(a=TEXT), "additionalProperties": TEXT},  # a map
        {**thing(a=TEXT), "additionalProperties": True},
        {"type": "object"},  # anything at all
        thing(a={"type": "object"}),
        thing(a={}),
        thing(a=True),
        thing(a={"type": "array"}),
        thing(["a", "b"], a=TEXT),
        {"type": "array", "items": TEXT},
        {"anyOf": [thing(a=TEXT), thing(b=TEXT)]},
        {**thing(a=TEXT), "anyOf": [thing(a=TEXT)]},
        thing(a={"allOf": [TEXT]}),
        thing(a={"oneOf": [TEXT]}),
        thing(a={"anyOf": [TEXT, {"allOf": [TEXT]}]}),
        thing(a={**TEXT, "minLength": 1}),
        thing(a={**TEXT, "format": "uri"}),
        {**thing(a=TEXT), "patternProperties": {"x": TEXT}},
        {**thing(a={"$ref": "#/$defs/x"}), "$defs": {"x": thing([], b=TEXT)}},
        {},
    ],
)
def test_a_schema_that_would_mean_something_else_stays_as_it_is(document: dict[str, Any]) -> None:
    assert strict(document) is None


def test_strictness_may_be_left_out() -> None:
    """Where the service has refused it."""
    assert named(Schema("s", thing(a=TEXT)), strictly=False) == {"name": "s", "schema": thing(a=TEXT), "strict": False}


@pytest.mark.parametrize(
    "odd",
    [
        {"$defs": 5},
        {"required": True},
        {"properties": {"a": {"type": "string", "items": True}}},
        {"properties": {"a": {"anyOf": 1}}},
        {"properties": {"a": {"type": "object", "required": True}}},
        {"properties": {"a": {"enum": 5}}},
    ],
)
def test_a_keyword_that_an_old_draft_has_for_something_else_breaks_nothing(odd: dict[str, Any]) -> None:
    assert named(Schema("x", {"type": "object", "properties": {}, "additionalProperties": False, **odd}))
