"""`chat --session` and `llmcli sessions`: conversations that scripts go on with."""

import json
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from tests.program import PATIENCE, Program
from tests.screen import shown_on
from tests.servers import Server, answers, completion, delta, says, stream
from tests.shell import Shell
from tests.terminal import on_terminal
from tests.test_conversation import PNG, configured, sent

Serve = Callable[..., Server]
ECHO = ("chat", "-n", "-m", "echo")


def contents(llmcli: Program, name: str) -> list[str]:
    return [each["content"] for each in llmcli("sessions", "export", name).json["messages"]]


# --- chat -----------------------------------------------------------------------------------------


def test_a_session_goes_on_where_it_was(llmcli: Program, serve: Serve) -> None:
    server = serve(says("Hel", "lo"), says("Fine"))
    configured(llmcli, one=server)
    assert llmcli("chat", "-m", "one", "--session", "a", stdin=b"hi").out == b"Hello"
    done = llmcli("chat", "--session", "a", "-n", "how", "are", "you?")

    assert (done.status, done.out, done.err) == (0, b"Fine", "")
    assert sent(server) == [("user", "hi"), ("assistant", "Hello"), ("user", "how are you?")]
    assert server.requests[1].json["model"] == "m-one"


def test_continue_takes_the_session_that_was_used_last_with_its_model(llmcli: Program, serve: Serve) -> None:
    one, two = serve(says("1")), serve(says("2"))
    configured(llmcli, one=one, two=two)
    llmcli("chat", "-n", "-m", "one", "--session", "a", "first")
    llmcli("chat", "-n", "-m", "two", "--session", "b", "other")
    llmcli("chat", "-n", "-m", "one", "--session", "a", "second")

    assert llmcli("chat", "-n", "-c", "third", env={"LLMCLI_MODEL": "two"}).out == b"1"
    assert [text for role, text in sent(one) if role == "user"] == ["first", "second", "third"]


def test_another_model_can_go_on_with_a_session(llmcli: Program, serve: Serve) -> None:
    one, two = serve(says("1")), serve(says("2"))
    configured(llmcli, one=one, two=two)
    llmcli("chat", "-n", "-m", "one", "--session", "a", "first")
    assert llmcli("chat", "-n", "-m", "two", "-c", "second").out == b"2"
    assert sent(two) == [("user", "first"), ("assistant", "1"), ("user", "second")]


def test_a_session_whose_model_is_gone_says_so(llmcli: Program, serve: Serve) -> None:
    configured(llmcli, one=serve(says("1")))
    llmcli("chat", "-n", "-m", "one", "--session", "a", "first")

    done = llmcli("chat", "--no-config", "-n", "--session", "a", "second")

    assert done.status == 3
    assert done.err.startswith("llmcli: the session a was last asked of one/m-one: 'one' is no known provider")
    assert "hint: -m chooses another model" in done.err


def test_each_message_of_a_session_tells_its_own_tokens(llmcli: Program, serve: Serve) -> None:
    def usage(total: int) -> Any:
        return {"usage": {"prompt_tokens": total - 2, "completion_tokens": 2, "total_tokens": total}}

    call = {"id": "c", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    asked = {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}], **usage(10)}
    configured(llmcli, one=serve(answers(200, asked), answers(200, completion("two", **usage(20)))))
    (llmcli.home / "add.py").write_text("def add() -> int:\n    return 2\n")

    done = llmcli("chat", "-n", "-m", "one", "--tool", "add.py", "--yes", "--session", "a", "--json", "hi")

    assert done.json["metadata"]["usage"]["total_tokens"] == 30
    kept = llmcli("sessions", "export", "a").json["messages"]
    assert [each["usage"]["total_tokens"] for each in kept if each["role"] == "assistant"] == [10, 20]


def test_who_only_looks_at_sessions_leaves_nothing_behind(llmcli: Program) -> None:
    assert llmcli("sessions").status == 0
    assert llmcli("chat", "-n", "-c", "hi").status == 2
    assert not list(llmcli.home.rglob("sessions.db*"))


