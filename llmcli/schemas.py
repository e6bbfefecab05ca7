"""
What an answer has to look like: a schema as a person says it, as a model is told it, and held against an answer.
Layer 1: knows types, errors, validation and the contract. Nothing here asks a model: `until_valid` is handed
who does.
"""

import json
import os
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from difflib import get_close_matches
from math import isfinite
from typing import Any, Literal, NamedTuple, TypeAlias

from llmcli import validation
from llmcli.errors import ConfigurationError, UsageError, WrongForm
from llmcli.provider import Provider
from llmcli.types import ChatRequest, Finish, Json, Message, Reply, Schema, Text, TextDelta, Thinking, Usage, message

Way: TypeAlias = Literal["native", "json", "prompt"]
Document: TypeAlias = dict[str, Any]

WAYS: tuple[Way, ...] = ("native", "json", "prompt")
_NAME = "answer"  # of a schema that has none
_OUTERMOST = ("$schema", "$defs", "definitions")
_ITEMS = "items"  # under which a list stands in an object
_LARGEST = 4 * 1024 * 1024  # bytes of a schema's file
_TRIES = 50  # places of an answer at which a document may begin
_SHORT = re.compile(r"\s*[A-Za-z_]\w*\??\s*[:,]", re.ASCII)


class Wanted(NamedTuple):
    """
    What an answer has to satisfy: `document`. Services take only schemas of objects, so `asked` is what they are told:
    the same, or an object that has it under `key`.
    """

    document: Document
    asked: Schema
    key: str | None = None


# --- what a person says ---------------------------------------------------------------------------


def read(said: str, *, many: bool = False) -> Wanted:
    """
    The schema that `--schema` names: JSON (it begins with a brace), the short form (`name: str, age: int`), or a file
    that holds JSON. With `many` the answer is a list of such values. Raises `UsageError`.
    """
    if said.lstrip().startswith("{"):
        return wanted(_parsed(said, "--schema"), "--schema", many=many)
    if is_short(said):
        return wanted(short_form(said), "--schema", many=many)
    stem = os.path.splitext(os.path.basename(said))[0]
    return wanted(_parsed(_contents(said), said), said, name=stem, many=many)


def is_short(said: str) -> bool:
    """Whether a text is the short form, and neither JSON nor the name of a file."""
    return _SHORT.match(said) is not None


def wanted(document: object, place: str, *, name: str = _NAME, many: bool = False) -> Wanted:
    """
    A JSON schema, and what a service is asked for. `place` is where it stands, for the message; the schema's own title
    is a better name than `name`. Raises `UsageError` when it is none.
    """
    if not isinstance(document, dict):
        raise UsageError(f"{place} is no JSON schema: it is no object")
    if problem := validation.schema_problem(document):
        raise UsageError(f"{place} is no JSON schema: {problem}")
    title = document.get("title")
    name = _identifier(title if isinstance(title, str) else name) or _NAME
    if many:
        inner, outer = _moved_inside(document, name)
        listed = {"type": "array", "items": inner}
        return Wanted({**listed, **outer}, Schema(name, _object_with(_ITEMS, listed, outer)), _ITEMS)
    if "type" not in document and "properties" in document:
        document = {"type": "object", **document}
    if document.get("type") == "object":
        return Wanted(document, Schema(name, document))
    inner, outer = _moved_inside(document, name)
    return Wanted(document, Schema(name, _object_with(_NAME, inner, outer)), _NAME)


def _contents(path: str) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST + 1)
    except FileNotFoundError:
        raise UsageError(
            f"--schema: there is no file {path}", hint="fields are written 'name: str, age: int'; JSON begins with {"
        ) from None
    except (OSError, ValueError) as exc:
        raise UsageError(f"cannot read {path}: {getattr(exc, 'strerror', None) or exc}") from exc
    if len(data) > _LARGEST:
        raise UsageError(f"{path} is longer than the limit of {_LARGEST // 2**20} MB")
    try:
        return data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as exc:
        raise UsageError(f"{path} is not UTF-8 (byte {exc.start})") from None


