"""Servers for `llmcli models`: one that lists models to whoever asks, and one that takes the question and is silent."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_MODELS = 300  # of one provider
_BODY = json.dumps({"data": [{"id": f"model-{number}", "context_length": 8192} for number in range(_MODELS)]}).encode()
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)


@contextmanager
def listing() -> Iterator[tuple[str, str]]:
    """The base URLs of both, while the block runs."""
    with socket.create_server(("127.0.0.1", 0)) as good, socket.create_server(("127.0.0.1", 0)) as silent:
        threading.Thread(target=_serve, args=(good,), daemon=True).start()
        yield _url(good), _url(silent)  # the system takes connections for the silent one, which accepts none


def configuration(good: str, silent: str, count: int) -> str:
    """So many providers, of which the last is silent."""
    urls = [good] * (count - 1) + [silent]
    table = '[providers.p{}]\nadapter = "openai-compatible"\nbase_url = "{}"\n'
    return "\n".join(table.format(number, url) for number, url in enumerate(urls))


def _url(server: socket.socket) -> str:
    return f"http://127.0.0.1:{server.getsockname()[1]}/v1"


def _serve(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:  # closed: nobody asks any more
            return
        threading.Thread(target=_answer, args=(connection,), daemon=True).start()


def _answer(connection: socket.socket) -> None:
    with connection:
        received = b""
        while b"\r\n\r\n" not in received:
            received += connection.recv(65536)
        connection.sendall(_ANSWER)
