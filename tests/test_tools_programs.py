"""Programs as tools: what the configuration may say, the words that are run, and what comes of a program."""

import json
import os
import socket
import sys
from typing import Any

import pytest

from llmcli.config import Config
from llmcli.errors import ConfigurationError
from llmcli.tools.executables import argv, tool_of_table
from llmcli.tools.offered import Offered, ToolFailed
from tests.program import PATIENCE

ENV = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}


def tool(**table: Any) -> Offered:
    return among(ENV, table)


def among(variables: dict[str, str], table: dict[str, Any]) -> Offered:
    """The tool of a table, with these variables around."""
    return tool_of_table("it", Config(tools={"it": table}, tool_sources={"it": "config.toml"}), variables)


def python(code: str, *arguments: str, **table: Any) -> Offered:
    """A tool that runs a line of Python with these patterns as its arguments."""
    return tool(command=[sys.executable, "-c", code, *arguments], **table)


# --- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "arguments", "words"),
    [
        (["jq", "{filter}", "x.json"], {"filter": ".a | {b: 1}"}, ["jq", ".a | {b: 1}", "x.json"]),
        (["p", "--name={a}-{b}"], {"a": "x", "b": 2}, ["p", "--name=x-2"]),
        (["p", "{a}"], {"a": "$(rm -rf /); `x` 'y' \"z\"\n"}, ["p", "$(rm -rf /); `x` 'y' \"z\"\n"]),
        (["p", "{a}"], {"a": "{b}"}, ["p", "{b}"]),
        (["p", "{{a}}", "{a}"], {"a": "x"}, ["p", "{a}", "x"]),
        (["p", "{a}", "end"], {"a": ["x", "y z", 1]}, ["p", "x", "y z", "1", "end"]),
        (["p", "a={a}"], {"a": ["x", 1]}, ["p", 'a=["x", 1]']),
        (["p", "{a}", "{b}"], {"a": True, "b": None}, ["p", "true", "null"]),
        (["p", "--x={a}", "{b}"], {"b": "y"}, ["p", "y"]),
        (["p", "{a}"], {"a": -5}, ["p", "-5"]),
        (["p", "--", "{a}"], {"a": "-rf"}, ["p", "--", "-rf"]),
        (["p", "-o{a}"], {"a": "-x"}, ["p", "-o-x"]),
        (["p", "{}", "{1}"], {}, ["p", "{}", "{1}"]),
    ],
)
def test_each_value_becomes_one_word_or_part_of_one(command: Any, arguments: Any, words: list[str]) -> None:
    assert argv(command, arguments) == words


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        (["curl", "{url}"], {"url": "-o/etc/passwd"}),
        (["curl", "{urls}"], {"urls": ["https://x", "--output=/etc/passwd"]}),
        (["curl", "{a}{b}"], {"a": "", "b": "-o"}),
        (["p", "--", "{a}"], {"a": "nul\0"}),
    ],
)
def test_a_value_that_the_program_would_take_for_an_option_is_refused(command: Any, arguments: Any) -> None:
    with pytest.raises(ToolFailed):
        argv(command, arguments)


# --- tables ---------------------------------------------------------------------------------------


def test_without_parameters_all_that_stands_in_braces_is_a_text_that_is_needed() -> None:
    offered = tool(command=["jq", "{filter}"], stdin="{document}", description="Look into JSON.")

    assert offered.tool.description == "Look into JSON."
    assert offered.tool.parameters == {
        "type": "object",
        "properties": {"filter": {"type": "string"}, "document": {"type": "string"}},
        "required": ["filter", "document"],
        "additionalProperties": False,
    }
    assert offered.shown({"filter": '.a "b"', "document": "x"}) == r'it: ["jq", ".a \"b\""] < "x"'


def test_a_parameter_with_a_default_need_not_be_given() -> None:
    offered = tool(command=["head", "-n", "{n}"], parameters={"n": {"type": "integer", "default": 5}})

    assert offered.tool.parameters["required"] == []
    assert offered.shown({}) == 'it: ["head", "-n", "5"]'


