"""The Messages API: what is sent, what is read, and the bugs of other adapters that this one must not have."""

import json
from typing import Any

import pytest

from llmcli.errors import (
    AuthenticationFailed,
    Busy,
    ContextTooLong,
    LlmError,
    ProviderFailed,
    QuotaExceeded,
    RequestRejected,
    UnknownModel,
    UsageError,
)
from llmcli.types import (
    Finish,
    Json,
    Message,
    Metadata,
    Model,
    ModelPage,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ThinkingEnd,
    ToolCall,
    ToolCallDelta,
    Usage,
    message,
)
from tests.chat_streams import ASKED
from tests.messages_api import (
    BEGUN,
    HELLO,
    PING,
    block,
    body,
    events_of,
    provider,
    read,
    request,
    sse,
    start,
    stop,
    text_block,
    tool_block,
    whole,
)

REFERENCE = sse(
    start(),
    *block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "hm"},
        {"type": "signature_delta", "signature": "Eq=="},
    ),
    PING,
    *block(
        1,
        {"type": "text", "text": ""},
        {"type": "text_delta", "text": "Ça "},
        {"type": "citations_delta", "citation": {"type": "char_location", "cited_text": "x"}},
        {"type": "text_delta", "text": "va 🦙\u2028"},
    ),
    *tool_block(2, "", '{"tz":', '"UTC"}'),
    *stop("tool_use"),
)


# --- what is sent ---------------------------------------------------------------------------------


def test_a_question_is_sent_to_the_messages_api_with_version_and_key() -> None:
    adapter = provider()
    sent = adapter.authorize(adapter.chat_request(request(), stream=True), "sk-ant-1")
    assert (sent.method, sent.url) == ("POST", "https://api.anthropic.com/v1/messages")
    assert sent.headers["anthropic-version"] == "2023-06-01"
    assert sent.headers["x-api-key"] == "sk-ant-1"
    assert "Authorization" not in sent.headers
    assert json.loads(sent.body or b"") == {
        "model": "claude-haiku-4-5",
        "max_tokens": 16000,
        "messages": [{"role": "user", "content": "hello"}],
        "stream": True,
    }


def test_what_is_said_is_sent_under_the_names_of_the_api() -> None:
    sent = body(max_tokens=5, temperature=0.5, top_p=0.9, stop=("END",), options={"top_k": 3, "temperature": 0.1})
    assert sent["max_tokens"] == 5
    assert sent["top_p"] == 0.9
    assert sent["stop_sequences"] == ["END"]
    assert sent["top_k"] == 3
    assert sent["temperature"] == 0.1, "an option is the last word"
    assert "stream" not in sent


def test_system_messages_go_to_the_top_joined_by_a_blank_line() -> None:
    sent = body(message("system", "Be brief."), *HELLO, message("system", " "), message("system", "In French."))
    assert sent["system"] == "Be brief.\n\nIn French."
    assert sent["messages"] == [{"role": "user", "content": "hello"}]


@pytest.mark.parametrize(
    ("pasted", "used"),
    [
        ("https://api.anthropic.com/v1", "https://api.anthropic.com/v1/messages"),
        ("https://api.anthropic.com/v1/messages", "https://api.anthropic.com/v1/messages"),
        ("https://relay.example/anthropic/", "https://relay.example/anthropic/v1/messages"),
        ("https://relay.example/anthropic/v1/messages/", "https://relay.example/anthropic/v1/messages"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/v1/messages"),
    ],
)
def test_a_base_url_may_be_pasted_with_its_path(pasted: str, used: str) -> None:
    assert provider(pasted).chat_request(request(), stream=False).url == used


def test_neighbours_of_one_role_become_one_turn_and_blank_text_is_left_out() -> None:
    """NousResearch/hermes-agent#1703, anomalyco/opencode#15715."""
    sent = body(
        message("user", "one"),
        message("user", " \n"),
        message("user", "two"),
        message("assistant", ""),
        message("user", "three"),
        message("assistant", "four"),
    )
    assert sent["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": word} for word in ("one", "two", "three")]},
        {"role": "assistant", "content": "four"},
    ]


