"""What `chat`, `health` and `providers login` say where nothing is configured: what would work, and which command."""

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from llmcli.commands.discover import Found, Looked, look_around
from llmcli.config import Config
from llmcli.world import World
from tests.program import Program
from tests.servers import Server, answers
from tests.shell import Shell

Serve = Callable[..., Server]

CANARY = "sk-canary-5d1f0c5a"
LIST = {"object": "list", "data": [{"id": "llama-3.2-3b", "object": "model", "owned_by": "organization_owner"}]}


def looked(providers: dict[str, Any] | None = None, **env: str) -> Looked:
    """What is found with these tables, which move a server from its port to one of the test's own."""
    world = World(env, None, stdin=None, started=0)
    return look_around(Config(providers=providers or {}), world)


def found_at(provider_id: str, url: str) -> list[Found]:
    """What is found where a provider's server is at this address; whatever runs at the usual ports is left out."""
    found = looked({provider_id: {"base_url": url}}).found
    port = url.split(":")[2].partition("/")[0]
    return [each for each in found if f":{port}" in each.why]


@pytest.mark.parametrize("provider_id", ["lmstudio", "vllm", "llamacpp", "jan", "localai", "litellm"])
def test_a_server_that_lists_models_works_at_once(serve: Serve, provider_id: str) -> None:
    server = serve(answers(200, LIST))

    (found,) = found_at(provider_id, server.url)

    assert found.works
    assert found.provider_id == provider_id
    assert found.command == f"llmcli providers use {provider_id}/llama-3.2-3b"
    assert "with one model" in found.why


def test_ollama_is_found_where_ollama_host_says_it_is(serve: Serve) -> None:
    server = serve(answers(200, {"models": [{"name": "llama3.2:latest", "model": "llama3.2:latest"}]}))

    found = looked(OLLAMA_HOST=f"127.0.0.1:{server.port}").found

    assert server.requests[0].path == "/api/tags"
    assert Found("ollama", f"it answers at 127.0.0.1:{server.port}, with one model",
                 "llmcli providers use ollama/llama3.2:latest", works=True) in found  # fmt: skip


def test_a_server_elsewhere_is_not_asked_but_told(serve: Serve) -> None:
    way_out = serve(answers(200, {"models": [{"name": "m", "model": "m"}]}))
    elsewhere = {"lmstudio": {"base_url": "http://lmstudio.example.invalid/v1"}}
    way = f"http://127.0.0.1:{way_out.port}"

    found = looked(elsewhere, OLLAMA_HOST="ollama.example.invalid:11434", HTTP_PROXY=way).found

    assert [each.why for each in found if each.provider_id == "ollama"] == [
        "OLLAMA_HOST says where it is, on another machine"
    ]
    assert "lmstudio" not in [each.provider_id for each in found]
    assert way_out.accepted == 0


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, "<html>hello</html>", "text/html"),
        (200, {"hello": "world"}, "application/json"),
        (200, "[", "application/json"),
        (404, {"error": "not found"}, "application/json"),
        (401, "<html>password?</html>", "text/html"),
        (302, "", "text/html"),
        (200, {"object": "list", "data": []}, "application/json"),
    ],
)
def test_a_server_that_can_answer_no_chat_is_not_told(serve: Serve, status: int, body: Any, kind: str) -> None:
    server = serve(answers(status, body, kind))

    assert found_at("lmstudio", server.url) == []
    assert len(server.requests) == 1


def test_a_server_that_wants_a_key_is_told_with_what_is_missing(serve: Serve) -> None:
    server = serve(answers(401, {"error": {"message": "invalid API key"}}))

    (found,) = found_at("jan", server.url)

    assert (found.works, found.command) == (False, "llmcli providers use jan/MODEL")
    assert "wants a key" in found.why


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes every connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_server_that_says_nothing_is_not_waited_for(silent: int) -> None:
    assert found_at("vllm", f"http://127.0.0.1:{silent}/v1") == []


def test_llama_cpp_is_known_by_its_models_wherever_it_listens(serve: Serve, sh: Shell) -> None:
    server = serve(answers(200, {"data": [{"id": "a model's.gguf", "owned_by": "llamacpp"}]}))

    (found,) = found_at("localai", server.url)
    done = sh(found.command)

    assert found.provider_id == "llamacpp"
    assert done.status == 0, done.err
    assert "the default is llamacpp" in done.text
    sent = sh.program("chat", "-n", "--dry-run", "hi").text
    assert server.url in sent
    assert "a model's.gguf" in sent


