"""
Bytes to records, however the bytes were cut. Layer 0: knows only errors and types.

A framing is push-based: `feed(bytes)` returns the records that became complete, `end()` those that the end of the
body completes. A million one-byte chunks cost linear time, because only new bytes are searched. `keep_alives` grows
with what a server sends only to show that it lives (SSE comments, blank lines, empty records).
"""

import json
import re
from collections.abc import Iterator
from math import inf
from typing import ClassVar, NamedTuple, NoReturn, Protocol

from llmcli.errors import ProviderFailed
from llmcli.types import Json

RECORD_LIMIT = 16 * 1024 * 1024  # bytes; no API sends a longer event, and a server must not fill our memory
_RETRY_DIGITS = 18  # of milliseconds; Python refuses to read numbers of thousands of digits
_BOM = b"\xef\xbb\xbf"
_SHOWN = 40  # characters of a malformed record that an error message shows before the place, and as many after it


class Record(NamedTuple):
    """One record of a stream: its data, and the name of its SSE event if it had one."""

    data: str
    event: str = "message"


class Framing(Protocol):
    """What the driver needs of a framing. One object serves one body."""

    whole_starts: ClassVar[bytes]  # a body that starts with one of these bytes is no stream but a whole answer
    plain: ClassVar[bool]  # the records may hold any text, so that what a body begins with tells nothing about it
    keep_alives: int

    def feed(self, chunk: bytes) -> list[Record]:
        """Take the next bytes of the body and return the records that they complete."""

    def end(self) -> list[Record]:
        """The body has ended; return what its end completes."""


# --- JSON -----------------------------------------------------------------------------------------


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number in (inf, -inf):  # which our own JSON could not say
        raise ValueError("a number is too large")
    return number


def json_decoder(*, strict: bool = True) -> json.JSONDecoder:
    """A decoder of JSON as the standard has it: no NaN, no infinity. Unless `strict`, texts may hold raw newlines."""
    return json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite, strict=strict)


_decoder = json_decoder()
_decode, _raw_decode = _decoder.decode, _decoder.raw_decode


def parse_json(text: str) -> object:
    """
    Parse one JSON document strictly: no NaN, no endless nesting. Raises `ProviderFailed` with the place and what
    stood there, never with the whole text.
    """
    try:
        if text[:1] == "{":  # nearly every record; a fifth faster than looking for blanks around it
            document, end = _raw_decode(text)
            if end == len(text):
                return document
        return _decode(text)
    except (ValueError, RecursionError) as exc:
        raise malformed(text, exc) from None


def parse_json_stream(text: str) -> Iterator[object]:
    """
    Parse the JSON documents that stand in one record (some relays glue two events together). A blank record has none.
    """
    position = _after_blanks(text, 0)
    while position < len(text):
        try:
            document, position = _raw_decode(text, position)
        except (ValueError, RecursionError) as exc:
            raise malformed(text, exc) from None
        yield document
        position = _after_blanks(text, position)


