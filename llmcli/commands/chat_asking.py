"""
One question asked of one provider, and its answer written: in several turns where tools or a schema want that. Layer 3.
"""

import gc
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

from llmcli import signals
from llmcli.answer import Call, Fold, answer, incomplete
from llmcli.commands import progress
from llmcli.commands.chat_arguments import (
    Arguments,
)
from llmcli.commands.chat_job import Job, as_sent
from llmcli.commands.setup import Ready, transport_for
from llmcli.config import with_times
from llmcli.deadlines import Deadlines
from llmcli.errors import FinishedEarly, Incomplete
from llmcli.output import FORMATS, Look, Place, Sink, all_or_none, extract, json_text, one_line
from llmcli.provider import Provider
from llmcli.retry import RetryPolicy
from llmcli.transport import Log
from llmcli.types import (
    ChatRequest,
    Event,
    Finish,
    Message,
    Reply,
    Timeouts,
    ToolCall,
)
from llmcli.world import World

if TYPE_CHECKING:
    from llmcli.commands.attach import Attached
    from llmcli.commands.heard import Heard
    from llmcli.commands.kept_session import Kept
    from llmcli.commands.tool_use import Chosen
    from llmcli.schemas import Held, Wanted
    from llmcli.turns import Turn


_MOST_ROUNDS = 10  # of tools, where nobody says otherwise
_SCHEMA_RETRIES = 1

_E = TypeVar("_E")
Asked: TypeAlias = Generator[Any, None, Any]  # of events, and with tools of rounds
Messages: TypeAlias = tuple[Message, ...]
_Ask: TypeAlias = Callable[[Messages], Asked]


class Question(NamedTuple):
    """
    What is asked, of whichever provider: what is attached may be handed to each in another way. In a session, that and
    the beginning of its next turn.
    """

    messages: Messages
    attached: "Attached | None" = None
    kept: "Kept | None" = None
    turn: "Turn" = ()

    def to(self, provider: Provider, *, tools: bool = False) -> Messages:
        """The messages for one provider. `tools`: some are offered to it."""
        if self.kept is None:
            return (*self.messages[:-1], self._last(provider))
        from llmcli.turns import to_send

        return to_send((*self.kept.turns, self.begun(provider)), provider, tools=tools)

    def begun(self, provider: Provider) -> "Turn":
        """The beginning of the turn, as it is kept when this provider has answered."""
        return (*self.turn[:-1], self.turn[-1]._replace(message=self._last(provider)))

    def _last(self, provider: Provider) -> Message:
        last = self.messages[-1]
        if self.attached is None:
            return last
        return last._replace(parts=(*self.attached.parts(provider), *last.parts))


def in_session(question: Question, kept: "Kept") -> Question:
    """The question as the next turn of a conversation that is kept."""
    from llmcli.commands import kept_session

    return question._replace(kept=kept, turn=kept_session.question(question.messages, kept))


def listener(question: Question) -> "Heard | None":
    """What listens to an answer that is to be kept."""
    if question.kept is None:
        return None
    from llmcli.commands.heard import Heard

    return Heard()


