"""
The driver: a provider, a request and a call become events. Layer 2: the only place that knows both kinds of provider
and the transport.

Retries, the first byte, deadlines and completeness exist here once. `answer` yields the events of one answer, `Finish`
last; `Fold` turns them into a `Reply`.
"""

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from itertools import chain
from typing import NamedTuple, TypeVar

from llmcli.deadlines import Deadlines
from llmcli.errors import (
    AuthenticationFailed,
    Incomplete,
    LlmError,
    NetworkFailed,
    OutputFailed,
    ProviderFailed,
    RequestRejected,
)
from llmcli.framing import decode_body
from llmcli.http_errors import WRONG_ADDRESS, request_id
from llmcli.provider import HTTPProvider, NativeProvider, Provider, Reader, with_headers
from llmcli.retry import RetryPolicy
from llmcli.transport import Log, Proxy, Response, Transport, no_log
from llmcli.types import (
    ChatRequest,
    Event,
    Finish,
    HttpRequest,
    Json,
    Message,
    Metadata,
    Part,
    Reply,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ThinkingEnd,
    Timeouts,
    ToolCall,
    ToolCallDelta,
    Usage,
)

_E = TypeVar("_E")
_CONTENT = (TextDelta, ThinkingDelta, ToolCallDelta, ToolCall)
_LONGEST_SLEEP = 10.0**7  # seconds; the system refuses an endless one
_BLANKS = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
_STREAM_STARTS = (b"data:", b"event:", b"id:", b"retry:", b":")
_API_STARTS = (*_STREAM_STARTS, b"{", b"[")  # whatever the content type says
_MOST_WAYS = 30  # to say one request; more are an adapter's mistake, which the kit finds at fewer


class Call(NamedTuple):
    """
    Everything that performing a request needs besides the request.

    `started` is the monotonic time that the total timeout counts from (only needed with one). `stream` is what the
    user said, `None` for "as the provider can". `note` says a line to a person, `log` tells the log. `key_source` says
    where the key came from. `before_wait` is called before the provider is waited for: the moment to write what came.
    `refused` is what the service has refused to be sent (`ChatRequest.without`), left with what this answer taught of
    it: handed to the next call, nothing is tried twice.
    """

    transport: Transport
    key: str | None = None
    timeouts: Timeouts = Timeouts()
    retry: RetryPolicy = RetryPolicy()
    started: float = 0.0
    stream: bool | None = None
    note: Callable[[str], None] = lambda line: None
    log: Log = no_log
    sleep: Callable[[float], None] = time.sleep
    key_source: str | None = None
    before_wait: Callable[[], None] = lambda: None
    refused: set[str] | None = None

    def left(self) -> float | None:
        """The seconds of the total timeout that are left, `None` where there is none."""
        return None if self.timeouts.total is None else self.started + self.timeouts.total - time.monotonic()


def answer(provider: Provider, request: ChatRequest, call: Call) -> Generator[Event, None, None]:
    """
    The events of one answer, `Finish` last and exactly once.

    Raises an `LlmError` that names the provider; `Incomplete` for whatever goes wrong after the first content event.
    Until then it asks again as the retry policy allows.
    """
    provider.check(request)
    request = request._replace(without=request.without.union(call.refused or ()))
    stream = streams(provider, call.stream)
    attempt, alike, ways, began = 1, 0, 1, False
    while True:
        held: list[Event] = []  # what is told before the first content; an attempt that fails has told nothing
        try:
            for event in _mended(_attempt(provider, request, call, stream=stream)):
                if type(event) is Finish and event.reason == "error":
                    raise ProviderFailed(f"the provider ended the answer with an error (finish reason {event.raw})")
                began = began or isinstance(event, _CONTENT)
                if began or type(event) is Finish:
                    yield from held
                    held.clear()
                    yield event
                else:
                    held.append(event)
            return
        except OutputFailed:  # by `before_wait`, whose failures are not the provider's
            raise
        except LlmError as exc:
            _place(exc, provider, call)
            if began:
                raise incomplete(exc) from exc
            error = exc
        adapted = _adapted(provider, request, error, stream=stream)
        if adapted is not None and ways < _MOST_WAYS:
            ways += 1
            call.log("adapted", without=sorted(adapted.without), message=error.message)
            request = adapted
            if call.refused is not None:
                call.refused.update(adapted.without)
            continue
        alike += error.retry_once
        _wait_to_retry(call, error, attempt, alike)
        attempt += 1


