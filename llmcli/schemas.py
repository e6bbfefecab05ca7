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
from typing import Any, Literal, NamedTuple, TypeAlias

from llmcli import json_in_text, schema_short_form, validation
from llmcli.errors import ConfigurationError, UsageError, WrongForm
from llmcli.provider import Provider
from llmcli.types import ChatRequest, Finish, Json, Message, Reply, Schema, Text, TextDelta, Thinking, Usage, message

Way: TypeAlias = Literal["native", "json", "prompt"]
Document: TypeAlias = dict[str, Any]

WAYS: tuple[Way, ...] = ("native", "json", "prompt")
_NAME = "answer"  # of a schema that has none
_BY_PLACE = ("$dynamicRef", "$recursiveRef")
_OUTERMOST = ("$schema", "$defs", "definitions")
_ITEMS = "items"  # under which a list stands in an object
_LARGEST = 4 * 1024 * 1024  # bytes of a schema's file


class Wanted(NamedTuple):
    """
    What an answer has to satisfy: `document`. Services take only schemas of objects, so `asked` is what they are told:
    the same, or an object that has it under `key`; whether they were is `around`.
    """

    document: Document
    asked: Schema
    key: str | None = None
    around: bool = True


# --- what a person says ---------------------------------------------------------------------------


def read(said: str, *, many: bool = False) -> Wanted:
    """
    The schema that `--schema` names: JSON (it begins with a brace), the short form (`name: str, age: int`), or a file
    that holds JSON. With `many` the answer is a list of such values. Raises `UsageError`.
    """
    if said.lstrip().startswith("{"):
        return wanted(_parsed(said, "--schema"), "--schema", many=many)
    if schema_short_form.is_short(said):
        return wanted(schema_short_form.read(said), "--schema", many=many)
    stem = os.path.splitext(os.path.basename(said))[0]
    return wanted(_parsed(_contents(said), said), said, name=stem, many=many)


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
    `$ref` finds there. What refers to the schema itself finds it among these. One that has a name of its own (`$id`)
    keeps all that is its own; one whose references depend on where it stands gets such a name.
    """
    if "$id" in document or any(keyword in each for each in _tables(document) for keyword in _BY_PLACE):
        own = {key: value for key, value in document.items() if key != "$schema"}
        outer = {key: document[key] for key in ("$schema",) if key in document}
        return {"$id": f"urn:llmcli:{name}", **own}, outer
    outer = {key: document[key] for key in _OUTERMOST if isinstance(document.get(key), dict | str)}
    inner = {key: value for key, value in document.items() if key not in outer}
    references = (each["$ref"] for each in _tables(document) if isinstance(each.get("$ref"), str))
    if not any(map(_to_itself, references)):
        return inner, outer
    definitions = outer.pop("$defs", {})
    while name in definitions:
        name += "_"
    target = f"#/$defs/{name}"
    definitions = _redirected({**definitions, name: inner}, target)
    return {"$ref": target}, {**_redirected(outer, target), "$defs": definitions}


def _tables(value: object) -> Iterator[Document]:
    """Every object in a document, at any depth."""
    if isinstance(value, dict):
        yield value
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _tables(each)


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


def as_asked(form: Wanted, way: Way) -> Wanted:
    """The form as the answers to this way of asking are held against: what is told in words has no object around it."""
    return form._replace(around=way != "prompt")


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
        json_in_text.value_of(text)
    except (ValueError, RecursionError) as exc:
        if text.strip():
            first = Held(problems=(f"it is no JSON: {exc}",))
    for source, value in json_in_text.documents(text):
        found = _compared(value, form)
        if not found.problems:
            return found
        if source > longest:
            longest, first = source, found
    return first


def _compared(value: Json, form: Wanted) -> Held:
    """
    A value held against the form, and against the object that it was asked for in. What has that object's key alone is
    taken for one first where one was asked for; else a value of its own comes first.
    """
    bare = Held(value, tuple(validation.problems(value, form.document)))
    if form.key is None or not isinstance(value, dict) or value.keys() != {form.key}:
        return bare
    inside = Held(value[form.key], tuple(validation.problems(value, form.asked.document)))
    first, second = (inside, bare) if form.around else (bare, inside)
    return second if first.problems and not second.problems else first


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
        stopped = reply.finish.reason in ("length", "content_filter")
        if stopped and (held.problems or json_in_text.ends_open(reply.message.text)):
            raise _stopped(reply)
        if not held.problems:
            break
        problem = f"the answer does not satisfy the schema: {'; '.join(held.problems)}"
        if retries <= 0:
            raise WrongForm(problem, hint=_MORE, provider=reply.provider)
        retries -= 1
        note(f"{problem}; asking again")
        messages = _with_complaint(so_far() if so_far else messages, reply, held.problems, form)
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


_MORE = "--schema-retries N asks again so often, and tells the model what is wrong"


def _stopped(reply: Reply) -> WrongForm:
    if reply.finish.reason == "length":
        hint = "--max-tokens allows more"
        return WrongForm("the answer stopped at its limit of tokens, and is no whole document", hint=hint,
                         provider=reply.provider)  # fmt: skip
    return WrongForm("the answer was stopped by a content filter, and is no whole document", provider=reply.provider)


def _with_complaint(messages: Messages, reply: Reply, problems: Sequence[str], form: Wanted) -> Messages:
    """What was asked, what the model said, as it said it, and what is wrong with that."""
    told = "".join(f"- {problem}\n" for problem in problems)
    schema = json.dumps(form.asked.document, ensure_ascii=False)  # which a service may have ignored
    complaint = (
        f"This is not as the JSON schema says:\n{told}The schema is: {schema}\n"
        "Answer again, with the JSON document alone."
    )
    said = tuple(part for part in reply.message.parts if isinstance(part, Text | Thinking))
    if not reply.message.text.strip():  # no service takes an answer without text, and few a question after a question
        last = messages[-1]
        return (*messages[:-1], last._replace(parts=(*last.parts, Text(f"\n\n{complaint}"))))
    return (*messages, reply.message._replace(parts=said), message("user", complaint))


def _with_text(reply: Reply, text: str) -> Reply:
    """The answer with this text in the place of what was said. What was thought stays."""
    kept = tuple(part for part in reply.message.parts if not isinstance(part, Text))
    return reply._replace(message=reply.message._replace(parts=(*kept, Text(text))))
