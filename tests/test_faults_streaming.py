"""
What can go wrong while an answer streams: rows 37 to 61 of the fault catalogue, through the real program and real
sockets.

Whatever happens: stdout holds what was received and nothing else, stderr says what happened in one line, and after
the first piece of an answer nothing is asked again.
"""

import gzip
import importlib.util
import json
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llmcli.deadlines import KEEP_ALIVE_FACTOR
from llmcli.framing import RECORD_LIMIT
from tests.dialects import (
    ANTHROPIC,
    DIALECTS,
    KEYS,
    OLLAMA,
    OPENAI,
    RESPONSES,
    Dialect,
    anthropic,
    ask,
    command,
    cut,
    ollama,
    response_event,
    sse,
    stay_silent,
)
from tests.program import COMMAND, PATIENCE, Done, Program
from tests.servers import (
    DONE,
    LAST_CHUNK,
    STREAM_HEAD,
    Connection,
    Script,
    Server,
    chunk,
    delta,
    event,
    finish,
    head,
    stream,
)
from tests.shell import ended, read_until, watched
from tests.terminal import on_terminal

Serve = Callable[..., Server]

in_every_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=str)
in_every_look = pytest.mark.parametrize("look", ["--format=text", "--format=markdown"])

ESCAPES = "red \x1b[31mtext\x1b[0m, title \x1b]0;owned\x07, clipboard \x1b]52;c;cm0=\x07, C1 \x9b31m, back\x08, del\x7f"
SHOWN_ESCAPES = "red ^[[31mtext^[[0m, title ^[]0;owned^G, clipboard ^[]52;c;cm0=^G, C1 \\x9b31m, back^H, del^?"


def assert_incomplete(done: Done, what: str, *, out: bytes, dialect: Dialect, server: Server) -> None:
    """The answer began and did not end well; what came of it is kept, and nobody was asked again."""
    assert done.out == out
    assert done.status == 10
    assert_one_line(done, f"llmcli: the answer is incomplete: {what}", dialect)
    assert len(server.requests) == 1


def assert_failed(done: Done, status: int, what: str, *, dialect: Dialect, server: Server) -> None:
    """The answer never began, and nobody was asked again."""
    assert done.out == b""
    assert done.status == status
    assert_one_line(done, f"llmcli: {what}", dialect)
    assert len(server.requests) == 1


def assert_one_line(done: Done, start: str, dialect: Dialect) -> None:
    """stderr is one line that begins like this and names the provider, and at most one hint."""
    line, *rest = done.err.splitlines()
    assert line.startswith(start)
    assert f" [provider={dialect.provider}" in line
    assert len(rest) <= 1
    assert all(hint.startswith("hint: ") for hint in rest)


def assert_answered(done: Done, text: str) -> None:
    """The whole answer, and nothing to say about it."""
    assert (done.out, done.err, done.status) == (text.encode(), "", 0)


def at_intervals(connection: Connection, pieces: Iterator[bytes]) -> None:
    """Send a piece every twentieth of a second, as long as the client is there."""
    threading.Thread(target=connection.wait_until_gone, daemon=True).start()
    for piece in pieces:
        connection.send(piece)
        if connection.gone.wait(0.05):
            return


def again_and_again(piece: bytes) -> Iterator[bytes]:
    """The piece, without end."""
    while True:
        yield piece


def body(dialect: Dialect, data: bytes, **headers: str) -> Script:
    """A script that sends a body which only the end of the connection ends, or which the headers describe."""
    return lambda connection: connection.send(dialect.head(**{"Connection": "close", **headers}) + data)


# --- 37 to 40: time -------------------------------------------------------------------------------


@pytest.mark.fault(37)
@in_every_dialect
def test_a_server_that_never_answers_exits_7(llmcli: Program, serve: Serve, dialect: Dialect) -> None:
    server = serve(stay_silent)
    done = ask(llmcli, server, dialect, "--first-timeout", "0.3")
    assert_failed(done, 7, "no answer began in 0.3 s", dialect=dialect, server=server)
    assert "--first-timeout" in done.err
    assert server.connections[0].gone.wait(PATIENCE)


@pytest.mark.fault(37)
@in_every_dialect
def test_a_server_that_accepts_the_request_and_then_says_nothing_exits_7(
    llmcli: Program, serve: Serve, dialect: Dialect
) -> None:
    server = serve(dialect.stream(then=stay_silent))
    done = ask(llmcli, server, dialect, "--first-timeout", "0.3")
    assert_failed(done, 7, "no answer began in 0.3 s", dialect=dialect, server=server)


@pytest.mark.fault(37)
@in_every_dialect
def test_a_server_that_only_says_that_it_lives_does_not_put_off_the_first_timeout(
    llmcli: Program, serve: Serve, dialect: Dialect
) -> None:
    server = serve(dialect.stream(then=lambda each: at_intervals(each, again_and_again(chunk(dialect.alive)))))
    done = ask(llmcli, server, dialect, "--first-timeout", "0.3")
    assert_failed(done, 7, "no answer began in 0.3 s", dialect=dialect, server=server)


@pytest.mark.fault(37)
def test_a_total_timeout_before_the_first_piece_exits_7(llmcli: Program, serve: Serve) -> None:
    server = serve(OPENAI.stream(then=stay_silent))
    done = ask(llmcli, server, OPENAI, "--timeout", "1")
    assert (done.out, done.status) == (b"", 7)
    assert_one_line(done, "llmcli: the total timeout of 1 s passed", OPENAI)


@pytest.mark.fault(38)
@in_every_dialect
def test_a_stream_that_falls_silent_exits_10(llmcli: Program, serve: Serve, dialect: Dialect) -> None:
    server = serve(dialect.stream(dialect.said("Hel", "lo"), then=stay_silent))
    done = ask(llmcli, server, dialect, "--idle-timeout", "0.3")
    what = "the stream stalled: no event in 0.3 s"
    assert_incomplete(done, what, out=b"Hello", dialect=dialect, server=server)
    assert "--idle-timeout" in done.err
    assert server.connections[0].gone.wait(PATIENCE)


@pytest.mark.fault(38)
def test_a_stream_that_falls_silent_while_thinking_is_incomplete_too(llmcli: Program, serve: Serve) -> None:
    thought = sse({"choices": [{"index": 0, "delta": {"reasoning_content": "hm"}}]})
    server = serve(OPENAI.stream(thought, then=stay_silent))
    done = ask(llmcli, server, OPENAI, "--idle-timeout", "0.3")
    assert_incomplete(done, "the stream stalled", out=b"", dialect=OPENAI, server=server)


@pytest.mark.fault(39)
@in_every_dialect
def test_signs_of_life_do_not_put_off_the_idle_timeout_for_ever(
    llmcli: Program, serve: Serve, dialect: Dialect
) -> None:
    alive = again_and_again(chunk(dialect.alive))
    server = serve(dialect.stream(dialect.said("Hello"), then=lambda each: at_intervals(each, alive)))
    done = ask(llmcli, server, dialect, "--idle-timeout", "0.2")
    assert_incomplete(done, "the stream stalled", out=b"Hello", dialect=dialect, server=server)


