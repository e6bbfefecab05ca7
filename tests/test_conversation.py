"""A conversation on a terminal, as a person has it: typed keys, and what stands on the screen."""

import base64
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.program import PATIENCE, Program
from tests.screen import Screen
from tests.servers import (
    DONE,
    LAST_CHUNK,
    STREAM_HEAD,
    Connection,
    Server,
    answers,
    chunk,
    delta,
    finish,
    says,
    says_and_waits,
    stream,
)
from tests.terminal import Session, talking_to

Serve = Callable[..., Server]
PROMPT = "\x1b[1;36m>\x1b[0m "
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
ENTER, CTRL_C, CTRL_D, UP = "\r", "\x03", "\x04", "\x1b[A"


class Person:
    """Somebody at a terminal, who waits for the prompt before typing the next thing."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._seen = 0

    def waits(self, expected: str = PROMPT) -> str:
        """Wait until this comes, behind what was waited for before; what came until then."""
        self._session.until(expected, self._seen)
        at = self._session.screen.find(expected.encode(), self._seen)
        came = self._session.screen[self._seen : at].decode(errors="replace")
        self._seen = at + len(expected.encode())
        return came

    def types(self, text: str, expected: str = PROMPT) -> str:
        """Type this and Enter; what came until the next prompt."""
        self._session.type(text + ENTER)
        self.waits("\r\n")
        return self.waits(expected)

    def presses(self, keys: str) -> None:
        self._session.type(keys)

    def leaves(self) -> int:
        self._session.type(CTRL_D)
        return self._session.ended().status

    def hangs_up(self) -> int:
        return self._session.hang_up()

    @property
    def asked_for_pastes(self) -> bool:
        """Whether the terminal was asked to mark what is pasted."""
        return b"\x1b[?2004h" in self._session.screen

    @property
    def screen(self) -> list[str]:
        return Screen(80, 50, self._session.screen).lines


@contextmanager
def conversation(llmcli: Program, *args: str, **popen: Any) -> Iterator[Person]:
    with talking_to(llmcli, "chat", "--retries", "0", *args, size=(80, 50), **popen) as session:
        person = Person(session)
        person.waits()
        yield person


def stop(session: Session) -> None:
    """Ctrl-C to the answer, and Ctrl-D at the next prompt."""
    session.type(CTRL_C)
    session.until("stopped")
    session.until(PROMPT, session.screen.find(b"stopped"))
    session.type(CTRL_D)
    assert session.ended().status == 0


def configured(llmcli: Program, **servers: Server) -> None:
    llmcli.configure(
        "".join(
            f'[providers.{name}]\nadapter = "openai-compatible"\n'
            f'base_url = "{server.url}"\ndefault_model = "m-{name}"\n'
            for name, server in servers.items()
        )
    )


def sent(server: Server, number: int = -1) -> list[tuple[str, str]]:
    """The messages of a request."""
    return [(each["role"], each["content"]) for each in server.requests[number].json["messages"]]


# --- questions and answers ------------------------------------------------------------------------


def test_each_question_is_sent_with_all_that_was_said(llmcli: Program, serve: Serve) -> None:
    server = serve(says("Hel", "lo **there**"), says("fine"))
    configured(llmcli, one=server)
    with conversation(llmcli, "-m", "one", "-s", "Be brief.") as person:
        assert "there" in person.types("hi")
        person.types("how are you?")
        assert person.leaves() == 0
    assert sent(server) == [
        ("system", "Be brief."), ("user", "hi"), ("assistant", "Hello **there**"), ("user", "how are you?"),
    ]  # fmt: skip
    assert person.screen[1:] == [
        "> hi", "Hello there", "", "> how are you?", "fine", "", ">",
    ]  # fmt: skip


def test_what_a_service_refuses_is_tried_once_in_a_conversation(llmcli: Program, serve: Serve) -> None:
    refused = answers(400, {"error": {"message": "Unknown parameter: 'stream_options'", "param": "stream_options"}})
    server = serve(refused, says("one"), says("two"))
    configured(llmcli, one=server)
    with conversation(llmcli, "-m", "one") as person:
        person.types("a")
        person.types("b")
        assert person.leaves() == 0
    assert ["stream_options" in each.json for each in server.requests] == [True, False, False]


def test_ctrl_c_stops_the_answer_and_not_the_conversation(llmcli: Program, serve: Serve) -> None:
    server = serve(says_and_waits("One ", "two"), says("again"))
    configured(llmcli, one=server)
    with conversation(llmcli, "-m", "one") as person:
        person.presses("count\r")
        person.waits("two")
        person.presses(CTRL_C)
        person.waits("llmcli: stopped")
        person.waits()
        person.types("go on")
        assert person.leaves() == 0
    assert sent(server) == [("user", "count"), ("assistant", "One two"), ("user", "go on")]
    assert "^C" not in "".join(person.screen)


def test_ctrl_c_stops_one_answer_after_the_other(llmcli: Program, serve: Serve) -> None:
    server = serve(says_and_waits("text"))
    configured(llmcli, one=server)
    with conversation(llmcli, "-m", "one") as person:
        for _ in range(3):
            person.presses("again\r")
            person.waits("text")
            person.presses(CTRL_C)
            person.waits("stopped")
            person.waits()
        assert person.leaves() == 0


def test_who_presses_ctrl_c_again_and_again_stops_no_more_than_the_answer(llmcli: Program, serve: Serve) -> None:
    configured(llmcli, one=serve(says_and_waits(*(f"word{number} " for number in range(6000)))))
    with talking_to(llmcli, "chat", "-m", "one", size=(80, 50)) as session:
        session.until(PROMPT)
        for _ in range(5):
            seen = len(session.screen)
            session.type("hi\r")
            session.until("word9", seen)
            while b"stopped" not in session.screen[seen:]:
                session.send(signal.SIGINT)
                session.until("\x1b", len(session.screen))
            session.until(PROMPT, session.screen.find(b"stopped", seen))
        session.type(CTRL_D)
        assert session.ended().status == 0


def test_an_answer_that_never_began_is_not_part_of_the_conversation(llmcli: Program, serve: Serve) -> None:
    server = serve(says_and_waits(), says("yes"))
    configured(llmcli, one=server)
    with conversation(llmcli, "-m", "one") as person:
        person.presses("first\r")
        person.waits(" 0 s")  # the spinner
        person.presses(CTRL_C)
        person.waits("stopped")
        person.waits()
        person.types("second")
        person.leaves()
    assert sent(server) == [("user", "second")]


def test_ctrl_c_at_the_prompt_drops_the_line(llmcli: Program) -> None:
    with conversation(llmcli, "-m", "echo") as person:
        person.presses("not this")
        person.waits("not this")
        person.presses(CTRL_C)
        person.waits()
        assert "but this" in person.types("but this")
        assert person.leaves() == 0
    assert "not this" not in "".join(person.screen[-5:])


def test_ctrl_c_drops_the_line_of_who_edits_as_in_vi_too(llmcli: Program) -> None:
    (llmcli.home / ".inputrc").write_text("set editing-mode vi\n")
    with conversation(llmcli, "-m", "echo") as person:
        for mode in ("", "\x1b"):
            person.presses("not this")
            person.waits("not this")
            person.presses(mode)
            person.presses(CTRL_C)
            person.waits()
        assert "but this" in person.types("but this")
        assert person.leaves() == 0


def test_an_error_is_told_and_the_conversation_goes_on(llmcli: Program, serve: Serve) -> None:
    server = serve(answers(500, {"error": {"message": "on fire"}}), says("well"))
    configured(llmcli, one=server)
    with conversation(llmcli, "-m", "one") as person:
        assert "on fire [provider=one http=500]" in person.types("first")
        assert "well" in person.types("second")
        assert person.leaves() == 0
    assert sent(server) == [("user", "second")]


def test_of_an_answer_that_was_cut_what_came_is_kept(llmcli: Program, serve: Serve) -> None:
    server = serve(stream(delta("Half an"), end=b""), says("whole"))
    configured(llmcli, one=server)
    with conversation(llmcli, "-m", "one") as person:
        assert "the answer is incomplete" in person.types("first")
        person.types("second")
        person.leaves()
    assert sent(server)[1] == ("assistant", "Half an")


def test_what_is_typed_during_an_answer_is_not_shown_in_it(llmcli: Program, serve: Serve) -> None:
    server = serve(says_and_waits("text"))
    configured(llmcli, one=server)
    with talking_to(llmcli, "chat", "-m", "one", size=(80, 50)) as session:
        session.until(PROMPT)
        session.type("hi\r")
        session.until("text")
        assert not session.echoes
        stop(session)
        assert session.echoes


def test_what_is_pasted_during_an_answer_is_one_question(llmcli: Program, serve: Serve) -> None:
    pasted = threading.Event()

    def answer(connection: Connection) -> None:
        connection.send(STREAM_HEAD + chunk(delta("text")))
        pasted.wait(PATIENCE)
        connection.send(chunk(finish()) + chunk(DONE) + LAST_CHUNK)

    server = serve(answer, says("ok"))
    configured(llmcli, one=server)
    with conversation(llmcli, "-m", "one") as person:
        person.presses("hi\r")
        asked = person.waits("text")
        assert "\x1b[?2004h" in asked  # the terminal marks what is pasted
        person.presses("\x1b[200~one\rtwo\rthree\x1b[201~")
        pasted.set()
        person.waits()
        person.waits("three")
        person.presses(ENTER)
        person.waits("ok")
        person.waits()
        person.leaves()
    assert sent(server) == [("user", "hi"), ("assistant", "text"), ("user", "one\ntwo\nthree")]


def test_after_ctrl_z_what_is_typed_during_an_answer_is_not_shown_either(llmcli: Program, serve: Serve) -> None:
    back = threading.Event()

    def answer(connection: Connection) -> None:
        connection.send(STREAM_HEAD + chunk(delta("text")))
        back.wait(PATIENCE)
        connection.send(chunk(delta("more")))
        connection.wait_until_gone()

    configured(llmcli, one=serve(answer))
    with talking_to(llmcli, "chat", "-m", "one", size=(80, 50)) as session:
        session.until(PROMPT)
        session.type("hi\r")
        session.until("text")
        session.show_typing()  # as a shell does when it takes the terminal back
        session.send(signal.SIGCONT)
        back.set()
        session.until("more")
        assert not session.echoes
        stop(session)


# --- typing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "keys",
    [
        "\x1b[200~one\n\n  two\x1b[201~\r",  # pasted
        "one\x1b\r\x1b\r  two\r",  # Alt-Enter
        '"""one\r\r  two"""\r',
        '"""\rone\r\r  two\r"""\r',
        '"""\rone\r\r  two\r\x04',
    ],
)
def test_a_text_of_several_lines_is_one_question(llmcli: Program, serve: Serve, keys: str) -> None:
    server = serve(says("ok"))
    configured(llmcli, one=server)
    with conversation(llmcli, "-m", "one") as person:
        person.presses(keys)
        person.waits("ok")
        person.waits()
        person.leaves()
        assert person.asked_for_pastes
    assert [sent(server, number) for number in range(len(server.requests))] == [[("user", "one\n\n  two")]]


