"""
A WebSocket over the connection that the core opens: messages in both directions, no threads, and our errors only.

The framing is that of the `websockets` library (its `ClientProtocol`, which does no I/O); names, proxies, TLS and
deadlines are the core's. Sources: RFC 6455, sections 5.4 (fragments), 5.5 (ping, pong, close) and 7.4 (close codes);
the IANA registry of close codes, read 2026-11.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from llmcli import http_errors
from llmcli.errors import LlmError, NetworkFailed, ProviderFailed
from llmcli.http_errors import ErrorBody
from llmcli.provider import Duplex, NativeCall, Opened
from llmcli.types import NOTHING, HttpRequest
from websockets.client import ClientProtocol
from websockets.exceptions import PayloadTooBig
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

Message = str | bytes
ErrorReader = Callable[[int, Mapping[str, str], bytes], LlmError]

MESSAGE_LIMIT = 16 * 1024 * 1024  # bytes of a message of the server
_NORMAL = 1000
_POLICY = 1008
_APPLICATION = 4000  # the first of the codes that an application may give a meaning of its own
_KEY_WORDS = r"(?i)auth|credential|forbidden|denied|permission|signature|\bkey\b|\btoken\b"
_DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)


class _Meaning(NamedTuple):
    """
    What a close code says, the HTTP status that it stands for (`None`: the connection was lost), and whether the
    server thereby says that asking again can help.
    """

    words: str
    status: int | None
    again: bool | None = None


_MEANINGS: Mapping[int, _Meaning] = {
    1000: _Meaning("normal closure", 200),
    1001: _Meaning("going away", None, again=True),
    1002: _Meaning("protocol error", 200),
    1003: _Meaning("cannot accept this kind of message", 200),
    1005: _Meaning("no code", None),
    1006: _Meaning("without a close frame", None),
    1007: _Meaning("invalid data", 200),
    1008: _Meaning("policy violation", 400),
    1009: _Meaning("message too big", 413),
    1010: _Meaning("extension required", 200),
    1011: _Meaning("internal error", 500, again=True),
    1012: _Meaning("service restart", None, again=True),
    1013: _Meaning("try again later", 503, again=True),
    1014: _Meaning("bad gateway", 502, again=True),
    1015: _Meaning("TLS failure", None),
}


@contextmanager
def connect(
    call: NativeCall,
    url: str,
    *,
    headers: Mapping[str, str] = NOTHING,
    subprotocols: Sequence[str] = (),
    read_error: ErrorReader = http_errors.read_error,
) -> Iterator["Connection"]:
    """
    A WebSocket to a URL (`ws://`, `wss://`); leaving the block closes it. `read_error` makes the error of an answer
    that declines the handshake with a status of 400 and above.
    """
    offered = [Subprotocol(each) for each in subprotocols] or None
    protocol = ClientProtocol(parse_uri(url), subprotocols=offered, max_size=MESSAGE_LIMIT)
    asked = {**dict(protocol.connect().headers.raw_items()), **headers}
    with call.open(HttpRequest("GET", url.replace("ws", "http", 1), asked)) as opened:
        if opened.duplex is None:
            raise _declined(opened, read_error)
        _check_handshake(protocol, opened.headers)
        connection = Connection(opened.duplex, protocol, call.kept_alive)
        try:
            yield connection
        finally:
            connection.close()


def _declined(opened: Opened, read_error: ErrorReader) -> LlmError:
    if opened.status >= 400:
        return read_error(opened.status, opened.headers, opened.excerpt())
    return ProviderFailed(
        "the server does not speak WebSocket at this address", http_status=opened.status, hint="check the base URL"
    )


def _check_handshake(protocol: ClientProtocol, headers: Mapping[str, str]) -> None:
    """Show the protocol the head of the answer, which the HTTP library has read, so that it is checked and open."""
    lines = [
        f"{name}: {value}\r\n"
        for name, value in headers.items()
        if name in ("connection", "upgrade") or name.startswith("sec-websocket-")
    ]
    protocol.receive_data(f"HTTP/1.1 101 Switching Protocols\r\n{''.join(lines)}\r\n".encode("latin-1"))
    protocol.events_received()
    if protocol.handshake_exc is not None:
        raise ProviderFailed(f"the server's handshake is not that of a WebSocket: {protocol.handshake_exc}")


class Connection:
    """
    An open WebSocket. `alive` is called when something arrived that is no message. `subprotocol` is the one that the
    server chose, if it chose one.
    """

    def __init__(self, duplex: Duplex, protocol: ClientProtocol, alive: Callable[[], None]) -> None:
        self._duplex = duplex
        self._protocol = protocol
        self._alive = alive
        self._messages: deque[Message] = deque()
        self._fragments: list[bytes] = []
        self._opcode = Opcode.TEXT  # of the message whose fragments these are
        self._closed = False

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the server chose."""
        return self._protocol.subprotocol

    @property
    def reason(self) -> str:
        """Why the server has closed the connection, in its own words; empty if it has none or has not closed it."""
        received = self._protocol.close_rcvd
        return received.reason if received else ""

    def send(self, message: Message) -> None:
        """Send a message: text, or binary. Raises the error of `receive` when the server has closed the connection."""
        self._check_open()
        self._put(message)
        self._flush()

    def receive(self) -> Message:
        """
        The next message; waits for it, and answers pings meanwhile.

        Raises an error that names the code and the reason when the server closes the connection instead, and
        `ProviderFailed` for what is no WebSocket or a message that is too long.
        """
        for message in self.messages():
            return message
        raise self.closed()

    def messages(self) -> Iterator[Message]:
        """
        The messages, until the server closes the connection normally (1000): which is the end of an answer only where
        an API says so. Raises what `receive` raises for anything else.
        """
        while True:
            while not self._messages:
                if self._closed_normally():
                    return
                self._check_open()
                self._flush()
                self._take(self._duplex.read())
            yield self._messages.popleft()

    def closed(self) -> LlmError:
        """The error for a connection that the server has closed."""
        received = self._protocol.close_rcvd
        return closed(received.code, received.reason) if received else closed(1006, "")

    def close(self, last: Message | None = None) -> None:
        """Take leave, with a last message if there is one. Waits a moment at most and never fails; once is enough."""
        if self._closed:
            return
        self._closed = True
        if self._protocol.state is OPEN:
            if last is not None:
                self._put(last)
            self._protocol.send_close(_NORMAL)
        self._duplex.part(b"".join(self._protocol.data_to_send()))

    def _put(self, message: Message) -> None:
        if isinstance(message, str):
            self._protocol.send_text(message.encode())
        else:
            self._protocol.send_binary(message)

    def _flush(self) -> None:
        """
        What is to be sent: our messages, and pongs. Only before the next message is waited for, so that a server that
        has gone after its last message takes nothing of it away.
        """
        for data in self._protocol.data_to_send():
            self._duplex.write(data)

    def _take(self, data: bytes) -> None:
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        frames = [frame for frame in self._protocol.events_received() if isinstance(frame, Frame)]
        for frame in frames:
            if frame.opcode in _DATA:
                self._assemble(frame)
        if frames and not self._messages:
            self._alive()

    def _assemble(self, frame: Frame) -> None:
        """A message may come in fragments, and control frames between them."""
        if frame.opcode is not Opcode.CONT:
            self._opcode = frame.opcode
        self._fragments.append(bytes(frame.data))
        if not frame.fin:
            return
        data = b"".join(self._fragments)
        self._fragments.clear()
        self._messages.append(_text(data) if self._opcode is Opcode.TEXT else data)

    def _check_open(self) -> None:
        """Raise what is wrong with a connection that is closed: our finding, or the server's code."""
        protocol = self._protocol
        if protocol.state is OPEN:
            return
        wrong = protocol.parser_exc
        if isinstance(wrong, PayloadTooBig):
            limit = MESSAGE_LIMIT // 1024 // 1024
            raise ProviderFailed(f"a message of the server is longer than {limit} MiB (1009)", retryable=False)
        if wrong is not None and not isinstance(wrong, EOFError):
            raise ProviderFailed(f"what the server sends is no WebSocket: {wrong}")
        raise self.closed()

    def _closed_normally(self) -> bool:
        received = self._protocol.close_rcvd
        return received is not None and received.code == _NORMAL and self._protocol.parser_exc is None


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ProviderFailed("a text message of the server is not UTF-8 (1007)") from None


def closed(code: int, reason: str) -> LlmError:
    """The error for a connection that the server closed while something was still to come."""
    meaning = _MEANINGS.get(code) or _application(code)
    said = f"{code} ({meaning.words})" + (f": {reason}" if reason else "")
    message = f"the WebSocket was closed before the end of the answer: {said}"
    status = meaning.status
    if code == _POLICY and (not reason or re.search(_KEY_WORDS, reason)):
        status = 403
    if status is None or "keepalive" in reason:
        return NetworkFailed(message, retry_ok=meaning.again)
    error = http_errors.classify(status, ErrorBody(reason, (reason,)), {})
    error.message, error.http_status, error.retry_ok = message, None, meaning.again
    return error


def _application(code: int) -> _Meaning:
    """Many applications add 4000 to the HTTP status that they mean (4401, 4429)."""
    status = code - _APPLICATION
    return _Meaning("the application's own code", status if 400 <= status < 600 else 200)
