"""Ollama's own API: what is sent, what is read, and the bugs of other adapters that this one must not have."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from llmcli.errors import (
    AuthenticationFailed,
    Busy,
    ContextTooLong,
    LlmError,
    ProviderFailed,
    RequestRejected,
    UnknownModel,
    UsageError,
)
from llmcli.providers.ollama import Ollama
from llmcli.types import (
    ChatRequest,
    Event,
    Finish,
    Json,
    Message,
    Metadata,
    Model,
    ModelPage,
    ProviderConfig,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ThinkingEnd,
    ToolCall,
    Usage,
    message,
)
from tests.chat_streams import ASKED

HELLO = (message("user", "hello"),)
END: dict[str, Any] = {"done": True, "done_reason": "stop", "prompt_eval_count": 26, "eval_count": 9}


def provider(base_url: str | None = None, **own: Json) -> Ollama:
    return Ollama(ProviderConfig("ollama", base_url=base_url, own=own))


def request(*messages: Message, **settings: Any) -> ChatRequest:
    return ChatRequest("qwen3", messages or HELLO, **settings)


def body(*messages: Message, num_ctx: Json = None, stream: bool = False, **settings: Any) -> dict[str, Any]:
    adapter = provider(num_ctx=num_ctx) if num_ctx is not None else provider()
    sent = adapter.chat_request(request(*messages, **settings), stream=stream)
    assert sent.body is not None
    decoded: dict[str, Any] = json.loads(sent.body)
    return decoded


def line(content: str = "", *, done: bool = False, more: dict[str, Any] | None = None, **said: Any) -> dict[str, Any]:
    return {
        "model": "qwen3",
        "message": {"role": "assistant", "content": content, **said},
        "done": done,
        **(more or {}),
    }


def end(**more: Any) -> dict[str, Any]:
    return line(done=True, more={**END, **more})


def call(name: str, arguments: Any = None, **more: Any) -> dict[str, Any]:
    function = {"name": name} if arguments is None else {"name": name, "arguments": arguments}
    return {"function": function, **more}


def lines(*documents: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(document, ensure_ascii=False).encode() + b"\n" for document in documents)


def read(stream: bytes) -> list[Event]:
    """The events of a stream through the real framing, and proof that they are the same wherever it is cut."""
    together = list(events_of([stream]))
    for cut in range(1, len(stream)):
        assert list(events_of([stream[:cut], stream[cut:]])) == together
    assert list(events_of(stream[place : place + 1] for place in range(len(stream)))) == together
    return together


def events_of(chunks: Any) -> Iterator[Event]:
    adapter = provider()
    framing, reader = adapter.framing(), adapter.reader(ASKED)
    for chunk in chunks:
        for record in framing.feed(chunk):
            yield from reader.feed(record)
    for record in framing.end():
        yield from reader.feed(record)
    yield from reader.end()


def whole(document: object) -> list[Event]:
    return list(provider().reader(ASKED).body(json.dumps(document).encode()))


# --- where it is ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "used"),
    [
        (None, "http://127.0.0.1:11434"),
        ("localhost", "http://localhost:11434"),
        ("gpu.example:8000", "http://gpu.example:8000"),
        (":8000", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:11435", "http://127.0.0.1:11435"),
        ("http://0.0.0.0:11435", "http://127.0.0.1:11435"),
        ("[::]", "http://[::1]:11434"),
        ("::", "http://[::1]:11434"),
        ("[::]:11435", "http://[::1]:11435"),
        ("fe80::1", "http://[fe80::1]:11434"),
        ("[fe80::1]:80", "http://[fe80::1]:80"),
        ('"localhost:1" ', "http://localhost:1"),
        ("http://localhost", "http://localhost"),
        ("http://localhost:11434/", "http://localhost:11434"),
        ("http://localhost:11434/v1", "http://localhost:11434"),
        ("http://localhost:11434/v1/", "http://localhost:11434"),
        ("localhost:11434/api", "http://localhost:11434"),
        ("http://localhost:11434/api/chat", "http://localhost:11434"),
        ("http://localhost:11434/api/generate/", "http://localhost:11434"),
        ("https://me:pw@relay.example/ollama", "https://me:pw@relay.example/ollama"),
        ("https://ollama.com", "https://ollama.com"),
        ("https://ollama.com/api", "https://ollama.com"),
        ("ollama.com", "https://ollama.com"),
    ],
)
def test_the_address_may_be_written_as_for_ollama_itself(given: str | None, used: str) -> None:
    """As `Host` and `ConnectableHost` of ollama/ollama envconfig/config.go read it."""
    assert provider(given).chat_request(request(), stream=False).url == f"{used}/api/chat"


def test_a_key_is_sent_only_where_there_is_one() -> None:
    adapter = provider("https://ollama.com")
    sent = adapter.chat_request(request(), stream=False)
    assert "Authorization" not in sent.headers
    assert adapter.authorize(sent, "k").headers["Authorization"] == "Bearer k"
    assert not adapter.api_key.required


# --- what is sent ---------------------------------------------------------------------------------


def test_a_question_is_sent_with_stream_and_context_length_said() -> None:
    assert body() == {
        "model": "qwen3",
        "messages": [{"role": "user", "content": "hello"}],
        "stream": False,
        "truncate": False,
        "options": {"num_ctx": 8192},
    }
    assert body(stream=True)["stream"] is True


def test_settings_go_into_options_under_the_names_of_ollama() -> None:
    sent = body(max_tokens=5, temperature=0.0, top_p=0.9, seed=0, stop=("END",))
    assert sent["options"] == {
        "num_predict": 5,
        "temperature": 0.0,
        "top_p": 0.9,
        "seed": 0,
        "stop": ["END"],
        "num_ctx": 8192,
    }


def test_an_option_goes_where_the_api_wants_it() -> None:
    sent = body(
        temperature=0.5,
        options={"keep_alive": "5m", "think": "high", "format": "json", "truncate": True, "top_k": 3, "temperature": 1},
    )
    assert {name: sent[name] for name in ("keep_alive", "think", "format", "truncate")} == {
        "keep_alive": "5m",
        "think": "high",
        "format": "json",
        "truncate": True,
    }
    assert sent["options"] == {"temperature": 1, "top_k": 3, "num_ctx": 8192}


@pytest.mark.parametrize(
    ("characters", "max_tokens", "num_ctx"),
    [(100, None, 8192), (12_000, None, 8192), (13_000, None, 16384), (100, 9000, 16384), (100, -1, 8192)],
)
def test_the_context_is_long_enough_for_the_prompt_and_its_answer(
    characters: int, max_tokens: int | None, num_ctx: int
) -> None:
    """memrynote/memry#601: otherwise Ollama cuts the front off the prompt and says nothing."""
    assert body(message("user", "x" * characters), max_tokens=max_tokens)["options"]["num_ctx"] == num_ctx