def test_what_is_pasted_is_whole_though_it_begins_with_quotation_marks(llmcli: Program, serve: Serve) -> None:
    server = serve(says("ok"))
    configured(llmcli, one=server)
    with conversation(llmcli, "-m", "one") as person:
        person.presses('\x1b[200~"""Doc."""\nimport os\x1b[201~\r')
        person.waits("ok")
        person.waits()
        person.leaves()
    assert sent(server) == [("user", '"""Doc."""\nimport os')]


@pytest.mark.parametrize("locale", ["C", "POSIX"])
def test_a_locale_that_cannot_say_a_question_is_no_reason_to_lose_the_conversation(
    llmcli: Program, serve: Serve, locale: str
) -> None:
    server = serve(says("ok"))
    configured(llmcli, one=server)
    with conversation(llmcli, "-m", "one", env={"LC_ALL": locale}) as person:
        person.types("wie schön")
        person.types("again")
        assert person.leaves() == 0
    assert len(server.requests) == 2


def test_arrow_up_brings_back_what_was_typed(llmcli: Program, serve: Serve) -> None:
    server = serve(says("ok"))
    configured(llmcli, one=server)
    with conversation(llmcli, "-m", "one") as person:
        person.types("a question")
        person.presses(UP + "!" + ENTER)
        person.waits("ok")
        person.waits()
        person.leaves()
    assert sent(server)[-1] == ("user", "a question!")
    assert [str(path) for path in llmcli.home.rglob("*hist*")] == []


