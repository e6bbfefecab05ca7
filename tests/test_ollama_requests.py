"""Ollama's own API with tools, images, schemas, thinking and bare text: what is asked, and what comes of it."""

import json
from contextlib import closing
from typing import Any

import pytest

from llmcli.answer import Call, Fold, answer
from llmcli.errors import LlmError, RequestRejected, UsageError
from llmcli.retry import RetryPolicy
from llmcli.transport import Transport
from llmcli.types import (
    Attachment,
    ChatRequest,
    Event,
    Finish,
    Message,
    Metadata,
    Schema,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ThinkingEnd,
    Tool,
    ToolCall,
    ToolResult,
    Usage,
    message,
)
from tests.servers import Connection, Server, whole
from tests.test_ollama import END, HELLO, body, call, end, events_of, line, lines, provider, read, request

ZONE = {"type": "object", "properties": {"tz": {"type": "string"}}, "required": ["tz"]}
NOW = Tool("now", "Tells the time.", ZONE)
CITY = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
NAMED = Schema("city", CITY)


# --- tools ----------------------------------------------------------------------------------------


def test_tools_are_offered_with_the_schema_of_their_arguments() -> None:
    sent = body(tools=(NOW, Tool("ping"), Tool("pong", parameters={"properties": {}})), tool_choice="auto")
    anything = {"type": "object", "properties": {}}
    assert sent["tools"] == [
        {"type": "function", "function": {"name": "now", "description": "Tells the time.", "parameters": ZONE}},
        {"type": "function", "function": {"name": "ping", "parameters": anything}},
        {"type": "function", "function": {"name": "pong", "parameters": anything}},
    ]
    assert "tool_choice" not in sent


def test_where_no_tool_may_be_called_none_is_offered() -> None:
    assert "tools" not in body(tools=(NOW,), tool_choice="none")
    assert "tools" not in body()


@pytest.mark.parametrize("choice", ["required", "now"])
def test_a_call_that_cannot_be_forced_is_refused_and_not_forgotten(choice: str) -> None:
    provider().check(request(tools=(NOW,), tool_choice="auto"))
    with pytest.raises(RequestRejected, match="cannot be made to call a tool"):
        provider().check(request(tools=(NOW,), tool_choice=choice))


def test_each_result_is_a_message_that_names_its_tool_and_its_call() -> None:
    asked = Message(
        "assistant", (Text("I look."), ToolCall("call_1", "now", '{"tz":"UTC"}'), ToolCall("call_2", "ping"))
    )
    results = (ToolResult("call_1", "now", "12:00"), ToolResult("call_2", "ping", "no answer", failed=True))
    sent = body(*HELLO, asked, Message("tool", results), message("user", "and?"))["messages"]
    assert sent[1:] == [
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                {"id": "call_1", "function": {"index": 0, "name": "now", "arguments": {"tz": "UTC"}}},
                {"id": "call_2", "function": {"index": 1, "name": "ping", "arguments": {}}},
            ],
        },
        {"role": "tool", "tool_name": "now", "tool_call_id": "call_1", "content": "12:00"},
        {"role": "tool", "tool_name": "ping", "tool_call_id": "call_2", "content": "no answer"},
        {"role": "user", "content": "and?"},
    ]


# --- images ---------------------------------------------------------------------------------------

IMAGE = Attachment("image/png", b"\x89PNG", name="cat.png")


def test_images_stand_beside_the_text_as_bare_base64() -> None:
    asked = request(Message("user", (Text("what is this?"), IMAGE, Attachment("image/webp", b"RIFF"))))
    provider().check(asked)
    (sent,) = body(*asked.messages)["messages"]
    assert sent == {"role": "user", "content": "what is this?", "images": ["iVBORw==", "UklGRg=="]}


@pytest.mark.parametrize(
    "attachment",
    [
        Attachment("application/pdf", b"%PDF"),
        Attachment("image/gif", b"GIF8"),
        Attachment("image/png", url="https://cats.example/cat.png"),
    ],
)
def test_what_ollama_cannot_read_is_refused_before_it_is_sent(attachment: Attachment) -> None:
    with pytest.raises(RequestRejected):
        provider().check(request(Message("user", (attachment,))))


@pytest.mark.parametrize(("images", "num_ctx"), [(1, 8192), (2, 16384), (4, 32768)])
def test_an_image_takes_the_room_of_an_image_and_not_that_of_its_bytes(images: int, num_ctx: int) -> None:
    large = Attachment("image/png", bytes(3 * 10**6))
    assert body(Message("user", (Text("x"), *[large] * images)))["options"]["num_ctx"] == num_ctx


