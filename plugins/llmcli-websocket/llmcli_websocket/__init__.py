"""
Models behind a WebSocket, described in the configuration. Without a description the protocol is that of the guide for
custom APIs (an `auth` message, `generate`, `chunk` and `done` or `error`), with the ids and codes of its richer form.

The wire facts that go beyond RFC 6455 are those of the tables that the README shows; for OpenAI's Realtime API they
are its documentation and the types of the SDK openai 3.54.0, read 2026-11.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar
from urllib.parse import quote
from uuid import uuid4

from llmcli.errors import ConfigurationError, ProviderFailed
from llmcli.expressions import Expression, check_used, scope, shortened, truth
from llmcli.framing import Record, as_object, decode_body
from llmcli.provider import ApiKey, ConfigKey, NativeCall, NativeProvider, Setting, encoded, with_key
from llmcli.providers.mapped import MappedReader, capabilities
from llmcli.providers.tool_calls import with_ids_of_their_own
from llmcli.types import ChatRequest, Event, HttpRequest, Json, Model, ProviderConfig

from llmcli_websocket.connection import Connection, Message, connect
from llmcli_websocket.tables import (
    CHAT_KEYS,
    CONNECTION_KEYS,
    Table,
    message_of,
    messages_of,
    speech_of,
    subprotocols_of,
)

_REFUSED = 401  # what an error stands for that answers our key


class WebSocket(NativeProvider):
    """
    A provider made of the tables `connection`, `chat` and `vars`; one connection for each request.

    Raises `ConfigurationError` with file, dotted key and position for whatever is wrong with them.
    """

    id = "websocket"
    name = "WebSocket, by configuration"
    url_schemes = ("wss", "ws")
    api_key = ApiKey(required=False, header="", scheme="", placeholder="", hint="whatever your API wants")
    settings: ClassVar[Mapping[str, Setting]] = {}
    config_keys: ClassVar[Mapping[str, ConfigKey]] = {
        "connection": ConfigKey("How the connection begins and is kept.", type=dict, keys=CONNECTION_KEYS),
        "chat": ConfigKey("What is asked, and where the answer stands.", type=dict, keys=CHAT_KEYS),
        "vars": ConfigKey("Constants for the expressions, as `vars.NAME`.", type=dict),
    }

    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(config)
        self._speech = speech_of(config)
        self.capabilities = capabilities([self._speech.answer], self._speech.uses, stream=True)
        if not (self._speech.own and self._speech.uses("model")):
            self.default_model = self.default_model or "default"

    def check(self, request: ChatRequest) -> None:
        """See `Provider.check`. What no expression uses would be dropped without a word, so it is refused."""
        super().check(request)
        check_used(request, self._speech.uses, self.config.id, f"{self.config.place}.chat.request")

    def stream(self, request: ChatRequest, call: NativeCall) -> Iterator[Event]:
        """See `NativeProvider.stream`. An answer that is not read to its end is cancelled."""
        reader = MappedReader(self._speech.answer, self._speech.answer)
        seen = self._seen(request, call)
        asked = [self._encoded(each) for each in messages_of(self._speech.request, seen)]
        cancel = self._encoded(message_of(self._speech.cancel, seen)) if self._speech.cancel is not None else None
        with self._connected(request.model, seen, call) as connection:
            try:
                for message in asked:
                    connection.send(message)
                yield from self._answer(connection, reader, str(seen["id"]), call)
            finally:
                connection.close(None if reader.complete else cancel)

    def _answer(self, connection: Connection, reader: MappedReader, ours: str, call: NativeCall) -> Iterator[Event]:
        for text, document in self._heard(connection, ours, call):
            # What is no document is blank, or the sentinel.
            events = list(reader.feed(Record(text)) if document is None else reader.document(document))
            if not events:
                call.kept_alive()
            yield from events
            if reader.complete:
                return
        if reader.ends_with_body or not connection.reason:
            yield from reader.end()  # which says what end the table wanted, where that did not come
        if not reader.complete:
            raise connection.closed()

    def models(self, call: NativeCall) -> Iterable[Model]:
        """See `NativeProvider.models`: those of the configuration."""
        return [Model(name) for name in self.config.models]

    def health_check(self, call: NativeCall) -> None:
        """See `NativeProvider.health_check`: whether the server takes the connection and, where it says so, the key."""
        model = self.default_model or next(iter(self.config.models), "")
        with self._connected(model, self._seen(ChatRequest(model, ()), call), call):
            return

    # --- the beginning ---

    def _seen(self, request: ChatRequest, call: NativeCall) -> dict[str, Json]:
        """What the expressions see that make our messages. They do not see a key that the handshake carries."""
        variables = as_object(self.config.own.get("vars"))
        key = None if self._key_in_handshake else call.key
        if key and not self._speech.uses_key:
            raise ConfigurationError(
                f"{self.config.place}: the key has no place to go",
                hint="connection.auth may say it (`key`), or api_key may name a header",
            )
        request = request._replace(messages=with_ids_of_their_own(request.messages))
        return {**scope(request, stream=call.stream, variables=variables), "id": uuid4().hex, "key": key}

    @contextmanager
    def _connected(self, model: str, seen: Table, call: NativeCall) -> Iterator[Connection]:
        """A connection on which a request may be sent."""
        asked = self._handshake(model, call)
        offered = subprotocols_of(self._speech.subprotocols, seen)
        read_error = self._speech.answer.read_error
        with connect(call, asked.url, headers=asked.headers, subprotocols=offered, read_error=read_error) as connection:
            auth = self._speech.auth
            if auth is not None and (seen["key"] or not auth.uses("key")):
                connection.send(self._encoded(message_of(auth, seen)))
            if self._speech.ready is not None:
                self._wait_until_ready(self._speech.ready, connection, str(seen["id"]), call)
            yield connection

    @property
    def _key_in_handshake(self) -> bool:
        return bool(self.api_key.header or self.api_key.scheme or self.api_key.query)

    def _handshake(self, model: str, call: NativeCall) -> HttpRequest:
        """Where to connect to, and the key if it goes into the URL or a header."""
        if self.config.base_url is None:
            raise ConfigurationError(
                f"{self.config.id} has no base URL",
                hint=f"give --base-url, or base_url under [providers.{self.config.id}]",
            )
        path = self._speech.path.replace("{model}", quote(model, safe="/:@"))
        base_url = self.config.base_url
        request = HttpRequest("GET", (base_url.rstrip("/") if path.startswith("/") else base_url) + path)
        if call.key and self._key_in_handshake:
            return with_key(request, self.api_key._replace(header=self.api_key.header or "Authorization"), call.key)
        return request

    def _wait_until_ready(self, ready: Expression, connection: Connection, ours: str, call: NativeCall) -> None:
        """Until the server lets us in. An error that comes instead speaks of the key, unless it says otherwise."""
        for text, document in self._heard(connection, ours, call):
            if self._speech.is_error(document):
                error = self._speech.answer.read_error(_REFUSED, {}, text.encode())
                error.http_status = None  # that is only what it stands for
                raise error
            if truth(ready.find(document)):
                return
            call.kept_alive()
        raise connection.closed()

    # --- the conversation ---

    def _heard(self, connection: Connection, ours: str, call: NativeCall) -> Iterator[tuple[str, object]]:
        """The messages that belong to our request, as text and as what stands in them; pings are answered."""
        speech, known = self._speech, False
        for message in connection.messages():
            text = _text(message)
            document = speech.document(text)
            theirs = speech.id.find(document) if speech.id is not None else None
            known = known or theirs == ours
            if speech.ping is not None and speech.pong is not None and truth(speech.ping.find(document)):
                connection.send(self._encoded(message_of(speech.pong, document)))
                call.kept_alive()
            elif theirs is not None and theirs != ours:
                if not known and speech.is_end(document):
                    raise self._unknown_id(theirs)
                call.log("ignored", id=theirs)
                call.kept_alive()
            else:
                yield text, document

    def _unknown_id(self, theirs: Json) -> ProviderFailed:
        """Not to be waited on for ever: a server that gives answers ids of its own."""
        return ProviderFailed(
            f"an answer ended whose id is {shortened(str(theirs))}, and none began with the id that we gave",
            hint=f'id = "" under [providers.{self.config.id}.chat] takes answers of any id',
        )

    def _encoded(self, message: Json) -> Message:
        """A message as it goes out: a text as it is, anything else as JSON."""
        data = message.encode() if isinstance(message, str) else encoded(message)
        return data if self._speech.binary else data.decode()


def _text(message: Message) -> str:
    return message if isinstance(message, str) else decode_body(message)
