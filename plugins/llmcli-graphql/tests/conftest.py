"""The real program, and a server on a real socket that sends what it is told."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

KEY = "gql-test-key"


class Done(NamedTuple):
    """A run of the program that has ended."""

    status: int
    out: bytes
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Program:
    """llmcli with a configuration of one provider, `acme`."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def __call__(self, table: str, *args: str) -> Done:
        """A run to its end."""
        with self.start(table, *args) as running:
            out, err = running.communicate(timeout=60)
        return Done(running.returncode, out, err.decode())

    def start(self, table: str, *args: str) -> "subprocess.Popen[bytes]":
        """A run that goes on meanwhile."""
        file = self._home / "config.toml"
        file.write_text(table)
        env = {"PATH": os.environ["PATH"], "HOME": str(self._home), "LANG": "C.UTF-8", "ACME_API_KEY": KEY}
        return subprocess.Popen(
            [sys.executable, "-m", "llmcli", *args, "--config", str(file)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
        )


@pytest.fixture(autouse=True, scope="session")
def _signals_reach_the_program() -> None:
    """A job in the background ignores Ctrl-C, and so does all that it starts; but a handler is not handed down."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


@pytest.fixture
def llmcli(tmp_path: Path) -> Program:
    return Program(tmp_path)


class Server:
    """Answers each connection with the next of some raw answers, the last one again and again, and closes it."""

    def __init__(self, *answers: bytes) -> None:
        self.requests: list[bytes] = []
        self._answers = answers
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/graphql"
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(request.partition(b"\r\n\r\n")[2]) for request in self.requests]

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            with client, suppress(OSError):
                self.requests.append(_request(client))
                client.sendall(self._answers[min(len(self.requests), len(self._answers)) - 1])


def _request(client: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += client.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while len(body) < sum(lengths):
        body += client.recv(65536)
    return head + b"\r\n\r\n" + body


Serve = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[Server] = []

    def start(*answers: bytes) -> Server:
        servers.append(Server(*answers))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
