"""Version 2: messages and their parts, SSE with named events, and what other adapters get wrong."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from llmcli.errors import ProviderFailed
from llmcli.types import (
    ChatRequest,
    Event,
    Finish,
    Message,
    Metadata,
    ProviderConfig,
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

from llmcli_cohere import Cohere

ASKED = ChatRequest("command-a-03-2025", (message("user", "hello"),))
COUNTED: dict[str, Any] = {
    "billed_units": {"input_tokens": 5.0, "output_tokens": 4.0},
    "tokens": {"input_tokens": 71.0, "output_tokens": 4.0},
    "cached_tokens": 16.0,
}
BILLED = Metadata({"billed_units": COUNTED["billed_units"]})
USAGE = Usage(71, 4, 75, cached_tokens=16)


def provider() -> Cohere:
    return Cohere(ProviderConfig("cohere"))


def messages(*said: Message) -> Any:
    sent = provider().chat_request(ASKED._replace(messages=said), stream=False)
    return json.loads(sent.body or b"")["messages"]


def event(kind: str, said: dict[str, Any] | None = None, **more: Any) -> bytes:
    """An event as the API writes it: its name stands twice."""
    data = {"type": kind, **more} | ({"delta": {"message": said}} if said is not None else {})
    return f"event: {kind}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def text(*pieces: str, index: int = 0) -> bytes:
    start = event("content-start", {"content": {"type": "text", "text": ""}}, index=index)
    deltas = [event("content-delta", {"content": {"text": piece}}, index=index) for piece in pieces]
    return b"".join([start, *deltas, event("content-end", index=index)])


def thinking(*pieces: str, index: int = 0) -> bytes:
    start = event("content-start", {"content": {"type": "thinking", "thinking": ""}}, index=index)
    deltas = [event("content-delta", {"content": {"thinking": piece}}, index=index) for piece in pieces]
    return b"".join([start, *deltas, event("content-end", index=index)])


def call(name: str, *fragments: str, id: str = "", index: int = 0) -> bytes:  # noqa: A002
    first = {"id": id, "type": "function", "function": {"name": name, "arguments": ""}}
    start = event("tool-call-start", {"tool_calls": first}, index=index)
    deltas = [
        event("tool-call-delta", {"tool_calls": {"function": {"arguments": fragment}}}, index=index)
        for fragment in fragments
    ]
    return b"".join([start, *deltas, event("tool-call-end", index=index)])


START = event("message-start", {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": []}, id="m1")


def end(reason: str = "COMPLETE", **more: Any) -> bytes:
    data = {"type": "message-end", "delta": {"finish_reason": reason, "usage": COUNTED, **more}}
    return b"event: message-end\ndata: " + json.dumps(data).encode() + b"\n\n"


def read(stream: bytes) -> list[Event]:
    """The events of a stream through the real framing, and proof that they are the same wherever it is cut."""
    together = list(events([stream]))
    for cut in range(1, len(stream), 7):
        assert list(events([stream[:cut], stream[cut:]])) == together
    assert list(events(stream[place : place + 1] for place in range(len(stream)))) == together
    return together


def events(chunks: Iterable[bytes]) -> Iterator[Event]:
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


# --- what is sent ---------------------------------------------------------------------------------


def test_system_history_and_question_keep_their_places() -> None:
    said = (message("system", "Be brief."), message("user", "a"), message("assistant", "b"), message("user", "ç 🦙"))
    assert messages(*said) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "ç 🦙"},
    ]


def test_a_stream_is_asked_for_as_events() -> None:
    sent = provider().chat_request(ASKED, stream=True)
    assert json.loads(sent.body or b"")["stream"] is True
    assert sent.headers["Accept"] == "text/event-stream"


def test_tool_calls_go_back_with_their_plan_and_without_content() -> None:
    parts = (
        Thinking("I will look.", {"cohere": "tool_plan"}),
        ToolCall("c1", "f", '{"a":1}'),
        ToolCall("c2", "g", "[bad", valid=False),
    )
    assert messages(Message("assistant", parts)) == [
        {
            "role": "assistant",
            "tool_plan": "I will look.",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
                {"id": "c2", "type": "function", "function": {"name": "g", "arguments": '{"INVALID_JSON": "[bad"}'}},
            ],
        }
    ]


def test_text_before_tool_calls_of_another_provider_becomes_their_plan() -> None:
    parts = (Thinking("secret", {"signature": "s"}), Text("I look."), ToolCall("c1", "f"))
    assert messages(Message("assistant", parts))[0]["tool_plan"] == "I look."
    assert "tool_plan" not in messages(Message("assistant", (ToolCall("c1", "f"),)))[0]


def test_nothing_that_was_said_before_tool_calls_is_lost() -> None:
    parts = (Thinking("hm", {"cohere": "thinking"}), Text("I look."), ToolCall("c1", "f"))
    assert messages(Message("assistant", parts))[0]["tool_plan"] == "hm\n\nI look."


def test_what_cohere_thought_and_what_it_planned_stay_apart() -> None:
    parts = (Thinking("hm", {"cohere": "thinking"}), Thinking("I will", {"cohere": "tool_plan"}), ToolCall("c1", "f"))
    assert messages(Message("assistant", parts))[0]["tool_plan"] == "hm\n\nI will"


def test_thinking_of_cohere_goes_back_and_that_of_others_does_not() -> None:
    own = Message("assistant", (Thinking("hm", {"cohere": "thinking"}), Text("42")))
    foreign = Message("assistant", (Thinking("hm", {"signature": "s"}), Text("42")))
    blocks = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "42"}]
    assert messages(own, foreign) == [
        {"role": "assistant", "content": blocks},
        {"role": "assistant", "content": "42"},
    ]


def test_a_message_of_nothing_is_left_out() -> None:
    assert messages(Message("assistant", (Text(" \n"),)), message("user", "a")) == [{"role": "user", "content": "a"}]


# --- what is read ---------------------------------------------------------------------------------


def test_a_stream_of_thinking_and_text_is_read_wherever_it_is_cut() -> None:
    """vercel/ai#8239: the first block is the thinking, and not the answer."""
    stream = START + thinking("Let me", " see.") + text("Ça ", "va 🦙\u2028", index=1) + end()
    assert read(stream) == [
        Metadata({"id": "m1"}),
        ThinkingDelta("Let me"),
        ThinkingDelta(" see."),
        ThinkingEnd({"cohere": "thinking"}),
        TextDelta("Ça "),
        TextDelta("va 🦙\u2028"),
        BILLED,
        USAGE,
        Finish("stop", "COMPLETE"),
    ]


