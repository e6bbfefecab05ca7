"""
The Responses API: what is sent, what is read, and reasoning that comes back as it was.

`P` and a number in a docstring is an entry of the list of bugs that other clients have.
"""

import json
from typing import Any, ClassVar, Literal

import pytest

from llmcli.answer import Fold
from llmcli.errors import Busy, LlmError, ProviderFailed, RequestRejected
from llmcli.framing import Record
from llmcli.providers.openai import OpenAI
from llmcli.providers.vendors import Azure, LlamaCpp, LMStudio
from llmcli.testing import Subject, run
from llmcli.testing import body as as_json
from llmcli.types import (
    Attachment,
    ChatRequest,
    Event,
    Finish,
    Json,
    Message,
    Metadata,
    ProviderConfig,
    Schema,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ThinkingEnd,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    Usage,
    message,
)
from tests.chat_streams import calls, finish, metadata, stream_events, text, thinking, usage
from tests.wire_samples import responses as wire

MODEL = "gpt-5.6-luna"
ORIGIN = f"openai/{MODEL}"
ASKED = message("user", "time in Oslo?")
CLOCK = Tool("now", "tells the time", {"type": "object", "properties": {"tz": {"type": "string"}}, "required": ["tz"]})


class Responding(OpenAI):
    """OpenAI, asked in this API."""

    api: ClassVar[Literal["chat", "responses"]] = "responses"


OPENAI = Responding(ProviderConfig("openai"))


def request(*messages: Message, **said: Any) -> ChatRequest:
    return ChatRequest(said.pop("model", MODEL), messages or (ASKED,), **said)


def body(*messages: Message, provider: OpenAI = OPENAI, stream: bool = False, **said: Any) -> dict[str, Any]:
    sent = provider.chat_request(request(*messages, **said), stream=stream)
    assert sent.body is not None
    decoded: dict[str, Any] = json.loads(sent.body)
    return decoded


def sent_items(*messages: Message, **said: Any) -> Any:
    return body(*messages, **said)["input"]


# --- all that the kit holds of any provider -------------------------------------------------------


def test_the_api_passes_the_kit() -> None:
    checked = Subject(Responding, wire.SAMPLES)
    assert [f"{each.id}: {each.message}" for each in run(checked) if each.status == "failed"] == []


# --- requests -------------------------------------------------------------------------------------


def test_nothing_is_stored_and_the_reasoning_comes_along() -> None:
    """The service would keep it for a month; what is not kept there has to be sent back."""
    sent = OPENAI.chat_request(request(), stream=True)
    assert sent.url == "https://api.openai.com/v1/responses"
    assert json.loads(sent.body or b"") == {
        "model": MODEL,
        "input": [{"role": "user", "content": "time in Oslo?"}],
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
    }


def test_settings_have_the_names_of_this_api() -> None:
    sent = body(max_tokens=5, temperature=0.0, top_p=0.5)
    assert (sent["max_output_tokens"], sent["temperature"], sent["top_p"]) == (5, 0.0, 0.5)


@pytest.mark.parametrize(("name", "value"), [("stop", ("x",)), ("seed", 0)])
def test_what_this_api_does_not_have_is_refused(name: str, value: Any) -> None:
    with pytest.raises(RequestRejected, match=f"has no {name}"):
        OPENAI.check(request(**{name: value}))
    with pytest.raises(RequestRejected, match=f"has no {name}"):
        body(**{name: value})  # where the service sent us here


def test_options_win_here_too() -> None:
    sent = body(options={"store": True, "api": "responses", "truncation": "auto"})
    assert (sent["store"], sent["truncation"]) == (True, "auto")
    assert "api" not in sent


def test_tools_are_flat_and_not_strict() -> None:
    """What is left out is strict here, and then every parameter would be required."""
    sent = body(tools=(CLOCK, Tool("ping")), tool_choice="now")
    assert sent["tools"][0] == {
        "type": "function",
        "name": "now",
        "description": "tells the time",
        "parameters": CLOCK.parameters,
        "strict": False,
    }
    assert "description" not in sent["tools"][1]
    assert sent["tool_choice"] == {"type": "function", "name": "now"}
    assert body(tools=(CLOCK,), tool_choice="required")["tool_choice"] == "required"
    assert "tool_choice" not in body(tool_choice="auto")


