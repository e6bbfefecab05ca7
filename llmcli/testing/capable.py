"""
Checks of capabilities: what a provider declares it does with a request that asks for it, and what it does not declare
it refuses. Layer 2.
"""

from base64 import b64encode
from collections.abc import Iterator
from typing import Any

from llmcli.errors import LlmError, RequestRejected, UsageError
from llmcli.provider import Provider
from llmcli.testing.answered import declared
from llmcli.testing.describing import Described, described, each_way
from llmcli.testing.hearing import Heard, crashed, hear, hear_whole
from llmcli.testing.subject import Subject, check, fail, skip
from llmcli.types import Attachment, ChatRequest, Message, Part, Schema, Text, Tool, ToolCall, ToolResult, message


def _parameters(name: str, about: str) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"type": "string", "description": about}}, "required": [name]}


_TOOLS = (
    Tool("kit_weather", "KIT-ABOUT the weather", _parameters("kit_city", "KIT-WHERE")),
    Tool("kit_clock", "KIT-ABOUT the time", _parameters("kit_zone", "KIT-ZONE")),
)
_CALLS = (ToolCall("kitcall01", "kit_weather", '{"kit_city":"Oslo"}'), ToolCall("", "kit_clock", '{"kit_zone":"UTC"}'))
_SCHEMA = Schema("kit_answer", _parameters("kit_city", "KIT-WHERE"))
_BYTES, _MORE_BYTES = b"KIT-FIRST-FILE-", b"KIT-SECOND-FILE"  # whose base64 has no padding
_ADDRESS = "https://files.kit.example/picture"
_BARE = "KIT-BARE text,\n not a question "
_LEVELS = ("low", "medium", "high", 2048)


def _is_asked_for(subject: Subject, capability: str, request: ChatRequest, what: str) -> bool:
    """Whether the capability is declared. Where it is not, the request must be refused before anything is sent."""
    provider = subject.made()
    if getattr(provider.capabilities, capability):
        return True
    refused = _refusal(provider, request)
    if refused is None:
        fail(f"capabilities do not say {capability}, but {what} and was not refused: call super().check(request)")
    if not isinstance(refused, RequestRejected):
        fail(f"capabilities do not say {capability}, and {what}: that should be RequestRejected, and is {refused!r}")
    return False


def _refusal(provider: Provider, request: ChatRequest) -> LlmError | None:
    try:
        provider.check(request)
    except LlmError as exc:
        return exc
    except Exception as exc:
        crashed(exc)
    return None


def _sent(subject: Subject, capability: str, request: ChatRequest, *, stream: bool) -> Described:
    """What is sent for a request that asks for what is declared."""
    found = described(subject, request, stream=stream)
    if found.refused is not None:
        fail(f"capabilities say {capability}, but a request for it is refused ({found.refused.message}): "
             f"send it, or declare {capability}=False")  # fmt: skip
    return found


# --- tools ----------------------------------------------------------------------------------------


@check("any")
@each_way
def tools_are_sent_or_refused(subject: Subject, stream: bool) -> None:
    """The tools that the model may call are sent with all that is said of them, or refused"""
    request = subject.asked(tools=_TOOLS)
    if not _is_asked_for(subject, "tools", request, "the request had tools"):
        return
    found = _sent(subject, "tools", request, stream=stream)
    for tool in _TOOLS:
        (parameter,) = tool.parameters["properties"]
        for said in (tool.name, tool.description, parameter):
            if not found.mentions(said):
                fail(f"{said!r} of a tool is not sent: send the name, description and parameters of request.tools")


@check("any")
@each_way
def a_choice_of_tools_is_sent_or_refused(subject: Subject, stream: bool) -> None:
    """Which tools are to be called is sent, or refused with a clear error"""
    if not subject.made().capabilities.tools:
        skip("capabilities do not say tools")
    unsaid = _sent(subject, "tools", subject.asked(tools=_TOOLS), stream=stream)
    for choice in ("none", "required", _TOOLS[1].name):
        found = described(subject, subject.asked(tools=_TOOLS, tool_choice=choice), stream=stream)
        _differs_or_refused(found, unsaid, f"tool_choice = {choice!r}", "send request.tool_choice")


def _differs_or_refused(found: Described, unsaid: Described, what: str, remedy: str) -> None:
    if found.refused is not None and not isinstance(found.refused, RequestRejected | UsageError):
        fail(f"{what} is refused with {found.refused!r}: it should be RequestRejected, in check()")
    if found == unsaid:
        fail(f"{what} was said and is not sent: {remedy}, or refuse it in check()")


@check("any")
@each_way
def the_results_of_tools_are_sent(subject: Subject, stream: bool) -> None:
    """What came of the calls of an answer is sent, in the order of the calls, and before what is said next"""
    if not subject.made().capabilities.tools:
        skip("capabilities do not say tools")
    said = tuple(_calling(subject))
    calls = [part for part in said if isinstance(part, ToolCall)]
    results = tuple(ToolResult(call.id, call.name, f"KIT-RESULT-{number}") for number, call in enumerate(calls))
    asked, last = message("user", "KIT-QUESTION"), message("user", "KIT-NEXT")
    request = subject.asked(asked, Message("assistant", said), Message("tool", results), last, tools=_TOOLS)
    found = _sent(subject, "tools", request, stream=stream)
    for result in results:
        if not found.says(result.content):
            fail(f"the result {result.content!r} of a call is not sent: send the ToolResult parts of role `tool`")
    if not found.says(*(result.content for result in results), last.text):
        fail("the results are sent in another order than their calls, or behind what the user says next")
    for call in calls:
        if found.sent.count(call.id) == 1:
            fail(f"the id {call.id!r} is sent with a call and not with its result, which could be any call's")


