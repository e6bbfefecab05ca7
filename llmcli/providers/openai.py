"""
OpenAI's chat completions, and with them the dialect that most services speak. Layer 2: knows types, errors, framing,
http_errors and the contract.

How a service differs is said by class attributes of `OpenAI`, so that a vendor is a subclass of a few lines; see
`vendors.py`. The reader takes whatever the dialect's servers are known to send, for all of them alike.
"""

import json
import re
from binascii import crc32
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar, Literal, TypeAlias, cast

from llmcli import http_errors
from llmcli.errors import LlmError, ProviderFailed, RequestRejected
from llmcli.framing import Record, parse_json, parse_json_stream
from llmcli.provider import ApiKey, ConfigKey, HTTPProvider, Reader, json_request, raise_error_in, with_headers
from llmcli.providers.listed_models import models_of
from llmcli.providers.think_tags import ThinkTags
from llmcli.providers.tool_calls import ToolCallAssembler, new_call_id
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
    TextDelta,
    Thinking,
    ThinkingDelta,
    ThinkingEnd,
    ToolCall,
    Usage,
)

JsonObject: TypeAlias = dict[str, Json]

# Words with which a service says that it does not know a parameter, and not that its value is wrong.
_REFUSED = re.compile(
    r"unsupported|not support|unknown|unrecogni[sz]ed|unexpected|extra (?:input|field)|extra_forbidden"
    r"|not permitted|not allowed|invalid field",
    re.IGNORECASE,
)
_TOKEN_FIELDS = ("max_completion_tokens", "max_tokens")


