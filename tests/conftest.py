"""Fixtures: the program, servers that follow scripts, certificates, and a real inference server."""

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from pytest_httpserver import HTTPServer

from tests.program import Program
from tests.servers import Script, Server


@pytest.fixture()
def llmcli(tmp_path: Path) -> Program:
    """The real program, in a process and a home of its own."""
    home = tmp_path / "home"
    home.mkdir()
    return Program(home)


@pytest.fixture()
def serve() -> Iterator[Callable[..., Server]]:
    """Start a server that follows scripts: `serve(says("hi"))`."""
    servers: list[Server] = []

    def start(*scripts: Script, **options: Any) -> Server:
        servers.append(Server(*scripts, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture(scope="session")
def make_httpserver() -> Iterator[HTTPServer]:
    """pytest-httpserver's server, with a thread for each request; its default serves one at a time."""
    with HTTPServer(threaded=True) as server:
        yield server


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """A certificate authority that nobody but a test trusts."""
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Its certificate, as --ca-bundle takes it."""
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture(scope="session")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    """A server's side of TLS for 127.0.0.1 and localhost."""
    return server_tls(authority, "127.0.0.1", "localhost", "::1")


def server_tls(authority: trustme.CA, *names: str, **options: Any) -> ssl.SSLContext:
    """A server's side of TLS with a certificate for these names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **options).configure_cert(context)
    return context
