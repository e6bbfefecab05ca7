"""
Gemini through Google's own API: `generateContent` and `streamGenerateContent`.

Sources (2026-11): the SDK google-genai 3.4.0 (`types.py`, `models.py`, `_api_client.py`, `_base_url.py`), Google's
pages on thought signatures, thinking and troubleshooting (ai.google.dev, docs.cloud.google.com), and the issues that
are named where their bugs are avoided. No live service was asked.
"""

import re
from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import quote, urlencode

from llmcli.errors import Busy, LlmError, ProviderFailed, RequestRejected, UsageError
from llmcli.framing import Framing, as_object, as_text, decode_body
from llmcli.provider import ApiKey, Capabilities, HTTPProvider, Reader, json_request, raise_error_in
from llmcli.providers.tool_calls import ToolNames
from llmcli.types import ChatRequest, HttpRequest, Json, Model, ModelPage

from llmcli_gemini.contents import SIGNATURE, turns, vouched
from llmcli_gemini.controls import (
    FORM,
    always_thinks,
    form,
    form_in_words,
    refuses_form,
    thinking_config,
    tool_fields,
)
from llmcli_gemini.reader import GeminiReader, objects
from llmcli_gemini.sse import GeminiSSE

__all__ = ["Gemini"]

_SETTINGS = {"max_tokens": "maxOutputTokens", "temperature": "temperature", "top_p": "topP", "seed": "seed"}

# Where an option goes: these into the request itself, these into `thinkingConfig`, all others into `generationConfig`.
_TOP_LEVEL = frozenset(
    {
        "cachedContent",
        "contents",
        "continuationToken",
        "generationConfig",
        "labels",
        "safetySettings",
        "serviceTier",
        "store",
        "systemInstruction",
        "toolConfig",
        "tools",
    }
)
_THINKING = frozenset({"includeThoughts", "thinkingBudget", "thinkingLevel"})
_HOW_MUCH = _THINKING - {"includeThoughts"}  # of which a request may have one only

# Bytes. A request may have 100 MB, and 50 of them in documents; base64 makes four of three.
_MOST = 100 * 10**6 * 3 // 4
_MOST_OF_A_DOCUMENT = 50 * 10**6 * 3 // 4
_IMAGES = ("image/png", "image/jpeg", "image/webp", "image/heic", "image/heif")
_SOUNDS = ("audio/wav", "audio/mpeg", "audio/mp3", "audio/aiff", "audio/aac", "audio/ogg", "audio/flac")
_FILMS = ("video/mp4", "video/mpeg", "video/quicktime", "video/webm", "video/3gpp")

_VERSION = re.compile(r"/v\d\w*(?:/|$)")
_PASTED = re.compile(r"/(?:openai|models)(?:/.*)?$")
_KNOWS_NO_PLACEHOLDER = re.compile(r"\b(?:gemini-[12]\b|gemma)")
_RETRY_IN = re.compile(r"retry in (?:([0-9]+)h)?(?:([0-9]+)m)?([0-9]+(?:\.[0-9]+)?)(m?)s\b")
_REFUSED_SIGNATURE = re.compile(r"(?i)thought.?signature")


