"""
A terminal that can be looked at: what a person has on the screen after a program has written to it.

    screen = shown_on(40, llmcli, "health", "echo")         # run to the end, on a real pty of 40 columns
    assert screen.text == "..."

    with talking_to(llmcli, "chat", size=(40, 24)) as session:
        session.until("> ")
        assert Screen(40, data=session.screen).lines[-1] == ">"
"""

import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

import pyte
from pyte.screens import Char
from wcwidth import wcwidth

from tests.program import Program
from tests.terminal import talking_to

_KEPT = 10_000  # lines that have left the screen at its top


class _Emulated(pyte.HistoryScreen):
    """pyte's screen, which by itself forgets the rest of a text behind a sign without a width of its own."""

    def draw(self, data: str) -> None:
        """Put text on the screen; of what joins or widens an emoji nothing is to be seen."""
        super().draw("".join(sign for sign in data if wcwidth(sign) > 0 or unicodedata.combining(sign)))


class Screen:
    """
    The screen of a terminal of so many columns and lines, with all that has scrolled out of it. `data` is what a
    program wrote to its pty; more of it can be `feed`.
    """

    def __init__(self, columns: int, lines: int = 24, data: bytes = b"") -> None:
        self._screen = _Emulated(columns, lines, history=_KEPT, ratio=0.5)
        self._stream = pyte.ByteStream(self._screen)
        self.status: int | None = None  # the exit status, where the program has ended
        self.feed(data)

    def feed(self, data: bytes) -> None:
        """The program writes this."""
        self._stream.feed(data)

    def resize(self, columns: int, lines: int) -> None:
        """The terminal gets another size, and breaks its lines anew, as most do. Their looks are forgotten."""
        above = [*self._screen.history.top, *(self._screen.buffer[at] for at in range(self._screen.cursor.y))]
        written = "".join(f"{self._line(line)}\r\n" for line in above)
        self._screen = _Emulated(columns, lines, history=_KEPT, ratio=0.5)
        self._stream = pyte.ByteStream(self._screen)
        self.feed(written.encode())

    @property
    def window(self) -> list[str]:
        """The lines that are on the screen now, without blanks at their ends."""
        return [self._line(self._screen.buffer[at]) for at in range(self._screen.lines)]

    @property
    def lines(self) -> list[str]:
        """All lines, from the first that was ever written to the last that holds something."""
        lines = [*(self._line(line) for line in self._screen.history.top), *self.window]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    @property
    def text(self) -> str:
        """All lines as one text."""
        return "".join(f"{line}\n" for line in self.lines)

    @property
    def cursor(self) -> tuple[int, int]:
        """The column and the line of the screen that the cursor is in, from 0."""
        return self._screen.cursor.x, self._screen.cursor.y

    @property
    def cursor_is_shown(self) -> bool:
        """Whether the cursor is to be seen."""
        return not self._screen.cursor.hidden

    @property
    def title(self) -> str:
        """What the window is called; empty unless somebody has said it."""
        return str(self._screen.title)

    def styles(self, text: str) -> set[str]:
        """How the first place looks where this stands: `bold`, `red`, `on 272822`... Empty: like any other text."""
        for line in self._rows():
            cells = [line[at] for at in range(self._screen.columns)]
            shown = "".join(cell.data[:1] or "\0" for cell in cells)  # \0: the second column of a wide sign
            wanted = "".join(sign + "\0" * (wcwidth(sign) - 1) for sign in text)
            if (at := shown.find(wanted)) >= 0:
                return set().union(*map(_style, cells[at : at + len(wanted)]))
        raise AssertionError(f"{text!r} is not on the screen:\n{self.text}")

    @property
    def plain(self) -> bool:
        """Whether nothing has a colour, and nothing is bold or the like."""
        return not any(_style(line[at]) for line in self._rows() for at in range(self._screen.columns))

    def _rows(self) -> Iterable[Mapping[int, Char]]:
        yield from self._screen.history.top
        yield from (self._screen.buffer[at] for at in range(self._screen.lines))

    def _line(self, line: Mapping[int, Char]) -> str:
        return "".join(line[at].data for at in range(self._screen.columns)).rstrip()


def _style(cell: Char) -> set[str]:
    words = {name for name in ("bold", "italics", "underscore", "strikethrough", "reverse") if getattr(cell, name)}
    words |= {cell.fg} - {"default"}
    return words | {f"on {cell.bg}" for _ in range(cell.bg != "default")}


def shown_on(columns: int, program: Program, *args: str, lines: int = 24, **popen: Any) -> Screen:
    """Run the program to its end on a terminal of so many columns, stdin, stdout and stderr, and return its screen."""
    with talking_to(program, *args, size=(columns, lines), **popen) as session:
        done = session.ended()
    screen = Screen(columns, lines, done.out)
    screen.status = done.status
    return screen
