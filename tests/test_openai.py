"""
Chat completions: what is sent, what is read, and the bugs of other clients that this one must not have.

`P` and a number in a docstring is an entry of the list of such bugs; the thread that reports it follows.
"""

import json
from itertools import islice
from typing import Any

import pytest

from llmcli.errors import (
    Busy,
    ConfigurationError,
    ContextTooLong,
    LlmError,
    ProviderFailed,
    QuotaExceeded,
    RequestRejected,
    UnknownModel,
    UsageError,
)
from llmcli.framing import Record
from llmcli.providers.openai import OpenAI
from llmcli.providers.vendors import Groq, Mistral, OpenAICompatible, OpenRouter
from llmcli.types import (
    ChatRequest,
    Finish,
    Json,
    Message,
    Metadata,
    Model,
    ProviderConfig,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ThinkingEnd,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    Usage,
    message,
)
from tests.chat_streams import (
    ASKED,
    calls,
    delta,
    finish,
    metadata,
    read,
    read_answer,
    sse,
    stream_events,
    text,
    thinking,
    usage,
    whole,
)

HELLO = (message("user", "hello"),)


def openai(base_url: str | None = None, **own: Json) -> OpenAI:
    return OpenAI(ProviderConfig("openai", base_url=base_url, own=own))


def compatible(**own: Json) -> OpenAICompatible:
    return OpenAICompatible(ProviderConfig("openai-compatible", base_url="http://localhost:1/v1", own=own))


def openrouter() -> OpenRouter:
    return OpenRouter(ProviderConfig("openrouter"))


def request(*messages: Message, **settings: Any) -> ChatRequest:
    return ChatRequest("m", messages or HELLO, **settings)


def body(*messages: Message, to: OpenAI | None = None, stream: bool = False, **settings: Any) -> dict[str, Any]:
    sent = (to or openai()).chat_request(request(*messages, **settings), stream=stream)
    assert sent.body is not None
    decoded: dict[str, Any] = json.loads(sent.body)
    return decoded


# --- requests -------------------------------------------------------------------------------------


