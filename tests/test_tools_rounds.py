"""The rounds of an answer, with a model and tools that are plain functions: what is asked, and when it ends."""

from collections.abc import Generator
from typing import Any

import pytest

from llmcli.commands.rounds import Messages, rounds
from llmcli.errors import Busy, Incomplete, OutputFailed
from llmcli.output import Round
from llmcli.types import (
    Event,
    Finish,
    Message,
    Reply,
    Text,
    TextDelta,
    Thinking,
    ToolCall,
    ToolResult,
    Usage,
    message,
)

PROMPT = (message("user", "1 + 2?"),)
CALL = ToolCall("c1", "add", '{"a": 1, "b": 2}')


class Model:
    """Answers with one of these after another: parts, and the finish reason if it is not what they say."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[Messages] = []
        self.closed = 0

    def ask(self, messages: Messages) -> Generator[Event, None, Reply]:
        self.asked.append(messages)
        parts, *reason = self.answers.pop(0)
        if isinstance(parts, Exception):
            raise parts
        try:
            for part in parts:
                yield TextDelta(part.text) if isinstance(part, Text) else part
            yield Usage(10, 5, 15)
        finally:
            self.closed += 1
        called = any(isinstance(part, ToolCall) for part in parts)
        finish = Finish(reason[0] if reason else "tool_calls" if called else "stop")
        return Reply(Message("assistant", tuple(parts)), "p", "m", finish, Usage(10, 5, 15))


def run(calls: tuple[ToolCall, ...]) -> tuple[ToolResult, ...]:
    return tuple(ToolResult(call.id, call.name, "3") for call in calls)


def played(model: Model, most: int = 10, done: list[int] | None = None) -> tuple[list[Event | Round], Reply]:
    """The events of all rounds, and what they return."""
    events: list[Event | Round] = []
    playing = rounds(model.ask, PROMPT, run, most, done)
    while True:
        try:
            events.append(next(playing))
        except StopIteration as stop:
            return events, stop.value


def test_an_answer_without_calls_is_one_round() -> None:
    events, reply = played(Model([[Text("3")]]))

    assert events == [TextDelta("3"), Usage(10, 5, 15), Finish("stop")]
    assert reply.message.text == "3"


def test_results_follow_the_message_that_asked_for_them_which_goes_back_as_it_was() -> None:
    thought = Thinking("hm", {"signature": "s"})
    model = Model([[thought, Text("Let me see."), CALL, CALL._replace(id="c2")]], [[Text("3")]])

    events, reply = played(model)

    first, second = model.asked
    assert first == PROMPT
    assert second[:2] == (*PROMPT, Message("assistant", (thought, Text("Let me see."), CALL, CALL._replace(id="c2"))))
    assert second[2].role == "tool"
    assert [part.id for part in second[2].parts if isinstance(part, ToolResult)] == ["c1", "c2"]
    assert [type(event) for event in events].count(Round) == 1
    assert (reply.message.text, events[-1]) == ("3", Finish("stop"))


def test_tokens_are_those_of_all_rounds() -> None:
    events, reply = played(Model([[CALL]], [[CALL]], [[Text("3")]]))

    assert reply.usage == Usage(30, 15, 45)
    assert [event for event in events if type(event) is Usage] == [
        Usage(10, 5, 15),
        Usage(20, 10, 30),
        Usage(30, 15, 45),
    ]


def test_the_model_may_ask_in_as_many_rounds_as_it_is_told_and_no_more() -> None:
    assert played(Model([[CALL]], [[CALL]], [[Text("3")]]), most=2)[1].message.text == "3"
    with pytest.raises(Incomplete, match="still asks for tools after 2 rounds"):
        played(Model([[CALL]], [[CALL]], [[CALL]]), most=2)


@pytest.mark.parametrize("reason", ["length", "content_filter", "error", "other"])
def test_nothing_runs_of_an_answer_that_did_not_come_to_its_end(reason: str) -> None:
    with pytest.raises(Incomplete, match=reason):
        played(Model([[CALL], reason]))


def test_a_service_that_says_stop_where_it_asks_for_a_tool_is_believed() -> None:
    assert played(Model([[CALL], "stop"], [[Text("3")]]))[1].message.text == "3"


def test_what_fails_in_the_first_round_is_told_as_it_is_and_later_the_answer_is_incomplete() -> None:
    with pytest.raises(Busy):
        played(Model([Busy("busy")]))
    with pytest.raises(Incomplete, match="the answer is incomplete: busy"):
        played(Model([[CALL]], [Busy("busy")]))
    with pytest.raises(OutputFailed):
        played(Model([[CALL]], [OutputFailed("full")]))


def test_a_question_that_is_asked_again_goes_on_with_its_rounds() -> None:
    """As a schema has it asked again: tools have run by then, so no other provider may be tried, nor more rounds."""
    done = [0]
    played(Model([[CALL]], [[Text("no json")]]), done=done)

    assert done == [1]
    with pytest.raises(Incomplete, match="the answer is incomplete: busy"):
        played(Model([Busy("busy")]), done=done)
    with pytest.raises(Incomplete, match="still asks for tools after 1 round"):
        played(Model([[CALL]]), most=1, done=done)


def test_more_calls_than_anybody_needs_are_not_all_run() -> None:
    model = Model([[CALL._replace(id=str(number)) for number in range(100)]], [[Text("3")]])

    events, _ = played(model)

    (told,) = (event for event in events if type(event) is Round)
    assert [result.failed for result in told.results] == [False] * 64 + [True] * 36


def test_an_answer_that_nobody_reads_to_its_end_is_closed() -> None:
    model = Model([[Text("a"), Text("b")]])
    playing = rounds(model.ask, PROMPT, run, 10)

    next(playing)
    playing.close()

    assert model.closed == 1
