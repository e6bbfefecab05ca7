"""
Time is bounded by what matters: being connected, the first event, the next event, the whole.
"""

from collections.abc import Callable

import pytest

from llmcli.deadlines import KEEP_ALIVE_FACTOR, LINGER, PARTING, Deadlines
from llmcli.errors import TimedOut
from llmcli.types import Timeouts

TIMEOUTS = Timeouts(connect=5, first=120, idle=60, total=None)


class Clock:
    """A clock that stands until it is told to go on."""

    def __init__(self, time: float = 1000.0) -> None:
        self.time = time

    def __call__(self) -> float:
        return self.time

    def pass_by(self, seconds: float) -> None:
        """Let time go by."""
        self.time += seconds


# A phase begins when it is first waited in, so `remaining()` follows whatever begins one.


def deadlines_on(clock: Clock, timeouts: Timeouts = TIMEOUTS) -> Deadlines:
    """Deadlines of a call that starts now."""
    return Deadlines(timeouts, started=clock(), now=clock)


def the_end_of(deadlines: Deadlines, clock: Clock, seconds: float) -> TimedOut:
    """The error that comes when exactly so many seconds have passed, and not a moment before."""
    clock.pass_by(seconds - 0.001)
    assert deadlines.remaining() == pytest.approx(0.001, abs=1e-6)
    clock.pass_by(0.001)
    with pytest.raises(TimedOut) as caught:
        deadlines.remaining()
    return caught.value


PHASES = [
    pytest.param(Deadlines.connecting, 5, "no connection in 5 s", "--connect-timeout", False, id="connecting"),
    pytest.param(Deadlines.waiting, 120, "no answer began in 120 s", "--first-timeout", True, id="first event"),
    pytest.param(Deadlines.progressed, 60, "stalled: no event in 60 s", "--idle-timeout", True, id="idle"),
]


@pytest.mark.parametrize(("begin", "seconds", "message", "option", "sent"), PHASES)
def test_each_phase_ends_in_time_and_names_the_option_that_changes_it(
    begin: Callable[[Deadlines], None], seconds: float, message: str, option: str, sent: bool
) -> None:
    clock = Clock()
    deadlines = deadlines_on(clock)
    begin(deadlines)
    deadlines.remaining()

    error = the_end_of(deadlines, clock, seconds)

    assert message in error.message
    assert error.hint == f"see {option}"
    assert error.sent is sent


def test_a_server_that_has_said_all_may_linger_only_a_moment() -> None:
    clock = Clock()
    deadlines = deadlines_on(clock)
    deadlines.progressed()
    deadlines.remaining()
    deadlines.finishing()
    deadlines.remaining()

    assert "after its end marker" in the_end_of(deadlines, clock, LINGER).message


@pytest.mark.parametrize("begin", [Deadlines.connecting, Deadlines.waiting, Deadlines.progressed])
def test_a_timeout_of_none_is_for_ever(begin: Callable[[Deadlines], None]) -> None:
    clock = Clock()
    deadlines = deadlines_on(clock, Timeouts(connect=None, first=None, idle=None, total=None))
    begin(deadlines)
    deadlines.remaining()
    clock.pass_by(10**9)

    assert deadlines.remaining() is None


def test_dns_addresses_and_tls_share_one_deadline() -> None:
    clock = Clock()
    deadlines = deadlines_on(clock)
    deadlines.connecting()
    deadlines.remaining()
    for _ in range(4):
        clock.pass_by(1)
        deadlines.remaining()

    assert the_end_of(deadlines, clock, 1).sent is False


def test_each_event_moves_the_deadline_on() -> None:
    clock = Clock()
    deadlines = deadlines_on(clock)
    for _ in range(10):
        deadlines.progressed()
        deadlines.remaining()
        clock.pass_by(59)

    assert deadlines.remaining() == pytest.approx(1)


def test_a_pager_that_stands_still_is_not_taken_for_a_stalled_server() -> None:
    clock = Clock()
    deadlines = deadlines_on(clock)
    deadlines.progressed()
    clock.pass_by(3600)

    assert deadlines.remaining() == pytest.approx(60)


@pytest.mark.fault(40)
def test_bytes_that_complete_no_event_move_nothing() -> None:
    clock = Clock()
    deadlines = deadlines_on(clock)
    deadlines.progressed()
    deadlines.remaining()
    left = []
    for _ in range(5):
        clock.pass_by(10)
        left.append(deadlines.remaining())

    assert left == pytest.approx([50, 40, 30, 20, 10])


# --- keep-alives ----------------------------------------------------------------------------------


@pytest.mark.fault(39)
@pytest.mark.parametrize(("begin", "seconds"), [(Deadlines.waiting, 120), (Deadlines.progressed, 60)])
def test_a_keep_alive_stretches_the_wait_for_an_event(begin: Callable[[Deadlines], None], seconds: float) -> None:
    clock = Clock()
    deadlines = deadlines_on(clock)
    begin(deadlines)
    deadlines.remaining()
    clock.pass_by(50)
    deadlines.kept_alive()

    assert deadlines.remaining() == pytest.approx(seconds)


