"""Servers that follow scripts, and certificates that nobody but a test trusts."""

import signal
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme
from websocket_server import Script, Server

HOST = "ws.example.test"


@pytest.fixture(autouse=True, scope="session")
def _signals_reach_the_program() -> None:
    """A job in the background ignores Ctrl-C, and so does all that it starts; but a handler is not handed down."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Start a server that follows scripts."""
    with ExitStack() as stack:

        def start(*scripts: Script, **options: Any) -> Server:
            return stack.enter_context(Server(*scripts, **options))

        yield start


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Who signs the servers' certificates."""
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Its own certificate, as --ca-bundle takes it."""
    path: Path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture(scope="session")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    """A server's side of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", HOST).configure_cert(context)
    return context