@pytest.mark.fault(39)
@in_every_dialect
def test_signs_of_life_extend_the_idle_timeout(llmcli: Program, serve: Serve, dialect: Dialect) -> None:
    def script(connection: Connection) -> None:
        connection.send(dialect.head() + chunk(dialect.said("Hello")))
        at_intervals(connection, iter([chunk(dialect.alive)] * 15))  # longer than one idle timeout, shorter than all
        connection.send(chunk(dialect.piece(" again") + dialect.end) + LAST_CHUNK)

    assert 0.5 < 15 * 0.05 < 0.5 * KEEP_ALIVE_FACTOR
    assert_answered(ask(llmcli, serve(script), dialect, "--idle-timeout", "0.5"), "Hello again")


@pytest.mark.fault(40)
@in_every_dialect
def test_single_bytes_of_an_event_do_not_put_off_the_idle_timeout(
    llmcli: Program, serve: Serve, dialect: Dialect
) -> None:
    slowly = (chunk(bytes([byte])) for byte in dialect.piece("x" * 10_000))
    server = serve(dialect.stream(dialect.said("Hello"), then=lambda each: at_intervals(each, slowly)))
    done = ask(llmcli, server, dialect, "--idle-timeout", "0.3")
    what = "the stream stalled: no event in 0.3 s"
    assert_incomplete(done, what, out=b"Hello", dialect=dialect, server=server)


@pytest.mark.fault(40)
@in_every_dialect
def test_single_bytes_of_the_first_event_do_not_put_off_the_first_timeout(
    llmcli: Program, serve: Serve, dialect: Dialect
) -> None:
    slowly = (chunk(bytes([byte])) for byte in dialect.piece("x" * 10_000))
    server = serve(dialect.stream(then=lambda each: at_intervals(each, slowly)))
    done = ask(llmcli, server, dialect, "--first-timeout", "0.3")
    assert_failed(done, 7, "no answer began in 0.3 s", dialect=dialect, server=server)


@pytest.mark.fault(40)
def test_single_bytes_of_the_head_do_not_put_off_the_first_timeout(llmcli: Program, serve: Serve) -> None:
    slowly = (bytes([byte]) for byte in b"HTTP/1.1 200 " + b"x" * 10_000)
    server = serve(lambda connection: at_intervals(connection, slowly))
    done = ask(llmcli, server, OPENAI, "--first-timeout", "0.3")
    assert_failed(done, 7, "no answer began in 0.3 s", dialect=OPENAI, server=server)


@pytest.mark.fault(40)
def test_a_total_timeout_ends_a_stream_that_always_has_more_to_say(llmcli: Program, serve: Serve) -> None:
    endless = again_and_again(chunk(delta("more ")))
    server = serve(OPENAI.stream(delta("more "), then=lambda each: at_intervals(each, endless)))
    done = ask(llmcli, server, OPENAI, "--timeout", "3")
    words = done.text.count("more ")
    assert words
    what = "the total timeout of 3 s passed"
    assert_incomplete(done, what, out=b"more " * words, dialect=OPENAI, server=server)


# --- 41 to 46: ends -------------------------------------------------------------------------------


@pytest.mark.fault(41)
@in_every_dialect
def test_a_truncated_stream_exits_10(llmcli: Program, serve: Serve, dialect: Dialect) -> None:
    server = serve(dialect.stream(dialect.said("Hel", "lo"), then=cut))
    done = ask(llmcli, server, dialect)
    what = "the connection was closed in the middle of the answer"
    assert_incomplete(done, what, out=b"Hello", dialect=dialect, server=server)


@pytest.mark.fault(41)
@in_every_dialect
def test_a_stream_that_is_shorter_than_its_length_exits_10(llmcli: Program, serve: Serve, dialect: Dialect) -> None:
    said = dialect.said("Hello")
    server = serve(body(dialect, said, Content_Length=str(len(said) + 1)))
    done = ask(llmcli, server, dialect)
    what = "the connection was closed in the middle of the answer"
    assert_incomplete(done, what, out=b"Hello", dialect=dialect, server=server)


@pytest.mark.fault(41)
def test_a_stream_in_the_middle_of_which_http_breaks_exits_10(llmcli: Program, serve: Serve) -> None:
    server = serve(OPENAI.stream(delta("Hello"), then=lambda connection: connection.send(b"no chunk\r\n")))
    done = ask(llmcli, server, OPENAI)
    what = "the connection broke in the middle of the answer"
    assert_incomplete(done, what, out=b"Hello", dialect=OPENAI, server=server)


@pytest.mark.fault(41)
@in_every_dialect
def test_a_stream_that_is_cut_before_its_first_piece_exits_8(llmcli: Program, serve: Serve, dialect: Dialect) -> None:
    server = serve(dialect.stream(dialect.opening or dialect.alive, then=cut))
    done = ask(llmcli, server, dialect)
    what = "the connection was closed in the middle of the answer"
    assert_failed(done, 8, what, dialect=dialect, server=server)


@pytest.mark.fault(41)
def test_an_error_answer_that_is_cut_is_still_that_error(llmcli: Program, serve: Serve) -> None:
    error = b'{"error": {"message": "No such key."}}'
    answer = head(401, "application/json", Content_Length=str(len(error) + 1)) + error
    server = serve(lambda connection: connection.send(answer))
    what = "the provider does not accept the key: No such key."
    assert_failed(ask(llmcli, server, OPENAI), 4, what, dialect=OPENAI, server=server)


@pytest.mark.fault(42)
@in_every_dialect
def test_a_stream_that_is_reset_exits_10_with_what_was_shown_before(
    llmcli: Program, serve: Serve, dialect: Dialect
) -> None:
    seen = threading.Event()

    def script(connection: Connection) -> None:
        connection.send(dialect.head() + chunk(dialect.said("Hello")))
        seen.wait(PATIENCE)
        connection.reset()

    server = serve(script)
    with watched(llmcli.start(*command(server, dialect), env=KEYS)) as process:
        assert read_until(process.stdout, b"Hello") == b"Hello"  # it is there before the answer ends
        seen.set()
        done = ended(process)
    what = f"the connection to 127.0.0.1:{server.port} was lost: Connection reset by peer"
    assert_incomplete(done, what, out=b"", dialect=dialect, server=server)


@pytest.mark.fault(43)
@in_every_dialect
@pytest.mark.parametrize("ended_by", ["the last chunk", "the connection", "its length"])
def test_a_stream_without_an_end_marker_exits_10(
    llmcli: Program, serve: Serve, dialect: Dialect, ended_by: str
) -> None:
    said = dialect.said("Hel", "lo")
    scripts = {
        "the last chunk": dialect.stream(said),
        "the connection": body(dialect, said),
        "its length": body(dialect, said, Content_Length=str(len(said))),
    }
    server = serve(scripts[ended_by])
    done = ask(llmcli, server, dialect)
    what = "the stream ended without its end marker"
    assert_incomplete(done, what, out=b"Hello", dialect=dialect, server=server)


