"""
Checks of errors: each is told apart, in the provider's words, wherever the API reports it. Layer 2.
"""

from collections.abc import Iterator

from llmcli import http_errors
from llmcli.errors import (
    AuthenticationFailed,
    Busy,
    Incomplete,
    LlmError,
    ProviderFailed,
    RequestRejected,
    UnknownModel,
)
from llmcli.framing import decode_body, parse_json
from llmcli.testing.describing import leaves
from llmcli.testing.hearing import Heard, Sent, hear, listen, performed
from llmcli.testing.samples import Answer, Failure
from llmcli.testing.subject import Subject, check, fail, skip
from llmcli.types import ChatRequest, TextDelta

_PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body><p>kit page</p></body></html>"
_SAYS_NOTHING = b'{"error":{"message":"the kit says so"}}'
_WAYS = 10  # in which a request may be said, which is more than any adapter has
_ASKING = (
    {"retry-after": "7"},
    {"retry-after": "1.5"},
    {"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"},
    {"retry-after": "soon"},
)
_BY_STATUS: dict[int, tuple[type[LlmError], ...]] = {
    401: (AuthenticationFailed,),
    403: (AuthenticationFailed,),
    404: (RequestRejected, UnknownModel),
    422: (RequestRejected,),
    429: (Busy,),
    500: (ProviderFailed, Busy),
    503: (Busy, ProviderFailed),
}


def _failed(subject: Subject, failure: Failure) -> Heard:
    """What is heard where the service answers with this failure."""
    if subject.in_process:
        return hear(subject, Answer("", options=failure.options))
    if subject.native:
        return hear(subject, Answer("", (failure.body,), options=failure.options))
    sent = Sent((failure.body,), failure.status, failure.received)
    return listen(performed(subject, sent, stream=False, request=subject.asked(options=failure.options)))


@check("any")
def errors_are_told_apart(subject: Subject) -> None:
    """Each error of the API is the error that a script can act on"""
    if not subject.given.errors:
        fail("Samples.errors is empty: give the body of each error that the API documents, at least for 401 and 429")
    for failure in subject.given.errors:
        error = _failed(subject, failure).error
        if type(error) is not failure.error:
            fail(
                f"HTTP {failure.status} {_excerpt(failure)} should be {failure.error.__name__}, but is "
                f"{type(error).__name__} ({error}): map it in read_error()"
            )


@check("any")
def errors_say_what_the_api_said(subject: Subject) -> None:
    """An error is told in the words of the API"""
    if not subject.given.errors:
        skip("Samples.errors is empty")
    for failure in subject.given.errors:
        _in_its_words(f"HTTP {failure.status}", failure, _failed(subject, failure).error)


def _in_its_words(where: str, failure: Failure, error: LlmError | None) -> None:
    sentences = list(_sentences(failure))
    if error is not None and sentences and not any(sentence in error.message for sentence in sentences):
        fail(
            f"{where}: the error says {error.message!r} and nothing of what the API said: {_excerpt(failure)}; "
            "http_errors.describe() and raise_error_in() find its words in every body and record"
        )


def _sentences(failure: Failure) -> Iterator[str]:
    """The texts in an error's body that are for people."""
    text = decode_body(failure.body)
    start, end = text.find("{"), text.rfind("}") + 1
    try:
        document = parse_json(text[start:end]) if start >= 0 else None
    except ProviderFailed:
        return
    for _, value in leaves(document):
        if isinstance(value, str) and " " in value.strip():
            yield value.strip()[:200]


def _excerpt(failure: Failure) -> str:
    text = " ".join(decode_body(failure.body).split())
    return text if len(text) <= 80 else text[:80] + "…"


@check("any")
def the_wait_that_the_api_asks_for_is_kept(subject: Subject) -> None:
    """When to come back is read from wherever the API says it"""
    asking = [failure for failure in subject.given.errors if failure.retry_after is not None]
    if not asking:
        skip("no sample error has a retry_after")
    for failure in asking:
        error = _failed(subject, failure).error
        if error is None or error.retry_after != failure.retry_after:
            told = None if error is None else error.retry_after
            fail(f"HTTP {failure.status} {_excerpt(failure)}: retry_after should be {failure.retry_after}, not {told}: "
                 "read it in read_error(), where it is no Retry-After header")  # fmt: skip


