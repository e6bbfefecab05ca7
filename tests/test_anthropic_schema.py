"""The Messages API and answers that have a schema: by the API's own format, and where that cannot say it by a tool."""

import json
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from llmcli.answer import Call, Fold, answer
from llmcli.errors import RequestRejected
from llmcli.providers.messages_schema import constrained
from llmcli.retry import RetryPolicy
from llmcli.transport import Transport
from llmcli.types import (
    ChatRequest,
    Event,
    Finish,
    Json,
    Message,
    Schema,
    Text,
    TextDelta,
    Thinking,
    Tool,
    ToolCall,
    ToolCallDelta,
    Usage,
    message,
)
from tests.conftest import LLAMA_KEY
from tests.llama_server import LlamaServer
from tests.messages_api import BEGUN, HELLO, block, body, provider, read, request, sse, start, stop, text_block, whole
from tests.servers import Connection, Server
from tests.servers import whole as answered

CITY: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "size": {"type": "integer"}},
    "required": ["name"],
}
NAMED = Schema("city", CITY)
CLOSED = {**CITY, "additionalProperties": False}
ANY_NAMES = Schema("sizes", {"type": "object", "additionalProperties": {"type": "integer"}})
CITIES = Schema("cities", {"type": "array", "items": {"$ref": "#/$defs/city"}, "contains": {}, "$defs": {"city": CITY}})
NOW = Tool("now")


# --- the API's own format -------------------------------------------------------------------------


def test_a_schema_is_sent_in_the_form_that_the_format_takes() -> None:
    assert body(schema=NAMED)["output_config"] == {"format": {"type": "json_schema", "schema": CLOSED}}
    assert "tools" not in body(schema=NAMED)


def test_a_schema_stands_beside_an_effort_and_tools() -> None:
    sent = json.loads(
        provider().chat_request(
            request(schema=NAMED, thinking="low", tools=(NOW,))._replace(model="claude-opus-5"), stream=False
        ).body
        or b""
    )  # fmt: skip
    assert sent["output_config"] == {"effort": "low", "format": {"type": "json_schema", "schema": CLOSED}}
    assert [tool["name"] for tool in sent["tools"]] == ["now"]


def test_an_option_of_the_output_does_not_put_the_schema_out() -> None:
    sent = body(schema=NAMED, options={"output_config": {"effort": "max"}})
    assert sent["output_config"] == {"effort": "max", "format": {"type": "json_schema", "schema": CLOSED}}


def test_another_server_is_told_the_schema_in_words_too() -> None:
    """llama.cpp passes `output_config` over without a word."""
    sent = json.loads(
        provider("http://127.0.0.1:1").chat_request(request(message("system", "Be brief."), *HELLO, schema=NAMED),
                                                    stream=False).body or b""
    )  # fmt: skip
    assert sent["output_config"]["format"]["schema"] == CLOSED
    assert sent["system"].startswith("Be brief.\n\nAnswer with JSON alone")
    assert json.dumps(CITY) in sent["system"]
    assert "system" not in body(schema=NAMED)


@pytest.mark.parametrize(
    ("schema", "form"),
    [
        ({"type": "string"}, {"type": "string"}),
        (CITY, CLOSED),
        (CLOSED, CLOSED),
        ({"type": "object", "additionalProperties": False}, {"type": "object", "additionalProperties": False}),
        ({"type": ["object", "null"], "properties": {"type": {"type": "null"}}},
         {"type": ["object", "null"], "properties": {"type": {"type": "null"}}, "additionalProperties": False}),
        ({"type": "array", "items": CITY, "minItems": 1}, {"type": "array", "items": CLOSED, "minItems": 1}),
        ({"anyOf": [CITY, {"type": "null"}]}, {"anyOf": [CLOSED, {"type": "null"}]}),
        ({"oneOf": [CITY, {"const": 1}]}, {"anyOf": [CLOSED, {"const": 1}]}),
        ({"$ref": "#/$defs/a", "$defs": {"a": CITY}}, {"$ref": "#/$defs/a", "$defs": {"a": CLOSED}}),
        ({"type": "string", "format": "date", "$schema": "x", "examples": ["y"]}, {"type": "string", "format": "date"}),
        ({"enum": ["a", None], "title": "T", "default": "a"}, {"enum": ["a", None], "title": "T", "default": "a"}),
    ],
)  # fmt: skip
def test_a_schema_loses_nothing_that_the_format_can_say(schema: Any, form: dict[str, Json]) -> None:
    assert constrained(schema) == form


