"""
Checks of what is read from an answer, whole or streamed. Layer 2.
"""

from collections.abc import Iterator

from llmcli.framing import parse_object
from llmcli.testing.hearing import Heard, hear, hear_whole
from llmcli.testing.samples import Answer
from llmcli.testing.subject import Subject, check, fail, skip
from llmcli.types import Thinking, ThinkingDelta, ThinkingEnd, ToolCall, ToolCallDelta


@check("any")
def samples_are_telling(subject: Subject) -> None:
    """The samples can show mistakes"""
    sample = subject.given.answer
    text = sample.text
    if text.isascii() or "\n" not in text or max(text) <= "\uffff":
        fail("the text of Samples.answer should hold a letter that is not ASCII, an emoji and a line break")
    if sample.stream and len(sample.stream) < sample.marker + 2:
        fail("the stream of Samples.answer should have at least two records before its end marker")


# --- what it says ---------------------------------------------------------------------------------


def read_whole(subject: Subject, name: str, sample: Answer) -> Heard:
    """What is heard of a good answer that comes whole."""
    return _complete(f"{name}, whole", hear_whole(subject, sample))


def read_streamed(subject: Subject, name: str, sample: Answer) -> Heard:
    """What is heard of a good answer that comes in pieces."""
    return _complete(f"{name}, streamed", hear(subject, sample))


def _complete(name: str, heard: Heard) -> Heard:
    if heard.error is not None:
        fail(f"{name}: the sample is a good answer, but reading it raised: {heard.error.message}")
    return heard


def _every_way(subject: Subject) -> Iterator[tuple[str, Answer, Heard]]:
    """Every sample answer in each way in which it comes, and what was heard of it."""
    for name, sample in subject.given.answers().items():
        if sample.whole is not None and not subject.native:
            yield f"{name}, whole", sample, read_whole(subject, name, sample)
        if (sample.stream or subject.in_process) and subject.streams:
            yield f"{name}, streamed", sample, read_streamed(subject, name, sample)


@check("http")
def a_whole_answer_is_read(subject: Subject) -> None:
    """An answer that comes whole says what the API said"""
    for name, sample in subject.whole().items():
        _same_text(f"{name}, whole", sample, read_whole(subject, name, sample))


@check("any")
def a_streamed_answer_is_read(subject: Subject) -> None:
    """An answer that comes in pieces says what the API said"""
    for name, sample in subject.streamed().items():
        _same_text(f"{name}, streamed", sample, read_streamed(subject, name, sample))


def _same_text(name: str, sample: Answer, heard: Heard) -> None:
    said = heard.reply().message.text
    if said != sample.text:
        fail(f"{name}: the text should be {sample.text!r}, but the TextDelta events say {said!r}")


@check("any")
def the_parts_stand_in_their_order(subject: Subject) -> None:
    """Thinking, text and tool calls stand in the order in which they were said"""
    for name, sample, heard in _every_way(subject):
        said, found = (
            ", ".join(type(part).__name__ for part in parts) or "nothing"
            for parts in (sample.parts, heard.reply().message.parts)
        )
        if said != found:
            fail(f"{name}: the parts should be {said}, but the events make {found}: yield them as they come")


@check("any")
def the_finish_reason_is_read(subject: Subject) -> None:
    """Why the model stopped is told in our words"""
    for name, sample, heard in _every_way(subject):
        finish = heard.reply().finish
        if finish.reason != sample.finish:
            fail(f"{name}: Finish.reason should be {sample.finish!r}, but is {finish.reason!r} "
                 f"(raw {finish.raw!r}): map the API's word for it")  # fmt: skip


@check("any")
def the_usage_is_read(subject: Subject) -> None:
    """The token counts are those that the API told"""
    for name, sample, heard in _every_way(subject):
        usage = heard.reply().usage
        if usage != sample.usage:
            fail(f"{name}: the last Usage event should be {sample.usage}, but is {usage}: each replaces the one before")