@pytest.mark.fault(43)
def test_a_stop_reason_is_not_yet_the_end_of_a_message_of_anthropics(llmcli: Program, serve: Serve) -> None:
    stopped = anthropic("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 2})
    server = serve(ANTHROPIC.stream(ANTHROPIC.said("Hello"), stopped))
    done = ask(llmcli, server, ANTHROPIC)
    what = "the stream ended without its end marker"
    assert_incomplete(done, what, out=b"Hello", dialect=ANTHROPIC, server=server)


@pytest.mark.fault(44)
@in_every_dialect
def test_half_an_event_at_the_end_is_not_shown(llmcli: Program, serve: Serve, dialect: Dialect) -> None:
    half = dialect.piece(" lost")[:-10]
    server = serve(dialect.stream(dialect.said("Hello") + half))
    done = ask(llmcli, server, dialect)
    what = "the stream ended without its end marker"
    assert_incomplete(done, what, out=b"Hello", dialect=dialect, server=server)


@pytest.mark.fault(44)
@in_every_dialect
def test_a_last_piece_without_its_newline_is_shown_but_ends_nothing(
    llmcli: Program, serve: Serve, dialect: Dialect
) -> None:
    server = serve(dialect.stream((dialect.said("Hel") + dialect.piece("lo")).rstrip(b"\n")))
    done = ask(llmcli, server, dialect)
    what = "the stream ended without its end marker"
    assert_incomplete(done, what, out=b"Hello", dialect=dialect, server=server)


@pytest.mark.fault(44)
@in_every_dialect
def test_an_end_marker_without_its_newline_is_one(llmcli: Program, serve: Serve, dialect: Dialect) -> None:
    server = serve(dialect.stream((dialect.said("Hello") + dialect.end).rstrip(b"\n")))
    assert_answered(ask(llmcli, server, dialect), "Hello")


def send_garbage(connection: Connection) -> None:
    connection.send(b"\xff\xfe no chunk at all\r\n")


AFTERWARDS = {
    "silence": stay_silent,
    "a cut": cut,
    "a reset": Connection.reset,
    "garbage": send_garbage,
}


@pytest.mark.fault(45)
@in_every_dialect
@pytest.mark.parametrize("afterwards", AFTERWARDS.values(), ids=AFTERWARDS)
def test_what_comes_after_the_end_marker_does_not_matter(
    llmcli: Program, serve: Serve, dialect: Dialect, afterwards: Script
) -> None:
    server = serve(dialect.stream(dialect.said("Hel", "lo") + dialect.end, then=afterwards))
    assert_answered(ask(llmcli, server, dialect), "Hello")
    assert len(server.requests) == 1


@pytest.mark.fault(45)
@in_every_dialect
def test_text_after_the_end_marker_is_no_part_of_the_answer(llmcli: Program, serve: Serve, dialect: Dialect) -> None:
    for late in ([dialect.end + dialect.piece(" late")], [dialect.end, dialect.piece(" late")]):
        assert_answered(ask(llmcli, serve(dialect.stream(dialect.said("Hello"), *late)), dialect), "Hello")


@pytest.mark.fault(45)
@pytest.mark.parametrize("afterwards", [stay_silent, cut, Connection.reset, send_garbage])
def test_a_finish_reason_completes_an_answer_that_lacks_its_done(
    llmcli: Program, serve: Serve, afterwards: Script
) -> None:
    server = serve(OPENAI.stream(delta("Hello") + finish(), then=afterwards))
    assert_answered(ask(llmcli, server, OPENAI), "Hello")


@pytest.mark.fault(46)
@in_every_dialect
def test_an_error_in_the_middle_of_a_stream_exits_10(llmcli: Program, serve: Serve, dialect: Dialect) -> None:
    server = serve(dialect.stream(dialect.said("Hello"), dialect.error("overloaded_error", "Overloaded")))
    done = ask(llmcli, server, dialect)
    assert (done.out, done.status, len(server.requests)) == (b"Hello", 10, 1)
    assert_one_line(done, "llmcli: the answer is incomplete: ", dialect)
    assert "Overloaded" in done.err


@pytest.mark.fault(46)
@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC], ids=str)
@pytest.mark.parametrize(
    ("kind", "status"), [("overloaded_error", 6), ("api_error", 8), ("insufficient_quota", 9), ("billing_error", 9)]
)
def test_an_error_event_before_any_text_says_by_its_status_what_to_do(
    llmcli: Program, serve: Serve, dialect: Dialect, kind: str, status: int
) -> None:
    server = serve(dialect.stream(dialect.opening, dialect.error(kind, "No.")))
    done = ask(llmcli, server, dialect, "--retries", "0")
    assert (done.out, done.status) == (b"", status)
    assert_one_line(done, "llmcli: ", dialect)
    assert "No." in done.err


@pytest.mark.fault(46)
@in_every_dialect
def test_an_error_event_before_any_text_may_be_asked_again(llmcli: Program, serve: Serve, dialect: Dialect) -> None:
    busy = dialect.stream(dialect.opening, dialect.error("overloaded_error", "Overloaded"))
    server = serve(busy, dialect.stream(dialect.said("Hello") + dialect.end))
    done = ask(llmcli, server, dialect)
    assert (done.out, done.status, len(server.requests)) == (b"Hello", 0, 2)
    assert "Overloaded; trying again" in done.err


# --- 47: the reason of the end ---------------------------------------------------------------------


@pytest.mark.fault(47)
@pytest.mark.parametrize(
    ("dialect", "reason"),
    [
        (each, reason)
        for each in DIALECTS
        for reason in ("length", "content_filter")
        if (each, reason) != (OLLAMA, "content_filter")
    ],
    ids=str,
)
def test_an_answer_that_stops_early_is_whole_unless_strict(
    llmcli: Program, serve: Serve, dialect: Dialect, reason: str
) -> None:
    server = serve(dialect.stream(dialect.said("Hel", "lo") + dialect.ending(reason)))
    done = ask(llmcli, server, dialect)
    assert (done.out, done.status) == (b"Hello", 0)
    assert f"(finish reason {reason})" in done.err
    strict = ask(llmcli, server, dialect, "--strict")
    assert (strict.out, strict.status) == (b"Hello", 12)
    assert_one_line(strict, "llmcli: the answer ", dialect)


# --- 48 to 52: events that are not what they should be ---------------------------------------------


BAD_EVENTS = {
    "cut": b'{"choices": [{"index": 0, "delta": {"content": "x',
    "no JSON": b"Bad Gateway \x1b[31m",
    "NaN": b'{"choices": [{"index": 0, "delta": {"content": "x"}, "logprob": NaN}]}',
    "Infinity": b'{"choices": [], "usage": {"prompt_tokens": -Infinity}}',
    "nested too deeply": b"[" * 100_000,
    "a number without end": b'{"choices": [], "created": ' + b"9" * 5000 + b"}",
}