@pytest.mark.parametrize(
    ("schema", "form"),
    [
        ({"type": "integer", "minimum": 0, "maximum": 9},
         {"type": "integer", "description": "(maximum: 9, minimum: 0)"}),
        ({"type": "string", "minLength": 2, "description": "A word"},
         {"type": "string", "description": "A word (minLength: 2)"}),
        ({"type": "array", "items": {"type": "null"}, "minItems": 2},
         {"type": "array", "items": {"type": "null"}, "description": "(minItems: 2)"}),
        ({"type": "string", "format": "iban"}, {"type": "string", "description": '(format: "iban")'}),
    ],
)  # fmt: skip
def test_what_the_format_has_no_place_for_is_said_in_words(schema: Any, form: dict[str, Json]) -> None:
    """agentjido/req_llm#302: `For 'integer' type, property 'minimum' is not supported`."""
    assert constrained(schema) == form


@pytest.mark.parametrize(
    "schema",
    [
        {},
        True,
        {"type": "object"},
        {"type": "object", "properties": {}},
        ANY_NAMES.document,
        {"type": "object", "properties": {"a": {"type": "null"}}, "additionalProperties": True},
        {"type": "object", "properties": {"a": {}}},
        {"type": "object", "properties": {"type": {}}},
        {"type": "object", "properties": {"a": {"type": "null"}}, "patternProperties": {"b": True}},
        {"type": "array", "items": {"type": "object"}},
        {"type": "array", "prefixItems": [{"type": "null"}]},
        {"anyOf": [{"type": "null"}, {}]},
        {"anyOf": [{"type": "null"}], "oneOf": [{"type": "null"}]},
        {"enum": [{"a": 1}]},
        {"type": "string", "not": {"const": "a"}},
    ],
)
def test_a_schema_that_the_format_cannot_say_is_not_forced_into_it(schema: Any) -> None:
    assert constrained(schema) is None


# --- by a tool ------------------------------------------------------------------------------------


def test_where_the_format_cannot_say_it_a_tool_takes_the_answer() -> None:
    sent = body(schema=ANY_NAMES)
    (tool,) = sent["tools"]
    assert (tool["name"], tool["input_schema"]) == ("sizes", ANY_NAMES.document)
    assert sent["tool_choice"] == {"type": "tool", "name": "sizes"}
    assert "output_config" not in sent
    assert "system" not in sent


def test_an_answer_that_is_no_object_is_wrapped_in_one() -> None:
    (tool,) = body(schema=CITIES)["tools"]
    assert tool["input_schema"] == {
        "type": "object",
        "properties": {"answer": {"type": "array", "items": {"$ref": "#/$defs/city"}, "contains": {}}},
        "required": ["answer"],
        "$defs": {"city": CITY},
    }


def test_any_object_may_be_asked_for() -> None:
    assert body(schema=Schema("any", {}))["tools"][0]["input_schema"] == {"type": "object"}


def test_the_tool_does_not_take_the_name_of_another() -> None:
    sent = body(schema=ANY_NAMES, tools=(Tool("sizes"), Tool("sizes_")))
    assert [tool["name"] for tool in sent["tools"]] == ["sizes", "sizes_", "sizes__"]


@pytest.mark.parametrize(
    ("said", "tools", "choice"),
    [
        ({}, ["now", "sizes"], {"type": "any"}),
        ({"tool_choice": "auto"}, ["now", "sizes"], {"type": "any"}),
        ({"tool_choice": "required"}, ["now", "sizes"], {"type": "any"}),
        ({"tool_choice": "now"}, ["now", "sizes"], {"type": "tool", "name": "now"}),
        ({"tool_choice": "none"}, ["sizes"], {"type": "tool", "name": "sizes"}),
        # `Thinking may not be enabled when tool_choice forces tool use.`
        ({"thinking": 2000}, ["now", "sizes"], None),
        ({"thinking": 2000, "tool_choice": "auto"}, ["now", "sizes"], {"type": "auto"}),
        ({"thinking": 2000, "tool_choice": "none"}, ["sizes"], None),
        ({"thinking": "off"}, ["now", "sizes"], {"type": "any"}),
    ],
)
def test_to_answer_is_to_call_that_tool_or_another_one_before(
    said: dict[str, Any], tools: list[str], choice: dict[str, Json] | None
) -> None:
    sent = body(schema=ANY_NAMES, tools=(NOW,), **said)
    assert [tool["name"] for tool in sent["tools"]] == tools
    assert sent.get("tool_choice") == choice


