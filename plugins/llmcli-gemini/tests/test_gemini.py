"""Gemini's own API: what is sent, what is read, and the bugs of other adapters that this one must not have."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from llmcli.answer import Fold
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
from llmcli.framing import Record
from llmcli.retry import RetryPolicy
from llmcli.types import (
    ChatRequest,
    Event,
    Finish,
    FinishReason,
    Json,
    Message,
    Metadata,
    Model,
    ModelPage,
    Part,
    ProviderConfig,
    Role,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ThinkingEnd,
    ToolCall,
    Usage,
    message,
)

from llmcli_gemini import Gemini
from llmcli_gemini.sse import GeminiSSE

HELLO = (message("user", "hello"),)
COUNTS = {"promptTokenCount": 9, "candidatesTokenCount": 4, "totalTokenCount": 13}
THOUGHT = {"thought": True}
STOP = Finish("stop", "STOP")
PLACEHOLDER = "skip_thought_signature_validator"


def provider(base_url: str | None = None) -> Gemini:
    return Gemini(ProviderConfig("gemini", base_url=base_url))


def request(*messages: Message, model: str = "gemini-3.8-flash", **settings: Any) -> ChatRequest:
    return ChatRequest(model, messages or HELLO, **settings)


def decoded(body: bytes | None) -> dict[str, Any]:
    assert body is not None
    document: dict[str, Any] = json.loads(body)
    return document


def body(*messages: Message, **settings: Any) -> dict[str, Any]:
    return decoded(provider().chat_request(request(*messages, **settings), stream=True).body)


def said_again(*parts: Part, **settings: Any) -> list[dict[str, Any]]:
    """The parts of the model's turn, as they go back with the next question."""
    sent = body(*HELLO, Message("assistant", parts), message("user", "go on"), **settings)
    assert [turn["role"] for turn in sent["contents"]] == ["user", "model", "user"]
    parts_sent: list[dict[str, Any]] = sent["contents"][1]["parts"]
    return parts_sent


def response(*parts: object, finish: str | None = None, **more: object) -> dict[str, Any]:
    """One `GenerateContentResponse`, as a stream has many and a whole answer is one."""
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], **more}


def sse(*documents: object, line: bytes = b"\r\n") -> bytes:
    return b"".join(
        b"data: " + json.dumps(document, ensure_ascii=False).encode() + line + line for document in documents
    )


def events(chunks: Iterable[bytes]) -> Iterator[Event]:
    adapter = provider()
    framing, reader = adapter.framing(), adapter.reader(request())
    for chunk in chunks:
        for record in framing.feed(chunk):
            yield from reader.feed(record)
    for record in framing.end():
        yield from reader.feed(record)
    yield from reader.end()


def read(*documents: object) -> list[Event]:
    """The events of a stream, and proof that they are the same wherever it is cut."""
    stream = sse(*documents)
    together = list(events([stream]))
    for cut in range(1, len(stream)):
        assert list(events([stream[:cut], stream[cut:]])) == together
    assert list(events(stream[place : place + 1] for place in range(len(stream)))) == together
    return together


def whole(document: object) -> list[Event]:
    return list(provider().reader(request()).body(json.dumps(document).encode()))


def parts_of(told: Iterable[Event]) -> tuple[Part, ...]:
    """The message that the driver makes of the events."""
    fold = Fold("gemini", "gemini-3.8-flash", keep=True)
    list(fold.watch(iter(told)))
    return fold.reply().message.parts


# --- where it is ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "used"),
    [
        (None, "https://generativelanguage.googleapis.com/v1beta"),
        ("https://generativelanguage.googleapis.com/", "https://generativelanguage.googleapis.com/v1beta"),
        ("https://generativelanguage.googleapis.com/v1", "https://generativelanguage.googleapis.com/v1"),
        (
            "https://generativelanguage.googleapis.com/v1beta/openai/",
            "https://generativelanguage.googleapis.com/v1beta",
        ),
        ("https://relay.example/google/v1beta/models/gemini-x:generateContent", "https://relay.example/google/v1beta"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/v1beta"),
        ("http://relay.example/v2ray", "http://relay.example/v2ray"),
        ("http://v1.example", "http://v1.example/v1beta"),
    ],
)
def test_the_address_may_be_given_with_and_without_what_comes_behind_it(given: str | None, used: str) -> None:
    sent = provider(given).chat_request(request(), stream=False)
    assert sent.url == f"{used}/models/gemini-3.8-flash:generateContent"


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-3.8-flash", "models/gemini-3.8-flash"),
        ("models/gemini-3.8-flash", "models/gemini-3.8-flash"),
        ("tunedModels/mine-1", "tunedModels/mine-1"),
        ("a b?c#d", "models/a%20b%3Fc%23d"),
    ],
)
def test_a_model_may_be_named_as_google_lists_it(model: str, path: str) -> None:
    sent = provider().chat_request(request(model=model), stream=True)
    assert sent.url.endswith(f"/v1beta/{path}:streamGenerateContent?alt=sse")