def _adapted(provider: Provider, request: ChatRequest, error: LlmError, *, stream: bool) -> ChatRequest | None:
    """
    The request as the provider says it in another way, if it has one. What was not sent, because the answer streams or
    an option of the user's stood in its place, cannot have been the matter: the next is looked for.
    """
    if not isinstance(provider, HTTPProvider):
        return None
    before = request
    for _ in range(_MOST_WAYS):
        adapted = provider.adapt(before, error)
        if adapted is None or not _leads_on(adapted, before):
            return None
        if provider.chat_request(adapted, stream=stream) != provider.chat_request(request, stream=stream):
            return adapted
        before = adapted
    return None


def _leads_on(adapted: ChatRequest, request: ChatRequest) -> bool:
    """
    Whether an adapted request says something less than the one before, or sets a limit where there was none. Any other
    could be refused and adapted for ever.
    """
    limited = request.max_tokens is None and adapted.max_tokens is not None
    return limited or not adapted.without <= request.without


def perform(provider: HTTPProvider, request: HttpRequest, call: Call) -> str:
    """Send a request that is no chat (a list of models) once, and return the text of its answer."""
    deadlines = Deadlines(call.timeouts, started=call.started)
    try:
        wire = prepared(provider, request, call.key)
        with call.transport.send(wire, deadlines) as response:
            if response.status >= 400:
                raise _with_request(
                    provider.read_error(response.status, response.headers, response.excerpt()), wire, response.status
                )
            text = decode_body(response.read()).strip()
            if text.startswith("<"):
                raise _web_page(response.status)
            return text
    except LlmError as exc:
        _place(exc, provider, call)
        raise


def _place(error: LlmError, provider: Provider, call: Call) -> None:
    """Say whose error it is, and whose key was not good enough."""
    error.provider = error.provider or provider.config.id
    if isinstance(error, AuthenticationFailed) and error.hint is None:
        error.hint = (
            f"the key came from {call.key_source}"
            if call.key_source
            else "no key was sent; --api-key-file FILE sends one"
        )


def prepared(provider: HTTPProvider, request: HttpRequest, key: str | None) -> HttpRequest:
    """The request as it goes out: with the configured headers, and the key in its place."""
    request = with_headers(request, provider.config.headers)
    return provider.authorize(request, key) if key else request


def streams(provider: Provider, wanted: bool | None) -> bool:
    """
    Whether the answer is asked for in pieces: as wanted, else as the provider can. Raises `RequestRejected` when it
    cannot.
    """
    if wanted and not provider.capabilities.stream:
        raise RequestRejected(f"{provider.config.id} cannot stream", hint="leave --stream out: the answer comes whole")
    return provider.capabilities.stream if wanted is None else wanted


def _wait_to_retry(call: Call, error: LlmError, attempt: int, alike: int) -> None:
    """Sleep before the next attempt, or raise the error because there is none. See `RetryPolicy.pause`."""
    pause = call.retry.pause(error, attempt, alike)
    if pause is None:
        raise error
    left = call.left()
    if left is not None and pause >= left:
        raise error
    most = attempt if error.retry_once else call.retry.retries
    call.note(f"{error.message}; trying again in {pause:.1f} s ({attempt} of {most})")
    call.log("retry", attempt=attempt, pause=round(pause, 3), error=error.name, message=error.message)
    call.sleep(pause)


def incomplete(error: LlmError) -> Incomplete:
    """What an error means once output began."""
    return Incomplete(
        f"the answer is incomplete: {error.message}",
        hint=error.hint,
        provider=error.provider,
        http_status=error.http_status,
        request_id=error.request_id,
        retry_after=error.retry_after,
    )