def test_thinking_goes_back_word_for_word_before_what_it_led_to() -> None:
    """NousResearch/hermes-agent#4626, pipecat-ai/pipecat#5183, olimorris/codecompanion.nvim#1752."""
    redacted: dict[str, Json] = {"type": "redacted_thinking", "data": "xyz"}
    sent = body(
        *HELLO,
        Message("assistant", (Thinking("hm", {"signature": "S1"}), Thinking("", redacted))),
        Message("assistant", (Thinking("", {"signature": "S2"}), Text("I look."))),
        Message("assistant", (ToolCall("toolu_1", "now", '{"tz":"UTC"}'),)),
        message("user", "go on"),
    )
    assert sent["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "S1"},
        redacted,
        {"type": "thinking", "thinking": "", "signature": "S2"},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "toolu_1", "name": "now", "input": {"tz": "UTC"}},
    ]


def test_thinking_that_another_provider_wrote_is_not_sent() -> None:
    sent = body(*HELLO, Message("assistant", (Thinking("unsigned"), Text("hi"))), message("user", "and?"))
    assert sent["messages"][1]["content"] == "hi"


def test_thinking_that_led_to_nothing_is_not_sent() -> None:
    """tailcallhq/forgecode#2107: an answer that was cut while thinking would make every later turn fail."""
    sent = body(*HELLO, Message("assistant", (Thinking("hm", {"signature": "S"}),)), message("user", "and?"))
    assert sent["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "hello"}, {"type": "text", "text": "and?"}]}
    ]


@pytest.mark.parametrize(
    ("arguments", "sent"), [("{}", {}), ('{"a"', {"INVALID_JSON": '{"a"'}), ("[1]", {"INVALID_JSON": "[1]"})]
)
def test_arguments_of_a_tool_call_go_back_as_an_object_whatever_they_are(
    arguments: str, sent: dict[str, object]
) -> None:
    replayed = body(*HELLO, Message("assistant", (ToolCall("t", "now", arguments),)))
    assert replayed["messages"][1]["content"] == [{"type": "tool_use", "id": "t", "name": "now", "input": sent}]


# --- what is refused before it is sent ------------------------------------------------------------


@pytest.mark.parametrize("settings", [{"temperature": 1.5}, {"top_p": 2.0}, {"max_tokens": 0}])
def test_a_setting_out_of_range_is_refused_before_it_is_sent(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="out of range"):
        provider().check(request(**settings))


@pytest.mark.parametrize("settings", [{"temperature": 1.0}, {"top_p": 0.5}])
def test_the_new_version_of_the_api_refuses_sampling_settings_here_and_not_there(settings: dict[str, Any]) -> None:
    """conductor-oss/python-sdk#499: refused by the API even at their defaults, and never dropped in silence."""
    provider().check(request(**settings))
    with pytest.raises(UsageError, match="takes no t"):
        provider(anthropic_version="2026-10-21").check(request(**settings))


def test_the_configured_version_is_asked_for() -> None:
    adapter = provider(anthropic_version="2026-10-21")
    adapter.check(request())
    assert adapter.chat_request(request(), stream=False).headers["anthropic-version"] == "2026-10-21"
    assert adapter.models_request().headers["anthropic-version"] == "2026-10-21"


def test_a_seed_is_refused_because_the_api_has_none() -> None:
    with pytest.raises(RequestRejected, match="unsupported option") as caught:
        provider().check(request(seed=1))
    assert caught.value.status == 5


def test_a_stop_sequence_of_white_space_is_refused() -> None:
    provider().check(request(stop=("a b",)))
    with pytest.raises(UsageError, match="white space"):
        provider().check(request(stop=("END", "\n")))


