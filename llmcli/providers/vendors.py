"""
Services that speak OpenAI's chat completions, each with the quirks that it really has. Layer 2: knows the contract and
the dialect in `openai.py`.

`OpenAICompatible` is what they have in common, and the provider for any server that has no class here.
"""

import re
from collections.abc import Iterable, Mapping
from typing import ClassVar
from urllib.parse import quote, urlencode, urlsplit

from llmcli.errors import RequestRejected, UsageError
from llmcli.provider import ApiKey, Capabilities, ConfigKey, Setting
from llmcli.providers import thinking_control
from llmcli.providers.chat_reader import JsonObject
from llmcli.providers.openai import IMAGES, MEGABYTE, PDF, SOUNDS, OpenAI
from llmcli.providers.think_tags import ThinkTags
from llmcli.providers.tool_calls import CallIds
from llmcli.types import ChatRequest, HttpRequest, Message, Thinking

_HOSTED = Capabilities(thinking=True, vision=True, tools=True, schema=True)  # what a large service has
_JSON_ONLY = Capabilities(thinking=True, vision=True, tools=True)  # the same, but a schema is only asked for in words
_SMALL = dict.fromkeys(IMAGES, 10 * MEGABYTE)
_LARGE = dict.fromkeys(IMAGES, 20 * MEGABYTE)
_NONE: Mapping[str, int] = {}
_LEAST_BUDGET, _LARGEST_BUDGET = 128, 32768  # tokens that SiliconFlow lets a model think for
_KNOWS_NO_PLACEHOLDER = re.compile(r"\b(?:gemini-[12]\b|gemma)")


def _always_thinks(provider_id: str, model: str) -> RequestRejected:
    return RequestRejected(
        f"{model} of {provider_id} always thinks", hint="leave --thinking off out, or say --thinking low"
    )


class OpenAICompatible(OpenAI):
    """A server that speaks the dialect. It takes nothing that is OpenAI's own: no key, no address, no header."""

    id = "openai-compatible"
    name = "OpenAI-compatible server"
    default_base_url: ClassVar[str | None] = None
    base_url_env: ClassVar[tuple[str, ...]] = ()
    default_model: str | None = None
    api_key = ApiKey(required=False, hint="if the server wants one, api_key of its table in the configuration")
    capabilities = Capabilities(thinking=True, vision=True, tools=True, schema=True, generate=True)
    attachments: ClassVar[Mapping[str, int]] = dict.fromkeys((*IMAGES, *SOUNDS), 20 * MEGABYTE)
    attachment_urls = False  # some servers take no address, and all that take images take their bytes
    # The dialect has no highest temperature that all servers share.
    settings: ClassVar[Mapping[str, Setting]] = {
        "max_tokens": Setting(min=1),
        "temperature": Setting(min=0),
        "top_p": Setting(min=0, max=1),
    }
    config_keys: ClassVar[Mapping[str, ConfigKey]] = {
        "think_open": ConfigKey(
            "the chat template opens <think>: text up to </think> is thinking, also in a stream", type=bool
        )
    }
    quirks: ClassVar[tuple[str, ...]] = ()

    token_field = "max_tokens"
    system_role = "system"
    think_tags = ("think", "thinking", "thought", "reasoning")
    own_headers: ClassVar[Mapping[str, str]] = {}

    def think_splitter(self) -> ThinkTags:
        """See `OpenAI.think_splitter`."""
        return ThinkTags(self.think_tags, opened=bool(self.config.own.get("think_open")), may_be_opened=True)


# --- OpenAI's models elsewhere --------------------------------------------------------------------