def test_a_plan_and_its_tool_calls_are_read_from_a_stream() -> None:
    stream = (
        START
        + event("tool-plan-delta", {"tool_plan": "I "})
        + event("tool-plan-delta", {"tool_plan": "will look."})
        + call("f", '{"a"', ":1}", id="c1")
        + call("g", id="c2", index=1)
        + end("TOOL_CALL")
    )
    assert read(stream)[1:] == [
        ThinkingDelta("I "),
        ThinkingDelta("will look."),
        ThinkingEnd({"cohere": "tool_plan"}),
        ToolCallDelta("f", '{"a"'),
        ToolCallDelta("f", ":1}"),
        ToolCall("c1", "f", '{"a":1}'),
        ToolCall("c2", "g", "{}"),
        BILLED,
        USAGE,
        Finish("tool_calls", "TOOL_CALL"),
    ]


def test_tool_calls_that_are_written_at_once_are_told_apart_by_their_index() -> None:
    begun = [
        event("tool-call-start", {"tool_calls": {"id": f"c{n}", "function": {"name": name}}}, index=n)
        for n, name in enumerate("fg")
    ]
    pieces = [
        event("tool-call-delta", {"tool_calls": {"function": {"arguments": piece}}}, index=n)
        for n, piece in ((1, '{"b":'), (0, '{"a":1}'), (1, "2}"))
    ]
    calls = [made for made in read(b"".join(begun + pieces) + end()) if isinstance(made, ToolCall)]
    assert calls == [ToolCall("c0", "f", '{"a":1}'), ToolCall("c1", "g", '{"b":2}')]


