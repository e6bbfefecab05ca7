"""The Messages API with tools and attachments: what is offered, what goes back, and in which order."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from llmcli.answer import Call, Fold, answer
from llmcli.errors import RequestRejected
from llmcli.retry import RetryPolicy
from llmcli.transport import Transport
from llmcli.types import (
    Attachment,
    ChatRequest,
    Json,
    Message,
    Reply,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    message,
)
from tests.conftest import LLAMA_KEY
from tests.llama_server import LlamaServer
from tests.messages_api import (
    HELLO,
    block,
    body,
    events_of,
    provider,
    request,
    sse,
    start,
    stop,
    text_block,
    tool_block,
)

ZONE = {"type": "object", "properties": {"tz": {"type": "string"}}, "required": ["tz"]}
NOW = Tool("now", "Tells the time.", ZONE)
PING = Tool("ping")

CALLED = Message(
    "assistant", (Text("I look."), ToolCall("toolu_1", "now", '{"tz":"UTC"}'), ToolCall("toolu_2", "ping"))
)
RESULTS = Message("tool", (ToolResult("toolu_1", "now", "12:00"), ToolResult("toolu_2", "ping", "pong")))


def turns(*messages: Message, **settings: Any) -> list[Any]:
    """The turns that are sent for a conversation."""
    sent: list[Any] = body(*messages, **settings)["messages"]
    return sent


# --- what is offered ------------------------------------------------------------------------------


def test_tools_are_offered_with_the_schema_of_their_arguments() -> None:
    sent = body(tools=(NOW, PING))
    assert sent["tools"] == [
        {"name": "now", "description": "Tells the time.", "input_schema": ZONE},
        {"name": "ping", "input_schema": {"type": "object", "properties": {}}},
    ]
    assert "tool_choice" not in sent


def test_a_schema_that_does_not_say_so_is_one_of_an_object() -> None:
    """The API requires it of `input_schema`."""
    (tool,) = body(tools=(Tool("now", parameters={"properties": {}}),))["tools"]
    assert tool["input_schema"] == {"type": "object", "properties": {}}


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        ("now", {"type": "tool", "name": "now"}),
    ],
)
def test_which_tool_is_called_can_be_said(said: str, sent: dict[str, Json]) -> None:
    assert body(tools=(NOW,), tool_choice=said)["tool_choice"] == sent


def test_without_tools_nothing_is_said_about_them() -> None:
    assert {"tools", "tool_choice"} & body(*HELLO, tool_choice="auto").keys() == set()


# --- what goes back -------------------------------------------------------------------------------


def test_all_results_of_a_turn_begin_the_next_one() -> None:
    """open-octo/octo-agent#250, NousResearch/hermes-agent#52145: nothing may stand between a call and its result."""
    assert turns(*HELLO, CALLED, RESULTS, message("user", "and?"))[1:] == [
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "toolu_1", "name": "now", "input": {"tz": "UTC"}},
                {"type": "tool_use", "id": "toolu_2", "name": "ping", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "12:00"},
                {"type": "tool_result", "tool_use_id": "toolu_2", "content": "pong"},
                {"type": "text", "text": "and?"},
            ],
        },
    ]


def test_results_go_first_whatever_else_was_said_before_them() -> None:
    (*_, last) = turns(*HELLO, CALLED, message("user", "hurry"), RESULTS)
    assert [block["type"] for block in last["content"]] == ["tool_result", "tool_result", "text"]


@pytest.mark.parametrize(
    ("result", "sent"),
    [
        (ToolResult("t", "now", "no such zone", failed=True), {"content": "no such zone", "is_error": True}),
        (ToolResult("t", "now", ""), {}),
        (ToolResult("t", "now", " \n"), {}),
        # `content cannot be empty if is_error is true`
        (ToolResult("t", "now", "", failed=True), {"content": "it failed without a word", "is_error": True}),
    ],
)
def test_a_result_says_whether_it_failed_and_may_be_empty(result: ToolResult, sent: dict[str, Json]) -> None:
    (*_, last) = turns(*HELLO, Message("assistant", (ToolCall("t", "now"),)), Message("tool", (result,)))
    assert last["content"] == [{"type": "tool_result", "tool_use_id": "t", **sent}]


def test_a_conversation_may_end_with_a_call() -> None:
    assert turns(*HELLO, CALLED)[-1]["role"] == "assistant"


