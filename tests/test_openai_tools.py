"""
What a request to a chat model may hold beside its messages: tools and their results, attachments, a schema, how much to
think; and completions of bare text. How each is said to OpenAI, and in which other words to others.
"""

import json
from base64 import b64decode
from typing import Any

import pytest

from llmcli.errors import LlmError, ProviderFailed, RequestRejected, UsageError
from llmcli.framing import Record
from llmcli.providers.openai import OpenAI
from llmcli.providers.vendors import (
    AI21,
    VLLM,
    ZAI,
    Azure,
    CohereOpenAI,
    DashScope,
    DeepSeek,
    Groq,
    LlamaCpp,
    LMStudio,
    Mistral,
    Moonshot,
    Nvidia,
    OpenAICompatible,
    OpenRouter,
    Perplexity,
    SiliconFlow,
    Together,
)
from llmcli.types import (
    Attachment,
    ChatRequest,
    Finish,
    Json,
    Message,
    Metadata,
    ProviderConfig,
    Schema,
    Text,
    TextDelta,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    Usage,
    message,
)
from tests.chat_streams import calls, read_answer, sse, stream_events, text, whole
from tests.test_vendors import VENDORS

ASKED = message("user", "time in Oslo?")
CLOCK = Tool("now", "tells the time", {"type": "object", "properties": {"tz": {"type": "string"}}, "required": ["tz"]})
BARE = Tool("ping")
PNG = Attachment("image/png", b"\x89PNG", name="a.png")


def made(vendor: type[OpenAI] = OpenAI, base_url: str | None = None) -> OpenAI:
    return vendor(ProviderConfig(vendor.id, base_url=base_url or vendor.default_base_url or "http://localhost/v1"))


def body(*messages: Message, to: type[OpenAI] = OpenAI, stream: bool = False, **said: Any) -> dict[str, Any]:
    sent = made(to).chat_request(ChatRequest("m", messages or (ASKED,), **said), stream=stream)
    assert sent.body is not None
    decoded: dict[str, Any] = json.loads(sent.body)
    return decoded


def check(vendor: type[OpenAI], *messages: Message, **said: Any) -> None:
    made(vendor).check(ChatRequest("m", messages or (ASKED,), **said))


# --- tools ----------------------------------------------------------------------------------------


def test_tools_are_sent_as_functions() -> None:
    """Without a description that is empty, and without anything that was not said."""
    sent = body(tools=(CLOCK, BARE))
    assert [tool["type"] for tool in sent["tools"]] == ["function", "function"]
    assert [tool["function"] for tool in sent["tools"]] == [
        {"name": "now", "description": "tells the time", "parameters": CLOCK.parameters},
        {"name": "ping", "parameters": {"type": "object", "properties": {}}},
    ]
    assert sent.keys() == {"model", "messages", "tools"}


def test_no_tools_are_no_list() -> None:
    """Together refuses an empty one."""
    assert "tools" not in body(tool_choice="auto")
    assert "tool_choice" not in body(tool_choice="auto")


@pytest.mark.parametrize("choice", ["auto", "none", "required"])
def test_the_choice_of_a_tool_is_sent(choice: str) -> None:
    assert body(tools=(CLOCK,), tool_choice=choice)["tool_choice"] == choice


def test_one_tool_may_be_asked_for_by_its_name() -> None:
    sent = body(tools=(CLOCK, BARE), tool_choice="ping")
    assert sent["tool_choice"] == {"type": "function", "function": {"name": "ping"}}
    assert len(sent["tools"]) == 2


@pytest.mark.parametrize("vendor", [LMStudio, LlamaCpp])
def test_where_no_name_is_understood_the_named_tool_is_the_only_one(vendor: type[OpenAI]) -> None:
    """lmstudio-ai/lmstudio-bug-tracker#670: it comes to the same."""
    sent = body(to=vendor, tools=(CLOCK, BARE), tool_choice="ping")
    assert sent["tool_choice"] == "required"
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["ping"]


def test_where_a_call_cannot_be_demanded_the_demand_is_refused() -> None:
    """Z.ai: a model that was not forced would answer another question."""
    for choice in ("required", "now"):
        with pytest.raises(RequestRejected, match="zai leaves it to the model"):
            check(ZAI, tools=(CLOCK,), tool_choice=choice)
    check(ZAI, tools=(CLOCK,), tool_choice="auto")
    check(ZAI, tools=(CLOCK,), tool_choice="none")
    assert body(to=ZAI, tools=(CLOCK,), tool_choice="none") == body(to=ZAI)


