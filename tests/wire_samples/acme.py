"""
An API that does not exist, a good adapter for it over HTTP and one over a socket, and its samples: what the mutants of
`tests/test_testing.py` are made of.

    POST /chat {"model", "talk": [{"who", "text", "think", "calls", "came", "files"}], "rules", "max", "heat", "top",
                "seed", "until", "tools": [{"name", "about", "with"}], "use", "form", "effort"}
    -> {"model", "think", "text", "calls": [{"id", "name", "with"}], "stop": "end", "tokens": {"in", "out"}}

What a call is given `with` is an object, or that object as text; `came` is what came of calls: {"of", "says", "wrong"}.
A bare text goes to /complete as `raw` in the place of `talk`, and is completed in the same form.
"""

import json
import socket
import threading
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, ClassVar
from urllib.parse import urlsplit

from llmcli import http_errors
from llmcli.errors import AuthenticationFailed, Busy, LlmError, NetworkFailed, ProviderFailed, QuotaExceeded
from llmcli.framing import JsonLines, Record, as_object, as_text, parse_json, parse_object
from llmcli.provider import (
    ApiKey,
    Capabilities,
    HTTPProvider,
    NativeCall,
    NativeProvider,
    Reader,
    Setting,
    json_request,
    raise_error_in,
)
from llmcli.testing import Answer, Failure, Samples, body, json_line, sse
from llmcli.types import (
    Attachment,
    ChatRequest,
    Event,
    Finish,
    FinishReason,
    HttpRequest,
    Json,
    Message,
    Metadata,
    Model,
    ModelPage,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ThinkingEnd,
    ToolCall,
    ToolResult,
    Usage,
)
from tests.wire_samples import PIECES, TEXT

REASONS: Mapping[str, FinishReason] = {"end": "stop", "limit": "length", "tool": "tool_calls"}
EVERYTHING = Capabilities(generate=True, thinking=True, vision=True, tools=True, schema=True)
SETTINGS = {"max_tokens": "max", "temperature": "heat", "top_p": "top", "seed": "seed"}


def talk(message: Message) -> dict[str, Json]:
    """A message in the API's form."""
    turn: dict[str, Json] = {"who": "bot" if message.role == "assistant" else "human", "text": message.text}
    signed = [{"words": part.text, **part.opaque} for part in message.parts if isinstance(part, Thinking)]
    calls = [
        {"id": part.id, "name": part.name, "with": parse_json(part.arguments)}
        for part in message.parts
        if isinstance(part, ToolCall)
    ]
    came = [
        {"of": part.id, "says": part.content, "wrong": part.failed}
        for part in message.parts
        if isinstance(part, ToolResult)
    ]
    files = [file(part) for part in message.parts if isinstance(part, Attachment)]
    more: dict[str, Any] = {"think": signed, "calls": calls, "came": came, "files": files}
    return {**turn, **{name: value for name, value in more.items() if value}}


def file(part: Attachment) -> Json:
    """An attachment in the API's form."""
    return {"type": part.media_type, **({"at": part.url} if part.url else {"bytes": b64encode(part.data).decode()})}


def chat_body(request: ChatRequest, *, stream: bool) -> dict[str, Json]:
    """The body of a request."""
    sent: dict[str, Json] = {"model": request.model}
    if request.complete:
        sent["raw"] = request.messages[-1].text
    else:
        sent["talk"] = [talk(each) for each in request.messages if each.role != "system"]
    rules = [each.text for each in request.messages if each.role == "system"]
    if rules:
        sent["rules"] = "\n".join(rules)
    for ours, theirs in SETTINGS.items():
        if getattr(request, ours) is not None:
            sent[theirs] = getattr(request, ours)
    if request.stop:
        sent["until"] = list(request.stop)
    if request.tools:
        sent["tools"] = [{"name": each.name, "about": each.description, "with": dict(each.parameters)}
                         for each in request.tools]  # fmt: skip
    if request.tool_choice is not None:
        sent["use"] = request.tool_choice
    if request.schema is not None:
        sent["form"] = dict(request.schema.document)
    if request.thinking is not None:
        sent["effort"] = request.thinking
    if stream:
        sent["stream"] = True
    return {**sent, **request.options}