def test_the_key_goes_into_its_header_and_never_into_the_address() -> None:
    adapter = provider()
    for sent in (adapter.chat_request(request(), stream=True), adapter.models_request()):
        authorized = adapter.authorize(sent, "AIza-key")
        assert authorized.headers["x-goog-api-key"] == "AIza-key"
        assert "Authorization" not in authorized.headers
        assert "AIza-key" not in authorized.url
    assert adapter.api_key.env == ("GOOGLE_API_KEY", "GEMINI_API_KEY"), "in the order of Google's own SDK"


# --- what is sent ---------------------------------------------------------------------------------


def test_a_question_is_sent_and_nothing_that_nobody_said() -> None:
    assert body() == {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}


def test_system_messages_are_instructions_and_no_part_of_the_conversation() -> None:
    sent = body(message("system", "Be brief."), *HELLO, message("system", "Be kind."))
    assert sent["systemInstruction"] == {"parts": [{"text": "Be brief."}, {"text": "Be kind."}]}
    assert sent["contents"] == [{"role": "user", "parts": [{"text": "hello"}]}]


def test_settings_go_into_the_generation_config_under_their_own_names() -> None:
    sent = body(max_tokens=5, temperature=0.0, top_p=0.9, seed=0, stop=("END", "STOP"))
    assert sent["generationConfig"] == {
        "maxOutputTokens": 5,
        "temperature": 0.0,
        "topP": 0.9,
        "seed": 0,
        "stopSequences": ["END", "STOP"],
    }


def test_an_option_goes_where_the_api_wants_it() -> None:
    options: dict[str, Json] = {
        "topK": 40,
        "responseMimeType": "application/json",
        "tools": [{"googleSearch": {}}],
        "safetySettings": [],
        "includeThoughts": True,
        "thinkingLevel": "LOW",
        "cachedContent": "cachedContents/1",
    }
    sent = body(temperature=0.5, options=options)
    assert sent == {
        "contents": [{"role": "user", "parts": [{"text": "hello"}]}],
        "generationConfig": {
            "temperature": 0.5,
            "topK": 40,
            "responseMimeType": "application/json",
            "thinkingConfig": {"includeThoughts": True, "thinkingLevel": "LOW"},
        },
        "tools": [{"googleSearch": {}}],
        "safetySettings": [],
        "cachedContent": "cachedContents/1",
    }


def test_an_option_may_be_written_with_underscores_or_under_the_name_of_our_setting() -> None:
    sent = body(max_tokens=5, options={"thinking_budget": 0, "max_tokens": 7, "top_k": 3, "safety_settings": []})
    assert sent["generationConfig"] == {"maxOutputTokens": 7, "top_k": 3, "thinkingConfig": {"thinkingBudget": 0}}
    assert sent["safetySettings"] == []


def test_a_whole_generation_config_is_merged_with_what_was_said_besides() -> None:
    given: dict[str, Json] = {"topK": 40, "thinkingConfig": {"includeThoughts": True}}
    sent = body(max_tokens=5, options={"generationConfig": given, "thinkingBudget": -1})
    assert sent["generationConfig"] == {
        "maxOutputTokens": 5,
        "topK": 40,
        "thinkingConfig": {"includeThoughts": True, "thinkingBudget": -1},
    }


@pytest.mark.parametrize("setting", [{"temperature": 2.1}, {"top_p": 1.5}, {"max_tokens": 0}])
def test_a_setting_out_of_range_is_refused_before_it_is_sent(setting: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="out of range"):
        provider().check(request(**setting))


@pytest.mark.parametrize("messages", [(message("assistant", "Hi."),), (message("system", "Be brief."),), ()])
def test_a_conversation_that_the_user_does_not_begin_is_refused_before_it_is_sent(messages: tuple[Message]) -> None:
    with pytest.raises(UsageError, match="must begin"):
        provider().check(ChatRequest("gemini-3.8-flash", messages))


def test_turns_of_one_role_become_one_turn_with_their_parts_side_by_side() -> None:
    said: tuple[tuple[Role, str], ...] = (
        ("user", "a"),
        ("user", ""),
        ("user", "b"),
        ("assistant", ""),
        ("user", "c"),
        ("assistant", "d"),
        ("tool", "e"),
        ("user", "f"),
    )
    sent = body(*(message(role, text) for role, text in said))
    assert sent["contents"] == [
        {"role": "user", "parts": [{"text": "a"}, {"text": "b"}, {"text": "c"}]},
        {"role": "model", "parts": [{"text": "d"}]},
        {"role": "user", "parts": [{"text": "e"}, {"text": "f"}]},
    ]


# --- what goes back: each part as Gemini wrote it ---------------------------------------------------


