"""`adapter = "http"`: an API described by tables, read and asked as they say; what is wrong with one is told before."""

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from llmcli.answer import Fold
from llmcli.config import Config, provider_setup
from llmcli.errors import Busy, ConfigurationError, LlmError, ProviderFailed, RequestRejected
from llmcli.providers.declarative import Declarative
from llmcli.types import (
    ChatRequest,
    Event,
    Finish,
    Message,
    Metadata,
    Model,
    Schema,
    TextDelta,
    ThinkingDelta,
    ThinkingEnd,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    Usage,
    message,
)
from tests.chat_streams import ASKED, stream_events

CHAT: dict[str, Any] = {"path": "/chat", "request": "{model: model, messages: messages}", "content": "text"}
STREAM: dict[str, Any] = {"framing": "jsonl", "delta": "text", "end": "done"}


def provider(chat: Mapping[str, Any] = CHAT, **tables: Any) -> Declarative:
    """The provider of a table, made by the configuration as a user's would be."""
    table = {"base_url": "https://acme.example/v2", "chat": {**CHAT, **chat}, **tables}
    config = Config(providers={"acme": table}, sources={"acme": "config.toml"})
    return Declarative(provider_setup(config, "acme", Declarative, {}).config)


def streaming(chat: Mapping[str, Any] | None = None, **stream: Any) -> Declarative:
    return provider(chat or {}, stream={**STREAM, **stream})


def body(adapter: Declarative, *, stream: bool = False, **settings: Any) -> Any:
    return json.loads(adapter.chat_request(ASKED._replace(**settings), stream=stream).body or b"")


def whole(adapter: Declarative, answer: object) -> list[Event]:
    sent = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return list(adapter.reader(ASKED).body(sent))


def lines(*documents: object) -> bytes:
    return b"".join(json.dumps(document).encode() + b"\n" for document in documents)


def events(adapter: Declarative, *pieces: bytes) -> list[Event]:
    return list(stream_events(adapter, *pieces))


# --- requests -------------------------------------------------------------------------------------


def test_a_request_is_what_its_expression_makes() -> None:
    request = provider({"request": "{conversation: messages[].{speaker: role, text: content}}"})

    assert body(request) == {"conversation": [{"speaker": "user", "text": "hi"}]}


def test_what_nobody_said_is_not_sent() -> None:
    adapter = provider({"request": "{q: prompt, settings: {max: max_tokens, t: temperature}}"})

    assert body(adapter, max_tokens=5) == {"q": "hi", "settings": {"max": 5}}


def test_a_stream_is_asked_for_by_keys_that_replace_the_chats() -> None:
    adapter = streaming({"request": "{q: prompt, mode: 'whole'}"}, request="{mode: 'pieces', on: stream}")

    assert body(adapter, stream=True) == {"q": "hi", "mode": "pieces", "on": True}
    assert body(adapter) == {"q": "hi", "mode": "whole"}


def test_a_path_may_hold_the_models_name() -> None:
    adapter = provider({"path": "/models/{model}/run?v=1", "request": "{inputs: prompt}"})
    wire = adapter.chat_request(ASKED._replace(model="meta llama/Llama-2"), stream=False)

    assert wire.url == "https://acme.example/v2/models/meta%20llama/Llama-2/run?v=1"


def test_a_stream_may_have_a_path_of_its_own() -> None:
    adapter = streaming(path="/chat_stream")

    assert adapter.chat_request(ASKED, stream=True).url.endswith("/chat_stream")
    assert adapter.chat_request(ASKED, stream=False).url.endswith("/chat")


def test_constants_are_seen_as_vars() -> None:
    adapter = provider({"request": "{query: vars.document, q: prompt}"}, vars={"document": "mutation {}"})

    assert body(adapter) == {"query": "mutation {}", "q": "hi"}


@pytest.mark.parametrize(
    ("said", "named"),
    [({"temperature": 0.5}, "temperature"), ({"max_tokens": 3}, "max_tokens"), ({"top_p": 0.5}, "top_p"),
     ({"seed": 1}, "seed"), ({"stop": ("x",)}, "stop"), ({"options": {"a": 1}}, "options.a"),
     ({"tools": (Tool("f"),)}, "tools"), ({"tool_choice": "none"}, "tool_choice"), ({"thinking": 5}, "thinking"),
     ({"schema": Schema("x", {})}, "schema")],
)  # fmt: skip
def test_what_no_expression_uses_is_refused_and_not_dropped(said: dict[str, Any], named: str) -> None:
    with pytest.raises(RequestRejected, match=f"acme cannot be told {named}") as caught:
        provider().chat_request(ASKED._replace(**said), stream=False)
    assert caught.value.hint == f"use {named} in config.toml: providers.acme.chat.request"


