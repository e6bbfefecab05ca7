"""
What keeps a plugin's mistakes its own. Layer 2: knows the contract.

A plugin's provider class gets a subclass (`guarded`) whose methods hand on what it says and look at each value: what it
raises that is no `LlmError`, and what it returns that the contract does not know, becomes an error that names the
plugin. What may block (an import, a native call) runs in a thread of its own, so that a deadline or Ctrl-C need not
wait for it. Built-in providers pay for none of this.
"""

import locale
import logging
import os
import re
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any, ClassVar, TypeVar, cast, get_args
from urllib.parse import urlsplit

from llmcli.errors import EXIT_STATUSES, BrokenPlugin, LlmError, ProviderFailed
from llmcli.framing import Framing, Record
from llmcli.provider import (
    ApiKey,
    Capabilities,
    ConfigKey,
    HTTPProvider,
    NativeCall,
    NativeProvider,
    Option,
    Provider,
    Reader,
    Setting,
)
from llmcli.signals import Interrupted
from llmcli.types import (
    ChatRequest,
    Event,
    Finish,
    FinishReason,
    HttpRequest,
    Json,
    Metadata,
    Model,
    ModelPage,
    ProviderConfig,
    TextDelta,
    ThinkingDelta,
    ThinkingEnd,
    ToolCall,
    ToolCallDelta,
    Usage,
)

_CLOSING = 1.0  # seconds that a guest has to close what it opened
_LAST_MOMENT = 0.5  # seconds that a guest has behind a deadline to say so itself
_LONGEST_QUOTE = 300  # characters of a guest's error or value that we show
_END = object()
_REQUEST = "an HttpRequest with an http URL, headers of texts and a body of bytes"

_T = TypeVar("_T")


def guarded(cls: type[Provider], whose: str, provider_id: str) -> type[Provider]:
    """
    The class of a guest with every method looked after. `whose` names the guest in messages; `provider_id` is what it
    was asked for by.

    Raises `BrokenPlugin` for a class that does not say of itself what the contract wants to know.
    """
    guards: dict[type, type] = {HTTPProvider: _HTTPGuest, NativeProvider: _NativeGuest}
    guard = next((guard for kind, guard in guards.items() if issubclass(cls, kind)), None)
    if guard is None:
        raise BrokenPlugin(f"the plugin {whose} has a class that is no HTTPProvider and no NativeProvider")
    _check_facts(cls, whose)
    return type(cls.__name__, (guard, cls), {"__module__": cls.__module__, "_llmcli_whose": whose, "id": provider_id})


# --- blame ----------------------------------------------------------------------------------------


def told(exc: BaseException) -> str:
    """The kind of an error and the first line of what it says."""
    try:
        lines = str(exc).strip().splitlines()
    except Exception:  # a stranger's __str__
        lines = []
    return f"{type(exc).__name__}: {lines[0][:_LONGEST_QUOTE]}" if lines else type(exc).__name__


def place(exc: BaseException) -> str:
    """The file and line that raised an error."""
    trace = exc.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "a place that is not known"
    return f"{os.sep.join(trace.tb_frame.f_code.co_filename.split(os.sep)[-2:])}, line {trace.tb_lineno}"


def failed(whose: str, method: str, exc: BaseException) -> ProviderFailed:
    """The error for what a guest raised and should not have."""
    return ProviderFailed(
        f"the plugin {whose} failed in {method}(): {told(exc)}", hint=f"in {place(exc)}", retryable=False
    )


@contextmanager
def _blamed(whose: str, method: str) -> Iterator[None]:
    """Whatever is raised here is the guest's own, unless it is one of our errors or a signal."""
    try:
        yield
    except (Interrupted, GeneratorExit):
        raise
    except BaseException as exc:
        if _is_error(exc):
            raise
        raise failed(whose, method, exc) from exc


def _is_error(value: object) -> bool:
    """Whether a value is an error that can be shown and acted on; one without an exit status of its own is none."""
    return (
        isinstance(value, LlmError)
        and value.status in EXIT_STATUSES
        and value.status not in (0, LlmError.status)
        and isinstance(value.message, str)
        and _all_text(text for text in (value.hint, value.provider, value.request_id) if text is not None)
        and all(isinstance(number, int | float | None) for number in (value.http_status, value.retry_after))
    )


def _wrong(whose: str, method: str, value: object, expected: str) -> ProviderFailed:
    return ProviderFailed(f"the plugin {whose} returned {_shown(value)} from {method}(), expected {expected}",
                          retryable=False)  # fmt: skip


