"""
Google's server-sent events: an error may stand among them as it is, without `data:`.
"""

import re

from llmcli.errors import ProviderFailed
from llmcli.framing import RECORD_LIMIT, SSE, Record

_JSON_LINE = re.compile(rb"(?<=[\r\n])[\[{]")  # no line of server-sent events begins like this
_BACKSLASH, _QUOTE = b'\\"'


class GeminiSSE(SSE):
    """
    Server-sent events, and JSON on lines of its own between them, from its first bracket to the one that closes it.

    When a stream fails after its status was sent, the error is written over several lines and without any framing
    (maximhq/bifrost#5262). A record of the event `error` holds it, as soon as it is whole.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last = b"\n"  # the byte before those that come
        self._json = bytearray()
        self._nesting = _Nesting()

    def feed(self, chunk: bytes) -> list[Record]:
        """See `Framing.feed`."""
        records: list[Record] = []
        window, place = self._last + chunk, len(self._last)
        self._last = window[-1:]
        while place < len(window):
            if not self._nesting:
                place = self._hand_on(window, place, records)
            if place < len(window):
                place = self._collect(window, place, records)
        return records

    def end(self) -> list[Record]:
        """See `Framing.end`. JSON that was cut is a record too: nobody can read it, and so it is an error."""
        return [self._record()] if self._json else super().end()

    def _hand_on(self, window: bytes, start: int, records: list[Record]) -> int:
        """Read server-sent events up to a line of JSON, and return where that begins."""
        found = _JSON_LINE.search(window, start)
        end = found.start() if found else len(window)
        records += super().feed(window[start:end])
        return end

    def _collect(self, window: bytes, start: int, records: list[Record]) -> int:
        """Read JSON up to its closing bracket, and return the place behind that."""
        end = self._nesting.follow(window, start)
        self._json += window[start:end]
        if len(self._json) > RECORD_LIMIT:
            raise ProviderFailed(f"an error in the stream is longer than {RECORD_LIMIT // 2**20} MB")
        if not self._nesting:
            records.append(self._record())
        return end

    def _record(self) -> Record:
        record = Record(self._json.decode("utf-8", "replace"), "error")
        self._json.clear()
        return record


class _Nesting:
    """The open brackets of JSON whose bytes go by. Those in strings do not count; true while one is open."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = False
        self._escaped = False

    def __bool__(self) -> bool:
        return self._depth > 0

    def follow(self, window: bytes, start: int) -> int:
        """Read on until nothing is open, and return the place behind that, or the end."""
        for place in range(start, len(window)):
            byte = window[place]
            if self._escaped:
                self._escaped = False
            elif self._in_string:
                self._escaped = byte == _BACKSLASH
                self._in_string = byte != _QUOTE
            elif byte == _QUOTE:
                self._in_string = True
            elif byte in b"[{":
                self._depth += 1
            elif byte in b"]}":
                self._depth -= 1
                if self._depth == 0:
                    return place + 1
        return len(window)
