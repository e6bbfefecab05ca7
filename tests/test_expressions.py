"""JMESPath in a configuration: the language, what a request's expression sees, and how mistakes are told."""

import json
from typing import Any

import jmespath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcli.errors import ConfigurationError, ProviderFailed
from llmcli.expressions import ROOTS, Expression, described, scope
from llmcli.types import ChatRequest, Message, Schema, Text, Thinking, Tool, ToolCall, ToolResult, message

PLACE = "config.toml: providers.acme.chat.content"


def find(text: str, document: object) -> Any:
    return Expression(text, PLACE).find(document)


def mistake(text: str, roots: tuple[str, ...] | None = None) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        Expression(text, PLACE, roots=roots)
    return caught.value


# --- the language ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "document", "found"),
    [
        ("if(a == 'x', 'yes', 'no')", {"a": "x"}, "yes"),
        ("if(a == 'x', 'yes', 'no')", {"a": "y"}, "no"),
        ("if(a, 'yes')", {}, None),
        ("if(n, 'yes', 'no')", {"n": 0}, "yes"),  # 0 is true in JMESPath
        ("if(n, 'yes', 'no')", {"n": ""}, "no"),
        ("if(n, 'yes', 'no')", {"n": []}, "no"),
        ("if(n, 'yes', 'no')", {"n": {}}, "no"),
        ("if(n, join('', [n]), 'nothing')", {}, "nothing"),  # the branch that is not taken may not even be possible
        ("from_json(a).b", {"a": '{"b": 1}'}, 1),
        ("to_json(a)", {"a": {"b": [1, "é", None]}}, '{"b":[1,"é",null]}'),
        ("turns[].{who: role}", {"turns": [{"role": "user", "content": "hi"}]}, [{"who": "user"}]),
        ("a[-1].b", {"a": [{"b": 1}, {"b": 2}]}, 2),
        ("a[5].b", {"a": []}, None),
        ("@", 7, 7),
        ('"odd name".x', {"odd name": {"x": 1}}, 1),
    ],
)  # fmt: skip
def test_what_an_expression_finds(text: str, document: object, found: object) -> None:
    assert find(text, document) == found


def test_now_ms_is_a_time_in_milliseconds() -> None:
    assert find("now_ms()", {}) > 1_700_000_000_000


def test_an_object_that_the_expression_builds_has_no_nulls() -> None:
    assert find("{a: a, b: b, c: {d: b, e: a}}", {"a": 1}) == {"a": 1, "c": {"e": 1}}


def test_an_object_that_is_only_handed_on_keeps_its_nulls() -> None:
    schema = {"type": ["string", "null"], "default": None}

    assert find("{tool: tool}", {"tool": schema}) == {"tool": schema}


steps = st.lists(st.one_of(st.sampled_from("abc"), st.integers(-2, 2)), min_size=1, max_size=4)
documents = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abc"), inner, max_size=3)),
    max_leaves=12,
)


@given(steps, documents)
def test_a_plain_path_finds_what_jmespath_finds(path: list[str | int], document: object) -> None:
    text = "".join(f".{step}" if isinstance(step, str) else f"[{step}]" for step in path).removeprefix(".")

    assert find(text, document) == jmespath.search(text, document)


PIECES = (
    "a", "a.b", "a[0]", "@", "`0`", "`null`", "'x'", "`[]`", "a == b", "a != 'x'", "a || b", "a && b", "!a", "[a, b]",
    "{x: a}", "a[]", "a[?b]", "length(a || `[]`)", "a | b", "a < b", "not_null(a, b)",
)  # fmt: skip


@given(
    st.lists(st.sampled_from(PIECES), min_size=2, max_size=4),
    st.sampled_from((" || ", " && ", " | ", " == ")),
    documents,
)
def test_whatever_is_put_together_finds_what_jmespath_finds(pieces: list[str], sign: str, document: object) -> None:
    text = sign.join(f"({piece})" for piece in pieces)
    try:
        expected = jmespath.search(text, document)
    except (jmespath.exceptions.JMESPathError, TypeError):
        with pytest.raises(ProviderFailed):
            find(text, document)
    else:
        found = find(text, document)
        assert found == expected or "{x: a}" in text  # of which we drop the nulls


