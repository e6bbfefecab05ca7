"""`llmcli models show`: all that is known of one model, and what is said of one that is not there."""

from collections.abc import Callable

import pytest

from tests.model_servers import configure, lists
from tests.program import Program
from tests.servers import Server, answers
from tests.terminal import on_terminal

Serve = Callable[..., Server]

ENTRY = {"id": "org/large", "name": "Large", "context_length": 8192, "max_output_tokens": 512, "created": 1767312000,
         "capabilities": ["chat", "tools"]}  # fmt: skip
PAGE = (
    "model: one/org/large\n"
    "name: Large\n"
    "context_length: 8192\n"
    "max_output_tokens: 512\n"
    "created: 2026-01-02\n"
    "capabilities: chat, tools\n"
    "source: live\n"
)


@pytest.fixture
def one(llmcli: Program, serve: Serve) -> Program:
    """A program with a provider that has a large model and a small one, which is its default and has a short name."""
    url = serve(answers(200, {"data": [ENTRY, {"id": "small"}]})).url
    llmcli.configure(
        f'[aliases]\nbig = "one/org/large"\n\n[providers.one]\nadapter = "openai-compatible"\nbase_url = "{url}"\n'
        'default_model = "small"\n'
    )
    return llmcli


def test_all_that_is_known_is_a_line_each_on_a_terminal_and_in_a_pipe(one: Program) -> None:
    assert one("models", "show", "one/org/large").text == PAGE
    assert on_terminal(one, "models", "show", "one/org/large").text == PAGE


def test_what_is_not_known_has_no_line(one: Program) -> None:
    assert one("models", "show", "one/small").text == "model: one/small\nsource: live\n"


def test_json_is_the_row_of_the_list(one: Program) -> None:
    shown = one("models", "show", "one/org/large", "--json").json

    assert shown in one("models", "list", "one", "--json").json
    assert (shown["id"], shown["created"]) == ("org/large", 1767312000)


def test_a_short_name_and_a_provider_s_default_are_shown_too(one: Program) -> None:
    assert one("models", "show", "big").text == PAGE
    assert one("models", "show", "one").text.startswith("model: one/small\n")


def test_a_provider_without_a_default_wants_a_model(llmcli: Program, serve: Serve) -> None:
    configure(llmcli, one=serve(lists("m")).url)
    done = llmcli("models", "show", "one")

    assert (done.status, done.text) == (3, "")
    assert "one has no default model" in done.err
    assert "`llmcli models list one` lists them" in done.err


def test_an_unknown_model_is_rejected_with_those_that_were_meant(one: Program) -> None:
    done = one("models", "show", "one/LARGE")

    assert (done.status, done.text) == (5, "")
    assert "one lists no model 'LARGE' [provider=one]" in done.err
    assert "did you mean one/org/large?" in done.err


def test_an_unknown_model_that_is_like_no_other_is_rejected_with_the_way_to_the_list(one: Program) -> None:
    done = one("models", "show", "one/zzzzzzzz", "--json")

    assert (done.status, done.out, done.error["name"]) == (5, b"", "rejected")
    assert "`llmcli models list one` lists them" in done.error["hint"]


def test_an_unknown_provider_is_an_error_of_the_configuration(one: Program) -> None:
    assert one("models", "show", "onne/small").status == 3


def test_the_tag_latest_of_ollama_need_not_be_said(llmcli: Program, serve: Serve) -> None:
    origin = serve(answers(200, {"models": [{"name": "qwen3:4b"}, {"name": "qwen3:latest"}]})).url.removesuffix("/v1")
    done = llmcli("models", "show", "ollama/qwen3", env={"OLLAMA_HOST": origin})

    assert (done.status, done.text.splitlines()[0]) == (0, "model: ollama/qwen3:latest")


def test_a_failure_of_the_service_is_its_own_error(llmcli: Program, serve: Serve) -> None:
    configure(llmcli, one=serve(answers(401, {"error": {"message": "no"}})).url)

    assert llmcli("models", "show", "one/m").status == 4
    assert llmcli("models", "show", "openai/gpt").status == 4  # no key at all


def test_a_model_that_the_configuration_names_is_shown_as_that(llmcli: Program) -> None:
    llmcli.configure('[providers.gateway]\nmodels = ["fast"]\n')

    assert llmcli("models", "show", "gateway/fast").text == "model: gateway/fast\nsource: configuration\n"