def test_characters_of_many_bytes_count_as_many() -> None:
    assert body(message("user", "語" * 5_000))["options"]["num_ctx"] == 16384


def test_a_context_length_that_was_said_is_used_as_it_is() -> None:
    long = message("user", "x" * 100_000)
    assert body(long, num_ctx=4096)["options"]["num_ctx"] == 4096
    assert body(long, num_ctx=4096, options={"num_ctx": 2048})["options"]["num_ctx"] == 2048
    assert body(num_ctx=0)["options"]["num_ctx"] == 8192, "OLLAMA_CONTEXT_LENGTH=0 is no length"


def test_an_earlier_answer_goes_back_with_thinking_and_tool_calls_as_objects() -> None:
    parts = (Thinking("hm"), Text("I look."), ToolCall("call_1", "f", '{"a":1}'), ToolCall("call_2", "g", "[bad"))
    sent = body(message("system", "Be brief."), *HELLO, Message("assistant", parts), message("tool", "2"))
    assert sent["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hello"},
        {
            "role": "assistant",
            "content": "I look.",
            "thinking": "hm",
            "tool_calls": [
                {"id": "call_1", "function": {"index": 0, "name": "f", "arguments": {"a": 1}}},
                {"id": "call_2", "function": {"index": 1, "name": "g", "arguments": {"arguments": "[bad"}}},
            ],
        },
        {"role": "tool", "content": "2"},
    ]