def test_what_was_not_said_is_not_sent() -> None:
    """P51: no nulls, no empty lists, no defaults of ours (Fireworks and Mistral refuse unknown keys)."""
    assert body() == {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


def test_what_was_said_is_sent() -> None:
    """Under OpenAI's names."""
    sent = body(max_tokens=5, temperature=0.0, top_p=0.5, stop=("a", "b"), seed=0)
    assert {**sent, "messages": None} == {
        "model": "m",
        "messages": None,
        "max_completion_tokens": 5,
        "temperature": 0.0,
        "top_p": 0.5,
        "stop": ["a", "b"],
        "seed": 0,
    }


def test_the_request_is_a_post_of_utf8() -> None:
    """An escaped prompt would be three times as long."""
    sent = openai().chat_request(request(message("user", "héllo\u2028")), stream=False)
    assert (sent.method, sent.url) == ("POST", "https://api.openai.com/v1/chat/completions")
    assert sent.headers == {"Content-Type": "application/json", "Accept": "application/json"}
    assert sent.body is not None
    assert "héllo\u2028".encode() in sent.body


def test_a_stream_is_asked_for_with_its_usage() -> None:
    """`stream_options` is legal in a stream only."""
    sent = body(stream=True)
    assert (sent["stream"], sent["stream_options"]) == (True, {"include_usage": True})


def test_options_win() -> None:
    """`--option` is the user's last word, and may be any JSON."""
    sent = body(stream=True, temperature=1.0, options={"temperature": 0.5, "stream_options": None, "tools": [{"x": 1}]})
    assert (sent["temperature"], sent["stream_options"], sent["tools"]) == (0.5, None, [{"x": 1}])


def test_a_system_message_goes_to_the_developer_role_at_openai_only() -> None:
    """P52: `developer` is refused by most other services."""
    system = message("system", "be terse")
    assert body(system)["messages"] == [{"role": "developer", "content": "be terse"}]
    assert body(system, to=compatible())["messages"] == [{"role": "system", "content": "be terse"}]


def test_a_temperature_out_of_range_is_refused_before_anything_is_sent() -> None:
    """OpenAI takes 0 to 2; what others take at most is not known."""
    with pytest.raises(UsageError, match="between 0 and 2"):
        openai().check(request(temperature=2.5))
    compatible().check(request(temperature=2.5))


def test_organization_and_project_are_headers() -> None:
    """They go with the list of models too."""
    provider = openai(organization="org-1", project="proj-1")
    expected = {"OpenAI-Organization": "org-1", "OpenAI-Project": "proj-1"}
    models = provider.models_request()
    assert models is not None
    for sent in (provider.chat_request(request(), stream=True), models):
        assert expected.items() <= sent.headers.items()


def test_the_key_is_a_bearer_token() -> None:
    """The driver hands the finished request over."""
    sent = openai().authorize(openai().chat_request(request(), stream=False), "sk-1")
    assert sent.headers["Authorization"] == "Bearer sk-1"


@pytest.mark.parametrize(
    "pasted",
    ["http://h/v4", "http://h/v4/", "http://h/v4/chat/completions", " http://h/v4/chat/completions/ "],
)
def test_a_pasted_address_is_understood(pasted: str) -> None:
    """/v1 is never added: Z.ai's address ends in /v4."""
    sent = openai(pasted).chat_request(request(), stream=False)
    assert sent.url == "http://h/v4/chat/completions"


def test_without_a_base_url_the_error_says_where_to_give_one() -> None:
    """A compatible server may be anywhere."""
    with pytest.raises(ConfigurationError, match="has no base URL"):
        OpenAICompatible(ProviderConfig("mine")).chat_request(request(), stream=False)


# --- the conversation that is sent back -----------------------------------------------------------


def test_an_answer_is_sent_back_as_text() -> None:
    """P51: without the reasoning, which most services refuse."""
    answer = Message("assistant", (Thinking("hm"), Text("Yes"), Text(".")))
    assert body(answer)["messages"] == [{"role": "assistant", "content": "Yes."}]


def test_tool_calls_are_sent_back_with_their_arguments_as_text() -> None:
    """P31, P47: the unknown keys of a call go back too, and beside calls there is no empty content."""
    call = ToolCall("a", "f", '{"x": 1}', opaque={"extra_content": {"google": {"thought_signature": "s"}}})
    assert body(Message("assistant", (call,)))["messages"] == [
        {
            "role": "assistant",
            "tool_calls": [
                {
                    "id": "a",
                    "type": "function",
                    "function": {"name": "f", "arguments": '{"x": 1}'},
                    "extra_content": {"google": {"thought_signature": "s"}},
                }
            ],
        }
    ]


@pytest.mark.parametrize("empty", [Message("assistant", ()), Message("assistant", (Thinking("hm"),))])
def test_an_answer_that_said_nothing_is_not_sent_back(empty: Message) -> None:
    """Mistral and DeepSeek refuse it (anomalyco/opencode#15715); what was asked around it is one question then."""
    sent = body(message("user", "a"), empty, message("user", "b"))["messages"]
    assert sent == [{"role": "user", "content": "a\n\nb"}]


def test_two_system_messages_are_sent_as_one_and_first() -> None:
    """2.2: some templates know no other."""
    said = (message("system", "Be brief."), message("user", "hi"), message("system", "Be kind."))
    assert body(*said, to=compatible())["messages"] == [
        {"role": "system", "content": "Be brief.\n\nBe kind."},
        {"role": "user", "content": "hi"},
    ]


def test_one_id_in_two_turns_becomes_two() -> None:
    """P34 (open-webui/open-webui#28305): section 11, fixture 19."""
    turns = [Message("assistant", (ToolCall("name:0", "f"),)) for _ in range(3)]
    ids = [turn["tool_calls"][0]["id"] for turn in body(*turns)["messages"]]
    assert ids[0] == "name:0"
    assert len(set(ids)) == 3


class EchoesAll(OpenAICompatible):
    reasoning_echo = "all"


class EchoesToolTurns(OpenAICompatible):
    reasoning_echo = "tool_turns"
    reasoning_field = "reasoning"


def test_reasoning_is_sent_back_where_the_service_wants_it() -> None:
    """P47 (qwersyk/Newelle#404): DeepSeek refuses a tool turn without its reasoning."""
    plain = Message("assistant", (Thinking("hm"), Text("Yes")))
    tools = Message("assistant", (Thinking("hm"), ToolCall("a", "f")))
    config = ProviderConfig("x", base_url="http://localhost/v1")
    first, second = body(plain, tools, to=EchoesToolTurns(config))["messages"]
    assert "reasoning" not in first
    assert second["reasoning"] == "hm"
    assert [turn["reasoning_content"] for turn in body(plain, tools, to=EchoesAll(config))["messages"]] == ["hm", "hm"]


def test_reasoning_details_come_back_as_they_came() -> None:
    """P47: OpenRouter's pieces of one block are joined; the other blocks stay as they are."""
    secret: Json = {"type": "reasoning.encrypted", "data": "s", "index": 1}
    events = read(
        openrouter(),
        delta(reasoning="a", reasoning_details=[{"type": "reasoning.text", "text": "a", "index": 0}]),
        delta(
            reasoning="b", reasoning_details=[{"type": "reasoning.text", "text": "b", "index": 0, "signature": None}]
        ),
        delta(reasoning_details=[{"type": "reasoning.text", "signature": "x", "index": 0}, secret]),
        delta("tool_calls", tool_calls=[{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}]),
    )
    details: Json = [{"type": "reasoning.text", "text": "ab", "index": 0, "signature": "x"}, secret]
    assert thinking(events) == "ab"
    assert [event for event in events if isinstance(event, ThinkingEnd)] == [
        ThinkingEnd({"reasoning_details": details, "model": "m"})
    ]
    turn = Message("assistant", (Thinking("ab", {"reasoning_details": details}), *calls(events)))
    sent = body(turn, to=openrouter())["messages"][0]
    assert sent["reasoning_details"] == details
    assert "reasoning" not in sent


def test_reasoning_details_that_come_last_are_kept() -> None:
    """Gemini's encrypted reasoning comes with the call."""
    secret: Json = {"type": "reasoning.encrypted", "data": "s"}
    events = read(
        openrouter(),
        delta(content="hi"),
        delta("tool_calls", reasoning_details=[None, secret], tool_calls=[{"id": "c", "function": {"name": "f"}}]),
    )
    assert ThinkingEnd({"reasoning_details": [secret], "model": "m"}) in events


# --- what the service refuses ---------------------------------------------------------------------


def refused(status: int, **error: Json) -> LlmError:
    document = error if "detail" in error else {"error": error}
    return openai().read_error(status, {}, json.dumps(document).encode())


@pytest.mark.parametrize(
    "error",
    [
        refused(400, message="Unsupported parameter: 'stream_options'", param="stream_options"),
        refused(422, detail=[{"loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}]),
        refused(400, message='Invalid JSON payload received. Unknown name "stream_options": Cannot find field.'),
    ],
)
def test_stream_options_are_left_out_once_refused(error: LlmError) -> None:
    """P49 (openai/openai-agents-python#442)."""
    adapted = openai().adapt(request(), error)
    assert adapted is not None
    assert "stream_options" not in body(stream=True, without=adapted.without)
    assert openai().adapt(adapted, error) is None


OLD_FIELD = refused(
    400,
    message="Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.",
    param="max_tokens",
    code="unsupported_parameter",
)
NEW_FIELD = refused(400, message="Unrecognized request argument supplied: max_completion_tokens")


def test_the_token_limit_is_said_in_the_other_way_once_refused() -> None:
    """P50 (vercel/ai#7863): both ways, and only once."""
    asked = request(max_tokens=5)
    adapted = compatible().adapt(asked, OLD_FIELD)
    assert adapted is not None
    sent = body(to=compatible(), max_tokens=5, without=adapted.without)
    assert sent["max_completion_tokens"] == 5
    assert "max_tokens" not in sent
    assert compatible().adapt(adapted, OLD_FIELD) is None
    assert compatible().adapt(adapted, NEW_FIELD) is None
    swapped = openai().adapt(asked, NEW_FIELD)
    assert swapped is not None
    assert body(max_tokens=5, without=swapped.without)["max_tokens"] == 5


@pytest.mark.parametrize(
    "error",
    [
        refused(400, message="messages[0].role: unknown variant `developer`, expected one of `system`, `user`"),
        refused(400, message="Invalid value", param="messages[0].role"),
    ],
)
def test_the_developer_role_becomes_system_once_refused(error: LlmError) -> None:
    """P52 (can1357/oh-my-pi#843)."""
    system = message("system", "be terse")
    adapted = openai().adapt(request(system), error)
    assert adapted is not None
    assert body(system, without=adapted.without)["messages"][0]["role"] == "system"
    assert openai().adapt(adapted, error) is None
    assert openai().adapt(request(), error) is None


def test_a_mistral_model_gets_its_ids_of_nine_signs_whoever_serves_it() -> None:
    """P53 (openclaw/openclaw#57672): once it says that it takes no others."""
    said = "Tool call id was call_1 but must be a-z, A-Z, 0-9, with a length of 9."
    called = Message("assistant", (ToolCall("call_1", "f"),))
    results = Message("tool", (ToolResult("call_1", "f", "x"),))
    adapted = openrouter().adapt(request(called, results), refused(400, message=said))
    assert adapted is not None
    first, second = body(called, results, to=openrouter(), without=adapted.without)["messages"]
    call_id = first["tool_calls"][0]["id"]
    assert len(call_id) == 9
    assert second["tool_call_id"] == call_id
    assert openrouter().adapt(adapted, refused(400, message=said)) is None


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        (request(temperature=0.5), refused(400, message="Unsupported value: 'temperature'", param="temperature")),
        (request(stop=("x",)), refused(400, message="Unsupported parameter: 'stop'", param="stop")),
        (request(), OLD_FIELD),
        (request(), NEW_FIELD),
        (request(max_tokens=9**9), refused(400, message="max_completion_tokens is too large", param=None)),
        (request(max_tokens=5, options={"max_completion_tokens": 5}), NEW_FIELD),
        (request(options={"stream_options": {}}), refused(400, message="Unknown parameter: 'stream_options'")),
        (request(max_tokens=5), Busy("Unsupported parameter: 'max_completion_tokens'")),
    ],
)
def test_what_the_user_asked_for_is_never_dropped(asked: ChatRequest, error: LlmError) -> None:
    """An answer to another question than the one that was asked would be worse than an error."""
    assert openai().adapt(asked, error) is None


# --- streams, cut anywhere ------------------------------------------------------------------------

GREETING = sse(
    delta(role="assistant", content="", refusal=None),
    {**delta(content="Hé"), "usage": None, "obfuscation": "x"},
    {**delta(content="llo\u2028 \U0001f600"), "usage": None},
    {**delta("stop"), "usage": None},
    {"id": "c1", "model": "m", "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}},
)
GREETED = [
    Metadata({"model": "m", "id": "c1"}),
    TextDelta("Hé"),
    TextDelta("llo\u2028 \U0001f600"),
    Usage(5, 1, 6),
    Finish("stop", "stop"),
]
TOOLS = sse(
    delta(
        role="assistant",
        content=None,
        tool_calls=[{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}],
    ),
    delta(content=None, tool_calls=[{"index": 0, "function": {"arguments": '{"x":'}}]),
    delta(
        tool_calls=[{"index": 0, "function": {"arguments": "1}"}}, {"index": 0, "id": "b", "function": {"name": "g"}}]
    ),
    delta("tool_calls"),
)
TOOLS_CALLED = [
    Metadata({"model": "m", "id": "c1"}),
    ToolCallDelta("f", ""),
    ToolCallDelta("f", '{"x":'),
    ToolCallDelta("f", "1}"),
    ToolCallDelta("g", ""),
    ToolCall("a", "f", '{"x":1}'),
    ToolCall("b", "g"),
    Finish("tool_calls", "tool_calls"),
]
THOUGHT = sse(
    delta(content="<thi"), delta(content="nk>hm</th"), delta(content="ink>\n\nYes"), delta("stop", content=".")
)
STREAMS = {
    "a plain stream with its usage (1)": (GREETING, GREETED),
    "CRLF, a BOM and comments (3; P2, P3, P4, P7)": (
        b"\xef\xbb\xbf: OPENROUTER PROCESSING\r\n\r\n" + GREETING.replace(b"\n\n", b"\n:\n\n").replace(b"\n", b"\r\n"),
        GREETED,
    ),
    "lone CRs (P3)": (GREETING.replace(b"\n", b"\r"), GREETED),
    "no space after the colon (P1)": (GREETING.replace(b"data: ", b"data:"), GREETED),
    "other fields and an empty event (P5, P9)": (b"id: 1\nretry: 5\ndata: \n\n" + GREETING, GREETED),
    "no blank line at the end (10; P10)": (GREETING[:-2], GREETED),
    "no [DONE] after the finish reason (P13)": (GREETING.removesuffix(b"data: [DONE]\n\n"), GREETED),
    "more after [DONE]": (GREETING.replace(b"[DONE]", b"[DONE] bye") + b'data: {"error": "late"}\n\n', GREETED),
    "an event over two data lines (P9)": (GREETING.replace(b'"choices":', b'\ndata: "choices":'), GREETED),
    "keep-alives of null (20; P21)": (GREETING.replace(b"data: ", b"data: null\n\ndata: "), GREETED),
    "two documents in one event (P12)": (GREETING.replace(b"\n\ndata: {", b" {"), GREETED),
    "no blank lines between the events (P12)": (GREETING.replace(b"\n\n", b"\n") + b"\n", GREETED),
    "two tool calls, both with index 0 (5; P25, P27)": (TOOLS, TOOLS_CALLED),
    "thinking in split tags (11; P48)": (
        THOUGHT,
        [
            Metadata({"model": "m", "id": "c1"}),
            ThinkingDelta("hm"),
            ThinkingEnd(),
            TextDelta("Yes"),
            TextDelta("."),
            Finish("stop", "stop"),
        ],
    ),
}


@pytest.mark.parametrize("name", STREAMS)
def test_cuts_of_a_stream_change_nothing(name: str) -> None:
    """Fixture 4, P8, P11: byte by byte, in two pieces at every place, and all at once."""
    stream, expected = STREAMS[name]
    assert list(stream_events(openai(), stream)) == expected
    assert list(stream_events(openai(), *(bytes((byte,)) for byte in stream))) == expected
    for cut in range(1, len(stream)):
        assert list(stream_events(openai(), stream[:cut], stream[cut:])) == expected


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_that_was_cut_off_is_never_complete(name: str) -> None:
    """P38, fixture 9: whatever byte is the last one, there is no Finish before the finish reason was there."""
    stream, _ = STREAMS[name]
    sure = stream.index(b'"finish_reason": "')
    for end in range(sure):
        events = list(stream_events(openai(), stream[:end]))
        assert not any(isinstance(event, Finish) for event in events)


# --- streams --------------------------------------------------------------------------------------


def test_the_finish_does_not_wait_for_the_connection_to_close() -> None:
    """P15 (agentscope-ai/agentscope-java#2073), fixture 18: at [DONE], not at the end."""
    reader = openai().reader(ASKED)
    assert list(reader.feed(Record(json.dumps(delta("stop", content="hi")))))[-1:] == [TextDelta("hi")]
    assert reader.complete
    assert list(reader.feed(Record(" [DONE]"))) == [Finish("stop", "stop")]


def test_after_the_finish_reason_a_cut_loses_nothing() -> None:
    """P64 (npuichigo/openai_trtllm#31): `complete` tells the driver so, and not a piece of text earlier."""
    reader = openai().reader(ASKED)
    list(reader.feed(Record(json.dumps(delta(content="hi")))))
    assert not reader.complete
    list(reader.feed(Record(json.dumps(delta("length")))))
    assert reader.complete
    assert list(reader.end()) == [Finish("length", "length")]


def test_azures_first_chunk_without_choices_is_read() -> None:
    """P16 (langfuse/langfuse#2833), fixture 2: and the model is that of the next chunk."""
    events = read(
        openai(),
        {"id": "", "model": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]},
        delta(content="hi"),
        {"choices": [{"index": 0, "delta": None, "content_filter_offsets": {}}]},
        {"choices": [{"index": 0}]},
        delta("stop"),
    )
    assert events == [Metadata({"model": "m", "id": "c1"}), TextDelta("hi"), Finish("stop", "stop")]


@pytest.mark.parametrize("odd", [{"choices": None}, {}, [], 7, {"choices": [None]}, {"choices": {}}])
def test_a_chunk_that_says_nothing_is_skipped(odd: object) -> None:
    """P20, P21, P22."""
    assert text(read(openai(), delta(content="a"), odd, delta("stop", content="b"))) == "ab"


def test_nulls_say_nothing() -> None:
    """P23 (Effect-TS/effect#7269): every key with every delta."""
    nulls = dict.fromkeys(("refusal", "tool_calls", "function_call", "reasoning", "reasoning_content", "annotations"))
    chunks = [delta(content="a", **nulls), delta(content=None, **nulls), delta(content="b"), delta("stop", content="")]
    events = read(openai(), *chunks)
    assert [type(event) for event in events] == [Metadata, TextDelta, TextDelta, Finish]


def test_a_stream_without_a_finish_reason_is_complete_with_done() -> None:
    """P37 (can1357/oh-my-pi#9433)."""
    assert finish(read(openai(), delta(content="hi"))) == Finish("stop", None)


@pytest.mark.parametrize("reason", [None, ""])
def test_a_stream_with_neither_finish_reason_nor_done_is_not_complete(reason: str | None) -> None:
    """P38 (brightwave-inc/tidebreak#1124): some servers send "" with every chunk, which finishes nothing."""
    reader = openai().reader(ASKED)
    events = list(reader.feed(Record(json.dumps(delta(reason, content="hi"))))) + list(reader.end())
    assert text(events) == "hi"
    assert not reader.complete
    assert not any(isinstance(event, Finish) for event in events)


def test_an_empty_finish_reason_with_done_is_a_stop() -> None:
    """P39 (togethercomputer/together-python#239)."""
    assert finish(read(openai(), delta("", content="hi"))) == Finish("stop", "")


def test_done_without_any_answer_is_a_failure() -> None:
    """P40 (aaif-goose/goose#8027): an error that a gateway swallowed is no empty answer."""
    with pytest.raises(ProviderFailed, match="without an answer"):
        read(openai(), {"choices": []})


def test_a_stream_may_hold_a_whole_answer() -> None:
    """A gateway that only pretends to stream: one event with the message, not a delta."""
    events = read(openai(), whole("stop", content="hi"))
    assert (text(events), finish(events)) == ("hi", Finish("stop", "stop"))


def test_the_text_so_far_beside_a_delta_is_not_read() -> None:
    """Perplexity's chunks carry both (vendor SDK)."""
    chunks = [delta(content="a"), delta("stop", content="b")]
    for chunk, so_far in zip(chunks, ("a", "ab"), strict=True):
        chunk["choices"][0]["message"] = {"content": so_far}
    assert text(read(openai(), *chunks)) == "ab"


def test_one_answer_of_several_is_read() -> None:
    """`--option n=2`: their pieces alternate."""
    other = delta("length", content="no")
    other["choices"][0]["index"] = 1
    events = read(openai(), delta(content="a"), other, delta("stop", content="b"))
    assert (text(events), finish(events).reason) == ("ab", "stop")


def test_malformed_json_in_a_stream_is_an_error_that_shows_where() -> None:
    """P12: injected text."""
    with pytest.raises(ProviderFailed, match=r"malformed JSON from the provider at character 4 .*: \{\}  oops"):
        read(openai(), delta(content="a"), "{}  oops")


# --- usage ----------------------------------------------------------------------------------------

COUNTS: dict[str, Json] = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}


def with_usage(chunk: dict[str, Any], where: str, counts: Json) -> dict[str, Any]:
    if where == "choice":
        return {**chunk, "choices": [{**chunk["choices"][0], "usage": counts}]}
    return {**chunk, **({"x_groq": {"usage": counts}} if where == "x_groq" else {"usage": counts})}


@pytest.mark.parametrize("where", ["chunk", "x_groq", "choice"])
def test_usage_is_found_wherever_it_is(where: str) -> None:
    """P19, 9.3: Groq and Moonshot have places of their own."""
    assert usage(read(openai(), delta(content="a"), with_usage(delta("stop"), where, COUNTS))) == Usage(5, 1, 6)


def test_the_last_usage_counts() -> None:
    """P17, P18 (router-for-me/CLIProxyAPI#3077): neither the first zeros nor a last null, and never the sum."""
    zeros = dict.fromkeys(COUNTS, 0)
    events = read(
        openai(),
        {**delta(content="a"), "usage": zeros},
        {**delta(content="b"), "usage": {**COUNTS, "completion_tokens": 7}},
        {**delta("stop"), "usage": None},
        {"choices": [], "usage": COUNTS},
        {"choices": None, "usage": dict.fromkeys(COUNTS)},
    )
    assert [event for event in events if isinstance(event, Usage)] == [Usage(5, 1, 6)]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"input_tokens": 1, "output_tokens": 2}, Usage(1, 2)),
        ({**COUNTS, "prompt_tokens_details": {"cached_tokens": 4}}, Usage(5, 1, 6, 4)),
        ({**COUNTS, "input_tokens_details": {"cached_tokens": 4}}, Usage(5, 1, 6, 4)),
        ({**COUNTS, "prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 1}, Usage(5, 1, 6, 4)),
        ({**COUNTS, "cached_tokens": 0, "prompt_tokens_details": None}, Usage(5, 1, 6, 0)),
        ({**COUNTS, "completion_tokens_details": {"reasoning_tokens": 1}}, Usage(5, 1, 6, None, 1)),
        ({"prompt_tokens": 5.0, "completion_tokens": "1", "total_tokens": True}, Usage(5)),
    ],
)
def test_token_counts_have_many_names(counts: Json, expected: Usage) -> None:
    """9.3: and what is not told is unknown, not zero."""
    assert usage(read_answer(openai(), {**whole(content="hi"), "usage": counts})) == expected


