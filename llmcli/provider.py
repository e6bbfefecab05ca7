"""
The contract that every provider keeps, built-in or not. Layer 1: knows types, errors, framing, http_errors.

An HTTP provider *describes* what to send and *reads* what came back. It does no I/O, reads no environment, never
sleeps, never prints, and keeps no state of an answer on itself; the driver (`answer.py`) performs. A native provider
performs by itself, with nothing but the call that it is handed.
"""

import json
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import ClassVar, NamedTuple, Protocol

from llmcli import http_errors
from llmcli.errors import ConfigurationError, LlmError, ProviderFailed, RequestRejected, UsageError
from llmcli.framing import SSE, Framing, Record, decode_body, parse_json
from llmcli.types import (
    Attachment,
    ChatRequest,
    Event,
    HttpRequest,
    Json,
    Model,
    ModelPage,
    ProviderConfig,
    Timeouts,
)


class ApiKey(NamedTuple):
    """
    How a provider takes its key, and where a person gets one.

    `env`: environment variables, in their order. `header` and `scheme`: where the key goes (`Authorization: Bearer`).
    `query`: the parameter of the query that takes it instead of a header. `label`, `placeholder`, `hint`: what
    `providers show` and the login ask with.
    """

    required: bool = True
    env: tuple[str, ...] = ()
    header: str = "Authorization"
    scheme: str = "Bearer"
    label: str = "API key"
    placeholder: str = "sk-..."
    hint: str = ""
    query: str = ""


class Capabilities(NamedTuple):
    """What a provider can do at all; a single model may do less."""

    chat: bool = True
    stream: bool = True
    generate: bool = False
    thinking: bool = False
    vision: bool = False
    tools: bool = False
    schema: bool = False

    def names(self) -> tuple[str, ...]:
        """The names of what is there, in their order."""
        return tuple(name for name in self._fields if getattr(self, name))


class Setting(NamedTuple):
    """The range of a numeric setting, as the API enforces it for every model."""

    min: float | None = None
    max: float | None = None
    default: float | None = None
    step: float | None = None


class Option(NamedTuple):
    """An `--option` of a provider that declares its options: what it means, and the values if they are a choice."""

    help: str
    choices: tuple[str, ...] = ()


class ConfigKey(NamedTuple):
    """
    A configuration key of a provider's own: what it means, the environment variables that may hold it, and its type.

    `keys`: the keys of its table, where it is one (`type=dict`); a table without declared keys may hold anything.
    `required`: the provider can do nothing without it.
    """

    help: str
    env: tuple[str, ...] = ()
    type: type = str
    keys: "Mapping[str, ConfigKey] | None" = None
    required: bool = False


