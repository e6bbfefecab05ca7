"""What goes wrong before a request is sent: names, addresses, certificates, proxies, wrong URLs. Rows 1-14."""

import socket
import ssl
import sys
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from llmcli.answer import Call, answer
from llmcli.errors import NetworkFailed, TimedOut
from llmcli.providers.vendors import OpenAICompatible
from llmcli.retry import RetryPolicy
from llmcli.transport import Transport, proxy_for
from llmcli.types import ChatRequest, ProviderConfig, TextDelta, Timeouts, message
from tests.complaints import complaint
from tests.conftest import server_tls
from tests.program import Done, Program
from tests.servers import Connection, Script, Server, answers, says

Serve = Callable[..., Server]

KEY = "sk-canary-2b7e151628aed2a6"
PROMPT = "the-prompt-that-nobody-else-may-see"
ELSEWHERE = "https://api.example.invalid/v1"  # no name under .invalid resolves, so nothing leaves this machine
NOW = datetime.now(UTC)
DAY = timedelta(days=1)


@pytest.fixture
def closed_port() -> int:
    """A port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@pytest.fixture
def blurt() -> Iterator[Callable[[bytes], int]]:
    """Start a server that answers whatever comes first with these bytes and hangs up; returns its port."""
    servers: list[socket.socket] = []

    def start(data: bytes) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def serve() -> None:
            try:
                client, _ = server.accept()
                with client:
                    client.recv(65536)
                    client.sendall(data)
            except OSError:
                pass

        threading.Thread(target=serve, daemon=True).start()
        port: int = server.getsockname()[1]
        return port

    yield start
    for server in servers:
        server.close()


def entry(host: str, port: int) -> tuple[Any, ...]:
    """An address as `getaddrinfo` lists it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return (family, socket.SOCK_STREAM, 6, "", (host, port))


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")


@contextmanager
def full(family: socket.AddressFamily = socket.AF_INET, port: int = 0) -> Iterator[int]:
    """A port whose queue of connections is full: one more is neither taken nor refused, as in a black hole."""
    if sys.platform != "linux":
        pytest.skip("elsewhere a full queue is not silent")
    host = "127.0.0.1" if family == socket.AF_INET else "::1"
    with socket.create_server((host, port), family=family, backlog=0) as server:
        waiting = [socket.socket(family) for _ in range(4)]
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(server.getsockname()[:2])
        try:
            yield server.getsockname()[1]
        finally:
            for client in waiting:
                client.close()


def openai(llmcli: Program, url: str, *args: str, **env: str) -> Done:
    """Ask OpenAI with a key, at another address."""
    line = ("chat", "-m", "openai/gpt", "--base-url", url, "-n", "--retries", "0", *args, PROMPT)
    return llmcli(*line, env={"OPENAI_API_KEY": KEY, **env})


def in_process(
    url: str,
    resolve: Callable[..., list[Any]],
    *,
    connect: float = 5.0,
    retries: int = 2,
) -> tuple[str, list[float]]:
    """The text of an answer and the pauses before it, with a name service of our own."""
    pauses: list[float] = []
    call = Call(
        Transport(env={}, resolve=resolve),
        timeouts=Timeouts(connect=connect),
        retry=RetryPolicy(retries, jitter=lambda: 1.0),
        sleep=pauses.append,
    )
    provider = OpenAICompatible(ProviderConfig("acme", base_url=url))
    events = answer(provider, ChatRequest("m", (message("user", "hi"),)), call)
    return "".join(event.text for event in events if isinstance(event, TextDelta)), pauses


# --- names and addresses --------------------------------------------------------------------------


@pytest.mark.fault(1)
def test_a_host_that_does_not_exist_exits_7_and_is_named(llmcli: Program) -> None:
    said = complaint(llmcli.chat(ELSEWHERE, "hi", "--retries", "2"), 7)

    assert said.message.startswith("cannot resolve api.example.invalid: ")
    assert said.facts == {"provider": "openai-compatible"}


@pytest.mark.fault(1)
def test_a_name_that_does_not_exist_is_looked_up_once() -> None:
    lookups: list[bytes] = []

    def resolve(host: bytes, port: int, **options: Any) -> list[Any]:
        lookups.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(NetworkFailed, match=r"cannot resolve api\.example\.invalid: Name or service not known"):
        in_process(ELSEWHERE, resolve)
    assert lookups == [b"api.example.invalid"]


