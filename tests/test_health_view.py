"""`llmcli health` on a terminal: a table that fills in, stays, and leaves the terminal whole."""

import os
import re
import signal
import threading
from collections.abc import Callable

import pytest

from llmcli.commands.health_stages import Checkup, Limit
from llmcli.commands.health_view import Line, piped, plain, table
from llmcli.commands.table import cells
from llmcli.errors import NetworkFailed
from tests.program import Program
from tests.servers import Connection, Server, answers
from tests.terminal import on_terminal, talking_to

Serve = Callable[..., Server]

CANARY = "sk-canary-30e1c9ab"
MODELS = answers(200, {"data": [{"id": "m"}]})
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"
FOREVER = Limit(None, 10)


def configuration(**urls: str) -> str:
    return "".join(
        f'[providers."{name}"]\nadapter = "openai-compatible"\nbase_url = "{url}"\ndefault_model = "m"\n'
        for name, url in urls.items()
    )


def last_frame(screen: str) -> list[str]:
    """What stands on the terminal in the end: the lines after the last time that the cursor went up."""
    *_, frame = re.split(r"\x1b\[1A\x1b\[2K", screen)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", frame)
    return [line.rstrip() for line in text.replace("\r", "").split("\n") if line.strip()]


def well(name: str = "good", *, chat: bool = False) -> Checkup:
    checkup = Checkup(name, chat=chat)
    checkup.passed("configuration", seconds=0.001)
    checkup.skipped("key", "none is needed")
    checkup("request", url="https://api.example/v1/models", proxy=None)
    checkup("resolved", host="api.example", addresses=["10.0.0.1"], seconds=0.012)
    checkup("tcp", address="10.0.0.1", seconds=0.02)
    checkup("tls", host="api.example", version="TLSv1.3", days=80, seconds=0.0415)
    checkup("connected", seconds=0.08)
    checkup.passed("http", seconds=1.234)
    checkup.skipped("auth", "no key is sent")
    checkup.passed("model", seconds=0.0)
    checkup.finish()
    checkup.seconds = 1.5
    return checkup


def ill(name: str = "dead") -> Checkup:
    checkup = Checkup(name, chat=False)
    checkup.passed("configuration", seconds=0.001)
    checkup.skipped("key", "none is needed")
    checkup("request", url="https://127.0.0.1:1/v1/models", proxy=None)
    checkup.fail(NetworkFailed("connection refused by 127.0.0.1:1", hint="is the server running?"), FOREVER)
    checkup.seconds = 0.01
    return checkup


def under_way(name: str = "slow") -> Checkup:
    checkup = Checkup(name, chat=False)
    checkup.passed("configuration", seconds=0.001)
    checkup.begin("key")
    return checkup


def texts(lines: list[Line]) -> list[str]:
    return ["".join(span.text for span in line).rstrip() for line in lines]


# --- what it looks like ---------------------------------------------------------------------------


def test_each_stage_has_its_column_and_what_is_wrong_stands_below() -> None:
    assert plain([well(), ill(), under_way()], 80) == (
        "       conf key proxy dns   connect tls   http  auth model\n"
        "✓ good ✓    –   –     12ms  20ms    42ms  1.2s  –    ✓       1.50 s\n"
        "✗ dead ✓    –   –     –     ✗       ·     ·     ·    ·       0.01 s\n"
        "    connect: connection refused by 127.0.0.1:1\n"
        "    hint: is the server running?\n"
        "… slow ✓    …   ·     ·     ·       ·     ·     ·    ·\n"
    )


def test_on_a_narrow_terminal_each_stage_is_a_sign() -> None:
    assert plain([well(), ill(), under_way()], 40) == (
        "✓ good ✓––✓✓✓✓–✓   1.50 s\n"
        "✗ dead ✓–––✗····   0.01 s\n"
        "    connect: connection refused by\n"
        "    127.0.0.1:1\n"
        "    hint: is the server running?\n"
        "… slow ✓…·······  key\n"
    )


@pytest.mark.parametrize("width", [20, 30, 40, 60, 80, 200])
def test_no_line_is_wider_than_the_terminal_whatever_the_signs(width: int) -> None:
    checkups = [well("模型提供者" * 4), ill("é" * 30), under_way("🚀🚀🚀"), well("a" * 60)]

    lines = texts(table(checkups, width))

    assert max(map(cells, lines)) <= width
    assert len({cells(line[: line.rindex(" s")]) for line in lines if line.startswith("✓") and " s" in line}) <= 1


def test_nothing_moves_sideways_when_a_time_comes_in() -> None:
    before, after = under_way("good"), well("good")

    assert texts(table([before], 80))[0] == texts(table([after], 80))[0]


def test_what_came_from_outside_is_redacted_and_shown_as_it_is() -> None:
    checkup = Checkup("a\x1b[31m", chat=False)
    checkup.fail(NetworkFailed("no\x1b]0;owned\x07 secret"), FOREVER)

    shown = texts(table([checkup], 80, lambda text: text.replace("secret", "[hidden]")))

    assert "\x1b" not in "".join(shown) + piped([checkup], color=False)
    assert "[hidden]" in "".join(shown)


