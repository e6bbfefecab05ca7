"""
The completion scripts: current, complete, in the wheel, and printed by `llmcli completions`. The real shells are asked.
"""

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from llmcli.cli import command_line
from llmcli.commands.completions import SCRIPTS as NAMES
from tests.completing import SCRIPTS, SHELLS, Home, start
from tests.program import PATIENCE, Program

ROOT = SCRIPTS.parent
SHARED = {
    "bash": "share/bash-completion/completions/llmcli",
    "zsh": "share/zsh/site-functions/_llmcli",
    "fish": "share/fish/vendor_completions.d/llmcli.fish",
}


def tree(path: str = "llmcli", command: Any = None) -> Iterator[tuple[str, set[str], set[str]]]:
    """Each command of the program as it is typed, with its options and its own commands."""
    command = command or get_command(command_line())
    options = [param for param in command.params if param.param_type_name == "option"]
    inner = getattr(command, "commands", {})
    yield path, {"--help", *(name for option in options for name in (*option.opts, *option.secondary_opts))}, set(inner)
    for name, sub in inner.items():
        yield from tree(f"{path} {name}", sub)


def test_the_scripts_are_current() -> None:
    done = subprocess.run(
        [sys.executable, "completions/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_every_command_and_every_option_is_offered(shell: str, tmp_path: Path) -> None:
    commands = list(tree())
    with closing(start(shell, Home(tmp_path))) as completing:
        offered = completing.offers(*(f"{path} {typed}" for path, _, _ in commands for typed in ("-", "")))

    assert len(commands) > 15
    for (path, options, inner), after_hyphen, after_blank in zip(commands, offered[::2], offered[1::2], strict=True):
        assert options - set(after_hyphen) == set(), path
        assert inner - set(after_blank) == set(), path


@pytest.mark.parametrize("shell", SHELLS)
def test_completions_prints_the_script_of_a_shell(llmcli: Program, shell: str) -> None:
    assert llmcli("completions", shell).text == (SCRIPTS / NAMES[shell]).read_text()


def test_completions_of_another_shell_names_those_that_there_are(llmcli: Program) -> None:
    done = llmcli("completions", "csh")

    assert done.status == 2
    assert all(shell in done.err for shell in SHELLS)


def test_completions_knows_every_shell_that_the_command_takes() -> None:
    (argument,) = get_command(command_line()).commands["completions"].params[:1]  # type: ignore[attr-defined]

    assert tuple(argument.type.choices) == tuple(NAMES) == SHELLS


def test_the_help_says_how_each_shell_gets_its_script(llmcli: Program) -> None:
    help_text = llmcli("completions", "--help").text

    assert [f"llmcli completions {shell} >" in help_text for shell in SHELLS] == [True, True, True]


def test_a_wheel_has_the_scripts_where_shells_look_and_where_the_program_does(llmcli: Program, tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, capture_output=True, timeout=PATIENCE, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    (data,) = (tmp_path / "site").glob("*.data/data")

    for shell, shared in SHARED.items():
        assert (data / shared).read_text() == (SCRIPTS / NAMES[shell]).read_text()
        printed = llmcli("completions", shell, env={"PYTHONPATH": str(tmp_path / "site")})
        assert printed.text == (data / shared).read_text(), printed.err