def _parsed(text: str, place: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as exc:
        hint = "the short form has no braces around it: 'name: str, age: int'" if place == "--schema" else None
        raise UsageError(f"{place} is no JSON: {exc}", hint=hint) from None


def _identifier(text: str) -> str:
    """As much of a text as may name a schema."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text, flags=re.ASCII).strip("_")[:64]


# --- a schema inside another one ------------------------------------------------------------------


def _object_with(key: str, inner: Document, outer: Document) -> Document:
    return {"type": "object", "properties": {key: inner}, "required": [key], "additionalProperties": False, **outer}


def _moved_inside(document: Document, name: str) -> tuple[Document, Document]:
    """
    A schema for standing inside another one, and what has to stand in the outermost for it: the definitions that
    `$ref` finds there. What refers to the schema itself finds it among these.
    """
    outer: Document = {key: document[key] for key in _OUTERMOST if key in document}
    inner = {key: value for key, value in document.items() if key not in outer and key != "$id"}
    if not any(map(_to_itself, _references(document))):
        return inner, outer
    definitions = outer.pop("$defs", {})
    while name in definitions:
        name += "_"
    target = f"#/$defs/{name}"
    definitions = _redirected({**definitions, name: inner}, target)
    return {"$ref": target}, {**_redirected(outer, target), "$defs": definitions}


def _references(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(found := schema.get("$ref"), str):
            yield found
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _to_itself(reference: str) -> bool:
    return reference == "#" or (reference.startswith("#/") and not reference.startswith(("#/$defs/", "#/definitions/")))


def _redirected(schema: Any, target: str) -> Any:
    if isinstance(schema, dict):
        return {
            key: target + value[1:]
            if key == "$ref" and isinstance(value, str) and _to_itself(value)
            else _redirected(value, target)
            for key, value in schema.items()
        }
    return [_redirected(value, target) for value in schema] if isinstance(schema, list) else schema


# --- the short form -------------------------------------------------------------------------------

_TYPES = {
    "str": "string", "string": "string", "int": "integer", "integer": "integer", "float": "number", "number": "number",
    "bool": "boolean", "boolean": "boolean",
}  # fmt: skip
_KNOWN = "str, int, float, bool, [type], {name: type}, or texts to choose from (red|green)"


def short_form(text: str) -> Document:
    """
    The JSON schema of fields as a person writes them: `name: str, tags: [str], age: int?: in years`. Raises
    `UsageError` that names the place.
    """
    return _ShortForm(text.strip()).whole()


class _ShortForm:
    """
    Reads the short form from left to right. Where it has several lines a comma is part of a description, else it ends
    one.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._described = re.compile(r"[^\n}]*" if "\n" in text else r"[^,}]*")

    def whole(self) -> Document:
        """All of it."""
        schema = self._fields()
        if self._at < len(self._text):
            raise self._wrong("this closes nothing")
        return schema

    def _fields(self) -> Document:
        """`name: type: description` again and again, up to a closing brace or the end."""
        properties: dict[str, Document] = {}
        required = []
        self._take(r"[\s,]*")
        while not self._ends():
            start = self._at
            name, schema, needed = self._field()
            if name in properties:
                raise self._wrong(f"there are two fields {name}", start)
            properties[name] = schema
            required += [name] if needed else []
            self._take(r"[ \t]*")
            if not (self._take(r"[,\n][\s,]*") or self._ends()):
                raise self._wrong("a comma belongs between fields")
        if not properties:
            raise self._wrong("there are no fields")
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}

    def _ends(self) -> bool:
        return self._text[self._at : self._at + 1] in ("", "}")

    def _field(self) -> tuple[str, Document, bool]:
        name = self._take(r"[A-Za-z_]\w*")
        if not name:
            raise self._wrong("the name of a field belongs here")
        optional = bool(self._take(r"[ \t]*\?"))
        schema: Document = {"type": "string"}
        if self._take(r"[ \t]*:[ \t]*"):
            schema = self._type(name)
            optional = bool(self._take(r"[ \t]*\?")) or optional
            if self._take(r"[ \t]*:"):
                described = self._take(self._described.pattern).strip().rstrip(",").rstrip()
                schema = {**schema, "description": described} if described else schema
        return name, _or_null(schema) if optional else schema, not optional

    def _type(self, name: str) -> Document:
        if self._take(r"\[\s*"):
            schema = {"type": "array", "items": self._type(name)}
            self._close("]")
            return schema
        if self._take(r"\{"):
            schema = self._fields()
            self._close("}")
            return schema
        start = self._at
        words = self._take(r"[\w-]+(?:[ \t]*\|[ \t]*[\w-]+)*")
        choices = [word.strip() for word in words.split("|")]
        if len(choices) > 1:
            if known := [word for word in choices if word in _TYPES]:
                raise self._wrong(f"{name} is one of several texts, and {known[0]} is a type", start)
            return {"type": "string", "enum": list(dict.fromkeys(choices))}
        if words not in _TYPES:
            near = get_close_matches(words, _TYPES, n=1)
            found = f"{words!r} is no type" if words else "a type belongs here"
            raise self._wrong(f"{name}: {found}", start, hint=f"did you mean {near[0]}?" if near else None)
        return {"type": _TYPES[words]}

    def _close(self, bracket: str) -> None:
        if not self._take(rf"\s*{re.escape(bracket)}"):
            raise self._wrong(f"a {bracket} is missing")

    def _take(self, pattern: str) -> str:
        """What a pattern finds here, which is then behind us; empty when it finds nothing."""
        found = re.compile(pattern).match(self._text, self._at)
        self._at = found.end() if found else self._at
        return found[0] if found else ""

    def _wrong(self, what: str, at: int | None = None, hint: str | None = None) -> UsageError:
        place = (self._at if at is None else at) + 1
        return UsageError(f"--schema: {what} (character {place})", hint=hint or f"types: {_KNOWN}")