@pytest.mark.parametrize("settings", [{"temperature": -0.1}, {"top_p": 1.1}, {"max_tokens": -3}])
def test_a_setting_out_of_range_is_refused_before_it_is_sent(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="out of range"):
        provider().check(request(**settings))
    provider().check(request(temperature=5.0, max_tokens=-2))


# --- what is read ---------------------------------------------------------------------------------


def test_a_stream_of_thinking_and_text_is_read_wherever_it_is_cut() -> None:
    stream = lines(
        line(thinking="Let"),
        line(thinking=" me see."),
        line("Ça "),
        line("va 🦙\u2028"),
        end(total_duration=5000000, load_duration=1000),
    )
    assert read(stream) == [
        Metadata({"model": "qwen3"}),
        ThinkingDelta("Let"),
        ThinkingDelta(" me see."),
        ThinkingEnd(),
        TextDelta("Ça "),
        TextDelta("va 🦙\u2028"),
        Usage(26, 9, 35),
        Metadata({"total_duration": 5000000, "load_duration": 1000}),
        Finish("stop", "stop"),
    ]


def test_a_whole_answer_is_read_like_a_stream() -> None:
    answer = line("hi", thinking="hm", tool_calls=[call("f", {"a": 1}, id="call_9")], done=True, more=END)
    assert whole(answer) == [
        Metadata({"model": "qwen3"}),
        ThinkingDelta("hm"),
        ThinkingEnd(),
        TextDelta("hi"),
        ToolCall("call_9", "f", '{"a": 1}'),
        Usage(26, 9, 35),
        Finish("tool_calls", "stop"),
    ]


def test_a_tool_call_before_the_last_line_makes_the_answer_one_of_tool_calls() -> None:
    """BerriAI/litellm#35663, BerriAI/litellm#12481: the last line says stop all the same."""
    stream = lines(
        line(thinking="hm"), line(tool_calls=[call("f", {"a": 1})]), line(tool_calls=[call("g"), call("h", {})]), end()
    )
    assert read(stream)[2:] == [
        ThinkingEnd(),
        ToolCall("call_0", "f", '{"a": 1}'),
        ToolCall("call_1", "g", "{}"),
        ToolCall("call_2", "h", "{}"),
        Usage(26, 9, 35),
        Finish("tool_calls", "stop"),
    ]


def test_arguments_that_are_text_are_taken_as_the_model_wrote_them() -> None:
    events = read(lines(line(tool_calls=[call("f", '{"a":1}'), call("g", '{"a":')]), end()))
    assert events[1:3] == [ToolCall("call_0", "f", '{"a":1}'), ToolCall("call_1", "g", '{"a":', valid=False)]


@pytest.mark.parametrize(
    ("raw", "finish"),
    [
        ("stop", Finish("stop", "stop")),
        ("", Finish("stop", None)),
        ("load", Finish("stop", "load")),
        ("unload", Finish("stop", "unload")),
        ("length", Finish("length", "length")),
        ("a_word_of_next_year", Finish("other", "a_word_of_next_year")),
    ],
)
def test_the_reason_why_the_model_stopped_is_told_in_one_language(raw: str, finish: Finish) -> None:
    assert read(lines(line("hi"), end(done_reason=raw)))[-1] == finish


def test_an_answer_that_was_too_long_is_that_even_with_tool_calls() -> None:
    assert read(lines(line(tool_calls=[call("f")]), end(done_reason="length")))[-1] == Finish("length", "length")


def test_counts_of_zero_that_the_server_leaves_out_are_zero() -> None:
    assert Usage(0, 0, 0) in read(lines({"model": "qwen3", "message": {"role": "assistant"}, "done": True}))


def test_blank_lines_and_a_missing_last_newline_do_no_harm() -> None:
    """pepperoni21/ollama-rs#357."""
    stream = b"\n" + lines(line("hi")) + b"\r\n\n" + lines(end()).rstrip()
    assert read(stream)[1:] == [TextDelta("hi"), Usage(26, 9, 35), Finish("stop", "stop")]


