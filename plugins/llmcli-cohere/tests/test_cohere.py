"""What both versions share: where the API is, what is sent, errors and models."""

import json
from typing import Any

import pytest
from llmcli.errors import (
    AuthenticationFailed,
    Busy,
    ConfigurationError,
    ContextTooLong,
    LlmError,
    ProviderFailed,
    QuotaExceeded,
    RequestRejected,
    UnknownModel,
    UsageError,
)
from llmcli.types import ChatRequest, Message, Model, ModelPage, ProviderConfig, message

from llmcli_cohere import Cohere

HELLO = (message("user", "hello"),)


def provider(base_url: str | None = None, **own: Any) -> Cohere:
    return Cohere(ProviderConfig("cohere", base_url=base_url, own=own, place="c.toml: providers.cohere"))


def request(*messages: Message, **settings: Any) -> ChatRequest:
    return ChatRequest("command-a-03-2025", messages or HELLO, **settings)


def body(**settings: Any) -> dict[str, Any]:
    sent = provider().chat_request(request(**settings), stream=False)
    assert sent.body is not None
    decoded: dict[str, Any] = json.loads(sent.body)
    return decoded


# --- where it is ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base_url", "own", "used"),
    [
        (None, {}, "https://api.cohere.com/v2/chat"),
        (None, {"api": "v1"}, "https://api.cohere.com/v1/chat"),
        ("https://api.cohere.ai/v1", {}, "https://api.cohere.ai/v1/chat"),
        ("https://api.cohere.ai/v1/", {}, "https://api.cohere.ai/v1/chat"),
        ("https://api.cohere.ai/v1/chat", {}, "https://api.cohere.ai/v1/chat"),
        ("https://api.cohere.ai/v2/chat/", {}, "https://api.cohere.ai/v2/chat"),
        ("https://api.cohere.ai/v1", {"api": "v2"}, "https://api.cohere.ai/v2/chat"),
        ("https://relay.example/cohere", {}, "https://relay.example/cohere/v2/chat"),
        ("https://relay.example/cohere/v2", {"api": "v1"}, "https://relay.example/cohere/v1/chat"),
    ],
)
def test_the_version_is_that_of_the_key_or_of_the_address(base_url: str | None, own: dict[str, Any], used: str) -> None:
    assert provider(base_url, **own).chat_request(request(), stream=False).url == used


def test_a_version_that_there_is_not_is_an_error_of_the_configuration() -> None:
    with pytest.raises(ConfigurationError, match=r"c\.toml: providers\.cohere\.api: 'v3' is none of v2, v1"):
        provider(api="v3")


def test_the_key_goes_behind_bearer() -> None:
    adapter = provider()
    sent = adapter.chat_request(request(), stream=False)
    assert "Authorization" not in sent.headers
    assert adapter.authorize(sent, "k").headers["Authorization"] == "Bearer k"
    assert adapter.api_key.env == ("CO_API_KEY", "COHERE_API_KEY")


# --- what is sent ---------------------------------------------------------------------------------


def test_what_nobody_said_is_not_sent() -> None:
    assert body() == {
        "model": "command-a-03-2025",
        "messages": [{"role": "user", "content": "hello"}],
        "stream": False,
    }


def test_settings_go_under_the_names_of_the_api() -> None:
    sent = body(max_tokens=5, temperature=0.0, top_p=0.75, seed=0, stop=("END", "\n"))
    assert {name: sent[name] for name in sent if name not in ("model", "messages", "stream")} == {
        "max_tokens": 5,
        "temperature": 0.0,
        "p": 0.75,
        "seed": 0,
        "stop_sequences": ["END", "\n"],
    }


def test_an_option_is_a_field_of_the_api_and_beats_a_setting() -> None:
    thinking = {"type": "enabled", "token_budget": 500}
    sent = body(temperature=0.1, options={"k": 50, "thinking": thinking, "temperature": 0.9})
    assert (sent["k"], sent["thinking"], sent["temperature"]) == (50, thinking, 0.9)