@pytest.mark.parametrize(
    "messages",
    [
        (message("system", "Be brief."),),
        (message("user", " "),),
        (message("user", ""), message("assistant", "hi")),
        (message("assistant", "hi"), message("user", "hello")),
    ],
)
def test_a_conversation_that_the_user_does_not_begin_is_refused(messages: tuple[Message, ...]) -> None:
    with pytest.raises(UsageError, match="must begin"):
        provider().check(request(*messages))


# --- what is read ---------------------------------------------------------------------------------


def test_a_stream_of_thinking_text_and_a_tool_call_is_read_wherever_it_is_cut() -> None:
    assert read(REFERENCE) == [
        *BEGUN,
        ThinkingDelta("hm"),
        ThinkingEnd({"signature": "Eq==", "model": "m"}),
        TextDelta("Ça "),
        TextDelta("va 🦙\u2028"),
        ToolCallDelta("now", ""),
        ToolCallDelta("now", '{"tz":'),
        ToolCallDelta("now", '"UTC"}'),
        ToolCall("toolu_1", "now", '{"tz":"UTC"}'),
        Usage(9, 31, 40),
        Finish("tool_calls", "tool_use"),
    ]


def test_a_whole_answer_is_read_like_a_stream() -> None:
    events = whole(
        {
            "id": "msg_1",
            "type": "message",
            "model": "claude-haiku-4-5",
            "content": [
                {"type": "thinking", "thinking": "", "signature": "Eq=="},
                {"type": "redacted_thinking", "data": "xyz"},
                {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}},
                {"type": "text", "text": "hi", "citations": None},
                {"type": "tool_use", "id": "toolu_1", "name": "now", "input": {"tz": "UTC"}},
            ],
            "stop_reason": "tool_use",
            "stop_sequence": None,
            "stop_details": None,
            "usage": {"input_tokens": 9, "output_tokens": 5},
        }
    )
    assert events == [
        Metadata({"model": "claude-haiku-4-5", "id": "msg_1"}),
        Usage(9, 5, 14),
        ThinkingEnd({"signature": "Eq==", "model": "m"}),
        ThinkingEnd({"type": "redacted_thinking", "data": "xyz", "model": "m"}),
        TextDelta("hi"),
        ToolCall("toolu_1", "now", '{"tz": "UTC"}'),
        Finish("tool_calls", "tool_use"),
    ]


def test_thinking_without_text_is_kept_for_its_signature() -> None:
    """pipecat-ai/pipecat#5183: what the API omits for display must still go back."""
    signed = block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": ""},
        {"type": "signature_delta", "signature": "Eq=="},
    )
    events = read(sse(start(), *signed, *text_block(1, "hi"), *stop()))
    assert events[2:4] == [ThinkingEnd({"signature": "Eq==", "model": "m"}), TextDelta("hi")]


def test_redacted_thinking_is_kept_as_it_came() -> None:
    redacted = {"type": "redacted_thinking", "data": "xyz"}
    assert read(sse(start(), *block(0, redacted), *stop()))[2] == ThinkingEnd({**redacted, "model": "m"})


@pytest.mark.parametrize("fragments", [(), ("",), ("", " ")])
def test_a_tool_without_arguments_gets_an_empty_object(fragments: tuple[str, ...]) -> None:
    """BerriAI/litellm#5064, theopenco/llmgateway#2468."""
    events = read(sse(start(), *tool_block(0, *fragments), *stop("tool_use")))
    assert ToolCall("toolu_1", "now", "{}") in events


def test_arguments_that_came_when_the_block_began_are_not_lost() -> None:
    """Yeachan-Heo/gajae-code#1895: some servers send the whole input at once and no fragments."""
    events = read(sse(start(), *tool_block(0, input={"tz": "UTC"}), *stop("tool_use")))
    assert ToolCall("toolu_1", "now", '{"tz": "UTC"}') in events


