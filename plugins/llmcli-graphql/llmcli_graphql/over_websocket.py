"""
Queries, mutations and subscriptions over a WebSocket: `graphql-transport-ws`, and the older protocol of
subscriptions-transport-ws, whose name on the wire is `graphql-ws`. Both are offered, and the server chooses.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar, NamedTuple

from llmcli.errors import ConfigurationError
from llmcli.expressions import Expression, described
from llmcli.framing import as_object, decode_body, parse_json
from llmcli.provider import ApiKey, ConfigKey, NativeCall, NativeProvider, Setting, with_key
from llmcli.types import ChatRequest, Event, HttpRequest, Json, Model, ProviderConfig
from llmcli_websocket.connection import Connection, connect

from llmcli_graphql.over_http import GraphQL
from llmcli_graphql.results import ResultReader

_ID = "1"  # of the only operation on the connection
_INIT_ROOTS = ("key", "model", "vars")
_SIGNS_OF_LIFE = ("ping", "pong", "ka")


class Protocol(NamedTuple):
    """What the messages are called that start an operation, bring a result and cancel."""

    start: str
    result: str
    cancel: str


PROTOCOLS: Mapping[str, Protocol] = {
    "graphql-transport-ws": Protocol("subscribe", "next", "complete"),
    "graphql-ws": Protocol("start", "data", "stop"),
}
_UNSAID = "graphql-ws"  # what a server speaks that chooses none


class GraphQLWebSocket(NativeProvider):
    """
    The API that `GraphQL` describes, over a WebSocket: the subscription of `stream`, else what `chat` asks.

    Raises `ConfigurationError` as `GraphQL` does.
    """

    id = "graphql-ws"
    name = "GraphQL over WebSocket"
    url_schemes = ("wss", "ws", "https", "http")
    api_key = ApiKey(required=False, placeholder="", hint="whatever your API wants")
    settings: ClassVar[Mapping[str, Setting]] = {}
    config_keys: ClassVar[Mapping[str, ConfigKey]] = {
        **{name: key for name, key in GraphQL.config_keys.items() if name != "models_list"},
        "init": ConfigKey("Expression: the payload of `connection_init`; it sees `key`, `model` and `vars`."),
    }
    quirks = GraphQL.quirks

    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(config)
        self._api = GraphQL(config)
        self.capabilities = self._api.capabilities
        self.default_model = self._api.default_model
        self._init = _init(config)
        self._payload("key", "model")  # what is wrong with the expression is found now

    def check(self, request: ChatRequest) -> None:
        """See `Provider.check`."""
        super().check(request)
        self._api.refuse_unused(request, stream=self._api.capabilities.stream)

    def stream(self, request: ChatRequest, call: NativeCall) -> Iterator[Event]:
        """See `NativeProvider.stream`. Closing the generator cancels the operation."""
        reader = self._api.reader(request)
        operation = self._api.body(request, stream=call.stream)
        url = self._api.chat_request(request, stream=call.stream).url
        with self._connected(url, request.model, call) as conversation:
            conversation.start(operation)
            try:
                yield from _read(conversation, reader, whole=not call.stream)
            finally:
                conversation.leave(finished=reader.complete)

    def models(self, call: NativeCall) -> Iterable[Model]:
        """See `NativeProvider.models`."""
        return [Model(name) for name in self.config.models]

    def health_check(self, call: NativeCall) -> None:
        """See `NativeProvider.health_check`: the server acknowledges a connection, and so the key that opened it."""
        with self._connected(self._api.url(""), self.default_model or "", call):
            return

    @contextmanager
    def _connected(self, url: str, model: str, call: NativeCall) -> "Iterator[Conversation]":
        """A connection that the server has acknowledged."""
        asked = HttpRequest("GET", re.sub("^http", "ws", url))
        if call.key and not (self._init is not None and self._init.uses("key")):
            asked = with_key(asked, self.api_key, call.key)
        with connect(call, asked.url, headers=asked.headers, subprotocols=tuple(PROTOCOLS)) as connection:
            conversation = Conversation(connection, call)
            conversation.introduce(self._payload(call.key, model))
            self._await_acknowledgement(conversation)
            yield conversation

    def _await_acknowledgement(self, conversation: "Conversation") -> None:
        for kind, payload in conversation.messages():
            if kind == "connection_ack":
                return
            if kind in ("connection_error", "error"):  # of the older protocol; the newer one closes with a code
                raise self._api.codes.error(payload, status=403)

    def _payload(self, key: str | None, model: str) -> Json:
        """The payload of `connection_init`, if it has one."""
        if self._init is None:
            return None
        variables = dict(as_object(self.config.own.get("vars")))
        payload = self._init.find({"key": key, "model": model, "vars": variables})
        if not isinstance(payload, dict):
            raise ConfigurationError(f"{self._init.place} should make an object, but it makes {described(payload)}")
        return payload


def _init(config: ProviderConfig) -> Expression | None:
    if "init" not in config.own:
        return None
    text, place = str(config.own["init"]), f"{config.place}.init"
    return Expression(text, place, roots=_INIT_ROOTS, failing=ConfigurationError)


def _read(conversation: "Conversation", reader: ResultReader, *, whole: bool) -> Iterator[Event]:
    """What the server says of the operation, up to its end. A query or mutation has one result, which is all of it."""
    for kind, payload in conversation.messages():
        if kind == conversation.protocol.result:
            yield from reader.whole(payload) if whole else reader.result(payload)
        elif kind == "complete":
            yield from reader.completed()
        elif kind == "error":
            raise reader.failed(payload)
        if reader.complete:
            return


class Conversation:
    """One connection, spoken over in the protocol that the server chose."""

    def __init__(self, connection: Connection, call: NativeCall) -> None:
        self.protocol = PROTOCOLS.get(connection.subprotocol or _UNSAID, PROTOCOLS[_UNSAID])
        self._connection = connection
        self._call = call

    def introduce(self, payload: Json) -> None:
        """The first message, which the server acknowledges."""
        self._send("connection_init", _with_payload(payload))

    def start(self, operation: Mapping[str, Json]) -> None:
        """Start the one operation."""
        self._send(self.protocol.start, {"id": _ID, "payload": dict(operation)})

    def messages(self) -> Iterator[tuple[str, Json]]:
        """Each message that concerns us, its type and its payload. Pings are answered, signs of life noticed."""
        while True:
            received = self._connection.receive()
            text = received if isinstance(received, str) else decode_body(received)
            message = as_object(parse_json(text))
            kind, payload = str(message.get("type")), message.get("payload")
            if kind == "ping":
                self._send("pong", _with_payload(payload))
            if kind in _SIGNS_OF_LIFE:
                self._call.kept_alive()
            elif message.get("id") is None or str(message["id"]) == _ID:
                yield kind, payload

    def leave(self, *, finished: bool) -> None:
        """Close the connection; an operation that has not ended is cancelled."""
        cancel = {"id": _ID, "type": self.protocol.cancel}
        self._connection.close(None if finished else json.dumps(cancel))

    def _send(self, kind: str, fields: Mapping[str, Json]) -> None:
        self._connection.send(json.dumps({"type": kind, **fields}, ensure_ascii=False))


def _with_payload(payload: Json) -> dict[str, Json]:
    return {} if payload is None else {"payload": payload}
