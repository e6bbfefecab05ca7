"""Fixtures: the program, servers that follow scripts, certificates, and a real inference server."""

import signal
import ssl
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from pytest_httpserver import HTTPServer

from tests import tiny_model
from tests.llama_server import LlamaServer
from tests.program import Program
from tests.servers import Script, Server
from tests.shell import Shell

LLAMA_KEY = "sk-llama-test"
ENDLESS = "one two three four five "


@pytest.fixture(autouse=True, scope="session")
def _signals_reach_the_program() -> None:
    """A job in the background ignores Ctrl-C, and so does all that it starts; but a handler is not handed down."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


@pytest.fixture
def llmcli(tmp_path: Path) -> Program:
    """The real program, in a process and a home of its own."""
    home = tmp_path / "home"
    home.mkdir()
    return Program(home)


@pytest.fixture
def sh(llmcli: Program, tmp_path: Path) -> Shell:
    """A real shell that has the program."""
    return Shell(llmcli, tmp_path / "bin")


@pytest.fixture
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


# --- a real inference server ----------------------------------------------------------------------


@pytest.fixture(scope="session")
def reciting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], LlamaServer]]:
    """
    A llama.cpp server whose model recites a text: `reciting("The answer is 42.")`. It lives as long as the session, so
    a test must leave it as it was.
    """
    needs_llama_cpp()
    folder = tmp_path_factory.mktemp("llama")
    servers: dict[str, LlamaServer] = {}

    def server_of(text: str) -> LlamaServer:
        if text not in servers:
            model = folder / f"{len(servers)}.gguf"
            model.write_bytes(tiny_model.build(text))
            servers[text] = LlamaServer(model, key=LLAMA_KEY)
        return servers[text]

    yield server_of
    for server in servers.values():
        server.close()


@pytest.fixture(scope="session")
def llama(reciting: Callable[[str], LlamaServer]) -> LlamaServer:
    """The one that recites `tiny_model.TEXT`."""
    return reciting(tiny_model.TEXT)


@pytest.fixture
def endless_llama(tmp_path: Path) -> Iterator[LlamaServer]:
    """A llama.cpp server of the test's own, to be stopped and killed, whose model never comes to an end."""
    needs_llama_cpp()
    model = tmp_path / "endless.gguf"
    model.write_bytes(tiny_model.build(ENDLESS, loop=True))
    with LlamaServer(model, key=LLAMA_KEY) as server:
        yield server


def needs_llama_cpp() -> None:
    """Skip where there is no wheel of llama.cpp. On Linux there is one, and without it the server fails to start."""
    if sys.platform != "linux":
        pytest.importorskip("xllamacpp")
