"""A WebSocket from plain bytes: what a server may send, however it is cut, and what each close code comes to."""

from collections import deque
from collections.abc import Callable

import pytest
from llmcli.errors import AuthenticationFailed, Busy, LlmError, NetworkFailed, ProviderFailed, RequestRejected
from websockets.client import ClientProtocol
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import Protocol, Side, State
from websockets.uri import parse_uri

from llmcli_websocket.connection import MESSAGE_LIMIT, Connection, Message, closed


class Wire:
    """A connection to a server that says these chunks and hangs up; knows what it was sent, and what came last."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = list(chunks)
        self.sent = b""
        self.last: bytes | None = None

    def read(self) -> bytes:
        return self.chunks.pop(0) if self.chunks else b""

    def write(self, data: bytes) -> None:
        self.sent += data

    def part(self, last: bytes) -> None:
        assert self.last is None, "took leave twice"
        self.last = last


def over(wire: Wire, alive: Callable[[], None] = lambda: None) -> Connection:
    return Connection(wire, ClientProtocol(parse_uri("ws://x"), state=State.OPEN, max_size=MESSAGE_LIMIT), alive)


def frame(opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> bytes:
    """A frame as a server writes it."""
    return Frame(opcode, data, fin).serialize(mask=False)


def close(code: int, reason: str = "") -> bytes:
    return frame(Opcode.CLOSE, Close(code, reason).serialize())


def seen(data: bytes) -> list[tuple[Opcode, bytes]]:
    """The frames that a client wrote, as a server reads them."""
    server = Protocol(Side.SERVER)
    server.receive_data(data)
    return [(event.opcode, bytes(event.data)) for event in server.events_received() if isinstance(event, Frame)]


def heard(wire: Wire, count: int) -> list[Message]:
    connection = over(wire)
    return [connection.receive() for _ in range(count)]


def error_of(*chunks: bytes) -> LlmError:
    """What is raised after the last message."""
    connection = over(Wire(*chunks))
    with pytest.raises(LlmError) as caught:
        deque(iter(connection.receive, None), maxlen=0)
    return caught.value


SPEECH = (
    frame(Opcode.TEXT, "één".encode())
    + frame(Opcode.PING, b"?")
    + frame(Opcode.TEXT, b"tw" + "é".encode()[:1], fin=False)
    + frame(Opcode.PING, b"between")
    + frame(Opcode.CONT, "é".encode()[1:], fin=False)
    + frame(Opcode.PONG)
    + frame(Opcode.CONT)
    + frame(Opcode.BINARY, b"\x00\xff")
    + frame(Opcode.TEXT, b"x" * 70_000)
)
SAID: list[Message] = ["één", "twé", b"\x00\xff", "x" * 70_000]


def test_messages_may_be_cut_into_fragments_even_within_a_letter_with_pings_between() -> None:
    assert heard(Wire(SPEECH), 4) == SAID


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_the_bytes_may_arrive_in_any_pieces(size: int) -> None:
    pieces = [SPEECH[start : start + size] for start in range(0, len(SPEECH), size)]

    assert heard(Wire(*pieces), 4) == SAID


def test_pings_are_answered_with_what_they_carried() -> None:
    wire = Wire(SPEECH)
    connection = over(wire)
    for _ in range(4):
        connection.receive()
    with pytest.raises(NetworkFailed):
        connection.receive()

    assert seen(wire.sent) == [(Opcode.PONG, b"?"), (Opcode.PONG, b"between")]


def test_a_ping_shows_that_the_server_lives_and_a_message_shows_more() -> None:
    signs: list[str] = []
    connection = over(Wire(frame(Opcode.PING), frame(Opcode.TEXT, b"hi")), lambda: signs.append("alive"))

    assert connection.receive() == "hi"
    assert signs == ["alive"]


def test_text_goes_out_as_text_and_bytes_as_binary() -> None:
    wire = Wire()
    connection = over(wire)
    connection.send("één")
    connection.send(b"\x00\xff")

    assert seen(wire.sent) == [(Opcode.TEXT, "één".encode()), (Opcode.BINARY, b"\x00\xff")]


def test_what_a_server_said_before_it_closed_is_heard_first() -> None:
    connection = over(Wire(frame(Opcode.TEXT, b"last") + close(1011)))

    assert connection.receive() == "last"
    with pytest.raises(ProviderFailed):
        connection.receive()


def test_leaving_says_a_last_message_and_then_closes_normally() -> None:
    wire = Wire()
    connection = over(wire)
    connection.close("stop!")
    connection.close("stop!!")

    assert seen(wire.last or b"") == [(Opcode.TEXT, b"stop!"), (Opcode.CLOSE, Close(1000, "").serialize())]


def test_a_server_that_closed_gets_its_code_back_and_no_last_message() -> None:
    wire = Wire(close(1012))
    connection = over(wire)
    with pytest.raises(NetworkFailed):
        connection.receive()
    connection.close("stop!")

    assert seen(wire.last or b"") == [(Opcode.CLOSE, Close(1012, "").serialize())]


def test_nothing_is_sent_to_a_server_that_closed() -> None:
    wire = Wire(frame(Opcode.TEXT, b"no") + close(4401, "who are you?"))
    connection = over(wire)
    connection.receive()

    with pytest.raises(AuthenticationFailed):
        connection.send("hello")
    assert wire.sent == b""


@pytest.mark.parametrize(
    ("code", "reason", "kind", "words"),
    [
        (1000, "", ProviderFailed, "1000 (normal closure)"),
        (1000, "bye", ProviderFailed, "1000 (normal closure): bye"),
        (1001, "", NetworkFailed, "1001 (going away)"),
        (1002, "", ProviderFailed, "1002 (protocol error)"),
        (1007, "", ProviderFailed, "1007 (invalid data)"),
        (1008, "", AuthenticationFailed, "1008 (policy violation)"),
        (1008, "Invalid API key", AuthenticationFailed, "1008 (policy violation): Invalid API key"),
        (1008, "no such voice", RequestRejected, "1008 (policy violation): no such voice"),
        (1009, "", RequestRejected, "1009 (message too big)"),
        (1011, "oh", ProviderFailed, "1011 (internal error): oh"),
        (1011, "keepalive ping timeout", NetworkFailed, "1011 (internal error): keepalive ping timeout"),
        (1012, "", NetworkFailed, "1012 (service restart)"),
        (1013, "", Busy, "1013 (try again later)"),
        (1014, "", ProviderFailed, "1014 (bad gateway)"),
        (3000, "", ProviderFailed, "3000"),
        (4000, "", ProviderFailed, "4000 (the application's own code)"),
        (4400, "bad", RequestRejected, "4400 (the application's own code): bad"),
        (4401, "", AuthenticationFailed, "4401"),
        (4403, "", AuthenticationFailed, "4403"),
        (4429, "slow down", Busy, "4429 (the application's own code): slow down"),
        (4500, "", ProviderFailed, "4500"),
    ],
)
def test_a_close_code_is_named_and_becomes_the_error_that_it_means(
    code: int, reason: str, kind: type[LlmError], words: str
) -> None:
    error = error_of(frame(Opcode.TEXT, b"hi"), close(code, reason))

    assert type(error) is kind
    assert words in error.message
    assert error.http_status is None


def test_a_connection_that_ends_without_a_close_frame_is_1006_and_no_end() -> None:
    error = error_of(frame(Opcode.TEXT, b"hi"))

    assert type(error) is NetworkFailed
    assert "1006 (without a close frame)" in error.message


def test_a_close_frame_without_a_code_is_1005() -> None:
    assert "1005 (no code)" in error_of(frame(Opcode.CLOSE)).message


@pytest.mark.parametrize("code", [1001, 1011, 1012, 1013])
def test_a_server_that_says_come_back_is_asked_again(code: int) -> None:
    assert closed(code, "").retry_ok is True


@pytest.mark.parametrize("code", [1000, 1005, 1006, 1008, 4000])
def test_any_other_is_not_taken_for_one_that_says_so(code: int) -> None:
    assert closed(code, "").retry_ok is None


def test_a_message_that_is_too_long_is_refused_before_it_is_read() -> None:
    start = frame(Opcode.TEXT, b"x" * MESSAGE_LIMIT, fin=False)
    error = error_of(start, frame(Opcode.CONT, b"x"))

    assert type(error) is ProviderFailed
    assert "longer than 16 MiB (1009)" in error.message


def test_a_text_that_is_not_utf_8_is_named() -> None:
    assert "not UTF-8 (1007)" in error_of(frame(Opcode.TEXT, b"\xff")).message


def test_what_is_no_websocket_is_named_and_never_text() -> None:
    assert "is no WebSocket" in error_of(b"HTTP/1.1 500 Oops\r\n\r\n" + b"<p>Sorry</p>" * 9).message