def test_what_is_said_is_checked_against_the_request_that_is_made() -> None:
    adapter = streaming({"request": "{q: prompt, s: options.style}"}, request="{heat: temperature}")

    adapter.chat_request(ASKED._replace(temperature=0.5, options={"style": "dry"}), stream=True)
    with pytest.raises(RequestRejected, match="cannot be told temperature"):
        adapter.chat_request(ASKED._replace(temperature=0.5), stream=False)
    with pytest.raises(RequestRejected, match=r"cannot be told options\.stile"):
        adapter.chat_request(ASKED._replace(options={"stile": "dry"}), stream=True)


def test_all_options_go_where_an_expression_puts_them_all() -> None:
    adapter = provider({"request": "merge({q: prompt}, options)"})

    assert body(adapter, options={"any": 1}) == {"q": "hi", "any": 1}


def test_a_system_prompt_that_no_expression_uses_is_refused() -> None:
    asked = ChatRequest("m", (message("system", "Be brief."), message("user", "hi")))

    with pytest.raises(RequestRejected, match="cannot be told system"):
        provider({"request": "{prompt: prompt}"}).chat_request(asked, stream=False)
    provider({"request": "{prompt: prompt, system: system}"}).chat_request(asked, stream=False)
    provider({"request": "{messages: messages}"}).chat_request(asked, stream=False)


def test_options_and_tools_go_where_an_expression_puts_them() -> None:
    adapter = provider({"request": "{model: model, functions: tools, style: options.style, q: prompt}"})
    asked = ASKED._replace(options={"style": "dry", "tools": [{"name": "f"}]})

    assert json.loads(adapter.chat_request(asked, stream=False).body or b"") == {
        "model": "m",
        "functions": [{"name": "f"}],
        "style": "dry",
        "q": "hi",
    }


TOOLS = {
    "request": """{turns: turns[].{who: role, text: content, call: tool_call_id, wrong: failed, made: tool_calls[].id},
      functions: tools[].function.{name: name, about: description, takes: parameters}, call: tool_choice,
      form: schema, effort: if(thinking == 'off', 'none', thinking)}""",
    "tool_calls": "calls",
}


def test_tools_a_schema_and_thinking_go_where_an_expression_puts_them() -> None:
    adapter, schema = provider(TOOLS), {"type": "object"}
    asked = ASKED._replace(
        tools=(Tool("clock", "The time."),), tool_choice="clock", schema=Schema("x", schema), thinking="off"
    )

    assert json.loads(adapter.chat_request(asked, stream=False).body or b"") == {
        "turns": [{"who": "user", "text": "hi"}],
        "functions": [{"name": "clock", "about": "The time.", "takes": {"type": "object", "properties": {}}}],
        "call": "clock",
        "form": schema,
        "effort": "none",
    }


def test_what_came_of_calls_goes_back_where_an_expression_puts_messages() -> None:
    calls = (ToolCall("c1", "clock"), ToolCall("c2", "clock"))
    results = (ToolResult("c1", "clock", "7:00"), ToolResult("c2", "clock", "broken", failed=True))
    talk = (*ASKED.messages, Message("assistant", calls), Message("tool", results))

    assert body(provider(TOOLS), messages=talk, tools=(Tool("clock"),))["turns"][1:] == [
        {"who": "assistant", "text": "", "made": ["c1", "c2"]},
        {"who": "tool", "text": "7:00", "call": "c1"},
        {"who": "tool", "text": "broken", "call": "c2", "wrong": True},
    ]
    with pytest.raises(RequestRejected, match="cannot be told messages"):
        provider({"request": "{prompt: prompt}"}).chat_request(ASKED._replace(messages=talk), stream=False)


def test_not_to_think_need_not_be_told_where_nothing_thinks() -> None:
    assert body(provider(), thinking="off") == body(provider())
    with pytest.raises(RequestRejected, match="cannot be told thinking"):
        provider({"thinking": "thought"}).chat_request(ASKED._replace(thinking="off"), stream=False)


def test_an_api_without_a_model_needs_none() -> None:
    assert provider({"request": "{prompt: prompt}"}).default_model == "default"
    assert provider({"request": "{model: model, q: prompt}"}).default_model is None
    assert provider({"path": "/{model}", "request": "{prompt: prompt}"}).default_model is None


# --- whole answers --------------------------------------------------------------------------------


def test_an_answer_is_read_where_the_expressions_say() -> None:
    adapter = provider(
        {
            "content": "result.said",
            "thinking": "result.thought",
            "model": "result.by",
            "usage": "count.{prompt_tokens: i, completion_tokens: o}",
            "metadata": "{debug: debug}",
            "finish_reason": "result.why",
        }
    )
    answer = {
        "result": {"said": "yes", "thought": "hm", "by": "m2", "why": "MAX_TOKENS"},
        "count": {"i": 3, "o": 2.0},
        "debug": 7,
    }

    assert whole(adapter, answer) == [
        ThinkingDelta("hm"),
        ThinkingEnd(),
        TextDelta("yes"),
        Metadata({"model": "m2"}),
        Metadata({"debug": 7}),
        Usage(3, 2, 5),
        Finish("length", "MAX_TOKENS"),
    ]


