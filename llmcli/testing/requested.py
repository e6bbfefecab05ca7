"""
Checks of what is sent. Layer 2.
"""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

from llmcli.answer import prepared
from llmcli.errors import ProviderFailed, RequestRejected, UsageError
from llmcli.framing import decode_body, parse_json, parse_object
from llmcli.provider import HTTPProvider, Setting
from llmcli.testing.describing import Described, accepted, described, each_way, leaves
from llmcli.testing.subject import Subject, check, fail, skip
from llmcli.types import ChatRequest, HttpRequest, Message, Text, Thinking, ToolCall, message

_UNICODE = 'Grüße 🦙 "quoted" \\ back\nline\u2028end'
_SAID: Mapping[str, Any] = {"max_tokens": 123, "temperature": 0.375, "top_p": 0.625, "seed": 4711}
_STOP = "KIT-STOP"
_BLANKS = " \t\n KIT-BLANKS \n\t "
_HOST, _PATH = "kit.example:4711", "/base"

# --- what was asked -------------------------------------------------------------------------------

_CONVERSATION = (
    message("user", "KIT-FIRST question"),
    message("assistant", "KIT-SECOND reply"),
    message("user", "KIT-THIRD question"),
)
_SYSTEM = message("system", "KIT-SYSTEM instruction")


@check("any")
@each_way
def the_conversation_is_sent(subject: Subject, stream: bool) -> None:
    """The whole conversation is sent, in its order"""
    found = accepted(subject, subject.asked(*_CONVERSATION), "a conversation", stream=stream)
    for said in _CONVERSATION:
        if not found.says(said.text):
            fail(f"the {said.role} message {said.text!r} of the conversation is not sent: send every message")
    if not found.says(*(said.text for said in _CONVERSATION)):
        fail("the messages are sent in another order than they were said")


@check("any")
@each_way
def the_system_message_is_sent(subject: Subject, stream: bool) -> None:
    """The system message is sent, wherever the API wants it"""
    found = described(subject, subject.asked(_SYSTEM, *_CONVERSATION), stream=stream)
    if found.refused is None and not found.says(_SYSTEM.text):
        fail("the system message is not sent: put it in its place, or refuse it in check() with RequestRejected")


@check("any")
@each_way
def all_system_messages_are_sent(subject: Subject, stream: bool) -> None:
    """Of several system messages each is sent"""
    asked = subject.asked(message("system", "KIT-RULE"), message("system", "KIT-STYLE"), *_CONVERSATION)
    found = described(subject, asked, stream=stream)
    if found.refused is None and not found.says("KIT-RULE", "KIT-STYLE"):
        fail("of two system messages not both are sent, in their order: join them where the API takes one")


@check("any")
@each_way
def roles_are_told_apart(subject: Subject, stream: bool) -> None:
    """What the model said is sent as the model's, and not as the user's"""
    first, second, third = _CONVERSATION
    same = described(subject, subject.asked(first, second._replace(role="user"), third), stream=stream)
    if same == accepted(subject, subject.asked(*_CONVERSATION), "a conversation", stream=stream):
        fail("an assistant message is sent like one of the user: say who spoke")


@check("any")
@each_way
def messages_of_one_role_in_a_row_are_all_sent(subject: Subject, stream: bool) -> None:
    """Two messages of the user in a row are both sent"""
    found = described(subject, subject.asked(message("user", "KIT-ONE"), message("user", "KIT-TWO")), stream=stream)
    if found.refused is None and not found.says("KIT-ONE", "KIT-TWO"):
        fail("of two user messages in a row not both are sent, in their order: join them where the API wants turns")


@check("any")
@each_way
def text_is_sent_as_it_is(subject: Subject, stream: bool) -> None:
    """Letters of any script, quotes, backslashes and line breaks are sent as they are"""
    if not accepted(subject, subject.asked(message("user", _UNICODE)), "any text", stream=stream).says(_UNICODE):
        fail(f"the text {_UNICODE!r} is not sent as it is: build the body with json_request")


@check("any")
@each_way
def blanks_around_a_text_are_sent(subject: Subject, stream: bool) -> None:
    """The blanks around a text are sent with it"""
    blank = described(subject, subject.asked(message("user", _BLANKS)), stream=stream)
    if blank.refused is None and not blank.says(_BLANKS):
        fail(f"the text {_BLANKS!r} is sent without its blanks: leave a text as it is, or refuse it in check()")


