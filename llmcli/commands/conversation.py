"""
`llmcli chat` without a prompt on a terminal: a conversation. Layer 3.

It asks through a `Talk`, which `chat` makes of what the command line says. Nothing is kept unless a session is named.
Ctrl-C stops an answer, and not the conversation.
"""

import os
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple, Protocol

from llmcli import signals
from llmcli.commands.clipboard import copy
from llmcli.commands.heard import Heard
from llmcli.commands.line_input import Lines, unechoed
from llmcli.commands.prompt import as_text, read_prompt
from llmcli.commands.table import folded
from llmcli.config import nearest
from llmcli.errors import Incomplete, LlmError, UsageError
from llmcli.output import error_line
from llmcli.sessions import Sessions, checked, place
from llmcli.turns import Entry, Turn, system_prompt
from llmcli.types import Attachment, Message, Part, Reply, Text, Usage, message
from llmcli.world import World


class Talk(Protocol):
    """Whoever answers. The methods raise an `LlmError` where something is wrong."""

    @property
    def name(self) -> str:
        """The provider and the model that answer, as `PROVIDER/MODEL`."""

    @property
    def asks(self) -> bool:
        """Whether somebody may be asked something while an answer comes."""

    def choose(self, model: str) -> None:
        """Let another model answer from now on."""

    def attachments(self, words: Sequence[str]) -> tuple[Attachment, ...]:
        """What files and URLs are as parts of a question."""

    def offer(self, tool: str) -> str:
        """Offer one more tool to the model; the names of all that are offered."""

    def ask(self, turns: Sequence[Turn], heard: Heard) -> Reply:
        """Show the answer to the last of the turns. `heard` hears all of it."""


class Start(NamedTuple):
    """What the conversation begins with: its session, if it is kept, what was said in it, and a system prompt."""

    session: str | None = None
    turns: tuple[Turn, ...] = ()
    system: str | None = None
    usage: bool = False


def run(talk: Talk, start: Start, world: World) -> None:
    """Talk until somebody has had enough. Raises an `LlmError` only for what ends the conversation."""
    conversation = Conversation(talk, start, world)
    lines = Lines(_prompt(world), conversation.completions)
    for turn in start.turns:
        lines.remember(_asked(turn))
    conversation.greet()
    while not conversation.ended:
        try:
            text = lines.read()
            if text.strip():
                lines.remember(text)
                conversation.take(text)
        except EOFError:
            world.write_stderr("\n")
            return
        except UnicodeError:
            world.say("llmcli: what was typed is not UTF-8")
        except signals.Interrupted as exc:
            _only_ctrl_c(exc)
            world.write_stderr("\n")


def _prompt(world: World) -> str:
    """Between \\x01 and \\x02 stands what has no width."""
    return "\x01\x1b[1;36m\x02>\x01\x1b[0m\x02 " if world.color("auto", world.stdout) else "> "


def _only_ctrl_c(signal: signals.Interrupted) -> None:
    """Go on after Ctrl-C, of which there may be more until the next line is read; anything else ends the process."""
    if signal.number != signals.SIGINT:
        raise signal


def _asked(turn: Turn) -> str:
    return next((entry.message.text for entry in turn if entry.message.role == "user"), "")