def test_who_may_not_be_forced_is_asked() -> None:
    sent = body(message("system", "Be brief."), *HELLO, schema=ANY_NAMES, thinking=2000)
    assert sent["system"] == "Be brief.\n\nGive the answer by calling the tool sizes, and in no other way."


ASKED = request(schema=ANY_NAMES)


def called(index: int, name: str, *fragments: str) -> list[dict[str, Any]]:
    """A block that calls a tool."""
    content = {"type": "tool_use", "id": f"toolu_{index}", "name": name, "input": {}}
    return block(index, content, *({"type": "input_json_delta", "partial_json": piece} for piece in fragments))


def heard(events: list[Event]) -> list[Event]:
    """The events without the facts around them."""
    return [event for event in events if event not in BEGUN and not isinstance(event, Usage)]


def test_what_the_tool_is_called_with_is_the_answer() -> None:
    stream = sse(start(), *called(0, "sizes", '{"Ulm": 1', ', "Zürich":2}'), *stop("tool_use"))
    assert heard(read(stream, ASKED)) == [TextDelta('{"Ulm": 1, "Zürich":2}'), Finish("stop", "tool_use")]


def test_a_wrapped_answer_is_unwrapped() -> None:
    stream = sse(start(), *called(0, "cities", '{"answer": [{"name":', ' "Zürich"}]}'), *stop("tool_use"))
    assert heard(read(stream, request(schema=CITIES)))[0] == TextDelta('[{"name": "Zürich"}]')


def test_an_answer_that_came_whole_is_read_like_a_stream() -> None:
    document = {
        "model": "claude-haiku-4-5",
        "id": "msg_1",
        "content": [
            {"type": "text", "text": "Here it is."},
            {"type": "tool_use", "id": "toolu_1", "name": "sizes", "input": {"Zürich": 2}},
        ],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 9, "output_tokens": 1},
    }
    assert heard(whole(document, ASKED)) == [TextDelta('{"Zürich": 2}'), Finish("stop", "tool_use")]


def test_nothing_stands_beside_the_answer() -> None:
    stream = sse(
        start(), *text_block(0, "Here ", "it is."), *called(1, "sizes", '{"a":1}'), *text_block(2, "Bye."),
        *called(3, "sizes", '{"b":2}'), *stop("tool_use")
    )  # fmt: skip
    assert heard(read(stream, ASKED)) == [TextDelta('{"a":1}'), Finish("stop", "tool_use")]


def test_who_did_not_call_the_tool_has_answered_all_the_same() -> None:
    stream = sse(start(), *text_block(0, '{"a"', ":1}"), *stop())
    assert heard(read(stream, ASKED)) == [TextDelta('{"a":1}'), Finish("stop", "end_turn")]


def test_a_tool_of_the_users_is_called_as_ever() -> None:
    stream = sse(start(), *text_block(0, "I look."), *called(1, "now", "{}"), *stop("tool_use"))
    assert heard(read(stream, ASKED._replace(tools=(NOW,)))) == [
        TextDelta("I look."),
        ToolCallDelta("now", "{}"),
        ToolCall("toolu_1", "now", "{}"),
        Finish("tool_calls", "tool_use"),
    ]


def test_who_answers_and_calls_a_tool_of_the_users_has_not_ended() -> None:
    stream = sse(start(), *called(0, "sizes", '{"a":1}'), *called(1, "now", "{}"), *stop("tool_use"))
    assert read(stream, ASKED._replace(tools=(NOW,)))[-2:] == [Usage(9, 31, 40), Finish("tool_calls", "tool_use")]


def test_an_answer_that_was_cut_is_told_as_it_is() -> None:
    stream = sse(start(), *called(0, "sizes", '{"a":'), *stop("max_tokens"))
    assert heard(read(stream, ASKED)) == [TextDelta('{"a":'), Finish("length", "max_tokens")]
    stream = sse(start(), *called(0, "cities", '{"answer":'), *stop("max_tokens"))
    assert heard(read(stream, request(schema=CITIES)))[0] == TextDelta('{"answer":')


