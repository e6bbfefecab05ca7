"""
Gemini's answers as our events, whole or in pieces: both consist of `GenerateContentResponse`.
"""

import json
from collections.abc import Iterator, Mapping

from llmcli.errors import ProviderFailed
from llmcli.framing import Record, as_object, as_text, parse_json
from llmcli.http_errors import ErrorBody, classify_in_stream
from llmcli.provider import Reader, raise_error_in
from llmcli.types import (
    Event,
    Finish,
    FinishReason,
    Json,
    Metadata,
    TextDelta,
    ThinkingDelta,
    ThinkingEnd,
    ToolCall,
    Usage,
)

from llmcli_gemini.contents import OWN_ID, SIGNATURE

_NO_REASON = ("", "FINISH_REASON_UNSPECIFIED", "BLOCKED_REASON_UNSPECIFIED")
_FINISH: Mapping[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "LANGUAGE": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "IMAGE_OTHER": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "ESCALATION": "content_filter",
    "PUP_LIMITED_DISABLED": "content_filter",
    "MALFORMED_FUNCTION_CALL": "error",
    "UNEXPECTED_TOOL_CALL": "error",
    "TOO_MANY_TOOL_CALLS": "error",
    "MALFORMED_RESPONSE": "error",
    "MISSING_THOUGHT_SIGNATURE": "error",
    "OTHER": "error",
}
_ABOUT_THE_ANSWER = {"modelVersion": "model", "responseId": "id"}
_ABOUT_THE_CANDIDATE = (
    "finishMessage",
    "citationMetadata",
    "groundingMetadata",
    "urlContextMetadata",
    "continuationToken",
)