class Conversation:
    """What was said, what will be said with the next question, and the commands that begin with a slash."""

    def __init__(self, talk: Talk, start: Start, world: World) -> None:
        self._talk = talk
        self._world = world
        self._turns = list(start.turns)
        self._session = start.session
        self._system = start.system if start.system is not None else system_prompt(start.turns)
        self._files: list[str] = []
        self._attached: list[Attachment] = []
        self._tells_usage = start.usage
        self._spent = Usage()
        self._unanswered: str | None = None
        self.ended = False
        self._commands: Mapping[str, Callable[[str], None]] = {
            "help": self._help, "model": self._model, "system": self._set_system, "file": self._file,
            "attach": self._attach, "tool": self._tool, "retry": self._retry, "undo": self._undo, "copy": self._copy,
            "usage": self._usage, "save": self._save, "quit": self._quit,
        }  # fmt: skip

    def greet(self) -> None:
        """Say who answers, and how to get away."""
        kept = f", session {self._session} ({_count(len(self._turns), 'turn')})" if self._session else ""
        self._world.note(f"{self._talk.name}{kept}; /help lists the commands, Ctrl-D ends")

    def take(self, text: str) -> None:
        """What somebody typed: a command or a question. What is wrong with it is said."""
        command = text.strip()
        try:
            signals.care(patiently=True)
            text = as_text(text)
            if command.startswith("/") and not command.startswith("//"):
                self._obey(command)
            else:
                self._ask(text.strip().removeprefix("/") if command.startswith("//") else text)
        except LlmError as exc:
            self._tell(exc)

    def completions(self, before: str) -> list[str]:
        """What the last word of a line may become."""
        command, blank, word = before.rpartition(" ")
        if not blank:
            return [f"/{name} " for name in self._commands if f"/{name}".startswith(before)] if before else []
        if command == "/model":
            return [name for name in _cached_names(self._world) if name.startswith(word)]
        return _paths(word) if command in ("/file", "/attach", "/tool") else []

    # --- questions ---

    def _ask(self, text: str) -> None:
        self._unanswered = text
        said = read_prompt((text,), self._files, no_stdin=True, timeout=None, world=self._world)
        before = len(self._turns)
        try:
            self._put((Text(said), *self._attached))
        finally:
            if len(self._turns) > before:
                self._files, self._attached = [], []
            elif self._files or self._attached:
                self._world.note("the files stay for the next question; /file - and /attach - leave them out")

    def _put(self, parts: tuple[Part, ...], *, in_part: bool = True) -> None:
        """Ask, show the answer, and keep both; with `in_part` also of an answer that was stopped what came of it."""
        now = time.time()
        question: Turn = (Entry(Message("user", parts), now),)
        if self._system != system_prompt(self._turns):
            question = (Entry(message("system", self._system), now), *question)
        heard = Heard()
        started = time.monotonic()
        try:
            with nullcontext() if self._talk.asks else unechoed(self._world.stdin):
                reply = self._talk.ask((*self._turns, question), heard)
        except signals.Interrupted as exc:
            _only_ctrl_c(exc)
            self._keep(question, self._stopped(heard) if in_part else ())
            self._world.note("stopped" if in_part else "stopped; the answer that there was stays")
        except Incomplete:
            self._keep(question, self._stopped(heard) if in_part else ())
            raise
        else:
            self._count_tokens(reply.usage, time.monotonic() - started)
            self._keep(question, heard.whole(reply))
        finally:
            self._world.write_stderr("\n")

    def _stopped(self, heard: Heard) -> Turn:
        return heard.stopped(*self._talk.name.split("/", 1))

    def _keep(self, question: Turn, answer: Turn) -> None:
        if not answer:
            return
        self._unanswered = None
        self._turns.append((*question, *answer))
        if self._session:
            with self._sessions() as sessions:
                sessions.add(self._session, self._turns[-1:], model=self._talk.name, now=time.time())

    def _count_tokens(self, usage: Usage | None, seconds: float) -> None:
        if usage is not None:
            self._spent = _sum(self._spent, usage)
        if self._tells_usage:
            self._world.say(f"llmcli: {_tokens(usage or Usage())}, {seconds:.1f} s")

    def _sessions(self) -> Sessions:
        return Sessions(place(self._world.env), self._world.note)

    def _tell(self, error: LlmError) -> None:
        self._world.say(error_line(error))
        if error.hint:
            self._world.say(f"hint: {error.hint}")

    # --- commands ---

    def _obey(self, line: str) -> None:
        name, _, rest = line[1:].partition(" ")
        if name not in self._commands:
            near = nearest(name, self._commands)
            raise UsageError(
                f"there is no /{name}" + (f"; did you mean /{near}?" if near else ""),
                hint="/help lists the commands; a question that begins with a slash is written with two",
            )
        self._commands[name](rest.strip())

    def _help(self, rest: str) -> None:
        self._world.say("\n".join(_help_lines(self._world.columns())))

    def _model(self, name: str) -> None:
        if name:
            self._talk.choose(name)
        self._world.say(self._talk.name)

    def _set_system(self, text: str) -> None:
        if text:
            self._system = "" if text == "-" else text
        self._world.say(self._system or "there is no system prompt")

    def _file(self, rest: str) -> None:
        if rest == "-":
            self._files.clear()
            self._world.say("no text files go with the next question")
            return
        for path in _words(rest, "/file FILE..."):
            if path == "-":
                raise UsageError("/file takes the names of files")
            path = os.path.expanduser(path)
            read_prompt(("",), (path,), no_stdin=True, timeout=None, world=self._world)  # what is wrong is told now
            self._files.append(path)
        self._world.say(f"with the next question: {', '.join(self._files)}")

    def _attach(self, rest: str) -> None:
        if rest == "-":
            self._attached.clear()
            self._world.say("nothing is attached to the next question")
            return
        words = [os.path.expanduser(word) for word in _words(rest, "/attach FILE...")]
        self._attached += self._talk.attachments(words)
        self._world.say(f"with the next question: {', '.join(part.name or part.media_type for part in self._attached)}")

    def _tool(self, rest: str) -> None:
        if not rest:
            raise UsageError("/tool FILE.py[:NAME]")
        self._world.say(f"the model may call {self._talk.offer(rest)}")

    def _undo(self, rest: str) -> None:
        turn = self._last_turn()
        self._unanswered = None
        self._forget(turn)
        self._turns.pop()
        self._world.say(f"taken back: {_short(_asked(turn))}")

    def _retry(self, rest: str) -> None:
        """The last question, which may have had no answer. Until there is another answer, the old one stays."""
        if self._unanswered is not None:
            self._world.note(f"asking again: {_short(self._unanswered)}")
            self._ask(self._unanswered)
            return
        turn = self._last_turn()
        question = next(entry for entry in turn if entry.message.role == "user")
        before = len(self._turns)
        self._turns.pop()
        try:
            self._put(question.message.parts, in_part=False)
        finally:
            if len(self._turns) < before:
                self._turns.append(turn)
            else:
                self._forget(turn)

    def _last_turn(self) -> Turn:
        if not self._turns:
            raise UsageError("nothing has been said yet")
        return self._turns[-1]

    def _forget(self, turn: Turn) -> None:
        if self._session:
            with self._sessions() as sessions:
                sessions.forget(self._session, turn)

    def _copy(self, rest: str) -> None:
        text = self._last_turn()[-1].message.text
        copy(text, self._world)
        self._world.say(f"copied {_count(len(text), 'character')}")

    def _usage(self, rest: str) -> None:
        self._tells_usage = not self._tells_usage
        after = "each answer tells its tokens" if self._tells_usage else "answers no longer tell their tokens"
        self._world.say(f"so far {_tokens(self._spent)}; {after}")

    def _save(self, name: str) -> None:
        if not name:
            raise UsageError("/save NAME")
        with self._sessions() as sessions:
            if sessions.find(checked(name)) is not None:
                raise UsageError(
                    f"there is a session {name!r} already", hint="another name, or `llmcli sessions delete`"
                )
            sessions.add(name, self._turns, model=self._talk.name, now=time.time())
        self._session = name
        self._world.say(f"kept as {name} from now on; `llmcli chat --session {shlex.quote(name)}` goes on with it")

    def _quit(self, rest: str) -> None:
        self.ended = True


