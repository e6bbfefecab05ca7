"""
Every shell example of the README and the pages is run, in the order of its page, by somebody with an empty home; what
a console prints is compared with what the page says.

A comment before a block, which no reader of the page sees, may say what else to do with it:

    <!-- write FILE -->      it is a file, which the examples behind it use
    <!-- typed: A, B -->     it is run on a terminal, on which somebody types A when asked, and B when asked again
    <!-- on a terminal -->   it is run there, and nothing is typed
    <!-- not run: REASON --> it is not run; `NOT_RUN` has them all

The services that the examples name are servers of ours, which speak as those do: Anthropic, Ollama and OpenAI by the
variables that say where they are, others by their addresses, which are replaced.
"""

import importlib.util
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from tests import dialects
from tests.pages import DOCS, ROOT, Block, blocks, says, typed
from tests.program import PATIENCE
from tests.screen import Screen
from tests.servers import Connection, Server, completion, whole
from tests.shell import watched

FOLLOWED = DOCS / "your-own-provider.md"  # by test_tutorial, with a server and an environment of its own
PAGES = [ROOT / "README.md", ROOT / "plugins" / "README.md", *sorted(set(DOCS.glob("*.md")) - {FOLLOWED})]
TO_RUN = frozenset({"sh", "bash", "console", "crontab"})
ARE_FILES = frozenset({"text", "json", "jsonl", "toml", "makefile", "python", "yaml", "graphql", ""})

# Only what installs something; .ci/run does the same.
_INTO_VENV = "python3 -m venv .venv && .venv/bin/pip install -q"
NOT_RUN = {
    ("README.md", f'{_INTO_VENV} . && .venv/bin/llmcli chat -m echo "hello, world"'),
    ("README.md", f"{_INTO_VENV} -e '.[dev]' && .venv/bin/pytest"),
    ("plugins/README.md", "pip install . ./plugins/llmcli-cohere"),
    ("docs/getting-started.md", "pipx install ."),
}

# What the scripts that examples are taken from have in their variables.
GIVEN = {"question": "why is the sky blue?", "model": "echo"}
_NEVER_FOLDED = 300  # columns
FILES = {"notes.txt": b"Buy milk.\nCall Ann.\n", "report.txt": b"All is well.\n", "cat.png": b"\x89PNG\r\n\x1a\n"}


Perform = Callable[[str], tuple[int, str]]  # a script: its exit status, and what it printed


class Step(NamedTuple):
    """A block of a page, whose path is from the top."""

    page: str
    block: Block

    def __str__(self) -> str:
        return f"{self.page}:{self.block.line}"

    @property
    def what(self) -> str:
        """What is to be done: `run`, `write FILE`, `typed: TEXT` or `not run: REASON`."""
        return self.block.caption or ("run" if self.block.kind in TO_RUN else "read")


def steps() -> Iterator[Step]:
    """Every block of every page."""
    for page in PAGES:
        for block in blocks(page.read_text("utf-8")):
            yield Step(str(page.relative_to(ROOT)), block)


STEPS = list(steps())
RUN = [step for step in STEPS if re.match(r"run$|on a terminal$|typed: ", step.what)]


# --- the services ---------------------------------------------------------------------------------


def services(connection: Connection) -> None:
    """OpenAI, Anthropic, Ollama and any other server that speaks as one of them."""
    request = connection.request
    path = request.path.partition("?")[0]
    if request.method == "GET":
        connection.send(_about(path, anthropic="anthropic-version" in request.headers))
        return
    asked = request.json
    for suffix, dialect in _DIALECTS.items():
        if path.endswith(suffix):
            answer = _answer(str(asked))
            if asked.get("stream", dialect is dialects.OLLAMA):
                dialect.stream(dialect.said(*re.findall(r"\S+\s*|\s+", answer)), dialect.end)(connection)
            else:
                connection.send(whole(200, _WHOLE[dialect.provider](answer)))
            return
    connection.send(whole(404, {"error": {"message": f"nothing stands at {path}"}}))


_DIALECTS = {
    "/chat/completions": dialects.OPENAI,
    "/v1/messages": dialects.ANTHROPIC,
    "/api/chat": dialects.OLLAMA,
}
_WHOLE: dict[str, Any] = {
    "openai-compatible": completion,
    "anthropic": lambda text: {
        "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn", "usage": {"input_tokens": 3, "output_tokens": 2},
    },
    "ollama": lambda text: {
        "model": "m", "message": {"role": "assistant", "content": text}, "done": True, "done_reason": "stop",
    },
}  # fmt: skip


def _answer(asked: str) -> str:
    if "the command alone" in asked:
        return "```sh\ndu -sh * | sort -h | tail -1\n```\n"
    return "Blue light is scattered most."


