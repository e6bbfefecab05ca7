"""
What a person sees on stderr while an answer comes: the spinner, thinking, the log of --verbose. Layer 3.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self, TextIO, TypeVar

from llmcli.answer import Fold
from llmcli.commands.table import cut
from llmcli.output import Place, visible
from llmcli.transport import Log
from llmcli.types import TextDelta, ThinkingDelta
from llmcli.world import World

_E = TypeVar("_E")  # an event
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_SPINNER_AFTER = 0.3  # seconds; a quick answer needs none


class Spinner:
    """A sign of life on a terminal's stderr until something is shown. It counts the seconds."""

    def __init__(self, world: World, label: str) -> None:
        self._world = world
        self._label = visible(label)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._turn, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def again(self) -> None:
        """Begin anew, when there is something else to wait for."""
        self.stop()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._turn, daemon=True)
        self._thread.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop, and leave the line as it was. May be called again."""
        if not self._stop.is_set():
            self._stop.set()
            self._thread.join()

    def _turn(self) -> None:
        started = time.monotonic()
        if self._stop.wait(_SPINNER_AFTER):
            return
        self._world.spinning = True
        turn = 0
        while not self._stop.is_set():
            seconds = time.monotonic() - started
            self._world.write_stderr(f"\r{self._line(_FRAMES[turn % len(_FRAMES)], seconds)}\x1b[K")
            turn += 1
            self._stop.wait(0.1)
        self._world.spinning = False
        self._world.write_stderr("\r\x1b[K")

    def _line(self, frame: str, seconds: float) -> str:
        """One that is never as long as a line of the terminal: what is on a second line could not be taken back."""
        time_taken = f" {seconds:.0f} s"
        room = self._world.columns(self._world.stderr) - len(f"{frame} {time_taken}") - 1
        return f"{frame} {cut(self._label, max(1, room))}{time_taken}"


class AfterSpinner:
    """A place that stops the spinner before it is written to: until then nothing is to be seen of the answer."""

    def __init__(self, place: Place, spinner: Spinner) -> None:
        self._place = place
        self._spinner = spinner
        self.tty = place.tty
        self.terminal = place.terminal

    def write(self, data: bytes) -> None:
        """See `Place`."""
        self._spinner.stop()
        self._place.write(data)


def thinking_shown(
    events: Iterator[_E], world: World, *, color: bool, before: Sequence[Callable[[], None]]
) -> Iterator[_E]:
    """
    The same events, with thinking written to stderr, dim where colour is allowed. `before` is called before each piece
    of it: what is on its way to the same terminal comes first.
    """
    on, off = ("\x1b[2m", "\x1b[0m") if color else ("", "")
    escaped = world.is_tty(world.stderr)
    open_line = False
    try:
        for event in events:
            if open_line and type(event) is TextDelta:
                world.write_stderr("\n")
                open_line = False
            yield event  # first, so that who shows the answer ends what it has begun: thinking stands below that
            if isinstance(event, ThinkingDelta):
                for step in before:
                    step()
                text = world.redactor.clean(event.text)
                world.write_stderr(f"{on}{visible(text) if escaped else text}{off}")
                open_line = not event.text.endswith("\n") if event.text else open_line
    finally:
        if open_line:
            world.write_stderr("\n")


class Logger:
    """What --verbose shows and --log-file keeps: requests, answers, timings. Redacted; a log that fails is dropped."""

    def __init__(self, world: World, *, verbose: bool, path: str | None) -> None:
        self._world = world
        self._verbose = verbose
        self._file: TextIO | None = None
        if path is not None:
            try:
                self._file = open(path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115 - lives as long as we do
            except OSError as exc:
                self._world.note(f"warning: cannot write the log {path}: {exc.strerror}")

    def __call__(self, event: str, /, **fields: Any) -> None:
        """Log one event."""
        if "headers" in fields:
            fields["headers"] = self._world.redactor.clean_headers(fields["headers"])
        if self._verbose:
            self._show(event, fields)
        if self._file is not None:
            try:
                line = json.dumps({"time": round(time.time(), 3), "event": event, **fields}, default=str)
                self._file.write(self._world.redactor.clean(line) + "\n")
            except OSError as exc:
                self._world.note(f"warning: cannot write the log: {exc.strerror}")
                self._file = None

    def _show(self, event: str, fields: dict[str, Any]) -> None:
        headers = fields.get("headers", {})
        if event == "request":
            way = f", through proxy {fields['proxy']}" if fields.get("proxy") else ""
            self._world.say(f"> {fields['method']} {fields['url']} ({fields['bytes']} bytes{way})")
        elif event == "response":
            self._world.say(f"< HTTP {fields['status']} after {fields['seconds']:.3f} s")
        else:
            self._world.say(f"* {event}: " + ", ".join(f"{name}={_plain(value)}" for name, value in fields.items()))
        mark = ">" if event == "request" else "<"
        for name, value in headers.items():
            self._world.say(f"{mark} {name}: {value}")


def _plain(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def usage_line(fold: Fold, seconds: float) -> str:
    """`12 prompt + 34 completion = 46 tokens, 1.2 s`; a question mark for what was not told."""
    usage = fold.usage
    counts = [None, None, None] if usage is None else [usage.prompt_tokens, usage.completion_tokens, usage.total_tokens]
    prompt, completion, total = ("?" if count is None else count for count in counts)
    extras = "".join(
        f", {count} {name}"
        for name, count in (("cached", usage and usage.cached_tokens), ("reasoning", usage and usage.reasoning_tokens))
        if count
    )
    return f"usage: {prompt} prompt + {completion} completion = {total} tokens{extras}, {seconds:.2f} s"


def open_log(world: World, *, verbose: bool, path: str | None) -> Log | None:
    """A log if anybody wants one."""
    return Logger(world, verbose=verbose, path=path) if verbose or path else None