@pytest.mark.parametrize("counts", [None, {}, [], {"prompt_tokens": None}])
def test_no_usage_is_no_usage(counts: Json) -> None:
    """Not zero tokens."""
    assert usage(read_answer(openai(), {**whole(content="hi"), "usage": counts})) is None


# --- reasoning ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"reasoning_content": "hm"},
        {"reasoning": "hm"},
        {"reasoning": {"content": "hm"}},
        {"reasoning": {"text": "hm"}},
        {"reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
        {"reasoning_details": [{"type": "reasoning.summary", "summary": "h"}, {"summary": "m"}, {"data": "x"}]},
        {"thinking": "hm"},
        {"thinking": [{"type": "text", "text": "hm"}]},
        {"reasoning_content": "hm", "reasoning": "hm", "reasoning_details": [{"text": "hm"}]},
        {"reasoning_content": "", "reasoning": None, "thinking": "hm"},
    ],
)
def test_reasoning_is_found_under_every_name_and_told_once(fields: dict[str, Json]) -> None:
    """P46 (vllm-project/vllm#27752), fixture 11."""
    streamed = read(openai(), delta(content="", **fields), delta("stop", content="Yes"))
    answered = read_answer(openai(), whole(content="Yes", **fields))
    for events in (streamed, answered):
        assert (thinking(events), text(events)) == ("hm", "Yes")
        assert events.count(ThinkingEnd()) == 1
        assert events.index(ThinkingDelta("hm")) < events.index(ThinkingEnd()) < events.index(TextDelta("Yes"))