def test_an_answer_with_tools_comes_whole_where_it_cannot_be_streamed() -> None:
    """AI21, and Groq's answers with a schema; others are streamed all the same."""
    assert "stream" not in body(to=AI21, stream=True, tools=(CLOCK,))
    assert "stream_options" not in body(to=AI21, stream=True, tools=(CLOCK,))
    assert body(to=AI21, stream=True)["stream"]
    assert "stream" not in body(to=Groq, stream=True, schema=PERSON)
    assert body(to=Groq, stream=True, tools=(CLOCK,))["stream"]


def test_a_call_is_streamed_where_that_has_to_be_asked_for() -> None:
    """earendil-works/pi#2732: a minute of silence is taken for a dead connection."""
    assert body(to=ZAI, stream=True, tools=(CLOCK,))["tool_stream"] is True
    assert body(to=ZAI, stream=True, tools=(CLOCK,), options={"tool_stream": False})["tool_stream"] is False
    for plain in (body(to=ZAI, stream=True), body(to=ZAI, tools=(CLOCK,))):
        assert "tool_stream" not in plain


# --- their results --------------------------------------------------------------------------------


def turn(*results: ToolResult) -> Message:
    return Message("tool", results)


def ids(sent: dict[str, Any]) -> list[tuple[list[str], list[str]]]:
    """Of each turn the ids of its calls, and those of the results behind it."""
    found: list[tuple[list[str], list[str]]] = []
    for each in sent["messages"]:
        if each["role"] == "assistant":
            found.append(([call["id"] for call in each["tool_calls"]], []))
        elif each["role"] == "tool":
            found[-1][1].append(each["tool_call_id"])
    return found


def test_a_tool_round_trip_is_sent_as_the_api_wants_it() -> None:
    """2.3: each result is a message of its own, behind the turn that asked for it, in the order of the calls."""
    called = Message("assistant", (Text("Let me see."), ToolCall("a", "now", '{"tz":"Oslo"}'), ToolCall("b", "ping")))
    results = turn(ToolResult("a", "now", "14:05"), ToolResult("b", "ping", "it is down", failed=True))
    assert body(ASKED, called, results)["messages"] == [
        {"role": "user", "content": "time in Oslo?"},
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "now", "arguments": '{"tz":"Oslo"}'}},
                {"id": "b", "type": "function", "function": {"name": "ping", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "14:05"},
        {"role": "tool", "tool_call_id": "b", "content": "it is down"},
    ]


def test_results_belong_to_the_call_of_their_own_turn() -> None:
    """P34 (NousResearch/hermes-agent#70724): servers that count from 0 in every turn."""
    once = (Message("assistant", (ToolCall("now:0", "now"),)), turn(ToolResult("now:0", "now", "x")))
    found = ids(body(ASKED, *once, *once, *once))
    assert all(asked == answered for asked, answered in found)
    assert len({each[0][0] for each in found}) == 3


def test_two_calls_with_one_id_have_their_results_in_their_order() -> None:
    """can1357/oh-my-pi#2055; from a conversation with another provider there may be no ids at all."""
    for name in ("x", ""):
        called = Message("assistant", (ToolCall(name, "now"), ToolCall(name, "ping")))
        asked, answered = ids(body(called, turn(ToolResult(name, "now", "1"), ToolResult(name, "ping", "2"))))[0]
        assert asked == answered
        assert len(set(asked)) == 2
        assert all(asked)


def test_results_in_another_order_find_their_calls() -> None:
    called = Message("assistant", (ToolCall("a", "now"), ToolCall("b", "ping")))
    assert ids(body(called, turn(ToolResult("b", "ping", "1"), ToolResult("a", "now", "2")))) == [
        (["a", "b"], ["b", "a"])
    ]


def test_mistral_gets_results_under_ids_of_nine_signs() -> None:
    """P53 (langchain-ai/langchain#24668): the same that the call has."""
    called = Message("assistant", (ToolCall("call_0123456789", "now"), ToolCall("abcDEF123", "ping")))
    results = turn(ToolResult("call_0123456789", "now", "1"), ToolResult("abcDEF123", "ping", "2"))
    asked, answered = ids(body(called, results, to=Mistral))[0]
    assert asked == answered
    assert asked[1] == "abcDEF123"
    assert all(len(each) == 9 and each.isalnum() for each in asked)


