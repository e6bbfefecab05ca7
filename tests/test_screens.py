"""
What a person has on the screen, on terminals of 40 and of 80 columns, compared with the texts in `screens/`.

After a change that is wanted, write them anew and look at the difference before it is committed:

    LLMCLI_WRITE_SCREENS=1 pytest tests/test_screens.py && git diff tests/screens
"""

import os
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.program import Program
from tests.screen import Screen, shown_on
from tests.servers import Connection, Server, answers, says
from tests.terminal import on_terminal, talking_to

Serve = Callable[..., Server]

SCREENS = Path(__file__).parent / "screens"
NOBODY = "http://127.0.0.1:1/v1"  # nobody listens at port 1
WIDTHS = pytest.mark.parametrize("columns", [40, 80])

MODELS = [
    {"id": "llama-3.3-70b", "name": "Llama 3.3 70B", "context_length": 131072, "created": 1733443200},
    {"id": "通义千问-72b", "name": "通义千问 七十二亿参数", "context_length": 32768, "created": 1735689600},
    {"id": "emoji-🙂", "name": "The 🙂🙂 model e\u0301", "context_length": 4096},
    {"id": "evil\x1b[31m\u202e", "name": "a\x9bb"},
    {"id": "publisher-of-models/a-very-long-name-of-a-model-instruct-2026-11-25-q4", "context_length": 1048576},
]

MARKDOWN = """\
# What it can do

Some **bold**, *italic*, `code`, and a [link](https://example.com/page). 世界 你好 🙂, e\u0301tude.

- one
- two, which is so long that it goes on below itself on a narrow terminal

1. first
2. second

| name | 价格 | emoji |
|------|-----:|:-----:|
| apple | 12 | 🍎 |
| 香蕉 | 100000 | 🙂🙂 |

```python
def f(x):
    return "世界"
```

> a quotation that is long enough to be folded somewhere

\x1b[31mred\x1b[0m and \u202eback\u202c.
"""


def compare(name: str, columns: int, text: str) -> None:
    """A screen is what it was, or is written anew."""
    path = SCREENS / f"{name}-{columns}.txt"
    if os.environ.get("LLMCLI_WRITE_SCREENS"):
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8"), f"{path.name} is not what is shown; where that is wanted, write it anew"


def table(name: str, url: str, more: str = "") -> str:
    return f'[providers.{name}]\nadapter = "openai-compatible"\nbase_url = "{url}"\n{more}\n'


def without_times(text: str) -> str:
    """A screen on which the time of a stage is its sign, and that of all of them a word."""
    text = re.sub(r"(?<= )(\d+ms|\d+\.\ds) *(?= )", lambda found: "✓".ljust(len(found[0])), text)
    return re.sub(r"\d+\.\d\d s", "TIME s", text)


# --- screens that stay as they are ----------------------------------------------------------------


@WIDTHS
@pytest.mark.parametrize("name", ["help", "chat-help"])
def test_help(llmcli: Program, name: str, columns: int) -> None:
    screen = shown_on(columns, llmcli, *name.split("-")[:-1], "--help")

    assert screen.status == 0
    assert screen.plain
    compare(name, columns, screen.text)


@WIDTHS
def test_the_list_of_providers(llmcli: Program, columns: int) -> None:
    llmcli.configure(
        'default = "work"\n'
        + table("work", "https://llm.example.com/v1", 'default_model = "large-2026"\napi_key = { env = "WORK_KEY" }')
        + table("a-server-at-home", "http://192.168.0.7:8000/v1")
        + '[providers.broken]\nadapter = "openai-compatable"\n'
    )

    screen = shown_on(columns, llmcli, "providers", "--configured", env={"WORK_KEY": "sk-test"})

    assert screen.status == 0
    compare("providers", columns, screen.text)


@WIDTHS
def test_all_of_one_provider(llmcli: Program, columns: int) -> None:
    screen = shown_on(columns, llmcli, "providers", "show", "echo")

    assert screen.status == 0
    compare("providers-show-echo", columns, screen.text)


@WIDTHS
def test_the_list_of_models(llmcli: Program, serve: Serve, columns: int) -> None:
    url = serve(answers(200, {"object": "list", "data": MODELS})).url
    llmcli.configure(table("mine", url))

    screen = shown_on(columns, llmcli, "models", "list", "mine", "echo")

    assert screen.status == 0
    assert screen.plain
    compare("models-list", columns, screen.text)


@WIDTHS
def test_the_table_of_health(llmcli: Program, serve: Serve, columns: int) -> None:
    url = serve(answers(200, {"data": [{"id": "m"}]})).url
    llmcli.configure(table("good", url, 'default_model = "m"') + table("dead", NOBODY))

    screen = shown_on(columns, llmcli, "health")

    assert screen.status == 7
    assert screen.cursor_is_shown
    compare("health", columns, without_times(screen.text))


def test_a_table_that_is_longer_than_the_terminal_is_whole_in_the_end(llmcli: Program) -> None:
    names = [f"dead-{number}" for number in range(9)]
    llmcli.configure("".join(table(name, NOBODY) for name in names))

    screen = shown_on(80, llmcli, "health", lines=6)

    assert [line.split()[1] for line in screen.lines if line.startswith("✗")] == names
    assert screen.text.count("hint: is the server running?") == 9
    assert screen.lines[-1] == "llmcli: 9 providers failed"
    assert screen.cursor_is_shown