def test_ids_of_other_services_are_made_such_as_the_api_takes() -> None:
    """It takes letters, digits, `_` and `-`, and each id once; some services count from 0 in each answer."""
    asked = Message("assistant", (ToolCall("functions.now:0", "now"), ToolCall("", "ping"), ToolCall("c", "now")))
    given = Message(
        "tool",
        (ToolResult("functions.now:0", "now", "1"), ToolResult("", "ping", "2"), ToolResult("c", "now", "3")),
    )
    sent = turns(*HELLO, asked, given, asked, given)
    called = [block["id"] for turn in sent if turn["role"] == "assistant" for block in turn["content"]]
    answered = [(block["tool_use_id"], block["content"]) for turn in (sent[2], sent[4]) for block in turn["content"]]
    assert called[:3] == ["functions_now_0", "call", "c"]
    assert len(set(called)) == 6
    assert all(set(each) <= set("abcdefghijklmnopqrstuvwxyz_0123456789") for each in called)
    assert answered == list(zip(called, ["1", "2", "3"] * 2, strict=True))


def test_two_calls_of_one_id_in_a_turn_get_their_own_results() -> None:
    """can1357/oh-my-pi#2055: one id for every call."""
    asked = Message("assistant", (ToolCall("c", "now"), ToolCall("c", "ping")))
    sent = turns(*HELLO, asked, Message("tool", (ToolResult("c", "now", "1"), ToolResult("c", "ping", "2"))))
    first, second = (block["id"] for block in sent[1]["content"])
    assert first != second
    assert [(block["tool_use_id"], block["content"]) for block in sent[2]["content"]] == [(first, "1"), (second, "2")]


def test_a_round_of_tools_goes_back_word_for_word_with_the_thinking_that_led_to_it() -> None:
    """NousResearch/hermes-agent#4626: without its signature the next turn is refused or worse."""
    signed = block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "Which "},
        {"type": "thinking_delta", "thinking": "zone?"},
        {"type": "signature_delta", "signature": "Eq=="},
    )
    redacted = block(1, {"type": "redacted_thinking", "data": "xyz"})
    stream = sse(
        start(), *signed, *redacted, *text_block(2, "I look."), *tool_block(3, '{"tz":', '"UTC"}'), *stop("tool_use")
    )
    fold = Fold("anthropic", "m", keep=True)
    list(fold.watch(events_of([stream], request())))
    reply = fold.reply().message
    sent = turns(*HELLO, reply, Message("tool", (ToolResult("toolu_1", "now", "12:00"),)))
    assert sent[1:] == [
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Which zone?", "signature": "Eq=="},
                {"type": "redacted_thinking", "data": "xyz"},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "toolu_1", "name": "now", "input": {"tz": "UTC"}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "12:00"}]},
    ]


THOUGHT = Message(
    "assistant",
    (
        Thinking("hm", {"signature": "S1", "model": "claude-opus-5"}),
        Thinking("", {"type": "redacted_thinking", "data": "xyz", "model": "claude-haiku-4-5"}),
        Thinking("so", {"signature": "S2"}),
        Text("Yes."),
    ),
)


def test_thinking_goes_back_to_the_model_that_thought_it() -> None:
    """It is signed for that one; of older sessions it is not known which one it was."""
    assert turns(*HELLO, THOUGHT, *HELLO)[1]["content"] == [
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "thinking", "thinking": "so", "signature": "S2"},
        {"type": "text", "text": "Yes."},
    ]


def test_a_signature_that_is_refused_is_left_out_once() -> None:
    """But what the model has thought since it was asked has to go back with the results of its tools."""
    called = Message("assistant", (Thinking("now", {"signature": "S3"}), ToolCall("toolu_1", "now")))
    result = Message("tool", (ToolResult("toolu_1", "now", "12:00"),))
    asked = request(*HELLO, THOUGHT, *HELLO, called, result)
    error = RequestRejected("messages.1.content.0: Invalid `signature` in `thinking` block")
    adapted = provider().adapt(asked, error)
    assert adapted is not None
    sent = turns(*asked.messages, without=adapted.without)
    assert sent[1]["content"] == "Yes."
    assert [block["type"] for block in sent[3]["content"]] == ["thinking", "tool_use"]
    assert provider().adapt(adapted, error) is None
    assert provider().adapt(request(*HELLO), error) is None


def test_to_think_and_to_have_to_call_a_tool_exclude_one_another() -> None:
    """The API's own words: thinking may not be enabled when tool_choice forces tool use."""
    for choice in ("required", "now"):
        with pytest.raises(RequestRejected, match="--thinking low and --tool-choice"):
            provider().check(request(tools=(NOW,), tool_choice=choice, thinking="low"))
        provider().check(request(tools=(NOW,), tool_choice=choice, thinking="off"))
    provider().check(request(tools=(NOW,), tool_choice="auto", thinking="low"))


