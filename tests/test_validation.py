"""JSON schemas: what a value lacks is told with its place, and no schema makes us fetch anything."""

from typing import Any

import pytest

from llmcli.validation import problems, schema_problem

CITY: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "array", "items": {"type": "integer"}}},
    "required": ["city"],
    "additionalProperties": False,
}


def test_a_value_that_is_as_the_schema_says_has_no_problem() -> None:
    assert problems({"city": "Oslo", "days": [1, 2]}, CITY) == []


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({}, ["'city' is a required property"]),
        ({"city": "Oslo", "days": [1, "two"]}, ["days[1]: 'two' is not of type 'integer'"]),
        ({"city": 7}, ["city: 7 is not of type 'string'"]),
        ([], ["[] is not of type 'object'"]),
    ],
)
def test_what_is_wrong_is_told_with_its_place(value: object, told: list[str]) -> None:
    assert problems(value, CITY) == told


def test_a_long_value_is_not_quoted_whole_and_many_problems_are_not_all_told() -> None:
    told = problems({"city": "Oslo", "days": ["x" * 10_000] * 100}, CITY)

    assert len(told) == 5
    assert max(map(len, told)) < 400


def test_a_schema_that_is_none_is_told_of() -> None:
    assert schema_problem(CITY) is None
    assert schema_problem({"type": "strnig"}) == "type: 'strnig' is not valid under any of the given schemas"


def test_a_schema_never_makes_us_fetch_another_one(httpserver: Any) -> None:
    httpserver.expect_request("/other").respond_with_json({})
    url = httpserver.url_for("/other")

    assert problems({}, {"$ref": url}) == [f"the schema refers to {url}, which is not in it"]
    assert httpserver.log == []


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/city"},
        {"properties": {"at": {"$ref": "#/$defs/city"}}, "$defs": {"city": {"$ref": "other.json"}}},
        {"$schema": "http://json-schema.org/draft-07/schema#", "anyOf": [{"$ref": "#/definitions/city"}]},
    ],
)
def test_a_schema_that_refers_to_what_is_not_in_it_is_none(schema: dict[str, Any]) -> None:
    told = schema_problem(schema)

    assert told is not None
    assert "which is not in it" in told


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {"properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(
    "schema",
    [
        {"$schema": []},
        {"$schema": 5},
        {"$schema": "http://json-schema.org/draft-03/schema#"},
        {"$schema": "https://e.example/of-my-own"},
        {"allOf": [{}], "$ref": "#/allOf/x"},
        nested(300),
    ],
)
def test_no_schema_is_so_odd_that_it_breaks_anything(schema: dict[str, Any]) -> None:
    assert schema_problem(schema)


def test_a_draft_that_nobody_knows_is_named() -> None:
    told = schema_problem({"$schema": "https://e.example/of-my-own"})

    assert told == "it cannot be used ($schema 'https://e.example/of-my-own' is no draft that is known here)"


def test_a_pattern_that_is_none_is_a_problem_of_the_value_where_the_draft_does_not_look_at_it() -> None:
    schema = {"$schema": "http://json-schema.org/draft-04/schema#", "patternProperties": {"[": {}}}

    assert "cannot be held against the schema" in problems({"a": 1}, schema)[0]


def test_a_draft_is_known_however_its_name_is_written() -> None:
    for name in ("http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft-07/schema"):
        schema = {"$schema": name, "dependencies": {"a": ["b"]}}
        assert schema_problem(schema) is None
        assert problems({"a": 1}, schema) != []


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"properties": {"a": {"$ref": "#named"}, "b": {"$ref": "b"}}, "$defs": {"a": {"$anchor": "named"},
         "b": {"$id": "http://x.example/b"}}, "$id": "http://x.example/a"},
        {"properties": {"$ref": {"type": "string"}, "data": {"enum": [{"$ref": "#/nowhere"}]}}},
    ],
)  # fmt: skip
def test_what_it_has_and_what_only_looks_like_a_reference_harms_nobody(schema: dict[str, Any]) -> None:
    assert schema_problem(schema) is None


def test_the_parts_of_a_schema_that_it_refers_to_are_found_in_it() -> None:
    schema = {"$ref": "#/$defs/city", "$defs": {"city": CITY}}

    assert problems({"city": "Oslo"}, schema) == []
    assert problems({}, schema) == ["'city' is a required property"]
