"""
The conformance kit itself: a good adapter passes every check, and for each check there is an adapter with one mistake
that it finds, saying what to change.
"""

import json
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from urllib.parse import urljoin

import pytest

import llmcli.testing
from llmcli.errors import LlmError, NetworkFailed, ProviderFailed, RequestRejected, UsageError
from llmcli.framing import Framing, JsonLines, Record, as_object, parse_json, parse_object
from llmcli.provider import Capabilities, HTTPProvider, NativeCall, Option, Reader, Setting, with_key
from llmcli.testing import CHECKS, Failure, Result, Samples, Subject, run, sse
from llmcli.testing.watching import watched
from llmcli.types import (
    Attachment,
    ChatRequest,
    Event,
    Finish,
    HttpRequest,
    Json,
    Message,
    ModelPage,
    Part,
    ProviderConfig,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ThinkingEnd,
    Tool,
    ToolCall,
    ToolResult,
    message,
)
from tests.wire_samples.acme import SAMPLES, Acme, AcmeReader, AcmeSocket, as_lines, chat_body, serve


class Mutant(NamedTuple):
    """An adapter with one mistake, the check that finds it, and words of the remedy."""

    check: str
    subject: Subject
    says: str


MUTANTS: list[Mutant] = []
SOCKET_SAMPLES = as_lines(SAMPLES)


class Optioned(Acme):
    """The good adapter with declared options."""

    options: ClassVar[Mapping[str, Option]] = {"style": Option("how it is said")}


GOOD = Subject(Acme, SAMPLES)
GOOD_SOCKET = Subject(AcmeSocket, SOCKET_SAMPLES, serve=serve)


def mutant(check: str, says: str, samples: Samples = SAMPLES) -> Any:
    """The class below has one mistake, which this check finds and these words remedy."""

    def entered(cls: Any) -> Any:
        provider = cls
        if issubclass(cls, Reader):
            provider = type(cls.__name__, (Acme,), {"reader_class": cls})
        subject = Subject(provider, samples)
        if issubclass(provider, AcmeSocket):
            subject = Subject(provider, SOCKET_SAMPLES, serve=serve)
        MUTANTS.append(Mutant(check, subject, says))
        return cls

    return entered


# --- what is declared -----------------------------------------------------------------------------


@mutant("the-class-is-a-provider", "lower-case letters")
class IdWithBlanks(Acme):
    id = "Acme AI"


@mutant("declarations-are-well-formed", "comma")
class OneQuirk(Acme):
    quirks = "It is slow."  # type: ignore[assignment]


@mutant("declarations-are-well-formed", "should be a media type")
class TakesPictures(Acme):
    attachments: ClassVar[Mapping[str, int]] = {"png": 1_000_000}


@mutant("declared-settings-are-settings", "no such setting")
class MistypedSetting(Acme):
    settings: ClassVar[Mapping[str, Setting]] = {"max_token": Setting(min=1)}


@mutant("a-setting-out-of-range-is-refused", "super().check")
class RangeNotChecked(Acme):
    def check(self, request: ChatRequest) -> None:
        pass


@mutant("an-unknown-option-is-refused", "super().check")
class OptionsNotChecked(Optioned):
    def check(self, request: ChatRequest) -> None:
        super().check(request._replace(options={}))


@mutant("an-ordinary-request-is-taken", "refuses a plain question")
class WantsATemperature(Acme):
    def check(self, request: ChatRequest) -> None:
        super().check(request)
        if request.temperature is None:
            raise RequestRejected("a temperature is required")


@mutant("the-default-model-is-known", "known_models")
class DefaultOfLastYear(Acme):
    default_model = "acme-0"


@mutant("models-are-listed", "the cursor of the next")
class FirstPageOnly(Acme):
    def read_models(self, document: object) -> ModelPage:
        return super().read_models(document)._replace(next=None)


@mutant("what-is-declared-is-shown", "declare it there")
class DeclaresLate(Acme):
    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(config)
        self.quirks = ("It is slow.",)  # type: ignore[misc]


class NamesOnly(AcmeSocket):
    def models(self, call: NativeCall) -> Any:
        return ["acme-1"]


MUTANTS.append(Mutant("the-models-are-told", Subject(NamesOnly), "should yield Model"))


# --- what is sent ---------------------------------------------------------------------------------


class Altered(Acme):
    """An adapter that sends another body."""

    def body(self, request: ChatRequest, *, stream: bool) -> dict[str, Json]:
        return self.altered(chat_body(request, stream=stream), request)

    def altered(self, sent: dict[str, Json], request: ChatRequest) -> dict[str, Json]:
        return sent


@mutant("the-conversation-is-sent", "send every message")
class LastMessageOnly(Acme):
    def body(self, request: ChatRequest, *, stream: bool) -> dict[str, Json]:
        return super().body(request._replace(messages=request.messages[-1:]), stream=stream)


@mutant("the-conversation-is-sent", "with stream=True")
class LastMessageOfAStream(Acme):
    def body(self, request: ChatRequest, *, stream: bool) -> dict[str, Json]:
        kept = request.messages[-1:] if stream else request.messages
        return super().body(request._replace(messages=kept), stream=stream)


@mutant("the-system-message-is-sent", "refuse it in check")
class WithoutSystem(Altered):
    def altered(self, sent: dict[str, Json], request: ChatRequest) -> dict[str, Json]:
        sent.pop("rules", None)
        return sent


@mutant("all-system-messages-are-sent", "join them")
class LastRuleOnly(Altered):
    def altered(self, sent: dict[str, Json], request: ChatRequest) -> dict[str, Json]:
        rules = [each.text for each in request.messages if each.role == "system"]
        return {**sent, "rules": rules[-1]} if rules else sent


