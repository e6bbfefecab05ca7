"""
Any model behind gRPC, described in the configuration: the same expressions as those of `adapter = "http"` make the
message of the request and read those of the answer. What the messages look like is told by the server's reflection or
by a file of descriptors.

Sources: the gRPC protocol over HTTP/2 (`PROTOCOL-HTTP2.md`), `grpc/health/v1/health.proto` and the documentation of
grpcio, all as of November 2026; `schema` and `statuses` name theirs.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing
from typing import ClassVar

# The C core writes to stderr by itself, which is not its own; it looks once, when it is loaded.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from llmcli.errors import Busy, ConfigurationError, ProviderFailed, RequestRejected
from llmcli.expressions import ROOTS, Expression, check_used, described, scope
from llmcli.framing import as_object
from llmcli.provider import ApiKey, ConfigKey, NativeCall, NativeProvider, Setting, json_request, with_key
from llmcli.providers.mapped import ANSWER_KEYS, AnswerMap, MappedReader, answer_map, capabilities
from llmcli.providers.tool_calls import with_ids_of_their_own
from llmcli.types import ChatRequest, Event, HttpRequest, Json, Model, ProviderConfig, message

from llmcli_grpc.connection import Address, Connection, connect
from llmcli_grpc.schema import Descriptors, by_reflection, decoded, from_file
from llmcli_grpc.statuses import UNIMPLEMENTED

Table = Mapping[str, Json]

_CHAT_KEYS: Mapping[str, ConfigKey] = {
    "method": ConfigKey("The method: `/package.Service/Method`, unary or streaming."),
    "request": ConfigKey("Expression: the message that the method takes, an object of its fields."),
    "content": ConfigKey("Expression: the text in the message that answers; of a stream, as `delta`."),
    "delta": ConfigKey("Expression: the next piece of the text in a message of a stream; null where it has none."),
    "end": ConfigKey("Expression: true in the last message of a stream that is to be read no further. Not needed: "
                     "the status OK ends it."),
    **{name: key for name, key in ANSWER_KEYS.items() if name not in ("record", "sample", "sample_file")},
}  # fmt: skip
_GENERIC: Table = {
    "method": "/llm.v1.LLM/Generate",
    "request": """merge({model: model, messages: messages[].{role: role, content: content}, max_tokens: max_tokens,
  temperature: temperature, top_p: top_p, stop: stop, seed: seed}, options)""",
    "delta": "text",
    "finish_reason": "finish_reason",
    "model": "model",
    "usage": "usage",
}
"""The chat of a service that has no table of its own; the package's README shows it as a `.proto` file."""

_HEALTH = "/grpc.health.v1.Health/Check"
_SAMPLE = ChatRequest("model", (message("system", "Be brief."), message("user", "Why?")))


