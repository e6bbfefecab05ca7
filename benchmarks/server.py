"""
The mock server, a process of its own: chat completions of any length over http and https, from bytes built in advance.

The path says how long the answer is: `/tokens/20/chat/completions` streams 20 pieces of a word each, `/pieces/...`
pieces of 8 KiB. Each event is an HTTP chunk of its own, as services send them; a send carries many, so that the server
is never what a client waits for. The request's body is read and dropped.

    python server.py CA_FILE       writes its CA there, prints its two ports as JSON, and ends when stdin does
"""

import json
import re
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from functools import cache

PIECE = 8192  # bytes of text in each of the `pieces`
_WORDS = ("The", " sky", " is", " blue", " because", " air", " scatters", " short", " waves", " –", " Ray", "leigh")
_TEXTS: dict[str, tuple[str, ...]] = {"tokens": _WORDS, "pieces": ("0123456789abcde\n" * (PIECE // 16),)}
_BLOCK = {"tokens": len(_WORDS) * 50, "pieces": 128}  # events in one send
_READ_SIZE = 1024 * 1024
_HEAD = (
    b"HTTP/1.1 200 OK\r\n"
    b"Content-Type: text/event-stream; charset=utf-8\r\n"
    b"Cache-Control: no-cache\r\n"
    b"X-Request-Id: req_benchmark\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


# --- answers --------------------------------------------------------------------------------------


def answer_size(kind: str, count: int) -> int:
    """How many bytes of text an answer has."""
    sizes = [len(text.encode()) for text in _TEXTS[kind]]
    rounds, rest = divmod(count, len(sizes))
    return rounds * sum(sizes) + sum(sizes[:rest])


def answer(kind: str, count: int) -> Iterator[bytes]:
    """The bytes of a whole HTTP response, in the pieces in which they are sent."""
    blocks, rest = divmod(count, _BLOCK[kind])
    first = _HEAD + _chunk({"role": "assistant", "content": ""})
    last = _events(kind, rest) + _chunk({}, "stop") + _usage(count) + _http_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"
    if not blocks:
        yield first + last
        return
    yield first
    for _ in range(blocks):
        yield _events(kind, _BLOCK[kind])
    yield last


@cache
def _events(kind: str, count: int) -> bytes:
    texts = _TEXTS[kind]
    return b"".join(_chunk({"content": texts[number % len(texts)]}) for number in range(count))


def _chunk(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return _event({"choices": [choice], "usage": None})


def _usage(count: int) -> bytes:
    usage = {"prompt_tokens": 10, "completion_tokens": count, "total_tokens": count + 10}
    return _event({"choices": [], "usage": usage})


def _event(fields: dict[str, object]) -> bytes:
    document = {
        "id": "chatcmpl-BenchmarkBenchmarkBenchmark",
        "object": "chat.completion.chunk",
        "created": 1750000000,
        "model": "benchmark-2025-06-15",
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
        **fields,
    }
    return _http_chunk(f"data: {json.dumps(document, ensure_ascii=False, separators=(',', ':'))}\n\n".encode())


def _http_chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


# --- connections ----------------------------------------------------------------------------------


def _serve(connection: socket.socket) -> None:
    """One request, one answer, and the end of the connection once the client has closed its side."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    kind, count = _read_request(connection)
    for block in answer(kind, count):
        connection.sendall(block)
    connection.recv(1)


def _read_request(connection: socket.socket) -> tuple[str, int]:
    """What is asked for. The body is read into one buffer, so that its size costs nothing here."""
    received = bytearray()
    while b"\r\n\r\n" not in received:
        received += _received(connection)
    head, _, begun = received.partition(b"\r\n\r\n")
    path = re.match(rb"[A-Z]+ /(\w+)/(\d+)/", head)
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    if not path:
        raise ConnectionError("no path of ours")
    left = int(length[1]) - len(begun) if length else 0
    buffer = bytearray(_READ_SIZE)
    while left > 0:
        size = connection.recv_into(buffer, min(left, _READ_SIZE))
        if not size:
            raise ConnectionError("the client has gone")
        left -= size
    return path[1].decode(), int(path[2])


def _received(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionError("the client has gone")
    return data


def _listen(wrap: Callable[[socket.socket], socket.socket]) -> int:
    """Serve on a free port, each connection in a thread. Returns the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def handle(accepted: socket.socket) -> None:
        try:
            with wrap(accepted) as connection:
                _serve(connection)
        except OSError:
            pass  # a client that has gone is no concern of ours

    def accept() -> None:
        while True:
            threading.Thread(target=handle, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return int(listener.getsockname()[1])


def _tls_context(ca_file: str) -> ssl.SSLContext:
    """A certificate for 127.0.0.1 from an authority made for this run."""
    import trustme

    authority = trustme.CA()
    authority.cert_pem.write_to_path(ca_file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def main(ca_file: str) -> None:
    """Serve until stdin ends, which it does at the latest with the process that started us."""
    context = _tls_context(ca_file)
    http = _listen(lambda connection: connection)
    https = _listen(lambda connection: context.wrap_socket(connection, server_side=True))
    print(json.dumps({"http": http, "https": https}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