class Azure(OpenAI):
    """
    Azure OpenAI, where the model is the name of a deployment.

    The v1 API as a rule; with `api_version` the older one, whose addresses name the deployment (vendor docs).
    """

    id = "azure"
    name = "Azure OpenAI"
    default_base_url = None
    base_url_env = ("AZURE_OPENAI_ENDPOINT", "AZURE_API_BASE")
    default_model = None
    api_key = ApiKey(
        env=("AZURE_OPENAI_API_KEY", "AZURE_API_KEY"),
        header="api-key",
        scheme="",
        placeholder="",
        hint="https://portal.azure.com, the resource, Keys and Endpoint",
    )
    config_keys: ClassVar[Mapping[str, ConfigKey]] = {
        "api_version": ConfigKey("YYYY-MM-DD[-preview]: use the API before v1", env=("OPENAI_API_VERSION",))
    }
    quirks = (
        "The model is the name of your deployment.",
        "models lists what the resource could deploy, not what is deployed.",
    )
    lists_every_model = False
    attachments: ClassVar[Mapping[str, int]] = _LARGE
    own_headers: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def resolve_base_url(cls, url: str) -> str:
        """The v1 address of a resource, from its endpoint or from any address under it."""
        parts = urlsplit(url.strip())
        resource = re.split(r"/openai(?=/|$)", parts.path)[0].rstrip("/")
        scheme = f"{parts.scheme}://" if parts.netloc else ""
        return f"{scheme}{parts.netloc}{resource}/openai/v1"

    def chat_url(self, request: ChatRequest) -> str:
        """See `OpenAI.chat_url`."""
        return self._versioned(f"/deployments/{quote(request.model, safe='')}{self.chat_path}", self.chat_path)

    def responses_url(self) -> str:
        """See `OpenAI.responses_url`. The deployment is not in this address, with either API."""
        return self._versioned("/responses", "/responses")

    def models_request(self, cursor: str | None = None) -> HttpRequest | None:
        """See `HTTPProvider.models_request`."""
        return HttpRequest("GET", self._versioned("/models", "/models"), {"Accept": "application/json"})

    def _versioned(self, legacy: str, v1: str) -> str:
        version = self.config.own.get("api_version")
        if not version:
            return self.url(v1)
        return f"{self.url('').removesuffix('/v1')}{legacy}?{urlencode({'api-version': str(version)})}"


# --- in the cloud ---------------------------------------------------------------------------------


class Together(OpenAICompatible):
    """Together AI."""

    id = "together"
    name = "Together AI"
    default_base_url = "https://api.together.ai/v1"
    api_key = ApiKey(env=("TOGETHER_API_KEY",), hint="https://api.together.ai/settings/api-keys")
    attachments: ClassVar[Mapping[str, int]] = _SMALL
    attachment_urls = True
    responses_path = None
    quirks = ("Model names are exact: organization/name.",)

    def thinking(self, asked: str | int, model: str) -> JsonObject:
        """See `OpenAI.thinking`."""
        if thinking_control.level(asked) == "off":
            return {"reasoning": {"enabled": False}}
        return {"reasoning": {"enabled": True}, **thinking_control.effort(asked)}


class Groq(OpenAICompatible):
    """Groq."""

    id = "groq"
    name = "Groq"
    default_base_url = "https://api.groq.com/openai/v1"
    api_key = ApiKey(env=("GROQ_API_KEY",), placeholder="gsk_...", hint="https://console.groq.com/keys")
    reasoning_field = "reasoning"
    capabilities = _HOSTED
    attachments: ClassVar[Mapping[str, int]] = dict.fromkeys(IMAGES, 4 * MEGABYTE)
    attachment_urls = True
    schema_beside_tools = False
    never_streamed = ("schema",)
    quirks = (
        "A schema is not enforced where tools are offered: it is told in words then.",
        "The options logprobs, top_logprobs and logit_bias are refused.",
        "A temperature of 0 becomes 1e-8.",
        "models lists audio models too.",
    )

    def thinking(self, asked: str | int, model: str) -> JsonObject:
        """See `OpenAI.thinking`. GPT-OSS always thinks, and has the levels; Qwen has a switch (console.groq.com)."""
        off = thinking_control.level(asked) == "off"
        if "gpt-oss" in model and off:
            raise _always_thinks(self.config.id, model)
        if "qwen" in model:
            return {"reasoning_effort": "none" if off else "default"}
        return thinking_control.effort(asked)