WEATHER = {"functionCall": {"id": "c1", "name": "wx", "args": {"q": "Ås"}}, "thoughtSignature": "c2ln"}
TIME = {"functionCall": {"name": "now", "args": {}}}


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([{"text": "Hi"}], id="text"),
        pytest.param([{"text": "Hi", "thoughtSignature": "c2ln"}], id="signed text"),
        pytest.param([{"text": "Hi 🦙"}, {"text": "", "thoughtSignature": "c2ln"}], id="signature at the end"),
        pytest.param([{"text": "Hi"}, {"text": " there", "thoughtSignature": "c2ln"}], id="unsigned, signed"),
        pytest.param([{"text": "Hi", "thoughtSignature": "YQ=="}, {"text": " there"}], id="signed, unsigned"),
        pytest.param(
            [{"text": "Hi", "thoughtSignature": "YQ=="}, {"text": " you", "thoughtSignature": "Yg=="}], id="both signed"
        ),
        pytest.param(
            [{"text": "Hi", "thoughtSignature": "YQ=="}, {"text": "", "thoughtSignature": "Yg=="}], id="signed twice"
        ),
        pytest.param([{"text": "Hm", "thought": True}, {"text": "Hi"}], id="thinking"),
        pytest.param([{"text": "Hm", "thought": True}, {"text": "", "thoughtSignature": "YQ=="}], id="only thinking"),
        pytest.param(
            [{"text": "Hm", "thought": True, "thoughtSignature": "c2ln"}, {"text": "Hi"}], id="signed thinking"
        ),
        pytest.param(
            [{"text": "Hm", "thought": True}, {"text": ".", "thought": True, "thoughtSignature": "YQ=="}],
            id="unsigned, signed thinking",
        ),
        pytest.param([{"text": "Hm", "thought": True}, {"text": "I look."}, WEATHER, TIME], id="thinking, text, calls"),
        pytest.param([WEATHER, {"text": "Wait."}], id="text behind a call"),
        pytest.param(
            [
                {"executableCode": {"id": "x1", "language": "PYTHON", "code": "print(1)"}, "thoughtSignature": "YQ=="},
                {"codeExecutionResult": {"id": "x1", "outcome": "OUTCOME_OK", "output": "1\n"}},
                {"text": "It is 1."},
            ],
            id="executed code",
        ),
        pytest.param([{"toolCall": {"toolType": "GOOGLE_SEARCH"}}, {"text": "Yes."}], id="a tool of Google's"),
        pytest.param([{"thoughtSignature": "c2ln"}], id="nothing but a signature"),
        pytest.param(
            [{"thought": True, "inlineData": {"mimeType": "image/png", "data": "YQ=="}}], id="a thought image"
        ),
    ],
)
def test_an_answer_goes_back_part_by_part_as_it_came(parts: list[dict[str, Any]]) -> None:
    """BerriAI/litellm#16893, agnt-gg/agnt#35: signatures were lost in the stream, or only the first was kept."""
    told = read(*(response(part) for part in parts), response(finish="STOP", usageMetadata=COUNTS))
    assert said_again(*parts_of(told)) == parts
    assert said_again(*parts_of(whole(response(*parts, finish="STOP")))) == parts


def test_pieces_of_a_text_may_be_joined_but_not_with_a_signed_one() -> None:
    told = read(response({"text": "a"}), response({"text": "b"}), response({"text": "c", "thoughtSignature": "YQ=="}),
                response({"text": "d"}), response({"text": "e"}, finish="STOP"))  # fmt: skip
    assert said_again(*parts_of(told)) == [{"text": "ab"}, {"text": "c", "thoughtSignature": "YQ=="}, {"text": "de"}]


def test_a_signature_behind_the_finish_reason_is_not_lost() -> None:
    told = read(
        response({"text": "Hi"}),
        response(finish="STOP"),
        response({"text": "", "thoughtSignature": "c2ln"}),
        {"usageMetadata": COUNTS},
    )
    assert said_again(*parts_of(told)) == [{"text": "Hi"}, {"text": "", "thoughtSignature": "c2ln"}]
    assert told[-2:] == [Usage(9, 4, 13), STOP]


def test_signed_text_that_was_changed_since_keeps_its_signature() -> None:
    marker = Thinking("", {"thoughtSignature": "c2ln", "characters": 3})
    assert said_again(Text("Hi"), marker) == [{"text": "Hi", "thoughtSignature": "c2ln"}]
    assert said_again(marker) == [{"text": "", "thoughtSignature": "c2ln"}]


def test_thinking_of_another_provider_is_not_sent_to_gemini() -> None:
    others = (
        Thinking("Hm", {"signature": "x"}),
        Thinking("", {"type": "redacted_thinking", "data": "y"}),
        Thinking("."),
    )
    assert said_again(*others, Text("Hi")) == [{"text": "Hi"}]


