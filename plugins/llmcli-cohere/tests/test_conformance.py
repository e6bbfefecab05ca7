"""llmcli's conformance kit, played with what both versions of the API write."""

from typing import ClassVar

from llmcli.errors import (
    AuthenticationFailed,
    Busy,
    ContextTooLong,
    ProviderFailed,
    QuotaExceeded,
    RequestRejected,
    UnknownModel,
)
from llmcli.testing import Answer, Failure, Samples, body, json_line, sse
from llmcli.testing.conformance import HTTPConformance
from llmcli.types import Json, ProviderConfig, Text, Thinking, ToolCall, Usage

from llmcli_cohere import Cohere

COUNTED: dict[str, Json] = {
    "billed_units": {"input_tokens": 5.0, "output_tokens": 4.0},
    "tokens": {"input_tokens": 71.0, "output_tokens": 4.0},
}
USAGE = Usage(71, 4, 75)
SAID = "Grüße 🦙\nBis bald."
PLAN = Thinking("I will look.", {"cohere": "tool_plan"})


def refusal(text: str) -> bytes:
    return body({"id": "e1", "message": text})


ERRORS = (
    Failure(refusal("invalid request: messages must not be empty"), RequestRejected, 400),
    Failure(refusal("too many tokens: size limit exceeded by 123 tokens"), ContextTooLong, 400),
    Failure(refusal("invalid api token"), AuthenticationFailed, 401),
    Failure(refusal("please add a payment method"), QuotaExceeded, 402),
    Failure(refusal("model 'command-z' not found"), UnknownModel, 404),
    Failure(refusal("You are using a Trial key, which is limited to 20 API calls / minute."), Busy, 429),
    Failure(refusal("You are using a Trial key, limited to 1000 API calls / month."), QuotaExceeded, 429),
    Failure(refusal("invalid token"), AuthenticationFailed, 498),
    Failure(refusal("internal server error"), ProviderFailed, 500),
    Failure(refusal("service unavailable"), Busy, 503),
)
MODELS = (
    body({"models": [{"name": "command-a-03-2025", "endpoints": ["chat"]}], "next_page_token": "2"}),
    body({"models": [{"name": "command-r-08-2024", "endpoints": ["chat"]}], "next_page_token": ""}),
)
MODEL_IDS = ("command-a-03-2025", "command-r-08-2024")


# --- version 2 ------------------------------------------------------------------------------------


def event(kind: str, message: Json = None, **more: Json) -> bytes:
    delta: dict[str, Json] = {} if message is None else {"delta": {"message": message}}
    return sse({"type": kind, **more, **delta}, kind)


def content(**said: Json) -> bytes:
    return event("content-delta", {"content": said}, index=0)


def end(reason: str = "COMPLETE", **more: Json) -> bytes:
    return sse({"type": "message-end", "delta": {"finish_reason": reason, "usage": COUNTED, **more}}, "message-end")


def whole(message: Json, reason: str = "COMPLETE") -> bytes:
    return body({"id": "m1", "finish_reason": reason, "message": message, "usage": COUNTED})


START = event("message-start", {"role": "assistant"}, id="m1")
CALL: dict[str, Json] = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
V2 = Samples(
    Answer(
        SAID,
        stream=(
            START,
            event("content-start", {"content": {"type": "text", "text": ""}}, index=0),
            content(text="Grüße"),
            content(text=" 🦙\nBis bald."),
            event("content-end", index=0),
            end(),
        ),
        whole=whole({"role": "assistant", "content": [{"type": "text", "text": SAID}]}),
        usage=USAGE,
    ),
    errors=ERRORS,
    error_whole=Failure(refusal("out of order"), ProviderFailed),
    error_in_stream=Failure(end("ERROR", error="out of order"), ProviderFailed),
    thinking=Answer(
        (Thinking("Let me see.", {"cohere": "thinking"}), Text("42")),
        stream=(
            START,
            event("content-start", {"content": {"type": "thinking", "thinking": ""}}, index=0),
            content(thinking="Let me"),
            content(thinking=" see."),
            event("content-end", index=0),
            event("content-start", {"content": {"type": "text", "text": ""}}, index=1),
            content(text="42"),
            event("content-end", index=1),
            end(),
        ),
        whole=whole({"content": [{"type": "thinking", "thinking": "Let me see."}, {"type": "text", "text": "42"}]}),
        usage=USAGE,
    ),
    tool_calls=Answer(
        (PLAN, ToolCall("c1", "f", '{"a": 1}')),
        stream=(
            START,
            event("tool-plan-delta", {"tool_plan": "I will "}),
            event("tool-plan-delta", {"tool_plan": "look."}),
            event("tool-call-start", {"tool_calls": {"id": "c1", "function": {"name": "f", "arguments": ""}}}, index=0),
            event("tool-call-delta", {"tool_calls": {"function": {"arguments": '{"a": '}}}, index=0),
            event("tool-call-delta", {"tool_calls": {"function": {"arguments": "1}"}}}, index=0),
            event("tool-call-end", index=0),
            end("TOOL_CALL"),
        ),
        whole=whole({"tool_plan": "I will look.", "tool_calls": [CALL]}, "TOOL_CALL"),
        finish="tool_calls",
        usage=USAGE,
    ),
    empty=Answer("", stream=(START, end()), whole=whole({"role": "assistant", "content": []}), usage=USAGE),
    others=(Answer("Cut", stream=(content(text="Cut"), end("MAX_TOKENS")), finish="length", usage=USAGE),),
    models=MODELS,
    model_ids=MODEL_IDS,
)