class Mistral(OpenAICompatible):
    """Mistral AI."""

    id = "mistral"
    name = "Mistral AI"
    default_base_url = "https://api.mistral.ai/v1"
    api_key = ApiKey(env=("MISTRAL_API_KEY",), placeholder="", hint="https://console.mistral.ai/api-keys")
    seed_field = "random_seed"
    stream_options = False  # 422, and the usage comes without (openai/openai-agents-python#442)
    call_id_length = 9
    capabilities = _HOSTED
    attachments: ClassVar[Mapping[str, int]] = _SMALL
    attachment_urls = True
    responses_path = None
    thinking_in = "high_effort"
    quirks = ("Options that the API does not know are refused.", "403 means that the plan lacks the model.")


class DeepSeek(OpenAICompatible):
    """DeepSeek."""

    id = "deepseek"
    name = "DeepSeek"
    default_base_url = "https://api.deepseek.com"
    default_model = "deepseek-flash"
    api_key = ApiKey(env=("DEEPSEEK_API_KEY",), hint="https://platform.deepseek.com/api_keys")
    reasoning_echo = "tool_turns"
    reasoning_needed = True
    capabilities = Capabilities(thinking=True, tools=True)
    attachments: ClassVar[Mapping[str, int]] = _NONE
    thinking_in = "switch_and_effort"
    calls_unthinking = r""  # (cloudwego/eino#994)
    quirks = (
        "Models think unless --thinking off says otherwise, or a call is demanded (--tool-choice).",
        "While a model thinks, temperature and top-p are ignored or refused.",
    )


class OpenRouter(OpenAICompatible):
    """OpenRouter."""

    id = "openrouter"
    name = "OpenRouter"
    default_base_url = "https://openrouter.ai/api/v1"
    api_key = ApiKey(env=("OPENROUTER_API_KEY",), placeholder="sk-or-...", hint="https://openrouter.ai/settings/keys")
    reasoning_echo = "tool_turns"
    reasoning_field = "reasoning"
    models_need_key = False
    attachments: ClassVar[Mapping[str, int]] = dict.fromkeys((*IMAGES, *SOUNDS, PDF), 20 * MEGABYTE)
    attachment_urls = True
    thinking_in = "reasoning"
    quirks = ("models needs no key, so it cannot tell whether the key is good.",)


class XAI(OpenAICompatible):
    """xAI."""

    id = "xai"
    name = "xAI"
    default_base_url = "https://api.x.ai/v1"
    api_key = ApiKey(env=("XAI_API_KEY",), placeholder="xai-...", hint="https://console.x.ai")
    capabilities = _HOSTED
    attachments: ClassVar[Mapping[str, int]] = dict.fromkeys(("image/png", "image/jpeg"), 20 * MEGABYTE)
    attachment_urls = True
    quirks = (
        "Reasoning models refuse stop.",
        "Reasoning tokens are not among the completion tokens.",
        "models leaves out older models that are still served.",
    )
    lists_every_model = False


class Fireworks(OpenAICompatible):
    """Fireworks AI."""

    id = "fireworks"
    name = "Fireworks AI"
    default_base_url = "https://api.fireworks.ai/inference/v1"
    api_key = ApiKey(env=("FIREWORKS_API_KEY",), placeholder="fw_...", hint="https://fireworks.ai/account/api-keys")
    attachments: ClassVar[Mapping[str, int]] = _SMALL
    attachment_urls = True
    quirks = (
        "Model names begin with accounts/fireworks/models/.",
        "models lists models that are not deployed.",
        "Options that the API does not know are refused.",
    )


