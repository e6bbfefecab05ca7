"""`chat --thinking` and `chat --complete`: how much to think, and bare text that is continued."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.program import Program
from tests.servers import Server, answers, completion, event, says, stream

Serve = Callable[..., Server]


def sent(llmcli: Program, serve: Serve, provider: str, *args: str) -> Any:
    """The request that a provider is sent, which answers `yes`."""
    server = serve(answers(200, completion("yes")))
    llmcli.configure(f'[providers.{provider}]\nbase_url = "{server.url}"\napi_key = {{ command = "echo sk-test-012" }}')
    done = llmcli("chat", "-n", "-p", provider, "-m", "m", "--no-stream", *args, "hi")
    assert done.status == 0, done.err
    return server.requests[0].json


@pytest.mark.parametrize(
    ("said", "field", "value"),
    [("low", "reasoning_effort", "low"), ("high", "reasoning_effort", "high"), ("off", "reasoning_effort", "none")],
)
def test_how_much_to_think_is_said_in_the_words_of_the_provider(
    llmcli: Program, serve: Serve, said: str, field: str, value: str
) -> None:
    assert sent(llmcli, serve, "openai", "--thinking", said)[field] == value


def test_a_number_of_tokens_is_a_level_where_there_are_levels_only(llmcli: Program, serve: Serve) -> None:
    assert sent(llmcli, serve, "openai", "--thinking", "1000")["reasoning_effort"] in ("low", "medium", "high")


@pytest.mark.parametrize("said", ["much", "-5", "0", "1.5", "9" * 5000])
def test_what_is_no_amount_of_thinking_is_refused(llmcli: Program, said: str) -> None:
    done = llmcli("chat", "-n", "-m", "echo", f"--thinking={said}", "hi")

    assert done.status == 2
    assert "should be off, low, medium, high, or a number of tokens" in done.err


def test_a_provider_that_does_not_think_refuses_to(llmcli: Program, serve: Serve) -> None:
    server = serve(says("never"))
    llmcli.configure(f'[providers.gateway]\nbase_url = "{server.url}"')

    done = llmcli("chat", "-n", "-m", "gateway/m", "--thinking", "low", "hi")

    assert done.status == 5
    assert server.requests == []


def test_bare_text_is_continued_as_it_is(llmcli: Program, serve: Serve) -> None:
    server = serve(
        stream(
            event({"choices": [{"text": " a time"}]}),
            event({"choices": [{"text": ".", "finish_reason": "stop"}]}),
            b"data: [DONE]\n\n",
        )
    )

    done = llmcli("chat", "-p", "openai-compatible", "--base-url", server.url, "-m", "m", "--complete",
                  stdin=b"Once upon\n")  # fmt: skip

    assert (done.status, done.text) == (0, " a time.")
    assert server.requests[0].path.endswith("/completions")
    assert "/chat/" not in server.requests[0].path
    assert server.requests[0].json["prompt"] == "Once upon\n"


@pytest.mark.parametrize("more", ["--system x", "--thinking low", "--schema name:str", "--attach notes.png"])
def test_bare_text_goes_without_what_a_chat_has(llmcli: Program, more: str) -> None:
    done = llmcli("chat", "-n", "-m", "echo", "--complete", *more.split(), "hi")

    assert done.status == 2
    assert "--complete and --" in done.err


def test_who_cannot_complete_bare_text_says_so(llmcli: Program) -> None:
    done = llmcli("chat", "-n", "-m", "echo", "--complete", "hi")

    assert done.status == 5
    assert "echo cannot complete bare text" in done.err