_HELP = (
    ("/model [PROVIDER/MODEL]", "who answers, or who answers from now on"),
    ("/system [TEXT]", "the system prompt, or another; - is none"),
    ("/file FILE...", "add text files to the next question; - adds none"),
    ("/attach FILE...", "add images or other files to it, also from a URL; - adds none"),
    ("/tool FILE.py[:NAME]", "let the model call functions; see --tool"),
    ("/retry", "ask the last question again"),
    ("/undo", "take the last question and its answer back"),
    ("/copy", "the last answer to the clipboard"),
    ("/usage", "tokens so far; and after each answer, or no longer"),
    ("/save NAME", "keep the conversation as a session"),
    ("/quit", "end, as Ctrl-D does"),
    ("Ctrl-C", "stop the answer"),
    ("Alt-Enter", "begin a new line"),
    ('"""', "begin a text of several lines, and end it; Ctrl-D ends it too"),
)
_LEFT = max(len(name) for name, _ in _HELP) + 2


def _help_lines(width: int) -> Iterator[str]:
    """The commands and what they do: beside them where there is room, else below."""
    beside = width >= 2 * _LEFT
    for name, meaning in _HELP:
        lines = list(folded(meaning, max(1, width - (_LEFT if beside else 2))))
        if beside:
            yield name.ljust(_LEFT) + lines[0]
            yield from (" " * _LEFT + line for line in lines[1:])
        else:
            yield from (name, *(f"  {line}" for line in lines))


def _words(rest: str, usage: str) -> list[str]:
    try:
        words = shlex.split(rest)
    except ValueError:
        raise UsageError("a quotation mark is missing") from None
    if not words:
        raise UsageError(usage)
    return words


def _cached_names(world: World) -> list[str]:
    """The models that `models refresh` has kept the names of."""
    files = sorted(Path(world.cache_directory or "/nowhere").glob("models/*.txt"))
    return [name for file in files for name in file.read_text("utf-8", "replace").splitlines()]


def _paths(word: str) -> list[str]:
    """The files whose names begin so."""
    folder, name = os.path.split(word)
    try:
        entries = list(os.scandir(os.path.expanduser(folder) or "."))
    except OSError:
        return []
    return sorted(
        os.path.join(folder, entry.name) + ("/" if entry.is_dir() else "")
        for entry in entries
        if entry.name.startswith(name) and (name or not entry.name.startswith("."))
    )


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else line[:59] + "…"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def _sum(spent: Usage, usage: Usage) -> Usage:
    return Usage(*(old if new is None else new + (old or 0) for old, new in zip(spent, usage, strict=True)))


def _tokens(usage: Usage) -> str:
    prompt, completion, total = ("?" if count is None else f"{count:,}" for count in usage[:3])
    return f"{prompt} prompt + {completion} completion = {total} tokens"