class Perplexity(OpenAICompatible):
    """Perplexity, whose models search the web: `citations` and `search_results` are among the metadata."""

    id = "perplexity"
    name = "Perplexity"
    default_base_url = "https://api.perplexity.ai"
    default_model = "sonar"
    known_models = ("sonar", "sonar-pro", "sonar-reasoning-pro", "sonar-deep-research")
    api_key = ApiKey(
        env=("PERPLEXITY_API_KEY", "PERPLEXITYAI_API_KEY"),
        placeholder="pplx-...",
        hint="https://www.perplexity.ai/settings/api",
    )
    stream_options = False  # every chunk has the usage (vendor SDK)
    capabilities = Capabilities(thinking=True, vision=True, schema=True)
    attachments: ClassVar[Mapping[str, int]] = _LARGE
    attachment_urls = True
    json_mode = False
    responses_path = "/v1/responses"
    quirks = ("The models are not listed by the service.", "Tools are not supported.")

    def models_request(self, cursor: str | None = None) -> HttpRequest | None:
        """See `HTTPProvider.models_request`."""
        return None

    def thinking(self, asked: str | int, model: str) -> JsonObject:
        """See `OpenAI.thinking`. How much, but not whether."""
        if thinking_control.level(asked) == "off":
            raise RequestRejected(
                f"{self.config.id} cannot be told not to think: its models do or do not, by their names"
            )
        return thinking_control.effort(asked)


class Cerebras(OpenAICompatible):
    """Cerebras."""

    id = "cerebras"
    name = "Cerebras"
    default_base_url = "https://api.cerebras.ai/v1"
    api_key = ApiKey(env=("CEREBRAS_API_KEY",), placeholder="csk-...", hint="https://cloud.cerebras.ai")
    responses_path = None
    reasoning_field = "reasoning"
    capabilities = Capabilities(thinking=True, tools=True, schema=True)
    attachments: ClassVar[Mapping[str, int]] = _NONE


class Nvidia(OpenAICompatible):
    """NVIDIA NIM."""

    id = "nvidia"
    name = "NVIDIA NIM"
    default_base_url = "https://integrate.api.nvidia.com/v1"
    api_key = ApiKey(
        env=("NVIDIA_API_KEY", "NVIDIA_NIM_API_KEY"), placeholder="nvapi-...", hint="https://build.nvidia.com"
    )
    stream_options = False  # what is accepted differs from model to model
    capabilities = _JSON_ONLY
    attachments: ClassVar[Mapping[str, int]] = _LARGE
    json_mode = False
    responses_path = None
    thinking_in = None  # each model has its own
    quirks = ("Options differ from model to model.", "models lists models that do not chat.")


class AI21(OpenAICompatible):
    """AI21 Labs."""

    id = "ai21"
    name = "AI21 Labs"
    default_base_url = "https://api.ai21.com/studio/v1"
    default_model = "jamba-mini"
    known_models = ("jamba-mini", "jamba-large")
    api_key = ApiKey(env=("AI21_API_KEY",), placeholder="", hint="https://studio.ai21.com, Settings, API Keys")
    capabilities = Capabilities(tools=True)
    attachments: ClassVar[Mapping[str, int]] = _NONE
    never_streamed = ("tools",)
    responses_path = None
    settings: ClassVar[Mapping[str, Setting]] = {**OpenAICompatible.settings, "max_tokens": Setting(min=1, max=4096)}
    quirks = ("The models are not listed by the service.",)

    def models_request(self, cursor: str | None = None) -> HttpRequest | None:
        """`None`: the service answers with an empty list, even without a key."""
        return None


class HuggingFaceRouter(OpenAICompatible):
    """Hugging Face's router to many inference providers."""

    id = "huggingface-router"
    name = "Hugging Face router"
    default_base_url = "https://router.huggingface.co/v1"
    api_key = ApiKey(
        env=("HF_TOKEN", "HUGGINGFACE_HUB_TOKEN", "HUGGINGFACE_API_KEY"),
        label="token",
        placeholder="hf_...",
        hint="https://huggingface.co/settings/tokens, with the permission to call inference providers",
    )
    capabilities = _HOSTED
    attachments: ClassVar[Mapping[str, int]] = _SMALL
    attachment_urls = True
    quirks = (
        "A model may name its provider: model:provider, model:fastest, model:cheapest.",
        "The quirks are those of the provider that answers.",
    )
    lists_every_model = False