def test_a_schema_is_the_format_of_the_text() -> None:
    schema = Schema("p", {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]})
    closed = {**schema.document, "additionalProperties": False}
    assert body(schema=schema)["text"] == {
        "format": {"type": "json_schema", "name": "p", "schema": closed, "strict": True}
    }
    assert body(schema=Schema("any", {}))["text"] == {"format": {"type": "json_object"}}
    assert "text" not in body()


@pytest.mark.parametrize("vendor", [LMStudio, LlamaCpp])
def test_a_schema_that_would_be_passed_over_is_refused(vendor: type[OpenAI]) -> None:
    """lmstudio-ai/lmstudio-bug-tracker#2403, and llama.cpp as tried."""
    asked = request(schema=Schema("any", {}), options={"api": "responses"})
    with pytest.raises(RequestRejected, match="passes over a schema"):
        vendor(ProviderConfig(vendor.id)).check(asked)
    vendor(ProviderConfig(vendor.id)).check(asked._replace(options={}))


def test_lm_studio_wants_to_be_told_that_text_is_text() -> None:
    """lmstudio-ai/lmstudio-bug-tracker#1576."""
    assert body(provider=LMStudio(ProviderConfig("lmstudio")), options={"api": "responses"})["text"] == {
        "format": {"type": "text"}
    }


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("off", {"effort": "none"}),
        ("low", {"effort": "low", "summary": "auto"}),
        (20_000, {"effort": "high", "summary": "auto"}),
    ],
)
def test_who_asks_for_thinking_gets_a_summary_of_it(asked: str | int, expected: dict[str, Json]) -> None:
    assert body(thinking=asked)["reasoning"] == expected
    assert "reasoning" not in body()


def test_attachments_are_parts_of_the_input() -> None:
    parts = (
        Text("look"),
        Attachment("image/png", b"abc"),
        Attachment("image/png", url="https://h/a.png"),
        Attachment("application/pdf", b"abc", name="r.pdf"),
        Attachment("application/pdf", url="https://h/r.pdf"),
        Attachment("audio/wav", b"abc"),
    )
    assert sent_items(Message("user", parts))[0]["content"] == [
        {"type": "input_text", "text": "look"},
        {"type": "input_image", "image_url": "data:image/png;base64,YWJj"},
        {"type": "input_image", "image_url": "https://h/a.png"},
        {"type": "input_file", "filename": "r.pdf", "file_data": "data:application/pdf;base64,YWJj"},
        {"type": "input_file", "file_url": "https://h/r.pdf"},
        {"type": "input_audio", "input_audio": {"data": "YWJj", "format": "wav"}},
    ]


def test_azure_has_the_api_beside_its_deployments() -> None:
    for own, expected in (
        ({}, "https://r.openai.azure.com/openai/v1/responses"),
        ({"api_version": "2025-03-01"}, "https://r.openai.azure.com/openai/responses?api-version=2025-03-01"),
    ):
        azure = Azure(ProviderConfig("azure", "https://r.openai.azure.com", own=own))
        assert azure.chat_request(request(options={"api": "responses"}), stream=False).url == expected


# --- the conversation that is sent back -----------------------------------------------------------

SECRET = wire.reasoning("hm")
SECOND = {**wire.reasoning("so"), "id": "rs_2"}