@pytest.mark.parametrize("vendor", [DeepSeek, Moonshot, ZAI])
def test_the_thinking_of_a_turn_with_tools_goes_back_with_it(vendor: type[OpenAI]) -> None:
    """P47: elsewhere it is refused."""
    called = Message("assistant", (Thinking("hm"), ToolCall("a", "now")))
    assert body(called, turn(ToolResult("a", "now", "x")), to=vendor)["messages"][0]["reasoning_content"] == "hm"
    assert "reasoning_content" not in body(called, to=Groq)["messages"][0]


def test_what_is_read_can_be_sent_back() -> None:
    """The call of an answer, its result, and the answer to that."""
    asked = {"index": 0, "id": "c", "type": "function", "function": {"name": "now", "arguments": '{"tz":"UTC"}'}}
    (call,) = calls(read_answer(made(), whole("tool_calls", content=None, tool_calls=[asked])))
    sent = body(ASKED, Message("assistant", (call,)), turn(ToolResult(call.id, call.name, "noon")), tools=(CLOCK,))
    del asked["index"]
    assert sent["messages"][1] == {"role": "assistant", "tool_calls": [asked]}
    assert sent["messages"][2]["tool_call_id"] == "c"


# --- attachments ----------------------------------------------------------------------------------


def content(*parts: Text | Attachment, to: type[OpenAI] = OpenAI) -> Any:
    return body(Message("user", parts), to=to)["messages"][0]["content"]


def test_text_alone_is_a_plain_string() -> None:
    """Groq, Cloudflare and others refuse a list of parts."""
    assert content(Text("a"), Text("b")) == "ab"


def test_an_image_is_sent_as_a_url_that_holds_it() -> None:
    """In the order in which texts and images were said."""
    sent = content(Text("what is "), PNG, Text("this?"))
    assert [part["type"] for part in sent] == ["text", "image_url", "text"]
    start, _, data = sent[1]["image_url"]["url"].partition(",")
    assert (start, b64decode(data)) == ("data:image/png;base64", b"\x89PNG")


def test_an_image_elsewhere_is_sent_by_its_address() -> None:
    assert content(Attachment("image/jpeg", url="https://h/a.jpg")) == [
        {"type": "image_url", "image_url": {"url": "https://h/a.jpg"}}
    ]


@pytest.mark.parametrize(("media_type", "form"), [("audio/wav", "wav"), ("audio/mpeg", "mp3")])
def test_a_sound_is_sent_with_its_format(media_type: str, form: str) -> None:
    assert content(Attachment(media_type, b"abc")) == [
        {"type": "input_audio", "input_audio": {"data": "YWJj", "format": form}}
    ]


def test_a_pdf_is_sent_with_its_name() -> None:
    assert content(Attachment("application/pdf", b"abc", name="r.pdf")) == [
        {"type": "file", "file": {"filename": "r.pdf", "file_data": "data:application/pdf;base64,YWJj"}}
    ]
    assert content(Attachment("application/pdf", b"abc"))[0]["file"]["filename"]


@pytest.mark.parametrize("media_type", ["application/pdf", "audio/wav"])
def test_what_cannot_be_sent_by_its_address_is_refused(media_type: str) -> None:
    with pytest.raises(RequestRejected, match="cannot be sent by its URL"):
        content(Attachment(media_type, url="https://h/x"))


def test_a_type_that_the_format_has_no_place_for_is_refused() -> None:
    with pytest.raises(RequestRejected, match="type video/mp4"):
        content(Attachment("video/mp4", b"x"))


@pytest.mark.parametrize("vendor", [*VENDORS, OpenAI])
def test_what_may_be_attached_is_declared_by_who_has_eyes(vendor: type[OpenAI]) -> None:
    """And by nobody else; each declared type can be said."""
    assert bool(vendor.attachments) == vendor.capabilities.vision
    for media_type in vendor.attachments:
        assert content(Attachment(media_type, b"x"), to=vendor)
    if not vendor.capabilities.vision:
        with pytest.raises(RequestRejected, match="takes no attachments"):
            check(vendor, Message("user", (PNG,)))


def test_an_image_that_the_model_cannot_see_is_refused_and_not_a_failure() -> None:
    """llama.cpp says so with status 500, which would be tried again."""
    document = {"error": {"code": 500, "message": "image input is not supported - hint: x", "type": "server_error"}}
    error = made(LlamaCpp).read_error(500, {}, json.dumps(document).encode())
    assert type(error) is RequestRejected
    assert error.http_status == 500
    other = made(LlamaCpp).read_error(500, {}, b'{"error": {"message": "image not found in cache"}}')
    assert type(other) is ProviderFailed


