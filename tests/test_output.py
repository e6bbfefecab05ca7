"""The writers and their sinks, with plain values; what the whole program does with them is in the fault tests."""

import json
import os
import re
import signal
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcli import signals
from llmcli.errors import Busy, Incomplete, OutputFailed, WrongForm
from llmcli.output import (
    FORMATS,
    Look,
    OutputFile,
    ReaderGone,
    Stdout,
    error_document,
    error_line,
    extract,
    first_code_block,
    json_text,
    one_line,
    visible,
)
from llmcli.types import (
    Event,
    Finish,
    Message,
    Metadata,
    Reply,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ThinkingEnd,
    ToolCall,
    Usage,
)


class Screen:
    """A place that keeps what is written to it."""

    terminal = None

    def __init__(self, *, tty: bool = True) -> None:
        self.tty = tty
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data


REPLY = Reply(Message("assistant", (Text("hi"),)), "echo", "m", Finish("stop", "end_turn"), Usage(1, 2, 3), {"id": "x"})


def written(form: str, *events: Event, tty: bool = False, look: Look | None = None, reply: Reply = REPLY) -> str:
    screen = Screen(tty=tty)
    FORMATS[form](iter(events), screen, look or Look(), lambda: reply)
    return screen.data.decode()


def says(*pieces: str) -> Iterator[Event]:
    yield from map(TextDelta, pieces)
    yield Finish("stop")


# --- what a terminal may be shown -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("\x1b[31mred\x1b[0m", "^[[31mred^[[0m"),
        ("\x1b]52;c;cm0=\x07", "^[]52;c;cm0=^G"),
        ("\x00\x08\x7f", "^@^H^?"),
        ("\x9b31m", "\\x9b31m"),
        ("line\r\nline", "line\nline"),
        ("over\rwritten", "over^Mwritten"),
        ("a\N{RIGHT-TO-LEFT OVERRIDE}b\N{FIRST STRONG ISOLATE}", "a\\u202eb\\u2068"),
        ("a\U000e0041\U000e007fb", "a\\U000e0041\\U000e007fb"),
        (
            "👩\N{ZERO WIDTH JOINER}💻 می\N{ZERO WIDTH NON-JOINER}خواهم é 世界",
            "👩\N{ZERO WIDTH JOINER}💻 می\N{ZERO WIDTH NON-JOINER}خواهم é 世界",
        ),
    ],
)
def test_control_characters_are_shown_and_not_obeyed(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text())
def test_nothing_that_is_shown_can_be_obeyed(text: str) -> None:
    assert not [char for char in visible(text) if ord(char) < 32 and char not in "\n\t"]
    assert not {chr(code) for code in range(0x7F, 0xA0)} & set(visible(text))
    assert visible(visible(text)) == visible(text)


def test_a_message_stays_on_one_line() -> None:
    assert one_line("  two\nlines\r\n\tand \x1b[2J ") == "two lines and ^[[2J"


# --- text -----------------------------------------------------------------------------------------


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])).filter(bool)))
def test_a_pipe_gets_the_bytes_of_the_model(pieces: list[str]) -> None:
    assert written("text", *says(*pieces)) == "".join(pieces)
    assert written("text", *says(*pieces), tty=True, look=Look(raw=True)) == "".join(pieces)


@given(st.text(alphabet="a\r\n\x1b", min_size=1), st.data())
def test_a_terminal_gets_the_same_however_the_text_is_cut(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(text) - 1)))))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True) if text[start:end]]
    shown = visible(text)

    assert written("text", *says(*pieces), tty=True) == (shown if shown.endswith("\n") else f"{shown}\n")


def test_a_terminal_gets_no_line_for_an_answer_without_text() -> None:
    assert written("text", ThinkingDelta("hm"), ThinkingEnd(), Finish("stop"), tty=True) == ""


# --- markdown -------------------------------------------------------------------------------------


def markdown(*pieces: str) -> str:
    return written("markdown", *says(*pieces), tty=True, look=Look(width=40))


def test_markdown_is_rendered_without_trailing_spaces() -> None:
    shown = markdown("# Title\n\nSome **bold** text.\n\n- one\n- two\n")

    assert "Title" in shown
    assert "Some bold text.\n" in shown
    assert "• one\n • two\n" in shown
    assert not [line for line in shown.split("\n") if line != line.rstrip()]


def test_between_two_blocks_stands_one_blank_line_in_colour_too() -> None:
    text = "# Title\n\n| a | b |\n|---|---|\n| c | d |\n\n- one\n\n```py\nx = 1\n```\n\nend\n"
    shown = written("markdown", *says(text), tty=True, look=Look(width=40, color=True))

    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip() for line in shown.split("\n")]
    assert "" in lines[1:-1]
    assert not [at for at, line in enumerate(lines[:-1]) if line == "" == lines[at + 1]]


TEXTS = [
    "# A\n\nb\nc\n\n```py\nx = 1\n\n\ny = 2\n```\n\nend",
    "one\n\n\n\ntwo\n",
    "~~~\n```\n\n~~~\nafter\n\n- a\n\n- b",
]


