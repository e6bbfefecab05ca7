"""
Checks of streams: they say the same however they arrive, and are complete only with their end marker. Layer 2.
"""

from itertools import zip_longest

from llmcli.answer import answer
from llmcli.errors import Incomplete
from llmcli.framing import SSE, JsonArray, JsonLines
from llmcli.testing.hearing import Canned, Heard, Sent, call, hear, hear_whole, listen, performed
from llmcli.testing.samples import Answer, body
from llmcli.testing.strange import document_in, with_document
from llmcli.testing.subject import Serve, Subject, check, fail, skip
from llmcli.types import Event, TextDelta, ToolCall

_KEEP_ALIVES: dict[type, bytes] = {SSE: b": keep-alive\n\n", JsonLines: b"\n", JsonArray: b" \n"}
_UNKNOWN: dict[type, bytes] = {
    SSE: b'event: kit-unknown\ndata: {"type":"kit-unknown","kit":{"a":[1,null]}}\n\n',
    JsonLines: b'{"type":"kit-unknown","kit":{"a":[1,null]}}\n',
}
_NEW_FIELD = {"of_next_year": [1, None, {"text": "x", "content": "x"}]}
_FORGET = "keep the state of an answer on its Reader, never on the provider"
_CUTS = 4096  # at most so many places of one stream, so that a long recorded one does not take minutes


# --- the same, however it comes -------------------------------------------------------------------


def _same(subject: Subject, what: str, heard: Heard, expected: Heard, remedy: str) -> None:
    if heard.error is not None:
        fail(f"{what}, reading raised: {heard.error.message}; {remedy}")
    for found, wanted in zip_longest(heard.events, expected.events):
        if found != wanted and not _same_but_for_its_id(subject, found, wanted):
            fail(f"{what}, the event {found} came in place of {wanted}; {remedy}")


def _same_but_for_its_id(subject: Subject, found: Event | None, wanted: Event | None) -> bool:
    """Whether both are a call to which the API gave no id, by an adapter that makes ids at random."""
    if not (isinstance(found, ToolCall) and isinstance(wanted, ToolCall) and found._replace(id=wanted.id) == wanted):
        return False
    parts = [part for sample in subject.given.answers().values() for part in sample.parts]
    told = {part.id for part in parts if isinstance(part, ToolCall)}
    return told.isdisjoint((found.id, wanted.id)) and _ids_are_random(subject)


def _ids_are_random(subject: Subject) -> bool:
    """Whether an answer that is read by a fresh provider has other ids each time."""
    sample = subject.given.tool_calls
    if sample is None:
        return False
    listening = hear if sample.stream and subject.streams else hear_whole
    return listening(subject, sample) != listening(subject, sample)