@check("any")
def the_model_is_read(subject: Subject) -> None:
    """The model that answered is told by the name that the API gave"""
    if not any(sample.model for sample in subject.given.answers().values()):
        skip("no sample tells a model")
    for name, sample, heard in _every_way(subject):
        if sample.model and heard.reply().model != sample.model:
            fail(f"{name}: yield Metadata({{'model': {sample.model!r}}}), the model that the answer names")


@check("any")
def an_empty_answer_is_an_answer(subject: Subject) -> None:
    """An answer that says nothing is complete and empty, and no error"""
    sample = subject.given.empty
    if sample is None:
        skip("Samples.empty is not given")
    for name, heard in _ways_of(subject, sample):
        if heard.reply().message.parts:
            fail(f"{name}: it says nothing, but {heard.reply().message.parts} came: yield only what the API said")


def _ways_of(subject: Subject, wanted: Answer) -> Iterator[tuple[str, Heard]]:
    for name, sample, heard in _every_way(subject):
        if sample is wanted:
            yield name, heard


# --- thinking and tools ---------------------------------------------------------------------------


@check("any")
def thinking_is_read(subject: Subject) -> None:
    """Thinking is told apart from the answer, with what must be sent back"""
    sample = declared(subject, "thinking", "thinking")
    expected = [part for part in sample.parts if isinstance(part, Thinking)]
    for name, heard in _ways_of(subject, sample):
        found = [part for part in heard.reply().message.parts if isinstance(part, Thinking)]
        if found != expected:
            fail(f"{name}: ThinkingDelta and ThinkingEnd (with its `opaque`) should make {expected}, but make {found}")


@check("any")
def tool_calls_are_read(subject: Subject) -> None:
    """Tool calls are told whole, with their name, their arguments and an id"""
    sample = declared(subject, "tools", "tool_calls")
    expected = [part for part in sample.parts if isinstance(part, ToolCall)]
    for name, heard in _ways_of(subject, sample):
        found = [part for part in heard.reply().message.parts if isinstance(part, ToolCall)]
        if len(found) != len(expected):
            fail(f"{name}: {len(expected)} ToolCall events should come, but {len(found)} came")
        for call, wanted in zip(found, expected, strict=True):
            if not _same_call(call, wanted):
                fail(f"{name}: the ToolCall should be {wanted}, but is {call}")
        if not all(call.id for call in found) or len({call.id for call in found}) < len(found):
            fail(f"{name}: every ToolCall needs an id of its own: make one where the API sends none")


def _same_call(found: ToolCall, wanted: ToolCall) -> bool:
    """Arguments may be written in another way, and an id that the sample does not tell may be any."""
    given, expected = (parse_object(call.arguments) or call.arguments for call in (found, wanted))
    return given == expected and found == wanted._replace(id=wanted.id or found.id, arguments=found.arguments)


def declared(subject: Subject, capability: str, name: str) -> Answer:
    """The sample of a capability, which must be there if the capability is declared."""
    sample: Answer | None = getattr(subject.given, name)
    if sample is None and getattr(subject.made().capabilities, capability):
        fail(f"capabilities say {capability}: give Samples.{name}, or declare {capability}=False")
    if sample is None:
        skip(f"capabilities do not say {capability}")
    return sample


@check("any")
def nothing_undeclared_is_told(subject: Subject) -> None:
    """What a provider does is what it declares"""
    capabilities = subject.made().capabilities
    if not subject.streams and any(sample.stream for sample in subject.given.answers().values()):
        fail("there are samples of streams, but capabilities say stream=False")
    for name, _, heard in _every_way(subject):
        for event in heard.events:
            if isinstance(event, ThinkingDelta | ThinkingEnd) and not capabilities.thinking:
                fail(f"{name}: thinking came: declare Capabilities(thinking=True)")
            if isinstance(event, ToolCall | ToolCallDelta) and not capabilities.tools:
                fail(f"{name}: a tool call came: declare Capabilities(tools=True)")
