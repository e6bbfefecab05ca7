"""
A server on this machine that plays a script, for what only a real connection shows. Layer 2, but knows nobody.
"""

import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType

STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Connection:
    """One connection of a client, after its request. `request` is its bytes, head and body."""

    def __init__(self, client: socket.socket, request: bytes) -> None:
        self.request = request
        self._client = client

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self._client.sendall(data)

    def stream(self, records: Sequence[bytes]) -> None:
        """The head of a streamed answer and these records, each in a chunk of its own."""
        self.send(STREAM_HEAD + b"".join(b"%x\r\n%s\r\n" % (len(record), record) for record in records if record))

    def wait_until_gone(self) -> None:
        """Wait until the client closes the connection."""
        with suppress(OSError):
            while self._client.recv(65536):
                pass


Script = Callable[[Connection], None]


class LocalServer:
    """Plays one script for each connection, and keeps what was asked. `gone`: a script has come to its end."""

    def __init__(self, script: Script) -> None:
        self.requests: list[bytes] = []
        self.gone = threading.Event()
        self._script = script
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> "LocalServer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept
        self._socket.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                threading.Thread(target=self._play, args=(client,), daemon=True).start()

    def _play(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            request = _received(client)
            if request:
                self.requests.append(request)
                self._script(Connection(client, request))
        self.gone.set()


def _received(client: socket.socket) -> bytes:
    """A request, as long as its head says."""
    data = bytearray()
    while b"\r\n\r\n" not in data:
        piece = client.recv(65536)
        if not piece:
            return b""
        data += piece
    head, _, body = bytes(data).partition(b"\r\n\r\n")
    lengths = [line[15:] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while len(body) < int(lengths[0] if lengths else 0):
        body += client.recv(65536)
    return head + b"\r\n\r\n" + body
