"""The conformance kit of llmcli, on what Gemini's API writes."""

import json

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
from llmcli.testing.conformance import HTTPConformance
from llmcli.types import FinishReason, Json, Text, Thinking, ToolCall, Usage

from llmcli_gemini import Gemini

MODEL = {"modelVersion": "gemini-3.8-flash", "responseId": "r1"}
COUNTS = {"promptTokenCount": 9, "candidatesTokenCount": 4, "thoughtsTokenCount": 30, "totalTokenCount": 43}
USAGE = Usage(9, 34, 43, reasoning_tokens=30)
GOOGLE = "type.googleapis.com/google.rpc."


def response(*parts: dict[str, Json], finish: str = "", **more: Json) -> dict[str, Json]:
    candidate: dict[str, Json] = {"content": {"role": "model", "parts": [*parts]}, "index": 0}
    return {"candidates": [{**candidate, **({"finishReason": finish} if finish else {})}], **MODEL, **more}


def last(*parts: dict[str, Json], finish: str = "STOP") -> dict[str, Json]:
    return response(*parts, finish=finish, usageMetadata={**COUNTS})


def text(said: str, **more: Json) -> dict[str, Json]:
    return {"text": said, **more}


def ended(said: str, raw: str, reason: FinishReason) -> Answer:
    """An answer of some text that ended for this reason."""
    return Answer(
        said,
        stream=(sse(response(text(said))), sse(last(finish=raw))),
        whole=body(last(text(said), finish=raw)),
        finish=reason,
        usage=USAGE,
        model="gemini-3.8-flash",
    )


ANSWER = Answer(
    "Grüße 🦙\nBis bald.",
    stream=(sse(response(text("Grüße 🦙"))), sse(response(text("\nBis bald."))), sse(last(text("")))),
    whole=body(last(text("Grüße 🦙\nBis bald."))),
    usage=USAGE,
    model="gemini-3.8-flash",
)

WEATHER: dict[str, Json] = {"functionCall": {"id": "c1", "name": "wx", "args": {"q": "Ås"}}, "thoughtSignature": "Y2w="}
TIME: dict[str, Json] = {"functionCall": {"name": "now"}}

THINKING = Answer(
    (
        Thinking("Let me see.", {"thought": True}),
        Text("It is 7."),
        Thinking("", {"thoughtSignature": "c2ln", "characters": 0}),
    ),
    stream=(
        sse(response(text("Let me", thought=True))),
        sse(response(text(" see.", thought=True))),
        sse(response(text("It is 7."))),
        sse(last(text("", thoughtSignature="c2ln"))),
    ),
    whole=body(last(text("Let me see.", thought=True), text("It is 7."), text("", thoughtSignature="c2ln"))),
    usage=USAGE,
    model="gemini-3.8-flash",
)

TOOL_CALLS = Answer(
    (Text("I look."), ToolCall("c1", "wx", '{"q":"Ås"}', opaque={"thoughtSignature": "Y2w="}), ToolCall("", "now")),
    stream=(sse(response(text("I look."))), sse(response(WEATHER, TIME)), sse(last(text("")))),
    whole=body(last(text("I look."), WEATHER, TIME)),
    finish="tool_calls",
    usage=USAGE,
    model="gemini-3.8-flash",
)

BLOCKED = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 9, "totalTokenCount": 9}}


def failed(code: int, status: str, said: str, *details: object, listed: bool = False) -> bytes:
    """An error as Google writes it: over several lines, from streams in a list of one."""
    error = {"error": {"code": code, "message": said, "status": status, "details": list(details)}}
    return json.dumps([error] if listed else error, indent=2).encode()


RETRY = {"@type": f"{GOOGLE}RetryInfo", "retryDelay": "46s"}
DAY = {"@type": f"{GOOGLE}QuotaFailure", "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel"}]}
WRONG_KEY = {"@type": f"{GOOGLE}ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}
OVERLOADED = failed(503, "UNAVAILABLE", "The model is overloaded.")
TOO_LONG = "The input token count (9) exceeds the maximum number of tokens allowed (8)."
NO_MODEL = "models/gemini-9 is not found for API version v1beta, or is not supported for generateContent."


class TestGemini(HTTPConformance):
    provider = Gemini
    samples = Samples(
        ANSWER,
        errors=(
            Failure(failed(400, "INVALID_ARGUMENT", "API key not valid.", WRONG_KEY), AuthenticationFailed, 400),
            Failure(failed(400, "INVALID_ARGUMENT", "Unknown name topQ."), RequestRejected, 400),
            Failure(failed(400, "INVALID_ARGUMENT", TOO_LONG), ContextTooLong, 400),
            Failure(failed(403, "PERMISSION_DENIED", "The key was reported as leaked."), AuthenticationFailed, 403),
            Failure(failed(404, "NOT_FOUND", NO_MODEL), UnknownModel, 404),
            Failure(failed(429, "RESOURCE_EXHAUSTED", "Too many.", RETRY), Busy, 429, retry_after=46.0),
            Failure(failed(429, "RESOURCE_EXHAUSTED", "Too many.", RETRY, listed=True), Busy, 429, retry_after=46.0),
            Failure(failed(429, "RESOURCE_EXHAUSTED", "Enough for today.", DAY), QuotaExceeded, 429),
            Failure(failed(500, "INTERNAL", "An internal error has occurred."), ProviderFailed, 500),
            Failure(OVERLOADED, Busy, 503),
        ),
        error_whole=Failure(OVERLOADED, Busy),
        error_in_stream=Failure(OVERLOADED + b"\n", Busy),
        thinking=THINKING,
        tool_calls=TOOL_CALLS,
        empty=Answer("", stream=(sse(BLOCKED),), whole=body(BLOCKED), finish="content_filter", usage=Usage(9, None, 9)),
        others=(
            ended("Cut", "MAX_TOKENS", "length"),
            ended("Bl", "SAFETY", "content_filter"),
            ended("Hm", "A_WORD_OF_NEXT_YEAR", "other"),
            ANSWER._replace(  # what comes behind the finish reason is read too
                stream=(sse(response(text(ANSWER.text))), sse(response(finish="STOP")), sse({"usageMetadata": COUNTS})),
                marker=2,
            ),
        ),
        models=(
            body(
                {
                    "models": [
                        {"name": "models/gemini-3.8-flash", "supportedGenerationMethods": ["generateContent"]},
                        {"name": "models/gemini-embedding-001", "supportedGenerationMethods": ["embedContent"]},
                    ],
                    "nextPageToken": "2",
                }
            ),
            body({"models": [{"name": "models/gemma-3-27b-it", "supportedGenerationMethods": ["generateContent"]}]}),
        ),
        model_ids=("gemini-3.8-flash", "gemma-3-27b-it"),
        keep_alive=b": keep-alive\n\n",
        unknown=sse({"type": "unknown", "of": [1, None]}, "unknown"),
    )
