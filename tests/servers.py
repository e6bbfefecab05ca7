"""
Servers that misbehave to order, on real sockets. A script is a function that is handed the connection after the
request was read; it sends what it likes, byte by byte if it likes.
"""

import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Request:
    """A request as it was received. Header names are lower-case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Connection:
    """One connection of a client, after its request."""

    socket: socket.socket
    request: Request
    gone: threading.Event = field(default_factory=threading.Event)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def wait_until_gone(self) -> None:
        """Wait until the client closes the connection."""
        try:
            while self.socket.recv(65536):
                pass
        except OSError:
            pass
        self.gone.set()

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


Script = Callable[[Connection], None]


class Server:
    """A server that follows one script for each connection; the last is used for all that follow."""

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None, family: int = socket.AF_INET) -> None:
        self.requests: list[Request] = []
        self.connections: list[Connection] = []
        self.accepted = 0
        self._scripts = list(scripts)
        self._tls = tls
        host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
        self._socket = socket.create_server((host, 0), family=family, backlog=64)
        self.port: int = self._socket.getsockname()[1]
        self.host = f"[{host}]" if ":" in host else host
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The base URL, with /v1."""
        return f"{'https' if self._tls else 'http'}://{self.host}:{self.port}/v1"

    def close(self) -> None:
        # shutdown wakes the thread that waits in accept
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._handle, args=(client,), daemon=True).start()

    def _handle(self, client: socket.socket) -> None:
        try:
            if self._tls:
                client = self._tls.wrap_socket(client, server_side=True)
            request = read_request(client)
            if request is None:
                return
            number = len(self.requests)
            self.requests.append(request)
            connection = Connection(client, request)
            self.connections.append(connection)
            self._scripts[min(number, len(self._scripts) - 1)](connection)
        except OSError:
            pass
        finally:
            client.close()


def read_request(client: socket.socket) -> Request | None:
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = client.recv(65536)
        if not chunk:
            return None
        data += chunk
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = bytearray(rest)
    while len(body) < int(headers.get("content-length", "0")):
        body += client.recv(1024 * 1024)
    method, path, _ = first.split(" ", 2)
    return Request(method, path, headers, bytes(body))


# --- what a server sends --------------------------------------------------------------------------


def head(status: int = 200, content_type: str = "text/event-stream", **headers: str) -> bytes:
    """The head of an answer. Underscores in names become hyphens."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Type: {content_type}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def whole(status: int, body: bytes | str | Any, content_type: str = "application/json", **headers: str) -> bytes:
    """A whole answer with its length; what is neither bytes nor text becomes JSON."""
    data = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    return head(status, content_type, Content_Length=str(len(data)), **headers) + data


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"
STREAM_HEAD = head(Transfer_Encoding="chunked")


def event(document: Any) -> bytes:
    """An SSE event with a JSON document as its data."""
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def delta(text: str) -> bytes:
    """A piece of an OpenAI chat completion."""
    return event(
        {"id": "c1", "model": "m", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
    )


def finish(reason: str = "stop") -> bytes:
    """The chunk that carries the finish reason."""
    return event({"id": "c1", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})


DONE = b"data: [DONE]\n\n"


def stream(*events: bytes, end: bytes = LAST_CHUNK) -> Script:
    """A script that streams events, each in a chunk of its own, and then ends the body (or not)."""

    def script(connection: Connection) -> None:
        connection.send(STREAM_HEAD)
        for data in events:
            connection.send(chunk(data))
        connection.send(end)

    return script


def says(*words: str) -> Script:
    """A good OpenAI stream of these pieces."""
    return stream(*(delta(word) for word in words), finish(), DONE)


def says_and_waits(*words: str) -> Script:
    """A stream of these pieces that stays open until the client goes away."""

    def script(connection: Connection) -> None:
        connection.send(STREAM_HEAD)
        for word in words:
            connection.send(chunk(delta(word)))
        connection.wait_until_gone()

    return script


def answers(status: int, body: Any, content_type: str = "application/json", **headers: str) -> Script:
    """A script that sends one whole answer."""
    return lambda connection: connection.send(whole(status, body, content_type, **headers))


def completion(text: str, **more: Any) -> dict[str, Any]:
    """A whole OpenAI chat completion."""
    return {
        "id": "c1",
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        **more,
    }