# --- a schema -------------------------------------------------------------------------------------

PERSON = Schema("person", {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]})
ANY_JSON = Schema("any", {})


def form(schema: Schema, to: type[OpenAI] = OpenAI, **said: Any) -> Any:
    return body(to=to, schema=schema, **said).get("response_format")


def test_a_schema_is_sent_by_the_rules_of_strict_mode() -> None:
    assert form(PERSON) == {
        "type": "json_schema",
        "json_schema": {
            "name": "person",
            "strict": True,
            "schema": {**PERSON.document, "additionalProperties": False},
        },
    }


def test_a_schema_that_would_mean_something_else_is_sent_as_it_is() -> None:
    optional = Schema("p", {"type": "object", "properties": {"name": {"type": "string"}}})
    assert form(optional)["json_schema"] == {"name": "p", "strict": False, "schema": optional.document}


def test_a_strict_schema_that_is_refused_is_sent_as_it_is() -> None:
    """The service knows its own rules best."""
    error = made().read_error(
        400,
        {},
        b"""{"error": {"message": "Invalid schema for response_format 'person': In context=(), 'x' is not permitted.",
        "type": "invalid_request_error", "param": "response_format", "code": null}}""",
    )
    adapted = made().adapt(ChatRequest("m", (ASKED,), schema=PERSON), error)
    assert adapted is not None
    assert form(PERSON, without=adapted.without)["json_schema"] == {
        "name": "person", "strict": False, "schema": PERSON.document
    }  # fmt: skip
    assert made().adapt(adapted, error) is None
    assert made().adapt(ChatRequest("m", (ASKED,)), error) is None


def test_any_json_is_asked_for_where_no_schema_is_taken() -> None:
    """P61: DeepSeek and Z.ai refuse json_schema, LM Studio refuses json_object, NVIDIA's models differ."""
    assert form(PERSON, DeepSeek) == form(ANY_JSON, ZAI) == form(ANY_JSON, OpenAI) == {"type": "json_object"}
    assert form(ANY_JSON, LMStudio)["json_schema"]["schema"]["type"] == "object"
    assert form(ANY_JSON, LMStudio)["type"] == "json_schema"
    assert form(PERSON, Nvidia) is None


def refused_form(said: str) -> LlmError:
    return made().read_error(400, {}, json.dumps({"error": {"message": said, "param": None}}).encode())


@pytest.mark.parametrize(
    "said",
    [
        "This response_format type is unavailable now",
        "'response_format.type' must be 'text'",
        "model does not support json_schema, supported: text",
        "Function calling with a response mime type: 'application/json' is unsupported",
        "json mode cannot be combined with tool/function calling",
        "body.response_format.type: Input should be 'text' or 'json_object'",
        "Unrecognized request argument supplied: response_format",
    ],
)
def test_a_form_that_is_refused_is_asked_for_in_the_next_best_way(said: str) -> None:
    """P61, 2.4: a schema, then any JSON object, then words alone; the answer is held against the schema anyway."""
    asked = ChatRequest("m", (ASKED,), schema=PERSON)
    server = made(OpenAICompatible)
    first = server.adapt(asked, refused_form(said))
    assert first is not None
    as_json = body(to=OpenAICompatible, schema=PERSON, without=first.without)
    assert as_json["response_format"] == {"type": "json_object"}
    assert json.dumps(PERSON.document) in as_json["messages"][0]["content"]
    second = server.adapt(first, refused_form(said))
    assert second is not None
    in_words = body(to=OpenAICompatible, schema=PERSON, without=second.without)
    assert "response_format" not in in_words
    assert in_words["messages"][0] == as_json["messages"][0]
    assert server.adapt(second, refused_form(said)) is None


@pytest.mark.parametrize(
    "said",
    [
        "Failed to parse grammar from json_schema: unsupported keyword",
        "Invalid json_schema: at $.properties, 'oneOf' is not supported",
        "This model's maximum context length is 4096 tokens, which is not supported (json_schema grammar)",
        "The model `m` does not exist, or has no json_schema that is supported",
        "response_format.json_schema.name: a name has 64 letters at most",
    ],
)
def test_what_is_wrong_with_a_schema_or_with_something_else_is_said_and_the_schema_stays(said: str) -> None:
    """In words it would be wrong all the same, and nothing would enforce it any more."""
    assert made(OpenAICompatible).adapt(ChatRequest("m", (ASKED,), schema=PERSON), refused_form(said)) is None


