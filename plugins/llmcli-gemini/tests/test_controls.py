"""Tools and their results, attachments, the form of the answer and how much to think, as Gemini is told of them."""

import json
from typing import Any

import pytest
from llmcli.errors import RequestRejected
from llmcli.types import (
    Attachment,
    ChatRequest,
    Message,
    Part,
    ProviderConfig,
    Schema,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    message,
)

from llmcli_gemini import Gemini

WEATHER = Tool("wx", "The weather.", {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]})
NOW = Tool("now")
CITY = Schema("city", {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]})


def provider() -> Gemini:
    return Gemini(ProviderConfig("gemini"))


def request(*messages: Message, model: str = "gemini-3.8-flash", **said: Any) -> ChatRequest:
    return ChatRequest(model, messages or (message("user", "hello"),), **said)


def sent(asked: ChatRequest) -> dict[str, Any]:
    adapter = provider()
    adapter.check(asked)
    document: dict[str, Any] = json.loads(adapter.chat_request(asked, stream=True).body or b"")
    return document


def generation(**said: Any) -> Any:
    return sent(request(**said)).get("generationConfig")


def answered(calls: tuple[Part, ...], *results: Part) -> Any:
    """The turns behind a question, when its calls and their results go back."""
    messages = (message("user", "hello"), Message("assistant", calls), Message("tool", results))
    return sent(request(*messages, model="gemini-2.5-pro", tools=(WEATHER,)))["contents"][1:]


# --- tools ----------------------------------------------------------------------------------------


def test_functions_are_declared_with_their_schemas() -> None:
    body = sent(request(tools=(WEATHER, NOW)))
    declared = {"name": "wx", "description": "The weather.", "parametersJsonSchema": dict(WEATHER.parameters)}
    assert body["tools"] == [{"functionDeclarations": [declared, {"name": "now"}]}]
    assert "toolConfig" not in body


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        ("wx", {"mode": "ANY", "allowedFunctionNames": ["wx"]}),
    ],
)
def test_which_function_is_to_be_called_is_said_in_geminis_words(choice: str, config: dict[str, Any]) -> None:
    assert sent(request(tools=(WEATHER, NOW), tool_choice=choice))["toolConfig"] == {"functionCallingConfig": config}


def test_tools_of_googles_stand_beside_functions() -> None:
    server_side = {"includeServerSideToolInvocations": True}
    options = {"tools": [{"googleSearch": {}}], "toolConfig": server_side}
    body = sent(request(tools=(NOW,), tool_choice="auto", options=options))
    assert body["tools"] == [{"functionDeclarations": [{"name": "now"}]}, {"googleSearch": {}}]
    assert body["toolConfig"] == {"functionCallingConfig": {"mode": "AUTO"}, **server_side}


def test_the_results_of_parallel_calls_are_one_turn_in_the_order_of_the_calls() -> None:
    """lastmile-ai/mcp-agent#281."""
    calls = (ToolCall("c1", "wx", '{"q":"Oslo"}'), ToolCall("c2", "now"))
    turns = answered(calls, ToolResult("c2", "now", "7:00"), ToolResult("c1", "wx", '{"$ref":"#"}'), Text("Well?"))
    assert [turn["role"] for turn in turns] == ["model", "user"]
    assert turns[1]["parts"] == [
        {"functionResponse": {"name": "wx", "response": {"output": '{"$ref":"#"}'}, "id": "c1"}},
        {"functionResponse": {"name": "now", "response": {"output": "7:00"}, "id": "c2"}},
        {"text": "Well?"},
    ]


def test_what_failed_is_told_as_an_error() -> None:
    (part,) = answered((ToolCall("c1", "now"),), ToolResult("c1", "now", "no clock", failed=True))[1]["parts"]
    assert part["functionResponse"]["response"] == {"error": "no clock"}


def test_results_of_calls_without_an_id_of_geminis_have_none() -> None:
    calls = (ToolCall("gemini_call_1", "now"), ToolCall("gemini_call_2", "wx", '{"q":"Oslo"}'))
    turns = answered(calls, ToolResult("gemini_call_1", "now", "7:00"), ToolResult("gemini_call_2", "wx", "rain"))
    assert turns[1]["parts"] == [
        {"functionResponse": {"name": "now", "response": {"output": "7:00"}}},
        {"functionResponse": {"name": "wx", "response": {"output": "rain"}}},
    ]