@check("http")
def a_stream_may_be_cut_anywhere(subject: Subject) -> None:
    """A stream says the same wherever its bytes are cut into packets"""
    remedy = "let the framing keep the bytes of what is incomplete until the next feed()"
    for name, sample in subject.framed().items():
        expected, wire = hear(subject, sample), b"".join(sample.stream)
        for place in range(1, len(wire), 1 + len(wire) // _CUTS):
            heard = hear(subject, sample, (wire[:place], wire[place:]))
            _same(subject, f"{name}: cut into two packets at byte {place}", heard, expected, remedy)
        for size in (1, 2, 3, len(wire)):
            packets = [wire[start : start + size] for start in range(0, len(wire), size)]
            _same(subject, f"{name}: in packets of {size} bytes", hear(subject, sample, packets), expected, remedy)


@check("http")
def lines_may_end_in_crlf(subject: Subject) -> None:
    """A stream says the same with lines that end in CR LF"""
    if not isinstance(subject.http().framing(), SSE | JsonLines):
        skip("the stream does not consist of lines")
    for name, sample in subject.framed().items():
        records = [record.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for record in sample.stream]
        _same(subject, f"{name}: with CR LF", hear(subject, sample, records), hear(subject, sample),
              "leave the ends of lines to the framing")  # fmt: skip


@check("any")
def keep_alives_say_nothing(subject: Subject) -> None:
    """What a server sends only to show that it lives is no part of the answer"""
    alive = subject.given.keep_alive or _usual(_KEEP_ALIVES, subject)
    if not alive:
        skip("Samples.keep_alive is not given, and the framing suggests none")
    for name, sample in subject.framed().items():
        heard = hear(subject, sample, _between(sample, alive))
        _same(subject, f"{name}: with keep-alives", heard, hear(subject, sample), "ignore a record that says nothing")


@check("any")
def unknown_records_are_ignored(subject: Subject) -> None:
    """A record of a kind that nobody knows yet does no harm"""
    unknown = subject.given.unknown or _suggested(subject)
    if not unknown:
        skip("Samples.unknown is not given, and the framing suggests none")
    for name, sample in subject.framed().items():
        _same(subject, f"{name}: with a record of an unknown kind", hear(subject, sample, _between(sample, unknown)),
              hear(subject, sample), "ignore records of a type that the adapter does not know")  # fmt: skip


def _suggested(subject: Subject) -> bytes:
    """A record of an unknown kind, where the records are JSON objects."""
    objects = any(map(document_in, subject.given.answer.stream))
    return _usual(_UNKNOWN, subject) if objects else b""


def _usual(records: dict[type, bytes], subject: Subject) -> bytes:
    """The record that is usual with the provider's framing; a native provider has none that we know."""
    framing = None if subject.native else subject.http().framing()
    return next((record for kind, record in records.items() if isinstance(framing, kind)), b"")


def _between(sample: Answer, more: bytes) -> list[bytes]:
    """The records up to the end marker with something more behind each, and the marker."""
    end = len(sample.stream) - sample.marker
    mixed = [piece for record in sample.stream[:end] for piece in (record, more)]
    return [*mixed, *sample.stream[end:]]


@check("http")
def unknown_fields_are_ignored(subject: Subject) -> None:
    """A field that nobody knows yet does no harm"""
    remedy = "read the fields that are known, and leave the others"
    for name, sample in subject.given.answers().items():
        document = document_in(sample.whole or b"")
        if document is not None:
            changed = sample._replace(whole=body({**document, **_NEW_FIELD}))
            _same(subject, f"{name}, whole: with an unknown field", hear_whole(subject, changed),
                  hear_whole(subject, sample), remedy)  # fmt: skip
        if sample.stream and subject.http().capabilities.stream:
            records = [_with_new_field(record) for record in sample.stream]
            _same(subject, f"{name}, streamed: with an unknown field", hear(subject, sample, records),
                  hear(subject, sample), remedy)  # fmt: skip


def _with_new_field(record: bytes) -> bytes:
    document = document_in(record)
    return record if document is None else with_document(record, {**document, **_NEW_FIELD})


@check("http")
def two_answers_may_be_read_at_once(subject: Subject) -> None:
    """Two answers of one provider that are read in turns do not mix"""
    sample = _answer(subject)
    provider, request = subject.http(), subject.asked(options=sample.options)
    alone = hear(subject, sample)
    streams = [answer(provider, request, call(subject, Canned(Sent(sample.stream)), stream=True)) for _ in range(2)]
    together = listen(event for pair in zip_longest(*streams) for event in pair)
    if together.events != tuple(event for event in alone.events for _ in streams):
        fail(f"two answers that are read at once mix: {_FORGET}")


@check("any")
def an_answer_leaves_nothing_behind(subject: Subject) -> None:
    """Answers of one provider that are read one after the other say what they say alone"""
    if subject.serve is not None:
        _twice_from_a_server(subject, subject.serve)
        return
    provider = subject.made()
    for name, sample in subject.given.answers().items():
        if sample.whole is not None and not subject.native:
            _same(subject, f"{name}, whole: behind other answers", hear_whole(subject, sample, provider),
                  hear_whole(subject, sample), _FORGET)  # fmt: skip
        if (sample.stream or subject.in_process) and subject.streams:
            hear(subject, sample, sample.stream[: len(sample.stream) // 2], provider=provider)
            _same(subject, f"{name}, streamed: behind other answers", hear(subject, sample, provider=provider),
                  hear(subject, sample), _FORGET)  # fmt: skip


def _twice_from_a_server(subject: Subject, serve: Serve) -> None:
    for name, sample in subject.framed().items():
        with serve(sample.stream, stay=False) as server:
            provider, request = subject.made(server.base_url), subject.asked(options=sample.options)
            first, second = (listen(answer(provider, request, call(subject))) for _ in range(2))
        _same(subject, f"{name}: heard a second time", second, first, _FORGET)


def _answer(subject: Subject) -> Answer:
    sample = subject.framed().get("answer")
    if sample is None:
        skip("Samples.answer has no stream")
    return sample


# --- completeness ---------------------------------------------------------------------------------


@check("http")
def a_cut_stream_is_incomplete(subject: Subject) -> None:
    """A connection that is cut before the end marker leaves the answer incomplete"""
    for name, sample in subject.framed().items():
        _incomplete_everywhere(subject, name, sample, cut=True)


@check("any")
def a_stream_without_its_end_marker_is_incomplete(subject: Subject) -> None:
    """A stream that merely ends before its end marker leaves the answer incomplete"""
    marked = {name: sample for name, sample in subject.framed().items() if sample.marker}
    if not marked:
        skip("the end of the body is the end marker")
    for name, sample in marked.items():
        _incomplete_everywhere(subject, name, sample, cut=False)


def _incomplete_everywhere(subject: Subject, name: str, sample: Answer, *, cut: bool) -> None:
    """Behind each record before the end marker, which is the end of the body where there is no other."""
    for kept in range(len(sample.stream) - (sample.marker - 1 if sample.marker else 0)):
        heard = hear(subject, sample, sample.stream[:kept], cut=cut)
        where = f"{name}: the stream {'was cut' if cut else 'ended'} behind record {kept} of {len(sample.stream)}"
        if heard.error is None:
            fail(f"{where}, before its end marker, and counted as complete: yield Finish only at the marker")
        if any(isinstance(event, TextDelta) for event in heard.events) and not isinstance(heard.error, Incomplete):
            fail(f"{where}, which should be Incomplete and is {heard.error!r}")


@check("http")
def a_cut_behind_the_end_marker_loses_nothing(subject: Subject) -> None:
    """A connection that is cut behind the end marker has lost nothing"""
    marked = {name: sample for name, sample in subject.framed().items() if sample.marker}
    if not marked:
        skip("the end of the body is the end marker")
    for name, sample in marked.items():
        if hear(subject, sample, cut=True).error is not None:
            fail(f"{name}: cut behind the end marker, it counted as incomplete: set `complete` at the marker")


@check("http")
def a_document_without_an_answer_is_no_answer(subject: Subject) -> None:
    """A whole document in which there is no answer is an error, and no empty answer"""
    if not any(map(document_in, (sample.whole or b"" for sample in subject.whole().values()))):
        skip("whole answers are no JSON objects")
    heard = listen(performed(subject, Sent((b"{}",)), stream=False))
    if heard.error is None:
        fail(
            f"{{}} was taken for an answer: {heard.events}; raise ProviderFailed in whole() where the text should stand"
        )