@pytest.mark.fault(1)
def test_a_name_service_in_trouble_is_asked_again(serve: Serve) -> None:
    server = serve(says("found"))
    troubles = iter([socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")])

    def resolve(host: bytes, port: int, **options: Any) -> list[Any]:
        for trouble in troubles:
            raise trouble
        return [entry("127.0.0.1", port)]

    assert in_process(f"http://api.example.invalid:{server.port}/v1", resolve) == ("found", [0.5])


@pytest.mark.fault(1)
def test_a_name_service_that_never_answers_costs_the_connect_timeout_and_no_more() -> None:
    over = threading.Event()

    def resolve(host: bytes, port: int, **options: Any) -> list[Any]:
        over.wait()
        return []

    try:
        with pytest.raises(NetworkFailed, match=r"cannot resolve api\.example\.invalid: .* did not answer in time"):
            in_process(ELSEWHERE, resolve, connect=0.05, retries=0)
    finally:
        over.set()


@pytest.mark.fault(1)
@pytest.mark.parametrize("host", ["a" * 64 + ".invalid", "..invalid"])
def test_a_name_that_cannot_be_one_is_no_bug_of_ours(llmcli: Program, host: str) -> None:
    said = complaint(llmcli.chat(f"https://{host}/v1", "hi"), 7)

    assert said.message.startswith(f"cannot resolve {host}: ")


@pytest.mark.fault(1)
def test_a_host_that_does_not_exist_is_not_replaced_by_another_provider(llmcli: Program, serve: Serve) -> None:
    """Only who says --fallback gets one, and is told."""
    other = serve(says("somebody else's words"))
    llmcli.configure(f'[providers.other]\nadapter = "openai-compatible"\nbase_url = "{other.url}"\n')

    complaint(llmcli.chat(ELSEWHERE, PROMPT), 7)
    assert other.accepted == 0

    done = llmcli.chat(ELSEWHERE, PROMPT, "--fallback", "other/m")
    assert (done.status, done.text) == (0, "somebody else's words")
    assert "cannot resolve api.example.invalid" in done.err
    assert "other/m" in done.err


@pytest.mark.fault(2)
def test_a_refused_connection_exits_7_and_names_the_port(llmcli: Program, closed_port: int) -> None:
    said = complaint(llmcli.chat(f"http://127.0.0.1:{closed_port}/v1", "hi"), 7)

    assert said.message == f"connection refused by 127.0.0.1:{closed_port}"
    assert said.hint == "is the server running?"
    assert said.facts == {"provider": "openai-compatible"}


@pytest.mark.fault(2)
def test_a_refused_ipv6_connection_names_the_address_as_a_url_does(llmcli: Program, closed_port: int) -> None:
    said = complaint(llmcli.chat(f"http://[::1]:{closed_port}/v1", "hi"), 7)

    assert f"[::1]:{closed_port}" in said.message


@pytest.mark.fault(2)
def test_a_refused_connection_is_tried_twice_more_within_seconds(closed_port: int) -> None:
    attempts: list[int] = []

    def resolve(host: bytes, port: int, **options: Any) -> list[Any]:
        attempts.append(port)
        return [entry("127.0.0.1", port)]

    with pytest.raises(NetworkFailed, match="connection refused"):
        in_process(f"http://localhost:{closed_port}/v1", resolve)
    assert len(attempts) == 3


@pytest.mark.fault(2)
def test_each_further_attempt_is_said(llmcli: Program, closed_port: int) -> None:
    said = complaint(llmcli.chat(f"http://127.0.0.1:{closed_port}/v1", "hi", "--retries", "1"), 7)

    (note,) = said.notes
    assert note.startswith(f"connection refused by 127.0.0.1:{closed_port}; trying again in ")
    assert note.endswith(" s (1 of 1)")


@pytest.mark.fault(3)
def test_an_address_that_does_not_answer_exits_7_after_the_connect_timeout(llmcli: Program) -> None:
    """With the other timeouts as they are, minutes long."""
    with full() as port:
        said = complaint(llmcli.chat(f"http://127.0.0.1:{port}/v1", "hi", "--connect-timeout", "0.2"), 7)

    assert said.message == f"127.0.0.1:{port}: no connection in 0.2 s"
    assert said.hint == "see --connect-timeout"


@pytest.mark.fault(3)
def test_a_server_that_never_begins_tls_counts_as_not_connected(llmcli: Program) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        said = complaint(llmcli.chat(f"https://127.0.0.1:{port}/v1", "hi", "--connect-timeout", "0.2"), 7)

    assert said.message == f"127.0.0.1:{port}: no connection in 0.2 s"


@needs_ipv6
@pytest.mark.fault(3)
def test_a_connect_timeout_is_retried_because_nothing_was_sent(serve: Serve) -> None:
    server = serve(says("at last"))
    addresses = iter(["::1"])

    def resolve(host: bytes, port: int, **options: Any) -> list[Any]:
        return [entry(next(addresses, "127.0.0.1"), port)]

    with full(socket.AF_INET6, server.port):
        answered = in_process(f"http://api.example.invalid:{server.port}/v1", resolve, connect=0.5)

    assert answered == ("at last", [0.5])
    assert len(server.requests) == 1


@pytest.mark.fault(3)
def test_a_connect_timeout_is_not_retried_for_ever() -> None:
    lookups: list[int] = []

    def resolve(host: bytes, port: int, **options: Any) -> list[Any]:
        lookups.append(port)
        return [entry("127.0.0.1", port)]

    with full() as port, pytest.raises(TimedOut, match="no connection in"):
        in_process(f"http://api.example.invalid:{port}/v1", resolve, connect=0.05)
    assert len(lookups) == 3


@pytest.mark.fault(4)
def test_a_refused_ipv6_address_does_not_keep_ipv4_from_being_tried(serve: Serve) -> None:
    server = serve(says("over IPv4"))

    def resolve(host: bytes, port: int, **options: Any) -> list[Any]:
        return [entry("::1", port), entry("127.0.0.1", port)]

    assert in_process(f"http://api.example.invalid:{server.port}/v1", resolve) == ("over IPv4", [])


@needs_ipv6
@pytest.mark.fault(4)
def test_an_ipv6_address_that_swallows_everything_leaves_time_for_ipv4(serve: Serve) -> None:
    server = serve(says("over IPv4"))

    def resolve(host: bytes, port: int, **options: Any) -> list[Any]:
        return [entry("::1", port), entry("127.0.0.1", port)]

    with full(socket.AF_INET6, server.port):
        answered = in_process(f"http://api.example.invalid:{server.port}/v1", resolve, connect=1.0)

    assert answered == ("over IPv4", [])


# --- certificates ---------------------------------------------------------------------------------


@pytest.mark.fault(5)
@pytest.mark.parametrize(
    ("begins", "ends", "what"),
    [(NOW - 9 * DAY, NOW - 2 * DAY, "has expired"), (NOW + 2 * DAY, NOW + 9 * DAY, "is not yet valid")],
    ids=["expired", "not-yet-valid"],
)
def test_a_certificate_out_of_its_time_is_shown_with_its_dates_and_our_clock(
    llmcli: Program, serve: Serve, authority: trustme.CA, ca_file: str, begins: datetime, ends: datetime, what: str
) -> None:
    server = serve(says("hi"), tls=server_tls(authority, "127.0.0.1", not_before=begins, not_after=ends))
    said = complaint(llmcli.chat(server.url, PROMPT, "--ca-bundle", ca_file, "--retries", "2"), 7)

    assert said.message.startswith(f"the certificate of 127.0.0.1 {what} (valid from ")
    assert (
        f"{begins:%b} {begins.day:2} {begins:%H:%M:%S %Y} GMT to {ends:%b} {ends.day:2}".replace("  ", " ")
        in said.message
    )
    assert "; the clock here says " in said.message
    assert said.notes == ()  # not tried again
    assert server.requests == []


@pytest.mark.fault(6)
def test_an_unknown_authority_exits_7_and_the_hint_is_to_name_it(
    llmcli: Program, serve: Serve, tls: ssl.SSLContext
) -> None:
    server = serve(says("hi"), tls=tls)
    said = complaint(llmcli.chat(server.url, PROMPT, "--retries", "2"), 7)

    assert said.message == "the certificate of 127.0.0.1 is signed by an authority that is not trusted here"
    assert said.hint == "give that authority's certificate with --ca-bundle FILE or SSL_CERT_FILE"
    assert said.notes == ()
    assert server.requests == []


@pytest.mark.fault(6)
def test_a_self_signed_certificate_is_trusted_when_it_is_named(
    llmcli: Program, serve: Serve, tls: ssl.SSLContext, ca_file: str
) -> None:
    """By any of the ways that the hint and the documentation name."""
    server = serve(says("hi"), tls=tls)
    llmcli.configure(
        f'[providers.mine]\nadapter = "openai-compatible"\nbase_url = "{server.url}"\nca_bundle = "{ca_file}"'
    )

    assert llmcli.chat(server.url, "hi", "--ca-bundle", ca_file).text == "hi"
    assert llmcli.chat(server.url, "hi", env={"SSL_CERT_FILE": ca_file}).text == "hi"
    assert llmcli.chat(server.url, "hi", env={"LLMCLI_CA_BUNDLE": ca_file}).text == "hi"
    assert llmcli("chat", "-n", "-m", "mine/m", "hi").text == "hi"


@pytest.mark.fault(6)
@pytest.mark.parametrize("command", ["models list mine", "health mine"])
def test_every_command_trusts_the_certificates_of_the_environment(
    llmcli: Program, serve: Serve, tls: ssl.SSLContext, ca_file: str, command: str
) -> None:
    server = serve(answers(200, {"data": [{"id": "m"}]}), tls=tls)
    llmcli.configure(f'[providers.mine]\nadapter = "openai-compatible"\nbase_url = "{server.url}"')

    assert llmcli(*command.split(), env={"LLMCLI_CA_BUNDLE": ca_file}).status == 0


@pytest.mark.fault(6)
@pytest.mark.parametrize("content", [None, b"", b"no certificate"], ids=["missing", "empty", "garbage"])
def test_a_ca_bundle_that_cannot_be_read_exits_3_and_sends_nothing(
    llmcli: Program, serve: Serve, tls: ssl.SSLContext, tmp_path: Path, content: bytes | None
) -> None:
    bundle = tmp_path / "ca.pem"
    if content is not None:
        bundle.write_bytes(content)
    server = serve(says("hi"), tls=tls)
    said = complaint(llmcli.chat(server.url, PROMPT, "--ca-bundle", str(bundle)), 3)

    assert said.message.startswith(f"cannot read the CA bundle {bundle}: ")
    assert "[" not in said.message  # neither [Errno 2] nor [SSL]
    assert server.accepted == 0


@pytest.mark.fault(7)
@pytest.mark.parametrize("names", [("example.com", "www.example.com"), ("10.0.0.1",)], ids=["names", "address"])
def test_a_certificate_for_somebody_else_is_told_with_its_names_and_gets_no_request(
    llmcli: Program, serve: Serve, authority: trustme.CA, ca_file: str, names: tuple[str, ...]
) -> None:
    server = serve(says("hi"), tls=server_tls(authority, *names))
    said = complaint(llmcli.chat(server.url, PROMPT, "--ca-bundle", ca_file, "--retries", "2"), 7)

    assert said.message == f"the certificate is not for 127.0.0.1 but for {', '.join(names)}"
    assert said.notes == ()
    assert server.requests == []


@pytest.mark.fault(8)
@pytest.mark.parametrize(
    "sent",
    [b"HTTP/1.1 400 Bad Request\r\n\r\nThis is a plain HTTP port", b"SSH-2.0-OpenSSH_9.6\r\n", b""],
    ids=["http", "ssh", "hangs-up"],
)
def test_a_server_without_tls_is_told_in_plain_words(
    llmcli: Program, blurt: Callable[[bytes], int], sent: bytes
) -> None:
    port = blurt(sent)
    said = complaint(llmcli.chat(f"https://127.0.0.1:{port}/v1", PROMPT, "--retries", "2"), 7)

    assert said.message == f"127.0.0.1:{port} did not speak TLS"
    assert said.hint == "is the URL meant to be http://?"
    assert said.notes == ()


@pytest.mark.fault(8)
def test_a_handshake_that_the_server_refuses_is_told_without_a_dump(
    llmcli: Program, blurt: Callable[[bytes], int]
) -> None:
    port = blurt(bytes.fromhex("15 0303 0002 02 28"))  # a fatal alert: handshake failure
    said = complaint(llmcli.chat(f"https://127.0.0.1:{port}/v1", PROMPT), 7)

    assert said.message == f"the TLS handshake with 127.0.0.1:{port} failed: sslv3 alert handshake failure"
    assert "_ssl.c" not in said.message


@pytest.mark.fault(8)
def test_a_server_that_wants_a_certificate_of_ours_is_told_without_a_dump(
    llmcli: Program, serve: Serve, authority: trustme.CA, ca_file: str
) -> None:
    context = server_tls(authority, "127.0.0.1")
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    said = complaint(llmcli.chat(serve(says("hi"), tls=context).url, PROMPT, "--ca-bundle", ca_file), 7)

    assert "certificate required" in said.message
    assert "_ssl.c" not in said.message
    assert "[SSL" not in said.message


# --- proxies --------------------------------------------------------------------------------------


def through(server: Server) -> Script:
    """A proxy's script: whatever it is asked for, the tunnel leads to this server."""

    def script(connection: Connection) -> None:
        connection.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with socket.create_connection(("127.0.0.1", server.port)) as upstream:
            back = threading.Thread(target=pump, args=(upstream, connection.socket), daemon=True)
            back.start()
            pump(connection.socket, upstream)
            back.join()

    return script


def pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def address(proxy: Server, userinfo: str = "") -> str:
    return f"http://{userinfo}{proxy.host}:{proxy.port}"


@pytest.mark.fault(9)
def test_a_proxy_that_refuses_is_named_with_the_variable_it_came_from(llmcli: Program, closed_port: int) -> None:
    proxy = f"http://me:troutperch@127.0.0.1:{closed_port}"
    said = complaint(openai(llmcli, ELSEWHERE, HTTPS_PROXY=proxy), 7)
    assert said.message == f"connection refused by proxy http://127.0.0.1:{closed_port} (HTTPS_PROXY)"

    loud = openai(llmcli, ELSEWHERE, "--verbose", "--debug", HTTPS_PROXY=proxy)
    assert said.message in loud.err
    assert "troutperch" not in loud.err


@pytest.mark.fault(9)
@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
def test_a_proxy_is_taken_from_every_usual_variable(llmcli: Program, serve: Serve, variable: str) -> None:
    proxy = serve(answers(403, "no"))
    said = complaint(openai(llmcli, ELSEWHERE, **{variable: address(proxy)}), 7)

    assert said.message == f"proxy {address(proxy)} ({variable}) refused the connection: 403 Whatever"


@pytest.mark.fault(9)
@pytest.mark.parametrize(
    "url",
    [
        "socks5://127.0.0.1:1080",
        "http://",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:0",
        "http://127.0.0.1:80a",
        "http://two words:80",
        "http://ümlaut:80",
        "http://me:perch/trout@127.0.0.1:1",
        "ftp://me:perch@trout@127.0.0.1:1",
    ],
)
def test_a_proxy_url_that_is_none_is_told_without_its_password(llmcli: Program, url: str) -> None:
    done = openai(llmcli, ELSEWHERE, HTTPS_PROXY=url)
    said = complaint(done, 7)

    assert said.message.startswith("HTTPS_PROXY is no usable proxy URL: ")
    assert said.hint is not None
    assert "http://host:port" in said.hint
    assert "perch" not in done.err
    assert "trout" not in done.err


@pytest.mark.fault(9)
@pytest.mark.parametrize("sent", [b"", b"220 ftp.example.com ready\r\n\r\n"], ids=["nothing", "no-http"])
def test_a_proxy_that_is_none_is_named(llmcli: Program, blurt: Callable[[bytes], int], sent: bytes) -> None:
    proxy = f"http://127.0.0.1:{blurt(sent)}"
    said = complaint(openai(llmcli, ELSEWHERE, HTTPS_PROXY=proxy), 7)

    assert said.message.startswith(f"proxy {proxy} (HTTPS_PROXY) refused the connection: ")
    assert "bytearray" not in said.message


@pytest.mark.fault(9)
def test_a_silent_proxy_costs_the_connect_timeout(llmcli: Program, serve: Serve) -> None:
    proxy = serve(lambda connection: connection.wait_until_gone())
    said = complaint(openai(llmcli, ELSEWHERE, "--connect-timeout", "0.3", HTTPS_PROXY=address(proxy)), 7)

    assert said.message == f"proxy {address(proxy)} (HTTPS_PROXY): no connection in 0.3 s"


@pytest.mark.fault(9)
def test_a_proxy_of_the_configuration_is_named_as_such(llmcli: Program, closed_port: int) -> None:
    llmcli.configure(f'[providers.openai]\nproxy = "http://me:troutperch@127.0.0.1:{closed_port}"\n')
    done = openai(llmcli, ELSEWHERE)

    assert complaint(done, 7).message == (
        f"connection refused by proxy http://127.0.0.1:{closed_port} (proxy in the configuration)"
    )


@pytest.mark.fault(9)
def test_the_answer_comes_through_a_proxy_that_works_and_its_password_is_shown_nowhere(
    llmcli: Program, serve: Serve, authority: trustme.CA, ca_file: str
) -> None:
    server = serve(says("through"), tls=server_tls(authority, "api.example.invalid"))
    proxy = serve(through(server))
    done = openai(
        llmcli, ELSEWHERE, "--ca-bundle", ca_file, "--verbose", HTTPS_PROXY=address(proxy, "me:sw%40rd%C3%BCfish@")
    )

    assert (done.status, done.text) == (0, "through")
    (connect,) = proxy.requests
    assert (connect.method, connect.path) == ("CONNECT", "api.example.invalid:443")
    assert connect.headers["proxy-authorization"] == f"Basic {b64encode('me:sw@rdüfish'.encode()).decode()}"
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert address(proxy) in done.err
    assert not any(form in done.err for form in ("sw%40rd", "sw@rd", b64encode(b"sw@rd").decode()[:-2]))


@pytest.mark.fault(9)
def test_a_certificate_behind_a_proxy_is_not_looked_at_again_past_the_proxy(
    llmcli: Program, serve: Serve, tls: ssl.SSLContext, ca_file: str
) -> None:
    """2130706433 is 127.0.0.1, spelled so that it is not taken for this machine."""
    server = serve(says("hi"), tls=tls)
    url = f"https://2130706433:{server.port}/v1"
    said = complaint(openai(llmcli, url, "--ca-bundle", ca_file, HTTPS_PROXY=address(serve(through(server)))), 7)

    assert said.message == "the certificate is not for 2130706433 but for other names"
    assert server.accepted == 1
    assert server.requests == []


@pytest.mark.fault(9)
@pytest.mark.fault(6)
def test_an_untrusted_https_proxy_is_not_taken_for_the_provider(
    llmcli: Program, serve: Serve, tls: ssl.SSLContext
) -> None:
    proxy = serve(answers(200, ""), tls=tls)
    said = complaint(openai(llmcli, ELSEWHERE, HTTPS_PROXY=f"https://127.0.0.1:{proxy.port}"), 7)

    assert said.message == (
        f"the certificate of proxy https://127.0.0.1:{proxy.port} (HTTPS_PROXY) "
        "is signed by an authority that is not trusted here"
    )
    assert proxy.requests == []


@pytest.mark.fault(10)
def test_a_proxy_that_wants_a_password_is_not_taken_for_a_provider_that_wants_a_key(
    llmcli: Program, serve: Serve
) -> None:
    proxy = serve(answers(407, "who are you?", Proxy_Authenticate="Basic"))
    done = openai(llmcli, ELSEWHERE, "--retries", "2", HTTPS_PROXY=address(proxy))
    said = complaint(done, 7)

    assert said.message == f"proxy {address(proxy)} (HTTPS_PROXY) wants authentication"
    assert said.hint == "put user and password into its URL: http://user:password@host:port"
    (asked,) = proxy.requests
    assert asked.method == "CONNECT"
    assert "authorization" not in asked.headers
    assert KEY not in str(asked)
    assert PROMPT.encode() not in asked.body


@pytest.mark.fault(10)
def test_a_wrong_proxy_password_is_shown_nowhere(llmcli: Program, serve: Serve) -> None:
    proxy = serve(answers(407, "who are you?"))
    done = openai(llmcli, ELSEWHERE, "--verbose", HTTPS_PROXY=address(proxy, "me:troutperch@"))

    assert done.status == 7
    assert "wants authentication" in done.err
    assert "troutperch" not in done.err
    assert b64encode(b"me:troutperch").decode() not in done.err


@pytest.mark.fault(10)
def test_a_407_to_a_plain_http_request_is_the_proxy_s_too(llmcli: Program, serve: Serve) -> None:
    proxy = serve(answers(407, "who are you?"))
    said = complaint(llmcli.chat("http://api.example.invalid/v1", "hi", env={"HTTP_PROXY": address(proxy)}), 7)

    assert said.message == f"proxy {address(proxy)} (HTTP_PROXY) wants authentication"


@pytest.mark.fault(11)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_what_is_on_this_machine_never_goes_through_a_proxy(llmcli: Program, serve: Serve, host: str) -> None:
    server = serve(says("direct"))
    proxy = serve(says("through the proxy"))
    env = dict.fromkeys(("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"), address(proxy))
    done = llmcli.chat(f"http://{host}:{server.port}/v1", PROMPT, env=env)

    assert (done.status, done.text) == (0, "direct")
    assert proxy.accepted == 0


@pytest.mark.fault(11)
def test_a_host_that_no_proxy_names_is_asked_directly(llmcli: Program, serve: Serve) -> None:
    proxy = serve(answers(403, "no"))
    done = openai(llmcli, ELSEWHERE, HTTPS_PROXY=address(proxy), NO_PROXY="other.invalid, .example.invalid")

    assert complaint(done, 7).message.startswith("cannot resolve api.example.invalid: ")
    assert proxy.accepted == 0


@pytest.mark.fault(11)
@pytest.mark.parametrize(
    ("url", "no_proxy", "is_direct"),
    [
        ("https://api.example.com/v1", "", False),
        ("https://api.example.com/v1", "*", True),
        ("https://api.example.com/v1", "example.com", True),
        ("https://api.example.com/v1", ".EXAMPLE.com ", True),
        ("https://api.example.com/v1", "api.example.com:443", True),
        ("https://api.example.com/v1", "ample.com,,", False),
        ("https://api.example.com/v1", "example.com.evil.org", False),
        ("http://10.1.2.3:8000/v1", "10.0.0.0/8", True),
        ("http://10.1.2.3:8000/v1", "11.0.0.0/8,nonsense/99", False),
        ("http://[fd00::1]:8000/v1", "fd00::/8", True),
        ("http://127.0.0.1:1/v1", "", True),
        ("http://127.9.9.9:1/v1", "", True),
        ("http://[::1]:1/v1", "", True),
        ("http://LOCALHOST:1/v1", "", True),
        ("http://model.localhost:1/v1", "", True),
        ("http://127.0.0.1.evil.org/v1", "", False),
        ("http://localhost.evil.org/v1", "", False),
        ("http://notlocalhost/v1", "", False),
    ],
)
def test_no_proxy_and_loopback_are_matched_by_whole_names(url: str, no_proxy: str, is_direct: bool) -> None:
    assert (proxy_for(url, {"ALL_PROXY": "http://proxy:3128", "NO_PROXY": no_proxy}) is None) is is_direct


@pytest.mark.fault(3)
def test_the_configured_time_to_connect_holds_for_every_command(llmcli: Program) -> None:
    with full() as port:
        url = f"http://127.0.0.1:{port}/v1"
        llmcli.configure(
            f'[providers.mine]\nadapter = "openai-compatible"\nbase_url = "{url}"\ntimeouts = {{ connect = 0.2 }}'
        )
        done = llmcli("models", "list", "mine")

    assert complaint(done, 7).message == f"127.0.0.1:{port}: no connection in 0.2 s"


# --- not an API, not here -------------------------------------------------------------------------


@pytest.mark.fault(12)
@pytest.mark.parametrize("mode", ["--stream", "--no-stream"])
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("<!DOCTYPE html><html><body>Please accept our terms</body></html>", "text/html; charset=utf-8"),
        ("\n\n  <html>Please accept our terms</html>", "text/plain"),
        ("<html>Please accept our terms</html>", "application/json"),
        ("Please accept our terms", "text/html"),
    ],
)
def test_a_web_page_is_not_printed_as_the_answer(
    llmcli: Program, serve: Serve, body: str, content_type: str, mode: str
) -> None:
    server = serve(answers(200, body, content_type))
    done = llmcli.chat(server.url, "hi", mode, "--retries", "2")
    said = complaint(done, 8)

    assert said.message == "got a web page, not an API answer"
    assert said.hint == "check the base URL and the proxy"
    assert said.facts["http"] == "200"
    assert "terms" not in done.err
    assert len(server.requests) == 1