def test_tab_completes_commands_and_files(llmcli: Program) -> None:
    (llmcli.home / "notes.txt").write_text("the notes")
    with conversation(llmcli, "-m", "echo") as person:
        person.presses("/fi\tno\t\r")
        person.waits("with the next question: notes.txt")
        person.leaves()


def test_a_question_may_begin_with_a_slash(llmcli: Program) -> None:
    with conversation(llmcli, "-m", "echo", "--format", "text") as person:
        assert "/etc is a folder" in person.types("//etc is a folder")
        assert "there is no /etc" in person.types("/etc is a folder")
        person.leaves()


# --- commands -------------------------------------------------------------------------------------


def test_another_model_goes_on_with_what_was_said(llmcli: Program, serve: Serve) -> None:
    one, two = serve(says("I am one")), serve(says("I am two"))
    configured(llmcli, one=one, two=two)
    with conversation(llmcli, "-m", "one") as person:
        person.types("who are you?")
        assert "two/m-two" in person.types("/model two")
        assert "I am two" in person.types("and you?")
        assert "'three' is no known provider" in person.types("/model three/x")
        assert "two/m-two" in person.types("/model")
        person.leaves()
    assert sent(two) == [("user", "who are you?"), ("assistant", "I am one"), ("user", "and you?")]
    assert two.requests[0].json["model"] == "m-two"