def test_two_calls_of_one_id_have_each_their_own_result() -> None:
    calls = (ToolCall("x", "wx", '{"q":"Oslo"}'), ToolCall("x", "wx", '{"q":"Bern"}'))
    turns = answered(calls, ToolResult("x", "wx", "rain"), ToolResult("x", "wx", "sun"))
    assert [part["functionResponse"]["response"]["output"] for part in turns[1]["parts"]] == ["rain", "sun"]


def test_each_step_of_a_turn_goes_back_with_its_own_signature() -> None:
    """Gemini 3 refuses a step of the current turn without: BerriAI/litellm#16893."""
    first = ToolCall("c1", "wx", '{"q":"Oslo"}', opaque={"thoughtSignature": "YQ=="})
    second = ToolCall("c2", "now", opaque={"thoughtSignature": "Yg=="})
    talk = (
        message("user", "hello"),
        Message("assistant", (first,)),
        Message("tool", (ToolResult("c1", "wx", "rain"),)),
        Message("assistant", (Text("And now"), second)),
        Message("tool", (ToolResult("c2", "now", "7:00"),)),
    )
    contents = sent(request(*talk, tools=(WEATHER, NOW)))["contents"]
    assert [turn["role"] for turn in contents] == ["user", "model", "user", "model", "user"]
    assert contents[1]["parts"][0]["thoughtSignature"] == "YQ=="
    assert contents[3]["parts"] == [
        {"text": "And now"},
        {"functionCall": {"name": "now", "args": {}, "id": "c2"}, "thoughtSignature": "Yg=="},
    ]


# --- schemas --------------------------------------------------------------------------------------


def test_an_answer_of_a_schema_is_asked_for_by_geminis_own_fields() -> None:
    assert generation(schema=CITY) == {
        "responseMimeType": "application/json",
        "responseJsonSchema": dict(CITY.document),
    }
    assert generation(schema=Schema("any", {})) == {"responseMimeType": "application/json"}


