"""The real program against a server that speaks Gemini's API."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

STREAM = "/v1beta/models/gemini-flash-latest:streamGenerateContent"
WHOLE = "/v1beta/models/gemini-flash-latest:generateContent"
PIECES = ("Bonjour", " 🦙 !\n")
KEY = "AIza-test-key"


@pytest.fixture(scope="module")
def make_httpserver() -> Iterator[HTTPServer]:
    """A server with a thread for each request."""
    with HTTPServer(threaded=True) as server:
        yield server


def response(text: str, **more: str) -> dict[str, Any]:
    return {"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, **more}]}


def sse(*documents: object) -> bytes:
    return b"".join(b"data: " + json.dumps(document).encode() + b"\r\n\r\n" for document in documents)


BEGUN = sse(*(response(piece) for piece in PIECES))
ENDED = BEGUN + sse(response("", finishReason="STOP"))
SAID = "".join(PIECES).encode()
OVERLOADED = json.dumps(
    [{"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}], indent=2
)


def run(*args: str, server: HTTPServer, home: Path, **more: str) -> "subprocess.CompletedProcess[bytes]":
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "GEMINI_API_KEY": KEY}
    env |= {"GOOGLE_GEMINI_BASE_URL": server.url_for("")} | more
    command = [sys.executable, "-m", "llmcli", *args]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env=env, timeout=60, check=False)


def chat(server: HTTPServer, home: Path, *args: str, **more: str) -> "subprocess.CompletedProcess[bytes]":
    return run("chat", "-p", "gemini", "--retries", "0", *args, "hi", server=server, home=home, **more)


def serve_stream(server: HTTPServer, body: bytes, key: str = KEY) -> None:
    asked = server.expect_request(STREAM, "POST", query_string="alt=sse", headers={"x-goog-api-key": key})
    asked.respond_with_data(body, content_type="text/event-stream")


def test_a_streamed_answer_is_printed_exactly(httpserver: HTTPServer, tmp_path: Path) -> None:
    serve_stream(httpserver, ENDED)
    done = chat(httpserver, tmp_path, "--base-url", httpserver.url_for("/v1beta"))
    assert (done.returncode, done.stdout) == (0, SAID), done.stderr


def test_a_whole_answer_is_printed_too(httpserver: HTTPServer, tmp_path: Path) -> None:
    httpserver.expect_request(WHOLE, "POST").respond_with_json(response(SAID.decode(), finishReason="STOP"))
    done = chat(httpserver, tmp_path, "--no-stream")
    assert (done.returncode, done.stdout) == (0, SAID), done.stderr


def test_a_stream_that_comes_as_a_json_array_is_printed_too(httpserver: HTTPServer, tmp_path: Path) -> None:
    array = json.dumps([*(response(piece) for piece in PIECES), response("", finishReason="STOP")], indent=2)
    httpserver.expect_request(STREAM, "POST").respond_with_data(array, content_type="application/json")
    done = chat(httpserver, tmp_path)
    assert (done.returncode, done.stdout) == (0, SAID), done.stderr


def test_a_truncated_stream_exits_10(httpserver: HTTPServer, tmp_path: Path) -> None:
    serve_stream(httpserver, BEGUN)
    done = chat(httpserver, tmp_path)
    assert (done.returncode, done.stdout) == (10, SAID)


def test_an_error_that_stands_raw_in_the_stream_exits_10_and_is_told(httpserver: HTTPServer, tmp_path: Path) -> None:
    serve_stream(httpserver, BEGUN + OVERLOADED.encode() + b"\n")
    done = chat(httpserver, tmp_path)
    assert (done.returncode, done.stdout) == (10, SAID)
    assert b"The model is overloaded." in done.stderr


def test_an_error_in_place_of_a_stream_is_told_by_its_own_code(httpserver: HTTPServer, tmp_path: Path) -> None:
    serve_stream(httpserver, OVERLOADED.encode())
    done = chat(httpserver, tmp_path)
    assert (done.returncode, done.stdout) == (6, b"")


def test_a_blocked_prompt_is_an_empty_answer_and_with_strict_exits_12(httpserver: HTTPServer, tmp_path: Path) -> None:
    serve_stream(httpserver, sse({"promptFeedback": {"blockReason": "SAFETY"}}))
    assert (chat(httpserver, tmp_path).returncode, chat(httpserver, tmp_path, "--strict").returncode) == (0, 12)


def test_a_malformed_function_call_exits_8(httpserver: HTTPServer, tmp_path: Path) -> None:
    serve_stream(httpserver, sse({"candidates": [{"content": {}, "finishReason": "MALFORMED_FUNCTION_CALL"}]}))
    done = chat(httpserver, tmp_path)
    assert (done.returncode, done.stdout) == (8, b"")
    assert b"MALFORMED_FUNCTION_CALL" in done.stderr


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, {"code": 401, "message": f"The key {KEY} is wrong.", "status": "UNAUTHENTICATED"}),
        (400, {"code": 400, "message": f"API key not valid: {KEY}.", "status": "INVALID_ARGUMENT"}),
    ],
)
def test_a_key_that_is_refused_exits_4_and_is_not_shown(
    httpserver: HTTPServer, tmp_path: Path, status: int, error: dict[str, Any]
) -> None:
    httpserver.expect_request(STREAM, "POST").respond_with_json({"error": error}, status=status)
    done = chat(httpserver, tmp_path)
    assert (done.returncode, done.stdout) == (4, b"")
    assert KEY.encode() not in done.stderr


def test_google_api_key_wins_over_gemini_api_key(httpserver: HTTPServer, tmp_path: Path) -> None:
    serve_stream(httpserver, ENDED, key="AIza-google-key")
    done = chat(httpserver, tmp_path, GOOGLE_API_KEY="AIza-google-key")
    assert (done.returncode, done.stdout) == (0, SAID), done.stderr


def test_models_of_all_pages_are_listed(httpserver: HTTPServer, tmp_path: Path) -> None:
    def page(*names: str) -> list[dict[str, Any]]:
        return [{"name": f"models/{name}", "supportedGenerationMethods": ["generateContent"]} for name in names]

    first = {"models": page("gemini-a"), "nextPageToken": "more"}
    httpserver.expect_ordered_request("/v1beta/models", query_string="pageSize=1000").respond_with_json(first)
    second = httpserver.expect_ordered_request("/v1beta/models", query_string="pageSize=1000&pageToken=more")
    second.respond_with_json({"models": page("gemini-b")})
    done = run("models", "list", "gemini", server=httpserver, home=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert [line.split()[0] for line in done.stdout.splitlines()] == [b"gemini/gemini-a", b"gemini/gemini-b"]


def test_a_model_calls_a_function_and_gets_its_own_signature_back_with_the_result(
    httpserver: HTTPServer, tmp_path: Path
) -> None:
    (tmp_path / "tools.py").write_text('def add(a: int, b: int) -> int:\n    """Add."""\n    return a + b\n')
    function = {"name": "add", "args": {"a": 2, "b": 3}}
    calls: list[dict[str, Any]] = [
        {"text": "I think.", "thought": True},
        {"functionCall": function, "thoughtSignature": "c2ln"},
    ]
    called = {"candidates": [{"content": {"role": "model", "parts": calls}, "finishReason": "STOP"}]}
    for answer in (sse(called), ENDED):
        asked = httpserver.expect_ordered_request(STREAM, "POST")
        asked.respond_with_data(answer, content_type="text/event-stream")
    done = chat(httpserver, tmp_path, "--tool", str(tmp_path / "tools.py"), "--yes")

    assert (done.returncode, done.stdout) == (0, SAID), done.stderr
    first, second = (asked.get_json() for asked, _ in httpserver.log)
    (declared,) = first["tools"][0]["functionDeclarations"]
    assert (declared["name"], set(declared["parametersJsonSchema"]["properties"])) == ("add", {"a", "b"})
    assert second["tools"] == first["tools"]
    _, model, user = second["contents"]
    assert model == {"role": "model", "parts": calls}
    (result,) = user["parts"]
    assert user["role"] == "user"
    assert result["functionResponse"]["name"] == "add"
    assert "5" in result["functionResponse"]["response"]["output"]