@pytest.mark.fault(39)
def test_keep_alives_do_not_stretch_it_for_ever() -> None:
    clock = Clock()
    deadlines = deadlines_on(clock)
    deadlines.progressed()
    deadlines.remaining()
    longest = KEEP_ALIVE_FACTOR * 60
    for _ in range(longest - 1):
        clock.pass_by(1)
        deadlines.kept_alive()

    assert "stalled" in the_end_of(deadlines, clock, 1).message


@pytest.mark.fault(39)
def test_an_event_after_keep_alives_begins_the_count_anew() -> None:
    clock = Clock()
    deadlines = deadlines_on(clock)
    deadlines.progressed()
    deadlines.remaining()
    for _ in range(20):
        for _ in range(5):
            clock.pass_by(59)
            deadlines.kept_alive()
        deadlines.progressed()
        deadlines.remaining()

    assert deadlines.remaining() == pytest.approx(60)


@pytest.mark.parametrize(("begin", "seconds"), [(Deadlines.connecting, 5), (Deadlines.finishing, LINGER)])
def test_a_keep_alive_stretches_no_other_wait(begin: Callable[[Deadlines], None], seconds: float) -> None:
    clock = Clock()
    deadlines = deadlines_on(clock)
    begin(deadlines)
    deadlines.remaining()
    clock.pass_by(1)
    deadlines.kept_alive()

    assert deadlines.remaining() == pytest.approx(seconds - 1)


def test_a_keep_alive_sets_no_deadline_where_there_is_none() -> None:
    clock = Clock()
    deadlines = deadlines_on(clock, Timeouts(idle=None))
    deadlines.progressed()
    deadlines.remaining()
    deadlines.kept_alive()

    assert deadlines.remaining() is None


# --- the total timeout ----------------------------------------------------------------------------


@pytest.mark.fault(98)
def test_the_total_timeout_ends_a_stream_that_never_stalls() -> None:
    clock = Clock()
    deadlines = deadlines_on(clock, Timeouts(total=100))
    for _ in range(99):
        deadlines.progressed()
        deadlines.remaining()
        deadlines.kept_alive()
        clock.pass_by(1)

    error = the_end_of(deadlines, clock, 1)

    assert error.message == "the total timeout of 100 s passed"
    assert error.hint == "see --timeout"


def test_the_total_timeout_counts_from_the_start_of_the_process() -> None:
    clock = Clock()
    deadlines = Deadlines(Timeouts(total=100), started=clock() - 98, now=clock)
    deadlines.connecting()
    deadlines.remaining()

    assert deadlines.remaining() == pytest.approx(2)


def test_the_total_timeout_holds_where_no_other_does() -> None:
    clock = Clock()
    deadlines = deadlines_on(clock, Timeouts(connect=None, first=None, idle=None, total=100))
    deadlines.progressed()
    deadlines.remaining()

    assert "total" in the_end_of(deadlines, clock, 100).message


def test_a_phase_that_ends_before_the_total_timeout_is_named_itself() -> None:
    clock = Clock()
    deadlines = deadlines_on(clock, Timeouts(connect=5, total=100))
    deadlines.connecting()
    deadlines.remaining()

    assert "no connection" in the_end_of(deadlines, clock, 5).message


# --- grace ----------------------------------------------------------------------------------------


def test_after_a_laptop_slept_what_has_arrived_may_be_read_once() -> None:
    clock = Clock()
    deadlines = deadlines_on(clock)
    deadlines.progressed()
    clock.pass_by(8 * 3600)

    assert deadlines.grace()
    assert not deadlines.grace()


def test_a_laptop_may_sleep_more_than_once() -> None:
    clock = Clock()
    deadlines = deadlines_on(clock)
    granted = []
    for _ in range(3):
        deadlines.progressed()
        clock.pass_by(8 * 3600)
        granted.append(deadlines.grace())

    assert granted == [True, True, True]


@pytest.mark.fault(39)
def test_keep_alives_alone_earn_no_second_grace() -> None:
    clock = Clock()
    deadlines = deadlines_on(clock)
    deadlines.progressed()
    clock.pass_by(8 * 3600)
    granted = []
    for _ in range(3):
        granted.append(deadlines.grace())
        deadlines.kept_alive()

    assert granted == [True, False, False]


@pytest.mark.fault(98)
def test_a_server_that_always_has_more_to_say_does_not_outrun_the_total_timeout() -> None:
    clock = Clock()
    deadlines = deadlines_on(clock, Timeouts(total=100))
    deadlines.progressed()
    clock.pass_by(100)
    deadlines.progressed()

    assert not deadlines.grace()


def test_a_last_word_may_be_said_even_when_the_total_timeout_has_passed() -> None:
    clock = Clock()
    deadlines = deadlines_on(clock, Timeouts(total=10))
    clock.pass_by(10)
    with pytest.raises(TimedOut):
        deadlines.remaining()

    deadlines.parting()

    assert deadlines.remaining() == PARTING
