"""The services that speak OpenAI's dialect: each is where it says, takes its own key, and keeps its quirks."""

import inspect
import json
from typing import Any

import pytest

from llmcli.errors import AuthenticationFailed, ConfigurationError, RequestRejected, UnknownModel, UsageError
from llmcli.providers import vendors
from llmcli.providers.openai import OpenAI
from llmcli.providers.vendors import (
    AI21,
    XAI,
    ZAI,
    Azure,
    Cerebras,
    DeepSeek,
    Fireworks,
    GeminiOpenAI,
    Groq,
    LiteLLM,
    LMStudio,
    Moonshot,
    Nvidia,
    OpenAICompatible,
    OpenRouter,
    Perplexity,
)
from llmcli.retry import RetryPolicy
from llmcli.types import (
    ChatRequest,
    Json,
    Message,
    ProviderConfig,
    Text,
    Thinking,
    ThinkingEnd,
    ToolCall,
    ToolResult,
    Usage,
    message,
)
from tests.chat_streams import calls, delta, finish, metadata, read, text, thinking, usage

VENDORS = [
    vendor
    for _, vendor in inspect.getmembers(vendors, inspect.isclass)
    if issubclass(vendor, OpenAI) and vendor.__module__ == vendors.__name__
]
ELSEWHERE = [vendor for vendor in VENDORS if vendor not in (Azure, OpenAICompatible)]
LOCAL = {"lmstudio", "vllm", "llamacpp", "jan", "localai", "docker-model-runner", "litellm"}


def made(vendor: type[OpenAI], base_url: str | None = None, **own: Json) -> OpenAI:
    return vendor(ProviderConfig(vendor.id, base_url=base_url, own=own))


def body(vendor: type[OpenAI], *messages: Message, stream: bool = True, **settings: Any) -> dict[str, Any]:
    request = ChatRequest("m", messages or (message("system", "s"), message("user", "u")), **settings)
    sent = made(vendor, "http://localhost/v1").chat_request(request, stream=stream)
    assert sent.body is not None
    decoded: dict[str, Any] = json.loads(sent.body)
    return decoded


# --- all of them ----------------------------------------------------------------------------------


def test_every_vendor_is_there() -> None:
    """Under the id that a user types, and each only once."""
    ids = """azure together groq mistral deepseek openrouter xai fireworks perplexity cerebras nvidia ai21
        huggingface-router gemini-openai cohere-openai moonshot zai dashscope siliconflow lmstudio vllm llamacpp jan
        localai docker-model-runner litellm openai-compatible"""
    assert sorted(vendor.id for vendor in VENDORS) == sorted(ids.split())


@pytest.mark.parametrize("vendor", VENDORS)
def test_nothing_of_openais_own_reaches_another_company(vendor: type[OpenAI]) -> None:
    """Neither its key nor its address nor its headers."""
    assert "OPENAI_API_KEY" not in vendor.api_key.env
    assert "OPENAI_BASE_URL" not in vendor.base_url_env
    assert not {"organization", "project"} & vendor.config_keys.keys()
    provider = made(vendor, "http://localhost/v1", organization="o", project="p")
    sent = provider.chat_request(ChatRequest("m", ()), stream=True)
    assert not any(name.startswith("OpenAI-") for name in sent.headers)


@pytest.mark.parametrize("vendor", ELSEWHERE)
def test_a_vendor_has_an_address(vendor: type[OpenAI]) -> None:
    """In the cloud always over https; the local ones on this machine."""
    url = made(vendor).url("/chat/completions")
    assert url.startswith("http://localhost:" if vendor.id in LOCAL else "https://")


@pytest.mark.parametrize("vendor", ELSEWHERE)
def test_a_vendor_in_the_cloud_says_where_a_key_comes_from(vendor: type[OpenAI]) -> None:
    """A local server needs none."""
    assert vendor.api_key.required == (vendor.id not in LOCAL)
    if vendor.api_key.required:
        assert vendor.api_key.env
        assert "https://" in vendor.api_key.hint


