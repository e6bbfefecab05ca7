"""What the tests of this package share: asking a provider through the driver, as the program does."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from grpc_service import DESCRIPTORS
from llmcli.answer import Call, answer
from llmcli.errors import LlmError
from llmcli.retry import RetryPolicy
from llmcli.transport import Transport
from llmcli.types import ChatRequest, Event, ProviderConfig, TextDelta, Timeouts, message

from llmcli_grpc import Grpc


class Heard(NamedTuple):
    """The events of an answer, and the error that ended it if one did."""

    events: list[Event]
    error: LlmError | None

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, TextDelta))


class Asking:
    """Asks a server, with a configuration and a call of the test's own."""

    def __init__(self, descriptor: str) -> None:
        self.descriptor = descriptor  # a file with what the server understands

    def provider(self, url: str, headers: dict[str, str] | None = None, **own: Any) -> Grpc:
        return Grpc(ProviderConfig("grpc", url, headers=headers or {}, own=own, place="c.toml: providers.grpc"))

    def events(
        self, provider: Grpc, *, key: str | None = None, timeouts: Timeouts | None = None, ca_bundle: str | None = None,
        env: dict[str, str] | None = None, **said: Any,
    ) -> Iterator[Event]:  # fmt: skip
        call = Call(Transport(env=env or {}, ca_bundle=ca_bundle), key, timeouts or Timeouts(), RetryPolicy(retries=0))
        return answer(provider, ChatRequest("m", said.pop("messages", (message("user", "hi"),)), **said), call)

    def __call__(self, provider: Grpc, **said: Any) -> Heard:
        events: list[Event] = []
        try:
            for event in self.events(provider, **said):
                events.append(event)
        except LlmError as exc:
            return Heard(events, exc)
        return Heard(events, None)


@pytest.fixture(autouse=True, scope="session")
def _signals_reach_the_program() -> None:
    """A job in the background ignores Ctrl-C, and so does all that it starts; but a handler is not handed down."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


@pytest.fixture
def ask(tmp_path: Path) -> Asking:
    descriptor = tmp_path / "llm.binpb"
    descriptor.write_bytes(DESCRIPTORS)
    return Asking(str(descriptor))