def test_the_last_turn_can_be_asked_again_or_taken_back(llmcli: Program, serve: Serve) -> None:
    server = serve(says("first answer"), says("second answer"), says("third answer"))
    configured(llmcli, one=server)
    with conversation(llmcli, "-m", "one") as person:
        assert "nothing has been said yet" in person.types("/retry")
        person.types("a question")
        assert "second answer" in person.types("/retry")
        assert "taken back: a question" in person.types("/undo")
        person.types("another")
        person.leaves()
    assert sent(server, 1) == [("user", "a question")]
    assert sent(server, 2) == [("user", "another")]


@pytest.mark.parametrize("cut", [False, True])
def test_where_asking_again_is_stopped_or_cut_the_old_answer_stays(llmcli: Program, serve: Serve, cut: bool) -> None:
    fragment = stream(delta("a part"), end=b"") if cut else says_and_waits("a part")
    configured(llmcli, one=serve(says("whole answer"), fragment))
    with conversation(llmcli, "-m", "one", "--session", "a") as person:
        person.types("a question")
        person.presses("/retry\r")
        person.waits("a part")
        person.presses("" if cut else CTRL_C)
        person.waits("incomplete" if cut else "stopped; the answer that there was stays")
        person.waits()
        person.leaves()
    kept = llmcli("sessions", "export", "a").json["messages"]
    assert [each["content"] for each in kept] == ["a question", "whole answer"]