def test_calls_of_another_provider_go_to_gemini_3_with_the_placeholder() -> None:
    """pipecat-ai/pipecat#5809. Of parallel calls only the first needs a signature."""
    calls = (ToolCall("call_a", "f", '{"a":1}'), ToolCall("call_b", "g"))
    first = {"functionCall": {"id": "call_a", "name": "f", "args": {"a": 1}}}
    second = {"functionCall": {"id": "call_b", "name": "g", "args": {}}}
    signed = {**first, "thoughtSignature": PLACEHOLDER}
    for model in ("gemini-3.8-flash", "gemini-flash-latest"):
        assert said_again(Text("Hi"), *calls, model=model) == [{"text": "Hi"}, signed, second]
    for model in ("gemini-2.5-flash", "models/gemini-2.5-pro", "gemma-3-27b-it"):
        assert said_again(Text("Hi"), *calls, model=model) == [{"text": "Hi"}, first, second]


def test_an_id_that_we_made_up_does_not_go_back() -> None:
    call = parts_of(read(response(TIME, TIME, finish="STOP")))[1]
    assert isinstance(call, ToolCall)
    assert call.id
    assert said_again(call, model="gemini-2.5-flash") == [TIME]


def test_arguments_that_are_no_object_go_back_inside_one() -> None:
    (sent,) = said_again(ToolCall("c1", "f", "[bad", valid=False))
    assert sent["functionCall"]["args"] == {"arguments": "[bad"}


@pytest.mark.parametrize(
    "complaint", ["Corrupted thought signature.", "Invalid value at 'contents[1].parts[0].thought_signature'"]
)
def test_signatures_that_gemini_refuses_are_left_out_once(complaint: str) -> None:
    """heyhuynhgiabuu/proxypal#119: another key or another model does not know them."""
    adapter = provider()
    error = adapter.read_error(400, {}, google_error(400, complaint, "INVALID_ARGUMENT"))
    parts = (
        Text("Hi"),
        Thinking("", {"thoughtSignature": "YQ==", "characters": 0}),
        ToolCall("c1", "f", opaque={"thoughtSignature": "Yg=="}),
    )
    asked = request(*HELLO, Message("assistant", parts), *HELLO)
    again = adapter.adapt(asked, error)
    assert again is not None
    sent = decoded(adapter.chat_request(again, stream=True).body)
    function = {"id": "c1", "name": "f", "args": {}}
    assert sent["contents"][1]["parts"] == [{"text": "Hi"}, {"functionCall": function, "thoughtSignature": PLACEHOLDER}]
    assert adapter.adapt(again, error) is None


def test_a_turn_that_was_nothing_but_a_signature_is_left_out_with_it() -> None:
    marker = Thinking("", {"thoughtSignature": "YQ==", "characters": 0})
    asked = request(*HELLO, Message("assistant", (marker,)), *HELLO, without=frozenset({"thoughtSignature"}))
    sent = decoded(provider().chat_request(asked, stream=True).body)
    assert sent["contents"] == [{"role": "user", "parts": [{"text": "hello"}, {"text": "hello"}]}]


def test_no_other_error_leaves_signatures_out() -> None:
    adapter = provider()
    for status, text in ((400, "Invalid value at 'contents'"), (503, "Corrupted thought signature.")):
        assert adapter.adapt(request(), adapter.read_error(status, {}, google_error(status, text))) is None


# --- what is read ---------------------------------------------------------------------------------


def test_a_stream_of_thinking_and_text_is_read_wherever_it_is_cut() -> None:
    told = read(
        response({"text": "Let", "thought": True}, modelVersion="gemini-3.8-flash", responseId="r1"),
        response({"text": " me see.", "thought": True}, modelVersion="gemini-3.8-flash", responseId="r1"),
        response({"text": "Ça "}, usageMetadata={"promptTokenCount": 9, "totalTokenCount": 9}),
        response({"text": "va 🦙\u2028\n"}),
        response(finish="STOP", usageMetadata=COUNTS),
    )
    assert told == [
        Metadata({"model": "gemini-3.8-flash", "id": "r1"}),
        ThinkingDelta("Let"),
        ThinkingDelta(" me see."),
        ThinkingEnd(THOUGHT),
        TextDelta("Ça "),
        Usage(9, None, 9),
        TextDelta("va 🦙\u2028\n"),
        Usage(9, 4, 13),
        STOP,
    ]


def test_a_whole_answer_is_read_like_a_stream() -> None:
    parts = ({"text": "Hm", "thought": True}, {"text": "Hi"}, WEATHER)
    assert whole(response(*parts, finish="STOP", modelVersion="m", usageMetadata=COUNTS)) == [
        Metadata({"model": "m"}),
        ThinkingDelta("Hm"),
        ThinkingEnd(THOUGHT),
        TextDelta("Hi"),
        ToolCall("c1", "wx", '{"q": "Ås"}', opaque={"thoughtSignature": "c2ln"}),
        Usage(9, 4, 13),
        Finish("tool_calls", "STOP"),
    ]


def test_a_stream_that_comes_as_one_json_array_is_read_too() -> None:
    """So Google streams where `alt=sse` got lost on the way."""
    assert whole([response({"text": "Hi"}), response({"text": " there"}, finish="STOP")]) == [
        TextDelta("Hi"),
        TextDelta(" there"),
        STOP,
    ]
    with pytest.raises(ProviderFailed, match="not complete"):
        whole([response({"text": "Hi"})])
    with pytest.raises(Busy, match="overloaded"):
        whole([response({"text": "Hi"}), json.loads(google_error(503, "overloaded", "UNAVAILABLE"))])