class OpenAI(HTTPProvider):
    """
    OpenAI itself; a subclass says where another service differs.

    `token_field`: how the limit of output tokens is called. `system_role`: the role of a system message.
    `seed_field`: the name of the seed. `stream_options`: whether the usage of a stream must and may be asked for.
    `reasoning_echo`: which assistant messages are sent back with their reasoning. `reasoning_field`: under which name.
    `think_tags`: the tags at the start of the text that hold thinking. `call_id_length`: the length of tool call ids
    where only that many alphanumerics are taken. `own_headers`: headers, and the configuration keys that hold their
    values. `metadata_fields`: what else of an answer is worth keeping.
    """

    id = "openai"
    name = "OpenAI"
    default_base_url: ClassVar[str | None] = "https://api.openai.com/v1"
    base_url_env: ClassVar[tuple[str, ...]] = ("OPENAI_BASE_URL",)
    default_model: str | None = "gpt-5.6-luna"
    api_key = ApiKey(env=("OPENAI_API_KEY",), hint="https://platform.openai.com/api-keys")
    config_keys: ClassVar[Mapping[str, ConfigKey]] = {
        "organization": ConfigKey("sent as OpenAI-Organization", env=("OPENAI_ORG_ID",)),
        "project": ConfigKey("sent as OpenAI-Project", env=("OPENAI_PROJECT_ID",)),
    }
    quirks: ClassVar[tuple[str, ...]] = (
        "Reasoning models refuse a temperature or top-p other than their default.",
        "The text of the reasoning is never shown, only the number of its tokens.",
    )

    chat_path: ClassVar[str] = "/chat/completions"
    token_field: ClassVar[Literal["max_completion_tokens", "max_tokens"]] = "max_completion_tokens"
    system_role: ClassVar[Literal["developer", "system"]] = "developer"
    seed_field: ClassVar[str] = "seed"
    stream_options: ClassVar[bool] = True
    reasoning_echo: ClassVar[Literal["none", "tool_turns", "all"]] = "none"
    reasoning_field: ClassVar[str] = "reasoning_content"
    think_tags: ClassVar[tuple[str, ...]] = ("think",)
    call_id_length: ClassVar[int | None] = None
    own_headers: ClassVar[Mapping[str, str]] = {"OpenAI-Organization": "organization", "OpenAI-Project": "project"}
    metadata_fields: ClassVar[tuple[str, ...]] = ("provider", "citations", "search_results")

    @classmethod
    def resolve_base_url(cls, url: str) -> str:
        """The base URL holds the version, and `/v1` is never added: not every service has it. A pasted path goes."""
        return url.strip().rstrip("/").removesuffix(cls.chat_path).rstrip("/")

    # --- requests ---

    def chat_request(self, request: ChatRequest, *, stream: bool) -> HttpRequest:
        """See `HTTPProvider.chat_request`."""
        body = self.body(request, stream=stream)
        return with_headers(json_request(self.chat_url(request), body, stream=stream), self.extra_headers())

    def chat_url(self, request: ChatRequest) -> str:
        """Where the request goes."""
        return self.url(self.chat_path)

    def extra_headers(self) -> dict[str, str]:
        """Headers that go with every request."""
        return {header: str(value) for header, key in self.own_headers.items() if (value := self.config.own.get(key))}

    def body(self, request: ChatRequest, *, stream: bool) -> JsonObject:
        """The body of a chat request. What was not said is not in it, not even as null; options win."""
        body: JsonObject = {"model": request.model, "messages": self.messages(request)}
        if stream:
            body["stream"] = True
            if self.stream_options and "stream_options" not in request.without:
                body["stream_options"] = {"include_usage": True}
        said = {
            self._token_field(request): request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "stop": list[Json](request.stop) or None,
            self.seed_field: request.seed,
        }
        body.update({name: value for name, value in said.items() if value is not None})
        body.update(request.options)
        return body

    def messages(self, request: ChatRequest) -> list[Json]:
        """The conversation in the API's format."""
        used_ids: set[str] = set()
        return [self._message(message, request, used_ids) for message in request.messages]

    def _message(self, message: Message, request: ChatRequest, used_ids: set[str]) -> JsonObject:
        if message.role == "assistant":
            return self._assistant(message, used_ids)
        role = self._system_role(request) if message.role == "system" else message.role
        # Text alone is a plain string: several servers refuse a list of parts.
        return {"role": role, "content": message.text}

    def _assistant(self, message: Message, used_ids: set[str]) -> JsonObject:
        sent: JsonObject = {"role": "assistant"}
        calls = [part for part in message.parts if isinstance(part, ToolCall)]
        # Beside tool calls the content may be left out; null and "" are each refused somewhere.
        if message.text or not calls:
            sent["content"] = message.text
        if self.reasoning_echo == "all" or (self.reasoning_echo == "tool_turns" and calls):
            sent.update(self._reasoning(part for part in message.parts if isinstance(part, Thinking)))
        if calls:
            sent["tool_calls"] = [self._tool_call(call, used_ids) for call in calls]
        return sent

    def _reasoning(self, blocks: Iterable[Thinking]) -> JsonObject:
        """The reasoning of a message as it is sent back: OpenRouter's details unchanged, or else the text."""
        text, details = "", list[Json]()
        for block in blocks:
            text += block.text
            kept = block.opaque.get("reasoning_details")
            details += kept if isinstance(kept, list) else []
        if details:
            return {"reasoning_details": details}
        return {self.reasoning_field: text} if text else {}

    def _tool_call(self, call: ToolCall, used_ids: set[str]) -> JsonObject:
        function: JsonObject = {"name": call.name, "arguments": call.arguments}
        return {"id": self._call_id(call.id, used_ids), "type": "function", "function": function, **call.opaque}

    def _call_id(self, call_id: str, used: set[str]) -> str:
        """
        The id of a call on the wire: unique in the conversation, though some servers send one id for every call
        (open-webui/open-webui#28305), and of the length that the service wants (langchain-ai/langchain#24668).
        """
        wanted = self._fitting(call_id)
        if wanted in used:
            wanted = self._fitting(f"{call_id}_{len(used)}")
        used.add(wanted)
        return wanted

    def _fitting(self, call_id: str) -> str:
        length = self.call_id_length
        if length is None or (len(call_id) == length and call_id.isascii() and call_id.isalnum()):
            return call_id
        return f"{crc32(call_id.encode()):0{length}x}"

    def new_call_id(self) -> str:
        """An id for a tool call that came without one."""
        return new_call_id()[-self.call_id_length :] if self.call_id_length else new_call_id()

    def _system_role(self, request: ChatRequest) -> str:
        return "system" if "developer" in request.without else self.system_role

    def _token_field(self, request: ChatRequest) -> str:
        other = next(field for field in _TOKEN_FIELDS if field != self.token_field)
        return other if self.token_field in request.without else self.token_field

    # --- what the service refuses ---

    def adapt(self, request: ChatRequest, error: LlmError) -> ChatRequest | None:
        """See `HTTPProvider.adapt`. Each of our own choices is changed once; what the user asked for stays."""
        if not isinstance(error, RequestRejected):
            return None
        refused = next((name for name in self._own_choices(request) if _refuses(error, name)), None)
        if refused is None:
            return None
        return request._replace(without=request.without | {refused})

    def _own_choices(self, request: ChatRequest) -> Iterator[str]:
        """The names in the request that we chose and could leave out or say in another way."""
        if self.stream_options and "stream_options" not in request.without | request.options.keys():
            yield "stream_options"
        tried = request.without.intersection(_TOKEN_FIELDS)
        if request.max_tokens is not None and not tried and self.token_field not in request.options:
            yield self.token_field
        system = any(message.role == "system" for message in request.messages)
        if system and self._system_role(request) == "developer":
            yield "developer"

    # --- answers ---

    def reader(self, request: ChatRequest) -> Reader:
        """See `HTTPProvider.reader`."""
        return ChatReader(self)

    def think_splitter(self) -> ThinkTags:
        """What takes the thinking out of the text of one answer."""
        return ThinkTags(self.think_tags)

    def models_request(self, cursor: str | None = None) -> HttpRequest | None:
        """See `HTTPProvider.models_request`. The dialect has no pages."""
        return HttpRequest("GET", self.url("/models"), {"Accept": "application/json", **self.extra_headers()})

    def read_models(self, document: object) -> ModelPage:
        """See `HTTPProvider.read_models`. Only the id of a model is certain (maximhq/bifrost#6711)."""
        raise_error_in(document)
        listed = document
        if isinstance(document, dict):
            listed = document.get("data") or document.get("models")
        return ModelPage(models_of(listed, prefix="models/"))  # which Gemini puts in front, and takes without


