"""A server that speaks just enough HTTP/2 to break gRPC's rules: the frames behind the request are the test's own."""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

_DATA, _HEADERS, _RST_STREAM, _SETTINGS = 0, 1, 3, 4
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def headers(*fields: tuple[str, str], end: bool = False) -> bytes:
    """Headers, or trailers with `end`, of the first stream; literals that need no table."""
    block = b"".join(
        b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode() for name, value in fields
    )
    return _frame(_HEADERS, _END_HEADERS | (_END_STREAM if end else 0), 1, block)


def message(content: bytes, *, end: bool = False) -> bytes:
    """One message of the first stream."""
    return _frame(_DATA, _END_STREAM if end else 0, 1, b"\x00" + len(content).to_bytes(4, "big") + content)


def reset(code: int) -> bytes:
    """The end of the first stream by RST_STREAM."""
    return _frame(_RST_STREAM, 0, 1, code.to_bytes(4, "big"))


HEAD = headers((":status", "200"), ("content-type", "application/grpc"))


class Raw(NamedTuple):
    """The server. It sends its last frames when `go` is set."""

    base_url: str
    go: threading.Event


@contextmanager
def answering(*frames: bytes, last: Sequence[bytes] = (), stay: bool) -> Iterator[Raw]:
    """
    A server that answers its one call with these frames and, when it is told to go on, the last ones. Then it hangs up
    or, with `stay`, waits until the client does.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        raw = Raw(f"grpc://127.0.0.1:{listener.getsockname()[1]}", threading.Event())
        wire = (b"".join(frames), b"".join(last))
        thread = threading.Thread(target=_answer, args=(listener, *wire, raw.go, stay), daemon=True)
        thread.start()
        yield raw
        thread.join(10)


def _answer(listener: socket.socket, frames: bytes, last: bytes, go: threading.Event, stay: bool) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.sendall(_frame(_SETTINGS, 0, 0) + _frame(_SETTINGS, _ACK, 0))
        if _asked(connection):
            connection.sendall(frames)
            go.wait(60)
            connection.sendall(last)
            while stay and connection.recv(65536):
                pass


def _asked(connection: socket.socket) -> bool:
    """Wait for the request: the end of the client's half of the stream."""
    with connection.makefile("rb") as wire:
        wire.read(len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
        while head := wire.read(9):
            wire.read(int.from_bytes(head[:3], "big"))
            if head[3] == _DATA and head[4] & _END_STREAM:
                return True
    return False