# --- what a model refuses, in the words of the service --------------------------------------------

REFUSALS = {
    "format": "output_config.format: structured outputs are not supported for this model",
    "unknown": "output_config: Extra inputs are not permitted",
    "complex": "output_config.format.schema: Schema is too complex",
    "forced": "tool_choice forces tool use is not compatible with this model.",
    "5.5": 'tool_choice: type "tool" and "any" are not supported for this model',
    "else": "messages: text content blocks must be non-empty",
}


def refusing(*refusals: str) -> tuple[Callable[[Connection], None], list[dict[str, Any]]]:
    """A service that refuses a request for each of these reasons in turn, and then answers by the tool if it can."""
    left, asked = list(refusals), list[dict[str, Any]]()

    def script(connection: Connection) -> None:
        asked.append(connection.request.json)
        if left:
            error = {"type": "invalid_request_error", "message": REFUSALS[left.pop(0)]}
            connection.send(answered(400, {"type": "error", "error": error}))
            return
        events = called(0, "city", '{"name":"Ulm"}') if "tools" in asked[-1] else text_block(0, '{"name":"Ulm"}')
        connection.send(answered(200, sse(start(), *events, *stop()), "text/event-stream"))

    return script, asked


def ask(url: str, asked: ChatRequest, *, key: str | None = None, stream: bool = True) -> Message:
    """What is answered."""
    fold = Fold("anthropic", "m", keep=True)
    call = Call(Transport(env={}), key=key, retry=RetryPolicy(retries=0), stream=stream)
    list(fold.watch(answer(provider(url), asked, call)))
    assert fold.reply().finish.reason == "stop"
    return fold.reply().message


@pytest.mark.parametrize(
    ("refusals", "last"),
    [
        ([], "format"),
        (["format"], "forced"),
        (["unknown"], "forced"),
        (["complex"], "forced"),
        (["format", "forced"], "asked"),
        (["unknown", "5.5"], "asked"),
    ],
)
def test_a_model_that_cannot_is_asked_in_another_way(refusals: list[str], last: str) -> None:
    script, asked = refusing(*refusals)
    with closing(Server(script)) as server:
        assert ask(server.url, request(schema=NAMED)) == message("assistant", '{"name":"Ulm"}')
    ways = ["format" if "output_config" in each else "forced" if "tool_choice" in each else "asked" for each in asked]
    assert ways == ["format", "forced", "asked"][: len(refusals) + 1]
    assert ways[-1] == last


@pytest.mark.parametrize(("refusals", "said"), [(["else"], {}), (["format", "forced"], {"tool_choice": "now"})])
def test_what_the_user_chose_is_not_changed(refusals: list[str], said: dict[str, Any]) -> None:
    script, asked = refusing(*refusals)
    with closing(Server(script)) as server, pytest.raises(RequestRejected):
        ask(server.url, request(schema=NAMED, tools=(NOW,), **said))
    assert len(asked) == len(refusals)


# --- a real server --------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
def test_a_real_server_answers_by_the_tool(reciting: Callable[[str], LlamaServer], stream: bool) -> None:
    server = reciting('<tool_call>\n{"name": "sizes", "arguments": {"Ulm": 1}}\n</tool_call>')
    asked = request(schema=ANY_NAMES)._replace(model="tiny")
    assert ask(server.url, asked, key=LLAMA_KEY, stream=stream) == message("assistant", '{"Ulm": 1}')


def test_a_real_server_answers_by_the_format(reciting: Callable[[str], LlamaServer]) -> None:
    asked = request(schema=NAMED)._replace(model="tiny")
    answer = ask(reciting('{"name": "Ulm"}').url, asked, key=LLAMA_KEY)
    assert answer == message("assistant", '{"name": "Ulm"}')


def test_a_real_server_thinks_before_it_answers_by_the_tool(reciting: Callable[[str], LlamaServer]) -> None:
    text = '<think>\nOne.\n</think>\n\n<tool_call>\n{"name": "sizes", "arguments": {"Ulm": 1}}\n</tool_call>'
    asked = request(schema=ANY_NAMES, thinking="low")._replace(model="tiny")
    thought, said = ask(reciting(text).url, asked, key=LLAMA_KEY).parts
    assert isinstance(thought, Thinking)
    assert (thought.text.strip(), said) == ("One.", Text('{"Ulm": 1}'))