def test_mistrals_content_may_be_a_list() -> None:
    """P45 (vercel/ai#13703), fixture 7: streamed and whole."""
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "h"}, {"type": "text", "text": "m"}]},
        {"type": "text", "text": "Yes"},
        {"type": "reference", "reference_ids": [1]},
        ".",
    ]
    mistral = Mistral(ProviderConfig("mistral"))
    for events in (read(mistral, delta("stop", content=parts)), read_answer(mistral, whole(content=parts))):
        assert (thinking(events), text(events)) == ("hm", "Yes.")


def test_content_that_is_an_empty_list_is_no_text() -> None:
    """P45: Groq."""
    assert text(read(openai(), delta("stop", content=[]))) == ""


def test_nesting_without_end_is_no_text() -> None:
    """A hostile server must not crash us."""
    deep: Json = "x"
    for _ in range(300):
        deep = [deep]
    assert thinking(read(openai(), delta("stop", reasoning=deep))) == ""


def test_thinking_that_uses_up_the_tokens_leaves_no_text() -> None:
    """P66: no text, and the finish says why."""
    events = read(openai(), delta("length", content="", reasoning_content="hm"))
    assert (thinking(events), text(events), finish(events).reason) == ("hm", "", "length")
    assert ThinkingEnd() in events


def test_a_whole_answer_has_its_thinking_in_tags_taken_out() -> None:
    """P48."""
    events = read_answer(openai(), whole(content="<think>hm</think>\n\nYes."))
    assert (thinking(events), text(events)) == ("hm", "Yes.")