@mutant("roles-are-told-apart", "say who spoke")
class EveryoneIsHuman(Acme):
    def body(self, request: ChatRequest, *, stream: bool) -> dict[str, Json]:
        spoken = tuple(each._replace(role="user") if each.role != "system" else each for each in request.messages)
        return super().body(request._replace(messages=spoken), stream=stream)


@mutant("messages-of-one-role-in-a-row-are-all-sent", "join them")
class LastOfARow(Acme):
    def body(self, request: ChatRequest, *, stream: bool) -> dict[str, Json]:
        kept: list[Message] = []
        for each in request.messages:
            if kept and kept[-1].role == each.role:
                kept.pop()
            kept.append(each)
        return super().body(request._replace(messages=tuple(kept)), stream=stream)


@mutant("text-is-sent-as-it-is", "json_request")
class AsciiOnly(Acme):
    def chat_request(self, request: ChatRequest, *, stream: bool) -> HttpRequest:
        wire = super().chat_request(request, stream=stream)
        return wire._replace(body=(wire.body or b"").decode().encode("ascii", "replace"))


@mutant("blanks-around-a-text-are-sent", "without its blanks")
class TrimsThePrompt(Acme):
    def body(self, request: ChatRequest, *, stream: bool) -> dict[str, Json]:
        trimmed = tuple(each._replace(parts=(Text(each.text.strip()),)) for each in request.messages)
        return super().body(request._replace(messages=trimmed), stream=stream)


@mutant("the-model-is-sent", "request.model")
class ItsOwnModel(Altered):
    def altered(self, sent: dict[str, Json], request: ChatRequest) -> dict[str, Json]:
        return {**sent, "model": self.default_model}


@mutant("settings-are-sent-or-refused", "put request.top_p in its place")
class WithoutTopP(Altered):
    def altered(self, sent: dict[str, Json], request: ChatRequest) -> dict[str, Json]:
        sent.pop("top", None)
        return sent


@mutant("settings-are-sent-or-refused", "with stream=True, max_tokens was said")
class StreamsAreUnlimited(Acme):
    def body(self, request: ChatRequest, *, stream: bool) -> dict[str, Json]:
        return super().body(request._replace(max_tokens=None) if stream else request, stream=stream)


@mutant("settings-are-sent-or-refused", "request.stop")
class OneStopOnly(Acme):
    def body(self, request: ChatRequest, *, stream: bool) -> dict[str, Json]:
        return super().body(request._replace(stop=request.stop[:1]), stream=stream)


@mutant("zero-is-a-value", "is not None")
class ZeroIsNothingOverASocket(AcmeSocket):
    def asked(self, request: ChatRequest, call: NativeCall) -> Mapping[str, Json]:
        return {name: value for name, value in super().asked(request, call).items() if value}


@mutant("zero-is-a-value", "is not None")
class ZeroIsNothing(Altered):
    def altered(self, sent: dict[str, Json], request: ChatRequest) -> dict[str, Json]:
        return {name: value for name, value in sent.items() if value}


@mutant("nothing-unsaid-is-sent", "Setting.default")
class ItsOwnTemperature(Altered):
    def altered(self, sent: dict[str, Json], request: ChatRequest) -> dict[str, Json]:
        return {"heat": 0.7, **sent}


@mutant("no-null-is-sent", "leave out what was not said")
class SendsNull(Altered):
    def altered(self, sent: dict[str, Json], request: ChatRequest) -> dict[str, Json]:
        return {"user": None, **sent}


@mutant("options-are-sent", "request.options")
class WithoutOptions(Acme):
    def body(self, request: ChatRequest, *, stream: bool) -> dict[str, Json]:
        return super().body(request._replace(options={}), stream=stream)


@mutant("an-option-wins-over-our-field", "last")
class OurFieldsFirst(Acme):
    def body(self, request: ChatRequest, *, stream: bool) -> dict[str, Json]:
        return {**request.options, **super().body(request._replace(options={}), stream=stream)}


@mutant("an-option-wins-over-our-field", "last")
class OurFieldsFirstOverASocket(AcmeSocket):
    def asked(self, request: ChatRequest, call: NativeCall) -> Mapping[str, Json]:
        return {**request.options, **super().asked(request._replace(options={}), call)}


@mutant("a-stream-is-asked-for", "ask for the stream")
class NeverAsksForAStream(Acme):
    def chat_request(self, request: ChatRequest, *, stream: bool) -> HttpRequest:
        return super().chat_request(request, stream=False)


@mutant("a-body-says-what-it-is", "json_request")
class WithoutContentType(Acme):
    def chat_request(self, request: ChatRequest, *, stream: bool) -> HttpRequest:
        return super().chat_request(request, stream=stream)._replace(headers={})


@mutant("asking-twice-asks-the-same", "keep nothing of a request")
class Remembers(Acme):
    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(config)
        self.history: tuple[Message, ...] = ()

    def body(self, request: ChatRequest, *, stream: bool) -> dict[str, Json]:
        self.history += request.messages
        return super().body(request._replace(messages=self.history), stream=stream)


def without(message: Message, kind: type) -> Message:
    """The message without its parts of a kind."""
    return message._replace(parts=tuple(part for part in message.parts if not isinstance(part, kind)))


@mutant("thinking-is-sent-back", "is not sent back")
class KeepsThinking(Acme):
    def body(self, request: ChatRequest, *, stream: bool) -> dict[str, Json]:
        bare = tuple(without(each, Thinking) for each in request.messages)
        return super().body(request._replace(messages=bare), stream=stream)


