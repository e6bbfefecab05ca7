"""
Writers of events: text, markdown, json, jsonl; and the places that they write to. Layer 1: knows types and errors.

stdout is the answer and nothing else. What is piped is exactly the model's text, flushed as it arrives; rendering,
colour and escaping happen on a terminal only.
"""

import io
import json
import os
import re
import select
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

from llmcli import signals
from llmcli.errors import LlmError, OutputFailed, WrongForm
from llmcli.types import (
    Event,
    Finish,
    Json,
    Reply,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    Usage,
)

JSON_VERSION = 1  # of the documents of --json and --jsonl; see docs/output.md
_LAST_SEQUENCES = re.compile(rb"(?:\x1b\[[?\d;]*[A-Za-z])+$")  # what a drawing ends with
_FLUSH_AT = 64 * 1024  # bytes; a small compressed piece of an answer may hold very much text


class ReaderGone(BaseException):
    """Nobody reads our stdout any more (`| head -1`). No error: the process ends by SIGPIPE, silently."""


# --- where to write -------------------------------------------------------------------------------


class Place(Protocol):
    """Where a writer writes. `tty` says that a person reads it."""

    @property
    def tty(self) -> bool:
        """Whether it is a terminal."""

    @property
    def terminal(self) -> "Terminal | None":
        """The terminal, if what was written to it can be drawn anew."""

    def write(self, data: bytes) -> None:
        """Take it, to be written at the next `flush` at the latest. Raises what `flush` raises."""


class Drawing(Protocol):
    """What changes on a terminal while it is looked at. It is brought up to date when all is about to be flushed."""

    def draw(self) -> None:
        """Write what is to be seen now."""


class Terminal(Protocol):
    """A terminal on which a drawing is kept up to date."""

    drawing: Drawing | None

    def size(self) -> tuple[int, int]:
        """Its columns and lines."""

    def stops(self) -> int:
        """How often others may have written to it, because we were stopped."""


class Sink(Place, Protocol):
    """
    A place for the answer, which is kept or not.

    What arrives together is written together: a sink keeps what it is given until `flush`, which the driver calls
    before it waits for anything. So text is out before we wait, and a burst of tokens is one write.
    """

    @property
    def written(self) -> int:
        """The bytes that are out."""

    def flush(self) -> None:
        """Write all of it, now. Raises `OutputFailed` or `ReaderGone`."""

    def commit(self) -> None:
        """The answer is complete. Raises `OutputFailed` if the last bytes cannot be kept."""

    def abort(self) -> None:
        """The answer is not complete; keep what there is without passing it off as whole. Raises nothing."""


class _Descriptor:
    """
    A file descriptor without any buffering but ours. Every partial write, full pipe and error is met here, so that
    nothing is lost between us and the kernel.
    """

    terminal: Terminal | None = None

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._waiting = bytearray()
        self.written = 0
        self.drawing: Drawing | None = None

    def write(self, data: bytes) -> None:
        """See `Place`."""
        self._waiting += data
        if len(self._waiting) >= _FLUSH_AT:
            self.flush()

    def flush(self) -> None:
        """See `Sink`."""
        if self.drawing is None:
            self._write_out()
            return
        drawing, self.drawing = self.drawing, None  # which may write so much that it is flushed at once
        with signals.held():  # what is drawn by half, nobody can draw over
            drawing.draw()
            self._write_out()
            self.drawing = drawing

    def _write_out(self) -> None:
        """
        What is being written is forgotten first: when a signal comes meanwhile, nobody can tell how much of it is out,
        and it must not be written twice.
        """
        left, self._waiting = memoryview(self._waiting), bytearray()
        while left:
            try:
                count = os.write(self._fd, left)
            except BlockingIOError:  # a parent process has made the descriptor non-blocking
                poll = select.poll()
                poll.register(self._fd, select.POLLOUT)
                poll.poll()
                continue
            except OSError as exc:
                raise self._failed(exc) from exc
            left = left[count:]
            self.written += count

    def _failed(self, exc: OSError) -> BaseException:
        raise NotImplementedError