def test_arguments_that_were_cut_are_marked_and_not_mended() -> None:
    events = read(sse(start(), *tool_block(0, '{"tz":"U'), *stop("max_tokens")))
    assert ToolCall("toolu_1", "now", '{"tz":"U', valid=False) in events
    assert events[-1] == Finish("length", "max_tokens")


def test_llama_cpp_says_that_its_blocks_are_complete_only_at_the_end() -> None:
    """Recorded from llama.cpp's own /v1/messages: no signature at first, no input, all stops after the last block."""
    events = read(
        sse(
            {"type": "message_start", "message": {"id": "c-1", "model": "tiny", "usage": {"input_tokens": 6}}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm."}},
            {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "I look."}},
            {"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "name": "now"}},
            {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": ""}},
            *({"type": "content_block_stop", "index": index} for index in range(3)),
            *stop("tool_use", usage={"output_tokens": 13}),
        )
    )
    assert events == [
        Metadata({"model": "tiny", "id": "c-1"}),
        Usage(prompt_tokens=6),
        ThinkingDelta("Hm."),
        ThinkingEnd(),
        TextDelta("I look."),
        ToolCallDelta("now", "{}"),
        ToolCall("call_2", "now", "{}"),
        Usage(6, 13, 19),
        Finish("tool_calls", "tool_use"),
    ]


def test_a_block_that_was_never_said_to_be_complete_is_complete_at_the_end() -> None:
    events = read(sse(start(), *tool_block(0, '{"a":1}')[:-1], *stop("tool_use")))
    assert events[-2:] == [ToolCall("toolu_1", "now", '{"a":1}'), Finish("tool_calls", "tool_use")]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        ("tool_use", "tool_calls"),
        ("a_word_of_next_year", "other"),
        (None, "stop"),
    ],
)
def test_the_reason_why_the_model_stopped_is_told_in_one_language(raw: str | None, reason: str) -> None:
    assert read(sse(start(), *text_block(0, "hi"), *stop(raw)))[-1] == Finish(reason, raw)  # type: ignore[arg-type]


def test_a_stop_sequence_and_a_refusal_are_told() -> None:
    stopped = read(sse(start(), *text_block(0, "hi"), *stop("stop_sequence", stop_sequence="END")))
    assert Metadata({"stop_sequence": "END"}) in stopped
    details: dict[str, Json] = {"type": "refusal", "category": "cyber", "explanation": "No."}
    refused = read(sse(start(), *stop("refusal", stop_details=details)))
    assert refused[-2:] == [
        Metadata({"stop_details": details, "refusal": "No."}),
        Finish("content_filter", "refusal"),
    ]


@pytest.mark.parametrize(
    ("at_first", "at_last", "usage"),
    [
        # modelbus/one-api-pro#13: cumulative, so the last word counts and nothing is added up
        ({"input_tokens": 9, "output_tokens": 1}, {"input_tokens": 9, "output_tokens": 31}, Usage(9, 31, 40)),
        # langchain-ai/langchain#32525: null says nothing
        (
            {"input_tokens": 9, "cache_read_input_tokens": 4, "output_tokens": 1},
            {"input_tokens": None, "cache_read_input_tokens": None, "output_tokens": 31},
            Usage(13, 31, 44, cached_tokens=4),
        ),
        # maximhq/bifrost#5355: with the cached tokens at first, without them at last
        (
            {"input_tokens": 1000, "output_tokens": 0},
            {"input_tokens": 200, "cache_read_input_tokens": 700, "cache_creation_input_tokens": 100},
            Usage(1000, 0, 1000, cached_tokens=700),
        ),
        (
            {"input_tokens": 200, "cache_read_input_tokens": 800, "output_tokens": 0},
            {"input_tokens": 1000, "output_tokens": 5},
            Usage(1000, 5, 1005),
        ),
        (
            {"input_tokens": 9},
            {"output_tokens": 31, "output_tokens_details": {"thinking_tokens": 20}},
            Usage(9, 31, 40, reasoning_tokens=20),
        ),
    ],
)
def test_tokens_are_counted_once(at_first: dict[str, Any], at_last: dict[str, Any], usage: Usage) -> None:
    events = read(sse(start(**at_first), *text_block(0, "hi"), *stop(usage=at_last)))
    assert [event for event in events if isinstance(event, Usage)][-1] == usage


