"""
llmcli's conformance kit, played with what the service writes.

The samples are those of the dialect. Better are bytes of the service itself, recorded with `curl -N`: they show where
it differs, and then a line in the class says so (`reasoning_field`, `stream_options`, `settings`, `quirks`).
"""

from collections.abc import Sequence
from importlib.metadata import entry_points

from llmcli.errors import AuthenticationFailed, Busy, ContextTooLong, ProviderFailed, QuotaExceeded, UnknownModel
from llmcli.testing import Answer, Failure, Samples, body, sse
from llmcli.testing.conformance import HTTPConformance
from llmcli.types import FinishReason, Json, Part, Text, Thinking, ToolCall, Usage

from llmcli_skeleton import Skeleton

FACTS: dict[str, Json] = {"id": "chatcmpl-1", "created": 1790000000, "model": "skeleton-1"}
TOKENS: Json = {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}

Fields = dict[str, Json]


def chunk(delta: Fields, reason: str | None = None) -> bytes:
    return sse({**FACTS, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}], "usage": None})


def answer(says: str | tuple[Part, ...], deltas: Sequence[Fields], message: Fields, finish: FinishReason) -> Answer:
    """An answer as the service writes it. Its end: the reason, the usage, the sentinel."""
    choice: Json = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    end = (chunk({}, finish), sse({**FACTS, "choices": [], "usage": TOKENS}), sse("[DONE]"))
    return Answer(
        says,
        stream=(*map(chunk, deltas), *end),
        marker=3,
        whole=body({**FACTS, "choices": [choice], "usage": TOKENS}),
        finish=finish,
        usage=Usage(9, 12, 21),
        model="skeleton-1",
    )


def completed(said: str, reason: str | None = None, **more: Json) -> Fields:
    """A completion of bare text, or a piece of one."""
    return {**FACTS, "choices": [{"index": 0, "text": said, "finish_reason": reason}], **more}


def error(message: str, code: str) -> Json:
    return {"error": {"message": message, "type": "error", "param": None, "code": code}}


CALL: Json = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bern"}'}}
SAID = "Grüße 🦙\nBis bald."
BROKEN = error("The server had an error.", "server_error")


class TestSkeleton(HTTPConformance):
    """Every check is a test of its own, and says what to change when it fails."""

    provider = Skeleton
    samples = Samples(
        answer(SAID, [{"content": "Grüße"}, {"content": " 🦙\nBis bald."}], {"content": SAID}, "stop"),
        errors=(
            Failure(body(error("Incorrect API key.", "invalid_api_key")), AuthenticationFailed, 401),
            Failure(body(error("The model x does not exist.", "model_not_found")), UnknownModel, 404),
            Failure(body(error("The prompt is too long.", "context_length_exceeded")), ContextTooLong, 400),
            Failure(body(error("Slow down.", "rate_limit_exceeded")), Busy, 429, {"Retry-After": "7"}, retry_after=7.0),
            Failure(body(error("You have no credit left.", "insufficient_quota")), QuotaExceeded, 429),
            Failure(body(BROKEN), ProviderFailed, 500),
        ),
        error_whole=Failure(body(BROKEN), ProviderFailed),
        error_in_stream=Failure(sse(BROKEN), ProviderFailed),
        thinking=answer(
            (Thinking("Politely."), Text("Grüße.")),
            [{"reasoning_content": "Politely."}, {"content": "Grüße."}],
            {"reasoning_content": "Politely.", "content": "Grüße."},
            "stop",
        ),
        tool_calls=answer(
            (ToolCall("call_1", "weather", '{"city":"Bern"}'),),
            [{"tool_calls": [CALL]}],
            {"content": None, "tool_calls": [CALL]},
            "tool_calls",
        ),
        completion=Answer(
            SAID,
            stream=(sse(completed(SAID)), sse(completed("", "stop", usage=TOKENS)), sse("[DONE]")),
            marker=2,
            whole=body(completed(SAID, "stop", usage=TOKENS)),
            usage=Usage(9, 12, 21),
        ),
        empty=answer("", [], {"content": ""}, "stop"),
        others=(answer("Grüße", [{"content": "Grüße"}], {"content": "Grüße"}, "length"),),
        models=(body({"object": "list", "data": [{"id": "skeleton-1"}, {"id": "skeleton-2"}]}),),
        model_ids=("skeleton-1", "skeleton-2"),
    )


def test_the_name_of_the_entry_point_is_the_id() -> None:
    """By any other name the program would not find the provider."""
    ours = {entry.name for entry in entry_points(group="llmcli.providers") if entry.module == Skeleton.__module__}
    assert ours == {Skeleton.id}
