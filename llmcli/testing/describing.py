"""
What an adapter sends for a request, as it describes it or as its server received it. The values that were said are
looked for anywhere in it, so that no format need be described. Layer 2: knows the contract and the subject.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import NamedTuple
from urllib.parse import unquote, unquote_plus

from llmcli.answer import answer
from llmcli.errors import LlmError, ProviderFailed
from llmcli.framing import decode_body, parse_json
from llmcli.testing.hearing import call, crashed
from llmcli.testing.subject import CheckFailed, Subject, fail
from llmcli.types import ChatRequest

Place = tuple[object, ...]  # the keys and positions that lead to a value


class Described(NamedTuple):
    """
    A request as it goes out, or the error with which it was refused. `values`: what stands where in its JSON, behind
    the number of the message where a native provider sends several.
    """

    sent: str
    values: Mapping[Place, object]
    refused: LlmError | None = None

    def says(self, *texts: str) -> bool:
        """Whether the texts are in it, in their order."""
        position = 0
        for text in texts:
            found = self.sent.find(text, position)
            if found < 0:
                return False
            position = found + len(text)
        return True

    def mentions(self, name: str) -> bool:
        """Whether a name stands in it, as a key or in a text."""
        return self.says(name) or any(name in place for place in self.values)

    def texts(self) -> list[str]:
        """The texts in the JSON."""
        return [value for value in self.values.values() if isinstance(value, str)]

    def place_of(self, wanted: object) -> Place | None:
        """Where a value stands in the JSON, as itself or written out."""
        for place, value in self.values.items():
            if value is wanted or (value in (wanted, str(wanted)) and not isinstance(value, bool)):
                return place
        return None

    def carries(self, wanted: object) -> bool:
        """Whether a value is in it, which can be told of text alone where it is no JSON."""
        return self.place_of(wanted) is not None if self.values else str(wanted) in self.sent


def described(subject: Subject, request: ChatRequest, *, stream: bool) -> Described:
    """What the adapter sends for a request: over HTTP as it describes it, natively as its server received it."""
    if subject.native:
        return _received(subject, request)
    provider = subject.http()
    try:
        provider.check(request)
        wire = provider.chat_request(request, stream=stream)
    except LlmError as exc:
        return Described("", {}, exc)
    except Exception as exc:
        crashed(exc)
    body = decode_body(wire.body or b"")
    return _shown(unquote(wire.url), body)


def _shown(head: str, body: str) -> Described:
    try:
        values = dict(leaves(parse_json(body)))
    except ProviderFailed:
        return Described(f"{head}\n{unquote_plus(body)}", {})
    return Described("\n".join([head, *(value for value in values.values() if isinstance(value, str))]), values)


def _received(subject: Subject, request: ChatRequest) -> Described:
    with subject.server()(subject.given.answer.stream, stay=False) as server:
        provider = subject.made(server.base_url)
        try:
            list(answer(provider, request, call(subject)))
        except LlmError as exc:
            return Described("", {}, exc)
        messages = [each.decode("utf-8", "replace") if isinstance(each, bytes) else each for each in server.requests]
    shown = [_shown("", each) for each in messages]
    values = {(number, *place): value for number, one in enumerate(shown) for place, value in one.values.items()}
    return Described("\n".join(one.sent for one in shown), values)


def leaves(document: object, place: Place = ()) -> Iterator[tuple[Place, object]]:
    """Every value of a JSON document that holds no others, and where it stands."""
    if isinstance(document, Mapping):
        for key, value in document.items():
            yield from leaves(value, (*place, key))
    elif isinstance(document, list):
        for number, value in enumerate(document):
            yield from leaves(value, (*place, number))
    else:
        yield place, document


def each_way(function: Callable[[Subject, bool], None]) -> Callable[[Subject], None]:
    """A check of what is sent for a whole answer, and again of what is sent for a stream where there are streams."""

    @wraps(function)
    def both(subject: Subject) -> None:
        function(subject, False)
        if subject.native or not subject.made().capabilities.stream:
            return
        try:
            function(subject, True)
        except CheckFailed as exc:
            fail(f"with stream=True, {exc}")

    return both


def accepted(subject: Subject, request: ChatRequest, what: str, *, stream: bool) -> Described:
    """What is sent for a request that no provider may refuse."""
    found = described(subject, request, stream=stream)
    if found.refused is not None:
        fail(f"{what} was refused ({found.refused.message}), which any provider must take")
    return found