def test_only_think_is_a_tag_at_openai() -> None:
    """Prompts often ask for an answer in <reasoning> and <answer>; small servers need the other tags."""
    assert text(read_answer(openai(), whole(content="<reasoning>a</reasoning>b"))) == "<reasoning>a</reasoning>b"
    assert text(read_answer(compatible(), whole(content="<reasoning>a</reasoning>b"))) == "b"


def test_a_template_that_opens_the_tag_can_be_configured() -> None:
    """P48 (mozilla-ai/any-llm#1245): only the user can know."""
    chunks = delta(content="hm</thi"), delta("stop", content="nk>Yes")
    assert text(read(compatible(), *chunks)) == "hm</think>Yes"
    assert text(read(compatible(think_open=True), *chunks)) == "Yes"


def test_a_whole_answer_shows_that_a_template_opened_the_tag() -> None:
    """P48; what OpenAI answers stays as it is, and so does what stands beside reasoning that the server took out."""
    answer = whole(content="hm</think>\nYes")
    assert (thinking(read_answer(compatible(), answer)), text(read_answer(compatible(), answer))) == ("hm", "Yes")
    assert text(read_answer(openai(), answer)) == "hm</think>\nYes"
    apart = whole(content="a</think>\nb", reasoning_content="hm")
    assert text(read_answer(compatible(), apart)) == "a</think>\nb"