@pytest.mark.parametrize("vendor", ELSEWHERE)
def test_a_vendor_gets_the_plainest_request_of_the_dialect(vendor: type[OpenAI]) -> None:
    """P50, P52: max_tokens and the system role, which only OpenAI itself refuses or calls otherwise."""
    sent = body(vendor, max_tokens=5)
    assert sent["max_tokens"] == 5
    assert sent["messages"] == [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]


@pytest.mark.parametrize("vendor", VENDORS)
def test_models_are_known_where_they_cannot_be_listed(vendor: type[OpenAI]) -> None:
    """And only there: a list of ours is out of date tomorrow."""
    listed = made(vendor, "http://localhost/v1").models_request() is not None
    assert listed == (not vendor.known_models)
    assert vendor.default_model is None or listed or vendor.default_model in vendor.known_models


# --- one server that has no class -----------------------------------------------------------------


def test_any_server_can_be_used() -> None:
    """It has no address, no key and no model until the user names them."""
    assert made(OpenAICompatible, "https://h/api/v7/").url("/models") == "https://h/api/v7/models"
    assert (OpenAICompatible.api_key.env, OpenAICompatible.api_key.required) == ((), False)
    with pytest.raises(ConfigurationError, match="has no base URL"):
        made(OpenAICompatible).models_request()


# --- Azure ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://r.openai.azure.com",
        "https://r.openai.azure.com/",
        "https://r.openai.azure.com/openai",
        "https://r.openai.azure.com/openai/v1/",
        "https://r.openai.azure.com/openai/v1/chat/completions",
        "https://r.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21",
    ],
)
def test_azures_endpoint_is_enough(endpoint: str) -> None:
    """The v1 API as a rule; the model of the body is the deployment."""
    sent = made(Azure, endpoint).chat_request(ChatRequest("d", ()), stream=False)
    assert sent.url == "https://r.openai.azure.com/openai/v1/chat/completions"
    assert sent.body is not None
    assert json.loads(sent.body)["model"] == "d"


@pytest.mark.parametrize("endpoint", ["https://openai.corp.example/gw", "https://openai.corp.example/gw/openai/v1"])
def test_azure_may_stand_behind_a_gateway(endpoint: str) -> None:
    """With a path of its own, and a host that is called openai."""
    assert made(Azure, endpoint).url("/models") == "https://openai.corp.example/gw/openai/v1/models"


def test_azures_older_api_is_used_when_its_version_is_given() -> None:
    """The deployment is in the address."""
    provider = made(Azure, "https://r.openai.azure.com", api_version="2024-10-21")
    sent = provider.chat_request(ChatRequest("my deployment/1", ()), stream=True)
    root = "https://r.openai.azure.com/openai"
    query = "?api-version=2024-10-21"
    assert sent.url == f"{root}/deployments/my%20deployment%2F1/chat/completions{query}"
    models = provider.models_request()
    assert models is not None
    assert models.url == f"{root}/models{query}"


def test_azures_key_has_a_header_of_its_own() -> None:
    """Not Authorization, which is for Entra tokens."""
    provider = made(Azure, "https://r.openai.azure.com")
    sent = provider.authorize(provider.chat_request(ChatRequest("d", ()), stream=False), "K")
    assert sent.headers["api-key"] == "K"
    assert "Authorization" not in sent.headers


# --- quirks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("vendor", [vendors.Mistral, Perplexity, Nvidia])
def test_stream_options_are_not_sent_where_they_are_refused_or_useless(vendor: type[OpenAI]) -> None:
    """P49."""
    assert "stream_options" not in body(vendor)


@pytest.mark.parametrize(
    ("vendor", "field"),
    [
        (DeepSeek, "reasoning_content"),
        (Moonshot, "reasoning_content"),
        (ZAI, "reasoning_content"),
        (OpenRouter, "reasoning"),
    ],
)
def test_reasoning_goes_back_with_tool_turns(vendor: type[OpenAI], field: str) -> None:
    """P47: DeepSeek answers 400 without it."""
    tools = Message("assistant", (Thinking("hm"), ToolCall("a", "f")))
    plain = Message("assistant", (Thinking("hm"), Text("Yes")))
    sent = body(vendor, tools, plain)["messages"]
    assert [turn.get(field) for turn in sent] == ["hm", None]