def _attempt(provider: Provider, request: ChatRequest, call: Call, *, stream: bool) -> Iterator[Event]:
    deadlines = Deadlines(call.timeouts, started=call.started)
    if isinstance(provider, HTTPProvider):
        return _over_http(provider, request, call, deadlines, stream=stream)
    if isinstance(provider, NativeProvider):
        return _natively(provider, request, call, deadlines, stream=stream)
    raise TypeError(f"{type(provider).__name__} is neither an HTTPProvider nor a NativeProvider")


# --- over HTTP ------------------------------------------------------------------------------------


def _over_http(
    provider: HTTPProvider, request: ChatRequest, call: Call, deadlines: Deadlines, *, stream: bool
) -> Iterator[Event]:
    wire = prepared(provider, provider.chat_request(request, stream=stream), call.key)
    with call.transport.send(wire, deadlines, call.before_wait) as response:
        if response.status >= 400:
            raise _with_request(
                provider.read_error(response.status, response.headers, response.excerpt()), wire, response.status
            )
        try:
            yield from _read(provider, request, response, deadlines, stream=stream)
        except LlmError as exc:
            exc.request_id = exc.request_id or request_id(response.headers)
            raise


def _with_request(error: LlmError, wire: HttpRequest, status: int) -> LlmError:
    """A wrong path is seen only by showing it, and so is a size that is too large."""
    if status in (404, 405) and type(error) is RequestRejected and error.hint in (None, WRONG_ADDRESS):
        error.hint = f"{WRONG_ADDRESS}; what was asked is {wire.method} {wire.url}"
    if status == 413:
        error.hint = f"{len(wire.body or b'')} bytes were sent"
    return error


def _read(
    provider: HTTPProvider, request: ChatRequest, response: Response, deadlines: Deadlines, *, stream: bool
) -> Iterator[Event]:
    """Read an answer that may be whole or in pieces, whatever was asked for and whatever its content type says."""
    reader, framing = provider.reader(request), provider.framing()
    chunks = response.chunks()
    plain = framing.plain if stream else reader.plain
    head = _raw_head(chunks) if plain else _first_bytes(chunks)
    if not head:
        raise ProviderFailed("the provider sent an empty answer", http_status=response.status)
    page = response.headers.get("content-type", "").startswith("text/html") and not head.startswith(_API_STARTS)
    if page or (head[:1] == b"<" and not plain):
        raise _web_page(response.status)
    if not stream if plain else head[:1] in framing.whole_starts or not (stream or head.startswith(_STREAM_STARTS)):
        whole = Response(response.status, {}, chain((head,), chunks))
        _check_end(response, needed=reader.plain)
        yield from reader.body(whole.read())
        return
    _check_end(response, needed=reader.ends_with_body)
    progress = _Progress(reader, deadlines)
    heard = head.startswith(_STREAM_STARTS)
    for chunk in _until_cut(chain((head,), chunks), progress):
        seen = framing.keep_alives
        records = framing.feed(chunk)
        heard = heard or bool(records)
        for record in records:
            for event in reader.feed(record):
                progress.saw(event)
                yield event
                if type(event) is Finish:
                    return
        progress.after(alive=bool(records) or framing.keep_alives > seen)
    for record in framing.end():
        heard = True
        for event in reader.feed(record):
            yield event
            if type(event) is Finish:
                return
    if not heard:
        raise ProviderFailed(f"got no API answer, but: {decode_body(head[:80])}", http_status=response.status)
    yield from _ended(reader)


def _until_cut(chunks: Iterator[bytes], progress: "_Progress") -> Iterator[bytes]:
    """The chunks; once the end marker was seen, a connection that is cut or stays open has only ended."""
    try:
        yield from chunks
    except (NetworkFailed, ProviderFailed):
        if not progress.complete:
            raise


def _web_page(status: int) -> ProviderFailed:
    return ProviderFailed(
        "got a web page, not an API answer", http_status=status, hint="check the base URL and the proxy"
    )


