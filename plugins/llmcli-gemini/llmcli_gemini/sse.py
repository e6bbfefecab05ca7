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
        self._last = b"\n"  # the byte before the next one
        self._json = bytearray()
        self._nesting = _Nesting()

    def feed(self, chunk: bytes) -> list[Record]:
        """See `Framing.feed`."""
        records: list[Record] = []
        while chunk:
            if not self._nesting:
                chunk = self._hand_on(chunk, records)
            if chunk:
                chunk = self._collect(chunk, records)
        return records

    def end(self) -> list[Record]:
        """See `Framing.end`. JSON that was cut is a record too: nobody can read it, and so it is an error."""
        return [self._record()] if self._json else super().end()

    def _hand_on(self, chunk: bytes, records: list[Record]) -> bytes:
        """Read server-sent events up to a line of JSON, and return what is left."""
        found = _JSON_LINE.search(self._last + chunk)
        place = found.start() - len(self._last) if found else len(chunk)
        records += super().feed(chunk[:place])
        self._last = chunk[-1:]
        return chunk[place:]

    def _collect(self, chunk: bytes, records: list[Record]) -> bytes:
        """Read JSON up to its closing bracket, and return what is left."""
        end = self._nesting.follow(chunk)
        self._json += chunk[:end]
        if len(self._json) > RECORD_LIMIT:
            raise ProviderFailed(f"an error in the stream is longer than {RECORD_LIMIT // 2**20} MB")
        if not self._nesting:
            records.append(self._record())
            self._last = chunk[end - 1 : end]
        return chunk[end:]

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

    def follow(self, chunk: bytes) -> int:
        """Read on until nothing is open, and return how many bytes that took, which may be all of them."""
        for place, byte in enumerate(chunk):
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
        return len(chunk)
