"""
The values that cross a boundary: what is asked, what is sent, what comes back.

Layer 0: knows nobody. Everything here is immutable; functions elsewhere say what happens to it. What is told apart by
its type (parts and events) are frozen dataclasses; the rest are named tuples, which cost a seventh of that at start.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeAlias

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter", "error", "other"]
Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

NOTHING: Mapping[str, Any] = MappingProxyType({})


# --- messages -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of visible text."""

    text: str


@dataclass(frozen=True, slots=True)
class Thinking:
    """
    Reasoning that a model shows apart from its answer.

    `opaque` is what the provider wants back verbatim with the next request (Anthropic's signature, or a whole
    `redacted_thinking` block); nobody but that provider reads it.
    """

    text: str = ""
    opaque: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """
    A function call that the model asks for.

    `arguments` is JSON text exactly as the model wrote it, possibly invalid (see `valid`); an empty argument list is
    always "{}". `opaque` holds unknown keys of the call that the provider wants back.
    """

    id: str
    name: str
    arguments: str = "{}"
    valid: bool = True
    opaque: Mapping[str, Json] = field(default_factory=dict)


Part: TypeAlias = Text | Thinking | ToolCall


class Message(NamedTuple):
    """One turn of a conversation: who speaks, and the parts of what is said in their order."""

    role: Role
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """The visible text, without thinking and tool calls."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))


def message(role: Role, text: str) -> Message:
    """A message of one text part."""
    return Message(role, (Text(text),))


class ChatRequest(NamedTuple):
    """
    What is asked of a model. `None` means "not said", and what is not said is not sent.

    `options` are the provider's own (`--option key=value`). `without` names what the driver has learnt that the
    service refuses to be sent (`stream_options`, `max_completion_tokens`); an adapter leaves it out or says it in
    another way. It never names a thing that the user asked for in so many words.
    """

    model: str
    messages: tuple[Message, ...]
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    options: Mapping[str, Json] = NOTHING
    without: frozenset[str] = frozenset()


# --- events: an answer, whole or in pieces, is a sequence of these ---------------------------------


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next piece of the visible answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ThinkingDelta:
    """The next piece of the model's reasoning."""

    text: str


@dataclass(frozen=True, slots=True)
class ThinkingEnd:
    """The current block of thinking is complete; `opaque` is what must be sent back with it."""

    opaque: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A fragment of a tool call went by. The whole call follows as a `ToolCall` event when it is complete."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Usage:
    """
    Token counts; `None` is "not told", never zero. A later event replaces an earlier one whole.

    `cached_tokens` are among `prompt_tokens`; `reasoning_tokens` are usually among `completion_tokens`.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Metadata:
    """Facts about the answer (`model`, `id`, `refusal`, `citations`...); later values win."""

    values: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Finish:
    """
    The protocol's terminal marker was seen: the answer is complete. Always the last event, and always exactly one.

    `raw` is the provider's own word for the reason.
    """

    reason: FinishReason
    raw: str | None = None


Event: TypeAlias = TextDelta | ThinkingDelta | ThinkingEnd | ToolCallDelta | ToolCall | Usage | Metadata | Finish


class Reply(NamedTuple):
    """A whole answer: the fold of its events."""

    message: Message
    provider: str
    model: str
    finish: Finish
    usage: Usage | None = None
    metadata: Mapping[str, Json] = NOTHING


class Model(NamedTuple):
    """One line of a provider's list of models. Only the id is certain."""

    id: str
    name: str | None = None
    context_length: int | None = None
    max_output_tokens: int | None = None
    created: int | None = None
    capabilities: tuple[str, ...] = ()


class ModelPage(NamedTuple):
    """Some models, and the cursor of the next page if there is one."""

    models: tuple[Model, ...]
    next: str | None = None


# --- the wire -------------------------------------------------------------------------------------


class HttpRequest(NamedTuple):
    """What an adapter wants sent. The URL is absolute; `body` is complete, encoded bytes."""

    method: str
    url: str
    headers: Mapping[str, str] = NOTHING
    body: bytes | None = None


# --- settings that the core hands to a provider ---------------------------------------------------


class Timeouts(NamedTuple):
    """
    Seconds; `None` is "for ever".

    `connect` covers DNS, every address, proxy and TLS together; `first` the wait for the first event; `idle` the wait
    between complete events; `total` everything since the start of the process.
    """

    connect: float | None = 5.0
    first: float | None = 120.0
    idle: float | None = 60.0
    total: float | None = None


class ProviderConfig(NamedTuple):
    """
    The configuration of one provider, resolved from flags, environment, files and defaults.

    `own` holds the values of the configuration keys that the provider's class declares for itself.
    """

    id: str
    base_url: str | None = None
    default_model: str | None = None
    headers: Mapping[str, str] = NOTHING
    settings: Mapping[str, Json] = NOTHING
    options: Mapping[str, Json] = NOTHING
    models: tuple[str, ...] = ()
    own: Mapping[str, Json] = NOTHING
