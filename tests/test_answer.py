"""The driver and a provider that performs by itself: its deadlines hold between its events."""

import threading
from collections.abc import Iterator

import pytest

from llmcli.answer import Call, answer
from llmcli.errors import Incomplete, TimedOut
from llmcli.provider import NativeCall, NativeProvider
from llmcli.retry import RetryPolicy
from llmcli.transport import Transport
from llmcli.types import ChatRequest, Event, Finish, ProviderConfig, TextDelta, Timeouts, message

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
