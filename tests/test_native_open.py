"""A native provider asks a server for another protocol: what it is handed, and what becomes of it when that fails."""

import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from llmcli.answer import Call, native_call
from llmcli.deadlines import Deadlines
from llmcli.errors import LlmError, NetworkFailed, ProviderFailed, TimedOut
from llmcli.provider import NativeCall, Opened
from llmcli.providers.echo import Echo
from llmcli.transport import Transport
from llmcli.types import HttpRequest, ProviderConfig, Timeouts
from tests.servers import Connection, Request, Server, answers, read_request

Serve = Callable[..., Server]

UPGRADE = {"Connection": "Upgrade", "Upgrade": "shouting"}
AGREED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: shouting\r\n\r\n"


def called(transport: Transport | None = None, **timeouts: float) -> NativeCall:
    """A call as a native provider is handed it."""
    times = Timeouts(**timeouts)
    config = ProviderConfig("acme", headers={"X-Team": "blue"})
    deadlines = Deadlines(times, started=time.monotonic())
    return native_call(Echo(config), Call(transport or Transport(env={}), timeouts=times), deadlines, stream=True)


@contextmanager
def opened(server: Server, call: NativeCall | None = None) -> Iterator[Opened]:
    """What a native provider gets that asks this server for another protocol."""
    with (call or called()).open(HttpRequest("GET", server.url + "/talk", UPGRADE)) as answer:
        yield answer


def shout(connection: Connection) -> None:
    """Agree, and answer everything in capitals until the client hangs up."""
    connection.send(AGREED + b"HELLO ")
    while data := connection.socket.recv(65536):
        connection.send(data.upper())


def agree_and_hang_up(connection: Connection) -> None:
    connection.send(AGREED)


def agree_and_reset(connection: Connection) -> None:
    connection.send(AGREED)
    connection.socket.recv(65536)
    connection.reset()


def agree_and_be_silent(connection: Connection) -> None:
    connection.send(AGREED)
    connection.wait_until_gone()


def heard(answer: Opened, length: int) -> bytes:
    assert answer.duplex is not None
    data = b""
    while len(data) < length:
        data += answer.duplex.read()
    return data


def test_an_upgraded_connection_carries_bytes_in_both_directions(serve: Serve) -> None:
    server = serve(shout)
    with opened(server) as answer:
        assert answer.duplex is not None
        answer.duplex.write(b"world")

        assert heard(answer, 11) == b"HELLO WORLD"

    assert server.requests[0].headers["upgrade"] == "shouting"
    assert server.requests[0].headers["x-team"] == "blue"


def test_an_upgraded_connection_is_encrypted_and_trusted_as_any(
    serve: Serve, tls: ssl.SSLContext, ca_file: str
) -> None:
    with opened(serve(shout, tls=tls), called(Transport(env={}, ca_bundle=ca_file))) as answer:
        assert heard(answer, 6) == b"HELLO "

    with pytest.raises(NetworkFailed, match="not trusted"), opened(serve(shout, tls=tls)):
        pass


def test_a_server_that_hangs_up_after_the_upgrade_has_said_nothing_more(serve: Serve) -> None:
    with opened(serve(agree_and_hang_up)) as answer:
        assert answer.duplex is not None
        assert answer.duplex.read() == b""


def test_a_server_that_declines_answers_like_any(serve: Serve) -> None:
    with opened(serve(answers(401, {"error": "who are you?"}, Retry_After="3"))) as answer:
        assert (answer.status, answer.duplex) == (401, None)
        assert answer.headers["retry-after"] == "3"
        assert b"who are you?" in answer.excerpt()


def test_a_redirect_of_an_upgrade_is_not_followed(serve: Serve) -> None:
    elsewhere = answers(302, "", Location="https://elsewhere.example/")
    with pytest.raises(ProviderFailed, match=r"elsewhere\.example"), opened(serve(elsewhere)):
        pass


def test_a_connection_that_is_reset_after_the_upgrade_is_a_lost_one(serve: Serve) -> None:
    with opened(serve(agree_and_reset)) as answer:
        assert answer.duplex is not None
        answer.duplex.write(b"hello?")
        with pytest.raises(NetworkFailed, match="was lost") as raised:
            answer.duplex.read()

    assert raised.value.sent


