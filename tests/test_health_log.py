"""What the transport tells of a connection: the steps that `health` shows and `--verbose` prints."""

import json
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import trustme

from tests.conftest import server_tls
from tests.program import Program
from tests.servers import Connection, Server, head, says

Serve = Callable[..., Server]


def steps(llmcli: Program, url: str, *more: str, **env: str) -> dict[str, dict[str, Any]]:
    """The log of a chat, the last event of each name."""
    llmcli.chat(url, "hi", "--log-file", "log", *more, env=env)
    events = [json.loads(line) for line in (llmcli.home / "log").read_text().splitlines()]
    return {event["event"]: event for event in events}


def test_name_connection_and_certificate_are_told(
    llmcli: Program, serve: Serve, authority: trustme.CA, ca_file: str
) -> None:
    ends = datetime.now(UTC) + timedelta(days=5, hours=1)
    server = serve(says("hi"), tls=server_tls(authority, "localhost", not_after=ends))

    told = steps(llmcli, server.url.replace("127.0.0.1", "localhost"), "--ca-bundle", ca_file)

    names = [name for name in told if name in ("request", "resolved", "tcp", "tls", "connected", "response")]
    assert names == ["request", "resolved", "tcp", "tls", "connected", "response"]
    assert (told["resolved"]["host"], "127.0.0.1" in told["resolved"]["addresses"]) == ("localhost", True)
    assert told["tcp"]["address"] == "127.0.0.1"
    assert (told["tls"]["host"], told["tls"]["version"], told["tls"]["days"]) == ("localhost", "TLSv1.3", 5)


def test_an_address_is_not_resolved_and_plain_http_has_no_certificate(llmcli: Program, serve: Serve) -> None:
    told = steps(llmcli, serve(says("hi")).url)

    assert {"resolved", "tls", "tunnel"} & told.keys() == set()
    assert told["tcp"]["address"] == "127.0.0.1"


def test_through_a_proxy_the_name_is_the_proxys_and_the_certificate_the_servers(
    llmcli: Program, serve: Serve, authority: trustme.CA, ca_file: str
) -> None:
    context = server_tls(authority, "api.example.invalid")
    proxy = serve(lambda connection: tunnel(connection, context))

    told = steps(llmcli, "https://api.example.invalid/v1", "--ca-bundle", ca_file,
                 HTTPS_PROXY=f"http://localhost:{proxy.port}")  # fmt: skip

    assert told["resolved"]["host"] == "localhost"
    assert told["tunnel"]["proxy"] == f"http://localhost:{proxy.port}"
    assert told["tls"]["host"] == "api.example.invalid"


def tunnel(connection: Connection, context: ssl.SSLContext) -> None:
    """A proxy that is also the server at the end of its tunnel."""
    connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
    with context.wrap_socket(connection.socket, server_side=True) as inside:
        inside.recv(65536)
        inside.sendall(head(500, "text/plain", Content_Length="0"))


def test_the_log_of_a_person_reads_well(llmcli: Program, serve: Serve) -> None:
    done = llmcli.chat(serve(says("hi")).url.replace("127.0.0.1", "localhost"), "hi", "--verbose")

    assert "* resolved: host=localhost, addresses=" in done.err
    assert "addresses=[" not in done.err
    assert "* tcp: address=127.0.0.1, seconds=0.0" in done.err
