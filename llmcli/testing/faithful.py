"""
Checks of answers in which one text is another: it comes as it is, and when it is said; what is broken is told as
broken. Layer 2.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from llmcli.answer import answer
from llmcli.framing import parse_object
from llmcli.testing.describing import Place, leaves
from llmcli.testing.hearing import Canned, Heard, Sent, call, hear, hear_whole
from llmcli.testing.samples import Answer
from llmcli.testing.strange import document_in, with_document
from llmcli.testing.subject import Subject, check, fail, skip
from llmcli.types import TextDelta, ToolCall

_MARK = "KIT-MARK"
_MOST = 64  # records of one stream that are tried, so that a long recorded one does not take minutes
_FRAGILE = ("\r\n\t \u2028 ", "\u200d\r\ufeff")  # the first is blank; a space in front may be the tokenizer's own


class Spot(NamedTuple):
    """A text in a record of a sample, or in its whole answer, where `record` is `None`."""

    where: str
    sample: Answer
    record: int | None
    place: Place
    text: str

    def altered(self, other: str) -> Answer:
        """The sample with another text there."""
        if self.record is None:
            return self.sample._replace(whole=_retold(self.sample.whole or b"", self.place, other))
        records = list(self.sample.stream)
        records[self.record] = _retold(records[self.record], self.place, other)
        return self.sample._replace(stream=tuple(records))

    def heard(self, subject: Subject, other: str) -> Heard:
        """What is heard with another text there."""
        return (hear_whole if self.record is None else hear)(subject, self.altered(other))


def _retold(record: bytes, place: Place, text: str) -> bytes:
    return with_document(record, _with_text(document_in(record), place, text))


def _with_text(value: Any, place: Sequence[Any], text: str) -> object:
    """The value of a JSON document with the text in that place."""
    if not place:
        return text
    copy = value.copy()
    copy[place[0]] = _with_text(value[place[0]], place[1:], text)
    return copy


def _spots(subject: Subject, name: str, sample: Answer) -> Iterator[Spot]:
    """Every text in the JSON of a sample."""
    sent: list[tuple[str, int | None, bytes]] = []
    if sample.whole is not None and not subject.native:
        sent.append((f"{name}, whole", None, sample.whole))
    if subject.streams and not subject.in_process:
        sent += [(f"{name}, record {number + 1}", number, record) for number, record in enumerate(sample.stream)]
    for where, number, data in sent:
        for place, value in leaves(document_in(data) or {}):
            if isinstance(value, str) and value:
                yield Spot(where, sample, number, place, value)


def _tried(count: int) -> range:
    """Of so many records those that are tried."""
    return range(0, count, 1 + count // _MOST)


def _said(heard: Heard) -> str:
    return "".join(event.text for event in heard.events if isinstance(event, TextDelta))


def _spoken(subject: Subject) -> Iterator[Spot]:
    """The texts that are a part of what the answer says: what stands there is heard once."""
    found = False
    for name, sample in subject.given.answers().items():
        tried = (None, *_tried(len(sample.stream)))
        for spot in _spots(subject, name, sample):
            if (
                spot.record in tried
                and spot.text in sample.text
                and _said(spot.heard(subject, _MARK)).count(_MARK) == 1
            ):
                found = True
                yield spot
    if not found:
        skip("no text of an answer stands in JSON")


@check("any")
def text_comes_as_it_is(subject: Subject) -> None:
    """Blanks, line breaks and invisible characters in an answer come as the API sent them"""
    for spot in _spoken(subject):
        marked = _said(spot.heard(subject, _MARK))
        for text in _FRAGILE:
            expected, found = marked.replace(_MARK, text), _said(spot.heard(subject, text))
            if found != expected:
                fail(f"{spot.where}: with the text {text!r} should come {expected!r}, but came {found!r}: "
                     "yield each text as it is, without strip() or splitlines()")  # fmt: skip


@check("http")
def text_comes_as_it_is_said(subject: Subject) -> None:
    """Each piece of a streamed answer is there as soon as its record has come"""
    subject.framed()
    for spot in _spoken(subject):
        if spot.record is None:
            continue
        network = Canned(Sent(spot.altered(_MARK).stream))
        request = subject.asked(options=spot.sample.options)
        said = ""
        for event in answer(subject.http(), request, call(subject, network, stream=True)):
            said += event.text if isinstance(event, TextDelta) else ""
            if _MARK in said:
                break
        if network.taken > spot.record + 1:
            fail(f"{spot.where}: its text came only with record {network.taken}: yield in feed() what each record says")


@check("any")
def a_broken_record_is_an_error(subject: Subject) -> None:
    """A record that is no JSON is an error, and nothing of the answer is lost in silence"""
    for name, sample in subject.framed().items():
        expected = hear(subject, sample)
        for number in _tried(len(sample.stream) - sample.marker):
            before, record, after = sample.stream[:number], sample.stream[number], sample.stream[number + 1 :]
            end = record.rfind(b"}")
            if document_in(record) is None or hear(subject, sample, (*before, *after)).events == expected.events:
                continue
            if hear(subject, sample, (*before, record[:end] + record[end + 1 :], *after)).error is None:
                fail(f"{name}: record {number + 1} without its last brace was passed over, and the answer counted as "
                     "complete: let parse_json() raise")  # fmt: skip


@check("any")
def broken_arguments_are_told_as_they_came(subject: Subject) -> None:
    """Arguments of a tool call that are no JSON are told as they came, and as what they are"""
    sample = subject.given.tool_calls
    if sample is None:
        skip("there is no sample of tool calls")
    written = [spot for spot in _spots(subject, "tool_calls", sample) if spot.text.endswith("}")]
    if not written:
        skip("the arguments of tool calls are no text")
    for spot in written:
        good, heard = _calls(spot.heard(subject, spot.text)), spot.heard(subject, spot.text[:-1])
        broken = _calls(heard)
        if heard.error is not None or broken == good:
            continue
        if len(broken) < len(good):
            fail(f"{spot.where}: a tool call with arguments that are no JSON is not told: tell it with valid=False")
        for told, sound in zip(broken, good, strict=True):
            if told != sound and (told.valid or parse_object(told.arguments) is not None):
                fail(f"{spot.where}: a tool call with arguments that are no JSON is told as {told}: tell the "
                     "arguments as they came, with valid=False")  # fmt: skip


def _calls(heard: Heard) -> list[ToolCall]:
    return [event for event in heard.events if isinstance(event, ToolCall)]
