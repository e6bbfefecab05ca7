"""TLS and proxies: whom the provider trusts, and which way it takes."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
import trustme
from conftest import Asking
from grpc_service import Service, saying, serving
from llmcli.errors import ConfigurationError, NetworkFailed


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture
def secure(authority: trustme.CA) -> Iterator[Service]:
    with serving(saying({"text": "secret"}), credentials=credentials(authority, "localhost")) as server:
        yield server


def credentials(authority: trustme.CA, name: str) -> grpc.ServerCredentials:
    certificate = authority.issue_cert(name)
    chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
    return grpc.ssl_server_credentials([(certificate.private_key_pem.bytes(), chain)])


def test_a_server_whose_authority_is_trusted_is_spoken_to(ask: Asking, secure: Service, bundle: str) -> None:
    assert ask(ask.provider(secure.base_url), ca_bundle=bundle).text == "secret"


def test_the_environments_certificates_are_trusted(ask: Asking, secure: Service, bundle: str) -> None:
    assert ask(ask.provider(secure.base_url), env={"SSL_CERT_FILE": bundle}).text == "secret"


def test_a_hashed_directory_of_certificates_is_read(ask: Asking, secure: Service, bundle: str, tmp_path: Path) -> None:
    directory = tmp_path / "certificates"
    directory.mkdir()
    (directory / "0a1b2c3d.0").write_bytes(Path(bundle).read_bytes())
    (directory / "README").write_text("not a certificate")
    assert ask(ask.provider(secure.base_url), ca_bundle=str(directory)).text == "secret"


def test_a_server_of_an_unknown_authority_is_refused_before_anything_is_sent(ask: Asking, secure: Service) -> None:
    error = ask(ask.provider(secure.base_url), key="k").error
    assert isinstance(error, NetworkFailed)
    assert (error.sent, error.retryable) == (False, False)
    assert error.hint is not None
    assert "--ca-bundle" in error.hint
    assert not secure.asked


def test_a_certificate_for_another_name_is_refused(ask: Asking, authority: trustme.CA, bundle: str) -> None:
    with serving(saying({"text": "secret"}), credentials=credentials(authority, "other.test")) as server:
        error = ask(ask.provider(server.base_url), ca_bundle=bundle).error
    assert isinstance(error, NetworkFailed)
    assert not error.retryable
    assert not server.asked


def test_tls_to_a_server_without_it_is_told(ask: Asking, bundle: str) -> None:
    with serving(saying()) as server:
        error = ask(ask.provider(server.base_url.replace("grpc:", "grpcs:")), ca_bundle=bundle).error
    assert isinstance(error, NetworkFailed)
    assert error.hint is not None
    assert "grpc:// in the base URL is without" in error.hint


def test_no_tls_to_a_server_with_it_is_told(ask: Asking, secure: Service) -> None:
    error = ask(ask.provider(secure.base_url.replace("grpcs:", "grpc:"))).error
    assert isinstance(error, NetworkFailed)
    assert not error.sent


def test_a_ca_bundle_that_cannot_be_read(ask: Asking, secure: Service, tmp_path: Path) -> None:
    error = ask(ask.provider(secure.base_url), ca_bundle=str(tmp_path / "none.pem")).error
    assert isinstance(error, ConfigurationError)
    assert "none.pem" in error.message


# --- proxies --------------------------------------------------------------------------------------


@contextmanager
def proxy(port: int, answer: bytes = b"HTTP/1.1 200 OK\r\n\r\n") -> Iterator[tuple[str, list[bytes]]]:
    """A proxy that leads to a port of this machine, whatever it is asked for: its URL and the heads of its requests."""
    heads: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        near, _ = listener.accept()
        with near, socket.create_connection(("127.0.0.1", port)) as far:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += near.recv(1)
            heads.append(head)
            near.sendall(answer)
            back = threading.Thread(target=pass_on, args=(far, near), daemon=True)
            back.start()
            pass_on(near, far)
            back.join(10)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        yield f"http://user:pass@127.0.0.1:{listener.getsockname()[1]}", heads


def pass_on(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # one side has gone


def test_a_proxy_of_the_environment_leads_to_the_server(ask: Asking) -> None:
    with serving(saying({"text": "ok"})) as server, proxy(int(server.base_url.rpartition(":")[2])) as (url, heads):
        heard = ask(ask.provider("grpc://models.test:50051"), env={"http_proxy": url})
    assert heard.text == "ok"
    assert heads[0].startswith(b"CONNECT models.test:50051 HTTP/1.1\r\n")
    assert b"Basic dXNlcjpwYXNz" in heads[0]


def test_a_proxy_that_refuses_is_named_and_nothing_was_sent(ask: Asking) -> None:
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"
    with serving(saying()) as server, proxy(int(server.base_url.rpartition(":")[2]), refusal) as (url, _):
        error = ask(ask.provider("grpc://models.test:50051"), env={"http_proxy": url}).error
    assert isinstance(error, NetworkFailed)
    assert not error.sent
    assert "models.test:50051 through proxy http://127.0.0.1" in error.message
    assert "407" in error.message
    assert "pass" not in error.message


def test_this_machine_is_never_asked_through_a_proxy(ask: Asking) -> None:
    dead = {"http_proxy": "http://127.0.0.1:9", "grpc_proxy": "http://127.0.0.1:9"}
    with serving(saying({"text": "ok"})) as server:
        assert ask(ask.provider(server.base_url), env=dead).text == "ok"


def test_a_proxy_that_cannot_be_used_is_named_without_its_password(ask: Asking) -> None:
    error = ask(ask.provider("grpc://models.test:1"), env={"http_proxy": "https://user:pass@proxy.test"}).error
    assert isinstance(error, NetworkFailed)
    assert "https://proxy.test (http_proxy)" in error.message
