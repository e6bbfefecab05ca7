"""
What is checked, and what a check is. Layer 2: knows types, the contract and the samples.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, NamedTuple, NoReturn, Protocol, TypeAlias

from llmcli.provider import HTTPProvider, NativeProvider, Provider
from llmcli.testing.samples import Answer, Samples
from llmcli.types import NOTHING, ChatRequest, Message, ProviderConfig, message

_BASE_URL = "https://api.kit.example/v1"  # for a provider that has no address of its own
_MODEL = "kit-model-1"
_NO_SERVER = "no server was given that plays the samples (`serve`)"
KEY = "kit-key-0123456789"


class CheckFailed(AssertionError):
    """The adapter does not do what it must. The message says what to change in it."""


class CheckSkipped(Exception):
    """The check does not apply; the message says why."""


class Played(Protocol):
    """A server of a native provider's author that plays one sample."""

    @property
    def base_url(self) -> str:
        """Where it listens."""

    @property
    def requests(self) -> Sequence[str | bytes]:
        """What clients have sent to it, each message as it came."""

    @property
    def gone(self) -> threading.Event:
        """Set when a client has closed its connection."""


class Serve(Protocol):
    """
    Starts a server on this machine that answers each client with these records. Then it closes the connection as the
    protocol wants it or, with `stay`, says nothing more and waits until the client goes.
    """

    def __call__(self, records: Sequence[bytes], *, stay: bool) -> AbstractContextManager[Played]: ...


class Subject(NamedTuple):
    """
    An adapter under test: its class, how it is configured, samples of its API if there are any, and for a native
    provider the server that plays them. `waived`: checks that do not apply by their ids, and why. `key`: a key of the
    form that the provider takes.
    """

    provider: type[Provider]
    samples: Samples | None = None
    config: ProviderConfig | None = None
    serve: Serve | None = None
    waived: Mapping[str, str] = NOTHING
    key: str = KEY

    def made(self, base_url: str | None = None) -> Provider:
        """The provider, at another address if one is given."""
        config = self.config or ProviderConfig(self.provider.id or "unnamed")
        if issubclass(self.provider, HTTPProvider):
            base_url = base_url or config.base_url or self.provider.default_base_url or _BASE_URL
        return self.provider(config._replace(base_url=base_url or config.base_url))

    def http(self, base_url: str | None = None) -> HTTPProvider:
        """The provider, which is spoken to over HTTP."""
        provider = self.made(base_url)
        if not isinstance(provider, HTTPProvider):
            skip("the provider performs by itself")
        return provider

    @property
    def native(self) -> bool:
        """Whether the provider performs by itself."""
        return issubclass(self.provider, NativeProvider)

    @property
    def given(self) -> Samples:
        """The samples, without which a check cannot be made."""
        if self.samples is None:
            skip("no samples were given")
        return self.samples

    @property
    def model(self) -> str:
        """A model to ask."""
        provider = self.made()
        return provider.default_model or next(iter(provider.known_models), _MODEL)

    def asked(self, *messages: Message, **said: Any) -> ChatRequest:
        """A request; where no messages are given, it does not matter what is asked."""
        return ChatRequest(self.model, messages or (message("user", "Hello."),), **said)

    def streamed(self) -> dict[str, Answer]:
        """The sample answers that come in pieces. A provider that streams must have them."""
        answers = {name: answer for name, answer in self.given.answers().items() if answer.stream or self.in_process}
        if not self.streams:
            skip("the provider does not stream")
        if not answers:
            fail("capabilities say stream, but no sample has a stream: give Answer.stream, or declare stream=False")
        return answers

    def framed(self) -> dict[str, Answer]:
        """The streamed answers of which we hold the bytes."""
        if self.in_process:
            skip(_NO_SERVER)
        return self.streamed()

    def whole(self) -> dict[str, Answer]:
        """The sample answers that come whole."""
        answers = {name: answer for name, answer in self.given.answers().items() if answer.whole is not None}
        if self.native:
            skip("the provider performs by itself: its samples are streams")
        if not answers:
            fail("no sample has a whole answer: give Answer.whole, the body of an answer that was not streamed")
        return answers

    @property
    def streams(self) -> bool:
        """Whether it reads records, as every native provider does, whatever it can tell in pieces."""
        return self.native or self.made().capabilities.stream

    @property
    def in_process(self) -> bool:
        """Whether no server plays its samples, as for a model in this process, which has no wire at all."""
        return self.native and self.serve is None

    def server(self) -> Serve:
        """The server of its author."""
        if self.serve is None:
            skip(_NO_SERVER)
        return self.serve


def fail(message: str) -> NoReturn:
    """The check fails with what to change."""
    raise CheckFailed(message)


def skip(reason: str) -> NoReturn:
    """The check does not apply."""
    raise CheckSkipped(reason)


Kind: TypeAlias = Literal["http", "native", "any"]


class Check(NamedTuple):
    """
    One check: its stable id, what it holds in a user's words, for which kind of provider, and whether it opens
    connections on this machine.
    """

    id: str
    title: str
    kind: Kind
    connects: bool
    function: Callable[[Subject], None]

    def applies(self, subject: Subject) -> bool:
        """Whether it is made for this kind of provider."""
        return self.kind in ("any", "native" if subject.native else "http")


_entered: list[Check] = []


def entered(module: str) -> list[Check]:
    """The checks of a module, in their order."""
    return [each for each in _entered if each.function.__module__ == module]


def check(kind: Kind, *, connects: bool = False) -> Callable[[Callable[[Subject], None]], Callable[[Subject], None]]:
    """Make a function a check: its name is the id, the first line of its docstring the title."""

    def enter(function: Callable[[Subject], None]) -> Callable[[Subject], None]:
        title = (function.__doc__ or "").strip().splitlines()[0].rstrip(".")
        _entered.append(Check(function.__name__.replace("_", "-"), title, kind, connects, function))
        return function

    return enter