def _calling(subject: Subject) -> Iterator[Part]:
    """An answer that calls tools: that of the samples, if there is one, with ids for the calls that have none."""
    sample = subject.samples.tool_calls if subject.samples is not None else None
    for number, part in enumerate(sample.parts if sample is not None else _CALLS):
        yield part._replace(id=part.id or f"kitcall9{number}") if isinstance(part, ToolCall) else part


# --- attachments ----------------------------------------------------------------------------------


@check("any")
@each_way
def attachments_are_sent_or_refused(subject: Subject, stream: bool) -> None:
    """Files beside the text are sent with it, or refused"""
    provider = subject.made()
    kind = next(iter(provider.attachments), "image/png").replace("*", "png")
    files = (Attachment(kind, _BYTES, name="first"), Attachment(kind, _MORE_BYTES, name="second"))
    request = subject.asked(Message("user", (Text("KIT-BESIDE"), *files)))
    if not _is_asked_for(subject, "vision", request, "a file was attached"):
        return
    if not provider.attachments:
        fail("capabilities say vision, but `attachments` has no media type: {'image/png': the most bytes}")
    found = _sent(subject, "vision", request, stream=stream)
    for file in files:
        if not (found.says(b64encode(file.data).decode()) or found.says(file.data.decode())):
            fail("the bytes of an attachment are not sent: send every Attachment part, as base64 where it is JSON")
    if not found.says("KIT-BESIDE"):
        fail("the text beside an attachment is not sent: send every part of a message")
    if provider.attachment_urls:
        linked = subject.asked(Message("user", (Text("KIT-BESIDE"), Attachment(kind, url=_ADDRESS))))
        if not _sent(subject, "vision", linked, stream=stream).says(_ADDRESS):
            fail("`attachment_urls` is declared, but the URL of an attachment is not sent: send Attachment.url")


# --- the form of the answer, thinking -------------------------------------------------------------


@check("any")
@each_way
def a_schema_is_sent_or_refused(subject: Subject, stream: bool) -> None:
    """The schema that the answer has to satisfy is sent, or refused; where there is a JSON mode, that is asked for"""
    provider, request = subject.made(), subject.asked(schema=_SCHEMA)
    if _is_asked_for(subject, "schema", request, "the request had a schema"):
        if not _sent(subject, "schema", request, stream=stream).mentions("kit_city"):
            fail("the schema is not sent: send request.schema in the API's form, or declare schema=False")
    elif provider.json_mode:
        found = _sent(subject, "schema", subject.asked(schema=Schema("kit_answer", {})), stream=stream)
        if found == described(subject, subject.asked(), stream=stream):
            fail("`json_mode` is declared, but a schema changes nothing: ask the API for JSON where there is one")


@check("any")
@each_way
def how_much_to_think_is_sent_or_refused(subject: Subject, stream: bool) -> None:
    """How much to think is sent, or refused with a clear error"""
    if not _is_asked_for(subject, "thinking", subject.asked(thinking="high"), "it was said how much to think"):
        return
    unsaid = described(subject, subject.asked(), stream=stream)
    for asked in _LEVELS:
        found = described(subject, subject.asked(thinking=asked), stream=stream)
        _differs_or_refused(found, unsaid, f"thinking = {asked!r}", "send request.thinking in the API's words")
    off = described(subject, subject.asked(thinking="off"), stream=stream)
    if off.refused is None and off == described(subject, subject.asked(thinking="high"), stream=stream):
        fail("thinking = 'off' is sent like 'high': turn it off, or refuse that in check()")


# --- bare text ------------------------------------------------------------------------------------


def _bare(subject: Subject, **said: Any) -> ChatRequest:
    return subject.asked(message("user", _BARE), complete=True, **said)


@check("any")
@each_way
def bare_text_is_sent_as_it_is_or_refused(subject: Subject, stream: bool) -> None:
    """A text that is to be completed is sent as it is, without a template and without roles, or refused"""
    if not _is_asked_for(subject, "generate", _bare(subject), "a text was to be completed"):
        return
    found = _sent(subject, "generate", _bare(subject), stream=stream)
    if _BARE not in (found.texts() if found.values else [found.sent.strip("\n")]):
        fail(f"the text {_BARE!r} that is to be completed is not sent as it is: send it alone, without a template")
    if found == described(subject, subject.asked(message("user", _BARE)), stream=stream):
        fail("a text that is to be completed is sent like a question: ask the API's endpoint for completions")


@check("any")
def a_completion_is_read(subject: Subject) -> None:
    """What completes a text is read, whole and in pieces"""
    sample = declared(subject, "generate", "completion")
    request = _bare(subject, options=sample.options)
    heard: dict[str, Heard] = {}
    if sample.whole is not None and not subject.native:
        heard["whole"] = hear_whole(subject, sample, request=request)
    if (sample.stream or subject.in_process) and subject.streams:
        heard["streamed"] = hear(subject, sample, request=request)
    for way, each in heard.items():
        if each.error is not None:
            fail(f"completion, {way}: the sample is a good answer, but reading it raised: {each.error.message}")
        reply = each.reply()
        for what, told, wanted in (
            ("text", reply.message.text, sample.text),
            ("Finish.reason", reply.finish.reason, sample.finish),
            ("last Usage", reply.usage, sample.usage),
        ):
            if told != wanted:
                fail(f"completion, {way}: the {what} should be {wanted!r}, but is {told!r}: see reader(request)")