def _about(path: str, *, anthropic: bool) -> bytes:
    """The models, as each lists them."""
    if path.endswith("/api/tags"):
        models = [{"name": name, "model": name, "details": {}} for name in ("llama3.2", "qwen3")]
        return whole(200, {"models": models})
    if path.endswith("/models") and anthropic:
        return whole(200, {"data": [{"id": "claude-haiku-4-5", "display_name": "Claude Haiku 4.5"}], "has_more": False})
    if path.endswith("/models"):
        return whole(200, {"data": [{"id": name} for name in ("gpt-5.6-luna", "gpt-5-mini", "large")]})
    return whole(404, {"error": "nothing stands here"})


class Services:
    """All that the examples may speak to; `addresses` has what stands on the pages, and what is there instead."""

    def __init__(self) -> None:
        self.servers = [Server(services) for _ in range(4)]
        self.acme = ThreadingHTTPServer(("127.0.0.1", 0), _acme().Acme)
        threading.Thread(target=self.acme.serve_forever, daemon=True).start()
        openai, anthropic, ollama, other = (server.url.removesuffix("/v1") for server in self.servers)
        self.env = {"OPENAI_BASE_URL": f"{openai}/v1", "ANTHROPIC_BASE_URL": anthropic, "OLLAMA_HOST": ollama}
        self.addresses = {
            "http://localhost:8080": other,
            "http://localhost:8000": other,
            "https://llm.example.com": other,
            "https://api.acme.example/v2": f"http://127.0.0.1:{self.acme.server_port}/v2",
        }

    def close(self) -> None:
        """Stop them."""
        for server in self.servers:
            server.close()
        self.acme.shutdown()
        self.acme.server_close()


def _acme() -> ModuleType:
    """The server that the tutorial hands out."""
    spec = importlib.util.spec_from_file_location("acme_server", DOCS / "acme_server.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- the reader -----------------------------------------------------------------------------------


class Reader:
    """Somebody who follows a page. What one example writes or exports, the next one finds."""

    def __init__(self, folder: Path, services: Services) -> None:
        self.home, self.folder = folder / "home", folder / "work"
        self.addresses = services.addresses
        commands = self.home / ".local" / "bin"  # where pipx and uv put it
        commands.mkdir(parents=True)
        _executable(commands / "llmcli", f'exec {shlex.quote(sys.executable)} -m llmcli "$@"')
        for name in ("pip", "pipx", "uv"):
            _executable(commands / name, 'echo "an example installs something: mark it" >&2; exit 1')
        self.env = {
            "PATH": f"{commands}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ROOT),
            **services.env,
            **GIVEN,
        }
        self.exported = folder / "exported"
        self.exported.touch()
        self._make_folder()

    def _make_folder(self) -> None:
        """Some texts, in a repository of git with a change that is not committed yet."""
        self.folder.mkdir()
        for name, data in FILES.items():
            (self.folder / name).write_bytes(data)
        who = "-c user.name=Ann -c user.email=ann@example.com"
        setup = f"git init -q && git add . && git {who} commit -qm 'Begin' && echo 'Call Bob.' >> notes.txt"
        subprocess.run(["bash", "-c", setup], cwd=self.folder, env=self.env, check=True)

    def follow(self, block: Block) -> str | None:
        """Do what a block says; what is wrong with it, if anything."""
        text = block.text
        for there, here in self.addresses.items():
            text = text.replace(there, here)
        act, _, more = block.caption.partition(" ")
        if act == "write":
            return self._write(more, text)
        answers = more.split(", ") if act == "typed:" else []
        perform = partial(self._on_terminal, answers=answers) if act in ("typed:", "on") else self._run
        match block.kind:
            case "console":
                return self._console(text, perform)
            case "crontab":
                return self._cron(text)
        return self._script(text, perform)

    def _write(self, file: str, text: str) -> None:
        path = self.folder / file.replace("~", str(self.home))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        if text.startswith("#!"):
            path.chmod(0o755)

    def _script(self, text: str, perform: Perform) -> str | None:
        """A script is well when it ends with 0, and no command or variable of it fails unnoticed."""
        status, printed = perform(self._shared(f"set -euo pipefail\n{text}"))
        return None if status == 0 else f"exit status {status}\n{printed}"

    def _console(self, text: str, perform: Perform) -> str | None:
        """What a console prints is what the page says; with which status, is for the page to show."""
        for command, expected in typed(text):
            _, printed = perform(self._shared(command))
            if not says(expected, self._as_on_the_page(printed)):
                return f"$ {command}\nprinted:\n{printed}\nthe page says:\n{expected}"
        return None

    def _cron(self, text: str) -> str | None:
        """As cron does it: with sh, and next to nothing in the environment."""
        env = {"HOME": str(self.home), "PATH": "/usr/bin:/bin", "SHELL": "/bin/sh"}
        kept = {name: self.env[name] for name in ("PYTHONPATH", "OLLAMA_HOST")}  # of the test, not of the example
        for line in filter(None, text.splitlines()):
            if re.fullmatch(r"\w+=.*", line):
                env |= dict([line.split("=", 1)])
                continue
            command = line.split(maxsplit=5)[5]
            status, printed = self._run(command, shell="sh", env={**env, **kept}, cwd=self.home)
            if status != 0:
                return f"{command}: exit status {status}\n{printed}"
        return None

    def _shared(self, script: str) -> str:
        """The script with what was exported before it, and keeping what it exports."""
        return f". {self.exported}\n{script}\nexport -p > {self.exported}"

    def _run(self, script: str, *, shell: str = "bash", **popen: Any) -> tuple[int, str]:
        """The exit status, and what was printed on stdout and stderr."""
        done = subprocess.run(
            [shell, "-c", script], **{"cwd": self.folder, "env": self.env, **popen}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", timeout=PATIENCE, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout

    def _on_terminal(self, script: str, *, answers: list[str]) -> tuple[int, str]:
        """The same on a terminal, where the answers are typed, one at each question."""
        ours, theirs = pty.openpty()
        env = {**self.env, "TERM": "xterm", "COLUMNS": "120", "NO_COLOR": "1"}
        process = subprocess.Popen(
            ["bash", "-c", script], cwd=self.folder, env=env, stdin=theirs, stdout=theirs, stderr=theirs,
            start_new_session=True,
        )  # fmt: skip
        screen = b""
        with watched(process):
            os.close(theirs)
            while data := _read(ours):
                screen += data
                if answers and screen.endswith(b": "):
                    os.write(ours, f"{answers.pop(0)}\n".encode())
            process.wait()
        os.close(ours)
        return process.returncode, Screen(_NEVER_FOLDED, data=screen).text

    def _as_on_the_page(self, printed: str) -> str:
        printed = printed.replace(str(self.home), "/home/ann")
        for there, here in self.addresses.items():
            printed = printed.replace(here, there)
        return printed


def _executable(path: Path, command: str) -> None:
    path.write_text(f"#!/bin/sh\n{command}\n")
    path.chmod(0o755)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the last writer has gone
        return b""


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str | None]]:
    """What is wrong with each example, when the pages were followed from their beginning."""
    servers = Services()
    readers: dict[str, Reader] = {}
    found = {}
    for step in STEPS:
        if step.page not in readers:
            readers[step.page] = Reader(tmp_path_factory.mktemp("reader"), servers)
        if step in RUN or step.what.startswith("write "):
            found[str(step)] = readers[step.page].follow(step.block)
    yield found
    servers.close()


