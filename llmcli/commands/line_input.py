"""
What a person types: lines with history and editing, and texts of several lines. Layer 3.

Where the system has GNU readline, a text that is pasted is one text, whatever lines it has, and Alt-Enter begins a new
line. Elsewhere three quotation marks hold lines together.
"""

import os
import sys
import termios
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from llmcli import signals

_QUOTES = '"""'
_MORE = ". "
_CTRL_C = "\x03"
_MARKS_ON, _MARKS_OFF = b"\x1b[?2004h", b"\x1b[?2004l"
_BINDINGS = (
    "tab: complete",
    "set enable-bracketed-paste on",
    r'"\e\C-m": "\C-v\C-j"',  # Alt-Enter: a new line
    r'"\C-x\C-k": kill-whole-line',
    r'"\C-c": "\C-x\C-k\C-v\C-c\C-m"',  # a line of nothing but itself
    "$if mode=vi",
    "set keymap vi-command",
    r'"\C-x\C-k": kill-whole-line',
    r'"\C-x\C-p": vi-insertion-mode',
    r'"\C-c": "\C-x\C-k\C-x\C-p\C-v\C-c\C-m"',
    "set keymap vi-insert",
    "$endif",
)


class Lines:
    """Lines that are typed on a terminal. `complete` tells what the text before the cursor may go on with."""

    def __init__(self, prompt: str, complete: Callable[[str], Sequence[str]]) -> None:
        self._prompt = prompt
        self._readline = _editor(complete)

    def read(self) -> str:
        """
        The next text: a line, or several that were pasted, joined by Alt-Enter, or put between three quotation marks.

        Raises `EOFError` at the end of the input, `Interrupted` when a signal comes, and `UnicodeError` for what is no
        text.
        """
        text = self._line(self._prompt)
        if "\n" in text or not text.lstrip().startswith(_QUOTES):  # what is pasted is whole as it is
            return text
        text = text.lstrip().removeprefix(_QUOTES)
        while not text.rstrip().endswith(_QUOTES):
            try:
                text += "\n" + self._line(_MORE)
            except EOFError:  # Ctrl-D, by which other programs end such a text
                os.write(1, b"\n")
                break
        return text.rstrip().removesuffix(_QUOTES).strip("\n")

    def remember(self, text: str) -> None:
        """Arrow-up brings it back."""
        if self._readline is not None:
            with suppress(UnicodeError):  # a locale that cannot say it, which is no reason to lose a conversation
                self._readline.add_history(text)

    def _line(self, prompt: str) -> str:
        """Python edits lines only where its own stdin and stdout are the terminal; ours are others."""
        gnu = _is_gnu(self._readline)
        if gnu:
            signals.calm()  # Ctrl-C will be a key
        signals.care(patiently=not gnu)
        others, (sys.stdin, sys.stdout) = (sys.stdin, sys.stdout), (sys.__stdin__, sys.__stdout__)
        try:
            with _changed(0, _without_ctrl_c) if gnu else nullcontext():
                line = input(prompt)
        finally:
            sys.stdin, sys.stdout = others
        if line.endswith(_CTRL_C):
            raise signals.Interrupted(signals.SIGINT)
        return line


@contextmanager
def unechoed(fd: int | None) -> Iterator[None]:
    """
    What is typed meanwhile is kept for later and not shown: it would stand in the midst of the answer. What is pasted
    comes between marks, so that it will be one text.
    """
    if fd is None or not os.isatty(fd):
        yield
        return
    marks = os.environ.get("TERM", "dumb") != "dumb"
    with _changed(fd, _without_echo), signals.again_after_stops(lambda: _change(fd, _without_echo)):
        os.write(1, _MARKS_ON if marks else b"")
        try:
            yield
        finally:
            os.write(1, _MARKS_OFF if marks else b"")


@contextmanager
def _changed(fd: int, change: Callable[[list[Any]], None]) -> Iterator[None]:
    """Change the settings of a terminal for a while."""
    before = _change(fd, change)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _change(fd: int, change: Callable[[list[Any]], None]) -> list[Any]:
    """Change the settings of a terminal; what they were."""
    before = termios.tcgetattr(fd)
    after = [*before[:6], [*before[6]]]
    change(after)
    termios.tcsetattr(fd, termios.TCSADRAIN, after)
    return before


def _without_echo(settings: list[Any]) -> None:
    settings[3] &= ~termios.ECHO


def _without_ctrl_c(settings: list[Any]) -> None:
    """
    Ctrl-C is a key like any other: Python sees a signal only when it next waits for a key, and that may be too late.
    """
    settings[6][termios.VINTR] = b"\0"


def _editor(complete: Callable[[str], Sequence[str]]) -> Any:
    """The module that edits lines, set up; `None` where there is none."""
    try:
        import readline
    except ImportError:
        return None
    readline.set_auto_history(False)
    readline.set_completer_delims(" ")
    found: list[str] = []

    def completer(word: str, number: int) -> str | None:
        if number == 0:
            found[:] = complete(readline.get_line_buffer()[: readline.get_endidx()])
        return found[number] if number < len(found) else None

    readline.set_completer(completer)
    for binding in _BINDINGS if _is_gnu(readline) else ("bind ^I rl_complete",):
        readline.parse_and_bind(binding)
    return readline


def _is_gnu(editor: Any) -> bool:
    """Whether it is GNU readline, and not the editor that some systems have in its place."""
    return editor is not None and "libedit" not in (editor.__doc__ or "")