class Retold(Acme):
    """An adapter that sends other parts of messages back."""

    def body(self, request: ChatRequest, *, stream: bool) -> dict[str, Json]:
        told = tuple(each._replace(parts=self.retold(each.parts)) for each in request.messages)
        return super().body(request._replace(messages=told), stream=stream)

    def retold(self, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        return parts


@mutant("the-text-beside-thinking-is-sent-back", "every part")
class ThinkingAlone(Retold):
    def retold(self, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        return tuple(part for part in parts if isinstance(part, Thinking)) or parts


@mutant("the-text-beside-thinking-is-sent-back", "as if it had been said")
class ThinksAloud(Retold):
    def retold(self, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        return tuple(Text(part.text) if isinstance(part, Thinking) else part for part in parts)


@mutant("the-text-beside-thinking-is-sent-back", "as if it had been said")
class ThinksInTags(Retold):
    def retold(self, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        told = (f"<think>{part.text}</think>" if isinstance(part, Thinking) else part.text for part in parts
                if not isinstance(part, ToolCall))  # fmt: skip
        return (Text("".join(told)),)


@mutant("tool-calls-are-sent-back", "the text 'KIT-BESIDE'")
class CallsAlone(Retold):
    def retold(self, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        return tuple(part for part in parts if isinstance(part, ToolCall)) or parts


@mutant("tool-calls-are-sent-back", "the id 'c1'")
class NewIds(Retold):
    def retold(self, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        return tuple(part._replace(id="x") if isinstance(part, ToolCall) else part for part in parts)


@mutant("tool-calls-are-sent-back", "ToolCall.arguments")
class CallsWithoutArguments(Retold):
    def retold(self, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        return tuple(part._replace(arguments="{}") if isinstance(part, ToolCall) else part for part in parts)


@mutant("tool-calls-are-sent-back", "is not sent back")
class KeepsToolCalls(Acme):
    def body(self, request: ChatRequest, *, stream: bool) -> dict[str, Json]:
        bare = tuple(without(each, ToolCall) for each in request.messages)
        return super().body(request._replace(messages=bare), stream=stream)


@mutant("tool-calls-are-sent-back", "is not sent back")
class KeepsToolCallsOverASocket(AcmeSocket):
    def asked(self, request: ChatRequest, call: NativeCall) -> Mapping[str, Json]:
        bare = tuple(without(each, ToolCall) for each in request.messages)
        return super().asked(request._replace(messages=bare), call)


# --- what is declared is done, and what is not is refused --------------------------------------------


class Careless(Acme):
    """It declares nothing, and refuses nothing."""

    capabilities = Capabilities()

    def check(self, request: ChatRequest) -> None:
        pass


class CarelessOverASocket(AcmeSocket):
    """The same over a socket."""

    capabilities = Capabilities()

    def check(self, request: ChatRequest) -> None:
        pass


class RefusesByAnotherName(Acme):
    """It refuses what it does not declare as if the call were wrong."""

    capabilities = Capabilities()

    def check(self, request: ChatRequest) -> None:
        try:
            super().check(request)
        except RequestRejected as exc:
            raise UsageError(exc.message) from exc


for _check in ("tools-are-sent-or-refused", "attachments-are-sent-or-refused", "how-much-to-think-is-sent-or-refused",
               "a-schema-is-sent-or-refused", "bare-text-is-sent-as-it-is-or-refused"):  # fmt: skip
    MUTANTS += [
        Mutant(_check, Subject(Careless, SAMPLES), "call super().check(request)"),
        Mutant(_check, Subject(CarelessOverASocket, SOCKET_SAMPLES, serve=serve), "call super().check(request)"),
        Mutant(_check, Subject(RefusesByAnotherName, SAMPLES), "that should be RequestRejected"),
    ]


class Forgetful(Acme):
    """An adapter that says less than it was asked."""

    def body(self, request: ChatRequest, *, stream: bool) -> dict[str, Json]:
        return super().body(self.left(request), stream=stream)

    def left(self, request: ChatRequest) -> ChatRequest:
        return request


@mutant("tools-are-sent-or-refused", "'kit_weather' of a tool is not sent")
class WithoutTools(Forgetful):
    def left(self, request: ChatRequest) -> ChatRequest:
        return request._replace(tools=())


@mutant("tools-are-sent-or-refused", "'kit_clock' of a tool is not sent")
class OneToolOnly(Forgetful):
    def left(self, request: ChatRequest) -> ChatRequest:
        return request._replace(tools=request.tools[:1])


@mutant("tools-are-sent-or-refused", "'KIT-ABOUT the weather' of a tool is not sent")
class ToolsByNameAlone(Forgetful):
    def left(self, request: ChatRequest) -> ChatRequest:
        return request._replace(tools=tuple(Tool(each.name, "", each.parameters) for each in request.tools))


@mutant("tools-are-sent-or-refused", "'kit_city' of a tool is not sent")
class ToolsWithoutParameters(Forgetful):
    def left(self, request: ChatRequest) -> ChatRequest:
        return request._replace(tools=tuple(Tool(each.name, each.description) for each in request.tools))


@mutant("tools-are-sent-or-refused", "or declare tools=False")
class RefusesWhatItDeclares(Acme):
    def check(self, request: ChatRequest) -> None:
        super().check(request)
        if request.tools:
            raise RequestRejected("no tools today")


@mutant("a-choice-of-tools-is-sent-or-refused", "tool_choice = 'none' was said and is not sent")
class ChoosesNothing(Forgetful):
    def left(self, request: ChatRequest) -> ChatRequest:
        return request._replace(tool_choice=None)


@mutant("a-choice-of-tools-is-sent-or-refused", "tool_choice = 'kit_clock' was said")
class ChoosesNoToolByItsName(Forgetful):
    def left(self, request: ChatRequest) -> ChatRequest:
        named = request.tool_choice not in (None, "none", "required")
        return request._replace(tool_choice=None) if named else request


@mutant("a-choice-of-tools-is-sent-or-refused", "it should be RequestRejected")
class FailsAtAChoice(Acme):
    def check(self, request: ChatRequest) -> None:
        super().check(request)
        if request.tool_choice is not None:
            raise ProviderFailed("no choice")


@mutant("the-results-of-tools-are-sent", "'KIT-RESULT-0' of a call is not sent")
class WithoutResults(Retold):
    def retold(self, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        return tuple(part for part in parts if not isinstance(part, ToolResult)) or (Text("x"),)


@mutant("the-results-of-tools-are-sent", "'KIT-RESULT-1' of a call is not sent")
class FirstResultOnly(Retold):
    def retold(self, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        return parts[:1] if parts and isinstance(parts[0], ToolResult) else parts


@mutant("the-results-of-tools-are-sent", "in another order")
class ResultsBackwards(Retold):
    def retold(self, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        return parts[::-1] if parts and isinstance(parts[0], ToolResult) else parts


@mutant("the-results-of-tools-are-sent", "behind what the user says next")
class ResultsLast(Acme):
    def body(self, request: ChatRequest, *, stream: bool) -> dict[str, Json]:
        ordered = tuple(sorted(request.messages, key=lambda each: each.role == "tool"))
        return super().body(request._replace(messages=ordered), stream=stream)


@mutant("the-results-of-tools-are-sent", "could be any call's")
class ResultsOfNothing(Retold):
    def retold(self, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        return tuple(part._replace(id="") if isinstance(part, ToolResult) else part for part in parts)


@mutant("attachments-are-sent-or-refused", "the bytes of an attachment are not sent")
class FirstFileOnly(Retold):
    def retold(self, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        return parts[:2]


@mutant("attachments-are-sent-or-refused", "the text beside an attachment is not sent")
class FilesAlone(Retold):
    def retold(self, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        return tuple(part for part in parts if isinstance(part, Attachment)) or parts


@mutant("attachments-are-sent-or-refused", "has no media type")
class TakesFilesOfNoKind(Acme):
    attachments: ClassVar[Mapping[str, int]] = {}


@mutant("attachments-are-sent-or-refused", "the URL of an attachment is not sent")
class LosesUrls(Retold):
    def retold(self, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        return tuple(part for part in parts if not (isinstance(part, Attachment) and part.url))


@mutant("a-schema-is-sent-or-refused", "the schema is not sent")
class WithoutSchema(Forgetful):
    def left(self, request: ChatRequest) -> ChatRequest:
        return request._replace(schema=None)


@mutant("a-schema-is-sent-or-refused", "a schema changes nothing")
class HasAModeThatItDoesNotUse(WithoutSchema):
    capabilities = Capabilities()
    json_mode = True


@mutant("how-much-to-think-is-sent-or-refused", "thinking = 'low' was said and is not sent")
class ThinksAsItLikes(Forgetful):
    def left(self, request: ChatRequest) -> ChatRequest:
        return request._replace(thinking=None)


@mutant("how-much-to-think-is-sent-or-refused", "thinking = 2048 was said and is not sent")
class KnowsNoNumbers(Forgetful):
    def left(self, request: ChatRequest) -> ChatRequest:
        return request._replace(thinking=None) if isinstance(request.thinking, int) else request


@mutant("how-much-to-think-is-sent-or-refused", "turn it off")
class CannotStopThinking(Forgetful):
    def left(self, request: ChatRequest) -> ChatRequest:
        return request._replace(thinking="high") if request.thinking == "off" else request


@mutant("bare-text-is-sent-as-it-is-or-refused", "without a template")
class CompletesByATemplate(Altered):
    def altered(self, sent: dict[str, Json], request: ChatRequest) -> dict[str, Json]:
        return {**sent, "raw": f"[INST] {request.messages[-1].text} [/INST]"} if request.complete else sent


@mutant("bare-text-is-sent-as-it-is-or-refused", "is sent like a question")
class CompletesNothing(Acme):
    def chat_request(self, request: ChatRequest, *, stream: bool) -> HttpRequest:
        return super().chat_request(request._replace(complete=False), stream=stream)


@mutant("a-completion-is-read", "the text should be")
class ReadsQuestionsOnly(Acme):
    def reader(self, request: ChatRequest) -> Reader:
        return SilentReader() if request.complete else super().reader(request)


class SilentReader(AcmeReader):
    def text(self, text: str) -> Iterator[Event]:
        return iter(())


@mutant("requests-go-to-the-base-url", "self.url(path)")
class ModelsElsewhere(Acme):
    def models_request(self, cursor: str | None = None) -> HttpRequest | None:
        return HttpRequest("GET", f"https://models.acme.example/v1?from={cursor or ''}")


@mutant("requests-go-to-the-base-url", "self.url(path)")
class LosesThePath(Acme):
    def url(self, path: str) -> str:
        return urljoin(str(self.base_url), path)


@mutant("the-key-is-sent-once", "where the protocol wants it")
class KeyTwice(AcmeSocket):
    def asked(self, request: ChatRequest, call: NativeCall) -> Mapping[str, Json]:
        return {**super().asked(request, call), "key": call.key, "user": {"key": call.key}}


@mutant("the-key-stands-only-in-its-place", "send it in a header")
class KeyInTheBody(Acme):
    def authorize(self, request: HttpRequest, key: str) -> HttpRequest:
        return with_key(request, self.api_key, key)._replace(body=json.dumps({"key": key}).encode())


# --- what is read ---------------------------------------------------------------------------------

MUTANTS.append(Mutant(
    "samples-are-telling",
    Subject(Acme, SAMPLES._replace(answer=SAMPLES.answer._replace(says="hello"))),
    "an emoji and a line break",
))  # fmt: skip


@mutant("a-whole-answer-is-read", "TextDelta")
class StripsWhole(AcmeReader):
    def whole(self, document: object) -> Iterator[Event]:
        answer = as_object(document)
        return super().whole({**answer, "text": str(answer.get("text", "")).replace("\n", " ")})


@mutant("a-streamed-answer-is-read", "TextDelta")
class StripsPieces(AcmeReader):
    def text(self, text: str) -> Iterator[Event]:
        return super().text(text.strip())


@mutant("the-parts-stand-in-their-order", "Thinking, Text")
class ThinksLast(AcmeReader):
    def __init__(self) -> None:
        super().__init__()
        self.thoughts: list[Event] = []

    def fields(self, answer: Mapping[str, Json]) -> Iterator[Event]:
        for event in super().fields(answer):
            if isinstance(event, ThinkingDelta | ThinkingEnd):
                self.thoughts.append(event)
            elif isinstance(event, Finish):
                yield from [*self.thoughts, event]
            else:
                yield event


@mutant("the-finish-reason-is-read", "map the API's word")
class OneReason(AcmeReader):
    def __init__(self) -> None:
        super().__init__()
        self.reasons = {"end": "stop"}


@mutant("the-usage-is-read", "Usage event should be")
class CountsNothing(AcmeReader):
    def usage(self, tokens: Json) -> Iterator[Event]:
        return iter(())


@mutant("the-model-is-read", "yield Metadata")
class NamesNoModel(AcmeReader):
    def facts(self, answer: Mapping[str, Json]) -> Iterator[Event]:
        return iter(())


@mutant("an-empty-answer-is-an-answer", "it says nothing")
class SpeaksForTheModel(AcmeReader):
    def finish(self, stop: str) -> Iterator[Event]:
        yield TextDelta("(no more)")
        yield from super().finish(stop)


@mutant("thinking-is-read", "opaque")
class LosesTheSignature(AcmeReader):
    def fields(self, answer: Mapping[str, Json]) -> Iterator[Event]:
        return super().fields({name: value for name, value in answer.items() if name != "sign"})


@mutant("tool-calls-are-read", "an id of its own")
class OneIdForAll(AcmeReader):
    def call(self, call: Mapping[str, Json]) -> ToolCall:
        return super().call({"id": "c1", **call})


@mutant("nothing-undeclared-is-told", "Capabilities(thinking=True)")
class DeclaresTooLittle(Acme):
    capabilities = Capabilities(tools=True)


# --- streams --------------------------------------------------------------------------------------


class Framed(Acme):
    """An adapter with a framing of its own."""

    framing_class: ClassVar[type[Framing]]

    def framing(self) -> Framing:
        return self.framing_class()


class Packets(JsonLines):
    """Takes a packet for whole events."""

    whole_starts = b"{["

    def feed(self, chunk: bytes) -> list[Record]:
        blocks = chunk.decode("utf-8", "replace").split("\n\n")
        return [Record(block.removeprefix("data: ")) for block in blocks if block.startswith("data: ")]


@mutant("a-stream-may-be-cut-anywhere", "until the next feed()")
class TakesPacketsForEvents(Framed):
    framing_class = Packets


class Lines(JsonLines):
    """Cuts lines by hand, at LF only."""

    whole_starts = b"{["

    def feed(self, chunk: bytes) -> list[Record]:
        return [
            Record(record.data.removeprefix("data: "))
            for record in super().feed(chunk)
            if not record.data.startswith(":")
        ]

    def _record(self, line: bytes) -> Record | None:
        return Record(line.decode("utf-8", "replace")) if line else None


@mutant("lines-may-end-in-crlf", "leave the ends of lines to the framing")
class CutsLinesByHand(Framed):
    framing_class = Lines


@mutant(
    "keep-alives-say-nothing",
    "says nothing",
    SAMPLES._replace(keep_alive=sse({"text": "", "alive": True})),
)
class SaysSomethingForEachRecord(AcmeReader):
    def fields(self, answer: Mapping[str, Json]) -> Iterator[Event]:
        if "alive" in answer:
            yield TextDelta(" ")
        yield from super().fields(answer)


@mutant("unknown-records-are-ignored", "does not know")
class KnowsAllTypes(AcmeReader):
    def check(self, document: Mapping[str, Json]) -> None:
        super().check(document)
        if "type" in document:
            raise ProviderFailed(f"unknown type {document['type']}")


@mutant("unknown-fields-are-ignored", "leave the others")
class KnowsAllFields(AcmeReader):
    def fields(self, answer: Mapping[str, Json]) -> Iterator[Event]:
        if unknown := set(answer) - {"model", "think", "sign", "text", "calls", "stop", "tokens"}:
            raise ProviderFailed(f"unknown fields {unknown}")
        return super().fields(answer)


@mutant("text-comes-as-it-is-said", "yield in feed()")
class HoldsBack(AcmeReader):
    def __init__(self) -> None:
        super().__init__()
        self.held = ""

    def text(self, text: str) -> Iterator[Event]:
        self.held += text
        return iter(())

    def finish(self, stop: str) -> Iterator[Event]:
        yield from super().text(self.held)
        yield from super().finish(stop)


@mutant("two-answers-may-be-read-at-once", "never on the provider")
class OneReaderForAll(Acme):
    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(config)
        self.shared = HoldsBack()

    def reader(self, request: ChatRequest) -> Reader:
        return self.shared


@mutant("an-answer-leaves-nothing-behind", "never on the provider")
class OneReaderForEver(Acme):
    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(config)
        self.kept = AcmeReader()

    def reader(self, request: ChatRequest) -> Reader:
        return self.kept


@mutant("an-answer-leaves-nothing-behind", "never on the provider")
class CountsOnOverASocket(AcmeSocket):
    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(config)
        kept = AcmeReader()
        self.reader_class = lambda: kept  # type: ignore[misc,assignment]


class EndsAnyway(AcmeReader):
    """Takes the end of the stream for the end of the answer."""

    def end(self) -> Iterator[Event]:
        yield Finish("stop")


MUTANTS.append(Mutant(
    "a-stream-without-its-end-marker-is-incomplete",
    Subject(type("Ends", (Acme,), {"reader_class": EndsAnyway}), SAMPLES),
    "yield Finish only at the marker",
))  # fmt: skip


@mutant("a-cut-stream-is-incomplete", "counted as complete")
class CompleteFromTheStart(EndsAnyway):
    complete = True


@mutant("a-cut-behind-the-end-marker-loses-nothing", "set `complete`")
class FinishesAtTheEndOnly(AcmeReader):
    def __init__(self) -> None:
        super().__init__()
        self.last: list[Event] = []

    def finish(self, stop: str) -> Iterator[Event]:
        self.last = [Finish(self.reasons.get(stop, "other"), stop)]
        return iter(())

    def whole(self, document: object) -> Iterator[Event]:
        yield from super().whole(document)
        yield from self.last

    def end(self) -> Iterator[Event]:
        return iter(self.last)


@mutant("a-document-without-an-answer-is-no-answer", "raise ProviderFailed in whole()")
class TakesNothingForAnAnswer(AcmeReader):
    def whole(self, document: object) -> Iterator[Event]:
        return super().whole({"text": "", **as_object(document)})


# --- what is told as it came ----------------------------------------------------------------------


@mutant("text-comes-as-it-is", "without strip()")
class DropsBlankPieces(AcmeReader):
    def text(self, text: str) -> Iterator[Event]:
        return super().text(text if text.strip() else "")


@mutant("text-comes-as-it-is", "without strip()")
class TurnsLineBreaks(AcmeReader):
    def text(self, text: str) -> Iterator[Event]:
        return super().text(text.replace("\r\n", "\n"))


@mutant("text-comes-as-it-is-said", "yield in feed()")
class OnePieceBehind(AcmeReader):
    def __init__(self) -> None:
        super().__init__()
        self.held = ""

    def text(self, text: str) -> Iterator[Event]:
        if text:
            said, self.held = self.held, text
            yield from super().text(said)

    def finish(self, stop: str) -> Iterator[Event]:
        yield from super().text(self.held)
        yield from super().finish(stop)


@mutant("a-broken-record-is-an-error", "parse_json")
class PassesOverWhatIsBroken(AcmeReader):
    def feed(self, record: Record) -> Iterator[Event]:
        if parse_object(record.data) is not None:
            yield from super().feed(record)


class ToolCalls(AcmeReader):
    """A reader that tells other tool calls."""

    def call(self, call: Mapping[str, Json]) -> ToolCall:
        return self.told(super().call(call))

    def told(self, call: ToolCall) -> ToolCall:
        return call


@mutant("broken-arguments-are-told-as-they-came", "valid=False")
class TakesAnyArguments(ToolCalls):
    def told(self, call: ToolCall) -> ToolCall:
        return call._replace(valid=True)


@mutant("broken-arguments-are-told-as-they-came", "as they came")
class NoArgumentsForBrokenOnes(ToolCalls):
    def told(self, call: ToolCall) -> ToolCall:
        return call if call.valid else call._replace(arguments="{}")


# --- errors ---------------------------------------------------------------------------------------


@mutant("errors-are-told-apart", "map it in read_error()")
class CreditsAreForbidden(Acme):
    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> LlmError:
        return HTTPProvider.read_error(self, status, headers, body)


@mutant("errors-say-what-the-api-said", "nothing of what the API said")
class InItsOwnWords(Acme):
    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> LlmError:
        error = super().read_error(status, headers, body)
        error.message = "Acme does not work"
        return error


MUTANTS.append(Mutant(
    "the-wait-that-the-api-asks-for-is-kept",
    Subject(Acme, SAMPLES._replace(errors=(
        Failure(b'{"error":"slow down please","wait":"9 s"}', SAMPLES.errors[2].error, 429, retry_after=9.0),
    ))),
    "retry_after should be 9.0",
))  # fmt: skip


@mutant("a-status-decides-without-words", "super().read_error")
class ByWordsOnly(Acme):
    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> LlmError:
        known = {failure.body: failure.error for failure in SAMPLES.errors}
        return known.get(body, RequestRejected)("the request is wrong")


@mutant("a-status-decides-without-words", "HTTP 404")
class ServerErrorsOnly(Acme):
    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> LlmError:
        error = super().read_error(status, headers, body)
        return ProviderFailed(error.message) if status == 404 else error


@mutant("a-retry-after-header-is-read", "raised ValueError")
class WaitsWholeSeconds(Acme):
    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> LlmError:
        error = super().read_error(status, headers, body)
        error.retry_after = int(headers["retry-after"]) if "retry-after" in headers else None
        return error


@mutant("a-retry-after-header-is-read", "to http_errors")
class LosesTheWait(Acme):
    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> LlmError:
        return super().read_error(status, {}, body)


@mutant("another-way-is-tried-once", "return None when nothing is left")
class NeverGivesUp(Acme):
    def adapt(self, request: ChatRequest, error: LlmError) -> ChatRequest | None:
        words = request.without | {f"another word {len(request.without)}"}
        return request._replace(without=words, messages=(*request.messages, message("user", "please")))


@mutant("an-error-page-is-an-error", "raise an LlmError")
class ErrorsAreJson(Acme):
    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> LlmError:
        return RequestRejected(json.loads(body)["error"])


@mutant("an-error-under-status-200-is-an-error", "raise_error_in")
class BodyIsAlwaysAnAnswer(AcmeReader):
    def body(self, body: bytes) -> Iterator[Event]:
        return self.fields({"stop": "end", **as_object(parse_json(body.decode()))})


@mutant("an-error-in-a-stream-is-an-error", "in every body and record")
class RecordsHoldNoErrors(AcmeReader):
    def check(self, document: Mapping[str, Json]) -> None:
        pass


# --- what is strange ------------------------------------------------------------------------------


@mutant("strange-answers-do-no-harm", '"x" in place of tokens')
class TrustsTheUsage(AcmeReader):
    def usage(self, tokens: Any) -> Iterator[Event]:
        return super().usage({"in": tokens["in"], "out": tokens["out"]} if tokens else None)


@mutant("strange-errors-do-no-harm", "read_error: with")
class TrustsTheError(Acme):
    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> LlmError:
        error = super().read_error(status, headers, body)
        error.message = str(json.loads(body)["error"]).strip()
        return error


@mutant("strange-lists-of-models-do-no-harm", "read_models: with")
class TrustsTheList(Acme):
    def read_models(self, document: Any) -> ModelPage:
        return super().read_models({**document, "models": list(document["models"])})


# --- conduct --------------------------------------------------------------------------------------


@mutant("nothing-is-printed", "take the print out")
class Prints(AcmeReader):
    def finish(self, stop: str) -> Iterator[Event]:
        print("finished", file=sys.stderr)
        return super().finish(stop)


@mutant("the-environment-is-not-read", "ACME_REGION")
class ReadsTheEnvironment(Acme):
    def chat_request(self, request: ChatRequest, *, stream: bool) -> HttpRequest:
        os.environ.get("ACME_REGION")
        return super().chat_request(request, stream=stream)


@mutant("nothing-is-performed", "time.sleep")
class Waits(Acme):
    def chat_request(self, request: ChatRequest, *, stream: bool) -> HttpRequest:
        time.sleep(0)
        return super().chat_request(request, stream=stream)


# --- over a connection ----------------------------------------------------------------------------


@mutant("a-stalled-answer-ends-in-time", "wait with call.sleep and call.remaining")
class WaitsForEver(AcmeSocket):
    def receive(self, connection: socket.socket, call: NativeCall) -> bytes:
        connection.settimeout(None)
        return connection.recv(65536)


@mutant("a-silent-service-is-given-up", "wait with call.sleep and call.remaining")
class TakesAnythingForABreak(AcmeSocket):
    def receive(self, connection: socket.socket, call: NativeCall) -> bytes:
        try:
            return super().receive(connection, call)
        except LlmError as exc:
            raise NetworkFailed("the connection broke") from exc


@mutant("a-broken-connection-is-incomplete", "only at the end marker")
class TakesABreakForTheEnd(AcmeSocket):
    def stream(self, request: ChatRequest, call: NativeCall) -> Iterator[Event]:
        try:
            yield from super().stream(request, call)
        except NetworkFailed:
            yield Finish("stop")


@mutant("a-service-that-is-gone-is-a-network-error", "raise an LlmError")
class TranslatesNothing(AcmeSocket):
    def connected(self, address: tuple[str, int], call: NativeCall) -> socket.socket:
        return socket.create_connection(address, call.remaining())


@mutant("a-cancelled-answer-closes-the-connection", "close it in a `finally`")
class LeavesItOpen(AcmeSocket):
    left: ClassVar[list[socket.socket]] = []

    def receive(self, connection: socket.socket, call: NativeCall) -> bytes:
        self.left.append(connection.dup())
        return super().receive(connection, call)


@mutant("answers-may-be-read-in-threads", "on its Reader, not on the provider")
class ThreadsShareAReader(OneReaderForAll):
    """Each answer has what all of them said."""


@mutant("the-answer-comes-from-the-base-url", "self.url(path)")
class AlwaysAtHome(Acme):
    def url(self, path: str) -> str:
        return f"http://127.0.0.1:1{path}"


@mutant("a-redirect-is-not-followed", "leave the network to the driver")
class LooksFirst(Acme):
    def chat_request(self, request: ChatRequest, *, stream: bool) -> HttpRequest:
        with suppress(OSError):
            urllib.request.urlopen(str(self.base_url)).close()
        return super().chat_request(request, stream=stream)


# --- the tests ------------------------------------------------------------------------------------


def result(subject: Subject, check_id: str) -> Result:
    """How one check went, made as the command makes it."""
    check = next(check for check in CHECKS if check.id == check_id)
    waived = {other.id: "not now" for other in CHECKS if other is not check}
    return next(each for each in run(subject._replace(waived=waived)) if each.id == check_id)


@pytest.mark.parametrize("subject", [GOOD, GOOD._replace(provider=Optioned), GOOD_SOCKET])
def test_a_good_adapter_passes(subject: Subject) -> None:
    assert [each for each in run(subject) if each.status == "failed"] == []


def test_a_good_adapter_with_all_samples_is_checked_in_everything() -> None:
    subjects = (GOOD, GOOD._replace(provider=Optioned), GOOD_SOCKET, Subject(AcmeSocket))
    checked = {each.id for subject in subjects for each in run(subject) if each.status == "ok"}
    assert checked == {check.id for check in CHECKS}


def test_no_check_is_without_a_mistake_that_it_finds() -> None:
    assert {each.check for each in MUTANTS} == {check.id for check in CHECKS}


@pytest.mark.parametrize("wrong", MUTANTS, ids=[f"{each.check}-{each.subject.provider.__name__}" for each in MUTANTS])
def test_a_check_finds_its_mistake_and_says_what_to_change(wrong: Mutant) -> None:
    found = result(wrong.subject, wrong.check)
    assert found.status == "failed"
    assert wrong.says in found.message
    assert "\n" not in found.message


# --- as an author uses it -------------------------------------------------------------------------


def python(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """A Python of its own, which finds our tests and what lies in the folder."""
    path = os.pathsep.join([str(folder), str(Path(__file__).parent.parent)])
    command = [sys.executable, *args]
    return subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)


def outcome_of(folder: Path, source: str) -> str:
    """What pytest says of a file with tests."""
    (folder / "test_conformance.py").write_text(textwrap.dedent(source), "utf-8")
    return python(folder, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "test_conformance.py").stdout


def test_the_example_of_the_manual_runs_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "llmcli_acme.py").write_text(
        "from llmcli.provider import Capabilities\n"
        "from tests.wire_samples import acme\n"
        "class Acme(acme.Acme):\n"
        "    capabilities = Capabilities()\n"
    )
    manual = (llmcli.testing.__doc__ or "").split("# tests/test_conformance.py\n")[1].split("\nA sample is")[0]
    outcome = outcome_of(tmp_path, manual)
    assert "failed" not in outcome
    assert "PASSED test_conformance.py::TestAcme::test_conforms[the-usage-is-read]" in outcome


def test_a_mistake_is_a_failed_test_that_says_what_to_change_and_no_traceback(tmp_path: Path) -> None:
    source = """
        from llmcli.testing.conformance import HTTPConformance
        from tests.wire_samples import acme

        class Acme(acme.Acme):
            known_models = ("acme-2",)

        class TestAcme(HTTPConformance):
            provider = Acme
            samples = acme.SAMPLES
            waived = {"the-usage-is-read": "it counts in another way"}
    """
    outcome = outcome_of(tmp_path, source)
    assert "default_model = 'acme-1' is not among known_models: acme-2" in outcome
    assert "Traceback" not in outcome
    assert "def the_default_model_is_known" not in outcome
    assert "it counts in another way" in outcome
    assert "1 failed" in outcome


def test_a_check_that_does_not_exist_cannot_be_waived(tmp_path: Path) -> None:
    source = """
        from llmcli.testing.conformance import HTTPConformance
        from tests.wire_samples import acme

        class TestAcme(HTTPConformance):
            provider = acme.Acme
            samples = acme.SAMPLES
            waived = {"the-usage-is-raed": "a slip of the pen"}
    """
    assert "waived, but there is no such check: the-usage-is-raed" in outcome_of(tmp_path, source)


def test_a_native_provider_is_tested_over_its_authors_server(tmp_path: Path) -> None:
    source = """
        from contextlib import contextmanager
        from llmcli.testing.conformance import NativeConformance
        from tests.wire_samples import acme

        class TestAcmeSocket(NativeConformance):
            provider = acme.AcmeSocket
            samples = acme.as_lines(acme.SAMPLES)

            @contextmanager
            def serve(self, records, *, stay):
                with acme.serve(records, stay=stay) as server:
                    yield server
    """
    outcome = outcome_of(tmp_path, source)
    assert "failed" not in outcome
    assert "PASSED test_conformance.py::TestAcmeSocket::test_conforms[a-stalled-answer-ends-in-time]" in outcome


def test_the_kit_without_pytest_loads_neither_pytest_nor_a_server(tmp_path: Path) -> None:
    done = python(tmp_path, "-c", "import sys, llmcli.testing; print(*sys.modules)")
    assert {"pytest", "_pytest", "pytest_httpserver", "werkzeug", "http.server"}.isdisjoint(done.stdout.split())


@pytest.mark.parametrize(
    "reads",
    [
        lambda: os.environ["HOME"],
        lambda: os.getenv("HOME"),
        lambda: "HOME" in os.environ,
        lambda: os.path.expanduser("~"),
    ],
)
def test_however_the_environment_is_read_it_is_seen(reads: Callable[[], object]) -> None:
    with watched() as seen:
        reads()
    assert set(seen.environment) == {"HOME"}
    assert type(os.environ).__name__ == "_Environ", "it is as it was"


@pytest.mark.parametrize(
    "acts",
    [
        lambda: Path(__file__).read_bytes(),
        lambda: list(Path(__file__).parent.iterdir()),
        lambda: socket.getaddrinfo("127.0.0.1", 1),
        lambda: subprocess.run(["true"], check=True),
        lambda: time.sleep(0),
    ],
)
def test_whatever_is_done_to_the_world_is_seen(acts: Callable[[], object]) -> None:
    with watched() as seen:
        acts()
    assert seen.acts


def test_what_others_do_meanwhile_is_not_seen() -> None:
    with watched() as seen:
        other = threading.Thread(target=lambda: (os.getenv("HOME"), time.sleep(0), Path(__file__).read_bytes()))
        other.start()
        other.join()
    assert not seen.environment
    assert not seen.acts


def test_an_adapter_that_never_gives_up_does_not_go_on_for_ever() -> None:
    found = result(Subject(NeverGivesUp, SAMPLES), "errors-are-told-apart")
    assert found.status == "failed"
    assert "adapt() must return None" in found.message


def test_without_samples_what_needs_none_is_checked() -> None:
    results = {each.id: each for each in run(Subject(Acme), connect=False)}
    assert results["the-key-stands-only-in-its-place"].status == "ok"
    assert results["a-status-decides-without-words"].status == "ok"
    assert results["the-usage-is-read"] == Result(
        "the-usage-is-read", "The token counts are those that the API told", "skipped", "no samples were given"
    )
    assert "a-redirect-is-not-followed" not in results


@pytest.mark.parametrize(
    ("samples", "check_id", "says"),
    [
        (SAMPLES._replace(thinking=None), "thinking-is-read", "give Samples.thinking, or declare thinking=False"),
        (SAMPLES._replace(tool_calls=None), "tool-calls-are-read", "give Samples.tool_calls, or declare tools=False"),
        (SAMPLES._replace(completion=None), "a-completion-is-read", "give Samples.completion, or declare generate=Fa"),
        (SAMPLES._replace(models=()), "models-are-listed", "give Samples.models"),
        (SAMPLES._replace(errors=()), "errors-are-told-apart", "Samples.errors is empty"),
    ],
)
def test_a_sample_of_what_is_declared_is_missed(samples: Samples, check_id: str, says: str) -> None:
    found = result(Subject(Acme, samples), check_id)
    assert found.status == "failed"
    assert says in found.message


def test_the_checks_stand_in_one_order_with_ids_and_titles_of_their_own() -> None:
    assert len({check.id for check in CHECKS}) == len({check.title for check in CHECKS}) == len(CHECKS)
    assert CHECKS[0].id == "the-class-is-a-provider"
    assert all(check.title[0].isupper() and not check.title.endswith(".") for check in CHECKS)
