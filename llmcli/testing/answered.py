"""
Checks of what is read from an answer, whole or streamed. Layer 2.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest

from llmcli.answer import answer
from llmcli.errors import Incomplete, ProviderFailed
from llmcli.framing import SSE, JsonArray, JsonLines, parse_object
from llmcli.testing.hearing import Canned, Heard, Sent, call, hear, hear_whole, listen, performed
from llmcli.testing.samples import Answer, body
from llmcli.testing.subject import Subject, check, fail, skip
from llmcli.types import (
    Event,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ThinkingEnd,
    ToolCall,
    ToolCallDelta,
)

_KEEP_ALIVES: dict[type, bytes] = {SSE: b": keep-alive\n\n", JsonLines: b"\n", JsonArray: b" \n"}
_UNKNOWN: dict[type, bytes] = {
    SSE: b'event: kit-unknown\ndata: {"type":"kit-unknown","kit":{"a":[1,null]}}\n\n',
    JsonLines: b'{"type":"kit-unknown","kit":{"a":[1,null]}}\n',
}
_NEW_FIELD = {"of_next_year": [1, None, {"text": "x", "content": "x"}]}


# --- what an answer says --------------------------------------------------------------------------


@check("any")
def samples_are_telling(subject: Subject) -> None:
    """The samples can show mistakes: other letters than ASCII, an emoji, a line break, more than one record."""
    sample = subject.given.answer
    text = sample.text
    if text.isascii() or "\n" not in text or all(ord(letter) < 0x10000 for letter in text):
        fail("the text of Samples.answer should hold a letter that is not ASCII, an emoji and a line break")
    if sample.stream and len(sample.stream) < sample.marker + 2:
        fail("the stream of Samples.answer should have at least two records before its end marker")


def told(subject: Subject) -> Iterator[tuple[str, Answer, Heard]]:
    """Every sample answer in every way in which it comes, and what was heard of it, which must be complete."""
    answers = subject.given.answers()
    for name, sample in answers.items():
        if sample.whole is not None and not subject.native:
            yield f"{name}, whole", sample, _complete(f"{name}, whole", hear_whole(subject, sample))
        if (sample.stream or subject.in_process) and subject.made().capabilities.stream:
            yield f"{name}, streamed", sample, _complete(f"{name}, streamed", hear(subject, sample))


def _complete(name: str, heard: Heard) -> Heard:
    if heard.error is not None:
        fail(f"{name}: the sample is a good answer, but reading it raised: {heard.error.message}")
    return heard


@check("http")
def a_whole_answer_is_read(subject: Subject) -> None:
    """An answer that comes whole says what the API said"""
    for name, sample in subject.whole().items():
        _same_text(f"{name}, whole", sample, _complete(f"{name}, whole", hear_whole(subject, sample)))


@check("any")
def a_streamed_answer_is_read(subject: Subject) -> None:
    """An answer that comes in pieces says what the API said"""
    for name, sample in subject.streamed().items():
        _same_text(f"{name}, streamed", sample, _complete(f"{name}, streamed", hear(subject, sample)))


def _same_text(name: str, sample: Answer, heard: Heard) -> None:
    said = heard.reply().message.text
    if said != sample.text:
        fail(f"{name}: the text should be {sample.text!r}, but the reader's TextDelta events say {said!r}")


@check("any")
def the_finish_reason_is_read(subject: Subject) -> None:
    """Why the model stopped is told in our words"""
    for name, sample, heard in told(subject):
        finish = heard.reply().finish
        if finish.reason != sample.finish:
            fail(
                f"{name}: Finish.reason should be {sample.finish!r}, but is {finish.reason!r} (raw {finish.raw!r}): "
                "map the API's word for it"
            )


@check("any")
def the_usage_is_read(subject: Subject) -> None:
    """The token counts are those that the API told"""
    for name, sample, heard in told(subject):
        usage = heard.reply().usage
        if usage != sample.usage:
            fail(f"{name}: the Usage event should be {sample.usage}, but the last one was {usage}")


@check("any")
def the_model_is_read(subject: Subject) -> None:
    """The model that answered is told by the name that the API gave"""
    if not any(sample.model for sample in subject.given.answers().values()):
        skip("no sample tells a model")
    for name, sample, heard in told(subject):
        if sample.model and heard.reply().model != sample.model:
            fail(f"{name}: yield Metadata({{'model': {sample.model!r}}}), the model that the answer names")


# --- thinking and tools ---------------------------------------------------------------------------


@check("any")
def thinking_is_read(subject: Subject) -> None:
    """Thinking is told apart from the answer, with what must be sent back"""
    sample = _declared(subject, "thinking", subject.given.thinking)
    for name, heard in _ways(subject, "thinking", sample):
        expected = [part for part in sample.parts if isinstance(part, Thinking)]
        found = [part for part in heard.reply().message.parts if isinstance(part, Thinking)]
        if found != expected:
            fail(f"{name}: ThinkingDelta and ThinkingEnd (with its `opaque`) should make {expected}, but make {found}")


@check("any")
def tool_calls_are_read(subject: Subject) -> None:
    """Tool calls are told whole, with their name, their arguments and an id"""
    sample = _declared(subject, "tools", subject.given.tool_calls)
    expected = [part for part in sample.parts if isinstance(part, ToolCall)]
    for name, heard in _ways(subject, "tool_calls", sample):
        found = [part for part in heard.reply().message.parts if isinstance(part, ToolCall)]
        if len(found) != len(expected):
            fail(f"{name}: {len(expected)} ToolCall events should come, but {len(found)} came")
        for call_, wanted in zip(found, expected, strict=True):
            _same_call(name, call_, wanted)
        if len({call_.id for call_ in found}) < len(found) or not all(call_.id for call_ in found):
            fail(f"{name}: every ToolCall needs an id of its own (make one where the API sends none)")


def _same_call(name: str, found: ToolCall, wanted: ToolCall) -> None:
    same = (found.name, found.valid, found.opaque) == (wanted.name, wanted.valid, wanted.opaque)
    arguments = [parse_object(call_.arguments) or call_.arguments for call_ in (found, wanted)]
    if not same or arguments[0] != arguments[1] or wanted.id not in ("", found.id):
        fail(f"{name}: the ToolCall should be {wanted}, but is {found}")


def _declared(subject: Subject, capability: str, sample: Answer | None) -> Answer:
    """The sample of a capability, which must be there if the capability is declared."""
    declared = getattr(subject.made().capabilities, capability)
    if sample is None:
        if declared:
            name = "tool_calls" if capability == "tools" else capability
            fail(f"capabilities say {capability}: give Samples.{name}, or declare {capability}=False")
        skip(f"capabilities do not say {capability}")
    return sample


def _ways(subject: Subject, name: str, sample: Answer) -> Iterator[tuple[str, Heard]]:
    for way, given, heard in told(subject):
        if given is sample:
            yield way, heard


@check("any")
def nothing_undeclared_is_told(subject: Subject) -> None:
    """What the provider says that it cannot do does not come from it"""
    capabilities = subject.made().capabilities
    for name, _, heard in told(subject):
        for event in heard.events:
            if isinstance(event, ThinkingDelta | ThinkingEnd) and not capabilities.thinking:
                fail(f"{name}: thinking came: declare Capabilities(thinking=True)")
            if isinstance(event, ToolCall | ToolCallDelta) and not capabilities.tools:
                fail(f"{name}: a tool call came: declare Capabilities(tools=True)")


@check("any")
def an_empty_answer_is_an_answer(subject: Subject) -> None:
    """An answer that says nothing is complete and empty, and no error"""
    sample = subject.given.empty
    if sample is None:
        skip("Samples.empty is not given")
    for name, heard in _ways(subject, "empty", sample):
        if heard.reply().message.parts:
            fail(f"{name}: it says nothing, but the reader makes {heard.reply().message.parts} of it")


# --- the same, however it comes -------------------------------------------------------------------


def _same_events(name: str, how: str, heard: Heard, expected: Heard, remedy: str) -> None:
    if heard.error is not None:
        fail(f"{name}: {how}, reading raised: {heard.error.message}; {remedy}")
    if heard.events != expected.events:
        first = next((pair for pair in zip_longest(heard.events, expected.events) if pair[0] != pair[1]), (None, None))
        fail(f"{name}: {how}, the event {first[0]} came in place of {first[1]}; {remedy}")


@check("http")
def a_stream_may_be_cut_anywhere(subject: Subject) -> None:
    """A stream says the same wherever its bytes are cut into packets"""
    remedy = "let the framing keep what is incomplete until the next feed(), as bytes"
    for name, sample in subject.framed().items():
        expected, wire = hear(subject, sample), b"".join(sample.stream)
        for place in range(1, len(wire)):
            heard = hear(subject, sample, (wire[:place], wire[place:]))
            _same_events(name, f"cut into two packets at byte {place}", heard, expected, remedy)
        for size in (1, 2, 3, len(wire)):
            packets = [wire[start : start + size] for start in range(0, len(wire), size)]
            _same_events(name, f"in packets of {size} bytes", hear(subject, sample, packets), expected, remedy)


@check("http")
def lines_may_end_in_crlf(subject: Subject) -> None:
    """A stream says the same with lines that end in CR LF"""
    if type(subject.http().framing()) not in (SSE, JsonLines):
        skip("the stream does not consist of lines")
    for name, sample in subject.framed().items():
        records = tuple(record.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for record in sample.stream)
        remedy = "take a line's end off with the framing, and not by hand"
        _same_events(name, "with CR LF", hear(subject, sample, records), hear(subject, sample), remedy)


@check("http")
def keep_alives_say_nothing(subject: Subject) -> None:
    """What a server sends only to show that it lives is no part of the answer"""
    alive = subject.given.keep_alive or _KEEP_ALIVES.get(type(subject.http().framing()), b"")
    if not alive:
        skip("Samples.keep_alive is not given, and the framing has none that all know")
    for name, sample in subject.framed().items():
        remedy = "ignore a record that says nothing"
        _same_events(name, "with keep-alives", hear(subject, sample, _between(sample, alive)),
                     hear(subject, sample), remedy)  # fmt: skip


@check("any")
def unknown_records_are_ignored(subject: Subject) -> None:
    """A record of a kind that nobody knows yet does no harm"""
    unknown = subject.given.unknown or (b"" if subject.native else _unknown_to(subject))
    if not unknown:
        skip("Samples.unknown is not given, and there is none that the framing suggests")
    for name, sample in subject.framed().items():
        remedy = "ignore records of a type that the adapter does not know"
        _same_events(name, "with a record of an unknown kind", hear(subject, sample, _between(sample, unknown)),
                     hear(subject, sample), remedy)  # fmt: skip


def _unknown_to(subject: Subject) -> bytes:
    """A record of an unknown kind, where records are JSON objects."""
    objects = any(_document(record) for record in subject.given.answer.stream)
    return _UNKNOWN.get(type(subject.http().framing()), b"") if objects else b""


def _between(sample: Answer, more: bytes) -> list[bytes]:
    """The records up to the end marker with something more between them."""
    end = len(sample.stream) - sample.marker
    mixed = [record for each in sample.stream[:end] for record in (each, more)]
    return [*mixed, *sample.stream[end:]]


@check("http")
def unknown_fields_are_ignored(subject: Subject) -> None:
    """A field that nobody knows yet does no harm"""
    remedy = "read the fields that are known, and leave the others"
    for name, sample in subject.given.answers().items():
        if sample.whole is not None and (document := parse_object(sample.whole.decode("utf-8", "replace"))):
            changed = sample._replace(whole=body({**document, **_NEW_FIELD}))
            _same_events(f"{name}, whole", "with an unknown field", hear_whole(subject, changed),
                         hear_whole(subject, sample), remedy)  # fmt: skip
        if sample.stream and subject.http().capabilities.stream:
            records = [_with_field(record) for record in sample.stream]
            _same_events(f"{name}, streamed", "with an unknown field", hear(subject, sample, records),
                         hear(subject, sample), remedy)  # fmt: skip


def _document(record: bytes) -> dict[str, object] | None:
    """The JSON object in a record, wherever in it."""
    start, end = record.find(b"{"), record.rfind(b"}") + 1
    document = parse_object(record[start:end].decode("utf-8", "replace")) if start >= 0 else None
    return dict(document) if document is not None else None


def _with_field(record: bytes) -> bytes:
    document = _document(record)
    if document is None:
        return record
    return record[: record.find(b"{")] + body({**document, **_NEW_FIELD}) + record[record.rfind(b"}") + 1 :]


@check("any")
def text_comes_as_it_is_said(subject: Subject) -> None:
    """The first word is there before the last record has come"""
    sample = subject.given.answer
    if "answer" not in subject.framed():
        skip("Samples.answer has no stream")
    if subject.native:
        return  # over a server: see `a_cancelled_answer_closes_the_connection`, which takes the first event of an open stream
    network = Canned(Sent(sample.stream))
    for event in answer(subject.http(), subject.asked(options=sample.options), call(network, stream=True)):
        if isinstance(event, TextDelta):
            break
    if network.taken > len(sample.stream) - sample.marker:
        fail("the first TextDelta came only with the end of the stream: yield in feed() what each record says")


# --- completeness ---------------------------------------------------------------------------------


@check("http")
def a_cut_stream_is_incomplete(subject: Subject) -> None:
    """A connection that is cut before the end marker leaves the answer incomplete"""
    _incomplete_everywhere(subject, cut=True)


@check("any")
def a_stream_without_its_end_marker_is_incomplete(subject: Subject) -> None:
    """A stream that merely ends before its end marker leaves the answer incomplete"""
    if not subject.native and all(not sample.marker for sample in subject.framed().values()):
        skip("the end of the body is the end marker")
    _incomplete_everywhere(subject, cut=False)


def _incomplete_everywhere(subject: Subject, *, cut: bool) -> None:
    for name, sample in subject.framed().items():
        if not (cut or sample.marker):
            continue
        for kept in range(len(sample.stream) - sample.marker + (1 if sample.marker else 0)):
            heard = hear(subject, sample, sample.stream[:kept], cut=cut)
            if heard.error is None:
                ending = "was cut" if cut else "ended"
                fail(
                    f"{name}: the stream {ending} behind record {kept} of {len(sample.stream)}, before its end marker, "
                    "and the answer counted as complete: yield Finish (and set `complete`) only at the marker"
                )
            if any(isinstance(event, TextDelta) for event in heard.events) and not isinstance(heard.error, Incomplete):
                fail(f"{name}: cut behind record {kept}, the error should be Incomplete, not {heard.error!r}")


@check("http")
def a_cut_behind_the_end_marker_loses_nothing(subject: Subject) -> None:
    """A connection that is cut behind the end marker has lost nothing"""
    if all(not sample.marker for sample in subject.framed().values()):
        skip("the end of the body is the end marker")
    for name, sample in subject.framed().items():
        heard = hear(subject, sample, cut=True)
        if sample.marker and heard.error is not None:
            fail(
                f"{name}: the connection was cut behind the end marker, which was no loss: set `complete` at the marker"
            )


@check("http")
def a_body_of_nothing_is_no_answer(subject: Subject) -> None:
    """A body without a byte is an error of the provider, and no empty answer"""
    for stream in {False, subject.http().capabilities.stream}:
        heard = listen(performed(subject, Sent(()), stream=stream))
        if not isinstance(heard.error, ProviderFailed):
            fail(f"an empty body was taken for {heard.events}: raise ProviderFailed where nothing came")


# --- what no API should send ----------------------------------------------------------------------


@check("http")
def strange_answers_do_no_harm(subject: Subject) -> None:
    """A field of another type than the API promises is an error or nothing, never a crash of ours"""
    for name, sample in subject.given.answers().items():
        if sample.whole is not None and (document := parse_object(sample.whole.decode("utf-8", "replace"))):
            for place, changed in _mangled(document):
                _survives(f"{name}, whole: with {place}", lambda changed=changed: hear_whole(
                    subject, sample._replace(whole=body(changed))))  # fmt: skip
        for number, record in enumerate(sample.stream if subject.http().capabilities.stream else ()):
            document = _document(record)
            for place, changed in _mangled(document) if document else ():
                edges = record[: record.find(b"{")], record[record.rfind(b"}") + 1 :]
                mangled = edges[0] + body(changed) + edges[1]
                records = (*sample.stream[:number], mangled, *sample.stream[number + 1 :])
                _survives(f"{name}, record {number}: with {place}", lambda records=records: hear(
                    subject, sample, records))  # fmt: skip


def _survives(where: str, act: Callable[[], Heard]) -> None:
    try:
        act()
    except AssertionError as exc:
        fail(f"{where}, {exc}")


_STRANGE: tuple[object, ...] = (None, "x", 7, [], {}, ["x"], [None])


def _mangled(document: object, path: str = "") -> Iterator[tuple[str, object]]:
    """The document with each of its values replaced by each of the strange ones, one at a time."""
    items: Sequence[tuple[object, object]] = (
        list(document.items())
        if isinstance(document, dict)
        else list(enumerate(document))
        if isinstance(document, list)
        else []
    )
    for key, value in items:
        where = f"{path}.{key}" if path else str(key)
        for changed_place, changed in [
            *((f"{where} = {json.dumps(strange)}", strange) for strange in _STRANGE),
            *_mangled(value, where),
        ]:
            if isinstance(document, dict):
                yield changed_place, {**document, key: changed}
            else:
                assert isinstance(document, list) and isinstance(key, int)
                yield changed_place, [*document[:key], changed, *document[key + 1 :]]


# --- two at once ----------------------------------------------------------------------------------


@check("any")
def two_answers_may_be_read_at_once(subject: Subject) -> None:
    """Two answers of one provider that are read in turns do not mix"""
    sample = subject.given.answer
    if "answer" not in subject.framed():
        skip("Samples.answer has no stream")
    if subject.native:
        skip("the answers of a native provider are read in threads")
    provider, request = subject.http(), subject.asked(options=sample.options)
    alone = listen(answer(provider, request, call(Canned(Sent(sample.stream)), stream=True)))
    streams = [answer(provider, request, call(Canned(Sent(sample.stream)), stream=True)) for _ in range(2)]
    heard: tuple[list[Event], list[Event]] = ([], [])
    turns = zip_longest(*streams)
    together = listen(event for pair in turns for event in pair if event is not None)
    del heard
    expected = [event for event in alone.events for _ in range(2)]
    if list(together.events) != expected:
        fail("two answers that are read at once mix: keep the state of an answer on its Reader, never on the provider")
