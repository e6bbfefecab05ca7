"""
Wire samples: what an API writes, byte for byte, and what it means. Layer 2: knows types and errors.

An author writes them off the API's documentation or a recorded answer; every check of the kit plays them.
"""

import json
from collections.abc import Mapping
from typing import NamedTuple

from llmcli.errors import LlmError
from llmcli.types import NOTHING, FinishReason, Json, Part, Text, Usage


class Answer(NamedTuple):
    """
    One answer of the API, as it comes in pieces and whole, and what it says.

    `says`: its text, or its parts in their order where there is more than text: `Thinking` (with what must be sent
    back as `opaque`), `Text`, `ToolCall` (an empty `id` stands for any).
    `stream`: the records of the streamed answer in their order, each with what ends or separates it on the wire.
    `marker`: how many of the last records belong to the end marker. Before the first of them the answer is not
    complete; behind the last of them it is. 0 where nothing but the end of the body ends the answer.
    `whole`: the body of the answer that was not streamed. `usage`, `model`: `None` where the API does not tell.
    `options`: those of the request, for a reader or a provider that goes by them.
    """

    says: str | tuple[Part, ...]
    stream: tuple[bytes, ...] = ()
    marker: int = 1
    whole: bytes | None = None
    finish: FinishReason = "stop"
    usage: Usage | None = None
    model: str | None = None
    options: Mapping[str, Json] = NOTHING

    @property
    def parts(self) -> tuple[Part, ...]:
        """What the answer says, as the parts of a message."""
        if isinstance(self.says, str):
            return (Text(self.says),) if self.says else ()
        return self.says

    @property
    def text(self) -> str:
        """The visible text."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))


class Failure(NamedTuple):
    """
    One error of the API: its body (or its record, in a stream), and the class that the user must meet.

    `retry_after`: the seconds that the API asks to wait, in a header or in the body. `options` as those of `Answer`.
    """

    body: bytes
    error: type[LlmError]
    status: int = 200
    headers: Mapping[str, str] = NOTHING
    retry_after: float | None = None
    options: Mapping[str, Json] = NOTHING

    @property
    def received(self) -> dict[str, str]:
        """The headers as an adapter is handed them, with lower-case names."""
        return {name.lower(): value for name, value in self.headers.items()}


class Samples(NamedTuple):
    """
    What an API writes. Only `answer` and `errors` are needed for every API; what the provider declares (streams,
    thinking, tools, completions, a list of models) needs its sample too, and the rest is there where the API has such a
    thing.

    `answer`: an ordinary answer whose text holds a letter that is not ASCII, an emoji and a line break.
    `thinking`, `tool_calls`: answers with `Thinking` and `ToolCall` parts.
    `completion`: what completes a bare text, as the endpoint for that writes it.
    `empty`: an answer that says nothing. `others`: any more answers (`length`, `content_filter`, other shapes).
    `errors`: answers with an error status. `error_whole`: a body under status 200 that is an error.
    `error_in_stream`: a record that reports an error in the middle of a stream.
    `models`: the pages of the list of models in their order; `model_ids`: the ids in all of them.
    `keep_alive`: what the API sends between records to show that it lives, and `unknown`: a record of a kind that the
    adapter cannot know. For SSE and JSON lines they need not be given.
    """

    answer: Answer
    errors: tuple[Failure, ...] = ()
    error_whole: Failure | None = None
    error_in_stream: Failure | None = None
    thinking: Answer | None = None
    tool_calls: Answer | None = None
    empty: Answer | None = None
    others: tuple[Answer, ...] = ()
    models: tuple[bytes, ...] = ()
    model_ids: tuple[str, ...] = ()
    keep_alive: bytes = b""
    unknown: bytes = b""
    completion: Answer | None = None

    def answers(self) -> dict[str, Answer]:
        """Every sample answer to a question, by its name."""
        named = {name: getattr(self, name) for name in ("answer", "thinking", "tool_calls", "empty")}
        others = {f"others[{number}]": other for number, other in enumerate(self.others)}
        return {name: answer for name, answer in {**named, **others}.items() if answer is not None}


def body(document: object) -> bytes:
    """A JSON document as services write it: UTF-8 and not escaped."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def sse(document: object, event: str = "") -> bytes:
    """A server-sent event: a JSON document or a text, and the event's name if it has one."""
    data = document.encode() if isinstance(document, str) else body(document)
    return (f"event: {event}\n".encode() if event else b"") + b"data: " + data + b"\n\n"


def json_line(document: object) -> bytes:
    """A JSON document as a line."""
    return body(document) + b"\n"
