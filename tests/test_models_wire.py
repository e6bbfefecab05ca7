"""
Lists of models as the services write them (wire-openai 7 and 8, wire-other), each read by its own adapter. Whatever
stands there, a list is read or an error is raised that says what is wrong.
"""

from contextlib import suppress
from typing import Any

import pytest

from llmcli import registry
from llmcli.config import Config
from llmcli.errors import AuthenticationFailed, LlmError, ProviderFailed
from llmcli.provider import HTTPProvider
from llmcli.providers.listed_models import moment, whole_number
from llmcli.types import Model, ProviderConfig


def adapter(provider_id: str) -> HTTPProvider:
    cls = registry.load(provider_id, Config(), {}, lambda: None)
    made = cls(ProviderConfig(provider_id, base_url="http://localhost/v1"))
    assert isinstance(made, HTTPProvider)
    return made


def read(provider_id: str, document: object) -> list[Model]:
    return list(adapter(provider_id).read_models(document).models)


# --- each service ---------------------------------------------------------------------------------

SERVICES: dict[str, tuple[str, Any, list[Model]]] = {
    "OpenAI": (
        "openai",
        {
            "object": "list",
            "data": [
                {"id": "gpt-x", "object": "model", "created": 1790000000, "owned_by": "openai", "shutdown_date": None}
            ],
        },
        [Model("gpt-x", created=1790000000)],
    ),
    "Together: a bare list": (
        "together",
        [
            {
                "id": "meta-llama/Llama-3.3-70B",
                "object": "model",
                "created": 0,
                "type": "chat",
                "display_name": "Llama 3.3 70B",
                "organization": "Meta",
                "context_length": 131072,
            },
            {"id": "BAAI/bge", "type": "embedding", "context_length": None},
        ],
        [
            Model("meta-llama/Llama-3.3-70B", "Llama 3.3 70B", 131072, capabilities=("chat",)),
            Model("BAAI/bge"),
        ],
    ),
    "Groq": (
        "groq",
        {"data": [{"id": "whisper", "active": True, "context_window": 448, "max_completion_tokens": 448}]},
        [Model("whisper", context_length=448, max_output_tokens=448)],
    ),
    "Mistral: aliases as duplicates": (
        "mistral",
        {
            "data": [
                {
                    "id": "mistral-large",
                    "name": "mistral-large",
                    "max_context_length": 131072,
                    "capabilities": {
                        "completion_chat": True,
                        "completion_fim": False,
                        "function_calling": True,
                        "vision": True,
                    },
                },
                {"id": "mistral-large", "name": "mistral-large", "max_context_length": 1},
            ]
        },
        [Model("mistral-large", context_length=131072, capabilities=("chat", "tools", "vision"))],
    ),
    "DeepSeek: no created": (
        "deepseek",
        {"data": [{"id": "deepseek-flash", "context_window": 131072, "max_output_tokens": 8192}]},
        [Model("deepseek-flash", context_length=131072, max_output_tokens=8192)],
    ),
    "OpenRouter": (
        "openrouter",
        {
            "data": [
                {
                    "id": "acme/one:free",
                    "name": "Acme: One (free)",
                    "created": 1790000000.0,
                    "context_length": 32768,
                    "architecture": {"modality": "text+image->text", "input_modalities": ["text", "image"]},
                    "pricing": {"prompt": "0"},
                    "top_provider": {"context_length": 32768, "max_completion_tokens": 4096},
                    "supported_parameters": ["temperature", "tools", "tool_choice", "reasoning", "structured_outputs"],
                },
                {"id": "acme/two", "architecture": {"modality": "text->text"}, "supported_parameters": None},
            ]
        },
        [
            Model(
                "acme/one:free",
                "Acme: One (free)",
                32768,
                4096,
                1790000000,
                ("tools", "thinking", "schema", "vision"),
            ),
            Model("acme/two"),
        ],
    ),
    "Fireworks": (
        "fireworks",
        {
            "data": [
                {
                    "id": "accounts/fireworks/models/x",
                    "created": "1790000000",
                    "supports_chat": True,
                    "supports_image_input": True,
                    "supports_tools": False,
                    "supports_warp": True,
                    "context_length": 4096,
                }
            ]
        },
        [Model("accounts/fireworks/models/x", None, 4096, None, 1790000000, ("chat", "vision"))],
    ),
    "Hugging Face: what each of the providers behind it has": (
        "huggingface-router",
        {
            "data": [
                {
                    "id": "org/name",
                    "architecture": {"input_modalities": ["text"]},
                    "providers": [
                        {"provider": "a", "status": "live", "context_length": 8192, "supports_tools": False},
                        {"provider": "b", "status": "live", "context_length": 32768, "supports_tools": True},
                        {"provider": "c", "supports_structured_output": True},
                        None,
                    ],
                }
            ]
        },
        [Model("org/name", context_length=32768, capabilities=("tools", "schema"))],
    ),
    "Gemini, in OpenAI's dialect: a prefix": (
        "gemini-openai",
        {"data": [{"id": "models/gemini-x", "display_name": "Gemini X"}, {"id": "gemini-x"}]},
        [Model("gemini-x", "Gemini X")],
    ),
    "Moonshot": (
        "moonshot",
        {"data": [{"id": "kimi", "supports_image_in": True, "supports_reasoning": True, "context_length": 262144}]},
        [Model("kimi", context_length=262144, capabilities=("vision", "thinking"))],
    ),
    "vLLM": (
        "vllm",
        {"data": [{"id": "/models/x", "root": "/models/x", "max_model_len": 8192, "permission": [{"id": "p"}]}]},
        [Model("/models/x", context_length=8192)],
    ),
    "llama.cpp: two lists in one": (
        "llamacpp",
        {
            "models": [{"name": "x.gguf", "capabilities": ["completion"]}],
            "data": [{"id": "x.gguf", "meta": {"n_ctx_train": 2048, "n_params": 1}, "status": {"value": "loaded"}}],
        },
        [Model("x.gguf", context_length=2048)],
    ),
    "Jan: next to nothing": ("jan", {"data": [{"id": "x", "object": "model"}]}, [Model("x")]),
    "LiteLLM: wildcards": ("litellm", {"data": [{"id": "openai/*"}]}, [Model("openai/*")]),
    "Ollama": (
        "ollama",
        {
            "models": [
                {
                    "name": "qwen3:latest",
                    "model": "qwen3:latest",
                    "modified_at": "2026-01-01T00:00:00Z",
                    "details": {"context_length": 40960, "families": None},
                    "capabilities": ["completion", "tools", "thinking"],
                },
                {"model": "only-model:1b"},
            ]
        },
        [
            Model("qwen3:latest", context_length=40960, capabilities=("chat", "tools", "thinking")),
            Model("only-model:1b"),
        ],
    ),
    "Ollama: names of a namespace stay whole": (
        "ollama",
        {"models": [{"name": "models/x:1b"}]},
        [Model("models/x:1b")],
    ),
    "Anthropic": (
        "anthropic",
        {
            "data": [
                {
                    "type": "model",
                    "id": "claude-x",
                    "display_name": "Claude X",
                    "created_at": "2026-01-02T00:00:00Z",
                    "max_input_tokens": 200000,
                    "max_tokens": 64000,
                    "capabilities": {"thinking": {"supported": True}, "batch": {"supported": False}, "odd": None},
                }
            ],
            "has_more": False,
        },
        [Model("claude-x", "Claude X", 200000, 64000, 1767312000, ("thinking",))],
    ),
    "Anthropic, in OpenAI's dialect": (
        "openai-compatible",
        {
            "data": [{"id": "claude-x", "created_at": "2026-01-02", "max_input_tokens": 9, "max_tokens": 5}],
            "has_more": True,
        },
        [Model("claude-x", None, 9, 5, 1767312000)],
    ),
}


