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