def test_where_asking_again_fails_the_old_answer_stays(llmcli: Program, serve: Serve) -> None:
    server = serve(says("first answer"), answers(500, {"error": "no"}), says("third answer"))
    configured(llmcli, one=server)
    with conversation(llmcli, "-m", "one", "--session", "a") as person:
        person.types("a question")
        assert "http=500" in person.types("/retry")
        person.types("another")
        person.leaves()
    assert [text for _, text in sent(server)] == ["a question", "first answer", "another"]
    kept = llmcli("sessions", "export", "a").json["messages"]
    assert [each["content"] for each in kept] == ["a question", "first answer", "another", "third answer"]


def test_a_question_that_had_no_answer_is_the_one_that_is_asked_again(llmcli: Program, serve: Serve) -> None:
    server = serve(says("first answer"), answers(500, {"error": "no"}), says("second answer"))
    configured(llmcli, one=server)
    with conversation(llmcli, "-m", "one", "--session", "a") as person:
        person.types("one")
        assert "http=500" in person.types("two")
        assert "asking again: two" in person.types("/retry")
        person.leaves()
    kept = llmcli("sessions", "export", "a").json["messages"]
    assert [each["content"] for each in kept] == ["one", "first answer", "two", "second answer"]


def test_tools_that_have_run_are_part_of_the_conversation_though_the_answer_was_stopped(
    llmcli: Program, serve: Serve
) -> None:
    calls = [
        {"id": name, "type": "function", "function": {"name": name, "arguments": "{}"}} for name in ("quick", "slow")
    ]
    asked = {"choices": [{"index": 0, "message": {"role": "assistant", "tool_calls": calls}, "finish_reason": "stop"}]}
    server = serve(answers(200, asked), says("well"))
    configured(llmcli, one=server)
    (llmcli.home / "tools.py").write_text(
        "import time\ndef quick() -> str:\n    return 'done'\ndef slow() -> str:\n    time.sleep(600)\n"
    )
    with conversation(llmcli, "-m", "one", "--tool", "tools.py", "--yes") as person:
        person.presses("go\r")
        person.waits("tool slow({})")
        person.presses(CTRL_C)
        person.waits("stopped")
        person.waits()
        person.types("and?")
        person.leaves()
    messages = server.requests[-1].json["messages"]
    assert [each["role"] for each in messages] == ["user", "assistant", "tool", "tool", "assistant", "user"]
    assert "done" in messages[2]["content"]
    assert "the user stopped the answer" in messages[3]["content"]


def test_ctrl_c_at_the_question_for_leave_stops_the_answer(llmcli: Program) -> None:
    (llmcli.home / "tools.py").write_text("def now() -> str:\n    return 'noon'\n")
    with conversation(llmcli, "-m", "echo", "--tool", "tools.py", "--option", 'call="now"') as person:
        person.presses("hi\r")
        person.waits("a(lways this tool)")
        person.presses(CTRL_C)
        assert person.waits("llmcli: stopped").endswith("\n")
        person.waits()
        assert person.leaves() == 0


def test_of_an_answer_that_was_asked_for_again_the_new_one_is_kept(llmcli: Program, serve: Serve) -> None:
    configured(llmcli, one=serve(says("old"), says("new")))
    with conversation(llmcli, "-m", "one", "--session", "a") as person:
        person.types("a question")
        person.types("/retry")
        person.leaves()
    kept = llmcli("sessions", "export", "a").json["messages"]
    assert [each["content"] for each in kept] == ["a question", "new"]


def test_the_defaults_of_the_configuration_do_not_prevent_a_conversation(llmcli: Program) -> None:
    llmcli.configure('default = "echo"\n[chat]\nfallback = ["echo/other"]\nstrict = true\n')
    with conversation(llmcli, "--option", "fail=length") as person:
        assert "stopped at its limit" in person.types("one two three")
        assert "taken back: one two three" in person.types("/undo")
        person.leaves()