class Stdout(_Descriptor):
    """File descriptor 1."""

    def __init__(self, fd: int = 1) -> None:
        try:
            os.fstat(fd)
        except OSError:
            raise OutputFailed("stdout is closed") from None
        super().__init__(fd)
        self._amid_line = False
        self.tty = os.isatty(fd)
        if self.tty and all(os.get_terminal_size(fd)):  # somebody has said how large it is
            self.terminal = self

    def size(self) -> tuple[int, int]:
        """See `Terminal`. Of one that has gone any size will do: the next write fails."""
        with suppress(OSError):
            columns, lines = os.get_terminal_size(self._fd)
            if columns and lines:
                return columns, lines
        return 80, 24

    def stops(self) -> int:
        """See `Terminal`."""
        return signals.stops()

    def write(self, data: bytes) -> None:
        """See `Place`."""
        if self.tty:
            self._amid_line = not _LAST_SEQUENCES.sub(b"", data).endswith(b"\n")
        super().write(data)

    def _failed(self, exc: OSError) -> BaseException:
        if isinstance(exc, BrokenPipeError):
            return ReaderGone()
        return OutputFailed(f"cannot write to stdout: {exc.strerror}")

    def commit(self) -> None:
        """See `Sink`. Some file systems report a full disk only when the file is closed."""
        self.flush()
        try:
            os.close(self._fd)
        except OSError as exc:
            raise OutputFailed(f"cannot write to stdout: {exc.strerror}") from exc

    def abort(self) -> None:
        """See `Sink`. On a terminal the shell's prompt gets a line of its own."""
        with suppress(OutputFailed, ReaderGone):
            if self.tty and self._amid_line:
                self.write(b"\n")
            self.flush()


class Printed(io.RawIOBase):
    """What a library prints is written as an answer is, and fails like one. For an `io.TextIOWrapper`."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data: Any) -> int:
        """All of it, now."""
        self._sink.write(bytes(data))
        self._sink.flush()
        return len(data)


class OutputFile(_Descriptor):
    """
    `-o FILE`: a temporary file beside it, renamed when the answer is complete; a partial answer stays as FILE.part, one
    of another call does not.
    What is no regular file (a FIFO, /dev/null) is written to directly.
    """

    tty = False

    def __init__(self, path: str) -> None:
        self._path = os.path.realpath(path)
        self._temporary: str | None = None
        try:
            super().__init__(self._open(path))
        except OSError as exc:
            raise OutputFailed(f"cannot write {path}: {exc.strerror}") from exc

    def _open(self, path: str) -> int:
        mode = os.stat(path).st_mode if os.path.exists(path) else None
        if mode is not None and stat.S_ISDIR(mode):
            raise IsADirectoryError(21, "it is a directory")
        if mode is not None and not os.access(path, os.W_OK):
            raise PermissionError(13, "it is read-only")
        if mode is not None and not stat.S_ISREG(mode):
            return os.open(path, os.O_WRONLY)  # by the name that was given: that of a pipe in /dev/fd has no real path
        folder, name = os.path.split(self._path)
        temporary = os.path.join(folder, f".{name[:200]}.{os.getpid()}.tmp")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        self._temporary = temporary
        if mode is not None:
            os.fchmod(fd, stat.S_IMODE(mode))
        return fd

    def _failed(self, exc: OSError) -> BaseException:
        return OutputFailed(f"cannot write {self._path}: {exc.strerror}")

    def commit(self) -> None:
        """See `Sink`."""
        self.flush()
        try:
            os.close(self._fd)
            if self._temporary:
                os.replace(self._temporary, self._path)
                self._temporary = None
                self._forget_part()
        except OSError as exc:
            raise OutputFailed(f"cannot write {self._path}: {exc.strerror}") from exc

    def abort(self) -> None:
        """See `Sink`."""
        with suppress(OutputFailed):
            self.flush()
        if self._temporary is None:
            return
        with suppress(OSError):
            if os.path.getsize(self._temporary):
                os.replace(self._temporary, self._path + ".part")
            else:
                os.unlink(self._temporary)
                self._forget_part()

    def _forget_part(self) -> None:
        """What is left of an answer before this one is no part of this one."""
        with suppress(OSError):
            os.unlink(self._path + ".part")


# --- what a terminal may be shown -----------------------------------------------------------------

_CARETS = {code: f"^{chr(code + 64)}" for code in range(32) if code not in (9, 10)} | {0x7F: "^?"}
_ESCAPES: dict[int, str] = (
    _CARETS
    | {code: f"\\x{code:02x}" for code in range(0x80, 0xA0)}
    # Bidi controls reorder what a person reads; tag characters hide text. ZWJ and ZWNJ stay: emoji and Farsi need them.
    | {code: f"\\u{code:04x}" for code in (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))}
    | {code: f"\\U{code:08x}" for code in range(0xE0000, 0xE0080)}
)
# Markdown can name by its number (`&#x202e;`) what was not there to be escaped before; rich itself drops what is ASCII.
_ESCAPES_OF_ENTITIES = {code: shown for code, shown in _ESCAPES.items() if code > 0x7F}
_ESCAPES_IN_JSON = {code: json.dumps(chr(code))[1:-1] for code in _ESCAPES if code >= 0x7F}


def visible(text: str) -> str:
    """The text with control, bidi and tag characters shown rather than obeyed. Newline and tab stay."""
    return text.replace("\r\n", "\n").translate(_ESCAPES)


def one_line(text: str) -> str:
    """The same, on a single line, for messages that quote what came from outside."""
    return visible(" ".join(text.split()))


class Escaper:
    """`visible` for a stream: a CR at the end of a piece waits for the LF that may follow."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> str:
        """The next piece, as far as it can be shown."""
        text = self._held + text
        self._held = "\r" if text.endswith("\r") else ""
        return visible(text[:-1] if self._held else text)

    def end(self) -> str:
        """What was held back, when nothing follows."""
        return visible(self._held)