# --- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a.b.", "it ends too early at column 5"),
        ("a..b", "unexpected '.' at column 3: .b"),
        ("a['b", "Unclosed ' delimiter at column 3"),
        ("", "the expression is empty"),
        ("lenght(a)", "unknown function lenght() at column 1"),
        ("{x: a,\n y: foo(b)}", "unknown function foo() at line 2, column 5: foo(b)}"),
        ("length(a, b)", "length() takes 1 argument, not 2, at column 1"),
        ("if(a)", "if() takes 2 to 3 arguments, not 1, at column 1"),
        ("merge()", "merge() takes 1 or more arguments, not 0, at column 1"),
        ("now_ms(a)", "now_ms() takes 0 arguments, not 1, at column 1"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, told: str) -> None:
    error = mistake(text)

    assert error.status == 3
    assert error.message.startswith(f"{PLACE}: {told}")


@pytest.mark.parametrize(
    "text",
    ["mesages[].content", "{a: mesages}", "if(mesages, 'a', 'b')", "mesages[?role == 'user']", "mesages | length(@)",
     "mesages.x", "length(mesages)", "[mesages][]", "!mesages", "turns[:1] || mesages", "mesages[0]", "mesages.*.x"],
)  # fmt: skip
def test_a_name_that_no_request_has_is_a_mistake_with_the_nearest_one(text: str) -> None:
    error = mistake(text, ROOTS)

    assert "unknown name mesages at column" in error.message
    assert error.hint == "did you mean messages?"


@pytest.mark.parametrize(
    "text",
    ["turns[].role", "turns[?content == 'x'].role", "turns[0].anything", "map(&anything, turns)", "vars.anything.more",
     "turns[].{a: anything}", "options.anything", "turns | [0].anything", "sort_by(turns, &content)[0]"],
)  # fmt: skip
def test_names_of_what_was_found_are_not_names_of_the_request(text: str) -> None:
    Expression(text, PLACE, roots=ROOTS)


def test_a_search_that_fails_is_the_providers_fault_or_the_configurations() -> None:
    with pytest.raises(ProviderFailed, match=r"chat\.content cannot be worked out: In function join"):
        find("join('', a)", {"a": [None]})
    with pytest.raises(ConfigurationError, match="cannot be worked out"):
        Expression("join('', a)", PLACE, failing=ConfigurationError).find({"a": [None]})


@pytest.mark.parametrize(
    ("text", "document"),
    [("a < b", {"a": 1, "b": "x"}), ("a[::0]", {"a": [1]}), ("from_json(a)", {"a": "{"}), ("avg(a)", {"a": ["x"]})],
)
def test_whatever_goes_wrong_in_a_search_is_told(text: str, document: object) -> None:
    with pytest.raises(ProviderFailed):
        find(text, document)


def test_a_document_nested_too_deeply_for_the_interpreter_is_told() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]

    with pytest.raises(ProviderFailed, match="too deeply"):
        find("to_json(@)", deep)


# --- what stands where a text was promised --------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "document", "told"),
    [
        ("a.b", {"a": {"c": 1, "d": 2}}, "a.b is null: a is an object with c, d"),
        ("a.b", {}, "a.b is null: the document is an empty object"),
        ("a[0].b", {"a": []}, "a[0].b is null: a is a list of 0"),
        ("a.b", {"a": {"b": 7}}, "a.b is a number: 7"),
        ("a.b", {"a": {"b": ["x"]}}, "a.b is a list of 1"),
        ("a", [1, 2], "a is null: the document is a list of 2"),
        ("a || b", {"b": {"x": 1}}, "a || b is an object with x"),
    ],
)
def test_a_text_that_is_none_is_told_with_the_path_and_what_stands_there(
    text: str, document: object, told: str
) -> None:
    expression = Expression(text, PLACE)
    error = expression.wrong(document, expression.find(document), "a string")

    assert error.message == f"{PLACE} should find a string, but {told}"


def test_a_value_is_described_briefly() -> None:
    assert described({str(n): n for n in range(1000)}).endswith("…")
    assert len(described("x" * 1000)) < 120


# --- what the expression of a request sees --------------------------------------------------------


