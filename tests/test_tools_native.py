"""The program, tools of a Python file, and services in Anthropic's and Ollama's own formats: whole rounds."""

import json
from contextlib import closing
from pathlib import Path

import pytest

from tests.messages_api import block, sse, start, stop, text_block, tool_block
from tests.program import Program
from tests.servers import Connection, Request, Script, Server, whole
from tests.test_ollama import call, end, line, lines

PYTHON = '''
def now(tz: str) -> str:
    """Tells the time."""
    if tz != "UTC":
        raise ValueError("no such zone")
    return "12:00"
'''
ZONE = {"type": "object", "properties": {"tz": {"type": "string"}}, "required": ["tz"]}


@pytest.fixture
def tools(tmp_path: Path) -> str:
    """A file with a tool."""
    path = tmp_path / "tools.py"
    path.write_text(PYTHON)
    return str(path)


def sends(*bodies: bytes, content_type: str) -> Script:
    """A service that answers each request with the next of these."""
    left = list(bodies)

    def script(connection: Connection) -> None:
        connection.send(whole(200, left.pop(0), content_type))

    return script


def asked(llmcli: Program, script: Script, *args: str) -> tuple[str, list[Request]]:
    """What the program wrote when it was to use the tool, and what it asked."""
    with closing(Server(script)) as server:
        where = ("--base-url", server.url.removesuffix("/v1"), "-n", "--allow-tool", "now")
        done = llmcli("chat", *where, *args, "--", "What time is it?")
        assert done.status == 0, done.err
        return done.text, server.requests


def test_a_tool_is_called_in_anthropics_format_with_its_thinking_until_there_is_an_answer(
    llmcli: Program, tools: str, tmp_path: Path
) -> None:
    thinking = block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "Which zone?"},
        {"type": "signature_delta", "signature": "Eq=="},
    )
    script = sends(
        sse(start(), *thinking, *tool_block(1, '{"tz":', '"CET"}', id="toolu_1"), *stop("tool_use")),
        sse(start(), *tool_block(0, '{"tz":"UTC"}', id="toolu_2"), *stop("tool_use")),
        sse(start(), *text_block(0, "It is ", "noon."), *stop()),
        content_type="text/event-stream",
    )
    key = tmp_path / "key"
    key.touch(mode=0o600)
    key.write_text("sk-ant-1")
    told = ("-m", "anthropic/claude-haiku-4-5", "--api-key-file", str(key), "--tool", tools)
    text, requests = asked(llmcli, script, *told)
    assert text == "It is noon."
    assert [each.path for each in requests] == ["/v1/messages"] * 3
    (tool,) = requests[0].json["tools"]
    assert (tool["name"], tool["description"]) == ("now", "Tells the time.")
    assert tool["input_schema"].items() >= ZONE.items()
    _, first, failed, second, result = requests[2].json["messages"]
    assert first["content"] == [
        {"type": "thinking", "thinking": "Which zone?", "signature": "Eq=="},
        {"type": "tool_use", "id": "toolu_1", "name": "now", "input": {"tz": "CET"}},
    ]
    (block_of_failed,) = failed["content"]
    assert (block_of_failed["tool_use_id"], block_of_failed["is_error"]) == ("toolu_1", True)
    assert "no such zone" in block_of_failed["content"]
    assert second["content"] == [{"type": "tool_use", "id": "toolu_2", "name": "now", "input": {"tz": "UTC"}}]
    (block_of_result,) = result["content"]
    assert block_of_result["tool_use_id"] == "toolu_2"
    assert "12:00" in block_of_result["content"]
    assert "is_error" not in block_of_result


def test_a_tool_is_called_in_ollamas_format_until_there_is_an_answer(llmcli: Program, tools: str) -> None:
    script = sends(
        lines(line(tool_calls=[call("now", {"tz": "UTC"}, id="call_7")]), end()),
        lines(line("It is "), line("noon."), end()),
        content_type="application/x-ndjson",
    )
    text, requests = asked(llmcli, script, "-m", "ollama/qwen3", "--tool", tools)
    assert text == "It is noon."
    assert [each.path for each in requests] == ["/api/chat"] * 2
    (tool,) = requests[0].json["tools"]
    assert tool["function"]["name"] == "now"
    assert tool["function"]["parameters"].items() >= ZONE.items()
    _, called, result = requests[1].json["messages"]
    assert called["tool_calls"] == [
        {"id": "call_7", "function": {"index": 0, "name": "now", "arguments": {"tz": "UTC"}}}
    ]
    assert (result["role"], result["tool_name"], result["tool_call_id"]) == ("tool", "now", "call_7")
    assert "12:00" in result["content"]


def test_a_model_of_ollamas_without_tools_is_named_with_what_to_do_and_can_do_it(llmcli: Program, tools: str) -> None:
    refused = whole(400, {"error": "registry.ollama.ai/library/llama2:latest does not support tools"})
    with closing(Server(lambda connection: connection.send(refused))) as server:
        where = ("--base-url", server.url.removesuffix("/v1"), "-n", "--allow-tool", "now", "--tool", tools)
        done = llmcli("chat", "-m", "ollama/llama2", *where, "--", "What time is it?")
    assert (done.out, done.status) == (b"", 5)
    assert 'tools = "text" under [providers.ollama]' in done.err

    llmcli.configure('[providers.ollama]\ntools = "text"\n')
    script = sends(
        lines(line('TOOL_CALL: now\nARGUMENTS: {"tz": "UTC"}\n'), end()),
        lines(line("It is noon."), end()),
        content_type="application/x-ndjson",
    )
    text, requests = asked(llmcli, script, "-m", "ollama/llama2", "--tool", tools)
    assert text == "It is noon."
    assert not any("tools" in each.json for each in requests)
    assert "12:00" in json.dumps(requests[1].json["messages"])