# --- schemas --------------------------------------------------------------------------------------


def test_a_schema_is_the_format_and_stands_in_the_prompt_too() -> None:
    """ollama/ollama#8162: Ollama itself does not tell it to the model."""
    sent = body(
        message("system", "Be brief."), *HELLO, message("assistant", "hi"), message("user", "Where?"), schema=NAMED
    )
    assert sent["format"] == CITY
    texts = [each["content"] for each in sent["messages"]]
    assert texts[:3] == ["Be brief.", "hello", "hi"]
    assert texts[3].startswith("Where?\n\nAnswer with JSON alone")
    assert texts[3].endswith(json.dumps(CITY))


def test_a_schema_is_told_behind_what_the_user_said_last_and_not_behind_a_result() -> None:
    asked = (message("user", "Where?"), Message("assistant", (ToolCall("c", "now"),)))
    result = Message("tool", (ToolResult("c", "now", "12:00"),))
    first, _, last = body(*asked, result, schema=NAMED)["messages"]
    assert json.dumps(CITY) in first["content"]
    assert last["content"] == "12:00"


def test_any_object_may_be_asked_for() -> None:
    sent = body(schema=Schema("any", {}))
    assert sent["format"] == "json"
    assert "JSON" in sent["messages"][0]["content"]


def test_with_tools_a_schema_stands_in_the_prompt_alone() -> None:
    """ollama/ollama#8095, ollama/ollama-python#546: the format would forbid every call of a tool."""
    sent = body(schema=NAMED, tools=(NOW,))
    assert "format" not in sent
    assert json.dumps(CITY) in sent["messages"][0]["content"]
    assert body(schema=NAMED, tools=(NOW,), tool_choice="none")["format"] == CITY


# --- thinking -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ("off", False),
        ("low", "low"),
        ("medium", "medium"),
        ("high", "high"),
        (0, False),
        (1024, "low"),
        (1025, "medium"),
        (9000, "high"),
        (99_000, "high"),
    ],
)
def test_how_much_to_think_is_a_level_or_nothing(said: str | int, sent: str | bool) -> None:
    assert body(thinking=said)["think"] is sent or body(thinking=said)["think"] == sent
    assert "think" not in body()
    assert body(thinking=said, options={"think": "max"})["think"] == "max"


def asked_of(refusals: dict[str, str], **said: Any) -> list[Any]:
    """What `think` was in each request to a server that refuses some values of it. Raises the error of the last."""
    with closing(Server(_refusing(refusals))) as server:
        adapter = provider(server.url.removesuffix("/v1"))
        try:
            list(answer(adapter, request(**said), Call(Transport(env={}), retry=RetryPolicy(retries=0), stream=True)))
        finally:
            thought = [each.json.get("think") for each in server.requests]
        return thought


def _refusing(refusals: dict[str, str]) -> Any:
    def script(connection: Connection) -> None:
        refusal = refusals.get(json.dumps(connection.request.json.get("think")))
        if refusal is None:
            connection.send(whole(200, lines(line("hi"), end()), "application/x-ndjson"))
        else:
            connection.send(whole(400, {"error": refusal}))

    return script


NO_LEVELS = {f'"{level}"': f'think value "{level}" is not supported for this model' for level in ("low", "high")}
NO_THINKING = {'"low"': '"llama2" does not support thinking', "true": '"llama2" does not support thinking'}


def test_a_model_that_knows_no_levels_is_told_to_think() -> None:
    """charmbracelet/crush#2623."""
    assert asked_of(NO_LEVELS, thinking="high") == ["high", True]
    assert asked_of({}, thinking="high") == ["high"]


def test_a_model_that_cannot_think_is_refused_with_what_to_do() -> None:
    for refusals in (NO_THINKING, NO_LEVELS | {"true": NO_THINKING["true"]}):
        with pytest.raises(RequestRejected, match="does not support thinking") as caught:
            asked_of(refusals, thinking="low")
        assert caught.value.hint == "leave --thinking out for this model"
    assert asked_of(NO_THINKING, thinking="off") == [False]


def test_a_level_that_the_user_chose_by_an_option_is_not_changed() -> None:
    with closing(Server(_refusing(NO_LEVELS))) as server:
        asked = request(thinking="low", options={"think": "high"})
        with pytest.raises(RequestRejected, match="think value"):
            list(answer(provider(server.url.removesuffix("/v1")), asked, Call(Transport(env={}))))
        assert server.accepted == 1