def test_ctrl_c_ends_the_wait_for_another_process(llmcli: Program) -> None:
    llmcli(*ECHO, "--session", "a", "first")
    (path,) = llmcli.home.rglob("sessions.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with llmcli.start(*ECHO, "--session", "a", "second") as process:
            assert process.stderr is not None
            assert b"waiting for another process that is writing" in process.stderr.readline()
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == -signal.SIGINT
    assert contents(llmcli, "a") == ["first", "first"]


def test_a_fence_that_an_answer_was_stopped_in_holds_none_of_what_follows(llmcli: Program) -> None:
    llmcli(*ECHO, "--session", "a", "--option", "text=Like so:\n```python\nx = 1", "hi")
    llmcli(*ECHO, "--session", "a", "and *then*?")

    exported = llmcli("sessions", "export", "a", "--format", "markdown").text

    assert "```python\nx = 1\n```\n\n## You\n\nand *then*?" in exported


def test_the_system_prompt_of_a_session_holds_until_another_is_said(llmcli: Program, serve: Serve) -> None:
    server = serve(says("ok"))
    configured(llmcli, one=server)
    for args in (("-s", "Be brief."), ("-s", "Be brief."), ("-s", "Be long."), ()):
        llmcli("chat", "-n", "-m", "one", "--session", "a", *args, "hi")
    systems = [[text for role, text in sent(server, number) if role == "system"] for number in range(4)]
    assert systems == [["Be brief."], ["Be brief."], ["Be long."], ["Be long."]]
    assert [text for text in contents(llmcli, "a") if text.startswith("Be ")] == ["Be brief.", "Be long."]


@pytest.mark.parametrize("script", [answers(500, {"error": "no"}), stream(delta("half"), end=b"")])
def test_an_answer_that_failed_is_not_kept(llmcli: Program, serve: Serve, script: object) -> None:
    server = serve(script)
    configured(llmcli, one=server)
    done = llmcli("chat", "-n", "-m", "one", "--retries", "0", "--session", "a", "hi")
    assert done.status in (8, 10)
    assert "no session 'a'" in llmcli("sessions", "export", "a").err


def test_json_and_a_file_are_as_without_a_session(llmcli: Program) -> None:
    assert llmcli(*ECHO, "--session", "a", "--json", "one").json["content"] == "one"
    assert llmcli(*ECHO, "--session", "a", "-o", "out.txt", "two").out == b""
    assert (llmcli.home / "out.txt").read_text() == "two"
    assert contents(llmcli, "a") == ["one", "one", "two", "two"]


def test_tool_calls_and_their_results_are_kept(llmcli: Program) -> None:
    (llmcli.home / "tools.py").write_text('def now() -> str:\n    """The time."""\n    return "noon"\n')
    done = llmcli(*ECHO, "--session", "a", "--tool", "tools.py", "--yes", "--option", "call=now", "what time is it?")
    assert done.status == 0
    kept = llmcli("sessions", "export", "a").json["messages"]
    assert [each["role"] for each in kept] == ["user", "assistant", "tool", "assistant"]
    assert kept[1]["parts"][-1]["name"] == "now"
    assert "noon" in kept[2]["parts"][0]["content"]


def test_what_was_attached_is_kept_and_sent_again(llmcli: Program, serve: Serve) -> None:
    server = serve(says("a dot"))
    configured(llmcli, one=server)
    (llmcli.home / "dot.png").write_bytes(PNG)
    llmcli("chat", "-n", "-m", "one", "--session", "a", "-a", "dot.png", "what is this?")
    assert llmcli("chat", "-n", "-c", "sure?").status == 0
    for request in server.requests:
        kinds = {part["type"] for part in request.json["messages"][0]["content"]}
        assert kinds == {"image_url", "text"}


def test_nothing_is_kept_unless_it_is_asked_for(llmcli: Program) -> None:
    assert llmcli(*ECHO, "hi").status == 0
    assert not (llmcli.home / ".local").exists()
    assert llmcli(*ECHO, "--session", "a", "--dry-run", "hi").status == 5  # echo has no request to show
    assert "no session 'a'" in llmcli("sessions", "show", "a").err


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("-c", "hi"), "there is no session to continue"),
        (("-c", "--session", "a", "hi"), "--session and --continue exclude one another"),
        (("--session", "a\nb", "hi"), "a session cannot be called 'a\\nb'"),
        (("--complete", "-c", "hi"), "--complete and --continue exclude one another"),
    ],
)
def test_what_cannot_be_is_a_usage_error(llmcli: Program, args: tuple[str, ...], told: str) -> None:
    done = llmcli(*ECHO, *args)
    assert (done.status, done.out) == (2, b"")
    assert told in done.err