@pytest.mark.parametrize(
    ("document", "told"),
    [
        pytest.param(
            {"$schema": "x", "type": "string", "pattern": "a+", "minLength": 2, "default": "aa", "format": "email"},
            {"type": "string"},
            id="what is refused is left out",
        ),
        pytest.param({"type": "string", "format": "date"}, {"type": "string", "format": "date"}, id="a known format"),
        pytest.param({"const": "x"}, {"enum": ["x"]}, id="a constant"),
        pytest.param({"enum": ["a", True]}, {}, id="values of other kinds"),
        pytest.param(
            {"type": ["string", "null"], "description": "D", "enum": ["a", None]},
            {"description": "D", "anyOf": [{"type": "string", "enum": ["a"]}, {"type": "null"}]},
            id="null among the values",
        ),
        pytest.param(
            {"type": "object", "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
            {"type": "object", "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
            id="alternatives of one type",
        ),
        pytest.param({"oneOf": [{"type": "null"}, True]}, {"anyOf": [{"type": "null"}, {}]}, id="one of several"),
        pytest.param(
            {"type": ["array", "null"], "prefixItems": [{"type": "string"}], "items": {"not": {}}},
            {"type": ["array", "null"], "prefixItems": [{"type": "string"}], "items": {}},
            id="a list",
        ),
        pytest.param(
            {"type": "object", "additionalProperties": {"$ref": "#/$defs/n~1a"}, "$defs": {"n/a": {"type": "number"}}},
            {"type": "object", "additionalProperties": {"type": "number"}},
            id="a reference",
        ),
        pytest.param({"$ref": "other.json#/x", "title": "X"}, {"title": "X"}, id="a reference that leads elsewhere"),
        pytest.param(
            {"allOf": [{"properties": {"a": {}}, "required": ["a"]}, {"properties": {"b": {}}, "required": ["b"]}]},
            {"properties": {"a": {}, "b": {}}, "required": ["a", "b"]},
            id="all of several",
        ),
        pytest.param(
            {
                "$ref": "#/definitions/node",
                "definitions": {
                    "node": {"type": "object", "properties": {"next": {"$ref": "#/definitions/node"}}},
                },
            },
            {"type": "object", "properties": {"next": {"type": "object"}}},
            id="a reference into itself",
        ),
    ],
)
def test_of_a_schema_goes_what_gemini_takes(document: dict[str, Any], told: dict[str, Any]) -> None:
    assert generation(schema=Schema("any", document))["responseJsonSchema"] == told


@pytest.mark.parametrize(
    "complaint",
    [
        "Function calling with a response mime type: 'application/json' is unsupported",
        "JSON mode is not enabled for models/gemma-3-27b-it",
        "Invalid JSON payload received. Unknown name \"responseJsonSchema\" at 'generation_config'",
    ],
)
def test_a_form_that_a_model_has_no_field_for_is_asked_for_in_words_once(complaint: str) -> None:
    adapter, asked = provider(), request(message("system", "Be brief."), message("user", "hi"), schema=CITY)
    again = adapter.adapt(asked, RequestRejected(complaint))
    assert again is not None
    body = sent(again)
    assert "generationConfig" not in body
    first, second = (part["text"] for part in body["systemInstruction"]["parts"])
    assert first == "Be brief."
    assert json.dumps(dict(CITY.document)) in second
    assert adapter.adapt(again, RequestRejected(complaint)) is None
    assert adapter.adapt(request(), RequestRejected(complaint)) is None
    firm = request(schema=CITY._replace(firm=True))
    assert adapter.adapt(firm, RequestRejected(complaint)) is None


# --- thinking -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "asked", "config"),
    [
        ("gemini-3.8-flash", "low", {"includeThoughts": True, "thinkingLevel": "LOW"}),
        ("gemini-flash-latest", "high", {"includeThoughts": True, "thinkingLevel": "HIGH"}),
        ("gemini-3.8-flash", 5000, {"includeThoughts": True, "thinkingLevel": "MEDIUM"}),
        ("gemini-3.8-flash", 99_999, {"includeThoughts": True, "thinkingLevel": "HIGH"}),
        ("gemini-3.8-flash", "off", {"thinkingLevel": "MINIMAL"}),
        ("gemini-3.8-flash", 0, {"thinkingLevel": "MINIMAL"}),
        ("models/gemini-2.5-flash", "medium", {"includeThoughts": True, "thinkingBudget": 8192}),
        ("gemini-2.5-pro", 300, {"includeThoughts": True, "thinkingBudget": 300}),
        ("gemini-2.5-flash", "off", {"thinkingBudget": 0}),
    ],
)
def test_how_much_to_think_is_a_level_or_a_budget(model: str, asked: str | int, config: dict[str, Any]) -> None:
    assert generation(model=model, thinking=asked) == {"thinkingConfig": config}


def test_a_model_that_never_thinks_has_nothing_to_turn_off() -> None:
    assert generation(model="gemini-2.0-flash", thinking="off") is None
    assert generation(model="gemma-3-27b-it", thinking="off") is None


def test_an_option_about_thinking_wins_and_is_never_the_second_of_its_kind() -> None:
    options = {"thinkingBudget": 7, "includeThoughts": False}
    assert generation(thinking="high", options=options) == {"thinkingConfig": options}
    assert generation(thinking="high", options={"includeThoughts": False}) == {
        "thinkingConfig": {"thinkingLevel": "HIGH", "includeThoughts": False}
    }


def test_that_a_model_always_thinks_is_told_with_what_to_do() -> None:
    words = "Budget 0 is invalid. This model only works in thinking mode."
    error = provider().read_error(400, {}, json.dumps({"error": {"code": 400, "message": words}}).encode())
    assert "leave --thinking off out" in str(error.hint)


# --- attachments ----------------------------------------------------------------------------------


def test_files_go_as_bytes_or_as_the_address_that_google_fetches() -> None:
    talk = Message(
        "user",
        (
            Text("What is it?"),
            Attachment("image/png", b"\x89PNG", name="a.png"),
            Attachment("application/pdf", url="https://example.com/a.pdf"),
        ),
    )
    assert sent(request(talk))["contents"] == [
        {
            "role": "user",
            "parts": [
                {"text": "What is it?"},
                {"inlineData": {"mimeType": "image/png", "data": "iVBORw=="}},
                {"fileData": {"mimeType": "application/pdf", "fileUri": "https://example.com/a.pdf"}},
            ],
        }
    ]


def test_a_function_whose_name_gemini_does_not_take_has_another_there() -> None:
    """`[A-Za-z_][\\w.:-]*`. The user sees the name that is his."""
    asked = request(message("user", "hi"), tools=(Tool("2nd-try"), Tool("roll-dice")), tool_choice="2nd-try")
    body = sent(asked)
    assert [each["name"] for each in body["tools"][0]["functionDeclarations"]] == ["_2nd-try", "roll-dice"]
    assert body["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"] == ["_2nd-try"]
    parts = [{"functionCall": {"name": "_2nd-try", "args": {}}}]
    answer = {"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]}
    reader = provider().reader(asked)
    (made,) = (event for event in reader.body(json.dumps(answer).encode()) if isinstance(event, ToolCall))
    assert made.name == "2nd-try"
