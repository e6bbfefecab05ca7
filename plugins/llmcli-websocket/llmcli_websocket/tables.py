"""
The tables of the configuration: what is said to the server, and how what it says is read.

Everything that can be wrong with them without an answer is found when they are read.
"""

import json
import re
from collections.abc import Mapping
from typing import NamedTuple

from llmcli.errors import ConfigurationError
from llmcli.expressions import ROOTS, Expression, described, scope, truth
from llmcli.framing import Record, as_object
from llmcli.http_errors import error_in
from llmcli.provider import ConfigKey
from llmcli.providers.declarative import CANNED
from llmcli.providers.mapped import ANSWER_KEYS, AnswerMap, answer_map
from llmcli.types import Json, ProviderConfig

Table = Mapping[str, Json]

SEEN = (*ROOTS, "id", "key")
"""What the expressions see that make our messages: what any request's does, its `id`, and the `key`."""

_OURS = ("subprotocols", "auth", "request", "cancel")
_THEIRS = ("ready", "ping", "pong", "id")  # these see a message of the server

CONNECTION_KEYS: Mapping[str, ConfigKey] = {
    "path": ConfigKey("What follows the base URL; `{model}` in it is the model's name."),
    "subprotocols": ConfigKey("Expression: a list of the subprotocols to offer; it may hold the `key`."),
    "auth": ConfigKey("Expression: the first message, which carries the `key`."),
    "ready": ConfigKey("Expression: true of the message that has to come before the request is sent (`auth_ok`)."),
    "ping": ConfigKey("Expression: true of a message that asks whether we are there. Pings of WebSocket need none."),
    "pong": ConfigKey("Expression: the answer to it; it sees the ping."),
    "binary": ConfigKey("Whether our messages are binary; those of the server may be either.", type=bool),
}
CHAT_KEYS: Mapping[str, ConfigKey] = {
    "request": ConfigKey("Expression: the message that asks, or a list of messages; a table with it describes it all."),
    "cancel": ConfigKey("Expression: the message that is sent when the answer is not wanted any more."),
    "id": ConfigKey("Expression: the id of the request that a message belongs to; those of other ids are ignored."),
    "delta": ConfigKey("Expression: the next piece of the text; null where a message has none."),
    "end": ConfigKey("The end marker: an expression, a sentinel (`[DONE]`), or `eof`: a normal close (1000)."),
    **{name: key for name, key in ANSWER_KEYS.items() if name != "sample"},
    "record": ConfigKey("`json` (default), or `text`: each message is the text itself."),
}

DEFAULTS: Mapping[str, Mapping[str, str]] = {
    "connection": {"auth": "{type: 'auth', token: key}"},
    "chat": {
        "request": """{type: 'generate', id: id, model: if(model != 'default', model), messages: messages,
            options: merge({max_tokens: max_tokens, temperature: temperature, top_p: top_p, stop: stop, seed: seed},
            options)}""",
        "cancel": "{type: 'cancel', id: id}",
        "id": "id",
        "delta": "if(type == 'chunk', text)",
        "end": "type == 'done'",
        "error": "if(type == 'error', error || message || code || 'no explanation', error)",
        "error_retryable": "retryable",
        "finish_reason": "finish_reason",
        "model": "model",
        "usage": "usage",
    },
}
"""The protocol that is assumed where a table does not describe another: that of the guide, with ids."""


class Speech(NamedTuple):
    """A protocol: what we say to the server and when, and how what it says is read."""

    answer: AnswerMap
    request: Expression
    auth: Expression | None = None
    ready: Expression | None = None
    subprotocols: Expression | None = None
    ping: Expression | None = None
    pong: Expression | None = None
    cancel: Expression | None = None
    id: Expression | None = None
    path: str = ""
    binary: bool = False
    own: bool = False  # whether the configuration describes it, and not we

    def uses(self, name: str) -> bool:
        """Whether the request has a place for what is called `name`."""
        return self.request.uses(name) or f"{{{name}}}" in self.path

    @property
    def uses_key(self) -> bool:
        """Whether one of our messages, or the handshake, has a place for the key."""
        places = [each for each in (self.auth, self.subprotocols, self.request) if each is not None]
        return any(each.uses("key") for each in places)

    def document(self, text: str) -> object:
        """What stands in a message, for the expressions; null for one that is no document but marks the end."""
        if not text or text.isspace() or text.strip() == self.answer.ending.sentinel:
            return None
        return self.answer.document(Record(text))

    def is_end(self, document: object) -> bool:
        """Whether a document is the end marker of an answer."""
        end = self.answer.ending.expression
        return end is not None and truth(end.find(document))

    def is_error(self, document: object) -> bool:
        """Whether a document reports an error."""
        if self.answer.error is None:
            return error_in(document) is not None
        return truth(self.answer.error.find(document))