@pytest.mark.parametrize(
    ("word", "reason"),
    [("MAX_TOKENS", "length"), ("FINISH_REASON_MAX_TOKENS", "length"), ("end_turn", "stop"),
     ("STOP_REASON_STOP", "stop"),
     ("tool_use", "tool_calls"), ("SAFETY", "content_filter"), ("odd", "other")],
)  # fmt: skip
def test_the_words_of_apis_for_why_a_model_stopped_are_known(word: str, reason: str) -> None:
    assert whole(provider({"finish_reason": "why"}), {"text": "hi", "why": word})[-1] == Finish(reason, word)


def test_an_answer_may_be_plain_text() -> None:
    adapter = provider({"record": "text", "content": "@"})

    assert whole(adapter, b"  <b>yes</b>\n") == [TextDelta("  <b>yes</b>\n"), Finish("stop")]


def test_an_empty_text_is_an_answer() -> None:
    assert whole(provider(), {"text": ""}) == [Finish("stop")]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"txt": "hi"}, "text is null: the document is an object with txt"),
        ({"text": None}, "text is null: the document is an object with text"),
        ({"text": {"parts": []}}, "text is an object with parts"),
        ({"text": 7}, "text is a number: 7"),
        ([], "text is null: the document is a list of 0"),
    ],
)
def test_an_answer_without_the_text_that_was_promised_is_an_error(answer: object, told: str) -> None:
    with pytest.raises(ProviderFailed) as caught:
        whole(provider(), answer)

    assert caught.value.message == f"config.toml: providers.acme.chat.content should find a string, but {told}"
    assert caught.value.status == 8


@pytest.mark.parametrize(
    ("name", "found", "wanted"),
    [("usage", 7, "an object"), ("usage", {"in": 1}, "an object with prompt_tokens"),
     ("metadata", "x", "an object"), ("model", ["m"], "a string"),
     ("thinking", 1, "a string"), ("finish_reason", {}, "a string"), ("tool_calls", {}, "a list of calls")],
)  # fmt: skip
def test_whatever_else_is_not_what_was_promised_is_an_error_too(name: str, found: object, wanted: str) -> None:
    with pytest.raises(ProviderFailed, match=f"chat.{name} should find {wanted}.*, but x is"):
        whole(provider({name: "x"}), {"text": "hi", "x": found})


