"""What is wrong with a table is found when the provider is made; what only the descriptors tell, before it is asked."""

from pathlib import Path
from typing import Any

import pytest
from conftest import Asking
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_service import FILES, saying, serving
from llmcli.answer import Call, native_call
from llmcli.config import Config, provider_setup
from llmcli.deadlines import Deadlines
from llmcli.errors import Busy, ConfigurationError, LlmError, RequestRejected, UsageError
from llmcli.transport import Transport
from llmcli.types import Model, ProviderConfig, Timeouts, message

from llmcli_grpc import Grpc

TABLE = {"method": "/llm.v1.LLM/Generate", "request": "{model: model}", "delta": "text"}


def made(**changes: str | None) -> Grpc:
    table = {name: value for name, value in {**TABLE, **changes}.items() if value is not None}
    return Grpc(ProviderConfig("acme", own={"chat": table}, place="c.toml: providers.acme"))  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"delta": "text["}, "c.toml: providers.acme.chat.delta: it ends too early at column 6"),
        ({"delta": None}, "c.toml: providers.acme.chat.content is missing"),
        ({"usage": "nosuch(a)"}, "c.toml: providers.acme.chat.usage: unknown function nosuch() at column 1"),
        ({"request": "{model: modle}"}, "c.toml: providers.acme.chat.request: unknown name modle at column 9"),
        ({"request": "model"}, "c.toml: providers.acme.chat.request should make an object"),
        ({"request": None}, "c.toml: providers.acme.chat.request is missing"),
        ({"method": None}, "c.toml: providers.acme.chat.method is missing"),
        ({"method": "Generate"}, "c.toml: providers.acme.chat.method should look like /package.Service/Method"),
        ({"end": "[DONE]"}, "c.toml: providers.acme.chat.end should be an expression"),
    ],
)
def test_a_mistake_in_the_table_is_found_at_once_and_with_its_place(
    changes: dict[str, str | None], message: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        made(**changes)
    assert caught.value.message.startswith(message)


def test_a_mistyped_key_of_the_table_gets_the_nearest_name() -> None:
    tables = {"acme": {"adapter": "grpc", "chat": {**TABLE, "dleta": "text"}}}
    with pytest.raises(ConfigurationError, match=r"providers\.acme\.chat\.dleta") as caught:
        provider_setup(Config(providers=tables), "acme", Grpc, {})
    assert caught.value.hint == "did you mean delta?"


@pytest.mark.parametrize("scheme", ["grpc", "grpcs", "http", "https"])
def test_base_urls_may_have_the_schemes_of_grpc_and_of_the_web(scheme: str) -> None:
    url = f"{scheme}://models.test:50051"
    assert provider_setup(Config(), "grpc", Grpc, {}, base_url=url).config.base_url == url


def test_a_base_url_of_another_scheme_is_refused() -> None:
    with pytest.raises(UsageError, match="grpcs://"):
        provider_setup(Config(), "grpc", Grpc, {}, base_url="ftp://models.test")


def test_a_path_in_the_base_url_is_said_to_belong_to_the_method() -> None:
    with pytest.raises(ConfigurationError, match="has no path") as caught:
        Grpc(ProviderConfig("acme", "grpc://models.test:1/llm.v1.LLM"))
    assert caught.value.hint is not None
    assert "method" in caught.value.hint


def test_without_a_base_url_nothing_can_be_asked(ask: Asking) -> None:
    error = ask(Grpc(ProviderConfig("acme"))).error
    assert isinstance(error, ConfigurationError)
    assert "has no base URL" in error.message


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ({"temperature": 0.5}, "temperature"),
        ({"seed": 1}, "seed"),
        ({"options": {"top_k": 1}}, "options"),
        ({"messages": (message("system", "Be brief."), message("user", "hi"))}, "system"),
    ],
)
def test_what_the_request_has_no_place_for_is_refused_and_not_dropped(
    ask: Asking, said: dict[str, Any], what: str
) -> None:
    with pytest.raises(RequestRejected, match=f"cannot be told {what}"):
        next(ask.events(made(), **said))


# --- what the descriptors tell --------------------------------------------------------------------


def refused(ask: Asking, **own: Any) -> LlmError:
    """The error of a server that was asked for its reflection at most, and not for an answer."""
    with serving(saying({"text": "ok"})) as server:
        error = ask(ask.provider(server.base_url, **own)).error
    assert not server.requests
    assert error is not None
    return error


