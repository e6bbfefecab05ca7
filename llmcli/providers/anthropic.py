"""
Anthropic's Messages API, natively: `POST /v1/messages`. Layer 2: knows types, errors, framing, http_errors, provider.

Sources: the Messages API reference and its pages on versioning, errors, streaming and thinking
(platform.claude.com/docs), and the official SDK `anthropic` 2.12.0, whose accumulator says how pieces are joined.
Servers that speak the same protocol (llama.cpp, gateways) leave fields out, so nothing here relies on more than it
needs.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
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
from llmcli.providers import messages_thinking as thinking
from llmcli.providers import signed_thinking
from llmcli.providers.listed_models import models_of
from llmcli.providers.messages_schema import AnswerTool, answer_tool, constrained
from llmcli.providers.messages_turns import turns_of
from llmcli.types import (
    ChatRequest,
    Event,
    Finish,
    FinishReason,
    HttpRequest,
    Json,
    Metadata,
    ModelPage,
    TextDelta,
    ThinkingDelta,
    ThinkingEnd,
    Tool,
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
_LARGEST_IMAGE = 10 * 2**20 * 3 // 4  # bytes; the limit is one of the base64, which is a third longer
_LARGEST_DOCUMENT = 32 * 10**6 * 3 // 4 - 2**20  # so that it and a long prompt fit into a request of 32 MB
_PROMPT_COUNTS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
_OVER_THE_MODELS_CAP = re.compile(r"max_tokens: \d+ > (\d+)")
_FORMAT_REFUSED = r"(?i)output_config(?!\.effort)|output_format|structured.outputs?|json_schema|\bschema\b|grammar"
_FORCE_REFUSED = r"(?i)tool_choice"
_ALWAYS_THINKS = r"(?i)thinking\.type\.disabled|between_tools|thinking cannot be disabled"
# Words of `ChatRequest.without`.
_SIGNATURE = "signature"  # of thinking, which another model or another account had signed
_ABOVE = "max_tokens above "  # and the most that the model allows
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
    capabilities = Capabilities(thinking=True, vision=True, tools=True, schema=True)
    settings: ClassVar[Mapping[str, Setting]] = {
        "max_tokens": Setting(min=1, default=16_000),
        "temperature": Setting(min=0, max=1),
        "top_p": Setting(min=0, max=1),
    }
    config_keys: ClassVar[Mapping[str, ConfigKey]] = {
        "anthropic_version": ConfigKey(f"the version of the API that is asked for; {_DEFAULT_VERSION} if not said"),
    }
    attachments: ClassVar[Mapping[str, int]] = {
        **dict.fromkeys(("image/png", "image/jpeg", "image/gif", "image/webp"), _LARGEST_IMAGE),
        "application/pdf": _LARGEST_DOCUMENT,
    }
    attachment_urls = True
    quirks = (
        "the API requires max_tokens: 16000 is sent where nothing is said, or less if the model allows less; what the "
        "model may think for comes on top of it",
        "system messages are sent together, before the conversation, wherever they stood in it",
        "with anthropic_version 2026-10-21 the API takes no temperature, top_p and top_k",
        "there is no seed",
        "--thinking is a budget of tokens for models before Claude 4.6 and an effort for later ones, which a number of "
        "tokens becomes too",
        "a schema that the API cannot keep to by itself is asked for as the arguments of a tool",
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
        thinking.check(request, self.config.id)
        for text in request.stop:
            if not text.strip():
                raise UsageError(f"{self.config.id} takes no stop sequence of nothing but white space: {text!r}")
        turns = turns_of(request.messages)
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
        request = _capped(request)
        body: dict[str, Json] = {
            "model": request.model,
            "max_tokens": self._max_tokens(request),
            "messages": [{"role": role, "content": content} for role, content in _turns(request)],
        }
        if system := "\n\n".join(self._system(request)):
            body["system"] = system
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.top_p is not None:
            body["top_p"] = request.top_p
        if request.stop:
            body["stop_sequences"] = list(request.stop)
        if stream:
            body["stream"] = True
        body |= _tools(request) | _thinking_and_form(request)
        return self._versioned(json_request(self.url("/v1/messages"), _with_options(body, request), stream=stream))

    def _system(self, request: ChatRequest) -> list[str]:
        """
        The system messages, and how to give an answer that has a schema. Other servers may pass `output_config` over
        without a word, so that they are told in words too.
        """
        said = [message.text for message in request.messages if message.role == "system" and message.text.strip()]
        by_tool = _answer_tool(request)
        if by_tool is not None and not _forces_answer(request):
            said.append(f"Give the answer by calling the tool {by_tool.tool.name}, and in no other way.")
        if by_tool is None and request.schema is not None and self.base_url != self.default_base_url:
            document = json.dumps(dict(request.schema.document), ensure_ascii=False)
            said.append(f"Answer with JSON alone, of this JSON schema: {document}")
        return said

    def _max_tokens(self, request: ChatRequest) -> int:
        """What the model thinks counts among them: where we choose them, it does not shorten the answer."""
        if request.max_tokens is not None:
            return request.max_tokens
        return self.default_max_tokens + thinking.control(request).budget

    def _versioned(self, request: HttpRequest) -> HttpRequest:
        return with_headers(request, {"anthropic-version": self._version})

    # --- what the service refuses ---

    def adapt(self, request: ChatRequest, error: LlmError) -> ChatRequest | None:
        """
        The same request with a smaller `max_tokens`, where ours was too large for the model or beside the prompt; or
        with one of our choices said in another way, each of which is changed once.
        """
        if not isinstance(error, RequestRejected):
            return None
        room = _room(error.message)
        if request.max_tokens is None and "max_tokens" not in request.options and 0 < room < self._max_tokens(request):
            # What the model allows holds for all that it is asked; what is left beside a prompt for this one alone.
            learnt = {f"{_ABOVE}{room}"} if _OVER_THE_MODELS_CAP.search(error.message) else set()
            return request._replace(max_tokens=room, without=request.without | learnt)
        for name, refusal in (*_signatures(request), *_choices(request), *thinking.choices(request)):
            if re.search(refusal, error.message):
                return request._replace(without=request.without | {name})
        return None

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> LlmError:
        """See `HTTPProvider.read_error`."""
        error = super().read_error(status, headers, body)
        if type(error) is RequestRejected and re.search(_ALWAYS_THINKS, error.message):
            error.hint = "the model always thinks: leave --thinking off out, or say --thinking low"
        elif type(error) is RequestRejected and re.search(thinking.NOT_WITH_A_FORCED_CALL, error.message):
            error.hint = "--tool-choice auto leaves it to the model, which thinks, whether a tool is called"
        return error

    # --- the answer ---

    def reader(self, request: ChatRequest) -> Reader:
        """See `HTTPProvider.reader`."""
        return _Reader(_answer_tool(request), request.model)

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


# --- the conversation -----------------------------------------------------------------------------


def _turns(request: ChatRequest) -> list[tuple[str, Json]]:
    return turns_of(request.messages, request.model, signed=_SIGNATURE not in request.without)


def _capped(request: ChatRequest) -> ChatRequest:
    """The request with no more `max_tokens` than the model is known to allow, where nobody said how many."""
    caps = [int(name.removeprefix(_ABOVE)) for name in request.without if name.startswith(_ABOVE)]
    return request._replace(max_tokens=min(caps)) if caps and request.max_tokens is None else request


def _signatures(request: ChatRequest) -> Iterator[tuple[str, str]]:
    """The signatures of a conversation, if they were not refused yet, and the error that refuses them."""
    if _SIGNATURE not in request.without and _turns(request) != turns_of(request.messages, request.model, signed=False):
        yield _SIGNATURE, signed_thinking.REFUSED


# --- tools and schemas ----------------------------------------------------------------------------


def _answer_tool(request: ChatRequest) -> AnswerTool | None:
    """The tool that takes the answer, where the API cannot keep to the schema by itself."""
    if request.schema is None:
        return None
    if "format" not in request.without and constrained(request.schema.document) is not None:
        return None
    return answer_tool(request.schema, request.tools)


def _forces_answer(request: ChatRequest) -> bool:
    """Some models refuse to be forced to call a tool, and all do while they think."""
    return "forced" not in request.without and not thinking.control(request).budget


def _tools(request: ChatRequest) -> dict[str, Json]:
    """The tools and which of them to call."""
    by_tool = _answer_tool(request)
    tools = request.tools
    if by_tool is not None:  # which must be callable whatever else must not
        tools = (*(() if request.tool_choice == "none" else tools), by_tool.tool)
    if not tools:
        return {}
    choice = _choice(request.tool_choice) if by_tool is None else _choice_with(by_tool, request)
    return {"tools": [_tool(tool) for tool in tools]} | ({"tool_choice": choice} if choice else {})


def _tool(tool: Tool) -> Json:
    described: dict[str, Json] = {"description": tool.description} if tool.description else {}
    return {"name": tool.name, **described, "input_schema": {"type": "object", **tool.parameters}}


def _choice(asked: str | None) -> dict[str, Json] | None:
    match asked:
        case None:
            return None
        case "auto" | "none":
            return {"type": asked}
        case "required":
            return {"type": "any"}
    return {"type": "tool", "name": asked}


def _choice_with(by_tool: AnswerTool, request: ChatRequest) -> dict[str, Json] | None:
    """The same with the tool that takes the answer among them: to answer is to call it, or another one before."""
    others = request.tools if request.tool_choice != "none" else ()
    if request.tool_choice not in (None, "auto", "none") or not _forces_answer(request):
        return _choice(request.tool_choice) if others else None
    return {"type": "any"} if others else {"type": "tool", "name": by_tool.tool.name}


def _thinking_and_form(request: ChatRequest) -> dict[str, Json]:
    """How much to think, and the form of the answer."""
    how = thinking.control(request)
    fields: dict[str, Json] = {"thinking": how.thinking} if how.thinking else {}
    output: dict[str, Json] = {"effort": how.effort} if how.effort else {}
    if request.schema is not None and _answer_tool(request) is None:
        output["format"] = {"type": "json_schema", "schema": constrained(request.schema.document)}
    return fields | ({"output_config": output} if output else {})


def _with_options(body: Mapping[str, Json], request: ChatRequest) -> dict[str, Json]:
    """The body with the user's options, which win; one part of `output_config` does not put the other out."""
    ours, theirs = body.get("output_config"), request.options.get("output_config")
    merged = {**body, **request.options}
    if isinstance(ours, dict) and isinstance(theirs, dict):
        merged["output_config"] = ours | theirs
    return merged