def test_a_model_that_cannot_call_tools_is_refused_with_what_to_do() -> None:
    said = json.dumps({"error": "registry.ollama.ai/library/llama2:latest does not support tools"}).encode()
    error: LlmError = provider().read_error(400, {}, said)
    assert type(error) is RequestRejected
    assert error.message.endswith("does not support tools")
    assert error.hint == 'tools = "text" under [providers.ollama] tells the model of them in words'


# --- bare text ------------------------------------------------------------------------------------


def completion(prompt: str = "Once upon", **said: Any) -> ChatRequest:
    """A request to go on with a text."""
    return request(message("user", prompt), complete=True, **said)


def test_a_text_is_sent_to_be_gone_on_with_to_the_letter_and_without_a_template() -> None:
    sent = provider().chat_request(completion(" Once\nupon ", max_tokens=5, stop=("\n",), seed=1), stream=True)
    assert sent.url == "http://127.0.0.1:11434/api/generate"
    assert json.loads(sent.body or b"") == {
        "model": "qwen3",
        "prompt": " Once\nupon ",
        "raw": True,
        "stream": True,
        "truncate": False,
        "options": {"num_predict": 5, "seed": 1, "stop": ["\n"], "num_ctx": 8192},
    }


def test_a_schema_leaves_the_text_as_it_is() -> None:
    sent = json.loads(provider().chat_request(completion(schema=NAMED), stream=False).body or b"")
    assert (sent["prompt"], sent["format"]) == ("Once upon", CITY)


def test_the_middle_of_a_text_may_be_asked_for() -> None:
    options = {"suffix": " the end.", "raw": False}
    sent = json.loads(provider().chat_request(completion(options=options), stream=False).body or b"")
    assert (sent["prompt"], sent["suffix"], sent["raw"]) == ("Once upon", " the end.", False)


def test_a_text_has_nothing_beside_it() -> None:
    provider().check(completion())
    with pytest.raises(UsageError, match="no system message"):
        provider().check(completion()._replace(messages=(message("system", "Be brief."), *HELLO)))
    with pytest.raises(RequestRejected, match="nothing but text"):
        provider().check(completion()._replace(messages=(Message("user", (Text("x"), IMAGE)),)))
    with pytest.raises(RequestRejected, match="nothing but text"):
        provider().check(completion(tools=(NOW,)))


def piece(text: str, **more: Any) -> dict[str, Any]:
    """A line of the answer to a text."""
    return {"model": "qwen3", "response": text, "done": False, **more}


def test_what_comes_of_a_text_is_read_wherever_it_is_cut() -> None:
    stream = lines(piece(" a"), piece(" time 🦙\u2028"), piece("", **END, context=[1, 2], total_duration=5))
    assert read(stream) == [
        Metadata({"model": "qwen3"}),
        TextDelta(" a"),
        TextDelta(" time 🦙\u2028"),
        Usage(26, 9, 35),
        Metadata({"total_duration": 5}),
        Finish("stop", "stop"),
    ]


def test_what_comes_of_a_text_may_be_thought_first_and_may_come_whole() -> None:
    expected: list[Event] = [
        Metadata({"model": "qwen3"}),
        ThinkingDelta("hm"),
        ThinkingEnd(),
        TextDelta(" a time"),
        Usage(26, 9, 35),
        Finish("length", "length"),
    ]
    last = {**END, "done_reason": "length"}
    assert read(lines(piece("", thinking="hm"), piece(" a time"), piece("", **last))) == expected
    document = json.dumps(piece(" a time", thinking="hm", **last)).encode()
    assert list(provider().reader(completion()).body(document)) == expected


def test_a_text_whose_answer_was_cut_is_not_complete() -> None:
    assert not any(isinstance(event, Finish) for event in events_of([lines(piece(" a"), piece(" time"))]))


# --- a round --------------------------------------------------------------------------------------


def test_a_round_of_tools_goes_back_with_the_thinking_that_led_to_it() -> None:
    fold = Fold("ollama", "m", keep=True)
    stream = lines(line(thinking="Which zone?"), line(tool_calls=[call("now", {"tz": "UTC"}, id="call_7")]), end())
    list(fold.watch(events_of([stream])))
    reply = fold.reply().message
    assert reply.parts == (Thinking("Which zone?"), ToolCall("call_7", "now", '{"tz": "UTC"}'))
    sent = body(*HELLO, reply, Message("tool", (ToolResult("call_7", "now", "12:00"),)))["messages"]
    assert sent[1:] == [
        {
            "role": "assistant",
            "content": "",
            "thinking": "Which zone?",
            "tool_calls": [{"id": "call_7", "function": {"index": 0, "name": "now", "arguments": {"tz": "UTC"}}}],
        },
        {"role": "tool", "tool_name": "now", "tool_call_id": "call_7", "content": "12:00"},
    ]
