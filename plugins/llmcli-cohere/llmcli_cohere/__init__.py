"""
Cohere's own chat API: version 2 (`POST /v2/chat`) and version 1 (`POST /v1/chat`).

Sources: the official SDK `cohere` 7.3.1 (its clients and types), `cohere-openapi.yaml` and the pages on errors,
streaming, reasoning and rate limits in cohere-ai/cohere-developer-experience (2026-08-20).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, NamedTuple
from urllib.parse import urlencode

from llmcli.errors import ConfigurationError, LlmError, ProviderFailed, RequestRejected, UsageError
from llmcli.framing import SSE, Framing, JsonLines, as_object, as_text
from llmcli.provider import (
    ApiKey,
    Capabilities,
    ConfigKey,
    HTTPProvider,
    Reader,
    Setting,
    json_request,
    with_headers,
)
from llmcli.providers.tool_calls import ToolNames
from llmcli.types import ChatRequest, HttpRequest, Json, Message, Model, ModelPage, ProviderConfig, message

from llmcli_cohere import v1, v2
from llmcli_cohere.form import FORM, in_words, refused, response_format
from llmcli_cohere.reading import whole_number

__all__ = ["Cohere"]

_MOST_STOPS = 5
_LARGEST_IMAGE = 20 * 10**6 * 3 // 4  # bytes, of which base64 makes the 20 MB that a request may have of images
_SETTINGS = {"max_tokens": "max_tokens", "temperature": "temperature", "top_p": "p", "seed": "seed"}
_CAPABILITIES = {"json_schema": "schema"}  # Cohere's word that is not ours


class _Version(NamedTuple):
    """What differs between the versions of the API; settings, errors, models and the key do not."""

    path: str
    conversation: Callable[[Sequence[Message]], dict[str, Json]]
    controls: Callable[[ChatRequest], dict[str, Json]]
    check: Callable[[ChatRequest], None]
    schema_key: str
    images: bool
    framing: Callable[[], Framing]
    reader: Callable[[], Reader]
    stream_type: str


_VERSIONS: Mapping[str, _Version] = {
    "v2": _Version(
        "/v2/chat",
        v2.conversation,
        v2.controls,
        v2.check,
        schema_key="json_schema",
        images=True,
        framing=SSE,
        reader=v2.AnswerReader,
        stream_type="text/event-stream",
    ),
    "v1": _Version(
        "/v1/chat",
        v1.conversation,
        v1.controls,
        v1.check,
        schema_key="schema",
        images=False,
        framing=JsonLines,
        reader=v1.AnswerReader,
        stream_type="application/stream+json",
    ),
}


class Cohere(HTTPProvider):
    """
    Command models at Cohere, or at an address of one's own that speaks its API.

    The version is that of the key `api`; without the key, that of a base URL that ends in `/v1` or `/v2`; else v2.
    """

    id = "cohere"
    name = "Cohere"
    default_base_url = "https://api.cohere.com"
    base_url_env = ("CO_API_URL",)
    default_model = "command-a-03-2025"
    api_key = ApiKey(
        env=("CO_API_KEY", "COHERE_API_KEY"),
        placeholder="",
        hint="https://dashboard.cohere.com/api-keys; a trial key is free",
    )
    capabilities = Capabilities(thinking=True, vision=True, tools=True, schema=True)
    attachments: ClassVar[Mapping[str, int]] = dict.fromkeys(
        ("image/png", "image/jpeg", "image/webp", "image/gif"), _LARGEST_IMAGE
    )
    attachment_urls = True
    settings: ClassVar[Mapping[str, Setting]] = {
        "max_tokens": Setting(min=1),
        "temperature": Setting(min=0, max=1, default=0.3),
        "top_p": Setting(min=0.01, max=0.99, default=0.75),
        "seed": Setting(min=0),
    }
    config_keys: ClassVar[Mapping[str, ConfigKey]] = {
        "api": ConfigKey("the version of the API: v2, or v1; without it that of the base URL, else v2"),
    }
    known_models = (
        "command-a-03-2025",
        "command-a-reasoning-08-2025",
        "command-a-translate-08-2025",
        "command-a-vision-07-2025",
        "command-r7b-12-2024",
        "command-r-plus-08-2024",
        "command-r-08-2024",
    )
    quirks = (
        "the temperature goes to 1, not to 2, and --top-p from 0.01 to 0.99; it is sent as `p`",
        f"at most {_MOST_STOPS} stop texts",
        "reasoning models think unless --thinking off says otherwise",
        "a schema with alternatives, one beside tools, and one of anything but an object is asked for in words",
        "only the vision models take images, and version 1 of the API takes none",
        "the plan that comes with tool calls (tool_plan) is shown as thinking, and goes back with them",
        "tokens are what the model read and wrote; what is billed (less) stands in the metadata as billed_units",
        "a base URL that ends in /v1 means version 1 of the API: one message with its history, and JSON lines",
    )

    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(config)
        self._version = _VERSIONS[_version_name(config)]
        if not self._version.images:
            self.capabilities = self.capabilities._replace(vision=False)

    @classmethod
    def resolve_base_url(cls, url: str) -> str:
        """The base URL without the version, and without the `/chat` that people paste with it."""
        stem = super().resolve_base_url(url).removesuffix("/chat")
        return stem.removesuffix("/v1").removesuffix("/v2").rstrip("/")

    # --- the request ---

    def check(self, request: ChatRequest) -> None:
        """See `Provider.check`. Raises `UsageError` for too many stop texts, and for what v1 cannot be asked."""
        super().check(request)
        if len(request.stop) > _MOST_STOPS:
            raise UsageError(f"{self.config.id} takes at most {_MOST_STOPS} stop texts, and not {len(request.stop)}")
        self._version.check(request)

    def chat_request(self, request: ChatRequest, *, stream: bool) -> HttpRequest:
        """`POST /v2/chat` or `POST /v1/chat`. `stream` is always said, as the SDK does."""
        request = ToolNames(request, _tool_name).told(request)
        body: dict[str, Json] = {"model": request.model, **self._version.conversation(_instructed(request))}
        body |= {name: value for ours, name in _SETTINGS.items() if (value := getattr(request, ours)) is not None}
        if request.stop:
            body["stop_sequences"] = list(request.stop)
        body |= self._version.controls(request) | response_format(request, self._version.schema_key)
        body["stream"] = stream
        sent = json_request(self.url(self._version.path), {**body, **request.options}, stream=stream)
        return with_headers(sent, {"Accept": self._version.stream_type}) if stream else sent

    def adapt(self, request: ChatRequest, error: LlmError) -> ChatRequest | None:
        """
        The same request without a word on thinking, where a model that never thinks is told not to; or with the form of
        the answer in words, where a model refuses the field for it.
        """
        if not isinstance(error, RequestRejected):
            return None
        never = request.thinking in ("off", 0) and "thinking" not in request.without
        if never and "thinking" in error.message.lower():
            return request._replace(without=request.without | {"thinking"})
        return request._replace(without=request.without | {FORM}) if refused(request, error.message) else None

    # --- the answer ---

    def framing(self) -> Framing:
        """See `HTTPProvider.framing`."""
        return self._version.framing()

    def reader(self, request: ChatRequest) -> Reader:
        """See `HTTPProvider.reader`."""
        return ToolNames(request, _tool_name).reader(self._version.reader())

    # --- models ---

    def models_request(self, cursor: str | None = None) -> HttpRequest:
        """`GET /v1/models` (there is no other), those that chat, a thousand at a time."""
        query = {"endpoint": "chat", "page_size": "1000"} | ({"page_token": cursor} if cursor else {})
        return HttpRequest("GET", f"{self.url('/v1/models')}?{urlencode(query)}", {"Accept": "application/json"})

    def read_models(self, document: object) -> ModelPage:
        """See `HTTPProvider.read_models`. The last page has an empty token, or none."""
        page = as_object(document)
        listed = page.get("models", "")
        if not isinstance(listed, list | None):
            raise ProviderFailed("the list of models has no models")
        models = tuple(_model(entry) for entry in map(as_object, listed or ()) if entry.get("name"))
        return ModelPage(models, next=as_text(page.get("next_page_token")) or None)


def _instructed(request: ChatRequest) -> tuple[Message, ...]:
    """The conversation, with what the answer has to look like where only words can say it."""
    words = in_words(request)
    if not words:
        return request.messages
    place = next((at for at, each in enumerate(request.messages) if each.role != "system"), len(request.messages))
    return (*request.messages[:place], message("system", words), *request.messages[place:])


def _tool_name(name: str) -> str:
    """The name as the API takes it: letters, digits and `_`, and no digit first (the page on tool use)."""
    return re.sub(r"\W", "_", re.sub(r"^(?=\d)", "_", name), flags=re.ASCII)


def _version_name(config: ProviderConfig) -> str:
    said = config.own.get("api")
    if said is None:
        return "v1" if (config.base_url or "").rstrip("/").removesuffix("/chat").endswith("/v1") else "v2"
    if said not in _VERSIONS:
        raise ConfigurationError(f"{config.place or config.id}.api: {said!r} is none of {', '.join(_VERSIONS)}")
    return str(said)


def _model(entry: Mapping[str, Json]) -> Model:
    words = [*_words(entry.get("endpoints")), *_words(entry.get("features"))]
    return Model(
        id=str(entry["name"]),
        context_length=whole_number(entry.get("context_length")) or None,
        capabilities=tuple(_CAPABILITIES.get(word, word) for word in words),
    )


def _words(value: Json) -> list[str]:
    return [str(word) for word in value] if isinstance(value, list) else []
