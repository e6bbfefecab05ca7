"""
The same answer in the formats of OpenAI (both of them), Anthropic and Ollama: how a piece, an end and an error look on
the wire.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.program import Done, Program
from tests.servers import LAST_CHUNK, Connection, Script, Server, chunk, head


@dataclass(frozen=True)
class Dialect:
    """
    A format. `opening` stands before the first piece, `ending` makes the end marker with a reason (`stop`, `length`,
    `content_filter`), `alive` says that the server lives, `error` makes an error event with a type and a message.
    """

    provider: str
    content_type: str
    piece: Callable[[str], bytes]
    ending: Callable[[str], bytes]
    error: Callable[[str, str], bytes]
    alive: bytes
    opening: bytes = b""
    arguments: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "-".join((self.provider, *self.arguments[-1:]))

    @property
    def end(self) -> bytes:
        """The end of an answer that said all."""
        return self.ending("stop")

    def said(self, *texts: str) -> bytes:
        """The start of a stream that has said these pieces, and has not ended."""
        return self.opening + b"".join(map(self.piece, texts))

    def head(self, **headers: str) -> bytes:
        """The head of a streamed answer, chunked if nothing else is said."""
        return head(200, self.content_type, **(headers or {"Transfer_Encoding": "chunked"}))

    def stream(self, *chunks: bytes, then: Callable[[Connection], None] | None = None) -> Script:
        """A script that sends these chunks at once, and ends the body unless `then` does something else."""

        def script(connection: Connection) -> None:
            connection.send(self.head() + b"".join(map(chunk, filter(None, chunks))))
            (then or end_the_body)(connection)

        return script


def ask(program: Program, server: Server, dialect: Dialect, *args: str, **popen: Any) -> Done:
    """Chat with the server in its format. Two retries are allowed, so that each that is made shows."""
    return program(*command(server, dialect, *args), env=KEYS, **popen)


def command(server: Server, dialect: Dialect, *args: str) -> tuple[str, ...]:
    """The arguments of `ask`, for other ways to run the program."""
    where = ("-p", dialect.provider, *dialect.arguments, "--base-url", server.url, "-m", "m")
    retries = () if "--retries" in args else ("--retries", "2")
    return ("chat", *where, "-n", *retries, *args, "hi")


KEYS = {"ANTHROPIC_API_KEY": "sk-test"}


# --- how a script may end -------------------------------------------------------------------------


def end_the_body(connection: Connection) -> None:
    """End the body as HTTP wants it."""
    connection.send(LAST_CHUNK)


def cut(connection: Connection) -> None:
    """Close the connection in the middle of the body."""


def stay_silent(connection: Connection) -> None:
    """Keep the connection open and say nothing."""
    connection.wait_until_gone()


# --- the formats ----------------------------------------------------------------------------------


def _json(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()


def sse(document: Mapping[str, Any], name: str | None = None) -> bytes:
    """An SSE event, with the text as UTF-8 and not escaped, as services send it."""
    return (f"event: {name}\n".encode() if name else b"") + b"data: " + _json(document) + b"\n\n"


def _openai_choice(delta: Mapping[str, Any], reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return sse({"id": "c1", "model": "m", "choices": [choice]})


OPENAI = Dialect(
    "openai-compatible",
    "text/event-stream",
    piece=lambda text: _openai_choice({"content": text}),
    ending=lambda reason: _openai_choice({}, reason) + b"data: [DONE]\n\n",
    error=lambda kind, message: sse({"error": {"type": kind, "message": message}}),
    alive=b": keep-alive\n\n",
)


def _response(status: str, reason: str | None = None) -> Mapping[str, Any]:
    details = {"reason": reason} if reason else None
    return {"id": "resp_1", "model": "m", "status": status, "incomplete_details": details, "output": []}


def response_event(type: str, **fields: Any) -> bytes:  # noqa: A002 - the API's own word
    """An event of the Responses API, which has its type as its name and in its data."""
    return sse({"type": type, **fields}, type)


def _response_end(reason: str) -> bytes:
    if reason == "stop":
        return response_event("response.completed", response=_response("completed"))
    cut = {"length": "max_output_tokens"}.get(reason, reason)
    return response_event("response.incomplete", response=_response("incomplete", cut))


RESPONSES = Dialect(
    "openai-compatible",
    "text/event-stream",
    opening=response_event("response.created", response=_response("in_progress")),
    piece=lambda text: response_event("response.output_text.delta", output_index=0, item_id="msg_1", delta=text),
    ending=_response_end,
    error=lambda kind, message: response_event("error", code=kind, message=message, param=None),
    alive=b": keep-alive\n\n",
    arguments=("--option", "api=responses"),
)


def anthropic(type: str, **fields: Any) -> bytes:  # noqa: A002 - the API's own word
    """An event of Anthropic's, which has its type as its name and in its data."""
    return sse({"type": type, **fields}, type)


_ANTHROPIC_REASONS = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal"}
_MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": []}

ANTHROPIC = Dialect(
    "anthropic",
    "text/event-stream",
    opening=anthropic("message_start", message={**_MESSAGE, "usage": {"input_tokens": 3, "output_tokens": 1}})
    + anthropic("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    piece=lambda text: anthropic("content_block_delta", index=0, delta={"type": "text_delta", "text": text}),
    ending=lambda reason: (
        anthropic("content_block_stop", index=0)
        + anthropic("message_delta", delta={"stop_reason": _ANTHROPIC_REASONS[reason]}, usage={"output_tokens": 2})
        + anthropic("message_stop")
    ),
    error=lambda kind, message: anthropic("error", error={"type": kind, "message": message}),
    alive=anthropic("ping"),
)


def ollama(**fields: Any) -> bytes:
    """A line of Ollama's."""
    return _json({"model": "m", "created_at": "2026-01-01T00:00:00Z", **fields}) + b"\n"


OLLAMA = Dialect(
    "ollama",
    "application/x-ndjson",
    piece=lambda text: ollama(message={"role": "assistant", "content": text}, done=False),
    ending=lambda reason: ollama(message={"role": "assistant", "content": ""}, done=True, done_reason=reason),
    error=lambda kind, message: _json({"error": f"{kind}: {message}"}) + b"\n",
    alive=b"\n",
)

DIALECTS = (OPENAI, RESPONSES, ANTHROPIC, OLLAMA)