def test_tool_calls_are_read_in_a_plain_form_and_in_openais() -> None:
    adapter = provider({"tool_calls": "calls"})
    plain = {"calls": [{"name": "f", "arguments": {"a": 1}}, {"name": "f", "arguments": {}}]}
    openai = {"calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}]}

    calls = [event for event in whole(adapter, plain) if isinstance(event, ToolCall)]
    assert [(call.name, call.arguments, call.valid) for call in calls] == [("f", '{"a": 1}', True), ("f", "{}", True)]
    assert len({call.id for call in calls}) == 2
    assert whole(adapter, openai)[-2:] == [ToolCall("c1", "f", '{"a": 1}'), Finish("tool_calls")]


def test_thinking_alone_is_no_answer_unless_the_limit_came() -> None:
    adapter = provider({"thinking": "thought", "finish_reason": "why"})

    with pytest.raises(ProviderFailed, match=r"chat\.content should find a string"):
        whole(adapter, {"thought": "hm", "why": "stop"})
    assert whole(adapter, {"thought": "hm", "why": "length"})[-1] == Finish("length", "length")


@pytest.mark.parametrize("calls", [[{"nam": "f"}], [{"function": 5}], [{"function": {"arguments": "{}"}}]])
def test_a_call_without_a_name_is_an_error(calls: Any) -> None:
    with pytest.raises(ProviderFailed, match="should find calls with a name"):
        whole(provider({"tool_calls": "calls"}), {"text": None, "calls": calls})


def test_a_number_that_json_cannot_say_is_an_error() -> None:
    with pytest.raises(ProviderFailed, match="a number is too large"):
        whole(provider({"usage": "{prompt_tokens: n}"}), b'{"text": "hi", "n": 1e999}')


def test_an_error_of_an_api_of_plain_text_may_be_json() -> None:
    adapter = provider({"record": "text", "content": "@", "error": "error.text", "error_status": "error.code"})

    with pytest.raises(Busy, match="slow down"):
        whole(adapter, b'{"error": {"text": "slow down", "code": 429}}')
    assert adapter.read_error(500, {}, b'{"error": {"text": "slow down", "code": 429}}').status == 6
    assert whole(adapter, b'{"some": "json"}') == [TextDelta('{"some": "json"}'), Finish("stop")]


def test_a_filter_may_leave_nothing_of_an_answer() -> None:
    adapter = provider({"finish_reason": "why"})

    assert whole(adapter, {"text": None, "why": "SAFETY"}) == [Finish("content_filter", "SAFETY")]


# --- streams --------------------------------------------------------------------------------------

SAID = [{"text": "Hel"}, {"note": 1}, {"text": "lo 👋"}, {"text": "\n", "done": False}]
LAST = {"done": True, "usage": {"prompt_tokens": 1, "completion_tokens": 2}, "model": "m2", "why": "length"}
FACTS = {"usage": "usage", "model": "model", "finish_reason": "why"}


def framed(framing: str, documents: list[Any]) -> bytes:
    texts = [json.dumps(document, ensure_ascii=False) for document in documents]
    if framing == "sse":
        return "".join(f"data: {text}\n\n" for text in texts).encode()
    if framing == "json-array":
        return f"[{','.join(texts)}]".encode()
    return "".join(text + ("\n" if framing == "jsonl" else "|||") for text in texts).encode()


@pytest.mark.parametrize("framing", ["sse", "jsonl", "json-array", "delimiter"])
def test_a_stream_is_read_however_it_is_framed_and_cut(framing: str) -> None:
    more = {"delimiter": "|||"} if framing == "delimiter" else {}
    adapter = streaming(framing=framing, **more, **FACTS)
    wire = framed(framing, [*SAID, LAST])
    read = events(adapter, wire)

    assert read == [
        TextDelta("Hel"),
        TextDelta("lo 👋"),
        TextDelta("\n"),
        Metadata({"model": "m2"}),
        Usage(1, 2, 3),
        Finish("length", "length"),
    ]
    for at in range(len(wire)):
        assert events(adapter, wire[:at], wire[at:]) == read
    assert events(adapter, *(wire[at : at + 1] for at in range(len(wire)))) == read


def test_a_stream_that_ends_without_its_marker_says_what_it_had_instead() -> None:
    read = stream_events(streaming(), lines(*SAID))

    assert [next(read) for _ in range(3)] == [TextDelta("Hel"), TextDelta("lo 👋"), TextDelta("\n")]
    with pytest.raises(ProviderFailed) as caught:
        next(read)
    assert "without its end marker" in caught.value.message
    assert "providers.acme.stream.end (done) was true of none of its 4 records; the last is an" in caught.value.message


def test_named_events_that_the_table_does_not_expect_are_told() -> None:
    with pytest.raises(ProviderFailed) as caught:
        events(streaming(framing="sse"), b'event: token\ndata: {"say": "hi"}\n\nevent: fin\ndata: {}\n\n')

    assert "was true of none of its 2 records, and text was null in all" in caught.value.message
    assert caught.value.hint == 'its events have names: record = "event" would see them'


@pytest.mark.parametrize(
    ("end", "marker"),
    [
        ("[DONE]", b"data: [DONE]\n\n"),
        ("'<end>'", b"data: <end>\n\n"),
        ("type == 'bye'", b'data: {"type": "bye"}\n\n'),
    ],
)
def test_a_stream_ends_by_a_sentinel_or_an_expression(end: str, marker: bytes) -> None:
    adapter = streaming(framing="sse", end=end)
    piece = b'data: {"text": "hi"}\n\n'

    assert events(adapter, piece + marker) == [TextDelta("hi"), Finish("stop")]
    with pytest.raises(ProviderFailed, match="without its end marker"):
        events(adapter, piece)


def test_zero_is_not_the_end() -> None:
    read = events(streaming(), lines({"text": "Hello ", "done": 0}, {"text": "world", "done": 0}, {"done": 1}))

    assert read == [TextDelta("Hello "), TextDelta("world"), Finish("stop")]


def test_facts_that_are_repeated_are_told_once_and_the_last_counts_hold() -> None:
    pieces = [
        {"text": "a", "model": "m", "n": {"total_tokens": 1}},
        {"text": "b", "model": "m", "n": {"total_tokens": 2}},
        {"done": True, "n": {"total_tokens": None}},
    ]
    read = events(streaming(model="model", usage="n"), lines(*pieces))

    assert read == [TextDelta("a"), Metadata({"model": "m"}), TextDelta("b"), Usage(total_tokens=2), Finish("stop")]


def test_what_comes_behind_the_end_is_read() -> None:
    read = events(streaming(usage="usage"), lines({"text": "hi", "done": True}, {"usage": {"total_tokens": 4}}))

    assert read == [TextDelta("hi"), Usage(total_tokens=4), Finish("stop")]


def test_a_stream_of_text_may_end_with_its_body() -> None:
    adapter = streaming(framing="delimiter", delimiter="|||", record="text", delta="@", end="eof")
    wire = b" one|||two ||| three"

    assert events(adapter, wire) == [TextDelta(" one"), TextDelta("two "), TextDelta(" three"), Finish("stop")]
    assert adapter.reader(ASKED).ends_with_body
    assert not streaming().reader(ASKED).ends_with_body


def test_the_names_of_events_can_be_read() -> None:
    adapter = streaming(
        framing="sse", record="event", delta="if(event == 'token', data.t)", end="event == 'end'", usage="data.usage"
    )
    wire = (
        b'event: ping\ndata: x\n\nevent: token\ndata: {"t": "hi"}\n\nevent: note\ndata: {"t": "no"}\n\n'
        b'event: end\ndata: {"usage": {"total_tokens": 4}}\n\n'
    )

    assert events(adapter, wire) == [TextDelta("hi"), Usage(total_tokens=4), Finish("stop")]


def test_what_an_api_wants_back_is_kept_and_sent() -> None:
    """The signature of thinking and of a call; and ids that some count from 0 in each answer are told apart."""
    read = {"signature": "sign", "thinking": "thought", "tool_calls": "calls[].{id: ref, name: name, sign: sign}"}
    seen = "text: content, thought: thinking, sign: signature, calls: tool_calls[].[id, sign], of: tool_call_id"
    sent = f"{{talk: turns[].{{{seen}}}, functions: tools}}"
    adapter = provider({"request": sent, **read}, stream={**STREAM, **read})
    calls = [{"ref": "0", "name": "f", "sign": "s2"}]
    in_pieces = ({"thought": "h"}, {"thought": "m", "sign": "s1"}, {"calls": calls}, {"done": True})
    for told in (
        whole(adapter, {"text": "", "thought": "hm", "sign": "s1", "calls": calls}),
        events(adapter, lines(*in_pieces)),
    ):
        fold = Fold("acme", "m", keep=True)
        list(fold.watch(iter(told)))
        asked = (fold.reply().message, Message("tool", (ToolResult("0", "f", "x"),)))
        first, of_first, second, of_second = body(adapter, messages=asked * 2)["talk"]
        assert (first["thought"], first["sign"]) == ("hm", "s1")
        (one, sign), (other, _) = first["calls"][0], second["calls"][0]
        assert (sign, one == other) == ("s2", False)
        assert (of_first["of"], of_second["of"]) == (one, other)


def test_thinking_and_calls_are_read_from_a_stream() -> None:
    adapter = streaming(thinking="thought", tool_calls="calls")
    call = {"id": "c1", "name": "f", "arguments": {"a": 1}}
    read = events(adapter, lines({"thought": "h"}, {"thought": "m"}, {"text": "so"}, {"calls": [call]}, {"done": True}))

    assert read == [
        ThinkingDelta("h"),
        ThinkingDelta("m"),
        ThinkingEnd(),
        TextDelta("so"),
        ToolCallDelta("f", '{"a": 1}'),
        ToolCall("c1", "f", '{"a": 1}'),
        Finish("tool_calls"),
    ]


def test_calls_in_pieces_are_put_together() -> None:
    adapter = streaming(tool_calls="delta.tool_calls")
    pieces = [{"index": 0, "id": "c1", "function": {"name": "f", "arguments": '{"a'}},
              {"index": 0, "function": {"arguments": '": 1}'}}]  # fmt: skip
    read = events(adapter, lines(*({"delta": {"tool_calls": [piece]}} for piece in pieces), {"done": True}))

    assert read[-2:] == [ToolCall("c1", "f", '{"a": 1}'), Finish("tool_calls")]


def test_a_stream_that_never_had_the_text_that_was_promised_is_an_error() -> None:
    with pytest.raises(ProviderFailed, match=r"stream\.delta: text is null in all 2 records; the first is an object w"):
        events(streaming(), lines({"txt": "hi"}, {"done": True}))


def test_a_stream_whose_text_is_empty_is_an_answer() -> None:
    assert events(streaming(), lines({"text": "", "done": True})) == [Finish("stop")]


def test_a_piece_that_is_no_text_is_an_error() -> None:
    with pytest.raises(ProviderFailed, match=r"stream\.delta should find a string, but text is a number: 7"):
        events(streaming(), lines({"text": 7}))


def test_an_answer_that_comes_whole_though_a_stream_was_asked_for_is_read_as_whole() -> None:
    adapter = streaming({"content": "message"}, framing="sse")

    assert whole(adapter, {"message": "hi"}) == [TextDelta("hi"), Finish("stop")]


def test_two_answers_are_read_at_once() -> None:
    adapter = streaming(**FACTS)
    one, two = adapter.reader(ASKED), adapter.reader(ASKED)
    framing = adapter.framing()
    records = framing.feed(lines(*SAID, LAST))
    mixed: list[list[Event]] = [[], []]
    for record in records:
        mixed[0] += one.feed(record)
        mixed[1] += two.feed(record)
    mixed[0] += one.end()
    mixed[1] += two.end()

    assert mixed[0] == mixed[1] == events(adapter, lines(*SAID, LAST))


# --- errors ---------------------------------------------------------------------------------------

TOLD = {"error": "fault.text", "error_status": "fault.code", "error_retryable": "fault.again"}


def raised(iterator: Iterator[Event] | list[Event]) -> LlmError:
    raise AssertionError(f"no error, but {list(iterator)}")


@pytest.mark.parametrize(
    ("fault", "status", "retryable"),
    [
        ({"text": "slow down", "code": 429}, 6, True),
        ({"text": "slow down", "code": "429"}, 6, True),
        ({"text": "slow down", "code": "rate_limit_exceeded"}, 6, True),
        ({"text": "who are you", "code": 401}, 4, False),
        ({"text": "no money", "code": "insufficient_quota"}, 9, False),
        ({"text": "boom", "code": 500, "again": False}, 8, False),
        ({"text": "odd"}, 8, True),
    ],
)
def test_an_error_in_an_answer_is_told_by_its_expressions(fault: Any, status: int, retryable: bool) -> None:
    adapter = provider(TOLD)

    with pytest.raises(LlmError) as caught:
        whole(adapter, {"fault": fault})

    assert caught.value.status == status
    assert fault["text"] in caught.value.message
    if "again" in fault:
        assert caught.value.retry_ok is retryable
    assert caught.value.retryable is retryable


def test_an_error_in_a_stream_is_told_on_any_record() -> None:
    adapter = streaming(TOLD)

    with pytest.raises(Busy, match="slow down"):
        events(adapter, lines({"text": "hi"}, {"fault": {"text": "slow down", "code": 429}}))


@pytest.mark.parametrize("nothing", [None, False, "", {}, []])
def test_an_error_that_is_nothing_is_none(nothing: object) -> None:
    assert whole(provider({"error": "error"}), {"text": "hi", "error": nothing}) == [TextDelta("hi"), Finish("stop")]


def test_without_an_expression_an_error_is_known_by_its_usual_shapes() -> None:
    with pytest.raises(LlmError, match="slow down"):
        whole(provider(), {"error": {"message": "slow down", "type": "rate_limit_error"}})


def test_with_an_expression_only_that_is_an_error() -> None:
    assert whole(provider({"error": "fault"}), {"text": "hi", "error": 3})[0] == TextDelta("hi")


def test_an_http_error_has_the_message_of_the_expression_and_the_status_of_http() -> None:
    adapter = provider({"error": "fault.text"})
    error = adapter.read_error(429, {"retry-after": "7"}, b'{"fault": {"text": "slow down"}}')

    assert (error.status, error.retry_after) == (6, 7)
    assert "slow down" in error.message
    assert "gateway" in adapter.read_error(502, {}, b"<html>bad gateway</html>").message


@pytest.mark.parametrize(
    ("code", "status"),
    [("rate_limit", 6), ("TOO MANY REQUESTS", 6), ("Unauthenticated", 4), ("NOT_FOUND", 5), ("overloaded", 6),
     ("INTERNAL", 8), ("quota_exceeded", 9), ("odd", 8)],
)  # fmt: skip
def test_the_usual_words_for_a_status_are_known(code: str, status: int) -> None:
    with pytest.raises(LlmError) as caught:
        whole(provider(TOLD), {"fault": {"text": "no", "code": code}})

    assert caught.value.status == status


def test_that_something_is_not_found_says_nothing_of_an_address_that_answered() -> None:
    with pytest.raises(LlmError) as caught:
        whole(provider(TOLD), {"fault": {"text": "no such voice", "code": 404}})

    assert caught.value.message == "no such voice"
    assert caught.value.hint is None


def test_an_error_that_is_no_text_is_shown_as_json() -> None:
    with pytest.raises(LlmError, match=r'\{"n": \[1, null\]\}'):
        whole(provider({"error": "fault"}), {"fault": {"n": [1, None]}})


def test_the_error_of_a_chat_is_found_in_the_data_of_events() -> None:
    adapter = streaming(
        {"error": "if(ok, `null`, why)"}, framing="sse", record="event", delta="data.t", end="event == 'fin'"
    )

    with pytest.raises(LlmError, match="gpu fell over"):
        events(adapter, b'event: oops\ndata: {"ok": false, "why": "gpu fell over"}\n\n')


# --- models and health ----------------------------------------------------------------------------


def test_models_are_listed_page_by_page_with_what_is_known_of_them() -> None:
    adapter = provider(
        models_list={
            "path": "/models?after={cursor}",
            "models": "items[].{id: slug, name: title, context_length: window}",
            "next": "more",
        }
    )
    page = adapter.read_models({"items": [{"slug": "a", "title": "A", "window": 8192}, {"slug": "b"}], "more": "x y"})
    request = adapter.models_request(page.next)

    assert page.models == (Model("a", "A", 8192), Model("b"))
    assert request is not None
    assert request.url == "https://acme.example/v2/models?after=x%20y"


def test_an_error_in_the_place_of_a_list_of_models_is_told() -> None:
    adapter = provider(TOLD, models_list={"path": "/models", "models": "items"})

    with pytest.raises(LlmError, match="who are you"):
        adapter.read_models({"fault": {"text": "who are you", "code": 401}, "items": []})


def test_models_may_be_a_list_of_names() -> None:
    adapter = provider(models_list={"path": "/models", "models": "@"})

    assert adapter.read_models(["a", "b"]).models == (Model("a"), Model("b"))
    with pytest.raises(ProviderFailed, match=r"models_list\.models should find a list, but"):
        adapter.read_models({})


def test_a_service_may_have_an_address_for_its_health() -> None:
    asked = provider(health={"path": "/healthz"}).health_request()

    assert asked is not None
    assert (asked.method, asked.url) == ("GET", "https://acme.example/v2/healthz")
    assert provider().health_request() is None


# --- mistakes in a table --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        ({"chat": {**CHAT, "request": "{a: mesages}"}}, "chat.request: unknown name mesages at column 5"),
        ({"chat": {**CHAT, "request": "messages"}}, "chat.request should make an object, but it makes a list of 4"),
        ({"chat": {**CHAT, "request": "{a: join('', [max_tokens])}"}}, "chat.request cannot be worked out"),
        ({"chat": {**CHAT, "request": "{a: model}"}}, "chat.request: the request does not hold the prompt: of a con"),
        ({"chat": {**CHAT, "request": "{a: messages[].txt}"}}, "the request does not hold the prompt"),
        ({"chat": {"path": "/chat", "content": "text"}}, "chat.request: the request does not hold the prompt"),
        ({"chat": {**CHAT, "request": "{q: prompt, r: join('', [turns[1].content])}"}}, "cannot be worked out"),
        ({"chat": {**CHAT, "request": "{q: from_json(prompt)}"}}, "chat.request cannot be worked out: malformed JSON"),
        ({"chat": {**CHAT, **TOOLS, "request": "{q: prompt, t: tools, r: messages[].from_json(content)}"}},
         "chat.request cannot be worked out: malformed JSON"),
        ({"chat": {**CHAT, **TOOLS, "request": "{q: prompt, t: tools[].join('', [name])}"}}, "cannot be worked out"),
        ({"chat": {**CHAT, "request": "{q: prompt, s: if(schema, join('', [schema]))}"}}, "cannot be worked"),
        ({"chat": {**CHAT, "path": "/{model-name}"}}, "chat.path: unknown name {model-name}"),
        ({"chat": {**CHAT, "error_status": "code"}}, "chat.error_status has no use without"),
        ({"chat": {**CHAT, "error": "if(c, &a)"}}, "chat.error: if() takes values"),
        ({"chat": {**CHAT, "record": "event"}}, "chat.record: a whole answer is no event"),
        ({"stream": {"framing": "jsonl", "record": "event", "delta": "data", "end": "event"}}, "stream.record: only "),
        ({"stream": {**STREAM, "delimiter": "|"}}, "stream.delimiter has no use"),
        ({"stream": {"record": "event", "delta": "data.t", "end": "evnt == 'x'"}}, "stream.end: unknown name evnt"),
        ({"stream": {"record": "event", "delta": "text", "end": "event == 'x'"}}, "stream.delta: unknown name text"),
        ({"chat": {**CHAT, "content": "a["}}, "chat.content: it ends too early at column 3"),
        ({"chat": {**CHAT, "usage": "foo(a)"}}, "chat.usage: unknown function foo()"),
        ({"chat": {**CHAT, "path": "chat"}}, 'chat.path should begin with `/`, and not be "chat"'),
        ({"chat": {**CHAT, "path": "/{modell}"}}, "chat.path: unknown name {modell}; there is only {model}"),
        ({"models_list": {"path": "/{model}", "models": "@"}}, "models_list.path: unknown name {model}"),
        ({"models_list": {"path": "/models"}}, "models_list.models is missing"),
        ({"health": {"path": "up"}}, "health.path should begin with `/`"),
        ({"chat": {**CHAT, "record": "yaml"}}, "chat.record: 'yaml' is none of json, text, event"),
        ({"chat": {"path": "/chat", "request": "{}"}}, "chat.content is missing"),
        ({"chat": {}}, " has no table `chat`"),
        ({"stream": {"framing": "jsonl", "end": "done"}}, "stream.delta is missing"),
        ({"stream": {"framing": "jsonl", "delta": "text"}}, "stream.end is missing"),
        ({"stream": {**STREAM, "framing": "xml"}}, "stream.framing: 'xml' is none of sse, jsonl"),
        ({"stream": {**STREAM, "framing": "delimiter"}}, "stream.delimiter is missing"),
        ({"stream": {**STREAM, "end": "a["}}, "stream.end: it ends too early"),
        ({"stream": {**STREAM, "request": "{a: nope}"}}, "stream.request: unknown name nope"),
        ({"chat": {**CHAT, "contnet": "x"}}, "unknown key providers.acme.chat.contnet"),
        ({"stream": {**STREAM, "delta": 7}}, "providers.acme.stream.delta should be text, not a number"),
        ({"models": {"x": {"chat": {"contnet": "x"}}}}, "unknown key providers.acme.models.x.chat.contnet"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_table_is_told_with_file_and_key_before_anything_is_sent(tables: Any, told: str) -> None:
    table = {"base_url": "https://acme.example/v2", "chat": CHAT, **tables}
    config = Config(providers={"acme": table}, sources={"acme": "config.toml"})

    with pytest.raises(ConfigurationError) as caught:
        Declarative(provider_setup(config, "acme", Declarative, {}).config)

    assert caught.value.message.startswith("config.toml: ")
    assert told in caught.value.message


@pytest.mark.parametrize(
    ("chat", "stream", "names"),
    [
        ({}, {}, ("chat", "stream")),
        ({}, {"thinking": "thought"}, ("chat", "stream", "thinking")),
        ({"request": "{q: prompt, effort: thinking}"}, {}, ("chat", "stream", "thinking")),
        ({"request": "{q: prompt, form: schema}"}, {}, ("chat", "stream", "schema")),
        ({"request": "{q: prompt, functions: tools}", "tool_calls": "calls"}, {}, ("chat", "stream", "tools")),
        ({"tool_calls": "calls"}, {"request": "{functions: tools}"}, ("chat", "stream", "tools")),
        ({"tool_calls": "calls"}, {}, ("chat", "stream")),
        ({"request": "{q: prompt, functions: tools}"}, {}, ("chat", "stream")),
    ],
)  # fmt: skip
def test_capabilities_are_those_of_the_tables(chat: Any, stream: Any, names: tuple[str, ...]) -> None:
    """Tools need both: a place in the request, and one in the answer for their calls."""
    assert streaming(chat, **stream).capabilities.names() == names
    assert provider().capabilities.names() == ("chat",)


def test_one_model_may_have_keys_of_its_own() -> None:
    table = {"base_url": "https://acme.example", "chat": CHAT, "models": {"old": {"chat": {"content": "choices[0]"}}}}
    config = Config(providers={"acme": table})
    old = Declarative(provider_setup(config, "acme", Declarative, {}, model="old").config)

    assert whole(old, {"choices": ["hi"]}) == [TextDelta("hi"), Finish("stop")]


# --- the documented tables ------------------------------------------------------------------------

TABLES = sorted((Path(__file__).parent.parent / "docs" / "tables").glob("*.toml"))


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_a_documented_table_is_short_and_right(path: Path) -> None:
    text = path.read_text()
    ((provider_id, table),) = tomllib.loads(text)["providers"].items()
    config = Config(providers={provider_id: table}, sources={provider_id: path.name})

    Declarative(provider_setup(config, provider_id, Declarative, {}).config)
    assert len(text.splitlines()) <= 20


def test_the_documented_table_with_tools_calls_them() -> None:
    """The table under "Tools, schemas, thinking", on a conversation with two calls and their results."""
    page = (Path(__file__).parent.parent / "docs" / "any-api.md").read_text()
    block = page.split("## Tools, schemas, thinking")[1].split("```toml\n")[1].split("```")[0]
    adapter = provider(tomllib.loads(block)["providers"]["acme"]["chat"])
    talk = (
        *ASKED.messages,
        Message("assistant", (ToolCall("c1", "clock", '{"tz":"UTC"}'), ToolCall("c2", "clock", "{bad"))),
        Message("tool", (ToolResult("c1", "clock", "7:00"), ToolResult("c2", "clock", "bad", failed=True))),
    )

    assert adapter.capabilities.names() == ("chat", "thinking", "tools", "schema")
    assert body(adapter, messages=talk, tools=(Tool("clock"),), tool_choice="required", thinking="high") == {
        "talk": [
            {"who": "user", "text": "hi"},
            {
                "who": "assistant",
                "text": "",
                "calls": [
                    {"ref": "c1", "name": "clock", "args": {"tz": "UTC"}},
                    {"ref": "c2", "name": "clock", "args": {"arguments": "{bad"}},
                ],
            },
            {"who": "tool", "text": "7:00", "answers": "c1"},
            {"who": "tool", "text": "bad", "answers": "c2", "failed": True},
        ],
        "functions": [{"name": "clock", "takes": {"type": "object", "properties": {}}}],
        "must_call": True,
        "effort": "high",
    }
    assert body(adapter, schema=Schema("x", {"type": "array"}))["output"] == {
        "kind": "json",
        "schema": {"type": "array"},
    }
    assert whole(adapter, {"thoughts": "Hm", "calls": [{"ref": "c1", "name": "clock", "args": {}}]})[-2:] == [
        ToolCall("c1", "clock"),
        Finish("tool_calls"),
    ]
