"""
OpenAI's chat completions and their vendors' (the API reference; reasoning as DeepSeek and OpenRouter send it).
"""

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
from llmcli.provider import Capabilities
from llmcli.testing import Answer, Failure, Samples, body, sse
from llmcli.types import Text, Thinking, ToolCall, Usage
from tests.wire_samples import PIECES, TEXT

USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 12,
    "total_tokens": 21,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 3, "audio_tokens": 0},
}
COUNTED = Usage(9, 12, 21, 4, 3)
FACTS = {"id": "chatcmpl-1", "created": 1790000000, "model": "model-2026-11-01", "system_fingerprint": "fp_1"}


def chunk(delta: Mapping[str, Any], reason: str | None = None) -> bytes:
    """A chunk of a stream, with the nulls that the API sends."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    return sse({**FACTS, "object": "chat.completion.chunk", "choices": [choice], "usage": None})


def completion(message: Mapping[str, Any], reason: str) -> bytes:
    """A whole answer."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "logprobs": None, "finish_reason": reason}
    return body({**FACTS, "object": "chat.completion", "choices": [choice], "usage": USAGE})


def stream(deltas: Sequence[Mapping[str, Any]], reason: str) -> tuple[bytes, ...]:
    """A stream of these pieces with its three records of the end: the reason, the usage, the sentinel."""
    usage = sse({**FACTS, "object": "chat.completion.chunk", "choices": [], "usage": USAGE})
    opening = chunk({"role": "assistant", "content": "", "refusal": None})
    return (opening, *map(chunk, deltas), chunk({}, reason), usage, sse("[DONE]"))


def answer(
    says: Any, deltas: Sequence[Mapping[str, Any]], message: Mapping[str, Any], reason: str, **more: Any
) -> Answer:
    """An answer in pieces and whole."""
    return Answer(
        says, stream(deltas, reason), 3, completion(message, reason), usage=COUNTED, model=FACTS["model"], **more
    )


ANSWER = answer(TEXT, [{"content": piece} for piece in PIECES], {"content": TEXT, "refusal": None}, "stop")
EMPTY = answer("", [], {"content": ""}, "stop")
LENGTH = answer("Once", [{"content": "Once"}], {"content": "Once"}, "length", finish="length")
FILTERED = answer("", [], {"content": None}, "content_filter", finish="content_filter")

THINKING = answer(
    (Thinking("Höflich\nsein."), Text("Grüße.")),
    [{"reasoning_content": "Höflich"}, {"reasoning_content": "\nsein."}, {"content": "Grüße."}],
    {"reasoning_content": "Höflich\nsein.", "content": "Grüße."},
    "stop",
)

# Ids of nine signs, which Mistral wants.
_CALL = {"id": "call00001", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Zürich"}'}}
_OTHER = {"id": "call00002", "type": "function", "function": {"name": "time", "arguments": "{}"}}

TOOL_CALLS = answer(
    (ToolCall("call00001", "weather", '{"city":"Zürich"}'), ToolCall("call00002", "time", "{}")),
    [
        {"tool_calls": [{**_CALL, "index": 0, "function": {"name": "weather", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"city":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '"Zürich"}'}}]},
        {"tool_calls": [{**_OTHER, "index": 1}]},
    ],
    {"content": None, "tool_calls": [_CALL, _OTHER]},
    "tool_calls",
    finish="tool_calls",
)


def _completed(text: str, reason: str | None = None, **more: Any) -> dict[str, Any]:
    """A completion of bare text, or a piece of one."""
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}
    return {**FACTS, "object": "text_completion", "choices": [choice], **more}


COMPLETION = Answer(
    TEXT,
    (*(sse(_completed(piece)) for piece in PIECES), sse(_completed("", "length")),
     sse({**FACTS, "object": "text_completion", "choices": [], "usage": USAGE}), sse("[DONE]")),
    3,
    body(_completed(TEXT, "length", usage=USAGE)),
    finish="length",
    usage=COUNTED,
    model=FACTS["model"],
)  # fmt: skip


def _error(message: str, kind: str, code: str | None = None, param: str | None = None) -> bytes:
    return body({"error": {"message": message, "type": kind, "param": param, "code": code}})


ERRORS = (
    Failure(_error("Incorrect API key provided: sk-no", "invalid_request_error", "invalid_api_key"),
            AuthenticationFailed, 401),
    Failure(_error("Country, region, or territory not supported", "request_forbidden"), AuthenticationFailed, 403),
    Failure(_error("The model `x` does not exist or you do not have access to it.", "invalid_request_error",
                   "model_not_found"), UnknownModel, 404),
    Failure(_error("Unsupported value: 'temperature' does not support 0.2 with this model.", "invalid_request_error",
                   "unsupported_value", "temperature"), RequestRejected, 400),
    Failure(_error("This model's maximum context length is 4096 tokens.", "invalid_request_error",
                   "context_length_exceeded", "messages"), ContextTooLong, 400),
    Failure(_error("Rate limit reached for gpt-5 in organization org-1 on tokens per min.", "tokens",
                   "rate_limit_exceeded"), Busy, 429, {"Retry-After": "7"}, retry_after=7.0),
    Failure(_error("You exceeded your current quota, please check your plan and billing details.",
                   "insufficient_quota", "insufficient_quota"), QuotaExceeded, 429),
    Failure(_error("The server had an error while processing your request", "server_error"), ProviderFailed, 500),
    Failure(_error("The engine is currently overloaded, please try again later", "server_error"), Busy, 503),
)  # fmt: skip

_BROKEN = {"error": {"message": "The server had an error while processing your request", "type": "server_error"}}
ERROR_WHOLE = Failure(body(_BROKEN), ProviderFailed)
ERROR_IN_STREAM = Failure(sse(_BROKEN), ProviderFailed)
MODELS = body(
    {
        "object": "list",
        "data": [
            {"id": "model-1", "object": "model", "created": 1790000000, "owned_by": "system"},
            {"id": "model-2", "object": "model", "created": 1790000001, "owned_by": "system"},
        ],
    }
)


def samples(capabilities: Capabilities, *, models: bool) -> Samples:
    """The samples of a speaker of the dialect that can do this."""
    return Samples(
        ANSWER,
        errors=ERRORS,
        error_whole=ERROR_WHOLE,
        error_in_stream=ERROR_IN_STREAM,
        thinking=THINKING if capabilities.thinking else None,
        tool_calls=TOOL_CALLS if capabilities.tools else None,
        completion=COMPLETION if capabilities.generate else None,
        empty=EMPTY,
        others=(LENGTH, FILTERED),
        models=(MODELS,) if models else (),
        model_ids=("model-1", "model-2") if models else (),
    )
