"""
Has the real driver read sample bytes, without a network. Layer 2: knows the driver, the transport's shape and the
subject.

The bytes go through `answer()` itself, over a transport that holds them already: what a check sees is what a user
would see.
"""

import os
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple, NoReturn

from llmcli.answer import Call, Fold, answer
from llmcli.deadlines import Deadlines
from llmcli.errors import LlmError, NetworkFailed
from llmcli.provider import Provider
from llmcli.retry import RetryPolicy
from llmcli.testing.samples import Answer
from llmcli.testing.subject import Subject, fail
from llmcli.transport import Response, Transport
from llmcli.types import NOTHING, ChatRequest, Event, Finish, HttpRequest, Reply, Timeouts

_CHUNKED = {"transfer-encoding": "chunked"}
_ONCE = RetryPolicy(retries=0)
_LIBRARY = os.path.dirname(os.__file__)  # whose frames are no place to look for a mistake
_PATIENT = 20  # requests of one answer, which is more than any service wants to be said in other ways
_PATIENCE = Timeouts(first=10.0, idle=10.0, total=None)


class Sent(NamedTuple):
    """What the service sends: the body as it arrives, and whether the connection is cut behind it."""

    chunks: Sequence[bytes]
    status: int = 200
    headers: Mapping[str, str] = NOTHING
    cut: bool = False


class Canned(Transport):
    """A network on which all was said already. `asked` counts the requests, `taken` the chunks that were read."""

    def __init__(self, sent: Sent) -> None:
        super().__init__(env={})
        self.taken = 0
        self.asked = 0
        self._sent = sent

    @contextmanager
    def send(
        self, request: HttpRequest, deadlines: Deadlines, before_wait: Callable[[], None] = lambda: None
    ) -> Iterator[Response]:
        """See `Transport.send`."""
        self.asked += 1
        if self.asked > _PATIENT:
            fail(f"the request was sent {_PATIENT} times: adapt() must return None when nothing is left to change")
        yield Response(self._sent.status, {**_CHUNKED, **self._sent.headers}, self._chunks())

    def _chunks(self) -> Iterator[bytes]:
        for chunk in self._sent.chunks:
            self.taken += 1
            yield chunk
        if self._sent.cut:
            raise NetworkFailed("the connection was cut")


class Heard(NamedTuple):
    """The events of an answer as far as they came, and the error that ended them if one did."""

    events: tuple[Event, ...]
    error: LlmError | None = None

    @property
    def complete(self) -> bool:
        """Whether it came to its end."""
        return bool(self.events) and isinstance(self.events[-1], Finish)

    def reply(self) -> Reply:
        """The whole answer."""
        fold = Fold("kit", "", keep=True)
        list(fold.watch(iter(self.events)))
        return fold.reply()


def listen(events: Iterator[Event]) -> Heard:
    """All events, and the error. What is none of our errors is a bug of the adapter, which fails the check."""
    heard: list[Event] = []
    try:
        for event in events:
            heard.append(event)
    except LlmError as exc:
        return Heard(tuple(heard), exc)
    except Exception as exc:
        crashed(exc)
    return Heard(tuple(heard))


def crash(exc: Exception) -> str:
    """What to say of an adapter that raised what is no error of ours."""
    frames = traceback.extract_tb(exc.__traceback__)
    theirs = [frame for frame in frames if not frame.filename.startswith(_LIBRARY) or "site-packages" in frame.filename]
    last = (theirs or frames)[-1]
    place = f"{os.path.basename(last.filename)}:{last.lineno}, in {last.name}"
    return f"the adapter raised {type(exc).__name__}: {exc} ({place}); raise an LlmError, or read what may be missing"


def crashed(exc: Exception) -> NoReturn:
    """The adapter raised what is no error of ours, which fails the check."""
    fail(crash(exc))


def performed(
    subject: Subject,
    sent: Sent,
    *,
    stream: bool,
    request: ChatRequest | None = None,
    provider: Provider | None = None,
) -> Generator[Event, None, None]:
    """The events of one answer of an HTTP provider, a fresh one if none is given, for which the service sends this."""
    over = call(subject, Canned(sent), stream=stream)
    return answer(provider or subject.http(), request or subject.asked(), over)


def call(subject: Subject, transport: Transport | None = None, *, stream: bool | None = None) -> Call:
    """A call that tries once, over a real network if no other is given."""
    return Call(transport or Transport(env={}), key=subject.key, timeouts=_PATIENCE, retry=_ONCE, stream=stream)


def hear(
    subject: Subject,
    sample: Answer,
    records: Sequence[bytes] | None = None,
    *,
    cut: bool = False,
    provider: Provider | None = None,
    request: ChatRequest | None = None,
) -> Heard:
    """
    The streamed answer, of which only these records are sent, to a fresh provider if none is given. Then the body
    ends, or the connection is `cut`; over a native provider's server it is closed.
    """
    records = sample.stream if records is None else records
    request = request or subject.asked(options=sample.options)
    if not subject.native:
        return listen(performed(subject, Sent(records, cut=cut), stream=True, request=request, provider=provider))
    with ExitStack() as stack:
        provider = provider or subject.made()
        if subject.serve is not None:
            provider = subject.made(stack.enter_context(subject.serve(records, stay=False)).base_url)
        return listen(answer(provider, request, call(subject)))


def hear_whole(
    subject: Subject, sample: Answer, provider: Provider | None = None, request: ChatRequest | None = None
) -> Heard:
    """The answer that came in one piece, to a fresh provider if none is given."""
    sent = Sent((sample.whole or b"",), headers={"content-type": "application/json"})
    request = request or subject.asked(options=sample.options)
    return listen(performed(subject, sent, stream=False, request=request, provider=provider))