def test_32_scripts_at_once_lose_nothing_of_one_session(llmcli: Program) -> None:
    running = [
        llmcli.start(*ECHO, "--session", "shared", f"question {number}", env={"XDG_DATA_HOME": str(llmcli.home / "d")})
        for number in range(32)
    ]
    for process in running:
        out, err = process.communicate(timeout=PATIENCE)
        assert (process.returncode, err) == (0, b"")
        assert out.startswith(b"question ")
    done = llmcli("sessions", "export", "shared", env={"XDG_DATA_HOME": str(llmcli.home / "d")})
    said = [each["content"] for each in done.json["messages"]]
    assert said[::2] == said[1::2]
    assert sorted(said[::2]) == sorted(f"question {number}" for number in range(32))


def test_an_answer_that_cannot_be_kept_is_there_and_the_status_tells(llmcli: Program) -> None:
    llmcli(*ECHO, "--session", "a", "one")
    path = llmcli.home / ".local/share/llmcli/sessions.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TRIGGER refuse BEFORE INSERT ON turns BEGIN SELECT raise(ABORT, 'full'); END")
    done = llmcli(*ECHO, "--session", "a", "two")
    assert (done.status, done.out) == (11, b"two")
    assert "cannot keep the session in" in done.err


# --- sessions -------------------------------------------------------------------------------------


def test_the_list_has_the_last_one_first(llmcli: Program, sh: Shell) -> None:
    llmcli(*ECHO, "--session", "a", "one")
    llmcli(*ECHO, "--session", "b", "one")
    llmcli(*ECHO, "--session", "a", "two")
    assert sh("llmcli sessions | cut -f1-3").text == "a\t2\techo/echo\nb\t1\techo/echo\n"
    listed = llmcli("sessions", "list", "--json").json
    assert [(each["name"], each["turns"]) for each in listed] == [("a", 2), ("b", 1)]
    assert listed[0]["used"] > listed[0]["created"] > 1.7e9


def test_an_empty_list_says_how_to_begin_one(llmcli: Program) -> None:
    done = llmcli("sessions")
    assert (done.status, done.out) == (0, b"")
    assert "--session NAME" in done.err
    assert llmcli("sessions", "--json").json == []


def test_a_session_can_be_read(llmcli: Program) -> None:
    llmcli(*ECHO, "--session", "a", "say **this**")
    text = "# a\n\n## You\n\nsay **this**\n\n## echo/echo\n\nsay **this**\n"
    assert llmcli("sessions", "show", "a").text == text
    assert llmcli("sessions", "export", "a", "--format", "markdown").text == text
    screen = shown_on(40, llmcli, "sessions", "show", "a")
    assert [line.strip() for line in screen.lines if line] == ["a", "You", "say this", "echo/echo", "say this"]
    assert screen.styles("this") >= {"bold"}


def test_what_stands_in_a_session_cannot_play_with_a_terminal(llmcli: Program) -> None:
    llmcli(*ECHO, "--session", "a", "red \x1b[31mtext")
    assert "^[[31mtext" in shown_on(80, llmcli, "sessions", "show", "a").text
    assert "\x1b" not in llmcli("sessions", "export", "a").text
    for command in (("show", "a"), ("export", "a", "--format", "markdown")):
        screen = on_terminal(llmcli, "sessions", *command, env={"TERM": "dumb"}).text
        assert "^[[31mtext" in screen
        assert "\x1b[31m" not in screen


def test_sessions_are_deleted_all_or_none(llmcli: Program) -> None:
    for name in ("a", "b", "c"):
        llmcli(*ECHO, "--session", name, "hi")
    done = llmcli("sessions", "delete", "a", "bb")
    assert (done.status, done.err.count("there is no session 'bb'")) == (2, 1)
    assert llmcli("sessions", "delete", "a", "b").status == 0
    assert [each["name"] for each in llmcli("sessions", "--json").json] == ["c"]


def test_a_mistyped_name_is_told_with_the_near_one(llmcli: Program) -> None:
    llmcli(*ECHO, "--session", "holiday", "hi")
    done = llmcli("sessions", "show", "holidays")
    assert (done.status, done.out) == (2, b"")
    assert "did you mean holiday?" in done.err
    assert json.loads(llmcli("sessions", "export", "holiday").out)["version"] == 1