def _refuses(error: RequestRejected, name: str) -> bool:
    """Whether the error is about our use of `name`, and not about its value."""
    if name == "developer":
        return name in error.message.lower() or (error.parameter or "").endswith("role")
    return (
        re.search(rf"\b{name}\b", error.parameter or error.message) is not None
        and _REFUSED.search(error.message) is not None
    )


_NOTHING: tuple[Json, ...] = (None, "", [], {})


# --- the reader -----------------------------------------------------------------------------------


class ChatReader(Reader):
    """
    Reads one chat completion, whole or streamed.

    A stream is complete when a finish reason or `[DONE]` was seen. `Finish` waits for `[DONE]` or the end, because the
    usage comes after the finish reason (langchain-ai/langchain#35559).
    """

    def __init__(self, provider: OpenAI) -> None:
        self._tags = provider.think_splitter()
        self._calls = ToolCallAssembler(provider.new_call_id)
        self.fields = ("model", "id", *provider.metadata_fields)  # of a document, for the metadata
        self._keep_details = provider.reasoning_echo != "none"
        self._metadata: JsonObject = {}
        self._described = False
        self._index: Json = None  # of the choice that we read; with `n=2` there are two, and their pieces alternate
        self._spoke = False
        self._thinking = False
        self._details: list[JsonObject] = []
        self._refusal = ""
        self._annotations: list[Json] = []
        self._usage: Usage | None = None
        self._raw: str | None = None

    # --- records ---

    def feed(self, record: Record) -> Iterator[Event]:
        """See `Reader.feed`."""
        data = record.data
        if record.event == "error" and data.strip():
            raise http_errors.classify_in_stream(http_errors.describe(data.encode()))
        if data[:1] != "{":
            return self._odd(data.strip())
        try:
            document = parse_json(data)
        except ProviderFailed:
            return self._odd(data.strip())
        return iter(self.chunk(document))

    def _odd(self, text: str) -> Iterator[Event]:
        """A record that is not one JSON document: blank, `[DONE]` with or without more, or several documents."""
        done = text.startswith("[DONE]")
        if not done:
            rest = text.removesuffix("[DONE]")
            done = rest != text
            for document in parse_json_stream(rest):
                yield from self.chunk(document)
        if done:
            self.complete = True
            yield from self._finish()

    def end(self) -> Iterator[Event]:
        """See `Reader.end`. Some servers never send `[DONE]` (ikawrakow/ik_llama.cpp#467)."""
        return iter(self._finish() if self._raw else ())

    def whole(self, document: object) -> Iterator[Event]:
        """See `Reader.whole`. Here, without a finish reason, the end of the document is the end of the answer."""
        answer = cast("JsonObject", document) if isinstance(document, dict) else {}
        choices = answer.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict):
            explanation = http_errors.describe(json.dumps(document).encode()).message
            raise ProviderFailed(f"the answer has no choices: {explanation}")
        raise_error_in(choice)
        events: list[Event] = []
        self._describe(answer, events)
        self._index = 0
        self._message(choice.get("message"), events)
        self._ending(choice)
        self._count(answer)
        if not (self._spoke or self._raw):
            raise ProviderFailed("the answer is empty: it has neither a message nor a finish reason")
        self.complete = True
        return iter(events + self._finish())

    # --- chunks: each method appends the events that it finds ---

    def chunk(self, document: object) -> list[Event]:
        """The events of one chunk. This and what it calls for a plain piece of text is run for every token."""
        if not isinstance(document, dict):
            raise_error_in(document)
            return []  # `data: null` keeps the connection alive (NousResearch/hermes-agent#80822)
        chunk = cast("JsonObject", document)
        choices = chunk.get("choices")
        if not choices or "error" in chunk:
            raise_error_in(chunk)
        events: list[Event] = []
        if not self._described:
            self._describe(chunk, events)
        if chunk.get("usage") or "x_groq" in chunk:  # OpenAI says `"usage": null` with every piece of text
            self._count(chunk)
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                self._choice(choice, events)
        if self._raw:
            self._describe(chunk, events)  # what is known only at the end, as Perplexity's citations
        return events

    def _choice(self, choice: JsonObject, events: list[Event]) -> None:
        index = choice.get("index") or 0
        if index != self._index:
            if self._index is not None:
                return
            self._index = index
        if "error" in choice:
            raise_error_in(choice)
        delta = choice.get("delta")
        if isinstance(delta, dict):
            self._delta(delta, events)
        elif "delta" not in choice and not self._spoke:
            self._message(choice.get("message"), events)
        if choice.get("finish_reason") is not None or "usage" in choice:
            self._ending(choice)

    def _delta(self, delta: JsonObject, events: list[Event]) -> None:
        content = delta.get("content")
        if len(delta) == 1 and type(content) is str:  # nearly every delta of nearly every answer
            self._text(content, events)
            return
        self._think(_reasoning(delta), events)
        if self._keep_details:
            self._keep(delta.get("reasoning_details"))
        for part in content if isinstance(content, list) else [content]:
            self._part(part, events)
        self._refuse(delta.get("refusal"), events)
        self._tool_calls(delta, events)
        annotations = delta.get("annotations")
        self._annotations += annotations if isinstance(annotations, list) else []

    def _message(self, message: Json, events: list[Event]) -> None:
        """A message that came whole. Each of its tool calls stands for itself, with or without an index."""
        if not isinstance(message, dict):
            return
        calls = message.get("tool_calls")
        self._delta({**message, "tool_calls": None}, events)
        for index, call in enumerate(calls if isinstance(calls, list) else ()):
            if isinstance(call, dict):
                self._spoke = True
                self._calls.feed({**call, "index": index})

    def _text(self, text: str, events: list[Event]) -> None:
        if not text:
            return
        self._spoke = True
        if self._thinking:
            events.append(self._end_thinking())
        if self._tags.done:
            events.append(TextDelta(text))
        else:
            events += self._tags.feed(text)

    def _part(self, part: Json, events: list[Event]) -> None:
        """The content, or one part of it where it is a list, as Mistral's thinking models send it (vercel/ai#13703)."""
        if isinstance(part, str):
            self._text(part, events)
        elif isinstance(part, dict) and part.get("type") == "thinking":
            self._think(_flat(part.get("thinking")), events)
        elif isinstance(part, dict):
            self._refuse(part.get("refusal"), events)
            self._text(_flat(part.get("text")), events)

    def _think(self, text: str, events: list[Event]) -> None:
        if text:
            self._spoke = self._thinking = True
            events.append(ThinkingDelta(text))

    def _keep(self, details: Json) -> None:
        """
        Keep OpenRouter's reasoning details, which want to be sent back as they would have come whole: the pieces of
        one block, which have its type and index, are joined.
        """
        for detail in details if isinstance(details, list) else ():
            if not isinstance(detail, dict):
                continue
            last = self._details[-1] if self._details else {}
            index = detail.get("index")
            if index is None or (last.get("index"), last.get("type")) != (index, detail.get("type")):
                self._details.append(detail)
                continue
            for key, value in detail.items():
                old = last.get(key)
                if key in ("text", "summary") and isinstance(old, str) and isinstance(value, str):
                    last[key] = old + value
                elif value is not None:
                    last[key] = value

    def _end_thinking(self) -> ThinkingEnd:
        opaque: JsonObject = {"reasoning_details": [*self._details]} if self._details else {}
        self._thinking, self._details = False, []
        return ThinkingEnd(opaque)

    def _refuse(self, refusal: Json, events: list[Event]) -> None:
        """A refusal is an answer too: its text is shown, and the metadata say what it is."""
        if isinstance(refusal, str) and refusal:
            self._refusal += refusal
            self._text(refusal, events)

    def _tool_calls(self, delta: JsonObject, events: list[Event]) -> None:
        calls = delta.get("tool_calls")
        fragments = calls if isinstance(calls, list) else []
        legacy = delta.get("function_call")
        if isinstance(legacy, dict):
            fragments = [*fragments, {"function": legacy}]
        for fragment in fragments:
            if isinstance(fragment, dict):
                self._spoke = True
                if self._thinking:
                    events.append(self._end_thinking())
                events.append(self._calls.feed(fragment))

    # --- around the text ---

    def _describe(self, document: JsonObject, events: list[Event]) -> None:
        """Tell what is new about the answer. Azure's first chunk has no choices, and empty names."""
        told = {name: value for name in self.fields if (value := document.get(name)) not in _NOTHING}
        new = {name: value for name, value in told.items() if self._metadata.get(name) != value}
        if new:
            self._metadata.update(new)
            events.append(Metadata(new))
        self._described = self._described or bool(document.get("choices"))

    def _count(self, holder: JsonObject) -> None:
        """Take the usage, wherever it is. The last one counts: some servers begin with zeros, and all repeat totals."""
        groq = holder.get("x_groq")
        if isinstance(groq, dict):
            raise_error_in(groq)
            self._usage = read_usage(groq.get("usage")) or self._usage
        self._usage = read_usage(holder.get("usage")) or self._usage

    def _ending(self, choice: JsonObject) -> None:
        """
        Take the finish reason. An empty one says nothing while the stream goes on, as some servers send it with every
        chunk; and after an error the rest of the stream still matters, because it may say which.
        """
        raw = choice.get("finish_reason")
        if isinstance(raw, str):
            self._raw = raw or self._raw or ""
            self.complete = self.complete or (raw != "" and _canonical(raw) != "error")
        self._count(choice)

    def _finish(self) -> list[Event]:
        """The last events of the answer."""
        if self._index is None:
            raise ProviderFailed("the provider ended the stream without an answer")
        events: list[Event] = [*self._tags.end()]
        if self._thinking or self._details:
            events.append(self._end_thinking())
        calls = self._calls.finish()
        events += calls
        late: JsonObject = {"refusal": self._refusal, "annotations": self._annotations}
        if told := {name: value for name, value in late.items() if value}:
            events.append(Metadata(told))
        if self._usage is not None:
            events.append(self._usage)
        events.append(Finish(_reason(self._raw, calls), self._raw))
        return events


