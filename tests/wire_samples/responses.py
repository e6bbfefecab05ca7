"""OpenAI's Responses API: items and their events (the API reference)."""

from collections.abc import Mapping, Sequence
from typing import Any

from llmcli.errors import ProviderFailed
from llmcli.testing import Answer, Failure, Samples, body, sse
from llmcli.types import FinishReason, Part, Text, Thinking, ToolCall, Usage
from tests.wire_samples import PIECES, TEXT, openai

MODEL = "model-2026-11-01"
USAGE = {
    "input_tokens": 9,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
    "output_tokens": 12,
    "output_tokens_details": {"reasoning_tokens": 3},
    "total_tokens": 21,
}
COUNTED = Usage(9, 12, 21, 4, 3)


def response(output: Sequence[Mapping[str, Any]], status: str = "completed", **more: Any) -> dict[str, Any]:
    """The response as it is told whole."""
    facts = {"id": "resp_1", "object": "response", "created_at": 1790000000, "model": MODEL, "store": False}
    nothing = {"error": None, "incomplete_details": None}
    return {**facts, **nothing, "status": status, "output": list(output), "usage": USAGE, **more}


def event(kind: str, **fields: Any) -> bytes:
    """An event of a stream, which has its type as its name and in its data."""
    return sse({"type": kind, "sequence_number": 1, **fields}, kind)


BEGIN = (
    event("response.created", response={**response([], "in_progress"), "usage": None}),
    event("response.in_progress", response={**response([], "in_progress"), "usage": None}),
)


def message(text: str, **more: Any) -> dict[str, Any]:
    """An item of text."""
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part], **more}


def reasoning(*summary: str, secret: str = "gAAAA-secret") -> dict[str, Any]:
    """An item of reasoning, with what is sent back."""
    parts = [{"type": "summary_text", "text": text} for text in summary]
    return {"type": "reasoning", "id": "rs_1", "summary": parts, "encrypted_content": secret}


def call(number: int, name: str, arguments: str) -> dict[str, Any]:
    """An item that calls a tool."""
    ids = {"id": f"fc_{number}", "call_id": f"call_{number}"}
    return {"type": "function_call", **ids, "name": name, "arguments": arguments, "status": "completed"}


def told(place: int, item: Mapping[str, Any], pieces: Sequence[str] = ()) -> tuple[bytes, ...]:
    """The events of an item: that it begins, its pieces, that it is complete."""
    where = {"output_index": place, "item_id": item["id"]}
    empty = {"content": [], "summary": [], "arguments": "", "encrypted_content": ""}
    begun = {name: empty.get(name, value) for name, value in item.items()} | {"status": "in_progress"}
    events = [event("response.output_item.added", output_index=place, item=begun)]
    if item["type"] == "message":
        where["content_index"] = 0
        events.append(event("response.content_part.added", **where, part={"type": "output_text", "text": ""}))
        events += [event("response.output_text.delta", **where, delta=piece, obfuscation="x") for piece in pieces]
        events.append(event("response.output_text.done", **where, text="".join(pieces)))
        events.append(event("response.content_part.done", **where, part=item["content"][0]))
    elif item["type"] == "reasoning":
        for number, part in enumerate(item["summary"]):
            where["summary_index"] = number
            events.append(event("response.reasoning_summary_part.added", **where, part={**part, "text": ""}))
            events.append(event("response.reasoning_summary_text.delta", **where, delta=part["text"]))
            events.append(event("response.reasoning_summary_text.done", **where, text=part["text"]))
    else:
        events += [event("response.function_call_arguments.delta", **where, delta=piece) for piece in pieces]
        events.append(event("response.function_call_arguments.done", **where, arguments=item["arguments"]))
    return (*events, event("response.output_item.done", output_index=place, item=item))


def answer(
    says: str | tuple[Part, ...],
    items: Sequence[tuple[Mapping[str, Any], Sequence[str]]],
    *,
    status: str = "completed",
    finish: FinishReason = "stop",
    **more: Any,
) -> Answer:
    """An answer of these items, in pieces and whole."""
    output = [item for item, _ in items]
    events = [each for place, (item, pieces) in enumerate(items) for each in told(place, item, pieces)]
    end = response(output, status, **more)
    stream = (*BEGIN, *events, event(f"response.{status}", response=end))
    return Answer(says, stream, 1, body(end), finish, COUNTED, MODEL)


ORIGIN = "openai/gpt-5.6-luna"  # the default model of the provider that is checked
SECRET = reasoning("Höflich\nsein.", "Kurz auch.")
ANSWER = answer(TEXT, [(message(TEXT), PIECES)])
THINKING = answer(
    (Thinking("Höflich\nsein.\n\nKurz auch.", {ORIGIN: SECRET}), Text("Grüße.")),
    [(SECRET, ()), (message("Grüße."), ("Grüße.",))],
)
ZURICH = '{"city":"Zürich"}'
TOOL_CALLS = answer(
    (ToolCall("call_1", "weather", ZURICH), ToolCall("call_2", "time", "{}")),
    [(call(1, "weather", ZURICH), ('{"city":', '"Zürich"}')), (call(2, "time", "{}"), ("{}",))],
    finish="tool_calls",
)
LENGTH = answer(
    "Once", [(message("Once"), ("Once",))], status="incomplete", finish="length",
    incomplete_details={"reason": "max_output_tokens"},
)  # fmt: skip
FILTERED = answer("", [], status="incomplete", finish="content_filter", incomplete_details={"reason": "content_filter"})

_BROKEN = {"code": "server_error", "message": "The model failed to generate a response."}
FAILED = response([], "failed", error=_BROKEN)

SAMPLES = Samples(
    ANSWER,
    errors=openai.ERRORS,
    error_whole=Failure(body(FAILED), ProviderFailed),
    error_in_stream=Failure(event("response.failed", response=FAILED), ProviderFailed),
    thinking=THINKING,
    tool_calls=TOOL_CALLS,
    empty=answer("", []),
    others=(LENGTH, FILTERED),
    models=(openai.MODELS,),
    model_ids=("model-1", "model-2"),
)
OVERLOADED = event("error", code="rate_limit_exceeded", message="slow down", param=None)