def test_the_system_prompt_can_be_changed_and_dropped(llmcli: Program, serve: Serve) -> None:
    server = serve(says("ok"))
    configured(llmcli, one=server)
    with conversation(llmcli, "-m", "one") as person:
        assert "there is no system prompt" in person.types("/system")
        person.types("/system Be brief.")
        person.types("one")
        person.types("/system -")
        person.types("two")
        person.leaves()
    assert sent(server, 0) == [("system", "Be brief."), ("user", "one")]
    assert [role for role, _ in sent(server, 1)] == ["user", "assistant", "user"]


def test_a_file_goes_with_the_next_question_only(llmcli: Program, serve: Serve) -> None:
    server = serve(says("ok"))
    configured(llmcli, one=server)
    (llmcli.home / "my notes.txt").write_text("the notes\n")
    with conversation(llmcli, "-m", "one") as person:
        assert "cannot read nowhere.txt" in person.types("/file nowhere.txt")
        assert "with the next question: my notes.txt" in person.types("/file 'my notes.txt'")
        person.types("what is this?")
        person.types("and now?")
        person.leaves()
    assert sent(server, 0) == [("user", 'what is this?\n\n<file name="my notes.txt">\nthe notes\n</file>')]
    assert sent(server, 1)[-1] == ("user", "and now?")


def test_what_is_attached_can_be_left_out_again(llmcli: Program, serve: Serve) -> None:
    server = serve(answers(400, {"error": {"message": "takes no images"}}), says("ok"))
    configured(llmcli, one=server)
    (llmcli.home / "a.png").write_bytes(PNG)
    (llmcli.home / "notes.txt").write_text("a note")
    with conversation(llmcli, "-m", "one") as person:
        person.types("/attach a.png")
        person.types("/file notes.txt")
        (llmcli.home / "notes.txt").unlink()
        assert "cannot read notes.txt" in person.types("first")
        assert "no text files go with" in person.types("/file -")
        failed = person.types("second")
        assert "takes no images" in failed
        assert "/file - and /attach - leave them out" in failed
        assert "nothing is attached" in person.types("/attach -")
        person.types("third")
        person.leaves()
    assert sent(server) == [("user", "third")]


def test_a_picture_goes_with_the_next_question(llmcli: Program, serve: Serve) -> None:
    server = serve(says("ok"))
    configured(llmcli, one=server)
    (llmcli.home / "dot.png").write_bytes(PNG)
    with conversation(llmcli, "-m", "one") as person:
        assert "cannot read none.png" in person.types("/attach none.png")
        assert "with the next question: dot.png" in person.types("/attach dot.png")
        person.types("what is this?")
        assert "echo/echo" in person.types("/model echo")
        assert "[attached: dot.png]" in person.types("/retry")
        person.leaves()
    (question,) = server.requests[0].json["messages"]
    assert [part["type"] for part in question["content"]] == ["text", "image_url"]


def test_the_last_answer_goes_to_the_clipboard_of_the_terminal(llmcli: Program) -> None:
    with conversation(llmcli, "-m", "echo", env={"PATH": "/nowhere"}) as person:
        person.types("some **text**")
        came = person.types("/copy")
        person.leaves()
    assert f"\x1b]52;c;{base64.b64encode(b'some **text**').decode()}\x07" in came


def test_usage_is_told_when_it_is_asked_for(llmcli: Program) -> None:
    with conversation(llmcli, "-m", "echo") as person:
        assert "tokens" not in person.types("one two")
        assert "so far 2 prompt + 2 completion = 4 tokens" in person.types("/usage")
        assert "llmcli: 5 prompt + 1 completion = 6 tokens" in person.types("three")
        person.types("/usage")
        assert "tokens" not in person.types("four")
        person.leaves()


