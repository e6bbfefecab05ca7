"""
Hugging Face's text generation, natively: a prompt goes in, text comes out.

Two kinds of address speak it: the model routes of the hub (`POST {base}/{model}`), and the root of a server that has
one model, as text-generation-inference (TGI) and Inference Endpoints are (`POST /generate`, `POST /generate_stream`).

Sources: `docs/openapi.json` and `router/src` of huggingface/text-generation-inference (2026-01-08), the official client
`huggingface_hub` 2.4.0, `docs/inference-providers` of huggingface/hub-docs (2026-08-22), and the archived parameters of
the Inference API.
"""

import re
from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import quote

from llmcli.errors import ConfigurationError, LlmError, ProviderFailed, RequestRejected, UnknownModel, UsageError
from llmcli.framing import as_object
from llmcli.http_errors import describe
from llmcli.provider import ApiKey, Capabilities, ConfigKey, HTTPProvider, Reader, Setting, json_request
from llmcli.types import ChatRequest, HttpRequest, Json, Model, ModelPage, ProviderConfig

from llmcli_huggingface.reading import GenerationReader
from llmcli_huggingface.templates import TEMPLATES, Template, render, template_for

__all__ = ["HuggingFace"]

_HUB = "https://router.huggingface.co/hf-inference/models"
_ROUTES = ("hub", "tgi")
# The hub's addresses without their paths, as the ecosystem's own variable has them.
_COMPLETED = {
    "https://router.huggingface.co": "/hf-inference/models",
    "https://router.huggingface.co/hf-inference": "/models",
    "https://api-inference.huggingface.co": "/models",
}
_MOST_STOPS = 4
_TOP_LEVEL = "options"  # of the request, not of its parameters: what the hub reads of wait_for_model and use_cache
_UNUSED = re.compile(r"`model_kwargs` are not used by the model: \[(.*?)\]")
_TOO_LARGE = "too large to be loaded automatically"