def test_a_call_makes_the_answer_one_of_tool_calls_although_gemini_says_stop() -> None:
    """BerriAI/litellm#12481, mlflow/mlflow#26099: also behind text, and with the reason in a piece of its own."""
    told = read(response({"text": "I look."}), response(WEATHER, TIME), response({"functionCall": {"name": "f"}}),
                response({"text": ""}, finish="STOP"))  # fmt: skip
    calls = [event for event in told if isinstance(event, ToolCall)]
    assert [(call.name, call.arguments, call.valid) for call in calls] == [
        ("wx", '{"q": "Ås"}', True),
        ("now", "{}", True),
        ("f", "{}", True),
    ]
    assert len({call.id for call in calls}) == 3
    assert told[-1] == Finish("tool_calls", "STOP")


@pytest.mark.parametrize(
    "call",
    [
        {"name": "f", "willContinue": True},
        {"partialArgs": [{"jsonPath": "$.q", "stringValue": "Ås", "willContinue": True}], "willContinue": True},
        {"name": "f", "partialArgs": [{"jsonPath": "$.q", "stringValue": "Ås"}]},
        {},
        {"args": {"q": "Ås"}},
    ],
)
def test_a_call_that_does_not_come_whole_is_no_call_of_something_else(call: dict[str, Any]) -> None:
    with pytest.raises(ProviderFailed, match="function call") as caught:
        read(response({"functionCall": call}), response({"text": ""}, finish="STOP"))
    assert not caught.value.retryable


def test_a_call_in_an_answer_that_was_too_long_is_not_to_be_made() -> None:
    assert read(response(WEATHER, finish="MAX_TOKENS"))[-1] == Finish("length", "MAX_TOKENS")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("CONTINUATION", "length"),
        *((raw, "content_filter") for raw in ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII")),
        *((raw, "content_filter") for raw in ("LANGUAGE", "IMAGE_SAFETY", "IMAGE_OTHER", "MODEL_ARMOR", "ESCALATION")),
        *((raw, "content_filter") for raw in ("IMAGE_RECITATION", "IMAGE_PROHIBITED_CONTENT", "PUP_LIMITED_DISABLED")),
        *((raw, "error") for raw in ("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS")),
        *((raw, "error") for raw in ("MALFORMED_RESPONSE", "MISSING_THOUGHT_SIGNATURE", "OTHER")),
        ("A_WORD_OF_NEXT_YEAR", "other"),
    ],
)
def test_the_reason_why_the_model_stopped_is_told_in_one_language(raw: str, reason: FinishReason) -> None:
    assert read(response({"text": "Hi"}, finish=raw))[-1] == Finish(reason, raw)


def test_an_answer_that_ends_with_an_error_tells_its_words() -> None:
    why = "Malformed function call: print(default_api.wx(q='Ås'"
    failed = {"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL", "finishMessage": why}]}
    with pytest.raises(ProviderFailed, match="MALFORMED_FUNCTION_CALL: Malformed function call: print"):
        read(response({"text": "Hi"}), failed)
    with pytest.raises(ProviderFailed, match="MALFORMED_FUNCTION_CALL: Malformed function call: print"):
        whole(failed)


@pytest.mark.parametrize(
    "candidate", [{}, {"content": {}}, {"content": None}, {"content": {"role": "model"}}, {"content": {"parts": None}}]
)
def test_a_candidate_without_content_is_no_crash(candidate: dict[str, Any]) -> None:
    """0xPlaygrounds/rig#1030: so it comes with MALFORMED_FUNCTION_CALL, and where the output was blocked."""
    assert whole({"candidates": [{**candidate, "finishReason": "MAX_TOKENS"}]}) == [Finish("length", "MAX_TOKENS")]


def test_a_prompt_that_is_blocked_is_an_answer_of_the_content_filter() -> None:
    blocked = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 9}}
    expected = [
        Metadata({"refusal": "PROHIBITED_CONTENT"}),
        Usage(9, None, None),
        Finish("content_filter", "PROHIBITED_CONTENT"),
    ]
    assert read(blocked) == expected
    assert whole(blocked) == expected


def test_ratings_of_a_prompt_that_is_not_blocked_say_nothing() -> None:
    assert read({"promptFeedback": {"safetyRatings": []}}, response({"text": "Hi"}, finish="STOP")) == [
        TextDelta("Hi"),
        STOP,
    ]


def test_an_answer_that_is_blocked_says_why() -> None:
    candidate = {"finishReason": "SAFETY", "finishMessage": "Too dangerous."}
    assert Metadata({"refusal": "Too dangerous."}) in read(response({"text": "Hi"}), {"candidates": [candidate]})