class Provider:
    """
    What every provider has. A base class with defaults, so that a new method does not break an old plugin.

    What a class declares in `capabilities` it does with a `ChatRequest` that asks for it: its tools and their results,
    attachments, a schema, how much to think, a completion of bare text. What it does not declare is refused before
    anything is sent; a schema and tools are then put into the prompt by the core.

    `attachments` are the media types that may be attached (`image/png`, or `image/*`), each with the most bytes that it
    may have; `attachment_urls` says whether the service fetches a URL itself. `json_mode`: a schema that the class does
    not declare may still ask for any JSON object (`Schema` with an empty document).
    `options` is `None` where any `--option key=value` goes into the request as the API's own field. `quirks` are
    sentences about how the service differs from what one would expect. `url_schemes` are those that its base URL may
    have.
    """

    api_version: ClassVar[int] = 1
    id: ClassVar[str] = ""
    name: ClassVar[str] = ""
    default_base_url: ClassVar[str | None] = None
    url_schemes: ClassVar[tuple[str, ...]] = ("https", "http")
    base_url_env: ClassVar[tuple[str, ...]] = ()
    default_model: str | None = None
    api_key: ApiKey = ApiKey(required=False)
    capabilities: Capabilities = Capabilities()
    settings: ClassVar[Mapping[str, Setting]] = {
        "max_tokens": Setting(min=1),
        "temperature": Setting(min=0, max=2),
        "top_p": Setting(min=0, max=1),
    }
    options: ClassVar[Mapping[str, Option] | None] = None
    config_keys: ClassVar[Mapping[str, ConfigKey]] = {}
    attachments: ClassVar[Mapping[str, int]] = {}
    attachment_urls: ClassVar[bool] = False
    json_mode: ClassVar[bool] = False
    known_models: ClassVar[tuple[str, ...]] = ()
    quirks: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: ProviderConfig) -> None:
        self.config = config
        self.default_model = config.default_model or type(self).default_model

    @classmethod
    def resolve_base_url(cls, url: str) -> str:
        """The base URL as the adapter uses it; a place to forgive what people paste. No trailing slash."""
        return url.rstrip("/")

    def check(self, request: ChatRequest) -> None:
        """
        Refuse what the API rejects for every model, before anything is sent.

        Raises `UsageError` naming the range of a setting, or the nearest of the declared options.
        """
        for name, setting in self.settings.items():
            value = getattr(request, name, None)
            if value is None:
                continue
            # The comparisons are written so that nan is out of every range.
            if not ((setting.min is None or value >= setting.min) and (setting.max is None or value <= setting.max)):
                low, high = ("" if end is None else f"{end:g}" for end in (setting.min, setting.max))
                allowed = (
                    f"between {low} and {high}" if low and high else f"at least {low}" if low else f"at most {high}"
                )
                flag = name.replace("_", "-")
                raise UsageError(
                    f"--{flag} {value:g} is out of range for {self.config.id}: {allowed}",
                    hint=f"--option {name}={value:g} sends it all the same",
                )
        if self.options is not None:
            for name, given in request.options.items():
                self._check_option(self.options, name, given)
        for capability, what in self._asked_for(request):
            if not getattr(self.capabilities, capability):
                others = f"`llmcli providers --capability {capability}` lists those that can"
                raise RequestRejected(f"{self.config.id} {what}", hint=others)
        for message in request.messages:
            for part in message.parts:
                if isinstance(part, Attachment):
                    self._check_attachment(part)

    def _check_attachment(self, part: Attachment) -> None:
        what = f"{part.name} ({part.media_type})" if part.name else part.media_type
        any_of_its_kind = f"{part.media_type.partition('/')[0]}/*"
        most = self.attachments.get(part.media_type, self.attachments.get(any_of_its_kind))
        if most is None:
            raise RequestRejected(
                f"{self.config.id} takes no {what}", hint=f"it takes {', '.join(self.attachments) or 'no attachments'}"
            )
        if part.url and not self.attachment_urls:
            raise RequestRejected(f"{self.config.id} fetches nothing from a URL: {what}", hint="attach the file itself")
        if len(part.data) > most:
            raise RequestRejected(f"{what} has {len(part.data):,} bytes; {self.config.id} takes at most {most:,}")

    def _asked_for(self, request: ChatRequest) -> Iterator[tuple[str, str]]:
        """The capabilities that a request needs, and how to say that one is missing."""
        if request.tools:
            yield "tools", "cannot call tools"
        if any(isinstance(part, Attachment) for message in request.messages for part in message.parts):
            yield "vision", "takes no attachments"
        if request.thinking not in (None, "off"):
            yield "thinking", "has no control over thinking"
        if request.schema is not None and not (self.json_mode and not request.schema.document):
            yield "schema", "cannot be held to a schema"
        if request.complete:
            yield "generate", "cannot complete bare text"

    def _check_option(self, options: Mapping[str, Option], name: str, value: Json) -> None:
        if name not in options:
            known = ", ".join(options) or "none"
            raise UsageError(f"{self.config.id} has no option {name!r}", hint=f"its options: {known}")
        choices = options[name].choices
        if choices and str(value) not in choices:
            raise UsageError(f"--option {name}={value} is not one of {', '.join(choices)}")


# --- providers over HTTP --------------------------------------------------------------------------


class Reader:
    """
    Reads one answer; the driver makes one for each. Subclasses hold the state of the answer, the provider holds none.

    `complete` becomes True when the protocol's terminal marker was seen: from then on a cut connection loses nothing.
    The driver stops reading at the `Finish` event.

    `plain`: the answer is text itself and no document, so nothing in front of it is skipped and it may begin with `<`.
    `ends_with_body`: the protocol has no end marker but the end of the body, so the driver takes only a body whose
    end can be told from a cut one (a length, or chunks).
    """

    complete: bool = False
    plain: bool = False
    ends_with_body: bool = False

    @abstractmethod
    def feed(self, record: Record) -> Iterator[Event]:
        """Read one record of a stream."""

    @abstractmethod
    def whole(self, document: object) -> Iterator[Event]:
        """Read an answer that came whole, as parsed JSON. Must end with `Finish`."""

    def body(self, body: bytes) -> Iterator[Event]:
        """
        Read the whole body of an answer that came in one piece: JSON, which goes to `whole`, unless it is overridden.
        Blank space before the document is a keep-alive of some services.

        Raises the provider's error that the document reports, or `ProviderFailed` when it is empty or no JSON.
        """
        text = decode_body(body).strip()
        if not text:
            raise ProviderFailed("the provider sent an empty answer")
        document = parse_json(text)
        raise_error_in(document)
        return self.whole(document)

    def end(self) -> Iterator[Event]:
        """The records have ended. Yield what was held back and `Finish` if the marker was seen, else nothing."""
        return iter(())