# --- normalisation --------------------------------------------------------------------------------

_REASONS: Mapping[str, FinishReason] = {
    **dict.fromkeys(("", "stop", "end_turn", "stop_sequence", "eos", "eos_token", "complete"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "model_length", "model_context_window_exceeded"), "length"),
    **dict.fromkeys(("tool_calls", "function_call", "tool_use", "tool_call"), "tool_calls"),
    **dict.fromkeys(
        ("content_filter", "safety", "recitation", "prohibited_content", "blocklist", "sensitive", "refusal"),
        "content_filter",
    ),
    **dict.fromkeys(("network_error", "insufficient_system_resource"), "error"),
}


def _canonical(raw: str) -> FinishReason:
    """Our word for a finish reason. The services' words are an open set (dstackai/dstack#2229)."""
    word = raw.lower()
    if word.startswith("guardrail"):
        return "content_filter"
    if word.startswith("error"):
        return "error"
    return _REASONS.get(word, "other")


def _reason(raw: str | None, calls: tuple[ToolCall, ...]) -> FinishReason:
    """
    The finish reason in view of the tool calls that are there: with calls many servers say "stop"
    (anomalyco/opencode#14972), and some say "tool_calls" without any, which would have an agent wait for ever
    (mastra-ai/mastra#14187). Calls that were cut do not hide why.
    """
    reason = _canonical(raw or "")
    if calls and (reason in ("stop", "other") or all(call.valid for call in calls)):
        return "tool_calls"
    return "stop" if reason == "tool_calls" and not calls else reason