@pytest.mark.parametrize("vendor", [DeepSeek, Moonshot, ZAI])
def test_a_tool_turn_of_somebody_else_has_reasoning_too(vendor: type[OpenAI]) -> None:
    """P47: of another provider's, and of one that did not think, it is empty; elsewhere the key is left out."""
    tools = Message("assistant", (ToolCall("a", "f"),))
    plain = message("assistant", "Yes")
    assert [turn.get("reasoning_content") for turn in body(vendor, tools, plain)["messages"]] == ["", None]
    assert "reasoning" not in body(OpenRouter, tools)["messages"][0]


def test_a_call_that_no_gemini_made_goes_there_with_the_placeholder() -> None:
    """pipecat-ai/pipecat#5809: Gemini 3 refuses the first call of a turn without a signature."""
    signed = {"extra_content": {"google": {"thought_signature": "s"}}}
    placeholder = {"google": {"thought_signature": "skip_thought_signature_validator"}}
    theirs = Message("assistant", (ToolCall("a", "f", opaque=signed), ToolCall("b", "g")))
    others = Message("assistant", (ToolCall("a", "f"), ToolCall("b", "g")))

    def signatures(model: str) -> list[Any]:
        sent = made(GeminiOpenAI).chat_request(ChatRequest(model, (theirs, others)), stream=False)
        assert sent.body is not None
        turns = json.loads(sent.body)["messages"]
        return [call.get("extra_content") for turn in turns for call in turn["tool_calls"]]

    assert signatures("gemini-3.8-flash") == [signed["extra_content"], None, placeholder, None]
    assert signatures("gemini-2.5-pro") == [signed["extra_content"], None, None, None]


def test_what_claude_signed_goes_back_through_litellm() -> None:
    """8.2: the pieces of one block are joined, and come before the call that they led to; the text alone stays here."""
    blocks = [
        {"type": "thinking", "thinking": "a", "signature": None},
        {"type": "thinking", "thinking": "b", "signature": ""},
        {"type": "thinking", "thinking": "", "signature": "x"},
        {"type": "redacted_thinking", "data": "y"},
    ]
    called = [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}]
    events = read(
        made(LiteLLM),
        *(delta(reasoning_content=each.get("thinking"), thinking_blocks=[each]) for each in blocks),
        delta("tool_calls", tool_calls=called),
    )
    (ended,) = (event for event in events if isinstance(event, ThinkingEnd))
    sent = body(LiteLLM, Message("assistant", (Thinking("ab", ended.opaque), *calls(events))))["messages"][0]
    assert sent["thinking_blocks"] == [{"type": "thinking", "thinking": "ab", "signature": "x"}, blocks[3]]
    unsigned = body(LiteLLM, Message("assistant", (Thinking("ab"), *calls(events))))["messages"][0]
    assert unsigned.keys() == {"role", "tool_calls"}


@pytest.mark.parametrize(
    ("vendor", "field", "instead"),
    [(LiteLLM, "thinking_blocks", None), (OpenRouter, "reasoning_details", "hm")],
)
def test_what_one_model_signed_is_not_sent_to_another(vendor: type[OpenAI], field: str, instead: str | None) -> None:
    """As after /model in a conversation; and what is refused all the same is left out once."""
    called = Message("assistant", (Thinking("hm", {field: [{"signature": "x"}], "model": "m"}), ToolCall("c", "f")))
    messages = (message("user", "a"), called, Message("tool", (ToolResult("c", "f", "1"),)), message("user", "b"))
    asked = ChatRequest("m", (*messages, called, Message("tool", (ToolResult("c", "f", "1"),))))

    def sent(request: ChatRequest) -> list[Any]:
        content = made(vendor, "http://localhost/v1").chat_request(request, stream=True).body or b""
        return [each for each in json.loads(content)["messages"] if each["role"] == "assistant"]

    assert [each[field] for each in sent(asked)] == [[{"signature": "x"}]] * 2
    assert [each.get(field) for each in sent(asked._replace(model="other"))] == [None, None]
    assert sent(asked._replace(model="other"))[0].get("reasoning") == instead

    refusal = RequestRejected("AnthropicException - messages.1.content.0: Invalid `signature` in `thinking` block")
    adapted = made(vendor).adapt(asked, refusal)
    assert adapted is not None
    assert [each.get(field) for each in sent(adapted)] == [None, [{"signature": "x"}]], "the last turn wants its own"
    assert made(vendor).adapt(adapted, refusal) is None