@check("any")
@each_way
def the_model_is_sent(subject: Subject, stream: bool) -> None:
    """The model that was chosen is named in the request"""
    found = described(subject, subject.asked()._replace(model="kit-model-7"), stream=stream)
    if found.refused is None and not found.says("kit-model-7"):
        fail("request.model is not sent: put it into the URL or the body")


@check("any")
@each_way
def settings_are_sent_or_refused(subject: Subject, stream: bool) -> None:
    """A setting that was said is sent, or refused with a clear error"""
    settings = subject.made().settings
    for name, wanted in _SAID.items():
        value = _inside(settings.get(name), wanted)
        found = described(subject, subject.asked(**{name: value}), stream=stream)
        _sent_or_refused(name, found, sent=found.carries(value))
    found = described(subject, subject.asked(stop=(_STOP,)), stream=stream)
    _sent_or_refused("stop", found, sent=found.says(_STOP))
    found = described(subject, subject.asked(stop=(_STOP, "KIT-END")), stream=stream)
    _sent_or_refused("stop", found, sent=found.says(_STOP) and found.says("KIT-END"))


def _sent_or_refused(name: str, found: Described, *, sent: bool) -> None:
    if found.refused is None and not sent:
        fail(f"{name} was said and is not sent: put request.{name} in its place, or refuse it in check()")
    if found.refused is not None and not isinstance(found.refused, UsageError | RequestRejected):
        fail(f"{name} is refused with {found.refused!r}: it should be RequestRejected, in check()")


@check("any")
@each_way
def zero_is_a_value(subject: Subject, stream: bool) -> None:
    """A temperature or a seed of 0 is sent, because 0 was said"""
    nothing = described(subject, subject.asked(), stream=stream)
    for name in ("temperature", "seed"):
        found = described(subject, subject.asked(**{name: 0}), stream=stream)
        # An id or a moment may be another in each request, but not where a value stands.
        if found.refused is None and found.values.keys() == nothing.values.keys() and not found.carries(0):
            fail(f"{name} = 0 was said and is not sent: compare with None (`is not None`), not with truth")


@check("any")
@each_way
def nothing_unsaid_is_sent(subject: Subject, stream: bool) -> None:
    """A setting that nobody said is not sent, except a declared default"""
    settings = subject.made().settings
    nothing = described(subject, subject.asked(), stream=stream)
    for name, wanted in _SAID.items():
        value = _inside(settings.get(name), wanted)
        place = described(subject, subject.asked(**{name: value}), stream=stream).place_of(value)
        default = settings[name].default if name in settings else None
        if place is not None and place in nothing.values and nothing.values[place] != default:
            fail(
                f"nobody said {name}, but {nothing.values[place]!r} is sent: leave it out where it is None, "
                f"or declare it as Setting.default"
            )
    stopped = described(subject, subject.asked(stop=(_STOP,)), stream=stream).place_of(_STOP)
    if stopped is not None and stopped in nothing.values:
        fail("nobody said stop, but it is sent: leave it out where it is empty")


@check("any")
@each_way
def no_null_is_sent(subject: Subject, stream: bool) -> None:
    """There is no null in a request"""
    place = accepted(subject, subject.asked(*_CONVERSATION), "a conversation", stream=stream).place_of(None)
    if place is not None:
        fail(f"{'.'.join(map(str, place))} is sent as null: leave out what was not said")


@check("any")
@each_way
def options_are_sent(subject: Subject, stream: bool) -> None:
    """An option is sent as the API's own field, where the provider does not declare its options"""
    if subject.made().options is not None:
        skip("the provider declares its options")
    found = described(subject, subject.asked(options={"kit_option": "kit-value"}), stream=stream)
    if found.refused is None and not any("kit_option" in place for place in found.values):
        fail("--option kit_option=… is not sent: put request.options into the body last, or declare `options`")


