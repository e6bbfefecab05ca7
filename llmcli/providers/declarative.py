"""
`adapter = "http"`: an API that is described in the configuration, without code. Layer 2: knows types, errors, framing,
expressions and provider.

A table says how a request is built from ours and where things stand in the answer, both in JMESPath. Everything that
can be wrong with it without an answer is found when the provider is made, before anything is sent.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import ClassVar
from urllib.parse import quote

from llmcli.errors import ConfigurationError, LlmError, ProviderFailed
from llmcli.expressions import ROOTS, Expression, check_used, described, scope, shortened
from llmcli.framing import SSE, Delimiter, Framing, JsonArray, JsonLines, Record, as_object
from llmcli.provider import ApiKey, ConfigKey, HTTPProvider, Setting, json_request
from llmcli.providers.listed_models import models_of
from llmcli.providers.mapped import ANSWER_KEYS, AnswerMap, MappedReader, answer_map, capabilities
from llmcli.providers.tool_calls import with_ids_of_their_own
from llmcli.types import (
    ChatRequest,
    HttpRequest,
    Json,
    Message,
    ModelPage,
    ProviderConfig,
    Schema,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)

Table = Mapping[str, Json]

_FRAMINGS: Mapping[str, Callable[[], Framing]] = {"sse": SSE, "jsonl": JsonLines, "json-array": JsonArray}
_INHERITED = ("path", "error", "error_status", "error_retryable", "usage", "model", "metadata", "finish_reason")
_METHODS = ("POST", "GET", "PUT")

CHAT_KEYS: Mapping[str, ConfigKey] = {
    "path": ConfigKey("What follows the base URL; `{model}` in it is the model's name."),
    "request": ConfigKey("Expression: the body of the request, an object."),
    "content": ConfigKey("Expression: the text of the answer."),
    **ANSWER_KEYS,
}
STREAM_KEYS: Mapping[str, ConfigKey] = {
    "path": ConfigKey("Another path for streams."),
    "request": ConfigKey("Expression: an object whose keys replace those of the chat's request."),
    "framing": ConfigKey("How records stand in the body: `sse` (default), `jsonl`, `json-array`, `delimiter`."),
    "delimiter": ConfigKey("What ends a record, with `framing = \"delimiter\"`."),
    "delta": ConfigKey("Expression: the next piece of the text; null where a record has none."),
    "end": ConfigKey("The end marker: an expression, a sentinel (`[DONE]`, `'<end>'`), or `eof`: the end of the body."),
    **ANSWER_KEYS,
}  # fmt: skip
MODELS_KEYS: Mapping[str, ConfigKey] = {
    "path": ConfigKey("Where the models are listed; `{cursor}` in it is that of the page."),
    "models": ConfigKey("Expression: a list of names, or of objects with `id`, `name`, `context_length`, `created`."),
    "next": ConfigKey("Expression: the cursor of the next page, or null."),
}
HEALTH_KEYS: Mapping[str, ConfigKey] = {"path": ConfigKey("What is asked (GET) to see whether the service is there.")}

CANNED = ChatRequest(
    "model",
    (
        Message("system", (Text("Be brief."),)),
        Message("user", (Text("Hello."),)),
        Message("assistant", (Text("Hi."),)),
        Message("user", (Text("Why?"),)),
    ),
)
"""A conversation that expressions of requests are tried on before anybody asks anything."""

_CANNED_CALLS = CANNED._replace(
    messages=(
        *CANNED.messages[:2],
        Message("assistant", (ToolCall("call_1", "clock"), ToolCall("call_2", "weather", '{"city":"Oslo"}'))),
        Message("tool", (ToolResult("call_1", "clock", "7:00"), ToolResult("call_2", "weather", "no", failed=True))),
    ),
    tools=(Tool("clock"), Tool("weather", "The weather.")),
    tool_choice="clock",
)
_CANNED_SCHEMA = CANNED._replace(schema=Schema("city", {"type": "object", "properties": {}}))


class Declarative(HTTPProvider):
    """
    A provider made of tables: `chat` (required), `stream`, `models_list`, `health` and `vars`.

    Raises `ConfigurationError` with file, dotted key and position for whatever is wrong with them.
    """

    id = "http"
    name = "An API of your own, by configuration"
    api_key = ApiKey(required=False, placeholder="")
    settings: ClassVar[Mapping[str, Setting]] = {}
    request_key: ClassVar[str] = "request"  # the key of the expression that a request is made by
    config_keys: ClassVar[Mapping[str, ConfigKey]] = {
        "chat": ConfigKey("The request and where the answer stands.", type=dict, keys=CHAT_KEYS, required=True),
        "stream": ConfigKey("The same in pieces; without it, answers come whole.", type=dict, keys=STREAM_KEYS),
        "models_list": ConfigKey("Where the service lists its models.", type=dict, keys=MODELS_KEYS),
        "health": ConfigKey("A question for `llmcli health`.", type=dict, keys=HEALTH_KEYS),
        "vars": ConfigKey("Constants for the expressions, as `vars.NAME`.", type=dict),
    }  # fmt: skip

    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(config)
        chat, stream = self.tables(config)
        self._chat = self._map(chat, "chat", text="content")
        self._stream = self._map(stream, "stream", text="delta") if stream else None
        self._paths = {False: self._path(chat, "chat"), True: self._path(stream, "stream")}
        self._requests = self.requests(chat, stream)
        self._new_framing = _framing(stream, self._place("stream")) if stream else SSE
        self._listed = as_object(config.own.get("models_list"))
        self._models_path = self._path(self._listed, "models_list", place="cursor")
        self._health = as_object(config.own.get("health"))
        self._health_path = self._path(self._health, "health", place="")
        self._models = self._expression(self._listed, "models_list.models")
        self._next = self._expression(self._listed, "models_list.next")
        if stream and "end" not in stream:
            raise ConfigurationError(
                f"{self._place('stream')}.end is missing: how the stream shows that it is whole",
                hint='an expression that is true at the end (`end = "done"`), a sentinel ("[DONE]"), or "eof"',
            )
        if self._listed and self._models is None:
            raise ConfigurationError(f"{self._place('models_list')}.models is missing: the expression that finds them")
        maps = [each for each in (self._chat, self._stream) if each is not None]
        self.capabilities = capabilities(maps, self._uses, stream=bool(stream))
        if not self._uses("model", *self._paths.values()):
            self.default_model = self.default_model or "default"
        for streamed in {False, bool(stream)}:
            for conversation in (CANNED, CANNED._replace(messages=CANNED.messages[-1:])):
                self._check_request(conversation, streamed)
            if self.capabilities.tools:
                self.body(_CANNED_CALLS, stream=streamed)
            if self.capabilities.schema:
                self.body(_CANNED_SCHEMA, stream=streamed)

    def tables(self, config: ProviderConfig) -> tuple[Table, Table]:
        """The tables of a chat and of a stream, which inherits what it does not say. A place for more defaults."""
        chat, stream = as_object(config.own.get("chat")), as_object(config.own.get("stream"))
        if chat.get("record") == "event":
            raise ConfigurationError(f"{self._place('chat')}.record: a whole answer is no event, but `json` or `text`")
        if not chat:
            raise ConfigurationError(
                f"{config.place} has no table `chat`", hint=f"[{config.place.rpartition(': ')[2]}.chat] says how to ask"
            )
        if stream:
            stream = {**_inherited(chat, in_events=stream.get("record") == "event"), **stream}
        return chat, stream

    def _check_request(self, conversation: ChatRequest, stream: bool) -> None:
        """Make a request of a canned conversation: what it cannot do shows there, and so does that it says nothing."""
        body = json.dumps(self.body(conversation, stream=stream))
        if conversation.messages[-1].text not in body:
            asked = self._requests[stream][-1].place if self._requests[stream] else f"{self._place('chat')}.request"
            raise ConfigurationError(
                f"{asked}: the request does not hold the prompt: of a conversation it makes {shortened(body)}",
                hint="`prompt`, `turns` or `messages` bring it in: {text: prompt}, {messages: messages}",
            )

    # --- requests ---

    def requests(self, chat: Table, stream: Table) -> Mapping[bool, Sequence[Expression]]:
        """
        What makes the body of a request, for a whole answer (`False`) and a stream (`True`): expressions, the keys of
        each replacing those of the ones before it.
        """
        first = self._expression(chat, "chat.request", ROOTS)
        more = self._expression(stream, "stream.request", ROOTS)
        return {False: [each for each in (first,) if each], True: [each for each in (first, more) if each]}

    def chat_request(self, request: ChatRequest, *, stream: bool) -> HttpRequest:
        """See `HTTPProvider.chat_request`: the body that the expressions make, to the path of the table."""
        self.refuse_unused(request, stream=stream)
        path = self._paths[stream].replace("{model}", quote(request.model, safe="/:@"))
        return json_request(self.url(path), self.body(request, stream=stream), stream=stream)

    def refuse_unused(self, request: ChatRequest, *, stream: bool) -> None:
        """
        Raise `RequestRejected` for what none of the expressions uses: it would be dropped without a word. An API that
        does not think need not be told not to.
        """
        if request.thinking == "off" and not self.capabilities.thinking:
            request = request._replace(thinking=None)
        uses = partial(_any_uses, self._requests[stream])
        check_used(request, uses, self.config.id, f"{self._place('chat')}.{self.request_key}")

    def body(self, request: ChatRequest, *, stream: bool) -> Table:
        """The body of a request, as the expressions make it."""
        variables = as_object(self.config.own.get("vars"))
        request = request._replace(messages=with_ids_of_their_own(request.messages))
        seen = scope(request, stream=stream, variables=variables)
        body: Table = {}
        for expression in self._requests[stream]:
            found = expression.find(seen)
            if not isinstance(found, dict):
                raise ConfigurationError(f"{expression.place} should make an object, but it makes {described(found)}")
            body = {**body, **found}
        return body

    def _uses(self, name: str, *paths: str) -> bool:
        """Whether a request has a place for what is called `name`."""
        expressions = (*self._requests[False], *self._requests[True])
        return _any_uses(expressions, name) or any(f"{{{name}}}" in path for path in paths)

    # --- answers ---

    def framing(self) -> Framing:
        """See `HTTPProvider.framing`."""
        return self._new_framing()

    def reader(self, request: ChatRequest) -> MappedReader:
        """See `HTTPProvider.reader`."""
        return MappedReader(self._chat, self._stream, reads_on=True)

    def findings(self, record: Record, *, stream: bool) -> Table:
        """See `HTTPProvider.findings`."""
        return (self._stream if stream and self._stream else self._chat).findings(record)

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> LlmError:
        """See `HTTPProvider.read_error`."""
        return self._chat.read_error(status, headers, body)

    # --- models and health ---

    def models_request(self, cursor: str | None = None) -> HttpRequest | None:
        """See `HTTPProvider.models_request`."""
        if not self._listed:
            return None
        path = self._models_path.replace("{cursor}", quote(cursor or "", safe=""))
        return HttpRequest("GET", self.url(path), {"Accept": "application/json"})

    def read_models(self, document: object) -> ModelPage:
        """See `HTTPProvider.read_models`."""
        self._chat.check_error(document)
        if self._models is None:
            return ModelPage(())
        found = self._models.find(document)
        if not isinstance(found, list):
            raise self._models.wrong(document, found, "a list")
        cursor = self._next.find(document) if self._next is not None else None
        return ModelPage(models_of(found), str(cursor) if cursor else None)

    def health_request(self) -> HttpRequest | None:
        """See `HTTPProvider.health_request`."""
        return HttpRequest("GET", self.url(self._health_path)) if self._health else None

    def read_health(self, text: str) -> None:
        """See `HTTPProvider.read_health`."""
        self._chat.check_error(self._chat.lenient(Record(text)))

    # --- tables ---

    def _place(self, name: str) -> str:
        return f"{self.config.place}.{name}"

    def _map(self, table: Table, name: str, *, text: str) -> AnswerMap:
        hint = f"`llmcli providers read {self.config.id}` shows what each expression finds in an answer"
        return answer_map(table, self._place(name), text=text, hint=hint)

    def _path(self, table: Table, name: str, *, place: str = "model") -> str:
        """The path of a table, in which only one name may stand in braces."""
        path, where = str(table.get("path", "")), f"{self._place(name)}.path"
        if path and not path.startswith(("/", "?")):
            raise ConfigurationError(f"{where} should begin with `/`, and not be {json.dumps(path)}")
        strange = next((each for each in re.findall(r"\{([^{}]*)\}", path) if each != place), None)
        if strange is not None:
            known = f"there is only {{{place}}}" if place else "there is none in this one"
            raise ConfigurationError(f"{where}: unknown name {{{strange}}}; {known}")
        return path

    def _expression(self, table: Table, dotted: str, roots: tuple[str, ...] | None = None) -> Expression | None:
        name = dotted.rpartition(".")[2]
        if name not in table:
            return None
        failing = ConfigurationError if roots else ProviderFailed
        return Expression(str(table[name]), self._place(dotted), roots=roots, failing=failing)


def _any_uses(expressions: Sequence[Expression], name: str) -> bool:
    return any(each.uses(name) for each in expressions)


def _inherited(chat: Table, *, in_events: bool) -> Table:
    """What a stream takes from the chat. What is looked for in an answer stands in the data of an event."""
    taken = {name: chat[name] for name in _INHERITED if name in chat}
    if in_events:
        taken |= {name: f"data | {text}" for name, text in taken.items() if name != "path"}
    return taken


def _framing(table: Table, place: str) -> Callable[[], Framing]:
    name = str(table.get("framing", "sse"))
    delimiter = str(table.get("delimiter", "")).encode()
    if name == "delimiter":
        if not delimiter:
            raise ConfigurationError(f'{place}.delimiter is missing: what ends a record, such as "|||"')
        return lambda: Delimiter(delimiter)
    if delimiter:
        raise ConfigurationError(f'{place}.delimiter has no use without framing = "delimiter"')
    if table.get("record") == "event" and name != "sse":
        raise ConfigurationError(f'{place}.record: only server-sent events (framing = "sse") have names')
    if name not in _FRAMINGS:
        raise ConfigurationError(f"{place}.framing: {name!r} is none of {', '.join([*_FRAMINGS, 'delimiter'])}")
    return _FRAMINGS[name]
