"""Tools and their results, images, the form of the answer and how much to think, in both versions of the API."""

import json
from typing import Any

import pytest
from llmcli.errors import RequestRejected, UsageError
from llmcli.types import (
    Attachment,
    ChatRequest,
    Message,
    ProviderConfig,
    Schema,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    message,
)

from llmcli_cohere import Cohere

WEATHER = Tool(
    "wx",
    "The weather.",
    {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "Where."},
            "days": {"type": ["integer", "null"]},
            "units": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["city"],
    },
)
NOW = Tool("now")
CITY = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
CALLS = (ToolCall("c1", "wx", '{"city":"Oslo"}'), ToolCall("c2", "now"))
ASKED = (message("user", "hello"), Message("assistant", (Thinking("I look.", {"cohere": "tool_plan"}), *CALLS)))


def provider(api: str = "v2") -> Cohere:
    return Cohere(ProviderConfig("cohere", own={"api": api}))


def request(*messages: Message, **said: Any) -> ChatRequest:
    return ChatRequest("command-a-03-2025", messages or (message("user", "hello"),), **said)


def sent(asked: ChatRequest, api: str = "v2") -> dict[str, Any]:
    adapter = provider(api)
    adapter.check(asked)
    document: dict[str, Any] = json.loads(adapter.chat_request(asked, stream=True).body or b"")
    return document


# --- tools ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("api", ["v2", "v1"])
def test_a_tool_whose_name_cohere_does_not_take_has_another_there(api: str) -> None:
    """Letters, digits and `_`, no digit first. The user sees the name that is his."""
    asked = request(*ASKED[:1], tools=(Tool("roll-dice"), Tool("roll_dice"), Tool("2nd")))
    tools = sent(asked, api)["tools"]
    assert [tool["function"]["name"] if api == "v2" else tool["name"] for tool in tools] == [
        "roll_dice_", "roll_dice", "_2nd",
    ]  # fmt: skip
    call = {"name": "roll_dice_", "arguments": "{}"} if api == "v2" else {"name": "roll_dice_", "parameters": {}}
    whole = {"message": {"tool_calls": [{"id": "c", "function": call}]}} if api == "v2" else {"tool_calls": [call]}
    reader = provider(api).reader(asked)
    (made,) = (event for event in reader.body(json.dumps(whole).encode()) if isinstance(event, ToolCall))
    assert (made.name, reader.complete) == ("roll-dice", True)
    turns = (*ASKED[:1], Message("assistant", (made,)), Message("tool", (ToolResult(made.id, made.name, "6"),)))
    assert "roll-dice" not in json.dumps(sent(asked._replace(messages=turns), api))


def test_tools_are_told_in_the_form_of_openai() -> None:
    body = sent(request(tools=(WEATHER, NOW)))
    function = {"name": "wx", "description": "The weather.", "parameters": dict(WEATHER.parameters)}
    assert body["tools"] == [
        {"type": "function", "function": function},
        {"type": "function", "function": {"name": "now", "parameters": dict(NOW.parameters)}},
    ]
    assert "tool_choice" not in body


@pytest.mark.parametrize(("choice", "said"), [("auto", None), ("none", "NONE"), ("required", "REQUIRED")])
def test_which_tool_is_to_be_called_is_said_in_coheres_words(choice: str, said: str | None) -> None:
    body = sent(request(tools=(WEATHER, NOW), tool_choice=choice))
    assert (body.get("tool_choice"), len(body["tools"])) == (said, 2)


def test_a_certain_tool_is_asked_for_by_offering_no_other() -> None:
    body = sent(request(tools=(WEATHER, NOW), tool_choice="now"))
    assert body["tool_choice"] == "REQUIRED"
    assert [tool["function"]["name"] for tool in body["tools"]] == ["now"]


def test_results_follow_their_calls_each_in_a_message_of_its_own() -> None:
    results = Message("tool", (ToolResult("c2", "now", "no clock", failed=True), ToolResult("c1", "wx", "rain")))
    assert sent(request(*ASKED, results, message("user", "And?"), tools=(WEATHER, NOW)))["messages"][1:] == [
        {
            "role": "assistant",
            "tool_plan": "I look.",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "wx", "arguments": '{"city":"Oslo"}'}},
                {"id": "c2", "type": "function", "function": {"name": "now", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
        {"role": "tool", "tool_call_id": "c2", "content": '{"error": "no clock"}'},
        {"role": "user", "content": "And?"},
    ]


@pytest.mark.parametrize("written", ['{"city": "Os', "[1]", ""])
def test_arguments_that_are_no_object_do_not_end_the_conversation(written: str) -> None:
    called = Message("assistant", (ToolCall("c1", "wx", written, valid=False),))
    result = Message("tool", (ToolResult("c1", "wx", "these are no arguments", failed=True),))
    (call,) = sent(request(message("user", "hello"), called, result))["messages"][1]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"INVALID_JSON": written}