class GeminiOpenAI(OpenAICompatible):
    """Google's Gemini through its OpenAI-compatible API."""

    id = "gemini-openai"
    name = "Gemini (OpenAI-compatible)"
    default_base_url = "https://generativelanguage.googleapis.com/v1beta/openai"
    api_key = ApiKey(
        env=("GEMINI_API_KEY", "GOOGLE_API_KEY"), placeholder="AIza...", hint="https://aistudio.google.com/app/apikey"
    )
    capabilities = _HOSTED
    responses_path = None
    quirks = (
        "Options that the API does not know are refused.",
        "Thinking counts against --max-tokens, so a small limit may leave no text.",
    )

    def _assistant(self, message: Message, request: ChatRequest, ids: CallIds) -> JsonObject:
        """
        See `OpenAI._assistant`. Of the calls of a turn Gemini signs the first, and Gemini 3 takes none without: for one
        that nobody signed there is a placeholder (ai.google.dev, thought signatures; pipecat-ai/pipecat#5809).
        """
        sent = super()._assistant(message, request, ids)
        match sent.get("tool_calls"):
            case [dict() as first, *_] if not _KNOWS_NO_PLACEHOLDER.search(request.model):
                signature: JsonObject = {"thought_signature": "skip_thought_signature_validator"}
                first.setdefault("extra_content", {"google": signature})
        return sent


class CohereOpenAI(OpenAICompatible):
    """Cohere through its OpenAI-compatible API."""

    id = "cohere-openai"
    name = "Cohere (OpenAI-compatible)"
    default_base_url = "https://api.cohere.ai/compatibility/v1"
    api_key = ApiKey(env=("COHERE_API_KEY", "CO_API_KEY"), placeholder="", hint="https://dashboard.cohere.com/api-keys")
    capabilities = _HOSTED
    attachments: ClassVar[Mapping[str, int]] = _LARGE
    responses_path = None
    thinking_in = "high_effort"
    schema_beside_tools = False  # as in the API behind it (cohere-openapi.yaml, `response_format`)
    quirks = ("Citations and documents need Cohere's own API.",)


class Moonshot(OpenAICompatible):
    """Moonshot AI (Kimi)."""

    id = "moonshot"
    name = "Moonshot AI"
    default_base_url = "https://api.moonshot.ai/v1"
    api_key = ApiKey(env=("MOONSHOT_API_KEY",), hint="https://platform.kimi.ai/console/api-keys")
    reasoning_echo = "tool_turns"
    reasoning_needed = True
    capabilities = _JSON_ONLY
    attachments: ClassVar[Mapping[str, int]] = _SMALL
    responses_path = None
    calls_unthinking = r"kimi-k2\.[67]"
    quirks = (
        "The newer Kimi models fix temperature and top-p; leave them out.",
        "In China the address is https://api.moonshot.cn/v1, with keys of its own.",
    )

    def thinking(self, asked: str | int, model: str) -> JsonObject:
        """See `OpenAI.thinking`. Kimi K2 has a switch; K3 always thinks, and has the levels low, high and max."""
        level = thinking_control.level(asked)
        if level == "off" and model.startswith("kimi-k3"):
            raise _always_thinks(self.config.id, model)
        if level == "off" or model.startswith("kimi-k2"):
            return thinking_control.switch(asked)
        return {"reasoning_effort": "high" if level == "medium" else level}