def test_arguments_that_are_no_json_are_kept_and_marked() -> None:
    stream = call("f", '{"a":', id="c1") + end("MAX_TOKENS")
    assert ToolCall("c1", "f", '{"a":', valid=False) in read(stream)
    assert read(stream)[-1] == Finish("length", "MAX_TOKENS")


def test_citations_are_told_with_the_end() -> None:
    cited: dict[str, Any] = {"start": 0, "end": 2, "text": "Hi", "sources": [{"type": "document", "id": "d"}]}
    stream = START + event("citation-start", {"citations": cited}, index=0) + event("citation-end", index=0) + end()
    assert Metadata({"citations": [cited]}) in read(stream)


def test_a_whole_answer_is_read_like_a_stream() -> None:
    cited: list[Any] = [{"start": 0, "end": 2, "text": "Hi"}]
    content = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Hi"}]
    said = {"role": "assistant", "content": content, "citations": cited}
    assert whole({"id": "m1", "finish_reason": "COMPLETE", "message": said, "usage": COUNTED}) == [
        Metadata({"id": "m1"}),
        ThinkingDelta("hm"),
        ThinkingEnd({"cohere": "thinking"}),
        TextDelta("Hi"),
        Metadata({"citations": cited}),
        BILLED,
        USAGE,
        Finish("stop", "COMPLETE"),
    ]


def test_a_whole_answer_may_be_plain_text() -> None:
    answer = {"finish_reason": "COMPLETE", "message": {"role": "assistant", "content": "Hi"}}
    assert whole(answer) == [TextDelta("Hi"), Finish("stop", "COMPLETE")]


@pytest.mark.parametrize("content", [{"text": "Hi"}, 42, False])
def test_a_content_that_nobody_can_read_is_no_empty_answer(content: object) -> None:
    with pytest.raises(ProviderFailed, match="content"):
        whole({"finish_reason": "COMPLETE", "message": {"role": "assistant", "content": content}})


def test_a_whole_answer_that_calls_tools_has_no_content() -> None:
    calls = [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
        {"type": "function", "function": {"name": "g", "arguments": ""}},
    ]
    said = {"role": "assistant", "tool_plan": "I look.", "tool_calls": calls}
    assert whole({"id": "m1", "finish_reason": "TOOL_CALL", "message": said})[1:] == [
        ThinkingDelta("I look."),
        ThinkingEnd({"cohere": "tool_plan"}),
        ToolCall("c1", "f", '{"a":1}'),
        ToolCall("call_1", "g", "{}"),
        Finish("tool_calls", "TOOL_CALL"),
    ]


@pytest.mark.parametrize(
    ("raw", "finish"),
    [
        ("COMPLETE", Finish("stop", "COMPLETE")),
        ("STOP_SEQUENCE", Finish("stop", "STOP_SEQUENCE")),
        ("MAX_TOKENS", Finish("length", "MAX_TOKENS")),
        ("TOOL_CALL", Finish("tool_calls", "TOOL_CALL")),
        ("ERROR", Finish("error", "ERROR")),
        ("TIMEOUT", Finish("error", "TIMEOUT")),
        ("A_WORD_OF_NEXT_YEAR", Finish("other", "A_WORD_OF_NEXT_YEAR")),
        ("", Finish("stop", None)),
    ],
)
def test_the_reason_why_the_model_stopped_is_told_in_one_language(raw: str, finish: Finish) -> None:
    assert read(text("hi") + end(raw))[-1] == finish