def malformed(dialect: Dialect, bad: bytes) -> bytes:
    return (b"" if dialect is OLLAMA else b"data: ") + bad + (b"\n" if dialect is OLLAMA else b"\n\n")


@pytest.mark.fault(48)
@pytest.mark.fault(50)
@pytest.mark.fault(51)
@in_every_dialect
@pytest.mark.parametrize("bad", BAD_EVENTS.values(), ids=BAD_EVENTS)
def test_a_malformed_event_exits_10_after_text_and_shows_no_more_than_an_excerpt(
    llmcli: Program, serve: Serve, dialect: Dialect, bad: bytes
) -> None:
    server = serve(
        dialect.stream(dialect.said("Hello") + malformed(dialect, bad) + dialect.piece(" lost") + dialect.end)
    )
    done = ask(llmcli, server, dialect)
    assert (done.out, done.status, len(server.requests)) == (b"Hello", 10, 1)
    assert_one_line(done, "llmcli: the answer is incomplete: malformed JSON from the provider", dialect)
    assert len(done.err) < 400
    assert "\x1b" not in done.err


@pytest.mark.fault(48)
@pytest.mark.fault(50)
@in_every_dialect
@pytest.mark.parametrize("bad", BAD_EVENTS.values(), ids=BAD_EVENTS)
def test_a_malformed_event_exits_8_before_any_text(llmcli: Program, serve: Serve, dialect: Dialect, bad: bytes) -> None:
    server = serve(dialect.stream(dialect.opening + malformed(dialect, bad) + dialect.piece("lost") + dialect.end))
    done = ask(llmcli, server, dialect)
    assert (done.out, done.status, len(server.requests)) == (b"", 8, 1)
    assert_one_line(done, "llmcli: malformed JSON from the provider", dialect)


@pytest.mark.fault(50)
def test_an_answer_that_comes_whole_and_is_nested_too_deeply_exits_8(llmcli: Program, serve: Serve) -> None:
    server = serve(body(OPENAI, b'{"choices": ' + b"[" * 100_000, Content_Type="application/json"))
    done = ask(llmcli, server, OPENAI, "--no-stream")
    assert (done.out, done.status) == (b"", 8)
    assert "nested too deeply" in done.err


STRANGE_EVENTS = {
    OPENAI: (
        sse({"object": "something.new", "choices": [], "surprise": {"deep": [1, None]}}),
        sse({"choices": [{"index": 0, "delta": {"content": None, "audio": None, "new": {}}, "logprobs": None}]}),
        sse({"choices": [{"index": 0, "delta": None}]}),
        b"data: null\n\n",
        b"event: surprise\nid: 7\nretry: 3000\nnonsense\ndata: {}\n\n",
    ),
    RESPONSES: (
        response_event("response.surprise", output_index=0, delta="no"),
        response_event("response.output_text.delta", output_index=0, delta=None),
        response_event("response.output_item.added", output_index=7, item={"type": "surprise", "data": [1]}),
        response_event("response.output_item.added", output_index=8, item=None),
        sse({"type": None}),
        b"data: null\n\n",
    ),
    ANTHROPIC: (
        anthropic("content_block_surprise", index=0, delta={"type": "text_delta", "text": "no"}),
        anthropic("content_block_delta", index=0, delta={"type": "surprise_delta", "text": "no"}),
        anthropic("content_block_delta", index=0, delta=None),
        anthropic("content_block_start", index=1, content_block={"type": "surprise", "data": [1]}),
        anthropic("content_block_stop", index=1),
        sse({"type": None}),
    ),
    OLLAMA: (
        ollama(surprise={"deep": [1]}, done=False),
        ollama(message=None, done=False),
        ollama(message={"role": "assistant", "content": None, "thinking": None, "tool_calls": None}, done=False),
        b"null\n",
    ),
}


@pytest.mark.fault(49)
@in_every_dialect
def test_unknown_events_and_fields_and_nulls_are_ignored(llmcli: Program, serve: Serve, dialect: Dialect) -> None:
    strange = STRANGE_EVENTS[dialect]
    server = serve(dialect.stream(dialect.said("Hel"), *strange, dialect.piece("lo"), *strange, dialect.end))
    assert_answered(ask(llmcli, server, dialect), "Hello")


@pytest.mark.fault(49)
def test_fields_that_llama_cpp_leaves_out_of_anthropics_events_are_not_missed(llmcli: Program, serve: Serve) -> None:
    server = serve(
        ANTHROPIC.stream(
            anthropic("message_start", message={"role": "assistant"}),
            anthropic("content_block_delta", delta={"type": "text_delta", "text": "Hello"}),
            anthropic("message_stop"),
        )
    )
    assert_answered(ask(llmcli, server, ANTHROPIC), "Hello")


@pytest.mark.fault(51)
@in_every_dialect
def test_surrogates_are_joined_across_pieces_and_replaced_where_they_stay_alone(
    llmcli: Program, serve: Serve, dialect: Dialect
) -> None:
    escaped = [dialect.piece(mark).replace(mark.encode(), rb"\u" + mark.encode()) for mark in ("d83d", "de00", "dc00")]
    server = serve(dialect.stream(dialect.opening, *escaped, dialect.piece("!"), dialect.end))
    assert_answered(ask(llmcli, server, dialect), "😀\ufffd!")
    assert ask(llmcli, server, dialect, "--json").json["content"] == "😀\ufffd!"


@pytest.mark.fault(51)
def test_surrogates_anywhere_else_do_no_harm(llmcli: Program, serve: Serve) -> None:
    bad = rb'{"id": "\ud800", "model": "\udfff", "choices": [{"index": 0, "delta": {"reasoning_content": "\ud800", '
    bad += rb'"content": "Hi"}, "finish_reason": "\ud800"}], "usage": {"prompt_tokens": 1, "prompt_tokens": 2}}'
    server = serve(OPENAI.stream(malformed(OPENAI, bad), DONE))
    for format_option in ("--json", "--jsonl", "--show-thinking"):
        done = ask(llmcli, server, OPENAI, format_option)
        assert done.status == 0
        done.out.decode()
    assert ask(llmcli, server, OPENAI, "--json").json["metadata"]["usage"]["prompt_tokens"] == 2  # the last one counts