def test_who_thinks_unasked_does_not_where_a_tool_has_to_be_called() -> None:
    error = RequestRejected("Thinking may not be enabled when tool_choice forces tool use.")
    asked = request(tools=(NOW,), tool_choice="required")
    adapted = provider().adapt(asked, error)
    assert adapted is not None
    assert body(tools=(NOW,), tool_choice="required", without=adapted.without)["thinking"] == {"type": "disabled"}
    assert provider().adapt(adapted, error) is None
    assert provider().adapt(asked._replace(tool_choice="auto"), error) is None


@pytest.mark.parametrize("said", [{"options": {"thinking": {"type": "adaptive"}}}, {"without": {"thinking"}}])
def test_thinking_that_was_asked_for_beside_a_call_is_refused_once(said: dict[str, Any]) -> None:
    """There is nothing of ours to leave out: asking again would go on for ever."""
    asked = request(tools=(NOW,), tool_choice="required", **said)
    error = RequestRejected("Thinking may not be enabled when tool_choice forces tool use.")
    assert provider().adapt(asked, error) is None


# --- what is attached -----------------------------------------------------------------------------

IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw=="}}


def attached(*parts: Text | Attachment) -> Any:
    """The content that is sent for what a user says."""
    asked = request(Message("user", parts))
    provider().check(asked)
    (turn,) = body(*asked.messages)["messages"]
    return turn["content"]


def test_an_image_is_sent_with_its_bytes() -> None:
    """As the reference has it, and in its place among the texts."""
    image = Attachment("image/png", b"\x89PNG", name="cat.png")
    assert attached(Text("what is"), image, Text("this?")) == [
        {"type": "text", "text": "what is"},
        IMAGE,
        {"type": "text", "text": "this?"},
    ]
    assert attached(image) == [IMAGE]


def test_an_image_and_a_document_may_be_at_a_url() -> None:
    cat, page = "https://cats.example/cat.webp", "https://cats.example/cat.pdf"
    assert attached(Attachment("image/webp", url=cat), Attachment("application/pdf", url=page)) == [
        {"type": "image", "source": {"type": "url", "url": cat}},
        {"type": "document", "source": {"type": "url", "url": page}},
    ]


def test_a_pdf_is_sent_as_a_document_with_its_name() -> None:
    source = {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}
    assert attached(Attachment("application/pdf", b"%PDF", name="a.pdf")) == [
        {"type": "document", "source": source, "title": "a.pdf"}
    ]


@pytest.mark.parametrize(
    "attachment",
    [
        Attachment("audio/wav", b"RIFF"),
        Attachment("image/tiff", b"II*\0"),
        Attachment("image/png", bytes(10 * 2**20 * 3 // 4 + 1)),
        Attachment("application/pdf", bytes(24 * 10**6)),
    ],
    ids=["a sound", "an unusual image", "too large an image", "too large a document"],
)
def test_what_the_service_does_not_take_is_refused_before_it_is_sent(attachment: Attachment) -> None:
    with pytest.raises(RequestRejected):
        attached(attachment)


# --- a real server --------------------------------------------------------------------------------

CALL = '<tool_call>\n{"name": "now", "arguments": {"tz": "UTC"}}\n</tool_call>'


def ask(server: LlamaServer, asked: ChatRequest, *, stream: bool) -> Reply:
    """The reply of a llama.cpp server that is asked in this protocol."""
    fold = Fold("anthropic", "tiny", keep=True)
    call = Call(Transport(env={}), key=LLAMA_KEY, retry=RetryPolicy(retries=0), stream=stream)
    list(fold.watch(answer(provider(server.url), asked._replace(model="tiny"), call)))
    return fold.reply()


@pytest.mark.parametrize("stream", [True, False])
def test_a_real_server_calls_a_tool_and_takes_its_result(reciting: Callable[[str], LlamaServer], stream: bool) -> None:
    asked = request(message("user", "What time is it?"), tools=(NOW,))
    called = ask(reciting(CALL), asked, stream=stream)
    assert called.finish.reason == "tool_calls"
    (call,) = called.message.parts
    assert isinstance(call, ToolCall)
    assert (call.name, json.loads(call.arguments), call.valid) == ("now", {"tz": "UTC"}, True)

    result = Message("tool", (ToolResult(call.id, call.name, "12:00"),))
    told = asked._replace(messages=(*asked.messages, called.message, result))
    assert ask(reciting("It is noon."), told, stream=stream).message == message("assistant", "It is noon.")


def test_thinking_of_a_real_server_does_not_go_back_unsigned(reciting: Callable[[str], LlamaServer]) -> None:
    reply = ask(
        reciting("<think>\nfirst I ponder.\n</think>\n\nThe answer is 42."), request(thinking="low"), stream=True
    )
    thought, said = reply.message.parts
    assert (thought, said) == (Thinking("first I ponder.\n"), Text("The answer is 42."))
    assert turns(*HELLO, reply.message, message("user", "and?"))[1]["content"] == "The answer is 42."