def test_an_error_on_any_line_is_an_error() -> None:
    """ollama/ollama-python#393, 0xPlaygrounds/rig#1758: it comes under status 200."""
    for stream in (lines({"error": "boom"}), lines(line("hi"), {"error": "boom"})):
        with pytest.raises(ProviderFailed, match="boom"):
            list(events_of([stream]))
    with pytest.raises(ProviderFailed, match="boom"):
        whole({"error": "boom"})


@pytest.mark.parametrize("kept", range(1, 200, 7))
def test_a_stream_that_was_cut_is_not_complete_and_not_malformed(kept: int) -> None:
    stream = lines(line("hi"), line(" there"), end())
    begun = stream.index(b"\n") + 1
    assert begun + kept < len(stream) - 2
    events = list(events_of([stream[: begun + kept]]))
    assert events[:2] == [Metadata({"model": "qwen3"}), TextDelta("hi")]
    assert not any(isinstance(event, Finish) for event in events)


def test_a_malformed_line_in_the_middle_is_an_error() -> None:
    with pytest.raises(ProviderFailed, match="malformed"):
        list(events_of([lines(line("hi")) + b'{"message":\n' + lines(end())]))


def test_a_body_that_is_no_answer_of_ollamas_is_an_error() -> None:
    with pytest.raises(ProviderFailed, match="malformed"):
        list(events_of([b"Ollama is running"]))
    with pytest.raises(ProviderFailed, match="no message"):
        whole({"status": "ok"})


def test_an_answer_is_complete_at_the_line_that_says_done() -> None:
    reader, framing = provider().reader(ASKED), provider().framing()
    for record in framing.feed(lines(line("hi"))):
        list(reader.feed(record))
    assert not reader.complete
    for record in framing.feed(lines(end())):
        list(reader.feed(record))
    assert reader.complete


# --- errors ---------------------------------------------------------------------------------------

# What llama.cpp said, handed on by Ollama as a string.
INNER = json.dumps(
    {
        "error": {
            "code": 400,
            "message": "request (8889 tokens) exceeds the available context size (4096 tokens), try increasing it",
            "type": "exceed_context_size_error",
        }
    }
)


@pytest.mark.parametrize(
    ("status", "text", "expected"),
    [
        (400, '"llama2" does not support thinking', RequestRejected),
        (400, INNER, ContextTooLong),
        (400, "the input length exceeds the context length", ContextTooLong),
        (400, "the prompt is longer than the context length currently available to the model", ContextTooLong),
        (400, "prompt too long; exceeded max context length by 4 tokens", ContextTooLong),
        (401, "unauthorized", AuthenticationFailed),
        (404, "model 'qwen9' not found", UnknownModel),
        (429, "too many requests", Busy),
        (500, "model requires more system memory than is available", ProviderFailed),
        (503, "server busy, please try again", Busy),
    ],
)
def test_every_error_of_the_api_is_told_apart(status: int, text: str, expected: type[LlmError]) -> None:
    error = provider().read_error(status, {}, json.dumps({"error": text}).encode())
    assert type(error) is expected


def test_an_error_that_ollama_only_hands_on_is_shown_without_its_wrapping() -> None:
    error = provider().read_error(400, {}, json.dumps({"error": INNER}).encode())
    assert error.message.endswith(
        "request (8889 tokens) exceeds the available context size (4096 tokens), try increasing it"
    )


# --- models ---------------------------------------------------------------------------------------


def test_models_that_are_there_are_listed_with_what_is_known_of_them() -> None:
    adapter = provider()
    assert adapter.models_request().url == "http://127.0.0.1:11434/api/tags"
    listed = {
        "models": [
            {
                "name": "qwen3:latest",
                "details": {"family": "qwen3", "context_length": 40960},
                "capabilities": ["completion", "tools", "thinking"],
            },
            {"name": "old:latest", "details": {}},
        ]
    }
    assert adapter.read_models(listed) == ModelPage(
        (Model("qwen3:latest", context_length=40960, capabilities=("chat", "tools", "thinking")), Model("old:latest"))
    )
    with pytest.raises(ProviderFailed):
        adapter.read_models([])