def test_what_comes_too_late_changes_nothing() -> None:
    checkup = ill()
    before = checkup.row()

    checkup("tcp", address="127.0.0.1", seconds=1.0)
    checkup.passed("http")
    checkup.fail(NetworkFailed("another"), FOREVER)
    checkup.finish()

    assert checkup.row() == before


# --- on a terminal --------------------------------------------------------------------------------


def test_the_table_fills_in_while_a_provider_is_waited_for(llmcli: Program, serve: Serve) -> None:
    seen = threading.Event()

    def when_seen(connection: Connection) -> None:
        seen.wait(60)
        MODELS(connection)

    llmcli.configure(configuration(good=serve(MODELS).url, slow=serve(when_seen).url))

    with talking_to(llmcli, "health", "good", "slow", "--timeout", "50", "--color", "never") as session:
        session.until("✓ good")
        assert "✓ slow" not in session.screen.decode()
        seen.set()
        done = session.ended()

    assert done.status == 0
    frame = last_frame(done.out.decode())
    assert [line[:6] for line in frame if line[0] in "✓✗…"] == ["✓ good", "✓ slow"]
    assert done.out.decode().count(HIDE) == done.out.decode().count(SHOW) == 1


def test_ctrl_c_leaves_the_terminal_whole_and_ends_by_its_signal(llmcli: Program, serve: Serve) -> None:
    asked = threading.Event()

    def never(connection: Connection) -> None:
        asked.set()
        connection.wait_until_gone()

    llmcli.configure(configuration(slow=serve(never).url))

    with talking_to(llmcli, "health", "slow", "--timeout", "50") as session:
        session.until(HIDE)
        asked.wait(60)
        session.type("\x03")
        done = session.ended()

    assert done.status == 128 + signal.SIGINT
    screen = done.out.decode()
    assert screen.rindex(SHOW) > screen.rindex(HIDE)
    assert "Traceback" not in screen


@pytest.mark.parametrize(("args", "env"), [(("--color", "never"), {}), ((), {"NO_COLOR": "1"}), ((), {"TERM": "dumb"})])
def test_where_no_colour_is_wanted_there_is_none(llmcli: Program, args: tuple[str, ...], env: dict[str, str]) -> None:
    done = on_terminal(llmcli, "health", "echo", *args, env=env)

    assert "✓ echo" in done.text
    assert re.findall(r"\x1b\[[0-9;]*m", done.text) == []


def test_a_dumb_terminal_gets_lines_and_no_escape_sequence(llmcli: Program) -> None:
    llmcli.configure(configuration(dead="http://127.0.0.1:1/v1"))

    done = on_terminal(llmcli, "health", "dead", env={"TERM": "dumb"})

    assert done.status == 7
    assert "\x1b" not in done.text
    assert "connect: connection refused by 127.0.0.1:1" in done.text


def test_colours_are_there_unless_they_are_not_wanted(llmcli: Program) -> None:
    done = on_terminal(llmcli, "health", "echo")

    assert "\x1b[32m✓" in done.text


def test_the_table_fits_a_terminal_of_40_columns(llmcli: Program, serve: Serve) -> None:
    llmcli.configure(configuration(模型=serve(MODELS).url, dead="http://127.0.0.1:1/v1"))

    done = on_terminal(llmcli, "health", env={"COLUMNS": "40"})

    frame = last_frame(done.text)
    assert max(map(cells, frame)) <= 40
    assert any(line.startswith("✓ 模型") for line in frame)
    assert any("hint: is the server running?" in line for line in frame)


def test_a_key_is_not_shown_on_the_terminal_either(llmcli: Program, serve: Serve) -> None:
    server = serve(answers(401, {"error": {"message": f"bad key {CANARY}"}}))
    llmcli.configure(configuration(mine=server.url) + 'api_key = { env = "TEST_KEY" }\n')

    done = on_terminal(llmcli, "health", "mine", env={"TEST_KEY": CANARY})

    assert "auth: the provider does not accept the key: bad key" in done.text
    assert CANARY not in done.text + done.err


def test_json_on_a_terminal_is_json_and_nothing_else(llmcli: Program) -> None:
    done = on_terminal(llmcli, "health", "echo", "--json")

    assert done.json[0]["id"] == "echo"


def test_rich_is_loaded_for_a_live_table_only(llmcli: Program) -> None:
    loud = {"PYTHONVERBOSE": "1"}

    assert "import 'rich" not in llmcli("health", "echo", env=loud).err
    assert "import 'rich" in on_terminal(llmcli, "health", "echo", stderr_too=True, env=loud).text


def test_a_terminal_that_has_gone_is_no_bug(llmcli: Program) -> None:
    ours, theirs = os.openpty()
    with llmcli.start("health", "echo", stdout=theirs) as process:
        os.close(theirs)
        os.close(ours)
        process.wait(60)
        said = process.stderr.read() if process.stderr else b""

    assert process.returncode in (0, 11, -signal.SIGHUP)
    assert b"internal error" not in said