def test_what_is_new_in_the_api_is_ignored() -> None:
    events = read(
        sse(
            start(),
            {"type": "event_of_next_year", "index": 0},
            *block(0, {"type": "hologram", "data": "x"}, {"type": "hologram_delta", "x": 1}),
            *block(1, {"type": "server_tool_use", "name": "web"}, {"type": "input_json_delta", "partial_json": "{"}),
            *text_block(2, "hi"),
            *stop(),
        )
    )
    assert events == [*BEGUN, TextDelta("hi"), Usage(9, 31, 40), Finish("stop", "end_turn")]


@pytest.mark.parametrize("events", [2, 4, 9, 13, 17])
def test_a_stream_without_message_stop_is_not_complete(events: int) -> None:
    """BerriAI/litellm#32159, pleaseai/shunt#310."""
    stream = b"\n\n".join(REFERENCE.split(b"\n\n")[:events]) + b"\n\n"
    assert b"message_stop" not in stream
    assert not any(isinstance(event, Finish) for event in read(stream))


def test_an_answer_is_complete_at_message_stop_and_not_before() -> None:
    adapter = provider()
    framing, reader = adapter.framing(), adapter.reader(ASKED)
    for record in framing.feed(REFERENCE.rpartition(b"event: ")[0]):
        list(reader.feed(record))
    assert not reader.complete
    for record in framing.feed(b'data: {"type":"message_stop"}\n\n'):
        list(reader.feed(record))
    assert reader.complete


@pytest.mark.parametrize(
    ("stream", "error"),
    [
        (b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n', Busy),
        (b'data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n', Busy),
        (b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"Oops"}}\n\n', ProviderFailed),
        (b'data: {"error":{"code":500,"message":"slot failed","type":"server_error"}}\n\n', ProviderFailed),
        (b'error: {"code":503,"message":"Loading model","type":"unavailable_error"}\n\n', Busy),
        (b"event: error\ndata: upstream went away\n\n", ProviderFailed),
    ],
)
def test_an_error_in_the_stream_is_an_error(stream: bytes, error: type[LlmError]) -> None:
    """Pasta-Devs/Marinara-Engine#2659: ignored, it would be a silent truncation."""
    begun = sse(start(), *text_block(0, "hi")[:-1])
    with pytest.raises(error) as caught:
        list(events_of([begun + stream]))
    assert type(caught.value) is error


def test_a_whole_answer_that_is_none_is_an_error() -> None:
    with pytest.raises(ProviderFailed):
        whole({"status": "ok"})
    with pytest.raises(Busy):
        whole({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})


# --- errors ---------------------------------------------------------------------------------------