def test_a_conversation_is_a_list_of_items_in_its_order() -> None:
    """6.5: reasoning as it came, directly in front of what it led to; results by the id of the call."""
    said = Message(
        "assistant",
        (
            Thinking("hm", {ORIGIN: SECRET}),
            Text("Let me see."),
            Thinking("so", {ORIGIN: SECOND}),
            ToolCall("call_1", "now", '{"tz":"Oslo"}'),
        ),
    )
    results = Message("tool", (ToolResult("call_1", "now", "14:05"),))
    assert sent_items(message("system", "be terse"), ASKED, said, results) == [
        {"role": "developer", "content": "be terse"},
        {"role": "user", "content": "time in Oslo?"},
        SECRET,
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Let me see."}]},
        SECOND,
        {"type": "function_call", "call_id": "call_1", "name": "now", "arguments": '{"tz":"Oslo"}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "14:05"},
    ]


@pytest.mark.parametrize(
    "parts",
    [
        (Thinking("hm", {"openai/gpt-6": SECRET}), Text("Yes")),
        (Thinking("hm", {"azure/gpt-5.6-luna": SECRET}), Text("Yes")),
        (Thinking("hm", {"signature": "anthropic's"}), Text("Yes")),
        (Thinking("hm"), Text("Yes")),
        (Text("Yes"), Thinking("hm", {ORIGIN: SECRET})),
    ],
)
def test_reasoning_of_others_and_what_led_to_nothing_stays_here(parts: tuple[Any, ...]) -> None:
    """Another model cannot read it, and without what it led to it is refused (openai/openai-agents-python#1611)."""
    assert [item.get("type") for item in sent_items(Message("assistant", parts))] == ["message"]


def test_ids_that_come_again_are_told_apart() -> None:
    """P34, as in the other API."""
    once = (Message("assistant", (ToolCall("x", "now"),)), Message("tool", (ToolResult("x", "now", "1"),)))
    found = [item["call_id"] for item in sent_items(*once, *once)]
    assert found[0] == found[1] != found[2] == found[3]


def test_what_a_message_is_for_goes_back_with_it() -> None:
    """`phase`: a model that is not told takes its own remarks for the answer."""
    items = [(wire.message("Wait.", phase="commentary"), ("Wait.",)), (wire.call(1, "now", "{}"), ("{}",))]
    sample = wire.answer((), items)
    for parts in (folded(streamed(*sample.stream)), folded(whole(sample.whole))):
        assert [type(part) for part in parts] == [Thinking, Text, ToolCall]
        first, second = sent_items(Message("assistant", parts))
        assert (first["content"][0]["text"], first["phase"]) == ("Wait.", "commentary")
        assert second["type"] == "function_call"
        assert "phase" not in sent_items(Message("assistant", (*parts, Text("Done."))))[-1]


# --- what the service refuses ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "gone"),
    [
        ({"message": "Encrypted content is not supported with this model.", "param": "include"}, "include"),
        ({"message": "Unknown parameter: 'include'.", "param": "include"}, "include"),
        (
            {
                "message": "Your organization must be verified to generate reasoning summaries.",
                "param": "reasoning.summary",
                "code": "unsupported_value",
            },
            "summary",
        ),
    ],
)
def test_what_we_chose_ourselves_is_left_out_once_refused(error: dict[str, Json], gone: str) -> None:
    refusal = OPENAI.read_error(400, {}, json.dumps({"error": error}).encode())
    asked = request(thinking="low")
    adapted = OPENAI.adapt(asked, refusal)
    assert adapted is not None
    sent = body(thinking="low", without=adapted.without)
    assert gone not in sent
    assert gone not in sent["reasoning"]
    assert sent["reasoning"]["effort"] == "low"
    assert OPENAI.adapt(adapted, refusal) is None


def test_what_the_user_asked_for_is_never_dropped() -> None:
    for name, said in (("temperature", {"temperature": 0.5}), ("reasoning.effort", {"thinking": "low"})):
        error = {"error": {"message": f"Unsupported parameter: '{name}'", "param": name}}
        assert OPENAI.adapt(request(**said), OPENAI.read_error(400, {}, json.dumps(error).encode())) is None


# --- answers --------------------------------------------------------------------------------------


def streamed(*records: bytes, cut: int | None = None) -> list[Event]:
    data = b"".join(records)
    pieces = (data,) if cut is None else (data[:cut], data[cut:])
    return list(stream_events(OPENAI, *pieces, request=request()))


def whole(data: bytes | None) -> list[Event]:
    return list(OPENAI.reader(request()).body(data or b""))


def folded(events: list[Event]) -> tuple[Any, ...]:
    fold = Fold("openai", MODEL, keep=True)
    list(fold.watch(iter(events)))
    return fold.reply().message.parts


MIXED = (
    *wire.BEGIN,
    *wire.told(0, SECRET),
    *wire.told(1, wire.message("Hé\u2028!"), ("Hé", "\u2028!")),
    *wire.told(2, wire.call(1, "now", '{"tz":"Oslo"}'), ('{"tz":', '"Oslo"}')),
    wire.event(
        "response.completed",
        response=wire.response([SECRET, wire.message("Hé\u2028!"), wire.call(1, "now", '{"tz":"Oslo"}')]),
    ),
)
MIXED_EVENTS: list[Event] = [
    Metadata({"model": wire.MODEL, "id": "resp_1"}),
    ThinkingDelta("hm"),
    ThinkingEnd({ORIGIN: SECRET}),
    TextDelta("Hé"),
    TextDelta("\u2028!"),
    ToolCallDelta("now", ""),
    ToolCallDelta("now", '{"tz":'),
    ToolCallDelta("now", '"Oslo"}'),
    ToolCall("call_1", "now", '{"tz":"Oslo"}'),
    wire.COUNTED,
    Finish("tool_calls", "completed"),
]


