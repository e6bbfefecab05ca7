"""
Anthropic's Messages API for the tests: requests as the adapter writes them, streams as the service does, and what the
adapter reads out of them.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from llmcli.providers.anthropic import Anthropic
from llmcli.types import ChatRequest, Event, Json, Message, Metadata, ProviderConfig, Usage, message
from tests.chat_streams import ASKED

HELLO = (message("user", "hello"),)


def provider(base_url: str | None = None, **own: Json) -> Anthropic:
    """The adapter."""
    return Anthropic(ProviderConfig("anthropic", base_url=base_url, own=own))


def request(*messages: Message, **settings: Any) -> ChatRequest:
    """A request of these messages."""
    return ChatRequest("claude-haiku-4-5", messages or HELLO, **settings)


def body(*messages: Message, stream: bool = False, **settings: Any) -> dict[str, Any]:
    """The body that is sent for a request."""
    sent = provider().chat_request(request(*messages, **settings), stream=stream)
    assert sent.body is not None
    decoded: dict[str, Any] = json.loads(sent.body)
    return decoded


def sse(*events: dict[str, Any]) -> bytes:
    """A stream of these events."""
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


def read(stream: bytes, asked: ChatRequest = ASKED) -> list[Event]:
    """The events of a stream through the real framing, and proof that they are the same wherever it is cut."""
    together = list(events_of([stream], asked))
    for cut in range(1, len(stream)):
        assert list(events_of([stream[:cut], stream[cut:]], asked)) == together
    assert list(events_of((stream[place : place + 1] for place in range(len(stream))), asked)) == together
    return together


def events_of(chunks: Iterable[bytes], asked: ChatRequest = ASKED) -> Iterator[Event]:
    """The events of a stream that comes in these chunks."""
    adapter = provider()
    framing, reader = adapter.framing(), adapter.reader(asked)
    for chunk in chunks:
        for record in framing.feed(chunk):
            yield from reader.feed(record)
    for record in framing.end():
        yield from reader.feed(record)
    yield from reader.end()


def whole(document: object, asked: ChatRequest = ASKED) -> list[Event]:
    """The events of an answer that came whole."""
    return list(provider().reader(asked).body(json.dumps(document).encode()))


def start(**usage: Any) -> dict[str, Any]:
    """The event that an answer begins with."""
    usage = usage or {"input_tokens": 9, "output_tokens": 1}
    described = {"id": "msg_1", "model": "claude-haiku-4-5", "role": "assistant", "content": [], "usage": usage}
    return {"type": "message_start", "message": described}


def block(index: int, content: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    """A content block: its start, its deltas, its end."""
    return [
        {"type": "content_block_start", "index": index, "content_block": content},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def text_block(index: int, *pieces: str) -> list[dict[str, Any]]:
    """A block of text."""
    return block(index, {"type": "text", "text": ""}, *({"type": "text_delta", "text": piece} for piece in pieces))


def tool_block(index: int, *fragments: str, **start: Any) -> list[dict[str, Any]]:
    """A block that calls a tool."""
    content = {"type": "tool_use", "id": "toolu_1", "name": "now", "input": {}, **start}
    return block(index, content, *({"type": "input_json_delta", "partial_json": piece} for piece in fragments))


def stop(reason: str | None = "end_turn", **more: Any) -> list[dict[str, Any]]:
    """The events that an answer ends with."""
    usage = more.pop("usage", {"output_tokens": 31})
    delta = {"stop_reason": reason, "stop_sequence": None, **more}
    return [{"type": "message_delta", "delta": delta, "usage": usage}, {"type": "message_stop"}]


BEGUN = [Metadata({"model": "claude-haiku-4-5", "id": "msg_1"}), Usage(9, 1, 10)]
PING = {"type": "ping"}