@pytest.mark.parametrize("schema", [PERSON, ANY_JSON])
def test_a_form_that_the_user_has_chosen_is_kept_to(schema: Schema) -> None:
    """The configuration key `schema`."""
    asked = ChatRequest("m", (ASKED,), schema=schema._replace(firm=True))
    assert made(OpenAICompatible).adapt(asked, refused_form("response_format is not supported")) is None
    assert form(schema._replace(firm=True), Groq, tools=(CLOCK,)) is not None


@pytest.mark.parametrize("vendor", [Groq, CohereOpenAI])
def test_who_takes_no_schema_beside_tools_is_told_it_in_words(vendor: type[OpenAI]) -> None:
    """2.4: nor does Groq in a stream."""
    sent = body(to=vendor, schema=PERSON, tools=(CLOCK,), stream=True)
    assert "response_format" not in sent
    assert sent["stream"] is True
    assert json.dumps(PERSON.document) in sent["messages"][0]["content"]
    assert form(PERSON, vendor)["type"] == "json_schema"


# --- thinking -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vendor", "asked", "fields"),
    [
        (OpenAI, "off", {"reasoning_effort": "none"}),
        (OpenAI, "low", {"reasoning_effort": "low"}),
        (OpenAI, 1024, {"reasoning_effort": "low"}),
        (OpenAI, 1025, {"reasoning_effort": "medium"}),
        (OpenAI, 10**6, {"reasoning_effort": "high"}),
        (OpenAI, 0, {"reasoning_effort": "none"}),
        (Mistral, "low", {"reasoning_effort": "high"}),
        (CohereOpenAI, "off", {"reasoning_effort": "none"}),
        (DeepSeek, "off", {"thinking": {"type": "disabled"}}),
        (DeepSeek, "high", {"thinking": {"type": "enabled"}, "reasoning_effort": "high"}),
        (Moonshot, "off", {"thinking": {"type": "disabled"}}),
        (Moonshot, "low", {"reasoning_effort": "low"}),
        (ZAI, "low", {"thinking": {"type": "enabled"}, "reasoning_effort": "low"}),
        (DashScope, "off", {"enable_thinking": False}),
        (DashScope, "medium", {"enable_thinking": True, "thinking_budget": 8192}),
        (DashScope, 500, {"enable_thinking": True, "thinking_budget": 500}),
        (OpenRouter, "off", {"reasoning": {"effort": "none"}}),
        (OpenRouter, "low", {"reasoning": {"effort": "low"}}),
        (OpenRouter, 2000, {"reasoning": {"max_tokens": 2000}}),
        (Together, "off", {"reasoning": {"enabled": False}}),
        (Together, "low", {"reasoning": {"enabled": True}, "reasoning_effort": "low"}),
        (VLLM, "off", {"chat_template_kwargs": {"enable_thinking": False}}),
        (LlamaCpp, "low", {"chat_template_kwargs": {"enable_thinking": True, "reasoning_effort": "low"}}),
        (
            LlamaCpp,
            500,
            {
                "chat_template_kwargs": {"enable_thinking": True, "reasoning_effort": "low"},
                "thinking_budget_tokens": 500,
            },
        ),
        (Perplexity, "high", {"reasoning_effort": "high"}),
    ],
)
def test_how_much_to_think_is_said_in_the_services_words(
    vendor: type[OpenAI], asked: str | int, fields: dict[str, Json]
) -> None:
    check(vendor, thinking=asked)
    sent = body(to=vendor, thinking=asked, stream=True)
    around = ("model", "messages", "stream", "stream_options")
    assert {name: value for name, value in sent.items() if name not in around} == fields


@pytest.mark.parametrize("vendor", [*VENDORS, OpenAI])
def test_every_level_is_said_or_refused_before_anything_is_sent(vendor: type[OpenAI]) -> None:
    """Never passed over in silence, and nothing is said that was not asked."""
    plain = body(to=vendor, stream=True)
    for asked in ("low", "medium", "high", 5000):
        try:
            check(vendor, thinking=asked)
        except RequestRejected as exc:
            assert vendor.id in exc.message  # noqa: PT017 - both are right, in their place
        else:
            assert body(to=vendor, thinking=asked, stream=True) != plain


def test_what_cannot_be_told_is_refused() -> None:
    for vendor, asked in ((Nvidia, "low"), (Nvidia, "off"), (AI21, "low"), (Perplexity, "off")):
        with pytest.raises(RequestRejected):
            check(vendor, thinking=asked)
    check(AI21, thinking="off")  # its models do not think
    assert body(to=AI21, thinking="off") == body(to=AI21)