class _Progress:
    """
    Knows how far an answer is, and moves the deadline on after each chunk.

    `complete`: the end marker was seen, and nothing came behind it. Some servers send a finish reason with every piece
    of text; there it marks nothing.
    """

    def __init__(self, reader: Reader, deadlines: Deadlines) -> None:
        self._reader = reader
        self._deadlines = deadlines
        self._marked = False  # at the end of the last chunk
        self._marks_nothing = False
        self._began = False
        self._events = 0

    @property
    def complete(self) -> bool:
        return self._reader.complete and not self._marks_nothing

    def saw(self, event: Event) -> None:
        self._events += 1
        if isinstance(event, _CONTENT):
            self._began = True
            self._marks_nothing = self._marks_nothing or self._marked

    def after(self, *, alive: bool) -> None:
        """Until the first content the first-event timeout goes on, whatever else is told."""
        if self.complete:
            if not self._marked:
                self._deadlines.finishing()
        elif self._began and self._events:
            self._deadlines.progressed()
        elif alive:
            self._deadlines.kept_alive()
        self._marked = self._reader.complete
        self._events = 0


def _ended(reader: Reader) -> Iterator[Event]:
    """The last events of a stream. Without the protocol's end marker the answer is not complete."""
    for event in reader.end():
        yield event
        if type(event) is Finish:
            return
    raise ProviderFailed("the stream ended without its end marker")


def _check_end(response: Response, *, needed: bool) -> None:
    """Where nothing but the end of the body says that an answer is whole, that end must be told from a cut."""
    if needed and not {"content-length", "transfer-encoding"} & response.headers.keys():
        raise ProviderFailed(
            "nothing tells whether the answer is whole: its body has neither a length nor chunks",
            hint="an end marker in the stream would (`end` of its table)",
        )


def _raw_head(chunks: Iterator[bytes]) -> bytes:
    """The first bytes as they are."""
    return next((chunk for chunk in chunks if chunk), b"")


def _first_bytes(chunks: Iterator[bytes]) -> bytes:
    """
    The first bytes that say something: blank lines before a body are keep-alives, and a BOM is no content. What may
    still become the start of a stream is waited for.
    """
    head = b""
    for chunk in chunks:
        head = (head + chunk).lstrip(_BLANKS).removeprefix(_BOM).lstrip(_BLANKS)
        if head and not any(start.startswith(head) and start != head for start in (*_STREAM_STARTS, _BOM)):
            break
    return head


# --- natively -------------------------------------------------------------------------------------


class _Native(NamedTuple):
    """What a native provider is handed of a call."""

    key: str | None
    base_url: str | None
    timeouts: Timeouts
    stream: bool
    headers: Mapping[str, str]
    transport: Transport
    deadlines: Deadlines
    tell: Log

    def open(self, request: HttpRequest) -> AbstractContextManager[Response]:
        """See `NativeCall`."""
        return self.transport.send(with_headers(request, self.headers), self.deadlines)

    def trusted(self) -> Sequence[str]:
        """See `NativeCall`."""
        return self.transport.trusted()

    def proxy(self, url: str) -> Proxy | None:
        """See `NativeCall`."""
        return self.transport.proxy(url)

    def kept_alive(self) -> None:
        """See `NativeCall`."""
        self.deadlines.kept_alive()

    def abandon(self) -> None:
        """See `NativeCall`."""
        self.deadlines.abandon()

    def log(self, event: str, /, **fields: object) -> None:
        """See `NativeCall`."""
        self.tell(event, **fields)

    def remaining(self) -> float | None:
        """See `NativeCall`."""
        return self.deadlines.remaining()

    def sleep(self, seconds: float) -> None:
        """See `NativeCall`."""
        left = self.deadlines.remaining()
        if left is not None and left < seconds:
            time.sleep(left)
            raise self.deadlines.expired()
        time.sleep(min(seconds, _LONGEST_SLEEP))


def native_call(provider: Provider, call: Call, deadlines: Deadlines, *, stream: bool) -> _Native:
    """The part of a call that a native provider may use."""
    deadlines.waiting()
    config = provider.config
    return _Native(
        call.key, config.base_url, call.timeouts, stream, config.headers, call.transport, deadlines, call.log
    )