def test_a_stream_is_read_however_it_is_cut() -> None:
    assert streamed(*MIXED) == MIXED_EVENTS
    for cut in range(1, len(b"".join(MIXED))):
        assert streamed(*MIXED, cut=cut) == MIXED_EVENTS


def test_a_stream_that_was_cut_off_is_never_complete() -> None:
    """P38: whatever byte is the last one."""
    data = b"".join(MIXED)
    for end in range(data.index(b"event: response.completed")):
        assert not any(isinstance(event, Finish) for event in streamed(data[:end]))


def test_what_is_read_goes_back_as_it_was() -> None:
    """The items of an answer are those of the next request, the ids of messages and calls left out."""
    back = sent_items(Message("assistant", folded(MIXED_EVENTS)))
    assert back == [
        SECRET,
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hé\u2028!"}]},
        {"type": "function_call", "call_id": "call_1", "name": "now", "arguments": '{"tz":"Oslo"}'},
    ]


def test_an_answer_that_is_told_whole_says_the_same() -> None:
    document = wire.response([SECRET, wire.message("Hé"), wire.call(1, "now", "{}")])
    events = whole(as_json(document))
    assert folded(events) == (Thinking("hm", {ORIGIN: SECRET}), Text("Hé"), ToolCall("call_1", "now", "{}"))
    assert (finish(events), usage(events)) == (Finish("tool_calls", "completed"), wire.COUNTED)


def test_an_answer_that_was_told_only_at_its_end_is_read_there() -> None:
    """A gateway that only pretends to stream."""
    end = wire.event("response.completed", response=wire.response([SECRET, wire.message("Hi"), wire.call(1, "f", "")]))
    assert folded(streamed(end)) == (Thinking("hm", {ORIGIN: SECRET}), Text("Hi"), ToolCall("call_1", "f", "{}"))


@pytest.mark.parametrize("output", [None, []])
def test_an_answer_that_was_told_only_in_pieces_is_put_together(output: Json) -> None:
    """P62 (ding113/claude-code-hub#1219): the last event has no items, and none was told whole."""
    pieces = [
        record for record in MIXED[:-1] if b"output_item.done" not in record and b"arguments.done" not in record
    ]  # fmt: skip
    end = wire.event("response.completed", response={**wire.response([]), "output": output})
    assert folded(streamed(*pieces, end)) == (
        Thinking("hm"), Text("Hé\u2028!"), ToolCall("call_1", "now", '{"tz":"Oslo"}')
    )  # fmt: skip


def test_items_without_a_place_are_known_by_their_ids() -> None:
    """llama.cpp tells neither the place nor, until the text has begun, the end of the reasoning."""
    plain = {"type": "reasoning", "id": "rs_1", "summary": [], "content": [], "encrypted_content": ""}
    done = {**plain, "content": [{"type": "reasoning_text", "text": "hm"}]}
    hello = wire.message("Hi")
    events = streamed(
        wire.event("response.output_item.added", item=plain),
        wire.event("response.reasoning_text.delta", item_id="rs_1", delta="hm"),
        wire.event("response.output_item.added", item={**hello, "content": []}),
        wire.event("response.output_text.delta", item_id="msg_1", delta="Hi"),
        wire.event("response.output_item.done", item=done),
        wire.event("response.output_item.done", item=hello),
        wire.event("response.completed", response=wire.response([done, hello])),
    )
    assert folded(events) == (Thinking("hm"), Text("Hi"))


def test_items_that_were_told_in_pieces_are_not_told_again_at_the_end() -> None:
    """Their own ends may be missing."""
    events = streamed(
        wire.event("response.output_item.added", item={**wire.message(""), "content": []}),
        wire.event("response.output_text.delta", item_id="msg_1", delta="Hi"),
        wire.event("response.completed", response=wire.response([wire.message("Hi")])),
    )
    assert folded(events) == (Text("Hi"),)