class GeminiReader(Reader):
    """
    Reads one answer. It is complete when the reason of its end was told, but more may come behind that: signatures,
    and the last count of tokens. So `Finish` comes at the end of the body.
    """

    def __init__(self) -> None:
        self._told: dict[str, Json] = {}
        self._thinks = False
        self._calls = 0
        self._reason: FinishReason = "other"
        self._raw = ""

    def feed(self, record: Record) -> Iterator[Event]:
        """See `Reader.feed`."""
        return self._read(parse_json(record.data))

    def whole(self, document: object) -> Iterator[Event]:
        """See `Reader.whole`. A list is a stream in one piece, as the API writes it where `alt=sse` got lost."""
        for response in document if isinstance(document, list) else [document]:
            yield from self._read(response)
        if not self.complete:
            raise ProviderFailed("the answer does not say why it ended, so it is not complete")
        yield from self.end()

    def end(self) -> Iterator[Event]:
        """See `Reader.end`."""
        if self.complete:
            yield from self._thought()
            called = self._calls and self._reason in ("stop", "other")  # the API says STOP (BerriAI/litellm#12481)
            yield Finish("tool_calls" if called else self._reason, self._raw)

    def _read(self, document: object) -> Iterator[Event]:
        raise_error_in(document)
        response = as_object(document)
        yield from self._tell({ours: response.get(name) for name, ours in _ABOUT_THE_ANSWER.items()})
        for candidate in objects(response.get("candidates")):
            if not candidate.get("index"):  # of several answers to one question the first is the answer
                yield from self._candidate(candidate)
        feedback = as_object(response.get("promptFeedback"))
        if (reason := as_text(feedback.get("blockReason"))) not in _NO_REASON:
            yield from self._finished("content_filter", reason, as_text(feedback.get("blockReasonMessage")))
        yield from _usage(as_object(response.get("usageMetadata")))

    def _candidate(self, candidate: Mapping[str, Json]) -> Iterator[Event]:
        """Everything may be missing (0xPlaygrounds/rig#1030), and the parts come in any order (mlflow/mlflow#26099)."""
        for part in objects(as_object(candidate.get("content")).get("parts")):
            yield from self._part(part)
        yield from self._tell({name: candidate.get(name) for name in _ABOUT_THE_CANDIDATE})
        if (reason := as_text(candidate.get("finishReason"))) not in _NO_REASON:
            yield from self._finished(_FINISH.get(reason, "other"), reason, as_text(candidate.get("finishMessage")))

    def _finished(self, reason: FinishReason, raw: str, why: str) -> Iterator[Event]:
        if reason == "error" and why:
            raise classify_in_stream(ErrorBody(f"{raw}: {why}"))
        self.complete = True
        self._reason, self._raw = reason, raw
        if reason == "content_filter":
            yield from self._tell({"refusal": why or raw})

    def _tell(self, facts: Mapping[str, Json]) -> Iterator[Metadata]:
        """Nearly every piece of a stream repeats the facts; what is new is told."""
        news = {name: value for name, value in facts.items() if value and value != self._told.get(name)}
        if news:
            self._told |= news
            yield Metadata(news)

    # --- parts: see `contents` for what is kept of them ---

    def _part(self, part: dict[str, Json]) -> Iterator[Event]:
        text, signature = part.get("text"), as_text(part.get(SIGNATURE))
        if part.get("thought") is True and isinstance(text, str):
            yield from self._think(text, signature)
            return
        yield from self._thought()
        if "functionCall" in part:
            yield self._call(as_object(part["functionCall"]), signature)
        elif isinstance(text, str):
            if text:
                yield TextDelta(text)
            if signature:
                yield ThinkingEnd({SIGNATURE: signature, "characters": len(text)})
        elif part:
            yield ThinkingEnd({"part": part})

    def _think(self, text: str, signature: str) -> Iterator[Event]:
        if signature:
            yield from self._thought()
        self._thinks = True
        if text:
            yield ThinkingDelta(text)
        if signature:
            yield from self._thought(signature)

    def _thought(self, signature: str = "") -> Iterator[Event]:
        """The thinking is complete, if there was any."""
        if self._thinks:
            self._thinks = False
            yield ThinkingEnd({"thought": True, **({SIGNATURE: signature} if signature else {})})

    def _call(self, call: Mapping[str, Json], signature: str) -> ToolCall:
        """Calls come whole, those of older models without an id, and without `args` where there are none."""
        if call.get("partialArgs") or call.get("willContinue"):
            raise ProviderFailed("a function call came in pieces, which cannot be read", retryable=False)
        if not call.get("name"):
            raise ProviderFailed("a function call has no name", retryable=False)
        args = call.get("args")
        self._calls += 1
        return ToolCall(
            id=as_text(call.get("id")) or f"{OWN_ID}{self._calls}",
            name=as_text(call.get("name")),
            arguments=json.dumps({} if args is None else args, ensure_ascii=False),
            valid=args is None or isinstance(args, dict),
            opaque={SIGNATURE: signature} if signature else {},
        )


def _usage(usage: Mapping[str, Json]) -> Iterator[Usage]:
    """
    The counts are those of the answer so far: the last ones count. Thinking is told apart from the answer, and what
    tools of Google's read apart from the prompt.
    """
    prompt = _sum(usage, "promptTokenCount", "toolUsePromptTokenCount")
    completion = _sum(usage, "candidatesTokenCount", "thoughtsTokenCount")
    total = _sum(usage, "totalTokenCount")
    if total is None and prompt is not None and completion is not None:
        total = prompt + completion
    if total is not None or prompt is not None:
        cached, reasoning = _sum(usage, "cachedContentTokenCount"), _sum(usage, "thoughtsTokenCount")
        yield Usage(prompt, completion, total, cached_tokens=cached, reasoning_tokens=reasoning)


def _sum(usage: Mapping[str, Json], *names: str) -> int | None:
    """The sum of the counts that are told; `None` if none is."""
    counts = [count for name in names if isinstance(count := usage.get(name), int)]
    return sum(counts) if counts else None


def objects(value: object) -> list[dict[str, Json]]:
    """The objects in a list; what is neither is not there."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