@pytest.mark.parametrize(("provider_id", "document", "expected"), SERVICES.values(), ids=SERVICES)
def test_what_a_service_says_of_its_models_is_kept(provider_id: str, document: object, expected: list[Model]) -> None:
    assert read(provider_id, document) == expected


# --- what is odd anywhere -------------------------------------------------------------------------

READERS = ["openai", "together", "ollama", "anthropic"]


@pytest.mark.parametrize("provider_id", READERS)
@pytest.mark.parametrize("listed", [None, [], [None, 7, {}, [], {"id": None, "name": "", "model": 1}]])
def test_where_there_are_no_models_the_list_is_empty(provider_id: str, listed: object) -> None:
    key = "models" if provider_id == "ollama" else "data"
    assert read(provider_id, {key: listed}) == []


@pytest.mark.parametrize("provider_id", READERS)
def test_an_error_under_status_200_is_that_error(provider_id: str) -> None:
    with pytest.raises(AuthenticationFailed, match="bad key"):
        read(provider_id, {"error": {"type": "authentication_error", "message": "bad key", "code": "invalid_api_key"}})


@pytest.mark.parametrize("provider_id", ["ollama", "anthropic"])
@pytest.mark.parametrize("document", [None, [], "x", 7, {}, {"ok": True}, {"data": "x", "models": "x"}])
def test_what_is_no_list_at_all_is_an_error(provider_id: str, document: object) -> None:
    with pytest.raises(ProviderFailed, match="the list of models has no"):
        read(provider_id, document)


