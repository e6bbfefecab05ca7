"""
Running what a model asks for: what a person sees of it and is asked about it. Layer 3.

Every call and every result is a line on stderr. A call that nothing allows beforehand is shown whole and asked for;
where nobody can be asked it is not run.
"""

import termios
from collections.abc import Callable, Collection, Iterator, Sequence

from llmcli.commands import asking
from llmcli.commands.rounds import Run
from llmcli.config import Config, nearest
from llmcli.errors import LlmError, UsageError
from llmcli.output import Round, one_line
from llmcli.signals import Interrupted
from llmcli.tools import definitions
from llmcli.tools import toolbox as boxes
from llmcli.tools.offered import ToolFailed
from llmcli.tools.toolbox import Toolbox
from llmcli.types import Event, Finish, TextDelta, Tool, ToolCall, ToolResult
from llmcli.world import World

_SHOWN = 300  # characters of a call or a result on stderr
_SOONEST = 0.1  # seconds that a tool has in any case


class Permission:
    """What may run: everything (`--yes`), or the tools that `--allow-tool` names, or what somebody says yes to."""

    def __init__(self, world: World, toolbox: Toolbox, *, yes: bool, allowed: Sequence[str]) -> None:
        for name in allowed:
            if name not in toolbox:
                near = nearest(name, toolbox)
                raise UsageError(
                    f"--allow-tool {name}: no such tool is named",
                    hint=f"did you mean {near}?" if near else f"the tools: {', '.join(toolbox)}",
                )
        self._world = world
        self._allowed = set(toolbox if yes else allowed)
        self._can_ask = asking.can_ask(world)
        if not self._allowed and not self._can_ask:
            raise UsageError(
                "tools are named, and nobody is there to be asked before one runs",
                hint="--allow-tool NAME allows one, --yes all of them",
            )

    def offered(self, toolbox: Toolbox) -> Toolbox:
        """The tools that can be allowed at all; the model need not know of any other."""
        if self._can_ask:
            return toolbox
        left_out = [name for name in toolbox if name not in self._allowed]
        if left_out:
            self._world.note(f"not allowed, and so not offered: {', '.join(left_out)}")
        return {name: offered for name, offered in toolbox.items() if name in self._allowed}

    def given(self, name: str, shown: str) -> bool:
        """Whether a call may run. It is shown: whole where somebody is asked."""
        if name in self._allowed:
            self._world.note(f"tool {_short(shown)}")
            return True
        termios.tcflush(self._world.stdin or 0, termios.TCIFLUSH)  # what was typed before is no answer to this
        self._world.say(f"llmcli: tool {shown}")
        answer = self._answer()
        if answer == "always":
            self._allowed.add(name)
        return answer in ("yes", "always")

    def _answer(self) -> str:
        words = ("yes", "no", "always")

        def check(answer: str) -> None:
            if not _meant(answer, words):
                raise UsageError("y, n or a")

        try:
            answer = asking.ask(self._world, "Run it? y(es), n(o), a(lways this tool)", "n", check)
        except UsageError:  # the end of the input is no yes
            return "no"
        return _meant(answer, words)


def _meant(answer: str, words: Collection[str]) -> str:
    return next((word for word in words if answer and word.startswith(answer.lower())), "")


class Chosen:
    """The tools of one call of the program, and the leave to run them."""

    def __init__(self, toolbox: Toolbox, permission: Permission | None, world: World) -> None:
        self.toolbox = toolbox
        self._permission = permission
        self._world = world

    def runner(
        self, *, left: Callable[[], float | None], before: Sequence[Callable[[], None]],
        after: Sequence[Callable[[], None]],
    ) -> Run:  # fmt: skip
        """
        What runs the calls of one answer, one after another. `left` says how many seconds there are for all that is
        still to do; `before` is called first, for what is on its way to the same terminal comes before our lines, and
        `after` when the model is waited for again.
        """

        def run(calls: tuple[ToolCall, ...]) -> Iterator[ToolResult]:
            for step in before:
                step()
            for call in calls:
                yield self._told(self._result(call, left()))
            for step in after:
                step()

        return run

    def _result(self, call: ToolCall, left: float | None) -> ToolResult:
        """What comes of one call. Nothing that the model or the tool does wrong ends the conversation."""
        seconds = None if left is None else max(_SOONEST, left)
        try:
            arguments = boxes.arguments_of(call, self.toolbox, seconds)
            shown = self.toolbox[call.name].shown(arguments)
        except ToolFailed as exc:
            self._world.note(f"tool {call.name}({_short(call.arguments)})")
            return boxes.failure(call, str(exc))
        if self._permission is None or not self._permission.given(call.name, shown):
            return boxes.failure(call, "the user did not allow this call")
        result = boxes.result_of(call, arguments, self.toolbox, seconds)
        return result._replace(content=self._world.redactor.clean(result.content))

    def _told(self, result: ToolResult) -> ToolResult:
        how = "failed" if result.failed else "gave"
        self._world.note(f"tool {result.name} {how}: {_short(result.content) or '(nothing)'}")
        return result

    def last_words(self, events: Iterator[Event | Round]) -> Iterator[Event | Round]:
        """
        The events with the text of the last round only: what a model says before it calls a tool is no part of its
        answer. So the text is held back until it is known whose it is; what was none goes to stderr. What was held when
        something fails is what came of the answer.
        """
        held: list[str] = []
        try:
            for event in events:
                if type(event) is TextDelta:
                    held.append(event.text)
                    continue
                if isinstance(event, ToolCall | Round | Finish):
                    text = "".join(held)
                    held.clear()
                    if type(event) is Finish and text:
                        yield TextDelta(text)
                    elif text.strip():
                        self._world.note(f"the model says: {_short(text)}")
                yield event
        except (LlmError, Interrupted):
            if held:
                yield TextDelta("".join(held))
            raise


def choose(
    words: Sequence[str], config: Config, world: World, *, choice: str | None, yes: bool, allowed: Sequence[str],
    runs: bool, ends: float | None,
) -> Chosen:  # fmt: skip
    """
    The tools that `--tool` names. `ends` is the monotonic time at which all time is over. Raises `UsageError` where
    nothing allows any of them to run and nobody can be asked, unless nothing `runs` at all.
    """
    toolbox = boxes.collect(words, config, world, ends)
    permission = Permission(world, toolbox, yes=yes, allowed=allowed) if runs else None
    chosen = Chosen(permission.offered(toolbox) if permission else toolbox, permission, world)
    _check_choice(choice, chosen.toolbox)
    return chosen


def defined(path: str, choice: str | None) -> tuple[Tool, ...]:
    """The tools that `--tool-defs` defines, which somebody else runs."""
    tools = definitions.read(path)
    _check_choice(choice, [tool.name for tool in tools])
    return tools


def _check_choice(choice: str | None, names: Collection[str]) -> None:
    if choice not in (None, "auto", "none", "required", *names):
        near = nearest(choice or "", names)
        raise UsageError(
            f"--tool-choice {choice} is neither auto, none, required nor one of the tools",
            hint=f"did you mean {near}?" if near else f"the tools: {', '.join(names)}",
        )


def _short(text: str) -> str:
    line = one_line(text)
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"
