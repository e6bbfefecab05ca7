"""Python functions as tools: what becomes of type hints and docstrings, and of the JSON that they are called with."""

import json
from collections.abc import Callable
from enum import Enum
from typing import Annotated, Any, Literal, NotRequired, Optional, TypedDict

import pytest

from llmcli.errors import ConfigurationError
from llmcli.tools.functions import call, schema_of, tool_of
from llmcli.validation import schema_problem


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Place(TypedDict):
    city: str
    height: NotRequired[float]


PLACE = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "height": {"type": "number"}},
    "required": ["city"],
    "additionalProperties": False,
}
SCHEMAS = [
    (str, {"type": "string"}),
    (int, {"type": "integer"}),
    (float, {"type": "number"}),
    (bool, {"type": "boolean"}),
    (Any, {}),
    (list, {"type": "array"}),
    (list[int], {"type": "array", "items": {"type": "integer"}}),
    (dict, {"type": "object"}),
    (dict[str, float], {"type": "object", "additionalProperties": {"type": "number"}}),
    (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
    (Literal["a", 1], {"enum": ["a", 1]}),
    (Optional[int], {"anyOf": [{"type": "integer"}, {"type": "null"}]}),  # noqa: UP045
    (int | str, {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
    (Color, {"type": "string", "enum": ["red", "blue"]}),
    (Place, PLACE),
    (list[Place], {"type": "array", "items": PLACE}),
    (Annotated[int, "how many"], {"description": "how many", "type": "integer"}),
]


@pytest.mark.parametrize(("hint", "schema"), SCHEMAS)
def test_a_type_hint_becomes_a_schema(hint: Any, schema: dict[str, Any]) -> None:
    assert schema_of(hint) == schema
    assert schema_problem(schema) is None


def described(a: int, b: str = "x", c: Color = Color.RED, d: list[int] | None = None, *, e: Any = print) -> None:
    """
    Do a thing
    and another.

    More of it.

    Args:
        a: the first,
            which goes on
        b (str): the second
        *e: the last

    Returns:
        nothing
    """


def test_a_docstring_describes_the_function_and_its_parameters() -> None:
    tool = tool_of(described, "tools.py")

    assert tool.name == "described"
    assert tool.description == "Do a thing\nand another.\n\nMore of it."
    assert tool.parameters == {
        "type": "object",
        "properties": {
            "a": {"description": "the first, which goes on", "type": "integer"},
            "b": {"description": "the second", "type": "string", "default": "x"},
            "c": {"type": "string", "enum": ["red", "blue"], "default": "red"},
            "d": {"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "null"}]},
            "e": {"description": "the last"},
        },
        "additionalProperties": False,
        "required": ["a"],
    }


def in_sphinx(a: int, b: int) -> None:
    """
    Do it.

    :param a: the first
    :param int b: the second
    :return: nothing
    """


def bare(a: int) -> None: ...


def test_docstrings_of_other_schools_and_none() -> None:
    tool = tool_of(in_sphinx, "tools.py")

    assert tool.description == "Do it."
    assert [each["description"] for each in tool.parameters["properties"].values()] == ["the first", "the second"]
    assert tool_of(bare, "tools.py").description == ""


def unhinted(a) -> None: ...  # type: ignore[no-untyped-def]
def of_a_set(a: set[int]) -> None: ...
def of_bytes(a: list[bytes]) -> None: ...
def of_other_keys(a: dict[int, str]) -> None: ...
def with_any_number(*many: int) -> None: ...
def with_any_names(**more: int) -> None: ...
def by_place(a: int, /) -> None: ...
def of_nothing_known(a: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821
async def later(a: int) -> None: ...
def größe(a: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (unhinted, "tools.py: unhinted: the parameter a has no type hint"),
        (of_a_set, "the parameter a has the type set[int], of which no schema can be made"),
        (of_bytes, "the parameter a has the type bytes"),
        (of_other_keys, "whose keys are no texts"),
        (with_any_number, "*many: int cannot be given by its name"),
        (with_any_names, "**more: int cannot be given by its name"),
        (by_place, "a: int cannot be given by its name"),
        (of_nothing_known, "its type hints cannot be read: NameError"),
        (later, "is asynchronous"),
        (größe, "is no name for a tool"),
    ],
)
def test_what_no_schema_can_be_made_of_is_said(function: Callable[..., Any], says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        tool_of(function, "tools.py")

    assert says in caught.value.message


def told(a: Any = None, n: int = 0, x: float = 0, color: Color | None = None, places: list[Place] | None = None,
         colors: dict[str, Color] | None = None, either: int | float | str = 0) -> str:  # fmt: skip
    return repr({name: value for name, value in locals().items() if value})


@pytest.mark.parametrize(
    ("arguments", "received"),
    [
        ({"n": 1.0}, {"n": 1}),
        ({"x": 1}, {"x": 1.0}),
        ({"color": "red"}, {"color": Color.RED}),
        ({"color": None}, {}),
        ({"places": [{"city": "Oslo", "height": 23}]}, {"places": [{"city": "Oslo", "height": 23.0}]}),
        ({"colors": {"x": "blue"}}, {"colors": {"x": Color.BLUE}}),
        ({"either": 2}, {"either": 2}),
        ({"either": "two"}, {"either": "two"}),
        ({"a": {"deep": [1, None]}}, {"a": {"deep": [1, None]}}),
    ],
)
def test_json_arrives_as_the_type_hints_say(arguments: dict[str, Any], received: dict[str, Any]) -> None:
    assert call(told, arguments) == repr(received)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        (None, ""),
        (3, "3"),
        ([1, "ü", None], '[1, "ü", null]'),
        ({"color": Color.RED}, '{"color": "red"}'),
        (True, "true"),
    ],
)
def test_what_a_function_returns_becomes_text(value: Any, text: str) -> None:
    assert call(lambda: value, {}) == text
    assert not isinstance(value, dict) or json.loads(text)