@pytest.mark.fault(13)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed_and_its_target_sees_nothing(llmcli: Program, serve: Serve, status: int) -> None:
    target = serve(says("stolen"))
    server = serve(answers(status, "", Location=f"http://me:troutperch@127.0.0.1:{target.port}/v1/chat/completions"))
    done = openai(llmcli, server.url, "--retries", "2")
    said = complaint(done, 8)

    assert said.message == (
        f"redirect to http://127.0.0.1:{target.port}/v1/chat/completions refused: "
        "following it would carry the key and the prompt along"
    )
    assert said.hint == "if that is the right address, use it as the base URL"
    assert said.facts == {"provider": "openai", "http": str(status)}
    assert "troutperch" not in done.err
    assert target.accepted == 0
    assert len(server.requests) == 1


@pytest.mark.fault(13)
def test_a_redirect_to_the_same_server_is_not_followed_either(llmcli: Program, serve: Serve) -> None:
    server = serve(answers(308, "", Location="/v2/chat/completions"), says("elsewhere"))
    said = complaint(llmcli.chat(server.url, "hi"), 8)

    assert said.message.startswith("redirect to /v2/chat/completions refused: ")
    assert len(server.requests) == 1


@pytest.mark.fault(13)
@pytest.mark.parametrize(
    ("location", "shown"),
    [("", "redirect to nowhere"), ("Location: /\x1b[2J\x9b31m\r\n", "redirect to /^[[2J\\x9b31m refused")],
)
def test_a_strange_redirect_does_no_harm(llmcli: Program, serve: Serve, location: str, shown: str) -> None:
    answer = f"HTTP/1.1 302 Found\r\n{location}Content-Length: 0\r\n\r\n".encode("latin-1")
    said = complaint(llmcli.chat(serve(lambda connection: connection.send(answer)).url, "hi"), 8)

    assert said.message.startswith(shown)