@pytest.mark.fault(52)
@in_every_dialect
def test_an_event_without_end_is_refused_at_a_limit(llmcli: Program, serve: Serve, dialect: Dialect) -> None:
    def script(connection: Connection) -> None:
        connection.send(dialect.head() + chunk(dialect.said("Hello")) + chunk(dialect.piece("").partition(b'""')[0]))
        for _ in range(2 * RECORD_LIMIT // 2**20):
            connection.send(chunk(b"x" * 2**20))
        connection.wait_until_gone()

    server = serve(script)
    done = ask(llmcli, server, dialect)
    what = f"one event of the stream is longer than {RECORD_LIMIT // 2**20} MB"
    assert_incomplete(done, what, out=b"Hello", dialect=dialect, server=server)


@pytest.mark.fault(52)
def test_a_header_without_end_is_refused_at_a_limit(llmcli: Program, serve: Serve) -> None:
    def script(connection: Connection) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\nX-Long: ")
        for _ in range(1000):
            connection.send(b"x" * 1000)
        connection.wait_until_gone()

    server = serve(script)
    done = ask(llmcli, server, OPENAI)
    assert_failed(done, 8, "the server does not speak HTTP", dialect=OPENAI, server=server)


# --- 53: size --------------------------------------------------------------------------------------

MB = 1024 * 1024
_MEASURED = """
import resource, subprocess, sys
status = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(status)
"""


def peak_memory(llmcli: Program, server: Server, dialect: Dialect, out: Path) -> int:
    """
    Bytes that the program needs at most for an answer. A small process in between starts it, because a child's peak
    includes what its parent had when it was started.
    """
    with out.open("wb") as file:
        done = subprocess.run(
            [sys.executable, "-c", _MEASURED, *COMMAND, *command(server, dialect)],
            env={**llmcli.env, **KEYS}, cwd=llmcli.home, stdin=subprocess.DEVNULL, stdout=file,
            stderr=subprocess.PIPE, timeout=PATIENCE, check=True,
        )  # fmt: skip
    return int(done.stderr) * (1 if sys.platform == "darwin" else 1024)


@pytest.mark.fault(53)
@in_every_dialect
def test_a_long_answer_needs_no_more_memory_than_a_short_one(
    llmcli: Program, serve: Serve, dialect: Dialect, tmp_path: Path
) -> None:
    text = "A line of forty-nine letters and its own newline.\n" * 80  # 4000 bytes

    def answer_of(size: int) -> Script:
        def script(connection: Connection) -> None:
            connection.send(dialect.head() + chunk(dialect.opening or dialect.alive))
            ten = chunk(dialect.piece(text) * 10)
            for _ in range(size // len(text) // 10):
                connection.send(ten)
            connection.send(chunk(dialect.end) + LAST_CHUNK)

        return script

    server = serve(answer_of(5_000_000), answer_of(50_000_000))
    small, large = tmp_path / "small", tmp_path / "large"
    growth = -peak_memory(llmcli, server, dialect, small) + peak_memory(llmcli, server, dialect, large)
    assert (small.stat().st_size, large.stat().st_size) == (5_000_000, 50_000_000)
    assert large.read_bytes() == text.encode() * 12_500
    assert growth < 5 * MB


# --- 54: compression -------------------------------------------------------------------------------


def in_pieces(data: bytes, size: int = 7) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def compressed(dialect: Dialect, data: bytes, encoding: str | None) -> Script:
    """A script that sends a compressed body in small chunks."""
    headers = {"Transfer_Encoding": "chunked"} | ({"Content_Encoding": encoding} if encoding else {})
    return lambda each: each.send(dialect.head(**headers) + b"".join(map(chunk, in_pieces(data))) + LAST_CHUNK)


def deflated(data: bytes) -> bytes:
    raw = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return raw.compress(data) + raw.flush()


COMPRESSED = {
    "gzip": ("gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "raw deflate": ("deflate", deflated),
    "gzip that nobody announced": (None, gzip.compress),
    "gzip that is called something else": ("identity", gzip.compress),
}


@pytest.mark.fault(54)
@in_every_dialect
@pytest.mark.parametrize(("encoding", "compress"), COMPRESSED.values(), ids=COMPRESSED)
def test_a_stream_that_was_compressed_unasked_is_read_all_the_same(
    llmcli: Program, serve: Serve, dialect: Dialect, encoding: str | None, compress: Callable[[bytes], bytes]
) -> None:
    data = compress(dialect.said("Hel", "lo, 日本語") + dialect.end)
    server = serve(compressed(dialect, data, encoding))
    assert_answered(ask(llmcli, server, dialect), "Hello, 日本語")
    assert server.requests[0].headers["accept-encoding"] == "identity"


@pytest.mark.fault(54)
def test_unannounced_gzip_is_seen_though_its_first_byte_comes_alone(llmcli: Program, serve: Serve) -> None:
    data = gzip.compress(OPENAI.said("Hello") + OPENAI.end)
    server = serve(OPENAI.stream(*(bytes([byte]) for byte in data)))
    assert_answered(ask(llmcli, server, OPENAI), "Hello")


@pytest.mark.fault(54)
@in_every_dialect
def test_a_compressed_stream_is_shown_as_it_arrives(llmcli: Program, serve: Serve, dialect: Dialect) -> None:
    def script(connection: Connection) -> None:
        zipped = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
        connection.send(dialect.head(Transfer_Encoding="chunked", Content_Encoding="gzip"))
        connection.send(chunk(zipped.compress(dialect.said("Hello")) + zipped.flush(zlib.Z_SYNC_FLUSH)))
        connection.wait_until_gone()

    server = serve(script)
    done = ask(llmcli, server, dialect, "--idle-timeout", "0.3")
    assert_incomplete(done, "the stream stalled", out=b"Hello", dialect=dialect, server=server)


@pytest.mark.fault(54)
@in_every_dialect
def test_corrupt_compression_exits_10_after_text(llmcli: Program, serve: Serve, dialect: Dialect) -> None:
    zipped = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    good = zipped.compress(dialect.said("Hello")) + zipped.flush(zlib.Z_FULL_FLUSH)
    server = serve(compressed(dialect, good + b"\xff" * 100, "gzip"))
    done = ask(llmcli, server, dialect)
    assert_incomplete(
        done, "the answer is not the gzip that it says it is", out=b"Hello", dialect=dialect, server=server
    )


@pytest.mark.fault(54)
def test_what_only_says_that_it_is_compressed_exits_8(llmcli: Program, serve: Serve) -> None:
    server = serve(compressed(OPENAI, OPENAI.said("Hello") + OPENAI.end, "gzip"))
    done = ask(llmcli, server, OPENAI)
    assert_failed(done, 8, "the answer is not the gzip that it says it is", dialect=OPENAI, server=server)


@pytest.mark.fault(54)
@pytest.mark.parametrize(("encoding", "library"), [("br", "brotli"), ("zstd", "zstandard"), ("surprise", "")])
def test_a_compression_that_cannot_be_read_is_named(llmcli: Program, serve: Serve, encoding: str, library: str) -> None:
    if library and importlib.util.find_spec(library):
        pytest.skip(f"{library} is installed, and so it can be read")
    server = serve(compressed(OPENAI, b"\x0b\x02\x80Hello\x03", encoding))
    done = ask(llmcli, server, OPENAI)
    assert_failed(done, 8, f"the answer is compressed as {encoding}", dialect=OPENAI, server=server)


@pytest.mark.fault(54)
def test_a_decompression_bomb_is_refused_at_the_limit_of_an_event(llmcli: Program, serve: Serve) -> None:
    bomb = gzip.compress(OPENAI.said("Hello") + b"data: " + b" " * (20 * RECORD_LIMIT))
    server = serve(compressed(OPENAI, bomb, "gzip"))
    done = ask(llmcli, server, OPENAI)
    assert_incomplete(done, "one event of the stream is longer", out=b"Hello", dialect=OPENAI, server=server)


# --- 55 to 57: bytes and characters ----------------------------------------------------------------

TEXT = "café, naïve, 日本語, 🦙, a\u2028b\x85c\x0bd\x0ce\ttab\nline\r\nend"


@pytest.mark.fault(55)
@in_every_dialect
def test_bytes_that_are_no_utf8_become_replacement_characters(llmcli: Program, serve: Serve, dialect: Dialect) -> None:
    bad = dialect.piece("a?b").replace(b"?", b"\xff") + dialect.piece("c?d").replace(b"?", b"\xe6\x97")
    server = serve(dialect.stream(dialect.opening + bad + dialect.end))
    assert_answered(ask(llmcli, server, dialect), "a\ufffdbc\ufffdd")


@pytest.mark.fault(56)
@in_every_dialect
def test_characters_that_are_cut_between_chunks_stay_whole(llmcli: Program, serve: Serve, dialect: Dialect) -> None:
    data = dialect.said(*TEXT) + dialect.end
    server = serve(dialect.stream(*(bytes([byte]) for byte in data)))
    assert_answered(ask(llmcli, server, dialect), TEXT)


@pytest.mark.fault(57)
@in_every_dialect
def test_odd_characters_in_the_text_are_piped_as_they_are(llmcli: Program, serve: Serve, dialect: Dialect) -> None:
    text = "NUL \0, BOM \ufeff, separators \u2028 \u2029 \x1c \x1d \x1e \x85, CR \r, CRLF \r\n"
    server = serve(dialect.stream(dialect.said(text) + dialect.end))
    assert_answered(ask(llmcli, server, dialect), text)


@pytest.mark.fault(57)
@in_every_dialect
def test_a_byte_order_mark_before_the_stream_is_no_text(llmcli: Program, serve: Serve, dialect: Dialect) -> None:
    data = b"\xef\xbb\xbf" + dialect.said("Hello") + dialect.end
    assert_answered(ask(llmcli, serve(dialect.stream(data)), dialect), "Hello")
    in_bytes = [bytes([byte]) for byte in data]
    assert_answered(ask(llmcli, serve(dialect.stream(*in_bytes)), dialect), "Hello")


@pytest.mark.fault(57)
def test_a_byte_order_mark_in_pieces_before_a_whole_answer_is_no_text(llmcli: Program, serve: Serve) -> None:
    document = {"model": "m", "choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]}
    pieces = [bytes([byte]) for byte in b"\xef\xbb\xbf" + json.dumps(document).encode()]
    assert_answered(ask(llmcli, serve(OPENAI.stream(*pieces)), OPENAI), "Hello")


@pytest.mark.fault(57)
@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC], ids=str)
@pytest.mark.parametrize("end_of_line", [b"\r\n", b"\r"], ids=["CRLF", "CR"])
def test_lines_of_a_stream_may_end_in_any_way_and_be_cut_anywhere(
    llmcli: Program, serve: Serve, dialect: Dialect, end_of_line: bytes
) -> None:
    data = (dialect.said("Hel", "lo") + dialect.end).replace(b"\n", end_of_line)
    assert_answered(ask(llmcli, serve(dialect.stream(data)), dialect), "Hello")
    in_bytes = [bytes([byte]) for byte in data]
    assert_answered(ask(llmcli, serve(dialect.stream(*in_bytes)), dialect), "Hello")


@pytest.mark.fault(57)
def test_lines_of_ollama_may_end_in_crlf(llmcli: Program, serve: Serve) -> None:
    data = (OLLAMA.said("Hel", "lo") + OLLAMA.end).replace(b"\n", b"\r\n")
    assert_answered(ask(llmcli, serve(OLLAMA.stream(*in_pieces(data))), OLLAMA), "Hello")


# --- 58 and 59: what a terminal would obey ----------------------------------------------------------

BIDI = "a\u202eb\u2066c\u2069d\u200ee\u061cf\U000e0041g"
SHOWN_BIDI = "a\\u202eb\\u2066c\\u2069d\\u200ee\\u061cf\\U000e0041g"
JOINED = "👩\u200d💻 می\u200cخواهم"  # an emoji and Farsi need their joiners


@pytest.mark.fault(58)
@pytest.mark.fault(59)
@in_every_dialect
def test_a_pipe_gets_escape_sequences_and_bidi_controls_as_they_are(
    llmcli: Program, serve: Serve, dialect: Dialect
) -> None:
    server = serve(dialect.stream(dialect.said(ESCAPES, BIDI, JOINED) + dialect.end))
    assert_answered(ask(llmcli, server, dialect), ESCAPES + BIDI + JOINED)


@pytest.mark.fault(58)
@in_every_look
@in_every_dialect
@pytest.mark.parametrize("pieces", [[ESCAPES], list(ESCAPES)], ids=["whole", "in pieces"])
def test_a_terminal_shows_escape_sequences_instead_of_obeying_them(
    llmcli: Program, serve: Serve, dialect: Dialect, look: str, pieces: list[str]
) -> None:
    server = serve(dialect.stream(dialect.said(*pieces) + dialect.end))
    done = on_terminal(llmcli, *command(server, dialect, look, "--color", "never"), env={**KEYS, "COLUMNS": "200"})
    assert (done.text, done.status) == (SHOWN_ESCAPES + "\n", 0)


@pytest.mark.fault(59)
@in_every_look
@pytest.mark.parametrize("pieces", [[BIDI], list(BIDI)], ids=["whole", "in pieces"])
def test_a_terminal_shows_bidi_controls_and_tags_instead_of_obeying_them(
    llmcli: Program, serve: Serve, look: str, pieces: list[str]
) -> None:
    server = serve(OPENAI.stream(OPENAI.said(*pieces) + OPENAI.end))
    done = on_terminal(llmcli, *command(server, OPENAI, look, "--color", "never"))
    assert (done.text, done.status) == (SHOWN_BIDI + "\n", 0)


@pytest.mark.fault(59)
@in_every_look
def test_a_terminal_gets_the_joiners_that_emoji_and_farsi_need(llmcli: Program, serve: Serve, look: str) -> None:
    server = serve(OPENAI.stream(OPENAI.said(*JOINED) + OPENAI.end))
    done = on_terminal(llmcli, *command(server, OPENAI, look, "--color", "never"))
    assert (done.text, done.status) == (JOINED + "\n", 0)


@pytest.mark.fault(59)
def test_markdown_entities_smuggle_nothing_onto_a_terminal(llmcli: Program, serve: Serve) -> None:
    server = serve(OPENAI.stream(OPENAI.said("a&#x202e;b&#xe0041;c&#x1b;[31md&#x9b;e&#13;f") + OPENAI.end))
    done = on_terminal(llmcli, *command(server, OPENAI, "--format", "markdown", "--color", "never"))
    assert done.status == 0
    assert not set("\u202e\U000e0041\x1b\x9b\r").intersection(done.text)
    assert "\\u202e" in done.text


@pytest.mark.fault(58)
@pytest.mark.parametrize("form", ["--json", "--jsonl"])
def test_json_on_a_terminal_escapes_what_the_terminal_would_obey(llmcli: Program, serve: Serve, form: str) -> None:
    server = serve(OPENAI.stream(OPENAI.said(ESCAPES + BIDI) + OPENAI.end))
    done = on_terminal(llmcli, *command(server, OPENAI, form))
    assert done.status == 0
    assert not set("\x1b\x07\x08\x7f\x9b\u202e\u2066\U000e0041").intersection(done.text)
    line = json.loads(done.text.splitlines()[0])
    assert line["content" if form == "--json" else "delta"] == ESCAPES + BIDI


@pytest.mark.fault(58)
def test_a_carriage_return_cannot_overwrite_a_line_of_a_terminal(llmcli: Program, serve: Serve) -> None:
    server = serve(OPENAI.stream(OPENAI.said("safe\r", "evil\r", "\nnext\r\n") + OPENAI.end))
    done = on_terminal(llmcli, *command(server, OPENAI, "--format", "text"))
    assert done.text == "safe^Mevil\nnext\n"


@pytest.mark.fault(58)
def test_raw_gives_a_terminal_the_bytes_of_the_model(llmcli: Program, serve: Serve) -> None:
    server = serve(OPENAI.stream(OPENAI.said(ESCAPES) + OPENAI.end))
    done = on_terminal(llmcli, *command(server, OPENAI, "--raw"))
    assert (done.out, done.status) == (ESCAPES.encode(), 0)


@pytest.mark.fault(58)
def test_thinking_on_a_terminal_is_escaped(llmcli: Program, serve: Serve) -> None:
    thoughts = [sse({"choices": [{"index": 0, "delta": {"reasoning_content": mark}}]}) for mark in ESCAPES]
    server = serve(OPENAI.stream(*thoughts, OPENAI.piece("Done.") + OPENAI.end))
    done = on_terminal(
        llmcli, *command(server, OPENAI, "--show-thinking", "--color", "never", "--format", "text"), stderr_too=True
    )
    assert done.status == 0
    assert f"{SHOWN_ESCAPES}\nDone.\n" in done.text


@pytest.mark.fault(58)
@in_every_dialect
def test_the_message_of_an_error_is_escaped_wherever_it_goes(llmcli: Program, serve: Serve, dialect: Dialect) -> None:
    server = serve(dialect.stream(dialect.said("Hello"), dialect.error("api_error", ESCAPES + BIDI)))
    done = ask(llmcli, server, dialect)
    assert done.status == 10
    assert SHOWN_ESCAPES + SHOWN_BIDI in done.err
    as_json = ask(llmcli, server, dialect, "--json")
    assert not set("\x1b\x9b\u202e").intersection(as_json.err)
    assert as_json.error["code"] == 10


# --- 60 and 61: tool calls; what is said twice -------------------------------------------------------


def openai_call(index: int, name: str = "", arguments: str = "") -> bytes:
    function = ({"name": name} if name else {}) | {"arguments": arguments}
    call = {"index": index, "function": function} | ({"id": f"call_{name}", "type": "function"} if name else {})
    return sse({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]})


def ollama_call(name: str, arguments: str) -> bytes:
    call = {"function": {"name": name, "arguments": arguments}}
    return ollama(message={"role": "assistant", "content": "", "tool_calls": [call]}, done=False)


def anthropic_call(index: int, name: str, *fragments: str) -> bytes:
    block = {"type": "tool_use", "id": f"call_{name}", "name": name, "input": {}}
    deltas = [{"type": "input_json_delta", "partial_json": fragment} for fragment in fragments]
    return b"".join(
        [
            anthropic("content_block_start", index=index, content_block=block),
            *(anthropic("content_block_delta", index=index, delta=each) for each in deltas),
            anthropic("content_block_stop", index=index),
        ]
    )


@pytest.mark.fault(60)
def test_tool_calls_that_come_in_turns_are_put_together(llmcli: Program, serve: Serve) -> None:
    named = openai_call(0, "first"), openai_call(1, "second")
    begun = openai_call(0, "", '{"a": '), openai_call(1, "", '{"b": ')
    completed = openai_call(0, "", "1}"), openai_call(1, "", "2}")
    server = serve(OPENAI.stream(*named, *begun, *completed, finish("tool_calls"), DONE))
    done = ask(llmcli, server, OPENAI, "--json")
    assert done.status == 0
    functions = [call["function"] for call in done.json["tool_calls"]]
    assert functions == [{"name": "first", "arguments": '{"a": 1}'}, {"name": "second", "arguments": '{"b": 2}'}]


HALF_CALLS = {
    OPENAI: openai_call(0, "delete", '{"path": "/tmp') + finish("tool_calls") + DONE,
    ANTHROPIC: anthropic_call(1, "delete", '{"path": ', '"/tmp')
    + anthropic("message_delta", delta={"stop_reason": "tool_use"})
    + anthropic("message_stop"),
    OLLAMA: ollama_call("delete", '{"path": "/tmp') + OLLAMA.end,
}


@pytest.mark.fault(60)
@pytest.mark.parametrize("dialect", HALF_CALLS, ids=str)
def test_a_tool_call_with_half_its_arguments_is_not_shown_as_valid(
    llmcli: Program, serve: Serve, dialect: Dialect
) -> None:
    server = serve(dialect.stream(dialect.opening, HALF_CALLS[dialect]))
    done = ask(llmcli, server, dialect, "--json")
    assert done.status == 0
    (call,) = done.json["tool_calls"]
    assert (call["function"]["arguments"], call["valid"]) == ('{"path": "/tmp', False)
    assert "delete" in done.err
    lines = [json.loads(line) for line in ask(llmcli, server, dialect, "--jsonl").text.splitlines()]
    assert [line["tool_call"]["valid"] for line in lines if "tool_call" in line] == [False]


@pytest.mark.fault(60)
@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC], ids=str)
def test_a_stream_that_is_cut_in_a_tool_call_shows_none(llmcli: Program, serve: Serve, dialect: Dialect) -> None:
    started = {
        OPENAI: openai_call(0, "delete", '{"path": "/tmp'),
        ANTHROPIC: anthropic_call(1, "delete", '{"path": ').rpartition(b"event:")[0],
    }
    server = serve(dialect.stream(dialect.opening, started[dialect], then=cut))
    for form in ("--json", "--jsonl", "--format=text"):
        done = ask(llmcli, server, dialect, form)
        assert (done.out, done.status) == (b"", 10)