@pytest.mark.parametrize("text", TEXTS)
def test_markdown_is_the_same_however_the_text_is_cut(text: str) -> None:
    whole = markdown(text)

    assert whole.strip()
    for size in (1, 2, 3, 7):
        assert markdown(*(text[start : start + size] for start in range(0, len(text), size))) == whole


def test_a_block_of_markdown_is_shown_when_it_is_complete() -> None:
    screen = Screen()
    seen: list[bytes] = []

    def events() -> Iterator[Event]:
        for piece in ("one\n", "\n", "```\ntwo\n\n", "three\n", "```\n", "\n", "last"):
            yield TextDelta(piece)
            seen.append(screen.data)
        yield Finish("stop")

    FORMATS["markdown"](events(), screen, Look(), lambda: REPLY)

    assert [b"one" in data for data in seen] == [False, True, True, True, True, True, True]
    assert [b"two" in data for data in seen] == [False, False, False, False, True, True, True]
    assert b"last" in screen.data


# --- JSON -----------------------------------------------------------------------------------------

CALL = ToolCall("call_1", "now", '{"zone": "UTC"}')
WIRE_CALL = {"id": "call_1", "type": "function", "function": {"name": "now", "arguments": '{"zone": "UTC"}'}}


def test_a_document_has_all_of_the_answer() -> None:
    reply = REPLY._replace(
        message=Message("assistant", (Thinking("hm"), Text("a"), CALL, Text("b"))),
        usage=Usage(1, None, None, cached_tokens=4, reasoning_tokens=5),
    )

    assert json.loads(written("json", *says("ab"), reply=reply)) == {
        "version": 1,
        "role": "assistant",
        "content": "ab",
        "tool_calls": [WIRE_CALL],
        "thinking": "hm",
        "metadata": {
            "provider": "echo",
            "model": "m",
            "usage": {"prompt_tokens": 1, "completion_tokens": None, "total_tokens": None,
                      "cached_tokens": 4, "reasoning_tokens": 5},
            "finish_reason": "stop",
            "raw_finish_reason": "end_turn",
            "id": "x",
        },
    }  # fmt: skip


def test_lines_have_a_piece_each_and_the_last_the_metadata() -> None:
    events = (Metadata({"model": "m"}), ThinkingDelta("hm"), ThinkingEnd(), TextDelta("a\nb"), CALL, Usage(1, 2, 3))

    lines = [json.loads(line) for line in written("jsonl", *events, Finish("stop")).splitlines()]

    assert lines[:-1] == [
        {"delta": "", "thinking": "hm", "done": False},
        {"delta": "a\nb", "done": False},
        {"delta": "", "tool_call": WIRE_CALL, "done": False},
    ]
    assert (lines[-1]["version"], lines[-1]["delta"], lines[-1]["done"]) == (1, "", True)
    assert lines[-1]["metadata"]["usage"] == {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


@pytest.mark.parametrize("form", ["json", "jsonl"])
@given(text=st.text(min_size=1))
def test_json_is_one_line_and_reads_back_as_it_was(form: str, text: str) -> None:
    """Also for text that holds line separators, or the half of a surrogate pair."""
    reply = REPLY._replace(message=Message("assistant", (Text(text),)))
    first, *rest = written(form, *says(text), reply=reply).removesuffix("\n").split("\n")

    assert len(rest) == (1 if form == "jsonl" else 0)
    document = json.loads(first)
    assert (document["delta"] if form == "jsonl" else document["content"]) == text.encode("utf-8", "replace").decode()


def cut() -> Iterator[Event]:
    yield TextDelta("half")
    raise Incomplete("cut")


def test_half_an_answer_is_no_document() -> None:
    screen = Screen()

    with pytest.raises(Incomplete):
        FORMATS["json"](cut(), screen, Look(), lambda: REPLY)

    assert screen.data == b""


def test_half_an_answer_has_no_line_that_is_done() -> None:
    screen = Screen()

    with pytest.raises(Incomplete):
        FORMATS["jsonl"](cut(), screen, Look(), lambda: REPLY)

    assert json.loads(screen.data) == {"delta": "half", "done": False}


# --- extracting -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("a\n```\nb\n```\nc", "b\n"),
        ("```python title=x\nb\n```", "b\n"),
        ("```\nb\n````", "b\n"),
        ("````\n```\nb\n```\n````", "```\nb\n```\n"),
        ("~~~\n```\n~~~", "```\n"),
        ("   ```\nb\n   ```   ", "b\n"),
        ("```\n\n\n```", "\n\n"),
        ("```\n```", ""),
        ("1. so:\n\n    ```sh\n    make\n    ```", "make\n"),
        ("```py\r\nx = 1\r\n```\r\n", "x = 1\r\n"),
        ("```a``` is code\n```\nb\n```", "b\n"),
    ],
)
def test_the_first_code_block_is_what_stands_inside(text: str, inside: str) -> None:
    assert first_code_block(text) == inside


