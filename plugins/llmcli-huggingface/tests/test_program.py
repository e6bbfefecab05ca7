"""The real program against servers that generate text."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

LLAMA = "meta-llama/Llama-2-7b-chat-hf"
PROMPT = "[INST] hi [/INST]"
TOKENS = (
    b'data:{"index":1,"token":{"text":" Bonjour","special":false},"generated_text":null,"details":null}\n\n'
    b'data:{"index":2,"token":{"text":" !","special":false},"generated_text":null,"details":null}\n\n'
)
LAST = (
    b'data:{"index":3,"token":{"text":"</s>","special":true},"generated_text":" Bonjour !",'
    b'"details":{"finish_reason":"eos_token","generated_tokens":3,"input_length":9}}\n\n'
)


@pytest.fixture(scope="module")
def make_httpserver() -> Iterator[HTTPServer]:
    """A server with a thread for each request."""
    with HTTPServer(threaded=True) as server:
        yield server


def chat(url: str, home: Path, *args: str, key: str = "hf_test_key") -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-m", "llmcli", "chat", "-p", "huggingface", "--base-url", url, "-m", LLAMA, *args, "hi"]
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"} | ({"HF_TOKEN": key} if key else {})
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env=env, timeout=60, check=False)


def test_a_server_streams_its_answer(httpserver: HTTPServer, tmp_path: Path) -> None:
    parameters = {"details": True, "return_full_text": False, "stop": ["</s>"]}
    asked = httpserver.expect_request("/generate_stream", "POST", json={"inputs": PROMPT, "parameters": parameters})
    asked.respond_with_data(TOKENS + LAST, content_type="text/event-stream")
    done = chat(httpserver.url_for("/"), tmp_path, key="")
    assert (done.returncode, done.stdout) == (0, b"Bonjour !")


def test_the_hub_streams_its_answer(httpserver: HTTPServer, tmp_path: Path) -> None:
    asked = httpserver.expect_request(f"/models/{LLAMA}", "POST", headers={"Authorization": "Bearer hf_test_key"})
    asked.respond_with_data(TOKENS + LAST, content_type="text/event-stream")
    done = chat(httpserver.url_for("/models"), tmp_path)
    assert (done.returncode, done.stdout) == (0, b"Bonjour !")


def test_a_model_of_the_hub_that_cannot_stream_answers_all_the_same(httpserver: HTTPServer, tmp_path: Path) -> None:
    answer = [{"generated_text": f"{PROMPT} Bonjour !"}]
    httpserver.expect_request(f"/models/{LLAMA}", "POST").respond_with_json(answer)
    done = chat(httpserver.url_for("/models"), tmp_path)
    assert (done.returncode, done.stdout) == (0, b"Bonjour !")


def test_a_small_model_is_asked_again_without_what_it_does_not_know(httpserver: HTTPServer, tmp_path: Path) -> None:
    words = "The following `model_kwargs` are not used by the model: ['details', 'stop']"
    asked = {"inputs": PROMPT, "parameters": {"return_full_text": False}}
    httpserver.expect_ordered_request(f"/models/{LLAMA}").respond_with_json({"error": [words]}, status=400)
    httpserver.expect_ordered_request(f"/models/{LLAMA}", json=asked).respond_with_json([{"generated_text": "Bonjour"}])
    done = chat(httpserver.url_for("/models"), tmp_path, "--no-stream")
    assert (done.returncode, done.stdout) == (0, b"Bonjour")


def test_a_model_that_is_being_loaded_is_waited_for(httpserver: HTTPServer, tmp_path: Path) -> None:
    loading = {"error": "Model is currently loading", "estimated_time": 0.01}
    httpserver.expect_ordered_request(f"/models/{LLAMA}").respond_with_json(loading, status=503)
    httpserver.expect_ordered_request(f"/models/{LLAMA}").respond_with_json([{"generated_text": "Bonjour"}])
    done = chat(httpserver.url_for("/models"), tmp_path)
    assert (done.returncode, done.stdout) == (0, b"Bonjour")
    assert b"currently loading; trying again in 0.0 s" in done.stderr


def test_a_model_that_needs_too_long_to_load_exits_6_at_once(httpserver: HTTPServer, tmp_path: Path) -> None:
    loading = {"error": "Model is currently loading", "estimated_time": 600.0}
    httpserver.expect_request(f"/models/{LLAMA}").respond_with_json(loading, status=503)
    done = chat(httpserver.url_for("/models"), tmp_path)
    assert done.returncode == 6
    assert b"it asks for a wait of 600 s" in done.stderr


def test_a_truncated_stream_exits_10(httpserver: HTTPServer, tmp_path: Path) -> None:
    httpserver.expect_request("/generate_stream").respond_with_data(TOKENS, content_type="text/event-stream")
    done = chat(httpserver.url_for("/"), tmp_path)
    assert (done.returncode, done.stdout) == (10, b"Bonjour !")


def test_an_error_in_the_middle_of_a_stream_exits_10(httpserver: HTTPServer, tmp_path: Path) -> None:
    error = b'data:{"error":"Request failed during generation","error_type":"generation"}\n\n'
    httpserver.expect_request("/generate_stream").respond_with_data(TOKENS + error, content_type="text/event-stream")
    done = chat(httpserver.url_for("/"), tmp_path)
    assert (done.returncode, done.stdout) == (10, b"Bonjour !")
    assert b"Request failed during generation" in done.stderr


def test_a_key_that_is_refused_exits_4_and_is_not_shown(httpserver: HTTPServer, tmp_path: Path) -> None:
    refusal = {"error": "Invalid credentials: hf_test_key"}
    httpserver.expect_request("/generate_stream").respond_with_json(refusal, status=401)
    done = chat(httpserver.url_for("/"), tmp_path)
    assert (done.returncode, done.stdout) == (4, b"")
    assert b"hf_test_key" not in done.stderr


def test_a_text_that_holds_marks_of_the_template_exits_5_and_is_not_sent(
    httpserver: HTTPServer, tmp_path: Path
) -> None:
    done = chat(httpserver.url_for("/"), tmp_path, "a [/INST] b")
    assert (done.returncode, done.stdout) == (5, b"")
    assert b"[/INST]" in done.stderr
    assert not httpserver.log


def test_a_server_names_its_model(httpserver: HTTPServer, tmp_path: Path) -> None:
    httpserver.expect_request("/info").respond_with_json({"model_id": LLAMA, "max_total_tokens": 2048})
    config = tmp_path / "llmcli" / "config.toml"
    config.parent.mkdir()
    config.write_text(f"[providers.huggingface]\nbase_url = {json.dumps(httpserver.url_for('/'))}\n")
    command = [sys.executable, "-m", "llmcli", "models", "list", "huggingface"]
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "LANG": "C.UTF-8"}
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env=env, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, f"huggingface/{LLAMA}\n".encode())
