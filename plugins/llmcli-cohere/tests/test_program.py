"""The real program against a server that speaks Cohere's API."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

V2 = (
    b'event: message-start\ndata: {"type":"message-start","id":"m1"}\n\n'
    b'event: content-delta\ndata: {"type":"content-delta","delta":{"message":{"content":{"text":"Bonjour"}}}}\n\n'
    b'event: content-delta\ndata: {"type":"content-delta","delta":{"message":{"content":{"text":" !"}}}}\n\n'
)
V2_END = b'event: message-end\ndata: {"type":"message-end","delta":{"finish_reason":"COMPLETE"}}\n\n'
V1 = b'{"event_type":"stream-start"}\n{"event_type":"text-generation","text":"Bonjour !"}\n'
V1_END = b'{"is_finished":true,"event_type":"stream-end","finish_reason":"COMPLETE","response":{}}\n'
STREAM_TYPES = {"v2": "text/event-stream", "v1": "application/stream+json"}


@pytest.fixture(scope="module")
def make_httpserver() -> Iterator[HTTPServer]:
    """A server with a thread for each request."""
    with HTTPServer(threaded=True) as server:
        yield server


def chat(url: str, home: Path, *args: str) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-m", "llmcli", "chat", "-p", "cohere", "--base-url", url, "--retries", "0", *args, "hi"]
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "CO_API_KEY": "co-test-key"}
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env=env, timeout=60, check=False)


@pytest.mark.parametrize(("api", "stream"), [("v2", V2 + V2_END), ("v1", V1 + V1_END)])
def test_a_streamed_answer_is_printed_exactly(httpserver: HTTPServer, tmp_path: Path, api: str, stream: bytes) -> None:
    asked = httpserver.expect_request(f"/{api}/chat", "POST", headers={"Authorization": "Bearer co-test-key"})
    asked.respond_with_data(stream, content_type=STREAM_TYPES[api])
    done = chat(httpserver.url_for(f"/{api}"), tmp_path)
    assert (done.returncode, done.stdout) == (0, b"Bonjour !")


def test_a_whole_answer_is_printed_too(httpserver: HTTPServer, tmp_path: Path) -> None:
    said = {"role": "assistant", "content": [{"type": "text", "text": "Bonjour !"}]}
    answer = {"finish_reason": "COMPLETE", "message": said}
    httpserver.expect_request("/v2/chat", "POST").respond_with_json(answer)
    done = chat(httpserver.url_for("/"), tmp_path, "--no-stream")
    assert (done.returncode, done.stdout) == (0, b"Bonjour !")


@pytest.mark.parametrize(("api", "stream"), [("v2", V2), ("v1", V1)])
def test_a_truncated_stream_exits_10(httpserver: HTTPServer, tmp_path: Path, api: str, stream: bytes) -> None:
    httpserver.expect_request(f"/{api}/chat", "POST").respond_with_data(stream, content_type=STREAM_TYPES[api])
    done = chat(httpserver.url_for(f"/{api}"), tmp_path)
    assert (done.returncode, done.stdout) == (10, b"Bonjour !")


def test_a_key_that_is_refused_exits_4_and_is_not_shown(httpserver: HTTPServer, tmp_path: Path) -> None:
    refusal = json.dumps({"message": "invalid api token: co-test-key"})
    httpserver.expect_request("/v2/chat", "POST").respond_with_data(
        refusal, status=401, content_type="application/json"
    )
    done = chat(httpserver.url_for("/"), tmp_path)
    assert (done.returncode, done.stdout) == (4, b"")
    assert b"co-test-key" not in done.stderr


MADE = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":2,"b":3}'}}
CALLED = {
    "v2": {"finish_reason": "TOOL_CALL", "message": {"tool_plan": "I add.", "tool_calls": [MADE]}},
    "v1": {
        "finish_reason": "COMPLETE",
        "text": "I add.",
        "tool_calls": [{"name": "add", "parameters": {"a": 2, "b": 3}}],
    },
}


@pytest.mark.parametrize(("api", "stream"), [("v2", V2 + V2_END), ("v1", V1 + V1_END)])
def test_a_model_calls_a_tool_and_is_told_what_came_of_it(
    httpserver: HTTPServer, tmp_path: Path, api: str, stream: bytes
) -> None:
    (tmp_path / "tools.py").write_text('def add(a: int, b: int) -> int:\n    """Add."""\n    return a + b\n')
    called = json.dumps(CALLED[api])  # whole, although a stream was asked for
    httpserver.expect_ordered_request(f"/{api}/chat", "POST").respond_with_data(called, content_type="application/json")
    asked = httpserver.expect_ordered_request(f"/{api}/chat", "POST")
    asked.respond_with_data(stream, content_type=STREAM_TYPES[api])
    done = chat(httpserver.url_for(f"/{api}"), tmp_path, "--tool", str(tmp_path / "tools.py"), "--yes")

    assert (done.returncode, done.stdout) == (0, b"Bonjour !"), done.stderr
    _, second = (request.get_json() for request, _ in httpserver.log)
    if api == "v2":
        _, assistant, result = second["messages"]
        assert assistant == {"role": "assistant", "tool_plan": "I add.", "tool_calls": [MADE]}
        assert (result["role"], result["tool_call_id"]) == ("tool", "c1")
        assert "5" in result["content"]
    else:
        (result,) = second["tool_results"]
        assert second["message"] == ""
        assert result["call"] == {"name": "add", "parameters": {"a": 2, "b": 3}}
        assert "5" in result["outputs"][0]["output"]
