"""
The mock server, a process of its own: streams chat completions over http and https.

The path says which: `/tokens/20/chat/completions` has 20 tokens; see answers.py. What is sent was built in advance,
and many events go out in one send, so that the server is never what a client waits for. The request's body is read and
dropped.

    python server.py CA_FILE       writes its CA there, prints its two ports as JSON, and ends when stdin does
"""

import json
import re
import socket
import ssl
import sys
import threading
from collections.abc import Callable

import trustme
from answers import answer

_READ_SIZE = 1024 * 1024


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