class Gemini(HTTPProvider):
    """Google's models at the Gemini API, with what its OpenAI-compatible side loses: signatures, thinking, tools."""

    id = "gemini"
    name = "Gemini"
    default_base_url = "https://generativelanguage.googleapis.com"
    base_url_env = ("GOOGLE_GEMINI_BASE_URL",)
    default_model = "gemini-flash-latest"
    api_key = ApiKey(
        env=("GOOGLE_API_KEY", "GEMINI_API_KEY"),
        header="x-goog-api-key",
        scheme="",
        placeholder="AIza...",
        hint="https://aistudio.google.com/app/apikey",
    )
    capabilities = Capabilities(thinking=True, vision=True, tools=True, schema=True)
    attachments: ClassVar[Mapping[str, int]] = {
        **dict.fromkeys((*_IMAGES, *_SOUNDS, *_FILMS), _MOST),
        "application/pdf": _MOST_OF_A_DOCUMENT,
    }
    attachment_urls = True
    known_models = ("gemini-flash-latest", "gemini-pro-latest", "gemini-flash-lite-latest", "gemini-3.8-flash")
    quirks = (
        "--option goes into generationConfig, except " + ", ".join(sorted(_TOP_LEVEL)),
        "thinking is shown only with --thinking or --option includeThoughts=true",
        "--thinking is a budget for Gemini 2.5, and for later ones a level, which a number of tokens becomes too",
        "many models cannot be kept from thinking; --thinking off makes those of Gemini 3 think as little as they can",
        "thinking counts against --max-tokens, so a small limit may leave no text",
        "the default model is an alias, which Google moves to its newest Flash",
    )

    @classmethod
    def resolve_base_url(cls, url: str) -> str:
        """
        The base URL with the version of the API, `v1beta` where it says none, and without the path of a model or of
        the OpenAI-compatible API that people paste with it.
        """
        base = _PASTED.sub("", super().resolve_base_url(url))
        return base if _VERSION.search(base) else f"{base}/v1beta"

    # --- the request ---

    def check(self, request: ChatRequest) -> None:
        """See `Provider.check`. Raises `UsageError` where the conversation has no beginning."""
        super().check(request)
        conversation = turns(request.messages)
        if not conversation or conversation[0][0] != "user":
            raise UsageError(f"a conversation with {self.config.id} must begin with something that the user says")

    def chat_request(self, request: ChatRequest, *, stream: bool) -> HttpRequest:
        """`POST /models/MODEL:generateContent`, or `:streamGenerateContent` as server-sent events."""
        request = ToolNames(request, _function_name).told(request)
        body: dict[str, Json] = {
            "contents": [{"role": role, "parts": [*parts]} for role, parts in self._turns(request)],
        }
        system = [message.text for message in request.messages if message.role == "system"]
        if system := [text for text in (*system, form_in_words(request)) if text]:
            body["systemInstruction"] = {"parts": [{"text": text} for text in system]}
        body |= tool_fields(request)
        config: dict[str, Json] = {
            name: value for ours, name in _SETTINGS.items() if (value := getattr(request, ours)) is not None
        }
        if request.stop:
            config["stopSequences"] = list(request.stop)
        if thinking := thinking_config(request):
            config["thinkingConfig"] = thinking
        config |= form(request)
        method = "streamGenerateContent?alt=sse" if stream else "generateContent"
        url = self.url(f"/{_resource(request.model)}:{method}")
        return json_request(url, _with_options(body, config, request.options), stream=stream)

    def _turns(self, request: ChatRequest) -> list[tuple[str, list[dict[str, Json]]]]:
        """The conversation, signed so that the model takes it."""
        conversation = turns(request.messages, signed=SIGNATURE not in request.without)
        if _KNOWS_NO_PLACEHOLDER.search(request.model):
            return conversation
        return [(role, vouched(parts)) for role, parts in conversation]

    def adapt(self, request: ChatRequest, error: LlmError) -> ChatRequest | None:
        """
        The same request without signatures, where those of another model or another key were refused; or with the form
        of the answer in words, where the model has no field for it, or not beside functions.
        """
        if not isinstance(error, RequestRejected):
            return None
        if _REFUSED_SIGNATURE.search(error.message) and SIGNATURE not in request.without:
            return request._replace(without=request.without | {SIGNATURE})
        return request._replace(without=request.without | {FORM}) if refuses_form(request, error.message) else None

    # --- the answer ---

    def framing(self) -> Framing:
        """See `HTTPProvider.framing`."""
        return GeminiSSE()

    def reader(self, request: ChatRequest) -> Reader:
        """See `HTTPProvider.reader`."""
        return ToolNames(request, _function_name).reader(GeminiReader())

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> LlmError:
        """See `HTTPProvider.read_error`. How long to wait may stand only in the words, which may be many."""
        error = super().read_error(status, headers, body)
        if isinstance(error, Busy) and error.retry_after is None:
            error.retry_after = _wait(decode_body(body))
        if type(error) is RequestRejected and always_thinks(error.message):
            error.hint = "the model always thinks: leave --thinking off out, or say --thinking low"
        return error

    # --- models ---

    def models_request(self, cursor: str | None = None) -> HttpRequest:
        """`GET /models`, a thousand at a time, which is the most that the API gives."""
        query = {"pageSize": "1000"} | ({"pageToken": cursor} if cursor else {})
        return HttpRequest("GET", f"{self.url('/models')}?{urlencode(query)}", {"Accept": "application/json"})

    def read_models(self, document: object) -> ModelPage:
        """See `HTTPProvider.read_models`. What only embeds or draws is left out."""
        raise_error_in(document)
        page = as_object(document)
        # An empty list is left out: a page without a model of this kind may be nothing but a token, or nothing at all.
        if not isinstance(document, dict) or not isinstance(page.get("models"), list | None):
            raise ProviderFailed("the list of models has no models")
        models = tuple(_model(entry) for entry in objects(page.get("models")) if _chats(entry))
        return ModelPage(models, next=as_text(page.get("nextPageToken")) or None)