@pytest.mark.fault(61)
def test_a_tool_call_before_an_end_marker_without_its_newline_is_one_call(llmcli: Program, serve: Serve) -> None:
    server = serve(OPENAI.stream((openai_call(0, "look", "{}") + finish("tool_calls") + DONE).rstrip(b"\n")))
    calls = ask(llmcli, server, OPENAI, "--json").json["tool_calls"]
    assert [call["function"]["name"] for call in calls] == ["look"]


@pytest.mark.fault(61)
def test_a_tool_call_that_a_server_sends_again_whole_is_one_call(llmcli: Program, serve: Serve) -> None:
    again = {"index": 0, "id": "call_look", "type": "function", "function": {"name": "look", "arguments": '{"a": 1}'}}
    resent = sse({"choices": [{"index": 0, "delta": {"tool_calls": [again]}}]})
    pieces = (openai_call(0, "look"), openai_call(0, "", '{"a"'), openai_call(0, "", ": 1}"), resent)
    server = serve(OPENAI.stream(*pieces, finish("tool_calls"), DONE))
    calls = ask(llmcli, server, OPENAI, "--json").json["tool_calls"]
    assert [call["function"] for call in calls] == [{"name": "look", "arguments": '{"a": 1}'}]


@pytest.mark.fault(61)
def test_the_pieces_of_another_choice_do_not_mix_into_the_answer(llmcli: Program, serve: Serve) -> None:
    other = sse({"choices": [{"index": 1, "delta": {"content": "Other"}, "finish_reason": None}]})
    server = serve(OPENAI.stream(delta("Hel"), other, delta("lo"), other, finish(), DONE))
    assert_answered(ask(llmcli, server, OPENAI), "Hello")


