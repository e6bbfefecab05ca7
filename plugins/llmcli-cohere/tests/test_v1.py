"""Version 1: one message and its history, JSON lines with an `event_type`."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from llmcli.errors import ProviderFailed, UsageError
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

ASKED = ChatRequest("command-r-08-2024", (message("user", "hello"),))
META: dict[str, Any] = {
    "api_version": {"version": "1"},
    "billed_units": {"input_tokens": 3.0, "output_tokens": 9.0},
    "tokens": {"input_tokens": 69.0, "output_tokens": 9.0},
}
BILLED = Metadata({"billed_units": META["billed_units"]})
USAGE = Usage(69, 9, 78)
START = {"is_finished": False, "event_type": "stream-start", "generation_id": "g1"}


def provider() -> Cohere:
    return Cohere(ProviderConfig("cohere", own={"api": "v1"}))


def body(*said: Message, stream: bool = False, **settings: Any) -> Any:
    sent = provider().chat_request(ASKED._replace(messages=said or ASKED.messages, **settings), stream=stream)
    return json.loads(sent.body or b"")


def event(kind: str, **fields: Any) -> dict[str, Any]:
    return {"is_finished": False, "event_type": kind, **fields}


def end(reason: str = "COMPLETE", **response: Any) -> dict[str, Any]:
    fields = {"text": "hi there", "generation_id": "g1", "finish_reason": reason, "meta": META, **response}
    return {"is_finished": True, "event_type": "stream-end", "finish_reason": reason, "response": fields}


def lines(*documents: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(document, ensure_ascii=False).encode() + b"\n" for document in documents)


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


def test_a_conversation_is_a_message_with_its_history_and_a_preamble() -> None:
    said = (
        message("system", "Be brief."),
        message("system", "Be kind."),
        message("user", "a"),
        message("assistant", "b"),
        message("system", "Now in French."),
        message("user", "ç 🦙"),
    )
    assert body(*said) == {
        "model": "command-r-08-2024",
        "message": "ç 🦙",
        "preamble": "Be brief.\n\nBe kind.",
        "chat_history": [
            {"role": "USER", "message": "a"},
            {"role": "CHATBOT", "message": "b"},
            {"role": "SYSTEM", "message": "Now in French."},
        ],
        "stream": False,
    }


def test_a_single_question_has_neither_history_nor_preamble() -> None:
    assert body(top_p=0.5) == {"model": "command-r-08-2024", "message": "hello", "p": 0.5, "stream": False}


def test_a_stream_is_asked_for_as_json_lines() -> None:
    sent = provider().chat_request(ASKED, stream=True)
    assert json.loads(sent.body or b"")["stream"] is True
    assert sent.headers["Accept"] == "application/stream+json"


def test_tool_calls_go_back_without_ids_and_with_parameters_as_an_object() -> None:
    parts = (
        Thinking("I look.", {"cohere": "tool_plan"}),
        ToolCall("c1", "f", '{"a":1}'),
        ToolCall("c2", "g", "[bad", valid=False),
    )
    assert body(message("user", "a"), Message("assistant", parts), message("user", "b"))["chat_history"][1] == {
        "role": "CHATBOT",
        "message": "I look.",
        "tool_calls": [{"name": "f", "parameters": {"a": 1}}, {"name": "g", "parameters": {"arguments": "[bad"}}],
    }


def test_an_earlier_answer_of_nothing_is_left_out() -> None:
    said = (message("user", "a"), Message("assistant", (Thinking("hm"), Text(""))), message("user", "b"))
    assert body(*said)["chat_history"] == [{"role": "USER", "message": "a"}]


@pytest.mark.parametrize(
    "said",
    [(), (message("system", "Be brief."),), (message("user", "a"), message("assistant", "b"))],
)
def test_a_conversation_must_end_with_the_user(said: tuple[Message, ...]) -> None:
    with pytest.raises(UsageError, match="ends with something that the user says"):
        provider().check(ASKED._replace(messages=said))
    provider().check(ASKED)


# --- what is read ---------------------------------------------------------------------------------


def test_a_stream_is_read_wherever_it_is_cut_and_its_end_repeats_nothing() -> None:
    stream = lines(START, event("text-generation", text="Ça "), event("text-generation", text="va 🦙\u2028"), end())
    assert read(stream) == [
        Metadata({"id": "g1"}),
        TextDelta("Ça "),
        TextDelta("va 🦙\u2028"),
        BILLED,
        USAGE,
        Finish("stop", "COMPLETE"),
    ]


def test_a_plan_and_its_tool_calls_are_read_from_a_stream() -> None:
    calls = [{"name": "f", "parameters": {"a": 1}}, {"name": "g", "parameters": {}}]
    stream = lines(
        START,
        event("tool-calls-chunk", text="I "),
        event("tool-calls-chunk", text="look."),
        event("tool-calls-chunk", tool_call_delta={"index": 0, "name": "f"}),
        event("tool-calls-chunk", tool_call_delta={"index": 0, "parameters": '{"a"'}),
        event("tool-calls-chunk", tool_call_delta={"index": 0, "parameters": ": 1}"}),
        event("tool-calls-generation", text="I look.", tool_calls=calls),
        end(text="I look.", tool_calls=calls),
    )
    assert read(stream)[1:] == [
        ThinkingDelta("I "),
        ThinkingDelta("look."),
        ThinkingEnd({"cohere": "tool_plan"}),
        ToolCallDelta("f", '{"a"'),
        ToolCallDelta("f", ": 1}"),
        ToolCall("call_0", "f", '{"a": 1}'),
        ToolCall("call_1", "g", "{}"),
        BILLED,
        USAGE,
        Finish("tool_calls", "COMPLETE"),
    ]


def test_a_plan_and_calls_that_come_only_whole_are_told_once() -> None:
    calls = [{"name": "f", "parameters": {"a": 1}}]
    told = read(lines(event("tool-calls-generation", text="I look.", tool_calls=calls), end(tool_calls=calls)))
    assert told[:3] == [
        ThinkingDelta("I look."),
        ThinkingEnd({"cohere": "tool_plan"}),
        ToolCall("call_0", "f", '{"a": 1}'),
    ]
    assert sum(isinstance(each, ToolCall) for each in told) == 1


def test_calls_that_only_the_end_tells_are_not_lost() -> None:
    told = read(lines(START, end(tool_calls=[{"name": "f", "parameters": {"a": 1}}])))
    assert ToolCall("call_0", "f", '{"a": 1}') in told
    assert told[-1] == Finish("tool_calls", "COMPLETE")


def test_a_text_that_only_the_end_tells_is_not_lost() -> None:
    told = read(lines(START, end(text="hi there")))
    assert told[1:] == [TextDelta("hi there"), BILLED, USAGE, Finish("stop", "COMPLETE")]


def test_a_plan_that_only_the_end_tells_is_not_lost() -> None:
    told = read(lines(START, end(text="I look.", tool_calls=[{"name": "f", "parameters": {}}])))
    assert told[1:4] == [ThinkingDelta("I look."), ThinkingEnd({"cohere": "tool_plan"}), ToolCall("call_0", "f", "{}")]


def test_what_was_looked_up_and_cited_is_told() -> None:
    queries, results, cited = [{"text": "q"}], [{"document_ids": ["d"]}], [{"start": 0, "end": 2, "text": "hi"}]
    stream = lines(
        START,
        event("search-queries-generation", search_queries=queries),
        event("search-results", search_results=results, documents=[{"id": "d"}]),
        event("text-generation", text="hi"),
        event("citation-generation", citations=cited),
        event("debug", prompt="<BOS>"),
        event("a-new-event", x=1),
        end(meta={**META, "warnings": ["old model"]}),
    )
    told: dict[str, Any] = {}
    for each in read(stream):
        told |= each.values if isinstance(each, Metadata) else {}
    assert told == {
        "id": "g1",
        "search_queries": queries,
        "search_results": results,
        "documents": [{"id": "d"}],
        "citations": cited,
        "warnings": ["old model"],
        "billed_units": META["billed_units"],
    }


def test_what_only_the_end_tells_is_not_lost() -> None:
    cited: list[Any] = [{"start": 0, "end": 2, "text": "hi"}]
    documents: list[Any] = [{"id": "d"}]
    told = read(lines(event("text-generation", text="hi"), end(citations=cited, documents=documents)))
    assert told[1:3] == [Metadata({"documents": documents}), Metadata({"citations": cited})]


def test_a_whole_answer_is_read_like_a_stream() -> None:
    answer = {"text": "hi", "generation_id": "g1", "finish_reason": "MAX_TOKENS", "chat_history": [], "meta": META}
    assert whole(answer) == [Metadata({"id": "g1"}), TextDelta("hi"), BILLED, USAGE, Finish("length", "MAX_TOKENS")]


def test_the_text_beside_tool_calls_of_a_whole_answer_is_their_plan() -> None:
    answer = {"text": "I look.", "tool_calls": [{"name": "f", "parameters": {"a": "ç"}}], "finish_reason": "COMPLETE"}
    assert whole(answer) == [
        ThinkingDelta("I look."),
        ThinkingEnd({"cohere": "tool_plan"}),
        ToolCall("call_0", "f", '{"a": "ç"}'),
        Finish("tool_calls", "COMPLETE"),
    ]


def test_a_server_that_does_not_stream_answers_all_the_same() -> None:
    assert read(lines({"text": "hi", "finish_reason": "COMPLETE"})) == [TextDelta("hi"), Finish("stop", "COMPLETE")]


@pytest.mark.parametrize(
    ("raw", "finish"),
    [
        ("COMPLETE", Finish("stop", "COMPLETE")),
        ("STOP_SEQUENCE", Finish("stop", "STOP_SEQUENCE")),
        ("MAX_TOKENS", Finish("length", "MAX_TOKENS")),
        ("ERROR_LIMIT", Finish("length", "ERROR_LIMIT")),
        ("ERROR_TOXIC", Finish("content_filter", "ERROR_TOXIC")),
        ("ERROR", Finish("error", "ERROR")),
        ("USER_CANCEL", Finish("error", "USER_CANCEL")),
        ("A_WORD_OF_NEXT_YEAR", Finish("other", "A_WORD_OF_NEXT_YEAR")),
    ],
)
def test_the_reason_why_the_model_stopped_is_told_in_one_language(raw: str, finish: Finish) -> None:
    assert read(lines(event("text-generation", text="hi"), end(raw)))[-1] == finish


def test_an_error_under_status_200_is_an_error() -> None:
    with pytest.raises(ProviderFailed, match="no luck"):
        whole({"message": "no luck", "id": "e1"})
    with pytest.raises(ProviderFailed, match="no luck"):
        read(lines(START, {"message": "no luck"}))
    with pytest.raises(ProviderFailed, match="no text"):
        whole({"status": "ok"})


@pytest.mark.parametrize("kept", range(1, 200, 7))
def test_a_stream_that_was_cut_is_not_complete_and_not_malformed(kept: int) -> None:
    stream = lines(START, event("text-generation", text="hi"), event("text-generation", text=" there"), end())
    begun = stream.index(b"\n") + 1
    told = list(events([stream[: begun + kept]]))
    assert told[0] == Metadata({"id": "g1"})
    assert not any(isinstance(each, Finish) for each in told)


def test_a_malformed_line_in_the_middle_is_an_error() -> None:
    with pytest.raises(ProviderFailed, match="malformed"):
        list(events([lines(START) + b'{"event_type":\n' + lines(end())]))
    with pytest.raises(ProviderFailed, match="malformed"):
        list(events([b"Hello, I am no API"]))


def test_an_answer_is_complete_at_its_stream_end_and_not_before() -> None:
    adapter = provider()
    reader, framing = adapter.reader(ASKED), adapter.framing()
    for record in framing.feed(lines(START, event("text-generation", text="hi"))):
        list(reader.feed(record))
    assert not reader.complete
    for record in framing.feed(lines(end())):
        list(reader.feed(record))
    assert reader.complete
