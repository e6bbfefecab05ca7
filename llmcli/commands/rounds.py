"""
One answer that may take several rounds: while the model asks for tools, they are run and it is asked again. Layer 3.

`rounds` knows neither providers nor terminals: `ask` asks the model, `run` runs what it asks for. Both may be anything,
so a conversation, or a retry for the sake of a schema, is made of the same `ask`.
"""

from collections.abc import Callable, Generator, Iterable
from typing import TypeAlias

from llmcli.answer import incomplete
from llmcli.errors import Incomplete, LlmError
from llmcli.output import Round
from llmcli.signals import Interrupted
from llmcli.turns import marked
from llmcli.types import Event, Message, Reply, ToolCall, ToolResult, Usage

Messages: TypeAlias = tuple[Message, ...]
Ask: TypeAlias = Callable[[Messages], Generator[Event, None, Reply]]  # the events but for `Finish`, which the reply has
Run: TypeAlias = Callable[[tuple[ToolCall, ...]], Iterable[ToolResult]]  # one result after the other

_WHOLE = ("tool_calls", "stop")  # the finish reasons of an answer that nothing cut
_MOST_CALLS = 64  # of one answer
_AFTER_OUTPUT = frozenset({4, 5, 6, 7, 8, 9})  # statuses that mean something else once output began


def rounds(
    ask: Ask, messages: Messages, run: Run, most: int, done: list[int] | None = None
) -> Generator[Event | Round, None, Reply]:
    """
    The events of all rounds, a `Round` after each in which tools were run, and `Finish` once, at the end; what is
    returned is the last reply. Token counts are those of all rounds so far. `done` holds how many rounds there were
    before, where one question is asked of `rounds` more than once, and is left with how many there are now.

    Raises `Incomplete` where an answer was cut in which tools are asked for (none is run then), where they are asked
    for in more rounds than `most`, and for whatever goes wrong after the first round.
    """
    spent = Usage()
    done = [0] if done is None else done
    while True:
        reply = yield from _one(ask, messages, spent, first=not done[0])
        calls = tuple(part for part in reply.message.parts if isinstance(part, ToolCall))
        if not calls:
            yield reply.finish
            return reply
        _check_whole(reply)
        if done[0] == most:
            raise Incomplete(
                f"the model still asks for tools after {most} round{'s' if most > 1 else ''}",
                hint="--max-tool-rounds N allows more", provider=reply.provider, retryable=False,
            )  # fmt: skip
        done[0] += 1
        results = list[ToolResult]()
        try:
            results.extend(run(calls[:_MOST_CALLS]))
        except Interrupted:  # what was run before has changed something, and whoever keeps the answer has to know
            yield Round(reply, (*results, *(_stopped(call) for call in calls[len(results) :])))
            raise
        results += [_one_too_many(call) for call in calls[_MOST_CALLS:]]
        yield Round(reply, tuple(results))
        messages = (*messages, reply.message, Message("tool", tuple(marked(result) for result in results)))
        spent = reply.usage or spent


def _one(ask: Ask, messages: Messages, spent: Usage, *, first: bool) -> Generator[Event, None, Reply]:
    """One round. From the second on output has begun, whatever fails."""
    try:
        events = ask(messages)
        try:
            while True:
                event = next(events)
                yield _added(spent, event) if isinstance(event, Usage) else event
        except StopIteration as stop:
            reply: Reply = stop.value
        finally:
            events.close()
    except LlmError as exc:
        if first or exc.status not in _AFTER_OUTPUT:
            raise
        raise incomplete(exc) from exc
    return reply._replace(usage=_added(spent, reply.usage) if reply.usage else spent)


def _check_whole(reply: Reply) -> None:
    reason = reply.finish.reason
    if reason not in _WHOLE:
        raise Incomplete(
            f"the answer was cut while it asked for tools (finish reason {reason}); none was run",
            provider=reply.provider,
            hint="--max-tokens N allows more" if reason == "length" else None,
        )


def _stopped(call: ToolCall) -> ToolResult:
    return ToolResult(call.id, call.name, "not run, or not to its end: the user stopped the answer", failed=True)


def _one_too_many(call: ToolCall) -> ToolResult:
    return ToolResult(call.id, call.name, f"only {_MOST_CALLS} calls of one answer are run", failed=True)


def _added(spent: Usage, usage: Usage) -> Usage:
    """The tokens of both; what neither tells stays unknown."""
    return Usage(*(left if right is None else right + (left or 0) for left, right in zip(spent, usage, strict=True)))