def speech_of(config: ProviderConfig) -> Speech:
    """
    The protocol that the tables `connection` and `chat` describe. Raises `ConfigurationError` with file, dotted key and
    position for whatever is wrong with them.
    """
    own = "request" in as_object(config.own.get("chat"))
    connection, chat = (_table(config, name, {} if own else DEFAULTS[name]) for name in ("connection", "chat"))
    _check_chat(chat, f"{config.place}.chat")
    found = {
        name: _expression(name, text, f"{config.place}.{table}.{name}")
        for table, texts in (("connection", connection), ("chat", chat))
        for name, text in texts.items()
        if name in (*_OURS, *_THEIRS)
    }
    answer = answer_map(chat, f"{config.place}.chat", text="delta")
    path, binary = str(connection.get("path", "")), connection.get("binary") is True
    made = Speech(answer, path=path, binary=binary, own=own, **found)
    _check(made, config)
    return made


def _table(config: ProviderConfig, name: str, defaults: Table) -> Table:
    """A table over its defaults; an empty text takes one of them away."""
    return {key: value for key, value in {**defaults, **as_object(config.own.get(name))}.items() if value != ""}


def _check_chat(chat: Table, place: str) -> None:
    if "request" not in chat:
        raise ConfigurationError(f"{place}.request is missing: the message that asks")
    if "end" not in chat:
        raise ConfigurationError(
            f"{place}.end is missing: how an answer shows that it is whole",
            hint='an expression that is true at the end (`end = "done"`), a sentinel ("[DONE]"), or "eof"',
        )
    if chat.get("record") == "event":
        raise ConfigurationError(f"{place}.record: a message is `json` or `text`")


def _expression(name: str, text: Json, place: str) -> Expression:
    if name in _THEIRS:
        return Expression(str(text), place)
    return Expression(str(text), place, roots=SEEN, failing=ConfigurationError)


def _check(made: Speech, config: ProviderConfig) -> None:
    """Find what is wrong by saying everything once to nobody."""
    if made.path and not made.path.startswith(("/", "?")):
        raise ConfigurationError(
            f"{config.place}.connection.path should begin with `/`, and not be {json.dumps(made.path)}"
        )
    if (made.ping is None) != (made.pong is None):
        raise ConfigurationError(f"{config.place}.connection: `ping` and `pong` belong together")
    variables = as_object(config.own.get("vars"))
    seen = {**scope(CANNED, stream=True, variables=variables), "id": "1", "key": "key"}
    for expression in (made.auth, made.cancel):
        if expression is not None:
            message_of(expression, seen)
    messages_of(made.request, seen)
    subprotocols_of(made.subprotocols, seen)


def message_of(expression: Expression, seen: object) -> Json:
    """The message that an expression makes: an object, or a text."""
    found = expression.find(seen)
    if not isinstance(found, dict | str):
        raise _wrong(expression, "an object or a text", found)
    return found


def messages_of(expression: Expression, seen: object) -> list[Json]:
    """The message that an expression makes, or the messages where it makes a list of them."""
    found = expression.find(seen)
    messages = found if found and isinstance(found, list) else [found]
    for message in messages:
        if not isinstance(message, dict | str):
            raise _wrong(expression, "an object, a text, or a list of these", message)
    return messages


def subprotocols_of(expression: Expression | None, seen: object) -> list[str]:
    """The subprotocols that are offered."""
    if expression is None:
        return []
    found = expression.find(seen)
    if not isinstance(found, list) or not found:
        raise _wrong(expression, "a list of names", found)
    if not all(isinstance(name, str) and re.fullmatch(r"[!#$%&'*+.^_`|~\w-]+", name, re.ASCII) for name in found):
        raise ConfigurationError(f"{expression.place} makes a name with a character that no subprotocol may have")
    return [str(name) for name in found]


def _wrong(expression: Expression, wanted: str, found: Json) -> ConfigurationError:
    return ConfigurationError(f"{expression.place} should make {wanted}, but it makes {described(found)}")
