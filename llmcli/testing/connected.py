"""
Checks over a real connection to a server on this machine: what only the transport shows. Layer 2.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from llmcli.answer import answer
from llmcli.errors import Incomplete, NetworkFailed, ProviderFailed, TimedOut
from llmcli.provider import Provider
from llmcli.testing.hearing import Heard, call, listen
from llmcli.testing.local_server import Connection, LocalServer, Script
from llmcli.testing.samples import Answer
from llmcli.testing.subject import CheckFailed, Played, Subject, check, fail, skip
from llmcli.types import Event, TextDelta, Timeouts

_LONG = 5.0  # seconds in which everything on one machine has happened
_LONG_ENOUGH = Timeouts(first=_LONG, idle=_LONG)
_SHORT = Timeouts(first=_LONG, idle=0.2)


def _sample(subject: Subject) -> Answer:
    """The streamed answer that is played."""
    sample = subject.framed().get("answer")
    if sample is None:
        skip("Samples.answer has no stream")
    return sample


def _opening(sample: Answer) -> tuple[bytes, ...]:
    """The records before the end marker."""
    return sample.stream[: len(sample.stream) - sample.marker]


@contextmanager
def _playing(subject: Subject, records: Sequence[bytes], *, stay: bool) -> Iterator[Played]:
    """A server that sends these records and then ends the body, or stays silent."""
    if subject.serve is not None:
        with subject.serve(records, stay=stay) as played:
            yield played
        return

    def script(connection: Connection) -> None:
        connection.stream(records)
        if stay:
            connection.wait_until_gone()
        else:
            connection.send(b"0\r\n\r\n")

    with LocalServer(script) as server:
        yield server


def _events(subject: Subject, provider: Provider, timeouts: Timeouts = _LONG_ENOUGH) -> Iterator[Event]:
    request = subject.asked(options=subject.given.answer.options)
    return answer(provider, request, call(subject)._replace(timeouts=timeouts))


@check("any", connects=True)
def a_stalled_answer_ends_in_time(subject: Subject) -> None:
    """An answer that stalls is incomplete as soon as the idle timeout has passed"""
    sample = _sample(subject)
    with _playing(subject, _opening(sample), stay=True) as server:
        provider = subject.made(server.base_url)
        heard = _in_threads(1, lambda: listen(_events(subject, provider, _SHORT)))[0]
    if not isinstance(heard.error, Incomplete):
        fail(
            "the server fell silent behind its text; that should be Incomplete after the idle timeout, but is "
            f"{heard.error!r}: tell text as it comes, end at the marker only, wait with call.sleep and call.remaining"
        )


@check("any", connects=True)
def a_silent_service_is_given_up(subject: Subject) -> None:
    """A service that never begins to answer is given up as soon as the first timeout has passed"""
    _sample(subject)
    with _playing(subject, (), stay=True) as server:
        provider = subject.made(server.base_url)
        heard = _in_threads(1, lambda: listen(_events(subject, provider, _SHORT._replace(first=0.2))))[0]
    if not isinstance(heard.error, TimedOut):
        fail(f"the server said nothing; that should be TimedOut after the first timeout, but is {heard.error!r}: "
             "wait with call.sleep and call.remaining")  # fmt: skip


@check("any", connects=True)
def a_broken_connection_is_incomplete(subject: Subject) -> None:
    """A connection that breaks in the middle of an answer leaves it incomplete"""
    sample = _sample(subject)
    with _breaking(subject, _opening(sample)) as server:
        heard = listen(_events(subject, subject.made(server.base_url)))
    if not isinstance(heard.error, Incomplete):
        fail(f"the connection broke behind some text; that should be Incomplete, but is {heard.error!r}: "
             "yield Finish only at the end marker, and raise NetworkFailed for a lost connection")  # fmt: skip


def _breaking(subject: Subject, records: Sequence[bytes]) -> AbstractContextManager[Played]:
    """A server that sends these records and is gone."""
    if subject.serve is not None:
        return subject.serve(records, stay=False)
    return LocalServer(lambda connection: connection.stream(records))


@check("any", connects=True)
def a_cancelled_answer_closes_the_connection(subject: Subject) -> None:
    """Who stops reading closes the connection, so that the model stops too"""
    sample = _sample(subject)
    with _playing(subject, _opening(sample), stay=True) as server:
        events = _events(subject, subject.made(server.base_url))
        heard = _until_text(events)
        if heard.error is not None or not heard.events:
            fail(f"the server sent text and stayed open, but no text came ({heard.error}): yield it in feed()")
        events.close()  # type: ignore[attr-defined]  # answer() is a generator
        if not server.gone.wait(_LONG):
            fail("the connection was still open after the answer was closed: close it in a `finally`")


def _until_text(events: Iterator[Event]) -> Heard:
    def first() -> Iterator[Event]:
        for event in events:
            if isinstance(event, TextDelta):
                yield event
                return

    return listen(first())


@check("any", connects=True)
def answers_may_be_read_in_threads(subject: Subject) -> None:
    """Answers of one provider may be read in several threads at once"""
    sample = _sample(subject)
    with _playing(subject, sample.stream, stay=False) as server:
        provider = subject.made(server.base_url)
        heard = _in_threads(4, lambda: listen(_events(subject, provider)))
    for each in heard:
        if each.error is not None:
            fail(f"one of several answers that were read at once failed: {each.error.message}")
        if each.reply().message.text != sample.text:
            fail("answers that are read at once mix: keep the state of an answer on its Reader, not on the provider")


def _in_threads(count: int, act: Callable[[], Heard]) -> list[Heard]:
    """What is heard in so many threads at once, none of which may last."""
    heard: list[Heard | CheckFailed] = []

    def listening() -> None:
        try:
            heard.append(act())
        except CheckFailed as exc:
            heard.append(exc)

    threads = [threading.Thread(target=listening, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_LONG)
    if len(heard) < count:
        fail("an answer did not end: wait with call.sleep and call.remaining only, which keep the deadlines")
    for each in heard:
        if isinstance(each, CheckFailed):
            raise each
    return [each for each in heard if isinstance(each, Heard)]


@check("http", connects=True)
def the_answer_comes_from_the_base_url(subject: Subject) -> None:
    """The request reaches the server at the base URL, and its answer is read"""
    sample = _sample(subject)
    with _playing(subject, sample.stream, stay=False) as server:
        heard = listen(_events(subject, subject.made(server.base_url)))
        asked = list(server.requests)
    if len(asked) != 1:
        fail(f"the server at the base URL was asked {len(asked)} times and not once: build URLs with self.url(path)")
    if heard.error is not None or heard.reply().message.text != sample.text:
        fail(f"the answer of a real server was not read: {heard.error or heard.events}")


@check("http", connects=True)
def a_redirect_is_not_followed(subject: Subject) -> None:
    """A redirect is an error, and neither the prompt nor the key goes to another host"""
    sample = _sample(subject)
    with LocalServer(lambda connection: connection.stream(sample.stream)) as elsewhere:
        with LocalServer(_redirects(elsewhere.base_url)) as server:
            heard = listen(_events(subject, subject.made(server.base_url)))
        if elsewhere.requests:
            fail("a redirect was followed: leave the network to the driver")
        if not isinstance(heard.error, ProviderFailed):
            fail(f"a redirect should be ProviderFailed, but is {heard.error!r}")
        if not server.requests:
            fail("the server at the base URL was not asked: build URLs with self.url(path)")


def _redirects(url: str) -> Script:
    head = f"HTTP/1.1 302 Found\r\nLocation: {url}/\r\nContent-Length: 0\r\n\r\n"
    return lambda connection: connection.send(head.encode())


@check("native", connects=True)
def a_service_that_is_gone_is_a_network_error(subject: Subject) -> None:
    """A service that cannot be reached is an error of the network"""
    sample = _sample(subject)
    with subject.server()(sample.stream, stay=False) as server:
        gone = server.base_url
    heard = listen(_events(subject, subject.made(gone)))
    if not isinstance(heard.error, NetworkFailed):
        fail(f"nobody listens there any more; that should be NetworkFailed, but is {heard.error!r}: translate the "
             "errors of the library")  # fmt: skip