# --- refusals, metadata, finish reasons -----------------------------------------------------------


def test_a_refusal_is_shown_as_text() -> None:
    """And the metadata say that it is one."""
    streamed = read(openai(), delta(refusal="I ca"), delta(refusal="n't."), delta("stop"))
    answered = read_answer(openai(), whole(content=None, refusal="I can't."))
    parts = read_answer(openai(), whole(content=[{"type": "refusal", "refusal": "I can't."}]))
    for events in (streamed, answered, parts):
        assert text(events) == "I can't."
        assert metadata(events)["refusal"] == "I can't."


def test_metadata_are_told_once() -> None:
    """And what is known only at the end, at the end: Perplexity's citations."""
    first = {**delta(content="a"), "provider": "p", "citations": ["u"]}
    events = read(openai(), first, first, {**first, "choices": delta("stop")["choices"], "citations": ["u", "v"]})
    assert [event for event in events if isinstance(event, Metadata)] == [
        Metadata({"model": "m", "id": "c1", "provider": "p", "citations": ["u"]}),
        Metadata({"citations": ["u", "v"]}),
    ]


def test_annotations_are_kept() -> None:
    """The sources of a web search."""
    note: Json = {"type": "url_citation", "url_citation": {"url": "u"}}
    for events in (
        read(openai(), delta(content="a", annotations=[note]), delta("stop", annotations=[])),
        read_answer(openai(), whole(content="a", annotations=[note])),
    ):
        assert metadata(events)["annotations"] == [note]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        *((raw, "stop") for raw in ("stop", "end_turn", "stop_sequence", "eos", "eos_token", "COMPLETE", "STOP")),
        *((raw, "length") for raw in ("length", "max_tokens", "MAX_TOKENS", "model_length")),
        ("model_context_window_exceeded", "length"),
        *((raw, "content_filter") for raw in ("content_filter", "SAFETY", "RECITATION", "PROHIBITED_CONTENT")),
        *((raw, "content_filter") for raw in ("BLOCKLIST", "sensitive", "refusal", "guardrail_intervened")),
        *((raw, "error") for raw in ("error", "network_error", "insufficient_system_resource", "ERROR_TOXIC")),
        ("something new", "other"),
    ],
)
def test_finish_reasons_have_many_words(raw: str, reason: str) -> None:
    """P39 (dstackai/dstack#2229): 9.1, and the service's own word is kept."""
    assert finish(read_answer(openai(), whole(raw, content="hi"))) == Finish(reason, raw)  # type: ignore[arg-type]
    assert finish(read(openai(), delta(raw, content="hi"), done=False)) == Finish(reason, raw)  # type: ignore[arg-type]


