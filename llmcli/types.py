"""
The values that cross a boundary: what is asked, what is sent, what comes back.

Layer 0: knows nobody. Everything here is immutable; functions elsewhere say what happens to it. Values are named
tuples, because forty frozen dataclasses would cost a tenth of the start-up of a short run.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter", "error", "other"]
Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

NOTHING: Mapping[str, Any] = MappingProxyType({})

_T = TypeVar("_T")


def told_apart(cls: type[_T]) -> type[_T]:
    """Named tuples that are equal only to their own kind: `TextDelta("a")` is not `ThinkingDelta("a")`."""

    def equal(self: tuple[object, ...], other: object) -> bool:
        return type(self) is type(other) and tuple.__eq__(self, other)

    def unequal(self: tuple[object, ...], other: object) -> bool:
        return not equal(self, other)

    for name, method in (("__eq__", equal), ("__ne__", unequal), ("__hash__", tuple.__hash__)):
        setattr(cls, name, method)
    return cls


# --- messages -------------------------------------------------------------------------------------


@told_apart
class Text(NamedTuple):
    """A piece of visible text."""

    text: str


@told_apart
class Thinking(NamedTuple):
    """
    Reasoning that a model shows apart from its answer.

    `opaque` is what the provider wants back verbatim with the next request (Anthropic's signature, or a whole
    `redacted_thinking` block); nobody but that provider reads it.
    """

    text: str = ""
    opaque: Mapping[str, Json] = NOTHING


@told_apart
class ToolCall(NamedTuple):
    """
    A function call that the model asks for.

    `arguments` is JSON text exactly as the model wrote it, possibly invalid (see `valid`); an empty argument list is
    always "{}". `opaque` holds unknown keys of the call that the provider wants back.
    """

    id: str
    name: str
    arguments: str = "{}"
    valid: bool = True
    opaque: Mapping[str, Json] = NOTHING


@told_apart
class ToolResult(NamedTuple):
    """
    What came of a tool call, in a message of the role `tool`: `id` and `name` are those of the call. `failed` says that
    the content tells of an error. The results of one answer's calls stand in one message, in the order of the calls.
    """

    id: str
    name: str
    content: str
    failed: bool = False


@told_apart
class Attachment(NamedTuple):
    """
    A file beside the text: an image, a PDF, a sound. Either its bytes, or the `url` that the provider itself is to
    fetch it from. `media_type` is never empty (`image/png`); `name` is what a person calls it.
    """

    media_type: str
    data: bytes = b""
    url: str | None = None
    name: str = ""


Part: TypeAlias = Text | Thinking | ToolCall | ToolResult | Attachment


class Message(NamedTuple):
    """One turn of a conversation: who speaks, and the parts of what is said in their order."""

    role: Role
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """The visible text, without thinking, tool calls and what is attached."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))


def message(role: Role, text: str) -> Message:
    """A message of one text part."""
    return Message(role, (Text(text),))


_ANY_OBJECT: Mapping[str, Any] = MappingProxyType({"type": "object", "properties": {}})


class Tool(NamedTuple):
    """A function that the model may ask for. `parameters` is the JSON schema of its arguments, which are an object."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = _ANY_OBJECT


class Schema(NamedTuple):
    """
    The JSON schema that an answer has to satisfy, and its name (letters, digits, `_` and `-`, at most 64). `firm`: the
    user has said that it is to be asked for in this way, so that an adapter chooses no other.
    """

    name: str
    document: Mapping[str, Any]
    firm: bool = False


class ChatRequest(NamedTuple):
    """
    What is asked of a model. `None` means "not said", and what is not said is not sent.

    `tools` may be asked for; `tool_choice` is `auto`, `none`, `required` or the name of one. `schema` is what the
    answer has to satisfy. `thinking` is `off`, `low`, `medium`, `high`, or how many tokens the model may think for.
    With `complete` the text of the one user message goes verbatim to a text-completion endpoint, without a template.

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
    tools: tuple[Tool, ...] = ()
    tool_choice: str | None = None
    schema: Schema | None = None
    thinking: str | int | None = None
    complete: bool = False


# --- events: an answer, whole or in pieces, is a sequence of these ---------------------------------


@told_apart
class TextDelta(NamedTuple):
    """The next piece of the visible answer."""

    text: str


@told_apart
class ThinkingDelta(NamedTuple):
    """The next piece of the model's reasoning."""

    text: str


@told_apart
class ThinkingEnd(NamedTuple):
    """The current block of thinking is complete; `opaque` is what must be sent back with it."""

    opaque: Mapping[str, Json] = NOTHING


@told_apart
class ToolCallDelta(NamedTuple):
    """A fragment of a tool call went by. The whole call follows as a `ToolCall` event when it is complete."""

    name: str
    arguments: str


@told_apart
class Usage(NamedTuple):
    """
    Token counts; `None` is "not told", never zero. A later event replaces an earlier one whole.

    `cached_tokens` are among `prompt_tokens`; `reasoning_tokens` are usually among `completion_tokens`.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


@told_apart
class Metadata(NamedTuple):
    """Facts about the answer (`model`, `id`, `refusal`, `citations`...); later values win."""

    values: Mapping[str, Json]


@told_apart
class Finish(NamedTuple):
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

    `own` holds the values of the configuration keys that the provider's class declares for itself. `place` says where
    all of it stands (`FILE: providers.ID`), for messages about what is wrong in it.
    """

    id: str
    base_url: str | None = None
    default_model: str | None = None
    headers: Mapping[str, str] = NOTHING
    settings: Mapping[str, Json] = NOTHING
    options: Mapping[str, Json] = NOTHING
    models: tuple[str, ...] = ()
    own: Mapping[str, Json] = NOTHING
    place: str = ""
