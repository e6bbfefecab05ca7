"""
What the answers of both versions of the API share: why the model stopped, what it used, and the order of events.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

from llmcli.framing import as_object, as_text
from llmcli.http_errors import ErrorBody, classify_in_stream
from llmcli.provider import Reader, raise_error_in
from llmcli.types import (
    Event,
    Finish,
    FinishReason,
    Json,
    Message,
    Metadata,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ThinkingEnd,
    ToolCall,
    ToolResult,
    Usage,
)

Kind: TypeAlias = Literal["thinking", "tool_plan"]

# llmcli sends a result for each call. Where somebody else asks, one that is made keeps the ids of both in step.
_NO_RESULT = ToolResult("", "", "no result was given here; see what follows")

_FINISH: Mapping[str, FinishReason] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR": "error",
    "TIMEOUT": "error",
    # of version 1 only
    "ERROR_LIMIT": "length",
    "ERROR_TOXIC": "content_filter",
    "USER_CANCEL": "error",
}


class CohereReader(Reader):
    """Keeps what must be known of an answer until its end. Thinking and plans are marked, so that they can go back."""

    def __init__(self) -> None:
        self._silent = True
        self._thinks: Kind | None = None
        self._called = False
        self._citations: list[Json] = []

    def _think(self, kind: Kind, text: str) -> Iterator[Event]:
        if text:
            self._silent = False
            if self._thinks != kind:
                yield from self._thought()
            self._thinks = kind
            yield ThinkingDelta(text)

    def _thought(self) -> Iterator[Event]:
        """The thinking is complete, if there was any."""
        if self._thinks:
            yield ThinkingEnd({"cohere": self._thinks})
            self._thinks = None

    def _say(self, text: str) -> Iterator[Event]:
        if text:
            self._silent = False
            yield from self._thought()
            yield TextDelta(text)

    def _call(self, call: ToolCall) -> Iterator[Event]:
        self._silent, self._called = False, True
        yield from self._thought()
        yield call

    def _finish(self, raw: str, counted: Mapping[str, Json], error: str = "") -> Iterator[Event]:
        """
        The end of the answer; `counted` holds `tokens` and `billed_units`. Raises the error that it ends with, if that
        has words; without them the finish reason is all that there is to say.
        """
        reason = _FINISH.get(raw, "other") if raw else "stop"
        if reason == "error" and error:
            raise classify_in_stream(ErrorBody(error))
        yield from self._thought()
        if self._citations:
            yield Metadata({"citations": self._citations})
        if units := counted.get("billed_units"):
            yield Metadata({"billed_units": units})
        yield from _usage(counted)
        if self._called and reason in ("stop", "other"):
            reason = "tool_calls"
        self.complete = True
        yield Finish(reason, raw or None)


def raise_reported(document: Mapping[str, Json]) -> None:
    """Raise the error that a document with status 200 reports: Cohere's own shape is a bare `message` of text."""
    raise_error_in(document)
    if message := as_text(document.get("message")):
        raise classify_in_stream(ErrorBody(message))


def thinking_of(message: Message) -> str:
    """What Cohere's model thought in an earlier answer. Thinking of other models is not its own, and stays out."""
    thoughts = [part.text for part in message.parts if isinstance(part, Thinking) and "cohere" in part.opaque]
    return "\n\n".join(thought for thought in thoughts if thought.strip())


def plan_of(message: Message) -> str:
    """
    What came before the tool calls of an earlier answer: its plan, its thinking, and what it said. Beside the calls
    the API has one place for all of that.
    """
    return "\n\n".join(said for said in (thinking_of(message), message.text) if said.strip())


def tool_calls_of(message: Message) -> list[ToolCall]:
    """The calls of an earlier answer."""
    return [part for part in message.parts if isinstance(part, ToolCall)]


def results_of(calls: Sequence[ToolCall], message: Message) -> list[tuple[ToolCall, ToolResult]]:
    """
    What came of each call, in their order; two calls may have one id. Both versions want a result for every call, so
    one that is missing, because the conversation went on without it, is made.
    """
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    found = []
    for call in calls:
        result = next((each for each in results if each.id == call.id), _NO_RESULT)
        if result is not _NO_RESULT:
            results.remove(result)
        found.append((call, result))
    return found + [(ToolCall(result.id, result.name), result) for result in results]


def _usage(counted: Mapping[str, Json]) -> Iterator[Usage]:
    """Tokens, not the billed units, which leave out what the template adds. All of them are written as floats."""
    tokens = as_object(counted.get("tokens"))
    prompt, completion = whole_number(tokens.get("input_tokens")), whole_number(tokens.get("output_tokens"))
    if prompt is None and completion is None:
        return
    total = None if prompt is None or completion is None else prompt + completion
    yield Usage(prompt, completion, total, cached_tokens=whole_number(counted.get("cached_tokens")))


def whole_number(value: Json) -> int | None:
    """A count, which Cohere may write as a float."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if type(value) is int else None