class TestV2(HTTPConformance):
    """The version that is asked unless somebody says otherwise."""

    provider = Cohere
    samples = V2


# --- version 1 ------------------------------------------------------------------------------------


def line(kind: str, **fields: Json) -> bytes:
    return json_line({"is_finished": False, "event_type": kind, **fields})


def last(reason: str = "COMPLETE", **response: Json) -> bytes:
    ended: dict[str, Json] = {"finish_reason": reason, "response": {"meta": COUNTED, **response}}
    return json_line({"is_finished": True, "event_type": "stream-end", **ended})


BEGUN = line("stream-start", generation_id="g1")
MADE: list[Json] = [{"name": "f", "parameters": {"a": 1}}]
V1 = Samples(
    Answer(
        SAID,
        stream=(
            BEGUN,
            line("text-generation", text="Grüße"),
            line("text-generation", text=" 🦙\nBis bald."),
            last(text=SAID),
        ),
        whole=body({"text": SAID, "generation_id": "g1", "finish_reason": "COMPLETE", "meta": COUNTED}),
        usage=USAGE,
    ),
    errors=ERRORS,
    error_whole=Failure(refusal("out of order"), ProviderFailed),
    error_in_stream=Failure(json_line({"message": "out of order"}), ProviderFailed),
    thinking=Answer(
        (PLAN, ToolCall("", "f", '{"a": 1}')),
        stream=(BEGUN, line("tool-calls-generation", text="I will look.", tool_calls=MADE), last(tool_calls=MADE)),
        finish="tool_calls",
        usage=USAGE,
    ),
    tool_calls=Answer(
        (PLAN, ToolCall("", "f", '{"a": 1}')),
        stream=(
            BEGUN,
            line("tool-calls-chunk", text="I will "),
            line("tool-calls-chunk", text="look."),
            line("tool-calls-chunk", tool_call_delta={"index": 0, "name": "f"}),
            line("tool-calls-chunk", tool_call_delta={"index": 0, "parameters": '{"a": 1}'}),
            line("tool-calls-generation", text="I will look.", tool_calls=MADE),
            last(text="I will look.", tool_calls=MADE),
        ),
        whole=body({"text": "I will look.", "tool_calls": MADE, "finish_reason": "COMPLETE", "meta": COUNTED}),
        finish="tool_calls",
        usage=USAGE,
    ),
    empty=Answer("", stream=(BEGUN, last(text="")), whole=body({"text": "", "meta": COUNTED}), usage=USAGE),
    others=(
        Answer("Cut", stream=(line("text-generation", text="Cut"), last("ERROR_LIMIT")), finish="length", usage=USAGE),
        Answer("", stream=(BEGUN, last("ERROR_TOXIC")), finish="content_filter", usage=USAGE),
    ),
    models=MODELS,
    model_ids=MODEL_IDS,
)


class TestV1(HTTPConformance):
    """The version that a base URL or the configuration asks for."""

    provider = Cohere
    samples = V1
    config = ProviderConfig("cohere", own={"api": "v1"})
    waived: ClassVar[dict[str, str]] = {
        "thinking-is-sent-back": "a plan goes back as the message beside its calls; its mark has no place of its own",
        "the-text-beside-thinking-is-sent-back": "a plan goes back as the message beside its calls",
    }