def ask_one(
    job: Job, question: Question, arguments: Arguments, form: str, sink: Sink, world: World, log: Log,
    heard: "Heard | None" = None,
) -> Reply:  # fmt: skip
    """
    Ask one provider, and write its answer to the sink as it comes; `heard` listens to it. Returns the whole reply.

    Raises an `LlmError` for everything that goes wrong.
    """
    provider = job.ready.provider
    request = job.request._replace(messages=question.to(provider, tools=job.tools is not None))
    call = _call(job.ready, arguments, world, log)._replace(before_wait=sink.flush, refused=job.refused)
    tools = job.tools.chosen if job.tools else None
    keep = form == "json" or heard is not None
    fold = Fold(provider.config.id, request.model, keep=keep and tools is None and job.schema is None)
    color = arguments.color or "auto"
    look = Look(
        raw=arguments.raw, color=world.color(color, world.stdout), width=max(20, world.columns()),
        live=not arguments.verbose,
    )  # fmt: skip
    before, after = [sink.flush], list[Callable[[], None]]()  # others write to the terminal
    with ExitStack() as stack:
        asked, reply = _answered(job, request, call), fold.reply
        if tools is not None or job.schema is not None:
            asked, reply = _in_turns(job, request, call, fold, arguments, form, before, after)
        seen = fold.watch(_watched(stack.enter_context(closing(asked))))
        if heard is not None:
            seen = heard.listen(seen)
        place: Place = sink
        if not world.quiet and world.is_tty(world.stderr) and not arguments.verbose:
            signals.care()  # for the line that the spinner stands on
            spinner = stack.enter_context(progress.Spinner(world, job.name))
            before.insert(0, spinner.stop)
            after.append(spinner.again)
            if arguments.output is None:
                place = progress.AfterSpinner(sink, spinner)
        if _shows_thinking(arguments, form, world):
            seen = progress.thinking_shown(seen, world, color=world.color(color, world.stderr), before=before)
        if tools is not None and form in ("text", "markdown") and (arguments.extract or not sink.tty):
            seen = tools.last_words(seen)
        if arguments.extract:
            seen = extract(seen)
        if job.schema is not None:
            seen = all_or_none(seen)
        FORMATS[form](seen, place, look, reply)
    sink.flush()
    _close_up(fold, arguments, world, log, form, ran=tools is not None)
    return reply()


def _answered(job: Job, request: ChatRequest, call: Call) -> Asked:
    """The events of one answer; where tools are told by text, with the calls that stand in it."""
    events = answer(job.ready.provider, as_sent(job, request), call)
    if job.style is None:
        return events
    from llmcli import text_tools

    return text_tools.heard(events, request.tools, job.style)


def _in_turns(
    job: Job, request: ChatRequest, call: Call, fold: Fold, arguments: Arguments, form: str,
    before: Sequence[Callable[[], None]], after: Sequence[Callable[[], None]],
) -> tuple[Asked, Callable[[], Reply]]:  # fmt: skip
    """
    The events of an answer for which a model may be asked more than once (while it asks for tools, until the answer
    satisfies the schema), and what tells the reply once they are over.
    """
    messages: list[Messages] = []
    ask = _asker(job, request, call, messages)
    if job.tools is not None and job.tools.chosen is not None:
        ask = _with_tools(ask, job.tools.chosen, call, arguments.max_tool_rounds or _MOST_ROUNDS, before, after)
    if job.schema is not None:
        retries = _SCHEMA_RETRIES if arguments.schema_retries is None else arguments.schema_retries
        ask = _with_schema(ask, job.schema, messages, call, retries, form)
    last: list[Reply] = []

    def asked() -> Asked:
        last.append((yield from ask(request.messages)))

    return asked(), lambda: fold.reply()._replace(message=last[0].message)


def _with_tools(
    ask: _Ask, tools: "Chosen", call: Call, most: int, before: Sequence[Callable[[], None]],
    after: Sequence[Callable[[], None]],
) -> _Ask:  # fmt: skip
    """The same, with tools run until the model asks for none."""
    from llmcli.commands.rounds import rounds

    done = [0]  # of this question, however often a schema has it asked

    def asked(messages: Messages) -> Asked:
        return rounds(ask, messages, tools.runner(left=call.left, before=before, after=after), most, done)

    return asked


def _with_schema(ask: _Ask, schema: "Wanted", asked: list[Messages], call: Call, retries: int, form: str) -> _Ask:
    """The same, until the answer satisfies the schema. `asked` has what the model was last asked with."""
    from llmcli import schemas

    def hold(text: str, form: "Wanted") -> "Held":
        try:
            with signals.within(call.left()):
                return schemas.hold(text, form)
        except signals.TimeIsOver:
            raise incomplete(Deadlines(call.timeouts, started=call.started).expired()) from None

    end = "\n" if form == "text" else ""
    return lambda messages: schemas.until_valid(
        ask, messages, schema, retries=retries, note=call.note, printed=lambda value: json_text(value) + end,
        so_far=lambda: asked[-1], hold=hold,
    )  # fmt: skip