def read_usage(value: Json) -> Usage | None:
    """The token counts under any of the names that services use; `None` if there are none."""
    if not isinstance(value, dict):
        return None
    usage = Usage(
        _number(value, "prompt_tokens", "input_tokens"),
        _number(value, "completion_tokens", "output_tokens"),
        _number(value, "total_tokens"),
        _number(
            value,
            "prompt_tokens_details.cached_tokens",
            "input_tokens_details.cached_tokens",
            "prompt_cache_hit_tokens",
            "cached_tokens",
        ),
        _number(
            value,
            "completion_tokens_details.reasoning_tokens",
            "output_tokens_details.reasoning_tokens",
            "reasoning_tokens",
        ),
    )
    return usage if usage != Usage() else None


def _number(fields: JsonObject, *names: str) -> int | None:
    """The first of the fields that holds a whole number; `a.b` is the field `b` of the object `a`."""
    for name in names:
        holder, dot, inner = name.partition(".")
        value = fields.get(holder)
        if dot:
            value = value.get(inner) if isinstance(value, dict) else None
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def _reasoning(delta: JsonObject) -> str:
    """The reasoning in a delta. It may stand there under several names at once; it is read under the first."""
    for name in ("reasoning_content", "reasoning", "reasoning_details", "thinking"):
        if name in delta and (text := _flat(delta[name])):
            return text
    return ""


def _flat(value: Json, depth: int = 4) -> str:
    """The text of a string, of an object that holds one, or of a list of such."""
    if isinstance(value, str):
        return value
    if not depth:
        return ""
    if isinstance(value, list):
        return "".join(_flat(item, depth - 1) for item in value)
    if isinstance(value, dict):
        texts = (_flat(value.get(key), depth - 1) for key in ("text", "content", "summary", "thinking"))
        return next(filter(None, texts), "")
    return ""