def call(arguments: Json = "{}", **more: Json) -> dict[str, Json]:
    return {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": arguments}, **more}


@pytest.mark.parametrize("raw", ["stop", "", None, "tool_use", "weird"])
def test_an_answer_with_tool_calls_finishes_with_them(raw: str | None) -> None:
    """P35 (anomalyco/opencode#14972): whatever the finish reason says, unless that the answer was cut."""
    assert finish(read(openai(), delta(raw, tool_calls=[call()]))) == Finish("tool_calls", raw)


@pytest.mark.parametrize(
    ("raw", "reason"), [("length", "length"), ("content_filter", "content_filter"), ("abort", "error")]
)
def test_a_call_without_arguments_does_not_hide_that_the_answer_was_cut(raw: str, reason: str) -> None:
    """Its arguments may be what was cut off: they look like none at all, and the tool's defaults would run."""
    assert finish(read(openai(), delta(raw, tool_calls=[call("")]))).reason == reason


def test_a_tool_call_that_was_cut_off_does_not_hide_it() -> None:
    """P38: nobody must run half a call."""
    events = read(openai(), delta("length", tool_calls=[call('{"x": ')]))
    assert calls(events) == [ToolCall("a", "f", '{"x": ', valid=False)]
    assert finish(events).reason == "length"


def test_tool_calls_without_a_call_are_a_stop() -> None:
    """P36 (mastra-ai/mastra#14187)."""
    assert finish(read(openai(), delta("tool_calls", content="hi"))) == Finish("stop", "tool_calls")


def test_tool_calls_come_before_the_finish_and_after_the_thinking() -> None:
    """Fixture 6: without an index, with an object for arguments."""
    events = read(openai(), delta(reasoning="hm"), delta("stop", tool_calls=[{**call({"x": 1}), "index": None}]))
    assert [type(event) for event in events[1:]] == [ThinkingDelta, ThinkingEnd, ToolCallDelta, ToolCall, Finish]


def test_a_legacy_function_call_is_a_tool_call() -> None:
    """Old gateways."""
    events = read(
        openai(),
        delta(function_call={"name": "f", "arguments": '{"x"'}),
        delta("function_call", function_call={"arguments": ":1}"}),
    )
    assert [(each.name, each.arguments) for each in calls(events)] == [("f", '{"x":1}')]


# --- errors in a stream ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chunk", "error"),
    [
        ({**delta("error", content=""), "error": {"code": 502, "message": "upstream died"}}, ProviderFailed),
        (
            {"error": {"object": "error", "message": "not multimodal", "type": "BadRequestError", "code": 400}},
            RequestRejected,
        ),
        ({"error": "plain text"}, ProviderFailed),
        ({"error": {"code": "429", "message": "slow down"}}, Busy),
        ({"error": {"message": "no", "code": "insufficient_quota"}}, QuotaExceeded),
        ({"error": {"message": "This model's maximum context length is 5 tokens"}}, ContextTooLong),
        ({"object": "error", "message": "The model `x` does not exist", "code": 404}, UnknownModel),
        ([{"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}], Busy),
        (
            {"choices": [{"index": 0, "error": {"code": 502, "message": "died"}, "finish_reason": "error"}]},
            ProviderFailed,
        ),
        ({"choices": [{"index": 0, "delta": {}}], "x_groq": {"error": "over capacity"}}, ProviderFailed),
    ],
)
def test_an_error_in_a_stream_is_an_error(chunk: object, error: type[LlmError]) -> None:
    """P40 (BerriAI/litellm#40578), P57, fixtures 8 and 12: 5.5, and the text before it was there."""
    events = stream_events(openai(), sse(delta(content="so far"), chunk))
    assert list(islice(events, 2))[-1] == TextDelta("so far")
    with pytest.raises(error) as caught:
        next(events)
    assert type(caught.value) is error


@pytest.mark.parametrize(
    "record",
    [
        b'event: error\ndata: {"error":{"message":"it broke"},"message":"it broke"}\n\n',
        b'event: error\ndata: {"detail":"it broke"}\n\n',
        b"event: error\ndata: it broke\n\n",
        b'error: {"code":500,"message":"it broke"}\n\n',
    ],
)
def test_an_event_named_error_is_an_error_whatever_its_shape(record: bytes) -> None:
    """P40: LM Studio, and llama.cpp's field of that name."""
    with pytest.raises(ProviderFailed, match="it broke"):
        list(stream_events(openai(), record))


def test_an_empty_error_is_none() -> None:
    """Some servers send the key with every chunk."""
    chunk = {**delta("stop", content="hi"), "error": None}
    chunk["choices"][0]["error"] = None
    assert text(read(openai(), chunk)) == "hi"


def test_a_finish_by_error_does_not_make_an_answer_complete() -> None:
    """The error itself may still come, and must not be taken for a late disturbance."""
    reader = openai().reader(ASKED)
    list(reader.feed(Record(json.dumps(delta("error", content="hi")))))
    assert not reader.complete


# --- whole answers --------------------------------------------------------------------------------


def test_a_whole_answer_is_read() -> None:
    """Section 3, and P59: blank lines before it."""
    answer = {
        **whole(role="assistant", content="Hello.", refusal=None, annotations=[]),
        "object": "chat.completion",
        "usage": {**COUNTS, "prompt_tokens_details": {"cached_tokens": 0}},
    }
    assert list(openai().reader(ASKED).body(b"\n\n \r\n" + json.dumps(answer).encode())) == [
        Metadata({"model": "m", "id": "c1"}),
        TextDelta("Hello."),
        Usage(5, 1, 6, 0),
        Finish("stop", "stop"),
    ]


def test_a_whole_answer_keeps_its_tool_calls_and_its_thinking() -> None:
    """P43 (mistralai/mistral-vibe#619), fixture 14; two calls without ids are two."""
    bare = {"function": {"name": "f", "arguments": {"x": 1}}}
    events = read_answer(openai(), whole("stop", content=None, reasoning="hm", tool_calls=[bare, bare]))
    assert thinking(events) == "hm"
    assert [(each.name, each.arguments) for each in calls(events)] == [("f", '{"x": 1}')] * 2
    assert len({each.id for each in calls(events)}) == 2
    assert finish(events) == Finish("tool_calls", "stop")


def test_everything_but_the_message_is_optional() -> None:
    """P60 (langgenius/dify#3506)."""
    events = read_answer(openai(), {"choices": [{"message": {"content": "hi"}}], "object": "", "created": 1.5})
    assert events == [TextDelta("hi"), Finish("stop", None)]


def test_a_choice_without_a_message_may_have_finished() -> None:
    """agentgateway/agentgateway#1464: Gemini, when thinking used up the tokens."""
    assert read_answer(openai(), {"choices": [{"finish_reason": "length"}]}) == [Finish("length", "length")]


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"choices": None},
        {"choices": []},
        {"choices": [None]},
        {"choices": "x"},
        [],
        None,
        {"choices": [{"index": 0, "message": {"content": None}, "finish_reason": None}]},
        {"code": 30014, "message": "bad token", "data": None},
    ],
)
def test_a_whole_answer_without_an_answer_is_a_failure(document: object) -> None:
    """P60: a body of nulls is no empty success."""
    with pytest.raises(ProviderFailed, match=r"no choices|empty"):
        read_answer(openai(), document)


