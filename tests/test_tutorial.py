"""
The tutorial (`docs/your-own-provider.md`), followed to the letter: each file written, each command typed into a real
shell, what it prints compared with what the page says.

Before a block on the page, `<!-- write FILE -->` makes it a file, `append` puts it at the end of one, and `change` puts
it in the place of the line that begins with the same word; a block of a console is typed as it stands. `...` in what
is printed stands for anything (see `pages.says`).
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.packages import Environment
from tests.pages import DOCS, blocks, says, typed
from tests.program import PATIENCE

PAGE = (DOCS / "your-own-provider.md").read_text("utf-8")
PORT, HOME = "8765", "/home/ann"  # as the page has them
SERVER = "another terminal"


class Step(NamedTuple):
    """A file to write, append to or change; or a command to type, and what it prints. `line` is that of the page."""

    line: int
    act: str
    what: str
    text: str


def steps() -> Iterator[Step]:
    """All that the page says to do, in its order."""
    for block in blocks(PAGE):
        act, _, file = (block.caption or "run").partition(" ")
        if block.kind != "console":
            yield Step(block.line, act, file, block.text)
            continue
        for command, printed in typed(block.text):
            yield Step(block.line, "serve" if block.caption == SERVER else "run", command, printed)


STEPS = list(steps())


class Follower:
    """
    Somebody who follows the page in an empty folder, with a home and a Python environment of their own. What one
    command exports, the next one sees.
    """

    def __init__(self, folder: Path) -> None:
        self.home, self.folder = folder / "home", folder / "work"
        self.home.mkdir()
        self.folder.mkdir()
        shutil.copy(DOCS / "acme_server.py", self.folder)
        environment = Environment(folder / "venv")
        commands = Path(environment.python).parent
        for name in ("llmcli", "pip", "pytest"):
            (commands / name).write_text(f'#!/bin/sh\nexec {environment.python} -m {name} "$@"\n')
            (commands / name).chmod(0o755)
        self.env = {
            "PATH": f"{commands}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            # pip has everything it needs, and no network.
            **dict.fromkeys(("PIP_NO_INDEX", "PIP_NO_DEPS", "PIP_DISABLE_PIP_VERSION_CHECK"), "1"),
            "PIP_NO_BUILD_ISOLATION": "0",  # which is how pip spells it: the value of the option's opposite
        }
        self.exported = folder / "exported"
        self.exported.touch()
        self.port = PORT
        self.servers: list[subprocess.Popen[str]] = []

    def follow(self, step: Step) -> str:
        """Do what a step says; what is printed, as the page would have it."""
        printed: str = getattr(self, f"_{step.act}")(step.what.replace(PORT, self.port), step.text)
        return printed.replace(str(self.home), HOME).replace(self.port, PORT)

    def _write(self, file: str, text: str) -> str:
        path = self._path(file)
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.replace(PORT, self.port), "utf-8")
        return ""

    def _append(self, file: str, text: str) -> str:
        return self._write(file, self._path(file).read_text("utf-8") + text)

    def _change(self, file: str, text: str) -> str:
        """The line that begins with the same word becomes this text."""
        lines = self._path(file).read_text("utf-8").splitlines(keepends=True)
        (at,) = (at for at, line in enumerate(lines) if line.split()[:1] == text.split()[:1])
        return self._write(file, "".join([*lines[:at], text, *lines[at + 1 :]]))

    def _path(self, file: str) -> Path:
        return self.folder / file.replace("~", str(self.home))

    def _run(self, command: str, expected: str) -> str:
        script = f". {self.exported}\n{command}\nexport -p > {self.exported}"
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", timeout=PATIENCE, check=False,
        )  # fmt: skip
        return done.stdout

    def _serve(self, command: str, expected: str) -> str:
        """The server is told to take any port that is free."""
        server = subprocess.Popen(
            ["bash", "-c", f"exec {command} 0"], cwd=self.folder, env=self.env, stdout=subprocess.PIPE, encoding="utf-8"
        )
        self.servers.append(server)
        assert server.stdout is not None
        printed = "".join(server.stdout.readline() for _ in expected.splitlines())
        found = re.search(r":(\d+)/", printed)
        assert found, printed
        self.port = found[1]
        return printed

    def close(self) -> None:
        """Stop the servers."""
        for server in self.servers:
            server.kill()
            server.communicate()


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """What each step has printed, when all were followed in their order."""
    follower = Follower(tmp_path_factory.mktemp("tutorial"))
    try:
        yield [follower.follow(step) for step in STEPS]
    finally:
        follower.close()


@pytest.mark.parametrize("at", range(len(STEPS)), ids=[f"line {step.line}: {step.act} {step.what}" for step in STEPS])
def test_the_tutorial_says_what_happens(printed: list[str], at: int) -> None:
    expected = STEPS[at].text if STEPS[at].act in ("run", "serve") else ""

    assert says(expected, printed[at]), f"it printed:\n{printed[at]}\nthe page says:\n{expected}"


def test_everything_on_the_page_that_can_be_followed_is() -> None:
    assert {step.act for step in STEPS} == {"serve", "run", "write", "append", "change"}
    assert PAGE.count("\n```") == 2 * len(list(blocks(PAGE)))