def _said(whose: str, method: str, value: _T, fits: Callable[[_T], bool], expected: str) -> _T:
    """The value, which is what the contract promises."""
    with _blamed(whose, method):  # looking at a stranger's value may run his code
        good = fits(value)
    if not good:
        raise _wrong(whose, method, value, expected)
    return value


def _shown(value: object) -> str:
    """An event with a wrong field is shown whole, any other value by its type: a request would show the key."""
    if value is None or type(value) not in _EVENTS:
        return "None" if value is None else type(value).__name__
    try:
        return repr(value)[:_LONGEST_QUOTE]
    except Exception:  # a stranger's __repr__
        return type(value).__name__


# --- what values must look like -------------------------------------------------------------------


def _all_text(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) for value in values)


def _text_or_none(value: object) -> bool:
    return value is None or isinstance(value, str)


def _texts(value: object) -> bool:
    return isinstance(value, tuple | list) and _all_text(value)


def _mapping_of(kind: type, fits: Callable[[Any], bool] = lambda value: True) -> Callable[[object], bool]:
    return lambda value: (
        isinstance(value, Mapping)
        and all(isinstance(name, str) and isinstance(inner, kind) and fits(inner) for name, inner in value.items())
    )


def _is_setting(value: Setting) -> bool:
    return all(number is None or isinstance(number, int | float) for number in value)


def _is_option(value: Option) -> bool:
    return isinstance(value.help, str) and _texts(value.choices)


def _is_config_key(value: ConfigKey) -> bool:
    return (
        isinstance(value.help, str)
        and _texts(value.env)
        and value.type in (str, int, float, bool, list, dict)
        and (value.keys is None or _mapping_of(ConfigKey, _is_config_key)(value.keys))
    )


def _json(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(name, str) and _json(inner) for name, inner in value.items())
    if isinstance(value, list | tuple):
        return all(map(_json, value))
    return value is None or isinstance(value, str | int | float)


def _json_object(value: object) -> bool:
    return isinstance(value, Mapping) and _json(value)


def _is_request(value: object) -> bool:
    return (
        isinstance(value, HttpRequest)
        and isinstance(value.method, str)
        and _is_url(value.url)
        and _mapping_of(str)(value.headers)
        and (value.body is None or isinstance(value.body, bytes))
    )


def _is_url(value: object) -> bool:
    if not isinstance(value, str) or re.fullmatch(r"https?://[!-~]+", value) is None:
        return False
    try:
        return bool(urlsplit(value).hostname)
    except ValueError:
        return False


def _is_model(value: object) -> bool:
    if not isinstance(value, Model) or not isinstance(value.id, str) or not _text_or_none(value.name):
        return False
    numbers = (value.context_length, value.max_output_tokens, value.created)
    return all(number is None or isinstance(number, int) for number in numbers) and _texts(value.capabilities)


def _is_page(value: object) -> bool:
    if not isinstance(value, ModelPage) or not isinstance(value.models, tuple | list):
        return False
    return all(map(_is_model, value.models)) and _text_or_none(value.next)


def _is_framing(value: Any) -> bool:
    return all(hasattr(value, name) for name in ("feed", "end", "keep_alives", "whole_starts", "plain"))


_EVENTS: Mapping[type, Callable[[Any], bool]] = {
    TextDelta: lambda event: isinstance(event.text, str),
    ThinkingDelta: lambda event: isinstance(event.text, str),
    ThinkingEnd: lambda event: _json_object(event.opaque),
    ToolCallDelta: _all_text,
    ToolCall: lambda event: _all_text(event[:3]) and isinstance(event.valid, bool) and _json_object(event.opaque),
    Usage: lambda event: all(count is None or isinstance(count, int) for count in event),
    Metadata: lambda event: _json_object(event.values),
    Finish: lambda event: event.reason in get_args(FinishReason) and _text_or_none(event.raw),
}