@pytest.mark.parametrize(
    ("vendor", "model", "asked", "fields"),
    [
        (Groq, "qwen/qwen3-32b", "off", {"reasoning_effort": "none"}),
        (Groq, "qwen/qwen3-32b", "low", {"reasoning_effort": "default"}),
        (Groq, "openai/gpt-oss-120b", "medium", {"reasoning_effort": "medium"}),
        (Moonshot, "kimi-k3", "low", {"reasoning_effort": "low"}),
        (Moonshot, "kimi-k3", "medium", {"reasoning_effort": "high"}),
        (Moonshot, "kimi-k2.6", "low", {"thinking": {"type": "enabled"}}),
        (Moonshot, "kimi-k2.6", "off", {"thinking": {"type": "disabled"}}),
    ],
)
def test_how_much_to_think_is_said_in_the_words_of_the_model(
    vendor: type[OpenAI], model: str, asked: str, fields: dict[str, Json]
) -> None:
    """8.2: each takes its own and refuses the others'."""
    sent = made(vendor).chat_request(ChatRequest(model, (ASKED,), thinking=asked), stream=False)
    document = json.loads(sent.body or b"")
    assert {name: value for name, value in document.items() if name in ("reasoning_effort", "thinking")} == fields


@pytest.mark.parametrize(("vendor", "model"), [(Groq, "openai/gpt-oss-120b"), (Moonshot, "kimi-k3")])
def test_who_always_thinks_cannot_be_told_not_to(vendor: type[OpenAI], model: str) -> None:
    with pytest.raises(RequestRejected, match="always thinks"):
        made(vendor).check(ChatRequest(model, (ASKED,), thinking="off"))


@pytest.mark.parametrize("tokens", [127, 32769])
def test_siliconflow_thinks_for_so_many_tokens_only(tokens: int) -> None:
    with pytest.raises(UsageError, match=f"128 to 32768 tokens, not for {tokens}"):
        check(SiliconFlow, thinking=tokens)
    for fits in (0, 128, 32768, "high"):
        check(SiliconFlow, thinking=fits)


MODELS_THAT_CALL_UNTHINKING = [(DashScope, "qwen-plus"), (DeepSeek, "deepseek-flash"), (Moonshot, "kimi-k2.6")]


@pytest.mark.parametrize(("vendor", "model"), MODELS_THAT_CALL_UNTHINKING)
def test_to_think_and_to_have_to_call_a_tool_exclude_one_another(vendor: type[OpenAI], model: str) -> None:
    """P58, cloudwego/eino#994: both were asked for, so that neither is dropped."""
    asked = ChatRequest(model, (ASKED,), tools=(CLOCK,), tool_choice="now", thinking="low")
    with pytest.raises(RequestRejected, match="--thinking low and --tool-choice now"):
        made(vendor).check(asked)
    made(vendor).check(asked._replace(tool_choice="auto"))
    made(vendor).check(asked._replace(thinking="off"))


@pytest.mark.parametrize(("vendor", "model"), MODELS_THAT_CALL_UNTHINKING)
def test_who_thinks_unasked_does_not_where_a_call_is_demanded(vendor: type[OpenAI], model: str) -> None:
    """P58; and one that does not know the word is not told again."""
    asked = ChatRequest(model, (ASKED,), tools=(CLOCK,), tool_choice="required")

    def sent(request: ChatRequest) -> dict[str, Any]:
        document = json.loads(made(vendor).chat_request(request, stream=True).body or b"")
        return {name: value for name, value in document.items() if "thinking" in name}

    off = [{"enable_thinking": False}, {"thinking": {"type": "disabled"}}]
    assert sent(asked) in off
    assert sent(asked._replace(tool_choice=None)) == {}
    (name,) = sent(asked)
    own = asked._replace(options={name: "mine"})
    assert sent(own) == {name: "mine"}
    for said in (f"Unknown field: {name}", f"The value of the {name} parameter is restricted to True."):
        refused = made(vendor).read_error(400, {}, json.dumps({"error": {"message": said}}).encode())
        adapted = made(vendor).adapt(asked, refused)
        assert adapted is not None
        assert sent(adapted) == {}
        assert made(vendor).adapt(asked._replace(thinking="off"), refused) is None