@pytest.mark.parametrize("item_id", ["msg_1", "msg_2"])
def test_an_item_that_is_left_out_at_the_end_does_not_shift_the_others(item_id: str) -> None:
    """A gateway that keeps the reasoning to itself, and may number the items anew."""
    events = streamed(
        *wire.told(0, wire.reasoning("hm", secret=""))[:-1],
        *wire.told(1, wire.message("Hi"), ("Hi",))[:-1],
        wire.event("response.completed", response=wire.response([{**wire.message("Hi"), "id": item_id}])),
    )
    assert folded(events) == (Thinking("hm"), Text("Hi"))


def test_each_piece_of_reasoning_is_a_part_of_its_own() -> None:
    """Open models tell theirs, and have nothing to be sent back."""
    pieces = [{"type": "reasoning", "id": f"rs_{number}", "content": [{"text": f"hm{number}"}]} for number in (1, 2)]
    end = wire.event("response.completed", response=wire.response([*pieces, wire.message("Hi")]))
    assert folded(streamed(end)) == (Thinking("hm1"), Thinking("hm2"), Text("Hi"))


def test_reasoning_always_has_a_summary_when_it_goes_back() -> None:
    """6.5: an empty one, too."""
    item = {"type": "reasoning", "id": "rs_1", "encrypted_content": "s", "content": None, "status": None}
    back = sent_items(Message("assistant", folded(whole(as_json(wire.response([item, wire.message("Hi")]))))))
    assert back[0] == {"type": "reasoning", "id": "rs_1", "encrypted_content": "s", "summary": []}


def test_a_call_of_nothing_is_not_valid() -> None:
    assert not calls(whole(as_json(wire.response([wire.call(1, "", "{}")]))))[0].valid


def test_ids_that_are_made_anew_for_every_event_do_no_harm() -> None:
    """Where the places are told they say which item is meant."""
    changed = [record.replace(b'"fc_1"', b'"fc_%d"' % number) for number, record in enumerate(MIXED, 50)]
    assert streamed(*changed) == MIXED_EVENTS


@pytest.mark.parametrize("output", [True, None])
def test_items_that_all_have_one_place_are_told_apart(output: bool | None) -> None:
    now, ping = wire.call(1, "now", "{}"), wire.call(2, "ping", "{}")
    events = streamed(
        *wire.told(0, now, ("{}",)),
        *wire.told(0, ping, ("{}",)),
        wire.event("response.completed", response={**wire.response([]), "output": output and [now, ping]}),
    )
    assert [call.name for call in calls(events)] == ["now", "ping"]


def test_a_call_that_was_cut_off_is_told_as_what_it_is() -> None:
    """Nobody must run half a call, and the reason stays that of the cut."""
    half = {**wire.call(1, "now", '{"tz":'), "status": "incomplete"}
    sample = wire.answer((), [(half, ('{"tz":',))], status="incomplete",
                         incomplete_details={"reason": "max_output_tokens"})  # fmt: skip
    for events in (streamed(*sample.stream), whole(sample.whole)):
        assert calls(events) == [ToolCall("call_1", "now", '{"tz":', valid=False)]
        assert finish(events) == Finish("length", "max_output_tokens")


def test_a_call_without_an_id_gets_one_and_no_two_have_the_same() -> None:
    items = [{**wire.call(1, "now", "{}"), "call_id": call_id} for call_id in ("", "x", "x")]
    for number, item in enumerate(items):
        item["id"] = f"fc_{number}"
    found = calls(whole(as_json(wire.response(items))))
    assert len({call.id for call in found}) == 3
    assert all(call.id for call in found)


def test_arguments_that_are_an_object_are_its_text() -> None:
    """P30, as in the other API."""
    item = {**wire.call(1, "now", ""), "arguments": {"tz": "Öst"}}
    assert calls(whole(as_json(wire.response([item]))))[0].arguments == '{"tz": "Öst"}'


def test_a_refusal_is_shown_as_text() -> None:
    part = {"type": "refusal", "refusal": "I can't."}
    item = {**wire.message(""), "content": [part]}
    pieces = (
        wire.event("response.output_item.added", output_index=0, item={**item, "content": []}),
        wire.event("response.refusal.delta", output_index=0, item_id="msg_1", delta="I can't."),
        wire.event("response.output_item.done", output_index=0, item=item),
        wire.event("response.completed", response=wire.response([item])),
    )
    for events in (streamed(*pieces), whole(as_json(wire.response([item])))):
        assert (text(events), metadata(events)["refusal"]) == ("I can't.", "I can't.")


