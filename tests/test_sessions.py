"""Conversations kept on disk: plainly, by many processes at once, and in files that are not as they should be."""

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmcli.errors import ConfigurationError, OutputFailed, UsageError
from llmcli.sessions import Sessions, checked, place
from llmcli.turns import Entry, Turn
from llmcli.types import message
from tests.program import PATIENCE


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "data" / "llmcli" / "sessions.db")


@pytest.fixture
def sessions(path: str) -> Iterator[Sessions]:
    with Sessions(path) as opened:
        yield opened


@pytest.fixture
def made(sessions: Sessions) -> Sessions:
    """With a file, which there is when something is kept."""
    sessions.add("first", [], model=None, now=1.0)
    sessions.delete("first")
    return sessions


def turn(question: str, answer: str = "an answer") -> Turn:
    return (Entry(message("user", question), 1.0), Entry(message("assistant", answer), 2.0, "echo", "echo"))


def questions(sessions: Sessions, name: str) -> list[str]:
    return [said[0].message.text for said in sessions.read(name)]


def test_what_was_said_is_there_in_its_order(sessions: Sessions, path: str) -> None:
    sessions.add("a", [turn("one")], model="echo/echo", now=10.0)
    sessions.add("b", [turn("other")], model=None, now=11.0)
    sessions.add("a", [turn("two"), turn("three")], model=None, now=12.0)

    with Sessions(path) as again:
        assert again.read("a") == (turn("one"), turn("two"), turn("three"))
        assert [tuple(each) for each in again.list()] == [
            ("a", 3, "echo/echo", 10.0, 12.0), ("b", 1, None, 11.0, 11.0),
        ]  # fmt: skip
        last = again.last()
        assert last is not None
        assert last.name == "a"


def test_a_session_that_does_not_exist_is_empty(sessions: Sessions) -> None:
    assert sessions.read("none") == ()
    assert sessions.last() is None
    assert sessions.find("none") is None
    assert sessions.delete("none") is False


def test_a_turn_can_be_taken_back_and_what_others_said_since_stays(sessions: Sessions) -> None:
    sessions.add("a", [turn("one"), turn("two"), turn("by somebody else")], model=None, now=1.0)
    sessions.add("b", [turn("two")], model=None, now=1.0)
    sessions.forget("a", turn("two"))
    sessions.forget("a", turn("never said"))
    assert (questions(sessions, "a"), questions(sessions, "b")) == (["one", "by somebody else"], ["two"])


def test_of_two_that_say_the_same_the_last_is_taken_back(sessions: Sessions) -> None:
    sessions.add("a", [turn("one"), turn("two"), turn("one")], model=None, now=1.0)
    sessions.forget("a", turn("one"))
    assert questions(sessions, "a") == ["one", "two"]


def test_of_what_is_deleted_nothing_is_left_in_any_file(sessions: Sessions, path: str) -> None:
    sessions.add("a", [turn("a secret of mine " * 1000)], model=None, now=1.0)
    sessions.add("b", [turn("stays")], model=None, now=1.0)
    assert sessions.delete("a") is True

    files = [file.read_bytes() for file in Path(path).parent.iterdir()]
    assert not [data for data in files if b"a secret of mine" in data]
    assert questions(sessions, "b") == ["stays"]


def test_nobody_else_can_read_it(path: str) -> None:
    old = os.umask(0)
    try:
        with Sessions(path) as sessions:
            sessions.add("a", [turn("one")], model=None, now=1.0)
            files = list(Path(path).parent.iterdir())
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in files if file.name.startswith("sessions")}
    finally:
        os.umask(old)
    assert set(modes.values()) == {0o600}
    assert {"sessions.db", "sessions.db-wal"} <= set(modes)
    assert stat.S_IMODE(Path(path).parent.stat().st_mode) == 0o700


WRITE = """
import sys
from llmcli.sessions import Sessions
from llmcli.turns import Entry
from llmcli.types import message
path, number = sys.argv[1:]
for count in range(4):
    with Sessions(path) as sessions:
        said = tuple(Entry(message(role, f"{number}.{count}"), 1.0) for role in ("user", "assistant"))
        sessions.add("shared", [said], model=None, now=1.0)
        sessions.add(f"own {number}", [said], model=None, now=1.0)
"""