# What a provider says of itself: what each should be, in words and as a test.
_FACTS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "name": ("a text", lambda value: isinstance(value, str)),
    "default_base_url": ("a text or None", _text_or_none),
    "url_schemes": ("a tuple of texts", _texts),
    "base_url_env": ("a tuple of texts", _texts),
    "default_model": ("a text or None", _text_or_none),
    "api_key": (
        "an ApiKey whose env is a tuple of texts and whose other fields are texts",
        lambda value: isinstance(value, ApiKey) and _texts(value.env) and _all_text(value[2:]),
    ),
    "capabilities": ("a Capabilities", lambda value: isinstance(value, Capabilities)),
    "settings": ("a mapping of names to Setting, whose fields are numbers", _mapping_of(Setting, _is_setting)),
    "options": (
        "None or a mapping of names to Option, whose fields are texts",
        lambda value: value is None or _mapping_of(Option, _is_option)(value),
    ),
    "config_keys": (
        "a mapping of names to ConfigKey, whose help and env are texts and whose type is one that TOML has",
        _mapping_of(ConfigKey, _is_config_key),
    ),
    "attachments": ("a mapping of media types to numbers of bytes", _mapping_of(int)),
    "attachment_urls": ("True or False", lambda value: isinstance(value, bool)),
    "json_mode": ("True or False", lambda value: isinstance(value, bool)),
    "known_models": ("a tuple of texts", _texts),
    "quirks": ("a tuple of texts", _texts),
}


def _check_facts(provider: object, whose: str) -> None:
    for name, (expected, fits) in _FACTS.items():
        value = getattr(provider, name)
        if not fits(value):
            raise BrokenPlugin(f"the plugin {whose} has {name} = {_quoted(value)}, which should be {expected}")


