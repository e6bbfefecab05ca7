"""`llmcli models`: what each provider offers, asked live."""

from collections.abc import Callable

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from tests.program import Program
from tests.servers import Server, answers


def configure(llmcli: Program, **urls: str) -> None:
    """A provider for each name, of the adapter before the underscore."""
    tables = [
        f'[providers.{name}]\nadapter = "{name.partition("_")[0].replace("compatible", "openai-compatible")}"\n'
        f'base_url = "{url}"\n'
        for name, url in urls.items()
    ]
    llmcli.configure("\n".join(tables))


def test_models_are_lines_that_grep_and_fzf_can_take(llmcli: Program, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/v1/models").respond_with_json({"data": [{"id": "small"}, {"id": "large"}]})
    configure(llmcli, compatible_a=httpserver.url_for("/v1"))

    done = llmcli("models", "list", "compatible_a")

    assert (done.status, done.text) == (0, "compatible_a/small\ncompatible_a/large\n")


def test_models_alone_asks_every_configured_provider(llmcli: Program, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/v1/models").respond_with_json([{"id": "small", "context_length": 4096}])
    httpserver.expect_request("/api/tags").respond_with_json({"models": [{"name": "qwen3:latest"}]})
    configure(llmcli, compatible_a=httpserver.url_for("/v1"), ollama=httpserver.url_for("/"))

    done = llmcli("models")

    assert done.status == 0
    assert set(done.text.split()) == {"echo/echo", "compatible_a/small", "ollama/qwen3:latest"}


def test_models_as_json_hold_what_is_known(llmcli: Program, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/v1/models").respond_with_json([{"id": "small", "context_length": 4096}])
    configure(llmcli, compatible_a=httpserver.url_for("/v1"))

    (model,) = llmcli("models", "list", "compatible_a", "--json").json

    assert (model["provider"], model["id"], model["context_length"]) == ("compatible_a", "small", 4096)


def test_anthropic_s_pages_are_all_read(llmcli: Program, httpserver: HTTPServer) -> None:
    def page(request: Request) -> Response:
        first = "after_id" not in request.args
        body = (
            '{"data": [{"id": "one"}], "has_more": true, "last_id": "one"}'
            if first
            else '{"data": [{"id": "two"}], "has_more": false}'
        )
        return Response(body, content_type="application/json")

    httpserver.expect_request("/v1/models").respond_with_handler(page)
    llmcli.configure(
        f'[providers.claude]\nadapter = "anthropic"\nbase_url = "{httpserver.url_for("/")}"\n'
        'api_key = { env = "CLAUDE_KEY" }\n'
    )

    done = llmcli("models", "list", "claude", env={"CLAUDE_KEY": "sk-ant-test"})

    assert (done.status, done.text) == (0, "claude/one\nclaude/two\n")


def test_a_service_without_a_list_shows_the_configured_names(llmcli: Program) -> None:
    llmcli.configure('[providers.gateway]\nmodels = ["fast", "good"]\n')

    assert llmcli("models", "list", "gateway").text == "gateway/fast\ngateway/good\n"


def test_a_dead_provider_is_one_line_on_stderr_and_the_rest_is_listed(llmcli: Program, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/v1/models").respond_with_json({"data": [{"id": "small"}]})
    configure(llmcli, compatible_a=httpserver.url_for("/v1"), compatible_dead="http://127.0.0.1:1/v1")

    done = llmcli("models", "list", "compatible_a", "compatible_dead")

    assert done.status == 7
    assert done.text == "compatible_a/small\n"
    assert "connection refused by 127.0.0.1:1" in done.err
    assert "provider=compatible_dead" in done.err


def test_providers_that_fail_alike_give_their_common_status(llmcli: Program) -> None:
    configure(llmcli, compatible_x="http://127.0.0.1:1/v1", compatible_y="http://127.0.0.1:1/v1")

    assert llmcli("models", "list", "compatible_x", "compatible_y").status == 7


def test_providers_that_fail_in_different_ways_give_status_8(llmcli: Program, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/v1/models").respond_with_json({"error": {"message": "no"}}, status=401)
    configure(llmcli, compatible_x="http://127.0.0.1:1/v1", compatible_y=httpserver.url_for("/v1"))

    assert llmcli("models", "list", "compatible_x", "compatible_y").status == 8


def test_one_without_its_key_does_not_stop_the_others(llmcli: Program) -> None:
    done = llmcli("models", "list", "openai", "echo")

    assert (done.status, done.text) == (4, "echo/echo\n")
    assert "no key for openai" in done.err
    assert "provider=openai]" in done.err


def test_a_configured_provider_that_is_wrong_is_said_and_the_others_are_listed(llmcli: Program) -> None:
    """One that only lacks its key is passed over, as those are that nobody has configured."""
    llmcli.configure('[providers.work]\nadapter = "opnai"\n\n[providers.openai]\ndefault_model = "gpt"\n')

    done = llmcli("models")

    assert (done.status, done.text) == (3, "echo/echo\n")
    assert "unknown provider 'opnai'" in done.err
    assert "openai]" not in done.err


def test_the_names_of_models_cannot_play_with_the_terminal(llmcli: Program, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/v1/models").respond_with_json({"data": [{"id": "small\x1b[2J\u202egpj"}]})
    configure(llmcli, compatible_a=httpserver.url_for("/v1"))

    done = llmcli("models", "list", "compatible_a", "--json")

    assert done.json[0]["id"] == "small\x1b[2J\u202egpj"
    assert set("\x1b\u202e").isdisjoint(done.text)


@pytest.mark.parametrize("body", ["<html>hello</html>", "", "null"])
def test_a_list_that_is_none_is_no_traceback(llmcli: Program, httpserver: HTTPServer, body: str) -> None:
    httpserver.expect_request("/v1/models").respond_with_data(body)
    configure(llmcli, compatible_a=httpserver.url_for("/v1"))

    done = llmcli("models", "list", "compatible_a")

    assert done.status == (0 if body == "null" else 8)
    assert "Traceback" not in done.err


def test_an_unknown_provider_is_named_with_the_nearest(llmcli: Program) -> None:
    done = llmcli("models", "list", "opnai")

    assert done.status == 3
    assert "did you mean openai" in done.err


def test_the_provider_of_the_default_is_among_those_that_are_asked(
    llmcli: Program, serve: Callable[..., Server]
) -> None:
    """Ollama needs neither a key nor a table: that somebody has chosen it says that it is there."""
    server = serve(answers(200, {"models": [{"name": "llama3.2"}]}))
    env = {"OLLAMA_HOST": f"127.0.0.1:{server.port}"}
    assert "ollama/llama3.2" not in llmcli("models", env=env).text.splitlines()

    llmcli("providers", "use", "ollama/llama3.2", env=env)

    assert "ollama/llama3.2" in llmcli("models", env=env).text.splitlines()
    assert "ollama" in [row["id"] for row in llmcli("health", "--json", env=env).json]


def test_the_default_model_of_a_provider_without_a_list_can_be_shown(llmcli: Program) -> None:
    llmcli("providers", "add", "acme", "--base-url", "http://127.0.0.1:1", "--default-model", "large",
           "--path", "/chat", "--request", "{q: prompt}", "--content", "text")  # fmt: skip

    assert llmcli("models", "show", "acme", "--json").json["id"] == "large"
    assert llmcli("models", "show", "acme/other").status == 5


def test_a_command_that_prints_a_key_has_no_more_time_than_the_list(llmcli: Program) -> None:
    """It is run once, and does not live on."""
    llmcli.configure(
        '[providers.slow]\nadapter = "openai-compatible"\nbase_url = "http://127.0.0.1:1"\n'
        'api_key = { command = "sleep 777" }\n'
    )

    done = llmcli("models", "list", "slow", "--timeout", "0.2", timeout=15)

    assert done.status == 4
    assert "the key command failed: TimeoutExpired: sleep" in done.err


def test_a_time_that_is_none_is_refused(llmcli: Program) -> None:
    assert llmcli("models", "list", "echo", "--timeout", "nan").status == 2