def test_of_32_processes_at_once_none_loses_a_turn(path: str) -> None:
    """Those that come first also make the file, all at the same time."""
    processes = [
        subprocess.Popen([sys.executable, "-c", WRITE, path, str(number)], stderr=subprocess.PIPE, text=True)
        for number in range(32)
    ]
    failures = [process.communicate(timeout=PATIENCE)[1] for process in processes]
    assert [failure for failure in failures if failure] == []

    with Sessions(path) as sessions:
        said = sessions.read("shared")
        assert sorted(each[0].message.text for each in said) == sorted(
            f"{number}.{count}" for number in range(32) for count in range(4)
        )
        assert all(each[0].message.text == each[1].message.text for each in said)
        assert questions(sessions, "own 7") == [f"7.{count}" for count in range(4)]


def test_a_file_that_is_something_else_is_left_as_it_is(path: str) -> None:
    os.makedirs(os.path.dirname(path))
    Path(path).write_text("not a database, but somebody's diary\n" * 50)
    with pytest.raises(ConfigurationError) as caught:
        Sessions(path)
    assert "sessions.db: file is not a database" in caught.value.message
    assert caught.value.hint
    assert Path(path).read_text().startswith("not a database")


def test_a_file_that_others_could_read_is_for_its_owner_from_now_on(path: str, made: Sessions) -> None:
    os.chmod(path, 0o644)

    with Sessions(path):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_a_file_of_a_later_version_is_not_touched(path: str, made: Sessions) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(ConfigurationError, match="written by a newer llmcli"):
        Sessions(path)


@pytest.mark.parametrize(
    "entries",
    [
        "[{}]",
        "[1]",
        "[" * 100_000,
        '[{"role": "user", "content": "q", "parts": [{"type": "text", "text": 5}], "at": 1.0}]',
        '[{"role": "user", "content": "q", "parts": [{"type": "thinking", "text": "", "opaque": 5}], "at": 1.0}]',
        '[{"role": 5, "content": "q", "parts": [], "at": 1.0}]',
        '[{"role": "user", "content": "q", "parts": [], "at": "zz"}]',
    ],
    ids=["no fields", "no document", "too deep", "no text", "no table", "no role", "no time"],
)
def test_what_cannot_be_read_is_an_error_that_says_where(path: str, sessions: Sessions, entries: str) -> None:
    sessions.add("a", [turn("one")], model=None, now=1.0)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE turns SET entries = ?", (entries,))
    with pytest.raises(ConfigurationError, match=r"cannot read .*sessions\.db"):
        sessions.read("a")


def test_a_turn_that_cannot_be_added_leaves_nothing_behind(path: str, made: Sessions) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TRIGGER refuse BEFORE INSERT ON turns BEGIN SELECT raise(ABORT, 'no space'); END")
    with pytest.raises(OutputFailed, match=r"cannot keep the session in .*: no space"):
        made.add("a", [turn("one")], model=None, now=1.0)
    assert made.list() == []


def test_who_only_looks_makes_no_file(path: str, sessions: Sessions) -> None:
    assert sessions.list() == []
    sessions.forget("none", turn("one"))
    assert not os.path.exists(os.path.dirname(path))


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\x1b[31m", "x" * 101])
def test_a_name_that_nobody_could_type_or_read_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        checked(name)


def test_a_name_may_be_any_text() -> None:
    assert checked("наши дела, 2026") == "наши дела, 2026"


@pytest.mark.parametrize(
    ("env", "where"),
    [
        ({"HOME": "/home/me"}, "/home/me/.local/share/llmcli/sessions.db"),
        ({"HOME": "/home/me", "XDG_DATA_HOME": "/data"}, "/data/llmcli/sessions.db"),
        ({"HOME": "/home/me", "XDG_DATA_HOME": "data"}, "/home/me/.local/share/llmcli/sessions.db"),
        ({}, None),
    ],
)
def test_where_it_is(env: dict[str, str], where: str | None) -> None:
    assert place(env) == where


def test_without_a_home_there_is_nowhere_to_keep_it() -> None:
    with pytest.raises(ConfigurationError, match="no home directory"):
        Sessions(None)
