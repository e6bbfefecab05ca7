"""The driver and a provider that performs by itself: its deadlines, and what it does not declare."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any, ClassVar

import pytest

from llmcli.answer import Call, answer
from llmcli.errors import Incomplete, LlmError, RequestRejected, TimedOut
from llmcli.provider import Capabilities, NativeCall, NativeProvider
from llmcli.providers.vendors import DashScope, OpenAICompatible
from llmcli.retry import RetryPolicy
from llmcli.transport import Transport
from llmcli.types import (
    Attachment,
    ChatRequest,
    Event,
    Finish,
    Message,
    ProviderConfig,
    TextDelta,
    Timeouts,
    Tool,
    message,
)
from tests.servers import Server, whole

REQUEST = ChatRequest("m", (message("user", "hi"),))
CALL = Call(Transport(env={}), timeouts=Timeouts(first=0.01, idle=0.01), retry=RetryPolicy(retries=0))


class Blocking(NativeProvider):
    """A provider that waits for something of its own before the piece of its answer that is named."""

    def __init__(self, before: int) -> None:
        super().__init__(ProviderConfig(id="blocking"))
        self.before = before

    def stream(self, request: ChatRequest, call: NativeCall) -> Iterator[Event]:
        for number in range(3):
            if number == self.before:
                threading.Event().wait(0.05)
            yield TextDelta("x")
        yield Finish("stop")


def test_a_provider_that_blocks_before_its_first_word_has_timed_out() -> None:
    with pytest.raises(TimedOut):
        next(answer(Blocking(before=0), REQUEST, CALL))


def test_a_provider_that_blocks_in_mid_answer_leaves_it_incomplete() -> None:
    events = answer(Blocking(before=1), REQUEST, CALL)

    assert next(events) == TextDelta("x")
    with pytest.raises(Incomplete, match="stalled"):
        next(events)


# --- what a provider does not declare -------------------------------------------------------------


class Plain(Blocking):
    """A provider that declares nothing but a chat."""

    capabilities = Capabilities()


ASKS = [
    ({"tools": (Tool("now"),)}, "blocking cannot call tools"),
    ({"messages": (Message("user", (Attachment("image/png", b"x"),)),)}, "blocking takes no attachments"),
    ({"thinking": "low"}, "blocking has no control over thinking"),
    ({"thinking": 1024}, "blocking has no control over thinking"),
    ({"complete": True}, "blocking cannot complete bare text"),
]


@pytest.mark.parametrize(("asked", "says"), ASKS)
def test_what_a_provider_does_not_declare_is_refused_before_anything_is_sent(asked: dict[str, Any], says: str) -> None:
    with pytest.raises(RequestRejected, match=says):
        next(answer(Plain(before=9), REQUEST._replace(**asked), CALL))


class Seeing(Blocking):
    """A provider that takes pictures, and small sounds of one kind."""

    capabilities = Capabilities(vision=True)
    attachments: ClassVar[Mapping[str, int]] = {"image/*": 4, "audio/wav": 2}


@pytest.mark.parametrize(
    ("attachment", "says"),
    [
        (Attachment("application/pdf", b"x"), "blocking takes no application/pdf$"),
        (Attachment("audio/mpeg", b"x", name="a.mp3"), r"blocking takes no a.mp3 \(audio/mpeg\)$"),
        (Attachment("image/png", b"12345"), "image/png has 5 bytes; blocking takes at most 4$"),
        (Attachment("audio/wav", b"123", name="a.wav"), r"a.wav \(audio/wav\) has 3 bytes; blocking takes at most 2$"),
        (Attachment("image/png", url="https://cats.example/a.png"), "blocking fetches nothing from a URL: image/png$"),
    ],
)
def test_an_attachment_that_a_provider_does_not_take_is_refused_before_anything_is_sent(
    attachment: Attachment, says: str
) -> None:
    asked = REQUEST._replace(messages=(Message("user", (attachment,)),))
    with pytest.raises(RequestRejected, match=says):
        next(answer(Seeing(before=9), asked, CALL))


def test_an_attachment_that_a_provider_takes_is_sent() -> None:
    taken = (Attachment("image/png", b"1234"), Attachment("audio/wav", b"12"))
    assert next(answer(Seeing(before=9), REQUEST._replace(messages=(Message("user", taken),)), CALL)) == TextDelta("x")


def test_where_there_is_no_thinking_none_can_be_had() -> None:
    assert next(answer(Plain(before=9), REQUEST._replace(thinking="off"), CALL)) == TextDelta("x")


# --- what a provider says in another way ----------------------------------------------------------


def _the_same(request: ChatRequest) -> ChatRequest:
    return request._replace(without=request.without | {"known"})


def _always_other(request: ChatRequest) -> ChatRequest:
    return request._replace(seed=(request.seed or 0) + 1)


def _another_word(request: ChatRequest) -> ChatRequest:
    return _always_other(request)._replace(without=request.without | {f"word {len(request.without)}"})


def _a_word_that_changes_nothing(request: ChatRequest) -> ChatRequest:
    return request._replace(without=request.without | {f"word {len(request.without)}"})


@pytest.mark.parametrize(
    ("adapt", "asked"),
    [(_the_same, 1), (_always_other, 1), (_another_word, 30), (_a_word_that_changes_nothing, 1)],
)
def test_a_provider_that_learns_nothing_from_a_refusal_is_not_asked_for_ever(
    adapt: Callable[[ChatRequest], ChatRequest], asked: int
) -> None:
    """Also where it is a plugin of somebody else."""

    class Stubborn(OpenAICompatible):
        def adapt(self, request: ChatRequest, error: LlmError) -> ChatRequest | None:
            return adapt(request)

    with closing(Server(lambda connection: connection.send(whole(400, {"error": {"message": "not so"}})))) as server:
        provider = Stubborn(ProviderConfig(id="stubborn", base_url=server.url))
        with pytest.raises(RequestRejected, match="not so"):
            next(answer(provider, REQUEST, CALL._replace(timeouts=Timeouts())))
        assert len(server.requests) == asked


@pytest.mark.parametrize(
    ("stream", "options", "asked"),
    [(False, {}, 2), (True, {}, 1), (False, {"enable_thinking": True}, 1)],
)
def test_what_was_not_sent_is_not_left_out(stream: bool, options: dict[str, Any], asked: int) -> None:
    """DashScope's models are told not to think where an answer comes whole, unless an option says otherwise."""
    refusal = whole(400, {"error": {"message": "enable_thinking is not what this model takes"}})
    with closing(Server(lambda connection: connection.send(refusal))) as server:
        provider = DashScope(ProviderConfig(id="dashscope", base_url=server.url))
        with pytest.raises(RequestRejected, match="not what this model takes"):
            next(answer(provider, REQUEST._replace(options=options), CALL._replace(timeouts=Timeouts(), stream=stream)))
        assert [each.json.get("enable_thinking") for each in server.requests] == [
            options.get("enable_thinking", False if not stream else None), *[None] * (asked - 1)
        ]  # fmt: skip