def test_the_last_count_of_tokens_is_the_one_and_its_parts_are_added_up() -> None:
    last = {
        "promptTokenCount": 9,
        "toolUsePromptTokenCount": 5,
        "cachedContentTokenCount": 3,
        "candidatesTokenCount": 4,
        "thoughtsTokenCount": 30,
        "totalTokenCount": 48,
    }
    told = read(
        response({"text": "Hi"}, usageMetadata=COUNTS),
        response(finish="STOP", usageMetadata=COUNTS),
        {"usageMetadata": last},
    )
    assert told[-2:] == [Usage(14, 34, 48, cached_tokens=3, reasoning_tokens=30), STOP]


def test_counts_that_are_not_told_are_not_zero() -> None:
    assert not any(
        isinstance(event, Usage) for event in read(response({"text": "Hi"}, finish="STOP", usageMetadata={}))
    )
    assert Usage(9, 2, 11) in whole(
        response(finish="STOP", usageMetadata={"promptTokenCount": 9, "candidatesTokenCount": 2})
    )


def test_of_several_candidates_the_first_is_the_answer() -> None:
    first = {"index": 0, "content": {"parts": [{"text": "one"}]}, "finishReason": "STOP"}
    second = {"index": 1, "content": {"parts": [{"text": "two"}]}, "finishReason": "MAX_TOKENS"}
    assert whole({"candidates": [first, second]}) == [TextDelta("one"), STOP]
    assert read({"candidates": [second]}, {"candidates": [first]}, {"candidates": [second]}) == [TextDelta("one"), STOP]


def test_what_google_found_is_told_once() -> None:
    grounding: dict[str, Json] = {"webSearchQueries": ["llama"]}
    piece = {"content": {"parts": [{"text": "Hi"}]}, "groundingMetadata": grounding}
    told = read({"candidates": [piece]}, {"candidates": [piece]}, response(finish="STOP"))
    assert told == [TextDelta("Hi"), Metadata({"groundingMetadata": grounding}), TextDelta("Hi"), STOP]


# --- the end of a stream --------------------------------------------------------------------------


@pytest.mark.parametrize("reason", [None, "", "FINISH_REASON_UNSPECIFIED"])
def test_a_stream_that_ends_without_a_finish_reason_is_not_complete(reason: str | None) -> None:
    stream = sse(response({"text": "Hi"}), response({"text": " there"}, finish=reason, usageMetadata=COUNTS))
    told = list(events([stream]))
    assert TextDelta(" there") in told
    assert not any(isinstance(event, Finish) for event in told)
    with pytest.raises(ProviderFailed, match="not complete"):
        whole(response({"text": "Hi"}, finish=reason))


def test_an_answer_is_complete_with_its_finish_reason_and_finished_with_the_body() -> None:
    adapter = provider()
    reader, framing = adapter.reader(request()), adapter.framing()
    for record in framing.feed(sse(response({"text": "Hi"}))):
        list(reader.feed(record))
    assert not reader.complete
    told = [event for record in framing.feed(sse(response(finish="STOP"))) for event in reader.feed(record)]
    assert reader.complete
    assert told == [], "a last count of tokens may still come"
    assert list(reader.end()) == [STOP]


def test_a_last_piece_without_its_blank_line_is_read() -> None:
    stream = sse(response({"text": "Hi"}), response(finish="STOP"))
    assert list(events([stream.rstrip()])) == [TextDelta("Hi"), STOP]


def test_a_body_that_is_no_answer_of_gemini_is_an_error() -> None:
    with pytest.raises(ProviderFailed, match="not complete"):
        whole({"status": "ok"})
    with pytest.raises(ProviderFailed, match="malformed"):
        list(events([b"data: Gemini\n\n"]))


# --- errors in the middle of a stream -------------------------------------------------------------


def google_error(code: int, text: str, status: str = "", *details: object, listed: bool = False) -> bytes:
    """As Google writes it: over several lines, sometimes in a list of one."""
    error = {"error": {"code": code, "message": text, "status": status, "details": list(details)}}
    return json.dumps([error] if listed else error, indent=2).encode()