class ZAI(OpenAICompatible):
    """Z.ai (Zhipu)."""

    id = "zai"
    name = "Z.ai"
    default_base_url = "https://api.z.ai/api/paas/v4"
    api_key = ApiKey(env=("ZAI_API_KEY",), placeholder="", hint="https://z.ai/manage-apikey/apikey-list")
    reasoning_echo = "tool_turns"
    reasoning_needed = True
    capabilities = _JSON_ONLY
    attachments: ClassVar[Mapping[str, int]] = dict.fromkeys(IMAGES, 5 * MEGABYTE)
    attachment_urls = True
    forced_tools = False
    responses_path = None
    thinking_in = "switch_and_effort"
    quirks = (
        "Models think unless --thinking off says otherwise; some always do.",
        "The coding plan's address is https://api.z.ai/api/coding/paas/v4.",
        "In China the address is https://open.bigmodel.cn/api/paas/v4, with keys of its own.",
    )

    def body(self, request: ChatRequest, *, stream: bool) -> JsonObject:
        """See `OpenAI.body`. Else a call is told only when all of it is there (earendil-works/pi#2732)."""
        in_pieces: JsonObject = {"tool_stream": True} if stream and request.tools else {}
        return {**in_pieces, **super().body(request, stream=stream)}


class DashScope(OpenAICompatible):
    """Alibaba Cloud Model Studio (Qwen)."""

    id = "dashscope"
    name = "DashScope"
    default_base_url = "https://dashscope-intl.aliyuncs.com/compatible-mode/v1"
    api_key = ApiKey(env=("DASHSCOPE_API_KEY",), hint="https://modelstudio.console.alibabacloud.com")
    capabilities = _JSON_ONLY
    attachments: ClassVar[Mapping[str, int]] = _SMALL
    attachment_urls = True
    thinking_in = "budget"
    calls_unthinking = r""  # (QwenLM/qwen-code#7659)
    quirks = (
        "A key belongs to a region: China is dashscope.aliyuncs.com, the US dashscope-us.aliyuncs.com.",
        "Models think only while streaming: with --no-stream, and where a call is demanded, they are told not to.",
        "models does not list all models.",
    )
    lists_every_model = False

    def must_not_think(self, request: ChatRequest, *, stream: bool) -> bool:
        """See `OpenAI.must_not_think`. Who thinks has to stream (langchain4j/langchain4j#3974)."""
        return not stream or super().must_not_think(request, stream=stream)

    def _thinking(self, request: ChatRequest, *, stream: bool) -> JsonObject:
        """See `OpenAI._thinking`. Raises `RequestRejected` for an answer that is to come whole and be thought about."""
        if not stream and thinking_control.level(request.thinking or "off") != "off":
            raise RequestRejected(
                f"{self.config.id} thinks only while it streams: --thinking {request.thinking} and --no-stream exclude "
                "one another",
                hint="leave --no-stream out",
            )
        return super()._thinking(request, stream=stream)


class SiliconFlow(OpenAICompatible):
    """SiliconFlow."""

    id = "siliconflow"
    name = "SiliconFlow"
    default_base_url = "https://api.siliconflow.com/v1"
    api_key = ApiKey(env=("SILICONFLOW_API_KEY",), hint="https://cloud.siliconflow.com/account/ak")
    capabilities = _JSON_ONLY
    attachments: ClassVar[Mapping[str, int]] = _SMALL
    attachment_urls = True
    responses_path = None
    thinking_in = "budget"
    quirks = ("In China the address is https://api.siliconflow.cn/v1.",)

    def thinking(self, asked: str | int, model: str) -> JsonObject:
        """See `OpenAI.thinking`. Raises `UsageError` for a number of tokens that the API does not take."""
        if isinstance(asked, int) and asked > 0 and not _LEAST_BUDGET <= asked <= _LARGEST_BUDGET:
            raise UsageError(
                f"{self.config.id} thinks for {_LEAST_BUDGET} to {_LARGEST_BUDGET} tokens, not for {asked}",
                hint="--thinking off: not at all",
            )
        return super().thinking(asked, model)


# --- on your own machine --------------------------------------------------------------------------