# --- the formats ----------------------------------------------------------------------------------


class Round(NamedTuple):
    """
    Among the events of an answer: the model asked for tools, and these are the results. What it said until then is
    `reply`; its answer comes behind this, or another round.
    """

    reply: Reply
    results: tuple[ToolResult, ...]


class Look(NamedTuple):
    """
    How the answer is shown: `raw` turns rendering and escaping off, `color` allows escape sequences of ours, and `live`
    says that nobody else writes to the terminal while an answer comes.
    """

    raw: bool = False
    color: bool = False
    width: int = 80
    live: bool = False


Writer = Callable[[Iterable[Event | Round], Place, Look, Callable[[], Reply]], None]


def write_text(events: Iterable[Event | Round], sink: Place, look: Look, reply: Callable[[], Reply]) -> None:
    """The model's text as it arrives: byte for byte, or with control characters shown when a terminal reads it."""
    if look.raw or not sink.tty:
        for event in events:
            if type(event) is TextDelta:
                sink.write(event.text.encode())
        return
    escaper = Escaper()
    last = ""
    for event in events:
        if type(event) is TextDelta and (shown := escaper.feed(event.text)):
            sink.write(shown.encode())
            last = shown
        elif type(event) is ToolCall and last:  # others write below what came
            shown = escaper.end()
            sink.write(shown.encode() if (shown or last).endswith("\n") else f"{shown}\n".encode())
            escaper, last = Escaper(), ""
    shown = escaper.end()
    if (shown or last) and not (shown or last).endswith("\n"):
        sink.write(f"{shown}\n".encode())


def write_markdown(events: Iterable[Event | Round], sink: Place, look: Look, reply: Callable[[], Reply]) -> None:
    """
    Markdown rendered: finished blocks are written once, and on a terminal that may be sent escape sequences the open
    one is drawn anew while it grows; elsewhere it is written when it is complete.
    """
    if look.raw:
        write_text(events, sink, look, reply)
        return
    from llmcli.markdown import Page, Rendering

    terminal = sink.terminal if look.color and look.live else None
    rendering = Rendering(color=look.color, harmless=_ESCAPES_OF_ENTITIES)
    if terminal is None:
        page = Page(sink.write, rendering, look.width)
    else:
        page = Page(sink.write, rendering, look.width, terminal.size, terminal.stops)
    escaper = Escaper()
    if terminal is not None:
        terminal.drawing = page
    try:
        for event in events:
            if type(event) is TextDelta:
                page.feed(escaper.feed(event.text))
            elif isinstance(event, (ThinkingDelta, ToolCallDelta, ToolCall)):  # others write below what came
                page.close()
    finally:
        if terminal is not None:
            terminal.drawing = None
        page.feed(escaper.end())  # of an answer that was cut, too, all is shown that came
        page.close()


def write_json(events: Iterable[Event | Round], sink: Place, look: Look, reply: Callable[[], Reply]) -> None:
    """One document when the answer is complete, and nothing when it never is."""
    rounds: list[Json] = [_round(event) for event in events if type(event) is Round]
    document = reply_document(reply())
    if rounds:
        metadata = document.pop("metadata")
        document |= {"rounds": rounds, "metadata": metadata}
    sink.write(_json_line(document))


def write_jsonl(events: Iterable[Event | Round], sink: Place, look: Look, reply: Callable[[], Reply]) -> None:
    """A line for each piece, `done: false`; the last has `done: true` and the metadata."""
    for event in events:
        if type(event) is TextDelta:
            sink.write(_json_line({"delta": event.text, "done": False}))
        elif type(event) is ThinkingDelta:
            sink.write(_json_line({"delta": "", "thinking": event.text, "done": False}))
        elif type(event) is ToolCall:
            sink.write(_json_line({"delta": "", "tool_call": _tool_call(event), "done": False}))
        elif type(event) is Round:
            for result in event.results:
                sink.write(_json_line({"delta": "", "tool_result": _tool_result(result), "done": False}))
    sink.write(
        _json_line({"version": JSON_VERSION, "delta": "", "done": True, "metadata": _metadata(reply())}),
    )


FORMATS: dict[str, Writer] = {
    "text": write_text,
    "markdown": write_markdown,
    "json": write_json,
    "jsonl": write_jsonl,
}