def test_waiting_on_an_upgraded_connection_ends_at_the_deadline(serve: Serve) -> None:
    with opened(serve(agree_and_be_silent), called(first=0.3)) as answer:
        assert answer.duplex is not None
        with pytest.raises(TimedOut, match="no answer began"):
            answer.duplex.read()


class Chatter:
    """Agrees, says a lot, and listens until the client hangs up."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.left = threading.Event()

    def __call__(self, connection: Connection) -> None:
        connection.send(AGREED + b"la " * 10_000)
        while data := connection.socket.recv(65536):
            self.heard += data
        self.left.set()


def test_the_last_word_arrives_although_what_the_server_said_is_unread(serve: Serve) -> None:
    chatter = Chatter()
    with opened(serve(chatter)) as answer:
        assert answer.duplex is not None
        answer.duplex.part(b"goodbye")

    assert chatter.left.wait(10)
    assert chatter.heard == b"goodbye"


def test_the_last_word_arrives_even_after_the_deadline(serve: Serve) -> None:
    chatter = Chatter()
    with opened(serve(chatter), called(first=0.3)) as answer:
        assert answer.duplex is not None
        with pytest.raises(TimedOut):
            heard(answer, 1_000_000)
        answer.duplex.part(b"goodbye")

    assert chatter.left.wait(10)
    assert chatter.heard == b"goodbye"


def test_the_last_word_to_a_server_that_has_gone_fails_nothing(serve: Serve) -> None:
    with opened(serve(agree_and_reset)) as answer:
        assert answer.duplex is not None
        answer.duplex.write(b"hello?")
        with pytest.raises(NetworkFailed):
            answer.duplex.read()
        answer.duplex.part(b"goodbye")


def test_leaving_the_block_closes_the_connection(serve: Serve) -> None:
    server = serve(agree_and_be_silent)
    with opened(server):
        pass

    assert server.connections[0].gone.wait(10)


def test_who_waits_in_another_thread_stops_when_the_call_is_abandoned_and_can_say_a_last_word(serve: Serve) -> None:
    chatter, call = Chatter(), called()
    with opened(serve(chatter), call) as answer:
        duplex, errors = answer.duplex, list[LlmError]()
        assert duplex is not None

        def wait() -> None:
            try:
                while duplex.read():
                    pass
            except LlmError as exc:
                errors.append(exc)
            duplex.part(b"goodbye")

        waiting = threading.Thread(target=wait)
        waiting.start()
        call.abandon()
        waiting.join(10)

        assert [error.message for error in errors] == ["the answer was abandoned"]

    assert chatter.left.wait(10)
    assert chatter.heard == b"goodbye"


FAR = HttpRequest("GET", "http://shout.example.test/talk", UPGRADE)  # loopback addresses never go through a proxy


def behind(proxy: Server) -> NativeCall:
    host = proxy.url.removesuffix("/v1").removeprefix("http://")
    return called(Transport(env={"http_proxy": f"http://me:p%40ss@{host}"}))


def test_a_proxy_makes_a_tunnel_for_an_upgrade_in_the_clear(serve: Serve) -> None:
    def tunnel(connection: Connection) -> None:
        connection.send(b"HTTP/1.1 200 Tunnel\r\n\r\n")
        inner.append(read_request(connection.socket))
        shout(connection)

    inner: list[Request | None] = []
    proxy = serve(tunnel)
    with behind(proxy).open(FAR) as answer:
        assert heard(answer, 6) == b"HELLO "

    outer = proxy.requests[0]
    assert (outer.method, outer.path) == ("CONNECT", "shout.example.test:80")
    assert outer.headers["proxy-authorization"] == "Basic " + b64encode(b"me:p@ss").decode()
    assert inner[0] is not None
    assert (inner[0].method, inner[0].path, inner[0].headers["upgrade"]) == ("GET", "/talk", "shouting")
    assert "proxy-authorization" not in inner[0].headers


@pytest.mark.parametrize(("status", "words"), [(403, "refused the connection: 403"), (407, "wants authentication")])
def test_a_proxy_that_makes_no_tunnel_is_named(serve: Serve, status: int, words: str) -> None:
    with pytest.raises(NetworkFailed, match=words) as raised, behind(serve(answers(status, "no"))).open(FAR):
        pass

    assert raised.value.message.startswith("proxy http://127.0.0.1:")
    assert not raised.value.sent
