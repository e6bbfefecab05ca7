"""Anthropic's Messages API (its reference, and the pages on streaming, errors and thinking)."""

from collections.abc import Mapping, Sequence
from typing import Any

from llmcli.errors import (
    AuthenticationFailed,
    Busy,
    ContextTooLong,
    ProviderFailed,
    QuotaExceeded,
    RequestRejected,
    UnknownModel,
)
from llmcli.testing import Answer, Failure, Samples, body, sse
from llmcli.types import Text, Thinking, ToolCall, Usage
from tests.wire_samples import PIECES, TEXT

USAGE = {"input_tokens": 9, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 4, "output_tokens": 1}
COUNTED = Usage(13, 12, 25, 4)
MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-4-5-20251001"}

Block = tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]  # how it begins, and its deltas


def event(type_: str, **fields: Any) -> bytes:
    """An event, which has its type as its name and in its data."""
    return sse({"type": type_, **fields}, type_)


def stream(blocks: Sequence[Block], reason: str) -> tuple[bytes, ...]:
    """A stream of these blocks."""
    opening = {**MESSAGE, "content": [], "stop_reason": None, "stop_sequence": None, "usage": USAGE}
    records = [event("message_start", message=opening), event("ping")]
    for index, (start, deltas) in enumerate(blocks):
        records.append(event("content_block_start", index=index, content_block=start))
        records += [event("content_block_delta", index=index, delta=delta) for delta in deltas]
        records.append(event("content_block_stop", index=index))
    stop = {"stop_reason": reason, "stop_sequence": None}
    return (*records, event("message_delta", delta=stop, usage={"output_tokens": 12}), event("message_stop"))


def answer(
    says: Any, blocks: Sequence[Block], content: Sequence[Mapping[str, Any]], reason: str, **more: Any
) -> Answer:
    """An answer in pieces and whole."""
    whole = {**MESSAGE, "content": content, "stop_reason": reason, "stop_sequence": None,
             "usage": {**USAGE, "output_tokens": 12}}  # fmt: skip
    return Answer(says, stream(blocks, reason), 1, body(whole), usage=COUNTED, model=MESSAGE["model"], **more)


def _text(*pieces: str) -> Block:
    return {"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces]


def _said(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


ANSWER = answer(TEXT, [_text(*PIECES)], [_said(TEXT)], "end_turn")
EMPTY = answer("", [], [], "end_turn")
LENGTH = answer("Once", [_text("Once")], [_said("Once")], "max_tokens", finish="length")
REFUSED = answer("I", [_text("I")], [_said("I")], "refusal", finish="content_filter")

_REDACTED = {"type": "redacted_thinking", "data": "b3BhcXVl"}
_WHOSE = {"model": "claude-haiku-4-5"}  # of the one that was asked
THINKING = answer(
    (
        Thinking("Höflich\nsein.", {"signature": "c2lnbmVk", **_WHOSE}),
        Thinking("", {**_REDACTED, **_WHOSE}),
        Text("Grüße."),
    ),
    [
        (
            {"type": "thinking", "thinking": "", "signature": ""},
            [
                {"type": "thinking_delta", "thinking": "Höflich"},
                {"type": "thinking_delta", "thinking": "\nsein."},
                {"type": "signature_delta", "signature": "c2lnbmVk"},
            ],
        ),
        (_REDACTED, []),
        _text("Grüße."),
    ],
    [{"type": "thinking", "thinking": "Höflich\nsein.", "signature": "c2lnbmVk"}, _REDACTED, _said("Grüße.")],
    "end_turn",
)

_CALL = {"type": "tool_use", "id": "toolu_1", "name": "weather"}
_OTHER = {"type": "tool_use", "id": "toolu_2", "name": "time", "input": {}}
TOOL_CALLS = answer(
    (Text("Ich sehe nach."), ToolCall("toolu_1", "weather", '{"city":"Zürich"}'), ToolCall("toolu_2", "time", "{}")),
    [
        _text("Ich sehe nach."),
        (
            {**_CALL, "input": {}},
            [{"type": "input_json_delta", "partial_json": piece} for piece in ("", '{"city":', '"Zürich"}')],
        ),
        (_OTHER, [{"type": "input_json_delta", "partial_json": ""}]),
    ],
    [_said("Ich sehe nach."), {**_CALL, "input": {"city": "Zürich"}}, _OTHER],
    "tool_use",
    finish="tool_calls",
)


def _error(kind: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


_OVERLOADED = _error("overloaded_error", "Overloaded for now")
ERRORS = (
    Failure(body(_error("authentication_error", "invalid x-api-key value")), AuthenticationFailed, 401),
    Failure(body(_error("permission_error", "Your API key does not have permission to use it.")),
            AuthenticationFailed, 403),
    Failure(body(_error("not_found_error", "model: claude-9")), UnknownModel, 404),
    Failure(body(_error("invalid_request_error", "messages: at least one message is required")), RequestRejected, 400),
    Failure(body(_error("invalid_request_error", "prompt is too long: 215000 tokens > 200000 maximum")),
            ContextTooLong, 400),
    Failure(body(_error("invalid_request_error", "Your credit balance is too low to access the Anthropic API.")),
            QuotaExceeded, 400),
    Failure(body(_error("rate_limit_error", "This request would exceed your rate limit.")), Busy, 429,
            {"retry-after": "7"}, retry_after=7.0),
    Failure(body(_error("api_error", "Internal server error of theirs")), ProviderFailed, 500),
    Failure(body(_OVERLOADED), Busy, 529),
)  # fmt: skip


def _models(*ids: str, more: bool) -> bytes:
    data = [{"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"} for name in ids]
    return body({"data": data, "has_more": more, "first_id": ids[0], "last_id": ids[-1]})


SAMPLES = Samples(
    ANSWER,
    errors=ERRORS,
    error_whole=Failure(body(_OVERLOADED), Busy),
    error_in_stream=Failure(sse(_OVERLOADED, "error"), Busy),
    thinking=THINKING,
    tool_calls=TOOL_CALLS,
    empty=EMPTY,
    others=(LENGTH, REFUSED),
    models=(_models("claude-a", "claude-b", more=True), _models("claude-c", more=False)),
    model_ids=("claude-a", "claude-b", "claude-c"),
    keep_alive=event("ping"),
)