@check("http")
def a_status_decides_without_words(subject: Subject) -> None:
    """An error whose body tells nothing is told apart by its status"""
    for status, expected in _BY_STATUS.items():
        error = _failed(subject, Failure(_SAYS_NOTHING, LlmError, status)).error
        if type(error) not in expected:
            names = " or ".join(each.__name__ for each in expected)
            fail(
                f"HTTP {status} should be {names}, but is {type(error).__name__}: leave the rest to super().read_error"
            )


@check("http")
def a_retry_after_header_is_read(subject: Subject) -> None:
    """A Retry-After header is read in each form that HTTP has for it, and nonsense in it does no harm"""
    for headers in _ASKING:
        error = _failed(subject, Failure(_SAYS_NOTHING, LlmError, 429, headers)).error
        wanted, read = http_errors.retry_after(headers), None if error is None else error.retry_after
        if read != wanted:
            fail(f"with Retry-After: {headers['retry-after']}, retry_after should be {wanted}, not {read}: "
                 "leave what the API says nothing about to http_errors")  # fmt: skip


@check("http")
def another_way_is_tried_once(subject: Subject) -> None:
    """A request that was refused is said in another way a few times at most"""
    provider = subject.http()
    failures = subject.samples.errors if subject.samples is not None else ()
    errors = [provider.read_error(failure.status, failure.received, failure.body) for failure in failures]
    for error in [*errors, RequestRejected("unsupported parameter: 'kit'")]:
        request: ChatRequest | None = subject.asked()
        for _ in range(_WAYS):
            request = provider.adapt(request, error) if request is not None else None
        if request is not None:
            fail(f"adapt() changes the request again and again after {error!r}: return None when nothing is left")


@check("http")
def an_error_page_is_an_error(subject: Subject) -> None:
    """A proxy's page in place of an error or an answer is told as what it is"""
    for status in (502, 200):
        headers = {"content-type": "text/html"}
        for stream in sorted({False, subject.http().capabilities.stream}):
            error = listen(performed(subject, Sent((_PAGE,), status, headers), stream=stream)).error
            if not isinstance(error, ProviderFailed):
                fail(f"a web page with HTTP {status} should be ProviderFailed, but is {error!r}: never assume JSON")
            if "<" in error.message:
                fail(f"the error shows the tags of a web page: {error.message!r}; let http_errors read it")


@check("any")
def an_error_under_status_200_is_an_error(subject: Subject) -> None:
    """An error that the API reports under status 200 is an error and no answer"""
    failure = subject.given.error_whole
    if failure is None:
        skip("Samples.error_whole is not given")
    _reported(subject, "error_whole", failure, _failed(subject, failure))


@check("any")
def an_error_in_a_stream_is_an_error(subject: Subject) -> None:
    """An error that the API reports in the middle of a stream ends the answer as incomplete, in the API's words"""
    failure = subject.given.error_in_stream
    if failure is None:
        skip("Samples.error_in_stream is not given")
    sample = subject.given.answer
    if subject.in_process:
        heard = _failed(subject, failure)
    else:
        _reported(subject, "error_in_stream, as the first record", failure, hear(subject, sample, (failure.body,)))
        end = len(sample.stream) - sample.marker
        heard = hear(subject, sample, (*sample.stream[:end], failure.body, *sample.stream[end:]))
    if not any(isinstance(event, TextDelta) for event in heard.events):
        fail("error_in_stream: the text before the error should have come first")
    if not isinstance(heard.error, Incomplete):
        fail("error_in_stream: the error in the middle of the stream was not raised: raise_error_in() in every record")
    _in_its_words("error_in_stream", failure, heard.error)


def _reported(subject: Subject, where: str, failure: Failure, heard: Heard) -> None:
    if heard.error is None:
        fail(f"{where}: the error was taken for an answer: raise_error_in(document) in every record and body")
    if type(heard.error) is not failure.error:
        fail(f"{where}: should be {failure.error.__name__}, but is {type(heard.error).__name__} ({heard.error})")
    _in_its_words(where, failure, heard.error)