def test_a_call_that_was_not_made_has_a_result_all_the_same() -> None:
    messages = sent(request(*ASKED, message("system", "Be brief."), message("user", "never mind")))["messages"]
    assert [each["role"] for each in messages[2:]] == ["system", "tool", "tool", "user"]
    assert "no result was given" in messages[3]["content"]


def test_two_calls_of_one_id_have_each_their_own_result() -> None:
    calls = (ToolCall("x", "wx", '{"city":"Oslo"}'), ToolCall("x", "wx", '{"city":"Bern"}'))
    results = (ToolResult("x", "wx", "rain"), ToolResult("x", "wx", "sun"))
    talk = (message("user", "hello"), Message("assistant", calls), Message("tool", results))
    _, assistant, *told = sent(request(*talk))["messages"]
    assert [each["content"] for each in told] == ["rain", "sun"]
    assert [each["tool_call_id"] for each in told] == [call["id"] for call in assistant["tool_calls"]]


def test_ids_that_another_provider_gave_twice_are_told_apart() -> None:
    talk = [message("user", "hello")]
    for said in ("rain", "sun"):
        talk.append(Message("assistant", (ToolCall("call_1", "wx", '{"city":"Oslo"}'),)))
        talk.append(Message("tool", (ToolResult("call_1", "wx", said),)))
    _, first, rain, second, sun = sent(request(*talk))["messages"]
    assert first["tool_calls"][0]["id"] == rain["tool_call_id"] == "call_1"
    assert second["tool_calls"][0]["id"] == sun["tool_call_id"] != "call_1"
    assert (rain["content"], sun["content"]) == ("rain", "sun")


def test_version_1_defines_parameters_by_pythons_types() -> None:
    definition = sent(request(tools=(WEATHER,)), "v1")["tools"][0]
    assert definition == {
        "name": "wx",
        "description": "The weather.",
        "parameter_definitions": {
            "city": {"type": "str", "required": True, "description": "Where."},
            "days": {"type": "int", "required": False},
            "units": {"type": "list", "required": False, "description": '{"items": {"type": "string"}}'},
        },
    }


def test_version_1_takes_results_in_place_of_a_message() -> None:
    results = Message("tool", (ToolResult("c1", "wx", "rain"), ToolResult("c2", "now", "no clock", failed=True)))
    made = [{"name": "wx", "parameters": {"city": "Oslo"}}, {"name": "now", "parameters": {}}]
    body = sent(request(*ASKED, results, tools=(WEATHER,)), "v1")
    told = [
        {"call": made[0], "outputs": [{"output": "rain"}]},
        {"call": made[1], "outputs": [{"error": "no clock"}]},
    ]
    assert (body["message"], body["tool_results"]) == ("", told)
    assert body["chat_history"][1] == {"role": "CHATBOT", "message": "I look.", "tool_calls": made}

    later = sent(request(*ASKED, results, message("assistant", "Rain."), message("user", "And?")), "v1")
    assert "tool_results" not in later
    assert later["chat_history"][2:] == [
        {"role": "TOOL", "tool_results": told},
        {"role": "CHATBOT", "message": "Rain."},
    ]


def test_version_1_has_a_result_for_a_call_that_was_not_made() -> None:
    body = sent(request(*ASKED, message("user", "never mind")), "v1")
    assert body["message"] == "never mind"
    assert [len(turn.get("tool_results", ())) for turn in body["chat_history"]] == [0, 0, 2]


def test_what_version_1_has_no_field_for_is_refused() -> None:
    for said in ({"tools": (NOW,), "tool_choice": "required"}, {"thinking": "low"}):
        with pytest.raises(RequestRejected, match="version 1"):
            provider("v1").check(request(**said))
    image = Message("user", (Attachment("image/png", b"x"),))
    with pytest.raises(RequestRejected, match="takes no attachments"):
        provider("v1").check(request(image))
    assert "tools" not in sent(request(tools=(NOW,), tool_choice="none"), "v1")


# --- images ---------------------------------------------------------------------------------------