def _or_null(schema: Document) -> Document:
    """What may be left out may be null: services that require every field can then say that it is not there."""
    if "enum" in schema:
        schema = {**schema, "enum": [*schema["enum"], None]}
    return {**schema, "type": [schema["type"], "null"]}


# --- what a model is told -------------------------------------------------------------------------


def way_of(provider: Provider, wanted: str | None = None) -> Way:
    """
    How a provider is asked for a form: as `wanted`, else in the surest way that it has. Raises `ConfigurationError`
    where it has not the one that is wanted.
    """
    has = {"native": provider.capabilities.schema, "json": provider.json_mode, "prompt": True}
    there = [way for way in WAYS if has[way]]
    for way in there:
        if wanted in (None, way):
            return way
    place = f"{provider.config.place}.schema"
    raise ConfigurationError(
        f"{place}: {provider.config.id} cannot be asked for a schema in the way {wanted!r}",
        hint=f"but: {', '.join(there)}",
    )


def asking(request: ChatRequest, form: Wanted, way: Way) -> ChatRequest:
    """
    The request with the form in it: as a schema that the service enforces; or in words, where the service enforces
    nothing or only that it is a JSON object.
    """
    if way == "native":
        return request._replace(schema=form.asked)
    document = form.asked.document if way == "json" else form.document
    told = (
        "Answer with one JSON document and nothing else: no explanation before or after it, no code fence. "
        f"It has to satisfy this JSON schema:\n{json.dumps(document, ensure_ascii=False)}"
    )
    schema = Schema(form.asked.name, {}) if way == "json" else None
    return request._replace(schema=schema, messages=_with_instruction(request.messages, told))


def _with_instruction(messages: tuple[Message, ...], told: str) -> tuple[Message, ...]:
    """The messages with something more in the system message, which is the first, and is added where there is none."""
    if messages and messages[0].role == "system":
        first = messages[0]
        return (first._replace(parts=(*first.parts, Text(f"\n\n{told}"))), *messages[1:])
    return (message("system", told), *messages)


# --- an answer ------------------------------------------------------------------------------------


class Held(NamedTuple):
    """An answer held against the form: its value, or what is wrong with it."""

    value: Json = None
    problems: tuple[str, ...] = ()


def hold(text: str, form: Wanted) -> Held:
    """
    The document in an answer. It need not be the whole answer, because models like to explain and to put fences around:
    of the documents in it, it is the first one that satisfies the form.
    """
    longest, first = -1, Held(problems=("it is empty",))
    try:
        _value(text)
    except (ValueError, RecursionError) as exc:
        if text.strip():
            first = Held(problems=(f"it is no JSON: {exc}",))
    for source, value in _documents(text):
        found = _compared(value, form)
        if not found.problems:
            return found
        if source > longest:
            longest, first = source, found
    return first


def _compared(value: Json, form: Wanted) -> Held:
    """A value held against the form, which may stand in an object because the model was asked for that."""
    inside = form.key if isinstance(value, dict) and form.key in value else None
    try:
        problems = validation.problems(value, form.document if inside is None else form.asked.document)
    except RecursionError:
        problems = ["it is nested too deeply"]
    if problems:
        return Held(problems=tuple(problems))
    return Held(value[inside] if inside is not None and isinstance(value, dict) else value)


def _documents(text: str) -> Iterator[tuple[int, Json]]:
    """The JSON documents that stand in a text, each with its length: the whole, or else objects and lists."""
    try:
        yield len(text), _value(text)
        return
    except (ValueError, RecursionError):
        pass
    at = 0
    for _ in range(_TRIES):
        start = re.compile(r"[{\[]").search(text, at)
        if start is None:
            return
        try:
            value, at = _DECODER.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            at = start.end()
        else:
            yield at - start.start(), value