def _asker(job: Job, request: ChatRequest, call: Call, asked: list[Messages]) -> _Ask:
    """
    What asks the model with other messages: it yields the events, but for `Finish`, and returns the whole reply.
    `asked` is left with the messages of the last time.
    """

    def ask(messages: Messages) -> Generator[Event, None, Reply]:
        asked[:] = [messages]
        more = messages[len(request.messages) :]
        again = any(each.role == "tool" for each in more) and request.tool_choice != "none"
        choice = None if again else request.tool_choice  # who had to call a tool has done so
        fold = Fold(job.ready.provider.config.id, request.model, keep=True)
        with closing(_answered(job, request._replace(messages=messages, tool_choice=choice), call)) as events:
            yield from (event for event in fold.watch(events) if type(event) is not Finish)
        return fold.reply()

    return ask


def timeouts_of(ready: Ready, arguments: Arguments) -> Timeouts:
    """Those of the flags, else of the configuration; 0 is none."""
    given = {
        "connect": arguments.connect_timeout,
        "first": arguments.first_timeout,
        "idle": arguments.idle_timeout,
        "total": arguments.timeout,
    }
    return with_times(ready.setup.timeouts, given)


def _call(ready: Ready, arguments: Arguments, world: World, log: Log) -> Call:
    return Call(
        transport_for(ready, world, ca_bundle=arguments.ca_bundle, log=log),
        ready.secret.value if ready.secret else None,
        timeouts_of(ready, arguments),
        RetryPolicy(
            2 if arguments.retries is None else arguments.retries,
            60.0 if arguments.retry_max_wait is None else arguments.retry_max_wait,
        ),
        started=world.started,
        stream=arguments.stream,
        note=world.note,
        log=log,
        key_source=ready.secret.source if ready.secret else None,
    )


def _watched(events: Iterator[_E]) -> Iterator[_E]:
    """The same events. From the first on there is something to care for when a signal comes, and much to allocate."""
    for event in events:
        signals.care()
        gc.freeze()
        gc.enable()
        yield event
        break
    yield from events


def _shows_thinking(arguments: Arguments, form: str, world: World) -> bool:
    if arguments.show_thinking is not None:
        return arguments.show_thinking
    return form in ("text", "markdown") and not world.quiet and world.is_tty(world.stderr)


def _close_up(fold: Fold, arguments: Arguments, world: World, log: Log, form: str, *, ran: bool) -> None:
    """Say what a person should know about an answer that is complete."""
    reply: Reply = fold.reply()
    seconds = time.monotonic() - world.started
    if arguments.usage:
        world.say(f"llmcli: {progress.usage_line(fold, seconds)}")
    log(
        "answer",
        model=reply.model,
        finish_reason=reply.finish.reason,
        characters=fold.characters,
        tokens=fold.usage.total_tokens if fold.usage else None,
        seconds=round(seconds, 3),
        first_event=round(fold.first_event_at - world.started, 3) if fold.first_event_at else None,
    )
    reason = reply.finish.reason
    if reason in ("length", "content_filter"):
        what = {"length": "stopped at its limit of tokens", "content_filter": "was stopped by a content filter"}[reason]
        if arguments.strict:
            raise FinishedEarly(f"the answer {what} (finish reason {reason})", provider=reply.provider)
        world.note(f"the answer {what} (finish reason {reason})")
    for part in reply.message.parts:
        if isinstance(part, ToolCall) and not part.valid and not ran:
            world.note(f"the tool call {one_line(part.name) or 'without a name'} is not valid; do not run it")
    if reason == "tool_calls" and form in ("text", "markdown") and not ran:
        told = "the answer ends with a call of a tool that nobody offered"
        raise Incomplete(told, hint="--json shows it", provider=reply.provider, retryable=False)
    if not fold.characters:
        world.note(f"the model gave no visible text (finish reason {reason})")
