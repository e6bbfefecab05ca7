"""Python functions as tools: what becomes of type hints and docstrings, and of the JSON that they are called with."""

import functools
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, Optional, TypedDict

import pytest

from llmcli.errors import ConfigurationError
from llmcli.tools.functions import call, schema_of, tool_of
from llmcli.tools.offered import ToolFailed
from llmcli.validation import schema_problem


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Place(TypedDict):
    city: str
    height: NotRequired[float]


@dataclass
class Box:
    width: int
    color: Color = Color.RED
    tags: list[str] = field(default_factory=list)
    area: int = field(init=False, default=0)


class Point(NamedTuple):
    x: float
    y: float = 0.0


class Node(TypedDict):
    children: "list[Node]"


BOX = {
    "type": "object",
    "properties": {
        "width": {"type": "integer"},
        "color": {"type": "string", "enum": ["red", "blue"]},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["width"],
    "additionalProperties": False,
}
POINT = {
    "type": "object",
    "properties": {"x": {"type": "number"}, "y": {"type": "number"}},
    "required": ["x"],
    "additionalProperties": False,
}
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
    (Box, BOX),
    (Point, POINT),
    (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
    (Sequence[int], {"type": "array", "items": {"type": "integer"}}),
    (set[int], {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}),
    (frozenset, {"type": "array", "uniqueItems": True}),
    (Annotated[int, {"unhashable"}], {"type": "integer"}),
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


def in_sphinx_over_two_lines(a: int, b: int) -> None:
    """
    Do it.

    :param a: the first,
        which goes on
    :param int b: the second
    """


def in_numpy(a: int, b: int, c: str = "", *, d: int = 0) -> None:
    """
    Do it.

    At once.

    Parameters
    ----------
    a, b : int
        Two numbers,
        which go on.
    c : str, optional
        A text.

        It may be empty.
    *d
        The last.

    See Also
    --------
    e : nothing
    """


def bare(a: int) -> None: ...


def test_docstrings_of_other_schools_and_none() -> None:
    tool = tool_of(in_sphinx, "tools.py")

    assert tool.description == "Do it."
    assert [each["description"] for each in tool.parameters["properties"].values()] == ["the first", "the second"]
    assert tool_of(bare, "tools.py").description == ""


def test_a_parameter_is_described_over_several_lines_in_sphinx() -> None:
    tool = tool_of(in_sphinx_over_two_lines, "tools.py")

    assert tool.description == "Do it."
    described = [each["description"] for each in tool.parameters["properties"].values()]
    assert described == ["the first, which goes on", "the second"]


def test_a_docstring_of_numpy_describes_the_parameters() -> None:
    tool = tool_of(in_numpy, "tools.py")

    assert tool.description == "Do it.\n\nAt once."
    assert {name: each["description"] for name, each in tool.parameters["properties"].items()} == {
        "a": "Two numbers, which go on.",
        "b": "Two numbers, which go on.",
        "c": "A text. It may be empty.",
        "d": "The last.",
    }


def unhinted(a) -> None: ...  # type: ignore[no-untyped-def]
def of_a_pair(a: tuple[int, str]) -> None: ...
def of_lists_in_a_set(a: set[list[int]]) -> None: ...
def of_tables_in_a_set(a: frozenset[Place]) -> None: ...
def of_itself(a: Node) -> None: ...
def of_a_list_of_a_type(a: [int]) -> None: ...  # type: ignore[valid-type]
def of_lists_of_a_list_of_a_type(a: list[[int]]) -> None: ...  # type: ignore[valid-type]
def of_no_type_at_all(a: dict[str, []]) -> None: ...  # type: ignore[valid-type]
def of_an_empty_dict(a: {}) -> None: ...  # type: ignore[valid-type]
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
        (of_a_pair, "the parameter a has the type tuple[int, str], of which no schema can be made"),
        (of_lists_in_a_set, "the type set[list[int]], whose items no set can hold"),
        (of_tables_in_a_set, "whose items no set can hold"),
        (of_itself, "the type of the parameter a holds itself, so that no schema can be made of it"),
        (of_a_list_of_a_type, "of which no schema can be made"),
        (of_lists_of_a_list_of_a_type, "of which no schema can be made"),
        (of_no_type_at_all, "has the type [], of which no schema can be made"),
        (of_an_empty_dict, "has the type {}, of which no schema can be made"),
        (max, "its parameters cannot be read"),
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


class Adder:
    """Add to a number."""

    def __init__(self, to: int) -> None:
        self.to = to

    def __call__(self, a: int) -> int:
        return self.to + a


@functools.lru_cache
def kept(a: int) -> int:
    """Keep."""
    return a


@pytest.mark.parametrize(
    ("function", "description", "given", "result"),
    [
        (Adder(1), "Add to a number.", {"a": 2}, "3"),
        (functools.partial(in_numpy, 1, 2), "Do it.\n\nAt once.", {"c": "x"}, ""),
        (functools.partial(Adder(1), a=3), "Add to a number.", {}, "4"),
        (kept, "Keep.", {"a": 2}, "2"),
    ],
)
def test_whatever_can_be_called_is_a_tool_under_the_name_that_it_is_given(
    function: Callable[..., Any], description: str, given: dict[str, Any], result: str
) -> None:
    tool = tool_of(function, "tools.py", "it")

    assert (tool.name, tool.description) == ("it", description)
    assert schema_problem(tool.parameters) is None
    assert call(function, given) == result


def told(a: Any = None, n: int = 0, x: float = 0, color: Color | None = None, places: list[Place] | None = None,
         colors: dict[str, Color] | None = None, either: int | float | str = 0,
         maybe: int | None = None, lists: list[Color] | list[int] | None = None,
         tables: dict[str, Color] | dict[str, int] | None = None, box: Box | None = None, point: Point | None = None,
         row: tuple[int, ...] = (), some: set[int] | None = None, more: Sequence[Color] = (),
         record: Place | Box | None = None, word: list[Literal["x"]] | list[Color] | None = None) -> str:  # fmt: skip
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
        ({"maybe": 2.0}, {"maybe": 2}),
        ({"lists": [1, 2.0]}, {"lists": [1, 2]}),
        ({"lists": ["red"]}, {"lists": [Color.RED]}),
        ({"tables": {"x": 1.0}}, {"tables": {"x": 1}}),
        ({"tables": {"x": "red"}}, {"tables": {"x": Color.RED}}),
        ({"box": {"width": 2.0, "color": "blue"}}, {"box": Box(2, Color.BLUE)}),
        ({"point": {"x": 1}}, {"point": Point(1.0)}),
        ({"row": [1.0, 2]}, {"row": (1, 2)}),
        ({"some": [1, 2.0]}, {"some": {1, 2}}),
        ({"more": ["red"]}, {"more": [Color.RED]}),
        ({"record": {"width": 1}}, {"record": Box(1)}),
        ({"record": {"city": "Oslo"}}, {"record": {"city": "Oslo"}}),
        ({"word": ["red"]}, {"word": [Color.RED]}),
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
        (Box(1, tags=["x"]), '{"width": 1, "color": "red", "tags": ["x"], "area": 0}'),
        ({"all": {3, 1, 2}}, '{"all": [1, 2, 3]}'),
        (frozenset({"x"}), '["x"]'),
        ([date(2026, 1, 2), Path("/x")], '["2026-01-02", "/x"]'),
    ],
)
def test_what_a_function_returns_becomes_text(value: Any, text: str) -> None:
    assert call(lambda: value, {}) == text
    assert not isinstance(value, dict) or json.loads(text)


def counted() -> Iterator[int]:
    yield 1


async def promised() -> int:
    return 1


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (counted, "a value of the type generator"),
        (lambda: promised(), "a value of the type coroutine"),
        (lambda: [object()], "a value of the type object"),
        (lambda: b"bytes", "a value of the type bytes"),
        (lambda: {"x": math.nan}, "not JSON compliant"),
        (lambda: math.inf, "not JSON compliant"),
        (lambda: {(1, 2): 3}, "keys must be"),
    ],
)
def test_what_json_cannot_say_is_a_call_that_failed(function: Callable[[], Any], says: str) -> None:
    with pytest.raises(ToolFailed) as caught:
        call(function, {})

    assert "it returned what JSON cannot say: " in str(caught.value)
    assert says in str(caught.value)