@pytest.mark.parametrize(
    "settings", [{"temperature": 1.1}, {"top_p": 0.0}, {"top_p": 1.0}, {"max_tokens": 0}, {"seed": -1}]
)
def test_a_setting_out_of_range_is_refused_before_it_is_sent(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="out of range"):
        provider().check(request(**settings))
    provider().check(request(temperature=1.0, top_p=0.01, seed=0))


def test_a_sixth_stop_text_is_refused_before_it_is_sent() -> None:
    provider().check(request(stop=tuple("abcde")))
    with pytest.raises(UsageError, match="at most 5 stop texts, and not 6"):
        provider().check(request(stop=tuple("abcdef")))


# --- errors ---------------------------------------------------------------------------------------

MINUTE = "You are using a Trial key, which is limited to 20 API calls / minute."
MONTH = "You are using a Trial key, which is limited to 1000 API calls / month."
TOO_LONG = "too many tokens: total number of tokens (prompt and prediction) cannot exceed 2048 - received 6354."


@pytest.mark.parametrize(
    ("status", "text", "expected"),
    [
        (400, "invalid request: temperature must be between 0 and 1.0 inclusive.", RequestRejected),
        (400, TOO_LONG, ContextTooLong),
        (401, "invalid api token", AuthenticationFailed),
        (402, "please add or update your payment method", QuotaExceeded),
        (403, "your API key is not allowed to do this", AuthenticationFailed),
        (404, "model 'command-z' not found, make sure the correct model ID was used", UnknownModel),
        (422, "invalid tool definition", RequestRejected),
        (429, MINUTE, Busy),
        (429, MONTH, QuotaExceeded),
        (498, "invalid token", AuthenticationFailed),
        (499, "request cancelled", ProviderFailed),
        (500, "internal server error", ProviderFailed),
        (501, "not implemented", ProviderFailed),
        (503, "service unavailable", Busy),
        (504, "gateway timeout", ProviderFailed),
    ],
)
def test_every_error_of_the_api_is_told_apart(status: int, text: str, expected: type[LlmError]) -> None:
    error = provider().read_error(status, {}, json.dumps({"id": "e1", "message": text}).encode())
    assert type(error) is expected
    assert text in error.message
    assert error.http_status == status


def test_that_a_prompt_is_too_long_is_said_once() -> None:
    error = provider().read_error(400, {}, json.dumps({"message": TOO_LONG}).encode())
    assert error.message == f"the prompt is too long for the model: {TOO_LONG}"


def test_an_error_may_come_without_its_id() -> None:
    assert "invalid api token" in provider().read_error(401, {}, b'{"message":"invalid api token"}').message


# --- models ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_models_that_chat_are_listed_page_by_page(api: str) -> None:
    """There is only one list of models, that of version 1."""
    adapter = provider(api=api)
    assert adapter.models_request().url == "https://api.cohere.com/v1/models?endpoint=chat&page_size=1000"
    assert adapter.models_request("a+b").url.endswith("&page_token=a%2Bb")
    listed: dict[str, Any] = {
        "models": [
            {
                "name": "command-a-03-2025",
                "endpoints": ["chat"],
                "context_length": 288000.0,
                "finetuned": False,
                "features": ["json_schema", "tools"],
            },
            {"name": "old", "endpoints": ["chat"], "context_length": float("inf"), "features": None},
        ],
        "next_page_token": "more",
    }
    models = (
        Model("command-a-03-2025", context_length=288000, capabilities=("chat", "schema", "tools")),
        Model("old", capabilities=("chat",)),
    )
    assert adapter.read_models(listed) == ModelPage(models, next="more")
    assert adapter.read_models({**listed, "next_page_token": ""}).next is None
    nothings: tuple[object, ...] = ([], None, [None, 7, {}])
    for nothing in nothings:
        assert adapter.read_models({"models": nothing}) == ModelPage(())


def test_a_list_that_is_none_is_an_error() -> None:
    documents: tuple[object, ...] = ({"message": "?"}, {"models": "none"}, [], None)
    for document in documents:
        with pytest.raises(ProviderFailed, match="no models"):
            provider().read_models(document)