# --- base URLs ------------------------------------------------------------------------------------


@pytest.mark.fault(14)
@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("file:///etc/passwd", "it should begin with https:// or http://"),
        ("api.example.invalid/v1", "it should begin with https:// or http://"),
        ("localhost:8080/v1", "it should begin with https:// or http://"),
        ("//api.example.invalid/v1", "it should begin with https:// or http://"),
        ("", "it should begin with https:// or http://"),
        ("https://api.example.invalid/v 1", "it holds blanks or control characters"),
        ("https://api.example.invalid/v1\n", "it holds blanks or control characters"),
        ("https://api.example.invalid\x1b[2J/v1", "it holds blanks or control characters"),
        ("https://", "its host or port is not valid"),
        ("https:///v1", "its host or port is not valid"),
        ("https://api.example.invalid:port/v1", "its host or port is not valid"),
        ("https://api.example.invalid:99999/v1", "its host or port is not valid"),
        ("https://api.example.invalid:0/v1", "its host or port is not valid"),
        ("https://[::1/v1", "its host or port is not valid"),
        ("https://api.example.invalid/v1#top", "it holds a fragment"),
    ],
)
def test_a_base_url_that_cannot_be_one_exits_2_and_says_why(llmcli: Program, url: str, problem: str) -> None:
    said = complaint(llmcli.chat(url, "hi"), 2)

    assert said.message.startswith("--base-url: ")
    assert said.message.endswith(f" is no base URL: {problem}")