def _function_name(name: str) -> str:
    """The name as the API takes it: it may not begin with a digit or a hyphen (`FunctionDeclaration.name`)."""
    return re.sub(r"^(?![A-Za-z_])", "_", re.sub(r"[^\w.:-]", "_", name, flags=re.ASCII))


def _resource(model: str) -> str:
    """A model is `models/NAME`, which may be said in full; a tuned one is `tunedModels/NAME`."""
    return quote(model if "/" in model else f"models/{model}")


def _with_options(body: dict[str, Json], config: dict[str, Json], options: Mapping[str, Json]) -> dict[str, Json]:
    """
    The request with each option in its place. Names may have underscores for capitals, which the API takes too, or be
    those of our settings. Tools of Google's stand beside functions, and do not put them out.
    """
    top: dict[str, Json] = {}
    thinking: dict[str, Json] = {}
    for given, value in options.items():
        name = re.sub("_([a-z])", lambda letter: letter[1].upper(), given)
        if name in _TOP_LEVEL:
            top[name] = value
        elif name in _THINKING:
            thinking[name] = value
        else:
            config[_SETTINGS.get(given, given)] = value
    config |= as_object(top.pop("generationConfig", None))
    if thinking:
        ours = as_object(config.get("thinkingConfig"))
        if thinking.keys() & _HOW_MUCH:
            ours = {name: value for name, value in ours.items() if name not in _HOW_MUCH}
        config["thinkingConfig"] = {**ours, **thinking}
    functions, others = body.get("tools"), top.get("tools")
    if isinstance(functions, list) and isinstance(others, list):
        top["tools"] = [*functions, *others]
    if isinstance(top.get("toolConfig"), dict):
        top["toolConfig"] = {**as_object(body.get("toolConfig")), **as_object(top["toolConfig"])}
    return {**body, **({"generationConfig": config} if config else {}), **top}


def _wait(words: str) -> float | None:
    """The seconds of a "Please retry in 1h2m3.5s.", or in 538.9ms."""
    found = _RETRY_IN.search(words)
    if found is None:
        return None
    hours, minutes, rest, thousandths = found.groups(default="0")
    return float(hours) * 3600 + float(minutes) * 60 + float(rest) / (1000 if thousandths else 1)


def _chats(entry: Mapping[str, Json]) -> bool:
    methods = entry.get("supportedGenerationMethods")
    return bool(entry.get("name")) and isinstance(methods, list) and "generateContent" in methods


def _model(entry: Mapping[str, Json]) -> Model:
    context_length, max_output_tokens = entry.get("inputTokenLimit"), entry.get("outputTokenLimit")
    return Model(
        id=str(entry["name"]).removeprefix("models/"),
        name=as_text(entry.get("displayName")) or None,
        context_length=context_length if isinstance(context_length, int) else None,
        max_output_tokens=max_output_tokens if isinstance(max_output_tokens, int) else None,
        capabilities=("chat", "thinking") if entry.get("thinking") else ("chat",),
    )