def _value(text: str) -> Json:
    """A text that is one JSON document, with blank space around it at most."""
    text = text.strip().removeprefix("\ufeff")
    value, end = _DECODER.raw_decode(text)
    if end != len(text):
        raise ValueError(f"more follows behind it (character {end + 1})")
    return value  # type: ignore[no-any-return]


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"no number is as large as {text[:20]}")
    return number


def _constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_constant)

# --- asking until it fits -------------------------------------------------------------------------

Messages: TypeAlias = tuple[Message, ...]
Ask: TypeAlias = Callable[[Messages], Generator[Any, None, Reply]]  # yields what happens, and returns the whole answer


def until_valid(
    ask: Ask,
    messages: Messages,
    form: Wanted,
    *,
    retries: int,
    note: Callable[[str], None],
    printed: Callable[[Json], str],
    so_far: Callable[[], Messages] | None = None,
    hold: Callable[[str, Wanted], Held] = hold,
) -> Generator[Any, None, Reply]:
    """
    The events of an answer that satisfies the form: asked for again and again, each time with what is wrong with the
    last one. Of what is said there is nothing but the document, as `printed`, at the end; what is thought, and whatever
    else happens, is told at once. Token counts are those of all answers. `so_far` tells the messages that led to the
    last answer, where they may be more than `ask` was handed (tools were run); `hold` is what holds an answer against
    the form.

    Raises `WrongForm` when no answer satisfies the form, or when the model was not allowed to finish one: another would
    be cut at the same place.
    """
    spent = Usage()
    while True:
        reply = yield from _unsaid(ask(messages), spent)
        spent = _added(spent, reply.usage or Usage())
        held = hold(reply.message.text, form)
        if not held.problems:
            break
        if reply.finish.reason in ("length", "content_filter"):
            raise _stopped(reply)
        problem = f"the answer does not satisfy the schema: {'; '.join(held.problems)}"
        if retries <= 0:
            raise WrongForm(problem, hint=_MORE, provider=reply.provider)
        retries -= 1
        note(f"{problem}; asking again")
        messages = _with_complaint(so_far() if so_far else messages, reply, held.problems)
    document = printed(held.value)
    yield TextDelta(document)
    yield reply.finish
    return _with_text(reply, document)._replace(usage=spent if spent != Usage() else None)


def _unsaid(events: Generator[Any, None, Reply], spent: Usage) -> Generator[Any, None, Reply]:
    """The events without what is said, and without the end."""
    with closing(events):
        while True:
            try:
                event = next(events)
            except StopIteration as stop:
                reply: Reply = stop.value
                return reply
            if isinstance(event, Usage):
                yield _added(spent, event)
            elif not isinstance(event, TextDelta | Finish):
                yield event


def _added(spent: Usage, usage: Usage) -> Usage:
    """The tokens of both; what neither tells stays unknown."""
    return Usage(*(left if right is None else right + (left or 0) for left, right in zip(spent, usage, strict=True)))


_MORE = "--schema-retries N asks again, and tells the model what is wrong"


def _stopped(reply: Reply) -> WrongForm:
    if reply.finish.reason == "length":
        hint = "--max-tokens allows more"
        return WrongForm("the answer stopped at its limit of tokens, and is no whole document", hint=hint,
                         provider=reply.provider)  # fmt: skip
    return WrongForm("the answer was stopped by a content filter, and is no whole document", provider=reply.provider)


def _with_complaint(messages: Messages, reply: Reply, problems: Sequence[str]) -> Messages:
    """What was asked, what the model said, as it said it, and what is wrong with that."""
    told = "".join(f"- {problem}\n" for problem in problems)
    complaint = f"This is not as the JSON schema says:\n{told}Answer again, with the JSON document alone."
    said = tuple(part for part in reply.message.parts if isinstance(part, Text | Thinking))
    if not reply.message.text.strip():  # no service takes an answer without text, and few a question after a question
        last = messages[-1]
        return (*messages[:-1], last._replace(parts=(*last.parts, Text(f"\n\n{complaint}"))))
    return (*messages, reply.message._replace(parts=said), message("user", complaint))


def _with_text(reply: Reply, text: str) -> Reply:
    """The answer with this text in the place of what was said. What was thought stays."""
    kept = tuple(part for part in reply.message.parts if not isinstance(part, Text))
    return reply._replace(message=reply.message._replace(parts=(*kept, Text(text))))