# --- the forms of the answer -------------------------------------------------------------------------

FAILURES: dict[str, Callable[[Dialect], Script]] = {
    "cut": lambda dialect: dialect.stream(dialect.said("Hel", "lo"), then=cut),
    "no end": lambda dialect: dialect.stream(dialect.said("Hel", "lo")),
    "error": lambda dialect: dialect.stream(dialect.said("Hel", "lo"), dialect.error("api_error", "No.")),
}
failing = pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)


@failing
@in_every_dialect
def test_json_prints_nothing_on_stdout_when_the_answer_is_incomplete(
    llmcli: Program, serve: Serve, dialect: Dialect, failure: Callable[[Dialect], Script]
) -> None:
    server = serve(failure(dialect))
    done = ask(llmcli, server, dialect, "--json")
    assert (done.out, done.status, len(server.requests)) == (b"", 10, 1)
    error = done.error
    assert (error["code"], error["name"], error["bytes_out"]) == (10, "incomplete", 0)
    assert (error["provider"], error["retryable"]) == (dialect.provider, True)


@failing
@in_every_dialect
def test_jsonl_has_no_done_line_when_the_answer_is_incomplete(
    llmcli: Program, serve: Serve, dialect: Dialect, failure: Callable[[Dialect], Script]
) -> None:
    server = serve(failure(dialect))
    done = ask(llmcli, server, dialect, "--jsonl")
    lines = [json.loads(line) for line in done.text.splitlines()]
    assert lines == [{"delta": "Hel", "done": False}, {"delta": "lo", "done": False}]
    assert (done.status, len(server.requests)) == (10, 1)
    assert (done.error["code"], done.error["bytes_out"]) == (10, len(done.out))


