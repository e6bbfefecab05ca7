"""
Checks of what no API promises: values of another type, anywhere in an answer, in an error, in a list. Layer 2.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from llmcli.errors import LlmError
from llmcli.framing import decode_body, parse_json, parse_object
from llmcli.testing.hearing import crash, hear, hear_whole
from llmcli.testing.samples import Answer, body
from llmcli.testing.subject import CheckFailed, Subject, check, fail, skip

Strange = tuple[object, ...]

_STRANGE: Strange = (None, "x", 7, [], {}, ["x"], [None])
_FEW: Strange = (None, "x")  # where each needs a connection of its own


def document_in(record: bytes) -> dict[str, object] | None:
    """The JSON object in a record, wherever it begins and ends."""
    start, end = record.find(b"{"), record.rfind(b"}") + 1
    document = parse_object(decode_body(record[start:end])) if start >= 0 else None
    return None if document is None else {**document}


def with_document(record: bytes, document: object) -> bytes:
    """The record with another document in place of its own."""
    return record[: record.find(b"{")] + body(document) + record[record.rfind(b"}") + 1 :]


def mangled(value: object, place: str = "", others: Strange = _STRANGE) -> Iterator[tuple[str, object]]:
    """The value with each value in it, and itself, replaced by each of the others; and what was replaced."""
    for other in others:
        yield f"{json.dumps(other)} in place of {place or 'all of it'}", other
    if isinstance(value, dict):
        for key, inner in value.items():
            for where, changed in mangled(inner, f"{place}.{key}".lstrip("."), others):
                yield where, {**value, key: changed}
    elif isinstance(value, list):
        first_of_each = {_shape(inner): at for at, inner in reversed(list(enumerate(value)))}
        for at in sorted(first_of_each.values()):
            for where, changed in mangled(value[at], f"{place}[{at}]", others):
                yield where, [*value[:at], changed, *value[at + 1 :]]


@contextmanager
def _blamed(where: str) -> Iterator[None]:
    """A crash is blamed on what was strange; our own errors are as good an answer as any."""
    try:
        yield
    except CheckFailed as exc:
        fail(f"{where}, {exc}")
    except LlmError:
        pass
    except Exception as exc:
        fail(f"{where}, {crash(exc)}")


@check("any")
def strange_answers_do_no_harm(subject: Subject) -> None:
    """A value of another type than the API promises is an error or nothing, never a crash"""
    for name, sample in subject.given.answers().items():
        document = None if subject.native else document_in(sample.whole or b"")
        for where, changed in mangled(document) if document is not None else ():
            with _blamed(f"{name}, whole: with {where}"):
                hear_whole(subject, sample._replace(whole=body(changed)))
        if subject.streams and not subject.in_process:
            _strange_records(subject, name, sample)


def _strange_records(subject: Subject, name: str, sample: Answer) -> None:
    """One record of each shape, for the pieces of a long answer are alike."""
    shapes = set()
    for number, record in enumerate(sample.stream):
        document = document_in(record)
        shape = _shape(document)
        if document is None or shape in shapes:
            continue
        shapes.add(shape)
        for where, changed in mangled(document, others=_FEW if subject.native else _STRANGE):
            records = [*sample.stream[:number], with_document(record, changed), *sample.stream[number + 1 :]]
            with _blamed(f"{name}, record {number + 1}: with {where}"):
                hear(subject, sample, records)


def _shape(value: object) -> object:
    """What is the same in values of the same keys and types."""
    if isinstance(value, dict):
        return tuple((key, _shape(inner)) for key, inner in value.items())
    if isinstance(value, list):
        return tuple(map(_shape, value))
    return type(value)


@check("http")
def strange_errors_do_no_harm(subject: Subject) -> None:
    """An error of another shape than the API promises is an error, never a crash"""
    provider = subject.http()
    documents = [document_in(failure.body) for failure in subject.samples.errors] if subject.samples else []
    for document in [*documents, {"error": {"message": "kit"}}]:
        for where, changed in mangled(document) if document is not None else ():
            with _blamed(f"read_error: with {where}"):
                provider.read_error(400, {}, body(changed))


@check("http")
def strange_lists_of_models_do_no_harm(subject: Subject) -> None:
    """What is no list of models is an error or no models, never a crash"""
    provider = subject.http()
    if provider.models_request() is None:
        skip("the API does not list its models")
    pages = subject.samples.models if subject.samples else ()
    documents = [parse_json(decode_body(page)) for page in pages]
    for document in [*documents, {"data": [{"id": "x"}]}, {"models": [{"name": "x"}]}]:
        for where, changed in mangled(document):
            with _blamed(f"read_models: with {where}"):
                provider.read_models(changed)