@check("any")
@each_way
def an_option_wins_over_our_field(subject: Subject, stream: bool) -> None:
    """An option that is named like a field of the request is sent in its place, or refused"""
    if subject.made().options is not None:
        skip("the provider declares its options")
    said = {name: _inside(subject.made().settings.get(name), value) for name, value in _SAID.items()}
    usual = described(subject, subject.asked(**said), stream=stream)
    places = [place[1:] if subject.native else place for place in usual.values]
    for name in sorted({str(place[-1]) for place in places if all(isinstance(step, str) for step in place)}):
        found = described(subject, subject.asked(**said, options={name: "kit-value"}), stream=stream)
        sent = any(name in place and value == "kit-value" for place, value in found.values.items())
        if found.refused is None and not sent:
            fail(f"--option {name}=… is not sent: put request.options into the body last, or refuse it in check()")


@check("http")
def a_stream_is_asked_for(subject: Subject) -> None:
    """A streamed answer is asked for in another way than a whole one"""
    provider, request = subject.http(), subject.asked()
    if not provider.capabilities.stream:
        skip("the provider does not stream")
    if provider.chat_request(request, stream=True) == provider.chat_request(request, stream=False):
        fail("chat_request(stream=True) and chat_request(stream=False) are equal: ask for the stream when told to")


@check("http")
@each_way
def a_body_says_what_it_is(subject: Subject, stream: bool) -> None:
    """A request with a body names its content type"""
    wire = subject.http().chat_request(subject.asked(), stream=stream)
    names = {name.lower() for name in wire.headers}
    if wire.body and "content-type" not in names:
        fail("the request has a body and no Content-Type: build it with json_request")


@check("http")
@each_way
def asking_twice_asks_the_same(subject: Subject, stream: bool) -> None:
    """The same question is asked in the same way again: nothing is remembered"""
    provider, request = subject.http(), subject.asked(*_CONVERSATION)
    fresh = subject.http().chat_request(request, stream=stream)
    provider.chat_request(subject.asked(message("user", "KIT-OTHER")), stream=stream)
    again = provider.chat_request(request, stream=stream)
    # A moment or an id in it may be another, but not more of them.
    if b"KIT-OTHER" in (again.body or b"") or len(again.body or b"") != len(fresh.body or b""):
        fail("a request depends on the one before it: keep nothing of a request on the provider")


# --- what is sent back ----------------------------------------------------------------------------


@check("any")
@each_way
def thinking_is_sent_back(subject: Subject, stream: bool) -> None:
    """What a provider wants back with its thinking is sent back with the next request"""
    sample = subject.given.thinking
    opaque = [part.opaque for part in sample.parts if isinstance(part, Thinking) and part.opaque] if sample else []
    if sample is None or not opaque:
        skip("there is no sample of thinking with anything to send back")
    found = accepted(subject, _continued(subject, sample.parts), "an answer with thinking", stream=stream)
    for value in (value for each in opaque for _, value in leaves(each) if isinstance(value, str)):
        if not found.says(value):
            fail(f"{value!r}, in the `opaque` of a Thinking part, is not sent back: send the part with its message")


@check("any")
@each_way
def the_text_beside_thinking_is_sent_back(subject: Subject, stream: bool) -> None:
    """What the model said goes back with the next request, and what it thought is not made a part of that"""
    sample = subject.given.thinking
    if sample is None:
        skip("there is no sample of thinking")
    found = accepted(subject, _continued(subject, sample.parts), "an answer with thinking", stream=stream)
    if not found.says(*(part.text for part in sample.parts if isinstance(part, Text))):
        fail(f"{sample.text!r} is not sent back, because thinking stands beside it: send every part of a message")
    thoughts = [part.text for part in sample.parts if isinstance(part, Thinking) and part.text]
    aloud = tuple(Text(part.text) if isinstance(part, Thinking) else part for part in sample.parts)
    mixed = any(thought in text and sample.text in text for thought in thoughts for text in found.texts())
    if mixed or (thoughts and found == described(subject, _continued(subject, aloud), stream=stream)):
        fail("thinking is sent back as if it had been said: leave it out of the text (`message.text` does)")


@check("any")
@each_way
def tool_calls_are_sent_back(subject: Subject, stream: bool) -> None:
    """The tool calls of an answer are sent back with the next request, and so is the text beside them"""
    sample = subject.given.tool_calls
    if sample is None:
        skip("there is no sample of tool calls")
    beside = sample.parts if sample.text else (Text("KIT-BESIDE"), *sample.parts)
    found = accepted(subject, _continued(subject, beside), "an answer with tool calls", stream=stream)
    for part in beside:
        if isinstance(part, Text) and not found.says(part.text):
            fail(f"the text {part.text!r} beside a tool call is not sent back: send every part of a message")
        if isinstance(part, ToolCall):
            _sent_back(part, found)