class AcmeReader(Reader):
    """Reads one answer. Each record has some of the fields of the whole."""

    def __init__(self) -> None:
        self.calls = 0
        self.reasons = REASONS

    def feed(self, record: Record) -> Iterator[Event]:
        document = as_object(parse_json(record.data))
        self.check(document)
        yield from self.fields(document)

    def check(self, document: Mapping[str, Json]) -> None:
        raise_error_in(document)

    def whole(self, document: object) -> Iterator[Event]:
        answer = as_object(document)
        if "text" not in answer:
            raise ProviderFailed("the answer has no text")
        yield from self.fields({"stop": "end", **answer})

    def fields(self, answer: Mapping[str, Json]) -> Iterator[Event]:
        yield from self.facts(answer)
        if think := as_text(answer.get("think")):
            yield ThinkingDelta(think)
        if sign := answer.get("sign"):
            yield ThinkingEnd({"sign": sign})
        yield from self.text(as_text(answer.get("text")))
        calls = answer.get("calls")
        for call in calls if isinstance(calls, list) else ():
            self.calls += 1
            yield self.call(as_object(call))
        yield from self.usage(answer.get("tokens"))
        if stop := as_text(answer.get("stop")):
            yield from self.finish(stop)

    def facts(self, answer: Mapping[str, Json]) -> Iterator[Event]:
        if model := as_text(answer.get("model")):
            yield Metadata({"model": model})

    def text(self, text: str) -> Iterator[Event]:
        if text:
            yield TextDelta(text)

    def call(self, call: Mapping[str, Json]) -> ToolCall:
        given = call.get("with")
        arguments = given if isinstance(given, str) else json.dumps(as_object(given), ensure_ascii=False)
        called = ToolCall(as_text(call.get("id")) or f"acme_{self.calls}", as_text(call.get("name")), arguments)
        return called._replace(valid=parse_object(arguments) is not None)

    def usage(self, tokens: Json) -> Iterator[Event]:
        given, made = as_object(tokens).get("in"), as_object(tokens).get("out")
        if isinstance(given, int) and isinstance(made, int):
            yield Usage(given, made, given + made)

    def finish(self, stop: str) -> Iterator[Event]:
        self.complete = True
        yield Finish(self.reasons.get(stop, "other"), stop)


class Acme(HTTPProvider):
    """A good adapter."""

    id = "acme"
    name = "Acme"
    default_base_url: ClassVar[str | None] = "https://api.acme.example/v1"
    default_model = "acme-1"
    known_models: ClassVar[tuple[str, ...]] = ("acme-1", "acme-2")
    api_key = ApiKey(env=("ACME_API_KEY",), header="X-Key", scheme="", hint="https://acme.example/keys")
    capabilities = EVERYTHING
    attachments: ClassVar[Mapping[str, int]] = {"image/*": 1_000_000}
    attachment_urls = True
    settings: ClassVar[Mapping[str, Setting]] = {"max_tokens": Setting(min=1), "temperature": Setting(min=0, max=1)}
    reader_class: ClassVar[type[AcmeReader]] = AcmeReader

    def chat_request(self, request: ChatRequest, *, stream: bool) -> HttpRequest:
        path = "/complete" if request.complete else "/chat"
        return json_request(self.url(path), self.body(request, stream=stream), stream=stream)

    def body(self, request: ChatRequest, *, stream: bool) -> dict[str, Json]:
        return chat_body(request, stream=stream)

    def reader(self, request: ChatRequest) -> Reader:
        return self.reader_class()

    def models_request(self, cursor: str | None = None) -> HttpRequest | None:
        return HttpRequest("GET", self.url("/models") + (f"?from={cursor}" if cursor else ""))

    def read_models(self, document: object) -> ModelPage:
        page = as_object(document)
        names = page.get("models")
        models = tuple(Model(name) for name in (names if isinstance(names, list) else ()) if isinstance(name, str))
        return ModelPage(models, as_text(page.get("more")) or None)

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> LlmError:
        described = http_errors.describe(body)
        if "credits" in described.message:
            return QuotaExceeded(described.message, http_status=status)
        return http_errors.read_error(status, headers, body)


class AcmeSocket(NativeProvider):
    """A good adapter for the same API over a socket: a line asks, lines answer."""

    id = "acme-socket"
    name = "Acme over a socket"
    default_model = "acme-1"
    capabilities = EVERYTHING
    attachments = Acme.attachments
    attachment_urls = True
    settings = Acme.settings
    reader_class: ClassVar[type[AcmeReader]] = AcmeReader

    def stream(self, request: ChatRequest, call: NativeCall) -> Iterator[Event]:
        address = urlsplit(call.base_url or "")
        with self.connected((address.hostname or "", address.port or 0), call) as connection:
            connection.sendall(json_line(self.asked(request, call)))
            framing, reader = JsonLines(), self.reader_class()
            while data := self.receive(connection, call):
                for record in framing.feed(data):
                    yield from reader.feed(record)
        raise NetworkFailed("the connection was closed")

    def asked(self, request: ChatRequest, call: NativeCall) -> Mapping[str, Json]:
        return chat_body(request, stream=True)

    def connected(self, address: tuple[str, int], call: NativeCall) -> socket.socket:
        try:
            return socket.create_connection(address, call.remaining())
        except OSError as exc:
            raise NetworkFailed(f"no connection: {exc}") from exc

    def receive(self, connection: socket.socket, call: NativeCall) -> bytes:
        """The next bytes. `remaining` raises when the time is over."""
        while True:
            connection.settimeout(call.remaining())
            with suppress(TimeoutError):
                return connection.recv(65536)