class Grpc(NativeProvider):
    """
    A provider made of a table. Raises `ConfigurationError` with file, dotted key and position for what is wrong in it;
    what only the descriptors tell is found before the request goes out.
    """

    id = "grpc"
    name = "A gRPC service, by configuration"
    url_schemes = ("grpcs", "grpc", "https", "http")
    api_key = ApiKey(required=False, placeholder="", hint="whatever your service wants")
    settings: ClassVar[Mapping[str, Setting]] = {}
    config_keys: ClassVar[Mapping[str, ConfigKey]] = {
        "chat": ConfigKey("The method, its request, and where the answer stands.", type=dict, keys=_CHAT_KEYS),
        "descriptor": ConfigKey(
            "A file that `protoc --descriptor_set_out` wrote, for a server without reflection; its path is relative to "
            "the file of the table."
        ),
        "vars": ConfigKey("Constants for the expressions, as `vars.NAME`.", type=dict),
    }
    quirks = (
        "without a table it speaks to /llm.v1.LLM/Generate",
        "each answer has a connection of its own, and asks the server's reflection first unless there is a descriptor",
    )

    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(config)
        self._address = Address.of(config.base_url) if config.base_url else None
        table = as_object(config.own.get("chat")) or _GENERIC
        self._request = Expression(
            str(self._required(table, "request")), self._place("request"), roots=ROOTS, failing=ConfigurationError
        )
        self._method = str(self._required(table, "method"))
        if not re.fullmatch(r"/?[\w.]+/\w+", self._method):
            raise ConfigurationError(f"{self._place('method')} should look like /package.Service/Method")
        self._whole = self._map(table, "content", "delta")
        self._stream = self._map(table, "delta", "content")
        if self._stream.ending.sentinel is not None:
            raise ConfigurationError(f"{self._place('end')} should be an expression: a message is no text")
        self.capabilities = capabilities([self._whole], self._request.uses, stream=True)
        if not self._request.uses("model"):
            self.default_model = self.default_model or "default"
        self._body(_SAMPLE)

    # --- tables ---

    def _place(self, key: str) -> str:
        return f"{self.config.place}.chat.{key}"

    def _required(self, table: Table, key: str) -> Json:
        if key not in table:
            raise ConfigurationError(f"{self._place(key)} is missing: {_CHAT_KEYS[key].help}")
        return table[key]

    def _map(self, table: Table, text: str, other: str) -> AnswerMap:
        """Where things stand in an answer. One expression of the text serves for both kinds of method."""
        key = text if text in table or other not in table else other
        return answer_map(table, f"{self.config.place}.chat", text=key)

    # --- requests ---

    def check(self, request: ChatRequest) -> None:
        """See `Provider.check`. What the expression does not use would be dropped without a word, so it is refused."""
        super().check(request)
        check_used(request, self._request.uses, self.config.id, self._place("request"))

    def _body(self, request: ChatRequest) -> Table:
        """The request as a document. Whether its method streams does not change it."""
        variables = as_object(self.config.own.get("vars"))
        request = request._replace(messages=with_ids_of_their_own(request.messages))
        found = self._request.find(scope(request, stream=True, variables=variables))
        if not isinstance(found, dict):
            raise ConfigurationError(f"{self._request.place} should make an object, but it makes {described(found)}")
        return found

    def _metadata(self, call: NativeCall) -> dict[str, str]:
        """The configured headers and the key, as they go out with every call: in lower case and in ASCII."""
        if call.key and self.api_key.query:
            raise ConfigurationError("a gRPC call has no query for its key", hint='api_key = { header = "…" }')
        asked = HttpRequest("POST", "", self.config.headers)
        headers = with_key(asked, self.api_key, call.key).headers if call.key else asked.headers
        metadata = {name.lower(): value for name, value in headers.items()}
        for name, value in metadata.items():
            if not re.fullmatch(r"[0-9a-z_.-]+(?<!-bin)", name) or not re.fullmatch(r"[ -~]*", value):
                raise ConfigurationError(f"the header {name} cannot go out as gRPC metadata: only printable ASCII can")
        return metadata

    def _connect(self, call: NativeCall) -> AbstractContextManager[Connection]:
        if self._address is None:
            raise ConfigurationError(
                f"{self.config.id} has no base URL",
                hint=f"give --base-url grpc://HOST:PORT, or base_url under [providers.{self.config.id}]",
            )
        return connect(call, self._address, self._metadata(call))

    def _descriptors(self, connection: Connection) -> Descriptors:
        place = f"{self.config.place}.descriptor"
        if "descriptor" not in self.config.own:
            return by_reflection(connection, self._method.strip("/").rpartition("/")[0])
        path = os.path.expanduser(str(self.config.own["descriptor"]))
        beside = self.config.place.rpartition(": ")[0]
        return from_file(os.path.join(os.path.dirname(beside), path), place)

    # --- answers ---

    def stream(self, request: ChatRequest, call: NativeCall) -> Iterator[Event]:
        """See `NativeProvider.stream`."""
        document = json_request("", self._body(request)).body or b""
        with self._connect(call) as connection:
            method = self._descriptors(connection).method(self._method, self._place("method"))
            messages = connection.messages(method.path, method.request(document, self._request.place))
            documents = map(method.answer, messages)
            reader = MappedReader(self._whole, self._stream)
            with closing(messages):
                if method.streams:
                    yield from _read_stream(reader, documents, call)
                else:
                    yield from _read_whole(reader, documents)

    # --- health ---

    def models(self, call: NativeCall) -> list[Model]:
        """See `NativeProvider.models`: those of the configuration, because gRPC has no list of its own."""
        return [Model(name) for name in self.config.models]

    def health_check(self, call: NativeCall) -> None:
        """See `NativeProvider.health_check`. A server without a health service is well when it speaks gRPC."""
        with self._connect(call) as connection:
            try:
                answers = list(connection.messages(_HEALTH, HealthCheckRequest().SerializeToString()))
            except RequestRejected as exc:
                if exc.http_status != UNIMPLEMENTED:
                    raise
                return
        if [decoded(HealthCheckResponse, each).status for each in answers] != [HealthCheckResponse.SERVING]:
            raise Busy("the server says of itself that it is not serving", http_status=503)


def _read_stream(reader: MappedReader, documents: Iterable[Table], call: NativeCall) -> Iterator[Event]:
    """The events of a stream. Where no expression says which message is the last, the status OK is its end."""
    empty = True
    for document in documents:
        empty = False
        events = list(reader.document(document))
        if not events:
            call.kept_alive()
        yield from events
        if reader.complete:
            return
    if empty:
        raise ProviderFailed("the provider sent an empty answer")
    yield from reader.end()


def _read_whole(reader: MappedReader, documents: Iterable[Table]) -> Iterator[Event]:
    """The events of an answer that is one message, complete when its status has come too."""
    answers = list(documents)
    if len(answers) != 1:
        raise ProviderFailed(f"the provider sent {len(answers) or 'no'} messages for one answer")
    yield from reader.whole(answers[0])
