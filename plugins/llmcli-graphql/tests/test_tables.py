"""Tables: what they make of a request, and their mistakes, which are found before anything is sent."""

import json
import re
import tomllib
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from llmcli.config import Config, provider_setup
from llmcli.errors import ConfigurationError, RequestRejected
from llmcli.types import ChatRequest, message

from llmcli_graphql.over_http import GraphQL
from llmcli_graphql.over_websocket import GraphQLWebSocket

ASKED = ChatRequest("m", (message("user", "hi"),))
CHAT = {"query": "query Ask($p: String!) { ask(p: $p) }", "variables": "{p: prompt}", "content": "ask"}
STREAM = {"query": "subscription S($p: String!) { tokens(p: $p) }", "delta": "tokens"}


def provider(cls: Any = GraphQL, **tables: Any) -> Any:
    table = {"base_url": "https://acme.example/graphql", **tables}
    config = Config(providers={"acme": table}, sources={"acme": "config.toml"})
    return cls(provider_setup(config, "acme", cls, {}).config)


def mistake(cls: Any = GraphQL, **tables: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        provider(cls, **tables)
    return caught.value.message


def sent(adapter: GraphQL, *, stream: bool = False) -> Any:
    return json.loads(adapter.chat_request(ASKED, stream=stream).body or b"")


# --- requests -------------------------------------------------------------------------------------


def test_a_request_is_the_document_and_its_variables_and_nothing_else() -> None:
    assert sent(provider(chat=CHAT)) == {"query": CHAT["query"], "variables": {"p": "hi"}}


def test_an_operation_of_several_is_named() -> None:
    assert sent(provider(chat={**CHAT, "operation": "Ask"}))["operationName"] == "Ask"


def test_a_stream_has_the_chats_variables_but_not_its_operation() -> None:
    adapter = provider(chat={**CHAT, "operation": "Ask"}, stream=STREAM)

    assert sent(adapter, stream=True) == {"query": STREAM["query"], "variables": {"p": "hi"}}


def test_variables_of_a_stream_replace_those_of_the_chat_whole() -> None:
    adapter = provider(chat=CHAT, stream={**STREAM, "variables": "{q: prompt}"})

    assert sent(adapter, stream=True)["variables"] == {"q": "hi"}


def test_subscriptions_may_live_at_a_path_of_their_own() -> None:
    adapter = provider(chat=CHAT, stream={**STREAM, "path": "/stream"})

    assert adapter.chat_request(ASKED, stream=True).url == "https://acme.example/graphql/stream"
    assert adapter.chat_request(ASKED, stream=False).url == "https://acme.example/graphql"


@pytest.mark.parametrize("cls", [GraphQL, GraphQLWebSocket])
def test_without_a_subscription_it_cannot_stream(cls: Any) -> None:
    assert not provider(cls, chat=CHAT).capabilities.stream
    assert provider(cls, chat=CHAT, stream=STREAM).capabilities.stream


@pytest.mark.parametrize("cls", [GraphQL, GraphQLWebSocket])
def test_what_no_variable_takes_is_refused_and_not_dropped(cls: Any) -> None:
    made = provider(cls, chat=CHAT)
    ask = made.check if cls is GraphQLWebSocket else partial(made.chat_request, stream=False)

    with pytest.raises(RequestRejected, match="cannot be told temperature") as caught:
        ask(ASKED._replace(temperature=0.5))
    assert caught.value.hint == "use temperature in config.toml: providers.acme.chat.variables"


def test_only_the_api_of_the_guide_has_a_default_model() -> None:
    assert provider().default_model == "default"
    assert provider(default_model="large").default_model == "large"
    assert provider(chat={**CHAT, "variables": "{p: prompt, m: model}"}).default_model is None


# --- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"chat": {"query": "{ a }", "content": "a"}}, "chat.variables is missing"),
        ({"chat": {**CHAT, "query": " "}}, "chat.query is missing"),
        ({"chat": {"query": "{ a }", "variables": "{p: prompt}"}}, "chat.content is missing"),
        ({"chat": {**CHAT, "variables": "prompt"}}, "chat.variables should make an object"),
        ({"chat": {**CHAT, "variables": "{p: promt}"}}, "chat.variables: unknown name promt at column 5"),
        ({"chat": {**CHAT, "content": "ask..a"}}, "chat.content: unexpected"),
        ({"chat": CHAT, "stream": {"delta": "a"}}, "stream.query is missing"),
        ({"chat": CHAT, "stream": {**STREAM, "end": "done"}}, "stream.end may only be"),
        ({"chat": {**CHAT, "query": "{ ask { ... @defer { b } } }"}}, "chat.query uses @defer"),
        ({"chat": {**CHAT, "query": "{ ask @stream(initialCount: 1) }"}}, "chat.query uses @stream"),
        ({"chat": CHAT, "error_codes": {"SLOW": 200}}, "error_codes.SLOW should be the status of an error"),
        ({"chat": CHAT, "error_codes": {"SLOW": "429"}}, "error_codes.SLOW should be the status of an error"),
        ({"chat": {**CHAT, "querry": "{ a }"}}, "unknown key providers.acme.chat.querry"),
    ],
)
@pytest.mark.parametrize("cls", [GraphQL, GraphQLWebSocket])
def test_a_mistake_is_named_with_its_key(cls: Any, tables: Any, said: str) -> None:
    assert said in mistake(cls, **tables)


def test_a_directive_in_a_comment_is_none() -> None:
    provider(chat={**CHAT, "query": "query Ask($p: String!) { ask(p: $p) } # without @defer"})


@pytest.mark.parametrize(
    ("init", "said"),
    [
        ("{a: kee}", "init: unknown name kee at column 5"),
        ("key", "init should make an object, but it makes a string"),
        ("{a: prompt}", "init: unknown name prompt"),
    ],
)
def test_a_mistake_in_the_first_message_is_named_without_the_key(init: str, said: str) -> None:
    assert said in mistake(GraphQLWebSocket, chat=CHAT, init=init)


def test_the_tables_of_the_readme_are_tables() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    blocks = re.findall(r"```toml\n(.*?)```", readme, re.DOTALL)
    first, chat, stream, over_websocket = (tomllib.loads(block) for block in blocks)
    tables = {**chat["providers"]["acme"], **stream["providers"]["acme"]}

    assert provider(**first["providers"]["acme"]).default_model == "default"
    assert sent(provider(**tables))["variables"] == {"prompt": "hi"}
    assert provider(**tables).capabilities.stream
    provider(GraphQLWebSocket, **tables, **over_websocket["providers"]["acme"])