class SocketServer:
    """Answers each client with the same records."""

    def __init__(self, records: Sequence[bytes], *, stay: bool) -> None:
        self.requests: list[bytes] = []
        self.gone = threading.Event()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"tcp://127.0.0.1:{self.socket.getsockname()[1]}"
        self.clients: list[socket.socket] = []
        self._records, self._stay = records, stay
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.socket.accept()
                self.clients.append(client)
                threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            with client.makefile("rb") as lines:
                self.requests.append(lines.readline())
                client.sendall(b"".join(self._records))
                if self._stay:
                    lines.readline()
        self.gone.set()


@contextmanager
def serve(records: Sequence[bytes], *, stay: bool) -> Iterator[SocketServer]:
    """See `llmcli.testing.Serve`."""
    server = SocketServer(records, stay=stay)
    try:
        yield server
    finally:
        for each in (server.socket, *server.clients):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        server.socket.close()


# --- samples --------------------------------------------------------------------------------------

_END = {"tokens": {"in": 9, "out": 12}, "model": "acme-1-2026"}


def _answer(says: object, pieces: Sequence[Mapping[str, Json]], whole: Mapping[str, Json], stop: str = "end") -> Answer:
    """An answer in pieces and whole."""
    records = [*pieces, {**_END, "stop": stop}]
    return Answer(
        says,  # type: ignore[arg-type]  # a text or parts
        tuple(sse(record) for record in records),
        whole=body({**_END, **whole, "stop": stop}),
        finish=REASONS[stop],
        usage=Usage(9, 12, 21),
        model="acme-1-2026",
    )


_CALLS: list[Json] = [
    {"id": "c1", "name": "weather", "with": {"city": "Zürich"}},
    {"name": "time", "with": '{"zone":"UTC"}'},
]

SAMPLES = Samples(
    _answer(TEXT, [{"text": piece} for piece in PIECES], {"text": TEXT}),
    errors=(
        Failure(b'{"error":"the key is wrong"}', AuthenticationFailed, 401),
        Failure(b'{"error":"no credits are left"}', QuotaExceeded, 403),
        Failure(b'{"error":"slow down please"}', Busy, 429, {"Retry-After": "7"}, retry_after=7.0),
        Failure(b'{"error":"out of order"}', ProviderFailed, 500),
    ),
    error_whole=Failure(b'{"error":"out of order"}', ProviderFailed),
    error_in_stream=Failure(sse({"error": "out of order"}), ProviderFailed),
    thinking=_answer(
        (Thinking("Höflich.", {"sign": "c2lnbmVk"}), Text("Grüße.")),
        [{"think": "Höf"}, {"think": "lich."}, {"sign": "c2lnbmVk"}, {"text": "Grüße."}],
        {"think": "Höflich.", "sign": "c2lnbmVk", "text": "Grüße."},
    ),
    tool_calls=_answer(
        (ToolCall("c1", "weather", '{"city":"Zürich"}'), ToolCall("", "time", '{"zone":"UTC"}')),
        [{"calls": _CALLS[:1]}, {"calls": _CALLS[1:]}],
        {"text": "", "calls": _CALLS},
        "tool",
    ),
    completion=_answer(TEXT, [{"text": piece} for piece in PIECES], {"text": TEXT}, "limit"),
    empty=_answer("", [], {"text": ""}),
    others=(_answer("Once", [{"text": "Once"}], {"text": "Once"}, "limit"),),
    models=(b'{"models":["acme-1"],"more":"acme-2"}', b'{"models":["acme-2"]}'),
    model_ids=("acme-1", "acme-2"),
)


def as_lines(samples: Samples) -> Samples:
    """The same samples as they come over the socket."""
    named = {
        name: sample._replace(stream=tuple(map(_line, sample.stream)), whole=None)
        for name, sample in samples.answers().items()
        if "[" not in name
    }
    if samples.completion is not None:
        named["completion"] = samples.completion._replace(
            stream=tuple(map(_line, samples.completion.stream)), whole=None
        )
    failed = Failure(json_line({"error": "out of order"}), ProviderFailed)
    return samples._replace(
        **named,  # type: ignore[arg-type]  # answers by their field
        others=(),
        errors=(failed,),
        error_in_stream=failed,
        error_whole=None,
        models=(),
        model_ids=(),
        unknown=json_line({"type": "unknown"}),
    )


def _line(record: bytes) -> bytes:
    return record.removeprefix(b"data: ").removesuffix(b"\n")
