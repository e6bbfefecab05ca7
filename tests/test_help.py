"""The help teaches: in groups, with examples, for any width of a terminal; and a slip of the fingers is understood."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from llmcli.cli import command_line
from tests.program import Program


def commands_of(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command, by its words."""
    yield path
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands_of(inner, (*path, name))


COMMANDS = list(commands_of(get_command(command_line())))


def test_every_command_is_looked_at() -> None:
    assert {("chat",), ("models", "refresh"), ("providers", "login"), ("health",), ("completions",)} <= set(COMMANDS)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_a_command_s_help_has_three_examples_and_points_to_the_exit_statuses(
    llmcli: Program, path: tuple[str, ...]
) -> None:
    done = llmcli(*path, "--help")

    assert done.status == 0
    _, _, below = done.text.partition("\n  Examples:\n")
    examples = [line for line in below.partition("\n\n")[0].splitlines() if line.startswith("    ")]
    assert len(examples) == 3
    assert all("llmcli" in example for example in examples)
    assert "xit status" in below
    assert re.search(r"^(Arguments|Options|Commands):$", done.text, re.MULTILINE)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("columns", [40, 80])
def test_a_help_is_no_wider_than_the_terminal(llmcli: Program, path: tuple[str, ...], columns: int) -> None:
    """But for the examples, which are to be copied, and the names of options, which cannot be broken."""
    shown, _, below = llmcli(*path, "--help", env={"COLUMNS": str(columns)}).text.partition("\n  Examples:\n")

    lines = [*shown.splitlines(), *below.partition("\n\n")[2].splitlines()]
    assert [line for line in lines if len(line) > columns and not line.startswith("  -")] == []


def test_the_options_of_a_chat_stand_in_groups(llmcli: Program) -> None:
    groups = re.findall(r"^(\w[\w ]*):$", llmcli("chat", "--help").text, re.MULTILINE)

    assert groups[0] == "Arguments"
    assert {"What goes in", "What comes out", "Time and failures", "Configuration"} <= set(groups)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("chta hello", "Did you mean 'chat'?"),
        ("providers logn", "Did you mean 'login'"),
        ("models --serach x", "no such option: --serach; did you mean --search?"),
        ("chat --modle echo hi", "no such option: --modle; did you mean --model?"),
        ("chat --format jsno hi", "'jsno' is not one of 'text', 'markdown', 'json', 'jsonl'"),
        ("completions bsh", "'bsh' is not one of 'bash', 'zsh', 'fish'"),
    ],
)
def test_a_slip_of_the_fingers_is_understood(llmcli: Program, words: str, says: str) -> None:
    done = llmcli(*words.split())

    assert done.status == 2
    assert says in done.err
    assert done.err.count("\n") == 2  # what happened, and what to do


def test_an_unknown_option_of_a_chat_may_have_been_a_prompt(llmcli: Program) -> None:
    done = llmcli("chat", "-Z is a letter")

    assert "no such option: -Z" in done.err
    assert 'llmcli chat -- "$prompt"' in done.err


@pytest.mark.parametrize(
    "words",
    ["chat hi -m", "health --timeout", "models --search", "providers login openai --key-file", "health --json=1"],
)
def test_an_option_without_its_value_is_a_mistake_of_the_call(llmcli: Program, words: str) -> None:
    done = llmcli(*words.split())

    assert done.status == 2
    assert "internal error" not in done.err
    assert "--" in done.err or "-m" in done.err


def test_a_provider_behind_models_is_understood(llmcli: Program) -> None:
    assert "`llmcli models list PROVIDER`" in llmcli("models", "echo").err