def test_a_whole_schema_is_taken_as_it_is() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}

    assert tool(command=["seq", "{n}"], parameters=schema).tool.parameters == schema


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({}, "tools.it has no command"),
        ({"command": "jq ."}, "tools.it.command should be a list"),
        ({"command": ["jq", 1]}, "tools.it.command.2 should be text"),
        ({"command": ["jq"], "commnad": []}, "unknown key tools.it.commnad"),
        ({"command": ["{program}"]}, "the program itself is never chosen by the model"),
        ({"command": ["jq", "{fliter}"], "parameters": {"filter": {}}}, "{fliter} is none of its parameters"),
        ({"command": ["jq"], "parameters": {"filter": "string"}}, "tools.it.parameters.filter should be a table"),
        ({"command": ["jq"], "parameters": {"f": {"type": "txt"}}}, "tools.it.parameters is no JSON schema"),
        ({"command": ["jq"], "timeout": -1}, "tools.it.timeout should not be below 0"),
    ],
)
def test_what_is_wrong_in_a_table_is_named(table: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        tool(**table)

    assert caught.value.message.startswith("config.toml: ")
    assert says in caught.value.message


# --- programs -------------------------------------------------------------------------------------


def test_what_a_program_writes_is_its_result() -> None:
    offered = python("import sys; print(sys.argv[1:], sys.stdin.read())", "{a}", stdin="<{b}>")

    assert offered.run({"a": "x y", "b": "ü"}, 30) == "['x y'] <ü>\n"


def test_a_program_that_reads_stdin_finds_its_end() -> None:
    assert python("import sys; print(repr(sys.stdin.read()))").run({}, 30) == "''\n"


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (
            "import sys; print('half'); print('no such thing', file=sys.stderr); sys.exit(3)",
            "it exited with 3\nno such thing\nhalf",
        ),
        ("import os; os.kill(os.getpid(), 9)", "it was ended by signal 9"),
    ],
)
def test_a_program_that_fails_says_so(code: str, says: str) -> None:
    with pytest.raises(ToolFailed) as caught:
        python(code).run({}, 30)

    assert str(caught.value).strip() == says


def test_a_program_that_is_not_there_says_so() -> None:
    with pytest.raises(ToolFailed, match="cannot be run: No such file"):
        tool(command=["/no/such/program"]).run({}, 30)


def test_output_on_both_sides_and_more_than_a_pipe_holds_blocks_nobody() -> None:
    code = "import sys; [(print('x' * 9999), print('y' * 9999, file=sys.stderr)) for _ in range(100)]"

    assert len(python(code, max_output=2_000_000).run({}, 60)) == 1_000_000


def test_the_note_of_what_was_cut_counts_all_that_was_written() -> None:
    code = "import sys\nfor _ in range(80): sys.stdout.write('xü' * 50_000)\nsys.exit(int(sys.argv[1]))"
    offered = python(code, "{status}", max_output=10)

    assert offered.run({"status": 0}, 60) == "xüxüxüxüxü\n[cut here: 7999990 more characters]"
    with pytest.raises(ToolFailed) as caught:
        offered.run({"status": 1}, 60)
    assert str(caught.value) == "it exited \n[cut here: 8000007 more characters]"


@pytest.mark.parametrize(
    "code",
    [
        "import time; time.sleep(600)",
        "import os, time; os.close(1); os.close(2); time.sleep(600)",
        "while True: print('x')",
    ],
)
def test_a_program_that_takes_too_long_is_ended(code: str) -> None:
    with pytest.raises(ToolFailed, match="it took longer than 1 s"):
        python(code).run({}, 1)


def test_what_a_program_has_started_is_ended_with_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE)
        port = server.getsockname()[1]
        lives = (
            f"import socket, time; s = socket.create_connection(('127.0.0.1', {port})); s.send(b'.'); time.sleep(600)"
        )
        with pytest.raises(ToolFailed, match="it took longer than 5 s"):
            python("import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])", lives).run({}, 5)
        connection, _ = server.accept()
        with connection:
            connection.settimeout(PATIENCE)
            assert (connection.recv(1), connection.recv(1)) == (b".", b"")


def test_a_program_gets_what_every_program_needs_and_the_variables_that_its_table_names() -> None:
    """A name does not tell what is a secret: ACME_AUTH and DATABASE_URL may be, too."""
    secrets = {"OPENAI_API_KEY": "sk-1", "ACME_AUTH": "x", "DATABASE_URL": "db://u:p@h", "EDITOR": "vi"}
    env = {**ENV, **secrets, "GITHUB_TOKEN": "t", "HOME": "/home/ann", "LC_ALL": "C"}
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    offered = among(env, {"command": [sys.executable, "-c", code], "env": ["GITHUB_TOKEN"]})

    received = json.loads(offered.run({}, 30))

    assert {"HOME", "LC_ALL", "GITHUB_TOKEN"} <= received.keys()
    assert not secrets.keys() & received.keys()