def _quoted(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


def _checked(whose: str, method: str, events: object) -> Iterator[Event]:
    """The events of a guest, each of which is looked at."""
    iterator = _iterator(whose, method, events)
    while True:
        with _blamed(whose, method):
            event = next(iterator, _END)
            fits = _EVENTS.get(type(event))
            good = fits is not None and fits(event)
        if event is _END:
            return
        if not good:
            raise _wrong(whose, method, event, "an event" if fits is None else "one whose fields are right")
        yield cast(Event, event)


def _iterator(whose: str, method: str, events: object) -> Iterator[object]:
    if not isinstance(events, Iterable):
        raise _wrong(whose, method, events, "an iterator of events")
    with _blamed(whose, method):
        return iter(events)


# --- a thread of its own --------------------------------------------------------------------------


class Worker:
    """
    A thread that does one thing after another for us, and that nobody has to wait for: neither the end of the process
    nor a signal, which Python handles in the main thread only.
    """

    def __init__(self) -> None:
        self._wanted: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._done: SimpleQueue[tuple[object, BaseException | None]] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while (work := self._wanted.get()) is not None:
            try:
                self._done.put((work(), None))
            except BaseException as exc:
                self._done.put((None, exc))

    def do(self, work: Callable[[], _T], remaining: Callable[[], float | None]) -> _T:
        """
        Have something done and return or raise what comes of it. `remaining` says how many seconds there are, and
        raises when they are over; who keeps the deadlines too has a moment more to say so in its own words.
        """
        self._wanted.put(work)
        heard = None
        while heard is None:
            try:
                left = remaining()
            except Exception:
                heard = self._heard(_LAST_MOMENT)
                if heard is None:
                    raise
            else:
                heard = self._heard(left)
        value, error = heard
        if error is not None:
            raise error
        return cast(_T, value)

    def _heard(self, seconds: float | None) -> tuple[object, BaseException | None] | None:
        try:
            return self._done.get(timeout=seconds)
        except Empty:
            return None

    def leave(self, last: Callable[[], object] | None = None) -> None:
        """No more is wanted, but a last thing perhaps, which may take a moment; then we go on without the thread."""
        if last is not None:
            self._wanted.put(last)
        self._wanted.put(None)
        if last is not None:
            self._thread.join(_CLOSING)


# --- the process belongs to us --------------------------------------------------------------------

_one_guest_at_a_time = threading.RLock()


@contextmanager
def unchanged() -> Iterator[None]:
    """After a guest's code the current directory, the locale, signal handlers and the root logger are as before."""
    root = logging.getLogger()
    with _one_guest_at_a_time:
        directory, language = _directory(), locale.setlocale(locale.LC_ALL)
        handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
        level, outputs, filters, disabled = root.level, root.handlers[:], root.filters[:], root.manager.disable
        try:
            yield
        finally:
            if directory is not None and _directory() != directory:
                os.chdir(directory)
            locale.setlocale(locale.LC_ALL, language)
            for number, handler in handlers.items():
                if signal.getsignal(number) != handler and handler is not None:
                    signal.signal(number, handler)
            root.setLevel(level)
            root.handlers[:], root.filters[:], root.manager.disable = outputs, filters, disabled


def _directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # somebody has removed it
        return None


# --- the guarded provider -------------------------------------------------------------------------


class _Guest(Provider):
    """The methods of every provider; below it stands the guest's own class."""

    _llmcli_whose: ClassVar[str] = ""  # a name that no guest has for something of its own

    def __new__(cls, config: ProviderConfig) -> "_Guest":
        make: Any = super().__new__
        with _misconfigured(cls._llmcli_whose):
            return cast(_Guest, make(cls) if make is object.__new__ else make(cls, config))

    def __init__(self, config: ProviderConfig) -> None:
        with unchanged(), _misconfigured(self._llmcli_whose):
            super().__init__(config)
            if not isinstance(getattr(self, "config", None), ProviderConfig):
                raise BrokenPlugin(f"the plugin {self._llmcli_whose} does not call super().__init__(config)")
            _check_facts(self, self._llmcli_whose)

    def check(self, request: ChatRequest) -> None:
        with _blamed(self._llmcli_whose, "check"):
            super().check(request)

    @classmethod
    def resolve_base_url(cls, url: str) -> str:
        with _misconfigured(cls._llmcli_whose):
            resolved = super().resolve_base_url(url)
        if not isinstance(resolved, str):
            raise BrokenPlugin(f"the plugin {cls._llmcli_whose} makes {_shown(resolved)} of a base URL, not a text")
        return resolved


@contextmanager
def _misconfigured(whose: str) -> Iterator[None]:
    """A guest may refuse its configuration with an error of ours; any other is its own mistake."""
    try:
        yield
    except Interrupted:
        raise
    except BaseException as exc:
        if _is_error(exc):
            raise
        raise BrokenPlugin(f"the plugin {whose} cannot be configured: {told(exc)}", hint=f"in {place(exc)}") from exc


class _HTTPGuest(_Guest, HTTPProvider):
    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(config)
        if not _text_or_none(getattr(self, "base_url", 0)):
            raise BrokenPlugin(f"the plugin {self._llmcli_whose} has a base_url that is neither a text nor None")

    def chat_request(self, request: ChatRequest, *, stream: bool) -> HttpRequest:
        with _blamed(self._llmcli_whose, "chat_request"):
            wire = super().chat_request(request, stream=stream)  # type: ignore[safe-super]  # the guest's
        return _said(self._llmcli_whose, "chat_request", wire, _is_request, _REQUEST)

    def models_request(self, cursor: str | None = None) -> HttpRequest | None:
        with _blamed(self._llmcli_whose, "models_request"):
            wire = super().models_request(cursor)
        return _said(self._llmcli_whose, "models_request", wire, _is_request_or_none, f"{_REQUEST} or None")

    def health_request(self) -> HttpRequest | None:
        with _blamed(self._llmcli_whose, "health_request"):
            wire = super().health_request()
        return _said(self._llmcli_whose, "health_request", wire, _is_request_or_none, f"{_REQUEST} or None")

    def read_health(self, text: str) -> None:
        with _blamed(self._llmcli_whose, "read_health"):
            super().read_health(text)

    def authorize(self, request: HttpRequest, key: str) -> HttpRequest:
        with _blamed(self._llmcli_whose, "authorize"):
            wire = super().authorize(request, key)
        return _said(self._llmcli_whose, "authorize", wire, _is_request, _REQUEST)

    def framing(self) -> Framing:
        with _blamed(self._llmcli_whose, "framing"):
            framing = super().framing()
        _said(self._llmcli_whose, "framing", framing, _is_framing, "a framing")
        if type(framing).__module__ == "llmcli.framing":
            return framing
        return cast(Framing, _GuestFraming(framing, self._llmcli_whose))

    def reader(self, request: ChatRequest) -> Reader:
        with _blamed(self._llmcli_whose, "reader"):
            reader = super().reader(request)  # type: ignore[safe-super]  # the guest's
        _said(self._llmcli_whose, "reader", reader, lambda value: isinstance(value, Reader), "a Reader")
        return _GuestReader(reader, self._llmcli_whose)

    def read_models(self, document: object) -> ModelPage:
        with _blamed(self._llmcli_whose, "read_models"):
            page = super().read_models(document)
        return _said(self._llmcli_whose, "read_models", page, _is_page, "a ModelPage of Model")

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> LlmError:
        with _blamed(self._llmcli_whose, "read_error"):
            error = super().read_error(status, headers, body)
        return _said(self._llmcli_whose, "read_error", error, _is_error, "an LlmError with an exit status")

    def findings(self, record: Record, *, stream: bool) -> Mapping[str, Json]:
        with _blamed(self._llmcli_whose, "findings"):
            found = super().findings(record, stream=stream)
        return _said(self._llmcli_whose, "findings", found, _json_object, "a mapping of names to JSON")

    def adapt(self, request: ChatRequest, error: LlmError) -> ChatRequest | None:
        with _blamed(self._llmcli_whose, "adapt"):
            adapted = super().adapt(request, error)
        return _said(self._llmcli_whose, "adapt", adapted, _is_chat_request_or_none, "a ChatRequest or None")

    def url(self, path: str) -> str:
        with _blamed(self._llmcli_whose, "url"):
            url = super().url(path)
        return _said(self._llmcli_whose, "url", url, lambda value: isinstance(value, str), "a text")


def _is_chat_request_or_none(value: object) -> bool:
    return value is None or isinstance(value, ChatRequest)


def _is_request_or_none(value: object) -> bool:
    return value is None or _is_request(value)


class _GuestReader(Reader):
    """A guest's reader; its events are looked at."""

    def __init__(self, reader: Reader, whose: str) -> None:
        self._reader = reader
        self._whose = whose
        self.plain = bool(reader.plain)
        self.ends_with_body = bool(reader.ends_with_body)

    def _events(self, method: str, *args: Any) -> Iterator[Event]:
        with _blamed(self._whose, method):
            events = getattr(self._reader, method)(*args)
        for event in _checked(self._whose, method, events):
            self.complete = bool(self._reader.complete)
            yield event
        self.complete = bool(self._reader.complete)

    def feed(self, record: Record) -> Iterator[Event]:
        return self._events("feed", record)

    def whole(self, document: object) -> Iterator[Event]:
        return self._events("whole", document)

    def body(self, body: bytes) -> Iterator[Event]:
        return self._events("body", body)

    def end(self) -> Iterator[Event]:
        return self._events("end")


class _GuestFraming:
    """A framing of a guest's own; its records are looked at."""

    def __init__(self, framing: Framing, whose: str) -> None:
        self._framing = framing
        self._whose = whose
        self.whole_starts = framing.whole_starts
        self.plain = framing.plain
        self.keep_alives = 0

    def feed(self, chunk: bytes) -> list[Record]:
        """See `Framing`."""
        return self._records("feed", chunk)

    def end(self) -> list[Record]:
        """See `Framing`."""
        return self._records("end")

    def _records(self, method: str, *args: bytes) -> list[Record]:
        with _blamed(self._whose, f"framing().{method}"):
            records = getattr(self._framing, method)(*args)
            self.keep_alives = int(self._framing.keep_alives)
        if not isinstance(records, list) or not all(isinstance(record, Record) for record in records):
            raise _wrong(self._whose, f"framing().{method}", records, "a list of Record")
        return records


class _NativeGuest(_Guest, NativeProvider):
    def stream(self, request: ChatRequest, call: NativeCall) -> Iterator[Event]:
        """One event at a time is made in the guest's thread, while this one keeps the deadlines and hears signals."""
        start, worker = super().stream, Worker()  # type: ignore[safe-super]  # the guest's
        close: Callable[[], object] | None = None
        try:
            with _blamed(self._llmcli_whose, "stream"):
                events = worker.do(lambda: start(request, call), call.remaining)
            close = getattr(events, "close", None)
            iterator = _iterator(self._llmcli_whose, "stream", events)
            yield from _checked(self._llmcli_whose, "stream", _in_turn(iterator, worker, call))
        finally:
            call.abandon()
            worker.leave(close)

    def models(self, call: NativeCall) -> list[Model]:
        ask = super().models
        models = _apart(self._llmcli_whose, "models", lambda: list(ask(call)), call)
        for model in models:
            _said(self._llmcli_whose, "models", model, _is_model, "a Model")
        return models

    def health_check(self, call: NativeCall) -> None:
        ask = super().health_check
        _apart(self._llmcli_whose, "health_check", lambda: ask(call), call)


def _apart(whose: str, method: str, work: Callable[[], _T], call: NativeCall) -> _T:
    worker = Worker()
    try:
        with _blamed(whose, method):
            return worker.do(work, call.remaining)
    finally:
        call.abandon()
        worker.leave()


def _in_turn(events: Iterator[object], worker: Worker, call: NativeCall) -> Iterator[object]:
    """The events, each made by the worker when it is asked for."""
    return iter(lambda: worker.do(lambda: next(events, _END), call.remaining), _END)