@pytest.mark.fault(14)
@pytest.mark.parametrize("userinfo", ["me:troutperch@", "troutperch@", "me:perch/trout@", "me:perch@trout@"])
def test_a_password_in_a_base_url_is_refused_and_not_repeated(llmcli: Program, serve: Serve, userinfo: str) -> None:
    server = serve(says("hi"))
    done = llmcli.chat(server.url.replace("//", f"//{userinfo}"), "hi")

    assert f"'{server.url}' is no base URL: " in complaint(done, 2).message
    assert "perch" not in done.err
    assert "trout" not in done.err
    assert server.accepted == 0


@pytest.mark.fault(14)
def test_a_query_in_a_base_url_is_refused_and_not_repeated(llmcli: Program, serve: Serve) -> None:
    server = serve(says("hi"))
    done = llmcli.chat(f"{server.url}?key=troutperch", "hi")

    assert "holds a query" in complaint(done, 2).message
    assert "troutperch" not in done.err
    assert server.accepted == 0


@pytest.mark.fault(14)
def test_a_wrong_base_url_is_blamed_on_where_it_stands(llmcli: Program) -> None:
    env = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "file:///etc/passwd"}
    said = complaint(llmcli("chat", "-n", "-m", "openai/gpt", "hi", env=env), 2)
    assert said.message.startswith("OPENAI_BASE_URL: 'file:///etc/passwd' is no base URL: ")

    llmcli.configure('[providers.acme]\nadapter = "openai-compatible"\nbase_url = "acme.invalid/v1"\n')
    said = complaint(llmcli("chat", "-n", "-m", "acme/m", "hi"), 2)
    assert said.message.startswith(f"{llmcli.config}/config.toml: providers.acme.base_url: 'acme.invalid/v1' is no ")