class LMStudio(OpenAICompatible):
    """LM Studio."""

    id = "lmstudio"
    name = "LM Studio"
    default_base_url = "http://localhost:1234/v1"
    api_key = ApiKey(required=False, env=("LM_STUDIO_API_KEY", "LMSTUDIO_API_KEY"), hint="LM Studio, server settings")
    attachments: ClassVar[Mapping[str, int]] = _LARGE
    json_mode = False
    named_tool_choice = False  # (lmstudio-ai/lmstudio-bug-tracker#670)
    responses_schema = False  # (lmstudio-ai/lmstudio-bug-tracker#2403)
    text_format = True
    quirks = ("For JSON it wants response_format json_schema; json_object is refused.",)


class VLLM(OpenAICompatible):
    """vLLM."""

    id = "vllm"
    name = "vLLM"
    default_base_url = "http://localhost:8000/v1"
    api_key = ApiKey(required=False, env=("VLLM_API_KEY",), hint="what the server was started with: --api-key")
    reasoning_field = "reasoning"
    thinking_in = "template"
    quirks = ("The prompt and --max-tokens together must fit the context.",)


class LlamaCpp(OpenAICompatible):
    """llama.cpp's llama-server."""

    id = "llamacpp"
    name = "llama.cpp"
    default_base_url = "http://localhost:9931/v1"
    api_key = ApiKey(required=False, env=("LLAMA_API_KEY",), hint="what the server was started with: --api-key")
    models_need_key = False
    named_tool_choice = False  # a name is read as a call of any
    responses_schema = False
    thinking_in = "template_and_budget"
    quirks = ("Older builds listen on port 8080: --base-url http://localhost:8080/v1.",)


class Jan(OpenAICompatible):
    """
    Jan's local API server. It checks the Host header and may refuse a bare IP address, so the address has a name.
    """

    id = "jan"
    name = "Jan"
    default_base_url = "http://localhost:1337/v1"
    api_key = ApiKey(required=False, placeholder="", hint="the key that you typed in Jan: Settings, Local API Server")
    capabilities = _HOSTED
    attachments: ClassVar[Mapping[str, int]] = _LARGE
    named_tool_choice = False
    responses_path = None
    thinking_in = "template"
    quirks = ("Jan may want the key that you typed in its settings.",)


class LocalAI(OpenAICompatible):
    """LocalAI."""

    id = "localai"
    name = "LocalAI"
    default_base_url = "http://localhost:8080/v1"


class DockerModelRunner(OpenAICompatible):
    """Docker Model Runner."""

    id = "docker-model-runner"
    name = "Docker Model Runner"
    default_base_url = "http://localhost:12434/engines/v1"
    api_key = ApiKey(required=False, hint="none is needed; enable host-side TCP support in Docker")
    named_tool_choice = False
    thinking_in = "template"
    quirks = (
        "Inside a container the address is http://model-runner.docker.internal/engines/v1.",
        "A model is loaded by the first request, so the first answer takes long.",
    )


class LiteLLM(OpenAICompatible):
    """A LiteLLM proxy."""

    id = "litellm"
    name = "LiteLLM proxy"
    default_base_url = "http://localhost:4000/v1"
    api_key = ApiKey(
        required=False, env=("LITELLM_API_KEY", "LITELLM_PROXY_API_KEY"), hint="a virtual key of the proxy"
    )
    attachments: ClassVar[Mapping[str, int]] = dict.fromkeys((*IMAGES, *SOUNDS, PDF), 20 * MEGABYTE)
    attachment_urls = True
    reasoning_echo = "tool_turns"
    reasoning_blocks = "thinking_blocks"
    quirks = ("The models are the aliases that the proxy is configured with.",)

    def _reasoning(self, blocks: Iterable[Thinking]) -> JsonObject:
        """
        See `OpenAI._reasoning`. Claude's blocks go back, which are signed; not every model behind the proxy takes the
        text alone.
        """
        sent = super()._reasoning(blocks)
        return sent if self.reasoning_blocks in sent else {}