def rejected(status: int, kind: str, text: str = "Nope", **details: str) -> LlmError:
    error = {"type": kind, "message": text, **({"details": details} if details else {})}
    answered = json.dumps({"type": "error", "error": error, "request_id": "req_1"}).encode()
    return provider().read_error(status, {"request-id": "req_1"}, answered)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (rejected(400, "invalid_request_error"), RequestRejected),
        (rejected(401, "authentication_error"), AuthenticationFailed),
        (rejected(402, "billing_error"), QuotaExceeded),
        (rejected(403, "permission_error"), AuthenticationFailed),
        (rejected(404, "not_found_error", "model: claude-9"), UnknownModel),
        (rejected(404, "not_found_error", "Not found"), RequestRejected),
        (rejected(409, "conflict_error"), ProviderFailed),
        (rejected(413, "request_too_large", "Request exceeds the maximum size"), RequestRejected),
        (rejected(429, "rate_limit_error"), Busy),
        (rejected(429, "rate_limit_error", error_code="enforced_spend_limit_reached"), QuotaExceeded),
        (rejected(400, "invalid_request_error", "You have reached your specified API usage limits."), QuotaExceeded),
        (rejected(400, "invalid_request_error", "Your credit balance is too low to access"), QuotaExceeded),
        (rejected(400, "invalid_request_error", "prompt is too long: 201113 tokens > 200000 maximum"), ContextTooLong),
        (
            rejected(400, "invalid_request_error", "input length and `max_tokens` exceed context limit: 1 + 2 > 2"),
            ContextTooLong,
        ),
        (rejected(400, "invalid_request_error", "max_tokens: 12110 > 8192, which is the maximum"), RequestRejected),
        (rejected(500, "api_error"), ProviderFailed),
        (rejected(504, "timeout_error"), ProviderFailed),
        (rejected(529, "overloaded_error"), Busy),
    ],
)
def test_every_error_of_the_api_is_told_apart(error: LlmError, expected: type[LlmError]) -> None:
    """The wording is that of anthropics/claude-code#5349 and #38035, docker/docker-agent#569."""
    assert type(error) is expected
    assert error.request_id == "req_1"


@pytest.mark.parametrize(
    ("refusal", "max_tokens"),
    [
        ("max_tokens: 16000 > 8192, which is the maximum allowed number of output tokens for claude-3-5-haiku", 8192),
        ("input length and `max_tokens` exceed context limit: 199759 + 16000 > 200000, decrease input length", 241),
        ("input length and `max_tokens` exceed context limit: 200001 + 16000 > 200000, decrease input length", None),
        ("something else", None),
    ],
)
def test_a_max_tokens_that_nobody_asked_for_is_lowered_to_what_there_is_room_for(
    refusal: str, max_tokens: int | None
) -> None:
    """docker/docker-agent#569: a prompt that fits must not fail because of our own default."""
    error = rejected(400, "invalid_request_error", refusal)
    adapted = provider().adapt(request(), error)
    assert (adapted and adapted.max_tokens) == max_tokens
    again = body(without=adapted.without if adapted else frozenset())["max_tokens"]
    assert again == (8192 if max_tokens == 8192 else 16000), "only what the model allows holds for the next question"
    assert provider().adapt(request(max_tokens=16000), error) is None, "what the user said is not changed"
    assert provider().adapt(request(options={"max_tokens": 16000}), error) is None


# --- models ---------------------------------------------------------------------------------------


def test_models_are_listed_page_by_page() -> None:
    adapter = provider()
    assert adapter.models_request().url == "https://api.anthropic.com/v1/models?limit=1000"
    page = adapter.read_models(
        {
            "data": [
                {
                    "type": "model",
                    "id": "claude-x",
                    "display_name": "Claude X",
                    "created_at": "2026-01-02T00:00:00Z",
                    "max_input_tokens": 200000,
                    "max_tokens": 64000,
                    "capabilities": {
                        "thinking": {"supported": True, "types": {"adaptive": {"supported": True}}},
                        "image_input": {"supported": True},
                        "batch": {"supported": False},
                    },
                }
            ],
            "has_more": True,
            "first_id": "claude-x",
            "last_id": "claude x&y",
        }
    )
    model = Model("claude-x", "Claude X", 200000, 64000, 1767312000, ("thinking", "vision"))
    assert page == ModelPage((model,), next="claude x&y")
    assert adapter.models_request(page.next).url.endswith("/v1/models?limit=1000&after_id=claude+x%26y")


def test_a_list_of_models_that_says_only_their_ids_is_read() -> None:
    listed = {"object": "list", "data": [{"id": "tiny", "created": 1, "owned_by": "llamacpp"}, {}, 7]}
    assert provider().read_models(listed) == ModelPage((Model("tiny", created=1),))
    with pytest.raises(ProviderFailed):
        provider().read_models({"ok": True})
