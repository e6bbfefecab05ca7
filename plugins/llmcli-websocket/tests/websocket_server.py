"""
A WebSocket server on a real socket that does to each client what a script says, well-behaved or not; and a proxy that
makes tunnels.
"""

import json
import socket
import ssl
import struct
import threading
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha1
from types import TracebackType
from typing import Any, Self

from websockets.frames import Close, Frame, Opcode
from websockets.protocol import Protocol, Side

PATIENCE = 20  # seconds until a test gives up waiting for what should have come


class Client:
    """One client of a server, whose request has been read."""

    def __init__(self, connection: socket.socket, head: str) -> None:
        first, *lines = head.split("\r\n")
        self.path = first.split(" ")[1]
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.raw: list[str | bytes] = []  # every message, as it came
        self.left: int | None = None  # the code of the client's close frame
        self.gone = threading.Event()
        self.ponged = threading.Event()  # it has answered a ping, as it does when it waits for the next message
        self._socket = connection
        self._protocol = Protocol(Side.SERVER)
        self._waiting: list[str | bytes] = []

    # --- what the server says ---

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def agree(self, *headers: str) -> None:
        """The handshake of a WebSocket."""
        key = self.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = b64encode(sha1(key.encode(), usedforsecurity=False).digest()).decode()
        lines = ["Connection: Upgrade", "Upgrade: websocket", f"Sec-WebSocket-Accept: {accept}", *headers]
        self.send("\r\n".join(("HTTP/1.1 101 Switching Protocols", *lines, "", "")).encode())

    def answer(self, status: int, body: str, *headers: str) -> None:
        """An ordinary answer instead."""
        lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body.encode())}", *headers, "", body]
        self.send("\r\n".join(lines).encode())

    def say(self, *documents: Any) -> None:
        """Messages: JSON, or a text as it is."""
        for document in documents:
            self.frame(Opcode.TEXT, (document if isinstance(document, str) else json.dumps(document)).encode())

    def frame(self, opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> None:
        self.send(Frame(opcode, data, fin).serialize(mask=False))

    def close(self, code: int, reason: str = "") -> None:
        """Close as the protocol wants it, and hear the client out."""
        self.frame(Opcode.CLOSE, Close(code, reason).serialize())
        self.hear_out()

    def hang_up(self) -> None:
        """End the connection without a word."""
        self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    # --- what the client says ---

    def hear(self) -> Any:
        """The client's next message, `None` when it has left."""
        while not self._waiting:
            if not self._read():
                return None
        return _document(self._waiting.pop(0))

    def hear_out(self) -> None:
        """Whatever the client still says, until it leaves. Then it is the server who ends the connection first."""
        while self.left is None and self._read():
            pass

    @property
    def said(self) -> list[Any]:
        """All that the client has said."""
        return [_document(message) for message in self.raw]

    def _read(self) -> bool:
        data = self._socket.recv(65536)
        if not data:
            return False
        self._protocol.receive_data(data)
        for frame in self._protocol.events_received():
            if not isinstance(frame, Frame):
                continue
            if frame.opcode is Opcode.CLOSE:
                self.left = Close.parse(bytes(frame.data)).code
            elif frame.opcode is Opcode.PONG:
                self.ponged.set()
            elif frame.opcode in (Opcode.TEXT, Opcode.BINARY):
                data = bytes(frame.data)
                message = data.decode() if frame.opcode is Opcode.TEXT else data
                self.raw.append(message)
                self._waiting.append(message)
        return self.left is None


def _document(message: str | bytes) -> Any:
    try:
        return json.loads(message)
    except ValueError:
        return message


Script = Callable[[Client], None]


class Server:
    """
    Follows a script with each client after the handshake, or instead of it (`agree=False`); the last script is for
    all who follow.
    """

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None, agree: bool = True) -> None:
        self.clients: list[Client] = []
        self._scripts = scripts
        self._tls = tls
        self._agree = agree
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._socket.getsockname()[1]
        self.base_url = f"{'wss' if tls else 'ws'}://127.0.0.1:{self.port}"
        threading.Thread(target=_accept, args=(self._socket, self._serve), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _stop(self._socket)

    @property
    def client(self) -> Client:
        """The first client, who has left."""
        assert self.clients[0].gone.wait(PATIENCE), "the client is still there"
        return self.clients[0]

    def _serve(self, connection: socket.socket) -> None:
        if self._tls:
            connection = self._tls.wrap_socket(connection, server_side=True)
        with connection:
            connection.settimeout(PATIENCE)
            client = Client(connection, _head(connection))
            script = self._scripts[min(len(self.clients), len(self._scripts) - 1)]
            self.clients.append(client)
            try:
                if self._agree:
                    client.agree()
                script(client)
                client.hear_out()
            finally:
                client.gone.set()


class Proxy:
    """A proxy that makes every tunnel lead to one port; knows what it was asked for, and what went through it."""

    def __init__(self, port: int) -> None:
        self.asked: list[str] = []
        self.through = bytearray()
        self._target = port
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=_accept, args=(self._socket, self._serve), daemon=True).start()

    def close(self) -> None:
        _stop(self._socket)

    def _serve(self, client: socket.socket) -> None:
        self.asked.append(_head(client).partition("\r\n")[0])
        with client, socket.create_connection(("127.0.0.1", self._target)) as server:
            client.sendall(b"HTTP/1.1 200 Tunnel\r\n\r\n")
            back = threading.Thread(target=_copy, args=(server, client, bytearray()), daemon=True)
            back.start()
            _copy(client, server, self.through)
            back.join(PATIENCE)


def _copy(source: socket.socket, target: socket.socket, seen: bytearray) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            seen += data
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def _accept(listening: socket.socket, serve: Callable[[socket.socket], None]) -> None:
    def served(connection: socket.socket) -> None:
        with suppress(OSError):
            serve(connection)

    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        threading.Thread(target=served, args=(connection,), daemon=True).start()


def _stop(listening: socket.socket) -> None:
    with suppress(OSError):
        listening.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept
    listening.close()


def _head(connection: socket.socket) -> str:
    data = b""
    while b"\r\n\r\n" not in data:
        received = connection.recv(65536)
        if not received:
            raise OSError("the client left before it asked")
        data += received
    return data.partition(b"\r\n\r\n")[0].decode("latin-1")