class HuggingFace(HTTPProvider):
    """
    Models at the hub or on a TGI server.

    The route is that of the key `route`; without it, `hub` for a base URL that ends in `/models`, else `tgi`.
    """

    id = "huggingface"
    name = "Hugging Face (text generation)"
    default_base_url = _HUB
    base_url_env = ("HF_INFERENCE_ENDPOINT",)
    default_model = "HuggingFaceTB/SmolLM3-3B"
    api_key = ApiKey(
        required=False,
        env=("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"),
        label="token",
        placeholder="hf_...",
        hint="needed at the hub and by protected endpoints: https://huggingface.co/settings/tokens",
    )
    capabilities = Capabilities(generate=True)
    settings: ClassVar[Mapping[str, Setting]] = {
        "max_tokens": Setting(min=1),
        "temperature": Setting(min=0),
        "top_p": Setting(min=0, max=1),
        "seed": Setting(min=0),
    }
    config_keys: ClassVar[Mapping[str, ConfigKey]] = {
        "route": ConfigKey(
            "hub: the model is part of the URL; tgi: the server has one model. "
            "Without it hub for a base URL that ends in /models, else tgi"
        ),
        "template": ConfigKey(f"how the prompt is written: {', '.join(TEMPLATES)}; without it by the model's name"),
        "bos": ConfigKey("whether the prompt begins with the template's <s>; servers usually add it", type=bool),
    }
    known_models = (
        "HuggingFaceTB/SmolLM3-3B",
        "meta-llama/Llama-3.1-8B-Instruct",
        "meta-llama/Llama-2-7b-chat-hf",
        "meta-llama/Llama-2-13b-chat-hf",
        "mistralai/Mistral-7B-Instruct-v0.2",
        "Qwen/Qwen2.5-7B-Instruct",
        "HuggingFaceH4/zephyr-7b-beta",
        "google/gemma-2-2b-it",
        "google/flan-t5-xxl",
        "openai-community/gpt2",
    )
    quirks = (
        "since July 2025 the hub itself serves small models only; huggingface-router reaches the large ones",
        "the conversation becomes one prompt by a template that the model's name chooses; a text that holds the "
        "template's own marks is refused; a completion goes as it is, without any template",
        "--temperature 0 means no sampling (do_sample: false); any other means sampling",
        f"at most {_MOST_STOPS} stop texts, the template's own among them if there is room; none is part of the answer",
        "without --max-tokens a server may end an answer early, and says so (finish reason length)",
        f"--option goes into the parameters, except {_TOP_LEVEL}, which stands beside them",
        "a model that is being loaded is tried again after the seconds that the hub expects it to need",
    )

    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(config)
        default = "hub" if (self.base_url or "").endswith("/models") else "tgi"
        self._at_hub = _chosen(config, "route", _ROUTES, default) == "hub"
        self._template_name = _chosen(config, "template", tuple(TEMPLATES), "")
        if not self._at_hub:
            self.default_model = config.default_model or "tgi"  # the server's, whatever it is

    @classmethod
    def resolve_base_url(cls, url: str) -> str:
        """The base URL without a `/generate` that was pasted with it, and with the path where the hub's lacks it."""
        stem = super().resolve_base_url(url).removesuffix("/generate_stream").removesuffix("/generate")
        return stem + _COMPLETED.get(stem, "")

    # --- the request ---

    def check(self, request: ChatRequest) -> None:
        """
        See `Provider.check`. Raises `UsageError` for settings and conversations that cannot be said, and
        `RequestRejected` for a text that holds marks of the template.
        """
        super().check(request)
        if request.top_p == 0:
            raise UsageError(f"--top-p 0 is out of range for {self.config.id}: more than 0")
        if len(request.stop) > _MOST_STOPS:
            raise UsageError(f"{self.config.id} takes at most {_MOST_STOPS} stop texts, and not {len(request.stop)}")
        if request.complete and [each.role for each in request.messages] != ["user"]:
            raise RequestRejected("a completion is of one text, and has neither a system message nor a conversation")
        self._prompt(request)

    def chat_request(self, request: ChatRequest, *, stream: bool) -> HttpRequest:
        """`POST {base}/{model}` at the hub; `POST /generate` or `/generate_stream` at a server."""
        body: dict[str, Json] = {"inputs": self._prompt(request), "parameters": self._parameters(request)}
        if _TOP_LEVEL in request.options:
            body[_TOP_LEVEL] = request.options[_TOP_LEVEL]
        if not self._at_hub:
            return json_request(self.url("/generate_stream" if stream else "/generate"), body, stream=stream)
        if stream:
            body["stream"] = True
        return json_request(self.url(f"/{quote(request.model, safe='/')}"), body, stream=stream)

    def _template(self, request: ChatRequest) -> Template:
        """What is to be completed goes as it is, whatever the model was trained on."""
        return TEMPLATES["raw" if request.complete else self._template_name or template_for(request.model)]

    def _prompt(self, request: ChatRequest) -> str:
        if request.complete:
            return request.messages[-1].text
        return render(self._template(request), request.messages, bos=bool(self.config.own.get("bos")))

    def _parameters(self, request: ChatRequest) -> dict[str, Json]:
        parameters: dict[str, Json] = {}
        if request.max_tokens is not None:
            parameters["max_new_tokens"] = request.max_tokens
        if request.temperature is not None:
            # Greedy is the default, even at a temperature of 1; a temperature of 0 is refused.
            parameters["do_sample"] = request.temperature > 0
            if request.temperature > 0:
                parameters["temperature"] = request.temperature
        if request.top_p is not None and request.top_p < 1:  # 1 is no limit, but refused
            parameters["top_p"] = request.top_p
        if request.seed is not None:
            parameters["seed"] = request.seed
        parameters |= {name: value for name, value in self._own(request).items() if name not in request.without}
        return parameters | {name: value for name, value in request.options.items() if name != _TOP_LEVEL}

    def _own(self, request: ChatRequest) -> dict[str, Json]:
        """
        What is sent though nobody said it: `details` tell why the answer ended, and on model routes the prompt comes
        back with it unless `return_full_text` is false.
        """
        own: dict[str, Json] = {"details": True, "return_full_text": False}
        return own | ({"stop": stops} if (stops := list[Json](self._stops(request))) else {})

    def _stops(self, request: ChatRequest) -> list[str]:
        """The stop texts of the template, as far as the API has room for them beside the user's."""
        given = request.options.get("stop")
        if isinstance(given, list):
            return [str(stop) for stop in given]
        room = _MOST_STOPS - len(request.stop)
        return list(dict.fromkeys((*self._template(request).stop[:room], *request.stop)))

    def adapt(self, request: ChatRequest, error: LlmError) -> ChatRequest | None:
        """The same request without parameters of ours that a model of the hub does not know, if it names only such."""
        found = _UNUSED.search(error.message)
        named = frozenset(re.findall(r"\w+", found[1] if found else ""))
        said = {*request.options, *(["stop"] if request.stop else [])}
        ours = self._own(request).keys() - said - request.without
        return request._replace(without=request.without | named) if named and named <= ours else None

    # --- the answer ---

    def reader(self, request: ChatRequest) -> Reader:
        """
        See `HTTPProvider.reader`. A prompt in front of the answer is taken off, unless it was asked for. A raw prompt
        may be so short that an answer begins with it by chance: there only where the server cannot leave it out.
        """
        template = self._template(request)
        echoes = template.marks or template.ask or "return_full_text" in request.without
        wanted = request.options.get("return_full_text")
        return GenerationReader(
            echo=self._prompt(request) if echoes and not wanted else "",
            stops=self._stops(request),
            spaced=template.spaced,
        )

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> LlmError:
        """See `HTTPProvider.read_error`. A failed generation (424) may work when it is tried again."""
        error = super().read_error(status, headers, body)
        if self._at_hub and (status == 404 or isinstance(error, UnknownModel) or _TOO_LARGE in error.message):
            return UnknownModel(
                f"the hub does not serve this model: {describe(body).message}",
                hint="the provider huggingface-router reaches models that others serve",
                http_status=status,
                request_id=error.request_id,
            )
        if status == 424:
            error.retry_ok = True
        return error

    # --- models ---

    def health_request(self) -> HttpRequest | None:
        """`GET /health` of a server; the hub has nothing like it."""
        return None if self._at_hub else HttpRequest("GET", self.url("/health"))

    def models_request(self, cursor: str | None = None) -> HttpRequest | None:
        """`GET /info` of a server says what its model is. The hub has too many to list."""
        return None if self._at_hub else HttpRequest("GET", self.url("/info"), {"Accept": "application/json"})

    def read_models(self, document: object) -> ModelPage:
        """See `HTTPProvider.read_models`."""
        info = as_object(document)
        if not info.get("model_id"):
            raise ProviderFailed("the server does not say which model it has")
        total = info.get("max_total_tokens")
        return ModelPage((Model(str(info["model_id"]), context_length=total if isinstance(total, int) else None),))


def _chosen(config: ProviderConfig, key: str, known: tuple[str, ...], default: str) -> str:
    """The value of a configuration key that is a choice."""
    said = config.own.get(key)
    if said is None:
        return default
    if said not in known:
        raise ConfigurationError(f"{config.place or config.id}.{key}: {said!r} is none of {', '.join(known)}")
    return str(said)