def test_help_names_every_command(llmcli: Program) -> None:
    with conversation(llmcli, "-m", "echo") as person:
        shown = person.types("/help")
        assert "did you mean /model?" in person.types("/modell")
        person.presses("/quit\r")
    for name in ("model", "system", "file", "attach", "tool", "retry", "undo", "copy", "usage", "save", "quit"):
        assert f"/{name}" in shown


def test_a_tool_can_be_offered_amid_a_conversation(llmcli: Program) -> None:
    (llmcli.home / "tools.py").write_text('def now() -> str:\n    """The time."""\n    return "noon"\n')
    with conversation(llmcli, "-m", "echo", "--option", "call=now") as person:
        assert "the model may call now" in person.types("/tool tools.py")
        person.presses("what time is it?\r")
        person.waits("Run it?")
        person.presses("y\r")
        person.waits("noon")
        person.waits()
        assert person.leaves() == 0


# --- kept -----------------------------------------------------------------------------------------


def test_a_conversation_is_kept_only_when_that_is_asked_for(llmcli: Program, serve: Serve) -> None:
    server = serve(says("one"), says("two"), says("three"))
    configured(llmcli, one=server)
    with conversation(llmcli, "-m", "one") as person:
        person.types("first")
        assert not (llmcli.home / ".local").exists()
        assert "kept as my trip from now on" in person.types("/save my trip")
        person.types("second")
        person.leaves()
    with conversation(llmcli, "-c") as person:
        person.types("third")
        person.types("/undo")
        person.leaves()
    assert [text for _, text in sent(server)] == ["first", "one", "second", "two", "third"]
    kept = llmcli("sessions", "export", "my trip").json["messages"]
    assert [each["content"] for each in kept] == ["first", "one", "second", "two"]


def test_a_name_that_is_taken_is_not_written_over(llmcli: Program) -> None:
    assert llmcli("chat", "-m", "echo", "-n", "--session", "trip", "old").status == 0
    with conversation(llmcli, "-m", "echo") as person:
        person.types("new")
        assert "there is a session 'trip' already" in person.types("/save trip")
        person.leaves()
    assert len(llmcli("sessions", "export", "trip").json["messages"]) == 2


# --- where there is none --------------------------------------------------------------------------


def test_without_a_terminal_a_missing_prompt_stays_an_error(llmcli: Program) -> None:
    done = llmcli("chat", "-m", "echo")
    assert (done.status, done.out) == (2, b"")
    assert "the prompt is empty" in done.err


def test_the_end_of_the_terminal_ends_it(llmcli: Program) -> None:
    with conversation(llmcli, "-m", "echo") as person:
        person.types("something")
        assert person.hangs_up() == 129


def test_the_key_and_the_address_of_the_command_line_go_to_no_other_provider(
    llmcli: Program, serve: Callable[..., Server]
) -> None:
    """Whichever models are chosen meanwhile, and back again."""
    ours, other = serve(says("ours")), serve(says("other"))
    (llmcli.home / "key").write_text("sk-of-the-command-line")
    (llmcli.home / "key").chmod(0o600)
    llmcli.configure(
        f'[providers.aye]\nadapter = "openai-compatible"\nbase_url = "http://127.0.0.1:1"\ndefault_model = "m"\n'
        f'[providers.bee]\nadapter = "openai-compatible"\nbase_url = "{other.url}"\ndefault_model = "m"\n'
    )
    words = ("-m", "aye", "--base-url", ours.url, "--api-key-file", "key", "--option", "own=1")
    with conversation(llmcli, *words) as person:
        for line in ("/model bee", "/model bee/other", "one", "/model aye", "two"):
            person.types(line)
        assert person.leaves() == 0

    (asked,) = other.requests
    assert "authorization" not in asked.headers
    assert "own" not in asked.json
    assert [request.headers["authorization"] for request in ours.requests] == ["Bearer sk-of-the-command-line"]
    assert ours.requests[0].json["own"] == 1
