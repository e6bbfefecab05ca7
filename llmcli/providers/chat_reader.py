"""
What OpenAI's completions answer -> events, whatever the servers that speak the dialect do to it. Layer 2, pure: knows
types, errors, framing, http_errors and the contract.

`ChatReader` reads chat completions, `CompletionReader` those of bare text.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias, cast

from llmcli import http_errors
from llmcli.errors import ProviderFailed
from llmcli.framing import Record, parse_json, parse_json_stream
from llmcli.provider import Reader, raise_error_in
from llmcli.providers import signed_thinking
from llmcli.providers.think_tags import ThinkTags
from llmcli.providers.tool_calls import ToolCallAssembler, new_call_id
from llmcli.types import (
    Event,
    Finish,
    FinishReason,
    Json,
    Metadata,
    TextDelta,
    ThinkingDelta,
    ThinkingEnd,
    ToolCall,
    Usage,
)

JsonObject: TypeAlias = dict[str, Json]

_NOTHING: tuple[Json, ...] = (None, "", [], {})
FIELDS = ("model", "id")  # of an answer, for its metadata


class ChatReader(Reader):
    """
    Reads one chat completion, whole or streamed.

    A stream is complete when a finish reason or `[DONE]` was seen. `Finish` waits for `[DONE]` or the end, because the
    usage comes after the finish reason (langchain-ai/langchain#35559).

    `tags` take the thinking out of the text, `fields` are kept for the metadata, `new_id` makes ids for tool calls
    without one. `kept`: the field whose blocks of reasoning are to be sent back, if one is, to this `model` alone.
    """

    def __init__(
        self,
        tags: ThinkTags,
        fields: tuple[str, ...] = FIELDS,
        *,
        new_id: Callable[[], str] = new_call_id,
        kept: str | None = None,
        model: str = "",
    ) -> None:
        self._tags = tags
        self._calls = ToolCallAssembler(new_id)
        self.fields = fields
        self._kept = kept
        self._model = model
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
        message = choice.get("message")
        if isinstance(message, dict) and isinstance(content := message.get("content"), str) and not _reasoning(message):
            self._tags.foresee(content)
        self._message(message, events)
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
        if self._kept is not None:
            self._keep(delta.get(self._kept))
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
        Keep OpenRouter's reasoning details, or LiteLLM's thinking blocks, which want to be sent back as they would
        have come whole: the pieces of one block are joined.
        """
        for detail in details if isinstance(details, list) else ():
            if not isinstance(detail, dict):
                continue
            last = self._details[-1] if self._details else {}
            if not _goes_on(last, detail):
                self._details.append(detail)
                continue
            for key, value in detail.items():
                old = last.get(key)
                if key in ("text", "summary", "thinking") and isinstance(old, str) and isinstance(value, str):
                    last[key] = old + value
                elif value is not None:
                    last[key] = value

    def _end_thinking(self) -> ThinkingEnd:
        kept = self._kept if self._details else None
        opaque: JsonObject = {kept: [*self._details], signed_thinking.MODEL: self._model} if kept else {}
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


class CompletionReader(ChatReader):
    """Reads a completion of bare text, whose choices have a `text`, in pieces and whole alike."""

    def __init__(self, fields: tuple[str, ...] = FIELDS) -> None:
        super().__init__(ThinkTags(()), fields)  # what the model wrote is the answer, its tags too

    def chunk(self, document: object) -> list[Event]:
        """See `ChatReader.chunk`."""
        return super().chunk(_as_chat(document, "delta"))

    def whole(self, document: object) -> Iterator[Event]:
        """See `Reader.whole`."""
        return super().whole(_as_chat(document, "message"))


def _as_chat(document: object, place: str) -> object:
    """A completion of text as one of chat would say it, with the text in that place of each choice."""
    choices = document.get("choices") if isinstance(document, dict) else None
    if not isinstance(choices, list):
        return document
    told = [{**each, place: {"content": each.get("text")}} for each in choices if isinstance(each, dict)]
    return {**cast("JsonObject", document), "choices": told}


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
    if word.startswith(("error", "abort", "cancel")):
        return "error"
    return _REASONS.get(word, "other")


def _goes_on(block: JsonObject, piece: JsonObject) -> bool:
    """Whether a piece belongs to that block: it has its type and index, or (without an index) the block has no end."""
    if block.get("type") != piece.get("type") or block.get("index") != piece.get("index"):
        return False
    return piece.get("index") is not None or (piece.get("type") == "thinking" and not block.get("signature"))


def _reason(raw: str | None, calls: tuple[ToolCall, ...]) -> FinishReason:
    """
    The finish reason in view of the tool calls that are there: with calls many servers say "stop"
    (anomalyco/opencode#14972), and some say "tool_calls" without any, which would have an agent wait for ever
    (mastra-ai/mastra#14187). Calls do not hide that the answer was cut: arguments that nobody has written yet may be
    read as none at all.
    """
    reason = _canonical(raw or "")
    if calls and reason in ("stop", "other"):
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