def test_dashscope_thinks_only_while_it_streams() -> None:
    """P58 (langchain4j/langchain4j#3974): else its thinking models answer 400."""
    assert body(to=DashScope)["enable_thinking"] is False
    assert "enable_thinking" not in body(to=DashScope, stream=True)
    assert body(to=DashScope, options={"enable_thinking": True})["enable_thinking"] is True
    with pytest.raises(RequestRejected, match="--thinking low and --no-stream") as caught:
        body(to=DashScope, thinking="low")
    assert caught.value.hint == "leave --no-stream out"


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, "tools are not supported by this model"),
        (400, "`gemma-2` does not support tools"),
        (400, "Tool calling is not supported for model m"),
        (400, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'),
        (404, "No endpoints found that support tool use. To learn more about provider routing, visit: https://x"),
    ],
)
def test_a_model_that_refuses_tools_is_named_with_what_to_do(status: int, said: str) -> None:
    error = made(OpenAICompatible).read_error(status, {}, json.dumps({"error": {"message": said}}).encode())
    assert type(error) is RequestRejected
    assert error.message == said
    assert error.hint == 'tools = "text" under [providers.openai-compatible.models."MODEL"] tells it of them in words'


@pytest.mark.parametrize(
    "said", ["This model does not support tool_choice required", "Tools with response_format are not supported"]
)
def test_a_model_that_has_tools_is_not_taken_for_one_without(said: str) -> None:
    assert made().read_error(400, {}, json.dumps({"error": {"message": said}}).encode()).hint is None


# --- completions of bare text ---------------------------------------------------------------------


def test_a_prompt_to_complete_goes_there_as_it_is() -> None:
    """No template, no role, no name of a token limit but the old one."""
    request = ChatRequest("m", (message("user", " Once\n"),), complete=True, stop=("X",), max_tokens=5, seed=1)
    sent = made(OpenAICompatible).chat_request(request, stream=True)
    assert sent.url == "http://localhost/v1/completions"
    assert json.loads(sent.body or b"") == {
        "model": "m",
        "prompt": " Once\n",
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 5,
        "stop": ["X"],
        "seed": 1,
    }


def test_the_token_limit_of_a_completion_has_one_name_only() -> None:
    assert body(complete=True, max_tokens=5)["max_tokens"] == 5
    error = made().read_error(400, {}, b'{"error": {"message": "Unknown parameter: max_tokens"}}')
    asked = ChatRequest("m", (ASKED,), complete=True, max_tokens=5)
    assert made(OpenAICompatible).adapt(asked, error) is None
    assert made(OpenAICompatible).adapt(asked._replace(complete=False), error) is not None


def test_a_completion_takes_nothing_but_a_text() -> None:
    for more in ({"tools": (CLOCK,)}, {"schema": PERSON}, {"thinking": "low"}):
        with pytest.raises(RequestRejected, match="takes no"):
            check(OpenAICompatible, complete=True, **more)
    for messages in ((message("system", "s"), ASKED), (Message("user", (Text("x"), PNG)),), (ASKED, ASKED)):
        with pytest.raises(RequestRejected, match="one text and nothing else"):
            check(OpenAICompatible, *messages, complete=True)
    with pytest.raises(RequestRejected, match="cannot complete"):
        check(OpenAI, complete=True)


def completion_chunk(text_: str, reason: str | None = None, **more: Json) -> dict[str, Any]:
    return {"id": "c1", "model": "m", "choices": [{"text": text_, "index": 0, "finish_reason": reason}], **more}


COMPLETED = sse(
    completion_chunk("<think>H\u00e9"),
    completion_chunk("llo"),
    completion_chunk("", "length"),
    {"id": "c1", "model": "m", "choices": [], "usage": {"prompt_tokens": 2, "completion_tokens": 3}},
)


def test_a_completion_is_read_however_it_is_cut() -> None:
    """Its tags are text, too: the model was asked for what comes next, and not for an answer."""
    provider = made(OpenAICompatible)
    request = ChatRequest("m", (ASKED,), complete=True)
    expected = [
        Metadata({"model": "m", "id": "c1"}),
        TextDelta("<think>H\u00e9"),
        TextDelta("llo"),
        Usage(2, 3),
        Finish("length", "length"),
    ]
    for cut in range(len(COMPLETED)):
        pieces = [COMPLETED[:cut], COMPLETED[cut:]]
        assert list(stream_events(provider, *pieces, request=request)) == expected


def test_a_completion_that_comes_whole_is_read() -> None:
    reader = made(OpenAICompatible).reader(ChatRequest("m", (ASKED,), complete=True))
    events = list(reader.body(json.dumps(completion_chunk("Once", "stop")).encode()))
    assert (text(events), events[-1]) == ("Once", Finish("stop", "stop"))
    with pytest.raises(ProviderFailed, match="no choices"):
        list(made(OpenAICompatible).reader(ChatRequest("m", (ASKED,), complete=True)).whole({"choices": []}))


