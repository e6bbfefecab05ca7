"""A table that has a place for tools calls them: the real program against a server that speaks as the table says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.program import Program
from tests.servers import LAST_CHUNK, Connection, Script, Server, answers, chunk, head

Serve = Callable[..., Server]

TABLE = """
[providers.acme]
adapter = "http"
base_url = "http://127.0.0.1:{port}"
default_model = "large"

[providers.acme.chat]
request = '''{{talk: turns[].{{who: role, text: content, calls: tool_calls[].{{ref: id, name: function.name,
  args: from_json(function.arguments)}}, answers: tool_call_id, failed: failed}},
  functions: tools[].function.{{name: name, about: description, takes: parameters}}, must: tool_choice}}'''
content = "text"
tool_calls = "calls[].{{id: ref, name: name, arguments: args}}"
{more}
"""
STREAM = """
[providers.acme.stream]
framing = "jsonl"
request = "{stream: `true`}"
delta = "text"
tool_calls = "calls[].{id: ref, name: name, arguments: args}"
end = "done"
"""
ADD = 'def add(a: int, b: int) -> int:\n    """Add two numbers."""\n    return a + b\n'
CALL: dict[str, Any] = {"ref": "c1", "name": "add", "args": {"a": 2, "b": 3}}


def streams(lines: bytes) -> Script:
    """Answers with these lines."""

    def script(connection: Connection) -> None:
        connection.send(head(200, "application/jsonl", Transfer_Encoding="chunked") + chunk(lines) + LAST_CHUNK)

    return script


@pytest.fixture
def tools(tmp_path: Path) -> str:
    """A file with a tool."""
    (tmp_path / "tools.py").write_text(ADD)
    return str(tmp_path / "tools.py")


def test_a_tool_is_told_called_and_its_result_sent_back(llmcli: Program, serve: Serve, tools: str) -> None:
    server = serve(answers(200, {"text": None, "calls": [CALL]}), answers(200, {"text": "It is 5."}))
    llmcli.configure(TABLE.format(port=server.port, more=""))
    done = llmcli("chat", "-n", "-m", "acme", "--tool", tools, "--yes", "--tool-choice", "required", "what is 2 + 3?")

    assert (done.status, done.text) == (0, "It is 5."), done.err
    first, second = (request.json for request in server.requests)
    ((declared),) = first["functions"]
    assert (declared["name"], declared["about"], set(declared["takes"]["properties"])) == (
        "add",
        "Add two numbers.",
        {"a", "b"},
    )
    assert first["must"] == "required"
    asked, called, result = second["talk"]
    assert asked == {"who": "user", "text": "what is 2 + 3?"}
    assert called == {"who": "assistant", "text": "", "calls": [CALL]}
    assert (result["who"], result["answers"]) == ("tool", "c1")
    assert "5" in result["text"]


def test_calls_are_read_from_a_stream_too(llmcli: Program, serve: Serve, tools: str) -> None:
    call = b'{"calls": [{"ref": "c1", "name": "add", "args": {"a": 2, "b": 3}}]}\n'
    server = serve(streams(call + b'{"done": true}\n'), streams(b'{"text": "5"}\n{"done": true}\n'))
    llmcli.configure(TABLE.format(port=server.port, more=STREAM))
    done = llmcli("chat", "-n", "-m", "acme", "--tool", tools, "--allow-tool", "add", "what is 2 + 3?")

    assert (done.status, done.text) == (0, "5"), done.err
    assert server.requests[1].json["stream"] is True
    assert server.requests[1].json["talk"][2]["answers"] == "c1"


def test_what_the_model_called_wrongly_is_told_to_it_and_breaks_no_expression(
    llmcli: Program, serve: Serve, tools: str
) -> None:
    wrong = {**CALL, "args": "{bad"}
    server = serve(answers(200, {"text": None, "calls": [wrong]}), answers(200, {"text": "I cannot add."}))
    llmcli.configure(TABLE.format(port=server.port, more=""))
    done = llmcli("chat", "-n", "-m", "acme", "--tool", tools, "--yes", "what is 2 + 3?")

    assert (done.status, done.text) == (0, "I cannot add."), done.err
    _, called, result = server.requests[1].json["talk"]
    assert called["calls"][0]["args"] == {"arguments": "{bad"}
    assert result["failed"] is True