class HTTPProvider(Provider):
    """
    A provider that is spoken to over HTTP. All of it is pure: values in, values out.

    `models_need_key` is False where anybody may list the models, so that a list says nothing about the key.
    `lists_every_model` is False where a model that is not in the list may be there all the same.
    """

    models_need_key: ClassVar[bool] = True
    lists_every_model: ClassVar[bool] = True

    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(config)
        url = config.base_url or type(self).default_base_url
        self.base_url = self.resolve_base_url(url) if url else None

    @abstractmethod
    def chat_request(self, request: ChatRequest, *, stream: bool) -> HttpRequest:
        """Our request in the API's format."""

    def models_request(self, cursor: str | None = None) -> HttpRequest | None:
        """What lists the models (from `cursor` on), or `None` where the API cannot."""
        return None

    def health_request(self) -> HttpRequest | None:
        """A question that shows whether the service is there, where it has a better one than its list of models."""
        return None

    def read_health(self, text: str) -> None:
        """Raise the error that the answer to `health_request` reports although its status is no error, if it does."""

    def authorize(self, request: HttpRequest, key: str) -> HttpRequest:
        """The request with the key in its place. It sees the finished request, so signing is possible."""
        return with_key(request, self.api_key, key)

    def framing(self) -> Framing:
        """How records stand in a streamed body."""
        return SSE()

    @abstractmethod
    def reader(self, request: ChatRequest) -> Reader:
        """A fresh reader for the answer to one request, which it may need to know (its stop texts, its tools)."""

    def read_models(self, document: object) -> ModelPage:
        """The models in an answer to `models_request`."""
        raise NotImplementedError

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> LlmError:
        """The error for an answer with a status of 400 and above."""
        return http_errors.read_error(status, headers, body)

    def findings(self, record: Record, *, stream: bool) -> Mapping[str, Json]:
        """
        What the expressions of the configuration find in one record of a stream, or in a whole answer, by their keys;
        nothing for a provider that reads without any.
        """
        return {}

    def adapt(self, request: ChatRequest, error: LlmError) -> ChatRequest | None:
        """
        The same request said in another way, after the service refused a parameter that we chose ourselves; `None`
        if nothing is left to change. Called before any output only. Never drops what the user asked for. It has one
        more word in `without`, or `max_tokens` where there were none: else it is not asked.
        """
        return None

    def url(self, path: str) -> str:
        """The URL of a path under the base URL. Raises `ConfigurationError` when there is no base URL."""
        if self.base_url is None:
            raise ConfigurationError(
                f"{self.config.id} has no base URL",
                hint=f"give --base-url, or base_url under [providers.{self.config.id}]",
            )
        if "?" in self.base_url:
            shown = self.base_url.partition("?")[0]
            raise UsageError(f"the base URL of {self.config.id} holds a query, which belongs to a request: {shown}?…")
        return self.base_url + path


def with_headers(request: HttpRequest, headers: Mapping[str, str]) -> HttpRequest:
    """The request with more headers; a later one replaces an earlier one of the same name, whatever its case."""
    replaced = {name.lower() for name in headers}
    kept = {name: value for name, value in request.headers.items() if name.lower() not in replaced}
    return HttpRequest(request.method, request.url, {**kept, **headers}, request.body)


def with_key(request: HttpRequest, place: ApiKey, key: str) -> HttpRequest:
    """The request with the key where `place` says: a parameter of the query, or a header behind its scheme."""
    if place.query:
        from urllib.parse import quote

        sign = "&" if "?" in request.url else "?"
        return request._replace(url=f"{request.url}{sign}{quote(place.query, safe='')}={quote(key, safe='')}")
    if place.scheme.lower() == "basic" and ":" in key:  # base64 has no colon: what has one is `user:password`
        from base64 import b64encode

        key = b64encode(key.encode()).decode()
    return with_headers(request, {place.header: f"{place.scheme} {key}" if place.scheme else key})