def test_the_command_of_a_server_makes_its_model_the_default(serve: Serve, sh: Shell) -> None:
    server = serve(answers(200, {"models": [{"name": "llama3.2:latest", "model": "llama3.2:latest"}]}))
    here = f"127.0.0.1:{server.port}"
    (command,) = [each.command for each in looked(OLLAMA_HOST=here).found if each.provider_id == "ollama"]

    done = sh(command)

    assert (done.status, done.text.split("\n")[0]) == (0, "the default is ollama/llama3.2:latest")


def test_a_key_in_the_environment_is_found_by_its_name_only() -> None:
    world = looked(OPENAI_API_KEY=CANARY, GROQ_API_KEY=CANARY, ANTHROPIC_API_KEY="  ")
    found = {each.provider_id: each for each in world.found}

    assert found["openai"] == Found("openai", "OPENAI_API_KEY is set", "llmcli providers use openai", works=True)
    assert found["groq"].command == "llmcli providers use groq/MODEL"
    assert "anthropic" not in found
    assert CANARY not in json.dumps(world)


def test_what_was_looked_for_is_told() -> None:
    servers, variables = looked().looked_for

    for name in ("Ollama 11434", "LM Studio 1234", "vLLM 8000", "Jan 1337", "llama.cpp or LocalAI 8080"):
        assert name in servers
    assert "environment variables" in variables


# --- chat -----------------------------------------------------------------------------------------


def test_a_chat_without_any_set_up_says_what_was_looked_for_and_what_mends_it(llmcli: Program) -> None:
    done = llmcli("chat", "-n", "hi")

    assert (done.status, done.out) == (3, b"")
    first, hint = done.err.splitlines()
    assert first.startswith("llmcli: no model is chosen")
    assert hint.startswith("hint: `llmcli providers ")
    assert '`llmcli chat -m echo "hi"`' in hint


def test_a_chat_without_a_default_names_what_could_be_it(llmcli: Program, serve: Serve) -> None:
    server = serve(answers(200, {"models": [{"name": "llama3.2:latest", "model": "llama3.2:latest"}]}))

    done = llmcli("chat", "-n", "hi", env={"OLLAMA_HOST": f"127.0.0.1:{server.port}", "GROQ_API_KEY": CANARY})

    assert done.status == 3
    assert f"ollama could be it: it answers at 127.0.0.1:{server.port}, with one model" in done.err
    assert "`llmcli providers use ollama/llama3.2:latest`" in done.err
    assert CANARY not in done.err


def test_with_json_what_mends_it_is_in_the_error(llmcli: Program) -> None:
    done = llmcli("chat", "-n", "--json", "hi", env={"OPENAI_API_KEY": CANARY})

    assert (done.status, done.error["code"]) == (3, 3)
    assert "`llmcli providers " in done.error["hint"]


def test_a_chat_that_names_its_model_looks_for_nothing(llmcli: Program, serve: Serve) -> None:
    server = serve(answers(200, LIST))
    env = {"OLLAMA_HOST": f"127.0.0.1:{server.port}"}

    assert llmcli("chat", "-n", "-m", "echo", "hi", env=env).status == 0
    assert llmcli("chat", "-n", "hi", env={**env, "LLMCLI_MODEL": "echo"}).status == 0
    assert server.accepted == 0


def test_who_has_set_something_up_is_told_to_choose_it(llmcli: Program) -> None:
    llmcli("providers", "add", "work", "--base-url", "http://127.0.0.1:1/v1", "--default-model", "m")
    done = llmcli("chat", "-n", "hi")
    assert done.status == 3
    assert "there is no default; set up: work" in done.err
    assert "`llmcli providers use work` makes one the default" in done.err


def test_a_key_that_is_kept_counts_as_set_up(llmcli: Program) -> None:
    llmcli("providers", "login", "openai", "--no-test", stdin=b"sk-kept-0123456789")

    assert "set up: openai" in llmcli("chat", "-n", "hi").err
