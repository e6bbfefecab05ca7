"""
Anthropic's Messages API, natively: `POST /v1/messages`. Layer 2: knows types, errors, framing, http_errors, provider.

Sources: the Messages API reference and its pages on versioning, errors, streaming and thinking
(platform.claude.com/docs), and the official SDK `anthropic` 2.12.0, whose accumulator says how pieces are joined.
Servers that speak the same protocol (llama.cpp, gateways) leave fields out, so nothing here relies on more than it
needs.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import ClassVar
from urllib.parse import urlencode

from llmcli.errors import LlmError, ProviderFailed, RequestRejected, UsageError
from llmcli.framing import Record, as_object, as_text, parse_json, parse_object
from llmcli.http_errors import classify_in_stream, describe
from llmcli.provider import (
    ApiKey,
    Capabilities,
    ConfigKey,
    HTTPProvider,
    Reader,
    Setting,
    json_request,
    raise_error_in,
    with_headers,
)
from llmcli.providers.listed_models import models_of
from llmcli.types import (
    ChatRequest,
    Event,
    Finish,
    FinishReason,
    HttpRequest,
    Json,
    Message,
    Metadata,
    ModelPage,
    Part,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ThinkingEnd,
    ToolCall,
    ToolCallDelta,
    Usage,
)

_DEFAULT_VERSION = "2023-06-01"
_NO_SAMPLING_SINCE = "2026-10-21"
_SAMPLING = ("temperature", "top_p", "top_k")
_THINKING = ("thinking", "redacted_thinking")
_FINISH: Mapping[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_PROMPT_COUNTS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
_OVER_THE_MODELS_CAP = re.compile(r"max_tokens: \d+ > (\d+)")
_OVER_THE_CONTEXT = re.compile(r"exceed context limit: (\d+) \+ \d+ > (\d+)")


class Anthropic(HTTPProvider):
    """
    Claude, and whatever else speaks the Messages API at `base_url`.

    The API has two versions. `2023-06-01` is the default, because it is served everywhere; `2026-10-21` refuses
    `temperature`, `top_p` and `top_k` even at their defaults, so with it they are an error here and not a surprise
    there.
    """

    id = "anthropic"
    name = "Anthropic"
    default_base_url = "https://api.anthropic.com"
    base_url_env = ("ANTHROPIC_BASE_URL",)
    default_model = "claude-haiku-4-5"
    api_key = ApiKey(
        env=("ANTHROPIC_API_KEY",),
        header="x-api-key",
        scheme="",
        placeholder="sk-ant-...",
        hint="https://platform.claude.com/settings/keys",
    )
    capabilities = Capabilities(thinking=True, tools=True)
    settings: ClassVar[Mapping[str, Setting]] = {
        "max_tokens": Setting(min=1, default=16_000),
        "temperature": Setting(min=0, max=1),
        "top_p": Setting(min=0, max=1),
    }
    config_keys: ClassVar[Mapping[str, ConfigKey]] = {
        "anthropic_version": ConfigKey(f"the version of the API that is asked for; {_DEFAULT_VERSION} if not said"),
    }
    quirks = (
        "the API requires max_tokens: 16000 is sent where nothing is said, or less if the model allows less",
        "system messages are sent together, before the conversation, wherever they stood in it",
        "with anthropic_version 2026-10-21 the API takes no temperature, top_p and top_k",
        "there is no seed",
    )

    # Sent where nobody said `max_tokens`, which the API requires. Long enough for an answer with its thinking, and
    # under the cap of every model since Claude 3.7; `adapt` lowers it where the model or the prompt leaves less room.
    default_max_tokens: ClassVar[int] = 16_000

    @classmethod
    def resolve_base_url(cls, url: str) -> str:
        """The base URL without the `/v1` or `/v1/messages` that people paste with it."""
        return super().resolve_base_url(url).removesuffix("/messages").removesuffix("/v1").rstrip("/")

    # --- the request ---

    def check(self, request: ChatRequest) -> None:
        """See `Provider.check`. Raises `RequestRejected` for a seed, which the API does not have."""
        super().check(request)
        if request.seed is not None:
            raise RequestRejected(
                f"unsupported option: {self.config.id} has no seed",
                hint=f"--option seed={request.seed} sends it all the same",
            )
        self._check_sampling(request)
        for text in request.stop:
            if not text.strip():
                raise UsageError(f"{self.config.id} takes no stop sequence of nothing but white space: {text!r}")
        turns = _turns(request.messages)
        if not turns or turns[0][0] != "user":
            raise UsageError(f"a conversation with {self.config.id} must begin with something that the user says")

    def _check_sampling(self, request: ChatRequest) -> None:
        if self._version < _NO_SAMPLING_SINCE:
            return
        for name in _SAMPLING:
            if getattr(request, name, None) is not None:
                raise UsageError(
                    f"version {self._version} of the API of {self.config.id} takes no {name}",
                    hint=f'anthropic_version = "{_DEFAULT_VERSION}" takes it, from models that have it',
                )

    @property
    def _version(self) -> str:
        return str(self.config.own.get("anthropic_version") or _DEFAULT_VERSION)

    def chat_request(self, request: ChatRequest, *, stream: bool) -> HttpRequest:
        """`POST /v1/messages`."""
        body: dict[str, Json] = {
            "model": request.model,
            "max_tokens": self.default_max_tokens if request.max_tokens is None else request.max_tokens,
            "messages": [{"role": role, "content": content} for role, content in _turns(request.messages)],
        }
        system = [message.text for message in request.messages if message.role == "system" and message.text.strip()]
        if system:
            body["system"] = "\n\n".join(system)
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.top_p is not None:
            body["top_p"] = request.top_p
        if request.stop:
            body["stop_sequences"] = list(request.stop)
        if stream:
            body["stream"] = True
        return self._versioned(json_request(self.url("/v1/messages"), {**body, **request.options}, stream=stream))

    def _versioned(self, request: HttpRequest) -> HttpRequest:
        return with_headers(request, {"anthropic-version": self._version})

    def adapt(self, request: ChatRequest, error: LlmError) -> ChatRequest | None:
        """The same request with a smaller `max_tokens`, where ours was too large for the model or beside the prompt."""
        if request.max_tokens is not None or "max_tokens" in request.options:
            return None
        room = _room(error.message)
        return request._replace(max_tokens=room) if 0 < room < self.default_max_tokens else None

    # --- the answer ---

    def reader(self, request: ChatRequest) -> Reader:
        """See `HTTPProvider.reader`."""
        return _Reader()

    # --- models ---

    def models_request(self, cursor: str | None = None) -> HttpRequest:
        """`GET /v1/models`, a thousand at a time, which is the most that the API gives."""
        query = {"limit": "1000"} | ({"after_id": cursor} if cursor else {})
        url = f"{self.url('/v1/models')}?{urlencode(query)}"
        return self._versioned(HttpRequest("GET", url, {"Accept": "application/json"}))

    def read_models(self, document: object) -> ModelPage:
        """See `HTTPProvider.read_models`. Other servers give no more than the id."""
        raise_error_in(document)
        page = as_object(document)
        if not isinstance(page.get("data", ""), list | None):
            raise ProviderFailed("the list of models has no data")
        models = models_of(page["data"])
        return ModelPage(models, next=as_text(page.get("last_id")) or None if page.get("has_more") else None)


# --- our messages -> their turns ------------------------------------------------------------------


def _turns(messages: Iterable[Message]) -> list[tuple[str, Json]]:
    """
    The conversation as the API takes it: user and assistant in turn, nothing empty, nothing that ends in thinking.

    Neighbours of one role become one turn, which an answer in several messages must be anyway
    (olimorris/codecompanion.nvim#1752), and a blank block of text is left out (anomalyco/opencode#15715).
    """
    turns: list[tuple[str, list[Json]]] = []
    spoken = (message for message in messages if message.role != "system")
    for role, run in groupby(spoken, key=_speaker):
        blocks = _blocks(part for message in run for part in message.parts)
        if turns and turns[-1][0] == role:
            turns[-1][1].extend(blocks)
        elif blocks:
            turns.append((role, blocks))
    return [(role, _content(blocks)) for role, blocks in turns]


def _speaker(message: Message) -> str:
    """The API knows two: what is not the model's own comes from the user."""
    return "assistant" if message.role == "assistant" else "user"


def _content(blocks: list[Json]) -> Json:
    """Text alone goes as a string, the shape that every server of this protocol takes."""
    match blocks:
        case [{"type": "text", "text": str(text)}]:
            return text
    return blocks


def _blocks(parts: Iterable[Part]) -> list[Json]:
    """
    The parts as content blocks in their order. Thinking goes back only if nothing of it is missing: signed, and
    followed by what it led to (`The final block in an assistant message cannot be thinking`, forgecode#2107).
    """
    blocks = [block for part in parts if (block := _block(part)) is not None]
    while blocks and blocks[-1]["type"] in _THINKING:
        blocks.pop()
    return [*blocks]


def _block(part: Part) -> dict[str, Json] | None:
    match part:
        case Text(text):
            return {"type": "text", "text": text} if text.strip() else None
        case ToolCall(id, name):
            return {"type": "tool_use", "id": id, "name": name, "input": _input(part)}
        case Thinking(_, {"type": "redacted_thinking"}):
            return dict(part.opaque)
        case Thinking(text, {"signature": signature}):
            return {"type": "thinking", "thinking": text, "signature": signature}
    return None  # thinking without a signature comes from elsewhere, and the API refuses it


def _input(call: ToolCall) -> Json:
    """The arguments as an object; what is none goes back as the documentation of tool streaming advises, wrapped."""
    arguments = parse_object(call.arguments)
    return {"INVALID_JSON": call.arguments} if arguments is None else arguments


def _room(message: str) -> int:
    """The tokens that are left for the answer according to an error message, or 0."""
    if found := _OVER_THE_MODELS_CAP.search(message):
        return int(found[1])
    if found := _OVER_THE_CONTEXT.search(message):
        return int(found[2]) - int(found[1])
    return 0


# --- their answer -> our events -------------------------------------------------------------------


@dataclass(slots=True)
class _Block:
    """A content block that has begun and is not complete."""

    start: Mapping[str, Json]
    signature: str = ""
    fragments: list[str] = field(default_factory=list)


class _Reader(Reader):
    """Reads the events of one message; a whole message is read as if its blocks had come one after the other."""

    def __init__(self) -> None:
        self._blocks: dict[int, _Block] = {}
        self._counts: dict[str, int] = {}
        self._stop_reason: str | None = None
        self._called = False

    def feed(self, record: Record) -> Iterator[Event]:
        """See `Reader.feed`. The type stands in the data; of the names of SSE events only `error` says more."""
        if record.event == "error":
            raise classify_in_stream(describe(record.data.encode()))
        event = as_object(parse_json(record.data))
        match event.get("type"):
            case "content_block_delta":
                return self._delta(_index(event), as_object(event.get("delta")))
            case "content_block_start":
                return self._begin(_index(event), as_object(event.get("content_block")))
            case "content_block_stop":
                return self._complete(_index(event))
            case "message_start":
                return self._describe(as_object(event.get("message")))
            case "message_delta":
                return self._stop(as_object(event.get("delta")), as_object(event.get("usage")))
            case "message_stop":
                return self._finish()
        raise_error_in(event)
        return iter(())

    def whole(self, document: object) -> Iterator[Event]:
        """See `Reader.whole`."""
        message = as_object(document)
        content = message.get("content")
        if not isinstance(content, list):
            raise ProviderFailed("the answer has no content")
        yield from self._describe(message)
        for index, block in enumerate(content):
            yield from self._begin(index, as_object(block))
            yield from self._complete(index)
        yield from self._stop(message, {})
        yield from self._finish()

    def _describe(self, message: Mapping[str, Json]) -> Iterator[Event]:
        told = {name: message[name] for name in ("model", "id") if message.get(name)}
        if told:
            yield Metadata(told)
        yield from self._count(as_object(message.get("usage")))

    def _begin(self, index: int, start: Mapping[str, Json]) -> Iterator[Event]:
        """
        A block begins, for some servers with all that it has (Yeachan-Heo/gajae-code#1895).

        It ends the thinking before it: llama.cpp says that its blocks are complete only after the last one.
        """
        for earlier in [index for index, block in self._blocks.items() if block.start.get("type") in _THINKING]:
            yield from self._complete(earlier)
        self._blocks[index] = _Block(start, signature=as_text(start.get("signature")))
        if start.get("type") == "text" and (text := as_text(start.get("text"))):
            yield TextDelta(text)
        elif start.get("type") == "thinking" and (text := as_text(start.get("thinking"))):
            yield ThinkingDelta(text)

    def _delta(self, index: int, delta: Mapping[str, Json]) -> Iterator[Event]:
        match delta.get("type"):
            case "text_delta":
                yield TextDelta(as_text(delta.get("text")))
            case "thinking_delta":
                if text := as_text(delta.get("thinking")):
                    yield ThinkingDelta(text)
            case "signature_delta" if index in self._blocks:
                self._blocks[index].signature = as_text(delta.get("signature"))
            case "input_json_delta" if index in self._blocks:
                block, fragment = self._blocks[index], as_text(delta.get("partial_json"))
                block.fragments.append(fragment)
                if block.start.get("type") == "tool_use":
                    yield ToolCallDelta(as_text(block.start.get("name")), fragment)

    def _complete(self, index: int) -> Iterator[Event]:
        """A block is complete. Thinking may have no text at all and must still go back (pipecat-ai/pipecat#5183)."""
        block = self._blocks.pop(index, None)
        if block is None:
            return
        match block.start.get("type"):
            case "thinking":
                yield ThinkingEnd({"signature": block.signature} if block.signature else {})
            case "redacted_thinking":
                yield ThinkingEnd(block.start)
            case "tool_use":
                self._called = True
                yield _tool_call(index, block)

    def _stop(self, message: Mapping[str, Json], usage: Mapping[str, Json]) -> Iterator[Event]:
        """What is known only at the end: why the model stopped, and what it used."""
        self._stop_reason = as_text(message.get("stop_reason")) or self._stop_reason
        yield from self._count(usage)
        told: dict[str, Json] = {}
        if message.get("stop_sequence"):
            told["stop_sequence"] = message["stop_sequence"]
        if details := as_object(message.get("stop_details")):
            told["stop_details"] = details
            if self._stop_reason == "refusal" and (why := details.get("explanation") or details.get("category")):
                told["refusal"] = why
        if told:
            yield Metadata(told)

    def _finish(self) -> Iterator[Event]:
        for index in sorted(self._blocks):
            yield from self._complete(index)
        self.complete = True
        reason: FinishReason = _FINISH.get(self._stop_reason, "other") if self._stop_reason else "stop"
        if self._called and reason in ("stop", "other"):
            reason = "tool_calls"
        yield Finish(reason, self._stop_reason)

    def _count(self, usage: Mapping[str, Json]) -> Iterator[Usage]:
        """
        Token counts are cumulative: each replaces the one before, and null says nothing (langchain-ai/langchain#32525).

        `input_tokens` replaces the cache's counts too: some servers count the cached tokens among it at first and
        apart from it later (maximhq/bifrost#5355).
        """
        details = as_object(usage.get("output_tokens_details"))
        told = {name: count for name, count in (*usage.items(), *details.items()) if isinstance(count, int)}
        if not told:
            return
        if "input_tokens" in told:
            self._counts = {name: count for name, count in self._counts.items() if name not in _PROMPT_COUNTS}
        self._counts |= told
        prompt = [self._counts[name] for name in _PROMPT_COUNTS if name in self._counts]
        completion = self._counts.get("output_tokens")
        yield Usage(
            prompt_tokens=sum(prompt) if prompt else None,
            completion_tokens=completion,
            total_tokens=sum(prompt) + completion if prompt and completion is not None else None,
            cached_tokens=self._counts.get("cache_read_input_tokens"),
            reasoning_tokens=self._counts.get("thinking_tokens"),
        )


def _tool_call(index: int, block: _Block) -> ToolCall:
    """A tool without arguments streams nothing but "" (BerriAI/litellm#5064)."""
    arguments = "".join(block.fragments)
    if not arguments.strip():
        arguments = json.dumps(as_object(block.start.get("input")), ensure_ascii=False)
    return ToolCall(
        id=as_text(block.start.get("id")) or f"call_{index}",
        name=as_text(block.start.get("name")),
        arguments=arguments,
        valid=parse_object(arguments) is not None,
    )


def _index(event: Mapping[str, Json]) -> int:
    index = event.get("index")
    return index if isinstance(index, int) else 0