@WIDTHS
def test_an_error_with_a_hint(llmcli: Program, columns: int) -> None:
    screen = shown_on(columns, llmcli, "chat", "-m", "nobody/knows", "-n", "hi")

    assert screen.status == 3
    assert screen.plain
    compare("error", columns, screen.text)


@WIDTHS
def test_an_answer_in_markdown(llmcli: Program, columns: int) -> None:
    screen = shown_on(columns, llmcli, "chat", "-m", "echo", "-n", "--", MARKDOWN, lines=60)

    assert screen.status == 0
    assert "bold" in screen.styles("bold")
    compare("markdown", columns, screen.text)


# --- what a terminal must not do ------------------------------------------------------------------


@pytest.mark.parametrize("form", ["text", "markdown"])
@pytest.mark.parametrize("asks_for", ["\x1b[2J", "\x1b[31m", "\x1b]0;taken\x07", "\x9b31m", "\x1b[?25l", "\x1b[10A\r"])
def test_what_a_model_says_is_shown_and_not_obeyed(llmcli: Program, serve: Serve, form: str, asks_for: str) -> None:
    url = serve(says("before ", *asks_for, " after")).url

    screen = shown_on(
        80, llmcli, "chat", "-p", "openai-compatible", "--base-url", url, "-m", "m", "-n", "--format", form, "hi"
    )

    assert screen.status == 0
    assert screen.lines[0].startswith(("before ^[", "before \\x9b"))
    assert screen.lines[0].endswith(" after")
    assert screen.cursor_is_shown
    assert (screen.title, screen.plain, screen.cursor) == ("", True, (0, 1))


COMMANDS = [
    ("--help",),
    ("--version",),
    ("chat", "-m", "echo", "-n", "**bold** `code`"),
    ("providers",),
    ("providers", "show", "echo"),
    ("models",),
    ("health", "echo", "dead"),
    ("chat", "-m", "nobody/knows", "-n", "hi"),
]


@pytest.mark.parametrize("args", COMMANDS, ids=" ".join)
def test_a_pipe_gets_no_escape_sequence(llmcli: Program, args: tuple[str, ...]) -> None:
    llmcli.configure(table("dead", NOBODY))
    done = llmcli(*args, env={"TERM": "xterm-256color"})

    assert done.text + done.err
    assert "\x1b" not in done.text + done.err


@pytest.mark.parametrize("args", COMMANDS, ids=" ".join)
def test_a_dumb_terminal_gets_no_escape_sequence(llmcli: Program, args: tuple[str, ...]) -> None:
    llmcli.configure(table("dead", NOBODY))
    done = on_terminal(llmcli, *args, stderr_too=True, env={"TERM": "dumb"})

    assert done.text
    assert "\x1b" not in done.text


@pytest.mark.parametrize("args", COMMANDS, ids=" ".join)
def test_nothing_is_coloured_where_no_colour_is_wanted(llmcli: Program, args: tuple[str, ...]) -> None:
    llmcli.configure(table("dead", NOBODY))
    screen = shown_on(80, llmcli, *args, env={"NO_COLOR": "1"})

    assert screen.lines
    assert screen.plain


def test_a_pipe_gets_colour_where_it_is_asked_for(llmcli: Program) -> None:
    done = llmcli("chat", "-m", "echo", "-n", "--format", "markdown", "--color", "always", "**bold**")
    screen = Screen(80, data=done.out.replace(b"\n", b"\r\n"))

    assert (screen.text, screen.styles("bold")) == ("bold\n", {"bold"})
    assert "\x1b[31mfailed" in llmcli("health", "nobody", "--color", "always").text


# --- while it is waited for -----------------------------------------------------------------------


@pytest.mark.parametrize("model", ["m", "a-name-of-a-model-that-is-longer-than-any-line-of-this-terminal", "模型" * 20])
def test_a_spinner_stays_on_its_line_and_leaves_nothing(llmcli: Program, serve: Serve, model: str) -> None:
    seen = threading.Event()

    def when_seen(connection: Connection) -> None:
        seen.wait(60)
        says("hi")(connection)

    llmcli.configure(table("slow", serve(when_seen).url))
    with talking_to(llmcli, "chat", "-p", "slow", "-m", model, "-n", "hello", size=(40, 24)) as session:
        session.until("⠼")  # its fifth turn
        (line,) = Screen(40, data=session.screen).lines
        assert re.fullmatch(r". slow/.* \d+ s", line)
        seen.set()
        done = session.ended()

    assert Screen(40, data=done.out).text == "hi\n"


def test_ctrl_c_takes_the_spinner_away(llmcli: Program, serve: Serve) -> None:
    llmcli.configure(table("slow", serve(Connection.wait_until_gone).url))
    with talking_to(llmcli, "chat", "-m", "slow/m", "-n", "hello", size=(40, 24)) as session:
        session.until("⠙")
        session.type("\x03")
        done = session.ended()

    assert done.status == 130
    screen = Screen(40, data=done.out)
    assert "slow/m" not in screen.text
    assert screen.cursor_is_shown
