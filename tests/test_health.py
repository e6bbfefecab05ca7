"""`llmcli health`: is each provider there, and does it take the key."""

import os
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from tests.program import Program


def table(name: str, url: str, adapter: str = "openai-compatible") -> str:
    return f'[providers.{name}]\nadapter = "{adapter}"\nbase_url = "{url}"\napi_key = {{ env = "TEST_KEY" }}\n'


def test_a_provider_that_answers_is_well(llmcli: Program, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/v1/models", headers={"Authorization": "Bearer sk-test-1"}).respond_with_json(
        {"data": []}
    )
    llmcli.configure(table("mine", httpserver.url_for("/v1")))

    done = llmcli("health", "mine", "--json", env={"TEST_KEY": "sk-test-1"})

    (row,) = done.json
    assert done.status == 0
    assert (row["id"], row["ok"], row["reachable"], row["key_accepted"]) == ("mine", True, True, True)


def test_a_wrong_key_is_told_from_a_dead_server(llmcli: Program, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/v1/models").respond_with_json({"error": {"message": "bad key"}}, status=401)
    llmcli.configure(table("mine", httpserver.url_for("/v1")) + table("dead", "http://127.0.0.1:1/v1"))

    done = llmcli("health", "mine", "dead", "--json", env={"TEST_KEY": "sk-test-1"})

    mine, dead = done.json
    assert done.status == 8
    assert (mine["reachable"], mine["key_accepted"], mine["code"]) == (True, False, 4)
    assert (dead["reachable"], dead["key_accepted"], dead["code"]) == (False, None, 7)


def test_failures_of_one_kind_give_their_status(llmcli: Program) -> None:
    llmcli.configure(table("dead", "http://127.0.0.1:1/v1"))

    done = llmcli("health", "dead", env={"TEST_KEY": "sk-test-1"})

    assert done.status == 7
    assert "connection refused by 127.0.0.1:1" in done.err


def test_a_missing_key_is_said_without_asking_anybody(llmcli: Program, httpserver: HTTPServer) -> None:
    llmcli.configure(table("mine", httpserver.url_for("/v1")))

    done = llmcli("health", "mine", "--json")

    assert done.status == 4
    assert "TEST_KEY" in done.json[0]["problem"]
    assert httpserver.log == []


def test_without_names_the_configured_providers_and_echo_are_checked(llmcli: Program, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/v1/models").respond_with_json({"data": []})
    llmcli.configure(table("mine", httpserver.url_for("/v1")))

    done = llmcli("health", "--json", env={"TEST_KEY": "sk-test-1"})

    assert done.status == 0
    assert {row["id"] for row in done.json} == {"echo", "mine"}


@pytest.mark.parametrize(("body", "kind"), [("<html>hello</html>", "text/html"), ("hello", "text/plain"), ("", "a/b")])
def test_a_server_that_answers_anything_is_reachable(
    llmcli: Program, httpserver: HTTPServer, body: str, kind: str
) -> None:
    httpserver.expect_request("/v1/models").respond_with_data(body, content_type=kind)
    llmcli.configure(table("mine", httpserver.url_for("/v1")))

    done = llmcli("health", "mine", "--json", env={"TEST_KEY": "sk-test-1"})

    (row,) = done.json
    assert done.status == 8
    assert (row["ok"], row["reachable"], row["key_accepted"]) == (False, True, None)


@pytest.mark.parametrize("adapter", ["openrouter", "llamacpp"])
def test_where_anybody_may_list_the_models_the_key_is_unknown(
    llmcli: Program, httpserver: HTTPServer, adapter: str
) -> None:
    httpserver.expect_request("/v1/models").respond_with_json({"data": [{"id": "m"}]})
    llmcli.configure(table("mine", httpserver.url_for("/v1"), adapter))

    done = llmcli("health", "mine", "--json", env={"TEST_KEY": "wrong"})

    assert (done.status, done.json[0]["ok"], done.json[0]["key_accepted"]) == (0, True, None)


def test_where_only_a_chat_would_tell_the_key_is_unknown(llmcli: Program, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/api/").respond_with_data("hello", status=404)
    llmcli.configure(table("gate", httpserver.url_for("/api"), adapter="gateway"))

    done = llmcli("health", "gate", "--json", env={"TEST_KEY": "sk-test-1"})

    assert done.status == 0
    assert (done.json[0]["reachable"], done.json[0]["key_accepted"]) == (True, None)


def test_a_plugin_that_hangs_takes_no_time_from_the_others(llmcli: Program, tmp_path: Path) -> None:
    """And `--timeout` bounds the wait for it too."""
    (tmp_path / "hanging.py").write_text("import time; time.sleep(300)")
    info = tmp_path / "llmcli_hanging-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: llmcli-hanging\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[llmcli.providers]\nhanging = hanging:It\n")
    llmcli.env["PYTHONPATH"] += os.pathsep + str(tmp_path)
    llmcli.configure('default = "echo"')

    done = llmcli("health", "--timeout", "4", timeout=30)

    assert done.status == 0, done.err
    assert done.text.startswith("echo\tok")
    assert "hanging" in done.err
