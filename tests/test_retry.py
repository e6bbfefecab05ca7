"""
What is tried again, and how long it waits: as long as the server asks, within reason, and never for what cannot help.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcli.errors import (
    AuthenticationFailed,
    Busy,
    ConfigurationError,
    ContextTooLong,
    Incomplete,
    LlmError,
    NetworkFailed,
    OutputFailed,
    ProviderFailed,
    QuotaExceeded,
    RequestRejected,
    TimedOut,
    UnknownModel,
    UsageError,
)
from llmcli.retry import RetryPolicy

LONGEST = RetryPolicy(jitter=lambda: 1.0)  # the longest pause that chance may choose


def network(*, sent: bool, retryable: bool = True, error: type[NetworkFailed] = NetworkFailed) -> NetworkFailed:
    """A network error, before or after the request went out."""
    failed = error("no answer")
    failed.sent = sent
    failed.retryable = retryable
    return failed


def is_retried(error: LlmError) -> bool:
    """Whether a first attempt that ended so is followed by a second."""
    return LONGEST.pause(error, 1) is not None


RETRIED = [
    *(ProviderFailed("failed", http_status=status) for status in (408, 409, 500, 502, 504, 520, 521, 522, 523, 524)),
    *(Busy("busy", http_status=status) for status in (429, 503, 529)),
    Busy("overloaded, said an event of a stream that had begun with 200"),
    network(sent=False),
    network(sent=False, error=TimedOut),
]

NOT_RETRIED = [
    UsageError("wrong call"),
    ConfigurationError("wrong set-up"),
    AuthenticationFailed("wrong key", http_status=401),
    AuthenticationFailed("not here", http_status=403),
    RequestRejected("bad request", http_status=400),
    RequestRejected("too large", http_status=413),
    UnknownModel("no such model", http_status=404),
    ContextTooLong("too long", http_status=400),
    QuotaExceeded("no credit", http_status=402),
    ProviderFailed("upstream failed", http_status=424),
    ProviderFailed("not implemented", http_status=501),
    ProviderFailed("a redirect", http_status=302),
    ProviderFailed("a web page, not an API answer"),
    Incomplete("cut"),
    OutputFailed("the disk is full"),
    network(sent=True),
    network(sent=True, error=TimedOut),
    network(sent=False, retryable=False),
]


def describe(error: LlmError) -> str:
    return f"{type(error).__name__}-{error.message}-{error.http_status}"


@pytest.mark.fault(24)
@pytest.mark.fault(31)
@pytest.mark.fault(32)
@pytest.mark.parametrize("error", RETRIED, ids=describe)
def test_what_may_pass_is_tried_again(error: LlmError) -> None:
    assert is_retried(error)


@pytest.mark.fault(18)
@pytest.mark.fault(25)
@pytest.mark.parametrize("error", NOT_RETRIED, ids=describe)
def test_what_cannot_pass_by_itself_is_not_tried_again(error: LlmError) -> None:
    assert not is_retried(error)


@pytest.mark.fault(19)
@pytest.mark.fault(29)
def test_a_quota_429_is_not_retried() -> None:
    assert not is_retried(QuotaExceeded("no credit", http_status=429, retry_after=1))


def test_a_request_that_may_have_been_billed_is_not_sent_twice() -> None:
    assert not is_retried(network(sent=True))
    assert not is_retried(network(sent=True, error=TimedOut))


# --- the server's word ----------------------------------------------------------------------------


@pytest.mark.fault(33)
@pytest.mark.parametrize("error", [Busy("busy", http_status=429), ProviderFailed("failed", http_status=500)])
def test_a_server_that_says_no_is_not_asked_again(error: LlmError) -> None:
    error.retry_ok = False

    assert not is_retried(error)


@pytest.mark.parametrize("error", [RequestRejected("bad", http_status=400), QuotaExceeded("none", http_status=429)])
def test_a_server_that_says_yes_is_asked_again_whatever_we_think(error: LlmError) -> None:
    error.retry_ok = True

    assert is_retried(error)


@pytest.mark.parametrize("said", [Busy, RequestRejected])
def test_a_server_that_says_yes_is_still_not_asked_for_ever(said: type[LlmError]) -> None:
    error = said("no", retry_ok=True)

    assert [LONGEST.pause(error, attempt) is None for attempt in (1, 2, 3)] == [False, False, True]


@pytest.mark.fault(26)
@pytest.mark.parametrize("seconds", [0.0, 0.02, 1.0, 7.5, 60.0])
def test_the_wait_is_as_long_as_the_server_asks(seconds: float) -> None:
    for jitter in (0.0, 0.5, 1.0):
        policy = RetryPolicy(jitter=lambda jitter=jitter: jitter)
        assert policy.pause(Busy("busy", retry_after=seconds), 1) == seconds


@pytest.mark.fault(26)
def test_a_server_error_may_ask_for_a_wait_too() -> None:
    assert LONGEST.pause(ProviderFailed("failed", http_status=500, retry_after=3), 1) == 3


@pytest.mark.fault(27)
def test_nobody_waits_for_less_than_nothing() -> None:
    assert LONGEST.pause(Busy("busy", retry_after=-5), 1) == 0


@pytest.mark.fault(28)
@pytest.mark.parametrize("error", [Busy, ProviderFailed])
@pytest.mark.parametrize("seconds", [60.5, 3600.0, 10.0**12, float("inf")])
def test_a_wait_over_the_cap_fails_at_once(error: type[LlmError], seconds: float) -> None:
    asked = error("come back later", provider="acme", http_status=503, request_id="r1", retry_after=seconds)

    with pytest.raises(Busy, match=r"come back later; it asks for a wait of .+ s, more than the 60 s") as caught:
        LONGEST.pause(asked, 1)

    failed = caught.value
    assert (failed.provider, failed.http_status, failed.request_id) == ("acme", 503, "r1")
    assert failed.retry_after == seconds
    assert failed.hint is not None
    assert "--retry-max-wait" in failed.hint
    assert failed.__cause__ is asked


def test_the_cap_can_be_raised() -> None:
    assert RetryPolicy(max_wait=7200).pause(Busy("busy", retry_after=3600), 1) == 3600


def test_a_wait_over_the_cap_does_not_matter_when_nothing_is_tried_again_anyway() -> None:
    assert RetryPolicy(retries=0).pause(Busy("busy", retry_after=3600), 1) is None
    assert LONGEST.pause(QuotaExceeded("no credit", retry_after=3600), 1) is None


# --- our own waits --------------------------------------------------------------------------------


@pytest.mark.fault(30)
def test_the_longest_pause_doubles_up_to_eight_seconds() -> None:
    policy = RetryPolicy(retries=7, jitter=lambda: 1.0)
    pauses = [policy.pause(Busy("busy"), attempt) for attempt in range(1, 9)]

    assert pauses == [0.5, 1, 2, 4, 8, 8, 8, None]


@pytest.mark.fault(30)
def test_thirty_processes_do_not_come_back_together() -> None:
    """Full jitter: any pause from nothing up to the longest is as likely as any other."""
    for jitter in (0.0, 0.25, 0.75):
        assert RetryPolicy(jitter=lambda jitter=jitter: jitter).pause(Busy("busy"), 2) == jitter

    assert len({RetryPolicy().pause(Busy("busy"), 1) for _ in range(30)}) > 1


def test_two_retries_are_the_default() -> None:
    assert [LONGEST.pause(Busy("busy"), attempt) is None for attempt in (1, 2, 3)] == [False, False, True]


def test_no_retries_means_none() -> None:
    assert RetryPolicy(retries=0).pause(Busy("busy"), 1) is None


@given(attempt=st.integers(1, 10**6), jitter=st.floats(0, 1))
def test_no_number_of_attempts_makes_a_pause_longer_than_the_ceiling(attempt: int, jitter: float) -> None:
    pause = RetryPolicy(retries=10**6, jitter=lambda: jitter).pause(Busy("busy"), attempt)

    assert pause is not None
    assert 0 <= pause <= 8