@pytest.mark.parametrize("text", ["", "no code", "``` not a fence", "```\nopen", "```a``` is code\n"])
def test_what_is_no_code_block_is_none(text: str) -> None:
    with pytest.raises(WrongForm):
        first_code_block(text)


def test_extracting_waits_for_the_whole_answer_and_keeps_the_other_events() -> None:
    events: Iterable[Event] = [
        ThinkingDelta("hm"),
        ThinkingEnd(),
        *says("``", "`\nb\n", "```"),
    ]

    assert list(extract(iter(events))) == [ThinkingDelta("hm"), ThinkingEnd(), TextDelta("b\n"), Finish("stop")]


# --- errors ---------------------------------------------------------------------------------------


def test_an_error_is_one_line_with_what_is_known() -> None:
    error = Busy("the provider\nis \x1b[31mbusy", provider="openai", http_status=429, request_id="req 1\n")

    assert error_line(error) == "llmcli: the provider is ^[[31mbusy [provider=openai http=429 request_id=req 1]"
    assert error_line(Busy("busy")) == "llmcli: busy"


def test_an_error_is_a_document_with_all_its_keys() -> None:
    error = Busy("busy", provider="openai", http_status=429, request_id="r", retry_after=2.5)
    error.bytes_out = 7

    assert error_document(error)["error"] == {
        "code": 6, "name": "busy", "message": "busy", "hint": None, "provider": "openai", "http_status": 429,
        "request_id": "r",
        "retryable": True, "retry_after": 2.5, "bytes_out": 7,
    }  # fmt: skip


# --- sinks ----------------------------------------------------------------------------------------


def test_bytes_on_stdout_are_counted_and_all_there() -> None:
    ours, theirs = os.pipe()
    sink = Stdout(theirs)
    sink.write(b"one ")
    sink.write("zwölf".encode())
    sink.commit()

    assert (sink.tty, sink.written) == (False, 10)
    with open(ours, "rb") as pipe:
        assert pipe.read() == "one zwölf".encode()


def test_a_pipe_that_nobody_reads_is_no_error_but_an_end() -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    sink = Stdout(theirs)

    sink.write(b"one")
    with pytest.raises(ReaderGone):
        sink.flush()
    sink.abort()
    os.close(theirs)


class Drawn:
    """Something that is drawn in two halves, between which somebody presses Ctrl-C."""

    def __init__(self, sink: Stdout) -> None:
        self._sink = sink

    def draw(self) -> None:
        self._sink.write(b"one half")
        os.kill(os.getpid(), signal.SIGINT)
        self._sink.write(b" and the other")


def test_a_signal_does_not_leave_a_drawing_half_done() -> None:
    reader, writer = os.pipe()
    sink = Stdout(writer)
    sink.drawing = Drawn(sink)
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        signals.care()
        with pytest.raises(signals.Interrupted):
            sink.flush()
    finally:
        signal.signal(signal.SIGINT, before)
    assert os.read(reader, 100) == b"one half and the other"
    os.close(reader)
    os.close(writer)


def test_what_is_written_is_out_after_a_flush_or_when_it_is_much() -> None:
    ours, theirs = os.pipe()
    sink = Stdout(theirs)
    sink.write(b"one")
    assert sink.written == 0
    sink.flush()
    assert (sink.written, os.read(ours, 10)) == (3, b"one")
    sink.flush()
    sink.write(b"x" * 64 * 1024)
    assert len(os.read(ours, 100_000)) == 64 * 1024
    os.close(ours)
    os.close(theirs)


def test_a_closed_descriptor_is_an_output_error() -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    os.close(theirs)

    with pytest.raises(OutputFailed, match="stdout is closed"):
        Stdout(theirs)


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "answer"
    sink = OutputFile(str(path))
    sink.write(b"whole")

    assert not path.exists()
    sink.commit()
    assert path.read_bytes() == b"whole"
    sink.abort()  # after a commit there is nothing to undo
    assert os.listdir(tmp_path) == ["answer"]


def test_a_file_that_is_given_up_stays_as_part_or_not_at_all(tmp_path: Path) -> None:
    empty = OutputFile(str(tmp_path / "empty"))
    empty.abort()
    half = OutputFile(str(tmp_path / "half"))
    half.write(b"ha")
    half.abort()

    assert os.listdir(tmp_path) == ["half.part"]
    assert (tmp_path / "half.part").read_bytes() == b"ha"


def test_giving_up_raises_nothing(tmp_path: Path) -> None:
    """It happens while another error is on its way, which is the one to be told."""
    sink = OutputFile(str(tmp_path / "answer"))
    sink.write(b"ha")
    (tmp_path / "answer.part").mkdir()

    sink.abort()


def test_a_file_keeps_its_mode_through_the_renaming(tmp_path: Path) -> None:
    path = tmp_path / "answer"
    path.write_text("old")
    path.chmod(0o640)
    sink = OutputFile(str(path))
    sink.write(b"new")
    sink.commit()

    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o640)


def test_half_a_surrogate_pair_is_json_all_the_same() -> None:
    assert json_text({"a": "\ud800é"}) == '{"a": "\\ud800\\u00e9"}'