def _sent_back(call: ToolCall, found: Described) -> None:
    if not found.says(call.name):
        fail(f"the call of {call.name!r} is not sent back with its message: send ToolCall parts in the API's form")
    if call.id and not found.says(call.id):
        fail(f"the id {call.id!r} of a tool call is not sent back: its result could not be told from another's")
    written_out = list(_written_out(found))
    for _, value in leaves(parse_object(call.arguments) or {}):
        if not found.carries(value) and value not in written_out:
            fail(f"{value!r}, an argument of {call.name!r}, is not sent back: send ToolCall.arguments")


def _written_out(found: Described) -> Iterator[object]:
    """The values of the JSON that stands in texts, as arguments do in many APIs."""
    for text in found.texts():
        if text[:1] in ("{", "["):
            with suppress(ProviderFailed):
                yield from (value for _, value in leaves(parse_json(text)))


def _continued(subject: Subject, parts: tuple[Any, ...]) -> ChatRequest:
    """A conversation that goes on after an answer."""
    said = tuple(part._replace(id=part.id or "kit-call") if isinstance(part, ToolCall) else part for part in parts)
    asked, result = message("user", "KIT-FIRST question"), message("user", "KIT-THIRD question")
    return subject.asked(asked, Message("assistant", (*said, *(() if said else (Text("x"),)))), result)


# --- the key and the host -------------------------------------------------------------------------


def _wires(provider: HTTPProvider, subject: Subject) -> Iterator[tuple[str, HttpRequest]]:
    """Every request that the provider can make."""
    for stream in sorted({False, provider.capabilities.stream}):
        yield "chat_request", provider.chat_request(subject.asked(), stream=stream)
    for name in ("models_request", "health_request"):
        wire = getattr(provider, name)()
        if wire is not None:
            yield name, wire


@check("http")
def requests_go_to_the_base_url(subject: Subject) -> None:
    """Every request goes to the base URL that the user gave, and so does the key"""
    provider = subject.http(f"http://{_HOST}{_PATH}")
    kept = _PATH if urlsplit(provider.base_url or "").path.startswith(_PATH) else "/"  # resolve_base_url may change it
    for name, wire in _wires(provider, subject):
        scheme, host, path, *_ = urlsplit(wire.url)
        if (scheme, host) != ("http", _HOST) or not path.startswith(kept):
            fail(f"{name} goes to {wire.url}, though the base URL is http://{_HOST}{_PATH}: use self.url(path)")


@check("http")
def the_key_stands_only_in_its_place(subject: Subject) -> None:
    """The key is sent where `api_key` says, and nowhere else"""
    provider = subject.http()
    place = provider.api_key
    for name, wire in _wires(provider, subject):
        keyed = prepared(provider, wire, subject.key)
        if keyed == wire:
            fail(f"{name}: authorize() does not put the key anywhere")
        if not place.query and _holds(keyed.url, subject.key):
            fail(f"{name}: the key stands in the URL, where logs show it: send it in a header")
        if _holds(decode_body(keyed.body or b""), subject.key):
            fail(f"{name}: the key stands in the body: send it in a header")
        for header, value in keyed.headers.items():
            declared = not place.query and header.lower() == place.header.lower()
            if _holds(value, subject.key) and not declared:
                fail(f"{name}: the key stands in the header {header}, which `api_key` does not name: ApiKey(header=…)")


@check("native")
def the_key_is_sent_once(subject: Subject) -> None:
    """The key stands in at most one place of what is sent"""
    found = described(subject, subject.asked(), stream=True)
    places = [".".join(map(str, place)) for place, value in found.values.items() if _holds(str(value), subject.key)]
    if len(places) > 1:
        fail(f"the key stands in {' and in '.join(places)} of what is sent: send it where the protocol wants it")


def _holds(text: str, key: str) -> bool:
    return key in unquote(text) or b64encode(key.encode()).decode() in text


def _inside(setting: Setting | None, wanted: float) -> float:
    """A value that the range of a setting allows, the wanted one if it does."""
    if setting is None:
        return wanted
    low = wanted if setting.min is None else max(setting.min, wanted)
    return low if setting.max is None else min(setting.max, low)
