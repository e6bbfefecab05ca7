"""llmcli's conformance kit, played with what GraphQL servers write."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from llmcli.errors import AuthenticationFailed, Busy, ProviderFailed, QuotaExceeded, RequestRejected
from llmcli.testing import Answer, Failure, Played, Samples, body, sse
from llmcli.testing.conformance import HTTPConformance, NativeConformance
from llmcli.types import Json, ProviderConfig, Text, Thinking, ToolCall, Usage
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve
from websockets.typing import Subprotocol

from llmcli_graphql.over_http import GraphQL
from llmcli_graphql.over_websocket import GraphQLWebSocket

SAID = "Grüße 🦙\nBis bald."
VARIABLES = """{messages: messages, model: model, limit: max_tokens, temperature: temperature, topP: top_p, stop: stop,
  seed: seed, tools: tools, options: options}"""
PATHS: dict[str, Json] = {
    "model": "say.model",
    "usage": "say.usage.{prompt_tokens: in, completion_tokens: out}",
    "finish_reason": "say.reason",
    "thinking": "say.thought",
    "tool_calls": "say.calls",
}
CHAT: Json = {"query": "mutation Say { say { text } }", "variables": VARIABLES, "content": "say.text", **PATHS}
STREAM: Json = {"query": "subscription Say { say { text } }", "delta": "say.text", **PATHS}
CONFIG = ProviderConfig(
    "graphql",
    own={
        "chat": CHAT,
        "stream": STREAM,
        "models_list": {"query": "{ models { id } }", "models": "models"},
    },
    place="config.toml: providers.acme",
)

CALL: dict[str, Json] = {"id": "c1", "name": "weather", "arguments": '{"city":"Köln"}'}
COUNTS: dict[str, Json] = {"in": 3, "out": 5}


def result(**said: Json) -> dict[str, Json]:
    return {"data": {"say": dict(said)}}


def refusal(code: str | None, message: str = "no") -> Json:
    error: dict[str, Json] = {"message": message, **({"extensions": {"code": code}} if code else {})}
    return {"errors": [error], "data": None}


# Each answer as the results that bring it in pieces, and the one that brings it whole.
ANSWER = (
    [result(text="Grüße 🦙", model="g-1"), result(text="\nBis bald."), result(usage=COUNTS, reason="stop")],
    result(text=SAID, model="g-1", usage=COUNTS, reason="stop"),
)
CUT = ([result(text="Cut", reason="length")], result(text="Cut", reason="length"))
EMPTY = ([result(text="")], result(text=""))
THOUGHT = (
    [result(thought="Hm"), result(thought="."), result(text="Yes.")],
    result(thought="Hm.", text="Yes."),
)
CALLED = ([result(calls=[CALL])], result(calls=[CALL]))

ERRORS = (
    Failure(body(refusal("UNAUTHENTICATED")), AuthenticationFailed, 401),
    Failure(body(refusal("FORBIDDEN")), AuthenticationFailed, 403),
    Failure(body(refusal("GRAPHQL_VALIDATION_FAILED")), RequestRejected, 400),
    Failure(body(refusal("BAD_USER_INPUT")), RequestRejected, 422),
    Failure(body(refusal("RATE_LIMITED")), Busy, 429, {"Retry-After": "7"}, retry_after=7.0),
    Failure(body(refusal("QUOTA_EXCEEDED")), QuotaExceeded, 402),
    Failure(body(refusal("INTERNAL_SERVER_ERROR")), ProviderFailed, 500),
    Failure(body(refusal("SERVICE_UNAVAILABLE")), Busy, 503),
)


def samples(pieces: Any, **more: Any) -> Samples:
    """The answers, with `pieces` making the records of a stream out of the results that are in it."""

    def answer(given: Any, says: Any, **said: Any) -> Answer:
        return Answer(says, stream=pieces(given[0]), whole=body(given[1]), **said)

    return Samples(
        answer(ANSWER, SAID, usage=Usage(3, 5, 8), model="g-1"),
        thinking=answer(THOUGHT, (Thinking("Hm."), Text("Yes."))),
        tool_calls=answer(CALLED, (ToolCall("c1", "weather", '{"city":"Köln"}'),), finish="tool_calls"),
        empty=answer(EMPTY, ""),
        others=(answer(CUT, "Cut", finish="length"),),
        **more,
    )


def events(results: Sequence[Json]) -> tuple[bytes, ...]:
    return (*(sse(each, "next") for each in results), b"event: complete\n\n")


class TestGraphQL(HTTPConformance):
    provider = GraphQL
    config = CONFIG
    samples = samples(
        events,
        errors=ERRORS,
        error_whole=Failure(body(refusal("FORBIDDEN")), AuthenticationFailed),
        error_in_stream=Failure(sse(refusal(None, "the model fell over"), "next"), ProviderFailed),
        models=(body({"data": {"models": [{"id": "g-1"}, {"id": "g-2"}]}}),),
        model_ids=("g-1", "g-2"),
        keep_alive=b": alive\n\n",
        unknown=b'event: news\ndata: {"a":1}\n\n',
    )


# --- over a WebSocket -----------------------------------------------------------------------------


def messages(results: Sequence[Json]) -> tuple[bytes, ...]:
    nexts = (body({"id": "1", "type": "next", "payload": each}) for each in results)
    return (*nexts, body({"id": "1", "type": "complete"}))


class Player:
    """A server that acknowledges each client and sends it some messages."""

    def __init__(self, records: Sequence[bytes], *, stay: bool) -> None:
        self.requests: list[str | bytes] = []
        self.gone = threading.Event()
        self._records = records
        self._stay = stay
        self.server = serve(self._play, "127.0.0.1", 0, subprotocols=[Subprotocol("graphql-transport-ws")])
        self.base_url = f"ws://127.0.0.1:{self.server.socket.getsockname()[1]}"

    def _play(self, connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            self.requests.append(connection.recv())
            connection.send(json.dumps({"type": "connection_ack"}))
            self.requests.append(connection.recv())
            for record in self._records:
                connection.send(record.decode())
            if self._stay:
                connection.recv()
                connection.recv()
        self.gone.set()


class TestGraphQLWebSocket(NativeConformance):
    provider = GraphQLWebSocket
    config = CONFIG._replace(id="graphql-ws", own={"chat": CHAT, "stream": STREAM})
    samples = samples(
        messages,
        errors=(
            Failure(
                body({"id": "1", "type": "error", "payload": [{"message": "no", "extensions": {"code": "FORBIDDEN"}}]}),
                AuthenticationFailed,
            ),
        ),
        error_in_stream=Failure(
            body({"id": "1", "type": "next", "payload": refusal(None, "the model fell over")}), ProviderFailed
        ),
        keep_alive=body({"type": "pong"}),
        unknown=body({"type": "news", "id": "1"}),
    )

    @contextmanager
    def serve(self, records: Sequence[bytes], *, stay: bool) -> Iterator[Played]:
        player = Player(records, stay=stay)
        thread = threading.Thread(target=player.server.serve_forever)
        thread.start()
        try:
            yield player
        finally:
            player.server.shutdown()
            thread.join()
