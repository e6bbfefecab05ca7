"""`llmcli health`: is each provider there, and does it take the key."""

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


def test_where_only_a_chat_would_tell_the_key_is_unknown(llmcli: Program, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/api/").respond_with_data("hello", status=404)
    llmcli.configure(table("gate", httpserver.url_for("/api"), adapter="gateway"))

    done = llmcli("health", "gate", "--json", env={"TEST_KEY": "sk-test-1"})

    assert done.status == 0
    assert (done.json[0]["reachable"], done.json[0]["key_accepted"]) == (True, None)