@failing
@in_every_dialect
def test_an_output_file_keeps_its_old_content_when_the_answer_is_incomplete(
    llmcli: Program, serve: Serve, dialect: Dialect, failure: Callable[[Dialect], Script], tmp_path: Path
) -> None:
    file = tmp_path / "answer.txt"
    file.write_text("the old answer")
    server = serve(failure(dialect))
    done = ask(llmcli, server, dialect, "-o", str(file))
    assert (done.out, done.status, len(server.requests)) == (b"", 10, 1)
    assert file.read_text() == "the old answer"
    assert (tmp_path / "answer.txt.part").read_text() == "Hello"
    assert {path.name for path in tmp_path.iterdir()} == {"home", "answer.txt", "answer.txt.part"}


@in_every_look
def test_a_terminal_shows_all_that_came_of_an_incomplete_answer(llmcli: Program, serve: Serve, look: str) -> None:
    server = serve(OPENAI.stream(OPENAI.said("One.\n\nTwo is cut"), then=cut))
    done = on_terminal(llmcli, *command(server, OPENAI, look, "--color", "never"))
    assert (done.text, done.status) == ("One.\n\nTwo is cut\n", 10)
    assert_one_line(done, "llmcli: the answer is incomplete: ", OPENAI)


def test_no_code_block_is_extracted_from_an_incomplete_answer(llmcli: Program, serve: Serve) -> None:
    server = serve(OPENAI.stream(OPENAI.said("```sh\nrm -r build\n```\nBut firs"), then=cut))
    done = ask(llmcli, server, OPENAI, "-x")
    assert (done.out, done.status) == (b"", 10)


def test_no_other_model_is_asked_after_the_first_piece(llmcli: Program, serve: Serve) -> None:
    server = serve(OPENAI.stream(OPENAI.said("Hello"), then=cut))
    done = ask(llmcli, server, OPENAI, "--fallback", "echo")
    assert (done.out, done.status) == (b"Hello", 10)
    assert "echo" not in done.err


# --- a finish reason that marks nothing -----------------------------------------------------------


def stopping(word: str) -> bytes:
    """A piece of text that says "stop" although the answer goes on, as some servers send them."""
    return event({"choices": [{"index": 0, "delta": {"content": word}, "finish_reason": "stop"}]})


def test_text_behind_a_finish_reason_takes_its_meaning_away(llmcli: Program, serve: Serve) -> None:
    whole = serve(stream(stopping("one "), stopping("two "), stopping("three"), DONE))
    cut = serve(stream(stopping("one "), stopping("two "), end=b""))

    assert (done := llmcli.chat(whole.url, "hi")).status == 0
    assert done.text == "one two three"
    assert llmcli.chat(cut.url, "hi").status == 10


def test_an_error_behind_the_finish_reason_is_no_success(llmcli: Program, serve: Serve) -> None:
    server = serve(stream(delta("one"), finish(), event({"error": {"type": "server_error", "message": "broken"}})))

    done = llmcli.chat(server.url, "hi")

    assert (done.status, done.text) == (10, "one")


@pytest.mark.fault(37)
def test_until_the_first_word_the_first_timeout_holds(llmcli: Program, serve: Serve) -> None:
    """A model may think for long after it has said that it is the assistant."""

    def role(connection: Connection) -> None:
        choice = {"index": 0, "delta": {"role": "assistant"}}
        connection.send(STREAM_HEAD + chunk(event({"id": "c1", "model": "m", "choices": [choice]})))
        connection.wait_until_gone()

    done = llmcli.chat(serve(role).url, "--first-timeout", "0.4", "--idle-timeout", "0.05", "hi")

    assert done.status == 7
    assert "no answer began in 0.4 s" in done.err