def test_an_expression_sees_what_was_asked() -> None:
    request = ChatRequest(
        "large",
        (message("system", "Be brief."), message("user", "hi"), message("assistant", "hello"), message("user", "why?")),
        max_tokens=5,
        stop=("END",),
        options={"style": "dry", "tools": [{"type": "function"}]},
    )

    assert scope(request, stream=True, variables={"x": 1}) == {
        "model": "large",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "hello"},
            {"role": "user", "content": "why?"},
        ],
        "turns": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "hello"},
            {"role": "user", "content": "why?"},
        ],
        "system": "Be brief.",
        "prompt": "why?",
        "max_tokens": 5,
        "temperature": None,
        "top_p": None,
        "stop": ["END"],
        "seed": None,
        "stream": True,
        "tools": [{"type": "function"}],
        "tool_choice": None,
        "schema": None,
        "thinking": None,
        "options": {"style": "dry", "tools": [{"type": "function"}]},
        "vars": {"x": 1},
    }


def test_the_names_that_are_documented_are_those_that_there_are() -> None:
    assert tuple(scope(ChatRequest("m", ()), stream=False, variables={})) == ROOTS


def test_a_message_with_calls_and_thinking_has_them_beside_its_text() -> None:
    parts = (Thinking("hm"), Text("wait"), ToolCall("c1", "clock", '{"tz": "UTC"}'))
    seen = scope(ChatRequest("m", (Message("assistant", parts),)), stream=False, variables={})

    assert seen["turns"] == [
        {
            "role": "assistant",
            "content": "wait",
            "thinking": "hm",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "clock", "arguments": '{"tz": "UTC"}'}}
            ],
        }
    ]
    assert json.dumps(seen)


def test_what_a_service_wants_back_is_seen() -> None:
    """Signatures of thinking and of calls, without which some refuse the next round."""
    parts = (Thinking("hm", {"signature": "s1"}), ToolCall("c1", "clock", opaque={"sign": "s2", "id": "x"}))
    seen = scope(ChatRequest("m", (Message("assistant", parts),)), stream=False, variables={})

    (turn,) = Expression("turns[].{thought: thinking, sign: signature, calls: tool_calls[].[id, sign]}", "x").find(seen)
    assert turn == {"thought": "hm", "sign": "s1", "calls": [["c1", "s2"]]}


def test_tools_a_schema_and_thinking_are_seen_as_they_were_asked_for() -> None:
    tools = (Tool("clock", "The time.", {"type": "object", "properties": {"tz": {"type": "string"}}}), Tool("now"))
    request = ChatRequest(
        "m", (), tools=tools, tool_choice="clock", schema=Schema("city", {"type": "object"}), thinking=512
    )
    seen = scope(request, stream=False, variables={})

    first, second = (tool.parameters for tool in tools)
    assert seen["tools"] == [
        {"type": "function", "function": {"name": "clock", "description": "The time.", "parameters": first}},
        {"type": "function", "function": {"name": "now", "parameters": second}},
    ]
    assert (seen["tool_choice"], seen["schema"], seen["thinking"]) == ("clock", {"type": "object"}, 512)
    assert json.dumps(seen)


def test_what_came_of_each_call_is_a_message_of_its_own() -> None:
    results = (ToolResult("c1", "clock", "7:00"), ToolResult("c2", "weather", "no such city", failed=True))
    talk = (Message("tool", results), Message("tool", (ToolResult("c3", "clock", "8:00"), Text("Go on."))))
    seen = scope(ChatRequest("m", talk), stream=False, variables={})

    assert (
        seen["turns"]
        == seen["messages"]
        == [
            {"role": "tool", "content": "7:00", "name": "clock", "tool_call_id": "c1"},
            {"role": "tool", "content": "no such city", "name": "weather", "tool_call_id": "c2", "failed": True},
            {"role": "tool", "content": "8:00", "name": "clock", "tool_call_id": "c3"},
            {"role": "tool", "content": "Go on."},
        ]
    )


def test_the_arguments_of_a_call_can_be_read_whatever_the_model_wrote() -> None:
    calls = (ToolCall("c1", "clock", '{"tz": ', valid=False), ToolCall("c2", "clock", "[1]"))
    seen = scope(ChatRequest("m", (Message("assistant", calls),)), stream=False, variables={})
    found = Expression("messages[].tool_calls[].function.from_json(arguments)", "x").find(seen)

    assert found == [{"arguments": '{"tz": '}, {"arguments": "[1]"}]