@pytest.mark.parametrize("vendor", [Cerebras, Fireworks, XAI, LMStudio])
def test_reasoning_goes_back_nowhere_else(vendor: type[OpenAI]) -> None:
    """P51: Fireworks refuses unknown keys."""
    tools = Message("assistant", (Thinking("hm"), ToolCall("a", "f")))
    assert body(vendor, tools)["messages"][0].keys() == {"role", "tool_calls"}


def test_ai21_takes_no_more_than_4096_tokens() -> None:
    """For every model."""
    with pytest.raises(UsageError, match="between 1 and 4096"):
        made(AI21).check(ChatRequest("jamba-mini", (), max_tokens=5000))


def test_perplexitys_sources_are_metadata() -> None:
    """Its chunks repeat them, the usage and the text so far."""
    extras = {"citations": ["u"], "search_results": [{"url": "u"}], "usage": {"prompt_tokens": 1}}
    chunks = [{**delta("stop" if end else None, content=each), **extras} for each, end in (("a", 0), ("b", 1))]
    events = read(made(Perplexity), *chunks, done=False)
    assert text(events) == "ab"
    assert metadata(events) == {"model": "m", "id": "c1", "citations": ["u"], "search_results": [{"url": "u"}]}
    assert usage(events) == Usage(1)


def test_geminis_tool_calls_are_complete() -> None:
    """P24, P35, P47: no index, finish reason stop, and a signature that must go back."""
    signature = {"google": {"thought_signature": "s"}}
    both = [
        {"id": "", "type": "function", "function": {"name": "f", "arguments": "{}"}, "extra_content": signature},
        {"id": "", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]
    events = read(made(GeminiOpenAI), delta("stop", content="<thought>hm</thought>", tool_calls=both))
    assert thinking(events) == "hm"
    assert [(call.name, dict(call.opaque)) for call in calls(events)] == [
        ("f", {"extra_content": signature}),
        ("g", {}),
    ]
    assert finish(events).reason == "tool_calls"


@pytest.mark.parametrize(
    ("vendor", "status", "document", "error"),
    [
        (GeminiOpenAI, 400, [{"error": {"code": 400, "message": "API key not valid."}}], AuthenticationFailed),
        (AI21, 400, {"detail": "bad or missing authentication"}, AuthenticationFailed),
        (DeepSeek, 400, {"error": {"message": "Model Not Exist", "type": "invalid_request_error"}}, UnknownModel),
    ],
)
def test_the_odd_errors_of_a_vendor_are_understood(
    vendor: type[OpenAI], status: int, document: object, error: type[Exception]
) -> None:
    """P57: section 5."""
    assert type(made(vendor).read_error(status, {}, json.dumps(document).encode())) is error


def test_a_call_that_a_model_at_groq_wrote_wrongly_is_asked_for_once_more() -> None:
    """P55 (groq/groq-typescript#28)."""
    said = {"message": "Failed to call a function.", "code": "tool_use_failed", "failed_generation": "<function=f{"}
    with pytest.raises(RequestRejected) as caught:
        read(made(Groq), {"error": said})
    for error in (made(Groq).read_error(400, {}, json.dumps({"error": said}).encode()), caught.value):
        assert type(error) is RequestRejected
        assert RetryPolicy().pause(error, 1) is not None
        assert RetryPolicy().pause(error, 2, alike=1) is not None, "the first attempt found the service busy"
        assert RetryPolicy().pause(error, 2, alike=2) is None
        assert RetryPolicy(retries=0).pause(error, 1) is None
    firm = made(Groq).read_error(400, {"x-should-retry": "false"}, json.dumps({"error": said}).encode())
    assert RetryPolicy().pause(firm, 1) is None
    other = made(Groq).read_error(400, {}, b'{"error": {"message": "tools must be a list"}}')
    assert RetryPolicy().pause(other, 1) is None