def test_a_completion_that_was_cut_off_is_not_complete() -> None:
    reader = made(OpenAICompatible).reader(ChatRequest("m", (ASKED,), complete=True))
    events = [*reader.feed(Record(json.dumps(completion_chunk("Once")))), *reader.end()]
    assert text(events) == "Once"
    assert not any(isinstance(event, Finish) for event in events)


# --- which API ------------------------------------------------------------------------------------


def path(vendor: type[OpenAI] = OpenAI, model: str = "m", base_url: str | None = None, **said: Any) -> str:
    request = ChatRequest(model, (ASKED,), **said)
    made(vendor, base_url).check(request)
    return made(vendor, base_url).chat_request(request, stream=True).url.rpartition("/v1/")[2]


@pytest.mark.parametrize(
    ("model", "said", "expected"),
    [
        ("gpt-5.6-luna", {}, "chat/completions"),
        ("gpt-5.6-luna", {"thinking": "low"}, "chat/completions"),
        ("gpt-5.6-luna", {"tools": (CLOCK,)}, "responses"),
        ("gpt-5.6-luna", {"tools": (CLOCK,), "thinking": "off"}, "chat/completions"),
        ("gpt-6.1-terra", {"tools": (CLOCK,), "thinking": "high"}, "responses"),
        ("gpt-4.1", {"tools": (CLOCK,)}, "chat/completions"),
        ("gpt-5.2", {"tools": (CLOCK,)}, "chat/completions"),
        ("gpt-5.2-pro", {}, "responses"),
        ("o3-deep-research", {}, "responses"),
        ("gpt-5.6-cyber-2026-10-01", {}, "responses"),
        ("gpt-6-rosalind", {}, "responses"),
        ("gpt-6.2-astra-law-2026-11-01", {}, "responses"),
        ("gpt-6.2-astra", {}, "chat/completions"),
        ("gpt-5.6-luna", {"tools": (CLOCK,), "options": {"api": "chat"}}, "chat/completions"),
        ("gpt-4.1", {"options": {"api": "responses"}}, "responses"),
    ],
)
def test_a_request_goes_to_the_api_that_answers_it(model: str, said: dict[str, Any], expected: str) -> None:
    """6.1: models that have only one, and tools of models that think."""
    assert path(model=model, **said) == expected


def test_behind_another_address_nothing_is_guessed_from_a_models_name() -> None:
    """A proxy may have the model and not the API."""
    assert path(model="gpt-5.6-luna", base_url="http://localhost:4000/v1", tools=(CLOCK,)) == "chat/completions"
    assert path(OpenRouter, "openai/gpt-5.2-pro") == "chat/completions"
    assert path(Azure, "gpt-5.6-luna", "https://r.openai.azure.com", tools=(CLOCK,)) == "chat/completions"


REFUSED_TOOLS = b"""{"error": {"message": "Function tools with reasoning_effort are not supported for gpt-5.6 in
/v1/chat/completions. To use function tools, use /v1/responses or set reasoning_effort to 'none'.",
"type": "invalid_request_error", "param": "reasoning_effort", "code": null}}""".replace(b"\n", b" ")


def test_a_service_that_sends_us_to_the_other_api_is_obeyed_once() -> None:
    """openai/openai-openapi#541: which one is asked is our own choice, unless the user made it."""
    provider = made(Azure, "https://r.openai.azure.com")
    error = provider.read_error(400, {}, REFUSED_TOOLS)
    asked = ChatRequest("my-deployment", (ASKED,), tools=(CLOCK,), thinking="low")
    adapted = provider.adapt(asked, error)
    assert adapted is not None
    assert adapted._replace(without=frozenset()) == asked
    assert provider.chat_request(adapted, stream=True).url == "https://r.openai.azure.com/openai/v1/responses"
    assert provider.adapt(adapted, error) is None
    assert provider.adapt(asked._replace(options={"api": "chat"}), error) is None
    assert made(Mistral).adapt(asked, error) is None


def test_the_api_is_one_of_two_and_not_sent() -> None:
    assert "api" not in body(options={"api": "chat", "user": "me"})
    with pytest.raises(UsageError, match="--option api=x is not one of chat, responses"):
        check(OpenAI, options={"api": "x"})
    with pytest.raises(RequestRejected, match="mistral has no Responses API"):
        check(Mistral, options={"api": "responses"})