@pytest.mark.parametrize("line", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("listed", [False, True])
def test_an_error_that_stands_raw_in_the_stream_is_found_wherever_it_is_cut(line: bytes, listed: bool) -> None:
    """maximhq/bifrost#5262, nearai/ironclaw#1510. What it says may hold brackets and quotes of its own."""
    error = google_error(503, 'The model is overloaded: "}]" \\ {[', "UNAVAILABLE", listed=listed)
    stream = sse(response({"text": "Hi"}), line=line) + error.replace(b"\n", line) + line
    for cut in range(1, len(stream)):
        told = events([stream[:cut], stream[cut:]])
        assert next(told) == TextDelta("Hi")
        with pytest.raises(Busy, match="overloaded"):
            next(told)


def test_an_error_is_there_with_its_last_bracket_and_does_not_wait_for_the_end() -> None:
    error = google_error(500, "Internal error encountered.", "INTERNAL")
    framing = GeminiSSE()
    assert framing.feed(sse(response({"text": "Hi"})) + error[:-1])[1:] == []
    assert framing.feed(error[-1:]) == [Record(error.decode(), "error")]


def test_what_follows_json_that_stands_raw_is_read_as_before() -> None:
    framing = GeminiSSE()
    stream = b'data: a\n\n{"x": [1]}\n\ndata: b\n\n[{}]{}\r\n{}\ndata: c\n\n'
    expected = [Record("a"), Record('{"x": [1]}', "error"), Record("b"), Record("[{}]", "error"), Record("{}", "error"),
                Record("c")]  # fmt: skip
    assert framing.feed(stream) == expected
    framing = GeminiSSE()
    assert [record for place in range(len(stream)) for record in framing.feed(stream[place : place + 1])] == expected


def test_an_error_may_be_all_that_comes() -> None:
    error = google_error(503, "The model is overloaded", "UNAVAILABLE")
    with pytest.raises(Busy, match="overloaded"):
        list(events([error]))


def test_brackets_inside_the_pieces_of_an_answer_are_no_errors() -> None:
    text = '{"a": [1]}\n{"error": 1}\n['
    assert read(response({"text": text}, finish="STOP")) == [TextDelta(text), STOP]
    assert list(GeminiSSE().feed(b"data: [\ndata: {\n\n: {\n\nevent: {\ndata: x\n\n")) == [
        Record("[\n{"),
        Record("x", "{"),
    ]


def test_an_error_that_was_cut_is_an_error_too() -> None:
    error = google_error(503, "The model is overloaded", "UNAVAILABLE")
    with pytest.raises(ProviderFailed, match="malformed"):
        list(events([sse(response({"text": "Hi"})) + error[: len(error) // 2]]))


def test_an_error_without_end_does_not_fill_the_memory() -> None:
    framing = GeminiSSE()
    piece = b'"' + b"x" * (2**20 - 2) + b'"'
    framing.feed(b"[" + b"".join([piece] * 15))
    with pytest.raises(ProviderFailed, match="longer than 16 MB"):
        framing.feed(piece)


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        (429, "RESOURCE_EXHAUSTED", Busy),
        (500, "INTERNAL", ProviderFailed),
        (503, "UNAVAILABLE", Busy),
        (504, "DEADLINE_EXCEEDED", ProviderFailed),
    ],
)
def test_an_error_in_the_framing_is_an_error_too(code: int, status: str, expected: type[LlmError]) -> None:
    error = json.loads(google_error(code, "It went wrong.", status))
    with pytest.raises(expected, match="It went wrong"):
        list(events([sse(response({"text": "Hi"}), error)]))


# --- errors ---------------------------------------------------------------------------------------

INFO = "type.googleapis.com/google.rpc."
MINUTE = {"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "quotaValue": "10"}
DAY = {"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "quotaValue": "250"}
RETRY = {"@type": f"{INFO}RetryInfo", "retryDelay": "46.5s"}
EXCEEDED = "You exceeded your current quota, please check your plan and billing details. Please retry in 46.5s."


def quota(*violations: object) -> dict[str, Any]:
    return {"@type": f"{INFO}QuotaFailure", "violations": list(violations)}


@pytest.mark.parametrize(
    ("code", "status", "text", "expected"),
    [
        (400, "INVALID_ARGUMENT", "Unknown name \"topQ\" at 'generation_config': Cannot find field.", RequestRejected),
        (400, "FAILED_PRECONDITION", "User location is not supported for the API use.", RequestRejected),
        (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", AuthenticationFailed),
        (400, "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum number of tokens allowed (8).",
         ContextTooLong),
        (401, "UNAUTHENTICATED", "Request had invalid authentication credentials.", AuthenticationFailed),
        (403, "PERMISSION_DENIED", "Your API key was reported as leaked.", AuthenticationFailed),
        (404, "NOT_FOUND", "models/gemini-9 is not found for API version v1beta, or is not supported for "
         "generateContent. Call ListModels to see the list of available models.", UnknownModel),
        (404, "NOT_FOUND", "models/gemini-2.5-flash is no longer available.", UnknownModel),
        (429, "RESOURCE_EXHAUSTED", "Resource has been exhausted.", Busy),
        (499, "CANCELLED", "The operation was cancelled.", ProviderFailed),
        (500, "INTERNAL", "An internal error has occurred.", ProviderFailed),
        (503, "UNAVAILABLE", "The model is overloaded. Please try again later.", Busy),
        (504, "DEADLINE_EXCEEDED", "Deadline expired before operation could complete.", ProviderFailed),
    ],
)  # fmt: skip
@pytest.mark.parametrize("listed", [False, True])
def test_every_error_of_the_api_is_told_apart(
    code: int, status: str, text: str, expected: type[LlmError], listed: bool
) -> None:
    """nearai/ironclaw#1510: streams answer with the error in a list of one."""
    error = provider().read_error(code, {}, google_error(code, text, status, listed=listed))
    assert type(error) is expected
    assert text in error.message


def test_a_wrong_key_is_known_by_its_reason_whatever_the_message_says() -> None:
    """Google answers 400 to it, and not always with the same sentence."""
    detail = {"@type": f"{INFO}ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}
    error = provider().read_error(400, {}, google_error(400, "Clé invalide.", "INVALID_ARGUMENT", detail))
    assert type(error) is AuthenticationFailed


@pytest.mark.parametrize("listed", [False, True])
def test_the_quota_of_a_minute_is_waited_for_as_long_as_the_answer_says(listed: bool) -> None:
    body = google_error(429, EXCEEDED, "RESOURCE_EXHAUSTED", quota(MINUTE), RETRY, listed=listed)
    error = provider().read_error(429, {}, body)
    assert type(error) is Busy
    assert RetryPolicy().pause(error, 1) == 46.5


@pytest.mark.parametrize(
    ("said", "seconds"), [("46.1s", 46.1), ("538ms", 0.538), ("1m7.5s", 67.5), ("2h1m0.5s", 7260.5), ("a while", None)]
)
def test_how_long_to_wait_may_stand_only_in_the_words(said: str, seconds: float | None) -> None:
    many = "* Quota exceeded for metric: generate_content_free_tier_requests, limit: 20, model: gemini-3\n" * 9
    text = f"You exceeded your current quota.\n{many}Please retry in {said}."
    error = provider().read_error(429, {}, google_error(429, text, "RESOURCE_EXHAUSTED"))
    assert type(error) is Busy
    assert error.retry_after == seconds


def test_the_word_of_a_header_beats_the_words_of_the_message() -> None:
    error = provider().read_error(429, {"retry-after": "3"}, google_error(429, EXCEEDED, "RESOURCE_EXHAUSTED"))
    assert error.retry_after == 3


def test_the_quota_of_a_day_is_not_waited_for() -> None:
    """google-gemini/gemini-cli#10925: three minutes of retries that could not help."""
    for details in ((quota(DAY), RETRY), (quota(MINUTE, DAY), RETRY)):
        error = provider().read_error(429, {}, google_error(429, EXCEEDED, "RESOURCE_EXHAUSTED", *details))
        assert type(error) is QuotaExceeded
        assert RetryPolicy().pause(error, 1) is None


def test_a_model_that_the_plan_does_not_have_is_not_waited_for() -> None:
    text = f"{EXCEEDED} Quota exceeded for metric: free_tier_requests, limit: 0, model: gemini-3.1-pro"
    error = provider().read_error(429, {}, google_error(429, text, "RESOURCE_EXHAUSTED", quota(MINUTE), RETRY))
    assert type(error) is QuotaExceeded


# --- models ---------------------------------------------------------------------------------------


def test_models_that_can_chat_are_listed_page_by_page() -> None:
    adapter = provider()
    assert adapter.models_request().url.endswith("/v1beta/models?pageSize=1000")
    assert adapter.models_request("a/b=").url.endswith("/v1beta/models?pageSize=1000&pageToken=a%2Fb%3D")
    chats = {"supportedGenerationMethods": ["generateContent", "countTokens"]}
    page = {
        "models": [
            {
                "name": "models/gemini-3.8-flash",
                "displayName": "Gemini 3.8 Flash",
                "inputTokenLimit": 1048576,
                "outputTokenLimit": 65536,
                "thinking": True,
                **chats,
            },
            {"name": "models/gemini-embedding-001", "supportedGenerationMethods": ["embedContent"]},
            {"name": "models/imagen-4"},
            {"name": "models/gemma-3-27b-it", **chats},
        ],
        "nextPageToken": "next",
    }
    assert adapter.read_models(page) == ModelPage(
        (
            Model(
                "gemini-3.8-flash",
                name="Gemini 3.8 Flash",
                context_length=1048576,
                max_output_tokens=65536,
                capabilities=("chat", "thinking"),
            ),
            Model("gemma-3-27b-it", capabilities=("chat",)),
        ),
        next="next",
    )
    assert adapter.read_models({"models": []}) == ModelPage((), None)


@pytest.mark.parametrize("page", [{}, {"models": None}, {"models": [None, 7, "x", {}]}])
def test_a_page_without_a_model_is_a_page(page: dict[str, Any]) -> None:
    """The API leaves out what is empty; what only embeds may fill a whole page."""
    assert provider().read_models(page) == ModelPage(())
    assert provider().read_models({**page, "nextPageToken": "more"}) == ModelPage((), "more")


def test_an_error_instead_of_a_list_of_models_is_that_error() -> None:
    with pytest.raises(Busy):
        provider().read_models({"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}})


def test_a_list_of_models_that_is_none_is_an_error() -> None:
    documents: tuple[object, ...] = ([], None, "models", {"models": "none"}, {"models": {}})
    for document in documents:
        with pytest.raises(ProviderFailed, match="no models"):
            provider().read_models(document)
