"""Ollama's own API (its `docs/api.md` and `api/types.go`)."""

from collections.abc import Mapping, Sequence
from typing import Any

from llmcli.errors import (
    AuthenticationFailed,
    Busy,
    ContextTooLong,
    ProviderFailed,
    RequestRejected,
    UnknownModel,
)
from llmcli.testing import Answer, Failure, Samples, body, json_line
from llmcli.types import Text, Thinking, ToolCall, Usage
from tests.wire_samples import PIECES, TEXT

FACTS = {"model": "qwen3:latest", "created_at": "2026-11-25T12:00:00.123456Z"}
COUNTS = {"total_duration": 5000000, "load_duration": 1000, "prompt_eval_count": 9, "eval_count": 12}


def line(message: Mapping[str, Any]) -> dict[str, Any]:
    """A piece of an answer."""
    return {**FACTS, "message": {"role": "assistant", "content": "", **message}, "done": False}


def last(message: Mapping[str, Any], reason: str) -> dict[str, Any]:
    """The last line, which is all of a whole answer."""
    return {**line(message), "done": True, "done_reason": reason, **COUNTS}


def answer(
    says: Any, pieces: Sequence[Mapping[str, Any]], message: Mapping[str, Any], reason: str, **more: Any
) -> Answer:
    """An answer in pieces and whole."""
    records = (*(json_line(line(piece)) for piece in pieces), json_line(last({}, reason)))
    whole = body(last(message, reason))
    return Answer(says, records, 1, whole, usage=Usage(9, 12, 21), model=FACTS["model"], **more)


ANSWER = answer(TEXT, [{"content": piece} for piece in PIECES], {"content": TEXT}, "stop")
EMPTY = answer("", [], {}, "stop")
LENGTH = answer("Once", [{"content": "Once"}], {"content": "Once"}, "length", finish="length")
COMPLETION = Answer(
    TEXT,
    (*(json_line({**FACTS, "response": piece, "done": False}) for piece in PIECES),
     json_line({**FACTS, "response": "", "done": True, "done_reason": "stop", "context": [1, 2], **COUNTS})),
    1,
    body({**FACTS, "response": TEXT, "done": True, "done_reason": "stop", **COUNTS}),
    usage=Usage(9, 12, 21),
    model=FACTS["model"],
)  # fmt: skip
THINKING = answer(
    (Thinking("Höflich\nsein."), Text("Grüße.")),
    [{"thinking": "Höflich"}, {"thinking": "\nsein."}, {"content": "Grüße."}],
    {"thinking": "Höflich\nsein.", "content": "Grüße."},
    "stop",
)
_CALL = {"id": "call_a1b2c3d4", "function": {"index": 0, "name": "weather", "arguments": {"city": "Zürich"}}}
_OTHER = {"function": {"name": "time", "arguments": {}}}
TOOL_CALLS = answer(
    (ToolCall("call_a1b2c3d4", "weather", '{"city":"Zürich"}'), ToolCall("", "time", "{}")),
    [{"tool_calls": [_CALL]}, {"tool_calls": [_OTHER]}],
    {"tool_calls": [_CALL, _OTHER]},
    "stop",
    finish="tool_calls",
)


def _error(message: str) -> bytes:
    return body({"error": message})


ERRORS = (
    Failure(_error("the key is unauthorized"), AuthenticationFailed, 401),
    Failure(_error("model 'qwen9' not found"), UnknownModel, 404),
    Failure(_error('"llama2" does not support thinking'), RequestRejected, 400),
    Failure(_error("registry.ollama.ai/library/llama2:latest does not support tools"), RequestRejected, 400),
    Failure(_error("the input length exceeds the context length"), ContextTooLong, 400),
    Failure(_error("too many requests for now"), Busy, 429, {"Retry-After": "7"}, retry_after=7.0),
    Failure(_error("model requires more system memory than is available"), ProviderFailed, 500),
    Failure(_error("server busy, please try again"), Busy, 503),
)

SAMPLES = Samples(
    ANSWER,
    errors=ERRORS,
    error_whole=Failure(_error("an error was encountered while running the model"), ProviderFailed),
    error_in_stream=Failure(json_line({"error": "an error was encountered while running the model"}), ProviderFailed),
    thinking=THINKING,
    tool_calls=TOOL_CALLS,
    empty=EMPTY,
    completion=COMPLETION,
    others=(LENGTH,),
    models=(body({"models": [{"name": "qwen3:latest", "details": {"family": "qwen3"}}, {"name": "old:latest"}]}),),
    model_ids=("qwen3:latest", "old:latest"),
)