@pytest.mark.fault(14)
@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v1", "/v1/chat/completions"),
        ("/v1/", "/v1/chat/completions"),
        ("/v1//", "/v1/chat/completions"),
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/chat/completions/", "/v1/chat/completions"),
        ("", "/chat/completions"),
        ("/", "/chat/completions"),
        ("/openai/v1", "/openai/v1/chat/completions"),
    ],
)
def test_what_people_paste_as_a_base_url_leads_to_one_path(
    llmcli: Program, serve: Serve, path: str, asked: str
) -> None:
    server = serve(says("hi"))

    assert llmcli.chat(server.url.removesuffix("/v1") + path, "hi").text == "hi"
    assert [request.path for request in server.requests] == [asked]


@pytest.mark.fault(14)
@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/", "/v1/messages"])
def test_the_same_for_anthropic(llmcli: Program, serve: Serve, path: str) -> None:
    server = serve(answers(401, ""))
    url = server.url.removesuffix("/v1") + path
    llmcli("chat", "-n", "-m", "anthropic/m", "--base-url", url, "hi", env={"ANTHROPIC_API_KEY": KEY})

    assert [request.path for request in server.requests] == ["/v1/messages"]


@pytest.mark.fault(14)
@pytest.mark.parametrize("path", ["", "/", "/v1", "/api", "/api/chat"])
def test_the_same_for_ollama(llmcli: Program, serve: Serve, path: str) -> None:
    server = serve(answers(401, ""))
    host = server.url.removesuffix("/v1").removeprefix("http://")
    llmcli("chat", "-n", "-m", "ollama/m", "hi", env={"OLLAMA_HOST": host + path})

    assert [request.path for request in server.requests] == ["/api/chat"]