def test_images_stand_in_their_place_beside_the_text() -> None:
    parts = (
        Text("Which of"),
        Attachment("image/png", b"\x89PNG"),
        Attachment("image/webp", url="https://example.com/a.webp"),
    )
    assert sent(request(Message("user", parts)))["messages"][0]["content"] == [
        {"type": "text", "text": "Which of"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.webp"}},
    ]


# --- schemas --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("api", "key"), [("v2", "json_schema"), ("v1", "schema")])
def test_the_form_of_an_answer_is_a_field_of_the_request(api: str, key: str) -> None:
    body = sent(request(schema=Schema("city", CITY)), api)
    assert body["response_format"] == {"type": "json_object", key: CITY}
    assert "Answer with" not in json.dumps(body)


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (
            {**CITY, "additionalProperties": False, "$schema": "x", "$defs": {"a": {"type": "integer", "minimum": 1}}},
            {**CITY, "$defs": {"a": {"type": "integer"}}},
        ),
        (
            {**CITY, "properties": {"name": {"type": "string", "format": "email", "pattern": "^a"}}},
            {**CITY, "properties": {"name": {"type": "string"}}},
        ),
        (
            {**CITY, "properties": {"name": {"type": "string", "format": "date", "pattern": "a+"}}},
            {**CITY, "properties": {"name": {"type": "string", "format": "date", "pattern": "a+"}}},
        ),
        (
            {**CITY, "properties": {"name": {"type": "array", "items": {"enum": ["a"]}, "minItems": 1}}},
            {**CITY, "properties": {"name": {"type": "array", "items": {"enum": ["a"]}}}},
        ),
    ],
)
def test_of_a_schema_goes_what_cohere_knows(document: dict[str, Any], told: dict[str, Any]) -> None:
    assert sent(request(schema=Schema("x", document)))["response_format"]["json_schema"] == told


@pytest.mark.parametrize(
    "properties",
    [
        {"name": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
        {"name": {"type": "object", "properties": {}}},
        {"name": {"type": "array", "items": {"not": {}}}},
        {"name": True},
    ],
)
def test_a_schema_that_cohere_cannot_be_told_is_asked_for_in_words(properties: dict[str, Any]) -> None:
    document = {**CITY, "properties": properties}
    body = sent(request(message("system", "Be brief."), message("user", "hi"), schema=Schema("x", document)))
    assert body["response_format"] == {"type": "json_object"}
    assert [each["role"] for each in body["messages"]] == ["system", "system", "user"]
    assert json.dumps(document) in body["messages"][1]["content"]


def test_what_is_no_object_and_what_stands_beside_tools_is_asked_for_in_words_alone() -> None:
    for said in ({"schema": Schema("x", {"type": "array"})}, {"schema": Schema("x", CITY), "tools": (NOW,)}):
        body = sent(request(**said))
        assert "response_format" not in body
        assert "JSON schema" in body["messages"][0]["content"]


def test_any_object_is_asked_for_by_the_mode_and_in_words() -> None:
    body = sent(request(schema=Schema("any", {})), "v1")
    assert body["response_format"] == {"type": "json_object"}
    assert body["preamble"] == "Answer with nothing but one JSON object."


def test_a_form_that_a_model_refuses_is_asked_for_in_words_once() -> None:
    adapter, asked = provider(), request(schema=Schema("city", CITY))
    complaint = RequestRejected("invalid request: response_format is not supported by this model")
    again = adapter.adapt(asked, complaint)
    assert again is not None
    body = sent(again)
    assert "response_format" not in body
    assert json.dumps(CITY) in body["messages"][0]["content"]
    assert adapter.adapt(again, complaint) is None
    assert adapter.adapt(request(), complaint) is None
    assert adapter.adapt(asked, RequestRejected("invalid request: temperature")) is None


# --- thinking -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("off", {"type": "disabled"}),
        (0, {"type": "disabled"}),
        ("low", {"type": "enabled", "token_budget": 1024}),
        ("high", {"type": "enabled", "token_budget": 24576}),
        (500, {"type": "enabled", "token_budget": 500}),
    ],
)
def test_how_much_to_think_is_a_budget(asked: str | int, said: dict[str, Any]) -> None:
    assert sent(request(thinking=asked))["thinking"] == said


def test_a_model_that_never_thinks_is_not_told_so_again() -> None:
    adapter, refused = provider(), RequestRejected("invalid request: thinking is not supported by this model")
    again = adapter.adapt(request(thinking="off"), refused)
    assert again is not None
    assert "thinking" not in sent(again)
    assert adapter.adapt(again, refused) is None
    assert adapter.adapt(request(thinking="high"), refused) is None
    assert adapter.adapt(request(thinking="off"), RequestRejected("invalid request")) is None


@pytest.mark.parametrize(("asked", "most", "budget"), [("high", 4000, 3000), ("low", 4000, 1024), (500, 1500, 500)])
def test_what_is_thought_leaves_room_for_the_answer(asked: str | int, most: int, budget: int) -> None:
    assert sent(request(thinking=asked, max_tokens=most))["thinking"]["token_budget"] == budget


@pytest.mark.parametrize(("asked", "most"), [("low", 1000), ("high", 500), (501, 1500)])
def test_to_think_without_room_for_the_answer_is_refused(asked: str | int, most: int) -> None:
    with pytest.raises(UsageError, match=f"--max-tokens {most} leaves no room for --thinking {asked}"):
        provider().check(request(thinking=asked, max_tokens=most))
    provider().check(request(thinking="off", max_tokens=most))