ODD: list[Any] = [
    None,
    True,
    -1,
    0,
    1.5,
    "soon",
    "",
    [],
    {},
    [[]],
    {"supported": True},
    10**400,
    float("1e300"),
    "9" * 99,
]
FIELDS = ("name", "display_name", "context_length", "max_output_tokens", "created", "created_at", "capabilities",
          "supported_parameters", "architecture", "providers", "top_provider", "meta", "details", "type",
          "max_input_tokens", "supports_tools")  # fmt: skip


@pytest.mark.parametrize("provider_id", READERS)
@pytest.mark.parametrize("field", FIELDS)
def test_a_field_of_any_type_leaves_the_model_in_the_list(provider_id: str, field: str) -> None:
    """P60: no field but the id is relied upon."""
    key = "models" if provider_id == "ollama" else "data"
    for value in ODD:
        (model,) = read(provider_id, {key: [{"id": "m", field: value}]})
        assert model.id == "m"
        numbers = (model.context_length, model.max_output_tokens, model.created)
        assert all(number is None or type(number) is int for number in numbers)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1790000000, 1790000000),
        (1790000000.0, 1790000000),
        ("1790000000", 1790000000),
        (1790000000123, 1790000000),
        ("2026-01-02T00:00:00Z", 1767312000),
        ("2026-01-02T01:00:00+01:00", 1767312000),
        ("2026-01-02T00:00:00", 1767312000),
        ("soon", None),
        ("", None),
        (0, None),
        (-5, None),
        (True, None),
        (None, None),
        (float("inf"), None),
    ],
)
def test_a_time_is_read_however_it_is_written(value: object, expected: int | None) -> None:
    assert moment(value) == expected


def test_of_several_numbers_the_first_that_is_one_is_taken() -> None:
    fields: dict[str, Any] = {"a": None, "b": {"c": 0}, "d": {"e": "8192"}, "f": 1}

    assert whole_number(fields, "a", "b.c", "d.e", "f") == 8192
    assert whole_number(fields, "a", "a.b", "b.c", "g") is None


@pytest.mark.parametrize("provider_id", sorted(set(registry.BUILT_IN) - {"echo", "gateway", "http"}))
def test_no_list_makes_a_built_in_provider_fail_with_a_bug(provider_id: str) -> None:
    """Either there are models, or the error is one of ours."""
    documents: tuple[object, ...] = (None, 7, "x", [[]], {"data": {"x": 1}}, {"data": [[1]]}, {"models": 7})
    for document in documents:
        with suppress(LlmError):
            assert all(model.id for model in read(provider_id, document))