def json_request(url: str, body: Mapping[str, Json], *, stream: bool = False) -> HttpRequest:
    """A POST of a JSON document. Raises `UsageError` for what JSON cannot say."""
    headers = {"Content-Type": "application/json", "Accept": "text/event-stream" if stream else "application/json"}
    return HttpRequest("POST", url, headers, encoded(body))


def encoded(document: object) -> bytes:
    """
    A document as JSON. Text stays UTF-8: escaping would multiply the size of a large prompt.

    Raises `UsageError` for what JSON cannot say.
    """
    try:
        return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except UnicodeEncodeError:
        raise UsageError("the request holds text that is not UTF-8") from None
    except ValueError:
        raise UsageError("the request holds a number that JSON does not have (nan or infinity)") from None


def raise_error_in(document: object) -> None:
    """Raise the error that a document with status 200 reports, if it reports one."""
    body = http_errors.error_in(document)
    if body is not None:
        raise http_errors.classify_in_stream(body)


# --- providers that perform by themselves ---------------------------------------------------------


class Duplex(Protocol):
    """A connection in another protocol than HTTP. Keeps the deadlines of the call; raises our errors only."""

    def read(self) -> bytes:
        """What has arrived; waits for it. Empty when the other side has hung up."""

    def write(self, data: bytes) -> None:
        """Send all of it."""

    def part(self, last: bytes) -> None:
        """Send a last word, and give the other side a moment to hang up. Never fails, whatever time it is."""


class Opened(Protocol):
    """
    The answer to a request for another protocol. With status 101 `duplex` is the connection that speaks it; any other
    is an ordinary answer, `excerpt` the beginning of its body. `headers` have lower-case names.
    """

    @property
    def status(self) -> int:
        """The HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers."""

    @property
    def duplex(self) -> Duplex | None:
        """The connection, if the server agreed."""

    def excerpt(self) -> bytes:
        """As much of the body as an error message may need."""


class Way(Protocol):
    """A proxy that leads to a server."""

    @property
    def url(self) -> str:
        """Its URL, with user and password if it has them."""

    @property
    def label(self) -> str:
        """How an error names it: without the password, and with where it came from."""


class NativeCall(Protocol):
    """
    All that a native provider may use of the world. `sleep` and `remaining` keep the deadlines of the call: they
    raise `TimedOut` when one has passed.
    """

    @property
    def key(self) -> str | None:
        """The provider's key, if it has one."""

    @property
    def base_url(self) -> str | None:
        """The configured base URL."""

    @property
    def timeouts(self) -> Timeouts:
        """The four timeouts, for libraries that want to be told."""

    @property
    def stream(self) -> bool:
        """Whether the answer is wanted in pieces."""

    def sleep(self, seconds: float) -> None:
        """Wait; raises `TimedOut` as soon as a deadline passes."""

    def remaining(self) -> float | None:
        """
        Seconds until the current deadline, `None` for ever; raises `TimedOut` when it has passed, and `NetworkFailed`
        when the answer was abandoned. Who waits in short slices and asks before each ends soon after Ctrl-C.
        """

    def kept_alive(self) -> None:
        """The service showed that it lives without saying anything: the wait may take longer, but not for ever."""

    def abandon(self) -> None:
        """Nobody waits for the answer any more: for who keeps a provider in another thread. It stops waiting."""

    def open(self, request: HttpRequest) -> AbstractContextManager[Opened]:
        """
        Ask a server to change the protocol (`Connection: Upgrade`); leaving the block closes the connection. Names,
        proxies, TLS, the configured headers and deadlines are seen to; a redirect and what is no HTTP are errors.
        """

    def trusted(self) -> Sequence[str]:
        """The files and hashed directories of certificates to trust, for libraries that do TLS by themselves."""

    def proxy(self, url: str) -> Way | None:
        """The proxy that leads to a URL, for libraries that connect by themselves; `None`: straight there."""

    def log(self, event: str, /, **fields: object) -> None:
        """Say something to the log (`--verbose`, `--log-file`); redacted there."""


class NativeProvider(Provider):
    """WebSocket, gRPC, a model in this process: performs by itself and yields events, `Finish` last."""

    @abstractmethod
    def stream(self, request: ChatRequest, call: NativeCall) -> Iterator[Event]:
        """Perform the request and yield its events. Closing the generator cancels it."""

    def models(self, call: NativeCall) -> Iterable[Model]:
        """The models there are."""
        return [Model(name) for name in self.known_models]

    def health_check(self, call: NativeCall) -> None:
        """Return if the provider can be used; raise the error that says why not."""