def reply_document(reply: Reply) -> dict[str, Json]:
    """The document of `--json`."""
    document: dict[str, Json] = {
        "version": JSON_VERSION,
        "role": reply.message.role,
        "content": reply.message.text,
        "tool_calls": [_tool_call(part) for part in reply.message.parts if isinstance(part, ToolCall)],
    }
    thinking = "".join(part.text for part in reply.message.parts if isinstance(part, Thinking))
    if thinking:
        document["thinking"] = thinking
    document["metadata"] = _metadata(reply)
    return document


def usage_document(usage: Usage | None) -> dict[str, Json]:
    """Token counts as JSON; the three that everybody has are always there, `null` when not told."""
    usage = usage or Usage()
    document: dict[str, Json] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
    if usage.cached_tokens is not None:
        document["cached_tokens"] = usage.cached_tokens
    if usage.reasoning_tokens is not None:
        document["reasoning_tokens"] = usage.reasoning_tokens
    return document


def _metadata(reply: Reply) -> dict[str, Json]:
    ours: dict[str, Json] = {
        "provider": reply.provider,
        "model": reply.model,
        "usage": usage_document(reply.usage),
        "finish_reason": reply.finish.reason,
        "raw_finish_reason": reply.finish.raw,
    }
    return {**ours, **reply.metadata, **ours}  # what the provider tells never replaces what we promise


def _tool_call(call: ToolCall) -> dict[str, Json]:
    document: dict[str, Json] = {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }
    return document if call.valid else {**document, "valid": False}


def _tool_result(result: ToolResult) -> dict[str, Json]:
    return {"id": result.id, "name": result.name, "content": result.content, "failed": result.failed}


def _round(told: Round) -> Json:
    """What the model said and asked for in one round, as in the document itself, and the results."""
    said = reply_document(told.reply)
    kept: dict[str, Json] = {name: said[name] for name in ("content", "thinking", "tool_calls") if name in said}
    return {**kept, "tool_results": [_tool_result(result) for result in told.results]}


def _json_line(document: Any) -> bytes:
    return (json_text(document) + "\n").encode("utf-8", "replace")


def json_text(document: Any) -> str:
    """A line of JSON in which nothing stands that a terminal would obey: JSON has escapes of its own for that."""
    text = json.dumps(document, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which only JSON's own escapes can say
        text = json.dumps(document)
    return text.translate(_ESCAPES_IN_JSON)


# --- other shapes ---------------------------------------------------------------------------------


def all_or_none(events: Iterable[Event | Round]) -> Iterator[Event | Round]:
    """The events, held back until there is text: where that is not of the form asked for, nothing may be written."""
    held: list[Event | Round] = []
    for event in events:
        held.append(event)
        if type(event) is TextDelta:
            break
    yield from held
    yield from events


def extract(events: Iterable[Event | Round]) -> Iterator[Event | Round]:
    """
    The events with the text reduced to the first fenced code block. The text is held back until the answer is
    complete; raises `WrongForm` when there is no such block.
    """
    pieces: list[str] = []
    for event in events:
        if type(event) is TextDelta:
            pieces.append(event.text)
        elif type(event) is Finish:
            yield TextDelta(first_code_block("".join(pieces)))
            yield event
        else:
            yield event


def first_code_block(text: str) -> str:
    """
    The inside of the first fenced code block, with its last newline and without the indent of its fence. Raises
    `WrongForm` when there is none, or none that is closed.
    """
    fence, indent = "", ""
    block: list[str] = []
    for line in re.findall(r"[^\n]*\n|[^\n]+", text):
        bare = line.rstrip("\r\n")
        if not fence:
            if opening := re.match(r"([ \t]*)(`{3,}(?=[^`]*$)|~{3,})", bare):
                indent, fence = opening.groups()
        elif re.fullmatch(rf"[ \t]*{fence}{fence[0]}*[ \t]*", bare):
            return "".join(block)
        else:
            block.append(line.removeprefix(indent))
    raise WrongForm("the answer has no complete fenced code block", hint="leave -x out to see the answer")


def error_document(error: LlmError) -> dict[str, Json]:
    """The JSON of an error, the last line of stderr with `--json` and `--jsonl`."""
    return {
        "error": {
            "code": error.status,
            "name": error.name,
            "message": error.message,
            "hint": error.hint,
            "provider": error.provider,
            "http_status": error.http_status,
            "request_id": error.request_id,
            "retryable": error.retryable,
            "retry_after": None if error.retry_after == float("inf") else error.retry_after,  # JSON has no infinity
            "bytes_out": error.bytes_out,
        }
    }


def error_line(error: LlmError) -> str:
    """`llmcli: what happened [provider=… http=… request_id=…]`, on one line."""
    facts = {"provider": error.provider, "http": error.http_status, "request_id": error.request_id}
    known = " ".join(f"{name}={one_line(str(value))}" for name, value in facts.items() if value is not None)
    return f"llmcli: {one_line(error.message)}" + (f" [{known}]" if known else "")