def _natively(
    provider: NativeProvider, request: ChatRequest, call: Call, deadlines: Deadlines, *, stream: bool
) -> Iterator[Event]:
    events = provider.stream(request, native_call(provider, call, deadlines, stream=stream))
    with closing(events):  # type: ignore[type-var]  # an iterator without close() fails the contract, visibly
        deadlines.remaining()
        for event in events:
            deadlines.remaining()
            yield event
            if type(event) is Finish:
                return
            call.before_wait()
            deadlines.progressed()
            deadlines.remaining()
    raise ProviderFailed("the provider ended without its end marker")


# --- text -----------------------------------------------------------------------------------------


def _mended(events: Iterator[Event]) -> Iterator[Event]:
    """
    Text that UTF-8 can hold: the two halves of a surrogate pair that came in two events are joined, a half that
    stays alone becomes U+FFFD, and empty pieces are dropped.
    """
    held = ""
    for event in events:
        if type(event) is TextDelta:
            text = event.text
            if held or not text.isascii():
                text, held = _joined(held + text)
                event = TextDelta(text)
            if not text:
                continue
        elif held:
            yield TextDelta("\ufffd")
            held = ""
        yield event


def _joined(text: str) -> tuple[str, str]:
    """The text with its surrogate pairs joined, and a high surrogate at its end that may still find its other half."""
    held = text[-1] if "\ud800" <= text[-1:] <= "\udbff" else ""
    if held:
        text = text[:-1]
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text, held


# --- the fold -------------------------------------------------------------------------------------


class Fold:
    """
    Turns the events that pass through `watch` into a `Reply`.

    With `keep=False` the text itself is forgotten as it passes, so that an answer of any length needs no memory;
    the reply's message is then empty and the rest of it is true.
    """

    def __init__(self, provider: str, model: str, *, keep: bool) -> None:
        self._provider = provider
        self._model = model
        self._keep = keep
        self._parts: list[Part] = []
        self._open: list[str] = []
        self._kind: type[TextDelta] | type[ThinkingDelta] = TextDelta
        self._usage: Usage | None = None
        self._metadata: dict[str, Json] = {}
        self._finish: Finish | None = None
        self.characters = 0
        self.first_event_at: float | None = None

    def watch(self, events: Iterator[_E]) -> Iterator[_E]:
        """The same events; the fold learns from each before it is handed on. What is none is only handed on."""
        for event in events:
            if self.first_event_at is None and isinstance(event, _CONTENT):
                self.first_event_at = time.monotonic()
            self._take(event)
            yield event

    def _take(self, event: object) -> None:
        if isinstance(event, (TextDelta, ThinkingDelta)):
            if type(event) is TextDelta:
                self.characters += len(event.text)
            if self._keep:
                if type(event) is not self._kind:
                    self._close()
                    self._kind = type(event)
                self._open.append(event.text)
        elif isinstance(event, ThinkingEnd):
            if self._keep:
                if self._kind is not ThinkingDelta:
                    self._close()  # a block of thinking whose text was withheld follows text
                self._close(event.opaque)
        elif isinstance(event, ToolCall):
            self._close()
            self._parts.append(event)
        elif isinstance(event, Usage):
            self._usage = event
        elif isinstance(event, Metadata):
            self._metadata.update(event.values)
        elif isinstance(event, Finish):
            self._close()
            self._finish = event

    def _close(self, opaque: Mapping[str, Json] | None = None) -> None:
        """The open part is complete. A block of thinking may have no text and still something to send back."""
        text = "".join(self._open)
        self._open.clear()
        if opaque is not None or (text and self._kind is ThinkingDelta):
            self._parts.append(Thinking(text, opaque or {}))
        elif text:
            self._parts.append(Text(text))
        self._kind = TextDelta

    @property
    def usage(self) -> Usage | None:
        """What is known about tokens so far."""
        return self._usage

    def reply(self) -> Reply:
        """The whole answer. Only after `Finish` passed."""
        if self._finish is None:
            raise ValueError("the answer is not complete")
        metadata = dict(self._metadata)
        model = metadata.pop("model", None)
        if "provider" in metadata:  # a router tells whom it asked; `provider` is ours
            metadata["upstream_provider"] = metadata.pop("provider")
        return Reply(
            Message("assistant", tuple(self._parts)),
            self._provider,
            model if isinstance(model, str) and model else self._model,
            self._finish,
            self._usage,
            metadata,
        )