def test_the_sources_of_a_text_are_kept() -> None:
    note: Json = {"type": "url_citation", "url": "u"}
    item = wire.message("Hi")
    item["content"][0]["annotations"] = [note]
    first, *rest = wire.told(0, item, ("Hi",))
    added = wire.event("response.output_text.annotation.added", output_index=0, annotation=note)
    end = wire.event("response.completed", response=wire.response([item]))
    for events in (streamed(first, added, *rest, end), whole(as_json(wire.response([item])))):
        assert metadata(events)["annotations"] == [note]


def test_what_is_not_known_is_passed_over() -> None:
    """Hosted tools, new events, `[DONE]`, keep-alives: the answer is what it says itself."""
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    events = streamed(
        *wire.BEGIN,
        wire.event("response.output_item.added", output_index=0, item=search),
        wire.event("response.web_search_call.searching", output_index=0, item_id="ws_1"),
        wire.event("response.output_item.done", output_index=0, item=search),
        *wire.told(1, wire.message("Hi"), ("Hi",)),
        b"data: null\n\ndata: 7\n\n",
        wire.event("response.completed", response=wire.response([search, wire.message("Hi")])),
        b"data: [DONE]\n\n",
    )
    assert folded(events) == (Text("Hi"),)
    assert finish(events).reason == "stop"
    assert not any(isinstance(event, Finish) for event in streamed(*wire.BEGIN, b"data: [DONE]\n\n"))


@pytest.mark.parametrize("reason", ["max_messages", "steered", None])
def test_other_ways_to_end_early_are_not_a_stop(reason: str | None) -> None:
    details = {"reason": reason} if reason else None
    events = whole(as_json(wire.response([wire.message("Hi")], "incomplete", incomplete_details=details)))
    assert finish(events) == Finish("other", reason or "incomplete")


def test_the_finish_does_not_wait_for_the_connection_to_close() -> None:
    reader = OPENAI.reader(request())
    end = {"type": "response.completed", "response": wire.response([wire.message("Hi")])}
    assert list(reader.feed(Record(json.dumps(end))))[-1] == Finish("stop", "completed")
    assert reader.complete


@pytest.mark.parametrize(
    ("record", "error"),
    [
        (wire.OVERLOADED, Busy),
        (wire.event("response.failed", response=wire.FAILED), ProviderFailed),
        (
            wire.event("response.failed", response=wire.response([], "failed", error={"code": "rate_limit_exceeded"})),
            Busy,
        ),
        (wire.event("response.failed", response={**wire.FAILED, "error": None}), ProviderFailed),
        (wire.event("response.failed", response=None), ProviderFailed),
        (b'event: error\ndata: {"error": {"message": "it broke"}}\n\n', ProviderFailed),
        (b'data: {"error": {"message": "it broke", "code": 429}}\n\n', Busy),
        (b"data: {oops\n\n", ProviderFailed),
    ],
)
def test_an_error_in_a_stream_is_an_error(record: bytes, error: type[LlmError]) -> None:
    with pytest.raises(error) as caught:
        streamed(*MIXED[:-1], record)
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (wire.FAILED, "failed to generate"),
        ({"error": {"message": "it broke"}}, "it broke"),
        (wire.response([], "queued"), "status queued"),
        (wire.response([], "cancelled"), "status cancelled"),
        ({}, "no output"),
        ([], "no output"),
        ({"choices": []}, "no output"),
    ],
)
def test_what_is_no_answer_is_a_failure(document: Any, says: str) -> None:
    with pytest.raises(ProviderFailed, match=says):
        whole(as_json(document))


def test_a_server_that_tells_little_is_understood() -> None:
    """P60: only the items are certain."""
    events = whole(as_json({"output": [{"type": "message", "content": [{"text": "Hi"}]}, None]}))
    assert (text(events), thinking(events), usage(events)) == ("Hi", "", None)
    assert events[-1] == Finish("stop", "completed")
    assert isinstance(usage(whole(as_json({"output": [], "usage": {"input_tokens": 1}}))), Usage)