def _after_blanks(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


def malformed(text: str, exc: Exception) -> ProviderFailed:
    """
    The error for a record that is not JSON: the offset, where it is known, and at most 80 escaped characters around
    it, with `…` where more was cut off.
    """
    if isinstance(exc, json.JSONDecodeError):
        reason, offset, place = exc.msg, exc.pos, f" at character {exc.pos}"
    else:
        reason, offset, place = str(exc).split(":")[0], 0, ""
    if isinstance(exc, RecursionError):
        reason = "nested too deeply"
    before = _escaped(text[max(0, offset - _SHOWN - 1) : offset])
    after = _escaped(text[offset : offset + _SHOWN + 1])
    if len(before) > _SHOWN:
        before = "…" + before[-_SHOWN:]
    if len(after) > _SHOWN:
        after = after[:_SHOWN] + "…"
    return ProviderFailed(f"malformed JSON from the provider{place} ({reason}): {before}{after}")


def _escaped(text: str) -> str:
    return text.encode("unicode_escape").decode("ascii")


def as_object(value: object) -> dict[str, Json]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_text(value: object) -> str:
    """The value if it is text, else an empty one."""
    return value if isinstance(value, str) else ""


def parse_object(text: str) -> dict[str, Json] | None:
    """The JSON object that a text is (the arguments of a tool call), or `None` if it is none."""
    try:
        document = parse_json(text)
    except ProviderFailed:
        return None
    return document if isinstance(document, dict) else None


def decode_body(body: bytes) -> str:
    """The text of a whole body: UTF-8 without its BOM, with U+FFFD for what is not UTF-8."""
    return body.removeprefix(_BOM).decode("utf-8", "replace")


# --- lines ----------------------------------------------------------------------------------------


class _Pieces:
    """The bytes of one record that wait for its end, joined only once. More than `RECORD_LIMIT` are refused."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def add(self, piece: bytes) -> None:
        """These bytes belong to the record; more will come."""
        self._size += len(piece)
        if self._size > RECORD_LIMIT:
            raise _too_long()
        self._pieces.append(piece)

    def take(self, piece: bytes = b"") -> bytes:
        """The whole record, of which `piece` is the end."""
        if self._size + len(piece) > RECORD_LIMIT:
            raise _too_long()
        if not self._pieces:
            return piece
        self._pieces.append(piece)
        whole = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        return whole


def _too_long() -> ProviderFailed:
    return ProviderFailed(f"one event of the stream is longer than {RECORD_LIMIT // 2**20} MB")


class SSE:
    """
    Server-sent events (WHATWG HTML 9.2.5-9.2.6), with two deviations that model servers need: at a clean end an event
    without its last blank line is dispatched if it is `[DONE]` or complete JSON, and a field named `error` is an
    event of that name.
    """

    whole_starts: ClassVar[bytes] = b"{["
    plain: ClassVar[bool] = False

    def __init__(self) -> None:
        self.keep_alives = 0
        self.last_event_id = ""
        self.retry: int | None = None
        self._tail = _Pieces()
        self._swallow_lf = False
        self._at_start = True
        self._data: list[str] = []
        self._data_size = 0
        self._event = ""

    def feed(self, chunk: bytes) -> list[Record]:
        """See `Framing.feed`. Lines end in CRLF, LF or a lone CR, and in nothing else."""
        if self._swallow_lf and chunk:
            self._swallow_lf = False
            chunk = chunk.removeprefix(b"\n")
        if b"\n" not in chunk and b"\r" not in chunk:
            if chunk:
                self._tail.add(chunk)
            return []
        lines = chunk.splitlines()  # bytes split at CR and LF only
        lines[0] = self._tail.take(lines[0])
        last = chunk[-1]
        if last == 13:
            self._swallow_lf = True
        elif last != 10:
            self._tail.add(lines.pop())
        return self._read(lines)

    def end(self) -> list[Record]:
        """See `Framing.end`."""
        records = self._read([self._tail.take()]) if self._tail else []
        data = "\n".join(self._data)
        if data.strip() == "[DONE]" or _is_json(data):
            records += self._read([b""])
        return records

    def _read(self, lines: list[bytes]) -> list[Record]:
        if self._at_start:
            self._at_start = False
            lines[0] = lines[0].removeprefix(_BOM)
        records: list[Record] = []
        data = self._data
        for line in lines:
            if line[:6] == b"data: ":  # nearly every line is this or blank
                self._data_size += len(line) + 1
                if self._data_size > RECORD_LIMIT:
                    raise _too_long()
                data.append(line[6:].decode("utf-8", "replace"))
            elif line:
                self._field(line, records)
            elif data:
                records.append(Record("\n".join(data), self._event or "message"))
                data.clear()
                self._data_size = 0
                self._event = ""
            else:
                self._without_data(records)
                self._event = ""
        return records

    def _without_data(self, records: list[Record]) -> None:
        """An event without data is none by the standard; a place for protocols that have one all the same."""
        self.keep_alives += 1

    def _field(self, line: bytes, records: list[Record]) -> None:
        field, colon, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if field == b"data":
            self._data_size += len(line) + 1
            if self._data_size > RECORD_LIMIT:
                raise _too_long()
            self._data.append(value.decode("utf-8", "replace"))
        elif not field and colon:
            self.keep_alives += 1
        elif field == b"event":
            self._event = value.decode("utf-8", "replace")
        elif field == b"id":
            if b"\0" not in value:
                self.last_event_id = value.decode("utf-8", "replace")
        elif field == b"retry":
            if value.isdigit() and len(value) <= _RETRY_DIGITS:
                self.retry = int(value)
        elif field == b"error":
            # Builds of llama.cpp through 2025 wrote `error: {...}`, a field that the standard does not know.
            records.append(Record(value.decode("utf-8", "replace"), "error"))


class JsonLines:
    """JSON lines (NDJSON): records end in LF; a CR before it, blank lines and RS prefixes (RFC 7464) are dropped."""

    whole_starts: ClassVar[bytes] = b""
    plain: ClassVar[bool] = False

    def __init__(self) -> None:
        self.keep_alives = 0
        self._tail = _Pieces()
        self._at_start = True

    def feed(self, chunk: bytes) -> list[Record]:
        """See `Framing.feed`."""
        if b"\n" not in chunk:
            if chunk:
                self._tail.add(chunk)
            return []
        *lines, rest = chunk.split(b"\n")
        records = [record for line in lines if (record := self._record(self._tail.take(line)))]
        if rest:
            self._tail.add(rest)
        return records

    def end(self) -> list[Record]:
        """See `Framing.end`. The last line may lack its LF."""
        record = self._record(self._tail.take()) if self._tail else None
        return [record] if record else []

    def _record(self, line: bytes) -> Record | None:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        line = line.removesuffix(b"\r").lstrip(b"\x1e")
        if not line.strip():
            self.keep_alives += 1
            return None
        return Record(line.decode("utf-8", "replace"))


class JsonArray:
    """
    One JSON array that arrives element by element (Gemini without `alt=sse`); each element is a record. What stands
    outside the array is no element, unless it is another array.
    """

    whole_starts: ClassVar[bytes] = b"{"
    plain: ClassVar[bool] = False
    _SIGNS = rb'[\\"{}\[\],]'  # JSON's own signs are ASCII, so bytes can be scanned undecoded

    def __init__(self) -> None:
        self.keep_alives = 0
        self._tail = _Pieces()
        self._depth = 0
        self._in_string = False
        self._escaped_at = -1  # the position of the byte after a backslash
        self._closed = False

    def feed(self, chunk: bytes) -> list[Record]:
        """See `Framing.feed`. Every byte is looked at once."""
        records: list[Record] = []
        start = 0
        for sign in re.finditer(self._SIGNS, chunk):
            position, byte = sign.start(), sign.group()
            if self._in_string:
                if position == self._escaped_at:
                    continue
                if byte == b"\\":
                    self._escaped_at = position + 1
                elif byte == b'"':
                    self._in_string = False
            elif self._depth == 0:
                if byte == b"[":
                    self._depth = 1
                    self._closed = False
                    start = position + 1
            elif byte == b'"':
                self._in_string = True
            elif byte in b"[{":
                self._depth += 1
            elif byte in b"]}":
                self._depth -= 1
                if self._depth == 0:
                    self._element(chunk[start:position], records)
                    self._closed = True
                elif self._depth == 1:  # its comma may come only with the next one
                    self._element(chunk[start : position + 1], records)
                    start = position + 1
            elif self._depth == 1:
                self._element(chunk[start:position], records)
                start = position + 1
        if self._depth and start < len(chunk):
            self._tail.add(chunk[start:])
        self._escaped_at -= len(chunk)
        return records

    def end(self) -> list[Record]:
        """See `Framing.end`. Without its closing bracket the array was cut."""
        if not self._closed:
            raise ProviderFailed("the JSON array of the answer was never closed")
        return []

    def _element(self, piece: bytes, records: list[Record]) -> None:
        element = self._tail.take(piece).strip()
        if element:
            records.append(Record(element.decode("utf-8", "replace")))


class Delimiter:
    """
    Records that end in a delimiter of one or more bytes (`\\0`, `---`, `|||`). A record may be blank, because a blank
    piece of text is text; who reads JSON skips it.
    """

    whole_starts: ClassVar[bytes] = b""
    plain: ClassVar[bool] = True

    def __init__(self, delimiter: bytes) -> None:
        if not delimiter:
            raise ValueError("the delimiter is empty")
        self.keep_alives = 0
        self._delimiter = delimiter
        self._tail = _Pieces()
        self._held = b""  # the last len(delimiter) - 1 bytes, which may be the start of a delimiter

    def feed(self, chunk: bytes) -> list[Record]:
        """See `Framing.feed`."""
        window = self._held + chunk
        *parts, rest = window.split(self._delimiter)
        records = [record for part in parts if (record := self._record(part))]
        keep = min(len(self._delimiter) - 1, len(rest))
        self._held = rest[len(rest) - keep :]
        if settled := rest[: len(rest) - keep]:
            self._tail.add(settled)
        return records

    def end(self) -> list[Record]:
        """See `Framing.end`. What follows the last delimiter is a record too."""
        whole = self._tail.take(self._held)
        self._held = b""
        return [Record(whole.decode("utf-8", "replace"))] if whole else []

    def _record(self, part: bytes) -> Record | None:
        whole = self._tail.take(part)
        if not whole:
            self.keep_alives += 1
            return None
        return Record(whole.decode("utf-8", "replace"))


def _is_json(text: str) -> bool:
    try:
        _decode(text)
    except (ValueError, RecursionError):
        return False
    return True
