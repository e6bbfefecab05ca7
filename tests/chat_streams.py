"""Bytes of a chat completion -> framing -> reader -> events, as the driver does it; for the tests of that dialect."""

import json
from collections.abc import Iterator
from itertools import chain
from typing import Any

from llmcli.framing import Framing
from llmcli.provider import HTTPProvider, Reader
from llmcli.types import (
    ChatRequest,
    Event,
    Finish,
    Json,
    Metadata,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    Usage,
    message,
)

ASKED = ChatRequest("m", (message("user", "hi"),))


def sse(*chunks: object, done: bool = True) -> bytes:
    """A stream of these chunks. A chunk that is text stands there as it is."""
    data = [chunk if isinstance(chunk, str) else json.dumps(chunk, ensure_ascii=False) for chunk in chunks]
    return "".join(f"data: {each}\n\n" for each in [*data, *(["[DONE]"] if done else [])]).encode()


def delta(finish: str | None = None, /, **fields: Any) -> dict[str, Any]:
    """A chunk with one choice."""
    return {"id": "c1", "model": "m", "choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def whole(finish: str | None = "stop", /, **fields: Any) -> dict[str, Any]:
    """A whole answer with one choice."""
    return {"id": "c1", "model": "m", "choices": [{"index": 0, "message": fields, "finish_reason": finish}]}


def stream_events(provider: HTTPProvider, *pieces: bytes, request: ChatRequest = ASKED) -> Iterator[Event]:
    """The events of a stream that arrives in these pieces. Nothing is read after `Finish`."""
    reader, framing = provider.reader(request), provider.framing()
    records = chain(chain.from_iterable(map(framing.feed, pieces)), _late(framing))
    for event in chain(chain.from_iterable(map(reader.feed, records)), _late(reader)):
        yield event
        if isinstance(event, Finish):
            return


def _late(ending: Framing | Reader) -> Iterator[Any]:
    """What the end of the body completes; asked for only when it is reached."""
    yield from ending.end()


def read(provider: HTTPProvider, *chunks: object, done: bool = True) -> list[Event]:
    """The events of a stream of these chunks."""
    return list(stream_events(provider, sse(*chunks, done=done)))


def read_answer(provider: HTTPProvider, document: object) -> list[Event]:
    """The events of a whole answer."""
    return list(provider.reader(ASKED).body(json.dumps(document).encode()))


def text(events: list[Event]) -> str:
    """What is shown."""
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def thinking(events: list[Event]) -> str:
    """What was thought."""
    return "".join(event.text for event in events if isinstance(event, ThinkingDelta))


def calls(events: list[Event]) -> list[ToolCall]:
    """The whole tool calls."""
    return [event for event in events if isinstance(event, ToolCall)]


def metadata(events: list[Event]) -> dict[str, Json]:
    """All that was told about the answer."""
    told: dict[str, Json] = {}
    for event in events:
        if isinstance(event, Metadata):
            told.update(event.values)
    return told


def usage(events: list[Event]) -> Usage | None:
    """The tokens, if they were told."""
    return next((event for event in reversed(events) if isinstance(event, Usage)), None)


def finish(events: list[Event]) -> Finish:
    """The finish, which is the last event and the only one of its kind."""
    assert [event for event in events if isinstance(event, Finish)] == events[-1:]
    last = events[-1]
    assert isinstance(last, Finish)
    return last