# --- what must hold -------------------------------------------------------------------------------


@pytest.mark.parametrize("step", RUN, ids=str)
def test_an_example_does_what_its_page_says(step: Step, wrong: dict[str, str | None]) -> None:
    if re.search(r"\bjq\b", step.block.text) and not shutil.which("jq"):
        pytest.skip("jq is not installed")

    assert wrong[str(step)] is None, wrong[str(step)]


def test_only_what_installs_something_is_not_run() -> None:
    not_run = [step for step in STEPS if step.what.startswith("not run")]

    assert {(step.page, step.block.text.rstrip("\n")) for step in not_run} == NOT_RUN
    assert all(re.fullmatch(r"not run: \w+( \S+)+", step.what) for step in not_run), "each says why"


def test_a_comment_before_an_example_is_one_that_is_understood() -> None:
    unknown = [
        f"{step}: {step.what}"
        for step in STEPS
        if not re.fullmatch(r"run|read|on a terminal|write \S+|typed: .+|not run: .+|tables/[\w.-]+", step.what)
    ]

    assert unknown == []


def test_no_example_of_the_shell_hides_in_another_kind_of_block() -> None:
    others = [step for step in STEPS if step.block.kind not in TO_RUN]

    assert [f"{step}: {step.block.kind}" for step in others if step.block.kind not in ARE_FILES] == []
    assert [str(step) for step in others if re.search(r"^\$ ", step.block.text, re.MULTILINE)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_of_a_page_is_found(page: Path) -> None:
    text = page.read_text("utf-8")

    assert len(re.findall(r"^ *```", text, re.MULTILINE)) == 2 * len(list(blocks(text)))
    assert re.findall(r"^ {4}\S.*", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE) == [], (
        "indented code"
    )


def test_a_file_that_a_page_writes_is_used_by_a_later_example() -> None:
    for at, step in enumerate(STEPS):
        if step.what.startswith("write "):
            name = Path(step.what.split()[1]).stem.lower().removesuffix("file")  # acme.toml: -m acme; Makefile: make
            later = [each.block.text for each in STEPS[at + 1 :] if each.page == step.page and each in RUN]
            assert any(re.search(rf"(^|[\s/]){name}\s", text) for text in later), str(step)