def _choices(request: ChatRequest) -> Iterator[tuple[str, str]]:
    """What we chose for a schema and could do in another way, and the pattern of the error that refuses it."""
    if request.schema is None:
        return
    if _answer_tool(request) is None:
        yield "format", _FORMAT_REFUSED
    elif _forces_answer(request) and request.tool_choice in (None, "auto", "none"):
        yield "forced", _FORCE_REFUSED


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
    """
    Reads the events of one message; a whole message is read as if its blocks had come one after the other.

    Where a tool takes the answer, what it is called with becomes the text. What the model says besides is held back,
    and told only if it did not call that tool.
    """

    def __init__(self, answer_tool: AnswerTool | None = None, model: str = "") -> None:
        self._answer_tool = answer_tool
        self._model = model
        self._answered = False
        self._held: list[str] = []
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
            yield from self._delta(index, {"type": "text_delta", "text": text})
        elif start.get("type") == "tool_use" and not self._takes_answer(start):
            yield from self._told()
        elif start.get("type") == "thinking" and (text := as_text(start.get("thinking"))):
            yield ThinkingDelta(text)

    def _delta(self, index: int, delta: Mapping[str, Json]) -> Iterator[Event]:
        match delta.get("type"):
            case "text_delta" if self._answer_tool is None:  # nearly every event of nearly every answer
                yield TextDelta(as_text(delta.get("text")))
            case "text_delta":
                self._held.append(as_text(delta.get("text")))
            case "thinking_delta":
                if text := as_text(delta.get("thinking")):
                    yield ThinkingDelta(text)
            case "signature_delta" if index in self._blocks:
                self._blocks[index].signature = as_text(delta.get("signature"))
            case "input_json_delta" if index in self._blocks:
                block, fragment = self._blocks[index], as_text(delta.get("partial_json"))
                block.fragments.append(fragment)
                if block.start.get("type") == "tool_use" and not self._takes_answer(block.start):
                    yield ToolCallDelta(as_text(block.start.get("name")), fragment)

    def _complete(self, index: int) -> Iterator[Event]:
        """A block is complete. Thinking may have no text at all and must still go back (pipecat-ai/pipecat#5183)."""
        block = self._blocks.pop(index, None)
        if block is None:
            return
        match block.start.get("type"):
            case "thinking":
                yield ThinkingEnd(
                    {"signature": block.signature, signed_thinking.MODEL: self._model} if block.signature else {}
                )
            case "redacted_thinking":
                yield ThinkingEnd({**block.start, signed_thinking.MODEL: self._model})
            case "tool_use" if self._answer_tool is not None and self._takes_answer(block.start):
                yield from self._answer(self._answer_tool.text_of(_tool_call(index, block).arguments))
            case "tool_use":
                self._called = True
                yield _tool_call(index, block)

    def _takes_answer(self, start: Mapping[str, Json]) -> bool:
        return self._answer_tool is not None and start.get("name") == self._answer_tool.tool.name

    def _answer(self, text: str) -> Iterator[Event]:
        """The answer, which is one document: a model that is not forced may give it twice."""
        if not self._answered:
            self._answered = True
            yield TextDelta(text)

    def _told(self) -> Iterator[Event]:
        """What was held back."""
        if text := "".join(self._held):
            yield TextDelta(text)
        self._held.clear()

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
        if not self._answered:
            yield from self._told()
        self.complete = True
        reason: FinishReason = _FINISH.get(self._stop_reason, "other") if self._stop_reason else "stop"
        if self._answered and reason == "tool_calls":
            reason = "stop"  # its call was the answer
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