@pytest.mark.parametrize("by", ["reflection", "file"])
@pytest.mark.parametrize(
    ("method", "message", "hint"),
    [
        ("/llm.v1.LLM/Generat", "has no method 'Generat'", "did you mean Generate?"),
        ("/llm.v1.LLM/Zzz", "has no method 'Zzz'", "its methods: Generate, Ask"),
        ("/llm.v1.LMM/Generate", "there is no service 'llm.v1.LMM'", "did you mean llm.v1.LLM?"),
    ],
)
def test_a_method_that_does_not_exist_gets_near_names(
    ask: Asking, by: str, method: str, message: str, hint: str
) -> None:
    own = {"descriptor": ask.descriptor} if by == "file" else {}
    error = refused(ask, chat={**TABLE, "method": method}, **own)
    assert isinstance(error, ConfigurationError)
    assert error.message.startswith("c.toml: providers.grpc.chat.method")
    assert message in error.message
    assert error.hint == hint


@pytest.mark.parametrize(
    ("request_", "message", "hint"),
    [
        ("{model: model, max_token: `1`}", 'no field named "max_token"', "did you mean max_tokens?"),
        ("{model: model, messages: messages[].{rol: role}}", 'no field named "rol"', None),
        ("{model: `1.5`}", "model", None),
    ],
)
def test_a_request_that_does_not_fit_its_message_is_not_sent(
    ask: Asking, request_: str, message: str, hint: str | None
) -> None:
    error = refused(ask, chat={**TABLE, "request": request_})
    assert isinstance(error, ConfigurationError)
    assert error.message.startswith("c.toml: providers.grpc.chat.request does not fit llm.v1.GenerateRequest: ")
    assert message in error.message
    assert error.hint == hint


def test_an_option_that_the_message_does_not_have_is_not_sent(ask: Asking) -> None:
    with serving(saying({"text": "ok"})) as server:
        error = ask(ask.provider(server.base_url), options={"top_k": 5}).error
    assert not server.requests
    assert isinstance(error, ConfigurationError)
    assert "top_k" in error.message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read"),
        (b"\xff\xff", "holds no descriptors"),
        (FileDescriptorSet(file=FILES[:1]).SerializeToString(), "are not complete"),
    ],
)
def test_a_descriptor_file_that_is_missing_broken_or_not_complete(
    ask: Asking, tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "other.binpb"
    if content is not None:
        path.write_bytes(content)
    error = refused(ask, descriptor=str(path))
    assert isinstance(error, ConfigurationError)
    assert message in error.message


@pytest.mark.parametrize(
    "said", [{"messages": (message("user", "\ud800"),)}, {"temperature": float("nan")}], ids=["no UTF-8", "no number"]
)
def test_what_no_message_can_say_is_the_callers_mistake(ask: Asking, said: dict[str, Any]) -> None:
    with serving(saying({"text": "ok"})) as server:
        assert isinstance(ask(ask.provider(server.base_url), **said).error, UsageError)
    assert not server.asked


@pytest.mark.parametrize("headers", [{"X-Größe": "1"}, {"x-name": "Grüße"}, {"x-name": "a\nb"}, {"trace-bin": "AA"}])
def test_a_header_that_metadata_cannot_hold_is_refused_without_its_value(ask: Asking, headers: dict[str, str]) -> None:
    error = refused(ask, headers=headers)
    assert isinstance(error, ConfigurationError)
    assert "cannot go out as gRPC metadata" in error.message
    assert next(iter(headers.values())) not in error.message.replace(next(iter(headers)).lower(), "")


# --- health and models ----------------------------------------------------------------------------


def check(ask: Asking, url: str) -> LlmError | None:
    provider = ask.provider(url)
    call = native_call(provider, Call(Transport(env={})), Deadlines(Timeouts(), started=0), stream=False)
    try:
        provider.health_check(call)
    except LlmError as exc:
        return exc
    return None


@pytest.mark.parametrize("health", [b"\x08\x01", None])
def test_a_server_is_well_when_it_serves_or_has_no_health_service(ask: Asking, health: bytes | None) -> None:
    with serving(saying(), health=health) as server:
        assert check(ask, server.base_url) is None


def test_a_server_that_says_that_it_is_not_serving_is_not_well(ask: Asking) -> None:
    with serving(saying(), health=b"\x08\x02") as server:
        assert isinstance(check(ask, server.base_url), Busy)


def test_models_are_those_of_the_configuration() -> None:
    assert Grpc(ProviderConfig("acme", models=("a", "b"))).models(None) == [Model("a"), Model("b")]  # type: ignore[arg-type]