def test_usage_that_was_not_told_is_not_invented() -> None:
    """Billed units are no count of tokens."""
    events = read(event("message-end", usage={}))
    assert not any(isinstance(told, Usage) for told in events)
    billed = json.dumps({"type": "message-end", "delta": {"usage": {"billed_units": {"input_tokens": 5}}}})
    assert not any(isinstance(told, Usage) for told in read(f"data: {billed}\n\n".encode()))


def test_a_count_that_is_no_whole_number_is_no_count() -> None:
    tokens = '{"type":"message-end","delta":{"usage":{"tokens":{"input_tokens":1.5,"output_tokens":4}}}}'
    assert Usage(None, 4) in read(f"data: {tokens}\n\n".encode())


def test_the_error_that_an_answer_ends_with_is_raised_with_its_words() -> None:
    with pytest.raises(ProviderFailed, match="the model fell over"):
        read(START + text("hi") + end("ERROR", error="the model fell over"))


def test_an_error_under_status_200_is_an_error() -> None:
    with pytest.raises(ProviderFailed, match="no luck"):
        whole({"message": "no luck", "id": "e1"})
    with pytest.raises(ProviderFailed, match="no luck"):
        read(START + b'data: {"message": "no luck"}\n\n')
    with pytest.raises(ProviderFailed, match="no message"):
        whole({"status": "ok"})


def test_an_error_in_the_shape_of_a_gateway_is_an_error_too() -> None:
    with pytest.raises(ProviderFailed, match="bad upstream"):
        read(START + text("hi") + b'data: {"error": {"message": "bad upstream"}}\n\n')


def test_thinking_that_nobody_closed_is_complete_at_the_end() -> None:
    left_open = event("content-delta", {"content": {"thinking": "hm"}}, index=0)
    assert read(left_open + end())[:2] == [ThinkingDelta("hm"), ThinkingEnd({"cohere": "thinking"})]


def test_events_of_next_year_and_the_end_marker_of_others_say_nothing() -> None:
    stream = START + event("debug", prompt="<BOS>") + event("a-new-event", said={"x": 1}) + text("hi") + end()
    assert read(stream + b"data: [DONE]\n\n") == read(START + text("hi") + end())
    assert not any(isinstance(told, Finish) for told in read(START + text("hi") + b"data: [DONE]\n\n"))


def test_the_name_of_an_event_is_enough_where_its_data_has_no_type() -> None:
    stream = b'event: content-delta\ndata: {"delta":{"message":{"content":{"text":"hi"}}}}\n\n'
    assert read(stream) == [TextDelta("hi")]


def test_a_stream_that_was_cut_has_no_finish() -> None:
    stream = START + text("hi", " there") + end()
    last = stream.rindex(b"event: message-end")
    for kept in range(len(START), len(stream) - 2, 5):
        told = list(events([stream[:kept]]))
        assert not any(isinstance(each, Finish) for each in told) or kept > last


def test_an_answer_is_complete_at_its_message_end_and_not_before() -> None:
    adapter = provider()
    reader, framing = adapter.reader(ASKED), adapter.framing()
    for record in framing.feed(START + text("hi")):
        list(reader.feed(record))
    assert not reader.complete
    for record in framing.feed(end()):
        list(reader.feed(record))
    assert reader.complete


def test_two_answers_may_be_read_at_once() -> None:
    adapter = provider()
    readers = [adapter.reader(ASKED), adapter.reader(ASKED)]
    told: list[list[Event]] = [[], []]
    streams = (thinking("a") + text("b") + end(), thinking("c") + text("d") + end())
    for records in zip(*(adapter.framing().feed(stream) for stream in streams), strict=True):
        for number, record in enumerate(records):
            told[number] += readers[number].feed(record)
    assert [[each.text for each in events if isinstance(each, TextDelta)] for events in told] == [["b"], ["d"]]
