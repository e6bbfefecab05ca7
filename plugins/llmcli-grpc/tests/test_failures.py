"""What goes wrong on the way and at the server: each status, streams that are cut, deadlines, and who hears of it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import grpc
import pytest
import raw_http2
from conftest import Asking
from google.protobuf.any_pb2 import Any
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from grpc_service import chunk, failing, saying, serving, stalling
from llmcli.answer import Call, native_call
from llmcli.deadlines import Deadlines
from llmcli.errors import (
    AuthenticationFailed,
    Busy,
    Incomplete,
    LlmError,
    NetworkFailed,
    ProviderFailed,
    QuotaExceeded,
    RequestRejected,
    TimedOut,
    UnknownModel,
)
from llmcli.transport import Transport
from llmcli.types import ChatRequest, Finish, TextDelta, Timeouts, message

Code = grpc.StatusCode


# --- statuses -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "details", "kind", "http_status"),
    [
        (Code.UNAUTHENTICATED, "bad token", AuthenticationFailed, 401),
        (Code.PERMISSION_DENIED, "not yours", AuthenticationFailed, 403),
        (Code.NOT_FOUND, "model 'm' not found", UnknownModel, 404),
        (Code.NOT_FOUND, "no such session", RequestRejected, 404),
        (Code.INVALID_ARGUMENT, "temperature", RequestRejected, 400),
        (Code.FAILED_PRECONDITION, "load it first", RequestRejected, 400),
        (Code.OUT_OF_RANGE, "top_p", RequestRejected, 400),
        (Code.RESOURCE_EXHAUSTED, "slow down", Busy, 429),
        (Code.RESOURCE_EXHAUSTED, "insufficient_quota", QuotaExceeded, 429),
        (Code.UNAVAILABLE, "restarting", Busy, 503),
        (Code.DEADLINE_EXCEEDED, "upstream", ProviderFailed, 504),
        (Code.INTERNAL, "oops", ProviderFailed, 500),
        (Code.UNKNOWN, "oops", ProviderFailed, 500),
        (Code.DATA_LOSS, "oops", ProviderFailed, 500),
        (Code.CANCELLED, "by the server", ProviderFailed, 499),
        (Code.ABORTED, "conflict", ProviderFailed, 409),
        (Code.UNIMPLEMENTED, "not here", RequestRejected, 501),
    ],
)
def test_each_status_is_the_error_that_it_means(
    ask: Asking, code: grpc.StatusCode, details: str, kind: type[LlmError], http_status: int
) -> None:
    with serving(failing(code, details)) as server:
        error = ask(ask.provider(server.base_url)).error
    assert type(error) is kind
    assert error.http_status == http_status
    assert details in error.message
    assert "HTTP" not in error.message


def packed(*details: ErrorInfo | RetryInfo, message: str = "") -> bytes:
    status = Status(code=8, message=message)
    for detail in details:
        status.details.add().Pack(detail)
    status.details.append(Any(type_url="type.googleapis.com/acme.Unknown", value=b"\x08\x01"))
    return bytes(status.SerializeToString())


def test_the_servers_wish_when_to_come_back_is_read_from_its_details(ask: Asking) -> None:
    wish = RetryInfo()
    wish.retry_delay.FromMilliseconds(2500)
    script = failing(Code.RESOURCE_EXHAUSTED, "slow down", grpc_status_details_bin=packed(wish))
    with serving(script) as server:
        error = ask(ask.provider(server.base_url)).error
    assert isinstance(error, Busy)
    assert error.retry_after == 2.5
    assert "slow down" in error.message


def test_the_reason_in_the_details_decides_more_than_the_status(ask: Asking) -> None:
    script = failing(
        Code.INVALID_ARGUMENT, "no", grpc_status_details_bin=packed(ErrorInfo(reason="API_KEY_INVALID"), message="no")
    )
    with serving(script) as server:
        assert isinstance(ask(ask.provider(server.base_url)).error, AuthenticationFailed)


def test_details_that_cannot_be_read_leave_the_plain_text(ask: Asking) -> None:
    with serving(failing(Code.RESOURCE_EXHAUSTED, "slow down", grpc_status_details_bin=b"\xff\xff")) as server:
        error = ask(ask.provider(server.base_url)).error
    assert isinstance(error, Busy)
    assert "slow down" in error.message


@pytest.mark.parametrize(("name", "value"), [("retry_after", "7"), ("grpc_retry_pushback_ms", "7000")])
def test_the_servers_wish_may_stand_in_its_metadata(ask: Asking, name: str, value: str) -> None:
    with serving(failing(Code.UNAVAILABLE, "later", **{name: value, "x_request_id": "r-1"})) as server:
        error = ask(ask.provider(server.base_url)).error
    assert isinstance(error, Busy)
    assert (error.retry_after, error.request_id) == (7.0, "r-1")


def test_a_status_behind_output_makes_the_answer_incomplete(ask: Asking) -> None:
    with serving(failing(Code.INTERNAL, "oops", {"text": "Hel"})) as server:
        heard = ask(ask.provider(server.base_url))
    assert heard.text == "Hel"
    assert isinstance(heard.error, Incomplete)


def test_an_answer_over_16_mib_is_refused_and_not_asked_for_again(ask: Asking) -> None:
    with serving(saying({"text": "x" * (16 * 1024 * 1024)})) as server:
        error = ask(ask.provider(server.base_url)).error
    assert isinstance(error, RequestRejected)
    assert not error.retryable
    assert "larger than max" in error.message


def test_an_answer_over_grpcs_own_4_mib_is_read(ask: Asking) -> None:
    with serving(saying({"text": "x" * (5 * 1024 * 1024)})) as server:
        assert len(ask(ask.provider(server.base_url)).text) == 5 * 1024 * 1024


def test_a_request_that_the_server_finds_too_large_is_not_sent_again(ask: Asking) -> None:
    with serving(failing(Code.RESOURCE_EXHAUSTED, "SERVER: Received message larger than max (9 vs. 4)")) as server:
        error = ask(ask.provider(server.base_url)).error
    assert isinstance(error, RequestRejected)
    assert error.http_status == 413


# --- streams that are cut -------------------------------------------------------------------------

HELLO = raw_http2.message(chunk({"text": "Hel"}))
OK = raw_http2.headers(("grpc-status", "0"), end=True)
MISSING = "the stream ended without its status"


def heard_until_cut(ask: Asking, *last: bytes, stay: bool = True) -> LlmError | None:
    """The error of an answer of which a piece was read before these frames came."""
    with raw_http2.answering(raw_http2.HEAD, HELLO, last=last, stay=stay) as server:
        events = ask.events(ask.provider(server.base_url, descriptor=ask.descriptor))
        assert next(events) == TextDelta("Hel")
        server.go.set()
        try:
            for event in events:
                assert isinstance(event, Finish)
        except LlmError as exc:
            return exc
        return None


def test_the_raw_server_can_also_answer_well(ask: Asking) -> None:
    assert heard_until_cut(ask, OK) is None


@pytest.mark.parametrize(
    ("last", "words"),
    [
        pytest.param(raw_http2.message(b"", end=True), MISSING, id="no trailers"),
        pytest.param(raw_http2.headers(("x", "y"), end=True), MISSING, id="trailers without a status"),
        pytest.param(raw_http2.reset(2), MISSING, id="reset"),
        pytest.param(raw_http2.reset(8), MISSING, id="cancelled by the server"),
        pytest.param(raw_http2.headers(("grpc-status", "14"), end=True), "busy", id="unavailable in mid-stream"),
    ],
)
def test_without_the_status_ok_an_answer_is_incomplete(ask: Asking, last: bytes, words: str) -> None:
    error = heard_until_cut(ask, last)
    assert isinstance(error, Incomplete)
    assert words in error.message


def test_a_server_that_dies_in_mid_stream_leaves_an_incomplete_answer(ask: Asking) -> None:
    error = heard_until_cut(ask, stay=False)
    assert isinstance(error, Incomplete)
    assert "was lost" in error.message


def test_a_connection_that_is_lost_before_the_answer_may_have_been_billed(ask: Asking) -> None:
    with raw_http2.answering(stay=False) as server:
        server.go.set()
        error = ask(ask.provider(server.base_url, descriptor=ask.descriptor)).error
    assert isinstance(error, NetworkFailed)
    assert error.sent


@pytest.mark.parametrize(("status", "kind"), [("502", ProviderFailed), ("404", RequestRejected), ("429", Busy)])
def test_an_answer_of_something_between_that_speaks_no_grpc_keeps_its_status(
    ask: Asking, status: str, kind: type[LlmError]
) -> None:
    page = raw_http2.headers((":status", status), ("content-type", "text/html"), end=True)
    with raw_http2.answering(page, stay=True) as server:
        server.go.set()
        error = ask(ask.provider(server.base_url, descriptor=ask.descriptor)).error
    assert type(error) is kind
    assert error.http_status == int(status)


def test_a_unary_method_that_answers_twice_breaks_its_promise(ask: Asking) -> None:
    table = {"method": "/llm.v1.LLM/Ask", "request": "{model: model}", "content": "text"}
    with raw_http2.answering(raw_http2.HEAD, HELLO, HELLO, OK, stay=True) as server:
        server.go.set()
        error = ask(ask.provider(server.base_url, descriptor=ask.descriptor, chat=table)).error
    assert isinstance(error, ProviderFailed)


# --- connecting -----------------------------------------------------------------------------------


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_nobody_listens(ask: Asking) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = ask(ask.provider(f"grpc://127.0.0.1:{port}")).error
    assert type(error) is NetworkFailed
    assert not error.sent
    assert error.message.startswith(f"cannot connect to 127.0.0.1:{port}: ")
    assert "refused" in error.message
    assert error.hint == "is the server running?"


def test_a_name_that_does_not_exist(ask: Asking) -> None:
    error = ask(ask.provider("grpc://nowhere.invalid:1")).error
    assert isinstance(error, NetworkFailed)
    assert not error.sent
    assert "nowhere.invalid" in error.message


def test_a_server_that_never_greets_is_given_up_within_the_connect_timeout(ask: Asking, silent_port: int) -> None:
    error = ask(ask.provider(f"grpc://127.0.0.1:{silent_port}"), timeouts=Timeouts(connect=0.2)).error
    assert isinstance(error, TimedOut)
    assert not error.sent
    assert error.message == f"127.0.0.1:{silent_port}: no connection in 0.2 s"


def test_a_web_server_is_told_from_a_grpc_server(ask: Asking) -> None:
    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer, args=(listener,), daemon=True).start()
        error = ask(ask.provider(f"grpc://127.0.0.1:{listener.getsockname()[1]}")).error
    assert isinstance(error, NetworkFailed)
    assert error.hint is not None
    assert "no gRPC in the clear" in error.hint


def test_ipv6_addresses_are_addresses(ask: Asking) -> None:
    error = ask(ask.provider("grpc://[::1]:1")).error
    assert isinstance(error, NetworkFailed)
    assert error.message.startswith("cannot connect to [::1]:1: ")
    assert "refused" in error.message


# --- time and cancelling --------------------------------------------------------------------------


def test_a_server_that_says_nothing_is_given_up_after_the_first_timeout(ask: Asking) -> None:
    with serving(stalling()) as server:
        error = ask(ask.provider(server.base_url), timeouts=Timeouts(first=0.3)).error
        assert server.gone.wait(10)
    assert type(error) is TimedOut
    assert error.message == "no answer began in 0.3 s"


def test_a_stream_that_stalls_is_given_up_after_the_idle_timeout_and_the_server_hears_it(ask: Asking) -> None:
    with serving(stalling({"text": "Hel"})) as server:
        heard = ask(ask.provider(server.base_url), timeouts=Timeouts(idle=0.3))
        assert server.gone.wait(10)
    assert heard.text == "Hel"
    assert isinstance(heard.error, Incomplete)
    assert "no event in 0.3 s" in heard.error.message


class Counting(Deadlines):
    """Deadlines that count the signs of life which are no events."""

    kept = 0

    def kept_alive(self) -> None:
        self.kept += 1


def test_messages_that_say_nothing_show_that_the_server_lives(ask: Asking) -> None:
    deadlines = Counting(Timeouts(), started=0)
    with serving(saying({"text": "Hel"}, {}, {}, {"text": "lo"})) as server:
        provider = ask.provider(server.base_url)
        call = native_call(provider, Call(Transport(env={})), deadlines, stream=True)
        events = list(provider.stream(ChatRequest("m", (message("user", "hi"),)), call))
    assert events == [TextDelta("Hel"), TextDelta("lo"), Finish("stop")]
    assert deadlines.kept == 2


def test_closing_an_answer_cancels_it_at_the_server(ask: Asking) -> None:
    with serving(stalling({"text": "Hel"})) as server:
        events = ask.events(ask.provider(server.base_url))
        with closing(events):  # type: ignore[type-var]  # answer() is a generator
            assert next(events) == TextDelta("Hel")
            assert not server.gone.is_set()
        assert server.gone.wait(10)


def test_a_whole_answer_that_does_not_come_is_given_up_too(ask: Asking) -> None:
    table = {"method": "/llm.v1.LLM/Ask", "request": "{model: model}", "content": "text"}
    with serving(stalling()) as server:
        error = ask(ask.provider(server.base_url, chat=table), timeouts=Timeouts(first=0.3)).error
        assert server.gone.wait(10)
    assert type(error) is TimedOut