def test_what_stood_there_instead_of_an_answer_is_shown() -> None:
    """SiliconFlow reports errors in this shape."""
    with pytest.raises(ProviderFailed, match="no choices: bad token"):
        read_answer(openai(), {"code": 30014, "message": "bad token", "data": None})


@pytest.mark.parametrize(
    ("document", "error"),
    [
        ({"error": {"code": 402, "message": "Insufficient credits"}}, QuotaExceeded),
        ([{"error": {"code": 400, "message": "bad", "status": "INVALID_ARGUMENT"}}], RequestRejected),
        ({"choices": [{"error": {"code": 502, "message": "died"}}]}, ProviderFailed),
    ],
)
def test_an_error_with_status_200_is_an_error(document: object, error: type[LlmError]) -> None:
    """P41 (OpenRouterTeam/ai-sdk-provider#211), P57, fixture 8."""
    with pytest.raises(error):
        read_answer(openai(), document)


# --- models ---------------------------------------------------------------------------------------


def models(document: object) -> list[Model]:
    return list(openai().read_models(document).models)


def test_models_are_asked_for_at_the_base_url() -> None:
    """A GET without a body."""
    sent = openai("http://h/v1/").models_request()
    assert sent is not None
    assert (sent.method, sent.url, sent.body) == ("GET", "http://h/v1/models", None)


@pytest.mark.parametrize(
    "document",
    [
        {"object": "list", "data": [{"id": "m", "object": "model"}]},
        [{"id": "m"}],
        {"data": None, "models": [{"name": "m"}]},
        {"models": ["m"]},
        {"data": [{"model": "m"}, {"id": "m"}, {"id": None}, {}, None, 7]},
        {"data": [{"id": "models/m"}]},
    ],
)
def test_a_list_of_models_has_many_shapes(document: object) -> None:
    """P56 (maximhq/bifrost#6711), fixture 15: with duplicates, gaps and prefixes."""
    assert [model.id for model in models(document)] == ["m"]


@pytest.mark.parametrize("document", [{"data": None}, {"object": "list"}, [], {"data": "x"}, None])
def test_no_models_are_an_empty_list(document: object) -> None:
    """P56: Ollama's `data` is null when there are none."""
    assert models(document) == []


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"context_length": 5}, Model("m", context_length=5)),
        ({"context_window": 5, "max_output_tokens": 3}, Model("m", context_length=5, max_output_tokens=3)),
        ({"max_model_len": 5}, Model("m", context_length=5)),
        ({"max_context_length": 5}, Model("m", context_length=5)),
        ({"meta": {"n_ctx_train": 5}}, Model("m", context_length=5)),
        ({"top_provider": {"max_completion_tokens": 3}}, Model("m", max_output_tokens=3)),
        ({"created": 1.0, "name": "M"}, Model("m", name="M", created=1)),
        ({"name": "m", "display_name": "M"}, Model("m", name="M")),
        ({"created": "soon", "name": "m", "context_length": None}, Model("m")),
        ({"capabilities": {"completion_chat": True, "vision": False}}, Model("m", capabilities=("chat",))),
        ({"capabilities": ["chat", 1]}, Model("m", capabilities=("chat",))),
    ],
)
def test_what_a_list_says_about_a_model_is_kept(fields: dict[str, Json], expected: Model) -> None:
    """Section 7: every service has names of its own."""
    assert models([{"id": "m", **fields}]) == [expected]


def test_an_error_instead_of_a_list_is_an_error() -> None:
    """P41."""
    with pytest.raises(Busy):
        models({"error": {"code": 429, "message": "slow down"}})


# --- quirks ---------------------------------------------------------------------------------------


def test_mistral_gets_ids_of_nine_signs() -> None:
    """P53 (langchain-ai/langchain#24668): its own stay, others are turned into the same one every time."""
    mistral = Mistral(ProviderConfig("mistral"))
    turns = [Message("assistant", (ToolCall(each, "f"),)) for each in ("abcDEF123", "call_1", "call_1", "abc-EF123")]
    ids = [turn["tool_calls"][0]["id"] for turn in body(*turns, to=mistral)["messages"]]
    assert ids[0] == "abcDEF123"
    assert all(len(each) == 9 and each.isalnum() for each in ids)
    assert len(set(ids)) == 4
    assert ids == [turn["tool_calls"][0]["id"] for turn in body(*turns, to=mistral)["messages"]]
    made = calls(read(mistral, delta("stop", tool_calls=[{"function": {"name": "f"}}])))[0].id
    assert len(made) == 9
    assert made.isalnum()


def test_mistral_has_names_of_its_own() -> None:
    """P49, P50: a random_seed, max_tokens, and no stream_options."""
    sent = body(to=Mistral(ProviderConfig("mistral")), stream=True, seed=1, max_tokens=2)
    assert {**sent, "messages": None} == {
        "model": "m",
        "messages": None,
        "stream": True,
        "random_seed": 1,
        "max_tokens": 2,
    }


def test_what_was_never_sent_is_not_left_out() -> None:
    """Asking again in the same words would be of no use."""
    error = refused(422, message="Unknown parameter: 'stream_options'")
    assert Mistral(ProviderConfig("mistral")).adapt(request(), error) is None


def test_an_answer_of_groq_with_an_error_inside_is_an_error() -> None:
    """`x_groq.error` comes after text."""
    with pytest.raises(ProviderFailed, match="over capacity"):
        read(Groq(ProviderConfig("groq")), delta(content="a"), {"x_groq": {"error": "over capacity"}, "choices": []})
